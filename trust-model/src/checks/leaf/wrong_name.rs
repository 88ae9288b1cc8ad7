//! A server has no name under which it is dialled.

use std::sync::Arc;

use pki_core::{LeafKind, SubjectAltName, verify_server_name};
use rustls_pki_types::ServerName;

use crate::chains::{Presented, Side};
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;
use crate::rule::{PathRule, ServerRule};

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.wrong_name",
    severity: Severity::Error,
    summary: "a server certificate lacks the name under which it is dialled",
    applies_to: "server certificates that were read",
    rationale: "Clients compare the name that they dial with the subject alternative names and nothing else; they \
                refuse the server, or were told not to look.",
    remediation: "Issue the certificate anew with the names of the server: of the API server those of the service \
                  `kubernetes`, of a kubelet those of its node.",
    source: "RFC 9525 6.3; Kubernetes documentation, PKI certificates and requirements",
    channels: &[],
    run: Run::Leaf(run),
};

/// Under which pods find the API server, besides its address.
const API_SERVER: &str = "kubernetes.default.svc";

fn run(_: &Context<'_>, leaf: &Presented<'_>, certificate: &Arc<Certificate>, outcomes: &mut Outcomes) -> Judged {
    let is_dialled = leaf
        .paths
        .iter()
        .any(|(path, side)| *side == Side::Server && PathRule::of(*path).server() == ServerRule::DialledName);
    if !is_dialled {
        return Judged::Skip;
    }
    let names = certificate.view().extensions.subject_alt_names.as_ref();
    let (has_dns, has_address) =
        names.map_or((false, false), |names| (!names.dns_names.is_empty(), !names.ip_addresses.is_empty()));
    if !has_dns && !has_address {
        return Judged::Fail("a dNSName or an iPAddress".to_owned(), "none".to_owned());
    }
    match leaf.kind {
        LeafKind::ApiServer if !is_valid_for(certificate, API_SERVER) => {
            Judged::Fail(format!("a certificate for `{API_SERVER}`"), written(certificate))
        }
        LeafKind::KubeletServing => kubelet(leaf, certificate).unwrap_or_else(|| {
            outcomes.missing("the addresses under which kubelets are dialled");
            Judged::Skip
        }),
        _ => Judged::Pass,
    }
}

/// The API server dials a node by its name first, and by an address that only the node's status says.
fn kubelet(leaf: &Presented<'_>, certificate: &Certificate) -> Option<Judged> {
    let other = leaf.seats.iter().find(|seat| !is_valid_for(certificate, seat.name));
    let Some(other) = other else { return Some(Judged::Pass) };
    let names = certificate.view().extensions.subject_alt_names.as_ref();
    let has_address = names.is_some_and(|names| !names.ip_addresses.is_empty());
    (!has_address).then(|| {
        let expected = format!("a certificate for `{}` or an address", pki_core::Printable::from(other.name));
        Judged::Fail(expected, written(certificate))
    })
}

fn is_valid_for(certificate: &Certificate, name: &str) -> bool {
    // A verifier needs no more than this; of what is not the very name it knows better.
    let is_name = |one: &SubjectAltName| matches!(one, SubjectAltName::Dns(dns) if dns.as_str() == name);
    certificate.identity().is_ok_and(|identity| identity.subject_alt_names().iter().any(is_name))
        || ServerName::try_from(name).is_ok_and(|name| verify_server_name(certificate.der(), &name).is_ok())
}

fn written(certificate: &Certificate) -> String {
    let names = certificate.view().extensions.subject_alt_names.iter();
    let all = names.flat_map(|names| names.dns_names.iter().chain(&names.ip_addresses));
    all.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::leaf::testing;
    use crate::checks::pki::{Ca, Draft, chain, findings};
    use crate::checks::testing::{Case, run};

    fn case(kind: LeafKind, names: &[&str], addresses: &[&str]) -> Case {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        let draft = Draft { names: owned(names), addresses: owned(addresses), ..Draft::of(kind) };
        let leaf = chain(vec![Ca::new("ca").issue(&draft)]);
        let mut case = Case::default();
        match kind {
            LeafKind::KubeletServing => case.kubelet().leaves.insert(kind, leaf),
            _ => case.api_server().leaves.insert(kind, leaf),
        };
        case
    }

    #[test]
    fn fails_for_an_api_server_that_pods_do_not_find() {
        assert_eq!(
            findings(&CHECK, &case(LeafKind::ApiServer, &["kubernetes", "api.example.com"], &["10.96.0.1"])),
            ["kube-apiserver cp-1 apiserver: expected a certificate for `kubernetes.default.svc`, \
              found `kubernetes`, `api.example.com`, `10.96.0.1`"]
        );
    }

    #[test]
    fn fails_for_a_server_without_names_and_for_a_kubelet_with_those_of_another() {
        let line = "kubelet node-1 kubelet-serving: expected a dNSName or an iPAddress, found none";
        assert_eq!(findings(&CHECK, &case(LeafKind::KubeletServing, &[], &[])), [line]);
        assert_eq!(findings(&CHECK, &case(LeafKind::KubeletServing, &["node-2"], &[])).len(), 1);
    }

    #[test]
    fn passes_for_their_names() {
        assert!(findings(&CHECK, &case(LeafKind::ApiServer, &["kubernetes.default.svc"], &[])).is_empty());
        assert!(findings(&CHECK, &case(LeafKind::KubeletServing, &["node-1"], &[])).is_empty());
        assert!(findings(&CHECK, &case(LeafKind::ApiServerEtcdClient, &[], &[])).is_empty());
    }

    /// Nobody says here which addresses a node has.
    #[test]
    fn is_not_evaluated_for_a_kubelet_that_is_known_by_an_address() {
        let lines = run(&CHECK, &case(LeafKind::KubeletServing, &["node-2"], &["192.0.2.1"]));
        assert!(lines.contains(&"not evaluated: the addresses under which kubelets are dialled".to_owned()));
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
