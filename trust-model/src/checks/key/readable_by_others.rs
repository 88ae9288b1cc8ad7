//! Somebody else can read a private key.

use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "key.readable_by_others",
    severity: Severity::Error,
    summary: "the file of a private key is open to its group or to everybody",
    applies_to: "files of private keys",
    rationale: "Whoever reads the key is whoever it belongs to, until the authority is rotated: Kubernetes revokes \
                nothing.",
    remediation: "Set the mode of the file to 0600 and its owner to whoever runs the component; if others had \
                  access, issue the certificate anew with another key.",
    source: "CIS Kubernetes Benchmark 1.1.21; Kubernetes documentation, PKI certificates and requirements",
    channels: &[],
    run: Run::Cluster(run),
};

/// What the group and others may do.
const OTHERS: u32 = 0o077;

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for key in &context.model.keys {
        outcomes.judge(
            &key.place,
            &key.mode,
            "the permissions of the files of private keys",
            "mode 0600",
            |mode| mode & OTHERS == 0,
            |mode| format!("mode {:04o}", mode & 0o7777),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::{Fact, Place};
    use crate::model::KeyFile;

    fn case(mode: Fact<u32>) -> Case {
        let mut case = Case::default();
        case.model.keys.push(KeyFile { place: Place::file("pki/ca.key"), mode });
        case
    }

    fn of(mode: u32) -> Vec<String> {
        run(&CHECK, &case(Fact::observed(mode, Place::file("pki/ca.key"))))
    }

    #[test]
    fn fails_for_the_group_and_for_everybody() {
        assert_eq!(of(0o100_640), ["pki/ca.key: expected mode 0600, found mode 0640"]);
        assert_eq!(of(0o604), ["pki/ca.key: expected mode 0600, found mode 0604"]);
        assert_eq!(of(0o620).len(), 1);
    }

    #[test]
    fn passes_for_the_owner_alone() {
        assert!(of(0o100_600).is_empty() && of(0o400).is_empty() && of(0o700).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &case(Fact::Missing)), ["not evaluated: the permissions of the files of private keys"]);
    }
}
