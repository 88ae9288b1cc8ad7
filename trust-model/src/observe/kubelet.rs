//! Kubelets. What holds without a field is from `pkg/kubelet/apis/config/v1beta1/defaults.go`; without a file at all,
//! what flags had before there was one (`cmd/kubelet/app/options/options.go`, `applyLegacyDefaults`).

use pki_core::{LeafKind, TrustSlot};
use serde_json::Value;

use super::flags::boolean;
use super::kubeconfig::Kubeconfig;
use super::program::{Program, item, minimum};
use super::reader::{Machine, Reader, Source};
use super::tables::KUBELET_FIELDS;
use super::yaml::{at, text};
use crate::fact::{Fact, Place};
use crate::model::{AuthorizationMode, Component, Kubelet, Leaf, TlsRange, Trust, UnknownSetting};

/// Where a value stands: in a flag, which wins, or in a field.
enum Given<'a> {
    Flag(&'a str, Place),
    Field(&'a Value, Place),
}

struct Settings<'a> {
    program: Option<&'a Program>,
    document: Option<&'a Value>,
    source: Source,
    /// Whether what was not given is what the kubelet does by default: only where its file or its command line was seen.
    has_defaults: bool,
    /// Whether flags alone decide.
    is_legacy: bool,
}

impl Settings<'_> {
    fn given(&self, flag: &str, field: &[&str]) -> Option<Given<'_>> {
        if let Some(program) = self.program
            && let Some(value) = program.flags.last(flag)
        {
            return Some(Given::Flag(value, program.place(flag)));
        }
        let value = at(self.document?, field)?;
        Some(Given::Field(value, self.source.place(field.join("."))))
    }

    fn default<T>(&self, modern: T, legacy: T) -> Fact<T> {
        match (self.has_defaults, self.is_legacy) {
            (false, _) => Fact::Missing,
            (true, false) => Fact::default_of(modern),
            (true, true) => Fact::default_of(legacy),
        }
    }

    fn read<T>(
        &self,
        reader: &mut Reader<'_>,
        given: Option<Given<'_>>,
        expected: &str,
        default: Fact<T>,
        of: impl FnOnce(&str) -> Option<T>,
    ) -> Fact<T> {
        let (value, place) = match given {
            None => return default,
            Some(Given::Flag(value, place)) => (value.to_owned(), place),
            Some(Given::Field(value, place)) => {
                (value.as_str().map_or_else(|| value.to_string(), str::to_owned), place)
            }
        };
        match of(&value) {
            Some(value) => Fact::observed(value, place),
            None => {
                reader.broken(place, format!("expected {expected}, found `{}`", super::files::shown(&value)));
                Fact::Missing
            }
        }
    }

    fn switch(&self, reader: &mut Reader<'_>, flag: &str, field: &[&str], modern: bool, legacy: bool) -> Fact<bool> {
        self.read(reader, self.given(flag, field), "true or false", self.default(modern, legacy), boolean)
    }

    /// A file that is named, in its place: the flag's or the field's.
    fn name(&self, flag: &str, field: &str, path: &[&str]) -> Option<(String, String, Source)> {
        let flagged = self.program.and_then(|program| Some((program, program.flags.text(flag)?)));
        match flagged {
            Some((program, name)) => Some((name.to_owned(), item(flag), program.source.clone())),
            None => {
                let name = text(self.document?, path)?.to_owned();
                Some((name, field.to_owned(), self.source.clone()))
            }
        }
    }
}

/// The kubelet of a machine, if anything of one is there.
pub(super) fn observe(
    reader: &mut Reader<'_>,
    machine: &Machine,
    program: Option<&Program>,
) -> Option<Component<Kubelet>> {
    let here = |path: &str| format!("{}{path}", machine.prefix);
    let existing = |reader: &Reader<'_>, paths: &[&str]| {
        paths.iter().map(|path| here(path)).find(|path| reader.files.get(path).is_some())
    };
    let file = |reader: &mut Reader<'_>, flag: &str, paths: &[&str]| match program {
        Some(program) if program.flags.text(flag).is_some() => program.file(reader, flag),
        _ => existing(reader, paths),
    };
    let configuration =
        file(reader, "config", &["kubelet/config.yaml", "kubelet-config.yaml", "var/lib/kubelet/config.yaml"]);
    let kubeconfig = file(reader, "kubeconfig", &["kubelet.conf", "kubelet/kubeconfig", "var/lib/kubelet/kubeconfig"]);
    let bootstrap = file(reader, "bootstrap-kubeconfig", &["bootstrap-kubelet.conf"]);
    if program.is_none() && configuration.is_none() && kubeconfig.is_none() && bootstrap.is_none() {
        return None;
    }
    let document = configuration.as_ref().and_then(|path| reader.document(path, "KubeletConfiguration"));
    let source = Source {
        file: configuration.clone().unwrap_or_default(),
        prefix: machine.prefix.clone(),
        mounts: Vec::new(),
        // Relative names begin where the file is (`pkg/kubelet/kubeletconfig/configfiles`).
        base: configuration.as_ref().map(|path| path.rsplit_once('/').map_or("", |(base, _)| base).to_owned()),
    };
    let names_file = program.is_some_and(|program| program.flags.text("config").is_some());
    let settings = Settings {
        program,
        document: document.as_ref(),
        source,
        has_defaults: document.is_some() || (program.is_some() && !names_file && configuration.is_none()),
        is_legacy: document.is_none(),
    };
    let mut component = Component { name: machine.name.clone(), ..Component::default() };
    if component.name.is_empty() {
        let named = program.and_then(|program| program.flags.text("hostname-override"));
        component.name = named.map(super::files::shown).unwrap_or_default();
    }
    component.settings = read_settings(reader, &settings);
    component.tls = settings.read(
        reader,
        settings.given("tls-min-version", &["tlsMinVersion"]).filter(|given| !given.is_empty()),
        "a version of TLS",
        settings.default(TlsRange::DEFAULT, TlsRange::DEFAULT),
        minimum,
    );
    component.leaves.insert(
        LeafKind::KubeletServing,
        serving(reader, &settings, &component.settings.server_tls_bootstrap, machine),
    );
    let trust = match settings.name(
        "client-ca-file",
        "authentication.x509.clientCAFile",
        &["authentication", "x509", "clientCAFile"],
    ) {
        Some((name, item, source)) => reader.trust(&source, &item, &name),
        None => settings.default(Trust::Nothing, Trust::Nothing),
    };
    component.trusts.insert(TrustSlot::KubeletClientCa, trust);
    let dialled = kubeconfig.as_ref().and_then(|path| Kubeconfig::read(reader, machine, path));
    let first = bootstrap.as_ref().and_then(|path| Kubeconfig::read(reader, machine, path));
    match (dialled, first) {
        (Some(kubeconfig), _) => {
            component.leaves.insert(LeafKind::KubeletClient, kubeconfig.leaf);
            component.trusts.insert(TrustSlot::KubeletKubeconfigCa, kubeconfig.trust);
        }
        // It has no certificate yet, or one that is not here.
        (None, Some(first)) => {
            component.trusts.insert(TrustSlot::KubeletKubeconfigCa, first.trust);
        }
        (None, None) => {}
    }
    component.unknown = program.map(Program::unknown).unwrap_or_default();
    if let (Some(Value::Object(fields)), source) = (&document, &settings.source) {
        let unknown = fields.keys().filter(|name| !KUBELET_FIELDS.contains(&name.as_str()));
        component.unknown.extend(
            unknown.map(|name| UnknownSetting {
                name: name.as_str().into(),
                place: source.place(super::files::shown(name)),
            }),
        );
    }
    Some(component)
}

impl Given<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Flag(value, _) => value.is_empty(),
            Self::Field(value, _) => value.as_str() == Some(""),
        }
    }
}

fn read_settings(reader: &mut Reader<'_>, settings: &Settings<'_>) -> Kubelet {
    let mode = settings.given("authorization-mode", &["authorization", "mode"]).filter(|given| !given.is_empty());
    let mode = settings.read(
        reader,
        mode,
        "a mode",
        settings.default(AuthorizationMode::Webhook, AuthorizationMode::AlwaysAllow),
        |mode| {
            Some(match mode {
                "AlwaysAllow" => AuthorizationMode::AlwaysAllow,
                "Webhook" => AuthorizationMode::Webhook,
                other => AuthorizationMode::Other(other.into()),
            })
        },
    );
    /// Open by default where there is no file.
    const READ_ONLY_PORT: u16 = 10255;
    Kubelet {
        anonymous_auth: settings.switch(
            reader,
            "anonymous-auth",
            &["authentication", "anonymous", "enabled"],
            false,
            true,
        ),
        authorization_mode: mode,
        read_only_port: settings.read(
            reader,
            settings.given("read-only-port", &["readOnlyPort"]),
            "a port",
            settings.default(0, READ_ONLY_PORT),
            |port| port.parse().ok(),
        ),
        server_tls_bootstrap: settings.switch(
            reader,
            "rotate-server-certificates",
            &["serverTLSBootstrap"],
            false,
            false,
        ),
        rotate_certificates: settings.switch(reader, "rotate-certificates", &["rotateCertificates"], false, false),
    }
}

/// What it serves with: the files that it is given, a certificate that it asks for, or one of its own making.
fn serving(reader: &mut Reader<'_>, settings: &Settings<'_>, asks: &Fact<bool>, machine: &Machine) -> Fact<Leaf> {
    if let Some((name, item, source)) = settings.name("tls-cert-file", "tlsCertFile", &["tlsCertFile"]) {
        return reader.leaf(&source, &item, &name);
    }
    match asks.value() {
        None => Fact::Missing,
        Some(false) => asks.map(|_| Leaf::SelfSigned),
        Some(true) => {
            let source = Source { mounts: Vec::new(), prefix: machine.prefix.clone(), ..settings.source.clone() };
            reader.leaf(&source, "serverTLSBootstrap", "/var/lib/kubelet/pki/kubelet-server-current.pem")
        }
    }
}

/// The node, as the kubeconfig of its kubelet says it: in the certificate, or in what kubeadm calls the user.
pub(super) fn node_name(reader: &mut Reader<'_>, machine: &Machine) -> Option<String> {
    const USER: &str = "system:node:";
    let path = format!("{}kubelet.conf", machine.prefix);
    reader.files.get(&path)?;
    let kubeconfig = Kubeconfig::read(reader, machine, &path)?;
    let leaf = kubeconfig.leaf.value().and_then(Leaf::certificate);
    let subject = leaf.and_then(|leaf| leaf.view().subject.common_name.as_ref()).map(|name| name.as_str().to_owned());
    let user = kubeconfig.user;
    [subject, user].into_iter().flatten().find_map(|name| name.strip_prefix(USER).map(str::to_owned))
}
