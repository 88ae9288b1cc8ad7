//! What a signature of a token costs through `Signer`, beside the bare loop over `C_SignInit` and `C_Sign` on the same
//! token with the same key, in alternation. Needs SoftHSM2; without it the bench fails.
//!
//! The bench starts itself once more with a token of its own in the environment, which is how `SoftHSM` is configured.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench that cannot do its work must stop, and it measures time"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use aws_lc_rs::digest::{SHA256, digest};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};
use pki_core::{KeyAlgorithm, Signer};
use signer_hsm::pkcs11::{Pin, Pkcs11KeyStore, Pkcs11Module, TokenOptions};
use signer_hsm::{KeyLabel, KeySpec, KeyStore};

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
const CHILD: &str = "PKCS11_BENCH_CHILD";
const PIN: &str = "1234";
const LABEL: &str = "bench";
const MESSAGE: &[u8] = &[0xa5; 900];
const RATIO_MAX: f64 = 1.10;

fn main() -> ExitCode {
    let quick = env::args().any(|argument| argument == "--test");
    if env::var_os(CHILD).is_some() {
        return measure(quick);
    }
    if !Path::new(SOFTHSM).exists() {
        eprintln!("pkcs11: {SOFTHSM} is missing; on Debian it comes from softhsm2");
        return ExitCode::FAILURE;
    }
    let directory = env::temp_dir().join(format!("pkcs11-bench-{}", process::id()));
    let outcome = run_child(&directory);
    fs::remove_dir_all(&directory).expect("the token's directory goes away");
    if outcome { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_child(directory: &Path) -> bool {
    let tokens: PathBuf = directory.join("tokens");
    fs::create_dir_all(&tokens).expect("a directory for the token");
    let configuration = directory.join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    fs::write(&configuration, text).expect("a configuration for the token");
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", "t1", "--pin", PIN, "--so-pin", "5678"])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .expect("softhsm2-util runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let this = env::current_exe().expect("this program has a path");
    let mut child = Command::new(this);
    child.args(env::args().skip(1)).env(CHILD, "1").env("SOFTHSM2_CONF", &configuration);
    child.status().expect("the bench starts itself").success()
}

fn measure(quick: bool) -> ExitCode {
    let module = Pkcs11Module::load(SOFTHSM).expect("SoftHSM loads");
    let pin = || Some(Pin::new(PIN.to_owned()));
    let uri = "pkcs11:token=t1".parse().expect("a URI");
    let store = Pkcs11KeyStore::new(&module, uri, pin, TokenOptions::default()).expect("threads");
    let label: KeyLabel = LABEL.parse().expect("a label");
    let signer = store.generate(&label, KeySpec::new(KeyAlgorithm::P256)).expect("the token makes a key");
    // The second view of the initialized module; it neither initializes nor finalizes it.
    let bare = Pkcs11::new(SOFTHSM).expect("SoftHSM loads");

    let (rounds, each) = if quick { (3, 20) } else { (61, 500) };
    let mut sound = true;
    for threads in [1, 2] {
        let mut ratios = Vec::new();
        let (mut floor, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let bare_time = timed(threads, || bare_loop(&bare, each));
            let our_time = timed(threads, || signer_loop(&signer, each));
            ratios.push(our_time.as_secs_f64() / bare_time.as_secs_f64());
            floor.push(micros(bare_time, each, threads));
            ours.push(micros(our_time, each, threads));
        }
        let (ratio, floor, ours) = (median(&mut ratios), median(&mut floor), median(&mut ours));
        println!("pkcs11/p256/{threads} threads: C_Sign {floor:.1} us, Signer::sign {ours:.1} us, ratio {ratio:.3}");
        sound &= quick || ratio <= RATIO_MAX;
    }
    drop((store, signer, bare));
    module.finalize(Duration::from_secs(10)).expect("SoftHSM finalizes");
    if !sound {
        eprintln!("pkcs11: the ratio is above {RATIO_MAX}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn micros(time: Duration, each: u32, threads: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(each) / f64::from(threads)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().expect("a round was measured")
}

/// How long `threads` threads take for one loop each. A loop gets itself ready, then says go, then works.
fn timed<W: FnOnce()>(threads: u32, prepare: impl Fn() -> W + Sync) -> Duration {
    let ready = Barrier::new(usize::try_from(threads).expect("few threads") + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let work = prepare();
                    ready.wait();
                    work();
                })
            })
            .collect();
        ready.wait();
        let start = Instant::now();
        for worker in workers {
            worker.join().expect("no loop fails");
        }
        start.elapsed()
    })
}

fn bare_loop(context: &Pkcs11, each: u32) -> impl FnOnce() + use<> {
    let slot = context.get_slots_with_initialized_token().expect("slots").pop().expect("the token");
    let session = context.open_rw_session(slot).expect("a session");
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(LABEL.into())];
    let key = session.find_objects(&template).expect("an answer").pop().expect("the key");
    move || {
        for _ in 0..each {
            let signature = session.sign(&Mechanism::Ecdsa, key, digest(&SHA256, MESSAGE).as_ref());
            assert_eq!(signature.expect("a signature").len(), 64);
        }
    }
}

fn signer_loop(signer: &Arc<dyn Signer>, each: u32) -> impl FnOnce() + use<> {
    let signer = Arc::clone(signer);
    move || {
        let mut signature = [0; 72];
        for _ in 0..each {
            signer.sign(MESSAGE, &mut signature).expect("a signature");
        }
    }
}
