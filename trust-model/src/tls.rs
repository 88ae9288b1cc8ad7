//! `rustls` configurations in which a path's rule decides.
//!
//! A configuration offers TLS 1.3, goes down to TLS 1.2 and never resumes a session: nobody looks at the
//! certificate of a resumed session again, so a retired authority would live on in it. Provider and clock are
//! the embedder's; ALPN, key logging and fragment sizes stay as `rustls` sets them and may be changed.

mod client;
mod context;
pub mod danger;
mod error;
mod identity;
mod live;
mod server;

use std::sync::Arc;

use pki_core::ChainError;
use rustls::{CertificateError, OtherError};
use rustls_pki_types::CertificateDer;

use crate::Reason;

// The public interface is:
pub use crate::tls::client::{PathServerVerifier, client_config};
pub use crate::tls::context::TlsContext;
pub use crate::tls::error::{ConfigError, IdentityError, TlsRefusal};
pub use crate::tls::identity::TlsIdentity;
pub use crate::tls::live::{Connection, ConnectionId, LiveBundle, LiveIdentity, Swapped};
pub use crate::tls::server::{Admitted, ClientDenied, PathClientVerifier, server_config};

/// The chain as one list, without a copy of the certificates.
fn whole_chain<'a>(leaf: &'a CertificateDer<'_>, intermediates: &'a [CertificateDer<'_>]) -> Vec<CertificateDer<'a>> {
    core::iter::once(leaf).chain(intermediates).map(|der| CertificateDer::from(der.as_ref())).collect()
}

/// The error for which `rustls` sends the alert that fits the deciding `reason` (RFC 8446 6.2).
///
/// Where no such error says as much as ours, ours goes along whole and the alert is `certificate_unknown`.
fn refusal<E>(reason: Option<Reason>, whole: E) -> rustls::Error
where
    E: core::error::Error + Send + Sync + 'static,
{
    rustls::Error::InvalidCertificate(match reason {
        Some(Reason::Chain(ChainError::UnknownIssuer)) => CertificateError::UnknownIssuer,
        Some(Reason::Chain(ChainError::Expired)) => CertificateError::Expired,
        Some(Reason::Chain(ChainError::NotYetValid)) => CertificateError::NotValidYet,
        Some(Reason::Chain(ChainError::ExtendedKeyUsage)) => CertificateError::InvalidPurpose,
        Some(Reason::Chain(ChainError::BadSignature)) => CertificateError::BadSignature,
        Some(Reason::ServerName { dialled, presented }) => CertificateError::NotValidForNameContext {
            expected: dialled,
            presented: presented.iter().map(ToString::to_string).collect(),
        },
        _ => CertificateError::Other(OtherError(Arc::new(whole))),
    })
}

/// The three methods of a verifier that concern the handshake's signature and not the certificate.
macro_rules! verify_handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}
use verify_handshake_signatures;
