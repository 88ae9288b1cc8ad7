//! Instants as text and as seconds. Reads no time zone but UTC and no fraction of a second.

use core::fmt;

use pki_core::Printable;
use time::{Date, Duration, Month, UtcDateTime};

/// How much of a text that was refused is quoted, in octets.
const QUOTED_MAX: usize = 40;

/// Reads an instant of UTC in whole seconds, of the years 0000 to 9999.
///
/// Two forms are read: `2026-11-22T03:00:00Z` (RFC 3339 5.6, in capitals) and `20261122T030000Z` (RFC 5545 3.3.5, form 2).
/// An offset is refused, `+00:00` too, as are fractions and the leap second `60`, which has no place in seconds that are
/// counted.
///
/// # Errors
/// [`InstantError`], which names the place.
pub fn parse_instant(text: &str) -> Result<UtcDateTime, InstantError> {
    // `0` stands for any digit.
    const EXTENDED: &[u8] = b"0000-00-00T00:00:00Z";
    const BASIC: &[u8] = b"00000000T000000Z";
    let form = if text.as_bytes().get(4) == Some(&b'-') { EXTENDED } else { BASIC };

    let mut found = text.bytes();
    for (position, expected) in form.iter().enumerate() {
        let matches =
            found.next().is_some_and(|octet| octet == *expected || *expected == b'0' && octet.is_ascii_digit());
        if !matches {
            return Err(InstantError::Form { found: quoted(text), position, expected: char::from(*expected) });
        }
    }
    if found.next().is_some() {
        return Err(InstantError::Trailing { found: quoted(text), position: form.len() });
    }

    let mut digits = text.bytes().filter(u8::is_ascii_digit).map(|octet| u16::from(octet - b'0'));
    let mut number = |width| digits.by_ref().take(width).fold(0, |number, digit| number * 10 + digit);
    let year = number(4);
    // Two digits always fit.
    let [month, day, hour, minute, second] = [(); 5].map(|()| u8::try_from(number(2)).unwrap_or(u8::MAX));
    Month::try_from(month)
        .and_then(|month| Date::from_calendar_date(i32::from(year), month, day))
        .and_then(|date| date.with_hms(hour, minute, second))
        .map(|moment| moment.as_utc())
        .map_err(|error| InstantError::NoSuchMoment { found: quoted(text), component: error.name() })
}

/// Why a text is no instant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstantError {
    /// It is of neither form.
    Form {
        /// The text, cut to 40 octets.
        found: Printable,
        /// The octet at fault, counted from zero.
        position: usize,
        /// What should stand there; `0` is any digit.
        expected: char,
    },
    /// It goes on after its end.
    Trailing {
        /// The text, cut to 40 octets.
        found: Printable,
        /// Where it should end, counted from zero.
        position: usize,
    },
    /// The calendar or the clock has no such moment.
    NoSuchMoment {
        /// The text, cut to 40 octets.
        found: Printable,
        /// What is out of range: `month`, `day`, `hour`, `minute` or `second`.
        component: &'static str,
    },
}

impl fmt::Display for InstantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FORMS: &str = "`2026-11-22T03:00:00Z` (RFC 3339) or `20261122T030000Z` (RFC 5545)";
        match self {
            Self::Form { found, position, expected: '0' } => {
                write!(f, "`{found}` at octet {position}: expected a digit, as in {FORMS}")
            }
            Self::Form { found, position, expected } => {
                write!(f, "`{found}` at octet {position}: expected `{expected}`, as in {FORMS}")
            }
            Self::Trailing { found, position } => {
                write!(f, "`{found}` at octet {position}: expected the end, as in {FORMS}")
            }
            Self::NoSuchMoment { found, component } => write!(f, "`{found}`: there is no such {component}"),
        }
    }
}

impl core::error::Error for InstantError {}

/// The beginning of a stranger's text.
pub(super) fn quoted(text: &str) -> Printable {
    Printable::new(text.as_bytes().get(..QUOTED_MAX).unwrap_or(text.as_bytes()))
}

/// Prints as RFC 3339 5.6 writes it, in whole seconds of UTC, for years of four digits.
pub(crate) struct Rfc3339(pub(crate) UtcDateTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((hour, minute, second), (year, month, day)) = (self.0.as_hms(), self.0.to_calendar_date());
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
    }
}

/// Whether four digits write the year.
pub(crate) fn is_writable(time: UtcDateTime) -> bool {
    (0..=9999).contains(&time.year())
}

/// The second in which the instant lies, since 1970.
pub(super) const fn second_of(time: UtcDateTime) -> i64 {
    time.unix_timestamp()
}

/// The first whole second that is not before the instant.
pub(super) const fn second_from(time: UtcDateTime) -> i64 {
    if time.nanosecond() == 0 { time.unix_timestamp() } else { time.unix_timestamp().saturating_add(1) }
}

/// Whole seconds that hold the duration; none for a negative one.
pub(super) fn seconds_for(duration: Duration) -> i64 {
    let rest = i64::from(duration.subsec_nanoseconds() > 0);
    duration.whole_seconds().saturating_add(rest).max(0)
}

/// The instant, if the calendar reaches that far.
pub(super) fn instant(second: i64) -> Option<UtcDateTime> {
    UtcDateTime::from_unix_timestamp(second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_read_the_same_instant_and_one_is_written() {
        for (second, extended, basic) in [
            (0, "1970-01-01T00:00:00Z", "19700101T000000Z"),
            (951_782_400, "2000-02-29T00:00:00Z", "20000229T000000Z"),
            (1_795_316_400, "2026-11-22T03:00:00Z", "20261122T030000Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z", "21000301T000000Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z", "99991231T235959Z"),
            (-62_167_219_200, "0000-01-01T00:00:00Z", "00000101T000000Z"),
        ] {
            let time = instant(second).unwrap();
            assert_eq!(parse_instant(extended), Ok(time));
            assert_eq!(parse_instant(basic), Ok(time));
            assert_eq!(Rfc3339(time).to_string(), extended);
        }
    }

    #[test]
    fn what_is_no_instant_is_refused_by_its_place() {
        let form = |position, expected| move |found| InstantError::Form { found, position, expected };
        let no_such = |component| move |found| InstantError::NoSuchMoment { found, component };
        let trailing = |position| move |found| InstantError::Trailing { found, position };
        let cases: [(&str, &dyn Fn(Printable) -> InstantError); 19] = [
            ("", &form(0, '0')),
            ("2026-11-22", &form(10, 'T')),
            ("2026-11-22 03:00:00Z", &form(10, 'T')),
            ("2026-11-22t03:00:00z", &form(10, 'T')),
            ("2026-11-22T03:00:00z", &form(19, 'Z')),
            ("2026-11-22T03:00:00+00:00", &form(19, 'Z')),
            ("2026-11-22T03:00:00.000Z", &form(19, 'Z')),
            ("2026-11-22T03:00Z", &form(16, ':')),
            ("20261122T030000", &form(15, 'Z')),
            ("20261122", &form(8, 'T')),
            ("+2026-11-22T03:00:00Z", &form(0, '0')),
            ("2026-11-22T03:00:00Z ", &trailing(20)),
            ("20261122T030000ZZ", &trailing(16)),
            ("2026-13-22T03:00:00Z", &no_such("month")),
            ("2026-00-22T03:00:00Z", &no_such("month")),
            ("2100-02-29T03:00:00Z", &no_such("day")),
            ("20260230T030000Z", &no_such("day")),
            ("2026-11-22T24:00:00Z", &no_such("hour")),
            ("2016-12-31T23:59:60Z", &no_such("second")),
        ];
        for (text, error) in cases {
            assert_eq!(parse_instant(text), Err(error(Printable::from(text))), "{text}");
        }
        assert!(parse_instant("2024-02-29T00:00:00Z").is_ok() && parse_instant("2023-02-29T00:00:00Z").is_err());
    }

    #[test]
    fn a_refusal_is_short_and_harmless_whatever_was_read() {
        let error = parse_instant(&"\u{1b}".repeat(1_000_000)).unwrap_err();
        let InstantError::Form { found, .. } = &error else { panic!("{error:?}") };
        assert_eq!(found.as_str(), "\\1B".repeat(QUOTED_MAX));
        assert_eq!(
            parse_instant("2026-11-22T03:00:00+01:00").unwrap_err().to_string(),
            "`2026-11-22T03:00:00+01:00` at octet 19: expected `Z`, as in `2026-11-22T03:00:00Z` (RFC 3339) or \
             `20261122T030000Z` (RFC 5545)"
        );
    }

    #[test]
    fn fractions_of_a_second_round_towards_the_careful_side() {
        let half = instant(100).unwrap().replace_nanosecond(500_000_000).unwrap();
        assert_eq!((second_of(half), second_from(half)), (100, 101));
        assert_eq!((second_of(instant(100).unwrap()), second_from(instant(100).unwrap())), (100, 100));
        for (duration, seconds) in [
            (Duration::milliseconds(1), 1),
            (Duration::seconds(1), 1),
            (Duration::milliseconds(-1), 0),
            (Duration::MIN, 0),
            (Duration::MAX, i64::MAX),
        ] {
            assert_eq!(seconds_for(duration), seconds);
        }
    }
}
