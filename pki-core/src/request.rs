//! Certification requests (PKCS#10, RFC 2986), read strictly and bounded.
//!
//! A request contributes its key. Its names are compared with what was approved and its
//! extensions with what the profile allows; nothing else of it reaches a certificate.

use core::fmt;

use crate::certificate::{
    Extension, oids, parse_basic_constraints, parse_extended_key_usage, parse_key_usage, parse_subject,
    parse_subject_alt_names,
};
use crate::decode::{DecodeError, Elements};
use crate::encode::{self, tag};
use crate::name::{Subject, SubjectAltName};
use crate::signer::{SignError, SignErrorKind, Signer, sign_to_vec};
use crate::verify::{SubjectPublicKey, Verifiers, VerifyError};
use crate::{ExtendedKeyUsage, Limits, SignatureAlgorithm};

/// A request that was parsed and of which nothing is proven.
#[derive(Clone, Debug)]
pub struct CertificationRequest<'a> {
    /// The signed octets, exactly as received: never re-encoded for verification.
    info: &'a [u8],
    subject: Subject,
    public_key: SubjectPublicKey<'a>,
    subject_alt_names: Vec<SubjectAltName>,
    extended_key_usage: Vec<ExtendedKeyUsage>,
    algorithm: SignatureAlgorithm,
    signature: &'a [u8],
}

/// A request whose sender holds the private key of the key inside.
///
/// Only [`CertificationRequest::verify`] makes one, once, so that no later step need check again.
#[derive(Debug)]
pub struct VerifiedRequest<'a>(CertificationRequest<'a>);

impl<'a> CertificationRequest<'a> {
    /// Reads a DER request.
    ///
    /// Accepted: version 0; a subject of CN and O; a key that [`SubjectPublicKey::parse`] takes; at most
    /// one attribute, `extensionRequest`, with one value (RFC 2985 5.4.2), in which `subjectAltName`,
    /// `extKeyUsage`, `keyUsage` and `basicConstraints` without the CA bit may stand once each.
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
        let subject = parse_subject(body.element(tag::SEQUENCE)?, limits.subject_len_max)?;
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
        let mut parsed = Self {
            info,
            subject,
            public_key,
            subject_alt_names: Vec::new(),
            extended_key_usage: Vec::new(),
            algorithm,
            signature,
        };
        parsed.read_attributes(attributes, limits)?;
        Ok(parsed)
    }

    fn read_attributes(&mut self, mut attributes: Elements<'a>, limits: &Limits) -> Result<(), RequestError> {
        let mut extensions = None;
        while !attributes.is_empty() {
            let mut attribute = attributes.enter("Attribute", tag::SEQUENCE)?;
            let attribute_type = attribute.object_identifier()?;
            if attribute_type != oids::EXTENSION_REQUEST {
                return Err(RequestError::Attribute(attribute_type.to_string()));
            }
            let mut values = attribute.enter("extensionRequest", tag::SET)?;
            attribute.finish()?;
            let found = Extension::parse_all(values.enter("extensionRequest", tag::SEQUENCE)?)?;
            // A second attribute or a second value is where parsers differ over which one counts.
            if !values.is_empty() || extensions.replace(found).is_some() {
                return Err(RequestError::RepeatedExtensionRequest);
            }
        }
        extensions.iter().flatten().try_for_each(|extension| self.read_extension(extension, limits))
    }

    fn read_extension(&mut self, extension: &Extension<'_>, limits: &Limits) -> Result<(), RequestError> {
        match extension.oid {
            oids::SUBJECT_ALT_NAME => {
                self.subject_alt_names = parse_subject_alt_names(extension.value, limits.subject_alt_names_max)?;
            }
            oids::EXT_KEY_USAGE => {
                self.extended_key_usage = parse_extended_key_usage(extension.value)?
                    .into_iter()
                    .collect::<Option<_>>()
                    .ok_or(RequestError::ExtendedKeyUsage)?;
            }
            oids::KEY_USAGE => {
                let bits = parse_key_usage(extension.value)?;
                // Bits 5 and 6: a leaf signs neither certificates nor CRLs (RFC 5280 4.2.1.3).
                if bits.get(5) == Some(true) || bits.get(6) == Some(true) {
                    return Err(RequestError::CertificateAuthority);
                }
            }
            oids::BASIC_CONSTRAINTS => {
                if parse_basic_constraints(extension.value)? != (false, None) {
                    return Err(RequestError::CertificateAuthority);
                }
            }
            other => return Err(RequestError::Extension(other.to_string())),
        }
        Ok(())
    }

    /// Checks that the sender holds the private key: the signature over the octets as received.
    ///
    /// # Errors
    /// [`RequestError::Possession`] when it does not verify.
    pub fn verify(self, verifiers: Verifiers<'_>) -> Result<VerifiedRequest<'a>, RequestError> {
        verifiers
            .verify(&self.public_key, self.algorithm, self.info, self.signature)
            .map_err(RequestError::Possession)?;
        Ok(VerifiedRequest(self))
    }

    /// The subject asked for.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The alternative names asked for.
    #[must_use]
    pub fn subject_alt_names(&self) -> &[SubjectAltName] {
        &self.subject_alt_names
    }
}

impl<'a> VerifiedRequest<'a> {
    /// The subject asked for.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.0.subject
    }

    /// The alternative names asked for.
    #[must_use]
    pub fn subject_alt_names(&self) -> &[SubjectAltName] {
        &self.0.subject_alt_names
    }

    /// The extended key usages asked for; empty when the request names none.
    #[must_use]
    pub fn extended_key_usage(&self) -> &[ExtendedKeyUsage] {
        &self.0.extended_key_usage
    }

    /// The key whose possession is proven.
    #[must_use]
    pub const fn public_key(&self) -> &SubjectPublicKey<'a> {
        &self.0.public_key
    }
}

/// Makes a DER request for `signer`'s own key: what a component sends.
///
/// # Errors
/// When the signer fails, or signs with an algorithm that requests do not use.
pub fn create_request(
    subject: &Subject,
    subject_alt_names: &[SubjectAltName],
    signer: &dyn Signer,
) -> Result<Vec<u8>, SignError> {
    if !SignatureAlgorithm::CERTIFICATES.contains(&signer.algorithm()) {
        return Err(SignError::new(SignErrorKind::UnsupportedAlgorithm));
    }
    let attributes = if subject_alt_names.is_empty() {
        Vec::new()
    } else {
        let extensions = encode::element(tag::SEQUENCE, &encode_subject_alt_names(subject_alt_names));
        let values = encode::element(tag::SET, &extensions);
        encode::wrap(tag::SEQUENCE, &[&encode_oid(oids::EXTENSION_REQUEST), &values])
    };
    let info = encode::wrap(
        tag::SEQUENCE,
        &[
            &[tag::INTEGER, 1, 0],
            &encode_subject(subject),
            signer.public_key(),
            &encode::element(tag::CONTEXT_0, &attributes),
        ],
    );
    let algorithm = encode::element(tag::SEQUENCE, &signer.algorithm().identifier());
    let mut signature = Vec::new();
    encode::push_bit_string(&mut signature, &sign_to_vec(signer, &info)?);
    Ok(encode::wrap(tag::SEQUENCE, &[&info, &algorithm, &signature]))
}

pub(crate) fn encode_oid(oid: der::asn1::ObjectIdentifier) -> Vec<u8> {
    encode::element(tag::OBJECT_IDENTIFIER, oid.as_bytes())
}

/// A `Name` of one UTF8String per relative distinguished name: each O, then the CN.
pub(crate) fn encode_subject(subject: &Subject) -> Vec<u8> {
    let organizations = subject.organizations().iter().map(|value| (oids::ORGANIZATION_NAME, value.as_str()));
    let mut rdns = Vec::new();
    for (oid, value) in organizations.chain([(oids::COMMON_NAME, subject.common_name())]) {
        let value = encode::element(tag::UTF8_STRING, value.as_bytes());
        let attribute = encode::wrap(tag::SEQUENCE, &[&encode_oid(oid), &value]);
        encode::push_element(&mut rdns, tag::SET, &attribute);
    }
    encode::element(tag::SEQUENCE, &rdns)
}

/// A whole `subjectAltName` extension, not critical: every subject here is non-empty (RFC 5280 4.2.1.6).
pub(crate) fn encode_subject_alt_names(names: &[SubjectAltName]) -> Vec<u8> {
    let mut general_names = Vec::new();
    for name in names {
        match name {
            SubjectAltName::Dns(name) => {
                encode::push_element(&mut general_names, tag::DNS_NAME, name.as_str().as_bytes());
            }
            SubjectAltName::Ip(std::net::IpAddr::V4(address)) => {
                encode::push_element(&mut general_names, tag::IP_ADDRESS, &address.octets());
            }
            SubjectAltName::Ip(std::net::IpAddr::V6(address)) => {
                encode::push_element(&mut general_names, tag::IP_ADDRESS, &address.octets());
            }
        }
    }
    let value = encode::element(tag::SEQUENCE, &general_names);
    let value = encode::element(tag::OCTET_STRING, &value);
    encode::wrap(tag::SEQUENCE, &[&encode_oid(oids::SUBJECT_ALT_NAME), &value])
}

/// Why a request is refused. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Longer than [`Limits::request_len_max`], unread.
    TooLong {
        /// Octets received.
        found: usize,
        /// Octets allowed.
        max: usize,
    },
    /// Not a DER request of the accepted form.
    Malformed(DecodeError),
    /// The version is not 0 (RFC 2986 4.1).
    Version,
    /// The signature algorithm is none that a cluster uses with SHA-256 or SHA-384, or Ed25519.
    SignatureAlgorithm,
    /// An attribute other than `extensionRequest`, by object identifier.
    Attribute(String),
    /// More than one `extensionRequest`, or more than one value in it (RFC 2985 5.4.2).
    RepeatedExtensionRequest,
    /// An extension that no leaf has, by object identifier.
    Extension(String),
    /// An extended key usage other than serverAuth and clientAuth.
    ExtendedKeyUsage,
    /// The request asks to become a CA, or to sign certificates or CRLs (RFC 5280 4.2.1.9).
    CertificateAuthority,
    /// The signature does not prove possession of the private key (RFC 2986 4.2).
    Possession(VerifyError),
}

impl RequestError {
    /// The stable code of the refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "request.too_long",
            Self::Malformed(_) => "request.malformed",
            Self::Version => "request.version",
            Self::SignatureAlgorithm => "request.signature_algorithm",
            Self::Attribute(_) => "request.attribute",
            Self::RepeatedExtensionRequest => "request.repeated_extension_request",
            Self::Extension(_) => "request.extension",
            Self::ExtendedKeyUsage => "request.extended_key_usage",
            Self::CertificateAuthority => "request.certificate_authority",
            Self::Possession(_) => "request.possession",
        }
    }
}

impl From<DecodeError> for RequestError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found, max } => write!(f, "the request has {found} octets, limit {max}"),
            Self::Malformed(error) => write!(f, "the request is malformed: {error}"),
            Self::Version => f.write_str("the request's version is not 0 (RFC 2986 4.1)"),
            Self::SignatureAlgorithm => f.write_str("the request's signature algorithm is not accepted"),
            Self::Attribute(oid) => write!(f, "the request has the attribute `{oid}`, accepted is extensionRequest"),
            Self::RepeatedExtensionRequest => f.write_str("the request has extensions twice (RFC 2985 5.4.2)"),
            Self::Extension(oid) => write!(f, "the request has the extension `{oid}`, which no leaf has"),
            Self::ExtendedKeyUsage => f.write_str("the request has an extended key usage that no leaf has"),
            Self::CertificateAuthority => f.write_str("the request asks to become a CA (RFC 5280 4.2.1.9)"),
            Self::Possession(error) => write!(f, "possession of the key is not proven (RFC 2986 4.2): {error}"),
        }
    }
}

impl core::error::Error for RequestError {}
