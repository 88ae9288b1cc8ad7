//! What each class of consumers shall run with, and what suffices.

use pki_core::{AuthorityRole, LeafKind};

use super::seen::Held;
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
    /// How many of them count.
    len: usize,
}

impl Expected {
    pub(crate) fn is_met(&self, held: &Held) -> bool {
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
        let renews = match facet {
            Facet::Presents(leaf) => is_signed_at_run_time(leaf),
            Facet::RestartedUnder => true,
            _ => false,
        };
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

    /// What a class shall run with now.
    pub(super) fn expectation(&self, class: &Class) -> Expected {
        let mut expected = Expected::default();
        let Some(uses) = self.topology.uses(class.kind) else { return expected };
        expected.len = uses.facets.len().min(MAX_FACETS);
        let places = expected.want.iter_mut().zip(&mut expected.suffices);
        for ((want, suffices), (facet, track)) in places.zip(&uses.facets) {
            (*want, *suffices) = match self.rotating().filter(|rotating| rotating.moves(*track)) {
                Some(rotating) => rotating.expectation(class, *facet),
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
