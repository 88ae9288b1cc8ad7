//! The contract of a store, and the file store on real files: crashes at every octet, damage, a second process.

#[cfg(test)]
mod contract {
    use rotation_runtime::{MemoryStore, Revision, Store, StoreError};

    /// `store` is new.
    pub(crate) fn check(store: &mut impl Store) {
        assert!(store.load().unwrap().is_none());
        assert!(matches!(store.append(Revision::default(), b"early"), Err(StoreError::Lost)));
        assert!(matches!(store.snapshot(Revision::default(), b"early"), Err(StoreError::Lost)));
        let first = store.create(b"state").unwrap().revision();
        assert_eq!(first, Revision::default());
        assert!(matches!(store.create(b"another"), Err(StoreError::Conflict { .. })));
        let second = store.append(first, b"one").unwrap().revision();
        assert_eq!(second, first.next());
        let late = store.append(first, b"late");
        assert!(matches!(late, Err(StoreError::Conflict { expected, found }) if (expected, found) == (first, second)));
        let early = store.append(second.next(), b"early");
        assert!(matches!(early, Err(StoreError::Conflict { .. })));
        assert!(matches!(store.snapshot(first, b"late"), Err(StoreError::Conflict { .. })));
        let third = store.append(second, b"two\0\n").unwrap().revision();
        let journal = store.load().unwrap().unwrap();
        assert_eq!((journal.snapshot.as_slice(), journal.snapshot_revision), (b"state".as_slice(), first));
        assert_eq!(journal.records, [b"one".as_slice(), b"two\0\n"]);
        assert_eq!(journal.revision(), third);
        assert_eq!(store.snapshot(third, b"state 2").unwrap().revision(), third);
        let fourth = store.append(third, b"three").unwrap().revision();
        let journal = store.load().unwrap().unwrap();
        assert_eq!((journal.snapshot.as_slice(), journal.snapshot_revision), (b"state 2".as_slice(), third));
        assert_eq!((journal.records.as_slice(), journal.revision()), ([b"three".to_vec()].as_slice(), fourth));
    }

    #[test]
    fn the_memory_store_keeps_it() {
        check(&mut MemoryStore::new());
    }
}

#[cfg(test)]
#[cfg(unix)]
mod files {
    use std::fs;
    use std::io::{BufRead as _, BufReader};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use rotation_runtime::{FileStore, Journal, Revision, Store, StoreError};

    fn open(directory: &Path) -> FileStore {
        FileStore::open(directory).unwrap()
    }

    fn journal_of(directory: &Path) -> PathBuf {
        directory.join("journal")
    }

    fn load(directory: &Path) -> Journal {
        open(directory).load().unwrap().unwrap()
    }

    const RECORDS: [&[u8]; 3] = [b"the first event", b"the second", b"the third, at whose end a crash comes"];

    /// A directory with a journal of three records, and where each frame begins; the last one is the end.
    fn written() -> (tempfile::TempDir, Vec<u64>) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let mut revision = store.create(b"the state").unwrap().revision();
        let length = || fs::metadata(journal_of(directory.path())).unwrap().len();
        let mut starts = vec![32, length()];
        for record in RECORDS {
            revision = store.append(revision, record).unwrap().revision();
            starts.push(length());
        }
        drop(store);
        (directory, starts)
    }

    #[test]
    fn the_file_store_keeps_the_contract() {
        let directory = tempfile::tempdir().unwrap();
        super::contract::check(&mut open(directory.path()));
        // And so does what comes back.
        let journal = load(directory.path());
        assert_eq!((journal.snapshot.as_slice(), journal.records.len()), (b"state 2".as_slice(), 1));
        assert_eq!(journal.revision().number(), 3);
    }

    #[test]
    fn only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let (directory, _) = written();
        for name in ["journal", "lock"] {
            let mode = fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn an_append_that_was_cut_short_anywhere_is_taken_off_and_told() {
        let (directory, starts) = written();
        let path = journal_of(directory.path());
        let whole = fs::read(&path).unwrap();
        let (last, end) = (usize::try_from(starts[3]).unwrap(), whole.len());
        for cut in last..=end {
            // What was not written is missing, or reads as zeros.
            for zeros in [0, end - cut] {
                let mut octets = whole[..cut].to_vec();
                octets.resize(cut + zeros, 0);
                fs::write(&path, &octets).unwrap();
                let mut store = open(directory.path());
                let journal = store.load().unwrap().unwrap();
                if cut == end {
                    assert_eq!((store.torn(), journal.records.len()), (None, 3));
                    continue;
                }
                assert_eq!(journal.records, RECORDS[..2], "{cut}");
                let taken = octets.len() - last;
                match store.torn() {
                    None => assert_eq!(taken, 0),
                    Some(torn) => {
                        assert_eq!(
                            (torn.after.number(), torn.at, torn.octets),
                            (2, starts[3], u64::try_from(taken).unwrap())
                        );
                        assert!(torn.to_string().contains("after revision 2"), "{torn}");
                    }
                }
                assert_eq!(store.torn().is_none(), taken == 0);
                assert_eq!(fs::read(&path).unwrap(), whole[..last]);
                // It goes on from there, and the same record makes the same file.
                let _durable = store.append(Revision::new(2), RECORDS[2]).unwrap();
                assert_eq!(fs::read(&path).unwrap(), whole);
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused_and_nothing_is_changed() {
        let (directory, _) = written();
        let path = journal_of(directory.path());
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut octets = whole.clone();
                octets[at] ^= 1 << bit;
                fs::write(&path, &octets).unwrap();
                let error = FileStore::open(directory.path()).map(drop).unwrap_err();
                let is_version = (16..20).contains(&at);
                assert_eq!(matches!(error, StoreError::Unknown(_)), is_version, "{at} {bit}: {error}");
                assert!(is_version || matches!(error, StoreError::Damaged { .. }), "{at} {bit}: {error}");
                assert_eq!(fs::read(&path).unwrap(), octets);
            }
        }
    }

    #[test]
    fn frames_count_only_where_they_were_written() {
        let (directory, starts) = written();
        let path = journal_of(directory.path());
        let whole = fs::read(&path).unwrap();
        let at = |index: usize| usize::try_from(starts[index]).unwrap();
        let (first, second) = (at(1)..at(2), at(2)..at(3));
        let doubled = [&whole[..at(3)], &whole[second.clone()], &whole[at(3)..]].concat();
        let left_out = [&whole[..at(1)], &whole[second.clone()], &whole[at(3)..]].concat();
        let swapped = [&whole[..at(1)], &whole[second], &whole[first], &whole[at(3)..]].concat();
        for octets in [doubled, left_out, swapped] {
            fs::write(&path, &octets).unwrap();
            assert!(matches!(FileStore::open(directory.path()), Err(StoreError::Damaged { .. })));
        }
    }

    /// A length whose checksums are right, with nothing behind it.
    fn announcing(length: u32, revision: u64) -> Vec<u8> {
        let checksum = |octets: &[u8]| crc32fast::hash(&[&revision.to_le_bytes(), octets].concat());
        let mut head = [length.to_le_bytes(), checksum(b"").to_le_bytes()].concat();
        head.extend(checksum(&head).to_le_bytes());
        head
    }

    #[test]
    fn no_length_is_believed_that_the_file_does_not_have() {
        let (directory, starts) = written();
        let path = journal_of(directory.path());
        let whole = fs::read(&path).unwrap();
        // A record that is larger than any is damage; one that may be and is not there was cut short.
        for (length, is_damage) in [(u32::MAX, true), ((1 << 20) + 1, true), (1 << 20, false)] {
            fs::write(&path, [whole.clone(), announcing(length, 4)].concat()).unwrap();
            match FileStore::open(directory.path()) {
                Err(error) => assert!(is_damage && matches!(error, StoreError::Damaged { .. }), "{error}"),
                Ok(store) => assert!(!is_damage && store.torn().is_some()),
            }
        }
        // So is a snapshot that is not there, which no crash leaves behind.
        let snapshot = [&whole[..32], &announcing(1 << 30, 0)].concat();
        for octets in [snapshot.as_slice(), &whole[..usize::try_from(starts[1]).unwrap() - 1], &whole[..31], b""] {
            fs::write(&path, octets).unwrap();
            assert!(matches!(FileStore::open(directory.path()), Err(StoreError::Damaged { .. })));
        }
        // More than is read at all; the file is sparse.
        fs::write(&path, &whole).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len((1 << 30) + 1).unwrap();
        assert!(matches!(FileStore::open(directory.path()), Err(StoreError::TooLarge { what: "journal", .. })));
    }

    #[test]
    fn a_record_that_would_not_be_read_again_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let revision = store.create(b"the state").unwrap().revision();
        let error = store.append(revision, &vec![b' '; (1 << 20) + 1]).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { what: "record", .. }) && error.kept_nothing(), "{error}");
        let second = store.append(revision, &vec![b' '; 1 << 20]).unwrap().revision();
        drop(store);
        assert_eq!(load(directory.path()).revision(), second);
    }

    #[test]
    fn a_journal_that_is_gone_is_missed() {
        let (directory, _) = written();
        let mut store = open(directory.path());
        fs::remove_file(journal_of(directory.path())).unwrap();
        assert!(matches!(store.append(Revision::new(3), b"late"), Err(StoreError::Lost)));
        assert!(matches!(store.load(), Err(StoreError::Lost)));
        drop(store);
        assert!(matches!(FileStore::open(directory.path()), Err(StoreError::Lost)));
    }

    #[test]
    fn a_snapshot_that_was_cut_short_is_nobodys() {
        let (directory, _) = written();
        fs::write(directory.path().join("journal.new"), b"carousel jour").unwrap();
        let mut store = open(directory.path());
        assert_eq!(store.load().unwrap().unwrap().records, RECORDS);
        let _durable = store.snapshot(Revision::new(3), b"another state").unwrap();
        assert!(!directory.path().join("journal.new").exists());
        drop(store);
        let journal = load(directory.path());
        assert_eq!((journal.snapshot.as_slice(), journal.revision().number()), (b"another state".as_slice(), 3));
    }

    #[test]
    fn a_snapshot_that_cannot_be_written_leaves_the_journal_as_it_was() {
        let (directory, _) = written();
        let mut store = open(directory.path());
        fs::create_dir(directory.path().join("journal.new")).unwrap();
        assert!(store.snapshot(Revision::new(3), b"another state").is_err());
        assert_eq!(store.load().unwrap().unwrap().records, RECORDS);
        assert_eq!(store.append(Revision::new(3), b"goes on").unwrap().revision().number(), 4);
    }

    #[test]
    fn what_is_no_file_is_no_journal() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(journal_of(directory.path())).unwrap();
        assert!(FileStore::open(directory.path()).is_err());
        assert!(matches!(FileStore::open(directory.path().join("none")), Err(StoreError::Medium(_))));
    }

    #[test]
    fn one_store_at_a_time_has_a_directory() {
        let (directory, _) = written();
        let store = open(directory.path());
        let second = FileStore::open(directory.path()).map(drop).unwrap_err();
        assert!(matches!(second, StoreError::Locked) && second.is_retryable());
        drop(store);
        assert_eq!(load(directory.path()).records, RECORDS);
    }

    const CHILD: &str = "CAROUSEL_TEST_JOURNAL";

    /// Appends until it is killed, and says how far it is after each attestation. Nothing without the environment.
    #[test]
    fn a_process_that_appends() {
        let Some(directory) = std::env::var_os(CHILD) else { return };
        let mut store = open(Path::new(&directory));
        let mut revision = store.create(b"the state").unwrap().revision();
        loop {
            let record = format!("event {}", revision.next()).repeat(100);
            revision = store.append(revision, record.as_bytes()).unwrap().revision();
            println!("\nattested {revision}");
        }
    }

    #[test]
    fn what_was_attested_before_a_process_is_killed_is_there_and_its_lock_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "files::a_process_that_appends", "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut attested = 0;
        while attested < 50 {
            let line = said.next().unwrap().unwrap();
            attested = line.strip_prefix("attested ").and_then(|number| number.parse().ok()).unwrap_or(attested);
        }
        assert!(matches!(FileStore::open(directory.path()), Err(StoreError::Locked)));
        child.kill().unwrap();
        let _killed = child.wait().unwrap();
        let last = said.map_while(Result::ok).filter_map(|line| line.strip_prefix("attested ")?.parse().ok()).last();
        let attested: usize = last.unwrap_or(attested);
        let journal = load(directory.path());
        assert!((attested..=attested + 1).contains(&journal.records.len()), "{attested} {}", journal.records.len());
        for (index, record) in journal.records.iter().enumerate() {
            assert_eq!(*record, format!("event {}", index + 1).repeat(100).into_bytes());
        }
    }
}
