//! A kubelet tells everybody what runs on the node.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "kubelet.read_only_port",
    severity: Severity::Warn,
    summary: "a kubelet serves a port without TLS and without authentication",
    applies_to: "kubelet",
    rationale: "Whoever reaches the port reads the specifications of all pods of the node, with what stands in their environments.",
    remediation: "Set `readOnlyPort: 0` in the KubeletConfiguration.",
    source: "Kubernetes documentation, Kubelet configuration (v1beta1), readOnlyPort; kubernetes/kubernetes#59666",
    channels: &[Channel::Tls(Path::ApiKubelet)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.kubelets {
        outcomes.judge(
            format_args!("kubelet {}", one.name),
            &one.settings.read_only_port,
            "kubelet readOnlyPort",
            "`readOnlyPort: 0`",
            |port| *port == 0,
            |port| format!("`readOnlyPort: {port}`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(fact: Fact<u16>) -> Case {
        let mut case = Case::default();
        case.kubelet().settings.read_only_port = fact;
        case
    }

    #[test]
    fn fails_when_it_is_open() {
        let found = run(&CHECK, &with(Fact::default_of(10_255)));
        assert_eq!(found, ["kubelet node-1: expected `readOnlyPort: 0`, found `readOnlyPort: 10255`"]);
    }

    #[test]
    fn passes_when_it_is_closed() {
        assert!(run(&CHECK, &with(Fact::default_of(0))).is_empty());
    }

    /// Any port is one, the lowest too.
    #[test]
    fn fails_on_another_port_than_the_usual_one() {
        assert_eq!(run(&CHECK, &with(Fact::default_of(1))).len(), 1);
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: kubelet readOnlyPort"]);
    }
}
