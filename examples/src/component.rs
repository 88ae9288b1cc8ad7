//! One component of the miniature cluster: what was written for it, what it has loaded, where it listens.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pki_core::{
    AuthorityId, AuthorityRole, BundleHash, CaVersion, ClientCredential, DnsName, Endpoint, Hierarchy, LeafKind, Path,
    ServerAuthority, TrustBundle, TrustSlot,
};
use rotation_fsm::{Address, ConsumerId, Observation, PresentedLeaf, ReportId, ServedAddress, VersionRange};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ServerConfig};
use trust_model::tls::{ConfigError, LiveBundle, LiveIdentity, TlsContext, TlsIdentity, client_config, server_config};

use crate::authorities::{Anchors, HeldLeaf, Holder};
use crate::clock::Clock;
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
    clients: BTreeMap<Path, Arc<ClientConfig>>,
    servers: BTreeMap<Endpoint, Arc<ServerConfig>>,
    servers_at: BTreeMap<Address, Arc<ServerConfig>>,
}

impl Loaded {
    pub(crate) fn client(&self, path: Path) -> Option<&Arc<ClientConfig>> {
        self.clients.get(&path)
    }

    pub(crate) fn server(&self, endpoint: Endpoint) -> Option<&Arc<ServerConfig>> {
        self.servers.get(&endpoint)
    }

    pub(crate) fn server_at(&self, address: &Address) -> Option<&Arc<ServerConfig>> {
        self.servers_at.get(address)
    }
}

/// What every component of a cluster shares.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) hierarchy: Hierarchy,
    pub(crate) clock: Arc<Clock>,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl Environment {
    fn load(&self, id: &ConsumerId, material: Material) -> Result<Loaded, ConfigError> {
        let mut loaded = Loaded::default();
        for path in Path::of(&self.hierarchy).filter(|path| path.client() == id.kind()) {
            // A component that lacks something yet (a node before it has joined) does not speak on the path.
            if let Some(config) = self.client(path, &material)? {
                loaded.clients.insert(path, Arc::new(config));
            }
        }
        for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| endpoint.component() == id.kind()) {
            if let Some(config) = self.server(endpoint, &material)? {
                loaded.servers.insert(endpoint, Arc::new(config));
            }
        }
        let main = material.leaves.get(&LeafKind::ApiServer);
        for (address, own) in &material.serves {
            if let Some(identity) = own.as_ref().or(main).and_then(HeldLeaf::identity) {
                let config = self.server_showing(Endpoint::ApiServer, &material, identity)?;
                loaded.servers_at.insert(address.clone(), Arc::new(config));
            }
        }
        Ok(Loaded { material, ..loaded })
    }

    /// The configuration of a path's client, or `None` while the material for it is not there.
    fn client(&self, path: Path, material: &Material) -> Result<Option<ClientConfig>, ConfigError> {
        let bundle = self.client_bundle(path, material);
        let identity = match path.client_credential() {
            ClientCredential::Certificate(leaf) => material.leaves.get(&leaf).and_then(HeldLeaf::identity),
            _ => None,
        };
        if (path.client_trust().is_some() && bundle.is_none())
            || (matches!(path.client_credential(), ClientCredential::Certificate(_)) && identity.is_none())
        {
            return Ok(None);
        }
        self.client_with(path, bundle, identity).map(Some)
    }

    /// What a path's client verifies its server with, if it does.
    pub(crate) fn client_bundle(&self, path: Path, material: &Material) -> Option<Arc<TrustBundle>> {
        match path.server_authority(&self.hierarchy) {
            ServerAuthority::External => material.external_bundle.clone(),
            _ => path.client_trust().and_then(|slot| certificates(material, slot)),
        }
    }

    /// The configuration of a path's client with this bundle and this certificate.
    pub(crate) fn client_with(
        &self,
        path: Path,
        bundle: Option<Arc<TrustBundle>>,
        identity: Option<&TlsIdentity>,
    ) -> Result<ClientConfig, ConfigError> {
        client_config(path, bundle.map(LiveBundle::new), identity.map(LiveIdentity::from), &self.tls())
    }

    fn server(&self, endpoint: Endpoint, material: &Material) -> Result<Option<ServerConfig>, ConfigError> {
        let identity = match endpoint.leaf() {
            Some(leaf) => material.leaves.get(&leaf).and_then(HeldLeaf::identity),
            None => material.unvouched.as_ref(),
        };
        identity.map(|identity| self.server_showing(endpoint, material, identity)).transpose()
    }

    fn server_showing(
        &self,
        endpoint: Endpoint,
        material: &Material,
        identity: &TlsIdentity,
    ) -> Result<ServerConfig, ConfigError> {
        let paths: Vec<_> = Path::of(&self.hierarchy).filter(|path| path.endpoint() == endpoint).collect();
        let by_certificate: Vec<_> = paths
            .iter()
            .copied()
            .filter(|path| matches!(path.client_credential(), ClientCredential::Certificate(_)))
            .collect();
        let mandatory = !paths.is_empty() && paths.len() == by_certificate.len();
        let verified = by_certificate.into_iter().map(|path| {
            let bundle = path.server_trust().and_then(|slot| certificates(material, slot));
            bundle.map(|bundle| (path, bundle)).ok_or(ConfigError::MissingBundle(path))
        });
        let verified: Vec<_> = verified.collect::<Result<_, _>>()?;
        let named = material.by_server_name.iter().filter(|_| endpoint == Endpoint::ApiServer).cloned().collect();
        self.server_with(verified, mandatory, identity, named)
    }

    /// The configuration of a socket that serves this certificate.
    pub(crate) fn server_with(
        &self,
        paths: Vec<(Path, Arc<TrustBundle>)>,
        mandatory: bool,
        identity: &TlsIdentity,
        by_server_name: Vec<(DnsName, TlsIdentity)>,
    ) -> Result<ServerConfig, ConfigError> {
        let paths = paths.into_iter().map(|(path, bundle)| (path, LiveBundle::new(bundle))).collect();
        let by_server_name = by_server_name.into_iter().map(|(name, identity)| (name, identity.into())).collect();
        server_config(paths, mandatory, identity.into(), by_server_name, &self.tls())
    }

    fn tls(&self) -> TlsContext {
        TlsContext::new(Arc::clone(&self.provider), self.clock.clone())
    }
}

fn certificates(material: &Material, slot: TrustSlot) -> Option<Arc<TrustBundle>> {
    material.bundles.get(&slot).and_then(|(_, _, anchors)| anchors.certificates()).cloned()
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

    /// Takes up what lies on the disk, as a process that watches its files does.
    pub(crate) fn load(&self, environment: &Environment) -> Result<(), ConfigError> {
        let loaded = environment.load(&self.id, self.write(|material| material.clone()))?;
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

    /// Closes every socket.
    pub(crate) fn close(&self) {
        self.listeners.values().for_each(|listener| listener.stop());
        self.listeners_at().values().for_each(|listener| listener.stop());
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
