//! The API server does not know the aggregated API that it calls.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Trust;

pub(in crate::checks) static CHECK: Check = Check {
    id: "api_service.insecure_skip_tls_verify",
    severity: Severity::Error,
    summary: "the API server verifies an aggregated API with nothing",
    applies_to: "aggregated APIs",
    rationale: "The API server sends the user's name and request to whoever answers: who stands between reads and answers everything of the \
                API's group, custom metrics that scale workloads among it.",
    remediation: "Remove `spec.insecureSkipTLSVerify` from the APIService, and set `spec.caBundle` to the authority that issues the serving \
                  certificate of the aggregated API server.",
    source: "Kubernetes API reference, APIService v1, spec.insecureSkipTLSVerify; kubernetes/kubernetes#81119",
    channels: &[Channel::Tls(Path::FrontProxy)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let Some((all, origin)) = outcomes.need(&context.model.api_services, "APIService objects") else { return };
    for one in all {
        if one.trust.verifies() {
            outcomes.pass();
        } else {
            outcomes.fail(
                &one.name,
                origin,
                "a `caBundle`",
                if one.trust == Trust::Nothing { "`insecureSkipTLSVerify: true`" } else { "an empty `caBundle`" },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::{ApiServiceClient, Bundle};
    use pki_core::AuthorityRole;

    fn with(trusts: Vec<Trust>) -> Case {
        let mut case = Case::default();
        let all = trusts.into_iter().map(|trust| ApiServiceClient { name: "one".into(), trust }).collect();
        case.model.api_services = Fact::default_of(all);
        case
    }

    fn empty() -> Trust {
        Trust::Bundle(Bundle::new(Vec::new()).into())
    }

    #[test]
    fn fails_when_verification_is_skipped() {
        let line = "one: expected a `caBundle`, found `insecureSkipTLSVerify: true`";
        assert_eq!(run(&CHECK, &with(vec![Trust::Nothing, Trust::Authority(AuthorityRole::FrontProxy)])), [line]);
    }

    #[test]
    fn passes_with_a_bundle() {
        assert!(run(&CHECK, &with(vec![Trust::Authority(AuthorityRole::FrontProxy)])).is_empty());
    }

    /// A bundle without certificates verifies nobody.
    #[test]
    fn fails_with_an_empty_bundle() {
        assert_eq!(run(&CHECK, &with(vec![empty()])), ["one: expected a `caBundle`, found an empty `caBundle`"]);
    }

    #[test]
    fn says_nothing_where_there_are_none() {
        assert!(run(&CHECK, &with(Vec::new())).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &Case::default()), ["not evaluated: APIService objects"]);
    }
}
