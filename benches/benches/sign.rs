//! What `Signer` costs above the provider's own call, with the same key, in one run.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use pki_core::{KeyAlgorithm, Signer};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use signer_hsm::{ExportableKey, Provider, SoftwareKey};

/// About as long as what is signed of a certificate.
const MESSAGE: &[u8] = &[0x30; 600];

/// Pairs of samples of the comparison, and signatures of one sample.
const SAMPLES: usize = 401;
const PER_SAMPLE: u32 = 16;

fn compare(criterion: &mut Criterion, algorithm: KeyAlgorithm, mut bare: impl FnMut(&mut [u8]), signer: &dyn Signer) {
    let mut buffer = vec![0; signer.algorithm().signature_len_max()];
    let mut through = |buffer: &mut [u8]| {
        black_box(signer.sign(black_box(MESSAGE), buffer).expect("a signature"));
    };
    let mut group = criterion.benchmark_group(format!("sign/{algorithm}"));
    group.bench_function("bare", |bencher| bencher.iter(|| bare(&mut buffer)));
    group.bench_function("signer", |bencher| bencher.iter(|| through(&mut buffer)));
    group.finish();

    // The two above run one after the other, and a machine's clock drifts by more than what is looked for between them. So
    // here they take turns, and the median of the differences is told.
    let mut sample = |sign: &mut dyn FnMut(&mut [u8])| {
        let started = WallTime.start();
        (0..PER_SAMPLE).for_each(|_| sign(&mut buffer));
        WallTime.end(started) / PER_SAMPLE
    };
    let mut pairs: Vec<(Duration, Duration)> =
        (0..SAMPLES).map(|_| (sample(&mut bare), sample(&mut through))).collect();
    pairs.sort_unstable_by_key(|(bare, through)| nanoseconds(*through) - nanoseconds(*bare));
    let (without, with) = *pairs.get(SAMPLES / 2).expect("samples");
    let difference = nanoseconds(with) - nanoseconds(without);
    println!("sign/{algorithm}: bare {without:?}, signer {with:?}, difference {difference} ns (budget 500 ns)\n");
}

fn nanoseconds(duration: Duration) -> i64 {
    duration.as_nanos().try_into().expect("less than centuries")
}

/// The same key, for the signer and bare.
fn key(algorithm: KeyAlgorithm) -> (PrivatePkcs8KeyDer<'static>, SoftwareKey) {
    let key = ExportableKey::generate(algorithm).expect("a key");
    let bare = PrivatePkcs8KeyDer::from_pem_slice(key.to_pem().as_bytes()).expect("one block");
    (bare, key.into_signer())
}

fn p256(criterion: &mut Criterion) {
    let (pkcs8, signer) = key(KeyAlgorithm::P256);
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.secret_pkcs8_der()).expect("a pair");
    let bare = |_: &mut [u8]| {
        black_box(pair.sign(&SystemRandom::new(), black_box(MESSAGE)).expect("a signature"));
    };
    compare(criterion, KeyAlgorithm::P256, bare, &signer);

    // Not measured against a floor: what pure Rust costs instead.
    let signer = SoftwareKey::generate_with(Provider::RustCrypto, KeyAlgorithm::P256).expect("a key");
    let mut buffer = [0; 72];
    criterion.bench_function("sign/p256/signer-rustcrypto", |bencher| {
        bencher.iter(|| signer.sign(black_box(MESSAGE), &mut buffer).expect("a signature"));
    });
}

fn ed25519(criterion: &mut Criterion) {
    let (pkcs8, signer) = key(KeyAlgorithm::Ed25519);
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.secret_pkcs8_der()).expect("a pair");
    let bare = |_: &mut [u8]| {
        black_box(pair.try_sign(black_box(MESSAGE)).expect("a signature"));
    };
    compare(criterion, KeyAlgorithm::Ed25519, bare, &signer);
}

fn rsa2048(criterion: &mut Criterion) {
    let (pkcs8, signer) = key(KeyAlgorithm::Rsa2048);
    let pair = RsaKeyPair::from_pkcs8(pkcs8.secret_pkcs8_der()).expect("a pair");
    let bare = |buffer: &mut [u8]| {
        let exact = buffer.get_mut(..256).expect("a buffer for any RSA signature");
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), black_box(MESSAGE), exact).expect("a signature");
    };
    compare(criterion, KeyAlgorithm::Rsa2048, bare, &signer);
}

criterion_group!(benches, p256, ed25519, rsa2048);
criterion_main!(benches);
