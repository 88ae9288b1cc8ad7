//! The log as a file: torn, damaged, full, tampered with.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use signer_hsm::service::client::ClientError;
use signer_hsm::service::epoch::SignerEpoch;
use signer_hsm::service::limits::ServerLimits;
use signer_hsm::service::log::{Durability, Entry, Head, IssuanceLog, LogError, Origin, verify_directory};
use signer_hsm::service::protocol::{Refusal, RequestId};

use crate::support::{Bench, NODE, ROLE, blue, order};

fn refused(number: u8, length: usize) -> Entry {
    let of = Origin {
        time: 1,
        caller: "kcm".into(),
        cluster: "blue".into(),
        role: "cluster".into(),
        epoch: SignerEpoch::FIRST,
        request: RequestId([number; 16]),
        digest: [number; 32],
    };
    Entry::Refused { of, code: "test".into(), text: "x".repeat(length) }
}

fn open(directory: &Path) -> Result<(IssuanceLog, Vec<Entry>), LogError> {
    let mut entries = Vec::new();
    let log = IssuanceLog::open(directory, Durability::Synced, |entry, _| entries.push(entry))?;
    Ok((log, entries))
}

fn written() -> (tempfile::TempDir, Vec<u8>, Head) {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path()).unwrap();
    log.append(&[refused(1, 10), refused(2, 20)]).unwrap();
    log.append(&[refused(3, 30)]).unwrap();
    let head = log.head();
    drop(log);
    let octets = std::fs::read(directory.path().join("issuance.log")).unwrap();
    (directory, octets, head)
}

#[test]
fn what_was_cut_short_is_taken_off_and_said_wherever_it_was_cut() {
    let (directory, octets, head) = written();
    let path = directory.path().join("issuance.log");
    let third = octets.len() - (8 + 33 + refused(3, 30).encode().len());
    for (length, zeros) in (third + 1..octets.len()).flat_map(|length| [(length, 0), (length, octets.len() - length)]) {
        let mut torn = octets[..length].to_vec();
        torn.resize(length + zeros, 0);
        std::fs::write(&path, &torn).unwrap();
        // The last octet of a frame alone is no torn frame where it is there, and is one where it is zero or missing.
        let (log, entries) = open(directory.path()).unwrap();
        assert_eq!(entries, [refused(1, 10), refused(2, 20)], "{length} {zeros}");
        let said = log.torn().unwrap();
        assert_eq!((said.after, said.at), (2, u64::try_from(third).unwrap()));
        // The same entry again is the same log.
        log.append(&[refused(3, 30)]).unwrap();
        assert_eq!(log.head(), head);
    }
    assert_eq!(std::fs::read(&path).unwrap(), octets);
    assert!(open(directory.path()).unwrap().0.torn().is_none());
}

#[test]
fn several_entries_that_are_zeros_to_the_end_are_torn_and_anything_after_zeros_is_damage() {
    let (directory, octets, _) = written();
    let path = directory.path().join("issuance.log");
    let frame = |number, length| 8 + 33 + refused(number, length).encode().len();
    let (third, second) = (octets.len() - frame(3, 30), octets.len() - frame(3, 30) - frame(2, 20));
    // From the boundary of the second of three entries on, and from within it.
    for from in second..third {
        for longer in [0, 5000] {
            let mut torn = octets.clone();
            torn[from..].fill(0);
            torn.resize(octets.len() + longer, 0);
            std::fs::write(&path, &torn).unwrap();
            let (log, entries) = open(directory.path()).unwrap();
            assert_eq!(entries, [refused(1, 10)], "{from} {longer}");
            let said = log.torn().unwrap();
            let found = (said.after, said.at, said.octets);
            assert_eq!(found, (1, u64::try_from(second).unwrap(), u64::try_from(torn.len() - second).unwrap()));
            drop(log);
            // One octet that follows says that more than the end is gone.
            *torn.last_mut().unwrap() = 1;
            std::fs::write(&path, &torn).unwrap();
            assert!(matches!(open(directory.path()), Err(LogError::Damaged { .. })), "{from} {longer}");
        }
    }
}

/// A loss of power may leave the length of the first write and none of its octets.
#[test]
fn a_log_of_which_nothing_but_zeros_was_written_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("issuance.log");
    std::fs::write(&path, [0; 23]).unwrap();
    open(directory.path()).unwrap().0.append(&[refused(1, 10)]).unwrap();
    // Once it was begun zeros are no log any more.
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::write(&path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    assert!(matches!(open(directory.path()), Err(LogError::Damaged { .. } | LogError::UnknownVersion)));
}

#[test]
fn a_flipped_bit_anywhere_is_damage_and_changes_nothing() {
    let (directory, octets, _) = written();
    let path = directory.path().join("issuance.log");
    for at in 0..octets.len() - 1 {
        let mut damaged = octets.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).unwrap();
        let opened = open(directory.path());
        assert!(matches!(opened, Err(LogError::Damaged { .. } | LogError::UnknownVersion)), "{at}: {opened:?}");
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
    }
}

#[test]
fn another_history_is_told_by_a_head_that_was_kept() {
    let (directory, octets, head) = written();
    let (found, verified) = verify_directory(directory.path(), Some(head), |_| {}).unwrap();
    assert_eq!((found, verified.refused, verified.unfinished), (head, 3, 0));
    let path = directory.path().join("issuance.log");
    // A whole entry taken off the end is a sound log, of another history.
    let third = octets.len() - (8 + 33 + refused(3, 30).encode().len());
    std::fs::write(&path, &octets[..third]).unwrap();
    verify_directory(directory.path(), None, |_| {}).unwrap();
    let shorter = verify_directory(directory.path(), Some(head), |_| {});
    assert!(matches!(shorter, Err(LogError::OtherHistory { expected }) if expected == head));
    let (log, _) = open(directory.path()).unwrap();
    log.append(&[refused(4, 30)]).unwrap();
    let rewritten = verify_directory(directory.path(), Some(head), |_| {});
    assert!(matches!(rewritten, Err(LogError::OtherHistory { .. })));
    std::fs::write(&path, &octets).unwrap();
    assert!(matches!(log.append(&[refused(5, 1)]), Ok(_) | Err(LogError::Lost)));
}

#[test]
fn a_certificate_of_another_epoch_is_no_sound_log() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path()).unwrap();
    let signer = |epoch| Entry::Signer {
        time: 1,
        cluster: "blue".into(),
        role: "cluster".into(),
        epoch: SignerEpoch::new(epoch).unwrap(),
        version: 1,
        key: [0; 20],
    };
    let Entry::Refused { of, .. } = refused(1, 1) else { panic!() };
    let issued = |epoch| Entry::Issued {
        of: Origin { epoch: SignerEpoch::new(epoch).unwrap(), ..of.clone() },
        certificate: vec![1],
    };
    log.append(&[signer(1), issued(1), signer(2)]).unwrap();
    verify_directory(directory.path(), None, |_| {}).unwrap();
    log.append(&[issued(1)]).unwrap();
    let crossed = verify_directory(directory.path(), None, |_| {});
    assert!(matches!(crossed, Err(LogError::Damaged { why: "a certificate of another epoch than the current", .. })));
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path()).unwrap();
    log.append(&[signer(1), signer(3)]).unwrap();
    assert!(matches!(verify_directory(directory.path(), None, |_| {}), Err(LogError::Damaged { .. })));
}

#[test]
fn a_retired_generation_signs_no_more_in_a_sound_log() {
    let (cluster, role) = (|| "blue".to_owned(), || "cluster".to_owned());
    let signer = |epoch, version| {
        let (epoch, key) = (SignerEpoch::new(epoch).unwrap(), [0; 20]);
        Entry::Signer { time: 1, cluster: cluster(), role: role(), epoch, version, key }
    };
    let retired = |epoch, version| {
        let (epoch, key) = (SignerEpoch::new(epoch).unwrap(), [0; 20]);
        Entry::Retired { time: 1, cluster: cluster(), role: role(), epoch, version, key }
    };
    for (entries, is_sound) in [
        (vec![signer(1, 1), signer(2, 2), retired(2, 1), signer(3, 3)], true),
        (vec![signer(1, 1), retired(1, 2)], true),
        (vec![signer(1, 1), signer(2, 2), retired(2, 1), signer(3, 1)], false),
        (vec![signer(1, 1), retired(1, 1)], false),
        (vec![signer(1, 1), signer(2, 2), retired(1, 1)], false),
        (vec![retired(1, 1)], false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).unwrap().0.append(&entries).unwrap();
        let verified = verify_directory(directory.path(), None, |_| {});
        assert_eq!(verified.is_ok(), is_sound, "{entries:?}: {verified:?}");
        assert_eq!(open(directory.path()).is_ok(), is_sound, "a service would not begin with it either");
    }
}

#[test]
fn a_log_has_one_process_and_is_missed_when_it_is_gone() {
    let (directory, octets, _) = written();
    let first = open(directory.path()).unwrap();
    assert!(matches!(open(directory.path()), Err(LogError::Locked)));
    let path = directory.path().join("issuance.log");
    // Somebody else writes into it.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"x", u64::try_from(octets.len()).unwrap()).unwrap();
    assert!(matches!(first.0.append(&[refused(4, 1)]), Err(LogError::Lost)));
    // Or it is as long as it was, and nobody will find it.
    file.set_len(u64::try_from(octets.len()).unwrap()).unwrap();
    first.0.append(&[refused(4, 1)]).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(first.0.append(&[refused(5, 1)]), Err(LogError::Lost)));
    drop(first);
    assert!(matches!(open(directory.path()), Err(LogError::Lost)));
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    assert!(matches!(open(directory.path()), Err(LogError::Damaged { why: "not a regular file", .. })));
}

#[test]
fn threads_that_wait_for_the_disk_share_a_sync_and_each_entry_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path()).unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let log = &log;
            scope.spawn(move || (0..50).for_each(|_| drop(log.append(&[refused(number, 5)]).unwrap())));
        }
    });
    assert_eq!(log.head().entries, 400);
    let (head, verified) = verify_directory(directory.path(), Some(log.head()), |_| {}).unwrap();
    assert_eq!((head, verified.refused), (log.head(), 400));
}

#[test]
fn a_full_disk_stops_issuing_and_nothing_else() {
    // The file system of the log has room for a few certificates.
    let mount = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
        .arg(mount.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("no file system could be mounted here: not shown");
        return;
    }
    let _unmount = Unmount(mount.path());
    let bench = Bench::new();
    let service = {
        let config = crate::support::config(&bench.clock, Durability::Synced);
        let service = signer_hsm::service::IssuingService::open(mount.path(), config).unwrap();
        let cluster = signer_hsm::service::ClusterConfig::new(blue(), crate::support::policy());
        let cluster = cluster.with_caller(crate::support::caller()).with_rate(crate::support::plenty());
        service.add_cluster(cluster).unwrap();
        service.install(&blue(), ROLE, bench.blue.generation()).unwrap();
        Arc::new(service)
    };
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    let mut client = bench.client();
    let authority = client.current(&blue(), ROLE).unwrap();
    let mut issued = Vec::new();
    let full = loop {
        let order = order(&authority, NODE, &[NODE]);
        match client.issue(&order) {
            Ok(certificate) => issued.push((order, certificate)),
            Err(error) => break error,
        }
        assert!(issued.len() < 100, "the disk is never full");
    };
    assert!(!issued.is_empty() && full.is_retryable(), "{full}");
    assert!(matches!(full, ClientError::Refused(Refusal::LogFull)), "{full}");
    // Still up, and what was given out is given out again.
    client.current(&blue(), ROLE).unwrap();
    for (order, certificate) in &issued {
        assert_eq!(&client.issue(order).unwrap(), certificate);
    }
    // Nothing half-written, and no epoch without a place for it.
    let (head, verified) = verify_directory(mount.path(), Some(service.head()), |_| {}).unwrap();
    assert_eq!((head, verified.unfinished), (service.head(), 0));
    assert_eq!(verified.issued, u64::try_from(issued.len()).unwrap());
    // With room again it goes on.
    let grown = Command::new("mount").args(["-o", "remount,size=1m"]).arg(mount.path()).status().unwrap();
    assert!(grown.success());
    client.issue(&order(&authority, NODE, &[NODE])).unwrap();
}

struct Unmount<'p>(&'p Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn an_entry_that_could_not_be_read_back_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = open(directory.path()).unwrap();
    log.append(&[refused(1, 64 << 10)]).unwrap();
    assert!(matches!(log.append(&[refused(2, 1), refused(3, (64 << 10) + 1)]), Err(LogError::TooLong)));
    let mut by_another = refused(4, 1);
    if let Entry::Refused { of, .. } = &mut by_another {
        of.caller = "k".repeat((64 << 10) + 1);
    }
    assert!(matches!(log.append(&[by_another]), Err(LogError::TooLong)));
    let Entry::Refused { of, .. } = refused(5, 1) else { panic!() };
    let long = || "x".repeat((64 << 10) + 1);
    let (epoch, key) = (SignerEpoch::FIRST, [0; 20]);
    for entry in [
        Entry::Signer { time: 1, cluster: long(), role: String::new(), epoch, version: 1, key },
        Entry::Prepared { of: of.clone(), tbs_sha256: [0; 32], record: long() },
        Entry::Ordered { of: Origin { caller: long(), ..of.clone() } },
        Entry::Issued { of, certificate: vec![0; 128 << 10] },
    ] {
        assert!(matches!(log.append(&[entry]), Err(LogError::TooLong)));
    }
    drop(log);
    assert_eq!(open(directory.path()).unwrap().1, [refused(1, 64 << 10)]);
}
