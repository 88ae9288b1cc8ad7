//! Files from a directory.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise, also in the functions that it shares with others"
)]

#[path = "support/render.rs"]
mod render;
#[path = "support/tree.rs"]
#[expect(dead_code, reason = "half of the tools are for other tests")]
mod tree;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use trust_model::observe::{Files, ObserveLimits, observe};

use self::render::render;
use self::tree::Tree;

fn write(root: &Path, tree: &Tree) {
    for (path, content) in &tree.files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let name = path.to_str().unwrap();
        let mode = if name.ends_with(".crt") || name.ends_with("config.yaml") { 0o644 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_directory_is_read_as_its_files_are() {
    let (root, tree) = (tempfile::tempdir().unwrap(), Tree::kubeadm());
    write(root.path(), &tree);
    let files = Files::read_dir(root.path(), &ObserveLimits::DEFAULT).unwrap();
    let expected = render(&observe(&tree.files(), &ObserveLimits::DEFAULT));
    assert_eq!(render(&observe(&files, &ObserveLimits::DEFAULT)), expected);
    assert!(expected.contains("key at pki/ca.key mode 600"));
}

#[test]
fn links_stay_within_and_what_is_no_file_is_refused() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| root.path().join(name);
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::write(at("real.crt"), "inside").unwrap();
    fs::create_dir(at("directory")).unwrap();
    symlink("real.crt", at("inside.crt")).unwrap();
    symlink(outside.path().join("secret"), at("leads-out")).unwrap();
    symlink(".", at("loop")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let files = Files::read_dir(root.path(), &ObserveLimits::DEFAULT).unwrap();
    assert_eq!(files.paths().collect::<Vec<_>>(), ["inside.crt", "real.crt"]);
    let model = observe(&files, &ObserveLimits::DEFAULT);
    let refused: Vec<_> = model.broken.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect();
    assert_eq!(
        refused,
        [
            "dangling: not readable: entity not found",
            "inside.crt: holds no certificate, expected one or more as PEM",
            "leads-out: a link that leads out of the directory",
            "loop: a link to a directory",
            "real.crt: holds no certificate, expected one or more as PEM",
            "socket: not a file",
        ]
    );
}

#[test]
fn number_size_and_depth_are_bounded() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("a/b/c")).unwrap();
    fs::write(root.path().join("a/b/c/deep"), "x").unwrap();
    fs::write(root.path().join("long"), "12345678901").unwrap();
    for name in ["one", "two"] {
        fs::write(root.path().join(name), "1234567").unwrap();
    }
    let refused = |change: fn(&mut ObserveLimits)| {
        let mut limits = ObserveLimits::DEFAULT;
        change(&mut limits);
        let files = Files::read_dir(root.path(), &limits).unwrap();
        let model = observe(&files, &ObserveLimits::DEFAULT);
        model.broken.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect::<Vec<_>>()
    };
    assert_eq!(refused(|limits| limits.depth_max = 2), ["a/b/c: deeper than 2 directories"]);
    assert_eq!(refused(|limits| limits.file_len_max = 10), ["long: more than 10 octets"]);
    assert_eq!(refused(|limits| limits.total_len_max = 20), ["two: more than 20 octets in all files"]);
    let found = refused(|limits| limits.files_max = 2);
    assert_eq!(found.len(), 1 + usize::from(found.len() > 1), "{found:?}");
    assert!(found[0].ends_with(": more than 2 files and directories"), "{found:?}");
    assert_eq!(refused(|_| {}), [""; 0]);
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    assert!(Files::read_dir("/nonexistent/carousel", &ObserveLimits::DEFAULT).is_err());
}
