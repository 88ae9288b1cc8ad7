//! One component of the miniature cluster: what was written for it, what it has loaded, where it listens.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pki_core::{
    AuthorityId, AuthorityRole, BundleHash, CaVersion, DnsName, Endpoint, Hierarchy, LeafKind, Path, TrustBundle,
    TrustSlot,
};
use rotation_fsm::{Address, ConsumerId, Observation, PresentedLeaf, ReportId, ServedAddress, VersionRange};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ServerConfig};
use trust_model::tls::{ConfigError, TlsContext, TlsIdentity};

use crate::authorities::{Anchors, HeldLeaf, Holder};
use crate::clock::Clock;
use crate::process::{Configs, Held, Process};
use crate::server::Listener;

/// Bundles, leaves and signing keys, as they lie on a disk or as a process has them in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Material {
    pub(crate) bundles: BTreeMap<TrustSlot, (AuthorityRole, VersionRange, Anchors)>,
    pub(crate) leaves: BTreeMap<LeafKind, HeldLeaf>,
    /// With which generation it signs, where it signs.
    pub(crate) signs: Option<(CaVersion, AuthorityId)>,
    /// Who was CSR signer when this node last restarted.
    pub(crate) csr_signer_at_restart: Option<AuthorityId>,
    /// The bundle for servers that a CA outside the hierarchy vouches for.
    pub(crate) external_bundle: Option<Arc<TrustBundle>>,
    /// What it serves to clients that ask for this name.
    pub(crate) by_server_name: Option<(DnsName, TlsIdentity)>,
    /// What it serves where nobody vouches for it.
    pub(crate) unvouched: Option<TlsIdentity>,
    /// For an API server, where addresses are followed: the addresses of the control plane on which it serves, each with
    /// the certificate that it shows there, if that is not the one among `leaves`.
    pub(crate) serves: Vec<(Address, Option<HeldLeaf>)>,
    /// Where the `kubernetes` Service leads, as this API server publishes it.
    pub(crate) service: Option<Address>,
    /// The address of the control plane in its kubeconfig.
    pub(crate) dials: Option<Address>,
    /// The highest epoch of which it was given something: orders of a lower one are ignored.
    pub(crate) epoch: u64,
}

/// What a process runs with since it last loaded.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) material: Material,
    pub(crate) process: Arc<Process>,
    configs: Configs,
}

impl Loaded {
    pub(crate) fn client(&self, path: Path) -> Option<&Arc<ClientConfig>> {
        self.configs.clients.get(&path)
    }

    pub(crate) fn server(&self, endpoint: Endpoint) -> Option<&Arc<ServerConfig>> {
        self.configs.servers.get(&endpoint)
    }

    pub(crate) fn server_at(&self, address: &Address) -> Option<&Arc<ServerConfig>> {
        self.configs.servers_at.get(address)
    }
}

/// What every component of a cluster shares.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) clock: Arc<Clock>,
    pub(crate) provider: Arc<CryptoProvider>,
    /// Whether components close the connections whose authority they have retired: unless a fault is planted.
    pub(crate) closes_orphaned: bool,
}

impl Environment {
    pub(crate) fn tls(&self) -> TlsContext {
        TlsContext::new(Arc::clone(&self.provider), self.clock.clone())
    }
}

/// A component: a process that could run anywhere, here with an address of its own on loopback.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) id: ConsumerId,
    pub(crate) host: IpAddr,
    pub(crate) holder: Holder,
    pub(crate) listeners: BTreeMap<Endpoint, Arc<Listener>>,
    /// The sockets on addresses of the control plane, those that were closed for good included.
    at_address: Mutex<BTreeMap<Address, Arc<Listener>>>,
    disk: Mutex<Material>,
    /// The process that runs, or is about to.
    process: Mutex<Arc<Process>>,
    loaded: RwLock<Arc<Loaded>>,
    running: AtomicBool,
    /// Nobody reaches it, and it does nothing.
    asleep: AtomicBool,
    restarts: AtomicU64,
    recreations: AtomicU64,
    sequence: AtomicU64,
    /// What a planted fault makes it say it runs with.
    claims: Mutex<Claims>,
}

/// A report that differs from the truth, where a fault is planted.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    pub(crate) bundles: BTreeMap<TrustSlot, BundleHash>,
    pub(crate) leaves: BTreeMap<LeafKind, AuthorityId>,
    pub(crate) signs: Option<AuthorityId>,
    pub(crate) csr_signer_at_restart: Option<AuthorityId>,
}

impl Component {
    pub(crate) fn new(id: ConsumerId, host: IpAddr, holder: Holder) -> Self {
        let endpoints = Endpoint::ALL.into_iter().filter(|endpoint| endpoint.component() == id.kind());
        let listeners = endpoints.map(|endpoint| (endpoint, Arc::new(Listener::new(host)))).collect();
        Self {
            id,
            host,
            holder,
            listeners,
            at_address: Mutex::default(),
            disk: Mutex::default(),
            process: Mutex::default(),
            loaded: RwLock::default(),
            running: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
            recreations: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            claims: Mutex::default(),
        }
    }

    /// Changes what lies on its disk. Nothing of it is used before it is loaded.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Material) -> T) -> T {
        change(&mut self.disk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn claim<T>(&self, change: impl FnOnce(&mut Claims) -> T) -> T {
        change(&mut self.claims.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connections that it holds.
    pub(crate) fn held(&self) -> Vec<Arc<Held>> {
        self.process().held()
    }

    /// Takes up what lies on the disk, as a process that watches its files does: what is in use is swapped.
    pub(crate) fn load(&self, environment: &Environment) -> Result<(), ConfigError> {
        let (process, material) = (self.process(), self.write(|material| material.clone()));
        let configs = process.load(environment, &self.id, &material)?;
        let loaded = Loaded { material, process, configs };
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(())
    }

    /// What it runs with now.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::SeqCst)
    }

    pub(crate) fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::SeqCst);
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::SeqCst)
    }

    pub(crate) fn set_asleep(&self, asleep: bool) {
        self.asleep.store(asleep, Ordering::SeqCst);
    }

    /// The socket on an address of the control plane, if it ever had one.
    pub(crate) fn listener_at(&self, address: &Address) -> Option<Arc<Listener>> {
        self.at_address.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }

    /// The socket on an address of the control plane, which is an address of this machine too.
    pub(crate) fn listener_for(&self, address: &Address) -> Arc<Listener> {
        let host = address.to_string().parse().unwrap_or(self.host);
        let mut listeners = self.at_address.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = listeners.entry(address.clone()).or_insert_with(|| Arc::new(Listener::new(host)));
        Arc::clone(listener)
    }

    /// The sockets on addresses of the control plane, those that were closed for good included.
    pub(crate) fn listeners_at(&self) -> BTreeMap<Address, Arc<Listener>> {
        self.at_address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes every socket, and the connections that it holds.
    pub(crate) fn close(&self) {
        self.listeners.values().for_each(|listener| listener.stop());
        self.listeners_at().values().for_each(|listener| listener.stop());
        self.process().let_go();
    }

    /// Ends the process: the next one begins with what lies on the disk, and with nothing else.
    pub(crate) fn end(&self) {
        self.close();
        let next = Arc::default();
        let ended = std::mem::replace(&mut *self.process.lock().unwrap_or_else(PoisonError::into_inner), next);
        ended.end();
    }

    pub(crate) fn count_restart(&self, recreated: bool) {
        self.restarts.fetch_add(1, Ordering::SeqCst);
        self.recreations.fetch_add(u64::from(recreated), Ordering::SeqCst);
    }

    /// How often it restarted because its node was recreated.
    pub(crate) fn recreations(&self) -> u64 {
        self.recreations.load(Ordering::SeqCst)
    }

    /// The last report that it gave.
    pub(crate) fn last_report(&self) -> ReportId {
        ReportId { incarnation: 0, sequence: self.sequence.load(Ordering::SeqCst) }
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::SeqCst)
    }

    /// A report of what it runs with.
    pub(crate) fn observe(&self) -> Observation {
        let loaded = self.loaded();
        let material = &loaded.material;
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = |(slot, (_, _, anchors)): (&TrustSlot, &(AuthorityRole, VersionRange, Anchors))| {
            (*slot, claims.bundles.get(slot).copied().unwrap_or_else(|| anchors.hash()))
        };
        let present = |(leaf, held): (&LeafKind, &HeldLeaf)| PresentedLeaf {
            through: held.through,
            ..PresentedLeaf::alone(*leaf, claims.leaves.get(leaf).copied().unwrap_or(held.issuer))
        };
        let main = material.leaves.get(&LeafKind::ApiServer);
        // Where a socket is open, whatever was written.
        let serve = |(address, listener): (Address, Arc<Listener>)| {
            let own = material.serves.iter().find(|(served, _)| *served == address).and_then(|(_, own)| own.as_ref());
            let issuer = own.or(main)?.issuer;
            listener.is_open().then_some(ServedAddress { address, issuer })
        };
        // A component of this process keeps its counter through every restart.
        let id = ReportId { incarnation: 0, sequence: self.sequence.fetch_add(1, Ordering::SeqCst) + 1 };
        Observation {
            bundles: material.bundles.iter().map(hash).collect(),
            leaves: material.leaves.iter().map(present).collect(),
            signs_with: claims.signs.or_else(|| material.signs.map(|(_, id)| id)),
            csr_signer_at_restart: claims.csr_signer_at_restart.or(material.csr_signer_at_restart),
            serves: self.listeners_at().into_iter().filter_map(serve).collect(),
            service: material.service.clone(),
            dials: material.dials.clone(),
            epoch: material.epoch,
            ..Observation::new(self.id.clone(), id)
        }
    }
}
