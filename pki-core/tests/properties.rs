//! What holds whatever the input: no leaf outlives its issuer, no serial repeats, no refused request yields a certificate,
//! what was written reads back the same, and what was prepared verifies.

#[cfg(test)]
#[expect(dead_code, reason = "the tests of requests use the rest of it")]
#[path = "support/asked.rs"]
mod asked;
#[cfg(test)]
#[expect(dead_code, reason = "here lifetimes, names and keys are arbitrary")]
#[path = "support/authority.rs"]
mod authority;
#[cfg(test)]
#[path = "support/der.rs"]
mod der;
#[cfg(test)]
#[path = "support/draft.rs"]
mod draft;
#[cfg(test)]
#[expect(dead_code, reason = "the tests of requests use the rest of it")]
#[path = "support/hostile.rs"]
mod hostile;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::IpAddr;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pki_core::pem::{CERTIFICATE, decode_pem, encode_pem};
    use pki_core::{
        Approval, AuthorityRole, CaCertificate, CaVersion, CertificationRequest, ChainError, IssuedCertificate,
        KeyAlgorithm, KeyLedger, LeafIdentity, LeafKind, Limits, NodeName, SignError, SignatureAlgorithm, Signer,
        SubjectAltName, TrustBundle, Validity, ca_subject, create_request, mint_root, sign_to_vec, verify_chain,
        verify_server_name,
    };
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer};
    use signer_hsm::SoftwareKey;
    use time::Duration;
    use x509_cert::Certificate;
    use x509_cert::der::Decode;

    use crate::authority::{Authority, NOW, approval, at, node_of, request, serial};
    use crate::der::{CONTEXT_0, INTEGER, SET, UTF8, bits, oid, seq, tlv};
    use crate::hostile;
    use crate::keys::{VERIFIERS, key};

    /// 9999-12-31T23:59:59Z, the last second that a certificate can name (RFC 5280 4.1.2.5).
    const LAST: i64 = 253_402_300_799;
    const DAY: i64 = 86_400;

    /// RSA keys take long to make, so all certificates share these, and all authorities the next.
    static LEAF_KEYS: LazyLock<BTreeMap<KeyAlgorithm, SoftwareKey>> = LazyLock::new(keys);
    static ROOT_KEYS: LazyLock<BTreeMap<KeyAlgorithm, SoftwareKey>> = LazyLock::new(keys);

    fn keys() -> BTreeMap<KeyAlgorithm, SoftwareKey> {
        KeyAlgorithm::ALL.into_iter().map(|algorithm| (algorithm, key(algorithm))).collect()
    }

    /// A key that counts how often it is asked.
    #[derive(Debug)]
    struct Counting {
        key: &'static SoftwareKey,
        asked: AtomicUsize,
    }

    impl Counting {
        fn new(key: &'static SoftwareKey) -> Self {
            Self { key, asked: AtomicUsize::new(0) }
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    impl Signer for Counting {
        fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
            self.key.public_key()
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            self.key.algorithm()
        }

        fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.key.sign(message, signature)
        }
    }

    fn cluster(validity: (i64, i64)) -> Authority<&'static SoftwareKey> {
        Authority::mint_with(&ROOT_KEYS[&KeyAlgorithm::Ed25519], AuthorityRole::Cluster, CaVersion::FIRST, validity)
    }

    /// The whole way from octets to a certificate, or the code of the first refusal.
    fn issue(
        authority: &Authority<&'static SoftwareKey>,
        leaf: LeafKind,
        der: &[u8],
        approval: &Approval,
        now: i64,
        signer: &dyn Signer,
    ) -> Result<IssuedCertificate, &'static str> {
        let request = CertificationRequest::parse(der, &Limits::DEFAULT).and_then(|request| request.verify(VERIFIERS));
        let request = request.map_err(|error| error.code())?;
        let prepared = authority.issuer.prepare(leaf, request, approval, serial(), at(now));
        prepared.and_then(|prepared| prepared.sign(signer, VERIFIERS)).map_err(|error| error.code())
    }

    // ---- arbitrary values

    fn any_leaf() -> impl Strategy<Value = LeafKind> {
        let certificates = LeafKind::ALL.into_iter().filter(|leaf| !leaf.extended_key_usage().is_empty());
        select(certificates.collect::<Vec<_>>())
    }

    fn any_algorithm() -> impl Strategy<Value = KeyAlgorithm> {
        select(KeyAlgorithm::ALL.as_slice())
    }

    fn any_name() -> impl Strategy<Value = SubjectAltName> {
        let dns = "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z]([a-z0-9-]{0,20}[a-z0-9])?){0,5}";
        let dns = dns.prop_filter_map("an address", |text| SubjectAltName::dns(&text).ok());
        let ip = any::<IpAddr>().prop_filter_map("no host", |address| SubjectAltName::ip(address).ok());
        prop_oneof![dns, ip]
    }

    fn any_node() -> impl Strategy<Value = NodeName> {
        "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?){0,5}"
            .prop_map(|text| text.parse().unwrap())
    }

    /// Of at least a second, anywhere in the calendar of certificates.
    fn any_validity() -> impl Strategy<Value = (i64, i64)> {
        (0..LAST).prop_flat_map(|from| (Just(from), prop_oneof![from + 1..=LAST, from + 1..=(from + DAY).min(LAST)]))
    }

    /// A value of a subject: letters of any script, no control characters.
    fn any_text() -> impl Strategy<Value = String> {
        "[^\\p{C}]{1,40}"
    }

    // ---- lifetimes

    proptest! {
        #[test]
        fn no_leaf_outlives_its_issuer(
            ca in any_validity(),
            now in prop_oneof![0..=LAST, Just(0)],
            inside in any::<Index>(),
            is_inside in any::<bool>(),
            lifetime in prop_oneof![1..=DAY, 1..=LAST],
            leaf in any_leaf(),
        ) {
            let moment = i64::try_from(inside.index(usize::try_from(ca.1 - ca.0 + 1).unwrap())).unwrap();
            let now = if is_inside { ca.0 + moment } else { now };
            let authority = cluster(ca);
            let signer = Counting::new(authority.key);
            let der = request(leaf, &LEAF_KEYS[&KeyAlgorithm::Ed25519]);
            let issued = issue(&authority, leaf, &der, &approval(leaf, Duration::seconds(lifetime)), now, &signer);
            if !(ca.0..=ca.1).contains(&now) {
                prop_assert_eq!((issued.map(drop), signer.asked()), (Err("issue.issuer_not_valid"), 0));
                return Ok(());
            }
            if now + lifetime > LAST {
                prop_assert_eq!((issued.map(drop), signer.asked()), (Err("issue.validity"), 0));
                return Ok(());
            }
            let issued = issued.unwrap();
            let certificate = Certificate::from_der(issued.der()).unwrap();
            let read = certificate.tbs_certificate().validity();
            let [first, last] = [read.not_before, read.not_after]
                .map(|time| i64::try_from(time.to_unix_duration().as_secs()).unwrap());
            prop_assert_eq!((first, last), ((now - 300).max(ca.0), (now + lifetime).min(ca.1)));
            prop_assert_eq!(issued.validity(), Validity::new(at(first), at(last)).unwrap());
        }
    }

    // ---- serials

    #[test]
    fn no_two_serials_are_equal() {
        let drawn = (0..10_000).map(|_| serial().as_bytes().to_vec());
        let authorities = [(); 2].map(|()| cluster((0, LAST)));
        let (leaf, approval) = (LeafKind::Scheduler, approval(LeafKind::Scheduler, Duration::DAY));
        let der = request(leaf, &LEAF_KEYS[&KeyAlgorithm::Ed25519]);
        let issued = authorities.iter().cycle().take(1000).map(|authority| {
            let issued = authority.approve(leaf, &der, &approval, at(NOW));
            let certificate = Certificate::from_der(issued.der()).unwrap();
            assert_eq!(certificate.tbs_certificate().serial_number().as_bytes(), issued.serial().as_bytes());
            issued.serial().as_bytes().to_vec()
        });
        let roots = authorities.iter().map(|authority| {
            let root = Certificate::from_der(authority.issuer.certificate().der()).unwrap();
            root.tbs_certificate().serial_number().as_bytes().to_vec()
        });
        let serials: BTreeSet<_> = drawn.chain(issued).chain(roots).collect();
        assert_eq!(serials.len(), 11_002);
        // Positive, and at most 20 octets (RFC 5280 4.1.2.2).
        assert!(serials.iter().all(|serial| (1..0x80).contains(&serial[0]) && serial.len() <= 20));
    }

    // ---- refusals

    #[test]
    fn no_hostile_request_yields_a_certificate() {
        let authority = cluster((0, LAST));
        let signer = Counting::new(authority.key);
        let (leaf, approval) = (LeafKind::KubeletClient, approval(LeafKind::KubeletClient, Duration::DAY));
        for case in hostile::corpus() {
            let issued = issue(&authority, leaf, &case.der, &approval, NOW, &signer);
            assert_eq!((issued.map(drop), signer.asked()), (Err(case.refusal.0), 0), "{}", case.name);
        }
        let good = request(leaf, &LEAF_KEYS[&KeyAlgorithm::P256]);
        assert!(issue(&authority, leaf, &good, &approval, NOW, &signer).is_ok());
        assert_eq!(signer.asked(), 1);
    }

    /// One change to a request.
    #[derive(Clone, Debug)]
    enum Mutation {
        Replace(Index, u8),
        Insert(Index, u8),
        Remove(Index),
        Truncate(Index),
        Repeat(Index, Index),
    }

    fn any_mutation() -> impl Strategy<Value = Mutation> {
        prop_oneof![
            4 => any::<(Index, u8)>().prop_map(|(position, octet)| Mutation::Replace(position, octet)),
            1 => any::<(Index, u8)>().prop_map(|(position, octet)| Mutation::Insert(position, octet)),
            1 => any::<Index>().prop_map(Mutation::Remove),
            1 => any::<Index>().prop_map(Mutation::Truncate),
            1 => any::<(Index, Index)>().prop_map(|(from, to)| Mutation::Repeat(from, to)),
        ]
    }

    impl Mutation {
        fn apply(&self, der: &mut Vec<u8>) {
            let len = der.len().max(1);
            match self {
                _ if der.is_empty() => {}
                Self::Replace(position, octet) => der[position.index(len)] = *octet,
                Self::Insert(position, octet) => der.insert(position.index(len), *octet),
                Self::Remove(position) => drop(der.remove(position.index(len))),
                Self::Truncate(position) => der.truncate(position.index(len)),
                Self::Repeat(from, to) => {
                    let (from, to) = (from.index(len), to.index(len));
                    let repeated = der[from.min(to)..from.max(to)].to_vec();
                    der.splice(to..to, repeated);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn no_changed_request_yields_a_certificate(
            leaf in any_leaf(),
            algorithm in any_algorithm(),
            mutations in vec(any_mutation(), 1..4),
        ) {
            let authority = cluster((0, LAST));
            let signer = Counting::new(authority.key);
            let good = request(leaf, &LEAF_KEYS[&algorithm]);
            let mut changed = good.clone();
            mutations.iter().for_each(|mutation| mutation.apply(&mut changed));
            prop_assume!(changed != good);
            let issued = issue(&authority, leaf, &changed, &approval(leaf, Duration::DAY), NOW, &signer);
            prop_assert!(issued.is_err(), "{:?}", changed);
            prop_assert_eq!(signer.asked(), 0);
        }

        #[test]
        fn no_request_yields_a_certificate_that_was_not_approved(
            asked in (any_leaf(), any_node(), vec(any_name(), 0..3)),
            approved in (any_leaf(), any_node(), vec(any_name(), 0..3)),
            mix in any::<[bool; 3]>(),
        ) {
            let mut approved = approved;
            // Often all but one of the three agree.
            if mix[0] { approved.0 = asked.0; }
            if mix[1] { approved.1 = asked.1.clone(); }
            if mix[2] { approved.2 = asked.2.clone(); }
            let node = |leaf, node: &NodeName| node_of(leaf).map(|_| node.clone());
            let subject = asked.0.subject(node(asked.0, &asked.1).as_ref()).unwrap();
            let der = create_request(&subject, &asked.2, &LEAF_KEYS[&KeyAlgorithm::Ed25519]).unwrap();
            let mut approval = Approval::new(Duration::DAY).with_names(approved.2.clone());
            if let Some(node) = node(approved.0, &approved.1) {
                approval = approval.for_node(node);
            }
            let authority = cluster((0, LAST));
            let signer = Counting::new(authority.key);
            let issued = issue(&authority, approved.0, &der, &approval, NOW, &signer);

            let unordered = |names: &[SubjectAltName]| names.iter().cloned().collect::<BTreeSet<_>>();
            let fits = approved.0.subject(node(approved.0, &approved.1).as_ref()).unwrap() == subject
                && unordered(&approved.2) == unordered(&asked.2)
                && approved.2.is_empty() != approved.0.has_subject_alt_names();
            prop_assert_eq!((issued.is_ok(), signer.asked()), (fits, usize::from(fits)));
            if let Ok(issued) = issued {
                let identity = LeafIdentity::parse(issued.der(), &Limits::DEFAULT).unwrap();
                prop_assert_eq!(identity.subject(), &subject);
                prop_assert_eq!(unordered(identity.subject_alt_names()), unordered(&approved.2));
            }
        }
    }

    // ---- writing and reading back

    /// A signed request of this subject, written by the tests' own writer.
    fn request_of(common_name: &str, organizations: &[String], key: &SoftwareKey) -> Vec<u8> {
        let rdn =
            |attribute: u8, value: &str| tlv(SET, &seq(&[&oid(&[0x55, 4, attribute]), &tlv(UTF8, value.as_bytes())]));
        let mut rdns: Vec<_> = organizations.iter().flat_map(|group| rdn(10, group)).collect();
        rdns.extend(rdn(3, common_name));
        let info = seq(&[&[INTEGER, 1, 0], &seq(&[&rdns]), key.public_key(), &tlv(CONTEXT_0, &[])]);
        let signature = sign_to_vec(key, &info).unwrap();
        seq(&[&info, &seq(&[&key.algorithm().identifier()]), &bits(&signature)])
    }

    proptest! {
        #[test]
        fn a_request_reads_back_as_it_was_written(
            leaf in any_leaf(),
            node in any_node(),
            names in vec(any_name(), 0..=100),
            algorithm in any_algorithm(),
        ) {
            let subject = leaf.subject(node_of(leaf).map(|_| node).as_ref()).unwrap();
            let key = &LEAF_KEYS[&algorithm];
            let der = create_request(&subject, &names, key).unwrap();
            let read = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap().verify(VERIFIERS).unwrap();
            prop_assert_eq!(read.subject(), subject);
            prop_assert_eq!(read.subject_alt_names().to_vec(), names);
            prop_assert_eq!(read.public_key().as_der(), &**key.public_key());
            prop_assert_eq!(read.public_key().algorithm(), algorithm);
            prop_assert_eq!(read.extended_key_usage(), &[]);
        }

        #[test]
        fn the_subject_of_a_request_reads_back_as_it_was_written(
            common_name in any_text(),
            organizations in vec(any_text(), 0..5),
        ) {
            let der = request_of(&common_name, &organizations, &LEAF_KEYS[&KeyAlgorithm::Ed25519]);
            let read = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap().verify(VERIFIERS).unwrap();
            prop_assert_eq!(read.subject().common_name(), common_name);
            let read = read.subject().to_subject();
            prop_assert_eq!(read.organizations(), organizations);
        }

        #[test]
        fn an_authority_reads_back_as_it_was_written(
            role in select(AuthorityRole::ALL.as_slice()),
            version in 1..=u32::MAX,
            validity in any_validity(),
            algorithm in any_algorithm(),
        ) {
            let version = CaVersion::new(version).unwrap();
            prop_assume!(role.is_certificate_authority());
            let (key, validity) = (&ROOT_KEYS[&algorithm], Validity::new(at(validity.0), at(validity.1)).unwrap());
            let mut ledger = KeyLedger::new();
            let admitted = ledger.admit(&"test".parse().unwrap(), role, version, key).unwrap();
            let root = mint_root(&admitted, validity, serial(), VERIFIERS).unwrap();
            let read = CaCertificate::parse(root.der().clone()).unwrap();
            prop_assert_eq!(&read, &root);
            prop_assert_eq!((read.validity(), read.public_key()), (validity, key.public_key()));
            let independent = Certificate::from_der(root.der()).unwrap();
            let subject = ca_subject(role, version).unwrap().to_string();
            prop_assert_eq!(independent.tbs_certificate().subject().to_string(), subject);
        }

        #[test]
        fn a_bundle_reads_back_as_it_was_written(authorities in vec((any_algorithm(), any_validity()), 1..6)) {
            let roots: Vec<_> = authorities
                .into_iter()
                .map(|(algorithm, validity)| {
                    let key = &ROOT_KEYS[&algorithm];
                    Authority::mint_with(key, AuthorityRole::Etcd, CaVersion::FIRST, validity).issuer.certificate().clone()
                })
                .collect();
            let bundle = TrustBundle::new(roots.clone()).unwrap();
            prop_assert_eq!(bundle.certificates(), &roots);
            let text: String = roots.iter().map(|root| encode_pem(CERTIFICATE, root.der())).collect();
            let read = decode_pem(text.as_bytes(), CERTIFICATE, &Limits::DEFAULT).unwrap();
            let read = TrustBundle::from_der(read.into_iter().map(CertificateDer::from), &Limits::DEFAULT).unwrap();
            prop_assert_eq!(read.certificates(), &roots);
            prop_assert_eq!(read.hash(), bundle.hash());
        }
    }

    // ---- what is prepared verifies

    proptest! {
        #[test]
        fn what_is_prepared_verifies_as_long_as_it_is_valid(
            leaf in any_leaf(),
            (root_key, leaf_key) in (any_algorithm(), any_algorithm()),
            names in vec(any_name(), 1..10),
            ca in any_validity(),
            inside in any::<Index>(),
            lifetime in 1..=LAST,
        ) {
            let now = ca.0 + i64::try_from(inside.index(usize::try_from(ca.1 - ca.0 + 1).unwrap())).unwrap();
            let lifetime = Duration::seconds(lifetime.min(LAST - now));
            prop_assume!(lifetime.is_positive());
            let authority =
                Authority::mint_with(&ROOT_KEYS[&root_key], AuthorityRole::Cluster, CaVersion::FIRST, ca);
            let names = if leaf.has_subject_alt_names() { names } else { vec![] };
            let subject = leaf.subject(node_of(leaf).as_ref()).unwrap();
            let der = create_request(&subject, &names, &LEAF_KEYS[&leaf_key]).unwrap();
            let approval = approval(leaf, lifetime).with_names(names.clone());
            let issued = authority.approve(leaf, &der, &approval, at(now));

            let bundle = TrustBundle::new([authority.issuer.certificate().clone()]).unwrap();
            let validity = issued.validity();
            for usage in leaf.extended_key_usage() {
                let verify = |at| {
                    verify_chain(issued.der(), &[], &bundle, *usage, &Limits::DEFAULT, VERIFIERS, at)
                };
                for at in [validity.not_before(), at(now), validity.not_after()] {
                    let chain = verify(at).unwrap();
                    prop_assert_eq!(chain.anchor(), authority.issuer.certificate().id());
                    prop_assert_eq!(chain.identity().unwrap().subject(), &subject);
                }
                if validity.not_after().unix_timestamp() < ca.1 {
                    prop_assert_eq!(verify(validity.not_after() + Duration::SECOND).err(), Some(ChainError::Expired));
                }
            }
            for name in names {
                let text = name.to_string();
                let (_, text) = text.split_once(':').unwrap();
                let server = ServerName::try_from(text).unwrap();
                prop_assert_eq!(verify_server_name(issued.der(), &server), Ok(()), "{:?}", server);
            }
        }
    }
}
