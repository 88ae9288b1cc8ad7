//! The test vectors of C2SP/x509-limbo: each case is judged as its authors say, or stands in
//! `data/limbo/exceptions.json` with what happens instead and the reason.
//!
//! The core of the set always runs. The environment variable `LIMBO_JSON` names a file with the whole set, as JSON or
//! as JSON in xz, which then runs as well.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::panic::catch_unwind;
    use std::path::Path;

    use pki_core::pem::{CERTIFICATE, X509_CRL, decode_single_pem};
    use pki_core::verify::Verifiers;
    use pki_core::{
        CertificateList, CrlIssuer, ExtendedKeyUsage, Limits, RevocationError, TrustBundle, VerifiedChain,
        verify_chain, verify_server_name,
    };
    use rustls_pki_types::{CertificateDer, ServerName};
    use serde_json::Value;
    use time::{Date, Month, Time, UtcDateTime};

    /// Also what no certificate of a cluster is signed with, for the servers of the public web among the cases.
    const VERIFIERS: Verifiers<'static> = Verifiers::new(webpki::ALL_VERIFICATION_ALGS);
    /// When a case names no time: 2024-01-01T00:00:00Z. Such cases are valid from 1970 to 2969.
    const NOW: i64 = 1_704_067_200;
    const SUCCESS: &str = "SUCCESS";

    fn data(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/limbo").join(name)).unwrap()
    }

    fn cases(file: &[u8]) -> Vec<Value> {
        const XZ: &[u8] = b"\xfd7zXZ\0";
        let mut json = Vec::new();
        if file.starts_with(XZ) {
            lzma_rust2::XzReader::new(file, false).read_to_end(&mut json).unwrap();
        } else {
            json.extend_from_slice(file);
        }
        let Value::Object(mut limbo) = serde_json::from_slice(&json).unwrap() else { panic!("not an object") };
        let Some(Value::Array(cases)) = limbo.remove("testcases") else { panic!("no test cases") };
        cases
    }

    fn text<'a>(case: &'a Value, field: &str) -> &'a str {
        case[field].as_str().unwrap_or_else(|| panic!("{} of {}", field, case["id"]))
    }

    fn list<'a>(case: &'a Value, field: &str) -> &'a [Value] {
        case[field].as_array().unwrap_or_else(|| panic!("{} of {}", field, case["id"]))
    }

    fn blocks<'a>(case: &'a Value, field: &str) -> impl Iterator<Item = &'a [u8]> {
        list(case, field).iter().map(|block| block.as_str().unwrap().as_bytes())
    }

    fn decode(pem: &[u8], label: &'static str) -> Result<Vec<u8>, String> {
        decode_single_pem(pem, label, &Limits::DEFAULT).map_err(|error| error.to_string())
    }

    /// `2024-01-01T00:00:00+00:00`, or with milliseconds.
    fn moment(text: &str) -> UtcDateTime {
        let (digits, rest) = text.split_at(19);
        let millisecond = rest.strip_suffix("+00:00").unwrap().trim_start_matches('.');
        let millisecond = if millisecond.is_empty() { 0 } else { millisecond.parse().unwrap() };
        let numbers: Vec<u16> = digits.split(['-', 'T', ':']).map(|part| part.parse().unwrap()).collect();
        let small: Vec<u8> = numbers[1..].iter().map(|number| u8::try_from(*number).unwrap()).collect();
        let date = Date::from_calendar_date(numbers[0].into(), Month::try_from(small[0]).unwrap(), small[1]).unwrap();
        UtcDateTime::new(date, Time::from_hms_milli(small[2], small[3], small[4], millisecond).unwrap())
    }

    /// What of a case this crate cannot be asked. The rest is.
    fn not_asked(case: &Value) -> Option<&'static str> {
        assert!(list(case, "signature_algorithms").is_empty(), "{}", case["id"]);
        if !list(case, "expected_peer_names").is_empty() {
            Some("peer names of kind RFC822")
        } else if !list(case, "key_usage").is_empty() {
            Some("key usage of the leaf")
        } else {
            None
        }
    }

    /// What the case asks, put to this crate.
    fn judge(case: &Value) -> Result<(), String> {
        let mut limits = Limits::DEFAULT;
        if let Some(depth) = case["max_chain_depth"].as_u64() {
            limits.path_len_max = usize::try_from(depth).unwrap();
        }
        let otherwise = || UtcDateTime::from_unix_timestamp(NOW).unwrap();
        let now = case["validation_time"].as_str().map_or_else(otherwise, moment);
        let usage = match (case["extended_key_usage"].get(0).and_then(Value::as_str), text(case, "validation_kind")) {
            (Some("clientAuth"), "CLIENT") => ExtendedKeyUsage::ClientAuth,
            (Some("serverAuth") | None, "SERVER") => ExtendedKeyUsage::ServerAuth,
            other => panic!("{other:?} of {}", case["id"]),
        };
        let anchors = blocks(case, "trusted_certs").collect::<Vec<_>>().concat();
        let bundle = TrustBundle::from_pem(&anchors, &limits).map_err(|error| format!("anchors: {error}"))?;
        let leaf = CertificateDer::from(decode(text(case, "peer_certificate").as_bytes(), CERTIFICATE)?);
        let intermediates: Vec<_> = blocks(case, "untrusted_intermediates")
            .map(|pem| decode(pem, CERTIFICATE).map(CertificateDer::from))
            .collect::<Result<_, _>>()?;
        let chain = verify_chain(&leaf, &intermediates, &bundle, usage, &limits, VERIFIERS, now)
            .map_err(|error| error.to_string())?;
        if let Some(name) = case["expected_peer_name"]["value"].as_str() {
            let name = ServerName::try_from(name).map_err(|error| format!("name: {error}"))?;
            verify_server_name(&leaf, &name).map_err(|error| error.to_string())?;
        }
        blocks(case, "crls").try_for_each(|pem| judge_revocation(pem, &bundle, &chain, now))
    }

    fn judge_revocation(
        pem: &[u8],
        bundle: &TrustBundle,
        chain: &VerifiedChain,
        now: UtcDateTime,
    ) -> Result<(), String> {
        let der = decode(pem, X509_CRL)?;
        let list = CertificateList::parse(&der, &Limits::DEFAULT).map_err(|error| error.to_string())?;
        let mut anchors = bundle.certificates().iter();
        let issuer = anchors.find(|anchor| anchor.subject_der() == list.issuer_der()).unwrap();
        let issuer = CrlIssuer::new(issuer).map_err(|error| error.to_string())?;
        let list = list.verify(&issuer, VERIFIERS).map_err(|error| error.to_string())?;
        match list.check(chain, now) {
            Ok(()) | Err(RevocationError::OtherIssuer) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Judges all cases, prints what differs and is not listed, or is listed and does not differ, and gives the
    /// number of both.
    fn surprises(cases: &[Value]) -> usize {
        let listed: Value = serde_json::from_slice(&data("exceptions.json")).unwrap();
        let mut exceptions = listed["exceptions"].as_object().unwrap().clone();
        let mut in_part = listed["asked in part"].as_object().unwrap().clone();
        let (mut agree, mut by_class, mut surprises) = (0, BTreeMap::new(), Vec::new());
        for case in cases {
            let (id, expected) = (text(case, "id"), text(case, "expected_result"));
            let missing = not_asked(case);
            if in_part.remove(id).as_ref().and_then(Value::as_str) != missing {
                surprises.push(format!("{id}: not asked is {missing:?}"));
            }
            let actual = judge(case).map_or_else(|error| format!("FAILURE: {error}"), |()| SUCCESS.to_owned());
            let agrees = (actual == SUCCESS) == (expected == SUCCESS);
            match exceptions.remove(id) {
                None if agrees => agree += 1,
                None => surprises.push(format!("{id}: expected {expected}, found {actual}")),
                Some(_) if agrees => surprises.push(format!("{id}: is no exception, it agrees")),
                Some(exception) if text(&exception, "expected") != expected || text(&exception, "actual") != actual => {
                    surprises.push(format!("{id}: another exception, expected {expected}, found {actual}"));
                }
                Some(exception) => {
                    assert!(text(&exception, "reason").len() > 40, "{id} has a reason");
                    *by_class.entry(text(&exception, "class").to_owned()).or_insert(0) += 1;
                }
            }
        }
        let unknown = exceptions.keys().chain(in_part.keys());
        surprises.extend(unknown.map(|id| format!("{id}: there is no such case")));
        println!("{} cases: {agree} agree, exceptions: {by_class:?}", cases.len());
        surprises.iter().for_each(|surprise| println!("{surprise}"));
        surprises.len()
    }

    #[test]
    fn each_case_is_judged_as_its_authors_say_or_as_the_exceptions_say() {
        let core = cases(&data("limbo-core.json.xz"));
        assert_eq!(core.len(), 208);
        assert_eq!(surprises(&core), 0);
        if let Some(path) = std::env::var_os("LIMBO_JSON") {
            let whole = cases(&std::fs::read(path).unwrap());
            assert!(whole.len() > 9_000, "{} cases are not the whole set", whole.len());
            assert_eq!(surprises(&whole), 0);
        }
    }

    /// The vectors show something only if leaves are refused for what their cases are about.
    #[test]
    fn every_class_of_refusal_is_found_among_the_cases() {
        let mut refusals: Vec<_> =
            cases(&data("limbo-core.json.xz")).iter().filter_map(|case| judge(case).err()).collect();
        refusals.sort_unstable();
        refusals.dedup();
        for expected in [
            "path validation: NameConstraintViolation",
            "path validation: PathLenConstraintViolated",
            "path validation: UnsupportedCriticalExtension",
            "no trusted authority issued the certificate",
            "the certificate is not valid for the name that was dialled",
            "the certificate or its authority lacks the extended key usage of the path",
            "100 certificates beside the leaf, limit 64",
            "1 authorities above the leaf, limit 0",
            "malformed certificate: serialNumber: zero (RFC 5280 4.1.2.2)",
            "the revocation list has no `cRLNumber` (RFC 5280 5.2.1, 5.2.3)",
        ] {
            assert!(refusals.iter().any(|refusal| refusal == expected), "{expected}\nnot in {refusals:#?}");
        }
    }

    #[test]
    fn no_part_of_a_certificate_makes_the_reader_panic() {
        let cases = cases(&data("limbo-core.json.xz"));
        let case = cases.iter().find(|case| text(case, "id") == "webpki::cryptographydotio-chain").unwrap();
        let chain = [
            text(case, "peer_certificate").as_bytes(),
            list(case, "untrusted_intermediates")[0].as_str().unwrap().as_bytes(),
            list(case, "trusted_certs")[0].as_str().unwrap().as_bytes(),
        ];
        let chain = chain.map(|pem| decode(pem, CERTIFICATE).unwrap());
        let verify = |[leaf, intermediate, anchor]: [&[u8]; 3]| {
            let bundle = TrustBundle::from_der([CertificateDer::from(anchor.to_vec())], &Limits::DEFAULT);
            let bundle = bundle.map_err(|error| error.to_string())?;
            let now = moment(text(case, "validation_time"));
            let [leaf, intermediate] = [leaf, intermediate].map(CertificateDer::from);
            let usage = ExtendedKeyUsage::ServerAuth;
            verify_chain(&leaf, &[intermediate], &bundle, usage, &Limits::DEFAULT, VERIFIERS, now)
                .map_err(|error| error.to_string())
        };
        let whole = chain.each_ref().map(Vec::as_slice);
        assert!(verify(whole).is_ok());
        for (which, certificate) in chain.iter().enumerate() {
            for end in 0..certificate.len() {
                let mut cut = whole;
                cut[which] = &certificate[..end];
                let mut grown = certificate.clone();
                grown[end] ^= 0x80;
                let mut changed = whole;
                changed[which] = &grown;
                for damaged in [cut, changed] {
                    let refused = catch_unwind(|| verify(damaged)).expect("no panic");
                    // An anchor's own signature is not looked at, nor what does not concern its use.
                    assert!(refused.is_err() || which == 2, "certificate {which}, octet {end}");
                }
            }
        }
    }
}
