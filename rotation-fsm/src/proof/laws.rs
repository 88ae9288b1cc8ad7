//! The laws, judged by what really is.

use core::fmt;

use pki_core::{AuthorityRole, ComponentKind, LeafKind};
use time::{Duration, UtcDateTime};

use super::setup::{CHAINED, Layout, Meeting, Place, bit, chained, through};
use super::world::{Late, Member, State, absolute, newest};
use crate::event::Event;
use crate::facet::{Facet, Holding, Track};
use crate::machine::{Applied, Machine, Phase, Rotating};
use crate::plan::{Direction, Offence, Plan, Stage, StageId, Step};

/// A law that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    law: &'static str,
    what: String,
}

impl Violation {
    const fn new(law: &'static str, what: String) -> Self {
        Self { law, what }
    }

    /// Which law.
    #[must_use]
    pub const fn law(&self) -> &'static str {
        self.law
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.what)
    }
}

const TRUST: &str = "laws 1 and 2, trust before use and use before retirement";
const EVIDENCE: &str = "law 3, evidence and not timers";
const TOTALITY: &str = "law 4, totality";
const CRASH: &str = "law 5, nothing to lose in a crash";
const AVAILABILITY: &str = "law 5, one at a time";
const TIME: &str = "law 6, time begins and ends nothing else";
const LINGERING: &str = "law 7, no lingering trust";

fn rotating(machine: &Machine) -> Option<&Rotating> {
    match machine.phase() {
        Phase::Rotating(rotating) => Some(rotating),
        Phase::Stable => None,
    }
}

/// Whether anybody counts with this one: it is there, awake and not left behind.
const fn is_live(member: &Member) -> bool {
    member.there && member.up && !member.asleep && !member.lost
}

/// Every path in both directions, between what both ends really run with.
pub(super) fn of_state(layout: &Layout, state: &State) -> Option<Violation> {
    for meeting in &layout.meetings {
        let (verifier, presenter) = (state.world.member(meeting.verifier)?, state.world.member(meeting.presenter)?);
        if !is_live(verifier) || !is_live(presenter) {
            continue;
        }
        let held = |member: &Member, at: usize| member.holds.get(at).copied().unwrap_or_default();
        let (trusts, mut shown) = (held(verifier, meeting.trusts), held(presenter, meeting.presents));
        let who = || {
            let name = |index: usize| layout.place(index).map_or_else(String::new, |place| place.id.to_string());
            (name(meeting.verifier), name(meeting.presenter))
        };
        if let Some(((dialler, dials), serves)) = meeting.dialled {
            let dialled = state.world.member(dialler).map_or(0, |member| held(member, dials));
            if dialled & held(presenter, serves) == 0 {
                let (verifier, presenter) = who();
                let what = format!("{}: {verifier} dials an address on which {presenter} does not serve", meeting.path);
                return Some(Violation::new(TRUST, what));
            }
            if dialled == 2 {
                let place = layout.place(meeting.presenter)?;
                let role = layout.hierarchy.issuer_of(LeafKind::ApiServer)?;
                shown = newest(place, role, &presenter.holds).unwrap_or_default();
            }
        }
        // Through the cross-certificate the generation that signed it vouches for the next.
        let verified = trusts & shown & !CHAINED != 0 || trusts & through(shown) != 0;
        if !verified && !is_declared(layout, state, meeting, (trusts, shown)) {
            let (verifier, presenter) = who();
            let what = format!(
                "{}: {verifier} trusts {} and {presenter} presents {}",
                meeting.path,
                Generations(trusts),
                Generations(shown)
            );
            return Some(Violation::new(TRUST, what));
        }
    }
    let ahead = state.world.members.iter().position(|member| member.epoch > state.machine.epoch());
    if let Some(place) = ahead.and_then(|index| layout.place(index)) {
        let what = format!("{} was given something of a stage that the journal does not know", place.id);
        return Some(Violation::new(CRASH, what));
    }
    at_rest(layout, state)
}

/// Whether the plan of an emergency says of the stage that runs that this breaks.
fn is_declared(layout: &Layout, state: &State, meeting: &Meeting, (trusted, shown): (u8, u8)) -> bool {
    let Some(rotating) = state.rotating().filter(|rotating| rotating.is_emergency()) else { return false };
    let (Some(ends), Some(stage)) =
        (layout.place(meeting.verifier).zip(layout.place(meeting.presenter)), rotating.stage())
    else {
        return false;
    };
    let of = |place: &Place, at: usize| place.facets.get(at).copied();
    layout.losses.iter().filter(|loss| loss.stage == *stage.id()).any(|loss| match loss.offence {
        Offence::Unverified { path, verifier, trusts, presenter, leaf, presents } => {
            let shows = of(ends.1, meeting.presents).filter(|(facet, _)| *facet == Facet::Presents(leaf));
            let holds = |found: Option<(Facet, Track)>, holding: Holding, real: u8| {
                found.is_some_and(|(_, track)| state.absolute(track, holding) == real)
            };
            (path, verifier, presenter) == (meeting.path, ends.0.id.kind(), ends.1.id.kind())
                && holds(of(ends.0, meeting.trusts), trusts, trusted)
                && holds(shows, presents, shown)
        }
        Offence::Unreachable { .. } => false,
    })
}

struct Generations(u8);

impl fmt::Display for Generations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = (0..4).filter(|at| self.0 & (1 << at) != 0).map(|at| (at + 1).to_string()).collect();
        write!(f, "[{}{}]", names.join(" "), if self.0 & CHAINED != 0 { "+cross" } else { "" })
    }
}

/// At rest, with everything seen, nobody holds what was retired, and its key does not exist.
fn at_rest(layout: &Layout, state: &State) -> Option<Violation> {
    state.machine.completed()?;
    let orders = state.world.late.iter().any(|late| matches!(late, Late::Order { .. }));
    let quiet = state.world.members.iter().all(|member| member.channel.is_none());
    let known = || (0..state.world.members.len()).all(|index| state.is_known(layout, index));
    if !state.machine.is_at_rest() || orders || !quiet || !known() {
        return None;
    }
    for (place, member) in layout.places.iter().zip(&state.world.members) {
        if !member.there || member.lost {
            continue;
        }
        for ((facet, track), held) in place.facets.iter().zip(&member.holds) {
            let Track::Authority(role) = track else { continue };
            let active = state.absolute(*track, Holding::CURRENT);
            if layout.roles.contains(role) && *held != active {
                let what = format!("at rest {} {facet} {}", place.id, Generations(*held));
                return Some(Violation::new(LINGERING, what));
            }
        }
    }
    let mut keys = layout.roles.iter().zip(&state.world.keys);
    let kept = keys.find(|(role, keys)| **keys & !state.absolute(Track::Authority(**role), Holding::CURRENT) != 0)?;
    Some(Violation::new(LINGERING, format!("at rest a retired key of {} exists", kept.0)))
}

/// Whether a key that is about to be destroyed is still needed.
pub(super) fn needed(layout: &Layout, state: &State, role: AuthorityRole, generation: u8) -> Option<Violation> {
    for (place, member) in layout.places.iter().zip(&state.world.members) {
        let mut held =
            place.facets.iter().zip(&member.holds).filter(|((_, track), _)| *track == Track::Authority(role));
        if let Some(((facet, _), _)) = held.find(|(_, held)| member.there && !member.lost && **held & generation != 0) {
            let what = format!("the key of {role} is destroyed while {} {facet} of it", place.id);
            return Some(Violation::new(LINGERING, what));
        }
    }
    None
}

/// What a machine that comes back from its journal has to work out anew.
pub(super) fn after_crash(machine: &Machine) -> Option<Violation> {
    (!machine.is_derived())
        .then(|| Violation::new(CRASH, "what is derived differs from what the journal says".to_owned()))
}

/// The journal only grows.
pub(super) fn of_journal(before: &Machine, state: &State) -> Option<Violation> {
    (state.machine.epoch() < before.epoch())
        .then(|| Violation::new(CRASH, "a stage that had begun is forgotten".to_owned()))
}

pub(super) fn disturbed_while_closed(layout: &Layout, state: &State, index: usize) -> Option<Violation> {
    let place = layout.place(index)?;
    let overridden = place.pool.is_none() && state.world.commanded && state.machine.settings().commands_override;
    // Who is down already is not disturbed by an order that says so once more.
    let disturbs = state.world.member(index).is_some_and(|member| member.up) && !overridden;
    (state.world.closed && disturbs && state.rotating().is_some_and(|rotating| !rotating.is_emergency()))
        .then(|| Violation::new(TIME, format!("{} is taken down while the window is closed", place.id)))
}

/// No more of a class are down by somebody's doing than may be.
pub(super) fn too_many_down(layout: &Layout, state: &State) -> Option<Violation> {
    // What is on a node goes with it, and counts as that node.
    let kubelet_down = |place: &Place| {
        let down = |mate: &usize| state.world.member(*mate).is_some_and(|mate| mate.taken && !mate.up);
        let kubelet = |mate: &usize| layout.place(*mate).is_some_and(|mate| mate.id.kind() == ComponentKind::Kubelet);
        place.mates.iter().any(|mate| kubelet(mate) && down(mate))
    };
    let down = |kind: ComponentKind, pool: Option<&crate::topology::PoolName>| {
        let members = layout.places.iter().zip(&state.world.members);
        let of_class = members.filter(|(place, _)| place.id.kind() == kind && place.pool.as_ref() == pool);
        of_class.filter(|(place, member)| member.there && member.taken && !member.up && !kubelet_down(place)).count()
    };
    let worst = layout.places.iter().find(|place| down(place.id.kind(), place.pool.as_ref()) > 1)?;
    Some(Violation::new(AVAILABILITY, format!("two of {} are down at once", worst.id.kind())))
}

/// Whether completion was begun just now.
pub(super) fn gate_opened(before: &Machine, state: &State) -> bool {
    match (rotating(before), state.rotating()) {
        (Some(was), Some(is)) => is.may_complete && !was.may_complete,
        _ => false,
    }
}

/// What an event that was accepted may not do.
pub(super) fn after_event(
    layout: &Layout,
    before: &Machine,
    state: &mut State,
    event: &Event,
    applied: &Applied,
) -> Option<Violation> {
    leave_behind(layout, state, applied)
        .or_else(|| of_clock(before, state))
        .or_else(|| of_start(layout, before, state, event, applied))
        .or_else(|| of_records(layout, before, state))
        .or_else(|| of_way_back(state, event))
        .or_else(|| of_gate(layout, before, state))
        .or_else(|| applied.stages_ended.iter().find_map(|stage| of_stage(layout, before, state, event, stage)))
        .or_else(|| (!applied.stages_ended.is_empty()).then(|| of_issuers(layout, state)).flatten())
}

fn leave_behind(layout: &Layout, state: &mut State, applied: &Applied) -> Option<Violation> {
    for consumer in &applied.released {
        let index = layout.index_of(consumer)?;
        if !layout.place(index)?.external {
            return Some(Violation::new(EVIDENCE, format!("{consumer} is left behind, and can be observed")));
        }
        state.world.member_mut(index)?.lost = true;
    }
    None
}

fn of_clock(before: &Machine, state: &State) -> Option<Violation> {
    let (was, is) = (before.clock.now(), state.machine.clock.now());
    if is < was {
        return Some(Violation::new(TIME, "the clock of the machine stepped back".to_owned()));
    }
    (is > state.world.believable)
        .then(|| Violation::new(TIME, "a jump of the clock is believed before it has stood by it".to_owned()))
}

fn of_start(layout: &Layout, before: &Machine, state: &State, event: &Event, applied: &Applied) -> Option<Violation> {
    applied.started?;
    let now = state.machine.clock.now();
    let in_time = |expiry: UtcDateTime| now >= expiry - Duration::days(30) && now < expiry;
    let in_time = state.machine.expiry(layout).is_some_and(in_time);
    if matches!(event, Event::Tick) && !in_time {
        return Some(Violation::new(TIME, "a rotation is begun by the clock, and not in its time".to_owned()));
    }
    if matches!(event, Event::EmergencyDeclared { .. }) {
        return None;
    }
    let unready = layout.places.iter().find(|place| {
        let seen = before.topology().index(&place.id).and_then(|index| before.seen(index));
        let in_order =
            |held: &Holding, track: Track| absolute(before, track, *held) == absolute(before, track, Holding::CURRENT);
        seen.is_some_and(|seen| {
            let mut held = place.facets.iter().zip(&seen.held);
            !seen.available || !held.all(|((_, track), held)| in_order(held, *track))
        })
    })?;
    Some(Violation::new(EVIDENCE, format!("a rotation begins while {} is not in order", unready.id)))
}

fn of_records(layout: &Layout, before: &Machine, state: &State) -> Option<Violation> {
    for role in &layout.roles {
        let (was, is) = (before.tracks.authority(*role)?, state.machine.tracks.authority(*role)?);
        if let (Some(was), Some(is)) = (was.next, is.next)
            && was != is
        {
            return Some(Violation::new(CRASH, format!("the next key of {role} is replaced by another")));
        }
        if let (Some(cross), Some(end)) = (is.cross, is.active.not_after)
            && cross.not_after > end
        {
            let what = format!("the cross-certificate of {role} outlives the root that signed it");
            return Some(Violation::new(TRUST, what));
        }
    }
    None
}

fn of_way_back(state: &State, event: &Event) -> Option<Violation> {
    let rotating = state.rotating().filter(|_| matches!(event, Event::RollbackRequested { .. }))?;
    let passed = rotating.plan.history.iter().find(|stage| stage.step().is_past_return())?;
    Some(Violation::new(TRUST, format!("the way back is taken from past the point of no return, `{passed}`")))
}

/// The point of no return is passed when somebody asked, or seven days after the start.
fn of_gate(layout: &Layout, before: &Machine, state: &State) -> Option<Violation> {
    if !layout.gated {
        return None;
    }
    let (was, is) = (rotating(before)?, state.rotating()?);
    if is.plan.direction == Direction::Back {
        return None;
    }
    let due = state.world.believable >= is.started + Duration::days(7);
    if gate_opened(before, state) && !state.world.asked && !due {
        return Some(Violation::new(TIME, "completion is begun by the clock, and not in its time".to_owned()));
    }
    let gate = is.plan.point_of_no_return()?;
    (was.stage < gate && is.stage >= gate && !is.may_complete)
        .then(|| Violation::new(EVIDENCE, "the point of no return is passed, and nobody asked".to_owned()))
}

/// A stage is over only when everybody that it concerns really holds what it asked for.
fn of_stage(layout: &Layout, before: &Machine, state: &State, event: &Event, ended: &StageId) -> Option<Violation> {
    let running = |machine: &Machine| {
        let rotating = rotating(machine)?;
        let plan = rotating.plan.clone();
        let stage = plan.stages.iter().find(|stage| stage.id == *ended)?.clone();
        Some((plan, stage, bit(rotating.from), bit(rotating.to), rotating.paused))
    };
    let (plan, stage, from, to, paused) = running(before).or_else(|| running(&state.machine))?;
    let released = matches!(event, Event::ResumeRequested { .. } | Event::RollbackRequested { .. });
    if paused && !released {
        return Some(Violation::new(EVIDENCE, format!("`{ended}` ends while the rotation is paused")));
    }
    of_keys(layout, state, &stage, (from, to), plan.direction)
        .or_else(|| of_consumers(layout, state, &plan, &stage, (from, to)))
}

fn of_keys(
    layout: &Layout,
    state: &State,
    stage: &Stage,
    (from, to): (u8, u8),
    direction: Direction,
) -> Option<Violation> {
    let mut keys = layout.roles.iter().zip(&state.world.keys);
    let retired = if direction == Direction::Forward { from } else { to };
    match stage.step() {
        Step::Mint => {
            let (role, _) = keys.find(|(_, keys)| **keys & to == 0)?;
            Some(Violation::new(EVIDENCE, format!("`{stage}` ends and {role} has no next key")))
        }
        Step::DestroyKeys => {
            let (role, _) = keys.find(|(_, keys)| **keys & retired != 0)?;
            Some(Violation::new(LINGERING, format!("`{stage}` ends and the retired key of {role} exists")))
        }
        _ => None,
    }
}

fn of_consumers(layout: &Layout, state: &State, plan: &Plan, stage: &Stage, (from, to): (u8, u8)) -> Option<Violation> {
    for (place, member) in layout.places.iter().zip(&state.world.members) {
        let covered = plan.covers(&stage.id, place.id.kind().plane(), place.pool.as_ref());
        if !covered || !member.there || member.lost {
            continue;
        }
        for change in stage.changes.iter().filter(|change| change.kind == place.id.kind()) {
            let held = place.position(change.facet).and_then(|at| member.holds.get(at)).copied().unwrap_or_default();
            // The second address is the second, whichever generation leads to it.
            let is_address = matches!(change.facet, Facet::Serves | Facet::Service | Facet::Dials);
            let (from, to) = if is_address { (1, 2) } else { (from, to) };
            let mut wanted = if change.to.contains(Holding::CURRENT) { from } else { 0 };
            wanted |= if change.to.contains(Holding::NEXT) { to } else { 0 };
            wanted |= if change.to.is_chained() { chained(from) } else { 0 };
            if held != wanted {
                let what = format!("`{stage}` ends while {} {} {}", place.id, change.facet, Generations(held));
                return Some(Violation::new(EVIDENCE, what));
            }
        }
    }
    None
}

fn of_issuers(layout: &Layout, state: &State) -> Option<Violation> {
    for place in &layout.places {
        for leaf in LeafKind::ALL.into_iter().filter(|leaf| layout.hierarchy.issuer_of(*leaf).is_some()) {
            if state.machine.issuer_of(&place.id, leaf).is_none() {
                return Some(Violation::new(TOTALITY, format!("nobody signs {leaf} for {}", place.id)));
            }
        }
    }
    None
}

/// Where a rotation may end: at rest behind or before it, or past the expiry of what it should have replaced.
pub(super) fn is_end(layout: &Layout, state: &State) -> Option<End> {
    if state.world.done >= layout.config.rotations && state.machine.is_at_rest() {
        return Some(End::AtRest);
    }
    let expired = state.machine.expiry(layout).is_some_and(|expiry| state.machine.clock.now() >= expiry);
    (state.machine.is_lost(layout) && expired && state.rotating().is_none()).then_some(End::Expired)
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    AtRest,
    Expired,
}

/// Only the expiry makes a cluster unrecoverable.
pub(super) fn of_health(layout: &Layout, state: &State) -> Option<Violation> {
    let expired = state.machine.expiry(layout).is_some_and(|expiry| state.machine.clock.now() >= expiry);
    (state.machine.is_lost(layout) && !expired)
        .then(|| Violation::new(TIME, "UNRECOVERABLE before the expiry".to_owned()))
}
