//! One exchange of a client: connect, full handshake, request, answer.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

use pki_core::{ClientCredential, ComponentKind, Endpoint, Path, ServerAuthority};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};

use crate::cluster::Shared;
use crate::component::{Component, Loaded};
use crate::server::{EXCHANGE_TIMEOUT, Listener, tls_error};
use crate::wire::{Request, Response, read_response, send_request};

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The connection was refused: nothing listens.
    Unavailable,
    /// TLS or the exchange failed, in the words of the side that refused.
    Failed(String),
}

/// The name that a client of this path dials.
fn dialled_name(shared: &Shared, path: Path, server: &Component) -> Result<ServerName<'static>, NoAnswer> {
    let dns = |name: &str| {
        ServerName::try_from(name.to_owned()).map_err(|_| NoAnswer::Failed(format!("`{name}` is not a DNS name")))
    };
    match path {
        Path::PodApi => dns("kubernetes.default.svc"),
        _ if path.server_authority(shared.hierarchy()) == ServerAuthority::External => dns(shared.external_name()),
        _ => Ok(ServerName::IpAddress(server.host.into())),
    }
}

/// Where a client of this path finds a server, and under which name.
pub(crate) struct Way {
    pub(crate) listener: Arc<Listener>,
    pub(crate) name: ServerName<'static>,
}

/// How a client that has loaded this reaches a server. Where addresses of the control plane are followed, its kubeconfig
/// says which one it dials; a pod goes where the `kubernetes` Service leads, and API servers know each other's own.
pub(crate) fn way(shared: &Shared, path: Path, client: &Loaded, server: &Component) -> Result<Way, NoAnswer> {
    let material = &server.loaded().material;
    let follows = path.endpoint() == Endpoint::ApiServer && !material.serves.is_empty();
    if !follows || path.client() == ComponentKind::KubeApiServer {
        let listener = server.listeners.get(&path.endpoint()).ok_or(NoAnswer::Unavailable)?;
        return Ok(Way { listener: Arc::clone(listener), name: dialled_name(shared, path, server)? });
    }
    let in_service = path.client() == ComponentKind::Pod;
    let address = if in_service { &material.service } else { &client.material.dials };
    let address = address.as_ref().ok_or(NoAnswer::Unavailable)?;
    let listener = server.listener_at(address).ok_or(NoAnswer::Unavailable)?;
    let name = match address.to_string().parse::<IpAddr>() {
        Ok(address) if !in_service => ServerName::IpAddress(address.into()),
        _ => dialled_name(shared, path, server)?,
    };
    Ok(Way { listener, name })
}

/// What a client of this path sends: its credential, where that is not a certificate.
pub(crate) fn health_request(shared: &Shared, path: Path, loaded: &Loaded) -> Request {
    let bearer = match path.client_credential() {
        ClientCredential::ServiceAccountToken => {
            loaded.material.leaves.values().find_map(|leaf| leaf.token()).map(|token| token.to_string())
        }
        ClientCredential::BootstrapToken => Some(shared.bootstrap_token().to_owned()),
        _ => None,
    };
    Request { method: "GET".to_owned(), target: format!("/healthz/{path}"), bearer, body: Vec::new() }
}

/// One exchange with whatever listens at `listener`.
///
/// In TLS 1.3 a client has finished before the server has judged it, so only an answer is a success.
/// When it fails by an alert, the server's own reason is reported.
pub(crate) fn exchange(config: Arc<ClientConfig>, way: &Way, request: &Request) -> Result<Response, NoAnswer> {
    exchange_showing(config, way, request).map(|(response, _)| response)
}

/// The same, with the chain that the server showed.
pub(crate) fn exchange_showing(
    config: Arc<ClientConfig>,
    way: &Way,
    request: &Request,
) -> Result<(Response, Vec<CertificateDer<'static>>), NoAnswer> {
    let listener = &way.listener;
    let address = listener.address().ok_or(NoAnswer::Unavailable)?;
    let _begun = listener.exchange();
    let socket = match TcpStream::connect_timeout(&address, EXCHANGE_TIMEOUT) {
        Ok(socket) => socket,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(NoAnswer::Unavailable),
        Err(error) => return Err(NoAnswer::Failed(error.to_string())),
    };
    let local = match socket.local_addr() {
        Ok(local) => local,
        Err(error) => return Err(NoAnswer::Failed(error.to_string())),
    };
    let answer = over(config, way.name.clone(), socket, request);
    // The socket is closed by now, so the server comes to its end too, and says which.
    let refusal = listener.ending_of(local);
    match (answer, refusal) {
        (Ok(response), None) => Ok(response),
        (Err(error), Some(refusal)) if is_alert(&error) => Err(NoAnswer::Failed(refusal)),
        (Err(error), _) => Err(NoAnswer::Failed(tls_error(&error))),
        (Ok(_), Some(refusal)) => Err(NoAnswer::Failed(refusal)),
    }
}

fn over(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    socket: TcpStream,
    request: &Request,
) -> io::Result<(Response, Vec<CertificateDer<'static>>)> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(EXCHANGE_TIMEOUT))?;
    socket.set_write_timeout(Some(EXCHANGE_TIMEOUT))?;
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, socket);
    send_request(&mut tls, request)?;
    let response = read_response(&mut tls)?;
    if tls.conn.handshake_kind() != Some(HandshakeKind::Full) {
        return Err(io::Error::other("the handshake was not a full one"));
    }
    tls.conn.send_close_notify();
    let _sent = tls.conn.write_tls(&mut tls.sock);
    let shown = tls.conn.peer_certificates().unwrap_or_default().to_vec();
    Ok((response, shown))
}

/// Whether the other side refused: by an alert, or by hanging up before one was read.
fn is_alert(error: &io::Error) -> bool {
    let alert = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::AlertReceived(_)));
    alert || matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
}
