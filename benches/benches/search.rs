//! The exhaustive search of the proof, in states per second.
//!
//! Measured by the searches of the tests, in the release profile and in CPU time, on a virtual machine of 2 vCPUs that was busy:
//! 69,000 for etcd with one kind of fault at a time, 50,000 for the cluster CA, 49,000 for pairs of kinds with small authorities.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rotation_fsm::Strategy;
use rotation_fsm::proof::{Config, FaultKind, Subject, search};

/// One that is small in consumers, one that is typical, one with everything: with reports that arrive late.
fn states(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search");
    group.sample_size(10);
    for subject in [Subject::EtcdPeer, Subject::EtcdApi, Subject::Cluster] {
        let config = Config::new(subject, Strategy::CrossSigned, 3).with(FaultKind::Delay, 1);
        let report = search(&config).expect("a cluster");
        assert!(report.is_complete(), "{report}");
        group.throughput(Throughput::Elements(report.states().try_into().expect("a number of states")));
        group.bench_function(BenchmarkId::new("states", subject), |bencher| {
            bencher.iter(|| search(&config).expect("a cluster"));
        });
    }
    group.finish();
}

criterion_group!(benches, states);
criterion_main!(benches);
