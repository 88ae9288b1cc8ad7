//! One connection: the decision beside the bare validation of the chain, and the handshake beside the one of `rustls`.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use std::hint::black_box;
use std::sync::Arc;

use benches::ratio;
use criterion::{Criterion, criterion_group, criterion_main};
use pki_core::verify::Verifiers;
use pki_core::{LeafKind, Limits, Path, TrustBundle};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, RootCertStore, ServerConfig, ServerConnection, SideData,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use time::{Duration, OffsetDateTime, UtcDateTime};
use trust_model::tls::{PathClientVerifier, PathServerVerifier, TlsContext};
use trust_model::{Decision, decide_client, decide_server};
use webpki::{EndEntityCert, KeyUsage};

const NOW: i64 = 1_767_225_600;
const SERVER: &str = "kubernetes.default.svc";

fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).expect("2026")
}

fn unix_now() -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW.try_into().expect("after 1970")))
}

#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_now())
    }
}

fn params(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = OffsetDateTime::from(now() - Duration::DAY);
    params.not_after = OffsetDateTime::from(now() + Duration::days(364));
    params.use_authority_key_identifier_extension = true;
    params
}

/// A kubelet and an API server under one P-256 authority, with P-256 keys.
struct Pair {
    root: CertificateDer<'static>,
    bundle: Arc<TrustBundle>,
    anchor: TrustAnchor<'static>,
    kubelet: (CertificateDer<'static>, KeyPair),
    api_server: (CertificateDer<'static>, KeyPair),
}

impl Pair {
    fn new() -> Self {
        let mut root = params("kubernetes", None);
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let der = root.self_signed(&key).expect("a root").der().clone();
        let issuer = Issuer::new(root, key);
        let issue = |kind: LeafKind, purpose, names: &[&str]| {
            let node = "node-1".parse().expect("a name");
            let subject = kind.subject(None).or_else(|| kind.subject(Some(&node))).expect("a subject");
            let mut params = params(subject.common_name(), subject.organizations().first().map(String::as_str));
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![purpose];
            params.subject_alt_names =
                names.iter().map(|name| SanType::DnsName((*name).try_into().expect("a name"))).collect();
            let key = KeyPair::generate().expect("a key");
            (params.signed_by(&key, &issuer).expect("a leaf").der().clone(), key)
        };
        Self {
            bundle: Arc::new(TrustBundle::from_der([der.clone()], &Limits::DEFAULT).expect("a bundle")),
            anchor: webpki::anchor_from_trusted_cert(&der).expect("an anchor").to_owned(),
            kubelet: issue(LeafKind::KubeletClient, ExtendedKeyUsagePurpose::ClientAuth, &[]),
            api_server: issue(LeafKind::ApiServer, ExtendedKeyUsagePurpose::ServerAuth, &[SERVER, "kubernetes"]),
            root: der,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn decision(criterion: &mut Criterion) {
    let pair = Pair::new();
    let algorithms = provider().signature_verification_algorithms;
    let verifiers = Verifiers::new(algorithms.all);
    let dialled = ServerName::try_from(SERVER).expect("a name");
    let bare = |leaf: &CertificateDer<'static>, usage: KeyUsage| {
        let certificate = EndEntityCert::try_from(leaf).expect("a leaf");
        let anchors = std::slice::from_ref(&pair.anchor);
        certificate
            .verify_for_usage(algorithms.all, anchors, &[], unix_now(), usage, None, None)
            .map(drop)
            .expect("a chain");
    };
    let bare_client = || bare(&pair.kubelet.0, KeyUsage::client_auth());
    let bare_server = || {
        bare(&pair.api_server.0, KeyUsage::server_auth());
        let certificate = EndEntityCert::try_from(&pair.api_server.0).expect("a leaf");
        certificate.verify_is_valid_for_subject_name(&dialled).expect("its name");
    };
    let client = || {
        let chain = std::slice::from_ref(&pair.kubelet.0);
        let decision = decide_client(Path::NodeApi, chain, &pair.bundle, &Limits::DEFAULT, verifiers, now());
        assert!(matches!(decision, Decision::Allow(_)), "the kubelet is let in");
        decision
    };
    let server = || {
        let chain = std::slice::from_ref(&pair.api_server.0);
        let decision = decide_server(Path::NodeApi, chain, &dialled, &pair.bundle, &Limits::DEFAULT, verifiers, now());
        assert!(matches!(decision, Decision::Allow(_)), "the API server is known");
        decision
    };
    let mut group = criterion.benchmark_group("decision");
    group.bench_function("bare-client", |bencher| bencher.iter(bare_client));
    group.bench_function("decide-client", |bencher| bencher.iter(client));
    group.bench_function("bare-server", |bencher| bencher.iter(bare_server));
    group.bench_function("decide-server", |bencher| bencher.iter(server));
    group.finish();
    ratio("decision/decide-client over bare-client", 50, bare_client, client);
    ratio("decision/decide-server over bare-server", 50, bare_server, server);
}

/// Carries what one end has to say to the other.
fn carry<A: SideData, B: SideData>(from: &mut ConnectionCommon<A>, to: &mut ConnectionCommon<B>, wire: &mut Vec<u8>) {
    while from.wants_write() {
        from.write_tls(wire).expect("memory takes everything");
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).expect("memory gives everything");
        to.process_new_packets().expect("both ends are let in");
    }
    wire.clear();
}

/// A whole handshake, both ends in this process.
fn meet(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, dialled: &ServerName<'static>) -> ServerConnection {
    let mut wire = Vec::with_capacity(4096);
    let mut client = ClientConnection::new(Arc::clone(client), dialled.clone()).expect("a client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
    while client.wants_write() || server.wants_write() {
        carry(&mut client, &mut server, &mut wire);
        carry(&mut server, &mut client, &mut wire);
    }
    assert!(!client.is_handshaking() && !server.is_handshaking(), "the handshake is over");
    server
}

fn resolver(provider: &CryptoProvider, (leaf, key): &(CertificateDer<'static>, KeyPair)) -> Arc<SingleCertAndKey> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let certified = CertifiedKey::from_der(vec![leaf.clone()], key, provider).expect("a key of the leaf");
    Arc::new(SingleCertAndKey::from(certified))
}

/// Both with the same keys, of the provider itself, and without resumption: the verifiers alone differ.
fn handshake(criterion: &mut Criterion) {
    let pair = Pair::new();
    let provider = provider();
    let context = TlsContext::new(Arc::clone(&provider), Arc::new(Clock));
    let dialled = ServerName::try_from(SERVER).expect("a name");
    let mut roots = RootCertStore::empty();
    roots.add(pair.root.clone()).expect("a root");
    let roots = Arc::new(roots);

    let client_of = |verifier| {
        let mut config = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(Clock))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(resolver(&provider, &pair.kubelet));
        config.resumption = Resumption::disabled();
        Arc::new(config)
    };
    let server_of = |verifier: Arc<dyn ClientCertVerifier>| {
        let mut config = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(Clock))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver(&provider, &pair.api_server));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    };
    let their_client = client_of(
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build().expect("roots"),
    );
    let their_server =
        server_of(WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().expect("roots"));
    let our_client = client_of(Arc::new(PathServerVerifier::new(Path::NodeApi, pair.bundle.clone().into(), &context)));
    let paths = vec![(Path::NodeApi, pair.bundle.clone().into())];
    let our_server = server_of(Arc::new(PathClientVerifier::new(paths, true, &context).expect("a path")));

    let theirs = || meet(&their_client, &their_server, &dialled);
    let ours = || meet(&our_client, &our_server, &dialled);
    let mut group = criterion.benchmark_group("handshake");
    group.bench_function("rustls", |bencher| bencher.iter(|| black_box(theirs())));
    group.bench_function("path", |bencher| bencher.iter(|| black_box(ours())));
    group.finish();
    ratio("handshake/path over rustls", 10, theirs, ours);
}

criterion_group!(benches, decision, handshake);
criterion_main!(benches);
