//! What is trusted.

pub(super) mod expired;
