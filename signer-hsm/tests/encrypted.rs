//! Encrypted key files, as the `openssl` command line writes them and as nobody should.
#![cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]

#[cfg(test)]
#[path = "support/kinds.rs"]
mod kinds;
#[cfg(test)]
#[path = "support/openssl.rs"]
mod openssl;

#[cfg(test)]
mod tests {
    use pki_core::pem::encode_pem;
    use pki_core::{KeyAlgorithm, Signer};
    use signer_hsm::{KdfLimits, KeyError, KeyFileError, Provider, SoftwareKey};

    use crate::kinds::kinds;
    use crate::openssl::{ec, genpkey_pem, openssl, rsa};

    const LABEL: &str = "ENCRYPTED PRIVATE KEY";

    fn encrypt(key: &[u8], options: &[&str]) -> Vec<u8> {
        openssl([&["pkcs8", "-topk8", "-passout", "pass:open sesame"], options].concat(), key)
    }

    fn first() -> Provider {
        *Provider::ALL.first().unwrap()
    }

    fn read(pem: &[u8], passphrase: &[u8]) -> Result<SoftwareKey, KeyFileError> {
        SoftwareKey::from_encrypted_pem(first(), pem, passphrase, &KdfLimits::DEFAULT)
    }

    fn refused(pem: &[u8], passphrase: &[u8]) -> KeyError {
        match read(pem, passphrase) {
            Err(KeyFileError::Key(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_form_that_openssl_writes_today_gives_the_key() {
        let forms: [&[&str]; 6] = [
            &[],
            &["-v2", "aes-128-cbc"],
            &["-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA384"],
            &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512", "-iter", "600000"],
            &["-scrypt"],
            &["-scrypt", "-scrypt_N", "8192", "-scrypt_r", "8", "-scrypt_p", "2"],
        ];
        for arguments in [ec("ec_paramgen_curve:P-256").as_slice(), &["-algorithm", "ED25519"]] {
            let plain = genpkey_pem(arguments);
            for form in forms {
                let encrypted = encrypt(&plain, form);
                for provider in Provider::ALL {
                    let limits = &KdfLimits::DEFAULT;
                    let key = SoftwareKey::from_encrypted_pem(*provider, &encrypted, b"open sesame", limits);
                    let key = key.unwrap_or_else(|error| panic!("{provider:?} {form:?}: {error}"));
                    let expected = SoftwareKey::from_pem_with(*provider, &plain).unwrap();
                    assert_eq!(key.public_key(), expected.public_key());
                }
            }
        }
    }

    #[test]
    fn an_encrypted_rsa_key_is_read_where_rsa_is() {
        let plain = genpkey_pem(&rsa("rsa_keygen_bits:2048"));
        let encrypted = encrypt(&plain, &[]);
        for provider in Provider::ALL {
            let key = SoftwareKey::from_encrypted_pem(*provider, &encrypted, b"open sesame", &KdfLimits::DEFAULT);
            let has_rsa = kinds(*provider).contains(&KeyAlgorithm::Rsa2048);
            assert_eq!(key.is_ok(), has_rsa, "{provider:?}");
        }
    }

    #[test]
    fn another_passphrase_gives_no_key_and_always_the_same_error() {
        let encrypted = encrypt(&genpkey_pem(&ec("ec_paramgen_curve:P-256")), &[]);
        // One wrong passphrase in 256 leaves a padding that looks right.
        for attempt in 0..600 {
            assert_eq!(refused(&encrypted, format!("guess {attempt}").as_bytes()), KeyError::NotDecrypted);
        }
        assert_eq!(refused(&encrypted, b""), KeyError::NotDecrypted);
        assert_eq!(refused(&encrypted, &[0xff; 100_000]), KeyError::NotDecrypted);
    }

    #[test]
    fn what_a_file_may_cost_is_bounded_before_it_is_paid() {
        let key = genpkey_pem(&ec("ec_paramgen_curve:P-256"));
        let der = |options: &[&str]| {
            openssl([&["pkcs8", "-topk8", "-outform", "DER", "-passout", "pass:open sesame"], options].concat(), &key)
        };
        let patch = |der: &[u8], from: &[u8], to: &[u8]| {
            let at = der.windows(from.len()).position(|window| window == from).unwrap();
            let mut patched = der.to_vec();
            patched[at..at + to.len()].copy_from_slice(to);
            encode_pem(LABEL, &patched)
        };
        // 10,000,001 iterations stand in four octets, as the most does that the parser takes.
        let slow = der(&["-iter", "10000001"]);
        let slowest = patch(&slow, &[2, 4, 0, 0x98, 0x96, 0x81], &[2, 4, 5, 0xf5, 0xe1, 0]);
        assert_eq!(
            refused(slowest.as_bytes(), b"open sesame"),
            KeyError::KdfLimit { parameter: "pbkdf2_iterations", limit: 2_000_000, found: 100_000_000 }
        );
        // N = 16,384 with r = 8 and p = 1 is 16 MiB; with r = 127 it is 254 MiB, and with p = 127 it takes that much longer.
        let memory = der(&["-scrypt", "-scrypt_N", "16384", "-scrypt_r", "8", "-scrypt_p", "1"]);
        let parameters = [2, 2, 64, 0, 2, 1, 8, 2, 1, 1];
        read(encode_pem(LABEL, &memory).as_bytes(), b"open sesame").unwrap();
        let large = patch(&memory, &parameters, &[2, 2, 64, 0, 2, 1, 127, 2, 1, 1]);
        assert_eq!(
            refused(large.as_bytes(), b"open sesame"),
            KeyError::KdfLimit { parameter: "scrypt_memory", limit: 64 << 20, found: 128 * 16_384 * 127 }
        );
        let long = patch(&memory, &parameters, &[2, 2, 64, 0, 2, 1, 8, 2, 1, 127]);
        let error = refused(long.as_bytes(), b"open sesame");
        assert_eq!(error, KeyError::KdfLimit { parameter: "scrypt_parallelization", limit: 4, found: 127 });
        let message = "encrypted private key has a limit of 4 for `scrypt_parallelization`, found 127";
        assert_eq!(error.to_string(), message);
        // The block size takes up the octet that the smaller cost leaves.
        for cost in [0, 1, 3] {
            let none = patch(&memory, &parameters, &[2, 1, cost, 2, 2, 0, 128, 2, 1, 1]);
            assert_eq!(refused(none.as_bytes(), b"open sesame"), KeyError::UnsupportedEncryption, "N = {cost}");
        }
        for degenerate in [[2, 1, 0], [2, 1, 1], [2, 1, 3]] {
            let patched = patch(&der(&["-iter", "100"]), &[2, 1, 100], &degenerate);
            assert!(read(patched.as_bytes(), b"open sesame").is_err(), "another count is another key");
        }
    }

    #[test]
    fn limits_are_the_callers() {
        let encrypted = encrypt(&genpkey_pem(&ec("ec_paramgen_curve:P-256")), &["-iter", "5000"]);
        let mut limits = KdfLimits::DEFAULT;
        limits.pbkdf2_iterations = 5000;
        SoftwareKey::from_encrypted_pem(first(), &encrypted, b"open sesame", &limits).unwrap();
        limits.pbkdf2_iterations = 4999;
        let refused = SoftwareKey::from_encrypted_pem(first(), &encrypted, b"open sesame", &limits).unwrap_err();
        let expected = KeyError::KdfLimit { parameter: "pbkdf2_iterations", limit: 4999, found: 5000 };
        assert_eq!(refused, KeyFileError::Key(expected));
    }

    #[test]
    fn older_encryption_is_refused_by_name() {
        let key = genpkey_pem(&ec("ec_paramgen_curve:P-256"));
        let old: [&[&str]; 3] =
            [&["-v1", "PBE-SHA1-3DES"], &["-v2", "des3"], &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"]];
        for form in old {
            assert_eq!(refused(&encrypt(&key, form), b"open sesame"), KeyError::UnsupportedEncryption, "{form:?}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_followed_changed_or_not_encrypted_gives_an_error() {
        let plain = genpkey_pem(&ec("ec_paramgen_curve:P-256"));
        let der = openssl(["pkcs8", "-topk8", "-outform", "DER", "-passout", "pass:open sesame"], &plain);
        let read =
            |der: &[u8]| SoftwareKey::from_encrypted_pkcs8_der(first(), der, b"open sesame", &KdfLimits::DEFAULT);
        let sound = read(&der).unwrap();
        for len in 0..der.len() {
            assert_eq!(read(&der[..len]).unwrap_err(), KeyError::Malformed, "{len} octets");
        }
        assert_eq!(read(&[der.as_slice(), &[0]].concat()).unwrap_err(), KeyError::TrailingData);
        for position in 0..der.len() {
            let mut changed = der.clone();
            changed[position] ^= 1;
            // CBC has no checksum, so what carries no redundancy survives; the key does not change.
            if let Ok(key) = read(&changed) {
                assert_eq!(key.public_key(), sound.public_key());
            }
        }
        assert!(matches!(
            SoftwareKey::from_encrypted_pem(first(), &plain, b"open sesame", &KdfLimits::DEFAULT),
            Err(KeyFileError::Pem(_))
        ));
    }
}
