//! Certificates of authorities and of leaves.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pki_core::{CaCertificate, Fingerprint, LeafIdentity, Limits};
use rustls_pki_types::CertificateDer;

fuzz_target!(|der: &[u8]| {
    let certificate = CertificateDer::from(der);
    if let Ok(authority) = CaCertificate::parse(certificate.clone().into_owned()) {
        assert_eq!(authority.der(), &certificate);
        assert_eq!(authority.fingerprint(), Fingerprint::of(der));
    }
    let _ = LeafIdentity::parse(&certificate, &Limits::DEFAULT);
});
