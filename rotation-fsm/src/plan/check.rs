//! Whether a plan keeps the laws, whatever order the consumers of a stage move in.
//!
//! A stage is over when everybody that it touches holds what it asks for. Until then each of them holds either that or
//! what it held before, so of every path both ends are taken with everything that they may hold at the time: if one
//! combination does not verify, some order of events breaks the path.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use pki_core::{AuthorityRole, ComponentKind, LeafKind, Path, TrustSlot};

use super::{Change, Direction, Plan, Stage, StageId, Step};
use crate::facet::{Facet, Holding, Holdings, Track};
use crate::topology::{Class, Edge, Topology, is_signed_at_run_time};

/// What breaks when a plan is carried out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Offence {
    /// Somebody may present what somebody else does not verify (law 1, trust before use; law 2, use before retirement).
    Unverified {
        /// The path.
        path: Path,
        /// Who verifies.
        verifier: ComponentKind,
        /// With what.
        trusts: Holding,
        /// Who presents.
        presenter: ComponentKind,
        /// What.
        leaf: LeafKind,
        /// Of which generation.
        presents: Holding,
    },
    /// Somebody may dial an address on which some API server does not serve.
    Unreachable {
        /// The path.
        path: Path,
        /// Who dials.
        client: ComponentKind,
        /// Which address.
        dials: Holding,
        /// Where an API server serves.
        serves: Holding,
    },
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unverified { path, verifier, trusts, presenter, leaf, presents } => {
                write!(f, "{path}: {verifier} trusts {trusts} and {presenter} presents {leaf} of {presents}")
            }
            Self::Unreachable { path, client, dials, serves } => {
                write!(f, "{path}: {client} dials {dials} and an API server serves on {serves}")
            }
        }
    }
}

/// A path that is broken for somebody while a stage runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    /// The stage.
    pub stage: StageId,
    /// What breaks.
    pub offence: Offence,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in `{}`: {}", self.stage, self.offence)
    }
}

/// Two ends of a path as a plan lets them meet: what one verifies with, and what the other presents.
///
/// Generations are relative to the rotation that the plan is for. A machine knows them by name only; whoever has the
/// certificates can see whether they verify.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Meeting {
    /// While which stage runs.
    pub stage: StageId,
    /// The path.
    pub path: Path,
    /// The authority of which both hold something.
    pub role: AuthorityRole,
    /// Who verifies.
    pub verifier: ComponentKind,
    /// Where it loads its bundle from.
    pub slot: TrustSlot,
    /// Which generations are in it.
    pub trusts: Holding,
    /// Who presents.
    pub presenter: ComponentKind,
    /// What.
    pub leaf: LeafKind,
    /// Of which generation, and whether with the cross-certificate.
    pub presents: Holding,
}

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// Carried out, it breaks a path.
    Breaks(Loss),
    /// A stage asks something of a component that has nothing of the kind, or of an authority that is not replaced.
    UnknownFacet {
        /// The stage.
        stage: StageId,
        /// The component.
        kind: ComponentKind,
        /// What it has not.
        facet: Facet,
    },
    /// A stage asks for a holding that its facet cannot have, or not in this stage, or for two of one facet.
    Impossible {
        /// The stage.
        stage: StageId,
        /// The component.
        kind: ComponentKind,
        /// Of what.
        facet: Facet,
        /// Which holding.
        to: Holding,
    },
    /// Nodes are to come back with certificates of the next generation before, or of the current one after, the signer
    /// is switched: they would come back with the other.
    SignerNotSwitched {
        /// The stage.
        stage: StageId,
    },
    /// Two stages have one name, so that nobody could tell for which one a word was given.
    Repeated(StageId),
    /// The generation is not minted first, or the keys are not destroyed last.
    Ends {
        /// What is missing there.
        step: Step,
    },
    /// When all is done somebody still holds what was to be gone (law 7, no lingering trust).
    Lingering {
        /// The component.
        kind: ComponentKind,
        /// Of what.
        facet: Facet,
        /// Which holding.
        holds: Holding,
    },
    /// A leaf is to be presented with a cross-certificate that nobody has signed by then.
    NotCrossSigned {
        /// The stage.
        stage: StageId,
    },
    /// The two authorities of etcd would be replaced at once, and both restart the same members.
    EtcdTogether,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Breaks(loss) => write!(f, "the plan breaks a path {loss}"),
            Self::UnknownFacet { stage, kind, facet } => {
                write!(f, "`{stage}` asks of {kind} what it has no part in: {facet}")
            }
            Self::Impossible { stage, kind, facet, to } => {
                write!(f, "`{stage}` asks of {kind}: {facet} {to}, which cannot be")
            }
            Self::SignerNotSwitched { stage } => {
                write!(f, "`{stage}` has nodes renew their certificates while the other key signs them")
            }
            Self::NotCrossSigned { stage } => {
                write!(f, "`{stage}` has a cross-certificate presented that is not signed by then")
            }
            Self::Repeated(stage) => write!(f, "the plan has two stages `{stage}`"),
            Self::Ends { step: Step::Mint } => f.write_str("the plan does not begin with minting the next generation"),
            Self::Ends { .. } => {
                f.write_str("the plan does not end with destroying the keys that nobody needs any more")
            }
            Self::Lingering { kind, facet, holds } => write!(f, "at the end {kind} still {facet} {holds}"),
            Self::EtcdTogether => f.write_str("the two authorities of etcd are never replaced at once"),
        }
    }
}

impl core::error::Error for PlanError {}

/// What the consumers of every class may hold.
struct May<'a> {
    topology: &'a Topology,
    roles: &'a [AuthorityRole],
    cross_signed: bool,
    held: BTreeMap<(usize, Facet), Holdings>,
    /// What may be held of a bundle together with the address that is dialled: both stand in one kubeconfig, so they
    /// change at once.
    kubeconfigs: BTreeMap<InClass, BTreeSet<Kubeconfig>>,
}

/// The bundle of a class.
type InClass = (usize, TrustSlot);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kubeconfig {
    dials: Holding,
    trusts: Holding,
}

impl Kubeconfig {
    const FIRST: Self = Self { dials: Holding::CURRENT, trusts: Holding::CURRENT };

    fn changed(self, slot: TrustSlot, changes: &[Change], kind: ComponentKind) -> Self {
        changes.iter().filter(|change| change.kind == kind).fold(self, |kubeconfig, change| match change.facet {
            Facet::Dials => Self { dials: change.to, ..kubeconfig },
            Facet::Trusts(own) if own == slot => Self { trusts: change.to, ..kubeconfig },
            _ => kubeconfig,
        })
    }
}

impl Plan {
    /// Whether the plan, carried out on this topology for these authorities, keeps the laws at every moment.
    ///
    /// # Errors
    /// The first law that it breaks, with the stage.
    pub fn check(&self, topology: &Topology, roles: &[AuthorityRole]) -> Result<(), PlanError> {
        match self.losses(topology, roles)?.into_iter().next() {
            Some(loss) => Err(PlanError::Breaks(loss)),
            None => Ok(()),
        }
    }

    /// The paths that break while the plan is carried out, stage by stage: nothing for any plan but an emergency's.
    ///
    /// # Errors
    /// What is wrong with the plan besides.
    pub fn losses(&self, topology: &Topology, roles: &[AuthorityRole]) -> Result<Vec<Loss>, PlanError> {
        let mut losses = Vec::new();
        self.walk(topology, roles, |may, stage| {
            losses.extend(may.offences().map(|offence| Loss { stage: stage.id.clone(), offence }));
        })?;
        losses.dedup();
        Ok(losses)
    }

    /// Every pair of ends that may meet while the plan is carried out, stage by stage and in both directions, with
    /// everything that each may hold at the time.
    ///
    /// # Errors
    /// What is wrong with the plan itself; whether the pairs verify each other is not asked here.
    pub fn meetings(&self, topology: &Topology, roles: &[AuthorityRole]) -> Result<Vec<Meeting>, PlanError> {
        let mut meetings = Vec::new();
        self.walk(topology, roles, |may, stage| {
            for edge in may.edges() {
                let mut pairs = BTreeSet::new();
                may.encounters(edge, |_, trusts, _, presents| {
                    pairs.insert((trusts, presents));
                });
                let &Edge { path, role, verifier, slot, presenter, leaf, .. } = edge;
                let meeting = |(trusts, presents)| {
                    let stage = stage.id.clone();
                    Meeting { stage, path, role, verifier, slot, trusts, presenter, leaf, presents }
                };
                meetings.extend(pairs.into_iter().map(meeting));
            }
        })?;
        Ok(meetings)
    }

    /// Goes through the stages, and shows each with what everybody may hold while it runs.
    fn walk<'a>(
        &'a self,
        topology: &'a Topology,
        roles: &'a [AuthorityRole],
        mut visit: impl FnMut(&May<'a>, &'a Stage),
    ) -> Result<(), PlanError> {
        if [AuthorityRole::EtcdApi, AuthorityRole::EtcdPeer].iter().all(|role| roles.contains(role)) {
            return Err(PlanError::EtcdTogether);
        }
        self.check_frame()?;
        let mut may = May { topology, roles, cross_signed: false, held: BTreeMap::new(), kubeconfigs: BTreeMap::new() };
        for stage in &self.history {
            may.begin(self, stage)?;
            // The last one may have been left half-way.
            if Some(stage) != self.history.last() {
                may.end(self, stage);
            }
        }
        for stage in &self.stages {
            may.begin(self, stage)?;
            visit(&may, stage);
            may.end(self, stage);
        }
        may.check_rest(self.direction)
    }

    fn check_frame(&self) -> Result<(), PlanError> {
        let steps = |index: Option<&Stage>| index.map(Stage::step);
        if self.direction == Direction::Forward && steps(self.stages.first()) != Some(Step::Mint) {
            return Err(PlanError::Ends { step: Step::Mint });
        }
        if steps(self.stages.last()) != Some(Step::DestroyKeys) {
            return Err(PlanError::Ends { step: Step::DestroyKeys });
        }
        let (first, last) = (self.direction == Direction::Forward, self.stages.len().saturating_sub(1));
        for (index, stage) in self.stages.iter().enumerate() {
            match stage.step() {
                Step::Mint if index > 0 || !first => return Err(PlanError::Ends { step: Step::Mint }),
                Step::DestroyKeys if index < last => return Err(PlanError::Ends { step: Step::DestroyKeys }),
                _ => {}
            }
        }
        let mut seen = BTreeSet::new();
        match self.stages.iter().find(|stage| !seen.insert(&stage.id)) {
            Some(repeated) => Err(PlanError::Repeated(repeated.id.clone())),
            None => Ok(()),
        }
    }
}

impl<'t> May<'t> {
    fn of(&self, class: usize, facet: Facet) -> Holdings {
        self.held.get(&(class, facet)).copied().unwrap_or(Holdings::one(Holding::CURRENT))
    }

    /// Who a change concerns.
    fn concerned<'a>(
        &'a self,
        plan: &'a Plan,
        stage: &'a StageId,
        kind: ComponentKind,
    ) -> impl Iterator<Item = usize> + 'a {
        let classes = self.topology.classes().iter().enumerate().filter(move |(_, class)| class.kind == kind);
        classes.filter(move |(_, class)| plan.covers(stage, kind.plane(), class.pool.as_ref())).map(|(index, _)| index)
    }

    /// From now on everybody concerned may hold what the stage asks for.
    fn begin(&mut self, plan: &Plan, stage: &Stage) -> Result<(), PlanError> {
        for change in &stage.changes {
            let (kind, facet, to) = (change.kind, change.facet, change.to);
            let unknown = || PlanError::UnknownFacet { stage: stage.id.clone(), kind, facet };
            let uses = self.topology.uses(kind).ok_or_else(unknown)?;
            let (_, track) = uses.facets.iter().find(|(known, _)| *known == facet).ok_or_else(unknown)?;
            if let Track::Authority(role) = track
                && !self.roles.contains(role)
            {
                return Err(unknown());
            }
            // The machine follows the switch by its step, and one change by its facet.
            let misplaced = matches!(facet, Facet::Signs(_)) && stage.step() != Step::SwitchSigner;
            let same = |other: &&Change| (other.kind, other.facet) == (kind, facet);
            if !is_possible(facet, to) || misplaced || stage.changes.iter().filter(same).count() > 1 {
                return Err(PlanError::Impossible { stage: stage.id.clone(), kind, facet, to });
            }
            if to.is_chained() && !self.cross_signed {
                return Err(PlanError::NotCrossSigned { stage: stage.id.clone() });
            }
            if facet.is_renewed()
                && let Track::Authority(role) = track
                && self.signers(*role).any(|signs| signs != Holdings::one(to))
            {
                return Err(PlanError::SignerNotSwitched { stage: stage.id.clone() });
            }
            for class in self.concerned(plan, &stage.id, kind).collect::<Vec<_>>() {
                let may = self.of(class, facet).or(to);
                self.held.insert((class, facet), may);
            }
        }
        for (key, kubeconfigs) in self.kubeconfigs_in(plan, stage) {
            let changed: Vec<_> = kubeconfigs.iter().map(|(_, changed)| *changed).collect();
            let may = self.kubeconfigs.entry(key).or_default();
            may.extend(kubeconfigs.into_iter().map(|(before, _)| before).chain(changed));
        }
        // Whoever restarts from now on gets its certificate from whoever signs from now on.
        if stage.step() == Step::SwitchSigner {
            self.let_renew();
        }
        Ok(())
    }

    /// The kubeconfigs that a stage concerns: what each may be, and what it is then.
    fn kubeconfigs_in(&self, plan: &Plan, stage: &Stage) -> Vec<(InClass, Vec<(Kubeconfig, Kubeconfig)>)> {
        let edges = self.topology.edges().iter().filter(|edge| edge.by_address);
        let mut found = Vec::new();
        for edge in edges {
            for class in self.concerned(plan, &stage.id, edge.verifier) {
                let key = (class, edge.slot);
                let change = |before| (before, Kubeconfig::changed(before, edge.slot, &stage.changes, edge.verifier));
                found.push((key, self.kubeconfigs_of(key).into_iter().map(change).collect()));
            }
        }
        found
    }

    fn kubeconfigs_of(&self, key: InClass) -> BTreeSet<Kubeconfig> {
        self.kubeconfigs.get(&key).cloned().unwrap_or_else(|| BTreeSet::from([Kubeconfig::FIRST]))
    }

    /// The stage is over: everybody concerned holds what it asked for, and nothing else.
    fn end(&mut self, plan: &Plan, stage: &Stage) {
        self.cross_signed |= stage.step() == Step::CrossSign;
        for (key, kubeconfigs) in self.kubeconfigs_in(plan, stage) {
            self.kubeconfigs.insert(key, kubeconfigs.into_iter().map(|(_, changed)| changed).collect());
        }
        for change in &stage.changes {
            for class in self.concerned(plan, &stage.id, change.kind).collect::<Vec<_>>() {
                self.held.insert((class, change.facet), Holdings::one(change.to));
            }
        }
    }

    fn signers(&self, role: AuthorityRole) -> impl Iterator<Item = Holdings> + '_ {
        let facet = Facet::Signs(role);
        let classes = self.topology.classes().iter().enumerate();
        let signing = classes.filter(move |(_, class)| self.has(class, facet));
        signing.map(move |(index, _)| self.of(index, facet))
    }

    fn has(&self, class: &Class, facet: Facet) -> bool {
        self.topology.uses(class.kind).is_some_and(|uses| uses.position(facet).is_some())
    }

    /// Leaves that are signed at run time may come from any key that may be signing.
    fn let_renew(&mut self) {
        for &role in self.roles {
            let signs = self.signers(role).fold(Holdings::default(), Holdings::union);
            for (class, kind) in self.topology.classes().iter().map(|class| class.kind).enumerate() {
                let facets: Vec<_> = self.topology.uses(kind).into_iter().flat_map(|uses| uses.of_role(role)).collect();
                for facet in facets {
                    if matches!(facet, Facet::Presents(leaf) if is_signed_at_run_time(leaf)) {
                        let may = self.of(class, facet).union(signs);
                        self.held.insert((class, facet), may);
                    }
                }
            }
        }
    }

    fn of_kind(&self, kind: ComponentKind) -> impl Iterator<Item = usize> + '_ {
        self.topology.classes().iter().enumerate().filter(move |(_, class)| class.kind == kind).map(|(index, _)| index)
    }

    fn edges(&self) -> impl Iterator<Item = &'t Edge> + '_ {
        self.topology.edges().iter().filter(|edge| self.roles.contains(&edge.role))
    }

    fn offences(&self) -> impl Iterator<Item = Offence> + '_ {
        self.edges().flat_map(|edge| self.offences_on(edge))
    }

    fn offences_on(&self, edge: &Edge) -> Vec<Offence> {
        let mut found = Vec::new();
        let Edge { path, verifier, presenter, leaf, by_address, .. } = *edge;
        self.encounters(edge, |at, trusts, dials, presents| {
            if by_address {
                let deaf = self.of(at, Facet::Serves).iter().find(|serves| !serves.contains(dials));
                found.extend(deaf.map(|serves| Offence::Unreachable { path, client: verifier, dials, serves }));
            }
            if !trusts.verifies(presents) {
                found.push(Offence::Unverified { path, verifier, trusts, presenter, leaf, presents });
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Everybody of one direction of a path with everybody at its other end: the class of the presenter, what is trusted,
    /// which address is dialled, what is presented.
    fn encounters(&self, edge: &Edge, mut visit: impl FnMut(usize, Holding, Holding, Holding)) {
        let trusts = |class| (self.kubeconfigs_of((class, edge.slot)), self.of(class, Facet::Trusts(edge.slot)));
        let shows =
            |class| [Facet::Presents(edge.leaf), Facet::Serves, Facet::Service].map(|facet| self.of(class, facet));
        let presenters = unlike(self.of_kind(edge.presenter), shows);
        for verifier in unlike(self.of_kind(edge.verifier), trusts) {
            for &presenter in &presenters {
                for (trusts, dials) in self.verifies(edge, verifier, presenter) {
                    // On the second address the next generation serves, whatever the first one shows.
                    let presents = match dials {
                        Holding::NEXT => Holdings::one(Holding::NEXT),
                        _ => self.of(presenter, Facet::Presents(edge.leaf)),
                    };
                    presents.iter().for_each(|presents| visit(presenter, trusts, dials, presents));
                }
            }
        }
    }

    /// With which bundle the verifier may meet the presenter, and at which address.
    fn verifies(&self, edge: &Edge, verifier: usize, presenter: usize) -> Vec<(Holding, Holding)> {
        if edge.by_address && edge.verifier != ComponentKind::Pod {
            let kubeconfigs = self.kubeconfigs_of((verifier, edge.slot)).into_iter();
            return kubeconfigs.map(|kubeconfig| (kubeconfig.trusts, kubeconfig.dials)).collect();
        }
        // Pods dial the Service, wherever it leads.
        let dials = if edge.by_address { self.of(presenter, Facet::Service) } else { Holdings::one(Holding::CURRENT) };
        let trusts = self.of(verifier, Facet::Trusts(edge.slot));
        trusts.iter().flat_map(|trusts| dials.iter().map(move |dials| (trusts, dials))).collect()
    }

    /// When all is done everybody holds one generation, and nobody shows a cross-certificate.
    fn check_rest(&self, direction: Direction) -> Result<(), PlanError> {
        let wanted = Holdings::one(if direction == Direction::Forward { Holding::NEXT } else { Holding::CURRENT });
        let moves_address = self.held.keys().any(|(_, facet)| *facet == Facet::Serves);
        for (index, class) in self.topology.classes().iter().enumerate() {
            for (facet, track) in self.topology.uses(class.kind).into_iter().flat_map(|uses| &uses.facets) {
                let concerned = match track {
                    Track::Authority(role) => self.roles.contains(role),
                    Track::Address => moves_address,
                };
                let may = self.of(index, *facet);
                if concerned && may != wanted {
                    let holds = may.iter().find(|holding| !wanted.has(*holding)).unwrap_or_default();
                    return Err(PlanError::Lingering { kind: class.kind, facet: *facet, holds });
                }
            }
        }
        Ok(())
    }
}

/// Of classes that may hold the same, the first: pools that are equally far meet the same, and there may be hundreds.
fn unlike<K: PartialEq>(classes: impl Iterator<Item = usize>, key: impl Fn(usize) -> K) -> Vec<usize> {
    let mut known: Vec<(K, usize)> = Vec::new();
    for class in classes {
        let key = key(class);
        if !known.iter().any(|(other, _)| *other == key) {
            known.push((key, class));
        }
    }
    known.into_iter().map(|(_, class)| class).collect()
}

/// Whether a facet can hold that at all.
fn is_possible(facet: Facet, to: Holding) -> bool {
    let set = [Holding::CURRENT, Holding::BOTH, Holding::NEXT].contains(&to);
    let one = [Holding::CURRENT, Holding::NEXT].contains(&to);
    match facet {
        Facet::Trusts(_) | Facet::Serves => set,
        // A signer at run time knows one certificate and hands out no chain.
        Facet::Presents(leaf) => one || (to == Holding::NEXT_CHAINED && !is_signed_at_run_time(leaf)),
        _ => one,
    }
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
