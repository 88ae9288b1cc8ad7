//! What goes to nodes goes to the Konnectivity server in plain text.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::fact::Fact;
use crate::model::{Egress, Transport};
use crate::posture::is_protected;

pub(in crate::checks) static CHECK: Check = Check {
    id: "konnectivity.plaintext",
    severity: Severity::Error,
    summary: "the API server reaches the Konnectivity server without TLS",
    applies_to: "Konnectivity servers, and kube-apiserver as their client",
    rationale: "The tunnel asks nobody who it is: whoever reaches the port connects to every address that an agent reaches, and \
                whoever listens reads what the tunnel carries in plain HTTP.",
    remediation: "Give the EgressSelectorConfiguration a `transport.uds` on the same machine, or `transport.tcp` with an `https:` \
                  URL and a `tlsConfig`.",
    source: "Kubernetes documentation, Set up Konnectivity service; KEP-1281",
    channels: &[Channel::Tls(Path::KonnKas)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let mut judge = |subject: String, fact: &Fact<Transport>, what: &str| {
        let expected = "TLS or a UNIX socket";
        outcomes.judge(subject, fact, what, expected, |one| is_protected(*one), |_| "plain TCP".to_owned());
    };
    for server in &context.model.konnectivity_servers {
        let subject = format!("Konnectivity server {}", server.name);
        judge(subject, &server.settings.server_transport, "how API servers reach the Konnectivity server");
    }
    for api in &context.model.api_servers {
        let transport = match &api.settings.egress {
            Fact::Known { value: Egress::Direct, .. } => continue,
            Fact::Known { value: Egress::Konnectivity(transport), origin } => {
                Fact::Known { value: *transport, origin: origin.clone() }
            }
            Fact::Missing => Fact::Missing,
        };
        judge(format!("kube-apiserver {}", api.name), &transport, "kube-apiserver --egress-selector-config-file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};

    fn with(transport: Transport) -> Case {
        let mut case = Case::default();
        case.konnectivity_server().settings.server_transport = Fact::default_of(transport);
        case.api_server().settings.egress = Fact::default_of(Egress::Konnectivity(transport));
        case
    }

    #[test]
    fn fails_without_tls() {
        assert_eq!(
            run(&CHECK, &with(Transport::Plain)),
            [
                "Konnectivity server cp-1: expected TLS or a UNIX socket, found plain TCP",
                "kube-apiserver cp-1: expected TLS or a UNIX socket, found plain TCP"
            ]
        );
    }

    #[test]
    fn passes_with_tls() {
        assert!(run(&CHECK, &with(Transport::Tls)).is_empty());
    }

    /// What stays on the machine crosses no network.
    #[test]
    fn passes_on_the_machine_itself() {
        assert!(run(&CHECK, &with(Transport::UnixSocket)).is_empty());
        assert!(run(&CHECK, &with(Transport::Loopback)).is_empty());
    }

    /// Without the tunnel there is nothing to encrypt.
    #[test]
    fn says_nothing_of_who_reaches_nodes_directly() {
        let mut case = Case::default();
        case.api_server().settings.egress = Fact::default_of(Egress::Direct);
        assert!(run(&CHECK, &case).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let mut case = Case::default();
        case.konnectivity_server();
        case.api_server();
        assert_eq!(
            run(&CHECK, &case),
            [
                "not evaluated: how API servers reach the Konnectivity server",
                "not evaluated: kube-apiserver --egress-selector-config-file"
            ]
        );
    }
}
