//! Frames and messages as octets. It opens no socket: a server, a client and a fuzzer read with the same functions.
//!
//! A frame is a length of four octets, big-endian, and so many octets. The first frame of each direction is a
//! [`Hello`], which has the version. Then come [`Request`]s, numbered from zero in each connection, and a [`Response`] to each
//! one, in order. Whatever is none of it is a [`ProtocolError`], after which a connection is of no more use.

use core::error::Error;
use core::fmt;

use pki_core::{CaVersion, SignErrorKind};

use super::epoch::SignerEpoch;
use super::wire::{Reader, Writer};

/// The version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;

const MAGIC: &[u8; 15] = b"carousel signer";
const CLUSTER_LEN_MAX: usize = 63;
const ROLE_LEN_MAX: usize = 32;
/// Longer than any signer name that Kubernetes takes (571).
const PROFILE_LEN_MAX: usize = 1 << 10;
const NAME_LEN_MAX: usize = 253;
const USAGES_MAX: u16 = 32;
const GROUPS_MAX: u16 = 64;
/// Of a user or a group, which Kubernetes does not bound.
const USER_LEN_MAX: usize = 1 << 10;
const CODE_LEN_MAX: usize = 64;
/// How much of a reason travels, in octets.
pub(crate) const TEXT_LEN_MAX: usize = 512;
/// As much as a frame can hold.
const LONG_MAX: usize = 4 << 20;

/// Octets that are not what the protocol says. The connection is closed after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A frame above the limit, unread.
    FrameTooLong {
        /// The octets announced.
        found: usize,
        /// The octets allowed.
        max: usize,
    },
    /// The other end went away within a frame.
    Truncated,
    /// A message that cannot be read; which one is said.
    Malformed(&'static str),
    /// The first frame is not this protocol's.
    NotThisProtocol,
    /// A message out of turn: replayed, left out or reordered.
    OutOfOrder {
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An answer to another request.
    OtherRequest,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameTooLong { found, max } => write!(f, "a frame of {found} octets, limit {max}"),
            Self::Truncated => f.write_str("the connection ended within a frame"),
            Self::Malformed(what) => write!(f, "malformed {what}"),
            Self::NotThisProtocol => f.write_str("the first frame is not of this protocol"),
            Self::OutOfOrder { expected, found } => write!(f, "expected message {expected}, found {found}"),
            Self::OtherRequest => f.write_str("the answer is to another request"),
        }
    }
}

impl Error for ProtocolError {}

/// Appends a frame to what is to be sent.
pub fn push_frame(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(body);
}

/// What was received, cut into frames. It never holds more than one frame of the limit and what was pushed last.
#[derive(Debug)]
pub struct Frames {
    max: usize,
    octets: Vec<u8>,
    at: usize,
}

impl Frames {
    /// Of frames of at most `max` octets.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { max, octets: Vec::new(), at: 0 }
    }

    /// Takes in what was received.
    pub fn push(&mut self, received: &[u8]) {
        if self.at > 0 {
            self.octets.drain(..self.at.min(self.octets.len()));
            self.at = 0;
        }
        self.octets.extend_from_slice(received);
    }

    /// The next whole frame, if it is there.
    ///
    /// # Errors
    /// [`ProtocolError::FrameTooLong`], as soon as the length is there.
    pub fn pop(&mut self) -> Result<Option<&[u8]>, ProtocolError> {
        let mut reader = Reader(self.octets.get(self.at..).unwrap_or_default());
        let Some(length) = reader.u32() else { return Ok(None) };
        let found = usize::try_from(length).unwrap_or(usize::MAX);
        if found > self.max {
            return Err(ProtocolError::FrameTooLong { found, max: self.max });
        }
        let frame = reader.take(found);
        if frame.is_some() {
            self.at = self.at.saturating_add(found).saturating_add(size_of::<u32>());
        }
        Ok(frame)
    }

    /// Whether something is there of which no frame came of yet.
    #[must_use]
    pub fn is_within(&self) -> bool {
        self.at < self.octets.len()
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// Certificates from an issuing service.
    Issuing,
    /// Signatures from an agent.
    Agent,
}

/// How a server answers the first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Welcome {
    /// Go on.
    Ready,
    /// Another version is spoken here, the one of the frame.
    UnknownVersion,
    /// Another service is at this address.
    OtherService,
    /// The caller is not known here.
    Denied,
    /// Too many are connected.
    Full,
    /// The service ends.
    Draining,
}

/// The first frame of each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of everything that follows.
    pub version: u16,
    /// What the connection is for.
    pub service: Service,
    /// The server's answer; a client says [`Welcome::Ready`].
    pub welcome: Welcome,
}

impl Hello {
    /// Of this version.
    #[must_use]
    pub const fn new(service: Service, welcome: Welcome) -> Self {
        Self { version: VERSION, service, welcome }
    }

    /// As octets.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.octets(MAGIC);
        writer.u16(self.version);
        writer.u8(match self.service {
            Service::Issuing => 1,
            Service::Agent => 2,
        });
        writer.u8(match self.welcome {
            Welcome::Ready => 0,
            Welcome::UnknownVersion => 1,
            Welcome::OtherService => 2,
            Welcome::Denied => 3,
            Welcome::Full => 4,
            Welcome::Draining => 5,
        });
        writer.0
    }

    /// Reads one. What follows the version in a frame of another version is not looked at.
    ///
    /// # Errors
    /// [`ProtocolError::NotThisProtocol`] without the magic, else [`ProtocolError::Malformed`].
    pub fn decode(frame: &[u8]) -> Result<Self, ProtocolError> {
        let malformed = ProtocolError::Malformed("hello");
        let mut reader = Reader(frame);
        if reader.take(MAGIC.len()) != Some(MAGIC) {
            return Err(ProtocolError::NotThisProtocol);
        }
        let version = reader.u16().ok_or(malformed)?;
        let service = match reader.u8() {
            Some(1) => Service::Issuing,
            Some(2) => Service::Agent,
            _ => return Err(malformed),
        };
        let welcome = match reader.u8() {
            Some(0) => Welcome::Ready,
            Some(1) => Welcome::UnknownVersion,
            Some(2) => Welcome::OtherService,
            Some(3) => Welcome::Denied,
            Some(4) => Welcome::Full,
            Some(5) => Welcome::Draining,
            _ => return Err(malformed),
        };
        if version == VERSION {
            reader.finish().ok_or(malformed)?;
        }
        Ok(Self { version, service, welcome })
    }
}

/// What tells one request from another, and a retry from a new one: 128 bits of the caller's entropy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 16]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// One request. Its names are texts here: what they mean, and whether they mean anything, is the service's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The number in its connection.
    pub sequence: u64,
    /// The same for every retry.
    pub id: RequestId,
    /// The cluster.
    pub cluster: String,
    /// The authority, by the identifier of its role.
    pub role: String,
    /// The epoch of the signer that the caller expects, and an operator's order follows; ignored by [`Ask::Current`].
    pub epoch: SignerEpoch,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Who signs now.
    Current,
    /// A leaf of a component.
    Leaf(LeafAsk),
    /// What a signer of `certificates.k8s.io` signs.
    Signer(SignerAsk),
    /// An operator's order: this generation signs from here on.
    Switch(GenerationAsk),
    /// An operator's order: this generation never signs again.
    Retire(GenerationAsk),
}

/// A generation that the service holds, as an operator means it: one of this number with another key is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationAsk {
    /// The generation.
    pub version: CaVersion,
    /// The key identifier.
    pub key: [u8; 20],
}

impl GenerationAsk {
    fn write(self, writer: &mut Writer) {
        writer.u32(self.version.number());
        writer.octets(&self.key);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { version: CaVersion::new(reader.u32()?)?, key: reader.array()? })
    }
}

/// A leaf of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafAsk {
    /// The identifier of a [`LeafKind`](pki_core::LeafKind).
    pub profile: String,
    /// The node, where the leaf is bound to one.
    pub node: Option<String>,
    /// How many seconds it is to live; the policy's limit without it.
    pub lifetime_seconds: Option<u32>,
    /// The certification request, DER.
    pub csr: Vec<u8>,
}

/// What a signer of `certificates.k8s.io` is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerAsk {
    /// The signer's name.
    pub signer: String,
    /// The usages, as `spec.usages` has them.
    pub usages: Vec<String>,
    /// `spec.expirationSeconds`.
    pub expiration_seconds: Option<i32>,
    /// Who created the object, in the words of the caller.
    pub username: String,
    /// The groups of who created it.
    pub groups: Vec<String>,
    /// The certification request, DER.
    pub csr: Vec<u8>,
}

impl Request {
    /// As octets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(self.sequence);
        writer.octets(&self.id.0);
        writer.text(&self.cluster);
        writer.text(&self.role);
        writer.u64(self.epoch.number());
        match &self.ask {
            Ask::Current => writer.u8(0),
            Ask::Leaf(ask) => {
                writer.u8(1);
                writer.text(&ask.profile);
                writer.optional(ask.node.as_ref(), |writer, node| writer.text(node));
                writer.optional(ask.lifetime_seconds, Writer::u32);
                writer.counted(&ask.csr);
            }
            Ask::Signer(ask) => {
                writer.u8(2);
                writer.text(&ask.signer);
                writer.texts(&ask.usages);
                writer.optional(ask.expiration_seconds, |writer, seconds| writer.octets(&seconds.to_be_bytes()));
                writer.text(&ask.username);
                writer.texts(&ask.groups);
                writer.counted(&ask.csr);
            }
            Ask::Switch(ask) => {
                writer.u8(3);
                ask.write(&mut writer);
            }
            Ask::Retire(ask) => {
                writer.u8(4);
                ask.write(&mut writer);
            }
        }
        writer.0
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] for everything that [`encode`](Self::encode) does not write.
    pub fn decode(frame: &[u8]) -> Result<Self, ProtocolError> {
        Self::read(Reader(frame)).ok_or(ProtocolError::Malformed("request"))
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let (sequence, id) = (reader.u64()?, RequestId(reader.array()?));
        let (cluster, role) = (reader.text(CLUSTER_LEN_MAX)?.to_owned(), reader.text(ROLE_LEN_MAX)?.to_owned());
        let epoch = SignerEpoch::new(reader.u64()?)?;
        let ask = match reader.u8()? {
            0 => Ask::Current,
            1 => Ask::Leaf(LeafAsk {
                profile: reader.text(PROFILE_LEN_MAX)?.to_owned(),
                node: reader.optional(|reader| reader.text(NAME_LEN_MAX).map(str::to_owned))?,
                lifetime_seconds: reader.optional(Reader::u32)?,
                csr: reader.counted(LONG_MAX)?.to_vec(),
            }),
            2 => Ask::Signer(SignerAsk {
                signer: reader.text(PROFILE_LEN_MAX)?.to_owned(),
                usages: reader.texts(USAGES_MAX, CODE_LEN_MAX)?,
                expiration_seconds: reader.optional(|reader| reader.array().map(i32::from_be_bytes))?,
                username: reader.text(USER_LEN_MAX)?.to_owned(),
                groups: reader.texts(GROUPS_MAX, USER_LEN_MAX)?,
                csr: reader.counted(LONG_MAX)?.to_vec(),
            }),
            3 => Ask::Switch(GenerationAsk::read(&mut reader)?),
            4 => Ask::Retire(GenerationAsk::read(&mut reader)?),
            _ => return None,
        };
        reader.finish()?;
        Some(Self { sequence, id, cluster, role, epoch, ask })
    }
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The number of the request.
    pub sequence: u64,
    /// Its identifier.
    pub id: RequestId,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The certificate, DER: of now, or of the first time that this request was made.
    Certificate(Vec<u8>),
    /// Who signs now, also after an order.
    Authority {
        /// Since which switch.
        epoch: SignerEpoch,
        /// Which generation.
        version: u32,
        /// Its certificate, DER.
        certificate: Vec<u8>,
    },
    /// Nothing was given.
    Refused(Refusal),
}

/// Why nothing was given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The request is for a signer of another epoch.
    StaleEpoch {
        /// The current one.
        expected: SignerEpoch,
        /// The request's.
        found: SignerEpoch,
    },
    /// The cluster is none of the caller's. Whether it exists is not said.
    ClusterDenied,
    /// The caller is of the cluster, and this is not his to ask: a switch of who is no operator, or a certificate of who is
    /// nothing else.
    RoleDenied,
    /// The cluster has no such authority here.
    UnknownAuthority,
    /// The authority has no such generation here, with this key.
    UnknownGeneration,
    /// The generation was retired.
    Retired,
    /// The generation signs, and is not retired before another one does.
    Signing,
    /// There is no such profile or signer, or the cluster's policy does not have it.
    UnknownProfile,
    /// The request breaks the policy, or is not an acceptable one.
    OffPolicy {
        /// The stable code of the rule.
        code: String,
        /// In words, cut.
        text: String,
    },
    /// The identifier was used for another request.
    RequestIdReused,
    /// The same request is being worked on.
    InProgress,
    /// More requests than the cluster's rate.
    RateLimited {
        /// When there is room again.
        retry_after_ms: u64,
    },
    /// The log has no room for the answer: none is given.
    LogFull,
    /// The log cannot be written: no answer is given.
    LogUnavailable,
    /// The signing key's backend failed.
    Signer(SignErrorKind),
    /// The service cannot do it for a reason of its own, such as a CA that has expired.
    Unable {
        /// The stable code.
        code: String,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::StaleEpoch { .. } => "service.stale_epoch",
            Self::ClusterDenied => "service.cluster_denied",
            Self::RoleDenied => "service.role_denied",
            Self::UnknownAuthority => "service.unknown_authority",
            Self::UnknownGeneration => "service.unknown_generation",
            Self::Retired => "service.retired",
            Self::Signing => "service.signing",
            Self::UnknownProfile => "service.unknown_profile",
            Self::OffPolicy { code, .. } | Self::Unable { code } => code,
            Self::RequestIdReused => "service.request_id_reused",
            Self::InProgress => "service.in_progress",
            Self::RateLimited { .. } => "service.rate_limited",
            Self::LogFull => "service.log_full",
            Self::LogUnavailable => "service.log_unavailable",
            Self::Signer(_) => "service.signer",
        }
    }

    /// Whether the same request, with the same identifier, may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::InProgress | Self::RateLimited { .. } | Self::LogFull | Self::LogUnavailable => true,
            Self::Signer(kind) => matches!(kind, SignErrorKind::Unavailable | SignErrorKind::TimedOut),
            _ => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StaleEpoch { expected, found } => write!(f, "the signer's epoch is {expected}, found {found}"),
            Self::ClusterDenied => f.write_str("the cluster is none of the caller's"),
            Self::RoleDenied => f.write_str("this is not the caller's to ask"),
            Self::UnknownAuthority => f.write_str("the cluster has no such authority here"),
            Self::UnknownGeneration => f.write_str("the authority has no such generation here, with this key"),
            Self::Retired => f.write_str("the generation was retired"),
            Self::Signing => f.write_str("the generation signs"),
            Self::UnknownProfile => f.write_str("no such profile in the cluster's policy"),
            Self::OffPolicy { code, text } => write!(f, "{code}: {}", text.escape_debug()),
            Self::RequestIdReused => f.write_str("the request identifier was used for another request"),
            Self::InProgress => f.write_str("the same request is being worked on"),
            Self::RateLimited { retry_after_ms } => write!(f, "above the cluster's rate, room in {retry_after_ms} ms"),
            Self::LogFull => f.write_str("the issuance log has no room"),
            Self::LogUnavailable => f.write_str("the issuance log cannot be written"),
            Self::Signer(kind) => write!(f, "the signing backend failed: {kind:?}"),
            Self::Unable { code } => write!(f, "the service is unable to issue: {code}"),
        }
    }
}

impl Error for Refusal {}

pub(crate) const fn sign_error_number(kind: SignErrorKind) -> u8 {
    match kind {
        SignErrorKind::Unavailable => 1,
        SignErrorKind::TimedOut => 2,
        SignErrorKind::KeyNotFound => 3,
        SignErrorKind::AccessDenied => 4,
        SignErrorKind::UnsupportedAlgorithm => 5,
        SignErrorKind::Rejected => 6,
        SignErrorKind::BufferTooSmall => 7,
        _ => 0,
    }
}

pub(crate) const fn sign_error_kind(number: u8) -> Option<SignErrorKind> {
    Some(match number {
        0 => SignErrorKind::Other,
        1 => SignErrorKind::Unavailable,
        2 => SignErrorKind::TimedOut,
        3 => SignErrorKind::KeyNotFound,
        4 => SignErrorKind::AccessDenied,
        5 => SignErrorKind::UnsupportedAlgorithm,
        6 => SignErrorKind::Rejected,
        7 => SignErrorKind::BufferTooSmall,
        _ => return None,
    })
}

/// As much of a text as travels.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.split_at_checked(end).map_or("", |(head, _)| head)
}

impl Response {
    /// As octets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(self.sequence);
        writer.octets(&self.id.0);
        match &self.outcome {
            Outcome::Certificate(der) => {
                writer.u8(0);
                writer.counted(der);
            }
            Outcome::Authority { epoch, version, certificate } => {
                writer.u8(1);
                writer.u64(epoch.number());
                writer.u32(*version);
                writer.counted(certificate);
            }
            Outcome::Refused(refusal) => {
                writer.u8(2);
                write_refusal(&mut writer, refusal);
            }
        }
        writer.0
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`ProtocolError::Malformed`] for everything that [`encode`](Self::encode) does not write.
    pub fn decode(frame: &[u8]) -> Result<Self, ProtocolError> {
        Self::read(Reader(frame)).ok_or(ProtocolError::Malformed("response"))
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let (sequence, id) = (reader.u64()?, RequestId(reader.array()?));
        let outcome = match reader.u8()? {
            0 => Outcome::Certificate(reader.counted(LONG_MAX)?.to_vec()),
            1 => Outcome::Authority {
                epoch: SignerEpoch::new(reader.u64()?)?,
                version: reader.u32()?,
                certificate: reader.counted(LONG_MAX)?.to_vec(),
            },
            2 => Outcome::Refused(read_refusal(&mut reader)?),
            _ => return None,
        };
        reader.finish()?;
        Some(Self { sequence, id, outcome })
    }
}

fn write_refusal(writer: &mut Writer, refusal: &Refusal) {
    match refusal {
        Refusal::StaleEpoch { expected, found } => {
            writer.u8(1);
            writer.u64(expected.number());
            writer.u64(found.number());
        }
        Refusal::ClusterDenied => writer.u8(2),
        Refusal::UnknownAuthority => writer.u8(3),
        Refusal::UnknownProfile => writer.u8(4),
        Refusal::OffPolicy { code, text } => {
            writer.u8(5);
            writer.text(cut(code, CODE_LEN_MAX));
            writer.text(cut(text, TEXT_LEN_MAX));
        }
        Refusal::RequestIdReused => writer.u8(6),
        Refusal::InProgress => writer.u8(7),
        Refusal::RateLimited { retry_after_ms } => {
            writer.u8(8);
            writer.u64(*retry_after_ms);
        }
        Refusal::LogFull => writer.u8(9),
        Refusal::LogUnavailable => writer.u8(10),
        Refusal::Signer(kind) => {
            writer.u8(11);
            writer.u8(sign_error_number(*kind));
        }
        Refusal::Unable { code } => {
            writer.u8(12);
            writer.text(cut(code, CODE_LEN_MAX));
        }
        Refusal::RoleDenied => writer.u8(13),
        Refusal::UnknownGeneration => writer.u8(14),
        Refusal::Retired => writer.u8(15),
        Refusal::Signing => writer.u8(16),
    }
}

fn read_refusal(reader: &mut Reader<'_>) -> Option<Refusal> {
    Some(match reader.u8()? {
        1 => {
            Refusal::StaleEpoch { expected: SignerEpoch::new(reader.u64()?)?, found: SignerEpoch::new(reader.u64()?)? }
        }
        2 => Refusal::ClusterDenied,
        3 => Refusal::UnknownAuthority,
        4 => Refusal::UnknownProfile,
        5 => Refusal::OffPolicy {
            code: reader.text(CODE_LEN_MAX)?.to_owned(),
            text: reader.text(TEXT_LEN_MAX)?.to_owned(),
        },
        6 => Refusal::RequestIdReused,
        7 => Refusal::InProgress,
        8 => Refusal::RateLimited { retry_after_ms: reader.u64()? },
        9 => Refusal::LogFull,
        10 => Refusal::LogUnavailable,
        11 => Refusal::Signer(sign_error_kind(reader.u8()?)?),
        12 => Refusal::Unable { code: reader.text(CODE_LEN_MAX)?.to_owned() },
        13 => Refusal::RoleDenied,
        14 => Refusal::UnknownGeneration,
        15 => Refusal::Retired,
        16 => Refusal::Signing,
        _ => return None,
    })
}
