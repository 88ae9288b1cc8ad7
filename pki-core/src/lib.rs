#![doc = include_str!("../README.md")]

mod algorithm;
mod authority;
mod batch;
mod bundle;
mod calendar;
mod certificate;
mod chain;
mod cluster_names;
mod crl;
mod decode;
mod encode;
pub mod expiry;
mod hierarchy;
#[cfg(feature = "inspect")]
pub mod inspect;
mod issuance;
#[cfg(feature = "yaml")]
mod kubeconfig;
pub mod kubernetes;
mod layout;
mod limits;
mod lint;
mod name;
mod path;
pub mod pem;
mod presented;
mod printable;
mod profile;
mod request;
mod role;
mod separation;
mod serial;
mod signer;
mod tbs;
mod time;
mod token;
pub mod verify;
mod weak_key;
#[cfg(feature = "serde")]
mod written;

// The public interface is:
pub use crate::algorithm::{KeyAlgorithm, SignatureAlgorithm, UnknownAlgorithm};
pub use crate::authority::{
    CrossCertificate, CrossSignError, RootLimit, ca_subject, cross_sign, mint_external_root, mint_root,
};
pub use crate::batch::{Batch, BatchError, BatchOrder, spread};
pub use crate::bundle::{BundleError, BundleHash, TrustBundle};
pub use crate::certificate::{AuthorityId, CaCertificate, ExtendedKeyUsage, Fingerprint, LeafIdentity};
pub use crate::chain::{ChainError, PathError, VerifiedChain, verify_chain, verify_server_name};
pub use crate::cluster_names::{
    ApiServerEndpoint, ClusterNames, ClusterNamesError, ClusterNamesSpec, EndpointError, ServiceCidrError,
    ServiceCidrErrorKind, ServiceCidrs,
};
pub use crate::crl::{
    CertificateList, CrlError, CrlIssuer, CrlNumber, IssueCrlError, RevocationError, RevocationList, RevocationReason,
    RevokedCertificate, issue_crl,
};
pub use crate::decode::DecodeError;
pub use crate::hierarchy::{
    Hierarchy, HierarchyBuilder, HierarchyError, LifetimeCondition, LifetimeRule, Minted, Origin, Preset, Storage,
    UnknownPreset,
};
pub use crate::issuance::{
    Approval, IssuanceRecord, IssueError, IssuedCertificate, Issuer, NameDifference, PreparedIssuance, Purpose,
    SelfCheck, TbsHash,
};
#[cfg(feature = "yaml")]
pub use crate::kubeconfig::{Kubeconfig, KubeconfigError};
pub use crate::layout::{Artifact, ArtifactKind, Layout};
pub use crate::limits::Limits;
pub use crate::lint::Lint;
pub use crate::name::{
    DnsName, NameError, NameErrorKind, NodeName, Subject, SubjectAltName, SubjectAltNameRef, SubjectAltNamesRef,
    SubjectRef,
};
pub use crate::path::{ClientCredential, ComponentKind, Endpoint, Path, Plane, ServerAuthority, TrustSlot};
pub use crate::presented::PresentedNames;
pub use crate::printable::Printable;
pub use crate::profile::LeafKind;
pub use crate::request::{
    CertificationRequest, ProvenRequest, RequestError, UnusedExtensions, VerifiedRequest, create_request, request_der,
};
pub use crate::role::{AuthorityRole, CaVersion, ClusterId};
pub use crate::separation::{AdmitError, AdmittedExternalKey, AdmittedKey, KeyLedger, KeyOwner, KeyReuse};
pub use crate::serial::{Serial, SerialNumber};
#[cfg(feature = "rcgen")]
pub use crate::signer::RcgenSigner;
#[cfg(feature = "rustls")]
pub use crate::signer::RustlsSigner;
#[cfg(any(feature = "rcgen", feature = "rustls", feature = "signature"))]
pub use crate::signer::UnsupportedSigner;
pub use crate::signer::{Custody, SignError, SignErrorKind, Signer, sign_to_vec};
#[cfg(feature = "signature")]
pub use crate::signer::{SignerPublicKey, X509Signature, X509Signer};
pub use crate::time::{Validity, ValidityError, unix_time, utc};
pub use crate::token::{TokenError, TokenKeys, VerifiedToken, issue_token};
pub use crate::weak_key::{KeyBlocklist, WeakKey};
