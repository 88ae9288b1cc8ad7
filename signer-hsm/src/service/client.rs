//! Asking a service, and believing nothing that it says: every certificate is checked before it is given on.
//!
//! Calls block, at most for their deadline. When no answer comes it is not known whether a certificate was issued
//! ([`ClientError::OutcomeUnknown`]); the same [`Order`] again gives the same certificate.

use core::error::Error;
use core::fmt;
use core::time::Duration;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use pki_core::verify::{SubjectPublicKey, Verifiers, VerifyError};
use pki_core::{
    AuthorityRole, CaCertificate, CaVersion, CertificationRequest, ClusterId, DecodeError, LeafIdentity, LeafKind,
    Limits, NodeName, RequestError, Subject, SubjectAltName,
};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use time::UtcDateTime;

use super::epoch::SignerEpoch;
use super::limits::{Clock, ServerLimits};
use super::protocol::{
    Ask, GenerationAsk, Hello, LeafAsk, Outcome, ProtocolError, Refusal, Request, RequestId, Response, Service,
    SignerAsk, VERSION, Welcome, push_frame,
};
use super::stream::{Ended, Framed, Stream, Timed, Wait, connect_unix, left};
use crate::der::{BIT_STRING, CONTEXT_0, Elements, INTEGER, SEQUENCE};

/// Where a service is.
#[derive(Clone)]
#[non_exhaustive]
pub enum Endpoint {
    /// At a socket of this machine.
    Unix(PathBuf),
    /// Behind TLS over TCP. The configuration has the client's certificate and the service's anchors.
    #[cfg(feature = "service-tls")]
    Tls {
        /// Where.
        address: std::net::SocketAddr,
        /// The name that the service must prove.
        name: rustls_pki_types::ServerName<'static>,
        /// With what.
        config: Arc<rustls::ClientConfig>,
    },
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            #[cfg(feature = "service-tls")]
            Self::Tls { address, name, .. } => f.debug_tuple("Tls").field(address).field(name).finish(),
        }
    }
}

impl Endpoint {
    fn connect(&self, until: Duration, clock: &Arc<dyn Clock>) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(path) => Ok(Box::new(Timed::new(connect_unix(path, until, &**clock)?, Arc::clone(clock)))),
            #[cfg(feature = "service-tls")]
            Self::Tls { address, name, config } => {
                let stream = std::net::TcpStream::connect_timeout(address, left(until, &**clock)?)?;
                stream.set_nodelay(true)?;
                let tls = rustls::ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
                Ok(Box::new(rustls::StreamOwned::new(tls, Timed::new(stream, Arc::clone(clock)))))
            }
        }
    }

    /// A connection on which the service has said until then that it is ready.
    pub(crate) fn open(
        &self,
        service: Service,
        frame_len_max: usize,
        until: Duration,
        clock: &Arc<dyn Clock>,
    ) -> Result<Framed<dyn Stream>, ClientError> {
        let stream = self.connect(until, clock).map_err(ClientError::Unavailable)?;
        let mut framed = Framed::new(stream, frame_len_max);
        let mut out = Vec::new();
        push_frame(&mut out, &Hello::new(service, Welcome::Ready).encode());
        framed.send(&out, until).map_err(unavailable)?;
        let answer = framed.receive(1, Wait::until(until)).map_err(unavailable)?;
        let hello = Hello::decode(answer.first().map_or(&[], Vec::as_slice)).map_err(ClientError::Protocol)?;
        match hello.welcome {
            Welcome::Ready if hello.version == VERSION && hello.service == service => Ok(framed),
            Welcome::Ready => Err(ClientError::Protocol(ProtocolError::NotThisProtocol)),
            welcome => Err(ClientError::TurnedAway(welcome)),
        }
    }
}

fn unavailable(ended: Ended) -> ClientError {
    match ended {
        Ended::Closed => ClientError::Unavailable(io::ErrorKind::UnexpectedEof.into()),
        Ended::TimedOut => ClientError::Unavailable(io::ErrorKind::TimedOut.into()),
        Ended::Protocol(error) => ClientError::Protocol(error),
        Ended::Io(error) => ClientError::Unavailable(error),
    }
}

/// Why there is no certificate.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The service cannot be reached: nothing was asked.
    Unavailable(io::Error),
    /// The service let nobody in.
    TurnedAway(Welcome),
    /// No answer came: whether a certificate was issued is not known. Ask again with the same order.
    OutcomeUnknown {
        /// The request.
        id: RequestId,
        /// What came instead.
        source: io::Error,
    },
    /// The service refused.
    Refused(Refusal),
    /// What came is not the protocol.
    Protocol(ProtocolError),
    /// The certificate is not the one that was asked for.
    Answer(AnswerFault),
}

impl ClientError {
    /// Whether the same order may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::OutcomeUnknown { .. } => true,
            Self::TurnedAway(welcome) => matches!(welcome, Welcome::Full | Welcome::Draining),
            Self::Refused(refusal) => refusal.is_retryable(),
            Self::Protocol(_) | Self::Answer(_) => false,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(error) => write!(f, "the service cannot be reached: {error}"),
            Self::TurnedAway(welcome) => f.write_str(match welcome {
                Welcome::UnknownVersion => "the service speaks another version",
                Welcome::OtherService => "another service is there",
                Welcome::Denied => "the service does not know the caller",
                Welcome::Full => "the service has too many connections",
                Welcome::Draining => "the service is about to end",
                Welcome::Ready => "the service said nothing",
            }),
            Self::OutcomeUnknown { id, source } => {
                write!(f, "no answer to request {id}, so the outcome is unknown: {source}")
            }
            Self::Refused(refusal) => write!(f, "refused: {refusal}"),
            Self::Protocol(error) => write!(f, "{error}"),
            Self::Answer(fault) => write!(f, "the certificate is not what was asked for: {fault}"),
        }
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(error) | Self::OutcomeUnknown { source: error, .. } => Some(error),
            Self::Refused(refusal) => Some(refusal),
            Self::Protocol(error) => Some(error),
            Self::Answer(fault) => Some(fault),
            Self::TurnedAway(_) => None,
        }
    }
}

/// What is wrong with a certificate that a service gave.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerFault {
    /// It cannot be read.
    Malformed(DecodeError),
    /// Its form is not that of a certificate.
    NotACertificate,
    /// Another issuer is named.
    Issuer,
    /// It is for another key.
    Key,
    /// It has another subject.
    Subject,
    /// It has other alternative names.
    Names,
    /// It is not valid now.
    Validity,
    /// The signature is not the issuer's.
    Signature(VerifyError),
    /// Another signer is named than the one that was ordered.
    OtherSigner,
    /// The outcome is of another kind than what was asked.
    OtherKind,
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "{error}"),
            Self::NotACertificate => f.write_str("it has not the form of a certificate"),
            Self::Issuer => f.write_str("it names another issuer"),
            Self::Key => f.write_str("it is for another key"),
            Self::Subject => f.write_str("it has another subject"),
            Self::Names => f.write_str("it has other alternative names"),
            Self::Validity => f.write_str("it is not valid now"),
            Self::Signature(error) => write!(f, "{error}"),
            Self::OtherSigner => f.write_str("it names another signer than the one that was ordered"),
            Self::OtherKind => f.write_str("it is an answer of another kind"),
        }
    }
}

impl Error for AnswerFault {}

/// What a certificate must be to be the answer to a request.
#[derive(Clone, Debug)]
pub struct Expected {
    public_key: SubjectPublicKeyInfoDer<'static>,
    subject: Subject,
    names: Vec<SubjectAltName>,
}

impl Expected {
    /// Of this key and these names.
    #[must_use]
    pub fn new(
        public_key: SubjectPublicKeyInfoDer<'static>,
        subject: Subject,
        names: impl IntoIterator<Item = SubjectAltName>,
    ) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        Self { public_key, subject, names }
    }

    /// What a request asks for, which somebody else has made.
    ///
    /// # Errors
    /// When it is not an acceptable request: no service would take it either.
    pub fn of_request(csr: &[u8], verifiers: Verifiers<'_>) -> Result<Self, RequestError> {
        let request = CertificationRequest::parse(csr, &Limits::DEFAULT)?.verify(verifiers)?;
        let names = request.subject_alt_names().to_vec();
        Ok(Self::new(request.public_key().to_owned_der(), request.subject().to_subject(), names))
    }

    /// Checks a certificate: signature and name of the issuer, key, names, and that it is valid now.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(
        &self,
        certificate: &[u8],
        issuer: &CaCertificate,
        verifiers: Verifiers<'_>,
        now: UtcDateTime,
    ) -> Result<(), AnswerFault> {
        let identity = LeafIdentity::parse(certificate, &Limits::DEFAULT).map_err(AnswerFault::Malformed)?;
        let parts = Parts::of(certificate).ok_or(AnswerFault::NotACertificate)?;
        if parts.issuer != issuer.subject_der() || identity.authority_key_id() != Some(issuer.subject_key_id()) {
            return Err(AnswerFault::Issuer);
        }
        if parts.public_key != &*self.public_key {
            return Err(AnswerFault::Key);
        }
        if *identity.subject() != self.subject {
            return Err(AnswerFault::Subject);
        }
        let mut names = identity.subject_alt_names().to_vec();
        names.sort_unstable();
        if names != self.names {
            return Err(AnswerFault::Names);
        }
        if !identity.validity().contains(now) {
            return Err(AnswerFault::Validity);
        }
        let key = SubjectPublicKey::parse(issuer.public_key()).map_err(AnswerFault::Malformed)?;
        verifiers
            .verify(&key, key.algorithm().certificate_signature(), parts.signed, parts.signature)
            .map_err(AnswerFault::Signature)
    }
}

/// The parts of a certificate that no other reader gives.
struct Parts<'c> {
    signed: &'c [u8],
    issuer: &'c [u8],
    public_key: &'c [u8],
    signature: &'c [u8],
}

impl<'c> Parts<'c> {
    fn of(certificate: &'c [u8]) -> Option<Self> {
        let mut outer = Elements::new(certificate);
        let mut fields = Elements::new(outer.take(SEQUENCE)?);
        let signed = fields.take_whole(SEQUENCE)?;
        fields.take(SEQUENCE)?;
        let (0, signature) = fields.take(BIT_STRING)?.split_first()? else { return None };
        (outer.is_empty() && fields.is_empty()).then_some(())?;
        let mut tbs = Elements::new(Elements::new(signed).take(SEQUENCE)?);
        tbs.take(CONTEXT_0)?;
        tbs.take(INTEGER)?;
        tbs.take(SEQUENCE)?;
        let issuer = tbs.take_whole(SEQUENCE)?;
        tbs.take(SEQUENCE)?;
        tbs.take(SEQUENCE)?;
        let public_key = tbs.take_whole(SEQUENCE)?;
        Some(Self { signed, issuer, public_key, signature })
    }
}

/// Who signs for an authority, as a service says it. Whether the certificate is to be trusted is the caller's to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CurrentAuthority {
    /// What requests have to name.
    pub epoch: SignerEpoch,
    /// Which generation.
    pub version: CaVersion,
    /// Its certificate.
    pub certificate: CaCertificate,
}

/// One certificate to be asked for, with everything that makes its request the same when it is made again.
#[derive(Clone, Debug)]
pub struct Order {
    id: RequestId,
    cluster: ClusterId,
    role: AuthorityRole,
    epoch: SignerEpoch,
    ask: Ask,
    issuer: CaCertificate,
    expected: Expected,
}

impl Order {
    /// An order under an identifier from the caller's entropy, to an authority that the caller trusts.
    #[must_use]
    pub fn new(
        id: RequestId,
        cluster: ClusterId,
        role: AuthorityRole,
        authority: &CurrentAuthority,
        ask: Ask,
        expected: Expected,
    ) -> Self {
        let (epoch, issuer) = (authority.epoch, authority.certificate.clone());
        Self { id, cluster, role, epoch, ask, issuer, expected }
    }

    /// The identifier.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }
}

/// Where an operator's order goes, and which epoch it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    id: RequestId,
    cluster: ClusterId,
    role: AuthorityRole,
    epoch: SignerEpoch,
}

impl Operation {
    /// To an authority of a cluster, under an identifier from the caller's entropy, in the epoch that the caller knows.
    #[must_use]
    pub const fn new(id: RequestId, cluster: ClusterId, role: AuthorityRole, epoch: SignerEpoch) -> Self {
        Self { id, cluster, role, epoch }
    }

    fn request(&self, ask: Ask) -> Request {
        let (cluster, role) = (self.cluster.to_string(), self.role.id().to_owned());
        Request { sequence: 0, id: self.id, cluster, role, epoch: self.epoch, ask }
    }
}

impl Ask {
    /// A leaf of a component, for as long as the policy has it.
    #[must_use]
    pub fn leaf(leaf: LeafKind, node: Option<&NodeName>, csr: Vec<u8>) -> Self {
        let node = node.map(|node| node.as_str().to_owned());
        Self::Leaf(LeafAsk { profile: leaf.id().to_owned(), node, lifetime_seconds: None, csr })
    }

    /// What a signer of `certificates.k8s.io` signs.
    #[must_use]
    pub const fn signer(ask: SignerAsk) -> Self {
        Self::Signer(ask)
    }
}

/// A connection to a service, opened when it is needed.
pub struct Client {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    verifiers: Verifiers<'static>,
    deadline: Duration,
    attempts: u32,
    open: Option<(Framed<dyn Stream>, u64)>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// How much is on its way at once when several certificates are asked for: less than a socket holds in each direction, so that
/// neither end waits for the other to read.
const WINDOW: usize = 64;
const WINDOW_LEN: usize = 64 << 10;

impl Client {
    /// Of the service there. Each call takes `deadline` at most, and makes a request three times when the connection
    /// breaks.
    #[must_use]
    pub fn new(endpoint: Endpoint, clock: Arc<dyn Clock>, verifiers: Verifiers<'static>, deadline: Duration) -> Self {
        Self { endpoint, clock, verifiers, deadline, attempts: 3, open: None }
    }

    /// Making a request so many times, and once at least.
    #[must_use]
    pub const fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Asks who signs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn current(&mut self, cluster: &ClusterId, role: AuthorityRole) -> Result<CurrentAuthority, ClientError> {
        let request = Request {
            sequence: 0,
            id: RequestId([0; 16]),
            cluster: cluster.to_string(),
            role: role.id().to_owned(),
            epoch: SignerEpoch::FIRST,
            ask: Ask::Current,
        };
        authority_of(self.again(&request)?)
    }

    /// Has this generation, which the service holds, sign from here on. The service must take the caller for an operator of the
    /// cluster. When the connection breaks the same order is given again, which is harmless: it follows one epoch, and is carried
    /// out once at most.
    ///
    /// # Errors
    /// [`ClientError`]. After [`Refusal::StaleEpoch`] somebody else has switched, or this order was carried out and something
    /// has followed it: [`current`](Self::current) says which.
    pub fn switch(
        &mut self,
        operation: &Operation,
        to: CaVersion,
        certificate: &CaCertificate,
    ) -> Result<CurrentAuthority, ClientError> {
        let ask = Ask::Switch(GenerationAsk { version: to, key: *certificate.id().as_bytes() });
        let now = authority_of(self.again(&operation.request(ask))?)?;
        let is_done =
            operation.epoch.next() == Some(now.epoch) && now.version == to && now.certificate.id() == certificate.id();
        if is_done { Ok(now) } else { Err(ClientError::Answer(AnswerFault::OtherSigner)) }
    }

    /// Ends this generation, which must not be the one that signs: nothing switches to it any more, and there is no way back. The
    /// service lets go of its key. Harmless when it is done again.
    ///
    /// # Errors
    /// [`ClientError`]; [`Refusal::Signing`] for the one that signs.
    pub fn retire(
        &mut self,
        operation: &Operation,
        version: CaVersion,
        certificate: &CaCertificate,
    ) -> Result<CurrentAuthority, ClientError> {
        let ask = Ask::Retire(GenerationAsk { version, key: *certificate.id().as_bytes() });
        let now = authority_of(self.again(&operation.request(ask))?)?;
        let is_possible = now.epoch >= operation.epoch && now.version != version;
        if is_possible { Ok(now) } else { Err(ClientError::Answer(AnswerFault::OtherSigner)) }
    }

    /// Asks for a certificate, and checks it. When the connection breaks the same request is made again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn issue(&mut self, order: &Order) -> Result<CertificateDer<'static>, ClientError> {
        let outcome = self.again(&order.request(0))?;
        self.accept(order, outcome)
    }

    /// Asks for several certificates on one connection, without waiting for one before the next is asked for. None is asked
    /// for twice.
    pub fn issue_all(&mut self, orders: &[Order]) -> Vec<Result<CertificateDer<'static>, ClientError>> {
        let until = self.clock.monotonic().saturating_add(self.deadline);
        let mut results = Vec::with_capacity(orders.len());
        let mut arrived = Vec::new();
        let broken = self.pipeline(orders, until, &mut arrived, &mut results);
        results.extend(arrived.into_iter().map(|(order, outcome)| self.accept(order, outcome)));
        if let Err(error) = broken {
            self.open = None;
            let sent = results.len();
            results.push(Err(error));
            for order in orders.iter().skip(sent.saturating_add(1)) {
                results.push(Err(unknown(order.id, io::ErrorKind::BrokenPipe.into())));
            }
            results.truncate(orders.len());
        }
        results
    }

    /// What has arrived is checked when the next ones are on their way; what is not checked yet when it ends is left to the
    /// caller.
    fn pipeline<'o>(
        &mut self,
        orders: &'o [Order],
        until: Duration,
        arrived: &mut Vec<(&'o Order, Outcome)>,
        results: &mut Vec<Result<CertificateDer<'static>, ClientError>>,
    ) -> Result<(), ClientError> {
        let mut waiting: std::collections::VecDeque<(&Order, u64, usize)> = std::collections::VecDeque::new();
        let mut orders = orders.iter().peekable();
        let mut on_the_way = 0_usize;
        while orders.peek().is_some() || !waiting.is_empty() {
            self.has_time(until).map_err(|error| match waiting.front() {
                Some((order, ..)) => unknown(order.id, io::ErrorKind::TimedOut.into()),
                None => error,
            })?;
            self.connect(until)?;
            let Some((framed, next)) = &mut self.open else { continue };
            let mut out = Vec::new();
            // Half of the window at a time: fewer, larger writes, while the other half is worked on.
            if waiting.len() <= WINDOW / 2 {
                while waiting.len() < WINDOW && (on_the_way < WINDOW_LEN || waiting.is_empty()) {
                    let Some(order) = orders.next() else { break };
                    let before = out.len();
                    push_frame(&mut out, &order.request(*next).encode());
                    let length = out.len().saturating_sub(before);
                    on_the_way = on_the_way.saturating_add(length);
                    waiting.push_back((order, *next, length));
                    *next = next.saturating_add(1);
                }
            }
            let oldest = waiting.front().map_or(RequestId([0; 16]), |(order, ..)| order.id);
            if !out.is_empty() {
                framed.send(&out, until).map_err(|ended| outcome_unknown(oldest, ended))?;
            }
            // While the service works on the next ones.
            results.extend(arrived.drain(..).map(|(order, outcome)| self.accept(order, outcome)));
            let Some((framed, _)) = &mut self.open else { continue };
            let frames = framed.receive(WINDOW, Wait::until(until));
            for frame in frames.map_err(|ended| outcome_unknown(oldest, ended))? {
                let response = Response::decode(&frame).map_err(ClientError::Protocol)?;
                let Some((order, sequence, length)) = waiting.pop_front() else {
                    return Err(ClientError::Protocol(ProtocolError::OtherRequest));
                };
                on_the_way = on_the_way.saturating_sub(length);
                let outcome = outcome_of(response, sequence, order.id)?;
                arrived.push((order, outcome));
            }
        }
        Ok(())
    }

    fn accept(&self, order: &Order, outcome: Outcome) -> Result<CertificateDer<'static>, ClientError> {
        match outcome {
            Outcome::Certificate(certificate) => {
                let checked = order.expected.check(&certificate, &order.issuer, self.verifiers, self.clock.now());
                checked.map_err(ClientError::Answer)?;
                Ok(certificate.into())
            }
            outcome => Err(refused(outcome)),
        }
    }

    /// Makes a request as often as the connection breaks, within the deadline.
    fn again(&mut self, request: &Request) -> Result<Outcome, ClientError> {
        let until = self.clock.monotonic().saturating_add(self.deadline);
        let mut left = self.attempts;
        let mut asked = false;
        loop {
            left = left.saturating_sub(1);
            // Of what was asked once nobody may think that it never was.
            let outcome = self.once(request, until).map_err(|error| match error {
                ClientError::Unavailable(source) if asked => unknown(request.id, source),
                ClientError::TurnedAway(_) if asked => unknown(request.id, io::ErrorKind::ConnectionRefused.into()),
                error => error,
            });
            match outcome {
                Err(ClientError::OutcomeUnknown { source, .. })
                    if left > 0 && source.kind() != io::ErrorKind::TimedOut =>
                {
                    asked = true;
                    self.open = None;
                }
                outcome => {
                    if matches!(&outcome, Err(error) if !matches!(error, ClientError::Refused(_))) {
                        self.open = None;
                    }
                    return outcome;
                }
            }
        }
    }

    fn once(&mut self, request: &Request, until: Duration) -> Result<Outcome, ClientError> {
        self.has_time(until)?;
        self.connect(until)?;
        let Some((framed, next)) = &mut self.open else {
            return Err(ClientError::Unavailable(io::ErrorKind::NotConnected.into()));
        };
        let sequence = *next;
        let mut out = Vec::new();
        push_frame(&mut out, &Request { sequence, ..request.clone() }.encode());
        let asked = framed.send(&out, until);
        let answer = asked.and_then(|()| framed.receive(1, Wait::until(until)));
        let answer = answer.map_err(|ended| outcome_unknown(request.id, ended))?;
        *next = next.saturating_add(1);
        let response = Response::decode(answer.first().map_or(&[], Vec::as_slice)).map_err(ClientError::Protocol)?;
        outcome_of(response, sequence, request.id)
    }

    fn connect(&mut self, until: Duration) -> Result<(), ClientError> {
        if self.open.is_none() {
            let max = ServerLimits::DEFAULT.frame_len_max;
            self.open = Some((self.endpoint.open(Service::Issuing, max, until, &self.clock)?, 0));
        }
        Ok(())
    }

    /// What is out of time is not asked any more.
    fn has_time(&self, until: Duration) -> Result<(), ClientError> {
        left(until, &*self.clock).map(drop).map_err(ClientError::Unavailable)
    }
}

impl Order {
    fn request(&self, sequence: u64) -> Request {
        Request {
            sequence,
            id: self.id,
            cluster: self.cluster.to_string(),
            role: self.role.id().to_owned(),
            epoch: self.epoch,
            ask: self.ask.clone(),
        }
    }
}

const fn unknown(id: RequestId, source: io::Error) -> ClientError {
    ClientError::OutcomeUnknown { id, source }
}

fn outcome_unknown(id: RequestId, ended: Ended) -> ClientError {
    match ended {
        Ended::Closed | Ended::Protocol(ProtocolError::Truncated) => unknown(id, io::ErrorKind::UnexpectedEof.into()),
        Ended::TimedOut => unknown(id, io::ErrorKind::TimedOut.into()),
        Ended::Protocol(error) => ClientError::Protocol(error),
        Ended::Io(error) => unknown(id, error),
    }
}

fn outcome_of(response: Response, expected: u64, id: RequestId) -> Result<Outcome, ClientError> {
    if response.sequence != expected {
        let found = response.sequence;
        return Err(ClientError::Protocol(ProtocolError::OutOfOrder { expected, found }));
    }
    if response.id != id {
        return Err(ClientError::Protocol(ProtocolError::OtherRequest));
    }
    Ok(response.outcome)
}

fn authority_of(outcome: Outcome) -> Result<CurrentAuthority, ClientError> {
    match outcome {
        Outcome::Authority { epoch, version, certificate } => {
            let certificate = CaCertificate::parse(CertificateDer::from(certificate));
            let certificate = certificate.map_err(|error| ClientError::Answer(AnswerFault::Malformed(error)))?;
            let version = CaVersion::new(version).ok_or(ClientError::Answer(AnswerFault::OtherKind))?;
            Ok(CurrentAuthority { epoch, version, certificate })
        }
        outcome => Err(refused(outcome)),
    }
}

fn refused(outcome: Outcome) -> ClientError {
    match outcome {
        Outcome::Refused(refusal) => ClientError::Refused(refusal),
        _ => ClientError::Answer(AnswerFault::OtherKind),
    }
}
