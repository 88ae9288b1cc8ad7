//! The same verdicts on real sockets, with OpenSSL at the other end.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise, also in the functions that it shares with others"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/pki.rs"]
mod pki;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/wire.rs"]
mod wire;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pki::{Authority, Leaf, SERVER};
use pki_core::{ClientCredential, ExtendedKeyUsage, LeafKind, Path, SignatureAlgorithm};
use rcgen::KeyPair;
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};
use trust_model::tls::{LiveBundle, TlsContext, TlsIdentity, client_config, server_config};
use trust_model::{PathRule, ServerRule};
use wire::{TokenKey, clock, provider};

/// What is wrong with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    Authority,
    ExpiredLeaf,
    ExpiredAnchor,
    Usage,
    Name,
    NoCertificate,
    Tls11,
    /// Not the newest, and right all the same.
    Tls12,
}

impl Wrong {
    const ALL: [Self; 9] = [
        Self::Nothing,
        Self::Authority,
        Self::ExpiredLeaf,
        Self::ExpiredAnchor,
        Self::Usage,
        Self::Name,
        Self::NoCertificate,
        Self::Tls11,
        Self::Tls12,
    ];

    fn is_right(self) -> bool {
        matches!(self, Self::Nothing | Self::Tls12)
    }

    fn version(self) -> &'static [&'static str] {
        match self {
            // OpenSSL would not speak it at its default level of security; here the other end is to refuse.
            Self::Tls11 => &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
            Self::Tls12 => &["-tls1_2"],
            _ => &[],
        }
    }
}

/// The files of one peer, in a directory of its own.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn identity(&self, certificate: &CertificateDer<'_>, key: &KeyPair) -> (PathBuf, PathBuf) {
        let certificate = self.write("leaf.crt", &pki_core::pem::encode_pem("CERTIFICATE", certificate));
        (certificate, self.write("leaf.key", &pki_core::pem::encode_pem("PRIVATE KEY", key.serialized_der())))
    }
}

/// A peer's leaf, as it should be or not (`unfit` is the usage of the other side), and the authority whose bundle the other end holds.
fn leaf_of(kind: LeafKind, unfit: ExtendedKeyUsage, wrong: Wrong) -> (Authority, CertificateDer<'static>, KeyPair) {
    let authority = match wrong {
        Wrong::ExpiredAnchor => Authority::valid("cluster", -100..-1),
        _ => Authority::new("cluster"),
    };
    let mut leaf = Leaf::of(kind);
    match wrong {
        Wrong::ExpiredLeaf => leaf.days = -20..-1,
        Wrong::Usage => leaf.usages = vec![unfit],
        _ => {}
    }
    let (certificate, key) = match wrong {
        Wrong::Authority => Authority::new("cluster").issue(&leaf),
        _ => authority.issue(&leaf),
    };
    (authority, certificate, key)
}

fn context() -> TlsContext {
    TlsContext::new(provider(), clock())
}

fn identity(authority: &Authority, kind: LeafKind) -> TlsIdentity {
    let (certificate, key) = authority.issue(&Leaf::of(kind));
    TlsIdentity::new(vec![certificate], TokenKey::new(SignatureAlgorithm::EcdsaP256Sha256, key)).unwrap()
}

fn openssl() -> Command {
    let mut command = Command::new("openssl");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether our server serves an OpenSSL client on a path.
fn client_is_served(path: Path, kind: LeafKind, wrong: Wrong) -> bool {
    let mut wanted = kind;
    if wrong == Wrong::Name {
        // A right leaf of another component.
        wanted = if kind == LeafKind::Scheduler { LeafKind::ControllerManager } else { LeafKind::Scheduler };
    }
    let (authority, certificate, key) = match wrong {
        // With the usages that the path asks for, so that nothing but the name is wrong.
        Wrong::Name => {
            let authority = Authority::new("cluster");
            let leaf = Leaf { usages: kind.extended_key_usage().to_vec(), ..Leaf::of(wanted) };
            let (certificate, key) = authority.issue(&leaf);
            (authority, certificate, key)
        }
        _ => leaf_of(kind, ExtendedKeyUsage::ServerAuth, wrong),
    };
    let servers = Authority::new("servers");
    let serving = identity(&servers, path.endpoint().leaf().unwrap());
    let paths = vec![(path, LiveBundle::new(authority.bundle()))];
    let config = Arc::new(server_config(paths, true, serving.into(), Vec::new(), &context()).unwrap());
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (stream, _) = socket.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        // The client is judged before the first octet of it is read.
        let mut octet = [0];
        let served = tls.read_exact(&mut octet).is_ok() && octet == *b"?" && tls.write_all(b"served\n").is_ok();
        tls.conn.send_close_notify();
        let _ = tls.flush();
        served
    });
    let files = Files::new();
    let mut command = openssl();
    command.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}"), "-servername", SERVER]);
    command.args(wrong.version());
    if wrong != Wrong::NoCertificate {
        let (certificate, key) = files.identity(&certificate, &key);
        command.arg("-cert").arg(certificate).arg("-key").arg(key);
    }
    let mut client = command.spawn().unwrap();
    // A client that was refused may have closed its input already.
    let _ = client.stdin.take().unwrap().write_all(b"?");
    let answer =
        BufReader::new(client.stdout.take().unwrap()).lines().map_while(Result::ok).any(|line| line == "served");
    let _ = client.wait();
    let served = server.join().unwrap();
    assert_eq!(served, answer, "{path} {wrong:?}: the two ends disagree");
    served
}

#[test]
fn our_server_judges_openssl_clients_as_the_table_says() {
    let mut tried = 0;
    for path in Path::ALL {
        let ClientCredential::Certificate(kind) = path.client_credential() else { continue };
        for wrong in Wrong::ALL {
            tried += 1;
            assert_eq!(client_is_served(path, kind, wrong), wrong.is_right(), "{path} {wrong:?}");
        }
    }
    assert_eq!(tried, 13 * Wrong::ALL.len());
}

/// A running `openssl s_server`, stopped when it is dropped.
struct OpensslServer {
    child: Child,
    port: u16,
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl OpensslServer {
    fn start(certificate: &FilePath, key: &FilePath, wrong: Wrong) -> Self {
        let mut command = openssl();
        command.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"]).arg(certificate).arg("-key").arg(key);
        command.args(wrong.version());
        let mut child = command.spawn().unwrap();
        // `ACCEPT 127.0.0.1:port`
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.filter_map(|line| line.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse().ok()).next();
        Self { port: port.unwrap_or_else(|| panic!("openssl s_server does not say where it listens")), child }
    }
}

/// Whether our client talks to an OpenSSL server on a path.
fn server_is_trusted(path: Path, kind: LeafKind, wrong: Wrong) -> bool {
    let (authority, certificate, key) = leaf_of(kind, ExtendedKeyUsage::ClientAuth, wrong);
    let files = Files::new();
    let (certificate, key) = files.identity(&certificate, &key);
    let server = OpensslServer::start(&certificate, &key, wrong);
    let own = match path.client_credential() {
        ClientCredential::Certificate(kind) => Some(identity(&Authority::new("clients"), kind).into()),
        _ => None,
    };
    let config = client_config(path, Some(LiveBundle::new(authority.bundle())), own, &context()).unwrap();
    let dialled = if wrong == Wrong::Name { "other.cluster.test" } else { SERVER };
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(dialled).unwrap()).unwrap();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut tls = StreamOwned::new(connection, stream);
    let mut answer = [0; 8];
    tls.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok() && tls.read_exact(&mut answer).is_ok() && answer == *b"HTTP/1.0"
}

#[test]
fn our_client_judges_openssl_servers_as_the_table_says() {
    let mut tried = 0;
    for path in Path::ALL {
        let Some(kind) = path.endpoint().leaf() else { continue };
        assert_eq!(PathRule::of(path).server(), ServerRule::DialledName);
        for wrong in Wrong::ALL.into_iter().filter(|wrong| *wrong != Wrong::NoCertificate) {
            tried += 1;
            assert_eq!(server_is_trusted(path, kind, wrong), wrong.is_right(), "{path} {wrong:?}");
        }
    }
    assert_eq!(tried, 16 * (Wrong::ALL.len() - 1));
}
