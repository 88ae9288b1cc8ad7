//! What a path is worth in one cluster.

mod hardening;
mod tls;

use core::fmt;

use pki_core::Path;

use crate::channel::{Channel, Protection};
use crate::fact::{Fact, Origin};
use crate::model::{ApiServer, ClusterModel, Component, CsrSigning, Egress, InsecurePort, SshTunnels, Transport};
use crate::report::{Fitness, PathReport, PathStatus, Verdict};

/// What speaks for and against a path, over all who talk on it: the worst of them decides.
#[derive(Debug, Default)]
pub(crate) struct Weighed {
    absent: Option<String>,
    encrypts: Tally,
    server: Tally,
    client: Tally,
    enclosure: Option<Enclosure>,
    reasons: Vec<String>,
    missing: Vec<String>,
    asserted: bool,
}

/// What keeps others away where the path itself does not.
#[derive(Debug)]
pub(crate) struct Enclosure {
    why: &'static str,
    asserted: bool,
}

/// What is known of one property, over all instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tally {
    /// Nobody was asked.
    #[default]
    Nothing,
    /// Everybody has it.
    Holds,
    /// Of somebody it is not known, and of nobody that it fails.
    Unknown,
    /// Somebody lacks it.
    Fails,
}

impl Tally {
    const fn add(&mut self, other: Self) {
        *self = match (*self, other) {
            (Self::Fails, _) | (_, Self::Fails) => Self::Fails,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (_, Self::Holds) | (Self::Holds, _) => Self::Holds,
            _ => Self::Nothing,
        };
    }
}

/// Which property a fact decides about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Property {
    Encrypts,
    AuthenticatesServer,
    AuthenticatesClient,
}

impl Weighed {
    fn absent(why: impl Into<String>, asserted: bool) -> Self {
        Self { absent: Some(why.into()), asserted, ..Self::default() }
    }

    const fn tally(&mut self, property: Property) -> &mut Tally {
        match property {
            Property::Encrypts => &mut self.encrypts,
            Property::AuthenticatesServer => &mut self.server,
            Property::AuthenticatesClient => &mut self.client,
        }
    }

    /// One fact decides; `what` names it where it is missing, `why` says what it means where it is known.
    pub(crate) fn weigh<T>(
        &mut self,
        property: Property,
        fact: &Fact<T>,
        what: impl fmt::Display,
        holds: impl FnOnce(&T) -> bool,
        why: impl FnOnce(&T, bool) -> String,
    ) {
        match fact {
            Fact::Missing => {
                self.note_missing(what.to_string());
                self.tally(property).add(Tally::Unknown);
            }
            Fact::Known { value, origin } => {
                self.asserted |= matches!(origin, Origin::Declared(_));
                let holds = holds(value);
                self.note(why(value, holds));
                self.tally(property).add(if holds { Tally::Holds } else { Tally::Fails });
            }
        }
    }

    fn note(&mut self, reason: String) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    fn note_missing(&mut self, what: String) {
        if !self.missing.contains(&what) {
            self.missing.push(what);
        }
    }

    /// What the path is worth by itself, whatever encloses it.
    fn status(&self, channel: Channel) -> PathStatus {
        if self.absent.is_some() {
            return PathStatus::Absent;
        }
        PathStatus::Judged(match (self.encrypts, self.server, self.client) {
            (Tally::Fails, ..) => Verdict::Plaintext,
            (Tally::Holds, Tally::Fails, _) => Verdict::EncryptedUnverified,
            (Tally::Holds, Tally::Holds, Tally::Fails) => Verdict::ServerAuthOnly,
            (Tally::Holds, Tally::Holds, Tally::Holds) if channel.spec().is_declared() => Verdict::Asserted,
            (Tally::Holds, Tally::Holds, Tally::Holds) => Verdict::Secure,
            _ => return PathStatus::NotEvaluated,
        })
    }
}

/// Whether the cluster does not have a path.
pub(crate) fn is_absent(model: &ClusterModel, path: Path) -> bool {
    tls::absent(model, path).is_some()
}

/// Which paths a grave finding stands against.
pub(crate) type Weakened<'a> = &'a dyn Fn(Channel) -> bool;

/// Judges one path.
pub(crate) fn judge(model: &ClusterModel, channel: Channel, weakened: Weakened<'_>) -> PathReport {
    let mut weighed = weigh(model, channel, weakened);
    let mut status = weighed.status(channel);
    let holds = match status {
        PathStatus::Judged(verdict) => !weakened(channel) && suffices(channel, verdict),
        // Whatever it would turn out to be, an enclosure is as good.
        PathStatus::NotEvaluated => false,
        PathStatus::Absent => true,
    };
    weighed.reasons.extend(weighed.absent.take());
    if let Some(Enclosure { why, asserted }) = weighed.enclosure.take() {
        weighed.note(why.to_owned());
        if !holds {
            status = PathStatus::Judged(Verdict::Contained);
            weighed.asserted |= asserted;
        }
    } else if !holds && weakened(channel) {
        weighed.note("a grave finding stands against it".to_owned());
    }
    let Weighed { reasons, missing, asserted, .. } = weighed;
    let fit = if asserted { Fitness::FitAsAsserted } else { Fitness::Fit };
    let fitness = match status {
        PathStatus::NotEvaluated => Fitness::Unknown,
        PathStatus::Absent | PathStatus::Judged(Verdict::Contained) => fit,
        PathStatus::Judged(_) if holds => fit,
        PathStatus::Judged(_) => Fitness::Unfit,
    };
    let hardening = match status {
        PathStatus::Absent | PathStatus::NotEvaluated => None,
        PathStatus::Judged(Verdict::Secure | Verdict::Asserted) if fitness != Fitness::Unfit => None,
        PathStatus::Judged(_) => hardening::of(channel),
    };
    PathReport { channel, status, reasons, missing, asserted, fitness, hardening }
}

/// Whether this verdict is all that the path needs. That the server does not know the client is in order only where
/// the client has nothing to show.
fn suffices(channel: Channel, verdict: Verdict) -> bool {
    match verdict {
        Verdict::Secure | Verdict::Asserted | Verdict::Contained => true,
        Verdict::ServerAuthOnly => !channel.spec().protection().authenticates_client,
        Verdict::EncryptedUnverified | Verdict::Plaintext => false,
    }
}

fn weigh(model: &ClusterModel, channel: Channel, weakened: Weakened<'_>) -> Weighed {
    match channel {
        Channel::Tls(path) => tls::weigh(model, path, weakened),
        Channel::LocalInsecurePort => insecure_port(model),
        Channel::ApiProxyHttp => proxy_http(model, weakened),
        Channel::SshTunnel => ssh_tunnel(model),
        Channel::CsrSigning => csr_signing(model),
        Channel::NodeNode => declared(&model.infrastructure.node_node, "what the network gives to nodes"),
        Channel::PodPodAcrossNodes => pods_across_nodes(model, weakened),
        Channel::PodPodOnNode => pods_on_node(model),
    }
}

type Reads = fn(&Protection) -> bool;

fn declared(fact: &Fact<Protection>, what: &str) -> Weighed {
    let mut weighed = Weighed::default();
    let say = |does: &'static str, does_not: &'static str| {
        move |_: &Protection, holds: bool| if holds { does } else { does_not }.to_owned()
    };
    let all: [(Property, Reads, &str, &str); 3] = [
        (Property::Encrypts, |p| p.encrypts, "encrypted", "not encrypted"),
        (Property::AuthenticatesServer, |p| p.authenticates_server, "the server is known", "nobody knows the server"),
        (Property::AuthenticatesClient, |p| p.authenticates_client, "the client is known", "nobody knows the client"),
    ];
    for (property, holds, does, does_not) in all {
        weighed.weigh(property, fact, what, holds, say(does, does_not));
    }
    weighed
}

/// Who a pod is the network does not say; that it encrypts is worth as much as its knowledge of the nodes.
fn pods_across_nodes(model: &ClusterModel, weakened: Weakened<'_>) -> Weighed {
    let pods = &model.infrastructure.pod_pod_across_nodes;
    let mut weighed = declared(pods, "what the network gives to pods on different nodes");
    network_policies(model, &mut weighed);
    let nodes = &model.infrastructure.node_node;
    let nodes_are_known = nodes.value().is_some_and(|protection| *protection == Protection::FULL);
    if nodes_are_known && pods.value().is_some_and(|protection| protection.encrypts) && !weakened(Channel::NodeNode) {
        let asserted = nodes.is_declared() || pods.is_declared();
        weighed.enclosure =
            Some(Enclosure { why: "it runs inside what the network gives to nodes, which know each other", asserted });
    }
    weighed
}

fn pods_on_node(model: &ClusterModel) -> Weighed {
    let mut weighed = declared(&model.infrastructure.pod_pod_on_node, "what pods on one node have");
    network_policies(model, &mut weighed);
    let is_known = model.infrastructure.pod_pod_on_node.value().is_some();
    weighed.enclosure = is_known.then_some(Enclosure { why: "it never leaves the node", asserted: false });
    weighed
}

/// Who may talk is not what protects the talk: policies are said, and decide nothing.
fn network_policies(model: &ClusterModel, weighed: &mut Weighed) {
    match model.infrastructure.network_policies.value() {
        Some(true) => weighed.note("NetworkPolicies restrict who talks".to_owned()),
        Some(false) => weighed.note("no NetworkPolicy restricts who talks".to_owned()),
        None => {}
    }
}

fn insecure_port(model: &ClusterModel) -> Weighed {
    let open = |port: &InsecurePort| !matches!(port, InsecurePort::Closed);
    let ports = || model.api_servers.iter().map(|api| &api.settings.insecure_port);
    if !model.api_servers.is_empty() && ports().all(|port| port.value().is_some_and(|port| !open(port))) {
        return Weighed::absent("the insecure port is closed", ports().any(Fact::is_declared));
    }
    let mut weighed = Weighed { enclosure: loopback(model), ..Weighed::default() };
    for port in ports() {
        weighed.weigh(
            Property::Encrypts,
            port,
            "kube-apiserver --insecure-port",
            |port| !open(port),
            |port, _| match port {
                InsecurePort::Closed => "the insecure port is closed".to_owned(),
                InsecurePort::Loopback(port) => format!("port {port} speaks plain HTTP and lets everybody in"),
                InsecurePort::Network(port) => {
                    format!("port {port} speaks plain HTTP and lets everybody in, from the network too")
                }
            },
        );
    }
    if model.api_servers.is_empty() {
        weighed.note_missing("kube-apiserver --insecure-port".to_owned());
    }
    weighed
}

/// The insecure port, where no interface but the machine's own has it.
fn loopback(model: &ClusterModel) -> Option<Enclosure> {
    let ports = || model.api_servers.iter().map(|api| &api.settings.insecure_port);
    let local =
        |port: &Fact<InsecurePort>| matches!(port.value(), Some(InsecurePort::Loopback(_) | InsecurePort::Closed));
    let any = ports().any(|port| matches!(port.value(), Some(InsecurePort::Loopback(_))));
    (any && ports().all(local)).then(|| Enclosure {
        why: "it is open on the machine's own loopback interface only",
        asserted: ports().any(Fact::is_declared),
    })
}

/// What encloses all that goes from the API server to nodes, if something does. A tunnel that anybody may end encloses
/// nothing, so both of its legs have to be secure themselves.
pub(crate) fn tunnel(model: &ClusterModel, weakened: Weakened<'_>) -> Option<Enclosure> {
    let enters = |api: &Component<ApiServer>| matches!(api.settings.egress.value(), Some(Egress::Konnectivity(_)));
    if !model.api_servers.is_empty() && model.api_servers.iter().all(enters) {
        let legs = [Path::KonnKas, Path::KonnAgent].map(|path| (Channel::Tls(path), tls::weigh(model, path, weakened)));
        let is_secure = |channel: Channel, leg: &Weighed| {
            leg.status(channel) == PathStatus::Judged(Verdict::Secure) && !weakened(channel)
        };
        if legs.iter().all(|(channel, leg)| is_secure(*channel, leg)) {
            let declared = model.api_servers.iter().any(|api| api.settings.egress.is_declared());
            let asserted = declared || legs.iter().any(|(_, leg)| leg.asserted);
            return Some(Enclosure { why: "it runs inside the Konnectivity tunnel", asserted });
        }
    }
    match model.ssh_tunnels.value() {
        Some(SshTunnels::Used { checks_host_key: true }) if !weakened(Channel::SshTunnel) => {
            Some(Enclosure { why: "it runs inside an SSH tunnel", asserted: model.ssh_tunnels.is_declared() })
        }
        _ => None,
    }
}

fn proxy_http(model: &ClusterModel, weakened: Weakened<'_>) -> Weighed {
    let used = &model.infrastructure.proxy_is_used;
    if used.value() == Some(&false) {
        return Weighed::absent("nobody uses the proxy verb", used.is_declared());
    }
    let mut weighed = Weighed { enclosure: tunnel(model, weakened), ..Weighed::default() };
    weighed.asserted |= used.is_declared();
    weighed.encrypts.add(Tally::Fails);
    weighed.note("the proxy verb speaks plain HTTP by default, and shows nothing of the API server".to_owned());
    weighed
}

fn ssh_tunnel(model: &ClusterModel) -> Weighed {
    if model.ssh_tunnels.value() == Some(&SshTunnels::None) {
        return Weighed::absent("there are no SSH tunnels", model.ssh_tunnels.is_declared());
    }
    const SSH: &str = "whether kube-apiserver uses SSH tunnels (`--ssh-user`)";
    let mut weighed = Weighed::default();
    let checks = model.ssh_tunnels.map(|tunnels| matches!(tunnels, SshTunnels::Used { checks_host_key: true }));
    weighed.weigh(
        Property::Encrypts,
        &checks,
        SSH,
        |_| true,
        |_, _| "SSH encrypts, to port 22 of each node".to_owned(),
    );
    weighed.weigh(
        Property::AuthenticatesServer,
        &checks,
        SSH,
        |checks| *checks,
        |_, holds| {
            if holds { "the node's host key is compared" } else { "nobody compares the node's host key" }.to_owned()
        },
    );
    weighed.weigh(
        Property::AuthenticatesClient,
        &checks,
        SSH,
        |_| true,
        |_, _| "the API server shows its SSH key".to_owned(),
    );
    weighed
}

fn csr_signing(model: &ClusterModel) -> Weighed {
    match model.csr_signing.value() {
        Some(CsrSigning::InProcess) => {
            Weighed::absent("kube-controller-manager holds the key itself", model.csr_signing.is_declared())
        }
        Some(CsrSigning::Service(_)) => declared(
            &model.csr_signing.map(|signing| match signing {
                CsrSigning::Service(protection) => *protection,
                CsrSigning::InProcess => Protection::FULL,
            }),
            "how the signing service is called",
        ),
        None => {
            let mut weighed = Weighed::default();
            weighed.note_missing("who holds the key that signs certificate requests".to_owned());
            weighed
        }
    }
}

/// Whether a transport encrypts, or stays on the machine.
pub(crate) const fn is_protected(transport: Transport) -> bool {
    matches!(transport, Transport::Tls | Transport::UnixSocket | Transport::Loopback)
}
