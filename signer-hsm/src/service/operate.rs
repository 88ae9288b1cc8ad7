//! What changes who signs: a switch to another generation, and the end of one. Called in the process or asked by an operator.

use std::sync::{Arc, PoisonError};

use pki_core::{AuthorityRole, CaVersion, ClusterId};
use time::UtcDateTime;

use super::epoch::{CurrentSigner, SignerEpoch};
use super::issue::{bound_digest, log_refusal, origin, rate_limited};
use super::log::Entry;
use super::owners::Owner;
use super::protocol::{Ask, Outcome, Refusal, Request};
use super::{CallerId, Cluster, Current, Generation, IssuingService, ServiceError, locked, read};

/// One order: about which generation of which authority, and in which epoch.
struct Order<'o> {
    cluster: &'o ClusterId,
    role: AuthorityRole,
    epoch: SignerEpoch,
    version: CaVersion,
    /// Who gave it, and the key that the generation must have, where it came as a message.
    by: Option<(&'o CallerId, &'o Request, [u8; 20])>,
}

impl Order<'_> {
    /// Whether this is the key that the order means.
    fn means(&self, key: &[u8; 20]) -> bool {
        self.by.is_none_or(|(.., expected)| expected == *key)
    }

    fn owner(&self) -> Owner {
        let (cluster, role) = (self.cluster.to_string(), self.role.id().to_owned());
        Owner { cluster, role, version: self.version.number() }
    }

    const fn unknown(&self) -> ServiceError {
        ServiceError::UnknownGeneration { role: self.role, version: Some(self.version) }
    }

    const fn stale(&self, expected: SignerEpoch) -> ServiceError {
        ServiceError::StaleEpoch { expected, found: self.epoch }
    }

    /// What came of it, and before it whose order it was.
    fn entries(&self, now: UtcDateTime, done: Entry) -> Vec<Entry> {
        let ordered = self.by.map(|(caller, request, _)| {
            let of = origin(caller, request, bound_digest(request), now);
            Entry::Ordered { of }
        });
        ordered.into_iter().chain([done]).collect()
    }
}

impl IssuingService {
    /// Lets another generation sign from here on, in one step: when it returns, the disk has it, no key of the generation
    /// before is asked any more, and whatever names an epoch before is refused.
    ///
    /// It is a compare-and-swap: it follows exactly the epoch that is named. The same switch again, while nothing has followed it,
    /// changes nothing and says the same.
    ///
    /// It waits for the certificates that this authority makes, and so for their signatures: a backend needs a deadline of its
    /// own. Other authorities issue meanwhile.
    ///
    /// # Errors
    /// [`ServiceError::StaleEpoch`] when somebody else has switched since `follows`; [`ServiceError::Retired`];
    /// [`ServiceError::UnknownGeneration`]; [`ServiceError::Log`], after which nothing is switched, unless the log has failed:
    /// then the service issues nothing until it is opened again, and what the log says holds.
    pub fn switch(
        &self,
        cluster: &ClusterId,
        role: AuthorityRole,
        follows: SignerEpoch,
        to: CaVersion,
    ) -> Result<CurrentSigner, ServiceError> {
        let current = self.switch_by(&Order { cluster, role, epoch: follows, version: to, by: None })?;
        Ok(current.told())
    }

    /// Ends a generation that does not sign: nothing switches to it any more, and none of its version is installed, also after a
    /// restart. There is no way back from it. When it returns, the disk has it, and the service has let go of the key: it is
    /// gone from memory unless the embedder holds the signer, too. Destroying a stored key is the embedder's. Whose the key is
    /// stays known. The same again changes nothing. It waits as a [`switch`](Self::switch) does. Says who signs now.
    ///
    /// # Errors
    /// [`ServiceError::Signing`] for the one that signs; [`ServiceError::StaleEpoch`] when `epoch` is not the current one;
    /// [`ServiceError::UnknownGeneration`] for one that was neither installed nor named by the log;
    /// [`ServiceError::Log`], as for [`switch`](Self::switch).
    pub fn retire(
        &self,
        cluster: &ClusterId,
        role: AuthorityRole,
        epoch: SignerEpoch,
        version: CaVersion,
    ) -> Result<CurrentSigner, ServiceError> {
        let current = self.retire_by(&Order { cluster, role, epoch, version, by: None })?;
        Ok(current.told())
    }

    fn switch_by(&self, order: &Order<'_>) -> Result<Current, ServiceError> {
        let authority = self.authority(order.cluster, order.role)?;
        // Whoever holds it is the only one who changes who signs.
        let _changing = locked(&authority.changing);
        let signing = read(&authority.current).clone();
        let signing = signing.ok_or(ServiceError::UnknownGeneration { role: order.role, version: None })?;
        let next = order.epoch.next().ok_or(ServiceError::LastEpoch)?;
        let is_done = signing.epoch == next && signing.generation.version == order.version;
        if is_done && order.means(&signing.generation.key()) {
            return Ok(signing);
        }
        if signing.epoch != order.epoch {
            return Err(order.stale(signing.epoch));
        }
        if locked(&self.owners).is_retired(&order.owner()) {
            return Err(ServiceError::Retired { role: order.role, version: order.version });
        }
        let generation = read(&authority.generations).get(&order.version).map(Arc::clone);
        let generation =
            generation.filter(|generation| order.means(&generation.key())).ok_or_else(|| order.unknown())?;
        let mut current = authority.current.write().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let named = signer_entry(now, order.cluster, order.role, next, &generation);
        self.log.append_synced(&order.entries(now, named))?;
        Ok(current.insert(Current { epoch: next, generation }).clone())
    }

    fn retire_by(&self, order: &Order<'_>) -> Result<Current, ServiceError> {
        let authority = self.authority(order.cluster, order.role)?;
        let _changing = locked(&authority.changing);
        let signing = read(&authority.current).clone();
        let signing = signing.ok_or(ServiceError::UnknownGeneration { role: order.role, version: None })?;
        let owner = order.owner();
        let (key, is_retired) = {
            let owners = locked(&self.owners);
            (owners.key_of(&owner).filter(|key| order.means(key)), owners.is_retired(&owner))
        };
        let key = key.ok_or_else(|| order.unknown())?;
        if is_retired {
            return Ok(signing);
        }
        if signing.epoch != order.epoch {
            return Err(order.stale(signing.epoch));
        }
        if signing.generation.version == order.version {
            return Err(ServiceError::Signing { role: order.role, version: order.version });
        }
        // In the order of the log, beside certificates that are written meanwhile: those wait.
        let _current = authority.current.write().unwrap_or_else(PoisonError::into_inner);
        let (now, Owner { cluster, role, version }) = (self.clock.now(), owner.clone());
        let retired = Entry::Retired { time: now.unix_timestamp(), cluster, role, epoch: order.epoch, version, key };
        self.log.append_synced(&order.entries(now, retired))?;
        locked(&self.owners).retire(owner);
        authority.generations.write().unwrap_or_else(PoisonError::into_inner).remove(&order.version);
        Ok(signing)
    }

    /// Carries out the order of an operator of this cluster, or writes why not. It has a rate of its own, so that no caller who
    /// floods the service keeps an operator from fencing him off.
    pub(super) fn operate(
        &self,
        caller: &CallerId,
        cluster: &Cluster,
        role: AuthorityRole,
        request: &Request,
    ) -> Outcome {
        if let Err(wait) = cluster.operations.take(self.clock.monotonic()) {
            return Outcome::Refused(rate_limited(wait));
        }
        let order = |version, key| {
            let (cluster, epoch) = (&cluster.config.id, request.epoch);
            Order { cluster, role, epoch, version, by: Some((caller, request, key)) }
        };
        let done = match &request.ask {
            Ask::Switch(to) => self.switch_by(&order(to.version, to.key)),
            Ask::Retire(which) => self.retire_by(&order(which.version, which.key)),
            _ => Err(ServiceError::UnknownGeneration { role, version: None }),
        };
        let refusal = match done {
            Ok(current) => return authority_outcome(&current),
            Err(ServiceError::Log(error)) => return Outcome::Refused(log_refusal(&error)),
            Err(ServiceError::StaleEpoch { expected, found }) => Refusal::StaleEpoch { expected, found },
            Err(ServiceError::UnknownGeneration { version: Some(_), .. }) => Refusal::UnknownGeneration,
            Err(ServiceError::Retired { .. }) => Refusal::Retired,
            Err(ServiceError::Signing { .. }) => Refusal::Signing,
            Err(ServiceError::LastEpoch) => Refusal::Unable { code: "service.last_epoch".to_owned() },
            Err(_) => Refusal::UnknownAuthority,
        };
        let refused = self.refuse_run(caller, core::slice::from_ref(request), &refusal, &[]);
        refused.into_iter().next().unwrap_or(Outcome::Refused(refusal))
    }
}

/// Who signs, as an answer.
pub(super) fn authority_outcome(current: &Current) -> Outcome {
    let certificate = current.generation.certificate().der().to_vec();
    Outcome::Authority { epoch: current.epoch, version: current.generation.version.number(), certificate }
}

/// That a generation signs from here on.
pub(super) fn signer_entry(
    now: UtcDateTime,
    cluster: &ClusterId,
    role: AuthorityRole,
    epoch: SignerEpoch,
    generation: &Generation,
) -> Entry {
    Entry::Signer {
        time: now.unix_timestamp(),
        cluster: cluster.to_string(),
        role: role.id().to_owned(),
        epoch,
        version: generation.version.number(),
        key: generation.key(),
    }
}
