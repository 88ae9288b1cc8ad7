//! A rotation as plain data: stages in order, each with what must hold before the next begins.

mod check;

use core::fmt;

use pki_core::{CaVersion, ComponentKind, Plane};

use crate::facet::{Facet, Holding};
use crate::topology::PoolName;

pub use self::check::{Loss, Meeting, Offence, PlanError};

/// The generations of an authority that a bundle holds: one, or the one that is replaced and the one that replaces it.
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

    /// These two, in whichever order they are given. After a rotation that was rolled back they are not consecutive:
    /// its version is not used again.
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

    /// The versions, oldest first.
    pub fn versions(self) -> impl Iterator<Item = CaVersion> {
        [Some(self.first), (self.first != self.last).then_some(self.last)].into_iter().flatten()
    }

    /// Whether every version of `other` is one of these.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        other.versions().all(|version| version == self.first || version == self.last)
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Scope {
    /// Whatever runs with the API server.
    ControlPlane,
    /// The consumers on the nodes of one pool; of the last pool of a plan, those of pools that were added since too.
    Pool(PoolName),
    /// The consumers on all nodes at once: in a cluster that had no pool when the plan was made, and in an emergency.
    Nodes,
    /// Clients outside.
    External,
}

/// What a stage achieves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Step {
    /// The next authorities exist. Nobody trusts or uses them.
    Mint,
    /// The next authorities are also certified by the ones that they replace.
    CrossSign,
    /// Bundles hold both generations.
    TrustBoth,
    /// The API servers serve on a second address, with the next serving certificate.
    OpenAddress,
    /// Leaves that are presented in one direction come from the next authority.
    Leaves,
    /// Leaves that are presented in both directions (etcd) come from the next authority.
    DualRoleLeaves,
    /// Whoever signs at run time (the CSR signer, the token signer) signs with the next key.
    SwitchSigner,
    /// The `kubernetes` Service leads to the second address.
    MoveService,
    /// What the API servers present to kubelets comes from the next authority.
    KubeletClientLeaf,
    /// The API servers serve on the second address only.
    CloseAddress,
    /// Bundles hold the next generation only.
    TrustNext,
    /// Leaves are presented without the cross-certificate.
    DropCrossCertificate,
    /// The keys that nobody needs any more are destroyed: the previous ones, or after a rollback the next ones.
    DestroyKeys,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 13] = [
        Self::Mint,
        Self::CrossSign,
        Self::TrustBoth,
        Self::OpenAddress,
        Self::Leaves,
        Self::DualRoleLeaves,
        Self::SwitchSigner,
        Self::MoveService,
        Self::KubeletClientLeaf,
        Self::CloseAddress,
        Self::TrustNext,
        Self::DropCrossCertificate,
        Self::DestroyKeys,
    ];

    /// Whether everything before this step can be undone, and this cannot: from here on somebody no longer accepts
    /// what the previous generation issued.
    #[must_use]
    pub const fn is_past_return(self) -> bool {
        matches!(self, Self::CloseAddress | Self::TrustNext | Self::DropCrossCertificate | Self::DestroyKeys)
    }
}

/// Which stage: what it achieves, for whom, and whether it takes that back. Unique in its plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct StageId {
    pub(crate) step: Step,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(crate) scope: Option<Scope>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "core::ops::Not::not"))]
    pub(crate) undo: bool,
    /// Counts the stages of one step and scope, from zero, where a plan has several: early and late bundles.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
    pub(crate) part: u8,
}

#[cfg(feature = "serde")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(part: &u8) -> bool {
    *part == 0
}

impl StageId {
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

    /// Whether it takes back what a stage of a rotation that is rolled back achieved.
    #[must_use]
    pub const fn is_undo(&self) -> bool {
        self.undo
    }
}

impl fmt::Display for StageId {
    /// The stage's stable identifier, such as `node-trust/pool-a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.undo {
            f.write_str("undo-")?;
        }
        let (step, placed) = match self.step {
            Step::Mint => ("mint", false),
            Step::CrossSign => ("cross-sign", false),
            Step::OpenAddress => ("open-address", false),
            Step::SwitchSigner => ("signer", false),
            Step::MoveService => ("service", false),
            Step::KubeletClientLeaf => ("kubelet-client-leaf", false),
            Step::CloseAddress => ("close-address", false),
            Step::DestroyKeys => ("destroy-keys", false),
            Step::DualRoleLeaves => ("etcd-leaves", false),
            Step::TrustBoth => ("trust", true),
            Step::Leaves => ("leaves", true),
            Step::TrustNext => ("retire", true),
            Step::DropCrossCertificate => ("unchain", true),
        };
        match &self.scope {
            Some(Scope::ControlPlane) | None if placed => write!(f, "control-plane-{step}")?,
            Some(Scope::Pool(pool)) => write!(f, "node-{step}/{pool}")?,
            Some(Scope::Nodes) => write!(f, "node-{step}")?,
            Some(Scope::External) => write!(f, "external-{step}")?,
            _ => f.write_str(step)?,
        }
        if self.part > 0 { write!(f, "#{}", u16::from(self.part) + 1) } else { Ok(()) }
    }
}

/// What every consumer of a kind in a stage's scope shall hold from that stage on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Change {
    /// Whose.
    pub kind: ComponentKind,
    /// What of it.
    pub facet: Facet,
    /// Which generations.
    pub to: Holding,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.facet, self.to)
    }
}

/// One stage: everything that it asks may happen in any order, and all of it has been seen before the next begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Stage {
    pub(crate) id: StageId,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(crate) changes: Vec<Change>,
}

impl Stage {
    /// Which stage.
    #[must_use]
    pub const fn id(&self) -> &StageId {
        &self.id
    }

    /// What it achieves.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.id.step
    }

    /// Whom it touches; `None` for what no consumer loads.
    #[must_use]
    pub const fn scope(&self) -> Option<&Scope> {
        self.id.scope.as_ref()
    }

    /// What it asks for.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// Which way a plan leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Direction {
    /// To the next generation.
    Forward,
    /// Back to the current one.
    Back,
}

/// The stages of a rotation, in order: plain data that prints, serialises and is [checked](Self::check).
///
/// A plan that leads back has the stages that it undoes before its own, as history: what a consumer may hold while the
/// way back begins follows from them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Plan {
    pub(crate) direction: Direction,
    /// The pools at the time, in order. The nodes of others count to the last.
    pub(crate) pools: Vec<PoolName>,
    /// What was begun of the plan that this one undoes.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(crate) history: Vec<Stage>,
    pub(crate) stages: Vec<Stage>,
}

impl Plan {
    /// Which way it leads.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// The stages.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The index of the first stage after which there is no way back, if the plan has one.
    #[must_use]
    pub fn point_of_no_return(&self) -> Option<usize> {
        if self.direction == Direction::Back {
            return Some(0);
        }
        self.stages.iter().position(|stage| stage.step().is_past_return())
    }

    /// Whether a stage touches the consumers of a plane and pool.
    pub(crate) fn covers(&self, stage: &StageId, plane: Plane, pool: Option<&PoolName>) -> bool {
        match &stage.scope {
            None => false,
            Some(Scope::ControlPlane) => plane == Plane::Control,
            Some(Scope::External) => plane == Plane::External,
            Some(Scope::Nodes) => plane == Plane::Data,
            Some(Scope::Pool(own)) => {
                pool.is_some_and(|pool| pool == own || (self.pools.last() == Some(own) && !self.pools.contains(pool)))
            }
        }
    }

    /// How the holding of one facet moves through the stages: every stage that changes it, and what to.
    pub(crate) fn moves<'a>(
        &'a self,
        stages: &'a [Stage],
        kind: ComponentKind,
        pool: Option<&'a PoolName>,
        facet: Facet,
    ) -> impl Iterator<Item = (usize, Holding)> + 'a {
        let touching = stages.iter().enumerate().filter(move |(_, stage)| self.covers(&stage.id, kind.plane(), pool));
        touching.filter_map(move |(index, stage)| {
            let change = stage.changes.iter().find(|change| change.kind == kind && change.facet == facet)?;
            Some((index, change.to))
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stages.iter().enumerate().try_for_each(|(index, stage)| writeln!(f, "{:>2}  {stage}", index + 1))
    }
}
