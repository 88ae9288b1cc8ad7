//! Every law notices when it is broken.

use rotation_fsm::{Facts, Fleet, Progress};

use super::*;

const DAY: Duration = Duration::DAY;
const SECOND: Duration = Duration::SECOND;

fn expiry() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

/// What a fleet says of a cluster of this kind that comes in at `now`.
fn due(kind: Kind, now: UtcDateTime, started: Option<UtcDateTime>) -> DueCluster {
    let progress = started.map_or(Progress::Idle, |started| Progress::Running { started });
    let mut fleet = Fleet::new(now);
    fleet.insert(&"c".parse().unwrap(), kind.thresholds(), Facts::new(expiry(), progress), now).unwrap();
    fleet.next_due(now).unwrap()
}

fn record(kind: Kind, told: Health) -> Record {
    let mut record = Record::new(kind, expiry(), expiry() - DAY * 1_000);
    record.told = told;
    record
}

/// What is said of laws that are broken when a fleet tells `due` at `now`.
fn broken(mut record: Record, due: &DueCluster, now: UtcDateTime) -> String {
    let mut laws = Laws::new();
    laws.told(&mut record, due, now);
    assert_eq!(usize::try_from(laws.violations).unwrap(), laws.broken.len());
    laws.broken.join("\n")
}

#[test]
fn what_is_told_in_time_breaks_nothing() {
    for (days, before) in [(180, Health::Healthy), (30, Health::Insight), (7, Health::Insight), (0, Health::Degraded)] {
        let now = expiry() - DAY * days;
        assert_eq!(broken(record(Kind::Gke, before), &due(Kind::Gke, now, None), now), "");
    }
}

#[test]
fn a_start_is_noticed_that_is_early_or_not_to_be() {
    let now = expiry() - DAY * 30;
    let start = due(Kind::Gke, now, None);
    let mut early = record(Kind::Gke, Health::Insight);
    early.expiry += SECOND;
    assert!(broken(early, &start, now).contains("a start"));
    assert!(broken(record(Kind::Gdc, Health::Insight), &start, now).contains("a start"));
    assert!(broken(record(Kind::Kubeadm, Health::Insight), &start, now).contains("a start"));
    let mut running = record(Kind::Gke, Health::Insight);
    running.started = Some(now - DAY * 10);
    assert!(broken(running, &start, now).contains("a start"));
}

#[test]
fn a_completion_is_noticed_that_is_early_or_of_nothing() {
    let started = expiry() - DAY * 100;
    let now = started + DAY * 7;
    let completion = due(Kind::Gke, now, Some(started));
    let mut early = record(Kind::Gke, Health::Insight);
    early.started = Some(started + SECOND);
    assert!(broken(early.clone(), &completion, now).contains("a completion"));
    early.started = None;
    assert!(broken(early.clone(), &completion, now).contains("a completion"));
    early.started = Some(started);
    assert_eq!(broken(early, &completion, now), "");
}

#[test]
fn a_silence_is_noticed_where_something_is_to_be_attempted() {
    let now = expiry() - DAY * 30;
    let mut silent = due(Kind::Gke, now, None);
    silent.standing.due = None;
    assert!(broken(record(Kind::Gke, Health::Insight), &silent, now).contains("nothing is attempted"));
}

#[test]
fn health_is_noticed_that_is_wrong_or_late() {
    for days in [180, 7, 0] {
        let now = expiry() - DAY * days;
        let told = due(Kind::Gke, now, None);
        let mut before = record(Kind::Gke, Health::Healthy);
        before.expiry += SECOND;
        assert!(broken(before, &told, now).contains("told to be"));
        let late = due(Kind::Gke, now + SECOND, None);
        assert!(broken(record(Kind::Gke, Health::Healthy), &late, now + SECOND).contains("told only now"));
    }
}

#[test]
fn what_is_told_twice_late_or_out_of_order_is_noticed() {
    let now = expiry() - DAY * 180;
    let due = due(Kind::Gdc, now, None);
    let mut record = record(Kind::Gdc, Health::Healthy);
    let mut laws = Laws::new();
    laws.told(&mut record, &due, now);
    assert_eq!(laws.violations, 0);
    laws.told(&mut record, &due, now);
    assert!(laws.broken.join("\n").contains("told twice"));
    record.change(now);
    let before = laws.violations;
    laws.told(&mut record, &due, now);
    assert_eq!(laws.violations, before, "what changed may be told at the same second");

    laws.last = now + SECOND;
    laws.told(&mut record.clone(), &due, now);
    assert!(laws.broken.join("\n").contains(", after "));
    assert!(broken(record, &due, now + DAY).contains("told of"));
}

#[test]
fn a_cluster_that_is_forgotten_is_noticed() {
    let forgotten = |record: &Record, now| {
        let mut laws = Laws::new();
        laws.nobody_forgotten(3, record, now);
        laws.broken.join("\n")
    };
    let now = expiry() - DAY * 20;
    assert!(forgotten(&record(Kind::Gdc, Health::Healthy), now).contains("was told healthy, is insight"));
    assert_eq!(forgotten(&record(Kind::Gdc, Health::Insight), now), "");
    let mut idle = record(Kind::Gke, Health::Insight);
    assert!(forgotten(&idle, now).contains("attempted None"));
    idle.attempt = Some(now - DAY);
    assert!(forgotten(&idle, now).contains("attempted Some"));
    idle.attempt = Some(now - DAY + SECOND);
    assert_eq!(forgotten(&idle, now), "");
}

#[test]
fn only_the_first_few_are_told_in_words() {
    let mut laws = Laws::new();
    (0..25).for_each(|number| laws.check(false, || number.to_string()));
    laws.check(true, || "fine".to_owned());
    assert_eq!((laws.checks, laws.violations, laws.broken.len()), (26, 25, BROKEN_MAX));
}
