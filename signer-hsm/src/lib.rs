#![doc = include_str!("../README.md")]

#[cfg(all(feature = "service", target_os = "linux"))]
pub mod agent;
pub mod contract;
mod der;
#[cfg(feature = "distributed")]
pub mod distributed;
mod key_store;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
#[cfg(all(feature = "service", target_os = "linux"))]
pub mod service;
#[cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]
mod software;
#[cfg(feature = "testing")]
pub mod testing;

// The public interface is:
pub use key_store::{InvalidKeyLabel, KeyLabel, KeySpec, KeyStore, KeyStoreError, KeyStoreErrorKind};
#[cfg(all(feature = "encrypted-keys", any(feature = "aws-lc-rs", feature = "rustcrypto")))]
pub use software::encrypted::KdfLimits;
#[cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]
pub use software::{
    KeyError, Provider, RsaModulus, SoftwareKey, export::ExportableKey, file::KeyFileError, store::SoftwareKeyStore,
};
