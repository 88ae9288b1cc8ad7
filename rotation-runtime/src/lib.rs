#![doc = include_str!("../README.md")]

mod driver;
mod store;

// The public interface is:
pub use crate::driver::{DriveError, Driver, Executor, Failed, OpenError, Stepped, SubmitError};
pub use crate::store::{Durable, Journal, MemoryStore, Record, Revision, Store, StoreError};
