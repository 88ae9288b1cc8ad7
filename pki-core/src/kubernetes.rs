//! The rules of `certificates.k8s.io`, as pure functions over plain data.
//!
//! Two families are kept apart. **Upstream's** are what kube-apiserver and kube-controller-manager of Kubernetes 1.36
//! check, in their order and with their texts. **Strict** ones are this crate's own: each has a stable code, names
//! the source that decides, and is asked only after upstream's. Where the two differ stands in `docs/deviations.md`.
//!
//! Nothing here reads a request, asks an API server or a clock, or signs. Names come in as
//! [`PresentedNames`](crate::PresentedNames); a [`Granted`] comes out, and only [`SignerPolicy::evaluate`] makes one.
//!
//! ```text
//! CertificateSigningRequestSpec ── validate_create ──> what the API server would say
//!   └─ SigningRequest::of(spec, names) ── SignerPolicy::evaluate ──> Granted, or Refused with family, code and text
//! ```

mod address;
mod approver;
mod cleaner;
mod decision;
mod duration;
mod serving;
mod signer_name;
mod spec;
mod status;
mod strict;
mod upstream;
mod usage;
mod violation;

pub use self::address::{NodeAddress, NodeAddressType, NodeAddresses};
pub use self::approver::{
    AutoApproval, Recogniser, ResourceAttributes, Review, SubjectAccessReviewSpec, decide, recognise,
};
pub use self::cleaner::{Cleanable, Deletion, Issued};
pub use self::decision::{Granted, RefusalFamily, Refused, SignerPolicy, SigningRequest};
pub use self::duration::{DurationError, SigningTimes, requested_duration};
pub use self::serving::{ServingVerdict, judge_kubelet_serving};
pub use self::signer_name::{OtherSignerName, SignerName};
pub use self::spec::{CertificateSigningRequestSpec, Requestor};
pub use self::status::{
    CertificateSigningRequestStatus, Condition, ConditionType, IssuedRefusal, Subresource, validate_certificate,
};
pub use self::strict::{ApprovedByAddress, StrictRefusal, StrictRule, StrictRules};
pub use self::upstream::{UpstreamRefusal, check, check_subject_restriction};
pub use self::usage::{Meaning, Usage, Usages};
pub use self::violation::{Violation, ViolationKind, Violations};

/// What the common name of a node begins with; the node's name follows (Kubernetes, node authorizer).
pub const NODE_USER_PREFIX: &str = "system:node:";
/// The group of nodes (Kubernetes, node authorizer).
pub const NODES_GROUP: &str = "system:nodes";
/// The group that every authorizer obeys (Kubernetes, RBAC).
pub const MASTERS_GROUP: &str = "system:masters";
