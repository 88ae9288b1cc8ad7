//! What this crate asks beyond upstream, rule by rule. All are on unless somebody turns one off.
//!
//! Upstream leaves most of this to whoever approves. Approvers have been wrong often enough that a signer should
//! not depend on them alone.

use core::fmt;
use std::collections::BTreeSet;
use std::net::IpAddr;

use super::decision::SigningRequest;
use super::signer_name::SignerName;
use super::usage::Usage;
use super::{MASTERS_GROUP, NODE_USER_PREFIX, NODES_GROUP};
use crate::{NodeName, SubjectAltName};

/// How much of a hostile text travels in a refusal, in characters.
const FOUND_LEN_MAX: usize = 64;
/// What Kubernetes keeps to itself among the names of users and groups (RBAC, "Referring to subjects").
const RESERVED_PREFIX: &str = "system:";
/// The names under which pods reach the API server (Kubernetes, kubeadm `pki_helpers.go`).
const WELL_KNOWN_NAMES: [&str; 2] = ["kubernetes", "kubernetes.default"];

macro_rules! rules {
    ($($variant:ident $code:literal $asks:literal $source:literal, $doc:literal;)*) => {
        /// One rule of this crate's own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum StrictRule {
            $(#[doc = $doc] $variant,)*
        }

        impl StrictRule {
            /// Every rule, in the order in which they are asked.
            pub const ALL: [Self; 18] = [$(Self::$variant,)*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!("strict.", $code),)*
                }
            }

            /// What the rule asks, in one sentence.
            #[must_use]
            pub const fn asks(self) -> &'static str {
                match self {
                    $(Self::$variant => $asks,)*
                }
            }

            /// What decides it.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self {
                    $(Self::$variant => $source,)*
                }
            }
        }
    };
}

rules! {
    SinglePemBlock "single_pem_block" "the request is one PEM block and nothing else" "RFC 7468 3",
        "One PEM block stands alone: readers differ over which of two counts.";
    CommonName "common_name" "the subject has a common name" "Kubernetes authentication, x509",
        "The common name is the user; without one a certificate names nobody. Cannot be turned off.";
    SubjectText "subject_text" "no part of the subject is empty or holds control characters" "RFC 5280 4.1.2.4",
        "Names are text that logs and readers agree on. Cannot be turned off.";
    SystemMasters "system_masters" "nobody gets into `system:masters`" "Kubernetes, CertificateSubjectRestriction",
        "No signer makes a member of the group that no authorizer can stop; upstream's admission covers one signer.";
    NodeIdentity "node_identity" "nodes get their identity from the kubelet signers only" "Kubernetes, node authorizer",
        "A node's user or group through another signer would pass by every kubelet rule.";
    ReservedIdentity "reserved_identity" "names that begin with `system:` are Kubernetes' own" "Kubernetes, RBAC",
        "A user or group such as `system:kube-scheduler` or `system:serviceaccount:…` acts as the component or account.";
    NodeName "node_name" "after `system:node:` stands the name of a node" "RFC 1123 2.1; Kubernetes, Node names",
        "The node's name is a DNS-1123 subdomain, byte for byte; upstream looks at the prefix only.";
    Requestor "requestor" "a node asks for itself only" "Kubernetes, NodeRestriction",
        "A requestor that is a node gets no certificate of another node.";
    ServingRequestor "serving_requestor" "a serving certificate is asked for by its own node" "kubernetes/kubernetes#73356",
        "At `kubelet-serving` the requestor is the user of the common name and is in the group of nodes.";
    AuthorityUsage "authority_usage" "a leaf is not for `cert sign`, `crl sign` or `any`" "RFC 5280 4.2.1.3, 4.2.1.9, 4.2.1.12",
        "A leaf signs neither certificates nor CRLs and is not for every purpose, as it is without an extended key usage.";
    Email "email" "there is no e-mail name" "RFC 9525 6.3",
        "Nothing in a cluster is known by an e-mail address. Cannot be turned off.";
    Uri "uri" "there is no URI name" "RFC 9525 6.3",
        "Nothing in a cluster is known by a URI. Cannot be turned off.";
    DnsName "dns_name" "a DNS name is a DNS-1123 subdomain and no wildcard" "RFC 5280 4.2.1.6, RFC 9525 6.3",
        "Wildcards, upper case, underscores and addresses in the guise of names. Cannot be turned off.";
    IpAddress "ip_address" "an IP name is the address of one host" "RFC 5280 4.2.1.6, RFC 4291 2.5.5.2",
        "Unspecified, multicast and IPv4-mapped addresses. Cannot be turned off.";
    ServiceName "service_name" "nobody has a name of the API server, of a service or of every host" "GHSA-x7j5-fww5-mqmv",
        "`kubernetes`, `kubernetes.default`, `*.svc`, `*.svc.*`, `localhost` and `*.localhost`, also when an address list holds them.";
    Loopback "loopback" "nobody has a loopback address" "RFC 1122 3.2.1.3",
        "Everyone's own host is at a loopback address.";
    OtherNodesAddresses "other_nodes_addresses" "the addresses are those of the node in the common name" "kubernetes/kubernetes#73356",
        "Evidence about one node says nothing about another. Cannot be turned off: give no addresses instead.";
    KnownAddress "known_address" "every name is among the node's known addresses" "kubernetes/kubernetes#73356",
        "Where addresses are given, each name is one of them. Cannot be turned off: give no addresses instead.";
}

/// Which of the rules hold that can be turned off. By default all do. Rules about the requestor are asked where the
/// requestor is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StrictRules {
    /// [`StrictRule::SinglePemBlock`]. Off: what an approver looked at may be another request than what is signed.
    pub single_pem_block: bool,
    /// [`StrictRule::SystemMasters`]. Off is breaking the glass: whoever gets a request approved owns the cluster until
    /// the certificate expires, and only a new CA can take that back.
    pub system_masters: bool,
    /// [`StrictRule::NodeIdentity`]. Off: the generic client signer hands out nodes' identities, with any names.
    pub node_identity: bool,
    /// [`StrictRule::ReservedIdentity`]. Off: the generic client signer hands out control-plane components' and
    /// service accounts' identities. Needed where those get their certificates this way.
    pub reserved_identity: bool,
    /// [`StrictRule::NodeName`]. Off: names that no Node object can have, and that look like another's.
    pub node_name: bool,
    /// [`StrictRule::Requestor`] and [`StrictRule::ServingRequestor`]. Off: one captured node is every node.
    pub requestor: bool,
    /// [`StrictRule::AuthorityUsage`]. Off: certificates that say they may sign; the linter still refuses those of
    /// them that contradict CA:FALSE (RFC 5280 4.2.1.9).
    pub authority_usage: bool,
    /// [`StrictRule::ServiceName`]. Off: whoever gets a request approved can pose as the API server to every pod.
    pub service_name: bool,
    /// [`StrictRule::Loopback`]. Off: whoever gets a request approved can pose as a server on somebody else's own host.
    pub loopback: bool,
}

impl StrictRules {
    /// Every rule.
    pub const ALL: Self = Self {
        single_pem_block: true,
        system_masters: true,
        node_identity: true,
        reserved_identity: true,
        node_name: true,
        requestor: true,
        authority_usage: true,
        service_name: true,
        loopback: true,
    };

    /// Whether the rule holds.
    #[must_use]
    pub const fn enforces(&self, rule: StrictRule) -> bool {
        match rule {
            StrictRule::SinglePemBlock => self.single_pem_block,
            StrictRule::SystemMasters => self.system_masters,
            StrictRule::NodeIdentity => self.node_identity,
            StrictRule::ReservedIdentity => self.reserved_identity,
            StrictRule::NodeName => self.node_name,
            StrictRule::Requestor | StrictRule::ServingRequestor => self.requestor,
            StrictRule::AuthorityUsage => self.authority_usage,
            StrictRule::ServiceName => self.service_name,
            StrictRule::Loopback => self.loopback,
            StrictRule::CommonName
            | StrictRule::SubjectText
            | StrictRule::Email
            | StrictRule::Uri
            | StrictRule::DnsName
            | StrictRule::IpAddress
            | StrictRule::OtherNodesAddresses
            | StrictRule::KnownAddress => true,
        }
    }
}

impl Default for StrictRules {
    fn default() -> Self {
        Self::ALL
    }
}

/// A rule that a request breaks, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrictRefusal {
    rule: StrictRule,
    found: String,
}

impl StrictRefusal {
    pub(super) fn new(rule: StrictRule, found: &str) -> Self {
        Self { rule, found: found.chars().take(FOUND_LEN_MAX).collect() }
    }

    /// The rule.
    #[must_use]
    pub const fn rule(&self) -> StrictRule {
        self.rule
    }

    /// What was found, cut.
    #[must_use]
    pub fn found(&self) -> &str {
        &self.found
    }
}

impl fmt::Display for StrictRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, found `{}` ({})", self.rule.asks(), self.found.escape_debug(), self.rule.source())
    }
}

impl core::error::Error for StrictRefusal {}

/// Whether the names of a serving certificate were proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApprovedByAddress {
    /// Each one is among the node's known addresses.
    Yes,
    /// No addresses were given: the names are the requestor's word and the approver's decision.
    No,
}

/// What a request that breaks no rule has shown.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) subject_alt_names: Vec<SubjectAltName>,
    pub(super) approved_by_address: Option<ApprovedByAddress>,
}

impl StrictRules {
    /// The first rule that the request breaks, in the order of [`StrictRule::ALL`].
    pub(super) fn examine(&self, request: &SigningRequest<'_>) -> Result<Examined, StrictRefusal> {
        self.examine_subject(request)?;
        self.examine_requestor(request)?;
        let of_authorities = |usage: &Usage| matches!(usage, Usage::CertSign | Usage::CrlSign | Usage::Any);
        if let Some(usage) = request.usages.iter().find(of_authorities) {
            self.refuse(StrictRule::AuthorityUsage, usage.as_str())?;
        }
        if request.usages.extended_key_usages().is_empty() {
            self.refuse(StrictRule::AuthorityUsage, "no extended key usage")?;
        }
        let subject_alt_names = self.alt_names(request)?;
        subject_alt_names.iter().try_for_each(|name| self.examine_name(name))?;
        if request.signer != SignerName::KubeletServing {
            // Nobody has proven the names of another signer's server.
            let serves = request.usages.contains(Usage::ServerAuth) && !subject_alt_names.is_empty();
            return Ok(Examined { subject_alt_names, approved_by_address: serves.then_some(ApprovedByAddress::No) });
        }
        let approved_by_address = Some(self.examine_addresses(request, &subject_alt_names)?);
        Ok(Examined { subject_alt_names, approved_by_address })
    }

    fn refuse(&self, rule: StrictRule, found: &str) -> Result<(), StrictRefusal> {
        if self.enforces(rule) { Err(StrictRefusal::new(rule, found)) } else { Ok(()) }
    }

    fn examine_subject(&self, request: &SigningRequest<'_>) -> Result<(), StrictRefusal> {
        let (user, groups) = (&request.names.common_name, &request.names.organizations);
        if user.is_empty() {
            self.refuse(StrictRule::CommonName, "")?;
        }
        let parts = || groups.iter().chain([user]);
        if let Some(part) = parts().find(|part| part.is_empty() || part.chars().any(char::is_control)) {
            self.refuse(StrictRule::SubjectText, part)?;
        }
        if let Some(group) = groups.iter().find(|group| *group == MASTERS_GROUP) {
            self.refuse(StrictRule::SystemMasters, group)?;
        }
        match &request.signer {
            SignerName::KubeApiServerClientKubelet | SignerName::KubeletServing => {
                let node = user.strip_prefix(NODE_USER_PREFIX).unwrap_or(user);
                if node.parse::<NodeName>().is_err() {
                    self.refuse(StrictRule::NodeName, node)?;
                }
            }
            SignerName::KubeApiServerClient | SignerName::LegacyUnknown | SignerName::Other(_) => {
                let is_node = |part: &&String| *part == NODES_GROUP || part.starts_with(NODE_USER_PREFIX);
                if let Some(part) = parts().find(is_node) {
                    self.refuse(StrictRule::NodeIdentity, part)?;
                }
                // The group of masters has a rule of its own, as nodes have.
                let others = groups.iter().filter(|group| *group != MASTERS_GROUP).chain([user]);
                let is_reserved = |part: &&String| part.starts_with(RESERVED_PREFIX) && !is_node(part);
                if let Some(part) = others.into_iter().find(is_reserved) {
                    self.refuse(StrictRule::ReservedIdentity, part)?;
                }
            }
        }
        Ok(())
    }

    fn examine_requestor(&self, request: &SigningRequest<'_>) -> Result<(), StrictRefusal> {
        let Some(requestor) = request.requestor else { return Ok(()) };
        let is_itself = requestor.username == request.names.common_name;
        match &request.signer {
            // Before it has a certificate, a kubelet asks as a bootstrap user, who is no node.
            SignerName::KubeApiServerClientKubelet if requestor.is_node() && !is_itself => {
                self.refuse(StrictRule::Requestor, requestor.username)
            }
            SignerName::KubeletServing if !is_itself && requestor.is_node() => {
                self.refuse(StrictRule::Requestor, requestor.username)
            }
            SignerName::KubeletServing if !is_itself || !requestor.is_in_nodes_group() => {
                self.refuse(StrictRule::ServingRequestor, requestor.username)
            }
            SignerName::KubeApiServerClientKubelet
            | SignerName::KubeletServing
            | SignerName::KubeApiServerClient
            | SignerName::LegacyUnknown
            | SignerName::Other(_) => Ok(()),
        }
    }

    /// The names as types, each once, DNS before IP as upstream writes them.
    fn alt_names(&self, request: &SigningRequest<'_>) -> Result<Vec<SubjectAltName>, StrictRefusal> {
        let names = request.names;
        if let Some(email) = names.email_addresses.first() {
            self.refuse(StrictRule::Email, email)?;
        }
        if let Some(uri) = names.uris.first() {
            self.refuse(StrictRule::Uri, uri)?;
        }
        let dns = |name: &String| SubjectAltName::dns(name).map_err(|_| StrictRefusal::new(StrictRule::DnsName, name));
        let ip = |address: &IpAddr| {
            let refusal = |_| StrictRefusal::new(StrictRule::IpAddress, &address.to_string());
            SubjectAltName::ip(*address).map_err(refusal)
        };
        let mut seen = BTreeSet::new();
        names
            .dns_names
            .iter()
            .map(dns)
            .chain(names.ip_addresses.iter().map(ip))
            .filter(|name| name.as_ref().map_or(true, |name| seen.insert(name.clone())))
            .collect()
    }

    fn examine_name(&self, name: &SubjectAltName) -> Result<(), StrictRefusal> {
        match name {
            SubjectAltName::Dns(name) if is_service_name(name.as_str()) => {
                self.refuse(StrictRule::ServiceName, name.as_str())
            }
            SubjectAltName::Ip(address) if address.is_loopback() => {
                self.refuse(StrictRule::Loopback, &address.to_string())
            }
            SubjectAltName::Dns(_) | SubjectAltName::Ip(_) => Ok(()),
        }
    }

    fn examine_addresses(
        &self,
        request: &SigningRequest<'_>,
        names: &[SubjectAltName],
    ) -> Result<ApprovedByAddress, StrictRefusal> {
        let Some(addresses) = request.addresses else { return Ok(ApprovedByAddress::No) };
        let node = request.names.common_name.strip_prefix(NODE_USER_PREFIX);
        if node != Some(addresses.node().as_str()) {
            self.refuse(StrictRule::OtherNodesAddresses, addresses.node().as_str())?;
        }
        match names.iter().find(|name| !addresses.contains(name)) {
            Some(name) => Err(StrictRefusal::new(StrictRule::KnownAddress, &name.to_string())),
            None => Ok(ApprovedByAddress::Yes),
        }
    }
}

/// A name of the API server, of the host itself (RFC 6761 6.3), or of any service: a label `svc` after a first one.
fn is_service_name(name: &str) -> bool {
    let is_loopback = name.rsplit('.').next() == Some("localhost");
    is_loopback || WELL_KNOWN_NAMES.contains(&name) || name.split('.').skip(1).any(|label| label == "svc")
}
