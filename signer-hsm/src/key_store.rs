//! Keys by name: find, generate, open, destroy. A store never hands out a key, only handles that sign.

use core::error::Error;
use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use pki_core::{AuthorityRole, CaVersion, ClusterId, KeyAlgorithm, Signer};

/// Keeps private keys under labels and hands out [`Signer`]s over them.
///
/// Blocking, object safe, callable from many threads. A label names at most one
/// key, and a key never moves to another label. Signing is no business of this
/// trait, management none of [`Signer`].
pub trait KeyStore: fmt::Debug + Send + Sync {
    /// Whether a key of this label exists.
    ///
    /// # Errors
    /// Any [`KeyStoreErrorKind`] but `NotFound` and `AlreadyExists`. An error is not an answer.
    fn find(&self, label: &KeyLabel) -> Result<bool, KeyStoreError>;

    /// Makes a new key and keeps it under `label`. The handle signs as
    /// [`KeyAlgorithm::certificate_signature`] says.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::AlreadyExists`] when the label is taken: the key that
    /// has it is left alone. [`KeyStoreErrorKind::UnsupportedAlgorithm`] when the
    /// backend cannot make such a key. No error leaves a key behind, except
    /// `Unavailable`, after which only [`find`](Self::find) knows.
    fn generate(&self, label: &KeyLabel, spec: KeySpec) -> Result<Arc<dyn Signer>, KeyStoreError>;

    /// A handle to the key that exists under `label`.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::NotFound`] when there is none.
    fn open(&self, label: &KeyLabel) -> Result<Arc<dyn Signer>, KeyStoreError>;

    /// Destroys the key of this label for good; success if there is none.
    ///
    /// Once this returns, every handle to that key, whenever it was obtained,
    /// fails with [`SignErrorKind::KeyNotFound`](pki_core::SignErrorKind::KeyNotFound),
    /// also when the label is used again for another key.
    ///
    /// # Errors
    /// Any [`KeyStoreErrorKind`] but `NotFound` and `AlreadyExists`. The key may then still exist.
    fn destroy(&self, label: &KeyLabel) -> Result<(), KeyStoreError>;
}

/// What kind of key to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KeySpec {
    /// Algorithm and size.
    pub algorithm: KeyAlgorithm,
}

impl KeySpec {
    /// A key of this algorithm, with nothing else asked of it.
    #[must_use]
    pub const fn new(algorithm: KeyAlgorithm) -> Self {
        Self { algorithm }
    }
}

/// The name of one key in a store: 1 to 128 of `a-z`, `0-9`, `/`, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyLabel(String);

impl KeyLabel {
    /// The most octets a label may have. `CKA_LABEL` has no limit of its own,
    /// tokens do; an authority's label needs 90 at most.
    pub const LEN_MAX: usize = 128;

    /// The one label of an authority's key: `<cluster>/<role>/<version>`.
    ///
    /// No two authorities share it, so a step that is repeated after a crash
    /// finds the key that it made before.
    #[must_use]
    pub fn authority(cluster: &ClusterId, role: AuthorityRole, version: CaVersion) -> Self {
        Self(format!("{cluster}/{role}/{version}", role = role.id()))
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyLabel {
    type Err = InvalidKeyLabel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidKeyLabel(Fault::Empty));
        }
        if text.len() > Self::LEN_MAX {
            return Err(InvalidKeyLabel(Fault::TooLong(text.len())));
        }
        let stray = text.chars().find(|character| !matches!(character, 'a'..='z' | '0'..='9' | '/' | '.' | '_' | '-'));
        match stray {
            Some(character) => Err(InvalidKeyLabel(Fault::Character(character))),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for KeyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot be a [`KeyLabel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKeyLabel(Fault);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Empty,
    TooLong(usize),
    Character(char),
}

impl fmt::Display for InvalidKeyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fault::Empty => f.write_str("key label is empty"),
            Fault::TooLong(found) => {
                write!(f, "key label has a limit of {} octets, found {found}", KeyLabel::LEN_MAX)
            }
            Fault::Character(found) => write!(
                f,
                "key label may hold only `a-z`, `0-9`, `/`, `.`, `_` and `-`, found `{}`",
                found.escape_default()
            ),
        }
    }
}

impl Error for InvalidKeyLabel {}

/// Why a [`KeyStore`] did not do as asked. It names the label and holds nothing of the key.
#[derive(Debug)]
pub struct KeyStoreError {
    kind: KeyStoreErrorKind,
    label: KeyLabel,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The classes of [`KeyStoreError`], as a caller must tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyStoreErrorKind {
    /// No key has the label.
    NotFound,
    /// A key has the label already.
    AlreadyExists,
    /// The backend cannot make or use a key of the algorithm.
    UnsupportedAlgorithm,
    /// The backend cannot be reached now: what it did is unknown.
    Unavailable,
    /// Anything else; the source says what.
    Other,
}

impl KeyStoreError {
    /// An error about `label` without a cause worth telling.
    #[must_use]
    pub const fn new(kind: KeyStoreErrorKind, label: KeyLabel) -> Self {
        Self { kind, label, source: None }
    }

    /// An error about `label` that was caused by `source`.
    #[must_use]
    pub fn with_source(
        kind: KeyStoreErrorKind,
        label: KeyLabel,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind, label, source: Some(source.into()) }
    }

    /// The class.
    #[must_use]
    pub const fn kind(&self) -> KeyStoreErrorKind {
        self.kind
    }

    /// The label that was asked for.
    #[must_use]
    pub const fn label(&self) -> &KeyLabel {
        &self.label
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.kind, KeyStoreErrorKind::Unavailable)
    }
}

impl fmt::Display for KeyStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            KeyStoreErrorKind::NotFound => "was not found",
            KeyStoreErrorKind::AlreadyExists => "already exists",
            KeyStoreErrorKind::UnsupportedAlgorithm => "has an algorithm that the key store does not support",
            KeyStoreErrorKind::Unavailable => "is out of reach: the key store is unavailable",
            KeyStoreErrorKind::Other => "could not be managed",
        };
        write!(f, "key `{}` {what}", self.label)
    }
}

impl Error for KeyStoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| -> &(dyn Error + 'static) { source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_has_one_label() {
        let cluster: ClusterId = "prod-1".parse().unwrap();
        let label = KeyLabel::authority(&cluster, AuthorityRole::EtcdPeer, CaVersion::FIRST.next());
        assert_eq!(label.as_str(), "prod-1/etcd-peer/2");
        assert_eq!(label.as_str().parse(), Ok(label));
    }

    #[test]
    fn every_authority_label_is_a_valid_label() {
        let cluster: ClusterId = "c".repeat(63).parse().unwrap();
        let version = CaVersion::new(u32::MAX).unwrap();
        for role in AuthorityRole::ALL {
            let label = KeyLabel::authority(&cluster, role, version);
            assert_eq!(label.as_str().parse(), Ok(label));
        }
    }

    #[test]
    fn labels_are_bounded_and_plain() {
        assert!("a".repeat(128).parse::<KeyLabel>().is_ok());
        assert!("a/b.c_d-9".parse::<KeyLabel>().is_ok());
        for (text, message) in [
            ("", "key label is empty"),
            ("a".repeat(129).as_str(), "key label has a limit of 128 octets, found 129"),
            ("a b", "key label may hold only `a-z`, `0-9`, `/`, `.`, `_` and `-`, found ` `"),
            ("A", "key label may hold only `a-z`, `0-9`, `/`, `.`, `_` and `-`, found `A`"),
            ("a\0", "key label may hold only `a-z`, `0-9`, `/`, `.`, `_` and `-`, found `\\u{0}`"),
            ("\u{e9}", "key label may hold only `a-z`, `0-9`, `/`, `.`, `_` and `-`, found `\\u{e9}`"),
        ] {
            assert_eq!(text.parse::<KeyLabel>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn errors_name_the_label_and_keep_the_cause() {
        let label: KeyLabel = "a/b".parse().unwrap();
        let error = KeyStoreError::with_source(KeyStoreErrorKind::Unavailable, label.clone(), "slot 3 is gone");
        assert_eq!(error.to_string(), "key `a/b` is out of reach: the key store is unavailable");
        assert_eq!(error.source().unwrap().to_string(), "slot 3 is gone");
        assert_eq!(error.label(), &label);
        assert!(error.is_retryable());
        assert!(!KeyStoreError::new(KeyStoreErrorKind::NotFound, label).is_retryable());
    }
}
