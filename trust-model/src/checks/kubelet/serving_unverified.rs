//! The API server does not verify kubelets.

use pki_core::{Path, TrustSlot};

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Trust;

pub(in crate::checks) static CHECK: Check = Check {
    id: "kubelet.serving_unverified",
    severity: Severity::Error,
    summary: "the API server does not verify the serving certificates of kubelets",
    applies_to: "kube-apiserver",
    rationale: "Without the flag the API server takes any certificate: whoever stands between it and a node reads logs, \
                answers `exec` and receives what is sent to pods.",
    remediation: "Set kube-apiserver `--kubelet-certificate-authority` to the bundle of the authority that issues kubelet \
                  serving certificates, and `serverTLSBootstrap: true` in the KubeletConfiguration.",
    source: "Kubernetes documentation, Communication between nodes and the control plane; kubernetes/kubernetes#81119",
    channels: &[Channel::Tls(Path::ApiKubelet)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for api in &context.model.api_servers {
        outcomes.judge(
            format_args!("kube-apiserver {}", api.name),
            api.trust(TrustSlot::ApiServerKubeletCa),
            "kube-apiserver --kubelet-certificate-authority",
            "a bundle in `--kubelet-certificate-authority`",
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
    use crate::model::Bundle;
    use pki_core::AuthorityRole;

    fn with(trust: Option<Trust>) -> Case {
        let mut case = Case::default();
        let api = case.api_server();
        if let Some(trust) = trust {
            api.trusts.insert(TrustSlot::ApiServerKubeletCa, Fact::default_of(trust));
        }
        case
    }

    #[test]
    fn fails_without_a_bundle() {
        let found = run(&CHECK, &with(Some(Trust::Nothing)));
        assert_eq!(found, ["kube-apiserver cp-1: expected a bundle in `--kubelet-certificate-authority`, found none"]);
    }

    #[test]
    fn passes_with_one() {
        assert!(run(&CHECK, &with(Some(Trust::Authority(AuthorityRole::Cluster)))).is_empty());
    }

    /// An empty file verifies nobody, and is no bundle.
    #[test]
    fn fails_with_an_empty_one() {
        assert_eq!(run(&CHECK, &with(Some(Trust::Bundle(Bundle::new(Vec::new()).into())))).len(), 1);
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(None)), ["not evaluated: kube-apiserver --kubelet-certificate-authority"]);
    }
}
