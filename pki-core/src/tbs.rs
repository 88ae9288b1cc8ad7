//! Writing what is signed: the `TBSCertificate` and its extensions, and the certificate around it.

use rustls_pki_types::CertificateDer;

use crate::certificate::oids;
use crate::encode::{self, tag};
use crate::name::{Subject, SubjectAltName};
use crate::time::Validity;
use crate::{AuthorityId, KeyAlgorithm, LeafKind, Serial};

/// The fields of a `TBSCertificate` (RFC 5280 4.1.2), each already encoded or fixed in size.
pub(crate) struct Tbs<'a> {
    pub(crate) serial: Serial,
    pub(crate) signature_algorithm: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: Validity,
    pub(crate) subject: &'a [u8],
    pub(crate) public_key: &'a [u8],
    pub(crate) extensions: &'a [Vec<u8>],
}

impl Tbs<'_> {
    /// `[0] { INTEGER 2 }`: v3.
    const VERSION: [u8; 5] = [tag::CONTEXT_0, 3, tag::INTEGER, 1, 2];
    /// Two GeneralizedTimes in a SEQUENCE.
    const VALIDITY_LEN_MAX: usize = 36;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut validity = Vec::with_capacity(Self::VALIDITY_LEN_MAX);
        self.validity.encode(&mut validity);
        let extensions: usize = self.extensions.iter().map(Vec::len).sum();
        let explicit = encode::element_len(extensions);
        let content = Self::VERSION.len()
            + encode::element_len(Serial::LEN)
            + encode::element_len(self.signature_algorithm.len())
            + self.issuer.len()
            + validity.len()
            + self.subject.len()
            + self.public_key.len()
            + encode::element_len(explicit);
        let mut out = Vec::with_capacity(encode::element_len(content));
        encode::push_header(&mut out, tag::SEQUENCE, content);
        out.extend_from_slice(&Self::VERSION);
        encode::push_element(&mut out, tag::INTEGER, self.serial.as_bytes());
        encode::push_element(&mut out, tag::SEQUENCE, self.signature_algorithm);
        for field in [self.issuer, &validity, self.subject, self.public_key] {
            out.extend_from_slice(field);
        }
        encode::push_header(&mut out, tag::CONTEXT_3, explicit);
        encode::push_header(&mut out, tag::SEQUENCE, extensions);
        self.extensions.iter().for_each(|extension| out.extend_from_slice(extension));
        out
    }
}

pub(crate) fn assemble(tbs: &[u8], signature_algorithm: &[u8], signature: &[u8]) -> CertificateDer<'static> {
    let content = tbs.len() + encode::element_len(signature_algorithm.len()) + encode::element_len(signature.len() + 1);
    let mut out = Vec::with_capacity(encode::element_len(content));
    encode::push_header(&mut out, tag::SEQUENCE, content);
    out.extend_from_slice(tbs);
    encode::push_element(&mut out, tag::SEQUENCE, signature_algorithm);
    encode::push_bit_string(&mut out, signature);
    out.into()
}

const CRITICAL: &[u8] = &[tag::BOOLEAN, 1, 0xff];

pub(crate) fn extension(oid: der::asn1::ObjectIdentifier, critical: &[u8], value: &[u8]) -> Vec<u8> {
    encode::wrap(tag::SEQUENCE, &[&encode_oid(oid), critical, &encode::element(tag::OCTET_STRING, value)])
}

/// digitalSignature; keyEncipherment as well where the key can encipher, which is RSA only (RFC 8813 3).
pub(crate) fn key_usage(key: KeyAlgorithm) -> Vec<u8> {
    let bits: &[u8] = match key {
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => &[tag::BIT_STRING, 2, 5, 0xa0],
        KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Ed25519 => &[tag::BIT_STRING, 2, 7, 0x80],
    };
    extension(oids::KEY_USAGE, CRITICAL, bits)
}

/// digitalSignature, keyCertSign, cRLSign.
pub(crate) fn ca_key_usage() -> Vec<u8> {
    extension(oids::KEY_USAGE, CRITICAL, &[tag::BIT_STRING, 2, 1, 0x86])
}

pub(crate) fn extended_key_usage(leaf: LeafKind) -> Vec<u8> {
    let purposes: Vec<u8> = leaf.extended_key_usage().iter().flat_map(|usage| encode_oid(usage.oid())).collect();
    extension(oids::EXT_KEY_USAGE, &[], &encode::element(tag::SEQUENCE, &purposes))
}

pub(crate) fn basic_constraints(ca: bool) -> Vec<u8> {
    let value: &[u8] = if ca { &[tag::SEQUENCE, 3, tag::BOOLEAN, 1, 0xff] } else { &[tag::SEQUENCE, 0] };
    extension(oids::BASIC_CONSTRAINTS, CRITICAL, value)
}

pub(crate) fn subject_key_identifier(id: AuthorityId) -> Vec<u8> {
    extension(oids::SUBJECT_KEY_IDENTIFIER, &[], &encode::element(tag::OCTET_STRING, id.as_bytes()))
}

pub(crate) fn authority_key_identifier(key_id: &[u8]) -> Vec<u8> {
    let value = encode::element(tag::SEQUENCE, &encode::element(tag::KEY_IDENTIFIER, key_id));
    extension(oids::AUTHORITY_KEY_IDENTIFIER, &[], &value)
}

pub(crate) fn encode_oid(oid: der::asn1::ObjectIdentifier) -> Vec<u8> {
    encode::element(tag::OBJECT_IDENTIFIER, oid.as_bytes())
}

/// A `Name` of one UTF8String per relative distinguished name: each O, then the CN.
pub(crate) fn encode_subject(subject: &Subject) -> Vec<u8> {
    let organizations = subject.organizations().iter().map(|value| (oids::ORGANIZATION_NAME, value.as_str()));
    let mut rdns = Vec::new();
    for (oid, value) in organizations.chain([(oids::COMMON_NAME, subject.common_name())]) {
        let value = encode::element(tag::UTF8_STRING, value.as_bytes());
        let attribute = encode::wrap(tag::SEQUENCE, &[&encode_oid(oid), &value]);
        encode::push_element(&mut rdns, tag::SET, &attribute);
    }
    encode::element(tag::SEQUENCE, &rdns)
}

/// A whole `subjectAltName` extension, not critical: every subject here is non-empty (RFC 5280 4.2.1.6).
pub(crate) fn encode_subject_alt_names(names: &[SubjectAltName]) -> Vec<u8> {
    let mut general_names = Vec::new();
    for name in names {
        match name {
            SubjectAltName::Dns(name) => {
                encode::push_element(&mut general_names, tag::DNS_NAME, name.as_str().as_bytes());
            }
            SubjectAltName::Ip(std::net::IpAddr::V4(address)) => {
                encode::push_element(&mut general_names, tag::IP_ADDRESS, &address.octets());
            }
            SubjectAltName::Ip(std::net::IpAddr::V6(address)) => {
                encode::push_element(&mut general_names, tag::IP_ADDRESS, &address.octets());
            }
        }
    }
    let value = encode::element(tag::SEQUENCE, &general_names);
    let value = encode::element(tag::OCTET_STRING, &value);
    encode::wrap(tag::SEQUENCE, &[&encode_oid(oids::SUBJECT_ALT_NAME), &value])
}
