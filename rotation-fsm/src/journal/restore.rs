//! The way from a snapshot back to a machine: whatever no machine could have been in is refused.

mod error;
mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pki_core::{AuthorityRole, CaVersion, Hierarchy, Plane};

pub use self::error::{Counted, Part, RestoreError};
use self::error::{at_most, expect};
use super::snapshot::{
    AddressesState, AuthorityState, CompletedState, ConsumerState, HierarchyState, Holds, PartsState, Snapshot, State,
    facets_of,
};
use crate::clock::HighWater;
use crate::event::AuthorityRecord;
use crate::facet::{Facet, Holding, Track};
use crate::machine::{Addresses, Authority, Completed, LeafRenewal, Machine, Phase, Seen, Tracks, shares_key};
use crate::maintenance::{StepKind, Work};
use crate::policy::{Unit, UnitPolicy, units};
use crate::rejected::SetupError;
use crate::settings::Settings;
use crate::topology::Topology;

/// So many stages can have begun that their number is the same in every language that reads JSON: 2^53.
const MAX_EPOCH: u64 = 1 << 53;

impl Machine {
    /// The machine whose state this is. What follows from the rest is worked out anew.
    ///
    /// # Errors
    /// When no machine can be in this state: what is in it contradicts itself, or the rules of this crate.
    pub fn restore(snapshot: Snapshot) -> Result<Self, RestoreError> {
        let state = *snapshot.0;
        let mark = state.clock.mark;
        let clock = HighWater::of_parts(mark, state.clock.doubted).ok_or_else(|| {
            RestoreError::mismatch(Part::Clock, format!("a doubt later than {mark}"), "an earlier one")
        })?;
        at_most(Counted::Epoch, usize::try_from(state.epoch).unwrap_or(usize::MAX), MAX_EPOCH)?;
        let topology = topology(&state)?;
        let policies = units(topology.hierarchy());
        let phase = match &state.rotating {
            Some(rotating) => Phase::Rotating(rotation::rotating(rotating, &state, &topology, &policies)?),
            None => Phase::Stable,
        };
        let tracks =
            Tracks { authorities: authorities(&state, &topology, &phase)?, addresses: addresses(&state, &phase)? };
        let completed = state.completed.as_ref().map(|it| completed(it, &state, &policies)).transpose()?;
        check_people(&state, &topology, &policies)?;
        let seen = seen(&state, &topology, &tracks)?;
        let due = state.leaf_renewal.due.map(|due| (due.version, due.by));
        let mut machine = Self {
            cluster: state.cluster,
            topology,
            settings: Arc::new(state.settings),
            tracks,
            seen,
            expected: Arc::default(),
            waiting: Default::default(),
            phase,
            epoch: state.epoch,
            clock,
            overrides: state.overrides,
            completed,
            deliveries: state.deliveries,
            leaf_renewal: LeafRenewal { due, last: state.leaf_renewal.last },
            abandoned: state.abandoned,
            #[cfg(feature = "proof")]
            faults: Default::default(),
        };
        machine.expect_anew();
        Ok(machine)
    }
}

fn hierarchy(state: &HierarchyState) -> Result<Hierarchy, RestoreError> {
    let parts = match state {
        HierarchyState::Preset(preset) => return Ok(Hierarchy::preset(*preset)),
        HierarchyState::Parts(parts) => parts,
    };
    let PartsState { authorities, ca_backdate, leaf_lifetime, external_serving } = parts;
    // Every authority states its own lifetime.
    let mut builder = Hierarchy::builder(*leaf_lifetime, *leaf_lifetime).ca_backdate(*ca_backdate);
    for (role, part) in authorities {
        builder = builder.authority(*role, part.leaves.iter().copied());
        if let Some(lifetime) = part.ca_lifetime {
            builder = builder.ca_lifetime(*role, lifetime);
        }
    }
    let builder = if *external_serving { builder.external_serving() } else { builder };
    let hierarchy = builder.build().map_err(RestoreError::Hierarchy)?;
    // Nothing of it was read over: no leaf that is named twice, no lifetime that is not stated.
    if HierarchyState::of(&hierarchy) != *state {
        let expected = "every leaf once and in order, and the lifetime of every CA";
        return Err(RestoreError::mismatch(Part::Hierarchy, expected, "other parts"));
    }
    Ok(hierarchy)
}

fn topology(state: &State) -> Result<Topology, RestoreError> {
    at_most(Counted::Pools, state.pools.len(), as_u64(Topology::MAX_POOLS))?;
    at_most(Counted::Consumers, state.consumers.len(), as_u64(Topology::MAX_CONSUMERS))?;
    let hierarchy = hierarchy(&state.hierarchy)?;
    let mut topology = match &state.addresses {
        Some(addresses) => Topology::with_address(hierarchy, addresses.first.clone()),
        None => Topology::new(hierarchy),
    };
    let mut said = BTreeSet::new();
    for reload in &state.reloads {
        if !said.insert((reload.kind, reload.facet)) {
            let found = format!("two for {} {}", reload.kind, reload.facet);
            return Err(RestoreError::mismatch(Part::Reloads, "one for each facet", found));
        }
        topology = topology.with_reload(reload.kind, reload.facet, reload.reload);
    }
    for pool in &state.pools {
        let room = usize::try_from(pool.max_unavailable).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(RestoreError::mismatch(Part::Room(pool.name.clone()), "one or more", "0"));
        }
        topology.add_pool(pool.name.clone(), room).map_err(RestoreError::Topology)?;
    }
    if let Some(None) = state.consumers.last() {
        return Err(RestoreError::mismatch(Part::Consumers, "a consumer at the end", "a number that is free"));
    }
    for consumer in &state.consumers {
        let consumer = consumer.as_ref().map(|state| (state.consumer.clone(), state.pool.clone()));
        topology.append(consumer).map_err(RestoreError::Topology)?;
    }
    let facets = facets_of(&topology);
    if let Some((kind, expected)) = facets.iter().find(|(kind, facets)| state.facets.get(kind) != Some(facets)) {
        let found = state.facets.get(kind).cloned().unwrap_or_default();
        return Err(RestoreError::Facets { kind: *kind, expected: expected.clone(), found });
    }
    match state.facets.iter().find(|(kind, _)| !facets.contains_key(kind)) {
        Some((kind, found)) => Err(RestoreError::Facets { kind: *kind, expected: Vec::new(), found: found.clone() }),
        None => Ok(topology),
    }
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn authorities(
    state: &State,
    topology: &Topology,
    phase: &Phase,
) -> Result<BTreeMap<AuthorityRole, Authority>, RestoreError> {
    let mut known: BTreeMap<AuthorityRole, Authority> = BTreeMap::new();
    for (role, authority) in &state.authorities {
        if !topology.hierarchy().roles().contains(role) {
            return Err(RestoreError::Authorities(SetupError::Unexpected(*role)));
        }
        let restored = generations(*role, authority)?;
        if let Some(other) = restored.generations().find_map(|record| shares_key(&known, record)) {
            return Err(RestoreError::Authorities(SetupError::SharedKey(*role, other)));
        }
        known.insert(*role, restored);
    }
    if let Some(role) = topology.hierarchy().roles().iter().find(|role| !known.contains_key(role)) {
        return Err(RestoreError::Authorities(SetupError::Missing(*role)));
    }
    rotation::check_generations(&known, phase)?;
    Ok(known)
}

/// The generations of one authority: each with its own key and version, the next one newer than the others, and none
/// that no rotation led to.
fn generations(role: AuthorityRole, state: &AuthorityState) -> Result<Authority, RestoreError> {
    let AuthorityState { previous, active, next, cross, attempted } = *state;
    if let Some(beyond) = [previous, Some(active), next].into_iter().flatten().find(|known| known.version > attempted) {
        let expected = format!("no version above {attempted}");
        return Err(RestoreError::mismatch(Part::Generation(role), expected, beyond.version));
    }
    let shared = |a: &AuthorityRecord, b: &AuthorityRecord| a.id == b.id || a.anchor == b.anchor;
    let pairs = [(previous, Some(active)), (previous, next), (Some(active), next)];
    for (a, b) in pairs.into_iter().filter_map(|(a, b)| a.zip(b)) {
        if shared(&a, &b) {
            return Err(RestoreError::Authorities(SetupError::SharedKey(role, role)));
        }
        let newer = next.is_some_and(|next| next == b);
        if a.version == b.version || (newer && a.version > b.version) {
            let expected = format!("other than {}", a.version);
            return Err(RestoreError::mismatch(Part::Generation(role), expected, b.version));
        }
    }
    if let Some(cross) = cross {
        let expected = next.map(|next| (next.version, active.version));
        let words = |pair: Option<(CaVersion, CaVersion)>| match pair {
            Some((version, by)) => format!("{version} by {by}"),
            None => "none".to_owned(),
        };
        expect(Part::Cross(role), words(expected), words(Some((cross.version, cross.by))))?;
        if cross.not_after < cross.not_before || active.not_after.is_some_and(|end| cross.not_after > end) {
            let expected = "an end no earlier than its beginning and no later than that of the root that signed";
            return Err(RestoreError::mismatch(Part::Cross(role), expected, cross.not_after));
        }
    }
    Ok(Authority::restored(previous, active, next, cross, attempted))
}

fn addresses(state: &State, phase: &Phase) -> Result<Option<Addresses>, RestoreError> {
    let moving = matches!(phase, Phase::Rotating(rotating) if rotating.moves_address);
    let Some(AddressesState { previous, active, next, .. }) = &state.addresses else {
        return if moving {
            Err(RestoreError::mismatch(Part::Address, "the address that the plan replaces", "none"))
        } else {
            Ok(None)
        };
    };
    if let Some(next) = next.as_ref().filter(|_| !moving) {
        return Err(RestoreError::mismatch(Part::Address, "one address, since no plan replaces it", next));
    }
    let all: Vec<_> = [previous.as_ref(), Some(active), next.as_ref()].into_iter().flatten().collect();
    if BTreeSet::from_iter(&all).len() < all.len() {
        return Err(RestoreError::mismatch(Part::Address, "every address once", active));
    }
    if let Phase::Rotating(rotating) = phase
        && moving
        && next.is_none()
        && rotation::is_over(rotating, crate::plan::Step::Mint)
    {
        return Err(RestoreError::mismatch(Part::Address, "a second one", "none"));
    }
    Ok(Some(Addresses { previous: previous.clone(), active: active.clone(), next: next.clone() }))
}

fn policy(policies: &[UnitPolicy], unit: Unit) -> Result<&UnitPolicy, RestoreError> {
    policies.iter().find(|policy| policy.unit == unit).ok_or(RestoreError::UnknownUnit(unit))
}

fn completed(completed: &CompletedState, state: &State, policies: &[UnitPolicy]) -> Result<Completed, RestoreError> {
    let CompletedState { unit, to, at, rolled_back } = *completed;
    let roles = policy(policies, unit)?.roles.clone();
    for role in roles.iter() {
        let active = state.authorities.get(role).map(|authority| authority.active.version);
        expect(Part::Completed, to, active.unwrap_or(to))?;
    }
    if at > state.clock.mark {
        return Err(RestoreError::mismatch(Part::Completed, format!("no later than {}", state.clock.mark), at));
    }
    Ok(Completed { unit, roles, to, at, rolled_back })
}

/// What people said and are owed.
fn check_people(state: &State, topology: &Topology, policies: &[UnitPolicy]) -> Result<(), RestoreError> {
    if let Some(pool) = state.overrides.pools().find(|pool| !topology.pools().any(|known| known == *pool)) {
        return Err(RestoreError::mismatch(Part::Overrides, "pools of the topology", pool));
    }
    let begun = state.rotating.is_some();
    let futile = |step: &StepKind| (*step == StepKind::Start) == begun;
    if let Some(step) =
        StepKind::ALL.into_iter().filter(|step| state.overrides.is_ordered(Work::step(*step))).find(futile)
    {
        let expected = if begun { "none to begin, since it has" } else { "none but to begin" };
        return Err(RestoreError::mismatch(Part::Overrides, expected, step));
    }
    if let Some(delivery) = state.deliveries.first().filter(|_| !policies.iter().any(UnitPolicy::hands_out)) {
        return Err(RestoreError::mismatch(Part::Deliveries, "none in this hierarchy", delivery));
    }
    at_most(Counted::Abandoned, state.abandoned.len(), as_u64(Topology::MAX_CONSUMERS))
}

fn seen(state: &State, topology: &Topology, tracks: &Tracks) -> Result<Vec<Seen>, RestoreError> {
    let one = |consumer: &Option<ConsumerState>| match consumer {
        Some(consumer) => seen_of(consumer, topology, tracks),
        None => Ok(Seen::default()),
    };
    state.consumers.iter().map(one).collect()
}

fn seen_of(state: &ConsumerState, topology: &Topology, tracks: &Tracks) -> Result<Seen, RestoreError> {
    let Holds(holds) = &state.holds;
    let uses = topology.uses(state.consumer.kind()).map(|uses| uses.facets.as_slice()).unwrap_or_default();
    expect(Part::Holdings(state.consumer.clone()), uses.len(), holds.len())?;
    for ((facet, track), held) in uses.iter().zip(holds) {
        if !may_hold(*facet, *track, *held, tracks) {
            return Err(RestoreError::Holding { consumer: state.consumer.clone(), facet: *facet, found: *held });
        }
    }
    if state.released && state.consumer.kind().plane() != Plane::External {
        return Err(RestoreError::mismatch(
            Part::Released(state.consumer.clone()),
            "a client outside",
            "one that is seen",
        ));
    }
    let ConsumerState { report: id, available, epoch, released, .. } = *state;
    let mut seen = Seen { id, available, epoch, released, ..Seen::default() };
    seen.held.iter_mut().zip(holds).for_each(|(into, held)| *into = *held);
    Ok(seen)
}

/// Whether a report can have said this: of generations that there are, one where one is held, and chained where chains
/// are shown.
fn may_hold(facet: Facet, track: Track, held: Holding, tracks: &Tracks) -> bool {
    let (previous, next) = match track {
        Track::Authority(role) => {
            let authority = tracks.authority(role);
            authority.map_or((false, false), |known| (known.previous.is_some(), known.next.is_some()))
        }
        Track::Address => {
            let addresses = tracks.addresses.as_ref();
            addresses.map_or((false, false), |known| (known.previous.is_some(), known.next.is_some()))
        }
    };
    let known = (previous || !held.contains(Holding::PREVIOUS)) && (next || !held.contains(Holding::NEXT));
    let generations = [Holding::PREVIOUS, Holding::CURRENT, Holding::NEXT];
    let one = generations.into_iter().filter(|generation| held.contains(*generation)).count() <= 1;
    known
        && match facet {
            Facet::Trusts(_) | Facet::Serves => !held.is_chained(),
            Facet::Presents(_) => one,
            _ => one && !held.is_chained(),
        }
}

/// What the settings must allow for a rotation to be as it is.
fn allows(settings: &Settings, part: Part, asked: bool, allowed: bool) -> Result<(), RestoreError> {
    let Settings { strategy, .. } = settings;
    if asked && !allowed {
        return Err(RestoreError::mismatch(part, format!("none, as the settings of `{strategy}` say"), "one"));
    }
    Ok(())
}
