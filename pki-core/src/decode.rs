//! Reading DER as borrowed slices.
//!
//! The reader enforces DER's lengths and tags; what an element means is the caller's.

use core::fmt;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Length, Reader, SliceReader, Tag, Tagged};

use crate::encode::tag;

/// How long a value may be that is surely not too long for the `der` crate.
const PLAIN_LEN_MAX: usize = 0xffff;

/// Octets that are not the DER element that should stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    what: &'static str,
    offset: usize,
    cause: DecodeErrorCause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DecodeErrorCause {
    Der(der::ErrorKind),
    Tag { expected: u8, found: u8 },
    Trailing,
    Value(&'static str),
}

impl DecodeError {
    pub(crate) const fn value(what: &'static str, rule: &'static str) -> Self {
        Self { what, offset: 0, cause: DecodeErrorCause::Value(rule) }
    }

    /// The part that could not be read.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.what
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.what)?;
        match &self.cause {
            DecodeErrorCause::Der(kind) => write!(f, "not DER (X.690) at octet {}: {kind}", self.offset),
            DecodeErrorCause::Tag { expected, found } => {
                write!(f, "expected tag {expected:#04x}, found {found:#04x} at octet {}", self.offset)
            }
            DecodeErrorCause::Trailing => write!(f, "octets after the end, at octet {}", self.offset),
            DecodeErrorCause::Value(rule) => f.write_str(rule),
        }
    }
}

impl core::error::Error for DecodeError {}

/// A cursor over the elements of one constructed value.
///
/// An element of the ordinary form is read here; whatever is not, the `der` crate judges.
#[derive(Clone)]
pub(crate) struct Elements<'a> {
    what: &'static str,
    whole: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// Over the elements in `content`, named `what` in errors.
    pub(crate) fn new(what: &'static str, content: &'a [u8]) -> Result<Self, DecodeError> {
        if content.len() > PLAIN_LEN_MAX {
            SliceReader::new(content).map_err(|error| DecodeError {
                what,
                offset: 0,
                cause: DecodeErrorCause::Der(error.kind()),
            })?;
        }
        Ok(Self { what, whole: content, rest: content })
    }

    /// Over the content of the single element that `encoded` is.
    pub(crate) fn of(what: &'static str, tag: u8, encoded: &'a [u8]) -> Result<Self, DecodeError> {
        let mut outer = Self::new(what, encoded)?;
        let content = outer.content(tag)?;
        outer.finish()?;
        Self::new(what, content)
    }

    fn error(&self, cause: DecodeErrorCause) -> DecodeError {
        DecodeError { what: self.what, offset: self.offset(), cause }
    }

    const fn offset(&self) -> usize {
        self.whole.len().saturating_sub(self.rest.len())
    }

    /// Whether nothing is left.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag octet of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element with its tag and length, which must be `tag`.
    #[inline]
    pub(crate) fn element(&mut self, tag: u8) -> Result<&'a [u8], DecodeError> {
        self.both(tag).map(|(_, encoded)| encoded)
    }

    /// The content of the next element, which must have `tag`.
    #[inline]
    pub(crate) fn content(&mut self, tag: u8) -> Result<&'a [u8], DecodeError> {
        self.both(tag).map(|(content, _)| content)
    }

    /// The content of the next element, which must have `tag`, and all of it.
    #[inline]
    pub(crate) fn both(&mut self, tag: u8) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
        match self.take_plain(tag) {
            Some(both) => Ok(both),
            None => self.both_by_der(tag),
        }
    }

    /// The next element, decoded as a type of the `der` crate.
    pub(crate) fn decode<T: Decode<'a, Error = der::Error>>(&mut self) -> Result<T, DecodeError> {
        self.by_der(|reader| reader.decode())
    }

    /// The next element of any tag: its tag and content.
    pub(crate) fn any(&mut self) -> Result<(Tag, &'a [u8]), DecodeError> {
        for (octet, tag) in [(tag::UTF8_STRING, Tag::Utf8String), (tag::PRINTABLE_STRING, Tag::PrintableString)] {
            if let Some((content, _)) = self.take_plain(octet) {
                return Ok((tag, content));
            }
        }
        self.decode::<AnyRef<'a>>().map(|any| (any.tag(), any.value()))
    }

    /// Takes the next element, content and whole, if it has this tag of this crate and at most two octets of length, in
    /// the only form that DER has for it (X.690 10.1).
    #[inline]
    fn take_plain(&mut self, tag: u8) -> Option<(&'a [u8], &'a [u8])> {
        let (header, content) = match *self.rest {
            [found, ..] if found != tag || !tag::is_known(tag) => return None,
            [_, len @ ..=0x7f, ..] => (2, usize::from(len)),
            [_, 0x81, len @ 0x80..=0xff, ..] => (3, usize::from(len)),
            [_, 0x82, high @ 1..=0xff, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            _ => return None,
        };
        let (encoded, rest) = self.rest.split_at_checked(header + content)?;
        let content = encoded.get(header..)?;
        self.rest = rest;
        Some((content, encoded))
    }

    #[cold]
    fn both_by_der(&mut self, tag: u8) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
        self.expect(tag)?;
        let before = self.rest;
        let content = self.decode::<AnyRef<'a>>()?;
        let taken = before.len().saturating_sub(self.rest.len());
        Ok((content.value(), before.get(..taken).unwrap_or_default()))
    }

    fn by_der<T>(&mut self, read: impl FnOnce(&mut SliceReader<'a>) -> der::Result<T>) -> Result<T, DecodeError> {
        let skip = |reader: &mut SliceReader<'a>| reader.read_slice(Length::try_from(self.offset())?).map(drop);
        let reader = SliceReader::new(self.whole).and_then(|mut reader| skip(&mut reader).map(|()| reader));
        let mut reader = reader.map_err(|error| self.error(DecodeErrorCause::Der(error.kind())))?;
        let outcome = read(&mut reader);
        let consumed = usize::try_from(reader.offset()).unwrap_or(usize::MAX);
        self.rest = self.whole.get(consumed..).unwrap_or_default();
        outcome.map_err(|error| self.error(DecodeErrorCause::Der(error.kind())))
    }

    /// The elements inside the next element, which must have `tag`.
    #[inline]
    pub(crate) fn enter(&mut self, what: &'static str, tag: u8) -> Result<Self, DecodeError> {
        Self::new(what, self.content(tag)?)
    }

    /// The next element, an OBJECT IDENTIFIER whose arcs have no superfluous octet (X.690 8.19.2).
    ///
    /// The `der` crate reads a padded arc as an identifier of its own, which prints like the one that it imitates.
    pub(crate) fn object_identifier(&mut self) -> Result<ObjectIdentifier, DecodeError> {
        let before = self.clone();
        let content = self.content(tag::OBJECT_IDENTIFIER)?;
        before.identifier(content)
    }

    /// As [`object_identifier`](Self::object_identifier), of one whose content was read.
    pub(crate) fn identifier(&self, content: &[u8]) -> Result<ObjectIdentifier, DecodeError> {
        let identifier = ObjectIdentifier::from_bytes(content)
            .map_err(|_| self.error(DecodeErrorCause::Der(der::ErrorKind::OidMalformed)))?;
        let mut begins_arc = true;
        for octet in content {
            if begins_arc && *octet == 0x80 {
                return Err(self.error(DecodeErrorCause::Value("a padded OBJECT IDENTIFIER (X.690 8.19.2)")));
            }
            begins_arc = octet & 0x80 == 0;
        }
        Ok(identifier)
    }

    /// A `BOOLEAN DEFAULT FALSE`: absent or DER TRUE (X.690 11.1, 11.5).
    pub(crate) fn default_false(&mut self) -> Result<bool, DecodeError> {
        match self.peek() {
            Some(tag::BOOLEAN) => match self.content(tag::BOOLEAN)? {
                [0xff] => Ok(true),
                _ => Err(self.error(DecodeErrorCause::Value("a BOOLEAN that is not DER TRUE (X.690 11.1, 11.5)"))),
            },
            _ => Ok(false),
        }
    }

    /// The octets of a BIT STRING without unused bits.
    pub(crate) fn bit_string(&mut self) -> Result<&'a [u8], DecodeError> {
        match self.content(tag::BIT_STRING)?.split_first() {
            Some((0, bits)) => Ok(bits),
            _ => Err(self.error(DecodeErrorCause::Value("a BIT STRING with unused bits"))),
        }
    }

    /// Refuses whatever is left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorCause::Trailing)) }
    }

    fn expect(&self, expected: u8) -> Result<(), DecodeError> {
        match self.peek() {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(self.error(DecodeErrorCause::Tag { expected, found })),
            None => Err(self.error(DecodeErrorCause::Value("ends before a required element"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the `der` crate reads at the beginning of some octets: content and whole.
    fn by_der(octets: &[u8]) -> Option<(&[u8], &[u8])> {
        let mut reader = SliceReader::new(octets).ok()?;
        let whole = reader.clone().tlv_bytes().ok()?;
        let any: AnyRef<'_> = reader.decode().ok()?;
        Some((any.value(), whole))
    }

    #[test]
    fn what_is_read_without_the_der_crate_it_would_have_read_so() {
        let tags: Vec<u8> = (0..=u8::MAX).filter(|octet| tag::is_known(*octet)).collect();
        assert_eq!(tags.len(), 19);
        let lengths: [&[u8]; 16] = [
            &[0],
            &[1],
            &[0x7f],
            &[0x80],
            &[0x81, 0],
            &[0x81, 0x7f],
            &[0x81, 0x80],
            &[0x81, 0xff],
            &[0x82, 0, 0xff],
            &[0x82, 1, 0],
            &[0x82, 0x7f, 0xff],
            &[0x82, 0xff, 0xff],
            &[0x83, 0, 0xff, 0xff],
            &[0x83, 1, 0, 0],
            &[0x84, 0, 1, 0, 0],
            &[0xff],
        ];
        let mut plain = 0;
        for tag in 0..=u8::MAX {
            for length in lengths {
                let longest = [&[tag], length, &vec![1; 0x1_0000]].concat();
                for content in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x1_0000] {
                    let octets = &longest[..1 + length.len() + content];
                    let mut elements = Elements::new("test", octets).unwrap();
                    let another = if tag == tag::SET { tag::SEQUENCE } else { tag::SET };
                    assert_eq!(elements.take_plain(another), None, "{tag:#04x} is not {another:#04x}");
                    if let Some(taken) = elements.take_plain(tag) {
                        plain += 1;
                        assert_eq!(Some(taken), by_der(octets), "{tag:#04x} {length:02x?} {content}");
                        assert_eq!(taken.1.len() + elements.rest.len(), octets.len());
                    } else {
                        assert_eq!(elements.rest, octets, "nothing is taken of what is not read");
                    }
                }
            }
        }
        // Of each tag the seven lengths in their shortest form, and as many contents as are long enough.
        assert_eq!(plain, 19 * (9 + 8 + 7 + 6 + 5 + 4 + 3 + 2));
    }
}
