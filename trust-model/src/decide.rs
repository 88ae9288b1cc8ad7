//! Whether a peer may talk on a path, and every reason why it may not.
//!
//! Pure: the chain, the bundle, the algorithms and the time are arguments.

use core::fmt;

use pki_core::verify::Verifiers;
use pki_core::{
    ChainError, ExtendedKeyUsage, LeafIdentity, Limits, Path, SubjectAltName, TrustBundle, VerifiedChain, verify_chain,
    verify_server_name,
};
use rustls_pki_types::{CertificateDer, ServerName};
use time::UtcDateTime;

use crate::rule::{IdentityMismatch, PathRule, ServerRule, write_names};

/// What becomes of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// It met the whole rule of the path; this is who it is.
    Allow(VerifiedChain),
    /// It did not.
    Deny(Denial),
}

impl Decision {
    /// The denial, unless the peer is allowed.
    #[must_use]
    pub const fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Allow(_) => None,
            Self::Deny(denial) => Some(denial),
        }
    }

    /// The decision as a result.
    ///
    /// # Errors
    /// The denial, when the peer is not allowed.
    pub fn into_result(self) -> Result<VerifiedChain, Denial> {
        match self {
            Self::Allow(chain) => Ok(chain),
            Self::Deny(denial) => Err(denial),
        }
    }
}

/// Why a peer may not talk on a path: every reason, at least one, in a fixed order.
///
/// A chain has one reason, the one with which path validation ended; identity and name are judged beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    path: Path,
    reasons: Vec<Reason>,
}

impl Denial {
    fn single(path: Path, reason: Reason) -> Self {
        Self { path, reasons: vec![reason] }
    }

    /// The path on which the peer wanted to talk.
    #[must_use]
    pub const fn path(&self) -> Path {
        self.path
    }

    /// The reasons: what stands against the chain, then what stands against the identity or the name.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "denied on `{}`: ", self.path)?;
        self.reasons.iter().enumerate().try_for_each(|(index, reason)| {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{reason}")
        })
    }
}

impl core::error::Error for Denial {}

/// One reason of a [`Denial`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The path asks for a certificate and the peer presented none.
    CertificateMissing,
    /// The client of this path is known by a token or not at all, so no certificate can let it in.
    CertificateUnwanted,
    /// The client of this path verifies no server, so no certificate can vouch for one.
    ServerUnverified,
    /// The chain does not verify for the usage that the path asks for.
    Chain(ChainError),
    /// The certificate is of somebody else than the path's client.
    Identity(IdentityMismatch),
    /// The server's certificate is not valid for the name that was dialled.
    ServerName {
        /// The name that was dialled.
        dialled: ServerName<'static>,
        /// The names of the certificate.
        presented: Vec<SubjectAltName>,
    },
}

impl Reason {
    /// The stable identifier, for logs and counters.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CertificateMissing => "certificate.missing",
            Self::CertificateUnwanted => "certificate.unwanted",
            Self::ServerUnverified => "server.unverified",
            Self::Chain(ChainError::Malformed(_)) => "chain.malformed",
            Self::Chain(ChainError::Intermediate(_)) => "chain.intermediate",
            Self::Chain(ChainError::TooManyIntermediates { .. }) => "chain.too_many_intermediates",
            Self::Chain(ChainError::PathTooLong { .. }) => "chain.path_too_long",
            Self::Chain(ChainError::UnknownIssuer) => "chain.unknown_issuer",
            Self::Chain(ChainError::EveryAnchorExpired) => "chain.every_anchor_expired",
            Self::Chain(ChainError::Expired) => "chain.expired",
            Self::Chain(ChainError::NotYetValid) => "chain.not_yet_valid",
            Self::Chain(ChainError::ExtendedKeyUsage) => "chain.extended_key_usage",
            Self::Chain(ChainError::BadSignature) => "chain.bad_signature",
            Self::Chain(_) => "chain.other",
            Self::Identity(_) => "identity.mismatch",
            Self::ServerName { .. } => "server.name_mismatch",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificateMissing => f.write_str("no certificate was presented"),
            Self::CertificateUnwanted => f.write_str("the client of the path is not known by a certificate"),
            Self::ServerUnverified => f.write_str("the client of the path verifies no server"),
            Self::Chain(error) => error.fmt(f),
            Self::Identity(mismatch) => mismatch.fmt(f),
            Self::ServerName { dialled, presented } => {
                write!(f, "expected a certificate for `{}`, found ", dialled.to_str())?;
                write_names(f, presented)
            }
        }
    }
}

/// Whether a client that presented `chain`, leaf first, may talk on `path`.
///
/// It may when the chain leads to an anchor of `bundle` that is valid at `now`, its leaf has the
/// extended key usage clientAuth (RFC 5280 4.2.1.12), and the leaf's subject is the one of the path's
/// [`IdentityRule`](crate::IdentityRule). A path whose client shows no certificate allows nobody here.
pub fn decide_client(
    path: Path,
    chain: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    limits: &Limits,
    verifiers: Verifiers<'_>,
    now: UtcDateTime,
) -> Decision {
    let Some(identity_rule) = PathRule::of(path).client_identity() else {
        return Decision::Deny(Denial::single(path, Reason::CertificateUnwanted));
    };
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Decision::Deny(Denial::single(path, Reason::CertificateMissing));
    };
    let verified = verify_chain(leaf, intermediates, bundle, ExtendedKeyUsage::ClientAuth, limits, verifiers, now);
    let mismatch = match &verified {
        Ok(chain) => match chain.identity() {
            Ok(identity) => identity_rule.check(identity).err().map(Reason::Identity),
            Err(error) => Some(Reason::Chain(ChainError::Malformed(error.clone()))),
        },
        // A leaf that cannot be read is told by the chain's own reason.
        Err(_) => LeafIdentity::parse(leaf, limits)
            .ok()
            .and_then(|identity| identity_rule.check(&identity).err().map(Reason::Identity)),
    };
    conclude(path, verified, mismatch)
}

/// Whether a server that presented `chain`, leaf first, is the one that was `dialled` on `path`.
///
/// It is when the chain leads to an anchor of `bundle` that is valid at `now`, its leaf has the
/// extended key usage serverAuth (RFC 5280 4.2.1.12), and one of the leaf's subject alternative names is
/// the dialled name (RFC 9525 6.3). A path whose client verifies nothing allows nobody here.
pub fn decide_server(
    path: Path,
    chain: &[CertificateDer<'_>],
    dialled: &ServerName<'_>,
    bundle: &TrustBundle,
    limits: &Limits,
    verifiers: Verifiers<'_>,
    now: UtcDateTime,
) -> Decision {
    match PathRule::of(path).server() {
        ServerRule::Unverified => return Decision::Deny(Denial::single(path, Reason::ServerUnverified)),
        ServerRule::DialledName => {}
    }
    let Some((leaf, intermediates)) = chain.split_first() else {
        return Decision::Deny(Denial::single(path, Reason::CertificateMissing));
    };
    let verified = verify_chain(leaf, intermediates, bundle, ExtendedKeyUsage::ServerAuth, limits, verifiers, now);
    let name = match verify_server_name(leaf, dialled) {
        Ok(()) => None,
        Err(ChainError::NameMismatch) => {
            let identity = LeafIdentity::parse(leaf, limits);
            let presented = identity.map(|identity| identity.subject_alt_names().to_vec()).unwrap_or_default();
            Some(Reason::ServerName { dialled: dialled.to_owned(), presented })
        }
        // What keeps the names from being read mostly keeps the chain from being verified too.
        Err(error) => verified.is_ok().then_some(Reason::Chain(error)),
    };
    conclude(path, verified, name)
}

fn conclude(path: Path, verified: Result<VerifiedChain, ChainError>, other: Option<Reason>) -> Decision {
    match (verified, other) {
        (Ok(chain), None) => Decision::Allow(chain),
        (Ok(_), Some(reason)) => Decision::Deny(Denial::single(path, reason)),
        (Err(error), other) => {
            let reasons = core::iter::once(Reason::Chain(error)).chain(other).collect();
            Decision::Deny(Denial { path, reasons })
        }
    }
}
