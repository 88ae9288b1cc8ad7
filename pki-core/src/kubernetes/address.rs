//! What is known of a node's addresses: the evidence for the names of a serving certificate.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::{NodeName, SubjectAltName};

/// One entry of a Node's `status.addresses`, as it stands in the API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeAddress {
    /// What the address is.
    #[cfg_attr(feature = "serde", serde(rename = "type"))]
    pub address_type: NodeAddressType,
    /// The address or name.
    pub address: String,
}

/// The kinds of address of a node (Kubernetes, `NodeAddressType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum NodeAddressType {
    /// A name that the node has given itself; it may be an address.
    Hostname,
    /// An address inside the cluster's network.
    InternalIP,
    /// An address that is reachable from outside.
    ExternalIP,
    /// A name inside the cluster's network.
    InternalDNS,
    /// A name that resolves outside.
    ExternalDNS,
}

/// Every name and address that one node is known to have.
///
/// Where they come from is the embedder's: a cloud's API proves them, a Node's status only repeats what the kubelet
/// says, unless a cloud controller wrote it. A signer cannot tell (kubernetes/kubernetes#73356).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddresses {
    node: NodeName,
    known: BTreeSet<SubjectAltName>,
}

impl NodeAddresses {
    /// The addresses of this node. Whatever is not a DNS-1123 subdomain or the address of one host, as its kind
    /// asks, is left out: nothing can be approved by it.
    #[must_use]
    pub fn new<'a>(node: NodeName, addresses: impl IntoIterator<Item = &'a NodeAddress>) -> Self {
        let known = addresses.into_iter().filter_map(NodeAddress::alt_name).collect();
        Self { node, known }
    }

    /// Whose addresses they are.
    #[must_use]
    pub const fn node(&self) -> &NodeName {
        &self.node
    }

    /// Whether the node is known by exactly this name or address.
    #[must_use]
    pub fn contains(&self, name: &SubjectAltName) -> bool {
        self.known.contains(name)
    }

    /// Whether nothing is known yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

impl NodeAddress {
    /// As the kubelet turns its addresses into names: a `Hostname` that reads as an address is one.
    fn alt_name(&self) -> Option<SubjectAltName> {
        let ip = self.address.parse::<IpAddr>().ok().map(SubjectAltName::ip);
        match (self.address_type, ip) {
            (NodeAddressType::InternalIP | NodeAddressType::ExternalIP, ip) => ip?.ok(),
            (NodeAddressType::Hostname, Some(ip)) => ip.ok(),
            (NodeAddressType::Hostname | NodeAddressType::InternalDNS | NodeAddressType::ExternalDNS, _) => {
                SubjectAltName::dns(&self.address).ok()
            }
        }
    }
}
