//! What an audit makes of findings: the paths that they weaken, and the decisions to live with them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise, also in the functions that it shares with others"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/pki.rs"]
mod pki;

use std::sync::Arc;

use pki::{Authority, Leaf as Draft, day};
use pki_core::{AuthorityRole, LeafKind, Limits, Path, TrustSlot};
use time::Duration;
use trust_model::model::{Bundle, Certificate, ClusterModel, Leaf, Trust};
use trust_model::{AuditOptions, Channel, Fact, Fitness, Place, Preset, Report, Waiver, audit};

/// Kubernetes as its documentation describes it, with a kubelet's certificate that was read.
fn model(days: core::ops::Range<i64>) -> ClusterModel {
    let mut model = Preset::Kubernetes128.model();
    let authority = Authority::new("cluster");
    let read = |der, file: &str| Arc::new(Certificate::parse(der, Place::file(file), &Limits::DEFAULT).unwrap());
    let (leaf, _) = authority.issue(&Draft { days, ..Draft::of(LeafKind::KubeletClient) });
    let kubelet = &mut model.kubelets[0];
    kubelet.name = pki::NODE.to_owned();
    kubelet.leaves.insert(
        LeafKind::KubeletClient,
        Fact::observed(Leaf::Chain(vec![read(leaf, "kubelet.crt")]), Place::file("kubelet.crt")),
    );
    let bundle = Bundle::new(vec![read(authority.certificate().clone(), "ca.crt")]);
    model.api_servers[0]
        .trusts
        .insert(TrustSlot::ApiServerClientCa, Fact::observed(Trust::Bundle(Arc::new(bundle)), Place::file("ca.crt")));
    model
}

fn fitness(report: &Report, path: Path) -> Fitness {
    report.paths.iter().find(|one| one.channel == Channel::Tls(path)).unwrap().fitness
}

#[test]
fn an_expired_certificate_makes_its_path_unfit_and_no_other() {
    let report = |days| audit(&model(days), &AuditOptions::default(), day(0));
    let (good, bad) = (report(-1..30), report(-30..-1));
    assert_eq!(fitness(&good, Path::NodeApi), Fitness::FitAsAsserted);
    assert_eq!(fitness(&bad, Path::NodeApi), Fitness::Unfit);
    assert_eq!(fitness(&good, Path::PodApi), fitness(&bad, Path::PodApi));
}

/// The kubelet trusts a generation that was retired, with which it verifies the API server and nobody else.
#[test]
fn an_anchor_weakens_the_paths_that_its_bundle_verifies() {
    let retired = Authority::new("old");
    let report = |authority| {
        let mut model = model(-1..30);
        let anchor =
            Certificate::parse(retired.certificate().clone(), Place::file("old.crt"), &Limits::DEFAULT).unwrap();
        let known = trust_model::model::Authority { live: vec![], retired: authority };
        model.authorities.insert(AuthorityRole::Cluster, Fact::declared(known, "rotation"));
        let bundle = Trust::Bundle(Arc::new(Bundle::new(vec![Arc::new(anchor)])));
        model.kubelets[0].trusts.insert(TrustSlot::KubeletClientCa, Fact::observed(bundle, Place::file("old.crt")));
        audit(&model, &AuditOptions::default(), day(0))
    };
    let id = pki_core::CaCertificate::parse(retired.certificate().clone()).unwrap().id();
    let weakened = |report: &Report| {
        let finding = report.standing().find(|finding| finding.check.id == "anchor.retired_still_trusted");
        finding.map(|finding| Channel::ALL.into_iter().filter(|channel| finding.weakens(*channel)).collect::<Vec<_>>())
    };
    assert_eq!(weakened(&report(vec![])), None);
    assert_eq!(weakened(&report(vec![id])), Some(vec![Channel::Tls(Path::ApiKubelet)]));
}

#[test]
fn a_waiver_counts_until_its_day_and_only_where_it_matches() {
    let model = model(-30..-1);
    let waiver = |check: &str, subject: Option<&str>| Waiver {
        check: check.to_owned(),
        subject: subject.map(str::to_owned),
        reason: "the node is being replaced".to_owned(),
        until: day(10),
    };
    let audited = |waiver: &Waiver, at| {
        let options = AuditOptions { waivers: vec![waiver.clone()], ..AuditOptions::default() };
        audit(&model, &options, at)
    };
    let is_stale = |report: &Report| report.standing().any(|finding| finding.check.id == "waiver.stale");
    let node = format!("kubelet {} kubelet-client", pki::NODE);
    for subject in [None, Some(node.as_str())] {
        let waiver = waiver("leaf.expired", subject);
        let report = audited(&waiver, day(0));
        assert!(!report.standing().any(|finding| finding.check.id == "leaf.expired"));
        // It stays in the report.
        assert!(report.findings.iter().any(|finding| finding.waiver.as_ref() == Some(&waiver)));
        assert_eq!(fitness(&report, Path::NodeApi), Fitness::FitAsAsserted);
        assert!(!is_stale(&report));
        // The last second counts, the one after does not.
        assert!(!is_stale(&audited(&waiver, day(10) - Duration::SECOND)));
        let late = audited(&waiver, day(10));
        assert!(is_stale(&late) && late.standing().any(|finding| finding.check.id == "leaf.expired"));
    }
    for waiver in [waiver("leaf.expired", Some("kubelet other kubelet-client")), waiver("key.weak", None)] {
        let report = audited(&waiver, day(0));
        assert!(is_stale(&report));
        assert_eq!(fitness(&report, Path::NodeApi), Fitness::Unfit);
    }
}
