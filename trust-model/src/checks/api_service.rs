//! How the API server calls aggregated APIs.

pub(super) mod insecure_skip_tls_verify;
