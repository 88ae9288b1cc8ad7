//! Public keys of any kind.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::UintRef;
use serde::Serialize;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::name_of;
use crate::decode::Elements;
use crate::encode::tag;

/// A public key, by kind and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct KeyView {
    /// `RSA`, `ECDSA`, `Ed25519`, or what the object identifier is called.
    pub algorithm: String,
    /// The named curve of an elliptic curve key.
    pub curve: Option<String>,
    /// Bits of the modulus or of the curve's field; unknown for other kinds.
    pub bits: Option<usize>,
    /// Why the key is too weak for anything.
    pub weakness: Option<Weakness>,
}

/// Why a key is too weak: NIST SP 800-131A revision 2 asks for 112 bits of security.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Weakness {
    /// An RSA modulus of fewer than 2048 bits, or a curve of fewer than 224.
    Short,
    /// An RSA exponent of 1 or an even one: no RSA at all.
    Exponent,
    /// The octets are not a key of their algorithm.
    Unreadable,
}

/// The least bits of an RSA modulus, and of a curve, that give 112 bits of security (NIST SP 800-57 part 1, table 2).
const RSA_BITS_MIN: usize = 2048;
const CURVE_BITS_MIN: usize = 224;

const CURVES: [(ObjectIdentifier, &str, usize); 6] = [
    // RFC 5480 2.1.1.1, which the database leaves out.
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.1"), "P-192", 192),
    (rfc5912::SECP_224_R_1, "P-224", 224),
    (rfc5912::SECP_256_R_1, "P-256", 256),
    (rfc5912::SECP_384_R_1, "P-384", 384),
    (rfc5912::SECP_521_R_1, "P-521", 521),
    // SEC 2 2.4.1.
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), "secp256k1", 256),
];

impl KeyView {
    pub(super) fn of(info: &SubjectPublicKeyInfoOwned) -> Self {
        let algorithm = |name: &str| Self { algorithm: name.to_owned(), curve: None, bits: None, weakness: None };
        match info.algorithm.oid {
            rfc5912::RSA_ENCRYPTION => Self::rsa(info.subject_public_key.as_bytes().unwrap_or_default()),
            rfc5912::ID_EC_PUBLIC_KEY => {
                let parameters = info.algorithm.parameters.as_ref();
                let oid = parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
                let known = CURVES.iter().find(|(curve, ..)| Some(*curve) == oid);
                let curve = known.map(|(_, name, _)| (*name).to_owned()).or_else(|| oid.map(name_of));
                let bits = known.map(|(.., bits)| *bits);
                let short = bits.is_some_and(|bits| bits < CURVE_BITS_MIN);
                Self { curve, bits, weakness: short.then_some(Weakness::Short), ..algorithm("ECDSA") }
            }
            rfc8410::ID_ED_25519 => Self { bits: Some(256), ..algorithm("Ed25519") },
            rfc8410::ID_ED_448 => Self { bits: Some(456), ..algorithm("Ed448") },
            other => algorithm(&name_of(other)),
        }
    }

    /// Reads an `RSAPublicKey` (RFC 8017 A.1.1).
    fn rsa(key: &[u8]) -> Self {
        let read = || {
            let mut key = Elements::of("RSAPublicKey", tag::SEQUENCE, key).ok()?;
            let (modulus, exponent) = (key.decode::<UintRef<'_>>().ok()?, key.decode::<UintRef<'_>>().ok()?);
            let zeros = modulus.as_bytes().first()?.leading_zeros();
            let bits = (modulus.as_bytes().len() * 8).saturating_sub(usize::try_from(zeros).ok()?);
            let even = exponent.as_bytes().last().is_none_or(|last| last & 1 == 0);
            Some((bits, even || exponent.as_bytes() == [1]))
        };
        let (bits, weakness) = match read() {
            Some((bits, _)) if bits < RSA_BITS_MIN => (Some(bits), Some(Weakness::Short)),
            Some((bits, true)) => (Some(bits), Some(Weakness::Exponent)),
            Some((bits, false)) => (Some(bits), None),
            None => (None, Some(Weakness::Unreadable)),
        };
        Self { algorithm: "RSA".to_owned(), curve: None, bits, weakness }
    }
}

/// Whether a signature of this algorithm proves nothing: MD5 and SHA-1 (NIST SP 800-131A revision 2, 9), which Go's
/// verifier and so every Kubernetes component refuses.
pub(super) fn is_weak_signature(oid: ObjectIdentifier) -> bool {
    const WEAK: [ObjectIdentifier; 6] = [
        rfc5912::MD_2_WITH_RSA_ENCRYPTION,
        rfc5912::MD_5_WITH_RSA_ENCRYPTION,
        rfc5912::SHA_1_WITH_RSA_ENCRYPTION,
        rfc5912::DSA_WITH_SHA_1,
        // RFC 3279 2.2.3, which the database leaves out.
        ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"),
        // The OIW's older name for SHA-1 with RSA, which some programs wrote.
        ObjectIdentifier::new_unwrap("1.3.14.3.2.29"),
    ];
    WEAK.contains(&oid)
}
