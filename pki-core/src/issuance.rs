//! The only way to a certificate: verified request, prepared issuance, signature.
//!
//! Each step is the only constructor of the next type. Names, usages and lifetime come from the
//! profile and the approval; the octets are linted before the real key is asked; the
//! fresh signature is checked before the certificate leaves.

use core::fmt;
use std::collections::BTreeSet;
use std::sync::Arc;

use der::asn1::ObjectIdentifier;
use time::{Duration, UtcDateTime};

use crate::kubernetes::SignerName;
use crate::lint::{self, Expected, lint};
use crate::name::{DecidedSubject, SubjectAltName};
use crate::request::VerifiedRequest;
use crate::tbs::{Part, Tbs, Unsigned, authority_key_identifier, basic_constraints, extended_key_usage, key_usage};
use crate::time::Validity;
use crate::verify::SubjectPublicKey;
use crate::{CaCertificate, DecodeError, KeyAlgorithm, LeafKind, Serial, SignatureAlgorithm};

mod approval;
mod error;
mod prepared;
mod record;
mod signer;

pub use approval::Approval;
pub use error::{IssueError, NameDifference};
pub(crate) use prepared::sign_as;
pub use prepared::{IssuedCertificate, PreparedIssuance, SelfCheck};
pub use record::{IssuanceRecord, TbsHash};

/// How far a leaf's notBefore lies before the moment of issuing: what kubeadm and
/// kube-controller-manager do, to forgive skewed clocks.
const LEAF_BACKDATE: Duration = Duration::minutes(5);

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// A leaf of the cluster's own components.
    Leaf(LeafKind),
    /// Whatever a signer of `certificates.k8s.io` signs.
    Signer(SignerName),
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(leaf) => leaf.fmt(f),
            Self::Signer(signer) => signer.fmt(f),
        }
    }
}

/// An authority that issues: its certificate and what every leaf repeats, encoded once.
///
/// It holds no key. The key is asked at the last step, by [`PreparedIssuance::sign`].
#[derive(Debug)]
pub struct Issuer {
    certificate: CaCertificate,
    key_algorithm: KeyAlgorithm,
    profiles: Vec<(LeafKind, LeafUsages)>,
    authority_key_identifier: Vec<u8>,
}

/// What the holder of a certificate may do, as values and as encoded extensions.
#[derive(Debug)]
pub(crate) struct LeafUsages {
    extended_key_usage: Vec<ObjectIdentifier>,
    /// Named bit i of RFC 5280 4.2.1.3 is bit i. Per [`Self::MASKS`], each with what it encodes to.
    per_key: [(u16, Vec<u8>); 3],
}

impl LeafUsages {
    const DIGITAL_SIGNATURE: u16 = 1;
    const KEY_ENCIPHERMENT: u16 = 1 << 2;

    /// The bits that a key can live up to, which are all that it gets: RSA signs and enciphers (RFC 3279 2.3.1), EC
    /// signs and agrees (RFC 8813 3), Ed25519 signs (RFC 8410 5).
    const MASKS: [u16; 3] = [0b1111, 0b1_1001_0011, 0b11];

    /// Of a key usage as it was asked for or as a profile states it.
    pub(crate) fn new(key_usage: u16, extended_key_usage: Vec<ObjectIdentifier>) -> Self {
        let per_key = Self::MASKS.map(|mask| {
            let bits = key_usage & mask;
            let usages = [self::key_usage(bits), self::extended_key_usage(&extended_key_usage)];
            (bits, [usages.concat(), basic_constraints(false)].concat())
        });
        Self { extended_key_usage, per_key }
    }

    fn of_leaf(leaf: LeafKind) -> Self {
        let purposes = leaf.extended_key_usage().iter().map(|usage| usage.oid()).collect();
        Self::new(Self::DIGITAL_SIGNATURE | Self::KEY_ENCIPHERMENT, purposes)
    }

    /// The bits that a key of this kind gets, and both usages and basicConstraints as extensions.
    const fn for_key(&self, key: KeyAlgorithm) -> &(u16, Vec<u8>) {
        let [rsa, ec, ed25519] = &self.per_key;
        match key {
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => rsa,
            KeyAlgorithm::P256 | KeyAlgorithm::P384 => ec,
            KeyAlgorithm::Ed25519 => ed25519,
        }
    }
}

/// A leaf as it was decided on, before its octets are written.
pub(crate) struct Decided<'d> {
    pub(crate) purpose: Purpose,
    pub(crate) subject: DecidedSubject,
    /// Sorted, each once.
    pub(crate) subject_alt_names: Arc<[SubjectAltName]>,
    pub(crate) usages: &'d LeafUsages,
    pub(crate) validity: Validity,
}

impl Issuer {
    /// An issuer of these leaves and no others, as [`Hierarchy::leaves_of`](crate::Hierarchy::leaves_of) names them.
    ///
    /// # Errors
    /// When the certificate's key is not of an accepted kind.
    pub fn new(certificate: CaCertificate, leaves: impl IntoIterator<Item = LeafKind>) -> Result<Self, DecodeError> {
        let key_algorithm = SubjectPublicKey::parse(certificate.public_key())?.algorithm();
        let authority_key_identifier = authority_key_identifier(certificate.subject_key_id());
        let certificates = leaves.into_iter().filter(|leaf| !leaf.extended_key_usage().is_empty());
        let profiles = certificates.map(|leaf| (leaf, LeafUsages::of_leaf(leaf))).collect();
        Ok(Self { certificate, key_algorithm, profiles, authority_key_identifier })
    }

    /// The CA certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// How the issuer's key signs certificates.
    #[must_use]
    pub const fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.key_algorithm.certificate_signature()
    }

    /// Compares a request with its approval, and writes and lints what is to be signed.
    ///
    /// The leaf is valid from five minutes before `now` for the approved lifetime, cut at both ends of
    /// the issuer's own validity.
    ///
    /// # Errors
    /// [`IssueError`], with nothing signed: the names or usages differ from the approval, the issuer
    /// has expired, or the finished octets have a fault.
    pub fn prepare(
        &self,
        leaf: LeafKind,
        request: VerifiedRequest<'_>,
        approval: &Approval,
        serial: Serial,
        now: UtcDateTime,
    ) -> Result<PreparedIssuance<'_>, IssueError> {
        let usages = self.profile(leaf)?;
        let subject = check_names(leaf, &request, approval)?;
        if approval.key.is_some_and(|key| key != request.key_id()) {
            return Err(IssueError::OtherRequest);
        }
        self.check_validity_at(now)?;
        if !approval.lifetime.is_positive() {
            return Err(IssueError::Lifetime(approval.lifetime));
        }
        let validity = Validity::around(now, LEAF_BACKDATE, approval.lifetime)
            .and_then(|validity| validity.within(self.certificate.validity()))
            .map_err(IssueError::Validity)?;
        let subject_alt_names = Arc::clone(&approval.subject_alt_names);
        let decided = Decided { purpose: Purpose::Leaf(leaf), subject, subject_alt_names, usages, validity };
        self.write(decided, &request, serial)
    }

    pub(crate) fn profile(&self, leaf: LeafKind) -> Result<&LeafUsages, IssueError> {
        let profile = self.profiles.iter().find(|(kind, _)| *kind == leaf).map(|(_, usages)| usages);
        profile.ok_or_else(|| {
            let is_token = leaf.extended_key_usage().is_empty();
            if is_token { IssueError::NotACertificate(leaf) } else { IssueError::NotThisIssuer(leaf) }
        })
    }

    pub(crate) fn check_validity_at(&self, now: UtcDateTime) -> Result<(), IssueError> {
        let validity = self.certificate.validity();
        if validity.contains(now) { Ok(()) } else { Err(IssueError::IssuerNotValid { validity }) }
    }

    /// Writes the octets for the key of a request, and reads them back against what was decided.
    pub(crate) fn write(
        &self,
        decided: Decided<'_>,
        request: &VerifiedRequest<'_>,
        serial: Serial,
    ) -> Result<PreparedIssuance<'_>, IssueError> {
        let (key, id) = (request.public_key(), request.key_id());
        if key.as_der() == &**self.certificate.public_key() {
            return Err(IssueError::OwnKey);
        }
        let Decided { purpose, subject, subject_alt_names, usages, validity } = decided;
        let (key_usage, usage_extensions) = usages.for_key(key.algorithm());
        let signature_algorithm = self.signature_algorithm().identifier();
        let tbs = Tbs {
            serial,
            signature_algorithm: &signature_algorithm,
            issuer: self.certificate.subject_der(),
            validity,
            subject: Part::Subject(subject.parts()),
            public_key: key.as_der(),
            extensions: &[
                Part::Encoded(usage_extensions),
                Part::SubjectKeyId(id.as_bytes()),
                Part::Encoded(&self.authority_key_identifier),
                Part::SubjectAltNames(&subject_alt_names),
            ],
        };
        let unsigned = Unsigned::write(&tbs, self.signature_algorithm());
        let faults = lint(
            unsigned.as_der(),
            &Expected {
                issuer_name: self.certificate.subject_der(),
                issuer_key_id: self.certificate.subject_key_id(),
                signature_algorithm: &signature_algorithm,
                validity: self.certificate.validity(),
                ca: false,
                key_usage: *key_usage,
                extended_key_usage: &usages.extended_key_usage,
                subject_alt_names: &subject_alt_names,
                decided: Some(lint::Decided {
                    serial: serial.as_bytes(),
                    validity,
                    subject: subject.parts(),
                    key: request.identified_key(),
                }),
            },
        );
        if !faults.is_empty() {
            return Err(IssueError::Lint(faults));
        }
        Ok(PreparedIssuance { issuer: self, unsigned, purpose, subject, subject_alt_names, key: id, serial, validity })
    }
}

/// Names in the form in which they are compared and written: sorted, each once.
fn each_once<'n>(names: impl IntoIterator<Item = &'n SubjectAltName>) -> Arc<[SubjectAltName]> {
    names.into_iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

fn check_names(
    leaf: LeafKind,
    request: &VerifiedRequest<'_>,
    approval: &Approval,
) -> Result<DecidedSubject, IssueError> {
    let expected = leaf.decided_subject(approval.node.as_ref()).ok_or(IssueError::Approval(leaf))?;
    if !expected.parts().is(request.subject()) {
        let (expected, found) = (expected.parts().to_subject(), request.subject().to_subject());
        return Err(IssueError::Subject(Box::new(NameDifference { expected, found })));
    }
    if approval.subject_alt_names.is_empty() == leaf.has_subject_alt_names() {
        return Err(IssueError::Approval(leaf));
    }
    check_alt_names(request, &approval.subject_alt_names)?;
    let allowed = leaf.extended_key_usage();
    match request.extended_key_usage().iter().find(|usage| !allowed.contains(usage)) {
        Some(usage) => Err(IssueError::ExtendedKeyUsage { purpose: Purpose::Leaf(leaf), found: *usage }),
        None => Ok(expected),
    }
}

/// Whether a request asks for these names, whatever their order and however often.
fn check_alt_names(request: &VerifiedRequest<'_>, expected: &[SubjectAltName]) -> Result<(), IssueError> {
    let found = request.subject_alt_names();
    if found.are(expected) {
        return Ok(());
    }
    let (expected, found) = (expected.to_vec(), each_once(&found.to_vec()).to_vec());
    Err(IssueError::SubjectAltNames(Box::new(NameDifference { expected, found })))
}
