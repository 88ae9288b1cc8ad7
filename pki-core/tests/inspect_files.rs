//! Files of certificates, requests and keys as a person and a program read them.

#[cfg(test)]
#[path = "support/authority.rs"]
#[expect(dead_code, reason = "leaves are for other tests")]
mod authority;
#[cfg(test)]
#[path = "support/certificates.rs"]
#[expect(dead_code, reason = "odd certificates are for other tests")]
mod certificates;
#[cfg(test)]
#[path = "support/der.rs"]
#[expect(dead_code, reason = "what is not DER at all is for the tests of requests")]
mod der;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "support/tools.rs"]
mod tools;

#[cfg(test)]
mod tests {
    use pki_core::inspect::{BundleView, CertificateView, Content, Possession, Remark, RequestView, Weakness};
    use pki_core::pem::encode_pem;
    use pki_core::verify::Verifiers;
    use pki_core::{AuthorityRole, CaVersion, KeyAlgorithm, LeafKind, Limits, TrustBundle};

    use crate::authority::{Authority, CA_VALIDITY, NOW, at, request};
    use crate::certificates::server;
    use crate::der::SEQUENCE;
    use crate::keys::{VERIFIERS, key};
    use crate::tools::{room, run};

    /// 2024-06-01T00:00:00Z.
    const SUMMER: i64 = 1_717_200_000;

    // ---- bundles

    #[test]
    fn a_bundle_hashes_as_the_trust_bundle_of_the_same_anchors_and_names_the_duplicate() {
        let mint = |version| Authority::mint(AuthorityRole::Cluster, version, KeyAlgorithm::P256).issuer;
        let (first, second) = (mint(CaVersion::FIRST), mint(CaVersion::FIRST.next()));
        let (first, second) = (first.certificate(), second.certificate());
        let trusted = TrustBundle::new([first.clone(), second.clone()]).unwrap();
        let text = [second, first, second].map(|anchor| encode_pem("CERTIFICATE", anchor.der())).concat();
        let view = BundleView::parse_pem(text.as_bytes(), at(NOW), None, &Limits::DEFAULT).unwrap();
        assert_eq!(view.hash, Some(trusted.hash()));
        let duplicates: Vec<_> = view.blocks.iter().map(|block| block.duplicate_of).collect();
        assert_eq!(duplicates, [None, None, Some(1)]);
        assert!(view.to_string().ends_with(&format!("bundle of 2 anchors, {}\n", trusted.hash())));
        assert!(!view.has_fault());

        // One second after the end, every anchor is expired, and the bundle says so.
        let over = at(CA_VALIDITY.1 + 1);
        let view = BundleView::parse_pem(text.as_bytes(), over, None, &Limits::DEFAULT).unwrap();
        assert!(view.certificates().all(CertificateView::has_fault) && view.has_fault());

        // With a leaf in it, it is a chain.
        let chain = text + &encode_pem("CERTIFICATE", &server().der());
        assert_eq!(BundleView::parse_pem(chain.as_bytes(), at(NOW), None, &Limits::DEFAULT).unwrap().hash, None);
        assert_eq!(BundleView::parse_pem(b"", at(NOW), None, &Limits::DEFAULT).unwrap().hash, None);
    }

    #[test]
    fn a_private_key_is_named_and_never_decoded() {
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let text = encode_pem(label, b"a secret that must not be shown");
            let view = BundleView::parse_pem(text.as_bytes(), at(NOW), None, &Limits::DEFAULT).unwrap();
            assert_eq!(view.blocks[0].content, Content::PrivateKey);
            // Headers and bad base64 are nobody's concern then.
            let odd = format!("-----BEGIN {label}-----\nProc-Type: 4,ENCRYPTED\n\n!!\n-----END {label}-----\n");
            let view = BundleView::parse_pem(odd.as_bytes(), at(NOW), None, &Limits::DEFAULT).unwrap();
            assert!(!view.has_fault());
            assert_eq!(view.to_string(), format!("{label}, block 1, line 1\na private key, not decoded\n"));
        }
    }

    #[test]
    fn what_cannot_be_read_names_block_line_and_rule_and_hides_no_other_block() {
        let good = encode_pem("CERTIFICATE", &server().der());
        let bad = encode_pem("CERTIFICATE", &[SEQUENCE, 0]);
        let text = [good.as_str(), bad.as_str(), good.as_str()].concat();
        let view = BundleView::parse_pem(text.as_bytes(), at(SUMMER), None, &Limits::DEFAULT).unwrap();
        assert_eq!(view.certificates().count(), 2);
        let Content::Unreadable(error) = &view.blocks[1].content else { panic!("{:?}", view.blocks[1]) };
        let line = good.lines().count() + 1;
        let expected = format!("PEM block 2, line {line}: Certificate: not DER (X.690) at octet ");
        assert!(error.to_string().starts_with(&expected), "{error}");
        let cut = good.split("-----END").next().unwrap();
        assert!(BundleView::parse_pem(cut.as_bytes(), at(SUMMER), None, &Limits::DEFAULT).is_err());
    }

    #[test]
    fn der_is_known_by_its_content() {
        let parse = |der: &[u8]| BundleView::parse_der(der, at(SUMMER), Some(VERIFIERS), &Limits::DEFAULT);
        assert!(matches!(parse(&server().der()).unwrap().blocks[0].content, Content::Certificate(_)));
        let request = request(LeafKind::Admin, &key(KeyAlgorithm::P256));
        assert!(matches!(parse(&request).unwrap().blocks[0].content, Content::Request(_)));
        assert!(parse(b"").is_err() && parse(b"PK\x03\x04").is_err());
    }

    // ---- requests

    #[test]
    fn a_request_says_whether_possession_is_proven() {
        for algorithm in KeyAlgorithm::ALL {
            let der = request(LeafKind::EtcdServer, &key(algorithm));
            let shown = |verifiers| RequestView::parse(&der, verifiers, &Limits::DEFAULT).unwrap();
            assert_eq!(shown(Some(VERIFIERS)).possession, Possession::Proven, "{algorithm}");
            assert_eq!(shown(None).possession, Possession::NotChecked);
            assert_eq!(shown(Some(Verifiers::new(&[]))).possession, Possession::NotChecked);
            assert!(!shown(Some(VERIFIERS)).has_fault());
            let names = shown(None).extensions.subject_alt_names.unwrap();
            assert_eq!((names.dns_names.len(), names.ip_addresses.len()), (1, 1));
            let mut forged = der.clone();
            *forged.last_mut().unwrap() ^= 1;
            let forged = RequestView::parse(&forged, Some(VERIFIERS), &Limits::DEFAULT).unwrap();
            assert_eq!(forged.possession, Possession::Refuted, "{algorithm}");
            assert!(forged.has_fault());
        }
    }

    #[test]
    fn a_request_that_no_authority_would_take_is_shown_all_the_same() {
        let path = room("inspect").join("request.key").to_str().unwrap().to_owned();
        let asked = ["-addext", "basicConstraints=CA:TRUE", "-addext", "subjectAltName=email:a@example.com"];
        let fixed =
            ["req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", &path, "-outform", "DER", "-subj", "/CN=x"];
        let (made, der, said) = run("openssl", &[&fixed[..], &asked].concat(), &[]);
        assert!(made, "{said}");
        let shown = RequestView::parse(&der, Some(VERIFIERS), &Limits::DEFAULT).unwrap();
        assert_eq!(shown.remarks, [Remark::WeakKey { weakness: Weakness::Short }, Remark::AsksForCa]);
        assert_eq!(shown.possession, Possession::NotChecked);
        assert_eq!(shown.extensions.subject_alt_names.unwrap().email_addresses[0].as_str(), "a@example.com");
        assert_eq!(shown.public_key.bits, Some(1024));
    }
}
