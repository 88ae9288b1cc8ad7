//! From the octets of a request to the octets of a certificate: the pipeline, its parts, a peer, and the bare
//! cryptography below which none of them can come.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use std::hint::black_box;

use aws_lc_rs::rand::SystemRandom;
use benches::{Authority, Case, RequestKeys, Setup, believing};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use getrandom::SysRng;
use pki_core::verify::aws_lc_rs;
use pki_core::{CertificationRequest, IssuedCertificate, LeafKind, Limits, SelfCheck, Serial, VerifiedRequest};
use time::OffsetDateTime;

const LEAF: LeafKind = LeafKind::KubeletServing;

fn verify(case: &Case) -> Setup<VerifiedRequest<'_>> {
    Ok(CertificationRequest::parse(&case.request, &Limits::DEFAULT)?.verify(aws_lc_rs())?)
}

fn issue(authority: &Authority, case: &Case, check: SelfCheck) -> Setup<IssuedCertificate> {
    let (request, serial) = (verify(case)?, Serial::generate(&mut SysRng)?);
    let prepared = authority.issuer.prepare(LEAF, request, &case.approval, serial, authority.now)?;
    Ok(prepared.sign_with(&authority.signer, aws_lc_rs(), check)?)
}

/// The whole way with a verifier that believes and a signer that answers: what is left is this workspace's own work.
fn issue_without_cryptography(authority: &Authority, case: &Case, serial: Serial) -> Setup<IssuedCertificate> {
    let verifiers = believing(case.keys);
    let request = CertificationRequest::parse(&case.request, &Limits::DEFAULT)?.verify(verifiers)?;
    let prepared = authority.issuer.prepare(LEAF, request, &case.approval, serial, authority.now)?;
    Ok(prepared.sign(&authority.answering, believing(RequestKeys::P256))?)
}

/// The same extensions, a random serial and a validity; neither a comparison with an approval nor a check
/// of the fresh signature.
fn issue_with_rcgen(authority: &Authority, case: &Case) -> Setup<rcgen::Certificate> {
    let mut request = rcgen::CertificateSigningRequestParams::from_der(&case.request)?;
    let params = &mut request.params;
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(Serial::generate(&mut SysRng)?.as_bytes()));
    params.not_before = OffsetDateTime::from(authority.now) - time::Duration::minutes(5);
    params.not_after = OffsetDateTime::from(authority.now) + time::Duration::hours(8_760);
    Ok(request.signed_by(&authority.rcgen)?)
}

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

fn compare(criterion: &mut Criterion, name: &str, keys: RequestKeys) {
    let authority = Authority::generate().expect("an authority");
    let cases = keys.cases(&authority).expect("requests");
    let entropy = SystemRandom::new();
    let verify_bare = |case: &Case| Ok(case.public_key.verify(&case.info, &case.signature)?);
    let sign_bare = |case: &Case| Ok(authority.key.sign(&entropy, &case.tbs)?);

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    each(&mut group, "floor", &cases, |case| {
        verify_bare(case)?;
        sign_bare(case)
    });
    each(&mut group, "floor+self-check", &cases, |case| {
        verify_bare(case)?;
        let signature = sign_bare(case)?;
        authority.public_key.verify_sig(&case.tbs, signature.as_ref())?;
        Ok(signature)
    });
    each(&mut group, "pipeline", &cases, |case| issue(&authority, case, SelfCheck::ExceptInProcess));
    each(&mut group, "pipeline+self-check", &cases, |case| issue(&authority, case, SelfCheck::Always));
    each(&mut group, "rcgen", &cases, |case| issue_with_rcgen(&authority, case));

    each(&mut group, "bare-verify", &cases, verify_bare);
    each(&mut group, "bare-sign", &cases, sign_bare);
    each(&mut group, "parse", &cases, |case| Ok(CertificationRequest::parse(&case.request, &Limits::DEFAULT)?));
    each(&mut group, "parse+verify", &cases, verify);
    each(&mut group, "serial", &cases, |_| Ok(Serial::generate(&mut SysRng)?));

    let serial = Serial::generate(&mut SysRng).expect("entropy");
    each(&mut group, "non-crypto", &cases, |case| issue_without_cryptography(&authority, case, serial));
    let mut requests = cases.iter().cycle();
    group.bench_function("prepare", |bencher| {
        bencher.iter_batched(
            || {
                let case = requests.next().expect("there are requests");
                (verify(case).expect("every request is in order"), &case.approval)
            },
            |(request, approval)| {
                let prepared = authority.issuer.prepare(LEAF, request, approval, black_box(serial), authority.now);
                prepared.expect("every request is approved")
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn p256(criterion: &mut Criterion) {
    compare(criterion, "csr-to-certificate/p256", RequestKeys::P256);
}

fn rsa2048(criterion: &mut Criterion) {
    compare(criterion, "csr-to-certificate/rsa2048-request", RequestKeys::Rsa2048);
}

criterion_group!(benches, p256, rsa2048);
criterion_main!(benches);
