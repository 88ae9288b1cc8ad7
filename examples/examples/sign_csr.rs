//! Signs certification requests by the rules of the Kubernetes signers, and by the stricter ones of `pki-core`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind as Misuse;
use clap::{Parser, ValueEnum};
use examples::Clock;
use examples::sign_csr::{
    CaDirectory, Job, SignedRequest, SigningOrder, demonstration, jobs, node_address, publish, read_bounded, shown,
    sign_csr,
};
use pki_core::kubernetes::{ApprovedByAddress, NodeAddress, SignerName, SignerPolicy, Usages};
use pki_core::verify::aws_lc_rs;
use pki_core::{Limits, UnusedExtensions};
use time::{Duration, UtcDateTime};

/// Every request was signed.
const EXIT_SIGNED: u8 = 0;
/// A request was refused.
const EXIT_REFUSED: u8 = 1;
/// Arguments, the CA directory or a file cannot be used.
const EXIT_UNUSABLE: u8 = 2;

/// Sign certification requests as a Kubernetes signer does, and refuse what it should
///
/// Upstream's rules for the signer come first, with kube-controller-manager's own texts; then stricter ones, each with
/// a code. A refused request leaves no file, and a file that was there as it was.
#[derive(Debug, Parser)]
#[command(
    name = "sign_csr",
    after_help = "Examples:
  sign_csr                                             what it does, shown on a CA in memory
  sign_csr --ca-dir pki --signer kubernetes.io/kube-apiserver-client \\
           --usages 'digital signature,client auth' --in jane.csr --out jane.pem
  sign_csr --ca-dir pki --signer kubernetes.io/kubelet-serving --usages 'digital signature,server auth' \\
           --requestor system:node:node-1 --node-address 10.0.0.11 --node-address node-1.example.com \\
           --in node-1.csr --out node-1.pem
  sign_csr --ca-dir pki --signer kubernetes.io/kube-apiserver-client-kubelet \\
           --usages 'digital signature,client auth' --in requests --out certificates

A request is PEM or DER, by its content. A directory gives one `<stem>.pem` for each of its files.

Exit status: 0 every request was signed; 1 a request was refused, with the reason on standard error; 2 unusable
arguments, CA directory or files."
)]
struct Arguments {
    /// Where ca.crt and ca.key are
    #[arg(long, value_name = "DIR")]
    ca_dir: PathBuf,

    /// The signer's full name, such as kubernetes.io/kubelet-serving
    #[arg(long, value_name = "FULL-NAME", value_parser = parse_signer)]
    signer: SignerPolicy,

    /// What the keys are to be used for, separated by commas, such as 'digital signature,client auth'
    #[arg(long, value_name = "USAGES", value_parser = parse_usages)]
    usages: Usages,

    /// How long each certificate is to live, in seconds; at least 600. Without it: the signer's limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(600..))]
    expiration_seconds: Option<i32>,

    /// The signer's own limit, in seconds; at least 600
    #[arg(long, value_name = "SECONDS", default_value_t = 31_536_000, value_parser = clap::value_parser!(i64).range(600..))]
    signing_duration: i64,

    /// The user who asks, such as system:node:node-1
    #[arg(long, value_name = "NAME")]
    requestor: Option<String>,

    /// A name or address that the node is known to have; with any given, a serving certificate has no other. The node is
    /// the requestor, or else the one that the request names
    #[arg(long = "node-address", value_name = "A", value_parser = node_address)]
    node_addresses: Vec<NodeAddress>,

    /// Drop extensions that no certificate takes from a request, as kube-controller-manager does, instead of refusing
    #[arg(long)]
    drop_unused_extensions: bool,

    /// A request, or a directory of requests
    #[arg(long = "in", value_name = "FILE|DIR")]
    input: PathBuf,

    /// Where the certificate goes, or the directory of the certificates
    #[arg(long = "out", value_name = "FILE|DIR")]
    output: PathBuf,

    /// What standard output gets: a line per request, or one JSON document
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn parse_signer(text: &str) -> Result<SignerPolicy, String> {
    let signer = text.parse::<SignerName>().map_err(|error| error.to_string())?;
    SignerPolicy::new(signer).map_err(|error| error.to_string())
}

fn parse_usages(text: &str) -> Result<Usages, String> {
    Usages::parse(text.split(',').map(str::trim)).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    if std::env::args_os().len() <= 1 {
        return demonstrate();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), Misuse::DisplayHelp | Misuse::DisplayVersion) => {
            return ExitCode::from(if error.print().is_ok() { EXIT_SIGNED } else { EXIT_REFUSED });
        }
        // One line: what is wrong. The usage is a --help away.
        Err(error) => return unusable(error.to_string().lines().next().unwrap_or("error: unusable arguments")),
    };
    match run(arguments) {
        Ok(tally) if tally.refused == 0 => ExitCode::from(EXIT_SIGNED),
        Ok(_) => ExitCode::from(EXIT_REFUSED),
        Err(error) => unusable(&format!("error: {error}")),
    }
}

fn unusable(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(EXIT_UNUSABLE)
}

/// What became of the requests.
#[derive(Default)]
struct Tally {
    refused: usize,
    entries: Vec<serde_json::Value>,
}

fn run(arguments: Arguments) -> Result<Tally, Box<dyn core::error::Error>> {
    let now = Clock::default().now();
    let ca = CaDirectory::open(&arguments.ca_dir, now)?;
    if arguments.input.is_dir() && !arguments.node_addresses.is_empty() && arguments.requestor.is_none() {
        return Err("--node-address with a directory needs --requestor: the addresses are those of one node".into());
    }
    let jobs = jobs(&arguments.input, &arguments.output)?;
    ca_files_are_no_outputs(&arguments.ca_dir, &jobs)?;
    let order = SigningOrder {
        policy: arguments.signer.with_signing_duration(Duration::seconds(arguments.signing_duration))?,
        usages: arguments.usages,
        expiration_seconds: arguments.expiration_seconds,
        requestor: arguments.requestor,
        addresses: arguments.node_addresses,
        unused_extensions: if arguments.drop_unused_extensions {
            UnusedExtensions::Drop
        } else {
            UnusedExtensions::Refuse
        },
    };
    let mut tally = Tally::default();
    let outcome = jobs.iter().try_for_each(|job| tally.sign(&ca, &order, job, arguments.format, now));
    // Also of a run that could not go on: what was signed until then is told.
    if arguments.format == Format::Json {
        print(&(serde_json::to_string_pretty(&tally.entries)? + "\n"))?;
    }
    outcome.map(|()| tally)
}

/// The CA's own files are not the place of a certificate.
fn ca_files_are_no_outputs(ca_dir: &Path, jobs: &[Job]) -> Result<(), String> {
    let own = ["ca.crt", "ca.key"].map(|name| ca_dir.join(name).canonicalize());
    let is_own =
        |output: &Path| output.canonicalize().is_ok_and(|output| own.iter().flatten().any(|own| *own == output));
    match jobs.iter().find(|job| is_own(&job.output)) {
        Some(job) => Err(format!("{}: is a file of the CA, and would be overwritten", shown(&job.output))),
        None => Ok(()),
    }
}

impl Tally {
    fn sign(
        &mut self,
        ca: &CaDirectory,
        order: &SigningOrder,
        job: &Job,
        format: Format,
        now: UtcDateTime,
    ) -> Result<(), Box<dyn core::error::Error>> {
        let received = read_bounded(&job.input, Limits::DEFAULT.pem_len_max)?;
        match sign_csr(ca, order, &received, aws_lc_rs(), now) {
            Ok(signed) => {
                // Told before it is there: no certificate exists of which nobody was told.
                if format == Format::Text {
                    print(&format!("{}\n", line(&job.input, &job.output, &signed)))?;
                }
                self.entries.push(signed_entry(job, &signed));
                publish(&job.output, &signed.pem)?;
            }
            Err(unsigned) if !unsigned.is_the_requests() => return Err(unsigned.into()),
            Err(unsigned) => {
                self.refused += 1;
                let code = unsigned.code();
                eprintln!("refused: {}: {code}: {unsigned}", shown(&job.input));
                self.entries.push(serde_json::json!({
                    "in": job.input.to_string_lossy(), "signed": false, "code": code, "reason": unsigned.to_string(),
                }));
            }
        }
        Ok(())
    }
}

fn line(input: &Path, output: &Path, signed: &SignedRequest) -> String {
    format!("signed: {} -> {}: {}{}", shown(input), shown(output), signed.record, remark(signed))
}

const fn remark(signed: &SignedRequest) -> &'static str {
    match signed.approved_by_address {
        Some(ApprovedByAddress::No) => " (names not approved by address)",
        Some(ApprovedByAddress::Yes) => " (names approved by address)",
        None => "",
    }
}

fn signed_entry(job: &Job, signed: &SignedRequest) -> serde_json::Value {
    let record = &signed.record;
    serde_json::json!({
        "in": job.input.to_string_lossy(),
        "signed": true,
        "out": job.output.to_string_lossy(),
        "approvedByAddress": signed.approved_by_address.map(|approved| approved == ApprovedByAddress::Yes),
        "signer": record.purpose.to_string(),
        "serial": record.serial.to_string(),
        "commonName": record.subject.common_name(),
        "organizations": record.subject.organizations(),
        "subjectAltNames": record.subject_alt_names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "notBefore": record.validity.not_before().unix_timestamp(),
        "notAfter": record.validity.not_after().unix_timestamp(),
        "subjectKeyIdentifier": record.subject_key_id.to_string(),
        "authorityKeyIdentifier": record.issuer.to_string(),
        "tbsSha256": record.tbs_sha256.to_string(),
    })
}

fn print(text: &str) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())
}

/// Without arguments: the rules at work, on a CA and requests that exist in memory only.
fn demonstrate() -> ExitCode {
    match demonstration(Clock::default().now()) {
        Ok(text) if print(&text).is_ok() => ExitCode::from(EXIT_SIGNED),
        Ok(_) => ExitCode::from(EXIT_REFUSED),
        Err(error) => unusable(&format!("error: {error}")),
    }
}
