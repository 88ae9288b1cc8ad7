//! How a window recurs: the part of RFC 5545's recurrence rules that is days of the week, and no more.

use core::fmt;
use core::str::FromStr;

use pki_core::Printable;
use time::{Duration, Weekday};

use super::instant::quoted;

/// The longest rule that is read, in octets. The longest of this subset has less than half of it.
const TEXT_MAX: usize = 128;

/// The days as RFC 5545 3.3.10 writes them, from Monday on.
const DAYS: [(Weekday, &str); 7] = [
    (Weekday::Monday, "MO"),
    (Weekday::Tuesday, "TU"),
    (Weekday::Wednesday, "WE"),
    (Weekday::Thursday, "TH"),
    (Weekday::Friday, "FR"),
    (Weekday::Saturday, "SA"),
    (Weekday::Sunday, "SU"),
];

/// Days of the week, at least one. They are days of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weekdays(u8);

impl Weekdays {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// These days, or `None` when there are none.
    #[must_use]
    pub fn new(days: impl IntoIterator<Item = Weekday>) -> Option<Self> {
        // Seven are all there are, so no iterator is followed for ever once it has named them.
        let mut bits = 0;
        for day in days {
            bits |= bit(day);
            if bits == Self::ALL.0 {
                break;
            }
        }
        (bits != 0).then_some(Self(bits))
    }

    /// One day.
    #[must_use]
    pub const fn only(day: Weekday) -> Self {
        Self(bit(day))
    }

    /// Whether `day` is one of them.
    #[must_use]
    pub const fn contains(self, day: Weekday) -> bool {
        self.0 & bit(day) != 0
    }

    /// The days, from Monday on.
    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        DAYS.into_iter().map(|(day, _)| day).filter(move |day| self.contains(*day))
    }

    /// The shortest distance from one of these days to the next.
    pub(super) fn shortest_distance(self) -> Duration {
        let distance = |day: Weekday| (1..7).find(|days| self.contains(day.nth_next(*days))).unwrap_or(7);
        Duration::days(self.iter().map(distance).min().unwrap_or(7).into())
    }
}

/// Bit n is the day n days after Monday.
const fn bit(day: Weekday) -> u8 {
    1 << day.number_days_from_monday()
}

impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (_, text) in DAYS.iter().filter(|(day, _)| self.contains(*day)) {
            write!(f, "{separator}{text}")?;
            separator = ",";
        }
        Ok(())
    }
}

/// A recurrence rule, without end and without gaps of its own.
///
/// Read is the part of RFC 5545 3.3.10 that names days of the week, parts in any order and any case:
///
/// - `FREQ=DAILY`;
/// - `FREQ=WEEKLY;BYDAY=SA,SU`, one day or several;
/// - `FREQ=WEEKLY`, on the weekday of the first start, as the RFC completes a rule;
/// - `FREQ=DAILY;BYDAY=SA,SU`, which the RFC's table gives the meaning of the weekly rule, and which becomes that;
/// - with any of these `INTERVAL=1`, the RFC's default.
///
/// Everything else is refused by its name: `COUNT` and `UNTIL` (a window without a future is a deadline), `INTERVAL` above
/// one, `BYHOUR` and the other `BY…` parts, `WKST`, the other frequencies (GKE refuses those below a day too), numbers
/// before a weekday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub enum Recurrence {
    /// Every day.
    Daily,
    /// Every week on the weekday of the first start.
    Weekly,
    /// Every week on these days.
    WeeklyOn(Weekdays),
}

impl Recurrence {
    /// The days on which a window recurs whose first start is on `first`.
    pub(super) const fn days(self, first: Weekday) -> Weekdays {
        match self {
            Self::Daily => Weekdays::ALL,
            Self::Weekly => Weekdays::only(first),
            Self::WeeklyOn(days) => days,
        }
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daily => f.write_str("FREQ=DAILY"),
            Self::Weekly => f.write_str("FREQ=WEEKLY"),
            Self::WeeklyOn(days) => write!(f, "FREQ=WEEKLY;BYDAY={days}"),
        }
    }
}

impl FromStr for Recurrence {
    type Err = RecurrenceError;

    fn from_str(text: &str) -> Result<Self, RecurrenceError> {
        if text.len() > TEXT_MAX {
            return Err(RecurrenceError::TooLong { found: text.len() });
        }
        let (mut daily, mut days, mut interval) = (None, None, None);
        for part in text.split(';') {
            let (name, value) = part.split_once('=').ok_or_else(|| RecurrenceError::NoPart { found: quoted(part) })?;
            match name.to_ascii_uppercase().as_str() {
                "FREQ" => once("FREQ", &mut daily, is_daily(value)?)?,
                "BYDAY" => once("BYDAY", &mut days, weekdays(value)?)?,
                "INTERVAL" => once("INTERVAL", &mut interval, one(value)?)?,
                _ => return Err(RecurrenceError::Part { found: quoted(part) }),
            }
        }
        match (daily, days) {
            (None, _) => Err(RecurrenceError::NoFrequency),
            (Some(true), None) => Ok(Self::Daily),
            (Some(false), None) => Ok(Self::Weekly),
            (Some(_), Some(days)) => Ok(Self::WeeklyOn(days)),
        }
    }
}

/// No part may occur twice (RFC 5545 3.3.10).
fn once<T>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), RecurrenceError> {
    if slot.replace(value).is_some() { Err(RecurrenceError::Repeated { name }) } else { Ok(()) }
}

fn is_daily(value: &str) -> Result<bool, RecurrenceError> {
    match value {
        _ if value.eq_ignore_ascii_case("DAILY") => Ok(true),
        _ if value.eq_ignore_ascii_case("WEEKLY") => Ok(false),
        _ => Err(RecurrenceError::Frequency { found: quoted(value) }),
    }
}

fn weekdays(value: &str) -> Result<Weekdays, RecurrenceError> {
    let mut bits = 0;
    for (item, text) in (1..).zip(value.split(',')) {
        let day = DAYS.iter().find(|(_, name)| text.eq_ignore_ascii_case(name));
        let (day, _) = day.ok_or_else(|| RecurrenceError::Weekday { item, found: quoted(text) })?;
        bits |= bit(*day);
    }
    // What is split has at least one item.
    Ok(Weekdays(bits))
}

/// `1`, perhaps with zeros before it.
fn one(value: &str) -> Result<(), RecurrenceError> {
    if value.trim_start_matches('0') == "1" { Ok(()) } else { Err(RecurrenceError::Interval { found: quoted(value) }) }
}

/// Why a text is no recurrence of a maintenance window. Quotations are cut to 40 octets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecurrenceError {
    /// The text is longer than 128 octets.
    TooLong {
        /// Its length in octets.
        found: usize,
    },
    /// A part is not of the form `NAME=value`.
    NoPart {
        /// The part.
        found: Printable,
    },
    /// A part that is outside the subset, or no part of a recurrence rule at all.
    Part {
        /// The part with its value.
        found: Printable,
    },
    /// A part occurs twice.
    Repeated {
        /// Its name.
        name: &'static str,
    },
    /// `FREQ` is missing, which RFC 5545 3.3.10 requires.
    NoFrequency,
    /// `FREQ` is neither `DAILY` nor `WEEKLY`.
    Frequency {
        /// The value of `FREQ`.
        found: Printable,
    },
    /// `INTERVAL` is not one.
    Interval {
        /// The value of `INTERVAL`.
        found: Printable,
    },
    /// An item of `BYDAY` is no weekday, or has a number, which belongs to the frequencies by month and year.
    Weekday {
        /// Which item, counted from one.
        item: usize,
        /// The item.
        found: Printable,
    },
}

impl fmt::Display for RecurrenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found } => write!(f, "the recurrence has {found} octets, limit {TEXT_MAX}"),
            Self::NoPart { found } => write!(f, "`{found}` is no part of a recurrence: expected `NAME=value`"),
            Self::Part { found } => {
                write!(
                    f,
                    "`{found}` is outside the recurrences of maintenance windows: expected `FREQ`, `BYDAY` or `INTERVAL`"
                )
            }
            Self::Repeated { name } => write!(f, "`{name}` occurs twice (RFC 5545 3.3.10)"),
            Self::NoFrequency => f.write_str("the recurrence has no `FREQ` (RFC 5545 3.3.10)"),
            Self::Frequency { found } => write!(f, "`FREQ={found}`: expected `DAILY` or `WEEKLY`"),
            Self::Interval { found } => write!(f, "`INTERVAL={found}`: expected `1`"),
            Self::Weekday { item, found } => write!(
                f,
                "`{found}`, item {item} of `BYDAY`: expected one of `MO`, `TU`, `WE`, `TH`, `FR`, `SA`, `SU` without a number"
            ),
        }
    }
}

impl core::error::Error for RecurrenceError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(days: &[Weekday]) -> Recurrence {
        Recurrence::WeeklyOn(Weekdays::new(days.iter().copied()).unwrap())
    }

    #[test]
    fn the_subset_is_read_and_written() {
        use Weekday::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
        for (text, recurrence, written) in [
            ("FREQ=DAILY", Recurrence::Daily, "FREQ=DAILY"),
            ("FREQ=WEEKLY", Recurrence::Weekly, "FREQ=WEEKLY"),
            ("freq=weekly;byday=sa", on(&[Saturday]), "FREQ=WEEKLY;BYDAY=SA"),
            ("FREQ=WEEKLY;BYDAY=SU,SA", on(&[Saturday, Sunday]), "FREQ=WEEKLY;BYDAY=SA,SU"),
            ("BYDAY=SA,SU,SA;FREQ=WEEKLY", on(&[Saturday, Sunday]), "FREQ=WEEKLY;BYDAY=SA,SU"),
            ("FREQ=DAILY;BYDAY=SA,SU", on(&[Saturday, Sunday]), "FREQ=WEEKLY;BYDAY=SA,SU"),
            ("INTERVAL=1;FREQ=DAILY", Recurrence::Daily, "FREQ=DAILY"),
            ("FREQ=DAILY;INTERVAL=01", Recurrence::Daily, "FREQ=DAILY"),
            (
                "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO,TU,WE,TH,FR",
                on(&[Monday, Tuesday, Wednesday, Thursday, Friday]),
                "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
            ),
        ] {
            assert_eq!(text.parse(), Ok(recurrence), "{text}");
            assert_eq!(recurrence.to_string(), written);
            assert_eq!(written.parse(), Ok(recurrence));
        }
    }

    #[test]
    fn what_is_outside_the_subset_is_refused_by_name() {
        let part = |found: &str| RecurrenceError::Part { found: found.into() };
        let frequency = |found: &str| RecurrenceError::Frequency { found: found.into() };
        let interval = |found: &str| RecurrenceError::Interval { found: found.into() };
        let weekday = |item, found: &str| RecurrenceError::Weekday { item, found: found.into() };
        let no_part = |found: &str| RecurrenceError::NoPart { found: found.into() };
        for (text, error) in [
            ("", no_part("")),
            ("FREQ", no_part("FREQ")),
            ("FREQ=DAILY;", no_part("")),
            ("BYDAY=SA", RecurrenceError::NoFrequency),
            ("FREQ=DAILY;FREQ=DAILY", RecurrenceError::Repeated { name: "FREQ" }),
            ("FREQ=WEEKLY;BYDAY=SA;BYDAY=SU", RecurrenceError::Repeated { name: "BYDAY" }),
            ("FREQ=DAILY;INTERVAL=1;INTERVAL=1", RecurrenceError::Repeated { name: "INTERVAL" }),
            ("FREQ=DAILY;COUNT=3", part("COUNT=3")),
            ("FREQ=DAILY;UNTIL=20270101T000000Z", part("UNTIL=20270101T000000Z")),
            ("FREQ=DAILY;BYHOUR=3", part("BYHOUR=3")),
            ("FREQ=WEEKLY;WKST=SU", part("WKST=SU")),
            ("FREQ=WEEKLY;BYSETPOS=1", part("BYSETPOS=1")),
            ("RRULE:FREQ=DAILY", part("RRULE:FREQ=DAILY")),
            (" FREQ=DAILY", part(" FREQ=DAILY")),
            ("FREQ=MONTHLY;BYDAY=SA", frequency("MONTHLY")),
            ("FREQ=HOURLY", frequency("HOURLY")),
            ("FREQ=YEARLY", frequency("YEARLY")),
            ("FREQ=", frequency("")),
            ("FREQ=DAILY;INTERVAL=2", interval("2")),
            ("FREQ=DAILY;INTERVAL=0", interval("0")),
            ("FREQ=DAILY;INTERVAL=+1", interval("+1")),
            ("FREQ=DAILY;INTERVAL=11", interval("11")),
            ("FREQ=WEEKLY;BYDAY=", weekday(1, "")),
            ("FREQ=WEEKLY;BYDAY=SA,XX", weekday(2, "XX")),
            ("FREQ=WEEKLY;BYDAY=1SA", weekday(1, "1SA")),
            ("FREQ=WEEKLY;BYDAY=SA,-1SU", weekday(2, "-1SU")),
        ] {
            assert_eq!(text.parse::<Recurrence>(), Err(error), "{text}");
        }
        assert_eq!(
            "FREQ=WEEKLY;BYHOUR=3".parse::<Recurrence>().unwrap_err().to_string(),
            "`BYHOUR=3` is outside the recurrences of maintenance windows: expected `FREQ`, `BYDAY` or `INTERVAL`"
        );
    }

    #[test]
    fn a_long_rule_is_refused_unread() {
        let longest = "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO,TU,WE,TH,FR,SA,SU";
        assert!(longest.len() * 2 < TEXT_MAX && longest.parse::<Recurrence>().is_ok());
        let padded = |len: usize| format!("FREQ=WEEKLY;INTERVAL={}1", "0".repeat(len - 22));
        assert!(padded(TEXT_MAX).parse::<Recurrence>().is_ok());
        assert_eq!(padded(129).parse::<Recurrence>(), Err(RecurrenceError::TooLong { found: 129 }));
    }

    #[test]
    fn days_know_their_shortest_distance() {
        for (days, distance) in [
            (&[Weekday::Saturday][..], 7),
            (&[Weekday::Saturday, Weekday::Sunday], 1),
            (&[Weekday::Sunday, Weekday::Monday], 1),
            (&[Weekday::Monday, Weekday::Thursday], 3),
            (&[Weekday::Monday, Weekday::Wednesday, Weekday::Friday], 2),
        ] {
            let days = Weekdays::new(days.iter().copied()).unwrap();
            assert_eq!(days.shortest_distance(), Duration::days(distance), "{days}");
        }
        assert_eq!(Weekdays::ALL.shortest_distance(), Duration::DAY);
        assert_eq!(Weekdays::new([]), None);
        assert_eq!(
            Weekdays::new(core::iter::repeat([Weekday::Monday, Weekday::Sunday]).flatten().chain([]).take(9)),
            { Weekdays::new([Weekday::Sunday, Weekday::Monday]) }
        );
    }
}
