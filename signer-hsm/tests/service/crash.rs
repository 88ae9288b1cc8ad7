//! A service that is killed in the middle of its work, again and again, and one that works for long.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pki_core::KeyAlgorithm;
use signer_hsm::SoftwareKey;
use signer_hsm::service::client::{ClientError, Order};
use signer_hsm::service::limits::ServerLimits;
use signer_hsm::service::log::{Entry, verify_directory};

use crate::support::{Bench, Ca, NODE, ROLE, blue, order, pause, request_id, serving_with};

const DIRECTORY: &str = "CAROUSEL_TEST_SERVICE";

/// The service that is killed: the same test binary, asked for this test alone.
#[test]
#[ignore = "begun by another test, as a process of its own"]
#[expect(clippy::disallowed_methods, reason = "the process is told its directory by its environment")]
fn serve_until_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let mut bench = Bench::new();
    let key = std::fs::read_to_string(format!("{directory}/key.pem")).unwrap();
    let certificate = std::fs::read(format!("{directory}/ca.der")).unwrap();
    let certificate = pki_core::CaCertificate::parse(certificate.into()).unwrap();
    bench.blue = Ca { version: pki_core::CaVersion::FIRST, certificate, key };
    let config = crate::support::config(&bench.clock, signer_hsm::service::log::Durability::Written);
    let service = signer_hsm::service::IssuingService::open(directory.as_ref(), config).unwrap();
    let cluster = signer_hsm::service::ClusterConfig::new(blue(), crate::support::policy());
    let cluster = cluster.with_caller(crate::support::caller()).with_rate(crate::support::plenty());
    service.add_cluster(cluster).unwrap();
    service.install(&blue(), ROLE, bench.blue.generation()).unwrap();
    let server = signer_hsm::service::Server::issuing(std::sync::Arc::new(service), ServerLimits::DEFAULT);
    let peers =
        signer_hsm::service::server::Peers::new().with_user(crate::support::own_uid(), crate::support::caller());
    server.listen_unix(format!("{directory}/socket").as_ref(), 0o600, peers).unwrap();
    loop {
        pause(60_000);
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // SIGKILL.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn begin(bench: &Bench) -> Killed {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::serve_until_killed", "--ignored", "--nocapture"])
        .env(DIRECTORY, bench.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let killed = Killed(child);
    for _ in 0..1000 {
        if bench.client().current(&blue(), ROLE).is_ok() {
            return killed;
        }
        pause(10);
    }
    panic!("the service does not begin");
}

#[test]
fn killed_at_any_moment_it_has_given_out_nothing_that_the_log_does_not_name() {
    let bench = Bench::new();
    std::fs::write(bench.path().join("key.pem"), &bench.blue.key).unwrap();
    std::fs::write(bench.path().join("ca.der"), bench.blue.certificate.der()).unwrap();
    let key = SoftwareKey::generate(KeyAlgorithm::P256).unwrap();
    let mut answered: Vec<(Order, Vec<u8>)> = Vec::new();
    let mut unanswered: Vec<Order> = Vec::new();
    for round in 0..8 {
        let service = begin(&bench);
        let mut client = bench.client().with_attempts(1);
        let authority = client.current(&blue(), ROLE).unwrap();
        // What was given out before is given out again, and what was not answered is answered now.
        for (order, certificate) in answered.iter().rev().take(20) {
            assert_eq!(client.issue(order).unwrap().as_ref(), certificate);
        }
        for order in unanswered.drain(..) {
            let certificate = client.issue(&order).unwrap();
            assert_eq!(client.issue(&order).unwrap(), certificate);
            answered.push((order, certificate.to_vec()));
        }
        let killer = std::thread::spawn(move || {
            pause(30 + 17 * round);
            drop(service);
        });
        loop {
            let mut is_over = false;
            let orders: Vec<_> = (0..32)
                .map(|_| {
                    let (ask, expected) = serving_with(&key, NODE, &[NODE]);
                    Order::new(request_id(), blue(), ROLE, &authority, ask, expected)
                })
                .collect();
            let results = client.issue_all(&orders);
            for (order, result) in orders.into_iter().zip(results) {
                match result {
                    Ok(certificate) => answered.push((order, certificate.to_vec())),
                    Err(ClientError::OutcomeUnknown { .. } | ClientError::Unavailable(_)) => {
                        is_over = true;
                        unanswered.push(order);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            if is_over {
                break;
            }
        }
        killer.join().unwrap();
        let mut named: HashMap<Vec<u8>, u32> = HashMap::new();
        verify_directory(bench.path(), None, |entry| {
            if let Entry::Issued { certificate, .. } = entry {
                *named.entry(certificate.clone()).or_default() += 1;
            }
        })
        .unwrap();
        for (_, certificate) in &answered {
            assert_eq!(named.get(certificate), Some(&1), "an answer that the log does not name once");
        }
    }
    assert!(answered.len() > 100 && !unanswered.is_empty(), "{} {}", answered.len(), unanswered.len());
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// So many certificates, and how the memory of the process grew after the first tenth.
fn sustain(certificates: usize) -> u64 {
    let bench = Bench::new();
    let service = {
        let config = crate::support::config(&bench.clock, bench.durability).remembering(1000);
        let service = signer_hsm::service::IssuingService::open(bench.path(), config).unwrap();
        let cluster = signer_hsm::service::ClusterConfig::new(blue(), crate::support::policy());
        let cluster = cluster.with_caller(crate::support::caller()).with_rate(crate::support::plenty());
        service.add_cluster(cluster).unwrap();
        service.install(&blue(), ROLE, bench.blue.generation()).unwrap();
        std::sync::Arc::new(service)
    };
    let server = bench.server(&service, ServerLimits::DEFAULT);
    let mut client = bench.client();
    let authority = client.current(&blue(), ROLE).unwrap();
    let key = SoftwareKey::generate(KeyAlgorithm::P256).unwrap();
    let (ask, expected) = serving_with(&key, NODE, &[NODE]);
    let mut early = 0;
    for batch in 0..certificates / 100 {
        let orders: Vec<_> = (0..100)
            .map(|_| Order::new(request_id(), blue(), ROLE, &authority, ask.clone(), expected.clone()))
            .collect();
        assert!(client.issue_all(&orders).iter().all(Result::is_ok));
        if batch == certificates / 1000 {
            early = resident_kib();
        }
    }
    let late = resident_kib();
    server.drain(Duration::from_secs(5));
    drop(service);
    let (_, verified) = verify_directory(bench.path(), None, |_| {}).unwrap();
    assert_eq!(verified.issued, u64::try_from(certificates).unwrap());
    println!("{certificates} certificates: {early} KiB resident after a tenth, {late} KiB at the end");
    late.saturating_sub(early)
}

#[test]
fn memory_does_not_grow_with_what_was_issued() {
    // Other tests run in this process too.
    assert!(sustain(5_000) < 64 << 10);
}

#[test]
#[ignore = "takes several minutes: run it alone, with --release"]
fn a_million_certificates_take_no_more_memory_than_the_first_hundred_thousand() {
    assert!(sustain(1_000_000) < 4 << 10);
}

#[test]
fn an_order_survives_the_end_of_its_connection() {
    let bench = Bench::new();
    let service = bench.service();
    let server = bench.server(&service, ServerLimits::DEFAULT);
    let mut client = bench.client();
    let authority = client.current(&blue(), ROLE).unwrap();
    let order = order(&authority, NODE, &[NODE]);
    let certificate = client.issue(&order).unwrap();
    server.drain(Duration::from_secs(5));
    let _server = bench.server(&service, ServerLimits::DEFAULT);
    // The connection that it had is gone: it makes another.
    assert_eq!(client.issue(&order).unwrap(), certificate);
}
