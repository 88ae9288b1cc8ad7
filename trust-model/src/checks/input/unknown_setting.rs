//! A component has a setting that this crate does not know.

use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Origin;

pub(in crate::checks) static CHECK: Check = Check {
    id: "input.unknown_setting",
    severity: Severity::Notice,
    summary: "a component has a setting that the audit does not know",
    applies_to: "settings that were read",
    rationale: "Nothing is concluded from it, and it may change what is concluded from the others.",
    remediation: "Compare the name with the component's reference: a misspelt one does nothing, and a new one may matter.",
    source: "this audit",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for holder in context.model.all_holders() {
        for setting in holder.unknown {
            let subject = format!("{} {}", holder.kind, holder.name);
            let origin = Origin::Observed(setting.place.clone());
            outcomes.fail(subject.trim_end(), &origin, "a setting that is known", format!("`{}`", setting.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Place;
    use crate::model::UnknownSetting;

    #[test]
    fn fails_for_each() {
        let mut case = Case::default();
        let place = Place::item("manifests/kube-apiserver.yaml", "--anonymus-auth");
        case.api_server().unknown.push(UnknownSetting { name: "--anonymus-auth".into(), place });
        let found = run(&CHECK, &case);
        assert_eq!(found, ["kube-apiserver cp-1: expected a setting that is known, found `--anonymus-auth`"]);
    }

    /// What is known says nothing here, however bad it is.
    #[test]
    fn passes_when_all_are_known() {
        let mut case = Case::default();
        case.api_server().settings.anonymous_auth = crate::fact::Fact::default_of(true);
        assert!(run(&CHECK, &case).is_empty());
    }
}
