//! A waiver that waives nothing.

use crate::check::{Check, Run, Severity};

pub(crate) static CHECK: Check = Check {
    id: "waiver.stale",
    severity: Severity::Warn,
    summary: "a waiver has run out, or nothing matches it",
    applies_to: "the waivers of the audit",
    rationale: "A waiver that outlives its reason hides the next finding of the same name.",
    remediation: "Remove the waiver, or decide anew and date it.",
    source: "this audit",
    channels: &[],
    // The audit itself knows which waivers matched.
    run: Run::Cluster(|_, _| {}),
};
