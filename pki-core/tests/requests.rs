//! Certification requests: what is refused and why, and that real ones pass.

#[cfg(test)]
#[path = "support/asked.rs"]
mod asked;
#[cfg(test)]
#[path = "support/der.rs"]
mod der;
#[cfg(test)]
#[path = "support/draft.rs"]
mod draft;
#[cfg(test)]
#[path = "support/hostile.rs"]
mod hostile;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "support/tools.rs"]
mod tools;

#[cfg(test)]
mod tests {
    use core::num::NonZeroUsize;
    use std::collections::BTreeSet;

    use pki_core::pem::{CERTIFICATE_REQUEST, encode_pem};
    use pki_core::verify::{Verifiers, VerifyError};
    use pki_core::{
        Approval, AuthorityRole, Batch, BatchOrder, CaVersion, CertificationRequest, ExtendedKeyUsage, Issuer,
        KeyAlgorithm, KeyLedger, LeafKind, Limits, NodeName, PresentedNames, RequestError, Serial, SignErrorKind,
        SignatureAlgorithm, SubjectAltName, UnusedExtensions, Validity, VerifiedRequest, create_request, mint_root,
        request_der,
    };
    use time::{Duration, UtcDateTime};

    use crate::asked;
    use crate::der::UTF8;
    use crate::draft::with_common_name;
    use crate::hostile::{self, Case, MALFORMED};
    use crate::keys::{VERIFIERS, key};
    use crate::tools::{room, run};

    fn accept(der: &[u8]) -> Result<VerifiedRequest<'_>, RequestError> {
        CertificationRequest::parse(der, &Limits::DEFAULT)?.verify(VERIFIERS)
    }

    fn assert_refused(cases: &[Case]) {
        for case in cases {
            let Err(error) = accept(&case.der) else { panic!("accepted: {}", case.name) };
            let (code, detail) = case.refusal;
            let general = if code == MALFORMED { "the request is malformed: " } else { "" };
            let expected = (code, format!("{general}{detail}"));
            assert_eq!((error.code(), error.to_string()), expected, "{}", case.name);
        }
    }

    // ---- refusals

    #[test]
    fn what_is_not_one_der_request_is_refused() {
        assert_refused(&hostile::structure());
    }

    #[test]
    fn attributes_that_parsers_read_differently_are_refused() {
        assert_refused(&hostile::attributes());
    }

    #[test]
    fn signatures_that_prove_nothing_are_refused() {
        assert_refused(&hostile::signatures());
    }

    #[test]
    fn keys_that_are_weak_or_oddly_encoded_are_refused() {
        assert_refused(&hostile::keys());
    }

    #[test]
    fn subjects_that_readers_understand_differently_are_refused() {
        assert_refused(&asked::subjects());
    }

    #[test]
    fn extensions_beyond_a_leafs_are_refused() {
        assert_refused(&asked::extensions());
    }

    #[test]
    fn alternative_names_of_no_single_host_are_refused() {
        assert_refused(&asked::alternative_names());
    }

    #[test]
    fn a_text_that_is_not_the_pem_of_one_request_is_refused() {
        for case in hostile::pem() {
            let Err(error) = request_der(&case.der, &Limits::DEFAULT) else { panic!("accepted: {}", case.name) };
            let (code, detail) = case.refusal;
            let expected = (code, format!("the request is neither DER nor PEM: {detail}"));
            assert_eq!((error.code(), error.to_string()), expected, "{}", case.name);
        }
    }

    #[test]
    fn every_code_has_a_request_that_meets_it() {
        let cases = hostile::corpus().into_iter().chain(hostile::pem());
        let met: BTreeSet<_> = cases.map(|case| case.refusal.0).collect();
        let every = [
            "request.attribute",
            "request.certificate_authority",
            "request.extended_key_usage",
            "request.extension",
            "request.malformed",
            "request.pem",
            "request.possession",
            "request.repeated_extension_request",
            "request.signature_algorithm",
            "request.too_long",
            "request.version",
            "request.weak_key",
        ];
        assert_eq!(met.into_iter().collect::<Vec<_>>(), every);
    }

    #[test]
    fn in_a_batch_each_of_them_is_refused_as_it_is_alone_and_the_others_have_certificates() {
        let (signer, holder) = (key(KeyAlgorithm::P256), key(KeyAlgorithm::P256));
        let now = UtcDateTime::from_unix_timestamp(1_704_067_200).unwrap();
        let lifetime = Validity::around(now, Duration::ZERO, Duration::DAY).unwrap();
        let mut ledger = KeyLedger::new();
        let admitted = ledger.admit(&"batch".parse().unwrap(), AuthorityRole::Cluster, CaVersion::FIRST, &signer);
        let serial = || Serial::generate(&mut getrandom::SysRng).unwrap();
        let root = mint_root(&admitted.unwrap(), lifetime, serial(), VERIFIERS).unwrap();
        let leaf = LeafKind::Scheduler;
        let issuer = Issuer::new(root, [leaf]).unwrap();

        let good = create_request(&leaf.subject(None).unwrap(), &[], &holder).unwrap();
        let approval = Approval::new(Duration::HOUR);
        let order = |der: &[u8]| BatchOrder {
            leaf,
            request: der.to_vec().into(),
            approval: approval.clone(),
            serial: serial(),
        };
        // What does not begin as DER is taken for PEM.
        let cases: Vec<_> = hostile::corpus().into_iter().filter(|case| case.der.first() == Some(&0x30)).collect();
        assert!(cases.len() > 200, "{}", cases.len());
        let orders: Vec<_> = cases.iter().flat_map(|case| [order(&case.der), order(&good)]).collect();
        for threads in [1, 3] {
            let batch = Batch::new(&signer, VERIFIERS, now).on_threads(NonZeroUsize::new(threads).unwrap());
            let mut outcomes = Vec::new();
            issuer.issue_batch(&batch, orders.clone(), |outcome| outcomes.push(outcome));
            assert_eq!(outcomes.len(), orders.len());
            for ((case, pair), orders) in cases.iter().zip(outcomes.chunks(2)).zip(orders.chunks(2)) {
                let (Err(refused), Ok(issued)) = (&pair[0], &pair[1]) else { panic!("{}: {pair:?}", case.name) };
                assert_eq!(refused.code(), case.refusal.0, "{}", case.name);
                assert_eq!(issued.serial(), orders[1].serial, "in the order of the orders");
            }
        }
    }

    #[test]
    fn a_request_with_any_bit_changed_or_any_end_cut_off_is_refused() {
        let der = kubelet_request(KeyAlgorithm::Ed25519);
        assert!(accept(&der).is_ok());
        for position in 0..der.len() {
            assert!(accept(&der[..position]).is_err(), "cut off at {position}");
            for bit in 0..8 {
                let mut changed = der.clone();
                changed[position] ^= 1 << bit;
                assert!(accept(&changed).is_err(), "bit {bit} of octet {position}");
            }
        }
    }

    #[test]
    fn an_algorithm_without_a_verifier_is_refused_by_name() {
        let der = kubelet_request(KeyAlgorithm::P384);
        let refused = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap().verify(Verifiers::new(&[]));
        let expected = RequestError::Possession(VerifyError::Unsupported(SignatureAlgorithm::EcdsaP384Sha384));
        assert_eq!(refused.unwrap_err(), expected);
    }

    #[test]
    fn limits_can_be_set() {
        let der = kubelet_request(KeyAlgorithm::P256);
        let mut limits = Limits::DEFAULT;
        limits.request_len_max = der.len();
        assert!(CertificationRequest::parse(&der, &limits).is_ok());
        limits.request_len_max -= 1;
        let refused = CertificationRequest::parse(&der, &limits).unwrap_err();
        assert_eq!(refused, RequestError::TooLong { found: der.len(), max: der.len() - 1 });
    }

    // ---- what is dropped

    #[test]
    fn only_what_a_request_has_no_say_in_is_dropped() {
        let mut dropped = 0;
        for case in asked::extensions() {
            let proven =
                CertificationRequest::parse(&case.der, &Limits::DEFAULT).and_then(|read| read.prove(VERIFIERS));
            let read = proven.and_then(|proven| proven.read(UnusedExtensions::Drop));
            match case.refusal.0 {
                "request.extension" | "request.extended_key_usage" => {
                    let request = read.unwrap_or_else(|error| panic!("{}: {error}", case.name));
                    assert_eq!(request.subject_alt_names().to_vec(), [], "{}", case.name);
                    assert_eq!(request.extended_key_usage(), [], "{}", case.name);
                    dropped += 1;
                }
                code => assert_eq!(read.map(|_| ()).map_err(|error| error.code()), Err(code), "{}", case.name),
            }
        }
        assert_eq!(dropped, 8);
    }

    // ---- what upstream sees

    fn presented(der: &[u8]) -> Result<PresentedNames, RequestError> {
        CertificationRequest::parse(der, &Limits::DEFAULT)?.prove(VERIFIERS)?.presented_names()
    }

    #[test]
    fn upstream_sees_names_that_a_strict_reader_refuses() {
        for (name, der, expected) in asked::presented() {
            assert_eq!(presented(&der), Ok(expected), "{name}");
        }
    }

    #[test]
    fn hostile_names_are_presented_within_bounds_or_refused() {
        let mut seen = 0;
        for case in [asked::subjects(), asked::extensions(), asked::alternative_names()].into_iter().flatten() {
            match presented(&case.der) {
                Ok(names) => {
                    let lists = [&names.organizations, &names.dns_names, &names.email_addresses, &names.uris];
                    let len = names.common_name.len() + lists.into_iter().flatten().map(String::len).sum::<usize>();
                    // What is not UTF-8 becomes three octets each.
                    assert!(len <= 3 * case.der.len(), "{}", case.name);
                    assert!(names.dns_names.len() + names.ip_addresses.len() <= 100, "{}", case.name);
                    seen += 1;
                }
                Err(error) => assert_eq!(error.code(), MALFORMED, "{}", case.name),
            }
        }
        assert!(seen > 60, "{seen}");
    }

    #[test]
    fn too_many_names_and_too_long_subjects_are_not_presented() {
        let refused = |name: &str, cases: Vec<Case>| {
            let case = cases.into_iter().find(|case| case.name == name).unwrap();
            presented(&case.der).unwrap_err().to_string()
        };
        let general = "the request is malformed: ";
        let too_many = refused("101 names", asked::alternative_names());
        assert_eq!(too_many, format!("{general}subjectAltName: more names than the limit"));
        let too_long = refused("common name of 2 KiB", asked::subjects());
        assert_eq!(too_long, format!("{general}Name: longer than the limit"));
        let no_address = refused("address of 5 octets", asked::alternative_names());
        assert_eq!(no_address, format!("{general}subjectAltName: an iPAddress of neither 4 nor 16 octets"));
    }

    #[test]
    fn a_node_name_in_disguise_is_read_as_it_stands_and_names_no_node() {
        for disguise in asked::NODE_NAMES_IN_DISGUISE {
            let common_name = format!("system:node:{disguise}");
            let der = with_common_name(UTF8, common_name.as_bytes());
            assert_eq!(accept(&der).unwrap().subject().common_name(), common_name);
            assert_eq!(presented(&der).unwrap().common_name, common_name);
            assert!(disguise.parse::<NodeName>().is_err(), "{disguise:?}");
        }
    }

    // ---- acceptance

    #[test]
    fn a_request_in_pem_is_read_whatever_ends_its_lines() {
        let der = kubelet_request(KeyAlgorithm::P256);
        let pem = encode_pem(CERTIFICATE_REQUEST, &der);
        for received in [der.clone(), pem.replace('\n', "\r\n").into(), pem.trim_end().into(), pem.into()] {
            assert_eq!(*request_der(&received, &Limits::DEFAULT).unwrap(), *der);
        }
    }

    #[test]
    fn both_forms_of_an_ecdsa_signature_are_accepted() {
        let [one, other] = hostile::with_either_s();
        assert_ne!(one, other);
        assert_eq!((accept(&one).map(|_| ()), accept(&other).map(|_| ())), (Ok(()), Ok(())));
    }

    #[test]
    fn the_longest_node_name_is_accepted() {
        let node = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        let common_name = format!("system:node:{node}");
        assert_eq!((node.len(), node.parse::<NodeName>().is_ok()), (253, true));
        assert_eq!(
            accept(&with_common_name(UTF8, common_name.as_bytes())).unwrap().subject().common_name(),
            common_name
        );
    }

    fn kubelet_request(algorithm: KeyAlgorithm) -> Vec<u8> {
        let node: NodeName = "node-1".parse().unwrap();
        let subject = LeafKind::KubeletClient.subject(Some(&node)).unwrap();
        create_request(&subject, &[], &key(algorithm)).unwrap()
    }

    fn serving_names() -> [SubjectAltName; 3] {
        [
            SubjectAltName::dns("node-1.example.com").unwrap(),
            SubjectAltName::ip("10.0.0.1".parse().unwrap()).unwrap(),
            SubjectAltName::ip("fd00::1".parse().unwrap()).unwrap(),
        ]
    }

    /// Options of `openssl req` for a new key of this kind.
    fn new_key(algorithm: KeyAlgorithm) -> &'static [&'static str] {
        match algorithm {
            KeyAlgorithm::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256"],
            KeyAlgorithm::P384 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"],
            KeyAlgorithm::Rsa2048 => &["-newkey", "rsa:2048", "-sha256"],
            KeyAlgorithm::Rsa3072 => &["-newkey", "rsa:3072", "-sha256"],
            KeyAlgorithm::Rsa4096 => &["-newkey", "rsa:4096", "-sha256"],
            _ => &["-newkey", "ed25519"],
        }
    }

    /// A request by `openssl req`, with these options besides, from the room of one test.
    fn openssl_request(test: &str, new_key: &[&str], options: &[&str]) -> Vec<u8> {
        let room = room(&format!("requests-{test}"));
        let (config, key) = (room.join("config"), room.join("key"));
        std::fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        let (config, key) = (config.to_str().unwrap(), key.to_str().unwrap());
        let fixed = ["req", "-new", "-config", config, "-nodes", "-keyout", key, "-outform", "DER", "-utf8"];
        let (made, der, said) = run("openssl", &[&fixed, new_key, options].concat(), &[]);
        assert!(made, "{said}");
        der
    }

    #[test]
    fn requests_of_openssl_are_accepted() {
        for algorithm in KeyAlgorithm::ALL {
            let der = openssl_request(
                "kinds",
                new_key(algorithm),
                &[
                    "-subj",
                    "/O=system:nodes/CN=system:node:node-1",
                    "-addext",
                    "subjectAltName=DNS:node-1.example.com,IP:10.0.0.1,IP:fd00::1",
                    "-addext",
                    "keyUsage=critical,digitalSignature",
                    "-addext",
                    "extendedKeyUsage=serverAuth",
                    "-addext",
                    "basicConstraints=critical,CA:FALSE",
                ],
            );
            let request = accept(&der).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
            assert_eq!(request.public_key().algorithm(), algorithm);
            assert_eq!(request.subject().to_string(), "O=system:nodes,CN=system:node:node-1");
            assert_eq!(request.subject_alt_names().to_vec(), serving_names());
            assert_eq!(request.extended_key_usage(), [ExtendedKeyUsage::ServerAuth]);
        }
    }

    #[test]
    fn a_request_of_openssl_without_extensions_is_accepted() {
        let der = openssl_request("plain", &["-newkey", "ed25519"], &["-subj", "/O=a/O=b/CN=Jürgen"]);
        let request = accept(&der).unwrap();
        assert_eq!(request.subject().common_name(), "Jürgen");
        assert_eq!(request.subject().to_subject().organizations(), ["a", "b"]);
        assert!(request.subject_alt_names().is_empty() && request.extended_key_usage().is_empty());
    }

    #[test]
    fn a_request_of_openssl_on_p384_with_sha256_is_refused() {
        let p384 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha256"];
        let der = openssl_request("p384", &p384, &["-subj", "/CN=a"]);
        assert_eq!(accept(&der).unwrap_err(), RequestError::Possession(VerifyError::AlgorithmMismatch));
    }

    #[test]
    fn openssl_verifies_our_requests() {
        let node: NodeName = "node-1".parse().unwrap();
        let subject = LeafKind::KubeletServing.subject(Some(&node)).unwrap();
        for algorithm in KeyAlgorithm::ALL {
            let der = create_request(&subject, &serving_names(), &key(algorithm)).unwrap();
            let request = accept(&der).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
            assert_eq!(request.subject(), subject);
            assert_eq!(request.subject_alt_names().to_vec(), serving_names());
            let arguments = ["req", "-verify", "-noout", "-text", "-nameopt", "RFC2253", "-inform", "DER"];
            let (verified, _, said) = run("openssl", &arguments, &der);
            // Up to version 3.0 openssl succeeds whatever the outcome: what it says decides.
            assert!(verified && said.contains("verify OK") && !said.contains("failure"), "{algorithm}: {said}");
            assert!(said.contains("CN=system:node:node-1,O=system:nodes"), "{said}");
            assert!(said.contains("DNS:node-1.example.com, IP Address:10.0.0.1, IP Address:FD00"), "{said}");
        }
    }

    #[test]
    fn a_key_that_signs_with_pss_makes_no_request() {
        let pss = key(KeyAlgorithm::Rsa2048).into_pss().unwrap();
        let subject = LeafKind::Scheduler.subject(None).unwrap();
        let refused = create_request(&subject, &[], &pss).unwrap_err();
        assert_eq!(refused.kind(), SignErrorKind::UnsupportedAlgorithm);
    }

    #[test]
    fn a_hundred_names_are_accepted() {
        let names: Vec<_> = (0..100).map(|index| SubjectAltName::dns(&format!("n{index}")).unwrap()).collect();
        let subject = LeafKind::Webhook.subject(None).unwrap();
        let der = create_request(&subject, &names, &key(KeyAlgorithm::P256)).unwrap();
        assert_eq!(accept(&der).unwrap().subject_alt_names().to_vec(), names);
    }
}
