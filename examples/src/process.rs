//! What a process has in hand from its start to its end: bundles and leaves that are swapped under the configurations
//! that use them, and the connections that it holds.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use pki_core::{
    AuthorityId, ClientCredential, DnsName, Endpoint, LeafKind, Path, ServerAuthority, TrustBundle, TrustSlot,
};
use rotation_fsm::{Address, ConsumerId};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use trust_model::tls::{
    ConfigError, Connection, LiveBundle, LiveIdentity, PathClientVerifier, PathServerVerifier, Swapped, TlsIdentity,
    client_config, server_config,
};

use crate::authorities::HeldLeaf;
use crate::component::{Environment, Material};

/// What vouches for somebody's peers: a slot of the hierarchy, or the CA outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    Slot(TrustSlot),
    External,
}

/// One process of a component.
#[derive(Debug, Default)]
pub(crate) struct Process {
    parts: Mutex<Parts>,
    held: Mutex<Holding>,
}

/// Each is made when it first appears, and swapped from then on.
#[derive(Debug, Default)]
struct Parts {
    bundles: BTreeMap<Trust, LiveBundle>,
    leaves: BTreeMap<LeafKind, LiveIdentity>,
    at_address: BTreeMap<Address, LiveIdentity>,
    by_server_name: BTreeMap<DnsName, LiveIdentity>,
    unvouched: Option<LiveIdentity>,
    made: Configs,
}

/// The configurations of a process, for what it has the material.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configs {
    pub(crate) clients: BTreeMap<Path, Arc<ClientConfig>>,
    pub(crate) servers: BTreeMap<Endpoint, Arc<ServerConfig>>,
    pub(crate) servers_at: BTreeMap<Address, Arc<ServerConfig>>,
}

#[derive(Debug, Default)]
struct Holding {
    connections: Vec<Weak<Held>>,
    is_over: bool,
}

/// Why a process closed a connection that it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It stops, or leaves the address.
    Stopped,
    /// The authority that vouched for the peer is trusted no longer.
    Retired,
}

/// One end of a connection that is held.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) path: Path,
    socket: Arc<TcpStream>,
    /// Where the other end is.
    peer: Option<SocketAddr>,
    /// Where this end verified the other: under which bundle, and as what it is counted there.
    counted: Option<(Trust, Connection)>,
    /// Which half is shut to close it: who waits for the next request still says goodbye.
    half: Shutdown,
    closed: OnceLock<Closed>,
    /// Whether more trust was added to what it stands on, and it went on.
    outlived: AtomicBool,
}

impl Held {
    fn new(path: Path, socket: &Arc<TcpStream>, counted: Option<(Trust, Connection)>, half: Shutdown) -> Self {
        let (closed, outlived) = (OnceLock::new(), AtomicBool::new(false));
        let peer = socket.peer_addr().ok();
        Self { path, socket: Arc::clone(socket), peer, counted, half, closed, outlived }
    }

    /// Whether the other end is there.
    pub(crate) fn leads_to(&self, peer: SocketAddr) -> bool {
        self.peer == Some(peer)
    }

    /// Closes this end; the first reason stays.
    pub(crate) fn close(&self, why: Closed) {
        let _first = self.closed.set(why);
        // An end that is gone already cannot be shut.
        let _shut = self.socket.shutdown(self.half);
    }

    /// Why this end was closed, if it was.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.closed.get().copied()
    }

    /// Whether more trust was added to what it stands on, and it went on.
    pub(crate) fn has_outlived(&self) -> bool {
        self.outlived.load(Ordering::SeqCst)
    }

    /// The authority at the top of the peer's chain, where this end verified one.
    pub(crate) fn anchor(&self) -> Option<AuthorityId> {
        self.counted.as_ref().map(|(_, connection)| connection.anchor())
    }

    fn stands_on(&self, trust: Trust) -> bool {
        self.counted.as_ref().is_some_and(|(on, _)| *on == trust)
    }

    fn is_orphaned(&self) -> bool {
        self.counted.as_ref().is_some_and(|(_, connection)| connection.is_orphaned())
    }
}

impl Process {
    /// Takes up what lies on the disk: swaps what is in use already, and makes what is new. Connections whose peers chained
    /// to an authority that is trusted no longer are closed.
    pub(crate) fn load(
        &self,
        environment: &Environment,
        id: &ConsumerId,
        material: &Material,
    ) -> Result<Configs, ConfigError> {
        let mut parts = self.parts();
        let swapped = parts.take_up(material);
        let configs = parts.configs(environment, id, material);
        drop(parts);
        for (trust, swapped) in &swapped {
            self.follow(environment, *trust, swapped);
        }
        configs
    }

    /// What the connections on a bundle have come to by its swap.
    fn follow(&self, environment: &Environment, trust: Trust, swapped: &Swapped) {
        for held in self.held().into_iter().filter(|held| held.stands_on(trust)) {
            if held.is_orphaned() {
                if environment.closes_orphaned {
                    held.close(Closed::Retired);
                }
            } else if !swapped.added.is_empty() {
                held.outlived.store(true, Ordering::SeqCst);
            }
        }
    }

    /// A client of its own trust that shows something else than the process does.
    pub(crate) fn client_showing(
        &self,
        environment: &Environment,
        path: Path,
        identity: &TlsIdentity,
    ) -> Result<ClientConfig, ConfigError> {
        let bundle = self.live(client_trust(environment, path)).map(|(_, bundle)| bundle);
        client_config(path, bundle, Some(identity.into()), &environment.tls())
    }

    /// What it trusts now.
    pub(crate) fn trusts(&self, trust: Trust) -> Option<Arc<TrustBundle>> {
        self.parts().bundles.get(&trust).map(LiveBundle::load)
    }

    /// Holds the client's end of a connection whose handshake is over.
    pub(crate) fn hold_as_client(
        &self,
        environment: &Environment,
        path: Path,
        chain: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        socket: &Arc<TcpStream>,
    ) -> Result<Arc<Held>, String> {
        let trust = client_trust(environment, path);
        let counted = self.live(trust).map(|(trust, bundle)| {
            let verifier = PathServerVerifier::new(path, bundle, &environment.tls());
            let admitted = verifier.admit(chain, dialled, environment.clock.now());
            admitted.map(|admitted| (trust, admitted.connection)).map_err(|denial| denial.to_string())
        });
        Ok(self.hold(environment, Held::new(path, socket, counted.transpose()?, Shutdown::Both)))
    }

    /// Holds the server's end of a connection on which a client has asked on this path.
    pub(crate) fn hold_as_server(
        &self,
        environment: &Environment,
        path: Path,
        chain: &[CertificateDer<'_>],
        socket: &Arc<TcpStream>,
    ) -> Result<Arc<Held>, String> {
        let by_certificate = matches!(path.client_credential(), ClientCredential::Certificate(_));
        let trust = path.server_trust().filter(|_| by_certificate).map(Trust::Slot);
        let counted = self.live(trust).map(|(trust, bundle)| {
            let verifier = PathClientVerifier::new(vec![(path, bundle)], true, &environment.tls());
            let verifier = verifier.map_err(|error| error.to_string())?;
            let admitted = verifier.admit(chain, environment.clock.now());
            admitted.map(|admitted| (trust, admitted.connection)).map_err(|denied| denied.to_string())
        });
        Ok(self.hold(environment, Held::new(path, socket, counted.transpose()?, Shutdown::Read)))
    }

    fn live(&self, trust: Option<Trust>) -> Option<(Trust, LiveBundle)> {
        let trust = trust?;
        self.parts().bundles.get(&trust).map(|bundle| (trust, bundle.clone()))
    }

    fn hold(&self, environment: &Environment, held: Held) -> Arc<Held> {
        let held = Arc::new(held);
        let mut holding = self.holding();
        holding.connections.retain(|held| held.strong_count() > 0);
        holding.connections.push(Arc::downgrade(&held));
        let is_over = holding.is_over;
        drop(holding);
        // What happened before it was among them did not reach it.
        if is_over {
            held.close(Closed::Stopped);
        } else if held.is_orphaned() && environment.closes_orphaned {
            held.close(Closed::Retired);
        }
        held
    }

    /// The connections that it holds.
    pub(crate) fn held(&self) -> Vec<Arc<Held>> {
        self.holding().connections.iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes every connection.
    pub(crate) fn let_go(&self) {
        self.held().iter().for_each(|held| held.close(Closed::Stopped));
    }

    /// Ends: nothing is held from now on.
    pub(crate) fn end(&self) {
        self.holding().is_over = true;
        self.let_go();
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holding(&self) -> MutexGuard<'_, Holding> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What vouches for the servers of a path's client, if it verifies them.
fn client_trust(environment: &Environment, path: Path) -> Option<Trust> {
    match path.server_authority(&environment.hierarchy) {
        ServerAuthority::External => Some(Trust::External),
        _ => path.client_trust().map(Trust::Slot),
    }
}

impl Parts {
    /// Swaps what is there already and keeps what is new: how each bundle that was in use has changed.
    fn take_up(&mut self, material: &Material) -> Vec<(Trust, Swapped)> {
        let slots = material.bundles.iter().filter_map(|(slot, (_, _, anchors))| {
            anchors.certificates().map(|bundle| (Trust::Slot(*slot), Arc::clone(bundle)))
        });
        let external = material.external_bundle.iter().map(|bundle| (Trust::External, Arc::clone(bundle)));
        let mut changed = Vec::new();
        for (trust, bundle) in slots.chain(external) {
            match self.bundles.get(&trust) {
                Some(live) => changed.push((trust, live.swap(bundle))),
                None => drop(self.bundles.insert(trust, LiveBundle::new(bundle))),
            }
        }
        for (leaf, held) in &material.leaves {
            if let Some(identity) = held.identity() {
                show(&mut self.leaves, leaf, identity);
            }
        }
        for (address, identity) in at_addresses(material) {
            show(&mut self.at_address, address, identity);
        }
        if let Some((name, identity)) = &material.by_server_name
            && show(&mut self.by_server_name, name, identity)
        {
            // Which names there are is part of a configuration.
            self.made.servers.clear();
            self.made.servers_at.clear();
        }
        if let Some(identity) = &material.unvouched {
            match &self.unvouched {
                Some(live) => drop(live.swap(identity.clone())),
                None => self.unvouched = Some(identity.into()),
            }
        }
        changed
    }

    /// The configurations for which the material is there. A component that lacks something yet (a node before it has
    /// joined) does not speak on the path.
    fn configs(
        &mut self,
        environment: &Environment,
        id: &ConsumerId,
        material: &Material,
    ) -> Result<Configs, ConfigError> {
        let mut configs = Configs::default();
        for path in Path::of(&environment.hierarchy).filter(|path| path.client() == id.kind()) {
            if let Some(config) = self.client(environment, path, material)? {
                configs.clients.insert(path, config);
            }
        }
        for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| endpoint.component() == id.kind()) {
            let shown = match endpoint.leaf() {
                Some(leaf) => material.leaves.get(&leaf).and_then(|_| self.leaves.get(&leaf)),
                None => material.unvouched.as_ref().and(self.unvouched.as_ref()),
            };
            let Some(shown) = shown.cloned() else { continue };
            let config = match self.made.servers.get(&endpoint) {
                Some(config) => Arc::clone(config),
                None => Arc::new(self.server(environment, endpoint, shown)?),
            };
            self.made.servers.insert(endpoint, Arc::clone(&config));
            configs.servers.insert(endpoint, config);
        }
        for (address, _) in at_addresses(material) {
            let config = match (self.made.servers_at.get(address), self.at_address.get(address)) {
                (Some(config), _) => Arc::clone(config),
                (None, Some(shown)) => Arc::new(self.server(environment, Endpoint::ApiServer, shown.clone())?),
                (None, None) => continue,
            };
            configs.servers_at.insert(address.clone(), config);
        }
        // An address that was left is forgotten.
        self.made.servers_at.clone_from(&configs.servers_at);
        self.at_address.retain(|address, _| configs.servers_at.contains_key(address));
        Ok(configs)
    }

    fn client(
        &mut self,
        environment: &Environment,
        path: Path,
        material: &Material,
    ) -> Result<Option<Arc<ClientConfig>>, ConfigError> {
        let trust = client_trust(environment, path);
        let bundle = trust.and_then(|trust| self.bundles.get(&trust));
        let (needs_identity, identity) = match path.client_credential() {
            ClientCredential::Certificate(leaf) => {
                (true, material.leaves.get(&leaf).and_then(|_| self.leaves.get(&leaf)))
            }
            _ => (false, None),
        };
        if (trust.is_some() && bundle.is_none()) || (needs_identity && identity.is_none()) {
            return Ok(None);
        }
        let config = match self.made.clients.get(&path) {
            Some(config) => Arc::clone(config),
            None => Arc::new(client_config(path, bundle.cloned(), identity.cloned(), &environment.tls())?),
        };
        self.made.clients.insert(path, Arc::clone(&config));
        Ok(Some(config))
    }

    fn server(
        &self,
        environment: &Environment,
        endpoint: Endpoint,
        shown: LiveIdentity,
    ) -> Result<ServerConfig, ConfigError> {
        let paths: Vec<_> = Path::of(&environment.hierarchy).filter(|path| path.endpoint() == endpoint).collect();
        let by_certificate: Vec<_> = paths
            .iter()
            .copied()
            .filter(|path| matches!(path.client_credential(), ClientCredential::Certificate(_)))
            .collect();
        let mandatory = !paths.is_empty() && paths.len() == by_certificate.len();
        let verified = by_certificate.into_iter().map(|path| {
            let bundle = path.server_trust().and_then(|slot| self.bundles.get(&Trust::Slot(slot)));
            bundle.map(|bundle| (path, bundle.clone())).ok_or(ConfigError::MissingBundle(path))
        });
        let verified: Vec<_> = verified.collect::<Result<_, _>>()?;
        let named = self.by_server_name.iter().filter(|_| endpoint == Endpoint::ApiServer);
        let named = named.map(|(name, identity)| (name.clone(), identity.clone())).collect();
        server_config(verified, mandatory, shown, named, &environment.tls())
    }
}

/// Where an API server serves on addresses of the control plane, and what it shows there.
fn at_addresses(material: &Material) -> impl Iterator<Item = (&Address, &TlsIdentity)> {
    let main = material.leaves.get(&LeafKind::ApiServer);
    material.serves.iter().filter_map(move |(address, own)| {
        own.as_ref().or(main).and_then(HeldLeaf::identity).map(|identity| (address, identity))
    })
}

/// Shows this from now on: whether it is the first that is shown there.
fn show<K: Ord + Clone>(shown: &mut BTreeMap<K, LiveIdentity>, at: &K, identity: &TlsIdentity) -> bool {
    match shown.get(at) {
        Some(live) => {
            let _before = live.swap(identity.clone());
            false
        }
        None => shown.insert(at.clone(), identity.into()).is_none(),
    }
}

/// A TCP connection of which another can take hold, to close it.
#[derive(Debug)]
pub(crate) struct Socket(pub(crate) Arc<TcpStream>);

impl io::Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl io::Write for Socket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        (&*self.0).write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use pki_core::{AuthorityRole, CaVersion, Hierarchy, NodeName, Preset};
    use rotation_fsm::VersionRange;
    use rustls::crypto::aws_lc_rs;
    use signer_hsm::SoftwareKeyStore;

    use super::*;
    use crate::authorities::{Authorities, Holder};
    use crate::clock::Clock;

    fn socket() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Arc::new(client), listener.accept().unwrap().0)
    }

    fn environment() -> Environment {
        Environment {
            hierarchy: Hierarchy::preset(Preset::Kubeadm),
            clock: Arc::new(Clock::default()),
            provider: Arc::new(aws_lc_rs::default_provider()),
            closes_orphaned: true,
        }
    }

    #[test]
    fn what_a_process_takes_hold_of_when_it_has_ended_is_closed_at_once() {
        let (environment, process, (socket, mut other)) = (environment(), Process::default(), socket());
        let path = Path::ApiProxyHttps;
        let before = process.hold(&environment, Held::new(path, &socket, None, Shutdown::Both));
        assert_eq!(before.closed(), None);
        process.end();
        assert_eq!(before.closed(), Some(Closed::Stopped));
        assert_eq!(io::Read::read(&mut other, &mut [0]).unwrap(), 0);
        let after = process.hold(&environment, Held::new(path, &socket, None, Shutdown::Both));
        assert_eq!(after.closed(), Some(Closed::Stopped));
    }

    /// The client of a kubelet, and what the kubelet trusts.
    struct Node {
        environment: Environment,
        authorities: Authorities,
        consumer: ConsumerId,
        material: Material,
        process: Process,
        chain: Vec<CertificateDer<'static>>,
    }

    const SLOT: TrustSlot = TrustSlot::KubeletClientCa;

    impl Node {
        fn new() -> Self {
            let environment = environment();
            let now = environment.clock.now();
            let cluster = "miniature".parse().unwrap();
            let authorities =
                Authorities::new(cluster, environment.hierarchy.clone(), Arc::new(SoftwareKeyStore::new()), now)
                    .unwrap();
            let [first, second] = [1, 2].map(|number| CaVersion::new(number).unwrap());
            for version in [first, second] {
                authorities.ensure(AuthorityRole::Cluster, version, now).unwrap();
            }
            let holder = Holder { node: None, names: Vec::new() };
            let leaf = authorities.enrol(LeafKind::ApiServerKubeletClient, first, &holder, now).unwrap();
            let chain = leaf.identity().unwrap().chain().to_vec();
            let name: NodeName = "node-0".parse().unwrap();
            let consumer = ConsumerId::new(pki_core::ComponentKind::Kubelet, name);
            let (material, process) = (Material::default(), Process::default());
            let mut node = Self { environment, authorities, consumer, material, process, chain };
            node.trust(VersionRange::only(first));
            node
        }

        fn trust(&mut self, versions: VersionRange) {
            let anchors = self.authorities.anchors(AuthorityRole::Cluster, versions).unwrap();
            self.material.bundles.insert(SLOT, (AuthorityRole::Cluster, versions, anchors));
            self.process.load(&self.environment, &self.consumer, &self.material).unwrap();
        }

        fn hold(&self, socket: &Arc<TcpStream>) -> Result<Arc<Held>, String> {
            self.process.hold_as_server(&self.environment, Path::ApiKubelet, &self.chain, socket)
        }
    }

    fn second() -> VersionRange {
        VersionRange::only(CaVersion::new(2).unwrap())
    }

    #[test]
    fn retired_trust_closes_what_stood_on_it_and_more_trust_closes_nothing() {
        let (mut node, (socket, mut other)) = (Node::new(), socket());
        let held = node.hold(&socket).unwrap();
        node.trust(VersionRange::between(CaVersion::FIRST, CaVersion::new(2).unwrap()));
        assert_eq!((held.closed(), held.has_outlived()), (None, true));
        node.trust(second());
        assert_eq!(held.closed(), Some(Closed::Retired));
        // This end hears no more, and can still say goodbye.
        io::Write::write_all(&mut Socket(Arc::clone(&socket)), b"bye").unwrap();
        let mut said = [0; 3];
        io::Read::read_exact(&mut other, &mut said).unwrap();
        assert_eq!(&said, b"bye");
        let denied = node.hold(&socket).unwrap_err();
        assert!(denied.contains("no trusted authority issued"), "{denied}");
    }

    /// Admitted under the old trust, and among the held ones only after the swap has gone through them.
    #[test]
    fn a_connection_that_comes_late_to_the_swap_that_orphaned_it_is_closed_too() {
        let (mut node, (socket, _other)) = (Node::new(), socket());
        let (trust, bundle) = node.process.live(Some(Trust::Slot(SLOT))).unwrap();
        let verifier = PathClientVerifier::new(vec![(Path::ApiKubelet, bundle)], true, &node.environment.tls());
        let admitted = verifier.unwrap().admit(&node.chain, node.environment.clock.now()).unwrap();
        node.trust(second());
        let held = Held::new(Path::ApiKubelet, &socket, Some((trust, admitted.connection)), Shutdown::Read);
        assert_eq!(node.process.hold(&node.environment, held).closed(), Some(Closed::Retired));
    }
}
