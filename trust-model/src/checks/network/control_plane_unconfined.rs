//! The control plane speaks unprotected on a network that others reach.

use crate::channel::{Channel, Direction};
use crate::check::{Check, Context, Outcomes, Run, Severity};
use crate::posture;
use crate::report::{PathStatus, Verdict};

pub(in crate::checks) static CHECK: Check = Check {
    id: "network.control_plane_unconfined",
    severity: Severity::Error,
    summary: "a path within the control plane is unprotected, and others reach its network",
    applies_to: "every cluster",
    rationale: "Only the network kept others from reading and changing what passes on the path, and it does not.",
    remediation: "Protect the path that is named by TLS that verifies the server, or move the control plane into a network of its \
                  own, behind a firewall.",
    source: "GKE documentation, Cluster trust, Intracluster communication",
    channels: &[],
    run: Run::Cluster(run),
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    let is_confined = &context.model.infrastructure.control_plane_is_confined;
    let what = "whether the control plane has a network of its own";
    let Some((is_confined, origin)) = outcomes.need(is_confined, what) else { return };
    if *is_confined {
        return outcomes.pass();
    }
    for channel in Channel::ALL {
        if channel.spec().direction() != Direction::WithinControlPlane {
            continue;
        }
        let report = posture::judge(context.model, channel, &|_| false);
        match report.status {
            PathStatus::Judged(verdict @ (Verdict::Plaintext | Verdict::EncryptedUnverified)) => {
                outcomes.fail_on([channel], channel, origin, "a protected path, or a network of its own", verdict.id());
            }
            PathStatus::Judged(_) | PathStatus::Absent => outcomes.pass(),
            PathStatus::NotEvaluated => report.missing.into_iter().for_each(|what| outcomes.missing(what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{Case, run};
    use crate::fact::Fact;
    use crate::model::{InsecurePort, Transport};

    fn with(is_confined: Fact<bool>, peers: Transport) -> Case {
        let mut case = Case::default();
        case.model.infrastructure.control_plane_is_confined = is_confined;
        case.etcd().settings.peer_transport = Fact::default_of(peers);
        case
    }

    fn findings(case: &Case) -> Vec<String> {
        run(&CHECK, case).into_iter().filter(|line| !line.starts_with("not evaluated")).collect()
    }

    #[test]
    fn fails_for_a_path_without_tls() {
        let line = "etcd-peer: expected a protected path, or a network of its own, found plaintext";
        assert_eq!(findings(&with(Fact::declared(false, "somebody"), Transport::Plain)), [line]);
    }

    #[test]
    fn passes_in_a_network_of_its_own() {
        assert!(run(&CHECK, &with(Fact::declared(true, "somebody"), Transport::Plain)).is_empty());
    }

    #[test]
    fn passes_a_path_with_tls() {
        assert!(findings(&with(Fact::declared(false, "somebody"), Transport::Tls)).is_empty());
    }

    /// The loopback interface is a network of its own; the port that others reach is not.
    #[test]
    fn tells_the_loopback_interface_from_the_network() {
        let mut case = with(Fact::declared(false, "somebody"), Transport::Tls);
        case.api_server().settings.insecure_port = Fact::default_of(InsecurePort::Loopback(8080));
        assert!(findings(&case).is_empty());
        case.model.api_servers[0].settings.insecure_port = Fact::default_of(InsecurePort::Network(8080));
        let line = "local-insecure-port: expected a protected path, or a network of its own, found plaintext";
        assert_eq!(findings(&case), [line]);
    }

    #[test]
    fn is_not_evaluated_when_nobody_knows() {
        let line = "not evaluated: whether the control plane has a network of its own";
        assert_eq!(run(&CHECK, &with(Fact::Missing, Transport::Plain)), [line]);
        let mut case = Case::bare();
        case.model.infrastructure.control_plane_is_confined = Fact::declared(false, "somebody");
        let found = run(&CHECK, &case);
        assert!(found.contains(&"not evaluated: --listen-peer-urls".to_owned()), "{found:?}");
    }
}
