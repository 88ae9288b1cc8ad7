//! Whether a peer may talk on a path, and every reason why it may not.
//!
//! Pure: the chain, the bundle, the algorithms and the time are arguments.

use core::fmt;

use pki_core::verify::Verifiers;
use pki_core::{
    CaVersion, ChainError, ExtendedKeyUsage, LeafIdentity, Limits, Path, SubjectAltName, TrustBundle, VerifiedChain,
    verify_chain, verify_server_name,
};
use rustls_pki_types::{CertificateDer, ServerName};
use time::UtcDateTime;

use crate::rule::{IdentityMismatch, PathRule, ServerRule, TlsVersion, write_names};

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

/// Which end of a path is judged.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Peer<'a> {
    /// The client, by the server.
    Client,
    /// The server, by the client that dialled this name.
    Server {
        /// What was dialled.
        dialled: &'a ServerName<'a>,
    },
}

/// By what a peer is judged, besides the rule of its path.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// What is trusted.
    pub bundle: &'a TrustBundle,
    /// How much a peer may present.
    pub limits: &'a Limits,
    /// With which signatures are verified.
    pub verifiers: Verifiers<'a>,
    /// The lowest version of TLS that may have been negotiated.
    pub minimum: TlsVersion,
    /// The generation that must have issued the leaf, where only one will do: after a rotation, say. The bundle must
    /// be one of generations.
    pub generation: Option<CaVersion>,
}

/// Whether a peer that presented `chain`, leaf first, over this version of TLS may talk on `path`, and every reason why not.
///
/// It asks what [`decide_client`] or [`decide_server`] asks, and the version of TLS and the generation of the issuer besides.
/// `None` stands for a version below TLS 1.2.
pub fn decide(
    path: Path,
    peer: Peer<'_>,
    chain: &[CertificateDer<'_>],
    tls: Option<TlsVersion>,
    grounds: &Grounds<'_>,
    now: UtcDateTime,
) -> Decision {
    let Grounds { bundle, limits, verifiers, minimum, generation } = *grounds;
    let decision = match peer {
        Peer::Client => decide_client(path, chain, bundle, limits, verifiers, now),
        Peer::Server { dialled } => decide_server(path, chain, dialled, bundle, limits, verifiers, now),
    };
    let mut more = Vec::new();
    if tls.is_none_or(|tls| tls < minimum) {
        more.push(Reason::TlsVersion { minimum, found: tls });
    }
    if let (Some(expected), Decision::Allow(verified)) = (generation, &decision) {
        let found = generation_of(bundle, verified);
        if found != Some(expected) {
            more.push(Reason::Generation { expected, found });
        }
    }
    match decision {
        allowed if more.is_empty() => allowed,
        Decision::Allow(_) => Decision::Deny(Denial { path, reasons: more }),
        Decision::Deny(mut denial) => {
            denial.reasons.extend(more);
            Decision::Deny(denial)
        }
    }
}

/// Which generation of its authority issued a leaf, as the bundle that vouched for it says; `None` where the bundle speaks
/// of no generations, or the issuer is not in it itself.
#[must_use]
pub fn generation_of(bundle: &TrustBundle, verified: &VerifiedChain) -> Option<CaVersion> {
    let mut generations = bundle.versions().iter().zip(bundle.certificates());
    generations.find(|(_, certificate)| certificate.id() == verified.issuer()).map(|(version, _)| *version)
}

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
    /// The connection speaks too old a version of TLS.
    TlsVersion {
        /// The lowest that will do.
        minimum: TlsVersion,
        /// What was negotiated; `None` for anything below TLS 1.2.
        found: Option<TlsVersion>,
    },
    /// The leaf was issued by another generation than the one that is asked for.
    Generation {
        /// The generation that is asked for.
        expected: CaVersion,
        /// The one that issued it, if the bundle knows it.
        found: Option<CaVersion>,
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
            Self::TlsVersion { .. } => "tls.version",
            Self::Generation { .. } => "issuer.generation",
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
            Self::TlsVersion { minimum, found: Some(found) } => write!(f, "expected {minimum} or newer, found {found}"),
            Self::TlsVersion { minimum, found: None } => write!(f, "expected {minimum} or newer, found an older one"),
            Self::Generation { expected, found: Some(found) } => {
                write!(f, "expected a leaf of CAVersion {expected}, found one of {found}")
            }
            Self::Generation { expected, found: None } => {
                write!(
                    f,
                    "expected a leaf of CAVersion {expected}, found one of a generation that the bundle does not name"
                )
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
