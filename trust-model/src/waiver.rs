//! Findings that somebody has decided to live with.

use time::UtcDateTime;

/// The decision to live with a finding for a while.
///
/// The finding stays in the report and is marked; it counts neither for the verdict nor for whoever asks whether
/// there are any. A waiver that has run out, or that nothing matches, is a finding itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The check.
    pub check: String,
    /// The subject, or all of the check's.
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// The first second at which it no longer counts.
    pub until: UtcDateTime,
}

impl Waiver {
    /// Whether it speaks of this subject of this check.
    #[must_use]
    pub fn matches(&self, check: &str, subject: &str) -> bool {
        self.check == check && self.subject.as_ref().is_none_or(|own| own == subject)
    }
}
