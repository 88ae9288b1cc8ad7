//! What a fleet may tell and when, written down a second time and without the schedule: the two have to agree.

use core::fmt;

use rotation_fsm::{Due, DueCluster, Health};
use time::{Duration, UtcDateTime};

use super::Kind;

/// How many broken laws are told in words; the rest are counted.
const BROKEN_MAX: usize = 10;

/// What the simulation knows of one cluster, apart from the fleet.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) expiry: UtcDateTime,
    pub(super) started: Option<UtcDateTime>,
    /// When anything about it last changed but for the passing of time.
    pub(super) since: UtcDateTime,
    /// How often that was.
    pub(super) epoch: u32,
    /// How well the fleet has said that it is.
    pub(super) told: Health,
    /// When the fleet last spoke of it, and in which epoch.
    pub(super) last: Option<(UtcDateTime, u32)>,
    /// When the fleet last said that something is to be attempted, since `since`.
    pub(super) attempt: Option<UtcDateTime>,
    /// Whether every pool runs with the new credentials.
    pub(super) recreated: bool,
}

impl Record {
    pub(super) const fn new(kind: Kind, expiry: UtcDateTime, now: UtcDateTime) -> Self {
        Self {
            kind,
            expiry,
            started: None,
            since: now,
            epoch: 0,
            told: Health::Healthy,
            last: None,
            attempt: None,
            recreated: false,
        }
    }

    /// Something changed that the fleet was told.
    pub(super) fn change(&mut self, now: UtcDateTime) {
        self.since = now;
        self.epoch += 1;
        self.attempt = None;
        self.recreated = false;
        // Nobody is told of what became better.
        self.told = self.told.min(expected_health(self.kind, self.expiry, now));
    }
}

/// How well a cluster is: 180 days, 7 days, and the last second, where the kind knows of them.
pub(super) fn expected_health(kind: Kind, expiry: UtcDateTime, now: UtcDateTime) -> Health {
    let left = expiry - now;
    match kind {
        _ if left <= Duration::ZERO => Health::Unrecoverable,
        Kind::Gke | Kind::Kubeadm if left <= Duration::days(7) => Health::Degraded,
        Kind::Gke | Kind::Kubeadm | Kind::Gdc if left <= Duration::days(180) => Health::Insight,
        _ => Health::Healthy,
    }
}

/// When something was first to be attempted, if anything is.
fn first_attempt(record: &Record) -> Option<UtcDateTime> {
    match (record.kind, record.started) {
        (Kind::Gke | Kind::GkeManaged, None) => Some(record.expiry - Duration::days(30)),
        (Kind::Gke, Some(started)) => Some(started + Duration::days(7)),
        _ => None,
    }
}

/// Checks what the fleet tells.
#[derive(Clone, Debug)]
pub(super) struct Laws {
    pub(super) checks: u64,
    pub(super) violations: u64,
    pub(super) broken: Vec<String>,
    last: UtcDateTime,
}

impl Laws {
    pub(super) const fn new() -> Self {
        Self { checks: 0, violations: 0, broken: Vec::new(), last: UtcDateTime::MIN }
    }

    pub(super) fn check(&mut self, kept: bool, broken: impl FnOnce() -> String) {
        self.checks += 1;
        if !kept {
            self.violations += 1;
            if self.broken.len() < BROKEN_MAX {
                self.broken.push(broken());
            }
        }
    }

    /// A cluster was told at `now`. Afterwards its record says so.
    pub(super) fn told(&mut self, record: &mut Record, due: &DueCluster, now: UtcDateTime) {
        let (slot, kind) = (due.cluster.slot(), record.kind);
        let say = |what: fmt::Arguments<'_>| format!("cluster {slot} ({kind}) at {now}: {what}");

        let last = self.last;
        self.check(due.at >= last, || say(format_args!("told of {}, after {last}", due.at)));
        self.last = due.at;
        // The clock goes from one due instant to the next, so nothing is late.
        self.check(due.at == now, || say(format_args!("told of {}", due.at)));
        let once = record.last != Some((due.at, record.epoch));
        self.check(once, || say(format_args!("told twice")));

        let expected = expected_health(kind, record.expiry, now);
        let found = due.standing.health;
        self.check(found == expected, || say(format_args!("told to be {found}, is {expected}")));
        if found != record.told {
            let before = expected_health(kind, record.expiry, now - Duration::SECOND);
            let new = before != found || record.since == now;
            self.check(new, || say(format_args!("told only now to be {found}")));
        }
        let first = first_attempt(record).filter(|first| *first <= now && now < record.expiry);
        match due.standing.due {
            None => self.check(first.is_none(), || say(format_args!("nothing is attempted"))),
            Some(Due::Start { .. }) => {
                let may = first.is_some() && record.started.is_none();
                self.check(may, || say(format_args!("a start, with the expiry at {}", record.expiry)));
            }
            Some(Due::Completion { .. }) => {
                let may = first.is_some() && record.started.is_some();
                self.check(may, || say(format_args!("a completion of what began at {:?}", record.started)));
            }
        }
        record.told = found;
        record.last = Some((due.at, record.epoch));
        if due.standing.due.is_some() {
            record.attempt = Some(now);
        }
    }

    /// Nobody is forgotten: what was told is how it is, and what has to be attempted was told within a day.
    pub(super) fn nobody_forgotten(&mut self, slot: usize, record: &Record, now: UtcDateTime) {
        let (kind, told) = (record.kind, record.told);
        let expected = expected_health(kind, record.expiry, now);
        self.check(told == expected, || format!("cluster {slot} ({kind}) at {now}: was told {told}, is {expected}"));
        let due = first_attempt(record).is_some_and(|first| first <= now && now < record.expiry);
        let attempted = record.attempt.is_some_and(|attempt| now - attempt < Duration::DAY);
        self.check(!due || attempted, || format!("cluster {slot} ({kind}) at {now}: attempted {:?}", record.attempt));
    }
}

#[cfg(test)]
#[path = "laws/tests.rs"]
mod tests;
