//! The closed set of key and signature algorithms, with their identifiers as DER.

use core::fmt;
use core::str::FromStr;

use rustls_pki_types::{AlgorithmIdentifier, alg_id};

/// What kind of key: algorithm and size in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on NIST P-256, the default and the cheapest to sign with.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// RSA, 2048 bits, public exponent 65537.
    Rsa2048,
    /// RSA, 3072 bits, public exponent 65537.
    Rsa3072,
    /// RSA, 4096 bits, public exponent 65537.
    Rsa4096,
    /// Ed25519 (RFC 8410).
    Ed25519,
}

impl KeyAlgorithm {
    /// Every key algorithm.
    pub const ALL: [Self; 6] = [Self::P256, Self::P384, Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::Ed25519];

    /// The name used on command lines.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The algorithm with which a key of this kind signs certificates and requests.
    #[must_use]
    pub const fn certificate_signature(self) -> SignatureAlgorithm {
        match self {
            Self::P256 => SignatureAlgorithm::EcdsaP256Sha256,
            Self::P384 => SignatureAlgorithm::EcdsaP384Sha384,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => SignatureAlgorithm::RsaPkcs1Sha256,
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|algorithm| algorithm.id() == text).ok_or(UnknownAlgorithm(()))
    }
}

/// A name that is not one of [`KeyAlgorithm::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm(());

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown key algorithm, expected one of ")?;
        for (index, algorithm) in KeyAlgorithm::ALL.into_iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "`{algorithm}`")?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownAlgorithm {}

/// How a signature is made. One key handle signs with exactly one of these, so
/// an RSA key that serves PKCS#1 and PSS is two handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SignatureAlgorithm {
    /// ecdsa-with-SHA256 on P-256 (RFC 5758 3.2).
    EcdsaP256Sha256,
    /// ecdsa-with-SHA384 on P-384 (RFC 5758 3.2).
    EcdsaP384Sha384,
    /// sha256WithRSAEncryption (RFC 4055 5).
    RsaPkcs1Sha256,
    /// RSASSA-PSS with SHA-256, as TLS 1.3 asks of RSA keys (RFC 8446 4.2.3). Not for certificates.
    RsaPssSha256,
    /// Ed25519 (RFC 8410 3).
    Ed25519,
}

impl SignatureAlgorithm {
    /// The `AlgorithmIdentifier` of a signature: ECDSA without parameters
    /// (RFC 5758 3.2), RSA PKCS#1 with an explicit NULL (RFC 4055 5).
    #[must_use]
    pub const fn identifier(self) -> AlgorithmIdentifier {
        match self {
            Self::EcdsaP256Sha256 => alg_id::ECDSA_SHA256,
            Self::EcdsaP384Sha384 => alg_id::ECDSA_SHA384,
            Self::RsaPkcs1Sha256 => alg_id::RSA_PKCS1_SHA256,
            Self::RsaPssSha256 => alg_id::RSA_PSS_SHA256,
            Self::Ed25519 => alg_id::ED25519,
        }
    }

    /// The `AlgorithmIdentifier` that the signing key's `SubjectPublicKeyInfo` carries.
    #[must_use]
    pub const fn public_key_identifier(self) -> AlgorithmIdentifier {
        match self {
            Self::EcdsaP256Sha256 => alg_id::ECDSA_P256,
            Self::EcdsaP384Sha384 => alg_id::ECDSA_P384,
            Self::RsaPkcs1Sha256 | Self::RsaPssSha256 => alg_id::RSA_ENCRYPTION,
            Self::Ed25519 => alg_id::ED25519,
        }
    }

    /// The algorithms that may sign a certificate or a request.
    pub(crate) const CERTIFICATES: [Self; 4] =
        [Self::EcdsaP256Sha256, Self::EcdsaP384Sha384, Self::RsaPkcs1Sha256, Self::Ed25519];

    /// The most octets of a signature of any algorithm.
    pub(crate) const LEN_MAX: usize = 512;

    /// An upper bound on the octets of a signature: what a buffer must hold.
    ///
    /// ECDSA is a DER `Ecdsa-Sig-Value`: 8 octets of headers and sign padding
    /// over two field elements. RSA is the modulus of the largest accepted key.
    #[must_use]
    pub const fn signature_len_max(self) -> usize {
        match self {
            Self::EcdsaP256Sha256 => 72,
            Self::EcdsaP384Sha384 => 104,
            Self::RsaPkcs1Sha256 | Self::RsaPssSha256 => Self::LEN_MAX,
            Self::Ed25519 => 64,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256Sha256 => "ecdsa-with-SHA256 on P-256",
            Self::EcdsaP384Sha384 => "ecdsa-with-SHA384 on P-384",
            Self::RsaPkcs1Sha256 => "sha256WithRSAEncryption",
            Self::RsaPssSha256 => "RSASSA-PSS with SHA-256",
            Self::Ed25519 => "Ed25519",
        })
    }
}
