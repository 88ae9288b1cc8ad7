//! A kubelet allows everything to whoever it knows.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::AuthorizationMode;

pub(in crate::checks) static CHECK: Check = Check {
    id: "kubelet.always_allow",
    severity: Severity::Error,
    summary: "a kubelet allows everything to every caller",
    applies_to: "kubelet",
    rationale: "Every client certificate of the cluster authority, that of another node too, executes in every pod of the node; where \
                anonymous callers are let in, everybody does.",
    remediation: "Set `authorization.mode: Webhook` in the KubeletConfiguration.",
    source: "Kubernetes documentation, Kubelet authentication/authorization",
    channels: &[Channel::Tls(Path::ApiKubelet)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.kubelets {
        outcomes.judge(
            format_args!("kubelet {}", one.name),
            &one.settings.authorization_mode,
            "kubelet authorization.mode",
            "`authorization.mode: Webhook`",
            |mode| *mode != AuthorizationMode::AlwaysAllow,
            |_| "`authorization.mode: AlwaysAllow`".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(fact: Fact<AuthorizationMode>) -> Case {
        let mut case = Case::default();
        case.kubelet().settings.authorization_mode = fact;
        case
    }

    #[test]
    fn fails_when_everything_is_allowed() {
        let found = run(&CHECK, &with(Fact::default_of(AuthorizationMode::AlwaysAllow)));
        let line = "kubelet node-1: expected `authorization.mode: Webhook`, found `authorization.mode: AlwaysAllow`";
        assert_eq!(found, [line]);
    }

    #[test]
    fn passes_when_the_api_server_is_asked() {
        assert!(run(&CHECK, &with(Fact::default_of(AuthorizationMode::Webhook))).is_empty());
    }

    /// Another word that begins alike allows nothing by itself.
    #[test]
    fn passes_a_mode_that_only_sounds_like_it() {
        assert!(run(&CHECK, &with(Fact::default_of(AuthorizationMode::Other("AlwaysAllowed".into())))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: kubelet authorization.mode"]);
    }
}
