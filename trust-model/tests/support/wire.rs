//! A client and a server of `rustls`, joined by memory, and keys that only sign.

use std::io::{Read, Write};
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA256, RsaKeyPair};
use pki_core::{SignError, SignErrorKind, SignatureAlgorithm, Signer};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, ConnectionCommon, ServerConfig, ServerConnection, SideData};
use rustls_pki_types::{ServerName, SubjectPublicKeyInfoDer, UnixTime};

use crate::pki::NOW;

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct Clock(pub(crate) u64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.0)))
    }
}

pub(crate) fn clock() -> Arc<Clock> {
    Arc::new(Clock(NOW.try_into().unwrap()))
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A key that signs and shows nothing else of itself, as one in a token does.
#[derive(Debug)]
pub(crate) struct TokenKey {
    public_key: SubjectPublicKeyInfoDer<'static>,
    algorithm: SignatureAlgorithm,
    key: Option<KeyPair>,
}

impl TokenKey {
    pub(crate) fn new(algorithm: SignatureAlgorithm, key: KeyPair) -> Arc<Self> {
        Arc::new(Self { public_key: key.subject_public_key_info().into(), algorithm, key: Some(key) })
    }

    /// The same key after its token was pulled.
    pub(crate) fn pulled(&self) -> Arc<Self> {
        Arc::new(Self { public_key: self.public_key.clone(), algorithm: self.algorithm, key: None })
    }
}

impl Signer for TokenKey {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        &self.public_key
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let key = self.key.as_ref().ok_or(SignError::new(SignErrorKind::Unavailable))?;
        let made = if self.algorithm == SignatureAlgorithm::RsaPssSha256 {
            let key = RsaKeyPair::from_pkcs8(key.serialized_der()).unwrap();
            let mut made = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut made).unwrap();
            made
        } else {
            key.sign(message).unwrap()
        };
        signature[..made.len()].copy_from_slice(&made);
        Ok(made.len())
    }
}

/// How a connection went: what each end made of the other, and what the client read afterwards.
pub(crate) struct Meeting {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
    pub(crate) client_error: Option<rustls::Error>,
    pub(crate) server_error: Option<rustls::Error>,
    pub(crate) answer: Vec<u8>,
}

/// What a server sends to a client that it accepted.
const ANSWER: &[u8] = b"served";

impl Meeting {
    /// Whether the client was served. In TLS 1.3 a client that finished its handshake knows nothing yet:
    /// the server judges its certificate afterwards.
    pub(crate) fn served(&self) -> bool {
        self.client_error.is_none() && self.server_error.is_none() && self.answer == ANSWER
    }

    pub(crate) fn why(&self) -> String {
        format!("client: {:?}, server: {:?}, answer: {:?}", self.client_error, self.server_error, self.answer)
    }
}

/// Carries what one end has to say to the other, and notes why that one gave up.
fn carry<A: SideData, B: SideData>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
    to_error: &mut Option<rustls::Error>,
) {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut wire = wire.as_slice();
    while !wire.is_empty() && to_error.is_none() {
        to.read_tls(&mut wire).unwrap();
        *to_error = to.process_new_packets().err();
    }
}

/// Lets a client dial a server, until the client has its answer or one of them has given up.
pub(crate) fn meet(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, dialled: &str) -> Meeting {
    let dialled = ServerName::try_from(dialled.to_owned()).unwrap();
    let mut meeting = Meeting {
        client: ClientConnection::new(Arc::clone(client), dialled).unwrap(),
        server: ServerConnection::new(Arc::clone(server)).unwrap(),
        client_error: None,
        server_error: None,
        answer: Vec::new(),
    };
    let mut answered = false;
    while meeting.client.wants_write() || meeting.server.wants_write() {
        carry(&mut meeting.client, &mut meeting.server, &mut meeting.server_error);
        if !answered && meeting.server_error.is_none() && !meeting.server.is_handshaking() {
            meeting.server.writer().write_all(ANSWER).unwrap();
            answered = true;
        }
        carry(&mut meeting.server, &mut meeting.client, &mut meeting.client_error);
    }
    // An end that gave up, or that has no more to say, ends this with an error of its own kind.
    let _ = meeting.client.reader().read_to_end(&mut meeting.answer);
    meeting
}
