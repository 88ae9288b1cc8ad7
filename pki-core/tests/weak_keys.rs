//! Keys whose holders have proven possession, and that are refused all the same.

#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use pki_core::{
        CertificationRequest, Fingerprint, KeyAlgorithm, LeafKind, Limits, RequestError, SignError, SignatureAlgorithm,
        Signer, Subject, WeakKey, create_request,
    };
    use rustls_pki_types::SubjectPublicKeyInfoDer;

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

    /// Nobody's key: it signs every message with R = B and S = 1, which verifies under A whenever h·A is the identity.
    #[derive(Debug)]
    struct Nobody(SubjectPublicKeyInfoDer<'static>);

    impl Nobody {
        fn new(point: [u8; 32]) -> Self {
            let header = [0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];
            Self([header.as_slice(), &point].concat().into())
        }
    }

    impl Signer for Nobody {
        fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
            &self.0
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::Ed25519
        }

        fn sign(&self, _: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
            signature.fill(0);
            // The base point (RFC 8032 5.1), then 1.
            signature[..32].fill(0x66);
            (signature[0], signature[32]) = (0x58, 1);
            Ok(64)
        }
    }

    #[test]
    fn an_ed25519_key_for_which_anybody_can_sign_is_refused() {
        let filled = |first, middle, last| {
            let mut point = [middle; 32];
            (point[0], point[31]) = (first, last);
            point
        };
        let order_8 = |text: &str| -> [u8; 32] {
            let octet = |index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap();
            std::array::from_fn(octet)
        };
        // By their order: 1, 2, 4, 8, 8, and two encodings that are not reduced, of orders 4 and 1.
        let points = [
            filled(1, 0, 0),
            filled(0xec, 0xff, 0x7f),
            filled(0, 0, 0),
            order_8("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            order_8("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
            filled(0xed, 0xff, 0x7f),
            filled(0xee, 0xff, 0x7f),
        ];
        let mut forged = 0;
        for (index, mut point) in points.into_iter().enumerate() {
            for sign in [0, 0x80] {
                point[31] = point[31] & 0x7f | sign;
                let nobody = Nobody::new(point);
                // With another subject comes another h: one of eight is a multiple of the order.
                let refusals: BTreeSet<_> = (0..200)
                    .map(|number| {
                        let subject = Subject::user(&format!("user-{number}"), &[]).unwrap();
                        let der = create_request(&subject, &[], &nobody).unwrap();
                        let proven = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap().prove(VERIFIERS);
                        let refusal = proven.err().unwrap_or_else(|| panic!("point {index}, sign {sign}"));
                        assert!(
                            matches!(refusal, RequestError::Possession(_) | RequestError::WeakKey(WeakKey::SmallOrder)),
                            "{refusal}"
                        );
                        refusal.code()
                    })
                    .collect();
                forged += usize::from(refusals.contains("request.weak_key"));
            }
        }
        assert!(forged >= 5, "the verifier took a forged signature for {forged} encodings only");
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
            (
                WeakKey::SmallOrder,
                "the key is weak: its point has small order, so that anybody can sign for it (RFC 8032 5.1)",
            ),
            (WeakKey::Blocked, "the key is weak: it is on the list of blocked keys"),
        ] {
            let error = RequestError::WeakKey(weakness);
            assert_eq!((error.code(), error.to_string().as_str()), ("request.weak_key", expected));
        }
    }
}
