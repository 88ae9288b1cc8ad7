//! Other people's programs judge our revocation lists, and we theirs.

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
#[path = "support/lists.rs"]
mod lists;
#[cfg(test)]
#[path = "support/tools.rs"]
mod tools;

#[cfg(test)]
mod tests {
    use std::fs;

    use pki_core::pem::{CERTIFICATE, X509_CRL, decode_single_pem, encode_pem};
    use pki_core::{
        CaCertificate, CertificateList, CrlIssuer, CrlNumber, KeyAlgorithm, LeafKind, Limits, RevocationList,
        RevocationReason, RevokedCertificate, TrustBundle, issue_crl,
    };
    use rustls_pki_types::CertificateDer;
    use time::Duration;
    use webpki::{
        BorrowedCertRevocationList, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage,
        RevocationOptionsBuilder,
    };

    use crate::authority::{NOW, at};
    use crate::drafts::Draft;
    use crate::keys::VERIFIERS;
    use crate::lists::{DAY, ETCD, issue, kubeadm_ca, number, period};
    use crate::tools::{room, run};

    #[test]
    fn webpki_refuses_what_our_list_revokes_and_nothing_else() {
        let leaves = [(); 2].map(|()| ETCD.issue(LeafKind::ApiServerEtcdClient, Duration::days(30), at(NOW)));
        let list = issue(&[RevokedCertificate::new(leaves[0].serial(), at(NOW))]);
        let parsed = CertRevocationList::from(BorrowedCertRevocationList::from_der(list.der()).unwrap());
        let anchor = webpki::anchor_from_trusted_cert(ETCD.issuer.certificate().der()).unwrap();
        let verify = |der: &CertificateDer<'_>| {
            let lists = [&parsed];
            let options = RevocationOptionsBuilder::new(&lists).unwrap();
            let options = options.with_expiration_policy(ExpirationPolicy::Enforce).build();
            EndEntityCert::try_from(der)
                .unwrap()
                .verify_for_usage(
                    VERIFIERS.algorithms(),
                    std::slice::from_ref(&anchor),
                    &[],
                    pki_core::unix_time(at(NOW)),
                    KeyUsage::client_auth(),
                    Some(options),
                    None,
                )
                .map(drop)
        };
        assert_eq!(verify(leaves[0].der()), Err(webpki::Error::CertRevoked));
        assert_eq!(verify(leaves[1].der()), Ok(()));
    }

    /// `openssl verify -crl_check` of a leaf, at a time.
    fn openssl_verifies(
        test: &str,
        certificate: &CaCertificate,
        list: &RevocationList,
        leaf: &CertificateDer<'_>,
        time: i64,
    ) -> (bool, String) {
        let room = room(test);
        let write = |name: &str, text: &str| {
            fs::write(room.join(name), text).unwrap();
            room.join(name).to_str().unwrap().to_owned()
        };
        let ca = write("ca.crt", &encode_pem(CERTIFICATE, certificate.der()));
        let crl = write("list.crl", &list.to_pem());
        let leaf = write("leaf.crt", &encode_pem(CERTIFICATE, leaf));
        let time = time.to_string();
        let arguments =
            ["verify", "-x509_strict", "-attime", &time, "-crl_check", "-CAfile", &ca, "-CRLfile", &crl, &leaf];
        let (verified, _, said) = run("openssl", &arguments, b"");
        (verified, said)
    }

    #[test]
    fn openssl_refuses_what_our_list_revokes_and_nothing_else() {
        let certificate = ETCD.issuer.certificate();
        let leaves = [(); 2].map(|()| ETCD.issue(LeafKind::ApiServerEtcdClient, Duration::days(30), at(NOW)));
        let revoked = RevokedCertificate::new(leaves[0].serial(), at(NOW)).because(RevocationReason::KeyCompromise);
        let list = issue(&[revoked]);
        let judge = |index: usize, time| openssl_verifies("openssl-crl", certificate, &list, leaves[index].der(), time);
        let (accepted, said) = judge(0, NOW + 1);
        assert!(!accepted && said.contains("certificate revoked"), "{said}");
        let (accepted, said) = judge(1, NOW + 1);
        assert!(accepted, "{said}");
        let (accepted, said) = judge(1, NOW + 8 * DAY);
        assert!(!accepted && said.contains("CRL has expired"), "{said}");

        let arguments = ["crl", "-inform", "DER", "-noout", "-text", "-nameopt", "RFC2253"];
        let (read, _, text) = run("openssl", &arguments, list.der());
        assert!(read, "{text}");
        let serial = revoked.serial().to_string().to_uppercase();
        for expected in [
            "Version 2 (0x1)",
            "Signature Algorithm: ecdsa-with-SHA256",
            "Issuer: CN=etcd-ca",
            "Last Update: Jan  1 00:00:00 2024 GMT",
            "Next Update: Jan  8 00:00:00 2024 GMT",
            "X509v3 Authority Key Identifier",
            "X509v3 CRL Number: \n                7\n",
            &format!("Serial Number: {serial}"),
            "Revocation Date: Jan  1 00:00:00 2024 GMT",
            "Key Compromise",
        ] {
            assert!(text.contains(expected), "`{expected}` is not in\n{text}");
        }
    }

    #[test]
    fn openssl_takes_no_list_of_an_authority_without_crl_sign() {
        let (key, certificate) = kubeadm_ca();
        let leaf = Draft::client("etcd-ca", "client").sign(&crate::keys::key(KeyAlgorithm::P256), &key);
        let issuer = CrlIssuer::despite_key_usage(&certificate);
        let period = period(NOW, NOW + DAY);
        let list = issue_crl(&issuer, [], CrlNumber::FIRST, period, &Limits::DEFAULT, &key, VERIFIERS).unwrap();
        let (accepted, said) = openssl_verifies("openssl-crl-kubeadm", &certificate, &list, &leaf, NOW + 1);
        assert!(!accepted && said.contains("key usage does not include CRL signing"), "{said}");
    }

    #[test]
    fn a_list_of_openssl_is_read() {
        let room = room("openssl-gencrl");
        let path = |name: &str| room.join(name).to_str().unwrap().to_owned();
        let config = format!(
            "[ca]\ndefault_ca=a\n[a]\ndatabase={}\ncrlnumber={}\ndefault_md=sha256\ndefault_crl_days=30\n\
             crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid:always\n",
            path("index"),
            path("number")
        );
        fs::write(path("config"), config).unwrap();
        fs::write(path("index"), "R\t491231235959Z\t240101000000Z,keyCompromise\t0102\tunknown\t/CN=x\n").unwrap();
        fs::write(path("number"), "0A\n").unwrap();
        let (key_file, root) = (path("ca.key"), path("ca.crt"));
        for arguments in [
            &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key_file][..],
            &["req", "-x509", "-key", &key_file, "-subj", "/CN=by hand", "-days", "3650", "-out", &root],
            &[
                "ca",
                "-config",
                &path("config"),
                "-gencrl",
                "-keyfile",
                &key_file,
                "-cert",
                &root,
                "-out",
                &path("list"),
            ],
        ] {
            let (done, _, said) = run("openssl", arguments, b"");
            assert!(done, "{said}");
        }
        let bundle = TrustBundle::from_pem(&fs::read(&root).unwrap(), &Limits::DEFAULT).unwrap();
        let der = decode_single_pem(&fs::read(path("list")).unwrap(), X509_CRL, &Limits::DEFAULT).unwrap();
        let issuer = CrlIssuer::new(&bundle.certificates()[0]).unwrap();
        let list = CertificateList::parse(&der, &Limits::DEFAULT).unwrap().verify(&issuer, VERIFIERS).unwrap();
        assert_eq!(list.number(), CrlNumber::new(10));
        let entry = RevokedCertificate::new(number(&[1, 2]), at(NOW)).because(RevocationReason::KeyCompromise);
        assert_eq!(list.entries(), [entry]);
    }
}
