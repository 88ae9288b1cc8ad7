//! This crate's own rules, what a grant carries, and what may be written into a status.

use std::collections::BTreeSet;

use pki_core::kubernetes::{
    CertificateSigningRequestSpec, CertificateSigningRequestStatus, Condition, ConditionType, Granted, IssuedRefusal,
    NodeAddresses, RefusalFamily, Refused, Requestor, SignerName, SignerPolicy, SigningRequest, StrictRule,
    StrictRules, Usages, check,
};
use pki_core::pem::{CERTIFICATE, CERTIFICATE_REQUEST, encode_pem};
use pki_core::verify::SubjectPublicKey;
use pki_core::{AuthorityId, CertificationRequest, KeyAlgorithm, LeafKind, Signer, SubjectAltName, create_request};
use time::Duration;

use crate::cases::{Strict, load};
use crate::keys::{VERIFIERS, key};
use crate::{LIMITS, names, root, spec_of, usages};

fn evaluate(case: &Strict, rules: StrictRules) -> Result<Granted, Refused> {
    let (signer, presented) = (case.signer.parse::<SignerName>().unwrap(), case.names.presented());
    let node_addresses = |addresses: &Vec<_>| NodeAddresses::new("testnode".parse().unwrap(), addresses);
    let addresses = case.addresses.as_ref().map(node_addresses);
    let mut request = SigningRequest::new(signer.clone(), usages(&case.usages), &presented);
    if let Some(requestor) = &case.requestor {
        request = request.by(Requestor { username: &requestor.username, groups: &requestor.groups });
    }
    if let Some(addresses) = &addresses {
        request = request.with_addresses(addresses);
    }
    SignerPolicy::new(signer).unwrap().with_rules(rules).evaluate(&request)
}

#[test]
fn every_strict_rule_refuses_and_lets_pass_what_stands_beside() {
    let mut met = BTreeSet::new();
    for case in load::<Strict>("strict") {
        let decision = evaluate(&case, StrictRules::default());
        assert_eq!(decision.as_ref().err().map(Refused::code), case.refusal.as_deref(), "{}", case.name);
        let refused = match decision {
            Ok(granted) => {
                let approved = granted.approved_by_address().map(|by_address| format!("{by_address:?}"));
                assert_eq!(approved, case.approved_by_address, "{}", case.name);
                continue;
            }
            Err(refused) => refused,
        };
        let Refused::Strict(refusal) = &refused else { continue };
        // Whatever this crate refuses alone, upstream signs.
        let upstream = check(&case.signer.parse().unwrap(), &case.names.presented(), &usages(&case.usages));
        assert_eq!(upstream, Ok(()), "{}", case.name);
        assert_eq!(refused.family(), RefusalFamily::Strict);
        assert_eq!(refused.condition().unwrap().message, refused.to_string());
        assert!(refused.to_string().contains(refusal.rule().source()), "{refused}");
        met.insert(refusal.rule());
    }
    let two = encode_pem(CERTIFICATE_REQUEST, b"the request").repeat(2);
    met.insert(spec_of(&two).request_der(&StrictRules::ALL, &LIMITS).unwrap_err().rule());
    assert_eq!(met, StrictRule::ALL.into_iter().collect());
}

#[test]
fn codes_are_unique_and_stand_in_their_family() {
    let codes: BTreeSet<&str> = StrictRule::ALL.into_iter().map(StrictRule::code).collect();
    assert_eq!(codes.len(), StrictRule::ALL.len());
    assert!(codes.iter().all(|code| code.starts_with("strict.")));
}

#[test]
fn each_rule_can_be_turned_off_alone_or_never() {
    type Switch = fn(&mut StrictRules);
    let switches: [(&[StrictRule], Switch); 9] = [
        (&[StrictRule::SinglePemBlock], |rules| rules.single_pem_block = false),
        (&[StrictRule::SystemMasters], |rules| rules.system_masters = false),
        (&[StrictRule::NodeIdentity], |rules| rules.node_identity = false),
        (&[StrictRule::ReservedIdentity], |rules| rules.reserved_identity = false),
        (&[StrictRule::NodeName], |rules| rules.node_name = false),
        (&[StrictRule::Requestor, StrictRule::ServingRequestor], |rules| rules.requestor = false),
        (&[StrictRule::AuthorityUsage], |rules| rules.authority_usage = false),
        (&[StrictRule::ServiceName], |rules| rules.service_name = false),
        (&[StrictRule::Loopback], |rules| rules.loopback = false),
    ];
    for (turned_off, switch) in switches {
        let mut rules = StrictRules::default();
        switch(&mut rules);
        let off: Vec<StrictRule> = StrictRule::ALL.into_iter().filter(|rule| !rules.enforces(*rule)).collect();
        assert_eq!(off, turned_off);
        for case in load::<Strict>("strict") {
            let has_code = |rule: &StrictRule| Some(rule.code()) == case.refusal.as_deref();
            let Some(rule) = StrictRule::ALL.into_iter().find(has_code) else { continue };
            let passes = evaluate(&case, rules).is_ok();
            assert_eq!(passes, turned_off.contains(&rule), "{} without {turned_off:?}", case.name);
        }
    }
}

#[test]
fn a_refusal_carries_at_most_a_piece_of_a_hostile_text() {
    let hostile = names(&"A\u{7}".repeat(1 << 20), &[]);
    let request = SigningRequest::new(SignerName::KubeApiServerClient, client_usages(), &hostile);
    let refused = SignerPolicy::new(SignerName::KubeApiServerClient).unwrap().evaluate(&request).unwrap_err();
    assert_eq!(refused.code(), "strict.subject_text");
    assert!(refused.to_string().len() < 500, "{}", refused.to_string().len());
    assert!(!refused.to_string().contains('\u{7}'));
}

#[test]
fn breaking_the_glass_is_one_explicit_setting() {
    let names = names("root", &["system:masters"]);
    let request = SigningRequest::new(SignerName::KubeApiServerClient, client_usages(), &names);
    let policy = SignerPolicy::new(SignerName::KubeApiServerClient).unwrap();
    assert_eq!(policy.evaluate(&request).unwrap_err().code(), "upstream.system_masters");
    let mut rules = StrictRules::default();
    rules.system_masters = false;
    let granted = policy.with_rules(rules).evaluate(&request).unwrap();
    assert_eq!(granted.subject().organizations(), ["system:masters"]);
}

#[test]
fn one_pem_block_stands_alone_unless_told_otherwise() {
    let block = encode_pem(CERTIFICATE_REQUEST, b"the request");
    let two = format!("{block}{}", encode_pem(CERTIFICATE_REQUEST, b"another"));
    let mut lenient = StrictRules::default();
    lenient.single_pem_block = false;
    for text in [two.clone(), format!("text\n{block}"), format!("{block}text")] {
        let refusal = spec_of(&text).request_der(&StrictRules::ALL, &LIMITS).unwrap_err();
        assert_eq!(refusal.rule(), StrictRule::SinglePemBlock);
        assert_eq!(spec_of(&text).request_der(&lenient, &LIMITS).unwrap(), b"the request");
    }
    assert_eq!(spec_of(&block).request_der(&StrictRules::ALL, &LIMITS).unwrap(), b"the request");
    let mut limits = LIMITS;
    limits.pem_len_max = two.len() - 1;
    assert!(spec_of(&two).request_der(&lenient, &limits).unwrap_err().found().contains("limit"));
}

#[test]
fn a_grant_carries_what_the_certificate_needs() {
    let mut names = names("ada", &["dev", "ops"]);
    names.dns_names = ["b.example", "a.example", "b.example"].map(str::to_owned).to_vec();
    names.ip_addresses = vec!["10.0.0.1".parse().unwrap()];
    let usages = Usages::parse(["client auth", "digital signature", "key encipherment"]).unwrap();
    let request = SigningRequest::new(SignerName::KubeApiServerClient, usages, &names).lasting(Some(86_400));
    let policy = SignerPolicy::new(SignerName::KubeApiServerClient).unwrap();
    let granted = policy.evaluate(&request).unwrap();
    assert_eq!(granted.subject().to_string(), "O=dev,O=ops,CN=ada");
    let address = SubjectAltName::ip(names.ip_addresses[0]).unwrap();
    let expected = [SubjectAltName::dns("b.example").unwrap(), SubjectAltName::dns("a.example").unwrap(), address];
    assert_eq!(granted.subject_alt_names(), expected);
    assert_eq!((granted.key_usage_bits(), granted.extended_key_usages().len()), (0b101, 1));
    assert_eq!((granted.ttl(), granted.approved_by_address()), (Duration::DAY, None));
    assert_eq!(granted.signer(), policy.signer());
    assert_eq!(policy.evaluate(&request.lasting(None)).unwrap().ttl(), Duration::hours(8760));
}

#[test]
fn a_signers_limit_is_at_least_ten_minutes() {
    let policy = SignerPolicy::new(SignerName::KubeApiServerClient).unwrap();
    let error = policy.clone().with_signing_duration(Duration::seconds(599)).unwrap_err();
    assert_eq!(error.code(), "duration.signing_duration");
    assert_eq!(error.to_string(), "the signing duration is 9m59s, at least 10m is needed");
    let names = names("ada", &[]);
    let request = SigningRequest::new(SignerName::KubeApiServerClient, client_usages(), &names);
    let policy = policy.with_signing_duration(Duration::seconds(600)).unwrap();
    assert_eq!(policy.evaluate(&request.lasting(Some(86_400))).unwrap().ttl(), Duration::seconds(600));
}

#[test]
fn a_certificate_is_written_only_for_an_approved_request_and_its_own_key() {
    let (own, foreign) = (key(KeyAlgorithm::P256), key(KeyAlgorithm::P256));
    let request_key = SubjectPublicKey::parse(own.public_key()).unwrap();
    let (pem, other) = (encode_pem(CERTIFICATE, &root(&own)), encode_pem(CERTIFICATE, &root(&foreign)));
    let approved = Condition::new(ConditionType::Approved, "AutoApproved", "");
    let [denied, failed] = [ConditionType::Denied, ConditionType::Failed].map(|kind| Condition::new(kind, "", ""));
    let status = |conditions: &[&Condition], certificate: &str| CertificateSigningRequestStatus {
        conditions: conditions.iter().map(|&condition| condition.clone()).collect(),
        certificate: certificate.as_bytes().to_vec(),
    };
    let write = |status: CertificateSigningRequestStatus, certificate: &str| {
        let result = status.check_certificate(certificate.as_bytes(), &request_key, &LIMITS);
        assert_eq!(status.awaits_certificate(), !matches!(result, Err(ref refusal) if is_about_status(refusal)));
        result.map_err(|refusal| refusal.code())
    };
    assert_eq!(write(status(&[&approved], ""), &pem), Ok(()));
    // The first block is the certificate, the rest are its intermediates.
    assert_eq!(write(status(&[&approved], ""), &format!("{pem}{other}")), Ok(()));
    assert_eq!(write(status(&[&approved], ""), &format!("{other}{pem}")), Err("issued.foreign_key"));
    assert_eq!(write(status(&[&approved], ""), &other), Err("issued.foreign_key"));
    assert_eq!(write(status(&[&approved], ""), "no PEM"), Err("issued.certificate"));
    assert_eq!(write(status(&[&approved], ""), ""), Err("issued.certificate"));
    assert_eq!(write(status(&[], ""), &pem), Err("issued.not_approved"));
    assert_eq!(write(status(&[&approved, &denied], ""), &pem), Err("issued.denied"));
    assert_eq!(write(status(&[&approved, &failed], ""), &pem), Err("issued.failed"));
    assert_eq!(write(status(&[&approved], &pem), &pem), Err("issued.already"));
}

fn is_about_status(refusal: &IssuedRefusal) -> bool {
    !matches!(refusal, IssuedRefusal::Certificate(_) | IssuedRefusal::ForeignKey)
}

#[test]
fn an_approver_has_nothing_to_decide_twice() {
    let decided = |kind| CertificateSigningRequestStatus {
        conditions: vec![Condition::new(kind, "", "")],
        ..CertificateSigningRequestStatus::default()
    };
    assert!(CertificateSigningRequestStatus::default().awaits_approval());
    assert!(decided(ConditionType::Failed).awaits_approval());
    assert!(!decided(ConditionType::Approved).awaits_approval());
    assert!(!decided(ConditionType::Denied).awaits_approval());
    let issued = CertificateSigningRequestStatus { certificate: vec![1], ..CertificateSigningRequestStatus::default() };
    assert!(!issued.awaits_approval());
}

fn client_usages() -> Usages {
    Usages::parse(["client auth"]).unwrap()
}

#[test]
fn a_kubelets_own_request_goes_from_its_pem_to_a_grant() {
    let (own, node) = (key(KeyAlgorithm::P256), "node-1".parse().unwrap());
    let der = create_request(&LeafKind::KubeletClient.subject(Some(&node)).unwrap(), &[], &own).unwrap();
    let spec = CertificateSigningRequestSpec {
        signer_name: SignerName::KubeApiServerClientKubelet.to_string(),
        usages: ["digital signature", "client auth"].map(str::to_owned).to_vec(),
        username: "system:node:node-1".to_owned(),
        groups: vec!["system:nodes".to_owned()],
        ..spec_of(&encode_pem(CERTIFICATE_REQUEST, &der))
    };
    let prove = |der: &[u8]| CertificationRequest::parse(der, &LIMITS)?.prove(VERIFIERS).map(drop);
    assert_eq!(spec.validate_create(&LIMITS, prove), Ok(()));
    let der = spec.request_der(&StrictRules::ALL, &LIMITS).unwrap();
    let request = CertificationRequest::parse(&der, &LIMITS).unwrap().prove(VERIFIERS).unwrap();
    let names = request.presented_names().unwrap();
    let asked = SigningRequest::of(&spec, &names).unwrap();
    let policy = SignerPolicy::new(SignerName::KubeApiServerClientKubelet).unwrap();
    assert_eq!(policy.evaluate(&asked).unwrap().key(), None);
    let granted = policy.evaluate(&asked.for_key(request.public_key())).unwrap();
    assert_eq!(granted.key(), Some(AuthorityId::of(request.public_key())));
    assert_eq!(granted.subject().to_string(), "O=system:nodes,CN=system:node:node-1");

    let mut forged = der;
    *forged.last_mut().unwrap() ^= 1;
    let forged = spec_of(&encode_pem(CERTIFICATE_REQUEST, &forged));
    let violations = forged.validate_create(&LIMITS, prove).unwrap_err();
    assert_eq!(violations.as_slice()[0].field(), "spec.request");
    assert!(violations.as_slice()[0].detail().contains("possession"), "{violations}");
}
