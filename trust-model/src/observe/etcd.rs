//! etcd, and whoever probes it. What holds without a flag is from `server/embed/config.go` and `client/pkg/transport`.

use pki_core::{LeafKind, TrustSlot};
use serde_json::Value;

use super::flags::{Flags, Known};
use super::program::Program;
use super::reader::{Machine, Reader};
use crate::fact::{Fact, Place};
use crate::model::{Component, Etcd, Leaf, TlsRange, Transport, Trust};

pub(super) fn observe(reader: &mut Reader<'_>, program: &mut Program) -> Component<Etcd> {
    let is_known = configuration(reader, program);
    let program = &*program;
    let mut component = Component { name: program.machine.name.clone(), ..Component::default() };
    if !is_known {
        // Nothing of it is what etcd does by default either.
        return component;
    }
    if component.name.is_empty() {
        component.name = program.flags.text("name").map(super::files::shown).unwrap_or_default();
    }
    for (kind, flag, automatic) in
        [(LeafKind::EtcdServer, "cert-file", "auto-tls"), (LeafKind::EtcdPeer, "peer-cert-file", "peer-auto-tls")]
    {
        let automatic = program.switch(reader, automatic, false);
        let leaf = match automatic.value() {
            // A file wins over what it would make itself.
            Some(true) if program.flags.text(flag).is_none() => automatic.map(|_| Leaf::SelfSigned),
            _ => program.leaf(reader, flag, Leaf::Nothing),
        };
        component.leaves.insert(kind, leaf);
    }
    for (slot, flag) in
        [(TrustSlot::EtcdTrustedCa, "trusted-ca-file"), (TrustSlot::EtcdPeerTrustedCa, "peer-trusted-ca-file")]
    {
        component.trusts.insert(slot, program.trust(reader, flag, Trust::Nothing));
    }
    for flag in ["client-cert-file", "peer-client-cert-file"] {
        program.flags.text(flag).into_iter().for_each(|name| program.uses(reader, name));
    }
    let urls = |flag| program.flags.text(flag).map(|urls| urls.split(',').map(str::trim).collect::<Vec<_>>());
    // Unset they listen on `http://localhost`.
    let mut transport = |flag| {
        let urls = urls(flag).unwrap_or_default();
        program.transport(reader, flag, &urls, Fact::default_of(Transport::Loopback))
    };
    let (client_transport, peer_transport) = (transport("listen-client-urls"), transport("listen-peer-urls"));
    component.settings = Etcd {
        client_transport,
        peer_transport,
        client_cert_auth: asks(reader, program, "client-cert-auth", "trusted-ca-file"),
        peer_client_cert_auth: asks(reader, program, "peer-client-cert-auth", "peer-trusted-ca-file"),
        auto_tls: program.switch(reader, "auto-tls", false),
        peer_auto_tls: program.switch(reader, "peer-auto-tls", false),
    };
    component.tls = tls(reader, program);
    component.unknown = program.unknown();
    component
}

/// Whether clients must show a certificate. A bundle alone makes it a must, whatever the switch says (`ServerConfig`).
fn asks(reader: &mut Reader<'_>, program: &Program, switch: &str, bundle: &str) -> Fact<bool> {
    let on = program.switch(reader, switch, false);
    match program.flags.text(bundle) {
        Some(name) if !name.is_empty() && on.value() != Some(&true) => Fact::observed(true, program.place(bundle)),
        _ => on,
    }
}

fn tls(reader: &mut Reader<'_>, program: &Program) -> Fact<TlsRange> {
    let lowest = program.tls(reader);
    let Some(name) = program.flags.text("tls-max-version") else { return lowest };
    match (super::program::minimum(name), lowest.value()) {
        (Some(highest), Some(lowest)) => {
            let range = TlsRange { minimum: lowest.minimum, maximum: highest.minimum };
            Fact::observed(range, program.place("tls-max-version"))
        }
        (Some(_), None) => Fact::Missing,
        (None, _) => program.refused(reader, "tls-max-version", "a version of TLS", name),
    }
}

/// With `--config-file`, flags and variables are not looked at. False where it is not known what the file says.
fn configuration(reader: &mut Reader<'_>, program: &mut Program) -> bool {
    if program.flags.text("config-file").is_none() {
        return true;
    }
    let document = program.file(reader, "config-file").and_then(|path| {
        program.source.file.clone_from(&path);
        reader.document(&path, "")
    });
    let Some(Value::Object(fields)) = document else { return false };
    let mut words = Vec::new();
    for (name, value) in &fields {
        match value {
            Value::Object(_) => {
                let prefix = match name.as_str() {
                    "client-transport-security" => "",
                    "peer-transport-security" => "peer-",
                    _ => {
                        words.push(format!("--{name}="));
                        continue;
                    }
                };
                words.extend(value.as_object().into_iter().flatten().map(|(name, value)| scalar(prefix, name, value)));
            }
            _ => words.push(scalar("", name, value)),
        }
    }
    if let Some(known) = super::tables::known(program.kind) {
        program.flags = Flags::parse(&words, known);
    }
    true
}

fn scalar(prefix: &str, name: &str, value: &Value) -> String {
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("--{prefix}{name}={value}")
}

static ETCDCTL: Known = Known { switches: &[], used: &["cacert", "cert", "key", "endpoints"], indifferent: &[] };

/// Whoever probes etcd: the command of the pod's own probe where it has certificates, or kubeadm, which takes
/// `pki/etcd/healthcheck-client.crt` with `pki/etcd/ca.crt` (`cmd/kubeadm/app/util/etcd`).
pub(super) fn probe(reader: &mut Reader<'_>, machine: &Machine, programs: &[&Program]) -> Option<Component<()>> {
    let mut component = Component { name: machine.name.clone(), ..Component::default() };
    for program in programs {
        let flags = Flags::parse(&program.liveness, &ETCDCTL);
        let Some(certificate) = flags.text("cert") else { continue };
        let leaf = reader.leaf(&program.source, "livenessProbe --cert", certificate);
        component.leaves.insert(LeafKind::EtcdHealthcheckClient, leaf);
        let trust = match flags.text("cacert") {
            Some(name) => reader.trust(&program.source, "livenessProbe --cacert", name),
            None => Fact::default_of(Trust::SystemRoots),
        };
        component.trusts.insert(TrustSlot::EtcdProbeCa, trust);
        return Some(component);
    }
    let [leaf, root] = ["healthcheck-client", "ca"].map(|name| format!("{}pki/etcd/{name}.crt", machine.prefix));
    reader.files.get(&leaf)?;
    let whole = |path: &str| Place::file(super::files::shown(path));
    let chain = reader.certificates(&leaf);
    let chain = chain.map_or(Fact::Missing, |bundle| Fact::observed(super::reader::chain(&bundle), whole(&leaf)));
    component.leaves.insert(LeafKind::EtcdHealthcheckClient, chain);
    let bundle = reader.certificates(&root);
    let trust = bundle.map_or(Fact::Missing, |bundle| Fact::observed(Trust::Bundle(bundle), whole(&root)));
    component.trusts.insert(TrustSlot::EtcdProbeCa, trust);
    Some(component)
}
