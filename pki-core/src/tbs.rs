//! Writing what is signed: the `TBSCertificate` and its extensions, and the certificate around it.

use std::net::IpAddr;

use der::asn1::ObjectIdentifier;
use rustls_pki_types::CertificateDer;

use crate::certificate::oids;
use crate::encode::{self, tag};
use crate::name::{Subject, SubjectAltName, SubjectParts};
use crate::time::Validity;
use crate::{Serial, SignatureAlgorithm};

/// The fields of a `TBSCertificate` (RFC 5280 4.1.2), each already encoded, fixed in size or written in its place.
pub(crate) struct Tbs<'a> {
    pub(crate) serial: Serial,
    pub(crate) signature_algorithm: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: Validity,
    pub(crate) subject: Part<'a>,
    pub(crate) public_key: &'a [u8],
    pub(crate) extensions: &'a [Part<'a>],
}

/// What is there already, or is written where it stands.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    /// Elements in a row, or nothing.
    Encoded(&'a [u8]),
    /// A `Name`.
    Subject(SubjectParts<'a>),
    /// A whole `subjectKeyIdentifier` extension.
    SubjectKeyId(&'a [u8]),
    /// A whole `subjectAltName` extension; nothing for no names.
    SubjectAltNames(&'a [SubjectAltName]),
}

impl Part<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.len(),
            Self::Subject(subject) => subject.encoded_len(),
            Self::SubjectKeyId(id) => {
                extension_len(oids::SUBJECT_KEY_IDENTIFIER.as_bytes(), encode::element_len(id.len()))
            }
            Self::SubjectAltNames([]) => 0,
            Self::SubjectAltNames(names) => {
                extension_len(oids::SUBJECT_ALT_NAME.as_bytes(), encode::element_len(general_names_len(names)))
            }
        }
    }

    fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Encoded(encoded) => out.extend_from_slice(encoded),
            Self::Subject(subject) => subject.push(out),
            Self::SubjectKeyId(id) => {
                push_extension(out, oids::SUBJECT_KEY_IDENTIFIER.as_bytes(), encode::element_len(id.len()));
                encode::push_element(out, tag::OCTET_STRING, id);
            }
            Self::SubjectAltNames([]) => {}
            // Not critical: every subject here is non-empty (RFC 5280 4.2.1.6).
            Self::SubjectAltNames(names) => {
                let content = general_names_len(names);
                push_extension(out, oids::SUBJECT_ALT_NAME.as_bytes(), encode::element_len(content));
                encode::push_header(out, tag::SEQUENCE, content);
                names.iter().for_each(|name| push_general_name(out, name));
            }
        }
    }

    fn to_vec(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.push(&mut out);
        out
    }
}

impl Tbs<'_> {
    /// `[0] { INTEGER 2 }`: v3.
    const VERSION: [u8; 5] = [tag::CONTEXT_0, 3, tag::INTEGER, 1, 2];

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(encode::element_len(self.content_len()));
        self.push(&mut out);
        out
    }

    fn extensions_len(&self) -> usize {
        self.extensions.iter().map(Part::len).sum()
    }

    fn content_len(&self) -> usize {
        Self::VERSION.len()
            + encode::element_len(Serial::LEN)
            + encode::element_len(self.signature_algorithm.len())
            + self.issuer.len()
            + self.validity.encoded_len()
            + self.subject.len()
            + self.public_key.len()
            + encode::element_len(encode::element_len(self.extensions_len()))
    }

    fn push(&self, out: &mut Vec<u8>) {
        encode::push_header(out, tag::SEQUENCE, self.content_len());
        out.extend_from_slice(&Self::VERSION);
        encode::push_element(out, tag::INTEGER, self.serial.as_bytes());
        encode::push_element(out, tag::SEQUENCE, self.signature_algorithm);
        out.extend_from_slice(self.issuer);
        self.validity.encode(out);
        self.subject.push(out);
        out.extend_from_slice(self.public_key);
        let extensions = self.extensions_len();
        encode::push_header(out, tag::CONTEXT_3, encode::element_len(extensions));
        encode::push_header(out, tag::SEQUENCE, extensions);
        self.extensions.iter().for_each(|extension| extension.push(out));
    }
}

/// A `TBSCertificate` with room around it, so that it becomes a certificate where it stands.
#[derive(Debug)]
pub(crate) struct Unsigned {
    octets: Vec<u8>,
    /// How many octets stand before it.
    room: usize,
}

impl Unsigned {
    pub(crate) fn write(tbs: &Tbs<'_>, algorithm: SignatureAlgorithm) -> Self {
        let signature = encode::element_len(algorithm.signature_len_max() + 1);
        let content = encode::element_len(tbs.content_len()) + encode::element_len(tbs.signature_algorithm.len());
        let room = encode::header_len(content + signature);
        let mut octets = Vec::with_capacity(room + content + signature);
        octets.resize(room, 0);
        tbs.push(&mut octets);
        Self { octets, room }
    }

    pub(crate) fn as_der(&self) -> &[u8] {
        self.octets.get(self.room..).unwrap_or_default()
    }

    pub(crate) fn sign(self, algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
        let Self { mut octets, room } = self;
        encode::push_element(&mut octets, tag::SEQUENCE, &algorithm.identifier());
        encode::push_bit_string(&mut octets, signature);
        let content = octets.len().saturating_sub(room);
        encode::with_header(tag::SEQUENCE, content, |header| drop(octets.splice(..room, header.iter().copied())));
        octets
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

/// What an extension that is not critical has in all, around a value of so many octets.
const fn extension_len(oid: &[u8], value: usize) -> usize {
    encode::element_len(encode::element_len(oid.len()) + encode::element_len(value))
}

/// Writes everything of an extension that is not critical but the value, which has so many octets.
fn push_extension(out: &mut Vec<u8>, oid: &[u8], value: usize) {
    encode::push_header(out, tag::SEQUENCE, encode::element_len(oid.len()) + encode::element_len(value));
    encode::push_element(out, tag::OBJECT_IDENTIFIER, oid);
    encode::push_header(out, tag::OCTET_STRING, value);
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

pub(crate) fn authority_key_identifier(key_id: &[u8]) -> Vec<u8> {
    let value = encode::element(tag::SEQUENCE, &encode::element(tag::KEY_IDENTIFIER, key_id));
    extension(oids::AUTHORITY_KEY_IDENTIFIER, &[], &value)
}

pub(crate) fn encode_oid(oid: ObjectIdentifier) -> Vec<u8> {
    encode::element(tag::OBJECT_IDENTIFIER, oid.as_bytes())
}

/// A `Name` of one UTF8String per relative distinguished name: each O, then the CN.
pub(crate) fn encode_subject(subject: &Subject) -> Vec<u8> {
    Part::Subject(subject.into()).to_vec()
}

/// A whole `subjectAltName` extension.
pub(crate) fn encode_subject_alt_names(names: &[SubjectAltName]) -> Vec<u8> {
    Part::SubjectAltNames(names).to_vec()
}

fn general_names_len(names: &[SubjectAltName]) -> usize {
    let len = |name: &SubjectAltName| match name {
        SubjectAltName::Dns(name) => encode::element_len(name.as_str().len()),
        SubjectAltName::Ip(IpAddr::V4(_)) => encode::element_len(4),
        SubjectAltName::Ip(IpAddr::V6(_)) => encode::element_len(16),
    };
    names.iter().map(len).sum()
}

fn push_general_name(out: &mut Vec<u8>, name: &SubjectAltName) {
    match name {
        SubjectAltName::Dns(name) => encode::push_element(out, tag::DNS_NAME, name.as_str().as_bytes()),
        SubjectAltName::Ip(IpAddr::V4(address)) => encode::push_element(out, tag::IP_ADDRESS, &address.octets()),
        SubjectAltName::Ip(IpAddr::V6(address)) => encode::push_element(out, tag::IP_ADDRESS, &address.octets()),
    }
}
