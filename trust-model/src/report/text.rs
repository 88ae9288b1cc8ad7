//! The report for people.

use core::fmt;

use super::{Finding, Fitness, PathReport, PathStatus, Report};
use crate::channel::Direction;
use crate::check::Severity;

/// Subjects of one finding that are named; of the others there is a count.
const SUBJECTS_MAX: usize = 3;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = format!("Audit of `{}`, {}", self.cluster, crate::moment(self.at));
        writeln!(f, "{title}\n{}\n", "=".repeat(title.chars().count()))?;
        self.write_verdict(f)?;
        self.write_paths(f)?;
        self.write_findings(f)?;
        self.write_not_evaluated(f)?;
        self.write_waived(f)?;
        for broken in &self.broken {
            writeln!(f, "Not readable: {}: {}", broken.place, broken.reason)?;
        }
        self.write_counts(f)
    }
}

/// A heading, and the line below it.
fn heading(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "{text}\n{}", "-".repeat(text.chars().count()))
}

impl Report {
    /// The answers for the cluster and for each direction, with the first `most` paths that decide where all is not well.
    pub(crate) fn answers(&self, most: usize) -> Vec<(String, String)> {
        let directions = Direction::ALL.map(|direction| (direction.to_string(), self.fitness(direction)));
        core::iter::once(("the cluster".to_owned(), self.cluster_fitness()))
            .chain(directions)
            .map(|(what, (fitness, paths))| (what, because(fitness, &paths, most)))
            .collect()
    }
}

fn because(fitness: Fitness, paths: &[&PathReport], most: usize) -> String {
    if matches!(fitness, Fitness::Fit | Fitness::FitAsAsserted) || paths.is_empty() {
        return fitness.to_string();
    }
    let ids: Vec<_> = paths.iter().take(most).map(|path| path.channel.id()).collect();
    let more = match paths.len().saturating_sub(ids.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{fitness}, because of {}{more}", ids.join(", "))
}

impl Report {
    fn write_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "May it run over a network that others reach?")?;
        for (what, answer) in self.answers(usize::MAX) {
            writeln!(f, "{what:<25} {answer}")?;
        }
        writeln!(f)
    }

    fn write_paths(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Paths (`*`: as somebody says)")?;
        let rows: Vec<_> = self.paths.iter().map(|path| (path.channel.id(), status(path), path)).collect();
        let id_width = rows.iter().map(|(id, ..)| id.len()).max().unwrap_or_default();
        let status_width = rows.iter().map(|(_, status, _)| status.len()).max().unwrap_or_default();
        for direction in Direction::ALL {
            writeln!(f, "{direction}:")?;
            for (id, status, path) in rows.iter().filter(|row| row.2.channel.spec().direction() == direction) {
                writeln!(f, "  {id:<id_width$}  {status:<status_width$}  {}", path.channel.spec().summary())?;
                for reason in &path.reasons {
                    writeln!(f, "      - {reason}")?;
                }
                for missing in &path.missing {
                    writeln!(f, "      ? not known: {missing}")?;
                }
                if let Some(hardening) = path.hardening {
                    writeln!(f, "      > {hardening}")?;
                }
            }
        }
        writeln!(f)
    }

    fn write_findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Findings")?;
        if self.standing().next().is_none() {
            writeln!(f, "none")?;
        }
        for severity in Severity::ALL.into_iter().rev() {
            for finding in self.standing().filter(|finding| finding.check.severity == severity) {
                write_finding(f, finding)?;
            }
        }
        writeln!(f)
    }

    fn write_not_evaluated(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.checks.iter().all(|check| check.missing.is_empty()) {
            return Ok(());
        }
        heading(f, "Not evaluated, and therefore not passed")?;
        for check in self.checks.iter().filter(|check| !check.missing.is_empty()) {
            writeln!(f, "{}: not known: {}", check.check.id, check.missing.join("; "))?;
        }
        writeln!(f)
    }

    fn write_waived(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waived = || self.findings.iter().filter_map(|finding| Some((finding, finding.waiver.as_ref()?)));
        if waived().next().is_none() {
            return Ok(());
        }
        heading(f, "Waived")?;
        for (finding, waiver) in waived() {
            write_finding(f, finding)?;
            writeln!(f, "    waived until {}: {}", crate::moment(waiver.until), waiver.reason)?;
        }
        writeln!(f)
    }

    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |severity| self.standing().filter(|finding| finding.check.severity == severity).count();
        let [notices, warnings, errors] = Severity::ALL.map(count);
        let passed = self.checks.iter().filter(|check| check.passed > 0 && check.failed == 0).count();
        let open = self.checks.iter().filter(|check| !check.missing.is_empty()).count();
        let beside = self.checks.iter().filter(|check| check.is_not_applicable()).count();
        writeln!(
            f,
            "Findings: {errors} error, {warnings} warn, {notices} notice. Of {} checks {passed} found all that they saw in \
             order, {open} miss something, {beside} do not apply.",
            self.checks.len()
        )
    }
}

fn write_finding(f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
    let Finding { check, evidence, subjects, .. } = finding;
    let asserted = if evidence.asserted { " *" } else { "" };
    writeln!(f, "{:<6} {}: {}", check.severity, check.id, check.summary)?;
    writeln!(f, "    expected {}, found {}{asserted}", evidence.expected, evidence.found)?;
    for subject in subjects.iter().take(SUBJECTS_MAX) {
        match &subject.place {
            Some(place) => writeln!(f, "    {} ({place})", subject.name)?,
            None => writeln!(f, "    {}", subject.name)?,
        }
    }
    match subjects.len().saturating_sub(SUBJECTS_MAX) {
        0 => {}
        more => writeln!(f, "    and {more} more")?,
    }
    writeln!(f, "    > {}", check.remediation)
}

/// What became of a path, in a word; with a mark where it is only somebody's word, or where it must not run as it is.
fn status(path: &PathReport) -> String {
    let word = match path.status {
        PathStatus::Judged(verdict) => verdict.id(),
        PathStatus::NotEvaluated => "not evaluated",
        PathStatus::Absent => "absent",
    };
    let asserted = if path.asserted { "*" } else { "" };
    let fitness = match path.status {
        PathStatus::Absent => "",
        _ => match path.fitness {
            Fitness::Fit | Fitness::FitAsAsserted => ", fit",
            Fitness::Unknown => "",
            Fitness::Unfit => ", unfit",
        },
    };
    format!("{word}{asserted}{fitness}")
}
