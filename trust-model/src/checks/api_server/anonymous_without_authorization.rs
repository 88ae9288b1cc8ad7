//! The API server does everything for everybody.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Fact;
use crate::model::AuthorizationMode;

pub(in crate::checks) static CHECK: Check = Check {
    id: "api_server.anonymous_without_authorization",
    severity: Severity::Error,
    summary: "the API server lets in callers that show nothing, and allows them everything",
    applies_to: "kube-apiserver",
    rationale: "Whoever reaches the port owns the cluster. Releases that know the danger switch anonymous callers off at start \
                when they find the mode; that is a safety net, and no configuration.",
    remediation: "Set kube-apiserver `--authorization-mode=Node,RBAC`; then decide on `--anonymous-auth`.",
    source: "Kubernetes documentation, Communication between nodes and the control plane; kubernetes/kubernetes#38706",
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
    for api in &context.model.api_servers {
        let anonymous = &api.settings.anonymous_auth;
        let allows = api.settings.authorization_modes.map(|modes| modes.contains(&AuthorizationMode::AlwaysAllow));
        // One of the two is enough to be safe, so the other need not be known then.
        let is_off = |fact: &Fact<bool>| fact.value() == Some(&false);
        if is_off(anonymous) || is_off(&allows) {
            outcomes.pass();
            continue;
        }
        let anonymous = outcomes.need(anonymous, "kube-apiserver --anonymous-auth");
        let allows = outcomes.need(&allows, "kube-apiserver --authorization-mode");
        if let (Some((_, anonymous)), Some((_, allows))) = (anonymous, allows) {
            outcomes.fail(
                format_args!("kube-apiserver {}", api.name),
                allows.of_both(anonymous),
                "`--anonymous-auth=false`, or an `--authorization-mode` without `AlwaysAllow`",
                "`--anonymous-auth=true` with `AlwaysAllow`",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};

    fn with(anonymous: Fact<bool>, modes: Option<Vec<AuthorizationMode>>) -> Case {
        let mut case = Case::default();
        let settings = &mut case.api_server().settings;
        settings.anonymous_auth = anonymous;
        settings.authorization_modes = modes.map_or(Fact::Missing, Fact::default_of);
        case
    }

    fn open() -> Option<Vec<AuthorizationMode>> {
        Some(vec![AuthorizationMode::AlwaysAllow])
    }

    #[test]
    fn fails_when_everybody_may_do_everything() {
        let found = run(&CHECK, &with(Fact::default_of(true), open()));
        let line = "kube-apiserver cp-1: expected `--anonymous-auth=false`, or an `--authorization-mode` without \
                    `AlwaysAllow`, found `--anonymous-auth=true` with `AlwaysAllow`";
        assert_eq!(found, [line]);
    }

    /// What every cluster does by default: the health endpoints answer everybody, and nothing else does.
    #[test]
    fn passes_anonymous_callers_that_roles_decide_about() {
        let modes = Some(vec![AuthorizationMode::Node, AuthorizationMode::Rbac]);
        assert!(run(&CHECK, &with(Fact::default_of(true), modes)).is_empty());
    }

    #[test]
    fn passes_without_anonymous_callers() {
        assert!(run(&CHECK, &with(Fact::default_of(false), open())).is_empty());
    }

    /// One safe half decides, whatever the other is.
    #[test]
    fn passes_with_one_half_unknown_and_the_other_safe() {
        assert!(run(&CHECK, &with(Fact::default_of(false), None)).is_empty());
        assert!(run(&CHECK, &with(Fact::Missing, Some(vec![AuthorizationMode::Rbac]))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let found = run(&CHECK, &with(Fact::Missing, open()));
        assert_eq!(found, ["not evaluated: kube-apiserver --anonymous-auth"]);
        let found = run(&CHECK, &with(Fact::default_of(true), None));
        assert_eq!(found, ["not evaluated: kube-apiserver --authorization-mode"]);
    }
}
