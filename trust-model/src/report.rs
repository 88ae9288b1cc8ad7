//! What an audit has found.

mod json;
mod text;

use core::fmt;

use time::UtcDateTime;

use crate::channel::{Channel, Direction};
use crate::check::{Check, Evidence, Severity, Subject};
use crate::model::BrokenInput;
use crate::waiver::Waiver;

/// What a path is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Encrypted, and both ends know each other.
    Secure,
    /// Encrypted, and the client knows the server; the server does not know the client.
    ServerAuthOnly,
    /// Encrypted, and nobody knows to whom: whoever stands between both ends reads and changes everything.
    EncryptedUnverified,
    /// Readable and changeable for everybody on the way.
    Plaintext,
    /// Not protected by itself, and inside something that is: a tunnel, or one machine.
    Contained,
    /// Protected as somebody says; nothing was read that shows it.
    Asserted,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 6] = [
        Self::Secure,
        Self::ServerAuthOnly,
        Self::EncryptedUnverified,
        Self::Plaintext,
        Self::Contained,
        Self::Asserted,
    ];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::ServerAuthOnly => "server-auth-only",
            Self::EncryptedUnverified => "encrypted-unverified",
            Self::Plaintext => "plaintext",
            Self::Contained => "contained",
            Self::Asserted => "asserted",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

/// What became of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathStatus {
    /// It is worth this.
    Judged(Verdict),
    /// Too little is known: see [`PathReport::missing`].
    NotEvaluated,
    /// The cluster does not have it.
    Absent,
}

/// Whether something may run over a network that others reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fitness {
    /// It may.
    Fit,
    /// It may if what somebody says is so.
    FitAsAsserted,
    /// Nobody can say: too little is known.
    Unknown,
    /// It must not.
    Unfit,
}

impl Fitness {
    /// Every answer, the best first.
    pub const ALL: [Self; 4] = [Self::Fit, Self::FitAsAsserted, Self::Unknown, Self::Unfit];

    /// The stable identifier.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::FitAsAsserted => "fit-as-asserted",
            Self::Unknown => "unknown",
            Self::Unfit => "unfit",
        }
    }
}

/// As an answer to: may it run over a network that others reach?
impl fmt::Display for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fit => "yes",
            Self::FitAsAsserted => "yes, if what is asserted is so",
            Self::Unknown => "unknown",
            Self::Unfit => "no",
        })
    }
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathReport {
    /// Which one.
    pub channel: Channel,
    /// What it is worth.
    pub status: PathStatus,
    /// Why: one line per thing that decides.
    pub reasons: Vec<String>,
    /// What would have to be known.
    pub missing: Vec<String>,
    /// Whether some of the reasons are only somebody's word.
    pub asserted: bool,
    /// Whether it may run over a network that others reach.
    pub fitness: Fitness,
    /// What to do about it where it does not protect itself.
    pub hardening: Option<&'static str>,
}

/// One check that failed, for all who failed it in the same way.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The check.
    pub check: &'static Check,
    /// What should be, and what is.
    pub evidence: Evidence,
    /// Of whom it speaks, in their order.
    pub subjects: Vec<Subject>,
    /// The decision to live with it.
    pub waiver: Option<Waiver>,
}

impl Finding {
    /// Whether a path is the worse for it.
    #[must_use]
    pub fn weakens(&self, channel: Channel) -> bool {
        self.check.channels.contains(&channel)
            || self.subjects.iter().any(|subject| subject.channels.contains(&channel))
    }
}

/// What became of one check.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// The check.
    pub check: &'static Check,
    /// How many subjects are in order.
    pub passed: usize,
    /// How many are not.
    pub failed: usize,
    /// What would have to be known.
    pub missing: Vec<String>,
}

impl CheckReport {
    /// Whether there was nothing for it to look at, and nothing that it misses.
    #[must_use]
    pub fn is_not_applicable(&self) -> bool {
        self.passed == 0 && self.failed == 0 && self.missing.is_empty()
    }
}

/// What an audit has found. The order of everything in it follows from the input.
#[derive(Clone, Debug)]
pub struct Report {
    /// The cluster.
    pub cluster: String,
    /// As of when.
    pub at: UtcDateTime,
    /// Every path, in the order of the table.
    pub paths: Vec<PathReport>,
    /// Everything that is wrong, the gravest first; waived findings too.
    pub findings: Vec<Finding>,
    /// Every check, in the order of the registry.
    pub checks: Vec<CheckReport>,
    /// Inputs that could not be used.
    pub broken: Vec<BrokenInput>,
}

impl Report {
    /// Whether a direction may run over a network that others reach, with the paths that decide. A path that is only said to be
    /// absent counts as one that is said to be fit.
    #[must_use]
    pub fn fitness(&self, direction: Direction) -> (Fitness, Vec<&PathReport>) {
        worst(self.paths.iter().filter(|path| path.channel.spec().direction() == direction))
    }

    /// Whether the whole cluster may, with the paths that decide.
    #[must_use]
    pub fn cluster_fitness(&self) -> (Fitness, Vec<&PathReport>) {
        worst(self.paths.iter())
    }

    /// The findings that count: those that nobody has waived.
    pub fn standing(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.waiver.is_none())
    }

    /// Whether there is a finding of at least this severity that nobody has waived.
    #[must_use]
    pub fn has_at_least(&self, severity: Severity) -> bool {
        self.standing().any(|finding| finding.check.severity >= severity)
    }
}

fn worst<'a>(paths: impl Iterator<Item = &'a PathReport>) -> (Fitness, Vec<&'a PathReport>) {
    let mut paths: Vec<_> = paths.collect();
    let worst = paths.iter().map(|path| path.fitness).max().unwrap_or(Fitness::Unknown);
    paths.retain(|path| path.fitness == worst);
    (worst, paths)
}
