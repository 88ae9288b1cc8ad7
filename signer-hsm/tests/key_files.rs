//! Keys that are written to files and read from them, against the `openssl` command line.
#![cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]

#[cfg(test)]
#[path = "support/kinds.rs"]
mod kinds;
#[cfg(test)]
#[path = "support/openssl.rs"]
mod openssl;

#[cfg(test)]
mod tests {
    use pki_core::pem::PemErrorKind;
    use pki_core::{KeyAlgorithm, Signer};
    use signer_hsm::contract::check_signer;
    use signer_hsm::{ExportableKey, KeyError, KeyFileError, Provider, SoftwareKey};
    use webpki::aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256};

    use crate::kinds::kinds;
    use crate::openssl::{ec, genpkey_pem, openssl, rsa};

    /// Every kind of key on every provider that makes it.
    fn everything() -> impl Iterator<Item = (Provider, KeyAlgorithm)> {
        Provider::ALL.iter().flat_map(|provider| kinds(*provider).into_iter().map(|kind| (*provider, kind)))
    }

    /// For what is decided before a provider is asked.
    fn first() -> Provider {
        *Provider::ALL.first().unwrap()
    }

    #[test]
    fn openssl_reads_every_exported_key_and_finds_the_same_public_key() {
        for (provider, algorithm) in everything() {
            let key = ExportableKey::generate_with(provider, algorithm).unwrap();
            let pem = key.to_pem();
            openssl(["pkey", "-check", "-noout"], pem.as_bytes());
            let public = openssl(["pkey", "-pubout", "-outform", "DER"], pem.as_bytes());
            assert_eq!(public, key.public_key().as_ref(), "{provider:?} {algorithm}");
        }
    }

    #[test]
    fn an_exported_key_signs_as_the_file_says_and_keeps_the_contract() {
        for (provider, algorithm) in everything() {
            let key = ExportableKey::generate_with(provider, algorithm).unwrap();
            let read = SoftwareKey::from_pem_with(provider, key.to_pem().as_bytes()).unwrap();
            assert_eq!((read.provider(), read.key_algorithm()), (provider, algorithm));
            assert_eq!(key.signer().public_key(), read.public_key());
            let signer = key.into_signer();
            assert_eq!(signer.public_key(), read.public_key());
            let verify: [&dyn rustls_pki_types::SignatureVerificationAlgorithm; 4] =
                [ECDSA_P256_SHA256, ECDSA_P384_SHA384, RSA_PKCS1_2048_8192_SHA256, ED25519];
            check_signer(&signer, &verify).unwrap_or_else(|violation| panic!("{provider:?} {algorithm}: {violation}"));
        }
    }

    #[test]
    fn nothing_of_an_exportable_key_is_printed() {
        let key = ExportableKey::generate_with(first(), KeyAlgorithm::P256).unwrap();
        assert_eq!(format!("{key:?}"), "ExportableKey { key_algorithm: P256, .. }");
    }

    #[test]
    fn the_three_forms_of_a_key_file_give_the_same_key() {
        let kinds = [
            (ec("ec_paramgen_curve:P-256"), KeyAlgorithm::P256, "ec", "EC PRIVATE KEY"),
            (ec("ec_paramgen_curve:P-384"), KeyAlgorithm::P384, "ec", "EC PRIVATE KEY"),
            (rsa("rsa_keygen_bits:2048"), KeyAlgorithm::Rsa2048, "rsa", "RSA PRIVATE KEY"),
            (rsa("rsa_keygen_bits:3072"), KeyAlgorithm::Rsa3072, "rsa", "RSA PRIVATE KEY"),
        ];
        for (arguments, algorithm, kind, label) in kinds {
            let pkcs8 = genpkey_pem(&arguments);
            let older = traditional(kind, "PEM", &pkcs8);
            assert!(older.starts_with(format!("-----BEGIN {label}-----").as_bytes()));
            for (provider, _) in everything().filter(|(_, kind)| *kind == algorithm) {
                let [new, old] = [&pkcs8, &older].map(|pem| SoftwareKey::from_pem_with(provider, pem).unwrap());
                assert_eq!((new.key_algorithm(), old.key_algorithm()), (algorithm, algorithm));
                assert_eq!(new.public_key(), old.public_key());
            }
        }
    }

    #[test]
    fn a_key_file_is_one_block_and_nothing_else() {
        let key = ExportableKey::generate_with(first(), KeyAlgorithm::P256).unwrap().to_pem();
        let refused = |text: &str| match SoftwareKey::from_pem_with(first(), text.as_bytes()) {
            Err(KeyFileError::Pem(error)) => error.kind().clone(),
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused(""), PemErrorKind::NoBlock { expected: "PRIVATE KEY" }));
        assert_eq!(refused(&format!("{}{}", *key, *key)), PemErrorKind::Outside);
        assert_eq!(refused(&format!("comment\n{}", *key)), PemErrorKind::Outside);
        assert_eq!(refused(key.strip_suffix("-----END PRIVATE KEY-----\n").unwrap()), PemErrorKind::NotEnded);
        let headers = key.replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\n\nM");
        assert_eq!(refused(&headers), PemErrorKind::Headers);
    }

    #[test]
    fn a_block_of_another_kind_is_refused_by_its_name() {
        let key = ExportableKey::generate_with(first(), KeyAlgorithm::P256).unwrap().to_pem();
        let public = openssl(["pkey", "-pubout"], key.as_bytes());
        let refused = SoftwareKey::from_pem_with(first(), &public).unwrap_err();
        assert_eq!(refused, KeyFileError::Label { found: "PUBLIC KEY".to_owned() });
        let message = "expected `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`, found `PUBLIC KEY`";
        assert_eq!(refused.to_string(), message);

        let long = key.replace("PRIVATE KEY", &"A".repeat(1 << 16));
        assert!(SoftwareKey::from_pem_with(first(), long.as_bytes()).unwrap_err().to_string().len() < 200);

        let encrypted = openssl(["pkcs8", "-topk8", "-passout", "pass:test"], key.as_bytes());
        assert_eq!(
            SoftwareKey::from_pem_with(first(), &encrypted).unwrap_err(),
            KeyFileError::Key(KeyError::Encrypted)
        );
    }

    #[test]
    fn an_older_key_of_another_curve_or_size_is_refused() {
        let curve = traditional("ec", "PEM", &genpkey_pem(&ec("ec_paramgen_curve:P-521")));
        let explicit = [ec("ec_paramgen_curve:P-256").as_slice(), &["-pkeyopt", "ec_param_enc:explicit"]].concat();
        let explicit = traditional("ec", "PEM", &genpkey_pem(&explicit));
        for refused in [curve, explicit] {
            let refused = SoftwareKey::from_pem_with(first(), &refused).unwrap_err();
            assert_eq!(refused, KeyFileError::Key(KeyError::UnsupportedAlgorithm));
        }
        let small = traditional("rsa", "PEM", &genpkey_pem(&rsa("rsa_keygen_bits:1024")));
        let refused = SoftwareKey::from_pem_with(first(), &small).unwrap_err();
        assert_eq!(refused.to_string(), "RSA modulus must have `2048`, `3072` or `4096` bits, found `1024`");
    }

    #[test]
    fn an_older_key_that_is_cut_off_followed_or_inconsistent_is_refused() {
        for (kind, arguments, label) in [
            ("ec", ec("ec_paramgen_curve:P-256"), "EC PRIVATE KEY"),
            ("rsa", rsa("rsa_keygen_bits:2048"), "RSA PRIVATE KEY"),
        ] {
            let der = traditional(kind, "DER", &genpkey_pem(&arguments));
            let text = |der: &[u8]| pki_core::pem::encode_pem(label, der);
            let read = |der: &[u8]| SoftwareKey::from_pem_with(first(), text(der).as_bytes());
            if kind == "rsa" && !kinds(first()).contains(&KeyAlgorithm::Rsa2048) {
                continue;
            }
            read(&der).unwrap();
            for len in 1..der.len() {
                let refused = read(der.get(..len).unwrap()).unwrap_err();
                assert_eq!(refused, KeyFileError::Key(KeyError::Malformed), "{kind}: {len} octets");
            }
            let followed = [der.as_slice(), &[0]].concat();
            assert_eq!(read(&followed).unwrap_err(), KeyFileError::Key(KeyError::TrailingData), "{kind}");
            // An octet of the public point, or of the modulus.
            let mut inconsistent = der.clone();
            let position = if kind == "ec" { der.len() - 1 } else { 100 };
            *inconsistent.get_mut(position).unwrap() ^= 2;
            for provider in Provider::ALL {
                if kind == "ec" || kinds(*provider).contains(&KeyAlgorithm::Rsa2048) {
                    let refused = SoftwareKey::from_pem_with(*provider, text(&inconsistent).as_bytes()).unwrap_err();
                    assert_eq!(refused, KeyFileError::Key(KeyError::Inconsistent), "{kind}");
                }
            }
        }
    }

    /// The key in the form that was usual before PKCS#8.
    fn traditional(kind: &str, form: &str, pkcs8: &[u8]) -> Vec<u8> {
        // `openssl ec` writes nothing else and does not know the option.
        let option: &[&str] = if kind == "rsa" { &["-traditional"] } else { &[] };
        openssl([&[kind, "-outform", form], option].concat(), pkcs8)
    }
}
