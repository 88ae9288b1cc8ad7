//! The dialling end of a path.

use std::sync::Arc;

use pki_core::verify::Verifiers;
use pki_core::{ClientCredential, Limits, Path, VerifiedChain, utc};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::UtcDateTime;

use crate::decide::{Denial, decide_server};
use crate::rule::{PathRule, ServerRule};
use crate::tls::danger::UnverifiedServer;
use crate::tls::{
    Admitted, ConfigError, LiveBundle, LiveIdentity, TlsContext, TlsRefusal, refusal, verify_handshake_signatures,
    whole_chain,
};

/// Verifies the server of one path through [`decide_server`].
///
/// On a path whose client verifies nothing it accepts nobody; [`client_config`] does not use it there.
#[derive(Debug)]
pub struct PathServerVerifier {
    path: Path,
    bundle: LiveBundle,
    limits: Limits,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PathServerVerifier {
    /// The verifier of a path's client, which trusts this bundle.
    #[must_use]
    pub fn new(path: Path, bundle: LiveBundle, context: &TlsContext) -> Self {
        let algorithms = context.provider.signature_verification_algorithms;
        Self { path, bundle, limits: context.limits, algorithms }
    }

    /// Whether a server that presented `chain`, leaf first, is the one that was `dialled`, with the bundle of now.
    ///
    /// The verifier asks this during the handshake.
    ///
    /// # Errors
    /// [`Denial`] with every reason, when it is not.
    pub fn decide(
        &self,
        chain: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        now: UtcDateTime,
    ) -> Result<VerifiedChain, Denial> {
        let (bundle, verifiers) = (self.bundle.load(), Verifiers::new(self.algorithms.all));
        decide_server(self.path, chain, dialled, &bundle, &self.limits, verifiers, now).into_result()
    }

    /// Counts a connection whose handshake is over under the anchor that vouches for its server.
    ///
    /// It decides again, because the bundle may have changed since the handshake began.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn admit(
        &self,
        chain: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        now: UtcDateTime,
    ) -> Result<Admitted, Denial> {
        loop {
            let verified = self.decide(chain, dialled, now)?;
            // Between the two the anchor may have gone: then the decision is another one.
            if let Some(connection) = self.bundle.register(verified.anchor()) {
                return Ok(Admitted { path: self.path, chain: verified, connection });
            }
        }
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
        match self.decide(&whole_chain(end_entity, intermediates), server_name, now) {
            Ok(_) => Ok(ServerCertVerified::assertion()),
            Err(denial) => Err(refusal(denial.reasons().first().cloned(), denial)),
        }
    }

    verify_handshake_signatures!();
}

/// The configuration with which the client of a path dials.
///
/// `bundle` is what the client trusts, `identity` what it shows; both may be swapped while the configuration is in use.
/// The path decides which of them there must be. Where the path verifies nothing, the configuration holds a [`UnverifiedServer`].
///
/// # Errors
/// [`ConfigError`] when the bundle or the identity is missing or superfluous, or when the provider
/// cannot speak the versions of the path.
pub fn client_config(
    path: Path,
    bundle: Option<LiveBundle>,
    identity: Option<LiveIdentity>,
    context: &TlsContext,
) -> Result<ClientConfig, ConfigError> {
    let rule = PathRule::of(path);
    let verifier: Arc<dyn ServerCertVerifier> = match (rule.server(), bundle) {
        (ServerRule::DialledName, Some(bundle)) => Arc::new(PathServerVerifier::new(path, bundle, context)),
        (ServerRule::DialledName, None) => return Err(ConfigError::MissingBundle(path)),
        (ServerRule::Unverified, Some(_)) => return Err(ConfigError::SuperfluousBundle(path)),
        (ServerRule::Unverified, None) => {
            Arc::new(UnverifiedServer::new(context.provider.signature_verification_algorithms))
        }
    };
    let builder = ClientConfig::builder_with_details(Arc::clone(&context.provider), Arc::clone(&context.time))
        .with_protocol_versions(context.versions())
        .map_err(|error| ConfigError::Provider(TlsRefusal(error)))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (path.client_credential(), identity) {
        (ClientCredential::Certificate(_), Some(identity)) => builder.with_client_cert_resolver(Arc::new(identity)),
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
