//! The dialling end of a path.

use std::sync::Arc;

use pki_core::verify::Verifiers;
use pki_core::{ClientCredential, Limits, Path, TrustBundle, utc};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::decide::{Decision, decide_server};
use crate::rule::{PathRule, ServerRule};
use crate::tls::danger::UnverifiedServer;
use crate::tls::{
    ConfigError, PROTOCOL_VERSIONS, TlsIdentity, TlsRefusal, refusal, verify_handshake_signatures, whole_chain,
};

/// Verifies the server of one path through [`decide_server`].
///
/// On a path whose client verifies nothing it accepts nobody; [`client_config`] does not use it there.
#[derive(Debug)]
pub struct PathServerVerifier {
    path: Path,
    bundle: Arc<TrustBundle>,
    limits: Limits,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PathServerVerifier {
    /// The verifier of a path's client, which trusts this bundle.
    #[must_use]
    pub const fn new(
        path: Path,
        bundle: Arc<TrustBundle>,
        limits: Limits,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { path, bundle, limits, algorithms }
    }
}

impl ServerCertVerifier for PathServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let now = utc(now).ok_or(rustls::Error::FailedToGetCurrentTime)?;
        let chain = whole_chain(end_entity, intermediates);
        let verifiers = Verifiers::new(self.algorithms.all);
        match decide_server(self.path, &chain, server_name, &self.bundle, &self.limits, verifiers, now) {
            Decision::Allow(_) => Ok(ServerCertVerified::assertion()),
            Decision::Deny(denial) => Err(refusal(denial.reasons().first().cloned(), denial)),
        }
    }

    verify_handshake_signatures!();
}

/// The configuration with which the client of a path dials.
///
/// `bundle` is what the client trusts, `identity` what it shows; the path decides which of them there must
/// be. Where the path verifies nothing, the configuration holds a [`UnverifiedServer`].
///
/// # Errors
/// [`ConfigError`] when the bundle or the identity is missing or superfluous, or when the provider
/// cannot speak the versions of the path.
pub fn client_config(
    path: Path,
    bundle: Option<Arc<TrustBundle>>,
    identity: Option<&TlsIdentity>,
    limits: Limits,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
) -> Result<ClientConfig, ConfigError> {
    let rule = PathRule::of(path);
    let algorithms = provider.signature_verification_algorithms;
    let verifier: Arc<dyn ServerCertVerifier> = match (rule.server(), bundle) {
        (ServerRule::DialledName, Some(bundle)) => Arc::new(PathServerVerifier::new(path, bundle, limits, algorithms)),
        (ServerRule::DialledName, None) => return Err(ConfigError::MissingBundle(path)),
        (ServerRule::Unverified, Some(_)) => return Err(ConfigError::SuperfluousBundle(path)),
        (ServerRule::Unverified, None) => Arc::new(UnverifiedServer::new(algorithms)),
    };
    let builder = ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(&PROTOCOL_VERSIONS)
        .map_err(|error| ConfigError::Provider(TlsRefusal(error)))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (path.client_credential(), identity) {
        (ClientCredential::Certificate(_), Some(identity)) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity.certified_key()))))
        }
        (ClientCredential::Certificate(expected), None) => {
            return Err(ConfigError::MissingIdentity { path, expected });
        }
        (_, Some(_)) => return Err(ConfigError::SuperfluousIdentity(path)),
        (_, None) => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}
