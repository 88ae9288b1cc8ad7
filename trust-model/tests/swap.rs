//! Bundles and leaves that change while configurations are in use.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise, also in the functions that it shares with others"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/pki.rs"]
mod pki;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/wire.rs"]
mod wire;

use std::sync::Arc;

use pki::{Authority, Leaf, SERVER, bundle, day};
use pki_core::{CaVersion, LeafKind, Limits, Path, SignatureAlgorithm, TrustBundle};
use rustls::client::Resumption;
use rustls::server::NoClientAuth;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, Error, HandshakeKind, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use trust_model::tls::{
    LiveBundle, LiveIdentity, PathClientVerifier, PathServerVerifier, TlsContext, TlsIdentity, client_config,
    server_config,
};
use trust_model::{Decision, Grounds, Peer, Reason, TlsVersion, decide, generation_of};
use wire::{Meeting, TokenKey, clock, meet, provider};

fn context() -> TlsContext {
    TlsContext::new(provider(), clock())
}

fn identity(authority: &Authority, kind: LeafKind) -> TlsIdentity {
    let (certificate, key) = authority.issue(&Leaf::of(kind));
    TlsIdentity::new(vec![certificate], TokenKey::new(SignatureAlgorithm::EcdsaP256Sha256, key)).unwrap()
}

/// An API server and a kubelet whose bundles and leaves stay in hand, and two generations of their authority.
struct Cluster {
    old: Authority,
    new: Authority,
    server_trust: LiveBundle,
    client_trust: LiveBundle,
    serving: LiveIdentity,
    kubelet: LiveIdentity,
    clients: PathClientVerifier,
    servers: PathServerVerifier,
}

impl Cluster {
    fn new() -> Self {
        let (old, new) = (Authority::new("cluster"), Authority::new("cluster"));
        let (server_trust, client_trust) = (LiveBundle::new(old.bundle()), LiveBundle::new(old.bundle()));
        let clients = PathClientVerifier::new(vec![(Path::NodeApi, server_trust.clone())], true, &context()).unwrap();
        Self {
            serving: identity(&old, LeafKind::ApiServer).into(),
            kubelet: identity(&old, LeafKind::KubeletClient).into(),
            servers: PathServerVerifier::new(Path::NodeApi, client_trust.clone(), &context()),
            old,
            new,
            server_trust,
            client_trust,
            clients,
        }
    }

    fn both(&self) -> Arc<TrustBundle> {
        bundle(&[&self.old, &self.new])
    }

    fn server(&self) -> Arc<ServerConfig> {
        let paths = vec![(Path::NodeApi, self.server_trust.clone())];
        Arc::new(server_config(paths, true, self.serving.clone(), Vec::new(), &context()).unwrap())
    }

    fn client(&self) -> Arc<ClientConfig> {
        let (bundle, identity) = (Some(self.client_trust.clone()), Some(self.kubelet.clone()));
        Arc::new(client_config(Path::NodeApi, bundle, identity, &context()).unwrap())
    }

    fn meet(&self, client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Meeting {
        meet(client, server, SERVER)
    }
}

fn chain_of_client(meeting: &Meeting) -> Vec<CertificateDer<'static>> {
    meeting.server.peer_certificates().unwrap().to_vec()
}

const UNKNOWN_ISSUER: Error = Error::InvalidCertificate(CertificateError::UnknownIssuer);

#[test]
fn a_configuration_in_use_takes_up_more_trust_and_new_leaves() {
    let cluster = Cluster::new();
    let (client, server) = (cluster.client(), cluster.server());
    assert!(cluster.meet(&client, &server).served());

    let before = cluster.kubelet.swap(identity(&cluster.new, LeafKind::KubeletClient));
    assert_eq!(cluster.meet(&client, &server).server_error, Some(UNKNOWN_ISSUER));
    let swapped = cluster.server_trust.swap(cluster.both());
    assert_eq!((swapped.added.len(), swapped.retired.len(), swapped.orphaned.len()), (1, 0, 0));
    let meeting = cluster.meet(&client, &server);
    assert!(meeting.served(), "{}", meeting.why());
    assert_eq!(chain_of_client(&meeting), cluster.kubelet.load().chain());

    // And back again.
    let _newer = cluster.kubelet.swap(before);
    assert!(cluster.meet(&client, &server).served());

    cluster.serving.swap(identity(&cluster.new, LeafKind::ApiServer));
    assert_eq!(cluster.meet(&client, &server).client_error, Some(UNKNOWN_ISSUER));
    let _ = cluster.client_trust.swap(cluster.both());
    let meeting = cluster.meet(&client, &server);
    assert!(meeting.served(), "{}", meeting.why());
    assert_eq!(meeting.client.peer_certificates(), Some(cluster.serving.load().chain()));
}

#[test]
fn whoever_retires_an_anchor_learns_which_connections_stood_on_it() {
    let cluster = Cluster::new();
    let (client, server) = (cluster.client(), cluster.server());
    let old = cluster.clients.admit(&chain_of_client(&cluster.meet(&client, &server)), day(0)).unwrap();
    assert_eq!(old.path, Path::NodeApi);
    assert!(cluster.server_trust.swap(cluster.both()).orphaned.is_empty());
    assert!(!old.connection.is_orphaned());

    cluster.kubelet.swap(identity(&cluster.new, LeafKind::KubeletClient));
    let new = cluster.clients.admit(&chain_of_client(&cluster.meet(&client, &server)), day(0)).unwrap();
    let gone = cluster.clients.admit(&chain_of_client(&cluster.meet(&client, &server)), day(0)).unwrap();
    drop(gone);
    assert_eq!(cluster.server_trust.connections(), 2);

    let swapped = cluster.server_trust.swap(cluster.new.bundle());
    assert_eq!(swapped.orphaned, [old.connection.id()]);
    assert_eq!(swapped.retired, [old.connection.anchor()]);
    assert!(swapped.added.is_empty());
    assert!(old.connection.is_orphaned() && !new.connection.is_orphaned());
    assert_eq!(cluster.server_trust.connections(), 1);
    // It is told once.
    assert!(cluster.server_trust.swap(cluster.new.bundle()).orphaned.is_empty());
}

#[test]
fn a_client_learns_which_servers_it_no_longer_trusts() {
    let cluster = Cluster::new();
    let meeting = cluster.meet(&cluster.client(), &cluster.server());
    let chain = meeting.client.peer_certificates().unwrap();
    let dialled = ServerName::try_from(SERVER).unwrap();
    let admitted = cluster.servers.admit(chain, &dialled, day(0)).unwrap();
    let swapped = cluster.client_trust.swap(cluster.new.bundle());
    assert_eq!(swapped.orphaned, [admitted.connection.id()]);
    let denial = cluster.servers.admit(chain, &dialled, day(0)).unwrap_err();
    assert_eq!(denial.reasons()[0].code(), "chain.unknown_issuer");
}

/// The handshake ended under a bundle that is no longer the one of now.
#[test]
fn a_connection_that_began_before_a_swap_is_judged_after_it() {
    let cluster = Cluster::new();
    let chain = chain_of_client(&cluster.meet(&cluster.client(), &cluster.server()));
    let _ = cluster.server_trust.swap(cluster.new.bundle());
    let denied = cluster.clients.admit(&chain, day(0)).unwrap_err();
    assert_eq!(denied.denials()[0].reasons()[0].code(), "chain.unknown_issuer");
    assert_eq!(cluster.server_trust.connections(), 0);
}

/// A client as `rustls` sets it up by itself, which keeps sessions.
fn eager_client(cluster: &Cluster, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let verifier = PathServerVerifier::new(Path::NodeApi, cluster.client_trust.clone(), &context());
    let mut config = ClientConfig::builder_with_details(provider(), clock())
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(cluster.kubelet.clone()));
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

/// A server as `rustls` sets it up by itself, which resumes them.
fn eager_server(cluster: &Cluster, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let serving = SingleCertAndKey::from(Arc::clone(cluster.serving.load().certified_key()));
    let config = ServerConfig::builder_with_details(provider(), clock())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(Arc::new(NoClientAuth))
        .with_cert_resolver(Arc::new(serving));
    Arc::new(config)
}

#[test]
fn a_client_with_a_session_of_a_retired_ca_is_refused() {
    for version in [&TLS12, &TLS13] {
        let cluster = Cluster::new();
        let (client, server) = (eager_client(&cluster, version), cluster.server());
        for _ in 0..2 {
            let meeting = cluster.meet(&client, &server);
            assert!(meeting.served(), "{}", meeting.why());
            assert_eq!(meeting.server.handshake_kind(), Some(HandshakeKind::Full));
        }
        let _ = cluster.server_trust.swap(cluster.new.bundle());
        assert_eq!(cluster.meet(&client, &server).server_error, Some(UNKNOWN_ISSUER));
    }
}

#[test]
fn a_server_with_a_session_of_a_retired_ca_is_refused() {
    for version in [&TLS12, &TLS13] {
        let cluster = Cluster::new();
        let (client, server) = (cluster.client(), eager_server(&cluster, version));
        for _ in 0..2 {
            let meeting = cluster.meet(&client, &server);
            assert!(meeting.served(), "{}", meeting.why());
        }
        let _ = cluster.client_trust.swap(cluster.new.bundle());
        assert_eq!(cluster.meet(&client, &server).client_error, Some(UNKNOWN_ISSUER));
    }
    // The danger is real: a client that keeps sessions goes on with the retired server.
    let cluster = Cluster::new();
    let (client, server) = (eager_client(&cluster, &TLS13), eager_server(&cluster, &TLS13));
    assert!(cluster.meet(&client, &server).served());
    let _ = cluster.client_trust.swap(cluster.new.bundle());
    let meeting = cluster.meet(&client, &server);
    assert!(meeting.served(), "{}", meeting.why());
    assert_eq!(meeting.client.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn tls_1_2_is_spoken_unless_1_3_alone_was_chosen() {
    let cluster = Cluster::new();
    let strict = context().with_tls13_only();
    let paths = vec![(Path::NodeApi, cluster.server_trust.clone())];
    let server = Arc::new(server_config(paths, true, cluster.serving.clone(), Vec::new(), &strict).unwrap());
    assert!(cluster.meet(&cluster.client(), &server).served());
    assert!(!cluster.meet(&eager_client(&cluster, &TLS12), &server).served());
    assert!(cluster.meet(&eager_client(&cluster, &TLS12), &cluster.server()).served());
}

#[test]
fn a_decision_tells_of_the_version_of_tls_and_of_the_generation() {
    let cluster = Cluster::new();
    let (certificate, _) = cluster.old.issue(&Leaf::of(LeafKind::KubeletClient));
    let generation = |number, authority: &Authority| {
        let certificate = pki_core::CaCertificate::parse(authority.certificate().clone()).unwrap();
        (CaVersion::new(number).unwrap(), certificate)
    };
    let bundle = TrustBundle::of_generations([generation(1, &cluster.old), generation(2, &cluster.new)]).unwrap();
    let algorithms = provider().signature_verification_algorithms;
    let grounds = |minimum, wanted: Option<u32>| Grounds {
        bundle: &bundle,
        limits: &Limits::DEFAULT,
        verifiers: pki_core::verify::Verifiers::new(algorithms.all),
        minimum,
        generation: wanted.map(|number| CaVersion::new(number).unwrap()),
    };
    let judge = |tls, grounds: &Grounds<'_>| {
        decide(Path::NodeApi, Peer::Client, std::slice::from_ref(&certificate), tls, grounds, day(0))
    };
    let reasons = |decision: &Decision| -> Vec<String> {
        decision.denial().map(|denial| denial.reasons().iter().map(Reason::to_string).collect()).unwrap_or_default()
    };

    let allowed = judge(Some(TlsVersion::Tls13), &grounds(TlsVersion::Tls13, Some(1))).into_result().unwrap();
    assert_eq!(generation_of(&bundle, &allowed).map(CaVersion::number), Some(1));
    let denied = judge(Some(TlsVersion::Tls12), &grounds(TlsVersion::Tls13, Some(2)));
    assert_eq!(
        reasons(&denied),
        ["expected TLS 1.3 or newer, found TLS 1.2", "expected a leaf of CAVersion 2, found one of 1"]
    );
    let ancient = judge(None, &grounds(TlsVersion::Tls12, None));
    assert_eq!(reasons(&ancient), ["expected TLS 1.2 or newer, found an older one"]);
    // Beside whatever else there is.
    let nobody = decide(Path::NodeApi, Peer::Client, &[], None, &grounds(TlsVersion::Tls12, None), day(0));
    assert_eq!(reasons(&nobody), ["no certificate was presented", "expected TLS 1.2 or newer, found an older one"]);
}
