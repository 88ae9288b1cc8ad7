//! The state of a machine as plain data.

use std::collections::{BTreeMap, BTreeSet};

use pki_core::{AuthorityRole, CaVersion, ClusterId, ComponentKind, Hierarchy, LeafKind, Origin, Preset};
use time::{Duration, UtcDateTime};

use crate::delivery::{ClusterVersion, Delivery};
use crate::event::{AuthorityRecord, CrossRecord, ReportId};
use crate::facet::{Facet, Holding};
use crate::machine::{Machine, Phase, Rotating, Seen};
use crate::maintenance::Overrides;
use crate::plan::Plan;
use crate::policy::Unit;
use crate::settings::Settings;
use crate::topology::{Address, ConsumerId, PoolName, Reload, Topology};

/// The whole state of a [`Machine`] at one moment: [`Machine::snapshot`] takes it, [`Machine::restore`] judges it and
/// goes on from it.
///
/// With the feature `serde` it is written as `{"version":1,"snapshot":{…}}`. What follows from the rest is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(pub(crate) Box<State>);

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct State {
    pub(super) cluster: ClusterId,
    pub(super) clock: ClockState,
    pub(super) epoch: u64,
    pub(super) hierarchy: HierarchyState,
    pub(super) settings: Settings,
    /// How the control plane is dialled, where addresses are followed.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) addresses: Option<AddressesState>,
    /// What differs from the reloads that are assumed.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(super) reloads: Vec<ReloadState>,
    pub(super) pools: Vec<PoolState>,
    pub(super) authorities: BTreeMap<AuthorityRole, AuthorityState>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) rotating: Option<RotatingState>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) completed: Option<CompletedState>,
    pub(super) overrides: Overrides,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "BTreeSet::is_empty"))]
    pub(super) deliveries: BTreeSet<Delivery>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "LeafRenewalState::is_empty"))]
    pub(super) leaf_renewal: LeafRenewalState,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub(super) abandoned: Vec<ConsumerId>,
    /// What the digits in a consumer's holdings stand for.
    pub(super) facets: BTreeMap<ComponentKind, Vec<Facet>>,
    /// By number; a number that is free is `null`.
    pub(super) consumers: Vec<Option<ConsumerState>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct ClockState {
    #[cfg_attr(feature = "serde", serde(with = "super::instant"))]
    pub(super) mark: UtcDateTime,
    #[cfg_attr(
        feature = "serde",
        serde(default, with = "super::instant::option", skip_serializing_if = "Option::is_none")
    )]
    pub(super) doubted: Option<UtcDateTime>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub(crate) enum HierarchyState {
    #[cfg_attr(feature = "serde", serde(with = "preset"))]
    Preset(Preset),
    Parts(PartsState),
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct PartsState {
    pub(super) authorities: BTreeMap<AuthorityRole, PartState>,
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub(super) ca_backdate: Duration,
    #[cfg_attr(feature = "serde", serde(with = "super::seconds"))]
    pub(super) leaf_lifetime: Duration,
    pub(super) external_serving: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct PartState {
    pub(super) leaves: Vec<LeafKind>,
    /// A key set has none.
    #[cfg_attr(
        feature = "serde",
        serde(default, with = "super::seconds::option", skip_serializing_if = "Option::is_none")
    )]
    pub(super) ca_lifetime: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct AddressesState {
    /// With which the cluster was set up.
    pub(super) first: Address,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) previous: Option<Address>,
    pub(super) active: Address,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) next: Option<Address>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct ReloadState {
    pub(super) kind: ComponentKind,
    pub(super) facet: Facet,
    pub(super) reload: Reload,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct PoolState {
    pub(super) name: PoolName,
    pub(super) max_unavailable: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct AuthorityState {
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) previous: Option<AuthorityRecord>,
    pub(super) active: AuthorityRecord,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) next: Option<AuthorityRecord>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) cross: Option<CrossRecord>,
    /// The highest version that a rotation ever led to.
    pub(super) attempted: CaVersion,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct RotatingState {
    pub(super) unit: Unit,
    pub(super) from: CaVersion,
    pub(super) to: CaVersion,
    #[cfg_attr(feature = "serde", serde(with = "super::instant"))]
    pub(super) started: UtcDateTime,
    pub(super) stage: usize,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "BTreeSet::is_empty"))]
    pub(super) open: BTreeSet<AuthorityRole>,
    pub(super) paused: bool,
    pub(super) may_complete: bool,
    pub(super) attempts: u32,
    pub(super) emergency: bool,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "core::ops::Not::not"))]
    pub(super) commanded: bool,
    pub(super) plan: Plan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct CompletedState {
    pub(super) unit: Unit,
    pub(super) to: CaVersion,
    #[cfg_attr(feature = "serde", serde(with = "super::instant"))]
    pub(super) at: UtcDateTime,
    pub(super) rolled_back: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct LeafRenewalState {
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) due: Option<DueState>,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) last: Option<ClusterVersion>,
}

impl LeafRenewalState {
    #[cfg(feature = "serde")]
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct DueState {
    pub(super) version: ClusterVersion,
    #[cfg_attr(feature = "serde", serde(with = "super::instant"))]
    pub(super) by: UtcDateTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct ConsumerState {
    pub(super) consumer: ConsumerId,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub(super) pool: Option<PoolName>,
    pub(super) report: ReportId,
    pub(super) holds: Holds,
    pub(super) available: bool,
    /// The highest epoch of which it said that it was given something.
    pub(super) epoch: u64,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "core::ops::Not::not"))]
    pub(super) released: bool,
}

/// What a consumer holds, facet by facet: a hexadecimal digit each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub(crate) struct Holds(pub(super) Vec<Holding>);

#[cfg(feature = "serde")]
impl From<Holds> for String {
    fn from(holds: Holds) -> Self {
        holds.0.into_iter().filter_map(|holding| char::from_digit(u8::from(holding).into(), 16)).collect()
    }
}

#[cfg(feature = "serde")]
impl TryFrom<String> for Holds {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let holding = |digit: char| {
            let digit = digit.to_digit(16).filter(|_| !digit.is_ascii_uppercase())?;
            Holding::try_from(u8::try_from(digit).ok()?).ok()
        };
        let holdings: Option<Vec<_>> = text.chars().map(holding).collect();
        holdings.map(Self).ok_or("expected a lower-case hexadecimal digit for every facet")
    }
}

#[cfg(feature = "serde")]
mod preset {
    use pki_core::Preset;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(preset: &Preset, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(preset.id())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Preset, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Machine {
    /// The state at this moment, as plain data.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (mark, doubted) = self.clock.parts();
        let topology = &self.topology;
        Snapshot(Box::new(State {
            cluster: self.cluster.clone(),
            clock: ClockState { mark, doubted },
            epoch: self.epoch,
            hierarchy: HierarchyState::of(topology.hierarchy()),
            settings: Settings::clone(&self.settings),
            addresses: self.addresses_state(),
            reloads: topology.reloads().map(|(kind, facet, reload)| ReloadState { kind, facet, reload }).collect(),
            pools: topology.pool_rooms().map(|(name, room)| PoolState::new(name, room)).collect(),
            authorities: self.tracks.authorities.iter().map(|(role, known)| (*role, known.into())).collect(),
            rotating: match &self.phase {
                Phase::Rotating(rotating) => Some(rotating.into()),
                Phase::Stable => None,
            },
            completed: self.completed.as_ref().map(|completed| CompletedState {
                unit: completed.unit,
                to: completed.to,
                at: completed.at,
                rolled_back: completed.rolled_back,
            }),
            overrides: self.overrides.clone(),
            deliveries: self.deliveries.clone(),
            leaf_renewal: LeafRenewalState {
                due: self.leaf_renewal.due.clone().map(|(version, by)| DueState { version, by }),
                last: self.leaf_renewal.last.clone(),
            },
            abandoned: self.abandoned.clone(),
            facets: facets_of(topology),
            consumers: self.consumer_states(),
        }))
    }

    fn addresses_state(&self) -> Option<AddressesState> {
        let addresses = self.tracks.addresses.clone()?;
        let first = self.topology.address()?.clone();
        Some(AddressesState { first, previous: addresses.previous, active: addresses.active, next: addresses.next })
    }

    fn consumer_states(&self) -> Vec<Option<ConsumerState>> {
        let mut states = Vec::new();
        for (index, member) in self.topology.members() {
            let Ok(at) = usize::try_from(index) else { continue };
            let unseen = Seen::default();
            let seen = self.seen.get(at).unwrap_or(&unseen);
            let facets = self.topology.uses(member.id.kind()).map_or(0, |uses| uses.facets.len());
            // Numbers that are free after the last consumer are given again as if they had never been given.
            states.resize(at, None);
            states.push(Some(ConsumerState {
                consumer: member.id.clone(),
                pool: self.topology.class(member.class).and_then(|class| class.pool.clone()),
                report: seen.id,
                holds: Holds(seen.held.iter().take(facets).copied().collect()),
                available: seen.available,
                epoch: seen.epoch,
                released: seen.released,
            }));
        }
        states
    }
}

/// What the components of a cluster hold, of those that hold anything.
pub(super) fn facets_of(topology: &Topology) -> BTreeMap<ComponentKind, Vec<Facet>> {
    let of_kind = |kind| {
        let facets: Vec<_> = topology.uses(kind)?.facets.iter().map(|(facet, _)| *facet).collect();
        (!facets.is_empty()).then_some((kind, facets))
    };
    ComponentKind::ALL.into_iter().filter_map(of_kind).collect()
}

impl HierarchyState {
    pub(super) fn of(hierarchy: &Hierarchy) -> Self {
        if let Origin::Preset(preset) = hierarchy.origin() {
            return Self::Preset(preset);
        }
        let part = |role: AuthorityRole| PartState {
            leaves: hierarchy.leaves_of(role).collect(),
            ca_lifetime: hierarchy.ca_lifetime(role),
        };
        Self::Parts(PartsState {
            authorities: hierarchy.roles().iter().map(|role| (*role, part(*role))).collect(),
            ca_backdate: hierarchy.ca_backdate(),
            leaf_lifetime: hierarchy.leaf_lifetime(),
            external_serving: hierarchy.external_serving(),
        })
    }
}

impl PoolState {
    fn new(name: &PoolName, room: usize) -> Self {
        Self { name: name.clone(), max_unavailable: u64::try_from(room).unwrap_or(u64::MAX) }
    }
}

impl From<&crate::machine::Authority> for AuthorityState {
    fn from(authority: &crate::machine::Authority) -> Self {
        let crate::machine::Authority { previous, active, next, cross, attempted, .. } = *authority;
        Self { previous, active, next, cross, attempted }
    }
}

impl From<&Rotating> for RotatingState {
    fn from(rotating: &Rotating) -> Self {
        Self {
            unit: rotating.policy.unit,
            from: rotating.from,
            to: rotating.to,
            started: rotating.started,
            stage: rotating.stage,
            open: rotating.open.clone(),
            paused: rotating.paused,
            may_complete: rotating.may_complete,
            attempts: rotating.attempts,
            emergency: rotating.emergency,
            commanded: rotating.commanded,
            plan: Plan::clone(&rotating.plan),
        }
    }
}
