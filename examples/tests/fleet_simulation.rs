//! `fleet_simulation` as a person or a script meets it: exit codes, streams, numbers.

#[cfg(test)]
#[path = "support/example.rs"]
mod example;

#[cfg(test)]
mod tests {
    use std::process::Output;

    use serde_json::Value;

    use crate::example::{assert_refused, example, text};

    fn fleet_simulation(arguments: &[&str]) -> Output {
        example("fleet_simulation").args(arguments).output().unwrap()
    }

    #[test]
    fn unusable_arguments_get_one_line_and_exit_code_two() {
        for (arguments, reason) in [
            (["--clusters", "0"], "1..=5000000"),
            (["--clusters", "5000001"], "1..=5000000"),
            (["--clusters", "many"], "many"),
            (["--years", "0"], "1..=100"),
            (["--years", "101"], "1..=100"),
            (["--seed", "-1"], "-1"),
            (["--format", "xml"], "xml"),
        ] {
            assert_refused(&fleet_simulation(&arguments), reason);
        }
        assert_refused(&fleet_simulation(&["--nonsense"]), "--nonsense");
    }

    #[test]
    fn without_arguments_ten_thousand_clusters_live_for_five_years_and_no_law_breaks() {
        let output = fleet_simulation(&[]);
        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{stdout}{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "no progress off a terminal");
        assert!(!stdout.contains('\u{1b}'), "escape codes off a terminal");
        let years: Vec<_> = stdout.lines().filter_map(|line| line.trim().get(..5)?.strip_suffix(' ')).collect();
        assert!(years.starts_with(&["YEAR", "2026", "2027", "2028", "2029", "2030"]), "{stdout}");
        assert!(stdout.contains("\n10000 clusters, 5 years, seed 1: "), "{stdout}");
        let last = stdout.lines().last().unwrap();
        assert!(last.starts_with("laws checked: ") && last.ends_with("  broken: 0"), "{last}");
    }

    #[test]
    fn json_is_the_only_thing_on_standard_output_and_a_seed_repeats_itself() {
        let report = |seed: &str| -> Value {
            let arguments = ["--clusters", "400", "--years", "12", "--seed", seed, "--format", "json"];
            let output = fleet_simulation(&arguments);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(report["memory"]["per_cluster"].as_u64().unwrap() > 0);
            report["memory"].take();
            report
        };
        let once = report("7");
        assert_eq!(once, report("7"));
        assert_ne!(once["by_year"], report("8")["by_year"]);
        assert_eq!((&once["version"], &once["clusters"], &once["violations"]), (&1.into(), &400.into(), &0.into()));
        assert_eq!(once["by_year"].as_array().unwrap().len(), 12);
        assert_eq!(once["broken"], Value::Array(Vec::new()));
    }

    #[test]
    fn a_cluster_costs_at_most_128_octets_where_there_are_many() {
        let output = fleet_simulation(&["--clusters", "50000", "--years", "1", "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        for when in ["per_cluster", "per_cluster_at_end"] {
            let octets = report["memory"][when].as_u64().unwrap();
            assert!((88..=128).contains(&octets), "{when}: {octets}");
        }
    }

    #[test]
    fn help_shows_real_uses_and_the_exit_codes() {
        let output = fleet_simulation(&["--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        for part in ["--clusters", "--years", "--seed", "--format", "[default: 10000]", "Examples:", "Exit status:"] {
            assert!(help.contains(part), "{part}");
        }
    }
}
