//! What is known about a cluster, and how.

use core::fmt;
use std::borrow::Cow;

/// Where something was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, relative to the root that was read.
    pub file: String,
    /// What in it: a flag, a field, a certificate.
    pub item: Option<String>,
}

impl Place {
    /// A file as a whole.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), item: None }
    }

    /// Something in a file.
    pub fn item(file: impl Into<String>, item: impl Into<String>) -> Self {
        Self { file: file.into(), item: Some(item.into()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.item.iter().try_for_each(|item| write!(f, " {item}"))
    }
}

/// How something is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It was read.
    Observed(Place),
    /// Nobody set it, and this is what the component does then.
    Default,
    /// Somebody says so: a document, or an operator. Nothing was read that shows it.
    Declared(Cow<'static, str>),
}

impl Origin {
    /// How something is known that follows from two facts: only as somebody's word if one of them is, else from where it
    /// was read.
    pub(crate) const fn of_both<'a>(&'a self, other: &'a Self) -> &'a Self {
        match (self, other) {
            (Self::Declared(_), _) => self,
            (_, Self::Declared(_)) => other,
            (Self::Default, _) => other,
            _ => self,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Observed(place) => place.fmt(f),
            Self::Default => f.write_str("default"),
            Self::Declared(by) => write!(f, "asserted: {by}"),
        }
    }
}

/// Something about a cluster that may be known.
///
/// A fact that is missing is never taken for one that is in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fact<T> {
    /// Nobody said anything about it.
    #[default]
    Missing,
    /// It is known.
    Known {
        /// What it is.
        value: T,
        /// How it is known.
        origin: Origin,
    },
}

impl<T> Fact<T> {
    /// It was read here.
    pub const fn observed(value: T, place: Place) -> Self {
        Self::Known { value, origin: Origin::Observed(place) }
    }

    /// Nobody set it, and this is what the component does then.
    pub const fn default_of(value: T) -> Self {
        Self::Known { value, origin: Origin::Default }
    }

    /// Somebody says so.
    pub fn declared(value: T, by: impl Into<Cow<'static, str>>) -> Self {
        Self::Known { value, origin: Origin::Declared(by.into()) }
    }

    /// What it is, if it is known.
    #[must_use]
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Missing => None,
            Self::Known { value, .. } => Some(value),
        }
    }

    /// How it is known.
    #[must_use]
    pub const fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Missing => None,
            Self::Known { origin, .. } => Some(origin),
        }
    }

    /// Whether only somebody's word stands behind it.
    #[must_use]
    pub const fn is_declared(&self) -> bool {
        matches!(self, Self::Known { origin: Origin::Declared(_), .. })
    }

    /// The same fact about a part or a consequence of it.
    pub fn map<U>(&self, of: impl FnOnce(&T) -> U) -> Fact<U> {
        match self {
            Self::Missing => Fact::Missing,
            Self::Known { value, origin } => Fact::Known { value: of(value), origin: origin.clone() },
        }
    }
}
