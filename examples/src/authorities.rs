//! The cluster's authorities: keys in a key store, certificates by generation, and leaves for requests.

use core::fmt;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use getrandom::SysRng;
use pki_core::verify::{SubjectPublicKey, Verifiers};
use pki_core::{
    AdmitError, Approval, AuthorityId, AuthorityRole, BundleError, CaCertificate, CaVersion, CertificationRequest,
    ClusterId, CrossCertificate, CrossSignError, DecodeError, Fingerprint, Hierarchy, IssueError, Issuer, KeyAlgorithm,
    KeyLedger, LeafIdentity, LeafKind, Limits, NameError, NodeName, RequestError, Serial, SignError, Signer,
    SubjectAltName, TokenError, TokenKeys, TrustBundle, Validity, ValidityError, create_request, cross_sign,
    issue_token, mint_external_root, mint_root,
};
use rotation_fsm::{AuthorityRecord, CrossRecord, VersionRange};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use signer_hsm::{KeyLabel, KeySpec, KeyStore, KeyStoreError, SoftwareKey};
use time::{Duration, UtcDateTime};
use trust_model::tls::{IdentityError, TlsIdentity};

use crate::clock::Clock;
use crate::keys::{Issuing, ServiceFailure};

/// Who signs service-account tokens, as their `iss` claim says, and for whom: the API server is both.
pub(crate) const TOKEN_ISSUER: &str = "https://kubernetes.default.svc";

/// What may go wrong between a request and a certificate.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthorityError {
    /// There is no such generation.
    Unknown(AuthorityRole, CaVersion),
    /// None of the cluster's authorities issued it.
    ForeignIssuer(LeafKind),
    /// The key store refused.
    Keys(KeyStoreError),
    /// A key has another owner.
    Separation(AdmitError),
    /// A component's own key could not be made.
    LeafKey(signer_hsm::KeyError),
    /// The request was refused.
    Request(RequestError),
    /// No certificate was issued.
    Issue(IssueError),
    /// An authority did not certify the next one.
    CrossSign(CrossSignError),
    /// The signer failed.
    Sign(SignError),
    /// A token could not be issued.
    Token(TokenError),
    /// A certificate or key is not of an accepted form.
    Decode(DecodeError),
    /// Certificates make no bundle.
    Bundle(BundleError),
    /// A validity cannot be encoded.
    Validity(ValidityError),
    /// A certificate and its key do not make a TLS identity.
    Identity(IdentityError),
    /// A name is not a DNS name.
    Name(NameError),
    /// The operating system has no entropy.
    Entropy(getrandom::Error),
    /// The issuing service in another process gave nothing.
    Service(ServiceFailure),
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(role, version) => write!(f, "`{role}` has no CAVersion {version}"),
            Self::ForeignIssuer(leaf) => write!(f, "none of the cluster's authorities issued the `{leaf}`"),
            Self::Keys(error) => write!(f, "{error}"),
            Self::Separation(error) => write!(f, "{error}"),
            Self::LeafKey(error) => write!(f, "{error}"),
            Self::Request(error) => write!(f, "{error}"),
            Self::Issue(error) => write!(f, "{error}"),
            Self::CrossSign(error) => write!(f, "{error}"),
            Self::Sign(error) => write!(f, "{error}"),
            Self::Token(error) => write!(f, "{error}"),
            Self::Decode(error) => write!(f, "{error}"),
            Self::Bundle(error) => write!(f, "{error}"),
            Self::Validity(error) => write!(f, "{error}"),
            Self::Identity(error) => write!(f, "{error}"),
            Self::Name(error) => write!(f, "{error}"),
            Self::Entropy(error) => write!(f, "{error}"),
            Self::Service(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for AuthorityError {}

wraps! {
    AuthorityError:
    KeyStoreError => Keys,
    AdmitError => Separation,
    signer_hsm::KeyError => LeafKey,
    RequestError => Request,
    IssueError => Issue,
    CrossSignError => CrossSign,
    SignError => Sign,
    TokenError => Token,
    DecodeError => Decode,
    BundleError => Bundle,
    ValidityError => Validity,
    IdentityError => Identity,
    getrandom::Error => Entropy,
    ServiceFailure => Service,
    NameError => Name,
}

/// The bundle of one slot: certificates, or the public keys of a key set.
#[derive(Clone, Debug)]
pub(crate) enum Anchors {
    Certificates(Arc<TrustBundle>),
    Keys(Arc<TokenKeys>),
}

impl Anchors {
    pub(crate) fn hash(&self) -> pki_core::BundleHash {
        match self {
            Self::Certificates(bundle) => bundle.hash(),
            Self::Keys(keys) => keys.hash(),
        }
    }

    pub(crate) fn certificates(&self) -> Option<&Arc<TrustBundle>> {
        match self {
            Self::Certificates(bundle) => Some(bundle),
            Self::Keys(_) => None,
        }
    }

    pub(crate) fn keys(&self) -> Option<&Arc<TokenKeys>> {
        match self {
            Self::Certificates(_) => None,
            Self::Keys(keys) => Some(keys),
        }
    }
}

/// A leaf and the generation it came from.
#[derive(Clone, Debug)]
pub(crate) struct HeldLeaf {
    pub(crate) issuer: AuthorityId,
    pub(crate) version: CaVersion,
    /// Who signed the cross-certificate that is shown with it, if one is.
    pub(crate) through: Option<AuthorityId>,
    pub(crate) credential: Credential,
}

#[derive(Clone)]
pub(crate) enum Credential {
    Certificate(TlsIdentity),
    Token(Arc<str>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate(_) => "Certificate",
            Self::Token(_) => "Token",
        })
    }
}

impl HeldLeaf {
    pub(crate) fn identity(&self) -> Option<&TlsIdentity> {
        match &self.credential {
            Credential::Certificate(identity) => Some(identity),
            Credential::Token(_) => None,
        }
    }

    pub(crate) fn token(&self) -> Option<&Arc<str>> {
        match &self.credential {
            Credential::Certificate(_) => None,
            Credential::Token(token) => Some(token),
        }
    }
}

/// For whom a leaf is: what whoever may decide has decided.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) node: Option<NodeName>,
    pub(crate) names: Vec<SubjectAltName>,
}

/// A key of a component and the request it makes for itself.
pub(crate) struct Enrolment {
    signer: Arc<dyn Signer>,
    request: Vec<u8>,
}

impl Enrolment {
    /// A fresh P-256 key, which never leaves this value, and a request for this leaf.
    pub(crate) fn new(leaf: LeafKind, holder: &Holder) -> Result<Self, AuthorityError> {
        let signer = SoftwareKey::generate(KeyAlgorithm::P256)?;
        let subject = leaf.subject(holder.node.as_ref()).ok_or(IssueError::Approval(leaf))?;
        let request = create_request(&subject, &holder.names, &signer)?;
        Ok(Self { signer: Arc::new(signer), request })
    }

    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    /// The identity that a chain, leaf first, makes with this key.
    pub(crate) fn finish(self, chain: Vec<CertificateDer<'static>>) -> Result<TlsIdentity, AuthorityError> {
        Ok(TlsIdentity::new(chain, self.signer)?)
    }
}

/// What one generation of an authority is: a certificate that issues, or a bare key.
#[derive(Debug)]
enum Generation {
    Certificate(Arc<Issuer>),
    Key(SubjectPublicKeyInfoDer<'static>),
}

/// The authorities of one cluster.
#[derive(Debug)]
pub(crate) struct Authorities {
    cluster: ClusterId,
    hierarchy: Hierarchy,
    keys: Arc<dyn KeyStore>,
    /// Who signs what nodes ask for, where it is not this process.
    issuing: Option<Arc<Issuing>>,
    verifiers: Verifiers<'static>,
    /// Whose every key is: no key serves two roles, the org CA's included.
    ledger: Mutex<KeyLedger>,
    generations: Mutex<BTreeMap<(AuthorityRole, CaVersion), Generation>>,
    /// By the generation that is certified: the certificate of it by the one before.
    crossed: Mutex<BTreeMap<(AuthorityRole, CaVersion), CrossCertificate>>,
    /// An organization's own CA, where the hierarchy has clients that are served by it.
    external: Option<(CaCertificate, Issuer, Arc<dyn Signer>)>,
}

impl Authorities {
    /// The first generation of every authority, born at `born`, with its keys in this store.
    pub(crate) fn new(
        cluster: ClusterId,
        hierarchy: Hierarchy,
        keys: Arc<dyn KeyStore>,
        born: UtcDateTime,
    ) -> Result<Self, AuthorityError> {
        Self::with_issuing(cluster, hierarchy, keys, None, born)
    }

    /// The same, with this service for what nodes ask to be signed.
    pub(crate) fn with_issuing(
        cluster: ClusterId,
        hierarchy: Hierarchy,
        keys: Arc<dyn KeyStore>,
        issuing: Option<Arc<Issuing>>,
        born: UtcDateTime,
    ) -> Result<Self, AuthorityError> {
        let verifiers = pki_core::verify::aws_lc_rs();
        let mut ledger = KeyLedger::new();
        let external = if hierarchy.external_serving() {
            let signer: Arc<dyn Signer> = Arc::new(SoftwareKey::generate(KeyAlgorithm::P256)?);
            let validity = Validity::around(born, Duration::minutes(5), Duration::days(20 * 365))?;
            let admitted = ledger.admit_external("org-ca".parse()?, &*signer)?;
            let root = mint_external_root(&admitted, validity, serial()?, verifiers)?;
            Some((root.clone(), Issuer::new(root, [LeafKind::ApiServer])?, signer))
        } else {
            None
        };
        let ledger = Mutex::new(ledger);
        let (generations, crossed) = (Mutex::default(), Mutex::default());
        let authorities = Self { cluster, hierarchy, keys, issuing, verifiers, ledger, generations, crossed, external };
        for role in authorities.hierarchy.roles() {
            authorities.ensure(*role, CaVersion::FIRST, born)?;
        }
        Ok(authorities)
    }

    fn issuing_for(&self, role: AuthorityRole) -> Option<&Issuing> {
        self.issuing.as_deref().filter(|issuing| issuing.serves(role))
    }

    fn label(&self, role: AuthorityRole, version: CaVersion) -> KeyLabel {
        KeyLabel::authority(&self.cluster, role, version)
    }

    fn ledger(&self) -> MutexGuard<'_, KeyLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a generation exist: its key is looked for by label before one is generated, and a certificate that
    /// exists is not minted again.
    pub(crate) fn ensure(
        &self,
        role: AuthorityRole,
        version: CaVersion,
        now: UtcDateTime,
    ) -> Result<AuthorityRecord, AuthorityError> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(generation) = generations.get(&(role, version)) {
            return record(generation, version);
        }
        let label = self.label(role, version);
        let signer = if self.keys.find(&label)? {
            self.keys.open(&label)?
        } else {
            self.keys.generate(&label, KeySpec::new(KeyAlgorithm::P256))?
        };
        let admitted = self.ledger().admit(&self.cluster, role, version, &*signer)?;
        let generation = match self.hierarchy.ca_lifetime(role) {
            Some(lifetime) => {
                let validity = Validity::around(now, self.hierarchy.ca_backdate(), lifetime)?;
                let root = mint_root(&admitted, validity, serial()?, self.verifiers)?;
                Generation::Certificate(Arc::new(Issuer::new(root, self.hierarchy.leaves_of(role))?))
            }
            None => Generation::Key(signer.public_key().clone()),
        };
        if let (Some(issuing), Generation::Certificate(issuer)) = (self.issuing_for(role), &generation) {
            issuing.install(version, issuer.certificate())?;
        }
        let record = record(&generation, version)?;
        generations.insert((role, version), generation);
        Ok(record)
    }

    /// Has one generation certify another. A certificate that exists is not made again.
    pub(crate) fn cross_certify(
        &self,
        role: AuthorityRole,
        version: CaVersion,
        by: CaVersion,
        now: UtcDateTime,
    ) -> Result<CrossRecord, AuthorityError> {
        let (new, old) = (self.issuer(role, version)?, self.issuer(role, by)?);
        let mut crossed = self.crossed.lock().unwrap_or_else(PoisonError::into_inner);
        let certificate = match crossed.entry((role, version)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let signer = self.keys.open(&self.label(role, by))?;
                let (new, old) = (new.certificate(), old.certificate());
                place.insert(cross_sign(new, old, serial()?, now, &*signer, self.verifiers)?)
            }
        };
        let validity = certificate.validity();
        Ok(CrossRecord { version, by, not_before: validity.not_before(), not_after: validity.not_after() })
    }

    /// The generations of a role, oldest first.
    pub(crate) fn versions(&self, role: AuthorityRole) -> Vec<CaVersion> {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.keys().filter(|(of, _)| *of == role).map(|(_, version)| *version).collect()
    }

    /// Whether a generation's private key exists.
    pub(crate) fn has_key(&self, role: AuthorityRole, version: CaVersion) -> Result<bool, AuthorityError> {
        Ok(self.keys.find(&self.label(role, version))?)
    }

    /// Which generation this is, if it is of one of these authorities.
    pub(crate) fn generation_of(&self, id: AuthorityId) -> Option<(AuthorityRole, CaVersion)> {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(of, generation): (&(AuthorityRole, CaVersion), &Generation)| match generation {
            Generation::Certificate(issuer) => (issuer.certificate().id() == id).then_some(*of),
            Generation::Key(_) => None,
        };
        generations.iter().find_map(is_it)
    }

    /// Which generation a certificate names as its issuer, if it is one of these authorities.
    pub(crate) fn issuer_named_by(&self, certificate: &[u8]) -> Option<(AuthorityRole, CaVersion)> {
        let read = LeafIdentity::parse(certificate, &Limits::DEFAULT).ok()?;
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let named = generations.iter().find(|(_, generation)| match generation {
            Generation::Certificate(issuer) => read.authority_key_id() == Some(issuer.certificate().subject_key_id()),
            Generation::Key(_) => false,
        });
        named.map(|(of, _)| *of)
    }

    /// Has a generation sign what nodes ask for from here on. A service in another process has that on its disk, and signs nothing
    /// with the one before from then on; here it is for whoever asks to say.
    pub(crate) fn switch(&self, role: AuthorityRole, to: CaVersion) -> Result<(), AuthorityError> {
        match self.issuing_for(role) {
            Some(issuing) => Ok(issuing.switch(to, self.issuer(role, to)?.certificate())?),
            None => Ok(()),
        }
    }

    /// Answers what a node asks for itself, with the generation that the CSR signer has.
    pub(crate) fn sign_for_node(
        &self,
        leaf: LeafKind,
        version: CaVersion,
        holder: &Holder,
        request: &[u8],
        clock: &Clock,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let role = self.hierarchy.issuer_of(leaf).ok_or(IssueError::NotACertificate(leaf))?;
        match self.issuing_for(role).filter(|issuing| issuing.signs(role, leaf)) {
            Some(issuing) => Ok(issuing.ask(leaf, version, holder.node.as_ref(), request, clock.skipped())?),
            None => self.sign_request(leaf, version, holder, request, clock.now()),
        }
    }

    /// Destroys a generation's private key. Its certificate stays, to be recognised.
    pub(crate) fn destroy_key(&self, role: AuthorityRole, version: CaVersion) -> Result<(), AuthorityError> {
        if let (Some(issuing), Ok(issuer)) = (self.issuing_for(role), self.issuer(role, version)) {
            issuing.retire(version, issuer.certificate())?;
        }
        Ok(self.keys.destroy(&self.label(role, version))?)
    }

    /// A bundle of these generations.
    pub(crate) fn anchors(&self, role: AuthorityRole, versions: VersionRange) -> Result<Anchors, AuthorityError> {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut certificates, mut keys) = (Vec::new(), Vec::new());
        for version in versions.versions() {
            let generation = generations.get(&(role, version)).ok_or(AuthorityError::Unknown(role, version))?;
            match generation {
                Generation::Certificate(issuer) => certificates.push((version, issuer.certificate().clone())),
                Generation::Key(key) => keys.push(key.clone()),
            }
        }
        Ok(if role.is_certificate_authority() {
            Anchors::Certificates(Arc::new(TrustBundle::of_generations(certificates)?))
        } else {
            Anchors::Keys(Arc::new(TokenKeys::new(keys)?))
        })
    }

    /// The organization's CA, as clients outside trust it.
    pub(crate) fn external_bundle(&self) -> Result<Option<Arc<TrustBundle>>, AuthorityError> {
        let bundle = |(root, _, _): &(CaCertificate, Issuer, Arc<dyn Signer>)| TrustBundle::new([root.clone()]);
        Ok(self.external.as_ref().map(bundle).transpose()?.map(Arc::new))
    }

    /// A serving certificate of the organization's CA.
    pub(crate) fn external_identity(
        &self,
        names: Vec<SubjectAltName>,
        now: UtcDateTime,
    ) -> Result<Option<TlsIdentity>, AuthorityError> {
        let Some((_, issuer, signer)) = &self.external else { return Ok(None) };
        self.serving_identity(issuer, &**signer, LeafKind::ApiServer, names, now).map(Some)
    }

    /// A serving certificate of a CA that nobody knows, such as a pod makes for itself.
    pub(crate) fn unvouched_identity(
        &self,
        names: Vec<SubjectAltName>,
        now: UtcDateTime,
    ) -> Result<TlsIdentity, AuthorityError> {
        let signer = SoftwareKey::generate(KeyAlgorithm::P256)?;
        let validity = Validity::around(now, Duration::minutes(5), self.hierarchy.leaf_lifetime())?;
        let admitted = self.ledger().admit_external("unvouched".parse()?, &signer)?;
        let root = mint_external_root(&admitted, validity, serial()?, self.verifiers)?;
        self.serving_identity(&Issuer::new(root, [LeafKind::Webhook])?, &signer, LeafKind::Webhook, names, now)
    }

    fn serving_identity(
        &self,
        issuer: &Issuer,
        signer: &dyn Signer,
        leaf: LeafKind,
        names: Vec<SubjectAltName>,
        now: UtcDateTime,
    ) -> Result<TlsIdentity, AuthorityError> {
        let holder = Holder { node: None, names };
        let enrolment = Enrolment::new(leaf, &holder)?;
        let certificate = self.issue(issuer, signer, leaf, &holder, enrolment.request(), now)?;
        enrolment.finish(vec![certificate])
    }

    /// Answers a request for a certificate with the key of this generation.
    pub(crate) fn sign_request(
        &self,
        leaf: LeafKind,
        version: CaVersion,
        holder: &Holder,
        request: &[u8],
        now: UtcDateTime,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let role = self.hierarchy.issuer_of(leaf).ok_or(IssueError::NotACertificate(leaf))?;
        let issuer = self.issuer(role, version)?;
        let signer = self.keys.open(&self.label(role, version))?;
        self.issue(&issuer, &*signer, leaf, holder, request, now)
    }

    fn issue(
        &self,
        issuer: &Issuer,
        signer: &dyn Signer,
        leaf: LeafKind,
        holder: &Holder,
        request: &[u8],
        now: UtcDateTime,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let verified = CertificationRequest::parse(request, &Limits::DEFAULT)?.verify(self.verifiers)?;
        let mut approval = Approval::new(self.hierarchy.leaf_lifetime()).with_names(holder.names.clone());
        if let Some(node) = &holder.node {
            approval = approval.for_node(node.clone());
        }
        let prepared = issuer.prepare(leaf, verified, &approval, serial()?, now)?;
        Ok(prepared.sign(signer, self.verifiers)?.der().clone())
    }

    /// A leaf from this generation, by request, for a component whose key is made here and now.
    pub(crate) fn enrol(
        &self,
        leaf: LeafKind,
        version: CaVersion,
        holder: &Holder,
        now: UtcDateTime,
    ) -> Result<HeldLeaf, AuthorityError> {
        let enrolment = Enrolment::new(leaf, holder)?;
        let certificate = self.sign_request(leaf, version, holder, enrolment.request(), now)?;
        self.hold(leaf, enrolment.finish(vec![certificate])?)
    }

    /// The same, to be shown with the cross-certificate of its issuer.
    pub(crate) fn enrol_chained(
        &self,
        leaf: LeafKind,
        version: CaVersion,
        holder: &Holder,
        now: UtcDateTime,
    ) -> Result<HeldLeaf, AuthorityError> {
        let role = self.hierarchy.issuer_of(leaf).ok_or(IssueError::NotACertificate(leaf))?;
        let crossed = self.crossed.lock().unwrap_or_else(PoisonError::into_inner);
        let cross = crossed.get(&(role, version)).ok_or(AuthorityError::Unknown(role, version))?.der().clone();
        drop(crossed);
        let enrolment = Enrolment::new(leaf, holder)?;
        let certificate = self.sign_request(leaf, version, holder, enrolment.request(), now)?;
        self.hold(leaf, enrolment.finish(vec![certificate, cross])?)
    }

    /// An identity as a held leaf of the generation that the certificate itself names as its issuer, whichever was asked.
    pub(crate) fn hold(&self, leaf: LeafKind, identity: TlsIdentity) -> Result<HeldLeaf, AuthorityError> {
        let role = self.hierarchy.issuer_of(leaf).ok_or(IssueError::NotACertificate(leaf))?;
        let certificate = identity.chain().first().map(AsRef::as_ref).unwrap_or_default();
        let read = LeafIdentity::parse(certificate, &Limits::DEFAULT)?;
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let named = generations.iter().find_map(|((of, version), generation)| match generation {
            Generation::Certificate(issuer) if *of == role => {
                let certificate = issuer.certificate();
                let is_named = read.authority_key_id() == Some(certificate.subject_key_id());
                is_named.then(|| (*version, certificate.id()))
            }
            _ => None,
        });
        let (version, issuer) = named.ok_or(AuthorityError::ForeignIssuer(leaf))?;
        let through = identity.chain().get(1).and_then(|second| self.signer_of_cross(role, second));
        Ok(HeldLeaf { issuer, version, through, credential: Credential::Certificate(identity) })
    }

    fn signer_of_cross(&self, role: AuthorityRole, certificate: &CertificateDer<'_>) -> Option<AuthorityId> {
        let crossed = self.crossed.lock().unwrap_or_else(PoisonError::into_inner);
        let found = crossed.iter().find(|((of, _), known)| *of == role && known.der() == certificate);
        found.map(|(_, cross)| cross.issuer())
    }

    /// A service-account token signed with this generation's key.
    pub(crate) fn token(
        &self,
        version: CaVersion,
        subject: &str,
        now: UtcDateTime,
    ) -> Result<HeldLeaf, AuthorityError> {
        let role = AuthorityRole::ServiceAccount;
        let signer = self.keys.open(&self.label(role, version))?;
        let expiry = now.saturating_add(self.hierarchy.leaf_lifetime());
        let not_before = now.saturating_sub(Duration::MINUTE);
        let token = issue_token(&*signer, self.verifiers, TOKEN_ISSUER, TOKEN_ISSUER, subject, not_before, expiry)?;
        let issuer = self.id(role, version)?;
        Ok(HeldLeaf { issuer, version, through: None, credential: Credential::Token(token.into()) })
    }

    /// Which key a generation signs with.
    pub(crate) fn id(&self, role: AuthorityRole, version: CaVersion) -> Result<AuthorityId, AuthorityError> {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = generations.get(&(role, version)).ok_or(AuthorityError::Unknown(role, version))?;
        Ok(record(generation, version)?.id)
    }

    fn issuer(&self, role: AuthorityRole, version: CaVersion) -> Result<Arc<Issuer>, AuthorityError> {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        match generations.get(&(role, version)) {
            Some(Generation::Certificate(issuer)) => Ok(Arc::clone(issuer)),
            _ => Err(AuthorityError::Unknown(role, version)),
        }
    }
}

fn record(generation: &Generation, version: CaVersion) -> Result<AuthorityRecord, AuthorityError> {
    Ok(match generation {
        Generation::Certificate(issuer) => {
            let certificate = issuer.certificate();
            let (id, anchor) = (certificate.id(), certificate.fingerprint());
            AuthorityRecord { version, id, anchor, not_after: Some(certificate.validity().not_after()) }
        }
        Generation::Key(key) => {
            let id = AuthorityId::of(&SubjectPublicKey::parse(key)?);
            AuthorityRecord { version, id, anchor: Fingerprint::of(key), not_after: None }
        }
    })
}

fn serial() -> Result<Serial, AuthorityError> {
    Ok(Serial::generate(&mut SysRng)?)
}
