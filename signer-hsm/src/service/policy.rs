//! What a cluster may have: which leaves and signers, under which names, for how long. Nothing that is not listed.
//!
//! The service asks its own policy, whatever the caller approved: a caller is an API server, and the key is kept from it
//! because it may be in other hands one day.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use pki_core::kubernetes::{NODE_USER_PREFIX, NodeAddresses, SignerName, SignerPolicy};
use pki_core::{DnsName, LeafKind, NodeName, Subject, SubjectAltName};
use time::Duration;

/// What a cluster may have.
#[derive(Clone, Debug, Default)]
pub struct ClusterPolicy {
    pub(super) leaves: BTreeMap<LeafKind, LeafRule>,
    pub(super) signers: BTreeMap<SignerName, SignerRule>,
}

impl ClusterPolicy {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This leaf, too.
    #[must_use]
    pub fn with_leaf(mut self, leaf: LeafKind, rule: LeafRule) -> Self {
        self.leaves.insert(leaf, rule);
        self
    }

    /// What this signer signs, too.
    #[must_use]
    pub fn with_signer(mut self, rule: SignerRule) -> Self {
        self.signers.insert(rule.policy.signer().clone(), rule);
        self
    }
}

/// What leaves of one kind may be.
#[derive(Clone, Debug)]
pub struct LeafRule {
    pub(super) lifetime_max: Duration,
    pub(super) nodes: NodeRule,
    pub(super) names: NameRule,
}

impl LeafRule {
    /// Of at most this life, for any node and with no alternative names.
    #[must_use]
    pub fn new(lifetime_max: Duration) -> Self {
        Self { lifetime_max, nodes: NodeRule::Any, names: NameRule::default() }
    }

    /// For these nodes only.
    #[must_use]
    pub fn for_nodes(mut self, nodes: NodeRule) -> Self {
        self.nodes = nodes;
        self
    }

    /// With these alternative names.
    #[must_use]
    pub fn with_names(mut self, names: NameRule) -> Self {
        self.names = names;
        self
    }
}

/// What one signer of `certificates.k8s.io` may sign.
#[derive(Clone, Debug)]
pub struct SignerRule {
    pub(super) policy: SignerPolicy,
    pub(super) nodes: NodeRule,
    pub(super) names: NameRule,
    pub(super) addresses: BTreeMap<NodeName, NodeAddresses>,
}

impl SignerRule {
    /// What this policy grants, for any node and with no alternative names.
    #[must_use]
    pub fn new(policy: SignerPolicy) -> Self {
        Self { policy, nodes: NodeRule::Any, names: NameRule::default(), addresses: BTreeMap::new() }
    }

    /// For these nodes only.
    #[must_use]
    pub fn for_nodes(mut self, nodes: NodeRule) -> Self {
        self.nodes = nodes;
        self
    }

    /// With these alternative names.
    #[must_use]
    pub fn with_names(mut self, names: NameRule) -> Self {
        self.names = names;
        self
    }

    /// With what the service itself knows of a node's addresses: such a node gets no other names.
    #[must_use]
    pub fn with_addresses(mut self, addresses: NodeAddresses) -> Self {
        self.addresses.insert(addresses.node().clone(), addresses);
        self
    }
}

/// Which nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeRule {
    /// Any node of the cluster.
    Any,
    /// These.
    Among(BTreeSet<NodeName>),
    /// Those whose names end in one of these domains, such as the nodes of a pool.
    Under(Vec<DnsName>),
}

impl NodeRule {
    pub(super) fn allows(&self, node: &NodeName) -> bool {
        match self {
            Self::Any => true,
            Self::Among(nodes) => nodes.contains(node),
            Self::Under(domains) => domains.iter().any(|domain| is_under(node.as_str(), domain)),
        }
    }
}

/// Which alternative names. By default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameRule {
    exact: BTreeSet<SubjectAltName>,
    domains: Vec<DnsName>,
    networks: Vec<Network>,
    own_node: bool,
}

impl NameRule {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// These names and addresses, too.
    #[must_use]
    pub fn exactly(mut self, names: impl IntoIterator<Item = SubjectAltName>) -> Self {
        self.exact.extend(names);
        self
    }

    /// Every name below this domain, too, and not the domain itself.
    #[must_use]
    pub fn under(mut self, domain: DnsName) -> Self {
        self.domains.push(domain);
        self
    }

    /// Every address of this network, too.
    #[must_use]
    pub fn within(mut self, network: Network) -> Self {
        self.networks.push(network);
        self
    }

    /// The name of the node that the leaf is bound to, too.
    #[must_use]
    pub const fn own_node_name(mut self) -> Self {
        self.own_node = true;
        self
    }

    pub(super) fn allows(&self, name: &SubjectAltName, node: Option<&NodeName>) -> bool {
        self.exact.contains(name)
            || match name {
                SubjectAltName::Dns(dns) => {
                    self.domains.iter().any(|domain| is_under(dns.as_str(), domain))
                        || (self.own_node && node.is_some_and(|node| node.as_str() == dns.as_str()))
                }
                SubjectAltName::Ip(address) => self.networks.iter().any(|network| network.contains(*address)),
                _ => false,
            }
    }
}

fn is_under(name: &str, domain: &DnsName) -> bool {
    name.strip_suffix(domain.as_str()).is_some_and(|head| head.ends_with('.'))
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// The network of `address` with a prefix of so many bits; `None` for more bits than an address has.
    #[must_use]
    pub fn new(address: IpAddr, bits: u32) -> Option<Self> {
        (bits <= width(address)).then_some(Self { address, bits })
    }

    /// Whether an address is in it. An address of the other family never is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let difference = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => u128::from(own.to_bits() ^ other.to_bits()),
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() ^ other.to_bits(),
            _ => return false,
        };
        difference.checked_shr(width(address).saturating_sub(self.bits)).is_none_or(|difference| difference == 0)
    }
}

const fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The node that a subject names, if it names one.
pub(super) fn node_of(subject: &Subject) -> Option<NodeName> {
    subject.common_name().strip_prefix(NODE_USER_PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_alike_and_nothing_of_the_other_family() {
        let network = |address: &str, bits| Network::new(address.parse().unwrap(), bits).unwrap();
        for (network, inside, outside) in [
            (network("10.1.0.0", 16), "10.1.255.255", "10.2.0.0"),
            (network("10.1.2.3", 32), "10.1.2.3", "10.1.2.2"),
            (network("fd00::", 64), "fd00::ffff", "fd00:0:0:1::"),
            (network("0.0.0.0", 0), "255.0.0.1", "::1"),
            (network("::", 0), "fd00::1", "10.0.0.1"),
        ] {
            assert!(network.contains(inside.parse().unwrap()), "{network:?}");
            assert!(!network.contains(outside.parse().unwrap()), "{network:?}");
        }
        assert_eq!(Network::new("10.0.0.0".parse().unwrap(), 33), None);
    }

    #[test]
    fn nothing_is_allowed_that_is_not_listed() {
        let dns = |text| SubjectAltName::dns(text).unwrap();
        let node: NodeName = "node-1.pool-a.example".parse().unwrap();
        assert!(!NameRule::none().allows(&dns("a.example"), Some(&node)));
        let rule = NameRule::none().under("pool-a.example".parse().unwrap()).exactly([dns("a.example")]);
        for (name, allowed) in [
            ("a.example", true),
            ("node-2.pool-a.example", true),
            ("pool-a.example", false),
            ("evilpool-a.example", false),
            ("node-2.pool-b.example", false),
        ] {
            assert_eq!(rule.allows(&dns(name), Some(&node)), allowed, "{name}");
        }
        let own = NameRule::none().own_node_name();
        assert!(own.allows(&dns("node-1.pool-a.example"), Some(&node)));
        assert!(!own.allows(&dns("node-1.pool-a.example"), None));
        assert!(!own.allows(&dns("node-2.pool-a.example"), Some(&node)));
        assert!(NodeRule::Under(vec!["pool-a.example".parse().unwrap()]).allows(&node));
        assert!(!NodeRule::Under(vec!["pool-b.example".parse().unwrap()]).allows(&node));
        assert!(!NodeRule::Among(BTreeSet::new()).allows(&node));
    }
}
