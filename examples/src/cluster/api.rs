//! What the servers of the cluster answer, and to whom.

use std::net::TcpStream;
use std::sync::Arc;

use pki_core::{ClientCredential, ComponentKind, Endpoint, LeafKind, Limits, NodeName, Path};
use rotation_fsm::{Address, ConsumerId};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use trust_model::{Decision, decide_client};

use super::{Shared, holder_of};
use crate::authorities::TOKEN_ISSUER;
use crate::component::Component;
use crate::process::{Held, Trust};
use crate::server::Service;
use crate::wire::{Request, Response};

/// What a component answers on one of its sockets.
pub(super) struct ClusterService {
    pub(super) shared: Arc<Shared>,
    pub(super) component: Arc<Component>,
    pub(super) at: At,
}

/// Which socket that is.
pub(super) enum At {
    Endpoint(Endpoint),
    /// An address of the control plane.
    Address(Address),
}

impl Service for ClusterService {
    fn config(&self) -> Option<Arc<ServerConfig>> {
        let loaded = self.component.loaded();
        match &self.at {
            At::Endpoint(endpoint) => loaded.server(*endpoint).cloned(),
            At::Address(address) => loaded.server_at(address).cloned(),
        }
    }

    /// TLS has verified that the client satisfies some path of this socket. Which one it asks for stands in the request, and
    /// that path's own rule is applied here: to a certificate once per connection, as TLS itself does. That nobody looks
    /// at it again is why a connection whose authority is retired has to be closed.
    fn answer(&self, request: &Request, chain: &[CertificateDer<'static>], held: Option<&Held>) -> Response {
        let (shared, server) = (&self.shared, &*self.component);
        match target(request) {
            Some(Target::Health(path)) => {
                let by_certificate = matches!(path.client_credential(), ClientCredential::Certificate(_));
                if by_certificate && held.is_some_and(|held| held.path == path) {
                    return Response::ok(chain_of(shared, chain));
                }
                match authenticate(shared, server, path, request, chain) {
                    Ok(_) => Response::ok(chain_of(shared, chain)),
                    Err(refused) => refused,
                }
            }
            Some(Target::Enrol(leaf, node)) => {
                enrol(shared, server, leaf, &node, request, chain).unwrap_or_else(|refused| refused)
            }
            None => Response::refused(404, "no such resource"),
        }
    }

    fn hold(
        &self,
        request: &Request,
        chain: &[CertificateDer<'static>],
        socket: &Arc<TcpStream>,
    ) -> Result<Arc<Held>, Response> {
        let Some(Target::Health(path)) = target(request) else {
            return Err(Response::refused(400, "no connection is held for that"));
        };
        let held = self.component.loaded().process.hold_as_server(self.shared.environment(), path, chain, socket);
        held.map_err(|denied| Response::refused(401, denied))
    }
}

/// Which generations signed what the client showed, one per line: what it really sent, not what it says that it holds.
fn chain_of(shared: &Shared, chain: &[CertificateDer<'static>]) -> String {
    let signers = chain.iter().filter_map(|certificate| shared.authorities.issuer_named_by(certificate));
    signers.map(|(role, version)| format!("{role}/{version}\n")).collect()
}

enum Target {
    Health(Path),
    Enrol(LeafKind, NodeName),
}

fn target(request: &Request) -> Option<Target> {
    let mut parts = request.target.strip_prefix('/')?.split('/');
    let target = match (request.method.as_str(), parts.next()?) {
        ("GET", "healthz") => Target::Health(Path::from_id(parts.next()?)?),
        ("POST", "certificatesigningrequests") => {
            let leaf = match parts.next()? {
                "kube-apiserver-client-kubelet" => LeafKind::KubeletClient,
                "kubelet-serving" => LeafKind::KubeletServing,
                _ => return None,
            };
            Target::Enrol(leaf, parts.next()?.parse().ok()?)
        }
        _ => return None,
    };
    parts.next().is_none().then_some(target)
}

/// Who the client is on this path, or why it is nobody.
fn authenticate(
    shared: &Shared,
    server: &Component,
    path: Path,
    request: &Request,
    chain: &[CertificateDer<'static>],
) -> Result<String, Response> {
    if path.server() != server.id.kind() || !path.exists_in(shared.hierarchy()) {
        return Err(Response::refused(404, "no such path here"));
    }
    let loaded = server.loaded();
    let keys = path.server_trust().and_then(|slot| loaded.material.bundles.get(&slot));
    let keys = keys.and_then(|(_, _, anchors)| anchors.keys());
    let bundle = path.server_trust().and_then(|slot| loaded.process.trusts(Trust::Slot(slot)));
    let (verifiers, now) = (pki_core::verify::aws_lc_rs(), shared.environment().clock.now());
    match path.client_credential() {
        ClientCredential::Certificate(_) => {
            let bundle = bundle.ok_or_else(|| Response::refused(401, "nothing vouches for clients of this path"))?;
            match decide_client(path, chain, &bundle, &Limits::DEFAULT, verifiers, now) {
                Decision::Allow(verified) => match verified.identity() {
                    Ok(identity) => Ok(identity.subject().common_name().to_owned()),
                    Err(error) => Err(Response::refused(401, error)),
                },
                Decision::Deny(denial) => Err(Response::refused(401, denial)),
            }
        }
        ClientCredential::ServiceAccountToken => {
            let keys = keys.ok_or_else(|| Response::refused(401, "nothing vouches for tokens"))?;
            let token = request.bearer.as_deref().unwrap_or_default();
            let verified = keys.verify(token, TOKEN_ISSUER, TOKEN_ISSUER, &Limits::DEFAULT, verifiers, now);
            verified.map(|token| token.subject().to_owned()).map_err(|error| Response::refused(401, error))
        }
        ClientCredential::BootstrapToken if request.bearer.as_deref() == Some(shared.bootstrap_token()) => {
            Ok("system:bootstrap".to_owned())
        }
        ClientCredential::Anonymous => Ok("system:anonymous".to_owned()),
        _ => Err(Response::refused(401, "no credential of this path")),
    }
}

/// Has the CSR signer answer a node's request: a client certificate for its bootstrap token, a serving
/// certificate for that client certificate.
fn enrol(
    shared: &Shared,
    server: &Component,
    leaf: LeafKind,
    node: &NodeName,
    request: &Request,
    chain: &[CertificateDer<'static>],
) -> Result<Response, Response> {
    let path = if leaf == LeafKind::KubeletClient { Path::NodeBootstrap } else { Path::NodeApi };
    let requester = authenticate(shared, server, path, request, chain)?;
    if path == Path::NodeApi && requester != format!("system:node:{node}") {
        return Err(Response::refused(403, format!("`{requester}` is not the node `{node}`")));
    }
    let kubelet = ConsumerId::new(ComponentKind::Kubelet, node.clone());
    let kubelet = shared.component(&kubelet).ok_or_else(|| Response::refused(403, "no such node"))?;
    let signer = csr_signer(shared).ok_or_else(|| Response::refused(503, "no CSR signer"))?;
    let holder = holder_of(kubelet, leaf);
    let (version, _) = signer.loaded().material.signs.ok_or_else(|| Response::refused(503, "no CSR signer"))?;
    let clock = &shared.environment().clock;
    let signed = shared.authorities.sign_for_node(leaf, version, &holder, &request.body, clock);
    signed.map(|certificate| Response::ok(certificate.to_vec())).map_err(|error| Response::refused(403, error))
}

/// kube-controller-manager, which holds the CSR signer.
pub(super) fn csr_signer(shared: &Shared) -> Option<&Arc<Component>> {
    shared.of_kind(ComponentKind::ControllerManager).next()
}
