//! What each end of a path must prove before the other end talks to it.
//!
//! Nothing here is a second list of paths or names: every rule follows from the path's row in
//! `pki-core` and from the subject that its leaf is issued with.

use core::fmt;

use pki_core::{ClientCredential, ExtendedKeyUsage, LeafIdentity, LeafKind, NodeName, Path, SubjectAltName};

/// A version of TLS that a path may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// What a server must prove to the client that dialled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerRule {
    /// A chain from the client's bundle, and a subject alternative name equal to the name that was
    /// dialled (RFC 9525 6.3; the common name never counts).
    DialledName,
    /// Nothing: kube-apiserver's proxy verb encrypts towards `https:` pods and services and
    /// checks no certificate.
    Unverified,
}

/// What the subject of a client certificate must be.
///
/// The common name is the user and each organization a group (Kubernetes authentication, X.509 client
/// certificates), so both are compared whole. A group more than the leaf is issued with is a
/// privilege more; a certificate that carries one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityRule {
    /// The one subject that this kind of leaf has, as [`LeafKind::subject`] states it. For the
    /// front-proxy client it is the value of `--requestheader-allowed-names`.
    Fixed(LeafKind),
    /// The subject that this kind of leaf has for the node whose name stands in the common name,
    /// as the Kubernetes node authorizer reads it.
    PerNode(LeafKind),
    /// As [`PerNode`](Self::PerNode), and the node's name is one of the certificate's own dNSNames
    /// too: an etcd certificate serves under the name that it dials with.
    EtcdMember(LeafKind),
}

impl IdentityRule {
    /// The rule for the holder of a leaf of this kind.
    #[must_use]
    pub const fn of(leaf: LeafKind) -> Self {
        match leaf {
            LeafKind::EtcdServer | LeafKind::EtcdPeer => Self::EtcdMember(leaf),
            LeafKind::KubeletClient | LeafKind::KubeletServing | LeafKind::KonnectivityAgent => Self::PerNode(leaf),
            _ => Self::Fixed(leaf),
        }
    }

    /// The kind of leaf whose subject is asked for.
    #[must_use]
    pub const fn leaf(self) -> LeafKind {
        match self {
            Self::Fixed(leaf) | Self::PerNode(leaf) | Self::EtcdMember(leaf) => leaf,
        }
    }

    /// Whether a certificate is of the identity that is asked for.
    ///
    /// # Errors
    /// [`IdentityMismatch`], with both identities, when it is not.
    pub fn check(self, identity: &LeafIdentity) -> Result<(), IdentityMismatch> {
        let found = identity.subject();
        let node = match self {
            Self::Fixed(_) => None,
            Self::PerNode(_) | Self::EtcdMember(_) => node_of(found.common_name()),
        };
        let subject_holds = self.leaf().subject(node.as_ref()).as_ref() == Some(found);
        let own_name =
            |name: &SubjectAltName| matches!(name, SubjectAltName::Dns(dns) if dns.as_str() == found.common_name());
        let names_hold = match self {
            Self::EtcdMember(_) => identity.subject_alt_names().iter().any(own_name),
            Self::Fixed(_) | Self::PerNode(_) => true,
        };
        if subject_holds && names_hold {
            Ok(())
        } else {
            Err(IdentityMismatch { expected: self, found: Box::new(identity.clone()) })
        }
    }
}

/// The node that a common name speaks of: all of it, or what follows its last colon, which no
/// DNS-1123 subdomain contains.
fn node_of(common_name: &str) -> Option<NodeName> {
    common_name.rsplit(':').next()?.parse().ok()
}

impl fmt::Display for IdentityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const EXAMPLE_NODE: &str = "node-1";
        let (such_as, node) = match self {
            Self::Fixed(_) => ("", None),
            Self::PerNode(_) | Self::EtcdMember(_) => ("one like ", EXAMPLE_NODE.parse().ok()),
        };
        match self.leaf().subject(node.as_ref()) {
            Some(subject) => write!(f, "the subject of `{}`, {such_as}`{subject}`", self.leaf())?,
            None => write!(f, "the subject of `{}`", self.leaf())?,
        }
        match self {
            Self::EtcdMember(_) => f.write_str(", with the common name among the dNSNames"),
            Self::Fixed(_) | Self::PerNode(_) => Ok(()),
        }
    }
}

/// A certificate of somebody other than the path's client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityMismatch {
    expected: IdentityRule,
    found: Box<LeafIdentity>,
}

impl IdentityMismatch {
    /// The rule that was not met.
    #[must_use]
    pub const fn expected(&self) -> IdentityRule {
        self.expected
    }

    /// Who the certificate says it is.
    #[must_use]
    pub fn found(&self) -> &LeafIdentity {
        &self.found
    }
}

impl fmt::Display for IdentityMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found `{}`", self.expected, self.found.subject())?;
        match self.expected {
            IdentityRule::EtcdMember(_) => {
                f.write_str(" with ")?;
                write_names(f, self.found.subject_alt_names())
            }
            IdentityRule::Fixed(_) | IdentityRule::PerNode(_) => Ok(()),
        }
    }
}

impl core::error::Error for IdentityMismatch {}

/// Writes names in backticks, or that there are none.
pub(crate) fn write_names(f: &mut fmt::Formatter<'_>, names: &[SubjectAltName]) -> fmt::Result {
    if names.is_empty() {
        return f.write_str("no subject alternative name");
    }
    names.iter().enumerate().try_for_each(|(index, name)| {
        let separator = if index == 0 { "" } else { ", " };
        write!(f, "{separator}`{name}`")
    })
}

/// What both ends of one path must prove, and over which versions of TLS they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathRule {
    path: Path,
    client_identity: Option<IdentityRule>,
    server: ServerRule,
}

impl PathRule {
    /// The lowest version that may be negotiated on any path: TLS 1.2, as GKE's cluster trust
    /// documentation states and as `--tls-min-version` of the Kubernetes components defaults to.
    pub const TLS_MINIMUM: TlsVersion = TlsVersion::Tls12;

    /// The version that both ends of every path offer first: TLS 1.3, as GKE's cluster trust
    /// documentation states.
    pub const TLS_OFFERED: TlsVersion = TlsVersion::Tls13;

    /// The rule of a path.
    #[must_use]
    pub const fn of(path: Path) -> Self {
        let client_identity = match path.client_credential() {
            ClientCredential::Certificate(leaf) => Some(IdentityRule::of(leaf)),
            _ => None,
        };
        let server = match path.client_trust() {
            Some(_) => ServerRule::DialledName,
            None => ServerRule::Unverified,
        };
        Self { path, client_identity, server }
    }

    /// The path.
    #[must_use]
    pub const fn path(&self) -> Path {
        self.path
    }

    /// Who the client's certificate must be of, or `None` where the client shows no certificate:
    /// it sends a token inside TLS, or nothing.
    #[must_use]
    pub const fn client_identity(&self) -> Option<IdentityRule> {
        self.client_identity
    }

    /// What the server must prove.
    #[must_use]
    pub const fn server(&self) -> ServerRule {
        self.server
    }

    /// The extended key usage that a client's certificate must have (RFC 5280 4.2.1.12), if it shows one.
    #[must_use]
    pub const fn client_usage(&self) -> Option<ExtendedKeyUsage> {
        match self.client_identity {
            Some(_) => Some(ExtendedKeyUsage::ClientAuth),
            None => None,
        }
    }

    /// The extended key usage that the server's certificate must have, if anybody verifies it.
    #[must_use]
    pub const fn server_usage(&self) -> Option<ExtendedKeyUsage> {
        match self.server {
            ServerRule::DialledName => Some(ExtendedKeyUsage::ServerAuth),
            ServerRule::Unverified => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out, so that a change of a rule shows as a change of this table.
    const TABLE: &str = "\
node-api: PerNode(KubeletClient) -> DialledName
node-bootstrap: - -> DialledName
pod-api: - -> DialledName
kcm-api: Fixed(ControllerManager) -> DialledName
sched-api: Fixed(Scheduler) -> DialledName
admin-api: Fixed(Admin) -> DialledName
api-kubelet: Fixed(ApiServerKubeletClient) -> DialledName
api-proxy-https: - -> Unverified
konn-agent: PerNode(KonnectivityAgent) -> DialledName
konn-kas: Fixed(KonnectivityClient) -> DialledName
api-etcd: Fixed(ApiServerEtcdClient) -> DialledName
etcd-peer: EtcdMember(EtcdPeer) -> DialledName
etcd-health: Fixed(EtcdHealthcheckClient) -> DialledName
etcd-gateway: EtcdMember(EtcdServer) -> DialledName
front-proxy: Fixed(FrontProxyClient) -> DialledName
webhook: - -> DialledName
cp-internal: Fixed(FrontProxyClient) -> DialledName
";

    #[test]
    fn every_path_has_the_rule_of_its_row() {
        let mut table = String::new();
        for path in Path::ALL {
            let rule = PathRule::of(path);
            let client = rule.client_identity().map_or_else(|| "-".to_owned(), |identity| format!("{identity:?}"));
            table.push_str(&format!("{path}: {client} -> {:?}\n", rule.server()));
        }
        assert_eq!(table, TABLE);
    }

    #[test]
    fn a_path_asks_only_for_usages_that_its_leaves_are_issued_with() {
        for path in Path::ALL {
            let rule = PathRule::of(path);
            if let (Some(identity), Some(usage)) = (rule.client_identity(), rule.client_usage()) {
                assert!(identity.leaf().extended_key_usage().contains(&usage), "{path}");
            }
            if let (Some(leaf), Some(usage)) = (path.endpoint().leaf(), rule.server_usage()) {
                assert!(leaf.extended_key_usage().contains(&usage), "{path}");
            }
        }
    }

    #[test]
    fn a_rule_asks_for_a_subject_that_exists() {
        let node: NodeName = "node-1".parse().unwrap();
        for path in Path::ALL {
            let Some(identity) = PathRule::of(path).client_identity() else { continue };
            let node = (!matches!(identity, IdentityRule::Fixed(_))).then_some(&node);
            let subject = identity.leaf().subject(node);
            assert!(subject.is_some(), "{path}");
            if node.is_some() {
                assert_eq!(node_of(subject.unwrap().common_name()).as_ref(), node, "{path}");
            }
        }
    }

    #[test]
    fn rules_say_which_subject_they_expect() {
        assert_eq!(
            IdentityRule::of(LeafKind::Scheduler).to_string(),
            "the subject of `scheduler`, `CN=system:kube-scheduler`"
        );
        assert_eq!(
            IdentityRule::of(LeafKind::KubeletClient).to_string(),
            "the subject of `kubelet-client`, one like `O=system:nodes,CN=system:node:node-1`"
        );
        assert_eq!(
            IdentityRule::of(LeafKind::EtcdPeer).to_string(),
            "the subject of `etcd-peer`, one like `CN=node-1`, with the common name among the dNSNames"
        );
    }
}
