//! A pod does not know with whom it talks.

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "network.pods_unauthenticated",
    severity: Severity::Notice,
    summary: "nothing tells a pod who the other one is",
    applies_to: "every cluster",
    rationale: "Every pod that reaches another is heard by it: a pod that somebody has taken over talks to all of them.",
    remediation: "Restrict who talks to whom with a NetworkPolicy; have a service mesh, or the applications themselves, authenticate both ends \
                  by TLS.",
    source: "GKE documentation, Cluster trust, Intracluster communication",
    channels: &[Channel::PodPodAcrossNodes, Channel::PodPodOnNode],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let network = &context.model.infrastructure;
    outcomes.judge(
        "pods on different nodes",
        &network.pod_pod_across_nodes,
        "what the network gives to pods on different nodes",
        "both ends authenticated",
        |given| given.authenticates_server && given.authenticates_client,
        |_| "not both".to_owned(),
    );
    outcomes.judge(
        "pods on one node",
        &network.pod_pod_on_node,
        "what pods on one node have",
        "both ends authenticated",
        |given| given.authenticates_server && given.authenticates_client,
        |_| "not both".to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Protection;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(pod_pod_across_nodes: Fact<Protection>, pod_pod_on_node: Fact<Protection>) -> Case {
        let mut case = Case::default();
        case.model.infrastructure.pod_pod_across_nodes = pod_pod_across_nodes;
        case.model.infrastructure.pod_pod_on_node = pod_pod_on_node;
        case
    }

    const fn given(encrypts: bool, authenticates_server: bool, authenticates_client: bool) -> Fact<Protection> {
        Fact::default_of(Protection { encrypts, authenticates_server, authenticates_client })
    }

    #[test]
    fn fails_where_nobody_is_known() {
        let none = || given(false, false, false);
        assert_eq!(
            run(&CHECK, &with(none(), none())),
            [
                "pods on different nodes: expected both ends authenticated, found not both",
                "pods on one node: expected both ends authenticated, found not both"
            ]
        );
    }

    #[test]
    fn passes_where_both_are() {
        assert!(run(&CHECK, &with(given(true, true, true), given(true, true, true))).is_empty());
    }

    /// To encrypt is not to know, and to know the server is not to know the client.
    #[test]
    fn fails_where_one_end_is_not_known() {
        assert_eq!(run(&CHECK, &with(given(true, false, false), given(true, true, false))).len(), 2);
        assert_eq!(run(&CHECK, &with(given(true, false, true), given(true, true, true))).len(), 1);
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(
            run(&CHECK, &with(Fact::Missing, Fact::Missing)),
            [
                "not evaluated: what pods on one node have",
                "not evaluated: what the network gives to pods on different nodes"
            ]
        );
    }
}
