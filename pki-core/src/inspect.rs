//! What a deployed certificate says, for people and for programs. Nothing here is a verdict on trust.
//!
//! Reading is tolerant where the rest of the crate is strict: a certificate that no authority of this crate would sign
//! (RSA of 1024 bits, version 1, e-mail names, unknown extensions) is shown, with [remarks](Remark) on what is wrong
//! with it. It is bounded all the same: by the octets of the input, before anything is parsed.
//!
//! The views are owned and serialize in `camelCase`, as the Kubernetes API writes its objects. Every text of a stranger
//! is [`Printable`](crate::Printable).

mod bundle;
mod certificate;
mod display;
mod extensions;
mod issuers;
mod key;
mod name;
mod remark;
mod request;

// The public interface is:
pub use self::bundle::{BlockError, BlockView, BundleView, Content};
pub use self::certificate::CertificateView;
pub use self::extensions::{AltNames, BasicConstraintsView, ExtensionView, ExtensionsView};
pub use self::issuers::IssuerIndex;
pub use self::key::{KeyView, Weakness};
pub use self::name::NameView;
pub use self::remark::{EXPIRY_NOTICES, Remark, Severity};
pub use self::request::{Possession, RequestView};

use core::fmt;

use crate::DecodeError;

/// Why an input cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InspectError {
    /// Longer than the limit, unread.
    TooLong {
        /// Octets found.
        found: usize,
        /// Octets allowed.
        max: usize,
    },
    /// Not DER, or not the structure it should be.
    Malformed(DecodeError),
    /// A time that the calendar does not have, or one before 1970.
    Time,
}

impl InspectError {
    /// The stable name of the error, for logs and counters.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "inspect.too_long",
            Self::Malformed(_) => "inspect.malformed",
            Self::Time => "inspect.time",
        }
    }

    const fn check_len(found: usize, max: usize) -> Result<(), Self> {
        if found > max { Err(Self::TooLong { found, max }) } else { Ok(()) }
    }
}

impl From<DecodeError> for InspectError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found, max } => write!(f, "{found} octets, limit {max}"),
            Self::Malformed(error) => error.fmt(f),
            Self::Time => f.write_str("Validity: a time outside 1970 to 9999 (RFC 5280 4.1.2.5)"),
        }
    }
}

impl core::error::Error for InspectError {}

/// Octets as lower-case hexadecimal digits.
fn hex(octets: &[u8]) -> String {
    use fmt::Write as _;

    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut text, octet| {
        // Writing to a String does not fail.
        let _written = write!(text, "{octet:02x}");
        text
    })
}

/// The name of an object identifier, or the identifier itself: what the `const-oid` database knows.
fn name_of(oid: const_oid::ObjectIdentifier) -> String {
    match const_oid::db::DB.by_oid(&oid) {
        Some(name) => name.trim_start_matches("id-kp-").to_owned(),
        None => oid.to_string(),
    }
}
