//! Cross-certificates: verifiers of the old root accept leaves of the new one, says everybody who may say so.

#[cfg(test)]
#[path = "support/authority.rs"]
mod authority;
#[cfg(test)]
#[path = "support/der.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod der;
#[cfg(test)]
#[path = "support/drafts.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod drafts;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "support/tools.rs"]
mod tools;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use pki_core::pem::{CERTIFICATE, encode_pem};
    use pki_core::verify::Verifiers;
    use pki_core::{
        AuthorityRole, CaCertificate, CaVersion, ChainError, CrossCertificate, CrossSignError, ExtendedKeyUsage,
        IssueError, KeyAlgorithm, LeafKind, Limits, RootLimit, TrustBundle, Validity, cross_sign, verify_chain,
    };
    use rustls_pki_types::CertificateDer;
    use signer_hsm::SoftwareKey;
    use time::Duration;
    use x509_cert::Certificate;
    use x509_cert::der::Decode;
    use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier};

    use crate::authority::{Authority, CA_VALIDITY, DNS_NAME, NOW, at, serial};
    use crate::drafts::{Draft, SERVER_AUTH, ca, ca_above, ext_key_usage, key_usage, no_name};
    use crate::keys::{VERIFIERS, key};
    use crate::tools::{room, run};

    const V1: CaVersion = CaVersion::FIRST;
    const V2: CaVersion = V1.next();
    /// Until 2048: certtool asks the real clock.
    const DECADES: Duration = Duration::days(24 * 365);

    fn cluster(version: CaVersion, algorithm: KeyAlgorithm) -> Authority {
        Authority::mint(AuthorityRole::Cluster, version, algorithm)
    }

    fn root(authority: &Authority) -> &CaCertificate {
        authority.issuer.certificate()
    }

    fn cross(new: &Authority, old: &Authority) -> Result<CrossCertificate, CrossSignError> {
        cross_sign(root(new), root(old), serial(), at(NOW), &old.key, VERIFIERS)
    }

    /// Old and new with the names of two generations, or with one name for both.
    fn generations(old: KeyAlgorithm, new: KeyAlgorithm) -> [(&'static str, Authority, Authority); 2] {
        let pair = |name, version| (name, cluster(V1, old), cluster(version, new));
        [pair("own-names", V2), pair("one-name", V1)]
    }

    // ---- judged by others

    /// One verifier's files: what it trusts, and the chain that it is shown.
    struct Shown<'a> {
        room: &'a Path,
        anchor: &'a Authority,
        chain: &'a [&'a [u8]],
    }

    impl Shown<'_> {
        fn write(&self, name: &str, certificates: &[&[u8]]) -> String {
            let path = self.room.join(name).to_str().unwrap().to_owned();
            std::fs::write(&path, certificates.iter().map(|der| encode_pem(CERTIFICATE, der)).collect::<String>())
                .unwrap();
            path
        }

        fn openssl(&self) -> (bool, String) {
            let anchor = self.write("anchor.pem", &[root(self.anchor).der()]);
            let (leaf, rest) = self.chain.split_first().unwrap();
            let leaf = self.write("leaf.pem", &[leaf]);
            let untrusted = self.write("untrusted.pem", rest);
            let now = NOW.to_string();
            let fixed = ["verify", "-x509_strict", "-attime", &now, "-purpose", "sslserver", "-no-CApath", "-CAfile"];
            let untrusted: &[&str] = if rest.is_empty() { &[] } else { &["-untrusted", &untrusted] };
            let (verified, _, said) = run("openssl", &[&fixed[..], &[&anchor], untrusted, &[&leaf]].concat(), &[]);
            (verified, said)
        }

        fn gnutls(&self) -> (bool, String) {
            let anchor = self.write("anchor.pem", &[root(self.anchor).der()]);
            let chain = self.write("chain.pem", self.chain);
            let purpose = ["--verify-purpose", "1.3.6.1.5.5.7.3.1", "--verify-hostname", DNS_NAME];
            let fixed = ["--verify", "--load-ca-certificate", &anchor, "--infile", &chain];
            let (verified, _, said) = run("certtool", &[fixed.as_slice(), &purpose].concat(), &[]);
            (verified, said)
        }

        fn webpki(&self) -> Result<(), ChainError> {
            let bundle = TrustBundle::new([root(self.anchor).clone()]).unwrap();
            let chain: Vec<_> = self.chain.iter().map(|der| CertificateDer::from(*der)).collect();
            let (leaf, rest) = chain.split_first().unwrap();
            let usage = ExtendedKeyUsage::ServerAuth;
            let verified = verify_chain(leaf, rest, &bundle, usage, &Limits::DEFAULT, VERIFIERS, at(NOW))?;
            assert_eq!(verified.anchor(), root(self.anchor).id());
            Ok(())
        }

        #[track_caller]
        fn judge(&self, accepted: bool, case: &str) {
            let webpki = self.webpki();
            assert_eq!(webpki.is_ok(), accepted, "webpki, {case}: {webpki:?}");
            for (judge, (verified, said)) in [("openssl", self.openssl()), ("certtool", self.gnutls())] {
                assert_eq!(verified, accepted, "{judge}, {case}: {said}");
            }
        }
    }

    fn judge_every_verifier(old: KeyAlgorithm, new: KeyAlgorithm) {
        for (names, v1, v2) in generations(old, new) {
            let room = room(&format!("cross-{old}-{new}-{names}"));
            let leaf = v2.issue(LeafKind::KubeletServing, DECADES, at(NOW));
            let bridge = cross(&v2, &v1).unwrap();
            let (alone, chain): (&[&[u8]], &[&[u8]]) = (&[leaf.der()], &[leaf.der(), bridge.der()]);
            let judge = |anchor, chain, accepted, case: &str| {
                Shown { room: &room, anchor, chain }.judge(accepted, &format!("{old} to {new}, {names}: {case}"));
            };
            judge(&v1, alone, false, "trusts the old root, sees the leaf alone");
            judge(&v1, chain, true, "trusts the old root, sees the chain");
            judge(&v2, alone, true, "trusts the new root, sees the leaf alone");
            judge(&v2, chain, true, "trusts the new root, sees the chain");
            // Nor does the bridge lead a stranger in.
            let stranger = cluster(V2, new).issue(LeafKind::KubeletServing, DECADES, at(NOW));
            judge(
                &v1,
                &[stranger.der(), bridge.der()],
                false,
                "sees another authority's leaf with the cross-certificate",
            );
        }
    }

    #[test]
    fn everybody_accepts_a_p256_root_crossed_by_a_p256_root() {
        judge_every_verifier(KeyAlgorithm::P256, KeyAlgorithm::P256);
    }

    #[test]
    fn everybody_accepts_a_p384_root_crossed_by_a_p256_root() {
        judge_every_verifier(KeyAlgorithm::P256, KeyAlgorithm::P384);
    }

    #[test]
    fn everybody_accepts_an_rsa_root_crossed_by_a_p256_root() {
        judge_every_verifier(KeyAlgorithm::P256, KeyAlgorithm::Rsa2048);
    }

    #[test]
    fn everybody_accepts_an_ed25519_root_crossed_by_a_p256_root() {
        judge_every_verifier(KeyAlgorithm::P256, KeyAlgorithm::Ed25519);
    }

    #[test]
    fn everybody_accepts_a_p256_root_crossed_by_an_rsa_root() {
        judge_every_verifier(KeyAlgorithm::Rsa2048, KeyAlgorithm::P256);
    }

    #[test]
    fn the_next_generation_may_have_a_key_of_any_other_algorithm() {
        for old in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Rsa2048, KeyAlgorithm::Ed25519] {
            let v1 = cluster(V1, old);
            for new in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Rsa3072, KeyAlgorithm::Ed25519] {
                let v2 = cluster(V2, new);
                // Both in one bundle, as in the middle of a staged rotation.
                let bundle = TrustBundle::new([root(&v1).clone(), root(&v2).clone()]).unwrap();
                for authority in [&v1, &v2] {
                    let leaf = authority.issue(LeafKind::ApiServer, Duration::DAY, at(NOW));
                    let usage = ExtendedKeyUsage::ServerAuth;
                    let verified = verify_chain(leaf.der(), &[], &bundle, usage, &Limits::DEFAULT, VERIFIERS, at(NOW));
                    assert_eq!(verified.unwrap().anchor(), root(authority).id(), "{old} to {new}");
                }
                let bridge = cross(&v2, &v1).unwrap();
                assert_eq!((bridge.subject(), bridge.issuer()), (root(&v2).id(), root(&v1).id()));
            }
        }
    }

    // ---- read by another parser

    #[test]
    fn an_independent_parser_reads_a_cross_certificate() {
        for (names, v1, v2) in generations(KeyAlgorithm::P256, KeyAlgorithm::P384) {
            let fresh = serial();
            let bridge = cross_sign(root(&v2), root(&v1), fresh, at(NOW), &v1.key, VERIFIERS).unwrap();
            let [crossed, old, new] =
                [bridge.der(), root(&v1).der(), root(&v2).der()].map(|der| Certificate::from_der(der).unwrap());
            let [tbs, old, new] = [&crossed, &old, &new].map(Certificate::tbs_certificate);
            assert_eq!(tbs.subject(), new.subject(), "{names}");
            assert_eq!(tbs.subject_public_key_info(), new.subject_public_key_info());
            assert_eq!(tbs.issuer(), old.subject());
            assert_eq!(tbs.serial_number().as_bytes(), fresh.as_bytes());
            assert_eq!(bridge.serial(), fresh);
            let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
            assert_eq!((critical, constraints.ca, constraints.path_len_constraint), (true, true, None));
            let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
            assert!(critical);
            assert_eq!(Some(usage), new.get_extension::<KeyUsage>().unwrap().map(|(_, usage)| usage));
            let (_, subject_key) = tbs.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
            assert_eq!(subject_key.0.as_bytes(), root(&v2).subject_key_id());
            // By key identifier only: issuer and serial would name one certificate of the old key.
            let (_, issuer_key) = tbs.get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap();
            assert_eq!(issuer_key.key_identifier.unwrap().as_bytes(), root(&v1).subject_key_id());
            assert_eq!((issuer_key.authority_cert_issuer, issuer_key.authority_cert_serial_number), (None, None));
            assert_eq!(tbs.extensions().unwrap().len(), 4);
        }
    }

    // ---- in time

    fn living(version: CaVersion, from: i64, to: i64) -> Authority {
        Authority::mint_for(AuthorityRole::Cluster, version, KeyAlgorithm::P256, (NOW + from, NOW + to))
    }

    #[test]
    fn a_cross_certificate_is_valid_while_both_roots_are() {
        for (old, new, expected) in [
            // Ends with the old root, begins with the new one.
            ((-1_000, 500), (-100, 9_000), (-100, 500)),
            ((-1_000, 9_000), (-100, 500), (-100, 500)),
            // A new root that was made before the old one.
            ((-100, 500), (-1_000, 400), (-100, 400)),
            // The last second of the old root is one.
            ((-1_000, 0), (-100, 500), (-100, 0)),
            // A new root that is yet to begin.
            ((-1_000, 500), (50, 500), (50, 500)),
        ] {
            let (v1, v2) = (living(V1, old.0, old.1), living(V2, new.0, new.1));
            let expected = Validity::new(at(NOW + expected.0), at(NOW + expected.1)).unwrap();
            assert_eq!(cross(&v2, &v1).unwrap().validity(), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn a_cross_certificate_begins_no_later_than_a_leaf() {
        let (v1, v2) = (living(V1, -10_000, 10_000), living(V2, -200, 20_000));
        let bridge = cross(&v2, &v1).unwrap();
        for now in [NOW - 200, NOW, NOW + 5_000] {
            let leaf = v2.issue(LeafKind::Scheduler, Duration::HOUR, at(now));
            assert!(leaf.validity().not_before() >= bridge.validity().not_before(), "{now}");
        }
    }

    #[test]
    fn a_root_that_is_over_neither_signs_nor_is_signed() {
        let sound = living(V1, -1_000, 1_000);
        for old in [living(V1, -1_000, -1), living(V1, 1, 1_000)] {
            let error = cross(&living(V2, -100, 1_000), &old).unwrap_err();
            let validity = root(&old).validity();
            assert!(
                matches!(&error, CrossSignError::Issue(IssueError::IssuerNotValid { validity: v }) if *v == validity),
                "{error}"
            );
        }
        let error = cross(&living(V2, -100, -1), &sound).unwrap_err();
        assert!(matches!(error, CrossSignError::NewRootExpired { .. }), "{error}");
        let error = cross(&living(V2, 1_001, 2_000), &sound).unwrap_err();
        assert!(matches!(error, CrossSignError::Issue(IssueError::Validity(_))), "{error}");
    }

    // ---- refused

    #[test]
    fn a_root_does_not_cross_itself() {
        let v1 = cluster(V1, KeyAlgorithm::P256);
        let error = cross(&v1, &v1).unwrap_err();
        assert!(matches!(error, CrossSignError::SameKey), "{error}");
    }

    #[test]
    fn an_authority_crosses_no_other_authority() {
        let old = cluster(V1, KeyAlgorithm::P256);
        for role in AuthorityRole::ALL.into_iter().filter(|role| role.is_certificate_authority()) {
            for version in [V1, V2] {
                let new = Authority::mint(role, version, KeyAlgorithm::P256);
                match cross(&new, &old) {
                    Ok(_) => assert_eq!(role, AuthorityRole::Cluster),
                    Err(CrossSignError::OtherRole { new, old }) => {
                        assert_eq!((new, old), (role, AuthorityRole::Cluster));
                        assert_ne!(new, old);
                    }
                    Err(error) => panic!("{role}: {error}"),
                }
            }
        }
    }

    /// A root as its owner's own tools made it.
    fn adopted(key: &SoftwareKey, name: &str, extensions: &[Vec<u8>]) -> CaCertificate {
        CaCertificate::parse(Draft::authority(name, name).with(extensions).sign(key, key)).unwrap()
    }

    #[test]
    fn an_old_root_that_vouches_for_leaves_alone_crosses_none() {
        let [old_key, new_key] = [(); 2].map(|()| key(KeyAlgorithm::Ed25519));
        for new_name in ["old", "new"] {
            let new = adopted(&new_key, new_name, &[ca(), key_usage(1, 0x06)]);
            let crossed = |path_len| {
                let old = adopted(&old_key, "old", &[ca_above(path_len), key_usage(1, 0x06)]);
                cross_sign(&new, &old, serial(), at(NOW), &old_key, VERIFIERS)
            };
            let error = crossed(0).unwrap_err();
            assert!(matches!(error, CrossSignError::OldRootPathLength), "{error}");
            assert!(crossed(1).is_ok());
        }
    }

    /// Its cross-certificate would be good for what the root is not.
    #[test]
    fn a_new_root_with_limits_is_not_crossed() {
        let [old_key, new_key] = [(); 2].map(|()| key(KeyAlgorithm::Ed25519));
        let old = adopted(&old_key, "old", &[ca(), key_usage(1, 0x06)]);
        let crossed = |extensions: &[Vec<u8>]| {
            cross_sign(&adopted(&new_key, "new", extensions), &old, serial(), at(NOW), &old_key, VERIFIERS)
        };
        for (limit, extensions) in [
            (RootLimit::PathLength, [ca_above(3), key_usage(1, 0x06)].to_vec()),
            (RootLimit::ExtendedKeyUsage, [ca(), ext_key_usage(&[SERVER_AUTH])].to_vec()),
            (RootLimit::NameConstraints, [ca(), no_name()].to_vec()),
        ] {
            let error = crossed(&extensions).unwrap_err();
            assert!(matches!(error, CrossSignError::NewRootLimited(found) if found == limit), "{error}");
            assert!(error.to_string().contains(&limit.to_string()), "{error}");
        }
        assert!(crossed(&[ca(), key_usage(1, 0x06)]).is_ok());
    }

    #[test]
    fn another_signer_than_the_old_roots_is_not_asked() {
        let (v1, v2) = (cluster(V1, KeyAlgorithm::P256), cluster(V2, KeyAlgorithm::P256));
        for foreign in [&v2.key, &key(KeyAlgorithm::P256)] {
            let error = cross_sign(root(&v2), root(&v1), serial(), at(NOW), foreign, VERIFIERS).unwrap_err();
            assert!(matches!(error, CrossSignError::Issue(IssueError::ForeignKey)), "{error}");
        }
        let v1 = cluster(V1, KeyAlgorithm::Rsa2048);
        let pss = v1.key.into_pss().unwrap();
        let error = cross_sign(root(&v2), v1.issuer.certificate(), serial(), at(NOW), &pss, VERIFIERS).unwrap_err();
        assert!(matches!(error, CrossSignError::Issue(IssueError::SignerAlgorithm { .. })), "{error}");
    }

    #[test]
    fn a_fresh_signature_that_nobody_can_check_is_not_used() {
        let (v1, v2) = (cluster(V1, KeyAlgorithm::P256), cluster(V2, KeyAlgorithm::Ed25519));
        let ed25519 = [webpki::aws_lc_rs::ED25519];
        let error = cross_sign(root(&v2), root(&v1), serial(), at(NOW), &v1.key, Verifiers::new(&ed25519)).unwrap_err();
        assert!(matches!(error, CrossSignError::Issue(IssueError::BadSignature(_))), "{error}");
    }

    #[test]
    fn a_root_that_its_own_key_did_not_sign_is_not_crossed() {
        let (v1, v2) = (cluster(V1, KeyAlgorithm::P256), cluster(V2, KeyAlgorithm::P256));
        // The last octet is one of the signature's.
        let mut der = root(&v2).der().to_vec();
        *der.last_mut().unwrap() ^= 1;
        let forged = CaCertificate::parse(CertificateDer::from(der)).unwrap();
        let error = cross_sign(&forged, root(&v1), serial(), at(NOW), &v1.key, VERIFIERS).unwrap_err();
        assert!(matches!(error, CrossSignError::NotSelfSigned(_)), "{error}");
        // Nor is a cross-certificate a root.
        let bridge = CaCertificate::parse(cross(&v2, &v1).unwrap().der().clone()).unwrap();
        let error = cross_sign(&bridge, root(&v1), serial(), at(NOW), &v1.key, VERIFIERS).unwrap_err();
        assert!(matches!(error, CrossSignError::NotSelfSigned(_)), "{error}");
    }

    /// An authority that openssl made has a key identifier of its own, and its leaves name that one.
    #[test]
    fn the_cross_certificate_of_an_adopted_root_repeats_its_key_identifier() {
        let room = room("cross-adopted");
        let [config, private] = ["config", "key"].map(|name| room.join(name).to_str().unwrap().to_owned());
        std::fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        #[rustfmt::skip]
        let made = [
            "req", "-x509", "-config", &config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", &private, "-subj", "/CN=kubernetes", "-days", "30", "-outform", "DER",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-addext", "subjectKeyIdentifier=hash",
        ];
        let (ok, der, said) = run("openssl", &made, &[]);
        assert!(ok, "{said}");
        let adopted = CaCertificate::parse(CertificateDer::from(der)).unwrap();
        assert_ne!(adopted.subject_key_id(), adopted.id().as_bytes());
        let old = Authority::mint_for(AuthorityRole::Cluster, V1, KeyAlgorithm::P256, CA_VALIDITY);
        let now = adopted.validity().not_before();
        let bridge = cross_sign(&adopted, root(&old), serial(), now, &old.key, VERIFIERS).unwrap();
        let parsed = Certificate::from_der(bridge.der()).unwrap();
        let (_, subject_key) = parsed.tbs_certificate().get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
        assert_eq!(subject_key.0.as_bytes(), adopted.subject_key_id());
    }
    /// webpki asks every certificate of a chain for the usage or none. Here it is the leaf that must have it.
    #[test]
    fn a_leaf_needs_its_usage_though_the_certificates_above_it_have_none() {
        let room = room("cross-usage");
        let path = |name: &str| room.join(name).to_str().unwrap().to_owned();
        let [config, ca_key, ca, leaf_key] = ["config", "ca-key", "ca", "leaf-key"].map(path);
        std::fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        let make = |subject: &str, key: &str, options: &[&str]| {
            let curve = "ec_paramgen_curve:P-256";
            let fixed =
                ["req", "-x509", "-config", &config, "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-days", "30"];
            let (ok, out, said) =
                run("openssl", &[&fixed[..], &["-keyout", key, "-subj", subject], options].concat(), &[]);
            assert!(ok, "{said}");
            out
        };
        let authority = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
        make("/CN=ca", &ca_key, &[&authority[..], &["-out", &ca]].concat());
        let (ok, der, said) = run("openssl", &["x509", "-in", &ca, "-outform", "DER"], &[]);
        assert!(ok, "{said}");
        let anchor = CaCertificate::parse(CertificateDer::from(der)).unwrap();
        let now = anchor.validity().not_before() + Duration::HOUR;
        let bundle = TrustBundle::new([anchor]).unwrap();
        let verdict = |usages: &[&str]| {
            let issued = ["-CA", &ca, "-CAkey", &ca_key, "-outform", "DER", "-addext", "basicConstraints=CA:FALSE"];
            let leaf = CertificateDer::from(make("/CN=leaf", &leaf_key, &[&issued[..], usages].concat()));
            let usage = ExtendedKeyUsage::ClientAuth;
            verify_chain(&leaf, &[], &bundle, usage, &Limits::DEFAULT, VERIFIERS, now).map(|_| ())
        };
        assert_eq!(verdict(&["-addext", "extendedKeyUsage=clientAuth"]), Ok(()));
        assert_eq!(verdict(&["-addext", "extendedKeyUsage=serverAuth"]), Err(ChainError::ExtendedKeyUsage));
        assert_eq!(verdict(&[]), Err(ChainError::ExtendedKeyUsage));
    }
}
