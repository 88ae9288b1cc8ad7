//! Chains and tokens: what a relying party accepts, and why it refuses the rest.

#[cfg(test)]
#[path = "support/authority.rs"]
mod authority;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use pki_core::verify::Verifiers;
    use pki_core::{
        AuthorityRole, BundleError, BundleHash, CaVersion, ChainError, ExtendedKeyUsage, KeyAlgorithm, KeyLedger,
        LeafKind, Limits, SignError, SignErrorKind, SignatureAlgorithm, Signer, TokenError, TokenKeys, TrustBundle,
        Validity, VerifiedChain, VerifiedToken, cross_sign, issue_token, mint_root, sign_to_vec, verify_chain,
        verify_server_name,
    };
    use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer};
    use serde_json::{Value, json};
    use signer_hsm::SoftwareKey;
    use time::Duration;

    use crate::authority::{ADDRESS, Authority, CA_VALIDITY, DNS_NAME, NOW, at, serial};
    use crate::keys::{VERIFIERS, key};

    const DAY: i64 = 86_400;

    // ---- chains

    fn cluster(version: CaVersion) -> Authority {
        Authority::mint(AuthorityRole::Cluster, version, KeyAlgorithm::P256)
    }

    fn cluster_for(validity: (i64, i64)) -> Authority {
        Authority::mint_for(AuthorityRole::Cluster, CaVersion::FIRST, KeyAlgorithm::P256, validity)
    }

    fn bundle<'a>(authorities: impl IntoIterator<Item = &'a Authority>) -> TrustBundle {
        TrustBundle::new(authorities.into_iter().map(|authority| authority.issuer.certificate().clone())).unwrap()
    }

    /// A kubelet's client certificate of one day.
    fn kubelet(authority: &Authority) -> CertificateDer<'static> {
        authority.issue(LeafKind::KubeletClient, Duration::DAY, at(NOW)).der().clone()
    }

    fn verify(leaf: &CertificateDer<'_>, bundle: &TrustBundle, now: i64) -> Result<VerifiedChain, ChainError> {
        verify_chain(leaf, &[], bundle, ExtendedKeyUsage::ClientAuth, &Limits::DEFAULT, VERIFIERS, at(now))
    }

    #[test]
    fn a_chain_names_the_peer_and_its_authority() {
        let authority = cluster(CaVersion::FIRST);
        let chain = verify(&kubelet(&authority), &bundle([&authority]), NOW).unwrap();
        assert_eq!(chain.identity().unwrap().subject().to_string(), "O=system:nodes,CN=system:node:node-1");
        assert_eq!(chain.anchor(), authority.issuer.certificate().id());
    }

    #[test]
    fn a_leaf_is_valid_from_its_first_second_to_its_last() {
        let authority = cluster(CaVersion::FIRST);
        let (leaf, bundle) = (kubelet(&authority), bundle([&authority]));
        let (first, last) = (NOW - 300, NOW + DAY);
        assert_eq!(verify(&leaf, &bundle, first - 1), Err(ChainError::NotYetValid));
        assert!(verify(&leaf, &bundle, first).is_ok());
        assert!(verify(&leaf, &bundle, last).is_ok());
        assert_eq!(verify(&leaf, &bundle, last + 1), Err(ChainError::Expired));
    }

    #[test]
    fn a_leaf_of_an_authority_outside_the_bundle_is_refused() {
        let etcd = Authority::mint(AuthorityRole::Etcd, CaVersion::FIRST, KeyAlgorithm::P256);
        let leaf = kubelet(&cluster(CaVersion::FIRST));
        assert_eq!(verify(&leaf, &bundle([&etcd]), NOW), Err(ChainError::UnknownIssuer));
        assert_eq!(verify(&leaf, &bundle([]), NOW), Err(ChainError::UnknownIssuer));
    }

    /// Both clusters' first CA is called `kubernetes`: only the key tells them apart.
    #[test]
    fn a_leaf_of_another_clusters_ca_of_the_same_name_is_refused() {
        let [ours, theirs] = [cluster(CaVersion::FIRST), cluster(CaVersion::FIRST)];
        assert_eq!(ours.issuer.certificate().subject_der(), theirs.issuer.certificate().subject_der());
        assert_eq!(verify(&kubelet(&theirs), &bundle([&ours]), NOW), Err(ChainError::UnknownIssuer));
        assert!(verify(&kubelet(&theirs), &bundle([&ours, &theirs]), NOW).is_ok());
        // Also where the keys are of different kinds, so that the one cannot have made the other's signature.
        let other_kind = Authority::mint(AuthorityRole::Cluster, CaVersion::FIRST, KeyAlgorithm::Rsa2048);
        assert_eq!(verify(&kubelet(&theirs), &bundle([&other_kind]), NOW), Err(ChainError::UnknownIssuer));
        let mut tampered = kubelet(&ours).to_vec();
        *tampered.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&tampered.clone().into(), &bundle([&theirs]), NOW), Err(ChainError::UnknownIssuer));
        assert_eq!(verify(&tampered.into(), &bundle([&ours]), NOW), Err(ChainError::BadSignature));
    }

    /// The leaf's issuer is sent along, and only its names and key identifiers tell whether an anchor is meant.
    #[test]
    fn a_bad_signature_below_an_intermediate_is_one_only_if_the_intermediate_leads_on() {
        let [old, new, stranger] = [cluster(CaVersion::FIRST), cluster(CaVersion::FIRST), cluster(CaVersion::FIRST)];
        let (new_root, old_root) = (new.issuer.certificate(), old.issuer.certificate());
        let bridge = cross_sign(new_root, old_root, serial(), at(NOW), &old.key, VERIFIERS).unwrap().der().clone();
        let mut tampered = kubelet(&new).to_vec();
        *tampered.last_mut().unwrap() ^= 1;
        let judge = |leaf: &CertificateDer<'_>, anchor: &Authority| {
            let usage = ExtendedKeyUsage::ClientAuth;
            let sent = std::slice::from_ref(&bridge);
            verify_chain(leaf, sent, &bundle([anchor]), usage, &Limits::DEFAULT, VERIFIERS, at(NOW)).map(drop)
        };
        assert_eq!(judge(&kubelet(&new), &old), Ok(()));
        assert_eq!(judge(&tampered.clone().into(), &old), Err(ChainError::BadSignature));
        assert_eq!(judge(&tampered.into(), &stranger), Err(ChainError::UnknownIssuer));
        assert_eq!(judge(&kubelet(&new), &stranger), Err(ChainError::UnknownIssuer));
    }

    /// The leaf comes from a renewed certificate of the authority; the relying party still holds the one before.
    #[test]
    fn an_expired_anchor_vouches_for_nobody() {
        let [renewed, other] = [cluster(CaVersion::FIRST), cluster(CaVersion::FIRST.next())];
        let short = Validity::new(at(NOW - DAY), at(NOW + 3600)).unwrap();
        let role = AuthorityRole::Cluster;
        let mut ledger = KeyLedger::new();
        let admitted = ledger.admit(&"test".parse().unwrap(), role, CaVersion::FIRST, &renewed.key).unwrap();
        let old = mint_root(&admitted, short, serial(), VERIFIERS).unwrap();
        let leaf = kubelet(&renewed);

        let alone = TrustBundle::new([old.clone()]).unwrap();
        let beside = TrustBundle::new([old.clone(), other.issuer.certificate().clone()]).unwrap();
        for bundle in [&alone, &beside] {
            assert_eq!(verify(&leaf, bundle, NOW + 3600).unwrap().anchor(), old.id());
        }
        assert_eq!(verify(&leaf, &alone, NOW + 3601), Err(ChainError::EveryAnchorExpired));
        assert_eq!(verify(&leaf, &beside, NOW + 3601), Err(ChainError::UnknownIssuer));
        let both = TrustBundle::new([old, renewed.issuer.certificate().clone()]).unwrap();
        assert!(verify(&leaf, &both, NOW + 3601).is_ok());
    }

    #[test]
    fn an_anchor_of_the_future_vouches_for_nobody() {
        let future = cluster_for((NOW + DAY, NOW + 2 * DAY));
        let leaf = future.issue(LeafKind::KubeletClient, Duration::HOUR, at(NOW + DAY)).der().clone();
        let bundle = bundle([&future]);
        assert_eq!(verify(&leaf, &bundle, NOW + DAY - 1), Err(ChainError::EveryAnchorExpired));
        assert!(verify(&leaf, &bundle, NOW + DAY).is_ok());
    }

    #[test]
    fn a_leaf_is_refused_for_the_usage_that_it_lacks() {
        let authority = cluster(CaVersion::FIRST);
        let bundle = bundle([&authority]);
        for leaf in [LeafKind::KubeletClient, LeafKind::KubeletServing] {
            let der = authority.issue(leaf, Duration::DAY, at(NOW)).der().clone();
            for usage in [ExtendedKeyUsage::ServerAuth, ExtendedKeyUsage::ClientAuth] {
                let chain = verify_chain(&der, &[], &bundle, usage, &Limits::DEFAULT, VERIFIERS, at(NOW)).map(drop);
                let fit = leaf.extended_key_usage().contains(&usage);
                assert_eq!(chain, if fit { Ok(()) } else { Err(ChainError::ExtendedKeyUsage) }, "{leaf} for {usage}");
            }
        }
    }

    #[test]
    fn a_bundle_of_two_generations_accepts_both_and_after_retirement_the_new_one_only() {
        let [first, second] = [cluster(CaVersion::FIRST), cluster(CaVersion::FIRST.next())];
        let leaves = [kubelet(&first), kubelet(&second)];
        let both = bundle([&first, &second]);
        for (leaf, authority) in leaves.iter().zip([&first, &second]) {
            assert_eq!(verify(leaf, &both, NOW).unwrap().anchor(), authority.issuer.certificate().id());
        }
        let retired = bundle([&second]);
        assert_eq!(verify(&leaves[0], &retired, NOW), Err(ChainError::UnknownIssuer));
        assert!(verify(&leaves[1], &retired, NOW).is_ok());
    }

    #[test]
    fn a_server_is_known_by_its_alternative_names_only() {
        let authority = cluster(CaVersion::FIRST);
        let issued = authority.issue(LeafKind::KubeletServing, Duration::DAY, at(NOW));
        let check = |name: &'static str| verify_server_name(issued.der(), &ServerName::try_from(name).unwrap());
        assert_eq!((check(DNS_NAME), check(ADDRESS)), (Ok(()), Ok(())));
        for other in ["node-2.example.com", "node-1", "example.com", "10.0.0.2", "fd00::1"] {
            assert_eq!(check(other), Err(ChainError::NameMismatch), "{other}");
        }
        let api_server = authority.issue(LeafKind::ApiServer, Duration::DAY, at(NOW));
        let common_name = ServerName::try_from("kube-apiserver").unwrap();
        assert_eq!(verify_server_name(api_server.der(), &common_name), Err(ChainError::NameMismatch));
    }

    #[test]
    fn what_is_no_certificate_of_a_cluster_is_malformed() {
        let authority = cluster(CaVersion::FIRST);
        let (leaf, bundle) = (kubelet(&authority), bundle([&authority]));
        let trailing = [&leaf[..], &[0]].concat();
        let cut = leaf[..leaf.len() - 1].to_vec();
        let long = vec![0x30; Limits::DEFAULT.certificate_len_max + 1];
        for der in [vec![], vec![0x30, 0], trailing, cut, long] {
            let refused = verify(&CertificateDer::from(der), &bundle, NOW).unwrap_err();
            assert!(matches!(refused, ChainError::Malformed(_)), "{refused}");
        }
    }

    #[test]
    fn a_leaf_with_any_bit_changed_is_refused() {
        let authority = Authority::mint(AuthorityRole::Cluster, CaVersion::FIRST, KeyAlgorithm::Ed25519);
        let (leaf, bundle) = (kubelet(&authority), bundle([&authority]));
        assert!(verify(&leaf, &bundle, NOW).is_ok());
        for position in 0..leaf.len() {
            for bit in 0..8 {
                let mut changed = leaf.to_vec();
                changed[position] ^= 1 << bit;
                let changed = CertificateDer::from(changed);
                assert!(verify(&changed, &bundle, NOW).is_err(), "bit {bit} of octet {position}");
            }
        }
    }

    #[test]
    fn an_authority_is_no_leaf() {
        let authority = cluster(CaVersion::FIRST);
        let root = authority.issuer.certificate().der();
        let refused = verify(root, &bundle([&authority]), NOW).unwrap_err();
        assert!(matches!(refused, ChainError::Other(_)), "{refused}");
    }

    #[test]
    fn a_leaf_is_no_anchor() {
        let leaf = kubelet(&cluster(CaVersion::FIRST));
        let refused = TrustBundle::from_der([leaf], &Limits::DEFAULT).unwrap_err();
        assert_eq!(refused.to_string(), "certificate 1: CA certificate: the CA bit is not set (RFC 5280 4.2.1.9)");
    }

    #[test]
    fn a_chain_that_nobody_can_check_is_refused() {
        let authority = cluster(CaVersion::FIRST);
        let (usage, none) = (ExtendedKeyUsage::ClientAuth, Verifiers::new(&[]));
        let bundle = bundle([&authority]);
        let refused = verify_chain(&kubelet(&authority), &[], &bundle, usage, &Limits::DEFAULT, none, at(NOW));
        assert!(matches!(refused, Err(ChainError::Other(_))), "{refused:?}");
    }

    // ---- the hash of a bundle

    #[test]
    fn the_hash_of_a_bundle_is_of_its_content() {
        let [one, two, three] = [1, 2, 3].map(|version| cluster(CaVersion::new(version).unwrap()));
        let both = bundle([&one, &two]);
        assert_eq!(both.hash(), bundle([&two, &one]).hash());
        assert_eq!(both.hash(), bundle([&one, &two, &one, &one]).hash());
        assert_eq!(bundle([&one, &two, &one]).certificates().len(), 2);
        let different = [bundle([]), bundle([&one]), bundle([&two]), both, bundle([&one, &two, &three])];
        for (index, bundle) in different.iter().enumerate() {
            for other in &different[index + 1..] {
                assert_ne!(bundle.hash(), other.hash());
            }
        }
    }

    #[test]
    fn the_hash_of_fingerprints_is_the_hash_of_their_bundle() {
        let [one, two] = [cluster(CaVersion::FIRST), cluster(CaVersion::FIRST.next())];
        let [first, second] = [&one, &two].map(|authority| authority.issuer.certificate().fingerprint());
        assert_eq!(BundleHash::of([second, first, second]), bundle([&one, &two]).hash());
    }

    #[test]
    fn a_bundle_keeps_its_order() {
        let [one, two] = [cluster(CaVersion::FIRST), cluster_for((CA_VALIDITY.0, CA_VALIDITY.1 - 1))];
        let bundle = bundle([&two, &one]);
        let expected = [two, one].map(|authority| authority.issuer.certificate().fingerprint());
        assert_eq!(bundle.certificates().iter().map(|root| root.fingerprint()).collect::<Vec<_>>(), expected);
    }

    // ---- tokens

    const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
    const SUBJECT: &str = "system:serviceaccount:kube-system:coredns";

    fn token(signer: &dyn Signer) -> String {
        issue_token(signer, VERIFIERS, ISSUER, AUDIENCE, SUBJECT, at(NOW), at(NOW + 3600)).unwrap()
    }

    fn keys<'a>(signers: impl IntoIterator<Item = &'a SoftwareKey>) -> TokenKeys {
        TokenKeys::new(signers.into_iter().map(|signer| signer.public_key().clone())).unwrap()
    }

    fn check(keys: &TokenKeys, token: &str, now: i64) -> Result<VerifiedToken, TokenError> {
        keys.verify(token, ISSUER, AUDIENCE, &Limits::DEFAULT, VERIFIERS, at(now))
    }

    fn refusal(keys: &TokenKeys, token: &str) -> String {
        check(keys, token, NOW).unwrap_err().to_string()
    }

    const MALFORMED: &str = "not a service-account token in compact form (RFC 7519)";
    const BAD_SIGNATURE: &str = "the token's signature does not verify";
    const WRONG_ALGORITHM: &str = "the token's algorithm is not its key's";
    const UNKNOWN_KEY: &str = "the token's key is not an accepted one";
    const AUDIENCE: &str = "https://kubernetes.default.svc";
    const WRONG_AUDIENCE: &str = "the token is for another audience";
    const WRONG_ISSUER: &str = "the token is another issuer's";
    const NOT_NOW: &str = "the token has expired or is not valid yet";

    /// Header and claims of a token, and its signature as text.
    fn parts(token: &str) -> (Value, Value, String) {
        let parts: Vec<_> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let json = |part: &str| serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap();
        (json(parts[0]), json(parts[1]), parts[2].to_owned())
    }

    fn assemble(header: &Value, claims: &Value, signature: &str) -> String {
        format!("{}.{}.{signature}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()))
    }

    /// A token of these parts with a good Ed25519 signature.
    fn signed(signer: &dyn Signer, header: &Value, claims: &Value) -> String {
        let unsigned = assemble(header, claims, "");
        let signature = sign_to_vec(signer, unsigned.trim_end_matches('.').as_bytes()).unwrap();
        format!("{unsigned}{}", BASE64.encode(signature))
    }

    #[test]
    fn tokens_of_every_kind_of_key_are_accepted() {
        for (algorithm, name, signature_len) in [
            (KeyAlgorithm::P256, "ES256", 64),
            (KeyAlgorithm::P384, "ES384", 96),
            (KeyAlgorithm::Rsa2048, "RS256", 256),
            (KeyAlgorithm::Rsa3072, "RS256", 384),
            (KeyAlgorithm::Ed25519, "EdDSA", 64),
        ] {
            let signer = key(algorithm);
            let token = token(&signer);
            let (header, claims, signature) = parts(&token);
            assert_eq!((&header["alg"], &header["typ"]), (&json!(name), &json!("JWT")));
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!(ISSUER), &json!(SUBJECT)));
            assert_eq!((&claims["nbf"], &claims["exp"]), (&json!(NOW), &json!(NOW + 3600)));
            assert_eq!(BASE64.decode(signature).unwrap().len(), signature_len);

            let verified = check(&keys([&signer]), &token, NOW).unwrap();
            assert_eq!(verified.subject(), SUBJECT);
            assert_eq!(header["kid"], json!(verified.key().to_string()));
        }
    }

    /// One signature in 128 has a scalar that begins with a zero octet, which DER leaves out and JOSE does not.
    #[test]
    fn short_scalars_survive_the_way_from_der_and_back() {
        for (algorithm, scalar) in [(KeyAlgorithm::P256, 32), (KeyAlgorithm::P384, 48)] {
            let signer = key(algorithm);
            let accepted = keys([&signer]);
            let (mut short_r, mut short_s) = (0, 0);
            for number in 0..20_000 {
                let subject = format!("{SUBJECT}-{number}");
                let token = issue_token(&signer, VERIFIERS, ISSUER, AUDIENCE, &subject, at(NOW), at(NOW + 1)).unwrap();
                let signature = BASE64.decode(parts(&token).2).unwrap();
                assert_eq!(signature.len(), 2 * scalar);
                let (in_r, in_s) = (signature[0] == 0, signature[scalar] == 0);
                if in_r || in_s {
                    assert_eq!(check(&accepted, &token, NOW).unwrap().subject(), subject);
                }
                short_r += u32::from(in_r);
                short_s += u32::from(in_s);
                if short_r > 1 && short_s > 1 {
                    break;
                }
            }
            assert!(short_r > 1 && short_s > 1, "{algorithm}: {short_r} and {short_s} short scalars");
        }
    }

    #[test]
    fn a_token_is_accepted_while_its_key_is_in_the_set() {
        let [old, new] = [KeyAlgorithm::Rsa2048, KeyAlgorithm::P256].map(key);
        let both = keys([&old, &new]);
        let ids = [&old, &new].map(|signer| check(&both, &token(signer), NOW).unwrap().key());
        assert_ne!(ids[0], ids[1]);
        let retired = keys([&new]);
        assert_eq!(refusal(&retired, &token(&old)), UNKNOWN_KEY);
        assert!(check(&retired, &token(&new), NOW).is_ok());
        assert_eq!(refusal(&keys([]), &token(&new)), UNKNOWN_KEY);
        assert_eq!(both.hash(), keys([&new, &old, &new]).hash());
        assert_ne!(both.hash(), retired.hash());
    }

    #[test]
    fn a_token_of_another_key_under_a_known_kid_is_refused() {
        let [ours, theirs] = [KeyAlgorithm::P256, KeyAlgorithm::P256].map(key);
        let ((header, ..), (_, claims, signature)) = (parts(&token(&ours)), parts(&token(&theirs)));
        let accepted = keys([&ours]);
        assert_eq!(refusal(&accepted, &assemble(&header, &claims, &signature)), BAD_SIGNATURE);
        assert_eq!(refusal(&accepted, &token(&theirs)), UNKNOWN_KEY);
    }

    #[test]
    fn the_header_does_not_choose_the_algorithm() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048, KeyAlgorithm::Ed25519] {
            let signer = key(algorithm);
            let accepted = keys([&signer]);
            let (header, claims, signature) = parts(&token(&signer));
            for name in ["none", "None", "HS256", "ES256", "ES384", "RS256", "RS512", "PS256", "EdDSA", ""] {
                if header["alg"] == json!(name) {
                    continue;
                }
                let mut changed = header.clone();
                changed["alg"] = json!(name);
                for signature in [signature.as_str(), ""] {
                    assert_eq!(refusal(&accepted, &assemble(&changed, &claims, signature)), WRONG_ALGORITHM, "{name}");
                }
            }
            for alg in [Value::Null, json!(1), json!([header["alg"]])] {
                let mut changed = header.clone();
                changed["alg"] = alg;
                assert_eq!(refusal(&accepted, &assemble(&changed, &claims, &signature)), WRONG_ALGORITHM);
            }
        }
    }

    #[test]
    fn a_kid_that_is_missing_or_unknown_is_refused() {
        let signer = key(KeyAlgorithm::Ed25519);
        let accepted = keys([&signer]);
        let (header, claims, signature) = parts(&token(&signer));
        for (kid, expected) in [
            (Value::Null, MALFORMED),
            (json!(7), MALFORMED),
            (json!(""), UNKNOWN_KEY),
            (json!("../../keys"), UNKNOWN_KEY),
            (json!(header["kid"].as_str().unwrap().to_uppercase()), UNKNOWN_KEY),
        ] {
            let mut changed = header.clone();
            changed["kid"] = kid;
            assert_eq!(refusal(&accepted, &assemble(&changed, &claims, &signature)), expected, "{changed}");
        }
    }

    #[test]
    fn a_token_with_an_extension_that_must_be_understood_is_refused() {
        let signer = key(KeyAlgorithm::Ed25519);
        let accepted = keys([&signer]);
        let (mut header, claims, _) = parts(&token(&signer));
        assert!(check(&accepted, &signed(&signer, &header, &claims), NOW).is_ok());
        header["crit"] = json!(["exp"]);
        assert_eq!(refusal(&accepted, &signed(&signer, &header, &claims)), MALFORMED);
    }

    #[test]
    fn a_token_is_valid_from_its_first_second_until_just_before_its_expiry() {
        let signer = key(KeyAlgorithm::Ed25519);
        let accepted = keys([&signer]);
        let token = token(&signer);
        for now in [NOW, NOW + 3599] {
            assert!(check(&accepted, &token, now).is_ok());
        }
        for now in [NOW - 1, NOW + 3600, NOW + DAY] {
            assert_eq!(check(&accepted, &token, now).unwrap_err().to_string(), NOT_NOW);
        }
    }

    #[test]
    fn a_token_of_another_issuer_is_refused() {
        let signer = key(KeyAlgorithm::Ed25519);
        let accepted = keys([&signer]);
        for issuer in ["", "https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local/"] {
            let token = issue_token(&signer, VERIFIERS, issuer, AUDIENCE, SUBJECT, at(NOW), at(NOW + 1)).unwrap();
            assert_eq!(refusal(&accepted, &token), WRONG_ISSUER, "{issuer}");
        }
    }

    #[test]
    fn changed_claims_are_refused() {
        let signer = key(KeyAlgorithm::P256);
        let accepted = keys([&signer]);
        let (header, claims, signature) = parts(&token(&signer));
        for (name, value) in [
            ("sub", json!("system:serviceaccount:kube-system:root")),
            ("exp", json!(NOW + 10 * DAY)),
            ("iss", json!("other")),
            ("groups", json!(["system:masters"])),
        ] {
            let mut changed = claims.clone();
            changed[name] = value;
            assert_eq!(refusal(&accepted, &assemble(&header, &changed, &signature)), BAD_SIGNATURE, "{name}");
        }
    }

    #[test]
    fn signed_claims_of_another_form_are_refused() {
        let signer = key(KeyAlgorithm::Ed25519);
        let accepted = keys([&signer]);
        let (header, claims, _) = parts(&token(&signer));
        assert!(check(&accepted, &signed(&signer, &header, &claims), NOW).is_ok());
        for (name, value, expected) in [
            ("sub", Value::Null, MALFORMED),
            ("sub", json!([SUBJECT]), MALFORMED),
            ("iss", Value::Null, WRONG_ISSUER),
            ("iss", json!([ISSUER]), WRONG_ISSUER),
            ("aud", Value::Null, WRONG_AUDIENCE),
            ("aud", json!([]), WRONG_AUDIENCE),
            ("aud", json!(["vault", "registry"]), WRONG_AUDIENCE),
            ("aud", json!(format!("{AUDIENCE}/")), WRONG_AUDIENCE),
            ("exp", Value::Null, MALFORMED),
            ("exp", json!((NOW + 1).to_string()), MALFORMED),
            ("exp", json!(1e300), MALFORMED),
            ("nbf", Value::Null, MALFORMED),
            ("nbf", json!(i64::MAX), NOT_NOW),
            ("exp", json!(i64::MIN), NOT_NOW),
        ] {
            let mut changed = claims.clone();
            changed[name] = value;
            assert_eq!(refusal(&accepted, &signed(&signer, &header, &changed)), expected, "{changed}");
        }
        assert_eq!(refusal(&accepted, &signed(&signer, &header, &json!([]))), WRONG_ISSUER);
    }

    #[test]
    fn one_audience_of_several_is_enough_however_it_is_written() {
        let signer = key(KeyAlgorithm::Ed25519);
        let accepted = keys([&signer]);
        let (header, mut claims, _) = parts(&token(&signer));
        for aud in [json!(AUDIENCE), json!(["vault", AUDIENCE])] {
            claims["aud"] = aud;
            assert!(check(&accepted, &signed(&signer, &header, &claims), NOW).is_ok(), "{claims}");
        }
    }

    /// A key whose signatures are another key's.
    #[derive(Debug)]
    struct Swapped(SoftwareKey, SoftwareKey);

    impl Signer for Swapped {
        fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
            self.0.public_key()
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            self.0.algorithm()
        }

        fn sign(&self, message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
            self.1.sign(message, signature)
        }
    }

    #[test]
    fn a_token_with_another_keys_signature_does_not_leave() {
        let swapped = Swapped(key(KeyAlgorithm::P256), key(KeyAlgorithm::P256));
        let error = issue_token(&swapped, VERIFIERS, ISSUER, AUDIENCE, SUBJECT, at(NOW), at(NOW + 1)).unwrap_err();
        assert!(matches!(error, TokenError::BadSignature), "{error}");
    }

    #[test]
    fn a_token_that_is_cut_off_or_followed_by_anything_is_refused() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
            let signer = key(algorithm);
            let accepted = keys([&signer]);
            let token = token(&signer);
            for len in 0..token.len() {
                assert!(check(&accepted, &token[..len], NOW).is_err(), "{len} of {}", token.len());
            }
            for tail in ["A", "AA", ".", ".AA", "=", " ", "\n"] {
                assert!(check(&accepted, &format!("{token}{tail}"), NOW).is_err(), "{tail:?}");
            }
        }
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let signer = key(KeyAlgorithm::P256);
        let accepted = keys([&signer]);
        let (header, claims, signature) = parts(&token(&signer));
        let encoded = BASE64.encode(header.to_string());
        for text in ["", ".", "..", "a.b.c", "abc", "e30.e30.", "bnVsbA.e30.AA", "é.é.é"] {
            assert_eq!(refusal(&accepted, text), MALFORMED, "{text}");
        }
        // r||s of the wrong length, and a DER signature in its place.
        let der = sign_to_vec(&signer, b"message").unwrap();
        for octets in [vec![], vec![0; 63], vec![0; 65], der] {
            assert_eq!(refusal(&accepted, &assemble(&header, &claims, &BASE64.encode(octets))), MALFORMED);
        }
        assert_eq!(refusal(&accepted, &assemble(&header, &claims, &BASE64.encode([0; 64]))), BAD_SIGNATURE);
        assert_eq!(refusal(&accepted, &format!("{encoded}=.e30.{signature}")), MALFORMED);
    }

    #[test]
    fn a_token_beyond_the_limit_is_not_read() {
        let signer = key(KeyAlgorithm::P256);
        let accepted = keys([&signer]);
        let token = token(&signer);
        let mut limits = Limits::DEFAULT;
        limits.token_len_max = token.len();
        assert!(accepted.verify(&token, ISSUER, AUDIENCE, &limits, VERIFIERS, at(NOW)).is_ok());
        limits.token_len_max -= 1;
        let refused = accepted.verify(&token, ISSUER, AUDIENCE, &limits, VERIFIERS, at(NOW)).unwrap_err();
        let (found, max) = (token.len(), token.len() - 1);
        assert!(matches!(refused, TokenError::TooLong { found: f, max: m } if (f, m) == (found, max)), "{refused}");
        let long = "a".repeat(Limits::DEFAULT.token_len_max + 1);
        assert_eq!(refusal(&accepted, &long), "the token has 16385 octets, limit 16384");
    }

    /// A signer whose backend is away.
    #[derive(Debug)]
    struct Away(SubjectPublicKeyInfoDer<'static>);

    impl Signer for Away {
        fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
            &self.0
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::EcdsaP256Sha256
        }

        fn sign(&self, _message: &[u8], _signature: &mut [u8]) -> Result<usize, SignError> {
            Err(SignError::new(SignErrorKind::TimedOut))
        }
    }

    #[test]
    fn a_signer_that_cannot_sign_makes_no_token() {
        let issue = |signer: &dyn Signer| {
            issue_token(signer, VERIFIERS, ISSUER, AUDIENCE, SUBJECT, at(NOW), at(NOW + 1)).unwrap_err()
        };
        let away = issue(&Away(key(KeyAlgorithm::P256).public_key().clone()));
        assert!(matches!(&away, TokenError::Sign(cause) if cause.kind() == SignErrorKind::TimedOut), "{away}");
        let pss = issue(&key(KeyAlgorithm::Rsa2048).into_pss().unwrap());
        assert!(matches!(pss, TokenError::Algorithm), "{pss}");
        let unknown = issue(&Away(SubjectPublicKeyInfoDer::from(vec![0x30, 0])));
        assert!(matches!(unknown, TokenError::UnknownKey), "{unknown}");
    }

    #[test]
    fn a_key_of_no_accepted_kind_is_not_taken_into_the_set() {
        assert!(TokenKeys::new([SubjectPublicKeyInfoDer::from(vec![0x30, 0])]).is_err());
    }

    #[test]
    fn a_bundle_of_generations_says_which_and_none_is_two() {
        let [first, second] = [CaVersion::FIRST, CaVersion::FIRST.next()].map(|version| {
            let authority = Authority::mint(AuthorityRole::Cluster, version, KeyAlgorithm::P256);
            (version, authority.issuer.certificate().clone())
        });
        let both = TrustBundle::of_generations([second.clone(), first.clone(), second.clone()]).unwrap();
        assert_eq!(both.versions(), [first.0, second.0]);
        assert_eq!(both.certificates(), [first.1.clone(), second.1.clone()]);
        assert_eq!(both.hash(), TrustBundle::new([second.1.clone(), first.1.clone()]).unwrap().hash());
        assert_eq!(both.to_string(), format!("CA bundle [1 2], {}", both.hash()));
        for generations in [[first.clone(), (first.0, second.1.clone())], [first.clone(), (second.0, first.1.clone())]]
        {
            let error = TrustBundle::of_generations(generations).unwrap_err();
            assert!(matches!(error, BundleError::Generation(_)), "{error}");
        }
    }
}
