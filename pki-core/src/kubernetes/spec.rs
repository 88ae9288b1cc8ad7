//! `spec` of a CertificateSigningRequest, and what the API server asks of it at creation.

use core::fmt;
use std::collections::BTreeMap;

use super::signer_name::SignerName;
use super::strict::{StrictRefusal, StrictRule, StrictRules};
use super::usage::Usages;
use super::violation::{Gathered, Violation, Violations};
use crate::Limits;
use crate::pem::{CERTIFICATE_REQUEST, PemErrorKind, decode_single_pem, pem_blocks};

/// The least `spec.expirationSeconds` (Kubernetes, `validation.go`).
const EXPIRATION_SECONDS_MIN: i32 = 600;

/// The specification of a CertificateSigningRequest (Kubernetes, `certificates.k8s.io/v1`), as it came in: nothing
/// here is checked.
///
/// With the feature `serde` it reads and writes the API's JSON. Fields that this version does not know are ignored, as
/// the API's clients ignore them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase"))]
pub struct CertificateSigningRequestSpec {
    /// The certification request, PEM.
    #[cfg_attr(feature = "serde", serde(with = "super::status::base64_octets"))]
    pub request: Vec<u8>,
    /// Who is to sign.
    pub signer_name: String,
    /// How long the certificate is to live, in seconds. The signer may shorten it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub expiration_seconds: Option<i32>,
    /// What the key is to be used for.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub usages: Vec<String>,
    /// Who created the object. The API server writes this and what follows; nobody can change it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "String::is_empty"))]
    pub username: String,
    /// The unique identifier of who created it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "String::is_empty"))]
    pub uid: String,
    /// The groups of who created it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub groups: Vec<String>,
    /// What else the authenticator knew.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "BTreeMap::is_empty"))]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Who created a request, as the API server authenticated them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requestor<'a> {
    /// The user's name.
    pub username: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
}

impl Requestor<'_> {
    /// Whether this is a node, or claims to be one.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.username.starts_with(super::NODE_USER_PREFIX) || self.is_in_nodes_group()
    }

    pub(super) fn is_in_nodes_group(&self) -> bool {
        self.groups.iter().any(|group| group == super::NODES_GROUP)
    }
}

impl CertificateSigningRequestSpec {
    /// Who created the request; `None` as long as the API server has not written it.
    #[must_use]
    pub fn requestor(&self) -> Option<Requestor<'_>> {
        let requestor = Requestor { username: &self.username, groups: &self.groups };
        Some(requestor).filter(|requestor| !requestor.username.is_empty() || !requestor.groups.is_empty())
    }

    /// What the API server says when the object is created: every rule of v1 that is broken (Kubernetes,
    /// `pkg/apis/certificates/validation/validation.go`).
    ///
    /// `check_request` is given the DER of the first PEM block. It reads the request and proves possession of its key,
    /// and what it says becomes the detail at `spec.request`. Text around that block and further blocks pass here, as
    /// they pass upstream; [`request_der`](Self::request_der) is strict.
    ///
    /// # Errors
    /// All violations, in upstream's order and words. What upstream quotes of `spec.request` is left out.
    pub fn validate_create<E: fmt::Display>(
        &self,
        limits: &Limits,
        check_request: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), Violations> {
        let mut gathered = Gathered::default();
        let request = self.first_block(limits);
        if let Err(detail) = request.and_then(|der| check_request(&der).map_err(|error| error.to_string())) {
            gathered.push(Violation::invalid("spec.request", "<request data>", detail));
        }
        gathered.extend(Usages::parse(self.usages.iter().map(String::as_str)));
        if self.signer_name == SignerName::LegacyUnknown.as_str() {
            let detail = "the legacy signerName is not allowed via this API version";
            gathered.push(Violation::invalid("spec.signerName", &self.signer_name, detail));
        } else {
            gathered.extend(self.signer_name.parse::<SignerName>());
        }
        if let Some(seconds) = self.expiration_seconds.filter(|seconds| *seconds < EXPIRATION_SECONDS_MIN) {
            let detail = "may not specify a duration less than 600 seconds (10 minutes)";
            gathered.push(Violation::invalid_number("spec.expirationSeconds", seconds, detail));
        }
        gathered.finish()
    }

    /// The DER of the request: of the only PEM block, around which nothing stands, or of the first block when
    /// [`StrictRules::single_pem_block`] is off.
    ///
    /// # Errors
    /// [`StrictRule::SinglePemBlock`], also for what is no PEM at all.
    pub fn request_der(&self, rules: &StrictRules, limits: &Limits) -> Result<Vec<u8>, StrictRefusal> {
        if rules.single_pem_block {
            decode_single_pem(&self.request, CERTIFICATE_REQUEST, limits).map_err(|error| error.to_string())
        } else {
            self.first_block(limits)
        }
        .map_err(|found| StrictRefusal::new(StrictRule::SinglePemBlock, &found))
    }

    /// The first block, or the detail of the violation: upstream's where upstream refuses too.
    fn first_block(&self, limits: &Limits) -> Result<Vec<u8>, String> {
        let label = || format!("PEM block type must be {CERTIFICATE_REQUEST}");
        let blocks = pem_blocks(&self.request, limits).map_err(|error| match error.kind() {
            PemErrorKind::TooLong { .. } | PemErrorKind::TooManyBlocks { .. } => error.to_string(),
            _ => label(),
        })?;
        let block = blocks.first().filter(|block| block.label() == CERTIFICATE_REQUEST).ok_or_else(label)?;
        block.decode().map_err(|error| error.to_string())
    }
}
