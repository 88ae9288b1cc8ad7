//! Says which communication paths of a cluster are safe and why, of a machine's files or of a cluster as a document describes
//! it.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind as Misuse;
use clap::{Parser, ValueEnum};
use examples::Clock;
use pki_core::verify::aws_lc_rs;
use rotation_fsm::parse_instant;
use time::UtcDateTime;
use trust_model::observe::{Files, ObserveLimits, observe};
use trust_model::{AuditOptions, Preset, Report, Severity, Waiver, audit};

/// Nothing at the level that was asked for.
const EXIT_CLEAN: u8 = 0;
/// Findings at that level.
const EXIT_FOUND: u8 = 1;
/// The arguments or the input cannot be used.
const EXIT_UNUSABLE: u8 = 2;

/// Audit the communication paths of a cluster: which are safe, why, and what would make the others so
///
/// A directory is read as a control-plane machine's /etc/kubernetes: static pods, kubeconfigs, the kubelet's configuration and
/// the PKI. What is not there is not evaluated; nothing is taken for being in order because nobody said anything about it. The
/// files of further machines may lie below nodes/<name>/.
#[derive(Debug, Parser)]
#[command(
    name = "audit_cluster",
    after_help = "Examples:
  audit_cluster                                              Kubernetes 1.28 as its documentation describes it
  audit_cluster --preset gke --svg gke.svg                   a picture of every path, coloured by what it is worth
  audit_cluster --root /etc/kubernetes                       this machine
  audit_cluster --root /etc/kubernetes --format sarif >audit.sarif
  audit_cluster --root /etc/kubernetes --fail-on warn        for a pipeline that wants nothing weakened either
  audit_cluster --root /etc/kubernetes \\
                --waive 'kubelet.serving_unverified,2027-01-01T00:00:00Z,until serving certificates are approved'

Exit status: 0 no finding at the level of --fail-on; 1 findings at that level; 2 unusable arguments or input."
)]
struct Arguments {
    /// A cluster as a document describes it: legacy, kubernetes-1.28, gke, gke-shielded, gke-workload-identity or gdc
    /// [default: kubernetes-1.28]
    #[arg(long, value_name = "PRESET", value_parser = parse_preset, conflicts_with = "root")]
    preset: Option<Preset>,

    /// A directory in the shape of /etc/kubernetes
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// What standard output gets
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Where a map of the paths is written
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// The mildest finding that counts
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    fail_on: FailOn,

    /// A finding to live with for a while: `CHECK,UNTIL,REASON`. May be given more than once
    #[arg(long = "waive", value_name = "WAIVER", value_parser = parse_waiver)]
    waivers: Vec<Waiver>,

    /// As of when, such as 2030-01-01T00:00:00Z [default: now]
    #[arg(long, value_name = "DATE", value_parser = parse_instant)]
    at: Option<UtcDateTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warn,
}

impl FailOn {
    const fn severity(self) -> Severity {
        match self {
            Self::Error => Severity::Error,
            Self::Warn => Severity::Warn,
        }
    }
}

fn parse_preset(text: &str) -> Result<Preset, String> {
    Preset::from_id(text).ok_or_else(|| {
        let known: Vec<_> = Preset::ALL.iter().map(|preset| preset.id()).collect();
        format!("expected one of {}", known.join(", "))
    })
}

fn parse_waiver(text: &str) -> Result<Waiver, String> {
    let mut parts = text.splitn(3, ',').map(str::trim);
    let (Some(check), Some(until), Some(reason)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("expected `CHECK,UNTIL,REASON`".to_owned());
    };
    if !trust_model::checks().iter().any(|known| known.id == check) {
        return Err(format!("there is no check `{check}`"));
    }
    if reason.is_empty() {
        return Err("a waiver has a reason".to_owned());
    }
    let until = parse_instant(until).map_err(|error| error.to_string())?;
    Ok(Waiver { check: check.to_owned(), subject: None, reason: reason.to_owned(), until })
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), Misuse::DisplayHelp | Misuse::DisplayVersion) => {
            return ExitCode::from(if error.print().is_ok() { EXIT_CLEAN } else { EXIT_UNUSABLE });
        }
        // One line: what is wrong. The usage is a --help away.
        Err(error) => {
            return unusable(error.to_string().lines().next().unwrap_or("error: unusable arguments"));
        }
    };
    let report = match report(&arguments) {
        Ok(report) => report,
        Err(error) => return unusable(&format!("error: {error}")),
    };
    if let Some(file) = &arguments.svg
        && let Err(error) = write_whole(file, &report.picture())
    {
        return unusable(&format!("error: cannot write `{}`: {error}", file.display()));
    }
    let shown = match arguments.format {
        Format::Text => Ok(report.to_string()),
        Format::Json => serde_json::to_string_pretty(&report).map(|json| json + "\n"),
        Format::Sarif => serde_json::to_string_pretty(&report.sarif()).map(|json| json + "\n"),
    };
    let written = shown.map_err(Into::into).and_then(|shown| std::io::stdout().lock().write_all(shown.as_bytes()));
    match written {
        // A reader who has left makes the cluster neither better nor worse.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => unusable(&format!("error: {error}")),
        _ if report.has_at_least(arguments.fail_on.severity()) => ExitCode::from(EXIT_FOUND),
        _ => ExitCode::from(EXIT_CLEAN),
    }
}

fn report(arguments: &Arguments) -> Result<Report, String> {
    let now = arguments.at.unwrap_or_else(|| Clock::default().now());
    let model = match &arguments.root {
        None => arguments.preset.unwrap_or(Preset::Kubernetes128).model(),
        Some(root) => {
            let limits = ObserveLimits::DEFAULT;
            let cannot = |error: std::io::Error| format!("cannot read `{}`: {error}", root.display());
            let files = Files::read_dir(root, &limits).map_err(cannot)?;
            if files.is_empty() {
                return Err(format!("there is no file in `{}`", root.display()));
            }
            observe(&files, &limits)
        }
    };
    let options =
        AuditOptions { waivers: arguments.waivers.clone(), verifiers: Some(aws_lc_rs()), ..AuditOptions::default() };
    Ok(audit(&model, &options, now))
}

fn unusable(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(EXIT_UNUSABLE)
}

/// The file is there whole, or as it was.
fn write_whole(file: &Path, content: &str) -> std::io::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut whole = tempfile::NamedTempFile::new_in(directory)?;
    whole.write_all(content.as_bytes())?;
    whole.persist(file)?;
    Ok(())
}
