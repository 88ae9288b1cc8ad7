//! The issuing service beside the keys in another process, for what nodes ask to be signed: who asks it, who says which
//! generation signs, and what that process does.
//!
//! It has the generations of one authority, and one of them signs. During a rotation the plan has certificates of the control
//! plane come from the next generation while nodes still get theirs from the one before, so only what is signed at run time
//! comes from here: for that the plan has a step of its own, which is the switch.

use core::fmt;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use getrandom::SysRng;
use pki_core::verify::aws_lc_rs;
use pki_core::{AuthorityRole, CaCertificate, CaVersion, ClusterId, Hierarchy, LeafKind, NodeName, Preset, Serial};
use rustls_pki_types::CertificateDer;
use signer_hsm::service::client::{Client, ClientError, CurrentAuthority, Endpoint, Expected, Operation, Order};
use signer_hsm::service::epoch::SignerEpoch;
use signer_hsm::service::limits::{Clock, Rate, ServerLimits};
use signer_hsm::service::log::verify_directory;
use signer_hsm::service::policy::{ClusterPolicy, LeafRule, NameRule, Network, NodeRule};
use signer_hsm::service::protocol::Ask;
use signer_hsm::service::server::Peers;
use signer_hsm::service::{CallerId, ClusterConfig, Generation, IssuingService, Server, ServiceConfig};
use signer_hsm::{KeyLabel, KeyStore};

use super::{Attempted, CLUSTER, READY, TIMEOUT};
use crate::clock::ServiceClock;
use crate::issuing_service::request_id;
use crate::report::IssuingReport;

/// Who asks for the nodes.
const ASKS: &str = "kube-controller-manager";
/// Who says which generation signs.
const OPERATES: &str = "rotation-controller";
/// The machines of the nodes have their addresses there.
const NODES: (IpAddr, u32) = (IpAddr::V4(Ipv4Addr::new(127, 100, 0, 0)), 16);

/// Which authority signs what nodes ask for.
fn role(preset: Preset) -> Option<AuthorityRole> {
    Hierarchy::preset(preset).issuer_of(LeafKind::KubeletClient)
}

/// Where a caller has his socket, beside that of the agent.
fn socket_of(agent: &Path, caller: &str) -> PathBuf {
    agent.with_file_name(format!("{caller}.sock"))
}

/// The service, as this process uses it.
pub struct Issuing {
    cluster: ClusterId,
    role: AuthorityRole,
    clock: Arc<ServiceClock>,
    control: Mutex<Control>,
    asks: Mutex<Client>,
    operates: Mutex<Client>,
    /// What the operator was told of each generation that came to sign: what the CSR signer knows of it.
    told: Mutex<BTreeMap<CaVersion, CurrentAuthority>>,
    given: AtomicU64,
}

impl fmt::Debug for Issuing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuing").field("role", &self.role).finish_non_exhaustive()
    }
}

/// What its owner says to the other process, a line and an answer at a time.
struct Control {
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    skipped: i64,
}

impl Control {
    fn say(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(stdin, "{line}")?;
        stdin.flush()?;
        let mut answer = String::new();
        self.stdout.read_line(&mut answer)?;
        if answer.trim_end() == READY { Ok(()) } else { Err(io::Error::other(answer.trim_end().to_owned())) }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why it gave nothing.
#[derive(Debug)]
pub enum ServiceFailure {
    /// What the service answered, or that it did not.
    Client(ClientError),
    /// Its process did not do what its owner said.
    Process(io::Error),
    /// The request cannot be read.
    Request(pki_core::RequestError),
    /// The generation never came to sign there.
    NotSwitched(CaVersion),
    /// There is no entropy for an identifier.
    Entropy,
}

impl fmt::Display for ServiceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "the issuing service: {error}"),
            Self::Process(error) => write!(f, "the process of the issuing service: {error}"),
            Self::Request(error) => write!(f, "{error}"),
            Self::NotSwitched(version) => write!(f, "the issuing service was never switched to CAVersion {version}"),
            Self::Entropy => f.write_str("the operating system has no entropy"),
        }
    }
}

wraps! {
    ServiceFailure:
    ClientError => Client,
    io::Error => Process,
    pki_core::RequestError => Request,
}

impl Issuing {
    /// Of the process with this agent, which speaks over these pipes.
    pub(super) fn new(
        agent: &Path,
        preset: Preset,
        stdin: ChildStdin,
        stdout: BufReader<ChildStdout>,
    ) -> Attempted<Self> {
        let clock = Arc::new(ServiceClock::start());
        let client = |caller| {
            let clock: Arc<dyn Clock> = Arc::<ServiceClock>::clone(&clock);
            Mutex::new(Client::new(Endpoint::Unix(socket_of(agent, caller)), clock, aws_lc_rs(), TIMEOUT))
        };
        let (asks, operates) = (client(ASKS), client(OPERATES));
        Ok(Self {
            cluster: CLUSTER.parse()?,
            role: role(preset).ok_or("no authority signs what nodes ask for")?,
            clock,
            control: Mutex::new(Control { stdin: Some(stdin), stdout, skipped: 0 }),
            asks,
            operates,
            told: Mutex::default(),
            given: AtomicU64::new(0),
        })
    }

    /// Whether it signs for this authority.
    pub(crate) fn serves(&self, role: AuthorityRole) -> bool {
        self.role == role
    }

    /// Whether this comes from it: what nodes ask for themselves.
    pub(crate) fn signs(&self, role: AuthorityRole, leaf: LeafKind) -> bool {
        self.serves(role) && matches!(leaf, LeafKind::KubeletClient | LeafKind::KubeletServing)
    }

    /// Makes a generation known to it, as who owns the process: the certificate, to the key that it has there. The first one
    /// signs at once.
    pub(crate) fn install(&self, version: CaVersion, certificate: &CaCertificate) -> Result<(), ServiceFailure> {
        locked(&self.control).say(&format!("install {version} {}", STANDARD.encode(certificate.der())))?;
        if version == CaVersion::FIRST {
            let current = locked(&self.operates).current(&self.cluster, self.role)?;
            locked(&self.told).insert(version, current);
        }
        Ok(())
    }

    /// Has this generation sign, unless it does: from then on nothing comes from the one before.
    pub(crate) fn switch(&self, to: CaVersion, certificate: &CaCertificate) -> Result<(), ServiceFailure> {
        let mut operator = locked(&self.operates);
        let current = operator.current(&self.cluster, self.role)?;
        // It may have been switched by an order whose answer was lost.
        let now = match current.version == to {
            true => current,
            false => operator.switch(&self.operation(current.epoch)?, to, certificate)?,
        };
        locked(&self.told).insert(to, now);
        Ok(())
    }

    /// Ends a generation, before its key is destroyed.
    pub(crate) fn retire(&self, version: CaVersion, certificate: &CaCertificate) -> Result<(), ServiceFailure> {
        let mut operator = locked(&self.operates);
        let current = operator.current(&self.cluster, self.role)?;
        operator.retire(&self.operation(current.epoch)?, version, certificate)?;
        Ok(())
    }

    fn operation(&self, epoch: SignerEpoch) -> Result<Operation, ServiceFailure> {
        let id = request_id().map_err(|_| ServiceFailure::Entropy)?;
        Ok(Operation::new(id, self.cluster.clone(), self.role, epoch))
    }

    /// Passes a node's request on, in the epoch in which this generation came to sign. `skipped` is how many seconds the cluster's
    /// clock is ahead: the service has the same time as everybody.
    pub(crate) fn ask(
        &self,
        leaf: LeafKind,
        version: CaVersion,
        node: Option<&NodeName>,
        request: &[u8],
        skipped: i64,
    ) -> Result<CertificateDer<'static>, ServiceFailure> {
        let mut control = locked(&self.control);
        if control.skipped != skipped {
            control.say(&format!("skip {skipped}"))?;
            control.skipped = skipped;
            self.clock.set_skipped(skipped);
        }
        drop(control);
        let authority = locked(&self.told).get(&version).cloned().ok_or(ServiceFailure::NotSwitched(version))?;
        let expected = Expected::of_request(request, aws_lc_rs())?;
        let id = request_id().map_err(|_| ServiceFailure::Entropy)?;
        let ask = Ask::leaf(leaf, node, request.to_vec());
        let order = Order::new(id, self.cluster.clone(), self.role, &authority, ask, expected);
        let certificate = locked(&self.asks).issue(&order)?;
        self.given.fetch_add(1, Ordering::SeqCst);
        Ok(certificate)
    }

    /// Ends the other process: what its log says, which must be what was received here.
    pub(super) fn finish(&self) -> Attempted<IssuingReport> {
        let mut control = locked(&self.control);
        drop(control.stdin.take());
        let mut said = String::new();
        control.stdout.read_to_string(&mut said)?;
        let numbers: Vec<u64> =
            said.split_whitespace().map(str::parse).collect::<Result<_, _>>().map_err(|_| said.clone())?;
        let [issued, refused, switches, retired] = numbers[..] else { return Err(said.into()) };
        let given = self.given.load(Ordering::SeqCst);
        if given != issued {
            return Err(format!("the service's log has {issued} certificates, and {given} were received").into());
        }
        Ok(IssuingReport { issued, refused, switches, retired })
    }
}

/// The service in the process with the keys.
pub(super) struct Serving {
    service: Arc<IssuingService>,
    server: Server,
    store: Arc<dyn KeyStore>,
    clock: Arc<ServiceClock>,
    directory: PathBuf,
    cluster: ClusterId,
    role: AuthorityRole,
    leaves: Vec<LeafKind>,
}

impl Serving {
    /// Listens beside this agent, for the nodes of such a cluster.
    pub(super) fn begin(agent: &Path, store: Arc<dyn KeyStore>, preset: Preset, nodes: usize) -> Attempted<Self> {
        let hierarchy = Hierarchy::preset(preset);
        let role = role(preset).ok_or("no authority signs what nodes ask for")?;
        let (directory, clock) = (agent.with_file_name("log"), Arc::new(ServiceClock::start()));
        fs::create_dir(&directory)?;
        let serials = Box::new(|| Ok(Serial::generate(&mut SysRng)?));
        let own: Arc<dyn Clock> = Arc::<ServiceClock>::clone(&clock);
        let config = ServiceConfig::new(own, serials, aws_lc_rs());
        let service = Arc::new(IssuingService::open(&directory, config)?);
        // Kubelets of this cluster, under their own names and the addresses of its machines: whoever asks gets nothing else.
        let nodes = (0..nodes).map(|index| format!("node-{index}").parse()).collect::<Result<_, _>>()?;
        let rule = LeafRule::new(hierarchy.leaf_lifetime()).for_nodes(NodeRule::Among(nodes));
        let machines = Network::new(NODES.0, NODES.1).ok_or("an IPv4 address has 32 bits")?;
        let names = NameRule::none().own_node_name().within(machines);
        let policy = ClusterPolicy::new()
            .with_leaf(LeafKind::KubeletClient, rule.clone())
            .with_leaf(LeafKind::KubeletServing, rule.with_names(names));
        let cluster: ClusterId = CLUSTER.parse()?;
        let plenty = Rate::new(10_000, 10_000).unwrap_or_default();
        let served = ClusterConfig::new(cluster.clone(), policy).with_rate(plenty);
        let served = served.with_caller(CallerId::new(ASKS)).with_operator(CallerId::new(OPERATES));
        service.add_cluster(served)?;
        let server = Server::issuing(Arc::clone(&service), ServerLimits::DEFAULT);
        let own = rustix::process::geteuid().as_raw();
        for caller in [ASKS, OPERATES] {
            let peers = Peers::new().with_user(own, CallerId::new(caller));
            server.listen_unix(&socket_of(agent, caller), 0o600, peers)?;
        }
        let leaves = hierarchy.leaves_of(role).collect();
        Ok(Self { service, server, store, clock, directory, cluster, role, leaves })
    }

    /// Does what the owner of the process says.
    pub(super) fn obey(&self, line: &str) -> Attempted<()> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["skip", seconds] => self.clock.set_skipped(seconds.parse()?),
            ["install", version, certificate] => {
                let version = version.parse().ok().and_then(CaVersion::new).ok_or("no CAVersion")?;
                let certificate = CaCertificate::parse(STANDARD.decode(certificate)?.into())?;
                let signer = self.store.open(&KeyLabel::authority(&self.cluster, self.role, version))?;
                let generation = Generation::new(version, certificate, self.leaves.iter().copied(), signer)?;
                self.service.install(&self.cluster, self.role, generation)?;
            }
            _ => return Err(format!("no such order: {line}").into()),
        }
        Ok(())
    }

    /// Ends it: how many certificates the log has, how many refusals, switches and ends of generations.
    pub(super) fn end(self) -> Attempted<String> {
        let _unfinished = self.server.drain(TIMEOUT);
        let (_, verified) = verify_directory(&self.directory, Some(self.service.head()), |_| {})?;
        let switches = verified.signers.saturating_sub(1);
        Ok(format!("{} {} {switches} {}", verified.issued, verified.refused, verified.retired))
    }
}

#[cfg(test)]
mod tests {
    use pki_core::{KeyAlgorithm, LeafIdentity, Limits, mint_root};
    use signer_hsm::{KeySpec, SoftwareKeyStore};

    use super::*;
    use crate::authorities::{Enrolment, Holder};

    #[test]
    fn it_has_the_time_of_the_cluster_and_the_generations_that_its_owner_installs() {
        let directory = tempfile::tempdir().unwrap();
        let (socket, store) = (directory.path().join("keys.sock"), Arc::new(SoftwareKeyStore::new()));
        let serving = Serving::begin(&socket, Arc::<SoftwareKeyStore>::clone(&store), Preset::Kubeadm, 1).unwrap();
        let (cluster, first): (ClusterId, _) = (CLUSTER.parse().unwrap(), CaVersion::FIRST);
        let label = KeyLabel::authority(&cluster, serving.role, first);
        let signer = store.generate(&label, KeySpec::new(KeyAlgorithm::P256)).unwrap();
        let now = serving.clock.now();
        let validity = pki_core::Validity::around(now, time::Duration::HOUR, time::Duration::days(3650)).unwrap();
        let mut ledger = pki_core::KeyLedger::new();
        let admitted = ledger.admit(&cluster, serving.role, first, &*signer).unwrap();
        let root = mint_root(&admitted, validity, Serial::generate(&mut SysRng).unwrap(), aws_lc_rs()).unwrap();
        let install = format!("install {first} {}", STANDARD.encode(root.der()));
        for line in ["", "skip", "skip far", "install 1 !", "end", &install.replace("install 1", "install 2")] {
            assert!(serving.obey(line).is_err(), "{line}");
        }
        serving.obey(&install).unwrap();
        // A hundred days on, for the service and for whoever checks what it says.
        let skipped = time::Duration::days(100);
        serving.obey(&format!("skip {}", skipped.whole_seconds())).unwrap();
        let clock: Arc<dyn Clock> = Arc::<ServiceClock>::clone(&serving.clock);
        let client = |caller: &str| {
            Client::new(Endpoint::Unix(socket_of(&socket, caller)), Arc::clone(&clock), aws_lc_rs(), TIMEOUT)
        };
        let authority = client(OPERATES).current(&cluster, serving.role).unwrap();
        let ask = |caller: &str, node: &str| {
            let node: NodeName = node.parse().unwrap();
            let holder = Holder { node: Some(node.clone()), names: Vec::new() };
            let enrolment = Enrolment::new(LeafKind::KubeletClient, &holder).unwrap();
            let expected = Expected::of_request(enrolment.request(), aws_lc_rs()).unwrap();
            let ask = Ask::leaf(LeafKind::KubeletClient, Some(&node), enrolment.request().to_vec());
            let id = request_id().unwrap();
            let order = Order::new(id, cluster.clone(), serving.role, &authority, ask, expected);
            client(caller).issue(&order)
        };
        let issued = ask(ASKS, "node-0").unwrap();
        let validity = LeafIdentity::parse(&issued, &Limits::DEFAULT).unwrap().validity();
        assert!(validity.not_before() > now.saturating_add(skipped - time::Duration::HOUR));
        // Another node is none of this cluster's, and who says who signs gets nothing.
        assert!(matches!(ask(ASKS, "node-1"), Err(ClientError::Refused(_))));
        assert!(matches!(ask(OPERATES, "node-0"), Err(ClientError::Refused(_))));
        assert_eq!(serving.end().unwrap(), "1 2 0 0");
    }
}
