//! What is kept of one cluster.

use pki_core::ClusterId;
use time::{Duration, UtcDateTime};

use super::index;
use crate::schedule::{Facts, Progress};

/// The longest name: one label of 63 octets (RFC 1123 2.1).
const NAME_LEN_MAX: usize = 63;

/// One cluster, without a heap of its own: a name inside costs no pointer, no allocation and no second cache line on
/// the way to it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    name: [u8; NAME_LEN_MAX],
    name_len: u8,
    /// Unix seconds.
    expiry: i64,
    /// Unix seconds of whatever `progress` is about.
    since: i64,
    /// How many clusters had this slot before; a slot that is free has a generation that no handle has.
    pub(super) generation: u32,
    progress: Stage,
    /// Which of the fleet's thresholds.
    pub(super) thresholds: u8,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Idle,
    Running,
    Completed,
}

impl Slot {
    pub(super) fn new(cluster: &ClusterId, thresholds: u8, facts: &Facts, generation: u32) -> Self {
        let mut name = [0; NAME_LEN_MAX];
        // A ClusterId is a label, so all of it fits.
        name.iter_mut().zip(cluster.as_str().bytes()).for_each(|(to, from)| *to = from);
        let name_len = u8::try_from(cluster.as_str().len().min(NAME_LEN_MAX)).unwrap_or_default();
        let mut slot = Self { name, name_len, expiry: 0, since: 0, generation, progress: Stage::Idle, thresholds };
        slot.set_facts(facts);
        slot
    }

    pub(super) fn at(slots: &[Self], number: u32) -> Option<&Self> {
        slots.get(index(number))
    }

    /// The cluster is gone, and handles to it are worth nothing.
    pub(super) const fn free(&mut self) {
        self.generation = self.generation.saturating_add(1);
    }

    pub(super) fn name(&self) -> &[u8] {
        self.name.get(..self.name_len.into()).unwrap_or_default()
    }

    pub(super) fn cluster(&self) -> Option<ClusterId> {
        core::str::from_utf8(self.name()).ok()?.parse().ok()
    }

    pub(super) fn facts(&self) -> Facts {
        let since = moment(self.since);
        let progress = match self.progress {
            Stage::Idle => Progress::Idle,
            Stage::Running => Progress::Running { started: since },
            Stage::Completed => Progress::Completed { at: since },
        };
        Facts::new(moment(self.expiry), progress)
    }

    pub(super) fn set_facts(&mut self, facts: &Facts) {
        let (progress, since) = match facts.progress() {
            Progress::Idle => (Stage::Idle, UtcDateTime::UNIX_EPOCH),
            Progress::Running { started } => (Stage::Running, started),
            Progress::Completed { at } => (Stage::Completed, at),
        };
        (self.progress, self.since, self.expiry) = (progress, since.unix_timestamp(), facts.expiry().unix_timestamp());
    }
}

/// The moment of Unix seconds that came from a moment.
pub(super) fn moment(seconds: i64) -> UtcDateTime {
    UtcDateTime::UNIX_EPOCH.saturating_add(Duration::seconds(seconds))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::fleet) fn slot(cluster: &ClusterId) -> Slot {
        Slot::new(cluster, 0, &Facts::new(UtcDateTime::UNIX_EPOCH, Progress::Idle), 0)
    }

    #[test]
    fn a_slot_is_88_octets() {
        assert_eq!(size_of::<Slot>(), 88);
    }

    #[test]
    fn what_goes_in_comes_out() {
        let ends = [UtcDateTime::MIN, UtcDateTime::UNIX_EPOCH, UtcDateTime::MAX].map(UtcDateTime::truncate_to_second);
        for name in ["a".to_owned(), "n".repeat(63)] {
            for moment in ends {
                for progress in
                    [Progress::Idle, Progress::Running { started: moment }, Progress::Completed { at: moment }]
                {
                    let (cluster, facts) = (name.parse().unwrap(), Facts::new(moment, progress));
                    let slot = Slot::new(&cluster, 7, &facts, 3);
                    assert_eq!((slot.cluster(), slot.facts(), slot.thresholds), (Some(cluster), facts, 7));
                }
            }
        }
    }
}
