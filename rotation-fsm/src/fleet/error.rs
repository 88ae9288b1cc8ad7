//! Why a fleet did not change.

use core::fmt;

use pki_core::ClusterId;

use super::ClusterHandle;
use crate::schedule::FactsError;

/// Why a fleet did not change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FleetError {
    /// A cluster of this name is in the fleet.
    AlreadyKnown(ClusterId),
    /// No cluster has this handle, or no longer.
    UnknownCluster(ClusterHandle),
    /// There are as many clusters as handles can tell apart.
    Full,
    /// There are as many different thresholds as one fleet holds.
    TooManyThresholds {
        /// How many it holds.
        max: usize,
    },
    /// What happened does not fit what is known of the cluster.
    Facts(FactsError),
}

impl fmt::Display for FleetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyKnown(cluster) => write!(f, "a cluster `{cluster}` is in the fleet already"),
            Self::UnknownCluster(handle) => write!(f, "no cluster of the fleet has the handle {handle}"),
            Self::Full => f.write_str("the fleet holds as many clusters as handles can tell apart"),
            Self::TooManyThresholds { max } => write!(f, "a fleet holds at most {max} different thresholds"),
            Self::Facts(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for FleetError {}

impl From<FactsError> for FleetError {
    fn from(error: FactsError) -> Self {
        Self::Facts(error)
    }
}
