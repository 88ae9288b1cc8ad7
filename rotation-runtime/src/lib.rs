#![doc = include_str!("../README.md")]

mod driver;
mod format;
mod store;

// The public interface is:
pub use crate::driver::{DriveError, Driver, Executor, Failed, OpenError, Stepped, SubmitError};
pub use crate::format::{FormatError, JournalError};
pub use crate::store::{Durable, Journal, MemoryStore, Revision, Store, StoreError};
#[cfg(unix)]
pub use crate::store::{FileStore, TornTail};
