//! `inspect` as a person or a script meets it: exit codes, streams, and what it says of a tree as machines have one.

#[cfg(test)]
#[path = "support/openssl.rs"]
mod openssl;

#[cfg(test)]
mod inspect {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::{Command, Output};

    use tempfile::TempDir;

    use crate::openssl::openssl;

    /// A moment at which everything that openssl makes here is valid, and by which the goldens of a day do not change.
    /// A day early, so that the seconds that making the certificates takes do not turn five years into four.
    const IN_FIVE_YEARS: i64 = 5 * 365 - 1;

    /// The example's binary, which a whole test run has built beside the tests.
    fn inspect(arguments: &[&str]) -> Output {
        let tests = std::env::current_exe().unwrap();
        let binary = tests.parent().unwrap().parent().unwrap().join("examples/inspect");
        assert!(binary.exists(), "{} is not built: `cargo build --examples`", binary.display());
        Command::new(binary).args(arguments).output().unwrap()
    }

    fn text(stream: &[u8]) -> String {
        String::from_utf8(stream.to_vec()).unwrap()
    }

    /// Exit code and standard output; standard error must be empty.
    fn said(arguments: &[&str]) -> (i32, String) {
        let output = inspect(arguments);
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        (output.status.code().unwrap(), text(&output.stdout))
    }

    fn refused(arguments: &[&str], reason: &str) {
        let output = inspect(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(stdout, "", "{arguments:?}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{arguments:?}: {stderr}");
    }

    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    const SERVER: &str =
        "-addext subjectAltName=DNS:x -addext extendedKeyUsage=serverAuth -addext basicConstraints=CA:FALSE";

    /// A tree like kubeadm's, with one authority whose key is here and one whose key is not.
    fn tree() -> TempDir {
        let scratch = tempfile::tempdir().unwrap();
        let pki = scratch.path().join("pki");
        std::fs::create_dir_all(pki.join("etcd")).unwrap();
        let root = |name: &str| {
            openssl(&pki, &format!("req -x509 {KEY} -keyout {name}.key -out {name}.crt -subj /CN={name} -days 7300"))
        };
        root("ca");
        root("org");
        let leaf = |name: &str, issuer: &str, subject: &str, more: &str| {
            openssl(
                &pki,
                &format!(
                    "req -x509 -CA {issuer}.crt -CAkey {issuer}.key {KEY} -keyout {name}.key -out {name}.crt -subj {subject} -days 3650 {more}"
                ),
            );
        };
        leaf("apiserver", "ca", "/CN=kube-apiserver", SERVER);
        leaf("alice", "ca", "/O=developers/CN=alice", "-addext basicConstraints=CA:FALSE");
        leaf("sni", "org", "/CN=kube-apiserver", SERVER);
        leaf("etcd/server", "ca", "/CN=kube-apiserver", SERVER);
        std::fs::remove_file(pki.join("org.key")).unwrap();
        scratch
    }

    fn day(days: i64) -> String {
        use time::format_description::well_known::Rfc3339;
        #[expect(clippy::disallowed_methods, reason = "openssl dates from today")]
        let now = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
        let moment = now + time::Duration::days(days);
        let (date, clock) = (moment.date(), moment.time());
        let text = format!("{date}T{:02}:{:02}:{:02}Z", clock.hour(), clock.minute(), clock.second());
        assert!(time::OffsetDateTime::parse(&text, &Rfc3339).is_ok());
        text
    }

    fn rows(table: &str) -> Vec<Vec<&str>> {
        table.lines().map(|line| line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect()
    }

    #[test]
    fn a_tree_in_order_exits_with_zero_and_says_who_renews_what() {
        let tree = tree();
        let (code, out) = said(&[tree.path().to_str().unwrap(), "--at", &day(IN_FIVE_YEARS)]);
        assert_eq!(code, 0, "{out}");
        let rows = rows(&out);
        let ends: Vec<_> =
            rows.iter().filter(|row| row.len() == 5).map(|row| [row[0], row[2], row[3], row[4]]).collect();
        assert_eq!(
            ends,
            [
                ["CERTIFICATE", "RESIDUAL TIME", "CERTIFICATE AUTHORITY", "EXTERNALLY MANAGED"],
                ["alice", "5y", "ca", "no"],
                ["apiserver", "5y", "ca", "no"],
                ["etcd-server", "5y", "ca", "no"],
                ["sni", "5y", "org", "yes"],
            ]
        );
        let authorities: Vec<_> =
            rows.iter().filter(|row| row.len() == 4).map(|row| [row[0], row[2], row[3]]).collect();
        assert_eq!(
            authorities,
            [
                ["CERTIFICATE AUTHORITY", "RESIDUAL TIME", "EXTERNALLY MANAGED"],
                ["ca", "15y", "no"],
                ["org", "15y", "yes"]
            ]
        );
        assert!(out.contains("\nissued by hand, never renewed: alice\n"), "{out}");
    }

    #[test]
    fn expired_certificates_exit_with_one_and_are_named() {
        let tree = tree();
        let (code, out) = said(&[tree.path().to_str().unwrap(), "--at", &day(3_651)]);
        assert_eq!(code, 1);
        assert!(out.contains("<invalid>"), "{out}");
        let faults: Vec<_> = out.lines().filter(|line| line.starts_with("fault: ")).collect();
        assert_eq!(faults.len(), 4, "{out}");
        assert!(faults[0].starts_with("fault: pki/alice.crt: PEM block 1, line 1: expired at 20"), "{out}");
        // A month before, it is no fault yet.
        let (code, out) = said(&[tree.path().to_str().unwrap(), "--at", &day(3_630)]);
        assert_eq!(code, 0, "{out}");
        assert!(out.contains("notice: pki/alice.crt: PEM block 1, line 1: expires within 30 days, at 20"), "{out}");
    }

    #[test]
    fn what_is_exposed_broken_or_not_read_is_found_and_nothing_leads_out() {
        let tree = tree();
        let pki = tree.path().join("pki");
        let outside = tempfile::tempdir().unwrap();
        std::fs::copy(pki.join("ca.crt"), outside.path().join("secret.crt")).unwrap();
        std::fs::set_permissions(pki.join("apiserver.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let good = std::fs::read_to_string(pki.join("ca.crt")).unwrap();
        let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        std::fs::write(pki.join("bundle.crt"), format!("{good}{broken}")).unwrap();
        std::fs::write(pki.join("cut.crt"), good.split("-----END").next().unwrap()).unwrap();
        std::fs::write(pki.join("huge.crt"), vec![b'x'; (1 << 20) + 1]).unwrap();
        std::fs::write(tree.path().join("admin.conf"), "apiVersion: v1\nkind: Config\nusers: 1\n").unwrap();
        std::fs::write(tree.path().join("README"), "words").unwrap();
        std::fs::write(tree.path().join("empty"), "").unwrap();
        std::fs::write(tree.path().join("\u{1b}[2J.crt"), broken).unwrap();
        symlink(outside.path().join("secret.crt"), pki.join("out.crt")).unwrap();
        symlink(outside.path(), pki.join("outside")).unwrap();
        symlink("ca.crt", pki.join("inside.crt")).unwrap();
        symlink("..", pki.join("loop")).unwrap();
        symlink("nowhere", pki.join("dangling.crt")).unwrap();
        assert!(Command::new("mkfifo").arg(pki.join("pipe")).status().unwrap().success());

        let (code, out) = said(&[tree.path().to_str().unwrap(), "--at", &day(1)]);
        assert_eq!(code, 1);
        let said: Vec<_> =
            out.lines().filter(|line| line.starts_with("fault: ") || line.starts_with("notice: ")).collect();
        let line = good.lines().count() + 1;
        let expected = [
            "fault: admin.conf: kubeconfig: not readable: line 3: not the YAML of a kubeconfig".to_owned(),
            "fault: pki/apiserver.key: a private key that everybody may read or write: mode 0644, expected 0600"
                .to_owned(),
            "fault: pki/cut.crt: not readable: PEM block 1, line 1: the block has no end line".to_owned(),
            "fault: pki/dangling.crt: not read: No such file or directory (os error 2)".to_owned(),
            "fault: pki/huge.crt: not read: 1048577 octets, limit 1048576".to_owned(),
            "notice: pki/out.crt: not read: a symbolic link that leads out of the directory".to_owned(),
            "notice: pki/outside: not read: a symbolic link that leads out of the directory".to_owned(),
            "fault: \\1B[2J.crt: PEM block 1, line 1: not readable: Certificate: ".to_owned(),
            format!("fault: pki/bundle.crt: PEM block 2, line {line}: not readable: Certificate: "),
        ];
        for (said, expected) in said.iter().zip(&expected) {
            assert!(said.starts_with(expected.as_str()), "{said}\n{expected}");
        }
        assert_eq!(said.len(), expected.len(), "{out}");
        // README, the empty file, the loop and the pipe.
        assert!(out.contains("  ignored: 4\n"), "{out}");
        assert!(!out.contains('\u{1b}'));
    }

    #[test]
    fn one_file_is_shown_whole_with_its_findings_in_place() {
        let tree = tree();
        let path = tree.path().join("pki/apiserver.crt");
        let (code, out) = said(&[path.to_str().unwrap()]);
        assert_eq!(code, 0, "{out}");
        assert!(out.starts_with("CERTIFICATE, block 1, line 1\nversion:              3\n"), "{out}");
        assert!(out.contains("\nsubject:              CN=kube-apiserver\nissuer:               CN=ca\n"), "{out}");
        assert!(out.contains("\nlooks like:           apiserver\n"), "{out}");
        let (code, out) = said(&[path.to_str().unwrap(), "--at", "2100-01-01T00:00:00+01:00"]);
        assert_eq!(code, 1);
        assert!(out.lines().last().unwrap().starts_with("fault:                expired at 20"), "{out}");

        openssl(tree.path(), "x509 -in pki/apiserver.crt -outform DER -out apiserver.der");
        let (code, out) = said(&[tree.path().join("apiserver.der").to_str().unwrap()]);
        assert_eq!((code, out.lines().next()), (0, Some("CERTIFICATE, DER")));
    }

    #[test]
    fn an_old_weak_certificate_is_shown_and_exits_with_one() {
        let scratch = tempfile::tempdir().unwrap();
        let made = "req -x509 -newkey rsa:1024 -nodes -keyout old.key -out old.pem -subj /CN=old -days 3650";
        openssl(scratch.path(), made);
        let (code, out) = said(&[scratch.path().join("old.pem").to_str().unwrap()]);
        assert_eq!(code, 1);
        assert!(out.contains("public key:           RSA, 1024 bits\n") && out.contains("(NIST SP 800-131A)"), "{out}");
    }

    #[test]
    fn a_private_key_is_named_and_not_shown() {
        let tree = tree();
        let path = tree.path().join("pki/ca.key");
        let (code, out) = said(&[path.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (0, "PRIVATE KEY, block 1, line 1\na private key, not decoded\n"));
        let secret = std::fs::read_to_string(&path).unwrap();
        let (_, json) = said(&[tree.path().to_str().unwrap(), "--format", "json"]);
        assert!(secret.lines().filter(|line| !line.starts_with("--")).all(|line| !json.contains(line)));
    }

    #[test]
    fn json_is_the_same_inspection_for_machines() {
        let tree = tree();
        let (code, json) = said(&[tree.path().to_str().unwrap(), "--format", "json", "--at", &day(1)]);
        assert_eq!(code, 0);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["version"], &json["demonstration"]), (&1.into(), &false.into()));
        let names: Vec<_> =
            json["expiry"]["certificates"].as_array().unwrap().iter().map(|row| &row["renewal"]).collect();
        assert_eq!(names, ["manual", "automatic", "automatic", "externallyManaged"]);
        let file = &json["files"][0];
        assert_eq!(file["path"], "pki/alice.crt");
        assert_eq!(file["blocks"][0]["kind"], "certificate");
        assert_eq!(file["blocks"][0]["view"]["subject"]["organizations"][0], "developers");
    }

    #[test]
    fn without_an_argument_a_cluster_is_made_up_and_said_to_be() {
        let (code, out) = said(&[]);
        assert_eq!(code, 0, "{out}");
        assert!(out.starts_with("no FILE or DIR given: a demonstration, "), "{out}");
        let rows = rows(&out);
        for expected in [
            ["apiserver", "Jan 01, 2027 00:00 UTC", "183d", "cluster-ca", "no"],
            ["sni", "Jan 01, 2027 00:00 UTC", "183d", "org-ca", "yes"],
        ] {
            assert!(rows.iter().any(|row| *row == expected), "{out}");
        }
        let (code, out) = said(&["--at", "2027-01-01T00:00:01Z"]);
        assert_eq!(code, 1);
        assert!(out.contains("<invalid>") || out.contains("0s"), "{out}");
    }

    #[test]
    fn unusable_input_gets_one_line_and_exit_code_two() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
        refused(&[&path("missing")], "No such file");
        refused(&[&path("a\n\u{1b}[2J")], "a\\0A\\1B[2J`: No such file");
        for (name, content) in [("empty", ""), ("words", "words"), ("der", "0\u{1}x")] {
            std::fs::write(path(name), content).unwrap();
            refused(&[&path(name)], "nothing to inspect");
        }
        refused(&[scratch.path().to_str().unwrap()], "nothing to inspect");
        refused(&["--at", "yesterday"], "expected a moment such as");
        refused(&["--format", "yaml"], "yaml");
        refused(&["one", "two"], "two");
        let help = inspect(&["--help"]);
        assert_eq!(help.status.code(), Some(0));
        for part in ["--format", "--at", "Examples:", "Exit status:"] {
            assert!(text(&help.stdout).contains(part), "{part}");
        }
    }

    #[test]
    fn a_tree_deeper_or_larger_than_the_bounds_is_said_to_be_cut_short() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("a/b/c/d/e/f/g/h");
        std::fs::create_dir_all(&deep).unwrap();
        let (code, out) = said(&[scratch.path().to_str().unwrap()]);
        assert_eq!(code, 1);
        assert!(out.contains("not everything was read: deeper than 8 directories"), "{out}");

        let scratch = tempfile::tempdir().unwrap();
        for number in 0..4_097 {
            std::fs::write(scratch.path().join(number.to_string()), "").unwrap();
        }
        let (code, out) = said(&[scratch.path().to_str().unwrap()]);
        assert_eq!(code, 1);
        assert!(out.contains("not everything was read: more than 4096 files"), "{out}");

        let scratch = tempfile::tempdir().unwrap();
        for number in 0..1_024 {
            std::fs::create_dir(scratch.path().join(number.to_string())).unwrap();
        }
        let (code, out) = said(&[scratch.path().to_str().unwrap()]);
        assert_eq!(code, 1);
        // The directory itself is the first.
        assert!(out.contains("not everything was read: more than 1024 directories"), "{out}");
    }

    #[test]
    fn a_tree_of_more_octets_than_the_bound_is_said_to_be_cut_short_and_is_shown_as_far_as_it_was_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().to_str().unwrap();
        let (sparse, largest) = (scratch.path().join("sparse"), 1 << 20);
        for number in 0..32 {
            let file = std::fs::File::create(scratch.path().join(number.to_string())).unwrap();
            file.set_len(largest).unwrap();
        }
        refused(&[path], "nothing to inspect");
        // What is not read does not count.
        std::fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
        let (code, out) = said(&[path]);
        assert_eq!(
            (code, out.lines().last()),
            (1, Some("fault: sparse: not read: 1099511627776 octets, limit 1048576"))
        );
        for number in 32..34 {
            std::fs::File::create(scratch.path().join(number.to_string())).unwrap().set_len(largest).unwrap();
        }
        let (code, out) = said(&[path]);
        assert_eq!(code, 1);
        assert!(out.contains("not everything was read: more than 33554432 octets"), "{out}");
    }

    /// Of the many files that hold one authority, one counts, and each copy is judged as the original is.
    #[test]
    fn copies_of_authorities_are_rows_of_one_table_and_outlive_no_issuer() {
        let tree = tree();
        let pki = tree.path().join("pki");
        openssl(&pki, &format!("req -x509 {KEY} -keyout short.key -out short.crt -subj /CN=short -days 30"));
        openssl(
            &pki,
            &format!(
                "req -x509 -CA short.crt -CAkey short.key {KEY} -keyout long.key -out long.crt -subj /CN=long -days 60 -addext basicConstraints=CA:FALSE"
            ),
        );
        let bundle =
            ["ca", "org", "short"].map(|name| std::fs::read_to_string(pki.join(format!("{name}.crt"))).unwrap());
        // A certificate that stands beside its issuer is compared with it once.
        let long = std::fs::read_to_string(pki.join("long.crt")).unwrap();
        std::fs::write(pki.join("chain.crt"), long + &bundle[2]).unwrap();
        for number in 0..40 {
            std::fs::write(pki.join(format!("copy-{number}.crt")), bundle.concat().repeat(8)).unwrap();
        }
        let (code, json) = said(&[tree.path().to_str().unwrap(), "--format", "json", "--at", &day(1)]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            json["files"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|file| file["path"].as_str().unwrap().contains("copy"))
                .count(),
            40
        );
        assert_eq!(json["expiry"]["authorities"].as_array().unwrap().len(), 3);
        assert_eq!(json["expiry"]["certificates"].as_array().unwrap().len(), 6);
        let outlives: Vec<_> = json["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["code"] == "outlives_issuer")
            .map(|finding| finding["path"].as_str().unwrap())
            .collect();
        assert_eq!((code, outlives), (0, vec!["pki/chain.crt", "pki/long.crt"]));
    }
}
