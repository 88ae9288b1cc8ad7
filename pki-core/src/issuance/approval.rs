//! What was decided about one request.

use std::sync::Arc;

use time::Duration;

use crate::AuthorityId;
use crate::name::{NodeName, SubjectAltName};
use crate::verify::SubjectPublicKey;

/// What somebody who may decide has decided about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    pub(super) node: Option<NodeName>,
    /// Sorted, each once.
    pub(super) subject_alt_names: Arc<[SubjectAltName]>,
    pub(super) lifetime: Duration,
    pub(super) key: Option<AuthorityId>,
}

impl Approval {
    /// A leaf that is bound to no node and has no alternative names, valid for `lifetime` from now on.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self { node: None, subject_alt_names: Arc::default(), lifetime, key: None }
    }

    /// For this node or etcd member.
    #[must_use]
    pub fn for_node(mut self, node: NodeName) -> Self {
        self.node = Some(node);
        self
    }

    /// With exactly these alternative names.
    #[must_use]
    pub fn with_names(mut self, names: impl IntoIterator<Item = SubjectAltName>) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        self.subject_alt_names = names.into();
        self
    }

    /// For a request of this key and no other.
    ///
    /// Who approves at one time and issues at another binds the two: else whoever can put another request under the
    /// same name in between receives what was approved for the first.
    #[must_use]
    pub fn for_key(mut self, key: &SubjectPublicKey<'_>) -> Self {
        self.key = Some(AuthorityId::of(key));
        self
    }
}
