//! kube-controller-manager and kube-scheduler. What holds without a flag is from `cmd/<component>/app/options`.

use std::collections::BTreeSet;

use pki_core::{LeafKind, TrustSlot};

use super::kubeconfig::{Kubeconfig, is_plain_url};
use super::program::{Program, item};
use super::reader::{Machine, Reader};
use super::yaml::text;
use crate::fact::Fact;
use crate::model::{ApiAccess, Component, ControllerManager, CsrSigning, Scheduler, Trust};

/// The files in which the signer may have its certificate: one for all requests, or one for each signer.
pub(super) const SIGNING_FLAGS: [&str; 5] = [
    "cluster-signing-cert-file",
    "cluster-signing-kube-apiserver-client-cert-file",
    "cluster-signing-kubelet-client-cert-file",
    "cluster-signing-kubelet-serving-cert-file",
    "cluster-signing-legacy-unknown-cert-file",
];

/// How the API server is called.
fn access<S>(
    component: &mut Component<S>,
    kubeconfig: Option<&Kubeconfig>,
    (leaf, slot): (LeafKind, TrustSlot),
    master: Option<(&str, crate::fact::Place)>,
    at: crate::fact::Place,
) -> Fact<ApiAccess> {
    if let Some(kubeconfig) = kubeconfig {
        component.leaves.insert(leaf, kubeconfig.leaf.clone());
        component.trusts.insert(slot, kubeconfig.trust.clone());
    }
    let of = |is_plain| if is_plain { ApiAccess::Insecure } else { ApiAccess::Secure };
    match (master, kubeconfig.and_then(|kubeconfig| kubeconfig.is_plain)) {
        // It wins over the server of the kubeconfig.
        (Some((master, place)), _) => Fact::observed(of(is_plain_url(master, kubeconfig.is_some())), place),
        (None, Some(is_plain)) => Fact::observed(of(is_plain), at),
        (None, None) => Fact::Missing,
    }
}

fn master(program: &Program) -> Option<(&str, crate::fact::Place)> {
    program.flags.text("master").map(|master| (master, program.place("master")))
}

/// What kube-controller-manager says about itself and about others.
pub(super) struct Controller {
    pub(super) component: Component<ControllerManager>,
    /// What it publishes to pods.
    pub(super) root: Fact<Trust>,
    pub(super) csr_signing: Fact<CsrSigning>,
    /// The files of the signer.
    pub(super) signing: Vec<String>,
}

pub(super) fn controller_manager(reader: &mut Reader<'_>, program: &Program) -> Controller {
    let mut component = Component { name: program.machine.name.clone(), ..Component::default() };
    let path = program.file(reader, "kubeconfig");
    let kubeconfig = path.and_then(|path| Kubeconfig::read(reader, &program.machine, &path));
    let ends = (LeafKind::ControllerManager, TrustSlot::ControllerManagerKubeconfigCa);
    let access = access(&mut component, kubeconfig.as_ref(), ends, master(program), program.place("kubeconfig"));
    program.uses_kubeconfigs(reader, &["authentication-kubeconfig", "authorization-kubeconfig"]);
    program.flags.text("tls-cert-file").into_iter().for_each(|name| program.uses(reader, name));
    let (mut signing, mut count) = (BTreeSet::new(), Fact::Missing);
    let mut is_complete = true;
    for flag in SIGNING_FLAGS.into_iter().filter(|flag| program.flags.text(flag).is_some()) {
        let Some(path) = program.file(reader, flag) else {
            is_complete = false;
            continue;
        };
        match reader.certificates(&path).map(|bundle| bundle.certificates().len()) {
            Some(found) if count.value().is_none_or(|most| *most < found) => {
                count = Fact::observed(found, program.place(flag));
            }
            Some(_) => {}
            None => is_complete = false,
        }
        signing.insert(path);
    }
    component.settings = ControllerManager {
        access,
        signing_certificates: if is_complete || count.value().is_some_and(|count| *count > 1) {
            count
        } else {
            Fact::Missing
        },
    };
    let controllers = program.flags.elements("controllers");
    // An asterisk means all that are on by default, as signing is.
    let signs = controllers.as_ref().is_none_or(|names| {
        let is_named = |name: &str| names.contains(&name);
        !is_named("-csrsigning")
            && !is_named("-certificatesigningrequest-signing-controller")
            && (is_named("*") || is_named("csrsigning") || is_named("certificatesigningrequest-signing-controller"))
    });
    let flag = SIGNING_FLAGS.into_iter().find(|flag| program.flags.text(flag).is_some());
    let csr_signing = match flag {
        Some(flag) if signs => Fact::observed(CsrSigning::InProcess, program.place(flag)),
        _ => Fact::Missing,
    };
    let root = match (program.flags.text("root-ca-file"), &kubeconfig) {
        (Some(name), _) => reader.trust(&program.source, &item("root-ca-file"), name),
        // Without a file, what stands in the kubeconfig itself is published.
        (None, Some(kubeconfig)) if kubeconfig.embeds_trust => kubeconfig.trust.clone(),
        (None, _) => Fact::Missing,
    };
    component.tls = program.tls(reader);
    component.unknown = program.unknown();
    Controller { component, root, csr_signing, signing: signing.into_iter().collect() }
}

pub(super) fn scheduler(reader: &mut Reader<'_>, program: &Program) -> Component<Scheduler> {
    let mut component = Component { name: program.machine.name.clone(), ..Component::default() };
    // With `--config`, `--kubeconfig` and `--master` are not looked at.
    let has_config = program.flags.text("config").is_some();
    let path = if has_config {
        let path = program.file(reader, "config");
        let document = path.and_then(|path| reader.document(&path, "KubeSchedulerConfiguration"));
        let name = document.as_ref().and_then(|document| text(document, &["clientConnection", "kubeconfig"]));
        name.and_then(|name| reader.named(&program.source, "clientConnection.kubeconfig", name))
    } else {
        program.file(reader, "kubeconfig")
    };
    let kubeconfig = path.and_then(|path| Kubeconfig::read(reader, &program.machine, &path));
    let ends = (LeafKind::Scheduler, TrustSlot::SchedulerKubeconfigCa);
    let (flag, master) = if has_config { ("config", None) } else { ("kubeconfig", master(program)) };
    let access = access(&mut component, kubeconfig.as_ref(), ends, master, program.place(flag));
    program.uses_kubeconfigs(reader, &["authentication-kubeconfig", "authorization-kubeconfig"]);
    program.flags.text("tls-cert-file").into_iter().for_each(|name| program.uses(reader, name));
    component.settings = Scheduler { access };
    component.tls = program.tls(reader);
    component.unknown = program.unknown();
    component
}

/// A component of which only the kubeconfig is there.
pub(super) fn by_kubeconfig<S: Default>(
    reader: &mut Reader<'_>,
    machine: &Machine,
    path: &str,
    ends: (LeafKind, TrustSlot),
) -> Option<(Component<S>, Fact<ApiAccess>)> {
    let kubeconfig = Kubeconfig::read(reader, machine, path)?;
    let mut component = Component { name: machine.name.clone(), ..Component::default() };
    let place = crate::fact::Place::item(super::files::shown(path), "server");
    let access = access(&mut component, Some(&kubeconfig), ends, None, place);
    Some((component, access))
}
