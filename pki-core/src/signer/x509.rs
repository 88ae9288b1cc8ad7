//! For the `signature` traits, and with them for the builder of x509-cert.

use core::fmt;

use crate::{Signer, sign_to_vec};
use signature::{Keypair, SignatureEncoding};
use spki::der::asn1::BitString;
use spki::der::{self, Decode, Document};
use spki::{AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey, SignatureBitStringEncoding};

use super::adapter::{UnsupportedSigner, public_key};

/// A signer as a [`signature::Signer`], which the builder of x509-cert takes.
///
/// What this crate guarantees of a certificate holds for none that is made this way.
#[derive(Clone, Copy)]
pub struct X509Signer<'a> {
    signer: &'a dyn Signer,
}

impl<'a> X509Signer<'a> {
    /// The signer for these traits.
    ///
    /// # Errors
    /// [`UnsupportedSigner`] when its public key is of another algorithm than its signatures.
    pub fn new(signer: &'a dyn Signer) -> Result<Self, UnsupportedSigner> {
        public_key(signer, "the `signature` traits")?;
        Ok(Self { signer })
    }
}

impl Keypair for X509Signer<'_> {
    type VerifyingKey = SignerPublicKey;

    fn verifying_key(&self) -> SignerPublicKey {
        SignerPublicKey(self.signer.public_key().as_ref().to_vec())
    }
}

impl DynSignatureAlgorithmIdentifier for X509Signer<'_> {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        let identifier = self.signer.algorithm().identifier();
        // What is known here is the content; the parser wants its header too, and none has 128 octets.
        let len = u8::try_from(identifier.as_ref().len()).map_err(|_too_long| spki::Error::KeyMalformed)?;
        let der = [&[0x30, len], identifier.as_ref()].concat();
        Ok(AlgorithmIdentifierOwned::from_der(&der)?)
    }
}

impl signature::Signer<X509Signature> for X509Signer<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<X509Signature, signature::Error> {
        sign_to_vec(self.signer, message).map(X509Signature).map_err(signature::Error::from_source)
    }
}

impl fmt::Debug for X509Signer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Signer").field("signer", &self.signer).finish()
    }
}

/// The public key of a signer, as its `SubjectPublicKeyInfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerPublicKey(Vec<u8>);

impl EncodePublicKey for SignerPublicKey {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::try_from(self.0.as_slice())?)
    }
}

/// A signature as it stands in a certificate, for ECDSA a DER `Ecdsa-Sig-Value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Signature(Vec<u8>);

impl AsRef<[u8]> for X509Signature {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<X509Signature> for Vec<u8> {
    fn from(signature: X509Signature) -> Self {
        signature.0
    }
}

impl TryFrom<&[u8]> for X509Signature {
    type Error = signature::Error;

    fn try_from(octets: &[u8]) -> Result<Self, signature::Error> {
        Ok(Self(octets.to_vec()))
    }
}

impl SignatureEncoding for X509Signature {
    type Repr = Vec<u8>;
}

impl SignatureBitStringEncoding for X509Signature {
    fn to_bitstring(&self) -> der::Result<BitString> {
        BitString::from_bytes(&self.0)
    }
}
