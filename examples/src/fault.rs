//! Faults to plant, to show that the check can fail.

use core::fmt;
use core::str::FromStr;

/// Something that whoever carries a rotation out, or embeds what is swapped, does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Bundles of both generations are reported as loaded and never written.
    SkipTrustDistribution,
    /// Where both generations belong, the old one is dropped at once.
    RetireOldCaEarly,
    /// The CSR signer is reported as switched, and switches only after the nodes are done.
    SwitchSignerAfterNodes,
    /// Connections whose authority was retired are not closed.
    KeepOrphaned,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 4] =
        [Self::SkipTrustDistribution, Self::RetireOldCaEarly, Self::SwitchSignerAfterNodes, Self::KeepOrphaned];

    /// The name used on command lines.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::SkipTrustDistribution => "skip-trust-distribution",
            Self::RetireOldCaEarly => "retire-old-ca-early",
            Self::SwitchSignerAfterNodes => "switch-signer-after-nodes",
            Self::KeepOrphaned => "keep-orphaned",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        Self::ALL.into_iter().find(|fault| fault.id() == text).ok_or(UnknownFault(()))
    }
}

/// A name that is not one of [`Fault::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFault(());

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown fault, expected one of ")?;
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "`{fault}`")?;
        }
        Ok(())
    }
}

impl core::error::Error for UnknownFault {}
