//! A directory with a CA and requests, in which `sign_csr` runs.

use std::path::{Path, PathBuf};
use std::process::Output;

use pki_core::KeyAlgorithm;
use serde_json::Value;
use tempfile::TempDir;

use crate::example::{assert_refused, example, text};
use crate::openssl::openssl;

pub(crate) const CLIENT: [&str; 2] = ["kubernetes.io/kube-apiserver-client", "digital signature,client auth"];
pub(crate) const SERVING: [&str; 2] = ["kubernetes.io/kubelet-serving", "digital signature,server auth"];
pub(crate) const NODE: &str = "/O=system:nodes/CN=system:node:node-1";

const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

pub(crate) struct Workbench(TempDir);

impl Workbench {
    /// With a CA as kubeadm writes it: a P-256 key in its older form.
    pub(crate) fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.make_ca("pki", "ecparam -name prime256v1 -genkey -noout -out");
        bench
    }

    /// A CA of openssl, with kubeadm's extensions.
    pub(crate) fn make_ca(&self, directory: &str, genkey: &str) {
        let path = self.path(directory);
        std::fs::create_dir(&path).unwrap();
        openssl(&path, &format!("{genkey} ca.key"));
        let usage = "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign";
        openssl(
            &path,
            &format!("req -x509 -new -key ca.key -subj /CN=kubernetes -days 3650 -out ca.crt -addext {usage}"),
        );
    }

    /// A CA of `issue_cluster`, in the directory `pki` of a tree.
    pub(crate) fn issue_ca(&self, tree: &str, algorithm: KeyAlgorithm) {
        let mut command = example("issue_cluster");
        command.current_dir(self.0.path()).args(["--algorithm", &algorithm.to_string(), "--out", tree]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn openssl(&self, arguments: &str) -> String {
        openssl(self.0.path(), arguments)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// A request for a P-256 key, with these names if there are any.
    pub(crate) fn request(&self, name: &str, subject: &str, names: &str) {
        self.request_of(name, P256, subject, names);
    }

    pub(crate) fn request_of(&self, name: &str, key: &str, subject: &str, names: &str) {
        let extension = if names.is_empty() { String::new() } else { format!(" -addext subjectAltName={names}") };
        let arguments =
            format!("req -new -newkey {key} -nodes -keyout {name}.key -subj {subject} -out {name}{extension}");
        self.openssl(&arguments);
    }

    /// `sign_csr` of one CA and signer.
    pub(crate) fn run(&self, ca: &str, [signer, usages]: [&str; 2], more: &[&str]) -> Output {
        let mut command = example("sign_csr");
        command.current_dir(self.0.path()).args(["--ca-dir", ca, "--signer", signer, "--usages", usages]).args(more);
        command.output().unwrap()
    }

    /// One request is signed into `out.pem`; what is said of it.
    pub(crate) fn signed(&self, signer: [&str; 2], request: &str, more: &[&str]) -> String {
        let output = self.run("pki", signer, &[&["--in", request, "--out", "out.pem"], more].concat());
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{request} {more:?}");
        text(&output.stdout)
    }

    /// As [`signed`](Self::signed), in JSON: the only entry.
    pub(crate) fn signed_json(&self, signer: [&str; 2], request: &str, more: &[&str]) -> Value {
        let said = self.signed(signer, request, &[&["--format", "json"], more].concat());
        let [entry] = <[Value; 1]>::try_from(serde_json::from_str::<Vec<Value>>(&said).unwrap()).unwrap();
        entry
    }

    /// One request is refused with `code: reason`, exit status 1 and no output.
    pub(crate) fn refused(&self, signer: [&str; 2], request: &str, more: &[&str], reason: &str) {
        let output = self.run("pki", signer, &[&["--in", request, "--out", "none.pem"], more].concat());
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""), "{request} {more:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with(&format!("refused: {request}: {reason}")), "expected `{reason}`: {stderr}");
        assert!(!self.path("none.pem").exists(), "{request}");
    }

    /// Nothing can be done: one line, exit status 2, and no file is made or changed.
    pub(crate) fn unusable(&self, output: impl FnOnce(&Self) -> Output, reason: &str) {
        let before = self.files();
        assert_refused(&output(self), reason);
        assert_eq!(self.files(), before, "{reason}");
    }

    /// What a verifier says of a certificate and a purpose.
    pub(crate) fn verify(&self, ca: &str, purpose: &str, certificate: &str) {
        self.openssl(&format!("verify -x509_strict -purpose {purpose} -CAfile {ca}/ca.crt {certificate}"));
    }

    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        collect(self.0.path(), &mut found);
        found.sort();
        found
    }
}

fn collect(directory: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, found),
            false => found.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
}
