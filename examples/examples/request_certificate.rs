//! Asks an issuing service for a kubelet's serving certificate, and checks what it says.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind as Misuse;
use clap::{Parser, ValueEnum};
use examples::issuing_service::{ROLE, ServingRequest, client, demonstration, request_id};
use pki_core::pem::{CERTIFICATE, decode_single_pem};
use pki_core::{ClusterId, Limits, NodeName};
use signer_hsm::service::client::ClientError;

/// There is a certificate.
const EXIT_ISSUED: u8 = 0;
/// The service refused, or its answer was not the one to the question.
const EXIT_REFUSED: u8 = 1;
/// Arguments, files or the socket cannot be used.
const EXIT_UNUSABLE: u8 = 2;

/// Ask an issuing service for a kubelet's serving certificate
///
/// The key is made here and stays here, unless a request is given. The answer is believed only if the CA of --ca signed it, for
/// this key and these names.
#[derive(Debug, Parser)]
#[command(
    name = "request_certificate",
    after_help = "Examples:
  request_certificate                                  what it does, shown with a service of its own
  request_certificate --socket state/issuing.sock --ca state/ca.crt --cluster prod-1 --node node-1.pool-a.example \\
                      --out node-1.crt --key-out node-1.key
  request_certificate --socket state/issuing.sock --ca state/ca.crt --cluster prod-1 --node node-1.pool-a.example \\
                      --csr node-1.csr --out node-1.crt

Exit status: 0 there is a certificate; 1 the service refused, or its answer is not what was asked for; 2 unusable arguments,
files or socket."
)]
struct Arguments {
    /// Where the service listens
    #[arg(long, value_name = "SOCKET")]
    socket: PathBuf,

    /// The CA certificate that is trusted
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,

    /// The name of the cluster
    #[arg(long, value_name = "NAME")]
    cluster: ClusterId,

    /// The name of the node
    #[arg(long, value_name = "NODE")]
    node: NodeName,

    /// A DNS name of the certificate; without any, the node's
    #[arg(long = "name", value_name = "NAME", conflicts_with = "csr")]
    names: Vec<String>,

    /// A request, PEM or DER, instead of a new key
    #[arg(long, value_name = "FILE", conflicts_with = "key_out")]
    csr: Option<PathBuf>,

    /// Where the certificate goes; without it, to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Where the new key goes; it has not to be there yet
    #[arg(long, value_name = "FILE", required_unless_present = "csr")]
    key_out: Option<PathBuf>,

    /// How long to wait for an answer, in seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,

    /// What standard output gets
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    if std::env::args_os().len() <= 1 {
        return match demonstration() {
            Ok(text) if print(&text).is_ok() => ExitCode::from(EXIT_ISSUED),
            Ok(_) => ExitCode::from(EXIT_REFUSED),
            Err(error) => unusable(&format!("error: {error}")),
        };
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), Misuse::DisplayHelp | Misuse::DisplayVersion) => {
            return ExitCode::from(if error.print().is_ok() { EXIT_ISSUED } else { EXIT_REFUSED });
        }
        // One line: what is wrong. The usage is a --help away.
        Err(error) => return unusable(error.to_string().lines().next().unwrap_or("error: unusable arguments")),
    };
    match run(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => unusable(&format!("error: {error}")),
    }
}

fn unusable(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(EXIT_UNUSABLE)
}

fn print(text: &str) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())
}

fn run(arguments: &Arguments) -> Result<u8, Box<dyn core::error::Error + Send + Sync>> {
    let Arguments { socket, ca, cluster, node, names, csr, out, key_out, timeout, format } = arguments;
    let named = |path: &PathBuf, error: std::io::Error| format!("{}: {error}", path.display());
    let trusted = fs::read(ca).map_err(|error| named(ca, error))?;
    let trusted = decode_single_pem(&trusted, CERTIFICATE, &Limits::DEFAULT)?;
    let asked = match csr {
        Some(path) => ServingRequest::read(node, &fs::read(path).map_err(|error| named(path, error))?)?,
        None if names.is_empty() => ServingRequest::generate(node, &[node.to_string()])?,
        None => ServingRequest::generate(node, names)?,
    };
    let mut client = client(socket, core::time::Duration::from_secs(*timeout));
    let issued = client.current(cluster, ROLE).and_then(|authority| {
        // The service says who signs; whom to believe, the file says.
        if **authority.certificate.der() != *trusted {
            return Err(ClientError::Answer(signer_hsm::service::client::AnswerFault::Issuer));
        }
        let id = request_id().map_err(|error| ClientError::Unavailable(std::io::Error::other(error)))?;
        asked.ask(&mut client, cluster, &authority, id)
    });
    let certificate = match issued {
        Ok(certificate) => certificate,
        Err(error @ (ClientError::Unavailable(_) | ClientError::TurnedAway(_))) => return Err(error.into()),
        Err(error) => {
            let code = if let ClientError::Refused(refusal) = &error { refusal.code() } else { "client" };
            eprintln!("{error}");
            if *format == Format::Json {
                print(&format!(
                    "{}\n",
                    serde_json::json!({ "issued": false, "code": code, "reason": error.to_string() })
                ))?;
            }
            return Ok(EXIT_REFUSED);
        }
    };
    // The key first: a certificate without its key is of no use.
    if let (Some(path), Some(key)) = (key_out, &asked.key) {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| named(path, error))?;
        file.write_all(key.as_bytes())?;
    }
    if let Some(path) = out {
        fs::write(path, &certificate).map_err(|error| named(path, error))?;
    }
    print(&match (format, out) {
        (Format::Text, None) => certificate,
        (Format::Text, Some(path)) => format!("issued: {node} -> {}\n", path.display()),
        (Format::Json, _) => format!("{}\n", serde_json::json!({ "issued": true, "certificate": certificate })),
    })?;
    Ok(EXIT_ISSUED)
}
