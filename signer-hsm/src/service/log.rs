//! The issuance log: append-only, hash-chained, written before a certificate is given out.
//!
//! It forgets nothing and is never rewritten. Whoever keeps a [`Head`] elsewhere can tell later whether the log still says what
//! it said then ([`verify`]).

use core::error::Error;
use core::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::lock::Lock;

mod chain;
mod entry;

use chain::{FILE_HEAD, Hash, Scanned, as_u64, content_at, file_head, frame_len, genesis, is_zero, push, scan};
pub use entry::{Entry, Origin};

const LOCK: &str = "lock";
const LOG: &str = "issuance.log";
/// Stands in the lock file once a log was there.
const BEGUN: &[u8] = b"begun\n";

/// How far a log has come: how many entries, and the hash over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are.
    pub entries: u64,
    /// Over all of them.
    pub hash: [u8; 32],
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.entries)?;
        self.hash.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// When an entry counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// When the kernel has it: it survives the end of the process, however violent, and not a loss of power.
    Written,
    /// When the disk has it, too. Callers that wait at the same time share one sync.
    #[default]
    Synced,
}

/// What appends left in a log that were cut short: taken off when it was opened. None of it was answered, unless a loss of power
/// took what was [`Durability::Written`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornEntry {
    /// How many entries stand before it.
    pub after: u64,
    /// Where the log ends now.
    pub at: u64,
    /// How many octets were taken off.
    pub octets: u64,
}

impl fmt::Display for TornEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, at, octets } = self;
        write!(f, "{octets} octets at octet {at}, of what was cut short after {after} entries, were taken off")
    }
}

/// Why a log was not opened, written or verified.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// Another process has it.
    Locked,
    /// There was a log, and it is gone or was changed by somebody else.
    Lost,
    /// It was not written so.
    Damaged {
        /// The octet at which the first thing wrong begins.
        at: u64,
        /// What is wrong there.
        why: &'static str,
    },
    /// A version that this crate does not read.
    UnknownVersion,
    /// It does not lead to the head that was expected.
    OtherHistory {
        /// What was expected.
        expected: Head,
    },
    /// No room. What was to be written is taken out again, and the log is as before.
    Full(io::Error),
    /// An entry that is too long.
    TooLong,
    /// It failed before, so that it is not known what stands in it: open it again.
    Failed,
    /// What the file system says.
    Io(io::Error),
}

impl LogError {
    const fn damaged(at: u64, why: &'static str) -> Self {
        Self::Damaged { at, why }
    }

    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full(error)
            }
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("another process has the issuance log"),
            Self::Lost => f.write_str("the issuance log is gone or was changed by somebody else"),
            Self::Damaged { at, why } => write!(f, "the issuance log is damaged at octet {at}: {why}"),
            Self::UnknownVersion => f.write_str("the issuance log has a version that is not known"),
            Self::OtherHistory { expected } => write!(f, "the issuance log does not lead to {expected}"),
            Self::Full(_) => f.write_str("the issuance log has no room"),
            Self::TooLong => f.write_str("an entry is too long for the issuance log"),
            Self::Failed => f.write_str("the issuance log failed before and must be opened again"),
            Self::Io(error) => write!(f, "the issuance log: {error}"),
        }
    }
}

impl Error for LogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Full(error) | Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    at: u64,
    length: usize,
}

/// A log in a directory of its own: `issuance.log`, and `lock`, which its process holds.
///
/// Nothing of it is ever dropped, so the disk has to be watched; a full one stops issuing and harms nothing. An append that
/// failed is taken out of the file again.
#[derive(Debug)]
pub struct IssuanceLog {
    _lock: Lock,
    file: File,
    durability: Durability,
    torn: Option<TornEntry>,
    tail: Mutex<Tail>,
    synced: Condvar,
}

#[derive(Debug)]
struct Tail {
    head: Head,
    length: u64,
    /// What the disk has: how much of it, and the head there.
    synced: u64,
    durable: Head,
    is_syncing: bool,
    has_failed: bool,
}

impl IssuanceLog {
    /// Opens or begins the log of a directory that is there, and gives every entry to `take`, with its place.
    ///
    /// # Errors
    /// [`LogError`]; a log that is damaged is left as it is.
    pub fn open(
        directory: &Path,
        durability: Durability,
        mut take: impl FnMut(Entry, Position),
    ) -> Result<Self, LogError> {
        let lock = writable(&directory.join(LOCK))?;
        let lock = Lock::take(lock).map_err(LogError::Io)?.ok_or(LogError::Locked)?;
        let begun = lock.metadata().map_err(LogError::from_io)?.len() > 0;
        let path = directory.join(LOG);
        if begun && !path.try_exists().map_err(LogError::from_io)? {
            return Err(LogError::Lost);
        }
        let file = writable(&path)?;
        let metadata = file.metadata().map_err(LogError::from_io)?;
        if !metadata.is_file() {
            return Err(LogError::damaged(0, "not a regular file"));
        }
        let mut length = metadata.len();
        let mut torn = None;
        // What was begun and never finished has said nothing yet.
        if !begun && (length < as_u64(FILE_HEAD) || is_zero(&mut File::open(&path).map_err(LogError::from_io)?)?) {
            file.set_len(0).and_then(|()| file.write_all_at(&file_head(), 0)).map_err(LogError::from_io)?;
            length = as_u64(FILE_HEAD);
        }
        let scanned = scan(&mut BufReader::with_capacity(1 << 16, &file), length, |entry, position, _| {
            take(entry, position);
            Ok(())
        })?;
        if scanned.end < length {
            file.set_len(scanned.end).map_err(LogError::from_io)?;
            let octets = length.saturating_sub(scanned.end);
            torn = Some(TornEntry { after: scanned.head.entries, at: scanned.end, octets });
        }
        // What a process wrote that was killed may not be durable yet.
        file.sync_all().map_err(LogError::from_io)?;
        if !begun {
            lock.write_all_at(BEGUN, 0).and_then(|()| lock.sync_all()).map_err(LogError::from_io)?;
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(LogError::from_io)?;
        }
        let Scanned { head, end } = scanned;
        let tail = Tail { head, length: end, synced: end, durable: head, is_syncing: false, has_failed: false };
        Ok(Self { _lock: lock, file, durability, torn, tail: Mutex::new(tail), synced: Condvar::new() })
    }

    /// What was taken off when the log was opened.
    #[must_use]
    pub const fn torn(&self) -> Option<TornEntry> {
        self.torn
    }

    /// How far it has come, as far as that counts as written: with [`Durability::Synced`] what the disk has, so that no loss of
    /// power leads to a log before a head that was given out.
    #[must_use]
    pub fn head(&self) -> Head {
        let tail = self.tail();
        match self.durability {
            Durability::Written => tail.head,
            Durability::Synced => tail.durable,
        }
    }

    /// Appends entries, all or none, and returns when they count as written.
    ///
    /// # Errors
    /// [`LogError`]. After [`LogError::Full`] none of them is there, and there may be room later.
    pub fn append(&self, entries: &[Entry]) -> Result<Vec<Position>, LogError> {
        self.append_with(entries, self.durability)
    }

    /// Appends entries, and returns when the disk has them, whatever the durability of the others.
    pub(super) fn append_synced(&self, entries: &[Entry]) -> Result<Vec<Position>, LogError> {
        self.append_with(entries, Durability::Synced)
    }

    fn append_with(&self, entries: &[Entry], durability: Durability) -> Result<Vec<Position>, LogError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let (tail, positions) = self.write(entries)?;
        match durability {
            Durability::Written => Ok(()),
            Durability::Synced => {
                let end = tail.length;
                self.sync(tail, end)
            }
        }
        .map(|()| positions)
    }

    /// Gives entries to the kernel.
    fn write(&self, entries: &[Entry]) -> Result<(MutexGuard<'_, Tail>, Vec<Position>), LogError> {
        // What cannot be read back would be the end of the whole log.
        if !entries.iter().all(Entry::is_bounded) {
            return Err(LogError::TooLong);
        }
        let contents: Vec<_> = entries.iter().map(Entry::encode).collect();
        let room = contents.iter().map(|content| frame_len(content.len())).sum();
        let (mut out, mut positions) = (Vec::with_capacity(room), Vec::with_capacity(contents.len()));
        let mut tail = self.tail();
        if tail.has_failed {
            return Err(LogError::Failed);
        }
        let metadata = self.file.metadata().map_err(LogError::from_io)?;
        if metadata.len() != tail.length || metadata.nlink() == 0 {
            return Err(LogError::Lost);
        }
        let mut head = tail.head;
        for content in &contents {
            let at = tail.length.saturating_add(as_u64(out.len()));
            positions.push(Position { at, length: content.len() });
            let hash = push(&mut out, &head.hash, content).ok_or(LogError::TooLong)?;
            head = Head { entries: head.entries.saturating_add(1), hash };
        }
        if let Err(error) = self.file.write_all_at(&out, tail.length) {
            if self.file.set_len(tail.length).is_err() {
                tail.has_failed = true;
            }
            return Err(LogError::from_io(error));
        }
        tail.head = head;
        tail.length = tail.length.saturating_add(as_u64(out.len()));
        Ok((tail, positions))
    }

    /// Waits until the disk has everything before `end`: one of those who wait syncs for all that is written by then.
    fn sync<'l>(&'l self, mut tail: MutexGuard<'l, Tail>, end: u64) -> Result<(), LogError> {
        while tail.synced < end {
            if tail.has_failed {
                return Err(LogError::Failed);
            }
            if tail.is_syncing {
                tail = self.synced.wait(tail).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            tail.is_syncing = true;
            let (written, head) = (tail.length, tail.head);
            drop(tail);
            let outcome = self.file.sync_data();
            tail = self.tail();
            tail.is_syncing = false;
            match &outcome {
                // Nobody else syncs meanwhile, so there was less before.
                Ok(()) => (tail.synced, tail.durable) = (written, head),
                // What the kernel could not write it may have dropped: nobody knows what the file holds.
                Err(_) => tail.has_failed = true,
            }
            self.synced.notify_all();
            outcome.map_err(LogError::Io)?;
        }
        Ok(())
    }

    /// The entry at a place.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when something else stands there.
    pub fn read(&self, position: Position) -> Result<Entry, LogError> {
        let mut content = vec![0; position.length];
        self.file.read_exact_at(&mut content, content_at(position.at)).map_err(LogError::from_io)?;
        Entry::decode(&content).ok_or_else(|| LogError::damaged(position.at, "an entry"))
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a whole log says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many certificates were issued.
    pub issued: u64,
    /// How many requests were refused.
    pub refused: u64,
    /// How many certificates were prepared.
    pub prepared: u64,
    /// How often a signer was named.
    pub signers: u64,
    /// How many generations were retired.
    pub retired: u64,
    /// How many orders of operators were carried out, or were about to be.
    pub ordered: u64,
    /// Octets at the end, of an entry that is not whole: of a service that works on it now, or that was killed.
    pub unfinished: u64,
}

/// Reads a log of `length` octets from its beginning, checks every hash and every epoch, and gives the entries to `take`.
///
/// `expected` is a head that was kept elsewhere; the log must have come past it.
///
/// # Errors
/// [`LogError`], by the first thing that is wrong.
pub fn verify(
    log: &mut impl Read,
    length: u64,
    expected: Option<Head>,
    mut take: impl FnMut(&Entry),
) -> Result<(Head, Verified), LogError> {
    let mut verified = Verified::default();
    let begins = Head { entries: 0, hash: genesis() };
    let mut is_met = expected.is_none_or(|expected| expected == begins);
    let scanned = scan(log, length, |entry, _, head| {
        let count = match &entry {
            Entry::Signer { .. } => &mut verified.signers,
            Entry::Prepared { .. } => &mut verified.prepared,
            Entry::Issued { .. } => &mut verified.issued,
            Entry::Refused { .. } => &mut verified.refused,
            Entry::Retired { .. } => &mut verified.retired,
            Entry::Ordered { .. } => &mut verified.ordered,
        };
        *count = count.saturating_add(1);
        is_met |= expected == Some(head);
        take(&entry);
        Ok(())
    })?;
    if let (false, Some(expected)) = (is_met, expected) {
        return Err(LogError::OtherHistory { expected });
    }
    verified.unfinished = length.saturating_sub(scanned.end);
    Ok((scanned.head, verified))
}

/// [`verify`] of the log in a directory, which may be in use.
///
/// # Errors
/// As [`verify`].
pub fn verify_directory(
    directory: &Path,
    expected: Option<Head>,
    take: impl FnMut(&Entry),
) -> Result<(Head, Verified), LogError> {
    let file = File::open(directory.join(LOG)).map_err(LogError::from_io)?;
    let length = file.metadata().map_err(LogError::from_io)?.len();
    verify(&mut BufReader::with_capacity(1 << 16, file), length, expected, take)
}

/// SHA-256, as the log uses it for requests.
pub(super) fn digest(octets: &[u8]) -> Hash {
    chain::sha256(&[octets])
}

/// For its owner alone: a log names every client of a cluster.
fn writable(path: &Path) -> Result<File, LogError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(LogError::from_io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::epoch::SignerEpoch;

    fn entry(version: u32) -> Entry {
        let (cluster, role) = (format!("c{version}"), "cluster".to_owned());
        Entry::Signer { time: 1, cluster, role, epoch: SignerEpoch::FIRST, version, key: [0; 20] }
    }

    #[test]
    fn a_head_that_is_given_out_names_nothing_that_a_loss_of_power_takes() {
        for durability in [Durability::Synced, Durability::Written] {
            let directory = tempfile::tempdir().unwrap();
            let open = || IssuanceLog::open(directory.path(), durability, |_, _| {}).unwrap();
            let log = open();
            log.append(&[entry(1)]).unwrap();
            let durable = log.head();
            assert_eq!(durable.entries, 1);
            // Between the write and the sync.
            drop(log.write(&[entry(2)]).unwrap());
            match durability {
                Durability::Synced => assert_eq!(log.head(), durable),
                Durability::Written => assert_eq!(log.head().entries, 2),
            }
            log.append(&[entry(3)]).unwrap();
            let head = log.head();
            assert_eq!(head.entries, 3);
            drop(log);
            // What was opened was synced.
            assert_eq!(open().head(), head);
        }
    }
}
