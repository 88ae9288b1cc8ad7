//! Path validation on rustls-webpki, and what it leaves out: the anchor's own expiry, and which
//! authority it was.

use core::fmt;

use rustls_pki_types::{CertificateDer, ServerName};
use time::UtcDateTime;
use webpki::{EndEntityCert, KeyUsage};

use crate::certificate::{ExtendedKeyUsage, has_extended_key_usage};
use crate::decode::DecodeError;
use crate::time::unix_time;
use crate::verify::Verifiers;
use crate::{AuthorityId, LeafIdentity, Limits, TrustBundle};

/// A chain that verified: who it is, and which authority vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedChain {
    identity: Result<LeafIdentity, DecodeError>,
    anchor: AuthorityId,
}

impl VerifiedChain {
    /// Who the peer is, as Kubernetes reads a client.
    ///
    /// # Errors
    /// When the leaf has no such subject or names. A server need not: it is known by its alternative names
    /// alone (RFC 9525 6.3), and may come from a CA that has never heard of Kubernetes.
    pub const fn identity(&self) -> Result<&LeafIdentity, &DecodeError> {
        self.identity.as_ref()
    }

    /// The authority at the top of the chain.
    #[must_use]
    pub const fn anchor(&self) -> AuthorityId {
        self.anchor
    }
}

/// Verifies that `end_entity` chains to an anchor of `bundle` that is valid at `now`, for `usage`.
///
/// The leaf's extended key usage must be there: a leaf without one is fit for nothing here. An authority above it may
/// have none, which means that it vouches for every usage (RFC 5280 4.2.1.12).
///
/// # Errors
/// [`ChainError`], with the reason.
pub fn verify_chain(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    usage: ExtendedKeyUsage,
    limits: &Limits,
    verifiers: Verifiers<'_>,
    now: UtcDateTime,
) -> Result<VerifiedChain, ChainError> {
    if end_entity.len() > limits.certificate_len_max {
        return Err(ChainError::Malformed(DecodeError::value("Certificate", "longer than the limit")));
    }
    let certificate = EndEntityCert::try_from(end_entity).map_err(|error| {
        // Our own reader says what is wrong and where; webpki says that it is.
        LeafIdentity::parse(end_entity, limits).map_or_else(ChainError::Malformed, |_| ChainError::from_webpki(error))
    })?;
    let anchors = bundle.anchors_at(now);
    if anchors.is_empty() && !bundle.is_empty() {
        return Err(ChainError::EveryAnchorExpired);
    }
    let usage = KeyUsage::required_if_present(match usage {
        ExtendedKeyUsage::ServerAuth => SERVER_AUTH,
        ExtendedKeyUsage::ClientAuth => CLIENT_AUTH,
    });
    let path = certificate
        .verify_for_usage(verifiers.algorithms(), &anchors, intermediates, unix_time(now), usage, None, None)
        .map_err(ChainError::from_webpki)?;
    if !has_extended_key_usage(end_entity).map_err(ChainError::Malformed)? {
        return Err(ChainError::ExtendedKeyUsage);
    }
    let anchor = bundle.certificate_of(path.anchor()).ok_or(ChainError::UnknownIssuer)?.id();
    Ok(VerifiedChain { identity: LeafIdentity::parse(end_entity, limits), anchor })
}

/// The value octets of id-kp-serverAuth and id-kp-clientAuth (RFC 5280 4.2.1.12), as webpki takes them.
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// Verifies that a certificate is valid for the name that was dialled, by its subject
/// alternative names only (RFC 9525 6.3; the common name never counts).
///
/// # Errors
/// [`ChainError::NameMismatch`] when it is not.
pub fn verify_server_name(end_entity: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), ChainError> {
    EndEntityCert::try_from(end_entity)
        .and_then(|certificate| certificate.verify_is_valid_for_subject_name(name))
        .map_err(ChainError::from_webpki)
}

/// Why a chain is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainError {
    /// The leaf is too long, or not what a Kubernetes client's certificate is.
    Malformed(DecodeError),
    /// No anchor of the bundle vouches for the leaf.
    UnknownIssuer,
    /// The bundle has anchors, and every one of them has expired or is not yet valid.
    EveryAnchorExpired,
    /// A certificate of the chain has expired.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// The leaf lacks the extended key usage that the path needs.
    ExtendedKeyUsage,
    /// The leaf is not valid for the name that was dialled.
    NameMismatch,
    /// A signature of the chain does not verify.
    BadSignature,
    /// webpki refused for another reason, in its words.
    Other(PathError),
}

/// webpki's reason, where it is none of the ones that [`ChainError`] names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError(webpki::Error);

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl ChainError {
    fn from_webpki(error: webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::UnknownIssuer => Self::UnknownIssuer,
            E::CertExpired { .. } => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYetValid,
            E::RequiredEkuNotFoundContext(_) => Self::ExtendedKeyUsage,
            E::CertNotValidForName(_) => Self::NameMismatch,
            E::InvalidSignatureForPublicKey => Self::BadSignature,
            other => Self::Other(PathError(other)),
        }
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "malformed certificate: {error}"),
            Self::UnknownIssuer => f.write_str("no trusted authority issued the certificate"),
            Self::EveryAnchorExpired => f.write_str("every anchor of the bundle has expired or is not yet valid"),
            Self::Expired => f.write_str("the certificate has expired"),
            Self::NotYetValid => f.write_str("the certificate is not valid yet"),
            Self::ExtendedKeyUsage => f.write_str("the certificate lacks the extended key usage of the path"),
            Self::NameMismatch => f.write_str("the certificate is not valid for the name that was dialled"),
            Self::BadSignature => f.write_str("a signature of the chain does not verify"),
            Self::Other(error) => write!(f, "path validation: {error}"),
        }
    }
}

impl core::error::Error for ChainError {}
