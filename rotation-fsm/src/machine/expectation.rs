//! What each class of consumers shall run with, and what suffices.

use pki_core::{AuthorityRole, LeafKind, Plane};

use super::seen::{Held, Seen};
use super::{Machine, Phase, Rotating};
use crate::facet::{Facet, Holding, Holdings, Track};
use crate::plan::{Direction, Plan, Step, VersionRange};
use crate::topology::{Class, ConsumerId, MAX_FACETS, is_signed_at_run_time};

/// What one class shall run with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Expected {
    pub(crate) want: Held,
    /// What suffices: what is wanted, and what is early and does no harm.
    pub(crate) suffices: [Holdings; MAX_FACETS],
    /// The epoch of which it must have been given something: what it said before counts for nothing.
    pub(crate) since: u64,
    /// How many of them count.
    len: usize,
}

impl Expected {
    pub(crate) fn is_met(&self, seen: &Seen) -> bool {
        seen.epoch >= self.since && self.holds(&seen.held)
    }

    fn holds(&self, held: &Held) -> bool {
        self.suffices.iter().zip(held).take(self.len).all(|(suffices, held)| suffices.has(*held))
    }

    /// Whether what stands at this place suffices.
    pub(crate) fn is_met_at(&self, place: usize, held: &Held) -> bool {
        self.suffices.get(place).zip(held.get(place)).is_some_and(|(suffices, held)| suffices.has(*held))
    }
}

impl Rotating {
    pub(crate) fn moves(&self, track: Track) -> bool {
        match track {
            Track::Authority(role) => self.policy.roles.contains(&role),
            Track::Address => self.moves_address,
        }
    }

    /// The stages that are begun: what was begun of a plan that is undone, and this plan's own.
    pub(crate) fn begun(&self) -> (&[crate::plan::Stage], &[crate::plan::Stage]) {
        let own = self.plan.stages.get(..=self.stage).unwrap_or(&self.plan.stages);
        (&self.plan.history, own)
    }

    /// Which key signs at run time, as far as the plan has got.
    fn signer(&self) -> Holding {
        let (history, own) = self.begun();
        let mut switches = history.iter().chain(own).rev().filter(|stage| stage.step() == Step::SwitchSigner);
        switches.next().map_or(Holding::CURRENT, |stage| if stage.id.undo { Holding::CURRENT } else { Holding::NEXT })
    }

    fn expectation(&self, class: &Class, facet: Facet) -> (Holding, Holdings) {
        let (history, own) = self.begun();
        let moves = |stages| self.plan.moves(stages, class.kind, class.pool.as_ref(), facet);
        let (mut want, mut suffices) = (Holding::CURRENT, Holdings::one(Holding::CURRENT));
        for (index, to) in moves(history) {
            // The stage that was running when the way back began may have been done for some and not for others.
            suffices = if index + 1 == history.len() { suffices.or(to) } else { Holdings::one(to) };
            want = to;
        }
        let mut touched = false;
        for (_, to) in moves(own) {
            (want, suffices, touched) = (to, Holdings::one(to), true);
        }
        let renews = facet.is_renewed();
        match self.plan.direction {
            // A node restarts when it likes, and comes back with a leaf of whoever signs then.
            _ if renews && !touched => suffices = suffices.or(self.signer()).or(self.signer_before()),
            // Holding the next generation early does no harm; holding the previous one late does.
            Direction::Forward if matches!(facet, Facet::Trusts(_)) && want == Holding::CURRENT => {
                suffices = suffices.or(Holding::BOTH);
            }
            _ => {}
        }
        (want, suffices)
    }

    /// Which key signed at run time before a plan that leads back switched again.
    fn signer_before(&self) -> Holding {
        let switched = self.plan.history.iter().any(|stage| stage.step() == Step::SwitchSigner);
        if switched { Holding::NEXT } else { self.signer() }
    }
}

impl Plan {
    pub(crate) fn moves_address(&self) -> bool {
        self.history.iter().chain(&self.stages).any(|stage| stage.step() == Step::OpenAddress)
    }
}

impl Machine {
    pub(crate) const fn rotating(&self) -> Option<&Rotating> {
        match &self.phase {
            Phase::Rotating(rotating) => Some(rotating),
            Phase::Stable => None,
        }
    }

    pub(super) fn rotating_mut(&mut self) -> Option<&mut Rotating> {
        match &mut self.phase {
            Phase::Rotating(rotating) => Some(rotating),
            Phase::Stable => None,
        }
    }

    /// The epoch of which a class must have been given something on the way back.
    ///
    /// Whoever was asked for something by the stage that was running may have done it and not have been seen, or may be
    /// about to; and a node may have restarted, and not have been seen since, until the signers had switched back. What
    /// was seen of them before is no evidence, and an order of before may still reach them until they have heard of a
    /// higher epoch.
    fn since(&self, rotating: &Rotating, class: &Class) -> u64 {
        if class.kind.plane() == Plane::External || skips!(self, WordOfBefore) {
            return 0;
        }
        let stages = &rotating.plan.stages;
        // Every stage has its epoch, one after the other.
        let began = self.epoch.saturating_sub(u64::try_from(rotating.stage).unwrap_or(u64::MAX));
        if rotating.plan.direction == Direction::Forward {
            return self.since_switch(rotating, class).map_or(0, |stage| began + stage);
        }
        let asked = rotating.plan.history.last().is_some_and(|stage| {
            let covers = rotating.plan.covers(&stage.id, class.kind.plane(), class.pool.as_ref());
            covers && stage.changes.iter().any(|change| change.kind == class.kind)
        });
        let renews = self
            .topology
            .uses(class.kind)
            .is_some_and(|uses| uses.facets.iter().any(|(facet, track)| rotating.moves(*track) && facet.is_renewed()));
        let switched = stages.iter().rposition(|stage| stage.step() == Step::SwitchSigner).filter(|_| renews);
        match switched {
            Some(last) if rotating.stage > last => began + u64::try_from(last).unwrap_or_default() + 1,
            _ if asked => began,
            _ => 0,
        }
    }

    /// Forwards a node that renewed early, while not every signer had switched, may renew with the old key again. Once its
    /// own stage has come it must have been given something since they all had: the number of the first such stage.
    fn since_switch(&self, rotating: &Rotating, class: &Class) -> Option<u64> {
        let (_, own) = rotating.begun();
        let switched = own.iter().rposition(|stage| stage.step() == Step::SwitchSigner)?;
        let renewed = own.iter().any(|stage| {
            let covers = rotating.plan.covers(&stage.id, class.kind.plane(), class.pool.as_ref());
            covers && stage.changes.iter().any(|change| change.kind == class.kind && change.facet.is_renewed())
        });
        renewed.then(|| u64::try_from(switched).unwrap_or_default() + 1)
    }

    /// What a class shall run with now.
    pub(super) fn expectation(&self, class: &Class) -> Expected {
        let mut expected = Expected::default();
        let Some(uses) = self.topology.uses(class.kind) else { return expected };
        expected.len = uses.facets.len().min(MAX_FACETS);
        expected.since = self.rotating().map_or(0, |rotating| self.since(rotating, class));
        let places = expected.want.iter_mut().zip(&mut expected.suffices);
        for ((want, suffices), (facet, track)) in places.zip(&uses.facets) {
            (*want, *suffices) = match self.rotating().filter(|rotating| rotating.moves(*track)) {
                Some(rotating) => rotating.expectation(class, *facet),
                None if skips!(self, RetiredIsFine) => {
                    let both = Holding::PREVIOUS.union(Holding::CURRENT);
                    (Holding::CURRENT, Holdings::one(Holding::CURRENT).or(both))
                }
                None => (Holding::CURRENT, Holdings::one(Holding::CURRENT)),
            };
        }
        expected
    }

    /// The totality rule: which generation of which authority signs `leaf` for `consumer` now.
    ///
    /// It has an answer for every leaf of the hierarchy in every phase; `None` only for a leaf that
    /// the hierarchy does not have. A leaf that is signed at run time comes from whoever signs then, whether or not its
    /// own stage has come; that is why signers switch before nodes are recreated for their leaves.
    #[must_use]
    pub fn issuer_of(&self, consumer: &ConsumerId, leaf: LeafKind) -> Option<(AuthorityRole, pki_core::CaVersion)> {
        let role = self.topology.hierarchy().issuer_of(leaf)?;
        let authority = self.tracks.authority(role)?;
        let holding = match self.rotating().filter(|rotating| rotating.moves(Track::Authority(role))) {
            Some(rotating) if is_signed_at_run_time(leaf) => rotating.signer(),
            Some(rotating) => {
                let presents = |class: &&Class| {
                    let uses = self.topology.uses(class.kind);
                    uses.is_some_and(|uses| uses.position(Facet::Presents(leaf)).is_some())
                };
                // Its own class if it has the leaf, or else whoever has.
                let own = Class { kind: consumer.kind(), pool: self.topology.pool_of(consumer).cloned() };
                let class = Some(&own).filter(presents).or_else(|| self.topology.classes().iter().find(presents));
                class.map_or(Holding::CURRENT, |class| rotating.expectation(class, Facet::Presents(leaf)).0)
            }
            None => Holding::CURRENT,
        };
        let version = authority.versions(holding.generations()).map_or(authority.active.version, VersionRange::last);
        Some((role, version))
    }
}
