//! A listening socket of a component: real TCP, real TLS, one thread, and one more for each connection that is held.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::CertificateDer;

use crate::process::{Closed, Held, Socket};
use crate::wire::{Request, Response, read_request, send_response};

/// No exchange on loopback takes so long; one that does is a failure.
pub(crate) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a refused client may have sent meanwhile.
const DRAIN_LEN_MAX: u64 = 64 << 10;

/// What stands behind a socket.
pub(crate) trait Service: Send + Sync {
    /// The configuration of the moment, for each new connection.
    fn config(&self) -> Option<Arc<ServerConfig>>;

    /// Answers a request of a client that presented this chain; on a connection that is held already, `held` is this end.
    fn answer(&self, request: &Request, chain: &[CertificateDer<'static>], held: Option<&Held>) -> Response;

    /// Holds a connection whose client wants to ask more than once.
    fn hold(
        &self,
        request: &Request,
        chain: &[CertificateDer<'static>],
        socket: &Arc<TcpStream>,
    ) -> Result<Arc<Held>, Response>;
}

/// How a connection ended for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was answered and is over.
    Served,
    /// The server refused, or the exchange failed.
    Refused(String),
    /// It was held.
    Held {
        /// Why the server closed it, if it did.
        closed: Option<Closed>,
        /// What the server read in place of the next request.
        error: String,
        /// Whether it outlived more trust at the server.
        outlived: bool,
    },
}

/// How each connection ended, by the address of its client: TLS tells the client only an alert.
#[derive(Debug, Default)]
struct Endings {
    ended: Mutex<BTreeMap<SocketAddr, Ending>>,
    one_more: Condvar,
}

impl Endings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Ending>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, client: SocketAddr, ending: Ending) {
        self.lock().insert(client, ending);
        self.one_more.notify_all();
    }
}

/// A socket that opens and closes with its process and keeps its address.
#[derive(Debug)]
pub(crate) struct Listener {
    host: IpAddr,
    address: Mutex<Option<SocketAddr>>,
    /// Held for reading by every exchange: a process that stops finishes what it has begun.
    gate: RwLock<()>,
    running: Mutex<Option<Running>>,
    endings: Arc<Endings>,
}

#[derive(Debug)]
struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Holder>>,
}

/// A connection that is held, and the thread that answers on it.
#[derive(Debug)]
struct Holder {
    held: Weak<Held>,
    thread: JoinHandle<()>,
}

impl Listener {
    pub(crate) fn new(host: IpAddr) -> Self {
        Self {
            host,
            address: Mutex::default(),
            gate: RwLock::default(),
            running: Mutex::default(),
            endings: Arc::default(),
        }
    }

    /// Where it listens, or did when its process last ran.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks an exchange, so that the process does not stop in the middle of it.
    pub(crate) fn exchange(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the connection from this address ended for the server. Waits for the server to be done with it.
    pub(crate) fn ending_of(&self, client: SocketAddr) -> Ending {
        let waiting = |ended: &mut BTreeMap<SocketAddr, Ending>| !ended.contains_key(&client);
        let waited = self.endings.one_more.wait_timeout_while(self.endings.lock(), EXCHANGE_TIMEOUT, waiting);
        let (mut ended, _) = waited.unwrap_or_else(PoisonError::into_inner);
        ended.remove(&client).unwrap_or_else(|| Ending::Refused("the server did not finish".to_owned()))
    }

    /// Why the server refused clients that have not asked.
    pub(crate) fn unasked_refusals(&self) -> BTreeMap<SocketAddr, String> {
        let ended = std::mem::take(&mut *self.endings.lock());
        let refusals = ended.into_iter().filter_map(|(client, ending)| match ending {
            Ending::Refused(refusal) => Some((client, refusal)),
            Ending::Served | Ending::Held { .. } => None,
        });
        refusals.collect()
    }

    /// Whether it listens.
    pub(crate) fn is_open(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Opens the socket: any free port at first, the same one after a restart.
    pub(crate) fn start(&self, service: Arc<dyn Service>) -> io::Result<()> {
        let socket = self.bind()?;
        let address = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, endings) = (Arc::clone(&stop), Arc::clone(&self.endings));
        let thread = std::thread::Builder::new().name(address.to_string()).spawn(move || {
            let mut holders: Vec<Holder> = Vec::new();
            for stream in socket.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let Ok(client) = stream.peer_addr() else { continue };
                match serve(stream, &*service)
                    .and_then(|open| open.map(|open| open.stay(client, &service, &endings)).transpose())
                {
                    Ok(None) => endings.put(client, Ending::Served),
                    Ok(Some(holder)) => {
                        holders.retain(|holder| !holder.thread.is_finished());
                        holders.push(holder);
                    }
                    Err(error) => endings.put(client, Ending::Refused(tls_error(&error))),
                }
            }
            holders
        })?;
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { stop, thread });
        Ok(())
    }

    fn bind(&self) -> io::Result<TcpListener> {
        if let Some(address) = self.address()
            && let Ok(socket) = TcpListener::bind(address)
        {
            return Ok(socket);
        }
        // Linux has all of 127.0.0.0/8; elsewhere one address serves everybody, and ports tell them apart.
        TcpListener::bind((self.host, 0)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Finishes the exchanges that run, and closes the socket and the connections that are held.
    pub(crate) fn stop(&self) {
        let _closed = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(Running { stop, thread }), Some(address)) = (running, self.address()) {
            stop.store(true, Ordering::SeqCst);
            // Wakes the thread out of its wait for the next client. If it cannot be reached it is gone.
            drop(TcpStream::connect_timeout(&address, EXCHANGE_TIMEOUT));
            let holders = thread.join().unwrap_or_default();
            holders.iter().filter_map(|holder| holder.held.upgrade()).for_each(|held| held.close(Closed::Stopped));
            holders.into_iter().for_each(|holder| drop(holder.thread.join()));
        }
    }
}

type Stream = StreamOwned<ServerConnection, Socket>;

/// A connection that stays open after its first answer.
struct Open {
    tls: Stream,
    held: Arc<Held>,
}

/// Answers the first request: the connection, if it is to be held.
fn serve(stream: TcpStream, service: &dyn Service) -> io::Result<Option<Open>> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(EXCHANGE_TIMEOUT))?;
    stream.set_write_timeout(Some(EXCHANGE_TIMEOUT))?;
    let config = service.config().ok_or(io::ErrorKind::NotFound)?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let stream = Arc::new(stream);
    let mut tls = StreamOwned::new(connection, Socket(Arc::clone(&stream)));
    let served = read_request(&mut tls).and_then(|request| {
        let chain = tls.conn.peer_certificates().unwrap_or_default();
        let response = service.answer(&request, chain, None);
        if request.once || response.status != 200 {
            return send_response(&mut tls, &response, true).map(|()| None);
        }
        match service.hold(&request, chain, &stream) {
            Ok(held) => send_response(&mut tls, &response, false).map(|()| Some(held)),
            Err(refused) => send_response(&mut tls, &refused, true).map(|()| None),
        }
    });
    match served {
        Ok(Some(held)) => return Ok(Some(Open { tls, held })),
        Ok(None) => hang_up(tls),
        Err(error) => {
            hang_up(tls);
            return Err(error);
        }
    }
    Ok(None)
}

impl Open {
    /// Answers from now on in a thread of its own, until the client leaves or this end is closed.
    fn stay(self, client: SocketAddr, service: &Arc<dyn Service>, endings: &Arc<Endings>) -> io::Result<Holder> {
        // Nobody knows when the next request comes.
        self.tls.sock.0.set_read_timeout(None)?;
        let (held, service, endings) = (Arc::downgrade(&self.held), Arc::clone(service), Arc::clone(endings));
        let thread = std::thread::Builder::new().name(format!("held-by-{client}")).spawn(move || {
            let Self { mut tls, held } = self;
            let error = answer_on(&mut tls, &*service, &held);
            hang_up(tls);
            let (closed, outlived) = (held.closed(), held.has_outlived());
            // Whoever learns that it has ended does not find it among those that are held.
            drop(held);
            endings.put(client, Ending::Held { closed, error: tls_error(&error), outlived });
        })?;
        Ok(Holder { held, thread })
    }
}

/// Answers one request after the other, and gives what came in place of the next one.
fn answer_on(tls: &mut Stream, service: &dyn Service, held: &Held) -> io::Error {
    loop {
        let request = match read_request(tls) {
            // What comes on a connection that was closed meanwhile is not answered.
            _ if held.closed().is_some() => return io::ErrorKind::ConnectionAborted.into(),
            Ok(request) => request,
            Err(error) => return error,
        };
        let response = service.answer(&request, tls.conn.peer_certificates().unwrap_or_default(), Some(held));
        if let Err(error) = send_response(tls, &response, false) {
            return error;
        }
    }
}

fn hang_up(mut tls: Stream) {
    tls.conn.send_close_notify();
    let _sent = tls.conn.write_tls(&mut tls.sock);
    // A socket closed on unread octets resets, and the alert that says why is lost: read what is left.
    let _closed = tls.sock.0.shutdown(Shutdown::Write);
    let _limited = tls.sock.0.set_read_timeout(Some(EXCHANGE_TIMEOUT));
    let _drained = io::copy(&mut tls.sock.take(DRAIN_LEN_MAX), &mut io::sink());
}

/// The TLS error inside an I/O error, in its own words.
pub(crate) fn tls_error(error: &io::Error) -> String {
    error.get_ref().map_or_else(|| error.to_string(), ToString::to_string)
}
