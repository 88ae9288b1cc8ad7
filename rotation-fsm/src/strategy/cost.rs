//! What a plan costs.

use core::fmt;
use std::collections::BTreeMap;

use pki_core::{AuthorityRole, ComponentKind, Plane};

use super::{Strategy, StrategyError};
use crate::plan::{Plan, Stage};
use crate::topology::{Class, Reload, Topology};

/// What a plan asks of every consumer of a kind, at most: of the pool that has it worst.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    recreations: u32,
    restarts: BTreeMap<ComponentKind, u32>,
    acknowledgements: u32,
}

impl Cost {
    /// How often each node is recreated.
    #[must_use]
    pub const fn recreations(&self) -> u32 {
        self.recreations
    }

    /// How often each instance of a component restarts, a recreation of its node included.
    #[must_use]
    pub fn restarts(&self, kind: ComponentKind) -> u32 {
        self.restarts.get(&kind).copied().unwrap_or_default()
    }

    /// How often each client outside must be given something new.
    #[must_use]
    pub const fn acknowledgements(&self) -> u32 {
        self.acknowledgements
    }

    /// Dear things first: nodes, what runs on them, the control plane, people.
    fn rank(&self) -> (u32, u32, u32, u32) {
        let on =
            |plane: Plane| self.restarts.iter().filter(move |(kind, _)| kind.plane() == plane).map(|(_, n)| n).sum();
        (self.recreations, on(Plane::Data), on(Plane::Control), self.acknowledgements)
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |f: &mut fmt::Formatter<'_>, n: u32, one: &str, many: &str| {
            write!(f, "{n} {}", if n == 1 { one } else { many })
        };
        count(f, self.recreations, "recreation per node", "recreations per node")?;
        for (kind, restarts) in &self.restarts {
            f.write_str(", ")?;
            count(f, *restarts, "restart of ", "restarts of ")?;
            write!(f, "{kind}")?;
        }
        f.write_str(", ")?;
        count(f, self.acknowledgements, "word for every client outside", "words for every client outside")
    }
}

impl Plan {
    /// What the plan costs on this topology.
    #[must_use]
    pub fn cost(&self, topology: &Topology) -> Cost {
        let mut cost = Cost::default();
        for class in topology.classes() {
            let reloads = || self.stages.iter().filter_map(|stage| self.reload(stage, class, topology));
            let count =
                |reload: fn(&Reload) -> bool| u32::try_from(reloads().filter(reload).count()).unwrap_or(u32::MAX);
            let restarts = count(|reload| matches!(reload, Reload::Restart | Reload::Recreate));
            if restarts > 0 {
                let most = cost.restarts.entry(class.kind).or_default();
                *most = restarts.max(*most);
            }
            cost.recreations = cost.recreations.max(count(|reload| *reload == Reload::Recreate));
            cost.acknowledgements = cost.acknowledgements.max(count(|reload| *reload == Reload::Unobservable));
        }
        cost
    }

    /// What a stage takes at every consumer of a class, if it asks anything of it: one restart for all of it.
    pub(crate) fn reload(&self, stage: &Stage, class: &Class, topology: &Topology) -> Option<Reload> {
        if !self.covers(stage.id(), class.kind.plane(), class.pool.as_ref()) {
            return None;
        }
        let changes = stage.changes().iter().filter(|change| change.kind == class.kind);
        changes.map(|change| topology.reload(change.kind, change.facet)).max()
    }
}

impl Strategy {
    /// Of the strategies that the cluster allows, the one whose plan recreates nodes least often; among equals the one
    /// that restarts least on nodes, then in the control plane, then asks least of people.
    ///
    /// # Errors
    /// When no strategy gives a lawful plan: the error of the first.
    pub fn cheapest(topology: &Topology, roles: &[AuthorityRole]) -> Result<(Self, Plan), StrategyError> {
        let plans = Self::ALL.map(|strategy| strategy.plan(topology, roles).map(|plan| (strategy, plan)));
        let mut refused = None;
        let mut best: Option<(Self, Plan)> = None;
        for plan in plans {
            match plan {
                Ok(found) => {
                    let rank = |(_, plan): &(Self, Plan)| plan.cost(topology).rank();
                    if best.as_ref().is_none_or(|best| rank(&found) < rank(best)) {
                        best = Some(found);
                    }
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        best.ok_or_else(|| refused.unwrap_or(StrategyError::NoAddress))
    }
}
