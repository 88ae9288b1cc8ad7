//! An issuing service in a directory, and who asks it: what `issuing_service` and `request_certificate` do.

use core::error::Error;
use core::fmt::Write as _;
use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use getrandom::SysRng;
use pki_core::pem::{CERTIFICATE, decode_single_pem, encode_pem};
use pki_core::verify::aws_lc_rs;
use pki_core::{
    AuthorityRole, CaCertificate, CaVersion, ClusterId, DnsName, Hierarchy, KeyAlgorithm, KeyLedger, LeafKind, Limits,
    NodeName, Serial, Signer, SubjectAltName, Validity, create_request, mint_root,
};
use rand_core::TryRng as _;
use signer_hsm::pkcs11::{Pin, Pkcs11KeyStore, Pkcs11Module, Pkcs11Uri, TokenOptions};
use signer_hsm::service::client::{Client, ClientError, CurrentAuthority, Endpoint, Expected, Order};
use signer_hsm::service::epoch::CurrentSigner;
use signer_hsm::service::limits::{Clock, ServerLimits};
use signer_hsm::service::log::{Durability, verify_directory};
use signer_hsm::service::policy::{ClusterPolicy, LeafRule, NameRule, NodeRule};
use signer_hsm::service::protocol::{Ask, RequestId};
use signer_hsm::service::server::Peers;
use signer_hsm::service::{CallerId, ClusterConfig, Generation, IssuingService, Server, ServiceConfig};
use signer_hsm::{ExportableKey, KeyLabel, KeySpec, KeyStore, SoftwareKey};

use crate::ServiceClock;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The authority whose key the service of the examples holds.
pub const ROLE: AuthorityRole = AuthorityRole::Cluster;

/// How long the end may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the key of the CA is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keys {
    /// In `ca.key` of the service's directory, made if it is not there.
    Software,
    /// In a token, under the label of the cluster's authority, made if it is not there.
    Token {
        /// The PKCS#11 module.
        module: PathBuf,
        /// Which token.
        token: Box<Pkcs11Uri>,
        /// A file with the user's PIN in its first line.
        pin_file: PathBuf,
    },
}

impl Keys {
    /// The key, and the module that has to be finalized when it is not needed any more.
    fn open(&self, directory: &Path, cluster: &ClusterId) -> Outcome<(Arc<dyn Signer>, Option<Pkcs11Module>)> {
        match self {
            Self::Token { module, token, pin_file } => {
                let module = Pkcs11Module::load(module)?;
                match in_token(&module, token, pin_file.clone(), cluster) {
                    Ok(signer) => Ok((signer, Some(module))),
                    Err(error) => {
                        let _finalized = module.finalize(PATIENCE);
                        Err(error)
                    }
                }
            }
            Self::Software => {
                let path = directory.join("ca.key");
                let named = |error: io::Error| format!("{}: {error}", path.display());
                let key = match fs::read(&path) {
                    Ok(pem) => SoftwareKey::from_pem(&pem)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        let key = ExportableKey::generate(KeyAlgorithm::P256)?;
                        let mut options = OpenOptions::new();
                        let mut file = options.write(true).create_new(true).mode(0o600).open(&path).map_err(named)?;
                        file.write_all(key.to_pem().as_bytes())?;
                        file.sync_all()?;
                        key.into_signer()
                    }
                    Err(error) => return Err(named(error).into()),
                };
                Ok((Arc::new(key), None))
            }
        }
    }
}

/// The authority's key in a token.
fn in_token(
    module: &Pkcs11Module,
    token: &Pkcs11Uri,
    pin_file: PathBuf,
    cluster: &ClusterId,
) -> Outcome<Arc<dyn Signer>> {
    // Read with each login: a PIN that is not kept cannot leak.
    let pin = move || {
        let content = zeroize::Zeroizing::new(fs::read_to_string(&pin_file).ok()?);
        content.lines().next().map(|pin| Pin::new(pin.to_owned()))
    };
    let store = Pkcs11KeyStore::new(module, token.clone(), pin, TokenOptions::default())?;
    let label = KeyLabel::authority(cluster, ROLE, CaVersion::FIRST);
    Ok(match store.find(&label)? {
        true => store.open(&label)?,
        false => store.generate(&label, KeySpec::new(KeyAlgorithm::P256))?,
    })
}

/// What a service is begun with.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Where key, certificate, log and socket are.
    pub directory: PathBuf,
    /// The cluster.
    pub cluster: ClusterId,
    /// What the names of its nodes end in, and the names of their serving certificates.
    pub domain: DnsName,
    /// Where the key is.
    pub keys: Keys,
    /// Who may ask beside the user of this process.
    pub users: Vec<u32>,
    /// When an entry of the log counts as written.
    pub durability: Durability,
}

/// A service that listens.
#[derive(Debug)]
pub struct RunningService {
    /// The service.
    pub service: Arc<IssuingService>,
    /// Who signs.
    pub signer: CurrentSigner,
    /// Where it listens.
    pub socket: PathBuf,
    server: Server,
    module: Option<Pkcs11Module>,
}

impl RunningService {
    /// Begins one.
    ///
    /// # Errors
    /// When the directory, the key, the certificate, the log or the socket cannot be used.
    pub fn begin(options: &ServiceOptions, clock: Arc<dyn Clock>) -> Outcome<Self> {
        let ServiceOptions { directory, cluster, domain, keys, users, durability } = options;
        let (signer, module) = keys.open(directory, cluster)?;
        let certificate = certificate(directory, cluster, &*signer, &*clock)?;
        let serials = Box::new(|| Ok(Serial::generate(&mut SysRng)?));
        let config = ServiceConfig::new(clock, serials, aws_lc_rs()).with_durability(*durability);
        let service = Arc::new(IssuingService::open(directory, config)?);

        // Kubelets below the domain, under their own names, for a year: a policy names all that there is to be had.
        let (nodes, year) = (NodeRule::Under(vec![domain.clone()]), time::Duration::days(365));
        let serving = LeafRule::new(year).for_nodes(nodes.clone()).with_names(NameRule::none().own_node_name());
        let policy = ClusterPolicy::new()
            .with_leaf(LeafKind::KubeletServing, serving)
            .with_leaf(LeafKind::KubeletClient, LeafRule::new(year).for_nodes(nodes));
        let (mut served, mut peers) = (ClusterConfig::new(cluster.clone(), policy), Peers::new());
        let own = fs::metadata(directory)?.uid();
        for uid in users.iter().copied().chain([own]) {
            let caller = CallerId::new(format!("uid-{uid}"));
            peers = peers.with_user(uid, caller.clone());
            served = served.with_caller(caller);
        }
        service.add_cluster(served)?;
        let leaves: Vec<_> = Hierarchy::kubeadm().leaves_of(ROLE).collect();
        let generation = Generation::new(CaVersion::FIRST, certificate, leaves, signer)?;
        let signer = service.install(cluster, ROLE, generation)?.ok_or("the log names another generation")?;

        let server = Server::issuing(Arc::clone(&service), ServerLimits::DEFAULT);
        let (socket, mode) = (directory.join("issuing.sock"), if users.is_empty() { 0o600 } else { 0o666 });
        server.listen_unix(&socket, mode, peers)?;
        Ok(Self { service, signer, socket, server, module })
    }

    /// Answers what has arrived, and ends.
    #[must_use]
    pub fn drain(self) -> signer_hsm::service::server::Drained {
        let drained = self.server.drain(PATIENCE);
        if let Some(module) = self.module {
            // One that is still at it ends with the process.
            let _finalized = module.finalize(PATIENCE);
        }
        drained
    }
}

/// The root of the service's directory, minted if it is not there.
fn certificate(
    directory: &Path,
    cluster: &ClusterId,
    signer: &dyn Signer,
    clock: &dyn Clock,
) -> Outcome<CaCertificate> {
    let path = directory.join("ca.crt");
    match fs::read(&path) {
        Ok(pem) => Ok(CaCertificate::parse(decode_single_pem(&pem, CERTIFICATE, &Limits::DEFAULT)?.into())?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let hierarchy = Hierarchy::kubeadm();
            let lifetime = hierarchy.ca_lifetime(ROLE).ok_or("the cluster root has a lifetime")?;
            let validity = Validity::around(clock.now(), hierarchy.ca_backdate(), lifetime)?;
            let mut ledger = KeyLedger::new();
            let admitted = ledger.admit(cluster, ROLE, CaVersion::FIRST, signer)?;
            let root = mint_root(&admitted, validity, Serial::generate(&mut SysRng)?, aws_lc_rs())?;
            fs::write(&path, encode_pem(CERTIFICATE, root.der()))?;
            Ok(root)
        }
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

/// A request for a kubelet's serving certificate.
#[derive(Debug)]
pub struct ServingRequest {
    /// The node.
    pub node: NodeName,
    /// The request, DER.
    pub csr: Vec<u8>,
    /// The new key, PEM, where one was made.
    pub key: Option<zeroize::Zeroizing<String>>,
    expected: Expected,
}

impl ServingRequest {
    /// With a new key.
    ///
    /// # Errors
    /// When a name is none or no key can be made.
    pub fn generate(node: &NodeName, names: &[String]) -> Outcome<Self> {
        let key = ExportableKey::generate(KeyAlgorithm::P256)?;
        let subject = LeafKind::KubeletServing.subject(Some(node)).ok_or("a kubelet has a node")?;
        let names: Vec<_> = names.iter().map(|name| SubjectAltName::dns(name)).collect::<Result<_, _>>()?;
        let csr = create_request(&subject, &names, key.signer())?;
        let expected = Expected::new(key.public_key().clone(), subject, names);
        Ok(Self { node: node.clone(), csr, key: Some(key.to_pem()), expected })
    }

    /// Somebody's request, PEM or DER.
    ///
    /// # Errors
    /// When it is not acceptable.
    pub fn read(node: &NodeName, received: &[u8]) -> Outcome<Self> {
        let csr = pki_core::request_der(received, &Limits::DEFAULT)?.into_owned();
        let expected = Expected::of_request(&csr, aws_lc_rs())?;
        Ok(Self { node: node.clone(), csr, key: None, expected })
    }

    /// Asks for the certificate, PEM, of an authority that the caller trusts. `id` makes a retry the same request.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask(
        &self,
        client: &mut Client,
        cluster: &ClusterId,
        authority: &CurrentAuthority,
        id: RequestId,
    ) -> Result<String, ClientError> {
        let ask = Ask::leaf(LeafKind::KubeletServing, Some(&self.node), self.csr.clone());
        let order = Order::new(id, cluster.clone(), ROLE, authority, ask, self.expected.clone());
        Ok(encode_pem(CERTIFICATE, &client.issue(&order)?))
    }
}

/// A new identifier.
///
/// # Errors
/// Without entropy.
pub fn request_id() -> Outcome<RequestId> {
    let mut id = [0; 16];
    SysRng.try_fill_bytes(&mut id)?;
    Ok(RequestId(id))
}

/// A client of a socket.
#[must_use]
pub fn client(socket: &Path, deadline: Duration) -> Client {
    Client::new(Endpoint::Unix(socket.to_owned()), Arc::new(ServiceClock::start()), aws_lc_rs(), deadline)
}

/// What an administrator sees who gives no arguments: a service in a directory that exists for this run, three requests, and
/// its log.
///
/// # Errors
/// When a part of it fails that should not.
pub fn demonstration() -> Outcome<String> {
    let directory = tempfile::tempdir()?;
    let cluster: ClusterId = "demo".parse()?;
    let options = ServiceOptions {
        directory: directory.path().to_owned(),
        cluster: cluster.clone(),
        domain: "pool-a.example".parse()?,
        keys: Keys::Software,
        users: Vec::new(),
        durability: Durability::Synced,
    };
    let running = RunningService::begin(&options, Arc::new(ServiceClock::start()))?;
    let mut text = String::from("A service in a directory of its own; see --help for one that stays.\n\n");
    let mut client = client(&running.socket, Duration::from_secs(10));
    let authority = client.current(&cluster, ROLE)?;
    writeln!(text, "signer: epoch {}, key {}\n", authority.epoch, authority.certificate.id())?;
    let (node, name) = ("node-1.pool-a.example".parse::<NodeName>()?, "node-1.pool-a.example".to_owned());
    let asked = ServingRequest::generate(&node, &[name])?;
    let id = request_id()?;
    let certificate = asked.ask(&mut client, &cluster, &authority, id)?;
    writeln!(text, "a kubelet's serving certificate\n  issued, signature, key and names checked\n")?;
    if asked.ask(&mut client, &cluster, &authority, id)? != certificate {
        return Err("a retry got another certificate".into());
    }
    writeln!(text, "the same request again\n  the same octets\n")?;
    let stuffed = ServingRequest::generate(&node, &["kubernetes.default.svc".to_owned()])?;
    match stuffed.ask(&mut client, &cluster, &authority, request_id()?) {
        Err(ClientError::Refused(refusal)) => {
            writeln!(text, "the same with a name of the API server\n  refused: {refusal}\n")?;
        }
        other => return Err(format!("expected a refusal, found {other:?}").into()),
    }
    drop(client);
    let head = running.service.head();
    let drained = running.drain();
    let mut entries = String::new();
    let (found, verified) = verify_directory(directory.path(), Some(head), |entry| {
        let _written = writeln!(entries, "  {entry}");
    })?;
    if (verified.issued, verified.refused, drained.cut_off) != (1, 1, 0) {
        return Err(format!("the log says {verified:?}").into());
    }
    writeln!(text, "the log, verified up to {found}\n{entries}")?;
    Ok(text)
}
