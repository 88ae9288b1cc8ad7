//! Deployed certificates as a person and a program read them: judged by openssl field by field, hostile ones defused.

#[cfg(test)]
#[path = "support/authority.rs"]
mod authority;
#[cfg(test)]
#[path = "support/certificates.rs"]
mod certificates;
#[cfg(test)]
#[path = "support/der.rs"]
#[expect(dead_code, reason = "what is not DER at all is for the tests of requests")]
mod der;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "support/openssl.rs"]
mod openssl;
#[cfg(test)]
#[path = "support/tools.rs"]
mod tools;

#[cfg(test)]
mod tests {
    use pki_core::inspect::{BundleView, CertificateView, InspectError, Remark, RequestView, Severity, Weakness};
    use pki_core::pem::encode_pem;
    use pki_core::{AuthorityRole, CaVersion, KeyAlgorithm, LeafKind, Limits};
    use time::{Duration, UtcDateTime};

    use crate::authority::{Authority, NOW, at, request};
    use crate::certificates::{
        BMP, COMMON_NAME, Draft, EMAIL_ADDRESS, IA5, ORGANIZATION, SUBJECT_ALT_NAME, SUBJECT_KEY_ID, TITLE, UNKNOWN,
        alt_names, anchor, attribute, certificate_authority, extension, key_usage, leaf, name, rdn, rsa_key, server,
        server_auth, sha1_with_rsa, validity,
    };
    use crate::der::{CRITICAL, INTEGER, OCTET_STRING, PRINTABLE, SEQUENCE, SET, UTF8, oid, seq, tlv};
    use crate::keys::key;
    use crate::openssl::assert_reads_alike;
    use crate::tools::{room, run};

    /// 2024-06-01T00:00:00Z: within the year of a [`Draft`], more than 180 days before its end.
    const SUMMER: i64 = 1_717_200_000;

    fn view(der: &[u8]) -> CertificateView {
        CertificateView::parse(der, at(SUMMER), &Limits::DEFAULT).unwrap()
    }

    fn codes(draft: &Draft) -> Vec<&'static str> {
        view(&draft.der()).remarks.iter().map(Remark::code).collect()
    }

    /// Compares with a file under `tests/golden`, or writes it when `UPDATE_GOLDEN` is set.
    fn golden(name: &str, found: &str) {
        let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, found).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            found,
            "{name}: run with UPDATE_GOLDEN=1 and read the diff"
        );
    }

    // ---- judged by openssl

    #[test]
    fn every_shape_that_this_crate_issues_is_read_as_openssl_reads_it() {
        for algorithm in KeyAlgorithm::ALL {
            let authority = Authority::mint(AuthorityRole::Cluster, CaVersion::FIRST, algorithm);
            let root = authority.issuer.certificate().der();
            let shown = view(root);
            assert_reads_alike(&format!("root, {algorithm}"), root, &shown);
            assert!(shown.self_issued && shown.is_ca() && shown.remarks.is_empty() && shown.looks_like.is_empty());
        }
        let authority = Authority::mint(AuthorityRole::Cluster, CaVersion::FIRST, KeyAlgorithm::P384);
        for leaf in LeafKind::ALL.into_iter().filter(|leaf| *leaf != LeafKind::ServiceAccountToken) {
            let issued = authority.issue(leaf, Duration::days(365), at(NOW));
            let shown = view(issued.der());
            assert_reads_alike(leaf.id(), issued.der(), &shown);
            assert!(shown.looks_like.contains(&leaf), "{leaf}: {:?}", shown.looks_like);
            assert!(shown.names_as_issuer(&view(authority.issuer.certificate().der())));
            // The one leaf that no authorizer can stop is said to be it.
            let expected: &[Remark] = if leaf == LeafKind::SuperAdmin { &[Remark::SystemMasters] } else { &[] };
            assert_eq!(shown.remarks, expected, "{leaf}");
        }
    }

    /// Makes a self-signed certificate with openssl's own tools.
    fn made_by_openssl(number: usize, key: &[&str], subject: &str, more: &[&str]) -> Vec<u8> {
        let room = room("inspect");
        let path = room.join(format!("{number}.key")).to_str().unwrap().to_owned();
        let (made, _, said) = run("openssl", &[&["genpkey", "-out", &path], key].concat(), &[]);
        assert!(made, "{said}");
        let fixed = ["req", "-x509", "-utf8", "-key", &path, "-subj", subject, "-days", "3650", "-outform", "DER"];
        let (made, der, said) = run("openssl", &[&fixed, more].concat(), &[]);
        assert!(made, "{said}");
        der
    }

    #[test]
    fn what_openssl_makes_elsewhere_is_read_as_openssl_reads_it() {
        const RSA_1024: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
        const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        const P521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
        const P224: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-224"];
        let names = "subjectAltName=DNS:*.Example.com,IP:2001:db8::1,IP:10.0.0.1,email:a@example.com,URI:spiffe://x/y";
        let purposes = "extendedKeyUsage=serverAuth,clientAuth,codeSigning,emailProtection,timeStamping,OCSPSigning,\
                        anyExtendedKeyUsage,1.3.6.1.4.1.32473.7";
        let usages = "keyUsage=critical,digitalSignature,nonRepudiation,keyEncipherment,dataEncipherment,keyAgreement,\
                      keyCertSign,cRLSign,encipherOnly,decipherOnly";
        let cases: [(&str, &[&str], &str, &[&str]); 7] = [
            ("RSA-1024", RSA_1024, "/CN=old", &["-addext", names]),
            ("SHA-1", RSA_1024, "/CN=old", &["-sha1"]),
            ("every usage", P256, "/O=a/O=b/CN=c", &["-addext", purposes, "-addext", usages]),
            ("path length", P521, "/CN=ca", &["-addext", "basicConstraints=critical,CA:TRUE,pathlen:3"]),
            ("P-224", P224, "/CN=short", &["-addext", "basicConstraints=critical,CA:FALSE"]),
            ("Ed448", &["-algorithm", "ED448"], "/C=DE/ST=x/L=y/O=z/OU=u/serialNumber=7/CN=c/emailAddress=a@b", &[]),
            (
                "odd characters",
                P256,
                "/DC=example/UID=7/O=a,b + \"c\"; <d>\\\\e/OU= #leading and trailing /CN=gr\u{fc}n \u{202e}x\u{1b}[31m\n",
                &[],
            ),
        ];
        for (number, (what, key, subject, more)) in cases.into_iter().enumerate() {
            let der = made_by_openssl(number, key, subject, more);
            assert_reads_alike(what, &der, &CertificateView::parse(&der, at(SUMMER), &Limits::DEFAULT).unwrap());
        }
    }

    #[test]
    fn what_is_built_by_hand_is_read_as_openssl_reads_it() {
        let multiple = [attribute(COMMON_NAME, UTF8, b"b"), attribute(ORGANIZATION, UTF8, b"a")].concat();
        let cases = [
            ("plain", leaf()),
            ("version 1", leaf().with(|draft| draft.version.clear())),
            ("several in one", leaf().with(|draft| draft.subject = name(&[tlv(SET, &multiple)]))),
            ("BMPString", leaf().with(|draft| draft.subject = name(&[rdn(COMMON_NAME, BMP, &[0, b'x', 4, 0x10])]))),
            ("no name at all", leaf().with(|draft| draft.subject = name(&[]))),
            ("unknown attribute", leaf().with(|draft| draft.subject = name(&[rdn(UNKNOWN, UTF8, b"x")]))),
            ("long serial", leaf().with(|draft| draft.serial = tlv(INTEGER, &[0x7f; 30]))),
            ("e-mail", leaf().with(|draft| draft.subject = name(&[rdn(EMAIL_ADDRESS, IA5, b"a@example.com")]))),
            (
                "from 2050 on",
                leaf().with(|draft| {
                    draft.validity = seq(&[&tlv(0x17, b"240101000000Z"), &tlv(0x18, b"99991231235959Z")])
                }),
            ),
            (
                "directory name",
                leaf().with(|draft| {
                    draft.extensions = vec![alt_names(&[tlv(0xa4, &name(&[rdn(COMMON_NAME, UTF8, b"x")]))])];
                }),
            ),
        ];
        for (what, draft) in cases {
            let der = draft.der();
            assert_reads_alike(what, &der, &view(&der));
        }
        // openssl reads no name with a value that is no string at all.
        let no_string = leaf().with(|draft| draft.subject = name(&[rdn(COMMON_NAME, OCTET_STRING, b"x")]));
        let subject = view(&no_string.der()).subject;
        assert_eq!((subject.text.as_str(), subject.common_name), ("CN=#040178", None));
    }

    // ---- goldens

    /// The certificate of a server as a hostile person would have it.
    fn hostile() -> Draft {
        let line = b"\x1b]0;owned\x07\nfault: none\r\x1b[2J \xe2\x80\xaegpj \xc2\x9b31m\\";
        leaf().with(|draft| {
            let title = rdn(TITLE, UTF8, line);
            let (common_name, group) = (rdn(COMMON_NAME, UTF8, line), rdn(ORGANIZATION, PRINTABLE, line));
            draft.subject = name(&[title, common_name, group]);
            draft.issuer = draft.subject.clone();
            draft.extensions = vec![
                alt_names(&[
                    tlv(0x82, line),
                    tlv(0x82, &[0xff, 0x00]),
                    tlv(0x81, line),
                    tlv(0x86, line),
                    tlv(0x87, &[1, 2, 3]),
                    tlv(0xa0, &tlv(OCTET_STRING, line)),
                    tlv(0xa4, &name(&[rdn(COMMON_NAME, UTF8, line)])),
                ]),
                seq(&[&oid(UNKNOWN), &CRITICAL, &tlv(OCTET_STRING, line)]),
                server_auth(),
                extension(SUBJECT_KEY_ID, line),
            ];
        })
    }

    fn weak() -> Draft {
        leaf().with(|draft| {
            draft.subject = name(&[rdn(ORGANIZATION, UTF8, b"system:masters"), rdn(COMMON_NAME, UTF8, b"admin")]);
            (draft.key, draft.version) = (rsa_key(128, &[1, 0, 1]), Vec::new());
            (draft.algorithm, draft.inner_algorithm) = (sha1_with_rsa(), sha1_with_rsa());
            draft.validity = validity(b"200101000000Z", b"230101000000Z");
        })
    }

    fn file() -> String {
        let certificate = |draft: Draft| encode_pem("CERTIFICATE", &draft.der());
        let expired = anchor().with(|draft| draft.validity = validity(b"100101000000Z", b"200101000000Z"));
        [
            "# an apiserver's certificate, and what lies around it\n".to_owned(),
            certificate(server()),
            certificate(anchor()),
            certificate(expired),
            certificate(anchor()),
            certificate(hostile()),
            encode_pem("PRIVATE KEY", b"not even a key"),
            encode_pem("DH PARAMETERS", b""),
            encode_pem("CERTIFICATE", &server().der()[..100]),
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n".to_owned(),
        ]
        .concat()
    }

    #[test]
    fn the_text_and_the_data_of_a_file_of_everything_are_the_goldens() {
        let file = BundleView::parse_pem(file().as_bytes(), at(SUMMER), None, &Limits::DEFAULT).unwrap();
        golden("file.txt", &file.to_string());
        golden("file.json", &(serde_json::to_string_pretty(&file).unwrap() + "\n"));
        assert!(file.has_fault());
        let weak = view(&weak().der());
        golden("weak.txt", &weak.to_string());
        golden("weak.json", &(serde_json::to_string_pretty(&weak).unwrap() + "\n"));
    }

    #[test]
    fn no_octet_of_a_hostile_certificate_reaches_a_terminal() {
        let hostile = view(&hostile().der());
        let data = serde_json::to_string(&hostile).unwrap();
        for text in [hostile.to_string(), data] {
            let odd: Vec<_> = text.chars().filter(|char| !matches!(char, ' '..='~' | '\n')).collect();
            assert_eq!(odd, []);
        }
        // A line of the certificate's own making would begin a line of the text.
        assert!(hostile.to_string().lines().all(|line| !line.starts_with("fault: none")));
    }

    // ---- remarks

    #[test]
    fn each_remark_is_made_where_it_is_due_and_not_beside_it() {
        let with = |extensions: &[Vec<u8>]| leaf().with(|draft| draft.extensions = extensions.to_vec());
        let self_issued = |draft: Draft| draft.with(|draft| draft.subject = draft.issuer.clone());
        let named = alt_names(&[tlv(0x82, b"x")]);
        let sha1 = |draft: Draft| {
            draft.with(|draft| (draft.algorithm, draft.inner_algorithm) = (sha1_with_rsa(), sha1_with_rsa()))
        };
        let lasting = |from: &[u8], to: &[u8]| leaf().with(|draft| draft.validity = validity(from, to));
        let serial = |octets: &[u8]| leaf().with(|draft| draft.serial = tlv(INTEGER, octets));
        let group = |text: &[u8]| leaf().with(|draft| draft.subject = name(&[rdn(ORGANIZATION, UTF8, text)]));
        let cases: [(&str, Draft, Option<&str>); 33] = [
            ("in its last second", lasting(b"240101000000Z", b"240601000000Z"), Some("expires_soon")),
            ("a second over", lasting(b"240101000000Z", b"240531235959Z"), Some("expired")),
            ("in its first second", lasting(b"240601000000Z", b"250601000000Z"), None),
            ("a second before", lasting(b"240601000001Z", b"250601000000Z"), Some("not_yet_valid")),
            ("180 days left", lasting(b"240101000000Z", b"241128000000Z"), Some("expires_soon")),
            ("a second more", lasting(b"240101000000Z", b"241128000001Z"), None),
            ("upside down", lasting(b"250101000000Z", b"240101000000Z"), Some("never_valid")),
            ("RSA-2040", leaf().with(|draft| draft.key = rsa_key(255, &[1, 0, 1])), Some("weak_key")),
            ("RSA-2048", leaf().with(|draft| draft.key = rsa_key(256, &[3])), None),
            ("exponent 1", leaf().with(|draft| draft.key = rsa_key(256, &[1])), Some("weak_key")),
            ("even exponent", leaf().with(|draft| draft.key = rsa_key(256, &[1, 0, 0])), Some("weak_key")),
            ("SHA-1", sha1(leaf()), Some("weak_signature")),
            ("SHA-1 over itself", sha1(self_issued(leaf())), None),
            (
                "two algorithms",
                leaf().with(|draft| draft.inner_algorithm = sha1_with_rsa()),
                Some("signature_algorithms"),
            ),
            ("a nameless server", with(&[server_auth()]), Some("server_without_names")),
            ("an empty list of names", with(&[server_auth(), alt_names(&[])]), Some("server_without_names")),
            ("a server with a name", with(&[server_auth(), named.clone()]), None),
            ("a CA that may sign", with(&[certificate_authority(), key_usage(2, 4)]), None),
            ("a CA for everything", with(&[certificate_authority()]), None),
            (
                "a CA that may not sign",
                with(&[certificate_authority(), key_usage(7, 128)]),
                Some("ca_without_key_cert_sign"),
            ),
            ("a leaf that may sign", with(&[key_usage(2, 4)]), Some("key_cert_sign_without_ca")),
            ("a nameless CA for servers", with(&[certificate_authority(), server_auth()]), None),
            ("the group of masters", group(b"system:masters"), Some("system_masters")),
            ("another group", group(b"system:master"), None),
            ("serial 0", serial(&[0]), Some("serial")),
            ("serial -1", serial(&[0xff]), Some("serial")),
            ("20 octets", serial(&[0x7f; 20]), None),
            ("21 octets", serial(&[0x7f; 21]), Some("serial")),
            ("version 1", leaf().with(|draft| draft.version.clear()), Some("version")),
            ("an extension twice", with(&[named.clone(), named]), Some("repeated_extension")),
            ("an unknown extension", with(&[extension(UNKNOWN, b"anything")]), None),
            ("names that are none", with(&[extension(SUBJECT_ALT_NAME, b"x")]), Some("unreadable_extension")),
            (
                "octets behind the names",
                with(&[extension(SUBJECT_ALT_NAME, &[SEQUENCE, 0, 0])]),
                Some("unreadable_extension"),
            ),
        ];
        for (what, draft, expected) in cases {
            assert_eq!(codes(&draft), Vec::from_iter(expected), "{what}");
        }
    }

    #[test]
    fn the_tightest_notice_before_expiry_is_given() {
        let der = leaf().der();
        let end = 1_735_689_600; // 2025-01-01T00:00:00Z
        const DAY: i64 = 86_400;
        for (left, expected) in [(0, Some(30)), (30 * DAY, Some(30)), (30 * DAY + 1, Some(180)), (181 * DAY, None)] {
            let view = CertificateView::parse(&der, at(end - left), &Limits::DEFAULT).unwrap();
            let soon = |within_days| Remark::ExpiresSoon { not_after: at(end), within_days };
            assert_eq!(view.remarks, Vec::from_iter(expected.map(soon)), "{left}");
            assert!(!view.has_fault());
        }
    }

    #[test]
    fn a_certificate_that_outlives_its_issuer_says_so_and_a_stranger_is_no_issuer() {
        let mut outliving = view(&server().der());
        let (issuer, stranger) =
            (anchor(), anchor().with(|draft| draft.extensions.pop().map(drop).unwrap_or_default()));
        assert!(outliving.names_as_issuer(&view(&issuer.der())));
        // Without a key identifier the name decides alone.
        assert!(outliving.names_as_issuer(&view(&stranger.der())));
        let other_key = anchor().with(|draft| {
            draft.extensions[2] = extension(SUBJECT_KEY_ID, &tlv(OCTET_STRING, &[8; 20]));
        });
        let other_name = anchor().with(|draft| draft.subject = name(&[rdn(COMMON_NAME, UTF8, b"other")]));
        let no_ca = anchor().with(|draft| draft.extensions.remove(1).clear());
        for stranger in [other_key, other_name, no_ca] {
            outliving.compare_with_issuer(&view(&stranger.der()));
            assert_eq!(outliving.remarks, []);
        }
        outliving.compare_with_issuer(&view(&issuer.der()));
        assert_eq!(outliving.remarks, [Remark::OutlivesIssuer { issuer_not_after: at(1_735_689_600) }]);
        assert!(!outliving.has_fault());
    }

    #[test]
    fn leaves_are_recognised_by_subject_and_usage_and_not_by_either_alone() {
        let with = |subject: &[Vec<u8>], usage: Vec<u8>| {
            let draft = Draft::new(subject).with(|draft| draft.extensions = vec![usage, alt_names(&[tlv(0x82, b"x")])]);
            view(&draft.der()).looks_like
        };
        let common_name = |text: &str| rdn(COMMON_NAME, UTF8, text.as_bytes());
        let nodes = rdn(ORGANIZATION, UTF8, b"system:nodes");
        let client = || extension(crate::certificates::EXT_KEY_USAGE, &seq(&[&oid(&[0x2b, 6, 1, 5, 5, 7, 3, 2])]));
        assert_eq!(with(&[common_name("kube-apiserver")], server_auth()), [LeafKind::ApiServer]);
        assert_eq!(with(&[common_name("kube-apiserver")], client()), []);
        assert_eq!(with(&[common_name("kube-apiserver2")], server_auth()), []);
        assert_eq!(with(&[nodes.clone(), common_name("system:node:n")], client()), [LeafKind::KubeletClient]);
        assert_eq!(with(&[nodes, common_name("system:node:n")], server_auth()), [LeafKind::KubeletServing]);
        assert_eq!(with(&[common_name("system:node:n")], client()), []);
        let old_admin = [rdn(ORGANIZATION, UTF8, b"system:masters"), common_name("kubernetes-admin")];
        assert_eq!(with(&old_admin, client()), [LeafKind::Admin]);
    }

    // ---- bounds

    #[test]
    fn a_certificate_longer_than_the_limit_is_not_read() {
        let der = server().der();
        let mut limits = Limits::DEFAULT;
        limits.certificate_len_max = der.len();
        assert!(CertificateView::parse(&der, at(SUMMER), &limits).is_ok());
        limits.certificate_len_max -= 1;
        let error = CertificateView::parse(&der, at(SUMMER), &limits).unwrap_err();
        assert_eq!(error, InspectError::TooLong { found: der.len(), max: der.len() - 1 });
        assert_eq!(error.to_string(), format!("{} octets, limit {}", der.len(), der.len() - 1));
        let request = request(LeafKind::Admin, &key(KeyAlgorithm::P256));
        limits.request_len_max = request.len() - 1;
        let error = RequestView::parse(&request, None, &limits).unwrap_err();
        assert_eq!(error.code(), "inspect.too_long");
    }

    #[test]
    fn a_certificate_cut_off_anywhere_or_with_more_behind_it_is_an_error() {
        let der = hostile().der();
        for len in 0..der.len() {
            let error = CertificateView::parse(&der[..len], at(SUMMER), &Limits::DEFAULT).unwrap_err();
            assert_eq!(error.code(), "inspect.malformed", "{len}");
        }
        let longer = [der.as_slice(), &[0]].concat();
        let error = CertificateView::parse(&longer, at(SUMMER), &Limits::DEFAULT).unwrap_err();
        assert_eq!(error.to_string(), format!("Certificate: octets after the end, at octet {}", der.len()));
    }

    #[test]
    fn any_octet_may_be_wrong_and_what_is_shown_stays_printable() {
        let der = hostile().der();
        for index in 0..der.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[index] ^= flip;
                if let Ok(view) = CertificateView::parse(&changed, at(SUMMER), &Limits::DEFAULT) {
                    let text = view.to_string();
                    assert!(text.chars().all(|char| matches!(char, ' '..='~' | '\n')), "{index} {flip}");
                }
            }
        }
    }

    /// The slowest of the shapes below takes some tens of milliseconds in a debug build.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test is about time")]
    fn a_megabyte_of_names_usages_or_attributes_is_read_in_linear_time() {
        let mut limits = Limits::DEFAULT;
        limits.certificate_len_max = 1 << 20;
        let number = |index: usize| format!("{index:05}");
        let names: Vec<_> =
            (0..10_000).map(|index| tlv(0x82, format!("node-{index}.example.com").as_bytes())).collect();
        let usages: Vec<_> = (0..10_000u16)
            .map(|index| oid(&[&[0x2b, 6, 1][..], &index.to_be_bytes().map(|b| b & 0x7f)].concat()))
            .collect();
        let extensions: Vec<_> = (0..10_000u16)
            .map(|index| extension(&[&[0x2b, 6, 1][..], &index.to_be_bytes().map(|b| b & 0x7f)].concat(), b"x"))
            .collect();
        let attributes: Vec<_> =
            (0..10_000).rev().map(|index| attribute(COMMON_NAME, UTF8, number(index).as_bytes())).collect();
        let rdns: Vec<_> = (0..10_000).map(|index| rdn(ORGANIZATION, UTF8, number(index).as_bytes())).collect();
        let usage = extension(crate::certificates::EXT_KEY_USAGE, &tlv(SEQUENCE, &usages.concat()));
        for (what, draft) in [
            ("alternative names", leaf().with(|draft| draft.extensions = vec![alt_names(&names)])),
            ("usages", leaf().with(|draft| draft.extensions = vec![usage])),
            ("extensions", leaf().with(|draft| draft.extensions = extensions)),
            (
                "attributes of one relative name",
                leaf().with(|draft| draft.subject = name(&[tlv(SET, &attributes.concat())])),
            ),
            ("organizations", leaf().with(|draft| draft.subject = name(&rdns))),
        ] {
            let der = draft.der();
            assert_eq!(
                CertificateView::parse(&der, at(SUMMER), &Limits::DEFAULT).unwrap_err().code(),
                "inspect.too_long"
            );
            let began = std::time::Instant::now();
            let view = CertificateView::parse(&der, at(SUMMER), &limits).unwrap();
            let text = view.to_string();
            let took = began.elapsed();
            println!("{what}: {} octets, {} of text, {took:?}", der.len(), text.len());
            assert!(text.len() > 10_000 && took < std::time::Duration::from_secs(2), "{what}: {took:?}");
        }
    }

    #[test]
    fn a_thousand_nested_sequences_are_no_recursion() {
        let nested = (0..1_000).fold(Vec::new(), |inner, _| tlv(SEQUENCE, &inner));
        assert!(CertificateView::parse(&nested, at(SUMMER), &Limits::DEFAULT).is_err());
        let draft = leaf().with(|draft| draft.extensions = vec![extension(SUBJECT_ALT_NAME, &nested)]);
        assert!(view(&draft.der()).has_fault() || view(&draft.der()).remarks.is_empty());
    }

    #[test]
    fn notices_are_milder_than_faults_and_every_remark_has_its_own_code() {
        assert!(Severity::Notice < Severity::Fault);
        let draft = leaf().with(|draft| draft.extensions = vec![extension(SUBJECT_ALT_NAME, b"x")]);
        let unreadable = view(&draft.der()).remarks.remove(0);
        assert_eq!(unreadable.code(), "unreadable_extension");
        let all = [
            Remark::NeverValid,
            Remark::SignatureAlgorithms,
            Remark::ServerWithoutNames,
            Remark::CaWithoutKeyCertSign,
            Remark::KeyCertSignWithoutCa,
            Remark::AsksForCa,
            Remark::SystemMasters,
            Remark::Serial,
            Remark::PossessionRefuted,
            Remark::Expired { not_after: UtcDateTime::UNIX_EPOCH },
            Remark::NotYetValid { not_before: UtcDateTime::UNIX_EPOCH },
            Remark::ExpiresSoon { not_after: UtcDateTime::UNIX_EPOCH, within_days: 30 },
            Remark::OutlivesIssuer { issuer_not_after: UtcDateTime::UNIX_EPOCH },
            Remark::WeakKey { weakness: Weakness::Short },
            Remark::WeakSignature { algorithm: String::new() },
            Remark::Version { version: 1 },
            Remark::RepeatedExtension { oid: String::new() },
            unreadable,
        ];
        let codes: std::collections::BTreeSet<_> = all.iter().map(Remark::code).collect();
        assert_eq!(codes.len(), all.len());
    }
}
