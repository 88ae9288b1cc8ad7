//! Aggregated APIs have nothing to verify the API server with.

use pki_core::{Path, TrustSlot};

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Trust;

pub(in crate::checks) static CHECK: Check = Check {
    id: "front_proxy.no_requestheader_ca",
    severity: Severity::Error,
    summary: "there are aggregated APIs, and no authority of the front proxy is published to them",
    applies_to: "kube-apiserver, where there are aggregated APIs",
    rationale: "An aggregated API server takes the user's name from headers, and believes them for the certificate under this \
                authority. Without it no call through the API server is authenticated.",
    remediation: "Set kube-apiserver `--requestheader-client-ca-file`, with `--requestheader-allowed-names`, \
                  `--proxy-client-cert-file` and `--proxy-client-key-file`.",
    source: "Kubernetes documentation, Configure the aggregation layer",
    channels: &[Channel::Tls(Path::FrontProxy)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let Some((services, _)) = outcomes.need(&context.model.api_services, "APIService objects") else { return };
    if services.is_empty() {
        return;
    }
    if context.model.api_servers.is_empty() {
        outcomes.missing("kube-apiserver --requestheader-client-ca-file");
    }
    for api in &context.model.api_servers {
        outcomes.judge(
            format_args!("kube-apiserver {}", api.name),
            api.trust(TrustSlot::ApiServerRequestheaderCa),
            "kube-apiserver --requestheader-client-ca-file",
            "a bundle in `--requestheader-client-ca-file`",
            Trust::verifies,
            |_| "none".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::ApiServiceClient;
    use pki_core::AuthorityRole;

    fn with(services: usize, trust: Option<Trust>) -> Case {
        let mut case = Case::default();
        let service = ApiServiceClient { name: "v1beta1.metrics.k8s.io".into(), trust: Trust::SystemRoots };
        case.model.api_services = Fact::default_of(vec![service; services]);
        let api = case.api_server();
        if let Some(trust) = trust {
            api.trusts.insert(TrustSlot::ApiServerRequestheaderCa, Fact::default_of(trust));
        }
        case
    }

    #[test]
    fn fails_when_an_api_is_left_without() {
        let line = "kube-apiserver cp-1: expected a bundle in `--requestheader-client-ca-file`, found none";
        assert_eq!(run(&CHECK, &with(1, Some(Trust::Nothing))), [line]);
    }

    #[test]
    fn passes_with_a_bundle() {
        assert!(run(&CHECK, &with(1, Some(Trust::Authority(AuthorityRole::FrontProxy)))).is_empty());
    }

    /// Where nothing is aggregated, nobody misses it.
    #[test]
    fn says_nothing_without_aggregated_apis() {
        assert!(run(&CHECK, &with(0, Some(Trust::Nothing))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let line = ["not evaluated: kube-apiserver --requestheader-client-ca-file"];
        assert_eq!(run(&CHECK, &with(1, None)), line);
        let mut case = with(1, None);
        case.model.api_servers.clear();
        assert_eq!(run(&CHECK, &case), line);
        assert_eq!(run(&CHECK, &Case::default()), ["not evaluated: APIService objects"]);
    }
}
