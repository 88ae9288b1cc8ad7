//! The extensions of a certificate or request, each read on its own: one that cannot be read hides no other.

use std::collections::BTreeSet;
use std::net::IpAddr;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280 as oid;
use der::Decode;
use serde::Serialize;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};
use x509_cert::name::Name;

use super::{NameView, Remark, hex};
use crate::Printable;
use crate::decode::{DecodeError, Elements};
use crate::encode::tag;

/// What the extensions say (RFC 5280 4.2.1). `None` where one is absent, or cannot be read, which is a remark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExtensionsView {
    /// The bits of the key usage, by the names of RFC 5280 4.2.1.3.
    pub key_usage: Option<Vec<&'static str>>,
    /// The extended key usages, by the names of RFC 5280 4.2.1.12 or as object identifiers.
    pub extended_key_usage: Option<Vec<String>>,
    /// The subject alternative names.
    pub subject_alt_names: Option<AltNames>,
    /// Whether this is a CA.
    pub basic_constraints: Option<BasicConstraintsView>,
    /// The subject key identifier, in hexadecimal digits.
    pub subject_key_id: Option<String>,
    /// The key identifier of the authority key identifier, in hexadecimal digits.
    pub authority_key_id: Option<String>,
    /// The extensions that are not spelled out.
    pub other_extensions: Vec<ExtensionView>,
}

/// Alternative names by kind, in the order of the certificate within each (RFC 5280 4.2.1.6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AltNames {
    /// dNSNames, as they stand there.
    pub dns_names: Vec<Printable>,
    /// iPAddresses; one of neither 4 nor 16 octets as `#` and hexadecimal digits.
    pub ip_addresses: Vec<Printable>,
    /// rfc822Names.
    pub email_addresses: Vec<Printable>,
    /// uniformResourceIdentifiers.
    pub uris: Vec<Printable>,
    /// directoryNames.
    pub directory_names: Vec<Printable>,
    /// Names of other kinds: the number of the kind, `#`, and hexadecimal digits.
    pub others: Vec<Printable>,
}

/// Basic constraints (RFC 5280 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BasicConstraintsView {
    /// Whether the subject is a CA.
    pub ca: bool,
    /// How many intermediate certificates may follow.
    pub path_len: Option<u8>,
}

/// An extension that is not spelled out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExtensionView {
    /// The object identifier.
    pub oid: String,
    /// What RFC 5280 calls it.
    pub name: Option<&'static str>,
    /// Whether who does not know it must refuse the certificate (RFC 5280 4.2).
    pub critical: bool,
}

const KEY_USAGES: [(KeyUsages, &str); 9] = [
    (KeyUsages::DigitalSignature, "digitalSignature"),
    (KeyUsages::NonRepudiation, "contentCommitment"),
    (KeyUsages::KeyEncipherment, "keyEncipherment"),
    (KeyUsages::DataEncipherment, "dataEncipherment"),
    (KeyUsages::KeyAgreement, "keyAgreement"),
    (KeyUsages::KeyCertSign, KEY_CERT_SIGN),
    (KeyUsages::CRLSign, "cRLSign"),
    (KeyUsages::EncipherOnly, "encipherOnly"),
    (KeyUsages::DecipherOnly, "decipherOnly"),
];
pub(super) const KEY_CERT_SIGN: &str = "keyCertSign";

pub(super) const SERVER_AUTH: &str = "serverAuth";
const PURPOSES: [(ObjectIdentifier, &str); 7] = [
    (oid::ID_KP_SERVER_AUTH, SERVER_AUTH),
    (oid::ID_KP_CLIENT_AUTH, "clientAuth"),
    (oid::ID_KP_CODE_SIGNING, "codeSigning"),
    (oid::ID_KP_EMAIL_PROTECTION, "emailProtection"),
    (oid::ID_KP_TIME_STAMPING, "timeStamping"),
    (oid::ID_KP_OCSP_SIGNING, "OCSPSigning"),
    (oid::ANY_EXTENDED_KEY_USAGE, "anyExtendedKeyUsage"),
];

const OTHERS: [(ObjectIdentifier, &str); 10] = [
    (oid::ID_CE_CERTIFICATE_POLICIES, "certificatePolicies"),
    (oid::ID_CE_POLICY_MAPPINGS, "policyMappings"),
    (oid::ID_CE_ISSUER_ALT_NAME, "issuerAltName"),
    (oid::ID_CE_SUBJECT_DIRECTORY_ATTRIBUTES, "subjectDirectoryAttributes"),
    (oid::ID_CE_NAME_CONSTRAINTS, "nameConstraints"),
    (oid::ID_CE_POLICY_CONSTRAINTS, "policyConstraints"),
    (oid::ID_CE_CRL_DISTRIBUTION_POINTS, "cRLDistributionPoints"),
    (oid::ID_CE_INHIBIT_ANY_POLICY, "inhibitAnyPolicy"),
    (oid::ID_CE_FRESHEST_CRL, "freshestCRL"),
    (oid::ID_PE_AUTHORITY_INFO_ACCESS, "authorityInfoAccess"),
];

fn named(table: &[(ObjectIdentifier, &'static str)], oid: &ObjectIdentifier) -> Option<&'static str> {
    table.iter().find(|(known, _)| known == oid).map(|(_, name)| *name)
}

impl ExtensionsView {
    /// Reads what can be read, and remarks on the rest. Of one that stands twice the first counts.
    pub(super) fn of(extensions: &[Extension], remarks: &mut Vec<Remark>) -> Self {
        let (mut view, mut seen) = (Self::default(), BTreeSet::new());
        for extension in extensions {
            let id = extension.extn_id;
            if !seen.insert(id) {
                remarks.push(Remark::RepeatedExtension { oid: id.to_string() });
            } else if let Err(error) = view.read(extension) {
                remarks.push(Remark::UnreadableExtension { oid: id.to_string(), error });
            }
        }
        view
    }

    fn read(&mut self, extension: &Extension) -> Result<(), DecodeError> {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            oid::ID_CE_KEY_USAGE => {
                let usage: KeyUsage = whole("keyUsage", value)?;
                let set = KEY_USAGES.into_iter().filter(|(bit, _)| usage.0.contains(*bit));
                self.key_usage = Some(set.map(|(_, name)| name).collect());
            }
            oid::ID_CE_EXT_KEY_USAGE => {
                let usage: ExtendedKeyUsage = whole("extKeyUsage", value)?;
                let name = |oid| named(&PURPOSES, oid).map_or_else(|| oid.to_string(), str::to_owned);
                self.extended_key_usage = Some(usage.0.iter().map(name).collect());
            }
            oid::ID_CE_SUBJECT_ALT_NAME => self.subject_alt_names = Some(AltNames::read(value)?),
            oid::ID_CE_BASIC_CONSTRAINTS => {
                let BasicConstraints { ca, path_len_constraint } = whole("basicConstraints", value)?;
                self.basic_constraints = Some(BasicConstraintsView { ca, path_len: path_len_constraint });
            }
            oid::ID_CE_SUBJECT_KEY_IDENTIFIER => {
                let mut id = Elements::new("subjectKeyIdentifier", value)?;
                self.subject_key_id = Some(hex(id.content(tag::OCTET_STRING)?));
                id.finish()?;
            }
            oid::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                // The issuer's name and serial may follow (RFC 5280 4.2.1.1); nothing here needs them.
                let mut id = Elements::of("authorityKeyIdentifier", tag::SEQUENCE, value)?;
                if id.peek() == Some(tag::KEY_IDENTIFIER) {
                    self.authority_key_id = Some(hex(id.content(tag::KEY_IDENTIFIER)?));
                }
            }
            other => {
                let (oid, name, critical) = (other.to_string(), named(&OTHERS, &other), extension.critical);
                self.other_extensions.push(ExtensionView { oid, name, critical });
            }
        }
        Ok(())
    }

    /// Whether the CA bit is set.
    pub(super) fn is_ca(&self) -> bool {
        self.basic_constraints.is_some_and(|constraints| constraints.ca)
    }
}

/// One value that is all there is.
fn whole<'a, T: Decode<'a, Error = der::Error>>(what: &'static str, value: &'a [u8]) -> Result<T, DecodeError> {
    let mut elements = Elements::new(what, value)?;
    let decoded = elements.decode()?;
    elements.finish()?;
    Ok(decoded)
}

impl AltNames {
    /// Every name by its tag alone, so that a name of a strange kind or content hides no other.
    fn read(value: &[u8]) -> Result<Self, DecodeError> {
        let mut elements = Elements::of("subjectAltName", tag::SEQUENCE, value)?;
        let mut names = Self::default();
        while !elements.is_empty() {
            let kind = elements.peek().unwrap_or_default();
            let content = elements.content(kind)?;
            match kind {
                tag::DNS_NAME => names.dns_names.push(Printable::new(content)),
                tag::IP_ADDRESS => names.ip_addresses.push(address(content)),
                RFC822_NAME => names.email_addresses.push(Printable::new(content)),
                URI => names.uris.push(Printable::new(content)),
                DIRECTORY_NAME => {
                    names.directory_names.push(NameView::of(&whole::<Name>("directoryName", content)?).text);
                }
                _ => names.others.push(Printable::from(format!("{}#{}", kind & 0x1f, hex(content)).as_str())),
            }
        }
        Ok(names)
    }

    /// Whether there is no name of any kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_kind().into_iter().all(|(_, names)| names.is_empty())
    }

    /// The names of each kind, under the prefix that openssl gives it.
    pub(super) const fn by_kind(&self) -> [(&'static str, &Vec<Printable>); 6] {
        [
            ("DNS", &self.dns_names),
            ("IP", &self.ip_addresses),
            ("email", &self.email_addresses),
            ("URI", &self.uris),
            ("DirName", &self.directory_names),
            ("other", &self.others),
        ]
    }
}

// Tags of a GeneralName (RFC 5280 4.2.1.6); a directoryName is explicit, since a Name is a choice.
const RFC822_NAME: u8 = 0x81;
const DIRECTORY_NAME: u8 = 0xa4;
const URI: u8 = 0x86;

fn address(octets: &[u8]) -> Printable {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from).ok();
    let address = v4.or_else(|| <[u8; 16]>::try_from(octets).map(IpAddr::from).ok());
    Printable::from(address.map_or_else(|| format!("#{}", hex(octets)), |address| address.to_string()).as_str())
}
