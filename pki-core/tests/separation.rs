//! No key serves two roles, two generations or two clusters, and only an admitted key mints a root.

#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
mod tests {
    use pki_core::verify::SubjectPublicKey;
    use pki_core::{
        AdmitError, AuthorityRole, CaVersion, ClusterId, DnsName, KeyAlgorithm, KeyLedger, KeyOwner, Serial, SignError,
        SignatureAlgorithm, Signer, Validity, mint_external_root, mint_root,
    };
    use rustls_pki_types::SubjectPublicKeyInfoDer;
    use signer_hsm::SoftwareKey;
    use time::UtcDateTime;

    use crate::keys::{VERIFIERS, key};

    const V1: CaVersion = CaVersion::FIRST;
    const V2: CaVersion = V1.next();

    fn cluster(name: &str) -> ClusterId {
        name.parse().unwrap()
    }

    fn owner(name: &str, role: AuthorityRole, version: CaVersion) -> KeyOwner {
        KeyOwner::Authority { cluster: cluster(name), role, version }
    }

    fn org() -> DnsName {
        "org-ca".parse().unwrap()
    }

    fn parsed(key: &SoftwareKey) -> SubjectPublicKey<'_> {
        SubjectPublicKey::parse(key.public_key()).unwrap()
    }

    #[track_caller]
    fn assert_reuse(error: &AdmitError, owner: &KeyOwner, asked: &KeyOwner) {
        let AdmitError::KeyReuse(reuse) = error else { panic!("{error}") };
        assert_eq!((reuse.owner(), reuse.asked()), (owner, asked));
    }

    #[test]
    fn two_roles_two_clusters_and_two_generations_cannot_share_a_key() {
        let mine = owner("blue", AuthorityRole::Cluster, V1);
        for (name, role, version) in [
            ("blue", AuthorityRole::Etcd, V1),
            ("blue", AuthorityRole::ServiceAccount, V1),
            ("green", AuthorityRole::Cluster, V1),
            ("blue", AuthorityRole::Cluster, V2),
        ] {
            let shared = key(KeyAlgorithm::P256);
            let of_shared = || {
                let mut ledger = KeyLedger::new();
                ledger.admit(&cluster("blue"), AuthorityRole::Cluster, V1, &shared).unwrap();
                ledger
            };
            let mut ledger = of_shared();
            let error = ledger.admit(&cluster(name), role, version, &shared).unwrap_err();
            assert_reuse(&error, &mine, &owner(name, role, version));
            // A refused key changes nothing.
            assert_eq!(ledger, of_shared());
            assert_eq!(ledger.owner_of(&parsed(&shared)), Some(&mine));
            // Its rightful owner still has it, and the other one may have a key of its own.
            ledger.admit(&cluster("blue"), AuthorityRole::Cluster, V1, &shared).unwrap();
            ledger.admit(&cluster(name), role, version, &key(KeyAlgorithm::P256)).unwrap();
        }
    }

    #[test]
    fn every_role_and_cluster_with_a_key_of_its_own_is_admitted() {
        let mut ledger = KeyLedger::new();
        for name in ["blue", "green"] {
            for role in AuthorityRole::ALL {
                for version in [V1, V2] {
                    let own = key(KeyAlgorithm::Ed25519);
                    ledger.admit(&cluster(name), role, version, &own).unwrap();
                    assert_eq!(ledger.owner_of(&parsed(&own)), Some(&owner(name, role, version)));
                }
            }
        }
    }

    #[test]
    fn an_authority_has_one_key() {
        let mut ledger = KeyLedger::new();
        let [first, second] = [KeyAlgorithm::P256, KeyAlgorithm::P384].map(key);
        ledger.admit(&cluster("blue"), AuthorityRole::Cluster, V1, &first).unwrap();
        let error = ledger.admit(&cluster("blue"), AuthorityRole::Cluster, V1, &second).unwrap_err();
        assert_eq!(error, AdmitError::SecondKey(owner("blue", AuthorityRole::Cluster, V1)));
        assert_eq!(ledger.owner_of(&parsed(&second)), None);
        let message = "the authority `cluster` of the cluster `blue`, CAVersion 1 has another key already";
        assert_eq!(error.to_string(), message);
    }

    #[test]
    fn a_ca_outside_may_have_many_keys_and_none_of_an_authority() {
        let mut ledger = KeyLedger::new();
        let [first, second] = [KeyAlgorithm::P256; 2].map(key);
        ledger.admit_external(org(), &first).unwrap();
        ledger.admit_external(org(), &second).unwrap();
        let outside = KeyOwner::External { name: org() };
        let error = ledger.admit(&cluster("blue"), AuthorityRole::Cluster, V1, &second).unwrap_err();
        assert_reuse(&error, &outside, &owner("blue", AuthorityRole::Cluster, V1));
        assert_eq!(
            error.to_string(),
            "the key belongs to the external CA `org-ca` and cannot serve the authority `cluster` of the cluster \
             `blue`, CAVersion 1 as well"
        );

        let own = key(KeyAlgorithm::P256);
        ledger.admit(&cluster("blue"), AuthorityRole::Cluster, V1, &own).unwrap();
        let error = ledger.admit_external(org(), &own).unwrap_err();
        assert_reuse(&error, &owner("blue", AuthorityRole::Cluster, V1), &outside);
    }

    #[test]
    fn a_key_whose_signer_is_gone_keeps_its_owner() {
        let (old, mut ledger) = (key(KeyAlgorithm::P256), KeyLedger::new());
        ledger.record(owner("blue", AuthorityRole::Cluster, V1), &parsed(&old)).unwrap();
        let error = ledger.admit(&cluster("blue"), AuthorityRole::Cluster, V2, &old).unwrap_err();
        assert_reuse(&error, &owner("blue", AuthorityRole::Cluster, V1), &owner("blue", AuthorityRole::Cluster, V2));
    }

    #[derive(Debug)]
    struct Unkeyed(SubjectPublicKeyInfoDer<'static>);

    impl Signer for Unkeyed {
        fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
            &self.0
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::Ed25519
        }

        fn sign(&self, _message: &[u8], _signature: &mut [u8]) -> Result<usize, SignError> {
            panic!("nothing is signed with a key of no accepted kind")
        }
    }

    #[test]
    fn a_key_of_no_accepted_kind_is_not_admitted() {
        let (signer, mut ledger) = (Unkeyed(SubjectPublicKeyInfoDer::from(vec![0x30, 0])), KeyLedger::new());
        let refused = [
            ledger.admit(&cluster("blue"), AuthorityRole::Cluster, V1, &signer).unwrap_err(),
            ledger.admit_external(org(), &signer).unwrap_err(),
        ];
        for error in refused {
            assert!(matches!(&error, AdmitError::Malformed(cause) if cause.what() == "SubjectPublicKeyInfo"));
        }
        assert_eq!(ledger, KeyLedger::new());
    }

    #[test]
    fn a_root_has_the_name_and_the_key_for_which_its_key_was_admitted() {
        let mut ledger = KeyLedger::new();
        let [own, outside] = [KeyAlgorithm::P384; 2].map(key);
        let at = |seconds| UtcDateTime::from_unix_timestamp(seconds).unwrap();
        let validity = Validity::new(at(0), at(1)).unwrap();
        let serial = || Serial::generate(&mut getrandom::SysRng).unwrap();
        let admitted = ledger.admit(&cluster("blue"), AuthorityRole::EtcdPeer, V2, &own).unwrap();
        let root = mint_root(&admitted, validity, serial(), VERIFIERS).unwrap();
        assert!(root.subject_der().ends_with(b"etcd-peer-ca-v2"));
        assert_eq!(root.public_key(), own.public_key());
        let admitted = ledger.admit_external(org(), &outside).unwrap();
        let root = mint_external_root(&admitted, validity, serial(), VERIFIERS).unwrap();
        assert!(root.subject_der().ends_with(b"org-ca"));
        assert_eq!(root.public_key(), outside.public_key());
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_stored_ledger_comes_back_and_a_forged_one_does_not() {
        let mut ledger = KeyLedger::new();
        let [a, b, c] = [KeyAlgorithm::Ed25519; 3].map(key);
        ledger.admit(&cluster("blue"), AuthorityRole::Cluster, V1, &a).unwrap();
        ledger.admit(&cluster("green"), AuthorityRole::EtcdApi, V2, &b).unwrap();
        ledger.admit_external(org(), &c).unwrap();
        let stored = serde_json::to_value(&ledger).unwrap();
        let read = |value: serde_json::Value| serde_json::from_value::<KeyLedger>(value).map_err(|e| e.to_string());
        let mut restored = read(stored.clone()).unwrap();
        assert_eq!(restored, ledger);
        assert!(restored.admit(&cluster("green"), AuthorityRole::Cluster, V1, &a).is_err());
        assert!(restored.admit(&cluster("blue"), AuthorityRole::Cluster, V1, &b).is_err());

        let authority = |entry: &serde_json::Value| entry["owner"].get("authority").is_some();
        let entries = stored.as_array().unwrap();
        let (one, other) = {
            let mut found = entries.iter().filter(|entry| authority(entry));
            (found.next().unwrap(), found.next().unwrap())
        };
        // One key of two owners, one owner of two keys, a cluster that cannot be.
        let forge = |field: &str| {
            let mut forged = other.clone();
            forged[field] = one[field].clone();
            serde_json::json!([one, forged])
        };
        assert!(read(forge("key")).unwrap_err().contains("the key belongs to"));
        assert!(read(forge("owner")).unwrap_err().contains("has another key already"));
        let mut misnamed = one.clone();
        misnamed["owner"]["authority"]["cluster"] = "No Such".into();
        assert!(read(serde_json::json!([misnamed])).is_err());
    }
}
