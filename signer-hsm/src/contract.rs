//! The contract of [`Signer`] and of [`KeyStore`], as checks that every backend passes.
//!
//! Run them in a backend's own tests, against the real token and through the
//! verifiers that will judge its signatures. They assert nothing and never panic:
//! the first broken rule comes back as a [`ContractViolation`].

use core::error::Error;
use core::fmt;
use core::time::Duration;
use std::sync::{Arc, mpsc};
use std::thread;

use pki_core::{KeyAlgorithm, SignError, SignErrorKind, Signer};
use rustls_pki_types::SignatureVerificationAlgorithm;

use crate::der::{Elements, INTEGER, PublicKeyParts, SEQUENCE, positive_bits};
use crate::key_store::{KeyLabel, KeySpec, KeyStore, KeyStoreError, KeyStoreErrorKind};

const SHORT: &[u8] = b"a message";
/// More than any token takes in one piece, so a backend must hash on its own or in parts.
const LARGE_LEN: usize = 1024 * 1024;
/// Enough to meet in a pool of any usual size.
const THREADS: u8 = 4;
const SIGNATURES_PER_THREAD: u8 = 8;

/// Checks one signer against [`Signer`]'s contract.
///
/// `verify` holds the algorithms to judge with; one must fit the signer.
/// About 40 signatures are made. A backend with an allowlist of messages cannot pass.
///
/// # Errors
/// The first rule that the signer breaks.
pub fn check_signer(
    signer: &dyn Signer,
    verify: &[&'static dyn SignatureVerificationAlgorithm],
) -> Result<(), ContractViolation> {
    let large = vec![0xa5; LARGE_LEN];
    let subject = Subject::new(signer, verify)?;
    for message in [&[], SHORT, &large] {
        subject.check_message(message)?;
    }
    subject.check_short_buffers()?;
    subject.check_batch(&[&[], SHORT, &large, SHORT])?;
    subject.check_batch(&[])?;
    subject.check_threads()?;
    subject.check_constant()
}

/// Checks what a signer says while its backend is away, and that the same handle signs once it is back.
///
/// `cut` takes the backend away: it stops the service or pulls the token. `restore` brings it back. `deadline` is how
/// long one call may take at most; a call that takes longer is left behind in its thread.
///
/// # Errors
/// The first rule that the signer breaks.
pub fn check_outage(
    signer: &Arc<dyn Signer>,
    deadline: Duration,
    verify: &[&'static dyn SignatureVerificationAlgorithm],
    cut: impl FnOnce(),
    restore: impl FnOnce(),
) -> Result<(), ContractViolation> {
    let subject = Subject::new(&**signer, verify)?;
    cut();
    let single = within(signer, deadline, |signer| vec![pki_core::sign_to_vec(signer, SHORT)]);
    let batch = within(signer, deadline, |signer| signer.sign_batch(&[SHORT]));
    let constant = subject.check_constant();
    restore();
    let (single, batch) = single.zip(batch).ok_or_else(|| ContractRule::OutageEndsInTime.broken())?;
    for outcome in single.into_iter().chain(batch) {
        match outcome {
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(ContractRule::OutageIsRetryable.broken_by(error)),
            Ok(_) => return Err(ContractRule::OutageIsRetryable.broken()),
        }
    }
    constant?;
    subject.check_message(SHORT).map_err(|violation| ContractRule::HandleRecovers.broken_by(violation))
}

type Outcomes = Vec<Result<Vec<u8>, SignError>>;

/// Calls in a thread of its own, so that a call without an end ends no test.
fn within(signer: &Arc<dyn Signer>, deadline: Duration, call: fn(&dyn Signer) -> Outcomes) -> Option<Outcomes> {
    let signer = Arc::clone(signer);
    let (answer, answered) = mpsc::channel();
    thread::spawn(move || answer.send(call(&*signer)));
    answered.recv_timeout(deadline).ok()
}

/// Checks a store against [`KeyStore`]'s contract, and its keys with [`check_signer`].
///
/// `labels` are two different labels that the store does not hold. Their keys are
/// generated and destroyed here; after a violation too, as far as the store lets it.
///
/// # Errors
/// The first rule that the store or one of its keys breaks.
pub fn check_key_store(
    store: &dyn KeyStore,
    labels: [&KeyLabel; 2],
    spec: KeySpec,
    verify: &[&'static dyn SignatureVerificationAlgorithm],
) -> Result<(), ContractViolation> {
    let [first, second] = labels;
    check_absent(store, first, ContractRule::UnknownLabelIsAbsent)?;
    check_absent(store, second, ContractRule::UnknownLabelIsAbsent)?;
    let outcome = check_life(store, first, second, spec, verify);
    let swept = labels.map(|label| store.destroy(label));
    outcome?;
    swept.into_iter().try_for_each(|destroyed| destroyed.map_err(|error| ContractRule::DestroyRemoves.broken_by(error)))
}

/// A signer, and what judges it.
struct Subject<'a> {
    signer: &'a dyn Signer,
    spki: Vec<u8>,
    key: Vec<u8>,
    verifier: &'static dyn SignatureVerificationAlgorithm,
}

impl<'a> Subject<'a> {
    fn new(
        signer: &'a dyn Signer,
        verify: &[&'static dyn SignatureVerificationAlgorithm],
    ) -> Result<Self, ContractViolation> {
        let spki = signer.public_key().as_ref().to_vec();
        let algorithm = signer.algorithm();
        let parts = PublicKeyParts::of(&spki).ok_or_else(|| ContractRule::PublicKeyIsSpki.broken())?;
        if parts.algorithm != algorithm.public_key_identifier().as_ref() {
            return Err(ContractRule::AlgorithmFitsPublicKey.broken());
        }
        let verifier = verify
            .iter()
            .find(|verifier| {
                verifier.public_key_alg_id() == algorithm.public_key_identifier()
                    && verifier.signature_alg_id() == algorithm.identifier()
            })
            .ok_or_else(|| ContractRule::VerifierIsGiven.broken())?;
        let key = parts.key.to_vec();
        Ok(Self { signer, spki, key, verifier: *verifier })
    }

    /// Signs into a buffer that is longer than need be, as a pooled one is.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ContractViolation> {
        const SPARE: usize = 16;

        let len_max = self.signer.algorithm().signature_len_max();
        let mut signature = vec![0; len_max.saturating_add(SPARE)];
        let written =
            self.signer.sign(message, &mut signature).map_err(|error| ContractRule::Signs.broken_by(error))?;
        if !(1..=len_max).contains(&written) {
            return Err(ContractRule::LengthIsWithinBound.broken());
        }
        signature.truncate(written);
        Ok(signature)
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifier.verify_signature(&self.key, message, signature).is_ok()
    }

    fn check_message(&self, message: &[u8]) -> Result<(), ContractViolation> {
        let signature = self.sign(message)?;
        if !self.verifies(message, &signature) {
            return Err(ContractRule::SignatureVerifies.broken());
        }
        let longer = [message, &[0]].concat();
        let mut changed = message.to_vec();
        if let Some(last) = changed.last_mut() {
            *last ^= 1;
        }
        if self.verifies(&longer, &signature) || (changed != message && self.verifies(&changed, &signature)) {
            return Err(ContractRule::SignatureBindsMessage.broken());
        }
        Ok(())
    }

    fn check_short_buffers(&self) -> Result<(), ContractViolation> {
        let len_max = self.signer.algorithm().signature_len_max();
        for len in [0, len_max.saturating_sub(1)] {
            match self.signer.sign(SHORT, &mut vec![0; len]) {
                Err(error) if error.kind() == SignErrorKind::BufferTooSmall => {}
                Err(error) => return Err(ContractRule::ShortBufferIsRefused.broken_by(error)),
                Ok(_) => return Err(ContractRule::ShortBufferIsRefused.broken()),
            }
        }
        Ok(())
    }

    fn check_batch(&self, messages: &[&[u8]]) -> Result<(), ContractViolation> {
        let signatures = self.signer.sign_batch(messages);
        if signatures.len() != messages.len() {
            return Err(ContractRule::BatchAnswersEachInOrder.broken());
        }
        for (message, signature) in messages.iter().zip(signatures) {
            let signature = signature.map_err(|error| ContractRule::BatchAnswersEachInOrder.broken_by(error))?;
            if !self.verifies(message, &signature) {
                return Err(ContractRule::BatchAnswersEachInOrder.broken());
            }
        }
        Ok(())
    }

    fn check_threads(&self) -> Result<(), ContractViolation> {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn(move || {
                        (0..SIGNATURES_PER_THREAD).try_for_each(|round| self.check_message(&[thread, round]))
                    })
                })
                .collect();
            // Every thread is joined, whatever the others did.
            let outcomes: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            outcomes.into_iter().try_for_each(|outcome| match outcome {
                Ok(outcome) => outcome.map_err(|violation| ContractRule::ThreadsDoNotMeet.broken_by(violation)),
                Err(_panic) => Err(ContractRule::ThreadsDoNotMeet.broken()),
            })
        })
    }

    fn check_constant(&self) -> Result<(), ContractViolation> {
        let algorithm = self.signer.algorithm();
        let same = self.signer.public_key().as_ref() == self.spki
            && algorithm.identifier() == self.verifier.signature_alg_id()
            && algorithm.public_key_identifier() == self.verifier.public_key_alg_id();
        same.then_some(()).ok_or_else(|| ContractRule::HandleIsConstant.broken())
    }
}

fn check_life(
    store: &dyn KeyStore,
    first: &KeyLabel,
    second: &KeyLabel,
    spec: KeySpec,
    verify: &[&'static dyn SignatureVerificationAlgorithm],
) -> Result<(), ContractViolation> {
    let generate = |label| store.generate(label, spec).map_err(|error| ContractRule::GenerateMakesKey.broken_by(error));
    let destroy = |rule: ContractRule| store.destroy(first).map_err(|error| rule.broken_by(error));

    destroy(ContractRule::DestroyIsIdempotent)?;

    let generated = generate(first)?;
    check_present(store, first, ContractRule::GenerateMakesKey)?;
    check_spec(&*generated, spec)?;
    check_signer(&*generated, verify)?;

    match store.generate(first, spec) {
        Err(error) if error.kind() == KeyStoreErrorKind::AlreadyExists && error.label() == first => {}
        Err(error) => return Err(ContractRule::GenerateRefusesTakenLabel.broken_by(error)),
        Ok(_) => return Err(ContractRule::GenerateRefusesTakenLabel.broken()),
    }

    let other = generate(second)?;
    if other.public_key() == generated.public_key() {
        return Err(ContractRule::KeysAreDistinct.broken());
    }

    let opened = store.open(first).map_err(|error| ContractRule::OpenGivesTheKey.broken_by(error))?;
    if opened.public_key() != generated.public_key() || opened.algorithm() != generated.algorithm() {
        return Err(ContractRule::OpenGivesTheKey.broken());
    }
    check_signer(&*opened, verify)?;

    destroy(ContractRule::DestroyRemoves)?;
    check_absent(store, first, ContractRule::DestroyRemoves)?;
    check_dead(&*generated)?;
    check_dead(&*opened)?;
    destroy(ContractRule::DestroyIsIdempotent)?;

    check_present(store, second, ContractRule::DestroySparesOthers)?;
    Subject::new(&*other, verify)
        .and_then(|subject| subject.check_message(SHORT))
        .map_err(|violation| ContractRule::DestroySparesOthers.broken_by(violation))?;

    let again = generate(first)?;
    if again.public_key() == generated.public_key() {
        return Err(ContractRule::KeysAreDistinct.broken());
    }
    check_dead(&*generated)
}

fn check_absent(store: &dyn KeyStore, label: &KeyLabel, rule: ContractRule) -> Result<(), ContractViolation> {
    if store.find(label).map_err(|error| rule.broken_by(error))? {
        return Err(rule.broken());
    }
    match store.open(label) {
        Err(error) if error.kind() == KeyStoreErrorKind::NotFound && error.label() == label => Ok(()),
        Err(error) => Err(rule.broken_by(error)),
        Ok(_) => Err(rule.broken()),
    }
}

fn check_present(store: &dyn KeyStore, label: &KeyLabel, rule: ContractRule) -> Result<(), ContractViolation> {
    match store.find(label) {
        Ok(true) => Ok(()),
        Ok(false) => Err(rule.broken()),
        Err(error) => Err(rule.broken_by(error)),
    }
}

fn check_spec(signer: &dyn Signer, spec: KeySpec) -> Result<(), ContractViolation> {
    let rsa_bits = match spec.algorithm {
        KeyAlgorithm::Rsa2048 => Some(2048),
        KeyAlgorithm::Rsa3072 => Some(3072),
        KeyAlgorithm::Rsa4096 => Some(4096),
        _ => None,
    };
    let fits = signer.algorithm() == spec.algorithm.certificate_signature()
        && (rsa_bits.is_none() || rsa_modulus_bits(signer.public_key().as_ref()) == rsa_bits);
    fits.then_some(()).ok_or_else(|| ContractRule::KeyFollowsSpec.broken())
}

/// The modulus' length in an `RSAPublicKey` (RFC 8017 A.1.1).
fn rsa_modulus_bits(spki: &[u8]) -> Option<usize> {
    let mut key = Elements::new(Elements::new(PublicKeyParts::of(spki)?.key).take(SEQUENCE)?);
    positive_bits(key.take(INTEGER)?)
}

fn check_dead(signer: &dyn Signer) -> Result<(), ContractViolation> {
    let mut signature = vec![0; signer.algorithm().signature_len_max()];
    let single = signer.sign(SHORT, &mut signature).map(|_written| ());
    let batch = signer.sign_batch(&[SHORT]).into_iter().map(|outcome| outcome.map(|_| ()));
    for outcome in core::iter::once(single).chain(batch) {
        match outcome {
            Err(error) if error.kind() == SignErrorKind::KeyNotFound => {}
            Err(error) => return Err(ContractRule::DestroyDisablesHandles.broken_by(error)),
            Ok(()) => return Err(ContractRule::DestroyDisablesHandles.broken()),
        }
    }
    Ok(())
}

/// One sentence of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContractRule {
    /// The public key is exactly one `SubjectPublicKeyInfo` in DER.
    PublicKeyIsSpki,
    /// The public key carries the identifier that the signer's algorithm names.
    AlgorithmFitsPublicKey,
    /// The caller of the check gave a verifier for the signer's algorithm.
    VerifierIsGiven,
    /// A message of any length is signed.
    Signs,
    /// The reported length is at least 1 and at most the algorithm's bound.
    LengthIsWithinBound,
    /// A signature verifies under the signer's public key, in X.509 encoding.
    SignatureVerifies,
    /// A signature does not verify for another message.
    SignatureBindsMessage,
    /// A buffer shorter than the algorithm's bound is refused as too small.
    ShortBufferIsRefused,
    /// A batch gives one signature per message, in order.
    BatchAnswersEachInOrder,
    /// Threads that sign at the same time do not disturb each other.
    ThreadsDoNotMeet,
    /// Public key and algorithm of a handle never change.
    HandleIsConstant,
    /// While the backend is away, a call fails as one that may be repeated.
    OutageIsRetryable,
    /// While the backend is away, a call comes back in time.
    OutageEndsInTime,
    /// The handle signs again when the backend is back.
    HandleRecovers,
    /// An unknown label is not found, neither by `find` nor by `open`.
    UnknownLabelIsAbsent,
    /// A generated key exists from then on.
    GenerateMakesKey,
    /// A taken label is refused as such.
    GenerateRefusesTakenLabel,
    /// A generated key has the algorithm and size that were asked for.
    KeyFollowsSpec,
    /// No two generated keys are the same key.
    KeysAreDistinct,
    /// Opening a label gives the key that was generated under it.
    OpenGivesTheKey,
    /// A destroyed key is not found, neither by `find` nor by `open`.
    DestroyRemoves,
    /// A destroyed key's handles fail with `KeyNotFound`, and stay so.
    DestroyDisablesHandles,
    /// Destroying what is not there succeeds.
    DestroyIsIdempotent,
    /// Other labels keep their keys.
    DestroySparesOthers,
}

impl ContractRule {
    const fn broken(self) -> ContractViolation {
        ContractViolation { rule: self, source: None }
    }

    fn broken_by(self, source: impl Into<Cause>) -> ContractViolation {
        ContractViolation { rule: self, source: Some(source.into()) }
    }
}

impl fmt::Display for ContractRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicKeyIsSpki => "the public key is one SubjectPublicKeyInfo in DER",
            Self::AlgorithmFitsPublicKey => "the algorithm fits the public key",
            Self::VerifierIsGiven => "a verifier is given for the algorithm",
            Self::Signs => "a message of any length is signed",
            Self::LengthIsWithinBound => "the signature's length is within the algorithm's bound",
            Self::SignatureVerifies => "the signature verifies under the public key",
            Self::SignatureBindsMessage => "the signature does not verify for another message",
            Self::ShortBufferIsRefused => "a short buffer is refused as too small",
            Self::BatchAnswersEachInOrder => "a batch gives one signature per message, in order",
            Self::ThreadsDoNotMeet => "threads that sign at once do not disturb each other",
            Self::HandleIsConstant => "public key and algorithm of a handle never change",
            Self::OutageIsRetryable => "a call fails as repeatable while the backend is away",
            Self::OutageEndsInTime => "a call comes back in time while the backend is away",
            Self::HandleRecovers => "the handle signs again when the backend is back",
            Self::UnknownLabelIsAbsent => "an unknown label is absent",
            Self::GenerateMakesKey => "a generated key exists",
            Self::GenerateRefusesTakenLabel => "a taken label is refused as such",
            Self::KeyFollowsSpec => "a generated key has the algorithm and size asked for",
            Self::KeysAreDistinct => "no two generated keys are the same",
            Self::OpenGivesTheKey => "opening gives the key that was generated",
            Self::DestroyRemoves => "a destroyed key is absent",
            Self::DestroyDisablesHandles => "handles of a destroyed key find no key",
            Self::DestroyIsIdempotent => "destroying what is absent succeeds",
            Self::DestroySparesOthers => "destroying a key spares the others",
        })
    }
}

/// A rule that a backend broke, with the error that it gave, if it gave one, as the source.
#[derive(Debug)]
pub struct ContractViolation {
    rule: ContractRule,
    source: Option<Cause>,
}

impl ContractViolation {
    /// The rule that was broken.
    #[must_use]
    pub const fn rule(&self) -> ContractRule {
        self.rule
    }
}

impl fmt::Display for ContractViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "contract broken, expected that {}", self.rule)
    }
}

impl Error for ContractViolation {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.source.as_ref()? {
            Cause::Sign(error) => Some(error),
            Cause::KeyStore(error) => Some(error),
            Cause::Violation(violation) => Some(&**violation),
        }
    }
}

#[derive(Debug)]
enum Cause {
    Sign(SignError),
    KeyStore(KeyStoreError),
    Violation(Box<ContractViolation>),
}

impl From<SignError> for Cause {
    fn from(error: SignError) -> Self {
        Self::Sign(error)
    }
}

impl From<KeyStoreError> for Cause {
    fn from(error: KeyStoreError) -> Self {
        Self::KeyStore(error)
    }
}

impl From<ContractViolation> for Cause {
    fn from(violation: ContractViolation) -> Self {
        Self::Violation(Box::new(violation))
    }
}
