//! Certificates as the rest of the crate sees them.

use core::fmt;

use der::asn1::ObjectIdentifier;
use oids as oid;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use sha2::{Digest, Sha256};

use crate::decode::{DecodeError, Elements};
use crate::encode::tag;
use crate::name::{Subject, SubjectAltName, parse_subject, parse_subject_alt_names};
use crate::verify::SubjectPublicKey;
use crate::{Limits, Validity};

mod extension;

pub(crate) use extension::{
    Extension, Extensions, Purposes, parse_basic_constraints, parse_extended_key_usage, parse_key_usage,
    parse_subject_key_id,
};

/// The object identifiers of this crate's certificates, from the `const-oid` database.
pub(crate) mod oids {
    pub(crate) use const_oid::db::rfc2985::PKCS_9_AT_EXTENSION_REQUEST as EXTENSION_REQUEST;
    pub(crate) use const_oid::db::rfc4519::{COMMON_NAME, ORGANIZATION_NAME};
    pub(crate) use const_oid::db::rfc5280::{
        ID_CE_AUTHORITY_KEY_IDENTIFIER as AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS as BASIC_CONSTRAINTS,
        ID_CE_CERTIFICATE_ISSUER as CERTIFICATE_ISSUER, ID_CE_CRL_NUMBER as CRL_NUMBER,
        ID_CE_CRL_REASONS as CRL_REASONS, ID_CE_DELTA_CRL_INDICATOR as DELTA_CRL_INDICATOR,
        ID_CE_EXT_KEY_USAGE as EXT_KEY_USAGE, ID_CE_ISSUING_DISTRIBUTION_POINT as ISSUING_DISTRIBUTION_POINT,
        ID_CE_KEY_USAGE as KEY_USAGE, ID_CE_NAME_CONSTRAINTS as NAME_CONSTRAINTS,
        ID_CE_SUBJECT_ALT_NAME as SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER as SUBJECT_KEY_IDENTIFIER,
        ID_KP_CLIENT_AUTH as CLIENT_AUTH, ID_KP_SERVER_AUTH as SERVER_AUTH,
    };
}

/// SHA-256 over a certificate's DER, or over the `SubjectPublicKeyInfo` where there is no certificate.
///
/// With the feature `serde` it is written in lower-case hexadecimal, as it prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these octets.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Which key an authority signs with: the leftmost 160 bits of SHA-256 over the subject public
/// key (RFC 7093 2, method 1). Equal for every certificate of one key, a cross-certificate included.
///
/// It is also the subject key identifier that this crate writes. With the feature `serde` it is written in lower-case
/// hexadecimal, as it prints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityId([u8; Self::LEN]);

impl AuthorityId {
    pub(crate) const LEN: usize = 20;

    /// The identifier of a key.
    #[must_use]
    pub fn of(key: &SubjectPublicKey<'_>) -> Self {
        Self::of_bits(key.bits())
    }

    /// The identifier of the key with this content of the `subjectPublicKey` BIT STRING.
    pub(crate) fn of_bits(bits: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(bits).into();
        let mut id = [0; Self::LEN];
        id.iter_mut().zip(digest).for_each(|(octet, digest)| *octet = digest);
        Self(id)
    }

    /// The 160 bits.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

macro_rules! hexadecimal {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::certificate::Hexadecimal).map(Self)
            }
        }
    };
}
pub(crate) use hexadecimal;
hexadecimal!(Fingerprint);
hexadecimal!(AuthorityId);

/// Reads `N` octets in lower-case hexadecimal: one form, so that equal values are equal texts.
#[cfg(feature = "serde")]
pub(crate) struct Hexadecimal<const N: usize>;

#[cfg(feature = "serde")]
impl<const N: usize> serde::de::Visitor<'_> for Hexadecimal<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lower-case hexadecimal digits", 2 * N)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<[u8; N], E> {
        let digit = |octet: &u8| match octet {
            b'0'..=b'9' => Some(octet - b'0'),
            b'a'..=b'f' => Some(octet - b'a' + 10),
            _ => None,
        };
        if text.len() != 2 * N {
            return Err(E::invalid_length(text.len(), &self));
        }
        let mut octets = [0; N];
        for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { continue };
            let wrong = || E::custom(format_args!("not {} lower-case hexadecimal digits", 2 * N));
            *octet = (digit(high).ok_or_else(wrong)? << 4) | digit(low).ok_or_else(wrong)?;
        }
        Ok(octets)
    }
}

/// What a certificate may be used for on a connection (RFC 5280 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ExtendedKeyUsage {
    /// id-kp-serverAuth.
    ServerAuth,
    /// id-kp-clientAuth.
    ClientAuth,
}

impl ExtendedKeyUsage {
    /// The name in RFC 5280 4.2.1.12, without `id-kp-`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::ServerAuth => "serverAuth",
            Self::ClientAuth => "clientAuth",
        }
    }

    pub(crate) const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::ServerAuth => oid::SERVER_AUTH,
            Self::ClientAuth => oid::CLIENT_AUTH,
        }
    }

    pub(crate) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        [Self::ServerAuth, Self::ClientAuth].into_iter().find(|usage| usage.oid() == oid)
    }
}

impl fmt::Display for ExtendedKeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

/// A `TBSCertificate`, borrowed, with everything a cluster's certificates have.
#[derive(Clone, Debug)]
pub(crate) struct TbsView<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) signature: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: Validity,
    pub(crate) subject: &'a [u8],
    pub(crate) public_key: SubjectPublicKey<'a>,
    pub(crate) extensions: Extensions<'a>,
}

impl<'a> TbsView<'a> {
    pub(crate) fn parse(encoded: &'a [u8]) -> Result<Self, DecodeError> {
        let mut tbs = Elements::of("TBSCertificate", tag::SEQUENCE, encoded)?;
        let mut version = tbs.enter("Version", tag::CONTEXT_0)?;
        if version.content(tag::INTEGER)? != [2] {
            return Err(DecodeError::value("Version", "not v3 (RFC 5280 4.1.2.1)"));
        }
        version.finish()?;
        let serial = tbs.content(tag::INTEGER)?;
        let signature = tbs.content(tag::SEQUENCE)?;
        let issuer = tbs.element(tag::SEQUENCE)?;
        let validity = Validity::decode(&mut tbs)?;
        let subject = tbs.element(tag::SEQUENCE)?;
        let public_key = SubjectPublicKey::parse(tbs.element(tag::SEQUENCE)?)?;
        let mut explicit = tbs.enter("Extensions", tag::CONTEXT_3)?;
        let extensions = Extensions::parse(explicit.enter("Extensions", tag::SEQUENCE)?)?;
        explicit.finish()?;
        tbs.finish()?;
        Ok(Self { serial, signature, issuer, validity, subject, public_key, extensions })
    }

    /// Which key the issuer is said to have (RFC 5280 4.2.1.1).
    pub(crate) fn authority_key_id(&self) -> Option<&'a [u8]> {
        let extension = self.extensions.authority_key_id?;
        let mut id = Elements::of("authorityKeyIdentifier", tag::SEQUENCE, extension.value).ok()?;
        id.content(tag::KEY_IDENTIFIER).ok()
    }

    /// How it names its own key (RFC 5280 4.2.1.2).
    pub(crate) fn subject_key_id(&self) -> Option<&'a [u8]> {
        parse_subject_key_id(self.extensions.subject_key_id?.value).ok()
    }
}

/// Reads a `Certificate` and gives its signed part. Whether the signature verifies is `chain`'s to say.
pub(crate) fn parse_certificate(der: &[u8]) -> Result<TbsView<'_>, DecodeError> {
    let mut certificate = Elements::of("Certificate", tag::SEQUENCE, der)?;
    let tbs = TbsView::parse(certificate.element(tag::SEQUENCE)?)?;
    let algorithm = certificate.content(tag::SEQUENCE)?;
    certificate.bit_string()?;
    certificate.finish()?;
    if tbs.signature != algorithm {
        return Err(DecodeError::value("Certificate", "two signature algorithms (RFC 5280 4.1.1.2)"));
    }
    Ok(tbs)
}

/// What the certificate of an authority says beside its names and key.
pub(crate) struct AuthorityRights {
    path_len: Option<u8>,
    signs_crls: bool,
    usages: Option<Vec<ObjectIdentifier>>,
}

/// Reads the certificate of an authority, and what it may do.
///
/// A key usage must have keyCertSign where it is there (RFC 5280 6.1.4 (n)). It need not be there: `openssl req -x509`
/// writes roots without one.
pub(crate) fn parse_ca_certificate<'a>(
    der: &'a [u8],
    limits: &Limits,
) -> Result<(TbsView<'a>, AuthorityRights), DecodeError> {
    const WHAT: &str = "CA certificate";
    if der.len() > limits.certificate_len_max {
        return Err(DecodeError::value(WHAT, "longer than the limit"));
    }
    let tbs = parse_certificate(der)?;
    if tbs.subject == [tag::SEQUENCE, 0] {
        return Err(DecodeError::value(WHAT, "the subject is empty (RFC 5280 4.1.2.6)"));
    }
    // Those with a place are what path validation understands, so that they may be critical: webpki looks at those of
    // intermediates, and at the name constraints alone of an anchor.
    if tbs.extensions.others.iter().any(|ext| ext.critical) {
        return Err(DecodeError::value(WHAT, "a critical extension that nobody here understands (RFC 5280 4.2)"));
    }
    let constraints = tbs.extensions.basic_constraints;
    let Some(Ok((true, path_len))) = constraints.map(|ext| parse_basic_constraints(ext.value)) else {
        return Err(DecodeError::value(WHAT, "the CA bit is not set (RFC 5280 4.2.1.9)"));
    };
    // Bits 5 and 6 (RFC 5280 4.2.1.3).
    let (signs_certificates, signs_crls) = match tbs.extensions.key_usage {
        Some(ext) => parse_key_usage(ext.value).map(|bits| (bits & (1 << 5) != 0, bits & (1 << 6) != 0))?,
        None => (true, true),
    };
    if !signs_certificates {
        return Err(DecodeError::value(WHAT, "keyCertSign is not set (RFC 5280 4.2.1.3)"));
    }
    let usages = tbs.extensions.extended_key_usage.map(|ext| parse_extended_key_usage(ext.value)).transpose()?;
    Ok((tbs, AuthorityRights { path_len, signs_crls, usages }))
}

/// The certificate of an authority: self-signed or not, CA bit set, keyCertSign allowed.
#[derive(Clone, PartialEq, Eq)]
pub struct CaCertificate {
    der: CertificateDer<'static>,
    subject: Vec<u8>,
    public_key: SubjectPublicKeyInfoDer<'static>,
    subject_key_id: Vec<u8>,
    id: AuthorityId,
    fingerprint: Fingerprint,
    validity: Validity,
    path_len: Option<u8>,
    signs_crls: bool,
    usages: Option<Vec<ObjectIdentifier>>,
}

impl CaCertificate {
    /// Reads a CA certificate within the default limits. Its own signature is not checked: an anchor is trusted by
    /// decision.
    ///
    /// # Errors
    /// As [`parse_within`](Self::parse_within).
    pub fn parse(der: CertificateDer<'static>) -> Result<Self, DecodeError> {
        Self::parse_within(der, &Limits::DEFAULT)
    }

    /// Reads a CA certificate within these limits.
    ///
    /// # Errors
    /// When it is longer than [`Limits::certificate_len_max`], not a v3 certificate of an accepted key with a subject and
    /// the CA bit, has a key usage without keyCertSign, or a critical extension that path validation does not understand.
    pub fn parse_within(der: CertificateDer<'static>, limits: &Limits) -> Result<Self, DecodeError> {
        let (tbs, rights) = parse_ca_certificate(&der, limits)?;
        let id = AuthorityId::of(&tbs.public_key);
        let subject_key_id = match tbs.extensions.subject_key_id {
            Some(ext) => parse_subject_key_id(ext.value)?.to_vec(),
            None => id.as_bytes().to_vec(),
        };
        let (subject, public_key) = (tbs.subject.to_vec(), tbs.public_key.to_owned_der());
        let (validity, fingerprint) = (tbs.validity, Fingerprint::of(&der));
        let AuthorityRights { path_len, signs_crls, usages } = rights;
        Ok(Self { subject, public_key, subject_key_id, id, fingerprint, validity, path_len, signs_crls, usages, der })
    }

    /// The certificate.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The subject `Name`, as encoded.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// The public key.
    #[must_use]
    pub const fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        &self.public_key
    }

    /// The subject key identifier (RFC 5280 4.2.1.2), which leaves name as their authority's. Of a certificate without
    /// the extension, the one that this crate would write.
    #[must_use]
    pub fn subject_key_id(&self) -> &[u8] {
        &self.subject_key_id
    }

    /// Which key this is.
    #[must_use]
    pub const fn id(&self) -> AuthorityId {
        self.id
    }

    /// SHA-256 over the certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// When the certificate is valid. webpki forgets this of an anchor; [`TrustBundle`](crate::TrustBundle) does not.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// How many authorities may stand between this one and a leaf, self-issued certificates not counted; any number
    /// without a path length (RFC 5280 4.2.1.9). webpki forgets this of an anchor; [`verify_chain`](crate::verify_chain)
    /// does not, nor do OpenSSL and Go's crypto/x509.
    #[must_use]
    pub const fn path_len(&self) -> Option<u8> {
        self.path_len
    }

    /// Whether a revocation list of this authority counts: its key usage has cRLSign, or it has no key usage
    /// (RFC 5280 6.3.3 (f)). The CAs of kubeadm have a key usage without cRLSign.
    #[must_use]
    pub const fn signs_crls(&self) -> bool {
        self.signs_crls
    }

    /// Whether leaves of this authority may be used so: it has no extended key usage, or this one among others.
    /// webpki forgets this of an anchor; [`verify_chain`](crate::verify_chain) does not.
    #[must_use]
    pub fn vouches_for(&self, usage: ExtendedKeyUsage) -> bool {
        self.usages.as_ref().is_none_or(|usages| usages.contains(&usage.oid()))
    }
}

impl fmt::Debug for CaCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaCertificate")
            .field("id", &self.id)
            .field("fingerprint", &self.fingerprint)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// Who a leaf certificate says it is, as a peer presents it. Nothing here is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafIdentity {
    /// Common name and organizations.
    pub(crate) subject: Subject,
    /// Subject alternative names; empty without the extension.
    pub(crate) subject_alt_names: Vec<SubjectAltName>,
    /// When the certificate is valid.
    pub(crate) validity: Validity,
    /// Which key its issuer is said to have.
    pub(crate) authority_key_id: Option<Vec<u8>>,
}

impl LeafIdentity {
    /// Reads who a certificate says it is.
    ///
    /// # Errors
    /// When it is not a certificate with a Kubernetes subject (CN, any number of O).
    pub fn parse(der: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        if der.len() > limits.certificate_len_max {
            return Err(DecodeError::value("Certificate", "longer than the limit"));
        }
        let tbs = parse_certificate(der)?;
        let subject_alt_names = match tbs.extensions.subject_alt_name {
            Some(ext) => parse_subject_alt_names(ext.value, limits.subject_alt_names_max)?,
            None => Vec::new(),
        };
        let subject = parse_subject(tbs.subject, limits.subject_len_max)?;
        let authority_key_id = tbs.authority_key_id().map(<[u8]>::to_vec);
        Ok(Self { subject, subject_alt_names, validity: tbs.validity, authority_key_id })
    }

    /// Common name and organizations.
    #[must_use]
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The authority key identifier (RFC 5280 4.2.1.1): which key the issuer is said to have, as the issuer's own
    /// [`CaCertificate::subject_key_id`] names it. A name, not a proof; a chain is the proof.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.authority_key_id.as_deref()
    }

    /// Subject alternative names; empty without the extension.
    #[must_use]
    pub fn subject_alt_names(&self) -> &[SubjectAltName] {
        &self.subject_alt_names
    }

    /// When the certificate is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_they_print_and_read_in_that_form_only() {
        let digest = Fingerprint::of(b"carousel");
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(text, format!("\"{digest}\""));
        assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), digest);
        let id: AuthorityId = serde_json::from_str(&format!("\"{}\"", "0f".repeat(20))).unwrap();
        assert_eq!(id.as_bytes(), &[0x0f; 20]);
        for wrong in [text.to_uppercase(), "\"0f\"".to_owned(), format!("\"{}\"", "0g".repeat(32)), "[1,2]".to_owned()]
        {
            assert!(serde_json::from_str::<Fingerprint>(&wrong).is_err(), "{wrong}");
        }
    }
}
