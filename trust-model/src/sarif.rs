//! The report as SARIF 2.1.0 (OASIS), which code-scanning services show beside the files that a finding is about.

use serde::{Serialize, Serializer};

use crate::check::{Check, Severity, Subject};
use crate::fact::Place;
use crate::report::{Finding, Report};

/// A log of one run: a rule for each check, a result for each subject of each finding.
///
/// What could not be evaluated is a result of kind `open`, and what does not apply one of kind `notApplicable`; a waived
/// finding stays, with a suppression that gives the reason.
#[derive(Clone, Copy, Debug)]
pub struct Sarif<'a>(&'a Report);

impl Report {
    /// The report in the shape of SARIF 2.1.0, to be serialized as JSON.
    #[must_use]
    pub const fn sarif(&self) -> Sarif<'_> {
        Sarif(self)
    }
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    invocations: [Invocation; 1],
    results: Vec<ResultShape>,
    column_kind: &'static str,
    properties: RunProperties,
}

#[derive(Serialize)]
struct RunProperties {
    cluster: String,
    fitness: &'static str,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    information_uri: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    short_description: Message,
    full_description: Message,
    help: Message,
    default_configuration: Configuration,
    properties: RuleProperties,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleProperties {
    tags: Vec<&'static str>,
    applies_to: &'static str,
    source: &'static str,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    end_time_utc: String,
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Serialize)]
struct Notification {
    level: &'static str,
    message: Message,
    locations: Vec<Location>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultShape {
    rule_id: &'static str,
    rule_index: usize,
    kind: &'static str,
    level: &'static str,
    message: Message,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<Location>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_fingerprints: Option<Fingerprints>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
}

#[derive(Serialize)]
struct Fingerprints {
    #[serde(rename = "subject/v1")]
    subject: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_location: Option<PhysicalLocation>,
    logical_locations: Vec<LogicalLocation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: String,
    kind: &'static str,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    status: &'static str,
    justification: String,
}

impl Serialize for Sarif<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.0;
        Log { schema: "https://json.schemastore.org/sarif-2.1.0.json", version: "2.1.0", runs: [run(report)] }
            .serialize(serializer)
    }
}

fn run(report: &Report) -> Run {
    Run {
        tool: Tool {
            driver: Driver {
                name: env!("CARGO_PKG_NAME"),
                semantic_version: env!("CARGO_PKG_VERSION"),
                information_uri: env!("CARGO_PKG_REPOSITORY"),
                rules: report.checks.iter().map(|check| rule(check.check)).collect(),
            },
        },
        invocations: [Invocation {
            execution_successful: true,
            end_time_utc: crate::moment(report.at),
            tool_execution_notifications: notifications(report),
        }],
        results: results(report),
        column_kind: "unicodeCodePoints",
        properties: RunProperties { cluster: report.cluster.clone(), fitness: report.cluster_fitness().0.id() },
    }
}

fn rule(check: &Check) -> Rule {
    let paths = check.channels.iter().map(|channel| channel.id());
    let help = format!("{}\n\n{}\n\nSource: {}.", check.rationale, check.remediation, check.source);
    Rule {
        id: check.id,
        short_description: sentence(check.summary),
        full_description: sentence(check.rationale),
        help: Message { text: help },
        default_configuration: Configuration { level: level(check.severity) },
        properties: RuleProperties {
            tags: core::iter::once(check.family()).chain(paths).collect(),
            applies_to: check.applies_to,
            source: check.source,
        },
    }
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Notice => "note",
        Severity::Warn => "warning",
        Severity::Error => "error",
    }
}

fn sentence(text: &str) -> Message {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if text.ends_with('.') { "" } else { "." };
    Message { text: format!("{first}{}{stop}", letters.as_str()) }
}

fn results(report: &Report) -> Vec<ResultShape> {
    let mut results = Vec::new();
    for (rule_index, check) in report.checks.iter().enumerate() {
        let id = check.check.id;
        for finding in report.findings.iter().filter(|finding| finding.check.id == id) {
            results.extend(finding.subjects.iter().map(|subject| failure(rule_index, finding, subject)));
        }
        let beside = |kind, text| ResultShape {
            rule_id: id,
            rule_index,
            kind,
            // SARIF 3.27.10: whatever is not a failure has no level.
            level: "none",
            message: Message { text },
            locations: Vec::new(),
            partial_fingerprints: None,
            suppressions: Vec::new(),
        };
        results.extend(check.missing.iter().map(|what| beside("open", format!("Not evaluated: {what} is not known."))));
        if check.is_not_applicable() && !report.findings.iter().any(|finding| finding.check.id == id) {
            let what = check.check.applies_to;
            results.push(beside("notApplicable", format!("There is nothing that it applies to: {what}.")));
        }
    }
    results
}

fn failure(rule_index: usize, finding: &Finding, subject: &Subject) -> ResultShape {
    let Finding { check, evidence, waiver, .. } = finding;
    let asserted = if evidence.asserted { " (as somebody says)" } else { "" };
    let text = format!(
        "{}: {}; expected {}, found {}{asserted}.",
        subject.name, check.summary, evidence.expected, evidence.found
    );
    let suppressions = waiver.iter().map(|waiver| Suppression {
        kind: "external",
        status: "accepted",
        justification: format!("{} (until {})", waiver.reason, crate::moment(waiver.until)),
    });
    ResultShape {
        rule_id: check.id,
        rule_index,
        kind: "fail",
        level: level(check.severity),
        message: Message { text },
        locations: vec![location(Some(&subject.name), subject.place.as_ref())],
        partial_fingerprints: Some(Fingerprints { subject: subject.name.clone() }),
        suppressions: suppressions.collect(),
    }
}

fn notifications(report: &Report) -> Vec<Notification> {
    let broken = report.broken.iter().map(|broken| Notification {
        level: "warning",
        message: Message { text: format!("{}: {}", broken.place, broken.reason) },
        locations: vec![location(None, Some(&broken.place))],
    });
    broken.collect()
}

/// A flag or field has a name and no line that is known, so it is a logical location beside the file.
fn location(subject: Option<&str>, place: Option<&Place>) -> Location {
    let name = |name: &str, kind| LogicalLocation { fully_qualified_name: name.to_owned(), kind };
    let item = place.and_then(|place| place.item.as_deref());
    Location {
        physical_location: place
            .map(|place| PhysicalLocation { artifact_location: ArtifactLocation { uri: relative_uri(&place.file) } }),
        logical_locations: subject
            .map(|subject| name(subject, "resource"))
            .into_iter()
            .chain(item.map(|item| name(item, "member")))
            .collect(),
    }
}

/// A path as a relative reference (RFC 3986 4.2): whatever is not unreserved is percent-encoded.
fn relative_uri(path: &str) -> String {
    use core::fmt::Write;

    let mut uri = String::with_capacity(path.len());
    for octet in path.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(octet)),
            // Writing into a string cannot fail.
            _ => _ = write!(uri, "%{octet:02X}"),
        }
    }
    uri
}
