//! Clocks that stand still, step back and jump.

use pki_core::{AuthorityRole, ComponentKind, Hierarchy, Storage};
use rotation_fsm::{Event, Health, Settings, Strategy, Unit};
use time::Duration;

use crate::cluster::{Cluster, at};
use crate::parts::rotating;

fn running() -> Cluster {
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    let settings = Settings::of(&hierarchy).with_strategy(Strategy::DualEndpoint);
    let mut cluster = Cluster::with(hierarchy, settings);
    cluster.start(Unit::Credentials);
    let outside = cluster.consumer(ComponentKind::ExternalClient, "0");
    cluster.ignore(&outside);
    cluster.exhaust();
    cluster
}

fn confirmed() -> Event {
    Event::ClockConfirmed { by: "operator".to_owned() }
}

#[test]
fn a_jump_leaves_nobody_behind_until_it_is_believed() {
    let mut cluster = running();
    let jumped = at(0) + Duration::days(8);
    for minutes in [0, 1, 59] {
        cluster.now = jumped + Duration::minutes(minutes);
        let applied = cluster.apply(&Event::Tick).unwrap();
        assert_eq!(applied.doubted.map(|doubt| (doubt.from, doubt.to)), Some((at(0), jumped)));
        assert!(applied.released.is_empty() && applied.completion_blocked.is_none());
    }
    assert_eq!(cluster.machine.next_change(), Some(jumped + Duration::HOUR));
    cluster.now = jumped + Duration::HOUR;
    let applied = cluster.apply(&Event::Tick).unwrap();
    assert_eq!((applied.doubted, applied.released.len()), (None, 1));
}

#[test]
fn a_jump_back_is_no_news_and_a_jump_that_is_taken_back_is_forgotten() {
    let mut cluster = running();
    cluster.now = at(0) + Duration::days(8);
    assert!(cluster.apply(&Event::Tick).unwrap().doubted.is_some());
    cluster.now = at(-3_600);
    let applied = cluster.apply(&Event::Tick).unwrap();
    assert_eq!((applied.doubted, applied.released.len()), (None, 0));
    assert_eq!(rotating(&cluster.machine).started(), at(0));
    // The hour begins anew.
    cluster.now = at(0) + Duration::days(8) + Duration::HOUR;
    assert!(cluster.apply(&Event::Tick).unwrap().doubted.is_some());
    assert_eq!(cluster.machine.released().count(), 0);
}

#[test]
fn somebodys_word_is_enough_for_a_jump() {
    let mut cluster = running();
    cluster.now = at(0) + Duration::days(8);
    cluster.apply(&Event::Tick).unwrap();
    assert_eq!(cluster.apply(&confirmed()).unwrap().doubted, None);
    assert_eq!(cluster.apply(&Event::Tick).unwrap().released.len(), 1);
}

#[test]
fn a_clock_that_ran_ahead_is_set_right_by_somebodys_word() {
    let hierarchy = Hierarchy::gke(Storage::Etcd);
    let mut cluster = Cluster::with(hierarchy.clone(), Settings::of(&hierarchy));
    let expiry = cluster.machine.authority(AuthorityRole::Cluster).unwrap().not_after.unwrap();
    // At rest nobody doubts it, since months pass without an event.
    cluster.now = expiry + Duration::DAY;
    cluster.apply(&Event::FreezeChanged { frozen: false }).unwrap();
    let health = |cluster: &Cluster| {
        cluster.machine.health().find(|health| health.unit == Unit::Credentials).unwrap().standing.health
    };
    assert_eq!(health(&cluster), Health::Unrecoverable);
    cluster.now = at(60);
    assert!(cluster.apply(&Event::RotationRequested { unit: Unit::Credentials }).is_err());
    cluster.apply(&confirmed()).unwrap();
    assert_eq!(health(&cluster), Health::Healthy);
    cluster.start(Unit::Credentials);
    assert_eq!(rotating(&cluster.machine).started(), at(60));
}

#[test]
fn what_is_refused_does_not_move_the_clock() {
    let mut cluster = running();
    let before = format!("{:?}", cluster.machine);
    cluster.now = at(0) + Duration::hours(5);
    assert!(cluster.apply(&Event::RotationRequested { unit: Unit::Credentials }).is_err());
    cluster.now = at(0) + Duration::days(300);
    assert!(cluster.apply(&Event::RotationRequested { unit: Unit::Credentials }).is_err());
    assert_eq!(format!("{:?}", cluster.machine), before);
}
