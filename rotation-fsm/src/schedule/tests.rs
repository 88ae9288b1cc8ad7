//! Every threshold to the second, and the sleep between two of them.

use proptest::prelude::*;
use time::{Date, Month, Time};

use super::*;

const DAY: Duration = Duration::DAY;
const SECOND: Duration = Duration::SECOND;
const GKE: Thresholds = Thresholds::GKE_CREDENTIALS;

/// The expiry of GKE's worked example.
const EXPIRY: UtcDateTime = date(2024, Month::January, 6);

const fn date(year: i32, month: Month, day: u8) -> UtcDateTime {
    match Date::from_calendar_date(year, month, day) {
        Ok(date) => UtcDateTime::new(date, Time::MIDNIGHT),
        Err(_) => panic!("no such day"),
    }
}

fn idle() -> Facts {
    Facts::new(EXPIRY, Progress::Idle)
}

fn running(started: UtcDateTime) -> Facts {
    Facts::new(EXPIRY, Progress::Running { started })
}

fn health(thresholds: Thresholds, now: UtcDateTime) -> Health {
    thresholds.standing(&idle(), now).health
}

#[test]
fn health_changes_to_the_second_at_180_days_7_days_and_the_expiry() {
    for (distance, before, from) in [
        (DAY * 180, Health::Healthy, Health::Insight),
        (DAY * 7, Health::Insight, Health::Degraded),
        (Duration::ZERO, Health::Degraded, Health::Unrecoverable),
    ] {
        let change = EXPIRY - distance;
        assert_eq!(health(GKE, change - SECOND), before);
        assert_eq!(health(GKE, change - Duration::NANOSECOND), before);
        assert_eq!(health(GKE, change), from);
        assert_eq!(health(GKE, change + SECOND), from);
        assert_eq!(GKE.next_change(&running(EXPIRY - SECOND), change - SECOND), Some(change));
    }
    assert_eq!(health(GKE, EXPIRY + DAY * 3_650), Health::Unrecoverable);
}

#[test]
fn health_is_worse_in_the_order_in_which_it_is_listed() {
    assert!(Health::ALL.is_sorted());
    let ids: Vec<_> = Health::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["healthy", "insight", "degraded", "unrecoverable"]);
}

#[test]
fn days_left_are_whole_and_negative_once_over() {
    let days = |now| GKE.standing(&idle(), now).days_left();
    assert_eq!(days(EXPIRY - DAY * 180), 180);
    assert_eq!(days(EXPIRY - DAY * 180 + SECOND), 179);
    assert_eq!(days(EXPIRY), 0);
    assert_eq!(days(EXPIRY + SECOND), -1);
    assert_eq!(days(EXPIRY + DAY), -1);
    assert_eq!(days(EXPIRY + DAY + SECOND), -2);
}

#[test]
fn a_start_is_due_from_thirty_days_before_the_expiry_and_again_every_day_until_it() {
    let due = |now| GKE.standing(&idle(), now).due;
    let first = EXPIRY - DAY * 30;
    assert_eq!(due(first - SECOND), None);
    assert_eq!(due(first), Some(Due::Start { attempt: 1 }));
    assert_eq!(due(first + DAY - SECOND), Some(Due::Start { attempt: 1 }));
    assert_eq!(due(first + DAY), Some(Due::Start { attempt: 2 }));
    assert_eq!(due(EXPIRY - SECOND), Some(Due::Start { attempt: 30 }));
    assert_eq!(due(EXPIRY), None);
    assert_eq!(due(EXPIRY + DAY), None);
}

#[test]
fn a_completion_is_attempted_from_seven_days_after_any_start_and_again_every_day_until_the_expiry() {
    for started in [EXPIRY - DAY * 400, EXPIRY - DAY * 30, EXPIRY - DAY * 10] {
        let due = |now| GKE.standing(&running(started), now).due;
        assert_eq!(due(started + DAY * 7 - SECOND), None);
        assert_eq!(due(started + DAY * 7), Some(Due::Completion { attempt: 1 }));
        assert_eq!(due(started + DAY * 8 - SECOND), Some(Due::Completion { attempt: 1 }));
        assert_eq!(due(started + DAY * 9), Some(Due::Completion { attempt: 3 }));
        assert!(matches!(due(EXPIRY - SECOND), Some(Due::Completion { .. })));
        assert_eq!(due(EXPIRY), None);
    }
    // Too late to be attempted even once.
    let late = running(EXPIRY - DAY * 7);
    assert_eq!(GKE.standing(&late, EXPIRY - SECOND).due, None);
    assert_eq!(GKE.next_change(&late, EXPIRY - SECOND), Some(EXPIRY));
}

/// GKE's own example: the CA expires on 2024-01-06, nobody has rotated by 2023-12-05, the automatic start comes on or
/// after 2023-12-07, the completion is attempted 7 days after the operation started.
#[test]
fn the_worked_example_of_gke() {
    let asked = date(2023, Month::December, 5);
    let standing = GKE.standing(&idle(), asked);
    assert_eq!((standing.health, standing.due, standing.days_left()), (Health::Insight, None, 32));

    let start = GKE.next_change(&idle(), asked).unwrap();
    assert_eq!(start, date(2023, Month::December, 7));
    assert_eq!(GKE.standing(&idle(), start).due, Some(Due::Start { attempt: 1 }));

    let started = idle().started(start).unwrap();
    let attempt = GKE.next_change(&started, start).unwrap();
    assert_eq!(attempt, date(2023, Month::December, 14));
    let standing = GKE.standing(&started, attempt);
    assert_eq!((standing.due, standing.rotating), (Some(Due::Completion { attempt: 1 }), true));
}

/// An automatic start and the first attempt end at 23 days before the expiry. Whoever is DEGRADED at 7 days was in the
/// way for 16 days, and for 17 attempts.
#[test]
fn degraded_says_that_the_automatic_rotation_was_blocked_for_sixteen_days() {
    let started = running(EXPIRY - DAY * 30);
    let attempt = GKE.next_change(&started, EXPIRY - DAY * 30).unwrap();
    assert_eq!(EXPIRY - attempt, DAY * 23);
    let degraded = EXPIRY - DAY * 7;
    assert_eq!(degraded - attempt, DAY * 16);
    let standing = GKE.standing(&started, degraded);
    assert_eq!((standing.health, standing.due), (Health::Degraded, Some(Due::Completion { attempt: 17 })));
    assert_eq!(GKE.standing(&started, degraded - SECOND).health, Health::Insight);
}

#[test]
fn what_gke_manages_starts_by_itself_and_asks_the_user_for_nothing() {
    let managed = Thresholds::GKE_MANAGED;
    assert_eq!(health(managed, EXPIRY - SECOND), Health::Healthy);
    assert_eq!(health(managed, EXPIRY), Health::Unrecoverable);
    assert_eq!(managed.standing(&idle(), EXPIRY - DAY * 30 - SECOND).due, None);
    assert_eq!(managed.standing(&idle(), EXPIRY - DAY * 30).due, Some(Due::Start { attempt: 1 }));
    assert_eq!(managed.next_change(&running(EXPIRY - DAY * 30), EXPIRY - DAY * 30), Some(EXPIRY));
}

#[test]
fn gdc_raises_an_insight_and_never_does_anything_by_itself() {
    for facts in [idle(), running(EXPIRY - DAY * 100)] {
        let mut now = EXPIRY - DAY * 1_825;
        let mut told = Vec::new();
        while let Some(next) = Thresholds::GDC.next_change(&facts, now) {
            let standing = Thresholds::GDC.standing(&facts, next);
            assert_eq!(standing.due, None);
            told.push((standing.days_left(), standing.health));
            now = next;
        }
        assert_eq!(told, [(180, Health::Insight), (0, Health::Unrecoverable)]);
    }
}

#[test]
fn what_is_shown_may_be_old_for_36_hours_after_a_completion() {
    let at = EXPIRY - DAY * 100;
    let after = running(at - DAY).completed(at, EXPIRY + DAY * 10_950).unwrap();
    let settling = |now| GKE.standing(&after, now).settling;
    assert!(settling(at) && settling(at + Duration::hours(36) - SECOND));
    assert!(!settling(at + Duration::hours(36)));
    assert_eq!(GKE.next_change(&after, at), Some(at + Duration::hours(36)));
    assert_eq!(GKE.standing(&after, at).health, Health::Healthy);
    assert!(!GKE.standing(&idle(), at).settling);
}

#[test]
fn a_completion_takes_the_new_expiry_and_until_then_the_old_one_counts() {
    let started = idle().started(EXPIRY - DAY * 30).unwrap();
    assert_eq!(started.expiry(), EXPIRY);
    let next = EXPIRY + DAY * 10_950;
    let completed = started.completed(EXPIRY - DAY * 20, next).unwrap();
    assert_eq!((completed.expiry(), completed.progress()), (next, Progress::Completed { at: EXPIRY - DAY * 20 }));
    assert_eq!(GKE.next_change(&completed, EXPIRY), Some(next - DAY * 180));
    // And it can be rotated again.
    assert!(completed.started(EXPIRY).is_ok());
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let (start, later) = (EXPIRY - DAY * 30, EXPIRY + DAY * 1_000);
    let started = idle().started(start).unwrap();
    assert_eq!(started.started(start + DAY), Err(FactsError::AlreadyRunning { since: start }));
    assert_eq!(idle().completed(start, later), Err(FactsError::NotRunning));
    assert_eq!(started.completed(start - SECOND, later), Err(FactsError::CompletedBeforeStart { started: start }));
    assert_eq!(idle().started(EXPIRY), Err(FactsError::Expired { expiry: EXPIRY }));
    assert!(idle().started(EXPIRY - SECOND).is_ok());
    assert_eq!(started.completed(EXPIRY, later), Err(FactsError::Expired { expiry: EXPIRY }));
    assert!(started.completed(EXPIRY - SECOND, later).is_ok());
    let at = start + DAY;
    assert_eq!(started.completed(at, at), Err(FactsError::Expired { expiry: at }));
    assert!(FactsError::NotRunning.to_string().contains("no rotation is running"));
}

#[test]
fn fractions_of_a_second_expire_nothing_late_and_shorten_no_wait() {
    let half = Duration::milliseconds(500);
    assert_eq!(Facts::new(EXPIRY + half, Progress::Idle).expiry(), EXPIRY);
    let start = EXPIRY - DAY * 30;
    assert_eq!(running(start + half).progress(), Progress::Running { started: start + SECOND });
    assert_eq!(running(start).progress(), Progress::Running { started: start });
    let completed = Facts::new(EXPIRY, Progress::Completed { at: start + half });
    assert_eq!(completed.progress(), Progress::Completed { at: start + SECOND });
}

#[test]
fn the_ends_of_the_calendar_are_no_trouble() {
    for expiry in [UtcDateTime::MIN, UtcDateTime::MAX] {
        for progress in [
            Progress::Idle,
            Progress::Running { started: UtcDateTime::MIN },
            Progress::Running { started: UtcDateTime::MAX },
            Progress::Completed { at: UtcDateTime::MAX },
        ] {
            let facts = Facts::new(expiry, progress);
            for now in [UtcDateTime::MIN, EXPIRY, UtcDateTime::MAX] {
                let _standing = GKE.standing(&facts, now);
                assert!(GKE.next_change(&facts, now).is_none_or(|next| next > now));
            }
        }
    }
}

/// Everything a standing says but for the time that is left.
fn told(standing: Standing) -> (Health, Option<Due>, bool, bool) {
    (standing.health, standing.due, standing.rotating, standing.settling)
}

fn small_thresholds() -> impl Strategy<Value = Thresholds> {
    let seconds = |range: core::ops::Range<i64>| proptest::option::of(range.prop_map(Duration::seconds));
    (seconds(20..40), seconds(10..20), seconds(1..10), 1_i64..8, seconds(1..10), 0_i64..10).prop_map(
        |(insight, automatic_start, completion_attempt_after_start, retry, degraded, settles)| {
            let (retry, insight_settles) = (Duration::seconds(retry), Duration::seconds(settles));
            let spec = ThresholdsSpec {
                insight,
                automatic_start,
                completion_attempt_after_start,
                retry,
                degraded,
                insight_settles,
            };
            Thresholds::new(spec).unwrap()
        },
    )
}

fn progress() -> impl Strategy<Value = Progress> {
    let moment = (-60_i64..10).prop_map(|seconds| EXPIRY + Duration::seconds(seconds));
    prop_oneof![
        Just(Progress::Idle),
        moment.clone().prop_map(|started| Progress::Running { started }),
        moment.prop_map(|at| Progress::Completed { at }),
    ]
}

proptest! {
    /// Whoever sleeps until the next change misses nothing and never wakes for nothing.
    #[test]
    fn the_next_change_is_the_first_second_that_says_something_else(
        thresholds in small_thresholds(), progress in progress(), start in -60_i64..10,
    ) {
        let facts = Facts::new(EXPIRY, progress);
        let now = EXPIRY + Duration::seconds(start);
        let before = told(thresholds.standing(&facts, now));
        let mut later = (1..120).map(|second| now + Duration::seconds(second));
        let expected = later.find(|then| told(thresholds.standing(&facts, *then)) != before);
        prop_assert_eq!(thresholds.next_change(&facts, now), expected);
    }
}
