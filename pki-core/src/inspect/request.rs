//! One certification request.

use serde::Serialize;
use x509_cert::ext::Extension;
use x509_cert::request::CertReq;

use super::certificate::looks_like;
use super::{ExtensionsView, InspectError, KeyView, NameView, Remark, Severity, name_of};
use crate::certificate::oids;
use crate::decode::Elements;
use crate::encode::tag;
use crate::verify::{SubjectPublicKey, Verifiers, VerifyError};
use crate::{LeafKind, Limits, SignatureAlgorithm};

/// A certification request (PKCS#10, RFC 2986), whether or not an authority of this crate would take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RequestView {
    /// Who asks.
    pub subject: NameView,
    /// The key.
    pub public_key: KeyView,
    /// What the algorithm of the signature is called, or its object identifier.
    pub signature_algorithm: String,
    /// What the extensions asked for say.
    #[serde(flatten)]
    pub extensions: ExtensionsView,
    /// The object identifiers of the other attributes.
    pub other_attributes: Vec<String>,
    /// Whether the sender holds the private key.
    pub possession: Possession,
    /// As [`CertificateView::looks_like`](super::CertificateView::looks_like).
    pub looks_like: Vec<LeafKind>,
    /// What else to know.
    pub remarks: Vec<Remark>,
}

/// Whether the sender of a request holds the private key (RFC 2986 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Possession {
    /// The signature verifies.
    Proven,
    /// The signature does not verify.
    Refuted,
    /// No verifier was given, or none fits the key and the algorithm.
    NotChecked,
}

impl RequestView {
    /// Reads a request, and checks its signature if `verifiers` are given and one of them fits.
    ///
    /// # Errors
    /// When it is longer than [`Limits::request_len_max`], or not the DER of a request of version 0.
    pub fn parse(der: &[u8], verifiers: Option<Verifiers<'_>>, limits: &Limits) -> Result<Self, InspectError> {
        InspectError::check_len(der.len(), limits.request_len_max)?;
        let mut elements = Elements::new("CertificationRequest", der)?;
        let request: CertReq = elements.decode()?;
        elements.finish()?;

        let mut remarks = Vec::new();
        let (mut asked, mut other_attributes) = (Vec::new(), Vec::new());
        for attribute in request.info.attributes.iter() {
            if attribute.oid != oids::EXTENSION_REQUEST {
                other_attributes.push(attribute.oid.to_string());
                continue;
            }
            for value in attribute.values.iter() {
                let extensions = value.decode_as::<Vec<Extension>>();
                asked.extend(extensions.map_err(|_| InspectError::Malformed(unreadable()))?);
            }
        }
        let extensions = ExtensionsView::of(&asked, &mut remarks);
        let public_key = KeyView::of(&request.info.public_key);
        remarks.extend(public_key.weakness.map(|weakness| Remark::WeakKey { weakness }));
        if extensions.is_ca() {
            remarks.push(Remark::AsksForCa);
        }
        let possession = verifiers.map_or(Possession::NotChecked, |verifiers| possession(der, verifiers));
        if possession == Possession::Refuted {
            remarks.push(Remark::PossessionRefuted);
        }
        let subject = NameView::of(&request.info.subject);
        Ok(Self {
            looks_like: looks_like(&subject, &extensions),
            subject,
            public_key,
            signature_algorithm: name_of(request.algorithm.oid),
            extensions,
            other_attributes,
            possession,
            remarks,
        })
    }

    /// Whether a remark says that no authority would take this request.
    #[must_use]
    pub fn has_fault(&self) -> bool {
        self.remarks.iter().any(|remark| remark.severity() == Severity::Fault)
    }
}

const fn unreadable() -> crate::DecodeError {
    crate::DecodeError::value("extensionRequest", "not a list of extensions (RFC 2985 5.4.2)")
}

/// Checks the signature over the octets as received.
fn possession(der: &[u8], verifiers: Verifiers<'_>) -> Possession {
    let verify = || {
        let mut request = Elements::of("CertificationRequest", tag::SEQUENCE, der).ok()?;
        let info = request.element(tag::SEQUENCE).ok()?;
        let algorithm = request.content(tag::SEQUENCE).ok()?;
        let signature = request.bit_string().ok()?;
        let mut body = Elements::of("CertificationRequestInfo", tag::SEQUENCE, info).ok()?;
        body.content(tag::INTEGER).ok()?;
        body.element(tag::SEQUENCE).ok()?;
        let key = SubjectPublicKey::parse(body.element(tag::SEQUENCE).ok()?).ok()?;
        let known = SignatureAlgorithm::CERTIFICATES.into_iter().find(|known| *known.identifier() == *algorithm)?;
        Some(verifiers.verify(&key, known, info, signature))
    };
    match verify() {
        Some(Ok(())) => Possession::Proven,
        Some(Err(VerifyError::BadSignature | VerifyError::AlgorithmMismatch)) => Possession::Refuted,
        Some(Err(VerifyError::Unsupported(_))) | None => Possession::NotChecked,
    }
}
