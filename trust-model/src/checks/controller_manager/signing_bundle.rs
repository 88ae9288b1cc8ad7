//! The signer of certificate requests refuses its own authority.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::CsrSigning;

pub(in crate::checks) static CHECK: Check = Check {
    id: "controller_manager.signing_bundle",
    severity: Severity::Error,
    summary: "the file of the signing certificate does not hold exactly one certificate",
    applies_to: "kube-controller-manager",
    rationale: "The signer takes one certificate and refuses a bundle: no request is signed any more, no node joins, and every \
                node is lost when its certificate expires.",
    remediation: "Point kube-controller-manager `--cluster-signing-cert-file` at the certificate that signs alone, and keep the \
                  bundle of a rotation for `--root-ca-file` and `--client-ca-file`.",
    source: "Kubernetes documentation, Manual rotation of CA certificates; kubernetes/kops#4749",
    channels: &[Channel::Tls(Path::NodeApi), Channel::Tls(Path::NodeBootstrap)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let signing = context.model.csr_signing.value();
    for manager in &context.model.controller_managers {
        let count = &manager.settings.signing_certificates;
        let Some((count, origin)) = outcomes.need(count, "kube-controller-manager --cluster-signing-cert-file") else {
            continue;
        };
        let found = match (count, signing) {
            (1, _) => {
                outcomes.pass();
                continue;
            }
            // Where another signs, this one need not.
            (0, Some(CsrSigning::Service(_))) => continue,
            (0, None) => {
                outcomes.missing("who holds the key that signs certificate requests");
                continue;
            }
            (0, Some(CsrSigning::InProcess)) => "none".to_owned(),
            (count, _) => format!("{count} certificates"),
        };
        let subject = format_args!("kube-controller-manager {}", manager.name);
        outcomes.fail(subject, origin, "one certificate in `--cluster-signing-cert-file`", found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Protection;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(count: Fact<usize>, signing: Fact<CsrSigning>) -> Case {
        let mut case = Case::default();
        case.controller_manager().settings.signing_certificates = count;
        case.model.csr_signing = signing;
        case
    }

    #[test]
    fn fails_with_a_bundle() {
        let line = "kube-controller-manager cp-1: expected one certificate in `--cluster-signing-cert-file`, found 2 \
                    certificates";
        assert_eq!(run(&CHECK, &with(Fact::default_of(2), Fact::Missing)), [line]);
        let service = Fact::default_of(CsrSigning::Service(Protection::FULL));
        assert_eq!(run(&CHECK, &with(Fact::default_of(2), service)), [line]);
    }

    #[test]
    fn fails_without_any_where_it_signs_itself() {
        let found = run(&CHECK, &with(Fact::default_of(0), Fact::default_of(CsrSigning::InProcess)));
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("found none"));
    }

    #[test]
    fn passes_with_one() {
        assert!(run(&CHECK, &with(Fact::default_of(1), Fact::Missing)).is_empty());
    }

    /// Whoever does not sign needs nothing to sign with.
    #[test]
    fn says_nothing_of_one_that_does_not_sign() {
        let service = Fact::default_of(CsrSigning::Service(Protection::FULL));
        assert!(run(&CHECK, &with(Fact::default_of(0), service)).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let line = "not evaluated: kube-controller-manager --cluster-signing-cert-file";
        assert_eq!(run(&CHECK, &with(Fact::Missing, Fact::Missing)), [line]);
        let line = "not evaluated: who holds the key that signs certificate requests";
        assert_eq!(run(&CHECK, &with(Fact::default_of(0), Fact::Missing)), [line]);
    }
}
