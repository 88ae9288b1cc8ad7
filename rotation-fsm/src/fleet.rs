//! The schedules of very many clusters in one process. It looks at a cluster only when something is due, runs no
//! rotation and keeps no machine: an idle cluster is its name, its expiry and one entry in a queue.

mod error;
mod health;
mod names;
mod slot;
mod wakes;

use core::fmt;

use pki_core::ClusterId;
use pki_core::expiry::FleetTable;
use time::{Duration, UtcDateTime};

pub use self::error::FleetError;
pub use self::health::HealthCounts;
use self::names::Names;
use self::slot::{Slot, moment};
use self::wakes::Wakes;
use crate::insight::Insight;
use crate::schedule::{Facts, Health, Standing, Thresholds};

/// Which cluster of a [`Fleet`]. Worth nothing once the cluster is removed, and never given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterHandle {
    slot: u32,
    generation: u32,
}

impl ClusterHandle {
    /// The number of its place in the fleet: for a table beside it. Numbers are dense, and that of a cluster that was
    /// removed is the next one's.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }
}

impl fmt::Display for ClusterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// A cluster of which something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DueCluster {
    /// Which one.
    pub cluster: ClusterHandle,
    /// When the change came: the first of them, if the fleet slept through several.
    pub at: UtcDateTime,
    /// Where the cluster stands now.
    pub standing: Standing,
}

/// The schedules of many clusters: one set of credentials of each. Of clusters whose authorities rotate in several
/// units, make a fleet per unit.
///
/// Sleep until [`next_change`](Self::next_change), then take [`next_due`](Self::next_due) until it has nothing more:
///
/// ```
/// use rotation_fsm::{Due, Facts, Fleet, Progress, Thresholds};
/// use time::{Duration, UtcDateTime};
///
/// let now = UtcDateTime::from_unix_timestamp(1_700_000_000)?;
/// let mut fleet = Fleet::new(now);
/// let facts = Facts::new(now + Duration::days(200), Progress::Idle);
/// fleet.insert(&"prod-1".parse()?, Thresholds::GKE_CREDENTIALS, facts, now)?;
///
/// let mut started = None;
/// while let Some(now) = fleet.next_change() {
///     while let Some(due) = fleet.next_due(now) {
///         if let Some(Due::Start { .. }) = due.standing.due {
///             fleet.rotation_started(due.cluster, now)?; // and the embedder's Machine with it
///             started = Some(now);
///         }
///     }
/// }
/// assert_eq!(started, Some(now + Duration::days(170)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The fleet keeps the latest time that it was ever given, and takes an earlier one for that: a clock that steps back
/// tells nothing twice and shortens no wait.
#[derive(Clone, Debug)]
pub struct Fleet {
    slots: Vec<Slot>,
    free: Vec<u32>,
    names: Names,
    wakes: Wakes,
    thresholds: Vec<Thresholds>,
    counts: HealthCounts,
    clock: UtcDateTime,
    frozen: bool,
}

impl Fleet {
    /// How many different thresholds one fleet holds.
    pub const THRESHOLDS_MAX: usize = 256;

    /// An empty fleet.
    #[must_use]
    pub fn new(now: UtcDateTime) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            names: Names::default(),
            wakes: Wakes::default(),
            thresholds: Vec::new(),
            counts: HealthCounts::default(),
            clock: now,
            frozen: false,
        }
    }

    /// Takes a cluster in. If it is not healthy, or something is due, [`next_due`](Self::next_due) tells it at once.
    ///
    /// # Errors
    /// When a cluster of this name is in already, or something is full.
    pub fn insert(
        &mut self,
        cluster: &ClusterId,
        thresholds: Thresholds,
        facts: Facts,
        now: UtcDateTime,
    ) -> Result<ClusterHandle, FleetError> {
        if self.find(cluster).is_some() {
            return Err(FleetError::AlreadyKnown(cluster.clone()));
        }
        // A number that no handle and no place in the queue can have stays free.
        let next = u32::try_from(self.slots.len()).ok().filter(|next| *next < u32::MAX);
        let number = self.free.last().copied().or(next).ok_or(FleetError::Full)?;
        let thresholds = self.number_of(thresholds)?;
        self.clock = self.clock.max(now);

        let slot = match Slot::at(&self.slots, number) {
            Some(free) => Slot::new(cluster, thresholds, &facts, free.generation),
            None => Slot::new(cluster, thresholds, &facts, 0),
        };
        let handle = ClusterHandle { slot: number, generation: slot.generation };
        match self.slots.get_mut(index(number)) {
            Some(free) => {
                *free = slot;
                self.free.pop();
            }
            None => {
                grow(&mut self.slots);
                self.slots.push(slot);
            }
        }
        self.names.insert(&self.slots, cluster.as_str().as_bytes(), number);
        self.schedule(number, Health::Healthy);
        Ok(handle)
    }

    /// Lets a cluster go.
    ///
    /// # Errors
    /// When there is none with this handle.
    pub fn remove(&mut self, cluster: ClusterHandle) -> Result<(), FleetError> {
        let name = self.slot(cluster)?.name().to_vec();
        self.uncount(cluster.slot);
        self.names.remove(&self.slots, &name);
        self.wakes.set(cluster.slot, None);
        if let Some(slot) = self.slots.get_mut(index(cluster.slot)) {
            slot.free();
            // Were its generations used up, the next handle would be one of before.
            if slot.generation < u32::MAX {
                grow(&mut self.free);
                self.free.push(cluster.slot);
            }
        }
        Ok(())
    }

    /// A rotation began.
    ///
    /// # Errors
    /// When there is no such cluster, a rotation of it is running, or its credentials have expired.
    pub fn rotation_started(&mut self, cluster: ClusterHandle, now: UtcDateTime) -> Result<(), FleetError> {
        let clock = self.clock.max(now);
        let facts = self.slot(cluster)?.facts().started(clock)?;
        self.clock = clock;
        self.update(cluster, &facts);
        Ok(())
    }

    /// The rotation completed; the new generation ends with `expiry`.
    ///
    /// # Errors
    /// When there is no such cluster, no rotation of it is running, its credentials had expired, or the new ones have.
    pub fn rotation_completed(
        &mut self,
        cluster: ClusterHandle,
        expiry: UtcDateTime,
        now: UtcDateTime,
    ) -> Result<(), FleetError> {
        let clock = self.clock.max(now);
        let facts = self.slot(cluster)?.facts().completed(clock, expiry)?;
        self.clock = clock;
        self.update(cluster, &facts);
        Ok(())
    }

    /// What is known of a cluster is something else: after a recovery, or when it was looked at afresh.
    ///
    /// Facts that are known already change nothing.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn restate(&mut self, cluster: ClusterHandle, facts: &Facts, now: UtcDateTime) -> Result<(), FleetError> {
        if self.slot(cluster)?.facts() != *facts {
            self.clock = self.clock.max(now);
            self.update(cluster, facts);
        }
        Ok(())
    }

    /// One cluster of which something has changed until `now`, in the order of the changes. `None` when that is all.
    ///
    /// A cluster is told once for a change. If the fleet slept through several it is told once for all of them, with
    /// where it stands now. What is due and has not happened is told again at the next attempt.
    pub fn next_due(&mut self, now: UtcDateTime) -> Option<DueCluster> {
        self.clock = self.clock.max(now);
        let (instant, number) = self.wakes.first().filter(|(instant, _)| *instant <= self.clock.unix_timestamp())?;
        let slot = Slot::at(&self.slots, number)?;
        let (generation, facts, thresholds) = (slot.generation, slot.facts(), self.thresholds(slot));
        self.uncount(number);
        self.wakes.set(number, thresholds.next_change(&facts, self.clock).map(UtcDateTime::unix_timestamp));
        self.count(number);
        Some(DueCluster {
            cluster: ClusterHandle { slot: number, generation },
            at: moment(instant),
            standing: thresholds.standing(&facts, self.clock),
        })
    }

    /// [`next_due`](Self::next_due) until there is nothing more. Whatever is not taken out of it stays due.
    pub fn due(&mut self, now: UtcDateTime) -> impl Iterator<Item = DueCluster> {
        core::iter::from_fn(move || self.next_due(now))
    }

    /// When there is something to be told next: until then the fleet may sleep. `None` for never.
    #[must_use]
    pub fn next_change(&self) -> Option<UtcDateTime> {
        self.wakes.first().map(|(instant, _)| moment(instant))
    }

    /// The cluster of this name.
    #[must_use]
    pub fn find(&self, cluster: &ClusterId) -> Option<ClusterHandle> {
        let slot = self.names.find(&self.slots, cluster.as_str().as_bytes())?;
        Some(ClusterHandle { slot, generation: Slot::at(&self.slots, slot)?.generation })
    }

    /// The name of a cluster.
    ///
    /// # Errors
    /// When there is none with this handle.
    pub fn cluster(&self, cluster: ClusterHandle) -> Result<ClusterId, FleetError> {
        self.slot(cluster)?.cluster().ok_or(FleetError::UnknownCluster(cluster))
    }

    /// What is known of a cluster.
    ///
    /// # Errors
    /// When there is none with this handle.
    pub fn facts(&self, cluster: ClusterHandle) -> Result<Facts, FleetError> {
        Ok(self.slot(cluster)?.facts())
    }

    /// Where a cluster stands at the latest time that the fleet was given.
    ///
    /// # Errors
    /// When there is none with this handle.
    pub fn standing(&self, cluster: ClusterHandle) -> Result<Standing, FleetError> {
        let slot = self.slot(cluster)?;
        Ok(self.thresholds(slot).standing(&slot.facts(), self.clock))
    }

    /// The insights of all clusters that have one, by name, at the latest time that the fleet was given. It looks at
    /// every cluster.
    pub fn insights(&self) -> impl Iterator<Item = Insight> {
        let slots = self.names.iter().filter_map(|number| Slot::at(&self.slots, number));
        slots.filter_map(|slot| {
            let (facts, thresholds) = (slot.facts(), self.thresholds(slot));
            // Most have none; their names need not be made.
            (thresholds.standing(&facts, self.clock).health >= Health::Insight)
                .then(|| Insight::of(&slot.cluster()?, &thresholds, &facts, self.clock))?
        })
    }

    /// The clusters that have an insight, by name, in GKE's table of a fleet.
    #[must_use]
    pub fn insight_table(&self) -> FleetTable {
        let insights: Vec<_> = self.insights().collect();
        FleetTable::of_expiries(insights.iter().map(|insight| (insight.cluster().as_str(), insight.expiry())))
    }

    /// How many clusters are how well, as far as [`next_due`](Self::next_due) has told it.
    #[must_use]
    pub const fn health(&self) -> HealthCounts {
        self.counts
    }

    /// How many clusters there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.counts.sum()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pauses the automatic re-creation of nodes in every cluster, as GKE does during major events, or lets it go on.
    ///
    /// The fleet re-creates no nodes: whoever does asks [`is_frozen`](Self::is_frozen) first. Deadlines stay where they
    /// are, so what is due is told during a freeze as well.
    pub const fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Whether the automatic re-creation of nodes is paused.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The octets that the fleet occupies, with what it holds in reserve and without what the allocator adds to each
    /// of its few large blocks.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
            + self.thresholds.capacity() * size_of::<Thresholds>()
            + self.names.memory()
            + self.wakes.memory()
    }
}

impl Fleet {
    fn slot(&self, cluster: ClusterHandle) -> Result<&Slot, FleetError> {
        Slot::at(&self.slots, cluster.slot)
            .filter(|slot| slot.generation == cluster.generation)
            .ok_or(FleetError::UnknownCluster(cluster))
    }

    /// Every slot has its thresholds from [`number_of`](Self::number_of), so there are some.
    fn thresholds(&self, slot: &Slot) -> Thresholds {
        self.thresholds.get(usize::from(slot.thresholds)).copied().unwrap_or(Thresholds::EMBEDDER)
    }

    /// The number of thresholds that slots share: there are few different ones.
    fn number_of(&mut self, thresholds: Thresholds) -> Result<u8, FleetError> {
        let known = self.thresholds.iter().position(|known| *known == thresholds);
        let number = u8::try_from(known.unwrap_or(self.thresholds.len()));
        let number = number.map_err(|_| FleetError::TooManyThresholds { max: Self::THRESHOLDS_MAX })?;
        if known.is_none() {
            self.thresholds.push(thresholds);
        }
        Ok(number)
    }

    fn update(&mut self, cluster: ClusterHandle, facts: &Facts) {
        let told = self.told(cluster.slot);
        self.uncount(cluster.slot);
        if let Some(slot) = self.slots.get_mut(index(cluster.slot)) {
            slot.set_facts(facts);
        }
        self.schedule(cluster.slot, told);
    }

    /// Queues a cluster with new facts: at once if they make something due or its health worse than what was told.
    fn schedule(&mut self, number: u32, told: Health) {
        let Some(slot) = Slot::at(&self.slots, number) else { return };
        let (facts, thresholds) = (slot.facts(), self.thresholds(slot));
        let standing = thresholds.standing(&facts, self.clock);
        let news = standing.due.is_some() || standing.health > told;
        let wake = if news { Some(self.clock) } else { thresholds.next_change(&facts, self.clock) };
        self.wakes.set(number, wake.map(UtcDateTime::unix_timestamp));
        self.count(number);
    }

    /// How well a cluster was told to be. Nothing changes before it wakes, so that is how well it is a second before;
    /// one that never wakes again has expired.
    fn told(&self, number: u32) -> Health {
        let (Some(instant), Some(slot)) = (self.wakes.instant(number), Slot::at(&self.slots, number)) else {
            return Health::Unrecoverable;
        };
        let before = moment(instant).saturating_sub(Duration::SECOND);
        self.thresholds(slot).standing(&slot.facts(), before).health
    }

    fn count(&mut self, number: u32) {
        let count = self.counts.count(self.told(number));
        *count = count.saturating_add(1);
    }

    fn uncount(&mut self, number: u32) {
        let count = self.counts.count(self.told(number));
        *count = count.saturating_sub(1);
    }
}

/// The index of a slot, which `usize` holds wherever this many fit into memory.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Makes room for one more, and for an eighth more when there is none: a vector that doubles would keep up to half of
/// its memory for clusters that never come.
fn grow<T>(vec: &mut Vec<T>) {
    if vec.len() == vec.capacity() {
        vec.reserve_exact(vec.len() / 8 + 64);
    }
}

#[cfg(test)]
#[path = "fleet/tests.rs"]
mod tests;
