//! The report for people and for programs.

#[cfg(test)]
#[path = "support/golden.rs"]
mod golden;

#[cfg(test)]
mod report {
    use super::golden::golden;
    use pki_core::TrustSlot;
    use serde_json::Value;
    use time::UtcDateTime;
    use trust_model::model::{BrokenInput, ClusterModel, Component, Trust};
    use trust_model::{AuditOptions, Direction, Fact, Place, Preset, Report, Waiver, audit};

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(1_767_225_600 + seconds).unwrap()
    }

    fn preset(preset: Preset) -> Report {
        audit(&preset.model(), &AuditOptions::default(), at(0))
    }

    fn waiver(check: &str, subject: Option<&str>, until: i64) -> Waiver {
        let reason = "the tunnel comes next month".to_owned();
        Waiver { check: check.to_owned(), subject: subject.map(str::to_owned), reason, until: at(until) }
    }

    /// Replicas that do not verify kubelets; the waivers are the test's.
    fn replicas(count: usize, waivers: Vec<Waiver>) -> Report {
        let mut model = ClusterModel { name: "cluster".to_owned(), ..ClusterModel::default() };
        for index in 1..=count {
            let place = Place::item(format!("cp-{index}.yaml"), "--kubelet-certificate-authority");
            let mut api = Component { name: format!("cp-{index}"), ..Component::default() };
            api.trusts.insert(TrustSlot::ApiServerKubeletCa, Fact::observed(Trust::Nothing, place));
            model.api_servers.push(api);
        }
        model.broken.push(BrokenInput { place: Place::file("ca.crt"), reason: "not PEM".to_owned() });
        audit(&model, &AuditOptions { waivers, ..AuditOptions::default() }, at(0))
    }

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|one| one == line)
    }

    #[test]
    fn the_text_begins_with_the_answers() {
        let text = preset(Preset::Kubernetes128).to_string();
        for line in [
            "the cluster               no, because of api-kubelet, api-proxy-http, api-proxy-https",
            "to the control plane      yes, if what is asserted is so",
            "from the control plane    no, because of api-kubelet, api-proxy-http, api-proxy-https",
        ] {
            assert!(has(&text, line), "{text}");
        }
    }

    #[test]
    fn of_many_subjects_a_few_are_named_and_the_rest_counted() {
        let text = replicas(5, Vec::new()).to_string();
        assert!(has(&text, "    kube-apiserver cp-3 (cp-3.yaml --kubelet-certificate-authority)"), "{text}");
        assert!(has(&text, "    and 2 more"), "{text}");
        assert!(!text.contains("cp-4"), "{text}");
        assert!(has(&text, "Not readable: ca.crt: not PEM"), "{text}");
    }

    #[test]
    fn a_waived_finding_stands_apart_with_its_reason_and_its_day() {
        let waivers = vec![waiver("kubelet.serving_unverified", Some("kube-apiserver cp-2"), 60)];
        let report = replicas(2, waivers);
        let text = report.to_string();
        let (before, waived) = text.split_once("\nWaived\n------\n").unwrap();
        assert!(before.contains("    kube-apiserver cp-1 (") && !before.contains("kube-apiserver cp-2 ("), "{text}");
        assert!(waived.contains("    kube-apiserver cp-2 ("), "{text}");
        assert!(has(waived, "    waived until 2026-01-01T00:01:00Z: the tunnel comes next month"), "{text}");
    }

    #[test]
    fn asserted_evidence_is_marked() {
        let text = preset(Preset::Legacy).to_string();
        assert!(has(&text, "    expected a bundle in `--kubelet-certificate-authority`, found none *"), "{text}");
    }

    #[test]
    fn what_is_not_known_is_listed_as_not_evaluated() {
        let model = ClusterModel { etcd: vec![Component::default()], ..ClusterModel::default() };
        let report = audit(&model, &AuditOptions::default(), at(0));
        let text = report.to_string();
        let (_, after) = text.split_once("Not evaluated, and therefore not passed").unwrap();
        assert!(has(after, "etcd.client_cert_auth_off: not known: etcd --client-cert-auth"), "{text}");
        let open = report.checks.iter().filter(|check| !check.missing.is_empty()).count();
        assert_eq!(after.lines().filter(|line| line.contains(": not known: ")).count(), open);
    }

    #[test]
    fn the_json_states_its_shape_and_answers_the_same() {
        let report = preset(Preset::Gke);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["format"], &json["version"]), (&Value::from("trust-model-report"), &Value::from(1)));
        assert_eq!(json["fitness"], report.cluster_fitness().0.id());
        assert_eq!(json["paths"].as_array().unwrap().len(), report.paths.len());
        assert_eq!(json["checks"].as_array().unwrap().len(), report.checks.len());
        for (index, direction) in Direction::ALL.into_iter().enumerate() {
            let (fitness, paths) = report.fitness(direction);
            let shape = &json["directions"][index];
            assert_eq!((&shape["direction"], &shape["fitness"]), (&direction.id().into(), &fitness.id().into()));
            assert_eq!(shape["decided_by"].as_array().unwrap().len(), paths.len());
        }
    }

    #[test]
    fn the_json_of_an_audit() {
        let waivers = vec![waiver("kubelet.serving_unverified", Some("kube-apiserver cp-2"), 60)];
        let text = serde_json::to_string_pretty(&replicas(2, waivers)).unwrap();
        golden("report/waived.json", &(text + "\n"));
    }

    #[test]
    fn the_same_model_gives_the_same_report() {
        for one in Preset::ALL {
            assert_eq!(preset(one).to_string(), preset(one).to_string());
            assert_eq!(serde_json::to_string(&preset(one)).unwrap(), serde_json::to_string(&preset(one)).unwrap());
        }
    }
}
