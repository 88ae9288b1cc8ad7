//! Keys that are distributed on purpose: GKE keeps the root key of the etcd API CA on every control-plane machine.
//!
//! Such a key is generated for named holders and leaves as one sealed copy for each, which that holder alone can open. Nothing
//! else is ever distributed: every role but [`AuthorityRole::EtcdApi`] and every hierarchy but GKE's are refused. A
//! distributed key is retired when each of its holders has said that his copy is gone, and not before.
//!
//! Copies are sealed with HPKE (RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM) as `rustls` has it on aws-lc-rs.
//! How a copy travels, and how a holder proves that a word is his, is the embedder's.

use core::error::Error;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use pki_core::{
    AuthorityRole, CaVersion, ClusterId, Fingerprint, Hierarchy, KeyAlgorithm, NodeName, Origin, Preset, Signer,
};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

use crate::{ExportableKey, KeyError, KeyFileError, KeyLabel, SoftwareKey};

const INFO: &[u8] = b"carousel distributed key, version 1";
/// The octets of an X25519 key.
const HOLDER_KEY_LEN: usize = 32;

/// Why a key was not distributed, or a copy not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum DistributeError {
    /// Keys of this role are not distributed in this kind of cluster.
    NotDistributed {
        /// The role.
        role: AuthorityRole,
        /// Whose hierarchy it is.
        origin: Origin,
    },
    /// Nobody is to hold the key.
    NoHolders,
    /// One holder is named twice.
    HolderTwice(NodeName),
    /// A holder's public key is none.
    HolderKey,
    /// The copy is another holder's.
    OtherHolder {
        /// Whose copy it is.
        expected: NodeName,
        /// Who tries to open it.
        found: NodeName,
    },
    /// The copy was not sealed so: for another holder, cluster or generation, or changed on its way.
    Sealing,
    /// The key could not be made.
    Key(KeyError),
    /// What was in the copy is no key.
    Content(KeyFileError),
    /// The key in the copy is not the one that the copy is said to have.
    OtherKey,
}

impl fmt::Display for DistributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDistributed { role, origin: Origin::Preset(preset) } => {
                write!(f, "the key of `{role}` is not distributed in `{preset}`: it stays where it was made")
            }
            Self::NotDistributed { role, .. } => write!(f, "the key of `{role}` is not distributed in this hierarchy"),
            Self::NoHolders => f.write_str("a distributed key needs a holder"),
            Self::HolderTwice(holder) => write!(f, "the holder `{holder}` is named twice"),
            Self::HolderKey => write!(f, "a holder's public key has {HOLDER_KEY_LEN} octets"),
            Self::OtherHolder { expected, found } => write!(f, "the copy is for `{expected}`, found `{found}`"),
            Self::Sealing => f.write_str("the copy is not sealed for this holder, cluster and generation"),
            Self::Key(error) => write!(f, "{error}"),
            Self::Content(error) => write!(f, "the copy holds no key: {error}"),
            Self::OtherKey => f.write_str("the copy holds another key than it says"),
        }
    }
}

impl Error for DistributeError {}

/// Whose key it is: bound into every copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName {
    cluster: ClusterId,
    role: AuthorityRole,
    version: CaVersion,
}

impl KeyName {
    /// The name of a key that this hierarchy distributes.
    ///
    /// # Errors
    /// [`DistributeError::NotDistributed`] for every role but the etcd API's in GKE.
    pub fn new(
        hierarchy: &Hierarchy,
        cluster: ClusterId,
        role: AuthorityRole,
        version: CaVersion,
    ) -> Result<Self, DistributeError> {
        match (hierarchy.origin(), role) {
            (Origin::Preset(Preset::Gke(_)), AuthorityRole::EtcdApi) => Ok(Self { cluster, role, version }),
            (origin, role) => Err(DistributeError::NotDistributed { role, origin }),
        }
    }

    fn label(&self) -> KeyLabel {
        KeyLabel::authority(&self.cluster, self.role, self.version)
    }

    fn context(&self, holder: &NodeName, key: &Fingerprint) -> Vec<u8> {
        [self.label().as_str().as_bytes(), b"\n", holder.as_str().as_bytes(), b"\n", key.as_bytes()].concat()
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.label().fmt(f)
    }
}

/// A machine that is to hold a copy: its name, and the public key that copies are sealed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    name: NodeName,
    public_key: Vec<u8>,
}

impl Holder {
    /// A holder. That the key is really this machine's has to be known from elsewhere.
    ///
    /// # Errors
    /// [`DistributeError::HolderKey`] when it has not the length of a key.
    pub fn new(name: NodeName, public_key: &[u8]) -> Result<Self, DistributeError> {
        if public_key.len() != HOLDER_KEY_LEN {
            return Err(DistributeError::HolderKey);
        }
        Ok(Self { name, public_key: public_key.to_vec() })
    }
}

/// What a holder keeps to open copies with.
pub struct HolderKey {
    name: NodeName,
    public_key: Vec<u8>,
    private_key: HpkePrivateKey,
}

impl fmt::Debug for HolderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HolderKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl HolderKey {
    /// A new key of this machine. It is not written anywhere: after a restart copies are sealed anew.
    ///
    /// # Errors
    /// [`DistributeError::HolderKey`] without entropy.
    pub fn generate(name: NodeName) -> Result<Self, DistributeError> {
        let (public_key, private_key) = SUITE.generate_key_pair().map_err(|_| DistributeError::HolderKey)?;
        Ok(Self { name, public_key: public_key.0, private_key })
    }

    /// What the distributor has to know.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder { name: self.name.clone(), public_key: self.public_key.clone() }
    }

    /// Opens a copy.
    ///
    /// # Errors
    /// [`DistributeError`], with nothing of the key in it.
    pub fn open(&self, copy: &SealedCopy) -> Result<HeldKey, DistributeError> {
        if copy.holder != self.name {
            let (expected, found) = (copy.holder.clone(), self.name.clone());
            return Err(DistributeError::OtherHolder { expected, found });
        }
        let secret = EncapsulatedSecret(copy.encapsulated.clone());
        let context = copy.name.context(&copy.holder, &copy.key);
        let opened = SUITE.open(&secret, INFO, &context, &copy.sealed, &self.private_key);
        let pem = Zeroizing::new(opened.map_err(|_| DistributeError::Sealing)?);
        let signer = SoftwareKey::from_pem(&pem).map_err(DistributeError::Content)?;
        if Fingerprint::of(signer.public_key()) != copy.key {
            return Err(DistributeError::OtherKey);
        }
        Ok(HeldKey { name: copy.name.clone(), holder: self.name.clone(), key: copy.key, signer })
    }
}

/// A copy for one holder: of no use to anybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedCopy {
    name: KeyName,
    holder: NodeName,
    key: Fingerprint,
    encapsulated: Vec<u8>,
    sealed: Vec<u8>,
}

impl SealedCopy {
    /// A copy from what travelled.
    #[must_use]
    pub const fn from_parts(
        name: KeyName,
        holder: NodeName,
        key: Fingerprint,
        encapsulated: Vec<u8>,
        sealed: Vec<u8>,
    ) -> Self {
        Self { name, holder, key, encapsulated, sealed }
    }

    /// For whom.
    #[must_use]
    pub const fn holder(&self) -> &NodeName {
        &self.holder
    }

    /// SHA-256 over the public key.
    #[must_use]
    pub const fn key(&self) -> Fingerprint {
        self.key
    }

    /// The encapsulated secret of RFC 9180.
    #[must_use]
    pub fn encapsulated(&self) -> &[u8] {
        &self.encapsulated
    }

    /// The sealed PKCS#8.
    #[must_use]
    pub fn sealed(&self) -> &[u8] {
        &self.sealed
    }
}

/// A key on the machine of a holder.
#[derive(Debug)]
pub struct HeldKey {
    name: KeyName,
    holder: NodeName,
    key: Fingerprint,
    signer: SoftwareKey,
}

impl HeldKey {
    /// The key.
    #[must_use]
    pub const fn signer(&self) -> &SoftwareKey {
        &self.signer
    }

    /// Wipes the key, and says so.
    #[must_use]
    pub fn destroy(self) -> Acknowledgement {
        Acknowledgement { name: self.name, holder: self.holder, key: self.key }
    }
}

/// A holder's word that his copy is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    name: KeyName,
    holder: NodeName,
    key: Fingerprint,
}

impl Acknowledgement {
    /// The word of a holder, received over a way on which it was proven to be his.
    #[must_use]
    pub const fn received(name: KeyName, holder: NodeName, key: Fingerprint) -> Self {
        Self { name, holder, key }
    }
}

/// A key with a sealed copy for each of its holders.
///
/// ```
/// use pki_core::{AuthorityRole, CaVersion, Hierarchy, KeyAlgorithm, Storage};
/// use signer_hsm::distributed::{DistributedKey, HolderKey, KeyName};
///
/// let machine = HolderKey::generate("cp-0".parse()?)?;
/// let gke = Hierarchy::gke(Storage::Etcd);
/// let name = KeyName::new(&gke, "prod-1".parse()?, AuthorityRole::EtcdApi, CaVersion::FIRST)?;
/// let key = DistributedKey::generate(name, KeyAlgorithm::P256, [machine.holder()])?;
/// let held = machine.open(key.copies().next().ok_or("a copy")?)?;
///
/// let mut retirement = key.retire();
/// retirement.acknowledge(&held.destroy())?;
/// retirement.finish()?;
///
/// // The root key of the cluster stays where it was made.
/// assert!(KeyName::new(&gke, "prod-1".parse()?, AuthorityRole::Cluster, CaVersion::FIRST).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DistributedKey {
    name: KeyName,
    key: Fingerprint,
    copies: BTreeMap<NodeName, SealedCopy>,
    signer: SoftwareKey,
}

impl DistributedKey {
    /// A new key, sealed for each holder.
    ///
    /// # Errors
    /// [`DistributeError`], with nothing distributed.
    pub fn generate(
        name: KeyName,
        algorithm: KeyAlgorithm,
        holders: impl IntoIterator<Item = Holder>,
    ) -> Result<Self, DistributeError> {
        let key = ExportableKey::generate(algorithm).map_err(DistributeError::Key)?;
        let fingerprint = Fingerprint::of(key.public_key());
        let mut copies = BTreeMap::new();
        for Holder { name: holder, public_key } in holders {
            let (context, public_key) = (name.context(&holder, &fingerprint), HpkePublicKey(public_key));
            let sealed = SUITE.seal(INFO, &context, key.to_pem().as_bytes(), &public_key);
            let (EncapsulatedSecret(encapsulated), sealed) = sealed.map_err(|_| DistributeError::HolderKey)?;
            let copy = SealedCopy::from_parts(name.clone(), holder.clone(), fingerprint, encapsulated, sealed);
            if copies.insert(holder.clone(), copy).is_some() {
                return Err(DistributeError::HolderTwice(holder));
            }
        }
        if copies.is_empty() {
            return Err(DistributeError::NoHolders);
        }
        Ok(Self { name, key: fingerprint, copies, signer: key.into_signer() })
    }

    /// The copies, by holder.
    pub fn copies(&self) -> impl Iterator<Item = &SealedCopy> {
        self.copies.values()
    }

    /// The key, for the root that is minted with it.
    #[must_use]
    pub const fn signer(&self) -> &SoftwareKey {
        &self.signer
    }

    /// Wipes the key here, and begins to wait for the holders.
    pub fn retire(self) -> Retirement {
        Retirement::new(self.name, self.key, self.copies.into_keys())
    }
}

/// A key that is to be gone, and those who still have it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a key is retired when its holders have said so"]
pub struct Retirement {
    name: KeyName,
    key: Fingerprint,
    waiting: BTreeSet<NodeName>,
}

/// Why a word does not count, or a key is not retired yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetireError {
    /// The word is about another key.
    OtherKey,
    /// The machine holds no copy.
    NoHolder(NodeName),
    /// These have not said that their copies are gone.
    StillHeld(BTreeSet<NodeName>),
}

impl fmt::Display for RetireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKey => f.write_str("the acknowledgement is of another key"),
            Self::NoHolder(holder) => write!(f, "`{holder}` holds no copy"),
            Self::StillHeld(holders) => {
                f.write_str("the key is still held by")?;
                holders.iter().try_for_each(|holder| write!(f, " `{holder}`"))
            }
        }
    }
}

impl Error for RetireError {}

impl Retirement {
    /// Of a key that these still hold: also after a restart of whoever waits.
    pub fn new(name: KeyName, key: Fingerprint, holders: impl IntoIterator<Item = NodeName>) -> Self {
        Self { name, key, waiting: holders.into_iter().collect() }
    }

    /// Who is waited for.
    #[must_use]
    pub const fn waiting(&self) -> &BTreeSet<NodeName> {
        &self.waiting
    }

    /// Takes a holder's word.
    ///
    /// # Errors
    /// [`RetireError::OtherKey`] and [`RetireError::NoHolder`]; a holder who says it twice is none any more.
    pub fn acknowledge(&mut self, word: &Acknowledgement) -> Result<(), RetireError> {
        if word.name != self.name || word.key != self.key {
            return Err(RetireError::OtherKey);
        }
        if self.waiting.remove(&word.holder) { Ok(()) } else { Err(RetireError::NoHolder(word.holder.clone())) }
    }

    /// Ends it: the key is nowhere any more, as far as its holders say.
    ///
    /// # Errors
    /// [`RetireError::StillHeld`].
    pub fn finish(&self) -> Result<Retired, RetireError> {
        if self.waiting.is_empty() {
            return Ok(Retired { name: self.name.clone(), key: self.key });
        }
        Err(RetireError::StillHeld(self.waiting.clone()))
    }
}

/// That a distributed key is gone, by the word of each of its holders. Only [`Retirement::finish`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    name: KeyName,
    key: Fingerprint,
}

impl Retired {
    /// Which key it was.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// SHA-256 over its public key.
    #[must_use]
    pub const fn key(&self) -> Fingerprint {
        self.key
    }
}

#[cfg(test)]
mod tests {
    use pki_core::{Storage, sign_to_vec};

    use super::*;

    fn name(cluster: &str, version: u32) -> KeyName {
        let gke = Hierarchy::gke(Storage::Etcd);
        let version = CaVersion::new(version).unwrap();
        KeyName::new(&gke, cluster.parse().unwrap(), AuthorityRole::EtcdApi, version).unwrap()
    }

    fn machine(name: &str) -> HolderKey {
        HolderKey::generate(name.parse().unwrap()).unwrap()
    }

    #[test]
    fn only_the_etcd_api_key_of_gke_is_distributed() {
        let presets =
            [Hierarchy::gke(Storage::Etcd), Hierarchy::gke(Storage::Spanner), Hierarchy::gdc(), Hierarchy::kubeadm()];
        for (place, hierarchy) in presets.iter().enumerate() {
            for role in AuthorityRole::ALL {
                let name = KeyName::new(hierarchy, "prod".parse().unwrap(), role, CaVersion::FIRST);
                assert_eq!(name.is_ok(), place < 2 && role == AuthorityRole::EtcdApi, "{place} {role}");
            }
        }
    }

    #[test]
    fn each_holder_opens_his_copy_and_no_other() {
        let (one, two) = (machine("cp-0"), machine("cp-1"));
        let key = DistributedKey::generate(name("prod", 1), KeyAlgorithm::P256, [one.holder(), two.holder()]).unwrap();
        let copies: Vec<_> = key.copies().cloned().collect();
        for (machine, copy) in [(&one, &copies[0]), (&two, &copies[1])] {
            let held = machine.open(copy).unwrap();
            assert_eq!(held.signer().public_key(), key.signer().public_key());
            sign_to_vec(held.signer(), b"message").unwrap();
        }
        assert!(matches!(one.open(&copies[1]), Err(DistributeError::OtherHolder { .. })));
        // Under his own name another's copy stays shut, and so does one of another cluster, generation or key.
        let mut renamed = copies[1].clone();
        renamed.holder = "cp-0".parse().unwrap();
        assert!(matches!(one.open(&renamed), Err(DistributeError::Sealing)));
        let changes: [fn(&mut SealedCopy); 7] = [
            |copy| copy.name = name("other", 1),
            |copy| copy.name = name("prod", 2),
            |copy| copy.key = Fingerprint::of(b"another"),
            |copy| copy.sealed[0] ^= 1,
            |copy| copy.encapsulated[0] ^= 1,
            |copy| copy.sealed.clear(),
            |copy| copy.encapsulated.clear(),
        ];
        for change in changes {
            let mut changed = copies[0].clone();
            change(&mut changed);
            assert!(matches!(one.open(&changed), Err(DistributeError::Sealing)));
        }
    }

    #[test]
    fn holders_are_named_once_and_have_keys() {
        let one = machine("cp-0");
        let nobody = DistributedKey::generate(name("prod", 1), KeyAlgorithm::P256, []);
        assert!(matches!(nobody, Err(DistributeError::NoHolders)));
        let twice = DistributedKey::generate(name("prod", 1), KeyAlgorithm::P256, [one.holder(), one.holder()]);
        assert!(matches!(twice, Err(DistributeError::HolderTwice(_))));
        assert!(matches!(Holder::new("cp-0".parse().unwrap(), &[0; 31]), Err(DistributeError::HolderKey)));
    }

    #[test]
    fn a_key_is_retired_when_every_holder_has_said_so() {
        let (one, two) = (machine("cp-0"), machine("cp-1"));
        let key = DistributedKey::generate(name("prod", 1), KeyAlgorithm::P256, [one.holder(), two.holder()]).unwrap();
        let held: Vec<_> = key.copies().zip([&one, &two]).map(|(copy, machine)| machine.open(copy).unwrap()).collect();
        let (fingerprint, mut retirement) = (key.key, key.retire());
        let mut words: Vec<_> = held.into_iter().map(HeldKey::destroy).collect();
        retirement.acknowledge(&words[0]).unwrap();
        let waiting = BTreeSet::from(["cp-1".parse().unwrap()]);
        assert_eq!(retirement.finish(), Err(RetireError::StillHeld(waiting)));
        // The same word twice, of a stranger, and of another key do not count.
        assert!(matches!(retirement.acknowledge(&words[0]), Err(RetireError::NoHolder(_))));
        words[0].holder = "cp-9".parse().unwrap();
        assert!(matches!(retirement.acknowledge(&words[0]), Err(RetireError::NoHolder(_))));
        for stray in [
            Acknowledgement::received(name("prod", 2), "cp-1".parse().unwrap(), fingerprint),
            Acknowledgement::received(name("prod", 1), "cp-1".parse().unwrap(), Fingerprint::of(b"another")),
        ] {
            assert_eq!(retirement.acknowledge(&stray), Err(RetireError::OtherKey));
        }
        retirement.acknowledge(&words[1]).unwrap();
        assert_eq!(retirement.finish().unwrap().key(), fingerprint);
    }
}
