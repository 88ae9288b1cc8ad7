//! What is written down while a rotation is gone through.

use std::collections::{BTreeMap, BTreeSet};

use pki_core::ComponentKind;
use time::{Duration, UtcDateTime};

use super::timeline::{BlockedTime, NodeWork, StageSpan};
use crate::machine::Blocked;
use crate::plan::StageId;
use crate::topology::{ConsumerId, PoolName, Reload};

#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) begins: Option<UtcDateTime>,
    pub(super) completes: Option<UtcDateTime>,
    pub(super) stages: Vec<StageSpan>,
    /// Of the stage that runs.
    open: Open,
    /// How often each restarts.
    pub(super) consumers: BTreeMap<ConsumerId, u32>,
    pub(super) nodes: BTreeMap<ConsumerId, NodeWork>,
    pub(super) blocked: Vec<BlockedTime>,
    pub(super) left_behind: BTreeSet<ConsumerId>,
}

#[derive(Debug, Default)]
struct Open {
    restarts: u32,
    recreations: u32,
    words: u32,
    blocked: Duration,
}

impl Record {
    pub(super) fn stage_ended(&mut self, id: &StageId, now: UtcDateTime) {
        let begins = self.stages.last().map(|stage| stage.ends).or(self.begins).unwrap_or(now);
        let Open { restarts, recreations, words, blocked } = core::mem::take(&mut self.open);
        self.stages.push(StageSpan { id: id.clone(), begins, ends: now, restarts, recreations, words, blocked });
    }

    /// A consumer goes down for a while, alone or with its node.
    pub(super) fn disturbed(&mut self, consumer: &ConsumerId, pool: Option<&PoolName>, reload: Reload) {
        *self.consumers.entry(consumer.clone()).or_default() += 1;
        self.open.restarts += 1;
        if consumer.kind() != ComponentKind::Kubelet {
            return;
        }
        let Some(pool) = pool else { return };
        let node = self.nodes.entry(consumer.clone()).or_insert_with(|| NodeWork {
            node: consumer.instance().clone(),
            pool: pool.clone(),
            restarts: 0,
            recreations: 0,
        });
        node.restarts += 1;
        if reload == Reload::Recreate {
            node.recreations += 1;
            self.open.recreations += 1;
        }
    }

    pub(super) fn asked(&mut self) {
        self.open.words += 1;
    }

    pub(super) fn blocked(&mut self, blocked: &Blocked, from: UtcDateTime, until: UtcDateTime) {
        let takes = until - from;
        self.open.blocked += takes;
        let of = |known: &&mut BlockedTime| {
            known.pool == blocked.pool && known.step == blocked.step && known.why == blocked.why
        };
        match self.blocked.iter_mut().find(of) {
            Some(known) => known.total += takes,
            None => self.blocked.push(BlockedTime {
                step: blocked.step,
                pool: blocked.pool.clone(),
                why: blocked.why.clone(),
                first: from,
                total: takes,
            }),
        }
    }
}
