//! What a rotation costs, beside what the planner had said.

use std::collections::BTreeMap;

use pki_core::ComponentKind;
use rotation_fsm::{Cost, Direction, Plan, Unit};

use crate::cluster::MiniCluster;
use crate::report::{CostReport, UnitReport};

type Counts = BTreeMap<String, u64>;

/// The account of one rotation: opened when it begins, closed when it is over.
pub(super) struct Account {
    unit: Unit,
    order: String,
    planned: Cost,
    at_most: bool,
    losses: Vec<String>,
    restarts: Counts,
    recreations: Counts,
}

impl Account {
    pub(super) fn open(unit: Unit, order: &str, plan: &Plan, cluster: &MiniCluster, losses: Vec<String>) -> Self {
        Self {
            unit,
            order: order.to_owned(),
            planned: plan.cost(cluster.topology()),
            // The stage that is running when the way back begins was not carried out for everybody.
            at_most: plan.direction() == Direction::Back,
            losses,
            restarts: cluster.restarts(),
            recreations: cluster.recreations(),
        }
    }

    pub(super) const fn planned(&self) -> &Cost {
        &self.planned
    }

    pub(super) fn close(self, cluster: &MiniCluster) -> UnitReport {
        let restarts = since(cluster.restarts(), &self.restarts);
        let components = ComponentKind::ALL.into_iter().filter_map(|kind| {
            let planned = u64::from(self.planned.restarts(kind));
            let found = of_kind(&restarts, kind);
            let concerned = planned > 0 || found.values().any(|restarts| *restarts > 0);
            (concerned && !found.is_empty()).then(|| CostReport { of: kind.to_string(), planned, found })
        });
        let components = components.collect();
        let recreations = since(cluster.recreations(), &self.recreations);
        UnitReport {
            unit: self.unit.to_string(),
            order: self.order,
            planned: self.planned.to_string(),
            at_most: self.at_most,
            components,
            recreations: CostReport {
                of: "node".to_owned(),
                planned: u64::from(self.planned.recreations()),
                found: of_kind(&recreations, ComponentKind::Kubelet),
            },
            losses: self.losses,
        }
    }
}

fn since(now: Counts, before: &Counts) -> Counts {
    let since = |(name, count): (String, u64)| {
        let earlier = before.get(&name).copied().unwrap_or_default();
        (name, count.saturating_sub(earlier))
    };
    now.into_iter().map(since).collect()
}

/// The counts of one component, by instance.
fn of_kind(counts: &Counts, kind: ComponentKind) -> Counts {
    let instance = |(name, count): (&String, &u64)| {
        let (of, instance) = name.split_once('/')?;
        (of == kind.id()).then(|| (instance.to_owned(), *count))
    };
    counts.iter().filter_map(instance).collect()
}
