//! Turning a topology into a plan.

mod staged;

use pki_core::AuthorityRole;

use crate::plan::Plan;
use crate::topology::Topology;

/// How the authorities of a unit are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// GDC's order: both generations into every bundle, control plane first and node pools one at a time;
    /// control-plane leaves; the signers; node leaves; then the next generation only.
    Staged,
}

impl Strategy {
    /// The plan for these authorities of this cluster.
    #[must_use]
    pub fn plan(self, topology: &Topology, roles: &[AuthorityRole]) -> Plan {
        match self {
            Self::Staged => staged::plan(topology, roles),
        }
    }

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Staged => "staged",
        }
    }
}
