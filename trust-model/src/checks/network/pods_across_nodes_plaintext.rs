//! Pods on different nodes talk in plain text.

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "network.pods_across_nodes_plaintext",
    severity: Severity::Warn,
    summary: "the network does not encrypt between pods on different nodes",
    applies_to: "every cluster",
    rationale: "Whoever listens on the network of the nodes reads what pods say to each other.",
    remediation: "Use a network that encrypts between nodes (the provider's, or WireGuard or IPsec of the network plugin), or a service mesh.",
    source: "GKE documentation, Cluster trust, Intracluster communication",
    channels: &[Channel::PodPodAcrossNodes],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let network = &context.model.infrastructure;
    outcomes.judge(
        "pods on different nodes",
        &network.pod_pod_across_nodes,
        "what the network gives to pods on different nodes",
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

    fn with(pod_pod_across_nodes: Fact<Protection>) -> Case {
        let mut case = Case::default();
        case.model.infrastructure.pod_pod_across_nodes = pod_pod_across_nodes;
        case
    }

    const fn given(encrypts: bool, authenticates_server: bool, authenticates_client: bool) -> Fact<Protection> {
        Fact::default_of(Protection { encrypts, authenticates_server, authenticates_client })
    }

    #[test]
    fn fails_without_encryption() {
        let line = "pods on different nodes: expected encryption below or within the application, found none";
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
        assert_eq!(
            run(&CHECK, &with(Fact::Missing)),
            ["not evaluated: what the network gives to pods on different nodes"]
        );
    }
}
