//! Names as they stand in a request or certificate: read where they are, and copied by whoever keeps them.

use core::cmp::Ordering;
use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use der::asn1::ObjectIdentifier;

use super::{DnsName, Subject, SubjectAltName, check_dns_name, check_host};
use crate::certificate::oids;
use crate::decode::{DecodeError, Elements};
use crate::encode::tag;

/// What errors call a `Name`.
const NAME: &str = "Name";
/// What errors call a `SubjectAltName`.
const ALT_NAMES: &str = "subjectAltName";

/// A [`Subject`] where it was read, in octets that somebody else keeps.
#[derive(Clone, Copy)]
pub struct SubjectRef<'a> {
    common_name: &'a str,
    name: &'a [u8],
}

impl<'a> SubjectRef<'a> {
    /// The content of a `Name`: CN and O only, exactly one CN, each a UTF8String or PrintableString.
    ///
    /// A relative distinguished name holds one value, or several O in DER order (X.690 11.6), which is how Go writes a
    /// subject of several groups. Kubernetes reads nothing else of a subject, and readers differ over what to do with the
    /// rest.
    pub(crate) fn parse(name: &'a [u8], len_max: usize) -> Result<Self, DecodeError> {
        if name.len() > len_max {
            return Err(DecodeError::value(NAME, "longer than the limit"));
        }
        let mut attributes = Attributes::of(name)?;
        let mut common_name = None;
        while let Some(attribute) = attributes.next()? {
            let text = attribute.text()?;
            match attribute.kind {
                Kind::CommonName if !attribute.is_alone() => {
                    return Err(DecodeError::value(NAME, "a relative distinguished name of several values"));
                }
                Kind::CommonName if common_name.is_none() => common_name = Some(text),
                Kind::CommonName => return Err(DecodeError::value(NAME, "more than one common name")),
                Kind::Organization => {}
                Kind::Other => return Err(DecodeError::value(NAME, "an attribute other than CN and O")),
            }
            // Of two whole elements neither is the beginning of the other, so that no padding is needed to compare.
            if attribute.before.is_some_and(|before| before >= attribute.encoded) {
                return Err(DecodeError::value(NAME, "a SET OF that is not in order (X.690 11.6)"));
            }
        }
        let common_name = common_name.ok_or(DecodeError::value(NAME, "no common name"))?;
        Ok(Self { common_name, name })
    }

    /// The common name (`CN`): the user.
    #[must_use]
    pub const fn common_name(&self) -> &'a str {
        self.common_name
    }

    /// The organizations (`O`): the groups, in their order.
    pub fn organizations(&self) -> impl Iterator<Item = &'a str> {
        self.organization_octets().filter_map(|octets| core::str::from_utf8(octets).ok())
    }

    /// As [`organizations`](Self::organizations), which are UTF-8.
    pub(super) fn organization_octets(&self) -> impl Iterator<Item = &'a [u8]> {
        // Nothing is wrong with a `Name` that was read already.
        let mut attributes = Attributes::of(self.name).ok();
        core::iter::from_fn(move || attributes.as_mut()?.next().ok()?)
            .filter(|attribute| attribute.kind == Kind::Organization)
            .map(|attribute| attribute.value)
    }

    /// The same subject, owned.
    #[must_use]
    pub fn to_subject(&self) -> Subject {
        let organizations = self.organizations().map(str::to_owned).collect();
        Subject { common_name: self.common_name.to_owned(), organizations }
    }
}

impl PartialEq for SubjectRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.common_name == other.common_name && self.organizations().eq(other.organizations())
    }
}

impl Eq for SubjectRef<'_> {}

impl PartialEq<Subject> for SubjectRef<'_> {
    fn eq(&self, other: &Subject) -> bool {
        self.common_name == other.common_name() && self.organizations().eq(other.organizations())
    }
}

impl fmt::Display for SubjectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_subject(), f)
    }
}

impl fmt::Debug for SubjectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_subject(), f)
    }
}

/// Walks a `Name`, whatever its attributes say.
pub(super) struct Attributes<'a> {
    rdns: Elements<'a>,
    rdn: Elements<'a>,
    before: Option<&'a [u8]>,
}

/// One attribute of a `Name`, as it stands there.
pub(super) struct Attribute<'a> {
    pub(super) kind: Kind,
    pub(super) string: der::Tag,
    pub(super) value: &'a [u8],
    encoded: &'a [u8],
    /// The one before it in the same relative distinguished name.
    before: Option<&'a [u8]>,
    is_last: bool,
}

/// What an attribute of a `Name` is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    CommonName,
    Organization,
    Other,
}

impl<'a> Attributes<'a> {
    pub(super) fn of(name: &'a [u8]) -> Result<Self, DecodeError> {
        let rdns = Elements::of(NAME, tag::SEQUENCE, name)?;
        Ok(Self { rdns, rdn: Elements::new(NAME, &[])?, before: None })
    }

    pub(super) fn next(&mut self) -> Result<Option<Attribute<'a>>, DecodeError> {
        if self.rdn.is_empty() {
            if self.rdns.is_empty() {
                return Ok(None);
            }
            (self.rdn, self.before) = (self.rdns.enter(NAME, tag::SET)?, None);
        }
        let (content, encoded) = self.rdn.both(tag::SEQUENCE)?;
        let before = self.before.replace(encoded);
        let mut attribute = Elements::new(NAME, content)?;
        let kind = Kind::of(&mut attribute)?;
        let (string, value) = attribute.any()?;
        attribute.finish()?;
        Ok(Some(Attribute { kind, string, value, encoded, before, is_last: self.rdn.is_empty() }))
    }
}

impl Kind {
    fn of(attribute: &mut Elements<'_>) -> Result<Self, DecodeError> {
        const COMMON_NAME: &[u8] = oids::COMMON_NAME.as_bytes();
        const ORGANIZATION_NAME: &[u8] = oids::ORGANIZATION_NAME.as_bytes();
        Ok(match attribute.content(tag::OBJECT_IDENTIFIER)? {
            COMMON_NAME => Self::CommonName,
            ORGANIZATION_NAME => Self::Organization,
            other => {
                let _well_formed: ObjectIdentifier = attribute.identifier(other)?;
                Self::Other
            }
        })
    }
}

impl<'a> Attribute<'a> {
    /// Whether its relative distinguished name holds nothing else.
    pub(super) const fn is_alone(&self) -> bool {
        self.before.is_none() && self.is_last
    }

    fn text(&self) -> Result<&'a str, DecodeError> {
        let printable = |octet: &u8| octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(octet);
        let text = match self.string {
            der::Tag::Utf8String => text_of(self.value),
            der::Tag::PrintableString if self.value.iter().all(printable) => text_of(self.value),
            _ => None,
        };
        text.ok_or(DecodeError::value(NAME, "a value is not a non-empty UTF8String or PrintableString"))
    }
}

/// A text of at least one character, none of which is a control character.
fn text_of(value: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(value).ok().filter(|text| !text.is_empty())?;
    // Of what is ASCII, which is nearly every name, no character has to be decoded.
    let is_plain = value.iter().fold(true, |is_plain, octet| is_plain & (b' '..=b'~').contains(octet));
    (is_plain || !text.chars().any(char::is_control)).then_some(text)
}

/// As [`SubjectRef::parse`], owned.
pub(crate) fn parse_subject(name: &[u8], len_max: usize) -> Result<Subject, DecodeError> {
    SubjectRef::parse(name, len_max).map(|subject| subject.to_subject())
}

/// A [`SubjectAltName`] where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SubjectAltNameRef<'a> {
    /// A dNSName: a DNS-1123 subdomain, never a wildcard.
    Dns(&'a str),
    /// An iPAddress of a single host.
    Ip(IpAddr),
}

impl SubjectAltNameRef<'_> {
    /// The same name, owned.
    #[must_use]
    pub fn to_name(self) -> SubjectAltName {
        match self {
            Self::Dns(name) => SubjectAltName::Dns(DnsName(name.to_owned())),
            Self::Ip(address) => SubjectAltName::Ip(address),
        }
    }
}

impl fmt::Display for SubjectAltNameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_name(), f)
    }
}

impl SubjectAltName {
    fn is_next(&self, names: &mut Elements<'_>) -> bool {
        match self {
            Self::Dns(name) => names.content(tag::DNS_NAME).is_ok_and(|found| found == name.as_str().as_bytes()),
            Self::Ip(IpAddr::V4(address)) => {
                names.content(tag::IP_ADDRESS).is_ok_and(|found| found == address.octets())
            }
            Self::Ip(IpAddr::V6(address)) => {
                names.content(tag::IP_ADDRESS).is_ok_and(|found| found == address.octets())
            }
        }
    }

    /// Orders it beside one that was read, as among its own kind.
    pub(crate) fn cmp_read(&self, read: SubjectAltNameRef<'_>) -> Ordering {
        let own = match self {
            Self::Dns(name) => SubjectAltNameRef::Dns(name.as_str()),
            Self::Ip(address) => SubjectAltNameRef::Ip(*address),
        };
        own.cmp(&read)
    }
}

/// Alternative names where they were read, in their order. There may be none, where there was no extension.
#[derive(Clone, Copy, Default)]
pub struct SubjectAltNamesRef<'a> {
    value: &'a [u8],
    count: usize,
}

impl<'a> SubjectAltNamesRef<'a> {
    /// The names of a `SubjectAltName`, all of them dNSName or iPAddress.
    pub(crate) fn parse(value: &'a [u8], max: usize) -> Result<Self, DecodeError> {
        let mut names = Elements::of(ALT_NAMES, tag::SEQUENCE, value)?;
        let mut count = 0;
        while !names.is_empty() {
            if count == max {
                return Err(DecodeError::value(ALT_NAMES, "more names than the limit"));
            }
            parse_alt_name(&mut names)?;
            count += 1;
        }
        if count == 0 {
            return Err(DecodeError::value(ALT_NAMES, "empty (RFC 5280 4.2.1.6)"));
        }
        Ok(Self { value, count })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = SubjectAltNameRef<'a>> {
        let mut names = Elements::of(ALT_NAMES, tag::SEQUENCE, self.value).ok();
        // They were judged when they were read.
        core::iter::from_fn(move || take_alt_name(names.as_mut()?).ok())
    }

    /// All of them, owned.
    #[must_use]
    pub fn to_vec(&self) -> Vec<SubjectAltName> {
        self.iter().map(SubjectAltNameRef::to_name).collect()
    }

    /// Whether they are these, which are sorted and stand there once each; in whatever order, and however often.
    pub(crate) fn are(&self, sorted: &[SubjectAltName]) -> bool {
        are_alt_names(self.value, sorted) || self.are_in_any_order(sorted)
    }

    fn are_in_any_order(&self, sorted: &[SubjectAltName]) -> bool {
        let mut seen = vec![false; sorted.len()];
        let mut walked = 0;
        let known = self.iter().all(|name| {
            walked += 1;
            let place = sorted.binary_search_by(|own| own.cmp_read(name)).ok();
            let place = place.and_then(|place| seen.get_mut(place));
            place.map(|seen| *seen = true).is_some()
        });
        known && walked == self.count && seen.into_iter().all(|seen| seen)
    }
}

/// Whether a `SubjectAltName` holds these names in this order and nothing else; there is none of no names.
///
/// What the names say was judged when they were approved.
pub(crate) fn are_alt_names(value: &[u8], expected: &[SubjectAltName]) -> bool {
    Elements::of(ALT_NAMES, tag::SEQUENCE, value).is_ok_and(|mut names| {
        !expected.is_empty() && expected.iter().all(|name| name.is_next(&mut names)) && names.is_empty()
    })
}

impl PartialEq for SubjectAltNamesRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for SubjectAltNamesRef<'_> {}

impl fmt::Debug for SubjectAltNamesRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

const NOT_A_DNS_NAME: DecodeError = DecodeError::value(ALT_NAMES, "a dNSName is not a DNS-1123 subdomain");
const NOT_A_HOST: DecodeError = DecodeError::value(ALT_NAMES, "an iPAddress is not the address of one host");

fn parse_alt_name<'a>(names: &mut Elements<'a>) -> Result<SubjectAltNameRef<'a>, DecodeError> {
    let name = take_alt_name(names)?;
    match name {
        SubjectAltNameRef::Dns(text) => check_dns_name(text).map_err(|_| NOT_A_DNS_NAME)?,
        SubjectAltNameRef::Ip(address) => check_host(address).map_err(|_| NOT_A_HOST)?,
    }
    Ok(name)
}

/// A name of which nobody has judged what it says.
fn take_alt_name<'a>(names: &mut Elements<'a>) -> Result<SubjectAltNameRef<'a>, DecodeError> {
    match names.peek() {
        Some(tag::DNS_NAME) => {
            core::str::from_utf8(names.content(tag::DNS_NAME)?).map(SubjectAltNameRef::Dns).map_err(|_| NOT_A_DNS_NAME)
        }
        Some(tag::IP_ADDRESS) => {
            parse_ip_address(names.content(tag::IP_ADDRESS)?).map(SubjectAltNameRef::Ip).ok_or(NOT_A_HOST)
        }
        _ => Err(DecodeError::value(ALT_NAMES, "a name that is neither dNSName nor iPAddress")),
    }
}

pub(crate) fn parse_ip_address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = |octets: [u8; 4]| IpAddr::V4(Ipv4Addr::from(octets));
    let v6 = |octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets));
    octets.try_into().map(v4).ok().or_else(|| octets.try_into().map(v6).ok())
}

/// As [`SubjectAltNamesRef::parse`], owned.
pub(crate) fn parse_subject_alt_names(value: &[u8], max: usize) -> Result<Vec<SubjectAltName>, DecodeError> {
    SubjectAltNamesRef::parse(value, max).map(|names| names.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{element, wrap};

    #[test]
    fn alternative_names_are_those_that_are_expected_in_their_order() {
        const V6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        let expected = [
            SubjectAltName::dns("a").unwrap(),
            SubjectAltName::ip(Ipv4Addr::new(10, 0, 0, 1).into()).unwrap(),
            SubjectAltName::ip(Ipv6Addr::from(V6).into()).unwrap(),
        ];
        let are = |names: &[&[u8]]| are_alt_names(&wrap(tag::SEQUENCE, names), &expected);
        let (dns, v4, v6) =
            (element(tag::DNS_NAME, b"a"), element(tag::IP_ADDRESS, &[10, 0, 0, 1]), element(tag::IP_ADDRESS, &V6));
        assert!(are(&[&dns, &v4, &v6]));
        for sound in [&dns, &v4, &v6] {
            for place in 0..sound.len() {
                let mut other = sound.clone();
                other[place] ^= 1;
                let changed = [&dns, &v4, &v6].map(|name| if name == sound { &*other } else { &**name });
                assert!(!are(&changed), "{other:02x?}");
            }
        }
        let mapped = element(tag::IP_ADDRESS, &Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().octets());
        assert!(!are(&[&dns, &mapped, &v6]) && !are(&[&v4, &dns, &v6]) && !are(&[&dns, &v4]));
        assert!(!are(&[&dns, &v4, &v6, &v6]) && !are(&[]));
        assert!(!are_alt_names(&[tag::SEQUENCE, 0], &[]));
    }
}
