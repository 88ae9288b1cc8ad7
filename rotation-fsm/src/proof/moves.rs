//! What can happen next.

use core::fmt;
use std::rc::Rc;
use std::sync::Arc;

use pki_core::{AuthorityRole, CaVersion, ComponentKind, LeafKind};
use time::Duration;

use super::Fault;
use super::laws::{self, Violation};
use super::setup::{FaultKind, Layout, SPARE, bit, chained};
use super::world::{Late, Member, Message, News, Outcome, Real, State, absolute};
use crate::action::{Action, ConsumerTarget};
use crate::event::{CrossRecord, Event, ReportId};
use crate::facet::{Facet, Holding};
use crate::machine::Machine;
use crate::plan::StageId;
use crate::rejected::Rejected;
use crate::topology::Reload;

/// One step of the controller, of a consumer, of an operator or of fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Start,
    Tick,
    Wait,
    Mint(u8),
    CrossSign(u8),
    Allocate,
    Destroy(u8),
    HandOut,
    TakeDown(u8),
    /// With the key of which of the signers that differ.
    Act(u8, u8),
    Arrive(u8),
    Look(u8),
    Complete,
    Resume,
    Wake(u8),
    Open,
    Lose(u8),
    Duplicate(u8),
    Delay(u8),
    ArriveLate(u8),
    Garble(u8),
    Crash,
    CrashAfterMinting(u8),
    Join(u8),
    AddPool,
    Leave(u8),
    Abandon(u8),
    Rejoin(u8),
    Sleep(u8),
    Restart(u8, u8),
    Close,
    ClockTo(u8),
    Decide(u8),
    CarryOutLate(u8),
    CopyController,
    SubmitLate(u8),
    SubmitTakeDown(u8),
    ActUnstored(u8, u8),
    Pause,
    TurnBack,
    FalseWord(u8),
    LongCross(u8),
    SecondKey(u8),
    Restore(u8),
}

impl Move {
    /// Whether it is among what goes on by itself when nothing is amiss.
    pub(super) const fn is_fair(self) -> bool {
        matches!(
            self,
            Self::Start
                | Self::Tick
                | Self::Wait
                | Self::Mint(_)
                | Self::CrossSign(_)
                | Self::Allocate
                | Self::Destroy(_)
                | Self::HandOut
                | Self::TakeDown(_)
                | Self::Act(..)
                | Self::Arrive(_)
                | Self::Look(_)
                | Self::Complete
                | Self::Resume
                | Self::Wake(_)
                | Self::Open
        )
    }

    const fn kind(self) -> Option<FaultKind> {
        Some(match self {
            Self::Lose(_) => FaultKind::Loss,
            Self::Duplicate(_) => FaultKind::Duplication,
            Self::Delay(_) => FaultKind::Delay,
            Self::Garble(_) => FaultKind::Garbling,
            Self::Crash | Self::CrashAfterMinting(_) | Self::ActUnstored(..) => FaultKind::Crash,
            Self::Join(_) => FaultKind::Join,
            Self::AddPool => FaultKind::Pool,
            Self::Leave(_) => FaultKind::Leave,
            Self::Abandon(_) => FaultKind::Abandonment,
            Self::Sleep(_) => FaultKind::Sleep,
            Self::Restart(..) => FaultKind::Restart,
            Self::Close => FaultKind::Window,
            Self::ClockTo(_) => FaultKind::Clock,
            Self::Decide(_) | Self::CopyController => FaultKind::Controllers,
            Self::Pause | Self::TurnBack => FaultKind::Operator,
            Self::FalseWord(_) | Self::LongCross(_) | Self::SecondKey(_) | Self::Restore(_) => FaultKind::Mistake,
            _ => return None,
        })
    }

    /// The move in words.
    pub(super) fn describe(self, layout: &Layout, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |index: u8| {
            layout.place(usize::from(index)).map_or_else(|| index.to_string(), |place| place.id.to_string())
        };
        let role = |index: u8| layout.roles.get(usize::from(index)).map_or_else(String::new, ToString::to_string);
        match self {
            Self::Start if layout.config.emergency => f.write_str("an EMERGENCY is declared"),
            Self::Start => f.write_str("a user asks for the rotation"),
            Self::Tick => f.write_str("the clock is read"),
            Self::Wait => f.write_str("time passes"),
            Self::Mint(index) => write!(f, "the next key of {} is made", role(index)),
            Self::CrossSign(index) => write!(f, "the next {} is cross-signed", role(index)),
            Self::Allocate => f.write_str("a second address is allocated"),
            Self::Destroy(index) => write!(f, "the key of {} that nobody needs is destroyed", role(index)),
            Self::HandOut => f.write_str("what is to be handed out is handed out"),
            Self::TakeDown(index) => write!(f, "{} is taken down", who(index)),
            Self::Act(index, _) => write!(f, "{} takes up what it is to run with, and reports", who(index)),
            Self::Arrive(index) => write!(f, "the report of {} arrives", who(index)),
            Self::Look(index) => write!(f, "{} is looked at again", who(index)),
            Self::Complete => f.write_str("a user asks to complete"),
            Self::Resume => f.write_str("a user asks to go on"),
            Self::Wake(index) => write!(f, "{} wakes up", who(index)),
            Self::Open => f.write_str("the maintenance window opens"),
            Self::Lose(index) => write!(f, "the report of {} is LOST", who(index)),
            Self::Duplicate(index) => write!(f, "the report of {} arrives, and will AGAIN", who(index)),
            Self::Delay(index) => write!(f, "the report of {} is DELAYED", who(index)),
            Self::ArriveLate(_) => f.write_str("what was delayed ARRIVES"),
            Self::Garble(index) => write!(f, "{} reports what CANNOT BE READ", who(index)),
            Self::Crash => f.write_str("the controller CRASHES and comes back with its journal"),
            Self::CrashAfterMinting(index) => {
                write!(f, "the controller CRASHES after making the next key of {}", role(index))
            }
            Self::Join(index) => write!(f, "the node of {} JOINS", who(index)),
            Self::AddPool => f.write_str("a pool is ADDED"),
            Self::Leave(index) => write!(f, "the node of {} LEAVES", who(index)),
            Self::Abandon(index) => write!(f, "the node of {} is LOST and given up", who(index)),
            Self::Rejoin(index) if layout.place(usize::from(index)).is_some_and(|place| place.new_pool) => {
                write!(f, "the node of {} JOINS the new pool", who(index))
            }
            Self::Rejoin(index) => write!(f, "the node of {} COMES BACK as a new one", who(index)),
            Self::Sleep(index) => write!(f, "{} FALLS ASLEEP", who(index)),
            Self::Restart(index, _) => write!(f, "the node of {} RESTARTS by itself", who(index)),
            Self::Close => f.write_str("the maintenance window CLOSES"),
            Self::ClockTo(index) => {
                let at = layout.instants.get(usize::from(index)).zip(layout.instants.first());
                match at {
                    Some((at, start)) => {
                        write!(f, "the clock STEPS to {} hours after the start", (*at - *start).whole_hours())
                    }
                    None => f.write_str("the clock STEPS"),
                }
            }
            Self::Decide(index) => write!(f, "a second controller DECIDES on an order for {}", who(index)),
            Self::CarryOutLate(_) => f.write_str("the second controller CARRIES its order OUT"),
            Self::CopyController => f.write_str("a second controller READS the journal"),
            Self::SubmitLate(index) => {
                write!(f, "the second controller SUBMITS the report of {} on what it had read", who(index))
            }
            Self::SubmitTakeDown(index) => {
                write!(f, "the second controller TAKES DOWN {} on what it had read", who(index))
            }
            Self::ActUnstored(index, other) => write!(
                f,
                "the report of {} arrives, {} is given what follows, and the controller CRASHES before it was stored",
                who(index),
                who(other)
            ),
            Self::Pause => f.write_str("a user asks to PAUSE"),
            Self::TurnBack => f.write_str("a user asks for the WAY BACK"),
            Self::FalseWord(index) => write!(f, "somebody says FALSELY that {} is done", who(index)),
            Self::LongCross(index) => {
                write!(f, "the next {} is cross-signed for LONGER than the root lasts", role(index))
            }
            Self::SecondKey(index) => write!(f, "a SECOND key of {} is made", role(index)),
            Self::Restore(index) => write!(f, "{} is RESTORED with the bundles of before", who(index)),
        }
    }
}

/// What a consumer is to run with.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) member: usize,
    /// By place; where somebody signs at run time, for which role.
    changes: Vec<(usize, u8, Option<AuthorityRole>)>,
    disturbs: bool,
    recreates: bool,
    epoch: u64,
    mates: Vec<Self>,
    word: Option<(Arc<StageId>, CaVersion)>,
}

impl Order {
    fn of(layout: &Layout, target: &ConsumerTarget) -> Option<Self> {
        let member = layout.index_of(&target.consumer)?;
        let place = layout.place(member)?;
        let mut changes = Vec::new();
        let mut put = |facet: Facet, value: u8| {
            let role = place.facets.iter().find(|(known, _)| *known == facet).and_then(|(_, track)| match track {
                crate::facet::Track::Authority(role) if facet.is_renewed() => Some(*role),
                _ => None,
            });
            changes.extend(place.position(facet).map(|at| (at, value, role)));
        };
        for bundle in &target.bundles {
            put(Facet::Trusts(bundle.slot), bundle.versions.versions().fold(0, |bits, version| bits | bit(version)));
        }
        for leaf in &target.leaves {
            let through = leaf.through.map_or(0, |by| chained(bit(by)));
            put(Facet::Presents(leaf.leaf), bit(leaf.issuer) | through);
            // A restart that is owed comes with all of a kubelet's certificates.
            if leaf.leaf == LeafKind::KubeletClient {
                put(Facet::RestartedUnder, bit(leaf.issuer));
            }
        }
        if let Some((role, version)) = target.signs {
            put(Facet::Signs(role), bit(version));
        }
        let number = |address: &crate::topology::Address| if address.to_string().ends_with(".1") { 1 } else { 2 };
        if !target.serves.is_empty() {
            put(Facet::Serves, target.serves.iter().fold(0, |bits, address| bits | number(address)));
        }
        target.service.iter().for_each(|address| put(Facet::Service, number(address)));
        target.dials.iter().for_each(|address| put(Facet::Dials, number(address)));
        let disturbs = matches!(target.reload, Reload::Restart | Reload::Recreate);
        let recreates = target.reload == Reload::Recreate;
        Some(Self { member, changes, disturbs, recreates, epoch: target.epoch, mates: Vec::new(), word: None })
    }

    fn is_met(&self, holds: &Real) -> bool {
        self.changes.iter().all(|(at, value, _)| holds.get(*at) == Some(value))
    }
}

/// What the controller would do now.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    pub(super) authorities: Vec<Move>,
    pub(super) orders: Vec<Order>,
}

impl Agenda {
    pub(super) fn of(layout: &Layout, machine: &Machine) -> Self {
        let mut agenda = Self::default();
        let place = |role: AuthorityRole| {
            layout.roles.iter().position(|known| *known == role).and_then(|at| u8::try_from(at).ok())
        };
        for action in machine.pending_actions() {
            match &action {
                Action::EnsureAuthority { role, .. } => agenda.authorities.extend(place(*role).map(Move::Mint)),
                Action::EnsureCrossCertificate { role, .. } => {
                    agenda.authorities.extend(place(*role).map(Move::CrossSign));
                }
                Action::EnsureAddress { .. } => agenda.authorities.push(Move::Allocate),
                Action::EnsureKeyDestroyed { role, .. } => agenda.authorities.extend(place(*role).map(Move::Destroy)),
                Action::EnsureDelivered { .. } => agenda.authorities.push(Move::HandOut),
                Action::EnsureConsumer { target, .. } => agenda.orders.extend(Order::of(layout, target)),
                Action::AwaitAcknowledgement { target, stage, to, .. } => {
                    let word = Some((Arc::new(stage.clone()), *to));
                    agenda.orders.extend(Order::of(layout, target).map(|order| Order { word, ..order }));
                }
                Action::RecreateNode { targets, .. } => {
                    let mut orders = targets.iter().filter_map(|target| Order::of(layout, target));
                    if let Some(first) = orders.next() {
                        agenda.orders.push(Order { mates: orders.collect(), ..first });
                    }
                }
                Action::EnsureLeavesRenewed { .. } => {}
            }
        }
        agenda.authorities.dedup();
        agenda
    }

    fn order(&self, member: usize) -> Option<&Order> {
        self.orders.iter().find(|order| order.member == member)
    }
}

fn short(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

impl State {
    /// Everything that can happen now.
    pub(super) fn moves(&self, layout: &Layout, agenda: &Agenda) -> Vec<Move> {
        let mut moves = Vec::new();
        self.fair_moves(layout, agenda, &mut moves);
        self.late_moves(layout, &mut moves);
        let spent: u8 = self.world.spent.iter().sum();
        if spent < layout.config.total {
            for (at, kind) in FaultKind::ALL.into_iter().enumerate() {
                let budget = layout.config.budgets.iter().find(|(known, _)| *known == kind).map_or(0, |(_, n)| *n);
                if self.world.spent.get(at).is_some_and(|spent| *spent < budget) {
                    self.faults_of(kind, layout, agenda, &mut moves);
                }
            }
        }
        moves
    }

    fn fair_moves(&self, layout: &Layout, agenda: &Agenda, moves: &mut Vec<Move>) {
        let world = &self.world;
        let stable = self.rotating().is_none();
        if stable && world.done < layout.config.rotations {
            let early = self.machine.expiry(layout).is_some_and(|expiry| {
                layout.instants.get(world.clock).is_some_and(|now| *now < expiry - Duration::days(30))
            });
            match layout.automatic {
                _ if layout.config.emergency => moves.push(Move::Start),
                _ if early || self.is_too_late(layout) => moves.push(Move::Wait),
                true => moves.push(Move::Tick),
                false => moves.push(Move::Start),
            }
        }
        if layout.gated && !stable {
            moves.push(Move::Tick);
            if !world.asked {
                moves.push(Move::Complete);
            }
        }
        if self.rotating().is_some_and(|rotating| rotating.is_paused()) {
            moves.push(Move::Resume);
        }
        if world.closed {
            moves.push(Move::Open);
        }
        moves.extend(&agenda.authorities);
        for order in &agenda.orders {
            let Some(member) = world.member(order.member).filter(|member| member.there && !member.asleep) else {
                continue;
            };
            let at = short(order.member);
            let met = order.is_met(&member.holds)
                && order
                    .mates
                    .iter()
                    .all(|mate| world.member(mate.member).is_some_and(|member| mate.is_met(&member.holds)));
            // Nothing is done to what is on a node that is down; and whoever is believed to be down is looked at first.
            if self.is_on_a_node_that_is_down(layout, order.member) {
                continue;
            }
            if member.up && order.disturbs && !met {
                if self.is_believed_up(order.member) {
                    moves.push(Move::TakeDown(at));
                }
            } else if member.channel.is_none() || !met || !member.up || self.has_not_heard(order.member) {
                let choices = self.choices(layout, order);
                moves.extend((0..choices).map(|choice| Move::Act(at, choice)));
            }
        }
        for (index, member) in world.members.iter().enumerate() {
            let at = short(index);
            match &member.channel {
                Some(_) if member.there => moves.push(Move::Arrive(at)),
                None if member.there && member.up && !member.asleep && !self.is_known(layout, index) => {
                    moves.push(Move::Look(at));
                }
                _ => {}
            }
            if member.asleep {
                moves.push(Move::Wake(at));
            }
        }
    }

    fn is_on_a_node_that_is_down(&self, layout: &Layout, index: usize) -> bool {
        let mates = layout.place(index).map(|place| place.mates.as_slice()).unwrap_or_default();
        let down = |mate: &usize| self.world.member(*mate).is_some_and(|mate| mate.there && mate.taken);
        if self.world.member(index).is_none_or(|member| !member.taken) {
            return false;
        }
        let kubelet = |mate: &usize| layout.place(*mate).is_some_and(|place| place.id.kind() == ComponentKind::Kubelet);
        mates.iter().any(|mate| kubelet(mate) && down(mate))
    }

    /// Whether it must be given something of this epoch, and was not.
    fn has_not_heard(&self, index: usize) -> bool {
        let since = self.machine.since(index);
        self.world.member(index).is_some_and(|member| member.epoch < since)
    }

    fn is_believed_up(&self, index: usize) -> bool {
        self.machine.seen_of(index).is_some_and(|seen| seen.available)
    }

    /// Whether there is no time left for this strategy, so that only time leads on.
    fn is_too_late(&self, layout: &Layout) -> bool {
        let (now, first) = (layout.instants.get(self.world.clock), layout.instants.first());
        let Some(now) = now.filter(|now| Some(*now) > first) else { return false };
        let mut machine = Machine::clone(&self.machine);
        let started = match layout.automatic {
            true => machine.apply(&Event::Tick, *now).map(|applied| applied.blocked.into_iter().next()),
            false => machine.apply(&Event::RotationRequested { unit: layout.unit }, *now).map(|_| None),
        };
        let too_late = |rejected: &Rejected| matches!(rejected, Rejected::TooLate { .. });
        match started {
            Ok(blocked) => blocked.is_some_and(|(_, rejected)| too_late(&rejected)),
            Err(rejected) => too_late(&rejected),
        }
    }

    /// How many signers differ for what this order has signed at run time.
    fn choices(&self, layout: &Layout, order: &Order) -> u8 {
        let orders = || core::iter::once(order).chain(&order.mates);
        let roles = orders().flat_map(|order| order.changes.iter().filter_map(|(_, _, role)| *role));
        let most = roles.map(|role| self.signing(layout, role).len()).max().unwrap_or(1);
        short(most.max(1))
    }

    /// The generations that those sign with who sign for a role.
    fn signing(&self, layout: &Layout, role: AuthorityRole) -> Vec<u8> {
        let held = layout.signers(role).filter_map(|(index, place)| {
            let member = self.world.member(index).filter(|member| member.there)?;
            member.holds.get(place).copied()
        });
        let mut held: Vec<_> = held.collect();
        held.sort_unstable();
        held.dedup();
        held
    }

    /// Whether the machine has seen what a consumer runs with. Nobody can look at a client outside.
    pub(super) fn is_known(&self, layout: &Layout, index: usize) -> bool {
        let (Some(place), Some(member)) = (layout.place(index), self.world.member(index)) else { return true };
        if place.external {
            return true;
        }
        if self.machine.number(index).is_none() {
            return true;
        }
        let Some(seen) = self.machine.seen_of(index) else { return false };
        let mut held = place.facets.iter().zip(&seen.held).zip(&member.holds);
        seen.available && held.all(|(((_, track), held), real)| self.absolute(*track, *held) == *real)
    }

    fn late_moves(&self, layout: &Layout, moves: &mut Vec<Move>) {
        for (index, late) in self.world.late.iter().enumerate() {
            match late {
                Late::Message(..) => moves.push(Move::ArriveLate(short(index))),
                Late::Order { .. } => moves.push(Move::CarryOutLate(short(index))),
                Late::Controller(machine) => {
                    for (index, member) in self.world.members.iter().enumerate() {
                        if member.channel.is_some() {
                            moves.push(Move::SubmitLate(short(index)));
                        }
                    }
                    let orders = machine.agenda(layout).orders.iter().filter(|order| order.disturbs);
                    moves.extend(orders.map(|order| Move::SubmitTakeDown(short(order.member))));
                }
            }
        }
        // Whoever left may come back, but not as if nothing had been. The nodes of a new pool join when they like.
        let added = self.machine.topology().pools().any(|pool| *pool == layout.new_pool);
        for (index, place) in self.leads(layout) {
            let may = |member: &Member| member.id != ReportId::default() || (place.new_pool && added);
            if self.world.member(index).is_some_and(|member| !member.there && may(member)) {
                moves.push(Move::Rejoin(short(index)));
            }
        }
    }

    /// The first consumer of every node.
    fn leads<'a>(&'a self, layout: &'a Layout) -> impl Iterator<Item = (usize, &'a super::setup::Place)> {
        let places = layout.places.iter().enumerate();
        places.filter(|(index, place)| place.pool.is_some() && place.mates.iter().all(|mate| mate > index))
    }

    fn faults_of(&self, kind: FaultKind, layout: &Layout, agenda: &Agenda, moves: &mut Vec<Move>) {
        let members = || self.world.members.iter().enumerate().map(|(index, member)| (short(index), member));
        let speaking = || members().filter(|(_, member)| member.there && member.channel.is_some());
        let awake = || members().filter(|(_, member)| member.there && member.up && !member.asleep);
        let external = |index: u8| layout.place(usize::from(index)).is_some_and(|place| place.external);
        let roles = || (0..layout.roles.len()).map(short);
        match kind {
            FaultKind::Loss => moves.extend(speaking().map(|(index, _)| Move::Lose(index))),
            FaultKind::Duplication => moves.extend(speaking().map(|(index, _)| Move::Duplicate(index))),
            FaultKind::Delay => moves.extend(speaking().map(|(index, _)| Move::Delay(index))),
            FaultKind::Garbling => {
                moves.extend(awake().filter(|(index, _)| !external(*index)).map(|(index, _)| Move::Garble(index)));
            }
            FaultKind::Crash => {
                moves.push(Move::Crash);
                let minting = agenda.authorities.iter().filter_map(|pending| match pending {
                    Move::Mint(role) => Some(Move::CrashAfterMinting(*role)),
                    _ => None,
                });
                moves.extend(minting);
                if layout.config.fault == Some(Fault::ActBeforeDurable) {
                    for (index, _) in speaking() {
                        moves.extend(members().map(|(other, _)| Move::ActUnstored(index, other)));
                    }
                }
            }
            FaultKind::Join => {
                let absent = self.leads(layout).filter(|(index, place)| {
                    place.spare
                        && !place.new_pool
                        && self.world.member(*index).is_some_and(|member| member.id == ReportId::default())
                });
                moves.extend(absent.map(|(index, _)| Move::Join(short(index))));
            }
            FaultKind::Pool => {
                moves.extend(layout.places.iter().any(|place| place.new_pool).then_some(Move::AddPool));
            }
            FaultKind::Leave | FaultKind::Abandonment => {
                let there = self
                    .leads(layout)
                    .filter(|(index, _)| self.world.member(*index).is_some_and(|member| member.there));
                let leave = |index: usize| match kind {
                    FaultKind::Leave => Move::Leave(short(index)),
                    _ => Move::Abandon(short(index)),
                };
                moves.extend(there.map(|(index, _)| leave(index)));
            }
            FaultKind::Sleep => {
                moves.extend(awake().filter(|(index, _)| !external(*index)).map(|(index, _)| Move::Sleep(index)));
            }
            FaultKind::Restart => {
                let leads = self.leads(layout).filter(|(index, _)| {
                    self.world.member(*index).is_some_and(|member| member.there && member.up && !member.asleep)
                });
                for (index, place) in leads {
                    let roles = place.facets.iter().filter_map(|(facet, track)| match track {
                        crate::facet::Track::Authority(role) if facet.is_renewed() => Some(*role),
                        _ => None,
                    });
                    let choices = roles.map(|role| self.signing(layout, role).len()).max().unwrap_or(1);
                    moves.extend((0..short(choices.max(1))).map(|choice| Move::Restart(short(index), choice)));
                }
            }
            FaultKind::Window => {
                if !self.world.closed {
                    moves.push(Move::Close);
                }
            }
            FaultKind::Clock => {
                let others = (0..layout.instants.len()).filter(|at| *at != self.world.clock);
                moves.extend(others.map(|at| Move::ClockTo(short(at))));
            }
            FaultKind::Controllers => {
                let orders = agenda.orders.iter().filter(|order| order.word.is_none());
                moves.extend(orders.map(|order| Move::Decide(short(order.member))));
                if layout.config.fault == Some(Fault::NoCompareAndSet) {
                    moves.push(Move::CopyController);
                }
            }
            FaultKind::Operator => {
                if let Some(rotating) = self.rotating() {
                    if !rotating.is_paused() {
                        moves.push(Move::Pause);
                    }
                    moves.push(Move::TurnBack);
                }
            }
            FaultKind::Mistake => {
                if self.rotating().is_some() {
                    moves.extend(members().filter(|(_, member)| member.there).map(|(index, _)| Move::FalseWord(index)));
                    moves.extend(roles().map(Move::SecondKey));
                    let crossing = agenda.authorities.iter().filter_map(|pending| match pending {
                        Move::CrossSign(role) => Some(Move::LongCross(*role)),
                        _ => None,
                    });
                    moves.extend(crossing);
                } else if self.machine.completed().is_some() {
                    moves.extend(awake().filter(|(index, _)| !external(*index)).map(|(index, _)| Move::Restore(index)));
                }
            }
        }
    }

    /// The state after a move, with what the move broke; `None` where the move changes nothing.
    pub(super) fn after(&self, layout: &Layout, agenda: &Agenda, what: Move) -> Option<(Self, Option<Violation>)> {
        let mut next = self.clone();
        if let Some(kind) = what.kind()
            && let Some(spent) =
                FaultKind::ALL.iter().position(|known| *known == kind).and_then(|at| next.world.spent.get_mut(at))
        {
            *spent += 1;
        }
        let violation = next.carry(layout, agenda, what).ok()?;
        Some((next, violation))
    }

    /// Submits an event with compare-and-set and watches what comes of it. `Err` where it is refused.
    fn submit(&mut self, layout: &Layout, event: Event) -> Result<Option<Violation>, ()> {
        let outcome = self.machine.told(layout, event, self.world.clock);
        self.take(layout, outcome.as_ref())
    }

    /// The same, of what may have been told before in another state.
    fn submit_news(&mut self, layout: &Layout, news: News) -> Result<Option<Violation>, ()> {
        let outcome = self.machine.told_news(layout, news, self.world.clock);
        self.take(layout, outcome.as_deref())
    }

    fn take(&mut self, layout: &Layout, outcome: Option<&Outcome>) -> Result<Option<Violation>, ()> {
        let Some(Outcome { event, applied, mind }) = outcome else { return Err(()) };
        let now = *layout.instants.get(self.world.clock).ok_or(())?;
        self.world.read_clock(now, self.rotating().is_some());
        let before = core::mem::replace(&mut self.machine, Rc::clone(mind));
        if applied.completed && self.world.done < layout.config.rotations {
            self.world.done += 1;
        }
        self.world.asked &= applied.started.is_none();
        self.world.commanded = match event {
            Event::RotationRequested { .. } | Event::CompletionRequested { .. } => true,
            // The way back is of the phase in which it was asked for.
            Event::RollbackRequested { .. } => self.world.commanded,
            _ if applied.started.is_some() || laws::gate_opened(&before, self) => false,
            _ => self.world.commanded,
        };
        Ok(laws::after_event(layout, &before, self, event, applied))
    }

    fn carry(&mut self, layout: &Layout, agenda: &Agenda, what: Move) -> Result<Option<Violation>, ()> {
        let role = |index: u8| layout.roles.get(usize::from(index)).copied().ok_or(());
        match what {
            Move::Start if layout.config.emergency => {
                let role = layout.roles.first().ok_or(())?;
                let suspect = self.machine.authority(*role).ok_or(())?.version;
                self.submit(layout, Event::EmergencyDeclared { unit: layout.unit, suspect, by: String::new() })
            }
            Move::Start => self.submit(layout, Event::RotationRequested { unit: layout.unit }),
            Move::Tick => self.submit(layout, Event::Tick),
            Move::Wait => {
                let expiry = self.machine.expiry(layout).ok_or(())?;
                let now = *layout.instants.get(self.world.clock).ok_or(())?;
                // To when the rotation is due, or if it is too late for that to the expiry.
                let due = if now < expiry - Duration::days(30) { expiry - Duration::days(30) } else { expiry };
                self.world.clock = layout.instants.iter().position(|now| *now >= due).ok_or(())?;
                self.submit(layout, Event::Tick)
            }
            Move::Mint(index) => {
                let role = role(index)?;
                let to = self.rotating().map(|rotating| rotating.to()).ok_or(())?;
                let record = layout.record(role, bit(to)).ok_or(())?;
                *self.world.key_of(layout, role).ok_or(())? |= bit(to);
                self.submit(layout, Event::AuthorityMinted { role, record })
            }
            Move::CrashAfterMinting(index) => {
                let to = self.rotating().map(|rotating| rotating.to()).ok_or(())?;
                *self.world.key_of(layout, role(index)?).ok_or(())? |= bit(to);
                self.crash()
            }
            Move::CrossSign(index) => self.cross_sign(layout, role(index)?, Duration::ZERO),
            Move::LongCross(index) => self.cross_sign(layout, role(index)?, Duration::days(30)),
            Move::Allocate => {
                let address = super::setup::address(2).map_err(|_| ())?;
                self.submit(layout, Event::AddressAllocated { address })
            }
            Move::Destroy(index) => self.destroy(layout, role(index)?),
            Move::HandOut => {
                let delivery = *self.machine.deliveries.first().ok_or(())?;
                let role = AuthorityRole::Cluster;
                let version = self.machine.authority(role).map_or(CaVersion::FIRST, |record| record.version);
                self.submit(layout, Event::Delivered { delivery, version })
            }
            Move::TakeDown(index) => {
                let order = agenda.order(usize::from(index)).ok_or(())?;
                self.take_down(layout, usize::from(index), order.recreates)
            }
            Move::Act(index, choice) => {
                let order = agenda.order(usize::from(index)).ok_or(())?;
                self.act(layout, order, choice);
                Ok(None)
            }
            Move::Look(index) => {
                self.say(usize::from(index));
                Ok(None)
            }
            Move::Complete => {
                self.world.asked = true;
                self.submit(layout, Event::CompletionRequested { unit: layout.unit })
            }
            Move::Resume => self.submit(layout, Event::ResumeRequested { by: String::new() }),
            Move::Pause => self.submit(layout, Event::PauseRequested { by: String::new() }),
            Move::TurnBack => self.submit(layout, Event::RollbackRequested { by: String::new() }),
            Move::Wake(index) => {
                self.member(index)?.asleep = false;
                self.say(usize::from(index));
                Ok(None)
            }
            Move::Sleep(index) => {
                self.member(index)?.asleep = true;
                Ok(None)
            }
            Move::Open => self.calendar(layout, false),
            Move::Close => self.calendar(layout, true),
            Move::ClockTo(index) => {
                self.world.clock = usize::from(index);
                Ok(self.submit(layout, Event::Tick).unwrap_or(None))
            }
            Move::Crash => self.crash(),
            Move::Arrive(index) => {
                let message = self.member(index)?.channel.take().ok_or(())?;
                Ok(self.arrive(layout, usize::from(index), message))
            }
            Move::Lose(index) => {
                self.member(index)?.channel.take().ok_or(())?;
                Ok(None)
            }
            Move::Delay(index) | Move::Duplicate(index) => {
                let message = self.member(index)?.channel.take().ok_or(())?;
                self.world.late.push(Late::Message(usize::from(index), message.clone()));
                match what {
                    Move::Duplicate(_) => Ok(self.arrive(layout, usize::from(index), message)),
                    _ => Ok(None),
                }
            }
            Move::Garble(index) => {
                let member = self.member(index)?;
                member.id.sequence += 1;
                let (id, holds, epoch) = (member.id, Real::default(), member.epoch);
                member.channel = Some(Message::Report { id, holds, epoch, readable: false });
                Ok(None)
            }
            Move::ArriveLate(index) => match self.take_late(index)? {
                Late::Message(member, message) => Ok(self.arrive(layout, member, message)),
                _ => Err(()),
            },
            Move::AddPool => {
                let pool = layout.new_pool.clone();
                self.submit(layout, Event::PoolAdded { pool, max_unavailable: 1 })
            }
            Move::Join(index) | Move::Rejoin(index) => self.join(layout, usize::from(index)),
            Move::Leave(index) | Move::Abandon(index) => {
                self.leave(layout, usize::from(index), matches!(what, Move::Abandon(_)))
            }
            Move::Restart(index, choice) => self.restart(layout, usize::from(index), choice),
            Move::Restore(index) => self.restore(layout, usize::from(index)),
            Move::FalseWord(index) => {
                let consumer = layout.place(usize::from(index)).ok_or(())?.id.clone();
                if layout.place(usize::from(index)).is_some_and(|place| place.external) {
                    return Err(());
                }
                let rotating = self.rotating().ok_or(())?;
                let (unit, to) = (rotating.unit(), rotating.to());
                let stage = rotating.stage().ok_or(())?.id().clone();
                self.submit(layout, Event::Acknowledged { consumer, unit, to, stage, by: String::new() })
            }
            Move::SecondKey(index) => {
                let role = role(index)?;
                let rotating = self.rotating().ok_or(())?;
                let version = rotating.to();
                let other = layout.record(role, SPARE).ok_or(())?;
                self.machine.tracks.authority(role).and_then(|authority| authority.next).ok_or(())?;
                let record = crate::event::AuthorityRecord { version, ..other };
                self.submit(layout, Event::AuthorityMinted { role, record })
            }
            Move::Decide(_)
            | Move::CarryOutLate(_)
            | Move::CopyController
            | Move::SubmitLate(_)
            | Move::SubmitTakeDown(_)
            | Move::ActUnstored(..) => self.controllers(layout, agenda, what),
        }
    }

    fn controllers(&mut self, layout: &Layout, agenda: &Agenda, what: Move) -> Result<Option<Violation>, ()> {
        match what {
            Move::Decide(index) => {
                let order = agenda.order(usize::from(index)).ok_or(())?;
                let mut holds = Real::default();
                self.resolve(layout, order, 0, &mut holds);
                let (member, epoch, disturbs) = (order.member, order.epoch, order.disturbs);
                self.world.late.push(Late::Order { member, holds, epoch, disturbs });
                Ok(None)
            }
            Move::CarryOutLate(index) => match self.take_late(index)? {
                Late::Order { member, holds, epoch, disturbs } => {
                    let late = self.world.member(member).ok_or(())?;
                    if !late.there || late.asleep {
                        return Ok(None);
                    }
                    // Whoever was given something of a higher epoch leaves it alone, whatever it takes.
                    if epoch < late.epoch && layout.config.fault != Some(Fault::EpochsIgnored) {
                        return Ok(None);
                    }
                    let met = holds.iter().zip(&late.holds).all(|(order, held)| *order == 0 || order == held);
                    if disturbs && late.up && !met {
                        let down = self.take_down(layout, member, false);
                        if down.is_ok() {
                            self.world.late.push(Late::Order { member, holds, epoch, disturbs: false });
                        }
                        return Ok(down.unwrap_or(None));
                    }
                    self.take_up(layout, member, &holds, epoch);
                    Ok(None)
                }
                _ => Err(()),
            },
            Move::CopyController => {
                self.world.late.push(Late::Controller(Rc::clone(&self.machine)));
                Ok(None)
            }
            Move::SubmitLate(index) | Move::SubmitTakeDown(index) => {
                let position = self.world.late.iter().position(|late| matches!(late, Late::Controller(_))).ok_or(())?;
                let Late::Controller(machine) = self.world.late.remove(position) else { return Err(()) };
                let before = core::mem::replace(&mut self.machine, machine);
                let violation = match what {
                    Move::SubmitTakeDown(index) => self.take_down(layout, usize::from(index), false)?,
                    _ => {
                        let message = self.member(index)?.channel.take().ok_or(())?;
                        self.arrive(layout, usize::from(index), message)
                    }
                };
                Ok(violation.or_else(|| laws::of_journal(&before, self)))
            }
            Move::ActUnstored(index, other) => {
                let message = self.member(index)?.channel.clone().ok_or(())?;
                let stored = Rc::clone(&self.machine);
                let violation = self.arrive(layout, usize::from(index), message);
                if violation.is_some() {
                    return Ok(violation);
                }
                let unstored = core::mem::replace(&mut self.machine, stored);
                let order = unstored.agenda(layout).order(usize::from(other)).ok_or(())?;
                self.act(layout, order, 0);
                self.crash()
            }
            _ => Err(()),
        }
    }

    fn member(&mut self, index: u8) -> Result<&mut Member, ()> {
        self.world.member_mut(usize::from(index)).ok_or(())
    }

    fn take_late(&mut self, index: u8) -> Result<Late, ()> {
        let index = usize::from(index);
        if index < self.world.late.len() { Ok(self.world.late.remove(index)) } else { Err(()) }
    }

    /// Whatever was under way to the process is lost with it. What it knows comes back from its journal.
    fn crash(&mut self) -> Result<Option<Violation>, ()> {
        for member in &mut self.world.members {
            member.channel = None;
        }
        Ok(laws::after_crash(&self.machine))
    }

    /// A refusal is one of the things that happen.
    fn arrive(&mut self, layout: &Layout, index: usize, message: Message) -> Option<Violation> {
        self.submit_news(layout, News::Message(index, message)).unwrap_or(None)
    }

    fn calendar(&mut self, layout: &Layout, closed: bool) -> Result<Option<Violation>, ()> {
        self.world.closed = closed;
        let calendar = layout.calendars.get(usize::from(closed)).cloned().ok_or(())?;
        self.submit(layout, Event::CalendarChanged { calendar })
    }

    fn cross_sign(&mut self, layout: &Layout, role: AuthorityRole, longer: Duration) -> Result<Option<Violation>, ()> {
        let rotating = self.rotating().ok_or(())?;
        let (version, by) = (rotating.to(), rotating.from());
        let now = *layout.instants.first().ok_or(())?;
        let end = layout.record(role, bit(by)).and_then(|record| record.not_after).ok_or(())?;
        let record = CrossRecord { version, by, not_before: now - Duration::HOUR, not_after: end + longer };
        self.submit(layout, Event::CrossSigned { role, record })
    }

    fn destroy(&mut self, layout: &Layout, role: AuthorityRole) -> Result<Option<Violation>, ()> {
        let rotating = self.rotating().ok_or(())?;
        let version: CaVersion = if rotating.is_rolling_back() { rotating.to() } else { rotating.from() };
        let needed = laws::needed(layout, self, role, bit(version));
        *self.world.key_of(layout, role).ok_or(())? &= !bit(version);
        let violation = self.submit(layout, Event::KeyDestroyed { role, version })?;
        Ok(needed.or(violation))
    }

    fn take_down(&mut self, layout: &Layout, index: usize, node: bool) -> Result<Option<Violation>, ()> {
        let place = layout.place(index).ok_or(())?;
        let after = self.world.member(index).ok_or(())?.id;
        let closed = laws::disturbed_while_closed(layout, self, index);
        let violation = self.submit_news(layout, News::TakenDown(index, after))?;
        // What is on a node that is recreated goes with it.
        let mates = place.mates.iter().copied().filter(|_| node && place.id.kind() == ComponentKind::Kubelet);
        for index in core::iter::once(index).chain(mates) {
            if let Some(member) = self.world.member_mut(index).filter(|member| member.there && member.up) {
                (member.up, member.taken, member.channel) = (false, true, None);
            }
        }
        Ok(closed.or(violation).or_else(|| laws::too_many_down(layout, self)))
    }

    /// What an order asks for, with what is signed at run time signed by whoever signs.
    fn resolve(&self, layout: &Layout, order: &Order, choice: u8, holds: &mut Real) {
        for (at, value, role) in &order.changes {
            let signed = role.map(|role| self.signing(layout, role));
            let signed =
                signed.and_then(|held| held.get(usize::from(choice).min(held.len().saturating_sub(1))).copied());
            if let Some(slot) = holds.get_mut(*at) {
                *slot = signed.unwrap_or(*value);
            }
        }
        let Some(place) = layout.place(order.member) else { return };
        if let Some(at) = place.position(Facet::RestartedUnder)
            && let Some((_, crate::facet::Track::Authority(role))) = place.facets.get(at)
            && let Some(slot) = holds.get_mut(at)
            && (order.disturbs || self.world.member(order.member).is_some_and(|member| !member.up))
        {
            let held = self.signing(layout, *role);
            *slot = held.get(usize::from(choice).min(held.len().saturating_sub(1))).copied().unwrap_or(*slot);
        }
    }

    fn act(&mut self, layout: &Layout, order: &Order, choice: u8) {
        for order in core::iter::once(order).chain(&order.mates) {
            let Some(member) = self.world.member(order.member) else { continue };
            if member.up && order.is_met(&member.holds) {
                if let Some(member) = self.world.member_mut(order.member) {
                    member.epoch = member.epoch.max(order.epoch);
                }
                self.word_or_report(order);
                continue;
            }
            let mut holds = Real::default();
            self.resolve(layout, order, choice, &mut holds);
            self.take_up(layout, order.member, &holds, order.epoch);
            self.word_or_report(order);
        }
        // What went down with the node and was asked for nothing comes up with it.
        let mates = layout.place(order.member).map(|place| place.mates.clone()).unwrap_or_default();
        for mate in mates {
            if self.world.member(mate).is_some_and(|member| member.there && member.taken && !member.up) {
                self.take_up(layout, mate, &Real::default(), order.epoch);
            }
        }
    }

    fn word_or_report(&mut self, order: &Order) {
        match (&order.word, self.world.member_mut(order.member)) {
            (Some((stage, to)), Some(member)) => {
                member.channel = Some(Message::Word { stage: Arc::clone(stage), to: *to });
            }
            _ => self.say(order.member),
        }
    }

    fn take_up(&mut self, layout: &Layout, index: usize, holds: &Real, epoch: u64) {
        let external = layout.place(index).is_some_and(|place| place.external);
        let Some(member) = self.world.member_mut(index) else { return };
        for (held, new) in member.holds.iter_mut().zip(holds).filter(|(_, new)| **new != 0) {
            *held = *new;
        }
        (member.up, member.taken) = (true, false);
        member.epoch = member.epoch.max(epoch);
        if !external {
            self.say(index);
        }
    }

    fn join(&mut self, layout: &Layout, lead: usize) -> Result<Option<Violation>, ()> {
        let place = layout.place(lead).ok_or(())?;
        let mut violation = None;
        for index in core::iter::once(lead).chain(place.mates.iter().copied()) {
            let own = layout.place(index).ok_or(())?;
            let member = self.world.member_mut(index).ok_or(())?;
            member.id = ReportId { incarnation: member.id.incarnation + 1, sequence: 0 };
            (member.there, member.up, member.taken, member.asleep) = (true, false, false, false);
            (member.holds, member.channel, member.epoch) = (Real::default(), None, 0);
            let incarnation = member.id.incarnation;
            let event = Event::ConsumerJoined { consumer: own.id.clone(), pool: own.pool.clone(), incarnation };
            violation = violation.or(self.submit(layout, event)?);
        }
        Ok(violation)
    }

    fn leave(&mut self, layout: &Layout, lead: usize, abandoned: bool) -> Result<Option<Violation>, ()> {
        let place = layout.place(lead).ok_or(())?;
        // An order is for one incarnation: it does not find the next one under the same name.
        let gone = |index: &usize| *index == lead || place.mates.contains(index);
        self.world.late.retain(|late| !matches!(late, Late::Order { member, .. } if gone(member)));
        let mut violation = None;
        for index in core::iter::once(lead).chain(place.mates.iter().copied()) {
            let consumer = layout.place(index).ok_or(())?.id.clone();
            let member = self.world.member_mut(index).ok_or(())?;
            (member.there, member.up, member.taken, member.asleep, member.channel) = (false, false, false, false, None);
            let event = match abandoned {
                true => Event::ConsumerAbandoned { consumer, by: String::new(), reason: String::new() },
                false => Event::ConsumerRemoved { consumer },
            };
            violation = violation.or(self.submit(layout, event)?);
        }
        Ok(violation)
    }

    /// A node restarts when it likes, and comes back with what is signed for it then.
    fn restart(&mut self, layout: &Layout, lead: usize, choice: u8) -> Result<Option<Violation>, ()> {
        let place = layout.place(lead).ok_or(())?;
        for index in core::iter::once(lead).chain(place.mates.iter().copied()) {
            let own = layout.place(index).ok_or(())?;
            for (at, (facet, track)) in own.facets.iter().enumerate() {
                let crate::facet::Track::Authority(role) = track else { continue };
                if !facet.is_renewed() {
                    continue;
                }
                let held = self.signing(layout, *role);
                let signed = held.get(usize::from(choice).min(held.len().saturating_sub(1))).copied();
                if let Some(slot) = self.world.member_mut(index).and_then(|member| member.holds.get_mut(at)) {
                    *slot = signed.unwrap_or(*slot);
                }
            }
            self.say(index);
        }
        Ok(None)
    }

    /// The bundles of a disk image from during the last rotation.
    fn restore(&mut self, layout: &Layout, index: usize) -> Result<Option<Violation>, ()> {
        let place = layout.place(index).ok_or(())?;
        let machine = Rc::clone(&self.machine);
        let member = self.world.member_mut(index).ok_or(())?;
        for ((facet, track), held) in place.facets.iter().zip(&mut member.holds) {
            let of_unit = matches!(track, crate::facet::Track::Authority(role) if layout.roles.contains(role));
            if matches!(facet, Facet::Trusts(_)) && of_unit {
                *held |= absolute(&machine, *track, Holding::PREVIOUS.union(Holding::CURRENT));
            }
        }
        self.say(index);
        Ok(None)
    }
}
