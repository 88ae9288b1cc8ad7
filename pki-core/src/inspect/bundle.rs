//! A file of PEM blocks, or one DER certificate or request.

use core::fmt;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Serialize;
use time::UtcDateTime;

use super::certificate::as_text;
use super::{CertificateView, InspectError, IssuerIndex, RequestView};
use crate::pem::{self, PemError, pem_blocks};
use crate::verify::Verifiers;
use crate::{BundleHash, Limits, Printable};

/// What stands in a file, block by block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BundleView {
    /// The blocks, in order.
    pub blocks: Vec<BlockView>,
    /// Which anchors these are, as [`TrustBundle::hash`](crate::TrustBundle::hash) says it. `None` unless every block is
    /// the readable certificate of a CA: a chain is no bundle.
    #[serde(serialize_with = "as_optional_text")]
    pub hash: Option<BundleHash>,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BlockView {
    /// Which block, counted from 1; 0 for a file of DER.
    pub block: usize,
    /// The line on which it begins, counted from 1; 0 for a file of DER.
    pub line: usize,
    /// What the block says it is.
    pub label: Printable,
    /// The first block with the same certificate, if there is one before.
    pub duplicate_of: Option<usize>,
    /// What is inside.
    #[serde(flatten)]
    pub content: Content,
}

/// What is inside a block; serialized as its `kind`, and a `view` where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "view")]
#[non_exhaustive]
pub enum Content {
    /// A certificate.
    Certificate(Box<CertificateView>),
    /// A certification request.
    Request(Box<RequestView>),
    /// A private key. It was not decoded.
    PrivateKey,
    /// Something else, not decoded either.
    Other,
    /// Not what its label says, and why.
    Unreadable(#[serde(serialize_with = "as_text")] BlockError),
}

/// Why a block is not what its label says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockError {
    /// Not the encoding of RFC 7468; says where.
    Pem(PemError),
    /// The octets inside are not what they should be.
    Inside {
        /// Which block, counted from 1.
        block: usize,
        /// The line on which it begins, counted from 1.
        line: usize,
        /// What is wrong with them.
        error: InspectError,
    },
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => error.fmt(f),
            Self::Inside { block: 0, error, .. } => error.fmt(f),
            Self::Inside { block, line, error } => write!(f, "PEM block {block}, line {line}: {error}"),
        }
    }
}

impl core::error::Error for BlockError {}

fn as_optional_text<S: serde::Serializer>(value: &Option<BundleHash>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|hash| hash.to_string()).serialize(serializer)
}

impl BundleView {
    /// Reads a file of PEM blocks of any kind and order.
    ///
    /// # Errors
    /// When the file as a whole is no PEM: too long, too many blocks, a block without an end. A block that cannot be
    /// read is [`Content::Unreadable`]; a file without any block is an empty view.
    pub fn parse_pem(
        text: &[u8],
        now: UtcDateTime,
        verifiers: Option<Verifiers<'_>>,
        limits: &Limits,
    ) -> Result<Self, PemError> {
        let mut blocks: Vec<BlockView> = Vec::new();
        for (index, block) in pem_blocks(text, limits)?.into_iter().enumerate() {
            let (number, line) = (index + 1, block.line());
            let content = match block.label() {
                pem::CERTIFICATE | "X509 CERTIFICATE" => {
                    inside(number, line, block.decode(), |der| certificate(der, now, limits))
                }
                pem::CERTIFICATE_REQUEST | "NEW CERTIFICATE REQUEST" => {
                    inside(number, line, block.decode(), |der| request(der, verifiers, limits))
                }
                label if label.ends_with("PRIVATE KEY") => Content::PrivateKey,
                _ => Content::Other,
            };
            blocks.push(BlockView { block: number, line, label: block.label().into(), duplicate_of: None, content });
        }
        Ok(Self::of(blocks))
    }

    /// Reads a file of DER: one certificate or one request.
    ///
    /// # Errors
    /// When it is neither: what a certificate should have been.
    pub fn parse_der(
        der: &[u8],
        now: UtcDateTime,
        verifiers: Option<Verifiers<'_>>,
        limits: &Limits,
    ) -> Result<Self, InspectError> {
        let (label, content) = match (certificate(der, now, limits), request(der, verifiers, limits)) {
            (Ok(content), _) => (pem::CERTIFICATE, content),
            (Err(_), Ok(content)) => (pem::CERTIFICATE_REQUEST, content),
            (Err(error), Err(_)) => return Err(error),
        };
        Ok(Self::of(vec![BlockView { block: 0, line: 0, label: label.into(), duplicate_of: None, content }]))
    }

    fn of(mut blocks: Vec<BlockView>) -> Self {
        let authorities: Vec<_> =
            blocks.iter().filter_map(BlockView::certificate).filter(|view| view.is_ca()).cloned().collect();
        let authorities = IssuerIndex::of(&authorities);
        let mut first_of = BTreeMap::new();
        for block in &mut blocks {
            let Content::Certificate(certificate) = &mut block.content else { continue };
            match first_of.entry(certificate.fingerprint) {
                Entry::Occupied(first) => block.duplicate_of = Some(*first.get()),
                Entry::Vacant(vacant) => _ = vacant.insert(block.block),
            }
            if let Some(issuer) = authorities.issuer_of(certificate) {
                certificate.compare_with_issuer(issuer);
            }
        }
        let anchors: Option<Vec<_>> = blocks
            .iter()
            .map(|block| block.certificate().filter(|view| view.is_ca()).map(|view| view.fingerprint))
            .collect();
        let hash = anchors.filter(|anchors| !anchors.is_empty()).map(BundleHash::of);
        Self { blocks, hash }
    }

    /// The certificates, in order.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateView> {
        self.blocks.iter().filter_map(BlockView::certificate)
    }

    /// Whether a block cannot be read, or holds something with a fault.
    #[must_use]
    pub fn has_fault(&self) -> bool {
        self.blocks.iter().any(|block| match &block.content {
            Content::Certificate(view) => view.has_fault(),
            Content::Request(view) => view.has_fault(),
            Content::Unreadable(_) => true,
            Content::PrivateKey | Content::Other => false,
        })
    }
}

impl BlockView {
    /// The certificate, if it is one.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateView> {
        match &self.content {
            Content::Certificate(view) => Some(view),
            _ => None,
        }
    }
}

fn certificate(der: &[u8], now: UtcDateTime, limits: &Limits) -> Result<Content, InspectError> {
    CertificateView::parse(der, now, limits).map(|view| Content::Certificate(Box::new(view)))
}

fn request(der: &[u8], verifiers: Option<Verifiers<'_>>, limits: &Limits) -> Result<Content, InspectError> {
    RequestView::parse(der, verifiers, limits).map(|view| Content::Request(Box::new(view)))
}

fn inside(
    block: usize,
    line: usize,
    decoded: Result<Vec<u8>, PemError>,
    read: impl FnOnce(&[u8]) -> Result<Content, InspectError>,
) -> Content {
    let unreadable = |error| Content::Unreadable(BlockError::Inside { block, line, error });
    match decoded {
        Ok(der) => read(&der).unwrap_or_else(unreadable),
        Err(error) => Content::Unreadable(BlockError::Pem(error)),
    }
}
