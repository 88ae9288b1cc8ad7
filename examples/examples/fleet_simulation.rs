//! Lets very many clusters live for years on one simulated clock and checks what their schedules say.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind as Misuse;
use clap::{Parser, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use examples::Stopwatch;
use examples::fleet_simulation::{FleetProgress, FleetReport, FleetSpec, simulate};
use indicatif::{ProgressBar, ProgressStyle};

/// No law broke.
const EXIT_KEPT: u8 = 0;
/// A law broke, or the simulation could not go on.
const EXIT_BROKEN: u8 = 1;
/// The arguments cannot be used, or the report cannot be written.
const EXIT_UNUSABLE: u8 = 2;

/// Let very many clusters live for years and check what their schedules say
///
/// Every cluster has credentials that expire. Users are told and react soon, late or never; some rotations begin by
/// themselves, some cannot complete because a pool still uses the old credentials, some clusters expire. One clock goes
/// from each due instant to the next. Every word of the fleet is checked against a second writing of the rules: no
/// automatic start earlier than 30 days before the expiry, and none in GDC; no completion earlier than 7 days after the
/// start; DEGRADED from 7 days to the second; expired only by expiry; everything once, in order, and nobody forgotten.
///
/// The same seed gives the same years. A million clusters need about 400 MiB.
#[derive(Debug, Parser)]
#[command(
    name = "fleet_simulation",
    after_help = "Examples:
  fleet_simulation                                     10,000 clusters over 5 years
  fleet_simulation --clusters 1000000                  a million of them
  fleet_simulation --clusters 500 --years 50 --seed 7  few, for long, with other random numbers
  fleet_simulation --format json | jq '.by_year[] | [.year, .degraded, .unrecoverable]'

Exit status: 0 every law was kept; 1 a law broke, or the simulation could not go on; 2 unusable arguments."
)]
struct Arguments {
    /// Clusters, 1 to 5000000
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    clusters: u32,

    /// Years, 1 to 100
    #[arg(long, value_name = "Y", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    years: u16,

    /// What the random numbers begin with
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// What standard output gets: tables, or the report as JSON
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), Misuse::DisplayHelp | Misuse::DisplayVersion) => {
            return ExitCode::from(if error.print().is_ok() { EXIT_KEPT } else { EXIT_BROKEN });
        }
        // One line: what is wrong. The usage is a --help away.
        Err(error) => return failed(EXIT_UNUSABLE, error.to_string().lines().next().unwrap_or("error: unusable")),
    };
    let spec = FleetSpec { clusters: arguments.clusters, years: arguments.years, seed: arguments.seed };
    let (watch, screen) = (Stopwatch::start(), Screen::new(&spec));
    let report = simulate(&spec, &mut |progress| screen.show(progress));
    screen.finish();
    let report = match report {
        Ok(report) => report,
        Err(error) => return failed(EXIT_BROKEN, &format!("error: {error}")),
    };
    let told = match arguments.format {
        Format::Text => tell(&report, watch.elapsed_ms()),
        Format::Json => tell_json(&report),
    };
    match told {
        // What the run came to is not made better or worse by a reader who has left.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => failed(EXIT_UNUSABLE, &format!("error: {error}")),
        _ if report.violations > 0 => ExitCode::from(EXIT_BROKEN),
        _ => ExitCode::from(EXIT_KEPT),
    }
}

fn failed(status: u8, message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(status)
}

fn tell_json(report: &FleetReport) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(report)?)
}

fn tell(report: &FleetReport, elapsed_ms: u64) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}\n", table(report))?;
    let [healthy, insight, degraded, unrecoverable] = report.health_at_end;
    writeln!(
        stdout,
        "at the end: {healthy} healthy, {insight} with an insight, {degraded} degraded, {unrecoverable} unrecoverable"
    )?;
    let memory = &report.memory;
    let resident =
        memory.resident_per_cluster.map_or_else(String::new, |octets| format!("; the process grew by {octets}"));
    writeln!(
        stdout,
        "memory per cluster: {} octets, {} at the end{resident}",
        memory.per_cluster, memory.per_cluster_at_end
    )?;
    let machine = &report.machine;
    writeln!(stdout, "rotations for the real machine: {} picked, {} run", machine.sampled, machine.rehearsed)?;
    for broken in &report.broken {
        writeln!(stdout, "broken: {broken}")?;
    }
    writeln!(
        stdout,
        "{} clusters, {} years, seed {}: {} due instants in {}.{:03} s",
        report.clusters,
        report.years,
        report.seed,
        report.told,
        elapsed_ms / 1_000,
        elapsed_ms % 1_000
    )?;
    writeln!(stdout, "laws checked: {}  broken: {}", report.checks, report.violations)
}

fn table(report: &FleetReport) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "YEAR",
        "INSIGHTS",
        "STARTS BY USER",
        "AUTOMATIC",
        "FAILED",
        "COMPLETED",
        "BY ATTEMPT",
        "FAILED ATTEMPTS",
        "DEGRADED",
        "UNRECOVERABLE",
    ]);
    for row in &report.by_year {
        let counts = [
            row.insights,
            row.user_starts,
            row.automatic_starts,
            row.failed_starts,
            row.completions,
            row.automatic_completions,
            row.failed_completions,
            row.degraded,
            row.unrecoverable,
        ];
        table.add_row(core::iter::once(row.year.to_string()).chain(counts.map(|count| count.to_string())));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A bar on a terminal; off a terminal nothing.
struct Screen(Option<ProgressBar>);

impl Screen {
    fn new(spec: &FleetSpec) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(u64::from(spec.years) * 365);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:40} {pos}/{len} days {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(core::time::Duration::from_millis(100));
        Self(Some(bar))
    }

    fn show(&self, progress: FleetProgress) {
        let Some(bar) = &self.0 else { return };
        match progress {
            FleetProgress::Building { clusters } => bar.set_message(format!("{clusters} clusters")),
            FleetProgress::Running { days } => bar.set_position(days),
            _ => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
