//! What is trusted.

pub(super) mod expired;
pub(super) mod not_a_ca;
pub(super) mod retired_still_trusted;

use std::sync::Arc;

use crate::chains::Trusted;
use crate::check::{Context, Outcomes};
use crate::fact::Origin;
use crate::model::{Certificate, Trust};

/// Judges every anchor of every bundle that was read; a problem is what should be and what is.
fn each(
    context: &Context<'_>,
    outcomes: &mut Outcomes,
    mut judge: impl FnMut(&Trusted<'_>, &Arc<Certificate>) -> Option<(String, String)>,
) {
    outcomes.missing.extend(context.chains.unread_bundles.iter().cloned());
    for bundle in context.chains.bundles.iter().filter(|bundle| matches!(bundle.trust, Trust::Bundle(_))) {
        for anchor in &bundle.anchors {
            match judge(bundle, anchor) {
                None => outcomes.pass(),
                Some((expected, found)) => {
                    let subject = format!("{} {}", bundle.subject(), anchor.view().subject.text);
                    outcomes.fail_on(
                        bundle.channels(),
                        subject,
                        &Origin::Observed(anchor.place().clone()),
                        expected,
                        found,
                    );
                }
            }
        }
    }
}
