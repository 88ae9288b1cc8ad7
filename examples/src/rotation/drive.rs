//! The rotations of a run, stage by stage, with traffic in each.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pki_core::{CaVersion, Path, Plane, Preset};
use rotation_fsm::{
    Event, Loss, Machine, Offence, Phase, Plan, RotationStarted, StageId, Trigger, Unit, UnitPolicy, units,
};
use rotation_runtime::{Driver, MemoryStore, Stepped};

use super::cost::Account;
use super::sleep::Sleeper;
use super::{Options, Outcome, Progress, Row, RunError, names};
use crate::clock::{Clock, Stopwatch, pause};
use crate::cluster::{ClusterExecutor, MiniCluster};
use crate::probe::Accepted;
use crate::report::{ConnectionReport, ProbeReport, Report, StageReport, UnitReport};
use crate::timeline::Timeline;
use crate::traffic::{Broken, Tally, Traffic};

/// Rounds that a stage may take beyond one per consumer: what restarts in between is brought up again.
const ROUNDS_SPARE: usize = 16;

/// Who declares an emergency, gives the word for clients outside, and asks for the way back.
const OPERATOR: &str = "operator";

pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    clock: Arc<Clock>,
    watch: Stopwatch,
    pub(super) cluster: &'a MiniCluster,
    pub(super) driver: Driver<MemoryStore>,
    progress: &'a mut dyn FnMut(Progress),
    pub(super) sleeper: Sleeper,
    rolled_back_at: Option<String>,
    stages: Vec<StageReport>,
    rows: Vec<Row>,
    units: Vec<UnitReport>,
    /// What the plan of the unit that is rotated declares to break, by stage.
    declared: BTreeSet<(String, &'static str)>,
    pub(super) broken: Vec<(String, Broken)>,
    pub(super) connections: ConnectionReport,
    /// Connections that stood on retired authorities when a rotation was over.
    pub(super) orphaned: Vec<String>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        options: &'a Options,
        clock: Arc<Clock>,
        watch: Stopwatch,
        cluster: &'a MiniCluster,
        driver: Driver<MemoryStore>,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        Self {
            options,
            clock,
            watch,
            cluster,
            driver,
            progress,
            sleeper: Sleeper::new(options.sleeping_node.clone()),
            rolled_back_at: None,
            stages: Vec::new(),
            rows: Vec::new(),
            units: Vec::new(),
            declared: BTreeSet::new(),
            broken: Vec::new(),
            connections: ConnectionReport::default(),
            orphaned: Vec::new(),
        }
    }

    pub(super) fn machine(&self) -> Result<&Machine, RunError> {
        Ok(self.driver.machine()?)
    }

    pub(super) fn note(&mut self, note: String) {
        (self.progress)(Progress::Note(note));
    }

    /// The machine has seen nobody yet, so what it asks for is the whole installation.
    pub(super) fn install(&mut self) -> Result<(), RunError> {
        self.steps("installation", None, |machine, _| machine.is_at_rest())?;
        self.cluster.remember_first_leaves();
        self.note(format!("a `{}` cluster with {} nodes stands", self.options.preset, self.options.nodes));
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
        let rounds = self.machine()?.topology().consumers().count().saturating_add(ROUNDS_SPARE);
        for _ in 0..rounds {
            if let Some(traffic) = traffic {
                let (handshakes, failed) = traffic.totals();
                (self.progress)(Progress::Traffic { handshakes, failed });
            }
            let before = self.driver.revision();
            let Stepped { applied, rejected, .. } = self.driver.step(&mut executor)?;
            let unreadable = applied.unreadable.iter().map(|(consumer, why)| format!("`{consumer}`: {why}"));
            why = unreadable.chain(rejected.iter().map(ToString::to_string)).last().or(why);
            if done(self.machine()?, &applied.stages_ended) {
                return Ok(applied.stages_ended);
            }
            if self.driver.revision() == before && !self.wake_whoever_is_waited_for(stage, traffic)? {
                break;
            }
        }
        Err(RunError::Stuck(stage.to_owned(), why))
    }

    pub(super) fn rotate(&mut self, traffic: &Traffic) -> Result<(), RunError> {
        let began = self.watch.elapsed_ms();
        self.settle_and_record("before".to_owned(), began, 0, traffic);
        for policy in units(self.cluster.topology().hierarchy()).iter() {
            if !self.broken.is_empty() || self.rolled_back_at.is_some() {
                return Ok(());
            }
            let account = self.begin(policy)?;
            self.put_to_sleep()?;
            self.rotate_unit(policy, account, traffic)?;
        }
        Ok(())
    }

    /// Begins a rotation: what it is going to cost.
    fn begin(&mut self, policy: &UnitPolicy) -> Result<Account, RunError> {
        let unit = policy.unit;
        let emergency = self.options.emergency && policy.trigger == Trigger::User;
        let event = match policy.trigger {
            Trigger::Automatic { before_expiry } => {
                let machine = self.machine()?;
                let expiries = policy.roles.iter().filter_map(|role| machine.authority(*role)?.not_after);
                if let Some(expiry) = expiries.min() {
                    let wait = expiry.saturating_sub(before_expiry) - self.clock.now();
                    if wait.is_positive() {
                        self.clock.skip(wait + time::Duration::SECOND);
                        let days = wait.whole_days();
                        self.note(format!("the clock moves on by {days} days, until `{unit}` is due"));
                    }
                }
                Event::Tick
            }
            _ if emergency => {
                let machine = self.machine()?;
                let active = policy.roles.first().and_then(|role| machine.authority(*role));
                let suspect = active.map_or(CaVersion::FIRST, |record| record.version);
                Event::EmergencyDeclared { unit, suspect, by: OPERATOR.to_owned() }
            }
            _ => Event::RotationRequested { unit },
        };
        let losses = if emergency { self.losses(policy)? } else { Vec::new() };
        self.declared = losses.iter().filter_map(|loss| Some((loss.stage.to_string(), path_of(loss)?.id()))).collect();
        let losses: Vec<_> = losses.iter().map(ToString::to_string).collect();
        if emergency {
            self.note(format!("an emergency of `{unit}` declares {} losses", losses.len()));
            losses.iter().for_each(|loss| self.note(format!("  declared loss {loss}")));
        }
        let now = self.clock.now();
        let started = match self.driver.submit(event, now)? {
            Ok(applied) => {
                let blocked = applied.blocked.into_iter().find(|(blocked, _)| *blocked == unit);
                applied.started.ok_or(RunError::NotStarted(unit, blocked.map(|(_, why)| why)))?
            }
            Err(rejected) => return Err(RunError::NotStarted(unit, Some(rejected))),
        };
        let order = if emergency { "emergency" } else { self.options.strategy.id() };
        let account = Account::open(unit, order, self.plan(unit)?, self.cluster, losses);
        self.note(match (self.options.preset, unit) {
            _ if emergency => format!("`{unit}` is replaced by CAVersion {started} in an emergency"),
            (Preset::Gdc, Unit::Ca) => RotationStarted(started).to_string(),
            _ => format!("`{unit}` begins to rotate to CAVersion {started}"),
        });
        self.note(format!("  planned, {order}: {}", account.planned()));
        Ok(account)
    }

    fn losses(&self, policy: &UnitPolicy) -> Result<Vec<Loss>, RunError> {
        let topology = self.machine()?.topology();
        let plan = Plan::emergency(topology, &policy.roles).map_err(rotation_fsm::Rejected::Strategy);
        let plan = plan.map_err(RunError::Refused)?;
        let losses = plan.losses(topology, &policy.roles).map_err(rotation_fsm::StrategyError::Unlawful);
        losses.map_err(|error| RunError::Refused(rotation_fsm::Rejected::Strategy(error)))
    }

    /// The plan of the rotation that runs.
    fn plan(&self, unit: Unit) -> Result<&Plan, RunError> {
        match self.machine()?.phase() {
            Phase::Rotating(rotating) if rotating.unit() == unit => Ok(rotating.plan()),
            _ => Err(RunError::NotStarted(unit, None)),
        }
    }

    fn rotate_unit(&mut self, policy: &UnitPolicy, mut account: Account, traffic: &Traffic) -> Result<(), RunError> {
        let unit = policy.unit;
        let mut turning_point = match self.units.is_empty() {
            true => self.options.turning_point(unit, self.plan(unit)?)?,
            false => None,
        };
        let mut stages = names(self.plan(unit)?);
        let mut index = 0;
        let mut left_behind = Vec::new();
        while self.machine()?.stage().is_some() {
            if turning_point.as_ref().is_some_and(|(at, _)| index >= *at) {
                turning_point = None;
                account = self.turn_back(policy)?;
                (stages, index) = (names(self.plan(unit)?), 0);
            }
            let (began, restarts) = (self.watch.elapsed_ms(), self.restarts());
            let Some(stage) = stages.get(index) else { return Err(RunError::Stuck(unit.to_string(), None)) };
            let id = format!("{unit}/{stage}");
            (self.progress)(Progress::StageBegan { id: id.clone(), number: index + 1, of: stages.len() });
            let ended = self.steps(&id, Some(traffic), |_, ended| !ended.is_empty())?;
            index += ended.len();
            self.sleeper.ended(&id);
            self.settle_and_record(id, began, self.restarts() - restarts, traffic);
            // Stages that asked nothing of anybody end together with the one before; each gets its traffic all the same.
            for stage in ended.iter().skip(1) {
                let began = self.watch.elapsed_ms();
                left_behind.extend(self.give_to_those_left_behind()?);
                self.settle_and_record(format!("{unit}/{stage}"), began, 0, traffic);
            }
            if !self.broken.is_empty() {
                return Ok(());
            }
        }
        for consumer in left_behind {
            let (now, pool) = (self.clock.now(), None);
            let joined = Event::ConsumerJoined { consumer: consumer.clone(), pool, incarnation: 1 };
            self.driver.submit(joined, now)?.map_err(|rejected| RunError::NotTakenUp(consumer, rejected))?;
        }
        self.units.push(account.close(self.cluster));
        self.orphaned.extend(traffic.on_retired_authorities(self.machine()?));
        Ok(())
    }

    /// Asks for the way back, with leaves of the generation that is given up in everybody's hands.
    fn turn_back(&mut self, policy: &UnitPolicy) -> Result<Account, RunError> {
        let to = match self.machine()?.phase() {
            Phase::Rotating(rotating) => rotating.to(),
            _ => return Err(RunError::NotStarted(policy.unit, None)),
        };
        let stage = self.machine()?.stage().map(|stage| format!("{}/{stage}", policy.unit));
        self.cluster.forge_leaves(&policy.roles, to)?;
        let now = self.clock.now();
        let answer = self.driver.submit(Event::RollbackRequested { by: OPERATOR.to_owned() }, now)?;
        answer.map_err(RunError::NotRolledBack)?;
        self.rolled_back_at = stage;
        let account = Account::open(policy.unit, "rollback", self.plan(policy.unit)?, self.cluster, Vec::new());
        self.note(format!("`{}` turns back from CAVersion {to}", policy.unit));
        self.note(format!("  planned, at most: {}", account.planned()));
        Ok(account)
    }

    /// In an emergency nobody outside is waited for. They are given what is valid all the same, and join anew.
    fn give_to_those_left_behind(&mut self) -> Result<Vec<rotation_fsm::ConsumerId>, RunError> {
        let released: Vec<_> = self.machine()?.released().cloned().collect();
        for consumer in &released {
            let refused = |rejected| RunError::NotTakenUp(consumer.clone(), rejected);
            let (now, removed) = (self.clock.now(), Event::ConsumerRemoved { consumer: consumer.clone() });
            self.driver.submit(removed, now)?.map_err(refused)?;
            debug_assert!(consumer.kind().plane() == Plane::External, "only they are left behind");
            let target = self.machine()?.provision(consumer, None).map_err(refused)?;
            self.cluster.bring_up(&target)?;
            self.note(format!("`{consumer}` was left behind, and is given new credentials"));
        }
        Ok(released)
    }

    /// Lets every path be used under what the stage has led to, and the stage last its time; then counts.
    fn settle_and_record(&mut self, id: String, began: u64, restarts: u64, traffic: &Traffic) {
        let unfinished = traffic.complete_round();
        let least = u64::try_from(self.options.dwell.as_millis()).unwrap_or(u64::MAX);
        while self.watch.elapsed_ms().saturating_sub(began) < least {
            self.linger(traffic);
        }
        let ended = self.watch.elapsed_ms();
        let Tally { mut paths, mut broken, connections } = traffic.take();
        self.connections.add(connections);
        let stage = id.split_once('/').map_or(id.as_str(), |(_, stage)| stage);
        let declared = |path: &'static str| self.declared.contains(&(stage.to_owned(), path));
        let lost: BTreeSet<_> = self.declared.iter().filter(|(of, _)| of == stage).map(|(_, path)| *path).collect();
        broken.retain(|broken| !declared(broken.path.id()));
        for path in paths.iter_mut().filter(|path| lost.contains(path.path.as_str())) {
            path.declared_losses = core::mem::take(&mut path.failed);
        }
        let stage = StageReport { id: id.clone(), started_ms: began, ended_ms: ended, paths };
        let row = Row {
            id: id.clone(),
            duration_ms: ended.saturating_sub(began),
            handshakes: stage.sum(|path| path.handshakes),
            failed: stage.sum(|path| path.failed),
            declared_losses: stage.sum(|path| path.declared_losses),
            unavailable: stage.sum(|path| path.unavailable),
            restarts,
            status: self.driver.machine().ok().and_then(Machine::status).map(|status| status.to_string()),
        };
        self.stages.push(stage);
        (self.progress)(Progress::StageEnded(row.clone()));
        self.rows.push(row);
        self.broken.extend(unfinished.into_iter().chain(broken).map(|broken| (id.clone(), broken)));
    }

    /// Lets traffic flow for a moment.
    pub(super) fn linger(&mut self, traffic: &Traffic) {
        let (handshakes, failed) = traffic.totals();
        (self.progress)(Progress::Traffic { handshakes, failed });
        pause(Duration::from_millis(20));
    }

    fn restarts(&self) -> u64 {
        self.cluster.restarts().values().sum()
    }

    pub(super) fn finish(self, probes: ProbeReport, accepted: Vec<Accepted>, lingering: Vec<String>) -> Outcome {
        let ended = self.watch.elapsed_ms();
        let report = Report {
            version: Report::VERSION,
            preset: self.options.preset.to_string(),
            strategy: self.options.strategy.id().to_owned(),
            emergency: self.options.emergency,
            rolled_back_at: self.rolled_back_at,
            slept: self.sleeper.report(),
            signer: None,
            stages: self.stages,
            restarts: self.cluster.restarts(),
            units: self.units,
            probes,
            connections: self.connections,
        };
        let marks = report.stages.iter().map(|stage| (stage.id.clone(), stage.started_ms)).collect();
        let timeline = Timeline::new(self.options.preset.to_string(), self.cluster.changes(), marks, ended);
        Outcome { report, rows: self.rows, broken: self.broken, accepted, lingering, timeline }
    }
}

fn path_of(loss: &Loss) -> Option<Path> {
    match &loss.offence {
        Offence::Unverified { path, .. } | Offence::Unreachable { path, .. } => Some(*path),
        _ => None,
    }
}
