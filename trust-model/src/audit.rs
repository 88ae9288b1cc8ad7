//! The audit: every check over everything that is known, and what follows for every path.

use pki_core::Limits;
use pki_core::verify::Verifiers;
use time::UtcDateTime;

use crate::channel::Channel;
use crate::check::{Check, Context, Evidence, Severity, Subject};
use crate::checks::{self, REGISTRY};
use crate::fact::Place;
use crate::model::ClusterModel;
use crate::posture;
use crate::report::{CheckReport, Finding, PathReport, Report};
use crate::waiver::Waiver;

/// What an audit may use besides the model.
#[derive(Clone, Debug, Default)]
pub struct AuditOptions<'a> {
    /// Findings that somebody has decided to live with.
    pub waivers: Vec<Waiver>,
    /// With which the signatures of certificates are checked. Without, chains are followed by names and key identifiers only,
    /// and the checks that need signatures say that they were not evaluated.
    pub verifiers: Option<Verifiers<'a>>,
    /// How much of each input is looked at.
    pub limits: Limits,
}

/// Runs every check over a cluster, and judges every path.
#[must_use]
pub fn audit(model: &ClusterModel, options: &AuditOptions<'_>, now: UtcDateTime) -> Report {
    let context = Context::new(model, now, &options.limits, options.verifiers);
    let mut findings = Vec::new();
    let mut reports = Vec::with_capacity(REGISTRY.len());
    for (check, outcomes) in REGISTRY.iter().zip(Check::run_all(REGISTRY, &context)) {
        let failed = outcomes.failed.values().map(Vec::len).sum();
        reports.push(CheckReport {
            check,
            passed: outcomes.passed,
            failed,
            missing: outcomes.missing.into_iter().collect(),
        });
        for (evidence, subjects) in outcomes.failed {
            findings.extend(split_by_waiver(check, &evidence, subjects, &options.waivers, now));
        }
    }
    findings.extend(stale_waivers(&findings, &options.waivers, now));
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| (core::cmp::Reverse(finding.check.severity), finding.check.id);
        key(a).cmp(&key(b)).then_with(|| a.evidence.cmp(&b.evidence))
    });
    let weakened = |channel: Channel| {
        let mut standing = findings.iter().filter(|finding| finding.waiver.is_none());
        standing.any(|finding| finding.check.severity == Severity::Error && finding.weakens(channel))
    };
    let paths: Vec<PathReport> =
        Channel::ALL.into_iter().map(|channel| posture::judge(model, channel, &weakened)).collect();
    Report { cluster: model.name.clone(), at: now, paths, findings, checks: reports, broken: model.broken.clone() }
}

/// Of subjects with the same evidence some may be waived, and not always by the same decision.
fn split_by_waiver(
    check: &'static Check,
    evidence: &Evidence,
    subjects: Vec<Subject>,
    waivers: &[Waiver],
    now: UtcDateTime,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for subject in subjects {
        let waiver =
            waivers.iter().find(|waiver| waiver.until > now && waiver.matches(check.id, &subject.name)).cloned();
        match findings.iter_mut().find(|finding| finding.waiver == waiver) {
            Some(finding) => finding.subjects.push(subject),
            None => {
                findings.push(Finding { check, evidence: evidence.clone(), subjects: vec![subject], waiver });
            }
        }
    }
    findings
}

/// Decisions that have run out, or that nothing matches any more.
fn stale_waivers(findings: &[Finding], waivers: &[Waiver], now: UtcDateTime) -> Vec<Finding> {
    let matched = |waiver: &Waiver| findings.iter().any(|finding| finding.waiver.as_ref() == Some(waiver));
    let stale = waivers.iter().filter(|waiver| !matched(waiver)).map(|waiver| {
        let found = if waiver.until <= now { "it has run out".to_owned() } else { "nothing matches it".to_owned() };
        let name = match &waiver.subject {
            Some(subject) => format!("{} of {subject}", waiver.check),
            None => waiver.check.clone(),
        };
        Finding {
            check: &checks::STALE_WAIVER,
            evidence: Evidence { expected: "a finding that it waives".to_owned(), found, asserted: false },
            subjects: vec![Subject { name, place: None::<Place>, channels: Vec::new() }],
            waiver: None,
        }
    });
    stale.collect()
}
