//! `audit_cluster` as a person or a script meets it, and what it says of a tree as kubeadm leaves one.

#[cfg(test)]
mod audit_cluster {
    use std::fmt::Write as _;
    use std::process::{Command, Output};

    use serde_json::Value;

    /// An example's binary, which a whole test run has built beside the tests.
    fn run(example: &str, arguments: &[&str]) -> Output {
        let tests = std::env::current_exe().unwrap();
        let binary = tests.parent().unwrap().parent().unwrap().join("examples").join(example);
        assert!(binary.exists(), "{} is not built: `cargo build --examples`", binary.display());
        Command::new(binary).args(arguments).output().unwrap()
    }

    fn text(stream: &[u8]) -> String {
        String::from_utf8(stream.to_vec()).unwrap()
    }

    fn said(arguments: &[&str]) -> (i32, String) {
        let output = run("audit_cluster", arguments);
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        (output.status.code().unwrap(), text(&output.stdout))
    }

    fn json(arguments: &[&str]) -> (i32, Value) {
        let (status, said) = said(arguments);
        (status, serde_json::from_str(&said).unwrap())
    }

    /// Every standing finding of a report, a line each.
    fn findings(report: &Value) -> String {
        let mut lines = String::new();
        for finding in report["findings"].as_array().unwrap() {
            let (check, severity) = (finding["check"].as_str().unwrap(), finding["severity"].as_str().unwrap());
            writeln!(lines, "{severity} {check}: {}", finding["found"].as_str().unwrap()).unwrap();
            for subject in finding["subjects"].as_array().unwrap() {
                writeln!(lines, "  {}", subject["name"].as_str().unwrap()).unwrap();
            }
        }
        lines
    }

    #[test]
    fn kubeadms_tree_leaves_open_what_kubeadm_leaves_open() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("kubernetes");
        let root = root.to_str().unwrap();
        let issued = run("issue_cluster", &["--preset", "kubeadm", "--node-name", "cp1", "--out", root]);
        assert!(issued.status.success(), "{}", text(&issued.stderr));
        let (status, report) = json(&["--root", root, "--format", "json"]);
        let found = findings(&report);
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/audit-kubeadm.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(golden, &found).unwrap();
        }
        assert_eq!(std::fs::read_to_string(golden).unwrap(), found, "run with UPDATE_GOLDEN=1 and read the diff");
        // What kubeadm leaves open since there has been a kubeadm.
        assert!(found.contains("error kubelet.serving_unverified: none"), "{found}");
        assert_eq!(status, 1);
        // Who lives with it says so, until a day, and counts the rest.
        let waived: Vec<String> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["severity"] == "error")
            .map(|finding| format!("{},2100-01-01T00:00:00Z,known", finding["check"].as_str().unwrap()))
            .collect();
        let mut arguments = vec!["--root", root, "--format", "json"];
        waived.iter().for_each(|waiver| arguments.extend(["--waive", waiver]));
        assert_eq!(json(&arguments).0, 0);
        arguments.extend(["--at", "2100-01-01T00:00:00Z"]);
        assert_eq!(json(&arguments).0, 1);
    }

    #[test]
    fn without_arguments_there_is_something_to_see() {
        let (status, said) = said(&[]);
        assert_eq!(status, 1);
        assert!(said.starts_with("Audit of `kubernetes-1.28`, "), "{said}");
    }

    #[test]
    fn every_preset_is_audited_in_every_format() {
        let scratch = tempfile::tempdir().unwrap();
        for preset in trust_model::Preset::ALL {
            let picture = scratch.path().join("map.svg");
            let at = ["--preset", preset.id(), "--at", "2026-01-01T00:00:00Z"];
            let with = |more: &[&str]| json(&[&at[..], more].concat());
            let (status, report) = with(&["--format", "json", "--svg", picture.to_str().unwrap()]);
            let has_errors = report["findings"].as_array().unwrap().iter().any(|one| one["severity"] == "error");
            assert_eq!(status, i32::from(has_errors), "{preset:?}");
            assert!(std::fs::read_to_string(&picture).unwrap().starts_with("<svg "), "{preset:?}");
            let (_, log) = with(&["--format", "sarif"]);
            assert_eq!(log["version"], "2.1.0");
        }
    }

    #[test]
    fn a_milder_level_counts_more() {
        let gdc = ["--preset", "gdc", "--at", "2026-01-01T00:00:00Z"];
        let (status, report) = json(&[&gdc[..], &["--format", "json"]].concat());
        let count = |severity: &str| {
            report["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] == severity).count()
        };
        assert_eq!(status, i32::from(count("error") > 0));
        let (status, _) = said(&[&gdc[..], &["--fail-on", "warn"]].concat());
        assert_eq!(status, i32::from(count("error") + count("warn") > 0));
    }

    #[test]
    fn what_cannot_be_used_is_told_in_one_line() {
        let empty = tempfile::tempdir().unwrap();
        let nowhere = empty.path().join("nowhere");
        for (arguments, reason) in [
            (&["--root", nowhere.to_str().unwrap()][..], "cannot read"),
            (&["--root", empty.path().to_str().unwrap()], "there is no file in"),
            (&["--preset", "gkee"], "expected one of legacy"),
            (&["--preset", "gke", "--root", "x"], "cannot be used with"),
            (&["--waive", "kubelet.nonsense,2030-01-01T00:00:00Z,x"], "there is no check `kubelet.nonsense`"),
            (&["--waive", "tls.no_1_3,2030-01-01T00:00:00Z, "], "a waiver has a reason"),
            (&["--waive", "tls.no_1_3"], "expected `CHECK,UNTIL,REASON`"),
            (&["--svg", "/nowhere/at/all.svg"], "cannot write"),
        ] {
            let output = run("audit_cluster", arguments);
            let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
            assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
            assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{arguments:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        }
    }
}
