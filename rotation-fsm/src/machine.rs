//! The rotation machine: state, events, derived actions.

/// Whether the proof has this machine go without one of its guards. Without the feature there is no such thing.
macro_rules! skips {
    ($machine:expr, $fault:ident) => {{
        #[cfg(feature = "proof")]
        let skips = $machine.faults.contains(crate::proof::Fault::$fault);
        #[cfg(not(feature = "proof"))]
        let skips = false;
        skips
    }};
}

mod actions;
mod apply;
mod completion;
mod expectation;
mod generations;
mod life;
mod operations;
mod rotate;
mod seen;
mod waiting;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pki_core::{AuthorityRole, CaVersion, ClusterId, Plane};
use time::UtcDateTime;

use self::expectation::Expected;
pub(crate) use self::generations::{Addresses, Authority, Tracks};
pub(crate) use self::seen::{Seen, read_one};
use self::waiting::{Waiting, Want};
use crate::clock::{ClockDoubt, HighWater};
use crate::delivery::{ClusterVersion, Delivery};
use crate::event::AuthorityRecord;
use crate::facet::{Facet, Holding, Track};
use crate::maintenance::Overrides;
use crate::plan::{Direction, Plan, Stage, StageId, Step, VersionRange};
use crate::policy::{Unit, UnitPolicy};
use crate::rejected::{Rejected, SetupError, Unreadable};
use crate::settings::Settings;
use crate::status::Status;
use crate::topology::{Address, Class, ConsumerId, Index, Topology};

pub use self::completion::{Behind, CompletionBlocked, Lack, PoolBehind};
pub use self::life::{Blocked, ClusterHealth};
pub(crate) use self::life::{disturbs, work_of};
pub use self::operations::{Operation, OperationId, OperationStatus};

/// The authorities of one cluster and whatever rotation of them is running.
///
/// A pure value: [`apply`](Self::apply) takes an event and the time, [`pending_actions`](Self::pending_actions)
/// derives what is to be done. Nothing to be done is remembered anywhere else, so a crash loses nothing.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(crate) cluster: ClusterId,
    pub(crate) topology: Topology,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tracks: Tracks,
    /// What each consumer was last seen to run with.
    pub(crate) seen: Vec<Seen>,
    /// What each class shall run with. Derived, anew when a stage begins.
    pub(crate) expected: Arc<Vec<Expected>>,
    /// The consumers that do not run with what they should, kept so that one report costs O(log n). Derived.
    pub(crate) waiting: Waiting,
    pub(crate) phase: Phase,
    /// Counts the stages that were ever begun. What is sent to a consumer carries it, and a consumer that has seen a
    /// higher one ignores it.
    pub(crate) epoch: u64,
    pub(crate) clock: HighWater,
    pub(crate) overrides: Overrides,
    pub(crate) completed: Option<Completed>,
    /// What is to be handed out since the last rotation.
    pub(crate) deliveries: BTreeSet<Delivery>,
    pub(crate) leaf_renewal: LeafRenewal,
    /// Who was given up while a rotation ran, until the next one begins.
    pub(crate) abandoned: Vec<ConsumerId>,
    #[cfg(feature = "proof")]
    pub(crate) faults: crate::proof::Faults,
}

/// The renewal of leaves that comes with an upgrade of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LeafRenewal {
    /// To come: for which version, and until when.
    pub(crate) due: Option<(ClusterVersion, UtcDateTime)>,
    /// The last one that is done.
    pub(crate) last: Option<ClusterVersion>,
}

/// Where the cluster stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// No rotation is running.
    Stable,
    /// A unit is being rotated.
    Rotating(Rotating),
}

/// A rotation that is running.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rotating {
    pub(crate) policy: UnitPolicy,
    pub(crate) from: CaVersion,
    pub(crate) to: CaVersion,
    pub(crate) plan: Arc<Plan>,
    pub(crate) stage: usize,
    /// Authorities whose part of the stage is open: to be minted, or their old key to be destroyed.
    pub(crate) open: BTreeSet<AuthorityRole>,
    pub(crate) started: UtcDateTime,
    pub(crate) paused: bool,
    /// Whether it may pass its point of no return.
    pub(crate) may_complete: bool,
    /// How often its completion was attempted without success.
    pub(crate) attempts: u32,
    pub(crate) emergency: bool,
    /// Whether a user's command began what runs, and overrides what the calendar says of the control plane.
    pub(crate) commanded: bool,
    /// Derived from the plan.
    pub(crate) moves_address: bool,
}

impl Rotating {
    /// The unit.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.policy.unit
    }

    /// The authorities of the unit.
    #[must_use]
    pub fn roles(&self) -> &[AuthorityRole] {
        &self.policy.roles
    }

    /// The generation that is replaced.
    #[must_use]
    pub const fn from(&self) -> CaVersion {
        self.from
    }

    /// The generation that replaces it.
    #[must_use]
    pub const fn to(&self) -> CaVersion {
        self.to
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// When it began.
    #[must_use]
    pub const fn started(&self) -> UtcDateTime {
        self.started
    }

    /// Whether nothing new is begun for now.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether it is on its way back.
    #[must_use]
    pub fn is_rolling_back(&self) -> bool {
        self.plan.direction == Direction::Back
    }

    /// Whether the keys that it replaces are suspect.
    #[must_use]
    pub const fn is_emergency(&self) -> bool {
        self.emergency
    }

    /// Whether a user's command began what runs, so that the control plane's own stages wait for no window.
    #[must_use]
    pub const fn is_commanded(&self) -> bool {
        self.commanded
    }

    /// How often its completion was attempted without success.
    #[must_use]
    pub const fn failed_attempts(&self) -> u32 {
        self.attempts
    }

    /// The stage that runs.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        self.plan.stages.get(self.stage)
    }

    pub(crate) fn step(&self) -> Option<Step> {
        self.stage().map(Stage::step)
    }

    /// Whether the next stage is the first after which there is no way back, and nobody has said that it may begin.
    pub(crate) fn is_at_gate(&self) -> bool {
        self.plan.direction == Direction::Forward
            && !self.may_complete
            && self.plan.point_of_no_return() == Some(self.stage + 1)
    }
}

/// The last rotation that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Completed {
    /// The unit.
    pub unit: Unit,
    /// The authorities of the unit.
    pub roles: Cow<'static, [AuthorityRole]>,
    /// Their generation since.
    pub to: CaVersion,
    /// When.
    pub at: UtcDateTime,
    /// Whether it was rolled back: `to` is the generation that it began from.
    pub rolled_back: bool,
}

/// What an event changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// Whether anything but the clock moved. A journal can leave out what moved nothing else, such as nearly every
    /// [`Tick`](crate::Event::Tick), if it keeps the others as [`Machine::record_of`] has them.
    pub changed: bool,
    /// A rotation began, to this generation.
    pub started: Option<CaVersion>,
    /// Stages that ended, in order.
    pub stages_ended: Vec<StageId>,
    /// The rotation completed, or its rollback did.
    pub completed: bool,
    /// Reports that were taken as saying that their consumer runs with something wrong, and why.
    pub unreadable: Vec<(ConsumerId, Unreadable)>,
    /// Automatic rotations that are due and not begun, and why.
    pub blocked: Vec<(Unit, Rejected)>,
    /// The completion was attempted, and this is in the way.
    pub completion_blocked: Option<CompletionBlocked>,
    /// Consumers that were left behind: the losses that the preset declares.
    pub released: Vec<ConsumerId>,
    /// The time of the event is not believed yet, so it counts as the time before.
    pub doubted: Option<ClockDoubt>,
}

impl Applied {
    /// Takes in what a later event changed.
    pub fn merge(&mut self, later: Self) {
        self.changed |= later.changed;
        self.started = later.started.or(self.started);
        self.stages_ended.extend(later.stages_ended);
        self.completed |= later.completed;
        self.unreadable.extend(later.unreadable);
        self.blocked.extend(later.blocked);
        self.completion_blocked = later.completion_blocked.or_else(|| self.completion_blocked.take());
        self.released.extend(later.released);
        self.doubted = later.doubted;
    }
}

impl Machine {
    /// A cluster at rest, with the active generation of each of its authorities.
    ///
    /// Consumers count as unseen until they are observed, but for those nobody can observe: they
    /// were given what is valid now.
    ///
    /// # Errors
    /// When an authority of the hierarchy is missing, one too many is given, or one key serves two roles.
    pub fn new(
        cluster: ClusterId,
        topology: Topology,
        settings: Settings,
        authorities: impl IntoIterator<Item = (AuthorityRole, AuthorityRecord)>,
        now: UtcDateTime,
    ) -> Result<Self, SetupError> {
        let mut known: BTreeMap<AuthorityRole, Authority> = BTreeMap::new();
        for (role, record) in authorities {
            let record = record.in_whole_seconds();
            if let Some(other) = shares_key(&known, &record) {
                return Err(SetupError::SharedKey(role, other));
            }
            if !topology.hierarchy().roles().contains(&role) || known.contains_key(&role) {
                return Err(SetupError::Unexpected(role));
            }
            known.insert(role, Authority::new(record));
        }
        if let Some(&role) = topology.hierarchy().roles().iter().find(|role| !known.contains_key(role)) {
            return Err(SetupError::Missing(role));
        }
        let addresses = topology.address().cloned().map(Addresses::new);
        let mut machine = Self {
            cluster,
            topology,
            settings: Arc::new(settings),
            tracks: Tracks { authorities: known, addresses },
            seen: Vec::new(),
            expected: Arc::default(),
            waiting: Waiting::default(),
            phase: Phase::Stable,
            epoch: 0,
            clock: HighWater::new(now.truncate_to_second()),
            overrides: Overrides::none(),
            completed: None,
            deliveries: BTreeSet::new(),
            leaf_renewal: LeafRenewal::default(),
            abandoned: Vec::new(),
            #[cfg(feature = "proof")]
            faults: crate::proof::Faults::default(),
        };
        machine.expect_anew();
        let members: Vec<_> = machine.topology.members().map(|(index, _)| index).collect();
        members.into_iter().for_each(|index| machine.admit(index, 0));
        Ok(machine)
    }

    /// Works out anew what everybody shall run with, and compares those for whom that changed.
    pub(crate) fn expect_anew(&mut self) {
        let expected: Vec<_> = self.topology.classes().iter().map(|class| self.expectation(class)).collect();
        let before = core::mem::replace(&mut self.expected, Arc::new(expected));
        let changed = |class: &usize| before.get(*class) != self.expected.get(*class);
        for class in (0..self.expected.len()).filter(changed).collect::<Vec<_>>() {
            for index in self.topology.members_of(class).collect::<Vec<_>>() {
                self.compare(index);
            }
        }
    }

    /// The same where a stage has just begun: for those whom it touches, and where the signers switch, or have switched,
    /// for everybody. With many pools, whom the other stages touch is few.
    pub(crate) fn expect_stage(&mut self) {
        let classes = self.topology.classes();
        let touched: Option<Vec<usize>> = self.rotating().and_then(|rotating| {
            let stage = rotating.stage()?;
            let before = rotating.plan.stages.get(rotating.stage.checked_sub(1)?)?;
            let switches = [stage, before].iter().any(|stage| stage.step() == Step::SwitchSigner);
            let known = self.expected.len() == classes.len();
            let touches = |class: &Class| rotating.plan.covers(&stage.id, class.kind.plane(), class.pool.as_ref());
            let numbered = classes.iter().enumerate().filter(|(_, class)| touches(class)).map(|(number, _)| number);
            (known && !switches).then(|| numbered.collect())
        });
        let Some(touched) = touched else { return self.expect_anew() };
        for number in touched {
            let Some(expected) = self.topology.class(number).map(|class| self.expectation(class)) else { continue };
            let slot = Arc::make_mut(&mut self.expected).get_mut(number);
            let Some(slot) = slot.filter(|slot| **slot != expected) else { continue };
            *slot = expected;
            for index in self.topology.members_of(number).collect::<Vec<_>>() {
                self.compare(index);
            }
        }
    }

    /// The same for everybody, whatever was expected before.
    pub(crate) fn expect_all_anew(&mut self) {
        self.expected = Arc::default();
        self.expect_anew();
    }

    /// Compares one consumer with what it shall run with.
    pub(super) fn compare(&mut self, index: Index) {
        let Some(class) = self.topology.member(index).map(|member| member.class) else { return };
        let want = match (self.seen(index), self.expected.get(class)) {
            (Some(seen), _) if seen.released => Want::Nothing,
            (Some(seen), _) if !seen.available && skips!(self, AwayIsFine) => Want::Nothing,
            (Some(seen), Some(expected)) if seen.available && expected.is_met(seen) => Want::Nothing,
            (Some(seen), _) if seen.available => Want::Something,
            _ => Want::Back,
        };
        self.waiting.set(class, index, want);
    }

    /// Whether everything that is derived is what it would be if it were derived anew from what is stored.
    #[cfg(feature = "proof")]
    pub(crate) fn is_derived(&self) -> bool {
        let mut anew = Self { expected: Arc::default(), waiting: Waiting::default(), ..self.clone() };
        anew.expect_anew();
        anew.expected == self.expected && anew.waiting.iter().eq(self.waiting.iter())
    }

    pub(crate) fn seen(&self, index: Index) -> Option<&Seen> {
        self.seen.get(usize::try_from(index).ok()?)
    }

    /// The epoch of which a consumer must have been given something.
    #[cfg(feature = "proof")]
    pub(crate) fn since_of(&self, index: Index) -> u64 {
        self.expected_of(index).map_or(0, |expected| expected.since)
    }

    /// Records what was seen of a consumer.
    pub(crate) fn record(&mut self, index: Index, seen: Seen) {
        let Ok(at) = usize::try_from(index) else { return };
        if self.seen.len() <= at {
            self.seen.resize(at + 1, Seen::default());
        }
        if let Some(slot) = self.seen.get_mut(at) {
            *slot = seen;
        }
        self.compare(index);
    }

    pub(super) fn expected_of(&self, index: Index) -> Option<&Expected> {
        self.expected.get(self.topology.member(index)?.class)
    }

    /// Whether every consumer runs with what it should and no rotation is running. Those that were
    /// [released](Self::released) do not count.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.phase == Phase::Stable && self.waiting.is_empty()
    }

    /// The consumers that do not run with what they should.
    pub fn waiting(&self) -> impl Iterator<Item = &ConsumerId> {
        self.waiting.iter().filter_map(|index| Some(&self.topology.member(index)?.id))
    }

    /// The consumers that were left behind by the preset's policy, and that fail until somebody gives them what is valid.
    pub fn released(&self) -> impl Iterator<Item = &ConsumerId> {
        let left = self.topology.members().filter(|(index, _)| self.seen(*index).is_some_and(|seen| seen.released));
        left.map(|(_, member)| &member.id)
    }

    /// The consumers that somebody gave up while the rotation ran that is running, or else the last one.
    #[must_use]
    pub fn abandoned(&self) -> &[ConsumerId] {
        &self.abandoned
    }

    /// Where the cluster stands.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The stage that runs.
    #[must_use]
    pub fn stage(&self) -> Option<&Stage> {
        self.rotating().and_then(Rotating::stage)
    }

    /// The last rotation that came to its end.
    #[must_use]
    pub const fn completed(&self) -> Option<&Completed> {
        self.completed.as_ref()
    }

    /// The cluster's name.
    #[must_use]
    pub const fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// How this cluster is rotated.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Counts the stages that were ever begun. A consumer that was sent something with a higher count ignores this one.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where the rotation stands that is running, or else the last one that came to its end.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        Status::of(self)
    }

    /// The consumers.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The active generation of an authority.
    #[must_use]
    pub fn authority(&self, role: AuthorityRole) -> Option<&AuthorityRecord> {
        self.tracks.authority(role).map(|authority| &authority.active)
    }

    /// The address of the control plane, where addresses are followed; during a rotation that replaces it the old one.
    #[must_use]
    pub fn address(&self) -> Option<&Address> {
        self.tracks.addresses.as_ref().map(|addresses| &addresses.active)
    }

    /// The generation that the last rotation retired or, rolled back, gave up.
    pub(crate) fn previous(&self, role: AuthorityRole) -> Option<&AuthorityRecord> {
        self.tracks.authority(role)?.previous.as_ref()
    }

    /// What the consumers of a plane were seen to run with, as far as it belongs to `roles`.
    pub(crate) fn seen_on<'a>(
        &'a self,
        plane: Plane,
        roles: &'a [AuthorityRole],
    ) -> impl Iterator<Item = SeenState> + 'a {
        let on_plane = self.topology.members().filter(move |(_, member)| member.id.kind().plane() == plane);
        on_plane.filter_map(move |(index, member)| {
            let (seen, uses) = (self.seen(index)?, self.topology.uses(member.id.kind())?);
            let mut state = SeenState::default();
            for ((facet, track), held) in uses.facets.iter().zip(&seen.held) {
                let Track::Authority(role) = track else { continue };
                if !roles.contains(role) || *held == Holding::UNKNOWN {
                    continue;
                }
                let versions = self.tracks.versions(*track, held.generations())?;
                match facet {
                    Facet::Trusts(_) => state.bundles.push(versions),
                    Facet::Presents(_) => {
                        state.oldest_leaf = state.oldest_leaf.into_iter().chain([versions.first()]).min();
                    }
                    Facet::Signs(_) => state.signs = Some(versions.first()),
                    Facet::RestartedUnder => state.csr_signer_at_restart = Some(versions.first()),
                    _ => {}
                }
            }
            Some(state)
        })
    }
}

/// What one consumer was seen to run with.
#[derive(Default)]
pub(crate) struct SeenState {
    pub(crate) bundles: Vec<VersionRange>,
    pub(crate) oldest_leaf: Option<CaVersion>,
    pub(crate) signs: Option<CaVersion>,
    pub(crate) csr_signer_at_restart: Option<CaVersion>,
}

/// The authority, its own other generations included, that has the key or anchor of `record` already. No key serves
/// two roles, or each authority could speak for the other; and a rotation replaces the key.
pub(crate) fn shares_key(
    known: &BTreeMap<AuthorityRole, Authority>,
    record: &AuthorityRecord,
) -> Option<AuthorityRole> {
    let shares = |other: &AuthorityRecord| other.id == record.id || other.anchor == record.anchor;
    known.iter().find(|(_, authority)| authority.generations().any(shares)).map(|(role, _)| *role)
}
