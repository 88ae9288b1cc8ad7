//! A tree of `issue_cluster` on disk, and what openssl says of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use examples::{Clock, ClusterTree, Destination, TreeSpec};
use pki_core::{
    ArtifactKind, ClusterNames, ClusterNamesSpec, ExtendedKeyUsage, Hierarchy, KeyAlgorithm, Layout, LeafKind, Preset,
};
use serde_json::Value;

/// What `openssl` says; whether it was content.
pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> (bool, String) {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("openssl does not run: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), said.concat())
}

pub(crate) fn said(arguments: &[&str], input: &[u8]) -> String {
    let (content, said) = openssl(arguments, input);
    assert!(content, "{arguments:?}: {said}");
    said
}

pub(crate) fn names(change: impl FnOnce(&mut ClusterNamesSpec)) -> ClusterNames {
    let mut spec = ClusterNamesSpec::new("cp-1.example.com".parse().unwrap(), "192.0.2.10".parse().unwrap());
    change(&mut spec);
    ClusterNames::new(spec).unwrap()
}

/// A tree on disk, which goes with this value.
pub(crate) struct Tree {
    room: tempfile::TempDir,
    hierarchy: Hierarchy,
    pub(crate) layout: Layout,
}

impl Tree {
    pub(crate) fn issue(preset: Preset, algorithm: KeyAlgorithm, names: ClusterNames) -> Self {
        let room = tempfile::tempdir().unwrap();
        let mut spec = TreeSpec::new(preset, names);
        spec.algorithm = algorithm;
        let tree = ClusterTree::issue(&spec, Clock::default().now()).unwrap();
        tree.publish(Destination::open(&room.path().join("kubernetes")).unwrap()).unwrap();
        let hierarchy = Hierarchy::preset(preset);
        Self { room, layout: Layout::of(&hierarchy), hierarchy }
    }

    pub(crate) fn path(&self, kind: ArtifactKind) -> String {
        let path = self.layout.path_of(kind).unwrap_or_else(|| panic!("no {kind}"));
        self.room.path().join("kubernetes").join(path).to_str().unwrap().to_owned()
    }

    pub(crate) fn issuer(&self, leaf: LeafKind) -> String {
        self.path(ArtifactKind::AuthorityCertificate(self.hierarchy.issuer_of(leaf).unwrap()))
    }

    pub(crate) fn yaml(&self, kind: ArtifactKind) -> Value {
        serde_saphyr::from_str(&std::fs::read_to_string(self.path(kind)).unwrap()).unwrap()
    }

    /// The octets behind a `-data` field of a kubeconfig's only user or cluster.
    pub(crate) fn embedded(&self, leaf: LeafKind, list: &str, field: &str) -> Vec<u8> {
        let config = self.yaml(ArtifactKind::Kubeconfig(leaf));
        let entry = &config[list][0][list.strip_suffix('s').unwrap()];
        STANDARD.decode(entry[field].as_str().unwrap()).unwrap()
    }

    /// The leaf, wherever it stands.
    pub(crate) fn certificate(&self, leaf: LeafKind) -> Vec<u8> {
        match self.layout.path_of(ArtifactKind::Certificate(leaf)) {
            Some(_) => std::fs::read(self.path(ArtifactKind::Certificate(leaf))).unwrap(),
            None => self.embedded(leaf, "users", "client-certificate-data"),
        }
    }

    pub(crate) fn key(&self, leaf: LeafKind) -> Vec<u8> {
        match self.layout.path_of(ArtifactKind::Key(leaf)) {
            Some(_) => std::fs::read(self.path(ArtifactKind::Key(leaf))).unwrap(),
            None => self.embedded(leaf, "users", "client-key-data"),
        }
    }

    /// The leaves that stand in the tree, in files of their own or in kubeconfigs.
    pub(crate) fn leaves(&self) -> Vec<LeafKind> {
        let kinds = self.layout.artifacts().iter().filter_map(|artifact| match artifact.kind() {
            ArtifactKind::Certificate(leaf) | ArtifactKind::Kubeconfig(leaf) => Some(leaf),
            _ => None,
        });
        kinds.collect()
    }

    pub(crate) fn judge(&self) {
        self.judge_files();
        for artifact in self.layout.artifacts() {
            if let ArtifactKind::AuthorityKey(role) = artifact.kind() {
                let root = std::fs::read(self.path(ArtifactKind::AuthorityCertificate(role))).unwrap();
                assert_fits(&root, &std::fs::read(self.path(artifact.kind())).unwrap(), artifact.path());
            }
        }
        for leaf in self.leaves() {
            let (certificate, key) = (self.certificate(leaf), self.key(leaf));
            assert_fits(&certificate, &key, leaf.id());
            for (purpose, usage) in
                [("sslserver", ExtendedKeyUsage::ServerAuth), ("sslclient", ExtendedKeyUsage::ClientAuth)]
            {
                let issuer = self.issuer(leaf);
                let verify = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", &issuer];
                let (content, said) = openssl(&verify, &certificate);
                assert_eq!(content, leaf.extended_key_usage().contains(&usage), "{leaf} as {purpose}: {said}");
            }
        }
        let tokens = std::fs::read(self.path(ArtifactKind::TokenSigningKey)).unwrap();
        let public = std::fs::read_to_string(self.path(ArtifactKind::TokenVerificationKey)).unwrap();
        assert_eq!(said(&["pkey", "-pubout"], &tokens), public);
    }

    /// Every file of the layout and no other, each with its mode.
    fn judge_files(&self) {
        let mut found = BTreeMap::new();
        collect(&self.room.path().join("kubernetes"), Path::new(""), &mut found);
        let expected = self.layout.artifacts().iter().map(|artifact| (PathBuf::from(artifact.path()), artifact.mode()));
        assert_eq!(found, expected.collect());
    }
}

fn collect(directory: &Path, relative: &Path, found: &mut BTreeMap<PathBuf, u32>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let (metadata, relative) = (entry.metadata().unwrap(), relative.join(entry.file_name()));
        if metadata.is_dir() {
            assert_eq!(metadata.permissions().mode() & 0o022, 0, "others may write to {}", relative.display());
            collect(&entry.path(), &relative, found);
        } else {
            found.insert(relative, metadata.permissions().mode() & 0o7777);
        }
    }
}

fn assert_fits(certificate: &[u8], key: &[u8], what: &str) {
    let (certified, held) = (said(&["x509", "-noout", "-pubkey"], certificate), said(&["pkey", "-pubout"], key));
    assert_eq!(certified, held, "{what}");
}
