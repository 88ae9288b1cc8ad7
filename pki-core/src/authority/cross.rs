//! Cross-certificates: the new root's subject and key, signed by the old root, for verifiers that trust only the old
//! one.

use core::fmt;

use rustls_pki_types::CertificateDer;
use time::UtcDateTime;

use super::{base_name, expected_ca, finish};
use crate::certificate::parse_certificate;
use crate::decode::{DecodeError, Elements};
use crate::encode::tag;
use crate::issuance::IssueError;
use crate::lint::lint_cross;
use crate::name::parse_subject;
use crate::signer::Signer;
use crate::tbs::{CA_KEY_USAGE, Part, Tbs, authority_key_identifier, basic_constraints, key_usage};
use crate::time::Validity;
use crate::verify::{SubjectPublicKey, Verifiers, VerifyError};
use crate::{AuthorityId, AuthorityRole, CaCertificate, Limits, Serial};

/// A cross-certificate: to be sent after the leaf in a chain, and never an anchor.
///
/// Whoever trusted it would trust the old authority's word for as long as it lives, and would not see the old root
/// retire. It is no [`CaCertificate`], so a bundle does not take it:
///
/// ```compile_fail,E0271
/// use pki_core::{CrossCertificate, TrustBundle};
///
/// fn trust(cross: CrossCertificate) {
///     let bundle = TrustBundle::new([cross]);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossCertificate {
    der: CertificateDer<'static>,
    subject: AuthorityId,
    issuer: AuthorityId,
    serial: Serial,
    validity: Validity,
}

impl CrossCertificate {
    /// The certificate.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The key that it certifies: the new root's.
    #[must_use]
    pub const fn subject(&self) -> AuthorityId {
        self.subject
    }

    /// The key that signed it: the old root's.
    #[must_use]
    pub const fn issuer(&self) -> AuthorityId {
        self.issuer
    }

    /// Its serial, which is the old root's to count.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// When it is valid: while both roots are.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }
}

/// Signs the subject and key of a new root with the old root's key.
///
/// The certificate is valid while both roots are. So it ends no later than the old one; and as no leaf of the new root
/// begins before that root, it begins no later than any of them, if the old root is the older one. It names its issuer
/// by key identifier only, and has no limits, as the root that it stands for must have none. `serial` must be fresh.
///
/// An old root with a path length of 0 signs none. Where the subjects differ, the cross-certificate is an authority too
/// many below it (RFC 5280 4.2.1.9); where they are the same it is self-issued and does not count, but webpki and Go's
/// crypto/x509 count it.
///
/// The keys may be of different algorithms. The roots may have the same subject: a verifier then tells them by their
/// key identifiers.
///
/// # Errors
/// [`CrossSignError`], with nothing signed unless the fresh signature is what is wrong.
pub fn cross_sign(
    new: &CaCertificate,
    old: &CaCertificate,
    serial: Serial,
    now: UtcDateTime,
    old_signer: &dyn Signer,
    verifiers: Verifiers<'_>,
) -> Result<CrossCertificate, CrossSignError> {
    if new.public_key() == old.public_key() {
        return Err(CrossSignError::SameKey);
    }
    if let (Some(new), Some(old)) = (role_of(new), role_of(old))
        && new != old
    {
        return Err(CrossSignError::OtherRole { new, old });
    }
    if !old.validity().contains(now) {
        return Err(IssueError::IssuerNotValid { validity: old.validity() }.into());
    }
    if new.validity().not_after() < now {
        return Err(CrossSignError::NewRootExpired { validity: new.validity() });
    }
    if old.path_len() == Some(0) {
        return Err(CrossSignError::OldRootPathLength);
    }
    check_unlimited(new)?;
    check_possession(new, verifiers)?;
    let validity = new.validity().within(old.validity()).map_err(IssueError::Validity)?;
    let key = SubjectPublicKey::parse(old.public_key()).map_err(IssueError::Issuer)?;
    let signature_algorithm = key.algorithm().certificate_signature().identifier();
    let tbs = Tbs {
        serial,
        signature_algorithm: &signature_algorithm,
        issuer: old.subject_der(),
        validity,
        subject: Part::Encoded(new.subject_der()),
        public_key: new.public_key(),
        extensions: &[
            Part::Encoded(&key_usage(CA_KEY_USAGE)),
            Part::Encoded(&basic_constraints(true)),
            Part::SubjectKeyId(new.subject_key_id()),
            Part::Encoded(&authority_key_identifier(old.subject_key_id())),
        ],
    }
    .encode();
    let expected = expected_ca(old.subject_der(), old.subject_key_id(), &signature_algorithm, validity);
    let der = finish(&tbs, lint_cross(&tbs, &expected, new), &key, old_signer, verifiers)?;
    Ok(CrossCertificate { der, subject: new.id(), issuer: old.id(), serial, validity })
}

/// Whether leaves of the new root are as good for those who trust it as for those who see the cross-certificate, which
/// repeats no limit.
fn check_unlimited(root: &CaCertificate) -> Result<(), CrossSignError> {
    let tbs = parse_certificate(root.der()).map_err(CrossSignError::NewRoot)?;
    let limit = if root.path_len().is_some() {
        RootLimit::PathLength
    } else if tbs.extensions.extended_key_usage.is_some() {
        RootLimit::ExtendedKeyUsage
    } else if tbs.extensions.name_constraints.is_some() {
        RootLimit::NameConstraints
    } else {
        return Ok(());
    };
    Err(CrossSignError::NewRootLimited(limit))
}

/// Whether whoever made the new root held its key: a root for somebody else's key would have the old authority vouch
/// for a stranger.
fn check_possession(root: &CaCertificate, verifiers: Verifiers<'_>) -> Result<(), CrossSignError> {
    let parts = |der| {
        let mut certificate = Elements::of("Certificate", tag::SEQUENCE, der)?;
        let tbs = certificate.element(tag::SEQUENCE)?;
        certificate.content(tag::SEQUENCE)?;
        Ok((tbs, certificate.bit_string()?, SubjectPublicKey::parse(root.public_key())?))
    };
    let (tbs, signature, key) = parts(root.der()).map_err(CrossSignError::NewRoot)?;
    let algorithm = key.algorithm().certificate_signature();
    verifiers.verify(&key, algorithm, tbs, signature).map_err(CrossSignError::NotSelfSigned)
}

/// The role of an authority by the name that [`ca_subject`](super::ca_subject) gives it, if it has such a name.
fn role_of(certificate: &CaCertificate) -> Option<AuthorityRole> {
    let subject = parse_subject(certificate.subject_der(), Limits::DEFAULT.subject_len_max).ok()?;
    let is_version = |rest: &str| {
        rest.is_empty() || rest.strip_prefix("-v").is_some_and(|number| number.parse::<core::num::NonZeroU32>().is_ok())
    };
    let is_named = |role: &AuthorityRole| {
        base_name(*role).and_then(|base| subject.common_name().strip_prefix(base)).is_some_and(is_version)
    };
    AuthorityRole::ALL.into_iter().find(is_named).filter(|_| subject.organizations().is_empty())
}

/// What narrows the word of a root, and would not narrow that of its cross-certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RootLimit {
    /// pathLenConstraint (RFC 5280 4.2.1.9).
    PathLength,
    /// extKeyUsage (RFC 5280 4.2.1.12).
    ExtendedKeyUsage,
    /// nameConstraints (RFC 5280 4.2.1.10).
    NameConstraints,
}

impl fmt::Display for RootLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PathLength => "a path length (RFC 5280 4.2.1.9)",
            Self::ExtendedKeyUsage => "an extended key usage (RFC 5280 4.2.1.12)",
            Self::NameConstraints => "name constraints (RFC 5280 4.2.1.10)",
        })
    }
}

/// Why there is no cross-certificate.
#[derive(Debug)]
#[non_exhaustive]
pub enum CrossSignError {
    /// Both roots have one key: there is nothing to vouch for.
    SameKey,
    /// The roots are of two authorities, by their subjects.
    OtherRole {
        /// Of the new root.
        new: AuthorityRole,
        /// Of the old root.
        old: AuthorityRole,
    },
    /// The new root has expired.
    NewRootExpired {
        /// When it was valid.
        validity: Validity,
    },
    /// The new root has a limit that its cross-certificate would not have.
    NewRootLimited(RootLimit),
    /// The path length of the old root is 0: it vouches for leaves alone.
    OldRootPathLength,
    /// The new root is not of an accepted form.
    NewRoot(DecodeError),
    /// The new root does not prove that its maker holds its key.
    NotSelfSigned(VerifyError),
    /// The old root cannot issue, or its signer failed.
    Issue(IssueError),
}

impl From<IssueError> for CrossSignError {
    fn from(error: IssueError) -> Self {
        Self::Issue(error)
    }
}

impl fmt::Display for CrossSignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameKey => f.write_str("both roots have the same key"),
            Self::OtherRole { new, old } => {
                write!(f, "the roots are of two authorities: the new one of `{new}`, the old one of `{old}`")
            }
            Self::NewRootExpired { validity } => write!(f, "the new root expired at {}", validity.not_after()),
            Self::NewRootLimited(limit) => {
                write!(f, "the new root has {limit}, expected none: a cross-certificate would not have it")
            }
            Self::OldRootPathLength => f.write_str(
                "the path length of the old root is 0, so no authority may stand below it (RFC 5280 4.2.1.9)",
            ),
            Self::NewRoot(error) => write!(f, "the new root is not usable: {error}"),
            Self::NotSelfSigned(error) => write!(f, "the new root is not signed with its own key: {error}"),
            Self::Issue(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for CrossSignError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NewRoot(error) => Some(error),
            Self::NotSelfSigned(error) => Some(error),
            Self::Issue(error) => Some(error),
            _ => None,
        }
    }
}
