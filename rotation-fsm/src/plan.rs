//! A rotation as plain data: stages in order, each with what must hold before the next begins.

use core::fmt;

use pki_core::{CaVersion, LeafKind, Plane};

use crate::topology::{PoolName, is_signed_at_run_time};

/// The generations of an authority that a bundle holds: one, or one and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    first: CaVersion,
    last: CaVersion,
}

impl VersionRange {
    /// Only this version.
    #[must_use]
    pub const fn only(version: CaVersion) -> Self {
        Self { first: version, last: version }
    }

    /// Every version from `a` to `b`, in whichever order they are given.
    #[must_use]
    pub fn between(a: CaVersion, b: CaVersion) -> Self {
        Self { first: a.min(b), last: a.max(b) }
    }

    /// The oldest version.
    #[must_use]
    pub const fn first(self) -> CaVersion {
        self.first
    }

    /// The newest version.
    #[must_use]
    pub const fn last(self) -> CaVersion {
        self.last
    }

    /// Whether every version of `other` is in this range.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

impl fmt::Display for VersionRange {
    /// As GDC's status writes a bundle: `[2]`, or `[1 2]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "[{}]", self.first)
        } else {
            write!(f, "[{} {}]", self.first, self.last)
        }
    }
}

/// Which consumers a stage touches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Whatever runs with the API server.
    ControlPlane,
    /// The consumers on the nodes of one pool.
    Pool(PoolName),
    /// Clients outside.
    External,
}

impl Scope {
    pub(crate) fn covers(&self, plane: Plane, pool: Option<&PoolName>) -> bool {
        match self {
            Self::ControlPlane => plane == Plane::Control,
            Self::Pool(own) => pool == Some(own),
            Self::External => plane == Plane::External,
        }
    }
}

/// What a stage achieves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The next authorities exist. Nobody trusts or uses them.
    Mint,
    /// Bundles hold both generations.
    TrustBoth,
    /// Leaves that are presented in one direction come from the next authority.
    Leaves,
    /// Leaves that are presented in both directions (etcd) come from the next authority.
    DualRoleLeaves,
    /// Whoever signs at run time (the CSR signer, the token signer) signs with the next key.
    SwitchSigner,
    /// Bundles hold the next generation only.
    TrustNext,
    /// The previous keys are destroyed.
    DestroyKeys,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stage {
    step: Step,
    scope: Option<Scope>,
}

impl Stage {
    pub(crate) const fn everywhere(step: Step) -> Self {
        Self { step, scope: None }
    }

    pub(crate) const fn within(step: Step, scope: Scope) -> Self {
        Self { step, scope: Some(scope) }
    }

    /// What it achieves.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.step
    }

    /// Whom it touches; `None` for what no consumer loads.
    #[must_use]
    pub const fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    pub(crate) fn covers(&self, plane: Plane, pool: Option<&PoolName>) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.covers(plane, pool))
    }

    pub(crate) fn reissues(&self, leaf: LeafKind) -> bool {
        match self.step {
            Step::Leaves => !leaf.is_dual_role(),
            Step::DualRoleLeaves => leaf.is_dual_role(),
            _ => false,
        }
    }
}

impl fmt::Display for Stage {
    /// The stage's stable identifier, such as `node-trust/pool-a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Mint => return f.write_str("mint"),
            Step::SwitchSigner => return f.write_str("signer"),
            Step::DestroyKeys => return f.write_str("destroy-keys"),
            Step::DualRoleLeaves => return f.write_str("etcd-leaves"),
            Step::TrustBoth => "trust",
            Step::Leaves => "leaves",
            Step::TrustNext => "retire",
        };
        match &self.scope {
            Some(Scope::ControlPlane) | None => write!(f, "control-plane-{step}"),
            Some(Scope::Pool(pool)) => write!(f, "node-{step}/{pool}"),
            Some(Scope::External) => write!(f, "external-{step}"),
        }
    }
}

/// The stages of a rotation, in order. Only a [`Strategy`](crate::Strategy) makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    stages: Vec<Stage>,
}

impl Plan {
    pub(crate) const fn new(stages: Vec<Stage>) -> Self {
        Self { stages }
    }

    /// The stages.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The stages from the first to the one at `index`, which are begun when that one is.
    fn begun(&self, index: usize) -> impl DoubleEndedIterator<Item = &Stage> {
        self.stages.iter().take(index.saturating_add(1))
    }

    /// The generations that a bundle in this place must hold while the stage at `index` runs.
    pub(crate) fn bundle_at(
        &self,
        index: usize,
        (from, to): (CaVersion, CaVersion),
        plane: Plane,
        pool: Option<&PoolName>,
    ) -> VersionRange {
        let last = self
            .begun(index)
            .rev()
            .find(|stage| matches!(stage.step, Step::TrustBoth | Step::TrustNext) && stage.covers(plane, pool));
        match last.map(|stage| stage.step) {
            None => VersionRange::only(from),
            Some(Step::TrustNext) => VersionRange::only(to),
            Some(_) => VersionRange::between(from, to),
        }
    }

    /// Whether every bundle holds both generations while the stage at `index` runs, so that a leaf of the next one
    /// is early at worst and never untrusted.
    pub(crate) fn is_trusted_everywhere(&self, index: usize) -> bool {
        let trusting = |stage: &Stage| matches!(stage.step, Step::Mint | Step::TrustBoth);
        self.stages.get(index).is_some_and(|stage| !trusting(stage))
    }

    /// The generation that signs with a run-time signing key while the stage at `index` runs.
    pub(crate) fn signer_at(&self, index: usize, (from, to): (CaVersion, CaVersion)) -> CaVersion {
        let switched = self.begun(index).any(|stage| stage.step == Step::SwitchSigner);
        if switched { to } else { from }
    }

    /// The generation from which a leaf in this place must come while the stage at `index` runs.
    pub(crate) fn leaf_at(
        &self,
        index: usize,
        (from, to): (CaVersion, CaVersion),
        leaf: LeafKind,
        plane: Plane,
        pool: Option<&PoolName>,
    ) -> CaVersion {
        let reissued = self.begun(index).any(|stage| stage.reissues(leaf) && stage.covers(plane, pool));
        if reissued { to } else { from }
    }

    /// The totality rule: the generation that signs a leaf which is asked for while the stage at
    /// `index` runs. It has an answer for every leaf, place and stage.
    ///
    /// A leaf that is signed at run time comes from whoever signs then, whether or not its own stage
    /// has come; that is why signers switch before nodes are recreated for their leaves.
    pub(crate) fn issuer_at(
        &self,
        index: usize,
        versions: (CaVersion, CaVersion),
        leaf: LeafKind,
        plane: Plane,
        pool: Option<&PoolName>,
    ) -> CaVersion {
        if is_signed_at_run_time(leaf) {
            self.signer_at(index, versions)
        } else {
            self.leaf_at(index, versions, leaf, plane, pool)
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stages.iter().enumerate().try_for_each(|(index, stage)| writeln!(f, "{:>2}  {stage}", index + 1))
    }
}
