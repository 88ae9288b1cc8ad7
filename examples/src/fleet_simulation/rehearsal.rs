//! Rotations of the simulated fleet that are to be run in earnest, on a machine with consumers.

use pki_core::ClusterId;
use time::UtcDateTime;

use super::Kind;

/// A rotation that completed in the simulation, picked out of a thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// Whose.
    pub cluster: ClusterId,
    /// What kind of credentials.
    pub kind: Kind,
    /// When it began.
    pub started: UtcDateTime,
    /// When it completed.
    pub completed: UtcDateTime,
    /// When the credentials that it replaced would have expired.
    pub expiry: UtcDateTime,
    /// For whatever the rehearsal draws.
    pub seed: u64,
}

/// Runs one rotation on the real machine and says how many of its laws broke; `None` where it was not run.
///
/// The one place for it: whoever drives the machine through its stages here is counted in the report as it is.
#[must_use]
pub const fn rehearse_on_machine(_sample: &Sample) -> Option<u64> {
    None
}
