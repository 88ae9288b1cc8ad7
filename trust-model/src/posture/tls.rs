//! The paths that TLS protects.

use pki_core::{ClientCredential, ComponentKind, LeafKind, Path, TrustSlot};

use super::{Property, Tally, Weakened, Weighed, is_protected, loopback, tunnel};
use crate::channel::{Channel, Direction};
use crate::fact::Fact;
use crate::model::{ApiAccess, ApiServer, AuthorizationMode, ClusterModel, Egress, Leaf, Transport, Trust};

/// Weighs one path over all who talk on it.
pub(super) fn weigh(model: &ClusterModel, path: Path, weakened: Weakened<'_>) -> Weighed {
    if let Some((why, asserted)) = absent(model, path) {
        return Weighed::absent(why, asserted);
    }
    let mut weighed = Weighed::default();
    encryption(model, path, &mut weighed);
    // Who calls the insecure port shows nothing and verifies nothing.
    if !is_insecure(model, path) {
        server(model, path, &mut weighed);
        client(model, path, &mut weighed);
    }
    match path {
        Path::ApiKubelet | Path::ApiProxyHttps => weighed.enclosure = tunnel(model, weakened),
        Path::KcmApi | Path::SchedApi if is_insecure(model, path) => weighed.enclosure = loopback(model),
        _ => {}
    }
    let is_within = Channel::Tls(path).spec().direction() == Direction::WithinControlPlane;
    if is_within && model.infrastructure.control_plane_is_confined.value() == Some(&true) {
        weighed.note("the control plane's own traffic stays in a network that nobody else reaches".to_owned());
    }
    weighed
}

/// Why the cluster does not have the path, and whether that is only somebody's word.
pub(super) fn absent(model: &ClusterModel, path: Path) -> Option<(String, bool)> {
    fn when<T>(fact: &Fact<T>, is_absent: impl FnOnce(&T) -> bool, why: &str) -> Option<(String, bool)> {
        fact.value().is_some_and(is_absent).then(|| (why.to_owned(), fact.is_declared()))
    }
    fn when_every<T: PartialEq>(
        model: &ClusterModel,
        of: impl Fn(&ApiServer) -> &Fact<T>,
        value: &T,
        why: &str,
    ) -> Option<(String, bool)> {
        let mut facts = model.api_servers.iter().map(|api| of(&api.settings)).peekable();
        let asserted = model.api_servers.iter().any(|api| of(&api.settings).is_declared());
        (facts.peek().is_some() && facts.all(|fact| fact.value() == Some(value))).then(|| (why.to_owned(), asserted))
    }
    let infrastructure = &model.infrastructure;
    match path {
        Path::KonnAgent | Path::KonnKas => {
            when_every(model, |api| &api.egress, &Egress::Direct, "the API server reaches nodes directly")
        }
        Path::NodeBootstrap => {
            when_every(model, |api| &api.bootstrap_tokens, &false, "bootstrap tokens are switched off")
        }
        Path::CpInternal => when_every(model, |api| &api.calls_peers, &false, "no replica calls another"),
        Path::EtcdPeer => {
            when(&infrastructure.etcd_replicates, |on| !on, "the database has no members that talk to each other")
        }
        Path::Webhook => when(&model.webhooks, Vec::is_empty, "there are no webhooks"),
        Path::FrontProxy => when(&model.api_services, Vec::is_empty, "there are no aggregated APIs"),
        Path::ApiProxyHttps => when(&infrastructure.proxy_is_used, |used| !used, "nobody uses the proxy verb"),
        _ => None,
    }
}

/// How components of the control plane call the API server.
fn accesses(model: &ClusterModel, path: Path) -> Vec<&Fact<ApiAccess>> {
    match path {
        Path::KcmApi => model.controller_managers.iter().map(|one| &one.settings.access).collect(),
        Path::SchedApi => model.schedulers.iter().map(|one| &one.settings.access).collect(),
        _ => Vec::new(),
    }
}

/// Whether all of them call the insecure port.
fn is_insecure(model: &ClusterModel, path: Path) -> bool {
    let accesses = accesses(model, path);
    !accesses.is_empty() && accesses.iter().all(|access| access.value() == Some(&ApiAccess::Insecure))
}

fn encryption(model: &ClusterModel, path: Path, weighed: &mut Weighed) {
    let transports: Vec<(Fact<Transport>, &str)> = match path {
        Path::ApiEtcd => {
            let dialled = model.api_servers.iter().map(|api| (api.settings.etcd_transport.clone(), "--etcd-servers"));
            // What else the port speaks weakens it too.
            let served = model.etcd.iter().map(|etcd| (etcd.settings.client_transport.clone(), "--listen-client-urls"));
            dialled.chain(served).collect()
        }
        Path::EtcdHealth | Path::EtcdGateway => {
            model.etcd.iter().map(|etcd| (etcd.settings.client_transport.clone(), "--listen-client-urls")).collect()
        }
        Path::EtcdPeer => {
            model.etcd.iter().map(|etcd| (etcd.settings.peer_transport.clone(), "--listen-peer-urls")).collect()
        }
        Path::KonnKas => tunnel_transports(model),
        Path::KcmApi | Path::SchedApi => {
            for access in accesses(model, path) {
                weighed.weigh(
                    Property::Encrypts,
                    access,
                    format_args!("how {} calls the API server", path.client()),
                    |access| *access == ApiAccess::Secure,
                    |_, holds| {
                        format!("{} calls the {} port", path.client(), if holds { "secure" } else { "insecure" })
                    },
                );
            }
            if accesses(model, path).is_empty() {
                weighed.encrypts.add(Tally::Unknown);
            }
            return;
        }
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
            &transport,
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

/// How API servers reach the Konnectivity server, as each end says. Whoever reaches nodes directly is not asked.
fn tunnel_transports(model: &ClusterModel) -> Vec<(Fact<Transport>, &'static str)> {
    let clients = model.api_servers.iter().filter_map(|api| match &api.settings.egress {
        Fact::Missing => Some(Fact::Missing),
        Fact::Known { value: Egress::Konnectivity(transport), origin } => {
            Some(Fact::Known { value: *transport, origin: origin.clone() })
        }
        Fact::Known { value: Egress::Direct, .. } => None,
    });
    let servers = model.konnectivity_servers.iter().map(|server| server.settings.server_transport.clone());
    clients
        .map(|transport| (transport, "EgressSelectorConfiguration"))
        .chain(servers.map(|transport| (transport, "the Konnectivity server's own port")))
        .collect()
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
    let transports = if path == Path::KonnKas { tunnel_transports(model) } else { Vec::new() };
    !transports.is_empty() && transports.iter().all(|(transport, _)| transport.value() == Some(&Transport::UnixSocket))
}

/// Facts without those that say what the one before says, with as much behind it: to weigh them again changes nothing,
/// and thousands of nodes mostly have the same.
fn distinct<'f, T: PartialEq + 'f>(facts: impl Iterator<Item = &'f Fact<T>>) -> impl Iterator<Item = &'f Fact<T>> {
    distinct_by(facts, T::eq)
}

fn distinct_by<'f, T: 'f>(
    facts: impl Iterator<Item = &'f Fact<T>>,
    alike: impl Fn(&T, &T) -> bool,
) -> impl Iterator<Item = &'f Fact<T>> {
    let mut previous: Option<&Fact<T>> = None;
    facts.filter(move |fact| {
        let is_same = previous.is_some_and(|previous| {
            let same_value = match (previous.value(), fact.value()) {
                (None, None) => true,
                (Some(one), Some(other)) => alike(one, other),
                (Some(_), None) | (None, Some(_)) => false,
            };
            same_value && previous.is_declared() == fact.is_declared()
        });
        previous = Some(fact);
        !is_same
    })
}

fn trusts(model: &ClusterModel, kind: ComponentKind, slot: TrustSlot, property: Property, weighed: &mut Weighed) {
    let mut any = false;
    let what = format!("{kind} {}", crate::flag::of_slot(slot));
    for trust in distinct(model.holders(kind).map(|holder| holder.trust(slot)).inspect(|_| any = true)) {
        weighed.weigh(property, trust, &what, Trust::verifies, |trust, holds| {
            if holds { format!("{what} holds {trust}") } else { format!("{what} holds nothing: nobody is verified") }
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
        ClientCredential::Certificate(leaf) if path == Path::KonnAgent => agent(model, leaf, weighed),
        ClientCredential::Certificate(leaf) => certificate(model, path, leaf, weighed),
        ClientCredential::BootstrapToken => {
            let tokens = || model.api_servers.iter().map(|api| &api.settings.bootstrap_tokens);
            if tokens().next().is_none() {
                weighed.client.add(Tally::Unknown);
            }
            for token in tokens() {
                weighed.weigh(
                    Property::AuthenticatesClient,
                    token,
                    "kube-apiserver --enable-bootstrap-token-auth",
                    |_| true,
                    |_, _| "the client shows a bootstrap token".to_owned(),
                );
            }
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

/// An agent shows a certificate or a service-account token; the server must ask for one of them.
fn agent(model: &ClusterModel, leaf: LeafKind, weighed: &mut Weighed) {
    let property = Property::AuthenticatesClient;
    let issued = |leaf: &Leaf| !matches!(leaf, Leaf::Nothing | Leaf::SelfSigned);
    let mut any_certificate = model.konnectivity_agents.is_empty();
    for agent in &model.konnectivity_agents {
        let token = &agent.settings.sends_token;
        if token.value() == Some(&true) {
            let why = |_: &bool, _| "the agent sends a service-account token".to_owned();
            weighed.weigh(property, token, "konnectivity-agent", |_| true, why);
            continue;
        }
        any_certificate = true;
        // An agent that shows no certificate may still send a token.
        let shown = agent.leaf(leaf);
        let shown = if shown.value().is_some_and(issued) || token.value().is_some() { shown } else { &Fact::Missing };
        weighed.weigh(property, shown, "what the Konnectivity agent shows", issued, |_, holds| {
            let article = if holds { "a" } else { "neither a token nor a" };
            format!("the agent shows {article} certificate")
        });
    }
    if any_certificate {
        trusts(model, ComponentKind::KonnectivityServer, TrustSlot::KonnectivityServerAgentCa, property, weighed);
    } else if model.konnectivity_servers.is_empty() {
        weighed.client.add(Tally::Unknown);
        weighed.note_missing(ComponentKind::KonnectivityServer.to_string());
    }
    demands(model, Path::KonnAgent, weighed);
}

fn certificate(model: &ClusterModel, path: Path, leaf: LeafKind, weighed: &mut Weighed) {
    let mut any = false;
    let what = format!("certificate {leaf} of {}", path.client());
    let shown = model.holders(path.client()).map(|holder| holder.leaf(leaf)).inspect(|_| any = true);
    // Certificates differ; that somebody shows one does not.
    let alike = |one: &Leaf, other: &Leaf| match (one, other) {
        (Leaf::Chain(_), Leaf::Chain(_)) => true,
        (one, other) => one == other,
    };
    for shown in distinct_by(shown, alike) {
        weighed.weigh(
            Property::AuthenticatesClient,
            shown,
            &what,
            |leaf| !matches!(leaf, Leaf::Nothing | Leaf::SelfSigned),
            |shown, holds| match shown {
                Leaf::IssuedBy(role) => format!("the client shows {leaf} of the authority `{role}`"),
                _ if holds => format!("the client shows {leaf}"),
                _ => format!("the client shows no {leaf} that an authority issued"),
            },
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
            for fact in distinct(model.kubelets.iter().map(|kubelet| &kubelet.settings.anonymous_auth)) {
                weighed.weigh(
                    property,
                    fact,
                    "kubelet authentication.anonymous.enabled",
                    |on| !on,
                    |on, _| format!("kubelet `authentication.anonymous.enabled: {on}`"),
                );
            }
            for fact in distinct(model.kubelets.iter().map(|kubelet| &kubelet.settings.authorization_mode)) {
                let open = |mode: &AuthorizationMode| *mode == AuthorizationMode::AlwaysAllow;
                weighed.weigh(
                    property,
                    fact,
                    "kubelet authorization.mode",
                    |mode| !open(mode),
                    |mode, _| {
                        let mode = if open(mode) { "everything" } else { "only what is asked for and granted" };
                        format!("kubelet `authorization.mode` allows {mode}")
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
        Path::KonnKas => {
            for server in &model.konnectivity_servers {
                let fact = &server.settings.authenticates_api_servers;
                weighed.weigh(
                    property,
                    fact,
                    "whether the Konnectivity server authenticates API servers",
                    |on| *on,
                    |_, holds| {
                        if holds { "API servers are authenticated" } else { "anybody may send as an API server" }
                            .to_owned()
                    },
                );
            }
        }
        _ => {}
    }
}
