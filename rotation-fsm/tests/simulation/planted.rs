//! Mistakes that are planted, to see that the simulation notices.

use rotation_fsm::proof::Fault;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// Kubelets that are told to trust two generations trust the newer alone.
    TrustDroppedEarly,
    /// Consumers obey whoever comes last, of whatever epoch.
    EpochsIgnored,
    /// The store takes what was decided on an older state, and forgets what came since.
    NoCompareAndSet,
    /// Whoever carries actions out takes consumers down without asking.
    NobodyAsks,
    /// The machine goes without a guard.
    Machine(Fault),
}
