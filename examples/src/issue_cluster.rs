//! The complete tree of a control-plane node: authorities, leaves, kubeconfigs, static pods.

use core::fmt;
use std::collections::BTreeMap;

use getrandom::SysRng;
use pki_core::pem::{CERTIFICATE, PUBLIC_KEY, encode_pem};
use pki_core::verify::Verifiers;
use pki_core::{
    AdmitError, Approval, Artifact, ArtifactKind, AuthorityRole, BundleError, CaCertificate, CaVersion,
    CertificationRequest, ClusterId, ClusterNames, DecodeError, Hierarchy, IssueError, IssuedCertificate, Issuer,
    KeyAlgorithm, KeyLedger, Kubeconfig, KubeconfigError, Layout, LeafKind, Limits, NameError, Preset, RequestError,
    Serial, SignError, Subject, TrustBundle, Validity, ValidityError, ca_subject, create_request, mint_root,
};
use serde::Serialize;
use signer_hsm::{ExportableKey, KeyError};
use time::UtcDateTime;
use zeroize::Zeroizing;

use self::manifests::Manifests;
use self::publish::NewFile;

pub mod machine;
mod manifests;
mod pod;
mod publish;

pub use self::publish::{Destination, PublishError, PublishErrorKind};

/// What is to be issued.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TreeSpec {
    /// The hierarchy.
    pub preset: Preset,
    /// The kind of every key. Tokens are signed with P-256 where this is Ed25519, which kube-apiserver does not take
    /// for them.
    pub algorithm: KeyAlgorithm,
    /// What the node and its cluster are called.
    pub names: ClusterNames,
}

impl TreeSpec {
    /// The tree of a hierarchy, with P-256 keys.
    #[must_use]
    pub const fn new(preset: Preset, names: ClusterNames) -> Self {
        Self { preset, algorithm: KeyAlgorithm::P256, names }
    }
}

/// An `/etc/kubernetes` in memory. Its keys are wiped when it is dropped.
pub struct ClusterTree {
    files: Vec<(Artifact, Zeroizing<String>)>,
    report: TreeReport,
}

impl ClusterTree {
    /// Makes the keys, mints the authorities and issues what they issue.
    ///
    /// # Errors
    /// [`TreeError`]; nothing is left behind.
    pub fn issue(spec: &TreeSpec, now: UtcDateTime) -> Result<Self, TreeError> {
        let hierarchy = Hierarchy::preset(spec.preset);
        let layout = Layout::of(&hierarchy);
        let manifests = Manifests::new(&hierarchy, &layout, &spec.names);
        let mut press = Press::new(spec, &hierarchy, now)?;
        let (mut files, mut reports) = (Vec::new(), Vec::new());
        for artifact in layout.artifacts() {
            let content = match manifests.render(artifact.kind()) {
                Some(text) => Zeroizing::new(text?),
                None => press.content(artifact.kind())?,
            };
            reports.push(FileReport::new(artifact, press.issued(artifact.kind())));
            files.push((artifact.clone(), content));
        }
        let (preset, algorithm) = (spec.preset.to_string(), spec.algorithm.to_string());
        let node = spec.names.node().to_string();
        let report =
            TreeReport { version: TreeReport::VERSION, preset, algorithm, node, directory: None, files: reports };
        Ok(Self { files, report })
    }

    /// What is in it, without any key.
    #[must_use]
    pub const fn report(&self) -> &TreeReport {
        &self.report
    }

    /// Writes it to a directory, which appears whole or not at all, and gives the report of what stands there.
    ///
    /// # Errors
    /// [`PublishError`]: a file cannot be written, or somebody has written to the directory meanwhile.
    pub fn publish(&self, destination: Destination) -> Result<TreeReport, PublishError> {
        let files = self.files.iter().map(|(artifact, content)| NewFile {
            path: artifact.path(),
            mode: artifact.mode(),
            content,
        });
        let directory = destination.publish(files)?;
        Ok(TreeReport { directory: Some(directory.display().to_string()), ..self.report.clone() })
    }
}

impl fmt::Debug for ClusterTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterTree").field("report", &self.report).finish_non_exhaustive()
    }
}

/// What a tree consists of, for machines. Its shape changes only together with [`TreeReport::VERSION`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TreeReport {
    /// The version of this shape.
    pub version: u32,
    /// The hierarchy.
    pub preset: String,
    /// The kind of every key.
    pub algorithm: String,
    /// The node that the tree is for.
    pub node: String,
    /// Where it stands, once it does.
    pub directory: Option<String>,
    /// The files, in the order in which they were made.
    pub files: Vec<FileReport>,
}

impl TreeReport {
    /// The version of the shape.
    pub const VERSION: u32 = 1;
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileReport {
    /// Where it stands, relative to the directory.
    pub path: String,
    /// Its permission bits, in octal digits.
    pub mode: String,
    /// What it is.
    pub content: String,
    /// The subject of the certificate inside, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The alternative names of that certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// When that certificate expires (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

impl FileReport {
    fn new(artifact: &Artifact, issued: Option<Described>) -> Self {
        let Described { subject, names, validity } = issued.unwrap_or_default();
        Self {
            path: artifact.path().to_owned(),
            mode: format!("{:04o}", artifact.mode()),
            content: artifact.kind().to_string(),
            subject,
            names,
            not_after: validity.map(|validity| rfc3339(validity.not_after())),
        }
    }
}

/// What is told of a certificate.
#[derive(Default)]
struct Described {
    subject: Option<String>,
    names: Vec<String>,
    validity: Option<Validity>,
}

/// A self-signed authority and its key, which goes to a file.
struct Authority {
    key: ExportableKey,
    issuer: Issuer,
}

/// A leaf and its key, which goes to the same or another file.
struct Leaf {
    subject: Subject,
    certificate: IssuedCertificate,
    key: ExportableKey,
}

/// Makes the content of files, each key and certificate once.
struct Press<'a> {
    spec: &'a TreeSpec,
    hierarchy: &'a Hierarchy,
    verifiers: Verifiers<'static>,
    now: UtcDateTime,
    cluster: ClusterId,
    ledger: KeyLedger,
    authorities: BTreeMap<AuthorityRole, Authority>,
    leaves: BTreeMap<LeafKind, Leaf>,
    tokens: ExportableKey,
}

impl<'a> Press<'a> {
    fn new(spec: &'a TreeSpec, hierarchy: &'a Hierarchy, now: UtcDateTime) -> Result<Self, TreeError> {
        let tokens = ExportableKey::generate(match spec.algorithm {
            KeyAlgorithm::Ed25519 => KeyAlgorithm::P256,
            algorithm => algorithm,
        })?;
        // What kubeadm calls every cluster. The ledger is this tree's own: it proves that no two authorities share a key.
        let (cluster, mut ledger): (ClusterId, _) = ("kubernetes".parse()?, KeyLedger::new());
        ledger.admit(&cluster, AuthorityRole::ServiceAccount, CaVersion::FIRST, tokens.signer())?;
        let verifiers = pki_core::verify::aws_lc_rs();
        let (authorities, leaves) = (BTreeMap::new(), BTreeMap::new());
        let mut press = Self { spec, hierarchy, verifiers, now, cluster, ledger, authorities, leaves, tokens };
        for role in hierarchy.roles().iter().copied().filter(|role| role.is_certificate_authority()) {
            let authority = press.mint(role)?;
            press.authorities.insert(role, authority);
        }
        Ok(press)
    }

    /// The content of a file that is, or holds, a certificate or a key.
    fn content(&mut self, kind: ArtifactKind) -> Result<Zeroizing<String>, TreeError> {
        Ok(match kind {
            ArtifactKind::AuthorityCertificate(role) => pem(self.root(role)?.der()),
            ArtifactKind::AuthorityKey(role) => self.authority(role)?.key.to_pem(),
            ArtifactKind::Certificate(leaf) => pem(self.leaf(leaf)?.certificate.der()),
            ArtifactKind::Key(leaf) => self.leaf(leaf)?.key.to_pem(),
            ArtifactKind::TokenSigningKey => self.tokens.to_pem(),
            ArtifactKind::TokenVerificationKey => Zeroizing::new(encode_pem(PUBLIC_KEY, self.tokens.public_key())),
            ArtifactKind::Kubeconfig(leaf) => self.kubeconfig(leaf)?,
            _ => return Err(TreeError::NoContent(kind)),
        })
    }

    /// What is told of the certificate in a file that was made.
    fn issued(&self, kind: ArtifactKind) -> Option<Described> {
        match kind {
            ArtifactKind::AuthorityCertificate(role) => {
                let certificate = self.root(role).ok()?;
                let subject = ca_subject(role, CaVersion::FIRST).map(|subject| subject.to_string());
                Some(Described { subject, names: Vec::new(), validity: Some(certificate.validity()) })
            }
            ArtifactKind::Certificate(leaf) | ArtifactKind::Kubeconfig(leaf) => {
                let Leaf { subject, certificate, .. } = self.leaves.get(&leaf)?;
                let names = self.spec.names.subject_alt_names(leaf).iter().map(ToString::to_string).collect();
                Some(Described { subject: Some(subject.to_string()), names, validity: Some(certificate.validity()) })
            }
            _ => None,
        }
    }

    fn authority(&self, role: AuthorityRole) -> Result<&Authority, TreeError> {
        self.authorities.get(&role).ok_or(TreeError::Issue(IssueError::KeySet(role)))
    }

    fn root(&self, role: AuthorityRole) -> Result<&CaCertificate, TreeError> {
        Ok(self.authority(role)?.issuer.certificate())
    }

    fn mint(&mut self, role: AuthorityRole) -> Result<Authority, TreeError> {
        let lifetime = self.hierarchy.ca_lifetime(role).ok_or(IssueError::KeySet(role))?;
        let validity = Validity::around(self.now, self.hierarchy.ca_backdate(), lifetime)?;
        let key = ExportableKey::generate(self.spec.algorithm)?;
        let admitted = self.ledger.admit(&self.cluster, role, CaVersion::FIRST, key.signer())?;
        let root = mint_root(&admitted, validity, serial()?, self.verifiers)?;
        Ok(Authority { key, issuer: Issuer::new(root, self.hierarchy.leaves_of(role))? })
    }

    /// The leaf, which is issued when it is first asked for.
    fn leaf(&mut self, kind: LeafKind) -> Result<&Leaf, TreeError> {
        if !self.leaves.contains_key(&kind) {
            let leaf = self.issue(kind)?;
            self.leaves.insert(kind, leaf);
        }
        self.leaves.get(&kind).ok_or(TreeError::Issue(IssueError::NotACertificate(kind)))
    }

    fn issue(&self, kind: LeafKind) -> Result<Leaf, TreeError> {
        let names = &self.spec.names;
        let role = self.hierarchy.issuer_of(kind).ok_or(IssueError::NotACertificate(kind))?;
        let Authority { key: authority_key, issuer } = self.authority(role)?;
        let (node, alternative) = (names.node_of(kind), names.subject_alt_names(kind));
        let subject = kind.subject(node).ok_or(IssueError::Approval(kind))?;
        let key = ExportableKey::generate(self.spec.algorithm)?;

        let request = create_request(&subject, &alternative, key.signer())?;
        let request = CertificationRequest::parse(&request, &Limits::DEFAULT)?.verify(self.verifiers)?;
        let mut approval = Approval::new(self.hierarchy.leaf_lifetime()).with_names(alternative);
        if let Some(node) = node {
            approval = approval.for_node(node.clone());
        }
        let prepared = issuer.prepare(kind, request, &approval, serial()?, self.now)?;
        let certificate = prepared.sign(authority_key.signer(), self.verifiers)?;
        Ok(Leaf { subject, certificate, key })
    }

    /// Administrators go to the control plane's endpoint, the components of its node to the API server of that node
    /// (`cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go`): its kubelet too, since kubeadm 1.33 turned on
    /// `ControlPlaneKubeletLocalMode`, so that no kubelet is newer than the API server it talks to during an upgrade.
    fn kubeconfig(&mut self, kind: LeafKind) -> Result<Zeroizing<String>, TreeError> {
        let names = &self.spec.names;
        let server = match kind {
            LeafKind::ControllerManager | LeafKind::Scheduler | LeafKind::KubeletClient => names.local_endpoint(),
            _ => names.endpoint(),
        };
        let role = self.hierarchy.issuer_of(LeafKind::ApiServer);
        let root = role.ok_or(IssueError::NotACertificate(LeafKind::ApiServer))?;
        let anchors = TrustBundle::new([self.root(root)?.clone()])?;
        let Leaf { subject, certificate, key } = self.leaf(kind)?;
        let chain = [certificate.der().clone()];
        Ok(Kubeconfig::new(server, &anchors, subject, &chain, &key.to_pem())?.to_yaml()?)
    }
}

fn rfc3339(time: UtcDateTime) -> String {
    let (date, (hour, minute, second)) = (time.date(), time.as_hms());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

fn pem(certificate: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(encode_pem(CERTIFICATE, certificate))
}

fn serial() -> Result<Serial, getrandom::Error> {
    Serial::generate(&mut SysRng)
}

/// Why there is no [`ClusterTree`].
#[derive(Debug)]
#[non_exhaustive]
pub enum TreeError {
    /// A key could not be made.
    Key(KeyError),
    /// A key belongs to another authority.
    Admit(AdmitError),
    /// A name is not one of its kind.
    Name(NameError),
    /// A request was refused.
    Request(RequestError),
    /// A request could not be signed.
    Sign(SignError),
    /// No certificate was issued.
    Issue(IssueError),
    /// A certificate or key is not of an accepted form.
    Decode(DecodeError),
    /// A bundle cannot be made.
    Bundle(BundleError),
    /// A validity cannot be encoded.
    Validity(ValidityError),
    /// A kubeconfig would lack something.
    Kubeconfig(KubeconfigError),
    /// A document cannot be written as YAML.
    Yaml(fmt::Error),
    /// The layout has a file that nothing here makes.
    NoContent(ArtifactKind),
    /// The operating system has no entropy.
    Entropy(getrandom::Error),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => write!(f, "{error}"),
            Self::Admit(error) => write!(f, "{error}"),
            Self::Name(error) => write!(f, "{error}"),
            Self::Request(error) => write!(f, "{error}"),
            Self::Sign(error) => write!(f, "{error}"),
            Self::Issue(error) => write!(f, "{error}"),
            Self::Decode(error) => write!(f, "{error}"),
            Self::Bundle(error) => write!(f, "{error}"),
            Self::Validity(error) => write!(f, "{error}"),
            Self::Kubeconfig(error) => write!(f, "{error}"),
            Self::Yaml(error) => write!(f, "a document cannot be written as YAML: {error}"),
            Self::NoContent(kind) => write!(f, "nothing makes the {kind} of the layout"),
            Self::Entropy(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for TreeError {}

wraps! {
    TreeError:
    KeyError => Key,
    AdmitError => Admit,
    NameError => Name,
    RequestError => Request,
    SignError => Sign,
    IssueError => Issue,
    DecodeError => Decode,
    BundleError => Bundle,
    ValidityError => Validity,
    KubeconfigError => Kubeconfig,
    fmt::Error => Yaml,
    getrandom::Error => Entropy,
}
