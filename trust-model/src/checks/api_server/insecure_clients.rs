//! A control-plane component calls the API server without TLS.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Fact;
use crate::model::ApiAccess;

pub(in crate::checks) static CHECK: Check = Check {
    id: "api_server.insecure_clients",
    severity: Severity::Warn,
    summary: "a control-plane component calls the API server on its insecure port",
    applies_to: "kube-controller-manager and kube-scheduler",
    rationale: "The component reads Secrets and writes certificates in plain HTTP, and shows nothing of itself: as long as it \
                does, the port cannot be closed.",
    remediation: "Give the component a kubeconfig for the secure port (`--kubeconfig`), and take `--master=http://…` away.",
    source: "Kubernetes documentation, Master-Node communication; kubernetes/kubernetes#13598",
    channels: &[Channel::Tls(Path::KcmApi), Channel::Tls(Path::SchedApi), Channel::LocalInsecurePort],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let mut judge = |kind: &str, name: &str, fact: &Fact<ApiAccess>| {
        outcomes.judge(
            format_args!("{kind} {name}"),
            fact,
            &format!("{kind} --kubeconfig"),
            "a `--kubeconfig` for the secure port",
            |access| *access == ApiAccess::Secure,
            |_| "the insecure port".to_owned(),
        );
    };
    for manager in &context.model.controller_managers {
        judge("kube-controller-manager", &manager.name, &manager.settings.access);
    }
    for scheduler in &context.model.schedulers {
        judge("kube-scheduler", &scheduler.name, &scheduler.settings.access);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};

    fn with(manager: Fact<ApiAccess>, scheduler: Fact<ApiAccess>) -> Case {
        let mut case = Case::default();
        case.controller_manager().settings.access = manager;
        case.scheduler().settings.access = scheduler;
        case
    }

    #[test]
    fn fails_on_the_insecure_port() {
        let insecure = || Fact::default_of(ApiAccess::Insecure);
        assert_eq!(
            run(&CHECK, &with(insecure(), insecure())),
            [
                "kube-controller-manager cp-1: expected a `--kubeconfig` for the secure port, found the insecure port",
                "kube-scheduler cp-1: expected a `--kubeconfig` for the secure port, found the insecure port"
            ]
        );
    }

    #[test]
    fn passes_on_the_secure_port() {
        let secure = || Fact::default_of(ApiAccess::Secure);
        assert!(run(&CHECK, &with(secure(), secure())).is_empty());
    }

    /// One of the two is moved already.
    #[test]
    fn names_only_the_one_that_fails() {
        let found = run(&CHECK, &with(Fact::default_of(ApiAccess::Secure), Fact::default_of(ApiAccess::Insecure)));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("kube-scheduler "));
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let found = run(&CHECK, &with(Fact::Missing, Fact::Missing));
        let lines =
            ["not evaluated: kube-controller-manager --kubeconfig", "not evaluated: kube-scheduler --kubeconfig"];
        assert_eq!(found, lines);
    }
}
