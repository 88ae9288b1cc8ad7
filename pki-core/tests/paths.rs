//! Paths through intermediates, and bundles from files: what is accepted of other people's authorities.

#[cfg(test)]
#[path = "support/der.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod der;
#[cfg(test)]
#[path = "support/drafts.rs"]
mod drafts;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
mod tests {
    use std::mem::discriminant;

    use pki_core::pem::{CERTIFICATE, PemErrorKind, encode_pem};
    use pki_core::{
        BundleError, CaCertificate, ChainError, ExtendedKeyUsage, KeyAlgorithm, Limits, TrustBundle, VerifiedChain,
        verify_chain, verify_server_name,
    };
    use rustls_pki_types::{CertificateDer, ServerName};
    use signer_hsm::SoftwareKey;
    use time::UtcDateTime;

    use crate::drafts::{CLIENT_AUTH, Draft, SERVER_AUTH, ca, ca_above, ext_key_usage, extension, key_usage, no_name};
    use crate::keys::{VERIFIERS, key};

    /// 2024-01-01T00:00:00Z
    const NOW: i64 = 1_704_067_200;
    const EMPTY_NAME: [u8; 2] = [0x30, 0];
    const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];

    /// The root `root`, the authority `sub` below it, and a client below that.
    struct Hierarchy {
        keys: [SoftwareKey; 3],
    }

    impl Hierarchy {
        fn new() -> Self {
            Self { keys: [(); 3].map(|()| key(KeyAlgorithm::Ed25519)) }
        }

        fn root(&self, draft: &Draft) -> CertificateDer<'static> {
            draft.sign(&self.keys[0], &self.keys[0])
        }

        fn sub(&self, draft: &Draft) -> CertificateDer<'static> {
            draft.sign(&self.keys[1], &self.keys[0])
        }

        fn client(&self, draft: &Draft) -> CertificateDer<'static> {
            draft.sign(&self.keys[2], &self.keys[1])
        }

        fn bundle(&self) -> TrustBundle {
            bundle([self.root(&root())])
        }

        /// A sound client below this authority.
        fn through(&self, sub: &Draft) -> Result<VerifiedChain, ChainError> {
            verify(&self.client(&client()), &[self.sub(sub)], &self.bundle(), &Limits::DEFAULT, NOW)
        }
    }

    fn root() -> Draft {
        Draft::authority("root", "root")
    }

    fn sub() -> Draft {
        Draft::authority("root", "sub")
    }

    fn client() -> Draft {
        Draft::client("sub", "client")
    }

    fn bundle(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> TrustBundle {
        TrustBundle::from_der(certificates, &Limits::DEFAULT).unwrap()
    }

    fn verify(
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        bundle: &TrustBundle,
        limits: &Limits,
        now: i64,
    ) -> Result<VerifiedChain, ChainError> {
        let now = UtcDateTime::from_unix_timestamp(now).unwrap();
        verify_chain(leaf, intermediates, bundle, ExtendedKeyUsage::ClientAuth, limits, VERIFIERS, now)
    }

    fn refused_anchor(root: &CertificateDer<'static>) -> String {
        CaCertificate::parse(root.clone()).unwrap_err().to_string()
    }

    // ---- intermediates

    #[test]
    fn a_chain_through_an_intermediate_names_issuer_anchor_and_serial() {
        let hierarchy = Hierarchy::new();
        let chain = hierarchy.through(&sub()).unwrap();
        assert_eq!(chain.anchor(), CaCertificate::parse(hierarchy.root(&root())).unwrap().id());
        assert_eq!(chain.issuer(), CaCertificate::parse(hierarchy.sub(&sub())).unwrap().id());
        assert_eq!(chain.serial().content(), [1]);
    }

    #[test]
    fn an_intermediate_vouches_for_the_usages_that_it_has_and_without_any_for_all() {
        let hierarchy = Hierarchy::new();
        for (purposes, fit) in
            [(&[CLIENT_AUTH][..], true), (&[SERVER_AUTH, CLIENT_AUTH], true), (&[SERVER_AUTH], false)]
        {
            let limited = sub().with(&[ca(), key_usage(1, 0x06), ext_key_usage(purposes)]);
            let verified = hierarchy.through(&limited).map(drop);
            assert_eq!(verified, if fit { Ok(()) } else { Err(ChainError::ExtendedKeyUsage) });
        }
        assert!(hierarchy.through(&sub()).is_ok());
    }

    #[test]
    fn an_intermediate_whose_key_usage_has_no_key_cert_sign_signs_nothing() {
        let hierarchy = Hierarchy::new();
        let expected = "an intermediate is no authority: CA certificate: keyCertSign is not set (RFC 5280 4.2.1.3)";
        for usage in [key_usage(1, 0x02), key_usage(7, 0x80)] {
            assert_eq!(hierarchy.through(&sub().with(&[ca(), usage])).unwrap_err().to_string(), expected);
        }
        assert!(hierarchy.through(&sub().with(&[ca(), key_usage(2, 0x04)])).is_ok());
        assert!(hierarchy.through(&sub().with(&[ca()])).is_ok());
    }

    /// webpki refuses it before our own reader sees it.
    #[test]
    fn an_intermediate_without_the_ca_bit_signs_nothing() {
        let refused = Hierarchy::new().through(&sub().with(&[key_usage(1, 0x06)])).unwrap_err();
        assert_eq!(refused.to_string(), "path validation: EndEntityUsedAsCa");
    }

    #[test]
    fn a_second_path_is_tried_where_the_first_is_refused_by_us_alone() {
        let hierarchy = Hierarchy::new();
        let unfit = hierarchy.sub(&sub().with(&[ca(), key_usage(7, 0x80)]));
        let both = [unfit, hierarchy.sub(&sub())];
        let leaf = hierarchy.client(&client());
        assert!(verify(&leaf, &both, &hierarchy.bundle(), &Limits::DEFAULT, NOW).is_ok());
    }

    #[test]
    fn number_and_length_of_intermediates_are_bounded() {
        let hierarchy = Hierarchy::new();
        let (leaf, intermediate) = (hierarchy.client(&client()), hierarchy.sub(&sub()));
        let mut limits = Limits::DEFAULT;
        limits.intermediates_max = 3;
        let check = |count: usize, limits: &Limits| {
            verify(&leaf, &vec![intermediate.clone(); count], &hierarchy.bundle(), limits, NOW).map(drop)
        };
        assert_eq!(check(3, &limits), Ok(()));
        assert_eq!(check(4, &limits), Err(ChainError::TooManyIntermediates { found: 4, max: 3 }));
        limits.certificate_len_max = leaf.len().max(intermediate.len());
        assert_eq!(check(1, &limits), Ok(()));
        let padding = extension(&[0x2a, 3], false, &[0; 100]);
        let long = hierarchy.sub(&sub().with(&[ca(), key_usage(1, 0x06), padding]));
        let refused = verify(&leaf, &[long], &hierarchy.bundle(), &limits, NOW).unwrap_err();
        assert_eq!(refused.to_string(), "an intermediate is no authority: Certificate: longer than the limit");
        limits.certificate_len_max = leaf.len() - 1;
        assert!(matches!(check(1, &limits), Err(ChainError::Malformed(_))));
    }

    #[test]
    fn the_length_of_a_path_is_bounded_and_self_issued_certificates_do_not_count() {
        let hierarchy = Hierarchy::new();
        let [root_key, sub_key, client_key] = &hierarchy.keys;
        let mut limits = Limits::DEFAULT;
        limits.path_len_max = 1;
        let leaf = client().sign(client_key, sub_key);
        let bundle = hierarchy.bundle();
        assert!(verify(&leaf, &[sub().sign(sub_key, root_key)], &bundle, &limits, NOW).is_ok());

        let middle_key = key(KeyAlgorithm::Ed25519);
        let middle = Draft::authority("root", "middle").sign(&middle_key, root_key);
        let through_middle = [Draft::authority("middle", "sub").sign(sub_key, &middle_key), middle];
        let refused = verify(&leaf, &through_middle, &bundle, &limits, NOW);
        assert_eq!(refused, Err(ChainError::PathTooLong { found: 2, max: 1 }));
        limits.path_len_max = 2;
        assert!(verify(&leaf, &through_middle, &bundle, &limits, NOW).is_ok());

        let self_issued = Draft::authority("sub", "sub").sign(sub_key, &middle_key);
        let renewed = [self_issued, sub().sign(&middle_key, root_key)];
        limits.path_len_max = 1;
        assert!(verify(&leaf, &renewed, &bundle, &limits, NOW).is_ok());
        limits.path_len_max = 0;
        let refused = verify(&leaf, &renewed, &bundle, &limits, NOW);
        assert_eq!(refused, Err(ChainError::PathTooLong { found: 1, max: 0 }));
    }

    // ---- leaves

    #[test]
    fn a_leaf_without_extended_key_usage_is_fit_for_nothing() {
        let hierarchy = Hierarchy::new();
        let leaf = hierarchy.client(&client().with(&[key_usage(7, 0x80)]));
        let refused = verify(&leaf, &[hierarchy.sub(&sub())], &hierarchy.bundle(), &Limits::DEFAULT, NOW);
        assert_eq!(refused, Err(ChainError::ExtendedKeyUsage));
    }

    #[test]
    fn a_leaf_has_a_positive_serial_number() {
        let hierarchy = Hierarchy::new();
        for (serial, expected) in [
            (vec![0], "malformed certificate: serialNumber: zero (RFC 5280 4.1.2.2)"),
            (vec![0x80], "malformed certificate: serialNumber: negative (RFC 5280 4.1.2.2, 5.2.3)"),
            (vec![1; 21], "malformed certificate: serialNumber: longer than 20 octets (RFC 5280 4.1.2.2, 5.2.3)"),
        ] {
            let leaf = hierarchy.client(&Draft { serial, ..client() });
            let refused = verify(&leaf, &[hierarchy.sub(&sub())], &hierarchy.bundle(), &Limits::DEFAULT, NOW);
            assert_eq!(refused.unwrap_err().to_string(), expected);
        }
    }

    // ---- anchors

    #[test]
    fn an_anchor_vouches_for_the_usages_that_it_has() {
        let hierarchy = Hierarchy::new();
        let leaf = hierarchy.client(&client());
        for (purpose, expected) in [(CLIENT_AUTH, Ok(())), (SERVER_AUTH, Err(ChainError::ExtendedKeyUsage))] {
            let root = hierarchy.root(&root().with(&[ca(), key_usage(1, 0x06), ext_key_usage(&[purpose])]));
            let sub = hierarchy.sub(&sub());
            assert_eq!(verify(&leaf, &[sub], &bundle([root]), &Limits::DEFAULT, NOW).map(drop), expected);
        }
    }

    #[test]
    fn the_path_length_of_an_anchor_counts_as_that_of_an_intermediate_does() {
        let hierarchy = Hierarchy::new();
        let [root_key, sub_key, client_key] = &hierarchy.keys;
        let above = |path_len| hierarchy.root(&root().with(&[ca_above(path_len), key_usage(1, 0x06)]));
        let leaf = client().sign(client_key, sub_key);
        let verdict = |intermediates: &[CertificateDer<'_>], anchors: &[u8]| {
            let bundle = bundle(anchors.iter().map(|path_len| above(*path_len)));
            verify(&leaf, intermediates, &bundle, &Limits::DEFAULT, NOW).map(drop)
        };
        let too_long = |found, max| Err(ChainError::PathTooLong { found, max });
        assert_eq!(CaCertificate::parse(above(3)).unwrap().path_len(), Some(3));
        assert_eq!(CaCertificate::parse(hierarchy.root(&root())).unwrap().path_len(), None);

        let middle_key = key(KeyAlgorithm::Ed25519);
        let middle = Draft::authority("root", "middle").sign(&middle_key, root_key);
        let through_middle = [Draft::authority("middle", "sub").sign(sub_key, &middle_key), middle];
        let through_sub = [sub().sign(sub_key, root_key)];
        assert_eq!(verdict(&through_sub, &[0]), too_long(1, 0));
        assert_eq!(verdict(&through_sub, &[1]), Ok(()));
        assert_eq!(verdict(&through_middle, &[1]), too_long(2, 1));
        assert_eq!(verdict(&through_middle, &[2]), Ok(()));
        // As with usages, one certificate of the anchor is enough.
        assert_eq!(verdict(&through_middle, &[0, 1]), too_long(2, 1));
        assert_eq!(verdict(&through_middle, &[0, 2]), Ok(()));

        let self_issued = Draft::authority("sub", "sub").sign(sub_key, &middle_key);
        let renewed = [self_issued, sub().sign(&middle_key, root_key)];
        assert_eq!(verdict(&renewed, &[1]), Ok(()));

        // No authority between: a leaf of the anchor itself.
        let own = Draft::client("root", "client").sign(client_key, root_key);
        assert!(verify(&own, &[], &bundle([above(0)]), &Limits::DEFAULT, NOW).is_ok());
    }

    /// webpki sees one anchor where a bundle has several certificates of one name and key.
    #[test]
    fn of_the_certificates_of_one_anchor_those_count_that_are_valid_and_one_of_them_is_enough() {
        let hierarchy = Hierarchy::new();
        let (leaf, sub) = (hierarchy.client(&client()), hierarchy.sub(&sub()));
        let for_purposes = |purposes| root().with(&[ca(), key_usage(1, 0x06), ext_key_usage(purposes)]);
        let verdict = |drafts: [&Draft; 2]| {
            let anchors = drafts.map(|draft| hierarchy.root(draft));
            let anchor = CaCertificate::parse(anchors[0].clone()).unwrap().id();
            let [forth, back] = [anchors.clone(), [anchors[1].clone(), anchors[0].clone()]].map(|anchors| {
                let bundle = bundle(anchors);
                let verified = verify(&leaf, std::slice::from_ref(&sub), &bundle, &Limits::DEFAULT, NOW);
                verified.map(|chain| assert_eq!(chain.anchor(), anchor))
            });
            assert_eq!(forth, back);
            forth
        };
        let (servers, clients) = (for_purposes(&[SERVER_AUTH]), for_purposes(&[CLIENT_AUTH]));
        let expired = |draft: &Draft| Draft { validity: ["200101000000Z", "231231235959Z"], ..draft.clone() };
        assert_eq!(verdict([&servers, &root()]), Ok(()));
        assert_eq!(verdict([&servers, &clients]), Ok(()));
        assert_eq!(verdict([&servers, &expired(&root())]), Err(ChainError::ExtendedKeyUsage));
        assert_eq!(verdict([&servers, &expired(&clients)]), Err(ChainError::ExtendedKeyUsage));
        assert_eq!(verdict([&expired(&servers), &clients]), Ok(()));
    }

    /// One certificate lets the name pass and the other the usage: no certificate lets both.
    #[test]
    fn the_rights_of_two_certificates_of_one_anchor_do_not_add_up() {
        let hierarchy = Hierarchy::new();
        let leaf = hierarchy.client(&client());
        let elsewhere = root().with(&[ca(), key_usage(1, 0x06), no_name()]);
        let servers = root().with(&[ca(), key_usage(1, 0x06), ext_key_usage(&[SERVER_AUTH])]);
        let verdict = |drafts: &[&Draft]| {
            let bundle = bundle(drafts.iter().map(|draft| hierarchy.root(draft)));
            verify(&leaf, &[hierarchy.sub(&sub())], &bundle, &Limits::DEFAULT, NOW).map(drop)
        };
        assert!(matches!(verdict(&[&elsewhere]), Err(ChainError::Other(_))));
        for both in [[&elsewhere, &servers], [&servers, &elsewhere]] {
            assert!(verdict(&both).is_err());
        }
        assert_eq!(verdict(&[&elsewhere, &root()]), Ok(()));
    }

    #[test]
    fn what_is_no_authority_is_no_anchor() {
        let hierarchy = Hierarchy::new();
        let refused = |draft: &Draft| refused_anchor(&hierarchy.root(draft));
        let unknown = extension(POLICY_CONSTRAINTS, true, &[0x30, 0]);
        for (draft, expected) in [
            (root().with(&[key_usage(1, 0x06)]), "the CA bit is not set (RFC 5280 4.2.1.9)"),
            (root().with(&[ca(), key_usage(1, 0x02)]), "keyCertSign is not set (RFC 5280 4.2.1.3)"),
            (root().with(&[ca(), unknown.clone()]), "a critical extension that nobody here understands (RFC 5280 4.2)"),
            (Draft { subject: EMPTY_NAME.to_vec(), ..root() }, "the subject is empty (RFC 5280 4.1.2.6)"),
        ] {
            assert_eq!(refused(&draft), format!("CA certificate: {expected}"));
        }
        let harmless = extension(POLICY_CONSTRAINTS, false, &[0x30, 0]);
        let by_hand = hierarchy.root(&root().with(&[ca(), harmless]));
        assert!(CaCertificate::parse(by_hand).unwrap().signs_crls());
    }

    #[test]
    fn the_length_of_an_anchor_is_bounded() {
        let root = Hierarchy::new().root(&root());
        let mut limits = Limits::DEFAULT;
        limits.certificate_len_max = root.len();
        assert!(CaCertificate::parse_within(root.clone(), &limits).is_ok());
        limits.certificate_len_max -= 1;
        let refused = CaCertificate::parse_within(root, &limits).unwrap_err();
        assert_eq!(refused.to_string(), "CA certificate: longer than the limit");
        let long = vec![0x30; Limits::DEFAULT.certificate_len_max + 1];
        assert_eq!(refused_anchor(&long.into()), "CA certificate: longer than the limit");
    }

    // ---- bundles

    fn roots(count: usize) -> Vec<CertificateDer<'static>> {
        let key = key(KeyAlgorithm::Ed25519);
        (0..count).map(|index| Draft::authority("r", &format!("r{index}")).sign(&key, &key)).collect()
    }

    fn pem(certificates: &[CertificateDer<'static>]) -> String {
        certificates.iter().map(|der| encode_pem(CERTIFICATE, der)).collect()
    }

    fn from_pem(text: &str) -> Result<TrustBundle, BundleError> {
        TrustBundle::from_pem(text.as_bytes(), &Limits::DEFAULT)
    }

    #[test]
    fn a_bundle_is_written_and_read_again_in_order_and_each_anchor_once() {
        let [one, two] = <[_; 2]>::try_from(roots(2)).unwrap();
        let text = format!("# both\n{}", pem(&[two.clone(), one.clone(), two.clone()]));
        let read = from_pem(&text).unwrap();
        assert_eq!(read.to_pem(), pem(&[two.clone(), one.clone()]));
        assert_eq!(read.hash(), bundle([one, two]).hash());
        assert_eq!(TrustBundle::new([]).unwrap().to_pem(), "");
    }

    #[test]
    fn an_error_of_a_bundle_names_the_certificate_and_its_line() {
        let hierarchy = Hierarchy::new();
        let leaf = hierarchy.client(&client());
        let text = pem(&[hierarchy.root(&root()), leaf.clone()]);
        let line = text.lines().count() - pem(std::slice::from_ref(&leaf)).lines().count() + 1;
        let expected = format!("certificate 2, line {line}: CA certificate: the CA bit is not set (RFC 5280 4.2.1.9)");
        assert_eq!(from_pem(&text).unwrap_err().to_string(), expected);
        let refused = TrustBundle::from_der([hierarchy.root(&root()), leaf], &Limits::DEFAULT).unwrap_err();
        let expected = "certificate 2: CA certificate: the CA bit is not set (RFC 5280 4.2.1.9)";
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn a_bundle_file_without_certificates_or_with_a_key_is_refused() {
        assert_eq!(from_pem("").unwrap_err(), BundleError::Empty);
        assert_eq!(from_pem("no block\n").unwrap_err(), BundleError::Empty);
        let text = pem(&roots(1)) + &encode_pem("PRIVATE KEY", &[1]);
        let Err(BundleError::Pem(error)) = from_pem(&text) else { panic!("{text}") };
        assert_eq!(error.block(), 2);
        assert!(matches!(error.kind(), PemErrorKind::Label { found, .. } if found == "PRIVATE KEY"));
        let cut = pem(&roots(1)).replace("-----END CERTIFICATE-----\n", "");
        assert!(matches!(from_pem(&cut), Err(BundleError::Pem(error)) if *error.kind() == PemErrorKind::NotEnded));
    }

    #[test]
    fn the_number_of_anchors_is_bounded() {
        let roots = roots(3);
        let mut limits = Limits::DEFAULT;
        for (max, expected) in [(3, Ok(3)), (2, Err(BundleError::TooMany { max: 2 }))] {
            limits.anchors_max = max;
            let count = |bundle: TrustBundle| bundle.certificates().len();
            assert_eq!(TrustBundle::from_der(roots.clone(), &limits).map(count), expected);
            assert_eq!(TrustBundle::from_pem(pem(&roots).as_bytes(), &limits).map(count), expected);
        }
    }

    // ---- reasons

    /// One chain for each reason, and no two for the same.
    #[test]
    fn every_reason_to_refuse_a_chain_is_reached() {
        let hierarchy = Hierarchy::new();
        let (leaf, intermediate) = (hierarchy.client(&client()), hierarchy.sub(&sub()));
        let (anchors, limits) = (hierarchy.bundle(), Limits::DEFAULT);
        let through = |leaf: &CertificateDer<'_>, now| {
            verify(leaf, std::slice::from_ref(&intermediate), &anchors, &limits, now).unwrap_err()
        };
        let mut no_path = limits;
        no_path.path_len_max = 0;
        let forged = client().sign(&hierarchy.keys[2], &hierarchy.keys[2]);
        let short_lived = |seconds| {
            // Anchors of this crate, whose validity differs from the leaf's.
            let key = key(KeyAlgorithm::Ed25519);
            let at = |seconds| UtcDateTime::from_unix_timestamp(seconds).unwrap();
            let validity = pki_core::Validity::new(at(0), at(seconds)).unwrap();
            let serial = pki_core::Serial::generate(&mut getrandom::SysRng).unwrap();
            let (role, version) = (pki_core::AuthorityRole::Cluster, pki_core::CaVersion::FIRST);
            let mut ledger = pki_core::KeyLedger::new();
            let admitted = ledger.admit(&"test".parse().unwrap(), role, version, &key).unwrap();
            let root = pki_core::mint_root(&admitted, validity, serial, VERIFIERS).unwrap();
            (Draft { issuer: root.subject_der().to_vec(), ..client() }.sign(&key, &key), root)
        };
        let (long_after, root_of_long_after) = short_lived(4_000_000_000);
        let outlived = TrustBundle::new([root_of_long_after]).unwrap();
        let errors = [
            through(&vec![0x30, 0].into(), NOW),
            verify(&leaf, &[hierarchy.sub(&sub().with(&[ca(), key_usage(7, 0x80)]))], &anchors, &limits, NOW)
                .unwrap_err(),
            verify(&leaf, &vec![intermediate.clone(); 65], &anchors, &limits, NOW).unwrap_err(),
            verify(&leaf, std::slice::from_ref(&intermediate), &anchors, &no_path, NOW).unwrap_err(),
            verify(&leaf, &[], &anchors, &limits, NOW).unwrap_err(),
            verify(&leaf, std::slice::from_ref(&intermediate), &anchors, &limits, 4_000_000_000).unwrap_err(),
            verify(&long_after, &[], &outlived, &limits, 3_999_999_999).unwrap_err(),
            verify(&long_after, &[], &outlived, &limits, 1).unwrap_err(),
            through(&hierarchy.client(&client().with(&[key_usage(7, 0x80)])), NOW),
            verify_server_name(&leaf, &ServerName::try_from("client").unwrap()).unwrap_err(),
            through(&forged, NOW),
            through(&hierarchy.client(&client().with(&[ca(), ext_key_usage(&[CLIENT_AUTH])])), NOW),
        ];
        let expected = [
            "malformed certificate: Certificate: ends before a required element",
            "an intermediate is no authority: CA certificate: keyCertSign is not set (RFC 5280 4.2.1.3)",
            "65 certificates beside the leaf, limit 64",
            "1 authorities above the leaf, limit 0",
            "no trusted authority issued the certificate",
            "every anchor of the bundle has expired or is not yet valid",
            "the certificate has expired",
            "the certificate is not valid yet",
            "the certificate or its authority lacks the extended key usage of the path",
            "the certificate is not valid for the name that was dialled",
            "a signature of the chain does not verify",
            "path validation: CaUsedAsEndEntity",
        ];
        assert_eq!(errors.each_ref().map(ToString::to_string), expected);
        for (index, error) in errors.iter().enumerate() {
            assert!(errors[..index].iter().all(|other| discriminant(other) != discriminant(error)), "{error}");
        }
    }
}
