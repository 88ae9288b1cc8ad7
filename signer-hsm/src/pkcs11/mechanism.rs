//! How a signature is asked of a token, and what is made of its answer.

use aws_lc_rs::digest::{SHA256, SHA384, digest};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::types::Ulong;
use pki_core::SignatureAlgorithm;

use super::error::Pkcs11Error;
use super::public_key::{element, without_leading_zeros};
use crate::der::{INTEGER, SEQUENCE};

/// Up to the hash in a `DigestInfo` with SHA-256 (RFC 8017 9.2, note 1).
const SHA256_DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];
const SHA256_LEN: Ulong = Ulong::new(32);

/// One way to sign. The message is hashed here wherever the token lets us: less goes over the wire, and the plain
/// mechanisms are those that every token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    EcdsaSha256,
    EcdsaSha384,
    RsaPkcs1DigestInfo,
    RsaPkcs1OnToken,
    RsaPssDigest,
    RsaPssOnToken,
    Ed25519,
}

impl Scheme {
    /// The first scheme for `algorithm` that the token offers.
    pub(super) fn choose(algorithm: SignatureAlgorithm, offered: &[MechanismType]) -> Result<Self, Pkcs11Error> {
        let candidates: &[Self] = match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 => &[Self::EcdsaSha256],
            SignatureAlgorithm::EcdsaP384Sha384 => &[Self::EcdsaSha384],
            SignatureAlgorithm::RsaPkcs1Sha256 => &[Self::RsaPkcs1DigestInfo, Self::RsaPkcs1OnToken],
            SignatureAlgorithm::RsaPssSha256 => &[Self::RsaPssDigest, Self::RsaPssOnToken],
            SignatureAlgorithm::Ed25519 => &[Self::Ed25519],
            _ => &[],
        };
        let first = candidates.first().map_or("a mechanism for this algorithm", |scheme| scheme.name());
        candidates
            .iter()
            .copied()
            .find(|scheme| offered.contains(&scheme.mechanism().mechanism_type()))
            .ok_or(Pkcs11Error::Mechanism { needed: first })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::EcdsaSha256 | Self::EcdsaSha384 => "CKM_ECDSA",
            Self::RsaPkcs1DigestInfo => "CKM_RSA_PKCS",
            Self::RsaPkcs1OnToken => "CKM_SHA256_RSA_PKCS",
            Self::RsaPssDigest => "CKM_RSA_PKCS_PSS",
            Self::RsaPssOnToken => "CKM_SHA256_RSA_PKCS_PSS",
            Self::Ed25519 => "CKM_EDDSA",
        }
    }

    pub(super) fn mechanism(self) -> Mechanism<'static> {
        let pss = PkcsPssParams { hash_alg: MechanismType::SHA256, mgf: PkcsMgfType::MGF1_SHA256, s_len: SHA256_LEN };
        match self {
            Self::EcdsaSha256 | Self::EcdsaSha384 => Mechanism::Ecdsa,
            Self::RsaPkcs1DigestInfo => Mechanism::RsaPkcs,
            Self::RsaPkcs1OnToken => Mechanism::Sha256RsaPkcs,
            Self::RsaPssDigest => Mechanism::RsaPkcsPss(pss),
            Self::RsaPssOnToken => Mechanism::Sha256RsaPkcsPss(pss),
            Self::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
        }
    }

    /// What the token is given of `message`.
    pub(super) fn input(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::EcdsaSha256 | Self::RsaPssDigest => digest(&SHA256, message).as_ref().to_vec(),
            Self::EcdsaSha384 => digest(&SHA384, message).as_ref().to_vec(),
            Self::RsaPkcs1DigestInfo => [SHA256_DIGEST_INFO.as_slice(), digest(&SHA256, message).as_ref()].concat(),
            Self::RsaPkcs1OnToken | Self::RsaPssOnToken | Self::Ed25519 => message.to_vec(),
        }
    }

    /// The token's answer as the content of an X.509 `BIT STRING`.
    pub(super) fn signature(self, answer: Vec<u8>) -> Result<Vec<u8>, Pkcs11Error> {
        const P256_LEN: usize = 64;
        const P384_LEN: usize = 96;
        const ED25519_LEN: usize = 64;

        match self {
            Self::EcdsaSha256 => ecdsa_der(&answer, P256_LEN),
            Self::EcdsaSha384 => ecdsa_der(&answer, P384_LEN),
            Self::Ed25519 if answer.len() != ED25519_LEN => Err(Pkcs11Error::MalformedSignature),
            _ if answer.is_empty() => Err(Pkcs11Error::MalformedSignature),
            _ => Ok(answer),
        }
    }
}

/// Turns r||s, as PKCS#11 has it, into a DER `Ecdsa-Sig-Value` (RFC 3279 2.2.3).
fn ecdsa_der(raw: &[u8], len: usize) -> Result<Vec<u8>, Pkcs11Error> {
    if raw.len() != len {
        return Err(Pkcs11Error::MalformedSignature);
    }
    let (r, s) = raw.split_at(len / 2);
    match (positive_integer(r), positive_integer(s)) {
        (Some(r), Some(s)) => Ok(element(SEQUENCE, &[r, s].concat())),
        _ => Err(Pkcs11Error::MalformedSignature),
    }
}

/// A positive `INTEGER`; none if it is zero, which no signature has.
fn positive_integer(octets: &[u8]) -> Option<Vec<u8>> {
    let magnitude = without_leading_zeros(octets);
    if *magnitude.first()? < 0x80 {
        return Some(element(INTEGER, magnitude));
    }
    Some(element(INTEGER, &[&[0], magnitude].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_and_s_become_two_minimal_positive_integers() {
        let mut raw = [0_u8; 64];
        raw[31] = 1;
        raw[63] = 0x80;
        assert_eq!(ecdsa_der(&raw, 64).unwrap(), [0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]);

        let longest = ecdsa_der(&[0xff; 64], 64).unwrap();
        assert_eq!(longest.len(), SignatureAlgorithm::EcdsaP256Sha256.signature_len_max());
        assert_eq!(longest[..6], [0x30, 70, 2, 33, 0, 0xff]);
        let longest = ecdsa_der(&[0xff; 96], 96).unwrap();
        assert_eq!(longest.len(), SignatureAlgorithm::EcdsaP384Sha384.signature_len_max());
    }

    #[test]
    fn what_is_no_r_and_s_is_refused() {
        for raw in [&[][..], &[1; 63], &[1; 65], &[1; 96], &[0; 64]] {
            assert!(matches!(ecdsa_der(raw, 64), Err(Pkcs11Error::MalformedSignature)), "{raw:x?}");
        }
        assert!(Scheme::Ed25519.signature(vec![1; 63]).is_err());
        assert!(Scheme::RsaPkcs1DigestInfo.signature(Vec::new()).is_err());
    }

    #[test]
    fn a_token_that_only_hashes_itself_is_given_the_message() {
        let choose = |algorithm, offered: &[MechanismType]| Scheme::choose(algorithm, offered).unwrap();
        let rsa = SignatureAlgorithm::RsaPkcs1Sha256;
        let both = [MechanismType::SHA256_RSA_PKCS, MechanismType::RSA_PKCS];
        assert_eq!(choose(rsa, &both), Scheme::RsaPkcs1DigestInfo);
        assert_eq!(choose(rsa, &both[..1]), Scheme::RsaPkcs1OnToken);
        assert_eq!(choose(rsa, &both[..1]).input(b"m"), b"m");
        assert_eq!(choose(rsa, &both).input(b"m").len(), 51);
        let pss = SignatureAlgorithm::RsaPssSha256;
        assert_eq!(choose(pss, &[MechanismType::SHA256_RSA_PKCS_PSS]), Scheme::RsaPssOnToken);
    }

    #[test]
    fn a_missing_mechanism_is_named() {
        let refused = Scheme::choose(SignatureAlgorithm::Ed25519, &[MechanismType::ECDSA]).unwrap_err();
        assert_eq!(refused.to_string(), "the token does not offer `CKM_EDDSA`");
    }
}
