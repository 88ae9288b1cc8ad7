//! What kube-controller-manager's signers and one admission plugin ask of a request, in their order, with their texts.
//!
//! Nothing is added and nothing is left out, except the rule for ML-DSA keys: this crate has no such keys.

use core::fmt;

use super::signer_name::SignerName;
use super::status::{Condition, ConditionType};
use super::usage::{Usage, Usages};
use super::{MASTERS_GROUP, NODE_USER_PREFIX, NODES_GROUP};
use crate::PresentedNames;

/// Why kube-controller-manager or the API server refuses a request. `Display` is upstream's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamRefusal {
    /// The organizations are not exactly `system:nodes`.
    Organization,
    /// A server without a DNS or IP name.
    DnsOrIpRequired,
    /// A client with a DNS name.
    Dns,
    /// An e-mail name.
    Email,
    /// A client with an IP name.
    Ip,
    /// A URI name.
    Uri,
    /// The common name is not that of a node.
    CommonName,
    /// The usages are not the signer's; with what they should be, sorted by spelling.
    Usages(&'static str),
    /// A client asks for a usage that is not a client's.
    InvalidUsage(Usage),
    /// A client does not ask for `client auth`.
    NoClientAuth,
    /// The group `system:masters` at `kubernetes.io/kube-apiserver-client`. The admission plugin
    /// `CertificateSubjectRestriction` says so when the request is created, so there is no condition.
    SystemMasters,
    /// No signer of kube-controller-manager has this name. It ignores such a request, so there is no condition.
    UnrecognizedSigner(SignerName),
}

impl UpstreamRefusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Organization => "upstream.organization",
            Self::DnsOrIpRequired => "upstream.dns_or_ip_required",
            Self::Dns => "upstream.dns",
            Self::Email => "upstream.email",
            Self::Ip => "upstream.ip",
            Self::Uri => "upstream.uri",
            Self::CommonName => "upstream.common_name",
            Self::Usages(_) => "upstream.usages",
            Self::InvalidUsage(_) => "upstream.invalid_usage",
            Self::NoClientAuth => "upstream.no_client_auth",
            Self::SystemMasters => "upstream.system_masters",
            Self::UnrecognizedSigner(_) => "upstream.unrecognized_signer",
        }
    }

    /// The condition that upstream's signer adds, if it adds one: `Failed`, for the reason `SignerValidationFailure`.
    #[must_use]
    pub fn condition(&self) -> Option<Condition> {
        match self {
            Self::SystemMasters | Self::UnrecognizedSigner(_) => None,
            refused => Some(signer_validation_failure(refused)),
        }
    }
}

/// The condition of a request that a signer will never sign (Kubernetes, `signer.go`).
pub(super) fn signer_validation_failure(message: &dyn fmt::Display) -> Condition {
    Condition::new(ConditionType::Failed, "SignerValidationFailure", message.to_string())
}

impl fmt::Display for UpstreamRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization => write!(f, "subject organization is not {NODES_GROUP}"),
            Self::DnsOrIpRequired => f.write_str("DNS or IP subjectAltName is required"),
            Self::Dns => f.write_str("DNS subjectAltNames are not allowed"),
            Self::Email => f.write_str("Email subjectAltNames are not allowed"),
            Self::Ip => f.write_str("IP subjectAltNames are not allowed"),
            Self::Uri => f.write_str("URI subjectAltNames are not allowed"),
            Self::CommonName => write!(f, "subject common name does not begin with {NODE_USER_PREFIX}"),
            Self::Usages(expected) => write!(f, "usages did not match [{expected}]"),
            Self::InvalidUsage(usage) => write!(f, "invalid usage for client certificate: {usage}"),
            Self::NoClientAuth => {
                write!(f, "missing required usage for client certificate: {}", Usage::ClientAuth)
            }
            Self::SystemMasters => {
                write!(f, "use of {} signer with {MASTERS_GROUP} group is not allowed", SignerName::KubeApiServerClient)
            }
            Self::UnrecognizedSigner(name) => write!(f, "unrecognized signerName: \"{name}\""),
        }
    }
}

impl core::error::Error for UpstreamRefusal {}

/// Whether kube-controller-manager would sign for this signer (Kubernetes, `pkg/apis/certificates/helpers.go` and
/// `pkg/controller/certificates/signer/signer.go`).
///
/// # Errors
/// The first rule that is broken, in upstream's order: the two kubelet signers differ in when they look at the usages.
pub fn check(signer: &SignerName, names: &PresentedNames, usages: &Usages) -> Result<(), UpstreamRefusal> {
    match signer {
        SignerName::KubeApiServerClientKubelet => check_kubelet_client(names, usages),
        SignerName::KubeletServing => check_kubelet_serving(names, usages),
        SignerName::KubeApiServerClient => check_client_usages(usages),
        SignerName::LegacyUnknown => Ok(()),
        SignerName::Other(_) => Err(UpstreamRefusal::UnrecognizedSigner(signer.clone())),
    }
}

/// What the admission plugin `CertificateSubjectRestriction` asks when a request is created (Kubernetes,
/// `plugin/pkg/admission/certificates/subjectrestriction`). It looks at this one signer only.
///
/// # Errors
/// [`UpstreamRefusal::SystemMasters`].
pub fn check_subject_restriction(signer: &SignerName, names: &PresentedNames) -> Result<(), UpstreamRefusal> {
    let is_master = names.organizations.iter().any(|group| group == MASTERS_GROUP);
    if *signer == SignerName::KubeApiServerClient && is_master { Err(UpstreamRefusal::SystemMasters) } else { Ok(()) }
}

fn check_kubelet_client(names: &PresentedNames, usages: &Usages) -> Result<(), UpstreamRefusal> {
    const WITH_RSA: [Usage; 3] = [Usage::ClientAuth, Usage::DigitalSignature, Usage::KeyEncipherment];
    const WITHOUT_RSA: [Usage; 2] = [Usage::ClientAuth, Usage::DigitalSignature];
    refuse_unless(is_group_of_nodes(names), UpstreamRefusal::Organization)?;
    refuse_unless(names.dns_names.is_empty(), UpstreamRefusal::Dns)?;
    refuse_unless(names.email_addresses.is_empty(), UpstreamRefusal::Email)?;
    refuse_unless(names.ip_addresses.is_empty(), UpstreamRefusal::Ip)?;
    refuse_unless(names.uris.is_empty(), UpstreamRefusal::Uri)?;
    refuse_unless(names.common_name.starts_with(NODE_USER_PREFIX), UpstreamRefusal::CommonName)?;
    let expected = UpstreamRefusal::Usages("client auth digital signature key encipherment");
    refuse_unless(usages.are_exactly(&WITH_RSA) || usages.are_exactly(&WITHOUT_RSA), expected)
}

fn check_kubelet_serving(names: &PresentedNames, usages: &Usages) -> Result<(), UpstreamRefusal> {
    const WITH_RSA: [Usage; 3] = [Usage::DigitalSignature, Usage::KeyEncipherment, Usage::ServerAuth];
    const WITHOUT_RSA: [Usage; 2] = [Usage::DigitalSignature, Usage::ServerAuth];
    refuse_unless(is_group_of_nodes(names), UpstreamRefusal::Organization)?;
    let has_name = !names.dns_names.is_empty() || !names.ip_addresses.is_empty();
    refuse_unless(has_name, UpstreamRefusal::DnsOrIpRequired)?;
    refuse_unless(names.email_addresses.is_empty(), UpstreamRefusal::Email)?;
    refuse_unless(names.uris.is_empty(), UpstreamRefusal::Uri)?;
    let expected = UpstreamRefusal::Usages("digital signature key encipherment server auth");
    refuse_unless(usages.are_exactly(&WITH_RSA) || usages.are_exactly(&WITHOUT_RSA), expected)?;
    refuse_unless(names.common_name.starts_with(NODE_USER_PREFIX), UpstreamRefusal::CommonName)
}

fn check_client_usages(usages: &Usages) -> Result<(), UpstreamRefusal> {
    let is_client = |usage| matches!(usage, Usage::ClientAuth | Usage::DigitalSignature | Usage::KeyEncipherment);
    match usages.iter().find(|usage| !is_client(*usage)) {
        Some(usage) => Err(UpstreamRefusal::InvalidUsage(usage)),
        None => refuse_unless(usages.contains(Usage::ClientAuth), UpstreamRefusal::NoClientAuth),
    }
}

fn is_group_of_nodes(names: &PresentedNames) -> bool {
    names.organizations == [NODES_GROUP]
}

fn refuse_unless(holds: bool, refusal: UpstreamRefusal) -> Result<(), UpstreamRefusal> {
    if holds { Ok(()) } else { Err(refusal) }
}
