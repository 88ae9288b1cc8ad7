//! Who signs is an operator's to say, over the socket, once for each epoch, and without a way back from a retired one.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::thread;

use pki_core::{AuthorityRole, CaVersion, Signer};
use signer_hsm::SoftwareKey;
use signer_hsm::service::client::{AnswerFault, ClientError, Operation};
use signer_hsm::service::epoch::SignerEpoch;
use signer_hsm::service::limits::{Rate, ServerLimits};
use signer_hsm::service::log::{Entry, Verified, verify_directory};
use signer_hsm::service::protocol::{
    Ask, Frames, GenerationAsk, Hello, Outcome, ProtocolError, Refusal, Request, Response, Service, Welcome, push_frame,
};
use signer_hsm::service::server::Peers;
use signer_hsm::service::{CallerId, Client, ClusterConfig, IssuingService, Server, ServiceError};

use crate::support::{Bench, Ca, NODE, ROLE, blue, caller, order, own_uid, policy, request_id, serving};

const FIRST: SignerEpoch = SignerEpoch::FIRST;

fn epoch(number: u64) -> SignerEpoch {
    SignerEpoch::new(number).unwrap()
}

/// A socket at which the user of this process is this caller.
fn door(bench: &Bench, server: &Server, who: &str) -> PathBuf {
    let socket = bench.path().join(who);
    server.listen_unix(&socket, 0o600, Peers::new().with_user(own_uid(), CallerId::new(who))).unwrap();
    socket
}

fn after(number: u64) -> Operation {
    Operation::new(request_id(), blue(), ROLE, epoch(number))
}

fn refusal<T: std::fmt::Debug>(refused: Result<T, ClientError>) -> Refusal {
    match refused {
        Err(ClientError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn stale(expected: u64, found: u64) -> Refusal {
    Refusal::StaleEpoch { expected: epoch(expected), found: epoch(found) }
}

/// What the log says, and which orders and refusals of whom.
fn logged(directory: &Path) -> (Verified, Vec<(String, String)>) {
    let mut told = Vec::new();
    let (_, verified) = verify_directory(directory, None, |entry| match entry {
        Entry::Ordered { of } => told.push((of.caller.clone(), "ordered".to_owned())),
        Entry::Refused { of, code, .. } => told.push((of.caller.clone(), code.clone())),
        Entry::Signer { cluster, epoch, version, .. } if cluster == "blue" => {
            told.push(("signer".to_owned(), format!("{epoch}:{version}")));
        }
        Entry::Retired { epoch, version, .. } => told.push(("retired".to_owned(), format!("{epoch}:{version}"))),
        _ => {}
    })
    .unwrap();
    (verified, told)
}

fn pairs(told: &[(&str, &str)]) -> Vec<(String, String)> {
    told.iter().map(|(who, what)| ((*who).to_owned(), (*what).to_owned())).collect()
}

#[test]
fn an_operator_switches_once_for_each_epoch_and_a_restart_keeps_it() {
    let bench = Bench::new();
    let (second, third) = (Ca::mint("blue", 2), Ca::mint("blue", 3));
    let first_order = after(1);
    {
        let service = bench.service();
        for ca in [&second, &third] {
            service.install(&blue(), ROLE, ca.generation()).unwrap();
        }
        let server = bench.server(&service, ServerLimits::DEFAULT);
        let mut controller = bench.client_at(&door(&bench, &server, "blue-controller"));
        let mut kcm = bench.client();
        let before = controller.current(&blue(), ROLE).unwrap();
        assert_eq!((before.epoch, before.version), (FIRST, CaVersion::FIRST));
        kcm.issue(&order(&before, NODE, &[NODE])).unwrap();
        let now = controller.switch(&first_order, second.version, &second.certificate).unwrap();
        assert_eq!((now.epoch, now.version), (epoch(2), second.version));
        // The log has it by then, and whose order it was, and nothing more for the same order once more, by whatever identifier.
        let switched = pairs(&[("signer", "1:1"), ("blue-controller", "ordered"), ("signer", "2:2")]);
        assert_eq!(logged(bench.path()).1, switched);
        for again in [&first_order, &after(1)] {
            assert_eq!(controller.switch(again, second.version, &second.certificate).unwrap(), now);
        }
        assert_eq!(logged(bench.path()).1, switched);
        assert_eq!(refusal(kcm.issue(&order(&before, NODE, &[NODE]))), stale(2, 1));
        kcm.issue(&order(&now, NODE, &[NODE])).unwrap();
        // A late one to another generation, and one that is too early.
        assert_eq!(refusal(controller.switch(&after(1), third.version, &third.certificate)), stale(2, 1));
        assert_eq!(refusal(controller.switch(&after(3), third.version, &third.certificate)), stale(2, 3));
        // In the process nobody names a key: the version and the epoch tell the same switch from another one.
        for (follows, to) in [(FIRST, third.version), (epoch(3), second.version)] {
            let refused = service.switch(&blue(), ROLE, follows, to);
            assert!(matches!(refused, Err(ServiceError::StaleEpoch { .. })), "{refused:?}");
        }
        assert_eq!(service.current(&blue(), ROLE).unwrap().epoch, epoch(2));
    }
    let service = bench.empty_service();
    for ca in [&second, &third] {
        service.install(&blue(), ROLE, ca.generation()).unwrap();
    }
    let service = Arc::new(service);
    let server = bench.server(&service, ServerLimits::DEFAULT);
    let mut controller = bench.client_at(&door(&bench, &server, "blue-controller"));
    let now = controller.switch(&first_order, second.version, &second.certificate).unwrap();
    assert_eq!((now.epoch, now.version), (epoch(2), second.version));
    controller.switch(&after(2), third.version, &third.certificate).unwrap();
    // Once something has followed it, the first order is late.
    assert_eq!(refusal(controller.switch(&first_order, second.version, &second.certificate)), stale(3, 1));
    // In the process it is the same.
    assert_eq!(service.switch(&blue(), ROLE, epoch(2), third.version).unwrap().epoch, epoch(3));
    assert_eq!(logged(bench.path()).0.signers, 4);
}

#[test]
fn who_is_no_operator_of_the_cluster_is_refused_and_the_log_says_so() {
    let bench = Bench::new();
    let second = Ca::mint("blue", 2);
    let service = bench.service();
    service.install(&blue(), ROLE, second.generation()).unwrap();
    let server = bench.server(&service, ServerLimits::DEFAULT);
    let mut others = BTreeMap::new();
    for who in ["blue-controller", "green-controller", "stranger"] {
        others.insert(who, bench.client_at(&door(&bench, &server, who)));
    }
    others.insert("kcm", bench.client());
    let both = |client: &mut Client| {
        let switch = client.switch(&after(1), second.version, &second.certificate);
        (refusal(switch), refusal(client.retire(&after(1), second.version, &second.certificate)))
    };
    assert_eq!(both(others.get_mut("kcm").unwrap()), (Refusal::RoleDenied, Refusal::RoleDenied));
    assert_eq!(both(others.get_mut("green-controller").unwrap()), (Refusal::ClusterDenied, Refusal::ClusterDenied));
    let turned_away = others.get_mut("stranger").unwrap().switch(&after(1), second.version, &second.certificate);
    assert!(matches!(turned_away, Err(ClientError::TurnedAway(Welcome::Denied))), "{turned_away:?}");
    // If a stranger ever got as far.
    let ask = Ask::Switch(GenerationAsk { version: second.version, key: *second.certificate.id().as_bytes() });
    let (cluster, role) = ("blue".to_owned(), ROLE.id().to_owned());
    let request = Request { sequence: 0, id: request_id(), cluster, role, epoch: FIRST, ask };
    let answers = service.answer(&CallerId::new("stranger"), &[request]);
    assert_eq!(answers[0].outcome, Outcome::Refused(Refusal::ClusterDenied));
    // And whoever says who signs gets no certificate for it.
    let controller = others.get_mut("blue-controller").unwrap();
    let authority = controller.current(&blue(), ROLE).unwrap();
    assert_eq!(refusal(controller.issue(&order(&authority, NODE, &[NODE]))), Refusal::RoleDenied);
    let (role, cluster) = ("service.role_denied", "service.cluster_denied");
    let expected = [
        ("signer", "1:1"),
        ("kcm", role),
        ("kcm", role),
        ("green-controller", cluster),
        ("green-controller", cluster),
        ("stranger", cluster),
        ("blue-controller", role),
    ];
    assert_eq!(logged(bench.path()).1, pairs(&expected));
    assert_eq!(service.current(&blue(), ROLE).unwrap().epoch, FIRST);
}

#[test]
fn an_order_means_one_authority_one_generation_and_one_key() {
    let bench = Bench::new();
    let (second, other) = (Ca::mint("blue", 2), Ca::mint("blue", 2));
    let service = bench.service();
    service.install(&blue(), ROLE, second.generation()).unwrap();
    let server = bench.server(&service, ServerLimits::DEFAULT);
    let mut controller = bench.client_at(&door(&bench, &server, "blue-controller"));
    let third = CaVersion::new(3).unwrap();
    for (version, ca) in [(third, &second), (second.version, &other)] {
        assert_eq!(refusal(controller.switch(&after(1), version, &ca.certificate)), Refusal::UnknownGeneration);
        assert_eq!(refusal(controller.retire(&after(1), version, &ca.certificate)), Refusal::UnknownGeneration);
    }
    let elsewhere = Operation::new(request_id(), blue(), AuthorityRole::Etcd, FIRST);
    let refused = controller.switch(&elsewhere, second.version, &second.certificate);
    assert_eq!(refusal(refused), Refusal::UnknownAuthority);
    let last = controller.switch(&after(u64::MAX), second.version, &second.certificate);
    assert_eq!(refusal(last).code(), "service.last_epoch");
    controller.switch(&after(1), second.version, &second.certificate).unwrap();
    // With the other key it is not the order that was carried out.
    assert_eq!(refusal(controller.switch(&after(1), second.version, &other.certificate)), stale(2, 1));
    let (verified, _) = logged(bench.path());
    assert_eq!((verified.refused, verified.ordered, verified.retired), (7, 1, 0));
}

#[test]
fn nothing_leads_back_to_a_retired_generation_and_its_key_is_let_go() {
    let bench = Bench::new();
    let (second, third) = (Ca::mint("blue", 2), Ca::mint("blue", 3));
    let key: Arc<dyn Signer> = Arc::new(SoftwareKey::from_pem(bench.blue.key.as_bytes()).unwrap());
    let held = Arc::downgrade(&key);
    {
        let service = bench.empty_service();
        service.install(&blue(), ROLE, bench.blue.generation_with(key)).unwrap();
        for ca in [&second, &third] {
            service.install(&blue(), ROLE, ca.generation()).unwrap();
        }
        let service = Arc::new(service);
        let server = bench.server(&service, ServerLimits::DEFAULT);
        let mut controller = bench.client_at(&door(&bench, &server, "blue-controller"));
        let retire = |controller: &mut Client, epoch| {
            controller.retire(&after(epoch), CaVersion::FIRST, &bench.blue.certificate)
        };
        assert_eq!(refusal(retire(&mut controller, 1)), Refusal::Signing);
        controller.switch(&after(1), second.version, &second.certificate).unwrap();
        assert_eq!(refusal(retire(&mut controller, 1)), stale(2, 1));
        // Until it is retired there is a way back, and its key is needed for it.
        assert!(held.upgrade().is_some());
        let now = retire(&mut controller, 2).unwrap();
        assert_eq!((now.epoch, now.version), (epoch(2), second.version));
        assert!(held.upgrade().is_none(), "the key is still there");
        let told = logged(bench.path()).1;
        assert_eq!(told[told.len() - 2..], pairs(&[("blue-controller", "ordered"), ("retired", "2:1")]));
        // The same again, also when an epoch has gone by, writes nothing.
        controller.switch(&after(2), third.version, &third.certificate).unwrap();
        let entries = service.head();
        assert_eq!(retire(&mut controller, 2).unwrap().epoch, epoch(3));
        assert_eq!(service.head(), entries);
        let back = controller.switch(&after(3), CaVersion::FIRST, &bench.blue.certificate);
        assert_eq!(refusal(back), Refusal::Retired);
        let again = service.install(&blue(), ROLE, bench.blue.generation());
        assert!(matches!(again, Err(ServiceError::Retired { version: CaVersion::FIRST, .. })), "{again:?}");
    }
    // A service that was begun anew knows it, and whose the key was.
    let service = bench.empty_service();
    let again = service.install(&blue(), ROLE, bench.blue.generation());
    assert!(matches!(again, Err(ServiceError::Retired { .. })), "{again:?}");
    let reused = service.install(&blue(), ROLE, Ca::of("blue", 4, &bench.blue.key).generation());
    assert!(matches!(reused, Err(ServiceError::KeyReuse { version: 1, .. })), "{reused:?}");
    service.install(&blue(), ROLE, third.generation()).unwrap();
    let back = service.switch(&blue(), ROLE, epoch(3), CaVersion::FIRST);
    assert!(matches!(back, Err(ServiceError::Retired { .. })), "{back:?}");
    let signing = service.retire(&blue(), ROLE, epoch(3), third.version);
    assert!(matches!(signing, Err(ServiceError::Signing { .. })), "{signing:?}");
    // What the log has named is retired without being given again.
    service.retire(&blue(), ROLE, epoch(3), second.version).unwrap();
    let gone = service.install(&blue(), ROLE, second.generation());
    assert!(matches!(gone, Err(ServiceError::Retired { .. })), "{gone:?}");
    assert_eq!(logged(bench.path()).0.retired, 2);
}

#[test]
fn the_key_of_a_generation_that_ended_before_it_signed_is_nobody_elses_after_a_restart() {
    let bench = Bench::new();
    let second = Ca::mint("blue", 2);
    {
        let service = bench.service();
        service.install(&blue(), ROLE, second.generation()).unwrap();
        service.retire(&blue(), ROLE, FIRST, second.version).unwrap();
    }
    let service = bench.service();
    let reused = service.install(&blue(), ROLE, Ca::of("blue", 3, &second.key).generation());
    assert!(matches!(reused, Err(ServiceError::KeyReuse { version: 2, .. })), "{reused:?}");
}

#[test]
fn a_caller_who_floods_the_service_is_fenced_off_all_the_same() {
    let mut bench = Bench::new();
    bench.rate = Rate::new(1, 1).unwrap();
    let service = bench.empty_service();
    let config = ClusterConfig::new("red".parse().unwrap(), policy()).with_caller(caller());
    let config = config.with_rate(Rate::new(2, 1).unwrap()).with_refusal_rate(Rate::new(1, 1).unwrap());
    let config = config.with_operator(CallerId::new("controller")).with_operation_rate(Rate::new(3, 1).unwrap());
    service.add_cluster(config).unwrap();
    let (first, second) = (Ca::mint("red", 1), Ca::mint("red", 2));
    for ca in [&first, &second] {
        service.install(&"red".parse().unwrap(), ROLE, ca.generation()).unwrap();
    }
    let ask = |who: &str, ask: Ask| {
        let (cluster, role) = ("red".to_owned(), ROLE.id().to_owned());
        let request = Request { sequence: 0, id: request_id(), cluster, role, epoch: FIRST, ask };
        service.answer(&CallerId::new(who), &[request]).remove(0).outcome
    };
    let key = *second.certificate.id().as_bytes();
    let switch = || Ask::Switch(GenerationAsk { version: second.version, key });
    let limited = |outcome: &Outcome| matches!(outcome, Outcome::Refused(Refusal::RateLimited { .. }));
    // One refusal is written, and then there is nothing left to be refused or given by.
    assert_eq!(ask("kcm", switch()), Outcome::Refused(Refusal::RoleDenied));
    assert!((0..10).map(|_| ask("kcm", Ask::Current)).any(|outcome| limited(&outcome)));
    assert!(limited(&ask("kcm", switch())));
    assert!(matches!(ask("controller", Ask::Current), Outcome::Authority { .. }));
    assert_eq!(ask("controller", serving(NODE, &[NODE]).0), Outcome::Refused(Refusal::RoleDenied));
    assert!(matches!(ask("controller", switch()), Outcome::Authority { version: 2, .. }));
    // The operator's is bounded, too, and uses up nothing of the callers'.
    assert!(limited(&ask("controller", switch())));
    assert!(limited(&ask("controller", Ask::Current)));
    bench.clock.skip(1000);
    assert!(matches!(ask("kcm", Ask::Current), Outcome::Authority { version: 2, .. }));
}

#[test]
fn of_two_operators_who_follow_the_same_epoch_one_switches() {
    let bench = Bench::new();
    let service = bench.service();
    let server = bench.server(&service, ServerLimits::DEFAULT);
    let socket = door(&bench, &server, "blue-controller");
    for round in 1..=5 {
        let rivals = [2 * round, 2 * round + 1].map(|version| Ca::mint("blue", version));
        for ca in &rivals {
            service.install(&blue(), ROLE, ca.generation()).unwrap();
        }
        let (ready, follows) = (Barrier::new(2), u64::from(round));
        let outcomes: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = rivals
                .iter()
                .map(|ca| {
                    scope.spawn(|| {
                        let mut client = bench.client_at(&socket);
                        client.current(&blue(), ROLE).unwrap();
                        ready.wait();
                        client.switch(&after(follows), ca.version, &ca.certificate)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 1));
        for refused in lost {
            assert_eq!(refusal(refused), stale(follows + 1, follows));
        }
    }
    assert_eq!(logged(bench.path()).0.ordered, 5);
}

#[test]
fn an_order_that_the_log_does_not_take_is_not_carried_out() {
    let bench = Bench::new();
    let second = Ca::mint("blue", 2);
    let service = bench.service();
    service.install(&blue(), ROLE, second.generation()).unwrap();
    let server = bench.server(&service, ServerLimits::DEFAULT);
    let mut controller = bench.client_at(&door(&bench, &server, "blue-controller"));
    let file = std::fs::OpenOptions::new().append(true).open(bench.path().join("issuance.log")).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length + 1).unwrap();
    let switch = controller.switch(&after(1), second.version, &second.certificate);
    assert_eq!(refusal(switch), Refusal::LogUnavailable);
    let retire = controller.retire(&after(1), second.version, &second.certificate);
    assert_eq!(refusal(retire), Refusal::LogUnavailable);
    file.set_len(length).unwrap();
    assert_eq!(controller.current(&blue(), ROLE).unwrap().epoch, FIRST);
    // Neither was.
    controller.switch(&after(1), second.version, &second.certificate).unwrap();
}

/// A service that says what it likes.
fn liar(socket: &Path, outcome: Outcome) -> thread::JoinHandle<()> {
    misnumbered(socket, outcome, 0, 0)
}

/// One that answers this many messages on, and to a request whose identifier begins with another octet.
fn misnumbered(socket: &Path, outcome: Outcome, on: u64, other: u8) -> thread::JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut out = Vec::new();
        push_frame(&mut out, &Hello::new(Service::Issuing, Welcome::Ready).encode());
        stream.write_all(&out).unwrap();
        let (mut frames, mut buffer, mut hello) = (Frames::new(1 << 17), [0; 1024], true);
        loop {
            let count = stream.read(&mut buffer).unwrap();
            frames.push(&buffer[..count]);
            while let Some(frame) = frames.pop().unwrap() {
                if core::mem::take(&mut hello) {
                    continue;
                }
                let Request { sequence, mut id, .. } = Request::decode(frame).unwrap();
                let sequence = sequence + on;
                id.0[0] ^= other;
                let mut out = Vec::new();
                push_frame(&mut out, &Response { sequence, id, outcome: outcome.clone() }.encode());
                return stream.write_all(&out).unwrap();
            }
        }
    })
}

#[test]
fn whoever_orders_a_switch_believes_no_other_signer() {
    let (second, other) = (Ca::mint("blue", 2), Ca::mint("blue", 2));
    let told = |number, version, ca: &Ca| {
        let certificate = ca.certificate.der().to_vec();
        Outcome::Authority { epoch: epoch(number), version, certificate }
    };
    let lies = [told(1, 2, &second), told(3, 2, &second), told(2, 1, &second), told(2, 2, &other)];
    for (number, lie) in lies.into_iter().chain([told(2, 2, &second)]).enumerate() {
        let bench = Bench::new();
        let thread = liar(&bench.socket(), lie);
        let answer = bench.client().switch(&after(1), second.version, &second.certificate);
        thread.join().unwrap();
        match number {
            4 => assert_eq!(answer.unwrap().epoch, epoch(2)),
            _ => assert!(matches!(answer, Err(ClientError::Answer(AnswerFault::OtherSigner))), "{number}: {answer:?}"),
        }
    }
    // That the retired one signs, or an epoch that is over.
    for lie in [told(5, 2, &second), told(4, 3, &other)] {
        let bench = Bench::new();
        let thread = liar(&bench.socket(), lie);
        let answer = bench.client().retire(&after(5), second.version, &second.certificate);
        thread.join().unwrap();
        assert!(matches!(answer, Err(ClientError::Answer(AnswerFault::OtherSigner))), "{answer:?}");
    }
}

#[test]
fn an_answer_out_of_turn_or_to_another_request_is_not_believed() {
    let second = Ca::mint("blue", 2);
    let certificate = second.certificate.der().to_vec();
    let outcome = || Outcome::Authority { epoch: epoch(2), version: 2, certificate: certificate.clone() };
    for (on, other, expected) in
        [(1, 0, ProtocolError::OutOfOrder { expected: 0, found: 1 }), (0, 1, ProtocolError::OtherRequest)]
    {
        let bench = Bench::new();
        let thread = misnumbered(&bench.socket(), outcome(), on, other);
        let answer = bench.client().switch(&after(1), second.version, &second.certificate);
        thread.join().unwrap();
        assert!(matches!(&answer, Err(ClientError::Protocol(error)) if *error == expected), "{answer:?}");
    }
}

#[test]
fn orders_among_requests_are_carried_out_in_their_turn() {
    let bench = Bench::new();
    let service: IssuingService = {
        let service =
            IssuingService::open(bench.path(), crate::support::config(&bench.clock, bench.durability)).unwrap();
        let config = ClusterConfig::new(blue(), policy()).with_caller(caller()).with_operator(caller());
        service.add_cluster(config.with_rate(crate::support::plenty())).unwrap();
        service
    };
    let second = Ca::mint("blue", 2);
    service.install(&blue(), ROLE, bench.blue.generation()).unwrap();
    service.install(&blue(), ROLE, second.generation()).unwrap();
    let generation = |ca: &Ca| GenerationAsk { version: ca.version, key: *ca.certificate.id().as_bytes() };
    let asks = [
        (1, serving(NODE, &[NODE]).0),
        (1, Ask::Switch(generation(&second))),
        (2, Ask::Retire(generation(&bench.blue))),
        (1, serving(NODE, &[NODE]).0),
        (2, serving(NODE, &[NODE]).0),
        (2, Ask::Current),
    ];
    let requests: Vec<_> = (0..)
        .zip(asks)
        .map(|(sequence, (number, ask))| {
            let (cluster, role) = ("blue".to_owned(), ROLE.id().to_owned());
            Request { sequence, id: request_id(), cluster, role, epoch: epoch(number), ask }
        })
        .collect();
    let outcomes: Vec<_> = service.answer(&caller(), &requests).into_iter().map(|response| response.outcome).collect();
    let kinds: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Certificate(_) => "certificate".to_owned(),
            Outcome::Authority { epoch, version, .. } => format!("{epoch}:{version}"),
            Outcome::Refused(refusal) => refusal.code().to_owned(),
            _ => String::new(),
        })
        .collect();
    assert_eq!(kinds, ["certificate", "2:2", "2:2", "service.stale_epoch", "certificate", "2:2"]);
    assert_eq!(logged(bench.path()).0.retired, 1);
}
