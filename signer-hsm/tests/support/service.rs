//! A cluster, a service in front of its key, and who asks.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use getrandom::SysRng;
use pki_core::verify::aws_lc_rs;
use pki_core::{
    AuthorityRole, CaCertificate, CaVersion, ClusterId, Hierarchy, KeyAlgorithm, KeyLedger, LeafKind, NodeName, Serial,
    Signer, SubjectAltName, Validity, create_request, mint_root,
};
use signer_hsm::service::client::{CurrentAuthority, Endpoint, Expected, Order};
use signer_hsm::service::limits::{Clock, Rate, ServerLimits};
use signer_hsm::service::log::Durability;
use signer_hsm::service::policy::{ClusterPolicy, LeafRule, NameRule, NodeRule};
use signer_hsm::service::protocol::{Ask, RequestId};
use signer_hsm::service::server::Peers;
use signer_hsm::service::{CallerId, Client, ClusterConfig, Generation, IssuingService, Server, ServiceConfig};
use signer_hsm::{ExportableKey, SoftwareKey};
use time::UtcDateTime;

pub(crate) const START: i64 = 1_800_000_000;
pub(crate) const ROLE: AuthorityRole = AuthorityRole::Cluster;

/// The time of day is set, and what passes is real unless it is stopped: deadlines have to end.
#[derive(Debug)]
pub(crate) struct TestClock {
    seconds: AtomicI64,
    began: std::time::Instant,
    /// What passes for rates and deadlines beside the real time, in milliseconds.
    skipped: AtomicU64,
    /// Whether threads of the name [`HELD`] wait when they ask for the time of day, and how many do.
    holds: AtomicBool,
    waiting: AtomicU64,
}

pub(crate) const HELD: &str = "held";

impl TestClock {
    #[expect(clippy::disallowed_methods, reason = "deadlines of real sockets end in real time")]
    pub(crate) fn new() -> Self {
        let (seconds, began) = (AtomicI64::new(START), std::time::Instant::now());
        Self { seconds, began, skipped: AtomicU64::new(0), holds: AtomicBool::new(false), waiting: AtomicU64::new(0) }
    }

    pub(crate) fn skip(&self, milliseconds: u64) {
        self.skipped.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// Sets the time of day so many seconds on.
    pub(crate) fn advance(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Does `work` on a thread that is held when it asks for the time of day, and `meanwhile` while it is held there.
    pub(crate) fn while_held<T: Send>(&self, work: impl FnOnce() -> T + Send, meanwhile: impl FnOnce()) -> T {
        self.holds.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let held = std::thread::Builder::new().name(HELD.into()).spawn_scoped(scope, work).unwrap();
            while self.waiting.load(Ordering::SeqCst) == 0 {
                pause(1);
            }
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
            self.holds.store(false, Ordering::SeqCst);
            outcome.unwrap();
            held.join().unwrap()
        })
    }
}

impl Clock for TestClock {
    fn now(&self) -> UtcDateTime {
        if std::thread::current().name() == Some(HELD) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            while self.holds.load(Ordering::SeqCst) {
                pause(1);
            }
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        UtcDateTime::from_unix_timestamp(self.seconds.load(Ordering::SeqCst)).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "deadlines of real sockets end in real time")]
    fn monotonic(&self) -> Duration {
        self.began.elapsed() + Duration::from_millis(self.skipped.load(Ordering::SeqCst))
    }
}

#[expect(clippy::disallowed_methods, reason = "tests wait for other threads and processes")]
pub(crate) fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// One generation of the cluster CA, whose key a file can keep for the next process.
pub(crate) struct Ca {
    pub(crate) version: CaVersion,
    pub(crate) certificate: CaCertificate,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn mint(cluster: &str, version: u32) -> Self {
        let key = ExportableKey::generate(KeyAlgorithm::P256).unwrap();
        let pem = key.to_pem().to_string();
        Self::of(cluster, version, &pem)
    }

    pub(crate) fn of(cluster: &str, version: u32, pem: &str) -> Self {
        let signer = SoftwareKey::from_pem(pem.as_bytes()).unwrap();
        let (version, now) = (CaVersion::new(version).unwrap(), UtcDateTime::from_unix_timestamp(START).unwrap());
        let validity = Validity::around(now, time::Duration::hours(1), time::Duration::days(3650)).unwrap();
        let mut ledger = KeyLedger::new();
        let admitted = ledger.admit(&cluster.parse().unwrap(), ROLE, version, &signer).unwrap();
        let certificate = mint_root(&admitted, validity, Serial::generate(&mut SysRng).unwrap(), aws_lc_rs()).unwrap();
        Self { version, certificate, key: pem.to_owned() }
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation_with(Arc::new(SoftwareKey::from_pem(self.key.as_bytes()).unwrap()))
    }

    pub(crate) fn generation_with(&self, signer: Arc<dyn Signer>) -> Generation {
        let leaves = Hierarchy::kubeadm().leaves_of(ROLE).collect::<Vec<_>>();
        Generation::new(self.version, self.certificate.clone(), leaves, signer).unwrap()
    }
}

pub(crate) fn policy() -> ClusterPolicy {
    let names = NameRule::none().own_node_name().under("pool-a.example".parse().unwrap());
    let nodes = NodeRule::Under(vec!["pool-a.example".parse().unwrap()]);
    let year = time::Duration::days(365);
    ClusterPolicy::new()
        .with_leaf(LeafKind::KubeletServing, LeafRule::new(year).for_nodes(nodes.clone()).with_names(names))
        .with_leaf(LeafKind::KubeletClient, LeafRule::new(year).for_nodes(nodes))
}

pub(crate) fn config(clock: &Arc<TestClock>, durability: Durability) -> ServiceConfig {
    let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
    let serials = Box::new(|| Serial::generate(&mut SysRng).map_err(Box::<dyn Error + Send + Sync>::from));
    ServiceConfig::new(clock, serials, aws_lc_rs()).with_durability(durability)
}

pub(crate) fn own_uid() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid()
}

pub(crate) fn plenty() -> Rate {
    Rate::new(1_000_000, 1_000_000).unwrap()
}

pub(crate) fn caller() -> CallerId {
    CallerId::new("kcm")
}

/// A service for the clusters `blue` and `green`, of which the caller has `blue` only. The operator of each is its controller.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) blue: Ca,
    pub(crate) green: Ca,
    pub(crate) durability: Durability,
    pub(crate) rate: Rate,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (blue, green) = (Ca::mint("blue", 1), Ca::mint("green", 1));
        let (durability, rate) = (Durability::Written, plenty());
        Self { directory, clock: Arc::new(TestClock::new()), blue, green, durability, rate }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("socket")
    }

    pub(crate) fn empty_service(&self) -> IssuingService {
        let service = IssuingService::open(self.path(), config(&self.clock, self.durability)).unwrap();
        for (cluster, caller) in [("blue", caller()), ("green", CallerId::new("other"))] {
            let config = ClusterConfig::new(cluster.parse().unwrap(), policy()).with_caller(caller);
            let config = config.with_operator(CallerId::new(format!("{cluster}-controller")));
            service.add_cluster(config.with_rate(self.rate)).unwrap();
        }
        service
    }

    pub(crate) fn service(&self) -> Arc<IssuingService> {
        let service = self.empty_service();
        service.install(&blue(), ROLE, self.blue.generation()).unwrap();
        service.install(&"green".parse().unwrap(), ROLE, self.green.generation()).unwrap();
        Arc::new(service)
    }

    pub(crate) fn server(&self, service: &Arc<IssuingService>, limits: ServerLimits) -> Server {
        let server = Server::issuing(Arc::clone(service), limits);
        server.listen_unix(&self.socket(), 0o600, Peers::new().with_user(own_uid(), caller())).unwrap();
        server
    }

    pub(crate) fn client(&self) -> Client {
        self.client_at(&self.socket())
    }

    pub(crate) fn client_at(&self, socket: &Path) -> Client {
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
        Client::new(Endpoint::Unix(socket.to_owned()), clock, aws_lc_rs(), Duration::from_secs(10))
    }
}

pub(crate) fn blue() -> ClusterId {
    "blue".parse().unwrap()
}

pub(crate) fn request_id() -> RequestId {
    let mut id = [0; 16];
    getrandom::fill(&mut id).unwrap();
    RequestId(id)
}

/// A kubelet's request for its serving certificate.
pub(crate) fn serving(node: &str, names: &[&str]) -> (Ask, Expected) {
    serving_with(&SoftwareKey::generate(KeyAlgorithm::P256).unwrap(), node, names)
}

pub(crate) fn serving_with(key: &SoftwareKey, node: &str, names: &[&str]) -> (Ask, Expected) {
    let node: NodeName = node.parse().unwrap();
    let subject = LeafKind::KubeletServing.subject(Some(&node)).unwrap();
    let names: Vec<_> = names.iter().map(|name| SubjectAltName::dns(name).unwrap()).collect();
    let csr = create_request(&subject, &names, key).unwrap();
    (Ask::leaf(LeafKind::KubeletServing, Some(&node), csr), Expected::new(key.public_key().clone(), subject, names))
}

pub(crate) const NODE: &str = "node-1.pool-a.example";

pub(crate) fn order(authority: &CurrentAuthority, node: &str, names: &[&str]) -> Order {
    let (ask, expected) = serving(node, names);
    Order::new(request_id(), blue(), ROLE, authority, ask, expected)
}
