//! etcd lets clients in without a certificate.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "etcd.client_cert_auth_off",
    severity: Severity::Error,
    summary: "etcd serves clients that show no certificate",
    applies_to: "etcd",
    rationale: "Whoever reaches the client port reads every Secret and writes every object, past the API server.",
    remediation: "Set etcd `--client-cert-auth=true` and `--trusted-ca-file` to the authority of the etcd API.",
    source: "etcd documentation, Transport security model",
    channels: &[Channel::Tls(Path::ApiEtcd), Channel::Tls(Path::EtcdHealth), Channel::Tls(Path::EtcdGateway)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for etcd in &context.model.etcd {
        outcomes.judge(
            format_args!("etcd {}", etcd.name),
            &etcd.settings.client_cert_auth,
            "etcd --client-cert-auth",
            "`--client-cert-auth=true` with `--trusted-ca-file`",
            |on| *on,
            |_| "no certificate is asked for".to_owned(),
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
        case.etcd().settings.client_cert_auth = fact;
        case
    }

    #[test]
    fn fails_when_it_is_off() {
        let found = run(&CHECK, &with(Fact::default_of(false)));
        assert_eq!(
            found,
            ["etcd cp-1: expected `--client-cert-auth=true` with `--trusted-ca-file`, \
              found no certificate is asked for"]
        );
    }

    #[test]
    fn passes_when_it_is_on() {
        assert!(run(&CHECK, &with(Fact::declared(true, "somebody"))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: etcd --client-cert-auth"]);
    }
}
