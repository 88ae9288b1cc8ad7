//! Which certificate a request got: what makes a retry harmless. Bounded, and made anew from the log.

use std::collections::{HashMap, VecDeque};

use super::log::{Position, digest};
use super::protocol::RequestId;

pub(super) type Key = [u8; 32];

/// A request of a caller: another caller's request of the same identifier is another one.
pub(super) fn key(caller: &str, request: RequestId) -> Key {
    digest(&[&request.0, caller.as_bytes()].concat())
}

#[derive(Debug)]
pub(super) struct Index {
    max: usize,
    known: HashMap<Key, Known>,
    /// The finished ones, the oldest first.
    order: VecDeque<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    InProgress,
    Issued { digest: [u8; 32], position: Position },
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Nothing; from now on it is in progress.
    New,
    /// Somebody works on it.
    InProgress,
    /// It got the certificate there.
    Issued(Position),
    /// Another request had the identifier.
    Reused,
}

impl Index {
    pub(super) fn new(max: usize) -> Self {
        Self { max, known: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn begin(&mut self, key: Key, digest: &[u8; 32]) -> Lookup {
        match self.known.get(&key) {
            None => {
                self.known.insert(key, Known::InProgress);
                Lookup::New
            }
            Some(Known::InProgress) => Lookup::InProgress,
            Some(Known::Issued { digest: known, position }) if known == digest => Lookup::Issued(*position),
            Some(Known::Issued { .. }) => Lookup::Reused,
        }
    }

    /// The request got nothing, and may be made again.
    pub(super) fn release(&mut self, key: &Key) {
        if self.known.get(key) == Some(&Known::InProgress) {
            self.known.remove(key);
        }
    }

    pub(super) fn remember(&mut self, key: Key, digest: [u8; 32], position: Position) {
        let before = self.known.insert(key, Known::Issued { digest, position });
        if !matches!(before, Some(Known::Issued { .. })) {
            self.order.push_back(key);
        }
        while self.order.len() > self.max {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}
