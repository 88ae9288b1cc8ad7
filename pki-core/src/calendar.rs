//! Moments as others write them.

use time::UtcDateTime;

/// As RFC 3339 5.6 writes it, in whole seconds of UTC.
#[cfg(feature = "serde")]
pub(crate) fn rfc3339(time: UtcDateTime) -> String {
    let ((hour, minute, second), (year, month, day)) = (time.as_hms(), time.to_calendar_date());
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

/// As Go's `time.Time` prints itself in UTC, in whole seconds.
pub(crate) fn go(time: UtcDateTime) -> String {
    let ((hour, minute, second), (year, month, day)) = (time.as_hms(), time.to_calendar_date());
    format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC", u8::from(month))
}

/// As `openssl x509 -dates` writes it: the day padded with a space.
pub(crate) fn openssl(time: UtcDateTime) -> String {
    let (hour, minute, second) = time.as_hms();
    format!("{} {:>2} {hour:02}:{minute:02}:{second:02} {} GMT", month(time), time.day(), time.year())
}

/// As `kubeadm certs check-expiration` writes it: Go's layout `Jan 02, 2006 15:04 MST`
/// (Kubernetes cmd/kubeadm/app/cmd/certs.go).
pub(crate) fn kubeadm(time: UtcDateTime) -> String {
    format!("{} {:02}, {:04} {:02}:{:02} UTC", month(time), time.day(), time.year(), time.hour(), time.minute())
}

/// The first three letters of the month's English name.
fn month(time: UtcDateTime) -> String {
    time.month().to_string().chars().take(3).collect()
}
