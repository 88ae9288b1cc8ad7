//! Requests and answers on every path, over and over, while the cluster is rotated under them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pki_core::{ComponentKind, Path};

use crate::clock::{Stopwatch, pause};
use crate::cluster::Shared;
use crate::component::Component;
use crate::dial::{NoAnswer, dialled_name, exchange, health_request};
use crate::report::PathReport;
use crate::server::Listener;

/// Exchanges that run at once.
const WORKERS: usize = 4;
/// Between two exchanges of a worker, so that what rotates gets the processor too.
const PACE: Duration = Duration::from_micros(500);
/// A path on which nothing succeeds for so long is broken.
const ROUND_TIMEOUT_MS: u64 = 30_000;

/// One client and one server on one path.
#[derive(Debug)]
struct Edge {
    path: Path,
    client: Arc<Component>,
    server: Arc<Component>,
    /// The replicas that can answer instead when this one is away.
    others: Vec<Arc<Component>>,
    handshakes: AtomicU64,
    failed: AtomicU64,
    unavailable: AtomicU64,
    first_error: Mutex<Option<String>>,
    /// The last round in which an exchange began and came to an end.
    round: AtomicU64,
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
    pub(crate) broken: Vec<Broken>,
    /// Paths on which nothing succeeded.
    pub(crate) silent: Vec<Broken>,
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
            stop: AtomicBool::new(false),
        });
        let worker = |index: usize| {
            let inner = Arc::clone(&inner);
            std::thread::Builder::new().name(format!("traffic-{index}")).spawn(move || inner.work())
        };
        let workers = (0..WORKERS).map(worker).collect::<Result<_, _>>()?;
        Ok(Self { inner, workers })
    }

    /// Waits until every client has tried every server once more, from now on.
    pub(crate) fn complete_round(&self) {
        let round = self.inner.round.fetch_add(1, Ordering::SeqCst) + 1;
        let watch = Stopwatch::start();
        let done = |edge: &Edge| edge.round.load(Ordering::SeqCst) >= round;
        while !self.inner.edges.iter().all(done) && watch.elapsed_ms() < ROUND_TIMEOUT_MS {
            pause(Duration::from_millis(1));
        }
    }

    /// The exchanges so far. An error stays to be counted until this is asked.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let sum = |counter: fn(&Edge) -> &AtomicU64| -> u64 {
            self.inner.edges.iter().map(|edge| counter(edge).load(Ordering::SeqCst)).sum()
        };
        (sum(|edge| &edge.handshakes), sum(|edge| &edge.failed))
    }

    /// Takes what was counted since the last time.
    pub(crate) fn take(&self) -> Tally {
        let mut tally = Tally::default();
        for edge in &self.inner.edges {
            let take = |counter: &AtomicU64| counter.swap(0, Ordering::SeqCst);
            let (handshakes, failed) = (take(&edge.handshakes), take(&edge.failed));
            let error = edge.first_error.lock().unwrap_or_else(PoisonError::into_inner).take();
            let broken = |error| Broken {
                path: edge.path,
                client: edge.client.id.to_string(),
                server: edge.server.id.to_string(),
                error,
            };
            if failed > 0 {
                tally.broken.push(broken(error.unwrap_or_default()));
            } else if handshakes == 0 {
                tally.silent.push(broken("no exchange succeeded".to_owned()));
            }
            tally.paths.push(PathReport {
                path: edge.path.id().to_owned(),
                client: edge.client.id.to_string(),
                server: edge.server.id.to_string(),
                handshakes,
                failed,
                unavailable: take(&edge.unavailable),
            });
        }
        tally
    }

    /// Ends the traffic, and gives what servers refused without any client having noticed.
    pub(crate) fn stop(self) -> Vec<Broken> {
        self.inner.stop.store(true, Ordering::SeqCst);
        for worker in self.workers {
            drop(worker.join());
        }
        let mut unnoticed = Vec::new();
        for path in Path::of(self.inner.shared.hierarchy()) {
            for server in self.inner.shared.of_kind(path.server()) {
                let refusals = server.listeners.get(&path.endpoint()).map(Listener::take_refusals).unwrap_or_default();
                unnoticed.extend(refusals.into_iter().map(|(client, error)| Broken {
                    path,
                    client: client.to_string(),
                    server: server.id.to_string(),
                    error,
                }));
            }
        }
        unnoticed
    }
}

impl Inner {
    fn work(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            let index = self.next.fetch_add(1, Ordering::SeqCst);
            if let Some(edge) = index.checked_rem(self.edges.len()).and_then(|index| self.edges.get(index)) {
                self.attempt(edge);
            }
            pause(PACE);
        }
    }

    fn attempt(&self, edge: &Edge) {
        let round = self.round.load(Ordering::SeqCst);
        let outcome = match self.exchange(edge, &edge.server) {
            // A client of a replicated service takes the next replica.
            Some(Err(NoAnswer::Unavailable)) => {
                let next = edge.others.iter().filter_map(|other| self.exchange(edge, other));
                match { next }.find(|outcome| *outcome != Err(NoAnswer::Unavailable)) {
                    // The answer is another edge's; this one is tried again in its turn.
                    Some(Ok(())) => return,
                    Some(other) => other,
                    None => Err(NoAnswer::Unavailable),
                }
            }
            Some(outcome) => outcome,
            // The client itself is away.
            None => return,
        };
        match outcome {
            Ok(()) => {
                edge.handshakes.fetch_add(1, Ordering::SeqCst);
                edge.round.fetch_max(round, Ordering::SeqCst);
            }
            Err(NoAnswer::Unavailable) => {
                edge.unavailable.fetch_add(1, Ordering::SeqCst);
            }
            Err(NoAnswer::Failed(error)) => {
                edge.failed.fetch_add(1, Ordering::SeqCst);
                edge.first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                edge.round.fetch_max(round, Ordering::SeqCst);
            }
        }
    }

    fn exchange(&self, edge: &Edge, server: &Component) -> Option<Result<(), NoAnswer>> {
        if !edge.client.is_running() {
            return None;
        }
        let loaded = edge.client.loaded();
        let config = Arc::clone(loaded.client(edge.path)?);
        let listener = server.listeners.get(&edge.path.endpoint())?;
        let name = match dialled_name(&self.shared, edge.path, server) {
            Ok(name) => name,
            Err(error) => return Some(Err(error)),
        };
        let request = health_request(&self.shared, edge.path, &loaded);
        Some(exchange(config, name, listener, &request).and_then(|response| match response.status {
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
            for server in of(path.server()).iter().filter(|server| dials(path, client, server)) {
                let others = of(path.server()).iter().filter(|other| is_replicated(path) && other.id != server.id);
                edges.push(Edge {
                    path,
                    client: Arc::clone(client),
                    server: Arc::clone(server),
                    others: others.cloned().collect(),
                    handshakes: AtomicU64::new(0),
                    failed: AtomicU64::new(0),
                    unavailable: AtomicU64::new(0),
                    first_error: Mutex::default(),
                    round: AtomicU64::new(0),
                });
            }
        }
    }
    edges
}

/// Peers dial each other and not themselves; a gateway dials itself and nobody else.
fn dials(path: Path, client: &Component, server: &Component) -> bool {
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
