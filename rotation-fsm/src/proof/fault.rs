//! The guards that the search must not do without, each with the switch that removes it.

use core::fmt;

use crate::machine::Machine;
use crate::plan::{Plan, Scope, Stage, Step};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident => $id:literal),+ $(,)?) => {
        /// A guard that is removed on purpose. Whoever removes it must be caught by the [search](super::search).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[$doc])* $name),+
        }

        impl Fault {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable identifier.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id),+
                }
            }
        }
    };
}

faults! {
    /// A stage ends while somebody is waited for.
    NobodyIsWaitedFor => "nobody-is-waited-for",
    /// Nobody waits for a consumer that is away.
    AwayIsFine => "away-is-fine",
    /// A report that cannot be read counts as a good one.
    UnreadableIsFine => "unreadable-is-fine",
    /// A report counts that is not newer than what was seen.
    StaleCounts => "stale-counts",
    /// Whoever asks to be taken down may be, however many are away.
    OutOfTurn => "out-of-turn",
    /// Whoever was taken down once may be again, whatever it has said since.
    AwayForGood => "away-for-good",
    /// At completion whoever is waited for is left behind, clients outside or not.
    AnybodyLeftBehind => "anybody-left-behind",
    /// An acknowledgement counts for whichever stage runs.
    WordForAnotherStage => "word-for-another-stage",
    /// An acknowledgement counts for a consumer that can be observed.
    WordForTheObservable => "word-for-the-observable",
    /// Stages end while the rotation is paused.
    OnWhilePaused => "on-while-paused",
    /// The point of no return is passed without anybody's request.
    NoGate => "no-gate",
    /// A rotation begins while somebody is not in order.
    BegunUnready => "begun-unready",
    /// A consumer that comes back under its name goes on with the reports of its former life.
    SameIncarnation => "same-incarnation",
    /// A far jump of the clock is believed at once.
    JumpsBelieved => "jumps-believed",
    /// The clock steps back when it is told to.
    ClockStepsBack => "clock-steps-back",
    /// Consumers are disturbed when the calendar forbids it.
    WindowIgnored => "window-ignored",
    /// There is a way back from anywhere.
    BackFromAnywhere => "back-from-anywhere",
    /// A second key of a generation replaces the first.
    SecondKey => "second-key",
    /// A cross-certificate may outlive the root that signed it.
    CrossCertificateOutlives => "cross-certificate-outlives",
    /// At rest a bundle may hold the retired generation.
    RetiredIsFine => "retired-is-fine",
    /// Unlawful plan: nodes take up their leaves before the signer is switched.
    NodesBeforeSigner => "nodes-before-signer",
    /// Unlawful plan: the old generation leaves the bundles before the leaves are replaced.
    TrustDroppedFirst => "trust-dropped-first",
    /// Unlawful plan: leaves of the next generation before anybody trusts it.
    LeavesBeforeTrust => "leaves-before-trust",
    /// Unlawful plan: the keys are destroyed before the bundles are cleared.
    KeysDestroyedFirst => "keys-destroyed-first",
    /// What was said before the way back, or before the signers had switched, counts.
    WordOfBefore => "word-of-before",
    /// Of the world: consumers carry out what a controller of a lower epoch asks.
    EpochsIgnored => "epochs-ignored",
    /// Of the world: the store takes an event that was decided on an older state.
    NoCompareAndSet => "no-compare-and-set",
    /// Of the world: actions are carried out before the event that led to them is durable.
    ActBeforeDurable => "act-before-durable",
    /// Of the world: the plan of an emergency says nothing of what it breaks.
    NothingDeclared => "nothing-declared",
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// Which guards a machine goes without: none, unless somebody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults(Option<Fault>);

impl Faults {
    pub(super) const fn of(fault: Option<Fault>) -> Self {
        Self(fault)
    }

    pub(crate) fn contains(self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }

    /// The plan in an order that its check would refuse.
    pub(crate) fn distort(self, mut plan: Plan) -> Plan {
        let stages = &mut plan.stages;
        let first = |stages: &[Stage], step: Step| stages.iter().position(|stage| stage.step() == step);
        match self.0 {
            Some(Fault::NodesBeforeSigner) => {
                let last = stages.iter().rposition(|stage| {
                    stage.step() == Step::Leaves && matches!(stage.scope(), Some(Scope::Pool(_) | Scope::Nodes))
                });
                if let (Some(signer), Some(last)) = (first(stages, Step::SwitchSigner), last) {
                    let signer = stages.remove(signer);
                    stages.insert(last, signer);
                }
            }
            Some(Fault::TrustDroppedFirst) => {
                if let (Some(leaves), Some(dropped)) = (first(stages, Step::Leaves), first(stages, Step::TrustNext)) {
                    let dropped = stages.remove(dropped);
                    stages.insert(leaves, dropped);
                }
            }
            Some(Fault::LeavesBeforeTrust) => {
                let leaves = stages
                    .iter()
                    .position(|stage| matches!(stage.step(), Step::Leaves | Step::DualRoleLeaves | Step::SwitchSigner));
                if let (Some(leaves), Some(trust)) = (leaves, first(stages, Step::TrustBoth)) {
                    let leaves = stages.remove(leaves);
                    stages.insert(trust, leaves);
                }
            }
            Some(Fault::KeysDestroyedFirst) => {
                if let (Some(destroy), Some(dropped)) =
                    (first(stages, Step::DestroyKeys), first(stages, Step::TrustNext))
                {
                    let destroy = stages.remove(destroy);
                    stages.insert(dropped, destroy);
                }
            }
            _ => {}
        }
        plan
    }
}

impl Machine {
    /// The same machine without a guard, for whoever tests that something else than the search would notice. A snapshot
    /// of it is restored with the guard.
    #[must_use]
    pub fn without(mut self, fault: Fault) -> Self {
        self.faults = Faults::of(Some(fault));
        self
    }
}
