//! Whatever runs on the machine of the API server is let in.

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::InsecurePort;

pub(in crate::checks) static CHECK: Check = Check {
    id: "api_server.insecure_port_loopback",
    severity: Severity::Warn,
    summary: "a port of the API server without TLS, authentication or authorization is open on the loopback interface",
    applies_to: "kube-apiserver",
    rationale: "Every process of the machine owns the cluster, a pod with `hostNetwork` too, and a request that somebody makes a local \
                program send.",
    remediation: "Set kube-apiserver `--insecure-port=0`, and give each control-plane component a kubeconfig for the secure port.",
    source: "Kubernetes documentation, Master-Node communication; kubernetes/kubernetes#13598, #95856",
    channels: &[Channel::LocalInsecurePort],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.api_servers {
        outcomes.judge(
            format_args!("kube-apiserver {}", one.name),
            &one.settings.insecure_port,
            "kube-apiserver --insecure-port",
            "`--insecure-port=0`",
            |port| !matches!(port, InsecurePort::Loopback(_)),
            |port| match port {
                InsecurePort::Loopback(port) => format!("`--insecure-port={port}` on the loopback interface"),
                _ => String::new(),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(fact: Fact<InsecurePort>) -> Case {
        let mut case = Case::default();
        case.api_server().settings.insecure_port = fact;
        case
    }

    #[test]
    fn fails_when_it_is_open() {
        let found = run(&CHECK, &with(Fact::default_of(InsecurePort::Loopback(8080))));
        assert_eq!(
            found,
            [
                "kube-apiserver cp-1: expected `--insecure-port=0`, found `--insecure-port=8080` on the loopback interface"
            ]
        );
    }

    #[test]
    fn passes_when_it_is_closed() {
        assert!(run(&CHECK, &with(Fact::default_of(InsecurePort::Closed))).is_empty());
    }

    /// A graver check speaks of that one.
    #[test]
    fn says_nothing_of_the_network() {
        assert!(run(&CHECK, &with(Fact::default_of(InsecurePort::Network(8080)))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: kube-apiserver --insecure-port"]);
    }
}
