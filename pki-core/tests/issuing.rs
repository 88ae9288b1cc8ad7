//! From verified request to certificate: what an independent parser reads, every refusal met.

#[cfg(test)]
#[path = "support/authority.rs"]
mod authority;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "support/tools.rs"]
mod tools;

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use core::num::NonZeroUsize;
    use std::path::Path;

    use pki_core::pem::{CERTIFICATE, CERTIFICATE_REQUEST, encode_pem};
    use pki_core::verify::{SubjectPublicKey, Verifiers, VerifyError};
    use pki_core::{
        Approval, AuthorityId, AuthorityRole, Batch, BatchError, BatchOrder, CaCertificate, CaVersion,
        CertificationRequest, Custody, ExtendedKeyUsage, Hierarchy, IssueError, IssuedCertificate, Issuer,
        KeyAlgorithm, KeyLedger, LeafIdentity, LeafKind, Limits, NodeName, PreparedIssuance, Purpose, SelfCheck,
        SignError, SignErrorKind, SignatureAlgorithm, Signer, SubjectAltName, TrustBundle, Validity, ValidityError,
        VerifiedRequest, create_request, mint_external_root, mint_root, sign_to_vec, verify_chain,
    };
    use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
    use sha2::{Digest, Sha256};
    use time::Duration;
    use x509_cert::Certificate;
    use x509_cert::der::{Decode, Encode};
    use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, SubjectKeyIdentifier};

    use crate::authority::{Authority, CA_VALIDITY, NOW, approval, at, names_of, node_of, request, serial};
    use crate::keys::{VERIFIERS, key};
    use crate::tools::{room, run};

    fn cluster(algorithm: KeyAlgorithm) -> Authority {
        Authority::mint(AuthorityRole::Cluster, CaVersion::FIRST, algorithm)
    }

    fn verified(der: &[u8]) -> VerifiedRequest<'_> {
        CertificationRequest::parse(der, &Limits::DEFAULT).unwrap().verify(VERIFIERS).unwrap()
    }

    // ---- read by others

    /// An authority that openssl made: its key identifier is not the one that this crate would have chosen.
    #[test]
    fn leaves_of_an_adopted_ca_name_its_key_identifier() {
        let room = room("issuing-adopted");
        let [config, private, root, leaf] =
            ["config", "key", "root", "leaf"].map(|name| room.join(name).to_str().unwrap().to_owned());
        std::fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        let made = [
            "req",
            "-x509",
            "-config",
            &config,
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &private,
            "-subj",
            "/CN=kubernetes",
            "-days",
            "30",
            "-outform",
            "DER",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-addext",
            "subjectKeyIdentifier=hash",
        ];
        let (ok, der, said) = run("openssl", &made, &[]);
        assert!(ok, "{said}");
        let arguments = ["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", &private];
        let (ok, pkcs8, said) = run("openssl", &arguments, &[]);
        assert!(ok, "{said}");

        let certificate = CaCertificate::parse(CertificateDer::from(der)).unwrap();
        std::fs::write(&root, encode_pem(CERTIFICATE, certificate.der())).unwrap();
        let now = certificate.validity().not_before();
        let expiry = certificate.validity().not_after();
        let key = signer_hsm::SoftwareKey::from_pkcs8_der(&pkcs8).unwrap();
        let authority = Authority { key, issuer: Issuer::new(certificate, LeafKind::ALL).unwrap() };
        let issued = authority.issue(LeafKind::ApiServer, Duration::days(365), now);
        assert_eq!(issued.validity().not_after(), expiry);
        std::fs::write(&leaf, encode_pem(CERTIFICATE, issued.der())).unwrap();

        let parsed = Certificate::from_der(issued.der()).unwrap();
        let anchor = Certificate::from_der(authority.issuer.certificate().der()).unwrap();
        let (_, named) = parsed.tbs_certificate().get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap();
        let (_, own) = anchor.tbs_certificate().get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
        assert_eq!(named.key_identifier.as_ref(), Some(&own.0));
        assert_ne!(own.0.as_bytes(), authority.issuer.certificate().id().as_bytes());

        let attime = now.unix_timestamp().to_string();
        let verify = ["verify", "-x509_strict", "-purpose", "sslserver", "-attime", &attime, "-CAfile", &root, &leaf];
        let (verified, _, said) = run("openssl", &verify, &[]);
        assert!(verified, "{said}");
    }

    #[test]
    fn an_independent_parser_reads_what_was_meant() {
        let authority = cluster(KeyAlgorithm::P256);
        let root = authority.issuer.certificate();
        for algorithm in KeyAlgorithm::ALL {
            let leaf = LeafKind::KubeletServing;
            let der = request(leaf, &key(algorithm));
            let serial = serial();
            let prepared = authority
                .issuer
                .prepare(leaf, verified(&der), &approval(leaf, Duration::DAY), serial, at(NOW))
                .unwrap();
            let issued = prepared.sign(&authority.key, VERIFIERS).unwrap();

            let parsed = Certificate::from_der(issued.der()).unwrap();
            let tbs = parsed.tbs_certificate();
            assert_eq!(tbs.version(), x509_cert::Version::V3);
            assert_eq!(tbs.serial_number().as_bytes(), serial.as_bytes());
            assert_eq!(tbs.subject().to_string(), "CN=system:node:node-1,O=system:nodes");
            assert_eq!(tbs.issuer().to_string(), "CN=kubernetes");
            assert_eq!(tbs.validity().not_before.to_unix_duration().as_secs(), 1_704_066_900);
            assert_eq!(tbs.validity().not_after.to_unix_duration().as_secs(), 1_704_153_600);
            let critical: Vec<_> = tbs
                .extensions()
                .unwrap()
                .iter()
                .map(|extension| (extension.extn_id.to_string(), extension.critical))
                .collect();
            let expected = [
                ("2.5.29.15", true),
                ("2.5.29.37", false),
                ("2.5.29.19", true),
                ("2.5.29.14", false),
                ("2.5.29.35", false),
                ("2.5.29.17", false),
            ];
            assert_eq!(critical, expected.map(|(oid, critical)| (oid.to_owned(), critical)));

            let (_, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
            assert_eq!((constraints.ca, constraints.path_len_constraint), (false, None));
            let (_, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
            let is_rsa = algorithm.certificate_signature() == SignatureAlgorithm::RsaPkcs1Sha256;
            assert_eq!((usage.digital_signature(), usage.key_encipherment()), (true, is_rsa), "{algorithm}");
            assert!(!usage.key_cert_sign() && !usage.crl_sign());
            let (_, authority_key) = tbs.get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap();
            assert_eq!(authority_key.key_identifier.unwrap().as_bytes(), root.id().as_bytes());
            assert_eq!((authority_key.authority_cert_issuer, authority_key.authority_cert_serial_number), (None, None));
        }
    }

    #[test]
    fn an_independent_parser_reads_a_root() {
        for algorithm in KeyAlgorithm::ALL {
            let root = cluster(algorithm).issuer.certificate().clone();
            let parsed = Certificate::from_der(root.der()).unwrap();
            let tbs = parsed.tbs_certificate();
            assert_eq!(tbs.version(), x509_cert::Version::V3);
            assert_eq!(tbs.issuer(), tbs.subject());
            let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
            assert_eq!((critical, constraints.ca, constraints.path_len_constraint), (true, true, None));
            let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
            assert!(critical && usage.key_cert_sign() && usage.crl_sign() && usage.digital_signature());
            let (_, key_id) = tbs.get_extension::<SubjectKeyIdentifier>().unwrap().unwrap();
            assert_eq!(key_id.0.as_bytes(), root.id().as_bytes());
            let identifier = parsed.signature_algorithm().to_der().unwrap();
            assert!(identifier.ends_with(&algorithm.certificate_signature().identifier()), "{algorithm}");
        }
    }

    #[test]
    fn what_is_read_back_is_what_was_approved() {
        let authority = cluster(KeyAlgorithm::P256);
        for leaf in LeafKind::ALL.into_iter().filter(|leaf| !leaf.extended_key_usage().is_empty()) {
            let issued = authority.issue(leaf, Duration::DAY, at(NOW));
            let identity = LeafIdentity::parse(issued.der(), &Limits::DEFAULT).unwrap();
            assert_eq!(identity.authority_key_id(), Some(issued.issuer().as_bytes().as_slice()));
            assert_eq!(identity.subject(), &leaf.subject(node_of(leaf).as_ref()).unwrap());
            assert_eq!(identity.subject_alt_names(), names_of(leaf));
            assert_eq!(identity.validity(), issued.validity());
            assert_eq!(*issued.purpose(), Purpose::Leaf(leaf));
            assert_eq!(issued.issuer(), authority.issuer.certificate().id());
        }
    }

    // ---- serials and signatures

    #[test]
    fn the_serial_to_record_is_the_one_that_is_issued() {
        let authority = cluster(KeyAlgorithm::P256);
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        let prepared = prepare(&authority, LeafKind::Scheduler, &der).unwrap();
        let (recorded, tbs) = (prepared.serial(), prepared.tbs_der().to_vec());
        let issued = prepared.sign(&authority.key, VERIFIERS).unwrap();
        assert_eq!(issued.serial(), recorded);
        assert_eq!(issued.der()[4..4 + tbs.len()], tbs);
    }

    #[test]
    fn a_signature_made_elsewhere_finishes_the_certificate() {
        let authority = cluster(KeyAlgorithm::P384);
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        let prepared = prepare(&authority, LeafKind::Scheduler, &der).unwrap();
        let signature = sign_to_vec(&authority.key, prepared.tbs_der()).unwrap();
        let issued: IssuedCertificate = prepared.attach_signature(&signature, VERIFIERS).unwrap();
        assert_eq!(*issued.purpose(), Purpose::Leaf(LeafKind::Scheduler));
    }

    #[test]
    fn a_record_names_what_is_about_to_be_signed_and_the_certificate_keeps_its_word() {
        let authority = cluster(KeyAlgorithm::P256);
        let leaf = LeafKind::KubeletServing;
        let holder = key(KeyAlgorithm::Ed25519);
        let prepared = prepare(&authority, leaf, &request(leaf, &holder)).unwrap();
        let record = prepared.record();
        let tbs_sha256 = record.tbs_sha256;
        let issued = prepared.sign(&authority.key, VERIFIERS).unwrap();
        let read = LeafIdentity::parse(issued.der(), &Limits::DEFAULT).unwrap();
        assert_eq!((&record.subject, &*record.subject_alt_names), (read.subject(), read.subject_alt_names()));
        assert_eq!((record.serial, record.validity), (issued.serial(), read.validity()));
        assert_eq!((record.issuer, &record.purpose), (issued.issuer(), issued.purpose()));
        assert_eq!(record.subject_key_id, AuthorityId::of(&SubjectPublicKey::parse(holder.public_key()).unwrap()));
        let certificate = Certificate::from_der(issued.der()).unwrap();
        let tbs = Sha256::digest(certificate.tbs_certificate().to_der().unwrap());
        assert_eq!(tbs_sha256.as_bytes().as_slice(), tbs.as_slice());
        let line = record.to_string();
        let subject = "purpose=kubelet-serving subject=\"O=system:nodes,CN=system:node:node-1\"";
        assert!(line.contains(subject) && line.contains(" san=IP:10.0.0.1") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn only_a_key_of_this_process_may_go_unchecked() {
        let authority = cluster(KeyAlgorithm::P256);
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        let nonsense = || Scripted::new(authority.key.public_key().clone(), Some(vec![0x30, 0]));
        let prepare = || prepare(&authority, LeafKind::Scheduler, &der).unwrap();

        // Checked wherever the key is, and whatever was chosen for keys of this process.
        let elsewhere = prepare().sign_with(&nonsense(), VERIFIERS, SelfCheck::ExceptInProcess).unwrap_err();
        let in_process = Scripted { custody: Custody::InProcess, ..nonsense() };
        let always = prepare().sign_with(&in_process, VERIFIERS, SelfCheck::Always).unwrap_err();
        for error in [elsewhere, always] {
            assert!(matches!(error, IssueError::BadSignature(VerifyError::BadSignature)), "{error}");
        }
        assert!(prepare().sign_with(&in_process, VERIFIERS, SelfCheck::ExceptInProcess).is_ok());

        // A key of this process says so, and what it signs is sound without the check.
        assert_eq!(authority.key.custody(), Custody::InProcess);
        let nobody = Verifiers::new(&[]);
        let issued = prepare().sign_with(&authority.key, nobody, SelfCheck::ExceptInProcess).unwrap();
        let bundle = TrustBundle::new([authority.issuer.certificate().clone()]).unwrap();
        let (usage, limits) = (ExtendedKeyUsage::ClientAuth, Limits::DEFAULT);
        verify_chain(issued.der(), &[], &bundle, usage, &limits, VERIFIERS, at(NOW)).unwrap();
    }

    // ---- refusals

    #[test]
    fn an_approval_of_one_request_does_not_serve_another() {
        let authority = cluster(KeyAlgorithm::P256);
        let (approved, other) = (key(KeyAlgorithm::P256), key(KeyAlgorithm::P256));
        let leaf = LeafKind::Scheduler;
        let approval = approval(leaf, Duration::DAY).for_key(&SubjectPublicKey::parse(approved.public_key()).unwrap());
        let prepare = |key| {
            let der = request(leaf, key);
            authority.issuer.prepare(leaf, verified(&der), &approval, serial(), at(NOW)).map(|_| ())
        };
        assert!(prepare(&approved).is_ok());
        let error = prepare(&other).unwrap_err();
        assert_eq!(error.to_string(), "the approval is of a request for another key");
    }

    #[test]
    fn an_authority_certifies_no_leaf_for_its_own_key() {
        let authority = cluster(KeyAlgorithm::P256);
        let der = request(LeafKind::Scheduler, &authority.key);
        let error = prepare(&authority, LeafKind::Scheduler, &der).unwrap_err();
        assert!(matches!(error, IssueError::OwnKey), "{error}");
    }

    fn prepare<'a>(authority: &'a Authority, leaf: LeafKind, der: &[u8]) -> Result<PreparedIssuance<'a>, IssueError> {
        authority.issuer.prepare(leaf, verified(der), &approval(leaf, Duration::DAY), serial(), at(NOW))
    }

    fn refusal(leaf: LeafKind, der: &[u8], approval: &Approval) -> IssueError {
        cluster(KeyAlgorithm::P256).issuer.prepare(leaf, verified(der), approval, serial(), at(NOW)).unwrap_err()
    }

    fn dns(text: &str) -> SubjectAltName {
        SubjectAltName::dns(text).unwrap()
    }

    #[test]
    fn an_authority_issues_its_own_leaves_only() {
        let hierarchy = Hierarchy::kubeadm();
        let authority = Authority::mint(AuthorityRole::FrontProxy, CaVersion::FIRST, KeyAlgorithm::P256);
        let leaves = hierarchy.leaves_of(AuthorityRole::FrontProxy);
        let issuer = Issuer::new(authority.issuer.certificate().clone(), leaves).unwrap();
        // A front proxy that could issue an administrator would be a second cluster root.
        for leaf in LeafKind::ALL.into_iter().filter(|leaf| *leaf != LeafKind::ServiceAccountToken) {
            let der = request(leaf, &key(KeyAlgorithm::P256));
            let prepared = issuer.prepare(leaf, verified(&der), &approval(leaf, Duration::DAY), serial(), at(NOW));
            match prepared {
                Ok(_) => assert_eq!(leaf, LeafKind::FrontProxyClient),
                Err(error) => assert!(matches!(error, IssueError::NotThisIssuer(found) if found == leaf), "{error}"),
            }
        }
    }

    #[test]
    fn a_token_is_not_issued_as_a_certificate() {
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        let error = refusal(LeafKind::ServiceAccountToken, &der, &Approval::new(Duration::DAY));
        assert!(matches!(error, IssueError::NotACertificate(LeafKind::ServiceAccountToken)), "{error}");
        assert_eq!(error.to_string(), "`service-account-token` is a token, not a certificate");
    }

    #[test]
    fn a_key_set_has_no_root() {
        let key = key(KeyAlgorithm::P256);
        let validity = Validity::new(at(CA_VALIDITY.0), at(CA_VALIDITY.1)).unwrap();
        let role = AuthorityRole::ServiceAccount;
        let mut ledger = KeyLedger::new();
        let admitted = ledger.admit(&"test".parse().unwrap(), role, CaVersion::FIRST, &key).unwrap();
        let error = mint_root(&admitted, validity, serial(), VERIFIERS).unwrap_err();
        assert!(matches!(error, IssueError::KeySet(AuthorityRole::ServiceAccount)), "{error}");
        assert_eq!(error.to_string(), "`service-account` is a key set and has no certificate");
    }

    #[test]
    fn an_approval_that_does_not_fit_the_profile_is_refused() {
        let node: NodeName = "node-1".parse().unwrap();
        let day = Approval::new(Duration::DAY);
        for (leaf, approval) in [
            (LeafKind::KubeletClient, day.clone()),
            (LeafKind::Scheduler, day.clone().for_node(node.clone())),
            (LeafKind::Scheduler, day.clone().with_names([dns("a")])),
            (LeafKind::KubeletClient, day.clone().for_node(node.clone()).with_names([dns("a")])),
            (LeafKind::ApiServer, day.clone()),
            (LeafKind::KubeletServing, day.for_node(node)),
        ] {
            let der = request(leaf, &key(KeyAlgorithm::P256));
            let error = refusal(leaf, &der, &approval);
            assert!(matches!(error, IssueError::Approval(found) if found == leaf), "{leaf}: {error}");
            assert_eq!(error.to_string(), format!("the approval does not fit the profile `{leaf}`"));
        }
    }

    #[test]
    fn a_request_for_another_node_is_refused_with_both_subjects() {
        let leaf = LeafKind::KubeletClient;
        let der = request(leaf, &key(KeyAlgorithm::P256));
        let approval = Approval::new(Duration::DAY).for_node("node-2".parse().unwrap());
        let error = refusal(leaf, &der, &approval);
        let IssueError::Subject(names) = &error else { panic!("{error}") };
        assert_eq!(names.expected().common_name(), "system:node:node-2");
        assert_eq!(names.found().common_name(), "system:node:node-1");
        assert_eq!(
            error.to_string(),
            "the subject is not the approved one: expected `O=system:nodes,CN=system:node:node-2`, \
             found `O=system:nodes,CN=system:node:node-1`"
        );
    }

    #[test]
    fn a_request_of_another_profile_is_refused() {
        let der = request(LeafKind::Admin, &key(KeyAlgorithm::P256));
        let error = refusal(LeafKind::Scheduler, &der, &Approval::new(Duration::DAY));
        let IssueError::Subject(names) = error else { panic!("{error}") };
        assert_eq!(names.found().to_string(), "O=kubeadm:cluster-admins,CN=kubernetes-admin");
    }

    #[test]
    fn a_request_for_superusers_is_refused() {
        let room = room("issuing-masters");
        let der = openssl_request(&room, "/O=system:masters/CN=system:kube-scheduler", &[]);
        let error = refusal(LeafKind::Scheduler, &der, &Approval::new(Duration::DAY));
        let IssueError::Subject(names) = error else { panic!("{error}") };
        assert_eq!(names.found().organizations(), ["system:masters"]);
    }

    #[test]
    fn one_alternative_name_too_many_or_too_few_is_refused() {
        let leaf = LeafKind::ApiServer;
        let subject = leaf.subject(None).unwrap();
        let approval = Approval::new(Duration::DAY).with_names([dns("a"), dns("b")]);
        for asked in [&[][..], &["a"], &["a", "b", "c"], &["a", "c"]] {
            let asked: Vec<_> = asked.iter().map(|name| dns(name)).collect();
            let der = create_request(&subject, &asked, &key(KeyAlgorithm::P256)).unwrap();
            let error = refusal(leaf, &der, &approval);
            let IssueError::SubjectAltNames(names) = &error else { panic!("{error}") };
            assert_eq!((names.expected(), names.found()), (&vec![dns("a"), dns("b")], &asked));
        }
        let der = create_request(&subject, &[dns("c")], &key(KeyAlgorithm::P256)).unwrap();
        assert_eq!(
            refusal(leaf, &der, &approval).to_string(),
            "the alternative names are not the approved ones: expected `DNS:a, DNS:b`, found `DNS:c`"
        );
    }

    #[test]
    fn the_order_of_alternative_names_does_not_matter() {
        let leaf = LeafKind::ApiServer;
        let authority = cluster(KeyAlgorithm::P256);
        let asked = [dns("b"), dns("a"), dns("b")];
        let der = create_request(&leaf.subject(None).unwrap(), &asked, &key(KeyAlgorithm::P256)).unwrap();
        let approval = Approval::new(Duration::DAY).with_names([dns("a"), dns("b")]);
        assert!(authority.issuer.prepare(leaf, verified(&der), &approval, serial(), at(NOW)).is_ok());
    }

    /// A request by `openssl req` with a fresh P-256 key.
    fn openssl_request(room: &Path, subject: &str, options: &[&str]) -> Vec<u8> {
        let [config, private] = ["config", "key"].map(|name| room.join(name).to_str().unwrap().to_owned());
        std::fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        let fixed = [
            "req",
            "-new",
            "-config",
            &config,
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            &private,
            "-subj",
            subject,
            "-outform",
            "DER",
        ];
        let (made, der, said) = run("openssl", &[&fixed, options].concat(), &[]);
        assert!(made, "{said}");
        der
    }

    #[test]
    fn a_usage_that_the_profile_does_not_have_is_refused() {
        let room = room("issuing-usage");
        let leaf = LeafKind::ApiServer;
        let approval = Approval::new(Duration::DAY).with_names([dns("a")]);
        let asks = |usage: &str| {
            let usage = format!("extendedKeyUsage={usage}");
            openssl_request(&room, "/CN=kube-apiserver", &["-addext", "subjectAltName=DNS:a", "-addext", &usage])
        };
        for usages in ["clientAuth", "serverAuth,clientAuth"] {
            let error = refusal(leaf, &asks(usages), &approval);
            let found = ExtendedKeyUsage::ClientAuth;
            assert!(
                matches!(&error, IssueError::ExtendedKeyUsage { purpose, found: f } if (purpose, *f) == (&Purpose::Leaf(leaf), found))
            );
            assert_eq!(error.to_string(), "`apiserver` does not allow `clientAuth`");
        }
        let authority = cluster(KeyAlgorithm::P256);
        let der = asks("serverAuth");
        assert!(authority.issuer.prepare(leaf, verified(&der), &approval, serial(), at(NOW)).is_ok());
    }

    #[test]
    fn a_lifetime_of_nothing_or_less_is_refused() {
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        for lifetime in [Duration::ZERO, Duration::seconds(-1), Duration::MIN] {
            let error = refusal(LeafKind::Scheduler, &der, &Approval::new(lifetime));
            assert!(matches!(error, IssueError::Lifetime(found) if found == lifetime), "{error}");
        }
    }

    #[test]
    fn a_lifetime_beyond_the_calendar_is_refused() {
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        let error = refusal(LeafKind::Scheduler, &der, &Approval::new(Duration::MAX));
        assert!(matches!(error, IssueError::Validity(ValidityError::OutOfRange)), "{error}");
    }

    #[test]
    fn an_issuer_outside_its_validity_issues_nothing() {
        let authority = cluster(KeyAlgorithm::P256);
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        let approval = Approval::new(Duration::DAY);
        let prepare =
            |now| authority.issuer.prepare(LeafKind::Scheduler, verified(&der), &approval, serial(), at(now)).map(drop);
        for now in [CA_VALIDITY.0 - 1, CA_VALIDITY.1 + 1] {
            let error = prepare(now).unwrap_err();
            let expected = authority.issuer.certificate().validity();
            assert!(matches!(error, IssueError::IssuerNotValid { validity } if validity == expected), "{error}");
        }
        for now in [CA_VALIDITY.0, CA_VALIDITY.1] {
            assert!(prepare(now).is_ok());
        }
    }

    #[test]
    fn limits_that_somebody_widens_widen_what_can_be_issued() {
        let names: Vec<_> = (0..101).map(|index| dns(&format!("n{index}"))).collect();
        let subject = LeafKind::Webhook.subject(None).unwrap();
        let der = create_request(&subject, &names, &key(KeyAlgorithm::P256)).unwrap();
        let mut limits = Limits::DEFAULT;
        limits.subject_alt_names_max = 101;
        let request = CertificationRequest::parse(&der, &limits).unwrap().verify(VERIFIERS).unwrap();
        let approval = Approval::new(Duration::DAY).with_names(names);
        let authority = cluster(KeyAlgorithm::P256);
        let prepared = authority.issuer.prepare(LeafKind::Webhook, request, &approval, serial(), at(NOW)).unwrap();
        let issued = prepared.sign(&authority.key, VERIFIERS).unwrap();
        assert_eq!(LeafIdentity::parse(issued.der(), &limits).unwrap().subject_alt_names().len(), 101);
        assert!(LeafIdentity::parse(issued.der(), &Limits::DEFAULT).is_err());
    }

    /// A signer that answers as a test wants.
    #[derive(Debug)]
    struct Scripted {
        public_key: SubjectPublicKeyInfoDer<'static>,
        answer: Option<Vec<u8>>,
        custody: Custody,
    }

    impl Scripted {
        fn new(public_key: SubjectPublicKeyInfoDer<'static>, answer: Option<Vec<u8>>) -> Self {
            Self { public_key, answer, custody: Custody::Elsewhere }
        }
    }

    impl Signer for Scripted {
        fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
            &self.public_key
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::EcdsaP256Sha256
        }

        fn custody(&self) -> Custody {
            self.custody
        }

        fn sign(&self, _message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
            let answer = self.answer.as_ref().ok_or_else(|| SignError::new(SignErrorKind::Unavailable))?;
            signature.iter_mut().zip(answer).for_each(|(to, from)| *to = *from);
            Ok(answer.len())
        }
    }

    fn sign(signer: &dyn Signer, authority: &Authority) -> IssueError {
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        prepare(authority, LeafKind::Scheduler, &der).unwrap().sign(signer, VERIFIERS).unwrap_err()
    }

    #[test]
    fn a_root_of_a_signer_that_fails_is_not_minted() {
        let public_key = key(KeyAlgorithm::P256).public_key().clone();
        let broken = Scripted::new(public_key, None);
        let validity = Validity::new(at(CA_VALIDITY.0), at(CA_VALIDITY.1)).unwrap();
        let mut ledger = KeyLedger::new();
        let admitted = ledger.admit_external("org.example.com".parse().unwrap(), &broken).unwrap();
        let error = mint_external_root(&admitted, validity, serial(), VERIFIERS).unwrap_err();
        assert!(matches!(&error, IssueError::Sign(cause) if cause.kind() == SignErrorKind::Unavailable), "{error}");
    }

    #[test]
    fn a_signer_with_another_key_is_not_asked() {
        let authority = cluster(KeyAlgorithm::P256);
        let foreign = Scripted::new(key(KeyAlgorithm::P256).public_key().clone(), None);
        let error = sign(&foreign, &authority);
        assert!(matches!(error, IssueError::ForeignKey), "{error}");
    }

    #[test]
    fn a_failing_signer_is_reported_with_its_kind() {
        let authority = cluster(KeyAlgorithm::P256);
        let broken = Scripted::new(authority.key.public_key().clone(), None);
        let error = sign(&broken, &authority);
        assert!(matches!(&error, IssueError::Sign(cause) if cause.kind() == SignErrorKind::Unavailable), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn a_signer_that_claims_more_than_its_buffer_is_refused() {
        let authority = cluster(KeyAlgorithm::P256);
        let liar = Scripted::new(authority.key.public_key().clone(), Some(vec![0x30; 1000]));
        let error = sign(&liar, &authority);
        assert!(matches!(&error, IssueError::Sign(cause) if cause.kind() == SignErrorKind::Other), "{error}");
    }

    #[test]
    fn a_signer_that_signs_nonsense_yields_no_certificate() {
        let authority = cluster(KeyAlgorithm::P256);
        let public_key = authority.key.public_key().clone();
        let stale = sign_to_vec(&authority.key, b"another message").unwrap();
        for answer in [vec![], vec![0x30, 0], stale] {
            let error = sign(&Scripted::new(public_key.clone(), Some(answer)), &authority);
            assert!(matches!(error, IssueError::BadSignature(VerifyError::BadSignature)), "{error}");
        }
    }

    #[test]
    fn an_rsa_key_that_signs_with_pss_yields_no_certificate() {
        let Authority { key, issuer } = cluster(KeyAlgorithm::Rsa2048);
        let authority = Authority { key: key.into_pss().unwrap(), issuer };
        let error = sign(&authority.key, &authority);
        let expected = "the signer's algorithm does not fit: expected sha256WithRSAEncryption, \
                        found RSASSA-PSS with SHA-256";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_signature_in_another_form_or_of_another_key_is_not_attached() {
        let authority = cluster(KeyAlgorithm::P256);
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        let assert_refused = |make: &dyn Fn(&[u8]) -> Vec<u8>| {
            let prepared = prepare(&authority, LeafKind::Scheduler, &der).unwrap();
            let signature = make(prepared.tbs_der());
            let error = prepared.attach_signature(&signature, VERIFIERS).unwrap_err();
            assert!(matches!(error, IssueError::BadSignature(VerifyError::BadSignature)), "{error}");
            assert_eq!(error.to_string(), "the fresh signature is not the issuer's: the signature does not verify");
        };
        let side_by_side = |tbs: &[u8]| {
            let der = sign_to_vec(&authority.key, tbs).unwrap();
            let r_end = 4 + usize::from(der[3]);
            [&der[4..r_end], &der[r_end + 2..]]
                .iter()
                .flat_map(|scalar| {
                    let mut padded = vec![0; 33];
                    padded[33 - scalar.len()..].copy_from_slice(scalar);
                    padded.split_off(1)
                })
                .collect()
        };
        assert_refused(&side_by_side);
        assert_refused(&|tbs| sign_to_vec(&key(KeyAlgorithm::P256), tbs).unwrap());
        assert_refused(&|tbs| sign_to_vec(&key(KeyAlgorithm::Ed25519), tbs).unwrap());
        assert_refused(&|_| vec![]);
    }

    #[test]
    fn a_signature_that_nobody_can_check_is_not_attached() {
        let authority = cluster(KeyAlgorithm::P256);
        let der = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        let prepared = prepare(&authority, LeafKind::Scheduler, &der).unwrap();
        let error = prepared.sign(&authority.key, Verifiers::new(&[])).unwrap_err();
        let unsupported = VerifyError::Unsupported(SignatureAlgorithm::EcdsaP256Sha256);
        assert!(matches!(error, IssueError::BadSignature(cause) if cause == unsupported), "{error}");
    }

    // ---- many at once

    fn order(request: Vec<u8>) -> BatchOrder<'static> {
        let leaf = LeafKind::KubeletServing;
        BatchOrder { leaf, request: request.into(), approval: approval(leaf, Duration::DAY), serial: serial() }
    }

    #[test]
    fn a_request_of_a_batch_may_be_pem_and_one_that_differs_from_its_approval_gets_nothing() {
        let authority = cluster(KeyAlgorithm::P256);
        let good = request(LeafKind::KubeletServing, &key(KeyAlgorithm::P256));
        let pem = encode_pem(CERTIFICATE_REQUEST, &good).into_bytes();
        let other = request(LeafKind::Scheduler, &key(KeyAlgorithm::P256));
        let batch = Batch::new(&authority.key, VERIFIERS, at(NOW));
        let (orders, mut outcomes) = ([pem, other].map(order), Vec::new());
        authority.issuer.issue_batch(&batch, orders, |outcome| outcomes.push(outcome));
        let [Ok(issued), Err(BatchError::Issue(refused))] = &outcomes[..] else { panic!("{outcomes:?}") };
        assert!(matches!(refused, IssueError::Subject(_)), "{refused}");
        let bundle = TrustBundle::new([authority.issuer.certificate().clone()]).unwrap();
        verify_chain(issued.der(), &[], &bundle, ExtendedKeyUsage::ServerAuth, &Limits::DEFAULT, VERIFIERS, at(NOW))
            .unwrap();
    }

    #[test]
    fn what_a_batch_holds_does_not_grow_with_it() {
        let (authority, threads) = (cluster(KeyAlgorithm::P256), 2);
        let good = request(LeafKind::KubeletServing, &key(KeyAlgorithm::Ed25519));
        let (asked, given, held) = (Cell::new(0_usize), Cell::new(0_usize), Cell::new(0_usize));
        let orders = (0..1_200).map(|_| {
            asked.set(asked.get() + 1);
            held.set(held.get().max(asked.get() - given.get()));
            order(good.clone())
        });
        let batch = Batch::new(&authority.key, VERIFIERS, at(NOW))
            .on_threads(NonZeroUsize::new(threads).unwrap())
            .with_self_check(SelfCheck::ExceptInProcess);
        authority.issuer.issue_batch(&batch, orders, |outcome| {
            outcome.unwrap();
            given.set(given.get() + 1);
        });
        assert_eq!((asked.get(), given.get()), (1_200, 1_200));
        assert_eq!(held.get(), threads * Batch::ORDERS_PER_THREAD);
    }
}
