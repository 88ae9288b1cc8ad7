//! Authorities with keys of this process, and what they issue.

use std::borrow::Borrow;

use pki_core::{
    Approval, AuthorityRole, CaVersion, CertificationRequest, IssuedCertificate, Issuer, KeyAlgorithm, KeyLedger,
    LeafKind, Limits, NodeName, Serial, SubjectAltName, Validity, create_request, mint_root,
};
use signer_hsm::SoftwareKey;
use time::{Duration, UtcDateTime};

use crate::keys::{VERIFIERS, key};

/// 2024-01-01T00:00:00Z: when leaves are issued, unless a test says otherwise.
pub(crate) const NOW: i64 = 1_704_067_200;
/// 2020-01-01 to 2060-01-01, so that programs which ask the real clock agree for decades.
pub(crate) const CA_VALIDITY: (i64, i64) = (1_577_836_800, 2_840_140_800);

pub(crate) const DNS_NAME: &str = "node-1.example.com";
pub(crate) const ADDRESS: &str = "10.0.0.1";

pub(crate) fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(seconds).unwrap()
}

pub(crate) fn serial() -> Serial {
    Serial::generate(&mut getrandom::SysRng).unwrap()
}

/// The node of the leaves that need one.
pub(crate) fn node_of(leaf: LeafKind) -> Option<NodeName> {
    let node = "node-1".parse().unwrap();
    leaf.subject(Some(&node)).map(|_| node)
}

/// The alternative names of the leaves that have some.
pub(crate) fn names_of(leaf: LeafKind) -> Vec<SubjectAltName> {
    let names = [SubjectAltName::dns(DNS_NAME).unwrap(), SubjectAltName::ip(ADDRESS.parse().unwrap()).unwrap()];
    names.into_iter().filter(|_| leaf.has_subject_alt_names()).collect()
}

pub(crate) fn approval(leaf: LeafKind, lifetime: Duration) -> Approval {
    let approval = Approval::new(lifetime).with_names(names_of(leaf));
    match node_of(leaf) {
        Some(node) => approval.for_node(node),
        None => approval,
    }
}

/// What the owner of `key` sends for a leaf.
pub(crate) fn request(leaf: LeafKind, key: &SoftwareKey) -> Vec<u8> {
    let subject = leaf.subject(node_of(leaf).as_ref()).unwrap();
    create_request(&subject, &names_of(leaf), key).unwrap()
}

/// A root and its key, owned or lent.
pub(crate) struct Authority<K = SoftwareKey> {
    pub(crate) key: K,
    pub(crate) issuer: Issuer,
}

impl Authority {
    pub(crate) fn mint(role: AuthorityRole, version: CaVersion, algorithm: KeyAlgorithm) -> Self {
        Self::mint_for(role, version, algorithm, CA_VALIDITY)
    }

    pub(crate) fn mint_for(
        role: AuthorityRole,
        version: CaVersion,
        algorithm: KeyAlgorithm,
        validity: (i64, i64),
    ) -> Self {
        Self::mint_with(key(algorithm), role, version, validity)
    }
}

impl<K: Borrow<SoftwareKey>> Authority<K> {
    pub(crate) fn mint_with(key: K, role: AuthorityRole, version: CaVersion, (from, to): (i64, i64)) -> Self {
        let validity = Validity::new(at(from), at(to)).unwrap();
        // A ledger of its own: each authority of a test is alone in its world.
        let mut ledger = KeyLedger::new();
        let admitted = ledger.admit(&"test".parse().unwrap(), role, version, key.borrow()).unwrap();
        let root = mint_root(&admitted, validity, serial(), VERIFIERS).unwrap();
        Self { key, issuer: Issuer::new(root, LeafKind::ALL).unwrap() }
    }

    /// A leaf for a key of its own.
    pub(crate) fn issue(&self, leaf: LeafKind, lifetime: Duration, now: UtcDateTime) -> IssuedCertificate {
        self.approve(leaf, &request(leaf, &key(KeyAlgorithm::P256)), &approval(leaf, lifetime), now)
    }

    /// What a request leads to.
    pub(crate) fn approve(
        &self,
        leaf: LeafKind,
        der: &[u8],
        approval: &Approval,
        now: UtcDateTime,
    ) -> IssuedCertificate {
        let request = CertificationRequest::parse(der, &Limits::DEFAULT).unwrap().verify(VERIFIERS).unwrap();
        let prepared = self.issuer.prepare(leaf, request, approval, serial(), now).unwrap();
        prepared.sign(self.key.borrow(), VERIFIERS).unwrap()
    }
}
