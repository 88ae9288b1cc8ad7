//! Certificate requests travel unprotected to whoever signs them.

use crate::channel::{Channel, Protection};
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::CsrSigning;

pub(in crate::checks) static CHECK: Check = Check {
    id: "controller_manager.signing_unprotected",
    severity: Severity::Error,
    summary: "the service that signs certificate requests is not called over mutually authenticated TLS",
    applies_to: "clusters whose key is held by a signing service",
    rationale: "Whoever can speak in the place of the controller gets a certificate for any name; whoever answers in the place \
                of the service decides which certificates nodes get.",
    remediation: "Call the service over TLS, verify it with a bundle of its own authority, and show it a client certificate or a \
                  token that it verifies.",
    source: "GKE documentation, Cluster trust, API server and kubelets",
    channels: &[Channel::CsrSigning],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let what = "who holds the key that signs certificate requests";
    let Some((signing, origin)) = outcomes.need(&context.model.csr_signing, what) else { return };
    let CsrSigning::Service(Protection { encrypts, authenticates_server, authenticates_client }) = signing else {
        return;
    };
    let lacks: Vec<&str> = [
        (encrypts, "no encryption"),
        (authenticates_server, "the service is not verified"),
        (authenticates_client, "the caller is not verified"),
    ]
    .into_iter()
    .filter_map(|(holds, lacks)| (!holds).then_some(lacks))
    .collect();
    if lacks.is_empty() {
        outcomes.pass();
    } else {
        outcomes.fail("signing service", origin, "TLS that verifies both ends", lacks.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(signing: Fact<CsrSigning>) -> Case {
        let mut case = Case::default();
        case.model.csr_signing = signing;
        case
    }

    #[test]
    fn fails_without_any_protection() {
        let found = run(&CHECK, &with(Fact::default_of(CsrSigning::Service(Protection::NONE))));
        let line = "signing service: expected TLS that verifies both ends, \
                    found no encryption, the service is not verified, the caller is not verified";
        assert_eq!(found, [line]);
    }

    /// One end that does not know the other is enough.
    #[test]
    fn fails_when_the_caller_is_not_known() {
        let protection = Protection { authenticates_client: false, ..Protection::FULL };
        let found = run(&CHECK, &with(Fact::default_of(CsrSigning::Service(protection))));
        assert_eq!(found, ["signing service: expected TLS that verifies both ends, found the caller is not verified"]);
    }

    #[test]
    fn passes_with_all_of_it() {
        assert!(run(&CHECK, &with(Fact::default_of(CsrSigning::Service(Protection::FULL)))).is_empty());
    }

    /// What travels nowhere needs no protection.
    #[test]
    fn says_nothing_of_a_key_in_the_process() {
        assert!(run(&CHECK, &with(Fact::default_of(CsrSigning::InProcess))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let line = "not evaluated: who holds the key that signs certificate requests";
        assert_eq!(run(&CHECK, &with(Fact::Missing)), [line]);
    }
}
