//! The names of a request as kube-controller-manager and the API server read them.

use std::net::IpAddr;

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
