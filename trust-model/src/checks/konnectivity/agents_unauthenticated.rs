//! Anybody may be a Konnectivity agent.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "konnectivity.agents_unauthenticated",
    severity: Severity::Error,
    summary: "the Konnectivity server takes agents that prove nothing",
    applies_to: "Konnectivity server",
    rationale: "Whoever reaches the port of the agents becomes one, and the API server sends it what is meant for nodes: `exec`, `logs`, \
                calls of webhooks.",
    remediation: "Set the Konnectivity server `--cluster-ca-cert` to the authority of the agents, or `--agent-namespace`, \
                  `--agent-service-account`, `--kubeconfig` and `--authentication-audience` for their tokens.",
    source: "Kubernetes documentation, Set up Konnectivity service; KEP-1281",
    channels: &[Channel::Tls(Path::KonnAgent)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.konnectivity_servers {
        outcomes.judge(
            format_args!("Konnectivity server {}", one.name),
            &one.settings.authenticates_agents,
            "Konnectivity server --cluster-ca-cert, --agent-service-account",
            "agents that prove who they are",
            |on| *on,
            |_| "agents that need not".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(fact: Fact<bool>) -> Case {
        let mut case = Case::default();
        case.konnectivity_server().settings.authenticates_agents = fact;
        case
    }

    #[test]
    fn fails_when_it_is_off() {
        let found = run(&CHECK, &with(Fact::default_of(false)));
        assert_eq!(
            found,
            ["Konnectivity server cp-1: expected agents that prove who they are, found agents that need not"]
        );
    }

    #[test]
    fn passes_when_it_is_on() {
        assert!(run(&CHECK, &with(Fact::declared(true, "somebody"))).is_empty());
    }

    /// Knowing the API server is not knowing the agents.
    #[test]
    fn fails_when_only_api_servers_are_asked() {
        let mut case = with(Fact::default_of(false));
        case.model.konnectivity_servers[0].settings.authenticates_api_servers = Fact::default_of(true);
        assert_eq!(run(&CHECK, &case).len(), 1);
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(
            run(&CHECK, &with(Fact::Missing)),
            ["not evaluated: Konnectivity server --cluster-ca-cert, --agent-service-account"]
        );
    }
}
