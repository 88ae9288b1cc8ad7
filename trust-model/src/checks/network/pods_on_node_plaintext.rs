//! Pods on one node talk in plain text.

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "network.pods_on_node_plaintext",
    severity: Severity::Notice,
    summary: "nothing encrypts between pods on one node",
    applies_to: "every cluster",
    rationale: "The network layer encrypts between machines, and this traffic leaves none: whoever has the node, or its network namespace, \
                reads it.",
    remediation: "Encrypt in the application layer, with a service mesh or TLS of the applications; restrict who talks to whom with a \
                  NetworkPolicy.",
    source: "GKE documentation, Cluster trust, Intracluster communication",
    channels: &[Channel::PodPodOnNode],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let network = &context.model.infrastructure;
    outcomes.judge(
        "pods on one node",
        &network.pod_pod_on_node,
        "what pods on one node have",
        "encryption below or within the application",
        |given| given.encrypts,
        |_| "none".to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Protection;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(pod_pod_on_node: Fact<Protection>) -> Case {
        let mut case = Case::default();
        case.model.infrastructure.pod_pod_on_node = pod_pod_on_node;
        case
    }

    const fn given(encrypts: bool, authenticates_server: bool, authenticates_client: bool) -> Fact<Protection> {
        Fact::default_of(Protection { encrypts, authenticates_server, authenticates_client })
    }

    #[test]
    fn fails_without_encryption() {
        let line = "pods on one node: expected encryption below or within the application, found none";
        assert_eq!(run(&CHECK, &with(given(false, false, false))), [line]);
    }

    #[test]
    fn passes_with_encryption() {
        assert!(run(&CHECK, &with(given(true, true, true))).is_empty());
    }

    /// Who a pod is, is another question.
    #[test]
    fn passes_with_encryption_to_whomever() {
        assert!(run(&CHECK, &with(given(true, false, false))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: what pods on one node have"]);
    }
}
