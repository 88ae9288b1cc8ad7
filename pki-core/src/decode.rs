//! Reading DER as borrowed slices, on the reader of the `der` crate.
//!
//! The reader enforces DER's lengths and tags; what an element means is the caller's.

use core::fmt;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, Tagged};

use crate::encode::tag;

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
#[derive(Clone)]
pub(crate) struct Elements<'a> {
    what: &'static str,
    reader: SliceReader<'a>,
}

impl<'a> Elements<'a> {
    /// Over the elements in `content`, named `what` in errors.
    pub(crate) fn new(what: &'static str, content: &'a [u8]) -> Result<Self, DecodeError> {
        let reader = SliceReader::new(content).map_err(|error| DecodeError {
            what,
            offset: 0,
            cause: DecodeErrorCause::Der(error.kind()),
        })?;
        Ok(Self { what, reader })
    }

    /// Over the content of the single element that `encoded` is.
    pub(crate) fn of(what: &'static str, tag: u8, encoded: &'a [u8]) -> Result<Self, DecodeError> {
        let mut outer = Self::new(what, encoded)?;
        let content = outer.content(tag)?;
        outer.finish()?;
        Self::new(what, content)
    }

    fn error(&self, cause: DecodeErrorCause) -> DecodeError {
        DecodeError { what: self.what, offset: usize::try_from(self.reader.offset()).unwrap_or(usize::MAX), cause }
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.reader.is_finished()
    }

    /// The tag octet of the next element.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.reader.peek_byte()
    }

    /// The next element with its tag and length, which must be `tag`.
    pub(crate) fn element(&mut self, tag: u8) -> Result<&'a [u8], DecodeError> {
        self.expect(tag)?;
        self.reader.tlv_bytes().map_err(|error| self.error(DecodeErrorCause::Der(error.kind())))
    }

    /// The content of the next element, which must have `tag`.
    pub(crate) fn content(&mut self, tag: u8) -> Result<&'a [u8], DecodeError> {
        self.expect(tag)?;
        let any: AnyRef<'a> =
            self.reader.decode().map_err(|error: der::Error| self.error(DecodeErrorCause::Der(error.kind())))?;
        Ok(any.value())
    }

    /// The next element, decoded as a type of the `der` crate.
    pub(crate) fn decode<T: Decode<'a, Error = der::Error>>(&mut self) -> Result<T, DecodeError> {
        self.reader.decode().map_err(|error: der::Error| self.error(DecodeErrorCause::Der(error.kind())))
    }

    /// The next element of any tag: its tag and content.
    pub(crate) fn any(&mut self) -> Result<(Tag, &'a [u8]), DecodeError> {
        let any: AnyRef<'a> = self.decode()?;
        Ok((any.tag(), any.value()))
    }

    /// The elements inside the next element, which must have `tag`.
    pub(crate) fn enter(&mut self, what: &'static str, tag: u8) -> Result<Self, DecodeError> {
        Self::new(what, self.content(tag)?)
    }

    /// The next element, an OBJECT IDENTIFIER whose arcs have no superfluous octet (X.690 8.19.2).
    ///
    /// The `der` crate reads a padded arc as an identifier of its own, which prints like the one that it imitates.
    pub(crate) fn object_identifier(&mut self) -> Result<ObjectIdentifier, DecodeError> {
        let identifier: ObjectIdentifier = self.decode()?;
        let mut begins_arc = true;
        for octet in identifier.as_bytes() {
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
