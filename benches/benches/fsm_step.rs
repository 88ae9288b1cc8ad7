//! One report, one question and one whole rotation, by the size of the cluster.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use benches::{Fleet, Reports};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const POOLS: usize = 10;
const NODES: [usize; 4] = [100, 1_000, 10_000, 65_000];

/// Reports that are made before the clock runs: enough to make its cost vanish, few enough to stay in the cache.
const BATCH: BatchSize = BatchSize::NumIterations(64);

fn acknowledge(group: &mut BenchmarkGroup<'_, WallTime>, id: BenchmarkId, (mut fleet, mut reports): (Fleet, Reports)) {
    group.bench_function(id, |bencher| {
        bencher.iter_batched_ref(
            || reports.next_event().expect("there are nodes"),
            |event| fleet.apply(event).expect("every report is in order"),
            BATCH,
        );
    });
}

fn by_nodes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fsm-step/nodes");
    for nodes in NODES {
        let (fleet, reports) = Fleet::in_mid_rotation(nodes, POOLS).expect("a rotation");
        group.bench_function(BenchmarkId::new("next-action", nodes), |bencher| {
            bencher.iter(|| fleet.machine().pending_actions().next().expect("somebody is waited for"));
        });
        group.bench_function(BenchmarkId::new("all-actions", nodes), |bencher| {
            bencher.iter(|| fleet.machine().pending_actions().count());
        });
        acknowledge(&mut group, BenchmarkId::new("acknowledgement", nodes), (fleet, reports));
    }
    group.finish();
}

fn by_pools(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fsm-step/pools-of-1000-nodes");
    for pools in [1, 10, 100] {
        let prepared = Fleet::in_mid_rotation(1_000, pools).expect("a rotation");
        acknowledge(&mut group, BenchmarkId::new("acknowledgement", pools), prepared);
    }
    group.finish();
}

/// Replayed: the events alone. Driven: with the questions in between, and with a cluster that answers them.
fn whole_rotation(criterion: &mut Criterion) {
    for nodes in [100, 65_000] {
        let mut begun = Fleet::at_rest(nodes, POOLS).expect("a cluster");
        begun.begin().expect("a rotation");
        let events = begun.clone().rotate().expect("a whole rotation");

        let mut group = criterion.benchmark_group(format!("fsm-step/rotation-of-{nodes}-nodes"));
        group.throughput(Throughput::Elements(events.len().try_into().expect("a number of events")));
        group.sample_size(10);
        group.bench_function("replayed", |bencher| {
            bencher.iter_batched_ref(
                || begun.clone(),
                |fleet| {
                    events.iter().for_each(|event| fleet.apply(event).expect("every report is in order"));
                    assert!(fleet.machine().is_at_rest(), "the rotation completes");
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function("driven", |bencher| {
            bencher.iter_batched_ref(
                || begun.clone(),
                |fleet| fleet.rotate().expect("a whole rotation"),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, by_nodes, by_pools, whole_rotation);
criterion_main!(benches);
