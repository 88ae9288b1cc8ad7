//! The builder of x509-cert, with P-256 keys of RustCrypto and of aws-lc-rs.

use der::asn1::OctetString;
use der::oid::{AssociatedOid as _, ObjectIdentifier};
use der::{DateTime, Decode as _, Encode as _};
use getrandom::SysRng;
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::DecodePrivateKey as _;
use pki_core::{Serial, X509Signature, X509Signer};
use signature::Verifier as _;
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder, Result};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, ExtensionReq};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoRef;
use x509_cert::time::Validity;

use super::validity;
use crate::Setup;
use crate::requests::{Authority, Case};

const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// A P-256 authority for x509-cert.
#[derive(Debug)]
pub struct X509CertIssuer<'a> {
    key: SigningKey,
    adapter: X509Signer<'a>,
    name: Name,
    key_id: OctetString,
    validity: Validity,
}

impl<'a> X509CertIssuer<'a> {
    /// This authority.
    ///
    /// # Errors
    /// When its key is of another kind, or x509-cert cannot read its certificate.
    pub fn new(authority: &'a Authority) -> Setup<Self> {
        let certificate = x509_cert::Certificate::from_der(authority.issuer.certificate().der())?;
        let tbs = certificate.tbs_certificate();
        let (_, key_id) = tbs.get_extension::<SubjectKeyIdentifier>()?.ok_or("an authority has a key identifier")?;
        let (not_before, not_after) = validity(authority);
        let time = |moment: time::OffsetDateTime| -> Setup<x509_cert::time::Time> {
            let seconds = std::time::Duration::from_secs(moment.unix_timestamp().try_into()?);
            Ok(DateTime::from_unix_duration(seconds)?.into())
        };
        Ok(Self {
            key: SigningKey::from_pkcs8_der(&authority.pkcs8)?,
            adapter: X509Signer::new(&authority.signer)?,
            name: tbs.subject().clone(),
            key_id: key_id.0,
            validity: Validity::new(time(not_before)?, time(not_after)?),
        })
    }

    /// Everything on RustCrypto.
    ///
    /// # Errors
    /// When a library refuses something.
    pub fn issue(&self, case: &Case) -> Setup<Vec<u8>> {
        let request = CertReq::from_der(&case.request)?;
        let key = VerifyingKey::from_sec1_bytes(request.info.public_key.subject_public_key.raw_bytes())?;
        key.verify(&request.info.to_der()?, &DerSignature::try_from(request.signature.raw_bytes())?)?;
        let certificate = self.builder(request)?.build::<_, DerSignature>(&self.key)?;
        Ok(certificate.to_der()?)
    }

    /// The same builder, with the cryptography of aws-lc-rs: `Signer` through this workspace's adapter.
    ///
    /// # Errors
    /// When a library refuses something.
    pub fn issue_on_aws_lc_rs(&self, case: &Case) -> Setup<Vec<u8>> {
        let request = CertReq::from_der(&case.request)?;
        let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1;
        let bits = request.info.public_key.subject_public_key.raw_bytes();
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, bits);
        key.verify(&request.info.to_der()?, request.signature.raw_bytes())?;
        let certificate = self.builder(request)?.build::<_, X509Signature>(&self.adapter)?;
        Ok(certificate.to_der()?)
    }

    fn builder(&self, request: CertReq) -> Setup<CertificateBuilder<Profile<'_>>> {
        let CertReq { info, .. } = request;
        let mut names = None;
        for attribute in info.attributes.iter().filter(|attribute| attribute.oid == ExtensionReq::OID) {
            for value in attribute.values.iter() {
                let extensions: ExtensionReq = value.decode_as()?;
                let found = extensions.0.into_iter().find(|extension| extension.extn_id == SubjectAltName::OID);
                names = found.map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes())).transpose()?;
            }
        }
        let profile = Profile { issuer: self, subject: info.subject, names: names.ok_or("a request with names")? };
        let serial = SerialNumber::new(Serial::generate(&mut SysRng)?.as_bytes())?;
        Ok(CertificateBuilder::new(profile, serial, self.validity, info.public_key)?)
    }
}

/// The extensions of a server with an elliptic key.
struct Profile<'i> {
    issuer: &'i X509CertIssuer<'i>,
    subject: Name,
    names: SubjectAltName,
}

impl BuilderProfile for Profile<'_> {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.name.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        public_key: SubjectPublicKeyInfoRef<'_>,
        _issuer_public_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> Result<Vec<Extension>> {
        let (subject, none) = (tbs.subject(), &[]);
        let issuer_key_id = AuthorityKeyIdentifier {
            key_identifier: Some(self.issuer.key_id.clone()),
            ..AuthorityKeyIdentifier::default()
        };
        Ok(vec![
            KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(subject, none)?,
            ExtendedKeyUsage(vec![SERVER_AUTH]).to_extension(subject, none)?,
            // This library makes it critical for authorities only.
            (true, &BasicConstraints { ca: false, path_len_constraint: None }).to_extension(subject, none)?,
            SubjectKeyIdentifier::try_from(public_key)?.to_extension(subject, none)?,
            issuer_key_id.to_extension(subject, none)?,
            self.names.to_extension(subject, none)?,
        ])
    }
}
