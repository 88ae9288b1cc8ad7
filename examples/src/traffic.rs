//! Requests and answers on every path, over and over, while the cluster is rotated under them; and on every path between
//! every two a connection that is held, and asked over in between.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pki_core::{AuthorityId, ComponentKind, Path};
use rotation_fsm::Machine;

use crate::clock::{Stopwatch, pause};
use crate::cluster::Shared;
use crate::component::Component;
use crate::dial::{HeldConnection, NoAnswer, Over, Why, exchange, health_request, way};
use crate::report::{ConnectionReport, HeldReport, PathReport};
use crate::wire::Request;

/// Exchanges that run at once.
const WORKERS: usize = 4;
/// Between two exchanges of a worker, so that what rotates gets the processor too.
const PACE: Duration = Duration::from_micros(500);
/// A path on which nothing succeeds for so long is broken.
const ROUND_TIMEOUT_MS: u64 = 30_000;

/// One client and one server on one path.
struct Edge {
    path: Path,
    client: Arc<Component>,
    server: Arc<Component>,
    /// The edges to the replicas that can answer instead when this one is away.
    others: Vec<usize>,
    handshakes: AtomicU64,
    unavailable: AtomicU64,
    failures: Mutex<Failures>,
    /// The last round in which an exchange began and came to an end.
    round: AtomicU64,
    held: Mutex<Option<HeldConnection>>,
    /// The last round in which the held connection was looked at.
    looked: AtomicU64,
    /// What became of the held connections since this was last taken.
    connections: Mutex<ConnectionReport>,
}

/// How often an edge has failed, and how first. One lock for both: neither is told without the other.
#[derive(Debug, Default)]
struct Failures {
    count: u64,
    first: Option<String>,
}

/// A path that is broken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The path.
    pub path: Path,
    /// The client's name.
    pub client: String,
    /// The server's name.
    pub server: String,
    /// The first error, of the side that refused.
    pub error: String,
}

/// What one stage's traffic came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) paths: Vec<PathReport>,
    /// Paths on which something failed, nothing succeeded, or no replica answered.
    pub(crate) broken: Vec<Broken>,
    /// What became of the connections that were held.
    pub(crate) connections: ConnectionReport,
}

/// The traffic of a cluster, running.
pub(crate) struct Traffic {
    inner: Arc<Inner>,
    workers: Vec<JoinHandle<()>>,
}

struct Inner {
    shared: Arc<Shared>,
    edges: Vec<Edge>,
    next: AtomicUsize,
    round: AtomicU64,
    /// Per worker, the round in which its present exchange began; 0 between two exchanges.
    busy_since: [AtomicU64; WORKERS],
    stop: AtomicBool,
}

impl Traffic {
    /// Begins traffic between every client and every server of every path.
    pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Self> {
        let inner = Arc::new(Inner {
            shared: Arc::clone(shared),
            edges: edges(shared),
            next: AtomicUsize::new(0),
            round: AtomicU64::new(1),
            busy_since: Default::default(),
            stop: AtomicBool::new(false),
        });
        let worker = |index: usize| {
            let inner = Arc::clone(&inner);
            std::thread::Builder::new().name(format!("traffic-{index}")).spawn(move || inner.work(index))
        };
        let workers = (0..WORKERS).map(worker).collect::<Result<_, _>>()?;
        Ok(Self { inner, workers })
    }

    /// Waits until every client has tried every server once more, from now on, and everything that began before has
    /// ended. Gives the paths on which that did not happen in time.
    pub(crate) fn complete_round(&self) -> Vec<Broken> {
        let round = self.inner.round.fetch_add(1, Ordering::SeqCst) + 1;
        let watch = Stopwatch::start();
        let is_done = |edge: &Edge| {
            let last = edge.round.load(Ordering::SeqCst).min(edge.looked.load(Ordering::SeqCst));
            edge.is_asleep() || last >= round
        };
        let is_old = |busy: &AtomicU64| (1..round).contains(&busy.load(Ordering::SeqCst));
        loop {
            let late: Vec<_> = self.inner.edges.iter().filter(|edge| !is_done(edge)).collect();
            if late.is_empty() && !self.inner.busy_since.iter().any(is_old) {
                return Vec::new();
            }
            if watch.elapsed_ms() >= ROUND_TIMEOUT_MS {
                return late.into_iter().map(|edge| edge.broken("no exchange came to an end".to_owned())).collect();
            }
            pause(Duration::from_millis(1));
        }
    }

    /// The exchanges so far. An error stays to be counted until this is asked.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let edges = || self.inner.edges.iter();
        let handshakes = edges().map(|edge| edge.handshakes.load(Ordering::SeqCst)).sum();
        (handshakes, edges().map(|edge| edge.failures().count).sum())
    }

    /// Takes what was counted since the last time.
    pub(crate) fn take(&self) -> Tally {
        let mut tally = Tally::default();
        for edge in &self.inner.edges {
            let take = |counter: &AtomicU64| counter.swap(0, Ordering::SeqCst);
            let (handshakes, unavailable) = (take(&edge.handshakes), take(&edge.unavailable));
            let Failures { count: failed, first } = std::mem::take(&mut *edge.failures());
            if let Some(error) = first {
                tally.broken.push(edge.broken(error));
            } else if handshakes == 0 && edge.is_asleep() {
                // Nobody expects anything of it.
            } else if handshakes == 0 {
                tally.broken.push(edge.broken("no exchange succeeded".to_owned()));
            } else if unavailable > 0 && !edge.others.is_empty() {
                tally.broken.push(edge.broken("no replica was available".to_owned()));
            }
            let connections = std::mem::take(&mut *edge.connections());
            tally.connections.add(connections);
            tally.paths.push(PathReport {
                path: edge.path.id().to_owned(),
                client: edge.client.id.to_string(),
                server: edge.server.id.to_string(),
                handshakes,
                failed,
                declared_losses: 0,
                unavailable,
                held: edge.held_now(&self.inner.shared),
                retired: connections.retired,
                stopped: connections.stopped,
            });
        }
        tally
    }

    /// The connections that stand on generations which are not in force any more, in words.
    pub(crate) fn on_retired_authorities(&self, machine: &Machine) -> Vec<String> {
        let shared = &self.inner.shared;
        let mut found = Vec::new();
        for component in shared.components() {
            for held in component.held() {
                let anchor = held.anchor().and_then(|anchor| shared.authorities().generation_of(anchor));
                let Some((role, version)) = anchor else { continue };
                if machine.authority(role).map(|record| record.version) != Some(version) {
                    let (path, id) = (held.path, &component.id);
                    found.push(format!(
                        "{path}: `{id}` holds a connection whose other end `{role}/{version}` vouches for"
                    ));
                }
            }
        }
        found
    }

    /// Ends the traffic, and gives what failed since the last count, and what servers refused without any client
    /// having noticed; and what became of the connections that were held since the last count.
    pub(crate) fn stop(self) -> (Vec<Broken>, ConnectionReport) {
        self.inner.stop.store(true, Ordering::SeqCst);
        let panicked = self.workers.into_iter().filter_map(|worker| worker.join().err()).count();
        let mut connections = ConnectionReport::default();
        for edge in &self.inner.edges {
            if let Some(held) = edge.held().take() {
                edge.ended(held.end(None));
            }
            connections.add(*edge.connections());
        }
        let failed = |edge: &Edge| edge.failures().first.take().map(|error| edge.broken(error));
        let mut broken: Vec<_> = self.inner.edges.iter().filter_map(failed).collect();
        for edge in &self.inner.edges {
            let at_address = edge.server.listeners_at();
            let own = edge.server.listeners.get(&edge.path.endpoint());
            let refusals = own.into_iter().chain(at_address.values()).flat_map(|listener| listener.unasked_refusals());
            broken.extend(refusals.map(|(_, refusal)| edge.broken(refusal)));
        }
        if let (1.., Some(edge)) = (panicked, self.inner.edges.first()) {
            broken.push(edge.broken("a client's thread ended early".to_owned()));
        }
        (broken, connections)
    }
}

impl Edge {
    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Option<HeldConnection>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, ConnectionReport> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a held connection that is over: why the path is broken by that, if it is.
    fn ended(&self, over: Over) -> Option<String> {
        let mut connections = self.connections();
        connections.kept += u64::from(over.outlived);
        let (count, broken) = match over.why {
            Why::Done => (&mut connections.remained, None),
            Why::Stopped => (&mut connections.stopped, None),
            Why::Retired => (&mut connections.retired, None),
            Why::Broken(error) => (&mut connections.broken, Some(error)),
        };
        *count += 1;
        broken
    }

    /// The connection that is held, and whom its two ends take each other for.
    fn held_now(&self, shared: &Shared) -> Option<HeldReport> {
        if self.is_asleep() {
            return None;
        }
        let held = self.held();
        let held = held.as_ref()?;
        let name = |anchor: AuthorityId| match shared.authorities().generation_of(anchor) {
            Some((role, version)) => format!("{role}/{version}"),
            None => "external".to_owned(),
        };
        let at_server = self.server.held();
        let at_server = at_server.iter().find(|end| end.path == self.path && end.leads_to(held.local()));
        Some(HeldReport {
            port: held.local().port(),
            server_anchor: held.anchor().map(name),
            client_anchor: at_server.and_then(|end| end.anchor()).map(name),
        })
    }

    fn is_asleep(&self) -> bool {
        self.client.is_asleep() || self.server.is_asleep()
    }

    fn count(&self, outcome: Result<(), NoAnswer>, round: u64) {
        match outcome {
            Ok(()) => {
                self.handshakes.fetch_add(1, Ordering::SeqCst);
                self.round.fetch_max(round, Ordering::SeqCst);
            }
            Err(NoAnswer::Unavailable) => {
                self.unavailable.fetch_add(1, Ordering::SeqCst);
            }
            Err(NoAnswer::Failed(error)) => {
                let mut failures = self.failures();
                failures.count += 1;
                failures.first.get_or_insert(error);
                drop(failures);
                self.round.fetch_max(round, Ordering::SeqCst);
            }
        }
    }

    fn broken(&self, error: String) -> Broken {
        let (client, server) = (self.client.id.to_string(), self.server.id.to_string());
        Broken { path: self.path, client, server, error }
    }
}

impl Inner {
    fn work(&self, worker: usize) {
        while !self.stop.load(Ordering::SeqCst) {
            let index = self.next.fetch_add(1, Ordering::SeqCst);
            let round = self.round.load(Ordering::SeqCst);
            if let Some(busy) = self.busy_since.get(worker) {
                busy.store(round, Ordering::SeqCst);
            }
            if let Some(edge) = index.checked_rem(self.edges.len()).and_then(|index| self.edges.get(index)) {
                self.attempt(edge, round);
                self.look(edge, round);
            }
            if let Some(busy) = self.busy_since.get(worker) {
                busy.store(0, Ordering::SeqCst);
            }
            pause(PACE);
        }
    }

    fn attempt(&self, edge: &Edge, round: u64) {
        // A client of a replicated service takes the next replica; what comes of it is that replica's edge's. Asked one
        // after the other, two replicas that restart in turn can both seem away: so it asks all of them again.
        let others = || edge.others.iter().filter_map(|index| self.edges.get(*index));
        let everybody = core::iter::once(edge).chain(others());
        let again = others().chain((!edge.others.is_empty()).then_some(edge));
        for tried in everybody.chain(again) {
            match self.exchange(tried) {
                Some(Err(NoAnswer::Unavailable)) => {}
                Some(outcome) => return tried.count(outcome, round),
                // The client itself is away.
                None => return,
            }
        }
        edge.count(Err(NoAnswer::Unavailable), round);
    }

    /// Asks over the connection that is held, or dials another one if that one is over.
    fn look(&self, edge: &Edge, round: u64) {
        // Where another worker looks, there is no need to.
        let Ok(mut held) = edge.held.try_lock() else { return };
        if !edge.client.is_running() || edge.is_asleep() {
            return;
        }
        let loaded = edge.client.loaded();
        if loaded.client(edge.path).is_none() {
            return;
        }
        let request = Request { once: false, ..health_request(&self.shared, edge.path, &loaded) };
        if let Some(connection) = held.as_mut() {
            let Err(found) = connection.ask(&request) else {
                edge.looked.fetch_max(round, Ordering::SeqCst);
                return;
            };
            let over = held.take().map(|connection| connection.end(Some(found)));
            if let Some(error) = over.and_then(|over| edge.ended(over)) {
                edge.count(Err(NoAnswer::Failed(format!("a held connection ended: {error}"))), round);
            }
        }
        let dialled = way(&self.shared, edge.path, &loaded, &edge.server)
            .and_then(|way| HeldConnection::dial(self.shared.environment(), edge.path, &loaded, way, &request));
        match dialled {
            Ok(connection) => {
                *held = Some(connection);
                edge.connections().held += 1;
                edge.count(Ok(()), round);
            }
            // Whether somebody has to be there is told by the exchanges.
            Err(NoAnswer::Unavailable) => return,
            Err(failed) => edge.count(Err(failed), round),
        }
        edge.looked.fetch_max(round, Ordering::SeqCst);
    }

    fn exchange(&self, edge: &Edge) -> Option<Result<(), NoAnswer>> {
        if !edge.client.is_running() || edge.is_asleep() {
            return None;
        }
        let loaded = edge.client.loaded();
        let config = Arc::clone(loaded.client(edge.path)?);
        let way = match way(&self.shared, edge.path, &loaded, &edge.server) {
            Ok(way) => way,
            Err(error) => return Some(Err(error)),
        };
        let request = health_request(&self.shared, edge.path, &loaded);
        Some(exchange(config, &way, &request).and_then(|response| match response.status {
            200 => Ok(()),
            status => Err(NoAnswer::Failed(format!("{status} {}", String::from_utf8_lossy(&response.body)))),
        }))
    }
}

/// Every client against every server of every path of the hierarchy.
fn edges(shared: &Shared) -> Vec<Edge> {
    let mut by_kind: BTreeMap<ComponentKind, Vec<Arc<Component>>> = BTreeMap::new();
    for component in shared.components() {
        by_kind.entry(component.id.kind()).or_default().push(Arc::clone(component));
    }
    let of = |kind| by_kind.get(&kind).map(Vec::as_slice).unwrap_or_default();
    let mut edges = Vec::new();
    for path in Path::of(shared.hierarchy()) {
        for client in of(path.client()) {
            let first = edges.len();
            let servers: Vec<_> = of(path.server()).iter().filter(|server| dials(path, client, server)).collect();
            for (index, server) in servers.iter().enumerate() {
                let replicas = if is_replicated(path) { servers.len() } else { 0 };
                edges.push(Edge {
                    path,
                    client: Arc::clone(client),
                    server: Arc::clone(server),
                    others: (0..replicas).filter(|other| *other != index).map(|other| first + other).collect(),
                    handshakes: AtomicU64::new(0),
                    unavailable: AtomicU64::new(0),
                    failures: Mutex::default(),
                    round: AtomicU64::new(0),
                    held: Mutex::default(),
                    looked: AtomicU64::new(0),
                    connections: Mutex::default(),
                });
            }
        }
    }
    edges
}

/// Peers dial each other and not themselves; a gateway dials itself and nobody else.
pub(crate) fn dials(path: Path, client: &Component, server: &Component) -> bool {
    match path {
        Path::EtcdGateway => client.id == server.id,
        _ => client.id != server.id,
    }
}

/// Whether any replica serves as well as any other.
fn is_replicated(path: Path) -> bool {
    match path.server() {
        ComponentKind::KubeApiServer => path != Path::CpInternal,
        ComponentKind::Etcd => path == Path::ApiEtcd,
        _ => false,
    }
}
