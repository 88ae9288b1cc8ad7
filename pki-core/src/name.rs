//! Names as types: node names, subjects, subject alternative names.
//!
//! A name that exists as a value of this module has the syntax that Kubernetes
//! and RFC 5280 ask for; nothing here is taken from a request unread.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;
use std::sync::Arc;

mod encoded;
mod parts;

pub use encoded::{SubjectAltNameRef, SubjectAltNamesRef, SubjectRef};
pub(crate) use encoded::{are_alt_names, parse_ip_address, parse_subject, parse_subject_alt_names};
pub(crate) use parts::{DecidedSubject, SubjectParts};

/// The longest DNS label (RFC 1035 2.3.4).
const DNS_LABEL_LEN_MAX: usize = 63;
/// The longest DNS-1123 subdomain that the Kubernetes API accepts as an object's name.
const DNS_SUBDOMAIN_LEN_MAX: usize = 253;

/// A text that is not the name it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    text: String,
    kind: NameErrorKind,
}

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameErrorKind {
    /// Empty, or with an empty label between two dots.
    Empty,
    /// Longer than the limit, in octets.
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A character other than `a-z`, `0-9`, `-` (and `.` between labels), or a
    /// `-` at the beginning or end of a label (RFC 1123 2.1).
    Character,
    /// A control character, where any other text is allowed.
    Control,
    /// A name that resolvers read as an IPv4 address, since its last label is a number: `10.0.0.1`, but also `127.1`,
    /// `2130706433` and `0x7f000001`. An address belongs into an iPAddress (RFC 9525 6.4).
    Address,
    /// An address that names no single host (unspecified, multicast), or an IPv4 address in the guise of IPv6,
    /// which verifiers compare differently.
    NotAHost,
}

impl NameError {
    fn new(text: &str, kind: NameErrorKind) -> Self {
        // Enough to recognise it; a hostile megabyte does not travel in an error.
        let text = text.chars().take(DNS_LABEL_LEN_MAX).collect();
        Self { text, kind }
    }

    /// Why.
    #[must_use]
    pub const fn kind(&self) -> NameErrorKind {
        self.kind
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.escape_debug();
        match self.kind {
            NameErrorKind::Empty => write!(f, "`{text}` is empty or has an empty label"),
            NameErrorKind::TooLong { max } => write!(f, "`{text}` is longer than {max} octets"),
            NameErrorKind::Character => {
                write!(f, "`{text}` is not lower-case letters, digits and inner hyphens (RFC 1123 2.1)")
            }
            NameErrorKind::Control => write!(f, "`{text}` holds a control character"),
            NameErrorKind::Address => write!(f, "`{text}` is an address, not a DNS name"),
            NameErrorKind::NotAHost => write!(f, "`{text}` is not the address of one host"),
        }
    }
}

impl core::error::Error for NameError {}

pub(crate) fn check_dns_label(text: &str) -> Result<(), NameError> {
    check_label(text.as_bytes()).map_err(|kind| NameError::new(text, kind))
}

fn check_label(label: &[u8]) -> Result<(), NameErrorKind> {
    match label.len() {
        0 => Err(NameErrorKind::Empty),
        1..=DNS_LABEL_LEN_MAX if is_label_text(label) => Ok(()),
        1..=DNS_LABEL_LEN_MAX => Err(NameErrorKind::Character),
        _ => Err(NameErrorKind::TooLong { max: DNS_LABEL_LEN_MAX }),
    }
}

/// Whether a text has the characters of a label in their places (RFC 1123 2.1), whatever its length.
pub(crate) fn is_dns_label_text(text: &str) -> bool {
    is_label_text(text.as_bytes())
}

fn is_label_text(text: &[u8]) -> bool {
    let allowed = |octet: &u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty() && text.iter().all(allowed) && !text.starts_with(b"-") && !text.ends_with(b"-")
}

fn check_dns_subdomain(text: &str) -> Result<(), NameError> {
    if text.len() > DNS_SUBDOMAIN_LEN_MAX {
        return Err(NameError::new(text, NameErrorKind::TooLong { max: DNS_SUBDOMAIN_LEN_MAX }));
    }
    text.as_bytes()
        .split(|octet| *octet == b'.')
        .try_for_each(|label| check_label(label).map_err(|kind| NameError::new(&String::from_utf8_lossy(label), kind)))
}

/// The name of a node or etcd member: a DNS-1123 subdomain of at most 253 octets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_dns_subdomain(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One subject alternative name (RFC 5280 4.2.1.6) of the two kinds that
/// cluster components use. E-mail, URI and other names do not exist here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SubjectAltName {
    /// A dNSName: a DNS-1123 subdomain, never a wildcard.
    Dns(DnsName),
    /// An iPAddress of a single host.
    Ip(IpAddr),
}

impl SubjectAltName {
    /// A dNSName.
    ///
    /// # Errors
    /// When `text` is not a DNS-1123 subdomain.
    pub fn dns(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self::Dns)
    }

    /// An iPAddress. Loopback is accepted: etcd members serve on it.
    ///
    /// # Errors
    /// When `address` is of no single host: multicast, the broadcast address, or in 0.0.0.0/8 or `::` (RFC 1122
    /// 3.2.1.3); or an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2).
    pub fn ip(address: IpAddr) -> Result<Self, NameError> {
        check_host(address)?;
        Ok(Self::Ip(address))
    }
}

fn check_host(address: IpAddr) -> Result<(), NameError> {
    let is_of_no_host = match address {
        IpAddr::V4(address) => address.octets().starts_with(&[0]) || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unspecified() || address.to_ipv4_mapped().is_some(),
    };
    if is_of_no_host || address.is_multicast() {
        return Err(NameError::new(&address.to_string(), NameErrorKind::NotAHost));
    }
    Ok(())
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
        }
    }
}

/// Decimal, or hexadecimal behind `0x`: what `inet_aton` takes as the last part of an address.
fn is_number(label: &[u8]) -> bool {
    let hexadecimal = label.strip_prefix(b"0x").is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    hexadecimal || label.iter().all(u8::is_ascii_digit)
}

/// A DNS-1123 subdomain: what a dNSName of a cluster component may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct DnsName(String);

impl DnsName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DnsName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_dns_name(text)?;
        Ok(Self(text.to_owned()))
    }
}

fn check_dns_name(text: &str) -> Result<(), NameError> {
    check_dns_subdomain(text)?;
    if text.as_bytes().rsplit(|octet| *octet == b'.').next().is_some_and(is_number) {
        return Err(NameError::new(text, NameErrorKind::Address));
    }
    Ok(())
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A subject as Kubernetes reads it: the common name is the user, each
/// organization a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    common_name: String,
    organizations: Vec<String>,
}

impl Subject {
    /// A subject of a common name and any number of groups.
    pub(crate) fn new(common_name: impl Into<String>, organizations: &[&str]) -> Self {
        Self {
            common_name: common_name.into(),
            organizations: organizations.iter().map(|&group| group.to_owned()).collect(),
        }
    }

    /// The subject of a user in these groups, such as a client of the API server asks for.
    ///
    /// # Errors
    /// When the name or a group is empty or holds a control character: nobody reads such a name as it is written.
    pub fn user(common_name: &str, groups: &[&str]) -> Result<Self, NameError> {
        let check = |text: &str| match text {
            "" => Err(NameError::new(text, NameErrorKind::Empty)),
            _ if text.chars().any(char::is_control) => Err(NameError::new(text, NameErrorKind::Control)),
            _ => Ok(()),
        };
        groups.iter().chain([&common_name]).try_for_each(|text| check(text))?;
        Ok(Self::new(common_name, groups))
    }

    pub(crate) fn from_parts(common_name: String, organizations: Vec<String>) -> Self {
        Self { common_name, organizations }
    }

    /// The common name (`CN`): the user.
    #[must_use]
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// The organizations (`O`): the groups, in the order of the certificate.
    #[must_use]
    pub fn organizations(&self) -> &[String] {
        &self.organizations
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for organization in &self.organizations {
            write!(f, "O={},", Escaped(organization))?;
        }
        write!(f, "CN={}", Escaped(&self.common_name))
    }
}

/// A value in which nothing ends the value, and no control character is left (RFC 4514 2.4).
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            ',' | '+' | '=' | '<' | '>' | ';' | '#' => write!(f, "\\{character}"),
            character => write!(f, "{}", character.escape_debug()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_reads_in_one_way_only() {
        let subject = |name, groups: &[&str]| Subject::user(name, groups).unwrap().to_string();
        assert_eq!(subject("ada", &["dev", "system:nodes"]), "O=dev,O=system:nodes,CN=ada");
        assert_eq!(subject("ada", &["dev,O=system:nodes"]), r"O=dev\,O\=system:nodes,CN=ada");
        assert_eq!(subject("a\"b\\c", &[]), r#"CN=a\"b\\c"#);
    }

    #[test]
    fn node_names_are_dns_1123_subdomains() {
        for good in ["a", "node-1", "ip-10-0-0-1.ec2.internal", "0"] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        for (bad, kind) in [
            ("", NameErrorKind::Empty),
            ("a..b", NameErrorKind::Empty),
            ("a.", NameErrorKind::Empty),
            ("Node", NameErrorKind::Character),
            ("-a", NameErrorKind::Character),
            ("a-", NameErrorKind::Character),
            ("*.a", NameErrorKind::Character),
            ("a/b", NameErrorKind::Character),
            ("a\0", NameErrorKind::Character),
            ("ａ", NameErrorKind::Character),
        ] {
            assert_eq!(bad.parse::<NodeName>().unwrap_err().kind(), kind, "{bad:?}");
        }
        let label = "a".repeat(64);
        assert_eq!(label.parse::<NodeName>().unwrap_err().kind(), NameErrorKind::TooLong { max: 63 });
        let name = ["a"; 128].join(".");
        assert_eq!(name.parse::<NodeName>().unwrap_err().kind(), NameErrorKind::TooLong { max: 253 });
    }

    #[test]
    fn an_address_is_no_dns_name() {
        for address in
            ["10.0.0.1", "10.0.0", "127.1", "2130706433", "0x7f000001", "127.0.0.01", "127.0x1", "a.0x", "a.1"]
        {
            assert_eq!(SubjectAltName::dns(address).unwrap_err().kind(), NameErrorKind::Address, "{address}");
        }
        for name in ["1.a", "1a", "0xg", "x0", "a.0x1g", "10-0-0-1"] {
            assert!(SubjectAltName::dns(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_error_carries_at_most_a_label_of_the_offending_text() {
        let error = "A".repeat(1 << 20).parse::<NodeName>().unwrap_err();
        assert!(error.to_string().len() < 200, "{}", error.to_string().len());
    }

    #[test]
    fn a_user_has_a_name_that_reads_as_it_is_written() {
        let user = Subject::user("Jürgen", &["a, b", "c"]).unwrap();
        assert_eq!((user.common_name(), user.organizations()), ("Jürgen", &["a, b".to_owned(), "c".to_owned()][..]));
        assert_eq!(Subject::user("", &[]).unwrap_err().kind(), NameErrorKind::Empty);
        assert_eq!(Subject::user("a", &[""]).unwrap_err().kind(), NameErrorKind::Empty);
        assert_eq!(Subject::user("a", &["b\n"]).unwrap_err().kind(), NameErrorKind::Control);
    }

    #[test]
    fn addresses_of_no_single_host_are_refused() {
        for address in ["0.0.0.0", "0.1.2.3", "255.255.255.255", "::", "224.0.0.1", "ff02::1", "::ffff:10.0.0.1"] {
            let error = SubjectAltName::ip(address.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), NameErrorKind::NotAHost);
        }
        assert!(SubjectAltName::ip("127.0.0.1".parse().unwrap()).is_ok());
    }
}
