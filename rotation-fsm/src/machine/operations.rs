//! The recreation of node pools as operations that can be listed and waited on, as GKE has them.

use core::fmt;

use super::{Machine, Rotating};
use crate::plan::{Scope, Stage, Step};
use crate::topology::PoolName;

/// Names one operation. The same state gives the same name, after a restart too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(String);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far an operation is, in the words of GKE's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OperationStatus {
    /// Its pool's turn has not come.
    Pending,
    /// Its pool is worked on.
    Running,
    /// Every node of its pool was seen to be done.
    Done,
}

impl fmt::Display for OperationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Done => "DONE",
        })
    }
}

/// The recreation of one pool's nodes in the rotation that is running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name.
    pub id: OperationId,
    /// The pool.
    pub pool: PoolName,
    /// How far it is.
    pub status: OperationStatus,
}

impl Operation {
    /// What all of them are, in the words of GKE's API.
    pub const TYPE: &'static str = "UPGRADE_NODES";
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.id, Self::TYPE, self.pool, self.status)
    }
}

impl Machine {
    /// The operations of the rotation that is running: one for each pool whose nodes take up new leaves, in the order in
    /// which they are worked on. To wait on one is to ask again until it is done.
    pub fn operations(&self) -> impl Iterator<Item = Operation> + '_ {
        let rotating = self.rotating().filter(|rotating| !rotating.is_rolling_back());
        rotating.into_iter().flat_map(|rotating| {
            let stages = rotating.plan.stages.iter().enumerate();
            stages.filter_map(|(index, stage)| self.operation(rotating, index, stage))
        })
    }

    fn operation(&self, rotating: &Rotating, index: usize, stage: &Stage) -> Option<Operation> {
        let (Step::Leaves, Some(Scope::Pool(pool))) = (stage.step(), stage.scope()) else { return None };
        let status = match index.cmp(&rotating.stage) {
            core::cmp::Ordering::Less => OperationStatus::Done,
            core::cmp::Ordering::Equal => OperationStatus::Running,
            core::cmp::Ordering::Greater => OperationStatus::Pending,
        };
        let id = OperationId(format!("operation-{}-{}-{}-{pool}", self.cluster, rotating.unit(), rotating.to));
        Some(Operation { id, pool: pool.clone(), status })
    }
}
