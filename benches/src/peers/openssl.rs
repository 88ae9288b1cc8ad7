//! The crate `openssl`, on the system's OpenSSL.

use getrandom::SysRng;
use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Req};
use pki_core::{KeyAlgorithm, Serial};

use super::{is_rsa, validity};
use crate::Setup;
use crate::requests::{Authority, Case};

/// An authority for the crate `openssl`.
pub struct OpensslIssuer {
    key: PKey<Private>,
    certificate: X509,
    digest: MessageDigest,
    not_before: Asn1Time,
    not_after: Asn1Time,
}

impl OpensslIssuer {
    /// This authority.
    ///
    /// # Errors
    /// When OpenSSL refuses its key or its certificate.
    pub fn new(authority: &Authority) -> Setup<Self> {
        let (not_before, not_after) = validity(authority);
        let key = PKey::private_key_from_pkcs8(&authority.pkcs8)?;
        Ok(Self {
            digest: match authority.algorithm {
                KeyAlgorithm::P384 => MessageDigest::sha384(),
                _ if key.id() == Id::ED25519 => MessageDigest::null(),
                _ => MessageDigest::sha256(),
            },
            key,
            certificate: X509::from_der(authority.issuer.certificate().der())?,
            not_before: Asn1Time::from_unix(not_before.unix_timestamp())?,
            not_after: Asn1Time::from_unix(not_after.unix_timestamp())?,
        })
    }

    /// From the DER of a request to that of a certificate.
    ///
    /// # Errors
    /// When OpenSSL refuses something.
    pub fn issue(&self, case: &Case) -> Setup<Vec<u8>> {
        let request = X509Req::from_der(&case.request)?;
        let key = request.public_key()?;
        if !request.verify(&key)? {
            return Err("a request whose signature does not verify".into());
        }
        let mut builder = X509Builder::new()?;
        builder.set_version(2)?;
        let serial = BigNum::from_slice(Serial::generate(&mut SysRng)?.as_bytes())?;
        builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.set_subject_name(request.subject_name())?;
        builder.set_not_before(&self.not_before)?;
        builder.set_not_after(&self.not_after)?;
        builder.set_pubkey(&key)?;

        let mut usage = KeyUsage::new();
        usage.critical().digital_signature();
        if is_rsa(case.algorithm) {
            usage.key_encipherment();
        }
        builder.append_extension(usage.build()?)?;
        builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let key_id = SubjectKeyIdentifier::new().build(&context)?;
        let issuer_key_id = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        builder.append_extension(key_id)?;
        builder.append_extension(issuer_key_id)?;
        for extension in request.extensions()? {
            builder.append_extension(extension)?;
        }
        builder.sign(&self.key, self.digest)?;
        Ok(builder.build().to_der()?)
    }
}

impl std::fmt::Debug for OpensslIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpensslIssuer").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
