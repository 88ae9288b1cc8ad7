//! A million clusters of which a thousand are due on one day.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pki_core::ClusterId;
use rotation_fsm::{Facts, Fleet, Progress, Thresholds};
use time::{Duration, UtcDateTime};

const CLUSTERS: u32 = 1_000_000;
const DUE: u32 = 1_000;
const THRESHOLDS: Thresholds = Thresholds::GKE_CREDENTIALS;
const NOW: UtcDateTime = UtcDateTime::UNIX_EPOCH;

/// A place in a row that looks like none, another for every number below two million.
fn mixed(number: u32) -> u32 {
    u32::try_from(u64::from(number) * 7_919 % 2_000_003).expect("less than what it is divided by")
}

fn name(number: u32) -> ClusterId {
    format!("prod-europe-west-{:07}", mixed(number)).parse().expect("a name")
}

/// One in a thousand gets its insight in the first day, the others later, over years.
fn facts(number: u32) -> Facts {
    let seconds =
        if number.is_multiple_of(CLUSTERS / DUE) { mixed(number) % 86_400 } else { 86_401 + mixed(number) * 50 };
    let insight = NOW + Duration::DAY * 180;
    Facts::new(insight + Duration::seconds(seconds.into()), Progress::Idle)
}

fn of_a_million() -> Fleet {
    let mut fleet = Fleet::new(NOW - Duration::SECOND);
    for number in 0..CLUSTERS {
        fleet.insert(&name(number), THRESHOLDS, facts(number), NOW - Duration::SECOND).expect("a new name");
    }
    fleet
}

fn fleet(criterion: &mut Criterion) {
    let fleet = of_a_million();
    println!("{} octets per cluster", fleet.memory() / fleet.len());
    let mut group = criterion.benchmark_group("fleet/of-1000000");
    group.sample_size(20);

    group.bench_function("nothing-due", |bencher| {
        let mut fleet = fleet.clone();
        bencher.iter(|| assert!(fleet.next_due(NOW - Duration::SECOND).is_none(), "nothing is due"));
    });
    group.bench_function("find", |bencher| {
        let names: Vec<_> = (0..CLUSTERS).step_by(997).map(name).collect();
        let mut names = names.iter().cycle();
        bencher.iter(|| fleet.find(names.next().expect("it never ends")).expect("it is in"));
    });

    group.throughput(Throughput::Elements(DUE.into()));
    group.bench_function("day-with-1000-due", |bencher| {
        bencher.iter_batched_ref(
            || fleet.clone(),
            |fleet| assert_eq!(fleet.due(NOW + Duration::DAY).count(), 1_000, "a thousand are due"),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("insert-1000", |bencher| {
        let new: Vec<_> = (CLUSTERS..CLUSTERS + DUE).map(|number| (name(number), facts(number))).collect();
        bencher.iter_batched_ref(
            || fleet.clone(),
            |fleet| {
                for (name, facts) in &new {
                    fleet.insert(name, THRESHOLDS, *facts, NOW - Duration::SECOND).expect("a new name");
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, fleet);
criterion_main!(benches);
