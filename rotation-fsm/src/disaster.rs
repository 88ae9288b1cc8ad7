//! When the credentials have expired: no rotation any more, but a recovery, begun by hand and apart from the machine.
//!
//! A rotation keeps every path; here there is none left to keep. So the laws that order a rotation say nothing: everybody is
//! given the next generation and nothing else, those first on whom the others wait. What stays is evidence: a step is over
//! when everybody in it was seen to run with the next generation, and nothing of the old one.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use pki_core::{AuthorityRole, CaVersion, ComponentKind, NodeName, Path, Plane};
use time::UtcDateTime;

use crate::action::{Action, ActionKey, ConsumerTarget};
use crate::delivery::Delivery;
use crate::event::{AuthorityRecord, Event, Observation, Operator};
use crate::machine::{Authority, Completed, Machine, Phase, Seen, shares_key};
use crate::policy::{Unit, UnitPolicy, units};
use crate::rejected::{Rejected, Unreadable};
use crate::topology::{ConsumerId, PoolName, Reload};

/// The steps of a recovery, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum RecoveryStep {
    /// The next authorities exist.
    Mint,
    /// All members of etcd at once, and whoever probes them: none can talk to another, so there is no quorum to keep.
    Etcd,
    /// The API servers: nothing else can be reached without them.
    ApiServers,
    /// The rest of the control plane, the CSR signer with it.
    ControlPlane,
    /// The nodes, recreated: each bootstraps anew against the next generation. Their workloads still run, so of a pool no
    /// more are recreated at once than may be away.
    Nodes,
    /// Clients outside are given new credentials, and somebody says so.
    Clients,
    /// The keys of the old generation are destroyed.
    DestroyKeys,
}

impl RecoveryStep {
    /// Every step.
    pub const ALL: [Self; 7] =
        [Self::Mint, Self::Etcd, Self::ApiServers, Self::ControlPlane, Self::Nodes, Self::Clients, Self::DestroyKeys];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Mint => "mint",
            Self::Etcd => "etcd",
            Self::ApiServers => "api-servers",
            Self::ControlPlane => "control-plane",
            Self::Nodes => "nodes",
            Self::Clients => "clients",
            Self::DestroyKeys => "destroy-keys",
        }
    }

    /// In which step the instances of a component come back.
    #[must_use]
    pub const fn of(kind: ComponentKind) -> Self {
        match (kind, kind.plane()) {
            (ComponentKind::Etcd | ComponentKind::EtcdProbe, _) => Self::Etcd,
            (ComponentKind::KubeApiServer, _) => Self::ApiServers,
            (_, Plane::Data) => Self::Nodes,
            (_, Plane::External) => Self::Clients,
            _ => Self::ControlPlane,
        }
    }

    fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step > self)
    }
}

impl fmt::Display for RecoveryStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A path that does not work until a step of the recovery is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Down {
    /// The path.
    pub path: Path,
    /// The step after which both of its ends are back.
    pub until: RecoveryStep,
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} works again after `{}`", self.path, self.until)
    }
}

/// The recovery of a cluster whose credentials have expired.
///
/// A pure value, as the [`Machine`] is: the same machine, time and events lead to the same state, and what is to be done is
/// derived as often as one asks.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// At rest on the next generation from the mint on; before that, as it was found.
    machine: Machine,
    policies: Vec<UnitPolicy>,
    /// The generations whose keys are to be destroyed: the active one, and one that a rotation had begun.
    lost: BTreeSet<(AuthorityRole, CaVersion)>,
    /// The generations that replace them.
    next: BTreeMap<AuthorityRole, CaVersion>,
    minted: BTreeMap<AuthorityRole, AuthorityRecord>,
    destroyed: BTreeSet<(AuthorityRole, CaVersion)>,
    step: RecoveryStep,
    over: bool,
}

/// Why there is nothing to recover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryError {
    /// Nothing has expired: a rotation is what replaces these credentials. That goes for a lost key too: no step of a
    /// rotation needs the old key, but for a cross-certificate.
    NotExpired {
        /// When the first expires; keys never do.
        expiry: Option<UtcDateTime>,
    },
}

impl fmt::Display for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotExpired { expiry: Some(expiry) } => {
                write!(f, "nothing has expired before {expiry}: rotate, also when a key is lost")
            }
            Self::NotExpired { expiry: None } => f.write_str("nothing here expires: rotate, also when a key is lost"),
        }
    }
}

impl core::error::Error for RecoveryError {}

/// What happened during a recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
#[non_exhaustive]
pub enum RecoveryEvent {
    /// The next generation of an authority exists.
    AuthorityMinted {
        /// Which authority.
        role: AuthorityRole,
        /// Its next generation.
        record: AuthorityRecord,
    },
    /// A consumer was seen to run with something.
    Observed(Observation),
    /// Somebody says that a client outside has its new credentials.
    Acknowledged {
        /// Who.
        consumer: ConsumerId,
        /// Who says so.
        by: Operator,
    },
    /// A node came up anew, or a consumer that nobody knew.
    ConsumerJoined {
        /// Who.
        consumer: ConsumerId,
        /// The pool it is in, on a node.
        pool: Option<PoolName>,
        /// Its first incarnation.
        incarnation: u64,
    },
    /// A consumer is gone for good.
    ConsumerRemoved {
        /// Who.
        consumer: ConsumerId,
    },
    /// Somebody gives a consumer up.
    ConsumerAbandoned {
        /// Who.
        consumer: ConsumerId,
        /// Who says so.
        by: Operator,
        /// Why.
        reason: String,
    },
    /// The private key of a lost generation no longer exists.
    KeyDestroyed {
        /// Which authority.
        role: AuthorityRole,
        /// Which generation.
        version: CaVersion,
    },
}

/// What is to be done in a recovery: desired ends, as [`Action`]s are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoveryAction {
    /// The next generation of an authority shall exist. Find its key by label before generating one.
    EnsureAuthority {
        /// The action's name.
        key: ActionKey,
        /// Which authority.
        role: AuthorityRole,
        /// Which generation.
        version: CaVersion,
    },
    /// A consumer shall run with the next generation, and come up again for it.
    EnsureConsumer {
        /// The action's name.
        key: ActionKey,
        /// Who, and with what.
        target: ConsumerTarget,
    },
    /// A node shall be recreated and bootstrap anew, with everything on it.
    RecreateNode {
        /// The action's name.
        key: ActionKey,
        /// The node.
        node: NodeName,
        /// Its pool.
        pool: PoolName,
        /// Its kubelet, and whatever else on it is not in order.
        targets: Vec<ConsumerTarget>,
    },
    /// Somebody shall give a client outside its new credentials, and say so.
    AwaitAcknowledgement {
        /// The action's name.
        key: ActionKey,
        /// Who, and with what.
        target: ConsumerTarget,
    },
    /// The private key of a lost generation shall not exist. Absent is success.
    EnsureKeyDestroyed {
        /// The action's name.
        key: ActionKey,
        /// Which authority.
        role: AuthorityRole,
        /// Which generation.
        version: CaVersion,
    },
}

/// What an event changed in a recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Steps that ended, in order.
    pub steps_ended: Vec<RecoveryStep>,
    /// Reports that were taken as saying that their consumer runs with something wrong, and why.
    pub unreadable: Vec<(ConsumerId, Unreadable)>,
    /// The recovery is over: [`Recovery::into_machine`] gives the cluster back.
    pub completed: bool,
}

impl Recovery {
    /// Begins the recovery of every unit of which something has expired by `now`, whatever rotation was running. Nothing is
    /// done before somebody has read [`down`](Self::down), and asked for [`pending_actions`](Self::pending_actions).
    ///
    /// # Errors
    /// [`RecoveryError::NotExpired`] as long as a rotation can do it.
    pub fn begin(machine: &Machine, now: UtcDateTime) -> Result<Self, RecoveryError> {
        let all = units(machine.topology.hierarchy());
        // As with the thresholds: over when the last second begins.
        let expired = |policy: &&UnitPolicy| machine.expiry(policy).is_some_and(|expiry| expiry <= now);
        let policies: Vec<UnitPolicy> = all.iter().filter(expired).cloned().collect();
        if policies.is_empty() {
            let expiry = all.iter().filter_map(|policy| machine.expiry(policy)).min();
            return Err(RecoveryError::NotExpired { expiry });
        }
        let (mut lost, mut next) = (BTreeSet::new(), BTreeMap::new());
        for policy in &policies {
            let authorities = || policy.roles.iter().filter_map(|role| Some((*role, machine.tracks.authority(*role)?)));
            // A rotation that was rolled back may have minted a number that nobody told of.
            let known = authorities().map(|(_, authority)| authority.attempted);
            let to = known.max().unwrap_or(CaVersion::FIRST).next();
            next.extend(policy.roles.iter().map(|role| (*role, to)));
            let keys = authorities().flat_map(|(role, authority)| {
                [Some(&authority.active), authority.next.as_ref()].map(|record| Some((role, record?.version)))
            });
            lost.extend(keys.flatten());
        }
        let mut machine = machine.clone();
        machine.clock.believe(now);
        let (minted, destroyed) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { machine, policies, lost, next, minted, destroyed, step: RecoveryStep::Mint, over: false })
    }

    /// The units that are recovered.
    pub fn units(&self) -> impl Iterator<Item = Unit> {
        self.policies.iter().map(|policy| policy.unit)
    }

    /// The step that runs.
    #[must_use]
    pub const fn step(&self) -> RecoveryStep {
        self.step
    }

    /// Whether everything is done.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// What does not work now, path by path, and until which step: what to tell people before anything is begun. Static
    /// credentials of service accounts come back never: they are made anew.
    #[must_use]
    pub fn down(&self) -> Vec<Down> {
        let mut found: BTreeMap<Path, RecoveryStep> = BTreeMap::new();
        for edge in self.machine.topology.edges().iter().filter(|edge| self.next.contains_key(&edge.role)) {
            let until = RecoveryStep::of(edge.verifier).max(RecoveryStep::of(edge.presenter));
            let known = found.entry(edge.path).or_insert(until);
            *known = until.max(*known);
        }
        let down = found.into_iter().map(|(path, until)| Down { path, until });
        down.filter(|down| down.until >= self.step && !self.over).collect()
    }

    /// The consumers of the step that runs, and of those before, that are not back.
    pub fn waiting(&self) -> impl Iterator<Item = &ConsumerId> {
        self.machine.waiting().filter(|consumer| self.has_come_to(consumer.kind()))
    }

    fn has_come_to(&self, kind: ComponentKind) -> bool {
        self.step != RecoveryStep::Mint && RecoveryStep::of(kind) <= self.step
    }

    /// Everything that is to be done now.
    #[must_use]
    pub fn pending_actions(&self) -> Vec<RecoveryAction> {
        match self.step {
            _ if self.over => Vec::new(),
            RecoveryStep::Mint => {
                let open = self.next.iter().filter(|(role, _)| !self.minted.contains_key(role));
                open.map(|(role, version)| RecoveryAction::EnsureAuthority {
                    key: self.key(&format_args!("{role}/{version}")),
                    role: *role,
                    version: *version,
                })
                .collect()
            }
            _ => {
                let consumers = self.machine.pending_actions().filter_map(|action| self.of_consumer(action));
                let keys = self.lost.difference(&self.destroyed).filter(|_| self.step == RecoveryStep::DestroyKeys);
                let keys = keys.map(|(role, version)| RecoveryAction::EnsureKeyDestroyed {
                    key: self.key(&format_args!("{role}/{version}")),
                    role: *role,
                    version: *version,
                });
                consumers.chain(keys).collect()
            }
        }
    }

    /// What the machine asks for at rest, of those whose step it is.
    fn of_consumer(&self, action: Action) -> Option<RecoveryAction> {
        let target = match action {
            Action::EnsureConsumer { target, .. } => target,
            Action::RecreateNode { targets, .. } => targets.into_iter().next()?,
            _ => return None,
        };
        let (consumer, kind) = (target.consumer.clone(), target.consumer.kind());
        if !self.has_come_to(kind) {
            return None;
        }
        let key = self.key(&consumer);
        match RecoveryStep::of(kind) {
            RecoveryStep::Clients => Some(RecoveryAction::AwaitAcknowledgement { key, target }),
            RecoveryStep::Nodes => {
                let on_node = |kind| ConsumerId::new(kind, consumer.instance().clone());
                let kubelet = self.machine.waiting_target(&on_node(ComponentKind::Kubelet));
                match kubelet {
                    // It comes back with its node.
                    Some(_) if kind != ComponentKind::Kubelet => None,
                    Some(kubelet) => {
                        let others = [ComponentKind::KonnectivityAgent, ComponentKind::Pod].map(on_node);
                        let others = others.iter().filter_map(|other| self.machine.waiting_target(other));
                        let recreated = |target| ConsumerTarget { reload: Reload::Recreate, ..target };
                        let targets = [kubelet].into_iter().chain(others).map(recreated).collect();
                        let pool = self.machine.topology.pool_of(&consumer)?.clone();
                        let node = consumer.instance().clone();
                        Some(RecoveryAction::RecreateNode { key, node, pool, targets })
                    }
                    None => Some(RecoveryAction::EnsureConsumer { key, target }),
                }
            }
            _ => Some(RecoveryAction::EnsureConsumer { key, target }),
        }
    }

    fn key(&self, whom: &dyn fmt::Display) -> ActionKey {
        ActionKey(format!("{}/recovery/{}/{}/{whom}", self.machine.cluster, self.machine.epoch, self.step))
    }

    /// Applies an event that happened at `now`.
    ///
    /// # Errors
    /// [`Rejected`], and nothing has changed.
    pub fn apply(&mut self, event: &RecoveryEvent, now: UtcDateTime) -> Result<Recovered, Rejected> {
        let mut recovered = Recovered::default();
        match event {
            RecoveryEvent::AuthorityMinted { role, record } => self.mint(*role, *record, now)?,
            RecoveryEvent::KeyDestroyed { role, version } => self.destroy(*role, *version)?,
            RecoveryEvent::Acknowledged { consumer, .. } => self.acknowledge(consumer)?,
            RecoveryEvent::Observed(observation) => {
                recovered.unreadable = self.pass_on(&Event::Observed(observation.clone()), now)?;
            }
            RecoveryEvent::ConsumerJoined { consumer, pool, incarnation } => {
                let (consumer, pool, incarnation) = (consumer.clone(), pool.clone(), *incarnation);
                self.pass_on(&Event::ConsumerJoined { consumer, pool, incarnation }, now)?;
            }
            RecoveryEvent::ConsumerRemoved { consumer } => {
                self.pass_on(&Event::ConsumerRemoved { consumer: consumer.clone() }, now)?;
            }
            RecoveryEvent::ConsumerAbandoned { consumer, by, reason } => {
                let (consumer, by, reason) = (consumer.clone(), by.clone(), reason.clone());
                self.pass_on(&Event::ConsumerAbandoned { consumer, by, reason }, now)?;
            }
        }
        self.machine.clock.believe(now);
        self.settle(&mut recovered);
        Ok(recovered)
    }

    /// What the machine takes as it is, once it knows the next generation.
    fn pass_on(&mut self, event: &Event, now: UtcDateTime) -> Result<Vec<(ConsumerId, Unreadable)>, Rejected> {
        if self.step == RecoveryStep::Mint {
            return Err(Rejected::NotInStage { current: None });
        }
        self.machine.apply(event, now).map(|applied| applied.unreadable)
    }

    fn mint(&mut self, role: AuthorityRole, record: AuthorityRecord, now: UtcDateTime) -> Result<(), Rejected> {
        if self.next.get(&role) != Some(&record.version) {
            return Err(Rejected::WrongVersion { role, found: record.version });
        }
        if let Some(minted) = self.minted.get(&role) {
            // A duplicate of what is known changes nothing; another key for the same generation is an error.
            return if *minted == record { Ok(()) } else { Err(Rejected::MintedTwice { role }) };
        }
        let among = self.minted.iter().map(|(role, record)| (*role, Authority::new(*record))).collect();
        let shared = shares_key(&self.machine.tracks.authorities, &record).or_else(|| shares_key(&among, &record));
        if let Some(other) = shared {
            return Err(Rejected::SharedKey { role, other });
        }
        if let Some(not_after) = record.not_after.filter(|end| *end <= now) {
            return Err(Rejected::ShortLived { role, not_after });
        }
        self.minted.insert(role, record);
        Ok(())
    }

    fn destroy(&mut self, role: AuthorityRole, version: CaVersion) -> Result<(), Rejected> {
        if self.step != RecoveryStep::DestroyKeys {
            return Err(Rejected::NotInStage { current: None });
        }
        if !self.lost.contains(&(role, version)) {
            return Err(Rejected::WrongVersion { role, found: version });
        }
        self.destroyed.insert((role, version));
        Ok(())
    }

    /// A word counts in its step, and for nobody who can be seen.
    fn acknowledge(&mut self, consumer: &ConsumerId) -> Result<(), Rejected> {
        let index = self.machine.index_of(consumer)?;
        if consumer.kind().plane() != Plane::External {
            return Err(Rejected::Observable(consumer.clone()));
        }
        if !self.has_come_to(consumer.kind()) {
            return Err(Rejected::NotInStage { current: None });
        }
        self.machine.give(index);
        Ok(())
    }

    fn settle(&mut self, recovered: &mut Recovered) {
        while !self.over && self.is_done() {
            recovered.steps_ended.push(self.step);
            match self.step {
                RecoveryStep::Mint => self.restart(),
                RecoveryStep::DestroyKeys => self.finish(),
                _ => {}
            }
            recovered.completed = self.over;
            self.step = self.step.next().unwrap_or(self.step);
            self.machine.epoch += 1;
        }
    }

    fn is_done(&self) -> bool {
        match self.step {
            RecoveryStep::Mint => self.minted.len() == self.next.len(),
            _ if self.waiting().next().is_some() => false,
            RecoveryStep::DestroyKeys => self.destroyed == self.lost,
            _ => true,
        }
    }

    /// From here on everybody is expected to run with the next generation, and with nothing else; nobody does.
    fn restart(&mut self) {
        let machine = &mut self.machine;
        // Whoever has a part in what is lost, or in a rotation that ends here, is to be seen anew.
        let running = machine.rotating().into_iter().flat_map(|rotating| rotating.roles().to_vec());
        let roles: Vec<AuthorityRole> = self.minted.keys().copied().chain(running).collect();
        machine.phase = Phase::Stable;
        machine.abandoned.clear();
        machine.overrides = machine.overrides.frozen_only();
        machine.tracks.addresses.iter_mut().for_each(crate::machine::Addresses::give_up);
        machine.tracks.authorities.values_mut().for_each(Authority::give_up);
        for (role, record) in &self.minted {
            let old = machine.tracks.authority(*role).map(|authority| authority.active);
            let restored = Authority::restored(old, *record, None, None, record.version);
            machine.tracks.authorities.insert(*role, restored);
        }
        machine.expect_all_anew();
        let members: Vec<_> = machine.topology.members().map(|(index, member)| (index, member.id.kind())).collect();
        for (index, _) in members.into_iter().filter(|(_, kind)| machine.has_part(*kind, &roles)).collect::<Vec<_>>() {
            let id = machine.seen(index).map(|seen| seen.id).unwrap_or_default();
            machine.record(index, Seen { id, ..Seen::default() });
        }
    }

    fn finish(&mut self) {
        self.over = true;
        if self.policies.iter().any(UnitPolicy::hands_out) {
            self.machine.deliveries.extend(Delivery::ALL);
        }
        if let Some(policy) = self.policies.first() {
            let to = policy.roles.iter().find_map(|role| self.next.get(role)).copied().unwrap_or(CaVersion::FIRST);
            let (unit, roles, at) = (policy.unit, policy.roles.clone(), self.machine.clock.now());
            self.machine.completed = Some(Completed { unit, roles, to, at, rolled_back: false });
        }
    }

    /// The cluster, at rest on the next generation.
    ///
    /// # Errors
    /// The recovery itself while it is not [over](Self::is_over).
    #[expect(clippy::result_large_err, reason = "the error is the recovery that goes on")]
    pub fn into_machine(self) -> Result<Machine, Self> {
        if self.over { Ok(self.machine) } else { Err(self) }
    }
}
