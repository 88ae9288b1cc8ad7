//! The report as SARIF 2.1.0.

#[cfg(test)]
#[path = "support/golden.rs"]
mod golden;

#[cfg(test)]
mod sarif {
    use super::golden::golden;
    use pki_core::TrustSlot;
    use serde_json::Value;
    use time::UtcDateTime;
    use trust_model::model::{BrokenInput, ClusterModel, Component, Trust};
    use trust_model::{AuditOptions, Fact, Place, Preset, Report, Waiver, audit};

    const NOW: i64 = 1_767_225_600;

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(NOW + seconds).unwrap()
    }

    /// Two replicas that do not verify kubelets, one of which somebody lives with; etcd of which nothing is known.
    fn report() -> Report {
        let mut model = ClusterModel { name: "cluster".to_owned(), ..ClusterModel::default() };
        for name in ["cp-1", "cp-2"] {
            let file = format!("{name}/etc/kubernetes/manifests/kube apiserver.yaml");
            let place = Place::item(file, "--kubelet-certificate-authority");
            let mut api = Component { name: name.to_owned(), ..Component::default() };
            api.trusts.insert(TrustSlot::ApiServerKubeletCa, Fact::observed(Trust::Nothing, place));
            model.api_servers.push(api);
        }
        model.etcd.push(Component { name: "cp-1".to_owned(), ..Component::default() });
        model.broken.push(BrokenInput { place: Place::file("cp-1/pki/ca.crt"), reason: "not PEM".to_owned() });
        let waiver = Waiver {
            check: "kubelet.serving_unverified".to_owned(),
            subject: Some("kube-apiserver cp-2".to_owned()),
            reason: "behind a firewall until the tunnel is there".to_owned(),
            until: at(86_400),
        };
        audit(&model, &AuditOptions { waivers: vec![waiver], ..AuditOptions::default() }, at(0))
    }

    fn log(report: &Report) -> Value {
        serde_json::to_value(report.sarif()).unwrap()
    }

    fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
        value.pointer(pointer).unwrap().as_array().unwrap()
    }

    /// What the schema requires, and what only the prose of the standard does.
    fn assert_well_formed(log: &Value) {
        assert_eq!(log["version"], "2.1.0");
        let rules = list(log, "/runs/0/tool/driver/rules");
        assert!(log.pointer("/runs/0/tool/driver/name").unwrap().is_string());
        for rule in rules {
            assert!(rule["id"].is_string());
            for text in ["shortDescription", "fullDescription", "help"] {
                assert!(!rule[text]["text"].as_str().unwrap().is_empty(), "{rule}");
            }
        }
        let results = list(log, "/runs/0/results");
        assert!(!results.is_empty());
        for result in results {
            assert!(result["message"]["text"].is_string(), "{result}");
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"], "3.27.6");
            let fails = result["kind"] == "fail";
            assert_eq!(result["level"] == "none", !fails, "3.27.10: {result}");
            for location in result["locations"].as_array().into_iter().flatten() {
                assert!(!location["logicalLocations"].as_array().unwrap().is_empty());
                if let Some(uri) = location.pointer("/physicalLocation/artifactLocation/uri") {
                    assert!(!uri.as_str().unwrap().contains([' ', '\\', ':']), "{uri}");
                }
            }
        }
        for invocation in list(log, "/runs/0/invocations") {
            assert!(invocation["executionSuccessful"].is_boolean());
        }
    }

    #[test]
    fn every_preset_is_well_formed() {
        for preset in Preset::ALL {
            assert_well_formed(&log(&audit(&preset.model(), &AuditOptions::default(), at(0))));
        }
        assert_well_formed(&log(&report()));
    }

    fn of<'a>(log: &'a Value, rule: &str) -> Vec<&'a Value> {
        list(log, "/runs/0/results").iter().filter(|result| result["ruleId"] == rule).collect()
    }

    #[test]
    fn a_finding_stands_at_its_file() {
        let log = log(&report());
        let [first, _] = of(&log, "kubelet.serving_unverified")[..] else { panic!("{log}") };
        assert_eq!(first["level"], "error");
        assert_eq!(first["suppressions"], Value::Null);
        let location = &first["locations"][0];
        assert_eq!(
            location["physicalLocation"]["artifactLocation"]["uri"],
            "cp-1/etc/kubernetes/manifests/kube%20apiserver.yaml"
        );
        assert_eq!(location["logicalLocations"][1]["fullyQualifiedName"], "--kubelet-certificate-authority");
    }

    #[test]
    fn a_waived_finding_is_suppressed_with_its_reason() {
        let log = log(&report());
        let [_, second] = of(&log, "kubelet.serving_unverified")[..] else { panic!("{log}") };
        let suppression = &second["suppressions"][0];
        assert_eq!(suppression["status"], "accepted");
        assert_eq!(
            suppression["justification"],
            "behind a firewall until the tunnel is there (until 2026-01-02T00:00:00Z)"
        );
    }

    #[test]
    fn what_is_not_known_is_open_and_what_does_not_apply_says_so() {
        let log = log(&report());
        let open = of(&log, "etcd.client_cert_auth_off");
        assert_eq!(open[0]["kind"], "open");
        assert_eq!(open[0]["message"]["text"], "Not evaluated: etcd --client-cert-auth is not known.");
        assert_eq!(of(&log, "anchor.expired")[0]["kind"], "open");
        // No file of a key was read.
        assert_eq!(of(&log, "key.readable_by_others")[0]["kind"], "notApplicable");
    }

    #[test]
    fn an_input_that_could_not_be_used_is_a_notification() {
        let log = log(&report());
        let notification = &list(&log, "/runs/0/invocations/0/toolExecutionNotifications")[0];
        assert_eq!(notification["message"]["text"], "cp-1/pki/ca.crt: not PEM");
    }

    #[test]
    fn the_log_of_an_audit() {
        let text = serde_json::to_string_pretty(&report().sarif()).unwrap();
        golden("report/waived.sarif", &(text + "\n"));
    }
}
