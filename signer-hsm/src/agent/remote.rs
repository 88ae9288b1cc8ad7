//! The near end: keys that are elsewhere, as a key store and as signers.

use core::fmt;
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use pki_core::{Fingerprint, SignError, SignErrorKind, SignatureAlgorithm, Signer};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use super::{Answer, BATCH_MAX, Call, Task};
use crate::key_store::{KeyLabel, KeySpec, KeyStore, KeyStoreError, KeyStoreErrorKind};
use crate::service::client::{ClientError, Endpoint};
use crate::service::limits::{Clock, ServerLimits};
use crate::service::protocol::{ProtocolError, Service, Welcome, push_frame};
use crate::service::stream::{Ended, Framed, Stream, Wait};

/// As many connections are kept open as are used at once, and no more than these.
const IDLE_MAX: usize = 8;
/// How many octets of messages go into one frame, unless one message alone has more.
const BATCH_LEN: usize = 1 << 20;

/// The keys of an agent. Every call has a deadline; the key is never here.
///
/// Making and destroying keys needs [`Right::Manage`](super::Right::Manage) on the other side, and is refused without it as
/// [`KeyStoreErrorKind::Other`].
#[derive(Clone, Debug)]
pub struct AgentKeyStore(Arc<Shared>);

struct Shared {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    deadline: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentKeyStore").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

struct Connection {
    framed: Framed<dyn Stream>,
    next: u64,
}

/// Why an agent gave no answer, or another one than to the question.
#[derive(Debug)]
enum CallError {
    Unreached(ClientError),
    /// It was asked, and what it did is unknown.
    Lost(io::Error),
    Protocol(ProtocolError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreached(error) => write!(f, "{error}"),
            Self::Lost(error) => write!(f, "the agent did not answer: {error}"),
            Self::Protocol(error) => write!(f, "the agent answered with {error}"),
        }
    }
}

impl core::error::Error for CallError {}

impl CallError {
    fn sign_kind(&self) -> SignErrorKind {
        match self {
            Self::Unreached(ClientError::TurnedAway(Welcome::Denied)) => SignErrorKind::AccessDenied,
            Self::Unreached(ClientError::Protocol(_)) | Self::Protocol(_) => SignErrorKind::Other,
            Self::Lost(error) if error.kind() == io::ErrorKind::TimedOut => SignErrorKind::TimedOut,
            Self::Unreached(_) | Self::Lost(_) => SignErrorKind::Unavailable,
        }
    }

    fn store_kind(&self) -> KeyStoreErrorKind {
        match self.sign_kind() {
            SignErrorKind::Unavailable | SignErrorKind::TimedOut => KeyStoreErrorKind::Unavailable,
            _ => KeyStoreErrorKind::Other,
        }
    }
}

impl Shared {
    fn call(&self, label: &KeyLabel, task: Task) -> Result<Answer, CallError> {
        let until = self.clock.monotonic().saturating_add(self.deadline);
        let mut call = Call { sequence: 0, label: label.as_str().to_owned(), task };
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let was_kept = kept.is_some();
        let outcome = self.call_on(kept, &mut call, until);
        // A connection that was kept may have ended long ago; signing again is harmless, and so is looking.
        let may_repeat = matches!(call.task, Task::Find | Task::Open | Task::Sign { .. });
        match outcome {
            Err(CallError::Lost(error)) if was_kept && may_repeat && error.kind() != io::ErrorKind::TimedOut => {
                self.call_on(None, &mut call, until)
            }
            outcome => outcome,
        }
    }

    fn call_on(&self, kept: Option<Connection>, call: &mut Call, until: Duration) -> Result<Answer, CallError> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let max = ServerLimits::AGENT.frame_len_max;
                let opened = self.endpoint.open(Service::Agent, max, until, &self.clock);
                Connection { framed: opened.map_err(CallError::Unreached)?, next: 0 }
            }
        };
        call.sequence = connection.next;
        let mut out = Vec::new();
        push_frame(&mut out, &call.encode());
        let asked = connection.framed.send(&out, until);
        let answer = asked.and_then(|()| connection.framed.receive(1, Wait::until(until)));
        let answer = answer.map_err(|ended| match ended {
            Ended::Closed => CallError::Lost(io::ErrorKind::UnexpectedEof.into()),
            Ended::TimedOut => CallError::Lost(io::ErrorKind::TimedOut.into()),
            Ended::Protocol(ProtocolError::Truncated) => CallError::Lost(io::ErrorKind::UnexpectedEof.into()),
            Ended::Protocol(error) => CallError::Protocol(error),
            Ended::Io(error) => CallError::Lost(error),
        })?;
        let answer = answer.first().map_or(&[][..], Vec::as_slice);
        let answer = Answer::decode(answer, connection.next).map_err(CallError::Protocol)?;
        connection.next = connection.next.saturating_add(1);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(answer)
    }
}

impl AgentKeyStore {
    /// The keys of the agent there; each call takes `deadline` at most.
    #[must_use]
    pub fn new(endpoint: Endpoint, clock: Arc<dyn Clock>, deadline: Duration) -> Self {
        Self(Arc::new(Shared { endpoint, clock, deadline, idle: Mutex::default() }))
    }

    fn call(&self, label: &KeyLabel, task: Task) -> Result<Answer, KeyStoreError> {
        let answer = self.0.call(label, task);
        match answer.map_err(|error| KeyStoreError::with_source(error.store_kind(), label.clone(), error))? {
            Answer::Store(kind) => Err(KeyStoreError::new(kind, label.clone())),
            Answer::Denied => {
                let denied = SignError::new(SignErrorKind::AccessDenied);
                Err(KeyStoreError::with_source(KeyStoreErrorKind::Other, label.clone(), denied))
            }
            answer => Ok(answer),
        }
    }

    fn handle(&self, label: &KeyLabel, answer: Answer) -> Result<Arc<dyn Signer>, KeyStoreError> {
        let Answer::Handle { public_key, algorithm } = answer else { return Err(other_kind(label)) };
        let key = *Fingerprint::of(&public_key).as_bytes();
        let (public_key, shared) = (SubjectPublicKeyInfoDer::from(public_key), Arc::clone(&self.0));
        Ok(Arc::new(AgentSigner { shared, label: label.clone(), key, public_key, algorithm }))
    }
}

fn other_kind(label: &KeyLabel) -> KeyStoreError {
    let error = ProtocolError::Malformed("answer of another kind");
    KeyStoreError::with_source(KeyStoreErrorKind::Other, label.clone(), error)
}

impl KeyStore for AgentKeyStore {
    fn find(&self, label: &KeyLabel) -> Result<bool, KeyStoreError> {
        match self.call(label, Task::Find)? {
            Answer::Found(found) => Ok(found),
            _ => Err(other_kind(label)),
        }
    }

    fn generate(&self, label: &KeyLabel, spec: KeySpec) -> Result<Arc<dyn Signer>, KeyStoreError> {
        let answer = self.call(label, Task::Generate(spec.algorithm))?;
        self.handle(label, answer)
    }

    fn open(&self, label: &KeyLabel) -> Result<Arc<dyn Signer>, KeyStoreError> {
        let answer = self.call(label, Task::Open)?;
        self.handle(label, answer)
    }

    fn destroy(&self, label: &KeyLabel) -> Result<(), KeyStoreError> {
        match self.call(label, Task::Destroy)? {
            Answer::Done => Ok(()),
            _ => Err(other_kind(label)),
        }
    }
}

/// A key of an agent. It is one key: when its label has another one, it is not found.
///
/// What the agent says of a signature keeps its kind; where the agent does not answer it is
/// [`SignErrorKind::Unavailable`] or [`SignErrorKind::TimedOut`].
#[derive(Debug)]
pub struct AgentSigner {
    shared: Arc<Shared>,
    label: KeyLabel,
    key: [u8; 32],
    public_key: SubjectPublicKeyInfoDer<'static>,
    algorithm: SignatureAlgorithm,
}

impl AgentSigner {
    fn sign_some(&self, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignError>> {
        let task = Task::Sign { key: self.key, messages: messages.iter().map(|message| message.to_vec()).collect() };
        let failed = |kind| messages.iter().map(|_| Err(SignError::new(kind))).collect();
        match self.shared.call(&self.label, task) {
            Ok(Answer::Signatures(signatures)) if signatures.len() == messages.len() => {
                signatures.into_iter().map(|signature| signature.map_err(SignError::new)).collect()
            }
            Ok(Answer::Denied) => failed(SignErrorKind::AccessDenied),
            Ok(Answer::Store(KeyStoreErrorKind::NotFound)) => failed(SignErrorKind::KeyNotFound),
            Ok(Answer::Store(KeyStoreErrorKind::Unavailable)) => failed(SignErrorKind::Unavailable),
            Ok(_) => failed(SignErrorKind::Other),
            Err(error) => {
                let error = Arc::new(error);
                let one = || SignError::with_source(error.sign_kind(), error.to_string());
                messages.iter().map(|_| Err(one())).collect()
            }
        }
    }
}

impl Signer for AgentSigner {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        &self.public_key
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let len_max = self.algorithm.signature_len_max();
        if signature.len() < len_max {
            return Err(SignError::new(SignErrorKind::BufferTooSmall));
        }
        let made = self.sign_some(&[message]).pop().unwrap_or_else(|| Err(SignError::new(SignErrorKind::Other)))?;
        // What is longer is none of this algorithm.
        let room = signature.get_mut(..made.len()).filter(|_| made.len() <= len_max);
        room.ok_or_else(|| SignError::new(SignErrorKind::Other))?.copy_from_slice(&made);
        Ok(made.len())
    }

    fn sign_batch(&self, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignError>> {
        let mut signatures = Vec::with_capacity(messages.len());
        let mut rest = messages;
        while !rest.is_empty() {
            let mut length = 0_usize;
            let fits = rest.iter().take(usize::from(BATCH_MAX)).take_while(|message| {
                length = length.saturating_add(message.len());
                length <= BATCH_LEN
            });
            let (some, others) = rest.split_at(fits.count().max(1).min(rest.len()));
            signatures.extend(self.sign_some(some));
            rest = others;
        }
        signatures
    }
}
