//! One cluster, two controllers, what fate does to them, and the laws that hold all the same.

use std::collections::{BTreeMap, BTreeSet};

use pki_core::{AuthorityRole, BundleHash, CaVersion, ComponentKind, NodeName, Plane};
use rotation_fsm::{
    Action, Applied, AuthorityRecord, Availability, Completion, ConsumerId, ConsumerTarget, Event, Health, Loss,
    Machine, MaintenanceRule, Offence, Phase, Plan, PoolName, Rejected, Release, ReportId, Scope, StageId, StepKind,
    Trigger, UnitPolicy, units,
};
use time::{Duration, UtcDateTime};

use crate::cluster::{AT_ONCE, Cluster};
use crate::consumers::{Keys, disturbs};
use crate::planted::Planted;
use crate::random::Random;
use crate::store::Store;

/// What is broken, if something is.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The rotation that runs, as whoever asked for it knows it.
pub(crate) struct Running {
    pub(crate) policy: UnitPolicy,
    pub(crate) from: CaVersion,
    pub(crate) to: CaVersion,
    pub(crate) plan: Plan,
    started: UtcDateTime,
    pub(crate) emergency: bool,
    pub(crate) back: bool,
    pub(crate) paused: bool,
    losses: Vec<Loss>,
    /// Somebody asked to complete it.
    asked: bool,
    /// A user asked for it.
    commanded: bool,
    /// The time had come to attempt that, and the calendar was open.
    attempted: bool,
}

/// What happened, to see that anything did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) completed: u32,
    pub(crate) rolled_back: u32,
    pub(crate) emergencies: u32,
    pub(crate) automatic: u32,
    pub(crate) taken_down: u64,
    pub(crate) out_of_window: u64,
    pub(crate) refused: u64,
    pub(crate) replayed: u64,
    pub(crate) ignored: u64,
    pub(crate) torn: u64,
    pub(crate) given_up: u64,
    pub(crate) released: u64,
    pub(crate) excused: u64,
    pub(crate) evidence: u64,
}

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) random: Random,
    pub(crate) counts: Counts,
    pub(crate) running: Option<Running>,
    store: Store,
    planted: Option<Planted>,
    /// A controller that has not read since, and what it had read.
    other: Option<(Machine, u64)>,
    late: Vec<Event>,
    in_flight: Vec<Vec<ConsumerTarget>>,
    /// Nodes that neither do nor say anything for so many rounds.
    pub(crate) asleep: BTreeMap<NodeName, u32>,
    gone: Vec<(NodeName, PoolName, u64)>,
    /// Taken down or joined, and not heard of since.
    in_hand: BTreeSet<ConsumerId>,
    left_behind: BTreeSet<ConsumerId>,
    /// Whether clients outside do nothing.
    pub(crate) deaf: bool,
    keys: Keys,
    ordered: BTreeSet<StepKind>,
    ordered_pools: BTreeSet<PoolName>,
    pub(crate) frozen: bool,
    epoch: u64,
    nodes: usize,
}

impl World {
    pub(crate) fn new(mut cluster: Cluster, seed: u64, nodes: usize, planted: Option<Planted>) -> Self {
        let mut random = Random(seed ^ 0x5eed);
        if let Some(Planted::Machine(fault)) = planted {
            cluster.machine = cluster.machine.clone().without(fault);
        }
        let store = Store::new(&cluster.machine, cluster.now, random.one_in(2));
        let keys = cluster.hierarchy.roles().iter().map(|role| (*role, CaVersion::FIRST)).collect();
        let epoch = cluster.machine.epoch();
        Self {
            cluster,
            random,
            counts: Counts::default(),
            running: None,
            store,
            planted,
            other: None,
            late: Vec::new(),
            in_flight: Vec::new(),
            asleep: BTreeMap::new(),
            gone: Vec::new(),
            in_hand: BTreeSet::new(),
            left_behind: BTreeSet::new(),
            deaf: false,
            keys,
            ordered: BTreeSet::new(),
            ordered_pools: BTreeSet::new(),
            frozen: false,
            epoch,
            nodes,
        }
    }

    fn machine(&self) -> &Machine {
        &self.cluster.machine
    }

    /// The latest time that the machine believes.
    pub(crate) fn believed(&self) -> UtcDateTime {
        self.machine().record_of(Event::Tick, self.cluster.now).clock.unwrap_or(self.cluster.now)
    }

    /// Applies and keeps what must not be rejected.
    pub(crate) fn submit(&mut self, event: &Event) -> Outcome<Applied> {
        self.try_submit(event)?.map_err(|why| format!("{why}: {event:?}"))
    }

    pub(crate) fn try_submit(&mut self, event: &Event) -> Outcome<Result<Applied, Rejected>> {
        let now = self.cluster.now;
        let record = self.machine().record_of(event.clone(), now);
        let applied = match self.cluster.machine.apply(event, now) {
            Ok(applied) => applied,
            Err(why) => return Ok(Err(why)),
        };
        self.counts.events += 1;
        self.store.keep(record, &applied);
        self.judge(event, &applied)?;
        Ok(Ok(applied))
    }

    /// What fate may make of a report, the machine may reject: it is stale, or of a stage or consumer that is over.
    fn deliver(&mut self, event: &Event) -> Outcome {
        match self.try_submit(event)? {
            Ok(_)
            | Err(
                Rejected::Stale { .. }
                | Rejected::NotInStage { .. }
                | Rejected::WrongVersion { .. }
                | Rejected::UnknownConsumer(_)
                | Rejected::NotAwaited,
            ) => Ok(()),
            Err(why) => Err(format!("{why}: {event:?}")),
        }
    }

    fn judge(&mut self, event: &Event, applied: &Applied) -> Outcome {
        if self.machine().epoch() < self.epoch {
            return Err(format!("a stage that had begun is forgotten after {event:?}"));
        }
        self.epoch = self.machine().epoch();
        match event {
            Event::MaintenanceOverridden { step, .. } => _ = self.ordered.insert(*step),
            Event::PoolUpgradeRequested { pool } => _ = self.ordered_pools.insert(pool.clone()),
            Event::FreezeChanged { frozen } => self.frozen = *frozen,
            Event::Observed(report) => _ = self.in_hand.remove(&report.consumer),
            // Not seen yet, it counts as away.
            Event::ConsumerJoined { consumer, .. } => _ = self.in_hand.insert(consumer.clone()),
            Event::ConsumerRemoved { consumer } | Event::ConsumerAbandoned { consumer, .. } => {
                self.in_hand.remove(consumer);
            }
            Event::Tick => self.look_at_the_time(applied)?,
            _ => {}
        }
        if applied.started.is_some() {
            self.begin(matches!(event, Event::RotationRequested { .. }))?;
        }
        let Some(running) = &mut self.running else { return self.look_now_and_then() };
        match event {
            Event::PauseRequested { .. } => running.paused = true,
            Event::ResumeRequested { .. } => running.paused = false,
            Event::CompletionRequested { .. } => running.asked = true,
            Event::RollbackRequested { .. } => {
                (running.back, running.paused) = (true, false);
                // On the way back nobody is left behind, so somebody must give the word.
                self.deaf = false;
                if let Phase::Rotating(rotating) = self.cluster.machine.phase() {
                    running.plan = rotating.plan().clone();
                }
            }
            _ => {}
        }
        if !applied.released.is_empty() {
            let declared = running.emergency || self.cluster.machine.settings().release == Release::AtCompletion;
            if !declared || applied.released.iter().any(|left| left.kind().plane() != Plane::External) {
                return Err(format!("{:?} left behind, and nobody declared it", applied.released));
            }
            self.counts.released += 1;
            self.left_behind.extend(applied.released.iter().cloned());
        }
        if running.paused && !applied.stages_ended.is_empty() {
            return Err(format!("{:?} ended while it is paused", applied.stages_ended));
        }
        for stage in &applied.stages_ended {
            self.look_at_evidence(stage)?;
        }
        if applied.completed {
            self.end()?;
        }
        if applied.stages_ended.is_empty() { self.look_now_and_then() } else { self.look_at_paths() }
    }

    fn begin(&mut self, commanded: bool) -> Outcome {
        let Phase::Rotating(rotating) = self.machine().phase() else {
            return Err("a rotation began and does not run".to_owned());
        };
        let policies = units(self.machine().topology().hierarchy());
        let policy = policies.iter().find(|policy| policy.unit == rotating.unit()).cloned();
        let policy = policy.ok_or("a unit that nobody has")?;
        let (plan, emergency) = (rotating.plan().clone(), rotating.is_emergency());
        let losses = if emergency { plan.losses(self.machine().topology(), &policy.roles) } else { Ok(Vec::new()) };
        self.running = Some(Running {
            from: rotating.from(),
            to: rotating.to(),
            started: rotating.started(),
            losses: losses.map_err(|why| why.to_string())?,
            policy,
            plan,
            emergency,
            back: false,
            paused: false,
            asked: false,
            commanded,
            attempted: false,
        });
        self.forget_orders();
        Ok(())
    }

    fn forget_orders(&mut self) {
        self.ordered.clear();
        self.ordered_pools.clear();
    }

    fn end(&mut self) -> Outcome {
        let Some(running) = self.running.take() else { return Err("what did not run has ended".to_owned()) };
        self.forget_orders();
        self.counts.completed += 1;
        self.counts.rolled_back += u32::from(running.back);
        self.counts.emergencies += u32::from(running.emergency);
        let version = if running.back { running.from } else { running.to };
        for role in running.policy.roles.iter() {
            let keys: Vec<_> = self.keys.iter().filter(|(of, _)| of == role).map(|(_, version)| *version).collect();
            let active = self.machine().authority(*role).map(|record| record.version);
            if keys != [version] || active != Some(version) {
                return Err(format!("{role} has the keys {keys:?} at its end, and {active:?} is active"));
            }
        }
        Ok(())
    }

    /// Law 6: time begins and attempts, in its time, and nothing healthy degrades.
    fn look_at_the_time(&mut self, applied: &Applied) -> Outcome {
        let believed = self.believed();
        for health in self.machine().health() {
            if health.standing.health >= Health::Degraded {
                let stage = self.machine().stage().map(ToString::to_string);
                let waiting: Vec<_> = self.machine().waiting().take(3).collect();
                let health = format!("{} is {} at {believed}", health.unit, health.standing.health);
                return Err(format!("{health}, in {stage:?}: {waiting:?}, blocked: {:?}", self.machine().blocked()));
            }
            let began = applied.started.is_some()
                && matches!(self.machine().phase(), Phase::Rotating(rotating) if rotating.unit() == health.unit);
            if began && health.expiry - believed > Duration::days(30) {
                return Err(format!("{} began by itself at {believed}, and expires at {}", health.unit, health.expiry));
            }
        }
        if applied.started.is_some() {
            self.counts.automatic += 1;
        }
        let open = self.is_permitted(StepKind::Complete, None);
        if let Some(running) = &mut self.running {
            running.attempted |= open && believed >= running.started + Duration::days(7);
        }
        Ok(())
    }

    /// Law 3: when a stage ends, everybody whom it concerns really holds what it asked for.
    fn look_at_evidence(&mut self, ended: &StageId) -> Outcome {
        let Some(running) = &self.running else { return Err(format!("{ended} ended, and nothing runs")) };
        let stages = running.plan.stages();
        let place = stages.iter().position(|stage| stage.id() == ended);
        let place = place.ok_or_else(|| format!("{ended} ended, which is not of the plan"))?;
        let gated = !running.emergency
            && !running.back
            && running.policy.trigger == Trigger::User
            && self.machine().settings().completion == Completion::OnRequest;
        if gated && running.plan.point_of_no_return() == Some(place + 1) && !running.asked && !running.attempted {
            return Err(format!("there is no way back after {ended}, and nobody asked for that"));
        }
        let topology = self.machine().topology();
        let planned: Vec<_> = stages.iter().filter_map(|stage| pool_of(stage.scope())).collect();
        let concerns = |consumer: &ConsumerId| match ended.scope() {
            None => false,
            Some(Scope::ControlPlane) => consumer.kind().plane() == Plane::Control,
            Some(Scope::External) => consumer.kind().plane() == Plane::External,
            Some(Scope::Pool(pool)) => topology.pool_of(consumer) == Some(pool),
            // Of nodes whose pool came later the last stage of a plan answers for all.
            _ => {
                consumer.kind().plane() == Plane::Data
                    && (running.emergency || topology.pool_of(consumer).is_some_and(|pool| planned.contains(&pool)))
            }
        };
        let mut seen = 0;
        for change in stages.iter().filter(|stage| stage.id() == ended).flat_map(|stage| stage.changes()) {
            let of_kind = self.cluster.held.iter().filter(|(consumer, _)| consumer.kind() == change.kind);
            for (consumer, held) in of_kind.filter(|(id, _)| concerns(id) && !self.left_behind.contains(id)) {
                if !self.cluster.has_taken_up(held, change, running.from, running.to) {
                    return Err(format!("{ended} ended, and {consumer} does not hold {change}: {held:?}"));
                }
                seen += 1;
            }
        }
        self.counts.evidence += seen;
        Ok(())
    }

    fn look_now_and_then(&mut self) -> Outcome {
        let seldom = u64::try_from(self.nodes).unwrap_or(u64::MAX) / 2 + 50;
        if self.random.one_in(seldom) { self.look_at_paths() } else { Ok(()) }
    }

    /// Laws 1 and 2, on every path: but for who was left behind, and for what an emergency declared.
    pub(crate) fn look_at_paths(&mut self) -> Outcome {
        let left = &self.left_behind;
        let breaks = self.cluster.breaks(|consumer| left.contains(consumer));
        let stage = self.cluster.machine.stage();
        for broken in breaks {
            if left.contains(&broken.verifier) || left.contains(&broken.presenter) {
                self.counts.excused += 1;
                continue;
            }
            let declared = |loss: &Loss| {
                let (verifies, presents) = (broken.verifier.kind(), broken.presenter.kind());
                stage.is_some_and(|stage| *stage.id() == loss.stage)
                    && matches!(&loss.offence, Offence::Unverified { path, verifier, presenter, leaf, .. }
                        if (*path, *verifier, *presenter, Some(*leaf)) == (broken.path, verifies, presents, broken.leaf))
            };
            if !self.running.as_ref().is_some_and(|running| running.losses.iter().any(declared)) {
                let holds = [&broken.verifier, &broken.presenter].map(|id| format!("{:?}", self.cluster.held.get(id)));
                return Err(format!(
                    "in {:?} {} breaks: {} does not verify {:?} of {}: {holds:#?}",
                    stage.map(ToString::to_string),
                    broken.path,
                    broken.verifier,
                    broken.leaf,
                    broken.presenter
                ));
            }
            self.counts.excused += 1;
        }
        Ok(())
    }

    /// Law 7, when nothing is rotated and everybody was seen.
    pub(crate) fn look_at_rest(&mut self) -> Outcome {
        self.look_at_paths()?;
        let mut lingering = self.cluster.lingering().filter(|consumer| !self.left_behind.contains(consumer));
        match lingering.next() {
            Some(consumer) => {
                Err(format!("at rest {consumer} holds what was retired: {:?}", self.cluster.held.get(consumer)))
            }
            None => Ok(()),
        }
    }

    /// Whether a user's command began the phase that runs, and overrides the calendar in it.
    fn is_commanded(&self, running: &Running) -> bool {
        let settings = self.machine().settings();
        let stage = self.machine().stage().map(|stage| stage.id());
        let place = running.plan.stages().iter().position(|planned| Some(planned.id()) == stage);
        let completes =
            settings.completion == Completion::OnRequest && !running.back && place >= running.plan.point_of_no_return();
        settings.commands_override && (running.asked || (running.commanded && !completes))
    }

    /// Whether the calendar, or somebody's order, lets something be done now.
    fn is_permitted(&self, step: StepKind, pool: Option<&PoolName>) -> bool {
        let Some(running) = &self.running else { return true };
        let (settings, believed) = (self.machine().settings(), self.believed());
        let ordered = self.ordered.contains(&step) || pool.is_some_and(|pool| self.ordered_pools.contains(pool));
        if running.emergency || ordered || (step == StepKind::ControlPlane && self.is_commanded(running)) {
            return true;
        }
        let open = matches!(settings.calendar.is_open(step, believed), Availability::Open { .. });
        let expiries = running.policy.roles.iter().filter_map(|role| self.machine().authority(*role)?.not_after);
        let near = match (settings.maintenance.rule(step), expiries.min()) {
            (MaintenanceRule::IgnoreWithin(within), Some(expiry)) => expiry - believed <= within,
            (rule, _) => rule == MaintenanceRule::Ignore,
        };
        (open || near) && !(self.frozen && step == StepKind::RecreateNodes)
    }

    /// Carries out what is pending now; says whether there was anything that could be done.
    pub(crate) fn round(&mut self) -> Outcome<bool> {
        let actions: Vec<_> = self.machine().pending_actions().take(400).collect();
        let (epoch, mut done) = (self.epoch, false);
        for action in &actions {
            done |= self.carry_out(action)?;
            // What was asked for in a stage that is over is not asked for any more.
            if self.epoch != epoch {
                break;
            }
        }
        if done {
            self.cluster.now += Duration::minutes(self.random.between(1, 8));
        }
        for rounds in self.asleep.values_mut() {
            *rounds = rounds.saturating_sub(1);
        }
        if self.random.one_in(5) {
            self.disturb()?;
        }
        Ok(done)
    }

    fn carry_out(&mut self, action: &Action) -> Outcome<bool> {
        match action {
            Action::EnsureConsumer { target, .. } => return self.order(std::slice::from_ref(target)),
            Action::RecreateNode { targets, .. } => return self.order(targets),
            Action::AwaitAcknowledgement { .. } if self.deaf => return Ok(false),
            Action::AwaitAcknowledgement { target, .. } => _ = self.left_behind.remove(&target.consumer),
            Action::EnsureAuthority { role, version, .. } => self.mint(*role, *version),
            Action::EnsureKeyDestroyed { role, version, .. } => self.destroy(*role, *version)?,
            _ => {}
        }
        for event in self.cluster.carry_out_all(action) {
            self.send(event)?;
        }
        Ok(true)
    }

    fn mint(&mut self, role: AuthorityRole, version: CaVersion) {
        if self.keys.insert((role, version)) {
            let (hierarchy, now) = (&self.cluster.hierarchy, self.cluster.now);
            let record = self.cluster.record(role, version);
            let not_after = hierarchy.ca_lifetime(role).map(|lifetime| now + lifetime);
            self.cluster.known.records.insert((role, version), AuthorityRecord { not_after, ..record });
        }
    }

    fn destroy(&mut self, role: AuthorityRole, version: CaVersion) -> Outcome {
        let mut minding = self.cluster.minds_key(role, version).filter(|id| !self.left_behind.contains(id));
        if let Some(consumer) = minding.next() {
            let held = self.cluster.held.get(consumer);
            return Err(format!("the key {version} of {role} is destroyed, which {consumer} uses or trusts: {held:?}"));
        }
        self.keys.remove(&(role, version));
        Ok(())
    }

    /// Takes down whoever must restart, if that is accepted, and gives all of them what they are to have.
    fn order(&mut self, targets: &[ConsumerTarget]) -> Outcome<bool> {
        let awake = !targets.iter().any(|target| self.asleep.contains_key(target.consumer.instance()));
        if !awake && !self.random.one_in(4) {
            return Ok(false);
        }
        for target in targets.iter().filter(|target| disturbs(target.reload)) {
            if !self.take_down(&target.consumer)? {
                return Ok(false);
            }
        }
        if !awake {
            return Ok(false);
        }
        if self.random.one_in(60) {
            self.in_flight.push(targets.to_vec());
        } else {
            self.arrive(targets)?;
        }
        Ok(true)
    }

    fn take_down(&mut self, consumer: &ConsumerId) -> Outcome<bool> {
        let Some(held) = self.cluster.held.get(consumer) else { return Ok(false) };
        let set_up = !held.bundles.is_empty() || !held.leaves.is_empty();
        let after = ReportId { incarnation: held.incarnation, sequence: held.sequence };
        let was_away = self.in_hand.contains(consumer);
        if self.planted != Some(Planted::NobodyAsks) {
            match self.try_submit(&Event::TakenDown { consumer: consumer.clone(), after })? {
                Ok(_) => {}
                Err(Rejected::NotItsTurn { .. } | Rejected::Maintenance(_)) => return Ok(false),
                Err(why) => return Err(format!("{consumer} is not to be taken down: {why}")),
            }
        }
        self.in_hand.insert(consumer.clone());
        if set_up && !was_away {
            self.look_at_disturbance(consumer)?;
        }
        Ok(true)
    }

    /// Nobody is disturbed outside of windows, and no more of a kind at once than may be.
    fn look_at_disturbance(&mut self, consumer: &ConsumerId) -> Outcome {
        let pool = self.machine().topology().pool_of(consumer);
        let step = if pool.is_some() { StepKind::RecreateNodes } else { StepKind::ControlPlane };
        if !self.is_permitted(step, pool) {
            return Err(format!("{consumer} is disturbed outside of every window, at {}", self.believed()));
        }
        let room = if pool.is_some() { AT_ONCE } else { 1 };
        let alike =
            |other: &&ConsumerId| other.kind() == consumer.kind() && self.machine().topology().pool_of(other) == pool;
        let away = self.in_hand.iter().filter(alike).count();
        if away > room {
            return Err(format!("with {consumer} there are {away} away, and {room} may be"));
        }
        let open =
            matches!(self.machine().settings().calendar.is_open(step, self.believed()), Availability::Open { .. });
        self.counts.taken_down += 1;
        self.counts.out_of_window += u64::from(!open);
        Ok(())
    }

    fn arrive(&mut self, targets: &[ConsumerTarget]) -> Outcome {
        for target in targets {
            if self.asleep.contains_key(target.consumer.instance()) || !self.cluster.held.contains_key(&target.consumer)
            {
                continue;
            }
            // A file may be torn: its process goes on with what it had, and nobody can read what that is.
            let torn = self.random.one_in(100);
            let obeyed = !torn && self.cluster.obey(target, &self.keys, self.planted);
            self.counts.ignored += u64::from(!torn && !obeyed);
            self.counts.torn += u64::from(torn);
            self.report(&target.consumer, torn)?;
        }
        Ok(())
    }

    fn report(&mut self, consumer: &ConsumerId, torn: bool) -> Outcome {
        let mut report = self.cluster.observation(consumer);
        if torn && let Some((_, hash)) = report.bundles.first_mut() {
            *hash = BundleHash::of([]);
        }
        self.send(Event::Observed(report))
    }

    /// What fate does with what somebody says.
    fn send(&mut self, event: Event) -> Outcome {
        match self.random.below(40) {
            0 => {}
            1 => self.late.push(event),
            2 => {
                self.deliver(&event)?;
                self.deliver(&event)?;
            }
            _ => self.deliver(&event)?,
        }
        if self.late.len() > 5 {
            let chosen = self.random.below(self.late.len());
            let overtaken = self.late.swap_remove(chosen);
            self.deliver(&overtaken)?;
        }
        Ok(())
    }

    /// Whatever was said and not heard is heard, and whatever was sent arrives.
    pub(crate) fn calm(&mut self) -> Outcome {
        for event in std::mem::take(&mut self.late) {
            self.deliver(&event)?;
        }
        for targets in std::mem::take(&mut self.in_flight) {
            self.arrive(&targets)?;
        }
        self.asleep.clear();
        Ok(())
    }

    /// Things that happen to nobody's order.
    fn disturb(&mut self) -> Outcome {
        match self.random.below(14) {
            0 | 1 => self.die()?,
            2 => {
                let Some(node) = self.node() else { return Ok(()) };
                let epoch = self.epoch;
                for event in self.cluster.replace_node(node.as_str()) {
                    if let Event::ConsumerJoined { consumer, incarnation, .. } = &event {
                        self.cluster.come_up(consumer, *incarnation, epoch);
                    }
                    self.submit(&event)?;
                }
            }
            3 => {
                let Some(node) = self.node() else { return Ok(()) };
                if !self.asleep.contains_key(&node) {
                    for event in self.cluster.restart_by_itself(node.as_str()) {
                        self.send(event)?;
                    }
                }
            }
            4 => {
                // An hour on, or some hours back, which is no news.
                self.cluster.now += Duration::hours(self.random.between(-2, 3));
                self.submit(&Event::Tick)?;
            }
            5 => {
                // Days ahead, for one reading.
                self.cluster.now += Duration::days(3);
                self.submit(&Event::Tick)?;
                self.cluster.now -= Duration::days(3);
                self.submit(&Event::Tick)?;
            }
            6 if self.asleep.len() < 3 => {
                let Some(node) = self.node() else { return Ok(()) };
                let rounds = u32::try_from(self.random.between(1, 60)).unwrap_or(1);
                self.asleep.insert(node, rounds);
            }
            7 => self.wake()?,
            8 => self.cluster.leader = self.random.below(3),
            9 if !self.in_flight.is_empty() => {
                let chosen = self.random.below(self.in_flight.len());
                let targets = self.in_flight.swap_remove(chosen);
                self.arrive(&targets)?;
            }
            10 if self.other.is_none() => self.other = Some((self.machine().clone(), self.store.revision)),
            11 | 12 => self.other_controller()?,
            13 => {
                if let Some((node, pool, incarnation)) = self.gone.pop() {
                    self.join(&node, &pool, incarnation)?;
                }
            }
            _ => self.submit(&Event::Tick).map(|_| ())?,
        }
        Ok(())
    }

    /// One of the nodes that are there, if any is left.
    fn node(&mut self) -> Option<NodeName> {
        let kubelets = self.cluster.held.keys().skip_while(|consumer| consumer.kind() < ComponentKind::Kubelet);
        let kubelets = kubelets.take_while(|consumer| consumer.kind() == ComponentKind::Kubelet);
        let nodes: Vec<_> = kubelets.map(ConsumerId::instance).collect();
        (!nodes.is_empty()).then(|| nodes[self.random.below(nodes.len())].clone())
    }

    /// The process dies, and comes back with what is durable.
    fn die(&mut self) -> Outcome {
        if let Some(Planted::Machine(_)) = self.planted {
            return Ok(());
        }
        if self.store.len() > 4_000 || self.random.one_in(10) {
            let restored = Machine::restore(self.machine().snapshot()).map_err(|why| why.to_string())?;
            self.store.compact(&restored);
            self.cluster.machine = restored;
            return Ok(());
        }
        self.cluster.machine = self.store.load(&self.cluster.machine, self.cluster.now)?;
        self.counts.replayed += 1;
        Ok(())
    }

    /// A node that slept wakes, or somebody gives it up; then it may come back one day, and joins anew.
    pub(crate) fn wake(&mut self) -> Outcome {
        let Some(node) = self.asleep.iter().find(|(_, rounds)| **rounds == 0).map(|(node, _)| node.clone()) else {
            return Ok(());
        };
        self.asleep.remove(&node);
        let kubelet = ConsumerId::new(ComponentKind::Kubelet, node.clone());
        let pool = self.machine().topology().pool_of(&kubelet).cloned();
        let (Some(pool), true) = (pool, self.random.one_in(2)) else { return Ok(()) };
        let incarnation = self.cluster.held.get(&kubelet).map_or(0, |held| held.incarnation) + 1;
        for consumer in on_node(&node) {
            if self.cluster.held.remove(&consumer).is_some() {
                let (by, reason) = ("operator".to_owned(), "no answer".to_owned());
                self.submit(&Event::ConsumerAbandoned { consumer, by, reason })?;
            }
        }
        self.counts.given_up += 1;
        self.gone.push((node, pool, incarnation));
        Ok(())
    }

    /// A node comes up with what a newcomer is to be given.
    pub(crate) fn join(&mut self, node: &NodeName, pool: &PoolName, incarnation: u64) -> Outcome {
        for consumer in on_node(node) {
            let target = match self.machine().provision(&consumer, Some(pool)) {
                Ok(target) => target,
                // The hierarchy has no such component.
                Err(_) if consumer.kind() != ComponentKind::Kubelet => continue,
                Err(why) => return Err(why.to_string()),
            };
            let pool = Some(pool.clone());
            self.submit(&Event::ConsumerJoined { consumer: consumer.clone(), pool, incarnation })?;
            self.cluster.come_up(&consumer, incarnation, target.epoch);
            self.cluster.obey(&target, &self.keys, self.planted);
            self.report(&consumer, false)?;
        }
        Ok(())
    }

    /// All nodes of a pool go away for good.
    pub(crate) fn remove_pool(&mut self, pool: &PoolName) -> Outcome {
        let topology = self.machine().topology();
        let there = topology.consumers().filter(|(_, of)| *of == Some(pool)).map(|(id, _)| id.clone());
        for consumer in there.collect::<Vec<_>>() {
            self.cluster.forget(&consumer);
            self.submit(&Event::ConsumerRemoved { consumer })?;
        }
        self.gone.retain(|(_, of, _)| of != pool);
        Ok(())
    }

    /// A second controller acts on what it had read, until the store tells it that somebody else has written.
    fn other_controller(&mut self) -> Outcome {
        let Some((machine, revision)) = self.other.take() else { return Ok(()) };
        let actions: Vec<_> = machine.pending_actions().take(6).collect();
        for action in actions {
            let targets = match &action {
                Action::EnsureConsumer { target, .. } => std::slice::from_ref(target),
                Action::RecreateNode { targets, .. } => targets.as_slice(),
                _ => &[],
            };
            let mut events = Vec::new();
            for target in targets {
                let Some(held) = self.cluster.held.get(&target.consumer) else { continue };
                let after = ReportId { incarnation: held.incarnation, sequence: held.sequence };
                if disturbs(target.reload) {
                    // Nobody is taken down before that is durable.
                    events.push(Event::TakenDown { consumer: target.consumer.clone(), after });
                } else if !self.asleep.contains_key(target.consumer.instance()) {
                    let obeyed = self.cluster.obey(target, &self.keys, self.planted);
                    self.counts.ignored += u64::from(!obeyed);
                    events.push(Event::Observed(self.cluster.observation(&target.consumer)));
                }
            }
            for event in events {
                if revision != self.store.revision {
                    return self.refuse(machine, &event);
                }
            }
        }
        // Nobody has written since: it may as well go on later.
        self.other = Some((machine, revision));
        Ok(())
    }

    fn refuse(&mut self, mut machine: Machine, event: &Event) -> Outcome {
        if self.planted == Some(Planted::NoCompareAndSet) {
            if machine.apply(event, self.cluster.now).is_ok() {
                self.cluster.machine = machine;
                return self.judge(event, &Applied::default());
            }
            return Ok(());
        }
        self.counts.refused += 1;
        if !matches!(self.planted, Some(Planted::Machine(_))) {
            self.store.load(&self.cluster.machine, self.cluster.now)?;
        }
        Ok(())
    }
}

fn on_node(node: &NodeName) -> [ConsumerId; 3] {
    [ComponentKind::Kubelet, ComponentKind::KonnectivityAgent, ComponentKind::Pod]
        .map(|kind| ConsumerId::new(kind, node.clone()))
}

fn pool_of(scope: Option<&Scope>) -> Option<&PoolName> {
    match scope {
        Some(Scope::Pool(pool)) => Some(pool),
        _ => None,
    }
}
