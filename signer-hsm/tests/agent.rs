//! The remote signer on a real socket.

#[cfg(test)]
#[path = "support/service.rs"]
#[expect(dead_code, reason = "the service's tests use the rest")]
mod support;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use pki_core::verify::aws_lc_rs;
    use pki_core::{KeyAlgorithm, SignErrorKind, sign_to_vec};
    use signer_hsm::agent::{Agent, AgentKeyStore, Labels, Right, Rights};
    use signer_hsm::contract::{check_key_store, check_signer};
    use signer_hsm::service::Server;
    use signer_hsm::service::client::Endpoint;
    use signer_hsm::service::limits::{Clock, ServerLimits};
    use signer_hsm::service::server::Peers;
    use signer_hsm::{KeyLabel, KeySpec, KeyStore, KeyStoreErrorKind, SoftwareKeyStore};

    use crate::support::{TestClock, caller, own_uid};

    struct Bench {
        directory: tempfile::TempDir,
        clock: Arc<dyn Clock>,
        store: Arc<SoftwareKeyStore>,
    }

    impl Bench {
        fn new() -> Self {
            let (clock, store) = (Arc::new(TestClock::new()), Arc::new(SoftwareKeyStore::new()));
            Self { directory: tempfile::tempdir().unwrap(), clock, store }
        }

        fn server(&self, rights: Rights) -> Server {
            let store: Arc<dyn KeyStore> = Arc::<SoftwareKeyStore>::clone(&self.store);
            let server = Agent::new(store, rights).server(ServerLimits::AGENT, Arc::clone(&self.clock));
            let peers = Peers::new().with_user(own_uid(), caller());
            server.listen_unix(&self.directory.path().join("agent"), 0o600, peers).unwrap();
            server
        }

        fn remote(&self) -> AgentKeyStore {
            let endpoint = Endpoint::Unix(self.directory.path().join("agent"));
            AgentKeyStore::new(endpoint, Arc::clone(&self.clock), Duration::from_secs(10))
        }
    }

    fn label(text: &str) -> KeyLabel {
        text.parse().unwrap()
    }

    fn all() -> Rights {
        Rights::new().with(caller(), Labels::Below(label("blue")), Right::Manage)
    }

    #[test]
    fn keys_behind_a_socket_keep_the_contract() {
        let bench = Bench::new();
        let _server = bench.server(all());
        let (remote, labels) = (bench.remote(), [label("blue/cluster/1"), label("blue/cluster/2")]);
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048] {
            let spec = KeySpec::new(algorithm);
            check_key_store(&remote, [&labels[0], &labels[1]], spec, aws_lc_rs().algorithms()).unwrap();
        }
        let signer = remote.generate(&labels[0], KeySpec::new(KeyAlgorithm::P256)).unwrap();
        check_signer(&*signer, aws_lc_rs().algorithms()).unwrap();
    }

    #[test]
    fn a_caller_has_the_labels_of_his_list_and_manages_none_without_the_right() {
        let bench = Bench::new();
        let spec = KeySpec::new(KeyAlgorithm::P256);
        let (mine, others) = (label("blue/cluster/1"), label("blueish/cluster/1"));
        for label in [&mine, &others] {
            bench.store.generate(label, spec).unwrap();
        }
        let _server = bench.server(Rights::new().with(caller(), Labels::Below(label("blue")), Right::Sign));
        let remote = bench.remote();
        let signer = remote.open(&mine).unwrap();
        sign_to_vec(&*signer, b"message").unwrap();
        for refused in [
            remote.find(&others).map(drop),
            remote.open(&others).map(drop),
            remote.destroy(&mine),
            remote.generate(&label("blue/cluster/2"), spec).map(drop),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), KeyStoreErrorKind::Other);
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "the signing backend denied access");
        }
        assert!(bench.store.find(&mine).unwrap());
        // A handle is to a key, not to a label.
        bench.store.destroy(&mine).unwrap();
        bench.store.generate(&mine, spec).unwrap();
        assert_eq!(sign_to_vec(&*signer, b"message").unwrap_err().kind(), SignErrorKind::KeyNotFound);
    }

    #[test]
    fn an_agent_that_is_gone_is_unavailable_and_one_that_is_back_signs() {
        let bench = Bench::new();
        let server = bench.server(all());
        let remote = bench.remote();
        let signer = remote.generate(&label("blue/a"), KeySpec::new(KeyAlgorithm::P256)).unwrap();
        server.drain(Duration::from_secs(1));
        let error = sign_to_vec(&*signer, b"message").unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Unavailable);
        assert_eq!(remote.find(&label("blue/a")).unwrap_err().kind(), KeyStoreErrorKind::Unavailable);
        let _server = bench.server(all());
        sign_to_vec(&*signer, b"message").unwrap();
    }

    #[test]
    fn a_batch_of_long_messages_takes_several_frames() {
        let bench = Bench::new();
        let _server = bench.server(all());
        let signer = bench.remote().generate(&label("blue/a"), KeySpec::new(KeyAlgorithm::Ed25519)).unwrap();
        let long = vec![7; 700 << 10];
        let messages: Vec<&[u8]> =
            (0..300).map(|number| if number % 100 == 0 { &long[..] } else { b"short" }).collect();
        let signatures = signer.sign_batch(&messages);
        assert_eq!(signatures.len(), 300);
        assert!(signatures.iter().all(|signature| signature.as_ref().unwrap().len() == 64));
    }
}
