//! Goes through a rotation that has not begun, and says when every stage would be, what waits for which window, and who
//! would lose access.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind as Misuse;
use clap::{Parser, ValueEnum};
use examples::Clock;
use examples::rehearse_rotation::{ExclusionArgument, RehearsalOrder, WindowArgument, picture, rehearse_order, unit};
use pki_core::Preset;
use rotation_fsm::{Feasibility, Strategy, Unit, parse_instant};
use time::{Duration, UtcDateTime};

/// The rotation completes before the expiry.
const EXIT_FITS: u8 = 0;
/// It does not, or never would.
const EXIT_AT_RISK: u8 = 1;
/// The arguments or the file cannot be used.
const EXIT_UNUSABLE: u8 = 2;

/// Rehearse a CA rotation against a calendar of maintenance windows
///
/// The real rotation machine is driven by a simulated cluster that does what it is told, with a clock that jumps. A
/// process takes 2 minutes to restart, a node 10 to be recreated, a client outside a day to be given something; where the
/// preset leaves clients outside behind, nobody gives them anything.
#[derive(Debug, Parser)]
#[command(
    name = "rehearse_rotation",
    after_help = "Examples:
  rehearse_rotation                                       a kubeadm cluster of six nodes, on weekends
  rehearse_rotation --preset gke --nodes 300 --pools 3 --svg rehearsal.svg
  rehearse_rotation --preset gdc --windows 'FREQ=DAILY@2026-01-01T22:00:00Z/PT4H' \\
                    --exclusion 'year-end,2026-12-15T00:00:00Z,2027-01-05T00:00:00Z,NO_UPGRADES'
  rehearse_rotation --emergency                           the keys are suspect: what breaks, and for how long
  rehearse_rotation --format json | jq .completes         for machines

Exit status: 0 the rotation completes before the expiry; 1 it does not, or would never begin or end; 2 unusable arguments
or file."
)]
struct Arguments {
    /// The cluster's hierarchy: gke, gke-spanner, gdc or kubeadm
    #[arg(long, value_name = "PRESET", default_value_t = Preset::Kubeadm)]
    preset: Preset,

    /// The order: staged, dual-endpoint or cross-signed [default: dual-endpoint for gke, or else staged]
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<Strategy>,

    /// Nodes
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    nodes: u32,

    /// Pools, of which they are
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pools: u32,

    /// Nodes of a pool that may be away at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_unavailable: u32,

    /// A maintenance window, RULE@START/END, the end an instant or a length such as PT6H30M; `always` for none. May be
    /// given more than once [default: weekends from two to eight in the morning]
    #[arg(long = "windows", value_name = "WINDOW", value_parser = parse_window)]
    windows: Vec<Windows>,

    /// A maintenance exclusion, `NAME,START,END,SCOPE`; the scope `NO_UPGRADES`, `NO_MINOR_UPGRADES` or
    /// `NO_MINOR_OR_NODE_UPGRADES`. May be given more than once
    #[arg(long = "exclusion", value_name = "EXCLUSION")]
    exclusions: Vec<ExclusionArgument>,

    /// When the rotation is asked for, such as 2026-02-02T09:00:00Z [default: now]
    #[arg(long, value_name = "DATE", value_parser = parse_instant)]
    start: Option<UtcDateTime>,

    /// The last second of the CAs [default: a year after the start]
    #[arg(long, value_name = "DATE", value_parser = parse_instant)]
    expiry: Option<UtcDateTime>,

    /// What is rotated, such as ca, credentials or etcd-api [default: the preset's first]
    #[arg(long, value_name = "UNIT", value_parser = parse_unit)]
    unit: Option<Unit>,

    /// As if the keys were suspect
    #[arg(long)]
    emergency: bool,

    /// What standard output gets
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Where a picture of it is written
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Where nobody says otherwise.
const WEEKENDS: &str = "FREQ=WEEKLY;BYDAY=SA,SU@2026-01-03T02:00:00Z/PT6H";

#[derive(Clone, Copy, Debug)]
enum Windows {
    Always,
    One(WindowArgument),
}

fn parse_window(text: &str) -> Result<Windows, String> {
    match text {
        "always" => Ok(Windows::Always),
        _ => text.parse().map(Windows::One).map_err(|error: examples::rehearse_rotation::OrderError| error.to_string()),
    }
}

fn parse_unit(text: &str) -> Result<Unit, String> {
    unit(text).ok_or_else(|| "no preset has such a unit".to_owned())
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
            return ExitCode::from(if error.print().is_ok() { EXIT_FITS } else { EXIT_UNUSABLE });
        }
        // One line: what is wrong. The usage is a --help away.
        Err(error) => {
            return fail(EXIT_UNUSABLE, error.to_string().lines().next().unwrap_or("error: unusable arguments"));
        }
    };
    let order = match order(&arguments) {
        Ok(order) => order,
        Err(error) => return fail(EXIT_UNUSABLE, &format!("error: {error}")),
    };
    let rehearsed = match rehearse_order(&order) {
        Ok(rehearsed) => rehearsed,
        Err(error) => {
            let status = if error.is_unusable() { EXIT_UNUSABLE } else { EXIT_AT_RISK };
            return fail(status, &format!("error: {error}"));
        }
    };
    if let Some(file) = &arguments.svg
        && let Err(error) = write_whole(file, &picture(&rehearsed))
    {
        return fail(EXIT_UNUSABLE, &format!("error: cannot write `{}`: {error}", file.display()));
    }
    let shown = match arguments.format {
        Format::Text => Ok(rehearsed.timeline.to_string()),
        Format::Json => serde_json::to_string_pretty(&rehearsed.timeline).map(|json| json + "\n"),
    };
    let written = shown.map_err(Into::into).and_then(|shown| std::io::stdout().lock().write_all(shown.as_bytes()));
    match written {
        // A reader who has left makes the rotation neither better nor worse.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(EXIT_UNUSABLE, &format!("error: {error}")),
        _ if rehearsed.timeline.feasibility() == Feasibility::Fits => ExitCode::from(EXIT_FITS),
        _ => ExitCode::from(EXIT_AT_RISK),
    }
}

fn order(arguments: &Arguments) -> Result<RehearsalOrder, examples::rehearse_rotation::OrderError> {
    let start = arguments.start.unwrap_or_else(|| Clock::default().now());
    let mut windows = Vec::new();
    for window in &arguments.windows {
        match window {
            Windows::One(window) => windows.push(*window),
            Windows::Always => {}
        }
    }
    if arguments.windows.is_empty() {
        windows.push(WEEKENDS.parse()?);
    }
    Ok(RehearsalOrder {
        preset: arguments.preset,
        strategy: arguments.strategy,
        nodes: arguments.nodes,
        pools: arguments.pools,
        max_unavailable: arguments.max_unavailable,
        windows,
        exclusions: arguments.exclusions.clone(),
        start,
        expiry: arguments.expiry.unwrap_or_else(|| start.saturating_add(Duration::days(365))),
        unit: arguments.unit,
        emergency: arguments.emergency,
    })
}

fn fail(status: u8, message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(status)
}

/// The file is there whole, or as it was.
fn write_whole(file: &Path, content: &str) -> std::io::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut whole = tempfile::NamedTempFile::new_in(directory)?;
    whole.write_all(content.as_bytes())?;
    whole.persist(file)?;
    Ok(())
}
