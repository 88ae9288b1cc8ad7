//! A bundle holds an anchor that has expired.

use std::collections::BTreeSet;

use crate::check::{Check, Context, Outcomes, Severity};
use crate::fact::Origin;
use crate::model::Trust;

pub(in crate::checks) static CHECK: Check = Check {
    id: "anchor.expired",
    severity: Severity::Warn,
    summary: "a bundle holds an anchor that has expired",
    applies_to: "bundles that were read",
    rationale: "Some verifiers do not look at the validity of an anchor (rustls-webpki keeps its name and key only) and go on \
                to accept what it signed; others refuse, and the path breaks.",
    remediation: "Remove the certificate from the bundle once no live certificate chains to it.",
    source: "RFC 5280 6.1.1 (d)",
    channels: &[],
    run,
};

fn run(context: &Context<'_>, outcomes: &mut Outcomes) {
    // One bundle in the hands of thousands is looked at once.
    let mut seen = BTreeSet::new();
    for holder in context.model.all_holders() {
        for (slot, fact) in holder.trusts {
            let Some(Trust::Bundle(bundle)) = fact.value() else { continue };
            if !seen.insert((holder.kind, slot, bundle.hash())) {
                continue;
            }
            for anchor in bundle.certificates() {
                if anchor.view().not_after >= context.now {
                    outcomes.pass();
                    continue;
                }
                let subject = format!("{} {} {}", holder.kind, crate::flag::of_slot(*slot), anchor.view().subject.text);
                let found = format!("`notAfter` {}", crate::moment(anchor.view().not_after));
                outcomes.fail(subject, &Origin::Observed(anchor.place().clone()), "an anchor that is valid", found);
            }
        }
    }
}
