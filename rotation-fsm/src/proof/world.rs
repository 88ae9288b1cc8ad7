//! What really is: what every consumer runs with, what is under way, which keys exist.

use core::cell::{OnceCell, RefCell};
use core::hash::{Hash, Hasher};
use core::ops::Deref;

use pki_core::{AuthorityRole, BundleHash, CaVersion};
use std::hash::DefaultHasher;
use std::rc::Rc;
use std::sync::Arc;
use time::{Duration, UtcDateTime};

use super::moves::Agenda;
use super::setup::{CHAINED, FaultKind, Layout, Place, bit, chained, through};
use crate::event::{Event, Observation, PresentedLeaf, ReportId, ServedAddress};
use crate::facet::{Facet, Holding, Track};
use crate::machine::{Applied, Machine, Phase, Rotating, Seen};
use crate::plan::StageId;
use crate::schedule::Health;
use crate::topology::{Index, MAX_FACETS};

/// What a consumer really holds, by facet: the bits of generations, not relative to anything.
pub(super) type Real = [u8; MAX_FACETS];

/// One consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) holds: Real,
    pub(super) there: bool,
    /// Down while it was taken down and has not come back.
    pub(super) up: bool,
    /// Whether it is down because somebody carried an action out.
    pub(super) taken: bool,
    pub(super) asleep: bool,
    /// Left behind, as the preset declares.
    pub(super) lost: bool,
    /// The highest epoch that it was given something of.
    pub(super) epoch: u64,
    pub(super) id: ReportId,
    /// What it said last and what has not arrived.
    pub(super) channel: Option<Message>,
}

/// Something under way to the controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Message {
    Report {
        id: ReportId,
        holds: Real,
        epoch: u64,
        readable: bool,
    },
    /// For a stage of the rotation to this generation.
    Word {
        stage: Arc<StageId>,
        to: CaVersion,
    },
}

impl Message {
    /// As the controller takes it.
    fn event(&self, layout: &Layout, index: usize) -> Option<Event> {
        let place = layout.place(index)?;
        match self {
            Self::Word { stage, to } => {
                let (consumer, unit, to) = (place.id.clone(), layout.unit, *to);
                Some(Event::Acknowledged { consumer, unit, to, stage: (**stage).clone(), by: String::new() })
            }
            Self::Report { id, readable: false, .. } => Some(Event::Observed(Observation::new(place.id.clone(), *id))),
            Self::Report { id, holds, epoch, .. } => {
                let report = observation(layout, place, *id, holds)?;
                Some(Event::Observed(Observation { epoch: *epoch, ..report }))
            }
        }
    }
}

/// Something that arrives when nobody expects it.
#[derive(Clone, Debug)]
pub(super) enum Late {
    Message(usize, Message),
    /// What a controller decided for a consumer on an older state: to hold this, in this epoch, and whether for that it
    /// takes it down.
    Order {
        member: usize,
        holds: Real,
        epoch: u64,
        disturbs: bool,
    },
    /// A controller that decides on an older state.
    Controller(Rc<Mind>),
}

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) members: Vec<Member>,
    pub(super) late: Vec<Late>,
    /// The private keys that exist, by role in the layout's order: bits of generations.
    pub(super) keys: [u8; 4],
    /// How often each kind of thing has happened.
    pub(super) spent: [u8; FaultKind::ALL.len()],
    /// Which reading the clock shows.
    pub(super) clock: usize,
    pub(super) closed: bool,
    /// What may be believed of the clock at most, and the reading that it must stand by for more.
    pub(super) believable: UtcDateTime,
    pub(super) standing: Option<UtcDateTime>,
    /// Whether somebody asked for completion.
    pub(super) asked: bool,
    /// Whether the phase that runs was begun by a user's command.
    pub(super) commanded: bool,
    /// How many rotations came to their end; more than there are to be count as those.
    pub(super) done: u8,
}

/// A machine, with what follows from it alone: worked out once, however many states have the same.
#[derive(Debug)]
pub(super) struct Mind {
    machine: Machine,
    /// The machine's number of the consumer at each place.
    numbers: Rc<[Option<Index>]>,
    agenda: OnceCell<Agenda>,
    key: OnceCell<u128>,
    lost: OnceCell<bool>,
    /// What came of what it was told, at which reading of the clock.
    told: RefCell<Vec<Told>>,
}

/// What a machine is told most often, in few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    Message(usize, Message),
    TakenDown(usize, ReportId),
}

#[derive(Clone, Debug)]
struct Told {
    news: News,
    clock: usize,
    outcome: Option<Rc<Outcome>>,
}

/// What came of an event.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) event: Event,
    pub(super) applied: Applied,
    pub(super) mind: Rc<Mind>,
}

impl Deref for Mind {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

impl Mind {
    pub(super) fn new(layout: &Layout, machine: Machine) -> Self {
        let numbers = layout.places.iter().map(|place| machine.topology().index(&place.id)).collect();
        Self::numbered(machine, numbers)
    }

    fn numbered(machine: Machine, numbers: Rc<[Option<Index>]>) -> Self {
        Self {
            machine,
            numbers,
            agenda: OnceCell::new(),
            key: OnceCell::new(),
            lost: OnceCell::new(),
            told: RefCell::default(),
        }
    }

    /// What comes of an event; nothing where it is refused.
    pub(super) fn told(&self, layout: &Layout, event: Event, clock: usize) -> Option<Outcome> {
        let mut machine = self.machine.clone();
        let applied = machine.apply(&event, *layout.instants.get(clock)?).ok()?;
        let mind = Rc::new(self.become_by(layout, machine, &event));
        Some(Outcome { event, applied, mind })
    }

    /// The same of what many states tell it: worked out for the first of them.
    pub(super) fn told_news(&self, layout: &Layout, news: News, clock: usize) -> Option<Rc<Outcome>> {
        let known = self.told.borrow().iter().find(|told| told.clock == clock && told.news == news).cloned();
        if let Some(known) = known {
            return known.outcome;
        }
        let event = match &news {
            News::Message(place, message) => message.event(layout, *place),
            News::TakenDown(place, after) => {
                layout.place(*place).map(|place| Event::TakenDown { consumer: place.id.clone(), after: *after })
            }
        };
        let outcome = event.and_then(|event| self.told(layout, event, clock)).map(Rc::new);
        self.told.borrow_mut().push(Told { news, clock, outcome: outcome.clone() });
        outcome
    }

    /// The machine that this one has become by an event.
    fn become_by(&self, layout: &Layout, machine: Machine, event: &Event) -> Self {
        match event {
            Event::ConsumerJoined { .. } | Event::ConsumerRemoved { .. } | Event::ConsumerAbandoned { .. } => {
                Self::new(layout, machine)
            }
            _ => Self::numbered(machine, Rc::clone(&self.numbers)),
        }
    }

    /// What it would have done now.
    pub(super) fn agenda(&self, layout: &Layout) -> &Agenda {
        self.agenda.get_or_init(|| Agenda::of(layout, &self.machine))
    }

    /// Whether it takes the unit that is searched for unrecoverable.
    pub(super) fn is_lost(&self, layout: &Layout) -> bool {
        let lost = || {
            let mut health = self.machine.health();
            health.any(|health| health.unit == layout.unit && health.standing.health == Health::Unrecoverable)
        };
        *self.lost.get_or_init(lost)
    }

    pub(super) fn number(&self, place: usize) -> Option<Index> {
        self.numbers.get(place).copied().flatten()
    }

    /// When the generation expires that is active, or is replaced.
    pub(super) fn expiry(&self, layout: &Layout) -> Option<UtcDateTime> {
        layout.roles.iter().filter_map(|role| self.machine.tracks.authority(*role)?.active.not_after).min()
    }

    /// What it has seen of the consumer at a place.
    pub(super) fn seen_of(&self, place: usize) -> Option<&Seen> {
        self.machine.seen(self.number(place)?)
    }

    /// The epoch of which the consumer at a place must have been given something.
    pub(super) fn since(&self, place: usize) -> u64 {
        self.number(place).map_or(0, |number| self.machine.since_of(number))
    }

    fn key(&self, layout: &Layout) -> u128 {
        *self.key.get_or_init(|| {
            let mut bytes = Bytes(Vec::with_capacity(512));
            self.write(layout, &mut bytes);
            bytes.digest()
        })
    }
}

/// The machine and the world that it has to do with.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) machine: Rc<Mind>,
    pub(super) world: World,
}

impl State {
    /// A cluster at rest, with everybody seen.
    pub(super) fn first(layout: &Layout) -> Self {
        let start = layout.instants.first().copied().unwrap_or(UtcDateTime::UNIX_EPOCH);
        let member = |place: &Place| {
            let mut holds = Real::default();
            holds.iter_mut().take(place.facets.len()).for_each(|held| *held = 1);
            let id = ReportId { incarnation: 0, sequence: 0 };
            let there = !place.spare;
            let (up, taken, asleep, lost) = (there, false, false, false);
            Member { holds, there, up, taken, asleep, lost, epoch: 0, id, channel: None }
        };
        let world = World {
            members: layout.places.iter().map(member).collect(),
            late: Vec::new(),
            keys: [1; 4],
            spent: [0; FaultKind::ALL.len()],
            clock: 0,
            closed: false,
            believable: start,
            standing: None,
            asked: false,
            commanded: false,
            done: 0,
        };
        let mut state = Self { machine: Rc::new(Mind::new(layout, layout.machine.clone())), world };
        let mut machine = layout.machine.clone();
        for index in 0..state.world.members.len() {
            state.say(index);
            let message = state.world.member_mut(index).and_then(|member| member.channel.take());
            if let Some(event) = message.and_then(|message| message.event(layout, index)) {
                let _ = machine.apply(&event, start);
            }
        }
        Self { machine: Rc::new(Mind::new(layout, machine)), ..state }
    }

    pub(super) fn rotating(&self) -> Option<&Rotating> {
        match self.machine.phase() {
            Phase::Rotating(rotating) => Some(rotating),
            Phase::Stable => None,
        }
    }

    /// A consumer says what it runs with. A newer report takes the place of one that has not left yet.
    pub(super) fn say(&mut self, index: usize) {
        if let Some(member) = self.world.member_mut(index).filter(|member| member.there && member.up) {
            member.id.sequence += 1;
            member.channel =
                Some(Message::Report { id: member.id, holds: member.holds, epoch: member.epoch, readable: true });
        }
    }

    /// What the machine believes of one facet, in the bits of the world.
    pub(super) fn absolute(&self, track: Track, holding: Holding) -> u8 {
        absolute(&self.machine, track, holding)
    }

    /// The same for whatever matters, and so the same state: report counters count by their order, the clock by its
    /// reading, epochs by whether an order in an older one is still under way.
    pub(super) fn key(&self, layout: &Layout, bytes: &mut Bytes) -> u128 {
        bytes.0.clear();
        self.write_key(layout, bytes);
        bytes.digest()
    }

    fn write_key(&self, layout: &Layout, key: &mut Bytes) {
        self.machine.key(layout).hash(key);
        let world = &self.world;
        (world.keys, world.spent, world.clock, world.closed, world.asked, world.commanded, world.done).hash(key);
        (world.believable, world.standing).hash(key);
        for (index, member) in world.members.iter().enumerate() {
            let len = layout.place(index).map_or(0, |place| place.facets.len());
            (member.there, member.up, member.taken, member.asleep, member.lost).hash(key);
            (member.epoch >= self.machine.since(index), member.epoch > self.machine.epoch()).hash(key);
            key.write(member.holds.get(..len).unwrap_or_default());
            match &member.channel {
                Some(message) => self.write_message(index, message, key),
                None => key.write_u8(0),
            }
        }
        for late in &world.late {
            match late {
                Late::Message(index, message) => {
                    index.hash(key);
                    self.write_message(*index, message, key);
                }
                Late::Order { member, holds, epoch, disturbs } => {
                    let of_member = world.member(*member).map_or(0, |member| member.epoch);
                    let since = self.machine.since(*member);
                    (*member, holds, *disturbs, *epoch < of_member, *epoch < self.machine.epoch(), *epoch >= since)
                        .hash(key);
                }
                Late::Controller(machine) => machine.key(layout).hash(key),
            }
        }
    }

    fn write_message(&self, index: usize, message: &Message, key: &mut Bytes) {
        match message {
            Message::Word { stage, to } => (1_u8, stage, to).hash(key),
            Message::Report { id, holds, epoch, readable } => {
                let applied = self.machine.seen_of(index).map(|seen| seen.id).unwrap_or_default();
                let member = self.world.member(index);
                let own = member.map(|member| member.id).unwrap_or_default();
                let under_way = member.and_then(|member| match &member.channel {
                    Some(Message::Report { id, .. }) => Some(*id),
                    _ => None,
                });
                let order = (*id > applied, *id >= own, under_way.map(|other| other.cmp(id)));
                (2_u8, order, readable, *epoch >= self.machine.since(index)).hash(key);
                // What is stale and cannot be read says nothing.
                key.write(holds);
            }
        }
    }
}

impl Mind {
    fn write(&self, layout: &Layout, key: &mut Bytes) {
        let machine = &self.machine;
        match machine.phase() {
            Phase::Stable => key.write_u8(0),
            Phase::Rotating(rotating) => {
                let plan = &rotating.plan;
                (1_u8, rotating.stage, plan.direction, plan.history.len(), plan.stages.len()).hash(key);
                (&rotating.open, rotating.paused, rotating.may_complete, rotating.attempts, rotating.commanded)
                    .hash(key);
                rotating.started.hash(key);
            }
        }
        machine.clock.hash(key);
        machine.overrides.hash(key);
        machine.completed.as_ref().map(|completed| (completed.at, completed.rolled_back)).hash(key);
        machine.deliveries.len().hash(key);
        machine.abandoned.len().hash(key);
        machine.topology().pools().count().hash(key);
        for role in &layout.roles {
            let Some(authority) = machine.tracks.authority(*role) else { continue };
            (authority.active.version, authority.next.map(|next| next.id), authority.cross).hash(key);
            authority.previous.map(|previous| previous.version).hash(key);
        }
        machine.tracks.addresses.as_ref().map(|addresses| addresses.next.is_some()).hash(key);
        for (index, place) in layout.places.iter().enumerate() {
            match self.seen_of(index) {
                None => key.write_u8(0),
                Some(seen) => {
                    (1_u8, seen.available, seen.released, seen.epoch >= self.since(index)).hash(key);
                    seen.held.iter().take(place.facets.len()).for_each(|held| key.write_u8(u8::from(*held)));
                }
            }
        }
    }
}

/// What a machine means by a holding.
pub(super) fn absolute(machine: &Machine, track: Track, holding: Holding) -> u8 {
    let mut bits = 0;
    let (previous, active, next) = match track {
        Track::Authority(role) => {
            let Some(authority) = machine.tracks.authority(role) else { return 0 };
            let version = |record: &crate::event::AuthorityRecord| bit(record.version);
            (authority.previous.as_ref().map(version), version(&authority.active), authority.next.as_ref().map(version))
        }
        Track::Address => {
            let Some(addresses) = machine.tracks.addresses.as_ref() else { return 0 };
            let number = |address: &crate::topology::Address| if address.to_string().ends_with(".1") { 1 } else { 2 };
            (addresses.previous.as_ref().map(number), number(&addresses.active), addresses.next.as_ref().map(number))
        }
    };
    for (which, found) in [(Holding::PREVIOUS, previous), (Holding::CURRENT, Some(active)), (Holding::NEXT, next)] {
        if holding.contains(which) {
            bits |= found.unwrap_or_default();
        }
    }
    // What is chained is so through the generation before it.
    let through = if holding.contains(Holding::NEXT) { Some(active) } else { previous };
    bits | if holding.is_chained() { chained(through.unwrap_or_default()) } else { 0 }
}

/// The report of a consumer that holds this. What is foreign is left out, so that nobody can read it.
pub(super) fn observation(layout: &Layout, place: &Place, id: ReportId, holds: &Real) -> Option<Observation> {
    let mut report = Observation::new(place.id.clone(), id);
    for ((facet, track), held) in place.facets.iter().zip(holds) {
        let generation = held & !CHAINED;
        match (facet, track) {
            (Facet::Trusts(slot), Track::Authority(role)) => {
                let hash = layout.bundle(*role, generation).unwrap_or_else(|| BundleHash::of([]));
                report.bundles.push((*slot, hash));
            }
            (Facet::Presents(leaf), Track::Authority(role)) => {
                let Some(issuer) = layout.issuer(*role, generation) else { continue };
                let through = layout.issuer(*role, through(*held));
                report.leaves.push(PresentedLeaf { leaf: *leaf, issuer, through });
            }
            (Facet::Signs(role), _) => report.signs_with = layout.issuer(*role, generation),
            (Facet::RestartedUnder, Track::Authority(role)) => {
                report.csr_signer_at_restart = layout.issuer(*role, generation);
            }
            (Facet::Serves, _) => {
                for number in [1_u8, 2].into_iter().filter(|number| held & number != 0) {
                    let shown = place.position(Facet::Presents(pki_core::LeafKind::ApiServer));
                    let shown = shown.and_then(|at| holds.get(at)).map_or(0, |shown| shown & !CHAINED);
                    let role = layout.hierarchy.issuer_of(pki_core::LeafKind::ApiServer)?;
                    let issuer = layout.issuer(role, if number == 2 { newest(place, role, holds)? } else { shown })?;
                    report.serves.push(ServedAddress { address: super::setup::address(number).ok()?, issuer });
                }
            }
            (Facet::Service, _) => report.service = super::setup::address(generation).ok(),
            (Facet::Dials, _) => report.dials = super::setup::address(generation).ok(),
            _ => {}
        }
    }
    Some(report)
}

/// What the API server shows at the second address from the start: the newest generation that it trusts.
pub(super) fn newest(place: &Place, role: AuthorityRole, holds: &Real) -> Option<u8> {
    let trusted = place.facets.iter().zip(holds).filter_map(|((facet, track), held)| {
        (matches!(facet, Facet::Trusts(_)) && *track == Track::Authority(role)).then_some(*held)
    });
    trusted.max().and_then(u8::checked_ilog2).map(|newest| 1 << newest)
}

impl World {
    pub(super) fn member(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }

    pub(super) fn member_mut(&mut self, index: usize) -> Option<&mut Member> {
        self.members.get_mut(index)
    }

    pub(super) fn key_of(&mut self, layout: &Layout, role: AuthorityRole) -> Option<&mut u8> {
        let at = layout.roles.iter().position(|known| *known == role)?;
        self.keys.get_mut(at)
    }

    /// Takes part in what may be believed of the clock: a day at once, or what it has stood by for an hour.
    pub(super) fn read_clock(&mut self, reading: UtcDateTime, rotating: bool) {
        if !rotating || reading <= self.believable + Duration::DAY {
            self.believable = self.believable.max(reading);
            self.standing = None;
            return;
        }
        match self.standing {
            Some(since) if reading >= since + Duration::HOUR => {
                self.believable = reading;
                self.standing = None;
            }
            Some(since) => self.standing = Some(since.min(reading)),
            None => self.standing = Some(reading),
        }
    }
}

/// Bytes to be hashed.
#[derive(Debug, Default)]
pub(super) struct Bytes(Vec<u8>);

impl Bytes {
    fn digest(&self) -> u128 {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            hasher.write(&self.0);
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
    }
}

impl Hasher for Bytes {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}
