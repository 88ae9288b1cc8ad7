//! `status` of a CertificateSigningRequest: what the API server asks of a change, and what it does not ask of a
//! certificate that an external signer writes.

use core::fmt;
use std::collections::HashSet;

use super::violation::{Gathered, Violation, Violations, quote};
use crate::Limits;
use crate::certificate::parse_certificate;
use crate::pem::{CERTIFICATE, PemBlock, PemErrorKind, pem_blocks};
use crate::verify::SubjectPublicKey;

const CONDITIONS: &str = "status.conditions";
const CERTIFICATE_FIELD: &str = "status.certificate";

/// The status of a CertificateSigningRequest (Kubernetes, `certificates.k8s.io/v1`), as it came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct CertificateSigningRequestStatus {
    /// What was decided and what happened.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub conditions: Vec<Condition>,
    /// The certificate and its intermediates, PEM; empty until it is issued.
    #[cfg_attr(feature = "serde", serde(with = "base64_octets", skip_serializing_if = "Vec::is_empty"))]
    pub certificate: Vec<u8>,
}

/// One condition, as it came in. Its times are left out: no rule here asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Condition {
    /// Which condition: `Approved`, `Denied`, `Failed`, or a signer's own.
    #[cfg_attr(feature = "serde", serde(rename = "type"))]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
}

/// The conditions that Kubernetes knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Somebody who may decide has approved.
    Approved,
    /// Somebody who may decide has denied.
    Denied,
    /// The signer will not issue.
    Failed,
}

impl ConditionType {
    /// All three, in the order in which upstream looks at them.
    pub const ALL: [Self; 3] = [Self::Approved, Self::Denied, Self::Failed];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
            Self::Denied => "Denied",
            Self::Failed => "Failed",
        }
    }
}

impl Condition {
    /// A condition that holds.
    #[must_use]
    pub fn new(condition_type: ConditionType, reason: &str, message: impl Into<String>) -> Self {
        Self {
            condition_type: condition_type.as_str().to_owned(),
            status: "True".to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

/// Through which door a status is changed: each may change something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subresource {
    /// The object itself: neither decision nor certificate.
    Object,
    /// `/approval`: `Approved` and `Denied`.
    Approval,
    /// `/status`: `Failed` and the certificate.
    Status,
}

impl CertificateSigningRequestStatus {
    /// Whether there is a condition of this type, whatever its status: upstream asks no more.
    #[must_use]
    pub fn has(&self, condition: ConditionType) -> bool {
        self.of_type(condition).next().is_some()
    }

    /// Whether an approver has something to decide: no certificate, neither approved nor denied (Kubernetes,
    /// `sarapprove.go`).
    #[must_use]
    pub fn awaits_approval(&self) -> bool {
        self.certificate.is_empty() && !self.has(ConditionType::Approved) && !self.has(ConditionType::Denied)
    }

    /// Whether a signer has something to do: approved, not denied, not failed, no certificate (Kubernetes, `signer.go`
    /// and the controller before it).
    #[must_use]
    pub fn awaits_certificate(&self) -> bool {
        self.check_may_be_issued().is_ok()
    }

    fn of_type(&self, condition: ConditionType) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().filter(move |found| found.condition_type == condition.as_str())
    }

    /// What the API server says when this status takes the place of `old` (Kubernetes, `validation.go`).
    ///
    /// # Errors
    /// All violations, in upstream's order and words. That a condition was modified is said without the difference.
    pub fn validate_update(&self, old: &Self, through: Subresource, limits: &Limits) -> Result<(), Violations> {
        let mut gathered = Gathered::default();
        self.validate_conditions(old, &mut gathered);
        let certificate_changes = self.certificate != old.certificate;
        // What is stored and broken already may stay as it is.
        if certificate_changes && validate_certificate(&old.certificate, limits).is_ok() {
            gathered.extend(validate_certificate(&self.certificate, limits));
        }
        for condition in ConditionType::ALL {
            if self.of_type(condition).count() < old.of_type(condition).count() {
                let detail = format!("updates may not remove a condition of type {}", quote(condition.as_str()));
                gathered.push(Violation::forbidden(CONDITIONS, detail));
            }
        }
        let decisions = [ConditionType::Approved, ConditionType::Denied];
        for condition in decisions.into_iter().filter(|_| through != Subresource::Approval) {
            let (new_count, old_count) = (self.of_type(condition).count(), old.of_type(condition).count());
            let verb = match new_count.cmp(&old_count) {
                core::cmp::Ordering::Greater => "add",
                core::cmp::Ordering::Equal if self.of_type(condition).ne(old.of_type(condition)) => "modify",
                core::cmp::Ordering::Equal | core::cmp::Ordering::Less => continue,
            };
            let detail = format!("updates may not {verb} a condition of type {}", quote(condition.as_str()));
            gathered.push(Violation::forbidden(CONDITIONS, detail));
        }
        if certificate_changes && through != Subresource::Status {
            gathered.push(Violation::forbidden(CERTIFICATE_FIELD, "updates may not set certificate content"));
        } else if certificate_changes && !old.certificate.is_empty() {
            gathered.push(Violation::forbidden(CERTIFICATE_FIELD, CERTIFICATE_IS_SET));
        }
        gathered.finish()
    }

    /// The rules of one list of conditions; what `old` broke already may stay broken.
    fn validate_conditions(&self, old: &Self, gathered: &mut Gathered) {
        let may_be_empty = old.conditions.iter().any(|condition| condition.condition_type.is_empty());
        let may_repeat = old.repeats_a_type();
        let may_contradict = old.has(ConditionType::Approved) && old.has(ConditionType::Denied);
        let mut before = HashSet::new();
        for (index, condition) in self.conditions.iter().enumerate() {
            if gathered.is_full() {
                break;
            }
            let (field, name) = (format!("{CONDITIONS}[{index}]"), condition.condition_type.as_str());
            if name.is_empty() && !may_be_empty {
                gathered.push(Violation::required(format!("{field}.type")));
            }
            let statuses: &[&str] = match ConditionType::ALL.iter().any(|known| known.as_str() == name) {
                true => &["True"],
                false => &["False", "True", "Unknown"],
            };
            match condition.status.as_str() {
                "" => gathered.push(Violation::required(format!("{field}.status"))),
                status if !statuses.contains(&status) => {
                    gathered.push(Violation::unsupported(format!("{field}.status"), status, statuses));
                }
                _ => {}
            }
            let contradicts = match name {
                "Approved" => before.contains("Denied"),
                "Denied" => before.contains("Approved"),
                _ => false,
            };
            if contradicts && !may_contradict {
                let detail = "Approved and Denied conditions are mutually exclusive";
                gathered.push(Violation::invalid(format!("{field}.type"), name, detail));
            }
            if !before.insert(name) && !may_repeat {
                gathered.push(Violation::duplicate(format!("{field}.type"), name));
            }
        }
    }

    fn repeats_a_type(&self) -> bool {
        let types: HashSet<&str> = self.conditions.iter().map(|condition| condition.condition_type.as_str()).collect();
        types.len() < self.conditions.len()
    }

    fn check_may_be_issued(&self) -> Result<(), IssuedRefusal> {
        if !self.certificate.is_empty() {
            Err(IssuedRefusal::AlreadyIssued)
        } else if self.has(ConditionType::Denied) {
            Err(IssuedRefusal::Denied)
        } else if self.has(ConditionType::Failed) {
            Err(IssuedRefusal::Failed)
        } else if !self.has(ConditionType::Approved) {
            Err(IssuedRefusal::NotApproved)
        } else {
            Ok(())
        }
    }

    /// Whether `certificate` may be written into this status, for a request of this key.
    ///
    /// The API server takes any certificate from whoever may sign. That the request is approved, neither denied nor
    /// failed, and that the key is the request's, is checked here and nowhere else.
    ///
    /// # Errors
    /// [`IssuedRefusal`], with the certificate not to be written.
    pub fn check_certificate(
        &self,
        certificate: &[u8],
        request_key: &SubjectPublicKey<'_>,
        limits: &Limits,
    ) -> Result<(), IssuedRefusal> {
        self.check_may_be_issued()?;
        let chain = read_certificates(certificate, limits).map_err(IssuedRefusal::Certificate)?;
        let leaf = chain.first().map(Vec::as_slice).unwrap_or_default();
        match parse_certificate(leaf) {
            Ok(leaf) if leaf.public_key.as_der() == request_key.as_der() => Ok(()),
            Ok(_) | Err(_) => Err(IssuedRefusal::ForeignKey),
        }
    }
}

const CERTIFICATE_IS_SET: &str = "updates may not modify existing certificate content";

/// What the API server says of a text in `status.certificate` (Kubernetes, `validation.go`): one PEM block or more, all
/// of them certificates without headers. Text around them is allowed. Nothing at all is, too: nothing was issued.
///
/// A block that is not base64 is refused, where upstream passes over it when another one follows, and a certificate must
/// be one that this crate reads.
///
/// # Errors
/// The first violation, in upstream's words where upstream refuses too.
pub fn validate_certificate(pem: &[u8], limits: &Limits) -> Result<(), Violations> {
    if pem.is_empty() {
        return Ok(());
    }
    read_certificates(pem, limits).map(drop).map_err(|detail| {
        let mut gathered = Gathered::default();
        gathered.push(Violation::invalid(CERTIFICATE_FIELD, "<certificate data>", detail));
        Violations::of_both(gathered.finish().err(), None)
    })
}

/// The DER of each certificate, at least one, or the detail of the violation.
fn read_certificates(pem: &[u8], limits: &Limits) -> Result<Vec<Vec<u8>>, String> {
    const NONE: &str = "must contain at least one CERTIFICATE PEM block";
    let blocks = pem_blocks(pem, limits).map_err(|error| match error.kind() {
        PemErrorKind::NotEnded => NONE.to_owned(),
        _ => error.to_string(),
    })?;
    let read = |block: &PemBlock<'_>| {
        if block.label() != CERTIFICATE {
            let label: String = block.label().chars().take(64).collect();
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {}", quote(&label)));
        }
        if block.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        let der = block.decode().map_err(|error| match error.kind() {
            PemErrorKind::Headers => "no PEM block headers are permitted".to_owned(),
            PemErrorKind::Encoding if blocks.len() == 1 => NONE.to_owned(),
            _ => error.to_string(),
        })?;
        parse_certificate(&der).map_err(|error| error.to_string())?;
        Ok(der)
    };
    let read: Vec<Vec<u8>> = blocks.iter().map(read).collect::<Result<_, _>>()?;
    if read.is_empty() { Err(NONE.to_owned()) } else { Ok(read) }
}

/// Why a certificate may not be written into a status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuedRefusal {
    /// There is a certificate already. Upstream's text.
    AlreadyIssued,
    /// The request was denied.
    Denied,
    /// The signer has said that it will not issue.
    Failed,
    /// Nobody has approved the request.
    NotApproved,
    /// The text is not what may stand there; with the detail of [`validate_certificate`].
    Certificate(String),
    /// The first certificate is not for the request's key.
    ForeignKey,
}

impl IssuedRefusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyIssued => "issued.already",
            Self::Denied => "issued.denied",
            Self::Failed => "issued.failed",
            Self::NotApproved => "issued.not_approved",
            Self::Certificate(_) => "issued.certificate",
            Self::ForeignKey => "issued.foreign_key",
        }
    }
}

impl fmt::Display for IssuedRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyIssued => f.write_str(CERTIFICATE_IS_SET),
            Self::Denied => f.write_str("the request is denied"),
            Self::Failed => f.write_str("the request has failed"),
            Self::NotApproved => f.write_str("the request is not approved"),
            Self::Certificate(detail) => f.write_str(detail),
            Self::ForeignKey => f.write_str("the certificate is not for the request's key"),
        }
    }
}

impl core::error::Error for IssuedRefusal {}

/// Octets as the API writes them in JSON: base64 (RFC 4648 4).
#[cfg(feature = "serde")]
pub(super) mod base64_octets {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(octets))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(text).map_err(|_| de::Error::custom("not base64 (RFC 4648 4)"))
    }
}
