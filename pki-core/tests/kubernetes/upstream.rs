//! Upstream's own cases: what the signers, the approver, the API server, the admission plugin and the cleaner of
//! Kubernetes say.

use pki_core::kubernetes::{
    AutoApproval, CertificateSigningRequestSpec, CertificateSigningRequestStatus, Cleanable, Condition, ConditionType,
    Issued, Recogniser, SignerName, SigningTimes, Subresource, Usages, Violations, check, check_subject_restriction,
    decide, recognise, requested_duration,
};
use pki_core::pem::{CERTIFICATE, CERTIFICATE_REQUEST, encode_pem};
use pki_core::{KeyAlgorithm, PresentedNames, Validity};
use time::Duration;

use crate::cases::{
    Approval, Approver, Cleaner, Create, Durations, Restriction, Sign, Status, StatusFacts, UsageCase, ValidityCase,
    load,
};
use crate::keys::key;
use crate::{LIMITS, NOW, at, root, usages};

fn said(violations: Result<(), Violations>) -> Vec<String> {
    let said = |violations: Violations| violations.as_slice().iter().map(ToString::to_string).collect();
    violations.err().map(said).unwrap_or_default()
}

#[test]
fn the_signers_refuse_what_upstreams_refuse_in_its_order_and_words() {
    let mut conditions = 0;
    for case in load::<Sign>("signer") {
        let signer: SignerName = case.signer.parse().unwrap();
        let refusal = check(&signer, &case.names.presented(), &usages(&case.usages)).err();
        let text = refusal.as_ref().map(ToString::to_string);
        assert_eq!(text, case.refusal, "{}", case.name);
        let condition = refusal.and_then(|refusal| refusal.condition());
        assert_eq!(condition.is_some(), text.is_some() && SignerName::BUILT_IN.contains(&signer), "{}", case.name);
        if let Some(condition) = condition {
            conditions += 1;
            let failed = Condition::new(ConditionType::Failed, "SignerValidationFailure", text.unwrap());
            assert_eq!(condition, failed);
        }
    }
    assert!(conditions > 0);
}

#[test]
fn usages_become_the_bits_and_purposes_that_upstream_writes() {
    for case in load::<UsageCase>("usages") {
        let parsed = Usages::parse(case.usages.iter().map(String::as_str));
        if !case.errors.is_empty() {
            assert_eq!(said(parsed.map(drop)), case.errors);
            continue;
        }
        let parsed = parsed.unwrap();
        let bits = case.key_usage.iter().fold(0, |bits, bit| bits | 1 << bit);
        assert_eq!(parsed.key_usage_bits(), bits, "{:?}", case.usages);
        let purposes: Vec<String> = parsed.extended_key_usages().iter().map(ToString::to_string).collect();
        assert_eq!(purposes, case.extended_key_usage, "{:?}", case.usages);
    }
}

#[test]
fn a_life_is_what_upstream_makes_of_the_wish_for_it() {
    for case in load::<Durations>("durations") {
        let duration = requested_duration(case.expiration_seconds, Duration::seconds(case.signing_duration));
        assert_eq!(duration, Duration::seconds(case.want), "{}", case.name);
    }
}

#[test]
fn a_validity_is_what_upstream_makes_of_a_life() {
    for case in load::<ValidityCase>("validity") {
        let times = SigningTimes::new(Duration::seconds(case.backdate), Duration::seconds(case.short));
        let issuer = Validity::new(at(NOW + case.ca.0), at(NOW + case.ca.1)).unwrap();
        // Upstream's clock has fractions, and a certificate has none.
        for now in [at(NOW), at(NOW).replace_millisecond(999).unwrap()] {
            let found = times.validity(Duration::seconds(case.ttl), now, issuer);
            let want = case.want.map(|(from, to)| Validity::new(at(NOW + from), at(NOW + to)).unwrap());
            assert_eq!(found.ok(), want, "{}", case.name);
            assert_eq!(found.err().map(|error| error.to_string()), case.error, "{}", case.name);
        }
        assert!(case.upstream.is_none() || case.upstream != case.want, "{}: no deviation", case.name);
    }
}

#[test]
fn the_approver_recognises_what_upstreams_does() {
    for case in load::<Approver>("approver") {
        let spec = CertificateSigningRequestSpec {
            signer_name: case.signer,
            usages: case.usages,
            username: case.username,
            uid: "42".into(),
            groups: vec!["system:authenticated".into()],
            extra: [("scopes".to_owned(), vec!["a".to_owned()])].into(),
            ..CertificateSigningRequestSpec::default()
        };
        let reviews = recognise(&spec, &case.names.presented());
        let recognised: Vec<&str> = reviews.iter().map(|review| review.recogniser.subresource()).collect();
        assert_eq!(recognised, case.recognised, "{}", case.name);
        for review in reviews {
            let asked = review.spec.resource_attributes;
            assert_eq!((asked.verb, asked.group), ("create", "certificates.k8s.io"));
            assert_eq!((asked.version, asked.resource), ("*", "certificatesigningrequests"));
            assert_eq!(asked.subresource, review.recogniser.subresource());
            assert_eq!((&review.spec.user, &review.spec.uid), (&spec.username, &spec.uid));
            assert_eq!((&review.spec.groups, &review.spec.extra), (&spec.groups, &spec.extra));
        }
    }
}

#[test]
fn the_approver_does_what_upstreams_does_with_the_answers() {
    for case in load::<Approval>("approval") {
        let recogniser =
            |name: &str| Recogniser::ALL.into_iter().find(|recogniser| recogniser.subresource() == name).unwrap();
        let answers = case.answers.iter().map(|(name, allowed)| (recogniser(name), *allowed));
        let expected = match case.outcome.as_str() {
            "approve" => AutoApproval::Approve(Condition::new(ConditionType::Approved, "AutoApproved", case.text)),
            "not approved" => AutoApproval::NotApproved(case.text),
            "ignore" => AutoApproval::Ignore,
            other => panic!("{other}"),
        };
        assert_eq!(decide("csr-1", answers), expected, "{}", case.name);
    }
}

#[test]
fn nobody_is_asked_after_the_answer_that_allows() {
    let mut asked = 0;
    let answers = Recogniser::ALL.into_iter().inspect(|_| asked += 1).map(|recogniser| (recogniser, true));
    assert!(matches!(decide("csr-1", answers), AutoApproval::Approve(_)));
    assert_eq!(asked, 1);
}

#[test]
fn a_new_object_is_refused_as_the_api_server_refuses_it() {
    let valid = encode_pem(CERTIFICATE_REQUEST, b"the request");
    for case in load::<Create>("create") {
        let request = match case.spec.request.as_str() {
            "valid" => valid.clone(),
            "empty" => String::new(),
            "text" => "invalid data".to_owned(),
            "new-label" => valid.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
            "certificate" => encode_pem(CERTIFICATE, b"the request"),
            "cut" => valid.split("-----END").next().unwrap().to_owned(),
            "two" => format!("{valid}{}", encode_pem(CERTIFICATE_REQUEST, b"another")),
            "preamble" => format!("some text\n{valid}and more"),
            "refused" => encode_pem(CERTIFICATE_REQUEST, b"another"),
            other => panic!("{other}"),
        };
        let spec = CertificateSigningRequestSpec {
            request: request.into_bytes(),
            signer_name: case.spec.signer_name,
            usages: case.spec.usages,
            expiration_seconds: case.spec.expiration_seconds,
            ..CertificateSigningRequestSpec::default()
        };
        let check = |der: &[u8]| if der == b"the request" { Ok(()) } else { Err("not this one") };
        assert_eq!(said(spec.validate_create(&LIMITS, check)), case.errors, "{}", case.name);
    }
}

#[test]
fn an_update_is_refused_as_the_api_server_refuses_it() {
    let der = root(&key(KeyAlgorithm::P256));
    let valid = encode_pem(CERTIFICATE, &der);
    let (first_line, rest) = valid.split_once('\n').unwrap();
    let certificate = |name: &str| match name {
        "" => String::new(),
        "valid" => valid.clone(),
        "no-pem" => "no PEM blocks".to_owned(),
        "label" => encode_pem("CERTIFICATE1", &der),
        "private-key" => format!("{valid}{}", encode_pem("PRIVATE KEY", b"key")),
        "headers" => format!("{first_line}\nsome: header\n\n{rest}"),
        "not-base64" => "-----BEGIN CERTIFICATE-----\n@!\n-----END CERTIFICATE-----\n".to_owned(),
        "cut" => valid.split("-----END").next().unwrap().to_owned(),
        "empty-block" => "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
        "not-der" => encode_pem(CERTIFICATE, &[0x30, 0]),
        "text-around" => format!("one\n{valid}\ntwo\n{valid}\nthree"),
        other => panic!("{other}"),
    };
    let status = |facts: &StatusFacts| CertificateSigningRequestStatus {
        conditions: facts.conditions.iter().map(|facts| facts.condition()).collect(),
        certificate: certificate(&facts.certificate).into_bytes(),
    };
    for case in load::<Status>("status") {
        let through = match case.through.as_str() {
            "object" => Subresource::Object,
            "approval" => Subresource::Approval,
            "status" => Subresource::Status,
            other => panic!("{other}"),
        };
        let found = said(status(&case.new).validate_update(&status(&case.old), through, &LIMITS));
        if case.errors == ["*"] {
            assert_eq!(found.len(), 1, "{}", case.name);
            assert!(found[0].starts_with("status.certificate: Invalid value: "), "{}: {found:?}", case.name);
        } else {
            assert_eq!(found, case.errors, "{} through {}", case.name, case.through);
        }
    }
}

#[test]
fn admission_refuses_masters_at_the_client_signer_alone() {
    for case in load::<Restriction>("subject_restriction") {
        let names = PresentedNames { organizations: case.organizations, ..PresentedNames::default() };
        let refusal = check_subject_restriction(&case.signer.parse().unwrap(), &names).err();
        assert_eq!(refusal.as_ref().map(ToString::to_string), case.refusal, "{}", case.name);
        assert!(refusal.is_none_or(|refusal| refusal.condition().is_none()), "{}", case.name);
    }
}

#[test]
fn the_cleaner_deletes_what_upstreams_deletes() {
    let ago = |minutes: Option<i64>| minutes.map(|minutes| at(NOW - 60 * minutes));
    for case in load::<Cleaner>("cleaner") {
        let cleanable = Cleanable {
            created: ago(case.created),
            has_conditions: case.approved.or(case.denied).or(case.failed).is_some(),
            approved: ago(case.approved),
            denied: ago(case.denied),
            failed: ago(case.failed),
            issued: case.issued.map(|issued| match issued.as_str() {
                "later" => Issued::Until(at(NOW + 60)),
                "expired" => Issued::Until(at(NOW - 60)),
                "unreadable" => Issued::Unreadable,
                other => panic!("{other}"),
            }),
        };
        let deletion = cleanable.deletion(at(NOW)).map(|deletion| format!("{deletion:?}"));
        assert_eq!(deletion, case.deletion, "{}", case.name);
    }
}
