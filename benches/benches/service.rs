//! What it costs to have the key in another process: certificates over a Unix socket beside certificates from the pipeline alone.
//!
//! Every number is a median of rounds, in which the ways take turns, so that a machine with other work slows all of them. Once
//! with a log that the kernel has when a certificate is answered, which the bounds are for, and once with one that the disk has,
//! beside what the disk takes for as much.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::{Authority, Case, Setup};
use getrandom::SysRng;
use pki_core::verify::aws_lc_rs;
use pki_core::{
    AuthorityRole, CaVersion, CertificationRequest, KeyAlgorithm, LeafKind, Limits, NodeName, Serial, Signer,
};
use signer_hsm::service::client::{CurrentAuthority, Endpoint, Expected, Order};
use signer_hsm::service::limits::{Clock, Rate, ServerLimits};
use signer_hsm::service::log::Durability;
use signer_hsm::service::policy::{ClusterPolicy, LeafRule, NameRule, Network};
use signer_hsm::service::protocol::{Ask, Request, RequestId};
use signer_hsm::service::server::Peers;
use signer_hsm::service::{CallerId, Client, ClusterConfig, Generation, IssuingService, Server, ServiceConfig};
use time::UtcDateTime;

const LEAF: LeafKind = LeafKind::KubeletServing;
const ROLE: AuthorityRole = AuthorityRole::Cluster;
/// What a certificate may cost more than in-process, without the client's check.
const ADDED_MAX: Duration = Duration::from_micros(40);
/// How much of the in-process throughput must be left when many are asked for at once.
const RATIO_MIN: f64 = 0.9;

#[derive(Debug)]
struct BenchClock(UtcDateTime, Instant);

impl Clock for BenchClock {
    fn now(&self) -> UtcDateTime {
        self.0
    }

    #[expect(clippy::disallowed_methods, reason = "deadlines of real sockets")]
    fn monotonic(&self) -> Duration {
        self.1.elapsed()
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed<T>(work: impl FnOnce() -> Setup<T>) -> Setup<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

fn median(mut times: Vec<Duration>, each: u32) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default() / each
}

fn request_id() -> Setup<RequestId> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    Ok(RequestId(id))
}

/// What the disk takes to have the two entries of a certificate.
fn disk(directory: &Path) -> Setup<Duration> {
    let mut file = File::create(directory.join("floor"))?;
    let entries = [0xa5; 1 << 10];
    let mut times = Vec::new();
    for _ in 0..64 {
        times.push(timed(|| {
            for _ in 0..2 {
                file.write_all(&entries)?;
                file.sync_data()?;
            }
            Ok(())
        })?);
    }
    Ok(median(times, 1))
}

#[expect(clippy::disallowed_methods, reason = "the clock begins")]
fn measure(rounds: usize, durability: Durability) -> Setup<bool> {
    let authority = Authority::generate(KeyAlgorithm::P256)?;
    let cases = Case::all(KeyAlgorithm::P256, &authority)?;
    let each = u32::try_from(cases.len())?;
    let Authority { issuer, signer, now, .. } = authority;
    let (signer, certificate): (Arc<dyn Signer>, _) = (Arc::new(signer), issuer.certificate().clone());

    let directory = tempfile::tempdir()?;
    let clock: Arc<dyn Clock> = Arc::new(BenchClock(now, Instant::now()));
    let serials = Box::new(|| Ok(Serial::generate(&mut SysRng)?));
    let config = ServiceConfig::new(Arc::clone(&clock), serials, aws_lc_rs()).with_durability(durability);
    let service = Arc::new(IssuingService::open(directory.path(), config)?);
    let network = |text: &str, bits| -> Setup<Network> { Ok(Network::new(text.parse()?, bits).ok_or("a network")?) };
    let names: Vec<_> =
        cases.iter().map(|case| Expected::of_request(&case.request, aws_lc_rs())).collect::<Result<_, _>>()?;
    let short = (0..256)
        .map(|node| pki_core::SubjectAltName::dns(&format!("node-{node:03}")))
        .collect::<Result<Vec<_>, _>>()?;
    let allowed = NameRule::none()
        .under("pool-a.example".parse()?)
        .exactly(short)
        .within(network("10.0.0.0", 8)?)
        .within(network("fd00::", 16)?);
    let policy = ClusterPolicy::new().with_leaf(LEAF, LeafRule::new(time::Duration::days(365)).with_names(allowed));
    let caller = CallerId::new("bench");
    let rate = Rate::new(1_000_000, 1_000_000).ok_or("a rate")?;
    service.add_cluster(ClusterConfig::new("bench".parse()?, policy).with_caller(caller.clone()).with_rate(rate))?;
    let generation = Generation::new(CaVersion::FIRST, certificate.clone(), [LEAF], Arc::clone(&signer))?;
    service.install(&"bench".parse()?, ROLE, generation)?;
    let server = Server::issuing(Arc::clone(&service), ServerLimits::DEFAULT);
    let socket = directory.path().join("socket");
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(directory.path())?);
    server.listen_unix(&socket, 0o600, Peers::new().with_user(uid, caller.clone()))?;
    let mut client = Client::new(Endpoint::Unix(socket), clock, aws_lc_rs(), Duration::from_secs(60));
    let current: CurrentAuthority = client.current(&"bench".parse()?, ROLE)?;

    let orders = || -> Setup<Vec<Order>> {
        let order = |(number, (case, expected)): (usize, (&Case, &Expected))| -> Setup<Order> {
            let node: NodeName = format!("node-{number:03}.pool-a.example").parse()?;
            let ask = Ask::leaf(LEAF, Some(&node), case.request.to_vec());
            Ok(Order::new(request_id()?, "bench".parse()?, ROLE, &current, ask, expected.clone()))
        };
        cases.iter().zip(&names).enumerate().map(order).collect()
    };
    let [mut alone, mut checks, mut direct, mut single, mut pipelined] = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        alone.push(timed(|| {
            for case in &cases {
                let request = CertificationRequest::parse(&case.request, &Limits::DEFAULT)?.verify(aws_lc_rs())?;
                let prepared = issuer.prepare(LEAF, request, &case.approval, Serial::generate(&mut SysRng)?, now)?;
                std::hint::black_box(prepared.sign(&*signer, aws_lc_rs())?);
            }
            Ok(())
        })?);
        let requests = cases.iter().enumerate().map(|(number, case)| {
            let node: NodeName = format!("node-{number:03}.pool-a.example").parse()?;
            let ask = Ask::leaf(LEAF, Some(&node), case.request.to_vec());
            let (cluster, role) = ("bench".to_owned(), ROLE.id().to_owned());
            Ok(Request { sequence: 0, id: request_id()?, cluster, role, epoch: current.epoch, ask })
        });
        let requests = requests.collect::<Setup<Vec<_>>>()?;
        direct.push(timed(|| {
            requests
                .iter()
                .for_each(|request| drop(std::hint::black_box(service.answer(&caller, std::slice::from_ref(request)))));
            Ok(())
        })?);
        let asked = orders()?;
        let mut certificates = Vec::new();
        single.push(timed(|| {
            for order in &asked {
                certificates.push(client.issue(order)?);
            }
            Ok(())
        })?);
        checks.push(timed(|| {
            for (expected, issued) in names.iter().zip(&certificates) {
                expected.check(issued, &certificate, aws_lc_rs(), now)?;
            }
            Ok(())
        })?);
        let asked = orders()?;
        pipelined.push(timed(|| {
            for issued in client.issue_all(&asked) {
                std::hint::black_box(issued?);
            }
            Ok(())
        })?);
    }
    let [alone, checks, direct, single, pipelined] =
        [alone, checks, direct, single, pipelined].map(|times| median(times, each));
    let added = single.saturating_sub(alone).saturating_sub(checks);
    let ratio = alone.as_secs_f64() / pipelined.as_secs_f64();
    println!("log: {durability:?}");
    println!("in-process                     {alone:>10.1?} for a certificate");
    println!("service without a socket       {direct:>10.1?}");
    println!("service, one after another     {single:>10.1?}");
    println!("  of which the client's check  {checks:>10.1?}");
    match durability {
        Durability::Written => println!("  of which the service adds    {added:>10.1?}, at most {ADDED_MAX:?}"),
        _ => {
            println!("  of which the service adds    {added:>10.1?}");
            println!("  of which the disk takes      {:>10.1?}", disk(directory.path())?);
        }
    }
    println!("service, many at once          {pipelined:>10.1?}, client's check included");
    println!("  throughput beside in-process {ratio:>10.2}, at least {RATIO_MIN}\n");
    server.drain(Duration::from_secs(5));
    let adds_little = durability != Durability::Written || added <= ADDED_MAX;
    Ok(adds_little && ratio >= RATIO_MIN)
}

fn main() {
    // One quick pass says whether it runs; how fast is no question then.
    let is_quick = std::env::args().any(|argument| argument == "--test");
    let (many, few) = if is_quick { (1, 1) } else { (21, 5) };
    let is_within = measure(many, Durability::Written).expect("a service");
    let is_within = measure(few, Durability::Synced).expect("a service") && is_within;
    if !is_within && !is_quick {
        println!("NOT within the bounds");
    }
}
