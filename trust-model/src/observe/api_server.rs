//! kube-apiserver. What holds without a flag is from `k8s.io/apiserver/pkg/server/options` and `pkg/kubeapiserver/options`.

use pki_core::{LeafKind, TrustSlot};
use serde_json::Value;

use super::kubeconfig::is_plain_url;
use super::program::{Program, item};
use super::reader::{Reader, Source};
use super::yaml::{at, list, text};
use crate::fact::Fact;
use crate::model::{ApiServer, AuthorizationMode, Component, Egress, InsecurePort, Leaf, SshTunnels, Transport, Trust};

pub(super) fn observe(reader: &mut Reader<'_>, program: &Program) -> Component<ApiServer> {
    let mut component = Component { name: program.machine.name.clone(), ..Component::default() };
    for (kind, flag, default) in [
        // Without one, it makes one at its start.
        (LeafKind::ApiServer, "tls-cert-file", Leaf::SelfSigned),
        (LeafKind::ApiServerKubeletClient, "kubelet-client-certificate", Leaf::Nothing),
        (LeafKind::ApiServerEtcdClient, "etcd-certfile", Leaf::Nothing),
        (LeafKind::FrontProxyClient, "proxy-client-cert-file", Leaf::Nothing),
    ] {
        component.leaves.insert(kind, program.leaf(reader, flag, default));
    }
    for (slot, flag, default) in [
        (TrustSlot::ApiServerClientCa, "client-ca-file", Trust::Nothing),
        (TrustSlot::ApiServerRequestheaderCa, "requestheader-client-ca-file", Trust::Nothing),
        (TrustSlot::ApiServerKubeletCa, "kubelet-certificate-authority", Trust::Nothing),
        // Go's TLS takes the roots of the system where none are given.
        (TrustSlot::ApiServerEtcdCa, "etcd-cafile", Trust::SystemRoots),
        // Without it no peer is called.
        (TrustSlot::ApiServerPeerCa, "peer-ca-file", Trust::Nothing),
    ] {
        component.trusts.insert(slot, program.trust(reader, flag, default));
    }
    component.trusts.insert(TrustSlot::ServiceAccountKeys, token_keys(reader, program));
    for names in program.flags.all("tls-sni-cert-key") {
        // `certificate,key`, and names behind a colon.
        program.uses(reader, names.split([',', ':']).next().unwrap_or_default());
    }
    let kubeconfigs = ["authentication-token-webhook-config-file", "authorization-webhook-config-file"];
    program.uses_kubeconfigs(reader, &kubeconfigs);
    let (authorization_modes, anonymous_auth) = access(reader, program);
    let servers = program.flags.elements("etcd-servers").unwrap_or_default();
    component.settings = ApiServer {
        anonymous_auth,
        authorization_modes,
        insecure_port: insecure_port(reader, program),
        requestheader_allowed_names: match program.flags.elements("requestheader-allowed-names") {
            Some(names) => {
                let names = names.into_iter().map(Into::into).collect();
                Fact::observed(names, program.place("requestheader-allowed-names"))
            }
            None => Fact::default_of(Vec::new()),
        },
        etcd_transport: program.transport(reader, "etcd-servers", &servers, Fact::Missing),
        egress: egress(reader, program, &mut component),
        bootstrap_tokens: program.switch(reader, "enable-bootstrap-token-auth", false),
        calls_peers: calls_peers(program),
    };
    component.tls = program.tls(reader);
    component.unknown = program.unknown();
    component
}

/// The proxy to peers is built where it has a bundle, and its gate is open: by default since 1.36
/// (`pkg/controlplane/apiserver/config.go`).
fn calls_peers(program: &Program) -> Fact<bool> {
    let flag = "peer-ca-file";
    match (program.flags.text(flag), program.flags.gate("UnknownVersionInteroperabilityProxy")) {
        (None, _) => Fact::default_of(false),
        (Some(_), Some(gate)) => Fact::observed(gate, program.place("feature-gates")),
        (Some(_), None) => Fact::observed(program.minor.is_none_or(|minor| minor >= 36), program.place(flag)),
    }
}

/// Without keys of their own, tokens are verified with the key of the server.
fn token_keys(reader: &mut Reader<'_>, program: &Program) -> Fact<Trust> {
    let flag = "service-account-key-file";
    if program.flags.text(flag).is_none() {
        return Fact::Missing;
    }
    let names: Vec<_> = program.flags.all(flag).filter(|name| !name.is_empty()).collect();
    reader.keys(&program.source, &item(flag), names.into_iter())
}

/// How requests are authorized, and whether nobody in particular may make them.
fn access(reader: &mut Reader<'_>, program: &Program) -> (Fact<Vec<AuthorizationMode>>, Fact<bool>) {
    let flag = "authorization-mode";
    let modes = match program.flags.elements(flag) {
        Some(modes) => Fact::observed(modes.into_iter().map(mode).collect(), program.place(flag)),
        None if program.flags.text("authorization-config").is_some() => {
            configured(reader, program, "authorization-config", "AuthorizationConfiguration", |document| {
                Some(list(document, &["authorizers"]).filter_map(|one| text(one, &["type"])).map(mode).collect())
            })
            .unwrap_or_default()
        }
        None => Fact::default_of(vec![AuthorizationMode::AlwaysAllow]),
    };
    let from_file = configured(reader, program, "authentication-config", "AuthenticationConfiguration", |document| {
        at(document, &["anonymous", "enabled"]).and_then(Value::as_bool)
    });
    let anonymous = from_file.unwrap_or_else(|| program.switch(reader, "anonymous-auth", true));
    // Where everything is allowed, it is switched off, whatever the flag says (`ApplyAuthorization`).
    let all = modes.value().is_some_and(|modes| modes.contains(&AuthorizationMode::AlwaysAllow));
    let anonymous = if all && anonymous.value() == Some(&true) { modes.map(|_| false) } else { anonymous };
    (modes, anonymous)
}

/// What a file says that a flag names; `None` where there is no such flag, or the file leaves it open.
fn configured<T>(
    reader: &mut Reader<'_>,
    program: &Program,
    flag: &str,
    kind: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<Fact<T>> {
    program.flags.text(flag)?;
    let document = program.file(reader, flag).and_then(|path| reader.document(&path, kind));
    match document {
        Some(document) => read(&document).map(|value| Fact::observed(value, program.place(flag))),
        None => Some(Fact::Missing),
    }
}

fn mode(name: &str) -> AuthorizationMode {
    match name {
        "AlwaysAllow" => AuthorizationMode::AlwaysAllow,
        "AlwaysDeny" => AuthorizationMode::AlwaysDeny,
        "ABAC" => AuthorizationMode::Abac,
        "RBAC" => AuthorizationMode::Rbac,
        "Node" => AuthorizationMode::Node,
        "Webhook" => AuthorizationMode::Webhook,
        other => AuthorizationMode::Other(other.into()),
    }
}

/// Open on 8080 of the loopback interface by default before 1.20. From then on nothing is served there, and the flag takes
/// nothing but 0; 1.24 has none (kubernetes/kubernetes#95856).
fn insecure_port(reader: &mut Reader<'_>, program: &Program) -> Fact<InsecurePort> {
    const PORT: u16 = 8080;
    let bind = program.flags.text("insecure-bind-address");
    let open = |port: u16| match bind {
        _ if port == 0 => InsecurePort::Closed,
        Some(address) if !is_loopback(address) => InsecurePort::Network(port),
        _ => InsecurePort::Loopback(port),
    };
    let is_old = program.minor.is_some_and(|minor| minor < 20);
    match program.flags.text("insecure-port") {
        Some(port) => match port.parse() {
            Ok(1..) if program.minor.is_some_and(|minor| minor >= 20) => {
                program.refused(reader, "insecure-port", "0, which is all that 1.20 and later take", port)
            }
            Ok(port) => Fact::observed(open(port), program.place("insecure-port")),
            Err(_) => program.refused(reader, "insecure-port", "a port", port),
        },
        None if bind.is_some() && (is_old || program.minor.is_none()) => {
            Fact::observed(open(PORT), program.place("insecure-bind-address"))
        }
        None if is_old => Fact::default_of(open(PORT)),
        None => Fact::default_of(InsecurePort::Closed),
    }
}

fn is_loopback(address: &str) -> bool {
    address == "localhost" || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// What goes to nodes (`k8s.io/apiserver/pkg/server/egressselector`), and the certificates for it.
fn egress(reader: &mut Reader<'_>, program: &Program, component: &mut Component<ApiServer>) -> Fact<Egress> {
    let flag = "egress-selector-config-file";
    let (leaf, slot) = (LeafKind::KonnectivityClient, TrustSlot::ApiServerEgressCa);
    if program.flags.text(flag).is_none() {
        component.leaves.insert(leaf, Fact::default_of(Leaf::Nothing));
        component.trusts.insert(slot, Fact::default_of(Trust::Nothing));
        return Fact::default_of(Egress::Direct);
    }
    let Some(path) = program.file(reader, flag) else { return Fact::Missing };
    let Some(document) = reader.document(&path, "EgressSelectorConfiguration") else { return Fact::Missing };
    let source = Source { file: path.clone(), ..program.source.clone() };
    let place = |item: &str| source.place(item);
    let is_cluster = |selection: &&Value| text(selection, &["name"]).is_some_and(|name| name == "cluster");
    let selection = list(&document, &["egressSelections"]).find(is_cluster);
    let connection = selection.and_then(|selection| at(selection, &["connection"]));
    let protocol = connection.and_then(|connection| text(connection, &["proxyProtocol"]));
    let tcp = connection.and_then(|connection| at(connection, &["transport", "tcp"]));
    let uds = connection.and_then(|connection| at(connection, &["transport", "uds"]));
    let url = tcp.and_then(|tcp| text(tcp, &["url"]));
    let egress = match (protocol, url, uds) {
        (None, ..) if selection.is_none() => Egress::Direct,
        (Some("Direct"), ..) => Egress::Direct,
        (Some(_), None, Some(_)) => Egress::Konnectivity(Transport::UnixSocket),
        (Some(_), Some(url), _) if is_plain_url(url, false) => Egress::Konnectivity(Transport::Plain),
        (Some(_), Some(_), _) => Egress::Konnectivity(Transport::Tls),
        _ => {
            reader.broken(place("egressSelections"), "expected how `cluster` is reached");
            return Fact::Missing;
        }
    };
    let (mut shown, mut trusted) = (Fact::default_of(Leaf::Nothing), Fact::default_of(Trust::Nothing));
    if egress == Egress::Konnectivity(Transport::Tls) {
        let tls = tcp.and_then(|tcp| at(tcp, &["tlsConfig"]));
        let named = |field: &str| tls.and_then(|tls| text(tls, &[field]));
        if let Some(name) = named("clientCert") {
            shown = reader.leaf(&source, "clientCert", name);
        }
        trusted = match named("caBundle") {
            Some(name) => reader.trust(&source, "caBundle", name),
            None => Fact::default_of(Trust::SystemRoots),
        };
    }
    component.leaves.insert(leaf, shown);
    component.trusts.insert(slot, trusted);
    Fact::observed(egress, place("egressSelections"))
}

/// Before 1.22; the host keys of nodes were never compared (kubernetes/kubernetes#81118).
pub(super) fn ssh_tunnels(programs: &[&Program]) -> Fact<SshTunnels> {
    let used = programs.iter().find(|program| program.flags.text("ssh-user").is_some());
    match used {
        Some(program) => Fact::observed(SshTunnels::Used { checks_host_key: false }, program.place("ssh-user")),
        None if programs.is_empty() => Fact::Missing,
        None => Fact::default_of(SshTunnels::None),
    }
}

/// Whether pods get a token by themselves: the admission plugin that does it is on by default.
pub(super) fn automount(programs: &[&Program]) -> Fact<bool> {
    let flag = "disable-admission-plugins";
    let off = programs
        .iter()
        .find(|program| program.flags.elements(flag).is_some_and(|plugins| plugins.contains(&"ServiceAccount")));
    match off {
        Some(program) => Fact::observed(false, program.place(flag)),
        None if programs.is_empty() => Fact::Missing,
        None => Fact::default_of(true),
    }
}
