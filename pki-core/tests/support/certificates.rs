//! Certificates that no authority of this crate would sign, built octet by octet. Their signatures are noise: a view
//! checks none. Nothing in them is random, so that what is shown of them can be compared with a file.

use crate::der::{BIT_STRING, CONTEXT_0, INTEGER, NULL, OCTET_STRING, SEQUENCE, SET, UTF8, bits, oid, seq, tlv};

pub(crate) const CONTEXT_3: u8 = 0xa3;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const BMP: u8 = 0x1e;
pub(crate) const IA5: u8 = 0x16;

// Object identifiers by their content.
pub(crate) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
pub(crate) const ORGANIZATION: &[u8] = &[0x55, 4, 10];
pub(crate) const TITLE: &[u8] = &[0x55, 4, 12];
pub(crate) const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
pub(crate) const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
/// The arc reserved for documentation: 1.3.6.1.4.1.32473.1.
pub(crate) const UNKNOWN: &[u8] = &[0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 1];
pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const SHA1_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];

/// A certificate in its parts.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) version: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) inner_algorithm: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) validity: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
    pub(crate) algorithm: Vec<u8>,
}

impl Draft {
    /// A sound leaf of 2024 for `subject`, of an RSA key of 2048 bits, with no extension.
    pub(crate) fn new(subject: &[Vec<u8>]) -> Self {
        let algorithm = sha256_with_rsa();
        Self {
            version: tlv(CONTEXT_0, &[INTEGER, 1, 2]),
            serial: vec![INTEGER, 2, 0x0a, 0x0b],
            inner_algorithm: algorithm.clone(),
            issuer: name(&[rdn(COMMON_NAME, UTF8, b"kubernetes")]),
            validity: validity(b"240101000000Z", b"250101000000Z"),
            subject: name(subject),
            key: rsa_key(256, &[1, 0, 1]),
            extensions: Vec::new(),
            algorithm,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let extensions = match self.extensions.as_slice() {
            [] => Vec::new(),
            some => tlv(CONTEXT_3, &tlv(SEQUENCE, &some.concat())),
        };
        let parts: [&[u8]; 8] = [
            &self.version,
            &self.serial,
            &self.inner_algorithm,
            &self.issuer,
            &self.validity,
            &self.subject,
            &self.key,
            &extensions,
        ];
        seq(&[&seq(&parts), &self.algorithm, &bits(&[0x5a; 16])])
    }
}

pub(crate) fn sha1_with_rsa() -> Vec<u8> {
    seq(&[&oid(SHA1_WITH_RSA), &NULL])
}

pub(crate) fn sha256_with_rsa() -> Vec<u8> {
    seq(&[&oid(SHA256_WITH_RSA), &NULL])
}

pub(crate) fn validity(not_before: &[u8], not_after: &[u8]) -> Vec<u8> {
    seq(&[&tlv(UTC_TIME, not_before), &tlv(UTC_TIME, not_after)])
}

/// An RSA key with an odd modulus of this many octets, the highest bit set.
pub(crate) fn rsa_key(octets: usize, exponent: &[u8]) -> Vec<u8> {
    let modulus = [&[0], vec![0xc5; octets].as_slice()].concat();
    let key = seq(&[&tlv(INTEGER, &modulus), &tlv(INTEGER, exponent)]);
    seq(&[&seq(&[&oid(RSA_ENCRYPTION), &NULL]), &bits(&key)])
}

pub(crate) fn attribute(kind: &[u8], string: u8, value: &[u8]) -> Vec<u8> {
    seq(&[&oid(kind), &tlv(string, value)])
}

pub(crate) fn rdn(kind: &[u8], string: u8, value: &[u8]) -> Vec<u8> {
    tlv(SET, &attribute(kind, string, value))
}

pub(crate) fn name(rdns: &[Vec<u8>]) -> Vec<u8> {
    tlv(SEQUENCE, &rdns.concat())
}

pub(crate) fn extension(kind: &[u8], value: &[u8]) -> Vec<u8> {
    seq(&[&oid(kind), &tlv(OCTET_STRING, value)])
}

/// The named bits of a key usage: the octet, and how many of its last bits are unused.
pub(crate) fn key_usage(unused: u8, octet: u8) -> Vec<u8> {
    extension(KEY_USAGE, &tlv(BIT_STRING, &[unused, octet]))
}

pub(crate) fn certificate_authority() -> Vec<u8> {
    extension(BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0xff]]))
}

pub(crate) fn alt_names(names: &[Vec<u8>]) -> Vec<u8> {
    extension(SUBJECT_ALT_NAME, &tlv(SEQUENCE, &names.concat()))
}

pub(crate) fn server_auth() -> Vec<u8> {
    extension(EXT_KEY_USAGE, &seq(&[&oid(SERVER_AUTH)]))
}

/// A sound leaf without any extension.
pub(crate) fn leaf() -> Draft {
    Draft::new(&[rdn(COMMON_NAME, UTF8, b"kube-apiserver")])
}

/// The root that [`server`] names as its issuer's.
pub(crate) fn anchor() -> Draft {
    leaf().with(|draft| {
        draft.subject = draft.issuer.clone();
        draft.extensions =
            vec![key_usage(2, 0xa4), certificate_authority(), extension(SUBJECT_KEY_ID, &tlv(OCTET_STRING, &[7; 20]))];
    })
}

/// The serving certificate of an API server, valid until 2026 and so for longer than its [`anchor`].
pub(crate) fn server() -> Draft {
    leaf().with(|draft| {
        draft.extensions = vec![
            key_usage(5, 0xa0),
            server_auth(),
            alt_names(&[tlv(0x82, b"kubernetes"), tlv(0x82, b"kubernetes.default"), tlv(0x87, &[10, 96, 0, 1])]),
            extension(BASIC_CONSTRAINTS, &seq(&[])),
            extension(AUTHORITY_KEY_ID, &seq(&[&tlv(0x80, &[7; 20])])),
        ];
        draft.validity = validity(b"240101000000Z", b"260101000000Z");
    })
}
