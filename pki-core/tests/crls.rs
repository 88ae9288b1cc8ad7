//! Revocation lists: what is issued is read back, and what is not as it should be is refused.

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
#[path = "support/list_parts.rs"]
mod list_parts;
#[cfg(test)]
#[path = "support/lists.rs"]
mod lists;

#[cfg(test)]
mod tests {
    use pki_core::pem::{X509_CRL, decode_single_pem};
    use pki_core::verify::Verifiers;
    use pki_core::{
        AuthorityRole, CaVersion, CertificateList, CrlError, CrlIssuer, CrlNumber, ExtendedKeyUsage, IssueCrlError,
        KeyAlgorithm, LeafKind, Limits, RevocationError, RevocationList, RevocationReason, RevokedCertificate,
        SerialNumber, SignError, SignErrorKind, SignatureAlgorithm, Signer, TrustBundle, issue_crl, verify_chain,
    };
    use proptest::prelude::*;
    use rustls_pki_types::SubjectPublicKeyInfoDer;
    use time::Duration;

    use crate::authority::{Authority, CA_VALIDITY, NOW, at, serial};
    use crate::der::{BIT_STRING, INTEGER, SEQUENCE, oid, seq, tlv};
    use crate::drafts::extension;
    use crate::keys::{VERIFIERS, key};
    use crate::list_parts::{
        AUTHORITY_KEY_ID, CERTIFICATE_ISSUER, CRL_NUMBER, DELTA_INDICATOR, GENERALIZED_TIME, INVALIDITY_DATE,
        ISSUING_DISTRIBUTION_POINT, KEY_ID, Parts, SHA384, UNKNOWN, UTC_TIME, authority_key_id, crl_number, entry,
        extensions, reason,
    };
    use crate::lists::{DAY, ETCD, issue, issue_within, issuer, kubeadm_ca, number, period};

    fn read(der: &[u8]) -> Result<RevocationList, CrlError> {
        CertificateList::parse(der, &Limits::DEFAULT)?.verify(&issuer(), VERIFIERS)
    }

    // ---- what is issued

    #[test]
    fn a_list_says_what_it_was_issued_to_say() {
        let revoked = RevokedCertificate::new(serial(), at(NOW - DAY)).because(RevocationReason::Superseded);
        let list = issue(&[revoked]);
        assert_eq!(list.issuer(), ETCD.issuer.certificate().id());
        assert_eq!(list.number(), CrlNumber::new(7));
        assert_eq!((list.this_update(), list.next_update()), (at(NOW), at(NOW + 7 * DAY)));
        assert_eq!(list.entries(), [revoked]);
        assert!(list.is_revoked(revoked.serial()));
        assert!(!list.is_revoked(serial()));
        assert_eq!(read(list.der()).unwrap(), list);
        let from_pem = decode_single_pem(list.to_pem().as_bytes(), X509_CRL, &Limits::DEFAULT).unwrap();
        assert_eq!(read(&from_pem).unwrap(), list);
    }

    #[test]
    fn entries_are_sorted_and_equal_ones_count_once() {
        let entries =
            [&[2][..], &[0, 0x80], &[1], &[1, 0]].map(|content| RevokedCertificate::new(number(content), at(0)));
        let list = issue(&[entries, entries].concat());
        let serials: Vec<_> = list.entries().iter().map(|entry| entry.serial().to_string()).collect();
        assert_eq!(serials, ["01", "02", "0080", "0100"]);
    }

    #[test]
    fn every_reason_is_read_back() {
        for reason in RevocationReason::ALL {
            let entry = RevokedCertificate::new(number(&[1]), at(NOW)).because(reason);
            assert_eq!(read(issue(&[entry]).der()).unwrap().entry(number(&[1])).unwrap().reason(), Some(reason));
        }
    }

    #[test]
    fn a_list_is_stale_after_its_last_second() {
        let list = issue(&[]);
        assert!(!list.is_stale(at(NOW + 7 * DAY)));
        assert!(list.is_stale(at(NOW + 7 * DAY + 1)));
    }

    #[test]
    fn only_a_greater_number_of_the_same_issuer_supersedes() {
        let period = period(NOW, NOW + DAY);
        let list = |number| issue_within(&[], number, period, &Limits::DEFAULT).unwrap();
        let (first, second) = (list(CrlNumber::FIRST), list(CrlNumber::FIRST.next().unwrap()));
        assert!(second.supersedes(&first));
        assert!(!first.supersedes(&second) && !first.supersedes(&first));
        let other = Authority::mint(AuthorityRole::Etcd, CaVersion::FIRST, KeyAlgorithm::P256);
        let foreign = CrlIssuer::new(other.issuer.certificate()).unwrap();
        let number = CrlNumber::new(9);
        let foreign = issue_crl(&foreign, [], number, period, &Limits::DEFAULT, &other.key, VERIFIERS).unwrap();
        assert!(!foreign.supersedes(&first));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            entries in prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..20), (0..4_000_000_000_i64, 0..9_usize), 0..20),
            list_number in any::<u64>(),
            from in CA_VALIDITY.0..CA_VALIDITY.1,
            lifetime in 1..10 * 365 * DAY,
        ) {
            let entry = |(mut octets, (when, reason)): (Vec<u8>, (i64, usize))| {
                octets[0] = octets[0] & 0x7f | 0x40;
                let entry = RevokedCertificate::new(number(&octets), at(when));
                RevocationReason::ALL.get(reason).map_or(entry, |reason| entry.because(*reason))
            };
            let mut entries: Vec<_> = entries.into_iter().map(entry).collect();
            // Of two that the bits above have made equal, the first.
            entries.sort_unstable();
            entries.dedup_by_key(|entry| entry.serial());
            let list_number = CrlNumber::new(list_number);
            let list = issue_within(&entries, list_number, period(from, from + lifetime), &Limits::DEFAULT).unwrap();
            prop_assert_eq!(list.entries(), entries.as_slice());
            prop_assert_eq!(list.number(), list_number);
            prop_assert_eq!(read(list.der()).unwrap(), list);
        }

        #[test]
        fn no_octets_make_the_reader_panic(octets in prop::collection::vec(any::<u8>(), 0..200), position in any::<prop::sample::Index>()) {
            let _ = CertificateList::parse(&octets, &Limits::DEFAULT);
            let mut list = issue(&[RevokedCertificate::new(number(&[1]), at(NOW)).because(RevocationReason::KeyCompromise)]).der().to_vec();
            let position = position.index(list.len());
            list[position] ^= octets.first().copied().unwrap_or(1) | 1;
            prop_assert!(read(&list).is_err());
            prop_assert!(read(&list[..position]).is_err());
        }
    }

    // ---- what is not issued

    fn refusal(result: Result<RevocationList, IssueCrlError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_list_that_its_readers_would_refuse_is_not_issued() {
        let one = RevokedCertificate::new(number(&[1]), at(NOW));
        let number = CrlNumber::FIRST;
        let refused = |entries: &[RevokedCertificate], from, to| {
            refusal(issue_within(entries, number, period(from, to), &Limits::DEFAULT))
        };
        assert_eq!(
            refused(&[one], NOW, NOW),
            "nextUpdate 2024-01-01 0:00:00.0 +00 does not lie after thisUpdate 2024-01-01 0:00:00.0 +00 (RFC 5280 5.1.2.5)"
        );
        assert_eq!(
            refused(&[one, one.because(RevocationReason::KeyCompromise)], NOW, NOW + DAY),
            "the list would not be read: the revocation list has two entries for 01"
        );
        let early = RevokedCertificate::new(SerialNumber::from_content(&[2]).unwrap(), at(-631_152_001));
        assert_eq!(
            refused(&[early], NOW, NOW + DAY),
            "the year in which 02 was revoked is outside 1950 to 9999 (RFC 5280 4.1.2.5)"
        );
        let (first, last) = CA_VALIDITY;
        for (from, issued) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
            let list = issue_within(&[one], number, period(from, from + DAY), &Limits::DEFAULT);
            assert_eq!(matches!(list, Err(IssueCrlError::IssuerNotValid { .. })), !issued, "{from}");
            assert_eq!(list.is_ok(), issued, "{from}");
        }
    }

    #[test]
    fn number_of_entries_and_length_are_bounded_when_writing_and_when_reading() {
        let entries = [&[1][..], &[2], &[3]].map(|content| RevokedCertificate::new(number(content), at(NOW)));
        let list = issue(&entries);
        let again = |limits: &Limits| {
            let issued = issue_within(&entries, list.number(), period(NOW, NOW + 7 * DAY), limits).map(drop);
            (CertificateList::parse(list.der(), limits).map(drop), issued)
        };
        let mut limits = Limits::DEFAULT;
        limits.crl_entries_max = 3;
        assert!(matches!(again(&limits), (Ok(()), Ok(()))));
        limits.crl_entries_max = 2;
        let (read, issued) = again(&limits);
        assert_eq!(read, Err(CrlError::TooManyEntries { max: 2 }));
        assert!(matches!(issued, Err(IssueCrlError::Unreadable(CrlError::TooManyEntries { max: 2 }))));
        limits = Limits::DEFAULT;
        limits.crl_len_max = list.der().len();
        assert_eq!(again(&limits).0, Ok(()));
        limits.crl_len_max -= 80;
        let (read, issued) = again(&limits);
        assert_eq!(read, Err(CrlError::TooLong { found: list.der().len(), max: limits.crl_len_max }));
        assert!(matches!(issued, Err(IssueCrlError::Unreadable(CrlError::TooLong { .. }))));
    }

    #[test]
    fn as_many_entries_as_the_default_allows_fit_its_length() {
        let entries: Vec<_> = (0..Limits::DEFAULT.crl_entries_max)
            .map(|_| RevokedCertificate::new(serial(), at(NOW)).because(RevocationReason::KeyCompromise))
            .collect();
        let list = issue(&entries);
        assert!(list.to_pem().len() <= Limits::DEFAULT.pem_len_max);
        assert_eq!(read(list.der()).unwrap().entries().len(), entries.len());
    }

    /// Lengths above 16 MiB cannot be written, whatever the limits say.
    #[test]
    fn no_limit_lets_more_entries_in_than_can_be_written() {
        const ENTRIES_MAX: usize = 1 << 18;
        let longest = |last: u8| {
            let serial = [&[0x7f; 19][..], &[last]].concat();
            RevokedCertificate::new(number(&serial), at(CA_VALIDITY.1)).because(RevocationReason::KeyCompromise)
        };
        // Beside ten entries the headers around them no longer grow, and a signature varies by a few octets.
        let [ten, twenty] = [10, 20].map(|count| issue(&(0..count).map(longest).collect::<Vec<_>>()).der().len());
        assert!((twenty - ten + 8) / 10 * ENTRIES_MAX < 15 << 20, "{ten}, {twenty}");

        let mut limits = Limits::DEFAULT;
        (limits.crl_entries_max, limits.crl_len_max) = (usize::MAX, usize::MAX);
        let entries = vec![longest(1); ENTRIES_MAX + 1];
        let refused = issue_within(&entries, CrlNumber::FIRST, period(NOW, NOW + DAY), &limits);
        let expected = "the list would not be read: the revocation list has more than 262144 entries";
        assert_eq!(refusal(refused), expected);
    }

    /// Another key than it says, or no key at all.
    #[derive(Debug)]
    struct Faulty {
        public_key: SubjectPublicKeyInfoDer<'static>,
        signer: Option<signer_hsm::SoftwareKey>,
    }

    impl Signer for Faulty {
        fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
            &self.public_key
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::EcdsaP256Sha256
        }

        fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
            let away = || SignError::new(SignErrorKind::Unavailable);
            self.signer.as_ref().ok_or_else(away)?.sign(message, signature)
        }
    }

    #[test]
    fn a_list_is_not_issued_with_another_key_or_a_signature_that_does_not_verify() {
        let number = CrlNumber::FIRST;
        let issue = |signer: &dyn Signer| {
            refusal(issue_crl(&issuer(), [], number, period(NOW, NOW + 1), &Limits::DEFAULT, signer, VERIFIERS))
        };
        let ours = ETCD.key.public_key();
        let other = key(KeyAlgorithm::P256);
        assert_eq!(issue(&other), "the signer holds another key than the issuer's certificate");
        let wrong = Faulty { public_key: ours.clone(), signer: Some(other) };
        assert_eq!(issue(&wrong), "the fresh signature is not the issuer's: the signature does not verify");
        let away = Faulty { public_key: ours.clone(), signer: None };
        assert_eq!(issue(&away), "the signing backend is unavailable");
        let none = Verifiers::new(&[]);
        let unchecked = issue_crl(&issuer(), [], number, period(NOW, NOW + 1), &Limits::DEFAULT, &ETCD.key, none);
        let expected =
            "the fresh signature is not the issuer's: no verifier for ecdsa-with-SHA256 on P-256 was passed in";
        assert_eq!(refusal(unchecked), expected);
    }

    // ---- what is refused

    /// Changes one part of a sound list; what then comes out must be refused in exactly these words.
    fn refused(change: impl FnOnce(&mut Parts), expected: &str) {
        let mut parts = Parts::new();
        change(&mut parts);
        assert_eq!(read(&parts.sign()).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_sound_list_of_another_hand_is_read() {
        let sound = read(&Parts::new().sign()).unwrap();
        assert_eq!(sound.number(), CrlNumber::new(5));
        assert!(sound.is_revoked(number(&[1])));
        let read_with = |change: &dyn Fn(&mut Parts)| {
            let mut parts = Parts::new();
            change(&mut parts);
            read(&parts.sign()).unwrap()
        };
        let date = extension(INVALIDITY_DATE, false, &tlv(GENERALIZED_TIME, b"20231231000000Z"));
        let unspecified = read_with(&|parts| parts.revoked = seq(&[&entry(&[1], &[&reason(&[0]), &date])]));
        assert_eq!(unspecified.entry(number(&[1])).unwrap().reason(), None);
        let harmless = extension(UNKNOWN, false, &[5, 0]);
        let extended =
            read_with(&|parts| parts.extensions = extensions(&[&authority_key_id(), &crl_number(&[5]), &harmless]));
        assert_eq!(extended.entries(), sound.entries());
        let unsorted = read_with(&|parts| parts.revoked = seq(&[&entry(&[2], &[]), &entry(&[1], &[])]));
        assert!(unsorted.is_revoked(number(&[1])) && unsorted.is_revoked(number(&[2])));
        assert!(read_with(&|parts| parts.revoked.clear()).entries().is_empty());
    }

    #[test]
    fn a_malformed_list_is_refused() {
        let malformed = |change: fn(&mut Parts), expected: &str| {
            refused(change, &format!("malformed revocation list: {expected}"));
        };
        malformed(|parts| parts.version.clear(), "Version: not v2 (RFC 5280 5.1.2.1)");
        malformed(|parts| parts.version[2] = 0, "Version: not v2 (RFC 5280 5.1.2.1)");
        malformed(
            |parts| parts.outer_algorithm = seq(&[&oid(SHA384)]),
            "CertificateList: two signature algorithms (RFC 5280 5.1.1.2)",
        );
        malformed(|parts| parts.next_update.clear(), "TBSCertList: no nextUpdate (RFC 5280 5.1.2.5)");
        for earlier in [&b"240101000000Z"[..], b"231231235959Z"] {
            let expected = "malformed revocation list: TBSCertList: nextUpdate does not lie after thisUpdate";
            refused(|parts| parts.next_update = tlv(UTC_TIME, earlier), expected);
        }
        malformed(
            |parts| parts.this_update = tlv(GENERALIZED_TIME, b"20240101000000Z"),
            "Time: a year before 2050 as GeneralizedTime (RFC 5280 4.1.2.5)",
        );
        malformed(
            |parts| parts.revoked = tlv(SEQUENCE, &[]),
            "revokedCertificates: present and empty (RFC 5280 5.1.2.6)",
        );
        malformed(|parts| parts.revoked = seq(&[&entry(&[0], &[])]), "serialNumber: zero (RFC 5280 4.1.2.2)");
        malformed(
            |parts| parts.revoked = seq(&[&entry(&[0x80], &[])]),
            "serialNumber: negative (RFC 5280 4.1.2.2, 5.2.3)",
        );
        for code in [7, 8, 11] {
            let expected = "malformed revocation list: reasonCode: not one of a complete list (RFC 5280 5.3.1)";
            refused(|parts| parts.revoked = seq(&[&entry(&[1], &[&reason(&[code])])]), expected);
        }
        malformed(|parts| parts.revoked = seq(&[&entry(&[1], &[&reason(&[0, 1])])]), "reasonCode: not of one octet");
        malformed(
            |parts| {
                let critical = extension(CRL_NUMBER, true, &tlv(INTEGER, &[5]));
                parts.extensions = extensions(&[&authority_key_id(), &critical]);
            },
            "cRLNumber: critical (RFC 5280 5.2.3)",
        );
        malformed(
            |parts| parts.extensions = extensions(&[&authority_key_id(), &crl_number(&[0xff])]),
            "cRLNumber: negative (RFC 5280 4.1.2.2, 5.2.3)",
        );
        malformed(
            |parts| parts.extensions = extensions(&[&authority_key_id(), &crl_number(&[1; 21])]),
            "cRLNumber: longer than 20 octets (RFC 5280 4.1.2.2, 5.2.3)",
        );
        malformed(
            |parts| parts.extensions = extensions(&[&authority_key_id(), &crl_number(&[5]), &crl_number(&[6])]),
            "Extensions: one identifier stands twice (RFC 5280 4.2)",
        );
        malformed(|parts| parts.rest = vec![5, 0], "TBSCertList: octets after the end, at octet 136");
        let mut without_date = Parts::new();
        without_date.revoked = seq(&[&seq(&[&tlv(INTEGER, &[1])])]);
        assert!(matches!(read(&without_date.sign()), Err(CrlError::Malformed(_))));
        let trailing = [Parts::new().sign(), vec![0]].concat();
        assert!(matches!(read(&trailing), Err(CrlError::Malformed(_))));
        let unused_bits = seq(&[&seq(&[]), &seq(&[]), &tlv(BIT_STRING, &[1, 0])]);
        assert!(matches!(read(&unused_bits), Err(CrlError::Malformed(_))));
    }

    #[test]
    fn a_list_that_says_only_a_part_is_refused_by_name() {
        let with = |more: Vec<u8>| {
            move |parts: &mut Parts| parts.extensions = extensions(&[&authority_key_id(), &crl_number(&[5]), &more])
        };
        for critical in [true, false] {
            let delta = extension(DELTA_INDICATOR, critical, &tlv(INTEGER, &[4]));
            refused(with(delta), "a delta revocation list, expected a complete one (RFC 5280 5.2.4)");
            let point = extension(ISSUING_DISTRIBUTION_POINT, critical, &seq(&[]));
            refused(
                with(point),
                "a revocation list with an issuing distribution point, expected a complete one (RFC 5280 5.2.5)",
            );
            let other = extension(CERTIFICATE_ISSUER, critical, &seq(&[]));
            refused(
                |parts| parts.revoked = seq(&[&entry(&[1], &[&other])]),
                "an indirect revocation list, expected the issuer's own (RFC 5280 5.3.3)",
            );
        }
        let unknown = extension(UNKNOWN, true, &[5, 0]);
        let expected = "the revocation list has the critical extension 1.2.3.4, which is not understood (RFC 5280 5.2)";
        refused(with(unknown.clone()), expected);
        refused(|parts| parts.revoked = seq(&[&entry(&[1], &[&unknown])]), expected);
    }

    #[test]
    fn a_list_without_its_extensions_is_refused() {
        let missing = |name: &str| format!("the revocation list has no `{name}` (RFC 5280 5.2.1, 5.2.3)");
        refused(|parts| parts.extensions.clear(), &missing("authorityKeyIdentifier"));
        refused(|parts| parts.extensions = extensions(&[&crl_number(&[5])]), &missing("authorityKeyIdentifier"));
        refused(|parts| parts.extensions = extensions(&[&authority_key_id()]), &missing("cRLNumber"));
    }

    #[test]
    fn a_serial_number_stands_once_in_a_list() {
        refused(
            |parts| parts.revoked = seq(&[&entry(&[1], &[]), &entry(&[2], &[]), &entry(&[1], &[&reason(&[1])])]),
            "the revocation list has two entries for 01",
        );
    }

    #[test]
    fn a_list_of_another_name_key_or_signature_is_refused() {
        let other = "the revocation list names another issuer or key (RFC 5280 5.1.2.3, 5.2.1)";
        refused(|parts| parts.issuer = crate::drafts::name("other"), other);
        let foreign = extension(AUTHORITY_KEY_ID, false, &seq(&[&tlv(KEY_ID, &[0; 20])]));
        refused(|parts| parts.extensions = extensions(&[&foreign, &crl_number(&[5])]), other);
        let mismatch = "the revocation list is not its issuer's: the signature algorithm does not fit the public key";
        refused(
            |parts| {
                parts.algorithm = seq(&[&oid(SHA384)]);
                parts.outer_algorithm = seq(&[&oid(SHA384)]);
            },
            mismatch,
        );
        refused(
            |parts| {
                parts.algorithm = seq(&[&oid(UNKNOWN)]);
                parts.outer_algorithm = seq(&[&oid(UNKNOWN)]);
            },
            mismatch,
        );
        let mut list = Parts::new().sign();
        // The last octet of the signature.
        *list.last_mut().unwrap() ^= 1;
        let refused = read(&list).unwrap_err().to_string();
        assert_eq!(refused, "the revocation list is not its issuer's: the signature does not verify");
    }

    #[test]
    fn an_authority_without_crl_sign_issues_lists_only_when_told_to() {
        let (key, certificate) = kubeadm_ca();
        let refused = CrlIssuer::new(&certificate).unwrap_err();
        assert_eq!(refused.to_string(), "the authority's key usage has no cRLSign (RFC 5280 4.2.1.3)");
        let issuer = CrlIssuer::despite_key_usage(&certificate);
        let period = period(NOW, NOW + DAY);
        let list = issue_crl(&issuer, [], CrlNumber::FIRST, period, &Limits::DEFAULT, &key, VERIFIERS).unwrap();
        let read = CertificateList::parse(list.der(), &Limits::DEFAULT).unwrap();
        assert_eq!(read.verify(&issuer, VERIFIERS).unwrap(), list);
    }

    // ---- chains

    #[test]
    fn a_list_clears_or_refuses_the_leaf_of_a_chain() {
        let leaf = ETCD.issue(LeafKind::ApiServerEtcdClient, Duration::days(30), at(NOW));
        let bundle = TrustBundle::new([ETCD.issuer.certificate().clone()]).unwrap();
        let usage = ExtendedKeyUsage::ClientAuth;
        let chain = verify_chain(leaf.der(), &[], &bundle, usage, &Limits::DEFAULT, VERIFIERS, at(NOW)).unwrap();
        assert_eq!(chain.serial(), leaf.serial().into());

        let clear = issue(&[RevokedCertificate::new(serial(), at(NOW))]);
        assert_eq!(clear.check(&chain, at(NOW)), Ok(()));
        assert_eq!(clear.check(&chain, at(NOW + 7 * DAY)), Ok(()));
        let (next_update, this_update) = (at(NOW + 7 * DAY), at(NOW));
        assert_eq!(clear.check(&chain, at(NOW + 7 * DAY + 1)), Err(RevocationError::Stale { next_update }));
        assert_eq!(clear.check(&chain, at(NOW - 1)), Err(RevocationError::NotYetValid { this_update }));

        let entry = RevokedCertificate::new(leaf.serial(), at(NOW)).because(RevocationReason::KeyCompromise);
        let revoked = issue(&[entry]);
        for now in [NOW - 1, NOW, NOW + 8 * DAY] {
            assert_eq!(revoked.check(&chain, at(now)), Err(RevocationError::Revoked(entry)));
        }
        let expected = format!(
            "the certificate {} was revoked on 2024-01-01 0:00:00.0 +00 for keyCompromise (RFC 5280 5.3.1)",
            leaf.serial()
        );
        assert_eq!(RevocationError::Revoked(entry).to_string(), expected);

        let other = Authority::mint(AuthorityRole::Etcd, CaVersion::FIRST, KeyAlgorithm::P256);
        let foreign = CrlIssuer::new(other.issuer.certificate()).unwrap();
        let period = period(NOW, NOW + DAY);
        let foreign =
            issue_crl(&foreign, [entry], CrlNumber::FIRST, period, &Limits::DEFAULT, &other.key, VERIFIERS).unwrap();
        assert_eq!(foreign.check(&chain, at(NOW)), Err(RevocationError::OtherIssuer));
    }
}
