//! Decisions about peers: who is allowed on which path, and what stands against everybody else.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise, also in the functions that it shares with others"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/pki.rs"]
mod pki;

use pki::{Authority, Leaf, NODE, SERVER, bundle, day};
use pki_core::verify::aws_lc_rs;
use pki_core::{ClientCredential, ExtendedKeyUsage, LeafKind, Limits, Path, TrustBundle};
use rcgen::KeyUsagePurpose;
use rustls_pki_types::{CertificateDer, ServerName};
use trust_model::{Decision, Denial, PathRule, Reason, ServerRule, decide_client, decide_server};

fn client(path: Path, chain: &[CertificateDer<'_>], bundle: &TrustBundle) -> Decision {
    decide_client(path, chain, bundle, &Limits::DEFAULT, aws_lc_rs(), day(0))
}

fn server(path: Path, chain: &[CertificateDer<'_>], dialled: &str, bundle: &TrustBundle) -> Decision {
    let dialled = ServerName::try_from(dialled).unwrap();
    decide_server(path, chain, &dialled, bundle, &Limits::DEFAULT, aws_lc_rs(), day(0))
}

fn codes(decision: &Decision) -> Vec<&'static str> {
    decision.denial().map(Denial::reasons).unwrap_or_default().iter().map(Reason::code).collect()
}

/// The codes against a client whose leaf differs from the right one of its path.
fn client_codes(path: Path, change: impl FnOnce(&mut Leaf)) -> Vec<&'static str> {
    let ClientCredential::Certificate(kind) = path.client_credential() else { panic!("{path}") };
    let authority = Authority::new("authority");
    let mut leaf = Leaf::of(kind);
    change(&mut leaf);
    codes(&client(path, &[authority.issue(&leaf).0], &authority.bundle()))
}

/// The codes against a server of `api-etcd` whose leaf differs from the right one.
fn server_codes(change: impl FnOnce(&mut Leaf)) -> Vec<&'static str> {
    let authority = Authority::new("authority");
    let mut leaf = Leaf::of(LeafKind::EtcdServer);
    change(&mut leaf);
    codes(&server(Path::ApiEtcd, &[authority.issue(&leaf).0], SERVER, &authority.bundle()))
}

/// The paths on which a client shows a certificate, with its kind.
fn certificate_paths() -> impl Iterator<Item = (Path, LeafKind)> {
    Path::ALL.into_iter().filter_map(|path| match path.client_credential() {
        ClientCredential::Certificate(kind) => Some((path, kind)),
        _ => None,
    })
}

#[test]
fn every_path_allows_the_client_that_it_is_for() {
    let authority = Authority::new("authority");
    let anchor = authority.bundle().certificates()[0].id();
    let mut allowed = 0;
    for (path, kind) in certificate_paths() {
        let leaf = Leaf::of(kind);
        let verified = client(path, &[authority.issue(&leaf).0], &authority.bundle()).into_result().unwrap();
        assert_eq!(verified.identity().unwrap().subject().common_name(), leaf.common_name, "{path}");
        assert_eq!(verified.anchor(), anchor, "{path}");
        allowed += 1;
    }
    assert_eq!(allowed, 13);
}

#[test]
fn no_path_allows_the_client_of_another() {
    let authority = Authority::new("authority");
    for (path, own) in certificate_paths() {
        for (_, other) in certificate_paths() {
            let decision = client(path, &[authority.issue(&Leaf::of(other)).0], &authority.bundle());
            // Both certificates of an etcd member carry its name and both usages; only their authorities differ.
            let same_member = own.is_dual_role() && other.is_dual_role();
            let expected: &[&str] = if own == other || same_member { &[] } else { &["identity.mismatch"] };
            assert_eq!(codes(&decision), expected, "{other} on {path}");
        }
    }
}

#[test]
fn every_path_allows_the_server_that_was_dialled() {
    let authority = Authority::new("authority");
    for path in Path::ALL.into_iter().filter(|&path| PathRule::of(path).server() == ServerRule::DialledName) {
        let leaf = Leaf::of(path.endpoint().leaf().unwrap());
        let chain = [authority.issue(&leaf).0];
        assert_eq!(codes(&server(path, &chain, SERVER, &authority.bundle())), [""; 0], "{path}");
        assert_eq!(codes(&server(path, &chain, "other.test", &authority.bundle())), ["server.name_mismatch"], "{path}");
    }
}

#[test]
fn a_client_of_another_authority_is_denied() {
    let (own, other) = (Authority::new("authority"), Authority::new("other"));
    let chain = [other.issue(&Leaf::of(LeafKind::KubeletClient)).0];
    assert_eq!(codes(&client(Path::NodeApi, &chain, &own.bundle())), ["chain.unknown_issuer"]);
    let empty = TrustBundle::new([]).unwrap();
    assert_eq!(codes(&client(Path::NodeApi, &chain, &empty)), ["chain.unknown_issuer"]);
}

#[test]
fn an_authority_of_the_same_name_with_another_key_is_another_authority() {
    let (own, impostor) = (Authority::new("authority"), Authority::new("authority"));
    for (names_key, code) in [(true, "chain.unknown_issuer"), (false, "chain.bad_signature")] {
        let chain = [impostor.issue(&Leaf { names_key, ..Leaf::of(LeafKind::KubeletClient) }).0];
        assert_eq!(codes(&client(Path::NodeApi, &chain, &own.bundle())), [code]);
        assert_eq!(codes(&client(Path::NodeApi, &chain, &bundle(&[&own, &impostor]))), [""; 0]);
    }
}

#[test]
fn a_leaf_outside_its_validity_is_denied() {
    assert_eq!(client_codes(Path::NodeApi, |leaf| leaf.days = -30..-1), ["chain.expired"]);
    assert_eq!(client_codes(Path::NodeApi, |leaf| leaf.days = 1..30), ["chain.not_yet_valid"]);
    assert_eq!(server_codes(|leaf| leaf.days = -30..-1), ["chain.expired"]);
}

#[test]
fn an_anchor_that_has_expired_vouches_for_nobody() {
    let (expired, valid) = (Authority::valid("expired", -100..-1), Authority::new("valid"));
    let chain = [expired.issue(&Leaf::of(LeafKind::KubeletClient)).0];
    assert_eq!(codes(&client(Path::NodeApi, &chain, &expired.bundle())), ["chain.every_anchor_expired"]);
    assert_eq!(codes(&client(Path::NodeApi, &chain, &bundle(&[&expired, &valid]))), ["chain.unknown_issuer"]);
}

#[test]
fn each_side_needs_the_usage_of_its_side() {
    for (path, _) in certificate_paths() {
        let codes = client_codes(path, |leaf| leaf.usages = vec![ExtendedKeyUsage::ServerAuth]);
        assert_eq!(codes, ["chain.extended_key_usage"], "{path}");
    }
    assert_eq!(client_codes(Path::KcmApi, |leaf| leaf.usages.clear()), ["chain.extended_key_usage"]);
    assert_eq!(server_codes(|leaf| leaf.usages = vec![ExtendedKeyUsage::ClientAuth]), ["chain.extended_key_usage"]);
    assert_eq!(server_codes(|leaf| leaf.usages.clear()), ["chain.extended_key_usage"]);
}

#[test]
fn what_stands_between_leaf_and_anchor_has_reasons_of_its_own() {
    let root = Authority::new("root");
    let leaf = Leaf::of(LeafKind::KubeletClient);
    let verdict = |below: &Authority, limits: &Limits| {
        let chain = [below.issue(&leaf).0, below.certificate().clone()];
        codes(&decide_client(Path::NodeApi, &chain, &root.bundle(), limits, aws_lc_rs(), day(0)))
    };
    let sub = root.authority("sub", &[KeyUsagePurpose::KeyCertSign]);
    let mut limits = Limits::DEFAULT;
    assert_eq!(verdict(&sub, &limits), [""; 0]);
    let unfit = root.authority("unfit", &[KeyUsagePurpose::CrlSign]);
    assert_eq!(verdict(&unfit, &limits), ["chain.intermediate"]);
    limits.path_len_max = 0;
    assert_eq!(verdict(&sub, &limits), ["chain.path_too_long"]);
    limits.intermediates_max = 0;
    assert_eq!(verdict(&sub, &limits), ["chain.too_many_intermediates"]);
}

#[test]
fn a_client_needs_the_common_name_of_its_path() {
    for name in
        ["node-1", "system:node:", "system:node:Node_1", "system:node:x:node-1", "system:node", "SYSTEM:NODE:node-1"]
    {
        let codes = client_codes(Path::NodeApi, |leaf| leaf.common_name = name.to_owned());
        assert_eq!(codes, ["identity.mismatch"], "{name}");
    }
    let agent = |leaf: &mut Leaf| leaf.common_name = "system:konnectivity-agent".to_owned();
    assert_eq!(client_codes(Path::KonnAgent, agent), ["identity.mismatch"]);
    let another = |leaf: &mut Leaf| leaf.common_name = "front-proxy-client-2".to_owned();
    assert_eq!(client_codes(Path::FrontProxy, another), ["identity.mismatch"]);
    assert_eq!(client_codes(Path::CpInternal, another), ["identity.mismatch"]);
}

#[test]
fn a_client_has_the_groups_of_its_path_and_no_other() {
    for (path, _) in certificate_paths() {
        let more = client_codes(path, |leaf| leaf.organizations.push("system:masters".to_owned()));
        assert_eq!(more, ["identity.mismatch"], "{path}");
    }
    for path in [Path::NodeApi, Path::AdminApi, Path::KonnAgent] {
        assert_eq!(client_codes(path, |leaf| leaf.organizations.clear()), ["identity.mismatch"], "{path}");
        let other = client_codes(path, |leaf| leaf.organizations = vec!["system:masters".to_owned()]);
        assert_eq!(other, ["identity.mismatch"], "{path}");
    }
}

#[test]
fn an_etcd_member_dials_under_a_name_that_it_serves() {
    for path in [Path::EtcdPeer, Path::EtcdGateway] {
        let codes = client_codes(path, |leaf| leaf.names.retain(|name| name != NODE));
        assert_eq!(codes, ["identity.mismatch"], "{path}");
    }
}

#[test]
fn the_common_name_of_a_server_never_counts() {
    let named_by_subject = |leaf: &mut Leaf| {
        leaf.common_name = SERVER.to_owned();
        leaf.names = vec!["other.test".to_owned()];
    };
    assert_eq!(server_codes(named_by_subject), ["server.name_mismatch"]);
}

#[test]
fn a_server_is_known_by_its_alternative_names_whatever_else_its_certificate_says() {
    // As other issuers write them: a wildcard beside the name, an organization of their own.
    let foreign = |leaf: &mut Leaf| {
        leaf.organizations = vec!["Example Ltd.".to_owned()];
        leaf.names.push("*.example.test".to_owned());
    };
    assert_eq!(server_codes(foreign), [""; 0]);
    // A client is known by its subject, which must be one that Kubernetes reads.
    assert_eq!(client_codes(Path::KcmApi, |leaf| leaf.names = vec!["*.example.test".to_owned()]), ["chain.malformed"]);
}

#[test]
fn every_reason_is_told_in_a_fixed_order() {
    let (own, other) = (Authority::new("authority"), Authority::new("other"));
    let chain = [other.issue(&Leaf::of(LeafKind::FrontProxyClient)).0];
    let denial = client(Path::NodeApi, &chain, &own.bundle()).into_result().unwrap_err();
    assert_eq!(
        denial.to_string(),
        "denied on `node-api`: no trusted authority issued the certificate; expected the subject of `kubelet-client`, \
         one like `O=system:nodes,CN=system:node:node-1`, found `CN=front-proxy-client`"
    );
    let chain = [other.issue(&Leaf::of(LeafKind::EtcdServer)).0];
    let denial = server(Path::ApiEtcd, &chain, "10.0.0.1", &own.bundle()).into_result().unwrap_err();
    assert_eq!(
        denial.to_string(),
        "denied on `api-etcd`: no trusted authority issued the certificate; expected a certificate for `10.0.0.1`, \
         found `DNS:node-1`, `DNS:server.cluster.test`"
    );
}

#[test]
fn a_mismatch_says_what_was_expected_and_what_was_found() {
    let authority = Authority::new("authority");
    let mut leaf = Leaf::of(LeafKind::EtcdPeer);
    leaf.names = vec![SERVER.to_owned()];
    let decision = client(Path::EtcdPeer, &[authority.issue(&leaf).0], &authority.bundle());
    let [Reason::Identity(mismatch)] = decision.denial().unwrap().reasons() else { panic!("{decision:?}") };
    assert_eq!(mismatch.expected().leaf(), LeafKind::EtcdPeer);
    assert_eq!(mismatch.found().subject().common_name(), NODE);
    assert_eq!(
        mismatch.to_string(),
        "expected the subject of `etcd-peer`, one like `CN=node-1`, with the common name among the dNSNames, \
         found `CN=node-1` with `DNS:server.cluster.test`"
    );
}

#[test]
fn nobody_is_allowed_without_a_certificate() {
    let authority = Authority::new("authority");
    for (path, _) in certificate_paths() {
        assert_eq!(codes(&client(path, &[], &authority.bundle())), ["certificate.missing"], "{path}");
    }
    assert_eq!(codes(&server(Path::NodeApi, &[], SERVER, &authority.bundle())), ["certificate.missing"]);
}

#[test]
fn where_a_path_asks_for_no_certificate_none_lets_anybody_in() {
    let authority = Authority::new("authority");
    let chain = [authority.issue(&Leaf::of(LeafKind::Admin)).0];
    for path in [Path::NodeBootstrap, Path::PodApi, Path::ApiProxyHttps, Path::Webhook] {
        assert_eq!(codes(&client(path, &chain, &authority.bundle())), ["certificate.unwanted"], "{path}");
    }
    let chain = [authority.issue(&Leaf::of(LeafKind::Webhook)).0];
    assert_eq!(codes(&server(Path::ApiProxyHttps, &chain, SERVER, &authority.bundle())), ["server.unverified"]);
}

#[test]
fn octets_that_are_no_certificate_are_denied_once() {
    let authority = Authority::new("authority");
    let noise = [CertificateDer::from(vec![0x30, 0x03, 1, 1, 0xff])];
    assert_eq!(codes(&client(Path::NodeApi, &noise, &authority.bundle())), ["chain.malformed"]);
    assert_eq!(codes(&server(Path::NodeApi, &noise, SERVER, &authority.bundle())), ["chain.malformed"]);
}

#[test]
fn a_decision_depends_on_the_time_that_is_passed() {
    let authority = Authority::new("authority");
    let chain = [authority.issue(&Leaf::of(LeafKind::Scheduler)).0];
    let at =
        |offset| decide_client(Path::SchedApi, &chain, &authority.bundle(), &Limits::DEFAULT, aws_lc_rs(), day(offset));
    assert_eq!(codes(&at(30)), [""; 0]);
    assert_eq!(codes(&at(31)), ["chain.expired"]);
    assert_eq!(codes(&at(-2)), ["chain.not_yet_valid"]);
}
