//! Sockets in front of a service: who connects, one thread for each, and an end in good order.
//!
//! Whatever a peer sends, it is the peer's connection that ends. A connection that is not one of a known caller is told so and
//! closed.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::net::{IpAddr, Shutdown};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::limits::{Clock, ServerLimits};
use super::lock::Lock;
use super::protocol::{Hello, ProtocolError, Request, Service, VERSION, Welcome, push_frame};
use super::stream::{Closer, Ended, Framed, Stream, Timed, Wait, is_listened_on};
use super::{CallerId, IssuingService, locked};

/// How long a connection that ends is listened to for what may have arrived.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// How long nothing is accepted after that has failed.
const FAILED_WAIT: Duration = Duration::from_millis(20);

/// How long threads are waited for whose connections were cut off.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What stands behind a socket.
pub(crate) trait Handler: fmt::Debug + Send + Sync {
    fn service(&self) -> Service;

    /// Whether the caller has anything to ask for here. Only these have connections of their own, so their number is bounded.
    fn knows(&self, caller: &CallerId) -> bool;

    /// Answers whole frames, of which the first has to be this number; gives the frames to send, and why the connection
    /// ends after them if it does.
    fn answer(&self, caller: &CallerId, first: u64, frames: &[Vec<u8>]) -> (Vec<u8>, Result<(), ProtocolError>);
}

impl Handler for IssuingService {
    fn service(&self) -> Service {
        Service::Issuing
    }

    fn knows(&self, caller: &CallerId) -> bool {
        self.is_caller(caller)
    }

    fn answer(&self, caller: &CallerId, first: u64, frames: &[Vec<u8>]) -> (Vec<u8>, Result<(), ProtocolError>) {
        let (requests, read) = read_in_turn(first, frames, Request::decode, |request| request.sequence);
        let mut out = Vec::new();
        for response in Self::answer(self, caller, &requests) {
            push_frame(&mut out, &response.encode());
        }
        (out, read)
    }
}

/// The messages of these frames up to the first that is none, or is not the one that had to come.
pub(crate) fn read_in_turn<M>(
    first: u64,
    frames: &[Vec<u8>],
    decode: impl Fn(&[u8]) -> Result<M, ProtocolError>,
    sequence: impl Fn(&M) -> u64,
) -> (Vec<M>, Result<(), ProtocolError>) {
    let mut messages = Vec::with_capacity(frames.len());
    for (expected, frame) in (first..).zip(frames) {
        match decode(frame) {
            Ok(message) if sequence(&message) == expected => messages.push(message),
            Ok(message) => return (messages, Err(ProtocolError::OutOfOrder { expected, found: sequence(&message) })),
            Err(error) => return (messages, Err(error)),
        }
    }
    (messages, Ok(()))
}

/// Why a socket is not listened on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// A living process listens there.
    InUse(PathBuf),
    /// Something that is no socket stands there.
    NotASocket(PathBuf),
    /// What the operating system says.
    Io(io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(f, "a living process listens on {}", path.display()),
            Self::NotASocket(path) => write!(f, "{} is there and is no socket", path.display()),
            Self::Io(error) => write!(f, "cannot listen: {error}"),
        }
    }
}

impl core::error::Error for ListenError {}

impl From<io::Error> for ListenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Who may connect over a Unix socket: users of this machine, each with the name under which he is a caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers(BTreeMap<u32, CallerId>);

impl Peers {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This user, too.
    #[must_use]
    pub fn with_user(mut self, uid: u32, caller: CallerId) -> Self {
        self.0.insert(uid, caller);
        self
    }
}

/// What has become of the connections when a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// How many ended by themselves, with everything answered that had arrived.
    pub finished: usize,
    /// How many were cut off when the time was over.
    pub cut_off: usize,
}

/// A service behind sockets. Dropping it cuts everything off; [`drain`](Self::drain) ends it in good order.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    doors: Mutex<Vec<Door>>,
}

#[derive(Debug)]
struct Shared {
    handler: Arc<dyn Handler>,
    limits: ServerLimits,
    clock: Arc<dyn Clock>,
    is_draining: AtomicBool,
    next: AtomicU64,
    not_accepted: AtomicU64,
    register: Arc<Register>,
}

/// Who is connected. It outlives what stands behind the socket: once it is empty no thread has that any more.
#[derive(Debug, Default)]
struct Register {
    connections: Mutex<BTreeMap<u64, Connection>>,
    ended: Condvar,
}

#[derive(Debug)]
struct Connection {
    closer: Closer,
    holder: Holder,
    /// Where it comes from, if that is a network.
    network: Option<IpAddr>,
    /// It was ended for a newer one, and its thread is not gone yet.
    is_cut_off: bool,
}

/// Out of whose share a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    /// Nobody's yet: a TLS handshake.
    #[cfg_attr(all(not(feature = "service-tls"), not(test)), expect(dead_code, reason = "only a handshake has nobody"))]
    Unidentified,
    Stranger,
    Caller(CallerId),
}

/// How a connection stands to the share of its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Within,
    /// Beyond it, and to be told so.
    Above,
}

/// A listener that is accepted from.
#[derive(Debug)]
struct Door {
    listener: OwnedFd,
    thread: Option<JoinHandle<()>>,
    /// The socket's file, and the lock that says that its process lives.
    file: Option<(SocketFile, Lock)>,
}

/// The file of a socket, gone with whoever listens there, or was about to.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _is_gone = fs::remove_file(&self.0);
    }
}

impl Server {
    /// An issuing service, listening nowhere yet.
    #[must_use]
    pub fn issuing(service: Arc<IssuingService>, limits: ServerLimits) -> Self {
        let clock = Arc::clone(&service.clock);
        Self::new(service, limits, clock)
    }

    pub(crate) fn new(handler: Arc<dyn Handler>, limits: ServerLimits, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            handler,
            limits,
            clock,
            is_draining: AtomicBool::new(false),
            next: AtomicU64::new(0),
            not_accepted: AtomicU64::new(0),
            register: Arc::default(),
        };
        Self { shared: Arc::new(shared), doors: Mutex::default() }
    }

    /// Listens on a Unix socket, whose file gets these permissions. Whoever may open the file is still asked for the user
    /// that he is, as the kernel knows him.
    ///
    /// The file of a process that died is taken over; that one is living is told by a lock beside it (`.lock`).
    ///
    /// # Errors
    /// [`ListenError`], and nothing was changed.
    pub fn listen_unix(&self, path: &Path, mode: u32, peers: Peers) -> Result<(), ListenError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(PathBuf::from(name))?;
        let lock = Lock::take(lock)?.ok_or_else(|| ListenError::InUse(path.to_owned()))?;
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => return Err(ListenError::NotASocket(path.to_owned())),
            // Somebody else's, who does not use our lock.
            Ok(_) if is_listened_on(path)? => return Err(ListenError::InUse(path.to_owned())),
            Ok(_) => fs::remove_file(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let listener = UnixListener::bind(path)?;
        let file = SocketFile(path.to_owned());
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        let listening = OwnedFd::from(listener.try_clone()?);
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("accept".into()).spawn(move || {
            let accept = || listener.accept().and_then(|(stream, _)| Ok((stream.try_clone()?, stream)));
            while let Some(accepted) = shared.accepted(accept()) {
                let Some((closer, stream)) = accepted else { continue };
                let caller = rustix::net::sockopt::socket_peercred(&stream).ok();
                let caller = caller.and_then(|peer| peers.0.get(&peer.uid.as_raw()).cloned());
                let holder = shared.holder(caller);
                shared.serve(Closer::Unix(closer), holder.clone(), move |shared| {
                    Some((holder, Box::new(Timed::new(stream, Arc::clone(&shared.clock)))))
                });
            }
        })?;
        self.watch(listening, thread, Some((file, lock)));
        Ok(())
    }

    /// Listens on TCP with TLS. The configuration must ask for client certificates; `caller` says who the owner of a verified
    /// one is. Whoever is named and has nothing to ask for here is denied.
    ///
    /// # Errors
    /// [`ListenError::Io`].
    #[cfg(feature = "service-tls")]
    pub fn listen_tls(
        &self,
        listener: std::net::TcpListener,
        config: Arc<rustls::ServerConfig>,
        caller: impl Fn(&rustls_pki_types::CertificateDer<'_>) -> Option<CallerId> + Send + Sync + 'static,
    ) -> Result<(), ListenError> {
        let listening = OwnedFd::from(listener.try_clone()?);
        let shared = Arc::clone(&self.shared);
        let caller = Arc::new(caller);
        let thread = thread::Builder::new().name("accept".into()).spawn(move || {
            let accept = || listener.accept().and_then(|(stream, _)| Ok((stream.try_clone()?, stream)));
            while let Some(accepted) = shared.accepted(accept()) {
                let Some((closer, stream)) = accepted else { continue };
                let (config, caller) = (Arc::clone(&config), Arc::clone(&caller));
                shared.serve(Closer::Tcp(closer), Holder::Unidentified, move |shared| {
                    let mut tls = rustls::ServerConnection::new(config).ok()?;
                    let mut stream = Timed::new(stream, Arc::clone(&shared.clock));
                    stream.wait(Wait::until(shared.after(shared.limits.frame_deadline)));
                    while tls.is_handshaking() {
                        tls.complete_io(&mut stream).ok()?;
                    }
                    let caller = tls.peer_certificates().and_then(<[_]>::first).and_then(|leaf| caller(leaf));
                    Some((shared.holder(caller), Box::new(rustls::StreamOwned::new(tls, stream))))
                });
            }
        })?;
        self.watch(listening, thread, None);
        Ok(())
    }

    fn watch(&self, listener: OwnedFd, thread: JoinHandle<()>, file: Option<(SocketFile, Lock)>) {
        locked(&self.doors).push(Door { listener, thread: Some(thread), file });
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        locked(&self.shared.register.connections).len()
    }

    /// How often a connection could not be accepted, for want of descriptors for example: each time nothing is accepted for a
    /// moment. Whoever came waits meanwhile; what was accepted and cannot be served is cut off.
    #[must_use]
    pub fn not_accepted(&self) -> u64 {
        self.shared.not_accepted.load(Ordering::SeqCst)
    }

    /// Stops accepting, answers what has arrived, and ends; what is not answered within `deadline` is cut off.
    ///
    /// A signature that is being made is waited for all the same: nothing is answered any more, but its end is written.
    pub fn drain(self, deadline: Duration) -> Drained {
        self.end(deadline)
    }

    fn end(&self, deadline: Duration) -> Drained {
        let shared = &self.shared;
        shared.is_draining.store(true, Ordering::SeqCst);
        for door in locked(&self.doors).drain(..) {
            door.close();
        }
        let register = &shared.register;
        let began = register.close(Shutdown::Read);
        register.wait(&*shared.clock, deadline);
        let cut_off = register.close(Shutdown::Both);
        // They have nothing to wait for any more, unless a signature is being made.
        register.wait(&*shared.clock, LAST_WAIT);
        Drained { finished: began.saturating_sub(cut_off), cut_off }
    }
}

impl Register {
    /// Ends all connections in this direction; gives how many there are. What has arrived can still be read.
    fn close(&self, how: Shutdown) -> usize {
        let connections = locked(&self.connections);
        connections.values().for_each(|connection| connection.closer.close(how));
        connections.len()
    }

    /// Takes a connection in; without a share it is one too many, and nobody has time to say so.
    fn enter(&self, id: u64, holder: Holder, closer: Closer, limits: &ServerLimits) -> Option<Share> {
        let mut connections = locked(&self.connections);
        let share = share_of(&mut connections, &holder, limits);
        match share {
            Some(_) => {
                let network = closer.network();
                drop(connections.insert(id, Connection { closer, holder, network, is_cut_off: false }));
            }
            None => closer.close(Shutdown::Both),
        }
        share
    }

    /// Says whose a connection is that was nobody's.
    fn identify(&self, id: u64, holder: Holder, limits: &ServerLimits) -> Option<Share> {
        let mut connections = locked(&self.connections);
        let share = share_of(&mut connections, &holder, limits)?;
        connections.get_mut(&id)?.holder = holder;
        Some(share)
    }

    /// Waits until nobody is connected.
    fn wait(&self, clock: &dyn Clock, at_most: Duration) {
        let until = clock.monotonic().saturating_add(at_most);
        let mut connections = locked(&self.connections);
        loop {
            let left = until.saturating_sub(clock.monotonic());
            if connections.is_empty() || left.is_zero() {
                return;
            }
            let waited = self.ended.wait_timeout(connections, left.min(Duration::from_millis(100)));
            connections = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What is left of the share of this holder. Those that are turned away are bounded too: as many again.
fn share_of(connections: &mut BTreeMap<u64, Connection>, holder: &Holder, limits: &ServerLimits) -> Option<Share> {
    let count = connections.values().filter(|connection| connection.holder == *holder).count();
    match holder {
        Holder::Caller(_) if count < limits.connections_max => Some(Share::Within),
        Holder::Caller(_) => (count < limits.connections_max.saturating_mul(2)).then_some(Share::Above),
        Holder::Stranger => (count < limits.strangers_max).then_some(Share::Within),
        Holder::Unidentified if count < limits.strangers_max => Some(Share::Within),
        Holder::Unidentified => {
            (count < limits.strangers_max.saturating_mul(2)).then_some(())?;
            // A handshake takes milliseconds: the one that has taken longest is the least likely to be a caller's. Whoever comes
            // from where most come from makes room, so that one host crowds out itself alone.
            let is_open = |one: &&mut Connection| one.holder == Holder::Unidentified && !one.is_cut_off;
            let mut crowds: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
            for one in connections.values_mut().filter(is_open) {
                *crowds.entry(one.network).or_default() += 1;
            }
            let crowd = crowds.into_iter().max_by_key(|(_, count)| *count).map(|(network, _)| network);
            let oldest = connections.values_mut().filter(is_open).find(|one| Some(one.network) == crowd);
            if let Some(oldest) = oldest {
                oldest.is_cut_off = true;
                oldest.closer.close(Shutdown::Both);
            }
            Some(Share::Within)
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.shared.is_draining.load(Ordering::SeqCst) {
            self.end(Duration::ZERO);
        }
    }
}

impl Door {
    fn close(mut self) {
        // The file goes first: whoever comes from now on finds nobody, instead of being let in and sent away.
        let _lock = self.file.take().map(|(file, lock)| {
            drop(file);
            lock
        });
        let _is_shut = rustix::net::shutdown(self.listener.as_fd(), rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    /// What was accepted; `None` when the server ends, and nothing within it when that one is passed over.
    fn accepted<S>(&self, accepted: io::Result<S>) -> Option<Option<S>> {
        if self.is_draining.load(Ordering::SeqCst) {
            return None;
        }
        match accepted {
            Ok(stream) => Some(Some(stream)),
            // Out of descriptors, for example: others will end.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                self.not_accepted.fetch_add(1, Ordering::SeqCst);
                let connections = locked(&self.register.connections);
                drop(self.register.ended.wait_timeout(connections, FAILED_WAIT));
                Some(None)
            }
            Err(_) => None,
        }
    }

    fn after(&self, wait: Duration) -> Duration {
        self.clock.monotonic().saturating_add(wait)
    }

    fn holder(&self, caller: Option<CallerId>) -> Holder {
        caller.filter(|caller| self.handler.knows(caller)).map_or(Holder::Stranger, Holder::Caller)
    }

    /// Serves a connection of this holder on a thread of its own, once `open` says whose it really is and what to read from.
    fn serve(
        self: &Arc<Self>,
        closer: Closer,
        holder: Holder,
        open: impl FnOnce(&Self) -> Option<(Holder, Box<dyn Stream>)> + Send + 'static,
    ) {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let Some(share) = self.register.enter(id, holder.clone(), closer, &self.limits) else { return };
        let (shared, leaves) = (Arc::clone(self), Leaves { register: Arc::clone(&self.register), id });
        let spawned = thread::Builder::new().name(format!("connection {id}")).spawn(move || {
            // Dropped last, also when what stands behind the socket panics.
            let _leaves = leaves;
            let shared = shared;
            let Some((found, stream)) = open(&shared) else { return };
            let share = match found == holder {
                true => Some(share),
                false => shared.register.identify(id, found.clone(), &shared.limits),
            };
            if let Some(share) = share {
                // How it ended is the peer's to know.
                let _ended = shared.converse(found, stream, share);
            }
        });
        // A thread that was not begun has dropped its leave.
        drop(spawned);
    }

    fn converse(&self, holder: Holder, stream: Box<dyn Stream>, share: Share) -> Result<(), Ended> {
        let ServerLimits { frame_len_max, frame_deadline, idle_deadline, batch_max, .. } = self.limits;
        let mut framed = Framed::new(stream, frame_len_max);
        let hello = framed.receive(1, Wait::until(self.after(frame_deadline)))?;
        let hello = Hello::decode(hello.first().map_or(&[], Vec::as_slice)).map_err(Ended::Protocol)?;
        let service = self.handler.service();
        let welcome = match &holder {
            _ if hello.version != VERSION => Welcome::UnknownVersion,
            _ if hello.service != service => Welcome::OtherService,
            Holder::Stranger | Holder::Unidentified => Welcome::Denied,
            Holder::Caller(_) if self.is_draining.load(Ordering::SeqCst) => Welcome::Draining,
            Holder::Caller(_) if share == Share::Above => Welcome::Full,
            Holder::Caller(_) => Welcome::Ready,
        };
        let mut out = Vec::new();
        push_frame(&mut out, &Hello::new(service, welcome).encode());
        framed.send(&out, self.after(frame_deadline))?;
        let (Welcome::Ready, Holder::Caller(caller)) = (welcome, holder) else { return Ok(()) };
        let mut next = 0_u64;
        loop {
            let is_draining = self.is_draining.load(Ordering::SeqCst);
            let idle = if is_draining { LAST_LOOK } else { idle_deadline };
            let frames = framed.receive(batch_max, Wait::for_the_first(self.after(idle), frame_deadline))?;
            let (out, read) = self.handler.answer(&caller, next, &frames);
            next = next.saturating_add(u64::try_from(frames.len()).unwrap_or(u64::MAX));
            framed.send(&out, self.after(frame_deadline))?;
            read.map_err(Ended::Protocol)?;
        }
    }
}

/// Takes a connection off the register however its thread ends.
struct Leaves {
    register: Arc<Register>,
    id: u64,
}

impl Drop for Leaves {
    fn drop(&mut self) {
        if let Some(connection) = locked(&self.register.connections).remove(&self.id) {
            connection.closer.close(Shutdown::Both);
        }
        self.register.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use time::UtcDateTime;

    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl Handler for Nothing {
        fn service(&self) -> Service {
            Service::Issuing
        }

        fn knows(&self, _: &CallerId) -> bool {
            false
        }

        fn answer(&self, _: &CallerId, _: u64, _: &[Vec<u8>]) -> (Vec<u8>, Result<(), ProtocolError>) {
            (Vec::new(), Ok(()))
        }
    }

    impl Clock for Nothing {
        fn now(&self) -> UtcDateTime {
            UtcDateTime::UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn a_host_that_begins_many_handshakes_crowds_out_itself() {
        let of = |network: [u8; 4]| {
            let (closer, _other) = std::os::unix::net::UnixStream::pair().unwrap();
            let network = Some(IpAddr::from(network));
            Connection { closer: Closer::Unix(closer), holder: Holder::Unidentified, network, is_cut_off: false }
        };
        let (caller, crowd) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let mut connections = BTreeMap::from([(1, of(caller)), (2, of(crowd)), (3, of(crowd))]);
        let mut limits = ServerLimits::DEFAULT;
        limits.strangers_max = 3;
        assert_eq!(share_of(&mut connections, &Holder::Unidentified, &limits), Some(Share::Within));
        let cut_off: Vec<_> = connections.iter().filter(|(_, one)| one.is_cut_off).map(|(id, _)| *id).collect();
        assert_eq!(cut_off, [2]);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what waits takes real time")]
    fn what_cannot_be_accepted_is_counted_and_not_tried_again_at_once() {
        let server = Server::new(Arc::new(Nothing), ServerLimits::DEFAULT, Arc::new(Nothing));
        let began = Instant::now();
        for _ in 0..5 {
            // EMFILE.
            let accepted = server.shared.accepted::<()>(Err(io::Error::from_raw_os_error(24)));
            assert_eq!(accepted, Some(None), "others will end, and it goes on");
        }
        assert!(began.elapsed() >= FAILED_WAIT * 4);
        assert_eq!(server.not_accepted(), 5);
        assert_eq!(server.shared.accepted(Ok(())), Some(Some(())));
        assert_eq!(server.not_accepted(), 5);
    }
}
