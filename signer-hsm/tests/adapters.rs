//! Certificates that rcgen and the builder of x509-cert issue with every backend's keys, judged by `openssl`, and TLS servers
//! whose key is behind the adapter.
#![cfg(any(feature = "aws-lc-rs", feature = "rustcrypto"))]

#[cfg(test)]
#[path = "support/backends.rs"]
mod backends;
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
    use std::fs;
    use std::str::FromStr;
    use std::sync::Arc;
    use std::time::Duration;

    use pki_core::{
        KeyAlgorithm, RcgenSigner, RustlsSigner, SignError, SignErrorKind, SignatureAlgorithm, Signer, X509Signature,
        X509Signer,
    };
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, SerialNumber,
    };
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
    use x509_cert::builder::{Builder, CertificateBuilder, profile};
    use x509_cert::der::Encode;
    use x509_cert::name::Name;
    use x509_cert::spki::SubjectPublicKeyInfo;
    use x509_cert::time::Validity;

    use crate::backends::backends;
    use crate::kinds::kinds;
    use crate::openssl::openssl;

    const SERVER: &str = "server.example";

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

    /// rcgen's parameters of an authority or of a server, without what it would need a provider of its own for.
    fn params(name: &str, number: u64, is_ca: bool) -> CertificateParams {
        let names = if is_ca { Vec::new() } else { vec![name.to_owned()] };
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(number));
        params.key_identifier_method = KeyIdMethod::PreSpecified(number.to_be_bytes().to_vec());
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        }
        params
    }

    /// `openssl` builds the path from `leaf` to `root`, and refuses a root of the same name with another key.
    fn openssl_accepts(name: &str, root: &[u8], leaf: &[u8]) {
        let room = tempfile::tempdir().unwrap();
        let [root_file, leaf_file] = ["root", "leaf"].map(|file| room.path().join(file));
        for (file, der) in [(&root_file, root), (&leaf_file, leaf)] {
            fs::write(file, pki_core::pem::encode_pem("CERTIFICATE", der)).unwrap();
        }
        let (root, leaf) = (root_file.to_str().unwrap(), leaf_file.to_str().unwrap());
        let said = openssl(["verify", "-x509_strict", "-check_ss_sig", "-CAfile", root, leaf], &[]);
        assert!(String::from_utf8(said).unwrap().ends_with(": OK\n"), "{name}");
    }

    #[test]
    fn rcgen_issues_through_every_backend() {
        on_every_backend(|name, signer| {
            let key = RcgenSigner::new(&*signer).unwrap();
            let root_params = params("root", 1, true);
            let root = root_params.self_signed(&key).unwrap();
            let leaf_key = generate(KeyAlgorithm::P256);
            let mut leaf_params = params(SERVER, 2, false);
            leaf_params.use_authority_key_identifier_extension = true;
            let leaf = leaf_params
                .signed_by(&RcgenSigner::new(&*leaf_key).unwrap(), &Issuer::from_params(&root_params, key))
                .unwrap();
            openssl_accepts(name, root.der(), leaf.der());
        });
    }

    #[test]
    fn the_builder_of_x509_cert_issues_through_every_backend() {
        on_every_backend(|name, signer| {
            let key = X509Signer::new(&*signer).unwrap();
            let subject = Name::from_str("CN=root,O=Test,C=US").unwrap();
            let spki = |signer: &dyn Signer| SubjectPublicKeyInfo::try_from(signer.public_key().as_ref()).unwrap();
            let validity = || Validity::from_now(Duration::from_secs(3600)).unwrap();

            let root = profile::cabf::Root::new(false, subject.clone()).unwrap();
            let root = CertificateBuilder::new(root, 1_u32.into(), validity(), spki(&*signer)).unwrap();
            let root = root.build::<_, X509Signature>(&key).unwrap();

            let below = profile::cabf::tls::Subordinate {
                issuer: subject,
                subject: Name::from_str("CN=below,O=Test,C=US").unwrap(),
                path_len_constraint: Some(0),
                client_auth: false,
                emits_ocsp_response: false,
            };
            let owner = generate(KeyAlgorithm::P256);
            let below = CertificateBuilder::new(below, 2_u32.into(), validity(), spki(&*owner)).unwrap();
            let below = below.build::<_, X509Signature>(&key).unwrap();
            openssl_accepts(name, &root.to_der().unwrap(), &below.to_der().unwrap());
        });
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
