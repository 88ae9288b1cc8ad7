//! Kubelets.

pub(super) mod serving_unverified;
