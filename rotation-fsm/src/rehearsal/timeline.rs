//! What a rehearsal found.

use core::fmt;
use std::collections::BTreeMap;

use pki_core::{AuthorityRole, CaVersion, ClusterId, ComponentKind, NodeName, Plane, TrustSlot};
use time::{Duration, UtcDateTime};

use super::run::Run;
use super::{Assumptions, Rehearsal, RehearsalError, drops};
use crate::delivery::Delivery;
use crate::facet::{Facet, Holding};
use crate::insight::{Feasibility, Insight};
use crate::machine::Machine;
use crate::maintenance::{Blocker, Rfc3339, StepKind};
use crate::plan::{Change, Loss, Plan, Stage, StageId, Step};
use crate::policy::Unit;
use crate::strategy::Strategy;
use crate::topology::{Address, ConsumerId, PoolName};

/// A rotation as it would go. Its [`Display`](fmt::Display) is a table for people; with the feature `serde` it serialises.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub struct Timeline {
    /// The cluster.
    pub cluster: ClusterId,
    /// The unit.
    pub unit: Unit,
    /// The order.
    pub strategy: Strategy,
    /// Whether it is the emergency order, whatever the strategy.
    pub emergency: bool,
    /// The generation that is replaced.
    pub from: CaVersion,
    /// The generation that replaces it.
    pub to: CaVersion,
    /// When it was asked for.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
    pub asked: UtcDateTime,
    /// When it begins: later than it was asked for where the clock begins it.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
    pub begins: UtcDateTime,
    /// When there is no way back any more: something that the old generation issued is refused from then on.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instants"))]
    pub point_of_no_return: Option<UtcDateTime>,
    /// When it completes.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
    pub completes: UtcDateTime,
    /// When the first of the replaced credentials expires; keys do not.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instants"))]
    pub expiry: Option<UtcDateTime>,
    /// The latest start, to the hour, that was rehearsed too and completes in time. `None` when this one does not, for
    /// what does not expire or begins by itself, in an emergency, and for a rotation that is running.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instants"))]
    pub latest_start: Option<UtcDateTime>,
    /// What the user is told when it is asked for, with what the rehearsal found; nothing before the threshold of the
    /// insight (180 days before the expiry in GKE).
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::displayed_option"))]
    pub insight: Option<Insight>,
    /// The stages, in order. One begins when the one before has ended.
    pub stages: Vec<StageSpan>,
    /// What every component goes through.
    pub components: Vec<ComponentWork>,
    /// What every node goes through that goes through anything.
    pub nodes: Vec<NodeWork>,
    /// What the calendar keeps waiting, and for how long.
    pub blocked: Vec<BlockedTime>,
    /// What stops for whoever does nothing about it.
    pub outages: Vec<Outage>,
    /// The paths that break on the way: none but in an emergency.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::displayed"))]
    pub losses: Vec<Loss>,
    /// What is to be handed out anew afterwards.
    pub deliveries: Vec<Delivery>,
    /// Consumers that are not in order now, and were taken to be when it begins.
    pub assumed_in_order: Vec<ConsumerId>,
}

/// A stage, from the end of the one before to its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub struct StageSpan {
    /// Which.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::display"))]
    pub id: StageId,
    /// When it begins.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
    pub begins: UtcDateTime,
    /// When it ends. A stage that asks nothing of anybody ends as it begins.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
    pub ends: UtcDateTime,
    /// How many restarts it takes, those with a node that is recreated included.
    pub restarts: u32,
    /// How many nodes it recreates.
    pub recreations: u32,
    /// How many clients outside somebody must see to.
    pub words: u32,
    /// For how long of it the calendar was closed.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::seconds"))]
    pub blocked: Duration,
}

impl StageSpan {
    /// How long it lasts.
    #[must_use]
    pub fn takes(&self) -> Duration {
        self.ends - self.begins
    }
}

/// What the instances of one component go through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub struct ComponentWork {
    /// The component.
    pub kind: ComponentKind,
    /// How many instances there are.
    pub instances: u32,
    /// Their restarts, all together; one with its node counts.
    pub restarts: u32,
    /// The restarts of the instance that has most.
    pub most: u32,
}

/// What one node goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub struct NodeWork {
    /// The node.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::display"))]
    pub node: NodeName,
    /// Its pool.
    pub pool: PoolName,
    /// How often its kubelet restarts, a recreation included.
    pub restarts: u32,
    /// How often it is recreated.
    pub recreations: u32,
}

/// Something that the calendar keeps waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub struct BlockedTime {
    /// The kind of step.
    pub step: StepKind,
    /// Of which pool.
    pub pool: Option<PoolName>,
    /// What is in the way.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::display"))]
    pub why: Blocker,
    /// When it first was.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
    pub first: UtcDateTime,
    /// For how long, all together.
    #[cfg_attr(feature = "serde", serde(serialize_with = "stored::seconds"))]
    pub total: Duration,
}

/// What stops for whoever does nothing about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Outage {
    /// A client outside was not given anything in time and is left behind. It fails until somebody gives it the new
    /// credentials (GKE).
    LeftBehind {
        /// Who.
        client: ConsumerId,
        /// From when on it may.
        #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
        from: UtcDateTime,
    },
    /// Static credentials of service accounts are refused (GKE revokes them with the old CA). Make them anew after the
    /// completion, or move to tokens that are short-lived.
    StaticTokens {
        /// From when on some API server refuses them.
        #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
        from: UtcDateTime,
        /// When they can be made anew.
        #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
        renew_from: UtcDateTime,
        /// Those that are known.
        known: Vec<String>,
    },
    /// The control plane no longer answers at its original address (GKE). Whatever has it written down, and every
    /// firewall rule aimed at it, is changed before.
    Address {
        /// Which.
        address: Address,
        /// From when on some API server does not answer there.
        #[cfg_attr(feature = "serde", serde(serialize_with = "stored::instant"))]
        from: UtcDateTime,
        /// The places that are known.
        known: Vec<String>,
    },
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |f: &mut fmt::Formatter<'_>, known: &[String]| match known {
            [] => f.write_str("; none are known here"),
            _ => write!(f, ": {}", known.join(", ")),
        };
        match self {
            Self::LeftBehind { client, from } => {
                write!(f, "{} `{client}` is left behind, and fails until it has the new credentials", Rfc3339(*from))
            }
            Self::StaticTokens { from, renew_from, known: names } => {
                let (from, renew) = (Rfc3339(*from), Rfc3339(*renew_from));
                write!(f, "{from} static service-account tokens are refused; make them anew from {renew} on")?;
                known(f, names)
            }
            Self::Address { address, from, known: places } => {
                write!(
                    f,
                    "{} `{address}` no longer answers; change hard-coded addresses and firewall rules",
                    Rfc3339(*from)
                )?;
                known(f, places)
            }
        }
    }
}

impl Timeline {
    /// Whether it completes before the credentials expire that it replaces. What completes in their last second does not:
    /// see [`Thresholds::standing`](crate::Thresholds::standing).
    #[must_use]
    pub fn feasibility(&self) -> Feasibility {
        match self.expiry {
            Some(expiry) if self.completes >= expiry => Feasibility::AtRisk { completes_at: self.completes },
            _ => Feasibility::Fits,
        }
    }

    /// Whether a user is to be warned that the calendar cannot fit the rotation: only once the insight is up.
    #[must_use]
    pub fn is_at_risk(&self) -> bool {
        self.insight.as_ref().is_some_and(|insight| matches!(insight.feasibility(), Feasibility::AtRisk { .. }))
    }

    /// What is left between the completion and the expiry; negative for one that comes too late.
    #[must_use]
    pub fn margin(&self) -> Option<Duration> {
        Some(self.expiry? - self.completes)
    }

    /// How long it takes.
    #[must_use]
    pub fn takes(&self) -> Duration {
        self.completes - self.begins
    }
}

/// Everything that the run itself has seen.
pub(super) fn of(
    run: Run<'_>,
    what: &Rehearsal,
    plan: &Plan,
    (asked, expiry): (UtcDateTime, Option<UtcDateTime>),
    insight: Option<Insight>,
) -> Result<Timeline, RehearsalError> {
    let Run { machine, record, .. } = run;
    let completed = machine.completed.as_ref().zip(record.begins.zip(record.completes));
    let Some((completed, (begins, completes))) = completed else { return Err(RehearsalError::NeverBegins) };
    let from = completed.roles.iter().find_map(|role| Some(machine.previous(*role)?.version));
    let past_return = |stage: &&StageSpan| stage.id.step().is_past_return() && !stage.id.is_undo();
    let point_of_no_return = record.stages.iter().find(past_return).map(|stage| stage.begins);
    let components = components(&machine, &record.consumers);
    let fails = fails_outside(&machine, plan);
    let left = fails.and_then(|id| record.stages.iter().find(|span| span.id == *id)).map(|span| span.begins);
    let left = left.unwrap_or(completes);
    let left_behind = record.left_behind.into_iter().map(|client| Outage::LeftBehind { client, from: left });
    debug_assert!(plan.stages().len() >= record.stages.len(), "no stage ends twice");
    Ok(Timeline {
        cluster: machine.cluster.clone(),
        unit: what.unit,
        strategy: what.settings.strategy,
        emergency: what.emergency,
        from: from.unwrap_or(completed.to),
        to: completed.to,
        asked,
        begins,
        point_of_no_return,
        completes,
        expiry,
        latest_start: None,
        insight: insight.map(|insight| insight.rehearsed(completes)),
        outages: left_behind.collect(),
        losses: Vec::new(),
        deliveries: machine.deliveries.iter().copied().collect(),
        assumed_in_order: Vec::new(),
        stages: record.stages,
        components,
        nodes: record.nodes.into_values().collect(),
        blocked: record.blocked,
    })
}

fn components(machine: &Machine, disturbed: &BTreeMap<ConsumerId, u32>) -> Vec<ComponentWork> {
    let mut found: BTreeMap<ComponentKind, ComponentWork> = BTreeMap::new();
    for (consumer, _) in machine.topology.consumers() {
        let kind = consumer.kind();
        let work = found.entry(kind).or_insert(ComponentWork { kind, instances: 0, restarts: 0, most: 0 });
        let restarts = disturbed.get(consumer).copied().unwrap_or_default();
        work.instances += 1;
        work.restarts += restarts;
        work.most = work.most.max(restarts);
    }
    found.into_values().collect()
}

/// The first stage in which a client outside may fail that was given nothing.
fn fails_outside<'a>(machine: &Machine, plan: &'a Plan) -> Option<&'a StageId> {
    let is_outside = |kind: ComponentKind| kind.plane() == Plane::External;
    let edges = || machine.topology.edges().iter();
    let fails = |change: &Change| match change.facet {
        Facet::Presents(leaf) => edges()
            .filter(|edge| edge.presenter == change.kind && edge.leaf == leaf && is_outside(edge.verifier))
            .any(|_| !Holding::CURRENT.verifies(change.to)),
        Facet::Trusts(slot) => edges()
            .filter(|edge| edge.verifier == change.kind && edge.slot == slot && is_outside(edge.presenter))
            .any(|_| !change.to.verifies(Holding::CURRENT)),
        Facet::Serves => !change.to.contains(Holding::CURRENT),
        _ => false,
    };
    plan.stages().iter().find(|stage| stage.changes().iter().any(fails)).map(Stage::id)
}

/// What stops by the plan alone, whoever is there: static tokens, and the first address.
pub(super) fn announced(
    machine: &Machine,
    assumptions: &Assumptions,
    plan: &Plan,
    roles: &[AuthorityRole],
    spans: &[StageSpan],
) -> Vec<Outage> {
    let begins = |id: &StageId| spans.iter().find(|span| span.id == *id).map(|span| span.begins);
    let mut outages = Vec::new();
    let tokens = roles.contains(&AuthorityRole::ServiceAccount).then(|| drops(plan, TrustSlot::ServiceAccountKeys));
    if let (Some(from), Some(last)) = (tokens.flatten().and_then(begins), spans.last()) {
        let known = assumptions.static_tokens.clone();
        outages.push(Outage::StaticTokens { from, renew_from: last.ends, known });
    }
    let closed = plan.stages().iter().find(|stage| stage.step() == Step::CloseAddress);
    if let (Some(from), Some(address)) = (closed.and_then(|stage| begins(stage.id())), machine.address()) {
        let written = assumptions.hard_coded.iter().filter(|written| written.address == *address);
        let known = written.map(|written| written.place.clone()).collect();
        outages.push(Outage::Address { address: address.clone(), from, known });
    }
    outages
}

#[cfg(feature = "serde")]
mod stored {
    //! Instants as RFC 3339 has them, durations in whole seconds, everything else in its own words.

    use core::fmt;

    use serde::Serializer;
    use time::{Duration, UtcDateTime};

    use crate::maintenance::Rfc3339;

    pub(super) fn instant<S: Serializer>(instant: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Rfc3339(*instant))
    }

    #[expect(clippy::ref_option, reason = "serde hands out references to fields")]
    pub(super) fn instants<S: Serializer>(instant: &Option<UtcDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
        displayed_option(&instant.map(Rfc3339), serializer)
    }

    pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(duration.whole_seconds())
    }

    pub(super) fn display<S: Serializer>(shown: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(shown)
    }

    #[expect(clippy::ref_option, reason = "serde hands out references to fields")]
    pub(super) fn displayed_option<S: Serializer>(
        shown: &Option<impl fmt::Display>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match shown {
            Some(shown) => serializer.collect_str(shown),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn displayed<S: Serializer>(shown: &[impl fmt::Display], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(shown.iter().map(ToString::to_string))
    }
}
