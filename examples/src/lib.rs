#![doc = include_str!("../README.md")]

/// `From` for each error that an error enum wraps.
macro_rules! wraps {
    ($whole:ident: $($error:ty => $variant:ident),* $(,)?) => {
        $(impl From<$error> for $whole {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

mod authorities;
mod clock;
mod cluster;
mod component;
mod dial;
mod fault;
pub mod fleet_simulation;
mod inspect;
mod issue_cluster;
pub mod issuing_service;
pub mod keys;
mod probe;
mod process;
pub mod rehearse_rotation;
mod report;
mod rotation;
mod server;
pub mod sign_csr;
mod timeline;
mod traffic;
mod wire;

// The public interface is:
pub use crate::authorities::AuthorityError;
pub use crate::clock::{Clock, ServiceClock, Stopwatch};
pub use crate::cluster::{ClusterError, ClusterExecutor, ClusterSpec, MiniCluster};
pub use crate::fault::{Fault, UnknownFault};
pub use crate::inspect::{
    EntryKind, Finding, InspectInputError, InspectedFile, Inspection, KubeconfigEntry, NamedFile, demonstrate, inspect,
};
pub use crate::issue_cluster::{
    ClusterTree, Destination, FileReport, PublishError, PublishErrorKind, TreeError, TreeReport, TreeSpec, machine,
};
pub use crate::probe::Accepted;
pub use crate::report::{
    ConnectionReport, CostReport, ExportReport, HeldReport, IssuingReport, KeysReport, PathReport, ProbeReport, Report,
    SleepReport, StageReport, UnitReport,
};
pub use crate::rotation::{Options, Outcome, Progress, Row, RunError, run};
pub use crate::timeline::{Change, Holding, Timeline};
pub use crate::traffic::Broken;
