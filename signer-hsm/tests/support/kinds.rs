//! Which keys the providers of this build make.

use pki_core::KeyAlgorithm;
use signer_hsm::Provider;

/// What a provider makes keys of.
pub(crate) fn kinds(provider: Provider) -> Vec<KeyAlgorithm> {
    let is_rsa =
        |kind: KeyAlgorithm| matches!(kind, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096);
    let has_rsa = match provider {
        #[cfg(feature = "rustcrypto")]
        Provider::RustCrypto => cfg!(feature = "rsa-software-signing"),
        _ => true,
    };
    KeyAlgorithm::ALL.into_iter().filter(|kind| has_rsa || !is_rsa(*kind)).collect()
}
