//! The scripted faults, and what the issuing pipeline makes of each.
#![cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]

#[cfg(test)]
#[path = "support/kinds.rs"]
mod kinds;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    use pki_core::verify::{VerifyError, aws_lc_rs};
    use pki_core::{
        Approval, AuthorityRole, CaVersion, CertificationRequest, Custody, IssueError, IssuedCertificate, Issuer,
        KeyAlgorithm, KeyLedger, LeafKind, Limits, NodeName, SelfCheck, Serial, SignErrorKind, Signer, Validity,
        create_request, mint_root, sign_to_vec,
    };
    use rustls_pki_types::SignatureVerificationAlgorithm;
    use signer_hsm::contract::{ContractRule, check_outage, check_signer};
    use signer_hsm::testing::{FaultyKeyStore, FaultySigner, SignFault, StoreFault};
    use signer_hsm::{KeyLabel, KeySpec, KeyStore, KeyStoreErrorKind, Provider, SoftwareKey, SoftwareKeyStore};
    use time::UtcDateTime;
    use webpki::aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256};

    use crate::kinds::kinds;

    static VERIFY: &[&dyn SignatureVerificationAlgorithm] =
        &[ECDSA_P256_SHA256, ECDSA_P384_SHA384, RSA_PKCS1_2048_8192_SHA256, ED25519];
    const MESSAGE: &[u8] = b"to be signed";

    fn first() -> Provider {
        *Provider::ALL.first().unwrap()
    }

    fn key(algorithm: KeyAlgorithm) -> Arc<dyn Signer> {
        Arc::new(SoftwareKey::generate_with(first(), algorithm).unwrap())
    }

    fn p256() -> Arc<dyn Signer> {
        key(KeyAlgorithm::P256)
    }

    fn kind_of(signer: &dyn Signer) -> SignErrorKind {
        sign_to_vec(signer, MESSAGE).unwrap_err().kind()
    }

    /// One root that signs as scripted, from the second signature on: the first is the root's own.
    struct Authority {
        issuer: Issuer,
        key: Arc<dyn Signer>,
        now: UtcDateTime,
        node: NodeName,
    }

    impl Authority {
        fn new(algorithm: KeyAlgorithm) -> Self {
            let key = key(algorithm);
            let now = UtcDateTime::from_unix_timestamp(1_704_067_200).unwrap();
            let validity = Validity::new(now, now + time::Duration::days(1000)).unwrap();
            let mut ledger = KeyLedger::new();
            let cluster = "test".parse().unwrap();
            let admitted = ledger.admit(&cluster, AuthorityRole::Cluster, CaVersion::FIRST, &*key).unwrap();
            let root = mint_root(&admitted, validity, serial(), aws_lc_rs()).unwrap();
            let issuer = Issuer::new(root, LeafKind::ALL).unwrap();
            Self { issuer, key, now, node: "node-1".parse().unwrap() }
        }

        fn issue(&self, fault: SignFault, check: SelfCheck) -> Result<IssuedCertificate, IssueError> {
            let leaf = LeafKind::KubeletClient;
            let owner = p256();
            let request = create_request(&leaf.subject(Some(&self.node)).unwrap(), &[], &*owner).unwrap();
            let request = CertificationRequest::parse(&request, &Limits::DEFAULT).unwrap().verify(aws_lc_rs()).unwrap();
            let approval = Approval::new(time::Duration::days(1)).for_node(self.node.clone());
            let prepared = self.issuer.prepare(leaf, request, &approval, serial(), self.now).unwrap();
            let signer = FaultySigner::new(Arc::clone(&self.key), [fault]);
            prepared.sign_with(&signer, aws_lc_rs(), check)
        }
    }

    fn serial() -> Serial {
        Serial::generate(&mut getrandom::SysRng).unwrap()
    }

    #[test]
    fn the_pipeline_lets_no_bad_signature_out_whatever_the_embedder_leaves_unchecked() {
        let has_rsa = kinds(first()).contains(&KeyAlgorithm::Rsa2048);
        let algorithms = [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519];
        for algorithm in algorithms.into_iter().chain(has_rsa.then_some(KeyAlgorithm::Rsa2048)) {
            let authority = Authority::new(algorithm);
            let faults =
                [SignFault::OtherKey(key(algorithm)), SignFault::WrongBytes, SignFault::Short, SignFault::Empty];
            let is_ecdsa = matches!(algorithm, KeyAlgorithm::P256 | KeyAlgorithm::P384);
            for fault in faults.into_iter().chain(is_ecdsa.then_some(SignFault::RawEcdsa)) {
                for check in [SelfCheck::Always, SelfCheck::ExceptInProcess] {
                    let refused = authority.issue(fault.clone(), check).map(|_| ());
                    assert!(
                        matches!(refused, Err(IssueError::BadSignature(VerifyError::BadSignature))),
                        "{algorithm} {fault:?} {check:?}: {refused:?}"
                    );
                }
            }
            authority.issue(SignFault::None, SelfCheck::Always).unwrap();
        }
    }

    #[test]
    fn the_pipeline_passes_on_why_there_is_no_signature() {
        let authority = Authority::new(KeyAlgorithm::P256);
        for (fault, expected) in [
            (SignFault::TimedOutAfterSigning, SignErrorKind::TimedOut),
            (SignFault::Fails(SignErrorKind::Unavailable), SignErrorKind::Unavailable),
            (SignFault::Fails(SignErrorKind::Rejected), SignErrorKind::Rejected),
        ] {
            match authority.issue(fault.clone(), SelfCheck::Always) {
                Err(IssueError::Sign(error)) => assert_eq!(error.kind(), expected),
                other => panic!("{fault:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn without_faults_the_double_keeps_the_contract_and_says_that_it_is_to_be_checked() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
            let double = FaultySigner::new(key(algorithm), []);
            assert_eq!(double.custody(), Custody::Elsewhere);
            check_signer(&double, VERIFY).unwrap();
            assert!(double.signed() > 30);
        }
    }

    #[test]
    fn a_script_is_played_in_order_and_counts_what_the_key_signed() {
        let double = FaultySigner::new(
            p256(),
            [SignFault::unavailable(2), vec![SignFault::TimedOutAfterSigning, SignFault::None, SignFault::Empty]]
                .concat(),
        );
        assert_eq!(kind_of(&double), SignErrorKind::Unavailable);
        assert_eq!(kind_of(&double), SignErrorKind::Unavailable);
        assert_eq!((double.asked(), double.signed()), (2, 0));
        // The answer was lost and the signature made: whoever counts signatures must count this one.
        assert_eq!(kind_of(&double), SignErrorKind::TimedOut);
        assert_eq!((double.asked(), double.signed()), (3, 1));
        let batch = double.sign_batch(&[MESSAGE, MESSAGE, MESSAGE]);
        let lengths: Vec<_> = batch.into_iter().map(|signature| signature.unwrap().len() > 60).collect();
        assert_eq!(lengths, [true, false, true]);
        assert_eq!((double.asked(), double.signed()), (6, 4));
    }

    #[test]
    fn raw_signatures_have_two_numbers_of_the_fields_length() {
        for (algorithm, len) in [(KeyAlgorithm::P256, 64), (KeyAlgorithm::P384, 96)] {
            let double = FaultySigner::new(key(algorithm), vec![SignFault::RawEcdsa; 600]);
            // Of 600 pairs a few have a number that is an octet short.
            for _ in 0..600 {
                assert_eq!(sign_to_vec(&double, MESSAGE).unwrap().len(), len);
            }
        }
        let double = FaultySigner::new(key(KeyAlgorithm::Ed25519), [SignFault::RawEcdsa]);
        assert_eq!(kind_of(&double), SignErrorKind::UnsupportedAlgorithm);
    }

    #[test]
    fn a_delay_ends_when_it_is_released() {
        let double = FaultySigner::new(p256(), [SignFault::Delayed(Duration::from_secs(3600))]);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                sign_to_vec(&double, MESSAGE).unwrap();
                done.store(true, Ordering::SeqCst);
            });
            while double.asked() == 0 {
                thread::yield_now();
            }
            assert!(!done.load(Ordering::SeqCst));
            double.release();
        });
        assert!(done.load(Ordering::SeqCst));
    }

    fn outage(faults: Vec<SignFault>) -> Result<(), ContractRule> {
        let signer: Arc<dyn Signer> = Arc::new(FaultySigner::new(p256(), faults));
        check_outage(&signer, Duration::from_millis(500), VERIFY, || {}, || {}).map_err(|violation| violation.rule())
    }

    #[test]
    fn an_outage_is_told_as_one_in_time_and_is_over_afterwards() {
        assert_eq!(outage(SignFault::unavailable(2)), Ok(()));
        let lost = vec![SignFault::TimedOutAfterSigning; 2];
        assert_eq!(outage(lost), Ok(()));
        assert_eq!(outage(Vec::new()), Err(ContractRule::OutageIsRetryable));
        let final_kind = vec![SignFault::Fails(SignErrorKind::Other); 2];
        assert_eq!(outage(final_kind), Err(ContractRule::OutageIsRetryable));
        let one_only = [SignFault::unavailable(1), vec![SignFault::Fails(SignErrorKind::KeyNotFound)]].concat();
        assert_eq!(outage(one_only), Err(ContractRule::OutageIsRetryable));
        assert_eq!(outage(SignFault::unavailable(3)), Err(ContractRule::HandleRecovers));
        let endless = vec![SignFault::Delayed(Duration::from_secs(2)); 2];
        assert_eq!(outage(endless), Err(ContractRule::OutageEndsInTime));
    }

    #[test]
    fn what_is_done_to_the_backend_happens_in_its_place() {
        let store = SoftwareKeyStore::with_provider(first());
        let signer = store.generate(&label("a"), KeySpec::new(KeyAlgorithm::P256)).unwrap();
        let restored = AtomicBool::new(false);
        let violation = check_outage(
            &signer,
            Duration::from_secs(10),
            VERIFY,
            || store.destroy(&label("a")).unwrap(),
            || restored.store(true, Ordering::SeqCst),
        );
        // A key that was destroyed is not away, and no retry brings it back.
        assert_eq!(violation.unwrap_err().rule(), ContractRule::OutageIsRetryable);
        assert!(restored.load(Ordering::SeqCst));
    }

    fn label(text: &str) -> KeyLabel {
        text.parse().unwrap()
    }

    #[test]
    fn a_store_fails_as_scripted_and_an_answer_that_was_lost_was_carried_out() {
        let behind: Arc<dyn KeyStore> = Arc::new(SoftwareKeyStore::with_provider(first()));
        let store = FaultyKeyStore::new(
            Arc::clone(&behind),
            [
                StoreFault::Fails(KeyStoreErrorKind::Unavailable),
                StoreFault::UnavailableAfterwards,
                StoreFault::None,
                StoreFault::Fails(KeyStoreErrorKind::Other),
            ],
        );
        let spec = KeySpec::new(KeyAlgorithm::P256);
        let kind = |outcome: Result<Arc<dyn Signer>, signer_hsm::KeyStoreError>| outcome.unwrap_err().kind();
        assert_eq!(kind(store.generate(&label("a"), spec)), KeyStoreErrorKind::Unavailable);
        assert!(!behind.find(&label("a")).unwrap());
        assert_eq!(kind(store.generate(&label("a"), spec)), KeyStoreErrorKind::Unavailable);
        assert!(behind.find(&label("a")).unwrap());
        assert_eq!(kind(store.generate(&label("a"), spec)), KeyStoreErrorKind::AlreadyExists);
        assert_eq!(store.destroy(&label("a")).unwrap_err().kind(), KeyStoreErrorKind::Other);
        assert!(store.find(&label("a")).unwrap());
        store.destroy(&label("a")).unwrap();
        assert!(!behind.find(&label("a")).unwrap());
    }

    #[test]
    fn the_handles_of_a_store_fail_as_scripted_one_after_the_other() {
        let behind = Arc::new(SoftwareKeyStore::with_provider(first()));
        let store = FaultyKeyStore::new(behind, []).with_handles([vec![SignFault::Empty], SignFault::unavailable(1)]);
        let generated = store.generate(&label("a"), KeySpec::new(KeyAlgorithm::P256)).unwrap();
        let opened = store.open(&label("a")).unwrap();
        let third = store.open(&label("a")).unwrap();
        assert!(sign_to_vec(&*generated, MESSAGE).unwrap().is_empty());
        assert_eq!(kind_of(&*opened), SignErrorKind::Unavailable);
        for handle in [generated, opened, third] {
            check_signer(&*handle, VERIFY).unwrap();
        }
    }
}
