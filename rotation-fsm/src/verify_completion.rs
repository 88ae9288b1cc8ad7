//! After a rotation: whether the cluster is what a completed rotation promises, judged by facts that were gathered for it.
//!
//! The machine completes on evidence; this looks again, later and on its own, as `gkectl diagnose` does for GDC. What nobody
//! looked at is a deviation too: it is not evaluated, and that is never a pass.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use pki_core::{AuthorityRole, CaVersion, ComponentKind, LeafKind, Plane, TrustSlot};

use crate::delivery::Delivery;
use crate::event::Observation;
use crate::facet::{Facet, Holding, Track};
use crate::machine::{Machine, read_one};
use crate::plan::VersionRange;
use crate::policy::units;
use crate::rejected::Unreadable;
use crate::topology::{Address, ConsumerId};

/// What was found when somebody looked.
///
/// `None` says that nobody looked; an empty list says that somebody did and found nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompletionFacts {
    /// What each consumer runs with now. Of several reports of one the latest counts; one that is older than what the
    /// machine has seen counts for nothing.
    pub observations: Vec<Observation>,
    /// The private keys of authorities that exist, in whatever holds them.
    pub keys: Option<Vec<(AuthorityRole, CaVersion)>>,
    /// The addresses at which an API server answers, of all that the control plane ever had.
    pub addresses: Option<Vec<Address>>,
    /// What was handed out since the completion.
    pub delivered: Option<Vec<Delivery>>,
    /// What was shown to verifiers, and whether they took it.
    pub probes: Vec<Probe>,
}

/// A credential that was shown to a verifier to see what it does: a client certificate to an API server, or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// To whom.
    pub verifier: ConsumerId,
    /// With what it verifies.
    pub slot: TrustSlot,
    /// Which generation issued the credential.
    pub issued_by: CaVersion,
    /// Whether it was accepted.
    pub accepted: bool,
}

/// What nobody looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unknown {
    /// What a consumer runs with.
    Consumer(ConsumerId),
    /// Which keys exist.
    Keys,
    /// Which addresses answer.
    Addresses,
    /// What was handed out.
    Deliveries,
    /// What a verifier does with a credential of a generation.
    Probe {
        /// Who verifies.
        verifier: ConsumerId,
        /// With what.
        slot: TrustSlot,
        /// Whose credential.
        issued_by: CaVersion,
    },
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consumer(consumer) => write!(f, "what `{consumer}` runs with"),
            Self::Keys => f.write_str("which private keys exist"),
            Self::Addresses => f.write_str("at which addresses the control plane answers"),
            Self::Deliveries => f.write_str("what was handed out"),
            Self::Probe { verifier, slot, issued_by } => {
                write!(f, "whether `{verifier}` accepts in `{slot:?}` what CAVersion {issued_by} issued")
            }
        }
    }
}

/// Something that is not as a completed rotation promises.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deviation {
    /// No rotation has completed, one is running, or the last one was rolled back: nothing was promised.
    NotCompleted,
    /// Nobody looked.
    NotEvaluated(Unknown),
    /// A report of somebody who is not part of the cluster.
    Stranger(ConsumerId),
    /// A consumer is not there, or new connections to it fail.
    Away(ConsumerId),
    /// A report that does not say what it must, or names something foreign.
    Unreadable {
        /// Whose.
        consumer: ConsumerId,
        /// Of what.
        facet: Facet,
        /// Why.
        why: Unreadable,
    },
    /// A bundle holds something else than the new generation alone.
    Bundle {
        /// Whose.
        consumer: ConsumerId,
        /// Which.
        slot: TrustSlot,
        /// The generation that it should hold.
        expected: CaVersion,
        /// What it holds.
        found: VersionRange,
    },
    /// A leaf that another generation issued.
    Leaf {
        /// Whose.
        consumer: ConsumerId,
        /// Which.
        leaf: LeafKind,
        /// Who should have issued it.
        expected: CaVersion,
        /// Who did.
        found: CaVersion,
    },
    /// A leaf is still presented with the cross-certificate.
    Chain {
        /// Whose.
        consumer: ConsumerId,
        /// Which.
        leaf: LeafKind,
    },
    /// Requests or tokens are signed with the key of another generation.
    Signer {
        /// By whom.
        consumer: ConsumerId,
        /// For which authority.
        role: AuthorityRole,
        /// With which key they should be.
        expected: CaVersion,
        /// With which they are.
        found: CaVersion,
    },
    /// A node has not restarted since the CSR signer was switched.
    NotRestarted {
        /// Its kubelet.
        consumer: ConsumerId,
        /// Under which signer it should have.
        expected: CaVersion,
        /// Under which it did.
        found: CaVersion,
    },
    /// Somebody serves on, leads to or dials something else than the address of the control plane.
    WrongAddress {
        /// Who.
        consumer: ConsumerId,
        /// In what.
        facet: Facet,
        /// The address.
        expected: Address,
    },
    /// The private key of a generation that is not the active one exists.
    LingeringKey {
        /// Of which authority.
        role: AuthorityRole,
        /// Which generation.
        version: CaVersion,
    },
    /// The private key of the active generation does not.
    MissingKey {
        /// Of which authority.
        role: AuthorityRole,
        /// Which generation.
        version: CaVersion,
    },
    /// The control plane still answers at an address that it gave up, or at one that it never had.
    AddressOpen(Address),
    /// It does not answer at its own.
    AddressSilent(Address),
    /// A verifier took what a retired generation issued.
    OldAccepted(Probe),
    /// A verifier refused what the active generation issued.
    NewRefused(Probe),
    /// Something was not handed out.
    NotDelivered(Delivery),
    /// A client outside was left behind, and fails until somebody gives it the new credentials.
    LeftBehind(ConsumerId),
    /// A consumer was given up on the way. Should it come back, it trusts what is retired.
    Abandoned(ConsumerId),
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompleted => f.write_str("no rotation has completed since the last one began or was rolled back"),
            Self::NotEvaluated(what) => write!(f, "not evaluated: {what}"),
            Self::Stranger(consumer) => write!(f, "`{consumer}`: expected nobody of this name, found a report"),
            Self::Away(consumer) => write!(f, "`{consumer}`: expected to be there, found to be away"),
            Self::Unreadable { consumer, facet, why } => write!(f, "`{consumer}`: {facet}: {why}"),
            Self::Bundle { consumer, slot, expected, found } => {
                write!(f, "`{consumer}`: bundle `{slot:?}`: expected [{expected}], found {found}")
            }
            Self::Leaf { consumer, leaf, expected, found } => {
                write!(f, "`{consumer}`: `{leaf}`: expected of CAVersion {expected}, found of {found}")
            }
            Self::Chain { consumer, leaf } => {
                write!(f, "`{consumer}`: `{leaf}`: expected alone, found with the cross-certificate")
            }
            Self::Signer { consumer, role, expected, found } => {
                write!(f, "`{consumer}`: signs for `{role}`: expected with CAVersion {expected}, found with {found}")
            }
            Self::NotRestarted { consumer, expected, found } => {
                write!(f, "`{consumer}`: CSR signer at last restart: expected CAVersion {expected}, found {found}")
            }
            Self::WrongAddress { consumer, facet, expected } => {
                write!(f, "`{consumer}`: {facet}: expected `{expected}` alone, found another")
            }
            Self::LingeringKey { role, version } => {
                write!(f, "the key of `{role}` of CAVersion {version}: expected destroyed, found")
            }
            Self::MissingKey { role, version } => {
                write!(f, "the key of `{role}` of CAVersion {version}: expected, found nowhere")
            }
            Self::AddressOpen(address) => write!(f, "`{address}`: expected closed, found answering"),
            Self::AddressSilent(address) => write!(f, "`{address}`: expected answering, found silent"),
            Self::OldAccepted(Probe { verifier, slot, issued_by, .. }) => write!(
                f,
                "`{verifier}`: in `{slot:?}` a credential of CAVersion {issued_by}: expected refused, found accepted"
            ),
            Self::NewRefused(Probe { verifier, slot, issued_by, .. }) => write!(
                f,
                "`{verifier}`: in `{slot:?}` a credential of CAVersion {issued_by}: expected accepted, found refused"
            ),
            Self::NotDelivered(delivery) => write!(f, "`{delivery}`: expected handed out, found not"),
            Self::LeftBehind(consumer) => write!(f, "`{consumer}`: expected the new credentials, found left behind"),
            Self::Abandoned(consumer) => write!(f, "`{consumer}`: expected in the cluster, found given up"),
        }
    }
}

/// Compares what was found with what the last completed rotation promises: every bundle holds the new generation alone,
/// every leaf comes from it and is shown alone, it signs, every node restarted under it, no other key exists, the control
/// plane answers at its own address only, old credentials are refused by every API server and new ones accepted, and what
/// was to be handed out was.
///
/// Authorities without a part in that rotation are judged in the same way, each by its active generation. An empty list
/// means that everything was looked at and is as promised.
#[must_use]
pub fn verify_completion(machine: &Machine, facts: &CompletionFacts) -> Vec<Deviation> {
    let completed = machine.completed.as_ref().filter(|completed| !completed.rolled_back);
    let Some(completed) = completed.filter(|_| machine.rotating().is_none()) else {
        return vec![Deviation::NotCompleted];
    };
    let judge = Judge { machine, facts, roles: &completed.roles };
    let mut found = judge.consumers();
    found.extend(judge.keys());
    found.extend(judge.addresses());
    found.extend(judge.probes());
    let hands_out = |policy: &crate::policy::UnitPolicy| policy.unit == completed.unit && policy.hands_out();
    if units(machine.topology.hierarchy()).iter().any(hands_out) {
        found.extend(judge.deliveries());
    }
    found.extend(machine.released().cloned().map(Deviation::LeftBehind));
    found.extend(machine.abandoned().iter().cloned().map(Deviation::Abandoned));
    found
}

struct Judge<'a> {
    machine: &'a Machine,
    facts: &'a CompletionFacts,
    /// Of the rotation that completed.
    roles: &'a [AuthorityRole],
}

impl Judge<'_> {
    fn consumers(&self) -> Vec<Deviation> {
        let mut latest: BTreeMap<&ConsumerId, &Observation> = BTreeMap::new();
        for report in &self.facts.observations {
            let known = latest.entry(&report.consumer).or_insert(report);
            if report.id > known.id {
                *known = report;
            }
        }
        let topology = &self.machine.topology;
        let strangers = latest.keys().filter(|consumer| !topology.contains(consumer));
        let mut found: Vec<_> = strangers.map(|consumer| Deviation::Stranger((*consumer).clone())).collect();
        for (index, member) in topology.members() {
            let seen = self.machine.seen(index).map(|seen| seen.id).unwrap_or_default();
            match latest.get(&member.id).filter(|report| report.id >= seen) {
                Some(report) => found.extend(self.consumer(report)),
                // Nobody can see them; whoever was left behind is listed.
                None if member.id.kind().plane() == Plane::External => {}
                None => found.push(Deviation::NotEvaluated(Unknown::Consumer(member.id.clone()))),
            }
        }
        found
    }

    fn consumer(&self, report: &Observation) -> Vec<Deviation> {
        let consumer = &report.consumer;
        let mut found = Vec::new();
        if !report.available {
            found.push(Deviation::Away(consumer.clone()));
        }
        let uses = self.machine.topology.uses(consumer.kind());
        for (facet, track) in uses.into_iter().flat_map(|uses| &uses.facets) {
            match read_one(report, *facet, *track, &self.machine.tracks) {
                Ok(Holding::CURRENT) => {}
                Ok(held) => found.extend(self.deviation(consumer, *facet, *track, held)),
                Err(why) => found.push(Deviation::Unreadable { consumer: consumer.clone(), facet: *facet, why }),
            }
        }
        found
    }

    /// What it means that a facet holds something else than the active generation alone.
    fn deviation(&self, consumer: &ConsumerId, facet: Facet, track: Track, held: Holding) -> Option<Deviation> {
        let consumer = consumer.clone();
        let role = match track {
            Track::Authority(role) => role,
            Track::Address => {
                let expected = self.machine.address()?.clone();
                return Some(Deviation::WrongAddress { consumer, facet, expected });
            }
        };
        let authority = self.machine.tracks.authority(role)?;
        let (expected, versions) = (authority.active.version, authority.versions(held.generations())?);
        let found = versions.first();
        Some(match facet {
            Facet::Trusts(slot) => Deviation::Bundle { consumer, slot, expected, found: versions },
            Facet::Presents(leaf) if held.is_chained() => Deviation::Chain { consumer, leaf },
            Facet::Presents(leaf) => Deviation::Leaf { consumer, leaf, expected, found },
            Facet::Signs(_) => Deviation::Signer { consumer, role, expected, found },
            _ => Deviation::NotRestarted { consumer, expected, found },
        })
    }

    fn keys(&self) -> Vec<Deviation> {
        let Some(keys) = &self.facts.keys else { return vec![Deviation::NotEvaluated(Unknown::Keys)] };
        let active = |role: AuthorityRole| self.machine.authority(role).map(|record| record.version);
        let lingering = keys.iter().filter(|(role, version)| active(*role) != Some(*version));
        let lingering = lingering.map(|(role, version)| Deviation::LingeringKey { role: *role, version: *version });
        let roles = self.machine.topology.hierarchy().roles().iter();
        let missing = roles.filter_map(|role| Some((*role, active(*role)?))).filter(|key| !keys.contains(key));
        lingering.chain(missing.map(|(role, version)| Deviation::MissingKey { role, version })).collect()
    }

    fn addresses(&self) -> Vec<Deviation> {
        let Some(own) = self.machine.address() else { return Vec::new() };
        let Some(answering) = &self.facts.addresses else { return vec![Deviation::NotEvaluated(Unknown::Addresses)] };
        let open = answering.iter().filter(|address| *address != own).cloned().map(Deviation::AddressOpen);
        let silent = (!answering.contains(own)).then(|| Deviation::AddressSilent(own.clone()));
        open.chain(silent).collect()
    }

    /// Every API server must have been shown what the retired generation issued, and what the active one did, of whatever
    /// was rotated: a client certificate, a token. Whatever else was shown to anybody is judged too.
    fn probes(&self) -> Vec<Deviation> {
        let slots = [TrustSlot::ApiServerClientCa, TrustSlot::ServiceAccountKeys];
        let mut needed = BTreeSet::new();
        let consumers = self.machine.topology.consumers().map(|(consumer, _)| consumer);
        for verifier in consumers.filter(|consumer| consumer.kind() == ComponentKind::KubeApiServer) {
            for slot in slots {
                let role = self.role_of(verifier.kind(), slot).filter(|role| self.roles.contains(role));
                let generations = role.map(|role| [self.machine.previous(role), self.machine.authority(role)]);
                let generations = generations.into_iter().flatten().flatten();
                needed.extend(generations.map(|record| (verifier, slot, record.version)));
            }
        }
        let mut found = Vec::new();
        for probe in &self.facts.probes {
            needed.remove(&(&probe.verifier, probe.slot, probe.issued_by));
            let role = self.role_of(probe.verifier.kind(), probe.slot);
            let active = role.and_then(|role| self.machine.authority(role)).map(|record| record.version);
            match (active == Some(probe.issued_by), probe.accepted) {
                (true, false) => found.push(Deviation::NewRefused(probe.clone())),
                (false, true) => found.push(Deviation::OldAccepted(probe.clone())),
                _ => {}
            }
        }
        let unknown = needed.into_iter().map(|(verifier, slot, issued_by)| {
            Deviation::NotEvaluated(Unknown::Probe { verifier: verifier.clone(), slot, issued_by })
        });
        found.extend(unknown);
        found
    }

    fn role_of(&self, kind: ComponentKind, slot: TrustSlot) -> Option<AuthorityRole> {
        let uses = self.machine.topology.uses(kind)?;
        uses.facets.iter().find_map(|(facet, track)| match track {
            Track::Authority(role) if *facet == Facet::Trusts(slot) => Some(*role),
            _ => None,
        })
    }

    fn deliveries(&self) -> Vec<Deviation> {
        let Some(delivered) = &self.facts.delivered else {
            return vec![Deviation::NotEvaluated(Unknown::Deliveries)];
        };
        let missing = Delivery::ALL.into_iter().filter(|delivery| !delivered.contains(delivery));
        missing.map(Deviation::NotDelivered).collect()
    }
}
