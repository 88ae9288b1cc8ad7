//! What really is: what every consumer runs with, what is under way, which keys exist.

use core::hash::{Hash, Hasher};

use pki_core::{AuthorityRole, BundleHash};
use std::hash::DefaultHasher;
use std::sync::Arc;
use time::{Duration, UtcDateTime};

use super::setup::{CHAINED, FaultKind, Layout, Place, bit};
use crate::event::{Event, Observation, PresentedLeaf, ReportId, ServedAddress};
use crate::facet::{Facet, Holding, Track};
use crate::machine::{Machine, Phase, Rotating};
use crate::plan::StageId;
use crate::topology::MAX_FACETS;

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
    Report { id: ReportId, holds: Real, epoch: u64, readable: bool },
    Word { stage: Arc<StageId> },
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
    Controller(Box<Machine>),
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
}

/// The machine and the world that it has to do with.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) machine: Machine,
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
        };
        let mut state = Self { machine: layout.machine.clone(), world };
        for index in 0..state.world.members.len() {
            state.say(index);
            let message = state.world.member_mut(index).and_then(|member| member.channel.take());
            if let Some(event) = message.and_then(|message| state.event_of(layout, index, &message)) {
                let _ = state.machine.apply(&event, start);
            }
        }
        state
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

    pub(super) fn event_of(&self, layout: &Layout, index: usize, message: &Message) -> Option<Event> {
        let place = layout.place(index)?;
        match message {
            Message::Word { stage } => {
                let to = self.rotating().map(Rotating::to).unwrap_or(pki_core::CaVersion::FIRST.next());
                let (consumer, unit) = (place.id.clone(), layout.unit);
                Some(Event::Acknowledged { consumer, unit, to, stage: (**stage).clone(), by: String::new() })
            }
            Message::Report { id, readable: false, .. } => {
                Some(Event::Observed(Observation::new(place.id.clone(), *id)))
            }
            Message::Report { id, holds, epoch, .. } => {
                let report = observation(layout, place, *id, holds)?;
                Some(Event::Observed(Observation { epoch: *epoch, ..report }))
            }
        }
    }

    /// The same for whatever matters, and so the same state: report counters count by their order, the clock by its
    /// reading, epochs by whether an order in an older one is still under way.
    pub(super) fn key(&self, layout: &Layout) -> u128 {
        let mut bytes = Bytes(Vec::with_capacity(512));
        self.write_key(layout, &mut bytes);
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(salt);
            hasher.write(&bytes.0);
            u128::from(hasher.finish())
        };
        half(1) << 64 | half(2)
    }

    fn write_key(&self, layout: &Layout, key: &mut Bytes) {
        self.write_machine(layout, key);
        let world = &self.world;
        (world.keys, world.spent, world.clock, world.closed, world.asked).hash(key);
        (world.believable, world.standing).hash(key);
        for (index, member) in world.members.iter().enumerate() {
            let len = layout.place(index).map_or(0, |place| place.facets.len());
            (member.there, member.up, member.taken, member.asleep, member.lost).hash(key);
            (member.epoch >= self.since(layout, index)).hash(key);
            key.write(member.holds.get(..len).unwrap_or_default());
            match &member.channel {
                Some(message) => self.write_message(layout, index, message, key),
                None => key.write_u8(0),
            }
        }
        for late in &world.late {
            match late {
                Late::Message(index, message) => {
                    index.hash(key);
                    self.write_message(layout, *index, message, key);
                }
                Late::Order { member, holds, epoch, disturbs } => {
                    let of_member = world.member(*member).map_or(0, |member| member.epoch);
                    let since = self.since(layout, *member);
                    (*member, holds, *disturbs, *epoch < of_member, *epoch < self.machine.epoch(), *epoch >= since)
                        .hash(key);
                }
                Late::Controller(machine) => {
                    Self { machine: (**machine).clone(), world: World { late: Vec::new(), ..world.clone() } }
                        .write_machine(layout, key);
                }
            }
        }
    }

    fn write_message(&self, layout: &Layout, index: usize, message: &Message, key: &mut Bytes) {
        match message {
            Message::Word { stage } => (1_u8, stage).hash(key),
            Message::Report { id, holds, epoch, readable } => {
                let applied = self.seen_id(layout, index);
                let member = self.world.member(index);
                let own = member.map(|member| member.id).unwrap_or_default();
                let under_way = member.and_then(|member| match &member.channel {
                    Some(Message::Report { id, .. }) => Some(*id),
                    _ => None,
                });
                let order = (*id > applied, *id >= own, under_way.map(|other| other.cmp(id)));
                (2_u8, order, readable, *epoch >= self.since(layout, index)).hash(key);
                // What is stale and cannot be read says nothing.
                key.write(holds);
            }
        }
    }

    fn since(&self, layout: &Layout, index: usize) -> u64 {
        let topology = self.machine.topology();
        let at = layout.place(index).and_then(|place| topology.index(&place.id));
        at.map_or(0, |at| self.machine.since_of(at))
    }

    pub(super) fn seen_id(&self, layout: &Layout, index: usize) -> ReportId {
        let topology = self.machine.topology();
        let seen = layout.place(index).and_then(|place| self.machine.seen(topology.index(&place.id)?));
        seen.map(|seen| seen.id).unwrap_or_default()
    }

    fn write_machine(&self, layout: &Layout, key: &mut Bytes) {
        let machine = &self.machine;
        match machine.phase() {
            Phase::Stable => key.write_u8(0),
            Phase::Rotating(rotating) => {
                let plan = &rotating.plan;
                (1_u8, rotating.stage, plan.direction, plan.history.len(), plan.stages.len()).hash(key);
                (&rotating.open, rotating.paused, rotating.may_complete, rotating.attempts).hash(key);
                rotating.started.hash(key);
            }
        }
        machine.clock.hash(key);
        machine.overrides.hash(key);
        machine.completed.as_ref().map(|completed| (completed.at, completed.rolled_back)).hash(key);
        machine.deliveries.len().hash(key);
        machine.abandoned.len().hash(key);
        for role in &layout.roles {
            let Some(authority) = machine.tracks.authority(*role) else { continue };
            (authority.active.version, authority.next.map(|next| next.id), authority.cross).hash(key);
            authority.previous.map(|previous| previous.version).hash(key);
        }
        machine.tracks.addresses.as_ref().map(|addresses| addresses.next.is_some()).hash(key);
        for place in &layout.places {
            match machine.topology().index(&place.id).and_then(|index| machine.seen(index)) {
                None => key.write_u8(0),
                Some(seen) => {
                    let since = machine.topology().index(&place.id).map_or(0, |index| machine.since_of(index));
                    (1_u8, seen.available, seen.released, seen.epoch >= since).hash(key);
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
    if holding.is_chained() { bits | CHAINED } else { bits }
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
                let through = if held & CHAINED != 0 { layout.issuer(*role, 1) } else { None };
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
                    // The second address shows the next generation from the start.
                    let issuer = layout.issuer(role, if number == 2 { 2 } else { shown })?;
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
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}
