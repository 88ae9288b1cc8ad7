//! The only way to a certificate: verified request, prepared issuance, signature.
//!
//! Each step is the only constructor of the next type. Names, usages and lifetime come from the
//! profile and the approval; the octets are linted before the real key is asked; the
//! fresh signature is checked before the certificate leaves.

use core::fmt;

use rustls_pki_types::CertificateDer;
use time::{Duration, UtcDateTime};

use crate::lint::{Expected, Lint, lint};
use crate::name::{NodeName, Subject, SubjectAltName};
use crate::request::VerifiedRequest;
use crate::signer::{SignError, Signer, sign_to_vec};
use crate::tbs::{
    Tbs, assemble, authority_key_identifier, basic_constraints, encode_subject, encode_subject_alt_names,
    extended_key_usage, key_usage, subject_key_identifier,
};
use crate::time::{Validity, ValidityError};
use crate::verify::{SubjectPublicKey, Verifiers, VerifyError};
use crate::{AuthorityId, AuthorityRole, CaCertificate, DecodeError, KeyAlgorithm, LeafKind, Serial};

/// How far a leaf's notBefore lies before the moment of issuing: what kubeadm and
/// kube-controller-manager do, to forgive skewed clocks.
const LEAF_BACKDATE: Duration = Duration::minutes(5);

/// What somebody who may decide has decided about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    node: Option<NodeName>,
    subject_alt_names: Vec<SubjectAltName>,
    lifetime: Duration,
}

impl Approval {
    /// A leaf that is bound to no node and has no alternative names, valid for `lifetime` from now on.
    #[must_use]
    pub const fn new(lifetime: Duration) -> Self {
        Self { node: None, subject_alt_names: Vec::new(), lifetime }
    }

    /// For this node or etcd member.
    #[must_use]
    pub fn for_node(mut self, node: NodeName) -> Self {
        self.node = Some(node);
        self
    }

    /// With exactly these alternative names.
    #[must_use]
    pub fn with_names(mut self, names: impl IntoIterator<Item = SubjectAltName>) -> Self {
        self.subject_alt_names = names.into_iter().collect();
        self.subject_alt_names.sort_unstable();
        self.subject_alt_names.dedup();
        self
    }
}

/// An authority that issues: its certificate and what every leaf repeats, encoded once.
///
/// It holds no key. The key is asked at the last step, by [`PreparedIssuance::sign`].
#[derive(Debug)]
pub struct Issuer {
    certificate: CaCertificate,
    key_algorithm: KeyAlgorithm,
    authority_key_id: Vec<u8>,
    usages: Vec<(LeafKind, Vec<u8>)>,
}

impl Issuer {
    /// An issuer of these leaves and no others, as [`Hierarchy::leaves_of`](crate::Hierarchy::leaves_of) names them.
    ///
    /// # Errors
    /// When the certificate's key is not of an accepted kind.
    pub fn new(certificate: CaCertificate, leaves: impl IntoIterator<Item = LeafKind>) -> Result<Self, DecodeError> {
        let key_algorithm = SubjectPublicKey::parse(certificate.public_key())?.algorithm();
        let authority_key_id = authority_key_identifier(certificate.subject_key_id());
        let certificates = leaves.into_iter().filter(|leaf| !leaf.extended_key_usage().is_empty());
        let usages = certificates.map(|leaf| (leaf, extended_key_usage(leaf))).collect();
        Ok(Self { certificate, key_algorithm, authority_key_id, usages })
    }

    /// The CA certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        &self.certificate
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
        let usages = self.usages.iter().find(|(kind, _)| *kind == leaf).map(|(_, usages)| usages);
        let Some(usages) = usages else {
            let is_token = leaf.extended_key_usage().is_empty();
            return Err(if is_token { IssueError::NotACertificate(leaf) } else { IssueError::NotThisIssuer(leaf) });
        };
        let subject = self.check_names(leaf, &request, approval)?;
        if !self.certificate.validity().contains(now) {
            return Err(IssueError::IssuerNotValid { validity: self.certificate.validity() });
        }
        if !approval.lifetime.is_positive() {
            return Err(IssueError::Lifetime(approval.lifetime));
        }
        let validity = Validity::around(now, LEAF_BACKDATE, approval.lifetime)
            .and_then(|validity| validity.within(self.certificate.validity()))
            .map_err(IssueError::Validity)?;
        let key = request.public_key();
        let mut extensions = vec![key_usage(key.algorithm()), usages.clone(), basic_constraints(false)];
        extensions.push(subject_key_identifier(AuthorityId::of(key)));
        extensions.push(self.authority_key_id.clone());
        if !approval.subject_alt_names.is_empty() {
            extensions.push(encode_subject_alt_names(&approval.subject_alt_names));
        }
        let signature_algorithm = self.key_algorithm.certificate_signature().identifier();
        let tbs = Tbs {
            serial,
            signature_algorithm: &signature_algorithm,
            issuer: self.certificate.subject_der(),
            validity,
            subject: &encode_subject(&subject),
            public_key: key.as_der(),
            extensions: &extensions,
        }
        .encode();
        let expected = Expected::leaf(&self.certificate, &signature_algorithm, &approval.subject_alt_names);
        let faults = lint(&tbs, &expected);
        if !faults.is_empty() {
            return Err(IssueError::Lint(faults));
        }
        Ok(PreparedIssuance { issuer: self, tbs, leaf, serial, validity })
    }

    fn check_names(
        &self,
        leaf: LeafKind,
        request: &VerifiedRequest<'_>,
        approval: &Approval,
    ) -> Result<Subject, IssueError> {
        let expected = leaf.subject(approval.node.as_ref()).ok_or(IssueError::Approval(leaf))?;
        if *request.subject() != expected {
            let found = request.subject().clone();
            return Err(IssueError::Subject(Box::new(NameDifference { expected, found })));
        }
        if approval.subject_alt_names.is_empty() == leaf.has_subject_alt_names() {
            return Err(IssueError::Approval(leaf));
        }
        let mut found = request.subject_alt_names().to_vec();
        found.sort_unstable();
        found.dedup();
        if found != approval.subject_alt_names {
            let expected = approval.subject_alt_names.clone();
            return Err(IssueError::SubjectAltNames(Box::new(NameDifference { expected, found })));
        }
        let allowed = leaf.extended_key_usage();
        match request.extended_key_usage().iter().find(|usage| !allowed.contains(usage)) {
            Some(usage) => Err(IssueError::ExtendedKeyUsage { leaf, found: *usage }),
            None => Ok(expected),
        }
    }
}

/// A certificate that only lacks its signature: compared, encoded, linted, bound to its issuer,
/// to be used once.
#[derive(Debug)]
pub struct PreparedIssuance<'i> {
    issuer: &'i Issuer,
    tbs: Vec<u8>,
    leaf: LeafKind,
    serial: Serial,
    validity: Validity,
}

impl PreparedIssuance<'_> {
    /// The octets to sign.
    #[must_use]
    pub fn tbs_der(&self) -> &[u8] {
        &self.tbs
    }

    /// The serial, to be recorded before anything is signed.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// Signs with the issuer's key and checks the fresh signature.
    ///
    /// # Errors
    /// When the signer holds another key, fails, or returns a signature that does not verify.
    pub fn sign(self, signer: &dyn Signer, verifiers: Verifiers<'_>) -> Result<IssuedCertificate, IssueError> {
        if signer.public_key() != self.issuer.certificate.public_key() {
            return Err(IssueError::ForeignKey);
        }
        let signature = sign_to_vec(signer, &self.tbs).map_err(IssueError::Sign)?;
        self.attach_signature(&signature, verifiers)
    }

    /// Finishes with a signature that was made elsewhere over [`tbs_der`](Self::tbs_der), after checking it.
    ///
    /// # Errors
    /// [`IssueError::BadSignature`] when it is not the issuer's: a wrong slot, a fault, r||s sent as DER.
    pub fn attach_signature(self, signature: &[u8], verifiers: Verifiers<'_>) -> Result<IssuedCertificate, IssueError> {
        let Self { issuer, tbs, leaf, serial, validity } = self;
        let algorithm = issuer.key_algorithm.certificate_signature();
        let key = SubjectPublicKey::parse(issuer.certificate.public_key()).map_err(IssueError::Issuer)?;
        verifiers.verify(&key, algorithm, &tbs, signature).map_err(IssueError::BadSignature)?;
        let der = assemble(&tbs, &algorithm.identifier(), signature);
        Ok(IssuedCertificate { der, leaf, serial, validity, issuer: issuer.certificate.id() })
    }
}

/// A certificate as it leaves: signed, and its signature checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    der: CertificateDer<'static>,
    leaf: LeafKind,
    serial: Serial,
    validity: Validity,
    issuer: AuthorityId,
}

impl IssuedCertificate {
    /// The certificate.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// What it is for.
    #[must_use]
    pub const fn leaf(&self) -> LeafKind {
        self.leaf
    }

    /// Its serial.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// When it is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Whose key signed it.
    #[must_use]
    pub const fn issuer(&self) -> AuthorityId {
        self.issuer
    }
}

/// Two names that had to be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameDifference<T> {
    expected: T,
    found: T,
}

impl<T> NameDifference<T> {
    /// What the profile and the approval say.
    #[must_use]
    pub const fn expected(&self) -> &T {
        &self.expected
    }

    /// What the request says.
    #[must_use]
    pub const fn found(&self) -> &T {
        &self.found
    }
}

/// Why no certificate was issued.
#[derive(Debug)]
#[non_exhaustive]
pub enum IssueError {
    /// The leaf is a token, not a certificate.
    NotACertificate(LeafKind),
    /// Another authority issues this leaf.
    NotThisIssuer(LeafKind),
    /// The role is a key set and has no certificate.
    KeySet(AuthorityRole),
    /// The approval does not fit the leaf: a node's name or alternative names where there must be
    /// none, or none where there must be.
    Approval(LeafKind),
    /// The request's subject is not the one of the profile and approval.
    Subject(Box<NameDifference<Subject>>),
    /// The request's alternative names are not exactly the approved ones.
    SubjectAltNames(Box<NameDifference<Vec<SubjectAltName>>>),
    /// The request asks for an extended key usage that the profile does not have.
    ExtendedKeyUsage {
        /// The profile.
        leaf: LeafKind,
        /// The usage asked for.
        found: crate::ExtendedKeyUsage,
    },
    /// The approved lifetime is not positive.
    Lifetime(Duration),
    /// The issuer has expired or is not valid yet.
    IssuerNotValid {
        /// When it is.
        validity: Validity,
    },
    /// The validity cannot be encoded.
    Validity(ValidityError),
    /// The finished octets have faults; the real key was not asked.
    Lint(Vec<Lint>),
    /// The issuer's own certificate or key is not of an accepted form.
    Issuer(DecodeError),
    /// The signer holds another key than the issuer's certificate.
    ForeignKey,
    /// The signer failed.
    Sign(SignError),
    /// The fresh signature is not the issuer's.
    BadSignature(VerifyError),
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, names: &[SubjectAltName]| {
            names.iter().enumerate().try_for_each(|(index, name)| {
                if index > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{name}")
            })
        };
        match self {
            Self::NotACertificate(leaf) => write!(f, "`{leaf}` is a token, not a certificate"),
            Self::NotThisIssuer(leaf) => write!(f, "`{leaf}` is another authority's to issue"),
            Self::KeySet(role) => write!(f, "`{role}` is a key set and has no certificate"),
            Self::Approval(leaf) => write!(f, "the approval does not fit the profile `{leaf}`"),
            Self::Subject(names) => {
                write!(f, "the subject is not the approved one: expected `{}`, found `{}`", names.expected, names.found)
            }
            Self::SubjectAltNames(names) => {
                f.write_str("the alternative names are not the approved ones: expected `")?;
                list(f, &names.expected)?;
                f.write_str("`, found `")?;
                list(f, &names.found)?;
                f.write_str("`")
            }
            Self::ExtendedKeyUsage { leaf, found } => write!(f, "the profile `{leaf}` does not allow `{found}`"),
            Self::Lifetime(lifetime) => write!(f, "the lifetime {lifetime} is not positive"),
            Self::IssuerNotValid { validity } => {
                write!(f, "the issuer is valid from {} to {}", validity.not_before(), validity.not_after())
            }
            Self::Validity(error) => write!(f, "{error}"),
            Self::Lint(faults) => {
                f.write_str("the certificate would be malformed (RFC 5280):")?;
                faults.iter().try_for_each(|fault| write!(f, " `{fault}`"))
            }
            Self::Issuer(error) => write!(f, "the issuer is not usable: {error}"),
            Self::ForeignKey => f.write_str("the signer holds another key than the issuer's certificate"),
            Self::Sign(error) => write!(f, "{error}"),
            Self::BadSignature(error) => write!(f, "the fresh signature is not the issuer's: {error}"),
        }
    }
}

impl core::error::Error for IssueError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Sign(error) => Some(error),
            Self::Validity(error) => Some(error),
            Self::Issuer(error) => Some(error),
            Self::BadSignature(error) => Some(error),
            _ => None,
        }
    }
}
