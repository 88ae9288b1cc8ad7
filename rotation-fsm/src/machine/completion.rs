//! The gate before the point of no return: who may open it, and who is left behind.

use core::fmt;

use pki_core::{Origin, Plane, Preset};

use super::seen::Seen;
use super::waiting::Lacking;
use super::{Applied, Machine, Rotating};
use crate::facet::{Facet, Holding};
use crate::maintenance::{Blocker, StepKind, Work};
use crate::plan::{Scope, Step};
use crate::policy::Unit;
use crate::rejected::Rejected;
use crate::settings::Release;
use crate::topology::{Class, ConsumerId, Index, PoolName};

/// So many pools are told one by one.
const TOLD: usize = 3;

/// What a consumer that is waited for has not been seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// To be there.
    Back,
    /// To hold something.
    Held {
        /// What of it.
        facet: Facet,
        /// Which generations.
        expected: Holding,
    },
    /// To have heard of what it was given last.
    Heard,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Back => f.write_str("is away"),
            Self::Held { facet, expected } => write!(f, "was not seen in `{facet} {expected}`"),
            Self::Heard => f.write_str("has not reported since it was given something last"),
        }
    }
}

/// A consumer that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Who.
    pub consumer: ConsumerId,
    /// The first thing that it lacks.
    pub lacks: Lack,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.consumer, self.lacks)
    }
}

/// A node pool that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolBehind {
    /// Which.
    pub pool: PoolName,
    /// How many of its consumers are waited for now; none where its turn has not come.
    pub consumers: usize,
    /// One of them.
    pub first: Option<Behind>,
}

impl fmt::Display for PoolBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.first {
            Some(first) if self.consumers == 1 => write!(f, "node pool `{}`: {first}", self.pool),
            Some(first) => write!(f, "node pool `{}`: {first}, and {} more wait", self.pool, self.consumers - 1),
            None => write!(f, "node pool `{}`: its turn has not come", self.pool),
        }
    }
}

/// What keeps a rotation from completing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompletionBlocked {
    /// GKE: a node pool still uses the old credentials.
    Pool(PoolName),
    /// Elsewhere: node pools that are not done, every one of them.
    Pools(Vec<PoolBehind>),
    /// A consumer is not done.
    Consumer(Behind),
    /// The calendar does not allow it now.
    Maintenance(Blocker),
    /// Somebody paused the rotation.
    Paused,
}

impl fmt::Display for CompletionBlocked {
    /// In GKE's words where they are GKE's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(pool) => write!(f, "Node pool \"{pool}\" requires recreation."),
            Self::Pools(pools) => {
                let (told, more) = pools.split_at(pools.len().min(TOLD));
                for (index, pool) in told.iter().enumerate() {
                    write!(f, "{}{pool}", if index > 0 { "; " } else { "" })?;
                }
                if more.is_empty() { Ok(()) } else { write!(f, "; and {} more node pools", more.len()) }
            }
            Self::Consumer(behind) => write!(f, "{behind}"),
            Self::Maintenance(blocker) => write!(f, "{blocker}"),
            Self::Paused => f.write_str("the rotation is paused"),
        }
    }
}

impl Machine {
    /// A user asks to complete. Everybody who can be seen must be done; who cannot is left behind where the preset says so.
    pub(super) fn complete(&mut self, unit: Unit, applied: &mut Applied) -> Result<(), Rejected> {
        match self.rotating() {
            Some(rotating) if rotating.unit() == unit && !rotating.is_rolling_back() => {}
            _ => return Err(Rejected::NotInStage { current: self.stage().map(|stage| stage.id.clone()) }),
        }
        // Attempted without a user it waits for windows still: that is what the command is for.
        let overrides = |rotating: &&Rotating| self.settings.commands_override && !rotating.emergency;
        let opened = |rotating: &&Rotating| rotating.may_complete && self.is_gated(&rotating.policy);
        let attempted = self.rotating().filter(overrides).filter(opened);
        if attempted.is_none()
            && let Some(blocked) = self.in_the_way()
        {
            return Err(Rejected::NotComplete(blocked));
        }
        self.open_gate(applied);
        self.set_commanded(self.settings.commands_override);
        Ok(())
    }

    /// Completion is attempted without a user: the same, but the calendar has a say, and a failure is counted.
    pub(super) fn attempt_completion(&mut self, attempt: u32, applied: &mut Applied) {
        let Some(rotating) = self.rotating() else { return };
        // Attempts are counted from the start, so each is made once however often the clock is read.
        if rotating.may_complete && !rotating.is_rolling_back() {
            // Clients outside whose turn came only since are not waited for any longer.
            return self.release(applied);
        }
        if rotating.attempts >= attempt || rotating.is_rolling_back() {
            return;
        }
        let blocked = match self.permit(Work::step(StepKind::Complete)) {
            Some(blocker) => Some(CompletionBlocked::Maintenance(blocker)),
            None => self.in_the_way(),
        };
        let calendar = matches!(blocked, Some(CompletionBlocked::Maintenance(_)));
        match blocked {
            // Tried again whenever the clock is read: the window may be open at another hour of the day.
            Some(_) if calendar => {}
            Some(_) => {
                if let Some(rotating) = self.rotating_mut() {
                    rotating.attempts = attempt;
                }
                // Somebody outside who was not given anything in time does not hold up the stages before the gate either.
                self.release(applied);
            }
            None => {
                self.open_gate(applied);
                self.set_commanded(false);
            }
        }
        applied.completion_blocked = blocked;
    }

    fn open_gate(&mut self, applied: &mut Applied) {
        self.release(applied);
        if let Some(rotating) = self.rotating_mut() {
            rotating.may_complete = true;
        }
    }

    /// Who keeps the rotation from its point of no return, those aside that nobody can see and the preset leaves behind.
    fn in_the_way(&self) -> Option<CompletionBlocked> {
        let rotating = self.rotating()?;
        if rotating.paused {
            return Some(CompletionBlocked::Paused);
        }
        let gke = matches!(self.topology.hierarchy().origin(), Origin::Preset(Preset::Gke(_)));
        if let Some(pool) = rotating.pools_to_come().next().filter(|_| gke) {
            return Some(CompletionBlocked::Pool(pool.clone()));
        }
        let classes = self.topology.classes().iter().enumerate();
        let released = |plane: Plane| plane == Plane::External && self.settings.release == Release::AtCompletion;
        let mut waiting = classes
            .filter(|(_, class)| self.has_part(class.kind, rotating.roles()) && !released(class.kind.plane()))
            .filter_map(|(number, class)| Some((class, self.waiting.of(number)?)))
            .peekable();
        // Of the control plane first, since pools come after it.
        match waiting.peek() {
            Some((Class { pool: Some(pool), .. }, _)) if gke => return Some(CompletionBlocked::Pool(pool.clone())),
            Some((Class { pool: None, .. }, lacking)) if gke || rotating.pools_to_come().next().is_none() => {
                return lacking.iter().next().and_then(|index| self.behind(index)).map(CompletionBlocked::Consumer);
            }
            _ => {}
        }
        let mut pools: Vec<PoolBehind> = Vec::new();
        for (pool, lacking) in waiting.filter_map(|(class, lacking)| Some((class.pool.as_ref()?, lacking))) {
            let count = lacking.iter().count();
            match pools.iter_mut().find(|behind| behind.pool == *pool) {
                Some(behind) => behind.consumers = behind.consumers.saturating_add(count),
                None => {
                    let first = lacking.iter().next().and_then(|index| self.behind(index));
                    pools.push(PoolBehind { pool: pool.clone(), consumers: count, first });
                }
            }
        }
        for pool in rotating.pools_to_come() {
            if !pools.iter().any(|behind| behind.pool == *pool) {
                pools.push(PoolBehind { pool: pool.clone(), consumers: 0, first: None });
            }
        }
        // Stages of the control plane that are still to come before the gate run by themselves, and at once.
        (!pools.is_empty()).then_some(CompletionBlocked::Pools(pools))
    }

    /// What a consumer that is waited for lacks.
    fn behind(&self, index: Index) -> Option<Behind> {
        let consumer = self.topology.member(index)?.id.clone();
        let lacks = match self.first_missing(index) {
            _ if self.seen(index).is_none_or(|seen| !seen.available) => Lack::Back,
            Some((facet, expected)) => Lack::Held { facet, expected },
            None => Lack::Heard,
        };
        Some(Behind { consumer, lacks })
    }

    /// Leaves behind whoever nobody can see and everybody is waiting for.
    pub(super) fn release(&mut self, applied: &mut Applied) {
        let Some(rotating) = self.rotating() else { return };
        if self.settings.release != Release::AtCompletion && !rotating.emergency {
            return;
        }
        let concerned = self.outside().filter(|(_, class)| self.has_part(class.kind, rotating.roles()));
        let waiting = concerned.filter_map(|(number, _)| self.waiting.of(number));
        for index in waiting.flat_map(Lacking::iter).collect::<Vec<_>>() {
            let Some(member) = self.topology.member(index) else { continue };
            applied.released.push(member.id.clone());
            if let Some(seen) = self.seen(index).cloned() {
                self.record(index, Seen { released: true, ..seen });
            }
        }
    }

    /// The turn of those outside has come in another rotation: those who were left behind in an earlier one are asked like
    /// the others. Before their turn they hold nothing up, since they fail as it is.
    pub(super) fn ask_released_again(&mut self) {
        let members = self.outside().flat_map(|(number, _)| self.topology.members_of(number));
        for index in members.collect::<Vec<_>>() {
            if let Some(seen) = self.seen(index).filter(|seen| seen.released).cloned() {
                self.record(index, Seen { released: false, ..seen });
            }
        }
    }

    fn outside(&self) -> impl Iterator<Item = (usize, &Class)> {
        let outside = |class: &Class| class.kind.plane() == Plane::External || skips!(self, AnybodyLeftBehind);
        self.topology.classes().iter().enumerate().filter(move |(_, class)| outside(class))
    }
}

impl Rotating {
    /// The pools whose nodes are still to be worked on before the gate: they use the old credentials.
    fn pools_to_come(&self) -> impl Iterator<Item = &PoolName> {
        let gate = self.plan.point_of_no_return().unwrap_or(self.plan.stages.len());
        let to_come = self.plan.stages.iter().take(gate).skip(self.stage);
        to_come.filter(|stage| stage.step() == Step::Leaves).filter_map(|stage| match stage.scope() {
            // The stage that runs is judged by who is waiting.
            Some(Scope::Pool(pool)) if Some(stage) != self.stage() => Some(pool),
            _ => None,
        })
    }
}
