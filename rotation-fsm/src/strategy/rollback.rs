//! The way back: the stages that were begun, undone in reverse order.
//!
//! Forwards, every mixture of two neighbouring stages keeps the laws; backwards the mixtures are the same. One thing is
//! not symmetric: what is signed at run time comes from whoever signs then, so the signers switch back first.

use std::collections::BTreeMap;

use crate::facet::Holding;
use crate::plan::{Change, Direction, Plan, Stage, StageId, Step};

pub(super) fn plan(forward: &Plan, index: usize) -> Plan {
    let (begun, to_come) = forward.stages.split_at((index + 1).min(forward.stages.len()));
    let mut held = BTreeMap::new();
    let mut undone: Vec<Stage> = Vec::new();
    for stage in begun {
        let undo = |change: &Change| {
            let key = (stage.id.scope.clone(), change.kind, change.facet);
            let before = held.insert(key, change.to).unwrap_or(Holding::CURRENT);
            Change { to: before, ..*change }
        };
        let changes = stage.changes.iter().map(undo).collect();
        undone.push(Stage { id: StageId { undo: true, ..stage.id.clone() }, changes });
    }
    let switched = begun.iter().any(|stage| stage.step() == Step::SwitchSigner);
    if switched {
        // A node that restarted by itself since then has a leaf of the next generation already.
        undone.extend(to_come.iter().filter_map(renewed_early));
    }
    undone.reverse();
    undone.retain(|stage| !stage.changes.is_empty());
    undone.sort_by_key(|stage| stage.step() != Step::SwitchSigner);
    let id = StageId { step: Step::DestroyKeys, scope: None, undo: true, part: 0 };
    undone.push(Stage { id, changes: Vec::new() });
    // A pool that was added since still counts to the last one of then, or nobody would undo what was done there.
    Plan { direction: Direction::Back, pools: forward.pools.clone(), history: begun.to_vec(), stages: undone }
}

/// What a stage that was not begun would have asked of leaves that are signed at run time, taken back.
fn renewed_early(stage: &Stage) -> Option<Stage> {
    let renewed = |change: &&Change| change.facet.is_renewed();
    let back = |change: &Change| Change { to: Holding::CURRENT, ..*change };
    let changes: Vec<_> = stage.changes.iter().filter(renewed).map(back).collect();
    (!changes.is_empty()).then(|| Stage { id: StageId { undo: true, ..stage.id.clone() }, changes })
}
