//! `rehearse_rotation` as a person or a script meets it: exit codes, streams, files.

#[cfg(test)]
#[path = "support/example.rs"]
mod example;

#[cfg(test)]
mod cli {
    use std::process::Output;

    use crate::example::{assert_refused, example, text};

    const START: [&str; 2] = ["--start", "2026-02-02T00:00:00Z"];

    fn rehearse(arguments: &[&str]) -> Output {
        example("rehearse_rotation").args(arguments).output().unwrap()
    }

    fn from_start(arguments: &[&str]) -> Output {
        rehearse(&[&START, arguments].concat())
    }

    fn json(output: &Output) -> serde_json::Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
    }

    #[test]
    fn it_says_something_useful_without_an_argument() {
        let output = rehearse(&[]);
        let stdout = text(&output.stdout);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{stdout}");
        for part in ["latest safe start", "node-leaves/pool-2", "it fits", "kubelet ", "the calendar keeps waiting"] {
            assert!(stdout.contains(part), "{part}: {stdout}");
        }
        assert!(!stdout.contains('\u{1b}'), "escape codes");
    }

    #[test]
    fn every_preset_and_strategy_fits_into_a_year_of_weekends() {
        for (preset, strategies) in [
            ("gke", ["staged", "dual-endpoint", "cross-signed"].as_slice()),
            ("gke-spanner", &["dual-endpoint"]),
            ("gdc", &["staged", "cross-signed"]),
            ("kubeadm", &["staged", "dual-endpoint", "cross-signed"]),
        ] {
            for strategy in strategies {
                let output = from_start(&["--preset", preset, "--strategy", strategy, "--format", "json"]);
                assert_eq!(output.status.code(), Some(0), "{preset} {strategy}: {}", text(&output.stderr));
                let timeline = json(&output);
                assert_eq!(timeline["strategy"], *strategy);
                assert_eq!(timeline["begins"], "2026-02-02T00:00:00Z");
                assert_eq!(timeline["expiry"], "2027-02-02T00:00:00Z");
                assert_eq!(timeline["nodes"].as_array().unwrap().len(), 6, "{preset} {strategy}");
                assert!(timeline["stages"].as_array().unwrap().iter().all(|stage| stage["id"].is_string()));
            }
        }
        let staged = from_start(&["--preset", "gke", "--strategy", "staged"]);
        assert!(text(&staged.stdout).contains("is left behind"), "{}", text(&staged.stdout));
    }

    #[test]
    fn what_does_not_fit_or_never_ends_exits_with_one() {
        // A Monday's credentials end on Friday, and the first window is on Saturday.
        let late = from_start(&["--expiry", "2026-02-08T03:00:00Z"]);
        assert_eq!(late.status.code(), Some(1), "{}", text(&late.stderr));
        assert!(text(&late.stdout).contains("AT RISK"), "{}", text(&late.stdout));
        let none = from_start(&["--expiry", "2026-02-06T00:00:00Z"]);
        assert_eq!((none.status.code(), text(&none.stdout).as_str()), (Some(1), ""));
        let stderr = text(&none.stderr);
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
        // Without windows the same fits.
        assert_eq!(from_start(&["--expiry", "2026-02-06T00:00:00Z", "--windows", "always"]).status.code(), Some(0));
        let excluded = "freeze,2026-01-01T00:00:00Z,2028-01-01T00:00:00Z,NO_MINOR_OR_NODE_UPGRADES";
        let frozen = from_start(&["--exclusion", excluded]);
        assert_eq!(frozen.status.code(), Some(1));
        assert!(text(&frozen.stderr).contains("freeze"), "{}", text(&frozen.stderr));
        // An emergency waits for nothing.
        let emergency = from_start(&["--exclusion", excluded, "--emergency"]);
        assert_eq!(emergency.status.code(), Some(0));
        assert!(text(&emergency.stdout).contains("breaks on the way"));
    }

    #[test]
    fn unusable_arguments_get_one_line_and_exit_code_two() {
        let refused = |arguments: &[&str], reason: &str| assert_refused(&rehearse(arguments), reason);
        refused(&["--preset", "k3s"], "expected one of `gke`, `gke-spanner`, `gdc`, `kubeadm`");
        refused(&["--preset", "gdc", "--strategy", "dual-endpoint"], "no second address");
        refused(&["--unit", "nonsense"], "no preset has such a unit");
        refused(&["--unit", "konnectivity"], "expected `ca`");
        refused(&["--nodes", "0"], "0");
        refused(&["--nodes", "2", "--pools", "3"], "no fewer nodes than pools");
        refused(&["--start", "yesterday"], "yesterday");
        refused(&["--start", "2026-02-02T00:00:00Z", "--expiry", "2026-02-02T00:00:00Z"], "have expired");
        for window in ["nonsense", "FREQ=WEEKLY@2026-01-03T02:00:00Z", "FREQ=WEEKLY@2026-01-03T02:00:00Z/PT6"] {
            refused(&["--windows", window], "RULE@START/END");
        }
        refused(&["--windows", "FREQ=DAILY@2026-01-03T02:00:00Z/PT25H"], "FREQ=DAILY");
        refused(&["--exclusion", "a,b"], "NAME,START,END,SCOPE");
        refused(&["--exclusion", "a,2026-01-01T00:00:00Z,2026-02-01T00:00:00Z,ALL"], "NO_UPGRADES");
        refused(&["--svg", "no/such/directory/file.svg"], "cannot write");
        refused(&["--nonsense"], "--nonsense");
    }

    #[test]
    fn the_picture_has_every_stage_the_windows_and_the_expiry() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("rehearsal.svg");
        let output = from_start(&["--expiry", "2026-02-22T00:00:00Z", "--svg", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let picture = std::fs::read_to_string(&file).unwrap();
        assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"));
        for part in ["control-plane-trust", "node-retire/pool-2", "class=\"window\"", "class=\"expiry\"", "7 days"] {
            assert!(picture.contains(part), "{part}");
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }
}
