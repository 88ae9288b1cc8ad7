//! Which leaf is verified by whom over which path, found once per audit.
//!
//! Instances that present the same certificate, or trust the same set of anchors, are one: a cluster of many nodes costs
//! what its distinct certificates and bundles cost.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use pki_core::inspect::IssuerIndex;
use pki_core::{
    AuthorityRole, BundleHash, ClientCredential, ComponentKind, ExtendedKeyUsage, Fingerprint, LeafKind, Limits, Path,
    TrustSlot,
};
use time::UtcDateTime;

use crate::channel::Channel;
use crate::fact::{Fact, Origin};
use crate::flag;
use crate::model::{Certificate, ClusterModel, Holder, Leaf, Trust, shown_for};
use crate::posture;
use crate::rule::PathRule;

/// Everything that is presented and trusted, each once, and what follows for every pair that meets on a path.
#[derive(Debug)]
pub(crate) struct Chains<'a> {
    pub(crate) leaves: Vec<Presented<'a>>,
    pub(crate) bundles: Vec<Trusted<'a>>,
    pub(crate) links: Vec<Link<'a>>,
    /// Every CA certificate that was read. Of a key that was certified twice it gives the one that lives longest.
    pub(crate) issuers: IssuerIndex<'a>,
    /// Leaves that some path needs and that were not read.
    pub(crate) unread_leaves: BTreeSet<String>,
    /// Bundles that some path needs and that were not read.
    pub(crate) unread_bundles: BTreeSet<String>,
    /// What keeps a pair from being judged.
    pub(crate) unjudged: BTreeSet<String>,
}

/// One leaf, with everybody who presents it.
#[derive(Debug)]
pub(crate) struct Presented<'a> {
    pub(crate) component: ComponentKind,
    pub(crate) kind: LeafKind,
    pub(crate) leaf: &'a Leaf,
    /// The leaf itself, if it was read: every check asks for it.
    certificate: Option<&'a Arc<Certificate>>,
    /// Never empty.
    pub(crate) seats: Vec<Seat<'a>>,
    /// Where it is presented.
    pub(crate) paths: Rc<[(Path, Side)]>,
}

/// One who presents a leaf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat<'a> {
    pub(crate) name: &'a str,
    pub(crate) leaf: &'a Leaf,
    pub(crate) origin: &'a Origin,
}

/// Which end of a path presents the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Side {
    Client,
    Server,
}

/// One set of anchors in one slot, with everybody who has it there.
#[derive(Debug)]
pub(crate) struct Trusted<'a> {
    pub(crate) component: ComponentKind,
    pub(crate) slot: TrustSlot,
    pub(crate) trust: &'a Trust,
    /// Never empty. Of webhooks and aggregated APIs their names, whoever calls them.
    pub(crate) holders: Vec<&'a str>,
    pub(crate) origin: &'a Origin,
    /// The certificates, if they are known.
    pub(crate) anchors: Vec<&'a Arc<Certificate>>,
    valid: IssuerIndex<'a>,
    all: IssuerIndex<'a>,
}

/// A leaf that a verifier sees on a path.
#[derive(Debug)]
pub(crate) struct Link<'a> {
    pub(crate) path: Path,
    pub(crate) side: Side,
    /// In [`Chains::leaves`].
    pub(crate) leaf: usize,
    /// In [`Chains::bundles`].
    pub(crate) bundle: usize,
    pub(crate) found: Found<'a>,
}

/// Where the names and key identifiers of a chain lead.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    /// To an anchor that is valid now.
    Anchor(&'a Arc<Certificate>),
    /// The leaf itself stands in the bundle.
    Itself,
    /// To an authority that both sides are said to share.
    Asserted,
    /// To an anchor that is not valid now, and to no other.
    Invalid(&'a Arc<Certificate>),
    /// Nowhere.
    Nobody,
}

/// What tells one leaf from another.
#[derive(PartialEq, Eq, Hash)]
enum LeafKey {
    Read(Fingerprint),
    IssuedBy(AuthorityRole),
    SelfSigned,
}

/// What tells one trust from another.
#[derive(PartialEq, Eq, Hash)]
enum TrustKey {
    Bundle(BundleHash),
    Authority(AuthorityRole),
    SystemRoots,
}

impl<'a> Presented<'a> {
    /// The leaf itself, if it was read.
    pub(crate) const fn certificate(&self) -> Option<&'a Arc<Certificate>> {
        self.certificate
    }

    /// What was sent along with it.
    pub(crate) fn intermediates(&self) -> &'a [Arc<Certificate>] {
        match self.leaf {
            Leaf::Chain(chain) => chain.split_first().map_or(&[], |(_, rest)| rest),
            _ => &[],
        }
    }

    /// What it must be usable for, with the paths that ask for it.
    pub(crate) fn usages(&self) -> BTreeMap<ExtendedKeyUsage, Vec<Path>> {
        let mut usages: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (path, side) in &*self.paths {
            if let Some(usage) = side.usage(*path) {
                usages.entry(usage).or_default().push(*path);
            }
        }
        usages
    }

    /// The paths on which it is presented.
    pub(crate) fn channels(&self) -> impl Iterator<Item = Channel> {
        self.paths.iter().map(|(path, _)| Channel::Tls(*path))
    }

    /// The one who presents it first, as a subject of findings.
    pub(crate) fn subject(&self) -> String {
        self.seats.first().map_or_else(String::new, |seat| self.subject_of(seat))
    }

    /// One who presents it, as a subject of findings.
    pub(crate) fn subject_of(&self, seat: &Seat<'_>) -> String {
        named(self.component, seat.name, self.kind.id())
    }
}

impl Seat<'_> {
    /// Where the leaf was read, or who says so.
    pub(crate) fn origin(&self) -> Origin {
        match self.leaf.certificate() {
            Some(certificate) if !matches!(self.origin, Origin::Declared(_)) => {
                Origin::Observed(certificate.place().clone())
            }
            _ => self.origin.clone(),
        }
    }
}

impl Side {
    /// The usage that a path asks for on this side.
    pub(crate) const fn usage(self, path: Path) -> Option<ExtendedKeyUsage> {
        match self {
            Self::Client => PathRule::of(path).client_usage(),
            Self::Server => PathRule::of(path).server_usage(),
        }
    }
}

impl Trusted<'_> {
    /// The paths on which it decides who is let in.
    pub(crate) fn channels(&self) -> impl Iterator<Item = Channel> {
        let here = Some((self.component, self.slot));
        let verifies = move |path: &Path| {
            let of_client = path.client_trust().map(|slot| (path.client(), slot));
            of_client == here || server_trust(*path) == here
        };
        Path::ALL.into_iter().filter(verifies).map(Channel::Tls)
    }

    /// Who verifies with it, as a subject of findings.
    pub(crate) fn subject(&self) -> String {
        let first = self.holders.first().copied().unwrap_or_default();
        let subject = named(self.component, first, flag::of_slot(self.slot));
        match self.holders.len() {
            0 | 1 => subject,
            all => format!("{subject} and {} more", all - 1),
        }
    }
}

/// `kube-apiserver cp-1 apiserver`; of what has no name of its own, without it.
fn named(component: ComponentKind, name: &str, what: &str) -> String {
    if name.is_empty() { format!("{component} {what}") } else { format!("{component} {name} {what}") }
}

impl<'a> Chains<'a> {
    pub(crate) fn of(model: &'a ClusterModel, limits: &Limits, now: UtcDateTime) -> Self {
        let paths: Vec<Path> = Path::ALL.into_iter().filter(|path| !posture::is_absent(model, *path)).collect();
        let (leaves, bundles) = (leaves(model, &paths), bundles(model, now));
        let mut chains = Self {
            issuers: issuers(model, &leaves, &bundles),
            leaves,
            bundles,
            links: Vec::new(),
            unread_leaves: unread_leaves(model, &paths),
            unread_bundles: unread_bundles(model, &paths),
            unjudged: BTreeSet::new(),
        };
        chains.link(model, &paths, limits);
        chains
    }

    /// The leaves that were read.
    pub(crate) fn read_leaves(&self) -> impl Iterator<Item = (&Presented<'a>, &'a Arc<Certificate>)> {
        self.leaves.iter().filter_map(|leaf| leaf.certificate().map(|certificate| (leaf, certificate)))
    }

    /// The paths on which somebody trusts an anchor.
    pub(crate) fn trusting(&self, anchor: &Certificate) -> Vec<Channel> {
        let holds = |bundle: &&Trusted<'a>| bundle.anchors.iter().any(|one| one.fingerprint() == anchor.fingerprint());
        self.bundles.iter().filter(holds).flat_map(Trusted::channels).collect()
    }

    /// Every anchor that was read, once, with the first bundle that holds it.
    pub(crate) fn anchors(&self) -> Vec<(&Trusted<'a>, &'a Arc<Certificate>)> {
        let mut seen = BTreeSet::new();
        let read = self.bundles.iter().filter(|bundle| matches!(bundle.trust, Trust::Bundle(_)));
        let pairs = read.flat_map(|bundle| bundle.anchors.iter().map(move |anchor| (bundle, *anchor)));
        pairs.filter(|(_, anchor)| seen.insert(anchor.fingerprint())).collect()
    }

    fn link(&mut self, model: &'a ClusterModel, paths: &[Path], limits: &Limits) {
        let mut by_slot: BTreeMap<(ComponentKind, TrustSlot), Vec<usize>> = BTreeMap::new();
        for (index, bundle) in self.bundles.iter().enumerate() {
            by_slot.entry((bundle.component, bundle.slot)).or_default().push(index);
        }
        let at = |place: Option<(ComponentKind, TrustSlot)>| {
            place.and_then(|place| by_slot.get(&place)).map_or(&[][..], Vec::as_slice)
        };
        let verifiers: BTreeMap<(Path, Side), &[usize]> = paths
            .iter()
            .flat_map(|path| {
                let of_client = path.client_trust().map(|slot| (path.client(), slot));
                [((*path, Side::Server), at(of_client)), ((*path, Side::Client), at(server_trust(*path)))]
            })
            .collect();
        let mut links = Vec::new();
        for (leaf_index, leaf) in self.leaves.iter().enumerate() {
            // Most leaves meet the same bundle on all of their paths.
            let mut last: Option<(usize, Result<Found<'a>, String>)> = None;
            for (path, side) in &*leaf.paths {
                for bundle_index in verifiers.get(&(*path, *side)).copied().unwrap_or_default() {
                    let Some(bundle) = self.bundles.get(*bundle_index) else { continue };
                    // A member calls itself, and nobody else.
                    let meet = |seat: &Seat<'_>| bundle.holders.contains(&seat.name);
                    if *path == Path::EtcdGateway && !leaf.seats.iter().any(meet) {
                        continue;
                    }
                    let judged = match last.take() {
                        Some((index, judged)) if index == *bundle_index => judged,
                        _ => judge(model, leaf, bundle, limits),
                    };
                    match &judged {
                        Ok(found) => links.push(Link {
                            path: *path,
                            side: *side,
                            leaf: leaf_index,
                            bundle: *bundle_index,
                            found: *found,
                        }),
                        Err(unknown) if !self.unjudged.contains(unknown) => {
                            self.unjudged.insert(unknown.clone());
                        }
                        Err(_) => {}
                    }
                    last = Some((*bundle_index, judged));
                }
            }
        }
        self.links = links;
    }
}

/// Where a leaf leads from a bundle; else what would have to be known.
fn judge<'a>(
    model: &ClusterModel,
    leaf: &Presented<'a>,
    bundle: &Trusted<'a>,
    limits: &Limits,
) -> Result<Found<'a>, String> {
    let slot = || format!("{} {}", bundle.component, flag::of_slot(bundle.slot));
    match (leaf.leaf, bundle.trust) {
        (_, Trust::SystemRoots) => Err(format!("what the system of {} trusts", bundle.component)),
        (Leaf::Chain(_), Trust::Authority(role)) if bundle.anchors.is_empty() => {
            Err(format!("the certificates of the authority {role}, which {} is said to trust", slot()))
        }
        (Leaf::Chain(chain), _) => Ok(search(chain, bundle, limits)),
        (Leaf::IssuedBy(issuer), Trust::Authority(trusted)) => {
            Ok(if issuer == trusted { Found::Asserted } else { Found::Nobody })
        }
        (Leaf::IssuedBy(issuer), _) => {
            let live = model.authority(*issuer).value().map_or(&[][..], |authority| authority.live.as_slice());
            let holds = |live: &Arc<Certificate>| {
                bundle.anchors.iter().any(|anchor| anchor.fingerprint() == live.fingerprint())
            };
            match live.iter().filter(|live| holds(live)).count() {
                0 if !live.is_empty() => Ok(Found::Nobody),
                all if all == live.len() && all > 0 => Ok(Found::Asserted),
                _ => Err(format!("certificate {} of {}", leaf.kind, leaf.component)),
            }
        }
        (Leaf::SelfSigned | Leaf::Nothing, _) => Ok(Found::Nobody),
    }
}

/// Follows names and key identifiers upwards, through every certificate that was sent along.
fn search<'a>(chain: &'a [Arc<Certificate>], bundle: &Trusted<'a>, limits: &Limits) -> Found<'a> {
    let Some((leaf, sent)) = chain.split_first() else { return Found::Nobody };
    let sent = sent.get(..limits.intermediates_max).unwrap_or(sent);
    let upwards = |index: &IssuerIndex<'a>| {
        let mut open: Vec<&Arc<Certificate>> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = Some(leaf);
        while let Some(lower) = next {
            if let Some(anchor) = index.issuer_of(lower.view()) {
                return bundle.anchors.iter().copied().find(|one| one.fingerprint() == anchor.fingerprint);
            }
            for (position, upper) in sent.iter().enumerate() {
                if lower.view().names_as_issuer(upper.view()) && seen.insert(position) {
                    open.push(upper);
                }
            }
            next = open.pop();
        }
        None
    };
    if let Some(anchor) = upwards(&bundle.valid) {
        return Found::Anchor(anchor);
    }
    if bundle.anchors.iter().any(|anchor| anchor.fingerprint() == leaf.fingerprint()) {
        return Found::Itself;
    }
    upwards(&bundle.all).map_or(Found::Nobody, Found::Invalid)
}

fn issuers<'a>(model: &'a ClusterModel, leaves: &[Presented<'a>], bundles: &[Trusted<'a>]) -> IssuerIndex<'a> {
    let authorities = model.authorities.values().filter_map(|fact| fact.value());
    let live = authorities.flat_map(|authority| &authority.live);
    let anchors = bundles.iter().flat_map(|bundle| bundle.anchors.iter().copied());
    let sent = leaves.iter().flat_map(|leaf| leaf.intermediates());
    let mut issuers: Vec<&Arc<Certificate>> = live.chain(anchors).chain(sent).collect();
    issuers.sort_by_key(|issuer| (issuer.fingerprint(), issuer.place()));
    issuers.dedup_by_key(|issuer| issuer.fingerprint());
    // The index gives the first of those that fit.
    issuers.sort_by_key(|issuer| core::cmp::Reverse(issuer.view().not_after));
    IssuerIndex::of(issuers.iter().map(|issuer| issuer.view()))
}

fn leaves<'a>(model: &'a ClusterModel, paths: &[Path]) -> Vec<Presented<'a>> {
    let mut places: BTreeMap<(ComponentKind, LeafKind), Vec<(Path, Side)>> = BTreeMap::new();
    for (path, side, component, kind) in presentations(paths) {
        places.entry((component, kind)).or_default().push((path, side));
    }
    let places: BTreeMap<_, Rc<[_]>> = places.into_iter().map(|(place, paths)| (place, paths.into())).collect();
    let mut leaves: Vec<Presented<'a>> = Vec::new();
    let mut known: HashMap<(ComponentKind, LeafKind, LeafKey), usize> = HashMap::new();
    for holder in model.all_holders() {
        for (kind, fact) in holder.leaves {
            let Fact::Known { value: leaf, origin } = fact else { continue };
            let key = match leaf {
                Leaf::Chain(chain) => match chain.first() {
                    Some(certificate) => LeafKey::Read(certificate.fingerprint()),
                    None => continue,
                },
                Leaf::IssuedBy(role) => LeafKey::IssuedBy(*role),
                Leaf::SelfSigned => LeafKey::SelfSigned,
                Leaf::Nothing => continue,
            };
            let seat = Seat { name: holder.name, leaf, origin };
            match known.entry((holder.kind, *kind, key)) {
                Entry::Occupied(index) => {
                    if let Some(presented) = leaves.get_mut(*index.get()) {
                        presented.seats.push(seat);
                    }
                }
                Entry::Vacant(place) => {
                    place.insert(leaves.len());
                    let paths = places.get(&(holder.kind, shown_for(*kind))).cloned().unwrap_or_default();
                    let (certificate, component) = (leaf.certificate(), holder.kind);
                    leaves.push(Presented { component, kind: *kind, leaf, certificate, seats: vec![seat], paths });
                }
            }
        }
    }
    leaves
}

/// Who presents what, by the table of paths.
fn presentations(paths: &[Path]) -> impl Iterator<Item = (Path, Side, ComponentKind, LeafKind)> {
    paths.iter().flat_map(|path| {
        let server = path.endpoint().leaf().map(|leaf| (*path, Side::Server, path.server(), leaf));
        let client = match path.client_credential() {
            ClientCredential::Certificate(leaf) => Some((*path, Side::Client, path.client(), leaf)),
            _ => None,
        };
        server.into_iter().chain(client)
    })
}

/// With what the server of a path verifies its clients, and whose setting that is.
const fn server_trust(path: Path) -> Option<(ComponentKind, TrustSlot)> {
    match (path, path.server_trust()) {
        // An aggregated API server reads what the API server publishes.
        (Path::FrontProxy, _) => Some((ComponentKind::KubeApiServer, TrustSlot::ApiServerRequestheaderCa)),
        (_, Some(slot)) => Some((path.server(), slot)),
        (_, None) => None,
    }
}

/// Whether a model can hold instances of it.
const fn has_instances(component: ComponentKind) -> bool {
    !matches!(component, ComponentKind::Webhook | ComponentKind::AggregatedApiServer)
}

fn unread_leaves(model: &ClusterModel, paths: &[Path]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for (_, _, component, kind) in presentations(paths) {
        if has_instances(component) {
            needed.insert((component, kind));
        }
    }
    let is_read = |holder: &Holder<'_>, kind| matches!(holder.leaf(kind).value(), Some(Leaf::Chain(_) | Leaf::Nothing));
    let unread = unread(model, needed, is_read);
    unread.map(|(component, kind)| format!("certificate {kind} of {component}")).collect()
}

fn unread_bundles(model: &ClusterModel, paths: &[Path]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for path in paths {
        let client = path.client_trust().map(|slot| (path.client(), slot));
        let server = path.server_trust().map(|slot| (path.server(), slot));
        let both = client.into_iter().chain(server);
        // Keys of service accounts are no certificates.
        needed.extend(both.filter(|(of, slot)| has_instances(*of) && *slot != TrustSlot::ServiceAccountKeys));
    }
    let is_read = |trust: Option<&Trust>| matches!(trust, Some(Trust::Bundle(_) | Trust::Nothing));
    let (called, held): (Vec<_>, Vec<_>) = needed
        .into_iter()
        .partition(|(_, slot)| matches!(slot, TrustSlot::WebhookCaBundle | TrustSlot::ApiServiceCaBundle));
    let called = called.into_iter().filter(|(_, slot)| match slot {
        TrustSlot::WebhookCaBundle => {
            model.webhooks.value().is_none_or(|all| !all.iter().all(|one| is_read(Some(&one.trust))))
        }
        _ => model.api_services.value().is_none_or(|all| !all.iter().all(|one| is_read(Some(&one.trust)))),
    });
    let held = unread(model, held, |holder, slot| is_read(holder.trust(slot).value()));
    held.chain(called).map(|(component, slot)| format!("{component} {}", flag::of_slot(slot))).collect()
}

/// What is needed of components and was not read of each of their instances, or of none.
fn unread<T: Copy>(
    model: &ClusterModel,
    needed: impl IntoIterator<Item = (ComponentKind, T)>,
    is_read: impl Fn(&Holder<'_>, T) -> bool,
) -> impl Iterator<Item = (ComponentKind, T)> {
    let mut by_component: BTreeMap<ComponentKind, Vec<T>> = BTreeMap::new();
    for (component, what) in needed {
        by_component.entry(component).or_default().push(what);
    }
    by_component.into_iter().flat_map(move |(component, needed)| {
        // One look at each instance, of which there may be thousands, for all that is needed of it.
        let mut open = needed.clone();
        let mut unread = Vec::new();
        let mut holders = model.holders(component).peekable();
        if holders.peek().is_none() {
            return needed.into_iter().map(|what| (component, what)).collect::<Vec<_>>();
        }
        for holder in holders {
            open.retain(|what| {
                let read = is_read(&holder, *what);
                if !read {
                    unread.push((component, *what));
                }
                read
            });
        }
        unread
    })
}

fn bundles(model: &ClusterModel, now: UtcDateTime) -> Vec<Trusted<'_>> {
    let mut bundles = Gathered { model, now, bundles: Vec::new(), known: HashMap::new() };
    for holder in model.all_holders() {
        for (slot, fact) in holder.trusts {
            if let Fact::Known { value, origin } = fact {
                bundles.add(holder.kind, holder.name, *slot, value, origin);
            }
        }
    }
    if let Fact::Known { value, origin } = &model.webhooks {
        for webhook in value {
            let name = webhook.name.as_str();
            bundles.add(ComponentKind::KubeApiServer, name, TrustSlot::WebhookCaBundle, &webhook.trust, origin);
        }
    }
    if let Fact::Known { value, origin } = &model.api_services {
        for service in value {
            let name = service.name.as_str();
            bundles.add(ComponentKind::KubeApiServer, name, TrustSlot::ApiServiceCaBundle, &service.trust, origin);
        }
    }
    bundles.bundles
}

struct Gathered<'a> {
    model: &'a ClusterModel,
    now: UtcDateTime,
    bundles: Vec<Trusted<'a>>,
    known: HashMap<(ComponentKind, TrustSlot, TrustKey), usize>,
}

impl<'a> Gathered<'a> {
    fn add(&mut self, component: ComponentKind, name: &'a str, slot: TrustSlot, trust: &'a Trust, origin: &'a Origin) {
        let key = match trust {
            Trust::Bundle(bundle) => TrustKey::Bundle(bundle.hash()),
            Trust::Authority(role) => TrustKey::Authority(*role),
            Trust::SystemRoots => TrustKey::SystemRoots,
            // Keys of service accounts vouch for tokens, not for leaves; who else manages an authority was not read.
            Trust::Keys(_) | Trust::Foreign(_) | Trust::Nothing => return,
        };
        let Self { model, now, bundles, known } = self;
        let index = *known.entry((component, slot, key)).or_insert_with(|| {
            let anchors: Vec<&Arc<Certificate>> = match trust {
                Trust::Bundle(bundle) => bundle.certificates().iter().collect(),
                Trust::Authority(role) => {
                    model.authority(*role).value().map_or_else(Vec::new, |known| known.live.iter().collect())
                }
                Trust::SystemRoots | Trust::Keys(_) | Trust::Foreign(_) | Trust::Nothing => Vec::new(),
            };
            let views = || anchors.iter().map(|anchor| anchor.view());
            let valid = IssuerIndex::of(views().filter(|view| view.not_before <= *now && *now <= view.not_after));
            let all = IssuerIndex::of(views());
            bundles.push(Trusted { component, slot, trust, holders: Vec::new(), origin, anchors, valid, all });
            bundles.len() - 1
        });
        if let Some(bundle) = bundles.get_mut(index) {
            bundle.holders.push(name);
        }
    }
}
