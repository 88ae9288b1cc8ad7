//! What other approvers and signers got wrong, each with what must be refused and what must still pass.

use pki_core::kubernetes::{
    ApprovedByAddress, AutoApproval, CertificateSigningRequestSpec, CertificateSigningRequestStatus, Condition,
    ConditionType, IssuedRefusal, NodeAddress, NodeAddresses, Refused, Requestor, ServingVerdict, SignerName,
    SignerPolicy, SigningRequest, StrictRules, Usage, Usages, check, decide, judge_kubelet_serving, recognise,
};
use pki_core::pem::{CERTIFICATE, encode_pem};
use pki_core::verify::SubjectPublicKey;
use pki_core::{KeyAlgorithm, PresentedNames, Signer};

use crate::cases::node_address;
use crate::keys::key;
use crate::{LIMITS, names, root};

const NODE: &str = "system:node:node-1";

fn serving_names(dns: &[&str], addresses: &[&str]) -> PresentedNames {
    PresentedNames {
        dns_names: dns.iter().map(|&name| name.to_owned()).collect(),
        ip_addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ..names(NODE, &["system:nodes"])
    }
}

fn serving_usages() -> Usages {
    Usages::parse(["digital signature", "server auth"]).unwrap()
}

fn client_usages() -> Usages {
    Usages::parse(["digital signature", "client auth"]).unwrap()
}

fn node_1(addresses: &[(&str, &str)]) -> NodeAddresses {
    let entries: Vec<NodeAddress> = addresses.iter().map(|(kind, address)| node_address(kind, address)).collect();
    NodeAddresses::new("node-1".parse().unwrap(), &entries)
}

fn known() -> NodeAddresses {
    node_1(&[("Hostname", "node-1"), ("InternalIP", "10.0.0.1"), ("ExternalDNS", "node-1.example.com")])
}

/// The verdict about what this user asks for.
fn judge(username: &str, names: &PresentedNames, addresses: Option<&NodeAddresses>) -> ServingVerdict {
    let groups = ["system:nodes".to_owned()];
    let groups: &[String] = if username.starts_with("system:node:") { &groups } else { &[] };
    let request = SigningRequest::new(SignerName::KubeletServing, serving_usages(), names);
    let mut request = request.by(Requestor { username, groups });
    if let Some(addresses) = addresses {
        request = request.with_addresses(addresses);
    }
    judge_kubelet_serving(&SignerPolicy::new(SignerName::KubeletServing).unwrap(), &request)
}

fn denial(verdict: ServingVerdict) -> &'static str {
    let ServingVerdict::Deny(refused) = verdict else { panic!("not denied: {verdict:?}") };
    refused.code()
}

// kube-controller-manager before 1.18 signed any approved request.
#[test]
fn authority_comes_from_the_signer_and_not_from_the_request() {
    let names = serving_names(&["node-1"], &[]);
    for signer in SignerName::BUILT_IN {
        let request = SigningRequest::new(signer.clone(), serving_usages(), &names);
        let decision = SignerPolicy::new(signer.clone()).unwrap().evaluate(&request);
        assert_eq!(decision.is_ok(), signer == SignerName::KubeletServing, "{signer}");
    }
}

// An approver that checked the request outside of the decision by signer (deckhouse/deckhouse#22901).
#[test]
fn a_signer_signs_for_its_own_name_and_for_no_unknown_one() {
    let names = names("ada", &["dev"]);
    let request = |signer: &SignerName| SigningRequest::new(signer.clone(), client_usages(), &names);
    let own = SignerPolicy::new(SignerName::KubeApiServerClient).unwrap();
    assert!(own.evaluate(&request(&SignerName::KubeApiServerClient)).is_ok());
    let unknown = ["kubernetes.io/kube-apiserver-clients", "kubernetes.io/a", "example.com/kube-apiserver-client"];
    let others = unknown.map(|name| name.parse().unwrap());
    for signer in SignerName::BUILT_IN.into_iter().skip(1).chain(others.clone()) {
        let refused = own.evaluate(&request(&signer)).unwrap_err();
        assert_eq!((refused.code(), refused.condition()), ("signer.other", None), "{signer}");
    }
    for signer in others {
        assert_eq!(check(&signer, &names, &client_usages()).unwrap_err().code(), "upstream.unrecognized_signer");
        assert_eq!(SignerPolicy::new(signer).unwrap_err().code(), "upstream.unrecognized_signer");
    }
}

// Any serving certificate was approved, then none (GHSA-x7j5-fww5-mqmv).
#[test]
fn a_node_gets_a_serving_certificate_for_its_own_addresses() {
    for (dns, addresses) in [
        (&["node-1"][..], &["10.0.0.1"][..]),
        (&[], &["10.0.0.1"]),
        (&["node-1.example.com"], &[]),
        (&["node-1", "node-1.example.com"], &["10.0.0.1"]),
    ] {
        let ServingVerdict::Approve(granted) = judge(NODE, &serving_names(dns, addresses), Some(&known())) else {
            panic!("not approved: {dns:?} {addresses:?}")
        };
        assert_eq!(granted.approved_by_address(), Some(ApprovedByAddress::Yes));
        assert_eq!(granted.subject_alt_names().len(), dns.len() + addresses.len());
    }
}

#[test]
fn a_node_gets_no_serving_certificate_for_anything_else() {
    for (dns, addresses, code) in [
        (&["kubernetes.default.svc"][..], &["10.0.0.1"][..], "strict.service_name"),
        (&["node-2"], &[], "strict.known_address"),
        (&["node-1", "api.example.com"], &["10.0.0.1"], "strict.known_address"),
        (&["node-1"], &["10.96.0.1"], "strict.known_address"),
        (&["*.example.com"], &[], "strict.dns_name"),
        (&[], &[], "upstream.dns_or_ip_required"),
    ] {
        let verdict = judge(NODE, &serving_names(dns, addresses), Some(&known()));
        assert_eq!(denial(verdict), code, "{dns:?} {addresses:?}");
    }
    let mut names = serving_names(&["node-1"], &[]);
    names.organizations.push("system:masters".to_owned());
    assert_eq!(denial(judge(NODE, &names, Some(&known()))), "upstream.organization");
    assert_eq!(
        denial(judge("system:node:node-2", &serving_names(&["node-1"], &[]), Some(&known()))),
        "strict.requestor"
    );
    let others = NodeAddresses::new("node-2".parse().unwrap(), &[node_address("Hostname", "node-1")]);
    assert_eq!(denial(judge(NODE, &serving_names(&["node-1"], &[]), Some(&others))), "strict.other_nodes_addresses");
}

#[test]
fn a_request_that_is_not_a_nodes_own_is_left_to_others() {
    let names = serving_names(&["node-1"], &[]);
    assert_eq!(judge("joe", &names, Some(&known())), ServingVerdict::Ignore);
    let addresses = known();
    let unknown = SigningRequest::new(SignerName::KubeletServing, serving_usages(), &names).with_addresses(&addresses);
    let policy = SignerPolicy::new(SignerName::KubeletServing).unwrap();
    assert_eq!(judge_kubelet_serving(&policy, &unknown), ServingVerdict::Ignore);
    let client = names_of_client();
    let client = SigningRequest::new(SignerName::KubeApiServerClientKubelet, client_usages(), &client);
    let client = client.by(Requestor { username: NODE, groups: &[] });
    assert_eq!(judge_kubelet_serving(&policy, &client), ServingVerdict::Ignore);
}

#[test]
fn the_approver_asks_for_the_nodes_own_word_whatever_the_signer_was_told() {
    let (names, addresses) = (serving_names(&["node-1"], &[]), known());
    let mut rules = StrictRules::default();
    rules.requestor = false;
    let policy = SignerPolicy::new(SignerName::KubeletServing).unwrap().with_rules(rules);
    let groups = ["system:nodes".to_owned()];
    let request = SigningRequest::new(SignerName::KubeletServing, serving_usages(), &names).with_addresses(&addresses);
    let request = request.by(Requestor { username: "system:node:node-2", groups: &groups });
    assert!(policy.evaluate(&request).is_ok());
    assert_eq!(denial(judge_kubelet_serving(&policy, &request)), "strict.requestor");
}

// A request found by its name, which an attacker had created before (KubeUser#114).
#[test]
fn a_certificate_goes_to_the_request_whose_key_it_has_and_not_to_a_name() {
    let (mine, theirs) = (key(KeyAlgorithm::P256), key(KeyAlgorithm::P256));
    let certificate = encode_pem(CERTIFICATE, &root(&mine));
    let approved = vec![Condition::new(ConditionType::Approved, "", "")];
    let status = CertificateSigningRequestStatus { conditions: approved, ..CertificateSigningRequestStatus::default() };
    let check = |key: &dyn Signer| {
        let key = SubjectPublicKey::parse(key.public_key()).unwrap();
        status.check_certificate(certificate.as_bytes(), &key, &LIMITS)
    };
    assert_eq!(check(&mine), Ok(()));
    assert_eq!(check(&theirs), Err(IssuedRefusal::ForeignKey));
}

// Approvers that said yes to every node's client (openshift/machine-config-operator#741, kubermatic#5177).
#[test]
fn a_client_certificate_is_approved_only_after_an_authorizer_has_agreed() {
    let spec = CertificateSigningRequestSpec {
        signer_name: SignerName::KubeApiServerClientKubelet.to_string(),
        usages: ["digital signature", "client auth"].map(str::to_owned).to_vec(),
        username: NODE.to_owned(),
        groups: vec!["system:nodes".to_owned()],
        ..CertificateSigningRequestSpec::default()
    };
    let answer = |names: &PresentedNames, allowed: bool| {
        decide("csr-1", recognise(&spec, names).into_iter().map(|review| (review.recogniser, allowed)))
    };
    let own = names_of_client();
    assert!(matches!(answer(&own, true), AutoApproval::Approve(_)));
    assert!(matches!(answer(&own, false), AutoApproval::NotApproved(_)));
    let outsider = names("ada", &["system:nodes"]);
    assert_eq!(answer(&outsider, true), AutoApproval::Ignore);
    // Upstream leaves another node's client to the authorizer; the signer's strict rule does not.
    let other = names("system:node:node-2", &["system:nodes"]);
    let request = SigningRequest::of(&spec, &other).unwrap();
    let policy = SignerPolicy::new(SignerName::KubeApiServerClientKubelet).unwrap();
    assert_eq!(policy.evaluate(&request).unwrap_err().code(), "strict.requestor");
    assert!(policy.evaluate(&SigningRequest::of(&spec, &own).unwrap()).is_ok());
}

// Addresses cannot be proven in general (kubernetes/kubernetes#73356).
#[test]
fn without_evidence_of_addresses_nothing_is_approved_and_what_is_signed_says_so() {
    let names = serving_names(&["node-1"], &["10.0.0.1"]);
    assert_eq!(judge(NODE, &names, None), ServingVerdict::Retry);
    assert_eq!(judge(NODE, &names, Some(&node_1(&[]))), ServingVerdict::Retry);
    // What is wrong in itself is not asked again.
    assert_eq!(denial(judge(NODE, &serving_names(&["localhost"], &[]), None)), "strict.service_name");
    assert_eq!(denial(judge(NODE, &serving_names(&[], &[]), Some(&node_1(&[])))), "upstream.dns_or_ip_required");
    let request = SigningRequest::new(SignerName::KubeletServing, serving_usages(), &names);
    let granted = SignerPolicy::new(SignerName::KubeletServing).unwrap().evaluate(&request).unwrap();
    assert_eq!(granted.approved_by_address(), Some(ApprovedByAddress::No));
}

#[test]
fn an_entry_that_is_no_address_proves_nothing() {
    let addresses = node_1(&[("InternalIP", "node-1"), ("InternalDNS", "10.0.0.1"), ("ExternalDNS", "*.example.com")]);
    assert!(addresses.is_empty());
    let host = node_1(&[("Hostname", "10.0.0.1"), ("Hostname", "Node-1")]);
    assert!(matches!(judge(NODE, &serving_names(&[], &["10.0.0.1"]), Some(&host)), ServingVerdict::Approve(_)));
    assert_eq!(denial(judge(NODE, &serving_names(&["node-1"], &[]), Some(&host))), "strict.known_address");
}

// Since 1.27 a kubelet with an EC key does not ask for key encipherment.
#[test]
fn both_sets_of_a_kubelets_usages_are_signed_and_no_third() {
    let (client, serving) = (names_of_client(), serving_names(&["node-1"], &[]));
    for (signer, names, purpose, other) in [
        (SignerName::KubeApiServerClientKubelet, &client, Usage::ClientAuth, Usage::ServerAuth),
        (SignerName::KubeletServing, &serving, Usage::ServerAuth, Usage::ClientAuth),
    ] {
        let policy = SignerPolicy::new(signer.clone()).unwrap();
        let mut granted = Vec::new();
        let all = [Usage::DigitalSignature, Usage::KeyEncipherment, Usage::Signing, purpose, other];
        for set in 1..1_u8 << all.len() {
            let chosen =
                all.into_iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1).map(|(_, usage)| usage.as_str());
            let usages = Usages::parse(chosen).unwrap();
            match policy.evaluate(&SigningRequest::new(signer.clone(), usages.clone(), names)) {
                Ok(_) => granted.push(usages.to_string()),
                Err(refused) => assert!(matches!(refused, Refused::Upstream(_)), "{refused}"),
            }
        }
        let expected =
            [format!("digital signature, {purpose}"), format!("digital signature, key encipherment, {purpose}")];
        assert_eq!(granted, expected);
    }
}

fn names_of_client() -> PresentedNames {
    names(NODE, &["system:nodes"])
}
