//! An input could not be used.

use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Origin;

pub(in crate::checks) static CHECK: Check = Check {
    id: "input.broken",
    severity: Severity::Error,
    summary: "an input could not be used",
    applies_to: "what was read",
    rationale: "What stands in it was not checked, and the component that reads it may fail as this audit did.",
    remediation: "Repair or remove the input that is named, and run the audit again.",
    source: "this audit",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for input in &context.model.broken {
        let origin = Origin::Observed(input.place.clone());
        outcomes.fail(&input.place, &origin, "an input that can be used", input.reason.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Place;
    use crate::model::BrokenInput;

    #[test]
    fn fails_for_each() {
        let mut case = Case::default();
        let place = Place::file("pki/ca.crt");
        case.model.broken.push(BrokenInput { place, reason: "no PEM block".to_owned() });
        let place = Place::item("manifests/etcd.yaml", "spec.containers");
        case.model.broken.push(BrokenInput { place, reason: "no such field".to_owned() });
        assert_eq!(
            run(&CHECK, &case),
            [
                "pki/ca.crt: expected an input that can be used, found no PEM block",
                "manifests/etcd.yaml spec.containers: expected an input that can be used, found no such field"
            ]
        );
    }

    /// What is unknown was read; that is another finding.
    #[test]
    fn passes_when_everything_was_read() {
        let mut case = Case::default();
        case.kubelet().unknown.push(crate::model::UnknownSetting { name: "x".into(), place: Place::file("a") });
        assert!(run(&CHECK, &case).is_empty());
    }
}
