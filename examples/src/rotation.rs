//! A whole run: install the cluster, start traffic, rotate every authority, try the old credentials.

mod cost;
mod drive;
mod sleep;

use core::fmt;
use core::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use pki_core::{Hierarchy, NodeName, Preset};
use rotation_fsm::{
    Completion, ConsumerId, Machine, Plan, Rejected, Settings, StageId, Strategy, Trigger, Unit, UnitPolicy, units,
};
use rotation_runtime::{DriveError, Driver, Failed, MemoryStore, OpenError, SubmitError};
use signer_hsm::{KeyStore, SoftwareKeyStore};

use self::drive::Run;
use crate::clock::{Clock, Stopwatch};
use crate::cluster::{ClusterError, ClusterSpec, MiniCluster};
use crate::fault::Fault;
use crate::keys;
use crate::probe::{Accepted, lingering, probe};
use crate::report::{KeysReport, ProbeReport, Report};
use crate::timeline::Timeline;
use crate::traffic::{Broken, Traffic};

/// What to run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The hierarchy, and the rules of its rotations.
    pub preset: Preset,
    /// Nodes.
    pub nodes: NonZeroUsize,
    /// The order of the stages.
    pub strategy: Strategy,
    /// Whether what users may rotate is rotated as if its keys were suspect.
    pub emergency: bool,
    /// The stage of the first unit that users may rotate in which its rotation turns back.
    pub rollback_at: Option<String>,
    /// A node that cannot be reached from the beginning of the first rotation until that one waits for it.
    pub sleeping_node: Option<NodeName>,
    /// Where the keys of the authorities are.
    pub keys: Arc<dyn KeyStore>,
    /// Who signs what nodes ask for, where it is not this process.
    pub issuing: Option<Arc<keys::Issuing>>,
    /// What is done wrong, if anything.
    pub fault: Option<Fault>,
    /// How long each stage lasts at least, so that traffic flows in it.
    pub dwell: Duration,
}

impl Options {
    /// A run of this preset with six nodes and its keys in memory, rotated in stages.
    #[must_use]
    pub fn new(preset: Preset) -> Self {
        Self {
            preset,
            nodes: NODES,
            strategy: Strategy::Staged,
            emergency: false,
            rollback_at: None,
            sleeping_node: None,
            keys: Arc::new(SoftwareKeyStore::new()),
            issuing: None,
            fault: None,
            dwell: Duration::from_millis(250),
        }
    }

    fn spec(&self) -> ClusterSpec {
        let mut spec = ClusterSpec::new(Hierarchy::preset(self.preset), self.nodes, Arc::clone(&self.keys));
        spec.issuing.clone_from(&self.issuing);
        spec.fault = self.fault;
        spec.strategy = self.strategy;
        if matches!(self.preset, Preset::Gke(_)) {
            spec.age = GKE_AGE;
        }
        spec
    }

    fn settings(&self) -> Settings {
        let hierarchy = Hierarchy::preset(self.preset);
        Settings::of(&hierarchy).with_completion(Completion::Automatic).with_strategy(self.strategy)
    }

    /// The units that a user may rotate, in the order in which they are rotated.
    fn of_user(&self) -> Vec<UnitPolicy> {
        let policies = units(&Hierarchy::preset(self.preset));
        policies.iter().filter(|policy| policy.trigger == Trigger::User).cloned().collect()
    }

    /// Whether this can be run at all, before anything is begun.
    ///
    /// # Errors
    /// When the preset does not allow the strategy or the way back, or the stage or the node does not exist.
    pub fn check(&self) -> Result<(), RunError> {
        let topology = self.spec().topology()?;
        for policy in self.of_user() {
            let planned = self.strategy.plan(&topology, &policy.roles);
            planned.map_err(|error| RunError::Refused(Rejected::Strategy(error)))?;
        }
        if let Some(node) = &self.sleeping_node {
            let is_there = topology.consumers().any(|(id, pool)| pool.is_some() && id.instance() == node);
            if !is_there {
                return Err(RunError::Cluster(ClusterError::UnknownNode(node.clone())));
            }
        }
        if self.rollback_at.is_some() {
            if !self.settings().rollback {
                return Err(RunError::Refused(Rejected::NoRollback));
            }
            if let Some(policy) = self.of_user().first() {
                let plan = self.strategy.plan(&topology, &policy.roles);
                let plan = plan.map_err(|error| RunError::Refused(Rejected::Strategy(error)))?;
                let (index, stage) = self.turning_point(policy.unit, &plan)?.unwrap_or_default();
                if self.emergency || plan.point_of_no_return().is_some_and(|end| index >= end) {
                    return Err(RunError::Refused(Rejected::NoWayBack { stage }));
                }
            }
        }
        Ok(())
    }

    /// Where in the plan of a unit the way back begins, if it is to.
    fn turning_point(&self, unit: Unit, plan: &Plan) -> Result<Option<(usize, Option<StageId>)>, RunError> {
        let Some(name) = &self.rollback_at else { return Ok(None) };
        let is_named =
            |id: &str| id == name || name.strip_prefix(unit.id()).and_then(|rest| rest.strip_prefix('/')) == Some(id);
        let found = plan.stages().iter().position(|stage| is_named(&stage.to_string()));
        match found {
            Some(index) => Ok(Some((index, plan.stages().get(index).map(|stage| stage.id().clone())))),
            None => Err(RunError::NoSuchStage { name: name.clone(), unit, stages: names(plan) }),
        }
    }
}

fn names(plan: &Plan) -> Vec<String> {
    plan.stages().iter().map(ToString::to_string).collect()
}

/// What a run tells while it runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// Something that is worth a line.
    Note(String),
    /// A stage begins, of so many.
    StageBegan {
        /// The unit and the stage.
        id: String,
        /// Its number, from one.
        number: usize,
        /// How many the plan has.
        of: usize,
    },
    /// Traffic so far in the stage.
    Traffic {
        /// Successes.
        handshakes: u64,
        /// Failures.
        failed: u64,
    },
    /// A stage has ended.
    StageEnded(Row),
}

/// One line of the table at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The unit and the stage.
    pub id: String,
    /// How long it took.
    pub duration_ms: u64,
    /// New, full handshakes with request and answer.
    pub handshakes: u64,
    /// Exchanges that failed on either side.
    pub failed: u64,
    /// Exchanges that failed as the plan of an emergency had said.
    pub declared_losses: u64,
    /// Connections refused because nothing listened.
    pub unavailable: u64,
    /// Components that restarted.
    pub restarts: u64,
    /// The status of the rotation when it ended.
    pub status: Option<String>,
}

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// For machines.
    pub report: Report,
    /// For the table.
    pub rows: Vec<Row>,
    /// Broken paths, each with the stage in which it broke.
    pub broken: Vec<(String, Broken)>,
    /// Old credentials that were not refused.
    pub accepted: Vec<Accepted>,
    /// What should have been gone when all was over.
    pub lingering: Vec<String>,
    /// For the picture.
    pub timeline: Timeline,
}

impl Outcome {
    /// The sum of a count over all stages.
    #[must_use]
    pub fn sum(&self, count: impl Fn(&Row) -> u64) -> u64 {
        self.rows.iter().map(count).sum()
    }

    /// Whether nothing broke but what was declared, nothing old was accepted or lingers, it cost what was planned, and
    /// every key stayed where it was.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let ProbeReport { refused, total, .. } = self.report.probes;
        let as_planned = self.report.units.iter().all(|unit| unit.mismatches().next().is_none());
        let kept = self.report.signer.as_ref().is_none_or(KeysReport::is_sound);
        let refused = self.accepted.is_empty() && total > 0 && refused == total;
        self.broken.is_empty() && refused && self.lingering.is_empty() && as_planned && kept
    }
}

/// Why a run could not be carried through.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The cluster failed.
    Cluster(ClusterError),
    /// The journal cannot be taken up.
    Open(OpenError),
    /// The drive loop failed.
    Drive(DriveError<ClusterError>),
    /// The preset does not allow what is asked.
    Refused(Rejected),
    /// The plan has no such stage.
    NoSuchStage {
        /// What was asked for.
        name: String,
        /// The unit whose plan it is.
        unit: Unit,
        /// The stages that it has.
        stages: Vec<String>,
    },
    /// The machine would not turn back.
    NotRolledBack(Rejected),
    /// The machine would not take up again what it had left behind.
    NotTakenUp(ConsumerId, Rejected),
    /// The machine would not begin the rotation of a unit.
    NotStarted(Unit, Option<Rejected>),
    /// Rounds of actions lead nowhere; what the machine last rejected or could not read, if anything.
    Stuck(String, Option<String>),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(error) => write!(f, "{error}"),
            Self::Open(error) => write!(f, "{error}"),
            Self::Drive(error) => write!(f, "{error}"),
            Self::Refused(rejected) => write!(f, "{rejected}"),
            Self::NoSuchStage { name, unit, stages } => {
                write!(f, "the plan of `{unit}` has no stage `{name}`, expected one of")?;
                stages.iter().try_for_each(|stage| write!(f, " `{stage}`"))
            }
            Self::NotRolledBack(rejected) => write!(f, "the rotation did not turn back: {rejected}"),
            Self::NotTakenUp(consumer, rejected) => write!(f, "`{consumer}` was not taken up again: {rejected}"),
            Self::NotStarted(unit, Some(rejected)) => write!(f, "`{unit}` did not begin to rotate: {rejected}"),
            Self::NotStarted(unit, None) => write!(f, "`{unit}` is not due"),
            Self::Stuck(stage, Some(why)) => write!(f, "`{stage}` does not end: {why}"),
            Self::Stuck(stage, None) => write!(f, "`{stage}` does not end"),
        }
    }
}

impl core::error::Error for RunError {}

impl RunError {
    /// Whether what was asked for cannot be run, so that nothing was begun.
    #[must_use]
    pub const fn is_misuse(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NoSuchStage { .. } | Self::Cluster(ClusterError::UnknownNode(_)))
    }
}

impl<E: Into<ClusterError>> From<E> for RunError {
    fn from(error: E) -> Self {
        Self::Cluster(error.into())
    }
}

impl From<SubmitError> for RunError {
    fn from(error: SubmitError) -> Self {
        Self::Drive(error.into())
    }
}

impl From<Failed> for RunError {
    fn from(failed: Failed) -> Self {
        Self::from(SubmitError::from(failed))
    }
}

wraps! {
    RunError:
    OpenError => Open,
    DriveError<ClusterError> => Drive,
}

/// As many nodes as make both pools plural.
const NODES: NonZeroUsize = NonZeroUsize::new(6).unwrap();

/// GKE's etcd authorities live five years: a cluster that was made so long before that they are due in two months.
const GKE_AGE: time::Duration = time::Duration::days(5 * 365 - 90);

/// Runs it all.
///
/// # Errors
/// When this cannot be run, the cluster cannot be installed, or an action cannot be carried out. Broken paths are no
/// error but part of the [`Outcome`].
pub fn run(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, RunError> {
    options.check()?;
    let (watch, clock) = (Stopwatch::start(), Arc::new(Clock::default()));
    let cluster = MiniCluster::new(&options.spec(), Arc::clone(&clock), watch)?;
    let name = keys::CLUSTER.parse().map_err(crate::authorities::AuthorityError::Name)?;
    let records = cluster.authorities().iter().copied();
    let machine = Machine::new(name, cluster.topology().clone(), options.settings(), records, clock.now())?;
    let driver = Driver::open(MemoryStore::new(), || machine)?;
    let mut run = Run::new(options, clock, watch, &cluster, driver, progress);
    run.install()?;
    let traffic = Traffic::start(cluster.shared()).map_err(ClusterError::Io)?;
    let rotated = run.rotate(&traffic);
    let (unnoticed, connections) = traffic.stop();
    rotated?;
    run.connections.add(connections);
    // What was broken when the run was ended is still broken now; only on a clean run is this news.
    if run.broken.is_empty() {
        run.broken.extend(unnoticed.into_iter().map(|broken| ("after".to_owned(), broken)));
    }
    let (mut probes, mut accepted, mut left) = (ProbeReport::default(), Vec::new(), core::mem::take(&mut run.orphaned));
    if run.broken.is_empty() {
        (probes, accepted) = probe(&cluster)?;
        left.extend(lingering(&cluster, run.machine()?, &mut probes)?);
    }
    Ok(run.finish(probes, accepted, left))
}
