//! The authorities of the cluster.

pub(super) mod expired;
pub(super) mod expires_180_days;
pub(super) mod expires_30_days;
pub(super) mod expires_7_days;
pub(super) mod shared_with_other_cluster;

use std::collections::BTreeSet;
use std::sync::Arc;

use time::{Duration, UtcDateTime};

use crate::chains::Found;
use crate::check::{Context, Outcomes};
use crate::fact::Origin;
use crate::model::Certificate;

/// Every certificate under which leaves are issued, once: those that are said to, and the anchors that leaves lead to.
fn issuing<'a>(context: &Context<'a>) -> Vec<(String, &'a Arc<Certificate>)> {
    let roles = context.model.authorities.iter().filter_map(|(role, fact)| fact.value().map(|known| (role, known)));
    let live = roles.flat_map(|(role, known)| known.live.iter().map(move |live| (Some(*role), live)));
    let anchors = context.chains.links.iter().filter_map(|link| match link.found {
        Found::Anchor(anchor) | Found::Invalid(anchor) => Some((None, anchor)),
        Found::Itself | Found::Asserted | Found::Nobody => None,
    });
    let mut seen = BTreeSet::new();
    let unseen = live.chain(anchors).filter(|(_, certificate)| seen.insert(certificate.fingerprint()));
    let subject = |role: Option<pki_core::AuthorityRole>, certificate: &Certificate| match role {
        Some(role) => format!("authority {role} {}", certificate.view().subject.text),
        None => format!("authority {}", certificate.view().subject.text),
    };
    unseen.map(|(role, certificate)| (subject(role, certificate), certificate)).collect()
}

/// What is left of an authority's life, in the steps that the checks know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Days7,
    Days30,
    Days180,
    Enough,
}

impl Left {
    fn of(not_after: UtcDateTime, now: UtcDateTime) -> Self {
        let left = not_after - now;
        match left {
            _ if left < Duration::ZERO => Self::Nothing,
            _ if left <= Duration::days(7) => Self::Days7,
            _ if left <= Duration::days(30) => Self::Days30,
            _ if left <= Duration::days(180) => Self::Days180,
            _ => Self::Enough,
        }
    }
}

/// Fails every authority that has just so much left. One that has less is another check's.
fn judge(context: &Context<'_>, outcomes: &mut Outcomes, left: Left, expected: &str) {
    let issuing = issuing(context);
    if context.model.authorities.values().any(|fact| fact.value().is_none()) || issuing.is_empty() {
        outcomes.missing("the certificates of the authorities");
    }
    for (subject, certificate) in issuing {
        let not_after = certificate.view().not_after;
        let found = Left::of(not_after, context.now);
        if found == left {
            let found = format!("`notAfter` {}", crate::moment(not_after));
            let paths = context.chains.trusting(certificate);
            outcomes.fail_on(paths, subject, &Origin::Observed(certificate.place().clone()), expected, found);
        } else if found == Left::Enough {
            outcomes.pass();
        }
    }
}

#[cfg(test)]
mod testing {
    use pki_core::AuthorityRole;

    use crate::check::Check;
    use crate::checks::pki::{Ca, findings};
    use crate::checks::testing::{Case, NOW, run};
    use crate::fact::Fact;
    use crate::model::Authority;

    fn case(left: i64) -> Case {
        let mut case = Case::default();
        let live = vec![Ca::between("etcd-ca", NOW - 100, NOW + left).certificate()];
        let authority = Fact::declared(Authority { live, retired: Vec::new() }, "somebody");
        case.model.authorities.insert(AuthorityRole::Etcd, authority);
        case
    }

    /// Fails from `first` to `last` seconds before the end and a second later not, nor a second earlier.
    pub(super) fn fails_exactly_between(check: &Check, first: i64, last: i64, not_after: &str, expected: &str) {
        let line = format!("authority etcd CN=etcd-ca: expected {expected}, found `notAfter` {not_after}");
        assert_eq!(findings(check, &case(first)), [line]);
        assert_eq!(findings(check, &case(last)).len(), 1);
        assert!(findings(check, &case(first + 1)).is_empty());
        assert!(findings(check, &case(last - 1)).is_empty());
    }

    /// Fails at `first` and ever after, and a second earlier not.
    pub(super) fn fails_from(check: &Check, first: i64, not_after: &str, expected: &str) {
        let line = format!("authority etcd CN=etcd-ca: expected {expected}, found `notAfter` {not_after}");
        assert_eq!(findings(check, &case(first)), [line]);
        assert_eq!(findings(check, &case(first - 50)).len(), 1);
        assert!(findings(check, &case(first + 1)).is_empty());
    }

    pub(super) fn is_not_evaluated_without_authorities(check: &Check) {
        assert_eq!(run(check, &Case::default()), ["not evaluated: the certificates of the authorities"]);
        let mut partly = case(400 * 86_400);
        partly.model.authorities.insert(AuthorityRole::Cluster, Fact::Missing);
        assert_eq!(run(check, &partly), ["not evaluated: the certificates of the authorities"]);
    }
}
