//! What one certificate costs in instructions and allocations, beside what was recorded for this compiler and target.
//!
//! Counts do not depend on what else the machine does, so a rise is the code's. valgrind counts the program `counts`, which issues
//! without cryptography: the providers choose their code by the processor, of which valgrind shows a part, and would be counted
//! otherwise on every machine. SHA-256 of key identifiers is in it, without the instructions that processors have for it.
//!
//! By hand and not with gungraun: that needs a runner of the very same version installed beside it, and compares with what was
//! counted last on the same machine, not with what the repository records.

#[cfg(test)]
mod counts {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use serde_json::{Value, json};

    /// What a count may differ from its record.
    const TOLERANCE_PERCENT: u64 = 5;
    /// How many certificates are counted. Twice as many are, too, and of both the difference: beginning and end fall out.
    const TIMES: u64 = 64;
    const CASES: [&str; 2] = ["p256", "rsa2048"];
    const RECORD: &str = "RECORD_COUNTS=1 cargo test --locked -p benches --test counts";

    /// What a program printed to either stream.
    fn said(command: &mut Command) -> String {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{command:?}: {said}");
        said
    }

    /// The program, always in the same profile, whichever this test is built in.
    fn program() -> PathBuf {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--locked", "--package", "benches", "--bin", "counts"]);
        cargo.args(["--message-format", "json"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let built = cargo.output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let messages = String::from_utf8(built.stdout).unwrap();
        let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut programs = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
        programs.next().expect("Cargo names what it built")
    }

    /// The first number after `mark`, whose thousands valgrind separates.
    fn number_after(text: &str, mark: &str) -> u64 {
        let (_, rest) = text.split_once(mark).unwrap_or_else(|| panic!("no {mark:?} in {text}"));
        let digits: String = rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
        digits.replace(',', "").parse().unwrap()
    }

    /// For one certificate, rounded.
    fn each(tool: &[&str], mark: &str, program: &Path, case: &str) -> u64 {
        let count = |times: u64| {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(tool).arg(program).args([case, &times.to_string()]);
            // A longer environment moves the stack, and what is aligned on it.
            valgrind.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
            number_after(&said(&mut valgrind), mark)
        };
        (count(2 * TIMES) - count(TIMES) + TIMES / 2) / TIMES
    }

    fn counted() -> BTreeMap<String, u64> {
        let program = program();
        let callgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
        let memcheck = ["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"];
        let mut counts = BTreeMap::new();
        for case in CASES {
            counts.insert(format!("{case} instructions"), each(&callgrind, "Collected :", &program, case));
            counts.insert(format!("{case} allocations"), each(&memcheck, "total heap usage:", &program, case));
        }
        counts
    }

    /// `1.95.0 x86_64-unknown-linux-gnu`.
    fn compiler() -> String {
        let version = said(Command::new("rustc").arg("-vV"));
        let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        format!("{} {}", field("release:"), field("host:"))
    }

    /// What is wrong with `counts` beside `recorded`, of all that are recorded.
    fn compare(recorded: &Value, compiler: &str, counts: &BTreeMap<String, u64>) -> Vec<String> {
        let Some(expected) = recorded.get(compiler) else {
            return vec![format!("nothing is recorded for {compiler}; it counts {counts:?}")];
        };
        let mut wrong = Vec::new();
        for (what, found) in counts {
            match expected.get(what).and_then(Value::as_u64) {
                None => wrong.push(format!("{what}: {found}, of which nothing is recorded")),
                Some(was) if found * 100 > was * (100 + TOLERANCE_PERCENT) => {
                    wrong.push(format!("{what}: {found}, was {was}: it rose"));
                }
                // Else the next rise could eat up what was gained, unseen.
                Some(was) if found * 100 < was * (100 - TOLERANCE_PERCENT) => {
                    wrong.push(format!("{what}: {found}, was {was}: it fell, which is worth a record"));
                }
                Some(_) => {}
            }
        }
        wrong
    }

    #[test]
    fn a_certificate_costs_what_is_recorded() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.json");
        let mut recorded: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let (compiler, counts) = (compiler(), counted());
        println!("{compiler}: {counts:?}");
        if std::env::var_os("RECORD_COUNTS").is_some() {
            recorded[&compiler] = json!(counts);
            std::fs::write(&file, format!("{recorded:#}\n")).unwrap();
        }
        let wrong = compare(&recorded, &compiler, &counts);
        assert!(wrong.is_empty(), "{}\nif it is meant to be so: {RECORD}", wrong.join("\n"));
    }

    #[test]
    fn a_change_of_more_than_a_twentieth_is_seen() {
        let recorded = json!({ "1.95.0 here": { "p256 instructions": 100_000, "p256 allocations": 20 } });
        let found = |instructions, allocations| {
            let counts = [("p256 instructions", instructions), ("p256 allocations", allocations)];
            let counts = counts.map(|(what, count)| (what.to_owned(), count));
            compare(&recorded, "1.95.0 here", &counts.into())
        };
        assert!(found(105_000, 21).is_empty());
        assert!(found(95_000, 19).is_empty());
        assert_eq!(found(105_001, 20), ["p256 instructions: 105001, was 100000: it rose"]);
        assert_eq!(found(94_999, 20), ["p256 instructions: 94999, was 100000: it fell, which is worth a record"]);
        assert_eq!(found(100_000, 22), ["p256 allocations: 22, was 20: it rose"]);
        let elsewhere = compare(&recorded, "1.96.0 here", &BTreeMap::new());
        assert_eq!(elsewhere, ["nothing is recorded for 1.96.0 here; it counts {}"]);
        let new = compare(&recorded, "1.95.0 here", &BTreeMap::from([("p384 instructions".to_owned(), 1)]));
        assert_eq!(new, ["p384 instructions: 1, of which nothing is recorded"]);
    }

    #[test]
    fn what_valgrind_says_is_read() {
        let said = "==9== Collected : 6744744\n==9==   total heap usage: 4,365 allocs, 4,364 frees";
        assert_eq!(number_after(said, "Collected :"), 6_744_744);
        assert_eq!(number_after(said, "total heap usage:"), 4_365);
    }
}
