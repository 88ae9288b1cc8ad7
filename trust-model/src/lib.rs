#![doc = include_str!("../README.md")]

#[cfg(feature = "audit")]
mod audit;
#[cfg(feature = "audit")]
mod chains;
mod channel;
#[cfg(feature = "audit")]
mod check;
#[cfg(feature = "audit")]
mod checks;
mod decide;
#[cfg(feature = "audit")]
mod fact;
#[cfg(feature = "audit")]
mod flag;
#[cfg(feature = "audit")]
pub mod model;
#[cfg(feature = "observe")]
pub mod observe;
#[cfg(feature = "picture")]
mod picture;
#[cfg(feature = "audit")]
mod posture;
#[cfg(feature = "audit")]
mod presets;
#[cfg(feature = "rotation")]
mod prove;
#[cfg(feature = "audit")]
mod report;
mod rule;
#[cfg(feature = "audit")]
mod sarif;
#[cfg(feature = "rustls")]
pub mod tls;
#[cfg(feature = "audit")]
mod waiver;

// The public interface is:
#[cfg(feature = "audit")]
pub use crate::audit::{AuditOptions, audit};
pub use crate::channel::{Channel, Direction, Party, PathSpec, Protection, paths};
#[cfg(feature = "audit")]
pub use crate::check::{Check, Evidence, Severity, Subject};
#[cfg(feature = "audit")]
pub use crate::checks::checks;
pub use crate::decide::{Decision, Denial, Grounds, Peer, Reason, decide, decide_client, decide_server, generation_of};
#[cfg(feature = "audit")]
pub use crate::fact::{Fact, Origin, Place};
#[cfg(feature = "audit")]
pub use crate::presets::Preset;
#[cfg(feature = "rotation")]
pub use crate::prove::{Artefacts, Counterexample, Generation, ModelTopologyError, Proof, ProveError, prove, topology};
#[cfg(feature = "audit")]
pub use crate::report::{CheckReport, Finding, Fitness, PathReport, PathStatus, Report, Verdict};
pub use crate::rule::{IdentityMismatch, IdentityRule, PathRule, ServerRule, TlsVersion};
#[cfg(feature = "audit")]
pub use crate::sarif::Sarif;
#[cfg(feature = "audit")]
pub use crate::waiver::Waiver;

/// A moment as RFC 3339 5.6 writes it, in whole seconds of UTC.
#[cfg(feature = "audit")]
fn moment(moment: time::UtcDateTime) -> String {
    let ((hour, minute, second), (year, month, day)) = (moment.as_hms(), moment.to_calendar_date());
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}
