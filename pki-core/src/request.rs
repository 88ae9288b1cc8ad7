//! Certification requests (PKCS#10, RFC 2986), read strictly and bounded.
//!
//! A request contributes its key. Its names are compared with what was approved and its
//! extensions with what the profile allows; nothing else of it reaches a certificate.
//!
//! Reading has three steps, and each is a type: the frame ([`CertificationRequest`]), the proof that the sender holds
//! the key ([`ProvenRequest`]), and the strict reading of what the request asks for ([`VerifiedRequest`]). Between the
//! last two stands whoever must know what other software makes of the same names.

use std::borrow::Cow;

use crate::certificate::{Extensions, Purposes, oids, parse_basic_constraints, parse_key_usage};
use crate::decode::Elements;
use crate::encode::tag;
use crate::name::{SubjectAltNamesRef, SubjectRef};
use crate::pem::{CERTIFICATE_REQUEST, decode_single_pem};
use crate::verify::{IdentifiedKey, SubjectPublicKey, Verifiers, VerifyError};
use crate::weak_key::{self, KeyBlocklist, WeakKey};
use crate::{AuthorityId, ExtendedKeyUsage, Fingerprint, Limits, PresentedNames, SignatureAlgorithm};

mod create;
mod error;

pub use create::create_request;
pub use error::RequestError;

/// A request whose frame was read and of which nothing is proven.
#[derive(Clone, Debug)]
pub struct CertificationRequest<'a> {
    /// The signed octets, exactly as received: never re-encoded for verification.
    info: &'a [u8],
    subject: &'a [u8],
    public_key: SubjectPublicKey<'a>,
    extensions: Extensions<'a>,
    algorithm: SignatureAlgorithm,
    signature: &'a [u8],
    limits: Limits,
}

/// A request whose sender holds the private key of the key inside. What it asks for is not read yet.
///
/// Only [`CertificationRequest::prove`] makes one, once, so that no later step need check again.
#[derive(Clone, Debug)]
pub struct ProvenRequest<'a>(CertificationRequest<'a>);

/// A proven request that asks for what a leaf may have, and for nothing that readers understand differently.
#[derive(Debug)]
pub struct VerifiedRequest<'a> {
    subject: SubjectRef<'a>,
    subject_alt_names: SubjectAltNamesRef<'a>,
    extended_key_usage: Vec<ExtendedKeyUsage>,
    public_key: IdentifiedKey<'a>,
}

/// What to do with an extension that a request asks for and no leaf gets from a request.
///
/// None reaches a certificate either way. A CA bit and the usages that go with it are refused in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnusedExtensions {
    /// Refuse the request: its sender expects something that it would not get.
    #[default]
    Refuse,
    /// Drop the extension, as kube-controller-manager does; an extended key usage, too.
    Drop,
}

/// The DER of a request as a file or message holds it: PEM where it begins like PEM, else as it stands.
///
/// # Errors
/// As [`decode_single_pem`].
pub fn request_der<'a>(received: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, RequestError> {
    // Every DER request begins with the tag of a SEQUENCE, which is `0` as text.
    if received.first() == Some(&tag::SEQUENCE) {
        return Ok(received.into());
    }
    Ok(decode_single_pem(received, CERTIFICATE_REQUEST, limits)?.into())
}

impl<'a> CertificationRequest<'a> {
    /// Reads the frame of a DER request.
    ///
    /// Accepted: version 0; a key that [`SubjectPublicKey::parse`] takes, signed with the algorithm that fits it;
    /// at most one attribute, `extensionRequest`, with one value (RFC 2985 5.4.2), in which no extension stands twice.
    ///
    /// # Errors
    /// Whatever else it holds is refused by name; see [`RequestError`].
    pub fn parse(der: &'a [u8], limits: &Limits) -> Result<Self, RequestError> {
        if der.len() > limits.request_len_max {
            return Err(RequestError::TooLong { found: der.len(), max: limits.request_len_max });
        }
        let mut request = Elements::of("CertificationRequest", tag::SEQUENCE, der)?;
        let info = request.element(tag::SEQUENCE)?;
        let algorithm = request.content(tag::SEQUENCE)?;
        let signature = request.bit_string()?;
        request.finish()?;

        let mut body = Elements::of("CertificationRequestInfo", tag::SEQUENCE, info)?;
        if body.content(tag::INTEGER)? != [0] {
            return Err(RequestError::Version);
        }
        let subject = body.element(tag::SEQUENCE)?;
        let public_key = SubjectPublicKey::parse(body.element(tag::SEQUENCE)?)?;
        let attributes = body.enter("Attributes", tag::CONTEXT_0)?;
        body.finish()?;

        let algorithm = SignatureAlgorithm::CERTIFICATES
            .into_iter()
            .find(|candidate| *candidate.identifier() == *algorithm)
            .ok_or(RequestError::SignatureAlgorithm)?;
        if public_key.algorithm().certificate_signature() != algorithm {
            return Err(RequestError::Possession(VerifyError::AlgorithmMismatch));
        }
        let extensions = read_attributes(attributes)?;
        Ok(Self { info, subject, public_key, extensions, algorithm, signature, limits: *limits })
    }

    /// Checks that the sender holds the private key, by the signature over the octets as received, and that nobody can
    /// compute it: of an RSA key, what [`WeakKey`] lists.
    ///
    /// # Errors
    /// [`RequestError::Possession`] when the signature does not verify, [`RequestError::WeakKey`] for a weak key.
    pub fn prove(self, verifiers: Verifiers<'_>) -> Result<ProvenRequest<'a>, RequestError> {
        verifiers
            .verify(&self.public_key, self.algorithm, self.info, self.signature)
            .map_err(RequestError::Possession)?;
        match weak_key::weakness(&self.public_key, self.limits.fermat_rounds) {
            Some(weakness) => Err(RequestError::WeakKey(weakness)),
            None => Ok(ProvenRequest(self)),
        }
    }

    /// [`prove`](Self::prove), then [`ProvenRequest::read`] with unused extensions refused.
    ///
    /// # Errors
    /// As both.
    pub fn verify(self, verifiers: Verifiers<'_>) -> Result<VerifiedRequest<'a>, RequestError> {
        self.prove(verifiers)?.read(UnusedExtensions::Refuse)
    }
}

/// The content of the one `extensionRequest` that there may be.
fn read_attributes(mut attributes: Elements<'_>) -> Result<Extensions<'_>, RequestError> {
    let mut extensions = None;
    while !attributes.is_empty() {
        let mut attribute = attributes.enter("Attribute", tag::SEQUENCE)?;
        let attribute_type = attribute.content(tag::OBJECT_IDENTIFIER)?;
        if attribute_type != oids::EXTENSION_REQUEST.as_bytes() {
            return Err(RequestError::Attribute(attribute.identifier(attribute_type)?.to_string()));
        }
        let mut values = attribute.enter("extensionRequest", tag::SET)?;
        attribute.finish()?;
        let found = Extensions::parse(values.enter("extensionRequest", tag::SEQUENCE)?)?;
        // A second attribute or a second value is where parsers differ over which one counts.
        if !values.is_empty() || extensions.replace(found).is_some() {
            return Err(RequestError::RepeatedExtensionRequest);
        }
    }
    Ok(extensions.unwrap_or_default())
}

impl<'a> ProvenRequest<'a> {
    /// The key whose possession is proven.
    #[must_use]
    pub const fn public_key(&self) -> &SubjectPublicKey<'a> {
        &self.0.public_key
    }

    /// Passes a request on whose key is not on the list.
    ///
    /// # Errors
    /// [`RequestError::WeakKey`] with [`WeakKey::Blocked`] when it is.
    pub fn refuse_blocked(self, blocklist: &dyn KeyBlocklist) -> Result<Self, RequestError> {
        if blocklist.is_blocked(&Fingerprint::of(self.0.public_key.as_der())) {
            return Err(RequestError::WeakKey(WeakKey::Blocked));
        }
        Ok(self)
    }

    /// The names as kube-controller-manager reads them, for rules that are stated in its terms. Nothing of them is
    /// checked.
    ///
    /// # Errors
    /// When they cannot be read at all.
    pub fn presented_names(&self) -> Result<PresentedNames, RequestError> {
        let names = self.0.extensions.subject_alt_name.map(|extension| extension.value);
        Ok(PresentedNames::read(self.0.subject, names, &self.0.limits)?)
    }

    /// Reads what the request asks for.
    ///
    /// Accepted: a subject of one CN and any number of O; `subjectAltName` of dNSNames and iPAddresses; `extKeyUsage`;
    /// `keyUsage` and `basicConstraints` of no CA.
    ///
    /// # Errors
    /// Whatever else it asks for is refused by name; see [`RequestError`].
    pub fn read(self, unused: UnusedExtensions) -> Result<VerifiedRequest<'a>, RequestError> {
        let Self(CertificationRequest { subject, public_key, extensions, limits, .. }) = self;
        let subject = SubjectRef::parse(subject, limits.subject_len_max)?;
        let names = extensions.subject_alt_name;
        let names = names.map(|names| SubjectAltNamesRef::parse(names.value, limits.subject_alt_names_max));
        let subject_alt_names = names.transpose()?.unwrap_or_default();
        let extended_key_usage = match extensions.extended_key_usage {
            Some(usages) => read_purposes(usages.value, unused)?,
            None => Vec::new(),
        };
        // Bits 5 and 6: a leaf signs neither certificates nor CRLs (RFC 5280 4.2.1.3).
        if let Some(usage) = extensions.key_usage {
            refuse_authority(parse_key_usage(usage.value)? & (1 << 5 | 1 << 6) != 0)?;
        }
        if let Some(constraints) = extensions.basic_constraints {
            refuse_authority(parse_basic_constraints(constraints.value)? != (false, None))?;
        }
        if unused == UnusedExtensions::Refuse {
            let without_use = [
                (extensions.subject_key_id.is_some(), oids::SUBJECT_KEY_IDENTIFIER),
                (extensions.authority_key_id.is_some(), oids::AUTHORITY_KEY_IDENTIFIER),
                (extensions.name_constraints.is_some(), oids::NAME_CONSTRAINTS),
            ];
            let known = without_use.iter().filter(|(is_there, _)| *is_there).map(|(_, oid)| oid);
            if let Some(oid) = known.chain(extensions.others.iter().map(|other| &other.oid)).next() {
                return Err(RequestError::Extension(oid.to_string()));
            }
        }
        let public_key = IdentifiedKey::new(public_key);
        Ok(VerifiedRequest { subject, subject_alt_names, extended_key_usage, public_key })
    }
}

const fn refuse_authority(asked_for: bool) -> Result<(), RequestError> {
    if asked_for { Err(RequestError::CertificateAuthority) } else { Ok(()) }
}

fn read_purposes(value: &[u8], unused: UnusedExtensions) -> Result<Vec<ExtendedKeyUsage>, RequestError> {
    let mut purposes = Purposes::of(value)?;
    match unused {
        UnusedExtensions::Refuse => {
            purposes.map(|purpose| ExtendedKeyUsage::from_oid(purpose?).ok_or(RequestError::ExtendedKeyUsage)).collect()
        }
        UnusedExtensions::Drop => {
            purposes.try_for_each(|purpose| purpose.map(drop))?;
            Ok(Vec::new())
        }
    }
}

impl<'a> VerifiedRequest<'a> {
    /// The subject asked for.
    #[must_use]
    pub const fn subject(&self) -> SubjectRef<'a> {
        self.subject
    }

    /// The alternative names asked for.
    #[must_use]
    pub const fn subject_alt_names(&self) -> SubjectAltNamesRef<'a> {
        self.subject_alt_names
    }

    /// The extended key usages asked for; empty when the request names none, or when they were dropped.
    #[must_use]
    pub fn extended_key_usage(&self) -> &[ExtendedKeyUsage] {
        &self.extended_key_usage
    }

    /// The key whose possession is proven.
    #[must_use]
    pub const fn public_key(&self) -> &SubjectPublicKey<'a> {
        self.public_key.key()
    }

    pub(crate) const fn identified_key(&self) -> &IdentifiedKey<'a> {
        &self.public_key
    }

    /// The identifier of that key, as its certificate will have it.
    #[must_use]
    pub const fn key_id(&self) -> AuthorityId {
        self.public_key.id()
    }
}
