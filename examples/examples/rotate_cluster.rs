//! Builds a miniature cluster of real TLS endpoints, rotates every certificate authority under live traffic, and
//! shows that nothing broke.

use core::error::Error;
use core::num::NonZeroU16;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::error::ErrorKind as Misuse;
use clap::{Parser, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use examples::keys::{self, CaKeys, TokenDirectory};
use examples::{
    ConnectionReport, CostReport, Fault, IssuingReport, KeysReport, Options, Outcome, Progress, Row, UnitReport, run,
};
use indicatif::{ProgressBar, ProgressStyle};
use pki_core::{NodeName, Preset};
use rotation_fsm::Strategy;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The paths held, and every old credential was refused.
const EXIT_CLEAN: u8 = 0;
/// A path broke, an old credential was accepted, or the rotation could not be carried through.
const EXIT_BROKEN: u8 = 1;
/// The arguments or the output directory cannot be used.
const EXIT_UNUSABLE: u8 = 2;

/// Rotate every certificate authority of a cluster under live TLS traffic
///
/// Every component is a real rustls endpoint on loopback, one or more per role. While the authorities are
/// replaced stage by stage, every client keeps opening new connections to every server; each must complete a full
/// handshake and get its answer. Beside them it holds one connection to each, which more trust must leave alone, and which
/// is closed when the authority of one end is retired.
#[derive(Debug, Parser)]
#[command(
    name = "rotate_cluster",
    after_help = "Examples:
  rotate_cluster                                   a GDC user cluster, six nodes
  rotate_cluster --preset gke --nodes 20           GKE with its two etcd authorities
  rotate_cluster --out report                      keep report/report.json and report/timeline.svg
  rotate_cluster --preset gke --strategy dual-endpoint
                                                   clients move to a second address, nodes are recreated once
  rotate_cluster --strategy cross-signed           nobody hears of the new CA before its leaves are shown
  rotate_cluster --emergency                       as if the keys were stolen: what breaks is said beforehand
  rotate_cluster --preset kubeadm --rollback-at node-leaves/pool-a
                                                   turn back, and see the new CA refused
  rotate_cluster --sleeping-node node-0            a node sleeps through stages, and is waited for
  rotate_cluster --signer pkcs11                   every CA key in a SoftHSM2 token, and what taking one comes to
  rotate_cluster --signer service                  every CA key in another process, which signs for nodes by a policy of its own
  rotate_cluster --plant retire-old-ca-early       see the check fail
  rotate_cluster --preset gke --plant keep-orphaned
                                                   connections outlive the CA that vouched for them
  rotate_cluster --format json | jq .probes        for machines

Exit status: 0 nothing failed but what was declared, and it cost what was planned; 1 a path broke, an old credential was
accepted, something lingers, the cost is another, a key left its token, or the rotation could not be carried through; 2 unusable arguments or
output directory."
)]
struct Arguments {
    /// The cluster's hierarchy: gke, gke-spanner, gdc or kubeadm
    #[arg(long, value_name = "PRESET", default_value_t = Preset::Gdc)]
    preset: Preset,

    /// Nodes, in two pools
    #[arg(long, value_name = "N", default_value = "6", value_parser = parse_nodes)]
    nodes: NonZeroU16,

    /// The order of the stages: staged, dual-endpoint or cross-signed
    #[arg(long, value_name = "STRATEGY", default_value_t = Strategy::Staged)]
    strategy: Strategy,

    /// Rotate what users may rotate as if its keys were stolen: fast, with losses that are told beforehand
    #[arg(long)]
    emergency: bool,

    /// Turn back when this stage of the first rotation begins
    #[arg(long, value_name = "STAGE", conflicts_with = "emergency")]
    rollback_at: Option<String>,

    /// A node that cannot be reached from the beginning of the first rotation until that one waits for it
    #[arg(long, value_name = "NODE")]
    sleeping_node: Option<NodeName>,

    /// Where the keys of the CAs are: in this process, in a new SoftHSM2 token, or in a process of their own
    #[arg(long, value_enum, default_value_t = KeyPlace::Software)]
    signer: KeyPlace,

    /// The PKCS#11 module of SoftHSM2
    #[arg(long, value_name = "FILE", default_value = SOFTHSM)]
    module: PathBuf,

    /// Begun by itself: SoftHSM2 is configured by the environment of its process
    #[arg(long, hide = true)]
    with_token: bool,

    /// Begun by itself: the process that has the keys
    #[arg(long, hide = true, value_name = "SOCKET")]
    serve_keys: Option<PathBuf>,

    /// Where report.json and timeline.svg are written [default: a new directory among the temporary files]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Do one thing wrong: skip-trust-distribution, retire-old-ca-early, switch-signer-after-nodes or keep-orphaned
    #[arg(long, value_name = "FAULT")]
    plant: Option<Fault>,

    /// How long each stage lasts at least, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    dwell: u64,

    /// What standard output gets: text as it happens, or the report as JSON at the end
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Each node is some ten threads, as many connections and a good part of the traffic: more would measure this machine and
/// nothing else.
const NODES_MAX: u16 = 500;

fn parse_nodes(text: &str) -> Result<NonZeroU16, String> {
    let expected = || format!("expected a number in 1..={NODES_MAX}");
    text.parse().ok().filter(|nodes: &NonZeroU16| nodes.get() <= NODES_MAX).ok_or_else(expected)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Where Debian has SoftHSM2.
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyPlace {
    Software,
    Pkcs11,
    Service,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), Misuse::DisplayHelp | Misuse::DisplayVersion) => {
            return if error.print().is_ok() { ExitCode::from(EXIT_CLEAN) } else { ExitCode::from(EXIT_BROKEN) };
        }
        // One line: what is wrong. The usage is a --help away.
        Err(error) => return unusable(error.to_string().lines().next().unwrap_or("error: unusable arguments")),
    };
    if let Some(socket) = &arguments.serve_keys {
        return match keys::serve(socket, arguments.preset, arguments.nodes.get().into()) {
            Ok(()) => ExitCode::from(EXIT_CLEAN),
            Err(error) => unusable(&format!("error: {error}")),
        };
    }
    let mut options = Options::new(arguments.preset);
    options.nodes = arguments.nodes.into();
    options.strategy = arguments.strategy;
    options.emergency = arguments.emergency;
    options.rollback_at.clone_from(&arguments.rollback_at);
    options.sleeping_node.clone_from(&arguments.sleeping_node);
    options.fault = arguments.plant;
    options.dwell = Duration::from_millis(arguments.dwell);

    if let Err(error) = options.check() {
        return unusable(&format!("error: {error}"));
    }
    if arguments.signer == KeyPlace::Pkcs11 && !arguments.with_token {
        return run_with_token().unwrap_or_else(|error| unusable(&format!("error: {error}")));
    }
    let out = match Output::open(arguments.out.as_deref()) {
        Ok(out) => out,
        Err(error) => return unusable(&format!("error: {error}")),
    };

    let keys = match open_keys(&arguments) {
        Ok(keys) => keys,
        Err(error) => return unusable(&format!("error: {error}")),
    };
    (options.keys, options.issuing) = (keys.store(), keys.issuing());

    allow_descriptors();
    let mut screen = Screen::new(arguments.format);
    let outcome = run(&options, &mut |progress| screen.show(progress));
    screen.finish();
    // The store must be nobody's any more when whoever keeps the keys ends.
    drop(options);
    let kept = keys.finish(arguments.preset);
    let outcome = outcome.map_err(|error| error.to_string()).and_then(|mut outcome| {
        outcome.report.signer = Some(kept.map_err(|error| error.to_string())?);
        Ok(outcome)
    });
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(EXIT_BROKEN);
        }
    };
    let told = conclude(&outcome, &out, arguments.format);
    if let Err(error) = &told {
        eprintln!("error: {error}");
    }
    // What the run came to is not made better or worse by a reader who has left.
    match told {
        _ if !outcome.is_clean() => ExitCode::from(EXIT_BROKEN),
        Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::from(EXIT_UNUSABLE),
        _ => ExitCode::from(EXIT_CLEAN),
    }
}

fn open_keys(arguments: &Arguments) -> Result<CaKeys, Box<dyn Error + Send + Sync>> {
    match arguments.signer {
        KeyPlace::Software => Ok(CaKeys::software()),
        KeyPlace::Pkcs11 => CaKeys::token(&arguments.module),
        KeyPlace::Service => {
            let mut command = Command::new(std::env::current_exe()?);
            let (preset, nodes) = (arguments.preset.to_string(), arguments.nodes.to_string());
            command.args(["--preset", &preset, "--nodes", &nodes, "--serve-keys"]);
            CaKeys::process(command, arguments.preset)
        }
    }
}

/// The same run once more, in a process whose environment has a token.
fn run_with_token() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let token = TokenDirectory::new()?;
    let status =
        token.command(std::env::current_exe()?).args(std::env::args_os().skip(1)).arg("--with-token").status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(EXIT_BROKEN)))
}

/// Both ends of every connection that is held are descriptors of this process: with many nodes, more than it is given
/// unasked. Where no more are allowed, it goes as far as those that there are.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let _unchanged = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn unusable(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(EXIT_UNUSABLE)
}

/// Writes the files, the table, what broke, and the last line.
fn conclude(outcome: &Outcome, out: &Output, format: Format) -> std::io::Result<()> {
    let json = serde_json::to_string_pretty(&outcome.report)? + "\n";
    out.write("report.json", &json)?;
    out.write("timeline.svg", &outcome.timeline.to_svg())?;
    let mut stdout = std::io::stdout().lock();
    if format == Format::Json {
        stdout.write_all(json.as_bytes())?;
    } else {
        writeln!(stdout, "\n{}\n", table(&outcome.rows))?;
        writeln!(stdout, "{}\n", costs(&outcome.report.units))?;
        writeln!(stdout, "report and timeline: {}", out.directory.display())?;
    }
    // What broke is for the reader of either format; the report has it in numbers.
    let mut say = |line: String| {
        if format == Format::Text { writeln!(stdout, "{line}") } else { writeln!(std::io::stderr(), "{line}") }
    };
    let lines: Vec<_> = outcome
        .broken
        .iter()
        .map(|(stage, broken)| {
            format!("broken: {} -> {} stage={stage} error={}", broken.client, broken.server, broken.error)
        })
        .collect();
    // Two paths between the same two, broken for the same reason, are one line.
    let mut seen = std::collections::BTreeSet::new();
    lines.into_iter().filter(|line| seen.insert(line.clone())).try_for_each(&mut say)?;
    for accepted in &outcome.accepted {
        let (judge, presenter) = (&accepted.accepted_by, &accepted.presented_by);
        say(format!(
            "accepted: {judge} took an old credential of {presenter} ({}): {}",
            accepted.path, accepted.found
        ))?;
    }
    for lingering in &outcome.lingering {
        say(format!("lingering: {lingering}"))?;
    }
    for unit in &outcome.report.units {
        unit.mismatches().try_for_each(|cost| {
            let (found, most) = (found(cost), if unit.at_most { "at most " } else { "" });
            say(format!("cost: {} of `{}`: planned {most}{}, found {found}", cost.of, unit.unit, cost.planned))
        })?;
    }
    if outcome.report.emergency {
        say(format!("declared losses: {}", outcome.sum(|row| row.declared_losses)))?;
    }
    let ConnectionReport { held, kept, retired, stopped, broken, remained, .. } = outcome.report.connections;
    say(format!(
        "connections held: {held}  kept while trust was added: {kept}  closed with their authority: {retired}  \
         ended with a process: {stopped}  broken: {broken}  there at the end: {remained}"
    ))?;
    if let Some(KeysReport { place, keys, exports, control, issuing, .. }) = &outcome.report.signer {
        let mut told = match control {
            Some(control) => format!(
                "; read, wrapped and copied in vain: {}/{}; of `{}`, made to be taken: {:?} octets",
                exports.iter().filter(|export| export.octets() == [0; 3]).count(),
                keys.len(),
                control.key,
                control.octets()
            ),
            None => String::new(),
        };
        if let Some(IssuingReport { issued, refused, switches, retired, .. }) = issuing {
            told += &format!(
                "; certificates issued there: {issued}  refused: {refused}  switches of its epoch: {switches}  \
                 generations retired: {retired}"
            );
        }
        say(format!("keys in `{place}` at the end: {}{told}", keys.len()))?;
    }
    let probes = outcome.report.probes;
    say(format!(
        "handshakes: {}  failed: {}  old credentials refused: {}/{}",
        outcome.sum(|row| row.handshakes),
        outcome.sum(|row| row.failed),
        probes.refused,
        probes.total
    ))
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "STAGE",
        "DURATION",
        "HANDSHAKES",
        "FAILED",
        "UNAVAILABLE",
        "RESTARTS",
    ]);
    for row in rows {
        table.add_row([
            row.id.clone(),
            format!("{} ms", row.duration_ms),
            row.handshakes.to_string(),
            row.failed.to_string(),
            row.unavailable.to_string(),
            row.restarts.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What each rotation cost, and the planner's word beside it.
fn costs(units: &[UnitReport]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["ROTATION", "OF", "PLANNED", "FOUND"]);
    for unit in units {
        let rotation = format!("{} ({})", unit.unit, unit.order);
        let mut add = |cost: &CostReport, what: &str| {
            let planned = if unit.at_most { format!("<= {}", cost.planned) } else { cost.planned.to_string() };
            table.add_row([rotation.clone(), format!("{what} {}", cost.of), planned, found(cost)]);
        };
        unit.components.iter().for_each(|cost| add(cost, "restarts of"));
        add(&unit.recreations, "recreations of a");
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// One number where all are the same, or else each.
fn found(cost: &CostReport) -> String {
    let mut counts = cost.found.values();
    match counts.next() {
        Some(first) if counts.all(|count| count == first) => match cost.found.len() {
            1 => first.to_string(),
            instances => format!("{first} on each of {instances}"),
        },
        _ => cost.found.iter().map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", "),
    }
}

/// Progress: a live line on a terminal, plain lines elsewhere, nothing in between on a JSON standard output.
struct Screen {
    format: Format,
    bar: Option<ProgressBar>,
}

impl Screen {
    fn new(format: Format) -> Self {
        let live = std::io::stderr().is_terminal();
        let bar = live.then(|| {
            let bar = ProgressBar::new(1);
            if let Ok(style) = ProgressStyle::with_template("{spinner} [{pos}/{len}] {prefix:<36} {bar:24} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { format, bar }
    }

    fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Note(note) => self.line(&note),
            Progress::StageBegan { id, number, of } => {
                if let Some(bar) = &self.bar {
                    bar.set_length(u64::try_from(of).unwrap_or(u64::MAX));
                    bar.set_position(u64::try_from(number).unwrap_or_default());
                    bar.set_prefix(id);
                }
            }
            Progress::Traffic { handshakes, failed } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("{handshakes} handshakes, {failed} failed"));
                }
            }
            Progress::StageEnded(row) => {
                let Row { id, handshakes, failed, status, .. } = row;
                self.line(&format!("{id}: {handshakes} handshakes, {failed} failed"));
                if let Some(status) = status {
                    self.line(&format!("  {status}"));
                }
            }
            _ => {}
        }
    }

    /// A line that stays. Where it cannot be written nobody reads it.
    fn line(&self, line: &str) {
        match (&self.bar, self.format) {
            (Some(bar), _) => bar.suspend(|| self.print(line)),
            (None, _) => self.print(line),
        }
    }

    fn print(&self, line: &str) {
        let _written = match self.format {
            Format::Text => writeln!(std::io::stdout(), "{line}"),
            Format::Json => writeln!(std::io::stderr(), "{line}"),
        };
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A directory in which files appear whole or not at all.
struct Output {
    directory: PathBuf,
}

impl Output {
    /// Makes sure that the directory can be written, before anything is begun.
    fn open(directory: Option<&Path>) -> Result<Self, String> {
        let Some(directory) = directory else {
            let made = tempfile::Builder::new().prefix("rotate-cluster-").tempdir();
            let directory = made.map_err(|error| format!("no temporary directory: {error}"))?.keep();
            return Ok(Self { directory });
        };
        let cannot = |error| format!("cannot write to `{}`: {error}", directory.display());
        std::fs::create_dir_all(directory).map_err(cannot)?;
        tempfile::NamedTempFile::new_in(directory).map_err(cannot)?;
        Ok(Self { directory: directory.to_owned() })
    }

    fn write(&self, name: &str, content: &str) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(content.as_bytes())?;
        file.persist(self.directory.join(name))?;
        Ok(())
    }
}
