//! Kubeconfigs as `inspect` meets them: those of `issue_cluster`, those of another cluster, and hostile ones.

#[cfg(test)]
#[path = "support/example.rs"]
mod example;
#[cfg(test)]
#[path = "support/openssl.rs"]
mod openssl;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use examples::Clock;
    use pki_core::Preset;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use crate::example::{assert_refused, example, text};
    use crate::openssl::openssl;

    fn tree(arguments: &[&str]) -> TempDir {
        let room = tempfile::tempdir().unwrap();
        let output = example("issue_cluster").arg("--out").arg(room.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        room
    }

    /// Exit code and standard output; standard error must be empty.
    fn inspect(path: &Path, arguments: &[&str]) -> (i32, String) {
        let output = example("inspect").arg(path).args(arguments).output().unwrap();
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        (output.status.code().unwrap(), text(&output.stdout))
    }

    fn faults(out: &str) -> Vec<&str> {
        out.lines().filter(|line| line.starts_with("fault: ")).collect()
    }

    fn notices(out: &str) -> Vec<&str> {
        out.lines().filter(|line| line.starts_with("notice: ") && !line.contains("system:masters")).collect()
    }

    fn config(path: &Path) -> Value {
        serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    /// A kubeconfig in which one field of the only user is something else. JSON is YAML, and a kubeconfig all the same.
    fn with_user_field(path: &Path, field: &str, value: Value) {
        let mut config = config(path);
        config["users"][0]["user"][field] = value;
        std::fs::write(path, config.to_string()).unwrap();
    }

    #[test]
    fn every_tree_of_issue_cluster_is_in_order_and_shows_its_kubeconfigs_as_kubeadm_does() {
        for preset in Preset::ALL {
            let tree = tree(&["--preset", &preset.to_string()]);
            let (code, out) = inspect(tree.path(), &[]);
            assert_eq!((code, faults(&out)), (0, vec![]), "{preset}: {out}");
            let row = |name: &str| {
                let line = out.lines().find(|line| line.split(' ').next() == Some(name));
                let cells = line.unwrap_or_else(|| panic!("{preset}: no {name} in {out}")).split("   ");
                cells.map(str::trim).filter(|cell| !cell.is_empty()).skip(2).map(str::to_owned).collect::<Vec<_>>()
            };
            for name in ["admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf", "kubelet.conf"]
            {
                assert_eq!(row(name), ["364d", "ca", "no"], "{preset} {name}");
            }
            // The authority inside is the one of ca.crt, and no further one.
            assert_eq!(row("ca").len(), 2);
            assert!(!out.contains("cluster kubernetes") && !out.contains("issued by hand"), "{preset}: {out}");
            // What is ignored is the other YAML, all of it.
            let (manifests, kubelet) = (tree.path().join("manifests"), tree.path().join("kubelet"));
            let more = usize::from(tree.path().join("egress-selector-configuration.yaml").exists())
                + [manifests, kubelet].iter().map(|path| std::fs::read_dir(path).unwrap().count()).sum::<usize>();
            assert!(out.contains(&format!("  ignored: {more}\n")), "{preset}: {out}");
        }
    }

    #[test]
    fn an_authority_whose_key_is_elsewhere_keeps_the_name_of_its_own_file() {
        let tree = tree(&[]);
        std::fs::remove_file(tree.path().join("pki/ca.key")).unwrap();
        let (code, out) = inspect(tree.path(), &[]);
        assert_eq!(code, 0, "{out}");
        let of_admin = out.lines().find(|line| line.starts_with("admin.conf ")).unwrap();
        let cells: Vec<_> = of_admin.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells[3..], ["ca", "yes"]);
        assert!(!out.contains("cluster kubernetes"), "{out}");
    }

    #[test]
    fn an_expired_certificate_in_a_kubeconfig_is_found_in_its_file_and_entry() {
        let tree = tree(&[]);
        for arguments in [
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out own.csr -subj /O=kubeadm:cluster-admins/CN=kubernetes-admin",
            "x509 -req -in own.csr -CA pki/ca.crt -CAkey pki/ca.key -days 1 -out own.crt",
        ] {
            openssl(tree.path(), arguments);
        }
        let certificate = std::fs::read(tree.path().join("own.crt")).unwrap();
        for file in ["own.key", "own.csr", "own.crt"] {
            std::fs::remove_file(tree.path().join(file)).unwrap();
        }
        let path = tree.path().join("admin.conf");
        with_user_field(&path, "client-certificate-data", STANDARD.encode(certificate).into());
        let at = format!("{}T00:00:00Z", (Clock::default().now() + time::Duration::days(3)).date());
        let (code, out) = inspect(tree.path(), &["--at", &at]);
        let [fault] = faults(&out)[..] else { panic!("{out}") };
        assert!(fault.starts_with("fault: admin.conf: user kubernetes-admin: PEM block 1, line 1: expired at 20"));
        assert_eq!(code, 1);
        assert!(out.lines().any(|line| line.starts_with("admin.conf ") && line.contains("<invalid>")), "{out}");
    }

    #[test]
    fn a_kubeconfig_of_another_cluster_is_found_and_one_of_another_server_is_mentioned() {
        let (own, other) = (tree(&[]), tree(&[]));
        std::fs::copy(other.path().join("admin.conf"), own.path().join("admin.conf")).unwrap();
        let said = |name: &str| {
            [
                format!(
                    "{name}: cluster kubernetes: certificate-authority-data: no authority of this directory is among them"
                ),
                format!(
                    "{name}: user kubernetes-admin: client-certificate-data: issued by no authority of this directory"
                ),
            ]
        };
        let (code, out) = inspect(own.path(), &[]);
        assert_eq!((code, faults(&out)), (1, said("fault: admin.conf").iter().map(String::as_str).collect()));
        // kubeadm writes no file of this name.
        std::fs::rename(own.path().join("admin.conf"), own.path().join("webhook.conf")).unwrap();
        let (code, out) = inspect(own.path(), &[]);
        assert_eq!((code, notices(&out)), (0, said("notice: webhook.conf").iter().map(String::as_str).collect()));
        // A bundle with the authority of this cluster in it, as in a rotation, is the cluster's.
        let mut config = config(&own.path().join("webhook.conf"));
        let ca = |tree: &TempDir| std::fs::read(tree.path().join("pki/ca.crt")).unwrap();
        let both = [ca(&other), ca(&own)].concat();
        config["clusters"][0]["cluster"]["certificate-authority-data"] = STANDARD.encode(both).into();
        std::fs::write(own.path().join("webhook.conf"), config.to_string()).unwrap();
        assert_eq!(notices(&inspect(own.path(), &[]).1).len(), 1);
    }

    #[test]
    fn what_is_embedded_and_is_no_certificate_is_found_in_its_file_and_entry() {
        let tree = tree(&[]);
        let path = tree.path().join("scheduler.conf");
        let original = std::fs::read(&path).unwrap();
        let embedded = config(&path)["users"][0]["user"]["client-certificate-data"].as_str().unwrap().to_owned();
        let cut = STANDARD.decode(&embedded).unwrap()[..400].to_vec();
        let broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        for (data, reason) in [
            ("$$$$".to_owned(), "client-certificate-data: not readable: not base64 (RFC 4648 4)"),
            (embedded[..embedded.len() - 3].to_owned(), "client-certificate-data: not readable: not base64"),
            (STANDARD.encode("words"), "client-certificate-data: holds no certificate, expected one or more as PEM"),
            (STANDARD.encode(cut), "client-certificate-data: not readable: PEM block 1, line 1: the block has no end"),
            (STANDARD.encode(broken), "PEM block 1, line 1: not readable: Certificate: "),
        ] {
            with_user_field(&path, "client-certificate-data", data.into());
            let (code, out) = inspect(tree.path(), &[]);
            let [fault] = faults(&out)[..] else { panic!("{out}") };
            let expected = format!("fault: scheduler.conf: user system:kube-scheduler: {reason}");
            assert!(fault.starts_with(&expected), "{fault}\n{expected}");
            assert_eq!(code, 1);
            std::fs::write(&path, &original).unwrap();
        }
    }

    #[test]
    fn a_hostile_kubeconfig_is_one_finding() {
        let tree = tree(&[]);
        let path = tree.path().join("admin.conf");
        let frame = |rest: &str| format!("apiVersion: v1\nkind: Config\n{rest}").into_bytes();
        let laughs: String = (1..9).fold("a0: &a0 ha\n".to_owned(), |text, level| {
            let one = format!("*a{}, ", level - 1);
            format!("{text}a{level}: &a{level} [{}]\n", one.repeat(9))
        });
        let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ=";
        let copies = format!("x: &x {}\nusers: [{}]\n", "k".repeat(1 << 18), "{name: *x}, ".repeat(200));
        let many = format!("users:\n{}", "- name: a\n".repeat(257));
        let nodes = format!("extensions: [{}]\n", "a,".repeat(40_000));
        let mut not_utf8 = frame("users: []\nx: ");
        not_utf8.push(0xff);
        let megabyte = frame(&format!("users: [\"{}\n", "x".repeat((1 << 20) - 100)));
        assert!(megabyte.len() <= 1 << 20);
        let budget = "an alias or anchor, more than 32768 nodes, or nested deeper than any kubeconfig";
        for (content, reason) in [
            (frame(&laughs), budget),
            (frame(&copies), budget),
            (frame(&nodes), budget),
            (frame(&format!("x: {}", "[".repeat(100_000))), ""),
            (frame(&many), "257 clusters and users, limit 256"),
            (not_utf8, "not UTF-8 (YAML 1.2.2, 5.2)"),
            (megabyte, "line "),
            (frame(&format!("users: {secret}\n")), "line 3: not the YAML of a kubeconfig"),
            (frame(&format!("users:\n- name: a\n  user: [{secret}]\n")), "not the YAML of a kubeconfig"),
            (frame(&format!("users:\n- user:\n    client-certificate-data: {{a: {secret}}}\n")), "not the YAML"),
            (frame("users: []\nusers: []\n"), "not the YAML"),
            (frame("clusters: [\n"), "not the YAML"),
            (b"{\"kind\": \"Config\", \"clusters\": [], \"users\": [}".to_vec(), "not the YAML"),
        ] {
            std::fs::write(&path, &content).unwrap();
            let (code, out) = inspect(tree.path(), &[]);
            let shown = String::from_utf8_lossy(&content[..content.len().min(80)]).into_owned();
            let [fault] = faults(&out)[..] else { panic!("{shown}: {out}") };
            assert!(
                fault.starts_with("fault: admin.conf: kubeconfig: not readable: ") && fault.contains(reason),
                "{shown}: {fault}"
            );
            assert!(code == 1 && !out.contains(secret) && out.len() < 8_192, "{shown}: {}", out.len());
        }
        std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
        let (_, out) = inspect(tree.path(), &[]);
        assert_eq!(faults(&out), ["fault: admin.conf: not read: 1048577 octets, limit 1048576"]);
    }

    #[test]
    fn a_name_of_a_stranger_is_shown_harmless_and_in_part() {
        let tree = tree(&[]);
        let name = format!("\u{1b}[2J\n{}", "n".repeat(100_000));
        let config = json!({"clusters": [], "users": [{"name": name, "user": {"client-key": "k".repeat(100_000)}}]});
        std::fs::write(tree.path().join("more.conf"), config.to_string()).unwrap();
        let (code, out) = inspect(tree.path(), &[]);
        assert_eq!(code, 0);
        let [notice] = notices(&out)[..] else { panic!("{out}") };
        assert!(notice.starts_with("notice: more.conf: user \\1B[2J\\0Annn") && notice.len() < 2_000, "{notice}");
    }

    #[test]
    fn every_form_that_client_go_reads_is_known_and_other_yaml_is_ignored() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("file");
        let rest = "users:\n- name: dev\n  user:\n    client-certificate: dev.crt\n    client-key: ../dev.key\n";
        for form in [
            format!("kind: Config\n{rest}"),
            format!("kind: Config # a comment\r\n{rest}"),
            format!("\"kind\": 'Config'\n{rest}"),
            format!("kind :   Config  \n{rest}"),
            format!("{rest}clusters: null\n"),
            json!({"clusters": [], "users": [{"name": "dev", "user": {"client-certificate": "dev.crt", "client-key": "../dev.key"}}]}).to_string(),
        ] {
            std::fs::write(&path, &form).unwrap();
            let (code, out) = inspect(room.path(), &[]);
            assert_eq!(code, 0, "{form}{out}");
            let expected = [
                "notice: file: user dev: client-certificate is in a file, which is not read for it: dev.crt",
                "notice: file: user dev: client-key is in a file, which is not read for it: ../dev.key",
            ];
            assert_eq!(notices(&out), expected, "{form}");
        }
        std::fs::write(room.path().join("other"), format!("kind: Config\n{rest}")).unwrap();
        for other in [
            "kind: ConfigMap\nusers: []\nclusters: []\n",
            "apiVersion: v1\nkind: KubeletConfiguration\nauthentication: {}\n",
            "data:\n  kubeconfig: |\n    kind: Config\n    users: [\n",
            "users: []\n",
            "kind: Config\nusers: []\nclusters: []\n",
        ] {
            std::fs::write(&path, other).unwrap();
            let (code, out) = inspect(room.path(), &[]);
            assert!(code == 0 && out.contains("files: 1  ignored: 1\n"), "{other}{out}");
            assert_refused(&example("inspect").arg(&path).output().unwrap(), "nothing to inspect");
        }
    }

    #[test]
    fn a_key_in_a_kubeconfig_is_named_guarded_and_never_shown() {
        let tree = tree(&[]);
        let path = tree.path().join("admin.conf");
        let encoded = config(&path)["users"][0]["user"]["client-key-data"].as_str().unwrap().to_owned();
        let key = String::from_utf8(STANDARD.decode(&encoded).unwrap()).unwrap();
        let (code, out) = inspect(&path, &[]);
        assert_eq!(code, 0, "{out}");
        assert!(out.starts_with("cluster kubernetes\nCERTIFICATE, block 1, line 1\n"), "{out}");
        let user =
            "\nuser kubernetes-admin\nclient-key-data: a private key, not decoded\nCERTIFICATE, block 1, line 1\n";
        assert!(out.contains(user) && out.contains("\nlooks like:           admin\n"), "{out}");
        let (_, json) = inspect(&path, &["--format", "json"]);
        for line in key.lines().filter(|line| !line.starts_with("--")).chain([encoded.as_str()]) {
            assert!(!out.contains(line) && !json.contains(line));
        }
        let json: Value = serde_json::from_str(&json).unwrap();
        let entry = json!({"kind": "user", "name": "kubernetes-admin", "embedsKey": true, "files": []});
        assert_eq!(json["files"][1]["entry"], entry);
        assert_eq!(json["files"][1]["blocks"][0]["view"]["looksLike"], json!(["admin"]));

        // Whatever stands in the field, it is not decoded.
        with_user_field(&path, "client-key-data", "no base64 at all".into());
        assert_eq!(inspect(&path, &[]).0, 0);
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&path, everybody).unwrap();
        let (code, out) = inspect(tree.path(), &[]);
        let expected = "fault: admin.conf: a private key that everybody may read or write: mode 0644, expected 0600";
        assert_eq!((code, faults(&out)), (1, vec![expected]));
    }
}
