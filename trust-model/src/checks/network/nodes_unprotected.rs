//! Nodes talk to each other unprotected.

use crate::channel::{Channel, Protection};
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "network.nodes_unprotected",
    severity: Severity::Warn,
    summary: "the network between nodes does not encrypt, or knows nobody",
    applies_to: "every cluster",
    rationale: "What Kubernetes itself does not protect crosses this network: traffic of pods, of volumes, of whatever runs on the machines.",
    remediation: "Use a network that encrypts and authenticates between machines (the provider's, or WireGuard or IPsec of the network plugin).",
    source: "GKE documentation, Cluster trust, Intracluster communication",
    channels: &[Channel::NodeNode],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let network = &context.model.infrastructure;
    outcomes.judge(
        "nodes",
        &network.node_node,
        "what the network gives to nodes",
        "encrypted and authenticated",
        |given| *given == Protection::FULL,
        |_| "not both".to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(node_node: Fact<Protection>) -> Case {
        let mut case = Case::default();
        case.model.infrastructure.node_node = node_node;
        case
    }

    const fn given(encrypts: bool, authenticates_server: bool, authenticates_client: bool) -> Fact<Protection> {
        Fact::default_of(Protection { encrypts, authenticates_server, authenticates_client })
    }

    #[test]
    fn fails_without_protection() {
        let line = "nodes: expected encrypted and authenticated, found not both";
        assert_eq!(run(&CHECK, &with(given(false, false, false))), [line]);
    }

    /// Encryption to whomever is not enough here.
    #[test]
    fn fails_with_encryption_alone() {
        assert_eq!(run(&CHECK, &with(given(true, false, false))).len(), 1);
        assert_eq!(run(&CHECK, &with(given(true, true, false))).len(), 1);
    }

    #[test]
    fn passes_with_both() {
        assert!(run(&CHECK, &with(given(true, true, true))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: what the network gives to nodes"]);
    }
}
