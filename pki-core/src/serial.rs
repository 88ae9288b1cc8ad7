//! Serial numbers: ours, from the caller's entropy, and everybody's.

use core::fmt;

use rand_core::TryCryptoRng;

use crate::decode::DecodeError;

/// A certificate serial number of 128 random bits, never derived from a key.
///
/// Seventeen octets, the first between 1 and 127: positive, without leading zero, and within the
/// 20 octets of RFC 5280 4.1.2.2 however it is encoded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; Self::LEN]);

impl Serial {
    pub(crate) const LEN: usize = 17;

    /// A fresh serial.
    ///
    /// # Errors
    /// The generator's own.
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, R::Error> {
        let mut octets = [0; Self::LEN];
        rng.try_fill_bytes(&mut octets)?;
        let [first, ..] = &mut octets;
        *first = (*first & 0x7f).max(1);
        Ok(Self(octets))
    }

    /// The octets of the INTEGER, big-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// The serial number of any certificate: positive and of at most 20 octets (RFC 5280 4.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber(Unsigned);

impl SerialNumber {
    /// Reads the content octets of the INTEGER, which DER writes without a superfluous one (X.690 8.3.2).
    ///
    /// # Errors
    /// When they are not such an INTEGER, or it is zero, negative or longer than 20 octets.
    pub fn from_content(content: &[u8]) -> Result<Self, DecodeError> {
        match Unsigned::from_content("serialNumber", content)? {
            Unsigned::ZERO => Err(DecodeError::value("serialNumber", "zero (RFC 5280 4.1.2.2)")),
            number => Ok(Self(number)),
        }
    }

    /// The content octets of the INTEGER.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.0.content()
    }
}

impl From<Serial> for SerialNumber {
    fn from(serial: Serial) -> Self {
        Self(Unsigned::padded(serial.as_bytes()))
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}

/// An INTEGER of at most 20 octets that is not negative, big-endian and padded on the left: what RFC 5280 asks of
/// the numbers of certificates (4.1.2.2) and of revocation lists (5.2.3). Ordered by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Unsigned([u8; Self::LEN_MAX]);

impl Unsigned {
    const LEN_MAX: usize = 20;
    pub(crate) const ZERO: Self = Self([0; Self::LEN_MAX]);

    pub(crate) fn from_content(what: &'static str, content: &[u8]) -> Result<Self, DecodeError> {
        match content {
            [] => Err(DecodeError::value(what, "an INTEGER without octets (X.690 8.3.1)")),
            [0x80..=0xff, ..] => Err(DecodeError::value(what, "negative (RFC 5280 4.1.2.2, 5.2.3)")),
            [0, 0..=0x7f, ..] => Err(DecodeError::value(what, "an INTEGER with a superfluous octet (X.690 8.3.2)")),
            _ if content.len() > Self::LEN_MAX => {
                Err(DecodeError::value(what, "longer than 20 octets (RFC 5280 4.1.2.2, 5.2.3)"))
            }
            _ => Ok(Self::padded(content)),
        }
    }

    /// Of more than 20 octets the last 20.
    pub(crate) fn padded(content: &[u8]) -> Self {
        let mut octets = [0; Self::LEN_MAX];
        octets.iter_mut().rev().zip(content.iter().rev()).for_each(|(slot, octet)| *slot = *octet);
        Self(octets)
    }

    /// The shortest content octets that are not read as negative.
    pub(crate) fn content(&self) -> &[u8] {
        let mut content = self.0.as_slice();
        while let [0, rest @ ..] = content
            && rest.first().is_some_and(|next| next & 0x80 == 0)
        {
            content = rest;
        }
        content
    }

    /// The number after this one, unless it is the last that fits.
    pub(crate) fn next(self) -> Option<Self> {
        let Self(mut octets) = self;
        for octet in octets.iter_mut().rev() {
            *octet = octet.wrapping_add(1);
            if *octet != 0 {
                break;
            }
        }
        octets.first().is_some_and(|first| first & 0x80 == 0).then_some(Self(octets))
    }
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content().iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use rand_core::{TryCryptoRng, TryRng};

    use super::*;

    struct Constant(u8);

    impl TryRng for Constant {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(u32::from(self.0))
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(u64::from(self.0))
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            out.fill(self.0);
            Ok(())
        }
    }

    impl TryCryptoRng for Constant {}

    #[test]
    fn every_serial_is_positive_and_minimal() {
        for octet in [0, 1, 0x7f, 0x80, 0xff] {
            let Ok(serial) = Serial::generate(&mut Constant(octet));
            assert!((1..=0x7f).contains(&serial.as_bytes()[0]), "{serial}");
            assert_eq!(serial.as_bytes().len(), 17);
        }
    }

    #[test]
    fn a_serial_number_is_positive_minimal_and_of_at_most_20_octets() {
        for content in [&[1][..], &[0x7f], &[0, 0x80], &[1, 0], &[0x7f; 20]] {
            assert_eq!(SerialNumber::from_content(content).unwrap().content(), content);
        }
        for (content, expected) in [
            (&[][..], "serialNumber: an INTEGER without octets (X.690 8.3.1)"),
            (&[0], "serialNumber: zero (RFC 5280 4.1.2.2)"),
            (&[0x80], "serialNumber: negative (RFC 5280 4.1.2.2, 5.2.3)"),
            (&[0xff; 20], "serialNumber: negative (RFC 5280 4.1.2.2, 5.2.3)"),
            (&[0, 1], "serialNumber: an INTEGER with a superfluous octet (X.690 8.3.2)"),
            (&[1; 21], "serialNumber: longer than 20 octets (RFC 5280 4.1.2.2, 5.2.3)"),
        ] {
            assert_eq!(SerialNumber::from_content(content).unwrap_err().to_string(), expected, "{content:?}");
        }
    }

    #[test]
    fn our_serials_are_serial_numbers() {
        let Ok(serial) = Serial::generate(&mut Constant(0xff));
        assert_eq!(SerialNumber::from(serial), SerialNumber::from_content(serial.as_bytes()).unwrap());
    }

    #[test]
    fn numbers_are_counted_and_ordered_by_value() {
        let number = |content: &[u8]| Unsigned::from_content("test", content).unwrap();
        for (before, after) in
            [(&[0][..], &[1][..]), (&[0x7f], &[0, 0x80]), (&[0, 0xff], &[1, 0]), (&[0, 0xff, 0xff], &[1, 0, 0])]
        {
            assert_eq!(number(before).next(), Some(number(after)));
            assert!(number(before) < number(after));
            assert_eq!(number(after).content(), after);
        }
        let last = [&[0x7f][..], &[0xff; 19]].concat();
        assert_eq!(number(&last).next(), None);
    }
}
