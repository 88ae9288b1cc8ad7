//! etcd trusts the authority of the cluster.

use pki_core::{AuthorityRole, ComponentKind, Path, TrustSlot};

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::checks::common::{in_common, is_comparable, keys_of, note_unknown, of_slot};
use crate::fact::Origin;

pub(in crate::checks) static CHECK: Check = Check {
    id: "etcd.ca_is_cluster_ca",
    severity: Severity::Error,
    summary: "etcd trusts an authority that clients of the Kubernetes API have certificates of",
    applies_to: "etcd and kube-apiserver",
    rationale: "etcd lets in every client of the authority: with the certificate of any kubelet every Secret can \
                be read and every object written, past the API server.",
    remediation: "Give etcd an authority of its own (`--trusted-ca-file`, `--peer-trusted-ca-file`) that issues \
                  for etcd and for the API server as its client only.",
    source: "Kubernetes documentation, PKI certificates and requirements; etcd documentation, Transport security \
             model",
    channels: &[
        Channel::Tls(Path::ApiEtcd),
        Channel::Tls(Path::EtcdPeer),
        Channel::Tls(Path::EtcdHealth),
        Channel::Tls(Path::EtcdGateway),
    ],
    run: Run::Cluster(run),
};

const CLIENTS: (ComponentKind, TrustSlot) = (ComponentKind::KubeApiServer, TrustSlot::ApiServerClientCa);

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let model = context.model;
    note_unknown(model, CLIENTS.0, CLIENTS.1, outcomes);
    for slot in [TrustSlot::EtcdTrustedCa, TrustSlot::EtcdPeerTrustedCa] {
        note_unknown(model, ComponentKind::Etcd, slot, outcomes);
        for etcd in of_slot(&context.chains, ComponentKind::Etcd, slot) {
            for clients in of_slot(&context.chains, CLIENTS.0, CLIENTS.1) {
                if !is_comparable(etcd, clients) {
                    outcomes.missing("the certificates of the authorities");
                    continue;
                }
                match in_common(etcd, clients, |one, other| one.key_fingerprint() == other.key_fingerprint()) {
                    None => outcomes.pass(),
                    Some(same) => outcomes.fail(
                        etcd.subject(),
                        etcd.origin,
                        "an authority of its own",
                        format!("{same}, which `--client-ca-file` trusts too"),
                    ),
                }
            }
        }
    }
    let of_clients = keys_of(model, &[AuthorityRole::Cluster, AuthorityRole::Client]);
    for role in [AuthorityRole::Etcd, AuthorityRole::EtcdApi, AuthorityRole::EtcdPeer] {
        for live in model.authority(role).value().into_iter().flat_map(|authority| &authority.live) {
            if of_clients.contains(&live.view().key_fingerprint()) {
                let subject = format!("authority {role} {}", live.view().subject.text);
                let origin = Origin::Observed(live.place().clone());
                outcomes.fail(subject, &origin, "a key of its own", "the key of the authority of clients");
            } else if !of_clients.is_empty() {
                outcomes.pass();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::pki::{Ca, bundle, findings};
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::{Authority, Trust};

    fn case(etcd: Fact<Trust>, clients: Fact<Trust>) -> Case {
        let mut case = Case::default();
        case.etcd().trusts.insert(TrustSlot::EtcdTrustedCa, etcd);
        case.api_server().trusts.insert(TrustSlot::ApiServerClientCa, clients);
        case
    }

    #[test]
    fn fails_for_the_same_key_under_another_name() {
        let ca = Ca::new("kubernetes");
        assert_eq!(
            findings(&CHECK, &case(bundle(&[&ca.again("etcd-ca")]), bundle(&[&ca]))),
            ["etcd cp-1 --trusted-ca-file: expected an authority of its own, \
              found `CN=etcd-ca`, which `--client-ca-file` trusts too"]
        );
    }

    #[test]
    fn fails_for_what_is_asserted_and_for_authorities_with_one_key() {
        let of = |role| Fact::declared(Trust::Authority(role), "a document");
        assert_eq!(findings(&CHECK, &case(of(AuthorityRole::Cluster), of(AuthorityRole::Cluster))).len(), 1);
        let ca = Ca::new("kubernetes");
        let mut case = case(of(AuthorityRole::Etcd), of(AuthorityRole::Cluster));
        for (role, ca) in [(AuthorityRole::Cluster, &ca), (AuthorityRole::Etcd, &ca.again("etcd-ca"))] {
            let authority = Authority { live: vec![ca.certificate()], retired: Vec::new() };
            case.model.authorities.insert(role, Fact::declared(authority, "somebody"));
        }
        assert_eq!(
            findings(&CHECK, &case),
            ["authority etcd CN=etcd-ca: expected a key of its own, found the key of the authority of clients"]
        );
    }

    #[test]
    fn passes_for_an_authority_of_its_own() {
        assert!(findings(&CHECK, &case(bundle(&[&Ca::new("ca")]), bundle(&[&Ca::new("ca")]))).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_bundle_is_unknown() {
        let ca = Ca::new("kubernetes");
        let lines = run(&CHECK, &case(bundle(&[&ca]), Fact::Missing));
        let expected = ["etcd --peer-trusted-ca-file", "kube-apiserver --client-ca-file"];
        assert_eq!(lines, expected.map(|what| format!("not evaluated: {what}")));
        let named = Fact::declared(Trust::Authority(AuthorityRole::Cluster), "a document");
        let lines = run(&CHECK, &case(bundle(&[&ca]), named));
        assert!(lines.contains(&"not evaluated: the certificates of the authorities".to_owned()));
    }
}
