//! When a rotation is over, nobody accepts what the retired generation issued, and nobody shows it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;

use pki_core::{ClientCredential, ComponentKind, Path};
use rotation_fsm::Machine;
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use trust_model::tls::server_config;

use crate::authorities::{Credential, HeldLeaf};
use crate::cluster::{ClusterError, MiniCluster, Shared};
use crate::component::Component;
use crate::dial::{NoAnswer, Way, exchange, exchange_showing, health_request, way};
use crate::process::Held;
use crate::report::ProbeReport;
use crate::server::{EXCHANGE_TIMEOUT, Listener, Service};
use crate::traffic::dials;
use crate::wire::{Request, Response};

/// An old credential that was accepted, or refused for another reason than its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The path.
    pub path: Path,
    /// Who presented it.
    pub presented_by: String,
    /// Who was to refuse it.
    pub accepted_by: String,
    /// What happened instead.
    pub found: String,
}

/// Tries every old leaf: at every server that verifies its clients, and on every client that
/// verifies its server.
pub(crate) fn probe(cluster: &MiniCluster) -> Result<(ProbeReport, Vec<Accepted>), ClusterError> {
    let (mut report, mut accepted) = (ProbeReport::default(), Vec::new());
    let mut count = |path: Path, presenter: &Component, judge: &Component, verdict: Verdict| {
        report.total += 1;
        match verdict {
            Verdict::Refused => report.refused += 1,
            Verdict::Otherwise(found) => {
                let (presented_by, accepted_by) = (presenter.id.to_string(), judge.id.to_string());
                accepted.push(Accepted { path, presented_by, accepted_by, found });
            }
        }
    };
    let shared = cluster.shared();
    for path in Path::of(shared.hierarchy()) {
        for server in shared.of_kind(path.server()) {
            let old = path.endpoint().leaf().and_then(|leaf| cluster.old_leaf(&server.id, leaf));
            let rogue = old.map(|old| Rogue::start(cluster, server, &old)).transpose()?;
            for client in shared.of_kind(path.client()) {
                if !dials(path, client, server) {
                    continue;
                }
                // What cannot be tried is not refused.
                let untried = || Verdict::Otherwise("could not be tried".to_owned());
                if path.server_trusts(shared.hierarchy()).is_some() {
                    let verdict = old_client(cluster, path, client, server)?;
                    count(path, client, server, verdict.unwrap_or_else(untried));
                }
                if path.client_trusts(shared.hierarchy()).is_some() {
                    let verdict = rogue.as_ref().map(|rogue| rogue.meet(cluster, path, client, server)).transpose()?;
                    count(path, server, client, verdict.flatten().unwrap_or_else(untried));
                }
            }
        }
    }
    Ok((report, accepted))
}

enum Verdict {
    Refused,
    Otherwise(String),
}

impl Verdict {
    /// Refused for its issuer. Any other refusal would hide that the retired generation is still trusted.
    fn of(answer: Result<Response, NoAnswer>) -> Self {
        match answer {
            Ok(response) if response.status == 401 => {
                let reason = String::from_utf8_lossy(&response.body).into_owned();
                if reason.contains("key is not an accepted one") { Self::Refused } else { Self::Otherwise(reason) }
            }
            Ok(response) => Self::Otherwise(format!("answered with status {}", response.status)),
            Err(NoAnswer::Failed(reason)) if reason.contains("UnknownIssuer") => Self::Refused,
            Err(NoAnswer::Failed(reason)) => Self::Otherwise(reason),
            Err(NoAnswer::Unavailable) => Self::Otherwise("unavailable".to_owned()),
        }
    }
}

/// The client's old credential, with its trust of today, at the real server.
fn old_client(
    cluster: &MiniCluster,
    path: Path,
    client: &Component,
    server: &Component,
) -> Result<Option<Verdict>, ClusterError> {
    let Some(old) = path.client_credential().leaf().and_then(|leaf| cluster.old_leaf(&client.id, leaf)) else {
        return Ok(None);
    };
    let (shared, loaded) = (cluster.shared(), client.loaded());
    let mut request = health_request(shared, path, &loaded);
    let config = match (&old.credential, path.client_credential()) {
        (Credential::Certificate(identity), ClientCredential::Certificate(_)) => {
            Arc::new(loaded.process.client_showing(shared.environment(), path, identity)?)
        }
        (Credential::Token(token), _) => {
            request.bearer = Some(token.to_string());
            let Some(config) = loaded.client(path) else { return Ok(None) };
            Arc::clone(config)
        }
        _ => return Ok(None),
    };
    let answer = way(shared, path, &loaded, server).and_then(|way| exchange(config, &way, &request));
    Ok(Some(Verdict::of(answer)))
}

/// A server that has an old certificate of the real one and its key, and no other.
struct Rogue {
    listener: Arc<Listener>,
}

impl Rogue {
    fn start(cluster: &MiniCluster, server: &Component, old: &HeldLeaf) -> Result<Self, ClusterError> {
        let listener = Arc::new(Listener::new(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let Some(identity) = old.identity() else { return Ok(Self { listener }) };
        let named = server.loaded().material.by_server_name.clone();
        let named = named.into_iter().map(|(name, _)| (name, identity.into())).collect();
        let config = server_config(Vec::new(), false, identity.into(), named, &cluster.shared().environment().tls())?;
        listener.start(Arc::new(RogueService(Arc::new(config))))?;
        Ok(Self { listener })
    }

    /// The real client, as it runs, meets the impostor under the real server's name.
    fn meet(
        &self,
        cluster: &MiniCluster,
        path: Path,
        client: &Component,
        server: &Component,
    ) -> Result<Option<Verdict>, ClusterError> {
        let (shared, loaded) = (cluster.shared(), client.loaded());
        let Some(config) = loaded.client(path) else { return Ok(None) };
        let request = health_request(shared, path, &loaded);
        let answer = way(shared, path, &loaded, server).and_then(|real| {
            let impostor = Way { listener: Arc::clone(&self.listener), name: real.name };
            exchange(Arc::clone(config), &impostor, &request)
        });
        Ok(Some(Verdict::of(answer)))
    }
}

struct RogueService(Arc<ServerConfig>);

impl Service for RogueService {
    fn config(&self) -> Option<Arc<ServerConfig>> {
        Some(Arc::clone(&self.0))
    }

    fn answer(&self, _: &Request, _: &[CertificateDer<'static>], _: Option<&Held>) -> Response {
        Response::ok("rogue")
    }

    fn hold(&self, _: &Request, _: &[CertificateDer<'static>], _: &Arc<TcpStream>) -> Result<Arc<Held>, Response> {
        Err(Response::refused(501, "nothing is held here"))
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.listener.stop();
    }
}

/// What should be gone and is not, in words: generations that are not the active one in what components hold and send,
/// their keys, and addresses of the control plane that were left.
pub(crate) fn lingering(
    cluster: &MiniCluster,
    machine: &Machine,
    report: &mut ProbeReport,
) -> Result<Vec<String>, ClusterError> {
    let shared = cluster.shared();
    let mut found = keys_that_linger(shared, machine)?;
    for component in shared.components() {
        found.extend(held_that_lingers(component, machine));
    }
    chains_that_linger(shared, machine, report, &mut found);
    for server in shared.of_kind(ComponentKind::KubeApiServer) {
        for (address, listener) in server.listeners_at() {
            let left = Some(&address) != machine.address();
            let Some(socket) = listener.address().filter(|_| left) else { continue };
            match TcpStream::connect_timeout(&socket, EXCHANGE_TIMEOUT) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => report.closed_sockets += 1,
                _ => found.push(format!("`{}` still answers on `{address}`", server.id)),
            }
        }
    }
    Ok(found)
}

fn keys_that_linger(shared: &Shared, machine: &Machine) -> Result<Vec<String>, ClusterError> {
    let mut found = Vec::new();
    for &role in shared.hierarchy().roles() {
        let active = machine.authority(role).map(|record| record.version);
        for version in shared.authorities().versions(role) {
            if shared.authorities().has_key(role, version)? != (Some(version) == active) {
                let word = if Some(version) == active { "is gone" } else { "still exists" };
                found.push(format!("the key of `{role}` {version} {word}"));
            }
        }
    }
    Ok(found)
}

/// What a component has loaded, apart from what it says.
fn held_that_lingers(component: &Component, machine: &Machine) -> Vec<String> {
    let loaded = component.loaded();
    let material = &loaded.material;
    let mut found = Vec::new();
    for (slot, (role, versions, _)) in &material.bundles {
        let active = machine.authority(*role).map(|record| record.version);
        if !versions.versions().eq(active) {
            found.push(format!("`{}` trusts {versions} in {slot:?}", component.id));
        }
    }
    for (leaf, held) in &material.leaves {
        let role = machine.topology().hierarchy().issuer_of(*leaf);
        let active = role.and_then(|role| machine.authority(role)).map(|record| record.version);
        if Some(held.version) != active || held.through.is_some() {
            found.push(format!("`{}` holds a `{leaf}` of {}", component.id, held.version));
        }
    }
    let addresses = material.serves.iter().map(|(address, _)| address).chain(&material.service).chain(&material.dials);
    let left = addresses.filter(|address| Some(*address) != machine.address());
    found.extend(left.map(|address| format!("`{}` serves, publishes or dials `{address}`", component.id)));
    found
}

/// Every client at every server once more: which generations signed what the two really sent.
fn chains_that_linger(shared: &Shared, machine: &Machine, report: &mut ProbeReport, found: &mut Vec<String>) {
    for path in Path::of(shared.hierarchy()) {
        for server in shared.of_kind(path.server()) {
            for client in shared.of_kind(path.client()).filter(|client| dials(path, client, server)) {
                let loaded = client.loaded();
                let Some(config) = loaded.client(path) else { continue };
                let request = health_request(shared, path, &loaded);
                let exchanged = way(shared, path, &loaded, server)
                    .and_then(|way| exchange_showing(Arc::clone(config), &way, &request));
                let Ok((response, shown)) = exchanged else {
                    found.push(format!("{path}: `{}` does not reach `{}`", client.id, server.id));
                    continue;
                };
                report.chains += 2;
                let signers = shown.iter().filter_map(|certificate| shared.authorities().issuer_named_by(certificate));
                let by_server = signers.map(|(role, version)| format!("{role}/{version}"));
                let by_client = String::from_utf8_lossy(&response.body).into_owned();
                for (presenter, signer) in by_server
                    .map(|signer| (server, signer))
                    .chain(by_client.lines().map(|signer| (client, signer.to_owned())))
                {
                    let is_active = shared.hierarchy().roles().iter().any(|role| {
                        machine.authority(*role).is_some_and(|record| format!("{role}/{}", record.version) == signer)
                    });
                    if !is_active {
                        found.push(format!("{path}: `{}` shows what `{signer}` signed", presenter.id));
                    }
                }
            }
        }
    }
}
