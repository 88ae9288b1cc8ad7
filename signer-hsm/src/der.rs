//! A cursor over DER, just enough to look before a parser is trusted.
//!
//! It writes nothing, copies nothing and does not decode values.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
#[cfg(any(test, feature = "aws-lc-rs", feature = "rustcrypto"))]
pub(crate) const OCTET_STRING: u8 = 0x04;
#[cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed.
#[cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// Elements that follow one another, read from the front.
#[derive(Clone, Copy)]
pub(crate) struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next element, if it is there, whole and tagged `tag`.
    /// Otherwise the cursor stays where it was.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        if found != tag {
            return None;
        }
        let (length, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }

    /// As [`take`](Self::take), with tag and length.
    #[cfg(any(
        all(feature = "service", target_os = "linux"),
        all(feature = "encrypted-keys", any(feature = "aws-lc-rs", feature = "rustcrypto"))
    ))]
    pub(crate) fn take_whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.take(tag)?;
        before.get(..before.len().checked_sub(self.0.len())?)
    }
}

/// A definite length in its shortest form (X.690 10.1), of at most four octets.
fn length(octets: &[u8]) -> Option<(usize, &[u8])> {
    const LONG_FORM: u8 = 0x80;

    let (&first, rest) = octets.split_first()?;
    if first < LONG_FORM {
        return Some((usize::from(first), rest));
    }
    let count = usize::from(first & !LONG_FORM);
    if !(1..=4).contains(&count) {
        return None;
    }
    let (octets, rest) = rest.split_at_checked(count)?;
    let length =
        octets.iter().try_fold(0_usize, |length, octet| length.checked_mul(256)?.checked_add(usize::from(*octet)))?;
    let shortest = octets.first() != Some(&0) && length >= usize::from(LONG_FORM);
    shortest.then_some((length, rest))
}

/// The two halves of a `SubjectPublicKeyInfo` (RFC 5280 4.1.2.7).
pub(crate) struct PublicKeyParts<'a> {
    /// The content of the `AlgorithmIdentifier`, without its outer header.
    pub(crate) algorithm: &'a [u8],
    /// The content of the `BIT STRING`, without the count of unused bits.
    pub(crate) key: &'a [u8],
}

impl<'a> PublicKeyParts<'a> {
    /// Takes `spki` apart; `None` unless it is exactly one `SubjectPublicKeyInfo`.
    pub(crate) fn of(spki: &'a [u8]) -> Option<Self> {
        let mut outer = Elements::new(spki);
        let mut fields = Elements::new(outer.take(SEQUENCE)?);
        let algorithm = fields.take(SEQUENCE)?;
        let (&unused_bits, key) = fields.take(BIT_STRING)?.split_first()?;
        let exact = outer.is_empty() && fields.is_empty() && unused_bits == 0;
        exact.then_some(Self { algorithm, key })
    }
}

/// The number of bits of a positive `INTEGER`; `None` if it is negative, zero or not minimal.
pub(crate) fn positive_bits(integer: &[u8]) -> Option<usize> {
    let magnitude = match integer {
        [0, rest @ ..] if rest.first().is_some_and(|octet| *octet >= 0x80) => rest,
        [1..0x80, ..] => integer,
        _ => return None,
    };
    let leading_zeros = usize::try_from(magnitude.first()?.leading_zeros()).ok()?;
    magnitude.len().checked_mul(8)?.checked_sub(leading_zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_definite_and_shortest() {
        let long = [[0x04, 0x81, 0x80].as_slice(), &[7; 0x80]].concat();
        assert_eq!(Elements::new(&long).take(OCTET_STRING), Some([7; 0x80].as_slice()));
        for refused in [
            [0x04].as_slice(),
            &[0x04, 0x02, 0x00],
            &[0x04, 0x80, 0x00, 0x00],
            &[0x04, 0x81, 0x01, 0x00],
            &[0x04, 0x82, 0x00, 0x01, 0x00],
            &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00],
            &[0x04, 0x85, 0x00, 0x00, 0x00, 0x00, 0x00],
            &[0x04, 0xff],
        ] {
            assert_eq!(Elements::new(refused).take(OCTET_STRING), None, "{refused:x?}");
        }
    }

    #[test]
    fn a_refused_element_does_not_move_the_cursor() {
        let mut elements = Elements::new(&[0x02, 0x01, 0x05]);
        assert_eq!(elements.take(SEQUENCE), None);
        assert_eq!(elements.take(INTEGER), Some([5].as_slice()));
        assert!(elements.is_empty());
    }

    #[test]
    fn bits_are_counted_for_positive_minimal_integers_only() {
        assert_eq!(positive_bits(&[1]), Some(1));
        assert_eq!(positive_bits(&[0x7f]), Some(7));
        assert_eq!(positive_bits(&[0, 0x80]), Some(8));
        assert_eq!(positive_bits(&[1, 0, 1]), Some(17));
        for refused in [[].as_slice(), &[0], &[0x80], &[0, 0x7f], &[0, 0, 0x80]] {
            assert_eq!(positive_bits(refused), None, "{refused:x?}");
        }
    }

    #[test]
    fn a_public_key_is_taken_apart_only_if_it_is_exact() {
        let exact = [0x30, 0x08, 0x30, 0x02, 0x05, 0x00, 0x03, 0x02, 0x00, 0x09];
        let parts = PublicKeyParts::of(&exact).unwrap();
        assert_eq!((parts.algorithm, parts.key), ([5, 0].as_slice(), [9].as_slice()));

        let mut unused_bits = exact;
        unused_bits[8] = 1;
        assert!(PublicKeyParts::of(&unused_bits).is_none());
        assert!(PublicKeyParts::of(&[exact.as_slice(), &[0]].concat()).is_none());
        assert!(PublicKeyParts::of(&exact[..9]).is_none());
    }
}
