//! From the octets of a request to the octets of a certificate: the pipeline, its parts, a peer, and the bare
//! cryptography below which none of them can come. `table` sets more beside them, in turns.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use std::hint::black_box;

use benches::{Authority, Case, Setup, ours, peers};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use getrandom::SysRng;
use pki_core::verify::aws_lc_rs;
use pki_core::{CertificationRequest, KeyAlgorithm, Limits, SelfCheck, Serial};

/// One bench over requests that come round again only after 256 others.
fn each<'c, T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    cases: &'c [Case],
    mut routine: impl FnMut(&'c Case) -> Setup<T>,
) {
    let mut cases = cases.iter().cycle();
    group.bench_function(name, |bencher| {
        bencher.iter(|| routine(cases.next().expect("there are requests")).expect("every request is in order"));
    });
}

fn compare(criterion: &mut Criterion, name: &str, keys: KeyAlgorithm) {
    let authority = Authority::generate(KeyAlgorithm::P256).expect("an authority");
    let cases = Case::all(keys, &authority).expect("requests");
    let mut buffer = [0; 512];
    let verify_bare = |case: &Case| Ok(case.public_key.verify(&case.info, &case.signature)?);

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    each(&mut group, "floor", &cases, |case| {
        verify_bare(case)?;
        authority.key.sign(&case.tbs, &mut buffer).map(<[u8]>::len)
    });
    each(&mut group, "floor+self-check", &cases, |case| {
        verify_bare(case)?;
        let signature = authority.key.sign(&case.tbs, &mut buffer)?;
        Ok(authority.public_key.verify_sig(&case.tbs, signature)?)
    });
    let issue =
        |case: &Case, check| ours::issue(&authority, case, &case.request, &authority.signer, aws_lc_rs(), check);
    each(&mut group, "pipeline", &cases, |case| issue(case, SelfCheck::ExceptInProcess));
    each(&mut group, "pipeline+self-check", &cases, |case| issue(case, SelfCheck::Always));
    each(&mut group, "rcgen", &cases, |case| peers::rcgen(&authority, case));

    each(&mut group, "bare-verify", &cases, verify_bare);
    each(&mut group, "bare-sign", &cases, |case| authority.key.sign(&case.tbs, &mut buffer).map(<[u8]>::len));
    each(&mut group, "parse", &cases, |case| Ok(CertificationRequest::parse(&case.request, &Limits::DEFAULT)?));
    each(&mut group, "parse+verify", &cases, |case| ours::verify(&case.request, aws_lc_rs()));
    each(&mut group, "serial", &cases, |_| Ok(Serial::generate(&mut SysRng)?));

    let serial = Serial::generate(&mut SysRng).expect("entropy");
    each(&mut group, "non-crypto", &cases, |case| {
        let Authority { issuer, answering, now, .. } = &authority;
        ours::issue_without_cryptography(issuer, answering, &case.request, &case.approval, serial, *now)
    });
    let mut requests = cases.iter().cycle();
    group.bench_function("prepare", |bencher| {
        bencher.iter_batched(
            || {
                let case = requests.next().expect("there are requests");
                (ours::verify(&case.request, aws_lc_rs()).expect("every request is in order"), &case.approval)
            },
            |(request, approval)| {
                let prepared =
                    authority.issuer.prepare(ours::LEAF, request, approval, black_box(serial), authority.now);
                prepared.expect("every request is approved")
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn p256(criterion: &mut Criterion) {
    compare(criterion, "csr-to-certificate/p256", KeyAlgorithm::P256);
}

fn rsa2048(criterion: &mut Criterion) {
    compare(criterion, "csr-to-certificate/rsa2048-request", KeyAlgorithm::Rsa2048);
}

criterion_group!(benches, p256, rsa2048);
criterion_main!(benches);
