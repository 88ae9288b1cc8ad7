//! What is to be done, derived from what is expected and what was seen.

use core::fmt;

use pki_core::{AuthorityRole, CaVersion, ComponentKind};

use super::expectation::Expected;
use super::life::{disturbs, work_of};
use super::seen::Held;
use super::waiting::Lacking;
use super::{Machine, Rotating};
use crate::action::{Action, ActionKey, BundleTarget, ConsumerTarget, KeyPair, LeafTarget, NodeVersion};
use crate::facet::{Facet, Holding, Track};
use crate::maintenance::Work;
use crate::plan::{Stage, Step};
use crate::rejected::Rejected;
use crate::topology::{Class, ConsumerId, Index, PoolName, Reload, Topology, Uses};

impl Machine {
    /// Everything that is to be done now, from the state alone. Ask again after every event and restart.
    ///
    /// Of consumers that restart, as many of a kind (of a pool's nodes, as many of the pool) as may be away at once, those
    /// that are away already included; what the calendar does not allow now is left out, and stands in
    /// [`blocked`](Self::blocked). While a rotation is paused nobody is touched but whoever is away: what was begun is ended.
    pub fn pending_actions(&self) -> impl Iterator<Item = Action> + '_ {
        let paused = self.rotating().is_some_and(|rotating| rotating.paused);
        let begins = self.rotating().filter(|_| !paused);
        let authorities = begins.into_iter().flat_map(|rotating| self.authority_actions(rotating));
        let classes = self.topology.classes().iter().enumerate();
        let consumers = classes.flat_map(move |(number, class)| self.class_actions(number, class, paused));
        authorities.chain(consumers).chain(self.deliveries()).chain(self.leaf_renewal())
    }

    /// The generation that is handed out: the same whatever is rotated meanwhile.
    pub(super) fn handed_out(&self) -> CaVersion {
        self.authority(AuthorityRole::Cluster).map_or(CaVersion::FIRST, |record| record.version)
    }

    fn deliveries(&self) -> impl Iterator<Item = Action> + '_ {
        let version = self.handed_out();
        self.deliveries.iter().map(move |delivery| Action::EnsureDelivered {
            key: ActionKey(format!("{}/deliver/{delivery}/{version}", self.cluster)),
            delivery: *delivery,
            version,
        })
    }

    fn leaf_renewal(&self) -> impl Iterator<Item = Action> + '_ {
        self.leaf_renewal.due.iter().map(|(version, by)| Action::EnsureLeavesRenewed {
            key: ActionKey(format!("{}/renew-leaves/{version}", self.cluster)),
            version: version.clone(),
            by: *by,
        })
    }

    /// The key of an action that concerns `whom`, in the stage that runs or at rest.
    fn key(&self, whom: &dyn fmt::Display) -> ActionKey {
        ActionKey(match self.running() {
            Some((rotating, stage)) => {
                format!("{}/{}/{}/{stage}/{whom}", self.cluster, rotating.unit(), rotating.to)
            }
            None => format!("{}/at-rest/{whom}", self.cluster),
        })
    }

    fn running(&self) -> Option<(&Rotating, &Stage)> {
        self.rotating().and_then(|rotating| rotating.stage().map(|stage| (rotating, stage)))
    }

    fn authority_actions<'a>(&'a self, rotating: &'a Rotating) -> impl Iterator<Item = Action> + 'a {
        let of_role = rotating.open.iter().filter_map(move |role| self.authority_action(rotating, *role));
        let unaddressed = self.tracks.addresses.as_ref().is_some_and(|addresses| addresses.next.is_none());
        let addressed = (rotating.step() == Some(Step::Mint) && rotating.moves_address && unaddressed)
            .then(|| Action::EnsureAddress { key: self.key(&"address") });
        of_role.chain(addressed)
    }

    fn authority_action(&self, rotating: &Rotating, role: AuthorityRole) -> Option<Action> {
        let key = |version: CaVersion| self.key(&format_args!("{role}/{version}"));
        let (from, to) = (rotating.from, rotating.to);
        match rotating.step()? {
            Step::Mint => Some(Action::EnsureAuthority { key: key(to), role, version: to }),
            Step::CrossSign => Some(Action::EnsureCrossCertificate { key: key(to), role, version: to, by: from }),
            Step::DestroyKeys => {
                let version = rotating.retired();
                Some(Action::EnsureKeyDestroyed { key: key(version), role, version })
            }
            _ => None,
        }
    }

    /// Of one class: whoever is away is brought back, and of the others as many are disturbed as may be.
    fn class_actions<'a>(&'a self, number: usize, class: &'a Class, paused: bool) -> impl Iterator<Item = Action> + 'a {
        let room = self.topology.max_unavailable(class);
        let (away, behind) = match self.waiting.of(number) {
            Some(Lacking { away, behind }) => (Some(away), Some(behind).filter(|_| !paused)),
            None => (None, None),
        };
        // Of a pool no more than may be away at once are worked on; a control plane that is down comes up at once.
        let at_once = if class.pool.is_some() { room } else { usize::MAX };
        let back = away.into_iter().flatten().take(at_once).filter_map(|index| self.consumer_action(*index));
        let mut left = room.saturating_sub(away.map_or(0, |away| away.len()));
        // Asked only of whom somebody waits for: of many pools nearly all are in order.
        let blocked = behind.is_some_and(|behind| !behind.is_empty()) && self.is_blocked(class);
        let mut over = false;
        let disturbed = behind.into_iter().flatten().map_while(move |index| {
            if over {
                return None;
            }
            let reload = self.reload_needed(*index)?;
            if disturbs(reload) {
                // Whoever comes after waits too: of a large pool nearly all do.
                if left == 0 || blocked {
                    over = true;
                    return None;
                }
                left -= 1;
            }
            Some(self.consumer_action(*index))
        });
        back.chain(disturbed.flatten())
    }

    fn is_blocked(&self, class: &Class) -> bool {
        work_of(class).is_some_and(|work| self.permit(work).is_some()) && !skips!(self, WindowIgnored)
    }

    /// What a node is recreated for counts for everything on it: its other consumers come with it.
    fn consumer_action(&self, index: Index) -> Option<Action> {
        let consumer = &self.topology.member(index)?.id;
        let target = self.target(index)?;
        if let Some((rotating, stage)) = self.running()
            && target.reload == Reload::Unobservable
        {
            let (unit, to, stage) = (rotating.unit(), rotating.to, stage.id.clone());
            return Some(Action::AwaitAcknowledgement { key: self.key(consumer), unit, to, stage, target });
        }
        if target.reload == Reload::Recreate && consumer.kind() == ComponentKind::Kubelet {
            let others = [ComponentKind::KonnectivityAgent, ComponentKind::Pod];
            let on_it = others.map(|kind| ConsumerId::new(kind, consumer.instance().clone()));
            let with_it = on_it.iter().filter_map(|other| self.waiting_target(other));
            let targets = [target].into_iter().chain(with_it).collect();
            let (node, pool) = (consumer.instance().clone(), self.topology.pool_of(consumer)?.clone());
            let by_hand = self.overrides.is_ordered(Work::pool(&pool));
            let version = if by_hand { NodeVersion::Same } else { self.settings.node_version };
            return Some(Action::RecreateNode { key: self.key(consumer), node, pool, version, targets });
        }
        if consumer.kind() != ComponentKind::Kubelet && self.comes_with_its_node(consumer) {
            return None;
        }
        Some(Action::EnsureConsumer { key: self.key(consumer), target })
    }

    fn comes_with_its_node(&self, consumer: &ConsumerId) -> bool {
        let kubelet = ConsumerId::new(ComponentKind::Kubelet, consumer.instance().clone());
        self.topology.pool_of(consumer).is_some()
            && self.waiting_target(&kubelet).is_some_and(|target| target.reload == Reload::Recreate)
    }

    pub(crate) fn waiting_target(&self, consumer: &ConsumerId) -> Option<ConsumerTarget> {
        let index = self.topology.index(consumer)?;
        let class = self.topology.member(index)?.class;
        let lacking = self.waiting.of(class)?;
        (lacking.away.contains(&index) || lacking.behind.contains(&index)).then(|| self.target(index)).flatten()
    }

    /// How far a consumer is from what it shall run with.
    fn gap(&self, index: Index) -> Option<Gap<'_>> {
        let kind = self.topology.member(index)?.id.kind();
        let held = self.seen(index).map(|seen| seen.held).unwrap_or_default();
        Some(Gap { kind, uses: self.topology.uses(kind)?, held, expected: self.expected_of(index)? })
    }

    /// The first thing that a consumer does not hold, and what it should.
    pub(super) fn first_missing(&self, index: Index) -> Option<(Facet, Holding)> {
        let gap = self.gap(index)?;
        let (place, facet, _) = gap.missing().next()?;
        Some((facet, *gap.expected.want.get(place)?))
    }

    pub(super) fn reload_needed(&self, index: Index) -> Option<Reload> {
        Some(self.gap(index)?.reload(&self.topology))
    }

    /// What is missing at a consumer; everything, while it is unseen.
    pub(crate) fn target(&self, index: Index) -> Option<ConsumerTarget> {
        self.target_of(self.topology.member(index)?.id.clone(), &self.gap(index)?)
    }

    fn target_of(&self, consumer: ConsumerId, gap: &Gap<'_>) -> Option<ConsumerTarget> {
        let mut target = ConsumerTarget::new(consumer, self.epoch);
        target.reload = gap.reload(&self.topology);
        for (place, facet, track) in gap.missing() {
            let want = *gap.expected.want.get(place)?;
            match (track, facet) {
                (Track::Authority(role), Facet::Trusts(slot)) => {
                    let authority = self.tracks.authority(role)?;
                    let (Some(versions), Some(hash)) = (authority.versions(want), authority.hash_of(want)) else {
                        continue;
                    };
                    target.bundles.push(BundleTarget { slot, role, versions, hash });
                }
                (Track::Authority(role), Facet::Presents(leaf)) => {
                    let authority = self.tracks.authority(role)?;
                    let Some(issuer) = authority.version(want.generations()) else { continue };
                    let through = want.is_chained().then_some(authority.active.version);
                    target.leaves.push(LeafTarget { leaf, role, issuer, through, key_pair: KeyPair::of(leaf) });
                }
                (Track::Authority(role), Facet::Signs(_)) => {
                    target.signs = self.tracks.authority(role)?.version(want).map(|version| (role, version));
                }
                (Track::Authority(_), _) => {}
                (Track::Address, facet) => {
                    let addresses = self.tracks.addresses.as_ref()?;
                    match facet {
                        Facet::Serves => target.serves = addresses.of(want).cloned().collect(),
                        Facet::Service => target.service = addresses.of(want).next().cloned(),
                        _ => target.dials = addresses.of(want).next().cloned(),
                    }
                }
            }
        }
        Some(target)
    }

    /// What a consumer that joins now is to be given, so that it is in order from its first report on: everything that
    /// its kind has, as its pool has it by now. However large the cluster, it costs the same.
    ///
    /// # Errors
    /// As it would be rejected if it joined.
    pub fn provision(&self, consumer: &ConsumerId, pool: Option<&PoolName>) -> Result<ConsumerTarget, Rejected> {
        let class = self.topology.place(consumer, pool).map_err(Rejected::Topology)?;
        let (kind, unknown) = (consumer.kind(), || Rejected::UnknownConsumer(consumer.clone()));
        let uses = self.topology.uses(kind).ok_or_else(unknown)?;
        let expected = self.expected.get(class).ok_or_else(unknown)?;
        let gap = Gap { kind, uses, held: Held::default(), expected };
        self.target_of(consumer.clone(), &gap).ok_or_else(unknown)
    }
}

/// What a consumer was seen to hold, beside what it shall hold.
struct Gap<'a> {
    kind: ComponentKind,
    uses: &'a Uses,
    held: Held,
    expected: &'a Expected,
}

impl Gap<'_> {
    /// What of its facets is missing.
    fn missing(&self) -> impl Iterator<Item = (usize, Facet, Track)> + '_ {
        let lacks = |place: usize| !self.expected.is_met_at(place, &self.held);
        // A restart is what a kubelet's certificates come with, so all of them count while it is owed one.
        let owed = self.uses.position(Facet::RestartedUnder).is_some_and(lacks);
        let facets = self.uses.facets.iter().enumerate();
        facets
            .filter(move |(place, (facet, _))| lacks(*place) || (owed && matches!(facet, Facet::Presents(_))))
            .map(|(place, (facet, track))| (place, *facet, *track))
    }

    fn reload(&self, topology: &Topology) -> Reload {
        let reloads = self.missing().map(|(_, facet, _)| topology.reload(self.kind, facet));
        reloads.max().unwrap_or(Reload::Live)
    }
}
