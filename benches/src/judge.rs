//! Whether what is compared is the same work: every way's certificate is judged before anything is measured.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use der::{Decode as _, Encode as _};
use pki_core::pem::{CERTIFICATE, encode_pem};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

use crate::Setup;
use crate::requests::{Authority, Case};

/// What has to agree between the certificates that two ways make of one request. The identifiers of keys are not among it: each
/// library has its own way of hashing, and each extension has to be there.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    issuer: Vec<u8>,
    subject: Vec<u8>,
    public_key: Vec<u8>,
    seconds: u64,
    /// Identifier and criticality.
    extensions: BTreeSet<(String, bool)>,
    key_usage: Vec<u8>,
    extended_key_usage: Vec<u8>,
    basic_constraints: Vec<u8>,
    names: BTreeSet<Vec<u8>>,
}

impl Content {
    fn of(der: &[u8]) -> Setup<Self> {
        let certificate = Certificate::from_der(der)?;
        let tbs = certificate.tbs_certificate();
        let (_, key_usage) = tbs.get_extension::<KeyUsage>()?.ok_or("no keyUsage")?;
        let (_, extended) = tbs.get_extension::<ExtendedKeyUsage>()?.ok_or("no extKeyUsage")?;
        let (_, constraints) = tbs.get_extension::<BasicConstraints>()?.ok_or("no basicConstraints")?;
        let (_, names) = tbs.get_extension::<SubjectAltName>()?.ok_or("no subjectAltName")?;
        let validity = tbs.validity();
        let lifetime = validity.not_after.to_unix_duration().checked_sub(validity.not_before.to_unix_duration());
        let extensions = tbs.extensions().into_iter().flatten();
        Ok(Self {
            issuer: tbs.issuer().to_der()?,
            subject: tbs.subject().to_der()?,
            public_key: tbs.subject_public_key_info().to_der()?,
            seconds: lifetime.ok_or("an end after the beginning")?.as_secs(),
            extensions: extensions.map(|extension| (extension.extn_id.to_string(), extension.critical)).collect(),
            key_usage: key_usage.to_der()?,
            extended_key_usage: extended.to_der()?,
            basic_constraints: constraints.to_der()?,
            names: names.0.iter().map(|name| name.to_der()).collect::<Result<_, _>>()?,
        })
    }
}

/// Refuses a certificate that `openssl verify -x509_strict` refuses, or that says anything else than `ours` of the same request.
///
/// # Errors
/// What is wrong with it.
pub fn judge(authority: &Authority, case: &Case, ours: &[u8], theirs: &[u8]) -> Setup<()> {
    let (expected, found) = (Content::of(ours)?, Content::of(theirs)?);
    if expected != found {
        return Err(format!("for {:?}: expected {expected:#?}, found {found:#?}", case.approval).into());
    }
    let room = tempfile::tempdir()?;
    let [root, leaf] = ["root.crt", "leaf.crt"].map(|file| room.path().join(file));
    fs::write(&root, encode_pem(CERTIFICATE, authority.issuer.certificate().der()))?;
    fs::write(&leaf, encode_pem(CERTIFICATE, theirs))?;
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-x509_strict", "-purpose", "sslserver", "-attime"]);
    openssl.arg(authority.now.unix_timestamp().to_string()).arg("-CAfile").args([&root, &leaf]);
    let said = openssl.output().map_err(|error| format!("openssl, which judges the certificates: {error}"))?;
    if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into()) }
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use pki_core::KeyAlgorithm;
    use pki_core::SelfCheck;
    use pki_core::Serial;
    use pki_core::verify::aws_lc_rs;
    use signer_hsm::SoftwareKey;

    use super::*;
    use crate::{Der as _, ours, peers};

    #[test]
    fn what_differs_or_does_not_verify_is_refused() {
        let authority = Authority::generate(KeyAlgorithm::P256).unwrap();
        let key = SoftwareKey::generate(KeyAlgorithm::P256).unwrap();
        let [case, other] = [1, 2].map(|node| Case::new(node, &key, KeyAlgorithm::P256, &authority).unwrap());
        let issue = |case: &Case| {
            let (request, check) = (&case.request, SelfCheck::Always);
            ours::issue(&authority, case, request, &authority.signer, aws_lc_rs(), check).unwrap().into_der().unwrap()
        };
        let ours = issue(&case);
        judge(&authority, &case, &ours, &peers::rcgen(&authority, &case).unwrap().into_der().unwrap()).unwrap();

        let said = judge(&authority, &case, &ours, &issue(&other)).unwrap_err().to_string();
        assert!(said.contains("expected Content"), "{said}");
        let serial = Serial::generate(&mut SysRng).unwrap();
        let prepared = ours::verify(&case.request, aws_lc_rs()).unwrap();
        let prepared = authority.issuer.prepare(ours::LEAF, prepared, &case.approval, serial, authority.now).unwrap();
        let mut forged = prepared.sign(&authority.signer, aws_lc_rs()).unwrap().into_der().unwrap();
        *forged.last_mut().unwrap() ^= 1;
        let said = judge(&authority, &case, &ours, &forged).unwrap_err().to_string();
        assert!(said.contains("signature"), "{said}");
    }
}
