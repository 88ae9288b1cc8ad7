//! Handshakes of real `rustls` clients and servers, in which the rule of a path decides.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise, also in the functions that it shares with others"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/pki.rs"]
mod pki;
#[path = "support/wire.rs"]
mod wire;

use std::sync::Arc;

use pki::{Authority, Leaf, NOW, SERVER, bundle, day};
use pki_core::{
    ClientCredential, DnsName, ExtendedKeyUsage, LeafKind, Path, RustlsSigner, SignErrorKind, SignatureAlgorithm,
    TrustBundle,
};
use rcgen::KeyPair;
use rustls::client::Resumption;
use rustls::server::NoClientAuth;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, HandshakeKind, ProtocolVersion, ServerConfig,
    SupportedProtocolVersion,
};
use rustls_pki_types::CertificateDer;
use trust_model::tls::{
    ClientDenied, ConfigError, IdentityError, LiveBundle, LiveIdentity, PathClientVerifier, PathServerVerifier,
    TlsContext, TlsIdentity, client_config, server_config,
};
use trust_model::{PathRule, Reason, ServerRule};
use wire::{Clock, Meeting, TokenKey, clock, meet, provider};

fn identity(authority: &Authority, leaf: &Leaf) -> TlsIdentity {
    let (certificate, key) = authority.issue(leaf);
    TlsIdentity::new(vec![certificate], TokenKey::new(SignatureAlgorithm::EcdsaP256Sha256, key)).unwrap()
}

fn context() -> TlsContext {
    TlsContext::new(provider(), clock())
}

fn live(paths: Vec<(Path, Arc<TrustBundle>)>) -> Vec<(Path, LiveBundle)> {
    paths.into_iter().map(|(path, bundle)| (path, bundle.into())).collect()
}

fn client(path: Path, bundle: Option<Arc<TrustBundle>>, identity: Option<&TlsIdentity>) -> Arc<ClientConfig> {
    Arc::new(client_config(path, bundle.map(LiveBundle::new), identity.map(LiveIdentity::from), &context()).unwrap())
}

fn server(paths: Vec<(Path, Arc<TrustBundle>)>, mandatory: bool, identity: &TlsIdentity) -> Arc<ServerConfig> {
    Arc::new(server_config(live(paths), mandatory, identity.into(), Vec::new(), &context()).unwrap())
}

/// A cluster's API server with right kubelets: what the tests about one fault start from.
struct NodeApi {
    authority: Authority,
}

impl NodeApi {
    fn new() -> Self {
        Self { authority: Authority::new("cluster") }
    }

    fn paths(&self) -> Vec<(Path, Arc<TrustBundle>)> {
        vec![(Path::NodeApi, self.authority.bundle())]
    }

    fn serving(&self) -> TlsIdentity {
        identity(&self.authority, &Leaf::of(LeafKind::ApiServer))
    }

    fn server(&self) -> Arc<ServerConfig> {
        server(self.paths(), true, &self.serving())
    }

    fn kubelet(&self) -> TlsIdentity {
        identity(&self.authority, &Leaf::of(LeafKind::KubeletClient))
    }

    fn client(&self, identity: &TlsIdentity) -> Arc<ClientConfig> {
        client(Path::NodeApi, Some(self.authority.bundle()), Some(identity))
    }

    /// A kubelet whose leaf differs from the right one.
    fn meet_client(&self, change: impl FnOnce(&mut Leaf)) -> Meeting {
        let mut leaf = Leaf::of(LeafKind::KubeletClient);
        change(&mut leaf);
        meet(&self.client(&identity(&self.authority, &leaf)), &self.server(), SERVER)
    }

    /// An API server whose leaf differs from the right one.
    fn meet_server(&self, change: impl FnOnce(&mut Leaf)) -> Meeting {
        let mut leaf = Leaf::of(LeafKind::ApiServer);
        change(&mut leaf);
        let server = server(self.paths(), true, &identity(&self.authority, &leaf));
        meet(&self.client(&self.kubelet()), &server, SERVER)
    }

    /// A client that speaks one version only.
    fn client_of_version(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let verifier = PathServerVerifier::new(Path::NodeApi, self.authority.bundle().into(), &context());
        ClientConfig::builder_with_details(provider(), clock())
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(self.kubelet().certified_key()))))
    }

    /// A server as `rustls` sets it up by itself, which resumes sessions.
    fn plain_server(&self, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
        let serving = SingleCertAndKey::from(Arc::clone(self.serving().certified_key()));
        let config = ServerConfig::builder_with_details(provider(), clock())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(Arc::new(NoClientAuth))
            .with_cert_resolver(Arc::new(serving));
        Arc::new(config)
    }
}

/// The server refused, with this error, and the client learned of it by this alert.
fn assert_client_refused(meeting: &Meeting, error: CertificateError, alert: AlertDescription) {
    assert_eq!(meeting.server_error, Some(Error::InvalidCertificate(error)), "{}", meeting.why());
    assert_eq!(meeting.client_error, Some(Error::AlertReceived(alert)), "{}", meeting.why());
    assert!(meeting.answer.is_empty());
}

/// The client refused, with this error, and the server learned of it by this alert.
fn assert_server_refused(meeting: &Meeting, error: CertificateError, alert: AlertDescription) {
    assert_eq!(meeting.client_error, Some(Error::InvalidCertificate(error)), "{}", meeting.why());
    assert_eq!(meeting.server_error, Some(Error::AlertReceived(alert)), "{}", meeting.why());
    assert!(meeting.answer.is_empty());
}

/// The server refused the client for who it is: the codes per path.
fn identity_codes(meeting: &Meeting) -> Vec<Vec<&'static str>> {
    assert_eq!(
        meeting.client_error,
        Some(Error::AlertReceived(AlertDescription::CertificateUnknown)),
        "{}",
        meeting.why()
    );
    let Some(Error::InvalidCertificate(CertificateError::Other(other))) = &meeting.server_error else {
        panic!("{}", meeting.why());
    };
    let denied = other.0.downcast_ref::<ClientDenied>().unwrap();
    denied.denials().iter().map(|denial| denial.reasons().iter().map(Reason::code).collect()).collect()
}

#[test]
fn right_peers_meet_on_every_path_over_tls_1_3() {
    for path in Path::ALL {
        let (serving_ca, client_ca) = (Authority::new("serving"), Authority::new("clients"));
        let served = path.endpoint().leaf().unwrap_or(LeafKind::Webhook);
        let trusted = (PathRule::of(path).server() == ServerRule::DialledName).then(|| serving_ca.bundle());
        let (shown, paths) = match path.client_credential() {
            ClientCredential::Certificate(kind) => {
                (Some(identity(&client_ca, &Leaf::of(kind))), vec![(path, client_ca.bundle())])
            }
            _ => (None, Vec::new()),
        };
        let mandatory = shown.is_some();
        let server = server(paths, mandatory, &identity(&serving_ca, &Leaf::of(served)));
        let meeting = meet(&client(path, trusted, shown.as_ref()), &server, SERVER);
        assert!(meeting.served(), "{path}: {}", meeting.why());
        assert_eq!(meeting.client.protocol_version(), Some(ProtocolVersion::TLSv1_3), "{path}");
        assert_eq!(meeting.server.peer_certificates().is_some(), mandatory, "{path}");
    }
}

#[test]
fn a_kubelet_and_the_api_server_authenticate_each_other() {
    let cluster = NodeApi::new();
    let kubelet = cluster.kubelet();
    let meeting = meet(&cluster.client(&kubelet), &cluster.server(), SERVER);
    assert!(meeting.served(), "{}", meeting.why());
    assert_eq!(meeting.server.peer_certificates(), Some(kubelet.chain()));
    assert!(meeting.client.peer_certificates().is_some());
}

#[test]
fn a_peer_that_speaks_tls_1_2_only_is_served() {
    let cluster = NodeApi::new();
    let meeting = meet(&Arc::new(cluster.client_of_version(&TLS12)), &cluster.server(), SERVER);
    assert!(meeting.served(), "{}", meeting.why());
    assert_eq!(meeting.server.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let meeting = meet(&cluster.client(&cluster.kubelet()), &cluster.plain_server(&TLS12), SERVER);
    assert!(meeting.served(), "{}", meeting.why());
    assert_eq!(meeting.client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
}

#[test]
fn a_client_of_another_authority_is_refused() {
    let (cluster, other) = (NodeApi::new(), Authority::new("other"));
    let stranger = identity(&other, &Leaf::of(LeafKind::KubeletClient));
    let meeting = meet(&cluster.client(&stranger), &cluster.server(), SERVER);
    assert_client_refused(&meeting, CertificateError::UnknownIssuer, AlertDescription::UnknownCA);
}

#[test]
fn a_client_of_an_expired_anchor_is_refused() {
    let (cluster, expired) = (NodeApi::new(), Authority::valid("expired", -100..-1));
    let kubelet = identity(&expired, &Leaf::of(LeafKind::KubeletClient));
    let trusted = bundle(&[&expired, &cluster.authority]);
    let server = server(vec![(Path::NodeApi, trusted)], true, &cluster.serving());
    let meeting = meet(&cluster.client(&kubelet), &server, SERVER);
    assert_client_refused(&meeting, CertificateError::UnknownIssuer, AlertDescription::UnknownCA);
}

#[test]
fn a_server_whose_clients_all_trust_expired_anchors_says_so() {
    let (cluster, expired) = (NodeApi::new(), Authority::valid("expired", -100..-1));
    let server = server(vec![(Path::NodeApi, expired.bundle())], true, &cluster.serving());
    let kubelet = identity(&expired, &Leaf::of(LeafKind::KubeletClient));
    let meeting = meet(&cluster.client(&kubelet), &server, SERVER);
    assert_eq!(identity_codes(&meeting), [["chain.every_anchor_expired"]]);
}

#[test]
fn a_client_outside_its_validity_is_refused() {
    let cluster = NodeApi::new();
    let meeting = cluster.meet_client(|leaf| leaf.days = -30..-1);
    assert_client_refused(&meeting, CertificateError::Expired, AlertDescription::CertificateExpired);
    let meeting = cluster.meet_client(|leaf| leaf.days = 1..30);
    assert_client_refused(&meeting, CertificateError::NotValidYet, AlertDescription::CertificateExpired);
}

#[test]
fn a_client_with_a_serving_certificate_is_refused() {
    let meeting = NodeApi::new().meet_client(|leaf| leaf.usages = vec![ExtendedKeyUsage::ServerAuth]);
    assert_client_refused(&meeting, CertificateError::InvalidPurpose, AlertDescription::UnsupportedCertificate);
}

#[test]
fn a_client_of_another_name_or_with_another_group_is_refused() {
    let cluster = NodeApi::new();
    let meeting = cluster.meet_client(|leaf| leaf.common_name = "node-1".to_owned());
    assert_eq!(identity_codes(&meeting), [["identity.mismatch"]]);
    let meeting = cluster.meet_client(|leaf| leaf.organizations.push("system:masters".to_owned()));
    assert_eq!(identity_codes(&meeting), [["identity.mismatch"]]);
    let meeting = cluster.meet_client(|leaf| leaf.organizations.clear());
    assert_eq!(identity_codes(&meeting), [["identity.mismatch"]]);
}

#[test]
fn an_etcd_peer_that_does_not_serve_under_its_name_is_refused() {
    let peers = Authority::new("etcd-peer");
    let right = Leaf::of(LeafKind::EtcdPeer);
    let server = server(vec![(Path::EtcdPeer, peers.bundle())], true, &identity(&peers, &right));
    let dial = |leaf: &Leaf| {
        let client = client(Path::EtcdPeer, Some(peers.bundle()), Some(&identity(&peers, leaf)));
        meet(&client, &server, SERVER)
    };
    assert!(dial(&right).served());
    let nameless = Leaf { names: vec![SERVER.to_owned()], ..right };
    assert_eq!(identity_codes(&dial(&nameless)), [["identity.mismatch"]]);
}

#[test]
fn a_server_of_another_authority_is_refused() {
    let (cluster, other) = (NodeApi::new(), Authority::new("other"));
    let impostor = server(cluster.paths(), true, &identity(&other, &Leaf::of(LeafKind::ApiServer)));
    let meeting = meet(&cluster.client(&cluster.kubelet()), &impostor, SERVER);
    assert_server_refused(&meeting, CertificateError::UnknownIssuer, AlertDescription::UnknownCA);
}

#[test]
fn a_server_of_an_expired_anchor_is_refused() {
    let (cluster, expired) = (NodeApi::new(), Authority::valid("expired", -100..-1));
    let server = server(cluster.paths(), true, &identity(&expired, &Leaf::of(LeafKind::ApiServer)));
    let trusted = bundle(&[&expired, &cluster.authority]);
    let meeting = meet(&client(Path::NodeApi, Some(trusted), Some(&cluster.kubelet())), &server, SERVER);
    assert_server_refused(&meeting, CertificateError::UnknownIssuer, AlertDescription::UnknownCA);
}

#[test]
fn a_server_with_a_wrong_leaf_is_refused() {
    let cluster = NodeApi::new();
    let meeting = cluster.meet_server(|leaf| leaf.days = -30..-1);
    assert_server_refused(&meeting, CertificateError::Expired, AlertDescription::CertificateExpired);
    let meeting = cluster.meet_server(|leaf| leaf.usages = vec![ExtendedKeyUsage::ClientAuth]);
    assert_server_refused(&meeting, CertificateError::InvalidPurpose, AlertDescription::UnsupportedCertificate);
    let meeting = cluster.meet_server(|leaf| {
        leaf.common_name = SERVER.to_owned();
        leaf.names = vec!["other.test".to_owned()];
    });
    let wrong_name = CertificateError::NotValidForNameContext {
        expected: SERVER.try_into().unwrap(),
        presented: vec!["DNS:other.test".to_owned()],
    };
    assert_server_refused(&meeting, wrong_name, AlertDescription::BadCertificate);
}

#[test]
fn a_client_without_a_certificate_is_refused_where_one_is_mandatory() {
    let cluster = NodeApi::new();
    let pod = client(Path::PodApi, Some(cluster.authority.bundle()), None);
    let meeting = meet(&pod, &cluster.server(), SERVER);
    assert_eq!(meeting.server_error, Some(Error::NoCertificatesPresented));
    assert_eq!(meeting.client_error, Some(Error::AlertReceived(AlertDescription::CertificateRequired)));
    assert!(meeting.answer.is_empty());
}

#[test]
fn a_client_without_a_certificate_is_served_where_one_is_optional() {
    let cluster = NodeApi::new();
    let server = server(cluster.paths(), false, &cluster.serving());
    let pod = client(Path::PodApi, Some(cluster.authority.bundle()), None);
    let meeting = meet(&pod, &server, SERVER);
    assert!(meeting.served(), "{}", meeting.why());
    assert_eq!(meeting.server.peer_certificates(), None);

    let stranger = identity(&Authority::new("other"), &Leaf::of(LeafKind::KubeletClient));
    let meeting = meet(&cluster.client(&stranger), &server, SERVER);
    assert_client_refused(&meeting, CertificateError::UnknownIssuer, AlertDescription::UnknownCA);
}

#[test]
fn a_front_proxy_certificate_is_worth_nothing_on_other_paths() {
    let cluster = NodeApi::new();
    let proxies = Authority::new("front-proxy");
    let proxy = Leaf::of(LeafKind::FrontProxyClient);

    // Of its own authority: nobody on node-api knows that one.
    let meeting = meet(&cluster.client(&identity(&proxies, &proxy)), &cluster.server(), SERVER);
    assert_client_refused(&meeting, CertificateError::UnknownIssuer, AlertDescription::UnknownCA);
    // Of the cluster's authority, by mistake: it is still no node.
    let meeting = meet(&cluster.client(&identity(&cluster.authority, &proxy)), &cluster.server(), SERVER);
    assert_eq!(identity_codes(&meeting), [["identity.mismatch"]]);
}

#[test]
fn a_socket_of_several_paths_keeps_their_bundles_apart() {
    let cluster = NodeApi::new();
    let proxies = Authority::new("front-proxy");
    let paths = vec![
        (Path::NodeApi, cluster.authority.bundle()),
        (Path::AdminApi, cluster.authority.bundle()),
        (Path::CpInternal, proxies.bundle()),
    ];
    let server = server(paths.clone(), true, &cluster.serving());
    let verifier = PathClientVerifier::new(live(paths), true, &context()).unwrap();
    let path_of = |identity: &TlsIdentity| verifier.decide(identity.chain(), day(0)).map(|(path, _)| path);

    for (authority, kind, path) in [
        (&cluster.authority, LeafKind::KubeletClient, Path::NodeApi),
        (&cluster.authority, LeafKind::Admin, Path::AdminApi),
        (&proxies, LeafKind::FrontProxyClient, Path::CpInternal),
    ] {
        let identity = identity(authority, &Leaf::of(kind));
        assert!(meet(&cluster.client(&identity), &server, SERVER).served(), "{path}");
        assert_eq!(path_of(&identity), Ok(path));
    }

    // A name of one path under the authority of another: each half alone is right.
    let crossed = identity(&cluster.authority, &Leaf::of(LeafKind::FrontProxyClient));
    let codes = identity_codes(&meet(&cluster.client(&crossed), &server, SERVER));
    assert_eq!(codes, [vec!["chain.unknown_issuer"], vec!["identity.mismatch"], vec!["identity.mismatch"]]);
    let crossed = identity(&proxies, &Leaf::of(LeafKind::KubeletClient));
    let denied = path_of(&crossed).unwrap_err();
    assert_eq!(denied.denials()[0].path(), Path::NodeApi);
    assert!(!meet(&cluster.client(&crossed), &server, SERVER).served());
}

#[test]
fn the_alert_tells_of_the_path_that_came_closest() {
    let cluster = NodeApi::new();
    let paths =
        vec![(Path::CpInternal, Authority::new("front-proxy").bundle()), (Path::NodeApi, cluster.authority.bundle())];
    let server = server(paths, true, &cluster.serving());
    let expired = Leaf { days: -30..-1, ..Leaf::of(LeafKind::Admin) };
    let meeting = meet(&cluster.client(&identity(&cluster.authority, &expired)), &server, SERVER);
    assert_client_refused(&meeting, CertificateError::Expired, AlertDescription::CertificateExpired);
}

#[test]
fn a_certificate_without_its_key_is_worth_nothing() {
    let cluster = NodeApi::new();
    let key = TokenKey::new(SignatureAlgorithm::EcdsaP256Sha256, KeyPair::generate().unwrap());
    let key: Arc<dyn rustls::sign::SigningKey> = Arc::new(RustlsSigner::new(key).unwrap());
    let stolen = |identity: &TlsIdentity| {
        let stolen = rustls::sign::CertifiedKey::new(identity.chain().to_vec(), Arc::clone(&key));
        Arc::new(SingleCertAndKey::from(stolen))
    };
    for version in [&TLS12, &TLS13] {
        let mut client = cluster.client_of_version(version);
        client.client_auth_cert_resolver = stolen(&cluster.kubelet());
        let meeting = meet(&Arc::new(client), &cluster.server(), SERVER);
        assert_client_refused(&meeting, CertificateError::BadSignature, AlertDescription::DecryptError);

        let mut thief = (*cluster.plain_server(version)).clone();
        thief.cert_resolver = stolen(&cluster.serving());
        let thief = Arc::new(thief);
        let meeting = meet(&cluster.client(&cluster.kubelet()), &thief, SERVER);
        assert_server_refused(&meeting, CertificateError::BadSignature, AlertDescription::DecryptError);
        // Even who verifies nothing else does not take a certificate from somebody without its key.
        let meeting = meet(&client_of_the_proxy(), &thief, SERVER);
        assert_server_refused(&meeting, CertificateError::BadSignature, AlertDescription::DecryptError);
    }
}

fn client_of_the_proxy() -> Arc<ClientConfig> {
    client(Path::ApiProxyHttps, None, None)
}

#[test]
fn the_proxy_verb_encrypts_towards_anybody() {
    let nobody = Authority::valid("nobody", -100..-50);
    let leaf = Leaf { days: -90..-60, names: vec!["other.test".to_owned()], ..Leaf::of(LeafKind::Webhook) };
    let pod = server(Vec::new(), false, &identity(&nobody, &leaf));
    let meeting = meet(&client_of_the_proxy(), &pod, SERVER);
    assert!(meeting.served(), "{}", meeting.why());
}

/// Meets twice and says how the second handshake went.
fn second_handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Option<HandshakeKind> {
    let first = meet(client, server, SERVER);
    assert!(first.served(), "{}", first.why());
    assert_eq!(first.client.handshake_kind(), Some(HandshakeKind::Full));
    let second = meet(client, server, SERVER);
    assert!(second.served(), "{}", second.why());
    assert_eq!(second.client.handshake_kind(), second.server.handshake_kind());
    second.client.handshake_kind()
}

#[test]
fn no_client_resumes_a_session() {
    let cluster = NodeApi::new();
    assert!(!cluster.client(&cluster.kubelet()).enable_early_data);
    for version in [&TLS12, &TLS13] {
        let server = cluster.plain_server(version);
        assert_eq!(second_handshake(&cluster.client(&cluster.kubelet()), &server), Some(HandshakeKind::Full));
        // The server would: a client as `rustls` sets it up by itself resumes there.
        let eager = Arc::new(cluster.client_of_version(version));
        assert_eq!(second_handshake(&eager, &server), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn no_server_resumes_a_session() {
    let cluster = NodeApi::new();
    let config = cluster.server();
    assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
    for version in [&TLS12, &TLS13] {
        let mut eager = cluster.client_of_version(version);
        eager.resumption = Resumption::in_memory_sessions(8);
        eager.enable_early_data = true;
        let eager = Arc::new(eager);
        assert_eq!(second_handshake(&eager, &cluster.server()), Some(HandshakeKind::Full));
        let meeting = meet(&eager, &cluster.server(), SERVER);
        assert_eq!(meeting.client.tls13_tickets_received(), 0);
    }
}

#[test]
fn the_server_name_picks_the_certificate() {
    let (cluster, org) = (NodeApi::new(), Authority::new("org"));
    let external: DnsName = "api.example.test".parse().unwrap();
    let outside = identity(&org, &Leaf { names: vec![external.to_string()], ..Leaf::of(LeafKind::ApiServer) });
    let by_server_name = vec![(external.clone(), (&outside).into())];
    let serving = cluster.serving();
    let paths = vec![(Path::AdminApi, cluster.authority.bundle()), (Path::NodeApi, cluster.authority.bundle())];
    let config = server_config(live(paths), true, (&serving).into(), by_server_name, &context());
    let server = Arc::new(config.unwrap());

    let admin = identity(&cluster.authority, &Leaf::of(LeafKind::Admin));
    let from_outside = client(Path::AdminApi, Some(org.bundle()), Some(&admin));
    for dialled in [external.as_str(), "API.example.test"] {
        let meeting = meet(&from_outside, &server, dialled);
        assert!(meeting.served(), "{dialled}: {}", meeting.why());
        assert_eq!(meeting.client.peer_certificates(), Some(outside.chain()));
    }
    let meeting = meet(&cluster.client(&cluster.kubelet()), &server, SERVER);
    assert!(meeting.served(), "{}", meeting.why());
    assert_eq!(meeting.client.peer_certificates(), Some(serving.chain()));
}

/// The two ends of node-api, both with keys of one algorithm behind signers.
fn meet_with_keys(algorithm: SignatureAlgorithm, version: &'static SupportedProtocolVersion) -> Meeting {
    let rcgen_algorithm = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        SignatureAlgorithm::EcdsaP384Sha384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        SignatureAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
        _ => &rcgen::PKCS_RSA_SHA256,
    };
    let cluster = NodeApi::new();
    let identity = |kind| {
        let key = KeyPair::generate_for(rcgen_algorithm).unwrap();
        let certificate = cluster.authority.issue_for(&Leaf::of(kind), &key);
        TlsIdentity::new(vec![certificate], TokenKey::new(algorithm, key)).unwrap()
    };
    let server = server(cluster.paths(), true, &identity(LeafKind::ApiServer));
    let mut client = cluster.client_of_version(version);
    let kubelet = SingleCertAndKey::from(Arc::clone(identity(LeafKind::KubeletClient).certified_key()));
    client.client_auth_cert_resolver = Arc::new(kubelet);
    meet(&Arc::new(client), &server, SERVER)
}

#[test]
fn keys_that_only_sign_serve_tls() {
    use SignatureAlgorithm::{EcdsaP256Sha256, EcdsaP384Sha384, Ed25519, RsaPssSha256};
    for algorithm in [EcdsaP256Sha256, EcdsaP384Sha384, Ed25519, RsaPssSha256] {
        for version in [&TLS12, &TLS13] {
            let meeting = meet_with_keys(algorithm, version);
            assert!(meeting.served(), "{algorithm} {version:?}: {}", meeting.why());
        }
    }
}

#[test]
fn a_pkcs1_handle_serves_tls_1_2_only() {
    let meeting = meet_with_keys(SignatureAlgorithm::RsaPkcs1Sha256, &TLS12);
    assert!(meeting.served(), "{}", meeting.why());
    let meeting = meet_with_keys(SignatureAlgorithm::RsaPkcs1Sha256, &TLS13);
    assert_eq!(meeting.client_error, Some(Error::AlertReceived(AlertDescription::HandshakeFailure)));
}

#[test]
fn a_signer_that_fails_fails_the_handshake_with_its_reason() {
    let cluster = NodeApi::new();
    let (certificate, key) = cluster.authority.issue(&Leaf::of(LeafKind::ApiServer));
    let pulled = TokenKey::new(SignatureAlgorithm::EcdsaP256Sha256, key).pulled();
    let server = server(cluster.paths(), true, &TlsIdentity::new(vec![certificate], pulled).unwrap());
    let meeting = meet(&cluster.client(&cluster.kubelet()), &server, SERVER);
    let Some(Error::Other(other)) = &meeting.server_error else { panic!("{}", meeting.why()) };
    let error = other.0.downcast_ref::<pki_core::SignError>().unwrap();
    assert_eq!(error.kind(), SignErrorKind::Unavailable);
}

#[test]
fn an_identity_is_a_leaf_with_its_own_key() {
    let authority = Authority::new("authority");
    let (certificate, _) = authority.issue(&Leaf::of(LeafKind::ApiServer));
    let key = || TokenKey::new(SignatureAlgorithm::EcdsaP256Sha256, KeyPair::generate().unwrap());
    let error = TlsIdentity::new(vec![certificate], key()).unwrap_err();
    let IdentityError::KeyMismatch { expected, found } = &error else { panic!("{error}") };
    assert_ne!(expected, found);
    assert_eq!(
        error.to_string(),
        format!("the leaf was issued for the public key `{expected}`, the signer has `{found}`")
    );

    assert_eq!(TlsIdentity::new(Vec::new(), key()).unwrap_err(), IdentityError::NoCertificate);
    let noise = CertificateDer::from(vec![0x30, 0]);
    assert!(matches!(TlsIdentity::new(vec![noise], key()), Err(IdentityError::Leaf(_))));
}

#[test]
fn a_time_beyond_the_calendar_lets_nobody_in() {
    let cluster = NodeApi::new();
    for clock in [Clock(u64::MAX), Clock(1 << 40)] {
        let clock = Arc::new(clock);
        let serving = cluster.serving();
        let late = server_config(
            live(cluster.paths()),
            true,
            (&serving).into(),
            Vec::new(),
            &TlsContext::new(provider(), clock.clone()),
        );
        let meeting = meet(&cluster.client(&cluster.kubelet()), &Arc::new(late.unwrap()), SERVER);
        assert_eq!(meeting.server_error, Some(Error::FailedToGetCurrentTime));
        let bundle = Some(cluster.authority.bundle());
        let kubelet = cluster.kubelet();
        let late = client_config(
            Path::NodeApi,
            bundle.map(LiveBundle::new),
            Some((&kubelet).into()),
            &TlsContext::new(provider(), clock),
        );
        let meeting = meet(&Arc::new(late.unwrap()), &cluster.server(), SERVER);
        assert_eq!(meeting.client_error, Some(Error::FailedToGetCurrentTime));
    }
}

#[test]
fn a_configuration_is_judged_at_the_time_of_its_clock() {
    let cluster = NodeApi::new();
    let later = Arc::new(Clock(u64::try_from(NOW).unwrap() + 31 * 86_400));
    let serving = cluster.serving();
    let server =
        server_config(live(cluster.paths()), true, (&serving).into(), Vec::new(), &TlsContext::new(provider(), later));
    let meeting = meet(&cluster.client(&cluster.kubelet()), &Arc::new(server.unwrap()), SERVER);
    assert_client_refused(&meeting, CertificateError::Expired, AlertDescription::CertificateExpired);
}

#[test]
fn a_client_configuration_holds_what_its_path_asks_for() {
    let authority = Authority::new("authority");
    let identity = identity(&authority, &Leaf::of(LeafKind::KubeletClient));
    let refused = |path, bundle: bool, shown: bool| {
        let bundle = bundle.then(|| authority.bundle());
        let identity = shown.then_some(&identity);
        client_config(path, bundle.map(LiveBundle::new), identity.map(LiveIdentity::from), &context()).err()
    };
    let missing = |path, expected| Some(ConfigError::MissingIdentity { path, expected });
    for path in Path::ALL {
        let verifies = path != Path::ApiProxyHttps;
        let shows = matches!(path.client_credential(), ClientCredential::Certificate(_));
        assert_eq!(refused(path, verifies, shows), None, "{path}");
        let wrong_trust =
            if verifies { ConfigError::MissingBundle(path) } else { ConfigError::SuperfluousBundle(path) };
        assert_eq!(refused(path, !verifies, shows), Some(wrong_trust));
        let wrong_identity = match path.client_credential() {
            ClientCredential::Certificate(kind) => missing(path, kind),
            _ => Some(ConfigError::SuperfluousIdentity(path)),
        };
        assert_eq!(refused(path, verifies, !shows), wrong_identity);
    }
}

#[test]
fn a_server_configuration_serves_the_paths_of_one_socket() {
    let cluster = NodeApi::new();
    let serving = cluster.serving();
    let refused = |paths: &[Path], mandatory| {
        let paths = paths.iter().map(|&path| (path, cluster.authority.bundle())).collect();
        server_config(live(paths), mandatory, (&serving).into(), Vec::new(), &context()).err()
    };
    assert_eq!(refused(&[], false), None);
    assert_eq!(refused(&[], true), Some(ConfigError::NoPath));
    assert_eq!(refused(&[Path::NodeApi, Path::KcmApi, Path::SchedApi, Path::AdminApi, Path::CpInternal], true), None);
    assert_eq!(refused(&[Path::ApiEtcd, Path::EtcdHealth, Path::EtcdGateway], true), None);
    assert_eq!(refused(&[Path::NodeApi, Path::PodApi], false), Some(ConfigError::NoClientCertificate(Path::PodApi)));
    assert_eq!(
        refused(&[Path::ApiEtcd, Path::EtcdPeer], true),
        Some(ConfigError::MixedEndpoints { expected: Path::ApiEtcd, found: Path::EtcdPeer })
    );

    let name: DnsName = SERVER.parse().unwrap();
    let twice = vec![(name.clone(), (&serving).into()), (name.clone(), (&serving).into())];
    let config = server_config(live(cluster.paths()), true, (&serving).into(), twice, &context());
    assert_eq!(config.err(), Some(ConfigError::RepeatedServerName(name)));
}

#[test]
fn a_provider_that_cannot_speak_tls_is_refused() {
    let cluster = NodeApi::new();
    let mute = Arc::new(rustls::crypto::CryptoProvider { cipher_suites: Vec::new(), ..(*provider()).clone() });
    let mute = TlsContext::new(mute, clock());
    let kubelet = cluster.kubelet();
    let bundle = Some(cluster.authority.bundle());
    let client = client_config(Path::NodeApi, bundle.map(LiveBundle::new), Some((&kubelet).into()), &mute);
    let server = server_config(live(cluster.paths()), true, cluster.serving().into(), Vec::new(), &mute);
    for error in [client.unwrap_err(), server.unwrap_err()] {
        assert!(matches!(error, ConfigError::Provider(_)), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}
