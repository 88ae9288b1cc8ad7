//! Certificates of any kind.

pub(super) mod fault;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::channel::Channel;
use crate::check::Context;
use crate::model::Certificate;

/// Every certificate that was read: leaves and what is sent along with them, anchors, authorities, and leaves that nobody
/// uses. A subject, and the paths
/// that are the worse for it, are made for the one that needs them.
pub(super) fn each(
    context: &Context<'_>,
    mut visit: impl FnMut(&Arc<Certificate>, &dyn Fn() -> (String, Vec<Channel>)),
) {
    let mut seen = BTreeSet::new();
    for (leaf, certificate) in context.chains.read_leaves() {
        visit(certificate, &|| (leaf.subject(), leaf.channels().collect()));
        for sent in leaf.intermediates() {
            if seen.insert(sent.fingerprint()) {
                visit(sent, &|| {
                    (format!("{} {}", leaf.subject(), sent.view().subject.text), leaf.channels().collect())
                });
            }
        }
    }
    for (bundle, anchor) in context.chains.anchors() {
        if seen.insert(anchor.fingerprint()) {
            visit(anchor, &|| {
                let paths = context.chains.trusting(anchor);
                (format!("{} {}", bundle.subject(), anchor.view().subject.text), paths)
            });
        }
    }
    for (role, fact) in &context.model.authorities {
        for live in fact.value().into_iter().flat_map(|authority| &authority.live) {
            if seen.insert(live.fingerprint()) {
                visit(live, &|| {
                    (format!("authority {role} {}", live.view().subject.text), context.chains.trusting(live))
                });
            }
        }
    }
    for certificate in context.model.unclaimed.iter().flatten().filter_map(|leaf| leaf.certificate()) {
        if seen.insert(certificate.fingerprint()) {
            visit(certificate, &|| (format!("certificate {}", certificate.view().subject.text), Vec::new()));
        }
    }
}
