//! `issuing_service` and `request_certificate` as a person or a script meets them: exit codes, streams, files, signals.

#[cfg(test)]
#[path = "support/example.rs"]
mod example;

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::path::Path;
    use std::process::{Child, Command, Output, Stdio};

    use examples::keys::TokenDirectory;

    use crate::example::{assert_refused, example, text};

    /// A service, ended by SIGKILL at the latest.
    struct Running(Child, String);

    impl Running {
        fn begin(directory: &Path) -> Self {
            Self::begin_with(example("issuing_service"), directory)
        }

        fn begin_with(mut command: Command, directory: &Path) -> Self {
            command.args(["--cluster", "prod-1", "--domain", "pool-a.example", "--dir"]).arg(directory);
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert!(line.starts_with("serving: prod-1 at "), "{line}");
            Self(child, line)
        }

        fn terminate(mut self) -> Option<i32> {
            let killed = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
            assert!(killed.success());
            self.0.wait().unwrap().code()
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            let _gone = self.0.kill();
            let _reaped = self.0.wait();
        }
    }

    fn ask(directory: &Path, node: &str, more: &[&str]) -> Output {
        let mut command = example("request_certificate");
        command.arg("--socket").arg(directory.join("issuing.sock")).arg("--ca").arg(directory.join("ca.crt"));
        command.args(["--cluster", "prod-1", "--node", node]).args(more).output().unwrap()
    }

    #[test]
    fn the_key_of_a_token_is_the_same_after_a_restart_and_lies_in_no_file() {
        const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

        let (scratch, token) = (tempfile::tempdir().unwrap(), TokenDirectory::new().unwrap());
        let (state, pin) = (scratch.path().join("state"), scratch.path().join("pin"));
        std::fs::create_dir(&state).unwrap();
        std::fs::write(&pin, format!("{}\n", TokenDirectory::PIN)).unwrap();
        let uri = format!("pkcs11:token={}", TokenDirectory::LABEL);
        let with_token = || {
            let mut command = token.command(example("issuing_service").get_program());
            command.args(["--key-store", "pkcs11", "--module", MODULE, "--token", &uri, "--pin-file"]).arg(&pin);
            command
        };
        let mut said = Vec::new();
        for node in ["node-1.pool-a.example", "node-2.pool-a.example"] {
            let running = Running::begin_with(with_token(), &state);
            said.push(running.1.clone());
            let out = scratch.path().join(node);
            let answer =
                ask(&state, node, &["--out", out.to_str().unwrap(), "--key-out", &format!("{}.key", out.display())]);
            assert_eq!(answer.status.code(), Some(0), "{}", text(&answer.stderr));
            assert_eq!(running.terminate(), Some(0));
        }
        assert_eq!(said[0], said[1]);
        assert!(!state.join("ca.key").exists());
        // With another PIN nothing is served, and the token is asked once.
        std::fs::write(&pin, "4321\n").unwrap();
        let mut command = with_token();
        command.args(["--cluster", "prod-1", "--domain", "pool-a.example", "--dir"]).arg(&state);
        assert_refused(&command.output().unwrap(), "prod-1/cluster/1");
        let missing = ["--dir", ".", "--cluster", "a", "--domain", "b.example", "--key-store", "pkcs11"];
        assert_refused(&example("issuing_service").args(missing).output().unwrap(), "required arguments");
    }

    #[test]
    fn without_arguments_both_show_a_certificate_a_retry_a_refusal_and_the_log() {
        for tool in ["issuing_service", "request_certificate"] {
            let output = example(tool).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            let said = text(&output.stdout);
            for part in [
                "  issued, ",
                "  the same octets",
                "  refused: policy.name",
                " prepared serial=",
                " refused code=policy.name",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }

    #[test]
    fn a_service_issues_refuses_drains_at_sigterm_and_comes_back_with_the_same_ca() {
        let scratch = tempfile::tempdir().unwrap();
        let service = Running::begin(scratch.path());
        let (certificate, key) = (scratch.path().join("node.crt"), scratch.path().join("node.key"));
        let files = ["--out", certificate.to_str().unwrap(), "--key-out", key.to_str().unwrap()];
        let issued = ask(scratch.path(), "node-1.pool-a.example", &files);
        assert_eq!(issued.status.code(), Some(0), "{}", text(&issued.stderr));
        let verified = Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"])
            .args([scratch.path().join("ca.crt"), certificate.clone()])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{}", text(&verified.stderr));
        // The key is not written over; nothing off the policy is given, and no file is left.
        let again = ask(scratch.path(), "node-1.pool-a.example", &files);
        assert_eq!(again.status.code(), Some(2));
        let stray = scratch.path().join("stray.key");
        let refused = ask(scratch.path(), "node-1.pool-b.example", &["--key-out", stray.to_str().unwrap()]);
        assert_eq!((refused.status.code(), stray.exists()), (Some(1), false));
        assert!(text(&refused.stderr).contains("policy.node"), "{}", text(&refused.stderr));
        // A second process does not take the log or the socket of a living one.
        let second = example("issuing_service")
            .args(["--cluster", "prod-1", "--domain", "pool-a.example", "--dir"])
            .arg(scratch.path())
            .output()
            .unwrap();
        assert_refused(&second, "another process has the issuance log");
        let said = service.1.clone();
        assert_eq!(service.terminate(), Some(0));
        assert!(!scratch.path().join("issuing.sock").exists());
        let gone = ask(scratch.path(), "node-1.pool-a.example", &["--key-out", stray.to_str().unwrap()]);
        assert_refused(&gone, "the service cannot be reached");

        // Killed and begun anew: the socket of the dead is taken over, and the CA is the same.
        drop(Running::begin(scratch.path()));
        let service = Running::begin(scratch.path());
        assert_eq!(service.1, said);
        let issued = ask(scratch.path(), "node-2.pool-a.example", &["--key-out", stray.to_str().unwrap()]);
        assert_eq!(issued.status.code(), Some(0), "{}", text(&issued.stderr));
        drop(service);
        let verify = || {
            example("issuing_service")
                .args(["--verify-log", "--format", "json", "--dir"])
                .arg(scratch.path())
                .output()
                .unwrap()
        };
        let sound = verify();
        assert_eq!(sound.status.code(), Some(0));
        let said: serde_json::Value = serde_json::from_slice(&sound.stdout).unwrap();
        // The second time the certificate was issued too, before its key had no place.
        assert_eq!((said["issued"].as_u64(), said["refused"].as_u64()), (Some(3), Some(1)), "{said}");
        let path = scratch.path().join("issuance.log");
        let mut octets = std::fs::read(&path).unwrap();
        octets[200] ^= 1;
        std::fs::write(&path, octets).unwrap();
        let broken = verify();
        assert_eq!(broken.status.code(), Some(1));
        assert!(text(&broken.stderr).starts_with("not sound: the issuance log is damaged at octet "));
    }

    #[test]
    fn unusable_arguments_get_one_line_and_exit_code_two() {
        let service = |arguments: &[&str]| example("issuing_service").args(arguments).output().unwrap();
        assert_refused(&service(&["--dir", "."]), "were not provided");
        assert_refused(&service(&["--dir", "/nowhere", "--cluster", "c", "--domain", "d"]), "/nowhere");
        assert_refused(&service(&["--dir", "/nowhere", "--verify-log"]), "the issuance log");
        let client = |arguments: &[&str]| example("request_certificate").args(arguments).output().unwrap();
        assert_refused(&client(&["--socket", "s", "--ca", "c", "--cluster", "C"]), "invalid value");
        let nowhere = ["--socket", "s", "--ca", "/nowhere", "--cluster", "c", "--node", "n", "--key-out", "k"];
        assert_refused(&client(&nowhere), "/nowhere");
    }
}
