//! A pod can become a node.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "bootstrap.secret_readable_by_pods",
    severity: Severity::Error,
    summary: "pods can read the secret with which a node asks for its certificate",
    applies_to: "every cluster",
    rationale: "With the secret a pod asks for the certificate of any node, and reads with it the Secrets of all pods there: node \
                after node, the whole cluster.",
    remediation: "Keep pods from the secret: Shielded GKE Nodes or Workload Identity Federation on GKE; elsewhere a NetworkPolicy \
                  before the metadata server, no `hostPath` to the bootstrap kubeconfig, and bootstrap tokens that expire.",
    source: "GKE documentation, Cluster trust, API server and kubelets; Kubernetes documentation, TLS bootstrapping",
    channels: &[Channel::Tls(Path::NodeBootstrap)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    outcomes.judge(
        "bootstrap secret",
        &context.model.infrastructure.bootstrap_secret_is_readable_by_pods,
        "whether pods can read the bootstrap secret",
        "out of reach of pods",
        |is_readable| !is_readable,
        |_| "within reach of pods".to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(fact: Fact<bool>) -> Case {
        let mut case = Case::default();
        case.model.infrastructure.bootstrap_secret_is_readable_by_pods = fact;
        case
    }

    #[test]
    fn fails_when_pods_read_it() {
        let found = run(&CHECK, &with(Fact::declared(true, "a document")));
        assert_eq!(found, ["bootstrap secret: expected out of reach of pods, found within reach of pods"]);
    }

    #[test]
    fn passes_when_they_do_not() {
        assert!(run(&CHECK, &with(Fact::declared(false, "a document"))).is_empty());
    }

    /// That a cluster has bootstrap tokens says nothing of who reads them.
    #[test]
    fn does_not_take_tokens_for_readable_ones() {
        let mut case = with(Fact::declared(false, "a document"));
        case.api_server().settings.bootstrap_tokens = Fact::default_of(true);
        assert!(run(&CHECK, &case).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: whether pods can read the bootstrap secret"]);
    }
}
