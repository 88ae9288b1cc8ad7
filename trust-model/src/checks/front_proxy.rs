//! The front proxy: who may say in whose name a request is made.

pub(super) mod ca_is_client_ca;
pub(super) mod no_requestheader_ca;
