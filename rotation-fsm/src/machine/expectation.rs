//! What each consumer shall run with, and whether what it was seen to run with suffices.

use pki_core::{AuthorityRole, CaVersion, LeafKind, Plane};

use super::loaded::Loaded;
use super::{Machine, Phase, Rotating};
use crate::plan::VersionRange;
use crate::topology::{ConsumerId, PoolName};

/// Where a consumer stands, as far as plans ask.
#[derive(Clone, Copy)]
struct Place<'a> {
    plane: Plane,
    pool: Option<&'a PoolName>,
}

impl Machine {
    fn place<'a>(&'a self, consumer: &'a ConsumerId) -> Place<'a> {
        Place { plane: consumer.kind().plane(), pool: self.topology.pool_of(consumer) }
    }

    fn rotating(&self, role: AuthorityRole) -> Option<&Rotating> {
        match &self.phase {
            Phase::Rotating(rotating) if rotating.policy.roles.contains(&role) => Some(rotating),
            _ => None,
        }
    }

    fn active(&self, role: AuthorityRole) -> CaVersion {
        self.authorities.get(&role).map_or(CaVersion::FIRST, |authority| authority.active.version)
    }

    fn bundle_for(&self, role: AuthorityRole, place: Place<'_>) -> VersionRange {
        match self.rotating(role) {
            Some(rotating) => rotating.plan.bundle_at(rotating.stage, rotating.versions(), place.plane, place.pool),
            None => VersionRange::only(self.active(role)),
        }
    }

    /// What the plan of a running rotation says, or else the active generation.
    fn version_for(&self, role: AuthorityRole, planned: impl FnOnce(&Rotating) -> CaVersion) -> CaVersion {
        self.rotating(role).map_or_else(|| self.active(role), planned)
    }

    fn leaf_for(&self, role: AuthorityRole, leaf: LeafKind, place: Place<'_>) -> CaVersion {
        self.version_for(role, |rotating| {
            rotating.plan.leaf_at(rotating.stage, rotating.versions(), leaf, place.plane, place.pool)
        })
    }

    fn signer_for(&self, role: AuthorityRole) -> CaVersion {
        self.version_for(role, |rotating| rotating.plan.signer_at(rotating.stage, rotating.versions()))
    }

    /// The totality rule: which generation of which authority signs `leaf` for `consumer` now.
    ///
    /// It has an answer for every leaf of the hierarchy in every phase; `None` only for a leaf that
    /// the hierarchy does not have.
    #[must_use]
    pub fn issuer_of(&self, consumer: &ConsumerId, leaf: LeafKind) -> Option<(AuthorityRole, CaVersion)> {
        let role = self.topology.hierarchy().issuer_of(leaf)?;
        let place = self.place(consumer);
        let version = self.version_for(role, |rotating| {
            rotating.plan.issuer_at(rotating.stage, rotating.versions(), leaf, place.plane, place.pool)
        });
        Some((role, version))
    }

    /// What `consumer` shall run with at least.
    pub(super) fn expected(&self, consumer: &ConsumerId) -> Loaded {
        let place = self.place(consumer);
        let Some(uses) = self.topology.uses(consumer.kind()) else { return Loaded::default() };
        let csr_signer_at_restart = uses.csr_signer().map(|role| self.leaf_for(role, LeafKind::KubeletClient, place));
        Loaded {
            bundles: uses.trust.iter().map(|(_, role)| self.bundle_for(*role, place)).collect(),
            leaves: uses.leaves.iter().map(|(leaf, role)| self.leaf_for(*role, *leaf, place)).collect(),
            signs: uses.signs.map(|role| self.signer_for(role)),
            csr_signer_at_restart,
        }
    }

    pub(super) fn is_satisfied(&self, consumer: &ConsumerId, loaded: &Loaded) -> bool {
        let Some(uses) = self.topology.uses(consumer.kind()) else { return true };
        let expected = self.expected(consumer);
        let mut bundles = uses.trust.iter().zip(expected.bundles.iter().zip(&loaded.bundles));
        let mut leaves = uses.leaves.iter().zip(expected.leaves.iter().zip(&loaded.leaves));
        bundles.all(|((_, role), (expected, loaded))| self.bundle_suffices(*role, *expected, *loaded))
            && leaves.all(|((_, role), (expected, loaded))| self.leaf_suffices(*role, *expected, *loaded))
            && loaded.signs == expected.signs
            && loaded.csr_signer_at_restart >= expected.csr_signer_at_restart
    }

    /// A leaf of the next generation may come before its stage (a node restarts when it likes), once every bundle has
    /// both; before that it is use before trust, and to be taken back.
    pub(super) fn leaf_suffices(&self, role: AuthorityRole, expected: CaVersion, loaded: CaVersion) -> bool {
        let early = self
            .rotating(role)
            .is_some_and(|rotating| loaded == rotating.to && rotating.plan.is_trusted_everywhere(rotating.stage));
        loaded == expected || early
    }

    /// Holding the next generation early does no harm. Holding the previous one late does: once it
    /// is to be gone, only its absence suffices.
    pub(super) fn bundle_suffices(&self, role: AuthorityRole, expected: VersionRange, loaded: VersionRange) -> bool {
        let early = self.rotating(role).is_some_and(|rotating| expected == VersionRange::only(rotating.from));
        loaded == expected || (early && loaded.contains(expected))
    }
}
