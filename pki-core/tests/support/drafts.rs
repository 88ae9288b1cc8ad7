//! Certificates as somebody else's CA writes them, sound until a test changes a part.

use pki_core::{Signer, sign_to_vec};
use rustls_pki_types::CertificateDer;
use signer_hsm::SoftwareKey;

use crate::der::{BIT_STRING, CONTEXT_0, CRITICAL, INTEGER, OCTET_STRING, SET, UTF8, bits, oid, seq, tlv};

pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
pub(crate) const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
pub(crate) const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const CONTEXT_3: u8 = 0xa3;
const UTC_TIME: u8 = 0x17;

/// A certificate in its parts.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    /// First and last second, as UTCTime.
    pub(crate) validity: [&'static str; 2],
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Draft {
    /// A CA with keyCertSign, cRLSign and no extended key usage.
    pub(crate) fn authority(issuer: &str, subject: &str) -> Self {
        Self::new(issuer, subject, vec![ca(), key_usage(1, 0x06)])
    }

    /// A leaf for clients, valid from 2020 to 2049 as everything here, unless a test says otherwise.
    pub(crate) fn client(issuer: &str, subject: &str) -> Self {
        Self::new(issuer, subject, vec![key_usage(7, 0x80), ext_key_usage(&[CLIENT_AUTH])])
    }

    fn new(issuer: &str, subject: &str, extensions: Vec<Vec<u8>>) -> Self {
        let validity = ["200101000000Z", "491231235959Z"];
        Self { serial: vec![1], issuer: name(issuer), subject: name(subject), validity, extensions }
    }

    pub(crate) fn with(mut self, extensions: &[Vec<u8>]) -> Self {
        self.extensions = extensions.to_vec();
        self
    }

    /// The certificate of `key`, signed by `issuer`.
    pub(crate) fn sign(&self, key: &SoftwareKey, issuer: &SoftwareKey) -> CertificateDer<'static> {
        let algorithm = seq(&[&issuer.algorithm().identifier()]);
        let [not_before, not_after] = self.validity.map(|time| tlv(UTC_TIME, time.as_bytes()));
        let validity = seq(&[&not_before, &not_after]);
        let tbs = seq(&[
            &tlv(CONTEXT_0, &[INTEGER, 1, 2]),
            &tlv(INTEGER, &self.serial),
            &algorithm,
            &self.issuer,
            &validity,
            &self.subject,
            key.public_key(),
            &tlv(CONTEXT_3, &seq(&[&self.extensions.concat()])),
        ]);
        let signature = sign_to_vec(issuer, &tbs).unwrap();
        seq(&[&tbs, &algorithm, &bits(&signature)]).into()
    }
}

/// A name of one common name.
pub(crate) fn name(common_name: &str) -> Vec<u8> {
    seq(&[&tlv(SET, &seq(&[&oid(COMMON_NAME), &tlv(UTF8, common_name.as_bytes())]))])
}

pub(crate) fn extension(identifier: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &CRITICAL } else { &[] };
    seq(&[&oid(identifier), critical, &tlv(OCTET_STRING, value)])
}

pub(crate) fn ca() -> Vec<u8> {
    extension(BASIC_CONSTRAINTS, true, &seq(&[&CRITICAL]))
}

/// With a path length of less than 128.
pub(crate) fn ca_above(path_len: u8) -> Vec<u8> {
    extension(BASIC_CONSTRAINTS, true, &seq(&[&CRITICAL, &tlv(INTEGER, &[path_len])]))
}

/// Named bits in one octet, of which the last ones are unused.
pub(crate) fn key_usage(unused: u8, bits: u8) -> Vec<u8> {
    extension(KEY_USAGE, true, &tlv(BIT_STRING, &[unused, bits]))
}

/// Name constraints with excludedSubtrees of every directoryName, and so of every subject (RFC 5280 4.2.1.10).
pub(crate) fn no_name() -> Vec<u8> {
    const EXCLUDED_SUBTREES: u8 = 0xa1;
    const DIRECTORY_NAME: u8 = 0xa4;
    let subtree = seq(&[&tlv(DIRECTORY_NAME, &seq(&[]))]);
    extension(NAME_CONSTRAINTS, true, &seq(&[&tlv(EXCLUDED_SUBTREES, &subtree)]))
}

pub(crate) fn ext_key_usage(purposes: &[&[u8]]) -> Vec<u8> {
    let purposes: Vec<u8> = purposes.iter().flat_map(|purpose| oid(purpose)).collect();
    extension(EXT_KEY_USAGE, false, &seq(&[&purposes]))
}
