//! The paths that TLS protects.

use pki_core::{ClientCredential, ComponentKind, LeafKind, Path, TrustSlot};

use super::{Property, Tally, Weighed, is_protected, tunnel};
use crate::fact::Fact;
use crate::model::{AuthorizationMode, ClusterModel, Egress, Leaf, Transport, Trust};

/// Judges one path over all who talk on it.
pub(super) fn weigh(model: &ClusterModel, path: Path) -> Weighed {
    if let Some(absent) = absent(model, path) {
        return Weighed::absent(absent);
    }
    let mut weighed = Weighed::default();
    encryption(model, path, &mut weighed);
    server(model, path, &mut weighed);
    client(model, path, &mut weighed);
    if matches!(path, Path::ApiKubelet | Path::ApiProxyHttps) {
        weighed.contained = tunnel(model);
    }
    weighed
}

pub(super) fn absent(model: &ClusterModel, path: Path) -> Option<String> {
    let all_direct = !model.api_servers.is_empty()
        && model.api_servers.iter().all(|api| api.settings.egress.value() == Some(&Egress::Direct));
    let none = |fact: Option<bool>, what: &str| (fact == Some(true)).then(|| what.to_owned());
    let every = |of: fn(&crate::model::ApiServer) -> &Fact<bool>| {
        let all = model.api_servers.iter().all(|api| of(&api.settings).value() == Some(&false));
        Some(!model.api_servers.is_empty() && all)
    };
    match path {
        Path::KonnAgent | Path::KonnKas => all_direct.then(|| "the API server reaches nodes directly".to_owned()),
        Path::NodeBootstrap => none(every(|api| &api.bootstrap_tokens), "bootstrap tokens are switched off"),
        Path::CpInternal => none(every(|api| &api.calls_peers), "no replica calls another"),
        Path::Webhook => none(model.webhooks.value().map(Vec::is_empty), "there are no webhooks"),
        Path::FrontProxy => none(model.api_services.value().map(Vec::is_empty), "there are no aggregated APIs"),
        Path::ApiProxyHttps => {
            none(model.infrastructure.proxy_is_used.value().map(|used| !used), "nobody uses the proxy verb")
        }
        _ => None,
    }
}

fn encryption(model: &ClusterModel, path: Path, weighed: &mut Weighed) {
    let transports: Vec<(&Fact<Transport>, &str)> = match path {
        Path::ApiEtcd => model.api_servers.iter().map(|api| (&api.settings.etcd_transport, "--etcd-servers")).collect(),
        Path::EtcdHealth | Path::EtcdGateway => {
            model.etcd.iter().map(|etcd| (&etcd.settings.client_transport, "--listen-client-urls")).collect()
        }
        Path::EtcdPeer => model.etcd.iter().map(|etcd| (&etcd.settings.peer_transport, "--listen-peer-urls")).collect(),
        Path::KonnKas => model
            .konnectivity_servers
            .iter()
            .map(|server| (&server.settings.server_transport, "EgressSelectorConfiguration"))
            .collect(),
        _ => {
            // These ports speak nothing but TLS.
            weighed.encrypts.add(Tally::Holds);
            return;
        }
    };
    if transports.is_empty() {
        weighed.encrypts.add(Tally::Unknown);
        weighed.note_missing(path.server().to_string());
    }
    for (transport, what) in transports {
        weighed.weigh(
            Property::Encrypts,
            transport,
            what,
            |transport| is_protected(*transport),
            |transport, _| match transport {
                Transport::Tls => format!("`{what}` speaks TLS"),
                Transport::UnixSocket => format!("`{what}` is a socket of the machine itself"),
                Transport::Loopback => format!("`{what}` speaks without TLS, on the loopback interface only"),
                Transport::Plain => format!("`{what}` speaks without TLS"),
            },
        );
    }
}

/// Whether the client knows the server.
fn server(model: &ClusterModel, path: Path, weighed: &mut Weighed) {
    match path {
        Path::ApiProxyHttps => {
            weighed.server.add(Tally::Fails);
            weighed.note("the API server verifies no certificate towards `https:` pods and services".to_owned());
        }
        Path::Webhook | Path::FrontProxy => {
            let clients: Fact<Vec<(String, Trust)>> = match path {
                Path::Webhook => {
                    model.webhooks.map(|all| all.iter().map(|one| (one.name.to_string(), one.trust.clone())).collect())
                }
                _ => model
                    .api_services
                    .map(|all| all.iter().map(|one| (one.name.to_string(), one.trust.clone())).collect()),
            };
            let verifies = |all: &Vec<(String, Trust)>| all.iter().all(|(_, trust)| trust.verifies());
            weighed.weigh(Property::AuthenticatesServer, &clients, path.server(), verifies, |all, holds| {
                let bad: Vec<_> =
                    all.iter().filter(|(_, trust)| !trust.verifies()).map(|(name, _)| name.as_str()).collect();
                if holds { "every one is verified".to_owned() } else { format!("not verified: {}", bad.join(", ")) }
            });
        }
        _ if is_local(model, path) => weighed.server.add(Tally::Holds),
        _ => {
            let Some(slot) = path.client_trust() else { return };
            trusts(model, path.client(), slot, Property::AuthenticatesServer, weighed);
        }
    }
}

/// Where both ends are on one machine, its file system says who may talk.
fn is_local(model: &ClusterModel, path: Path) -> bool {
    path == Path::KonnKas
        && !model.konnectivity_servers.is_empty()
        && model
            .konnectivity_servers
            .iter()
            .all(|server| server.settings.server_transport.value() == Some(&Transport::UnixSocket))
}

fn trusts(model: &ClusterModel, kind: ComponentKind, slot: TrustSlot, property: Property, weighed: &mut Weighed) {
    let mut any = false;
    for holder in model.holders(kind) {
        any = true;
        let what = format!("{kind} {}", crate::flag::of_slot(slot));
        weighed.weigh(property, holder.trust(slot), &what, Trust::verifies, |_, holds| {
            if holds { format!("{what} is set") } else { format!("{what} is not set: nothing is verified") }
        });
    }
    if !any {
        weighed.tally(property).add(Tally::Unknown);
        weighed.note_missing(kind.to_string());
    }
}

/// Whether the server knows the client.
fn client(model: &ClusterModel, path: Path, weighed: &mut Weighed) {
    match path.client_credential() {
        ClientCredential::Certificate(_) if is_local(model, path) => weighed.client.add(Tally::Holds),
        ClientCredential::Certificate(leaf) => certificate(model, path, leaf, weighed),
        ClientCredential::BootstrapToken => {
            weighed.client.add(Tally::Holds);
            weighed.note("the client shows a bootstrap token".to_owned());
        }
        ClientCredential::ServiceAccountToken => {
            let automount = &model.pods.settings.automount;
            weighed.weigh(
                Property::AuthenticatesClient,
                automount,
                "service-account tokens",
                |_| true,
                |_, _| "the client shows a service-account token".to_owned(),
            );
        }
        // Anonymous, and whatever else shows nothing that is known here.
        _ => {
            weighed.client.add(Tally::Fails);
            weighed.note("the client shows nothing of itself".to_owned());
        }
    }
}

fn certificate(model: &ClusterModel, path: Path, leaf: LeafKind, weighed: &mut Weighed) {
    let mut any = false;
    for holder in model.holders(path.client()) {
        any = true;
        let what = format!("certificate {leaf} of {}", path.client());
        weighed.weigh(
            Property::AuthenticatesClient,
            holder.leaf(leaf),
            &what,
            |leaf| !matches!(leaf, Leaf::Nothing | Leaf::SelfSigned),
            |_, holds| if holds { format!("the client shows {leaf}") } else { format!("the client shows no {leaf}") },
        );
    }
    if !any {
        weighed.client.add(Tally::Unknown);
        weighed.note_missing(path.client().to_string());
    }
    // An aggregated API server reads what the API server publishes; it has no settings that are read here.
    let server = if path == Path::FrontProxy { ComponentKind::KubeApiServer } else { path.server() };
    let slot = if path == Path::FrontProxy { Some(TrustSlot::ApiServerRequestheaderCa) } else { path.server_trust() };
    if let Some(slot) = slot {
        trusts(model, server, slot, Property::AuthenticatesClient, weighed);
    }
    demands(model, path, weighed);
}

/// Whether the server insists on what the client shows.
fn demands(model: &ClusterModel, path: Path, weighed: &mut Weighed) {
    let property = Property::AuthenticatesClient;
    match path {
        Path::ApiEtcd | Path::EtcdHealth | Path::EtcdGateway => {
            for etcd in &model.etcd {
                let fact = &etcd.settings.client_cert_auth;
                weighed.weigh(
                    property,
                    fact,
                    "etcd --client-cert-auth",
                    |on| *on,
                    |_, holds| format!("etcd `--client-cert-auth={holds}`"),
                );
            }
        }
        Path::EtcdPeer => {
            for etcd in &model.etcd {
                let fact = &etcd.settings.peer_client_cert_auth;
                weighed.weigh(
                    property,
                    fact,
                    "etcd --peer-client-cert-auth",
                    |on| *on,
                    |_, holds| format!("etcd `--peer-client-cert-auth={holds}`"),
                );
            }
        }
        Path::ApiKubelet => {
            for kubelet in &model.kubelets {
                let settings = &kubelet.settings;
                weighed.weigh(
                    property,
                    &settings.anonymous_auth,
                    "kubelet authentication.anonymous.enabled",
                    |on| !on,
                    |on, _| format!("kubelet `authentication.anonymous.enabled: {on}`"),
                );
                let open = |mode: &AuthorizationMode| *mode == AuthorizationMode::AlwaysAllow;
                weighed.weigh(
                    property,
                    &settings.authorization_mode,
                    "kubelet authorization.mode",
                    |mode| !open(mode),
                    |mode, _| {
                        let mode = if open(mode) { "AlwaysAllow" } else { "Webhook" };
                        format!("kubelet `authorization.mode: {mode}`")
                    },
                );
            }
        }
        Path::KonnAgent => {
            for server in &model.konnectivity_servers {
                let fact = &server.settings.authenticates_agents;
                weighed.weigh(
                    property,
                    fact,
                    "whether agents are authenticated",
                    |on| *on,
                    |_, holds| if holds { "agents are authenticated" } else { "anybody may be an agent" }.to_owned(),
                );
            }
        }
        _ => {}
    }
}
