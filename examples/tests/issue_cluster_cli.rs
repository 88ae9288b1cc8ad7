//! `issue_cluster` as a person or a script meets it: exit codes, streams, and what is left behind.

#[cfg(test)]
#[path = "support/example.rs"]
mod example;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::{Command, Output};

    use serde_json::Value;

    use crate::example::{assert_refused, example, text};

    fn issue_cluster(arguments: &[&str]) -> Output {
        example("issue_cluster").args(arguments).output().unwrap()
    }

    fn issue_to(out: &Path, arguments: &[&str]) -> Output {
        issue_cluster(&[&["--out", out.to_str().unwrap()], arguments].concat())
    }

    fn entries(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    const ROOT: [&str; 8] = [
        "admin.conf",
        "controller-manager.conf",
        "kubelet",
        "kubelet.conf",
        "manifests",
        "pki",
        "scheduler.conf",
        "super-admin.conf",
    ];

    #[test]
    fn without_arguments_a_kubeadm_tree_stands_in_a_new_temporary_directory() {
        let room = tempfile::tempdir().unwrap();
        let output = example("issue_cluster").env("TMPDIR", room.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let [directory] = &*entries(room.path()) else { panic!("one directory expected") };
        let directory = room.path().join(directory);
        assert_eq!(entries(&directory), ROOT);
        let stdout = text(&output.stdout);
        let last = stdout.lines().last().unwrap();
        assert!(last.starts_with("32 files, 15 certificates (kubeadm, p256) for node "), "{last}");
        assert!(last.ends_with(&format!(": {}", directory.display())), "{last}");
    }

    /// The example, run by a shell that has said something before.
    fn after(prelude: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{prelude}; exec \"$0\" \"$@\"")]).arg(example("issue_cluster").get_program());
        command
    }

    #[test]
    fn a_failure_leaves_nothing_among_the_temporary_files() {
        let room = tempfile::tempdir().unwrap();
        // No file may get longer than nothing: the first write fails.
        let output = after("trap '' XFSZ; ulimit -f 0").env("TMPDIR", room.path()).output().unwrap();
        assert_refused(&output, "cannot write to `");
        assert!(text(&output.stderr).contains("File too large"), "{}", text(&output.stderr));
        assert_eq!(entries(room.path()), [""; 0]);
        let missing = room.path().join("missing");
        let output = example("issue_cluster").env("TMPDIR", &missing).output().unwrap();
        assert_refused(&output, &format!("cannot write to `{}`", missing.display()));
    }

    #[test]
    fn whatever_the_umask_directories_have_kubeadms_mode() {
        for umask in ["077", "000"] {
            let room = tempfile::tempdir().unwrap();
            let out = room.path().join("out");
            let output = after(&format!("umask {umask}")).arg("--out").arg(&out).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            for directory in ["", "pki", "pki/etcd", "manifests", "kubelet"] {
                let mode = out.join(directory).metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o755, "{umask} {directory}");
            }
        }
    }

    #[test]
    fn a_new_and_an_empty_directory_are_filled_and_nothing_stands_beside_them() {
        let room = tempfile::tempdir().unwrap();
        std::fs::create_dir(room.path().join("empty")).unwrap();
        for out in ["empty", "new"] {
            let output = issue_to(&room.path().join(out), &[]);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            assert_eq!(entries(&room.path().join(out)), ROOT);
        }
        let relative = example("issue_cluster").args(["--out", "relative"]).current_dir(room.path()).output().unwrap();
        assert_eq!(relative.status.code(), Some(0), "{}", text(&relative.stderr));
        assert_eq!(entries(room.path()), ["empty", "new", "relative"]);
    }

    #[test]
    fn a_directory_that_holds_something_is_refused_and_left_alone() {
        let room = tempfile::tempdir().unwrap();
        let out = room.path().join("out");
        std::fs::create_dir_all(out.join("pki")).unwrap();
        std::fs::write(out.join("pki/ca.key"), "precious").unwrap();
        assert_refused(&issue_to(&out, &[]), "it is not empty, and nothing is overwritten");
        assert_eq!((entries(&out), entries(&out.join("pki"))), (vec!["pki".to_owned()], vec!["ca.key".to_owned()]));
        assert_eq!(std::fs::read_to_string(out.join("pki/ca.key")).unwrap(), "precious");
        assert_eq!(entries(room.path()), ["out"]);
    }

    #[test]
    fn a_place_where_nothing_can_be_written_is_refused_by_its_name() {
        let room = tempfile::tempdir().unwrap();
        std::fs::write(room.path().join("file"), "content").unwrap();
        std::os::unix::fs::symlink("nowhere", room.path().join("link")).unwrap();
        for out in ["missing/out", "file/out", "file", "link", ".."] {
            let path = room.path().join(out);
            assert_refused(&issue_to(&path, &[]), "cannot write to `");
        }
        assert_refused(&issue_to(Path::new("/proc/out"), &[]), "cannot write to `/proc`");
        assert_eq!(entries(room.path()), ["file", "link"]);
        assert_eq!(std::fs::read_to_string(room.path().join("file")).unwrap(), "content");
    }

    #[test]
    fn unusable_and_contradictory_arguments_are_refused_with_the_rule_and_leave_nothing() {
        let room = tempfile::tempdir().unwrap();
        let many = (0..200).map(|number| format!("n{number}")).collect::<Vec<_>>().join(",");
        for (arguments, reason) in [
            (["--preset", "k3s"].as_slice(), "expected one of `gke`, `gke-spanner`, `gdc`, `kubeadm`"),
            (&["--algorithm", "dsa"], "expected one of `p256`"),
            (&["--sans", "*.example.com"], "RFC 1123"),
            (&["--sans", "a,,b"], "is empty"),
            (&["--sans", "0.0.0.0"], "not the address of one host"),
            (&["--etcd-server-sans", "::ffff:10.0.0.1"], "not the address of one host"),
            (&["--etcd-peer-sans", "A"], "RFC 1123"),
            (&["--node-name", "Node_1"], "RFC 1123"),
            (&["--node-name", "10.0.0.1"], "is an address"),
            (&["--advertise-address", "127.0.0.1"], "global unicast"),
            (&["--advertise-address", "2001:db8::1"], "two IP families"),
            (&["--advertise-address", "10.96.0.9"], "lies in the service range `10.96.0.0/12`"),
            (&["--control-plane-endpoint", "10.96.0.1:443"], "lies in the service range `10.96.0.0/12`"),
            (&["--control-plane-endpoint", "api:0"], "1 to 65535"),
            (&["--service-cidr", "10.96.0.0/16,10.97.0.0/16"], "two ranges must be of two IP families"),
            (&["--service-cidr", "10.96.0.1/12"], "bits after the prefix"),
            (&["--dns-domain", "cluster..local"], "empty label"),
            (&["--nonsense"], "--nonsense"),
            (&["--sans", &many], "--sans: the certificate `apiserver` would have more than 100 alternative names"),
            (&["--etcd-server-sans", &many], "--etcd-server-sans: the certificate `etcd-server` would have more than"),
            (&["--etcd-peer-sans", &many], "--etcd-peer-sans: the certificate `etcd-peer` would have more than 100"),
        ] {
            assert_refused(&issue_to(&room.path().join("out"), arguments), reason);
        }
        assert_eq!(entries(room.path()), [""; 0]);
    }

    #[test]
    fn json_lists_every_file_and_holds_no_key() {
        let room = tempfile::tempdir().unwrap();
        let out = room.path().join("out");
        let output = issue_to(&out, &["--format", "json", "--preset", "gke", "--sans", "a.example.com,192.0.2.99"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(!text(&output.stdout).contains("BEGIN"));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["version"], &report["preset"]), (&1.into(), &"gke".into()));
        assert_eq!(report["directory"], out.to_str().unwrap());
        let files = report["files"].as_array().unwrap();
        for file in files {
            assert!(out.join(file["path"].as_str().unwrap()).is_file(), "{file}");
        }
        let of = |path: &str| files.iter().find(|file| file["path"] == path).unwrap();
        assert_eq!(of("pki/etcd/peer-ca.crt")["subject"], "CN=etcd-peer-ca");
        assert_eq!(of("pki/konnectivity-agent.key")["mode"], "0600");
        let names = of("pki/apiserver.crt")["names"].as_array().unwrap();
        assert!(names.contains(&"DNS:a.example.com".into()) && names.contains(&"IP:192.0.2.99".into()), "{names:?}");
        assert_eq!(of("admin.conf")["not_after"].as_str().unwrap().len(), "2027-01-01T00:00:00Z".len());
    }

    #[test]
    fn help_shows_real_uses_and_the_exit_codes() {
        let output = issue_cluster(&["--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        for part in ["--preset", "--out", "--sans", "--service-cidr", "[default: kubeadm]", "Examples:", "Exit status:"]
        {
            assert!(help.contains(part), "{part}");
        }
        // What a reader would otherwise find out later. Lines are wrapped.
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for caveat in [
            "Key usages and key identifiers are stricter; docs/deviations.md lists each difference",
            "no wildcards, which kubeadm's certSANs take",
            "Konnectivity server is not in the tree",
            "nor is any of etcd for gke-spanner",
            "A kill during the writing leaves a directory named .issue-cluster-* beside it, which only its owner can read",
        ] {
            assert!(help.contains(caveat), "{caveat}: {help}");
        }
    }
}
