//! The service over TCP: a client certificate says who asks.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use getrandom::SysRng;
use pki_core::verify::aws_lc_rs;
use pki_core::{
    Approval, CertificationRequest, KeyAlgorithm, LeafIdentity, LeafKind, Limits, NodeName, Serial, SubjectAltName,
    create_request,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use signer_hsm::ExportableKey;
use signer_hsm::service::client::{ClientError, Endpoint};
use signer_hsm::service::limits::{Clock, ServerLimits};
use signer_hsm::service::protocol::{Hello, Service, Welcome, push_frame};
use signer_hsm::service::{CallerId, Client, Server};

use crate::support::{Bench, Ca, NODE, ROLE, START, blue, caller, order};

#[derive(Debug)]
struct TestDay;

impl rustls::time_provider::TimeProvider for TestDay {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(START.unsigned_abs())))
    }
}

fn leaf(ca: &Ca, kind: LeafKind, node: &str, names: &[&str]) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = ExportableKey::generate(KeyAlgorithm::P256).unwrap();
    let node: NodeName = node.parse().unwrap();
    let names: Vec<_> = names.iter().map(|name| SubjectAltName::dns(name).unwrap()).collect();
    let csr = create_request(&kind.subject(Some(&node)).unwrap(), &names, key.signer()).unwrap();
    let request = CertificationRequest::parse(&csr, &Limits::DEFAULT).unwrap().verify(aws_lc_rs()).unwrap();
    let approval = Approval::new(time::Duration::days(1)).for_node(node).with_names(names);
    let issuer = pki_core::Issuer::new(ca.certificate.clone(), [kind]).unwrap();
    let now = time::UtcDateTime::from_unix_timestamp(START).unwrap();
    let prepared = issuer.prepare(kind, request, &approval, Serial::generate(&mut SysRng).unwrap(), now).unwrap();
    let signer = signer_hsm::SoftwareKey::from_pem(ca.key.as_bytes()).unwrap();
    let issued = prepared.sign(&signer, aws_lc_rs()).unwrap();
    (vec![issued.der().clone()], PrivateKeyDer::from_pem_slice(key.to_pem().as_bytes()).unwrap())
}

fn roots(ca: &Ca) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate.der().clone()).unwrap();
    Arc::new(roots)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server_config(machines: &Ca) -> Arc<rustls::ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(machines), provider()).build().unwrap();
    let (chain, key) = leaf(machines, LeafKind::KubeletServing, "service", &["service.example"]);
    let config = rustls::ServerConfig::builder_with_details(provider(), Arc::new(TestDay))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

fn client_config(machines: &Ca, own: Option<(&Ca, &str)>) -> Arc<rustls::ClientConfig> {
    let builder = rustls::ClientConfig::builder_with_details(provider(), Arc::new(TestDay))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(machines));
    Arc::new(match own {
        Some((ca, node)) => {
            let (chain, key) = leaf(ca, LeafKind::KubeletClient, node, &[]);
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    })
}

fn named(certificate: &CertificateDer<'_>) -> Option<CallerId> {
    let identity = LeafIdentity::parse(certificate, &Limits::DEFAULT).ok()?;
    (identity.subject().common_name() == "system:node:cp-0").then(caller)
}

fn client(bench: &Bench, address: SocketAddr, config: Arc<rustls::ClientConfig>, deadline: Duration) -> Client {
    let endpoint = Endpoint::Tls { address, name: "service.example".try_into().unwrap(), config };
    let clock: Arc<dyn Clock> = Arc::<crate::support::TestClock>::clone(&bench.clock);
    Client::new(endpoint, clock, aws_lc_rs(), deadline)
}

#[test]
fn a_client_certificate_says_who_asks_and_without_one_nobody_does() {
    let (bench, machines) = (Bench::new(), Ca::mint("machines", 1));
    let service = bench.service();
    let mut limits = ServerLimits::DEFAULT;
    limits.frame_deadline = Duration::from_secs(5);
    limits.strangers_max = 2;
    let server = Server::issuing(service, limits);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    server.listen_tls(listener, server_config(&machines), named).unwrap();

    let client_of = |ca: Option<&Ca>, node: &str| {
        let config = client_config(&machines, ca.map(|ca| (ca, node)));
        client(&bench, address, config, Duration::from_secs(10))
    };
    let mut client = client_of(Some(&machines), "cp-0");
    let authority = client.current(&blue(), ROLE).unwrap();
    let orders: Vec<_> = (0..100).map(|_| order(&authority, NODE, &[NODE])).collect();
    assert!(client.issue_all(&orders).iter().all(Result::is_ok));
    // A machine that is known and no caller, one of another CA, and one without a certificate.
    let error = client_of(Some(&machines), "cp-1").current(&blue(), ROLE).unwrap_err();
    assert!(matches!(error, ClientError::TurnedAway(Welcome::Denied)), "{error}");
    for stranger in [client_of(Some(&Ca::mint("others", 1)), "cp-0"), client_of(None, "cp-0")] {
        let mut stranger = stranger;
        let error = stranger.current(&blue(), ROLE).unwrap_err();
        assert!(matches!(error, ClientError::Unavailable(_)), "{error}");
    }
    // Many that say nothing have no room but their own: whoever proves who he is comes in between.
    let crowd: Vec<_> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    crate::support::pause(200);
    client_of(Some(&machines), "cp-0").current(&blue(), ROLE).unwrap();
    assert!(server.connections() <= 2 + 2 * limits.strangers_max, "{}", server.connections());
    drop(crowd);
    // Whoever says nothing is not waited for.
    let silent = TcpStream::connect(address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(matches!((&silent).read(&mut [0; 8]), Ok(0)), "a silent peer is kept");
    client.issue(&order(&authority, NODE, &[NODE])).unwrap();
    assert_eq!(server.drain(Duration::from_secs(5)).cut_off, 0);
}

const LONG: Duration = Duration::from_secs(3);

/// Sends an octet now and then, until the other end is gone.
fn trickle(mut stream: TcpStream, octets: Vec<u8>) {
    std::thread::spawn(move || {
        for octet in octets {
            if stream.write_all(&[octet]).is_err() {
                return;
            }
            crate::support::pause(30);
        }
    });
}

/// Whether the other end ends the connection before long.
fn is_ended(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut sink = [0; 1024];
    loop {
        match stream.read(&mut sink) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn an_octet_at_a_time_keeps_no_connection_longer_than_a_frame_may_take() {
    let (bench, machines) = (Bench::new(), Ca::mint("machines", 1));
    let mut limits = ServerLimits::DEFAULT;
    limits.frame_deadline = Duration::from_millis(500);
    let server = Server::issuing(bench.service(), limits);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    server.listen_tls(listener, server_config(&machines), named).unwrap();

    let name = || "service.example".try_into().unwrap();
    let config = client_config(&machines, Some((&machines, "cp-0")));
    // The handshake.
    let mut tls = rustls::ClientConnection::new(Arc::clone(&config), name()).unwrap();
    let (stream, mut hello) = (TcpStream::connect(address).unwrap(), Vec::new());
    tls.write_tls(&mut hello).unwrap();
    trickle(stream.try_clone().unwrap(), hello);
    assert!(is_ended(stream), "a handshake is waited for");

    // A frame in one record, of which nothing can be read until it is whole.
    let mut tls = rustls::ClientConnection::new(Arc::clone(&config), name()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut said = Vec::new();
    push_frame(&mut said, &Hello::new(Service::Issuing, Welcome::Ready).encode());
    let mut open = rustls::Stream::new(&mut tls, &mut stream);
    open.write_all(&said).unwrap();
    open.read_exact(&mut said).unwrap();
    let mut record = Vec::new();
    tls.writer().write_all(&[&1000_u32.to_be_bytes()[..], &[0; 1000]].concat()).unwrap();
    tls.write_tls(&mut record).unwrap();
    trickle(stream.try_clone().unwrap(), record);
    assert!(is_ended(stream), "a record is waited for");

    // And the other way round.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = listener.local_addr().unwrap();
    let trickled = std::thread::spawn(move || {
        let record = [&[22, 3, 3, 0x20, 0][..], &[0; 0x2000]].concat();
        trickle(listener.accept().unwrap().0, record);
    });
    let began = bench.clock.monotonic();
    let error = client(&bench, slow, config, limits.frame_deadline).current(&blue(), ROLE).unwrap_err();
    assert!(matches!(error, ClientError::Unavailable(_)), "{error}");
    assert!(bench.clock.monotonic() - began < LONG, "a service is waited for");
    trickled.join().unwrap();
}
