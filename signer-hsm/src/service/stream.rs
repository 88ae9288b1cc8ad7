//! Octet streams that can be told to stop: Unix sockets, TCP, TLS over TCP.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, socket_with};

use super::limits::Clock;
use super::protocol::{Frames, ProtocolError};

/// Until when a stream is waited for, on the clock's monotonic time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    until: Duration,
    /// How much time there is from the first octet on.
    begun: Option<Duration>,
}

impl Wait {
    pub(crate) const fn until(until: Duration) -> Self {
        Self { until, begun: None }
    }

    /// Until then for the first octet, and `begun` from there on.
    pub(crate) const fn for_the_first(until: Duration, begun: Duration) -> Self {
        Self { until, begun: Some(begun) }
    }

    /// The first octet is there.
    fn begin(&mut self, clock: &dyn Clock) {
        if let Some(begun) = self.begun {
            *self = Self::until(clock.monotonic().saturating_add(begun));
        }
    }
}

/// A stream that is waited for until a moment, however many system calls that takes.
pub(crate) trait Stream: Read + Write + Send {
    fn wait(&mut self, wait: Wait);

    /// What was waited for is under way.
    fn begun(&mut self);
}

/// Zero would mean for ever.
fn positive(wait: Duration) -> Duration {
    wait.max(Duration::from_millis(1))
}

/// What is left until then.
///
/// # Errors
/// [`TimedOut`](io::ErrorKind::TimedOut) when nothing is.
pub(crate) fn left(until: Duration, clock: &dyn Clock) -> io::Result<Duration> {
    let left = until.checked_sub(clock.monotonic()).filter(|left| !left.is_zero());
    left.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// A socket whose system calls together end in time: a peer that gives or takes one octet after another wins nothing.
pub(crate) struct Timed<S> {
    socket: S,
    clock: Arc<dyn Clock>,
    wait: Wait,
    /// What the socket was told last.
    reads: Option<Duration>,
    writes: Option<Duration>,
}

/// How often whoever waits looks before it sleeps: so often takes about as long as to be woken.
const LOOKS: usize = 64;

/// As much as is written at once. A Unix socket waits anew for every piece of a write that it cuts itself, and takes this much
/// as one.
const WRITE_LEN: usize = 32 << 10;

impl<S: AsFd> Timed<S> {
    /// One that has no time yet.
    pub(crate) fn new(socket: S, clock: Arc<dyn Clock>) -> Self {
        Self { socket, clock, wait: Wait::until(Duration::ZERO), reads: None, writes: None }
    }

    /// Makes a call that may wait for what is left. The socket is told a little less, so that it need not be told before every
    /// call; whatever is left when it gives up is waited for as well.
    fn in_time<T>(&mut self, side: Timeout, mut call: impl FnMut(&mut S) -> io::Result<T>) -> io::Result<T> {
        loop {
            let left = left(self.wait.until, &*self.clock)?;
            let told = match side {
                Timeout::Recv => &mut self.reads,
                Timeout::Send => &mut self.writes,
            };
            if told.is_none_or(|told| told > left || left.saturating_sub(told) > left / 8) {
                let wait = left.saturating_sub(left / 16);
                set_socket_timeout(&self.socket, side, Some(positive(wait)))?;
                *told = Some(wait);
            }
            match call(&mut self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => *told = None,
                ended => return ended,
            }
        }
    }

    /// Looks for a moment whether something comes, before the thread sleeps until it is woken.
    fn look(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        for _ in 0..LOOKS {
            // What comes late is not taken, however little it is.
            left(self.wait.until, &*self.clock)?;
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(Some(count)),
                Err(Errno::AGAIN) => thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

impl<S: Read + AsFd> Read for Timed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.look(buffer)? {
            Some(count) => count,
            None => self.in_time(Timeout::Recv, |socket| socket.read(buffer))?,
        };
        if count > 0 {
            self.wait.begin(&*self.clock);
        }
        Ok(count)
    }
}

impl<S: Write + AsFd> Write for Timed<S> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let octets = octets.get(..WRITE_LEN).unwrap_or(octets);
        self.in_time(Timeout::Send, |socket| socket.write(octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl<S: Read + Write + AsFd + Send> Stream for Timed<S> {
    fn wait(&mut self, wait: Wait) {
        self.wait = wait;
    }

    fn begun(&mut self) {
        self.wait.begin(&*self.clock);
    }
}

#[cfg(feature = "service-tls")]
impl<C, D, S> Stream for rustls::StreamOwned<C, Timed<S>>
where
    S: Read + Write + AsFd + Send,
    C: core::ops::DerefMut<Target = rustls::ConnectionCommon<D>> + Send,
    D: rustls::SideData,
{
    fn wait(&mut self, wait: Wait) {
        self.sock.wait(wait);
    }

    fn begun(&mut self) {
        self.sock.begun();
    }
}

/// Connects to a Unix socket. One whose queue is full is waited for until then.
pub(crate) fn connect_unix(path: &Path, until: Duration, clock: &dyn Clock) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let address = SocketAddrUnix::new(path)?;
    loop {
        // The kernel bounds the wait for a place in the queue by the time for sending.
        set_socket_timeout(&socket, Timeout::Send, Some(positive(left(until, clock)?)))?;
        match connect(&socket, &address) {
            Ok(()) => return Ok(socket.into()),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether anybody listens on a socket, without waiting: a full queue is somebody's, too.
///
/// # Errors
/// When that cannot be told.
pub(super) fn is_listened_on(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        // A socket of another type has an owner as well.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The other hand on a stream, which ends it from outside.
#[derive(Debug)]
pub(crate) enum Closer {
    Unix(UnixStream),
    #[cfg_attr(not(feature = "service-tls"), expect(dead_code, reason = "only TLS comes over TCP"))]
    Tcp(TcpStream),
}

impl Closer {
    /// The network that the other end is in: of IPv6 what one host usually has for itself.
    pub(crate) fn network(&self) -> Option<IpAddr> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(stream) => match stream.peer_addr().ok()?.ip().to_canonical() {
                IpAddr::V6(address) => Some(Ipv6Addr::from_bits((address.to_bits() >> 64) << 64).into()),
                address => Some(address),
            },
        }
    }

    pub(crate) fn close(&self, how: Shutdown) {
        // One that is closed already is what is wanted.
        let _closed = match self {
            Self::Unix(stream) => stream.shutdown(how),
            Self::Tcp(stream) => stream.shutdown(how),
        };
    }
}

/// Why no frame came.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The other end went away between two frames.
    Closed,
    /// Nothing came in time.
    TimedOut,
    /// What came is no frame.
    Protocol(ProtocolError),
    Io(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

/// A stream, cut into frames.
pub(crate) struct Framed<S: ?Sized> {
    frames: Frames,
    buffer: Vec<u8>,
    stream: Box<S>,
}

/// As much as is read at once.
const READ_LEN: usize = 64 << 10;

impl<S: Stream + ?Sized> Framed<S> {
    pub(crate) fn new(stream: Box<S>, frame_len_max: usize) -> Self {
        Self { frames: Frames::new(frame_len_max), buffer: vec![0; READ_LEN], stream }
    }

    /// Waits for a frame, and takes as many as are there, at most `max`.
    pub(crate) fn receive(&mut self, max: usize, wait: Wait) -> Result<Vec<Vec<u8>>, Ended> {
        self.stream.wait(wait);
        if self.frames.is_within() {
            self.stream.begun();
        }
        loop {
            let mut taken = Vec::new();
            while taken.len() < max {
                match self.frames.pop() {
                    Ok(Some(frame)) => taken.push(frame.to_vec()),
                    Ok(None) => break,
                    // What came before it is answered first.
                    Err(_) if !taken.is_empty() => break,
                    Err(error) => return Err(Ended::Protocol(error)),
                }
            }
            if !taken.is_empty() {
                return Ok(taken);
            }
            match self.stream.read(&mut self.buffer) {
                Ok(0) if self.frames.is_within() => return Err(Ended::Protocol(ProtocolError::Truncated)),
                Ok(0) => return Err(Ended::Closed),
                Ok(count) => self.frames.push(self.buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A peer that is gone without the last word of TLS: nothing is taken from what is not a whole frame.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Ended::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn send(&mut self, octets: &[u8], until: Duration) -> Result<(), Ended> {
        self.stream.wait(Wait::until(until));
        self.stream.write_all(octets)?;
        Ok(self.stream.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Instant;

    use time::UtcDateTime;

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_secs(3);

    #[derive(Debug)]
    struct RealClock(Instant);

    impl Clock for RealClock {
        fn now(&self) -> UtcDateTime {
            UtcDateTime::UNIX_EPOCH
        }

        #[expect(clippy::disallowed_methods, reason = "deadlines of real sockets end in real time")]
        fn monotonic(&self) -> Duration {
            self.0.elapsed()
        }
    }

    #[expect(clippy::disallowed_methods, reason = "deadlines of real sockets end in real time")]
    fn clock() -> Arc<dyn Clock> {
        Arc::new(RealClock(Instant::now()))
    }

    fn framed<S: Read + Write + AsFd + Send + 'static>(socket: S, clock: &Arc<dyn Clock>) -> Framed<Timed<S>> {
        Framed::new(Box::new(Timed::new(socket, Arc::clone(clock))), 1 << 20)
    }

    #[test]
    fn what_comes_after_the_deadline_is_not_read() {
        let clock = clock();
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(&[1]).unwrap();
        let mut near = Timed::new(near, Arc::clone(&clock));
        near.wait(Wait::until(clock.monotonic()));
        assert_eq!(near.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        near.wait(Wait::until(clock.monotonic() + LONG));
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 1);
    }

    fn tcp() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    /// A peer that does something every now and then, until the other end is gone.
    fn now_and_then(mut work: impl FnMut() -> bool + Send + 'static) {
        thread::spawn(move || {
            let (_never, tick) = mpsc::channel::<()>();
            while work() {
                let _tick = tick.recv_timeout(Duration::from_millis(30));
            }
        });
    }

    fn is_cut_off_in_time<S: Read + Write + AsFd + Send + 'static, P: Read + Write + Send + 'static>(
        pair: impl Fn() -> (S, P),
    ) {
        let clock = clock();
        let (near, mut far) = pair();
        let mut frame = [&1000_u32.to_be_bytes()[..], &[7; 1000]].concat().into_iter();
        now_and_then(move || far.write(&[frame.next().unwrap_or_default()]).is_ok());
        let began = clock.monotonic();
        let ended = framed(near, &clock).receive(1, Wait::for_the_first(began + LONG * 100, SHORT));
        assert!(matches!(ended, Err(Ended::TimedOut)), "{ended:?}");
        assert!(clock.monotonic() - began < LONG, "an octet at a time kept it");

        let (near, mut far) = pair();
        let mut some = vec![0; 256 << 10];
        now_and_then(move || far.read(&mut some).is_ok_and(|count| count > 0));
        let began = clock.monotonic();
        let ended = framed(near, &clock).send(&vec![7; 64 << 20], began + SHORT);
        assert!(matches!(ended, Err(Ended::TimedOut)), "{ended:?}");
        assert!(clock.monotonic() - began < LONG, "a piece at a time kept it");
    }

    #[test]
    fn a_peer_that_gives_or_takes_a_little_at_a_time_is_cut_off_in_time() {
        is_cut_off_in_time(|| UnixStream::pair().unwrap());
        is_cut_off_in_time(tcp);
    }

    /// One that accepts nobody, with a full queue.
    fn stuck(path: &Path) -> (UnixListener, Vec<UnixStream>) {
        let listener = UnixListener::bind(path).unwrap();
        // Its queue is made as short as it can be.
        rustix::net::listen(&listener, 0).unwrap();
        let mut waiting = Vec::new();
        while waiting.len() < 8 {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            if connect(&socket, &SocketAddrUnix::new(path).unwrap()) == Err(Errno::AGAIN) {
                return (listener, waiting);
            }
            waiting.push(UnixStream::from(socket));
        }
        panic!("the queue is never full");
    }

    #[test]
    fn a_queue_that_is_full_is_waited_for_until_the_deadline_and_is_somebodys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let stuck = stuck(&path);
        let (done, told) = mpsc::channel();
        let of_another = path.clone();
        thread::spawn(move || {
            let clock = clock();
            let connected = connect_unix(&of_another, clock.monotonic() + SHORT, &*clock).map_err(|error| error.kind());
            done.send((connected.err(), is_listened_on(&of_another).unwrap())).unwrap();
        });
        assert_eq!(told.recv_timeout(LONG), Ok((Some(io::ErrorKind::TimedOut), true)));
        drop(stuck);
        assert!(!is_listened_on(&path).unwrap());
        let clock = clock();
        let refused = connect_unix(&path, clock.monotonic() + SHORT, &*clock).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
