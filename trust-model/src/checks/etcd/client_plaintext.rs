//! etcd speaks with its clients in plain text.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Transport;
use crate::posture::is_protected;

pub(in crate::checks) static CHECK: Check = Check {
    id: "etcd.client_plaintext",
    severity: Severity::Error,
    summary: "etcd is reached without TLS",
    applies_to: "etcd, and kube-apiserver as its client",
    rationale: "Whoever listens on the way reads every Secret that is written, and nobody asks a client who it is.",
    remediation: "Give etcd `https:` URLs in `--listen-client-urls` and `--advertise-client-urls`, with `--cert-file` and \
                  `--key-file`, and kube-apiserver the same in `--etcd-servers`, with `--etcd-cafile`.",
    source: "etcd documentation, Transport security model; kubernetes/kubernetes#81112",
    channels: &[Channel::Tls(Path::ApiEtcd)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let is_good = |transport: &Transport| is_protected(*transport);
    for etcd in &context.model.etcd {
        // A port weakens whoever calls it; what the API server dials weakens nobody else.
        outcomes.judge_on(
            &[Channel::Tls(Path::EtcdHealth), Channel::Tls(Path::EtcdGateway)],
            format_args!("etcd {}", etcd.name),
            &etcd.settings.client_transport,
            "etcd --listen-client-urls",
            "`https:` in `--listen-client-urls`",
            is_good,
            |_| "`http:`".to_owned(),
        );
    }
    for api in &context.model.api_servers {
        outcomes.judge(
            format_args!("kube-apiserver {}", api.name),
            &api.settings.etcd_transport,
            "kube-apiserver --etcd-servers",
            "`https:` in `--etcd-servers`",
            is_good,
            |_| "`http:`".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, outcomes, run};
    use crate::fact::Fact;

    fn with(fact: Fact<Transport>) -> Case {
        let mut case = Case::default();
        case.etcd().settings.client_transport = fact.clone();
        case.api_server().settings.etcd_transport = fact;
        case
    }

    #[test]
    fn fails_without_tls() {
        assert_eq!(
            run(&CHECK, &with(Fact::default_of(Transport::Plain))),
            [
                "kube-apiserver cp-1: expected `https:` in `--etcd-servers`, found `http:`",
                "etcd cp-1: expected `https:` in `--listen-client-urls`, found `http:`"
            ]
        );
    }

    #[test]
    fn passes_with_tls() {
        assert!(run(&CHECK, &with(Fact::default_of(Transport::Tls))).is_empty());
    }

    /// What the API server dials says nothing of the port that others call.
    #[test]
    fn weakens_whoever_calls_the_port() {
        let channels = |case: &Case| {
            let outcomes = outcomes(&CHECK, &case.model, None);
            outcomes.failed.into_values().flatten().map(|subject| subject.channels).collect::<Vec<_>>()
        };
        let mut case = Case::default();
        case.api_server().settings.etcd_transport = Fact::default_of(Transport::Plain);
        assert_eq!(channels(&case), [vec![]]);
        let mut case = Case::default();
        case.etcd().settings.client_transport = Fact::default_of(Transport::Plain);
        assert_eq!(channels(&case), [[Channel::Tls(Path::EtcdHealth), Channel::Tls(Path::EtcdGateway)]]);
    }

    /// What stays on the machine crosses no network.
    #[test]
    fn passes_on_the_machine_itself() {
        assert!(run(&CHECK, &with(Fact::default_of(Transport::Loopback))).is_empty());
        assert!(run(&CHECK, &with(Fact::default_of(Transport::UnixSocket))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let found = run(&CHECK, &with(Fact::Missing));
        assert_eq!(found, ["not evaluated: etcd --listen-client-urls", "not evaluated: kube-apiserver --etcd-servers"]);
    }
}
