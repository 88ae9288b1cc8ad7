//! The audit of a cluster of 15,000 nodes, and the signatures alone that it checks.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pki_core::verify::aws_lc_rs;
use pki_core::{ExtendedKeyUsage, LeafKind, Limits, TrustBundle, TrustSlot, verify_chain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime, UtcDateTime};
use trust_model::model::{ApiServer, Bundle, Certificate, ClusterModel, Component, Kubelet, Leaf, Trust};
use trust_model::{AuditOptions, Fact, Place, audit};

const NODES: usize = 15_000;

fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_767_225_600).expect("2026")
}

fn params(common_name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = OffsetDateTime::from(now() - Duration::DAY);
    params.not_after = OffsetDateTime::from(now() + Duration::days(days));
    params.use_authority_key_identifier_extension = true;
    params
}

fn read(der: &CertificateDer<'static>, file: String) -> Arc<Certificate> {
    Arc::new(Certificate::parse(der.clone(), Place::file(file), &Limits::DEFAULT).expect("a certificate"))
}

/// The leaves are under one P-256 authority, each with a key of its own.
struct Cluster {
    model: ClusterModel,
    anchor: TrustBundle,
    pairs: Vec<(Arc<Certificate>, ExtendedKeyUsage)>,
}

impl Cluster {
    fn new() -> Self {
        let mut root = params("kubernetes", 3_650);
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let der = root.self_signed(&key).expect("a root").der().clone();
        let issuer = Issuer::new(root, key);
        let bundle = Arc::new(Bundle::new(vec![read(&der, "ca.crt".to_owned())]));
        let trust = || Fact::observed(Trust::Bundle(Arc::clone(&bundle)), Place::file("ca.crt"));
        let mut pairs = Vec::new();
        let mut leaf = |kind: LeafKind, node: &str| {
            let node_name = node.parse().expect("a name");
            let subject = kind.subject(None).or_else(|| kind.subject(Some(&node_name))).expect("a subject");
            let mut params = params(subject.common_name(), 364);
            for organization in subject.organizations() {
                params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
            }
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            let serves = kind.has_subject_alt_names();
            let (usage, purpose) = if serves {
                (ExtendedKeyUsage::ServerAuth, ExtendedKeyUsagePurpose::ServerAuth)
            } else {
                (ExtendedKeyUsage::ClientAuth, ExtendedKeyUsagePurpose::ClientAuth)
            };
            params.extended_key_usages = vec![purpose];
            if serves {
                let names = [node, "kubernetes.default.svc"].map(|name| name.try_into().expect("a name"));
                params.subject_alt_names = names.into_iter().map(SanType::DnsName).collect();
            }
            let key = KeyPair::generate().expect("a key");
            let der = params.signed_by(&key, &issuer).expect("a leaf").der().clone();
            let certificate = read(&der, format!("{node}/{kind}.crt"));
            pairs.push((Arc::clone(&certificate), usage));
            (kind, Fact::observed(Leaf::Chain(vec![certificate]), Place::file(node)))
        };
        let mut api: Component<ApiServer> = Component { name: "cp-1".to_owned(), ..Component::default() };
        api.leaves.extend([LeafKind::ApiServer, LeafKind::ApiServerKubeletClient].map(|kind| leaf(kind, "cp-1")));
        api.trusts.extend([TrustSlot::ApiServerClientCa, TrustSlot::ApiServerKubeletCa].map(|slot| (slot, trust())));
        let kubelets = (0..NODES).map(|number| {
            let name = format!("node-{number}");
            let mut kubelet: Component<Kubelet> = Component::default();
            kubelet.leaves.extend([LeafKind::KubeletClient, LeafKind::KubeletServing].map(|kind| leaf(kind, &name)));
            let slots = [TrustSlot::KubeletClientCa, TrustSlot::KubeletKubeconfigCa];
            kubelet.trusts.extend(slots.map(|slot| (slot, trust())));
            kubelet.name = name;
            kubelet
        });
        let kubelets = kubelets.collect();
        let model = ClusterModel { api_servers: vec![api], kubelets, ..ClusterModel::default() };
        Self { model, anchor: TrustBundle::from_der([der], &Limits::DEFAULT).expect("a bundle"), pairs }
    }
}

fn nodes(criterion: &mut Criterion) {
    let cluster = Cluster::new();
    let mut group = criterion.benchmark_group("audit/of-15000-nodes");
    group.sample_size(10).throughput(Throughput::Elements(cluster.pairs.len().try_into().expect("a number")));
    let judge = |verifiers| {
        let options = AuditOptions { verifiers, ..AuditOptions::default() };
        let report = audit(&cluster.model, &options, now());
        let failed = |id: &str| report.checks.iter().any(|one| one.check.id.starts_with(id) && one.failed > 0);
        assert!(!failed("leaf.") && !failed("bundle.") && !failed("anchor."), "everything is in order");
        report
    };
    group.bench_function("without-signatures", |bencher| bencher.iter(|| judge(None)));
    group.bench_function("with-signatures", |bencher| bencher.iter(|| judge(Some(aws_lc_rs()))));
    group.bench_function("bare-verifications", |bencher| {
        bencher.iter(|| {
            for (leaf, usage) in &cluster.pairs {
                let (anchor, limits) = (&cluster.anchor, &Limits::DEFAULT);
                let chain = verify_chain(leaf.der(), &[], anchor, *usage, limits, aws_lc_rs(), now());
                black_box(chain.expect("every chain verifies"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, nodes);
criterion_main!(benches);
