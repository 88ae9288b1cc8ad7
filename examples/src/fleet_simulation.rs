//! Very many clusters over years, on one simulated clock: what `fleet_simulation` does.

mod laws;
mod random;
mod rehearsal;
mod report;
mod world;

use core::fmt;

use pki_core::NameError;
use rotation_fsm::{FleetError, Thresholds};
use time::{Duration, UtcDateTime};

use self::random::Random;
pub use self::rehearsal::{Sample, rehearse_on_machine};
pub use self::report::{FleetReport, MachineReport, MemoryReport, YearRow};
use self::world::World;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetSpec {
    /// How many clusters.
    pub clusters: u32,
    /// For how many years.
    pub years: u16,
    /// What the random numbers begin with.
    pub seed: u64,
}

/// What kind of credentials a cluster of the simulation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// GKE's credentials: the user is told, and at last they rotate by themselves.
    Gke,
    /// An authority that GKE rotates by itself, such as etcd's.
    GkeManaged,
    /// GDC's CAs, which nobody but the user rotates.
    Gdc,
    /// kubeadm's, the same with a warning more.
    Kubeadm,
}

impl Kind {
    /// When something changes for credentials of this kind.
    #[must_use]
    pub const fn thresholds(self) -> Thresholds {
        match self {
            Self::Gke => Thresholds::GKE_CREDENTIALS,
            Self::GkeManaged => Thresholds::GKE_MANAGED,
            Self::Gdc => Thresholds::GDC,
            Self::Kubeadm => Thresholds::EMBEDDER,
        }
    }

    fn draw(random: &mut Random) -> Self {
        match random.between(0, 10) {
            0..=4 => Self::Gke,
            5..=6 => Self::GkeManaged,
            7..=8 => Self::Gdc,
            _ => Self::Kubeadm,
        }
    }

    /// How long the next generation lives: thirty years with GKE since 2022, five for etcd's authorities and in GDC,
    /// ten with kubeadm.
    const fn lifetime(self) -> Duration {
        match self {
            Self::Gke => Duration::days(10_950),
            Self::GkeManaged | Self::Gdc => Duration::days(1_825),
            Self::Kubeadm => Duration::days(3_650),
        }
    }

    /// Days until the expiry of a cluster that is there from the beginning. Half of GKE's are of before October 2021,
    /// and so have five years.
    fn draw_age(self, random: &mut Random) -> u32 {
        match self {
            Self::Gke if random.percent(50) => random.between(1_825, 10_950),
            Self::Gke | Self::GkeManaged | Self::Gdc => random.between(1, 1_825),
            Self::Kubeadm => random.between(1, 3_650),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gke => "gke",
            Self::GkeManaged => "gke-managed",
            Self::Gdc => "gdc",
            Self::Kubeadm => "kubeadm",
        })
    }
}

/// How far a simulation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FleetProgress {
    /// So many of the clusters are in.
    Building {
        /// How many.
        clusters: u32,
    },
    /// So many days of the years are over.
    Running {
        /// How many.
        days: u64,
    },
}

/// Why a simulation could not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimulationError {
    /// The fleet refused something, which no simulation gives it reason to.
    Fleet(FleetError),
    /// A name is none.
    Name(NameError),
}

wraps!(SimulationError: FleetError => Fleet, NameError => Name);

impl fmt::Display for SimulationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet(error) => write!(f, "the fleet refused what happened: {error}"),
            Self::Name(error) => write!(f, "a cluster cannot be named: {error}"),
        }
    }
}

impl core::error::Error for SimulationError {}

/// Runs a simulation.
///
/// # Errors
/// When the fleet refuses something, which no simulation gives it reason to.
pub fn simulate(spec: &FleetSpec, progress: &mut dyn FnMut(FleetProgress)) -> Result<FleetReport, SimulationError> {
    let mut world = World::new(spec, progress)?;
    let per_cluster = world.memory_per_cluster();
    let begin = world.begin;
    // A first of January is in every year.
    let end = begin.replace_year(begin.year() + i32::from(spec.years)).unwrap_or(UtcDateTime::MAX);
    let (mut day, mut year) = (0, begin.year());
    while let Some(now) = world.next_instant().filter(|next| *next < end) {
        if now.year() != year {
            year = now.year();
            world.sweep(now - Duration::SECOND);
        }
        world.pass(now)?;
        let days = u64::try_from((now - begin).whole_days()).unwrap_or_default();
        if days > day {
            day = days;
            progress(FleetProgress::Running { days });
        }
    }
    world.sweep(end - Duration::SECOND);
    Ok(world.into_report(spec, per_cluster))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(clusters: u32, years: u16, seed: u64) -> FleetReport {
        simulate(&FleetSpec { clusters, years, seed }, &mut |_| {}).unwrap()
    }

    #[test]
    fn no_law_breaks_and_everything_that_can_happen_does() {
        let report = run(3_000, 6, 1);
        assert_eq!((report.violations, report.broken.as_slice()), (0, [].as_slice()));
        assert!(report.checks > report.told * 5);
        type Count = fn(&YearRow) -> u64;
        let sum = |of: Count| report.by_year.iter().map(of).sum::<u64>();
        let happened: [(&str, Count); 9] = [
            ("insights", |row| row.insights),
            ("user starts", |row| row.user_starts),
            ("automatic starts", |row| row.automatic_starts),
            ("failed starts", |row| row.failed_starts),
            ("completions", |row| row.completions),
            ("automatic completions", |row| row.automatic_completions),
            ("failed completions", |row| row.failed_completions),
            ("degraded", |row| row.degraded),
            ("unrecoverable", |row| row.unrecoverable),
        ];
        for (what, of) in happened {
            assert!(sum(of) > 0, "{what}");
        }
        assert_eq!(report.by_year.iter().map(|row| row.year).collect::<Vec<_>>(), (2026..2032).collect::<Vec<_>>());
        assert_eq!(report.health_at_end.iter().sum::<usize>(), 3_000);
        assert!(report.machine.sampled > 0);
    }

    #[test]
    fn a_seed_says_everything() {
        let without_memory = |mut report: FleetReport| {
            report.memory = MemoryReport::default();
            report
        };
        assert_eq!(without_memory(run(500, 3, 9)), without_memory(run(500, 3, 9)));
        assert_ne!(run(500, 3, 9).by_year, run(500, 3, 10).by_year);
    }
}
