//! How the API server proves to aggregated APIs whose request it brings.

pub(super) mod no_requestheader_ca;
