//! The model of a cluster from the files of its machines.
//!
//! Everything is read from named octets ([`Files`]); with the feature `fs`, `Files::read_dir` takes them from a directory.
//! Nothing is looked up elsewhere, so that the tree of another machine is read like one's own.
//!
//! # The tree
//! The root is a machine's `/etc/kubernetes`, as kubeadm lays it out and `pki_core::Layout` names it:
//!
//! | Path | What it is |
//! |---|---|
//! | `manifests/*.yaml` | static pods. What kubeadm keeps of former times in `tmp/` is not read as one |
//! | `pki/**` | certificates, bundles, keys, `sa.pub` |
//! | `admin.conf`, `super-admin.conf`, `kubelet.conf`, `controller-manager.conf`, `scheduler.conf`, … | kubeconfigs |
//! | `kubelet/**` or `var/lib/kubelet/**` | what the machine has in `/var/lib/kubelet`; `kubelet-config.yaml` for its `config.yaml` |
//! | `*.cmdline` | the command line of a component: words of a shell, or `/proc/<pid>/cmdline` |
//! | any other `*.yaml`, `*.yml`, `*.json` | webhook configurations, `APIService`s and workloads, in documents or lists |
//! | `nodes/<name>/**` | the same of another machine: a node, or another control plane |
//! | any other | found where something names it by its absolute path, which begins at the root |
//!
//! A name in a flag, a field or a kubeconfig is resolved on its own machine, through the mounts of the container in which
//! it stands. One that is not among the files leaves a fact missing, and is named in [`ClusterModel::broken`].
//!
//! # What it does not say
//! What was not read is missing. What a component does where a flag is absent is known only when its command line or its
//! configuration was read; a machine of which only certificates are there has no defaults.

mod api_server;
mod authorities;
mod control_plane;
mod etcd;
mod files;
mod flags;
mod konnectivity;
mod kubeconfig;
mod kubelet;
mod objects;
mod program;
mod reader;
mod tables;
#[cfg(feature = "fs")]
mod walk;
mod yaml;

use pki_core::{ComponentKind, LeafKind, TrustSlot};

use self::files::shown;
use self::kubeconfig::Kubeconfig;
use self::objects::Objects;
use self::program::Program;
use self::reader::{Machine, Reader, chain};
use crate::fact::{Fact, Place};
use crate::model::{ClusterModel, Component, ControllerManager, Scheduler};

pub use self::files::{Files, FilesError, ObserveLimits};

/// What stands before the name of another machine.
const NODES: &str = "nodes/";

/// The model of what these files say. What cannot be read is in [`ClusterModel::broken`], and stops nothing else.
#[must_use]
pub fn observe(files: &Files, limits: &ObserveLimits) -> ClusterModel {
    let mut reader = Reader::new(files, limits);
    if files.len() > limits.files_max {
        let reason = format!("{} files, limit {}: none was read", files.len(), limits.files_max);
        reader.broken(Place::file("."), reason);
        return ClusterModel { broken: reader.into_broken(), ..ClusterModel::default() };
    }
    let mut machines: Vec<Machine> = Vec::new();
    for path in files.paths() {
        let prefix = prefix_of(path);
        // Paths come in order, but those of the root stand on both sides of the nodes.
        if let Err(place) = machines.binary_search_by(|machine| machine.prefix.as_str().cmp(prefix)) {
            let name = prefix.strip_prefix(NODES).map(|name| shown(name.trim_end_matches('/'))).unwrap_or_default();
            machines.insert(place, Machine { name, prefix: prefix.to_owned() });
        }
    }
    for machine in machines.iter_mut().filter(|machine| machine.prefix.is_empty()) {
        machine.name = kubelet::node_name(&mut reader, machine).unwrap_or_default();
    }
    let (mut programs, mut objects) = (Vec::new(), Objects::new());
    for path in files.paths() {
        let prefix = prefix_of(path);
        let found = machines.binary_search_by(|machine| machine.prefix.as_str().cmp(prefix)).ok();
        let Some(machine) = found.and_then(|found| machines.get(found)) else { continue };
        programs.extend(programs_of(&mut reader, machine, path, &mut objects));
    }
    assemble(reader, &machines, programs, objects)
}

/// The model of what one command line says, such as `kube-apiserver --anonymous-auth=false`. There are no files beside
/// it, so that everything that it names is missing. `place` is what a report calls it.
#[must_use]
pub fn observe_command_line(text: &str, place: &str, limits: &ObserveLimits) -> ClusterModel {
    let files = Files::new();
    let mut reader = Reader::new(&files, limits);
    let machine = Machine { name: String::new(), prefix: String::new() };
    let program = if text.len() > limits.file_len_max {
        reader.broken(Place::file(shown(place)), format!("{} octets, limit {}", text.len(), limits.file_len_max));
        None
    } else {
        program::of_command_line(&mut reader, &machine, place, text)
    };
    assemble(reader, &[machine], program.into_iter().collect(), Objects::new())
}

/// Whose file this is: the directory of another machine, or nothing for the root.
fn prefix_of(path: &str) -> &str {
    let name = path.strip_prefix(NODES).and_then(|rest| rest.split_once('/')).map(|(name, _)| name);
    name.and_then(|name| path.get(..NODES.len() + name.len() + 1)).unwrap_or_default()
}

/// Whether a file of this name is YAML, or JSON, which is YAML too.
fn is_yaml(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
    matches!(ending, "yaml" | "yml" | "json" | "conf" | "kubeconfig")
}

/// Files of other programs end in `.conf` too.
fn may_be_yaml(reader: &mut Reader<'_>, path: &str) -> bool {
    const KUBEADMS: [&str; 6] =
        ["admin", "super-admin", "kubelet", "controller-manager", "scheduler", "bootstrap-kubelet"];
    let Some(stem) = path.rsplit('/').next().and_then(|name| name.strip_suffix(".conf")) else { return true };
    let names_clusters = |octets: &[u8]| octets.windows(8).any(|window| window == b"clusters");
    KUBEADMS.contains(&stem) || reader.octets(path).is_some_and(names_clusters)
}

/// What a file starts, and the objects that it holds.
fn programs_of(reader: &mut Reader<'_>, machine: &Machine, path: &str, objects: &mut Objects) -> Vec<Program> {
    let own = path.strip_prefix(machine.prefix.as_str()).unwrap_or(path);
    if authorities::is_former(own) {
        return Vec::new();
    }
    if own.ends_with(".cmdline") {
        let Some(octets) = reader.octets(path) else { return Vec::new() };
        return match core::str::from_utf8(octets) {
            Ok(line) => program::of_command_line(reader, machine, path, line).into_iter().collect(),
            Err(_) => {
                reader.broken(Place::file(shown(path)), "not UTF-8");
                Vec::new()
            }
        };
    }
    if matches!(own, "kubelet/kubeadm-flags.env" | "var/lib/kubelet/kubeadm-flags.env") {
        return kubeadm_flags(reader, machine, path).into_iter().collect();
    }
    let static_pod = own.strip_prefix("manifests/");
    // The kubelet passes by what is hidden, and what is in directories (`pkg/kubelet/config/file.go`).
    let is_static = static_pod.is_some_and(|name| !name.contains('/') && !name.starts_with('.'));
    let is_read = if static_pod.is_some() { is_static } else { is_yaml(own) };
    if !is_read || !may_be_yaml(reader, path) {
        return Vec::new();
    }
    let mut programs = Vec::new();
    for document in reader.documents(path).iter() {
        objects.read(reader, path, document);
        let items = yaml::list(document, &["items"]).filter(|_| yaml::kind(document).ends_with("List"));
        for object in core::iter::once(document).chain(items) {
            let pod = if is_static && yaml::kind(object) == "Pod" {
                yaml::at(object, &["spec"])
            } else {
                program::template(object)
            };
            programs.extend(pod.into_iter().flat_map(|spec| program::of_pod(reader, machine, path, spec)));
        }
    }
    programs
}

/// The flags that kubeadm gives to a kubelet beside those of its unit, which names the files of the kubelet's directory
/// (`cmd/kubeadm/app/phases/kubelet/flags.go`).
fn kubeadm_flags(reader: &mut Reader<'_>, machine: &Machine, path: &str) -> Option<Program> {
    let text = core::str::from_utf8(reader.octets(path)?).ok()?;
    let flags = text.lines().find_map(|line| line.trim().strip_prefix("KUBELET_KUBEADM_ARGS="))?;
    let line = format!("kubelet {}", flags.trim_matches('"'));
    let mut program = program::of_command_line(reader, machine, path, &line)?;
    program.flags.fall_back("config", "/var/lib/kubelet/config.yaml");
    Some(program)
}

fn assemble(
    mut reader: Reader<'_>,
    machines: &[Machine],
    mut programs: Vec<Program>,
    objects: Objects,
) -> ClusterModel {
    let reader_mut = &mut reader;
    let mut model = ClusterModel::default();
    let mut signing = Vec::new();
    let (mut kubelets, mut others): (Vec<_>, Vec<_>) =
        programs.drain(..).partition(|program| program.kind == ComponentKind::Kubelet);
    for program in &mut others {
        match program.kind {
            ComponentKind::KubeApiServer => model.api_servers.push(api_server::observe(reader_mut, program)),
            ComponentKind::ControllerManager => {
                let controller = control_plane::controller_manager(reader_mut, program);
                model.controller_managers.push(controller.component);
                signing.extend(controller.signing);
                first(&mut model.csr_signing, controller.csr_signing);
                let root = model.pods.trusts.entry(TrustSlot::PodRootCa).or_default();
                first(root, controller.root);
                if let Some(name) = program.flags.text("cluster-name").filter(|_| model.name.is_empty()) {
                    model.name = shown(name);
                }
            }
            ComponentKind::Scheduler => model.schedulers.push(control_plane::scheduler(reader_mut, program)),
            ComponentKind::Etcd => model.etcd.push(etcd::observe(reader_mut, program)),
            ComponentKind::KonnectivityServer => {
                model.konnectivity_servers.push(konnectivity::server(reader_mut, program));
            }
            ComponentKind::KonnectivityAgent => {
                model.konnectivity_agents.push(konnectivity::agent(reader_mut, program));
            }
            _ => {}
        }
    }
    let agents = others.iter().filter(|program| program.kind == ComponentKind::KonnectivityAgent);
    for (agent, program) in model.konnectivity_agents.iter_mut().zip(agents) {
        if konnectivity::trusts_as_pods(program) {
            let root = model.pods.trusts.get(&TrustSlot::PodRootCa).cloned().unwrap_or_default();
            agent.trusts.insert(TrustSlot::KonnectivityAgentCa, root);
        }
    }
    let mut merged: std::collections::BTreeMap<String, Program> = std::collections::BTreeMap::new();
    for program in kubelets.drain(..) {
        match merged.get_mut(&program.machine.prefix) {
            // Flags of its unit win over those in the file of kubeadm, which comes first by its name or not at all.
            Some(known) if known.source.file.ends_with(".cmdline") => {
                let line = core::mem::replace(&mut known.flags, program.flags);
                known.flags.overlay(line);
            }
            Some(known) => known.flags.overlay(program.flags),
            None => {
                merged.insert(program.machine.prefix.clone(), program);
            }
        }
    }
    for machine in machines {
        let program = merged.get(&machine.prefix);
        model.kubelets.extend(kubelet::observe(reader_mut, machine, program));
        let here = |kind| {
            others.iter().filter(move |program| program.kind == kind && program.machine.prefix == machine.prefix)
        };
        without_programs(reader_mut, machine, &mut model, |kind| here(kind).next().is_some());
        let etcds: Vec<_> = here(ComponentKind::Etcd).collect();
        model.etcd_probes.extend(etcd::probe(reader_mut, machine, &etcds));
        for (name, leaf) in [("admin", LeafKind::Admin), ("super-admin", LeafKind::SuperAdmin)] {
            let path = format!("{}{name}.conf", machine.prefix);
            if reader_mut.files.get(&path).is_none() {
                continue;
            }
            let name = if machine.prefix.is_empty() { name.to_owned() } else { format!("{} {name}", machine.name) };
            let mut component = Component { name, ..Component::default() };
            if let Some(kubeconfig) = Kubeconfig::read(reader_mut, machine, &path) {
                component.leaves.insert(leaf, kubeconfig.leaf);
                component.trusts.insert(TrustSlot::AdminKubeconfigCa, kubeconfig.trust);
                if model.name.is_empty() {
                    model.name = kubeconfig.cluster.unwrap_or_default();
                }
            }
            model.external_clients.push(component);
        }
    }
    let api_servers: Vec<_> = others.iter().filter(|program| program.kind == ComponentKind::KubeApiServer).collect();
    model.ssh_tunnels = api_server::ssh_tunnels(&api_servers);
    model.pods.settings.automount = api_server::automount(&api_servers);
    (model.webhooks, model.api_services) = objects.into_facts();
    model.authorities = authorities::observe(reader_mut, machines, &model, &signing);
    model.unclaimed = authorities::unclaimed(reader_mut, machines, &model);
    model.keys = authorities::keys(reader_mut);
    model.broken = reader.into_broken();
    model
}

/// Of several that know, the first.
fn first<T>(known: &mut Fact<T>, other: Fact<T>) {
    if known.value().is_none() {
        *known = other;
    }
}

/// Components of whose start nothing is known, and whose files are there all the same: they have no defaults.
fn without_programs(
    reader: &mut Reader<'_>,
    machine: &Machine,
    model: &mut ClusterModel,
    runs: impl Fn(ComponentKind) -> bool,
) {
    let here = |path: &str| format!("{}{path}", machine.prefix);
    let path = here("controller-manager.conf");
    if !runs(ComponentKind::ControllerManager) && reader.files.get(&path).is_some() {
        let ends = (LeafKind::ControllerManager, TrustSlot::ControllerManagerKubeconfigCa);
        let found = control_plane::by_kubeconfig::<ControllerManager>(reader, machine, &path, ends);
        model.controller_managers.extend(found.map(|(mut component, access)| {
            component.settings.access = access;
            component
        }));
    }
    let path = here("scheduler.conf");
    if !runs(ComponentKind::Scheduler) && reader.files.get(&path).is_some() {
        let ends = (LeafKind::Scheduler, TrustSlot::SchedulerKubeconfigCa);
        let found = control_plane::by_kubeconfig::<Scheduler>(reader, machine, &path, ends);
        model.schedulers.extend(found.map(|(mut component, access)| {
            component.settings.access = access;
            component
        }));
    }
    let leaves = [
        (LeafKind::ApiServer, "apiserver"),
        (LeafKind::ApiServerKubeletClient, "apiserver-kubelet-client"),
        (LeafKind::ApiServerEtcdClient, "apiserver-etcd-client"),
        (LeafKind::FrontProxyClient, "front-proxy-client"),
        (LeafKind::KonnectivityClient, "konnectivity-client"),
    ];
    if !runs(ComponentKind::KubeApiServer) && reader.files.get(&here("pki/apiserver.crt")).is_some() {
        model.api_servers.push(by_leaves(reader, machine, &leaves));
    }
    let leaves = [(LeafKind::EtcdServer, "etcd/server"), (LeafKind::EtcdPeer, "etcd/peer")];
    if !runs(ComponentKind::Etcd) && reader.files.get(&here("pki/etcd/server.crt")).is_some() {
        model.etcd.push(by_leaves(reader, machine, &leaves));
    }
}

fn by_leaves<S: Default>(reader: &mut Reader<'_>, machine: &Machine, leaves: &[(LeafKind, &str)]) -> Component<S> {
    let mut component = Component { name: machine.name.clone(), ..Component::default() };
    for (kind, name) in leaves {
        let path = format!("{}pki/{name}.crt", machine.prefix);
        if reader.files.get(&path).is_some()
            && let Some(bundle) = reader.certificates(&path)
        {
            component.leaves.insert(*kind, Fact::observed(chain(&bundle), Place::file(shown(&path))));
        }
    }
    component
}
