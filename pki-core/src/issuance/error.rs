//! Why no certificate was issued.

use core::fmt;

use time::Duration;

use super::Purpose;
use crate::kubernetes::DurationError;
use crate::lint::Lint;
use crate::name::{Subject, SubjectAltName};
use crate::signer::SignError;
use crate::time::{Validity, ValidityError};
use crate::verify::VerifyError;
use crate::{AuthorityRole, DecodeError, LeafKind, SignatureAlgorithm};

/// Two names that had to be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameDifference<T> {
    pub(super) expected: T,
    pub(super) found: T,
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
    /// The approval is of a request for another key.
    OtherRequest,
    /// The request is for the issuer's own key: no key serves two roles.
    OwnKey,
    /// The approval does not fit the leaf: a node's name or alternative names where there must be
    /// none, or none where there must be.
    Approval(LeafKind),
    /// The request's subject is not the one of the profile and approval.
    Subject(Box<NameDifference<Subject>>),
    /// The request's alternative names are not exactly the approved ones.
    SubjectAltNames(Box<NameDifference<Vec<SubjectAltName>>>),
    /// The request asks for an extended key usage that the profile or the grant does not have.
    ExtendedKeyUsage {
        /// What the certificate is for.
        purpose: Purpose,
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
    /// A signer's certificate would have no validity, in upstream's words where upstream refuses too.
    SigningTimes(DurationError),
    /// The validity cannot be encoded.
    Validity(ValidityError),
    /// The finished octets have faults; the real key was not asked.
    Lint(Vec<Lint>),
    /// The issuer's own certificate or key is not of an accepted form.
    Issuer(DecodeError),
    /// The signer holds another key than the issuer's certificate.
    ForeignKey,
    /// The signer signs in another way than the certificate says, such as with PSS.
    SignerAlgorithm {
        /// What the certificate says.
        expected: SignatureAlgorithm,
        /// How the signer signs.
        found: SignatureAlgorithm,
    },
    /// The signer failed.
    Sign(SignError),
    /// The fresh signature is not the issuer's.
    BadSignature(VerifyError),
}

impl IssueError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotACertificate(_) => "issue.not_a_certificate",
            Self::NotThisIssuer(_) => "issue.not_this_issuer",
            Self::KeySet(_) => "issue.key_set",
            Self::OtherRequest => "issue.other_request",
            Self::OwnKey => "issue.own_key",
            Self::Approval(_) => "issue.approval",
            Self::Subject(_) => "issue.subject",
            Self::SubjectAltNames(_) => "issue.subject_alt_names",
            Self::ExtendedKeyUsage { .. } => "issue.extended_key_usage",
            Self::Lifetime(_) => "issue.lifetime",
            Self::IssuerNotValid { .. } => "issue.issuer_not_valid",
            Self::SigningTimes(error) => error.code(),
            Self::Validity(_) => "issue.validity",
            Self::Lint(_) => "issue.lint",
            Self::Issuer(_) => "issue.issuer",
            Self::ForeignKey => "issue.foreign_key",
            Self::SignerAlgorithm { .. } => "issue.signer_algorithm",
            Self::Sign(_) => "issue.sign",
            Self::BadSignature(_) => "issue.bad_signature",
        }
    }
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
            Self::OtherRequest => f.write_str("the approval is of a request for another key"),
            Self::OwnKey => f.write_str("the request is for the issuer's own key"),
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
            Self::ExtendedKeyUsage { purpose, found } => write!(f, "`{purpose}` does not allow `{found}`"),
            Self::Lifetime(lifetime) => write!(f, "the lifetime {lifetime} is not positive"),
            Self::IssuerNotValid { validity } => {
                write!(f, "the issuer is valid from {} to {}", validity.not_before(), validity.not_after())
            }
            Self::SigningTimes(error) => write!(f, "{error}"),
            Self::Validity(error) => write!(f, "{error}"),
            Self::Lint(faults) => {
                f.write_str("the certificate would be malformed (RFC 5280):")?;
                faults.iter().try_for_each(|fault| write!(f, " `{fault}`"))
            }
            Self::Issuer(error) => write!(f, "the issuer is not usable: {error}"),
            Self::ForeignKey => f.write_str("the signer holds another key than the issuer's certificate"),
            Self::SignerAlgorithm { expected, found } => {
                write!(f, "the signer's algorithm does not fit: expected {expected}, found {found}")
            }
            Self::Sign(error) => write!(f, "{error}"),
            Self::BadSignature(error) => write!(f, "the fresh signature is not the issuer's: {error}"),
        }
    }
}

impl core::error::Error for IssueError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Sign(error) => Some(error),
            Self::SigningTimes(error) => Some(error),
            Self::Validity(error) => Some(error),
            Self::Issuer(error) => Some(error),
            Self::BadSignature(error) => Some(error),
            _ => None,
        }
    }
}
