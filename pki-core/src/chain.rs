//! Path validation on rustls-webpki, and what it leaves out: the anchor's own expiry and path length, key usages,
//! sizes, and which authority it was.

use core::cell::RefCell;
use core::fmt;
use std::collections::BTreeSet;

use rustls_pki_types::{CertificateDer, ServerName};
use time::UtcDateTime;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use crate::certificate::{ExtendedKeyUsage, TbsView, parse_ca_certificate, parse_certificate};
use crate::decode::DecodeError;
use crate::time::unix_time;
use crate::verify::{SubjectPublicKey, Verifiers};
use crate::{AuthorityId, LeafIdentity, Limits, SerialNumber, TrustBundle};

/// A chain that verified: who it is, and which authority vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedChain {
    identity: Result<LeafIdentity, DecodeError>,
    serial: SerialNumber,
    issuer: AuthorityId,
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

    /// The serial number of the leaf, which a revocation list of its issuer names.
    #[must_use]
    pub const fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// The authority that issued the leaf: the anchor, or one that the anchor vouches for.
    #[must_use]
    pub const fn issuer(&self) -> AuthorityId {
        self.issuer
    }

    /// The authority at the top of the chain.
    #[must_use]
    pub const fn anchor(&self) -> AuthorityId {
        self.anchor
    }
}

/// Verifies that `end_entity` chains to an anchor of `bundle` that is valid at `now`, for `usage`.
///
/// The extended key usage must be there: a certificate without one is fit for nothing here. Key and serial number of
/// the leaf, and every intermediate, must be what this crate accepts of its own. Revocation is not looked at:
/// [`RevocationList::check`](crate::RevocationList::check) judges the chain that comes back.
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
    check_sizes(end_entity, intermediates, limits)?;
    let leaf = parse_certificate(end_entity).map_err(ChainError::Malformed)?;
    let serial = SerialNumber::from_content(leaf.serial).map_err(ChainError::Malformed)?;
    let certificate = EndEntityCert::try_from(end_entity).map_err(ChainError::from_webpki)?;
    let anchors = bundle.anchors_at(now);
    if anchors.is_empty() && !bundle.is_empty() {
        return Err(ChainError::EveryAnchorExpired);
    }
    // An authority need not say what its leaves are for; where it does, it counts.
    let purpose = KeyUsage::required_if_present(match usage {
        ExtendedKeyUsage::ServerAuth => SERVER_AUTH,
        ExtendedKeyUsage::ClientAuth => CLIENT_AUTH,
    });
    let refused = RefCell::new(None);
    let judge = |path: &VerifiedPath<'_>| {
        judge_path(path, bundle, usage, limits, now).map_err(|error| {
            refused.replace(Some(error));
            webpki::Error::UnknownIssuer
        })
    };
    let path = certificate
        .verify_for_usage(verifiers.algorithms(), &anchors, intermediates, unix_time(now), purpose, None, Some(&judge))
        // A path that only we refuse says more than the ones that led nowhere.
        .map_err(|error| {
            refused.take().unwrap_or_else(|| match error {
                // webpki tries every key of the name. That another one than the issuer's does not fit says nothing.
                webpki::Error::InvalidSignatureForPublicKey
                | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
                    if !leads_to_an_anchor(&leaf, intermediates, bundle, now) =>
                {
                    ChainError::UnknownIssuer
                }
                error => ChainError::from_webpki(error),
            })
        })?;
    if leaf.extensions.extended_key_usage.is_none() {
        return Err(ChainError::ExtendedKeyUsage);
    }
    // Which of several does not matter: they have one key.
    let anchor = bundle.certificates_of(path.anchor(), now).next().ok_or(ChainError::UnknownIssuer)?.id();
    let issuer = match path.intermediate_certificates().next() {
        Some(issuer) => SubjectPublicKey::parse(&issuer.subject_public_key_info())
            .map(|key| AuthorityId::of(&key))
            .map_err(ChainError::Intermediate)?,
        None => anchor,
    };
    Ok(VerifiedChain { identity: LeafIdentity::parse(end_entity, limits), serial, issuer, anchor })
}

/// Whether names and key identifiers lead from the leaf to an anchor that is valid at `now`, signatures aside. Where one
/// side says nothing of the key, the name alone leads on (RFC 5280 4.2.1.1, RFC 4158 3.5.12).
fn leads_to_an_anchor(
    leaf: &TbsView<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    now: UtcDateTime,
) -> bool {
    let sent: Vec<TbsView<'_>> = intermediates.iter().filter_map(|der| parse_certificate(der).ok()).collect();
    let is_issuer = |lower: &TbsView<'_>, subject: &[u8], key_id: Option<&[u8]>| {
        let same_key = lower.authority_key_id().zip(key_id).is_none_or(|(named, found)| named == found);
        lower.issuer == subject && same_key
    };
    let valid = || bundle.certificates().iter().filter(|anchor| anchor.validity().contains(now));
    let (mut open, mut seen) = (vec![leaf], BTreeSet::new());
    while let Some(lower) = open.pop() {
        if valid().any(|anchor| is_issuer(lower, anchor.subject_der(), Some(anchor.subject_key_id()))) {
            return true;
        }
        for (position, upper) in sent.iter().enumerate() {
            if is_issuer(lower, upper.subject, upper.subject_key_id()) && seen.insert(position) {
                open.push(upper);
            }
        }
    }
    false
}

fn check_sizes(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    limits: &Limits,
) -> Result<(), ChainError> {
    let too_long = DecodeError::value("Certificate", "longer than the limit");
    if end_entity.len() > limits.certificate_len_max {
        return Err(ChainError::Malformed(too_long));
    }
    if intermediates.len() > limits.intermediates_max {
        let (found, max) = (intermediates.len(), limits.intermediates_max);
        return Err(ChainError::TooManyIntermediates { found, max });
    }
    if intermediates.iter().any(|intermediate| intermediate.len() > limits.certificate_len_max) {
        return Err(ChainError::Intermediate(too_long));
    }
    Ok(())
}

/// What webpki does not ask: of an intermediate, a key usage that allows it (RFC 5280 6.1.4 (n)) and an accepted key;
/// of the path, that it is not too long; of the anchor, its path length and its extended key usage. RFC 5280 6.1 takes
/// nothing but name and key of an anchor; that these limits of its certificate count too is how OpenSSL and Go judge.
fn judge_path(
    path: &VerifiedPath<'_>,
    bundle: &TrustBundle,
    usage: ExtendedKeyUsage,
    limits: &Limits,
    now: UtcDateTime,
) -> Result<(), ChainError> {
    let mut counted = 0;
    for intermediate in path.intermediate_certificates() {
        parse_ca_certificate(&intermediate.der(), limits).map_err(ChainError::Intermediate)?;
        counted += usize::from(intermediate.subject() != intermediate.issuer());
    }
    let anchors = bundle.certificates_of(path.anchor(), now).filter(|anchor| anchor.vouches_for(usage));
    let path_lens = anchors.map(|anchor| anchor.path_len().map_or(usize::MAX, usize::from));
    let max = path_lens.max().ok_or(ChainError::ExtendedKeyUsage)?.min(limits.path_len_max);
    if counted > max {
        return Err(ChainError::PathTooLong { found: counted, max });
    }
    Ok(())
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
    /// The leaf is too long, not a v3 certificate, or its key or serial number is not an accepted one; or, where it
    /// has to be a Kubernetes client's, its names are not.
    Malformed(DecodeError),
    /// A certificate between the leaf and the anchor is too long, or not that of an authority.
    Intermediate(DecodeError),
    /// More certificates beside the leaf than [`Limits::intermediates_max`], unread.
    TooManyIntermediates {
        /// Certificates found.
        found: usize,
        /// Certificates allowed.
        max: usize,
    },
    /// More authorities between the leaf and the anchor than [`Limits::path_len_max`], or than the path length of the
    /// anchor.
    PathTooLong {
        /// Authorities found, without the self-issued.
        found: usize,
        /// Authorities allowed.
        max: usize,
    },
    /// No anchor of the bundle vouches for the leaf: none has the name that it leads to, or those that have it have other
    /// keys, by their key identifiers.
    UnknownIssuer,
    /// The bundle has anchors, and every one of them has expired or is not yet valid.
    EveryAnchorExpired,
    /// A certificate of the chain has expired.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// The leaf lacks the extended key usage that the path needs, or an authority above it is not for that usage.
    ExtendedKeyUsage,
    /// The leaf is not valid for the name that was dialled.
    NameMismatch,
    /// A signature of the chain does not verify, although names and key identifiers lead to an anchor. Where a
    /// certificate does not say which key its issuer has, an anchor of the name with another key is such a one too.
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
            Self::Intermediate(error) => write!(f, "an intermediate is no authority: {error}"),
            Self::TooManyIntermediates { found, max } => {
                write!(f, "{found} certificates beside the leaf, limit {max}")
            }
            Self::PathTooLong { found, max } => write!(f, "{found} authorities above the leaf, limit {max}"),
            Self::UnknownIssuer => f.write_str("no trusted authority issued the certificate"),
            Self::EveryAnchorExpired => f.write_str("every anchor of the bundle has expired or is not yet valid"),
            Self::Expired => f.write_str("the certificate has expired"),
            Self::NotYetValid => f.write_str("the certificate is not valid yet"),
            Self::ExtendedKeyUsage => {
                f.write_str("the certificate or its authority lacks the extended key usage of the path")
            }
            Self::NameMismatch => f.write_str("the certificate is not valid for the name that was dialled"),
            Self::BadSignature => f.write_str("a signature of the chain does not verify"),
            Self::Other(error) => write!(f, "path validation: {error}"),
        }
    }
}

impl core::error::Error for ChainError {}
