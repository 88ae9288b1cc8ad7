#![doc = include_str!("../README.md")]

mod fleet;
mod ratio;
mod requests;

// The public interface is:
pub use crate::fleet::{Fleet, Reports};
pub use crate::ratio::ratio;
pub use crate::requests::{Answering, Authority, Case, RequestKeys, believing};

/// The outcome of preparing a bench; the error says what could not be made.
pub type Setup<T> = Result<T, Box<dyn std::error::Error>>;
