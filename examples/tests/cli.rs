//! `rotate_cluster` as a person or a script meets it: exit codes, streams, files.

#[cfg(test)]
#[path = "support/example.rs"]
mod example;

#[cfg(test)]
mod cli {
    use std::path::PathBuf;
    use std::process::Output;

    use crate::example::{assert_refused, example, text};

    fn rotate_cluster(arguments: &[&str]) -> Output {
        example("rotate_cluster").args(arguments).output().unwrap()
    }

    fn refused(arguments: &[&str], reason: &str) {
        assert_refused(&rotate_cluster(arguments), reason);
    }

    #[test]
    fn unusable_arguments_get_one_line_and_exit_code_two() {
        refused(&["--preset", "k3s"], "expected one of `gke`, `gke-spanner`, `gdc`, `kubeadm`");
        refused(&["--nodes", "0"], "1..=500");
        refused(&["--nodes", "many"], "many");
        refused(&["--plant", "nonsense"], "expected one of `skip-trust-distribution`");
        refused(&["--nonsense"], "--nonsense");
        refused(&["--strategy", "nonsense"], "expected `staged`, `dual-endpoint` or `cross-signed`");
        refused(
            &["--preset", "gdc", "--strategy", "dual-endpoint"],
            "`dual-endpoint` is not a strategy of `gdc`: its control plane has no second address",
        );
        for preset in ["gdc", "gke"] {
            refused(
                &["--preset", preset, "--rollback-at", "signer"],
                "a rotation cannot be rolled back once it has started",
            );
        }
        refused(&["--preset", "kubeadm", "--rollback-at", "tea"], "the plan of `ca` has no stage `tea`");
        refused(&["--preset", "kubeadm", "--rollback-at", "destroy-keys"], "there is no way back from `destroy-keys`");
        refused(&["--emergency", "--rollback-at", "signer"], "cannot be used with");
        refused(&["--sleeping-node", "node-6"], "there is no node `node-6`");
    }

    #[test]
    fn an_unwritable_directory_is_refused_before_anything_begins() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        std::fs::write(&file, "content").unwrap();
        for out in [file.clone(), file.join("below")] {
            refused(&["--out", out.to_str().unwrap()], "cannot write to");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "content");
        let left: Vec<PathBuf> =
            std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [file]);
    }

    #[test]
    fn a_clean_run_exits_with_zero_and_leaves_two_whole_files() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("new/report");
        let arguments = ["--preset", "kubeadm", "--nodes", "2", "--dwell", "0", "--out", out.to_str().unwrap()];
        let output = rotate_cluster(&arguments);
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{stdout}{}", text(&output.stderr));
        let last = stdout.lines().last().unwrap();
        assert!(last.starts_with("handshakes: ") && last.contains("  failed: 0  old credentials refused: "), "{last}");
        let (refused, total) = last.rsplit_once(' ').unwrap().1.split_once('/').unwrap();
        assert!(refused == total && total != "0", "{last}");
        assert!(stdout.contains("status: True, reason: CARotationCompleted"));
        // The planner's word and what came of it, side by side.
        let restarts = stdout.lines().find(|line| line.contains("restarts of kubelet ")).unwrap();
        let columns: Vec<_> = restarts.split_whitespace().collect();
        assert_eq!(columns, ["ca", "(staged)", "restarts", "of", "kubelet", "2", "2", "on", "each", "of", "2"]);
        assert!(!stdout.contains('\u{1b}'), "escape codes off a terminal");

        let mut files: Vec<_> =
            std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        assert_eq!(files, ["report.json", "timeline.svg"]);
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
        assert_eq!(report["preset"], "kubeadm");
        let picture = std::fs::read_to_string(out.join("timeline.svg")).unwrap();
        assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"));
        for part in ["kube-apiserver/0", "etcd/2", "kubelet/node-1", "ca/control-plane-trust"] {
            assert!(picture.contains(part), "{part}");
        }
    }

    #[test]
    fn a_planted_fault_exits_with_one_and_names_what_broke() {
        let output = rotate_cluster(&["--nodes", "1", "--dwell", "0", "--plant", "switch-signer-after-nodes"]);
        assert_eq!(output.status.code(), Some(1));
        let stdout = text(&output.stdout);
        let broken: Vec<_> = stdout.lines().filter(|line| line.starts_with("broken: ")).collect();
        assert_eq!(
            broken,
            [
                "broken: kubelet/node-0 -> kube-apiserver/0 stage=ca/control-plane-retire error=invalid peer certificate: UnknownIssuer",
                "broken: kubelet/node-0 -> kube-apiserver/1 stage=ca/control-plane-retire error=invalid peer certificate: UnknownIssuer",
                "broken: kube-apiserver/0 -> kubelet/node-0 stage=ca/control-plane-retire error=invalid peer certificate: UnknownIssuer",
                "broken: kube-apiserver/1 -> kubelet/node-0 stage=ca/control-plane-retire error=invalid peer certificate: UnknownIssuer",
            ]
        );
    }

    #[test]
    fn json_is_the_only_thing_on_standard_output_when_asked_for() {
        let output = rotate_cluster(&["--preset", "kubeadm", "--nodes", "1", "--dwell", "0", "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["probes"]["refused"], report["probes"]["total"]);
    }

    #[test]
    fn keys_in_a_token_or_behind_a_socket_sign_as_well_and_stay_there() {
        let run = |place| {
            let arguments = ["--preset", "kubeadm", "--nodes", "1", "--dwell", "0", "--format", "json"];
            let output = rotate_cluster(&[&arguments[..], &["--signer", place]].concat());
            assert_eq!(output.status.code(), Some(0), "{place}: {}", text(&output.stderr));
            let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(report["probes"]["refused"], report["probes"]["total"]);
            report["signer"].clone()
        };
        let (memory, token, service) = (run("software"), run("pkcs11"), run("service"));
        let second =
            ["miniature/cluster/2", "miniature/etcd/2", "miniature/front-proxy/2", "miniature/service-account/2"];
        for (keys, place) in [(&memory, "software"), (&token, "pkcs11"), (&service, "service")] {
            assert_eq!(keys["place"], place);
            // The old ones were destroyed where they were.
            assert_eq!(keys["keys"], serde_json::json!(second), "{place}");
        }
        // What nodes asked for came from there, from the next generation since one switch, and the first one ended there.
        let issued = serde_json::json!({ "issued": 4, "refused": 0, "switches": 1, "retired": 1 });
        assert_eq!(service["issuing"], issued);
        assert_eq!((&memory["issuing"], &token["issuing"]), (&serde_json::Value::Null, &serde_json::Value::Null));
        for export in token["exports"].as_array().unwrap() {
            assert_eq!([&export["read"], &export["wrapped"], &export["copied"]], [0, 0, 0], "{export}");
        }
        assert_eq!(token["exports"].as_array().unwrap().len(), second.len());
        let octets = |attempt: &str| token["control"][attempt].as_u64().unwrap();
        assert!(octets("read") >= 32 && octets("wrapped") >= 32 && octets("copied") >= 32, "{token}");
    }

    #[test]
    fn a_module_that_is_none_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let none = scratch.path().join("none.so");
        refused(&["--signer", "pkcs11", "--module", none.to_str().unwrap()], "none.so");
    }

    #[test]
    fn help_shows_real_uses_and_the_exit_codes() {
        let output = rotate_cluster(&["--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        for part in [
            "--preset",
            "--nodes",
            "--strategy",
            "--emergency",
            "--rollback-at",
            "--sleeping-node",
            "--signer",
            "--out",
            "--plant",
            "--format",
            "Examples:",
            "Exit status:",
        ] {
            assert!(help.contains(part), "{part}");
        }
    }
}
