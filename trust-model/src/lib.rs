#![doc = include_str!("../README.md")]

mod decide;
mod rule;
#[cfg(feature = "rustls")]
pub mod tls;

// The public interface is:
pub use crate::decide::{Decision, Denial, Reason, decide_client, decide_server};
pub use crate::rule::{IdentityMismatch, IdentityRule, PathRule, ServerRule, TlsVersion};
