//! What a path is worth in one cluster.

mod tls;

use core::fmt;

use pki_core::Path;

use crate::channel::{Channel, Protection};
use crate::fact::{Fact, Origin};
use crate::model::{ApiAccess, ClusterModel, CsrSigning, Egress, InsecurePort, SshTunnels, Transport};
use crate::report::{Fitness, PathReport, PathStatus, Verdict};

/// What speaks for and against a path, over all who talk on it: the worst of them decides.
#[derive(Debug, Default)]
pub(crate) struct Weighed {
    absent: Option<String>,
    encrypts: Tally,
    server: Tally,
    client: Tally,
    /// What keeps others away where the path itself does not.
    contained: Option<String>,
    reasons: Vec<String>,
    missing: Vec<String>,
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
    fn absent(why: impl Into<String>) -> Self {
        Self { absent: Some(why.into()), ..Self::default() }
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

    fn status(&self, channel: Channel) -> PathStatus {
        if self.absent.is_some() {
            return PathStatus::Absent;
        }
        let verdict = match (self.encrypts, self.server, self.client) {
            (Tally::Fails, ..) => Verdict::Plaintext,
            (Tally::Holds, Tally::Fails, _) => Verdict::EncryptedUnverified,
            (Tally::Holds, Tally::Holds, Tally::Fails) => Verdict::ServerAuthOnly,
            (Tally::Holds, Tally::Holds, Tally::Holds) if channel.spec().is_declared() => Verdict::Asserted,
            (Tally::Holds, Tally::Holds, Tally::Holds) => Verdict::Secure,
            _ => return PathStatus::NotEvaluated,
        };
        match verdict {
            Verdict::Plaintext | Verdict::EncryptedUnverified if self.contained.is_some() => {
                PathStatus::Judged(Verdict::Contained)
            }
            _ => PathStatus::Judged(verdict),
        }
    }
}

/// Whether the cluster does not have a path.
pub(crate) fn is_absent(model: &ClusterModel, path: Path) -> bool {
    tls::absent(model, path).is_some()
}

/// Judges one path; `weakened` where a grave finding stands against it.
pub(crate) fn judge(model: &ClusterModel, channel: Channel, weakened: bool) -> PathReport {
    let mut weighed = weigh(model, channel);
    let status = weighed.status(channel);
    weighed.reasons.extend(weighed.absent.take());
    weighed.reasons.extend(weighed.contained.take());
    let fitness = match status {
        PathStatus::Absent => Fitness::Fit,
        PathStatus::NotEvaluated => Fitness::Unknown,
        PathStatus::Judged(_) if weakened => Fitness::Unfit,
        PathStatus::Judged(Verdict::Asserted) => Fitness::FitAsAsserted,
        PathStatus::Judged(Verdict::Secure | Verdict::ServerAuthOnly | Verdict::Contained) if weighed.asserted => {
            Fitness::FitAsAsserted
        }
        PathStatus::Judged(Verdict::Secure | Verdict::ServerAuthOnly | Verdict::Contained) => Fitness::Fit,
        PathStatus::Judged(Verdict::EncryptedUnverified | Verdict::Plaintext) => Fitness::Unfit,
    };
    let Weighed { reasons, missing, asserted, .. } = weighed;
    PathReport { channel, status, reasons, missing, asserted, fitness }
}

fn weigh(model: &ClusterModel, channel: Channel) -> Weighed {
    match channel {
        Channel::Tls(path) => tls::weigh(model, path),
        Channel::LocalInsecurePort => insecure_port(model),
        Channel::ApiProxyHttp => proxy_http(model),
        Channel::SshTunnel => ssh_tunnel(model),
        Channel::CsrSigning => csr_signing(model),
        Channel::NodeNode => declared(&model.infrastructure.node_node, "what the network gives to nodes"),
        Channel::PodPodAcrossNodes => {
            declared(&model.infrastructure.pod_pod_across_nodes, "what the network gives to pods on different nodes")
        }
        Channel::PodPodOnNode => declared(&model.infrastructure.pod_pod_on_node, "what pods on one node have"),
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

fn insecure_port(model: &ClusterModel) -> Weighed {
    let open = |port: &InsecurePort| !matches!(port, InsecurePort::Closed);
    let ports = || model.api_servers.iter().map(|api| &api.settings.insecure_port);
    let used = |fact: &Fact<ApiAccess>| fact.value() == Some(&ApiAccess::Insecure);
    let is_used = model.controller_managers.iter().any(|kcm| used(&kcm.settings.access))
        || model.schedulers.iter().any(|scheduler| used(&scheduler.settings.access));
    if !model.api_servers.is_empty() && ports().all(|port| port.value().is_some_and(|port| !open(port))) && !is_used {
        return Weighed::absent("the insecure port is closed");
    }
    let mut weighed = Weighed::default();
    let mut on_loopback = !model.api_servers.is_empty();
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
        on_loopback &= matches!(port.value(), Some(InsecurePort::Loopback(_) | InsecurePort::Closed));
    }
    if model.api_servers.is_empty() {
        weighed.note_missing("kube-apiserver --insecure-port".to_owned());
    }
    weighed.contained = on_loopback.then(|| "it is open on the machine's own loopback interface only".to_owned());
    weighed
}

/// What encloses all that goes from the API server to nodes, if something does.
pub(crate) fn tunnel(model: &ClusterModel) -> Option<String> {
    let konnectivity = |egress: &Fact<Egress>| matches!(egress.value(), Some(Egress::Konnectivity(_)));
    if !model.api_servers.is_empty() && model.api_servers.iter().all(|api| konnectivity(&api.settings.egress)) {
        return Some("it runs inside the Konnectivity tunnel".to_owned());
    }
    match model.ssh_tunnels.value() {
        Some(SshTunnels::Used { checks_host_key: true }) => Some("it runs inside an SSH tunnel".to_owned()),
        _ => None,
    }
}

fn proxy_http(model: &ClusterModel) -> Weighed {
    let mut weighed = Weighed { contained: tunnel(model), ..Weighed::default() };
    let used = &model.infrastructure.proxy_is_used;
    if used.value() == Some(&false) {
        return Weighed::absent("nobody uses the proxy verb");
    }
    weighed.asserted |= used.is_declared();
    weighed.encrypts.add(Tally::Fails);
    weighed.note("the proxy verb speaks plain HTTP by default".to_owned());
    weighed
}

fn ssh_tunnel(model: &ClusterModel) -> Weighed {
    match model.ssh_tunnels.value() {
        Some(SshTunnels::None) => return Weighed::absent("there are no SSH tunnels"),
        None if !model.api_servers.is_empty() => {
            return Weighed::absent("kube-apiserver has no `--ssh-user` since Kubernetes 1.22");
        }
        _ => {}
    }
    let mut weighed = Weighed::default();
    let checks = model.ssh_tunnels.map(|tunnels| matches!(tunnels, SshTunnels::Used { checks_host_key: true }));
    weighed.weigh(Property::Encrypts, &checks, "SSH tunnels", |_| true, |_, _| "SSH encrypts".to_owned());
    weighed.weigh(
        Property::AuthenticatesServer,
        &checks,
        "SSH tunnels",
        |checks| *checks,
        |_, holds| {
            if holds { "the node's host key is compared" } else { "nobody compares the node's host key" }.to_owned()
        },
    );
    weighed.weigh(
        Property::AuthenticatesClient,
        &checks,
        "SSH tunnels",
        |_| true,
        |_, _| "the API server shows its SSH key".to_owned(),
    );
    weighed
}

fn csr_signing(model: &ClusterModel) -> Weighed {
    match model.csr_signing.value() {
        Some(CsrSigning::InProcess) => Weighed::absent("kube-controller-manager holds the key itself"),
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
