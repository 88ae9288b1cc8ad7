//! RFC 5280 structure of what is about to be signed, read back from the finished octets.
//!
//! The linter reads with the parser and not with the writer's code, so a slip of the writer is seen. It
//! judges what this crate signs; what is deployed elsewhere is `trust-model`'s to judge.

use core::fmt;

use der::asn1::ObjectIdentifier;

use crate::certificate::{Purposes, TbsView, parse_basic_constraints, parse_key_usage};
use crate::decode::Elements;
use crate::encode::tag;
use crate::name::{SubjectParts, are_alt_names};
use crate::verify::IdentifiedKey;
use crate::{AuthorityId, CaCertificate, SubjectAltName, Validity};

/// One structural fault in a `TBSCertificate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Lint {
    /// Not a DER v3 TBSCertificate.
    Malformed,
    /// The serial is not positive, has a superfluous octet, is longer than 20 octets (4.1.2.2), or is not the one that was
    /// given.
    Serial,
    /// The signature algorithm is not the one with which the issuer signs (4.1.2.3).
    SignatureAlgorithm,
    /// The issuer name is not the issuer's subject (4.1.2.4).
    Issuer,
    /// The validity reaches beyond the issuer's, or is not the one that was decided on.
    Validity,
    /// The subject is empty (4.1.2.6), or not that of the root whose key a cross-certificate certifies.
    Subject,
    /// The key of a cross-certificate is not that of its root.
    PublicKey,
    /// basicConstraints is missing, not critical, or says the wrong thing (4.2.1.9).
    BasicConstraints,
    /// keyUsage is not critical, does not hold exactly the bits that were decided on, or holds what its owner must
    /// not do (4.2.1.3).
    KeyUsage,
    /// extKeyUsage does not hold exactly the purposes that were decided on (4.2.1.12).
    ExtendedKeyUsage,
    /// subjectAltName does not hold exactly the approved names (4.2.1.6).
    SubjectAltName,
    /// The subject key identifier is missing or not the key's (4.2.1.2), of a cross-certificate not its root's.
    SubjectKeyIdentifier,
    /// The authority key identifier is missing or not the issuer's (4.2.1.1).
    AuthorityKeyIdentifier,
    /// An extension that nobody decided on.
    Extension,
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
            Self::PublicKey => "lint.public_key",
            Self::BasicConstraints => "lint.basic_constraints",
            Self::KeyUsage => "lint.key_usage",
            Self::ExtendedKeyUsage => "lint.extended_key_usage",
            Self::SubjectAltName => "lint.subject_alt_name",
            Self::SubjectKeyIdentifier => "lint.subject_key_identifier",
            Self::AuthorityKeyIdentifier => "lint.authority_key_identifier",
            Self::Extension => "lint.extension",
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
    /// Named bit i of RFC 5280 4.2.1.3 is bit i; zero where there must be no extension.
    pub(crate) key_usage: u16,
    /// In this order; empty where there must be no extension.
    pub(crate) extended_key_usage: &'a [ObjectIdentifier],
    /// The approved names, sorted; empty where there must be no extension.
    pub(crate) subject_alt_names: &'a [SubjectAltName],
    /// What was decided on word for word; `None` for a certificate that repeats another.
    pub(crate) decided: Option<Decided<'a>>,
}

/// What the octets have to say exactly.
#[derive(Clone, Copy)]
pub(crate) struct Decided<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) validity: Validity,
    pub(crate) subject: SubjectParts<'a>,
    pub(crate) key: &'a IdentifiedKey<'a>,
}

/// Every fault of `tbs_der`, in the order of its fields; empty when there is none.
pub(crate) fn lint(tbs_der: &[u8], expected: &Expected<'_>) -> Vec<Lint> {
    faults(tbs_der, expected, None)
}

/// As [`lint`], of a certificate that must repeat subject, key and key identifier of this root.
pub(crate) fn lint_cross(tbs_der: &[u8], expected: &Expected<'_>, root: &CaCertificate) -> Vec<Lint> {
    faults(tbs_der, expected, Some(root))
}

fn faults(tbs_der: &[u8], expected: &Expected<'_>, repeated: Option<&CaCertificate>) -> Vec<Lint> {
    let Ok(tbs) = TbsView::parse(tbs_der) else {
        return vec![Lint::Malformed];
    };
    let within = |inner: Validity, outer: Validity| {
        inner.not_before() >= outer.not_before() && inner.not_after() <= outer.not_after()
    };
    let decided = |check: &dyn Fn(&Decided<'_>) -> bool| expected.decided.as_ref().is_none_or(check);
    let checks = [
        (serial_is_sound(tbs.serial) && decided(&|decided| tbs.serial == decided.serial), Lint::Serial),
        (tbs.signature == expected.signature_algorithm, Lint::SignatureAlgorithm),
        (tbs.issuer == expected.issuer_name, Lint::Issuer),
        (
            within(tbs.validity, expected.validity) && decided(&|decided| tbs.validity == decided.validity),
            Lint::Validity,
        ),
        (
            tbs.subject != [tag::SEQUENCE, 0]
                && repeated.is_none_or(|root| tbs.subject == root.subject_der())
                && decided(&|decided| decided.subject.are_in(tbs.subject)),
            Lint::Subject,
        ),
        (
            repeated.is_none_or(|root| tbs.public_key.as_der() == &**root.public_key())
                && decided(&|decided| tbs.public_key.as_der() == decided.key.key().as_der()),
            Lint::PublicKey,
        ),
        (basic_constraints_are_sound(&tbs, expected.ca), Lint::BasicConstraints),
        (key_usage_is_sound(&tbs, expected), Lint::KeyUsage),
        (extended_key_usage_is_sound(&tbs, expected), Lint::ExtendedKeyUsage),
        (subject_alt_names_are_sound(&tbs, expected.subject_alt_names), Lint::SubjectAltName),
        (subject_key_id_is_sound(&tbs, repeated, expected.decided.as_ref()), Lint::SubjectKeyIdentifier),
        (authority_key_id_is(&tbs, expected.issuer_key_id), Lint::AuthorityKeyIdentifier),
        (tbs.extensions.others.is_empty() && tbs.extensions.name_constraints.is_none(), Lint::Extension),
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
    tbs.extensions.basic_constraints.is_some_and(|extension| {
        // A path length belongs to a CA only.
        extension.critical
            && parse_basic_constraints(extension.value)
                .is_ok_and(|(found, path_len)| found == ca && (ca || path_len.is_none()))
    })
}

fn key_usage_is_sound(tbs: &TbsView<'_>, expected: &Expected<'_>) -> bool {
    let found = match tbs.extensions.key_usage {
        None => Some(0),
        Some(extension) => parse_key_usage(extension.value).ok().filter(|_| extension.critical),
    };
    // keyCertSign 5, cRLSign 6.
    let signs_certificates = expected.key_usage & (1 << 5) != 0;
    let signs_anything = expected.key_usage & (1 << 5 | 1 << 6) != 0;
    found == Some(expected.key_usage) && if expected.ca { signs_certificates } else { !signs_anything }
}

fn extended_key_usage_is_sound(tbs: &TbsView<'_>, expected: &Expected<'_>) -> bool {
    match tbs.extensions.extended_key_usage {
        None => expected.extended_key_usage.is_empty(),
        Some(extension) => {
            !expected.ca && Purposes::of(extension.value).is_ok_and(|found| found.are(expected.extended_key_usage))
        }
    }
}

fn subject_alt_names_are_sound(tbs: &TbsView<'_>, approved: &[SubjectAltName]) -> bool {
    match tbs.extensions.subject_alt_name {
        None => approved.is_empty(),
        // They are written in their order.
        Some(extension) => are_alt_names(extension.value, approved),
    }
}

fn subject_key_id_is_sound(tbs: &TbsView<'_>, repeated: Option<&CaCertificate>, decided: Option<&Decided<'_>>) -> bool {
    // Whose key is the one that was decided on has its identifier.
    let known =
        decided.filter(|decided| decided.key.key().bits() == tbs.public_key.bits()).map(|decided| decided.key.id());
    let own = known.unwrap_or_else(|| AuthorityId::of(&tbs.public_key));
    // A root that was adopted has the identifier that its maker chose, and its leaves name that one.
    let expected = repeated.map_or(own.as_bytes().as_slice(), CaCertificate::subject_key_id);
    tbs.subject_key_id() == Some(expected)
}

fn authority_key_id_is(tbs: &TbsView<'_>, expected: &[u8]) -> bool {
    let content = tbs.extensions.authority_key_id.and_then(|extension| {
        // By key identifier only: naming issuer and serial would break a cross-signed issuer.
        let mut id = Elements::of("authorityKeyIdentifier", tag::SEQUENCE, extension.value).ok()?;
        let key_id = id.content(tag::KEY_IDENTIFIER).ok()?;
        id.finish().ok()?;
        Some(key_id)
    });
    content == Some(expected)
}

#[cfg(test)]
mod tests {
    use time::UtcDateTime;

    use super::*;
    use crate::certificate::oids;
    use crate::encode;
    use crate::tbs::{CA_KEY_USAGE, assemble, encode_oid};
    use crate::verify::SubjectPublicKey;
    use crate::{SignatureAlgorithm, Subject};

    const CRITICAL: &[u8] = &[tag::BOOLEAN, 1, 0xff];
    const ISSUER_KEY_ID: &[u8] = &[7; 20];

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(seconds).unwrap()
    }

    fn validity(from: i64, to: i64) -> Validity {
        Validity::new(at(from), at(to)).unwrap()
    }

    /// A name of one common name.
    fn name(text: &[u8]) -> Vec<u8> {
        let value = encode::element(tag::UTF8_STRING, text);
        let attribute = encode::wrap(tag::SEQUENCE, &[&encode_oid(oids::COMMON_NAME), &value]);
        encode::element(tag::SEQUENCE, &encode::element(tag::SET, &attribute))
    }

    /// A P-256 key in form; nothing here asks whether its point lies on the curve.
    fn public_key() -> Vec<u8> {
        let algorithm = encode::element(tag::SEQUENCE, &SignatureAlgorithm::EcdsaP256Sha256.public_key_identifier());
        let mut bits = Vec::new();
        encode::push_bit_string(&mut bits, &[4; 65]);
        encode::wrap(tag::SEQUENCE, &[&algorithm, &bits])
    }

    fn extension(oid: ObjectIdentifier, critical: &[u8], value: &[u8]) -> Vec<u8> {
        let value = encode::element(tag::OCTET_STRING, value);
        encode::wrap(tag::SEQUENCE, &[&encode_oid(oid), critical, &value])
    }

    fn basic_constraints(critical: &[u8], content: &[u8]) -> Vec<u8> {
        extension(oids::BASIC_CONSTRAINTS, critical, &encode::element(tag::SEQUENCE, content))
    }

    fn key_usage(critical: &[u8], bit_string: &[u8]) -> Vec<u8> {
        extension(oids::KEY_USAGE, critical, bit_string)
    }

    fn purposes(content: &[u8]) -> Vec<u8> {
        extension(oids::EXT_KEY_USAGE, &[], &encode::element(tag::SEQUENCE, content))
    }

    fn subject_alt_name(general_names: &[u8]) -> Vec<u8> {
        extension(oids::SUBJECT_ALT_NAME, &[], &encode::element(tag::SEQUENCE, general_names))
    }

    fn subject_key_id(octets: &[u8]) -> Vec<u8> {
        extension(oids::SUBJECT_KEY_IDENTIFIER, &[], &encode::element(tag::OCTET_STRING, octets))
    }

    fn authority_key_id(content: &[u8]) -> Vec<u8> {
        extension(oids::AUTHORITY_KEY_IDENTIFIER, &[], &encode::element(tag::SEQUENCE, content))
    }

    /// A certificate in its parts, sound until a test changes one.
    struct Draft {
        version: Vec<u8>,
        serial: Vec<u8>,
        signature: Vec<u8>,
        issuer: Vec<u8>,
        validity: Validity,
        subject: Vec<u8>,
        basic_constraints: Option<Vec<u8>>,
        key_usage: Option<Vec<u8>>,
        purposes: Option<Vec<u8>>,
        subject_alt_name: Option<Vec<u8>>,
        subject_key_id: Option<Vec<u8>>,
        authority_key_id: Option<Vec<u8>>,
        extra: Vec<u8>,
        ca: bool,
        decided: Option<(Vec<u8>, Validity, Subject, Vec<u8>)>,
    }

    impl Draft {
        /// A server's certificate.
        fn leaf() -> Self {
            let key = public_key();
            let id = AuthorityId::of(&SubjectPublicKey::parse(&key).unwrap());
            Self {
                version: vec![tag::CONTEXT_0, 3, tag::INTEGER, 1, 2],
                serial: vec![0x40; 17],
                signature: SignatureAlgorithm::EcdsaP256Sha256.identifier().to_vec(),
                issuer: name(b"kubernetes"),
                validity: validity(1_000, 2_000),
                subject: name(b"kube-apiserver"),
                basic_constraints: Some(basic_constraints(CRITICAL, &[])),
                key_usage: Some(key_usage(CRITICAL, &[tag::BIT_STRING, 2, 7, 0x80])),
                purposes: Some(purposes(&encode_oid(oids::SERVER_AUTH))),
                subject_alt_name: Some(subject_alt_name(&[tag::DNS_NAME, 1, b'a'])),
                subject_key_id: Some(subject_key_id(id.as_bytes())),
                authority_key_id: Some(authority_key_id(&encode::element(tag::KEY_IDENTIFIER, ISSUER_KEY_ID))),
                extra: Vec::new(),
                ca: false,
                decided: None,
            }
        }

        /// A root of the same key.
        fn root() -> Self {
            Self {
                subject: name(b"kubernetes"),
                basic_constraints: Some(basic_constraints(CRITICAL, CRITICAL)),
                key_usage: Some(key_usage(CRITICAL, &[tag::BIT_STRING, 2, 1, 0x86])),
                purposes: None,
                subject_alt_name: None,
                ca: true,
                ..Self::leaf()
            }
        }

        fn encode(&self) -> Vec<u8> {
            let mut validity = Vec::new();
            self.validity.encode(&mut validity);
            let extensions = [
                &self.basic_constraints,
                &self.key_usage,
                &self.purposes,
                &self.subject_alt_name,
                &self.subject_key_id,
                &self.authority_key_id,
            ];
            let mut extensions: Vec<u8> = extensions.into_iter().flatten().flatten().copied().collect();
            extensions.extend(&self.extra);
            encode::wrap(
                tag::SEQUENCE,
                &[
                    &self.version,
                    &encode::element(tag::INTEGER, &self.serial),
                    &encode::element(tag::SEQUENCE, &self.signature),
                    &self.issuer,
                    &validity,
                    &self.subject,
                    &public_key(),
                    &encode::element(tag::CONTEXT_3, &encode::element(tag::SEQUENCE, &extensions)),
                ],
            )
        }

        fn faults(&self) -> Vec<Lint> {
            self.faults_beside(None)
        }

        fn faults_beside(&self, repeated: Option<&CaCertificate>) -> Vec<Lint> {
            let approved = [SubjectAltName::dns("a").unwrap()];
            let decided = self.decided.as_ref().map(|(serial, validity, subject, key)| {
                (serial, validity, subject, IdentifiedKey::new(SubjectPublicKey::parse(key).unwrap()))
            });
            let expected = Expected {
                issuer_name: &name(b"kubernetes"),
                issuer_key_id: ISSUER_KEY_ID,
                signature_algorithm: &SignatureAlgorithm::EcdsaP256Sha256.identifier(),
                validity: validity(1_000, 2_000),
                ca: self.ca,
                key_usage: if self.ca { CA_KEY_USAGE } else { 1 },
                extended_key_usage: if self.ca { &[] } else { &[oids::SERVER_AUTH] },
                subject_alt_names: if self.ca { &[] } else { &approved },
                decided: decided.as_ref().map(|(serial, validity, subject, key)| Decided {
                    serial,
                    validity: **validity,
                    subject: (*subject).into(),
                    key,
                }),
            };
            faults(&self.encode(), &expected, repeated)
        }

        /// A certificate of it, as whose signature anything passes.
        fn certificate(&self) -> CaCertificate {
            certificate_of(&self.encode())
        }
    }

    fn certificate_of(tbs: &[u8]) -> CaCertificate {
        let der = assemble(tbs, &SignatureAlgorithm::EcdsaP256Sha256.identifier(), &[0]);
        CaCertificate::parse(der).unwrap()
    }

    /// The sound draft with one part changed has exactly this fault.
    fn assert_fault(sound: fn() -> Draft, fault: Lint, changes: &[&dyn Fn(&mut Draft)]) {
        for (index, change) in changes.iter().enumerate() {
            let mut draft = sound();
            change(&mut draft);
            assert_eq!(draft.faults(), [fault], "change {index}");
        }
    }

    #[test]
    fn a_sound_certificate_has_no_fault() {
        assert_eq!(Draft::leaf().faults(), []);
        assert_eq!(Draft::root().faults(), []);
    }

    #[test]
    fn another_structure_than_v3_is_malformed() {
        assert_fault(
            Draft::leaf,
            Lint::Malformed,
            &[
                &|draft| draft.version = vec![],
                &|draft| draft.version = vec![tag::CONTEXT_0, 3, tag::INTEGER, 1, 1],
                &|draft| draft.subject_key_id = draft.authority_key_id.clone(),
                &|draft| draft.basic_constraints = Some(vec![tag::SEQUENCE, 0]),
                &|draft| draft.subject = vec![tag::SET, 0],
            ],
        );
        let mut trailing = Draft::leaf().encode();
        trailing.push(0);
        let id = SignatureAlgorithm::EcdsaP256Sha256.identifier();
        let expected = Expected {
            issuer_name: &[],
            issuer_key_id: &[],
            signature_algorithm: &id,
            validity: validity(1, 2),
            ca: false,
            key_usage: 1,
            extended_key_usage: &[],
            subject_alt_names: &[],
            decided: None,
        };
        assert_eq!(lint(&trailing, &expected), [Lint::Malformed]);
        assert_eq!(lint(&[], &expected), [Lint::Malformed]);
    }

    #[test]
    fn a_serial_is_positive_minimal_and_short() {
        assert_fault(
            Draft::leaf,
            Lint::Serial,
            &[
                &|draft| draft.serial = vec![],
                &|draft| draft.serial = vec![0],
                &|draft| draft.serial = vec![0x80],
                &|draft| draft.serial = vec![0, 0x7f],
                &|draft| draft.serial = vec![1; 21],
                &|draft| draft.serial = [&[0], [0x80; 20].as_slice()].concat(),
            ],
        );
        for serial in [vec![1], vec![0x7f; 20], vec![0, 0x80]] {
            let draft = Draft { serial, ..Draft::leaf() };
            assert_eq!(draft.faults(), [], "{:?}", draft.serial);
        }
    }

    #[test]
    fn another_signature_algorithm_is_found() {
        let p384 = SignatureAlgorithm::EcdsaP384Sha384.identifier();
        assert_fault(
            Draft::leaf,
            Lint::SignatureAlgorithm,
            &[&|draft| draft.signature = p384.to_vec(), &|draft| draft.signature.extend([5, 0])],
        );
    }

    #[test]
    fn another_issuer_is_found() {
        assert_fault(
            Draft::leaf,
            Lint::Issuer,
            &[&|draft| draft.issuer = name(b"etcd-ca"), &|draft| draft.issuer = vec![tag::SEQUENCE, 0]],
        );
    }

    #[test]
    fn a_validity_beyond_the_issuers_is_found() {
        assert_fault(
            Draft::leaf,
            Lint::Validity,
            &[&|draft| draft.validity = validity(999, 2_000), &|draft| draft.validity = validity(1_000, 2_001)],
        );
    }

    #[test]
    fn an_empty_subject_is_found() {
        assert_fault(Draft::leaf, Lint::Subject, &[&|draft| draft.subject = vec![tag::SEQUENCE, 0]]);
    }

    #[test]
    fn basic_constraints_that_say_the_wrong_thing_are_found() {
        assert_fault(
            Draft::leaf,
            Lint::BasicConstraints,
            &[
                &|draft| draft.basic_constraints = None,
                &|draft| draft.basic_constraints = Some(basic_constraints(&[], &[])),
                &|draft| draft.basic_constraints = Some(basic_constraints(CRITICAL, CRITICAL)),
                &|draft| draft.basic_constraints = Some(basic_constraints(CRITICAL, &[tag::BOOLEAN, 1, 0])),
                &|draft| draft.basic_constraints = Some(basic_constraints(CRITICAL, &[tag::INTEGER, 1, 0])),
            ],
        );
        assert_fault(
            Draft::root,
            Lint::BasicConstraints,
            &[
                &|draft| draft.basic_constraints = None,
                &|draft| draft.basic_constraints = Some(basic_constraints(&[], CRITICAL)),
                &|draft| draft.basic_constraints = Some(basic_constraints(CRITICAL, &[])),
            ],
        );
    }

    #[test]
    fn key_usages_that_an_owner_must_not_have_are_found() {
        assert_fault(
            Draft::leaf,
            Lint::KeyUsage,
            &[
                &|draft| draft.key_usage = None,
                &|draft| draft.key_usage = Some(key_usage(&[], &[tag::BIT_STRING, 2, 7, 0x80])),
                // keyEncipherment alone; keyCertSign; cRLSign; trailing zero bits; a second element.
                &|draft| draft.key_usage = Some(key_usage(CRITICAL, &[tag::BIT_STRING, 2, 5, 0x20])),
                &|draft| draft.key_usage = Some(key_usage(CRITICAL, &[tag::BIT_STRING, 2, 2, 0x84])),
                &|draft| draft.key_usage = Some(key_usage(CRITICAL, &[tag::BIT_STRING, 2, 1, 0x82])),
                &|draft| draft.key_usage = Some(key_usage(CRITICAL, &[tag::BIT_STRING, 2, 0, 0x80])),
                &|draft| draft.key_usage = Some(key_usage(CRITICAL, &[tag::BIT_STRING, 2, 7, 0x80, 5, 0])),
            ],
        );
        assert_fault(
            Draft::root,
            Lint::KeyUsage,
            &[&|draft| draft.key_usage = None, &|draft| {
                draft.key_usage = Some(key_usage(CRITICAL, &[tag::BIT_STRING, 2, 1, 0x82]))
            }],
        );
    }

    #[test]
    fn what_was_decided_cannot_make_a_leaf_a_signer_of_certificates_or_a_root_none() {
        let bits = |octet: u8| key_usage(CRITICAL, &[tag::BIT_STRING, 2, 1, octet]);
        let faults = |draft: &Draft, key_usage: u16| {
            let expected = Expected {
                issuer_name: &name(b"kubernetes"),
                issuer_key_id: ISSUER_KEY_ID,
                signature_algorithm: &SignatureAlgorithm::EcdsaP256Sha256.identifier(),
                validity: validity(1_000, 2_000),
                ca: draft.ca,
                key_usage,
                extended_key_usage: if draft.ca { &[] } else { &[oids::SERVER_AUTH] },
                subject_alt_names: if draft.ca { &[] } else { &[SubjectAltName::dns("a").unwrap()] },
                decided: None,
            };
            lint(&draft.encode(), &expected)
        };
        let leaf = Draft { key_usage: Some(bits(0x86)), ..Draft::leaf() };
        assert_eq!(faults(&leaf, CA_KEY_USAGE), [Lint::KeyUsage]);
        let root = Draft { key_usage: Some(bits(0x82)), ..Draft::root() };
        assert_eq!(faults(&root, 1 | 1 << 6), [Lint::KeyUsage]);
        let unused = Draft { key_usage: None, ..Draft::leaf() };
        assert_eq!(faults(&unused, 0), []);
    }

    #[test]
    fn purposes_that_are_missing_or_unknown_are_found() {
        let code_signing = [tag::OBJECT_IDENTIFIER, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3];
        assert_fault(
            Draft::leaf,
            Lint::ExtendedKeyUsage,
            &[&|draft| draft.purposes = None, &|draft| draft.purposes = Some(purposes(&[])), &|draft| {
                draft.purposes = Some(purposes(&code_signing))
            }],
        );
        let server = |draft: &mut Draft| draft.purposes = Some(purposes(&encode_oid(oids::SERVER_AUTH)));
        assert_fault(Draft::root, Lint::ExtendedKeyUsage, &[&server]);
    }

    #[test]
    fn alternative_names_that_the_profile_does_not_say_are_found() {
        assert_fault(
            Draft::leaf,
            Lint::SubjectAltName,
            &[
                &|draft| draft.subject_alt_name = None,
                &|draft| draft.subject_alt_name = Some(subject_alt_name(&[])),
                &|draft| draft.subject_alt_name = Some(subject_alt_name(&[tag::DNS_NAME, 1, b'*'])),
                &|draft| draft.subject_alt_name = Some(subject_alt_name(&[tag::IP_ADDRESS, 3, 10, 0, 0])),
                &|draft| draft.subject_alt_name = Some(subject_alt_name(&[tag::DNS_NAME, 1, b'b'])),
                &|draft| draft.subject_alt_name = Some(subject_alt_name(&[tag::DNS_NAME, 1, b'a'].repeat(2))),
            ],
        );
        let named = |draft: &mut Draft| draft.subject_alt_name = Some(subject_alt_name(&[tag::DNS_NAME, 1, b'a']));
        let empty = |draft: &mut Draft| draft.subject_alt_name = Some(subject_alt_name(&[]));
        assert_fault(Draft::root, Lint::SubjectAltName, &[&named, &empty]);
    }

    #[test]
    fn key_identifiers_of_other_keys_are_found() {
        assert_fault(
            Draft::leaf,
            Lint::SubjectKeyIdentifier,
            &[
                &|draft| draft.subject_key_id = None,
                &|draft| draft.subject_key_id = Some(subject_key_id(&[7; 20])),
                &|draft| draft.subject_key_id = Some(subject_key_id(&[])),
            ],
        );
        let by_name = [tag::CONTEXT_0 | 1, 0];
        assert_fault(
            Draft::leaf,
            Lint::AuthorityKeyIdentifier,
            &[
                &|draft| draft.authority_key_id = None,
                &|draft| draft.authority_key_id = Some(authority_key_id(&[])),
                &|draft| draft.authority_key_id = Some(authority_key_id(&[tag::KEY_IDENTIFIER, 1, 7])),
                &|draft| {
                    let key_id = encode::element(tag::KEY_IDENTIFIER, ISSUER_KEY_ID);
                    draft.authority_key_id = Some(authority_key_id(&[key_id.as_slice(), &by_name].concat()));
                },
            ],
        );
    }

    #[test]
    fn what_differs_from_what_was_decided_on_is_found() {
        let sound = || {
            let subject = Subject::user("kube-apiserver", &[]).unwrap();
            let decided = Some((vec![0x40; 17], validity(1_000, 2_000), subject, public_key()));
            Draft { decided, ..Draft::leaf() }
        };
        assert_eq!(sound().faults(), []);
        assert_fault(sound, Lint::Serial, &[&|draft| draft.serial = vec![0x41; 17]]);
        assert_fault(sound, Lint::Validity, &[&|draft| draft.validity = validity(1_000, 1_999)]);
        assert_fault(sound, Lint::Subject, &[&|draft| draft.subject = name(b"kube-apiserver2")]);
        let other = |draft: &mut Draft| {
            let mut key = public_key();
            *key.last_mut().unwrap() ^= 1;
            draft.decided.as_mut().unwrap().3 = key;
        };
        assert_fault(sound, Lint::PublicKey, &[&other]);
    }

    #[test]
    fn a_subject_is_what_was_decided_on_word_for_word() {
        let sound = |subject: Vec<u8>| {
            let decided = Subject::user("node", &["a", "b"]).unwrap();
            let decided = Some((vec![0x40; 17], validity(1_000, 2_000), decided, public_key()));
            Draft { subject, decided, ..Draft::leaf() }.faults()
        };
        let attribute =
            |oid, string, text: &[u8]| encode::wrap(tag::SEQUENCE, &[&encode_oid(oid), &encode::element(string, text)]);
        let group = |text| attribute(oids::ORGANIZATION_NAME, tag::UTF8_STRING, text);
        let rdn = |attributes: &[&[u8]]| encode::wrap(tag::SET, attributes);
        let subject = |rdns: &[&[u8]]| encode::wrap(tag::SEQUENCE, rdns);
        let [a, b, c] = [b"a", b"b", b"c"].map(|text| rdn(&[&group(text)]));
        let node = rdn(&[&attribute(oids::COMMON_NAME, tag::UTF8_STRING, b"node")]);
        let printable = rdn(&[&attribute(oids::COMMON_NAME, tag::PRINTABLE_STRING, b"node")]);
        let unit = rdn(&[&attribute(const_oid::db::rfc4519::ORGANIZATIONAL_UNIT_NAME, tag::UTF8_STRING, b"a")]);
        let both = rdn(&[&group(b"a"), &group(b"b")]);
        let longer = encode::wrap(
            tag::SET,
            &[&encode::wrap(
                tag::SEQUENCE,
                &[&encode_oid(oids::COMMON_NAME), &encode::element(tag::UTF8_STRING, b"node"), &[5, 0]],
            )],
        );
        assert_eq!(sound(subject(&[&a, &b, &node])), []);
        assert_eq!(sound(subject(&[&node, &a, &b])), [], "readers do not mind where the common name stands");
        let others: [&[&[u8]]; 15] = [
            &[&node],
            &[&a, &node],
            &[&b, &a, &node],
            &[&a, &c, &node],
            &[&a, &b, &c, &node],
            &[&a, &b],
            &[&a, &b, &node, &node],
            &[&a, &b, &unit, &node],
            &[&unit, &b, &node],
            &[&a, &b, &printable],
            &[&both, &node],
            &[&a, &b, &rdn(&[]), &node],
            &[&a, &b, &node, &rdn(&[])],
            &[&a, &b, &longer],
            &[&a, &b, &node, &[5, 0]],
        ];
        for (index, other) in others.into_iter().enumerate() {
            assert_eq!(sound(subject(other)), [Lint::Subject], "other {index}");
        }
    }

    #[test]
    fn an_extension_that_nobody_decided_on_is_found() {
        let policies = extension(const_oid::db::rfc5280::ID_CE_CERTIFICATE_POLICIES, &[], &[tag::SEQUENCE, 0]);
        let add = |draft: &mut Draft| draft.extra = policies.clone();
        assert_fault(Draft::leaf, Lint::Extension, &[&add]);
        assert_fault(Draft::root, Lint::Extension, &[&add]);
    }

    #[test]
    fn every_fault_is_named_in_the_order_of_the_fields() {
        let draft = Draft {
            serial: vec![0],
            issuer: name(b"other"),
            validity: validity(1, 3_000),
            subject: vec![tag::SEQUENCE, 0],
            key_usage: None,
            ..Draft::leaf()
        };
        let faults = draft.faults();
        assert_eq!(faults, [Lint::Serial, Lint::Issuer, Lint::Validity, Lint::Subject, Lint::KeyUsage]);
        let codes: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let expected = ["lint.serial", "lint.issuer", "lint.validity", "lint.subject", "lint.key_usage"];
        assert_eq!(codes, expected);
    }
    #[test]
    fn a_cross_certificate_repeats_subject_key_and_key_identifier_of_its_root() {
        let sound = Draft::root();
        assert_eq!(sound.faults_beside(Some(&sound.certificate())), []);

        let renamed = Draft { subject: name(b"kubernetes-v2"), ..Draft::root() };
        assert_eq!(sound.faults_beside(Some(&renamed.certificate())), [Lint::Subject]);

        let mut rekeyed = sound.encode();
        let point = rekeyed.windows(65).position(|octets| octets == [4; 65]).unwrap();
        rekeyed[point + 64] = 5;
        assert_eq!(sound.faults_beside(Some(&certificate_of(&rekeyed))), [Lint::PublicKey]);

        // The root's maker chose this one, so its leaves name it and the double must have it.
        let adopted = Draft { subject_key_id: Some(subject_key_id(&[9; 20])), ..Draft::root() };
        assert_eq!(sound.faults_beside(Some(&adopted.certificate())), [Lint::SubjectKeyIdentifier]);
        assert_eq!(adopted.faults_beside(Some(&adopted.certificate())), []);
        assert_eq!(adopted.faults(), [Lint::SubjectKeyIdentifier]);
    }
}
