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
        let mut rdns = Elements::of(NAME, tag::SEQUENCE, name)?;
        let mut common_name = None;
        while !rdns.is_empty() {
            let mut rdn = rdns.enter(NAME, tag::SET)?;
            let mut previous: Option<&[u8]> = None;
            loop {
                let encoded = rdn.element(tag::SEQUENCE)?;
                let (attribute, text) = parse_attribute(encoded)?;
                let is_alone = previous.is_none() && rdn.is_empty();
                match attribute {
                    Attribute::CommonName if !is_alone => {
                        return Err(DecodeError::value(NAME, "a relative distinguished name of several values"));
                    }
                    Attribute::CommonName if common_name.is_none() => common_name = Some(text),
                    Attribute::CommonName => return Err(DecodeError::value(NAME, "more than one common name")),
                    Attribute::Organization => {}
                    Attribute::Other => return Err(DecodeError::value(NAME, "an attribute other than CN and O")),
                }
                // Of two whole elements neither is the beginning of the other, so that no padding is needed to compare.
                if previous.replace(encoded).is_some_and(|previous| previous >= encoded) {
                    return Err(DecodeError::value(NAME, "a SET OF that is not in order (X.690 11.6)"));
                }
                if rdn.is_empty() {
                    break;
                }
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
        Organizations { rdns: Elements::of(NAME, tag::SEQUENCE, self.name).ok(), rdn: None }
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

/// Walks a `Name` that was read already: nothing is wrong with it any more.
struct Organizations<'a> {
    rdns: Option<Elements<'a>>,
    rdn: Option<Elements<'a>>,
}

impl<'a> Iterator for Organizations<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            match self.rdn.as_mut().filter(|rdn| !rdn.is_empty()) {
                Some(rdn) => {
                    if let (Attribute::Organization, text) = parse_attribute(rdn.element(tag::SEQUENCE).ok()?).ok()? {
                        return Some(text);
                    }
                }
                None => {
                    let rdns = self.rdns.as_mut().filter(|rdns| !rdns.is_empty())?;
                    self.rdn = Some(rdns.enter(NAME, tag::SET).ok()?);
                }
            }
        }
    }
}

/// What an attribute of a `Name` is for.
#[derive(Clone, Copy)]
enum Attribute {
    CommonName,
    Organization,
    Other,
}

fn parse_attribute(encoded: &[u8]) -> Result<(Attribute, &str), DecodeError> {
    const COMMON_NAME: &[u8] = oids::COMMON_NAME.as_bytes();
    const ORGANIZATION_NAME: &[u8] = oids::ORGANIZATION_NAME.as_bytes();
    let mut attribute = Elements::of(NAME, tag::SEQUENCE, encoded)?;
    let kind = match attribute.content(tag::OBJECT_IDENTIFIER)? {
        COMMON_NAME => Attribute::CommonName,
        ORGANIZATION_NAME => Attribute::Organization,
        other => {
            let _well_formed: ObjectIdentifier = attribute.identifier(other)?;
            Attribute::Other
        }
    };
    let (string, value) = attribute.any()?;
    attribute.finish()?;
    let printable = |octet: &u8| octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(octet);
    let text = match string {
        der::Tag::Utf8String => text_of(value),
        der::Tag::PrintableString if value.iter().all(printable) => text_of(value),
        _ => None,
    };
    text.map(|text| (kind, text))
        .ok_or(DecodeError::value(NAME, "a value is not a non-empty UTF8String or PrintableString"))
}

/// A text of at least one character, none of which is a control character.
fn text_of(value: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(value).ok().filter(|text| !text.is_empty())?;
    // Of what is ASCII, which is nearly every name, no character has to be decoded.
    let is_plain = value.iter().all(|octet| (b' '..=b'~').contains(octet));
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
