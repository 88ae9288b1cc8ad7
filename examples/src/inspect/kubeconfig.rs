//! Kubeconfigs (`client-go/tools/clientcmd/api/v1`): what is embedded in them, entry by entry.

use core::fmt;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki_core::inspect::{BundleView, CertificateView, Content, IssuerIndex, Severity};
use pki_core::pem::PemError;
use pki_core::{ArtifactKind, Hierarchy, Layout, Printable};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_saphyr::{Error as YamlError, MergeKeyPolicy};
use time::UtcDateTime;

use super::{Finding, InspectedFile, limits};

/// Clusters or users of one file; a person's kubeconfig has some tens.
const ENTRIES_MAX: usize = 256;
/// Mappings, lists and scalars of one file: 32 for each of 256 clusters, users and contexts, and as many of other kinds.
const NODES_MAX: usize = 32_768;
/// Octets of a name or path that are shown: twice those of a DNS name.
const SHOWN_LEN_MAX: usize = 512;

/// A cluster or a user of a kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct KubeconfigEntry {
    /// Which of the two.
    pub kind: EntryKind,
    /// What the file calls it.
    pub name: Printable,
    /// Whether a private key is embedded. It was not decoded.
    pub embeds_key: bool,
    /// What it has in other files, which were not read for it.
    pub files: Vec<NamedFile>,
}

/// What an entry of a kubeconfig is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EntryKind {
    /// A server, and the authorities by which it is known.
    Cluster,
    /// A client certificate and its key, or other credentials.
    User,
}

/// A file that a kubeconfig names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct NamedFile {
    /// The field that names it.
    pub field: &'static str,
    /// Its path, as it stands there.
    pub path: Printable,
}

impl fmt::Display for KubeconfigEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::User => "user",
        })
    }
}

impl EntryKind {
    /// Where certificates are embedded.
    const fn data_field(self) -> &'static str {
        match self {
            Self::Cluster => "certificate-authority-data",
            Self::User => "client-certificate-data",
        }
    }
}

/// An entry, and the base64 that is its certificates.
pub(super) struct Held {
    pub(super) entry: KubeconfigEntry,
    data: Option<String>,
}

/// Why a kubeconfig is not readable. The parser's own text is left out: it quotes the file, in which keys stand.
pub(super) enum KubeconfigError {
    Encoding,
    Budget,
    Content { line: Option<u64> },
    Entries { found: usize },
}

impl fmt::Display for KubeconfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoding => f.write_str("not UTF-8 (YAML 1.2.2, 5.2)"),
            Self::Budget => {
                write!(f, "an alias or anchor, more than {NODES_MAX} nodes, or nested deeper than any kubeconfig")
            }
            Self::Content { line: Some(line) } => write!(f, "line {line}: not the YAML of a kubeconfig"),
            Self::Content { line: None } => f.write_str("not the YAML of a kubeconfig"),
            Self::Entries { found } => write!(f, "{found} clusters and users, limit {ENTRIES_MAX}"),
        }
    }
}

/// Why what an entry embeds is not readable.
enum DataError {
    Base64,
    Pem(PemError),
    NoCertificate,
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base64 => f.write_str("not readable: not base64 (RFC 4648 4)"),
            Self::Pem(error) => write!(f, "not readable: {error}"),
            Self::NoCertificate => f.write_str("holds no certificate, expected one or more as PEM"),
        }
    }
}

#[derive(Deserialize)]
struct Config {
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: Option<String>,
    cluster: Option<Cluster>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    certificate_authority_data: Option<String>,
    certificate_authority: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: Option<String>,
    user: Option<User>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: Option<String>,
    client_certificate: Option<String>,
    /// That it is there is all that is read of it.
    client_key_data: Option<IgnoredAny>,
    client_key: Option<String>,
}

/// Whether a file says that it is a kubeconfig: by its kind, or, as client-go reads one without a kind, by its lists.
pub(super) fn is_kubeconfig(octets: &[u8]) -> bool {
    let has = |wanted: &[u8]| octets.windows(wanted.len()).any(|window| window == wanted);
    if octets.trim_ascii_start().first() == Some(&b'{') {
        return has(b"\"clusters\"") && has(b"\"users\"");
    }
    let (mut clusters, mut users) = (false, false);
    for line in octets.split(|octet| *octet == b'\n') {
        let mut parts = line.splitn(2, |octet| *octet == b':');
        let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
        // Only what begins a line is a field of the whole.
        match unquoted(key.trim_ascii_end()) {
            b"kind" => {
                let comment = value.windows(2).position(|two| two == b" #");
                let value = comment.and_then(|start| value.get(..start)).unwrap_or(value);
                return unquoted(value.trim_ascii()) == b"Config";
            }
            b"clusters" => clusters = true,
            b"users" => users = true,
            _ => {}
        }
    }
    clusters && users
}

fn unquoted(text: &[u8]) -> &[u8] {
    [b'"', b'\''].into_iter().find_map(|quote| text.strip_prefix(&[quote])?.strip_suffix(&[quote])).unwrap_or(text)
}

/// The clusters and users of a kubeconfig.
///
/// # Errors
/// When it is not the YAML or JSON of one, or larger than any real one.
pub(super) fn read(octets: &[u8]) -> Result<Vec<Held>, KubeconfigError> {
    let text = core::str::from_utf8(octets).map_err(|_| KubeconfigError::Encoding)?;
    // No tool writes aliases into a kubeconfig, and each use of one is another copy of what it stands for.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: NODES_MAX, max_aliases: 0, max_anchors: 0 },
        merge_keys: MergeKeyPolicy::Error,
        with_snippet: false,
        ignore_binary_tag_for_string: true,
    };
    let config: Config = serde_saphyr::from_str_with_options(text, options).map_err(|error| match error {
        YamlError::Budget { .. } => KubeconfigError::Budget,
        error => KubeconfigError::Content { line: error.location().map(|location| location.line()) },
    })?;
    let (clusters, users) = (config.clusters.unwrap_or_default(), config.users.unwrap_or_default());
    let found = clusters.len().saturating_add(users.len());
    if found > ENTRIES_MAX {
        return Err(KubeconfigError::Entries { found });
    }
    let clusters = clusters.into_iter().map(|NamedCluster { name, cluster }| {
        let cluster = cluster.unwrap_or_default();
        let files = [("certificate-authority", cluster.certificate_authority)];
        held(EntryKind::Cluster, name, files, cluster.certificate_authority_data, false)
    });
    let users = users.into_iter().map(|NamedUser { name, user }| {
        let user = user.unwrap_or_default();
        let files = [("client-certificate", user.client_certificate), ("client-key", user.client_key)];
        held(EntryKind::User, name, files, user.client_certificate_data, user.client_key_data.is_some())
    });
    Ok(clusters.chain(users).collect())
}

fn held<const N: usize>(
    kind: EntryKind,
    name: Option<String>,
    files: [(&'static str, Option<String>); N],
    data: Option<String>,
    embeds_key: bool,
) -> Held {
    // client-go takes an empty field for a missing one.
    let said = |text: &String| !text.is_empty();
    let files = files
        .into_iter()
        .filter_map(|(field, path)| path.filter(said).map(|path| NamedFile { field, path: shown(&path) }));
    let entry = KubeconfigEntry { kind, name: shown(&name.unwrap_or_default()), embeds_key, files: files.collect() };
    Held { entry, data: data.filter(said) }
}

fn shown(text: &str) -> Printable {
    Printable::new(text.as_bytes().get(..SHOWN_LEN_MAX).unwrap_or(text.as_bytes()))
}

impl Held {
    /// The certificates, and what else to know. Nothing is shown of an entry whose data are not readable.
    pub(super) fn view(self, path: &Printable, at: UtcDateTime, findings: &mut Vec<Finding>) -> Option<InspectedFile> {
        let Self { entry, data } = self;
        for NamedFile { field, path: named } in &entry.files {
            let text = format!("{field} is in a file, which is not read for it: {named}");
            findings.push(Finding::of_entry(path, &entry, Severity::Notice, "kubeconfig_names_file", text));
        }
        match embedded(data.as_deref(), at) {
            Ok(content) => Some(InspectedFile { path: path.clone(), entry: Some(entry), content }),
            Err(error) => {
                let text = format!("{}: {error}", entry.kind.data_field());
                findings.push(Finding::of_entry(path, &entry, Severity::Fault, "kubeconfig_data", text));
                None
            }
        }
    }
}

fn embedded(data: Option<&str>, at: UtcDateTime) -> Result<BundleView, DataError> {
    // Line ends are skipped, as Go's decoder does.
    let encoded: Vec<u8> = data.unwrap_or_default().bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let pem = STANDARD.decode(encoded).map_err(|_| DataError::Base64)?;
    let verifiers = Some(pki_core::verify::aws_lc_rs());
    let view = BundleView::parse_pem(&pem, at, verifiers, &limits()).map_err(DataError::Pem)?;
    let holds =
        view.blocks.iter().any(|block| matches!(block.content, Content::Certificate(_) | Content::Unreadable(_)));
    if data.is_some() && !holds { Err(DataError::NoCertificate) } else { Ok(view) }
}

/// Kubeconfigs of another cluster than the directory's: no authority of it is trusted, or none issued the certificate.
///
/// kubeadm refuses its own kubeconfigs then (`cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go`,
/// `validateKubeConfig`). Any other may well be about another server, such as a webhook's.
pub(super) fn strangers(files: &[InspectedFile]) -> Vec<Finding> {
    let own = files.iter().filter(|file| file.entry.is_none());
    let authorities: Vec<_> = own.flat_map(|file| file.content.certificates()).filter(|view| view.is_ca()).collect();
    let index = IssuerIndex::of(authorities.iter().copied());
    let fingerprints: BTreeSet<_> = authorities.iter().map(|view| view.fingerprint).collect();
    let mut findings = Vec::new();
    for file in files.iter().filter(|_| !authorities.is_empty()) {
        let Some(entry) = &file.entry else { continue };
        let certificates = || file.content.certificates();
        let between = IssuerIndex::of(certificates().filter(|view| !view.self_issued));
        let known = |view: &CertificateView| fingerprints.contains(&view.fingerprint);
        let issued =
            |view: &CertificateView| [&index, &between].into_iter().any(|index| index.issuer_of(view).is_some());
        let (is_stranger, code, text) = match entry.kind {
            EntryKind::Cluster => (
                certificates().next().is_some() && !certificates().any(known),
                "kubeconfig_foreign_authority",
                "certificate-authority-data: no authority of this directory is among them",
            ),
            EntryKind::User => (
                !certificates().all(issued),
                "kubeconfig_foreign_issuer",
                "client-certificate-data: issued by no authority of this directory",
            ),
        };
        if is_stranger {
            let severity = if is_kubeadms(&file.path) { Severity::Fault } else { Severity::Notice };
            findings.push(Finding::of_entry(&file.path, entry, severity, code, text.to_owned()));
        }
    }
    findings
}

/// Whether kubeadm writes a file of this name.
fn is_kubeadms(path: &Printable) -> bool {
    let name = path.as_str().rsplit('/').next().unwrap_or_default();
    let layout = Layout::of(&Hierarchy::kubeadm());
    layout
        .artifacts()
        .iter()
        .any(|artifact| matches!(artifact.kind(), ArtifactKind::Kubeconfig(_)) && artifact.path() == name)
}
