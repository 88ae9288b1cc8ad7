//! Octet streams that can be told to stop: Unix sockets, TCP, TLS over TCP.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use super::limits::Clock;
use super::protocol::{Frames, ProtocolError};

/// A stream whose waiting is bounded.
pub(crate) trait Stream: Read + Write + Send {
    fn wait_at_most(&mut self, wait: Duration) -> io::Result<()>;
}

/// Zero would mean for ever.
fn positive(wait: Duration) -> Option<Duration> {
    Some(wait.max(Duration::from_millis(1)))
}

impl Stream for UnixStream {
    fn wait_at_most(&mut self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(positive(wait))?;
        self.set_write_timeout(positive(wait))
    }
}

impl Stream for TcpStream {
    fn wait_at_most(&mut self, wait: Duration) -> io::Result<()> {
        self.set_read_timeout(positive(wait))?;
        self.set_write_timeout(positive(wait))
    }
}

#[cfg(feature = "service-tls")]
impl<C, D> Stream for rustls::StreamOwned<C, TcpStream>
where
    C: core::ops::DerefMut<Target = rustls::ConnectionCommon<D>> + Send,
    D: rustls::SideData,
{
    fn wait_at_most(&mut self, wait: Duration) -> io::Result<()> {
        self.sock.wait_at_most(wait)
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
    /// What the stream waits at most at present.
    wait: Option<Duration>,
    pub(crate) stream: Box<S>,
}

/// As much as is read at once.
const READ_LEN: usize = 64 << 10;

impl<S: Stream + ?Sized> Framed<S> {
    pub(crate) fn new(stream: Box<S>, frame_len_max: usize) -> Self {
        Self { frames: Frames::new(frame_len_max), buffer: vec![0; READ_LEN], wait: None, stream }
    }

    /// Waits for a frame, and takes as many as are there, at most `max`. A frame that began has `frame` time to be whole,
    /// the first one `idle` to begin.
    pub(crate) fn receive(
        &mut self,
        max: usize,
        idle: Duration,
        frame: Duration,
        clock: &dyn Clock,
    ) -> Result<Vec<Vec<u8>>, Ended> {
        let began = clock.monotonic();
        let mut within_since = self.frames.is_within().then_some(began);
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
            let now = clock.monotonic();
            let (since, allowed) = match within_since {
                Some(since) => (since, frame),
                None => (began, idle),
            };
            let left = allowed.checked_sub(now.saturating_sub(since)).filter(|left| !left.is_zero());
            self.wait_at_most(left.ok_or(Ended::TimedOut)?)?;
            match self.stream.read(&mut self.buffer) {
                Ok(0) if self.frames.is_within() => return Err(Ended::Protocol(ProtocolError::Truncated)),
                Ok(0) => return Err(Ended::Closed),
                Ok(count) => {
                    self.frames.push(self.buffer.get(..count).unwrap_or_default());
                    within_since = within_since.or_else(|| Some(clock.monotonic()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A peer that is gone without the last word of TLS: nothing is taken from what is not a whole frame.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Ended::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) fn send(&mut self, octets: &[u8], wait: Duration) -> Result<(), Ended> {
        self.wait_at_most(wait)?;
        self.stream.write_all(octets)?;
        Ok(self.stream.flush()?)
    }

    /// A system call is saved where the wait is about the same as before.
    fn wait_at_most(&mut self, wait: Duration) -> io::Result<()> {
        let is_near = |set: Duration| set >= wait && set.saturating_sub(wait) <= wait / 8;
        if !self.wait.is_some_and(is_near) {
            self.stream.wait_at_most(wait)?;
            self.wait = Some(wait);
        }
        Ok(())
    }
}
