//! Who gets which certificate: upstream's rules in upstream's words, the stricter ones, and how long it lives.

use examples::Clock;
use pki_core::KeyAlgorithm;

use crate::workbench::{CLIENT, NODE, SERVING, Workbench};

const KUBELET: [&str; 2] = ["kubernetes.io/kube-apiserver-client-kubelet", "digital signature,client auth"];

#[test]
fn upstreams_refusals_come_in_upstreams_words() {
    let bench = Workbench::new();
    bench.request("jane", "/O=developers/CN=jane", "");
    bench.request("node", NODE, "");
    bench.request("named", NODE, "DNS:node-1.example.com");
    bench.request("masters", "/O=system:masters/CN=jane", "");
    bench.request("groupless", "/CN=system:node:node-1", "DNS:node-1.example.com");
    let server = [CLIENT[0], "digital signature,server auth"];
    for (signer, request, reason) in [
        (SERVING, "node", "upstream.dns_or_ip_required: DNS or IP subjectAltName is required\n"),
        (SERVING, "groupless", "upstream.organization: subject organization is not system:nodes\n"),
        (server, "jane", "upstream.invalid_usage: invalid usage for client certificate: server auth\n"),
        (
            CLIENT,
            "masters",
            "upstream.system_masters: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed\n",
        ),
        (KUBELET, "named", "upstream.dns: DNS subjectAltNames are not allowed\n"),
        (KUBELET, "jane", "upstream.organization: subject organization is not system:nodes\n"),
    ] {
        bench.refused(signer, request, &[], reason);
    }
    bench.signed(KUBELET, "node", &[]);
    bench.verify("pki", "sslclient", "out.pem");
}

#[test]
fn names_among_the_nodes_addresses_are_approved_and_others_refused() {
    let bench = Workbench::new();
    bench.request("node", NODE, "DNS:node-1.example.com,IP:10.0.0.11");
    let requestor = ["--requestor", "system:node:node-1"];
    let known = ["--node-address", "10.0.0.11", "--node-address", "node-1.example.com"];
    let all = [requestor.as_slice(), &known].concat();
    let said = bench.signed(SERVING, "node", &all);
    assert!(said.starts_with("signed: node -> out.pem: serial="), "{said}");
    assert!(said.ends_with(" san=DNS:node-1.example.com san=IP:10.0.0.11 (names approved by address)\n"), "{said}");
    assert_eq!(bench.signed_json(SERVING, "node", &all)["approvedByAddress"], true);
    bench.verify("pki", "sslserver", "out.pem");
    let names = bench.openssl("x509 -in out.pem -noout -ext subjectAltName");
    assert!(names.contains("DNS:node-1.example.com, IP Address:10.0.0.11"), "{names}");

    let refuse = |more: &[&str], reason| bench.refused(SERVING, "node", more, reason);
    let of = |user, address| ["--requestor", user, "--node-address", address];
    refuse(
        &of("system:node:node-1", "10.0.0.11"),
        "strict.known_address: every name is among the node's known addresses, found `DNS:node-1.example.com`",
    );
    refuse(&of("system:node:node-1", "node-1.example.com"), "strict.known_address: ");
    refuse(&of("system:node:node-2", "10.0.0.11"), "strict.requestor: a node asks for itself only");
    refuse(&of("jane", "10.0.0.11"), "strict.serving_requestor: ");
}

#[test]
fn without_addresses_no_name_of_others_is_signed_and_a_nodes_own_is_marked() {
    let bench = Workbench::new();
    for (name, reason) in [
        (
            "DNS:*.example.com",
            "strict.dns_name: a DNS name is a DNS-1123 subdomain and no wildcard, found `*.example.com`",
        ),
        ("DNS:kubernetes.default.svc", "strict.service_name: "),
        ("DNS:localhost", "strict.service_name: "),
        ("IP:127.0.0.1", "strict.loopback: nobody has a loopback address, found `127.0.0.1`"),
        ("IP:0.0.0.0", "strict.ip_address: an IP name is the address of one host, found `0.0.0.0`"),
    ] {
        bench.request("node", NODE, name);
        bench.refused(SERVING, "node", &[], reason);
        // Evidence does not help either, where it can be given at all.
        let address = name.split_once(':').unwrap().1;
        if examples::sign_csr::node_address(address).is_ok() {
            bench.refused(
                SERVING,
                "node",
                &["--requestor", "system:node:node-1", "--node-address", address],
                "strict.",
            );
        }
    }
    bench.request("node", NODE, "DNS:node-1.example.com");
    assert!(
        bench.signed(SERVING, "node", &[]).ends_with(" san=DNS:node-1.example.com (names not approved by address)\n")
    );
    assert_eq!(bench.signed_json(SERVING, "node", &[])["approvedByAddress"], false);
    bench.request("jane", "/CN=jane", "");
    assert_eq!(bench.signed_json(CLIENT, "jane", &[])["approvedByAddress"], serde_json::Value::Null);
}

#[test]
fn a_certificate_lives_as_long_as_is_asked_and_the_signer_allows() {
    const BACKDATE: i64 = 300;
    let bench = Workbench::new();
    bench.request("jane", "/CN=jane", "");
    // A certificate does not begin before its CA, so the CA must be older than the backdating.
    bench.issue_ca("tree", KeyAlgorithm::P256);
    for file in ["ca.crt", "ca.key"] {
        bench.write(&format!("pki/{file}"), bench.read(&format!("tree/pki/{file}")));
    }
    let now = || Clock::default().now().unix_timestamp();
    // Less than eight hours are not shortened by the backdating (kube-controller-manager's policy).
    for (arguments, life) in [
        (["--expiration-seconds", "600"].as_slice(), 600),
        (&["--expiration-seconds", "3600"], 3_600),
        (&["--expiration-seconds", "86400"], 86_400 - BACKDATE),
        (&["--signing-duration", "7200"], 7_200),
        (&["--signing-duration", "7200", "--expiration-seconds", "86400"], 7_200),
        (&["--signing-duration", "86400", "--expiration-seconds", "3600"], 3_600),
        (&[], 31_536_000 - BACKDATE),
    ] {
        let before = now();
        let entry = bench.signed_json(CLIENT, "jane", arguments);
        let signed_at = entry["notBefore"].as_i64().unwrap() + BACKDATE;
        assert!((before..=now()).contains(&signed_at), "{arguments:?}: {entry}");
        assert_eq!(entry["notAfter"].as_i64().unwrap() - signed_at, life, "{arguments:?}");
        let end = time::UtcDateTime::from_unix_timestamp(entry["notAfter"].as_i64().unwrap()).unwrap();
        let (hour, minute, second) = end.as_hms();
        let expected = format!("notAfter={} {hour:02}:{minute:02}:{second:02}Z\n", end.date());
        assert_eq!(bench.openssl("x509 -in out.pem -noout -enddate -dateopt iso_8601"), expected);
    }
}
