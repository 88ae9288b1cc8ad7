//! A rotation that was running: its plan, how far it is, and the generations that there are by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pki_core::AuthorityRole;

use super::super::snapshot::{RotatingState, State};
use super::error::{Counted, Part, RestoreError, at_most, expect};
use super::{allows, as_u64, policy};
use crate::machine::{Authority, Phase, Rotating};
use crate::plan::{Direction, Plan, Scope, Stage, Step};
use crate::policy::UnitPolicy;
use crate::topology::Topology;

/// The most stages of what is in no pool, and those of each pool. Ours: twice the longest order.
const MAX_STAGES: (usize, usize) = (64, 8);

pub(super) fn rotating(
    found: &RotatingState,
    state: &State,
    topology: &Topology,
    policies: &[UnitPolicy],
) -> Result<Rotating, RestoreError> {
    let policy = policy(policies, found.unit)?;
    check_versions(found, state, policy)?;
    if found.started > state.clock.mark {
        let expected = format!("no later than {}", state.clock.mark);
        return Err(RestoreError::mismatch(Part::Started, expected, found.started));
    }
    allows(&state.settings, Part::Pause, found.paused, state.settings.pause)?;
    check_plan(found, state, topology, policy)?;
    check_progress(found, policy)?;
    Ok(Rotating {
        moves_address: found.plan.moves_address(),
        policy: policy.clone(),
        from: found.from,
        to: found.to,
        plan: Arc::new(found.plan.clone()),
        stage: found.stage,
        open: found.open.clone(),
        started: found.started,
        paused: found.paused,
        may_complete: found.may_complete,
        attempts: found.attempts,
        emergency: found.emergency,
        commanded: found.commanded,
    })
}

/// From what all of the unit are at, to the next that none of them ever was.
fn check_versions(found: &RotatingState, state: &State, policy: &UnitPolicy) -> Result<(), RestoreError> {
    let authorities = || policy.roles.iter().filter_map(|role| state.authorities.get(role));
    for authority in authorities() {
        expect(Part::From, authority.active.version, found.from)?;
    }
    let given_up = authorities().filter_map(|authority| Some(authority.previous?.version)).max();
    let above = given_up.map_or(found.from, |last| last.max(found.from));
    if found.to <= above {
        return Err(RestoreError::mismatch(Part::To, format!("above {above}"), found.to));
    }
    authorities().try_for_each(|authority| expect(Part::To, authority.attempted, found.to))
}

fn check_plan(
    found: &RotatingState,
    state: &State,
    topology: &Topology,
    policy: &UnitPolicy,
) -> Result<(), RestoreError> {
    let plan = &found.plan;
    // Pools come and never go, so those of the plan are the first of all.
    let mut known = topology.pools();
    if let Some(pool) = plan.pools.iter().find(|pool| known.next() != Some(*pool)) {
        return Err(RestoreError::mismatch(Part::Plan, "the first pools of the topology", pool));
    }
    let limit = as_u64(MAX_STAGES.0 + MAX_STAGES.1 * plan.pools.len());
    at_most(Counted::Stages, plan.stages.len(), limit)?;
    at_most(Counted::Stages, plan.history.len(), limit)?;
    for stage in plan.history.iter().chain(&plan.stages) {
        check_stage(plan, stage)?;
    }
    let ids = |stages: &[Stage]| stages.iter().map(|stage| stage.id.clone()).collect::<BTreeSet<_>>().len();
    expect(Part::Plan, plan.history.len(), ids(&plan.history))?;
    let back = plan.direction == Direction::Back;
    allows(&state.settings, Part::Rollback, back, state.settings.rollback || found.emergency)?;
    allows(&state.settings, Part::Command, found.commanded, state.settings.commands_override)?;
    let begins = plan.history.first().map(Stage::step);
    if begins != back.then_some(Step::Mint) {
        let expected = if back { "what was begun, from minting on" } else { "nothing that is undone" };
        return Err(RestoreError::mismatch(Part::Rollback, expected, format!("{} stages", plan.history.len())));
    }
    if found.emergency && !back {
        return plan.losses(topology, &policy.roles).map(|_| ()).map_err(RestoreError::Plan);
    }
    plan.check(topology, &policy.roles).map_err(RestoreError::Plan)
}

/// A stage of the pools of its plan, which asks for each thing once.
fn check_stage(plan: &Plan, stage: &Stage) -> Result<(), RestoreError> {
    if let Some(Scope::Pool(pool)) = stage.scope()
        && !plan.pools.contains(pool)
    {
        return Err(RestoreError::mismatch(Part::Plan, "stages of its pools", stage));
    }
    let mut asked = BTreeSet::new();
    match stage.changes.iter().find(|change| !asked.insert((change.kind, change.facet))) {
        Some(change) => Err(RestoreError::mismatch(Part::Plan, "every change of a stage once", change)),
        None => Ok(()),
    }
}

fn check_progress(found: &RotatingState, policy: &UnitPolicy) -> Result<(), RestoreError> {
    let Some(stage) = found.plan.stages.get(found.stage) else {
        let expected = format!("below {}", found.plan.stages.len());
        return Err(RestoreError::mismatch(Part::Stage, expected, found.stage));
    };
    let opens = |role: &AuthorityRole| match stage.step() {
        Step::Mint | Step::DestroyKeys => policy.roles.contains(role),
        Step::CrossSign => policy.roles.contains(role) && role.is_certificate_authority(),
        _ => false,
    };
    if let Some(role) = found.open.iter().find(|role| !opens(role)) {
        return Err(RestoreError::mismatch(Part::Open, format!("what `{stage}` asks for"), role));
    }
    let gate = found.plan.point_of_no_return();
    if !found.may_complete && gate.is_some_and(|gate| found.stage >= gate) {
        return Err(RestoreError::mismatch(Part::Gate, "somebody's word that it may be passed", "none"));
    }
    Ok(())
}

/// Whether the stages of this step were begun and have ended.
pub(super) fn is_over(rotating: &Rotating, step: Step) -> bool {
    let (history, own) = rotating.begun();
    let mut after = history.iter().chain(own).filter(|stage| !stage.id.undo).skip_while(|stage| stage.step() != step);
    after.next().is_some() && after.next().is_some()
}

fn is_begun(rotating: &Rotating, step: Step) -> bool {
    let (history, own) = rotating.begun();
    history.iter().chain(own).any(|stage| !stage.id.undo && stage.step() == step)
}

/// There is a next generation where one was minted, and a certificate for it by the one before where that is asked for.
pub(super) fn check_generations(known: &BTreeMap<AuthorityRole, Authority>, phase: &Phase) -> Result<(), RestoreError> {
    for (role, authority) in known {
        let rotating = match phase {
            Phase::Rotating(rotating) if rotating.roles().contains(role) => Some(rotating),
            _ => None,
        };
        let open =
            |step: Step| rotating.is_some_and(|rotating| rotating.step() == Some(step) && rotating.open.contains(role));
        let over = |step| rotating.is_some_and(|rotating| is_over(rotating, step));
        let begun = |step| rotating.is_some_and(|rotating| is_begun(rotating, step));
        let next = authority.next.map(|next| next.version);
        let to = rotating.map(|rotating| rotating.to);
        // Turned back in the middle of it, a step is done for some and not for others.
        let running = |step| rotating.is_some_and(|rotating| rotating.step() == Some(step));
        let minted = if over(Step::Mint) || (running(Step::Mint) && !open(Step::Mint)) { Some(true) } else { None };
        let none = !begun(Step::Mint) || open(Step::Mint);
        if next.is_some() && (none || next != to) || (next.is_none() && minted == Some(true)) {
            let words =
                |version: Option<pki_core::CaVersion>| version.map_or_else(|| "none".to_owned(), |it| it.to_string());
            let expected = words(to.filter(|_| !none));
            return Err(RestoreError::mismatch(Part::Generation(*role), format!("next {expected}"), words(next)));
        }
        let authority_signs = role.is_certificate_authority();
        let signed = over(Step::CrossSign) || (running(Step::CrossSign) && !open(Step::CrossSign));
        let unsigned = !begun(Step::CrossSign) || open(Step::CrossSign) || !authority_signs;
        let wrong = match authority.cross {
            Some(_) => unsigned,
            None => signed && authority_signs,
        };
        if wrong {
            let expected = if unsigned { "none" } else { "one" };
            let found = if unsigned { "one" } else { "none" };
            return Err(RestoreError::mismatch(Part::Cross(*role), expected, found));
        }
    }
    Ok(())
}
