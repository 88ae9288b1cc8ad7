//! One signer after another: nothing of a retired one, whenever the switch comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pki_core::{CaVersion, LeafIdentity, Limits};
use signer_hsm::service::ServiceError;
use signer_hsm::service::client::ClientError;
use signer_hsm::service::epoch::SignerEpoch;
use signer_hsm::service::limits::ServerLimits;
use signer_hsm::service::log::{Entry, verify_directory};
use signer_hsm::service::protocol::Refusal;

use crate::support::{Bench, Ca, NODE, ROLE, blue, order};

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

#[test]
fn a_key_that_is_anothers_is_not_installed() {
    let bench = Bench::new();
    let service = bench.service();
    let stolen = Ca::of("green", 2, &bench.blue.key);
    let refused = service.install(&"green".parse().unwrap(), ROLE, stolen.generation());
    assert!(matches!(refused, Err(ServiceError::Key(_))));
    drop(service);
    // After a restart the log knows which key the generation has.
    let service = bench.empty_service();
    let refused = service.install(&blue(), ROLE, Ca::mint("blue", 1).generation());
    assert!(matches!(refused, Err(ServiceError::OtherKey(_))));
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
