//! The service over TCP: a client certificate says who asks.

use std::net::TcpListener;
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
use signer_hsm::service::protocol::Welcome;
use signer_hsm::service::{Client, Server};

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

#[test]
fn a_client_certificate_says_who_asks_and_without_one_nobody_does() {
    let (bench, machines) = (Bench::new(), Ca::mint("machines", 1));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(&machines), Arc::clone(&provider)).build().unwrap();
    let (chain, key) = leaf(&machines, LeafKind::KubeletServing, "service", &["service.example"]);
    let config = rustls::ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(TestDay))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let service = bench.service();
    let mut limits = ServerLimits::DEFAULT;
    limits.frame_deadline = Duration::from_secs(5);
    limits.strangers_max = 2;
    let server = Server::issuing(service, limits);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    server
        .listen_tls(listener, Arc::new(config), |certificate| {
            let identity = LeafIdentity::parse(certificate, &Limits::DEFAULT).ok()?;
            (identity.subject().common_name() == "system:node:cp-0").then(caller)
        })
        .unwrap();

    let client_of = |ca: Option<&Ca>, node: &str| {
        let builder = rustls::ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(TestDay))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&machines));
        let config = match ca {
            Some(ca) => {
                let (chain, key) = leaf(ca, LeafKind::KubeletClient, node, &[]);
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let endpoint = Endpoint::Tls { address, name: "service.example".try_into().unwrap(), config: Arc::new(config) };
        let clock: Arc<dyn Clock> = Arc::<crate::support::TestClock>::clone(&bench.clock);
        Client::new(endpoint, clock, aws_lc_rs(), Duration::from_secs(10))
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
    let crowd: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    crate::support::pause(200);
    client_of(Some(&machines), "cp-0").current(&blue(), ROLE).unwrap();
    assert!(server.connections() <= 2 + 2 * limits.strangers_max, "{}", server.connections());
    drop(crowd);
    // Whoever says nothing is not waited for.
    let silent = std::net::TcpStream::connect(address).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(matches!(std::io::Read::read(&mut &silent, &mut [0; 8]), Ok(0)), "a silent peer is kept");
    client.issue(&order(&authority, NODE, &[NODE])).unwrap();
    assert_eq!(server.drain(Duration::from_secs(5)).cut_off, 0);
}
