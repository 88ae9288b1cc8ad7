//! What happened: the only input of the machine besides the time.

use pki_core::{AuthorityId, AuthorityRole, BundleHash, CaVersion, Fingerprint, LeafKind, TrustSlot};
use time::UtcDateTime;

use crate::delivery::{ClusterVersion, Delivery};
use crate::maintenance::{Calendar, StepKind};
use crate::plan::StageId;
use crate::policy::Unit;
use crate::topology::{Address, ConsumerId, PoolName};

/// One generation of an authority, as the machine knows it: no key, no certificate, only which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct AuthorityRecord {
    /// Its generation.
    pub version: CaVersion,
    /// Its key.
    pub id: AuthorityId,
    /// Its anchor in bundles: the fingerprint of the certificate, or of the public key in a key set.
    pub anchor: Fingerprint,
    /// The last second of its certificate; a key set has none.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::instant::option"))]
    pub not_after: Option<UtcDateTime>,
}

impl AuthorityRecord {
    /// Certificates have no fractions of a second (RFC 5280 4.1.2.5), so nothing that is kept has.
    pub(crate) fn in_whole_seconds(self) -> Self {
        Self { not_after: self.not_after.map(UtcDateTime::truncate_to_second), ..self }
    }
}

/// The order of a consumer's reports: by incarnation first, since a node that is recreated under its old name
/// has no counter to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct ReportId {
    /// Grows whenever the consumer comes up without memory of its counter, such as the time of its creation.
    pub incarnation: u64,
    /// Counts up with every report of one incarnation, from one.
    pub sequence: u64,
}

/// A leaf that a consumer presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct PresentedLeaf {
    /// Which leaf.
    pub leaf: LeafKind,
    /// The authority that issued it.
    pub issuer: AuthorityId,
    /// The authority that signed the cross-certificate that is presented with it, if one is.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub through: Option<AuthorityId>,
}

impl PresentedLeaf {
    /// A leaf that is presented alone.
    #[must_use]
    pub const fn alone(leaf: LeafKind, issuer: AuthorityId) -> Self {
        Self { leaf, issuer, through: None }
    }
}

/// An address on which an API server answers, and what it shows there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct ServedAddress {
    /// The address.
    pub address: Address,
    /// The issuer of the serving certificate that clients get there.
    pub issuer: AuthorityId,
}

/// What one consumer runs with: what it has loaded, not what was written for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Observation {
    /// Who.
    pub consumer: ConsumerId,
    /// Which report this is. One that is not later than the last is stale.
    pub id: ReportId,
    /// Whether it is there: whether new connections to it, and from it, have succeeded since it loaded what it reports.
    /// Of an etcd member that is a new connection to and from every other member, never its health endpoint, which
    /// stays green on old connections.
    pub available: bool,
    /// The highest [epoch](crate::ConsumerTarget::epoch) of which it was given something, zero if it was given nothing. On
    /// the way back this tells what it says now from what it said before it could have heard of that.
    #[cfg_attr(feature = "serde", serde(default))]
    pub epoch: u64,
    /// Every bundle it has loaded, by content.
    pub bundles: Vec<(TrustSlot, BundleHash)>,
    /// Every leaf it presents.
    pub leaves: Vec<PresentedLeaf>,
    /// The key with which it signs, where it signs.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub signs_with: Option<AuthorityId>,
    /// For a kubelet: who was CSR signer when its node last restarted.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub csr_signer_at_restart: Option<AuthorityId>,
    /// For an API server, where addresses are followed: where it answers.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub serves: Vec<ServedAddress>,
    /// For an API server, where addresses are followed: where the `kubernetes` Service leads as it has published it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub service: Option<Address>,
    /// For a client of the API server, where addresses are followed: which one it dials.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub dials: Option<Address>,
}

impl Observation {
    /// A report of a consumer that is available, with nothing in it yet.
    #[must_use]
    pub const fn new(consumer: ConsumerId, id: ReportId) -> Self {
        Self {
            consumer,
            id,
            available: true,
            epoch: 0,
            bundles: Vec::new(),
            leaves: Vec::new(),
            signs_with: None,
            csr_signer_at_restart: None,
            serves: Vec::new(),
            service: None,
            dials: None,
        }
    }
}

/// The certificate of a next generation that the one it replaces has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct CrossRecord {
    /// The generation that is certified.
    pub version: CaVersion,
    /// The generation that signed.
    pub by: CaVersion,
    /// Its first second: no later than that of any leaf that is shown with it.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::instant"))]
    pub not_before: UtcDateTime,
    /// Its last second: no later than that of the root that signed.
    #[cfg_attr(feature = "serde", serde(with = "crate::journal::instant"))]
    pub not_after: UtcDateTime,
}

impl CrossRecord {
    pub(crate) fn in_whole_seconds(self) -> Self {
        let (not_before, not_after) = (self.not_before.truncate_to_second(), self.not_after.truncate_to_second());
        Self { not_before, not_after, ..self }
    }
}

/// Who asked for something, or says so, for the record.
pub type Operator = String;

/// What happened, in the past tense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
#[non_exhaustive]
pub enum Event {
    /// A user asked to rotate a unit: GKE's `StartCredentialRotation`, `gkectl … rotate`. Where commands [override the
    /// calendar](crate::Settings::commands_override), the control plane's own stages up to the completion wait for no
    /// window.
    RotationRequested {
        /// Which.
        unit: Unit,
    },
    /// The keys of a unit are suspected to be in somebody else's hands, and are to be replaced whatever it costs.
    ///
    /// While the unit is rotated the rotation becomes the emergency: it goes on, where the keys that it replaces are
    /// suspect, or turns back, where the next ones are and it can. It waits for no window, no word that it may complete and
    /// nobody outside any longer. Of another unit, or where what runs leads to the suspect keys and cannot be turned, what
    /// runs must end first.
    EmergencyDeclared {
        /// Which.
        unit: Unit,
        /// The generation whose keys are suspect.
        suspect: CaVersion,
        /// Who says so.
        by: Operator,
    },
    /// A user asked to complete the rotation that is running: GKE's `CompleteCredentialRotation`. Where commands [override
    /// the calendar](crate::Settings::commands_override), the stages of the control plane that are left wait for no
    /// window.
    CompletionRequested {
        /// Of which unit.
        unit: Unit,
    },
    /// A user upgrades a pool, to the very version that it runs for all that matters here: a manual change, which
    /// overrides maintenance blockers for this pool. GKE's `UpgradeNodes`.
    PoolUpgradeRequested {
        /// Which pool.
        pool: PoolName,
    },
    /// A user has one kind of step done whatever the calendar says, until the rotation is over. While none is running, only
    /// the start can be ordered, which holds until one begins.
    MaintenanceOverridden {
        /// Which kind.
        step: StepKind,
        /// Who.
        by: Operator,
    },
    /// The calendar of maintenance windows and exclusions changed.
    CalendarChanged {
        /// The calendar.
        calendar: Calendar,
    },
    /// Somebody froze the automatic recreation of nodes, everywhere at once, or ended that.
    FreezeChanged {
        /// Whether nodes are left alone now.
        frozen: bool,
    },
    /// A user asked that nothing new be begun.
    PauseRequested {
        /// Who.
        by: Operator,
    },
    /// A user asked to go on.
    ResumeRequested {
        /// Who.
        by: Operator,
    },
    /// A user asked for the way back.
    RollbackRequested {
        /// Who.
        by: Operator,
    },
    /// The clock was read. It may begin an automatic rotation, or attempt to complete one; it authorises no removal.
    Tick,
    /// Somebody vouches for the clock after it jumped: the time of this event is right, be it before what was believed.
    ClockConfirmed {
        /// Who.
        by: Operator,
    },
    /// An authority's next generation exists.
    AuthorityMinted {
        /// Which authority.
        role: AuthorityRole,
        /// Its next generation.
        record: AuthorityRecord,
    },
    /// An authority's next generation is also certified by the one it replaces.
    CrossSigned {
        /// Which authority.
        role: AuthorityRole,
        /// The certificate.
        record: CrossRecord,
    },
    /// The control plane was given a second address. Nobody serves there yet.
    AddressAllocated {
        /// The address.
        address: Address,
    },
    /// A consumer was seen to run with something.
    Observed(Observation),
    /// Whoever carries actions out is about to take a consumer down. Accepted, it is that one's turn, and no other of
    /// its kind is taken down until it was seen again.
    TakenDown {
        /// Who: nobody outside of the cluster.
        consumer: ConsumerId,
        /// Its last report before: what it said until then no longer counts. No more than 2^20 reports later than the last
        /// one of its incarnation that was applied.
        after: ReportId,
    },
    /// Somebody says that an unobservable consumer has taken up what a stage asks of it.
    Acknowledged {
        /// Who.
        consumer: ConsumerId,
        /// The unit whose rotation asked.
        unit: Unit,
        /// The CAVersion that it leads to.
        to: CaVersion,
        /// The stage that asked.
        stage: StageId,
        /// Who says so.
        by: Operator,
    },
    /// A node pool was added to the cluster.
    PoolAdded {
        /// Which.
        pool: PoolName,
        /// How many of its nodes may be away at once.
        max_unavailable: u32,
    },
    /// A consumer joined the cluster.
    ConsumerJoined {
        /// Who.
        consumer: ConsumerId,
        /// The pool it is in, on a node.
        pool: Option<PoolName>,
        /// Its first incarnation. Reports of earlier ones under the same name no longer count.
        incarnation: u64,
    },
    /// A consumer left the cluster for good: seen, not assumed.
    ConsumerRemoved {
        /// Who.
        consumer: ConsumerId,
    },
    /// Somebody gives a consumer up that does not answer. It is sacrificed: should it come back, it joins anew.
    ConsumerAbandoned {
        /// Who.
        consumer: ConsumerId,
        /// Who says so.
        by: Operator,
        /// Why.
        reason: String,
    },
    /// The private key of a retired generation no longer exists.
    KeyDestroyed {
        /// Which authority.
        role: AuthorityRole,
        /// Which generation.
        version: CaVersion,
    },
    /// What is to be handed out after a rotation was handed out.
    Delivered {
        /// What.
        delivery: Delivery,
        /// Of which generation of the cluster's CA it speaks, as the action has it.
        version: CaVersion,
    },
    /// The cluster was upgraded, so its leaves are renewed within ten hours.
    ClusterUpgraded {
        /// To which version.
        version: ClusterVersion,
    },
    /// The leaves were renewed after an upgrade.
    LeavesRenewed {
        /// To which version that was.
        version: ClusterVersion,
    },
}
