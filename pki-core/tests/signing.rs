//! From a request to what a signer of `certificates.k8s.io` writes, beside what kube-controller-manager was seen to write.

#[cfg(test)]
#[expect(dead_code, reason = "here requests are granted by a signer's policy, not approved")]
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
    use pki_core::kubernetes::{
        ApprovedByAddress, Granted, NodeAddress, NodeAddressType, NodeAddresses, Requestor, SignerName, SignerPolicy,
        SigningRequest, Usages,
    };
    use pki_core::{
        AuthorityRole, CaVersion, CertificationRequest, IssueError, IssuedCertificate, Issuer, KeyAlgorithm, LeafKind,
        Limits, ProvenRequest, Purpose, Subject, SubjectAltName, UnusedExtensions, create_request,
    };
    use time::Duration;
    use x509_cert::Certificate;
    use x509_cert::der::Decode;
    use x509_cert::ext::pkix::name::GeneralName;
    use x509_cert::ext::pkix::{
        AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName as Names,
        SubjectKeyIdentifier,
    };

    use crate::authority::{Authority, CA_VALIDITY, NOW, at, serial};
    use crate::keys::{VERIFIERS, key};
    use crate::tools::{room, run};

    const CLIENT: &[&str] = &["digital signature", "client auth"];
    const SERVER: &[&str] = &["digital signature", "server auth"];
    const YEAR: Duration = Duration::hours(8_760);

    fn cluster() -> Authority {
        Authority::mint(AuthorityRole::Cluster, CaVersion::FIRST, KeyAlgorithm::P256)
    }

    fn proven(der: &[u8]) -> ProvenRequest<'_> {
        CertificationRequest::parse(der, &Limits::DEFAULT).unwrap().prove(VERIFIERS).unwrap()
    }

    fn node() -> Subject {
        Subject::user("system:node:node-1", &["system:nodes"]).unwrap()
    }

    fn serving_names() -> [SubjectAltName; 2] {
        [SubjectAltName::dns("node-1").unwrap(), SubjectAltName::ip("10.0.0.11".parse().unwrap()).unwrap()]
    }

    fn granted(signer: &SignerName, usages: &[&str], seconds: Option<i32>, request: &ProvenRequest<'_>) -> Granted {
        let names = request.presented_names().unwrap();
        let usages = Usages::parse(usages.iter().copied()).unwrap();
        let request =
            SigningRequest::new(signer.clone(), usages, &names).lasting(seconds).for_key(request.public_key());
        SignerPolicy::new(signer.clone()).unwrap().evaluate(&request).unwrap()
    }

    fn issue_from(
        authority: &Authority,
        (signer, usages, seconds): (SignerName, &[&str], Option<i32>),
        der: &[u8],
        unused: UnusedExtensions,
        now: i64,
    ) -> Result<IssuedCertificate, IssueError> {
        let request = proven(der);
        let granted = granted(&signer, usages, seconds, &request);
        let verified = request.read(unused).unwrap();
        let prepared = authority.issuer.prepare_for_signer(granted, &verified, serial(), at(now))?;
        prepared.sign(&authority.key, VERIFIERS)
    }

    fn issue(
        asked: (SignerName, &[&str], Option<i32>),
        subject: &Subject,
        names: &[SubjectAltName],
        algorithm: KeyAlgorithm,
    ) -> (Authority, IssuedCertificate) {
        let authority = cluster();
        let der = create_request(subject, names, &key(algorithm)).unwrap();
        let issued = issue_from(&authority, asked, &der, UnusedExtensions::Refuse, NOW).unwrap();
        (authority, issued)
    }

    fn parsed(issued: &IssuedCertificate) -> Certificate {
        Certificate::from_der(issued.der()).unwrap()
    }

    fn key_usage(certificate: &Certificate) -> Option<KeyUsage> {
        let found = certificate.tbs_certificate().get_extension::<KeyUsage>().unwrap();
        assert!(found.as_ref().is_none_or(|(critical, _)| *critical));
        found.map(|(_, usage)| usage)
    }

    fn purposes(certificate: &Certificate) -> Vec<String> {
        let (critical, found) = certificate.tbs_certificate().get_extension::<ExtendedKeyUsage>().unwrap().unwrap();
        assert!(!critical);
        found.0.iter().map(ToString::to_string).collect()
    }

    // ---- what is written

    #[test]
    fn a_kubelets_client_certificate_has_the_form_that_the_real_signer_writes() {
        let asked = (SignerName::KubeApiServerClientKubelet, CLIENT, None);
        let (authority, issued) = issue(asked, &node(), &[], KeyAlgorithm::P256);
        assert_eq!(*issued.purpose(), Purpose::Signer(SignerName::KubeApiServerClientKubelet));
        let certificate = parsed(&issued);
        let tbs = certificate.tbs_certificate();
        assert_eq!(tbs.subject().to_string(), "CN=system:node:node-1,O=system:nodes");
        assert_eq!(key_usage(&certificate), Some(KeyUsage(KeyUsages::DigitalSignature.into())));
        assert_eq!(purposes(&certificate), ["1.3.6.1.5.5.7.3.2"]);
        let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
        assert_eq!((critical, constraints.ca, constraints.path_len_constraint), (true, false, None));
        let (_, authority_id) = tbs.get_extension::<AuthorityKeyIdentifier>().unwrap().unwrap();
        assert_eq!(authority_id.key_identifier.unwrap().as_bytes(), authority.issuer.certificate().subject_key_id());
        // The real signer leaves this one out; RFC 5280 4.2.1.2 says SHOULD.
        assert!(tbs.get_extension::<SubjectKeyIdentifier>().unwrap().is_some());
        assert!(tbs.get_extension::<Names>().unwrap().is_none());
        assert_eq!(issued.serial().as_bytes().len(), 17);
    }

    #[test]
    fn usages_come_from_the_specification_and_only_as_far_as_the_key_can_do_them() {
        let enciphering = &["key encipherment", "digital signature", "client auth"];
        let both = KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment;
        for (algorithm, expected) in [
            (KeyAlgorithm::Rsa2048, both),
            (KeyAlgorithm::P256, KeyUsages::DigitalSignature.into()),
            (KeyAlgorithm::Ed25519, KeyUsages::DigitalSignature.into()),
        ] {
            let asked = (SignerName::KubeApiServerClientKubelet, enciphering.as_slice(), None);
            let (_, issued) = issue(asked, &node(), &[], algorithm);
            assert_eq!(key_usage(&parsed(&issued)), Some(KeyUsage(expected)), "{algorithm}");
        }
        let jane = Subject::user("jane", &["developers"]).unwrap();
        let asked = (SignerName::KubeApiServerClient, ["client auth"].as_slice(), None);
        let (_, issued) = issue(asked, &jane, &[], KeyAlgorithm::P256);
        assert_eq!(key_usage(&parsed(&issued)), None);
        assert_eq!(purposes(&parsed(&issued)), ["1.3.6.1.5.5.7.3.2"]);
    }

    #[test]
    fn groups_and_names_of_a_client_are_kept_as_upstream_keeps_them() {
        let jane = Subject::user("jane", &["developers", "auditors"]).unwrap();
        let names = [SubjectAltName::dns("jane.example.com").unwrap()];
        let (_, issued) = issue((SignerName::KubeApiServerClient, CLIENT, None), &jane, &names, KeyAlgorithm::P256);
        let certificate = parsed(&issued);
        assert_eq!(certificate.tbs_certificate().subject().to_string(), "CN=jane,O=auditors,O=developers");
        let (_, found) = certificate.tbs_certificate().get_extension::<Names>().unwrap().unwrap();
        let [GeneralName::DnsName(name)] = &found.0[..] else { panic!("{found:?}") };
        assert_eq!(name.as_str(), "jane.example.com");
    }

    #[test]
    fn validity_is_backdated_clamped_and_cut_as_upstream_does() {
        let validity = |seconds| {
            let asked = (SignerName::KubeApiServerClientKubelet, CLIENT, seconds);
            let (_, issued) = issue(asked, &node(), &[], KeyAlgorithm::P256);
            let validity = issued.validity();
            (validity.not_before() - at(NOW), validity.not_after() - at(NOW))
        };
        let backdate = Duration::minutes(5);
        assert_eq!(validity(None), (-backdate, YEAR - backdate));
        assert_eq!(validity(Some(600)), (-backdate, Duration::minutes(10)));
        assert_eq!(validity(Some(28_799)), (-backdate, Duration::seconds(28_799)));
        assert_eq!(validity(Some(28_800)), (-backdate, Duration::hours(8) - backdate));
        assert_eq!(validity(Some(i32::MAX)), (-backdate, YEAR - backdate));

        let authority = cluster();
        let der = create_request(&node(), &[], &key(KeyAlgorithm::P256)).unwrap();
        let asked = || (SignerName::KubeApiServerClientKubelet, CLIENT, None);
        let late = issue_from(&authority, asked(), &der, UnusedExtensions::Refuse, CA_VALIDITY.1 - 60).unwrap();
        assert_eq!(late.validity().not_after(), at(CA_VALIDITY.1));
        let expired = issue_from(&authority, asked(), &der, UnusedExtensions::Refuse, CA_VALIDITY.1).unwrap_err();
        let text = "refusing to sign a certificate that expired in the past: NotAfter=2060-01-01 00:00:00 +0000 UTC";
        assert_eq!((expired.code(), expired.to_string()), ("duration.expired_in_the_past", text.to_owned()));
        let gone = issue_from(&authority, asked(), &der, UnusedExtensions::Refuse, CA_VALIDITY.1 + 300).unwrap_err();
        assert_eq!(gone.to_string(), "the signer has expired: NotAfter=2060-01-01 00:00:00 +0000 UTC");
    }

    #[test]
    fn a_serving_certificate_is_marked_by_what_proved_its_names() {
        let der = create_request(&node(), &serving_names(), &key(KeyAlgorithm::P256)).unwrap();
        let request = proven(&der);
        let names = request.presented_names().unwrap();
        let usages = Usages::parse(SERVER.iter().copied()).unwrap();
        let groups = ["system:nodes".to_owned()];
        let known = [(NodeAddressType::InternalIP, "10.0.0.11"), (NodeAddressType::Hostname, "node-1")];
        let known = known.map(|(address_type, address)| NodeAddress { address_type, address: address.to_owned() });
        let known = NodeAddresses::new("node-1".parse().unwrap(), &known);
        let asked = SigningRequest::new(SignerName::KubeletServing, usages, &names)
            .for_key(request.public_key())
            .by(Requestor { username: "system:node:node-1", groups: &groups });
        let policy = SignerPolicy::new(SignerName::KubeletServing).unwrap();
        assert_eq!(policy.evaluate(&asked).unwrap().approved_by_address(), Some(ApprovedByAddress::No));
        let granted = policy.evaluate(&asked.with_addresses(&known)).unwrap();
        assert_eq!(granted.approved_by_address(), Some(ApprovedByAddress::Yes));
        let authority = cluster();
        let verified = request.read(UnusedExtensions::Refuse).unwrap();
        let prepared = authority.issuer.prepare_for_signer(granted, &verified, serial(), at(NOW)).unwrap();
        assert_eq!(prepared.record().subject_alt_names, serving_names());
    }

    #[test]
    fn extensions_of_a_request_are_dropped_where_that_was_asked_for_and_never_copied() {
        let room = room("signing-drop");
        let (config, key) = (room.join("config"), room.join("key"));
        std::fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        let (config, key) = (config.to_str().unwrap(), key.to_str().unwrap());
        let (made, der, said) = run(
            "openssl",
            &[
                "req",
                "-new",
                "-config",
                config,
                "-nodes",
                "-keyout",
                key,
                "-outform",
                "DER",
                "-newkey",
                "ed25519",
                "-subj",
                "/CN=jane",
                "-addext",
                "extendedKeyUsage=serverAuth,codeSigning",
                "-addext",
                "keyUsage=critical,nonRepudiation",
                "-addext",
                "certificatePolicies=1.2.3",
                "-addext",
                "tlsfeature=status_request",
            ],
            &[],
        );
        assert!(made, "{said}");
        let refused = proven(&der).read(UnusedExtensions::Refuse).unwrap_err();
        assert_eq!(refused.code(), "request.extended_key_usage");
        let asked = (SignerName::KubeApiServerClient, CLIENT, None);
        let issued = issue_from(&cluster(), asked, &der, UnusedExtensions::Drop, NOW).unwrap();
        let certificate = parsed(&issued);
        assert_eq!(key_usage(&certificate), Some(KeyUsage(KeyUsages::DigitalSignature.into())));
        assert_eq!(purposes(&certificate), ["1.3.6.1.5.5.7.3.2"]);
        let count = certificate.tbs_certificate().extensions().map_or(0, |extensions| extensions.len());
        assert_eq!(count, 5, "keyUsage, extKeyUsage, basicConstraints and the two key identifiers");
    }

    // ---- what is refused

    #[test]
    fn a_grant_serves_the_request_that_it_was_given_for() {
        let authority = cluster();
        let key = key(KeyAlgorithm::P256);
        let [jane, john] =
            ["jane", "john"].map(|user| create_request(&Subject::user(user, &[]).unwrap(), &[], &key).unwrap());
        let granted = granted(&SignerName::KubeApiServerClient, CLIENT, None, &proven(&jane));
        let other = proven(&john).read(UnusedExtensions::Refuse).unwrap();
        let error = authority.issuer.prepare_for_signer(granted, &other, serial(), at(NOW)).unwrap_err();
        assert_eq!(error.to_string(), "the subject is not the approved one: expected `CN=jane`, found `CN=john`");
    }

    #[test]
    fn a_grant_for_one_key_does_not_serve_another() {
        let authority = cluster();
        let jane = Subject::user("jane", &[]).unwrap();
        let [approved, other] = [(); 2].map(|()| create_request(&jane, &[], &key(KeyAlgorithm::P256)).unwrap());
        let request = proven(&approved);
        let names = request.presented_names().unwrap();
        let usages = Usages::parse(CLIENT.iter().copied()).unwrap();
        let asked = SigningRequest::new(SignerName::KubeApiServerClient, usages, &names).for_key(request.public_key());
        let policy = SignerPolicy::new(SignerName::KubeApiServerClient).unwrap();
        let prepare = |der: &[u8]| {
            let (granted, verified) = (policy.evaluate(&asked).unwrap(), proven(der).read(UnusedExtensions::Refuse));
            authority.issuer.prepare_for_signer(granted, &verified.unwrap(), serial(), at(NOW)).map(|_| ())
        };
        assert!(prepare(&approved).is_ok());
        assert_eq!(prepare(&other).unwrap_err().code(), "issue.other_request");
        // A grant that says no key serves none.
        let usages = Usages::parse(CLIENT.iter().copied()).unwrap();
        let unbound = policy.evaluate(&SigningRequest::new(SignerName::KubeApiServerClient, usages, &names)).unwrap();
        let verified = proven(&approved).read(UnusedExtensions::Refuse).unwrap();
        let error = authority.issuer.prepare_for_signer(unbound, &verified, serial(), at(NOW)).unwrap_err();
        assert_eq!(error.code(), "issue.other_request");
    }

    #[test]
    fn a_request_that_expects_another_usage_than_was_granted_is_refused() {
        let room = room("signing-usage");
        let (config, key) = (room.join("config"), room.join("key"));
        std::fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n").unwrap();
        let (config, key) = (config.to_str().unwrap(), key.to_str().unwrap());
        let arguments = ["req", "-new", "-config", config, "-nodes", "-keyout", key, "-outform", "DER"];
        let wanted = ["-newkey", "ed25519", "-subj", "/CN=jane", "-addext", "extendedKeyUsage=serverAuth"];
        let (made, der, said) = run("openssl", &[&arguments[..], &wanted].concat(), &[]);
        assert!(made, "{said}");
        let issue = |unused| issue_from(&cluster(), (SignerName::KubeApiServerClient, CLIENT, None), &der, unused, NOW);
        let error = issue(UnusedExtensions::Refuse).unwrap_err();
        assert_eq!(error.to_string(), "`kubernetes.io/kube-apiserver-client` does not allow `serverAuth`");
        assert_eq!(purposes(&parsed(&issue(UnusedExtensions::Drop).unwrap())), ["1.3.6.1.5.5.7.3.2"]);
    }

    #[test]
    fn a_grant_for_some_names_does_not_serve_a_request_for_others() {
        let authority = cluster();
        let key = key(KeyAlgorithm::P256);
        let approved = create_request(&node(), &serving_names(), &key).unwrap();
        let more = [&serving_names()[..], &[SubjectAltName::dns("node-2").unwrap()]].concat();
        let asked = create_request(&node(), &more, &key).unwrap();
        let granted = granted(&SignerName::KubeletServing, SERVER, None, &proven(&approved));
        let other = proven(&asked).read(UnusedExtensions::Refuse).unwrap();
        let error = authority.issuer.prepare_for_signer(granted, &other, serial(), at(NOW)).unwrap_err();
        assert_eq!(error.code(), "issue.subject_alt_names");
    }

    #[test]
    fn an_authority_that_does_not_issue_what_a_signer_signs_refuses() {
        let authority = cluster();
        let etcd = Issuer::new(authority.issuer.certificate().clone(), [LeafKind::EtcdServer]).unwrap();
        for (signer, usages, names) in [
            (SignerName::KubeApiServerClientKubelet, CLIENT, &[][..]),
            (SignerName::KubeletServing, SERVER, &serving_names()),
            (SignerName::KubeApiServerClient, CLIENT, &[]),
            (SignerName::LegacyUnknown, CLIENT, &[]),
        ] {
            let is_of_nodes = matches!(signer, SignerName::KubeApiServerClientKubelet | SignerName::KubeletServing);
            let subject = if is_of_nodes { node() } else { Subject::user("jane", &[]).unwrap() };
            let der = create_request(&subject, names, &key(KeyAlgorithm::P256)).unwrap();
            let granted = granted(&signer, usages, None, &proven(&der));
            let verified = proven(&der).read(UnusedExtensions::Refuse).unwrap();
            let error = etcd.prepare_for_signer(granted, &verified, serial(), at(NOW)).unwrap_err();
            assert!(matches!(error, IssueError::NotThisIssuer(_)), "{signer}: {error}");
        }
    }
}
