//! The API server does not know the webhook that it asks.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Trust;

pub(in crate::checks) static CHECK: Check = Check {
    id: "webhook.unverified",
    severity: Severity::Error,
    summary: "the API server verifies an admission webhook with nothing",
    applies_to: "admission webhooks",
    rationale: "Whoever answers in place of the webhook admits and rewrites every object, and reads the Secrets among them; a bundle \
                without certificates makes every call fail.",
    remediation: "Set `clientConfig.caBundle` of the webhook to the authority that issues its serving certificate.",
    source: "Kubernetes documentation, Dynamic admission control, Contacting the webhook",
    channels: &[Channel::Tls(Path::Webhook)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let Some((all, origin)) = outcomes.need(&context.model.webhooks, "webhook configurations") else { return };
    for one in all {
        if one.trust.verifies() {
            outcomes.pass();
        } else {
            outcomes.fail(
                &one.name,
                origin,
                "a `caBundle`, or the roots of the system",
                if one.trust == Trust::Nothing { "nothing is verified" } else { "an empty `caBundle`" },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::{Bundle, WebhookClient};
    use pki_core::AuthorityRole;

    fn with(trusts: Vec<Trust>) -> Case {
        let mut case = Case::default();
        let all = trusts.into_iter().map(|trust| WebhookClient { name: "one".into(), trust }).collect();
        case.model.webhooks = Fact::default_of(all);
        case
    }

    fn empty() -> Trust {
        Trust::Bundle(Bundle::new(Vec::new()).into())
    }

    #[test]
    fn fails_without_anything_to_verify_with() {
        let line = "one: expected a `caBundle`, or the roots of the system, found nothing is verified";
        assert_eq!(run(&CHECK, &with(vec![Trust::Nothing])), [line]);
    }

    /// A bundle without certificates is no bundle.
    #[test]
    fn fails_with_an_empty_bundle() {
        let line = "one: expected a `caBundle`, or the roots of the system, found an empty `caBundle`";
        assert_eq!(run(&CHECK, &with(vec![Trust::Authority(AuthorityRole::Cluster), empty()])), [line]);
    }

    /// Without `caBundle` the API server takes the roots of its system: a milder check speaks of that.
    #[test]
    fn passes_with_the_roots_of_the_system() {
        assert!(run(&CHECK, &with(vec![Trust::SystemRoots])).is_empty());
    }

    #[test]
    fn says_nothing_where_there_are_none() {
        assert!(run(&CHECK, &with(Vec::new())).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &Case::default()), ["not evaluated: webhook configurations"]);
    }
}
