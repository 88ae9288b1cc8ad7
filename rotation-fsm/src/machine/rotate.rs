//! How a rotation begins, moves on, turns back and ends.

use std::sync::Arc;

use pki_core::{AuthorityRole, CaVersion, ComponentKind, Plane};
use time::{Duration, UtcDateTime};

use super::{Applied, Completed, Machine, Phase, Rotating, shares_key};
use crate::delivery::Delivery;
use crate::event::{AuthorityRecord, CrossRecord};
use crate::facet::Holding;
use crate::plan::{Plan, Scope, Stage, Step};
use crate::policy::{Trigger, Unit, UnitPolicy, units};
use crate::rejected::Rejected;
use crate::settings::Completion;
use crate::strategy::Strategy;
use crate::topology::{Address, Class, ConsumerId};

impl Machine {
    pub(super) fn policy(&self, unit: Unit) -> Result<UnitPolicy, Rejected> {
        let policies = units(self.topology.hierarchy());
        policies.iter().find(|policy| policy.unit == unit).cloned().ok_or(Rejected::UnknownUnit(unit))
    }

    pub(super) fn request(&mut self, unit: Unit) -> Result<CaVersion, Rejected> {
        self.check_stable()?;
        let policy = self.policy(unit)?;
        match policy.trigger {
            Trigger::User => self.start(policy, self.settings.commands_override),
            Trigger::Automatic { .. } => Err(Rejected::AutomaticOnly(unit)),
        }
    }

    fn check_stable(&self) -> Result<(), Rejected> {
        match self.rotating() {
            Some(rotating) => Err(Rejected::InProgress { to: rotating.to }),
            None => Ok(()),
        }
    }

    /// Begins a rotation by the strategy of the settings, by a user's command that overrides the calendar or not.
    pub(super) fn start(&mut self, policy: UnitPolicy, commanded: bool) -> Result<CaVersion, Rejected> {
        let from = self.common_version(&policy)?;
        self.check_expiry(&policy, Duration::ZERO)?;
        if let Some(consumer) = self.blocking(&policy.roles)
            && !skips!(self, BegunUnready)
        {
            return Err(Rejected::NotReady { consumer: consumer.clone() });
        }
        let strategy = self.settings.strategy;
        let plan = strategy.plan(&self.topology, &policy.roles).map_err(Rejected::Strategy)?;
        #[cfg(feature = "proof")]
        let plan = self.faults.distort(plan);
        if plan.stages.iter().any(|stage| stage.step() == Step::CrossSign) {
            self.check_expiry(&policy, self.settings.cross_margin)?;
        }
        let to = self.begin(policy, from, plan, false)?;
        self.set_commanded(commanded);
        Ok(to)
    }

    /// Whether the control plane's own stages are a user's command from here on.
    pub(super) fn set_commanded(&mut self, commanded: bool) {
        if let Some(rotating) = self.rotating_mut() {
            rotating.commanded = commanded;
        }
    }

    /// Begins whatever it costs: nobody who is not in order holds it up, and clients outside are left behind at once. What
    /// runs already goes on so, or goes back so, whichever leads away from the keys that are suspect.
    pub(super) fn declare_emergency(&mut self, unit: Unit, suspect: CaVersion) -> Result<Option<CaVersion>, Rejected> {
        let policy = self.policy(unit)?;
        if self.rotating().is_some() {
            return self.escalate(&policy, suspect).map(|()| None);
        }
        let from = self.common_version(&policy)?;
        if suspect != from {
            return Err(wrong_version(&policy, suspect));
        }
        let plan = Plan::emergency(&self.topology, &policy.roles).map_err(Rejected::Strategy)?;
        self.begin(policy, from, plan, true).map(Some)
    }

    /// Makes the rotation that runs an emergency. It is proved already, and nearer to its end than a new one would be:
    /// what it waits for that is not the cluster's safety it no longer waits for.
    fn escalate(&mut self, policy: &UnitPolicy, suspect: CaVersion) -> Result<(), Rejected> {
        let Some(rotating) = self.rotating() else { return Ok(()) };
        let (unit, to, stage) = (rotating.unit(), rotating.to, rotating.stage);
        let (back, emergency) = (rotating.is_rolling_back(), rotating.emergency);
        let after = Rejected::EmergencyAfter { unit, to };
        if unit != policy.unit {
            return Err(after);
        }
        if suspect != rotating.from && suspect != to {
            return Err(wrong_version(policy, suspect));
        }
        let turns = match (suspect == to, back) {
            // It leads to what is suspect. Forwards it may still be turned, unless what it came from is suspect too.
            (true, false) if emergency || rotating.plan.point_of_no_return().is_some_and(|end| stage >= end) => {
                return Err(after);
            }
            (false, true) => return Err(after),
            (true, false) => true,
            _ if emergency => return Err(Rejected::InProgress { to }),
            _ => false,
        };
        if turns {
            self.turn_back()?;
        }
        if let Some(rotating) = self.rotating_mut() {
            (rotating.emergency, rotating.may_complete, rotating.paused) = (true, true, false);
        }
        Ok(())
    }

    /// What a rotation of this unit by this strategy would do, if it began now.
    ///
    /// # Errors
    /// As the request itself would be rejected, but for consumers that are not in order.
    pub fn plan(&self, unit: Unit, strategy: Strategy) -> Result<Plan, Rejected> {
        let policy = self.policy(unit)?;
        strategy.plan(&self.topology, &policy.roles).map_err(Rejected::Strategy)
    }

    fn common_version(&self, policy: &UnitPolicy) -> Result<CaVersion, Rejected> {
        let mut versions = policy.roles.iter().filter_map(|role| Some(self.authority(*role)?.version));
        let from = versions.next().ok_or(Rejected::UnknownUnit(policy.unit))?;
        if versions.any(|version| version != from) {
            return Err(Rejected::MixedVersions(policy.unit));
        }
        Ok(from)
    }

    pub(crate) fn expiry(&self, policy: &UnitPolicy) -> Option<UtcDateTime> {
        policy.roles.iter().filter_map(|role| self.authority(*role)?.not_after).min()
    }

    fn check_expiry(&self, policy: &UnitPolicy, margin: Duration) -> Result<(), Rejected> {
        match self.expiry(policy) {
            Some(expiry) if self.clock.now().saturating_add(margin) >= expiry => {
                Err(Rejected::TooLate { unit: policy.unit, expiry, margin })
            }
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        policy: UnitPolicy,
        from: CaVersion,
        plan: Plan,
        emergency: bool,
    ) -> Result<CaVersion, Rejected> {
        let attempted = policy.roles.iter().filter_map(|role| Some(self.tracks.authority(*role)?.attempted));
        let last = attempted.max().map_or(from, |last| last.max(from));
        let to = last.next();
        if to == last {
            return Err(Rejected::NoVersionLeft(policy.unit));
        }
        for role in policy.roles.iter() {
            self.tracks.authorities.entry(*role).and_modify(|authority| authority.attempted = to);
        }
        let gated = self.is_gated(&policy);
        self.abandoned.clear();
        self.overrides = self.overrides.frozen_only();
        self.phase = Phase::Rotating(Rotating {
            open: policy.roles.iter().copied().collect(),
            moves_address: plan.moves_address(),
            policy,
            from,
            to,
            plan: Arc::new(plan),
            stage: 0,
            started: self.clock.now(),
            paused: false,
            may_complete: emergency || !gated,
            attempts: 0,
            emergency,
            commanded: false,
        });
        self.epoch += 1;
        self.expect_anew();
        Ok(to)
    }

    /// Whether somebody must say that a rotation of this unit may complete.
    pub(super) fn is_gated(&self, policy: &UnitPolicy) -> bool {
        self.settings.completion == Completion::OnRequest && policy.trigger == Trigger::User
    }

    pub(crate) fn has_part(&self, kind: ComponentKind, roles: &[AuthorityRole]) -> bool {
        self.topology.uses(kind).is_some_and(|uses| uses.touches(roles))
    }

    /// A consumer that has a part in these authorities and is not in order, if there is one. Looked for class by class:
    /// however many without a part are waiting, they cost nothing. An emergency waits for nobody of whom it has not asked
    /// anything yet; on its way back for everybody, since whoever holds the generation that is given up must be known.
    pub(super) fn blocking(&self, roles: &[AuthorityRole]) -> Option<&ConsumerId> {
        let emergency = self.rotating().filter(|rotating| rotating.emergency && !rotating.is_rolling_back());
        let classes = self.topology.classes().iter().enumerate();
        let waiting = classes.filter_map(|(number, class)| Some((class, self.waiting.of(number)?)));
        let mut concerned = waiting.filter(|(class, _)| {
            self.has_part(class.kind, roles) && emergency.is_none_or(|rotating| rotating.has_asked(class))
        });
        let (_, lacking) = concerned.next()?;
        Some(&self.topology.member(lacking.iter().next()?)?.id)
    }

    pub(super) fn mint(&mut self, role: AuthorityRole, record: AuthorityRecord) -> Result<(), Rejected> {
        let Some(rotating) = self.rotating() else { return Err(Rejected::NotInStage { current: None }) };
        if !rotating.policy.roles.contains(&role) || record.version != rotating.to {
            return Err(Rejected::WrongVersion { role, found: record.version });
        }
        let record = record.in_whole_seconds();
        if let Some(minted) = self.tracks.authority(role).and_then(|authority| authority.next.as_ref()) {
            // A duplicate of what is known changes nothing; another key for the same generation is an error.
            if *minted == record || !skips!(self, SecondKey) {
                return if *minted == record { Ok(()) } else { Err(Rejected::MintedTwice { role }) };
            }
        }
        if let Some(other) = shares_key(&self.tracks.authorities, &record) {
            return Err(Rejected::SharedKey { role, other });
        }
        let thresholds = self.settings.thresholds(self.topology.hierarchy(), &rotating.policy);
        let margin = thresholds.spec().automatic_start.unwrap_or(Duration::ZERO);
        if let Some(not_after) = record.not_after.filter(|end| *end <= self.clock.now().saturating_add(margin)) {
            return Err(Rejected::ShortLived { role, not_after });
        }
        if let Some(authority) = self.tracks.authorities.get_mut(&role) {
            authority.mint(record);
        }
        self.close(role, Step::Mint);
        self.expect_anew();
        Ok(())
    }

    /// The cross-certificate must not outlive the root that signed it, nor begin later than what is shown with it, nor end
    /// while it is still shown.
    pub(super) fn cross_sign(&mut self, role: AuthorityRole, record: CrossRecord) -> Result<(), Rejected> {
        let current = self.stage().map(|stage| stage.id.clone());
        let Some(rotating) = self.rotating() else { return Err(Rejected::NotInStage { current }) };
        if rotating.step() != Some(Step::CrossSign) {
            return Err(Rejected::NotInStage { current });
        }
        if !rotating.policy.roles.contains(&role) || (record.version, record.by) != (rotating.to, rotating.from) {
            return Err(Rejected::WrongVersion { role, found: record.version });
        }
        let Some(authority) = self.tracks.authority(role) else { return Err(Rejected::NotInStage { current }) };
        let record = record.in_whole_seconds();
        let (expiry, now) = (authority.active.not_after, self.clock.now());
        // As long as the root itself lasts is always long enough: there is no longer one.
        let least = expiry.into_iter().chain([now.saturating_add(self.settings.cross_margin)]).min();
        let ends_early = record.not_after <= now || least.is_some_and(|least| record.not_after < least);
        let unfit = record.not_before > now || ends_early || expiry.is_some_and(|end| record.not_after > end);
        if unfit && !skips!(self, CrossCertificateOutlives) {
            return Err(Rejected::UnfitCrossCertificate { role, signer_ends: expiry });
        }
        if let Some(authority) = self.tracks.authorities.get_mut(&role) {
            authority.cross = Some(record);
        }
        self.close(role, Step::CrossSign);
        Ok(())
    }

    pub(super) fn allocate(&mut self, address: &Address) -> Result<(), Rejected> {
        let current = self.stage().map(|stage| stage.id.clone());
        if !self.rotating().is_some_and(|rotating| rotating.moves_address && rotating.step() == Some(Step::Mint)) {
            return Err(Rejected::NotInStage { current });
        }
        let Some(addresses) = self.tracks.addresses.as_mut() else { return Err(Rejected::NotInStage { current }) };
        if addresses.next.as_ref() == Some(address) {
            return Ok(());
        }
        if addresses.holding(address).is_some() || addresses.next.is_some() {
            return Err(Rejected::AddressInUse(address.clone()));
        }
        addresses.next = Some(address.clone());
        Ok(())
    }

    pub(super) fn destroy(&mut self, role: AuthorityRole, version: CaVersion) -> Result<(), Rejected> {
        let current = self.stage().map(|stage| stage.id.clone());
        let Some(rotating) = self.rotating() else { return Err(Rejected::NotInStage { current }) };
        if rotating.step() != Some(Step::DestroyKeys) {
            return Err(Rejected::NotInStage { current });
        }
        if !rotating.policy.roles.contains(&role) || version != rotating.retired() {
            return Err(Rejected::WrongVersion { role, found: version });
        }
        self.close(role, Step::DestroyKeys);
        Ok(())
    }

    fn close(&mut self, role: AuthorityRole, step: Step) {
        if let Some(rotating) = self.rotating_mut()
            && rotating.step() == Some(step)
        {
            rotating.open.remove(&role);
        }
    }

    pub(super) fn pause(&mut self, paused: bool) -> Result<(), Rejected> {
        let allowed = self.settings.pause;
        let Some(rotating) = self.rotating_mut() else { return Err(Rejected::NotInStage { current: None }) };
        if !allowed {
            return Err(Rejected::NoPause);
        }
        rotating.paused = paused;
        Ok(())
    }

    pub(super) fn roll_back(&mut self) -> Result<(), Rejected> {
        let Some(rotating) = self.rotating() else { return Err(Rejected::NotInStage { current: None }) };
        if !self.settings.rollback {
            return Err(Rejected::NoRollback);
        }
        if rotating.emergency || rotating.is_rolling_back() {
            return Err(Rejected::NoWayBack { stage: rotating.stage().map(|stage| stage.id.clone()) });
        }
        self.turn_back()
    }

    fn turn_back(&mut self) -> Result<(), Rejected> {
        let Some(rotating) = self.rotating() else { return Err(Rejected::NotInStage { current: None }) };
        let (index, roles) = (rotating.stage, rotating.roles());
        let back = if skips!(self, BackFromAnywhere) {
            Some(rotating.plan.undone(index))
        } else {
            rotating.plan.rollback(index, &self.topology, roles).map_err(Rejected::Strategy)?
        };
        let stage = rotating.stage().map(|stage| stage.id.clone());
        let Some(plan) = back else { return Err(Rejected::NoWayBack { stage }) };
        let moves_address = plan.moves_address();
        // A second address that was allocated, and that nobody was asked to serve on yet, is given up here: no stage does it.
        if let Some(addresses) = self.tracks.addresses.as_mut().filter(|_| !moves_address) {
            addresses.give_up();
        }
        if let Some(rotating) = self.rotating_mut() {
            (rotating.plan, rotating.stage, rotating.paused) = (Arc::new(plan), 0, false);
            (rotating.may_complete, rotating.moves_address) = (true, moves_address);
            rotating.open_stage();
        }
        self.epoch += 1;
        self.forget_words();
        self.expect_anew();
        Ok(())
    }

    /// Whoever nobody can see was asked for something by the stage that is undone, and may have it: that takes a word.
    fn forget_words(&mut self) {
        if skips!(self, WordOfBefore) {
            return;
        }
        let Some(last) = self.rotating().and_then(|rotating| rotating.plan.history.last()).cloned() else { return };
        if last.scope() != Some(&Scope::External) {
            return;
        }
        for (index, member) in self.topology.members().filter(|(_, member)| member.id.kind().plane() == Plane::External)
        {
            let Some(uses) = self.topology.uses(member.id.kind()) else { continue };
            let Some(seen) = usize::try_from(index).ok().and_then(|at| self.seen.get_mut(at)) else { continue };
            for change in last.changes.iter().filter(|change| change.kind == member.id.kind()) {
                let held = uses.position(change.facet).and_then(|at| seen.held.get_mut(at));
                if let Some(held) = held.filter(|held| **held != change.to) {
                    *held = Holding::UNKNOWN;
                }
            }
        }
        // Compared anew, whether or not anything else is asked of them.
        self.expected = Arc::default();
    }

    /// Ends every stage whose gate is open. A stage that asks nothing of anybody ends at once.
    pub(super) fn settle(&mut self, applied: &mut Applied) {
        while self.may_move_on(applied) {
            let Some(rotating) = self.rotating_mut() else { return };
            applied.stages_ended.extend(rotating.stage().map(|stage| stage.id.clone()));
            rotating.stage += 1;
            rotating.open_stage();
            if rotating.stage().is_none() {
                self.finish();
                applied.completed = true;
            }
            self.epoch += 1;
            self.expect_stage();
            if self.rotating().is_some_and(Rotating::comes_to_clients_outside) {
                self.ask_released_again();
            }
        }
    }

    fn may_move_on(&mut self, applied: &mut Applied) -> bool {
        let Some(rotating) = self.rotating() else { return false };
        let paused = rotating.paused && !skips!(self, OnWhilePaused);
        let gated = rotating.is_at_gate() && !skips!(self, NoGate);
        if paused || !rotating.open.is_empty() || gated {
            return false;
        }
        let addressed = self.tracks.addresses.as_ref().is_none_or(|addresses| addresses.next.is_some());
        if rotating.step() == Some(Step::Mint) && rotating.moves_address && !addressed {
            return false;
        }
        // Once somebody said that it may complete, nobody outside whose turn comes late is waited for either.
        let opened = rotating.may_complete && !rotating.is_rolling_back() && self.is_gated(&rotating.policy);
        if rotating.emergency || opened {
            self.release(applied);
        }
        if skips!(self, NobodyIsWaitedFor) {
            return true;
        }
        self.rotating().is_some_and(|rotating| self.blocking(rotating.roles()).is_none())
    }

    fn finish(&mut self) {
        let Phase::Rotating(rotating) = core::mem::replace(&mut self.phase, Phase::Stable) else { return };
        let back = rotating.is_rolling_back();
        for role in rotating.policy.roles.iter() {
            let step = if back { super::Authority::give_up } else { super::Authority::promote };
            self.tracks.authorities.entry(*role).and_modify(step);
        }
        if let Some(addresses) = self.tracks.addresses.as_mut().filter(|_| rotating.moves_address) {
            if back { addresses.give_up() } else { addresses.promote() }
        }
        let shift = if back { Holding::given_up } else { Holding::promoted };
        for (index, member) in self.topology.members() {
            let uses = self.topology.uses(member.id.kind()).into_iter().flat_map(|uses| &uses.facets);
            let Some(seen) = usize::try_from(index).ok().and_then(|at| self.seen.get_mut(at)) else { continue };
            for (held, (_, track)) in seen.held.iter_mut().zip(uses) {
                if rotating.moves(*track) {
                    *held = shift(*held);
                }
            }
        }
        let (unit, to) = (rotating.unit(), if back { rotating.from } else { rotating.to });
        if !back && rotating.policy.hands_out() {
            self.deliveries.extend(Delivery::ALL);
        }
        self.overrides = self.overrides.frozen_only();
        let (roles, at) = (rotating.policy.roles, self.clock.now());
        self.completed = Some(Completed { unit, roles, to, at, rolled_back: back });
        // The names of the generations moved on, so everybody is compared anew.
        self.expected = Arc::default();
    }
}

/// The generation is not the one that the authorities of the unit are at.
fn wrong_version(policy: &UnitPolicy, found: CaVersion) -> Rejected {
    match policy.roles.first() {
        Some(role) => Rejected::WrongVersion { role: *role, found },
        None => Rejected::UnknownUnit(policy.unit),
    }
}

impl Rotating {
    /// Whether anything was asked of a class so far.
    fn has_asked(&self, class: &Class) -> bool {
        let (_, begun) = self.begun();
        begun.iter().any(|stage| {
            self.plan.covers(&stage.id, class.kind.plane(), class.pool.as_ref())
                && stage.changes.iter().any(|change| change.kind == class.kind)
        })
    }

    /// Whether the stage that runs is the first that asks anything of clients outside.
    fn comes_to_clients_outside(&self) -> bool {
        let outside = |stage: &Stage| stage.scope() == Some(&Scope::External);
        self.plan.stages.iter().position(outside) == Some(self.stage)
    }

    /// The generation whose keys are destroyed at the end.
    pub(super) fn retired(&self) -> CaVersion {
        if self.is_rolling_back() { self.to } else { self.from }
    }

    /// What the stage that begins needs besides what consumers load.
    fn open_stage(&mut self) {
        self.open = match self.step() {
            Some(Step::Mint | Step::DestroyKeys) => self.policy.roles.iter().copied().collect(),
            Some(Step::CrossSign) => {
                self.policy.roles.iter().copied().filter(|role| role.is_certificate_authority()).collect()
            }
            _ => Default::default(),
        };
    }
}
