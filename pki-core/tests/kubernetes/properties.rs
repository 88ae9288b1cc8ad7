//! What holds for every request, also for those that nobody thought of.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration as Span, Instant};

use pki_core::PresentedNames;
use pki_core::kubernetes::{
    CertificateSigningRequestSpec, CertificateSigningRequestStatus, Condition, Requestor, SignerName, SignerPolicy,
    SigningRequest, Subresource, Usage, Usages, check, check_subject_restriction,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestRunner};

use crate::LIMITS;

/// Texts near those that rules are about, and some that are not.
fn text() -> impl Strategy<Value = String> {
    let near = select(vec![
        "",
        "system:node:node-1",
        "system:node:",
        "system:node:Node",
        "system:nodes",
        "system:masters",
        "system:admin",
        "node-1",
        "kubernetes.default.svc",
        "localhost",
        "*.example.com",
        "a.b",
        "10.0.0.1",
    ]);
    proptest::prop_oneof![4 => near.prop_map(str::to_owned), 1 => any::<String>()]
}

fn presented() -> impl Strategy<Value = PresentedNames> {
    let some = || vec(text(), 0..2);
    (text(), vec(text(), 0..3), vec(text(), 0..3), some(), vec(any::<IpAddr>(), 0..3), some()).prop_map(
        |(common_name, organizations, dns_names, email_addresses, ip_addresses, uris)| PresentedNames {
            common_name,
            organizations,
            dns_names,
            email_addresses,
            ip_addresses,
            uris,
        },
    )
}

/// Half of the requests are a node's own for names of its own, so that some are granted.
fn names() -> impl Strategy<Value = PresentedNames> {
    let node = |names: PresentedNames| PresentedNames {
        common_name: "system:node:node-1".to_owned(),
        organizations: vec!["system:nodes".to_owned()],
        dns_names: names.dns_names.into_iter().filter(|name| ["node-1", "a.b"].contains(&name.as_str())).collect(),
        email_addresses: Vec::new(),
        uris: Vec::new(),
        ..names
    };
    proptest::prop_oneof![presented(), presented().prop_map(node)]
}

/// The sets that signers ask for, and any other.
fn some_usages() -> impl Strategy<Value = Usages> {
    use Usage::{ClientAuth, DigitalSignature, KeyEncipherment, ServerAuth};
    let usual = select(vec![
        vec![DigitalSignature, ClientAuth],
        vec![DigitalSignature, KeyEncipherment, ClientAuth],
        vec![DigitalSignature, ServerAuth],
    ]);
    let chosen = proptest::prop_oneof![3 => usual, 1 => subsequence(Usage::ALL.to_vec(), 1..4)];
    chosen.prop_map(|usages| Usages::parse(usages.into_iter().map(Usage::as_str)).unwrap())
}

#[test]
fn what_is_granted_is_what_upstream_grants_and_nobodys_but_the_requestors() {
    let signer = select(SignerName::BUILT_IN.to_vec());
    let request = (signer, names(), some_usages(), option::of(text()), vec(text(), 0..2), option::of(any::<i32>()));
    let granted_to = RefCell::new(BTreeSet::new());
    let mut runner = TestRunner::new(Config { cases: 4096, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&request, |(signer, names, usages, username, groups, expiration)| {
        let mut request = SigningRequest::new(signer.clone(), usages.clone(), &names).lasting(expiration);
        if let Some(username) = &username {
            request = request.by(Requestor { username, groups: &groups });
        }
        let Ok(granted) = SignerPolicy::new(signer.clone()).unwrap().evaluate(&request) else { return Ok(()) };
        granted_to.borrow_mut().insert(signer.clone());
        prop_assert_eq!(check(&signer, &names, &usages), Ok(()));
        prop_assert_eq!(check_subject_restriction(&signer, &names), Ok(()));
        let is_kubelets = matches!(signer, SignerName::KubeApiServerClientKubelet | SignerName::KubeletServing);
        let groups = granted.subject().organizations();
        prop_assert!(!groups.iter().any(|group| group == "system:masters"));
        prop_assert_eq!(granted.subject().common_name().starts_with("system:"), is_kubelets);
        prop_assert_eq!(groups.iter().any(|group| group.starts_with("system:")), is_kubelets);
        if let Some(username) = username.filter(|_| signer == SignerName::KubeletServing) {
            prop_assert_eq!(username, granted.subject().common_name());
        }
        // keyCertSign and cRLSign are bits 5 and 6 (RFC 5280 4.2.1.3).
        prop_assert_eq!(granted.key_usage_bits() & 0b110_0000, 0);
        prop_assert!((600..=8760 * 3600).contains(&granted.ttl().whole_seconds()));
        Ok(())
    });
    outcome.unwrap();
    // Else the above would say nothing.
    assert_eq!(granted_to.into_inner(), SignerName::BUILT_IN.into());
}

proptest! {
    #[test]
    fn a_signer_name_that_is_accepted_is_written_as_it_was_read(text in "[a-z.]{0,9}/?[a-z.-]{0,9}/?\\PC{0,3}") {
        if let Ok(name) = text.parse::<SignerName>() {
            prop_assert_eq!(name.as_str(), text.as_str());
            prop_assert_eq!(text.matches('/').count(), 1);
        }
    }
}

#[test]
fn a_hostile_object_is_answered_shortly_and_soon() {
    // What 3 MiB, the most that the API server reads, hold of the shortest entries.
    let count = 1 << 20;
    let spec = CertificateSigningRequestSpec {
        request: vec![b'-'; 3 << 20],
        signer_name: "é".repeat(1 << 20),
        usages: vec![String::new(); count],
        ..CertificateSigningRequestSpec::default()
    };
    let begin = start();
    let violations = spec.validate_create(&LIMITS, |_| Err("never asked")).unwrap_err();
    assert_eq!(violations.as_slice().len(), 64);
    assert!(violations.to_string().len() < 64 << 10, "{}", violations.to_string().len());
    let status = CertificateSigningRequestStatus {
        conditions: vec![Condition::default(); count / 8],
        certificate: vec![b'\n'; 3 << 20],
    };
    let old = CertificateSigningRequestStatus::default();
    let violations = status.validate_update(&old, Subresource::Status, &LIMITS).unwrap_err();
    assert_eq!(violations.as_slice().len(), 64);
    assert!(begin.elapsed_within(Span::from_secs(10)));
}

/// A stopwatch of the test; the library has none.
struct Begin(Instant);

#[expect(clippy::disallowed_methods, reason = "the test measures, the library takes time as an argument")]
fn start() -> Begin {
    Begin(Instant::now())
}

impl Begin {
    #[expect(clippy::disallowed_methods, reason = "the test measures, the library takes time as an argument")]
    fn elapsed_within(&self, span: Span) -> bool {
        self.0.elapsed() < span
    }
}
