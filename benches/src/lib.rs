#![doc = include_str!("../README.md")]

mod fleet;
mod judge;
mod keys;
pub mod ours;
mod outside;
pub mod peers;
mod ratio;
mod requests;
mod turns;

// The public interface is:
pub use crate::fleet::{Fleet, Reports};
pub use crate::judge::judge;
pub use crate::keys::{AwsKey, RingKey, SignatureBuffer};
pub use crate::outside::Outside;
pub use crate::ratio::ratio;
pub use crate::requests::{Answering, Asked, Authority, Case, believing};
pub use crate::turns::{Der, Series, Spread, Way, measure};

/// The outcome of preparing a bench; the error says what could not be made.
pub type Setup<T> = Result<T, Box<dyn std::error::Error>>;
