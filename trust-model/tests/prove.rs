//! Plans of a rotation on certificates that were really issued.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise, also in the functions that it shares with others"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/pki.rs"]
mod pki;

use pki::{Authority, Leaf, SERVER, day};
use pki_core::{AuthorityRole, ExtendedKeyUsage, Hierarchy, LeafKind, Limits, Preset};
use rcgen::KeyUsagePurpose;
use rotation_fsm::{Plan, PlanError, PoolName, Strategy, Topology, Trigger, units};
use rustls_pki_types::{CertificateDer, ServerName};
use trust_model::model::{ClusterModel, Component};
use trust_model::{Artefacts, Counterexample, Generation, Proof, ProveError, prove, topology};

/// A cluster with two replicas and two nodes, as if it had been read.
fn read(hierarchy: &Hierarchy) -> Topology {
    fn named<S: Default>(names: &[&str]) -> Vec<Component<S>> {
        names.iter().map(|name| Component { name: (*name).to_owned(), ..Component::default() }).collect()
    }
    let (replicas, nodes) = (["cp-1", "cp-2"], ["node-1", "node-2"]);
    let model = ClusterModel {
        api_servers: named(&replicas),
        controller_managers: named(&replicas),
        schedulers: named(&replicas),
        etcd: named(&replicas),
        etcd_probes: named(&replicas),
        kubelets: named(&nodes),
        external_clients: named(&["admin"]),
        ..ClusterModel::default()
    };
    let pool = |name: &str| PoolName::new(format!("pool-{}", name.len()).parse().unwrap());
    topology(&model, hierarchy.clone(), pool, 1).unwrap()
}

struct Case {
    hierarchy: Hierarchy,
    topology: Topology,
    roles: Vec<AuthorityRole>,
    plan: Plan,
    artefacts: Artefacts,
}

impl Case {
    fn new(strategy: Strategy) -> Self {
        Self::with(strategy, |_, _| {})
    }

    /// Leaves of the next generation that differ from the right ones.
    fn with(strategy: Strategy, change: impl Fn(LeafKind, &mut Leaf)) -> Self {
        let hierarchy = Hierarchy::preset(Preset::Kubeadm);
        let topology = read(&hierarchy);
        let policies = units(&hierarchy);
        let policy = policies.iter().find(|policy| policy.trigger == Trigger::User).unwrap();
        let roles = policy.roles.to_vec();
        let plan = strategy.plan(&topology, &roles).unwrap();
        let mut artefacts = Artefacts::default();
        for role in roles.iter().copied().filter(|role| role.is_certificate_authority()) {
            let (current, next) = (Authority::new(role.id()), Authority::new(role.id()));
            artefacts.cross_certificates.insert(role, cross_sign(&current, &next, role));
            for (generation, authority) in [(Generation::Current, &current), (Generation::Next, &next)] {
                artefacts.roots.insert((role, generation), authority.certificate().clone());
                for kind in LeafKind::ALL.into_iter().filter(|kind| hierarchy.issuer_of(*kind) == Some(role)) {
                    let mut leaf = Leaf::of(kind);
                    if generation == Generation::Next {
                        change(kind, &mut leaf);
                    }
                    artefacts.leaves.insert((kind, generation), authority.issue(&leaf).0);
                }
            }
        }
        artefacts.dialled =
            LeafKind::ALL.into_iter().map(|kind| (kind, ServerName::try_from(SERVER).unwrap())).collect();
        Self { hierarchy, topology, roles, plan, artefacts }
    }

    fn prove_at(&self, days: i64) -> Result<Proof, ProveError> {
        let verifiers = pki_core::verify::aws_lc_rs();
        prove(&self.plan, &self.topology, &self.roles, &self.artefacts, &Limits::DEFAULT, verifiers, day(days))
    }

    fn counterexample(&self) -> Counterexample {
        match self.prove_at(0) {
            Err(ProveError::Counterexample(found)) => *found,
            other => panic!("{other:?}"),
        }
    }
}

/// The next root's name and key, signed by the current one.
fn cross_sign(current: &Authority, next: &Authority, role: AuthorityRole) -> CertificateDer<'static> {
    current.vouch_for(next, role.id(), &[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign])
}

#[test]
fn every_strategy_holds_on_real_certificates() {
    for strategy in [Strategy::Staged, Strategy::CrossSigned] {
        let case = Case::new(strategy);
        let proof = case.prove_at(0).unwrap();
        assert!(proof.meetings > 200 && proof.verifications > 40, "{strategy} {proof:?}");
        assert_eq!(proof.of_tokens > 0, case.roles.contains(&AuthorityRole::ServiceAccount));
    }
}

#[test]
fn a_plan_that_breaks_a_law_is_refused_before_anything_is_verified() {
    let mut case = Case::new(Strategy::Staged);
    // The topology of another hierarchy has no etcd to ask anything of.
    case.roles.retain(|role| *role != AuthorityRole::Etcd);
    assert!(matches!(case.prove_at(0), Err(ProveError::Plan(PlanError::UnknownFacet { .. }))));
}

#[test]
fn a_leaf_that_is_not_fit_is_found_with_its_step() {
    let case = Case::with(Strategy::Staged, |kind, leaf| {
        if kind == LeafKind::EtcdPeer {
            // Issued without the half that is asked for when a member dials.
            leaf.usages = vec![ExtendedKeyUsage::ServerAuth];
        }
    });
    let found = case.counterexample();
    assert_eq!((found.stage.to_string().as_str(), found.path.id()), ("etcd-leaves", "etcd-peer"));
    assert_eq!((found.leaf, found.denial.reasons().len()), (LeafKind::EtcdPeer, 1));
    assert_eq!(found.anchors.len(), 2);
    assert!(found.to_string().starts_with("in `etcd-leaves` on `etcd-peer` from etcd to etcd: etcd verifies with `"));
}

#[test]
fn a_cross_certificate_for_another_key_is_found() {
    let mut case = Case::new(Strategy::CrossSigned);
    let other = Authority::new("cluster");
    let current = Authority::new("cluster");
    case.artefacts
        .cross_certificates
        .insert(AuthorityRole::Cluster, cross_sign(&current, &other, AuthorityRole::Cluster));
    // The current root has the name, and another key made the signature.
    assert_eq!(case.counterexample().denial.reasons()[0].code(), "chain.unknown_issuer");
}

#[test]
fn a_root_that_expires_on_the_way_is_found() {
    let case = Case::new(Strategy::Staged);
    assert!(case.prove_at(29).is_ok());
    assert!(matches!(case.prove_at(101), Err(ProveError::Counterexample(_))));
}

#[test]
fn what_is_missing_is_named() {
    let without = |remove: fn(&mut Artefacts), strategy| {
        let mut case = Case::new(strategy);
        remove(&mut case.artefacts);
        case.prove_at(0).unwrap_err().to_string()
    };
    assert_eq!(
        without(|all| drop(all.roots.remove(&(AuthorityRole::Cluster, Generation::Next))), Strategy::Staged),
        "the next root of cluster is missing"
    );
    assert_eq!(
        without(|all| drop(all.leaves.remove(&(LeafKind::ApiServer, Generation::Next))), Strategy::Staged),
        "the leaf apiserver of the next generation is missing"
    );
    assert_eq!(
        without(|all| drop(all.cross_certificates.remove(&AuthorityRole::Cluster)), Strategy::CrossSigned),
        "the cross-certificate of cluster is missing"
    );
    assert_eq!(
        without(|all| drop(all.dialled.remove(&LeafKind::ApiServer)), Strategy::Staged),
        "nobody says under which name the server with the leaf apiserver is dialled"
    );
}

#[test]
fn a_model_with_an_impossible_name_is_no_topology() {
    let model = ClusterModel {
        etcd: vec![Component { name: "not a name".to_owned(), ..Component::default() }],
        ..ClusterModel::default()
    };
    let pool = |_: &str| PoolName::new("pool".parse().unwrap());
    let error = topology(&model, Hierarchy::kubeadm(), pool, 1).unwrap_err();
    assert!(error.to_string().starts_with("etcd: "), "{error}");
    assert!(Case::new(Strategy::Staged).hierarchy == Hierarchy::kubeadm());
}
