//! The end of a journal file: what is appended is there whole and durable, or gone again.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::super::StoreError;

/// What an append does with a file; a disk that fails in tests.
pub(super) trait Medium {
    fn write_all_at(&mut self, octets: &[u8], at: u64) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
    /// How long it is; `None` when no directory has it any more.
    fn length(&self) -> io::Result<Option<u64>>;
}

impl Medium for File {
    fn write_all_at(&mut self, octets: &[u8], at: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, octets, at)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn length(&self) -> io::Result<Option<u64>> {
        let metadata = self.metadata()?;
        Ok((metadata.nlink() > 0).then_some(metadata.len()))
    }
}

#[derive(Debug)]
pub(super) struct Tail<M> {
    pub(super) medium: M,
    /// Where the last whole record ends.
    pub(super) length: u64,
    /// Whether something may stand after it.
    unsure: bool,
}

impl<M: Medium> Tail<M> {
    pub(super) const fn new(medium: M, length: u64) -> Self {
        Self { medium, length, unsure: false }
    }

    /// Refuses where it is not known any more what the file holds.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.unsure {
            return Err(StoreError::Medium("it failed before: open the journal again".into()));
        }
        match self.medium.length().map_err(super::failed)? {
            Some(length) if length == self.length => Ok(()),
            _ => Err(StoreError::Lost),
        }
    }

    /// Nothing is known of the file from now on.
    pub(super) const fn give_up(&mut self) {
        self.unsure = true;
    }

    /// Appends a frame. After a failure it is taken out again: what a failed write leaves in the page cache would look whole to
    /// the next reader, and be gone after a loss of power.
    pub(super) fn append(&mut self, frame: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        let end = self.length.saturating_add(u64::try_from(frame.len()).unwrap_or(u64::MAX));
        match self.medium.write_all_at(frame, self.length).and_then(|()| self.medium.sync()) {
            Ok(()) => {
                self.length = end;
                Ok(())
            }
            Err(error) => match self.medium.truncate(self.length).and_then(|()| self.medium.sync()) {
                Ok(()) => Err(super::failed(error)),
                Err(_) => {
                    self.give_up();
                    Err(StoreError::Medium(error.into()))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that takes so many octets and then says `kind`, and may not let go of what it took.
    struct Failing {
        octets: Vec<u8>,
        room: usize,
        kind: io::ErrorKind,
        syncs: bool,
        truncates: bool,
        is_there: bool,
    }

    fn tail(room: usize, kind: io::ErrorKind) -> Tail<Failing> {
        let medium = Failing { octets: Vec::new(), room, kind, syncs: true, truncates: true, is_there: true };
        Tail::new(medium, 0)
    }

    impl Medium for Failing {
        fn write_all_at(&mut self, octets: &[u8], at: u64) -> io::Result<()> {
            assert_eq!(at, u64::try_from(self.octets.len()).unwrap());
            let room = self.room - self.octets.len();
            self.octets.extend(octets.iter().take(room));
            if octets.len() > room { Err(self.kind.into()) } else { Ok(()) }
        }

        fn sync(&mut self) -> io::Result<()> {
            if core::mem::replace(&mut self.syncs, true) { Ok(()) } else { Err(self.kind.into()) }
        }

        fn truncate(&mut self, length: u64) -> io::Result<()> {
            if !self.truncates {
                return Err(io::ErrorKind::Other.into());
            }
            self.octets.truncate(length.try_into().unwrap());
            Ok(())
        }

        fn length(&self) -> io::Result<Option<u64>> {
            Ok(self.is_there.then_some(u64::try_from(self.octets.len()).unwrap()))
        }
    }

    #[test]
    fn what_a_full_disk_took_is_taken_out_again_and_there_may_be_room_later() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge] {
            let mut tail = tail(6, kind);
            tail.append(b"one").unwrap();
            let error = tail.append(b"four").unwrap_err();
            assert!(matches!(error, StoreError::Full(_)) && error.kept_nothing(), "{error}");
            assert_eq!(tail.medium.octets, b"one");
            tail.append(b"two").unwrap();
            assert_eq!(tail.medium.octets, b"onetwo");
        }
    }

    #[test]
    fn what_is_not_permitted_is_told_apart_from_what_failed() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            assert!(matches!(tail(0, kind).append(b"one"), Err(StoreError::Denied(_))));
        }
        let error = tail(0, io::ErrorKind::Other).append(b"one").unwrap_err();
        assert!(matches!(error, StoreError::Medium(_)) && !error.kept_nothing(), "{error}");
    }

    #[test]
    fn what_was_not_synced_is_taken_out_again() {
        let mut tail = tail(9, io::ErrorKind::StorageFull);
        tail.medium.syncs = false;
        assert!(matches!(tail.append(b"one"), Err(StoreError::Full(_))));
        assert_eq!(tail.medium.octets, b"");
    }

    #[test]
    fn what_cannot_be_taken_out_again_is_the_end() {
        let mut tail = tail(2, io::ErrorKind::StorageFull);
        tail.medium.truncates = false;
        let error = tail.append(b"one").unwrap_err();
        assert!(matches!(error, StoreError::Medium(_)) && !error.kept_nothing(), "{error}");
        // Even where all looks well again.
        (tail.medium.room, tail.length) = (9, 2);
        assert!(matches!(tail.append(b"two"), Err(StoreError::Medium(_))));
        assert_eq!(tail.medium.octets, b"on");
    }

    #[test]
    fn a_file_that_changed_under_the_store_is_lost() {
        let changes: [fn(&mut Failing); 3] =
            [|medium| medium.is_there = false, |medium| medium.octets.clear(), |medium| medium.octets.push(0)];
        for change in changes {
            let mut tail = tail(9, io::ErrorKind::Other);
            tail.append(b"one").unwrap();
            change(&mut tail.medium);
            assert!(matches!(tail.append(b"two"), Err(StoreError::Lost)));
        }
    }
}
