//! The cases of `data/kubernetes`, as they are written there.

use std::net::IpAddr;
use std::path::Path;

use pki_core::PresentedNames;
use pki_core::kubernetes::{Condition, NodeAddress, NodeAddressType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// One file: where its cases are from, and the cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<T> {
    origin: String,
    cases: Vec<T>,
}

/// The cases of a file, of which there are some.
pub(crate) fn load<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/kubernetes/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    let file: File<T> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!file.origin.is_empty() && !file.cases.is_empty(), "{name} is empty");
    file.cases
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Names {
    common_name: String,
    organizations: Vec<String>,
    dns_names: Vec<String>,
    email_addresses: Vec<String>,
    ip_addresses: Vec<IpAddr>,
    uris: Vec<String>,
}

impl Names {
    pub(crate) fn presented(&self) -> PresentedNames {
        PresentedNames {
            common_name: self.common_name.clone(),
            organizations: self.organizations.clone(),
            dns_names: self.dns_names.clone(),
            email_addresses: self.email_addresses.clone(),
            ip_addresses: self.ip_addresses.clone(),
            uris: self.uris.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sign {
    pub(crate) name: String,
    pub(crate) signer: String,
    pub(crate) names: Names,
    pub(crate) usages: Vec<String>,
    pub(crate) refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct UsageCase {
    pub(crate) usages: Vec<String>,
    #[serde(default)]
    pub(crate) key_usage: Vec<u8>,
    #[serde(default, rename = "extendedKeyUsages")]
    pub(crate) extended_key_usage: Vec<String>,
    #[serde(default)]
    pub(crate) errors: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Durations {
    pub(crate) name: String,
    pub(crate) signing_duration: i64,
    pub(crate) expiration_seconds: Option<i32>,
    pub(crate) want: i64,
}

/// Seconds from now.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValidityCase {
    pub(crate) name: String,
    pub(crate) ttl: i64,
    pub(crate) backdate: i64,
    pub(crate) short: i64,
    pub(crate) ca: (i64, i64),
    pub(crate) want: Option<(i64, i64)>,
    pub(crate) error: Option<String>,
    /// What upstream signs, where this crate does otherwise.
    pub(crate) upstream: Option<(i64, i64)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approver {
    pub(crate) name: String,
    #[serde(default = "kubelet_client")]
    pub(crate) signer: String,
    pub(crate) names: Names,
    pub(crate) username: String,
    pub(crate) usages: Vec<String>,
    pub(crate) recognised: Vec<String>,
}

fn kubelet_client() -> String {
    "kubernetes.io/kube-apiserver-client-kubelet".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    pub(crate) name: String,
    pub(crate) answers: Vec<(String, bool)>,
    pub(crate) outcome: String,
    pub(crate) text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    pub(crate) name: String,
    pub(crate) spec: SpecFacts,
    pub(crate) errors: Vec<String>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SpecFacts {
    pub(crate) request: String,
    pub(crate) signer_name: String,
    pub(crate) usages: Vec<String>,
    pub(crate) expiration_seconds: Option<i32>,
}

impl Default for SpecFacts {
    fn default() -> Self {
        Self {
            request: "valid".to_owned(),
            signer_name: "example.com/valid-name".to_owned(),
            usages: vec!["key encipherment".to_owned()],
            expiration_seconds: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Status {
    pub(crate) name: String,
    pub(crate) through: String,
    pub(crate) old: StatusFacts,
    pub(crate) new: StatusFacts,
    pub(crate) errors: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StatusFacts {
    pub(crate) conditions: Vec<ConditionFacts>,
    pub(crate) certificate: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConditionFacts {
    r#type: String,
    status: String,
    reason: String,
}

impl ConditionFacts {
    pub(crate) fn condition(&self) -> Condition {
        Condition {
            condition_type: self.r#type.clone(),
            status: self.status.clone(),
            reason: self.reason.clone(),
            message: String::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restriction {
    pub(crate) name: String,
    pub(crate) signer: String,
    pub(crate) organizations: Vec<String>,
    pub(crate) refusal: Option<String>,
}

/// Minutes since each event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cleaner {
    pub(crate) name: String,
    pub(crate) created: Option<i64>,
    pub(crate) approved: Option<i64>,
    pub(crate) denied: Option<i64>,
    pub(crate) failed: Option<i64>,
    pub(crate) issued: Option<String>,
    pub(crate) deletion: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Strict {
    pub(crate) name: String,
    pub(crate) signer: String,
    pub(crate) names: Names,
    pub(crate) usages: Vec<String>,
    pub(crate) requestor: Option<RequestorFacts>,
    #[serde(default, deserialize_with = "addresses")]
    pub(crate) addresses: Option<Vec<NodeAddress>>,
    pub(crate) refusal: Option<String>,
    pub(crate) approved_by_address: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestorFacts {
    pub(crate) username: String,
    pub(crate) groups: Vec<String>,
}

/// The entries of a Node's status.
fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<NodeAddress>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Facts {
        r#type: String,
        address: String,
    }
    let facts = Vec::<Facts>::deserialize(deserializer)?;
    Ok(Some(facts.iter().map(|facts| node_address(&facts.r#type, &facts.address)).collect()))
}

/// An address of the kind that the API calls so.
pub(crate) fn node_address(kind: &str, address: &str) -> NodeAddress {
    let address_type = match kind {
        "Hostname" => NodeAddressType::Hostname,
        "InternalIP" => NodeAddressType::InternalIP,
        "ExternalIP" => NodeAddressType::ExternalIP,
        "InternalDNS" => NodeAddressType::InternalDNS,
        "ExternalDNS" => NodeAddressType::ExternalDNS,
        other => panic!("no kind of address: {other}"),
    };
    NodeAddress { address_type, address: address.to_owned() }
}
