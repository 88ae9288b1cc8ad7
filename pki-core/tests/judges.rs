//! Every shape of certificate that this crate issues, before independent judges: OpenSSL, GnuTLS, Python's cryptography,
//! pkilint, and this crate's own relying party. Each accepts what is fit and refuses the rest for the right reason.

#[cfg(test)]
#[expect(dead_code, reason = "here everything is issued in the present, and with keys that are made once")]
#[path = "support/authority.rs"]
mod authority;
#[cfg(test)]
#[path = "support/judges.rs"]
mod judges;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;
#[cfg(test)]
#[path = "support/tools.rs"]
mod tools;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::LazyLock;

    use pki_core::kubernetes::{SignerName, SignerPolicy, SigningRequest, Usages};
    use pki_core::{
        Approval, AuthorityRole, CaCertificate, CaVersion, CertificationRequest, Hierarchy, Issuer, KeyAlgorithm,
        KeyLedger, LeafKind, Limits, Preset, Subject, SubjectAltName, UnusedExtensions, Validity, create_request,
        cross_sign, mint_external_root,
    };
    use rustls_pki_types::{CertificateDer, ServerName};
    use signer_hsm::SoftwareKey;
    use time::{Duration, UtcDateTime};
    use x509_cert::Certificate;
    use x509_cert::der::Decode;
    use x509_cert::der::oid::db::rfc8410::ID_ED_25519;

    use crate::authority::{ADDRESS, Authority, DNS_NAME, approval, at, names_of, request, serial};
    use crate::judges::{
        Case, Fault, Finding, RelyingParty, Verdict, gnutls, openssl, pkilint, python_cryptography, this_crate,
    };
    use crate::keys::{VERIFIERS, key};
    use crate::tools::{room, run};

    /// The present, in which everything is issued: certtool cannot be told another time.
    #[expect(clippy::disallowed_methods, reason = "one of the judges asks the real clock")]
    static NOW: LazyLock<i64> = LazyLock::new(|| UtcDateTime::now().unix_timestamp());

    const DAY: i64 = 86_400;
    const YEAR: i64 = 365 * DAY;
    /// 2050-01-01T00:00:00Z, from which on a time is a GeneralizedTime (RFC 5280 4.1.2.5).
    const YEAR_2050: i64 = 2_524_608_000;

    static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
        [
            every_leaf_of_every_preset(),
            kubernetes_signers(),
            one_fault_each(),
            every_address(),
            two_generations(),
            external_roots(),
            around_2050(),
            adopted_intermediate(),
        ]
        .into_iter()
        .flatten()
        .collect()
    });

    /// RSA keys take long to make, so all leaves share these, all roots the next, and roots of the same name the last.
    static LEAF_KEYS: LazyLock<BTreeMap<KeyAlgorithm, SoftwareKey>> = LazyLock::new(keys);
    static ROOT_KEYS: LazyLock<BTreeMap<KeyAlgorithm, SoftwareKey>> = LazyLock::new(keys);
    static NAMESAKE_KEYS: LazyLock<BTreeMap<KeyAlgorithm, SoftwareKey>> = LazyLock::new(keys);

    fn keys() -> BTreeMap<KeyAlgorithm, SoftwareKey> {
        KeyAlgorithm::ALL.into_iter().map(|algorithm| (algorithm, key(algorithm))).collect()
    }

    type Root = Authority<&'static SoftwareKey>;

    fn present() -> UtcDateTime {
        at(*NOW)
    }

    fn der_of(authority: &Root) -> CertificateDer<'static> {
        authority.issuer.certificate().der().clone()
    }

    /// Old enough for leaves of the day before yesterday.
    fn cluster(key: &'static SoftwareKey) -> Root {
        let validity = (*NOW - 10 * DAY, *NOW + YEAR);
        Authority::mint_with(key, AuthorityRole::Cluster, CaVersion::FIRST, validity)
    }

    /// A leaf of a day, with the usual names.
    fn issue(authority: &Root, leaf: LeafKind, now: UtcDateTime) -> CertificateDer<'static> {
        let der = request(leaf, &LEAF_KEYS[&KeyAlgorithm::P256]);
        authority.approve(leaf, &der, &approval(leaf, Duration::DAY), now).der().clone()
    }

    /// One leaf for servers and one for clients, and who looks at them.
    fn both_sides() -> [(LeafKind, RelyingParty); 2] {
        [(LeafKind::KubeletServing, RelyingParty::client_of(DNS_NAME)), (LeafKind::KubeletClient, RelyingParty::Server)]
    }

    fn case(
        name: impl Into<String>,
        anchors: &[&Root],
        leaf: &CertificateDer<'static>,
        party: RelyingParty,
        fault: Option<Fault>,
    ) -> Case {
        let anchors = anchors.iter().map(|anchor| der_of(anchor)).collect();
        Case { name: name.into(), anchors, intermediates: vec![], leaf: leaf.clone(), party, at: *NOW, fault }
    }

    /// With the lifetimes of the preset, roots of each kind of key, and leaves of each kind in turn.
    fn every_leaf_of_every_preset() -> Vec<Case> {
        let mut cases = vec![];
        for algorithm in KeyAlgorithm::ALL {
            let mut leaf_keys = LEAF_KEYS.values().cycle();
            for preset in Preset::ALL {
                let hierarchy = Hierarchy::preset(preset);
                for &role in hierarchy.roles() {
                    let Some(lifetime) = hierarchy.ca_lifetime(role) else { continue };
                    let (from, to) = (present() - hierarchy.ca_backdate(), present() + lifetime);
                    let validity = (from.unix_timestamp(), to.unix_timestamp());
                    let authority = Authority::mint_with(&ROOT_KEYS[&algorithm], role, CaVersion::FIRST, validity);
                    for leaf in hierarchy.leaves_of(role) {
                        let leaf_key = leaf_keys.next().unwrap();
                        let name =
                            format!("{preset}: {leaf} with {} from {role} with {algorithm}", leaf_key.key_algorithm());
                        let lifetime = hierarchy.leaf_lifetime();
                        let issued =
                            authority.approve(leaf, &request(leaf, leaf_key), &approval(leaf, lifetime), present());
                        for party in [RelyingParty::client_of(DNS_NAME), RelyingParty::Server] {
                            let fit = leaf.extended_key_usage().contains(&party.usage());
                            let fault = if fit { None } else { Some(Fault::Usage) };
                            cases.push(case(&name, &[&authority], issued.der(), party, fault));
                        }
                    }
                }
            }
        }
        cases
    }

    /// What the signers of `certificates.k8s.io` write for the usages asked for, none of them and several among them.
    fn kubernetes_signers() -> Vec<Case> {
        let node = || Subject::user("system:node:node-1", &["system:nodes"]).unwrap();
        let jane = || Subject::user("jane", &["developers", "auditors"]).unwrap();
        let (signing, enciphering) = ("digital signature", "key encipherment");
        let mut cases = vec![];
        for (signer, subject, usages) in [
            (SignerName::KubeApiServerClientKubelet, node(), &[signing, "client auth"][..]),
            (SignerName::KubeApiServerClientKubelet, node(), &[signing, enciphering, "client auth"]),
            (SignerName::KubeletServing, node(), &[signing, enciphering, "server auth"]),
            (SignerName::KubeApiServerClient, jane(), &["client auth"]),
            (SignerName::KubeApiServerClient, jane(), &[signing, enciphering, "client auth"]),
            (SignerName::LegacyUnknown, jane(), &[signing, "server auth", "client auth", "code signing"]),
            (SignerName::LegacyUnknown, jane(), &[signing, "email protection"]),
        ] {
            let has_names = matches!(signer, SignerName::KubeletServing | SignerName::LegacyUnknown);
            let names = if has_names { names_of(LeafKind::KubeletServing) } else { vec![] };
            for (algorithm, leaf_key) in LEAF_KEYS.iter() {
                let authority = cluster(&ROOT_KEYS[algorithm]);
                let der = create_request(&subject, &names, leaf_key).unwrap();
                let request = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap().prove(VERIFIERS).unwrap();
                let presented = request.presented_names().unwrap();
                let asked = Usages::parse(usages.iter().copied()).unwrap();
                let asked = SigningRequest::new(signer.clone(), asked, &presented).for_key(request.public_key());
                let granted = SignerPolicy::new(signer.clone()).unwrap().evaluate(&asked).unwrap();
                let request = request.read(UnusedExtensions::Refuse).unwrap();
                let prepared = authority.issuer.prepare_for_signer(granted, &request, serial(), present()).unwrap();
                let issued = prepared.sign(authority.key, VERIFIERS).unwrap();
                for (party, usage) in
                    [(RelyingParty::client_of(DNS_NAME), "server auth"), (RelyingParty::Server, "client auth")]
                {
                    let fault = if usages.contains(&usage) { None } else { Some(Fault::Usage) };
                    let name = format!("{signer}: {usages:?}, {algorithm}");
                    cases.push(case(name, &[&authority], issued.der(), party, fault));
                }
            }
        }
        cases
    }

    /// What nobody may accept, from roots of each kind of key.
    fn one_fault_each() -> Vec<Case> {
        let mut cases = vec![];
        for algorithm in KeyAlgorithm::ALL {
            let (authority, namesake) = (cluster(&ROOT_KEYS[&algorithm]), cluster(&NAMESAKE_KEYS[&algorithm]));
            for (leaf, party) in both_sides() {
                let mut judge =
                    |what: &str, anchors: &[&Root], leaf: &CertificateDer<'static>, fault: Option<Fault>| {
                        cases.push(case(format!("{what}, {algorithm}"), anchors, leaf, party.clone(), fault));
                    };
                let issued = issue(&authority, leaf, present());
                judge("root behind its namesake", &[&namesake, &authority], &issued, None);
                judge("its namesake alone", &[&namesake], &issued, Some(Fault::Issuer));
                let past = issue(&authority, leaf, at(*NOW - 2 * DAY));
                judge("expired", &[&authority], &past, Some(Fault::Expired));
                let future = issue(&authority, leaf, at(*NOW + 2 * DAY));
                judge("not valid yet", &[&authority], &future, Some(Fault::NotYetValid));
                // The serial begins at octet 15; a signature ends with the certificate.
                for (what, position) in [("serial changed", 20), ("signature changed", issued.len() - 10)] {
                    let mut changed = issued.to_vec();
                    changed[position] ^= 0x10;
                    judge(what, &[&authority], &changed.into(), Some(Fault::Signature));
                }
            }
            let serving = issue(&authority, LeafKind::KubeletServing, present());
            for other in ["node-2.example.com", "example.com", "node-1", "a.node-1.example.com", "10.0.0.2", "fd00::1"]
            {
                let party = RelyingParty::client_of(other);
                cases.push(case(
                    format!("another name, {algorithm}"),
                    &[&authority],
                    &serving,
                    party,
                    Some(Fault::Name),
                ));
            }
        }
        cases
    }

    /// IPv4 and IPv6, and as many names as fit.
    fn every_address() -> Vec<Case> {
        let authority = cluster(&ROOT_KEYS[&KeyAlgorithm::P256]);
        let addresses = [ADDRESS, "127.0.0.1", "fd00::1", "::1", "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe"];
        let mut names: Vec<_> =
            addresses.iter().map(|text| SubjectAltName::ip(text.parse().unwrap()).unwrap()).collect();
        let first = ["kubernetes", DNS_NAME].map(|name| SubjectAltName::dns(name).unwrap());
        names.extend(first);
        names.extend((names.len()..100).map(|index| SubjectAltName::dns(&format!("n{index}.example.com")).unwrap()));
        let issue = |names: &[SubjectAltName]| {
            let leaf = LeafKind::ApiServer;
            let der = create_request(&leaf.subject(None).unwrap(), names, &LEAF_KEYS[&KeyAlgorithm::P256]).unwrap();
            let approval = Approval::new(Duration::DAY).with_names(names.iter().cloned());
            authority.approve(leaf, &der, &approval, present()).der().clone()
        };
        let (all, addresses_only) = (issue(&names), issue(&names[..addresses.len()]));
        let mut cases = vec![];
        for name in addresses.into_iter().chain(["kubernetes", DNS_NAME, "n99.example.com"]) {
            cases.push(case("100 names", &[&authority], &all, RelyingParty::client_of(name), None));
        }
        for (name, fault) in addresses.map(|address| (address, None)).into_iter().chain([(DNS_NAME, Some(Fault::Name))])
        {
            cases.push(case("addresses only", &[&authority], &addresses_only, RelyingParty::client_of(name), fault));
        }
        for other in ["10.0.0.2", "fd00::2", "n100.example.com"] {
            let party = RelyingParty::client_of(other);
            cases.push(case("100 names, none of them it", &[&authority], &all, party, Some(Fault::Name)));
        }
        cases
    }

    /// The second generation has another kind of key than the first, which has signed a cross-certificate for it.
    fn two_generations() -> Vec<Case> {
        let mut cases = vec![];
        for (old, new) in ROOT_KEYS.values().zip(ROOT_KEYS.values().cycle().skip(1)) {
            let (first, validity) = (cluster(old), (*NOW - DAY, *NOW + YEAR));
            let second = Authority::mint_with(new, AuthorityRole::Cluster, CaVersion::FIRST.next(), validity);
            let [first_root, second_root] = [&first, &second].map(|authority| authority.issuer.certificate());
            let cross = cross_sign(second_root, first_root, serial(), present(), old, VERIFIERS).unwrap();
            for (leaf, party) in both_sides() {
                for (issuer, other) in [(&first, &second), (&second, &first)] {
                    let issued = issue(issuer, leaf, present());
                    let name = format!("{leaf}, {} then {}", old.key_algorithm(), new.key_algorithm());
                    cases.push(case(&name, &[&first, &second], &issued, party.clone(), None));
                    cases.push(case(&name, &[issuer], &issued, party.clone(), None));
                    cases.push(case(&name, &[other], &issued, party.clone(), Some(Fault::Issuer)));
                }
                let name = format!("{leaf}, {} crossed by {}", new.key_algorithm(), old.key_algorithm());
                let across = case(name, &[&first], &issue(&second, leaf, present()), party, None);
                cases.push(Case { intermediates: vec![cross.der().clone()], ..across });
            }
        }
        cases
    }

    /// An organization's CA that serves clients outside the cluster.
    fn external_roots() -> Vec<Case> {
        let cases = KeyAlgorithm::ALL.map(|algorithm| {
            let key = &ROOT_KEYS[&algorithm];
            let validity = Validity::new(at(*NOW - DAY), at(*NOW + YEAR)).unwrap();
            let name = "org.example.com".parse().unwrap();
            let mut ledger = KeyLedger::new();
            let admitted = ledger.admit_external(name, key).unwrap();
            let root = mint_external_root(&admitted, validity, serial(), VERIFIERS).unwrap();
            let authority = Authority { key, issuer: Issuer::new(root, [LeafKind::ApiServer]).unwrap() };
            let issued = issue(&authority, LeafKind::ApiServer, present());
            let name = format!("external root, {algorithm}");
            case(name, &[&authority], &issued, RelyingParty::client_of(DNS_NAME), None)
        });
        cases.into()
    }

    /// Validities that end in the last second of 2049, in the first of 2050 and later, and one that begins later.
    fn around_2050() -> Vec<Case> {
        let (leaf_key, root_key) = (&LEAF_KEYS[&KeyAlgorithm::P256], &ROOT_KEYS[&KeyAlgorithm::P256]);
        let here = || RelyingParty::client_of(DNS_NAME);
        let mut cases = vec![];
        for root_ends in [YEAR_2050 - 1, YEAR_2050, YEAR_2050 + 10 * YEAR] {
            let validity = (*NOW - DAY, root_ends);
            let authority = Authority::mint_with(root_key, AuthorityRole::Cluster, CaVersion::FIRST, validity);
            for leaf_ends in [YEAR_2050 - 1, YEAR_2050, YEAR_2050 + 5 * YEAR] {
                let (leaf, lifetime) = (LeafKind::Webhook, Duration::seconds(leaf_ends - *NOW));
                let issued = authority.approve(leaf, &request(leaf, leaf_key), &approval(leaf, lifetime), present());
                let name = format!("until {leaf_ends} from a root until {root_ends}");
                let today = case(name, &[&authority], issued.der(), here(), None);
                let last = issued.validity().not_after().unix_timestamp();
                assert_eq!(last, leaf_ends.min(root_ends));
                // OpenSSL counts the last second out (X509_cmp_time), RFC 5280 4.1.2.5 counts it in.
                let end = Case { at: last - 1, ..today.clone() };
                cases.extend([today, Case { at: last + 1, fault: Some(Fault::Expired), ..end.clone() }, end]);
            }
            if root_ends > YEAR_2050 {
                let later = YEAR_2050 + YEAR;
                let issued = issue(&authority, LeafKind::Webhook, at(later));
                let today = case("of 2051", &[&authority], &issued, here(), Some(Fault::NotYetValid));
                cases.extend([Case { at: later, fault: None, ..today.clone() }, today]);
            }
        }
        cases
    }

    /// A cluster's CA below an organization's root, both made by openssl.
    fn adopted_intermediate() -> Vec<Case> {
        let room = room("judges-adopted");
        let path = |name: &str| room.join(name).to_str().unwrap().to_owned();
        let openssl = |arguments: &str| {
            let paths =
                ["config", "root.key", "root.pem", "ca.key", "ca.csr"].map(|name| (format!("@{name}"), path(name)));
            let arguments = arguments.split(' ').map(|argument| {
                paths.iter().find(|(name, _)| name == argument).map_or(argument, |(_, path)| path.as_str())
            });
            let (made, output, said) = run("openssl", &arguments.collect::<Vec<_>>(), &[]);
            assert!(made, "{said}");
            output
        };
        let config = "[req]\ndistinguished_name = name\n[name]\n[ca]\nbasicConstraints = critical, CA:TRUE\n\
                      keyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n\
                      authorityKeyIdentifier = keyid:always\n";
        std::fs::write(path("config"), config).unwrap();
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config @config";
        openssl(&format!("req -x509 {new_key} -keyout @root.key -out @root.pem -subj /CN=org -days 30 -extensions ca"));
        openssl(&format!("req -new {new_key} -keyout @ca.key -out @ca.csr -subj /CN=kubernetes"));
        let signed = "x509 -req -in @ca.csr -CA @root.pem -CAkey @root.key -days 29 -extfile @config -extensions ca";
        let intermediate = CertificateDer::from(openssl(&format!("{signed} -outform DER")));
        let root = CertificateDer::from(openssl("x509 -in @root.pem -outform DER"));
        let key = SoftwareKey::from_pkcs8_der(&openssl("pkcs8 -topk8 -nocrypt -in @ca.key -outform DER")).unwrap();

        let certificate = CaCertificate::parse(intermediate.clone()).unwrap();
        // openssl's certificates begin in the second in which they are made, which may be after `NOW`.
        let start = certificate.validity().not_before();
        let authority =
            Authority { key: &*Box::leak(Box::new(key)), issuer: Issuer::new(certificate, LeafKind::ALL).unwrap() };
        let cases = both_sides().map(|(leaf, party)| {
            let issued = issue(&authority, leaf, start);
            let incomplete = case("the intermediate is missing", &[], &issued, party, Some(Fault::Issuer));
            let incomplete = Case { anchors: vec![root.clone()], at: start.unix_timestamp(), ..incomplete };
            let name = "below an organization's root".to_owned();
            [Case { name, intermediates: vec![intermediate.clone()], fault: None, ..incomplete.clone() }, incomplete]
        });
        cases.into_iter().flatten().collect()
    }

    // ---- the judges

    /// Compares verdicts with what was meant: a refusal has to name the fault.
    fn assert_as_meant<'a>(
        cases: impl IntoIterator<Item = &'a Case>,
        judge: impl Fn(&[&Case]) -> Vec<Verdict>,
        phrases: impl Fn(&Case, Fault) -> &'static [&'static str],
    ) {
        let cases: Vec<_> = cases.into_iter().collect();
        let verdicts = judge(&cases);
        assert_eq!(cases.len(), verdicts.len());
        let wrong: Vec<_> = cases
            .iter()
            .zip(&verdicts)
            .filter(|(case, verdict)| match (case.fault, verdict) {
                (None, verdict) => verdict.is_err(),
                (Some(_), Ok(())) => true,
                (Some(fault), Err(reason)) => !phrases(case, fault).iter().any(|phrase| reason.contains(phrase)),
            })
            .map(|(case, verdict)| format!("{}, {:?}: meant {:?}, got {verdict:?}", case.name, case.party, case.fault))
            .collect();
        assert!(wrong.is_empty(), "{} of {} verdicts:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    }

    #[test]
    fn openssl_judges_every_shape_as_meant() {
        assert_as_meant(&*CASES, openssl, |case, fault| match (fault, &case.party) {
            (Fault::Usage, _) => &["error 26 at 0 depth"],
            (Fault::Name, RelyingParty::ClientOf(ServerName::IpAddress(_))) => &["error 64 at 0 depth"],
            (Fault::Name, _) => &["error 62 at 0 depth"],
            (Fault::Expired, _) => &["error 10 at 0 depth"],
            (Fault::NotYetValid, _) => &["error 9 at 0 depth"],
            (Fault::Issuer, _) => &["error 20 at 0 depth"],
            (Fault::Signature, _) => &["error 7 at 0 depth"],
        });
    }

    #[test]
    fn gnutls_judges_every_shape_as_meant() {
        assert_as_meant(CASES.iter().filter(|case| case.at == *NOW), gnutls, |_, fault| match fault {
            Fault::Usage => &["purpose"],
            Fault::Name => &["name"],
            Fault::Expired => &["expired"],
            Fault::NotYetValid => &["not yet"],
            Fault::Issuer => &["issuer"],
            Fault::Signature => &["signature"],
        });
    }

    #[test]
    fn this_crate_judges_every_shape_as_meant() {
        assert_as_meant(&*CASES, this_crate, |_, fault| match fault {
            Fault::Usage => &["ExtendedKeyUsage"],
            Fault::Name => &["NameMismatch"],
            Fault::Expired => &["Expired"],
            Fault::NotYetValid => &["NotYetValid"],
            Fault::Issuer => &["UnknownIssuer"],
            Fault::Signature => &["BadSignature"],
        });
    }

    #[test]
    fn python_cryptography_judges_every_shape_as_meant() {
        assert_as_meant(
            CASES.iter().filter(|case| case.fault.is_some() || !is_signed_by_ed25519(case)),
            python_cryptography,
            |_, fault| {
                match fault {
                    // Of a client, the missing names are found before the usage is looked at.
                    Fault::Usage => &["EKU", "leaf server certificate has no subjectAltName"],
                    Fault::Name => &["leaf certificate has no matching subjectAltName"],
                    Fault::Expired | Fault::NotYetValid => &["cert is not valid at validation time"],
                    // Also where it has already looked at the anchor's Ed25519 key.
                    Fault::Issuer => &["candidates exhausted"],
                    Fault::Signature => &["signature does not match", "Forbidden public key algorithm"],
                }
            },
        );
    }

    /// Its profile is that of the public web, whose authorities have RSA and NIST keys only. Ed25519 leaves pass.
    #[test]
    fn python_cryptography_does_not_take_ed25519_from_an_authority() {
        let fit = CASES.iter().filter(|case| case.fault.is_none() && is_signed_by_ed25519(case));
        let cases: Vec<_> = fit.map(|case| Case { fault: Some(Fault::Issuer), ..case.clone() }).collect();
        assert_as_meant(&cases, python_cryptography, |_, _| &["Forbidden public key algorithm"]);
    }

    fn is_signed_by_ed25519(case: &Case) -> bool {
        let signed = |der| Certificate::from_der(der).unwrap().signature_algorithm().oid == ID_ED_25519;
        case.intermediates.iter().chain([&case.leaf]).any(|der| signed(der))
    }

    /// What pkilint finds and Carousel does on purpose, and why.
    const KNOWN_FINDINGS: [(&str, &str); 1] = [(
        "pkix.invalid_domain_name_syntax",
        "Kubernetes calls its API server by one label, `kubernetes`; RFC 1034 3.5, to which RFC 5280 4.2.1.6 points, \
         allows it",
    )];

    #[test]
    fn pkilint_finds_nothing_that_is_not_known() {
        let certificates: BTreeMap<&[u8], _> = CASES
            .iter()
            .flat_map(|case| {
                let chain = case.anchors.iter().chain(&case.intermediates).chain([&case.leaf]);
                chain.map(move |der| (der.as_ref(), (der, case)))
            })
            .collect();
        let findings = pkilint(certificates.values().map(|(der, _)| *der));
        assert_eq!(findings.len(), certificates.len());
        let known = |code: &str| KNOWN_FINDINGS.iter().any(|(known, _)| *known == code);
        let mut stale: BTreeSet<_> = KNOWN_FINDINGS.map(|(code, _)| code).into();
        for ((_, case), findings) in certificates.values().zip(&findings) {
            for Finding { code, detail } in findings {
                assert!(known(code), "{}: {code}: {detail}", case.name);
                stale.remove(code.as_str());
            }
        }
        assert!(stale.is_empty(), "pkilint no longer finds {stale:?}");
    }

    #[test]
    fn the_cases_are_of_every_leaf_every_pair_of_algorithms_and_every_fault() {
        for preset in Preset::ALL {
            let hierarchy = Hierarchy::preset(preset);
            for leaf in LeafKind::ALL.into_iter().filter(|leaf| !leaf.extended_key_usage().is_empty()) {
                let Some(role) = hierarchy.issuer_of(leaf) else { continue };
                for algorithm in KeyAlgorithm::ALL {
                    let of_a_root = |name: &str| name.ends_with(&format!(" from {role} with {algorithm}"));
                    let of_the_leaf = |name: &str| name.starts_with(&format!("{preset}: {leaf} with "));
                    let fit = |case: &&Case| of_a_root(&case.name) && of_the_leaf(&case.name) && case.fault.is_none();
                    assert_eq!(CASES.iter().filter(fit).count(), leaf.extended_key_usage().len(), "{preset}: {leaf}");
                }
            }
        }
        for algorithm in KeyAlgorithm::ALL {
            let crossed = format!("{algorithm} crossed by ");
            assert!(CASES.iter().any(|case| case.name.contains(&crossed) && case.fault.is_none()), "{crossed}");
            for leaf_key in KeyAlgorithm::ALL {
                let roles = AuthorityRole::ALL.map(|role| format!(" with {leaf_key} from {role} with {algorithm}"));
                assert!(roles.iter().any(|pair| CASES.iter().any(|case| case.name.ends_with(pair))), "{roles:?}");
            }
            for (what, fault) in [
                ("another name", Fault::Name),
                ("expired", Fault::Expired),
                ("not valid yet", Fault::NotYetValid),
                ("its namesake alone", Fault::Issuer),
                ("serial changed", Fault::Signature),
                ("signature changed", Fault::Signature),
            ] {
                let name = format!("{what}, {algorithm}");
                assert!(CASES.iter().any(|case| case.name == name && case.fault == Some(fault)), "{name}");
            }
        }
    }
}
