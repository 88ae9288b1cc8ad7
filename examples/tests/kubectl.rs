//! kubectl against a TLS server that stands on the tree of `issue_cluster`: the verifier that matters most.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop at the first surprise")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use examples::{Clock, ClusterTree, Destination, TreeSpec};
use pki_core::pem::{CERTIFICATE, decode_pem};
use pki_core::{ClusterNames, ClusterNamesSpec, LeafIdentity, Limits, Path as Route, Preset, TrustBundle};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::CertificateDer;
use signer_hsm::SoftwareKey;
use trust_model::tls::{TlsContext, TlsIdentity, server_config};

const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER: &str = r#"{"gitVersion":"v1.36.2"}"#;

/// A tree whose clients dial this address.
fn tree(room: &Path, name: &str, server: SocketAddr) -> PathBuf {
    let mut names = ClusterNamesSpec::new("control-plane-1".parse().unwrap(), "192.0.2.10".parse().unwrap());
    names.endpoint = Some(server.to_string().parse().unwrap());
    let spec = TreeSpec::new(Preset::Kubeadm, ClusterNames::new(names).unwrap());
    let directory = room.join(name);
    let destination = Destination::open(&directory).unwrap();
    ClusterTree::issue(&spec, Clock::default().now()).unwrap().publish(destination).unwrap();
    directory
}

fn certificates(path: PathBuf) -> Vec<CertificateDer<'static>> {
    let decoded = decode_pem(&std::fs::read(path).unwrap(), CERTIFICATE, &Limits::DEFAULT).unwrap();
    decoded.into_iter().map(CertificateDer::from).collect()
}

/// What kube-apiserver would be started with: the tree's serving files, and its cluster root for clients.
fn configuration(tree: &Path) -> ServerConfig {
    let key = SoftwareKey::from_pem(&std::fs::read(tree.join("pki/apiserver.key")).unwrap()).unwrap();
    let identity = TlsIdentity::new(certificates(tree.join("pki/apiserver.crt")), Arc::new(key)).unwrap();
    let clients = Arc::new(TrustBundle::from_der(certificates(tree.join("pki/ca.crt")), &Limits::DEFAULT).unwrap());
    let context = TlsContext::new(Arc::new(default_provider()), Arc::new(Clock::default()));
    server_config(vec![(Route::AdminApi, clients.into())], true, identity.into(), Vec::new(), &context).unwrap()
}

/// How a connection ended: the user and what it asked for, or the refusal.
type Ending = std::io::Result<(String, String)>;

/// Answers every connection until it is stopped: some kubectls ask for the server's version before they do as asked.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Ending>>,
}

impl Server {
    fn start(socket: TcpListener, config: ServerConfig) -> Self {
        let (address, stop, config) =
            (socket.local_addr().unwrap(), Arc::new(AtomicBool::new(false)), Arc::new(config));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let connections = std::iter::from_fn(|| socket.accept().ok());
            let wanted = connections.take_while(|_| !stopped.load(Ordering::SeqCst));
            wanted.map(|(stream, _)| answer(stream, Arc::clone(&config))).collect()
        });
        Self { address, stop, thread }
    }

    /// How the connections ended, when all of them have.
    fn stop(self) -> Vec<Ending> {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.join().unwrap()
    }
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> Ending {
    stream.set_read_timeout(Some(PATIENCE))?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut tls = StreamOwned::new(connection, stream);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        tls.read_exact(&mut octet)?;
        request.extend(octet);
    }
    let leaf = tls.conn.peer_certificates().and_then(<[_]>::first).ok_or(ErrorKind::PermissionDenied)?;
    let user = LeafIdentity::parse(leaf, &Limits::DEFAULT).map_err(std::io::Error::other)?;
    let user = user.subject().common_name().to_owned();
    let (length, kind) = (ANSWER.len(), "application/json");
    write!(
        tls,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{ANSWER}"
    )?;
    tls.conn.send_close_notify();
    tls.flush()?;
    Ok((user, String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned()))
}

/// What kubectl says with this kubeconfig, if it is there.
fn kubectl(room: &Path, kubeconfig: &Path) -> Option<Output> {
    let mut command = Command::new("kubectl");
    command.args(["get", "--raw", "/version", "--kubeconfig"]).arg(kubeconfig).env("HOME", room);
    for proxy in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("kubectl is not installed: not asked");
            None
        }
        output => Some(output.unwrap()),
    }
}

#[test]
fn kubectl_reaches_the_trees_api_server_as_the_administrator() {
    let room = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let tree = tree(room.path(), "kubernetes", socket.local_addr().unwrap());
    let server = Server::start(socket, configuration(&tree));
    let Some(output) = kubectl(room.path(), &tree.join("admin.conf")) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), ANSWER);
    let ended: Vec<_> = server.stop().into_iter().collect::<Result<_, _>>().unwrap();
    assert!(ended.iter().all(|(user, _)| user == "kubernetes-admin"), "{ended:?}");
    assert!(ended.iter().any(|(_, request)| request == "GET /version HTTP/1.1"), "{ended:?}");
}

#[test]
fn kubectl_refuses_an_api_server_of_another_tree() {
    let room = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (ours, foreign) = (tree(room.path(), "ours", address), tree(room.path(), "foreign", address));
    let server = Server::start(socket, configuration(&foreign));
    let Some(output) = kubectl(room.path(), &ours.join("admin.conf")) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("unknown authority"), "{said}");
    let ended = server.stop();
    assert!(!ended.is_empty() && ended.iter().all(Result::is_err), "{ended:?}");
}
