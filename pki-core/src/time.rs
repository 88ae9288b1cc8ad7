//! Validity, in whole seconds, with both ends inside (RFC 5280 4.1.2.5).

use core::fmt;

use rustls_pki_types::UnixTime;
use time::{Date, Duration, Time, UtcDateTime};

use crate::decode::{DecodeError, Elements};
use crate::encode::tag;

/// From the first second to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Validity {
    not_before: UtcDateTime,
    not_after: UtcDateTime,
}

/// Why two times are no validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValidityError {
    /// The last second lies before the first.
    Inverted {
        /// The first second asked for.
        not_before: UtcDateTime,
        /// The last second asked for.
        not_after: UtcDateTime,
    },
    /// A year outside 1950 to 9999, which RFC 5280 4.1.2.5 cannot encode.
    OutOfRange,
}

impl fmt::Display for ValidityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inverted { not_before, not_after } => {
                write!(f, "notAfter {not_after} lies before notBefore {not_before} (RFC 5280 4.1.2.5)")
            }
            Self::OutOfRange => f.write_str("the year is outside 1950 to 9999 (RFC 5280 4.1.2.5)"),
        }
    }
}

impl core::error::Error for ValidityError {}

impl Validity {
    /// From `not_before` to `not_after`, cut to whole seconds.
    ///
    /// # Errors
    /// When the two are inverted, or a year cannot be encoded.
    pub fn new(not_before: UtcDateTime, not_after: UtcDateTime) -> Result<Self, ValidityError> {
        let (not_before, not_after) = (not_before.truncate_to_second(), not_after.truncate_to_second());
        if [not_before, not_after].iter().any(|time| !(1950..=9999).contains(&time.year())) {
            return Err(ValidityError::OutOfRange);
        }
        if not_after < not_before {
            return Err(ValidityError::Inverted { not_before, not_after });
        }
        Ok(Self { not_before, not_after })
    }

    /// Valid for `lifetime` after `now`, and for `backdate` before it to forgive a skewed clock.
    ///
    /// The last second is `now + lifetime` and belongs to the validity, as kubeadm and
    /// kube-controller-manager count.
    ///
    /// # Errors
    /// As [`new`](Self::new); an overflow of the calendar is [`ValidityError::OutOfRange`].
    pub fn around(now: UtcDateTime, backdate: Duration, lifetime: Duration) -> Result<Self, ValidityError> {
        let not_before = now.checked_sub(backdate).ok_or(ValidityError::OutOfRange)?;
        let not_after = now.checked_add(lifetime).ok_or(ValidityError::OutOfRange)?;
        Self::new(not_before, not_after)
    }

    /// The same validity, not reaching beyond `outer` on either side.
    ///
    /// # Errors
    /// [`ValidityError::Inverted`] when the two do not overlap.
    pub fn within(self, outer: Self) -> Result<Self, ValidityError> {
        Self::new(self.not_before.max(outer.not_before), self.not_after.min(outer.not_after))
    }

    /// The first second.
    #[must_use]
    pub const fn not_before(&self) -> UtcDateTime {
        self.not_before
    }

    /// The last second.
    #[must_use]
    pub const fn not_after(&self) -> UtcDateTime {
        self.not_after
    }

    /// Whether `now` lies inside. The whole last second does.
    #[must_use]
    pub fn contains(&self, now: UtcDateTime) -> bool {
        (self.not_before..=self.not_after).contains(&now.truncate_to_second())
    }

    /// How many octets the encoding has, which both forms of time decide.
    pub(crate) fn encoded_len(self) -> usize {
        let len = |time: UtcDateTime| if time.year() < FIRST_GENERALIZED { 15 } else { 17 };
        crate::encode::element_len(len(self.not_before) + len(self.not_after))
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        let (mut content, mut len) = ([0; 34], 0);
        for time in [self.not_before, self.not_after] {
            len += encode_time(time, content.get_mut(len..).unwrap_or_default());
        }
        crate::encode::push_element(out, tag::SEQUENCE, content.get(..len).unwrap_or_default());
    }

    pub(crate) fn decode(elements: &mut Elements<'_>) -> Result<Self, DecodeError> {
        let mut times = elements.enter("Validity", tag::SEQUENCE)?;
        let (not_before, not_after) = (decode_time(&mut times)?, decode_time(&mut times)?);
        times.finish()?;
        Self::new(not_before, not_after).map_err(|_| DecodeError::value("Validity", "notAfter lies before notBefore"))
    }
}

/// The first year that is written in four digits.
const FIRST_GENERALIZED: i32 = 2050;

/// Writes `YYMMDDHHMMSSZ` until 2049 and `YYYYMMDDHHMMSSZ` from 2050 on (RFC 5280 4.1.2.5).
fn encode_time(time: UtcDateTime, out: &mut [u8]) -> usize {
    let year = u16::try_from(time.year()).unwrap_or_default();
    let two_digits = |value: u8| [b'0' + value / 10 % 10, b'0' + value % 10];
    let [century, decade] = [year / 100, year % 100].map(|half| two_digits(u8::try_from(half).unwrap_or_default()));
    let [month, day] = [u8::from(time.month()), time.day()].map(two_digits);
    let (hour, minute, second) = time.as_hms();
    let [hour, minute, second] = [hour, minute, second].map(two_digits);
    let (form, len, digits) = if time.year() < FIRST_GENERALIZED {
        (tag::UTC_TIME, 13, [[0; 2], decade, month, day, hour, minute, second])
    } else {
        (tag::GENERALIZED_TIME, 15, [century, decade, month, day, hour, minute, second])
    };
    let digits = digits.as_flattened();
    let digits = digits.get(digits.len().saturating_sub(len - 1)..).unwrap_or_default();
    let parts: [&[u8]; 3] = [&[form, u8::try_from(len).unwrap_or_default()], digits, b"Z"];
    let mut written = 0;
    for part in parts {
        if let Some(place) = out.get_mut(written..written + part.len()) {
            place.copy_from_slice(part);
            written += part.len();
        }
    }
    written
}

/// Writes one `Time`.
pub(crate) fn push_time(out: &mut Vec<u8>, time: UtcDateTime) {
    let mut content = [0; 17];
    let len = encode_time(time, &mut content);
    out.extend_from_slice(content.get(..len).unwrap_or_default());
}

pub(crate) fn decode_time(elements: &mut Elements<'_>) -> Result<UtcDateTime, DecodeError> {
    let mut ahead = elements.clone();
    match take_plain_time(&mut ahead) {
        Some(time) => {
            *elements = ahead;
            Ok(time)
        }
        None => decode_time_by_der(elements),
    }
}

/// Takes a `Time` in the form that a certificate has (RFC 5280 4.1.2.5), if it is that.
fn take_plain_time(elements: &mut Elements<'_>) -> Option<UtcDateTime> {
    let pair = |digits: [u8; 2]| {
        let [tens, ones] = digits.map(|digit| digit.wrapping_sub(b'0'));
        (tens <= 9 && ones <= 9).then_some(tens.wrapping_mul(10).wrapping_add(ones))
    };
    let is_utc = elements.peek() == Some(tag::UTC_TIME);
    let content = elements.content(if is_utc { tag::UTC_TIME } else { tag::GENERALIZED_TIME }).ok()?;
    let (digits, rest) = content.as_chunks();
    let (year, digits) = match *digits {
        [year, ref digits @ ..] if is_utc => (2000 + i32::from(pair(year)?), digits),
        [century, year, ref digits @ ..] => (100 * i32::from(pair(century)?) + i32::from(pair(year)?), digits),
        _ => return None,
    };
    let (&[month, day, hour, minute, second], b"Z") = (digits, rest) else { return None };
    // Two digits from 50 on are of the last century. What lies before 1970 is left to `der`, which refuses it.
    let year = match year {
        ..FIRST_GENERALIZED if is_utc => year,
        FIRST_GENERALIZED.. if !is_utc => year,
        2070.. if is_utc => year - 100,
        _ => return None,
    };
    let date = Date::from_calendar_date(year, pair(month)?.try_into().ok()?, pair(day)?).ok()?;
    let time = Time::from_hms(pair(hour)?, pair(minute)?, pair(second)?).ok()?;
    Some(UtcDateTime::new(date, time))
}

#[cold]
fn decode_time_by_der(elements: &mut Elements<'_>) -> Result<UtcDateTime, DecodeError> {
    let seconds = match elements.peek() {
        Some(tag::UTC_TIME) => elements.decode::<der::asn1::UtcTime>()?.to_unix_duration(),
        _ => match elements.decode::<der::asn1::GeneralizedTime>()? {
            time if time.to_date_time().year() < 2050 => {
                return Err(DecodeError::value("Time", "a year before 2050 as GeneralizedTime (RFC 5280 4.1.2.5)"));
            }
            time => time.to_unix_duration(),
        },
    }
    .as_secs();
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| UtcDateTime::from_unix_timestamp(seconds).ok())
        .ok_or(DecodeError::value("Time", "outside the calendar"))
}

/// The time as `rustls` and `webpki` take it. Times before 1970 count as its first second.
#[must_use]
pub fn unix_time(time: UtcDateTime) -> UnixTime {
    let seconds = u64::try_from(time.unix_timestamp()).unwrap_or_default();
    UnixTime::since_unix_epoch(core::time::Duration::from_secs(seconds))
}

/// The time that `rustls` hands to a verifier, or `None` beyond the year 9999.
#[must_use]
pub fn utc(time: UnixTime) -> Option<UtcDateTime> {
    let seconds = i64::try_from(time.as_secs()).ok()?;
    UtcDateTime::from_unix_timestamp(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(seconds).unwrap()
    }

    #[test]
    fn encoding_changes_form_at_2050_and_decodes_again() {
        for (seconds, tag) in [
            (0, tag::UTC_TIME),
            (951_782_399, tag::UTC_TIME),             // 2000-02-28T23:59:59Z
            (2_524_607_999, tag::UTC_TIME),           // 2049-12-31T23:59:59Z
            (2_524_608_000, tag::GENERALIZED_TIME),   // 2050-01-01T00:00:00Z
            (253_402_300_799, tag::GENERALIZED_TIME), // 9999-12-31T23:59:59Z
        ] {
            let validity = Validity::new(at(seconds), at(seconds)).unwrap();
            let mut encoded = Vec::new();
            validity.encode(&mut encoded);
            assert_eq!(encoded.get(2), Some(&tag), "{seconds}");
            let decoded = Validity::decode(&mut Elements::new("test", &encoded).unwrap()).unwrap();
            assert_eq!(decoded, validity);
        }
    }

    #[test]
    fn the_form_of_a_time_is_that_of_its_year() {
        let decode = |encoded: &[u8]| decode_time(&mut Elements::new("test", encoded).unwrap());
        assert_eq!(decode(b"\x18\x0f20500101000000Z").unwrap(), at(2_524_608_000));
        let refused = decode(b"\x18\x0f20491231235959Z").unwrap_err().to_string();
        assert_eq!(refused, "Time: a year before 2050 as GeneralizedTime (RFC 5280 4.1.2.5)");
    }

    #[test]
    fn a_plain_time_is_read_as_the_der_crate_reads_it() {
        let plain = |encoded: &[u8]| take_plain_time(&mut Elements::new("test", encoded).unwrap());
        let by_der = |encoded: &[u8]| decode_time_by_der(&mut Elements::new("test", encoded).unwrap());
        let mut changed = 0;
        for (time, length) in
            [("20260131235959Z", 2), ("20240229000000Z", 2), ("20510630120000Z", 0), ("99991231235959Z", 0)]
        {
            let form = if length == 2 { tag::UTC_TIME } else { tag::GENERALIZED_TIME };
            let octets = crate::encode::element(form, &time.as_bytes()[length..]);
            assert_eq!(plain(&octets), Some(by_der(&octets).unwrap()), "{time}");
            for place in 0..octets.len() {
                for octet in 0..=u8::MAX {
                    let mut octets = octets.clone();
                    octets[place] = octet;
                    if let Some(time) = plain(&octets) {
                        assert_eq!(Ok(time), by_der(&octets), "{octets:?}");
                        changed += 1;
                    }
                }
                assert_eq!(plain(&octets[..place]), None);
            }
        }
        assert!(changed > 200, "{changed}");
        for year in 0..100 {
            let octets = crate::encode::element(tag::UTC_TIME, format!("{year:02}0630120000Z").as_bytes());
            assert_eq!(plain(&octets), by_der(&octets).ok(), "{year}");
        }
    }

    #[test]
    fn the_last_second_belongs_to_the_validity() {
        let validity = Validity::new(at(100), at(200)).unwrap();
        assert!(!validity.contains(at(99)) && validity.contains(at(100)));
        assert!(validity.contains(at(200)) && !validity.contains(at(201)));
        assert!(validity.contains(at(200).replace_nanosecond(999_999_999).unwrap()));
    }

    #[test]
    fn inverted_and_unencodable_times_are_refused() {
        assert!(matches!(Validity::new(at(2), at(1)), Err(ValidityError::Inverted { .. })));
        let before_1950 = at(-631_152_001);
        assert_eq!(Validity::new(before_1950, at(0)), Err(ValidityError::OutOfRange));
        assert_eq!(Validity::around(UtcDateTime::MAX, Duration::ZERO, Duration::DAY), Err(ValidityError::OutOfRange));
    }

    #[test]
    fn a_gke_root_lives_thirty_years_from_an_hour_ago() {
        // notBefore=Mar 17 16:45:34 2023 GMT, notAfter=Mar  9 17:45:34 2053 GMT
        let now = at(1_679_075_134);
        let hierarchy = crate::Hierarchy::gke(crate::Storage::Etcd);
        let lifetime = hierarchy.ca_lifetime(crate::AuthorityRole::Cluster).unwrap();
        let validity = Validity::around(now, hierarchy.ca_backdate(), lifetime).unwrap();
        assert_eq!(validity.not_before().unix_timestamp(), 1_679_071_534);
        assert_eq!(validity.not_after().unix_timestamp(), 2_625_155_134);
    }
}
