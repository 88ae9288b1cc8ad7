//! etcd signs its own server certificate.

use pki_core::{LeafKind, Path};

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Leaf;

pub(in crate::checks) static CHECK: Check = Check {
    id: "etcd.auto_tls",
    severity: Severity::Error,
    summary: "etcd presents a server certificate that it signed itself",
    applies_to: "etcd",
    rationale: "No client can verify it: whoever stands between the API server and etcd reads every Secret and writes every object.",
    remediation: "Set etcd `--auto-tls=false`, with `--cert-file` and `--key-file` from the authority of the etcd API.",
    source: "etcd documentation, Transport security model; etcd documentation, Configuration options, Security",
    channels: &[Channel::Tls(Path::ApiEtcd), Channel::Tls(Path::EtcdHealth), Channel::Tls(Path::EtcdGateway)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for etcd in &context.model.etcd {
        let Some((on, origin)) = outcomes.need(&etcd.settings.auto_tls, "etcd --auto-tls") else { continue };
        if !on {
            outcomes.pass();
            continue;
        }
        // With a certificate at hand etcd ignores the flag.
        let leaf = etcd.leaf(LeafKind::EtcdServer);
        let Some((leaf, of_leaf)) = outcomes.need(leaf, "etcd --cert-file") else { continue };
        match leaf {
            Leaf::Chain(_) | Leaf::IssuedBy(_) => outcomes.pass(),
            Leaf::SelfSigned | Leaf::Nothing => outcomes.fail(
                format_args!("etcd {}", etcd.name),
                origin.of_both(of_leaf),
                "a certificate in `--cert-file`",
                "`--auto-tls=true`",
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
        etcd.settings.auto_tls = on;
        if let Some(leaf) = leaf {
            etcd.leaves.insert(LeafKind::EtcdServer, Fact::default_of(leaf));
        }
        case
    }

    #[test]
    fn fails_when_it_is_on() {
        let line = "etcd cp-1: expected a certificate in `--cert-file`, found `--auto-tls=true`";
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
        assert_eq!(run(&CHECK, &with(Fact::Missing, None)), ["not evaluated: etcd --auto-tls"]);
        assert_eq!(run(&CHECK, &with(Fact::default_of(true), None)), ["not evaluated: etcd --cert-file"]);
    }
}
