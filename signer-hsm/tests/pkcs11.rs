//! Keys on real tokens: what the contract promises, and what happens when the token fails.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests wait for other processes")]

use std::error::Error;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pki_core::{KeyAlgorithm, SignErrorKind, SignatureAlgorithm, Signer, sign_to_vec};
use rustls_pki_types::SignatureVerificationAlgorithm;
use signer_hsm::contract::{check_key_store, check_signer};
use signer_hsm::pkcs11::{ExportAttempt, Pin, Pkcs11Error, Pkcs11KeyStore, Pkcs11Module, TokenOptions};
use signer_hsm::{KeyLabel, KeySpec, KeyStore, KeyStoreErrorKind};
use webpki::aws_lc_rs::{
    ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
};

#[path = "support/interop.rs"]
mod interop;
#[path = "support/openssl.rs"]
#[expect(dead_code, reason = "no keys of openssl are needed here, only its judgement")]
mod openssl;
#[path = "support/token.rs"]
mod token;

use interop::{rcgen_issues, x509_cert_issues};
use token::{PIN, SOFTHSM, in_own_process, wait_until};

static VERIFY: &[&dyn SignatureVerificationAlgorithm] =
    &[ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY];
/// Longer than any call on an idle machine takes, so that what it ends was really stuck.
const SHORT: Duration = Duration::from_millis(1500);

fn label(text: &str) -> KeyLabel {
    text.parse().unwrap()
}

fn generate(store: &Pkcs11KeyStore, name: &str) -> Arc<dyn Signer> {
    store.generate(&label(name), KeySpec::new(KeyAlgorithm::P256)).unwrap()
}

fn sign_kind(signer: &dyn Signer) -> Result<usize, SignErrorKind> {
    sign_to_vec(signer, b"message").map(|signature| signature.len()).map_err(|error| error.kind())
}

fn quick() -> TokenOptions {
    let mut options = TokenOptions::default();
    options.call_timeout = SHORT;
    options
}

fn single() -> TokenOptions {
    let mut options = quick();
    options.sessions = 1.try_into().unwrap();
    options
}

fn check_contract(store: &Pkcs11KeyStore, algorithm: KeyAlgorithm) {
    let labels = [&label("contract/a"), &label("contract/b")];
    if let Err(violation) = check_key_store(store, labels, KeySpec::new(algorithm), VERIFY) {
        panic!("{algorithm}: {violation}: {:?}", violation.source());
    }
}

fn mismatch(store: &Pkcs11KeyStore, name: &str) -> String {
    let error = store.open(&label(name)).unwrap_err();
    assert_eq!(error.kind(), KeyStoreErrorKind::Other);
    error.source().unwrap().source().unwrap().to_string()
}

fn finalize(module: &Pkcs11Module) {
    module.finalize(Duration::from_secs(10)).unwrap();
}

#[test]
fn the_contract_holds_in_process() {
    in_own_process("the_contract_holds_in_process", &[], |token| {
        let module = token.softhsm();
        let store = token.store(&module);
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Rsa2048, KeyAlgorithm::Ed25519] {
            check_contract(&store, algorithm);
        }
        store.generate(&label("pss"), KeySpec::new(KeyAlgorithm::Rsa2048)).unwrap();
        let pss = store.open_pss(&label("pss")).unwrap();
        assert_eq!(pss.algorithm(), SignatureAlgorithm::RsaPssSha256);
        check_signer(&*pss, VERIFY).unwrap();
        generate(&store, "ec");
        let refused = store.open_pss(&label("ec")).unwrap_err();
        assert_eq!(refused.kind(), KeyStoreErrorKind::UnsupportedAlgorithm);
        drop((store, pss));
        finalize(&module);
    });
}

#[test]
fn rcgen_and_the_builder_of_x509_cert_issue_with_a_key_of_a_token() {
    in_own_process("rcgen_and_the_builder_of_x509_cert_issue_with_a_key_of_a_token", &[], |token| {
        let module = token.softhsm();
        let store = token.store(&module);
        for kind in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Rsa2048, KeyAlgorithm::Ed25519] {
            let (name, described) = (label(&format!("interop/{kind}")), format!("a token's {kind}"));
            let signer = store.generate(&name, KeySpec::new(kind)).unwrap();
            rcgen_issues(&described, &*signer);
            x509_cert_issues(&described, &*signer);
        }
        drop(store);
        finalize(&module);
    });
}

#[test]
fn the_contract_holds_behind_a_server() {
    in_own_process("the_contract_holds_behind_a_server", &[], |token| {
        let _server = token.server();
        let module = token.client();
        let store = token.store(&module);
        check_contract(&store, KeyAlgorithm::P256);
        check_contract(&store, KeyAlgorithm::Rsa2048);
        // This protocol does not know the mechanism.
        let refused = store.generate(&label("ed"), KeySpec::new(KeyAlgorithm::Ed25519)).unwrap_err();
        assert_eq!(refused.kind(), KeyStoreErrorKind::UnsupportedAlgorithm);
        assert!(!store.find(&label("ed")).unwrap());
        drop(store);
        finalize(&module);
    });
}

#[test]
fn a_module_is_loaded_once_for_all_its_names() {
    in_own_process("a_module_is_loaded_once_for_all_its_names", &[], |token| {
        let link = token.path("link.so");
        symlink(SOFTHSM, &link).unwrap();
        let (module, again) = (token.softhsm(), Pkcs11Module::load(link).unwrap());
        assert_eq!(module.path(), again.path());
        token.store(&module).check().unwrap();
        assert_eq!(again.health().initializations, 1);
        token.store(&again).check().unwrap();
        assert_eq!(module.health().initializations, 1);
        assert!(matches!(Pkcs11Module::load(token.path("none.so")), Err(Pkcs11Error::NotLoaded { .. })));
        finalize(&module);
        token.store(&module).check().unwrap();
        assert_eq!(again.health().initializations, 2);
        finalize(&module);
    });
}

#[test]
fn a_session_of_before_a_restart_is_not_closed_after_it() {
    in_own_process("a_session_of_before_a_restart_is_not_closed_after_it", &[], |token| {
        let module = token.softhsm();
        let (first, second) = (token.store_with(&module, single()), token.store_with(&module, single()));
        first.check().unwrap();
        second.check().unwrap();
        assert_eq!(module.health().logins, 1);
        finalize(&module);
        // Now the second has the number that was the first's. Closing it would end the login of both.
        second.check().unwrap();
        first.check().unwrap();
        second.check().unwrap();
        assert_eq!(module.health().logins, 2);
        drop((first, second));
        finalize(&module);
    });
}

#[test]
fn many_threads_sign_at_once_after_one_login() {
    in_own_process("many_threads_sign_at_once_after_one_login", &[], |token| {
        let module = token.softhsm();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let pin = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Some(Pin::new(PIN.to_owned()))
        };
        let store = Pkcs11KeyStore::new(&module, token.uri(), pin, TokenOptions::default()).unwrap();
        let signer = generate(&store, "shared");
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..50).for_each(|_| assert!(sign_kind(&*signer).is_ok())));
            }
        });
        assert_eq!((asked.load(Ordering::SeqCst), module.health().logins), (1, 1));
        drop((store, signer));
        finalize(&module);
    });
}

#[test]
fn a_killed_server_is_found_again_when_it_is_back() {
    in_own_process("a_killed_server_is_found_again_when_it_is_back", &[], |token| {
        let server = token.server();
        let module = token.client();
        let store = token.store(&module);
        let signer = generate(&store, "key");
        assert!(sign_kind(&*signer).is_ok());

        drop(server);
        for _ in 0..3 {
            assert_eq!(sign_kind(&*signer), Err(SignErrorKind::Unavailable));
            assert_eq!(store.find(&label("key")).unwrap_err().kind(), KeyStoreErrorKind::Unavailable);
        }
        // A server that stays away is not looked for with each call.
        let before = module.health().initializations;
        let start = Instant::now();
        for _ in 0..200 {
            assert_eq!(sign_kind(&*signer), Err(SignErrorKind::Unavailable));
        }
        let (restarts, pauses) = (module.health().initializations - before, start.elapsed().as_millis() / 200);
        assert!(u128::from(restarts) <= pauses + 2, "{restarts} restarts in {:?}", start.elapsed());

        let before = module.health().initializations;
        let server = token.server();
        wait_until("the key signs again", || sign_kind(&*signer).is_ok());
        assert!(module.health().initializations > before, "{:?}", module.health());
        check_signer(&*signer, VERIFY).unwrap();

        // Gone and back between two calls: the next one repeats itself.
        drop(server);
        let _server = token.server();
        thread::sleep(Duration::from_millis(300));
        assert!(sign_kind(&*signer).is_ok());
        drop((store, signer));
        finalize(&module);
    });
}

#[test]
fn a_stopped_server_costs_a_deadline_and_one_thread() {
    in_own_process("a_stopped_server_costs_a_deadline_and_one_thread", &[], |token| {
        let server = token.server();
        let module = token.client();
        let store = token.store_with(&module, single());
        let signer = generate(&store, "key");

        server.signal("-STOP");
        server.signal_children("-STOP");
        let start = Instant::now();
        assert_eq!(sign_kind(&*signer), Err(SignErrorKind::TimedOut));
        assert!((SHORT..SHORT * 3).contains(&start.elapsed()), "{:?}", start.elapsed());

        let health = module.health();
        assert_eq!((health.calls_stuck, health.calls_inside), (1, 1));
        let start = Instant::now();
        for _ in 0..100 {
            assert_eq!(sign_kind(&*signer), Err(SignErrorKind::Unavailable));
        }
        assert!(start.elapsed() < SHORT, "{:?}", start.elapsed());
        assert_eq!(module.health(), health);
        assert!(matches!(store.check(), Err(Pkcs11Error::Stuck { calls: 1 })));
        assert!(matches!(
            module.finalize(Duration::from_millis(100)),
            Err(Pkcs11Error::NotAsked | Pkcs11Error::NoAnswer)
        ));
        assert_eq!(module.health().initializations, health.initializations);

        server.signal_children("-CONT");
        server.signal("-CONT");
        wait_until("the call returns", || module.health().calls_stuck == 0);
        wait_until("the key signs again", || sign_kind(&*signer).is_ok());
        check_signer(&*signer, VERIFY).unwrap();
        assert_eq!(module.health().calls_inside, 0);
        drop((store, signer));
        finalize(&module);
    });
}

#[test]
fn a_token_may_go_and_come_back_under_load() {
    in_own_process("a_token_may_go_and_come_back_under_load", &[], |token| {
        let module = token.softhsm();
        let store = token.store(&module);
        let signer = generate(&store, "key");
        let done = AtomicBool::new(false);
        let (signed, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        match sign_kind(&*signer) {
                            Ok(_) => signed.fetch_add(1, Ordering::SeqCst),
                            Err(SignErrorKind::Unavailable) => failed.fetch_add(1, Ordering::SeqCst),
                            // Neither gone for good nor anybody's fault.
                            Err(other) => panic!("the token was away, found {other:?}"),
                        };
                        thread::sleep(Duration::from_millis(1));
                    }
                });
            }
            wait_until("keys sign", || signed.load(Ordering::SeqCst) > 20);
            token.set_present(false);
            wait_until("signing fails", || failed.load(Ordering::SeqCst) > 20);
            assert_eq!(store.find(&label("key")).unwrap_err().kind(), KeyStoreErrorKind::Unavailable);
            token.set_present(true);
            let before = signed.load(Ordering::SeqCst);
            wait_until("keys sign again", || signed.load(Ordering::SeqCst) > before + 20);
            done.store(true, Ordering::SeqCst);
        });
        drop((store, signer));
        finalize(&module);
    });
}

#[test]
fn a_wrong_pin_is_sent_once() {
    in_own_process("a_wrong_pin_is_sent_once", &[], |token| {
        let module = token.shim();
        let right = Arc::new(AtomicBool::new(false));
        let known = Arc::clone(&right);
        let pin = move || Some(Pin::new(if known.load(Ordering::SeqCst) { PIN } else { "9999" }.to_owned()));
        let good = token.store(&module);
        let signer = generate(&good, "key");
        assert_eq!(token.logins(), 1);
        // The next initialization has to log in again, and the handle has to find its key again.
        finalize(&module);

        let store = Pkcs11KeyStore::new(&module, token.uri(), pin, TokenOptions::default()).unwrap();
        assert!(matches!(store.check(), Err(Pkcs11Error::PinRefused(_))));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        assert!(matches!(store.check(), Err(Pkcs11Error::LoginWithheld)));
                    }
                });
            }
        });
        assert!(store.open(&label("key")).is_err());
        assert_eq!((token.logins(), module.health().logins), (2, 2));

        right.store(true, Ordering::SeqCst);
        assert!(matches!(store.check(), Err(Pkcs11Error::LoginWithheld)));
        store.allow_login();
        let opened = store.open(&label("key")).unwrap();
        assert_eq!(opened.public_key(), signer.public_key());
        assert!(sign_kind(&*signer).is_ok());
        assert_eq!(token.logins(), 3);
        drop((store, opened, good, signer));
        finalize(&module);
    });
}

/// `CKR_DEVICE_ERROR`: some tokens have counted the PIN when they say so.
#[test]
fn a_login_that_fails_for_another_reason_is_sent_twice_at_most() {
    let name = "a_login_that_fails_for_another_reason_is_sent_twice_at_most";
    in_own_process(name, &[("SHIM_LOGIN_ANSWER", "0x30")], |token| {
        let module = token.shim();
        let store = token.store(&module);
        assert!(matches!(store.check(), Err(Pkcs11Error::Call(_))));
        for _ in 0..5 {
            assert!(matches!(store.check(), Err(Pkcs11Error::LoginWithheld)));
        }
        assert_eq!(token.logins(), 2);
        store.allow_login();
        for _ in 0..5 {
            assert!(store.check().is_err());
        }
        assert!(matches!(store.check(), Err(Pkcs11Error::LoginWithheld)));
        assert_eq!(token.logins(), 4);
        drop(store);
        finalize(&module);
    });
}

#[test]
fn a_key_that_one_store_destroys_is_gone_for_another_and_no_handle_moves() {
    in_own_process("a_key_that_one_store_destroys_is_gone_for_another_and_no_handle_moves", &[], |token| {
        let module = token.softhsm();
        let (one, other) = (token.store(&module), token.store(&module));
        generate(&one, "key");
        let handle = other.open(&label("key")).unwrap();
        assert!(sign_kind(&*handle).is_ok());
        one.destroy(&label("key")).unwrap();
        assert_eq!(sign_kind(&*handle), Err(SignErrorKind::KeyNotFound));
        // The next key may get the number of the object that was destroyed.
        let next = generate(&one, "key");
        assert_eq!(sign_kind(&*handle), Err(SignErrorKind::KeyNotFound));
        assert!(sign_kind(&*next).is_ok());
        drop((one, other, handle, next));
        finalize(&module);
    });
}

#[test]
fn a_refused_pin_denies_access_to_the_handle() {
    in_own_process("a_refused_pin_denies_access_to_the_handle", &[], |token| {
        let module = token.softhsm();
        let wrong = Arc::new(AtomicBool::new(false));
        let known = Arc::clone(&wrong);
        let pin = move || Some(Pin::new(if known.load(Ordering::SeqCst) { "9999" } else { PIN }.to_owned()));
        let store = Pkcs11KeyStore::new(&module, token.uri(), pin, TokenOptions::default()).unwrap();
        let signer = generate(&store, "key");
        wrong.store(true, Ordering::SeqCst);
        finalize(&module);
        for _ in 0..3 {
            assert_eq!(sign_kind(&*signer), Err(SignErrorKind::AccessDenied));
        }
        assert_eq!(module.health().logins, 2);
        let none = Pkcs11KeyStore::new(&module, token.uri(), || None, TokenOptions::default()).unwrap();
        assert!(matches!(none.check(), Err(Pkcs11Error::PinMissing)));
        let panics = Pkcs11KeyStore::new(&module, token.uri(), || panic!("planted"), TokenOptions::default()).unwrap();
        assert!(matches!(panics.check(), Err(Pkcs11Error::PinMissing)));
        assert_eq!(module.health().logins, 2);
        drop((store, signer, none, panics));
        finalize(&module);
    });
}

#[test]
fn workers_without_a_session_leave_the_work_to_the_others() {
    let one = [("SHIM_SESSIONS", "1")];
    in_own_process("workers_without_a_session_leave_the_work_to_the_others", &one, |token| {
        let module = token.shim();
        let mut options = quick();
        options.sessions = 4.try_into().unwrap();
        options.call_timeout = Duration::from_secs(10);
        let store = token.store_with(&module, options);
        let signer = generate(&store, "key");
        check_signer(&*signer, VERIFY).unwrap();

        // Another store finds no session left, waits, and says so.
        let other = token.store_with(&module, quick());
        let start = Instant::now();
        assert!(matches!(other.check(), Err(Pkcs11Error::SessionLimit(_))));
        assert!(start.elapsed() >= SHORT / 3 && start.elapsed() < SHORT, "{:?}", start.elapsed());
        assert_eq!(other.find(&label("key")).unwrap_err().kind(), KeyStoreErrorKind::Unavailable);
        drop((store, signer));
        other.check().unwrap();
        drop(other);
        finalize(&module);
    });
}

#[test]
fn of_two_keys_with_one_label_none_is_picked() {
    in_own_process("of_two_keys_with_one_label_none_is_picked", &[], |token| {
        let module = token.softhsm();
        let store = token.store(&module);
        let signer = generate(&store, "twin");
        token.make_key("twin", "p256", &["sign"]);
        let twin = label("twin");
        for error in [store.find(&twin).unwrap_err(), store.open(&twin).unwrap_err(), store.destroy(&twin).unwrap_err()]
        {
            assert_eq!(error.kind(), KeyStoreErrorKind::Other);
            assert_eq!(error.source().unwrap().to_string(), "one key must have the label, found 2");
        }
        let error = store.generate(&twin, KeySpec::new(KeyAlgorithm::P256)).unwrap_err();
        assert_eq!(error.kind(), KeyStoreErrorKind::AlreadyExists);
        // A handle is bound to its key and not to the label; a URI that says which one opens it.
        assert!(sign_kind(&*signer).is_ok());
        let other = store.open_object(&"pkcs11:object=twin;id=%01;type=private".parse().unwrap()).unwrap();
        assert_ne!(other.public_key(), signer.public_key());
        check_signer(&*other, VERIFY).unwrap();
        for unnamed in ["pkcs11:", "pkcs11:token=t1", "pkcs11:object=twin;type=public"] {
            assert!(matches!(store.open_object(&unnamed.parse().unwrap()), Err(Pkcs11Error::ObjectNotNamed)));
        }
        drop((store, signer, other));
        finalize(&module);
    });
}

#[test]
fn a_key_deleted_by_another_process_is_not_found() {
    in_own_process("a_key_deleted_by_another_process_is_not_found", &[], |token| {
        let module = token.softhsm();
        let store = token.store(&module);
        let signer = generate(&store, "gone");
        assert!(sign_kind(&*signer).is_ok());
        token.pkcs11_tool(&["--delete-object", "--type", "privkey", "--label", "gone"]);
        assert_eq!(sign_kind(&*signer), Err(SignErrorKind::KeyNotFound));
        assert!(!store.find(&label("gone")).unwrap());
        // The public half that stayed is in nobody's way.
        let again = generate(&store, "gone");
        assert!(sign_kind(&*again).is_ok());
        assert_eq!(sign_kind(&*signer), Err(SignErrorKind::KeyNotFound));
        assert_eq!(store.open(&label("gone")).unwrap().public_key(), again.public_key());
        drop((store, signer, again));
        finalize(&module);
    });
}

#[test]
fn another_key_of_the_same_label_and_id_is_not_the_handles() {
    in_own_process("another_key_of_the_same_label_and_id_is_not_the_handles", &[], |token| {
        let module = token.softhsm();
        let store = token.store(&module);
        token.make_key("swapped", "p256", &["sign"]);
        let signer = store.open(&label("swapped")).unwrap();
        assert!(sign_kind(&*signer).is_ok());
        for kind in ["privkey", "pubkey"] {
            token.pkcs11_tool(&["--delete-object", "--type", kind, "--label", "swapped"]);
        }
        token.make_key("swapped", "p256", &["sign"]);
        assert_eq!(sign_kind(&*signer), Err(SignErrorKind::KeyNotFound));
        let other = store.open(&label("swapped")).unwrap();
        assert!(sign_kind(&*other).is_ok());
        assert_eq!(sign_kind(&*signer), Err(SignErrorKind::KeyNotFound));
        // Without its public half it cannot be told what it is.
        token.pkcs11_tool(&["--delete-object", "--type", "pubkey", "--label", "swapped"]);
        assert_eq!(mismatch(&store, "swapped"), "no public key object has the private key's `CKA_ID`");
        drop((store, signer, other));
        finalize(&module);
    });
}

#[test]
fn a_key_that_is_not_safe_is_refused_by_attribute() {
    in_own_process("a_key_that_is_not_safe_is_refused_by_attribute", &[], |token| {
        let module = token.softhsm();
        let store = token.store(&module);
        for (name, kind, flags, expected) in [
            (
                "readable",
                "p256",
                ["sign", "readable"].as_slice(),
                "`CKA_SENSITIVE` of the private key must be `true`, found `false`",
            ),
            (
                "extractable",
                "p256",
                &["sign", "extractable"],
                "`CKA_EXTRACTABLE` of the private key must be `false`, found `true`",
            ),
            ("mute", "p256", &["derive"], "`CKA_SIGN` of the private key must be `true`, found `false`"),
            ("decrypts", "rsa", &["sign", "decrypt"], "`CKA_DECRYPT` of the private key must be `false`, found `true`"),
            ("unwraps", "rsa", &["sign", "unwrap"], "`CKA_UNWRAP` of the private key must be `false`, found `true`"),
            ("derives", "p256", &["sign", "derive"], "`CKA_DERIVE` of the private key must be `false`, found `true`"),
        ] {
            token.make_key(name, kind, flags);
            assert_eq!(mismatch(&store, name), expected);
            store.destroy(&label(name)).unwrap();
        }
        drop(store);
        finalize(&module);
    });
}

#[test]
fn an_imported_key_is_opened_only_if_that_is_allowed() {
    in_own_process("an_imported_key_is_opened_only_if_that_is_allowed", &[], |token| {
        let module = token.softhsm();
        let store = token.store(&module);
        let key = token.path("key.p8");
        let file = key.to_str().unwrap();
        let made = std::process::Command::new("openssl")
            .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file])
            .output()
            .unwrap();
        assert!(made.status.success());
        let imported = std::process::Command::new("softhsm2-util")
            .args(["--import", file, "--token", "t1", "--pin", PIN, "--label", "imported", "--id", "0a"])
            .output()
            .unwrap();
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        assert_eq!(
            mismatch(&store, "imported"),
            "`CKA_ALWAYS_SENSITIVE` of the private key must be `true`, found `false`"
        );
        let mut options = TokenOptions::default();
        options.accept_imported = true;
        let lenient = token.store_with(&module, options);
        let signer = lenient.open(&label("imported")).unwrap();
        check_signer(&*signer, VERIFY).unwrap();
        // What else it may do is judged all the same.
        token.make_key("extractable", "p256", &["sign", "extractable"]);
        assert!(mismatch(&lenient, "extractable").starts_with("`CKA_EXTRACTABLE`"));
        drop(signer);
        drop((store, lenient));
        finalize(&module);
    });
}

#[test]
fn our_keys_yield_nothing_and_an_extractable_one_everything() {
    in_own_process("our_keys_yield_nothing_and_an_extractable_one_everything", &[], |token| {
        let module = token.softhsm();
        let store = token.store(&module);
        for (name, algorithm) in [("p256", KeyAlgorithm::P256), ("rsa", KeyAlgorithm::Rsa2048)] {
            store.generate(&label(name), KeySpec::new(algorithm)).unwrap();
            let probe = store.probe_export(&label(name)).unwrap();
            assert!(probe.yields_nothing(), "{name}: {probe:?}");
        }
        for (name, kind) in [("open-p256", "p256"), ("open-rsa", "rsa")] {
            token.make_key(name, kind, &["sign", "readable", "extractable"]);
            let probe = store.probe_export(&label(name)).unwrap();
            for attempt in [&probe.read, &probe.wrap, &probe.copy] {
                assert!(matches!(attempt, ExportAttempt::Yielded(32..)), "{name}: {probe:?}");
            }
            assert!(!probe.yields_nothing());
        }
        assert!(matches!(store.probe_export(&label("none")), Err(Pkcs11Error::KeyNotFound)));
        drop(store);
        finalize(&module);
    });
}

#[test]
fn a_token_that_is_not_there_or_not_alone_is_named_so() {
    in_own_process("a_token_that_is_not_there_or_not_alone_is_named_so", &[], |token| {
        let module = token.softhsm();
        let open = |uri: &str| {
            let pin = || Some(Pin::new(PIN.to_owned()));
            Pkcs11KeyStore::new(&module, uri.parse().unwrap(), pin, TokenOptions::default()).unwrap().check()
        };
        open("pkcs11:token=t1;manufacturer=SoftHSM%20project").unwrap();
        assert!(matches!(open("pkcs11:token=t2"), Err(Pkcs11Error::TokenNotFound)));
        assert!(matches!(open("pkcs11:token=t1;serial=00"), Err(Pkcs11Error::TokenNotFound)));
        finalize(&module);
        let second = std::process::Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "t2", "--pin", PIN, "--so-pin", "5678"])
            .output()
            .unwrap();
        assert!(second.status.success());
        open("pkcs11:token=t2").unwrap();
        assert!(matches!(open("pkcs11:model=SoftHSM%20v2"), Err(Pkcs11Error::TokenAmbiguous { found: 2 })));
        finalize(&module);
    });
}
