//! Turning a topology into a plan.

mod cost;
mod draft;
mod emergency;
mod orders;
mod rollback;

use core::fmt;
use core::str::FromStr;

use pki_core::{AuthorityRole, ComponentKind, LeafKind, Origin, Preset};

pub use self::cost::Cost;
use crate::plan::{Plan, PlanError};
use crate::topology::Topology;

/// How the authorities of a unit are replaced.
///
/// A strategy is one of the cluster's CA. Of the other authorities in the same unit key sets are always replaced in the
/// staged order; CAs are cross-signed where the cluster's is, and staged where it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Strategy {
    /// GDC's order: both generations into every bundle, control plane first and node pools one at a time;
    /// control-plane leaves; the signers; node leaves; then the next generation only.
    Staged,
    /// GKE's order: a second address serves the next certificate beside the first, so that clients move one by one, and
    /// a node is recreated once. Replaces the address together with the CA.
    DualEndpoint,
    /// The next CA is also certified by the one that it replaces, so that whoever has not heard of it accepts its leaves.
    CrossSigned,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 3] = [Self::Staged, Self::DualEndpoint, Self::CrossSigned];

    /// The stable identifier, as on command lines.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::DualEndpoint => "dual-endpoint",
            Self::CrossSigned => "cross-signed",
        }
    }

    /// Whether clusters of this origin can be rotated so. GDC has no second address for its control plane.
    #[must_use]
    pub fn is_allowed(self, origin: Origin) -> bool {
        self != Self::DualEndpoint || origin != Origin::Preset(Preset::Gdc)
    }

    /// The plan for these authorities of this cluster, with the laws [checked](Plan::check).
    ///
    /// # Errors
    /// When the cluster cannot be rotated so.
    pub fn plan(self, topology: &Topology, roles: &[AuthorityRole]) -> Result<Plan, StrategyError> {
        let origin = topology.hierarchy().origin();
        if !self.is_allowed(origin) {
            return Err(StrategyError::NotAllowed { strategy: self, origin });
        }
        let plan = match self.method_of_serving(topology, roles) {
            Method::DualEndpoint if topology.address().is_none() => return Err(StrategyError::NoAddress),
            _ => orders::plan(self, topology, roles),
        };
        plan.check(topology, roles).map_err(StrategyError::Unlawful)?;
        Ok(plan)
    }

    /// How the authority of the API server's serving certificate is replaced, if it is among `roles`.
    fn method_of_serving(self, topology: &Topology, roles: &[AuthorityRole]) -> Method {
        let serving = topology.hierarchy().issuer_of(LeafKind::ApiServer).filter(|role| roles.contains(role));
        serving.map_or(Method::Staged, |role| self.method(topology, role))
    }

    fn method(self, topology: &Topology, role: AuthorityRole) -> Method {
        let serving = topology.hierarchy().issuer_of(LeafKind::ApiServer) == Some(role);
        match self {
            Self::DualEndpoint if serving => Method::DualEndpoint,
            Self::CrossSigned if role.is_certificate_authority() => Method::CrossSigned,
            _ => Method::Staged,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        Self::ALL.into_iter().find(|strategy| strategy.id() == text).ok_or(UnknownStrategy(()))
    }
}

/// A name that is not one of [`Strategy::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownStrategy(());

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown strategy, expected `staged`, `dual-endpoint` or `cross-signed`")
    }
}

impl core::error::Error for UnknownStrategy {}

/// Why a strategy gives no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StrategyError {
    /// Clusters of this kind cannot be rotated so.
    NotAllowed {
        /// The strategy.
        strategy: Strategy,
        /// Where the hierarchy comes from.
        origin: Origin,
    },
    /// The topology does not follow addresses, so nobody would know who has moved to the second one.
    NoAddress,
    /// The order breaks a law on this topology.
    Unlawful(PlanError),
}

impl fmt::Display for StrategyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed { strategy, origin: Origin::Preset(preset) } => {
                write!(f, "`{strategy}` is not a strategy of `{preset}`: its control plane has no second address")
            }
            Self::NotAllowed { strategy, .. } => write!(f, "`{strategy}` is not a strategy of this hierarchy"),
            Self::NoAddress => f.write_str("a second address needs a topology that follows addresses"),
            Self::Unlawful(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for StrategyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unlawful(error) => Some(error),
            _ => None,
        }
    }
}

/// How one authority is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Staged,
    DualEndpoint,
    CrossSigned,
}

impl Plan {
    /// The plan for a suspected compromise of the keys that are replaced: nothing is cross-signed, all pools are worked
    /// on at once, nobody outside is waited for, and the previous key goes first out of every verifier that can do
    /// without it. What that costs is in [`losses`](Self::losses).
    ///
    /// # Errors
    /// When the order is not possible on this topology.
    pub fn emergency(topology: &Topology, roles: &[AuthorityRole]) -> Result<Self, StrategyError> {
        let plan = emergency::plan(topology, roles);
        plan.losses(topology, roles).map_err(StrategyError::Unlawful)?;
        Ok(plan)
    }

    /// The way back from the stage at `index`, lawful or not.
    pub(crate) fn undone(&self, index: usize) -> Self {
        rollback::plan(self, index)
    }

    /// The way back while the stage at `index` runs, with the laws checked like those of any other plan; `None` past the
    /// [point of no return](Self::point_of_no_return).
    ///
    /// # Errors
    /// When the way back breaks a law on this topology.
    pub fn rollback(
        &self,
        index: usize,
        topology: &Topology,
        roles: &[AuthorityRole],
    ) -> Result<Option<Self>, StrategyError> {
        if self.point_of_no_return().is_some_and(|end| index >= end) {
            return Ok(None);
        }
        let plan = self.undone(index);
        plan.check(topology, roles).map_err(StrategyError::Unlawful)?;
        Ok(Some(plan))
    }
}

/// The kinds that a client's address concerns.
fn dials(topology: &Topology, kind: ComponentKind) -> bool {
    topology.uses(kind).is_some_and(|uses| uses.position(crate::facet::Facet::Dials).is_some())
}
