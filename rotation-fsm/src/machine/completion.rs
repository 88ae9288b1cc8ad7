//! The gate before the point of no return: who may open it, and who is left behind.

use core::fmt;

use pki_core::Plane;

use super::seen::Seen;
use super::waiting::Lacking;
use super::{Applied, Machine, Rotating};
use crate::maintenance::{Blocker, StepKind, Work};
use crate::plan::{Scope, Step};
use crate::policy::Unit;
use crate::rejected::Rejected;
use crate::settings::Release;
use crate::topology::{Class, ConsumerId, PoolName};

/// What keeps a rotation from completing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompletionBlocked {
    /// A node pool still uses the old credentials.
    Pool(PoolName),
    /// A consumer does not run with what it should.
    Consumer(ConsumerId),
    /// The calendar does not allow it now.
    Maintenance(Blocker),
    /// Somebody paused the rotation.
    Paused,
}

impl fmt::Display for CompletionBlocked {
    /// GKE's words where GKE has words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(pool) => write!(f, "Node pool \"{pool}\" requires recreation."),
            Self::Consumer(consumer) => write!(f, "`{consumer}` does not run with what it should"),
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
        if let Some(blocked) = self.in_the_way() {
            return Err(Rejected::NotComplete(blocked));
        }
        self.open_gate(applied);
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
            None => self.open_gate(applied),
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
        if let Some(pool) = rotating.pool_to_come() {
            return Some(CompletionBlocked::Pool(pool.clone()));
        }
        let classes = self.topology.classes().iter().enumerate();
        let released = |plane: Plane| plane == Plane::External && self.settings.release == Release::AtCompletion;
        let waiting = classes
            .filter(|(_, class)| self.has_part(class.kind, rotating.roles()) && !released(class.kind.plane()))
            .find_map(|(number, class)| Some((class, self.waiting.of(number)?.iter().next()?)));
        if let Some((class, index)) = waiting {
            let consumer = self.topology.member(index).map(|member| member.id.clone());
            return match &class.pool {
                Some(pool) => Some(CompletionBlocked::Pool(pool.clone())),
                None => consumer.map(CompletionBlocked::Consumer),
            };
        }
        // Stages of the control plane that are still to come before the gate run by themselves, and at once.
        None
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
    /// The first pool whose nodes are still to be worked on before the gate: they use the old credentials.
    fn pool_to_come(&self) -> Option<&PoolName> {
        let gate = self.plan.point_of_no_return().unwrap_or(self.plan.stages.len());
        let to_come = self.plan.stages.iter().take(gate).skip(self.stage);
        to_come.filter(|stage| stage.step() == Step::Leaves).find_map(|stage| match stage.scope() {
            // The stage that runs is judged by who is waiting.
            Some(Scope::Pool(pool)) if Some(stage) != self.stage() => Some(pool),
            _ => None,
        })
    }
}
