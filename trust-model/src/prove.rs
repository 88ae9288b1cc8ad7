//! Whether a rotation's plan holds on the certificates that it would really use.
//!
//! `rotation-fsm` proves plans with generations by name. Here the same meetings take place with real certificates and real
//! bundles: a cross-certificate that has the wrong key identifier, a leaf without a usage or a root that expires on the way
//! breaks a path although the plan is right.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use pki_core::verify::Verifiers;
use pki_core::{
    AuthorityRole, BundleError, ComponentKind, Fingerprint, Hierarchy, LeafKind, Limits, Path, TrustBundle,
};
use rotation_fsm::{
    ConsumerId, ConsumerIdError, Holding, Meeting, Plan, PlanError, PoolName, StageId, Topology, TopologyError,
};
use rustls_pki_types::{CertificateDer, ServerName};
use time::UtcDateTime;

use crate::decide::{Decision, Denial, decide_client, decide_server};
use crate::model::ClusterModel;

/// Which of the two generations of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Generation {
    /// The one that is replaced.
    Current,
    /// The one that replaces it.
    Next,
}

impl Generation {
    const ALL: [Self; 2] = [Self::Current, Self::Next];

    const fn holding(self) -> Holding {
        match self {
            Self::Current => Holding::CURRENT,
            Self::Next => Holding::NEXT,
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current => "current",
            Self::Next => "next",
        })
    }
}

/// The certificates with which a rotation is to be carried out.
#[derive(Clone, Debug, Default)]
pub struct Artefacts {
    /// The root of every authority in both generations.
    pub roots: BTreeMap<(AuthorityRole, Generation), CertificateDer<'static>>,
    /// The next root, signed by the current one; only for plans that cross-sign.
    pub cross_certificates: BTreeMap<AuthorityRole, CertificateDer<'static>>,
    /// A leaf of every kind in both generations.
    pub leaves: BTreeMap<(LeafKind, Generation), CertificateDer<'static>>,
    /// The name under which each server is dialled.
    pub dialled: BTreeMap<LeafKind, ServerName<'static>>,
}

/// What a proof has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// How many pairs meet, over all stages and both directions.
    pub meetings: usize,
    /// How many of them differ in what is trusted and what is presented: so many chains were verified.
    pub verifications: usize,
    /// How many meetings are about tokens of service-account keys, which are no certificates.
    pub of_tokens: usize,
}

/// Two ends that do not verify each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// While which stage runs.
    pub stage: StageId,
    /// On which path.
    pub path: Path,
    /// Who dials.
    pub client: ComponentKind,
    /// Who answers.
    pub server: ComponentKind,
    /// Which of them does not accept the other.
    pub verifier: ComponentKind,
    /// What is presented to it.
    pub leaf: LeafKind,
    /// The leaf, by SHA-256 over its DER.
    pub presented: Fingerprint,
    /// The anchors that it verifies with.
    pub anchors: Vec<Fingerprint>,
    /// Why not.
    pub denial: Denial,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, path, client, server, verifier, leaf, presented, anchors, denial } = self;
        write!(f, "in `{stage}` on `{path}` from {client} to {server}: {verifier} verifies with ")?;
        let names: Vec<_> = anchors.iter().map(|anchor| format!("`{anchor}`")).collect();
        f.write_str(&if names.is_empty() { "nothing".to_owned() } else { names.join(" and ") })?;
        write!(f, " and is shown {leaf} `{presented}`: {denial}")
    }
}

/// Why a plan is not proved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProveError {
    /// The plan itself breaks a law.
    Plan(PlanError),
    /// A root is not there.
    MissingRoot {
        /// Of which authority.
        role: AuthorityRole,
        /// Which generation.
        generation: Generation,
    },
    /// The plan cross-signs, and the cross-certificate is not there.
    MissingCrossCertificate(AuthorityRole),
    /// A leaf is not there.
    MissingLeaf {
        /// Which one.
        leaf: LeafKind,
        /// Of which generation.
        generation: Generation,
    },
    /// Nobody says under which name a server is dialled.
    MissingName(LeafKind),
    /// The roots of an authority are no bundle.
    Bundle {
        /// Of which authority.
        role: AuthorityRole,
        /// Why not.
        cause: BundleError,
    },
    /// Two ends do not verify each other.
    Counterexample(Box<Counterexample>),
}

impl fmt::Display for ProveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => error.fmt(f),
            Self::MissingRoot { role, generation } => write!(f, "the {generation} root of {role} is missing"),
            Self::MissingCrossCertificate(role) => write!(f, "the cross-certificate of {role} is missing"),
            Self::MissingLeaf { leaf, generation } => {
                write!(f, "the leaf {leaf} of the {generation} generation is missing")
            }
            Self::MissingName(leaf) => {
                write!(f, "nobody says under which name the server with the leaf {leaf} is dialled")
            }
            Self::Bundle { role, cause } => write!(f, "the roots of {role} are no bundle: {cause}"),
            Self::Counterexample(found) => found.fmt(f),
        }
    }
}

impl core::error::Error for ProveError {}

/// Carries a plan out on paper, with the certificates that it would use: every pair that may meet while a stage runs, in
/// both directions, verifies the other as it would on the path.
///
/// # Errors
/// When the plan breaks a law by itself, when a certificate is missing, and with a [`Counterexample`] when one end
/// would refuse the other.
pub fn prove(
    plan: &Plan,
    topology: &Topology,
    roles: &[AuthorityRole],
    artefacts: &Artefacts,
    limits: &Limits,
    verifiers: Verifiers<'_>,
    now: UtcDateTime,
) -> Result<Proof, ProveError> {
    plan.check(topology, roles).map_err(ProveError::Plan)?;
    let meetings = plan.meetings(topology, roles).map_err(ProveError::Plan)?;
    let mut known = BTreeSet::new();
    let mut proof = Proof { meetings: meetings.len(), verifications: 0, of_tokens: 0 };
    for meeting in &meetings {
        if !meeting.role.is_certificate_authority() {
            proof.of_tokens += 1;
            continue;
        }
        if !known.insert((meeting.path, meeting.slot, meeting.trusts, meeting.leaf, meeting.presents)) {
            continue;
        }
        let bundle = artefacts.bundle(meeting.role, meeting.trusts, limits)?;
        let chain = artefacts.chain(meeting)?;
        for side in sides(meeting) {
            proof.verifications += 1;
            let decision = match side {
                Side::Server => {
                    let dialled = artefacts.dialled.get(&meeting.leaf).ok_or(ProveError::MissingName(meeting.leaf))?;
                    decide_server(meeting.path, &chain, dialled, &bundle, limits, verifiers, now)
                }
                Side::Client => decide_client(meeting.path, &chain, &bundle, limits, verifiers, now),
            };
            if let Decision::Deny(denial) = decision {
                return Err(ProveError::Counterexample(Box::new(counterexample(meeting, &bundle, &chain, denial))));
            }
        }
    }
    Ok(proof)
}

/// Which end of the path presents.
#[derive(Clone, Copy, Debug)]
enum Side {
    Client,
    Server,
}

/// As what a leaf is presented. etcd members present one leaf both ways.
fn sides(meeting: &Meeting) -> impl Iterator<Item = Side> {
    let (path, verifier) = (meeting.path, meeting.verifier);
    let by_client = path.client_trust() == Some(meeting.slot) && path.client() == verifier;
    let by_server = path.server_trust() == Some(meeting.slot) && path.server() == verifier;
    let presents = |side: Side| match side {
        Side::Server => by_client && path.endpoint().leaf() == Some(meeting.leaf),
        Side::Client => by_server && path.client_credential().leaf() == Some(meeting.leaf),
    };
    [Side::Server, Side::Client].into_iter().filter(move |side| presents(*side)).collect::<Vec<_>>().into_iter()
}

fn counterexample(
    meeting: &Meeting,
    bundle: &TrustBundle,
    chain: &[CertificateDer<'_>],
    denial: Denial,
) -> Counterexample {
    Counterexample {
        stage: meeting.stage.clone(),
        path: meeting.path,
        client: meeting.path.client(),
        server: meeting.path.server(),
        verifier: meeting.verifier,
        leaf: meeting.leaf,
        presented: Fingerprint::of(chain.first().map_or(&[], |leaf| leaf.as_ref())),
        anchors: bundle.certificates().iter().map(pki_core::CaCertificate::fingerprint).collect(),
        denial,
    }
}

impl Artefacts {
    fn bundle(&self, role: AuthorityRole, trusts: Holding, limits: &Limits) -> Result<TrustBundle, ProveError> {
        let held = Generation::ALL.into_iter().filter(|generation| trusts.contains(generation.holding()));
        let roots = held.map(|generation| {
            self.roots.get(&(role, generation)).cloned().ok_or(ProveError::MissingRoot { role, generation })
        });
        let roots: Vec<_> = roots.collect::<Result<_, _>>()?;
        TrustBundle::from_der(roots, limits).map_err(|cause| ProveError::Bundle { role, cause })
    }

    fn chain(&self, meeting: &Meeting) -> Result<Vec<CertificateDer<'static>>, ProveError> {
        let (leaf, role) = (meeting.leaf, meeting.role);
        let is_next = meeting.presents.contains(Holding::NEXT);
        let generation = if is_next { Generation::Next } else { Generation::Current };
        let missing = ProveError::MissingLeaf { leaf, generation };
        let mut chain = vec![self.leaves.get(&(leaf, generation)).cloned().ok_or(missing)?];
        if meeting.presents.is_chained() {
            let missing = ProveError::MissingCrossCertificate(role);
            chain.push(self.cross_certificates.get(&role).cloned().ok_or(missing)?);
        }
        Ok(chain)
    }
}

/// Why a model is no topology.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelTopologyError {
    /// A component's name is none that a consumer can have.
    Name {
        /// The component.
        kind: ComponentKind,
        /// Why not.
        cause: ConsumerIdError,
    },
    /// The topology does not take it.
    Topology(TopologyError),
}

impl fmt::Display for ModelTopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { kind, cause } => write!(f, "{kind}: {cause}"),
            Self::Topology(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ModelTopologyError {}

/// The topology of a cluster that was read: its components as the consumers of a rotation.
///
/// `pool_of` says to which pool a node belongs; all of them are added with `max_unavailable` nodes that may be away at once.
/// Konnectivity agents and pods stand on the nodes of the kubelets.
///
/// # Errors
/// When a component has a name that no consumer can have, or stands twice.
pub fn topology(
    model: &ClusterModel,
    hierarchy: Hierarchy,
    pool_of: impl Fn(&str) -> PoolName,
    max_unavailable: usize,
) -> Result<Topology, ModelTopologyError> {
    let mut topology = Topology::new(hierarchy);
    let pools: BTreeSet<_> = model.kubelets.iter().map(|kubelet| pool_of(&kubelet.name)).collect();
    for pool in pools {
        topology.add_pool(pool, max_unavailable).map_err(ModelTopologyError::Topology)?;
    }
    let id = |kind: ComponentKind, name: &str| {
        format!("{kind}/{name}").parse::<ConsumerId>().map_err(|cause| ModelTopologyError::Name { kind, cause })
    };
    for holder in model.all_holders() {
        let pool = match holder.kind {
            // There is one of all pods in the model; they are added with their nodes.
            ComponentKind::Pod => continue,
            ComponentKind::Kubelet | ComponentKind::KonnectivityAgent => Some(pool_of(holder.name)),
            _ => None,
        };
        topology.add(id(holder.kind, holder.name)?, pool).map_err(ModelTopologyError::Topology)?;
    }
    for kubelet in &model.kubelets {
        let pool = Some(pool_of(&kubelet.name));
        topology.add(id(ComponentKind::Pod, &kubelet.name)?, pool).map_err(ModelTopologyError::Topology)?;
    }
    Ok(topology)
}
