//! Konnectivity. What holds without a flag is from apiserver-network-proxy, `cmd/{server,agent}/app`.

use pki_core::{LeafKind, TrustSlot};

use super::program::Program;
use super::reader::Reader;
use crate::fact::Fact;
use crate::model::{Component, KonnectivityAgent, KonnectivityServer, Leaf, Transport, Trust};

pub(super) fn server(reader: &mut Reader<'_>, program: &Program) -> Component<KonnectivityServer> {
    let mut component = Component { name: program.machine.name.clone(), ..Component::default() };
    let given = |flag| program.flags.text(flag).map(|_| program.place(flag));
    // Towards agents and towards API servers it may show two; the one for agents is the one that leaves the machine.
    let shown = if given("cluster-cert").is_some() { "cluster-cert" } else { "server-cert" };
    component.leaves.insert(LeafKind::KonnectivityServer, program.leaf(reader, shown, Leaf::Nothing));
    program.flags.text("server-cert").into_iter().for_each(|name| program.uses(reader, name));
    for (slot, flag) in [
        (TrustSlot::KonnectivityServerAgentCa, "cluster-ca-cert"),
        (TrustSlot::KonnectivityServerClientCa, "server-ca-cert"),
    ] {
        component.trusts.insert(slot, program.trust(reader, flag, Trust::Nothing));
    }
    program.uses_kubeconfigs(reader, &["kubeconfig"]);
    // A bundle for agents makes their certificate a must; so does an audience for their token.
    let agents = given("cluster-ca-cert").or_else(|| given("authentication-audience"));
    let servers = given("server-ca-cert");
    component.settings = KonnectivityServer {
        authenticates_agents: agents.map_or(Fact::default_of(false), |place| Fact::observed(true, place)),
        server_transport: match (given("uds-name"), given("server-cert")) {
            (Some(place), _) => Fact::observed(Transport::UnixSocket, place),
            (None, Some(place)) => Fact::observed(Transport::Tls, place),
            (None, None) => Fact::default_of(Transport::Plain),
        },
        authenticates_api_servers: servers.map_or(Fact::default_of(false), |place| Fact::observed(true, place)),
    };
    component.tls = program.tls(reader);
    component.unknown = program.unknown();
    component
}

pub(super) fn agent(reader: &mut Reader<'_>, program: &Program) -> Component<KonnectivityAgent> {
    let mut component = Component { name: program.machine.name.clone(), ..Component::default() };
    component.leaves.insert(LeafKind::KonnectivityAgent, program.leaf(reader, "agent-cert", Leaf::Nothing));
    // In a pod the bundle is that of its service account, which is what pods are given.
    let trust = match program.flags.text("ca-cert") {
        Some(name) if name.starts_with("/var/run/secrets/kubernetes.io/serviceaccount/") => Fact::Missing,
        Some(_) => program.trust(reader, "ca-cert", Trust::Nothing),
        // Without one the agent does not start.
        None => Fact::Missing,
    };
    component.trusts.insert(TrustSlot::KonnectivityAgentCa, trust);
    let flag = "service-account-token-path";
    component.settings = KonnectivityAgent {
        sends_token: match program.flags.text(flag) {
            Some(_) => Fact::observed(true, program.place(flag)),
            None => Fact::default_of(false),
        },
    };
    component.unknown = program.unknown();
    component
}

/// Whether the bundle of an agent is the one that its pod is given.
pub(super) fn trusts_as_pods(program: &Program) -> bool {
    let name = program.flags.text("ca-cert");
    name.is_some_and(|name| name.starts_with("/var/run/secrets/kubernetes.io/serviceaccount/"))
}
