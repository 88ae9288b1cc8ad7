//! etcd lets members in without a certificate.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "etcd.peer_client_cert_auth_off",
    severity: Severity::Error,
    summary: "etcd takes messages from peers that show no certificate",
    applies_to: "etcd",
    rationale: "Whoever reaches the peer port speaks Raft as a member: it writes every object, past the API server and its log.",
    remediation: "Set etcd `--peer-client-cert-auth=true` and `--peer-trusted-ca-file` to the authority of the peers.",
    source: "etcd documentation, Transport security model",
    channels: &[Channel::Tls(Path::EtcdPeer)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.etcd {
        outcomes.judge(
            format_args!("etcd {}", one.name),
            &one.settings.peer_client_cert_auth,
            "etcd --peer-client-cert-auth",
            "`--peer-client-cert-auth=true` with `--peer-trusted-ca-file`",
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
        case.etcd().settings.peer_client_cert_auth = fact;
        case
    }

    #[test]
    fn fails_when_it_is_off() {
        let found = run(&CHECK, &with(Fact::default_of(false)));
        assert_eq!(
            found,
            ["etcd cp-1: expected `--peer-client-cert-auth=true` with `--peer-trusted-ca-file`, \
              found no certificate is asked for"]
        );
    }

    #[test]
    fn passes_when_it_is_on() {
        assert!(run(&CHECK, &with(Fact::declared(true, "somebody"))).is_empty());
    }

    /// What holds for clients says nothing of peers.
    #[test]
    fn fails_when_only_clients_are_asked() {
        let mut case = with(Fact::default_of(false));
        case.model.etcd[0].settings.client_cert_auth = Fact::default_of(true);
        assert_eq!(run(&CHECK, &case).len(), 1);
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: etcd --peer-client-cert-auth"]);
    }
}
