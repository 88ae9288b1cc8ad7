//! What cannot be used at all: exit status 2, one line that says why, and nothing written.

use pki_core::verify::aws_lc_rs;
use pki_core::{AuthorityRole, CaVersion, KeyAlgorithm, KeyLedger, Serial, Validity, mint_root, pem};
use signer_hsm::ExportableKey;
use time::{Date, Duration, Month};

use crate::workbench::{CLIENT, SERVING, Workbench};

#[test]
fn a_directory_that_is_no_ca_is_refused_with_the_file_at_fault() {
    let bench = Workbench::new();
    bench.request("jane", "/CN=jane", "");
    bench.make_ca("other", "genrsa -traditional -out");
    let (ca, key) = (bench.read("pki/ca.crt"), bench.read("pki/ca.key"));
    let other = bench.read("other/ca.crt");
    let refuse = |directory: &str, reason: &str| {
        bench.unusable(|bench| bench.run(directory, CLIENT, &["--in", "jane", "--out", "out.pem"]), reason);
    };
    refuse("missing", "missing/ca.crt: No such file or directory");
    for (name, content, reason) in [
        ("pki/ca.key", bench.read("other/ca.key"), "pki/ca.key: the key is not the one of ca.crt"),
        ("pki/ca.key", b"garbage".to_vec(), "pki/ca.key: no PEM block"),
        ("pki/ca.key", key[..key.len() / 2].to_vec(), "pki/ca.key: PEM block 1, line 1: the block has no end line"),
        ("pki/ca.key", ca.clone(), "pki/ca.key: expected `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`"),
        ("pki/ca.crt", [ca.as_slice(), &other].concat(), "pki/ca.crt: expected 1 certificate, found 2"),
        ("pki/ca.crt", Vec::new(), "pki/ca.crt: no PEM block"),
        ("pki/ca.crt", key.clone(), "pki/ca.crt: PEM block 1, line 1: expected `CERTIFICATE`, found `EC PRIVATE KEY`"),
    ] {
        let original = bench.read(name);
        bench.write(name, content);
        refuse("pki", reason);
        bench.write(name, original);
    }
    bench.openssl("req -x509 -key pki/ca.key -subj /CN=leaf -out leaf.crt -addext basicConstraints=CA:FALSE");
    bench.write("pki/ca.crt", bench.read("leaf.crt"));
    refuse("pki", "pki/ca.crt: ");
    bench.write("pki/ca.crt", ca);
    std::fs::remove_file(bench.path("pki/ca.key")).unwrap();
    refuse("pki", "pki/ca.key: No such file or directory");
}

#[test]
fn an_expired_ca_signs_nothing() {
    let bench = Workbench::new();
    bench.request("jane", "/CN=jane", "");
    let born = Date::from_calendar_date(2020, Month::January, 1).unwrap().midnight().as_utc();
    let validity = Validity::around(born, Duration::ZERO, Duration::days(1)).unwrap();
    let key = ExportableKey::generate(KeyAlgorithm::P256).unwrap();
    let mut ledger = KeyLedger::new();
    let cluster = "old".parse().unwrap();
    let admitted = ledger.admit(&cluster, AuthorityRole::Cluster, CaVersion::FIRST, key.signer()).unwrap();
    let root = mint_root(&admitted, validity, Serial::generate(&mut getrandom::SysRng).unwrap(), aws_lc_rs()).unwrap();
    bench.write("pki/ca.crt", pem::encode_pem(pem::CERTIFICATE, root.der()));
    bench.write("pki/ca.key", key.to_pem().as_bytes());
    let run = |bench: &Workbench| bench.run("pki", CLIENT, &["--in", "jane", "--out", "out.pem"]);
    bench.unusable(run, "pki/ca.crt: the CA is valid from 2020-01-01 0:00:00.0 +00 to 2020-01-02 0:00:00.0 +00 only");
}

#[test]
fn unusable_arguments_are_refused_before_anything_is_signed() {
    let bench = Workbench::new();
    bench.request("jane", "/CN=jane", "");
    let refuse = |signer: [&str; 2], more: &[&str], reason: &str| {
        let arguments = [&["--in", "jane", "--out", "out.pem"], more].concat();
        bench.unusable(|bench| bench.run("pki", signer, &arguments), reason);
    };
    refuse(["nonsense", CLIENT[1]], &[], "must be a fully qualified domain and path");
    refuse(["example.com/own", CLIENT[1]], &[], "unrecognized signerName: \"example.com/own\"");
    refuse([CLIENT[0], "client auth,fly"], &[], "spec.usages[1]: Unsupported value: \"fly\"");
    refuse(CLIENT, &["--expiration-seconds", "599"], "599 is not in 600..");
    refuse(CLIENT, &["--signing-duration", "599"], "599 is not in 600..");
    refuse(CLIENT, &["--format", "yaml"], "yaml");
    refuse(CLIENT, &["--nonsense"], "--nonsense");
}

#[test]
fn files_that_are_missing_or_would_be_lost_are_refused_before_anything_is_signed() {
    let bench = Workbench::new();
    bench.request("jane", "/CN=jane", "");
    for directory in ["empty", "twice", "own"] {
        std::fs::create_dir(bench.path(directory)).unwrap();
    }
    for copy in ["twice/jane.csr", "twice/jane.req", "own/jane.pem"] {
        bench.write(copy, bench.read("jane"));
    }
    bench.write("file", "precious");
    for (input, output, reason) in [
        ("missing", "out.pem", "missing: No such file or directory"),
        ("miss\n\u{1b}[2J", "out.pem", "miss\\0A\\1B[2J: No such file or directory"),
        ("jane", "missing/out.pem", "missing: No such file or directory"),
        ("jane", "empty", "empty: is a directory, and the request is a file"),
        ("jane", "jane", "jane: is a request, and would be overwritten by a certificate"),
        ("jane", "./own/../jane", "is a request, and would be overwritten by a certificate"),
        ("own", "file", "file: File exists"),
        ("own", "own", "own/jane.pem: is a request, and would be overwritten by a certificate"),
        ("twice", "new", "would be signed into the same file as twice/jane."),
        ("empty", "new", "empty: holds no file"),
    ] {
        bench.unusable(|bench| bench.run("pki", CLIENT, &["--in", input, "--out", output]), reason);
    }
    assert!(!bench.path("new").exists());
}

#[test]
fn the_files_of_the_ca_are_no_place_for_a_certificate() {
    let bench = Workbench::new();
    bench.request("jane", "/CN=jane", "");
    for file in ["pki/ca.key", "pki/ca.crt", "pki/../pki/ca.key"] {
        let run = |bench: &Workbench| bench.run("pki", CLIENT, &["--in", "jane", "--out", file]);
        bench.unusable(run, "is a file of the CA, and would be overwritten");
    }
}

#[test]
fn addresses_of_one_node_are_no_evidence_for_a_directory_of_requests() {
    let bench = Workbench::new();
    std::fs::create_dir(bench.path("requests")).unwrap();
    bench.request("requests/a", "/O=system:nodes/CN=system:node:node-1", "IP:10.0.0.11");
    let arguments = ["--in", "requests", "--out", "signed", "--node-address", "10.0.0.11"];
    bench.unusable(|bench| bench.run("pki", SERVING, &arguments), "needs --requestor");
}

#[test]
fn an_address_that_no_node_has_is_no_argument() {
    let bench = Workbench::new();
    bench.request("jane", "/CN=jane", "");
    for address in ["10.0.0.256", "*.example.com", "0.0.0.0", ""] {
        let arguments = ["--in", "jane", "--out", "out.pem", "--node-address", address];
        bench.unusable(|bench| bench.run("pki", SERVING, &arguments), "--node-address <A>");
    }
}
