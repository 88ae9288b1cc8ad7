//! A sound request in its parts, of which a case changes one.

use std::sync::LazyLock;

use pki_core::{KeyAlgorithm, Signer, sign_to_vec};
use signer_hsm::SoftwareKey;

use crate::der::{CONTEXT_0, CRITICAL, INTEGER, NULL, OCTET_STRING, SEQUENCE, SET, UTF8, bits, oid, seq, tlv};
use crate::keys::key;

/// The key of every requester here, unless a case says otherwise.
pub(crate) static KEY: LazyLock<SoftwareKey> = LazyLock::new(|| key(KeyAlgorithm::P256));

// Object identifiers by their content.
pub(crate) const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
pub(crate) const MICROSOFT_EXTENSIONS: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 1, 14];
pub(crate) const CHALLENGE_PASSWORD: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7];
pub(crate) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
pub(crate) const ORGANIZATION: &[u8] = &[0x55, 4, 10];
pub(crate) const ORGANIZATIONAL_UNIT: &[u8] = &[0x55, 4, 11];
pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
pub(crate) const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
pub(crate) const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
pub(crate) const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 37, 0];
pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
pub(crate) const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
pub(crate) const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
pub(crate) const SHA1_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
pub(crate) const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
pub(crate) const PRIME_FIELD: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 1, 1];
pub(crate) const ECDSA_WITH_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
pub(crate) const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
pub(crate) const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
pub(crate) const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
pub(crate) const SECP224R1: &[u8] = &[0x2b, 0x81, 4, 0, 33];
pub(crate) const SECP521R1: &[u8] = &[0x2b, 0x81, 4, 0, 35];
pub(crate) const SECP256K1: &[u8] = &[0x2b, 0x81, 4, 0, 10];

/// A request in its parts, sound until a case changes one.
pub(crate) struct Draft {
    pub(crate) version: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) attributes: Vec<u8>,
    pub(crate) algorithm: Vec<u8>,
}

impl Draft {
    pub(crate) fn new(key: &SoftwareKey) -> Self {
        Self {
            version: vec![INTEGER, 1, 0],
            subject: name(&[rdn(ORGANIZATION, UTF8, b"system:nodes"), rdn(COMMON_NAME, UTF8, b"system:node:node-1")]),
            key: key.public_key().to_vec(),
            attributes: tlv(CONTEXT_0, &[]),
            algorithm: seq(&[&key.algorithm().identifier()]),
        }
    }

    pub(crate) fn info(&self) -> Vec<u8> {
        seq(&[&self.version, &self.subject, &self.key, &self.attributes])
    }

    pub(crate) fn sign(&self) -> Vec<u8> {
        self.sign_with(&*KEY)
    }

    pub(crate) fn sign_with(&self, signer: &dyn Signer) -> Vec<u8> {
        let info = self.info();
        let signature = sign_to_vec(signer, &info).unwrap();
        seq(&[&info, &self.algorithm, &bits(&signature)])
    }

    /// With this whole BIT STRING in the place of the signature.
    pub(crate) fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        seq(&[&self.info(), &self.algorithm, signature])
    }
}

/// A signed request with one part changed.
pub(crate) fn changed(change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = Draft::new(&KEY);
    change(&mut draft);
    draft.sign()
}

pub(crate) fn rdn(attribute: &[u8], string: u8, value: &[u8]) -> Vec<u8> {
    tlv(SET, &seq(&[&oid(attribute), &tlv(string, value)]))
}

pub(crate) fn name(rdns: &[Vec<u8>]) -> Vec<u8> {
    tlv(SEQUENCE, &rdns.concat())
}

/// A request whose subject is this one common name.
pub(crate) fn with_common_name(string: u8, value: &[u8]) -> Vec<u8> {
    changed(|draft| draft.subject = name(&[rdn(COMMON_NAME, string, value)]))
}

pub(crate) fn with_subject(rdns: &[Vec<u8>]) -> Vec<u8> {
    changed(|draft| draft.subject = name(rdns))
}

pub(crate) fn attribute(identifier: &[u8], values: &[&[u8]]) -> Vec<u8> {
    seq(&[&oid(identifier), &tlv(SET, &values.concat())])
}

pub(crate) fn with_attributes(attributes: &[&[u8]]) -> Vec<u8> {
    changed(|draft| draft.attributes = tlv(CONTEXT_0, &attributes.concat()))
}

pub(crate) fn extension(identifier: &[u8], value: &[u8]) -> Vec<u8> {
    seq(&[&oid(identifier), &tlv(OCTET_STRING, value)])
}

pub(crate) fn critical_extension(identifier: &[u8], value: &[u8]) -> Vec<u8> {
    seq(&[&oid(identifier), &CRITICAL, &tlv(OCTET_STRING, value)])
}

pub(crate) fn with_extensions(extensions: &[&[u8]]) -> Vec<u8> {
    with_attributes(&[&attribute(EXTENSION_REQUEST, &[&seq(extensions)])])
}

pub(crate) fn dns(text: &[u8]) -> Vec<u8> {
    tlv(0x82, text)
}

pub(crate) fn ip(octets: &[u8]) -> Vec<u8> {
    tlv(0x87, octets)
}

pub(crate) fn names(general_names: &[Vec<u8>]) -> Vec<u8> {
    extension(SUBJECT_ALT_NAME, &tlv(SEQUENCE, &general_names.concat()))
}

pub(crate) fn with_names(general_names: &[Vec<u8>]) -> Vec<u8> {
    with_extensions(&[&names(general_names)])
}

/// A request with another `SubjectPublicKeyInfo`, which is refused before its signature is looked at.
pub(crate) fn with_key(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
    changed(|draft| draft.key = seq(&[&seq(algorithm), &bits(key)]))
}

pub(crate) fn with_rsa_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = seq(&[&tlv(INTEGER, modulus), &tlv(INTEGER, exponent)]);
    with_key(&[&oid(RSA_ENCRYPTION), &NULL], &key)
}

/// An odd modulus of this many octets, its highest bit set, behind the octet that keeps it positive.
pub(crate) fn modulus(octets: usize) -> Vec<u8> {
    [&[0], vec![0xc5; octets].as_slice()].concat()
}

pub(crate) fn with_point(point: &[u8]) -> Vec<u8> {
    with_key(&[&oid(EC_PUBLIC_KEY), &oid(PRIME256V1)], point)
}

/// The requester's own point, x and y side by side.
pub(crate) fn coordinates() -> Vec<u8> {
    let spki = KEY.public_key();
    spki[spki.len() - 64..].to_vec()
}
