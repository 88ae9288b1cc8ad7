//! What a check is, and what it may say.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pki_core::Limits;
use pki_core::verify::Verifiers;
use time::UtcDateTime;

use crate::chains::{Chains, Presented};
use crate::channel::Channel;
use crate::fact::{Fact, Origin};
use crate::model::{Certificate, ClusterModel};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Good to know.
    Notice,
    /// Weakens a protection, or will break something.
    Warn,
    /// Lets somebody in, or breaks something.
    Error,
}

impl Severity {
    /// Every severity, the mildest first.
    pub const ALL: [Self; 3] = [Self::Notice, Self::Warn, Self::Error];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

/// One check: what it asks, and the function that answers.
///
/// The severity belongs to the check, so that no run can quietly lower it; whoever lives with a finding [waives](crate::Waiver) it.
#[derive(Debug)]
pub struct Check {
    /// The stable name, `family.condition`. It is never renamed, and never given to another check.
    pub id: &'static str,
    /// How much a finding matters.
    pub severity: Severity,
    /// What is wrong when it fails, in half a sentence.
    pub summary: &'static str,
    /// What it is about: whose absence means that the check does not apply.
    pub applies_to: &'static str,
    /// Why it matters: what somebody can do, or what will break.
    pub rationale: &'static str,
    /// What to do about it, in the words of the component's own flags and fields.
    pub remediation: &'static str,
    /// Where the rule is stated.
    pub source: &'static str,
    /// The paths that every finding weakens. One that names more in [`Subject::channels`] weakens these too.
    pub channels: &'static [Channel],
    pub(crate) run: Run,
}

/// How a check is run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run {
    /// Once, over everything.
    Cluster(fn(&Context<'_>, &mut Outcomes)),
    /// For every leaf that was read. Of a cluster with many nodes a leaf comes from memory once for all of these checks.
    Leaf(fn(&Context<'_>, &Presented<'_>, &Arc<Certificate>, &mut Outcomes) -> Judged),
}

/// What becomes of one leaf.
#[derive(Debug)]
pub(crate) enum Judged {
    Pass,
    /// It is another check's.
    Skip,
    /// What should be, and what is.
    Fail(String, String),
}

impl Check {
    /// Runs each over what there is, and gives what it says in the same order.
    pub(crate) fn run_all(checks: &[&Self], context: &Context<'_>) -> Vec<Outcomes> {
        let mut all: Vec<Outcomes> = checks.iter().map(|_| Outcomes::default()).collect();
        let mut of_leaves = Vec::new();
        for (check, outcomes) in checks.iter().zip(&mut all) {
            match check.run {
                Run::Cluster(run) => run(context, outcomes),
                Run::Leaf(run) => {
                    outcomes.missing.extend(context.chains.unread_leaves.iter().cloned());
                    of_leaves.push((run, outcomes));
                }
            }
        }
        for (leaf, certificate) in context.chains.read_leaves() {
            for (run, outcomes) in &mut of_leaves {
                let judged = run(context, leaf, certificate, outcomes);
                outcomes.conclude(leaf, judged);
            }
        }
        all
    }

    /// What comes before the first dot of the name.
    #[must_use]
    pub fn family(&self) -> &'static str {
        self.id.split_once('.').map_or(self.id, |(family, _)| family)
    }
}

/// What a check may look at.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) model: &'a ClusterModel,
    /// The time of the audit, not of the reading.
    pub(crate) now: UtcDateTime,
    pub(crate) limits: &'a Limits,
    /// With which signatures are checked; without, they are not.
    pub(crate) verifiers: Option<Verifiers<'a>>,
    /// Which leaf meets which bundle.
    pub(crate) chains: Chains<'a>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        model: &'a ClusterModel,
        now: UtcDateTime,
        limits: &'a Limits,
        verifiers: Option<Verifiers<'a>>,
    ) -> Self {
        Self { model, now, limits, verifiers, chains: Chains::of(model, limits, now) }
    }
}

/// What one check has found so far.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) passed: usize,
    /// What would have to be known.
    pub(crate) missing: BTreeSet<String>,
    pub(crate) failed: BTreeMap<Evidence, Vec<Subject>>,
}

/// What should be, and what is. Subjects with the same evidence are one finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    /// What should be.
    pub expected: String,
    /// What is.
    pub found: String,
    /// Whether only somebody's word says that it is so.
    pub asserted: bool,
}

/// Of whom a finding speaks, and where it shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// A component, a path, a certificate.
    pub name: String,
    /// Where it was read, if it was read.
    pub place: Option<crate::fact::Place>,
    /// The paths that it weakens, besides those that the check always does.
    pub channels: Vec<Channel>,
}

impl Outcomes {
    /// One subject is in order.
    pub(crate) const fn pass(&mut self) {
        self.passed += 1;
    }

    /// One subject is not.
    pub(crate) fn fail(
        &mut self,
        subject: impl fmt::Display,
        origin: &Origin,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.fail_on([], subject, origin, expected, found);
    }

    /// One subject is not, and these paths are the worse for it.
    pub(crate) fn fail_on(
        &mut self,
        channels: impl IntoIterator<Item = Channel>,
        subject: impl fmt::Display,
        origin: &Origin,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        let mut channels: Vec<_> = channels.into_iter().collect();
        channels.sort_unstable();
        channels.dedup();
        let (place, asserted) = match origin {
            Origin::Observed(place) => (Some(place.clone()), false),
            Origin::Default => (None, false),
            Origin::Declared(_) => (None, true),
        };
        let evidence = Evidence { expected: expected.into(), found: found.into(), asserted };
        self.failed.entry(evidence).or_default().push(Subject { name: subject.to_string(), place, channels });
    }

    /// Whoever presents a leaf that is not in order is a subject.
    fn conclude(&mut self, leaf: &Presented<'_>, judged: Judged) {
        match judged {
            Judged::Pass => self.pass(),
            Judged::Skip => {}
            Judged::Fail(expected, found) => {
                for seat in &leaf.seats {
                    let (subject, origin) = (leaf.subject_of(seat), seat.origin());
                    self.fail_on(leaf.channels(), subject, &origin, expected.clone(), found.clone());
                }
            }
        }
    }

    /// Something would have to be known.
    pub(crate) fn missing(&mut self, what: impl Into<String>) {
        self.missing.insert(what.into());
    }

    /// A fact with its origin, or the note that it is missing.
    pub(crate) fn need<'f, T>(&mut self, fact: &'f Fact<T>, what: &str) -> Option<(&'f T, &'f Origin)> {
        match fact {
            Fact::Known { value, origin } => Some((value, origin)),
            Fact::Missing => {
                // Of thousands of nodes the first has said it.
                if !self.missing.contains(what) {
                    self.missing(what);
                }
                None
            }
        }
    }

    /// Judges one fact: passes where it is good, fails where it is not, notes where it is missing.
    pub(crate) fn judge<T>(
        &mut self,
        subject: impl fmt::Display,
        fact: &Fact<T>,
        what: &str,
        expected: &str,
        is_good: impl FnOnce(&T) -> bool,
        found: impl FnOnce(&T) -> String,
    ) {
        self.judge_on(&[], subject, fact, what, expected, is_good, found);
    }

    /// Judges one fact, for which these paths are the worse where it is not good.
    #[expect(clippy::too_many_arguments, reason = "the words and questions of one judgement")]
    pub(crate) fn judge_on<T>(
        &mut self,
        channels: &[Channel],
        subject: impl fmt::Display,
        fact: &Fact<T>,
        what: &str,
        expected: &str,
        is_good: impl FnOnce(&T) -> bool,
        found: impl FnOnce(&T) -> String,
    ) {
        let Some((value, origin)) = self.need(fact, what) else { return };
        if is_good(value) {
            self.pass();
        } else {
            self.fail_on(channels.iter().copied(), subject, origin, expected, found(value));
        }
    }
}
