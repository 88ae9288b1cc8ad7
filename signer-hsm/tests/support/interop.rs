//! Certificates that rcgen and the builder of x509-cert issue with a key, judged by `openssl`.

use std::fs;
use std::str::FromStr;
use std::time::Duration;

use pki_core::{KeyAlgorithm, RcgenSigner, Signer, X509Signature, X509Signer};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, SerialNumber};
use signer_hsm::{Provider, SoftwareKey};
use x509_cert::builder::{Builder, CertificateBuilder, profile};
use x509_cert::der::Encode;
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfo;
use x509_cert::time::Validity;

use crate::openssl::openssl;

pub(crate) const SERVER: &str = "server.example";

/// A key of somebody else.
pub(crate) fn leaf_key() -> SoftwareKey {
    SoftwareKey::generate_with(*Provider::ALL.first().unwrap(), KeyAlgorithm::P256).unwrap()
}

/// rcgen's parameters of an authority or of a server, without what it would need a provider of its own for.
pub(crate) fn params(name: &str, number: u64, is_ca: bool) -> CertificateParams {
    let names = if is_ca { Vec::new() } else { vec![name.to_owned()] };
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(number));
    params.key_identifier_method = KeyIdMethod::PreSpecified(number.to_be_bytes().to_vec());
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    }
    params
}

/// `openssl` builds the path from `leaf` to `root`, and refuses a root of the same name with another key.
fn openssl_accepts(name: &str, root: &[u8], leaf: &[u8]) {
    let room = tempfile::tempdir().unwrap();
    let [root_file, leaf_file] = ["root", "leaf"].map(|file| room.path().join(file));
    for (file, der) in [(&root_file, root), (&leaf_file, leaf)] {
        fs::write(file, pki_core::pem::encode_pem("CERTIFICATE", der)).unwrap();
    }
    let (root, leaf) = (root_file.to_str().unwrap(), leaf_file.to_str().unwrap());
    let said = openssl(["verify", "-x509_strict", "-check_ss_sig", "-CAfile", root, leaf], &[]);
    assert!(String::from_utf8(said).unwrap().ends_with(": OK\n"), "{name}");
}

/// rcgen issues a root and a server's certificate below it.
pub(crate) fn rcgen_issues(name: &str, signer: &dyn Signer) {
    let key = RcgenSigner::new(signer).unwrap();
    let root_params = params("root", 1, true);
    let root = root_params.self_signed(&key).unwrap();
    let leaf_key = leaf_key();
    let mut leaf_params = params(SERVER, 2, false);
    leaf_params.use_authority_key_identifier_extension = true;
    let leaf =
        leaf_params.signed_by(&RcgenSigner::new(&leaf_key).unwrap(), &Issuer::from_params(&root_params, key)).unwrap();
    openssl_accepts(name, root.der(), leaf.der());
}

/// The builder of x509-cert issues a root and an authority below it.
pub(crate) fn x509_cert_issues(name: &str, signer: &dyn Signer) {
    let key = X509Signer::new(signer).unwrap();
    let subject = Name::from_str("CN=root,O=Test,C=US").unwrap();
    let spki = |signer: &dyn Signer| SubjectPublicKeyInfo::try_from(signer.public_key().as_ref()).unwrap();
    let validity = || Validity::from_now(Duration::from_secs(3600)).unwrap();

    let root = profile::cabf::Root::new(false, subject.clone()).unwrap();
    let root = CertificateBuilder::new(root, 1_u32.into(), validity(), spki(signer)).unwrap();
    let root = root.build::<_, X509Signature>(&key).unwrap();

    let below = profile::cabf::tls::Subordinate {
        issuer: subject,
        subject: Name::from_str("CN=below,O=Test,C=US").unwrap(),
        path_len_constraint: Some(0),
        client_auth: false,
        emits_ocsp_response: false,
    };
    let below = CertificateBuilder::new(below, 2_u32.into(), validity(), spki(&leaf_key())).unwrap();
    let below = below.build::<_, X509Signature>(&key).unwrap();
    openssl_accepts(name, &root.to_der().unwrap(), &below.to_der().unwrap());
}
