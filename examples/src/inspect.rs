//! Looking at what is deployed: one file, or a tree such as `/etc/kubernetes`.

mod demonstration;
mod expiry;
mod kubeconfig;
mod walk;

use core::fmt;
use std::collections::BTreeSet;
use std::path::Path;

use pki_core::expiry::ExpiryTable;
use pki_core::inspect::{BundleView, Content, Remark, Severity};
use pki_core::pem::PemError;
use pki_core::{Limits, Printable};
use serde::Serialize;
use time::UtcDateTime;

pub use self::demonstration::demonstrate;
pub use self::kubeconfig::{EntryKind, KubeconfigEntry, NamedFile};

/// What was found, for people (`Display`) and for programs. Its shape changes only together with
/// [`Inspection::VERSION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Inspection {
    /// The version of this shape.
    pub version: u32,
    /// Whether this was made up for demonstration.
    pub demonstration: bool,
    /// Whether one file was looked at, and not a tree.
    pub single_file: bool,
    /// The files that hold something to show, by path.
    pub files: Vec<InspectedFile>,
    /// Files without a certificate, request or key.
    pub ignored: usize,
    /// When everything expires.
    pub expiry: ExpiryTable,
    /// What a reader should know, file by file.
    pub findings: Vec<Finding>,
}

/// One file, or one entry of a kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InspectedFile {
    /// Where it lies, below the directory that was given.
    pub path: Printable,
    /// Which entry of a kubeconfig this is; a kubeconfig is as many of these as it has clusters and users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<KubeconfigEntry>,
    /// What stands in it.
    #[serde(flatten)]
    pub content: BundleView,
}

/// One thing to know about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Finding {
    /// Where the file lies.
    pub path: Printable,
    /// Which entry of a kubeconfig, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Which block of it, counted from 1, if it is about one.
    pub block: Option<usize>,
    /// The line on which that block begins.
    pub line: Option<usize>,
    /// How much it matters.
    pub severity: Severity,
    /// The stable name.
    pub code: &'static str,
    /// What was found, and the rule.
    pub text: String,
    /// Whether the file's own text says it too.
    #[serde(skip)]
    is_of_block: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Fault => "fault",
            _ => "notice",
        };
        write!(f, "{severity}: {}", self.path)?;
        if let Some(entry) = &self.entry {
            write!(f, ": {entry}")?;
        }
        if let (Some(block), Some(line)) = (self.block, self.line) {
            write!(f, ": PEM block {block}, line {line}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// Why there is nothing to inspect.
#[derive(Debug)]
#[non_exhaustive]
pub enum InspectInputError {
    /// The file or directory cannot be read.
    Unreadable(Printable, std::io::Error),
    /// There is no certificate, request, key or kubeconfig in it.
    Nothing(Printable),
    /// The demonstration could not be made.
    Demonstration(crate::AuthorityError),
}

impl fmt::Display for InspectInputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "`{path}`: {error}"),
            Self::Nothing(path) => {
                write!(
                    f,
                    "`{path}`: nothing to inspect, expected certificates, requests or keys as PEM or DER, or a kubeconfig"
                )
            }
            Self::Demonstration(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for InspectInputError {}

/// A file as it was read.
struct Source {
    path: Printable,
    content: Result<Vec<u8>, Refusal>,
    /// The permission bits, where there are such.
    mode: Option<u32>,
}

/// Why a file was not read.
enum Refusal {
    TooLong { found: u64, max: usize },
    Io(std::io::Error),
    LeadsOut,
}

/// Generous bounds for what is deployed: a file of 1 MiB may be one certificate.
fn limits() -> Limits {
    let mut limits = Limits::DEFAULT;
    (limits.certificate_len_max, limits.request_len_max) = (limits.pem_len_max, limits.pem_len_max);
    limits
}

/// Inspects a file, or every file below a directory, as of `at`.
///
/// # Errors
/// When the path cannot be read, or holds nothing of interest.
pub fn inspect(path: &Path, at: UtcDateTime) -> Result<Inspection, InspectInputError> {
    let shown = || Printable::new(path.as_os_str().as_encoded_bytes());
    let unreadable = |error| InspectInputError::Unreadable(shown(), error);
    let mut inspection = Inspection::new(at);
    inspection.single_file = !std::fs::metadata(path).map_err(unreadable)?.is_dir();
    let mut passed = BTreeSet::new();
    if inspection.single_file {
        inspection.read(&walk::read(path, shown()).map_err(unreadable)?, at);
    } else {
        let walked = walk::walk(path, &mut |source| inspection.read(&source, at)).map_err(unreadable)?;
        inspection.ignored += walked.ignored;
        passed = walked.passed;
    }
    inspection.conclude(at);
    let cut_short = passed.iter().map(|bound| format!("not everything was read: {bound}"));
    inspection
        .findings
        .extend(cut_short.map(|text| Finding::of_file(&shown(), Severity::Fault, "walk_cut_short", text)));
    let nothing = inspection.files.is_empty() && inspection.findings.is_empty();
    if nothing { Err(InspectInputError::Nothing(shown())) } else { Ok(inspection) }
}

impl Inspection {
    /// The version of the shape.
    pub const VERSION: u32 = 1;

    /// Whether something was found that is not in order.
    #[must_use]
    pub fn has_fault(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Fault)
    }

    fn new(at: UtcDateTime) -> Self {
        Self {
            version: Self::VERSION,
            demonstration: false,
            single_file: false,
            files: Vec::new(),
            ignored: 0,
            expiry: ExpiryTable::new(at),
            findings: Vec::new(),
        }
    }

    /// What only all files together show, in the order of their paths, whatever the order of reading was.
    fn conclude(&mut self, at: UtcDateTime) {
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
        self.findings.sort_by(|one, other| one.path.cmp(&other.path));
        expiry::compare_issuers(&mut self.files);
        self.findings.extend(kubeconfig::strangers(&self.files));
        for file in &self.files {
            self.findings.extend(findings_of(file));
        }
        self.expiry = expiry::table(&self.files, at);
    }

    /// Keeps what a file shows, and nothing of its octets.
    fn read(&mut self, source: &Source, at: UtcDateTime) {
        let mut fault = |code, text| self.findings.push(Finding::of_file(&source.path, Severity::Fault, code, text));
        let octets = match &source.content {
            Ok(octets) => octets,
            Err(Refusal::TooLong { found, max }) => {
                return fault("file_too_long", format!("not read: {found} octets, limit {max}"));
            }
            Err(Refusal::Io(error)) => return fault("file_unreadable", format!("not read: {error}")),
            Err(Refusal::LeadsOut) => {
                let text = "not read: a symbolic link that leads out of the directory".to_owned();
                return self.findings.push(Finding::of_file(&source.path, Severity::Notice, "link_leads_out", text));
            }
        };
        let verifiers = Some(pki_core::verify::aws_lc_rs());
        let content = match kind_of(octets) {
            Kind::Pem => match BundleView::parse_pem(octets, at, verifiers, &limits()) {
                Ok(view) if view.blocks.is_empty() => return self.ignored += 1,
                Ok(view) => view,
                Err(error) => return fault("pem", error_text(&error)),
            },
            Kind::Kubeconfig => return self.read_kubeconfig(source, octets, at),
            Kind::Der => match BundleView::parse_der(octets, at, verifiers, &limits()) {
                Ok(view) => view,
                Err(_) => return self.ignored += 1,
            },
            Kind::Other => return self.ignored += 1,
        };
        self.files.push(InspectedFile { path: source.path.clone(), entry: None, content });
        self.judge_mode(source);
    }

    fn read_kubeconfig(&mut self, source: &Source, octets: &[u8], at: UtcDateTime) {
        let entries = match kubeconfig::read(octets) {
            Ok(entries) if entries.is_empty() => return self.ignored += 1,
            Ok(entries) => entries,
            Err(error) => {
                let text = format!("kubeconfig: not readable: {error}");
                return self.findings.push(Finding::of_file(&source.path, Severity::Fault, "kubeconfig", text));
            }
        };
        self.files.extend(entries.into_iter().filter_map(|held| held.view(&source.path, at, &mut self.findings)));
        self.judge_mode(source);
    }

    /// Whether everybody gets at a key in the file that was read last.
    fn judge_mode(&mut self, source: &Source) {
        let mut parts = self.files.iter().rev().take_while(|file| file.path == source.path);
        let holds_key = parts.any(InspectedFile::holds_key);
        // 0o006: everybody may read or write it.
        if let Some(mode) = source.mode.filter(|mode| holds_key && mode & 0o006 != 0) {
            let text =
                format!("a private key that everybody may read or write: mode {:04o}, expected 0600", mode & 0o7777);
            self.findings.push(Finding::of_file(&source.path, Severity::Fault, "key_mode", text));
        }
    }
}

impl InspectedFile {
    fn holds_key(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.embeds_key)
            || self.content.blocks.iter().any(|block| block.content == Content::PrivateKey)
    }
}

/// An error about a whole file: it says where itself.
fn error_text(error: &PemError) -> String {
    format!("not readable: {error}")
}

enum Kind {
    Pem,
    Der,
    Kubeconfig,
    Other,
}

/// What a file is by its content; its name says nothing.
fn kind_of(octets: &[u8]) -> Kind {
    let mut lines = octets.split(|octet| *octet == b'\n');
    if lines.any(|line| line.starts_with(b"-----BEGIN ")) {
        Kind::Pem
    } else if octets.first() == Some(&0x30) {
        Kind::Der
    } else if kubeconfig::is_kubeconfig(octets) {
        Kind::Kubeconfig
    } else {
        Kind::Other
    }
}

impl Finding {
    fn of_file(path: &Printable, severity: Severity, code: &'static str, text: String) -> Self {
        Self { path: path.clone(), entry: None, block: None, line: None, severity, code, text, is_of_block: false }
    }

    fn of_entry(
        path: &Printable,
        entry: &KubeconfigEntry,
        severity: Severity,
        code: &'static str,
        text: String,
    ) -> Self {
        Self { entry: Some(entry.to_string()), ..Self::of_file(path, severity, code, text) }
    }
}

/// What the blocks of a file say about themselves.
fn findings_of(file: &InspectedFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for block in &file.content.blocks {
        let mut add = |severity, code, text| {
            let (block, line) =
                (Some(block.block).filter(|block| *block > 0), Some(block.line).filter(|line| *line > 0));
            let entry = file.entry.as_ref().map(ToString::to_string);
            findings.push(Finding {
                path: file.path.clone(),
                entry,
                block,
                line,
                severity,
                code,
                text,
                is_of_block: true,
            });
        };
        let remarks: &[Remark] = match &block.content {
            Content::Certificate(view) => &view.remarks,
            Content::Request(view) => &view.remarks,
            Content::Unreadable(error) => {
                // The error says where, too.
                let (whole, position) =
                    (error.to_string(), format!("PEM block {}, line {}: ", block.block, block.line));
                let rule = whole.strip_prefix(&position).unwrap_or(&whole);
                add(Severity::Fault, "block_unreadable", format!("not readable: {rule}"));
                &[]
            }
            _ => &[],
        };
        remarks.iter().for_each(|remark| add(remark.severity(), remark.code(), remark.to_string()));
        if let Some(first) = block.duplicate_of {
            add(Severity::Notice, "duplicate", format!("the same certificate as block {first}"));
        }
    }
    findings
}

impl fmt::Display for InspectedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = &self.entry {
            writeln!(f, "{entry}")?;
            if entry.embeds_key {
                writeln!(f, "client-key-data: a private key, not decoded")?;
            }
        }
        self.content.fmt(f)
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.single_file {
            for (index, file) in self.files.iter().enumerate() {
                if index > 0 {
                    writeln!(f)?;
                }
                file.fmt(f)?;
            }
            // What is said of a block stands with it.
            let mut of_file = self.findings.iter().filter(|finding| !finding.is_of_block);
            return of_file.try_for_each(|finding| writeln!(f, "{finding}"));
        }
        if self.demonstration {
            writeln!(f, "{}\n", demonstration::HEADING)?;
        }
        // A kubeconfig is several of the parts.
        let files: BTreeSet<_> = self.files.iter().map(|file| &file.path).collect();
        write!(f, "{}\nfiles: {}  ignored: {}\n", self.expiry, files.len(), self.ignored)?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))
    }
}
