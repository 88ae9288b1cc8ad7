//! One recurring window. It refuses to overlap itself.

use core::fmt;

use pki_core::Printable;
use time::{Duration, Time, UtcDateTime};

use super::instant::{InstantError, Rfc3339, is_writable, parse_instant, quoted};
use super::recurrence::{Recurrence, RecurrenceError, Weekdays};

/// How long a window lasts that is given by a time of day alone (GKE: four hours).
const DAILY_LENGTH: Duration = Duration::hours(4);

/// A stretch of time that comes again on the same weekdays at the same time of day, for ever, in UTC.
///
/// An occurrence holds its first second and not its end. It may cross midnight, and the turn of a month or year: it has
/// the length of the first. Two windows with the same occurrences are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "super::stored::Window", into = "super::stored::Window"))]
pub struct MaintenanceWindow {
    /// Of the first occurrence.
    start: UtcDateTime,
    length: Duration,
    days: Weekdays,
}

impl MaintenanceWindow {
    /// The window whose first occurrence lasts from `start` to `end`, which is outside.
    ///
    /// Both are cut to whole seconds. GKE states that the dates say no more than how long the window is and when it first
    /// starts: when `start` is on none of the days of the rule, the first occurrence is on the next such day. (RFC 5545
    /// 3.8.5.3 leaves that case open.)
    ///
    /// # Errors
    /// [`WindowError`], when an occurrence would be empty, would overlap the next, or leaves the calendar.
    pub fn new(start: UtcDateTime, end: UtcDateTime, recurrence: Recurrence) -> Result<Self, WindowError> {
        let (start, end) = (start.truncate_to_second(), end.truncate_to_second());
        Self::lasting(start, end - start, recurrence)
    }

    /// The window whose first occurrence begins at `start` and lasts for `length`, both cut to whole seconds.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn lasting(start: UtcDateTime, length: Duration, recurrence: Recurrence) -> Result<Self, WindowError> {
        let (start, length) = (start.truncate_to_second(), Duration::seconds(length.whole_seconds()));
        let days = recurrence.days(start.weekday());
        if !length.is_positive() {
            return Err(WindowError::Empty { length });
        }
        let period = days.shortest_distance();
        if length > period {
            return Err(WindowError::Overlapping { length, period });
        }
        let until_first = (0..7).find(|ahead| days.contains(start.weekday().nth_next(*ahead))).unwrap_or(0);
        let first = start.checked_add(Duration::days(until_first.into())).ok_or(WindowError::OutOfCalendar)?;
        let end = first.checked_add(length).ok_or(WindowError::OutOfCalendar)?;
        if !is_writable(start) || !is_writable(end) {
            return Err(WindowError::OutOfCalendar);
        }
        Ok(Self { start: first, length, days })
    }

    /// GKE's daily maintenance window: four hours of every day from this time of day on. It recurs since 1970.
    ///
    /// # Errors
    /// None for a time of whole seconds; the fraction is cut.
    pub fn daily(start: Time) -> Result<Self, WindowError> {
        Self::lasting(UtcDateTime::UNIX_EPOCH.replace_time(start), DAILY_LENGTH, Recurrence::Daily)
    }

    /// Reads the first start, its end and the rule, as [`parse_instant`] and [`Recurrence`] read them.
    ///
    /// # Errors
    /// [`WindowError`], which names the text at fault.
    pub fn parse(start: &str, end: &str, recurrence: &str) -> Result<Self, WindowError> {
        let start = parse_instant(start).map_err(WindowError::Start)?;
        let end = parse_instant(end).map_err(WindowError::End)?;
        Self::new(start, end, recurrence.parse().map_err(WindowError::Recurrence)?)
    }

    /// Reads the `HH:MM` of GKE's daily maintenance window, from `00:00` to `23:59`.
    ///
    /// # Errors
    /// [`WindowError::TimeOfDay`].
    pub fn parse_daily(text: &str) -> Result<Self, WindowError> {
        let two_digits = |digits: &str| {
            let are_digits = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
            are_digits.then(|| digits.parse().ok()).flatten()
        };
        let time = text.split_once(':').and_then(|(hour, minute)| {
            let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
            Time::from_hms(hour, minute, 0).ok()
        });
        Self::daily(time.ok_or_else(|| WindowError::TimeOfDay { found: quoted(text) })?)
    }

    /// The first second of the first occurrence.
    #[must_use]
    pub const fn start(&self) -> UtcDateTime {
        self.start
    }

    /// The first second after the first occurrence.
    #[must_use]
    pub fn end(&self) -> UtcDateTime {
        self.start.saturating_add(self.length)
    }

    /// How long each occurrence lasts.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// The days on which it starts.
    #[must_use]
    pub const fn days(&self) -> Weekdays {
        self.days
    }

    /// Its rule, the days spelled out.
    #[must_use]
    pub fn recurrence(&self) -> Recurrence {
        if self.days == Weekdays::ALL { Recurrence::Daily } else { Recurrence::WeeklyOn(self.days) }
    }
}

impl fmt::Display for MaintenanceWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}, {}", Rfc3339(self.start), Rfc3339(self.end()), self.recurrence())
    }
}

/// Why there is no such window.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowError {
    /// The first start cannot be read.
    Start(InstantError),
    /// The first end cannot be read.
    End(InstantError),
    /// The recurrence cannot be read, or is outside the subset.
    Recurrence(RecurrenceError),
    /// The start of a daily window cannot be read.
    TimeOfDay {
        /// The text, cut to 40 octets.
        found: Printable,
    },
    /// The window has no second: its end is not after its start.
    Empty {
        /// Its length, zero or negative.
        length: Duration,
    },
    /// An occurrence would last beyond the start of the next.
    Overlapping {
        /// The length of an occurrence.
        length: Duration,
        /// The shortest distance between two starts.
        period: Duration,
    },
    /// The first occurrence begins or ends outside the years 0000 to 9999, which RFC 3339 can write.
    OutOfCalendar,
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "the start of the window: {error}"),
            Self::End(error) => write!(f, "the end of the window: {error}"),
            Self::Recurrence(error) => write!(f, "the recurrence of the window: {error}"),
            Self::TimeOfDay { found } => {
                write!(f, "the daily window starts at `{found}`: expected `HH:MM` from `00:00` to `23:59`")
            }
            Self::Empty { length } => write!(f, "the window lasts {length}: expected an end after its start"),
            Self::Overlapping { length, period } => {
                write!(f, "the window lasts {length} and starts again after {period}: expected no overlap")
            }
            Self::OutOfCalendar => f.write_str("the window is outside the years 0000 to 9999 (RFC 3339 5.6)"),
        }
    }
}

impl core::error::Error for WindowError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Start(error) | Self::End(error) => Some(error),
            Self::Recurrence(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UtcDateTime {
        parse_instant(text).unwrap()
    }

    fn parse(start: &str, end: &str, recurrence: &str) -> Result<(String, String), WindowError> {
        let window = MaintenanceWindow::parse(start, end, recurrence)?;
        assert_eq!(MaintenanceWindow::new(window.start(), window.end(), window.recurrence()), Ok(window));
        Ok((window.to_string(), window.length().to_string()))
    }

    #[test]
    fn a_window_says_when_it_is() {
        for (window, expected) in [
            // 2026-11-22 is a Sunday.
            (
                ("20261122T030000Z", "20261122T070000Z", "FREQ=DAILY"),
                "2026-11-22T03:00:00Z to 2026-11-22T07:00:00Z, FREQ=DAILY",
            ),
            (
                ("2026-11-22T22:00:00Z", "2026-11-23T02:00:00Z", "FREQ=WEEKLY"),
                "2026-11-22T22:00:00Z to 2026-11-23T02:00:00Z, FREQ=WEEKLY;BYDAY=SU",
            ),
            // The whole weekend, as GKE's reference has it.
            (
                ("2019-01-05T00:00:00Z", "2019-01-07T23:59:00Z", "FREQ=WEEKLY;BYDAY=SA"),
                "2019-01-05T00:00:00Z to 2019-01-07T23:59:00Z, FREQ=WEEKLY;BYDAY=SA",
            ),
            // The first start lies on none of the days: the next Saturday is in the next year.
            (
                ("2026-12-27T03:00:00Z", "2026-12-27T07:00:00Z", "FREQ=WEEKLY;BYDAY=SA"),
                "2027-01-02T03:00:00Z to 2027-01-02T07:00:00Z, FREQ=WEEKLY;BYDAY=SA",
            ),
            // Over a leap day.
            (
                ("2024-02-28T23:00:00Z", "2024-03-01T01:00:00Z", "FREQ=WEEKLY;BYDAY=WE"),
                "2024-02-28T23:00:00Z to 2024-03-01T01:00:00Z, FREQ=WEEKLY;BYDAY=WE",
            ),
        ] {
            assert_eq!(parse(window.0, window.1, window.2).unwrap().0, expected);
        }
    }

    #[test]
    fn a_daily_window_lasts_four_hours_from_the_hour_and_minute() {
        let window = MaintenanceWindow::parse_daily("22:30").unwrap();
        assert_eq!(window.to_string(), "1970-01-01T22:30:00Z to 1970-01-02T02:30:00Z, FREQ=DAILY");
        assert!(MaintenanceWindow::parse_daily("00:00").is_ok() && MaintenanceWindow::parse_daily("23:59").is_ok());
        for text in
            ["", "24:00", "23:60", "3:00", "03:0", "03:00:00", "0300", "+3:00", "03:00Z", "003:00", "\u{663}3:00"]
        {
            let found = text.into();
            assert_eq!(MaintenanceWindow::parse_daily(text), Err(WindowError::TimeOfDay { found }), "{text}");
        }
    }

    #[test]
    fn an_occurrence_is_neither_empty_nor_over_the_next() {
        let start = at("2026-11-21T03:00:00Z");
        let lasting = |length, recurrence: &str| MaintenanceWindow::lasting(start, length, recurrence.parse().unwrap());
        for (period, recurrence) in [
            (Duration::DAY, "FREQ=DAILY"),
            (Duration::WEEK, "FREQ=WEEKLY"),
            (Duration::DAY, "FREQ=WEEKLY;BYDAY=SA,SU"),
            (Duration::days(2), "FREQ=WEEKLY;BYDAY=MO,WE"),
        ] {
            assert_eq!(lasting(period, recurrence).unwrap().length(), period);
            let length = period + Duration::SECOND;
            assert_eq!(lasting(length, recurrence), Err(WindowError::Overlapping { length, period }));
        }
        assert_eq!(lasting(Duration::SECOND, "FREQ=DAILY").unwrap().end(), start + Duration::SECOND);
        for length in [Duration::ZERO, Duration::seconds(-1)] {
            assert_eq!(lasting(length, "FREQ=DAILY"), Err(WindowError::Empty { length }));
        }
        let cut = WindowError::Empty { length: Duration::ZERO };
        assert_eq!(lasting(Duration::milliseconds(999), "FREQ=DAILY"), Err(cut));
        assert!(matches!(lasting(Duration::MAX, "FREQ=DAILY"), Err(WindowError::Overlapping { .. })));
        assert!(matches!(lasting(Duration::MIN, "FREQ=DAILY"), Err(WindowError::Empty { .. })));
    }

    #[test]
    fn a_window_stays_in_the_calendar() {
        let last = at("9999-12-31T23:59:59Z");
        let lasting = |start, length, rule: &str| MaintenanceWindow::lasting(start, length, rule.parse().unwrap());
        assert_eq!(lasting(last, Duration::SECOND, "FREQ=DAILY"), Err(WindowError::OutOfCalendar));
        let before = last - Duration::SECOND;
        assert!(lasting(before, Duration::SECOND, "FREQ=DAILY").is_ok());
        // The last day of the calendar is a Friday.
        assert!(lasting(before, Duration::SECOND, "FREQ=WEEKLY;BYDAY=FR").is_ok());
        assert_eq!(lasting(before, Duration::SECOND, "FREQ=WEEKLY;BYDAY=SA"), Err(WindowError::OutOfCalendar));
        assert_eq!(lasting(UtcDateTime::MIN, Duration::HOUR, "FREQ=DAILY"), Err(WindowError::OutOfCalendar));
        let year_before = at("0000-01-01T00:00:00Z") - Duration::SECOND;
        assert_eq!(lasting(year_before, Duration::HOUR, "FREQ=DAILY"), Err(WindowError::OutOfCalendar));
        assert!(lasting(at("0000-01-01T00:00:00Z"), Duration::HOUR, "FREQ=DAILY").is_ok());
    }

    #[test]
    fn a_text_at_fault_is_named() {
        let (start, end, rule) = ("2026-11-21T03:00:00Z", "2026-11-21T07:00:00Z", "FREQ=DAILY");
        for (result, expected) in [
            (parse("x", end, rule), "the start of the window: `x` at octet 0: expected a digit"),
            (
                parse(start, "2026-02-29T00:00:00Z", rule),
                "the end of the window: `2026-02-29T00:00:00Z`: there is no such day",
            ),
            (parse(start, end, "FREQ=HOURLY"), "the recurrence of the window: `FREQ=HOURLY`: expected"),
            (parse(end, start, rule), "the window lasts -4h: expected an end after its start"),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
