//! What kube-controller-manager's cleaner deletes. A signer that is slower than this finds its request gone.

use time::{Duration, UtcDateTime};

/// How long an issued, denied or failed request stays (Kubernetes, `cleaner.go`).
const SETTLED_FOR: Duration = Duration::hours(1);
/// How long a request stays that nobody has decided, or that was approved and not signed (Kubernetes, `cleaner.go`).
const OPEN_FOR: Duration = Duration::hours(24);

/// What the cleaner looks at. A time is `None` where there is no such condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleanable {
    /// When the object was created.
    pub created: Option<UtcDateTime>,
    /// Whether there is any condition at all.
    pub has_conditions: bool,
    /// When it was last said to be approved.
    pub approved: Option<UtcDateTime>,
    /// When it was last said to be denied.
    pub denied: Option<UtcDateTime>,
    /// When it was last said to have failed.
    pub failed: Option<UtcDateTime>,
    /// What was issued, if anything was.
    pub issued: Option<Issued>,
}

/// What stands in `status.certificate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issued {
    /// A certificate, valid until then.
    Until(UtcDateTime),
    /// Something that cannot be read.
    Unreadable,
}

/// Why the cleaner deletes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deletion {
    /// Issued, and approved more than an hour ago.
    Issued,
    /// Denied more than an hour ago.
    Denied,
    /// Failed more than an hour ago.
    Failed,
    /// Undecided for more than 24 hours.
    Pending,
    /// Approved more than 24 hours ago, and not signed.
    Unsigned,
    /// The certificate has expired.
    Expired,
}

impl Cleanable {
    /// Why the cleaner deletes the request when it runs at `now`; it runs every hour. `None`: it stays.
    #[must_use]
    pub fn deletion(&self, now: UtcDateTime) -> Option<Deletion> {
        let older = |time: Option<UtcDateTime>, than: Duration| time.is_some_and(|time| now - time > than);
        let is_expired = matches!(self.issued, Some(Issued::Until(not_after)) if now > not_after);
        let rules = [
            (Deletion::Issued, self.issued.is_some() && older(self.approved, SETTLED_FOR)),
            (Deletion::Denied, older(self.denied, SETTLED_FOR)),
            (Deletion::Failed, older(self.failed, SETTLED_FOR)),
            (Deletion::Pending, !self.has_conditions && older(self.created, OPEN_FOR)),
            (Deletion::Unsigned, self.issued.is_none() && older(self.approved, OPEN_FOR)),
            (Deletion::Expired, self.approved.is_some() && is_expired),
        ];
        rules.into_iter().find_map(|(deletion, holds)| holds.then_some(deletion))
    }
}
