//! A kubelet cannot tell who calls it.

use pki_core::{Path, TrustSlot};

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Trust;

pub(in crate::checks) static CHECK: Check = Check {
    id: "kubelet.client_ca_missing",
    severity: Severity::Error,
    summary: "a kubelet has no authority to verify the API server with",
    applies_to: "kubelet",
    rationale: "The client certificate of the API server counts for nothing: either nobody gets through any more, or everybody does as \
                `system:anonymous`.",
    remediation: "Set `authentication.x509.clientCAFile` in the KubeletConfiguration to the bundle of the authority that issues \
                  kube-apiserver `--kubelet-client-certificate`.",
    source: "Kubernetes documentation, Kubelet authentication/authorization",
    channels: &[Channel::Tls(Path::ApiKubelet)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.kubelets {
        outcomes.judge(
            format_args!("kubelet {}", one.name),
            one.trust(TrustSlot::KubeletClientCa),
            "kubelet authentication.x509.clientCAFile",
            "a bundle in `authentication.x509.clientCAFile`",
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
        let one = case.kubelet();
        if let Some(trust) = trust {
            one.trusts.insert(TrustSlot::KubeletClientCa, Fact::default_of(trust));
        }
        case
    }

    #[test]
    fn fails_without_a_bundle() {
        assert_eq!(
            run(&CHECK, &with(Some(Trust::Nothing))),
            ["kubelet node-1: expected a bundle in `authentication.x509.clientCAFile`, found none"]
        );
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
        assert_eq!(run(&CHECK, &with(None)), ["not evaluated: kubelet authentication.x509.clientCAFile"]);
    }
}
