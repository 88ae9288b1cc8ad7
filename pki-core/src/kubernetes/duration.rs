//! How long a signer's certificate is valid.

use core::fmt;

use time::{Duration, UtcDateTime};

use crate::calendar;
use crate::time::{Validity, ValidityError};

/// The shortest life that can be asked for, twice the backdating (Kubernetes, `signer.go`).
pub(super) const REQUESTED_MIN: Duration = Duration::minutes(10);
/// The limit of a signer that was given none: the default of `--cluster-signing-duration`, 8760 hours.
pub(super) const SIGNING_DURATION_DEFAULT: Duration = Duration::hours(8760);

/// The life of a certificate: what `spec.expirationSeconds` asks for, at least ten minutes, at most the signer's
/// limit, and the limit when it asks for nothing (Kubernetes, `signer.go`).
///
/// As upstream, the limit is looked at first: below a limit of less than ten minutes, the ten minutes win.
#[must_use]
pub fn requested_duration(expiration_seconds: Option<i32>, signing_duration: Duration) -> Duration {
    match expiration_seconds.map(|seconds| Duration::seconds(seconds.into())) {
        None => signing_duration,
        Some(requested) if requested > signing_duration => signing_duration,
        Some(requested) => requested.max(REQUESTED_MIN),
    }
}

/// How a life becomes two times (Kubernetes, `authority/policies.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SigningTimes {
    /// How far notBefore lies before the moment of signing, to forgive skewed clocks.
    pub backdate: Duration,
    /// A life below this is not shortened by the backdating.
    pub short: Duration,
}

impl SigningTimes {
    /// Five minutes, which are about one per cent of eight hours (Kubernetes, `signer.go`).
    pub const UPSTREAM: Self = Self { backdate: Duration::minutes(5), short: Duration::hours(8) };

    /// Times of one's own.
    #[must_use]
    pub const fn new(backdate: Duration, short: Duration) -> Self {
        Self { backdate, short }
    }

    /// The validity of a certificate that lives for `ttl` and is signed at `now` by a CA of the validity `issuer`.
    ///
    /// notBefore lies before `now` by the backdating. notAfter is `now + ttl` of a short life, and that less the
    /// backdating of any other. Both are cut to the issuer's; upstream cuts notAfter only. `now` counts in
    /// whole seconds, and the issuer's last second counts as past, as upstream counts it.
    ///
    /// # Errors
    /// [`DurationError`], with upstream's texts where upstream refuses too.
    pub fn validity(self, ttl: Duration, now: UtcDateTime, issuer: Validity) -> Result<Validity, DurationError> {
        let out_of_range = DurationError::Calendar(ValidityError::OutOfRange);
        let not_before = now.checked_sub(self.backdate).ok_or(out_of_range)?;
        let life = if ttl < self.short { ttl } else { ttl.saturating_sub(self.backdate) };
        // Beyond the calendar is beyond the issuer.
        let not_after = now.checked_add(life).map_or_else(|| issuer.not_after(), |time| time.min(issuer.not_after()));
        if not_before >= issuer.not_after() {
            return Err(DurationError::SignerExpired(issuer.not_after()));
        }
        if now >= issuer.not_after() {
            return Err(DurationError::ExpiredInThePast(issuer.not_after()));
        }
        if now < issuer.not_before() {
            return Err(DurationError::SignerNotYetValid(issuer.not_before()));
        }
        if not_after <= now {
            return Err(DurationError::AlreadyExpired(not_after));
        }
        Validity::new(not_before, not_after)
            .and_then(|validity| validity.within(issuer))
            .map_err(DurationError::Calendar)
    }
}

impl Default for SigningTimes {
    fn default() -> Self {
        Self::UPSTREAM
    }
}

/// Why there is no validity. Nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DurationError {
    /// The CA expired before the certificate would begin; with the CA's notAfter. Upstream's text.
    SignerExpired(UtcDateTime),
    /// The CA has expired; with its notAfter. Upstream's text.
    ExpiredInThePast(UtcDateTime),
    /// The CA is not valid yet; with its notBefore. Upstream does not look.
    SignerNotYetValid(UtcDateTime),
    /// The certificate would have expired when it is signed; with its notAfter. Upstream does not look.
    AlreadyExpired(UtcDateTime),
    /// A signer's limit below the ten minutes that may be asked for.
    SigningDuration(Duration),
    /// The times cannot be written (RFC 5280 4.1.2.5).
    Calendar(ValidityError),
}

impl DurationError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SignerExpired(_) => "duration.signer_expired",
            Self::ExpiredInThePast(_) => "duration.expired_in_the_past",
            Self::SignerNotYetValid(_) => "duration.signer_not_yet_valid",
            Self::AlreadyExpired(_) => "duration.already_expired",
            Self::SigningDuration(_) => "duration.signing_duration",
            Self::Calendar(_) => "duration.calendar",
        }
    }
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignerExpired(time) => write!(f, "the signer has expired: NotAfter={}", calendar::go(*time)),
            Self::ExpiredInThePast(time) => {
                write!(f, "refusing to sign a certificate that expired in the past: NotAfter={}", calendar::go(*time))
            }
            Self::SignerNotYetValid(time) => {
                write!(f, "the signer is not valid yet: NotBefore={}", calendar::go(*time))
            }
            Self::AlreadyExpired(time) => {
                write!(f, "the certificate would have expired when it is signed: NotAfter={}", calendar::go(*time))
            }
            Self::SigningDuration(found) => {
                write!(f, "the signing duration is {found}, at least {REQUESTED_MIN} is needed")
            }
            Self::Calendar(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for DurationError {}
