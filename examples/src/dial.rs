//! One exchange of a client: connect, full handshake, request, answer.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use pki_core::{ClientCredential, Path, ServerAuthority};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use rustls_pki_types::ServerName;

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
pub(crate) fn dialled_name(shared: &Shared, path: Path, server: &Component) -> Result<ServerName<'static>, NoAnswer> {
    let dns = |name: &str| {
        ServerName::try_from(name.to_owned()).map_err(|_| NoAnswer::Failed(format!("`{name}` is not a DNS name")))
    };
    match path {
        Path::PodApi => dns("kubernetes.default.svc"),
        _ if path.server_authority(shared.hierarchy()) == ServerAuthority::External => dns(shared.external_name()),
        _ => Ok(ServerName::IpAddress(server.host.into())),
    }
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
pub(crate) fn exchange(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    listener: &Listener,
    request: &Request,
) -> Result<Response, NoAnswer> {
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
    let answer = over(config, name, socket, request);
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
) -> io::Result<Response> {
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
    Ok(response)
}

/// Whether the other side refused: by an alert, or by hanging up before one was read.
fn is_alert(error: &io::Error) -> bool {
    let alert = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::AlertReceived(_)));
    alert || matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
}
