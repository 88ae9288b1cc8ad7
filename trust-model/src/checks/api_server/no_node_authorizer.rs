//! Nothing keeps a node to its own objects.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::AuthorizationMode;

pub(in crate::checks) static CHECK: Check = Check {
    id: "api_server.no_node_authorizer",
    severity: Severity::Notice,
    summary: "the API server does not keep kubelets to the objects of their own node",
    applies_to: "kube-apiserver",
    rationale: "Without the Node authorizer a kubelet is allowed by roles, which know no nodes: whoever holds one node reads the Secrets of \
                all of them.",
    remediation: "Set kube-apiserver `--authorization-mode=Node,RBAC` and `--enable-admission-plugins=NodeRestriction`.",
    source: "Kubernetes documentation, Using Node Authorization",
    channels: &[Channel::Tls(Path::NodeApi)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.api_servers {
        outcomes.judge(
            format_args!("kube-apiserver {}", one.name),
            &one.settings.authorization_modes,
            "kube-apiserver --authorization-mode",
            "`Node` in `--authorization-mode`",
            |modes| modes.contains(&AuthorizationMode::Node),
            |modes| super::modes(modes),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(modes: Option<Vec<AuthorizationMode>>) -> Case {
        let mut case = Case::default();
        case.api_server().settings.authorization_modes = modes.map_or(Fact::Missing, Fact::default_of);
        case
    }

    #[test]
    fn fails_without_it() {
        let found = run(
            &CHECK,
            &with(Some(vec![
                AuthorizationMode::Rbac,
                AuthorizationMode::Abac,
                AuthorizationMode::Webhook,
                AuthorizationMode::AlwaysDeny,
            ])),
        );
        assert_eq!(
            found,
            [
                "kube-apiserver cp-1: expected `Node` in `--authorization-mode`, found `--authorization-mode=RBAC,ABAC,Webhook,AlwaysDeny`"
            ]
        );
    }

    #[test]
    fn passes_with_it() {
        assert!(run(&CHECK, &with(Some(vec![AuthorizationMode::Node, AuthorizationMode::Rbac]))).is_empty());
    }

    /// Names are compared as they are.
    #[test]
    fn fails_with_one_that_only_sounds_like_it() {
        assert_eq!(
            run(&CHECK, &with(Some(vec![AuthorizationMode::Rbac, AuthorizationMode::Other("node".into())]))).len(),
            1
        );
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(None)), ["not evaluated: kube-apiserver --authorization-mode"]);
    }
}
