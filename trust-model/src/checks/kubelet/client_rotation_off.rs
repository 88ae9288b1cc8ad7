//! A kubelet does not renew its client certificate.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "kubelet.client_rotation_off",
    severity: Severity::Warn,
    summary: "a kubelet does not renew its client certificate",
    applies_to: "kubelet",
    rationale: "When the certificate expires, the node is lost to the cluster; when the authority is rotated, the node keeps a \
                certificate of the old one until somebody recreates it.",
    remediation: "Set `rotateCertificates: true` in the KubeletConfiguration.",
    source: "Kubernetes documentation, Configure certificate rotation for the kubelet; KEP-266",
    channels: &[Channel::Tls(Path::NodeApi)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for one in &context.model.kubelets {
        outcomes.judge(
            format_args!("kubelet {}", one.name),
            &one.settings.rotate_certificates,
            "kubelet rotateCertificates",
            "`rotateCertificates: true`",
            |on| *on,
            |_| "`rotateCertificates: false`".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(fact: Fact<bool>) -> Case {
        let mut case = Case::default();
        case.kubelet().settings.rotate_certificates = fact;
        case
    }

    #[test]
    fn fails_when_it_is_off() {
        let found = run(&CHECK, &with(Fact::default_of(false)));
        assert_eq!(found, ["kubelet node-1: expected `rotateCertificates: true`, found `rotateCertificates: false`"]);
    }

    #[test]
    fn passes_when_it_is_on() {
        assert!(run(&CHECK, &with(Fact::declared(true, "somebody"))).is_empty());
    }

    /// Of two only one is named.
    #[test]
    fn names_only_the_one_that_fails() {
        let mut case = with(Fact::default_of(false));
        let other = case.kubelet();
        other.name = "other".to_owned();
        other.settings.rotate_certificates = Fact::default_of(true);
        assert_eq!(
            run(&CHECK, &case),
            ["kubelet node-1: expected `rotateCertificates: true`, found `rotateCertificates: false`"]
        );
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: kubelet rotateCertificates"]);
    }
}
