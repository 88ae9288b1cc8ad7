//! A remote [`Signer`](pki_core::Signer): the keys stay in another process, which signs whatever a caller with the right to a
//! label sends. For Linux.
//!
//! It enforces nothing about what is signed; that is the [`service`](crate::service), and whoever can choose should choose
//! that. An agent is for embedders who keep the policy elsewhere. It uses the same frames, sockets and limits.
//!
//! Each caller has an allow-list of labels. Making and destroying keys is a right of its own ([`Right::Manage`]): a caller that
//! only signs can do no lasting harm to a key.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use pki_core::{Fingerprint, KeyAlgorithm, SignErrorKind, SignatureAlgorithm};

use crate::key_store::{KeyLabel, KeySpec, KeyStore, KeyStoreErrorKind};
use crate::service::CallerId;
use crate::service::limits::{Clock, ServerLimits};
use crate::service::protocol::{ProtocolError, Service, push_frame, sign_error_kind, sign_error_number};
use crate::service::server::{Handler, Server, read_in_turn};
use crate::service::wire::{Reader, Writer};

mod remote;

pub use remote::{AgentKeyStore, AgentSigner};

/// How many messages are signed in one frame.
const BATCH_MAX: u16 = 256;
const OCTETS_MAX: usize = 4 << 20;

/// What a caller may do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Open it and sign with it.
    Sign,
    /// Make and destroy it, too.
    Manage,
}

/// Which labels.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Labels {
    /// This one.
    One(KeyLabel),
    /// All that begin with this and a `/`, such as those of a cluster.
    Below(KeyLabel),
}

impl Labels {
    fn has(&self, label: &KeyLabel) -> bool {
        match self {
            Self::One(one) => one == label,
            Self::Below(above) => {
                label.as_str().strip_prefix(above.as_str()).is_some_and(|below| below.starts_with('/'))
            }
        }
    }
}

/// Who may do what with which keys. By default nobody anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(BTreeMap<CallerId, Vec<(Labels, Right)>>);

impl Rights {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And this.
    #[must_use]
    pub fn with(mut self, caller: CallerId, labels: Labels, right: Right) -> Self {
        self.0.entry(caller).or_default().push((labels, right));
        self
    }

    fn allow(&self, caller: &CallerId, label: &KeyLabel, right: Right) -> bool {
        let granted = self.0.get(caller).map_or(&[][..], Vec::as_slice);
        granted.iter().any(|(labels, granted)| *granted >= right && labels.has(label))
    }
}

/// A key store behind a socket: what [`AgentKeyStore`] talks to.
pub struct Agent {
    store: Arc<dyn KeyStore>,
    rights: Rights,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Agent {
    /// Of the keys of this store.
    #[must_use]
    pub fn new(store: Arc<dyn KeyStore>, rights: Rights) -> Self {
        Self { store, rights }
    }

    /// A server with this agent behind it, listening nowhere yet. [`ServerLimits::AGENT`] leaves room for long messages.
    #[must_use]
    pub fn server(self, limits: ServerLimits, clock: Arc<dyn Clock>) -> Server {
        Server::new(Arc::new(self), limits, clock)
    }

    fn do_as_asked(&self, caller: &CallerId, call: &Call) -> Answer {
        let Ok(label) = call.label.parse::<KeyLabel>() else { return Answer::Store(KeyStoreErrorKind::Other) };
        let needed = match call.task {
            Task::Find | Task::Open | Task::Sign { .. } => Right::Sign,
            Task::Generate(_) | Task::Destroy => Right::Manage,
        };
        if !self.rights.allow(caller, &label, needed) {
            return Answer::Denied;
        }
        let store = |error: &crate::KeyStoreError| Answer::Store(error.kind());
        match &call.task {
            Task::Find => self.store.find(&label).map_or_else(|error| store(&error), Answer::Found),
            Task::Open => match self.store.open(&label) {
                Ok(signer) => Answer::handle(&*signer),
                Err(error) => store(&error),
            },
            Task::Generate(algorithm) => match self.store.generate(&label, KeySpec::new(*algorithm)) {
                Ok(signer) => Answer::handle(&*signer),
                Err(error) => store(&error),
            },
            Task::Destroy => self.store.destroy(&label).map_or_else(|error| store(&error), |()| Answer::Done),
            Task::Sign { key, messages } => match self.store.open(&label) {
                // The label may have another key by now: a handle is to one key.
                Ok(signer) if Fingerprint::of(signer.public_key()).as_bytes() == key => {
                    let messages: Vec<_> = messages.iter().map(Vec::as_slice).collect();
                    let signatures = signer.sign_batch(&messages);
                    Answer::Signatures(signatures.into_iter().map(|one| one.map_err(|error| error.kind())).collect())
                }
                Ok(_) => Answer::Store(KeyStoreErrorKind::NotFound),
                Err(error) => store(&error),
            },
        }
    }
}

impl Handler for Agent {
    fn service(&self) -> Service {
        Service::Agent
    }

    fn knows(&self, caller: &CallerId) -> bool {
        self.rights.0.contains_key(caller)
    }

    fn answer(&self, caller: &CallerId, first: u64, frames: &[Vec<u8>]) -> (Vec<u8>, Result<(), ProtocolError>) {
        let (calls, read) = read_in_turn(first, frames, Call::decode, |call| call.sequence);
        let mut out = Vec::new();
        for call in calls {
            push_frame(&mut out, &self.do_as_asked(caller, &call).encode(call.sequence));
        }
        (out, read)
    }
}

/// What is asked of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    sequence: u64,
    label: String,
    task: Task,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Task {
    Find,
    Open,
    Generate(KeyAlgorithm),
    Destroy,
    Sign { key: [u8; 32], messages: Vec<Vec<u8>> },
}

const ALGORITHMS: [KeyAlgorithm; 6] = [
    KeyAlgorithm::P256,
    KeyAlgorithm::P384,
    KeyAlgorithm::Rsa2048,
    KeyAlgorithm::Rsa3072,
    KeyAlgorithm::Rsa4096,
    KeyAlgorithm::Ed25519,
];

const SIGNATURES: [SignatureAlgorithm; 5] = [
    SignatureAlgorithm::EcdsaP256Sha256,
    SignatureAlgorithm::EcdsaP384Sha384,
    SignatureAlgorithm::RsaPkcs1Sha256,
    SignatureAlgorithm::RsaPssSha256,
    SignatureAlgorithm::Ed25519,
];

fn number_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|known| known == one).and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

impl Call {
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(self.sequence);
        writer.text(&self.label);
        match &self.task {
            Task::Find => writer.u8(0),
            Task::Open => writer.u8(1),
            Task::Generate(algorithm) => {
                writer.u8(2);
                writer.u8(number_of(&ALGORITHMS, algorithm));
            }
            Task::Destroy => writer.u8(3),
            Task::Sign { key, messages } => {
                writer.u8(4);
                writer.octets(key);
                writer.u16(u16::try_from(messages.len()).unwrap_or(u16::MAX));
                messages.iter().for_each(|message| writer.counted(message));
            }
        }
        writer.0
    }

    pub(crate) fn decode(frame: &[u8]) -> Result<Self, ProtocolError> {
        Self::read(Reader(frame)).ok_or(ProtocolError::Malformed("call"))
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let (sequence, label) = (reader.u64()?, reader.text(KeyLabel::LEN_MAX)?.to_owned());
        let task = match reader.u8()? {
            0 => Task::Find,
            1 => Task::Open,
            2 => Task::Generate(*ALGORITHMS.get(usize::from(reader.u8()?))?),
            3 => Task::Destroy,
            4 => {
                let key = reader.array()?;
                let count = reader.u16().filter(|count| *count <= BATCH_MAX)?;
                let messages =
                    (0..count).map(|_| reader.counted(OCTETS_MAX).map(<[u8]>::to_vec)).collect::<Option<_>>()?;
                Task::Sign { key, messages }
            }
            _ => return None,
        };
        reader.finish()?;
        Some(Self { sequence, label, task })
    }
}

/// What an agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Found(bool),
    Handle { public_key: Vec<u8>, algorithm: SignatureAlgorithm },
    Signatures(Vec<Result<Vec<u8>, SignErrorKind>>),
    Store(KeyStoreErrorKind),
    Denied,
}

impl Answer {
    fn handle(signer: &dyn pki_core::Signer) -> Self {
        Self::Handle { public_key: signer.public_key().to_vec(), algorithm: signer.algorithm() }
    }

    fn encode(&self, sequence: u64) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u64(sequence);
        match self {
            Self::Done => writer.u8(0),
            Self::Found(found) => {
                writer.u8(1);
                writer.u8(u8::from(*found));
            }
            Self::Handle { public_key, algorithm } => {
                writer.u8(2);
                writer.counted(public_key);
                writer.u8(number_of(&SIGNATURES, algorithm));
            }
            Self::Signatures(signatures) => {
                writer.u8(3);
                writer.u16(u16::try_from(signatures.len()).unwrap_or(u16::MAX));
                for signature in signatures {
                    match signature {
                        Ok(signature) => {
                            writer.u8(0);
                            writer.counted(signature);
                        }
                        Err(kind) => {
                            writer.u8(1);
                            writer.u8(sign_error_number(*kind));
                        }
                    }
                }
            }
            Self::Store(kind) => {
                writer.u8(4);
                writer.u8(match kind {
                    KeyStoreErrorKind::NotFound => 1,
                    KeyStoreErrorKind::AlreadyExists => 2,
                    KeyStoreErrorKind::UnsupportedAlgorithm => 3,
                    KeyStoreErrorKind::Unavailable => 4,
                    KeyStoreErrorKind::Other => 0,
                });
            }
            Self::Denied => writer.u8(5),
        }
        writer.0
    }

    fn decode(frame: &[u8], expected: u64) -> Result<Self, ProtocolError> {
        let mut reader = Reader(frame);
        match reader.u64() {
            Some(found) if found != expected => Err(ProtocolError::OutOfOrder { expected, found }),
            Some(_) => Self::read(reader).ok_or(ProtocolError::Malformed("answer")),
            // Too short for a number: what is there must not pass for what follows one.
            None => Err(ProtocolError::Malformed("answer")),
        }
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let answer = match reader.u8()? {
            0 => Self::Done,
            1 => Self::Found(match reader.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            }),
            2 => Self::Handle {
                public_key: reader.counted(OCTETS_MAX)?.to_vec(),
                algorithm: *SIGNATURES.get(usize::from(reader.u8()?))?,
            },
            3 => {
                let count = reader.u16().filter(|count| *count <= BATCH_MAX)?;
                let one = |reader: &mut Reader<'_>| match reader.u8()? {
                    0 => Some(Ok(reader.counted(OCTETS_MAX)?.to_vec())),
                    1 => Some(Err(sign_error_kind(reader.u8()?)?)),
                    _ => None,
                };
                Self::Signatures((0..count).map(|_| one(&mut reader)).collect::<Option<_>>()?)
            }
            4 => Self::Store(match reader.u8()? {
                0 => KeyStoreErrorKind::Other,
                1 => KeyStoreErrorKind::NotFound,
                2 => KeyStoreErrorKind::AlreadyExists,
                3 => KeyStoreErrorKind::UnsupportedAlgorithm,
                4 => KeyStoreErrorKind::Unavailable,
                _ => return None,
            }),
            5 => Self::Denied,
            _ => return None,
        };
        reader.finish()?;
        Some(answer)
    }
}

/// Octets of a stranger as a message of either end; gives back what they were read as, written again.
#[doc(hidden)]
#[must_use]
pub fn read_and_write(frame: &[u8]) -> [Option<Vec<u8>>; 2] {
    let call = Call::decode(frame).ok().map(|call| call.encode());
    let sequence = Reader(frame).u64().unwrap_or_default();
    let answer = Answer::decode(frame, sequence).ok().map(|answer| answer.encode(sequence));
    [call, answer]
}
