//! What verifies nothing. Whoever reviews an embedder searches for this module's name.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tls::verify_handshake_signatures;

/// Accepts any server certificate, as kube-apiserver does for `https:` requests of its proxy verb.
///
/// Such a connection is encrypted and nothing more: whoever answers may be anybody, and integrity is not
/// guaranteed. The server must still hold the key of whatever certificate it shows, because
/// the handshake's signature is checked.
#[derive(Clone, Debug)]
pub struct UnverifiedServer {
    algorithms: WebPkiSupportedAlgorithms,
}

impl UnverifiedServer {
    /// A verifier that checks handshake signatures with a provider's algorithms.
    #[must_use]
    pub const fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { algorithms }
    }
}

impl ServerCertVerifier for UnverifiedServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    verify_handshake_signatures!();
}
