//! Every rule of the contract is broken once, on purpose, and the check must name it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "doubles of tests stop at the first surprise")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use pki_core::{KeyAlgorithm, SignError, SignErrorKind, SignatureAlgorithm, Signer};
use rustls_pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, alg_id,
};
use signer_hsm::contract::{ContractRule, ContractViolation, check_key_store, check_signer};
use signer_hsm::{KeyLabel, KeySpec, KeyStore, KeyStoreError, KeyStoreErrorKind, SoftwareKey};
use webpki::aws_lc_rs::{ECDSA_P256_SHA256, RSA_PKCS1_2048_8192_SHA256};

static VERIFY: &[&dyn SignatureVerificationAlgorithm] = &[ECDSA_P256_SHA256, RSA_PKCS1_2048_8192_SHA256];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignerFault {
    None,
    PublicKeyHasTrailingData,
    PublicKeyIsEmpty,
    AlgorithmIsAnother,
    AlgorithmChangesLater,
    PublicKeyChangesLater,
    EmptyMessageFails,
    LargeMessageFails,
    LengthIsZero,
    LengthIsTooLong,
    OtherKeySigns,
    SignsAlwaysTheSame,
    ShortBufferIsTaken,
    AlmostLongBufferIsTaken,
    ShortBufferIsAnotherError,
    BatchIsReversed,
    BatchLosesTheLast,
    BatchFailsForOne,
    OtherThreadsFail,
    OtherThreadsPanic,
}

/// A sound P-256 key with one fault in front of it.
#[derive(Debug)]
struct Faulty {
    fault: SignerFault,
    key: SoftwareKey,
    other: SoftwareKey,
    spki: SubjectPublicKeyInfoDer<'static>,
    home: ThreadId,
    batched: AtomicBool,
}

impl Faulty {
    fn new(fault: SignerFault) -> Self {
        let key = SoftwareKey::generate(KeyAlgorithm::P256).unwrap();
        let mut spki = key.public_key().as_ref().to_vec();
        match fault {
            SignerFault::PublicKeyHasTrailingData => spki.push(0),
            SignerFault::PublicKeyIsEmpty => spki.clear(),
            _ => {}
        }
        Self {
            fault,
            key,
            other: SoftwareKey::generate(KeyAlgorithm::P256).unwrap(),
            spki: spki.into(),
            home: thread::current().id(),
            batched: AtomicBool::new(false),
        }
    }

    fn has(&self, fault: SignerFault) -> bool {
        self.fault == fault
    }
}

impl Signer for Faulty {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        if self.has(SignerFault::PublicKeyChangesLater) && self.batched.load(Ordering::SeqCst) {
            return self.other.public_key();
        }
        &self.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        let later = self.has(SignerFault::AlgorithmChangesLater) && self.batched.load(Ordering::SeqCst);
        if later || self.has(SignerFault::AlgorithmIsAnother) {
            return SignatureAlgorithm::EcdsaP384Sha384;
        }
        SignatureAlgorithm::EcdsaP256Sha256
    }

    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        if self.home != thread::current().id() {
            assert!(!self.has(SignerFault::OtherThreadsPanic), "planted");
            if self.has(SignerFault::OtherThreadsFail) {
                return Err(SignError::new(SignErrorKind::Unavailable));
            }
        }
        let short = signature.len() < self.key.algorithm().signature_len_max();
        match self.fault {
            SignerFault::EmptyMessageFails if message.is_empty() => Err(SignError::new(SignErrorKind::Rejected)),
            SignerFault::LargeMessageFails if message.len() > 4096 => Err(SignError::new(SignErrorKind::Rejected)),
            SignerFault::LengthIsZero => Ok(0),
            SignerFault::LengthIsTooLong => self.key.sign(message, signature).map(|_| signature.len() + 1),
            SignerFault::OtherKeySigns => self.other.sign(message, signature),
            SignerFault::SignsAlwaysTheSame => self.key.sign(b"always the same", signature),
            SignerFault::ShortBufferIsTaken if short => Ok(signature.len()),
            SignerFault::AlmostLongBufferIsTaken if short && !signature.is_empty() => Ok(signature.len()),
            SignerFault::ShortBufferIsAnotherError if short => Err(SignError::new(SignErrorKind::Other)),
            _ => self.key.sign(message, signature),
        }
    }

    fn sign_batch(&self, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignError>> {
        self.batched.store(true, Ordering::SeqCst);
        let mut signatures = self.key.sign_batch(messages);
        match self.fault {
            SignerFault::BatchIsReversed => signatures.reverse(),
            SignerFault::BatchLosesTheLast => drop(signatures.pop()),
            SignerFault::BatchFailsForOne => {
                if let Some(last) = signatures.last_mut() {
                    *last = Err(SignError::new(SignErrorKind::TimedOut));
                }
            }
            _ => {}
        }
        signatures
    }
}

fn broken_rule(signer: &dyn Signer) -> ContractRule {
    check_signer(signer, VERIFY).unwrap_err().rule()
}

#[test]
fn a_double_without_a_fault_keeps_the_signer_contract() {
    check_signer(&Faulty::new(SignerFault::None), VERIFY).unwrap();
}

#[test]
fn each_fault_of_a_signer_breaks_its_rule() {
    for (fault, rule) in [
        (SignerFault::PublicKeyHasTrailingData, ContractRule::PublicKeyIsSpki),
        (SignerFault::PublicKeyIsEmpty, ContractRule::PublicKeyIsSpki),
        (SignerFault::AlgorithmIsAnother, ContractRule::AlgorithmFitsPublicKey),
        (SignerFault::AlgorithmChangesLater, ContractRule::HandleIsConstant),
        (SignerFault::PublicKeyChangesLater, ContractRule::HandleIsConstant),
        (SignerFault::EmptyMessageFails, ContractRule::Signs),
        (SignerFault::LargeMessageFails, ContractRule::Signs),
        (SignerFault::LengthIsZero, ContractRule::LengthIsWithinBound),
        (SignerFault::LengthIsTooLong, ContractRule::LengthIsWithinBound),
        (SignerFault::OtherKeySigns, ContractRule::SignatureVerifies),
        (SignerFault::SignsAlwaysTheSame, ContractRule::SignatureVerifies),
        (SignerFault::ShortBufferIsTaken, ContractRule::ShortBufferIsRefused),
        (SignerFault::AlmostLongBufferIsTaken, ContractRule::ShortBufferIsRefused),
        (SignerFault::ShortBufferIsAnotherError, ContractRule::ShortBufferIsRefused),
        (SignerFault::BatchIsReversed, ContractRule::BatchAnswersEachInOrder),
        (SignerFault::BatchLosesTheLast, ContractRule::BatchAnswersEachInOrder),
        (SignerFault::BatchFailsForOne, ContractRule::BatchAnswersEachInOrder),
        (SignerFault::OtherThreadsFail, ContractRule::ThreadsDoNotMeet),
        (SignerFault::OtherThreadsPanic, ContractRule::ThreadsDoNotMeet),
    ] {
        assert_eq!(broken_rule(&Faulty::new(fault)), rule, "{fault:?}");
    }
}

/// What a token's raw mechanism returns, forgotten to be converted.
#[derive(Debug)]
struct RawEcdsa {
    pair: EcdsaKeyPair,
    spki: SubjectPublicKeyInfoDer<'static>,
}

impl Signer for RawEcdsa {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        &self.spki
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }

    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        let raw = self.pair.sign(&SystemRandom::new(), message).unwrap();
        signature.get_mut(..64).unwrap().copy_from_slice(raw.as_ref());
        Ok(64)
    }
}

#[test]
fn a_signature_of_r_and_s_side_by_side_is_caught() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let spki = pair.public_key().as_der().unwrap().as_ref().to_vec().into();
    assert_eq!(broken_rule(&RawEcdsa { pair, spki }), ContractRule::SignatureVerifies);
}

#[test]
fn a_check_without_a_fitting_verifier_is_no_pass() {
    let key = SoftwareKey::generate(KeyAlgorithm::P256).unwrap();
    for verify in [&[][..], &[RSA_PKCS1_2048_8192_SHA256]] {
        let violation = check_signer(&key, verify).unwrap_err();
        assert_eq!(violation.rule(), ContractRule::VerifierIsGiven);
    }
}

/// Accepts everything, as a verifier that was stubbed out does.
#[derive(Debug)]
struct Gullible;

impl SignatureVerificationAlgorithm for Gullible {
    fn verify_signature(&self, _key: &[u8], _message: &[u8], _signature: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

#[test]
fn signatures_that_hold_for_any_message_are_caught() {
    let key = SoftwareKey::generate(KeyAlgorithm::P256).unwrap();
    let violation = check_signer(&key, &[&Gullible]).unwrap_err();
    assert_eq!(violation.rule(), ContractRule::SignatureBindsMessage);
}

#[test]
fn a_violation_names_the_rule_and_keeps_the_cause() {
    let violation = check_signer(&Faulty::new(SignerFault::EmptyMessageFails), VERIFY).unwrap_err();
    assert_eq!(violation.to_string(), "contract broken, expected that a message of any length is signed");
    assert_eq!(violation.source().unwrap().to_string(), "the signing backend's policy refused the message");

    let violation = check_signer(&Faulty::new(SignerFault::OtherThreadsFail), VERIFY).unwrap_err();
    let nested = violation.source().unwrap().downcast_ref::<ContractViolation>().unwrap();
    assert_eq!(nested.rule(), ContractRule::Signs);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoreFault {
    None,
    FindsTheUnknown,
    FindFails,
    OpensTheUnknown,
    UnknownIsAnotherError,
    GenerateFails,
    GenerateKeepsNothing,
    GenerateOverwrites,
    TakenIsAnotherError,
    TakenNamesAnotherLabel,
    MakesAnotherAlgorithm,
    MakesAnotherSize,
    MakesOneKeyForAll,
    MakesOneKeyPerLabel,
    OpensAnotherKey,
    SignsWrongly,
    DestroyFails,
    DestroyForgetsNothing,
    DestroyLeavesHandles,
    DestroyLeavesOpened,
    DestroyLeavesBatches,
    DestroyRevivesHandles,
    DestroyRefusesTheAbsent,
    DestroyTakesAll,
    DestroyDisablesAll,
}

/// A handle that looks up, at each use, whether its key lives.
#[derive(Debug)]
struct Handle {
    key: Arc<SoftwareKey>,
    wrong: Option<SoftwareKey>,
    lives: Arc<AtomicBool>,
    batches_live: bool,
}

impl Signer for Handle {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        self.key.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        if !self.lives.load(Ordering::SeqCst) {
            return Err(SignError::new(SignErrorKind::KeyNotFound));
        }
        match &self.wrong {
            Some(wrong) => wrong.sign(message, signature),
            None => self.key.sign(message, signature),
        }
    }

    fn sign_batch(&self, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignError>> {
        if self.batches_live {
            return self.key.sign_batch(messages);
        }
        messages.iter().map(|message| pki_core::sign_to_vec(self, message)).collect()
    }
}

#[derive(Clone, Debug)]
struct Held {
    key: Arc<SoftwareKey>,
    lives: Arc<AtomicBool>,
}

/// Another store than the crate's own, with one fault.
#[derive(Debug)]
struct FaultyStore {
    fault: StoreFault,
    held: Mutex<BTreeMap<KeyLabel, Held>>,
    reused: Mutex<BTreeMap<KeyLabel, Held>>,
}

impl FaultyStore {
    fn new(fault: StoreFault) -> Self {
        Self { fault, held: Mutex::default(), reused: Mutex::default() }
    }

    fn has(&self, fault: StoreFault) -> bool {
        self.fault == fault
    }

    fn make(&self, label: &KeyLabel, spec: KeySpec) -> Held {
        let algorithm = match self.fault {
            StoreFault::MakesAnotherAlgorithm => KeyAlgorithm::P384,
            StoreFault::MakesAnotherSize => KeyAlgorithm::Rsa3072,
            _ => spec.algorithm,
        };
        let fresh = || Held {
            key: Arc::new(SoftwareKey::generate(algorithm).unwrap()),
            lives: Arc::new(AtomicBool::new(true)),
        };
        let mut reused = self.reused.lock().unwrap();
        match self.fault {
            StoreFault::MakesOneKeyForAll => reused.entry(self::label("all")).or_insert_with(fresh).clone(),
            StoreFault::MakesOneKeyPerLabel => {
                let key = Arc::clone(&reused.entry(label.clone()).or_insert_with(fresh).key);
                Held { key, lives: Arc::new(AtomicBool::new(true)) }
            }
            StoreFault::DestroyRevivesHandles => {
                let lives = Arc::clone(&reused.entry(label.clone()).or_insert_with(fresh).lives);
                lives.store(true, Ordering::SeqCst);
                Held { key: fresh().key, lives }
            }
            _ => fresh(),
        }
    }

    fn handle(&self, held: &Held) -> Arc<dyn Signer> {
        Arc::new(Handle {
            key: Arc::clone(&held.key),
            wrong: self.has(StoreFault::SignsWrongly).then(|| SoftwareKey::generate(KeyAlgorithm::P256).unwrap()),
            lives: Arc::clone(&held.lives),
            batches_live: self.has(StoreFault::DestroyLeavesBatches),
        })
    }
}

fn refuse<T>(kind: KeyStoreErrorKind, label: &KeyLabel) -> Result<T, KeyStoreError> {
    Err(KeyStoreError::new(kind, label.clone()))
}

impl KeyStore for FaultyStore {
    fn find(&self, label: &KeyLabel) -> Result<bool, KeyStoreError> {
        if self.has(StoreFault::FindFails) {
            return refuse(KeyStoreErrorKind::Unavailable, label);
        }
        Ok(self.has(StoreFault::FindsTheUnknown) || self.held.lock().unwrap().contains_key(label))
    }

    fn generate(&self, label: &KeyLabel, spec: KeySpec) -> Result<Arc<dyn Signer>, KeyStoreError> {
        if self.has(StoreFault::GenerateFails) {
            return refuse(KeyStoreErrorKind::Unavailable, label);
        }
        let taken = self.held.lock().unwrap().contains_key(label);
        match self.fault {
            StoreFault::TakenIsAnotherError if taken => {
                return refuse(KeyStoreErrorKind::Other, label);
            }
            StoreFault::TakenNamesAnotherLabel if taken => {
                return refuse(KeyStoreErrorKind::AlreadyExists, &self::label("another"));
            }
            StoreFault::GenerateOverwrites => {}
            _ if taken => return refuse(KeyStoreErrorKind::AlreadyExists, label),
            _ => {}
        }
        let held = self.make(label, spec);
        let handle = self.handle(&held);
        if !self.has(StoreFault::GenerateKeepsNothing) {
            self.held.lock().unwrap().insert(label.clone(), held);
        }
        Ok(handle)
    }

    fn open(&self, label: &KeyLabel) -> Result<Arc<dyn Signer>, KeyStoreError> {
        let held = self.held.lock().unwrap();
        match (held.get(label), self.fault) {
            (None, StoreFault::OpensTheUnknown) => Ok(self.handle(&self.make(label, KeySpec::new(KeyAlgorithm::P256)))),
            (None, StoreFault::UnknownIsAnotherError) => refuse(KeyStoreErrorKind::Other, label),
            (None, _) => refuse(KeyStoreErrorKind::NotFound, label),
            (Some(_), StoreFault::OpensAnotherKey) => {
                let other = held.iter().find(|(other, _)| *other != label).unwrap();
                Ok(self.handle(other.1))
            }
            (Some(held), StoreFault::DestroyLeavesOpened) => {
                let lives = Arc::new(AtomicBool::new(true));
                Ok(self.handle(&Held { key: Arc::clone(&held.key), lives }))
            }
            (Some(held), _) => Ok(self.handle(held)),
        }
    }

    fn destroy(&self, label: &KeyLabel) -> Result<(), KeyStoreError> {
        let mut held = self.held.lock().unwrap();
        match self.fault {
            StoreFault::DestroyFails if held.contains_key(label) => {
                return refuse(KeyStoreErrorKind::Other, label);
            }
            StoreFault::DestroyForgetsNothing => return Ok(()),
            StoreFault::DestroyRefusesTheAbsent if !held.contains_key(label) => {
                return refuse(KeyStoreErrorKind::NotFound, label);
            }
            StoreFault::DestroyTakesAll => held.retain(|other, _| other == label),
            StoreFault::DestroyDisablesAll => held.values().for_each(|held| held.lives.store(false, Ordering::SeqCst)),
            _ => {}
        }
        if let Some(removed) = held.remove(label)
            && !self.has(StoreFault::DestroyLeavesHandles)
        {
            removed.lives.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn label(text: &str) -> KeyLabel {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn check_store(store: &dyn KeyStore, algorithm: KeyAlgorithm) -> Result<(), ContractViolation> {
    let (first, second) = (label("contract/one"), label("contract/two"));
    check_key_store(store, [&first, &second], KeySpec::new(algorithm), VERIFY)
}

#[test]
fn a_double_without_a_fault_keeps_the_key_store_contract() {
    let store = FaultyStore::new(StoreFault::None);
    check_store(&store, KeyAlgorithm::P256).unwrap();
    assert!(store.held.lock().unwrap().is_empty());
}

#[test]
fn each_fault_of_a_store_breaks_its_rule() {
    for (fault, rule) in [
        (StoreFault::FindsTheUnknown, ContractRule::UnknownLabelIsAbsent),
        (StoreFault::FindFails, ContractRule::UnknownLabelIsAbsent),
        (StoreFault::OpensTheUnknown, ContractRule::UnknownLabelIsAbsent),
        (StoreFault::UnknownIsAnotherError, ContractRule::UnknownLabelIsAbsent),
        (StoreFault::GenerateFails, ContractRule::GenerateMakesKey),
        (StoreFault::GenerateKeepsNothing, ContractRule::GenerateMakesKey),
        (StoreFault::GenerateOverwrites, ContractRule::GenerateRefusesTakenLabel),
        (StoreFault::TakenIsAnotherError, ContractRule::GenerateRefusesTakenLabel),
        (StoreFault::TakenNamesAnotherLabel, ContractRule::GenerateRefusesTakenLabel),
        (StoreFault::MakesAnotherAlgorithm, ContractRule::KeyFollowsSpec),
        (StoreFault::MakesOneKeyForAll, ContractRule::KeysAreDistinct),
        (StoreFault::MakesOneKeyPerLabel, ContractRule::KeysAreDistinct),
        (StoreFault::OpensAnotherKey, ContractRule::OpenGivesTheKey),
        (StoreFault::SignsWrongly, ContractRule::SignatureVerifies),
        (StoreFault::DestroyFails, ContractRule::DestroyRemoves),
        (StoreFault::DestroyForgetsNothing, ContractRule::DestroyRemoves),
        (StoreFault::DestroyLeavesOpened, ContractRule::DestroyDisablesHandles),
        (StoreFault::DestroyLeavesHandles, ContractRule::DestroyDisablesHandles),
        (StoreFault::DestroyLeavesBatches, ContractRule::DestroyDisablesHandles),
        (StoreFault::DestroyRevivesHandles, ContractRule::DestroyDisablesHandles),
        (StoreFault::DestroyRefusesTheAbsent, ContractRule::DestroyIsIdempotent),
        (StoreFault::DestroyTakesAll, ContractRule::DestroySparesOthers),
        (StoreFault::DestroyDisablesAll, ContractRule::DestroySparesOthers),
    ] {
        let violation = check_store(&FaultyStore::new(fault), KeyAlgorithm::P256).unwrap_err();
        assert_eq!(violation.rule(), rule, "{fault:?}");
    }
}

#[test]
fn an_rsa_key_of_another_size_is_caught() {
    let store = FaultyStore::new(StoreFault::MakesAnotherSize);
    let violation = check_store(&store, KeyAlgorithm::Rsa2048).unwrap_err();
    assert_eq!(violation.rule(), ContractRule::KeyFollowsSpec);
}

#[test]
fn a_violation_leaves_no_keys_of_the_check_behind() {
    let store = FaultyStore::new(StoreFault::OpensAnotherKey);
    check_store(&store, KeyAlgorithm::P256).unwrap_err();
    assert!(store.held.lock().unwrap().is_empty());
}

#[test]
fn a_label_in_use_is_refused_and_its_key_spared() {
    let store = FaultyStore::new(StoreFault::None);
    let taken = label("contract/two");
    store.generate(&taken, KeySpec::new(KeyAlgorithm::P256)).unwrap();
    let violation = check_store(&store, KeyAlgorithm::P256).unwrap_err();
    assert_eq!(violation.rule(), ContractRule::UnknownLabelIsAbsent);
    assert!(store.find(&taken).unwrap());
}
