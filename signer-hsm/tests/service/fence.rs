//! One signer after another: nothing of a retired one, whenever the switch comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use pki_core::{AuthorityRole, CaVersion, ClusterId, LeafIdentity, Limits};
use signer_hsm::SoftwareKey;
use signer_hsm::service::client::ClientError;
use signer_hsm::service::epoch::SignerEpoch;
use signer_hsm::service::limits::ServerLimits;
use signer_hsm::service::log::{Entry, verify_directory};
use signer_hsm::service::protocol::{Outcome, Refusal, Request};
use signer_hsm::service::{CallerId, ClusterConfig, IssuingService, ServiceError};

use crate::support::{Bench, Ca, NODE, ROLE, blue, caller, order, policy, request_id, serving};

#[test]
fn a_request_of_an_older_epoch_is_refused_also_after_a_restart() {
    let bench = Bench::new();
    let second = Ca::mint("blue", 2);
    let (epoch_1, epoch_2) = (SignerEpoch::FIRST, SignerEpoch::new(2).unwrap());
    let before = {
        let service = bench.service();
        let _server = bench.server(&service, ServerLimits::DEFAULT);
        let mut client = bench.client();
        let before = client.current(&blue(), ROLE).unwrap();
        let issued = order(&before, NODE, &[NODE]);
        client.issue(&issued).unwrap();
        service.install(&blue(), ROLE, second.generation()).unwrap();
        assert_eq!(service.current(&blue(), ROLE).unwrap().epoch, epoch_1, "known, and not yet the signer");
        // Only whoever knows the current epoch switches.
        let stale = service.switch(&blue(), ROLE, epoch_2, second.version);
        assert!(
            matches!(stale, Err(ServiceError::StaleEpoch { expected, found }) if expected == epoch_1 && found == epoch_2)
        );
        let nobody = service.switch(&blue(), ROLE, epoch_1, CaVersion::new(3).unwrap());
        assert!(matches!(nobody, Err(ServiceError::UnknownGeneration { .. })));
        assert_eq!(service.switch(&blue(), ROLE, epoch_1, second.version).unwrap().epoch, epoch_2);
        for order in [issued, order(&before, NODE, &[NODE])] {
            let Err(ClientError::Refused(Refusal::StaleEpoch { expected, found })) = client.issue(&order) else {
                panic!("not fenced")
            };
            assert_eq!((expected, found), (epoch_2, epoch_1));
        }
        let now = client.current(&blue(), ROLE).unwrap();
        assert_eq!(now.certificate, second.certificate);
        client.issue(&order(&now, NODE, &[NODE])).unwrap();
        before
    };
    let service = bench.empty_service();
    // The one that the log does not name does not sign, though it comes first.
    assert_eq!(service.install(&blue(), ROLE, bench.blue.generation()).unwrap(), None);
    assert!(matches!(service.current(&blue(), ROLE), Err(ServiceError::UnknownGeneration { .. })));
    let told = service.install(&blue(), ROLE, second.generation()).unwrap().unwrap();
    assert_eq!((told.epoch, told.version), (epoch_2, second.version));
    let service = Arc::new(service);
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    let refused = bench.client().issue(&order(&before, NODE, &[NODE]));
    assert!(matches!(refused, Err(ClientError::Refused(Refusal::StaleEpoch { .. }))));
}

fn green() -> ClusterId {
    "green".parse().unwrap()
}

#[test]
fn a_key_that_is_anothers_is_not_installed() {
    let bench = Bench::new();
    let service = bench.service();
    let stolen = Ca::of("green", 2, &bench.blue.key);
    let refused = service.install(&green(), ROLE, stolen.generation());
    assert!(matches!(refused, Err(ServiceError::KeyReuse { cluster, .. }) if cluster == "blue"));
    drop(service);
    // After a restart the log knows whose a key is, and which key a generation has, before anybody says so again.
    let service = bench.empty_service();
    for (cluster, role, version) in
        [("green", ROLE, 2), ("blue", AuthorityRole::Etcd, 1), ("blue", ROLE, 2), ("blue", ROLE, 3)]
    {
        let ca = Ca::of(cluster, version, &bench.blue.key);
        let refused = service.install(&cluster.parse().unwrap(), role, ca.generation());
        assert!(matches!(refused, Err(ServiceError::KeyReuse { version: 1, .. })), "{cluster} {version}: {refused:?}");
    }
    let refused = service.install(&blue(), ROLE, Ca::mint("blue", 1).generation());
    assert!(matches!(refused, Err(ServiceError::OtherKey { .. })));
    // Also of a generation that signs no more.
    service.install(&blue(), ROLE, bench.blue.generation()).unwrap();
    let second = Ca::mint("blue", 2);
    service.install(&blue(), ROLE, second.generation()).unwrap();
    service.switch(&blue(), ROLE, SignerEpoch::FIRST, second.version).unwrap();
    drop(service);
    let service = bench.empty_service();
    let refused = service.install(&green(), ROLE, stolen.generation());
    assert!(matches!(refused, Err(ServiceError::KeyReuse { .. })));
    let refused = service.install(&blue(), ROLE, Ca::mint("blue", 1).generation());
    assert!(matches!(refused, Err(ServiceError::OtherKey { .. })));
    service.install(&blue(), ROLE, bench.blue.generation()).unwrap();
}

#[test]
fn a_cluster_is_added_once_and_a_certificate_is_not_installed_with_another_key() {
    let bench = Bench::new();
    let service = bench.service();
    let config = ClusterConfig::new(blue(), policy()).with_caller(CallerId::new("mallory"));
    assert!(matches!(service.add_cluster(config), Err(ServiceError::ClusterExists(cluster)) if cluster == blue()));
    assert!(matches!(ask(&service, ROLE), Outcome::Certificate(_)), "the callers are those of before");
    let (second, other) = (Ca::mint("blue", 2), Ca::mint("blue", 2));
    let signer = Arc::new(SoftwareKey::from_pem(other.key.as_bytes()).unwrap());
    let refused = service.install(&blue(), ROLE, second.generation_with(signer));
    assert!(matches!(refused, Err(ServiceError::ForeignKey)), "{refused:?}");
    // Neither key is anybody's by it.
    service.install(&blue(), ROLE, other.generation()).unwrap();
}

fn ask(service: &IssuingService, role: AuthorityRole) -> Outcome {
    let (cluster, role, epoch) = ("blue".to_owned(), role.id().to_owned(), SignerEpoch::FIRST);
    let request = Request { sequence: 0, id: request_id(), cluster, role, epoch, ask: serving(NODE, &[NODE]).0 };
    service.answer(&caller(), &[request]).remove(0).outcome
}

#[test]
fn whoever_issues_does_not_wait_for_an_authority_that_is_changed() {
    let bench = Bench::new();
    let service = bench.service();
    let is_answered_within = |role, milliseconds| {
        let (done, told) = mpsc::channel();
        let service = Arc::clone(&service);
        thread::spawn(move || done.send(ask(&service, role)));
        told.recv_timeout(Duration::from_millis(milliseconds))
    };
    let is_answered = |role| is_answered_within(role, 10_000);
    let etcd = Ca::mint("blue", 1);
    // Between the first look at an authority and its entry in the log.
    let install = || service.install(&blue(), AuthorityRole::Etcd, etcd.generation()).unwrap().unwrap();
    let installed = bench.clock.while_held(install, || {
        assert!(matches!(is_answered(ROLE), Ok(Outcome::Certificate(_))));
        // Not before the log has it.
        assert_eq!(is_answered(AuthorityRole::Etcd), Ok(Outcome::Refused(Refusal::UnknownAuthority)));
    });
    assert_eq!(installed.epoch, SignerEpoch::FIRST);
    let second = Ca::mint("blue", 2);
    service.install(&blue(), AuthorityRole::Etcd, second.generation()).unwrap();
    let switch = || service.switch(&blue(), AuthorityRole::Etcd, SignerEpoch::FIRST, second.version).unwrap();
    bench.clock.while_held(switch, || {
        assert!(matches!(is_answered(ROLE), Ok(Outcome::Certificate(_))));
        // The fence: nothing of the epoch before is begun.
        assert!(is_answered_within(AuthorityRole::Etcd, 300).is_err());
    });
}

#[test]
fn what_could_not_be_written_is_not_installed_and_not_switched() {
    let bench = Bench::new();
    let service = bench.service();
    let path = bench.path().join("issuance.log");
    let file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    let second = Ca::mint("blue", 2);
    service.install(&blue(), ROLE, second.generation()).unwrap();
    assert_eq!(file.metadata().unwrap().len(), length, "what does not sign yet is not in the log");
    // The log takes nothing while it is not as it was left.
    file.set_len(length + 1).unwrap();
    let etcd = Ca::mint("blue", 1);
    let refused = service.install(&blue(), AuthorityRole::Etcd, etcd.generation());
    assert!(matches!(refused, Err(ServiceError::Log(_))), "{refused:?}");
    let refused = service.switch(&blue(), ROLE, SignerEpoch::FIRST, second.version);
    assert!(matches!(refused, Err(ServiceError::Log(_))), "{refused:?}");
    file.set_len(length).unwrap();
    // The epoch before is in force, and the key that was not installed is nobody's.
    assert_eq!(service.current(&blue(), ROLE).unwrap().epoch, SignerEpoch::FIRST);
    assert!(matches!(ask(&service, ROLE), Outcome::Certificate(_)));
    assert!(matches!(service.current(&blue(), AuthorityRole::Etcd), Err(ServiceError::UnknownGeneration { .. })));
    assert_eq!(ask(&service, AuthorityRole::Etcd), Outcome::Refused(Refusal::UnknownAuthority));
    service.install(&blue(), AuthorityRole::Etcd, Ca::mint("blue", 2).generation()).unwrap();
    let nobody = service.switch(&blue(), AuthorityRole::Etcd, SignerEpoch::FIRST, CaVersion::FIRST);
    assert!(matches!(nobody, Err(ServiceError::UnknownGeneration { .. })));
    service.install(&green(), AuthorityRole::Etcd, etcd.generation()).unwrap();
    service.switch(&blue(), ROLE, SignerEpoch::FIRST, second.version).unwrap();
    verify_directory(bench.path(), Some(service.head()), |_| {}).unwrap();
}

#[test]
fn under_load_a_switch_is_one_line_in_the_log_and_no_certificate_crosses_it() {
    let bench = Bench::new();
    let service = bench.service();
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    let versions: Vec<_> = (2..=6).map(|version| Ca::mint("blue", version)).collect();
    let is_over = AtomicBool::new(false);
    let issued = thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = bench.client();
                    let (mut issued, mut fenced) = (0, 0);
                    while !is_over.load(Ordering::SeqCst) {
                        let authority = client.current(&blue(), ROLE).unwrap();
                        for _ in 0..4 {
                            match client.issue(&order(&authority, NODE, &[NODE])) {
                                Ok(certificate) => {
                                    let leaf = LeafIdentity::parse(&certificate, &Limits::DEFAULT).unwrap();
                                    assert_eq!(leaf.authority_key_id(), Some(authority.certificate.subject_key_id()));
                                    issued += 1;
                                }
                                Err(ClientError::Refused(Refusal::StaleEpoch { .. })) => fenced += 1,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                    (issued, fenced)
                })
            })
            .collect();
        for ca in &versions {
            crate::support::pause(40);
            let epoch = service.current(&blue(), ROLE).unwrap().epoch;
            service.install(&blue(), ROLE, ca.generation()).unwrap();
            service.switch(&blue(), ROLE, epoch, ca.version).unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        workers.into_iter().map(|worker| worker.join().unwrap().0).sum::<u64>()
    });
    assert!(issued > 0);
    // `verify` refuses a log in which a certificate of one epoch stands after the next one began; each is by that epoch's key.
    let mut key = None;
    let (_, verified) = verify_directory(bench.path(), None, |entry| match entry {
        Entry::Signer { cluster, key: next, .. } if cluster == "blue" => key = Some(next.to_vec()),
        Entry::Issued { certificate, .. } => {
            let leaf = LeafIdentity::parse(certificate, &Limits::DEFAULT).unwrap();
            assert_eq!(leaf.authority_key_id().map(<[u8]>::to_vec), key);
        }
        _ => {}
    })
    .unwrap();
    assert_eq!((verified.issued, verified.signers), (issued, 7));
}
