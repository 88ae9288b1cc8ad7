#![doc = include_str!("../README.md")]

pub mod contract;
mod der;
mod key_store;
mod software;

// The public interface is:
pub use key_store::{InvalidKeyLabel, KeyLabel, KeySpec, KeyStore, KeyStoreError, KeyStoreErrorKind};
pub use software::export::ExportableKey;
pub use software::file::KeyFileError;
pub use software::store::SoftwareKeyStore;
pub use software::{KeyError, RsaModulus, SoftwareKey};
