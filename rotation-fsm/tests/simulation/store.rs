//! The journal that two controllers write, of which one is behind.

use rotation_fsm::{Applied, ClockRule, Event, Machine, Record, Snapshot, replay};
use time::UtcDateTime;

/// What is durable: a snapshot, and what was applied since.
pub(crate) struct Store {
    snapshot: Snapshot,
    records: Vec<Record>,
    /// Grows with every record; whoever writes says at which it read.
    pub(crate) revision: u64,
    /// Whether it leaves out what changes nothing.
    sparing: bool,
    kept: UtcDateTime,
}

impl Store {
    pub(crate) fn new(machine: &Machine, now: UtcDateTime, sparing: bool) -> Self {
        Self { snapshot: machine.snapshot(), records: Vec::new(), revision: 0, sparing, kept: now }
    }

    /// Keeps what was applied. Within every step that the clock believes there is a record.
    pub(crate) fn keep(&mut self, record: Record, applied: &Applied) {
        let far = (record.now - self.kept).abs() >= ClockRule::DEFAULT.step / 2;
        if !self.sparing || applied.changed || far || record.event != Event::Tick {
            self.kept = record.now;
            self.records.push(record);
            self.revision += 1;
        }
    }

    pub(crate) fn compact(&mut self, machine: &Machine) {
        self.snapshot = machine.snapshot();
        self.records.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// What a process that comes up has: the same as one that never died, but for readings of the clock.
    pub(crate) fn load(&self, live: &Machine, now: UtcDateTime) -> Result<Machine, String> {
        let machine = replay(self.snapshot.clone(), &self.records).map_err(|why| format!("replay: {why}"))?;
        // A reading that changed nothing may be forgotten: both are told what the live one has believed by now.
        let believed = live.record_of(Event::Tick, now).clock.map_or(now, |believed| believed.max(now));
        let told = |machine: &Machine| {
            let mut told = machine.clone();
            told.apply(&Event::Tick, believed).map(|_| told.snapshot()).map_err(|why| why.to_string())
        };
        if told(&machine)? != told(live)? {
            return Err("replay leads elsewhere than to the live machine".to_owned());
        }
        Ok(machine)
    }
}
