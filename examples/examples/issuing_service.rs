//! An issuing service on a Unix socket: it holds the key of a cluster's root and gives kubelets their certificates.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind as Misuse;
use clap::{Parser, ValueEnum};
use examples::ServiceClock;
use examples::issuing_service::{Keys, RunningService, ServiceOptions, demonstration};
use pki_core::{ClusterId, DnsName};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signer_hsm::pkcs11::Pkcs11Uri;
use signer_hsm::service::log::{Durability, verify_directory};

/// It ended in good order, or the log is sound.
const EXIT_WELL: u8 = 0;
/// Connections were cut off at the end, or the log is not sound.
const EXIT_BROKEN: u8 = 1;
/// Arguments, the directory or the socket cannot be used.
const EXIT_UNUSABLE: u8 = 2;

/// Hold the key of a cluster's root and give kubelets their certificates
///
/// The directory has the key, the CA certificate and the issuance log; what is missing is made. Everything that is given out
/// or refused stands in the log before it is answered. SIGTERM or SIGINT answers what has arrived, and ends.
#[derive(Debug, Parser)]
#[command(
    name = "issuing_service",
    after_help = "Examples:
  issuing_service                                            what it does, shown in a directory that is gone afterwards
  issuing_service --dir state --cluster prod-1 --domain pool-a.example
  issuing_service --dir state --cluster prod-1 --domain pool-a.example --allow-uid 65534
  issuing_service --dir state --cluster prod-1 --domain pool-a.example --key-store pkcs11 --pin-file pin \
                  --module /usr/lib/softhsm/libsofthsm2.so --token pkcs11:token=ca-1
  issuing_service --dir state --verify-log                   whether the log is whole, and its head

Ask it with: request_certificate --socket state/issuing.sock --ca state/ca.crt --cluster prod-1 --node node-1.pool-a.example

Exit status: 0 it ended in good order, or the log is sound; 1 connections were cut off, or the log is not sound; 2 unusable
arguments, directory or socket."
)]
struct Arguments {
    /// Where key, certificate, log and socket are; it has to be there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// The name of the cluster
    #[arg(long, value_name = "NAME", required_unless_present = "verify_log")]
    cluster: Option<ClusterId>,

    /// What the names of nodes end in
    #[arg(long, value_name = "DOMAIN", required_unless_present = "verify_log")]
    domain: Option<DnsName>,

    /// Where the key is
    #[arg(long, value_enum, default_value_t = KeyStoreKind::Software)]
    key_store: KeyStoreKind,

    /// The PKCS#11 module of the token
    #[arg(long, value_name = "FILE", required_if_eq("key_store", "pkcs11"))]
    module: Option<PathBuf>,

    /// The token, as a PKCS#11 URI (RFC 7512) without PIN: pkcs11:token=ca-1
    #[arg(long, value_name = "URI", required_if_eq("key_store", "pkcs11"))]
    token: Option<Pkcs11Uri>,

    /// A file whose first line is the user's PIN of the token
    #[arg(long, value_name = "FILE", required_if_eq("key_store", "pkcs11"))]
    pin_file: Option<PathBuf>,

    /// Another user of this machine who may ask
    #[arg(long = "allow-uid", value_name = "UID")]
    users: Vec<u32>,

    /// Do not wait for the disk: the log survives the end of the process, not a loss of power
    #[arg(long)]
    no_sync: bool,

    /// Verify the log and end
    #[arg(long)]
    verify_log: bool,

    /// What standard output gets
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyStoreKind {
    Software,
    Pkcs11,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    if std::env::args_os().len() <= 1 {
        return match demonstration() {
            Ok(text) if print(&text).is_ok() => ExitCode::from(EXIT_WELL),
            Ok(_) => ExitCode::from(EXIT_BROKEN),
            Err(error) => unusable(&format!("error: {error}")),
        };
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), Misuse::DisplayHelp | Misuse::DisplayVersion) => {
            return ExitCode::from(if error.print().is_ok() { EXIT_WELL } else { EXIT_BROKEN });
        }
        // One line: what is wrong. The usage is a --help away.
        Err(error) => return unusable(error.to_string().lines().next().unwrap_or("error: unusable arguments")),
    };
    match run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => unusable(&format!("error: {error}")),
    }
}

fn unusable(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(EXIT_UNUSABLE)
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn run(arguments: Arguments) -> Result<u8, Box<dyn core::error::Error + Send + Sync>> {
    let Arguments { dir, cluster, domain, key_store, module, token, pin_file, users, no_sync, verify_log, format } =
        arguments;
    if verify_log {
        return verify(&dir, format);
    }
    let (Some(cluster), Some(domain)) = (cluster, domain) else {
        return Err("--cluster and --domain are needed".into());
    };
    let keys = match (key_store, module, token, pin_file) {
        (KeyStoreKind::Software, ..) => Keys::Software,
        (KeyStoreKind::Pkcs11, Some(module), Some(token), Some(pin_file)) => {
            Keys::Token { module, token: Box::new(token), pin_file }
        }
        (KeyStoreKind::Pkcs11, ..) => return Err("--module, --token and --pin-file are needed".into()),
    };
    // Before the service begins, so that none is missed.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let durability = if no_sync { Durability::Written } else { Durability::Synced };
    let options = ServiceOptions { directory: dir, cluster, domain, keys, users, durability };
    let running = RunningService::begin(&options, Arc::new(ServiceClock::start()))?;
    if let Some(torn) = running.service.torn() {
        eprintln!("the log: {torn}");
    }
    let (socket, signer) = (running.socket.display().to_string(), running.signer);
    print(&match format {
        Format::Text => format!(
            "serving: {} at {socket}, epoch {}, key {}\nask: request_certificate --socket {socket} --ca {} --cluster {} --node NODE.{}\n",
            options.cluster,
            signer.epoch,
            signer.key,
            options.directory.join("ca.crt").display(),
            options.cluster,
            options.domain,
        ),
        Format::Json => {
            serde_json::json!({
                "event": "serving", "cluster": options.cluster.as_str(), "socket": socket,
                "epoch": signer.epoch.number(), "key": signer.key.to_string(),
            })
            .to_string()
                + "\n"
        }
    })?;
    signals.forever().next();
    let service = Arc::clone(&running.service);
    let drained = running.drain();
    print(&match format {
        Format::Text => format!(
            "ended: {} connections finished, {} cut off, log at {}\n",
            drained.finished,
            drained.cut_off,
            service.head()
        ),
        Format::Json => serde_json::json!({
            "event": "ended", "finished": drained.finished, "cutOff": drained.cut_off, "head": service.head().to_string(),
        })
        .to_string()
            + "\n",
    })?;
    Ok(if drained.cut_off == 0 { EXIT_WELL } else { EXIT_BROKEN })
}

fn verify(directory: &Path, format: Format) -> Result<u8, Box<dyn core::error::Error + Send + Sync>> {
    let outcome = verify_directory(directory, None, |_| {});
    let (head, verified) = match outcome {
        Ok(found) => found,
        Err(error @ signer_hsm::service::log::LogError::Io(_)) => return Err(error.into()),
        Err(error) => {
            eprintln!("not sound: {error}");
            return Ok(EXIT_BROKEN);
        }
    };
    print(&match format {
        Format::Text => format!("sound: {} issued, {} refused, head {head}\n", verified.issued, verified.refused),
        Format::Json => {
            serde_json::json!({
                "issued": verified.issued, "refused": verified.refused, "prepared": verified.prepared,
                "unfinishedOctets": verified.unfinished, "head": head.to_string(),
            })
            .to_string()
                + "\n"
        }
    })?;
    Ok(EXIT_WELL)
}
