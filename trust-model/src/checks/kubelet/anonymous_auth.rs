//! A kubelet answers callers that show nothing.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "kubelet.anonymous_auth",
    severity: Severity::Warn,
    summary: "a kubelet takes callers that show no credential as `system:anonymous`",
    applies_to: "kubelet",
    rationale: "The kubelet's API executes in every pod of the node. With anonymous callers let in, authorization alone decides, and \
                nobody can say afterwards who called.",
    remediation: "Set `authentication.anonymous.enabled: false` in the KubeletConfiguration.",
    source: "Kubernetes documentation, Kubelet authentication/authorization",
    channels: &[Channel::Tls(Path::ApiKubelet)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.kubelets {
        outcomes.judge(
            format_args!("kubelet {}", one.name),
            &one.settings.anonymous_auth,
            "kubelet authentication.anonymous.enabled",
            "`authentication.anonymous.enabled: false`",
            |on| !on,
            |_| "`authentication.anonymous.enabled: true`".to_owned(),
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
        case.kubelet().settings.anonymous_auth = fact;
        case
    }

    #[test]
    fn fails_when_it_is_on() {
        let found = run(&CHECK, &with(Fact::default_of(true)));
        assert_eq!(
            found,
            [
                "kubelet node-1: expected `authentication.anonymous.enabled: false`, found `authentication.anonymous.enabled: true`"
            ]
        );
    }

    #[test]
    fn passes_when_it_is_off() {
        assert!(run(&CHECK, &with(Fact::declared(false, "somebody"))).is_empty());
    }

    /// Of two only one is named.
    #[test]
    fn names_only_the_one_that_fails() {
        let mut case = with(Fact::default_of(true));
        let other = case.kubelet();
        other.name = "other".to_owned();
        other.settings.anonymous_auth = Fact::default_of(false);
        assert_eq!(
            run(&CHECK, &case),
            [
                "kubelet node-1: expected `authentication.anonymous.enabled: false`, found `authentication.anonymous.enabled: true`"
            ]
        );
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: kubelet authentication.anonymous.enabled"]);
    }
}
