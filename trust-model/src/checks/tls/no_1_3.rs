//! A server does not speak TLS 1.3.

use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::rule::TlsVersion;

pub(in crate::checks) static CHECK: Check = Check {
    id: "tls.no_1_3",
    severity: Severity::Notice,
    summary: "a server does not offer TLS 1.3",
    applies_to: "every server",
    rationale: "TLS 1.2 shows the certificates of both ends to whoever listens, and some of its cipher suites give no forward secrecy.",
    remediation: "Take the maximum away (etcd `--tls-max-version`), and do not end TLS in something older on the way.",
    source: "RFC 8446; RFC 9325 3.1.1; GKE documentation, Cluster trust",
    channels: super::CHANNELS,
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    super::judge(context, "TLS 1.3", |range| range.maximum >= Some(TlsVersion::Tls13), outcomes);
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
    fn fails_without_1_3() {
        let line = "kubelet node-1: expected TLS 1.3, found TLS 1.2 to TLS 1.2";
        assert_eq!(run(&CHECK, &with(range(Some(TlsVersion::Tls12), Some(TlsVersion::Tls12)))), [line]);
        assert_eq!(run(&CHECK, &of_scheduler(range(None, None))).len(), 1);
    }

    /// Nothing but the newest is good too.
    #[test]
    fn passes_1_3_alone() {
        assert!(run(&CHECK, &with(range(Some(TlsVersion::Tls13), Some(TlsVersion::Tls13)))).is_empty());
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
