//! A listening socket of a component: real TCP, real TLS, one thread.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::CertificateDer;

use crate::wire::{Request, Response, read_request, send_response};

/// No exchange on loopback takes so long; one that does is a failure.
pub(crate) const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a refused client may have sent meanwhile.
const DRAIN_LEN_MAX: u64 = 64 << 10;

/// Answers a request of a client that presented this chain.
pub(crate) type Handler = dyn Fn(&Request, &[CertificateDer<'static>]) -> Response + Send + Sync;
/// The configuration of the moment, for each new connection.
pub(crate) type Config = dyn Fn() -> Option<Arc<ServerConfig>> + Send + Sync;

/// How each connection ended for the server, by the address of its client: TLS tells the client only an alert.
#[derive(Debug, Default)]
struct Endings {
    ended: Mutex<BTreeMap<SocketAddr, Option<String>>>,
    one_more: Condvar,
}

impl Endings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Option<String>>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, client: SocketAddr, refusal: Option<String>) {
        self.lock().insert(client, refusal);
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

    /// How the connection from this address ended for the server: why it refused, if it did. Waits for the server
    /// to be done with it.
    pub(crate) fn ending_of(&self, client: SocketAddr) -> Option<String> {
        let waiting = |ended: &mut BTreeMap<SocketAddr, Option<String>>| !ended.contains_key(&client);
        let waited = self.endings.one_more.wait_timeout_while(self.endings.lock(), EXCHANGE_TIMEOUT, waiting);
        let (mut ended, _) = waited.unwrap_or_else(PoisonError::into_inner);
        ended.remove(&client).unwrap_or_else(|| Some("the server did not finish".to_owned()))
    }

    /// Why the server refused clients that have not asked.
    pub(crate) fn unasked_refusals(&self) -> BTreeMap<SocketAddr, String> {
        let ended = std::mem::take(&mut *self.endings.lock());
        ended.into_iter().filter_map(|(client, refusal)| Some((client, refusal?))).collect()
    }

    /// Whether it listens.
    pub(crate) fn is_open(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Opens the socket: any free port at first, the same one after a restart.
    pub(crate) fn start(&self, config: Box<Config>, handler: Arc<Handler>) -> io::Result<()> {
        let socket = self.bind()?;
        let address = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, endings) = (Arc::clone(&stop), Arc::clone(&self.endings));
        let thread = std::thread::Builder::new().name(address.to_string()).spawn(move || {
            for stream in socket.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let Ok(client) = stream.peer_addr() else { continue };
                endings.put(client, serve(stream, &*config, &*handler).err().as_ref().map(tls_error));
            }
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

    /// Finishes the exchanges that run, and closes the socket.
    pub(crate) fn stop(&self) {
        let _closed = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(Running { stop, thread }), Some(address)) = (running, self.address()) {
            stop.store(true, Ordering::SeqCst);
            // Wakes the thread out of its wait for the next client. If it cannot be reached it is gone.
            drop(TcpStream::connect_timeout(&address, EXCHANGE_TIMEOUT));
            drop(thread.join());
        }
    }
}

fn serve(stream: TcpStream, config: &Config, handler: &Handler) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(EXCHANGE_TIMEOUT))?;
    stream.set_write_timeout(Some(EXCHANGE_TIMEOUT))?;
    let config = config().ok_or(io::ErrorKind::NotFound)?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(connection, stream);
    let served = read_request(&mut tls).and_then(|request| {
        let response = handler(&request, tls.conn.peer_certificates().unwrap_or_default());
        send_response(&mut tls, &response)
    });
    tls.conn.send_close_notify();
    let _sent = tls.conn.write_tls(&mut tls.sock);
    // A socket closed on unread octets resets, and the alert that says why is lost: read what is left.
    let _closed = tls.sock.shutdown(Shutdown::Write);
    let _drained = io::copy(&mut tls.sock.take(DRAIN_LEN_MAX), &mut io::sink());
    served
}

/// The TLS error inside an I/O error, in its own words.
pub(crate) fn tls_error(error: &io::Error) -> String {
    error.get_ref().map_or_else(|| error.to_string(), ToString::to_string)
}
