//! How a node gets its first certificate.

pub(super) mod secret_readable_by_pods;
