//! Distinguished names of any shape.

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc3280, rfc4519};
use der::asn1::{Any, BmpString};
use der::{Encode, Tag, Tagged};
use serde::Serialize;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::Name;

use crate::Printable;

/// A `Name` of any attributes (RFC 5280 4.1.2.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NameView {
    /// The whole name as RFC 4514 writes it: the last attribute first. A value that is no string, or of a type without
    /// a name, stands as the hexadecimal digits of its DER (RFC 4514 2.4). Empty for an empty name.
    pub text: Printable,
    /// The common name: of several the last one, which Kubernetes takes as the user.
    pub common_name: Option<Printable>,
    /// The organizations, which Kubernetes takes as groups, in order.
    pub organizations: Vec<Printable>,
}

/// The short names of RFC 4514 3, and the two others that are met in subjects (RFC 4519 2.31, RFC 2985 5.2.1).
const SHORT_NAMES: [(ObjectIdentifier, &str); 11] = [
    (rfc4519::COMMON_NAME, "CN"),
    (rfc4519::LOCALITY_NAME, "L"),
    (rfc4519::ST, "ST"),
    (rfc4519::ORGANIZATION_NAME, "O"),
    (rfc4519::ORGANIZATIONAL_UNIT_NAME, "OU"),
    (rfc4519::COUNTRY_NAME, "C"),
    (rfc4519::STREET, "street"),
    (rfc4519::DOMAIN_COMPONENT, "DC"),
    (rfc4519::UID, "UID"),
    (rfc4519::SERIAL_NUMBER, "serialNumber"),
    (rfc3280::EMAIL_ADDRESS, "emailAddress"),
];

impl NameView {
    pub(super) fn of(name: &Name) -> Self {
        let mut view = Self { text: Printable::default(), common_name: None, organizations: Vec::new() };
        for rdn in name.iter_rdn() {
            for attribute in rdn.iter() {
                let value = || string(&attribute.value).map(|text| Printable::new(&text));
                match attribute.oid {
                    rfc4519::COMMON_NAME => view.common_name = value().or(view.common_name),
                    rfc4519::ORGANIZATION_NAME => view.organizations.extend(value()),
                    _ => {}
                }
            }
        }
        // Back to front (RFC 4514 2.1); the values of one relative name have no order of their own (2.2).
        let rdns: Vec<_> = name.iter_rdn().collect();
        for (index, rdn) in rdns.into_iter().rev().enumerate() {
            if index > 0 {
                view.text.push_fixed(",");
            }
            let attributes: Vec<_> = rdn.iter().collect();
            for (index, attribute) in attributes.into_iter().rev().enumerate() {
                if index > 0 {
                    view.text.push_fixed("+");
                }
                push_attribute(&mut view.text, attribute);
            }
        }
        view
    }
}

fn push_attribute(text: &mut Printable, attribute: &AttributeTypeAndValue) {
    let short = SHORT_NAMES.iter().find(|(oid, _)| *oid == attribute.oid).map(|(_, name)| *name);
    match short {
        Some(name) => text.push_fixed(name),
        None => attribute.oid.to_string().bytes().for_each(|octet| text.push(octet, b"")),
    }
    text.push_fixed("=");
    let value = string(&attribute.value).filter(|_| short.is_some());
    let Some(value) = value else {
        text.push_fixed("#");
        let der = attribute.value.to_der().unwrap_or_default();
        super::hex(&der).to_ascii_uppercase().bytes().for_each(|octet| text.push(octet, b""));
        return;
    };
    let last = value.len().saturating_sub(1);
    for (index, octet) in value.iter().enumerate() {
        // RFC 4514 2.4: these everywhere, a space at either end, a number sign at the beginning.
        let special: &[u8] = match index {
            0 => b"\"+,;<> #",
            _ if index == last => b"\"+,;<> ",
            _ => b"\"+,;<>",
        };
        text.push(*octet, special);
    }
}

/// A value in UTF-8, if it is a string of characters. What stands in a UTF8String is taken as it is.
fn string(value: &Any) -> Option<Vec<u8>> {
    let octets = value.value();
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            Some(octets.to_vec())
        }
        // Read as Latin-1, as everybody does.
        Tag::TeletexString => Some(octets.iter().map(|octet| char::from(*octet)).collect::<String>().into_bytes()),
        Tag::BmpString => Some(value.decode_as::<BmpString>().ok()?.to_string().into_bytes()),
        _ => None,
    }
}
