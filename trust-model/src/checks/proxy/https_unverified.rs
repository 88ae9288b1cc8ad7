//! The proxy verb takes any certificate.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};

pub(in crate::checks) static CHECK: Check = Check {
    id: "proxy.https_unverified",
    severity: Severity::Warn,
    summary: "the API server verifies nobody when it forwards to `https:` of a node, pod or service",
    applies_to: "clusters whose proxy verb is used",
    rationale: "No flag makes it verify. Whoever stands between the API server and the pod decrypts, reads, changes and encrypts anew: \
                encryption without a known server gives no integrity.",
    remediation: "Reach nodes through Konnectivity (kube-apiserver `--egress-selector-config-file`), or take the `proxy` subresources of \
                  nodes, pods and services out of every role and use `kubectl port-forward`.",
    source: "Kubernetes documentation, Communication between nodes and the control plane; NCC-E003660-MRE (kubernetes/kubernetes#119625)",
    channels: &[Channel::Tls(Path::ApiProxyHttps)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    super::judge(context, "a certificate that nobody verifies", outcomes);
}

#[cfg(test)]
mod tests {
    use super::super::tests::with;
    use super::*;
    use crate::checks::testing::run;
    use crate::fact::Fact;
    use crate::model::{Egress, SshTunnels, Transport};

    #[test]
    fn fails_outside_a_tunnel() {
        let found = run(&CHECK, &with(Fact::declared(true, "somebody"), Fact::default_of(Egress::Direct)));
        assert_eq!(
            found,
            ["kube-apiserver cp-1: expected a tunnel around it, found a certificate that nobody verifies"]
        );
    }

    #[test]
    fn passes_where_nobody_uses_it() {
        assert!(run(&CHECK, &with(Fact::declared(false, "somebody"), Fact::Missing)).is_empty());
    }

    /// What the path lacks the tunnel gives.
    #[test]
    fn passes_inside_a_tunnel() {
        let used = || Fact::declared(true, "somebody");
        let egress = Fact::default_of(Egress::Konnectivity(Transport::UnixSocket));
        assert!(run(&CHECK, &with(used(), egress)).is_empty());
        let mut case = with(used(), Fact::default_of(Egress::Direct));
        case.model.ssh_tunnels = Fact::default_of(SshTunnels::Used { checks_host_key: true });
        assert!(run(&CHECK, &case).is_empty());
    }

    /// A tunnel to nobody knows whom contains nothing.
    #[test]
    fn fails_inside_a_tunnel_that_anybody_may_end() {
        let mut case = with(Fact::declared(true, "somebody"), Fact::default_of(Egress::Direct));
        case.model.ssh_tunnels = Fact::default_of(SshTunnels::Used { checks_host_key: false });
        assert_eq!(run(&CHECK, &case).len(), 1);
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let found = run(&CHECK, &with(Fact::Missing, Fact::Missing));
        assert_eq!(found, ["not evaluated: whether the proxy verb is used"]);
        let found = run(&CHECK, &with(Fact::declared(true, "somebody"), Fact::Missing));
        assert_eq!(found, ["not evaluated: kube-apiserver --egress-selector-config-file"]);
    }
}
