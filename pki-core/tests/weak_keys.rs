//! Keys whose holders have proven possession, and that are refused all the same.

#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use pki_core::{
        CertificationRequest, Fingerprint, KeyAlgorithm, LeafKind, Limits, RequestError, Signer, WeakKey,
        create_request,
    };

    use crate::keys::{VERIFIERS, key};

    /// Each file of `data/requests/weak`, and what is wrong with its key.
    const EVERY: [(&str, Option<WeakKey>); 11] = [
        ("close-3072-round-99.der", Some(WeakKey::ClosePrimes)),
        ("close-4096-round-99.der", Some(WeakKey::ClosePrimes)),
        ("close-round-0.der", Some(WeakKey::ClosePrimes)),
        // One round further than Fermat's method has to be tried.
        ("close-round-100.der", None),
        ("close-round-99.der", Some(WeakKey::ClosePrimes)),
        ("factor-3.der", Some(WeakKey::SmallFactor)),
        ("factor-751.der", Some(WeakKey::SmallFactor)),
        // The least prime above the bound.
        ("factor-757.der", None),
        ("roca-2048.der", Some(WeakKey::Roca)),
        ("roca-4096.der", Some(WeakKey::Roca)),
        ("square.der", Some(WeakKey::ClosePrimes)),
    ];

    fn directory() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/requests/weak"))
    }

    #[test]
    fn a_weak_rsa_key_is_refused_although_its_holder_proves_possession() {
        for (file, weakness) in EVERY {
            let der = std::fs::read(directory().join(file)).unwrap();
            let proven = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap().prove(VERIFIERS);
            assert_eq!(proven.err(), weakness.map(RequestError::WeakKey), "{file}");
        }
    }

    #[test]
    fn the_rounds_of_fermats_method_can_be_set() {
        let [found_first, found_last, found_later] = ["0", "99", "100"].map(|round| {
            let der = std::fs::read(directory().join(format!("close-round-{round}.der"))).unwrap();
            move |rounds| {
                let mut limits = Limits::DEFAULT;
                limits.fermat_rounds = rounds;
                CertificationRequest::parse(&der, &limits).unwrap().prove(VERIFIERS).is_err()
            }
        });
        assert_eq!((found_first(0), found_first(1)), (false, true));
        assert_eq!((found_last(99), found_last(100)), (false, true));
        assert_eq!((found_later(100), found_later(101)), (false, true));
    }

    #[test]
    fn no_weak_key_lies_here_unread() {
        let files = std::fs::read_dir(directory()).unwrap();
        let files: BTreeSet<_> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(files, EVERY.map(|(file, _)| file.to_owned()).into());
    }

    #[test]
    fn the_signature_is_looked_at_before_the_modulus() {
        let mut der = std::fs::read(directory().join("roca-2048.der")).unwrap();
        *der.last_mut().unwrap() ^= 1;
        let refused = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap().prove(VERIFIERS).unwrap_err();
        assert_eq!(refused.code(), "request.possession");
    }

    #[test]
    fn a_blocked_key_is_refused_and_no_other() {
        let subject = LeafKind::Scheduler.subject(None).unwrap();
        let [leaked, other] = [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048].map(key);
        let blocklist = BTreeSet::from([Fingerprint::of(leaked.public_key())]);
        let refuse_blocked = |key| {
            let der = create_request(&subject, &[], key).unwrap();
            let proven = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap().prove(VERIFIERS).unwrap();
            proven.refuse_blocked(&blocklist).map(|_| ())
        };
        assert_eq!(refuse_blocked(&leaked), Err(RequestError::WeakKey(WeakKey::Blocked)));
        assert_eq!(refuse_blocked(&other), Ok(()));
    }

    #[test]
    fn every_weakness_has_the_code_and_says_its_rule() {
        for (weakness, expected) in [
            (
                WeakKey::Roca,
                "the key is weak: its modulus was made by a generator whose factors can be computed (CVE-2017-15361)",
            ),
            (WeakKey::SmallFactor, "the key is weak: its modulus has a factor below 752 (Baseline Requirements 6.1.6)"),
            (
                WeakKey::ClosePrimes,
                "the key is weak: the factors of its modulus are too close (Baseline Requirements 6.1.1.3)",
            ),
            (WeakKey::Blocked, "the key is weak: it is on the list of blocked keys"),
        ] {
            let error = RequestError::WeakKey(weakness);
            assert_eq!((error.code(), error.to_string().as_str()), ("request.weak_key", expected));
        }
    }
}
