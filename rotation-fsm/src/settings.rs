//! How one cluster is rotated, where its hierarchy leaves a choice.

use pki_core::{Hierarchy, Origin, Preset};
use time::Duration;

use crate::action::NodeVersion;
use crate::clock::ClockRule;
use crate::maintenance::{Calendar, MaintenancePolicy};
use crate::policy::{Trigger, UnitPolicy};
use crate::schedule::Thresholds;
use crate::strategy::Strategy;

/// Who says that a rotation may pass its point of no return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Completion {
    /// Nobody: it completes when everything before has been seen.
    Automatic,
    /// A user, or the attempts that [`Thresholds`](Thresholds) provide for: GKE's seventh day and every day after.
    OnRequest,
}

/// What becomes of consumers that nobody can observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Release {
    /// They are waited for until somebody says that they have what they need.
    ByWord,
    /// They are waited for until completion is requested or attempted, and then left behind: clients outside fail until
    /// somebody gives them the new credentials (GKE).
    AtCompletion,
}

/// How one cluster is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Settings {
    /// The order of the stages.
    pub strategy: Strategy,
    /// Who says that it may complete.
    pub completion: Completion,
    /// What becomes of clients outside.
    pub release: Release,
    /// Whether a rotation may be paused, and go on later.
    pub pause: bool,
    /// Whether a rotation may go back before its point of no return.
    pub rollback: bool,
    /// When something is told or done without a user, for what a user may rotate; `None` for what the hierarchy's origin
    /// states.
    pub thresholds: Option<Thresholds>,
    /// When steps ignore the calendar.
    pub maintenance: MaintenancePolicy,
    /// Whether a user's command to begin or to complete overrides what the calendar says of the control plane's own stages
    /// in that phase, as GKE has it. Nodes wait for their windows, or for a command of their own.
    pub commands_override: bool,
    /// When the cluster lets itself be disturbed.
    pub calendar: Calendar,
    /// Which version recreated nodes come back with, unless somebody recreates them by hand.
    pub node_version: NodeVersion,
    /// Which jumps of the clock are believed.
    pub clock: ClockRule,
    /// How long the old root must outlive the moment at which it certifies the next one: nothing that is shown with the
    /// cross-certificate verifies for longer. Seven days of ours: as near as GKE calls a cluster DEGRADED.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::seconds"))]
    pub cross_margin: Duration,
}

impl Settings {
    /// What the hierarchy's origin documents, or else ours: a rotation that completes by itself, and that may be paused
    /// and rolled back before its point of no return.
    ///
    /// GDC: once started, neither paused nor rolled back. GKE: completed by a user or by the attempts from the seventh
    /// day on, which leave clients outside behind; steps ignore maintenance within 30 days of the expiry as its rotation
    /// page has it, and a user's command overrides it phase by phase. GKE documents no way back either.
    #[must_use]
    pub fn of(hierarchy: &Hierarchy) -> Self {
        let ours = Self {
            strategy: Strategy::Staged,
            completion: Completion::Automatic,
            release: Release::ByWord,
            pause: true,
            rollback: true,
            thresholds: None,
            maintenance: MaintenancePolicy::respect(),
            commands_override: false,
            calendar: Calendar::always(),
            node_version: NodeVersion::Same,
            clock: ClockRule::DEFAULT,
            cross_margin: Duration::days(7),
        };
        match hierarchy.origin() {
            Origin::Preset(Preset::Gke(_)) => Self {
                completion: Completion::OnRequest,
                release: Release::AtCompletion,
                pause: false,
                rollback: false,
                maintenance: MaintenancePolicy::gke_001(true),
                commands_override: true,
                node_version: NodeVersion::ClosestSupported,
                ..ours
            },
            Origin::Preset(Preset::Gdc) => Self { pause: false, rollback: false, ..ours },
            _ => ours,
        }
    }

    /// The distances at which something changes in the life of a unit's credentials.
    pub(crate) fn thresholds(&self, hierarchy: &Hierarchy, policy: &UnitPolicy) -> Thresholds {
        let preset = || Thresholds::preset(hierarchy.origin(), policy.trigger).unwrap_or(Thresholds::EMBEDDER);
        match policy.trigger {
            Trigger::User => self.thresholds.unwrap_or_else(preset),
            Trigger::Automatic { .. } => preset(),
        }
    }

    /// The same with another strategy.
    #[must_use]
    pub fn with_strategy(self, strategy: Strategy) -> Self {
        Self { strategy, ..self }
    }

    /// The same, completed by whom this says.
    #[must_use]
    pub fn with_completion(self, completion: Completion) -> Self {
        Self { completion, ..self }
    }
}
