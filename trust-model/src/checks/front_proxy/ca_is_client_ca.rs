//! The authority of the front proxy is that of clients.

use pki_core::inspect::CertificateView;
use pki_core::{ComponentKind, Path, TrustSlot};

use crate::chains::Trusted;
use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::checks::common::{in_common, is_comparable, note_unknown, of_slot};

pub(in crate::checks) static CHECK: Check = Check {
    id: "front_proxy.ca_is_client_ca",
    severity: Severity::Error,
    summary: "the authority of the front proxy is one that clients have certificates of",
    applies_to: "kube-apiserver",
    rationale: "Without `--requestheader-allowed-names` whoever has a client certificate writes `X-Remote-User` \
                and is anybody. With it the certificates of kubelets and other clients are held against the names \
                of the front proxy first, and clients may be refused.",
    remediation: "Give the front proxy an authority of its own, with another key and another name, and put it \
                  alone into `--requestheader-client-ca-file`.",
    source: "NCC-E003660-F9W; kubernetes/kubernetes#119267; Kubernetes documentation, Configure the aggregation \
             layer, CA reusage and conflicts",
    channels: &[Channel::Tls(Path::FrontProxy), Channel::Tls(Path::CpInternal)],
    run: Run::Cluster(run),
};

const API_SERVER: ComponentKind = ComponentKind::KubeApiServer;

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let slots = [TrustSlot::ApiServerRequestheaderCa, TrustSlot::ApiServerClientCa];
    slots.into_iter().for_each(|slot| note_unknown(context.model, API_SERVER, slot, outcomes));
    for proxies in of_slot(&context.chains, API_SERVER, TrustSlot::ApiServerRequestheaderCa) {
        for clients in of_slot(&context.chains, API_SERVER, TrustSlot::ApiServerClientCa) {
            if !is_comparable(proxies, clients) {
                outcomes.missing("the certificates of the authorities");
                continue;
            }
            match in_common(proxies, clients, is_same) {
                None => outcomes.pass(),
                Some(same) => {
                    let found = format!("{same}, which `--client-ca-file` trusts too; {}", names(context, proxies));
                    outcomes.fail(proxies.subject(), proxies.origin, "an authority of its own", found);
                }
            }
        }
    }
}

/// Verifiers look for an authority by its name first.
fn is_same(one: &CertificateView, other: &CertificateView) -> bool {
    one.key_fingerprint() == other.key_fingerprint() || one.has_subject_of(other)
}

/// What keeps others from speaking for everybody.
fn names(context: &Context<'_>, proxies: &Trusted<'_>) -> &'static str {
    let holders = context.model.api_servers.iter().filter(|api| proxies.holders.contains(&api.name.as_str()));
    let lists: Vec<_> = holders.map(|api| api.settings.requestheader_allowed_names.value()).collect();
    if lists.iter().flatten().any(|names| names.is_empty()) {
        "`--requestheader-allowed-names` is empty: every client is anybody"
    } else if lists.iter().all(Option::is_some) {
        "`--requestheader-allowed-names` is set: clients of other names may be refused"
    } else {
        "`--requestheader-allowed-names` is not known"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::pki::{Ca, bundle, findings};
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn case(proxies: &Ca, clients: &Ca, names: Fact<Vec<pki_core::Printable>>) -> Case {
        let mut case = Case::default();
        let api = case.api_server();
        api.trusts.insert(TrustSlot::ApiServerRequestheaderCa, bundle(&[proxies]));
        api.trusts.insert(TrustSlot::ApiServerClientCa, bundle(&[clients]));
        api.settings.requestheader_allowed_names = names;
        case
    }

    #[test]
    fn fails_for_one_authority_and_says_what_the_names_do() {
        let ca = Ca::new("kubernetes");
        let of = |names| findings(&CHECK, &case(&ca, &ca, names));
        let line = "kube-apiserver cp-1 --requestheader-client-ca-file: expected an authority of its own, \
                    found `CN=kubernetes`, which `--client-ca-file` trusts too; `--requestheader-allowed-names` is ";
        assert_eq!(of(Fact::default_of(Vec::new())), [format!("{line}empty: every client is anybody")]);
        let set = Fact::default_of(vec!["front-proxy-client".into()]);
        assert_eq!(of(set), [format!("{line}set: clients of other names may be refused")]);
        assert_eq!(of(Fact::Missing), [format!("{line}not known")]);
    }

    #[test]
    fn fails_for_the_same_key_and_for_the_same_name() {
        let ca = Ca::new("kubernetes");
        assert_eq!(findings(&CHECK, &case(&ca.again("front-proxy-ca"), &ca, Fact::Missing)).len(), 1);
        assert_eq!(findings(&CHECK, &case(&Ca::new("kubernetes"), &ca, Fact::Missing)).len(), 1);
    }

    #[test]
    fn passes_for_another_key_and_name() {
        let case = case(&Ca::new("front-proxy-ca"), &Ca::new("kubernetes"), Fact::default_of(Vec::new()));
        assert!(findings(&CHECK, &case).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_bundle_is_unknown() {
        let mut case = Case::default();
        case.api_server().trusts.insert(TrustSlot::ApiServerClientCa, bundle(&[&Ca::new("ca")]));
        assert_eq!(run(&CHECK, &case), ["not evaluated: kube-apiserver --requestheader-client-ca-file"]);
    }
}
