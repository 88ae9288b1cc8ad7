//! Signer epochs: which generation of an authority signs, and the fence that an older request does not pass.

use core::fmt;
use core::num::NonZeroU64;

use pki_core::{AuthorityId, CaVersion};

/// How often the signer of an authority was named: one more with every switch, never less.
///
/// A request carries the epoch that its sender knows. Any other than the current one is refused
/// ([`Refusal::StaleEpoch`](super::protocol::Refusal::StaleEpoch)), so nobody receives a certificate of an authority that
/// he does not expect, and none of a retired one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignerEpoch(NonZeroU64);

impl SignerEpoch {
    /// The epoch of the first signer.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// An epoch by number; `None` for zero, which none has.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0.get()
    }

    /// The epoch after this one; `None` after the last that there can be.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for SignerEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who signs for an authority, as the log says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CurrentSigner {
    /// Since which switch.
    pub epoch: SignerEpoch,
    /// Which generation.
    pub version: CaVersion,
    /// With which key.
    pub key: AuthorityId,
}
