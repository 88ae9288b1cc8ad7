//! Writing what is signed: the `TBSCertificate` and its extensions, and the certificate around it.

use der::asn1::ObjectIdentifier;
use rustls_pki_types::CertificateDer;

use crate::certificate::oids;
use crate::encode::{self, tag};
use crate::name::{Subject, SubjectAltName};
use crate::time::Validity;
use crate::{AuthorityId, Serial};

/// The fields of a `TBSCertificate` (RFC 5280 4.1.2), each already encoded or fixed in size.
pub(crate) struct Tbs<'a> {
    pub(crate) serial: Serial,
    pub(crate) signature_algorithm: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: Validity,
    pub(crate) subject: &'a [u8],
    pub(crate) public_key: &'a [u8],
    /// Each already whole, or several in a row, or nothing.
    pub(crate) extensions: &'a [&'a [u8]],
}

impl Tbs<'_> {
    /// `[0] { INTEGER 2 }`: v3.
    const VERSION: [u8; 5] = [tag::CONTEXT_0, 3, tag::INTEGER, 1, 2];
    /// Two GeneralizedTimes in a SEQUENCE.
    const VALIDITY_LEN_MAX: usize = 36;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut validity = Vec::with_capacity(Self::VALIDITY_LEN_MAX);
        self.validity.encode(&mut validity);
        let extensions: usize = self.extensions.iter().map(|extension| extension.len()).sum();
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

pub(crate) fn extension(oid: ObjectIdentifier, critical: &[u8], value: &[u8]) -> Vec<u8> {
    encode::wrap(tag::SEQUENCE, &[&encode_oid(oid), critical, &encode::element(tag::OCTET_STRING, value)])
}

/// The bits of a CA: digitalSignature, keyCertSign, cRLSign.
pub(crate) const CA_KEY_USAGE: u16 = 1 | 1 << 5 | 1 << 6;

/// A critical keyUsage of these named bits (RFC 5280 4.2.1.3), of which bit i is named bit i; nothing for none.
pub(crate) fn key_usage(bits: u16) -> Vec<u8> {
    if bits == 0 {
        return Vec::new();
    }
    // A named bit list counts from the highest bit of the first octet, and ends with the last bit that is set.
    let [first, second] = bits.reverse_bits().to_be_bytes();
    let octets: &[u8] = if second == 0 { &[first] } else { &[first, second] };
    let unused = octets.last().map_or(0, |last| last.trailing_zeros().to_le_bytes()[0]);
    let value = encode::element(tag::BIT_STRING, &[&[unused], octets].concat());
    extension(oids::KEY_USAGE, CRITICAL, &value)
}

/// An extKeyUsage of these purposes; nothing for none.
pub(crate) fn extended_key_usage(purposes: &[ObjectIdentifier]) -> Vec<u8> {
    if purposes.is_empty() {
        return Vec::new();
    }
    let purposes: Vec<u8> = purposes.iter().flat_map(|purpose| encode_oid(*purpose)).collect();
    extension(oids::EXT_KEY_USAGE, &[], &encode::element(tag::SEQUENCE, &purposes))
}

pub(crate) fn basic_constraints(ca: bool) -> Vec<u8> {
    let value: &[u8] = if ca { &[tag::SEQUENCE, 3, tag::BOOLEAN, 1, 0xff] } else { &[tag::SEQUENCE, 0] };
    extension(oids::BASIC_CONSTRAINTS, CRITICAL, value)
}

pub(crate) fn subject_key_identifier(id: AuthorityId) -> Vec<u8> {
    repeated_subject_key_identifier(id.as_bytes())
}

/// The identifier that another certificate of the same key has.
pub(crate) fn repeated_subject_key_identifier(key_id: &[u8]) -> Vec<u8> {
    extension(oids::SUBJECT_KEY_IDENTIFIER, &[], &encode::element(tag::OCTET_STRING, key_id))
}

pub(crate) fn authority_key_identifier(key_id: &[u8]) -> Vec<u8> {
    let value = encode::element(tag::SEQUENCE, &encode::element(tag::KEY_IDENTIFIER, key_id));
    extension(oids::AUTHORITY_KEY_IDENTIFIER, &[], &value)
}

pub(crate) fn encode_oid(oid: ObjectIdentifier) -> Vec<u8> {
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
