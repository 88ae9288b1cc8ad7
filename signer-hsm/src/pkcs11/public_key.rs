//! A public key as a token tells it, turned into the `SubjectPublicKeyInfo` that everybody else reads.

use core::error::Error;
use core::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use cryptoki::session::Session;
use pki_core::KeyAlgorithm;
use rustls_pki_types::SubjectPublicKeyInfoDer;

use super::attributes;
use super::error::Pkcs11Error;
use crate::der::{BIT_STRING, Elements, INTEGER, OCTET_STRING, SEQUENCE};

/// What is wrong with the public half of a key on a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicKeyFault {
    /// The token has no public key object with the private key's `CKA_ID`.
    Missing,
    /// The token has more than one.
    Ambiguous,
    /// The private key has no `CKA_ID`, which alone binds the two halves.
    WithoutId,
    /// The kind of key or its curve is not one that is supported.
    Unsupported,
    /// Its attributes do not make a public key: a part is missing, or the point is not on the curve.
    Malformed,
    /// The RSA modulus does not have 2048, 3072 or 4096 bits.
    RsaModulus {
        /// How many bits it has.
        bits: usize,
    },
    /// The RSA exponent is not 65537.
    RsaExponent,
}

impl fmt::Display for PublicKeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no public key object has the private key's `CKA_ID`"),
            Self::Ambiguous => f.write_str("more than one public key object has the private key's `CKA_ID`"),
            Self::WithoutId => f.write_str("the private key has no `CKA_ID`"),
            Self::Unsupported => f.write_str("the kind of key or its curve is not supported"),
            Self::Malformed => f.write_str("the attributes do not make a public key"),
            Self::RsaModulus { bits } => {
                write!(f, "RSA modulus must have `2048`, `3072` or `4096` bits, found `{bits}`")
            }
            Self::RsaExponent => f.write_str("RSA public exponent must be `65537`"),
        }
    }
}

impl Error for PublicKeyFault {}

/// A public key and what kind it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub(super) algorithm: KeyAlgorithm,
    pub(super) spki: SubjectPublicKeyInfoDer<'static>,
}

const KINDS: [AttributeType; 5] = [
    AttributeType::KeyType,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
    AttributeType::EcParams,
    AttributeType::EcPoint,
];

impl PublicKey {
    pub(super) fn read(session: &Session, object: ObjectHandle) -> Result<Self, Pkcs11Error> {
        let mut told = Told::default();
        for kind in KINDS {
            for attribute in session.get_attributes(object, &[kind])? {
                match attribute {
                    Attribute::KeyType(kind) => told.kind = Some(kind),
                    Attribute::Modulus(octets) => told.modulus = octets,
                    Attribute::PublicExponent(octets) => told.exponent = octets,
                    Attribute::EcParams(octets) => told.curve = octets,
                    Attribute::EcPoint(octets) => told.point = octets,
                    _ => {}
                }
            }
        }
        told.public_key().map_err(Pkcs11Error::PublicKey)
    }
}

#[derive(Default)]
struct Told {
    kind: Option<KeyType>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    curve: Vec<u8>,
    point: Vec<u8>,
}

impl Told {
    fn public_key(&self) -> Result<PublicKey, PublicKeyFault> {
        let (algorithm, key) = match self.kind {
            Some(KeyType::EC) if self.curve == attributes::P256 => (KeyAlgorithm::P256, self.ec_point(65)?),
            Some(KeyType::EC) if self.curve == attributes::P384 => (KeyAlgorithm::P384, self.ec_point(97)?),
            // Before PKCS#11 3.0, tokens filed Edwards curves under either kind.
            Some(KeyType::EC | KeyType::EC_EDWARDS)
                if self.curve == attributes::ED25519 || self.curve == attributes::ED25519_BY_NAME =>
            {
                (KeyAlgorithm::Ed25519, self.ec_point(32)?)
            }
            Some(KeyType::RSA) => self.rsa()?,
            _ => return Err(PublicKeyFault::Unsupported),
        };
        if !is_sound(algorithm, &key) {
            return Err(PublicKeyFault::Malformed);
        }
        let identifier = algorithm.certificate_signature().public_key_identifier();
        let bits = [&[0], key.as_slice()].concat();
        let spki = element(SEQUENCE, &[element(SEQUENCE, &identifier), element(BIT_STRING, &bits)].concat());
        Ok(PublicKey { algorithm, spki: spki.into() })
    }

    /// `CKA_EC_POINT` is an `OCTET STRING` that holds the point, of so many octets. Some tokens give the point alone, which
    /// may look like a shorter `OCTET STRING` by chance.
    fn ec_point(&self, len: usize) -> Result<Vec<u8>, PublicKeyFault> {
        let mut outer = Elements::new(&self.point);
        let wrapped = outer.take(OCTET_STRING).filter(|point| outer.is_empty() && point.len() == len);
        let point = wrapped.unwrap_or(&self.point);
        if point.is_empty() { Err(PublicKeyFault::Malformed) } else { Ok(point.to_vec()) }
    }

    fn rsa(&self) -> Result<(KeyAlgorithm, Vec<u8>), PublicKeyFault> {
        let modulus = without_leading_zeros(&self.modulus);
        let top = modulus.first().ok_or(PublicKeyFault::Malformed)?;
        let spare = usize::try_from(top.leading_zeros()).map_err(|_absurd| PublicKeyFault::Malformed)?;
        let algorithm = match modulus.len().saturating_mul(8).saturating_sub(spare) {
            2048 => KeyAlgorithm::Rsa2048,
            3072 => KeyAlgorithm::Rsa3072,
            4096 => KeyAlgorithm::Rsa4096,
            bits => return Err(PublicKeyFault::RsaModulus { bits }),
        };
        if without_leading_zeros(&self.exponent) != attributes::RSA_EXPONENT {
            return Err(PublicKeyFault::RsaExponent);
        }
        // The top bit of the modulus is set, of the exponent it is not.
        let modulus = element(INTEGER, &[&[0], modulus].concat());
        let exponent = element(INTEGER, &attributes::RSA_EXPONENT);
        Ok((algorithm, element(SEQUENCE, &[modulus, exponent].concat())))
    }
}

/// Whether the key can be read at all: for EC that the point is uncompressed and on the curve.
fn is_sound(algorithm: KeyAlgorithm, key: &[u8]) -> bool {
    const UNCOMPRESSED: Option<&u8> = Some(&0x04);

    match algorithm {
        KeyAlgorithm::P256 => key.first() == UNCOMPRESSED && ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).is_ok(),
        KeyAlgorithm::P384 => key.first() == UNCOMPRESSED && ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key).is_ok(),
        KeyAlgorithm::Ed25519 => ParsedPublicKey::new(&ED25519, key).is_ok(),
        _ => true,
    }
}

pub(super) fn without_leading_zeros(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    octets.get(zeros..).unwrap_or_default()
}

/// One element in DER, of any length that an address space holds.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    const LONG_FORM: u8 = 0x80;

    let mut encoded = Vec::with_capacity(content.len().saturating_add(10));
    encoded.push(tag);
    match u8::try_from(content.len()) {
        Ok(short) if short < LONG_FORM => encoded.push(short),
        _ => {
            let octets = content.len().to_be_bytes();
            let length = without_leading_zeros(&octets);
            encoded.push(LONG_FORM | u8::try_from(length.len()).unwrap_or_default());
            encoded.extend_from_slice(length);
        }
    }
    encoded.extend_from_slice(content);
    encoded
}

#[cfg(test)]
mod tests {
    use pki_core::Signer;

    use super::*;
    use crate::SoftwareKey;
    use crate::der::PublicKeyParts;

    fn told(kind: KeyType, curve: &[u8], point: &[u8]) -> Told {
        Told { kind: Some(kind), curve: curve.to_vec(), point: point.to_vec(), ..Told::default() }
    }

    #[test]
    fn a_tokens_attributes_become_what_other_libraries_write() {
        for (algorithm, kind, curve) in [
            (KeyAlgorithm::P256, KeyType::EC, attributes::P256),
            (KeyAlgorithm::P384, KeyType::EC, attributes::P384),
            (KeyAlgorithm::Ed25519, KeyType::EC_EDWARDS, attributes::ED25519),
            (KeyAlgorithm::Ed25519, KeyType::EC_EDWARDS, attributes::ED25519_BY_NAME),
        ] {
            let key = SoftwareKey::generate(algorithm).unwrap();
            let point = PublicKeyParts::of(key.public_key().as_ref()).unwrap().key.to_vec();
            let expected = PublicKey { algorithm, spki: key.public_key().clone() };
            let wrapped = element(OCTET_STRING, &point);
            assert_eq!(told(kind, curve, &wrapped).public_key(), Ok(expected.clone()));
            assert_eq!(told(kind, curve, &point).public_key(), Ok(expected));
        }
    }

    #[test]
    fn a_bare_point_that_looks_wrapped_is_a_bare_point() {
        // 04 3f and 63 octets are an `OCTET STRING` too: one point in 256 is like this.
        for (kind, curve, point_len) in [
            (KeyType::EC, attributes::P256, 65),
            (KeyType::EC, attributes::P384, 97),
            (KeyType::EC_EDWARDS, attributes::ED25519, 32),
        ] {
            let mut bare = vec![0x11; point_len];
            (bare[0], bare[1]) = (OCTET_STRING, u8::try_from(point_len - 2).unwrap());
            assert_eq!(told(kind, curve, &bare).ec_point(point_len), Ok(bare.clone()));
            assert_eq!(told(kind, curve, &element(OCTET_STRING, &bare)).ec_point(point_len), Ok(bare));
        }
    }

    #[test]
    fn an_rsa_key_is_a_modulus_and_an_exponent() {
        let key = SoftwareKey::generate(KeyAlgorithm::Rsa2048).unwrap();
        let parts = PublicKeyParts::of(key.public_key().as_ref()).unwrap();
        let modulus = Elements::new(Elements::new(parts.key).take(SEQUENCE).unwrap()).take(INTEGER).unwrap().to_vec();
        let mut told = Told { kind: Some(KeyType::RSA), modulus, exponent: vec![0, 1, 0, 1], ..Told::default() };
        assert_eq!(told.public_key().unwrap().spki, *key.public_key());

        told.exponent = vec![3];
        assert_eq!(told.public_key(), Err(PublicKeyFault::RsaExponent));
        told.modulus = vec![0xff; 128];
        assert_eq!(told.public_key(), Err(PublicKeyFault::RsaModulus { bits: 1024 }));
        told.modulus.clear();
        assert_eq!(told.public_key(), Err(PublicKeyFault::Malformed));
    }

    #[test]
    fn a_point_beside_its_curve_is_refused() {
        let point = [&[4], [7; 64].as_slice()].concat();
        assert_eq!(told(KeyType::EC, attributes::P256, &point).public_key(), Err(PublicKeyFault::Malformed));
        assert_eq!(told(KeyType::EC, attributes::P256, &[]).public_key(), Err(PublicKeyFault::Malformed));
        assert_eq!(told(KeyType::EC, &[5, 0], &point).public_key(), Err(PublicKeyFault::Unsupported));
        assert_eq!(Told::default().public_key(), Err(PublicKeyFault::Unsupported));
    }

    #[test]
    fn lengths_are_shortest() {
        assert_eq!(element(4, &[7; 0x7f])[..2], [4, 0x7f]);
        assert_eq!(element(4, &[7; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(element(4, &[7; 0x100])[..4], [4, 0x82, 1, 0]);
    }
}
