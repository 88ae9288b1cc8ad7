//! The software backend on each provider against the contract, against webpki and against the `openssl` command line.
#![cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests stop at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pki_core::{KeyAlgorithm, SignErrorKind, SignatureAlgorithm, Signer, sign_to_vec};
use rustls_pki_types::SignatureVerificationAlgorithm;
use signer_hsm::contract::{check_key_store, check_signer};
use signer_hsm::{KeyError, KeyLabel, KeySpec, KeyStore, KeyStoreErrorKind, Provider, SoftwareKey, SoftwareKeyStore};
use webpki::aws_lc_rs::{
    ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
};

use crate::backends::backends;
use crate::kinds::kinds;
use crate::openssl::{ec, genpkey_pem, openssl, rsa};

#[cfg(test)]
#[path = "support/backends.rs"]
mod backends;
#[cfg(test)]
#[path = "support/kinds.rs"]
mod kinds;

#[cfg(test)]
#[path = "support/openssl.rs"]
mod openssl;

static VERIFY: &[&dyn SignatureVerificationAlgorithm] =
    &[ECDSA_P256_SHA256, ECDSA_P384_SHA384, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY, ED25519];

/// For what is the store's and not the provider's.
const FIRST: Provider = match Provider::ALL.first() {
    Some(provider) => *provider,
    None => panic!("these tests need a provider"),
};

const RSA: [KeyAlgorithm; 3] = [KeyAlgorithm::Rsa2048, KeyAlgorithm::Rsa3072, KeyAlgorithm::Rsa4096];

/// Every kind of key on every provider that makes it.
fn everything() -> impl Iterator<Item = (Provider, KeyAlgorithm)> {
    Provider::ALL.iter().flat_map(|provider| kinds(*provider).into_iter().map(|kind| (*provider, kind)))
}

fn generate(provider: Provider, algorithm: KeyAlgorithm) -> SoftwareKey {
    SoftwareKey::generate_with(provider, algorithm).unwrap()
}

#[test]
fn every_algorithm_keeps_the_signer_contract() {
    for (provider, algorithm) in everything() {
        let key = generate(provider, algorithm);
        assert_eq!((key.provider(), key.key_algorithm()), (provider, algorithm));
        assert_eq!(key.algorithm(), algorithm.certificate_signature());
        check_signer(&key, VERIFY).unwrap_or_else(|violation| panic!("{provider:?} {algorithm}: {violation}"));
    }
}

#[cfg(all(feature = "rustcrypto", not(feature = "rsa-software-signing")))]
#[test]
fn without_its_feature_no_rsa_key_is_made_or_read_by_the_crate_rsa() {
    for algorithm in RSA {
        let refused = SoftwareKey::generate_with(Provider::RustCrypto, algorithm).unwrap_err();
        assert_eq!(refused, KeyError::UnsupportedAlgorithm);
    }
    let der = genpkey(&rsa("rsa_keygen_bits:2048"));
    let refused = SoftwareKey::from_pkcs8_der_with(Provider::RustCrypto, &der).unwrap_err();
    assert_eq!(refused, KeyError::UnsupportedAlgorithm);
}

/// A build that has both providers, whoever asked for the second, gives the first one to whoever names none.
#[cfg(all(feature = "aws-lc-rs", feature = "rustcrypto"))]
#[test]
fn features_change_nobodys_provider() {
    assert_eq!(SoftwareKey::generate(KeyAlgorithm::P256).unwrap().provider(), Provider::AwsLcRs);
    let der = genpkey(&ec("ec_paramgen_curve:P-256"));
    let (fast, rust) =
        (SoftwareKey::from_pkcs8_der(&der), SoftwareKey::from_pkcs8_der_with(Provider::RustCrypto, &der));
    let (fast, rust) = (fast.unwrap(), rust.unwrap());
    assert_eq!((fast.provider(), rust.provider()), (Provider::AwsLcRs, Provider::RustCrypto));
    // What tells them apart from outside: RFC 6979 has no entropy.
    let twice = |key: &SoftwareKey| [(); 2].map(|()| sign_to_vec(key, b"message").unwrap());
    assert!(matches!(twice(&fast), [first, second] if first != second));
    assert!(matches!(twice(&rust), [first, second] if first == second));
}

#[test]
fn every_rsa_size_keeps_the_signer_contract_with_pss() {
    for (provider, algorithm) in everything().filter(|(_, algorithm)| RSA.contains(algorithm)) {
        let plain = generate(provider, algorithm);
        let spki = plain.public_key().clone();
        let pss = plain.into_pss().unwrap();
        assert_eq!(pss.algorithm(), SignatureAlgorithm::RsaPssSha256);
        assert_eq!(pss.public_key(), &spki);
        check_signer(&pss, VERIFY).unwrap_or_else(|violation| panic!("{provider:?} {algorithm}: {violation}"));
    }
}

#[test]
fn only_rsa_signs_with_pss() {
    for (provider, algorithm) in everything().filter(|(_, algorithm)| !RSA.contains(algorithm)) {
        let refused = generate(provider, algorithm).into_pss();
        assert_eq!(refused.unwrap_err(), KeyError::NotRsa);
    }
}

#[test]
fn the_store_keeps_the_key_store_contract_for_every_algorithm() {
    let (first, second) = (label("contract/one"), label("contract/two"));
    for backend in backends() {
        for algorithm in backend.kinds {
            check_key_store(&*backend.store, [&first, &second], KeySpec::new(algorithm), VERIFY)
                .unwrap_or_else(|violation| panic!("{} {algorithm}: {violation}", backend.name));
        }
    }
}

#[test]
fn a_destroyed_key_cannot_sign_through_any_handle() {
    let store = SoftwareKeyStore::with_provider(FIRST);
    let name = label("cluster/1");
    let generated = store.generate(&name, KeySpec::new(KeyAlgorithm::P256)).unwrap();
    let opened = store.open(&name).unwrap();
    assert!(sign_to_vec(&*opened, b"before").is_ok());

    store.destroy(&name).unwrap();
    store.destroy(&name).unwrap();
    for handle in [&generated, &opened] {
        assert_eq!(sign_to_vec(&**handle, b"after").unwrap_err().kind(), SignErrorKind::KeyNotFound);
    }
    assert!(!store.find(&name).unwrap());
    assert_eq!(store.open(&name).unwrap_err().kind(), KeyStoreErrorKind::NotFound);
}

#[test]
fn an_imported_key_has_a_handle_like_any_other() {
    let store = SoftwareKeyStore::with_provider(FIRST);
    let name = label("adopted/cluster/1");
    let key = SoftwareKey::from_pkcs8_der_with(FIRST, &genpkey(&["-algorithm", "ED25519"])).unwrap();
    let spki = key.public_key().clone();

    let imported = store.import(&name, key).unwrap();
    assert_eq!(imported.public_key(), &spki);
    check_signer(&*store.open(&name).unwrap(), VERIFY).unwrap();

    let second = generate(FIRST, KeyAlgorithm::P256);
    let refused = store.import(&name, second).unwrap_err();
    assert_eq!(refused.kind(), KeyStoreErrorKind::AlreadyExists);
    assert_eq!(refused.label(), &name);
    assert_eq!(store.open(&name).unwrap().public_key(), &spki);

    store.destroy(&name).unwrap();
    assert_eq!(sign_to_vec(&*imported, b"after").unwrap_err().kind(), SignErrorKind::KeyNotFound);
}

#[test]
fn of_threads_that_generate_one_label_exactly_one_wins() {
    let store = SoftwareKeyStore::with_provider(FIRST);
    let name = label("raced");
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| store.generate(&name, KeySpec::new(KeyAlgorithm::P256)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for refused in lost {
        assert_eq!(refused.unwrap_err().kind(), KeyStoreErrorKind::AlreadyExists);
    }
    let winner = won.into_iter().next().unwrap().unwrap();
    assert_eq!(store.open(&name).unwrap().public_key(), winner.public_key());
}

#[test]
fn once_destroy_has_returned_no_busy_thread_gets_another_signature() {
    let store = SoftwareKeyStore::with_provider(FIRST);
    let name = label("busy");
    let signer = store.generate(&name, KeySpec::new(KeyAlgorithm::P256)).unwrap();
    let destroyed = AtomicBool::new(false);
    thread::scope(|scope| {
        let busy = || {
            loop {
                let too_late = destroyed.load(Ordering::SeqCst);
                match sign_to_vec(&*signer, b"message") {
                    Err(error) => return error.kind(),
                    Ok(_) => assert!(!too_late, "a destroyed key has signed"),
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(busy)).collect();
        store.destroy(&name).unwrap();
        destroyed.store(true, Ordering::SeqCst);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), SignErrorKind::KeyNotFound);
        }
    });
}

#[test]
fn nothing_secret_is_printed() {
    for provider in Provider::ALL {
        let store = SoftwareKeyStore::with_provider(*provider);
        store.generate(&label("a"), KeySpec::new(KeyAlgorithm::P256)).unwrap();
        let key = generate(*provider, KeyAlgorithm::P384);
        assert_eq!(format!("{key:?}"), "SoftwareKey { key_algorithm: P384, algorithm: EcdsaP384Sha384, .. }");
        let printed = format!("{store:?}");
        assert!(printed.contains("SoftwareKey { key_algorithm: P256, algorithm: EcdsaP256Sha256, .. }"));
        assert!(!printed.contains("EcdsaKeyPair") && !printed.contains("SigningKey"));
    }
}

#[test]
fn keys_of_openssl_are_imported_with_the_public_key_that_openssl_writes() {
    for (arguments, expected) in [
        (ec("ec_paramgen_curve:P-256").as_slice(), KeyAlgorithm::P256),
        (ec("ec_paramgen_curve:P-384").as_slice(), KeyAlgorithm::P384),
        (rsa("rsa_keygen_bits:2048").as_slice(), KeyAlgorithm::Rsa2048),
        (rsa("rsa_keygen_bits:3072").as_slice(), KeyAlgorithm::Rsa3072),
        (rsa("rsa_keygen_bits:4096").as_slice(), KeyAlgorithm::Rsa4096),
        (&["-algorithm", "ED25519"], KeyAlgorithm::Ed25519),
    ] {
        let der = genpkey(arguments);
        for (provider, _) in everything().filter(|(_, algorithm)| *algorithm == expected) {
            let key = SoftwareKey::from_pkcs8_der_with(provider, &der).unwrap();
            assert_eq!(key.key_algorithm(), expected);
            assert_eq!(key.public_key().as_ref(), public_half(&der), "{provider:?} {expected}");
            check_signer(&key, VERIFY).unwrap_or_else(|violation| panic!("{provider:?} {expected}: {violation}"));
        }
    }
}

#[test]
fn one_rsa_key_serves_two_handles_by_being_imported_twice() {
    let der = genpkey(&rsa("rsa_keygen_bits:2048"));
    for (provider, _) in everything().filter(|(_, algorithm)| *algorithm == KeyAlgorithm::Rsa2048) {
        let certificates = SoftwareKey::from_pkcs8_der_with(provider, &der).unwrap();
        let tls = SoftwareKey::from_pkcs8_der_with(provider, &der).unwrap().into_pss().unwrap();
        assert_eq!(certificates.public_key(), tls.public_key());
        check_signer(&certificates, VERIFY).unwrap();
        check_signer(&tls, VERIFY).unwrap();
    }
}

#[test]
fn a_compressed_point_comes_out_uncompressed() {
    let pem = openssl(["ec", "-conv_form", "compressed"], &genpkey_pem(&ec("ec_paramgen_curve:P-256")));
    let der = to_pkcs8(&pem);
    for provider in Provider::ALL {
        let key = SoftwareKey::from_pkcs8_der_with(*provider, &der).unwrap();
        assert_eq!(key.public_key().as_ref().len(), 91);
        assert_eq!(key.public_key().as_ref().get(26), Some(&0x04));
        check_signer(&key, VERIFY).unwrap();
    }
}

#[test]
fn keys_of_other_kinds_are_refused_by_name() {
    for (arguments, expected) in [
        (ec("ec_paramgen_curve:secp256k1").as_slice(), KeyError::UnsupportedAlgorithm),
        (ec("ec_paramgen_curve:P-521").as_slice(), KeyError::UnsupportedAlgorithm),
        (ec("ec_paramgen_curve:P-224").as_slice(), KeyError::UnsupportedAlgorithm),
        (
            &[ec("ec_paramgen_curve:P-256").as_slice(), &["-pkeyopt", "ec_param_enc:explicit"]].concat(),
            KeyError::UnsupportedAlgorithm,
        ),
        (&["-algorithm", "X25519"], KeyError::UnsupportedAlgorithm),
        (&["-algorithm", "ED448"], KeyError::UnsupportedAlgorithm),
        (&["-algorithm", "RSA-PSS"], KeyError::UnsupportedAlgorithm),
        (
            &[rsa("rsa_keygen_bits:2048").as_slice(), &["-pkeyopt", "rsa_keygen_pubexp:3"]].concat(),
            KeyError::UnsupportedRsaExponent,
        ),
    ] {
        let refused = SoftwareKey::from_pkcs8_der_with(FIRST, &genpkey(arguments));
        assert_eq!(refused.unwrap_err(), expected, "{arguments:?}");
    }
}

#[test]
fn other_rsa_sizes_are_refused_with_the_size() {
    for bits in ["1024", "2040", "2056", "2560"] {
        let refused =
            SoftwareKey::from_pkcs8_der_with(FIRST, &genpkey(&rsa(&format!("rsa_keygen_bits:{bits}")))).unwrap_err();
        let KeyError::UnsupportedRsaModulus(modulus) = refused else {
            panic!("{bits}: {refused}");
        };
        assert_eq!(modulus.bits().to_string(), bits);
        let message = format!("RSA modulus must have `2048`, `3072` or `4096` bits, found `{bits}`");
        assert_eq!(refused.to_string(), message);
    }
}

#[test]
fn an_encrypted_key_is_refused_by_name() {
    let encrypted = openssl(
        ["pkcs8", "-topk8", "-outform", "DER", "-passout", "pass:test"],
        &genpkey_pem(&ec("ec_paramgen_curve:P-256")),
    );
    assert_eq!(SoftwareKey::from_pkcs8_der_with(FIRST, &encrypted).unwrap_err(), KeyError::Encrypted);
}

#[test]
fn other_containers_are_refused() {
    let pem = genpkey_pem(&ec("ec_paramgen_curve:P-256"));
    let sec1 = openssl(["ec", "-outform", "DER"], &pem);
    let pkcs1 = openssl(["rsa", "-traditional", "-outform", "DER"], &genpkey_pem(&rsa("rsa_keygen_bits:2048")));
    let spki = openssl(["pkey", "-pubout", "-outform", "DER"], &pem);
    for refused in [pem, sec1, pkcs1, spki] {
        assert_eq!(SoftwareKey::from_pkcs8_der_with(FIRST, &refused).unwrap_err(), KeyError::Malformed);
    }
}

#[test]
fn a_key_that_is_cut_off_anywhere_or_followed_by_anything_is_refused() {
    for arguments in
        [ec("ec_paramgen_curve:P-256").as_slice(), &["-algorithm", "ED25519"], &rsa("rsa_keygen_bits:2048")]
    {
        let der = genpkey(arguments);
        for len in 0..der.len() {
            let refused = SoftwareKey::from_pkcs8_der_with(FIRST, der.get(..len).unwrap());
            assert_eq!(refused.unwrap_err(), KeyError::Malformed, "{len} octets");
        }
        let followed = [der.as_slice(), &[0]].concat();
        assert_eq!(SoftwareKey::from_pkcs8_der_with(FIRST, &followed).unwrap_err(), KeyError::TrailingData);
    }
}

#[test]
fn garbage_is_refused() {
    for garbage in [&b""[..], b"\0", b"garbage", &[0x30, 0], &[0x30, 0x80, 0, 0], &[0xff; 4096]] {
        assert_eq!(SoftwareKey::from_pkcs8_der_with(FIRST, garbage).unwrap_err(), KeyError::Malformed);
    }
}

/// Only what carries no redundancy survives a change: the version (0 or 1), about which pkcs8 is stricter than
/// aws-lc-rs, and the seed of Ed25519, whose public key is derived from it. The crate `rsa` computes what the file says of the
/// Chinese remainder theorem itself, so a change of that survives there. What survives must be a sound key.
#[test]
fn a_changed_octet_gives_an_error_or_a_sound_key() {
    for (arguments, survivors) in [
        (ec("ec_paramgen_curve:P-256").as_slice(), 0..1),
        (ec("ec_paramgen_curve:P-384").as_slice(), 0..1),
        // Two exponents and the coefficient have 129 octets each, at most.
        (rsa("rsa_keygen_bits:2048").as_slice(), 300..3 * 129 + 1),
        (&["-algorithm", "ED25519"], 32..33),
    ] {
        let der = genpkey(arguments);
        for provider in Provider::ALL {
            let Ok(unchanged) = SoftwareKey::from_pkcs8_der_with(*provider, &der) else {
                continue;
            };
            let mut sound = 0;
            for position in 0..der.len() {
                let mut changed = der.clone();
                *changed.get_mut(position).unwrap() ^= 0x01;
                if let Ok(key) = SoftwareKey::from_pkcs8_der_with(*provider, &changed) {
                    verify_once(&key);
                    sound += 1;
                }
            }
            let expected = match (is_aws_lc_rs(*provider), unchanged.key_algorithm()) {
                (true, KeyAlgorithm::Ed25519) => 33..34,
                (true, _) => 1..2,
                (false, _) => survivors.clone(),
            };
            assert!(expected.contains(&sound), "{provider:?} {arguments:?}: {sound}");
        }
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let mut der = genpkey(&ec("ec_paramgen_curve:P-256"));
    // The last octet is the public point's.
    *der.last_mut().unwrap() ^= 1;
    for provider in Provider::ALL {
        let refused = SoftwareKey::from_pkcs8_der_with(*provider, &der).unwrap_err();
        assert_eq!(refused, KeyError::Inconsistent, "{provider:?}");
    }

    let der = genpkey(&rsa("rsa_keygen_bits:2048"));
    for (provider, _) in everything().filter(|(_, algorithm)| *algorithm == KeyAlgorithm::Rsa2048) {
        let refused = |der: &[u8]| SoftwareKey::from_pkcs8_der_with(provider, der).unwrap_err();
        // One octet of the modulus, which stands near the beginning.
        let mut changed = der.clone();
        *changed.get_mut(100).unwrap() ^= 2;
        assert_eq!(refused(&changed), KeyError::Inconsistent, "{provider:?}");
        if is_aws_lc_rs(provider) {
            // The last octet is the CRT coefficient's.
            let mut changed = der.clone();
            *changed.last_mut().unwrap() ^= 2;
            assert_eq!(refused(&changed), KeyError::Inconsistent, "{provider:?}");
        }
    }
}

fn is_aws_lc_rs(provider: Provider) -> bool {
    match provider {
        #[cfg(feature = "aws-lc-rs")]
        Provider::AwsLcRs => true,
        _ => false,
    }
}

#[test]
fn openssl_verifies_our_signatures() {
    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"];
    let judged = [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Rsa2048, KeyAlgorithm::Ed25519];
    for (provider, algorithm) in everything().filter(|(_, algorithm)| judged.contains(algorithm)) {
        let key = generate(provider, algorithm);
        let digest = if algorithm == KeyAlgorithm::P384 { "-sha384" } else { "-sha256" };
        openssl_judges(&key, digest, &[]);
        if let Ok(key) = key.into_pss() {
            openssl_judges(&key, "-sha256", &pss);
        }
    }
}

/// The right message must verify and a wrong one must not.
fn openssl_judges(key: &SoftwareKey, digest: &str, options: &[&str]) {
    let room = tempfile::tempdir().unwrap();
    let [message, wrong, signature, public] =
        ["message", "wrong", "signature", "public"].map(|name| room.path().join(name));
    fs::write(&message, b"to be signed").unwrap();
    fs::write(&wrong, b"to be sighed").unwrap();
    fs::write(&signature, sign_to_vec(key, b"to be signed").unwrap()).unwrap();
    fs::write(&public, key.public_key().as_ref()).unwrap();

    let verify = |message: &Path| {
        let mut command = Command::new("openssl");
        if key.algorithm() == SignatureAlgorithm::Ed25519 {
            command.args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin", "-inkey"]);
            command.arg(&public).arg("-sigfile").arg(&signature).arg("-in").arg(message);
        } else {
            command.args(["dgst", digest, "-keyform", "DER"]).args(options).arg("-verify").arg(&public);
            command.arg("-signature").arg(&signature).arg(message);
        }
        let output = command.output().unwrap_or_else(|error| panic!("openssl does not run: {error}"));
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (verified, said) = verify(&message);
    assert!(verified, "{}: {said}", key.algorithm());
    assert!(!verify(&wrong).0, "{}", key.algorithm());
}

fn label(text: &str) -> KeyLabel {
    text.parse().unwrap()
}

fn verify_once(key: &SoftwareKey) {
    let verifier = VERIFY.iter().find(|verifier| verifier.signature_alg_id() == key.algorithm().identifier()).unwrap();
    let signature = sign_to_vec(key, b"message").unwrap();
    // The key is the tail of the structure; its place depends on nothing but the algorithm.
    let header = match key.key_algorithm() {
        KeyAlgorithm::P256 => 26,
        KeyAlgorithm::P384 => 23,
        KeyAlgorithm::Ed25519 => 12,
        _ => 24,
    };
    let public_key = key.public_key().as_ref().get(header..).unwrap();
    verifier.verify_signature(public_key, b"message", &signature).unwrap();
}

/// A fresh key as plain PKCS#8 in DER.
fn genpkey(arguments: &[&str]) -> Vec<u8> {
    to_pkcs8(&genpkey_pem(arguments))
}

fn to_pkcs8(pem: &[u8]) -> Vec<u8> {
    openssl(["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], pem)
}

fn public_half(pkcs8: &[u8]) -> Vec<u8> {
    openssl(["pkey", "-inform", "DER", "-pubout", "-outform", "DER"], pkcs8)
}
