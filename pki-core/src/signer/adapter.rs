//! A [`Signer`] as other libraries want their keys. What they sign is not what this crate would have issued, and nothing
//! here judges it.

use core::error::Error;
use core::fmt;

use crate::verify::SubjectPublicKey;
use crate::{SignatureAlgorithm, Signer};

/// A signer that another library has no use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedSigner {
    pub(super) library: &'static str,
    pub(super) algorithm: SignatureAlgorithm,
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
pub(super) fn public_key<'a>(
    signer: &'a dyn Signer,
    library: &'static str,
) -> Result<SubjectPublicKey<'a>, UnsupportedSigner> {
    let algorithm = signer.algorithm();
    SubjectPublicKey::parse(signer.public_key().as_ref())
        .ok()
        .filter(|key| key.signs_with(algorithm))
        .ok_or(UnsupportedSigner { library, algorithm })
}
