//! Kubeconfigs: whom a client dials, what it verifies, what it shows.
//!
//! Which entries count is as client-go decides it (`tools/clientcmd`): those of the current context; embedded data
//! before a file; without a CA the roots of the system; without TLS nothing of it.

use serde_json::Value;

use super::files::shown;
use super::reader::{Machine, Reader, Source, chain};
use super::yaml::{at, list, text};
use crate::fact::Fact;
use crate::model::{Leaf, Trust};

/// What a kubeconfig says.
#[derive(Debug, Default)]
pub(super) struct Kubeconfig {
    /// Whether the server is dialled without TLS.
    pub(super) is_plain: Option<bool>,
    pub(super) trust: Fact<Trust>,
    /// Whether the bundle stands in the file itself.
    pub(super) embeds_trust: bool,
    pub(super) leaf: Fact<Leaf>,
    /// What the current cluster and user are called.
    pub(super) cluster: Option<String>,
    pub(super) user: Option<String>,
}

/// Whether a document is one: by its kind, or, as client-go reads one without a kind, by its lists.
pub(super) fn is_kubeconfig(document: &Value) -> bool {
    match super::yaml::kind(document) {
        "Config" => true,
        "" => at(document, &["clusters"]).is_some() && at(document, &["users"]).is_some(),
        _ => false,
    }
}

/// Whether a user keeps a private key in the file.
pub(super) fn embeds_key(document: &Value) -> bool {
    list(document, &["users"]).any(|user| text(user, &["user", "client-key-data"]).is_some())
}

impl Kubeconfig {
    /// Reads one.
    pub(super) fn read(reader: &mut Reader<'_>, machine: &Machine, path: &str) -> Option<Self> {
        reader.kubeconfigs.insert(path.to_owned());
        let document = reader.document(path, "Config")?;
        Some(Self::of(reader, machine, path, &document))
    }

    fn of(reader: &mut Reader<'_>, machine: &Machine, path: &str, document: &Value) -> Self {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let source = Source {
            file: path.to_owned(),
            prefix: machine.prefix.clone(),
            mounts: Vec::new(),
            base: Some(directory.to_owned()),
        };
        let mut read = Self::default();
        let entry = |lists: &str, field: &'static str, name: &str| {
            let mut all = list(document, &[lists]);
            all.find(|entry| text(entry, &["name"]) == Some(name)).and_then(|entry| at(entry, &[field])).cloned()
        };
        let context = text(document, &["current-context"]).and_then(|name| entry("contexts", "context", name));
        let Some(context) = context else {
            reader.broken(source.place("current-context"), "expected the name of one of the contexts");
            return read;
        };
        read.cluster = text(&context, &["cluster"]).map(shown);
        read.user = text(&context, &["user"]).map(shown);
        let cluster = text(&context, &["cluster"]).and_then(|name| entry("clusters", "cluster", name));
        match &cluster {
            Some(cluster) => read.cluster(reader, &source, cluster),
            None => reader.broken(source.place("contexts"), "expected a cluster that stands in the file"),
        }
        let user = text(&context, &["user"]).and_then(|name| entry("users", "user", name));
        read.leaf = match &user {
            // What is shown on a connection without TLS is no certificate.
            _ if read.is_plain == Some(true) => Fact::observed(Leaf::Nothing, source.place("server")),
            Some(user) => certificate(reader, &source, user),
            None => Fact::default_of(Leaf::Nothing),
        };
        read
    }

    fn cluster(&mut self, reader: &mut Reader<'_>, source: &Source, cluster: &Value) {
        let Some(server) = text(cluster, &["server"]) else {
            reader.broken(source.place("server"), "expected the URL of a server");
            return;
        };
        let is_plain = is_plain_url(server, true);
        self.is_plain = Some(is_plain);
        self.trust = if is_plain {
            Fact::observed(Trust::Nothing, source.place("server"))
        } else if at(cluster, &["insecure-skip-tls-verify"]).and_then(Value::as_bool) == Some(true) {
            Fact::observed(Trust::Nothing, source.place("insecure-skip-tls-verify"))
        } else if let Some(data) = text(cluster, &["certificate-authority-data"]) {
            self.embeds_trust = true;
            let place = source.place("certificate-authority-data");
            let bundle = reader.embedded(data, &place);
            bundle.map_or(Fact::Missing, |bundle| Fact::observed(Trust::Bundle(bundle), place))
        } else if let Some(name) = text(cluster, &["certificate-authority"]) {
            reader.trust(source, "certificate-authority", name)
        } else {
            Fact::default_of(Trust::SystemRoots)
        };
    }
}

fn certificate(reader: &mut Reader<'_>, source: &Source, user: &Value) -> Fact<Leaf> {
    if let Some(data) = text(user, &["client-certificate-data"]) {
        let place = source.place("client-certificate-data");
        let bundle = reader.embedded(data, &place);
        return bundle.map_or(Fact::Missing, |bundle| Fact::observed(chain(&bundle), place));
    }
    if let Some(name) = text(user, &["client-certificate"]) {
        return reader.leaf(source, "client-certificate", name);
    }
    // A plugin may hand out a certificate or a token.
    if at(user, &["exec"]).is_some() || at(user, &["auth-provider"]).is_some() {
        return Fact::Missing;
    }
    let other = ["token", "tokenFile", "username"].into_iter().find(|field| text(user, &[field]).is_some());
    other.map_or(Fact::default_of(Leaf::Nothing), |field| Fact::observed(Leaf::Nothing, source.place(field)))
}

/// Whether a server is dialled without TLS. One without a scheme is, unless there is something of TLS beside it
/// (`k8s.io/client-go/rest`, `defaultServerUrlFor`).
pub(super) fn is_plain_url(url: &str, has_tls: bool) -> bool {
    match url.split_once("://") {
        Some((scheme, _)) => !scheme.eq_ignore_ascii_case("https"),
        None => !has_tls,
    }
}
