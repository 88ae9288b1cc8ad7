//! What a caller gets, and what he does not.

use pki_core::verify::aws_lc_rs;
use pki_core::{Fingerprint, KeyAlgorithm, LeafKind, create_request};
use signer_hsm::SoftwareKey;
use signer_hsm::service::client::{AnswerFault, ClientError, Expected, Order};
use signer_hsm::service::limits::{Rate, ServerLimits};
use signer_hsm::service::log::{Entry, verify_directory};
use signer_hsm::service::protocol::{Ask, Outcome, Refusal, Request, SignerAsk};
use signer_hsm::service::{CallerId, ClusterConfig};

use crate::support::{Bench, Ca, NODE, ROLE, blue, caller, order, policy, request_id, serving};

fn code(error: &ClientError) -> String {
    match error {
        ClientError::Refused(refusal) => refusal.code().to_owned(),
        other => panic!("expected a refusal, found {other}"),
    }
}

#[test]
fn a_kubelet_is_given_a_certificate_that_the_log_names_before() {
    let bench = Bench::new();
    let service = bench.service();
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    let mut client = bench.client();
    let authority = client.current(&blue(), ROLE).unwrap();
    assert_eq!(authority.certificate, bench.blue.certificate);
    let certificate = client.issue(&order(&authority, NODE, &[NODE])).unwrap();
    let mut found = Vec::new();
    let (head, verified) = verify_directory(bench.path(), None, |entry| found.push(entry.clone())).unwrap();
    assert_eq!((verified.prepared, verified.issued, verified.refused), (1, 1, 0));
    assert_eq!(head, service.head());
    let [.., Entry::Prepared { record, .. }, Entry::Issued { certificate: logged, of }] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((&logged[..], &*of.caller, &*of.cluster), (&certificate[..], "kcm", "blue"));
    assert!(record.contains("purpose=kubelet-serving") && record.contains("san=DNS:node-1.pool-a.example"), "{record}");
    assert!(found[3].to_string().contains(&Fingerprint::of(&certificate).to_string()));
}

#[test]
fn nothing_off_policy_and_nothing_of_another_cluster() {
    let bench = Bench::new();
    let service = bench.service();
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    let mut client = bench.client();
    let authority = client.current(&blue(), ROLE).unwrap();
    let mut refused = |order: &Order| code(&client.issue(order).unwrap_err());
    // Names, nodes and profiles beyond the policy.
    assert_eq!(refused(&order(&authority, NODE, &["kubernetes"])), "policy.name");
    assert_eq!(refused(&order(&authority, NODE, &[NODE, "node-2.pool-b.example"])), "policy.name");
    assert_eq!(refused(&order(&authority, "node-1.pool-b.example", &["x.pool-a.example"])), "policy.node");
    let ask = |change: &dyn Fn(&mut Ask)| {
        let (mut ask, expected) = serving(NODE, &[NODE]);
        change(&mut ask);
        Order::new(request_id(), blue(), ROLE, &authority, ask, expected)
    };
    let leaf = |set: fn(&mut signer_hsm::service::protocol::LeafAsk)| {
        move |ask: &mut Ask| {
            if let Ask::Leaf(leaf) = ask {
                set(leaf)
            }
        }
    };
    for (order, expected) in [
        (ask(&leaf(|leaf| leaf.profile = "super-admin".into())), "service.unknown_profile"),
        (ask(&leaf(|leaf| leaf.profile = "nonsense".into())), "service.unknown_profile"),
        (ask(&leaf(|leaf| leaf.lifetime_seconds = Some(366 * 86_400))), "policy.lifetime"),
        (ask(&leaf(|leaf| leaf.lifetime_seconds = Some(0))), "issue.lifetime"),
        (ask(&leaf(|leaf| leaf.node = None)), "issue.approval"),
        (ask(&leaf(|leaf| leaf.node = Some("node-2.pool-a.example".into()))), "issue.subject"),
        (ask(&leaf(|leaf| leaf.node = Some("-".into()))), "policy.node"),
        (ask(&leaf(|leaf| leaf.csr.truncate(9))), "request.malformed"),
    ] {
        let found = refused(&order);
        assert!(
            found == expected || expected == "request.malformed" && found.starts_with("request."),
            "{found} {expected}"
        );
    }
    // Possession is proven: another key's signature is none.
    let broken = ask(&leaf(|leaf| {
        if let Some(octet) = leaf.csr.last_mut() {
            *octet ^= 1
        }
    }));
    assert!(refused(&broken).starts_with("request."));
    // Another cluster, and one that is not there: the same word for both.
    for cluster in ["green", "nowhere"] {
        let (ask, expected) = serving(NODE, &[NODE]);
        let order = Order::new(request_id(), cluster.parse().unwrap(), ROLE, &authority, ask, expected);
        assert_eq!(refused(&order), "service.cluster_denied");
    }
    let (ask, expected) = serving(NODE, &[NODE]);
    let order = Order::new(request_id(), blue(), pki_core::AuthorityRole::Etcd, &authority, ask, expected);
    assert_eq!(refused(&order), "service.unknown_authority");
    let (_, verified) = verify_directory(bench.path(), None, |_| {}).unwrap();
    assert_eq!((verified.issued, verified.prepared, verified.refused), (0, 0, 15), "every refusal is named");
}

#[test]
fn a_signer_of_the_kubernetes_api_signs_by_its_rules_and_the_policys() {
    use pki_core::kubernetes::{NodeAddress, NodeAddressType, NodeAddresses, SignerName, SignerPolicy};
    use signer_hsm::service::policy::{ClusterPolicy, NodeRule, SignerRule};
    let bench = Bench::new();
    let service = bench.empty_service();
    let addresses = [NodeAddress { address_type: NodeAddressType::InternalDNS, address: NODE.to_owned() }];
    let serving_rule = SignerRule::new(SignerPolicy::new(SignerName::KubeletServing).unwrap())
        .with_addresses(NodeAddresses::new(NODE.parse().unwrap(), &addresses))
        .for_nodes(NodeRule::Under(vec!["pool-a.example".parse().unwrap()]));
    let policy = ClusterPolicy::new().with_signer(serving_rule);
    service.add_cluster(ClusterConfig::new("red".parse().unwrap(), policy).with_caller(caller())).unwrap();
    let red = Ca::mint("red", 1);
    service.install(&"red".parse().unwrap(), ROLE, red.generation()).unwrap();
    let key = SoftwareKey::generate(KeyAlgorithm::P256).unwrap();
    let ask = |names: &[&str], node: &str, signer: &str| {
        let node = node.parse().unwrap();
        let subject = LeafKind::KubeletServing.subject(Some(&node)).unwrap();
        let names: Vec<_> = names.iter().map(|name| pki_core::SubjectAltName::dns(name).unwrap()).collect();
        let csr = create_request(&subject, &names, &key).unwrap();
        let request = Request {
            sequence: 0,
            id: request_id(),
            cluster: "red".into(),
            role: "cluster".into(),
            epoch: signer_hsm::service::epoch::SignerEpoch::FIRST,
            ask: Ask::signer(SignerAsk {
                signer: signer.into(),
                usages: vec!["digital signature".into(), "server auth".into()],
                expiration_seconds: Some(3600),
                username: format!("system:node:{node}"),
                groups: vec!["system:nodes".into()],
                csr: csr.clone(),
            }),
        };
        (csr, service.answer(&caller(), &[request]).remove(0).outcome)
    };
    let (csr, outcome) = ask(&[NODE], NODE, "kubernetes.io/kubelet-serving");
    let Outcome::Certificate(certificate) = outcome else { panic!("{outcome:?}") };
    let now = time::UtcDateTime::from_unix_timestamp(crate::support::START).unwrap();
    let expected = Expected::of_request(&csr, aws_lc_rs()).unwrap();
    expected.check(&certificate, &red.certificate, aws_lc_rs(), now).unwrap();
    for (names, node, signer, code) in [
        (&["node-2.pool-a.example"][..], NODE, "kubernetes.io/kubelet-serving", "strict.known_address"),
        (&["node-2.example"], "node-2.example", "kubernetes.io/kubelet-serving", "policy.node"),
        (&["node-3.pool-a.example"], "node-3.pool-a.example", "kubernetes.io/kubelet-serving", "policy.name"),
        (&[NODE], NODE, "kubernetes.io/kube-apiserver-client", "service.unknown_profile"),
        (&[NODE], NODE, "example.com/any", "service.unknown_profile"),
    ] {
        let (_, outcome) = ask(names, node, signer);
        let Outcome::Refused(refusal) = outcome else { panic!("{names:?}") };
        assert_eq!(refusal.code(), code);
    }
}

#[test]
fn the_same_request_gets_the_same_octets_and_another_under_its_identifier_nothing() {
    let bench = Bench::new();
    let first = {
        let service = bench.service();
        let _server = bench.server(&service, ServerLimits::DEFAULT);
        let mut client = bench.client();
        let authority = client.current(&blue(), ROLE).unwrap();
        let order = order(&authority, NODE, &[NODE]);
        let certificate = client.issue(&order).unwrap();
        assert_eq!(client.issue(&order).unwrap(), certificate);
        let (ask, expected) = serving(NODE, &[NODE]);
        let other = Order::new(order.id(), blue(), ROLE, &authority, ask, expected);
        assert_eq!(code(&client.issue(&other).unwrap_err()), "service.request_id_reused");
        (order, certificate)
    };
    // Also of a service that was begun anew.
    let service = bench.service();
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    assert_eq!(bench.client().issue(&first.0).unwrap(), first.1);
    let (_, verified) = verify_directory(bench.path(), None, |_| {}).unwrap();
    assert_eq!(verified.issued, 1);
}

fn blue_request() -> Request {
    Request {
        sequence: 0,
        id: request_id(),
        cluster: "blue".into(),
        role: "cluster".into(),
        epoch: signer_hsm::service::epoch::SignerEpoch::FIRST,
        ask: serving(NODE, &[NODE]).0,
    }
}

#[test]
fn a_request_that_is_being_worked_on_is_not_begun_again_and_the_log_says_so() {
    let bench = Bench::new();
    let service = bench.service();
    let request = blue_request();
    let responses = service.answer(&caller(), &[request.clone(), request]);
    assert!(matches!(responses[0].outcome, Outcome::Certificate(_)));
    assert_eq!(responses[1].outcome, Outcome::Refused(Refusal::InProgress));
    let mut codes = Vec::new();
    verify_directory(bench.path(), None, |entry| {
        if let Entry::Refused { code, .. } = entry {
            codes.push(code.clone());
        }
    })
    .unwrap();
    assert_eq!(codes, [Refusal::InProgress.code()]);
}

#[test]
fn requests_that_come_together_are_each_of_their_own_cluster_and_authority() {
    let bench = Bench::new();
    let service = bench.service();
    let etcd = Ca::mint("blue", 1);
    service.install(&blue(), pki_core::AuthorityRole::Etcd, etcd.generation()).unwrap();
    let of = |cluster: &str, role: &str| Request { cluster: cluster.into(), role: role.into(), ..blue_request() };
    let requests = [of("blue", "cluster"), of("green", "cluster"), of("blue", "etcd"), of("blue", "front-proxy")];
    let outcomes: Vec<_> = service.answer(&caller(), &requests).into_iter().map(|response| response.outcome).collect();
    let issuer = |outcome: &Outcome| match outcome {
        Outcome::Certificate(certificate) => {
            let leaf = pki_core::LeafIdentity::parse(certificate, &pki_core::Limits::DEFAULT).unwrap();
            leaf.authority_key_id().unwrap().to_vec()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(issuer(&outcomes[0]), bench.blue.certificate.subject_key_id());
    assert_eq!(outcomes[1], Outcome::Refused(Refusal::ClusterDenied));
    assert_eq!(issuer(&outcomes[2]), etcd.certificate.subject_key_id());
    assert_eq!(outcomes[3], Outcome::Refused(Refusal::UnknownAuthority));
}

#[test]
fn a_panic_leaves_no_request_in_progress() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let bench = Bench::new();
    let clock: std::sync::Arc<dyn signer_hsm::service::limits::Clock> =
        std::sync::Arc::<crate::support::TestClock>::clone(&bench.clock);
    let made = AtomicU32::new(0);
    let serials = Box::new(move || {
        if made.fetch_add(1, Ordering::SeqCst) == 1 {
            // Without a backtrace, whose symbols would count as memory of the test beside this one.
            std::panic::resume_unwind(Box::new("planted"));
        }
        Ok(pki_core::Serial::generate(&mut getrandom::SysRng)?)
    });
    let config = signer_hsm::service::ServiceConfig::new(clock, serials, aws_lc_rs());
    let service = signer_hsm::service::IssuingService::open(bench.path(), config).unwrap();
    service.add_cluster(ClusterConfig::new(blue(), policy()).with_caller(caller())).unwrap();
    service.install(&blue(), ROLE, bench.blue.generation()).unwrap();
    let requests = [blue_request(), blue_request()];
    let answer = || service.answer(&caller(), &requests);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(answer)).unwrap_err();
    for response in answer() {
        assert!(matches!(response.outcome, Outcome::Certificate(_)), "{response:?}");
    }
}

#[test]
fn the_times_of_the_log_are_in_its_order_also_across_a_switch() {
    let bench = Bench::new();
    let service = bench.service();
    let second = Ca::mint("blue", 2);
    service.install(&blue(), ROLE, second.generation()).unwrap();
    let epoch = signer_hsm::service::epoch::SignerEpoch::FIRST;
    std::thread::scope(|scope| {
        bench.clock.while_held(
            || service.switch(&blue(), ROLE, epoch, second.version).unwrap(),
            || {
                // It has come before the switch is over, and is answered after it.
                scope.spawn(|| service.answer(&caller(), &[blue_request()]));
                crate::support::pause(200);
                bench.clock.advance(10);
            },
        );
    });
    let mut times = Vec::new();
    verify_directory(bench.path(), None, |entry| match entry {
        Entry::Signer { time, .. } => times.push(*time),
        Entry::Prepared { of, .. } | Entry::Issued { of, .. } | Entry::Refused { of, .. } => times.push(of.time),
        _ => {}
    })
    .unwrap();
    assert!(times.is_sorted() && times.len() == 4, "{times:?}");
}

#[test]
fn what_is_remembered_is_bounded() {
    let bench = Bench::new();
    let config = crate::support::config(&bench.clock, bench.durability).remembering(2);
    let service = signer_hsm::service::IssuingService::open(bench.path(), config).unwrap();
    service.add_cluster(ClusterConfig::new(blue(), policy()).with_caller(caller())).unwrap();
    service.install(&blue(), ROLE, bench.blue.generation()).unwrap();
    let requests: Vec<_> = (0..3).map(|_| blue_request()).collect();
    let outcomes = |requests: &[Request]| {
        service.answer(&caller(), requests).into_iter().map(|response| response.outcome).collect::<Vec<_>>()
    };
    let first = outcomes(&requests);
    assert_eq!(outcomes(&requests[1..]), first[1..]);
    assert_ne!(outcomes(&requests[..1]), first[..1], "forgotten, so it is a new request");
    // The same identifier of another caller is another request.
    let denied = service.answer(&CallerId::new("mallory"), &requests[2..]);
    assert_eq!(denied[0].outcome, Outcome::Refused(Refusal::ClusterDenied));
}

#[test]
fn several_are_asked_for_at_once_and_each_has_its_own_outcome() {
    let bench = Bench::new();
    let service = bench.service();
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    let mut client = bench.client();
    let authority = client.current(&blue(), ROLE).unwrap();
    let orders: Vec<_> = (0..200)
        .map(|number| match number % 10 {
            9 => order(&authority, NODE, &["kubernetes"]),
            _ => order(&authority, &format!("node-{number}.pool-a.example"), &["a.pool-a.example"]),
        })
        .collect();
    let results = client.issue_all(&orders);
    assert_eq!(results.len(), orders.len());
    for (number, result) in results.iter().enumerate() {
        match number % 10 {
            9 => assert_eq!(code(result.as_ref().unwrap_err()), "policy.name"),
            _ => assert!(result.is_ok(), "{number}: {result:?}"),
        }
    }
}

#[test]
fn a_cluster_above_its_rate_waits_and_harms_no_other() {
    let mut bench = Bench::new();
    bench.rate = Rate::new(3, 1).unwrap();
    let service = bench.service();
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    let mut client = bench.client();
    let authority = client.current(&blue(), ROLE).unwrap();
    let orders: Vec<_> = (0..3).map(|_| order(&authority, NODE, &[NODE])).collect();
    client.issue(&orders[0]).unwrap();
    client.issue(&orders[1]).unwrap();
    let Err(ClientError::Refused(Refusal::RateLimited { retry_after_ms })) = client.issue(&orders[2]) else { panic!() };
    assert!((1..=1000).contains(&retry_after_ms));
    let (ask, _) = serving(NODE, &[NODE]);
    let request = Request {
        sequence: 0,
        id: request_id(),
        cluster: "green".into(),
        role: "cluster".into(),
        epoch: authority.epoch,
        ask,
    };
    let other = service.answer(&CallerId::new("other"), &[request]);
    assert!(matches!(other[0].outcome, Outcome::Certificate(_)));
    bench.clock.skip(1000);
    client.issue(&orders[2]).unwrap();
}

#[test]
fn what_is_refused_fills_the_log_at_a_rate_of_its_own() {
    let bench = Bench::new();
    let service = bench.empty_service();
    let config = ClusterConfig::new("red".parse().unwrap(), policy()).with_caller(caller());
    let config = config.with_rate(crate::support::plenty()).with_refusal_rate(Rate::new(3, 1).unwrap());
    service.add_cluster(config).unwrap();
    let ask = |role: &str, names: &[&str]| {
        let ask = serving(NODE, names).0;
        let (cluster, role, epoch) = ("red".into(), role.into(), signer_hsm::service::epoch::SignerEpoch::FIRST);
        let request = Request { sequence: 0, id: request_id(), cluster, role, epoch, ask };
        service.answer(&caller(), &[request]).remove(0).outcome
    };
    let refused = |outcome: Outcome| match outcome {
        Outcome::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    // Before there is an authority, and after.
    assert_eq!(refused(ask("cluster", &[NODE])), Refusal::UnknownAuthority);
    service.install(&"red".parse().unwrap(), ROLE, Ca::mint("red", 1).generation()).unwrap();
    assert_eq!(refused(ask("etcd", &[NODE])), Refusal::UnknownAuthority);
    assert_eq!(refused(ask("cluster", &["kubernetes"])).code(), "policy.name");
    for (role, names) in [("etcd", NODE), ("cluster", "kubernetes")].repeat(50) {
        assert!(matches!(refused(ask(role, &[names])), Refusal::RateLimited { .. }));
    }
    assert!(matches!(ask("cluster", &[NODE]), Outcome::Certificate(_)), "what is granted is not touched by it");
    assert_eq!(verify_directory(bench.path(), None, |_| {}).unwrap().1.refused, 3);
    bench.clock.skip(1000);
    assert_eq!(refused(ask("cluster", &["kubernetes"])).code(), "policy.name");
}

#[test]
fn whoever_asks_believes_no_answer() {
    let bench = Bench::new();
    let (ask, expected) = serving(NODE, &[NODE]);
    let service = bench.service();
    let request = Request {
        sequence: 0,
        id: request_id(),
        cluster: "blue".into(),
        role: "cluster".into(),
        epoch: signer_hsm::service::epoch::SignerEpoch::FIRST,
        ask,
    };
    let Outcome::Certificate(certificate) = service.answer(&caller(), &[request]).remove(0).outcome else { panic!() };
    let now = time::UtcDateTime::from_unix_timestamp(crate::support::START).unwrap();
    let issuer = &bench.blue.certificate;
    expected.check(&certificate, issuer, aws_lc_rs(), now).unwrap();
    let (_, other_key) = serving(NODE, &[NODE]);
    assert_eq!(other_key.check(&certificate, issuer, aws_lc_rs(), now), Err(AnswerFault::Key));
    let late = now + time::Duration::days(366);
    assert_eq!(expected.check(&certificate, issuer, aws_lc_rs(), late), Err(AnswerFault::Validity));
    // Two CAs of one name: the key decides.
    assert_eq!(expected.check(&certificate, &bench.green.certificate, aws_lc_rs(), now), Err(AnswerFault::Issuer));
    let mut forged = certificate.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(expected.check(&forged, issuer, aws_lc_rs(), now), Err(AnswerFault::Signature(_))));
    let key = SoftwareKey::generate(KeyAlgorithm::P256).unwrap();
    let (_, names) = crate::support::serving_with(&key, NODE, &[NODE, "a.pool-a.example"]);
    let (csr_of_key, _) = crate::support::serving_with(&key, NODE, &[NODE]);
    let request = Request {
        sequence: 0,
        id: request_id(),
        cluster: "blue".into(),
        role: "cluster".into(),
        epoch: signer_hsm::service::epoch::SignerEpoch::FIRST,
        ask: csr_of_key,
    };
    let Outcome::Certificate(certificate) = service.answer(&caller(), &[request]).remove(0).outcome else { panic!() };
    assert_eq!(names.check(&certificate, issuer, aws_lc_rs(), now), Err(AnswerFault::Names));
    let (_, subject) = crate::support::serving_with(&key, "node-2.pool-a.example", &[NODE]);
    assert_eq!(subject.check(&certificate, issuer, aws_lc_rs(), now), Err(AnswerFault::Subject));
}
