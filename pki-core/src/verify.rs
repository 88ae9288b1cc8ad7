//! Checking signatures through the algorithms that the embedder passes in.

use core::fmt;

use rustls_pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};

use crate::decode::{DecodeError, Elements};
use crate::encode::tag;
use crate::{AuthorityId, KeyAlgorithm, SignatureAlgorithm};

#[cfg(feature = "rustcrypto")]
mod rustcrypto;

/// The verification algorithms of one provider.
///
/// aws-lc-rs, ring, graviola and `RustCrypto` all plug in as
/// [`SignatureVerificationAlgorithm`]s. Which ones is the embedder's choice and a value, never a
/// matter of enabled features.
#[derive(Clone, Copy)]
pub struct Verifiers<'a>(&'a [&'a dyn SignatureVerificationAlgorithm]);

impl<'a> Verifiers<'a> {
    /// The algorithms to verify with.
    #[must_use]
    pub const fn new(algorithms: &'a [&'a dyn SignatureVerificationAlgorithm]) -> Self {
        Self(algorithms)
    }

    /// The algorithms, as webpki takes them.
    #[must_use]
    pub const fn algorithms(self) -> &'a [&'a dyn SignatureVerificationAlgorithm] {
        self.0
    }

    /// Whether `signature` over `message` was made by the key of `public_key`.
    ///
    /// # Errors
    /// When no algorithm of the set fits, or the signature is not the key's.
    pub fn verify(
        self,
        public_key: &SubjectPublicKey<'_>,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let (key_id, signature_id) = (algorithm.public_key_identifier(), algorithm.identifier());
        if public_key.algorithm_identifier != &*key_id {
            return Err(VerifyError::AlgorithmMismatch);
        }
        let verifier = self
            .0
            .iter()
            .find(|candidate| candidate.public_key_alg_id() == key_id && candidate.signature_alg_id() == signature_id)
            .ok_or(VerifyError::Unsupported(algorithm))?;
        verifier.verify_signature(public_key.bits, message, signature).map_err(|_| VerifyError::BadSignature)
    }
}

impl fmt::Debug for Verifiers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifiers").field(&self.0.len()).finish()
    }
}

/// The verification algorithms of aws-lc-rs that fit a certificate of this crate.
#[cfg(feature = "aws-lc-rs")]
#[must_use]
pub const fn aws_lc_rs() -> Verifiers<'static> {
    use webpki::aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256};
    // Promoted to 'static: the array holds references to statics only.
    static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 4] =
        [ECDSA_P256_SHA256, ECDSA_P384_SHA384, RSA_PKCS1_2048_8192_SHA256, ED25519];
    Verifiers(&ALGORITHMS)
}

/// The verification algorithms of p256, p384 and ed25519-dalek that fit a certificate of this crate: ECDSA and Ed25519.
#[cfg(feature = "rustcrypto")]
#[must_use]
pub const fn rustcrypto() -> Verifiers<'static> {
    use rustcrypto::{Ed25519, P256Sha256, P384Sha384};
    static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 3] = [&P256Sha256, &P384Sha384, &Ed25519];
    Verifiers(&ALGORITHMS)
}

/// Those of [`rustcrypto`], and RSA of the crate `rsa`. How long that takes tells only of what is public.
#[cfg(feature = "rsa")]
#[must_use]
pub const fn rustcrypto_with_rsa() -> Verifiers<'static> {
    use rustcrypto::{Ed25519, P256Sha256, P384Sha384, RsaPkcs1Sha256};
    static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 4] = [&P256Sha256, &P384Sha384, &RsaPkcs1Sha256, &Ed25519];
    Verifiers(&ALGORITHMS)
}

/// Why a signature was not accepted. There is no more detail to give away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signature algorithm is not one that the key can have used.
    AlgorithmMismatch,
    /// The embedder's set has no algorithm for this.
    Unsupported(SignatureAlgorithm),
    /// The signature is not the key's over this message.
    BadSignature,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlgorithmMismatch => f.write_str("the signature algorithm does not fit the public key"),
            Self::Unsupported(algorithm) => write!(f, "no verifier for {algorithm} was passed in"),
            Self::BadSignature => f.write_str("the signature does not verify"),
        }
    }
}

impl core::error::Error for VerifyError {}

/// A `SubjectPublicKeyInfo` of an accepted algorithm and size, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectPublicKey<'a> {
    der: &'a [u8],
    algorithm_identifier: &'a [u8],
    algorithm: KeyAlgorithm,
    bits: &'a [u8],
}

impl<'a> SubjectPublicKey<'a> {
    /// Reads a `SubjectPublicKeyInfo`.
    ///
    /// P-256 and P-384 by name with an uncompressed point (RFC 5480 2.1.1, 2.2), RSA of 2048, 3072
    /// or 4096 bits with exponent 65537, Ed25519. That a point lies on its curve is for
    /// the provider to see when the key is used.
    ///
    /// # Errors
    /// When it is not DER, or any other kind of key.
    pub fn parse(der: &'a [u8]) -> Result<Self, DecodeError> {
        let mut info = Elements::of("SubjectPublicKeyInfo", tag::SEQUENCE, der)?;
        let algorithm_identifier = info.content(tag::SEQUENCE)?;
        let bits = info.bit_string()?;
        info.finish()?;
        let identifies = |id: AlgorithmIdentifier| algorithm_identifier == &*id;
        let point = |len: usize| match bits.split_first() {
            Some((4, coordinates)) if coordinates.len() == 2 * len => Ok(()),
            _ => Err(DecodeError::value("SubjectPublicKeyInfo", "not an uncompressed point (RFC 5480 2.2)")),
        };
        let algorithm = if identifies(SignatureAlgorithm::EcdsaP256Sha256.public_key_identifier()) {
            point(32)?;
            KeyAlgorithm::P256
        } else if identifies(SignatureAlgorithm::EcdsaP384Sha384.public_key_identifier()) {
            point(48)?;
            KeyAlgorithm::P384
        } else if identifies(SignatureAlgorithm::RsaPkcs1Sha256.public_key_identifier()) {
            rsa_algorithm(bits)?
        } else if identifies(SignatureAlgorithm::Ed25519.public_key_identifier()) && bits.len() == 32 {
            KeyAlgorithm::Ed25519
        } else {
            return Err(DecodeError::value(
                "SubjectPublicKeyInfo",
                "the algorithm is none of P-256, P-384, RSA, Ed25519",
            ));
        };
        Ok(Self { der, algorithm_identifier, algorithm, bits })
    }

    /// The whole `SubjectPublicKeyInfo`.
    #[must_use]
    pub const fn as_der(&self) -> &'a [u8] {
        self.der
    }

    /// Whether a key of this kind signs so.
    #[cfg(any(feature = "rcgen", feature = "rustls", feature = "signature"))]
    pub(crate) fn signs_with(&self, algorithm: SignatureAlgorithm) -> bool {
        self.algorithm_identifier == &*algorithm.public_key_identifier()
    }

    /// Algorithm and size.
    #[must_use]
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The content of the `subjectPublicKey` BIT STRING.
    #[must_use]
    pub const fn bits(&self) -> &'a [u8] {
        self.bits
    }

    /// The modulus of an RSA key, without the octet that keeps it positive.
    pub(crate) fn rsa_modulus(&self) -> Option<&'a [u8]> {
        let mut key = Elements::of("RSAPublicKey", tag::SEQUENCE, self.bits).ok()?;
        let modulus: der::asn1::UintRef<'a> = key.decode().ok()?;
        matches!(self.algorithm, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096)
            .then_some(modulus.as_bytes())
    }

    /// The same key, owned.
    #[must_use]
    pub fn to_owned_der(&self) -> SubjectPublicKeyInfoDer<'static> {
        SubjectPublicKeyInfoDer::from(self.der.to_vec())
    }
}

/// A key with its identifier, which is no other key's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdentifiedKey<'a> {
    key: SubjectPublicKey<'a>,
    id: AuthorityId,
}

impl<'a> IdentifiedKey<'a> {
    pub(crate) fn new(key: SubjectPublicKey<'a>) -> Self {
        Self { key, id: AuthorityId::of(&key) }
    }

    pub(crate) const fn key(&self) -> &SubjectPublicKey<'a> {
        &self.key
    }

    pub(crate) const fn id(&self) -> AuthorityId {
        self.id
    }
}

/// Size and exponent of an `RSAPublicKey` (RFC 8017 A.1.1).
fn rsa_algorithm(bits: &[u8]) -> Result<KeyAlgorithm, DecodeError> {
    const EXPONENT_65537: &[u8] = &[1, 0, 1];
    let mut key = Elements::of("RSAPublicKey", tag::SEQUENCE, bits)?;
    let modulus: der::asn1::UintRef<'_> = key.decode()?;
    let exponent: der::asn1::UintRef<'_> = key.decode()?;
    key.finish()?;
    if exponent.as_bytes() != EXPONENT_65537 {
        return Err(DecodeError::value("RSAPublicKey", "the public exponent is not 65537"));
    }
    let (first, last) = (modulus.as_bytes().first(), modulus.as_bytes().last());
    if first.is_none_or(|octet| octet & 0x80 == 0) || last.is_none_or(|octet| octet & 1 == 0) {
        return Err(DecodeError::value("RSAPublicKey", "the modulus is even or not a multiple of 8 bits"));
    }
    match modulus.as_bytes().len() {
        256 => Ok(KeyAlgorithm::Rsa2048),
        384 => Ok(KeyAlgorithm::Rsa3072),
        512 => Ok(KeyAlgorithm::Rsa4096),
        _ => Err(DecodeError::value("RSAPublicKey", "the modulus has none of 2048, 3072, 4096 bits")),
    }
}
