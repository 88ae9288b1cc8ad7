//! Writes a complete, usable `/etc/kubernetes`: authorities, leaves, kubeconfigs, static pods.

use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind as Misuse;
use clap::{Parser, ValueEnum};
use comfy_table::{Table, presets};
use examples::{Clock, ClusterTree, Destination, TreeReport, TreeSpec, machine};
use indicatif::ProgressBar;
use pki_core::{
    ApiServerEndpoint, ClusterNames, ClusterNamesError, ClusterNamesSpec, DnsName, KeyAlgorithm, LeafKind, NameError,
    NodeName, Preset, ServiceCidrs, SubjectAltName,
};

/// The tree stands where it should.
const EXIT_ISSUED: u8 = 0;
/// Something could not be issued.
const EXIT_FAILED: u8 = 1;
/// The arguments or the output directory cannot be used.
const EXIT_UNUSABLE: u8 = 2;

/// The node's name where the machine's own is not a node's name.
const NODE_NAME: &str = "control-plane-1";

/// Write the complete PKI of a control-plane node: pki/, pki/etcd/, kubeconfigs, static pods, the kubelet's
/// configuration
///
/// The tree follows kubeadm 1.36: paths, modes, subjects, extended key usages and alternative names. Key usages and key
/// identifiers are stricter; docs/deviations.md lists each difference.
///
/// For gke, gke-spanner and gdc it has their authorities and leaves in kubeadm's manner. The static pod of their
/// Konnectivity server is not in the tree, nor is any of etcd for gke-spanner, whose store is no etcd.
///
/// The directory appears whole or not at all, and nothing is overwritten. A kill during the writing leaves a directory
/// named .issue-cluster-* beside it, which only its owner can read and which may hold CA keys: remove it.
#[derive(Debug, Parser)]
#[command(
    name = "issue_cluster",
    after_help = "Examples:
  issue_cluster                                             a kubeadm tree in a new temporary directory
  issue_cluster --out kubernetes                            the same in ./kubernetes, which must be new or empty
  issue_cluster --out k --node-name cp1 --advertise-address 10.0.0.5 --control-plane-endpoint api.example.com:443
  issue_cluster --out k --sans api.example.com,10.0.0.100   more names of the API server
  issue_cluster --out k --service-cidr 10.96.0.0/16,fd00:96::/112
  issue_cluster --out k --preset gke --algorithm ed25519    both etcd authorities and Konnectivity's
  issue_cluster --format json | jq -r '.files[] | select(.not_after) | [.path, .not_after] | @tsv'

  openssl verify -x509_strict -purpose sslserver -CAfile k/pki/ca.crt k/pki/apiserver.crt
  kubectl --kubeconfig k/admin.conf version

Manifests name files under /etc/kubernetes, where the tree belongs on a node.

Exit status: 0 written; 1 something could not be issued; 2 unusable arguments or output directory."
)]
struct Arguments {
    /// The cluster's hierarchy: gke, gke-spanner, gdc or kubeadm
    #[arg(long, value_name = "PRESET", default_value_t = Preset::Kubeadm)]
    preset: Preset,

    /// Where the tree is written: a new or empty directory [default: a new one among the temporary files]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// The kind of every key: p256, p384, rsa2048, rsa3072, rsa4096 or ed25519
    #[arg(long, value_name = "ALGORITHM", default_value_t = KeyAlgorithm::P256)]
    algorithm: KeyAlgorithm,

    /// More DNS names and addresses of the API server; no wildcards, which kubeadm's certSANs take
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = parse_alternative_name)]
    sans: Vec<SubjectAltName>,

    /// More DNS names and addresses of the etcd member on its client port
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = parse_alternative_name)]
    etcd_server_sans: Vec<SubjectAltName>,

    /// More DNS names and addresses of the etcd member on its peer port
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = parse_alternative_name)]
    etcd_peer_sans: Vec<SubjectAltName>,

    /// The node [default: the name of this machine, or control-plane-1 where that is no node's name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<NodeName>,

    /// The address at which others reach the node [default: the one of this machine's default route, or 192.0.2.10]
    #[arg(long, value_name = "ADDRESS")]
    advertise_address: Option<IpAddr>,

    /// Host and port where clients find the API servers [default: the advertised address, port 6443]
    #[arg(long, value_name = "HOST[:PORT]")]
    control_plane_endpoint: Option<ApiServerEndpoint>,

    /// Where services get their addresses from: one range, or one of each IP family
    #[arg(long, value_name = "CIDR[,CIDR]", default_value_t = ServiceCidrs::default())]
    service_cidr: ServiceCidrs,

    /// The domain of services [default: cluster.local]
    #[arg(long, value_name = "DOMAIN")]
    dns_domain: Option<DnsName>,

    /// What standard output gets: a table, or the same as JSON
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn parse_alternative_name(text: &str) -> Result<SubjectAltName, NameError> {
    text.parse().map_or_else(|_not_an_address| SubjectAltName::dns(text), SubjectAltName::ip)
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), Misuse::DisplayHelp | Misuse::DisplayVersion) => {
            return ExitCode::from(if error.print().is_ok() { EXIT_ISSUED } else { EXIT_FAILED });
        }
        // One line: what is wrong. The usage is a --help away.
        Err(error) => return failed(EXIT_UNUSABLE, error.to_string().lines().next().unwrap_or("error: unusable")),
    };
    let format = arguments.format;
    let (spec, destination) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(error) => return failed(EXIT_UNUSABLE, &format!("error: {error}")),
    };
    let spinner = spinner(spec.algorithm);
    let tree = ClusterTree::issue(&spec, Clock::default().now());
    spinner.finish_and_clear();
    let tree = match tree {
        Ok(tree) => tree,
        Err(error) => return failed(EXIT_FAILED, &format!("error: {error}")),
    };
    let told = match tree.publish(destination) {
        Ok(report) => tell(&report, format),
        Err(error) => return failed(EXIT_UNUSABLE, &format!("error: {error}")),
    };
    match told {
        // The tree is written whether or not its reader is still there.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => failed(EXIT_UNUSABLE, &format!("error: {error}")),
        _ => ExitCode::from(EXIT_ISSUED),
    }
}

/// Long RSA keys take a while. Off a terminal nothing is drawn.
fn spinner(algorithm: KeyAlgorithm) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(format!("making {algorithm} keys and certificates"));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn failed(status: u8, message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(status)
}

/// What is to be issued and where it goes, made sure of before the first key is.
fn prepare(arguments: Arguments) -> Result<(TreeSpec, Destination), Box<dyn std::error::Error>> {
    let node = arguments.node_name.or_else(machine::node_name).map_or_else(|| NODE_NAME.parse(), Ok)?;
    let address = arguments.advertise_address.unwrap_or_else(|| machine::advertise_address(&arguments.service_cidr));
    let mut names = ClusterNamesSpec::new(node, address);
    names.service_cidrs = arguments.service_cidr;
    names.dns_domain = arguments.dns_domain;
    names.endpoint = arguments.control_plane_endpoint;
    names.api_server_names = arguments.sans;
    names.etcd_server_names = arguments.etcd_server_sans;
    names.etcd_peer_names = arguments.etcd_peer_sans;
    let names = ClusterNames::new(names).map_err(|error| match argument_of(&error) {
        Some(argument) => format!("{argument}: {error}"),
        None => error.to_string(),
    })?;
    let mut spec = TreeSpec::new(arguments.preset, names);
    spec.algorithm = arguments.algorithm;
    let destination = arguments.out.map_or_else(Destination::temporary, |out| Destination::open(&out))?;
    Ok((spec, destination))
}

/// The argument to blame, where the error does not quote it.
const fn argument_of(error: &ClusterNamesError) -> Option<&'static str> {
    match error {
        ClusterNamesError::TooManyNames { leaf: LeafKind::ApiServer, .. } => Some("--sans"),
        ClusterNamesError::TooManyNames { leaf: LeafKind::EtcdServer, .. } => Some("--etcd-server-sans"),
        ClusterNamesError::TooManyNames { leaf: LeafKind::EtcdPeer, .. } => Some("--etcd-peer-sans"),
        _ => None,
    }
}

fn tell(report: &TreeReport, format: Format) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    if format == Format::Json {
        return writeln!(stdout, "{}", serde_json::to_string_pretty(report)?);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["FILE", "MODE", "SUBJECT", "EXPIRES"]);
    for file in &report.files {
        let (subject, expires) = (file.subject.as_deref(), file.not_after.as_deref());
        let expires = expires.and_then(|expires| expires.split_once('T')).map_or("", |(date, _)| date);
        table.add_row([&*file.path, &file.mode, subject.unwrap_or_default(), expires]);
    }
    writeln!(stdout, "{table}\n")?;
    let certificates = report.files.iter().filter(|file| file.not_after.is_some()).count();
    writeln!(
        stdout,
        "{} files, {certificates} certificates ({}, {}) for node {}: {}",
        report.files.len(),
        report.preset,
        report.algorithm,
        report.node,
        report.directory.as_deref().unwrap_or_default()
    )
}
