//! Certificates that rcgen and the builder of x509-cert issue with every backend's keys, judged by `openssl`, and TLS servers
//! whose key is behind the adapter.
#![cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]

#[cfg(test)]
#[path = "support/backends.rs"]
mod backends;
#[cfg(test)]
#[path = "support/interop.rs"]
mod interop;
#[cfg(test)]
#[path = "support/kinds.rs"]
mod kinds;
#[cfg(test)]
#[path = "support/openssl.rs"]
#[expect(dead_code, reason = "no keys of openssl are needed here, only its judgement")]
mod openssl;

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::sync::Arc;

    use pki_core::{
        KeyAlgorithm, RcgenSigner, RustlsSigner, SignError, SignErrorKind, SignatureAlgorithm, Signer, X509Signer,
    };
    use rcgen::Issuer;
    use rustls::server::ResolvesServerCert;
    use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
    use rustls::version::{TLS12, TLS13};
    use rustls::{
        ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
        SignatureScheme, SupportedProtocolVersion,
    };
    use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer};
    use signer_hsm::testing::{FaultySigner, SignFault};
    use signer_hsm::{ExportableKey, KeyLabel, KeySpec, Provider, SoftwareKey};

    use crate::backends::backends;
    use crate::interop::{SERVER, params, rcgen_issues, x509_cert_issues};
    use crate::kinds::kinds;

    fn label(text: &str) -> KeyLabel {
        text.parse().unwrap()
    }

    fn generate(algorithm: KeyAlgorithm) -> Arc<SoftwareKey> {
        Arc::new(SoftwareKey::generate_with(*Provider::ALL.first().unwrap(), algorithm).unwrap())
    }

    /// Every backend makes a key of each kind that it knows, and `check` gets its handle.
    fn on_every_backend(check: impl Fn(&str, Arc<dyn Signer>)) {
        for backend in backends() {
            for kind in backend.kinds {
                let name = label(&format!("adapters/{kind}"));
                let signer = backend.store.generate(&name, KeySpec::new(kind)).unwrap();
                check(&format!("{} {kind}", backend.name), signer);
                backend.store.destroy(&name).unwrap();
            }
        }
    }

    #[test]
    fn rcgen_issues_through_every_backend() {
        on_every_backend(|name, signer| rcgen_issues(name, &*signer));
    }

    #[test]
    fn the_builder_of_x509_cert_issues_through_every_backend() {
        on_every_backend(|name, signer| x509_cert_issues(name, &*signer));
    }

    /// A signer whose public key is not of the algorithm that it names.
    #[derive(Debug)]
    struct Misfit(SoftwareKey);

    impl Signer for Misfit {
        fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
            self.0.public_key()
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::EcdsaP384Sha384
        }

        fn sign(&self, _: &[u8], _: &mut [u8]) -> Result<usize, SignError> {
            Err(SignError::new(SignErrorKind::Other))
        }
    }

    #[test]
    fn a_signer_that_does_not_fit_is_refused_before_anything_is_written() {
        let first = *Provider::ALL.first().unwrap();
        let misfit = Arc::new(Misfit(SoftwareKey::generate_with(first, KeyAlgorithm::P256).unwrap()));
        let refused = RcgenSigner::new(&*misfit).unwrap_err();
        assert_eq!(refused.to_string(), "rcgen does not take a key that signs with ecdsa-with-SHA384 on P-384");
        assert_eq!(X509Signer::new(&*misfit).unwrap_err().algorithm(), SignatureAlgorithm::EcdsaP384Sha384);
        assert_eq!(RustlsSigner::new(misfit).unwrap_err().algorithm(), SignatureAlgorithm::EcdsaP384Sha384);
        if kinds(first).contains(&KeyAlgorithm::Rsa2048) {
            let pss = SoftwareKey::generate_with(first, KeyAlgorithm::Rsa2048).unwrap().into_pss().unwrap();
            assert_eq!(RcgenSigner::new(&pss).unwrap_err().algorithm(), SignatureAlgorithm::RsaPssSha256);
        }
    }

    #[test]
    fn a_signer_that_fails_gives_no_certificate() {
        let faulty = || FaultySigner::new(generate(KeyAlgorithm::P256), SignFault::unavailable(1));
        let signer = faulty();
        let refused = params("root", 1, true).self_signed(&RcgenSigner::new(&signer).unwrap()).unwrap_err();
        assert_eq!(refused, rcgen::Error::RemoteKeyError);

        let signer = faulty();
        let refused = signature::Signer::try_sign(&X509Signer::new(&signer).unwrap(), b"message").unwrap_err();
        let cause = refused.source().unwrap().downcast_ref::<SignError>().unwrap();
        assert_eq!(cause.kind(), SignErrorKind::Unavailable);

        let key = RustlsSigner::new(Arc::new(faulty())).unwrap();
        let offered = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
        assert!(matches!(offered.sign(b"message"), Err(rustls::Error::Other(_))));
    }

    #[test]
    fn a_handle_offers_tls_its_one_scheme() {
        let key = RustlsSigner::new(generate(KeyAlgorithm::P256)).unwrap();
        let others =
            [SignatureScheme::ECDSA_NISTP384_SHA384, SignatureScheme::ED25519, SignatureScheme::RSA_PSS_SHA256];
        assert!(key.choose_scheme(&others).is_none());
        let chosen = key.choose_scheme(&[SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
        assert_eq!(chosen.scheme(), SignatureScheme::ECDSA_NISTP256_SHA256);
        assert_eq!(format!("{key:?}"), "RustlsSigner { scheme: ECDSA_NISTP256_SHA256, .. }");
    }

    /// A server with this key and a certificate that `root` issued for `signer`, its handle for certificates, meets a
    /// client that trusts `root`.
    fn shake_hands(
        certificates: &dyn Signer,
        tls: Arc<dyn Signer>,
        version: &'static SupportedProtocolVersion,
    ) -> Result<ProtocolVersion, rustls::Error> {
        let root_key = generate(KeyAlgorithm::P256);
        let root_params = params("root", 1, true);
        let root_signer = RcgenSigner::new(&*root_key).unwrap();
        let root = root_params.self_signed(&root_signer).unwrap();
        let leaf = params(SERVER, 2, false)
            .signed_by(&RcgenSigner::new(certificates).unwrap(), &Issuer::from_params(&root_params, root_signer))
            .unwrap();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = CertifiedKey::new(vec![CertificateDer::from(leaf)], Arc::new(RustlsSigner::new(tls).unwrap()));
        key.keys_match().unwrap();
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key));
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();

        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let name = ServerName::try_from(SERVER).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                client.read_tls(&mut wire).unwrap();
                client.process_new_packets()?;
            }
        }
        Ok(client.protocol_version().unwrap())
    }

    #[test]
    fn a_tls_server_signs_its_handshakes_behind_the_adapter() {
        for provider in Provider::ALL {
            for kind in kinds(*provider) {
                let file = ExportableKey::generate_with(*provider, kind).unwrap().to_pem();
                let read = || SoftwareKey::from_pem_with(*provider, file.as_bytes()).unwrap();
                let tls = read().into_pss().unwrap_or_else(|_not_rsa| read());
                let version = shake_hands(&read(), Arc::new(tls), &TLS13).unwrap();
                assert_eq!(version, ProtocolVersion::TLSv1_3, "{provider:?} {kind}");
            }
        }
    }

    #[test]
    fn an_rsa_handle_for_pkcs1_serves_tls_1_2_and_no_later_version() {
        for provider in Provider::ALL {
            if kinds(*provider).contains(&KeyAlgorithm::Rsa2048) {
                let key: Arc<dyn Signer> =
                    Arc::new(SoftwareKey::generate_with(*provider, KeyAlgorithm::Rsa2048).unwrap());
                assert_eq!(shake_hands(&*key, Arc::clone(&key), &TLS12).unwrap(), ProtocolVersion::TLSv1_2);
                shake_hands(&*key, Arc::clone(&key), &TLS13).unwrap_err();
            }
        }
    }

    #[test]
    fn another_key_behind_the_adapter_serves_nobody() {
        let (certified, other) = (generate(KeyAlgorithm::P256), generate(KeyAlgorithm::P256));
        let wrong_slot: Arc<dyn Signer> =
            Arc::new(FaultySigner::new(certified.clone(), vec![SignFault::OtherKey(other); 4]));
        let refused = shake_hands(&*certified, wrong_slot, &TLS13).unwrap_err();
        assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
    }
}
