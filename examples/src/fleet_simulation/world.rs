//! The clusters, their users, and the clock that goes from one instant at which anything happens to the next.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use pki_core::{ClusterId, NameError};
use rotation_fsm::{ClusterHandle, Due, DueCluster, Facts, Fleet, FleetError, Health, Progress};
use time::{Date, Duration, Month, Time, UtcDateTime};

use super::laws::{Laws, Record, expected_health};
use super::random::Random;
use super::rehearsal::{Sample, rehearse_on_machine};
use super::report::{FleetReport, MachineReport, MemoryReport, YearRow};
use super::{FleetProgress, FleetSpec, Kind, SimulationError};

/// 2026-01-01T00:00:00Z: every simulation begins here, so that a seed says everything.
const BEGIN: i64 = 1_767_225_600;

/// Of so many rotations one is picked for the machine.
const SAMPLED: u64 = 1_000;

/// What an idle cluster may cost, in octets.
const MEMORY_PER_CLUSTER_MAX: u64 = 128;

/// With fewer clusters the fixed part of the fleet counts.
const MEMORY_CHECKED_FROM: u32 = 10_000;

/// What somebody does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    /// A user begins a rotation.
    UserStarts,
    /// The last pool is re-created.
    PoolsRecreated,
    /// A user completes the rotation, or it runs to its end.
    Completes,
    /// A cluster that expired is taken away and another comes.
    Replaced,
}

/// When, to which cluster, in which of its epochs, what.
type Planned = Reverse<(UtcDateTime, u32, u32, Deed)>;

pub(super) struct World {
    fleet: Fleet,
    /// By slot.
    records: Vec<Record>,
    handles: Vec<ClusterHandle>,
    planned: BinaryHeap<Planned>,
    random: Random,
    laws: Laws,
    pub(super) begin: UtcDateTime,
    years: BTreeMap<i32, YearRow>,
    told: u64,
    replaced: u64,
    rotations: u64,
    machine: MachineReport,
    resident_per_cluster: Option<u64>,
}

impl World {
    pub(super) fn new(spec: &FleetSpec, progress: &mut dyn FnMut(FleetProgress)) -> Result<Self, SimulationError> {
        let begin = UtcDateTime::UNIX_EPOCH + Duration::seconds(BEGIN);
        let mut random = Random::new(spec.seed);
        let records: Vec<_> = (0..spec.clusters)
            .map(|_| {
                let kind = Kind::draw(&mut random);
                let expiry = begin + Duration::days(kind.draw_age(&mut random).into());
                Record::new(kind, expiry + Duration::seconds(random.between(0, 86_400).into()), begin)
            })
            .collect();
        let (mut fleet, mut handles) = (Fleet::new(begin), Vec::with_capacity(records.len()));
        let resident = resident_octets();
        for (number, record) in (0..).zip(&records) {
            let facts = Facts::new(record.expiry, Progress::Idle);
            handles.push(fleet.insert(&name(number, 0)?, record.kind.thresholds(), facts, begin)?);
            if number % 10_000 == 0 {
                progress(FleetProgress::Building { clusters: number });
            }
        }
        let grown = resident_octets().zip(resident).map(|(after, before)| after.saturating_sub(before));
        Ok(Self {
            fleet,
            handles,
            records,
            planned: BinaryHeap::new(),
            random,
            laws: Laws::new(),
            begin,
            years: BTreeMap::new(),
            told: 0,
            replaced: 0,
            rotations: 0,
            machine: MachineReport::default(),
            resident_per_cluster: grown.map(|octets| octets / u64::from(spec.clusters.max(1))),
        })
    }

    /// When anything happens next. The clock goes there at once.
    pub(super) fn next_instant(&self) -> Option<UtcDateTime> {
        let planned = self.planned.peek().map(|Reverse((at, ..))| *at);
        [self.fleet.next_change(), planned].into_iter().flatten().min()
    }

    pub(super) fn pass(&mut self, now: UtcDateTime) -> Result<(), SimulationError> {
        self.fleet.set_frozen(freeze_ends(now).is_some());
        while let Some(due) = self.fleet.next_due(now) {
            self.hear(&due, now)?;
        }
        while let Some(Reverse((_, slot, epoch, deed))) = self.planned.peek().copied().filter(|next| next.0.0 <= now) {
            self.planned.pop();
            // Whatever was planned for what is no longer so is off.
            if self.record(slot).is_some_and(|record| record.epoch == epoch) {
                self.act(slot, deed, now)?;
            }
        }
        Ok(())
    }

    /// The fleet says that something has changed.
    fn hear(&mut self, due: &DueCluster, now: UtcDateTime) -> Result<(), SimulationError> {
        self.told += 1;
        let slot = due.cluster.slot();
        let Some(record) = self.records.get_mut(at(slot)) else {
            return Err(FleetError::UnknownCluster(due.cluster).into());
        };
        let before = record.told;
        self.laws.told(record, due, now);
        let (rotating, recreated) = (record.started.is_some(), record.recreated);
        if due.standing.health != before {
            self.health_changed(slot, rotating, due.standing.health, now);
        }
        match due.standing.due {
            // One time in ten a component does not run with what it should, and the machine would not begin.
            Some(Due::Start { .. }) if self.random.percent(10) => self.year(now).failed_starts += 1,
            Some(Due::Start { .. }) => {
                self.year(now).automatic_starts += 1;
                self.start(slot, now)?;
            }
            Some(Due::Completion { .. }) if recreated => {
                self.year(now).automatic_completions += 1;
                self.complete(slot, now)?;
            }
            Some(Due::Completion { .. }) => self.year(now).failed_completions += 1,
            None => {}
        }
        Ok(())
    }

    /// What users make of it. Some react at any time, some when it is nearly too late, some never.
    fn health_changed(&mut self, slot: u32, rotating: bool, health: Health, now: UtcDateTime) {
        match health {
            Health::Healthy => {}
            Health::Insight => {
                self.year(now).insights += 1;
                if !rotating && self.random.percent(65) {
                    let within = self.random.between(3_600, 175 * 86_400);
                    self.plan(slot, now, within, Deed::UserStarts);
                }
            }
            Health::Degraded => {
                self.year(now).degraded += 1;
                if self.random.percent(60) {
                    let within = self.random.between(3_600, 5 * 86_400);
                    self.plan(slot, now, within, if rotating { Deed::PoolsRecreated } else { Deed::UserStarts });
                }
            }
            Health::Unrecoverable => {
                self.year(now).unrecoverable += 1;
                self.plan(slot, now, 14 * 86_400, Deed::Replaced);
            }
        }
    }

    fn act(&mut self, slot: u32, deed: Deed, now: UtcDateTime) -> Result<(), SimulationError> {
        let Some(record) = self.records.get_mut(at(slot)) else { return Ok(()) };
        let (kind, expired, rotating) = (record.kind, now >= record.expiry, record.started.is_some());
        match deed {
            Deed::UserStarts if !expired && !rotating => {
                self.year(now).user_starts += 1;
                self.start(slot, now)?;
            }
            Deed::PoolsRecreated if !expired && rotating => match freeze_ends(now) {
                Some(end) => {
                    let within = u32::try_from((end - now).whole_seconds()).unwrap_or(u32::MAX);
                    self.plan(slot, now, within.saturating_add(3_600), Deed::PoolsRecreated);
                }
                None => {
                    record.recreated = true;
                    // GKE's users leave it to the attempts more often than not. Nobody else attempts anything.
                    if kind != Kind::Gke || self.random.percent(30) {
                        let within = self.random.between(60, 2 * 86_400);
                        self.plan(slot, now, within, Deed::Completes);
                    }
                }
            },
            Deed::Completes if !expired && rotating => {
                self.year(now).completions += 1;
                self.complete(slot, now)?;
            }
            Deed::Replaced => self.replace(slot, now)?,
            Deed::UserStarts | Deed::PoolsRecreated | Deed::Completes => {}
        }
        Ok(())
    }

    fn start(&mut self, slot: u32, now: UtcDateTime) -> Result<(), SimulationError> {
        let (Some(record), Some(handle)) = (self.records.get_mut(at(slot)), self.handles.get(at(slot))) else {
            return Ok(());
        };
        self.fleet.rotation_started(*handle, now)?;
        record.started = Some(now);
        record.change(now);
        // Most pools are re-created within days; some wait for a window; a few exclude it for good.
        let within = match self.random.between(0, 100) {
            0..88 => self.random.between(3_600, 6 * 86_400),
            88..98 => self.random.between(7 * 86_400, 25 * 86_400),
            _ => return Ok(()),
        };
        self.plan(slot, now, within, Deed::PoolsRecreated);
        Ok(())
    }

    fn complete(&mut self, slot: u32, now: UtcDateTime) -> Result<(), SimulationError> {
        let (Some(record), Some(handle)) = (self.records.get_mut(at(slot)), self.handles.get(at(slot))) else {
            return Ok(());
        };
        let (old, started) = (record.expiry, record.started);
        record.expiry = now + record.kind.lifetime();
        record.started = None;
        self.fleet.rotation_completed(*handle, record.expiry, now)?;
        record.change(now);
        self.rotations += 1;
        if self.rotations.is_multiple_of(SAMPLED)
            && let Some(started) = started
        {
            let (kind, seed) = (record.kind, self.random.next());
            let sample =
                Sample { cluster: self.fleet.cluster(*handle)?, kind, started, completed: now, expiry: old, seed };
            self.rehearse(&sample);
        }
        Ok(())
    }

    fn rehearse(&mut self, sample: &Sample) {
        self.machine.sampled += 1;
        let broken = rehearse_on_machine(sample);
        self.machine.rehearsed += 1;
        let held = matches!(broken, Ok(0));
        self.laws.check(held, || match broken {
            Ok(broken) => format!("the machine broke {broken} laws: {sample:?}"),
            Err(error) => format!("the machine did not come to its end: {error}: {sample:?}"),
        });
    }

    /// What has expired is beyond a rotation: the cluster goes, and a new one comes in its place.
    fn replace(&mut self, slot: u32, now: UtcDateTime) -> Result<(), SimulationError> {
        let Some(handle) = self.handles.get_mut(at(slot)) else { return Ok(()) };
        self.fleet.remove(*handle)?;
        self.replaced += 1;
        let kind = Kind::draw(&mut self.random);
        let expiry = now + kind.lifetime();
        let facts = Facts::new(expiry, Progress::Idle);
        *handle = self.fleet.insert(&name(slot, self.replaced)?, kind.thresholds(), facts, now)?;
        let given = handle.slot();
        self.laws.check(given == slot, || format!("slot {slot} was free and {given} was given"));
        if let Some(record) = self.records.get_mut(at(slot)) {
            let epoch = record.epoch + 1;
            *record = Record::new(kind, expiry, now);
            record.epoch = epoch;
        }
        Ok(())
    }

    /// Looks at every cluster, which the fleet itself never does.
    pub(super) fn sweep(&mut self, now: UtcDateTime) {
        let mut counts = [0_usize; 4];
        for (slot, record) in self.records.iter().enumerate() {
            self.laws.nobody_forgotten(slot, record, now);
            let health = expected_health(record.kind, record.expiry, now);
            let counted = Health::ALL.iter().zip(&mut counts).find(|(one, _)| **one == health);
            if let Some((_, count)) = counted {
                *count += 1;
            }
        }
        let told = Health::ALL.map(|health| self.fleet.health().of(health));
        self.laws.check(told == counts, || format!("the fleet counts {told:?}, there are {counts:?}"));
        let (len, known) = (self.fleet.len(), self.records.len());
        self.laws.check(len == known, || format!("the fleet holds {len} clusters of {known}"));
    }

    pub(super) fn into_report(mut self, spec: &FleetSpec, per_cluster: u64) -> FleetReport {
        let per_cluster_at_end = self.memory_per_cluster();
        if spec.clusters >= MEMORY_CHECKED_FROM {
            let most = per_cluster.max(per_cluster_at_end);
            self.laws.check(most <= MEMORY_PER_CLUSTER_MAX, || format!("an idle cluster costs {most} octets"));
        }
        FleetReport {
            version: FleetReport::VERSION,
            clusters: spec.clusters,
            years: spec.years,
            seed: spec.seed,
            told: self.told,
            by_year: self.years.into_values().collect(),
            health_at_end: Health::ALL.map(|health| self.fleet.health().of(health)),
            memory: MemoryReport { per_cluster, per_cluster_at_end, resident_per_cluster: self.resident_per_cluster },
            machine: self.machine,
            checks: self.laws.checks,
            violations: self.laws.violations,
            broken: self.laws.broken,
        }
    }

    fn record(&self, slot: u32) -> Option<&Record> {
        self.records.get(at(slot))
    }

    fn plan(&mut self, slot: u32, now: UtcDateTime, within_seconds: u32, deed: Deed) {
        let Some(record) = self.record(slot) else { return };
        let planned = (now + Duration::seconds(within_seconds.into()), slot, record.epoch, deed);
        self.planned.push(Reverse(planned));
    }

    pub(super) fn memory_per_cluster(&self) -> u64 {
        let octets = self.fleet.memory().checked_div(self.fleet.len()).unwrap_or_default();
        u64::try_from(octets).unwrap_or(u64::MAX)
    }
}

impl World {
    fn year(&mut self, now: UtcDateTime) -> &mut YearRow {
        let year = now.year();
        self.years.entry(year).or_insert_with(|| YearRow { year, ..YearRow::default() })
    }
}

fn at(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

/// The name of the cluster in a slot; a later one there has a number more.
fn name(slot: u32, replaced: u64) -> Result<ClusterId, NameError> {
    if replaced == 0 { format!("cluster-{slot:07}").parse() } else { format!("cluster-{slot:07}-{replaced}").parse() }
}

/// When the freeze ends that holds at `now`: nobody re-creates nodes from 20 December to the end of the year.
fn freeze_ends(now: UtcDateTime) -> Option<UtcDateTime> {
    let (year, month, day) = now.to_calendar_date();
    if month != Month::December || day < 20 {
        return None;
    }
    Date::from_calendar_date(year + 1, Month::January, 1).ok().map(|date| UtcDateTime::new(date, Time::MIDNIGHT))
}

/// The memory of this process that is resident, where the system says so.
fn resident_octets() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1_024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_law_is_found_at_the_end_as_well() {
        let spec = FleetSpec { clusters: 50, years: 1, seed: 3 };
        let mut world = World::new(&spec, &mut |_| {}).unwrap();
        // Nobody listened for years.
        world.sweep(world.begin + Duration::days(365 * 40));
        assert!(world.laws.violations >= 50);
        let report = world.into_report(&spec, 0);
        assert!(report.broken.iter().any(|broken| broken.contains("was told healthy, is unrecoverable")));
    }

    #[test]
    fn the_freeze_is_the_last_days_of_a_year() {
        let december = |day, hour| {
            let date = Date::from_calendar_date(2027, Month::December, day).unwrap();
            UtcDateTime::new(date, Time::from_hms(hour, 0, 0).unwrap())
        };
        assert_eq!(freeze_ends(december(19, 23)), None);
        let end = freeze_ends(december(20, 0)).unwrap();
        assert_eq!((freeze_ends(december(31, 23)), freeze_ends(end)), (Some(end), None));
        assert_eq!(end - december(31, 23), Duration::HOUR);
    }

    #[test]
    fn names_are_of_a_slot_and_of_no_two_clusters() {
        assert_eq!(name(7, 0).unwrap().as_str(), "cluster-0000007");
        assert_eq!(name(7, 12).unwrap().as_str(), "cluster-0000007-12");
    }
}
