//! Shows certificates, bundles and requests, and when everything below a directory expires.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind as Misuse;
use clap::{Parser, ValueEnum};
use examples::{Clock, Inspection, demonstrate, inspect};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcDateTime};

/// Everything could be read, and nothing is expired or weak.
const EXIT_CLEAN: u8 = 0;
/// Something is expired, weak, exposed or not readable.
const EXIT_FOUND: u8 = 1;
/// The arguments or the input cannot be used.
const EXIT_UNUSABLE: u8 = 2;

/// Show certificates, bundles and requests, and when everything below a directory expires
///
/// A file is known by its content: PEM blocks of any kind, the DER of one certificate or request, or a kubeconfig with
/// what is embedded in it. Private keys are named and never decoded. A directory is read as a cluster's: /etc/kubernetes, or what lies in one.
#[derive(Debug, Parser)]
#[command(
    name = "inspect",
    after_help = "Examples:
  inspect                                          a cluster made up for demonstration
  inspect /etc/kubernetes/pki/apiserver.crt        one certificate
  inspect bundle.pem --format json | jq .files     for machines
  inspect /etc/kubernetes/admin.conf               the certificates inside a kubeconfig
  inspect /etc/kubernetes                          when everything expires, and what is wrong
  inspect /etc/kubernetes --at 2030-01-01T00:00:00Z

Exit status: 0 everything readable, nothing expired; 1 something expired, weak, exposed or not readable; 2 unusable
arguments or input."
)]
struct Arguments {
    /// What to look at [default: a demonstration]
    #[arg(value_name = "FILE|DIR")]
    path: Option<PathBuf>,

    /// What standard output gets
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// The moment to judge by, as RFC 3339 writes it [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = parse_moment)]
    at: Option<UtcDateTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn parse_moment(text: &str) -> Result<UtcDateTime, String> {
    let expected = |_| "expected a moment such as `2026-01-31T12:00:00Z` (RFC 3339 5.6)".to_owned();
    OffsetDateTime::parse(text, &Rfc3339).map(OffsetDateTime::to_utc).map_err(expected)
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), Misuse::DisplayHelp | Misuse::DisplayVersion) => {
            return if error.print().is_ok() { ExitCode::from(EXIT_CLEAN) } else { ExitCode::from(EXIT_UNUSABLE) };
        }
        // One line: what is wrong. The usage is a --help away.
        Err(error) => return unusable(error.to_string().lines().next().unwrap_or("error: unusable arguments")),
    };
    let inspected = match &arguments.path {
        Some(path) => inspect(path, arguments.at.unwrap_or_else(|| Clock::default().now())),
        None => demonstrate(arguments.at),
    };
    let inspection = match inspected {
        Ok(inspection) => inspection,
        Err(error) => return unusable(&format!("error: {error}")),
    };
    match write(&inspection, arguments.format) {
        _ if inspection.has_fault() => ExitCode::from(EXIT_FOUND),
        Err(error) if error.kind() != ErrorKind::BrokenPipe => unusable(&format!("error: {error}")),
        _ => ExitCode::from(EXIT_CLEAN),
    }
}

fn unusable(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(EXIT_UNUSABLE)
}

fn write(inspection: &Inspection, format: Format) -> std::io::Result<()> {
    let text = match format {
        Format::Text => inspection.to_string(),
        Format::Json => serde_json::to_string_pretty(inspection)? + "\n",
    };
    std::io::stdout().lock().write_all(text.as_bytes())
}
