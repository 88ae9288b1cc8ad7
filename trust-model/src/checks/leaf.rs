//! What is presented.

pub(super) mod bad_signature;
pub(super) mod expired;
pub(super) mod expires_30_days;
pub(super) mod expires_7_days;
pub(super) mod not_yet_valid;
pub(super) mod outlives_issuer;
pub(super) mod system_masters;
pub(super) mod unmanaged;
pub(super) mod unusual_identity;
pub(super) mod weak_signature;
pub(super) mod wrong_identity;
pub(super) mod wrong_name;
pub(super) mod wrong_usage;

use pki_core::Path;
use pki_core::inspect::CertificateView;
use time::{Duration, UtcDateTime};

use crate::chains::{Presented, Side};
use crate::check::{Context, Judged};
use crate::model::Certificate;

/// Whether Kubernetes itself reads from the leaf who its holder is: the node authorizer and the roles that every cluster
/// has are bound to these names.
fn is_known_by_name(leaf: &Presented<'_>) -> bool {
    let by_name = |(path, side): &(Path, Side)| {
        *side == Side::Client && matches!(path, Path::NodeApi | Path::KcmApi | Path::SchedApi)
    };
    leaf.paths.iter().any(by_name)
}

/// What is left of a leaf's life, in the steps that the checks know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Days7,
    Days30,
    Enough,
}

impl Left {
    /// Days alone would never leave a certificate of a day in peace, nor one of an hour. So the steps are at most a tenth
    /// and a fiftieth of the whole life, which 30 and 7 days of a year nearly are. The certificate manager of client-go
    /// renews when a fifth is left, give or take a tenth: whoever has less than a tenth is overdue.
    fn of(view: &CertificateView, now: UtcDateTime) -> Self {
        let (life, left) = (view.not_after - view.not_before, view.not_after - now);
        match left {
            _ if left < Duration::ZERO => Self::Nothing,
            _ if left <= Duration::days(7).min(life / 50) => Self::Days7,
            _ if left <= Duration::days(30).min(life / 10) => Self::Days30,
            _ => Self::Enough,
        }
    }
}

/// Fails a leaf that has just so much left. One that has less is another check's.
fn judge_left(context: &Context<'_>, certificate: &Certificate, left: Left, expected: &str) -> Judged {
    let view = certificate.view();
    // Of most leaves one look says it: nobody asks for more than this.
    if view.not_after > context.now.saturating_add(Duration::days(30)) {
        return Judged::Pass;
    }
    match Left::of(view, context.now) {
        found if found == left => {
            Judged::Fail(expected.to_owned(), format!("`notAfter` {}", crate::moment(view.not_after)))
        }
        Left::Enough => Judged::Pass,
        _ => Judged::Skip,
    }
}

#[cfg(test)]
mod testing {
    use pki_core::LeafKind;

    use crate::check::Check;
    use crate::checks::pki::{Ca, Draft, chain, findings};
    use crate::checks::testing::{Case, NOW, run};

    /// A kubelet with this client certificate.
    pub(super) fn kubelet(draft: &Draft) -> Case {
        let mut case = Case::default();
        let leaf = chain(vec![Ca::new("kubernetes").issue(draft)]);
        case.kubelet().leaves.insert(LeafKind::KubeletClient, leaf);
        case
    }

    /// A kubelet with a client certificate of this many seconds, of which so many are left.
    fn with_left(life: i64, left: i64) -> Case {
        let mut draft = Draft::of(LeafKind::KubeletClient);
        (draft.first, draft.last) = (NOW + left - life, NOW + left);
        kubelet(&draft)
    }

    /// Fails with this much of a year left, or of a day; and with a second more not.
    pub(super) fn fails_with_left(check: &Check, of_a_year: i64, of_a_day: i64, line: &str) {
        let (year, day) = (365 * 86_400, 86_400);
        assert_eq!(findings(check, &with_left(year, of_a_year)), [line]);
        assert!(findings(check, &with_left(year, of_a_year + 1)).is_empty());
        assert_eq!(findings(check, &with_left(day, of_a_day)).len(), 1);
        assert!(findings(check, &with_left(day, of_a_day + 1)).is_empty());
    }

    pub(super) fn passes_with_left(check: &Check, of_a_year: i64) {
        assert!(findings(check, &with_left(365 * 86_400, of_a_year)).is_empty());
    }

    pub(super) fn is_not_evaluated_where_a_leaf_was_not_read(check: &Check) {
        let mut case = Case::default();
        case.kubelet();
        assert!(run(check, &case).contains(&"not evaluated: certificate kubelet-client of kubelet".to_owned()));
    }
}
