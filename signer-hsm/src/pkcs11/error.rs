//! What goes wrong at a token, and what can be done about it.

use core::error::Error;
use core::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cryptoki::context::Function;
use cryptoki::error::{Error as Raw, RvError};
use pki_core::{SignError, SignErrorKind};

use super::attributes::AttributeMismatch;
use super::public_key::PublicKeyFault;
use crate::key_store::{KeyLabel, KeyStoreError, KeyStoreErrorKind};

/// Why a token did not do as asked. It holds nothing of a key, a message or a PIN.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// The module could not be loaded.
    NotLoaded {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        reason: Arc<dyn Error + Send + Sync>,
    },
    /// The system gave no thread to call the module on.
    NoThread(Arc<std::io::Error>),
    /// The module answered a call with an error.
    Call(CallError),
    /// The module failed while it was asked to make a key: whether there is one is unknown.
    GenerationUnknown(CallError),
    /// No token fits the URI now.
    TokenNotFound,
    /// More than one token fits the URI.
    TokenAmbiguous {
        /// How many.
        found: usize,
    },
    /// The token asks for a PIN, and none is to be had.
    PinMissing,
    /// The token refused the PIN.
    PinRefused(CallError),
    /// A PIN was refused or logins failed before, and nobody allowed another attempt since. The token was not asked.
    LoginWithheld,
    /// The token gives no session: as many are open as it allows.
    SessionLimit(CallError),
    /// Calls into the module are past their deadline, so it was not asked.
    Stuck {
        /// How many.
        calls: usize,
    },
    /// The deadline passed before the module was asked.
    NotAsked,
    /// The deadline passed while the module was at it: what it did is unknown.
    NoAnswer,
    /// No private key has the label, or it is not the one that this handle was opened for.
    KeyNotFound,
    /// A private key has the label already.
    KeyExists,
    /// More than one object has the label, so none is picked.
    LabelAmbiguous {
        /// How many; counting ends early.
        found: usize,
    },
    /// The URI names no private key by label or id.
    ObjectNotNamed,
    /// An attribute of the key is not as a signing key's must be.
    Attribute(AttributeMismatch),
    /// The public key is missing, or is not one that certificates are made for.
    PublicKey(PublicKeyFault),
    /// The token does not offer what the algorithm needs.
    Mechanism {
        /// Its name in PKCS#11.
        needed: &'static str,
    },
    /// The token's signature does not have the form of the algorithm.
    MalformedSignature,
}

impl Pkcs11Error {
    pub(super) fn sign_error(self) -> SignError {
        let kind = match &self {
            Self::NoAnswer => SignErrorKind::TimedOut,
            Self::KeyNotFound => SignErrorKind::KeyNotFound,
            Self::PinMissing | Self::PinRefused(_) | Self::LoginWithheld => SignErrorKind::AccessDenied,
            Self::Mechanism { .. } => SignErrorKind::UnsupportedAlgorithm,
            _ if self.is_outage() => SignErrorKind::Unavailable,
            _ => SignErrorKind::Other,
        };
        SignError::with_source(kind, self)
    }

    pub(super) fn key_store_error(self, label: &KeyLabel) -> KeyStoreError {
        let kind = match &self {
            Self::KeyNotFound => KeyStoreErrorKind::NotFound,
            Self::KeyExists => KeyStoreErrorKind::AlreadyExists,
            Self::Mechanism { .. } => KeyStoreErrorKind::UnsupportedAlgorithm,
            Self::NoAnswer | Self::GenerationUnknown(_) => KeyStoreErrorKind::Unavailable,
            _ if self.is_outage() => KeyStoreErrorKind::Unavailable,
            _ => KeyStoreErrorKind::Other,
        };
        KeyStoreError::with_source(kind, label.clone(), self)
    }

    /// Whether the token is out of reach, as opposed to having refused.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::TokenNotFound | Self::SessionLimit(_) | Self::Stuck { .. } | Self::NotAsked => true,
            Self::Call(_) => self.loss() != Loss::Nothing,
            _ => false,
        }
    }

    /// What has to be built anew before the same call can succeed.
    pub(super) fn loss(&self) -> Loss {
        match self {
            Self::TokenNotFound => Loss::Module,
            Self::Call(call) => call.loss(),
            _ => Loss::Nothing,
        }
    }
}

/// What an error took along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    Nothing,
    /// The session, or its login.
    Session,
    /// The token or the connection to it. A module that has lost it finds it again only after it was finalized.
    Module,
}

/// The error that a module answered a call with.
#[derive(Clone, Debug)]
pub struct CallError(Arc<Raw>);

impl CallError {
    pub(super) fn code(&self) -> Option<RvError> {
        match &*self.0 {
            Raw::Pkcs11(code, _) => Some(*code),
            _ => None,
        }
    }

    pub(super) fn function(&self) -> Option<Function> {
        match &*self.0 {
            Raw::Pkcs11(_, function) => Some(*function),
            _ => None,
        }
    }

    fn loss(&self) -> Loss {
        match self.code() {
            Some(RvError::SessionHandleInvalid | RvError::SessionClosed | RvError::UserNotLoggedIn) => Loss::Session,
            Some(
                RvError::DeviceError
                | RvError::DeviceRemoved
                | RvError::DeviceMemory
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::SlotIdInvalid
                | RvError::CryptokiNotInitialized
                | RvError::GeneralError
                | RvError::FunctionFailed
                | RvError::FunctionCanceled
                | RvError::HostMemory,
            ) => Loss::Module,
            _ => Loss::Nothing,
        }
    }

    /// The object is not there any more, or never was in this session.
    pub(super) fn is_stale_object(&self) -> bool {
        matches!(self.code(), Some(RvError::ObjectHandleInvalid | RvError::KeyHandleInvalid))
    }

    /// The PIN, or the right to use one, was refused. Another attempt may lock the token.
    pub(super) fn is_pin_refusal(&self) -> bool {
        matches!(
            self.code(),
            Some(
                RvError::PinIncorrect
                    | RvError::PinInvalid
                    | RvError::PinLenRange
                    | RvError::PinExpired
                    | RvError::PinLocked
                    | RvError::PinTooWeak
                    | RvError::UserPinNotInitialized
            )
        )
    }

    /// A template was refused, before anything was made of it.
    pub(super) fn is_template_refusal(&self) -> bool {
        matches!(
            self.code(),
            Some(
                RvError::AttributeReadOnly
                    | RvError::AttributeTypeInvalid
                    | RvError::AttributeValueInvalid
                    | RvError::TemplateInconsistent
            )
        )
    }
}

impl From<Raw> for CallError {
    fn from(raw: Raw) -> Self {
        Self(Arc::new(raw))
    }
}

impl From<Raw> for Pkcs11Error {
    fn from(raw: Raw) -> Self {
        let call = CallError::from(raw);
        match call.code() {
            Some(RvError::SessionCount) => Self::SessionLimit(call),
            _ => Self::Call(call),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.function(), self.code()) {
            (Some(function), Some(code)) => write!(f, "the module's `{function:?}` failed with `{code:?}`"),
            _ => write!(f, "the module's answer could not be read: {}", self.0),
        }
    }
}

impl Error for CallError {}

impl fmt::Display for Pkcs11Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoaded { path, .. } => write!(f, "PKCS#11 module `{}` could not be loaded", path.display()),
            Self::NoThread(_) => f.write_str("the system gave no thread for the PKCS#11 module"),
            Self::Call(_) => f.write_str("the token failed"),
            Self::GenerationUnknown(_) => f.write_str("the token failed, and whether it made a key is unknown"),
            Self::TokenNotFound => f.write_str("no token fits the URI"),
            Self::TokenAmbiguous { found } => write!(f, "the URI must fit one token, found {found}"),
            Self::PinMissing => f.write_str("the token asks for a PIN, and none was given"),
            Self::PinRefused(_) => {
                f.write_str("the token refused the PIN; it is not tried again until that is allowed")
            }
            Self::LoginWithheld => {
                f.write_str("a PIN was refused or logins failed, and no further attempt was allowed since")
            }
            Self::SessionLimit(_) => f.write_str("the token allows no further session"),
            Self::Stuck { calls } => {
                write!(f, "the PKCS#11 module does not answer, {calls} calls are past their deadline")
            }
            Self::NotAsked => f.write_str("the deadline passed before the token was asked"),
            Self::NoAnswer => f.write_str("the token did not answer by the deadline, what it did is unknown"),
            Self::KeyNotFound => f.write_str("the token holds no such key"),
            Self::KeyExists => f.write_str("the token holds a key of this label"),
            Self::LabelAmbiguous { found } => write!(f, "one key must have the label, found {found}"),
            Self::ObjectNotNamed => f.write_str("the URI must name a private key by `object` or `id`"),
            Self::Attribute(_) => f.write_str("the token's key is not safe to sign with"),
            Self::PublicKey(_) => f.write_str("the token's public key cannot be used"),
            Self::Mechanism { needed } => write!(f, "the token does not offer `{needed}`"),
            Self::MalformedSignature => f.write_str("the token's signature does not have the form of its algorithm"),
        }
    }
}

impl Error for Pkcs11Error {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotLoaded { reason, .. } => Some(&**reason),
            Self::NoThread(error) => Some(&**error),
            Self::Call(call) | Self::GenerationUnknown(call) | Self::PinRefused(call) | Self::SessionLimit(call) => {
                Some(call)
            }
            Self::Attribute(mismatch) => Some(mismatch),
            Self::PublicKey(fault) => Some(fault),
            _ => None,
        }
    }
}
