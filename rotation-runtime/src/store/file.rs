//! A journal in a directory of its own.

mod frame;
mod lock;
mod tail;

use core::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Seek as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use self::frame::{OVERHEAD, frame, head, scan};
use self::lock::Lock;
use self::tail::Tail;
use super::{Durable, Journal, Revision, Store, StoreError};

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const NEXT: &str = "journal.new";
/// Stands in the lock file once a journal was there.
const BEGUN: &[u8] = b"begun\n";

/// The most octets of a record.
const RECORD_MAX: u64 = 1 << 20;
/// The most octets of a journal, its snapshot included.
const JOURNAL_MAX: u64 = 1 << 30;

/// A journal on disk: a directory with the file `journal`, and `lock`, which its process holds. For Unix.
///
/// **Durability.** Every append is followed by `fdatasync`, and attested after that. A snapshot is written beside the journal,
/// synced, renamed over it, and the directory synced; a crash in between leaves the journal as it was. Opening syncs too: what a
/// process wrote that was killed may not be durable yet. Nothing is batched: one sync for each record.
///
/// **Damage.** What an append left that was cut short is taken off when the journal is opened, and [`torn`](Self::torn) says
/// so: it was never attested. Everything else that was not written so, a flipped bit in the last record included, is
/// [`StoreError::Damaged`], and nothing is changed: an event that was attested is not dropped silently. A failed append is taken
/// out of the file again; where that fails too, the store refuses everything until it is opened anew.
///
/// **Limits.** A record has 1 MiB at most, a journal 1 GiB with its snapshot. Beyond it appends are refused as
/// [`StoreError::TooLarge`], until a snapshot has taken the records in.
///
/// **What it cannot see.** A `journal` that is gone is [`StoreError::Lost`]. A whole directory that is gone, or was restored
/// from an older copy, looks like one that is new or older; whoever restores backups must know. The lock is `flock`'s: it holds
/// on one machine, and on a network file system only as far as that one keeps it.
#[derive(Debug)]
pub struct FileStore {
    directory: PathBuf,
    lock: Lock,
    journal: Option<Open>,
    torn: Option<TornTail>,
}

#[derive(Debug)]
struct Open {
    tail: Tail<File>,
    revision: Revision,
}

/// What an append left in a journal that was cut short, by a crash or a loss of power: taken off when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// The last revision that is whole.
    pub after: Revision,
    /// Where the journal ends now.
    pub at: u64,
    /// How many octets were taken off.
    pub octets: u64,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, at, octets } = self;
        write!(
            f,
            "{octets} octets at octet {at}, of an append after revision {after} that was cut short, were taken off"
        )
    }
}

impl FileStore {
    /// Opens a directory that is there, and locks it until the store is dropped.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another store has it, in this process or in another; [`StoreError::Lost`] when there was
    /// a journal; [`StoreError::Damaged`] or [`StoreError::Unknown`] when it is not one that this crate reads, and then nothing
    /// is changed; else what the file system says.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        let lock = writable(&directory.join(LOCK)).map_err(failed)?;
        let lock = Lock::take(lock).map_err(failed)?.ok_or(StoreError::Locked)?;
        let mut store = Self { directory, lock, journal: None, torn: None };
        let file = match OpenOptions::new().read(true).write(true).open(store.path(JOURNAL)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let begun = store.lock.metadata().map_err(failed)?.len() > 0;
                return if begun { Err(StoreError::Lost) } else { Ok(store) };
            }
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(StoreError::Damaged { at: 0, why: "expected a regular file" });
        }
        let scanned = scan(&mut BufReader::new(&file), metadata.len(), drop)?;
        if scanned.end < metadata.len() {
            file.set_len(scanned.end).map_err(failed)?;
            let octets = metadata.len().saturating_sub(scanned.end);
            store.torn = Some(TornTail { after: scanned.revision, at: scanned.end, octets });
        }
        file.sync_all().map_err(failed)?;
        store.remember()?;
        store.journal = Some(Open { tail: Tail::new(file, scanned.end), revision: scanned.revision });
        Ok(store)
    }

    /// What was taken off when the journal was opened.
    #[must_use]
    pub const fn torn(&self) -> Option<TornTail> {
        self.torn
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Notes that there is a journal, so that one that is gone is missed.
    fn remember(&self) -> Result<(), StoreError> {
        let noted = self.lock.write_all_at(BEGUN, 0).and_then(|()| self.lock.sync_all());
        noted.and_then(|()| sync_directory(&self.directory)).map_err(failed)
    }

    /// Puts a journal in place that begins with this snapshot, whole or not at all.
    fn begin(&mut self, base: Revision, snapshot: &[u8]) -> Result<Durable, StoreError> {
        let mut octets = head(base);
        let found = as_u64(octets.len()).saturating_add(as_u64(snapshot.len())).saturating_add(OVERHEAD);
        let too_large = StoreError::TooLarge { what: "journal", found, max: JOURNAL_MAX };
        let Some(frame) = frame(base, snapshot).filter(|_| found <= JOURNAL_MAX) else { return Err(too_large) };
        octets.extend(frame);
        let next = self.path(NEXT);
        let written = write_anew(&next, &octets).and_then(|file| fs::rename(&next, self.path(JOURNAL)).map(|()| file));
        let file = match written {
            Ok(file) => file,
            Err(error) => {
                // It is written anew each time; what is left of it is nobody's journal.
                let _is_gone = fs::remove_file(&next);
                return Err(failed(error));
            }
        };
        let mut tail = Tail::new(file, found);
        let known = sync_directory(&self.directory).map_err(unknown).and_then(|()| self.remember().map_err(unknown));
        if known.is_err() {
            tail.give_up();
        }
        self.journal = Some(Open { tail, revision: base });
        known.map(|()| Durable::attest(base))
    }
}

impl Store for FileStore {
    fn create(&mut self, snapshot: &[u8]) -> Result<Durable, StoreError> {
        match &self.journal {
            Some(open) => Err(StoreError::Conflict { expected: Revision::default(), found: open.revision }),
            None => self.begin(Revision::default(), snapshot),
        }
    }

    fn load(&mut self) -> Result<Option<Journal>, StoreError> {
        let Some(open) = &mut self.journal else { return Ok(None) };
        open.tail.check()?;
        open.tail.medium.rewind().map_err(failed)?;
        let mut frames = Vec::new();
        let file = &open.tail.medium;
        let scanned = scan(&mut BufReader::new(file), open.tail.length, |frame| frames.push(frame))?;
        if scanned.end != open.tail.length || scanned.revision != open.revision {
            return Err(StoreError::Lost);
        }
        let mut frames = frames.into_iter();
        let snapshot = frames.next().unwrap_or_default();
        Ok(Some(Journal::new(snapshot, scanned.base, frames.collect())))
    }

    fn append(&mut self, expected: Revision, record: &[u8]) -> Result<Durable, StoreError> {
        let open = self.journal.as_mut().ok_or(StoreError::Lost)?;
        open.tail.check()?;
        open.compare(expected)?;
        let revision = expected.next();
        let found = as_u64(record.len());
        let framed = frame(revision, record).filter(|_| found <= RECORD_MAX);
        let framed = framed.ok_or(StoreError::TooLarge { what: "record", found, max: RECORD_MAX })?;
        let found = open.tail.length.saturating_add(as_u64(framed.len()));
        if found > JOURNAL_MAX {
            return Err(StoreError::TooLarge { what: "journal", found, max: JOURNAL_MAX });
        }
        open.tail.append(&framed)?;
        open.revision = revision;
        Ok(Durable::attest(revision))
    }

    fn snapshot(&mut self, revision: Revision, snapshot: &[u8]) -> Result<Durable, StoreError> {
        let open = self.journal.as_ref().ok_or(StoreError::Lost)?;
        open.tail.check()?;
        open.compare(revision)?;
        self.begin(revision, snapshot)
    }
}

impl Open {
    fn compare(&self, expected: Revision) -> Result<(), StoreError> {
        let found = self.revision;
        if found == expected { Ok(()) } else { Err(StoreError::Conflict { expected, found }) }
    }
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// For its owner alone: a journal says who is out of step with which authority.
fn writable(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write_anew(path: &Path, octets: &[u8]) -> io::Result<File> {
    let file = writable(path)?;
    file.set_len(0)?;
    file.write_all_at(octets, 0)?;
    file.sync_all()?;
    Ok(file)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// What failed, where nothing of it is left.
fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::Full(error.into())
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::Denied(error.into()),
        _ => unknown(error),
    }
}

/// What failed, where something of it may be left.
fn unknown(error: impl Into<super::Cause>) -> StoreError {
    StoreError::Medium(error.into())
}
