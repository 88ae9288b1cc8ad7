//! What stands in a journal, from any octets: shared by a test and a fuzz target.

use rotation_fsm::{Event, Machine, Record, Snapshot, Versioned, replay};
use time::UtcDateTime;

/// Reads octets as a record, as a snapshot, and as a journal of a snapshot and records with a zero octet between them. What is
/// accepted is written as it was read, and is a machine like any other. How much of it was accepted.
pub(crate) fn read(octets: &[u8]) -> usize {
    let mut parts = octets.split(|octet| *octet == 0);
    let snapshot = parts.next().and_then(snapshot);
    let records: Vec<Record> = parts.filter_map(record).collect();
    let accepted = usize::from(snapshot.is_some()) + records.len() + usize::from(record(octets).is_some());
    let Some(snapshot) = snapshot else { return accepted };
    let Ok(mut machine) = Machine::restore(snapshot.clone()) else { return accepted };
    assert_eq!(machine.snapshot(), snapshot);
    for record in &records {
        let before = machine.snapshot();
        let _ = (machine.pending_actions().count(), machine.status(), machine.next_change(), machine.blocked());
        if machine.apply(&record.event, record.now).is_err() {
            assert_eq!(machine.snapshot(), before);
        }
    }
    let _ = machine.apply(&Event::Tick, records.last().map_or(UtcDateTime::UNIX_EPOCH, |record| record.now));
    let after = machine.snapshot();
    assert_eq!(Machine::restore(after.clone()).map(|machine| machine.snapshot()), Ok(after));
    if let Ok(replayed) = replay(snapshot, &records) {
        let replayed = replayed.snapshot();
        assert_eq!(Machine::restore(replayed.clone()).map(|machine| machine.snapshot()), Ok(replayed));
    }
    accepted + 1
}

fn record(octets: &[u8]) -> Option<Record> {
    let record = serde_json::from_slice::<Versioned<Record>>(octets).ok()?.known().ok()?;
    let written = serde_json::to_vec(&record).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<Record>(&written).ok().as_ref(), Some(&record));
    Some(record)
}

fn snapshot(octets: &[u8]) -> Option<Snapshot> {
    let snapshot = serde_json::from_slice::<Versioned<Snapshot>>(octets).ok()?.known().ok()?;
    let written = serde_json::to_vec(&snapshot).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<Snapshot>(&written).ok().as_ref(), Some(&snapshot));
    Some(snapshot)
}
