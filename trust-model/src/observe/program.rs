//! What runs: containers of pods and bare command lines.

use pki_core::ComponentKind;
use serde_json::Value;

use super::files::{normalize, shown};
use super::flags::{Flags, Known, boolean, words};
use super::reader::{Machine, Reader, Source};
use super::tables;
use super::yaml::{at, list, text, texts};
use crate::fact::{Fact, Place};
use crate::model::{Leaf, TlsRange, Transport, Trust, UnknownSetting};
use crate::rule::TlsVersion;

/// One component as it is started.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) kind: ComponentKind,
    pub(super) machine: Machine,
    pub(super) flags: Flags,
    pub(super) source: Source,
    /// The second number of the version of Kubernetes, as the tag of the image says it.
    pub(super) minor: Option<u32>,
    /// The command that tells whether it is well.
    pub(super) liveness: Vec<String>,
}

/// What may stand before the program itself on a command line.
const WRAPPERS: [&str; 12] =
    ["sh", "bash", "dash", "ash", "go-runner", "hyperkube", "exec", "env", "nice", "tini", "dumb-init", "numactl"];

/// The kind that a program of this name is.
fn kind_of(name: &str) -> Option<ComponentKind> {
    Some(match name {
        "kube-apiserver" | "apiserver" => ComponentKind::KubeApiServer,
        "kube-controller-manager" | "controller-manager" => ComponentKind::ControllerManager,
        "kube-scheduler" | "scheduler" => ComponentKind::Scheduler,
        "etcd" => ComponentKind::Etcd,
        "kubelet" => ComponentKind::Kubelet,
        "proxy-server" => ComponentKind::KonnectivityServer,
        "proxy-agent" => ComponentKind::KonnectivityAgent,
        _ => return None,
    })
}

fn base_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Which program words start, and where its own words begin. A program that only carries such a name as an argument,
/// as `cp` may, is none.
fn started(words: &[String]) -> Option<(ComponentKind, usize)> {
    let first = base_name(words.first()?);
    if kind_of(first).is_none() && !WRAPPERS.contains(&first) {
        return None;
    }
    words.iter().enumerate().find_map(|(place, word)| Some((kind_of(base_name(word))?, place + 1)))
}

/// A script of a shell in the place of its words.
fn unwrapped(list: Vec<String>, max: usize) -> Result<Vec<String>, String> {
    let mut flat = Vec::new();
    for word in list {
        let is_script = flat.last().is_some_and(|last: &String| {
            last.strip_prefix('-').is_some_and(|options| !options.starts_with('-') && options.ends_with('c'))
        }) && flat.first().is_some_and(|first| WRAPPERS.contains(&base_name(first)));
        if is_script { flat.extend(words(&word, max)?) } else { flat.push(word) }
    }
    if flat.len() > max { Err(format!("more than {max} words")) } else { Ok(flat) }
}

/// The programs of a pod's specification.
pub(super) fn of_pod(reader: &mut Reader<'_>, machine: &Machine, path: &str, spec: &Value) -> Vec<Program> {
    let max = reader.limits.words_max;
    let mut programs = Vec::new();
    for container in list(spec, &["containers"]) {
        let name = text(container, &["name"]).unwrap_or_default();
        let all = texts(container, &["command"]).chain(texts(container, &["args"])).collect();
        let words = match unwrapped(all, max) {
            Ok(words) => words,
            Err(reason) => {
                reader.broken(Place::item(shown(path), format!("container {}", shown(name))), reason);
                continue;
            }
        };
        let image = text(container, &["image"]).unwrap_or_default();
        let (image_name, tag) = base_name(image.split('@').next().unwrap_or_default())
            .split_once(':')
            .unwrap_or_else(|| (base_name(image), ""));
        // Where the image brings the program, the container or the image says which it is.
        let brought = || {
            let named = [name, image_name].into_iter().find_map(kind_of);
            let konnectivity = [
                ("konnectivity-server", ComponentKind::KonnectivityServer),
                ("konnectivity-agent", ComponentKind::KonnectivityAgent),
            ];
            let named = named.or_else(|| {
                konnectivity.into_iter().find(|(prefix, _)| name.starts_with(prefix)).map(|(_, kind)| kind)
            });
            let is_bare = words.first().is_none_or(|first| first.starts_with('-'));
            named.filter(|_| is_bare).map(|kind| (kind, 0))
        };
        let Some((kind, begin)) = started(&words).or_else(brought) else { continue };
        let Some(known) = tables::known(kind) else { continue };
        let mut flags = Flags::parse(words.get(begin..).unwrap_or_default(), known);
        if kind == ComponentKind::Etcd {
            etcd_environment(&mut flags, container);
        }
        programs.push(Program {
            kind,
            machine: machine.clone(),
            flags,
            source: Source {
                file: path.to_owned(),
                prefix: machine.prefix.clone(),
                mounts: mounts(spec, container),
                base: None,
            },
            minor: minor_of(tag),
            liveness: unwrapped(texts(container, &["livenessProbe", "exec", "command"]).collect(), max)
                .unwrap_or_default(),
        });
    }
    programs
}

/// etcd reads each flag from a variable too, and the flag wins (`pkg/flags`, `SetFlagsFromEnv`).
fn etcd_environment(flags: &mut Flags, container: &Value) {
    for variable in list(container, &["env"]) {
        let (Some(name), Some(value)) = (text(variable, &["name"]), text(variable, &["value"])) else { continue };
        if let Some(name) = name.strip_prefix("ETCD_") {
            flags.fall_back(&name.to_ascii_lowercase().replace('_', "-"), value);
        }
    }
}

/// What a container sees where, the longest directory first.
fn mounts(spec: &Value, container: &Value) -> Vec<(String, String)> {
    let mut mounts: Vec<(String, String)> = Vec::new();
    for mount in list(container, &["volumeMounts"]) {
        let (Some(name), Some(seen)) = (text(mount, &["name"]), text(mount, &["mountPath"])) else { continue };
        let volume = list(spec, &["volumes"]).find(|volume| text(volume, &["name"]) == Some(name));
        let Some(there) = volume.and_then(|volume| text(volume, &["hostPath", "path"])) else { continue };
        if let (Some(seen), Some(there)) = (normalize(seen), normalize(there)) {
            let part = text(mount, &["subPath"]).and_then(normalize).map(|part| format!("/{part}"));
            mounts.push((seen, there + &part.unwrap_or_default()));
        }
    }
    mounts.sort_by_key(|(seen, _)| core::cmp::Reverse(seen.len()));
    mounts
}

fn minor_of(tag: &str) -> Option<u32> {
    tag.trim_start_matches('v').strip_prefix("1.")?.split('.').next()?.parse().ok()
}

/// The program of a bare command line.
pub(super) fn of_command_line(reader: &mut Reader<'_>, machine: &Machine, path: &str, line: &str) -> Option<Program> {
    let max = reader.limits.words_max;
    let words = words(line, max).and_then(|words| unwrapped(words, max));
    let words = match words {
        Ok(words) => words,
        Err(reason) => {
            reader.broken(Place::file(shown(path)), reason);
            return None;
        }
    };
    let found = started(&words).and_then(|(kind, begin)| Some((kind, begin, tables::known(kind)?)));
    let Some((kind, begin, known)) = found else {
        reader.broken(Place::file(shown(path)), "expected the command line of a component");
        return None;
    };
    Some(Program {
        kind,
        machine: machine.clone(),
        flags: Flags::parse(words.get(begin..).unwrap_or_default(), known),
        source: Source { file: path.to_owned(), prefix: machine.prefix.clone(), mounts: Vec::new(), base: None },
        minor: None,
        liveness: Vec::new(),
    })
}

/// The name of a flag as a place says it.
pub(super) fn item(flag: &str) -> String {
    format!("--{flag}")
}

impl Program {
    pub(super) fn place(&self, flag: &str) -> Place {
        self.source.place(item(flag))
    }

    /// A switch; `default` is what the component does without it.
    pub(super) fn switch(&self, reader: &mut Reader<'_>, flag: &str, default: bool) -> Fact<bool> {
        let Some(value) = self.flags.last(flag) else { return Fact::default_of(default) };
        match boolean(value) {
            Some(value) => Fact::observed(value, self.place(flag)),
            None => self.refused(reader, flag, "true or false", value),
        }
    }

    /// A value that the component itself would refuse.
    pub(super) fn refused<T>(&self, reader: &mut Reader<'_>, flag: &str, expected: &str, found: &str) -> Fact<T> {
        reader.broken(self.place(flag), format!("expected {expected}, found `{}`", shown(found)));
        Fact::Missing
    }

    /// A bundle that a flag names; `default` is what is verified without it.
    pub(super) fn trust(&self, reader: &mut Reader<'_>, flag: &str, default: Trust) -> Fact<Trust> {
        match self.flags.text(flag) {
            Some(name) => reader.trust(&self.source, &item(flag), name),
            None => Fact::default_of(default),
        }
    }

    /// A chain that a flag names; `default` is what is shown without it.
    pub(super) fn leaf(&self, reader: &mut Reader<'_>, flag: &str, default: Leaf) -> Fact<Leaf> {
        match self.flags.text(flag) {
            Some(name) => reader.leaf(&self.source, &item(flag), name),
            None => Fact::default_of(default),
        }
    }

    /// The file that a flag names.
    pub(super) fn file(&self, reader: &mut Reader<'_>, flag: &str) -> Option<String> {
        let name = self.flags.text(flag)?;
        reader.named(&self.source, &item(flag), name)
    }

    /// Notes a leaf that is used, and for which the model has no place.
    pub(super) fn uses(&self, reader: &mut Reader<'_>, name: &str) {
        let bundle = reader.find(&self.source, name).and_then(|path| reader.certificates(&path));
        let leaf = bundle.and_then(|bundle| bundle.certificates().first().map(|leaf| leaf.fingerprint()));
        reader.used.extend(leaf);
    }

    /// Notes kubeconfigs that are used, and for which the model has no place.
    pub(super) fn uses_kubeconfigs(&self, reader: &mut Reader<'_>, flags: &[&str]) {
        let names = flags.iter().filter_map(|flag| self.flags.text(flag));
        let paths: Vec<_> = names.filter_map(|name| reader.find(&self.source, name)).collect();
        reader.kubeconfigs.extend(paths);
    }

    /// `--tls-min-version`; TLS 1.2 and 1.3 without it (`k8s.io/component-base/cli/flag`, and Go's `crypto/tls`).
    pub(super) fn tls(&self, reader: &mut Reader<'_>) -> Fact<TlsRange> {
        let Some(version) = self.flags.text("tls-min-version") else { return Fact::default_of(TlsRange::DEFAULT) };
        match minimum(version) {
            Some(range) => Fact::observed(range, self.place("tls-min-version")),
            None => self.refused(reader, "tls-min-version", "a version of TLS", version),
        }
    }

    /// How the least protected of these URLs is reached.
    pub(super) fn transport(
        &self,
        reader: &mut Reader<'_>,
        flag: &str,
        urls: &[&str],
        default: Fact<Transport>,
    ) -> Fact<Transport> {
        let mut worst = None;
        for url in urls {
            let transport = match url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
                Some("https" | "unixs") => Transport::Tls,
                Some("unix") => Transport::UnixSocket,
                Some("http") if is_loopback(url) => Transport::Loopback,
                // One without a scheme is dialled as it is, without TLS.
                Some("http") | None => Transport::Plain,
                Some(_) => return self.refused(reader, flag, "http, https or unix URLs", url),
            };
            worst = worst.max(Some(transport));
        }
        worst.map_or(default, |transport| Fact::observed(transport, self.place(flag)))
    }

    /// The flags that are not known.
    pub(super) fn unknown(&self) -> Vec<UnknownSetting> {
        let known = tables::known(self.kind);
        let unknown = self.flags.names().filter(|name| known.is_some_and(|known: &Known| !known.knows(name)));
        unknown.map(|name| UnknownSetting { name: name.into(), place: self.place(&shown(name)) }).collect()
    }
}

/// Whether a URL names the machine itself by an address that nobody else reaches.
fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    if let Ok(address) = host.parse::<std::net::SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A version as Kubernetes (`VersionTLS12`) and etcd (`TLS1.2`) write it.
pub(super) fn minimum(version: &str) -> Option<TlsRange> {
    let minimum = match version {
        "VersionTLS10" | "VersionTLS11" | "TLS1.0" | "TLS1.1" => None,
        "VersionTLS12" | "TLS1.2" => Some(TlsVersion::Tls12),
        "VersionTLS13" | "TLS1.3" => Some(TlsVersion::Tls13),
        _ => return None,
    };
    Some(TlsRange { minimum, ..TlsRange::DEFAULT })
}

/// The specification of the pods of a workload.
pub(super) fn template(object: &Value) -> Option<&Value> {
    match super::yaml::kind(object) {
        "DaemonSet" | "Deployment" | "StatefulSet" | "ReplicaSet" => at(object, &["spec", "template", "spec"]),
        _ => None,
    }
}
