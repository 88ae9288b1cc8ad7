//! Anybody may send through the Konnectivity server.

use pki_core::Path;

use crate::channel::Channel;
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::model::Transport;

pub(in crate::checks) static CHECK: Check = Check {
    id: "konnectivity.api_server_unauthenticated",
    severity: Severity::Error,
    summary: "the Konnectivity server forwards for callers that show no certificate",
    applies_to: "Konnectivity servers that API servers reach over TLS",
    rationale: "Whoever reaches the port connects through the tunnel to every address that an agent reaches, past every firewall \
                between the networks.",
    remediation: "Set the Konnectivity server `--server-ca-cert` to the authority that issues the API server's certificate, and \
                  name that certificate in the EgressSelectorConfiguration (`tlsConfig.clientCert`, `clientKey`); or use a UNIX \
                  socket (`--uds-name`).",
    source: "Kubernetes documentation, Set up Konnectivity service; KEP-1281",
    channels: &[Channel::Tls(Path::KonnKas)],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    for server in &context.model.konnectivity_servers {
        let transport = &server.settings.server_transport;
        let what = "how API servers reach the Konnectivity server";
        let Some((transport, _)) = outcomes.need(transport, what) else { continue };
        // The file system guards a socket; whatever else speaks without TLS is another check's.
        if *transport != Transport::Tls {
            continue;
        }
        outcomes.judge(
            format_args!("Konnectivity server {}", server.name),
            &server.settings.authenticates_api_servers,
            "Konnectivity server --server-ca-cert",
            "a bundle in `--server-ca-cert`",
            |on| *on,
            |_| "none".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;

    fn with(transport: Fact<Transport>, asks: Fact<bool>) -> Case {
        let mut case = Case::default();
        let settings = &mut case.konnectivity_server().settings;
        settings.server_transport = transport;
        settings.authenticates_api_servers = asks;
        case
    }

    #[test]
    fn fails_when_nobody_is_asked() {
        let found = run(&CHECK, &with(Fact::default_of(Transport::Tls), Fact::default_of(false)));
        assert_eq!(found, ["Konnectivity server cp-1: expected a bundle in `--server-ca-cert`, found none"]);
    }

    #[test]
    fn passes_when_callers_are_asked() {
        assert!(run(&CHECK, &with(Fact::default_of(Transport::Tls), Fact::default_of(true))).is_empty());
    }

    /// Nobody asks for a certificate on a socket; the file system says who opens it.
    #[test]
    fn says_nothing_of_a_socket() {
        assert!(run(&CHECK, &with(Fact::default_of(Transport::UnixSocket), Fact::default_of(false))).is_empty());
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let found = run(&CHECK, &with(Fact::Missing, Fact::default_of(false)));
        assert_eq!(found, ["not evaluated: how API servers reach the Konnectivity server"]);
        let found = run(&CHECK, &with(Fact::default_of(Transport::Tls), Fact::Missing));
        assert_eq!(found, ["not evaluated: Konnectivity server --server-ca-cert"]);
    }
}
