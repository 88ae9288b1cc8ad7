//! A whole model as text: every field, with how it is known. What differs from run to run is left out.

use core::fmt::{Debug, Write as _};

use trust_model::Fact;
use trust_model::model::{
    ApiServer, Bundle, ClusterModel, Component, ControllerManager, Etcd, Infrastructure, KonnectivityAgent,
    KonnectivityServer, Kubelet, Leaf, Pods, Scheduler, Trust,
};

fn plain<T: Debug>(fact: &Fact<T>) -> String {
    with(fact, |value| format!("{value:?}"))
}

fn with<T>(fact: &Fact<T>, show: impl Fn(&T) -> String) -> String {
    match fact {
        Fact::Missing => "missing".to_owned(),
        Fact::Known { value, origin } => format!("{} <- {origin}", show(value)),
    }
}

fn bundle(bundle: &Bundle) -> String {
    let all: Vec<_> =
        bundle.certificates().iter().map(|one| format!("{} at {}", one.view().subject.text, one.place())).collect();
    format!("[{}]", all.join("; "))
}

fn trust(trust: &Trust) -> String {
    match trust {
        Trust::Bundle(one) => bundle(one),
        Trust::Keys(_) => "keys".to_owned(),
        other => format!("{other:?}"),
    }
}

fn leaf(leaf: &Leaf) -> String {
    match leaf {
        Leaf::Chain(chain) => bundle(&Bundle::new(chain.clone())),
        other => format!("{other:?}"),
    }
}

macro_rules! fields {
    ($text:expr, $settings:expr, $kind:ident { $($field:ident),* $(,)? }) => {{
        // Without `..`: a field that is new has to be named.
        let $kind { $($field),* } = $settings;
        $(writeln!($text, "  {}: {}", stringify!($field), plain($field)).unwrap();)*
    }};
}

fn component<S>(text: &mut String, kind: &str, component: &Component<S>, settings: impl Fn(&mut String, &S)) {
    let Component { name, leaves, trusts, tls, settings: own, unknown, .. } = component;
    writeln!(text, "{kind} `{name}`").unwrap();
    for (kind, fact) in leaves {
        writeln!(text, "  leaf {kind}: {}", with(fact, leaf)).unwrap();
    }
    for (slot, fact) in trusts {
        writeln!(text, "  trust {slot:?}: {}", with(fact, trust)).unwrap();
    }
    writeln!(text, "  tls: {}", with(tls, ToString::to_string)).unwrap();
    settings(text, own);
    for one in unknown {
        writeln!(text, "  unknown {} at {}", one.name, one.place).unwrap();
    }
}

pub(crate) fn render(model: &ClusterModel) -> String {
    let mut text = format!("cluster `{}`\n", model.name);
    let out = &mut text;
    for one in &model.api_servers {
        component(out, "kube-apiserver", one, |text, settings| {
            fields!(
                text,
                settings,
                ApiServer {
                    anonymous_auth,
                    authorization_modes,
                    insecure_port,
                    requestheader_allowed_names,
                    etcd_transport,
                    egress,
                    bootstrap_tokens,
                    calls_peers,
                }
            );
        });
    }
    for one in &model.controller_managers {
        component(out, "kube-controller-manager", one, |text, settings| {
            fields!(text, settings, ControllerManager { access, signing_certificates });
        });
    }
    for one in &model.schedulers {
        component(out, "kube-scheduler", one, |text, settings| fields!(text, settings, Scheduler { access }));
    }
    for one in &model.etcd {
        component(out, "etcd", one, |text, settings| {
            fields!(
                text,
                settings,
                Etcd {
                    client_transport,
                    peer_transport,
                    client_cert_auth,
                    peer_client_cert_auth,
                    auto_tls,
                    peer_auto_tls
                }
            );
        });
    }
    for one in &model.kubelets {
        component(out, "kubelet", one, |text, settings| {
            fields!(
                text,
                settings,
                Kubelet {
                    anonymous_auth,
                    authorization_mode,
                    read_only_port,
                    server_tls_bootstrap,
                    rotate_certificates,
                }
            );
        });
    }
    for one in &model.konnectivity_servers {
        component(out, "konnectivity-server", one, |text, settings| {
            fields!(
                text,
                settings,
                KonnectivityServer { authenticates_agents, server_transport, authenticates_api_servers }
            );
        });
    }
    for one in &model.konnectivity_agents {
        component(out, "konnectivity-agent", one, |text, settings| {
            fields!(text, settings, KonnectivityAgent { sends_token });
        });
    }
    model.etcd_probes.iter().for_each(|one| component(out, "etcd-probe", one, |_, ()| {}));
    model.external_clients.iter().for_each(|one| component(out, "external", one, |_, ()| {}));
    component(out, "pods", &model.pods, |text, settings| fields!(text, settings, Pods { automount }));
    let callers = |all: &[(String, String)]| format!("{all:?}");
    let webhooks =
        model.webhooks.map(|all| all.iter().map(|one| (one.name.to_string(), trust(&one.trust))).collect::<Vec<_>>());
    writeln!(out, "webhooks: {}", with(&webhooks, |all| callers(all))).unwrap();
    let services = model
        .api_services
        .map(|all| all.iter().map(|one| (one.name.to_string(), trust(&one.trust))).collect::<Vec<_>>());
    writeln!(out, "api services: {}", with(&services, |all| callers(all))).unwrap();
    writeln!(out, "csr signing: {}", plain(&model.csr_signing)).unwrap();
    writeln!(out, "ssh tunnels: {}", plain(&model.ssh_tunnels)).unwrap();
    for (role, fact) in &model.authorities {
        let show = with(fact, |one| format!("{} retired {:?}", bundle(&Bundle::new(one.live.clone())), one.retired));
        writeln!(out, "authority {role}: {show}").unwrap();
    }
    writeln!(out, "other clusters: {}", model.other_clusters.value().is_some()).unwrap();
    model.unclaimed.iter().flatten().for_each(|one| writeln!(out, "unclaimed {}", leaf(one)).unwrap());
    for key in &model.keys {
        writeln!(out, "key at {} mode {}", key.place, with(&key.mode, |mode| format!("{mode:o}"))).unwrap();
    }
    fields!(
        out,
        &model.infrastructure,
        Infrastructure {
            node_node,
            pod_pod_across_nodes,
            pod_pod_on_node,
            control_plane_is_confined,
            bootstrap_secret_is_readable_by_pods,
            proxy_is_used,
            etcd_replicates,
            network_policies,
        }
    );
    model.broken.iter().for_each(|one| writeln!(out, "broken {}: {}", one.place, one.reason).unwrap());
    text
}
