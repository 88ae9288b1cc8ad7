//! Requests in files, a CA in a directory, certificates in files: what `sign_csr` does.

use core::fmt;

use getrandom::SysRng;
use pki_core::kubernetes::{
    ApprovedByAddress, NODE_USER_PREFIX, NODES_GROUP, NodeAddress, NodeAddressType, NodeAddresses, Refused, Requestor,
    SignerPolicy, SigningRequest, Usages,
};
use pki_core::pem::{CERTIFICATE, encode_pem};
use pki_core::verify::Verifiers;
use pki_core::{
    CertificationRequest, IssuanceRecord, IssueError, Limits, NameError, NodeName, RequestError, Serial,
    SubjectAltName, UnusedExtensions, request_der,
};
use time::UtcDateTime;

mod ca_directory;
mod demonstration;
mod files;

pub use ca_directory::{CaDirectory, CaDirectoryError};
pub use demonstration::demonstration;
pub use files::{FileError, Job, jobs, publish, read_bounded, shown};

/// What is asked for, the same for every request of a run.
#[derive(Clone, Debug)]
pub struct SigningOrder {
    /// Whose rules hold.
    pub policy: SignerPolicy,
    /// What the keys are to be used for.
    pub usages: Usages,
    /// How long the certificates are to live, in seconds; `None` for the signer's limit.
    pub expiration_seconds: Option<i32>,
    /// Who asks, where that is known.
    pub requestor: Option<String>,
    /// What the node is known to be reached by; empty where nothing is known.
    pub addresses: Vec<NodeAddress>,
    /// What becomes of extensions that no certificate takes from a request.
    pub unused_extensions: UnusedExtensions,
}

/// A name or address of a node, from a command line.
///
/// # Errors
/// When it is neither a DNS name nor the address of one host: no certificate could have it.
pub fn node_address(text: &str) -> Result<NodeAddress, NameError> {
    let address_type = match text.parse() {
        Ok(address) => SubjectAltName::ip(address).map(|_| NodeAddressType::InternalIP),
        Err(_) => SubjectAltName::dns(text).map(|_| NodeAddressType::InternalDNS),
    }?;
    Ok(NodeAddress { address_type, address: text.to_owned() })
}

/// A certificate, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct SignedRequest {
    /// The certificate, PEM.
    pub pem: String,
    /// What was signed.
    pub record: IssuanceRecord,
    /// Whether the names of a kubelet's serving certificate were proven; `None` for other signers.
    pub approved_by_address: Option<ApprovedByAddress>,
}

/// Why one request got no certificate.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unsigned {
    /// It is not an acceptable request.
    Request(RequestError),
    /// Its signer does not sign it.
    Refused(Refused),
    /// No certificate could be issued for it.
    Issue(IssueError),
    /// The operating system has no entropy.
    Entropy(getrandom::Error),
}

impl Unsigned {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Request(error) => error.code(),
            Self::Refused(refused) => refused.code(),
            Self::Issue(error) => error.code(),
            Self::Entropy(_) => "entropy",
        }
    }
}

impl Unsigned {
    /// Whether the request is at fault; else the CA, its key or this machine is.
    #[must_use]
    pub const fn is_the_requests(&self) -> bool {
        match self {
            Self::Request(_) | Self::Refused(_) => true,
            Self::Issue(error) => !matches!(
                error,
                IssueError::IssuerNotValid { .. }
                    | IssueError::SigningTimes(_)
                    | IssueError::NotThisIssuer(_)
                    | IssueError::Issuer(_)
                    | IssueError::ForeignKey
                    | IssueError::SignerAlgorithm { .. }
                    | IssueError::Sign(_)
                    | IssueError::BadSignature(_)
            ),
            Self::Entropy(_) => false,
        }
    }
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => write!(f, "{error}"),
            Self::Refused(refused) => write!(f, "{refused}"),
            Self::Issue(error) => write!(f, "{error}"),
            Self::Entropy(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Unsigned {}

wraps! {
    Unsigned:
    RequestError => Request,
    Refused => Refused,
    IssueError => Issue,
    getrandom::Error => Entropy,
}

/// Signs one request, PEM or DER by its content.
///
/// # Errors
/// [`Unsigned`], with nothing signed.
pub fn sign_csr(
    ca: &CaDirectory,
    order: &SigningOrder,
    received: &[u8],
    verifiers: Verifiers<'_>,
    now: UtcDateTime,
) -> Result<SignedRequest, Unsigned> {
    let limits = Limits::DEFAULT;
    let der = request_der(received, &limits)?;
    let proven = CertificationRequest::parse(&der, &limits)?.prove(verifiers)?;
    let names = proven.presented_names()?;

    let groups = groups_of(order.requestor.as_deref());
    let node = order.requestor.as_deref().unwrap_or(&names.common_name);
    let node = node.strip_prefix(NODE_USER_PREFIX).and_then(|node| node.parse::<NodeName>().ok());
    let addresses = node.filter(|_| !order.addresses.is_empty());
    let addresses = addresses.map(|node| NodeAddresses::new(node, &order.addresses));

    let mut request = SigningRequest::new(order.policy.signer().clone(), order.usages.clone(), &names)
        .lasting(order.expiration_seconds)
        .for_key(proven.public_key());
    if let Some(username) = &order.requestor {
        request = request.by(Requestor { username, groups: &groups });
    }
    if let Some(addresses) = &addresses {
        request = request.with_addresses(addresses);
    }
    let granted = order.policy.evaluate(&request)?;
    let approved_by_address = granted.approved_by_address();

    let verified = proven.read(order.unused_extensions)?;
    let prepared = ca.issuer().prepare_for_signer(granted, &verified, Serial::generate(&mut SysRng)?, now)?;
    let record = prepared.record();
    let issued = prepared.sign(ca.key(), verifiers)?;
    Ok(SignedRequest { pem: encode_pem(CERTIFICATE, issued.der()), record, approved_by_address })
}

/// The API server puts every node into the group of nodes; what else it would say of a user is not known here.
fn groups_of(requestor: Option<&str>) -> Vec<String> {
    let is_node = requestor.is_some_and(|user| user.starts_with(NODE_USER_PREFIX));
    is_node.then(|| NODES_GROUP.to_owned()).into_iter().collect()
}
