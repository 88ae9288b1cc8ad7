//! One exclusion: a stretch of time in which some steps do not happen.

use core::fmt;
use core::str::FromStr;

use pki_core::Printable;
use time::UtcDateTime;

use super::StepKind;
use super::instant::{InstantError, Rfc3339, is_writable, parse_instant, quoted};

/// What an exclusion keeps away. The three scopes of GKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum ExclusionScope {
    /// `NO_UPGRADES`: every change.
    NoUpgrades,
    /// `NO_MINOR_UPGRADES`: changes of the minor version.
    NoMinorUpgrades,
    /// `NO_MINOR_OR_NODE_UPGRADES`: changes of the minor version, and every change of the nodes.
    NoMinorOrNodeUpgrades,
}

impl ExclusionScope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NoUpgrades, Self::NoMinorUpgrades, Self::NoMinorOrNodeUpgrades];

    /// GKE's name for it.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::NoUpgrades => "NO_UPGRADES",
            Self::NoMinorUpgrades => "NO_MINOR_UPGRADES",
            Self::NoMinorOrNodeUpgrades => "NO_MINOR_OR_NODE_UPGRADES",
        }
    }

    /// Whether this scope keeps a step away.
    ///
    /// | Scope | start, control plane, complete | recreate nodes |
    /// |---|---|---|
    /// | `NO_UPGRADES` | blocked | blocked |
    /// | `NO_MINOR_UPGRADES` | free | free |
    /// | `NO_MINOR_OR_NODE_UPGRADES` | free | blocked |
    ///
    /// No step of a rotation changes a minor version: nodes come back with the one that they ran, so
    /// `NO_MINOR_UPGRADES` has nothing to say. Whoever recreates nodes at another minor version does an upgrade as well,
    /// and has to ask whether that is excluded.
    #[must_use]
    pub const fn blocks(self, step: StepKind) -> bool {
        match (self, step) {
            (Self::NoUpgrades, _) | (Self::NoMinorOrNodeUpgrades, StepKind::RecreateNodes) => true,
            (Self::NoMinorUpgrades, _) => false,
            (Self::NoMinorOrNodeUpgrades, StepKind::Start | StepKind::ControlPlane | StepKind::Complete) => false,
        }
    }
}

impl fmt::Display for ExclusionScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for ExclusionScope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.id() == text).ok_or_else(|| UnknownScope { found: quoted(text) })
    }
}

/// A text that names no [`ExclusionScope`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScope {
    found: Printable,
}

impl fmt::Display for UnknownScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [all, minor, node] = ExclusionScope::ALL;
        write!(f, "`{}` is no scope of an exclusion: expected `{all}`, `{minor}` or `{node}`", self.found)
    }
}

impl core::error::Error for UnknownScope {}

/// The name of an exclusion: 1 to 128 octets of printable ASCII. The limits are ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct ExclusionName(String);

impl ExclusionName {
    /// The longest name, in octets.
    pub const MAX: usize = 128;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExclusionName {
    type Err = ExclusionError;

    fn from_str(text: &str) -> Result<Self, ExclusionError> {
        let printable = text.bytes().take(Self::MAX).all(|octet| (b' '..=b'~').contains(&octet));
        if text.is_empty() || text.len() > Self::MAX || !printable {
            return Err(ExclusionError::Name { found: quoted(text), length: text.len() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ExclusionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A stretch of time, once, with its first second and without its end, in which steps of a scope do not happen.
///
/// GKE bounds how long and how many exclusions a cluster may have; what was accepted there is not judged again here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "super::stored::Exclusion", into = "super::stored::Exclusion"))]
pub struct MaintenanceExclusion {
    name: ExclusionName,
    start: UtcDateTime,
    end: UtcDateTime,
    scope: ExclusionScope,
}

impl MaintenanceExclusion {
    /// From `start` to `end`, which is outside; both cut to whole seconds.
    ///
    /// # Errors
    /// [`ExclusionError`], when the end is not after the start, or a year cannot be written.
    pub fn new(
        name: ExclusionName,
        start: UtcDateTime,
        end: UtcDateTime,
        scope: ExclusionScope,
    ) -> Result<Self, ExclusionError> {
        let (start, end) = (start.truncate_to_second(), end.truncate_to_second());
        if !is_writable(start) || !is_writable(end) {
            return Err(ExclusionError::OutOfCalendar);
        }
        if end <= start {
            return Err(ExclusionError::Empty { start, end });
        }
        Ok(Self { name, start, end, scope })
    }

    /// Reads its name, its two ends as [`parse_instant`] reads them, and GKE's name of the scope.
    ///
    /// # Errors
    /// [`ExclusionError`], which names the text at fault.
    pub fn parse(name: &str, start: &str, end: &str, scope: &str) -> Result<Self, ExclusionError> {
        let start = parse_instant(start).map_err(ExclusionError::Start)?;
        let end = parse_instant(end).map_err(ExclusionError::End)?;
        Self::new(name.parse()?, start, end, scope.parse().map_err(ExclusionError::Scope)?)
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &ExclusionName {
        &self.name
    }

    /// Its first second.
    #[must_use]
    pub const fn start(&self) -> UtcDateTime {
        self.start
    }

    /// The first second after it.
    #[must_use]
    pub const fn end(&self) -> UtcDateTime {
        self.end
    }

    /// What it keeps away.
    #[must_use]
    pub const fn scope(&self) -> ExclusionScope {
        self.scope
    }
}

impl fmt::Display for MaintenanceExclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} from {} to {}", self.name, self.scope, Rfc3339(self.start), Rfc3339(self.end))
    }
}

/// Why there is no such exclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExclusionError {
    /// The name is empty, longer than [`ExclusionName::MAX`], or has an octet that is not printable ASCII.
    Name {
        /// The name, cut to 40 octets.
        found: Printable,
        /// Its length in octets.
        length: usize,
    },
    /// The start cannot be read.
    Start(InstantError),
    /// The end cannot be read.
    End(InstantError),
    /// There is no such scope.
    Scope(UnknownScope),
    /// The end is not after the start.
    Empty {
        /// The start.
        start: UtcDateTime,
        /// The end.
        end: UtcDateTime,
    },
    /// A year outside 0000 to 9999, which RFC 3339 cannot write.
    OutOfCalendar,
}

impl fmt::Display for ExclusionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { found, length } => write!(
                f,
                "the name `{found}` of an exclusion, {length} octets: expected 1 to {} of printable ASCII",
                ExclusionName::MAX
            ),
            Self::Start(error) => write!(f, "the start of the exclusion: {error}"),
            Self::End(error) => write!(f, "the end of the exclusion: {error}"),
            Self::Scope(error) => write!(f, "{error}"),
            Self::Empty { start, end } => {
                write!(f, "the exclusion ends at {}: expected later than {}", Rfc3339(*end), Rfc3339(*start))
            }
            Self::OutOfCalendar => f.write_str("the exclusion is outside the years 0000 to 9999 (RFC 3339 5.6)"),
        }
    }
}

impl core::error::Error for ExclusionError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Start(error) | Self::End(error) => Some(error),
            Self::Scope(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "2026-11-27T00:00:00Z";
    const END: &str = "2026-11-30T00:00:00Z";

    #[test]
    fn each_scope_blocks_its_steps_and_no_others() {
        use ExclusionScope::{NoMinorOrNodeUpgrades, NoMinorUpgrades, NoUpgrades};
        let blocked =
            |scope: ExclusionScope| StepKind::ALL.into_iter().filter(|step| scope.blocks(*step)).collect::<Vec<_>>();
        assert_eq!(blocked(NoUpgrades), StepKind::ALL);
        assert_eq!(blocked(NoMinorUpgrades), []);
        assert_eq!(blocked(NoMinorOrNodeUpgrades), [StepKind::RecreateNodes]);
    }

    #[test]
    fn scopes_are_read_by_gkes_names() {
        for scope in ExclusionScope::ALL {
            assert_eq!(scope.id().parse(), Ok(scope));
        }
        let error = "no_upgrades".parse::<ExclusionScope>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`no_upgrades` is no scope of an exclusion: expected `NO_UPGRADES`, `NO_MINOR_UPGRADES` or \
             `NO_MINOR_OR_NODE_UPGRADES`"
        );
    }

    #[test]
    fn an_exclusion_ends_after_it_starts() {
        let parse = |start, end| MaintenanceExclusion::parse("black-friday", start, end, "NO_UPGRADES");
        let exclusion = parse(START, END).unwrap();
        assert_eq!(
            exclusion.to_string(),
            "black-friday: NO_UPGRADES from 2026-11-27T00:00:00Z to 2026-11-30T00:00:00Z"
        );
        assert!(parse(START, "2026-11-27T00:00:01Z").is_ok());
        let start = parse_instant(START).unwrap();
        assert_eq!(parse(START, START), Err(ExclusionError::Empty { start, end: start }));
        assert!(matches!(parse(END, START), Err(ExclusionError::Empty { .. })));
        assert!(matches!(parse("x", END), Err(ExclusionError::Start(_))));
        assert!(matches!(parse(START, "x"), Err(ExclusionError::End(_))));
        let before =
            MaintenanceExclusion::new("a".parse().unwrap(), UtcDateTime::MIN, start, ExclusionScope::NoUpgrades);
        assert_eq!(before, Err(ExclusionError::OutOfCalendar));
    }

    #[test]
    fn a_name_is_short_and_printable() {
        let longest = "n".repeat(ExclusionName::MAX);
        assert_eq!(longest.parse::<ExclusionName>().unwrap().as_str(), longest);
        for name in ["", "a\nb", "b\u{fc}cher", &"n".repeat(ExclusionName::MAX + 1)] {
            let error = ExclusionError::Name { found: quoted(name), length: name.len() };
            assert_eq!(name.parse::<ExclusionName>(), Err(error.clone()), "{name}");
            assert_eq!(MaintenanceExclusion::parse(name, START, END, "NO_UPGRADES"), Err(error));
        }
    }
}
