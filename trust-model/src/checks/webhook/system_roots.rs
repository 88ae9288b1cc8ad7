//! A webhook is verified with everybody whom the system trusts.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Trust;

pub(in crate::checks) static CHECK: Check = Check {
    id: "webhook.system_roots",
    severity: Severity::Notice,
    summary: "the API server verifies an admission webhook with the roots of its system",
    applies_to: "admission webhooks",
    rationale: "Without `caBundle` every public authority of the API server's image can vouch for the webhook, and a webhook inside the \
                cluster has no certificate of theirs: its calls fail.",
    remediation: "Set `clientConfig.caBundle` of the webhook to the authority that issues its serving certificate.",
    source: "Kubernetes documentation, Dynamic admission control, Contacting the webhook",
    channels: &[Channel::Tls(Path::Webhook)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let Some((all, origin)) = outcomes.need(&context.model.webhooks, "webhook configurations") else { return };
    for one in all {
        if one.trust != Trust::SystemRoots {
            outcomes.pass();
        } else {
            outcomes.fail(&one.name, origin, "a `caBundle`", "the roots of the system");
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
    fn fails_with_the_roots_of_the_system() {
        let line = "one: expected a `caBundle`, found the roots of the system";
        assert_eq!(run(&CHECK, &with(vec![Trust::SystemRoots, Trust::Authority(AuthorityRole::Cluster)])), [line]);
    }

    #[test]
    fn passes_with_a_bundle() {
        assert!(run(&CHECK, &with(vec![Trust::Authority(AuthorityRole::Cluster)])).is_empty());
    }

    /// What verifies nothing is a graver check's.
    #[test]
    fn says_nothing_of_what_is_not_verified_at_all() {
        assert!(run(&CHECK, &with(vec![Trust::Nothing, empty()])).is_empty());
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
