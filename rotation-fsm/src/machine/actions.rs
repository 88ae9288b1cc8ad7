//! What is to be done, derived from what is expected and what was seen.

use core::fmt;
use std::collections::BTreeMap;

use pki_core::AuthorityRole;

use super::{Machine, Phase, Rotating};
use crate::action::{Action, ActionKey, BundleTarget, ConsumerTarget, LeafTarget};
use crate::plan::{Stage, Step};
use crate::topology::{ConsumerId, Reload, Uses};

impl Machine {
    /// Everything that is to be done now, from the state alone. Ask again after every event and restart.
    ///
    /// Of consumers that restart, as many of a kind (of a pool's nodes, as many of the pool) as may be away at once.
    pub fn pending_actions(&self) -> impl Iterator<Item = Action> + '_ {
        let authorities = match &self.phase {
            Phase::Stable => None,
            Phase::Rotating(rotating) => {
                Some(rotating.open.iter().filter_map(|role| self.authority_action(rotating, *role)))
            }
        };
        let mut away: BTreeMap<_, usize> = BTreeMap::new();
        let consumers = self.waiting.iter().filter_map(move |consumer| {
            let away = away.entry((consumer.kind(), self.topology.pool_of(consumer))).or_default();
            // Before the action is put together: of a large pool nearly all wait for their turn.
            if *away >= self.topology.max_unavailable(consumer) {
                return None;
            }
            let action = self.consumer_action(consumer);
            if matches!(&action, Action::EnsureConsumer { target, .. } if target.reload != Reload::Live) {
                *away += 1;
            }
            Some(action)
        });
        authorities.into_iter().flatten().chain(consumers)
    }

    /// The key of an action that concerns `whom`, in the stage that runs or at rest.
    fn key(&self, whom: &dyn fmt::Display) -> ActionKey {
        ActionKey(match self.running() {
            Some((rotating, stage)) => {
                format!("{}/{}/{}/{stage}/{whom}", self.cluster, rotating.unit(), rotating.to)
            }
            None => format!("{}/at-rest/{whom}", self.cluster),
        })
    }

    fn running(&self) -> Option<(&Rotating, &Stage)> {
        match &self.phase {
            Phase::Stable => None,
            Phase::Rotating(rotating) => rotating.stage().map(|stage| (rotating, stage)),
        }
    }

    fn authority_action(&self, rotating: &Rotating, role: AuthorityRole) -> Option<Action> {
        let key = |version| self.key(&format_args!("{role}/{version}"));
        match rotating.step()? {
            Step::Mint => Some(Action::EnsureAuthority { key: key(rotating.to), role, version: rotating.to }),
            Step::DestroyKeys => {
                Some(Action::EnsureKeyDestroyed { key: key(rotating.from), role, version: rotating.from })
            }
            _ => None,
        }
    }

    fn consumer_action(&self, consumer: &ConsumerId) -> Action {
        let (key, target) = (self.key(consumer), self.target(consumer));
        match self.running() {
            Some((rotating, stage)) if target.reload == Reload::Unobservable => {
                let (unit, to, stage) = (rotating.unit(), rotating.to, stage.clone());
                Action::AwaitAcknowledgement { key, unit, to, stage, target }
            }
            _ => Action::EnsureConsumer { key, target },
        }
    }

    /// What is missing at `consumer`; everything, while it is unseen.
    fn target(&self, consumer: &ConsumerId) -> ConsumerTarget {
        let loaded = self.seen.get(consumer).and_then(|seen| seen.loaded.as_ref());
        let expected = self.expected(consumer);
        let nothing = Uses::default();
        let uses = self.topology.uses(consumer.kind()).unwrap_or(&nothing);
        let bundles: Vec<_> = uses
            .trust
            .iter()
            .zip(&expected.bundles)
            .enumerate()
            .filter(|(index, ((_, role), versions))| {
                let held = loaded.and_then(|loaded| loaded.bundles.get(*index));
                !held.is_some_and(|held| self.bundle_suffices(*role, **versions, *held))
            })
            .filter_map(|(_, ((slot, role), versions))| {
                let hash = self.authorities.get(role)?.hash_of(*versions)?;
                Some(BundleTarget { slot: *slot, role: *role, versions: *versions, hash })
            })
            .collect();
        // A restart is what a kubelet's certificates come with, so all of them count while it is owed one.
        let owed = expected.csr_signer_at_restart > loaded.and_then(|loaded| loaded.csr_signer_at_restart);
        let leaves: Vec<_> = uses
            .leaves
            .iter()
            .zip(&expected.leaves)
            .enumerate()
            .filter(|(index, ((_, role), issuer))| {
                let held = loaded.and_then(|loaded| loaded.leaves.get(*index));
                owed || !held.is_some_and(|held| self.leaf_suffices(*role, **issuer, *held))
            })
            .map(|(_, ((leaf, role), issuer))| LeafTarget { leaf: *leaf, role: *role, issuer: *issuer })
            .collect();
        let signs =
            uses.signs.zip(expected.signs).filter(|_| loaded.is_none_or(|loaded| loaded.signs != expected.signs));
        let reload = self.topology.reload(
            consumer,
            bundles.iter().map(|bundle| bundle.slot),
            leaves.iter().map(|leaf| leaf.leaf),
            signs.map(|(role, _)| role),
        );
        ConsumerTarget { consumer: consumer.clone(), bundles, leaves, signs, reload }
    }
}
