//! A server speaks TLS 1.0 or 1.1.

use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::rule::TlsVersion;

pub(in crate::checks) static CHECK: Check = Check {
    id: "tls.minimum_below_1_2",
    severity: Severity::Warn,
    summary: "a server negotiates a version of TLS below 1.2",
    applies_to: "every server",
    rationale: "Both versions rest on SHA-1 and MD5 for the handshake. Whoever stands between both ends talks them down to what it breaks.",
    remediation: "Set `--tls-min-version=VersionTLS12` (kube-apiserver, kube-controller-manager, kube-scheduler), `tlsMinVersion: \
                  VersionTLS12` (KubeletConfiguration), `--tls-min-version=TLS1.2` (etcd), or leave the default.",
    source: "RFC 8996 2; GKE documentation, Cluster trust",
    channels: super::CHANNELS,
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    super::judge(context, "TLS 1.2 or later only", |range| range.minimum >= Some(TlsVersion::Tls12), outcomes);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{of_scheduler, with};
    use super::*;
    use crate::checks::testing::run;
    use crate::fact::Fact;
    use crate::model::TlsRange;

    const fn range(minimum: Option<TlsVersion>, maximum: Option<TlsVersion>) -> Fact<TlsRange> {
        Fact::default_of(TlsRange { minimum, maximum })
    }

    #[test]
    fn fails_below_1_2() {
        let range = || range(None, Some(TlsVersion::Tls13));
        let line = "expected TLS 1.2 or later only, found below TLS 1.2 to TLS 1.3";
        assert_eq!(run(&CHECK, &with(range())), [format!("kubelet node-1: {line}")]);
        assert_eq!(run(&CHECK, &of_scheduler(range())), [format!("kube-scheduler cp-1: {line}")]);
    }

    /// The lowest that is still good.
    #[test]
    fn passes_1_2_alone() {
        assert!(run(&CHECK, &with(range(Some(TlsVersion::Tls12), Some(TlsVersion::Tls12)))).is_empty());
    }

    #[test]
    fn passes_what_every_component_does_by_default() {
        assert!(run(&CHECK, &with(Fact::default_of(TlsRange::DEFAULT))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(Fact::Missing)), ["not evaluated: kubelet versions of TLS"]);
        assert!(run(&CHECK, &of_scheduler(Fact::Missing)).is_empty());
    }
}
