//! When a rotation is over, nobody accepts what the retired generation issued.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use pki_core::{ClientCredential, Path};
use rustls_pki_types::ServerName;

use crate::authorities::{Credential, HeldLeaf};
use crate::cluster::{ClusterError, MiniCluster};
use crate::component::Component;
use crate::dial::{NoAnswer, dialled_name, exchange, health_request};
use crate::report::ProbeReport;
use crate::server::Listener;
use crate::traffic::dials;
use crate::wire::Response;

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

/// Tries every first leaf again: at every server that verifies its clients, and on every client that
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
            let old = path.endpoint().leaf().and_then(|leaf| cluster.first_leaf(&server.id, leaf));
            let rogue = old.map(|old| Rogue::start(cluster, server, old)).transpose()?;
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

/// The client's first credential, with its trust of today, at the real server.
fn old_client(
    cluster: &MiniCluster,
    path: Path,
    client: &Component,
    server: &Component,
) -> Result<Option<Verdict>, ClusterError> {
    let Some(old) = path.client_credential().leaf().and_then(|leaf| cluster.first_leaf(&client.id, leaf)) else {
        return Ok(None);
    };
    let (shared, loaded) = (cluster.shared(), client.loaded());
    let mut request = health_request(shared, path, &loaded);
    let config = match (&old.credential, path.client_credential()) {
        (Credential::Certificate(identity), ClientCredential::Certificate(_)) => {
            let bundle = shared.environment().client_bundle(path, &loaded.material);
            Arc::new(shared.environment().client_with(path, bundle, Some(identity))?)
        }
        (Credential::Token(token), _) => {
            request.bearer = Some(token.to_string());
            let Some(config) = loaded.client(path) else { return Ok(None) };
            Arc::clone(config)
        }
        _ => return Ok(None),
    };
    let Some(listener) = server.listeners.get(&path.endpoint()) else { return Ok(None) };
    let answer = dialled_name(shared, path, server).and_then(|name| exchange(config, name, listener, &request));
    Ok(Some(Verdict::of(answer)))
}

/// A server that has the real one's first certificate and key, and no other.
struct Rogue {
    listener: Listener,
}

impl Rogue {
    fn start(cluster: &MiniCluster, server: &Component, old: &HeldLeaf) -> Result<Self, ClusterError> {
        let listener = Listener::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let Some(identity) = old.identity() else { return Ok(Self { listener }) };
        let named =
            server.loaded().material.by_server_name.clone().into_iter().map(|(name, _)| (name, identity.clone()));
        let config =
            Arc::new(cluster.shared().environment().server_with(Vec::new(), false, identity, named.collect())?);
        listener.start(Box::new(move || Some(Arc::clone(&config))), Arc::new(|_, _| Response::ok("rogue")))?;
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
        let answer = dialled_name(shared, path, server)
            .and_then(|name: ServerName<'static>| exchange(Arc::clone(config), name, &self.listener, &request));
        Ok(Some(Verdict::of(answer)))
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.listener.stop();
    }
}
