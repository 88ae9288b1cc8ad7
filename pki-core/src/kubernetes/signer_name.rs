//! Signer names: the four that kube-controller-manager signs for, and the rest, which nobody here signs for.

use core::fmt;
use core::str::FromStr;

use super::violation::{Gathered, Violation, Violations, quote};
use crate::name::is_dns_label_text;

/// Octets of the domain (a DNS-1123 subdomain).
const DOMAIN_LEN_MAX: usize = 253;
/// Octets of one label of the domain.
const DOMAIN_LABEL_LEN_MAX: usize = 63;
/// Octets of one part of the path: a whole resource name fits.
const PATH_LABEL_LEN_MAX: usize = 253;
/// Octets of the whole name: domain, `/`, namespace, `.`, resource name (Kubernetes, `ValidateSignerName`).
const SIGNER_NAME_LEN_MAX: usize = DOMAIN_LEN_MAX + 1 + 63 + 1 + 253;

const FIELD: &str = "spec.signerName";

/// Who is asked to sign (Kubernetes, `spec.signerName`).
///
/// Not `non_exhaustive` on purpose: whoever decides by signer decides for each one, and for all others together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignerName {
    /// `kubernetes.io/kube-apiserver-client`: clients of the API server.
    KubeApiServerClient,
    /// `kubernetes.io/kube-apiserver-client-kubelet`: kubelets as clients of the API server.
    KubeApiServerClientKubelet,
    /// `kubernetes.io/kubelet-serving`: kubelets as servers.
    KubeletServing,
    /// `kubernetes.io/legacy-unknown`: anything, and trusted by nothing in particular.
    LegacyUnknown,
    /// Any other signer. Its requests are left to whoever it is.
    Other(OtherSignerName),
}

/// A signer name that is none of the four of kube-controller-manager.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherSignerName(String);

impl SignerName {
    /// The four that kube-controller-manager signs for.
    pub const BUILT_IN: [Self; 4] =
        [Self::KubeApiServerClient, Self::KubeApiServerClientKubelet, Self::KubeletServing, Self::LegacyUnknown];

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::KubeApiServerClient => "kubernetes.io/kube-apiserver-client",
            Self::KubeApiServerClientKubelet => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::KubeletServing => "kubernetes.io/kubelet-serving",
            Self::LegacyUnknown => "kubernetes.io/legacy-unknown",
            Self::Other(name) => &name.0,
        }
    }

    /// Whether the name is reserved to the Kubernetes project: its domain is `kubernetes.io` or below (Kubernetes,
    /// `IsKubernetesSignerName`).
    #[must_use]
    pub fn is_kubernetes(&self) -> bool {
        let domain = self.as_str().split('/').next().unwrap_or_default();
        domain == "kubernetes.io" || domain.ends_with(".kubernetes.io")
    }
}

impl fmt::Display for SignerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SignerName {
    type Err = Violations;

    /// Reads a qualified name of a domain and a path (Kubernetes, `ValidateSignerName`).
    fn from_str(text: &str) -> Result<Self, Violations> {
        if let Some(built_in) = Self::BUILT_IN.into_iter().find(|name| name.as_str() == text) {
            return Ok(built_in);
        }
        let mut gathered = Gathered::default();
        validate(text, &mut gathered);
        gathered.finish()?;
        Ok(Self::Other(OtherSignerName(text.to_owned())))
    }
}

fn validate(text: &str, gathered: &mut Gathered) {
    if text.is_empty() {
        return gathered.push(Violation::required(FIELD));
    }
    let parts = text.split_once('/').filter(|(_, path)| !path.contains('/'));
    let Some((domain, path)) = parts else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return gathered.push(Violation::invalid(FIELD, text, detail));
    };
    if domain.len() > DOMAIN_LEN_MAX {
        gathered.push(Violation::too_long(FIELD, DOMAIN_LEN_MAX));
    }
    validate_labels(domain, DOMAIN_LABEL_LEN_MAX, LABEL_RULE, gathered);
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        gathered.push(Violation::invalid(FIELD, domain, detail));
    }
    validate_labels(path, PATH_LABEL_LEN_MAX, SUBDOMAIN_RULE, gathered);
    if text.len() > SIGNER_NAME_LEN_MAX {
        gathered.push(Violation::too_long(FIELD, SIGNER_NAME_LEN_MAX));
    }
}

// The two spaces before `or` are upstream's.
const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_RULE: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Only the first label that breaks a rule is reported, as upstream does.
fn validate_labels(segment: &str, len_max: usize, rule: &str, gathered: &mut Gathered) {
    let is_broken = |label: &&str| label.len() > len_max || !is_dns_label_text(label);
    let Some(label) = segment.split('.').find(is_broken) else { return };
    if label.len() > len_max {
        let detail = format!("validating label {}: must be no more than {len_max} bytes", quote(label));
        gathered.push(Violation::invalid(FIELD, segment, detail));
    }
    if !is_dns_label_text(label) {
        gathered.push(Violation::invalid(FIELD, segment, format!("validating label {}: {rule}", quote(label))));
    }
}
