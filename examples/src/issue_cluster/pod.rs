//! The part of `v1.Pod` that kubeadm's static pods have, in the order in which Kubernetes writes it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

/// The priority of `system-node-critical`.
const PRIORITY: u32 = 2_000_001_000;
/// The name by which probes refer to a container's port.
const PROBE_PORT: &str = "probe-port";

/// What a component's container consists of.
pub(super) struct Container {
    pub(super) name: &'static str,
    pub(super) image: String,
    pub(super) flags: BTreeMap<&'static str, String>,
    /// In the order of their names.
    pub(super) volumes: Vec<Volume>,
    pub(super) cpu: &'static str,
    pub(super) memory: Option<&'static str>,
    pub(super) probes: Probes,
}

/// The port at which a component answers probes, and the probes.
pub(super) struct Probes {
    pub(super) port: u16,
    pub(super) liveness: Probe,
    pub(super) readiness: Option<Probe>,
    pub(super) startup: Probe,
}

impl Container {
    /// The static pod of this one container, on the network of its host.
    pub(super) fn into_pod(self, annotation: Option<(&'static str, String)>) -> Pod {
        let Self { name, image, flags, mut volumes, cpu, memory, probes } = self;
        volumes.sort_by_key(|volume| volume.name);
        let command = core::iter::once(name.to_owned());
        let command = command.chain(flags.into_iter().map(|(flag, value)| format!("--{flag}={value}"))).collect();
        let volume_mounts = volumes.iter().map(Volume::mount).collect();
        let container = ContainerSpec {
            command,
            image,
            image_pull_policy: "IfNotPresent",
            liveness_probe: probes.liveness,
            name,
            ports: [ContainerPort { container_port: probes.port, name: PROBE_PORT, protocol: "TCP" }],
            readiness_probe: probes.readiness,
            resources: Resources { requests: Requests { cpu, memory } },
            startup_probe: probes.startup,
            volume_mounts,
        };
        Pod {
            api_version: "v1",
            kind: "Pod",
            metadata: Metadata {
                annotations: annotation.into_iter().collect(),
                labels: [("component", name), ("tier", "control-plane")].into(),
                name,
                namespace: "kube-system",
            },
            spec: PodSpec {
                containers: [container],
                host_network: true,
                priority: PRIORITY,
                priority_class_name: "system-node-critical",
                security_context: SecurityContext { seccomp_profile: SeccompProfile { kind: "RuntimeDefault" } },
                volumes: volumes.into_iter().map(Volume::into_spec).collect(),
            },
            status: BTreeMap::new(),
        }
    }
}

/// A part of the host's file system, at the same path inside the container.
pub(super) struct Volume {
    name: &'static str,
    path: String,
    kind: &'static str,
    read_only: bool,
}

impl Volume {
    pub(super) const fn directory(name: &'static str, path: String) -> Self {
        Self { name, path, kind: "DirectoryOrCreate", read_only: false }
    }

    pub(super) const fn file(name: &'static str, path: String) -> Self {
        Self { name, path, kind: "FileOrCreate", read_only: true }
    }

    /// The anchors of the machine, for cloud providers and image registries.
    pub(super) fn host_certificates() -> Self {
        Self { read_only: true, ..Self::directory("ca-certs", "/etc/ssl/certs".to_owned()) }
    }

    pub(super) fn cluster_certificates(pki: &str) -> Self {
        Self { read_only: true, ..Self::directory("k8s-certs", pki.to_owned()) }
    }

    pub(super) fn flexvolume_plugins() -> Self {
        Self::directory("flexvolume-dir", "/usr/libexec/kubernetes/kubelet-plugins/volume/exec".to_owned())
    }

    fn mount(&self) -> VolumeMount {
        VolumeMount { mount_path: self.path.clone(), name: self.name, read_only: self.read_only.then_some(true) }
    }

    fn into_spec(self) -> VolumeSpec {
        VolumeSpec { host_path: HostPath { path: self.path, kind: self.kind }, name: self.name }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pod {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: PodSpec,
    status: BTreeMap<(), ()>,
}

#[derive(Serialize)]
struct Metadata {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
    labels: BTreeMap<&'static str, &'static str>,
    name: &'static str,
    namespace: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    containers: [ContainerSpec; 1],
    host_network: bool,
    priority: u32,
    priority_class_name: &'static str,
    security_context: SecurityContext,
    volumes: Vec<VolumeSpec>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerSpec {
    command: Vec<String>,
    image: String,
    image_pull_policy: &'static str,
    liveness_probe: Probe,
    name: &'static str,
    ports: [ContainerPort; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    readiness_probe: Option<Probe>,
    resources: Resources,
    startup_probe: Probe,
    volume_mounts: Vec<VolumeMount>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    container_port: u16,
    name: &'static str,
    protocol: &'static str,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Scheme {
    Http,
    Https,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Probe {
    failure_threshold: u32,
    http_get: HttpGet,
    #[serde(skip_serializing_if = "is_zero")]
    initial_delay_seconds: u32,
    period_seconds: u32,
    timeout_seconds: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Probe {
    pub(super) const fn liveness(host: IpAddr, path: &'static str, scheme: Scheme) -> Self {
        Self::new(HttpGet::new(host, path, scheme), 8, 10, 10)
    }

    pub(super) const fn readiness(host: IpAddr, path: &'static str, scheme: Scheme) -> Self {
        Self::new(HttpGet::new(host, path, scheme), 3, 0, 1)
    }

    /// Four minutes until the component must have come up: 24 times 10 seconds.
    pub(super) const fn startup(host: IpAddr, path: &'static str, scheme: Scheme) -> Self {
        Self::new(HttpGet::new(host, path, scheme), 24, 10, 10)
    }

    const fn new(http_get: HttpGet, failure_threshold: u32, initial_delay_seconds: u32, period_seconds: u32) -> Self {
        Self { failure_threshold, http_get, initial_delay_seconds, period_seconds, timeout_seconds: 15 }
    }
}

#[derive(Serialize)]
struct HttpGet {
    host: IpAddr,
    path: &'static str,
    port: &'static str,
    scheme: Scheme,
}

impl HttpGet {
    const fn new(host: IpAddr, path: &'static str, scheme: Scheme) -> Self {
        Self { host, path, port: PROBE_PORT, scheme }
    }
}

#[derive(Serialize)]
struct Resources {
    requests: Requests,
}

#[derive(Serialize)]
struct Requests {
    cpu: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecurityContext {
    seccomp_profile: SeccompProfile,
}

#[derive(Serialize)]
struct SeccompProfile {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeMount {
    mount_path: String,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeSpec {
    host_path: HostPath,
    name: &'static str,
}

#[derive(Serialize)]
struct HostPath {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
}
