//! From requests to certificates, beside the floor and the peers: one table, whose ratios are of the same run.
//!
//! All ways of a group take turns, so that what slows the machine slows all of them, and each counts the processor time of its own
//! thread. Criterion measures one bench after the other and by the wall clock, which on a machine with other work says little
//! about ratios of a few per cent.

#![expect(clippy::expect_used, reason = "a bench that cannot do its work must stop, not measure the refusal")]

use std::env;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use benches::peers::x509_cert::X509CertIssuer;
use benches::{Authority, Case, Outside, Series, Setup, Spread, Way, judge, measure, ours, peers};
use pki_core::verify::{SubjectPublicKey, Verifiers, aws_lc_rs, rustcrypto};
use pki_core::{KeyAlgorithm, SelfCheck, Signer};
use signer_hsm::{Provider, SoftwareKey};

const FLOOR: &str = "floor: verify, sign on aws-lc-rs";
const CHECKED_FLOOR: &str = "floor of the self-check: verify, sign, verify";
const FASTEST: &str = "the fastest verification and signature of any provider";
const PIPELINE: &str = "**pipeline**";
const CHECKED_PIPELINE: &str = "**pipeline**, self-check";
const PIPELINE_PEM: &str = "**pipeline**, PEM in and out";
const RUSTCRYPTO_PIPELINE: &str = "**pipeline** on RustCrypto";
const RCGEN: &str = "rcgen on aws-lc-rs";
const RCGEN_PEM: &str = "rcgen on aws-lc-rs, PEM in and out";
const RCGEN_RING: &str = "rcgen on ring";
const X509_CERT: &str = "x509-cert on RustCrypto";
const X509_CERT_AWS: &str = "x509-cert on aws-lc-rs";
#[cfg(feature = "openssl")]
const OPENSSL: &str = "openssl";

/// How much more two threads have to do than one.
const SCALING_MIN: f64 = 1.8;

/// What a batch has to reach of the floor's rate on as many threads.
const STORM_MIN: f64 = 0.95;

/// What is measured together, because it has one floor.
struct Group {
    id: &'static str,
    title: &'static str,
    request: KeyAlgorithm,
    authority: KeyAlgorithm,
    /// What the pipeline may take, of the floor.
    pipeline_max: f64,
}

const GROUPS: [Group; 6] = [
    Group {
        id: "p256",
        title: "P-256 request, P-256 CA",
        request: KeyAlgorithm::P256,
        authority: KeyAlgorithm::P256,
        pipeline_max: 1.05,
    },
    Group {
        id: "rsa2048-request",
        title: "RSA-2048 request, P-256 CA",
        request: KeyAlgorithm::Rsa2048,
        authority: KeyAlgorithm::P256,
        pipeline_max: 1.07,
    },
    Group {
        id: "rsa2048-ca",
        title: "P-256 request, RSA-2048 CA",
        request: KeyAlgorithm::P256,
        authority: KeyAlgorithm::Rsa2048,
        pipeline_max: 1.02,
    },
    Group {
        id: "rsa4096-ca",
        title: "P-256 request, RSA-4096 CA",
        request: KeyAlgorithm::P256,
        authority: KeyAlgorithm::Rsa4096,
        pipeline_max: 1.02,
    },
    Group {
        id: "p384",
        title: "P-384 request, P-384 CA",
        request: KeyAlgorithm::P384,
        authority: KeyAlgorithm::P384,
        pipeline_max: 1.05,
    },
    Group {
        id: "ed25519",
        title: "Ed25519 request, Ed25519 CA",
        request: KeyAlgorithm::Ed25519,
        authority: KeyAlgorithm::Ed25519,
        pipeline_max: 1.05,
    },
];

impl Group {
    /// What is asked of a way: at most so much of what another one takes.
    fn targets(&self, way: &str) -> Vec<(&'static str, f64)> {
        match way {
            PIPELINE if self.authority == KeyAlgorithm::P256 => vec![(FLOOR, self.pipeline_max), (RCGEN, 0.97)],
            PIPELINE => vec![(FLOOR, self.pipeline_max)],
            PIPELINE_PEM if self.id == "p256" => vec![(FLOOR, 1.07)],
            _ => Vec::new(),
        }
    }
}

fn is_elliptic(algorithm: KeyAlgorithm) -> bool {
    matches!(algorithm, KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Ed25519)
}

/// Which side of its bound the whole interval is on.
fn verdict(spread: Spread, bound: f64) -> &'static str {
    if spread.high <= bound {
        "met"
    } else if spread.low > bound {
        "**missed**"
    } else {
        "open: within the interval"
    }
}

/// The same of a bound that is to be reached.
fn reached(spread: Spread, bound: f64) -> &'static str {
    if spread.low >= bound {
        "met"
    } else if spread.high < bound {
        "**missed**"
    } else {
        "open: within the interval"
    }
}

fn micros(value: f64) -> String {
    let digits = if value < 100.0 { 1 } else { 0 };
    format!("{value:.digits$}")
}

/// The verification of RustCrypto as the pipeline calls it.
fn verify_on_rustcrypto(case: &Case) -> Setup<()> {
    let algorithm = Verifiers::algorithms(rustcrypto())
        .iter()
        .find(|algorithm| algorithm.signature_alg_id() == case.algorithm.certificate_signature().identifier());
    let key = SubjectPublicKey::parse(&case.spki)?;
    let verified = algorithm.ok_or("an algorithm")?.verify_signature(key.bits(), &case.info, &case.signature);
    Ok(verified.map_err(|_opaque| "a signature of RustCrypto")?)
}

/// Signs into a buffer on the stack, as a signer does.
fn sign_with(signer: &dyn Signer, case: &Case) -> Setup<usize> {
    let mut buffer = [0; 512];
    Ok(signer.sign(&case.tbs, &mut buffer)?)
}

/// Measures a group and prints its rows.
fn run(group: &Group, arguments: &Arguments, programs: &[(String, PathBuf)]) -> Setup<()> {
    let authority = &Authority::generate(group.authority)?;
    let cases = &Case::all(group.request, authority)?;
    let outside = programs
        .iter()
        .map(|(name, program)| Ok((name, Outside::start(program, authority, cases)?)))
        .collect::<Setup<Vec<_>>>()?;
    let mut buffers = [[0; 512]; 4];
    let [sign, floor, checked, ring] = &mut buffers;

    let check = SelfCheck::ExceptInProcess;
    let issue = |case: &Case, check| ours::issue(authority, case, &case.request, &authority.signer, aws_lc_rs(), check);
    let rust_signer = is_elliptic(group.authority)
        .then(|| SoftwareKey::from_pkcs8_der_with(Provider::RustCrypto, &authority.pkcs8))
        .transpose()?;
    let x509_cert = (group.id == "p256").then(|| X509CertIssuer::new(authority)).transpose()?;
    #[cfg(feature = "openssl")]
    let openssl = peers::openssl::OpensslIssuer::new(authority)?;

    let mut ways = vec![
        Way::part("verify on aws-lc-rs", cases, |case| Ok(case.public_key.verify(&case.info, &case.signature)?)),
        Way::part("verify on ring", cases, |case| {
            let verified = case.ring_public_key.verify(&case.info, &case.signature);
            Ok(verified.map_err(|_opaque| "a signature of ring")?)
        }),
        Way::part("sign on aws-lc-rs", cases, |case| authority.key.sign(&case.tbs, sign).map(<[u8]>::len)),
        Way::part("sign on ring", cases, |case| authority.ring_key.sign(&case.tbs, ring).map(<[u8]>::len)),
    ];
    if is_elliptic(group.request) {
        ways.push(Way::part("verify on RustCrypto", cases, verify_on_rustcrypto));
    }
    if let Some(signer) = &rust_signer {
        ways.push(Way::part("sign on RustCrypto", cases, |case| sign_with(signer, case)));
    }
    let parts = ways.len();

    if let Some(signer) = rust_signer.as_ref().filter(|_| is_elliptic(group.request)) {
        let signer: &dyn Signer = signer;
        ways.push(Way::issuing(RUSTCRYPTO_PIPELINE, cases, move |case| {
            ours::issue(authority, case, &case.request, signer, rustcrypto(), check)
        }));
    }
    if let Some(x509_cert) = &x509_cert {
        ways.push(Way::issuing(X509_CERT_AWS, cases, move |case| x509_cert.issue_on_aws_lc_rs(case)));
        ways.push(Way::issuing(X509_CERT, cases, move |case| x509_cert.issue(case)));
    }
    #[cfg(feature = "openssl")]
    ways.push(Way::issuing(OPENSSL, cases, |case| openssl.issue(case)));
    ways.extend(outside.iter().map(|(name, peer)| Way::outside(name, peer)));
    // Last, and so beside each other: what is compared to a few per cent is measured in the same state of the machine.
    let others = ways.len();
    ways.push(Way::part(FLOOR, cases, |case| {
        case.public_key.verify(&case.info, &case.signature)?;
        authority.key.sign(&case.tbs, floor).map(<[u8]>::len)
    }));
    ways.push(Way::issuing(PIPELINE, cases, |case| issue(case, SelfCheck::ExceptInProcess)));
    ways.push(Way::issuing(RCGEN, cases, |case| peers::rcgen(authority, case)));
    ways.push(Way::issuing(PIPELINE_PEM, cases, |case| ours::issue_pem(authority, case, aws_lc_rs(), check)));
    ways.push(Way::issuing(RCGEN_PEM, cases, |case| peers::rcgen_pem(authority, case)));
    ways.push(Way::part(CHECKED_FLOOR, cases, |case| {
        case.public_key.verify(&case.info, &case.signature)?;
        let signature = authority.key.sign(&case.tbs, checked)?;
        Ok(authority.public_key.verify_sig(&case.tbs, signature)?)
    }));
    ways.push(Way::issuing(CHECKED_PIPELINE, cases, |case| issue(case, SelfCheck::Always)));

    for (number, case) in (0_u32..).zip(cases).step_by(101) {
        let ours = issue(case, check)?;
        for way in &mut ways {
            if let Some(theirs) = way.show(number)? {
                judge(authority, case, ours.der(), &theirs).map_err(|error| format!("{}: {error}", way.name()))?;
            }
        }
    }

    let measured = measure(&mut ways, arguments.rounds)?;
    drop(ways);
    if arguments.is_quick {
        println!("{}: {} ways run, all certificates are judged well", group.title, measured.len());
        return Ok(());
    }
    print(group, &measured, parts, others);
    Ok(())
}

fn print(group: &Group, measured: &[Series], parts: usize, others: usize) {
    let of = |name: &str| measured.iter().find(|series| series.name == name).expect("it was measured");
    let fastest = |what: &str| {
        let parts = measured.iter().take(parts).filter(|series| series.name.starts_with(what));
        parts.min_by(|one, other| one.micros().total_cmp(&other.micros())).expect("it was measured")
    };
    let (verify, sign) = (fastest("verify on "), fastest("sign on "));
    let fastest = verify.and(sign, &format!("{FASTEST} ({}, {})", verify.name, sign.name));

    println!(
        "\n### {}\n\n| what | us | x floor (80 % of rounds) | x pipeline | target |\n|---|---|---|---|---|",
        group.title
    );
    let (before, after) = measured.split_at(others.min(measured.len()));
    let rows = before.iter().take(parts).chain([&fastest]).chain(after).chain(before.iter().skip(parts));
    for (row, series) in rows.enumerate() {
        let way = series.name.as_str();
        let is_part = row <= parts || [FLOOR, CHECKED_FLOOR].contains(&way);
        let over_ours = series.over(of(PIPELINE));
        let floor = of(if way == CHECKED_PIPELINE { CHECKED_FLOOR } else { FLOOR });
        let ratio = match way {
            FLOOR => "1".to_owned(),
            CHECKED_PIPELINE => format!("{} of its own floor", series.over(floor)),
            _ => series.over(floor).to_string(),
        };
        let mut said: Vec<_> = group
            .targets(way)
            .into_iter()
            .map(|(base, bound)| {
                let over = series.over(of(base));
                let shown = if base == FLOOR { String::new() } else { format!(" of {base}: {over},") };
                format!("at most {bound:.2}{shown} {}", verdict(over, bound))
            })
            .collect();
        if !is_part && is_to_be_behind(way) {
            let swapped =
                Spread { low: 1.0 / over_ours.high, middle: 1.0 / over_ours.middle, high: 1.0 / over_ours.low };
            said.push(format!("behind the pipeline, {}", verdict(swapped, 1.0)));
        }
        let over_ours = if is_part || way == PIPELINE { String::new() } else { over_ours.to_string() };
        println!("| {way} | {} | {ratio} | {over_ours} | {} |", micros(series.micros()), said.join("; "));
    }
}

/// The peers that the pipeline has to be ahead of: those on other cryptography, and those that are named for a run.
fn is_to_be_behind(way: &str) -> bool {
    ![RCGEN, RCGEN_PEM, RCGEN_RING, X509_CERT_AWS].contains(&way) && !way.contains("pipeline")
}

/// What the floor is: one verification and one signature of aws-lc-rs.
fn bare(authority: &Authority, case: &Case) -> Setup<()> {
    case.public_key.verify(&case.info, &case.signature)?;
    authority.key.sign(&case.tbs, &mut [0; 512])?;
    Ok(())
}

/// Two threads over one issuer and one signer, beside one thread, by the wall clock.
fn scale(rounds: u32, times: usize) -> Setup<()> {
    let authority = &Authority::generate(KeyAlgorithm::P256)?;
    let cases = &Case::all(KeyAlgorithm::P256, authority)?;
    let floor = |case: &Case| bare(authority, case);
    let pipeline = |case: &Case| -> Setup<()> {
        let (signer, check) = (&authority.signer, SelfCheck::ExceptInProcess);
        ours::issue(authority, case, &case.request, signer, aws_lc_rs(), check).map(|issued| {
            std::hint::black_box(issued);
        })
    };
    let certificates = f64::from(u32::try_from(times)?);
    let mut ways: [(&str, Routine<'_>, Scaling); 2] =
        [(FLOOR, &floor, Scaling::default()), (PIPELINE, &pipeline, Scaling::default())];
    for round in 0..rounds {
        for (_, way, scaling) in &mut ways {
            let took = |threads| together(threads, times, cases, *way);
            let (one, two) = if round % 2 == 0 {
                let one = took(1)?;
                (one, took(2)?)
            } else {
                let two = took(2)?;
                (took(1)?, two)
            };
            let (one, two) = (certificates / one.as_secs_f64(), 2.0 * certificates / two.as_secs_f64());
            scaling.one.push(one);
            scaling.two.push(two);
            scaling.ratios.push(two / one);
        }
        ways.reverse();
    }
    if rounds == 1 {
        println!("two threads: they run");
        return Ok(());
    }
    println!("\n### Two threads, P-256 request, P-256 CA, wall clock\n");
    println!(
        "| what | one thread, per second | two threads | x one (80 % of rounds) | target |\n|---|---|---|---|---|"
    );
    ways.sort_by_key(|(name, ..)| *name == PIPELINE);
    for (name, _, Scaling { one, two, ratios }) in ways {
        let spread = Spread::of(ratios);
        let said = match name {
            PIPELINE => format!("at least {SCALING_MIN:.2}, {}", reached(spread, SCALING_MIN)),
            _ => String::new(),
        };
        println!("| {name} | {:.0} | {:.0} | {spread} | {said} |", Spread::of(one).middle, Spread::of(two).middle);
    }
    Ok(())
}

/// A node storm through `issue_batch` on two threads, beside the floor on two threads, by the wall clock.
fn storm(rounds: u32, times: usize, certificates: usize) -> Setup<()> {
    let authority = &Authority::generate(KeyAlgorithm::P256)?;
    let cases = &Case::all(KeyAlgorithm::P256, authority)?;
    let floor = |case: &Case| bare(authority, case);
    let batch = |count| ours::issue_batch(authority, cases, count, NonZeroUsize::MIN.saturating_add(1));
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let (bare, ours) = if round % 2 == 0 {
            let bare = together(2, times, cases, &floor)?;
            (bare, clock(|| batch(2 * times))?)
        } else {
            let ours = clock(|| batch(2 * times))?;
            (together(2, times, cases, &floor)?, ours)
        };
        ratios.push(bare.as_secs_f64() / ours.as_secs_f64());
    }
    let before = resident()?;
    let took = clock(|| batch(certificates))?;
    if rounds == 1 {
        println!("node storm: it is issued");
        return Ok(());
    }
    let spread = Spread::of(ratios);
    let said = reached(spread, STORM_MIN);
    println!("\n### Node storm on two threads, P-256 request, P-256 CA, wall clock\n");
    println!(
        "| certificates | seconds | per second | memory beyond that before | x the floor's rate on two threads (80 % of rounds) | target |"
    );
    println!("|---|---|---|---|---|---|");
    println!(
        "| {certificates} | {:.2} | {:.0} | {} KiB | {spread} | at least {STORM_MIN:.2}, {said} |",
        took.as_secs_f64(),
        f64::from(u32::try_from(certificates)?) / took.as_secs_f64(),
        resident()?.saturating_sub(before)
    );
    Ok(())
}

/// The most memory that this process has had, in KiB.
fn resident() -> Setup<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn clock(work: impl FnOnce() -> Setup<()>) -> Setup<Duration> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed())
}

type Routine<'a> = &'a (dyn Fn(&Case) -> Setup<()> + Sync);

/// Certificates per second, round for round.
#[derive(Default)]
struct Scaling {
    one: Vec<f64>,
    two: Vec<f64>,
    ratios: Vec<f64>,
}

/// How long so many threads take, from the moment in which all are there to that in which all are done.
#[expect(clippy::disallowed_methods, reason = "measuring is what this is for")]
fn together(threads: usize, times: usize, cases: &[Case], routine: Routine<'_>) -> Setup<Duration> {
    let gate = Barrier::new(threads + 1);
    let work = |from: usize| {
        gate.wait();
        cases
            .iter()
            .cycle()
            .skip(from)
            .take(times)
            .try_for_each(|case| routine(case).map_err(|error| error.to_string()))
    };
    let work = &work;
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread * 128))).collect();
        gate.wait();
        let begin = Instant::now();
        for thread in running {
            thread.join().map_err(|_panic| "a thread panicked")??;
        }
        Ok(begin.elapsed())
    })
}

/// Builds rcgen on ring, alone and so with the features that it asks for.
fn build_rcgen_ring(is_quick: bool) -> Setup<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--package", "rcgen-ring"]);
    cargo.args(["--profile", if is_quick { "release" } else { "bench" }]);
    cargo.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/rcgen-ring/Cargo.toml"));
    // Beside this program's own directory, where both profiles put what they build.
    let built = env::current_exe()?.parent().and_then(Path::parent).ok_or("a directory")?.to_owned();
    cargo.arg("--target-dir").arg(built.parent().ok_or("a target directory")?);
    if cargo.status()?.success() { Ok(built.join("rcgen-ring")) } else { Err("rcgen on ring cannot be built".into()) }
}

const USAGE: &str = "\
usage: cargo bench -p benches --bench table -- [GROUP...] [--rounds N] [--peer NAME=PROGRAM...] [--test]

  GROUP                p256, rsa2048-request, rsa2048-ca, rsa4096-ca, p384, ed25519, threads, storm; all unless one is named
  --rounds N           how many rounds each group has; 61 unless said
  --peer NAME=PROGRAM  one more peer, a program that `benches::Outside` describes
  --test               whether everything runs and judges well, measuring nothing of use";

struct Arguments {
    groups: Vec<String>,
    rounds: u32,
    peers: Vec<(String, PathBuf)>,
    is_quick: bool,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self { groups: Vec::new(), rounds: 61, peers: Vec::new(), is_quick: false };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo says so to everything that it runs as a bench.
                "--bench" => {}
                "--test" => (parsed.is_quick, parsed.rounds) = (true, 1),
                "--rounds" => {
                    let rounds = arguments.next().and_then(|rounds| rounds.parse().ok()).filter(|rounds| *rounds > 0);
                    parsed.rounds = rounds.ok_or("--rounds wants a number above 0")?;
                }
                "--peer" => {
                    let peer = arguments.next().unwrap_or_default();
                    let (name, program) = peer.split_once('=').ok_or("--peer wants NAME=PROGRAM")?;
                    parsed.peers.push((name.to_owned(), program.into()));
                }
                group if ["threads", "storm"].contains(&group) || GROUPS.iter().any(|known| known.id == group) => {
                    parsed.groups.push(argument);
                }
                other => return Err(format!("unknown: {other}")),
            }
        }
        Ok(parsed)
    }

    fn wants(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|wanted| wanted == group)
    }
}

fn main() -> Result<(), String> {
    let arguments = Arguments::parse(env::args().skip(1)).map_err(|error| format!("{error}\n\n{USAGE}"))?;
    let ring = build_rcgen_ring(arguments.is_quick).map_err(|error| error.to_string())?;
    let programs: Vec<_> = [(RCGEN_RING.to_owned(), ring)].into_iter().chain(arguments.peers.iter().cloned()).collect();
    if cfg!(not(feature = "openssl")) {
        println!("without the peer `openssl`: it needs libssl-dev, pkg-config and --features openssl");
    }
    for group in GROUPS.iter().filter(|group| arguments.wants(group.id)) {
        run(group, &arguments, &programs).map_err(|error| format!("{}: {error}", group.title))?;
    }
    if arguments.wants("threads") {
        let times = if arguments.is_quick { 8 } else { 1024 };
        scale(arguments.rounds, times).map_err(|error| format!("two threads: {error}"))?;
    }
    if arguments.wants("storm") {
        let (times, certificates) = if arguments.is_quick { (8, 64) } else { (1024, 65_000) };
        storm(arguments.rounds, times, certificates).map_err(|error| format!("node storm: {error}"))?;
    }
    Ok(())
}
