//! Nobody asks the node at the other end of the tunnel who it is.

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::SshTunnels;

pub(in crate::checks) static CHECK: Check = Check {
    id: "ssh.host_key_unchecked",
    severity: Severity::Error,
    summary: "the API server opens SSH tunnels without comparing the host key",
    applies_to: "clusters with SSH tunnels",
    rationale: "Whoever answers on port 22 of the node's address ends the tunnel, and reads and changes all that goes to the node.",
    remediation: "Take kube-apiserver `--ssh-user` and `--ssh-keyfile` away, and reach nodes through Konnectivity \
                  (`--egress-selector-config-file`): the client that Kubernetes has built in compares no host key.",
    source: "Security audit of Kubernetes, 2019, finding 10 (kubernetes/kubernetes#81118)",
    channels: &[Channel::SshTunnel],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    outcomes.judge(
        "SSH tunnels",
        &context.model.ssh_tunnels,
        "whether there are SSH tunnels",
        "a host key that is compared",
        |tunnels| *tunnels != SshTunnels::Used { checks_host_key: false },
        |_| "any host key is accepted".to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(fact: Fact<SshTunnels>) -> Case {
        let mut case = Case::default();
        case.model.ssh_tunnels = fact;
        case
    }

    #[test]
    fn fails_when_nobody_compares() {
        let found = run(&CHECK, &with(Fact::default_of(SshTunnels::Used { checks_host_key: false })));
        assert_eq!(found, ["SSH tunnels: expected a host key that is compared, found any host key is accepted"]);
    }

    #[test]
    fn passes_without_tunnels() {
        assert!(run(&CHECK, &with(Fact::default_of(SshTunnels::None))).is_empty());
    }

    /// A tunnel to a node that is known is one.
    #[test]
    fn passes_a_tunnel_whose_end_is_known() {
        assert!(run(&CHECK, &with(Fact::default_of(SshTunnels::Used { checks_host_key: true }))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: whether there are SSH tunnels"]);
    }
}
