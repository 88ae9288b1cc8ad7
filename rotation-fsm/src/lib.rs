#![doc = include_str!("../README.md")]

mod action;
mod event;
mod machine;
mod plan;
mod policy;
mod rejected;
mod status;
mod strategy;
mod topology;

// The public interface is:
pub use crate::action::{Action, ActionKey, BundleTarget, ConsumerTarget, LeafTarget};
pub use crate::event::{AuthorityRecord, Event, Observation, ReportId};
pub use crate::machine::{Applied, Completed, Machine, Phase, Rotating};
pub use crate::plan::{Plan, Scope, Stage, Step, VersionRange};
pub use crate::policy::{Trigger, Unit, UnitPolicy, units};
pub use crate::rejected::{Rejected, SetupError, Unreadable};
pub use crate::status::{AdmissionDenied, PlaneState, Reason, RotationStarted, Status};
pub use crate::strategy::Strategy;
pub use crate::topology::{ConsumerId, PoolName, Reload, Topology, TopologyError};
