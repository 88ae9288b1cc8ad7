//! The root that a cluster shows, before, during and after a rotation, and a fleet of them.

#[cfg(test)]
#[path = "support/authority.rs"]
#[expect(dead_code, reason = "leaves are for other tests")]
mod authority;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "support/tools.rs"]
#[expect(dead_code, reason = "nothing here needs a directory")]
mod tools;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use pki_core::expiry::{ActiveRoot, ActiveRootError, FleetTable};
    use pki_core::pem::encode_pem;
    use pki_core::{AuthorityRole, CaCertificate, CaVersion, KeyAlgorithm, Limits};

    use crate::authority::Authority;
    use crate::tools::run;

    /// notBefore=Mar 17 16:45:34 2023 GMT, notAfter=Mar  9 17:45:34 2053 GMT: a root of GKE.
    const THIRTY_YEARS: (i64, i64) = (1_679_071_534, 2_625_155_134);
    /// The one after it: 2024-01-06T12:00:00Z to 2029-01-04T12:00:00Z.
    const FIVE_YEARS: (i64, i64) = (1_704_542_400, 1_862_222_400);

    fn root(validity: (i64, i64)) -> CaCertificate {
        let authority = Authority::mint_for(AuthorityRole::Cluster, CaVersion::FIRST, KeyAlgorithm::P256, validity);
        authority.issuer.certificate().clone()
    }

    /// The field of the API: base64 around PEM.
    fn field(root: &CaCertificate) -> String {
        STANDARD.encode(encode_pem("CERTIFICATE", root.der()))
    }

    fn decode(field: &str) -> Result<ActiveRoot, ActiveRootError> {
        ActiveRoot::decode(field, &Limits::DEFAULT)
    }

    #[test]
    fn the_dates_of_one_cluster_are_those_that_openssl_prints() {
        for validity in [THIRTY_YEARS, FIVE_YEARS] {
            let root = root(validity);
            let (success, out, said) = run("openssl", &["x509", "-inform", "DER", "-noout", "-dates"], root.der());
            assert!(success, "{said}");
            let shown = decode(&field(&root)).unwrap().dates().to_string();
            assert_eq!(shown + "\n", String::from_utf8(out).unwrap());
        }
        assert_eq!(
            decode(&field(&root(THIRTY_YEARS))).unwrap().dates().to_string(),
            "notBefore=Mar 17 16:45:34 2023 GMT\nnotAfter=Mar  9 17:45:34 2053 GMT"
        );
    }

    #[test]
    fn during_a_rotation_the_original_is_shown_and_after_its_completion_the_successor() {
        let (original, successor) = (root(FIVE_YEARS), root(THIRTY_YEARS));
        let settled = decode(&field(&original)).unwrap();
        let before = settled.dates();
        let rotating = settled.start(successor.clone()).unwrap();
        assert_eq!((rotating.certificate(), rotating.dates()), (&original, before));
        assert_eq!(rotating.clone().start(successor.clone()), Err(ActiveRootError::RotationUnderWay));
        let completed = rotating.complete();
        assert_eq!(completed, ActiveRoot::Settled(successor.clone()));
        assert_eq!(completed.dates().0, successor.validity());
        assert_eq!(completed.clone().complete(), completed);
    }

    #[test]
    fn the_field_may_hold_der_line_ends_and_a_second_certificate() {
        let (first, second) = (root(FIVE_YEARS), root(THIRTY_YEARS));
        let pem = [&first, &second].map(|root| encode_pem("CERTIFICATE", root.der())).concat();
        let encoded = STANDARD.encode(pem);
        let lines: Vec<_> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
        for field in [STANDARD.encode(first.der()), encoded.clone(), lines.join("\n") + "\n"] {
            assert_eq!(decode(&field).unwrap().certificate(), &first);
        }
    }

    #[test]
    fn what_is_no_root_is_refused_with_the_reason() {
        let key = STANDARD.encode(encode_pem("PRIVATE KEY", b"x"));
        let cut = &field(&root(FIVE_YEARS))[..100];
        for (field, code) in [
            ("", "active_root.certificate"),
            ("!", "active_root.encoding"),
            ("YQ", "active_root.encoding"),
            ("YQ==", "active_root.certificate"),
            (key.as_str(), "active_root.pem"),
            (cut, "active_root.pem"),
        ] {
            let error = decode(field).unwrap_err();
            assert_eq!(error.code(), code, "{field}: {error}");
            assert!(error.to_string().starts_with("the cluster's CA"), "{error}");
        }
        let mut limits = Limits::DEFAULT;
        limits.pem_len_max = 30;
        assert_eq!(ActiveRoot::decode(&"A".repeat(40), &limits).unwrap_err().code(), "active_root.certificate");
        let error = ActiveRoot::decode(&"A".repeat(45), &limits).unwrap_err();
        assert_eq!(error, ActiveRootError::TooLong { found: 45, max: 44 });
    }

    #[test]
    fn a_fleet_is_a_line_per_cluster_with_its_name_in_forty_columns() {
        let clusters = [("prod", root(FIVE_YEARS)), ("a\n\u{1b}[2J", root(THIRTY_YEARS))];
        let roots = clusters.map(|(name, root)| (name, ActiveRoot::Settled(root)));
        let fleet = FleetTable::new(roots.iter().map(|(name, root)| (*name, root)));
        assert_eq!(
            fleet.to_string(),
            "\
Cluster Name | Certificate Expiry Date
prod                                     | Jan  4 12:00:00 2029 GMT
a\\0A\\1B[2J                               | Mar  9 17:45:34 2053 GMT
"
        );
    }
}
