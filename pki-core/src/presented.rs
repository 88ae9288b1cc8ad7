//! The names of a request as kube-controller-manager and the API server read them.

use std::net::IpAddr;

use crate::Limits;
use crate::certificate::oids;
use crate::decode::{DecodeError, Elements};
use crate::encode::tag;
use crate::name::parse_ip_address;

/// What a request asks to be called, read the way Go's crypto/x509 reads it and therefore the way upstream's signer
/// rules see it: nothing here is checked.
///
/// Of several common names the last one counts; attributes of the subject other than CN and O are not seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields, rename_all = "camelCase"))]
pub struct PresentedNames {
    /// The common name; empty when there is none.
    pub common_name: String,
    /// The organizations, in order.
    pub organizations: Vec<String>,
    /// dNSNames, in order.
    pub dns_names: Vec<String>,
    /// rfc822Names, in order.
    pub email_addresses: Vec<String>,
    /// iPAddresses, in order.
    pub ip_addresses: Vec<IpAddr>,
    /// uniformResourceIdentifiers, in order.
    pub uris: Vec<String>,
}

impl PresentedNames {
    /// Reads a `Name` and the value of a `subjectAltName` extension.
    pub(crate) fn read(subject: &[u8], alternative_names: Option<&[u8]>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut names = Self::default();
        names.read_subject(subject, limits)?;
        if let Some(value) = alternative_names {
            names.read_alternative_names(value, limits)?;
        }
        Ok(names)
    }

    fn read_subject(&mut self, subject: &[u8], limits: &Limits) -> Result<(), DecodeError> {
        const WHAT: &str = "Name";
        if subject.len() > limits.subject_len_max {
            return Err(DecodeError::value(WHAT, "longer than the limit"));
        }
        let mut rdns = Elements::of(WHAT, tag::SEQUENCE, subject)?;
        while !rdns.is_empty() {
            let mut rdn = rdns.enter(WHAT, tag::SET)?;
            while !rdn.is_empty() {
                let mut attribute = rdn.enter(WHAT, tag::SEQUENCE)?;
                let attribute_type = attribute.object_identifier()?;
                let (_, value) = attribute.any()?;
                attribute.finish()?;
                match attribute_type {
                    oids::COMMON_NAME => self.common_name = text(value),
                    oids::ORGANIZATION_NAME => self.organizations.push(text(value)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn read_alternative_names(&mut self, value: &[u8], limits: &Limits) -> Result<(), DecodeError> {
        const WHAT: &str = "subjectAltName";
        let mut names = Elements::of(WHAT, tag::SEQUENCE, value)?;
        for _ in 0..limits.subject_alt_names_max {
            let Some(kind) = names.peek() else { return Ok(()) };
            let content = names.content(kind)?;
            match kind {
                tag::DNS_NAME => self.dns_names.push(text(content)),
                tag::RFC822_NAME => self.email_addresses.push(text(content)),
                tag::URI => self.uris.push(text(content)),
                tag::IP_ADDRESS => self.ip_addresses.push(
                    parse_ip_address(content)
                        .ok_or(DecodeError::value(WHAT, "an iPAddress of neither 4 nor 16 octets"))?,
                ),
                // As upstream: a name of another kind is not seen.
                _ => {}
            }
        }
        if names.is_empty() { Ok(()) } else { Err(DecodeError::value(WHAT, "more names than the limit")) }
    }
}

/// As text, whatever the string type: for comparisons that octets outside ASCII cannot pass.
fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
