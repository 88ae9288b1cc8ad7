//! A [`Signer`](pki_core::Signer) as other libraries want their keys. What they sign is not what `pki-core` would have
//! issued, and nothing here judges it.

use core::error::Error;
use core::fmt;

use pki_core::{SignatureAlgorithm, Signer};

use crate::der::PublicKeyParts;

#[cfg(feature = "rcgen")]
pub(crate) mod rcgen;
#[cfg(feature = "rustls")]
pub(crate) mod rustls;
#[cfg(feature = "signature")]
pub(crate) mod signature;

/// A signer that another library has no use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedSigner {
    library: &'static str,
    algorithm: SignatureAlgorithm,
}

impl UnsupportedSigner {
    /// How the signer signs.
    #[must_use]
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl fmt::Display for UnsupportedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not take a key that signs with {}", self.library, self.algorithm)
    }
}

impl Error for UnsupportedSigner {}

/// Refuses a public key that is not of the signer's own algorithm, before it is written into anything.
fn public_key_bits<'a>(signer: &'a dyn Signer, library: &'static str) -> Result<PublicKeyParts<'a>, UnsupportedSigner> {
    let algorithm = signer.algorithm();
    PublicKeyParts::of(signer.public_key().as_ref())
        .filter(|parts| parts.algorithm == algorithm.public_key_identifier().as_ref())
        .ok_or(UnsupportedSigner { library, algorithm })
}
