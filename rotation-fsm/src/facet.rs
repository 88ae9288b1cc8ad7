//! One thing that a consumer runs with, and which generations it may hold of it.

use core::fmt;

use pki_core::{AuthorityRole, CaVersion, LeafKind, TrustSlot};

use crate::plan::VersionRange;
use crate::topology::is_signed_at_run_time;

/// One thing that a consumer loads, presents, signs with, serves or dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Facet {
    /// A bundle that it verifies with.
    Trusts(TrustSlot),
    /// A leaf that it presents.
    Presents(LeafKind),
    /// The key with which it signs at run time.
    Signs(AuthorityRole),
    /// Who was CSR signer when its node last restarted.
    RestartedUnder,
    /// The addresses of the control plane that it serves on.
    Serves,
    /// The address to which the `kubernetes` Service leads.
    Service,
    /// The address of the control plane that it dials.
    Dials,
}

impl Facet {
    /// Whether a consumer has it anew whenever it restarts, from whoever signs then.
    pub(crate) const fn is_renewed(self) -> bool {
        match self {
            Self::Presents(leaf) => is_signed_at_run_time(leaf),
            Self::RestartedUnder => true,
            _ => false,
        }
    }
}

impl fmt::Display for Facet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trusts(slot) => write!(f, "trusts {slot:?}"),
            Self::Presents(leaf) => write!(f, "presents {leaf}"),
            Self::Signs(role) => write!(f, "signs for {role}"),
            Self::RestartedUnder => f.write_str("restarted under"),
            Self::Serves => f.write_str("serves on"),
            Self::Service => f.write_str("Service leads to"),
            Self::Dials => f.write_str("dials"),
        }
    }
}

/// What the generations of a facet belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Track {
    /// The CA, or the key set, of a role.
    Authority(AuthorityRole),
    /// The address of the control plane.
    Address,
}

/// Which generations a consumer holds of one facet, relative to the rotation that is running or was the last.
///
/// A set for bundles and served addresses, one generation for everything else.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "u8", into = "u8"))]
pub struct Holding(u8);

impl Holding {
    /// Nothing that is known: unseen, or foreign.
    pub const UNKNOWN: Self = Self(0);
    /// The generation that was retired, or rolled back, last.
    pub const PREVIOUS: Self = Self(1);
    /// The generation that is active, or is being replaced.
    pub const CURRENT: Self = Self(2);
    /// The generation that replaces it.
    pub const NEXT: Self = Self(4);
    /// The current generation and the next.
    pub const BOTH: Self = Self(6);
    /// A leaf of the next generation, presented with the cross-certificate that leads to the current one.
    pub const NEXT_CHAINED: Self = Self(12);

    const CHAINED: u8 = 8;

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether everything of `other` is in it; of nothing nothing is.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        other.0 != 0 && self.0 & other.0 == other.0
    }

    pub(crate) const fn chained(self) -> Self {
        Self(self.0 | Self::CHAINED)
    }

    /// Whether a leaf is presented with the cross-certificate.
    #[must_use]
    pub const fn is_chained(self) -> bool {
        self.0 & Self::CHAINED != 0
    }

    /// The generations alone, however they are presented.
    pub(crate) const fn generations(self) -> Self {
        Self(self.0 & 7)
    }

    /// Whether a bundle of these generations verifies a leaf that is presented like this: by its root, or through the
    /// cross-certificate by the root that signed it.
    pub(crate) const fn verifies(self, leaf: Self) -> bool {
        self.contains(leaf.generations()) || (leaf.0 == Self::NEXT_CHAINED.0 && self.contains(Self::CURRENT))
    }

    /// The same when the next generation has become the current one.
    pub(crate) const fn promoted(self) -> Self {
        Self(((self.0 & 6) >> 1) | (self.0 & Self::CHAINED))
    }

    /// The same when the next generation was given up, and is recognised as the last one retired. What was recognised as
    /// that until then no longer is.
    pub(crate) const fn given_up(self) -> Self {
        if self.contains(Self::PREVIOUS) {
            return Self::UNKNOWN;
        }
        Self((self.0 & 2) | ((self.0 & 4) >> 2) | (self.0 & Self::CHAINED))
    }

    /// Which versions that is, where the generations have these.
    pub(crate) fn versions(
        self,
        previous: Option<CaVersion>,
        current: CaVersion,
        next: Option<CaVersion>,
    ) -> Option<VersionRange> {
        let held = [(Self::PREVIOUS, previous), (Self::CURRENT, Some(current)), (Self::NEXT, next)];
        let mut versions =
            held.into_iter().filter(|(holding, _)| self.contains(*holding)).filter_map(|(_, version)| version);
        let first = versions.next()?;
        Some(VersionRange::between(first, versions.next_back().unwrap_or(first)))
    }
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(Self::PREVIOUS, "previous"), (Self::CURRENT, "old"), (Self::NEXT, "new")];
        let mut first = true;
        f.write_str("[")?;
        for (_, name) in names.into_iter().filter(|(holding, _)| self.contains(*holding)) {
            f.write_str(if first { "" } else { " " })?;
            f.write_str(name)?;
            first = false;
        }
        f.write_str(if self.is_chained() { "+cross]" } else { "]" })
    }
}

impl From<Holding> for u8 {
    fn from(holding: Holding) -> Self {
        holding.0
    }
}

/// Not the number of a holding: it is larger than 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownHolding(u8);

impl fmt::Display for UnknownHolding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no holding, expected 0 to 15", self.0)
    }
}

impl core::error::Error for UnknownHolding {}

impl TryFrom<u8> for Holding {
    type Error = UnknownHolding;

    fn try_from(number: u8) -> Result<Self, UnknownHolding> {
        if number < 16 { Ok(Self(number)) } else { Err(UnknownHolding(number)) }
    }
}

/// A set of holdings: what suffices, or what may be.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Holdings(u16);

impl Holdings {
    pub(crate) const fn one(holding: Holding) -> Self {
        Self(1 << holding.0)
    }

    pub(crate) const fn or(self, holding: Holding) -> Self {
        Self(self.0 | 1 << holding.0)
    }

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, holding: Holding) -> bool {
        self.0 & (1 << holding.0) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Holding> {
        (0..16).map(Holding).filter(move |holding| self.has(*holding))
    }
}

impl fmt::Debug for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_verifies_by_root_or_through_the_cross_certificate() {
        let verifies = |bundle: Holding, leaf| bundle.verifies(leaf);
        assert!(verifies(Holding::CURRENT, Holding::CURRENT));
        assert!(!verifies(Holding::CURRENT, Holding::NEXT));
        assert!(verifies(Holding::BOTH, Holding::NEXT) && verifies(Holding::BOTH, Holding::CURRENT));
        assert!(!verifies(Holding::NEXT, Holding::CURRENT));
        for bundle in [Holding::CURRENT, Holding::BOTH, Holding::NEXT] {
            assert!(verifies(bundle, Holding::NEXT_CHAINED));
        }
        // Once the next generation is the current one, the certificate that signed the cross-certificate is gone.
        assert!(!verifies(Holding::PREVIOUS, Holding::NEXT_CHAINED.promoted()));
        assert!(!verifies(Holding::UNKNOWN, Holding::CURRENT) && !verifies(Holding::CURRENT, Holding::UNKNOWN));
    }

    #[test]
    fn generations_move_on_and_back() {
        assert_eq!(Holding::BOTH.promoted(), Holding::PREVIOUS.union(Holding::CURRENT));
        assert_eq!(Holding::NEXT.promoted(), Holding::CURRENT);
        assert_eq!(Holding::PREVIOUS.promoted(), Holding::UNKNOWN);
        assert_eq!(Holding::NEXT.given_up(), Holding::PREVIOUS);
        assert_eq!(Holding::BOTH.given_up(), Holding::PREVIOUS.union(Holding::CURRENT));
        assert_eq!(Holding::PREVIOUS.given_up(), Holding::UNKNOWN);
        // A bundle that also trusts what was retired before is no bundle of the current generation alone.
        assert_eq!(Holding::PREVIOUS.union(Holding::CURRENT).given_up(), Holding::UNKNOWN);
    }

    #[test]
    fn only_sixteen_numbers_are_holdings() {
        assert_eq!(Holding::try_from(6), Ok(Holding::BOTH));
        assert_eq!(Holding::try_from(16), Err(UnknownHolding(16)));
    }
}
