//! The report for programs.

use serde::{Serialize, Serializer};

use super::{CheckReport, Finding, PathReport, PathStatus, Report};
use crate::channel::{Channel, Direction};
use crate::fact::Place;

/// The shape below. It grows by fields; whatever changes or removes one raises the version.
const FORMAT: &str = "trust-model-report";
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    cluster: &'a str,
    at: String,
    fitness: &'static str,
    decided_by: Vec<&'static str>,
    directions: Vec<DirectionShape>,
    paths: Vec<PathShape<'a>>,
    findings: Vec<FindingShape<'a>>,
    checks: Vec<CheckShape<'a>>,
    broken: Vec<BrokenShape<'a>>,
}

#[derive(Serialize)]
struct DirectionShape {
    direction: &'static str,
    fitness: &'static str,
    decided_by: Vec<&'static str>,
}

#[derive(Serialize)]
struct PathShape<'a> {
    path: &'static str,
    summary: &'static str,
    direction: &'static str,
    client: String,
    server: String,
    status: &'static str,
    verdict: Option<&'static str>,
    fitness: &'static str,
    asserted: bool,
    reasons: &'a [String],
    missing: &'a [String],
    hardening: Option<&'static str>,
}

#[derive(Serialize)]
struct FindingShape<'a> {
    check: &'static str,
    severity: &'static str,
    summary: &'static str,
    expected: &'a str,
    found: &'a str,
    asserted: bool,
    subjects: Vec<SubjectShape<'a>>,
    paths: Vec<&'static str>,
    remediation: &'static str,
    source: &'static str,
    waiver: Option<WaiverShape<'a>>,
}

#[derive(Serialize)]
struct SubjectShape<'a> {
    name: &'a str,
    place: Option<PlaceShape<'a>>,
}

#[derive(Serialize)]
struct PlaceShape<'a> {
    file: &'a str,
    item: Option<&'a str>,
}

#[derive(Serialize)]
struct WaiverShape<'a> {
    reason: &'a str,
    until: String,
}

#[derive(Serialize)]
struct CheckShape<'a> {
    check: &'static str,
    severity: &'static str,
    outcome: &'static str,
    passed: usize,
    failed: usize,
    missing: &'a [String],
}

#[derive(Serialize)]
struct BrokenShape<'a> {
    place: PlaceShape<'a>,
    reason: &'a str,
}

/// An object with `"format": "trust-model-report"` and `"version": 1`. Every identifier in it is stable, every moment is
/// RFC 3339 in UTC, and what is not known is `null` or stands under `missing`.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (fitness, paths) = self.cluster_fitness();
        Document {
            format: FORMAT,
            version: VERSION,
            cluster: &self.cluster,
            at: crate::moment(self.at),
            fitness: fitness.id(),
            decided_by: ids(&paths),
            directions: Direction::ALL.map(|direction| direction_shape(self, direction)).into(),
            paths: self.paths.iter().map(path_shape).collect(),
            findings: self.findings.iter().map(finding_shape).collect(),
            checks: self.checks.iter().map(check_shape).collect(),
            broken: self
                .broken
                .iter()
                .map(|broken| BrokenShape { place: place_shape(&broken.place), reason: &broken.reason })
                .collect(),
        }
        .serialize(serializer)
    }
}

fn ids(paths: &[&PathReport]) -> Vec<&'static str> {
    paths.iter().map(|path| path.channel.id()).collect()
}

fn direction_shape(report: &Report, direction: Direction) -> DirectionShape {
    let (fitness, paths) = report.fitness(direction);
    DirectionShape { direction: direction.id(), fitness: fitness.id(), decided_by: ids(&paths) }
}

fn path_shape(path: &PathReport) -> PathShape<'_> {
    let spec = path.channel.spec();
    let (status, verdict) = match path.status {
        PathStatus::Judged(verdict) => ("judged", Some(verdict.id())),
        PathStatus::NotEvaluated => ("not-evaluated", None),
        PathStatus::Absent => ("absent", None),
    };
    PathShape {
        path: path.channel.id(),
        summary: spec.summary(),
        direction: spec.direction().id(),
        client: spec.client().to_string(),
        server: spec.server().to_string(),
        status,
        verdict,
        fitness: path.fitness.id(),
        asserted: path.asserted,
        reasons: &path.reasons,
        missing: &path.missing,
        hardening: path.hardening,
    }
}

fn finding_shape(finding: &Finding) -> FindingShape<'_> {
    let subjects = finding.subjects.iter();
    FindingShape {
        check: finding.check.id,
        severity: finding.check.severity.id(),
        summary: finding.check.summary,
        expected: &finding.evidence.expected,
        found: &finding.evidence.found,
        asserted: finding.evidence.asserted,
        subjects: subjects
            .map(|subject| SubjectShape { name: &subject.name, place: subject.place.as_ref().map(place_shape) })
            .collect(),
        paths: Channel::ALL.into_iter().filter(|channel| finding.weakens(*channel)).map(Channel::id).collect(),
        remediation: finding.check.remediation,
        source: finding.check.source,
        waiver: finding
            .waiver
            .as_ref()
            .map(|waiver| WaiverShape { reason: &waiver.reason, until: crate::moment(waiver.until) }),
    }
}

fn check_shape(report: &CheckReport) -> CheckShape<'_> {
    let outcome = if report.failed > 0 {
        "failed"
    } else if !report.missing.is_empty() {
        "not-evaluated"
    } else if report.passed > 0 {
        "passed"
    } else {
        "not-applicable"
    };
    CheckShape {
        check: report.check.id,
        severity: report.check.severity.id(),
        outcome,
        passed: report.passed,
        failed: report.failed,
        missing: &report.missing,
    }
}

fn place_shape(place: &Place) -> PlaceShape<'_> {
    PlaceShape { file: &place.file, item: place.item.as_deref() }
}
