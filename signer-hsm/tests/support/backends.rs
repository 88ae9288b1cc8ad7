//! Every backend of this crate that can be tried here. One more is one more line in `backends`.

use std::sync::Arc;

use pki_core::KeyAlgorithm;
use signer_hsm::{KeyStore, Provider, SoftwareKeyStore};

use crate::kinds::kinds;

pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) store: Arc<dyn KeyStore>,
    pub(crate) kinds: Vec<KeyAlgorithm>,
}

pub(crate) fn backends() -> Vec<Backend> {
    Provider::ALL.iter().map(|provider| software(*provider)).collect()
}

fn software(provider: Provider) -> Backend {
    let store = Arc::new(SoftwareKeyStore::with_provider(provider));
    Backend { name: format!("{provider:?}"), store, kinds: kinds(provider) }
}
