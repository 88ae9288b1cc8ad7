//! Certificates, bundles and keys that were read.

use core::fmt;
use std::borrow::Cow;
use std::sync::Arc;

use pki_core::inspect::{CertificateView, InspectError};
use pki_core::{AuthorityRole, BundleHash, DecodeError, Fingerprint, LeafIdentity, Limits};
use rustls_pki_types::CertificateDer;
use time::UtcDateTime;

use crate::fact::{Fact, Place};

/// A certificate that was read somewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    view: CertificateView,
    identity: Result<LeafIdentity, DecodeError>,
    place: Place,
}

impl Certificate {
    /// Reads a certificate, tolerantly: what is wrong with it is for the checks to say.
    ///
    /// # Errors
    /// When it cannot be shown at all: see [`CertificateView::parse`].
    pub fn parse(der: CertificateDer<'static>, place: Place, limits: &Limits) -> Result<Self, InspectError> {
        // What the view remarks at a time is not looked at: the time of an audit is the audit's.
        let view = CertificateView::parse(&der, UtcDateTime::UNIX_EPOCH, limits)?;
        let identity = LeafIdentity::parse(&der, limits);
        Ok(Self { der, view, identity, place })
    }

    /// The octets.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// What they say. Its remarks on the validity are of no time that counts.
    #[must_use]
    pub const fn view(&self) -> &CertificateView {
        &self.view
    }

    /// Who its holder is, as Kubernetes reads it.
    ///
    /// # Errors
    /// When it does not say that: see [`LeafIdentity::parse`].
    pub const fn identity(&self) -> Result<&LeafIdentity, &DecodeError> {
        self.identity.as_ref()
    }

    /// Where it was read.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// SHA-256 over the DER.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.view.fingerprint
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.view.subject.text.as_str())
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Certificates that somebody trusts, in the order of the file. A deployed bundle may hold anything; so this one does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    certificates: Vec<Arc<Certificate>>,
    hash: BundleHash,
}

impl Bundle {
    /// A bundle of these.
    #[must_use]
    pub fn new(certificates: Vec<Arc<Certificate>>) -> Self {
        let hash = BundleHash::of(certificates.iter().map(|certificate| certificate.fingerprint()));
        Self { certificates, hash }
    }

    /// What is in it.
    #[must_use]
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// The same for the same set of certificates.
    #[must_use]
    pub const fn hash(&self) -> BundleHash {
        self.hash
    }
}

/// What somebody verifies others with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// A bundle that was read.
    Bundle(Arc<Bundle>),
    /// The certificates of this authority, as somebody says.
    Authority(AuthorityRole),
    /// Public keys that were read, by what tells one set from another: they verify tokens, not certificates.
    Keys(BundleHash),
    /// The certificates of an authority that somebody else manages, by what it is called.
    Foreign(Cow<'static, str>),
    /// Whatever the system of the component trusts.
    SystemRoots,
    /// Nothing is verified.
    Nothing,
}

impl Trust {
    /// Whether anything is verified.
    #[must_use]
    pub fn verifies(&self) -> bool {
        match self {
            Self::Bundle(bundle) => !bundle.certificates().is_empty(),
            Self::Authority(_) | Self::Keys(_) | Self::Foreign(_) | Self::SystemRoots => true,
            Self::Nothing => false,
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(bundle) => write!(f, "a bundle of {}", bundle.certificates().len()),
            Self::Authority(role) => write!(f, "the authority `{role}`"),
            Self::Keys(_) => f.write_str("public keys"),
            Self::Foreign(name) => write!(f, "the {name}"),
            Self::SystemRoots => f.write_str("whatever the system trusts"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

/// What somebody presents.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leaf {
    /// A chain that was read, the leaf first. Never empty.
    Chain(Vec<Arc<Certificate>>),
    /// A leaf of this authority, as somebody says.
    IssuedBy(AuthorityRole),
    /// One that its holder signs itself, as a kubelet does by default.
    SelfSigned,
    /// None: the holder shows no certificate.
    Nothing,
}

impl Leaf {
    /// The leaf itself, if it was read.
    #[must_use]
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        match self {
            Self::Chain(chain) => chain.first(),
            Self::IssuedBy(_) | Self::SelfSigned | Self::Nothing => None,
        }
    }
}

/// A private key that lies in a file. The key itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// Where.
    pub place: Place,
    /// The permission bits of the file.
    pub mode: Fact<u32>,
}
