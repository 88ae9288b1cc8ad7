//! The only way to a certificate: verified request, prepared issuance, signature.
//!
//! Each step is the only constructor of the next type. Names, usages and lifetime come from the
//! profile and the approval; the octets are linted before the real key is asked; the
//! fresh signature is checked before the certificate leaves.

use core::fmt;

use rustls_pki_types::CertificateDer;
use time::{Duration, UtcDateTime};

use crate::certificate::oids;
use crate::encode::{self, tag};
use crate::lint::{Expected, Lint, lint};
use crate::name::{NodeName, Subject, SubjectAltName};
use crate::request::{VerifiedRequest, encode_oid, encode_subject, encode_subject_alt_names};
use crate::signer::{SignError, Signer, sign_to_vec};
use crate::time::{Validity, ValidityError};
use crate::verify::{SubjectPublicKey, Verifiers, VerifyError};
use crate::{AuthorityId, AuthorityRole, CaCertificate, CaVersion, DecodeError, KeyAlgorithm, LeafKind, Serial};

/// How far a leaf's notBefore lies before the moment of issuing: what kubeadm and
/// kube-controller-manager do, to forgive skewed clocks.
const LEAF_BACKDATE: Duration = Duration::minutes(5);

/// What somebody who may decide has decided about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    node: Option<NodeName>,
    subject_alt_names: Vec<SubjectAltName>,
    lifetime: Duration,
}

impl Approval {
    /// A leaf that is bound to no node and has no alternative names, valid for `lifetime` from now on.
    #[must_use]
    pub const fn new(lifetime: Duration) -> Self {
        Self { node: None, subject_alt_names: Vec::new(), lifetime }
    }

    /// For this node or etcd member.
    #[must_use]
    pub fn for_node(mut self, node: NodeName) -> Self {
        self.node = Some(node);
        self
    }

    /// With exactly these alternative names.
    #[must_use]
    pub fn with_names(mut self, names: impl IntoIterator<Item = SubjectAltName>) -> Self {
        self.subject_alt_names = names.into_iter().collect();
        self.subject_alt_names.sort_unstable();
        self.subject_alt_names.dedup();
        self
    }
}

/// An authority that issues: its certificate and what every leaf repeats, encoded once.
///
/// It holds no key. The key is asked at the last step, by [`PreparedIssuance::sign`].
#[derive(Debug)]
pub struct Issuer {
    certificate: CaCertificate,
    key_algorithm: KeyAlgorithm,
    authority_key_id: Vec<u8>,
    usages: Vec<(LeafKind, Vec<u8>)>,
}

impl Issuer {
    /// An issuer of these leaves and no others, as [`Hierarchy::leaves_of`](crate::Hierarchy::leaves_of) names them.
    ///
    /// # Errors
    /// When the certificate's key is not of an accepted kind.
    pub fn new(certificate: CaCertificate, leaves: impl IntoIterator<Item = LeafKind>) -> Result<Self, DecodeError> {
        let key_algorithm = SubjectPublicKey::parse(certificate.public_key())?.algorithm();
        let authority_key_id = authority_key_identifier(certificate.subject_key_id());
        let certificates = leaves.into_iter().filter(|leaf| !leaf.extended_key_usage().is_empty());
        let usages = certificates.map(|leaf| (leaf, extended_key_usage(leaf))).collect();
        Ok(Self { certificate, key_algorithm, authority_key_id, usages })
    }

    /// The CA certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Compares a request with its approval, and writes and lints what is to be signed.
    ///
    /// The leaf is valid from five minutes before `now` for the approved lifetime, cut at both ends of
    /// the issuer's own validity.
    ///
    /// # Errors
    /// [`IssueError`], with nothing signed: the names or usages differ from the approval, the issuer
    /// has expired, or the finished octets have a fault.
    pub fn prepare(
        &self,
        leaf: LeafKind,
        request: VerifiedRequest<'_>,
        approval: &Approval,
        serial: Serial,
        now: UtcDateTime,
    ) -> Result<PreparedIssuance<'_>, IssueError> {
        let usages = self.usages.iter().find(|(kind, _)| *kind == leaf).map(|(_, usages)| usages);
        let Some(usages) = usages else {
            let is_token = leaf.extended_key_usage().is_empty();
            return Err(if is_token { IssueError::NotACertificate(leaf) } else { IssueError::NotThisIssuer(leaf) });
        };
        let subject = self.check_names(leaf, &request, approval)?;
        if !self.certificate.validity().contains(now) {
            return Err(IssueError::IssuerNotValid { validity: self.certificate.validity() });
        }
        if !approval.lifetime.is_positive() {
            return Err(IssueError::Lifetime(approval.lifetime));
        }
        let validity = Validity::around(now, LEAF_BACKDATE, approval.lifetime)
            .and_then(|validity| validity.within(self.certificate.validity()))
            .map_err(IssueError::Validity)?;
        let key = request.public_key();
        let mut extensions = vec![key_usage(key.algorithm()), usages.clone(), basic_constraints(false)];
        extensions.push(subject_key_identifier(AuthorityId::of(key)));
        extensions.push(self.authority_key_id.clone());
        if !approval.subject_alt_names.is_empty() {
            extensions.push(encode_subject_alt_names(&approval.subject_alt_names));
        }
        let signature_algorithm = self.key_algorithm.certificate_signature().identifier();
        let tbs = Tbs {
            serial,
            signature_algorithm: &signature_algorithm,
            issuer: self.certificate.subject_der(),
            validity,
            subject: &encode_subject(&subject),
            public_key: key.as_der(),
            extensions: &extensions,
        }
        .encode();
        let expected = Expected::leaf(&self.certificate, &signature_algorithm, &approval.subject_alt_names);
        let faults = lint(&tbs, &expected);
        if !faults.is_empty() {
            return Err(IssueError::Lint(faults));
        }
        Ok(PreparedIssuance { issuer: self, tbs, leaf, serial, validity })
    }

    fn check_names(
        &self,
        leaf: LeafKind,
        request: &VerifiedRequest<'_>,
        approval: &Approval,
    ) -> Result<Subject, IssueError> {
        let expected = leaf.subject(approval.node.as_ref()).ok_or(IssueError::Approval(leaf))?;
        if *request.subject() != expected {
            let found = request.subject().clone();
            return Err(IssueError::Subject(Box::new(NameDifference { expected, found })));
        }
        if approval.subject_alt_names.is_empty() == leaf.has_subject_alt_names() {
            return Err(IssueError::Approval(leaf));
        }
        let mut found = request.subject_alt_names().to_vec();
        found.sort_unstable();
        found.dedup();
        if found != approval.subject_alt_names {
            let expected = approval.subject_alt_names.clone();
            return Err(IssueError::SubjectAltNames(Box::new(NameDifference { expected, found })));
        }
        let allowed = leaf.extended_key_usage();
        match request.extended_key_usage().iter().find(|usage| !allowed.contains(usage)) {
            Some(usage) => Err(IssueError::ExtendedKeyUsage { leaf, found: *usage }),
            None => Ok(expected),
        }
    }
}

/// A certificate that only lacks its signature: compared, encoded, linted, bound to its issuer,
/// to be used once.
#[derive(Debug)]
pub struct PreparedIssuance<'i> {
    issuer: &'i Issuer,
    tbs: Vec<u8>,
    leaf: LeafKind,
    serial: Serial,
    validity: Validity,
}

impl PreparedIssuance<'_> {
    /// The octets to sign.
    #[must_use]
    pub fn tbs_der(&self) -> &[u8] {
        &self.tbs
    }

    /// The serial, to be recorded before anything is signed.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// Signs with the issuer's key and checks the fresh signature.
    ///
    /// # Errors
    /// When the signer holds another key, fails, or returns a signature that does not verify.
    pub fn sign(self, signer: &dyn Signer, verifiers: Verifiers<'_>) -> Result<IssuedCertificate, IssueError> {
        if signer.public_key() != self.issuer.certificate.public_key() {
            return Err(IssueError::ForeignKey);
        }
        let signature = sign_to_vec(signer, &self.tbs).map_err(IssueError::Sign)?;
        self.attach_signature(&signature, verifiers)
    }

    /// Finishes with a signature that was made elsewhere over [`tbs_der`](Self::tbs_der), after checking it.
    ///
    /// # Errors
    /// [`IssueError::BadSignature`] when it is not the issuer's: a wrong slot, a fault, r||s sent as DER.
    pub fn attach_signature(self, signature: &[u8], verifiers: Verifiers<'_>) -> Result<IssuedCertificate, IssueError> {
        let Self { issuer, tbs, leaf, serial, validity } = self;
        let algorithm = issuer.key_algorithm.certificate_signature();
        let key = SubjectPublicKey::parse(issuer.certificate.public_key()).map_err(IssueError::Issuer)?;
        verifiers.verify(&key, algorithm, &tbs, signature).map_err(IssueError::BadSignature)?;
        let der = assemble(&tbs, &algorithm.identifier(), signature);
        Ok(IssuedCertificate { der, leaf, serial, validity, issuer: issuer.certificate.id() })
    }
}

/// A certificate as it leaves: signed, and its signature checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    der: CertificateDer<'static>,
    leaf: LeafKind,
    serial: Serial,
    validity: Validity,
    issuer: AuthorityId,
}

impl IssuedCertificate {
    /// The certificate.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// What it is for.
    #[must_use]
    pub const fn leaf(&self) -> LeafKind {
        self.leaf
    }

    /// Its serial.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        self.serial
    }

    /// When it is valid.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }

    /// Whose key signed it.
    #[must_use]
    pub const fn issuer(&self) -> AuthorityId {
        self.issuer
    }
}

/// The subject of a CA: kubeadm's names for the first version, and a subject of its own for each
/// later one, so that a verifier's error names the right authority and path building never tries
/// the wrong key.
#[must_use]
pub fn ca_subject(role: AuthorityRole, version: CaVersion) -> Option<Subject> {
    let name = match role {
        AuthorityRole::Cluster => "kubernetes",
        AuthorityRole::Etcd => "etcd-ca",
        AuthorityRole::EtcdApi => "etcd-api-ca",
        AuthorityRole::EtcdPeer => "etcd-peer-ca",
        AuthorityRole::FrontProxy => "front-proxy-ca",
        AuthorityRole::Konnectivity => "konnectivity-ca",
        AuthorityRole::ServiceAccount => return None,
    };
    Some(if version == CaVersion::FIRST {
        Subject::new(name, &[])
    } else {
        Subject::new(format!("{name}-v{version}"), &[])
    })
}

/// Mints the self-signed root of an authority.
///
/// # Errors
/// When the role is a key set, the signer's key is of no accepted kind, or the signer fails.
pub fn mint_root(
    role: AuthorityRole,
    version: CaVersion,
    validity: Validity,
    serial: Serial,
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
) -> Result<CaCertificate, IssueError> {
    let subject = ca_subject(role, version).ok_or(IssueError::KeySet(role))?;
    mint_self_signed(&subject, validity, serial, signer, verifiers)
}

/// Mints the self-signed root of a CA outside the hierarchy, such as an organization's own CA.
///
/// # Errors
/// As [`mint_root`]; a name that is not a DNS-1123 subdomain cannot be passed.
pub fn mint_external_root(
    name: &crate::DnsName,
    validity: Validity,
    serial: Serial,
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
) -> Result<CaCertificate, IssueError> {
    mint_self_signed(&Subject::new(name.as_str(), &[]), validity, serial, signer, verifiers)
}

fn mint_self_signed(
    subject: &Subject,
    validity: Validity,
    serial: Serial,
    signer: &dyn Signer,
    verifiers: Verifiers<'_>,
) -> Result<CaCertificate, IssueError> {
    let key = SubjectPublicKey::parse(signer.public_key()).map_err(IssueError::Issuer)?;
    let algorithm = key.algorithm().certificate_signature();
    let signature_algorithm = algorithm.identifier();
    let subject = encode_subject(subject);
    let id = AuthorityId::of(&key);
    let tbs = Tbs {
        serial,
        signature_algorithm: &signature_algorithm,
        issuer: &subject,
        validity,
        subject: &subject,
        public_key: key.as_der(),
        extensions: &[
            ca_key_usage(),
            basic_constraints(true),
            subject_key_identifier(id),
            authority_key_identifier(id.as_bytes()),
        ],
    }
    .encode();
    let faults = lint(
        &tbs,
        &Expected {
            issuer_name: &subject,
            issuer_key_id: id.as_bytes(),
            signature_algorithm: &signature_algorithm,
            validity,
            ca: true,
            subject_alt_names: &[],
        },
    );
    if !faults.is_empty() {
        return Err(IssueError::Lint(faults));
    }
    let signature = sign_to_vec(signer, &tbs).map_err(IssueError::Sign)?;
    verifiers.verify(&key, algorithm, &tbs, &signature).map_err(IssueError::BadSignature)?;
    CaCertificate::parse(assemble(&tbs, &signature_algorithm, &signature)).map_err(IssueError::Issuer)
}

/// The fields of a `TBSCertificate` (RFC 5280 4.1.2), each already encoded or fixed in size.
struct Tbs<'a> {
    serial: Serial,
    signature_algorithm: &'a [u8],
    issuer: &'a [u8],
    validity: Validity,
    subject: &'a [u8],
    public_key: &'a [u8],
    extensions: &'a [Vec<u8>],
}

impl Tbs<'_> {
    /// `[0] { INTEGER 2 }`: v3.
    const VERSION: [u8; 5] = [tag::CONTEXT_0, 3, tag::INTEGER, 1, 2];
    /// Two GeneralizedTimes in a SEQUENCE.
    const VALIDITY_LEN_MAX: usize = 36;

    fn encode(&self) -> Vec<u8> {
        let mut validity = Vec::with_capacity(Self::VALIDITY_LEN_MAX);
        self.validity.encode(&mut validity);
        let extensions: usize = self.extensions.iter().map(Vec::len).sum();
        let explicit = encode::element_len(extensions);
        let content = Self::VERSION.len()
            + encode::element_len(Serial::LEN)
            + encode::element_len(self.signature_algorithm.len())
            + self.issuer.len()
            + validity.len()
            + self.subject.len()
            + self.public_key.len()
            + encode::element_len(explicit);
        let mut out = Vec::with_capacity(encode::element_len(content));
        encode::push_header(&mut out, tag::SEQUENCE, content);
        out.extend_from_slice(&Self::VERSION);
        encode::push_element(&mut out, tag::INTEGER, self.serial.as_bytes());
        encode::push_element(&mut out, tag::SEQUENCE, self.signature_algorithm);
        for field in [self.issuer, &validity, self.subject, self.public_key] {
            out.extend_from_slice(field);
        }
        encode::push_header(&mut out, tag::CONTEXT_3, explicit);
        encode::push_header(&mut out, tag::SEQUENCE, extensions);
        self.extensions.iter().for_each(|extension| out.extend_from_slice(extension));
        out
    }
}

fn assemble(tbs: &[u8], signature_algorithm: &[u8], signature: &[u8]) -> CertificateDer<'static> {
    let content = tbs.len() + encode::element_len(signature_algorithm.len()) + encode::element_len(signature.len() + 1);
    let mut out = Vec::with_capacity(encode::element_len(content));
    encode::push_header(&mut out, tag::SEQUENCE, content);
    out.extend_from_slice(tbs);
    encode::push_element(&mut out, tag::SEQUENCE, signature_algorithm);
    encode::push_bit_string(&mut out, signature);
    out.into()
}

const CRITICAL: &[u8] = &[tag::BOOLEAN, 1, 0xff];

fn extension(oid: der::asn1::ObjectIdentifier, critical: &[u8], value: &[u8]) -> Vec<u8> {
    encode::wrap(tag::SEQUENCE, &[&encode_oid(oid), critical, &encode::element(tag::OCTET_STRING, value)])
}

/// digitalSignature; keyEncipherment as well where the key can encipher, which is RSA only (RFC 8813 3).
fn key_usage(key: KeyAlgorithm) -> Vec<u8> {
    let bits: &[u8] = match key {
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => &[tag::BIT_STRING, 2, 5, 0xa0],
        KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Ed25519 => &[tag::BIT_STRING, 2, 7, 0x80],
    };
    extension(oids::KEY_USAGE, CRITICAL, bits)
}

/// digitalSignature, keyCertSign, cRLSign.
fn ca_key_usage() -> Vec<u8> {
    extension(oids::KEY_USAGE, CRITICAL, &[tag::BIT_STRING, 2, 1, 0x86])
}

fn extended_key_usage(leaf: LeafKind) -> Vec<u8> {
    let purposes: Vec<u8> = leaf.extended_key_usage().iter().flat_map(|usage| encode_oid(usage.oid())).collect();
    extension(oids::EXT_KEY_USAGE, &[], &encode::element(tag::SEQUENCE, &purposes))
}

fn basic_constraints(ca: bool) -> Vec<u8> {
    let value: &[u8] = if ca { &[tag::SEQUENCE, 3, tag::BOOLEAN, 1, 0xff] } else { &[tag::SEQUENCE, 0] };
    extension(oids::BASIC_CONSTRAINTS, CRITICAL, value)
}

fn subject_key_identifier(id: AuthorityId) -> Vec<u8> {
    extension(oids::SUBJECT_KEY_IDENTIFIER, &[], &encode::element(tag::OCTET_STRING, id.as_bytes()))
}

fn authority_key_identifier(key_id: &[u8]) -> Vec<u8> {
    let value = encode::element(tag::SEQUENCE, &encode::element(tag::KEY_IDENTIFIER, key_id));
    extension(oids::AUTHORITY_KEY_IDENTIFIER, &[], &value)
}

/// Two names that had to be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameDifference<T> {
    expected: T,
    found: T,
}

impl<T> NameDifference<T> {
    /// What the profile and the approval say.
    #[must_use]
    pub const fn expected(&self) -> &T {
        &self.expected
    }

    /// What the request says.
    #[must_use]
    pub const fn found(&self) -> &T {
        &self.found
    }
}

/// Why no certificate was issued.
#[derive(Debug)]
#[non_exhaustive]
pub enum IssueError {
    /// The leaf is a token, not a certificate.
    NotACertificate(LeafKind),
    /// Another authority issues this leaf.
    NotThisIssuer(LeafKind),
    /// The role is a key set and has no certificate.
    KeySet(AuthorityRole),
    /// The approval does not fit the leaf: a node's name or alternative names where there must be
    /// none, or none where there must be.
    Approval(LeafKind),
    /// The request's subject is not the one of the profile and approval.
    Subject(Box<NameDifference<Subject>>),
    /// The request's alternative names are not exactly the approved ones.
    SubjectAltNames(Box<NameDifference<Vec<SubjectAltName>>>),
    /// The request asks for an extended key usage that the profile does not have.
    ExtendedKeyUsage {
        /// The profile.
        leaf: LeafKind,
        /// The usage asked for.
        found: crate::ExtendedKeyUsage,
    },
    /// The approved lifetime is not positive.
    Lifetime(Duration),
    /// The issuer has expired or is not valid yet.
    IssuerNotValid {
        /// When it is.
        validity: Validity,
    },
    /// The validity cannot be encoded.
    Validity(ValidityError),
    /// The finished octets have faults; the real key was not asked.
    Lint(Vec<Lint>),
    /// The issuer's own certificate or key is not of an accepted form.
    Issuer(DecodeError),
    /// The signer holds another key than the issuer's certificate.
    ForeignKey,
    /// The signer failed.
    Sign(SignError),
    /// The fresh signature is not the issuer's.
    BadSignature(VerifyError),
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, names: &[SubjectAltName]| {
            names.iter().enumerate().try_for_each(|(index, name)| {
                if index > 0 {
                    f.write_str(", ")?;
                }
                write!(f, "{name}")
            })
        };
        match self {
            Self::NotACertificate(leaf) => write!(f, "`{leaf}` is a token, not a certificate"),
            Self::NotThisIssuer(leaf) => write!(f, "`{leaf}` is another authority's to issue"),
            Self::KeySet(role) => write!(f, "`{role}` is a key set and has no certificate"),
            Self::Approval(leaf) => write!(f, "the approval does not fit the profile `{leaf}`"),
            Self::Subject(names) => {
                write!(f, "the subject is not the approved one: expected `{}`, found `{}`", names.expected, names.found)
            }
            Self::SubjectAltNames(names) => {
                f.write_str("the alternative names are not the approved ones: expected `")?;
                list(f, &names.expected)?;
                f.write_str("`, found `")?;
                list(f, &names.found)?;
                f.write_str("`")
            }
            Self::ExtendedKeyUsage { leaf, found } => write!(f, "the profile `{leaf}` does not allow `{found}`"),
            Self::Lifetime(lifetime) => write!(f, "the lifetime {lifetime} is not positive"),
            Self::IssuerNotValid { validity } => {
                write!(f, "the issuer is valid from {} to {}", validity.not_before(), validity.not_after())
            }
            Self::Validity(error) => write!(f, "{error}"),
            Self::Lint(faults) => {
                f.write_str("the certificate would be malformed (RFC 5280):")?;
                faults.iter().try_for_each(|fault| write!(f, " `{fault}`"))
            }
            Self::Issuer(error) => write!(f, "the issuer is not usable: {error}"),
            Self::ForeignKey => f.write_str("the signer holds another key than the issuer's certificate"),
            Self::Sign(error) => write!(f, "{error}"),
            Self::BadSignature(error) => write!(f, "the fresh signature is not the issuer's: {error}"),
        }
    }
}

impl core::error::Error for IssueError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Sign(error) => Some(error),
            Self::Validity(error) => Some(error),
            Self::Issuer(error) => Some(error),
            Self::BadSignature(error) => Some(error),
            _ => None,
        }
    }
}
