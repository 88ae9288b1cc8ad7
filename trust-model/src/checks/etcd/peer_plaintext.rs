//! etcd members speak with each other in plain text.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::posture::is_protected;

pub(in crate::checks) static CHECK: Check = Check {
    id: "etcd.peer_plaintext",
    severity: Severity::Error,
    summary: "etcd members reach each other without TLS",
    applies_to: "etcd",
    rationale: "Whoever listens on the way reads every object as it is replicated, and no member knows who sends.",
    remediation: "Give etcd `https:` URLs in `--listen-peer-urls` and `--initial-advertise-peer-urls`, with `--peer-cert-file` and \
                  `--peer-key-file`.",
    source: "etcd documentation, Transport security model",
    channels: &[Channel::Tls(Path::EtcdPeer)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.etcd {
        outcomes.judge(
            format_args!("etcd {}", one.name),
            &one.settings.peer_transport,
            "etcd --listen-peer-urls",
            "`https:` in `--listen-peer-urls`",
            |transport| is_protected(*transport),
            |_| "`http:`".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::Transport;

    fn with(fact: Fact<Transport>) -> Case {
        let mut case = Case::default();
        case.etcd().settings.peer_transport = fact;
        case
    }

    #[test]
    fn fails_without_tls() {
        assert_eq!(
            run(&CHECK, &with(Fact::default_of(Transport::Plain))),
            ["etcd cp-1: expected `https:` in `--listen-peer-urls`, found `http:`"]
        );
    }

    #[test]
    fn passes_with_tls() {
        assert!(run(&CHECK, &with(Fact::default_of(Transport::Tls))).is_empty());
    }

    /// A cluster of one member may listen on its own machine only.
    #[test]
    fn passes_on_the_machine_itself() {
        assert!(run(&CHECK, &with(Fact::default_of(Transport::Loopback))).is_empty());
        assert!(run(&CHECK, &with(Fact::default_of(Transport::UnixSocket))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: etcd --listen-peer-urls"]);
    }
}
