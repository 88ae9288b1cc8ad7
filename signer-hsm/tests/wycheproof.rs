//! Every verification that `pki-core` offers against the vectors of the Wycheproof project, for both providers.

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::path::Path;

    use pki_core::verify::{SubjectPublicKey, Verifiers, aws_lc_rs, rustcrypto_with_rsa};
    use rustls_pki_types::{AlgorithmIdentifier, alg_id};
    use serde_json::Value;

    /// What became of the vectors of one file.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Tally {
        accepted: usize,
        refused: usize,
        /// Vectors under keys that this workspace takes from nobody.
        foreign_keys: usize,
    }

    #[test]
    fn ecdsa_on_p256_with_sha256() {
        both("ecdsa_secp256r1_sha256", &Tally { accepted: 174, refused: 310, foreign_keys: 0 });
    }

    #[test]
    fn ecdsa_on_p384_with_sha384() {
        both("ecdsa_secp384r1_sha384", &Tally { accepted: 194, refused: 310, foreign_keys: 0 });
    }

    #[test]
    fn ed25519() {
        both("ed25519", &Tally { accepted: 88, refused: 63, foreign_keys: 0 });
    }

    #[test]
    fn rsa_pkcs1_with_sha256_of_each_size() {
        both("rsa_signature_2048_sha256", &Tally { accepted: 7, refused: 250, foreign_keys: 2 });
        both("rsa_signature_3072_sha256", &Tally { accepted: 7, refused: 251, foreign_keys: 1 });
        both("rsa_signature_4096_sha256", &Tally { accepted: 7, refused: 251, foreign_keys: 0 });
    }

    /// webpki hands an algorithm whatever key a certificate has, so what `SubjectPublicKey::parse` refuses the algorithms
    /// refuse too.
    #[test]
    fn the_algorithms_themselves_refuse_keys_that_nobody_should_have() {
        let rust = rustcrypto_with_rsa();
        // A valid signature under the exponent 3.
        for name in ["rsa_signature_2048_sha256", "rsa_signature_3072_sha256"] {
            let vectors = vectors(name);
            let groups = vectors["testGroups"].as_array().unwrap();
            let small = groups.iter().find(|group| group["publicKey"]["publicExponent"] == "03").unwrap();
            let tests = small["tests"].as_array().unwrap();
            let valid = tests.iter().find(|test| test["result"] == "valid").unwrap();
            refuses(
                rust,
                alg_id::RSA_PKCS1_SHA256,
                &hex(&small["publicKeyAsn"]),
                &hex(&valid["msg"]),
                &hex(&valid["sig"]),
            );
        }
        // A valid signature under a point that is written compressed.
        for (name, id) in
            [("ecdsa_secp256r1_sha256", alg_id::ECDSA_SHA256), ("ecdsa_secp384r1_sha384", alg_id::ECDSA_SHA384)]
        {
            let vectors = vectors(name);
            let group = &vectors["testGroups"][0];
            let point = hex(&group["publicKey"]["uncompressed"]);
            let sign = 2 + point.last().unwrap() % 2;
            let compressed = [&[sign], &point[1..=point.len() / 2]].concat();
            let tests = group["tests"].as_array().unwrap();
            let valid = tests.iter().find(|test| test["result"] == "valid").unwrap();
            refuses(rust, id, &compressed, &hex(&valid["msg"]), &hex(&valid["sig"]));
        }
        // The neutral element as key: without strictness this signature holds for every message.
        let neutral = [&[1], [0; 31].as_slice()].concat();
        let signature = [neutral.as_slice(), &[0; 32]].concat();
        refuses(rust, alg_id::ED25519, &neutral, b"any message", &signature);
    }

    fn refuses(verifiers: Verifiers<'_>, id: AlgorithmIdentifier, key: &[u8], message: &[u8], signature: &[u8]) {
        let algorithm = verifiers.algorithms().iter().find(|algorithm| algorithm.signature_alg_id() == id).unwrap();
        algorithm.verify_signature(key, message, signature).unwrap_err();
    }

    fn both(name: &str, expected: &Tally) {
        assert_eq!(&judge(name, aws_lc_rs()), expected, "{name}, aws-lc-rs");
        assert_eq!(&judge(name, rustcrypto_with_rsa()), expected, "{name}, RustCrypto");
    }

    /// Every vector must be judged as it says. What Wycheproof leaves to the implementation ("acceptable": a digest info
    /// without its NULL) is refused: no certificate of any issuer has that.
    fn judge(name: &str, verifiers: Verifiers<'_>) -> Tally {
        let vectors = vectors(name);
        let mut tally = Tally::default();
        for group in vectors["testGroups"].as_array().unwrap() {
            let spki = hex(&group["publicKeyDer"]);
            let tests = group["tests"].as_array().unwrap();
            let Ok(key) = SubjectPublicKey::parse(&spki) else {
                assert_eq!(group["publicKey"]["publicExponent"], "03", "{name}");
                tally.foreign_keys += tests.len();
                continue;
            };
            for test in tests {
                let (message, signature) = (hex(&test["msg"]), hex(&test["sig"]));
                let algorithm = key.algorithm().certificate_signature();
                let accepted = verifiers.verify(&key, algorithm, &message, &signature).is_ok();
                let told = format!("{name} {}: {}", test["tcId"], test["comment"]);
                assert_eq!(accepted, test["result"] == "valid", "{told}");
                if accepted {
                    tally.accepted += 1;
                } else {
                    tally.refused += 1;
                }
            }
        }
        let all = tally.accepted + tally.refused + tally.foreign_keys;
        assert_eq!(vectors["numberOfTests"], all, "{name}");
        tally
    }

    fn vectors(name: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/wycheproof").join(format!("{name}.json.xz"));
        let mut json = Vec::new();
        lzma_rust2::XzReader::new(File::open(path).unwrap(), false).read_to_end(&mut json).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    fn hex(text: &Value) -> Vec<u8> {
        let text = text.as_str().unwrap();
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }
}
