//! The API server verifies kubelets, and a kubelet signs its own serving certificate.

use pki_core::{LeafKind, Path, TrustSlot};

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::{Component, Kubelet, Leaf};

pub(in crate::checks) static CHECK: Check = Check {
    id: "kubelet.serving_self_signed",
    severity: Severity::Error,
    summary: "the API server verifies kubelets, and a kubelet presents a certificate that it signed itself",
    applies_to: "kubelets, where kube-apiserver `--kubelet-certificate-authority` is set",
    rationale: "No bundle leads to a certificate that its holder signed: `logs`, `exec` and `port-forward` to the node fail.",
    remediation: "Set `serverTLSBootstrap: true` in the KubeletConfiguration and approve the requests for \
                  `kubernetes.io/kubelet-serving`, or set `tlsCertFile` and `tlsPrivateKeyFile`.",
    source: "Kubernetes documentation, TLS bootstrapping, Certificate rotation; KEP-267",
    channels: &[Channel::Tls(Path::ApiKubelet)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let mut is_verified = false;
    for api in &context.model.api_servers {
        let fact = api.trust(TrustSlot::ApiServerKubeletCa);
        if let Some((trust, _)) = outcomes.need(fact, "kube-apiserver --kubelet-certificate-authority") {
            is_verified |= trust.verifies();
        }
    }
    if is_verified {
        context.model.kubelets.iter().for_each(|kubelet| judge(kubelet, outcomes));
    }
}

fn judge(kubelet: &Component<Kubelet>, outcomes: &mut Outcomes) {
    let asks = &kubelet.settings.server_tls_bootstrap;
    let Some((asks, origin)) = outcomes.need(asks, "kubelet serverTLSBootstrap") else { return };
    if *asks {
        return outcomes.pass();
    }
    let leaf = kubelet.leaf(LeafKind::KubeletServing);
    let Some((leaf, of_leaf)) = outcomes.need(leaf, "kubelet tlsCertFile") else { return };
    match leaf {
        Leaf::Chain(_) | Leaf::IssuedBy(_) => outcomes.pass(),
        Leaf::SelfSigned | Leaf::Nothing => outcomes.fail(
            format_args!("kubelet {}", kubelet.name),
            origin.of_both(of_leaf),
            "`serverTLSBootstrap: true`, or a `tlsCertFile`",
            "`serverTLSBootstrap: false`, and no `tlsCertFile`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::Trust;
    use pki_core::AuthorityRole;

    fn with(trust: Trust, asks: Fact<bool>, leaf: Option<Leaf>) -> Case {
        let mut case = Case::default();
        case.api_server().trusts.insert(TrustSlot::ApiServerKubeletCa, Fact::default_of(trust));
        let kubelet = case.kubelet();
        kubelet.settings.server_tls_bootstrap = asks;
        if let Some(leaf) = leaf {
            kubelet.leaves.insert(LeafKind::KubeletServing, Fact::default_of(leaf));
        }
        case
    }

    const CLUSTER: Trust = Trust::Authority(AuthorityRole::Cluster);

    #[test]
    fn fails_when_it_is_verified_and_signs_itself() {
        let found = run(&CHECK, &with(CLUSTER, Fact::default_of(false), Some(Leaf::SelfSigned)));
        let line = "kubelet node-1: expected `serverTLSBootstrap: true`, or a `tlsCertFile`, \
                    found `serverTLSBootstrap: false`, and no `tlsCertFile`";
        assert_eq!(found, [line]);
    }

    #[test]
    fn passes_when_it_asks_for_one() {
        assert!(run(&CHECK, &with(CLUSTER, Fact::default_of(true), Some(Leaf::SelfSigned))).is_empty());
    }

    /// Nothing breaks where nobody verifies; that nobody does is another finding.
    #[test]
    fn says_nothing_where_nobody_verifies() {
        assert!(run(&CHECK, &with(Trust::Nothing, Fact::default_of(false), Some(Leaf::SelfSigned))).is_empty());
    }

    /// Somebody else may have given it one.
    #[test]
    fn passes_with_a_certificate_from_elsewhere() {
        let leaf = Leaf::IssuedBy(AuthorityRole::Cluster);
        assert!(run(&CHECK, &with(CLUSTER, Fact::default_of(false), Some(leaf))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        assert_eq!(run(&CHECK, &with(CLUSTER, Fact::Missing, None)), ["not evaluated: kubelet serverTLSBootstrap"]);
        let found = run(&CHECK, &with(CLUSTER, Fact::default_of(false), None));
        assert_eq!(found, ["not evaluated: kubelet tlsCertFile"]);
        let mut case = Case::default();
        case.api_server();
        case.kubelet();
        assert_eq!(run(&CHECK, &case), ["not evaluated: kube-apiserver --kubelet-certificate-authority"]);
    }
}
