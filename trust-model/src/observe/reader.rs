//! Reading the files that others name, each once, and noting what could not be read.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki_core::pem::{self, pem_blocks};
use pki_core::{Fingerprint, TokenKeys};
use rustls_pki_types::CertificateDer;
use serde_json::Value;

use super::files::{Files, ObserveLimits, normalize, shown};
use super::yaml;
use crate::fact::{Fact, Place};
use crate::model::{BrokenInput, Bundle, Certificate, Leaf, Trust};

/// The files of one machine: those below a prefix.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// The node, as far as it is known.
    pub(super) name: String,
    /// What the paths of its files begin with: nothing, or a directory with its slash.
    pub(super) prefix: String,
}

/// Where something names a file: what resolves the name, and what a report calls the place.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The file in which the name stands.
    pub(super) file: String,
    pub(super) prefix: String,
    /// What a container sees where, with what the machine has there. The longest directory comes first.
    pub(super) mounts: Vec<(String, String)>,
    /// Where a relative name begins, if that is known.
    pub(super) base: Option<String>,
}

impl Source {
    pub(super) fn place(&self, item: impl Into<String>) -> Place {
        Place::item(shown(&self.file), item)
    }
}

/// How far names reach into this tree: `/etc/kubernetes` is its root, and the kubelet's directory stands below it.
const KUBELET_DIRECTORY: &str = "var/lib/kubelet/";

pub(super) struct Reader<'a> {
    pub(super) files: &'a Files,
    pub(super) limits: &'a ObserveLimits,
    broken: BTreeSet<(Place, String)>,
    bundles: BTreeMap<String, Option<Arc<Bundle>>>,
    documents: BTreeMap<String, Rc<Vec<Value>>>,
    /// Certificates that something of the cluster uses, besides the leaves of the model.
    pub(super) used: BTreeSet<Fingerprint>,
    /// Kubeconfigs that something of the cluster uses.
    pub(super) kubeconfigs: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(files: &'a Files, limits: &'a ObserveLimits) -> Self {
        let broken = files.refused().iter().map(|one| (one.place.clone(), one.reason.clone())).collect();
        Self {
            files,
            limits,
            broken,
            bundles: BTreeMap::new(),
            documents: BTreeMap::new(),
            used: BTreeSet::new(),
            kubeconfigs: BTreeSet::new(),
        }
    }

    pub(super) fn broken(&mut self, place: Place, reason: impl Into<String>) {
        self.broken.insert((place, reason.into()));
    }

    pub(super) fn into_broken(self) -> Vec<BrokenInput> {
        self.broken.into_iter().map(|(place, reason)| BrokenInput { place, reason }).collect()
    }

    /// What is in a file, unless there is more than may be.
    pub(super) fn octets(&mut self, path: &str) -> Option<&'a [u8]> {
        let octets = &self.files.get(path)?.octets;
        let max = self.limits.file_len_max;
        if octets.len() > max {
            self.broken(Place::file(shown(path)), format!("{} octets, limit {max}", octets.len()));
            return None;
        }
        Some(octets)
    }

    /// The file that a name stands for, if it is there.
    pub(super) fn find(&self, source: &Source, name: &str) -> Option<String> {
        let Source { prefix, mounts, base, .. } = source;
        let Some(absolute) = name.strip_prefix('/') else {
            let path = normalize(&format!("{}/{name}", base.as_deref()?))?;
            return self.files.get(&path).is_some().then_some(path);
        };
        let mut absolute = normalize(absolute)?;
        if let Some((seen, there)) = mounts.iter().find(|(seen, _)| below(&absolute, seen).is_some()) {
            let rest = below(&absolute, seen).unwrap_or_default();
            absolute = normalize(&format!("{there}/{rest}"))?;
        }
        let own = absolute.strip_prefix("etc/kubernetes/").map(str::to_owned);
        let kubelets = absolute.strip_prefix(KUBELET_DIRECTORY);
        let config = (kubelets == Some("config.yaml")).then(|| "kubelet-config.yaml".to_owned());
        let kubelets = kubelets.map(|rest| format!("kubelet/{rest}"));
        let candidates = [own, kubelets, config, Some(absolute)];
        let mut paths = candidates.into_iter().flatten().map(|path| format!("{prefix}{path}"));
        paths.find(|path| self.files.get(path).is_some())
    }

    /// As [`find`](Self::find), and a note where it is not there.
    pub(super) fn named(&mut self, source: &Source, item: &str, name: &str) -> Option<String> {
        let found = self.find(source, name);
        if found.is_none() {
            self.broken(source.place(item), format!("names `{}`, which is not among the files", shown(name)));
        }
        found
    }

    /// The documents of a YAML file; none if it cannot be read.
    pub(super) fn documents(&mut self, path: &str) -> Rc<Vec<Value>> {
        if let Some(known) = self.documents.get(path) {
            return Rc::clone(known);
        }
        let limits = self.limits;
        let read = self.octets(path).map(|octets| yaml::documents(octets, limits));
        let documents = match read {
            Some(Ok(documents)) => documents,
            Some(Err(reason)) => {
                self.broken(Place::file(shown(path)), reason);
                Vec::new()
            }
            None => Vec::new(),
        };
        let documents = Rc::new(documents);
        self.documents.insert(path.to_owned(), Rc::clone(&documents));
        documents
    }

    /// The first document of a file that is of a kind, or says of itself no kind.
    pub(super) fn document(&mut self, path: &str, kind: &str) -> Option<Value> {
        let documents = self.documents(path);
        let found = documents.iter().find(|one| [kind, ""].contains(&yaml::kind(one))).cloned();
        if found.is_none() && !documents.is_empty() {
            self.broken(Place::file(shown(path)), format!("expected a {kind}"));
        }
        found
    }

    /// The certificates of a PEM file, one at least.
    pub(super) fn certificates(&mut self, path: &str) -> Option<Arc<Bundle>> {
        if let Some(known) = self.bundles.get(path) {
            return known.clone();
        }
        let limits = self.limits;
        let place = Place::file(shown(path));
        let bundle = match self.octets(path).map(|octets| read_certificates(octets, &place, limits)) {
            Some(Ok(bundle)) => Some(bundle),
            Some(Err(reason)) => {
                self.broken(place, reason);
                None
            }
            None => None,
        };
        self.bundles.insert(path.to_owned(), bundle.clone());
        bundle
    }

    /// The certificates that stand in base64 in another file.
    pub(super) fn embedded(&mut self, data: &str, place: &Place) -> Option<Arc<Bundle>> {
        // Line ends are skipped, as Go's decoder does.
        let encoded: Vec<u8> = data.bytes().filter(|octet| !matches!(octet, b'\n' | b'\r')).collect();
        let decoded = STANDARD.decode(encoded).map_err(|_| "not base64 (RFC 4648 4)".to_owned());
        match decoded.and_then(|octets| read_certificates(&octets, place, self.limits)) {
            Ok(bundle) => Some(bundle),
            Err(reason) => {
                self.broken(place.clone(), reason);
                None
            }
        }
    }

    /// A bundle that is named.
    pub(super) fn trust(&mut self, source: &Source, item: &str, name: &str) -> Fact<Trust> {
        let bundle = self.named(source, item, name).and_then(|path| self.certificates(&path));
        bundle.map_or(Fact::Missing, |bundle| Fact::observed(Trust::Bundle(bundle), source.place(item)))
    }

    /// A chain that is named.
    pub(super) fn leaf(&mut self, source: &Source, item: &str, name: &str) -> Fact<Leaf> {
        let bundle = self.named(source, item, name).and_then(|path| self.certificates(&path));
        bundle.map_or(Fact::Missing, |bundle| Fact::observed(chain(&bundle), source.place(item)))
    }

    /// Public keys that are named: all of them, or it is not known which.
    pub(super) fn keys<'n>(
        &mut self,
        source: &Source,
        item: &str,
        names: impl Iterator<Item = &'n str>,
    ) -> Fact<Trust> {
        let mut keys = Vec::new();
        for name in names {
            let Some(path) = self.named(source, item, name) else { return Fact::Missing };
            let Some(octets) = self.octets(&path) else { return Fact::Missing };
            let read = pem::decode_pem(octets, pem::PUBLIC_KEY, &self.limits.pki).map_err(|error| error.to_string());
            match read {
                Ok(read) => keys.extend(read.into_iter().map(Into::into)),
                Err(reason) => {
                    self.broken(Place::file(shown(&path)), reason);
                    return Fact::Missing;
                }
            }
        }
        match TokenKeys::new(keys) {
            Ok(keys) => Fact::observed(Trust::Keys(keys.hash()), source.place(item)),
            Err(error) => {
                self.broken(source.place(item), error.to_string());
                Fact::Missing
            }
        }
    }
}

/// What of a path is left below a directory.
fn below<'p>(path: &'p str, directory: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(directory)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

pub(super) fn chain(bundle: &Bundle) -> Leaf {
    Leaf::Chain(bundle.certificates().to_vec())
}

/// Other blocks may stand beside certificates: a kubelet keeps its key in the same file.
fn read_certificates(text: &[u8], place: &Place, limits: &ObserveLimits) -> Result<Arc<Bundle>, String> {
    let blocks = pem_blocks(text, &limits.pki).map_err(|error| error.to_string())?;
    let mut certificates = Vec::new();
    for block in blocks.iter().filter(|block| matches!(block.label(), pem::CERTIFICATE | "X509 CERTIFICATE")) {
        let der = block.decode().map_err(|error| error.to_string())?;
        let read = Certificate::parse(CertificateDer::from(der), place.clone(), &limits.pki);
        certificates.push(Arc::new(read.map_err(|error| format!("line {}: {error}", block.line()))?));
    }
    if certificates.is_empty() {
        return Err("holds no certificate, expected one or more as PEM".to_owned());
    }
    Ok(Arc::new(Bundle::new(certificates)))
}
