//! SSH tunnels have a successor.

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::SshTunnels;

pub(in crate::checks) static CHECK: Check = Check {
    id: "ssh.deprecated",
    severity: Severity::Notice,
    summary: "the API server reaches nodes through SSH tunnels, which later releases do not have",
    applies_to: "clusters with SSH tunnels",
    rationale: "kube-apiserver lost the flags; a cluster that relies on them cannot be upgraded, and each node serves port 22.",
    remediation: "Set up Konnectivity: its server beside the API server (`--egress-selector-config-file`), its agents on nodes.",
    source: "Kubernetes documentation, Communication between nodes and the control plane, SSH tunnels; KEP-1281",
    channels: &[Channel::SshTunnel],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    outcomes.judge(
        "SSH tunnels",
        &context.model.ssh_tunnels,
        "whether there are SSH tunnels",
        "Konnectivity, or nothing",
        |tunnels| *tunnels == SshTunnels::None,
        |_| "SSH tunnels".to_owned(),
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
    fn fails_with_tunnels() {
        let found = run(&CHECK, &with(Fact::default_of(SshTunnels::Used { checks_host_key: false })));
        assert_eq!(found, ["SSH tunnels: expected Konnectivity, or nothing, found SSH tunnels"]);
    }

    /// A good tunnel is of yesterday too.
    #[test]
    fn fails_with_tunnels_whose_end_is_known() {
        assert_eq!(run(&CHECK, &with(Fact::default_of(SshTunnels::Used { checks_host_key: true }))).len(), 1);
    }

    #[test]
    fn passes_without() {
        assert!(run(&CHECK, &with(Fact::default_of(SshTunnels::None))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: whether there are SSH tunnels"]);
    }
}
