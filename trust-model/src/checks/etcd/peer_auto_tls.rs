//! An etcd member signs its own peer certificate.

use pki_core::{LeafKind, Path};

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Leaf;

pub(in crate::checks) static CHECK: Check = Check {
    id: "etcd.peer_auto_tls",
    severity: Severity::Error,
    summary: "an etcd member presents a peer certificate that it signed itself",
    applies_to: "etcd",
    rationale: "No member can verify another: whoever reaches the peer port speaks Raft as one.",
    remediation: "Set etcd `--peer-auto-tls=false`, with `--peer-cert-file` and `--peer-key-file` from the authority of the peers.",
    source: "etcd documentation, Transport security model; etcd documentation, Configuration options, Security",
    channels: &[Channel::Tls(Path::EtcdPeer)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for etcd in &context.model.etcd {
        let Some((on, origin)) = outcomes.need(&etcd.settings.peer_auto_tls, "etcd --peer-auto-tls") else { continue };
        if !on {
            outcomes.pass();
            continue;
        }
        // With a certificate at hand etcd ignores the flag.
        let leaf = etcd.leaf(LeafKind::EtcdPeer);
        let Some((leaf, of_leaf)) = outcomes.need(leaf, "etcd --peer-cert-file") else { continue };
        match leaf {
            Leaf::Chain(_) | Leaf::IssuedBy(_) => outcomes.pass(),
            Leaf::SelfSigned | Leaf::Nothing => outcomes.fail(
                format_args!("etcd {}", etcd.name),
                origin.of_both(of_leaf),
                "a certificate in `--peer-cert-file`",
                "`--peer-auto-tls=true`",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use pki_core::AuthorityRole;

    fn with(on: Fact<bool>, leaf: Option<Leaf>) -> Case {
        let mut case = Case::default();
        let etcd = case.etcd();
        etcd.settings.peer_auto_tls = on;
        if let Some(leaf) = leaf {
            etcd.leaves.insert(LeafKind::EtcdPeer, Fact::default_of(leaf));
        }
        case
    }

    #[test]
    fn fails_when_it_is_on() {
        let line = "etcd cp-1: expected a certificate in `--peer-cert-file`, found `--peer-auto-tls=true`";
        assert_eq!(run(&CHECK, &with(Fact::default_of(true), Some(Leaf::SelfSigned))), [line]);
        assert_eq!(run(&CHECK, &with(Fact::default_of(true), Some(Leaf::Nothing))), [line]);
    }

    #[test]
    fn passes_when_it_is_off() {
        assert!(run(&CHECK, &with(Fact::default_of(false), None)).is_empty());
    }

    /// The flag does nothing where there is a certificate.
    #[test]
    fn passes_when_it_is_on_and_ignored() {
        let leaf = Leaf::IssuedBy(AuthorityRole::EtcdPeer);
        assert!(run(&CHECK, &with(Fact::default_of(true), Some(leaf))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing, None)), ["not evaluated: etcd --peer-auto-tls"]);
        assert_eq!(run(&CHECK, &with(Fact::default_of(true), None)), ["not evaluated: etcd --peer-cert-file"]);
    }
}
