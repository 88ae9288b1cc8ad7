#![doc = include_str!("../README.md")]

mod action;
mod clock;
mod delivery;
mod disaster;
mod event;
mod facet;
mod fleet;
mod insight;
mod journal;
mod machine;
mod maintenance;
mod plan;
mod policy;
#[cfg(feature = "proof")]
pub mod proof;
mod rehearsal;
mod rejected;
mod schedule;
mod settings;
mod status;
mod strategy;
mod topology;
mod verify_completion;

// The public interface is:
pub use crate::action::{Action, ActionKey, BundleTarget, ConsumerTarget, KeyPair, LeafTarget, NodeVersion};
pub use crate::clock::{ClockDoubt, ClockRule};
pub use crate::delivery::{ClusterVersion, ClusterVersionError, Delivery};
pub use crate::disaster::{Down, Recovered, Recovery, RecoveryAction, RecoveryError, RecoveryEvent, RecoveryStep};
pub use crate::event::{
    AuthorityRecord, CrossRecord, Event, Observation, Operator, PresentedLeaf, ReportId, ServedAddress,
};
pub use crate::facet::{Facet, Holding, UnknownHolding};
pub use crate::fleet::{ClusterHandle, DueCluster, Fleet, FleetError, HealthCounts};
pub use crate::insight::{Feasibility, Insight};
#[cfg(feature = "serde")]
pub use crate::journal::Versioned;
pub use crate::journal::{
    Counted, EVENT_VERSION, Part, Record, ReplayError, RestoreError, SNAPSHOT_VERSION, Snapshot, UnknownVersion, replay,
};
pub use crate::machine::{
    Applied, Behind, Blocked, ClusterHealth, Completed, CompletionBlocked, Lack, Machine, Operation, OperationId,
    OperationStatus, Phase, PoolBehind, Rotating,
};
pub use crate::maintenance::{
    AllowedBecause, Availability, Blocker, Calendar, CalendarError, Closure, ExclusionError, ExclusionName,
    ExclusionScope, InstantError, MaintenanceExclusion, MaintenancePolicy, MaintenanceRule, MaintenanceWindow,
    OpenInterval, OpenIntervals, Overrides, Permit, Recurrence, RecurrenceError, StepKind, UnknownScope, Weekdays,
    WindowError, Work, parse_instant,
};
pub use crate::plan::{
    Change, Direction, Loss, Meeting, Offence, Plan, PlanError, Scope, Stage, StageId, Step, VersionRange,
};
pub use crate::policy::{Trigger, Unit, UnitPolicy, units};
pub use crate::rehearsal::{
    Assumptions, BlockedTime, ComponentWork, HardCoded, NodeWork, Outage, Rehearsal, RehearsalError, StageSpan,
    Timeline, rehearse,
};
pub use crate::rejected::{Rejected, SetupError, Unreadable};
pub use crate::schedule::{
    Due, Facts, FactsError, Health, Progress, Standing, Threshold, Thresholds, ThresholdsError, ThresholdsSpec,
};
pub use crate::settings::{Completion, Release, Settings};
pub use crate::status::{AdmissionDenied, PlaneState, Reason, RotationStarted, Status};
pub use crate::strategy::{Cost, Strategy, StrategyError, UnknownStrategy};
pub use crate::topology::{
    Address, AddressError, ConsumerId, ConsumerIdError, PoolName, Reload, Topology, TopologyError,
};
pub use crate::verify_completion::{CompletionFacts, Deviation, Probe, Unknown, verify_completion};
