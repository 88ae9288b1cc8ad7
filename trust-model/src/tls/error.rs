//! Why an identity or a configuration was not made.

use core::error::Error;
use core::fmt;

use pki_core::{DnsName, Fingerprint, LeafKind, Path, UnsupportedSigner};

/// What `rustls` itself found wrong; the source of another error.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsRefusal(pub(super) rustls::Error);

impl fmt::Display for TlsRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for TlsRefusal {}

/// Why a chain and a key are no identity.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum IdentityError {
    /// The chain is empty.
    NoCertificate,
    /// The leaf cannot be read.
    Leaf(TlsRefusal),
    /// The leaf was issued for another key.
    KeyMismatch {
        /// SHA-256 over the leaf's `SubjectPublicKeyInfo`.
        expected: Fingerprint,
        /// SHA-256 over the signer's `SubjectPublicKeyInfo`.
        found: Fingerprint,
    },
    /// TLS has no use for the signer.
    Signer(UnsupportedSigner),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("the chain holds no certificate"),
            Self::Leaf(_) => f.write_str("the leaf cannot be read"),
            Self::KeyMismatch { expected, found } => {
                write!(f, "the leaf was issued for the public key `{expected}`, the signer has `{found}`")
            }
            Self::Signer(_) => f.write_str("TLS has no use for the signer"),
        }
    }
}

impl Error for IdentityError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Leaf(refusal) => Some(refusal),
            Self::Signer(unsupported) => Some(unsupported),
            Self::NoCertificate | Self::KeyMismatch { .. } => None,
        }
    }
}

/// Why there is no configuration.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The client of the path verifies the server and was given nothing to trust.
    MissingBundle(Path),
    /// The client of the path verifies nothing, so the bundle would protect nobody.
    SuperfluousBundle(Path),
    /// The client of the path shows a certificate and was given none.
    MissingIdentity {
        /// The path.
        path: Path,
        /// The kind of leaf that the client shows.
        expected: LeafKind,
    },
    /// The client of the path shows no certificate and was given one.
    SuperfluousIdentity(Path),
    /// No client of the path shows a certificate, so there is nothing for a server to verify.
    NoClientCertificate(Path),
    /// A client certificate is to be verified and no path says whose.
    NoPath,
    /// Two paths end at different sockets, which one configuration cannot serve.
    MixedEndpoints {
        /// The path that came first.
        expected: Path,
        /// A path that ends elsewhere.
        found: Path,
    },
    /// One server name stands for two certificates.
    RepeatedServerName(DnsName),
    /// `rustls` cannot work with the provider.
    Provider(TlsRefusal),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingBundle(path) => write!(f, "the client of `{path}` verifies the server and has no bundle"),
            Self::SuperfluousBundle(path) => write!(f, "the client of `{path}` verifies no server and has a bundle"),
            Self::MissingIdentity { path, expected } => {
                write!(f, "the client of `{path}` shows a `{expected}` certificate and has none")
            }
            Self::SuperfluousIdentity(path) => write!(f, "the client of `{path}` shows no certificate and has one"),
            Self::NoClientCertificate(path) => {
                write!(f, "the client of `{path}` shows no certificate that a server could verify")
            }
            Self::NoPath => f.write_str("a client certificate is to be verified and no path says whose"),
            Self::MixedEndpoints { expected, found } => {
                write!(f, "expected paths that end where `{expected}` does, found `{found}`")
            }
            Self::RepeatedServerName(name) => write!(f, "the server name `{name}` stands for two certificates"),
            Self::Provider(_) => f.write_str("the provider does not fit the path's versions of TLS"),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Provider(refusal) => Some(refusal),
            _ => None,
        }
    }
}
