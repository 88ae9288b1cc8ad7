//! Extensions, and what stands in those that a cluster uses.

use der::asn1::ObjectIdentifier;

use super::oids;
use crate::decode::{DecodeError, Elements};
use crate::encode::tag;

/// One extension: its identifier, whether it is critical, and the DER inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    pub(crate) oid: ObjectIdentifier,
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

impl<'a> Extension<'a> {
    /// Five times what a certificate of this crate has. Each one is compared with all before it.
    const COUNT_MAX: usize = 32;

    /// Reads the content of an `Extensions` sequence, refusing a repeated identifier (RFC 5280 4.2).
    pub(crate) fn parse_all(mut list: Elements<'a>) -> Result<Vec<Self>, DecodeError> {
        let mut extensions: Vec<Self> = Vec::new();
        while !list.is_empty() {
            let mut extension = list.enter(WHAT, tag::SEQUENCE)?;
            let oid = extension.object_identifier()?;
            let Found { critical, value } = Found::parse(extension)?;
            Self { oid, critical, value }.push_to(&mut extensions)?;
        }
        if extensions.is_empty() { Err(EMPTY) } else { Ok(extensions) }
    }

    fn push_to(self, others: &mut Vec<Self>) -> Result<(), DecodeError> {
        if others.len() == Self::COUNT_MAX {
            return Err(TOO_MANY);
        }
        if others.iter().any(|other| other.oid == self.oid) {
            return Err(TWICE);
        }
        others.push(self);
        Ok(())
    }
}

/// What errors call an `Extension`.
const WHAT: &str = "Extension";
const TOO_MANY: DecodeError = DecodeError::value("Extensions", "more than any certificate of a cluster has");
const EMPTY: DecodeError = DecodeError::value("Extensions", "empty (RFC 5280 4.1)");
const TWICE: DecodeError = DecodeError::value("Extensions", "one identifier stands twice (RFC 5280 4.2)");

/// What stands behind the identifier of an extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) critical: bool,
    pub(crate) value: &'a [u8],
}

impl<'a> Found<'a> {
    fn parse(mut extension: Elements<'a>) -> Result<Self, DecodeError> {
        let critical = extension.default_false()?;
        let value = extension.content(tag::OCTET_STRING)?;
        extension.finish()?;
        Ok(Self { critical, value })
    }
}

/// The extensions of a certificate or request, those that a cluster's certificates have each in a place of its own: the
/// ordinary ones are read without memory of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions<'a> {
    pub(crate) basic_constraints: Option<Found<'a>>,
    pub(crate) key_usage: Option<Found<'a>>,
    pub(crate) extended_key_usage: Option<Found<'a>>,
    pub(crate) subject_alt_name: Option<Found<'a>>,
    pub(crate) subject_key_id: Option<Found<'a>>,
    pub(crate) authority_key_id: Option<Found<'a>>,
    pub(crate) name_constraints: Option<Found<'a>>,
    /// Those without a place, in their order.
    pub(crate) others: Vec<Extension<'a>>,
}

impl<'a> Extensions<'a> {
    /// Reads the content of an `Extensions` sequence, refusing a repeated identifier (RFC 5280 4.2).
    pub(crate) fn parse(mut list: Elements<'a>) -> Result<Self, DecodeError> {
        if list.is_empty() {
            return Err(EMPTY);
        }
        let mut extensions = Self::default();
        let mut count = 0;
        while !list.is_empty() {
            if count == Extension::COUNT_MAX {
                return Err(TOO_MANY);
            }
            count += 1;
            let mut extension = list.enter(WHAT, tag::SEQUENCE)?;
            let identifier = extension.content(tag::OBJECT_IDENTIFIER)?;
            match extensions.place(identifier) {
                Some(place) => {
                    if place.replace(Found::parse(extension)?).is_some() {
                        return Err(TWICE);
                    }
                }
                None => {
                    let oid = extension.identifier(identifier)?;
                    let Found { critical, value } = Found::parse(extension)?;
                    Extension { oid, critical, value }.push_to(&mut extensions.others)?;
                }
            }
        }
        Ok(extensions)
    }

    fn place(&mut self, identifier: &[u8]) -> Option<&mut Option<Found<'a>>> {
        const BASIC_CONSTRAINTS: [u8; 3] = three_octets(oids::BASIC_CONSTRAINTS);
        const KEY_USAGE: [u8; 3] = three_octets(oids::KEY_USAGE);
        const EXT_KEY_USAGE: [u8; 3] = three_octets(oids::EXT_KEY_USAGE);
        const SUBJECT_ALT_NAME: [u8; 3] = three_octets(oids::SUBJECT_ALT_NAME);
        const SUBJECT_KEY_IDENTIFIER: [u8; 3] = three_octets(oids::SUBJECT_KEY_IDENTIFIER);
        const AUTHORITY_KEY_IDENTIFIER: [u8; 3] = three_octets(oids::AUTHORITY_KEY_IDENTIFIER);
        const NAME_CONSTRAINTS: [u8; 3] = three_octets(oids::NAME_CONSTRAINTS);
        Some(match identifier.try_into().ok()? {
            BASIC_CONSTRAINTS => &mut self.basic_constraints,
            KEY_USAGE => &mut self.key_usage,
            EXT_KEY_USAGE => &mut self.extended_key_usage,
            SUBJECT_ALT_NAME => &mut self.subject_alt_name,
            SUBJECT_KEY_IDENTIFIER => &mut self.subject_key_id,
            AUTHORITY_KEY_IDENTIFIER => &mut self.authority_key_id,
            NAME_CONSTRAINTS => &mut self.name_constraints,
            _ => return None,
        })
    }
}

/// The octets of an identifier directly below id-ce (2.5.29), which are three.
const fn three_octets(oid: ObjectIdentifier) -> [u8; 3] {
    assert!(matches!(oid.as_bytes(), [0x55, 0x1d, _]), "an identifier below id-ce");
    match oid.as_bytes() {
        [first, second, third] => [*first, *second, *third],
        _ => [0; 3],
    }
}

/// The purposes of an `ExtKeyUsageSyntax`, in their order.
pub(crate) struct Purposes<'a>(Elements<'a>);

impl<'a> Purposes<'a> {
    pub(crate) fn of(value: &'a [u8]) -> Result<Self, DecodeError> {
        let purposes = Elements::of("extKeyUsage", tag::SEQUENCE, value)?;
        if purposes.is_empty() {
            return Err(DecodeError::value("extKeyUsage", "empty (RFC 5280 4.2.1.12)"));
        }
        Ok(Self(purposes))
    }
}

impl Purposes<'_> {
    /// Whether they are these, octet for octet.
    pub(crate) fn are(mut self, purposes: &[ObjectIdentifier]) -> bool {
        let mut same = |purpose: &ObjectIdentifier| {
            self.0.content(tag::OBJECT_IDENTIFIER).is_ok_and(|found| found == purpose.as_bytes())
        };
        purposes.iter().all(&mut same) && self.0.is_empty()
    }
}

impl Iterator for Purposes<'_> {
    type Item = Result<ObjectIdentifier, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.is_empty()).then(|| self.0.object_identifier())
    }
}

/// The content of an `ExtKeyUsageSyntax`.
pub(crate) fn parse_extended_key_usage(value: &[u8]) -> Result<Vec<ObjectIdentifier>, DecodeError> {
    Purposes::of(value)?.collect()
}

/// The named bits of a `KeyUsage`, of which bit i is named bit i: at least one and no unknown one (RFC 5280 4.2.1.3),
/// and no zero bit after the last (X.690 11.2.2).
pub(crate) fn parse_key_usage(value: &[u8]) -> Result<u16, DecodeError> {
    const WHAT: &str = "keyUsage";
    /// encipherOnly is bit 7 and decipherOnly bit 8: the last.
    const NAMED: u32 = 9;
    let mut usage = Elements::new(WHAT, value)?;
    let bits = usage.content(tag::BIT_STRING)?;
    usage.finish()?;
    let octets = match bits {
        [unused, octets @ ..] if octets.last().is_some_and(|last| ends_with(*last, *unused)) => octets,
        _ => return Err(DecodeError::value(WHAT, "not a named bit list that ends with its last one (X.690 11.2)")),
    };
    let octets = match *octets {
        [first] => [first, 0],
        [first, second] => [first, second],
        _ => return Err(DecodeError::value(WHAT, "a bit without a name (RFC 5280 4.2.1.3)")),
    };
    let named = u16::from_be_bytes(octets).reverse_bits();
    if named >> NAMED != 0 {
        return Err(DecodeError::value(WHAT, "a bit without a name (RFC 5280 4.2.1.3)"));
    }
    Ok(named)
}

/// Whether the last octet of a named bit list has a one before so many unused zeros.
fn ends_with(last: u8, unused: u8) -> bool {
    last != 0 && last.trailing_zeros() == u32::from(unused)
}

/// Whether a `BasicConstraints` says CA, and its path length.
pub(crate) fn parse_basic_constraints(value: &[u8]) -> Result<(bool, Option<u8>), DecodeError> {
    let mut constraints = Elements::of("basicConstraints", tag::SEQUENCE, value)?;
    let ca = constraints.default_false()?;
    let path_len = if constraints.is_empty() { None } else { Some(constraints.decode::<u8>()?) };
    constraints.finish()?;
    Ok((ca, path_len))
}

/// The octets of a `SubjectKeyIdentifier`.
pub(crate) fn parse_subject_key_id(value: &[u8]) -> Result<&[u8], DecodeError> {
    let mut id = Elements::new("subjectKeyIdentifier", value)?;
    let octets = id.content(tag::OCTET_STRING)?;
    id.finish()?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tbs::extension;

    #[test]
    fn a_named_bit_list_is_read_as_the_der_crate_reads_it() {
        use der::Decode as _;
        use der::asn1::BitStringRef;
        let mut read = 0;
        for unused in 0..=u8::MAX {
            for first in 0..=u8::MAX {
                for octets in [&[tag::BIT_STRING, 2, unused, first][..], &[tag::BIT_STRING, 3, unused, 0, first]] {
                    let by_der = BitStringRef::from_der(octets).ok().filter(|bits| {
                        bits.raw_bytes().last().map(|last| last.trailing_zeros()) == Some(bits.unused_bits().into())
                    });
                    // Beside the rules of DER, no more than nine bits have names.
                    let expected = by_der.filter(|bits| bits.bit_len() <= 9);
                    assert_eq!(parse_key_usage(octets).is_ok(), expected.is_some(), "{octets:02x?}");
                    read += usize::from(expected.is_some());
                }
            }
        }
        assert_eq!(read, 255 + 1, "every octet that is not zero, and the ninth bit");
        assert!(parse_key_usage(&[tag::BIT_STRING, 1, 0]).is_err() && parse_key_usage(&[tag::BIT_STRING, 0]).is_err());
    }

    #[test]
    fn those_with_a_place_count_as_well() {
        let known = [
            oids::BASIC_CONSTRAINTS,
            oids::KEY_USAGE,
            oids::EXT_KEY_USAGE,
            oids::SUBJECT_ALT_NAME,
            oids::SUBJECT_KEY_IDENTIFIER,
            oids::AUTHORITY_KEY_IDENTIFIER,
            oids::NAME_CONSTRAINTS,
        ];
        let others = |count: u8| (0..count).map(|last| ObjectIdentifier::from_bytes(&[0x2a, last]).unwrap());
        for (count, is_read) in [(25, true), (26, false)] {
            let list: Vec<_> =
                known.into_iter().chain(others(count)).flat_map(|oid| extension(oid, &[], &[])).collect();
            let read = Extensions::parse(Elements::new("test", &list).unwrap());
            assert_eq!(read.is_ok(), is_read, "{count} beside the known ones");
            if let Ok(read) = read {
                assert_eq!(read.others.len(), usize::from(count));
                assert!(read.name_constraints.is_some() && read.basic_constraints.is_some());
            }
        }
        let twice = extension(oids::KEY_USAGE, &[], &[]).repeat(2);
        assert_eq!(Extensions::parse(Elements::new("test", &twice).unwrap()).unwrap_err(), TWICE);
    }
}
