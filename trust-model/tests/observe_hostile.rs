//! Files that want to do harm: each is one broken input, and everything else is read all the same.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise, also in the functions that it shares with others"
)]

#[path = "support/tree.rs"]
#[expect(dead_code, reason = "half of the tools are for other tests")]
mod tree;

use self::tree::Tree;
use trust_model::observe::{Files, ObserveLimits, observe, observe_command_line};

/// What is broken in a tree into which one file was put.
fn with(path: &str, content: &[u8]) -> Vec<String> {
    let mut tree = Tree::kubeadm();
    tree.files.remove(path);
    let mut files = tree.files();
    files.insert(path, content, None).unwrap();
    let model = observe(&files, &ObserveLimits::DEFAULT);
    assert_eq!(model.etcd.len(), 1, "the others are read all the same");
    model.broken.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect()
}

const BUDGET: &str = "an alias or anchor, more than 50000 nodes, or nested deeper than 32";

#[test]
fn yaml_that_grows_or_nests_is_refused() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n";
    let deep_flow = format!("a: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep_block = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>();
    let wide = format!("a: [{}]", "1,".repeat(60_000));
    let merge = "a: &a {b: c}\nd: {<<: *a}\n";
    for content in [bomb, &deep_flow, &deep_block, &wide, merge] {
        let found = with("hostile.yaml", content.as_bytes());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("hostile.yaml: "), "{found:?}");
        assert!(found[0].contains(BUDGET) || found[0].contains("not YAML"), "{found:?}");
    }
}

#[test]
fn yaml_that_is_none_says_on_which_line() {
    for (content, expected) in [
        (&b"kind: Pod\nkind: Pod\n"[..], "hostile.yaml: line 2: a key stands twice"),
        (b"kind: Pod\nspec: [\n", "hostile.yaml: line 2: not YAML"),
        (b"\xff\xfe", "hostile.yaml: not UTF-8 (YAML 1.2.2, 5.2)"),
    ] {
        assert_eq!(with("hostile.yaml", content), [expected]);
    }
}

/// What a parser says of a file quotes it, and keys stand in kubeconfigs.
#[test]
fn no_reason_quotes_a_secret() {
    let content = "clusters: []\nusers: [{name: u, user: {client-key-data: TOPSECRET, token: TOPSECRET}}\nTOPSECRET";
    let found = with("admin.conf", content.as_bytes());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!found[0].contains("TOPSECRET"));
}

#[test]
fn objects_of_the_wrong_shape_are_no_panic() {
    for content in [
        "kind: Pod\nspec: 7\n",
        "kind: Pod\nspec: {containers: [1, null, [], {command: {a: b}}, {command: [7, true, null]}]}\n",
        "kind: List\nitems: {a: b}\n",
        "kind: [Pod]\n",
        "- - - a\n",
        "~\n---\n~\n",
        "kind: APIService\nspec: {service: [], caBundle: 7}\n",
        "kind: ValidatingWebhookConfiguration\nwebhooks: {a: 1}\n",
        "kind: KubeletConfiguration\nauthentication: 7\nreadOnlyPort: {}\n",
    ] {
        assert_eq!(with("manifests/x.yaml", content.as_bytes()), [""; 0], "{content}");
    }
    assert_eq!(
        with("kubelet/config.yaml", b"kind: KubeletConfiguration\nauthentication: 7\nreadOnlyPort: -1\n"),
        ["kubelet/config.yaml readOnlyPort: expected a port, found `-1`"]
    );
}

#[test]
fn pem_that_is_none_is_broken_once() {
    let begin = "-----BEGIN CERTIFICATE-----";
    let end = "-----END CERTIFICATE-----";
    for (content, expected) in [
        (String::new(), "pki/ca.crt: holds no certificate, expected one or more as PEM"),
        (format!("{begin}\nAAAA\n"), "pki/ca.crt: PEM block 1, line 1: the block has no end"),
        (
            format!("{begin}\n!!!!\n{end}\n"),
            "pki/ca.crt: PEM block 1, line 1: not base64 in lines of 64 columns (RFC 7468 2)",
        ),
        (format!("{begin}\nAAAA\n{end}\n").repeat(257), "pki/ca.crt: PEM block 257"),
        (format!("{begin}\nMAAA\n{end}\n"), "pki/ca.crt: line 1: "),
    ] {
        let found = with("pki/ca.crt", content.as_bytes());
        // Kubeadm's flags name it six times.
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(expected), "{found:?}");
    }
}

#[test]
fn what_is_too_long_or_too_much_is_not_read() {
    let limits = ObserveLimits::DEFAULT;
    let long = vec![b'a'; limits.file_len_max + 1];
    assert_eq!(with("hostile.yaml", &long), ["hostile.yaml: 1048577 octets, limit 1048576"]);
    assert_eq!(with("pki/x.crt", &long), ["pki/x.crt: 1048577 octets, limit 1048576"]);
    assert_eq!(
        with("x.cmdline", format!("etcd {}", "a ".repeat(5_000)).as_bytes()),
        ["x.cmdline: more than 4096 words"]
    );
    let mut limits = limits;
    limits.files_max = 2;
    let mut files = Files::new();
    for path in ["a.yaml", "b.yaml", "c.yaml"] {
        files.insert(path, *b"[", None).unwrap();
    }
    let model = observe(&files, &limits);
    assert_eq!(model.broken.len(), 1);
    assert_eq!(model.broken[0].reason, "3 files, limit 2: none was read");
}

#[test]
fn names_cannot_leave_the_tree_or_reach_the_terminal() {
    let mut tree = Tree::kubeadm();
    tree.change(
        "manifests/kube-apiserver.yaml",
        "--client-ca-file=/etc/kubernetes/pki/ca.crt",
        "\"--client-ca-file=/etc/../../../\\e[31mpasswd\"",
    );
    let model = observe(&tree.files(), &ObserveLimits::DEFAULT);
    let reasons: Vec<_> = model.broken.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["names `/etc/../../../\\1B[31mpasswd`, which is not among the files"]);
    // A link that leads to itself in a kubeconfig is only a name.
    let model = observe_command_line("kubelet --kubeconfig=../../../etc/shadow", "unit", &ObserveLimits::DEFAULT);
    assert_eq!(model.broken.len(), 1);
}

#[test]
fn a_command_line_is_bounded_and_may_be_nonsense() {
    for line in ["", " ", "\0\0", "nonsense --a", "kubelet '", "- --", "sh -c"] {
        let model = observe_command_line(line, "unit", &ObserveLimits::DEFAULT);
        assert_eq!(model.broken.len(), 1, "{line:?}");
    }
    let model = observe_command_line(&"a".repeat((1 << 20) + 1), "unit", &ObserveLimits::DEFAULT);
    assert_eq!(model.broken[0].reason, "1048577 octets, limit 1048576");
}

/// Every prefix of every file, and every file with an octet changed: nothing panics.
#[test]
fn cut_and_changed_files_are_no_panic() {
    let tree = Tree::kubeadm();
    for (path, content) in &tree.files {
        for step in 1..24 {
            let cut = content.len() * step / 24;
            let mut changed = content.clone().into_bytes();
            changed[cut] = changed[cut].wrapping_add(u8::try_from(step).unwrap());
            for octets in [content.as_bytes()[..cut].to_vec(), changed] {
                let mut files = Files::new();
                for (other, content) in &tree.files {
                    let octets = if other == path { octets.clone() } else { content.clone().into_bytes() };
                    files.insert(other, octets, None).unwrap();
                }
                let model = observe(&files, &ObserveLimits::DEFAULT);
                assert!(model.etcd.len() + model.kubelets.len() > 0);
            }
        }
    }
}
