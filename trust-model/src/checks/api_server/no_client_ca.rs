//! The API server knows no client certificate.

use pki_core::{Path, TrustSlot};

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Trust;

pub(in crate::checks) static CHECK: Check = Check {
    id: "api_server.no_client_ca",
    severity: Severity::Error,
    summary: "the API server has no authority to verify client certificates with",
    applies_to: "kube-apiserver",
    rationale: "Kubelets and control-plane components authenticate with client certificates. Without the flag each of them is \
                `system:anonymous`, or refused.",
    remediation: "Set kube-apiserver `--client-ca-file` to the bundle of the cluster authority.",
    source: "Kubernetes documentation, Authenticating, X509 client certificates; PKI certificates and requirements",
    channels: &[
        Channel::Tls(Path::NodeApi),
        Channel::Tls(Path::KcmApi),
        Channel::Tls(Path::SchedApi),
        Channel::Tls(Path::AdminApi),
    ],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.api_servers {
        outcomes.judge(
            format_args!("kube-apiserver {}", one.name),
            one.trust(TrustSlot::ApiServerClientCa),
            "kube-apiserver --client-ca-file",
            "a bundle in `--client-ca-file`",
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
        let one = case.api_server();
        if let Some(trust) = trust {
            one.trusts.insert(TrustSlot::ApiServerClientCa, Fact::default_of(trust));
        }
        case
    }

    #[test]
    fn fails_without_a_bundle() {
        assert_eq!(
            run(&CHECK, &with(Some(Trust::Nothing))),
            ["kube-apiserver cp-1: expected a bundle in `--client-ca-file`, found none"]
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
        assert_eq!(run(&CHECK, &with(None)), ["not evaluated: kube-apiserver --client-ca-file"]);
    }
}
