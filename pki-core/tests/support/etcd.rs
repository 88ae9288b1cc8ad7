//! Real etcd members on loopback, with TLS from files of this crate's certificates.
//!
//! `etcd` and `etcdctl` must be installed. A member ends with the value that stands for it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pki_core::pem::{CERTIFICATE, encode_pem};
use pki_core::{
    Approval, CertificationRequest, IssuedCertificate, LeafKind, Limits, NodeName, SubjectAltName, create_request,
};
use signer_hsm::SoftwareKey;
use time::Duration as Lifetime;

use crate::authority::{Authority, NOW, at, serial};
use crate::keys::VERIFIERS;
use crate::tools::run;

/// Members need about two seconds to agree on a leader; a loaded machine needs longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate, and the files of it and its key.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) issued: IssuedCertificate,
    certificate: PathBuf,
    key: PathBuf,
}

/// Issues a leaf for a key that OpenSSL makes, valid from 2024 on for 30 years, and writes both to files of this name.
/// Members are known as this host, `localhost` and 127.0.0.1.
pub(crate) fn credentials(room: &Path, authority: &Authority, leaf: LeafKind, name: &str) -> Credentials {
    let (certificate, key) = (room.join(format!("{name}.crt")), room.join(format!("{name}.key")));
    let generate = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path(&key)];
    let (made, _, said) = run("openssl", &generate, b"");
    assert!(made, "{said}");
    let (converted, pkcs8, said) =
        run("openssl", &["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", path(&key)], b"");
    assert!(converted, "{said}");
    let owner = SoftwareKey::from_pkcs8_der(&pkcs8).unwrap();

    let node: NodeName = name.parse().unwrap();
    let node = leaf.subject(Some(&node)).map(|_| node);
    let names = [SubjectAltName::dns("localhost").unwrap(), SubjectAltName::ip([127, 0, 0, 1].into()).unwrap()];
    let names: Vec<_> = names.into_iter().filter(|_| leaf.has_subject_alt_names()).collect();
    let request = create_request(&leaf.subject(node.as_ref()).unwrap(), &names, &owner).unwrap();
    let request = CertificationRequest::parse(&request, &Limits::DEFAULT).unwrap().verify(VERIFIERS).unwrap();
    let mut approval = Approval::new(Lifetime::days(365 * 30)).with_names(names);
    if let Some(node) = node {
        approval = approval.for_node(node);
    }
    let prepared = authority.issuer.prepare(leaf, request, &approval, serial(), at(NOW)).unwrap();
    let issued = prepared.sign(&authority.key, VERIFIERS).unwrap();
    fs::write(&certificate, encode_pem(CERTIFICATE, issued.der())).unwrap();
    Credentials { issued, certificate, key }
}

/// Writes the certificate of an authority into a file of this name.
pub(crate) fn trust_file(room: &Path, authority: &Authority, name: &str) -> PathBuf {
    let file = room.join(name);
    fs::write(&file, encode_pem(CERTIFICATE, authority.issuer.certificate().der())).unwrap();
    file
}

/// Puts a file into place at once, so that nobody reads half of it.
pub(crate) fn replace(file: &Path, content: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, file).unwrap();
}

/// What one member shows and trusts.
pub(crate) struct MemberFiles<'a> {
    pub(crate) server: &'a Credentials,
    /// Shown to the other members; none for a member that has no others.
    pub(crate) peer: Option<&'a Credentials>,
}

/// What all members trust.
pub(crate) struct TrustFiles<'a> {
    pub(crate) client_ca: &'a Path,
    pub(crate) peer_ca: &'a Path,
    pub(crate) client_crl: Option<&'a Path>,
}

/// Members that ask their clients and each other for certificates.
pub(crate) struct Cluster {
    members: Vec<Child>,
    endpoints: String,
    client_ca: PathBuf,
    room: PathBuf,
}

impl Cluster {
    /// Starts the members on free ports of loopback. They are not waited for.
    pub(crate) fn start(room: &Path, trust: &TrustFiles<'_>, members: &[MemberFiles<'_>]) -> Self {
        let ports = free_ports(2 * members.len());
        let (client_ports, peer_ports) = ports.split_at(members.len());
        let url = |port: &u16| format!("https://127.0.0.1:{port}");
        let initial = peer_ports.iter().enumerate().map(|(index, port)| format!("m{index}={}", url(port)));
        let initial: Vec<_> = initial.collect();
        let start = |(index, files): (usize, &MemberFiles<'_>)| {
            let (client, peer) = (url(&client_ports[index]), url(&peer_ports[index]));
            let data = room.join(format!("m{index}.data"));
            match fs::remove_dir_all(&data) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", data.display()),
                _ => {}
            }
            let mut etcd = program("etcd");
            etcd.arg(format!("--name=m{index}")).arg("--data-dir").arg(data);
            etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            etcd.args(["--initial-cluster", &initial.join(","), "--client-cert-auth"]);
            etcd.arg("--trusted-ca-file").arg(trust.client_ca);
            etcd.arg("--cert-file").arg(&files.server.certificate).arg("--key-file").arg(&files.server.key);
            etcd.args(["--peer-client-cert-auth", "--peer-trusted-ca-file"]).arg(trust.peer_ca);
            let shown = files.peer.unwrap_or(files.server);
            etcd.arg("--peer-cert-file").arg(&shown.certificate).arg("--peer-key-file").arg(&shown.key);
            if let Some(crl) = trust.client_crl {
                etcd.arg("--client-crl-file").arg(crl);
            }
            etcd.args(["--logger", "zap", "--log-outputs", "stderr"]);
            let log = File::create(log_of(room, index)).unwrap();
            etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            etcd.spawn().unwrap_or_else(|error| panic!("etcd does not run: {error}"))
        };
        let endpoints = client_ports.iter().map(url).collect::<Vec<_>>().join(",");
        let members = members.iter().enumerate().map(start).collect();
        Self { members, endpoints, client_ca: trust.client_ca.to_owned(), room: room.to_owned() }
    }

    /// Runs `etcdctl` against all members once; gives whether it succeeded and what it said.
    pub(crate) fn etcdctl(&self, client: &Credentials, arguments: &[&str]) -> (bool, String) {
        let mut etcdctl = program("etcdctl");
        etcdctl.env("ETCDCTL_API", "3").args(["--endpoints", &self.endpoints]).arg("--cacert").arg(&self.client_ca);
        etcdctl.arg("--cert").arg(&client.certificate).arg("--key").arg(&client.key);
        etcdctl.args(["--dial-timeout=2s", "--command-timeout=4s"]).args(arguments).stdin(Stdio::null());
        let output = etcdctl.output().unwrap_or_else(|error| panic!("etcdctl does not run: {error}"));
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.success(), said.concat())
    }

    /// Repeats a command until it succeeds, and gives what it said then.
    pub(crate) fn eventually(&self, client: &Credentials, arguments: &[&str]) -> String {
        let deadline = Deadline::after(PATIENCE);
        loop {
            let (succeeded, said) = self.etcdctl(client, arguments);
            if succeeded {
                return said;
            }
            if !deadline.wait() {
                panic!("etcdctl {arguments:?}: {said}\n{}", self.log(0));
            }
        }
    }

    /// What a member has written to its log.
    pub(crate) fn log(&self, member: usize) -> String {
        fs::read_to_string(log_of(&self.room, member)).unwrap()
    }

    /// Waits until a member's log holds this text.
    pub(crate) fn await_log(&self, member: usize, text: &str) {
        let deadline = Deadline::after(PATIENCE);
        while !self.log(member).contains(text) {
            assert!(deadline.wait(), "`{text}` is not in the log:\n{}", self.log(member));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            // It may have ended by itself; then there is nothing to kill, and it is still to be reaped.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "a real program is waited for")]
    fn after(patience: Duration) -> Self {
        Self(Instant::now() + patience)
    }

    /// Lets a little time pass; false when there is none left.
    #[expect(clippy::disallowed_methods, reason = "a real program is waited for")]
    fn wait(&self) -> bool {
        std::thread::sleep(Duration::from_millis(100));
        Instant::now() < self.0
    }
}

/// A program that takes its options from its command line alone.
fn program(name: &str) -> Command {
    let mut program = Command::new(name);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("ETCD") {
            program.env_remove(variable);
        }
    }
    program
}

/// Ports that were free a moment ago, each given once, below those that outgoing connections are given.
fn free_ports(count: usize) -> Vec<u16> {
    const RANGE: RangeInclusive<u16> = 20_000..=32_000;
    static GIVEN: AtomicUsize = AtomicUsize::new(0);
    // Two runs at the same time begin at different ones.
    let begin = usize::try_from(std::process::id()).unwrap() * 97;
    let next = || RANGE.clone().nth((begin + GIVEN.fetch_add(1, Ordering::Relaxed)) % RANGE.len());
    let mut candidates = std::iter::from_fn(next).take(RANGE.len());
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports: Vec<_> = candidates.by_ref().filter(free).take(count).collect();
    assert_eq!(ports.len(), count, "no free ports");
    ports
}

fn log_of(room: &Path, member: usize) -> PathBuf {
    room.join(format!("m{member}.log"))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
