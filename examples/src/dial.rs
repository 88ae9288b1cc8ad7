//! One exchange of a client: connect, full handshake, request, answer. And a connection that is held, to be asked over
//! now and then.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use pki_core::{AuthorityId, ClientCredential, ComponentKind, Endpoint, Path, ServerAuthority};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};

use crate::cluster::Shared;
use crate::component::{Component, Environment, Loaded};
use crate::process::{Closed, Held, Socket};
use crate::server::{EXCHANGE_TIMEOUT, Ending, Listener, tls_error};
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
    Request { method: "GET".to_owned(), target: format!("/healthz/{path}"), bearer, once: true, body: Vec::new() }
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
    let _begun = listener.exchange();
    let (socket, local) = connect(listener)?;
    let answer = over(config, way.name.clone(), socket, request).map(|(response, mut tls)| {
        tls.conn.send_close_notify();
        let _sent = tls.conn.write_tls(&mut tls.sock);
        (response, tls.conn.peer_certificates().unwrap_or_default().to_vec())
    });
    // The socket is closed by now, so the server comes to its end too, and says which.
    judge(answer, &listener.ending_of(local))
}

fn connect(listener: &Listener) -> Result<(Arc<TcpStream>, SocketAddr), NoAnswer> {
    let address = listener.address().ok_or(NoAnswer::Unavailable)?;
    let socket = match TcpStream::connect_timeout(&address, EXCHANGE_TIMEOUT) {
        Ok(socket) => socket,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(NoAnswer::Unavailable),
        Err(error) => return Err(NoAnswer::Failed(error.to_string())),
    };
    let local = socket.local_addr().map_err(|error| NoAnswer::Failed(error.to_string()))?;
    Ok((Arc::new(socket), local))
}

/// What an exchange came to that is over on both sides.
fn judge<T>(answer: io::Result<T>, ending: &Ending) -> Result<T, NoAnswer> {
    match (answer, ending) {
        (Err(error), Ending::Refused(refusal)) if is_alert(&error) => Err(NoAnswer::Failed(refusal.clone())),
        (Err(error), _) => Err(NoAnswer::Failed(tls_error(&error))),
        (Ok(_), Ending::Refused(refusal)) => Err(NoAnswer::Failed(refusal.clone())),
        (Ok(answer), _) => Ok(answer),
    }
}

type Stream = StreamOwned<ClientConnection, Socket>;

fn over(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    socket: Arc<TcpStream>,
    request: &Request,
) -> io::Result<(Response, Stream)> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(EXCHANGE_TIMEOUT))?;
    socket.set_write_timeout(Some(EXCHANGE_TIMEOUT))?;
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, Socket(socket));
    send_request(&mut tls, request)?;
    let response = read_response(&mut tls)?;
    if tls.conn.handshake_kind() != Some(HandshakeKind::Full) {
        return Err(io::Error::other("the handshake was not a full one"));
    }
    Ok((response, tls))
}

/// A connection that a client holds, as a kubelet holds its watch.
pub(crate) struct HeldConnection {
    tls: Stream,
    listener: Arc<Listener>,
    local: SocketAddr,
    held: Arc<Held>,
}

/// Why a connection that was held is over, and what it has gone through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) why: Why,
    /// Whether it went on when more trust was added to what one of its ends stands on.
    pub(crate) outlived: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its client wanted no more of it.
    Done,
    /// One end of it has stopped, or left the address.
    Stopped,
    /// The authority that vouched for one end is trusted no longer at the other.
    Retired,
    /// Anything else.
    Broken(String),
}

impl HeldConnection {
    /// Dials, and asks for the first time.
    pub(crate) fn dial(
        environment: &Environment,
        path: Path,
        client: &Loaded,
        way: Way,
        request: &Request,
    ) -> Result<Self, NoAnswer> {
        let Way { listener, name } = way;
        let config = client.client(path).ok_or(NoAnswer::Unavailable)?;
        let _begun = listener.exchange();
        let (socket, local) = connect(&listener)?;
        let answer = match over(Arc::clone(config), name.clone(), Arc::clone(&socket), request) {
            Ok((response, tls)) if response.status == 200 => {
                let chain = tls.conn.peer_certificates().unwrap_or_default();
                let held = client.process.hold_as_client(environment, path, chain, &name, &socket);
                held.map(|held| (tls, held)).map_err(io::Error::other)
            }
            Ok((response, _)) => Err(io::Error::other(words(&response))),
            Err(error) => Err(error),
        };
        drop(socket);
        match answer {
            Ok((tls, held)) => {
                drop(_begun);
                Ok(Self { tls, listener, local, held })
            }
            Err(error) => judge(Err(error), &listener.ending_of(local)),
        }
    }

    /// Asks once more.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<(), String> {
        let _begun = self.listener.exchange();
        if self.held.closed().is_some() {
            return Err("it was closed".to_owned());
        }
        let answer = send_request(&mut self.tls, request).and_then(|()| read_response(&mut self.tls));
        match answer {
            Ok(response) if response.status == 200 => Ok(()),
            Ok(response) => Err(words(&response)),
            Err(error) => Err(tls_error(&error)),
        }
    }

    /// Hangs up, and says why it is over: for its client because of `found`, if anything.
    pub(crate) fn end(self, found: Option<String>) -> Over {
        let Self { mut tls, listener, local, held } = self;
        tls.conn.send_close_notify();
        let _sent = tls.conn.write_tls(&mut tls.sock);
        // An end that is gone already cannot be shut.
        let _shut = tls.sock.0.shutdown(Shutdown::Both);
        let (own, outlived) = (held.closed(), held.has_outlived());
        drop((tls, held));
        let ending = listener.ending_of(local);
        let (theirs, error, outlived) = match ending {
            Ending::Held { closed, error, outlived: there } => (closed, Some(error), outlived || there),
            Ending::Refused(refusal) => (None, Some(refusal), outlived),
            Ending::Served => (None, None, outlived),
        };
        let why = match (own, theirs, found) {
            (Some(Closed::Retired), _, _) | (_, Some(Closed::Retired), _) => Why::Retired,
            (Some(Closed::Stopped), _, _) | (_, Some(Closed::Stopped), _) => Why::Stopped,
            (None, None, None) => Why::Done,
            (None, None, Some(found)) => Why::Broken(match error {
                Some(error) => format!("{found}; the server: {error}"),
                None => found,
            }),
        };
        Over { why, outlived }
    }

    /// The client's end of TCP.
    pub(crate) const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The authority at the top of the server's chain, where the client verified one.
    pub(crate) fn anchor(&self) -> Option<AuthorityId> {
        self.held.anchor()
    }
}

fn words(response: &Response) -> String {
    format!("{} {}", response.status, String::from_utf8_lossy(&response.body))
}

/// Whether the other side refused: by an alert, or by hanging up before one was read.
fn is_alert(error: &io::Error) -> bool {
    let alert = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::AlertReceived(_)));
    alert || matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
}
