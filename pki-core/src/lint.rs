//! RFC 5280 structure of what is about to be signed, read back from the finished octets.
//!
//! The linter shares no code path with the writer, so a slip in one is seen by the other. It
//! judges what this crate signs; what is deployed elsewhere is `trust-model`'s to judge.

use core::fmt;

use crate::certificate::{TbsView, oids, parse_basic_constraints, parse_extended_key_usage, parse_subject_alt_names};
use crate::decode::Elements;
use crate::encode::tag;
use crate::{AuthorityId, CaCertificate, Limits, Validity};

/// One structural fault in a `TBSCertificate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Lint {
    /// Not a DER v3 TBSCertificate.
    Malformed,
    /// The serial is not positive, has a superfluous octet, or is longer than 20 octets (4.1.2.2).
    Serial,
    /// The signature algorithm is not the one with which the issuer signs (4.1.2.3).
    SignatureAlgorithm,
    /// The issuer name is not the issuer's subject (4.1.2.4).
    Issuer,
    /// The validity reaches beyond the issuer's.
    Validity,
    /// The subject is empty (4.1.2.6).
    Subject,
    /// basicConstraints is missing, not critical, or says the wrong thing (4.2.1.9).
    BasicConstraints,
    /// keyUsage is missing, not critical, or holds what its owner must not do (4.2.1.3).
    KeyUsage,
    /// extKeyUsage is missing from a leaf, or holds an unknown purpose (4.2.1.12).
    ExtendedKeyUsage,
    /// subjectAltName is not what the profile says (4.2.1.6).
    SubjectAltName,
    /// The subject key identifier is missing or not the key's (4.2.1.2).
    SubjectKeyIdentifier,
    /// The authority key identifier is missing or not the issuer's (4.2.1.1).
    AuthorityKeyIdentifier,
}

impl Lint {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "lint.malformed",
            Self::Serial => "lint.serial",
            Self::SignatureAlgorithm => "lint.signature_algorithm",
            Self::Issuer => "lint.issuer",
            Self::Validity => "lint.validity",
            Self::Subject => "lint.subject",
            Self::BasicConstraints => "lint.basic_constraints",
            Self::KeyUsage => "lint.key_usage",
            Self::ExtendedKeyUsage => "lint.extended_key_usage",
            Self::SubjectAltName => "lint.subject_alt_name",
            Self::SubjectKeyIdentifier => "lint.subject_key_identifier",
            Self::AuthorityKeyIdentifier => "lint.authority_key_identifier",
        }
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What the certificate is to be, against which its octets are read.
pub(crate) struct Expected<'a> {
    pub(crate) issuer_name: &'a [u8],
    pub(crate) issuer_key_id: &'a [u8],
    pub(crate) signature_algorithm: &'a [u8],
    pub(crate) validity: Validity,
    pub(crate) ca: bool,
    pub(crate) subject_alt_names: bool,
}

impl<'a> Expected<'a> {
    pub(crate) fn leaf(issuer: &'a CaCertificate, signature_algorithm: &'a [u8], subject_alt_names: bool) -> Self {
        Self {
            issuer_name: issuer.subject_der(),
            issuer_key_id: issuer.subject_key_id(),
            signature_algorithm,
            validity: issuer.validity(),
            ca: false,
            subject_alt_names,
        }
    }
}

/// Every fault of `tbs_der`, in the order of its fields; empty when there is none.
pub(crate) fn lint(tbs_der: &[u8], expected: &Expected<'_>) -> Vec<Lint> {
    let Ok(tbs) = TbsView::parse(tbs_der) else {
        return vec![Lint::Malformed];
    };
    let within = |inner: Validity, outer: Validity| {
        inner.not_before() >= outer.not_before() && inner.not_after() <= outer.not_after()
    };
    let checks = [
        (serial_is_sound(tbs.serial), Lint::Serial),
        (tbs.signature == expected.signature_algorithm, Lint::SignatureAlgorithm),
        (tbs.issuer == expected.issuer_name, Lint::Issuer),
        (within(tbs.validity, expected.validity), Lint::Validity),
        (tbs.subject != [tag::SEQUENCE, 0], Lint::Subject),
        (basic_constraints_are_sound(&tbs, expected.ca), Lint::BasicConstraints),
        (key_usage_is_sound(&tbs, expected.ca), Lint::KeyUsage),
        (extended_key_usage_is_sound(&tbs, expected.ca), Lint::ExtendedKeyUsage),
        (subject_alt_names_are_sound(&tbs, expected.subject_alt_names), Lint::SubjectAltName),
        (subject_key_id_is_the_keys(&tbs), Lint::SubjectKeyIdentifier),
        (authority_key_id_is(&tbs, expected.issuer_key_id), Lint::AuthorityKeyIdentifier),
    ];
    checks.into_iter().filter(|(sound, _)| !sound).map(|(_, lint)| lint).collect()
}

fn serial_is_sound(serial: &[u8]) -> bool {
    match serial {
        [] | [0] => false,
        [0, second, ..] if second & 0x80 == 0 => false,
        [first, ..] => first & 0x80 == 0 && serial.len() <= 20,
    }
}

fn basic_constraints_are_sound(tbs: &TbsView<'_>, ca: bool) -> bool {
    tbs.extension(oids::BASIC_CONSTRAINTS).is_some_and(|extension| {
        extension.critical && parse_basic_constraints(extension.value).is_ok_and(|(found, _)| found == ca)
    })
}

fn key_usage_is_sound(tbs: &TbsView<'_>, ca: bool) -> bool {
    let Some(extension) = tbs.extension(oids::KEY_USAGE).filter(|extension| extension.critical) else {
        return false;
    };
    let Ok(Ok(bits)) =
        Elements::new("keyUsage", extension.value).map(|mut usage| usage.decode::<der::asn1::BitStringRef<'_>>())
    else {
        return false;
    };
    let is_set = |position| bits.get(position) == Some(true);
    // digitalSignature 0, keyCertSign 5, cRLSign 6.
    if ca { is_set(5) } else { is_set(0) && !is_set(5) && !is_set(6) }
}

fn extended_key_usage_is_sound(tbs: &TbsView<'_>, ca: bool) -> bool {
    match tbs.extension(oids::EXT_KEY_USAGE) {
        None => ca,
        Some(extension) => parse_extended_key_usage(extension.value)
            .is_ok_and(|usages| !ca && !usages.is_empty() && usages.iter().all(Option::is_some)),
    }
}

fn subject_alt_names_are_sound(tbs: &TbsView<'_>, wanted: bool) -> bool {
    match tbs.extension(oids::SUBJECT_ALT_NAME) {
        None => !wanted,
        Some(extension) => {
            wanted && parse_subject_alt_names(extension.value, Limits::DEFAULT.subject_alt_names_max).is_ok()
        }
    }
}

fn subject_key_id_is_the_keys(tbs: &TbsView<'_>) -> bool {
    let expected = AuthorityId::of(&tbs.public_key);
    let content = tbs.extension(oids::SUBJECT_KEY_IDENTIFIER).and_then(|extension| {
        Elements::new("subjectKeyIdentifier", extension.value).and_then(|mut id| id.content(tag::OCTET_STRING)).ok()
    });
    content == Some(expected.as_bytes().as_slice())
}

fn authority_key_id_is(tbs: &TbsView<'_>, expected: &[u8]) -> bool {
    let content = tbs.extension(oids::AUTHORITY_KEY_IDENTIFIER).and_then(|extension| {
        // By key identifier only: naming issuer and serial would break a cross-signed issuer.
        let mut id = Elements::of("authorityKeyIdentifier", tag::SEQUENCE, extension.value).ok()?;
        let key_id = id.content(tag::KEY_IDENTIFIER).ok()?;
        id.finish().ok()?;
        Some(key_id)
    });
    content == Some(expected)
}
