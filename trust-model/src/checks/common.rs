//! What two slots have in common.

use std::collections::BTreeSet;

use pki_core::inspect::CertificateView;
use pki_core::{AuthorityRole, ComponentKind, TrustSlot};

use crate::chains::{Chains, Trusted};
use crate::check::Outcomes;
use crate::model::{ClusterModel, Trust};

/// What is in one slot of one kind of component, over all instances.
pub(super) fn of_slot<'c, 'a>(
    chains: &'c Chains<'a>,
    component: ComponentKind,
    slot: TrustSlot,
) -> impl Iterator<Item = &'c Trusted<'a>> + Clone + use<'c, 'a> {
    chains.bundles.iter().filter(move |bundle| bundle.component == component && bundle.slot == slot)
}

/// Notes every instance of a component of which it is not known what stands in a slot.
pub(super) fn note_unknown(model: &ClusterModel, component: ComponentKind, slot: TrustSlot, outcomes: &mut Outcomes) {
    let mut holders = model.holders(component).peekable();
    let is_unknown = |trust: Option<&Trust>| trust.is_none_or(|trust| matches!(trust, Trust::SystemRoots));
    if holders.peek().is_none() || holders.any(|holder| is_unknown(holder.trust(slot).value())) {
        outcomes.missing(format!("{component} {}", crate::flag::of_slot(slot)));
    }
}

/// Whether two name the same authority, or trust a certificate of which `is_same` says so.
pub(super) fn in_common(
    one: &Trusted<'_>,
    other: &Trusted<'_>,
    is_same: impl Fn(&CertificateView, &CertificateView) -> bool,
) -> Option<String> {
    if let (Trust::Authority(role), Trust::Authority(same)) = (one.trust, other.trust) {
        return (role == same).then(|| format!("the authority {role}"));
    }
    let pairs = one.anchors.iter().flat_map(|one| other.anchors.iter().map(move |other| (one, other)));
    let (same, _) = pairs.into_iter().find(|(one, other)| is_same(one.view(), other.view()))?;
    Some(format!("`{}`", same.view().subject.text))
}

/// Whether two can be compared: of an authority that is only named, its certificates have to be known.
pub(super) fn is_comparable(one: &Trusted<'_>, other: &Trusted<'_>) -> bool {
    let is_named = |bundle: &Trusted<'_>| matches!(bundle.trust, Trust::Authority(_));
    let is_known = |bundle: &Trusted<'_>| !is_named(bundle) || !bundle.anchors.is_empty();
    let is_readable = |bundle: &Trusted<'_>| !matches!(bundle.trust, Trust::SystemRoots);
    is_readable(one) && is_readable(other) && ((is_named(one) && is_named(other)) || (is_known(one) && is_known(other)))
}

/// The keys that sign for these roles.
pub(super) fn keys_of<'a>(model: &'a ClusterModel, roles: &'a [AuthorityRole]) -> BTreeSet<pki_core::Fingerprint> {
    let known = roles.iter().filter_map(|role| model.authority(*role).value());
    known.flat_map(|authority| &authority.live).map(|live| live.view().key_fingerprint()).collect()
}
