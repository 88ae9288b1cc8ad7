//! Journals: octets as a record, as a snapshot, and as a snapshot with records that are applied and replayed.

#![no_main]

#[path = "../../rotation-fsm/tests/support/journal.rs"]
mod journal;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    journal::read(octets);
});
