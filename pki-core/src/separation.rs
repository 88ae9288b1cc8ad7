//! One key, one owner: no key serves two roles, two generations or two clusters.
//!
//! A key that serves two roles lets each authority speak for the other: what etcd believes, the API server would. The
//! ledger remembers who owns which key, and a root can only be minted with a key that it admitted.

use core::fmt;
use std::collections::BTreeMap;

use crate::decode::DecodeError;
use crate::signer::Signer;
use crate::verify::SubjectPublicKey;
use crate::{AuthorityRole, CaVersion, ClusterId, DnsName, Fingerprint};

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum KeyOwner {
    /// One generation of one authority of one cluster.
    Authority {
        /// The cluster.
        cluster: ClusterId,
        /// The authority.
        role: AuthorityRole,
        /// The generation.
        version: CaVersion,
    },
    /// A CA outside every hierarchy, such as an organization's own. Its keys are its owner's affair, as long as none of
    /// them is an authority's.
    External {
        /// Its name.
        name: DnsName,
    },
}

impl fmt::Display for KeyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority { cluster, role, version } => {
                write!(f, "the authority `{role}` of the cluster `{cluster}`, CAVersion {version}")
            }
            Self::External { name } => write!(f, "the external CA `{name}`"),
        }
    }
}

/// Who owns which key, over all clusters of an embedder.
///
/// A key is told by SHA-256 over its whole `SubjectPublicKeyInfo`, of which there is one encoding: not by a certificate,
/// of which one key may have many.
///
/// ```
/// use pki_core::{AuthorityRole, CaVersion, ClusterId, KeyAlgorithm, KeyLedger};
/// use signer_hsm::SoftwareKey;
///
/// let (blue, green): (ClusterId, ClusterId) = ("blue".parse()?, "green".parse()?);
/// let key = SoftwareKey::generate(KeyAlgorithm::P256)?;
/// let mut ledger = KeyLedger::new();
/// ledger.admit(&blue, AuthorityRole::Cluster, CaVersion::FIRST, &key)?;
///
/// // Again is well; for another role or another cluster it is not.
/// ledger.admit(&blue, AuthorityRole::Cluster, CaVersion::FIRST, &key)?;
/// assert!(ledger.admit(&blue, AuthorityRole::Etcd, CaVersion::FIRST, &key).is_err());
/// assert!(ledger.admit(&green, AuthorityRole::Cluster, CaVersion::FIRST, &key).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A ledger is no `Clone`: two copies would admit one key for two owners, and neither would know. For the same reason
/// whoever stores it reads it back in one place, and has the next one wait until it is stored again.
///
/// ```compile_fail,E0599
/// let ledger = pki_core::KeyLedger::new();
/// let copy = ledger.clone();
/// ```
#[derive(Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Vec<LedgerEntry>"))]
pub struct KeyLedger {
    owners: BTreeMap<Fingerprint, KeyOwner>,
    /// Of authorities: each has one key.
    keys: BTreeMap<KeyOwner, Fingerprint>,
}

impl KeyLedger {
    /// A ledger that knows no key.
    #[must_use]
    pub const fn new() -> Self {
        Self { owners: BTreeMap::new(), keys: BTreeMap::new() }
    }

    /// Admits the key of one generation of an authority. The same key for the same owner is admitted again.
    ///
    /// # Errors
    /// [`AdmitError`], and the ledger is as before.
    pub fn admit<'k>(
        &mut self,
        cluster: &ClusterId,
        role: AuthorityRole,
        version: CaVersion,
        signer: &'k dyn Signer,
    ) -> Result<AdmittedKey<'k>, AdmitError> {
        let key = SubjectPublicKey::parse(signer.public_key()).map_err(AdmitError::Malformed)?;
        self.record(KeyOwner::Authority { cluster: cluster.clone(), role, version }, &key)?;
        Ok(AdmittedKey { role, version, key, signer })
    }

    /// Admits a key of a CA outside every hierarchy.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn admit_external<'k>(
        &mut self,
        name: DnsName,
        signer: &'k dyn Signer,
    ) -> Result<AdmittedExternalKey<'k>, AdmitError> {
        let key = SubjectPublicKey::parse(signer.public_key()).map_err(AdmitError::Malformed)?;
        self.record(KeyOwner::External { name: name.clone() }, &key)?;
        Ok(AdmittedExternalKey { name, key, signer })
    }

    /// Records a key whose signer is not at hand: of a certificate that is adopted, or of a generation whose private
    /// key was destroyed.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn record(&mut self, owner: KeyOwner, key: &SubjectPublicKey<'_>) -> Result<(), AdmitError> {
        self.enter(owner, Fingerprint::of(key.as_der()))
    }

    /// The owner of a key, if it has one.
    #[must_use]
    pub fn owner_of(&self, key: &SubjectPublicKey<'_>) -> Option<&KeyOwner> {
        self.owners.get(&Fingerprint::of(key.as_der()))
    }

    fn enter(&mut self, asked: KeyOwner, key: Fingerprint) -> Result<(), AdmitError> {
        if let Some(owner) = self.owners.get(&key).filter(|owner| **owner != asked) {
            return Err(AdmitError::KeyReuse(Box::new(KeyReuse { owner: owner.clone(), asked })));
        }
        if self.keys.get(&asked).is_some_and(|other| *other != key) {
            return Err(AdmitError::SecondKey(asked));
        }
        if matches!(asked, KeyOwner::Authority { .. }) {
            self.keys.insert(asked.clone(), key);
        }
        self.owners.insert(key, asked);
        Ok(())
    }
}

/// One line of a stored ledger.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
struct LedgerEntry {
    key: Fingerprint,
    owner: KeyOwner,
}

#[cfg(feature = "serde")]
impl serde::Serialize for KeyLedger {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.owners.iter().map(|(key, owner)| LedgerEntry { key: *key, owner: owner.clone() }))
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Vec<LedgerEntry>> for KeyLedger {
    type Error = AdmitError;

    /// What is read back is held to the same rules.
    fn try_from(entries: Vec<LedgerEntry>) -> Result<Self, AdmitError> {
        let mut ledger = Self::new();
        entries.into_iter().try_for_each(|LedgerEntry { key, owner }| ledger.enter(owner, key))?;
        Ok(ledger)
    }
}

/// A key that is one authority's and no other's, with which [`mint_root`](crate::mint_root) mints that authority's root.
/// Only a [`KeyLedger`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct AdmittedKey<'k> {
    pub(crate) role: AuthorityRole,
    pub(crate) version: CaVersion,
    pub(crate) key: SubjectPublicKey<'k>,
    pub(crate) signer: &'k dyn Signer,
}

/// A key that is no authority's, with which [`mint_external_root`](crate::mint_external_root) mints a root outside every
/// hierarchy. Only a [`KeyLedger`] makes one.
#[derive(Clone, Debug)]
pub struct AdmittedExternalKey<'k> {
    pub(crate) name: DnsName,
    pub(crate) key: SubjectPublicKey<'k>,
    pub(crate) signer: &'k dyn Signer,
}

/// A key that has an owner, and for whom it was to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReuse {
    owner: KeyOwner,
    asked: KeyOwner,
}

impl KeyReuse {
    /// Who owns the key.
    #[must_use]
    pub const fn owner(&self) -> &KeyOwner {
        &self.owner
    }

    /// For whom it was to be admitted.
    #[must_use]
    pub const fn asked(&self) -> &KeyOwner {
        &self.asked
    }
}

/// Why a key is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmitError {
    /// The key is of no accepted kind.
    Malformed(DecodeError),
    /// The key is another's.
    KeyReuse(Box<KeyReuse>),
    /// The authority has another key; a rotation gives the new one to the next generation.
    SecondKey(KeyOwner),
}

impl fmt::Display for AdmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the key is not usable: {error}"),
            Self::KeyReuse(reuse) => {
                write!(f, "the key belongs to {} and cannot serve {} as well", reuse.owner, reuse.asked)
            }
            Self::SecondKey(owner) => write!(f, "{owner} has another key already"),
        }
    }
}

impl core::error::Error for AdmitError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            _ => None,
        }
    }
}
