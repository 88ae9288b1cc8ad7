//! Serial numbers from the caller's entropy.

use core::fmt;

use rand_core::TryCryptoRng;

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
}
