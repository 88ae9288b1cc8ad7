//! Why a request is refused.

use core::fmt;

use crate::decode::DecodeError;
use crate::pem::PemError;
use crate::verify::VerifyError;
use crate::weak_key::WeakKey;

/// Why a request is refused. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Longer than [`Limits::request_len_max`](crate::Limits::request_len_max), unread.
    TooLong {
        /// Octets received.
        found: usize,
        /// Octets allowed.
        max: usize,
    },
    /// Not the PEM of one request, with nothing around it.
    Pem(PemError),
    /// Not a DER request of the accepted form.
    Malformed(DecodeError),
    /// The version is not 0 (RFC 2986 4.1).
    Version,
    /// The signature algorithm is none that a cluster uses with SHA-256 or SHA-384, or Ed25519.
    SignatureAlgorithm,
    /// An attribute other than `extensionRequest`, by object identifier.
    Attribute(String),
    /// More than one `extensionRequest`, or more than one value in it (RFC 2985 5.4.2).
    RepeatedExtensionRequest,
    /// An extension that no leaf has, by object identifier.
    Extension(String),
    /// An extended key usage other than serverAuth and clientAuth.
    ExtendedKeyUsage,
    /// The request asks to become a CA, or to sign certificates or CRLs (RFC 5280 4.2.1.9).
    CertificateAuthority,
    /// The signature does not prove possession of the private key (RFC 2986 4.2).
    Possession(VerifyError),
    /// The key is proven, and of no use: somebody else can compute it or may have it.
    WeakKey(WeakKey),
}

impl RequestError {
    /// The stable code of the refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "request.too_long",
            Self::Pem(_) => "request.pem",
            Self::Malformed(_) => "request.malformed",
            Self::Version => "request.version",
            Self::SignatureAlgorithm => "request.signature_algorithm",
            Self::Attribute(_) => "request.attribute",
            Self::RepeatedExtensionRequest => "request.repeated_extension_request",
            Self::Extension(_) => "request.extension",
            Self::ExtendedKeyUsage => "request.extended_key_usage",
            Self::CertificateAuthority => "request.certificate_authority",
            Self::Possession(_) => "request.possession",
            Self::WeakKey(_) => "request.weak_key",
        }
    }
}

impl From<DecodeError> for RequestError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl From<PemError> for RequestError {
    fn from(error: PemError) -> Self {
        Self::Pem(error)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found, max } => write!(f, "the request has {found} octets, limit {max}"),
            Self::Pem(error) => write!(f, "the request is neither DER nor PEM: {error}"),
            Self::Malformed(error) => write!(f, "the request is malformed: {error}"),
            Self::Version => f.write_str("the request's version is not 0 (RFC 2986 4.1)"),
            Self::SignatureAlgorithm => f.write_str("the request's signature algorithm is not accepted"),
            Self::Attribute(oid) => write!(f, "the request has the attribute `{oid}`, accepted is extensionRequest"),
            Self::RepeatedExtensionRequest => f.write_str("the request has extensions twice (RFC 2985 5.4.2)"),
            Self::Extension(oid) => write!(f, "the request has the extension `{oid}`, which no leaf has"),
            Self::ExtendedKeyUsage => f.write_str("the request has an extended key usage that no leaf has"),
            Self::CertificateAuthority => f.write_str("the request asks to become a CA (RFC 5280 4.2.1.9)"),
            Self::Possession(error) => write!(f, "possession of the key is not proven (RFC 2986 4.2): {error}"),
            Self::WeakKey(weakness) => write!(f, "the key is weak: {weakness}"),
        }
    }
}

impl core::error::Error for RequestError {}
