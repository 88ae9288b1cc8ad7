//! The API server allows everything to everybody it knows.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::AuthorizationMode;

pub(in crate::checks) static CHECK: Check = Check {
    id: "api_server.always_allow",
    severity: Severity::Error,
    summary: "the API server allows everything to every caller",
    applies_to: "kube-apiserver",
    rationale: "Every pod with a service-account token and every node is an administrator. One mode of the list is enough: the first that \
                allows decides.",
    remediation: "Set kube-apiserver `--authorization-mode=Node,RBAC`.",
    source: "Kubernetes documentation, Authorization, Authorization modes; Communication between nodes and the control plane",
    channels: &[
        Channel::Tls(Path::NodeApi),
        Channel::Tls(Path::NodeBootstrap),
        Channel::Tls(Path::PodApi),
        Channel::Tls(Path::KcmApi),
        Channel::Tls(Path::SchedApi),
        Channel::Tls(Path::AdminApi),
    ],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.api_servers {
        outcomes.judge(
            format_args!("kube-apiserver {}", one.name),
            &one.settings.authorization_modes,
            "kube-apiserver --authorization-mode",
            "an `--authorization-mode` without `AlwaysAllow`",
            |modes| !modes.contains(&AuthorizationMode::AlwaysAllow),
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
    fn fails_when_everything_is_allowed() {
        let found = run(&CHECK, &with(Some(vec![AuthorizationMode::AlwaysAllow])));
        assert_eq!(
            found,
            [
                "kube-apiserver cp-1: expected an `--authorization-mode` without `AlwaysAllow`, found `--authorization-mode=AlwaysAllow`"
            ]
        );
    }

    #[test]
    fn passes_with_modes_that_decide() {
        assert!(run(&CHECK, &with(Some(vec![AuthorizationMode::Node, AuthorizationMode::Rbac]))).is_empty());
    }

    /// The last of several allows what the others did not.
    #[test]
    fn fails_when_it_is_one_of_several() {
        assert_eq!(
            run(
                &CHECK,
                &with(Some(vec![AuthorizationMode::Node, AuthorizationMode::Rbac, AuthorizationMode::AlwaysAllow]))
            )
            .len(),
            1
        );
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(None)), ["not evaluated: kube-apiserver --authorization-mode"]);
    }
}
