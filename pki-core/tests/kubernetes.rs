//! The rules of `certificates.k8s.io`: upstream's cases and this crate's own, from `data/kubernetes`, and what other
//! approvers and signers got wrong.

#[cfg(test)]
#[path = "support/kubernetes_cases.rs"]
mod cases;
#[cfg(all(test, feature = "serde"))]
#[path = "kubernetes/json.rs"]
mod json;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "kubernetes/properties.rs"]
mod properties;
#[cfg(test)]
#[path = "kubernetes/regressions.rs"]
mod regressions;
#[cfg(test)]
#[path = "kubernetes/strict.rs"]
mod strict;
#[cfg(test)]
#[path = "kubernetes/upstream.rs"]
mod upstream;

#[cfg(test)]
use {
    keys::VERIFIERS,
    pki_core::kubernetes::{CertificateSigningRequestSpec, Usages},
    pki_core::{AuthorityRole, CaVersion, KeyLedger, Limits, PresentedNames, Serial, Validity, mint_root},
    signer_hsm::SoftwareKey,
    time::UtcDateTime,
};

#[cfg(test)]
const LIMITS: Limits = Limits::DEFAULT;
/// 2024-01-01T00:00:00Z.
#[cfg(test)]
const NOW: i64 = 1_704_067_200;

#[cfg(test)]
fn at(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(seconds).unwrap()
}

#[cfg(test)]
fn usages(texts: &[String]) -> Usages {
    Usages::parse(texts.iter().map(String::as_str)).unwrap()
}

/// A specification that holds this request and nothing else.
#[cfg(test)]
fn spec_of(request: &str) -> CertificateSigningRequestSpec {
    CertificateSigningRequestSpec { request: request.as_bytes().to_vec(), ..CertificateSigningRequestSpec::default() }
}

#[cfg(test)]
fn names(common_name: &str, organizations: &[&str]) -> PresentedNames {
    let organizations = organizations.iter().map(|&group| group.to_owned()).collect();
    PresentedNames { common_name: common_name.to_owned(), organizations, ..PresentedNames::default() }
}

/// Some certificate of this key.
#[cfg(test)]
fn root(key: &SoftwareKey) -> Vec<u8> {
    let validity = Validity::new(at(NOW), at(NOW + 86_400)).unwrap();
    let serial = Serial::generate(&mut getrandom::SysRng).unwrap();
    let (cluster, mut ledger) = ("test".parse().unwrap(), KeyLedger::new());
    let admitted = ledger.admit(&cluster, AuthorityRole::Cluster, CaVersion::FIRST, key).unwrap();
    mint_root(&admitted, validity, serial, VERIFIERS).unwrap().der().to_vec()
}
