//! `sign_csr` as a person or a script meets it: exit codes, streams, files, and certificates that openssl accepts.

#[cfg(test)]
#[path = "support/example.rs"]
mod example;
#[cfg(test)]
#[path = "support/openssl.rs"]
mod openssl;
#[cfg(test)]
#[path = "sign_csr/rules.rs"]
mod rules;
#[cfg(test)]
#[path = "sign_csr/unusable.rs"]
mod unusable;
#[cfg(test)]
#[path = "sign_csr/workbench.rs"]
mod workbench;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use pki_core::KeyAlgorithm;
    use serde_json::Value;

    use crate::example::{example, text};
    use crate::workbench::{CLIENT, Workbench};

    #[test]
    fn a_request_is_known_by_its_content_and_signed_for_every_kind_of_key() {
        let bench = Workbench::new();
        for (kind, key) in [
            ("EC", "ec -pkeyopt ec_paramgen_curve:P-256"),
            ("EC", "ec -pkeyopt ec_paramgen_curve:P-384 -sha384"),
            ("RSA", "rsa:2048"),
            ("RSA", "rsa:3072"),
            ("ED25519", "ed25519"),
        ] {
            // The names say the opposite of what is inside.
            bench.request_of("jane.der", key, "/O=developers/CN=jane", "");
            bench.openssl("req -in jane.der -outform DER -out jane.pem");
            for request in ["jane.der", "jane.pem"] {
                bench.signed(CLIENT, request, &[]);
                bench.verify("pki", "sslclient", "out.pem");
                let certified = bench.openssl("x509 -in out.pem -noout -pubkey");
                assert_eq!(certified, bench.openssl("pkey -in jane.der.key -pubout"), "{kind} {request}");
                let said = bench.openssl("x509 -in out.pem -noout -subject -nameopt RFC2253");
                assert_eq!(said, "subject=CN=jane,O=developers\n", "{kind} {request}");
                let mode = std::fs::metadata(bench.path("out.pem")).unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o644);
            }
        }
    }

    #[test]
    fn the_ca_of_issue_cluster_and_one_in_kubeadms_form_sign_with_every_kind_of_key() {
        let bench = Workbench::new();
        bench.request("jane", "/CN=jane", "");
        let made = [
            ("ec256", "EC PRIVATE KEY", "ecparam -name prime256v1 -genkey -noout -out"),
            ("ec384", "EC PRIVATE KEY", "ecparam -name secp384r1 -genkey -noout -out"),
            ("rsa2048", "RSA PRIVATE KEY", "genrsa -traditional -out"),
            ("rsa3072", "PRIVATE KEY", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out"),
            ("rsa4096", "PRIVATE KEY", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out"),
        ];
        for (ca, label, genkey) in made {
            bench.make_ca(ca, genkey);
            let key = text(&bench.read(&format!("{ca}/ca.key")));
            assert!(key.starts_with(&format!("-----BEGIN {label}-----\n")), "{ca}");
        }
        // A tree of long RSA keys takes long to make, and its CA is as openssl's.
        let quick = [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048];
        let trees = quick.map(|algorithm| {
            let tree = format!("tree-{algorithm}");
            bench.issue_ca(&tree, algorithm);
            tree + "/pki"
        });
        for ca in trees.iter().map(String::as_str).chain(made.map(|(ca, ..)| ca)) {
            let output = bench.run(ca, CLIENT, &["--in", "jane", "--out", "out.pem"]);
            assert_eq!(output.status.code(), Some(0), "{ca}: {}", text(&output.stderr));
            bench.verify(ca, "sslclient", "out.pem");
        }
    }

    #[test]
    fn of_a_directory_every_good_request_is_signed_and_the_bad_one_named() {
        let bench = Workbench::new();
        std::fs::create_dir_all(bench.path("requests/below")).unwrap();
        bench.request("alice", "/CN=alice", "");
        bench.request("bob", "/CN=bob", "");
        bench.openssl("req -in bob -outform DER -out requests/bob.der");
        bench.write("requests/alice.csr", bench.read("alice"));
        bench.write("requests/mallory.csr", "garbage");
        bench.write("requests/below/carol.csr", bench.read("alice"));
        let output = bench.run("pki", CLIENT, &["--in", "requests", "--out", "new/certificates"]);
        assert_eq!(output.status.code(), Some(1));
        let stdout = text(&output.stdout);
        let lines: Vec<_> = stdout.lines().map(|line| line.split(": serial=").next().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "signed: requests/alice.csr -> new/certificates/alice.pem",
                "signed: requests/bob.der -> new/certificates/bob.pem"
            ]
        );
        assert_eq!(
            text(&output.stderr),
            "refused: requests/mallory.csr: request.pem: the request is neither DER nor PEM: no PEM block, expected `CERTIFICATE REQUEST`\n"
        );
        let entries = std::fs::read_dir(bench.path("new/certificates")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["alice.pem", "bob.pem"]);
        for name in names {
            bench.verify("pki", "sslclient", &format!("new/certificates/{name}"));
        }
    }

    #[test]
    fn json_is_one_document_with_the_signed_and_the_refused() {
        let bench = Workbench::new();
        std::fs::create_dir(bench.path("requests")).unwrap();
        bench.request("requests/alice", "/O=developers/CN=alice", "");
        std::fs::remove_file(bench.path("requests/alice.key")).unwrap();
        bench.write("requests/b\n\u{1b}[2J", "garbage");
        let output = bench.run("pki", CLIENT, &["--in", "requests", "--out", "certificates", "--format", "json"]);
        assert_eq!(output.status.code(), Some(1));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let [signed, refused] = document.as_array().unwrap().as_slice() else { panic!("{document}") };
        assert_eq!((&signed["in"], &signed["signed"]), (&"requests/alice".into(), &true.into()));
        assert_eq!((&signed["commonName"], &signed["organizations"][0]), (&"alice".into(), &"developers".into()));
        assert_eq!((&refused["in"], &refused["signed"]), (&"requests/b\n\u{1b}[2J".into(), &false.into()));
        assert_eq!(refused["code"], "request.pem");
        let serial = bench.openssl("x509 -in certificates/alice.pem -noout -serial").to_lowercase();
        assert_eq!(serial, format!("serial={}\n", signed["serial"].as_str().unwrap()));
        // The name of a file is a stranger's text.
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("refused: requests/b\\0A\\1B[2J: request.pem: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1);
    }

    #[test]
    fn content_that_is_no_acceptable_request_is_refused_and_leaves_nothing() {
        let bench = Workbench::new();
        bench.request("good", "/CN=jane", "");
        bench.openssl("req -in good -outform DER -out good.der");
        bench.request_of("weak", "rsa:1024", "/CN=jane", "");
        let (good, der) = (bench.read("good"), bench.read("good.der"));
        // A request for a key that its sender does not have: the signature is another's.
        let mut forged = der.clone();
        *forged.last_mut().unwrap() ^= 1;
        for (name, content, reason) in [
            ("empty", Vec::new(), "request.pem: the request is neither DER nor PEM: no PEM block"),
            ("garbage", b"garbage".to_vec(), "request.pem: "),
            (
                "certificate",
                bench.read("pki/ca.crt"),
                "request.pem: the request is neither DER nor PEM: PEM block 1, line 1: expected `CERTIFICATE REQUEST`, found `CERTIFICATE`",
            ),
            ("key", bench.read("pki/ca.key"), "request.pem: "),
            ("cut", good[..good.len() / 2].to_vec(), "request.pem: "),
            ("cut-der", der[..der.len() / 2].to_vec(), "request.malformed: "),
            (
                "large",
                vec![b'A'; 2 << 20],
                "request.pem: the request is neither DER nor PEM: the text has 1048577 octets",
            ),
            ("large-der", [&der[..1], &vec![0x84; 2 << 20]].concat(), "request.too_long: "),
            (
                "two",
                [good.as_slice(), &good].concat(),
                "request.pem: the request is neither DER nor PEM: PEM block 2, line 8: one block must stand alone",
            ),
            (
                "weak",
                bench.read("weak"),
                "request.malformed: the request is malformed: RSAPublicKey: the modulus has none of 2048, 3072, 4096 bits",
            ),
            ("forged", forged, "request.possession: possession of the key is not proven (RFC 2986 4.2)"),
        ] {
            bench.write(name, content);
            bench.refused(CLIENT, name, &[], reason);
        }
    }

    #[test]
    fn a_certificate_takes_the_place_of_an_older_one_and_a_refused_request_does_not() {
        let bench = Workbench::new();
        bench.request("jane", "/CN=jane", "");
        bench.write("garbage", "garbage");
        bench.write("out.pem", "an older certificate");
        let output = bench.run("pki", CLIENT, &["--in", "garbage", "--out", "out.pem"]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(bench.read("out.pem"), b"an older certificate");
        bench.signed(CLIENT, "jane", &[]);
        bench.verify("pki", "sslclient", "out.pem");
    }

    #[test]
    fn without_arguments_a_signed_and_a_refused_request_are_shown() {
        let output = example("sign_csr").output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        let said = text(&output.stdout);
        for part in [
            "\n  signed: serial=",
            "\n  refused: strict.service_name: ",
            "\n  refused: upstream.dns_or_ip_required: DNS or IP subjectAltName is required\n",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn help_shows_real_uses_and_the_exit_codes() {
        let output = example("sign_csr").arg("--help").output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        for part in ["--ca-dir", "--node-address", "--expiration-seconds", "Examples:", "Exit status:"] {
            assert!(help.contains(part), "{part}");
        }
    }
}
