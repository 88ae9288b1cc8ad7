//! From requests to outcomes: what is asked of each request, in which order it is written, signed and answered.

use core::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pki_core::kubernetes::{Refused, Requestor, SignerName, SigningRequest, Usages};
use pki_core::verify::Verifiers;
use pki_core::{
    Approval, AuthorityRole, CertificationRequest, IssueError, LeafKind, Limits, NodeName, PreparedIssuance,
    RequestError, Serial, SignErrorKind, UnusedExtensions, spread,
};
use time::{Duration, UtcDateTime};

use super::index::{self, Key, Lookup};
use super::limits::TokenBucket;
use super::log::{Entry, LogError, Origin, digest};
use super::operate::authority_outcome;
use super::policy::{ClusterPolicy, LeafRule, SignerRule, node_of};
use super::protocol::{Ask, LeafAsk, Outcome, Refusal, Request, Response, SignerAsk, TEXT_LEN_MAX, cut};
use super::{CallerId, Cluster, Current, Generation, IssuingService, locked, read};

/// Fewer are not worth a thread, which takes as long to begin as a request to verify.
const ITEMS_PER_THREAD: usize = 4;

/// Where the digest of a request begins: behind its number and its identifier.
const BOUND_FROM: usize = 24;

/// What a caller needs a right for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Look,
    Issue,
    Order,
}

impl Kind {
    const fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Current => Self::Look,
            Ask::Leaf(_) | Ask::Signer(_) => Self::Issue,
            Ask::Switch(_) | Ask::Retire(_) => Self::Order,
        }
    }
}

/// One request of a run, and how far it is.
struct Item<'g> {
    of: Origin,
    key: Option<Key>,
    step: Step<'g>,
}

/// Threads out of those that all connections share.
struct Helpers<'s> {
    free: &'s AtomicUsize,
    taken: usize,
}

impl<'s> Helpers<'s> {
    /// As many as are wanted, or as there are.
    fn take(free: &'s AtomicUsize, wanted: usize) -> Self {
        let left = |there: usize| Some(there.saturating_sub(wanted));
        let there = free.fetch_update(Ordering::AcqRel, Ordering::Acquire, left).unwrap_or_default();
        Self { free, taken: there.min(wanted) }
    }
}

impl Drop for Helpers<'_> {
    fn drop(&mut self) {
        self.free.fetch_add(self.taken, Ordering::AcqRel);
    }
}

/// The requests of a run that got nothing may be made again, also when a backend has panicked, or a source of serials.
struct InProgress<'c> {
    cluster: &'c Cluster,
    keys: Vec<Key>,
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        let mut index = locked(&self.cluster.index);
        self.keys.iter().for_each(|key| index.release(key));
    }
}

enum Step<'g> {
    /// New, and to be prepared.
    Asked(&'g Ask),
    Prepared(Box<PreparedIssuance<'g>>),
    Issued(Vec<u8>),
    /// To be written, then answered.
    Refuse(Refusal),
    Done(Outcome),
}

impl Item<'_> {
    fn refusal_entry(&self) -> Option<Entry> {
        let Step::Refuse(refusal) = &self.step else { return None };
        let (code, text) = (refusal.code().to_owned(), cut(&refusal.to_string(), TEXT_LEN_MAX).to_owned());
        Some(Entry::Refused { of: self.of.clone(), code, text })
    }
}

impl IssuingService {
    /// Answers the requests of one caller, in order.
    ///
    /// Every outcome that is a certificate, an order carried out or a refusal of a request stands in the log when this returns.
    /// What is turned away by a rate, such as that of the cluster's requests or that of its refusals, or since the log itself
    /// fails, does not.
    #[must_use]
    pub fn answer(&self, caller: &CallerId, requests: &[Request]) -> Vec<Response> {
        let mut responses = Vec::with_capacity(requests.len());
        let is_of_one_run = |one: &Request, next: &Request| {
            let (kind, next_kind) = (Kind::of(&one.ask), Kind::of(&next.ask));
            one.cluster == next.cluster && one.role == next.role && kind == next_kind && kind != Kind::Order
        };
        for run in requests.chunk_by(is_of_one_run) {
            let outcomes = self.answer_run(caller, run);
            responses.extend(run.iter().zip(outcomes).map(|(request, outcome)| Response {
                sequence: request.sequence,
                id: request.id,
                outcome,
            }));
        }
        responses
    }

    /// Answers requests of one kind to one authority; a single one, if it is an order.
    fn answer_run(&self, caller: &CallerId, run: &[Request]) -> Vec<Outcome> {
        let Some(first) = run.first() else { return Vec::new() };
        let (cluster, role, kind) = (&*first.cluster, &*first.role, Kind::of(&first.ask));
        let cluster = cluster.parse().ok().and_then(|cluster| self.cluster(&cluster).ok());
        let cluster = cluster.filter(|cluster| cluster.config.knows(caller));
        let Some(cluster) = cluster else {
            return self.refuse_run(caller, run, &Refusal::ClusterDenied, &[&self.strays]);
        };
        let (is_caller, is_operator) =
            (cluster.config.callers.contains(caller), cluster.config.operators.contains(caller));
        // Neither uses up what the other one has.
        let as_operator = is_operator && !(is_caller && kind == Kind::Issue);
        let rates: &[_] = if as_operator { &[&cluster.operations] } else { &[&cluster.bucket, &cluster.refusals] };
        let is_allowed = match kind {
            Kind::Look => is_caller || is_operator,
            Kind::Issue => is_caller,
            Kind::Order => is_operator,
        };
        if !is_allowed {
            return self.refuse_run(caller, run, &Refusal::RoleDenied, rates);
        }
        let role = AuthorityRole::ALL.into_iter().find(|known| known.id() == role);
        let authority = role.and_then(|role| Some((role, read(&cluster.authorities).get(&role).cloned()?)));
        let Some((role, authority)) = authority else {
            return self.refuse_run(caller, run, &Refusal::UnknownAuthority, rates);
        };
        if kind == Kind::Order {
            return vec![self.operate(caller, &cluster, role, first)];
        }

        // Held until every certificate of the run is written: a switch comes before or after it.
        let guard = read(&authority.current);
        let Some(current) = &*guard else {
            return self.refuse_run(caller, run, &Refusal::UnknownAuthority, rates);
        };
        // Behind a switch that was waited for, so that the times of the log are in its order.
        let now = self.clock.now();
        let mut in_progress = InProgress { cluster: &cluster, keys: Vec::new() };
        let bucket = if as_operator { &cluster.operations } else { &cluster.bucket };
        let begin = |request| self.begin(caller, bucket, &mut in_progress, current, request, now);
        let items: Vec<_> = run.iter().map(begin).collect();
        let prepare = |ask| match self.prepare(&cluster.config.policy, &current.generation, ask, now) {
            Ok(prepared) => Step::Prepared(Box::new(prepared)),
            Err(refusal) => Step::Refuse(refusal),
        };
        let mut items = self.spread(items, |step| match step {
            Step::Asked(ask) => prepare(ask),
            step => step,
        });
        for item in items.iter_mut().filter(|item| matches!(item.step, Step::Refuse(_))) {
            if let Err(wait) = cluster.refusals.take(self.clock.monotonic()) {
                item.step = Step::Done(Outcome::Refused(rate_limited(wait)));
            }
        }
        self.write(&cluster, &mut items, |item| match &item.step {
            Step::Prepared(prepared) => {
                let record = prepared.record();
                let tbs_sha256 = *record.tbs_sha256.as_bytes();
                Some(Entry::Prepared { of: item.of.clone(), tbs_sha256, record: record.to_string() })
            }
            _ => item.refusal_entry(),
        });
        // A backend that did not answer for one is not waited for by all the others: a switch waits for the whole run.
        let down = Mutex::new(None);
        let sign = |prepared| {
            let is_down = *locked(&down);
            if let Some(kind) = is_down {
                return Step::Refuse(Refusal::Signer(kind));
            }
            let step = self.sign(&current.generation, prepared);
            if let Step::Refuse(Refusal::Signer(kind @ (SignErrorKind::TimedOut | SignErrorKind::Unavailable))) = &step
            {
                *locked(&down) = Some(*kind);
            }
            step
        };
        let mut items = self.spread(items, |step| match step {
            Step::Prepared(prepared) => sign(*prepared),
            // It is written by now.
            Step::Refuse(refusal) => Step::Done(Outcome::Refused(refusal)),
            step => step,
        });
        self.write(&cluster, &mut items, |item| match &item.step {
            Step::Issued(certificate) => Some(Entry::Issued { of: item.of.clone(), certificate: certificate.clone() }),
            _ => item.refusal_entry(),
        });
        items
            .into_iter()
            .map(|item| match item.step {
                Step::Issued(certificate) => Outcome::Certificate(certificate),
                Step::Refuse(refusal) => Outcome::Refused(refusal),
                Step::Done(outcome) => outcome,
                Step::Asked(_) | Step::Prepared(_) => Outcome::Refused(Refusal::LogUnavailable),
            })
            .collect()
    }

    /// Takes each item a step further, on several threads if there are enough to be worth it.
    fn spread<'g>(&self, items: Vec<Item<'g>>, further: impl Fn(Step<'g>) -> Step<'g> + Sync) -> Vec<Item<'g>> {
        let helpers = Helpers::take(&self.helpers, (items.len() / ITEMS_PER_THREAD).saturating_sub(1));
        let threads = NonZeroUsize::MIN.saturating_add(helpers.taken);
        spread(threads, items, |Item { of, key, step }| Item { of, key, step: further(step) })
    }

    /// Writes what there is to write of these items, together. What is not written is not answered.
    fn write<'g>(&self, cluster: &Cluster, items: &mut [Item<'g>], entry: impl Fn(&Item<'g>) -> Option<Entry>) {
        let written: Vec<_> = items.iter().enumerate().filter_map(|(at, item)| Some((at, entry(item)?))).collect();
        let (places, entries): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        match self.log.append(&entries) {
            Ok(positions) => {
                let mut index = locked(&cluster.index);
                for (place, position) in places.into_iter().zip(positions) {
                    if let Some(Item { step: Step::Issued(_), key: Some(key), of }) = items.get(place) {
                        index.remember(*key, of.digest, position);
                    }
                }
            }
            Err(error) => {
                let refusal = log_refusal(&error);
                for place in places {
                    if let Some(item) = items.get_mut(place) {
                        item.step = Step::Done(Outcome::Refused(refusal.clone()));
                    }
                }
            }
        }
    }

    /// Refuses requests that reach no authority. So many of them are written and answered as come at these rates.
    pub(super) fn refuse_run(
        &self,
        caller: &CallerId,
        run: &[Request],
        refusal: &Refusal,
        rates: &[&TokenBucket],
    ) -> Vec<Outcome> {
        let (code, text, now) = (refusal.code().to_owned(), refusal.to_string(), self.clock.now());
        let one = |request: &Request| {
            if let Err(wait) = rates.iter().try_for_each(|rate| rate.take(self.clock.monotonic())) {
                return Outcome::Refused(rate_limited(wait));
            }
            let of = origin(caller, request, bound_digest(request), now);
            let entry = Entry::Refused { of, code: code.clone(), text: text.clone() };
            Outcome::Refused(match self.log.append(&[entry]) {
                Ok(_) => refusal.clone(),
                Err(error) => log_refusal(&error),
            })
        };
        run.iter().map(one).collect()
    }

    /// Everything that is asked of a request before its certificate is written down.
    fn begin<'g>(
        &self,
        caller: &CallerId,
        bucket: &TokenBucket,
        in_progress: &mut InProgress<'_>,
        current: &'g Current,
        request: &'g Request,
        now: UtcDateTime,
    ) -> Item<'g> {
        let (digest, cluster) = (bound_digest(request), in_progress.cluster);
        let item = |key, step| Item { of: origin(caller, request, digest, now), key, step };
        if let Err(wait) = bucket.take(self.clock.monotonic()) {
            return item(None, Step::Done(Outcome::Refused(rate_limited(wait))));
        }
        if request.ask == Ask::Current {
            return item(None, Step::Done(authority_outcome(current)));
        }
        if request.epoch != current.epoch {
            let (expected, found) = (current.epoch, request.epoch);
            return item(None, Step::Refuse(Refusal::StaleEpoch { expected, found }));
        }
        let key = index::key(caller.as_str(), request.id);
        let looked_up = locked(&cluster.index).begin(key, &digest);
        match looked_up {
            Lookup::New => in_progress.keys.push(key),
            Lookup::InProgress => return item(None, Step::Refuse(Refusal::InProgress)),
            Lookup::Reused => return item(None, Step::Refuse(Refusal::RequestIdReused)),
            Lookup::Issued(position) => {
                let outcome = match self.log.read(position) {
                    Ok(Entry::Issued { of, certificate }) if of.request == request.id && of.digest == digest => {
                        Outcome::Certificate(certificate)
                    }
                    _ => Outcome::Refused(Refusal::LogUnavailable),
                };
                return item(None, Step::Done(outcome));
            }
        }
        item(Some(key), Step::Asked(&request.ask))
    }

    fn prepare<'g>(
        &self,
        policy: &ClusterPolicy,
        generation: &'g Generation,
        ask: &Ask,
        now: UtcDateTime,
    ) -> Result<PreparedIssuance<'g>, Refusal> {
        let serial = || (self.config.serials)().map_err(|_| Refusal::Unable { code: "service.entropy".to_owned() });
        match ask {
            Ask::Leaf(ask) => {
                let leaf = LeafKind::ALL.into_iter().find(|leaf| leaf.id() == ask.profile);
                let rule = leaf.and_then(|leaf| Some((leaf, policy.leaves.get(&leaf)?)));
                let (leaf, rule) = rule.ok_or(Refusal::UnknownProfile)?;
                prepare_leaf(generation, leaf, rule, ask, serial()?, self.config.verifiers, now)
            }
            Ask::Signer(ask) => {
                let rule = ask.signer.parse::<SignerName>().ok().and_then(|signer| policy.signers.get(&signer));
                let rule = rule.ok_or(Refusal::UnknownProfile)?;
                prepare_for_signer(generation, rule, ask, serial()?, self.config.verifiers, now)
            }
            Ask::Current | Ask::Switch(_) | Ask::Retire(_) => Err(Refusal::UnknownProfile),
        }
    }

    fn sign<'g>(&self, generation: &Generation, prepared: PreparedIssuance<'_>) -> Step<'g> {
        match prepared.sign_with(&*generation.signer, self.config.verifiers, self.config.self_check) {
            Ok(certificate) => Step::Issued(certificate.der().to_vec()),
            Err(IssueError::Sign(error)) => Step::Refuse(Refusal::Signer(error.kind())),
            Err(IssueError::BadSignature(_)) => Step::Refuse(Refusal::Signer(SignErrorKind::Other)),
            Err(error) => Step::Refuse(Refusal::Unable { code: error.code().to_owned() }),
        }
    }
}

pub(super) fn origin(caller: &CallerId, request: &Request, digest: [u8; 32], now: UtcDateTime) -> Origin {
    Origin {
        time: now.unix_timestamp(),
        caller: caller.as_str().to_owned(),
        cluster: request.cluster.clone(),
        role: request.role.clone(),
        epoch: request.epoch,
        request: request.id,
        digest,
    }
}

/// Over everything that makes two requests different: cluster, role, epoch and what is asked.
pub(super) fn bound_digest(request: &Request) -> [u8; 32] {
    digest(request.encode().get(BOUND_FROM..).unwrap_or_default())
}

pub(super) fn rate_limited(wait: core::time::Duration) -> Refusal {
    Refusal::RateLimited { retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1) }
}

pub(super) fn log_refusal(error: &LogError) -> Refusal {
    match error {
        LogError::Full(_) => Refusal::LogFull,
        _ => Refusal::LogUnavailable,
    }
}

fn off_policy(code: &str, text: impl ToString) -> Refusal {
    Refusal::OffPolicy { code: code.to_owned(), text: cut(&text.to_string(), TEXT_LEN_MAX).to_owned() }
}

fn bad_request(error: RequestError) -> Refusal {
    off_policy(error.code(), error)
}

fn refused(refused: Refused) -> Refusal {
    off_policy(refused.code(), refused)
}

/// What is the request's fault, and what the service's.
fn not_issued(error: IssueError) -> Refusal {
    match error {
        IssueError::IssuerNotValid { .. } | IssueError::Issuer(_) | IssueError::SigningTimes(_) => {
            Refusal::Unable { code: error.code().to_owned() }
        }
        IssueError::NotThisIssuer(_) | IssueError::NotACertificate(_) => Refusal::UnknownProfile,
        error => off_policy(error.code(), error),
    }
}

fn prepare_leaf<'g>(
    generation: &'g Generation,
    leaf: LeafKind,
    rule: &LeafRule,
    ask: &LeafAsk,
    serial: Serial,
    verifiers: Verifiers<'_>,
    now: UtcDateTime,
) -> Result<PreparedIssuance<'g>, Refusal> {
    let lifetime = ask.lifetime_seconds.map_or(rule.lifetime_max, |seconds| Duration::seconds(seconds.into()));
    if lifetime > rule.lifetime_max {
        let text = format!("at most {} are allowed, found {lifetime}", rule.lifetime_max);
        return Err(off_policy("policy.lifetime", text));
    }
    let node = ask.node.as_deref().map(str::parse::<NodeName>).transpose();
    let node = node.map_err(|error| off_policy("policy.node", error))?;
    if let Some(node) = node.as_ref().filter(|node| !rule.nodes.allows(node)) {
        return Err(off_policy("policy.node", format!("`{node}` is none of the allowed nodes")));
    }
    let request = CertificationRequest::parse(&ask.csr, &Limits::DEFAULT).map_err(bad_request)?;
    let request = request.verify(verifiers).map_err(bad_request)?;
    let names = request.subject_alt_names().to_vec();
    if let Some(name) = names.iter().find(|name| !rule.names.allows(name, node.as_ref())) {
        return Err(off_policy("policy.name", format!("`{name}` is none of the allowed names")));
    }
    let mut approval = Approval::new(lifetime).with_names(names).for_key(request.public_key());
    if let Some(node) = node {
        approval = approval.for_node(node);
    }
    generation.issuer.prepare(leaf, request, &approval, serial, now).map_err(not_issued)
}

fn prepare_for_signer<'g>(
    generation: &'g Generation,
    rule: &SignerRule,
    ask: &SignerAsk,
    serial: Serial,
    verifiers: Verifiers<'_>,
    now: UtcDateTime,
) -> Result<PreparedIssuance<'g>, Refusal> {
    let usages = Usages::parse(ask.usages.iter().map(String::as_str));
    let usages = usages.map_err(|violations| off_policy("policy.usages", violations))?;
    let request = CertificationRequest::parse(&ask.csr, &Limits::DEFAULT).map_err(bad_request)?;
    let proven = request.prove(verifiers).map_err(bad_request)?;
    let names = proven.presented_names().map_err(bad_request)?;
    let node = names
        .common_name
        .strip_prefix(pki_core::kubernetes::NODE_USER_PREFIX)
        .and_then(|node| node.parse::<NodeName>().ok());
    let mut signing = SigningRequest::new(rule.policy.signer().clone(), usages, &names)
        .lasting(ask.expiration_seconds)
        .for_key(proven.public_key())
        .by(Requestor { username: &ask.username, groups: &ask.groups });
    if let Some(addresses) = node.as_ref().and_then(|node| rule.addresses.get(node)) {
        signing = signing.with_addresses(addresses);
    }
    let granted = rule.policy.evaluate(&signing).map_err(refused)?;
    let node = node_of(granted.subject());
    if let Some(node) = node.as_ref().filter(|node| !rule.nodes.allows(node)) {
        return Err(off_policy("policy.node", format!("`{node}` is none of the allowed nodes")));
    }
    // Names that are among the node's known addresses are proven already.
    let is_known =
        |name| node.as_ref().and_then(|node| rule.addresses.get(node)).is_some_and(|known| known.contains(name));
    let stray =
        granted.subject_alt_names().iter().find(|name| !is_known(name) && !rule.names.allows(name, node.as_ref()));
    if let Some(name) = stray {
        return Err(off_policy("policy.name", format!("`{name}` is none of the allowed names")));
    }
    let verified = proven.read(UnusedExtensions::Refuse).map_err(bad_request)?;
    generation.issuer.prepare_for_signer(granted, &verified, serial, now).map_err(not_issued)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_together_have_no_more_threads_than_there_are() {
        let free = AtomicUsize::new(3);
        let first = Helpers::take(&free, 2);
        let second = Helpers::take(&free, 2);
        let third = Helpers::take(&free, 2);
        assert_eq!([first.taken, second.taken, third.taken], [2, 1, 0]);
        drop(first);
        assert_eq!(Helpers::take(&free, 5).taken, 2);
        drop((second, third));
        assert_eq!(free.into_inner(), 3);
    }
}
