//! Keys on a token behind PKCS#11: [`Pkcs11KeyStore`] on a [`Pkcs11Module`].
//!
//! ```no_run
//! use signer_hsm::KeyStore;
//! use signer_hsm::pkcs11::{Pin, Pkcs11KeyStore, Pkcs11Module, TokenOptions};
//!
//! # fn pin_of_the_embedder() -> String { String::new() }
//! let module = Pkcs11Module::load("/usr/lib/softhsm/libsofthsm2.so")?;
//! let pin = || Some(Pin::new(pin_of_the_embedder()));
//! let store = Pkcs11KeyStore::new(&module, "pkcs11:token=ca-1".parse()?, pin, TokenOptions::default())?;
//! let signer = store.open(&"prod-1/cluster/1".parse()?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attributes;
mod deadline;
mod error;
mod mechanism;
mod module;
mod pool;
mod probe;
mod public_key;
mod sessions;
mod signer;
mod store;
mod ticket;
mod uri;

// The public interface is:
pub use attributes::AttributeMismatch;
pub use error::{CallError, Pkcs11Error};
pub use module::{ModuleHealth, Pkcs11Module};
pub use probe::{ExportAttempt, ExportProbe};
pub use public_key::PublicKeyFault;
pub use sessions::Pin;
pub use store::{Pkcs11KeyStore, TokenOptions};
pub use uri::{ObjectType, Pkcs11Uri, Pkcs11UriError};
