//! One certificate.

use der::Encode as _;
use serde::{Serialize, Serializer};
use time::UtcDateTime;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Time;

use super::extensions::{KEY_CERT_SIGN, SERVER_AUTH};
use super::key::is_weak_signature;
use super::{ExtensionsView, InspectError, KeyView, NameView, Remark, Severity, hex, name_of};
use crate::calendar::rfc3339;
use crate::certificate::Fingerprint;
use crate::decode::Elements;
use crate::{AuthorityId, DecodeError, LeafKind, Limits, NodeName};

/// A certificate, whoever issued it. Its signature is not checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CertificateView {
    /// 1 to 3.
    pub version: u8,
    /// The octets of the serial number, in hexadecimal digits.
    pub serial_number: String,
    /// Whose key this is.
    pub subject: NameView,
    /// Who signed it.
    pub issuer: NameView,
    /// Whether the two are the same name (RFC 5280 3.2). Whether the key is the same too is not checked.
    pub self_issued: bool,
    /// The first second; serialized as RFC 3339 writes it.
    #[serde(serialize_with = "as_rfc3339")]
    pub not_before: UtcDateTime,
    /// The last second; serialized as RFC 3339 writes it.
    #[serde(serialize_with = "as_rfc3339")]
    pub not_after: UtcDateTime,
    /// The key.
    pub public_key: KeyView,
    /// What the algorithm of the signature is called, or its object identifier.
    pub signature_algorithm: String,
    /// What the extensions say.
    #[serde(flatten)]
    pub extensions: ExtensionsView,
    /// SHA-256 over the DER; serialized in hexadecimal digits.
    #[serde(rename = "sha256", serialize_with = "as_text")]
    pub fingerprint: Fingerprint,
    /// The leaves of a cluster that have such a subject and such extended key usages. Several where nothing tells them
    /// apart, none for a CA or a stranger.
    pub looks_like: Vec<LeafKind>,
    /// What else to know, at the time of reading.
    pub remarks: Vec<Remark>,
    #[serde(skip)]
    names: EncodedNames,
    #[serde(skip)]
    key: KeyIds,
}

/// Which key it is, to find it again in another certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyIds {
    fingerprint: Fingerprint,
    authority: AuthorityId,
}

/// Subject and issuer as they are encoded, to compare one certificate with another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EncodedNames {
    subject: Vec<u8>,
    issuer: Vec<u8>,
}

pub(super) fn as_rfc3339<S: Serializer>(time: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

pub(super) fn as_text<S: Serializer>(value: &impl core::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl CertificateView {
    /// Reads a certificate; `now` decides what is remarked on its validity.
    ///
    /// # Errors
    /// When it is longer than [`Limits::certificate_len_max`], or not the DER of a certificate of version 1 to 3 with times
    /// from 1970 on. An extension that cannot be read is a remark.
    pub fn parse(der: &[u8], now: UtcDateTime, limits: &Limits) -> Result<Self, InspectError> {
        InspectError::check_len(der.len(), limits.certificate_len_max)?;
        let mut elements = Elements::new("Certificate", der)?;
        let certificate: CertificateInner<Raw> = elements.decode()?;
        elements.finish()?;
        let tbs = certificate.tbs_certificate();

        let mut remarks = Vec::new();
        let (not_before, not_after) = (moment(tbs.validity().not_before)?, moment(tbs.validity().not_after)?);
        remarks.extend(Remark::on_validity(not_before, not_after, now));
        let extensions = ExtensionsView::of(tbs.extensions().map_or(&[], Vec::as_slice), &mut remarks);
        let subject = NameView::of(tbs.subject());
        let mut view = Self {
            version: version_number(tbs.version()),
            serial_number: hex(tbs.serial_number().as_bytes()),
            issuer: NameView::of(tbs.issuer()),
            self_issued: tbs.subject() == tbs.issuer(),
            not_before,
            not_after,
            public_key: KeyView::of(tbs.subject_public_key_info()),
            signature_algorithm: name_of(certificate.signature_algorithm().oid),
            fingerprint: Fingerprint::of(der),
            looks_like: if extensions.is_ca() { Vec::new() } else { looks_like(&subject, &extensions) },
            subject,
            extensions,
            remarks,
            names: EncodedNames { subject: encoded(tbs.subject())?, issuer: encoded(tbs.issuer())? },
            key: key_ids(tbs.subject_public_key_info())?,
        };
        if !is_sound_serial(tbs.serial_number().as_bytes()) {
            view.remarks.push(Remark::Serial);
        }
        if tbs.signature() != certificate.signature_algorithm() {
            view.remarks.push(Remark::SignatureAlgorithms);
        }
        // An anchor is trusted by decision: nobody checks the signature that it makes over itself.
        if !view.self_issued && is_weak_signature(certificate.signature_algorithm().oid) {
            view.remarks.push(Remark::WeakSignature { algorithm: view.signature_algorithm.clone() });
        }
        view.remark_on_purpose();
        Ok(view)
    }

    fn remark_on_purpose(&mut self) {
        if let Some(weakness) = self.public_key.weakness {
            self.remarks.push(Remark::WeakKey { weakness });
        }
        if self.version < 3 {
            self.remarks.push(Remark::Version { version: self.version });
        }
        let signs = self.extensions.key_usage.as_ref().is_some_and(|usage| usage.contains(&KEY_CERT_SIGN));
        let is_server = self.extensions.extended_key_usage.as_deref().unwrap_or_default().iter();
        if self.extensions.is_ca() {
            // Without the extension every use is allowed (RFC 5280 4.2.1.3).
            if self.extensions.key_usage.is_some() && !signs {
                self.remarks.push(Remark::CaWithoutKeyCertSign);
            }
        } else {
            if signs {
                self.remarks.push(Remark::KeyCertSignWithoutCa);
            }
            let nameless = self.extensions.subject_alt_names.as_ref().is_none_or(super::AltNames::is_empty);
            if nameless && is_server.into_iter().any(|usage| usage == SERVER_AUTH) {
                self.remarks.push(Remark::ServerWithoutNames);
            }
        }
        if self.subject.organizations.iter().any(|group| group.as_str() == "system:masters") {
            self.remarks.push(Remark::SystemMasters);
        }
    }

    /// Whether the basic constraints say that this is a CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.extensions.is_ca()
    }

    /// Whether `issuer` is a CA of the name, and as far as both say so of the key, that this certificate gives as its
    /// issuer's. A name, not a proof: the signature is not checked.
    #[must_use]
    pub fn names_as_issuer(&self, issuer: &Self) -> bool {
        let same_key = match (&self.extensions.authority_key_id, &issuer.extensions.subject_key_id) {
            (Some(named), Some(found)) => named == found,
            _ => true,
        };
        issuer.is_ca() && self.names.issuer == issuer.names.subject && same_key
    }

    /// SHA-256 over the `SubjectPublicKeyInfo`: the same in every certificate of the key.
    #[must_use]
    pub const fn key_fingerprint(&self) -> Fingerprint {
        self.key.fingerprint
    }

    /// Which authority this is if it is one: the identifier of the key, weak or not.
    #[must_use]
    pub const fn authority_id(&self) -> AuthorityId {
        self.key.authority
    }

    /// Whether both have the same subject, octet by octet.
    #[must_use]
    pub fn has_subject_of(&self, other: &Self) -> bool {
        self.names.subject == other.names.subject
    }

    pub(super) fn encoded_subject(&self) -> &[u8] {
        &self.names.subject
    }

    pub(super) fn encoded_issuer(&self) -> &[u8] {
        &self.names.issuer
    }

    /// Remarks on what only the issuer's certificate shows. Without effect unless
    /// [`names_as_issuer`](Self::names_as_issuer) holds.
    pub fn compare_with_issuer(&mut self, issuer: &Self) {
        if self.names_as_issuer(issuer) && issuer.not_after < self.not_after {
            self.remarks.push(Remark::OutlivesIssuer { issuer_not_after: issuer.not_after });
        }
    }

    /// Whether a remark says that verifiers refuse this certificate or that it protects nothing.
    #[must_use]
    pub fn has_fault(&self) -> bool {
        self.remarks.iter().any(|remark| remark.severity() == Severity::Fault)
    }
}

fn encoded(name: &x509_cert::name::Name) -> Result<Vec<u8>, InspectError> {
    name.to_der().map_err(|_| DecodeError::value("Name", "cannot be encoded as it was read").into())
}

fn key_ids(info: &SubjectPublicKeyInfoOwned) -> Result<KeyIds, InspectError> {
    let der =
        info.to_der().map_err(|_| DecodeError::value("SubjectPublicKeyInfo", "cannot be encoded as it was read"))?;
    let authority = AuthorityId::of_bits(info.subject_public_key.raw_bytes());
    Ok(KeyIds { fingerprint: Fingerprint::of(&der), authority })
}

const fn version_number(version: x509_cert::Version) -> u8 {
    match version {
        x509_cert::Version::V1 => 1,
        x509_cert::Version::V2 => 2,
        x509_cert::Version::V3 => 3,
    }
}

/// Positive and of at most 20 octets (RFC 5280 4.1.2.2).
fn is_sound_serial(octets: &[u8]) -> bool {
    octets.len() <= 20
        && octets.iter().any(|octet| *octet != 0)
        && octets.first().is_some_and(|octet| octet & 0x80 == 0)
}

fn moment(time: Time) -> Result<UtcDateTime, InspectError> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).map_err(|_| InspectError::Time)?;
    UtcDateTime::from_unix_timestamp(seconds).map_err(|_| InspectError::Time)
}

/// The leaves whose profile has these usages and this subject. Groups of a fixed name are not compared: kubeadm has
/// changed them twice (`system:masters`, `kubeadm:cluster-admins`, none).
pub(super) fn looks_like(subject: &NameView, extensions: &ExtensionsView) -> Vec<LeafKind> {
    let Some(common_name) = subject.common_name.as_ref().map(crate::Printable::as_str) else {
        return Vec::new();
    };
    let node = |text: &str| text.parse::<NodeName>().ok();
    let nodes = [node(common_name), common_name.rsplit_once(':').and_then(|(_, last)| node(last))];
    let organizations = || subject.organizations.iter().map(crate::Printable::as_str);
    let mut usages: Vec<_> = extensions.extended_key_usage.iter().flatten().map(String::as_str).collect();
    usages.sort_unstable();
    let fits = |kind: &LeafKind| {
        let fixed = kind.subject(None).is_some_and(|expected| expected.common_name() == common_name);
        let of_node = nodes.iter().flatten().filter_map(|node| kind.subject(Some(node))).any(|expected| {
            expected.common_name() == common_name
                && organizations().eq(expected.organizations().iter().map(String::as_str))
        });
        let mut expected: Vec<_> = kind.extended_key_usage().iter().map(ToString::to_string).collect();
        expected.sort_unstable();
        (fixed || of_node) && usages == expected
    };
    LeafKind::ALL.into_iter().filter(fits).collect()
}
