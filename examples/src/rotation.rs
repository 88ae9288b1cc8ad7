//! A whole run: install the cluster, start traffic, rotate every authority, try the old credentials.

use core::fmt;
use core::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use pki_core::{Hierarchy, Preset};
use rotation_fsm::{
    Completion, Event, Machine, Phase, Rejected, RotationStarted, Settings, StageId, Strategy, Trigger, Unit,
    UnitPolicy, units,
};
use rotation_runtime::{DriveError, Driver, Failed, MemoryStore, OpenError, Stepped, SubmitError};

use crate::clock::{Clock, Stopwatch, pause};
use crate::cluster::{ClusterError, ClusterExecutor, ClusterSpec, MiniCluster};
use crate::fault::Fault;
use crate::probe::{Accepted, probe};
use crate::report::{ProbeReport, Report, StageReport};
use crate::timeline::Timeline;
use crate::traffic::{Broken, Tally, Traffic};

/// What to run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The hierarchy, and the rules of its rotations.
    pub preset: Preset,
    /// Nodes.
    pub nodes: NonZeroUsize,
    /// What is done wrong, if anything.
    pub fault: Option<Fault>,
    /// How long each stage lasts at least, so that traffic flows in it.
    pub dwell: Duration,
}

impl Options {
    /// A run of this preset with six nodes.
    #[must_use]
    pub const fn new(preset: Preset) -> Self {
        Self { preset, nodes: NODES, fault: None, dwell: Duration::from_millis(250) }
    }
}

/// What a run tells while it runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// Something that is worth a line.
    Note(String),
    /// A stage begins, of so many.
    StageBegan {
        /// The unit and the stage.
        id: String,
        /// Its number, from one.
        number: usize,
        /// How many the plan has.
        of: usize,
    },
    /// Traffic so far in the stage.
    Traffic {
        /// Successes.
        handshakes: u64,
        /// Failures.
        failed: u64,
    },
    /// A stage has ended.
    StageEnded(Row),
}

/// One line of the table at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The unit and the stage.
    pub id: String,
    /// How long it took.
    pub duration_ms: u64,
    /// New, full handshakes with request and answer.
    pub handshakes: u64,
    /// Exchanges that failed on either side.
    pub failed: u64,
    /// Connections refused because nothing listened.
    pub unavailable: u64,
    /// Components that restarted.
    pub restarts: u64,
    /// The status of the rotation when it ended.
    pub status: Option<String>,
}

/// What a run came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// For machines.
    pub report: Report,
    /// For the table.
    pub rows: Vec<Row>,
    /// Broken paths, each with the stage in which it broke.
    pub broken: Vec<(String, Broken)>,
    /// Old credentials that were not refused.
    pub accepted: Vec<Accepted>,
    /// For the picture.
    pub timeline: Timeline,
}

impl Outcome {
    /// The sum of a count over all stages.
    #[must_use]
    pub fn sum(&self, count: impl Fn(&Row) -> u64) -> u64 {
        self.rows.iter().map(count).sum()
    }

    /// Whether nothing broke and nothing old was accepted.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let ProbeReport { refused, total, .. } = self.report.probes;
        self.broken.is_empty() && self.accepted.is_empty() && total > 0 && refused == total
    }
}

/// Why a run could not be carried through.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The cluster failed.
    Cluster(ClusterError),
    /// The journal cannot be taken up.
    Open(OpenError),
    /// The drive loop failed.
    Drive(DriveError<ClusterError>),
    /// The machine would not begin the rotation of a unit.
    NotStarted(Unit, Option<Rejected>),
    /// Rounds of actions lead nowhere; what the machine last rejected or could not read, if anything.
    Stuck(String, Option<String>),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(error) => write!(f, "{error}"),
            Self::Open(error) => write!(f, "{error}"),
            Self::Drive(error) => write!(f, "{error}"),
            Self::NotStarted(unit, Some(rejected)) => write!(f, "`{unit}` did not begin to rotate: {rejected}"),
            Self::NotStarted(unit, None) => write!(f, "`{unit}` is not due"),
            Self::Stuck(stage, Some(why)) => write!(f, "`{stage}` does not end: {why}"),
            Self::Stuck(stage, None) => write!(f, "`{stage}` does not end"),
        }
    }
}

impl core::error::Error for RunError {}

impl<E: Into<ClusterError>> From<E> for RunError {
    fn from(error: E) -> Self {
        Self::Cluster(error.into())
    }
}

impl From<SubmitError> for RunError {
    fn from(error: SubmitError) -> Self {
        Self::Drive(error.into())
    }
}

impl From<Failed> for RunError {
    fn from(failed: Failed) -> Self {
        Self::from(SubmitError::from(failed))
    }
}

wraps! {
    RunError:
    OpenError => Open,
    DriveError<ClusterError> => Drive,
}

/// As many nodes as make both pools plural.
const NODES: NonZeroUsize = NonZeroUsize::new(6).unwrap();

/// Rounds that a stage may take beyond one per consumer: what restarts in between is brought up again.
const ROUNDS_SPARE: usize = 16;

/// GKE's etcd authorities live five years: a cluster that was made so long before that they are due in two months.
const GKE_AGE: time::Duration = time::Duration::days(5 * 365 - 90);

/// Runs it all.
///
/// # Errors
/// When the cluster cannot be installed or an action cannot be carried out. Broken paths are no error but
/// part of the [`Outcome`].
pub fn run(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, RunError> {
    let hierarchy = Hierarchy::preset(options.preset);
    let (watch, clock) = (Stopwatch::start(), Arc::new(Clock::default()));
    let mut spec = ClusterSpec::new(hierarchy.clone(), options.nodes);
    spec.fault = options.fault;
    if matches!(options.preset, Preset::Gke(_)) {
        spec.age = GKE_AGE;
    }
    let cluster = MiniCluster::new(&spec, Arc::clone(&clock), watch)?;
    let name = "miniature".parse().map_err(crate::authorities::AuthorityError::Name)?;
    let records = cluster.authorities().iter().copied();
    let settings = Settings::of(&hierarchy).with_completion(Completion::Automatic);
    let machine = Machine::new(name, cluster.topology().clone(), settings, records, clock.now())?;
    let driver = Driver::open(MemoryStore::new(), || machine)?;
    let mut run = Run {
        options,
        clock,
        watch,
        cluster: &cluster,
        driver,
        progress,
        stages: Vec::new(),
        rows: Vec::new(),
        broken: Vec::new(),
    };
    run.install()?;
    let traffic = Traffic::start(cluster.shared()).map_err(ClusterError::Io)?;
    let rotated = run.rotate(&hierarchy, &traffic);
    let unnoticed = traffic.stop();
    rotated?;
    // What was broken when the run was ended is still broken now; only on a clean run is this news.
    if run.broken.is_empty() {
        run.broken.extend(unnoticed.into_iter().map(|broken| ("after".to_owned(), broken)));
    }
    let probed = if run.broken.is_empty() { probe(&cluster)? } else { Default::default() };
    Ok(run.finish(probed))
}

struct Run<'a> {
    options: &'a Options,
    clock: Arc<Clock>,
    watch: Stopwatch,
    cluster: &'a MiniCluster,
    driver: Driver<MemoryStore>,
    progress: &'a mut dyn FnMut(Progress),
    stages: Vec<StageReport>,
    rows: Vec<Row>,
    broken: Vec<(String, Broken)>,
}

impl Run<'_> {
    /// The machine has seen nobody yet, so what it asks for is the whole installation.
    fn install(&mut self) -> Result<(), RunError> {
        self.steps("installation", None, |machine, _| machine.is_at_rest())?;
        self.cluster.remember_first_leaves();
        let nodes = self.options.nodes;
        (self.progress)(Progress::Note(format!("a `{}` cluster with {nodes} nodes stands", self.options.preset)));
        Ok(())
    }

    /// Rounds of pending actions until `done` says so: the stages that the last one ended.
    fn steps(
        &mut self,
        stage: &str,
        traffic: Option<&Traffic>,
        done: impl Fn(&Machine, &[StageId]) -> bool,
    ) -> Result<Vec<StageId>, RunError> {
        let mut executor = ClusterExecutor::new(self.cluster);
        let mut why = None;
        // Each round brings up at least one consumer, and a consumer is brought up once per stage.
        let rounds = self.driver.machine()?.topology().consumers().count().saturating_add(ROUNDS_SPARE);
        for _ in 0..rounds {
            if let Some(traffic) = traffic {
                let (handshakes, failed) = traffic.totals();
                (self.progress)(Progress::Traffic { handshakes, failed });
            }
            let before = self.driver.revision();
            let Stepped { applied, rejected, .. } = self.driver.step(&mut executor)?;
            let unreadable = applied.unreadable.iter().map(|(consumer, why)| format!("`{consumer}`: {why}"));
            why = unreadable.chain(rejected.iter().map(ToString::to_string)).last().or(why);
            if done(self.driver.machine()?, &applied.stages_ended) {
                return Ok(applied.stages_ended);
            }
            if self.driver.revision() == before {
                break;
            }
        }
        Err(RunError::Stuck(stage.to_owned(), why))
    }

    fn rotate(&mut self, hierarchy: &Hierarchy, traffic: &Traffic) -> Result<(), RunError> {
        let began = self.watch.elapsed_ms();
        self.settle_and_record("before".to_owned(), began, 0, traffic);
        for policy in units(hierarchy).iter() {
            if !self.broken.is_empty() {
                return Ok(());
            }
            self.begin(policy)?;
            self.rotate_unit(policy.unit, traffic)?;
        }
        Ok(())
    }

    fn begin(&mut self, policy: &UnitPolicy) -> Result<(), RunError> {
        let event = match policy.trigger {
            Trigger::Automatic { before_expiry } => {
                let machine = self.driver.machine()?;
                let expiries = policy.roles.iter().filter_map(|role| machine.authority(*role)?.not_after);
                if let Some(expiry) = expiries.min() {
                    let wait = expiry.saturating_sub(before_expiry) - self.clock.now();
                    if wait.is_positive() {
                        self.clock.skip(wait + time::Duration::SECOND);
                        let days = wait.whole_days();
                        (self.progress)(Progress::Note(format!(
                            "the clock moves on by {days} days, until `{}` is due",
                            policy.unit
                        )));
                    }
                }
                Event::Tick
            }
            _ => Event::RotationRequested { unit: policy.unit },
        };
        let now = self.clock.now();
        let started = match self.driver.submit(event, now)? {
            Ok(applied) => {
                let blocked = applied.blocked.into_iter().find(|(unit, _)| *unit == policy.unit);
                let why = blocked.map(|(_, why)| why);
                applied.started.ok_or(RunError::NotStarted(policy.unit, why))?
            }
            Err(rejected) => return Err(RunError::NotStarted(policy.unit, Some(rejected))),
        };
        match self.driver.machine()?.phase() {
            Phase::Rotating(rotating) if rotating.unit() == policy.unit => {}
            _ => return Err(RunError::NotStarted(policy.unit, None)),
        }
        let words = match (self.options.preset, policy.unit) {
            (Preset::Gdc, Unit::Ca) => RotationStarted(started).to_string(),
            (_, unit) => format!("`{unit}` begins to rotate to CAVersion {started}"),
        };
        (self.progress)(Progress::Note(words));
        Ok(())
    }

    fn rotate_unit(&mut self, unit: Unit, traffic: &Traffic) -> Result<(), RunError> {
        let plan = match self.driver.machine()?.phase() {
            Phase::Rotating(rotating) => rotating.plan().stages().to_vec(),
            _ => return Err(RunError::NotStarted(unit, None)),
        };
        let mut stages = plan.iter().enumerate();
        while self.driver.machine()?.stage().is_some() {
            let (began, restarts) = (self.watch.elapsed_ms(), self.restarts());
            let Some((index, stage)) = stages.next() else { return Err(RunError::Stuck(unit.to_string(), None)) };
            let id = format!("{unit}/{stage}");
            (self.progress)(Progress::StageBegan { id: id.clone(), number: index + 1, of: plan.len() });
            let ended = self.steps(&id, Some(traffic), |_, ended| !ended.is_empty())?;
            self.settle_and_record(id, began, self.restarts() - restarts, traffic);
            // Stages that asked nothing of anybody end together with the one before; each gets its traffic all the same.
            for _ in 1..ended.len() {
                let began = self.watch.elapsed_ms();
                let Some((_, stage)) = stages.next() else { break };
                self.settle_and_record(format!("{unit}/{stage}"), began, 0, traffic);
            }
            if !self.broken.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Lets every path be used under what the stage has led to, and the stage last its time; then counts.
    fn settle_and_record(&mut self, id: String, began: u64, restarts: u64, traffic: &Traffic) {
        let unfinished = traffic.complete_round();
        let least = u64::try_from(self.options.dwell.as_millis()).unwrap_or(u64::MAX);
        while self.watch.elapsed_ms().saturating_sub(began) < least {
            let (handshakes, failed) = traffic.totals();
            (self.progress)(Progress::Traffic { handshakes, failed });
            pause(Duration::from_millis(20));
        }
        let ended = self.watch.elapsed_ms();
        let Tally { paths, broken } = traffic.take();
        let stage = StageReport { id: id.clone(), started_ms: began, ended_ms: ended, paths };
        let row = Row {
            id: id.clone(),
            duration_ms: ended.saturating_sub(began),
            handshakes: stage.sum(|path| path.handshakes),
            failed: stage.sum(|path| path.failed),
            unavailable: stage.sum(|path| path.unavailable),
            restarts,
            status: self.driver.machine().ok().and_then(Machine::status).map(|status| status.to_string()),
        };
        self.stages.push(stage);
        (self.progress)(Progress::StageEnded(row.clone()));
        self.rows.push(row);
        self.broken.extend(unfinished.into_iter().chain(broken).map(|broken| (id.clone(), broken)));
    }

    fn restarts(&self) -> u64 {
        self.cluster.restarts().values().sum()
    }

    fn finish(self, (probes, accepted): (ProbeReport, Vec<Accepted>)) -> Outcome {
        let ended = self.watch.elapsed_ms();
        let report = Report {
            version: Report::VERSION,
            preset: self.options.preset.to_string(),
            strategy: Strategy::Staged.id().to_owned(),
            signer: "software".to_owned(),
            stages: self.stages,
            restarts: self.cluster.restarts(),
            probes,
        };
        let marks = report.stages.iter().map(|stage| (stage.id.clone(), stage.started_ms)).collect();
        let timeline = Timeline::new(self.options.preset.to_string(), self.cluster.changes(), marks, ended);
        Outcome { report, rows: self.rows, broken: self.broken, accepted, timeline }
    }
}
