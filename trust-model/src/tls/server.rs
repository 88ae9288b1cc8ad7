//! The answering end of one or more paths.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use pki_core::verify::Verifiers;
use pki_core::{ChainError, DnsName, LeafIdentity, Limits, Path, VerifiedChain, utc};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::UtcDateTime;

use crate::decide::{Decision, Denial, Reason, decide_client};
use crate::rule::PathRule;
use crate::tls::{
    ConfigError, Connection, LiveBundle, LiveIdentity, TlsContext, TlsRefusal, refusal, verify_handshake_signatures,
    whole_chain,
};

/// Verifies the clients of one socket through [`decide_client`]: a client is accepted when it meets
/// the whole rule of at least one of the paths that end there, each with its own bundle.
#[derive(Debug)]
pub struct PathClientVerifier {
    paths: Vec<(Path, LiveBundle)>,
    mandatory: bool,
    limits: Limits,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A peer whose connection has begun.
#[derive(Debug)]
pub struct Admitted {
    /// By which path it came.
    pub path: Path,
    /// Who it is.
    pub chain: VerifiedChain,
    /// Its connection, counted under the anchor that vouches for it.
    pub connection: Connection,
}

impl PathClientVerifier {
    /// The verifier of a socket at which these paths end.
    ///
    /// When `mandatory` is false, a client without a certificate is let through to be authenticated by
    /// other means, such as a token; a client with a wrong certificate never is.
    ///
    /// # Errors
    /// [`ConfigError`] when there is no path, when the client of one shows no certificate, or when
    /// two of them end at different sockets.
    pub fn new(paths: Vec<(Path, LiveBundle)>, mandatory: bool, context: &TlsContext) -> Result<Self, ConfigError> {
        let (limits, algorithms) = (context.limits, context.provider.signature_verification_algorithms);
        let Some(&(first, _)) = paths.first() else { return Err(ConfigError::NoPath) };
        for &(path, _) in &paths {
            if PathRule::of(path).client_identity().is_none() {
                return Err(ConfigError::NoClientCertificate(path));
            }
            if path.endpoint() != first.endpoint() {
                return Err(ConfigError::MixedEndpoints { expected: first, found: path });
            }
        }
        Ok(Self { paths, mandatory, limits, algorithms })
    }

    /// Which path a client that presented `chain`, leaf first, came by, and who it is.
    ///
    /// The verifier asks this during the handshake. A server that authorises by path asks it
    /// again with the certificates of the connection.
    ///
    /// # Errors
    /// [`ClientDenied`] when the client meets the rule of no path.
    pub fn decide(
        &self,
        chain: &[CertificateDer<'_>],
        now: UtcDateTime,
    ) -> Result<(Path, VerifiedChain), ClientDenied> {
        self.decide_among(chain, now).map(|(path, _, verified)| (path, verified))
    }

    /// Counts a connection whose handshake is over under the anchor that vouches for its client.
    ///
    /// It decides again, because a bundle may have changed since the handshake began.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn admit(&self, chain: &[CertificateDer<'_>], now: UtcDateTime) -> Result<Admitted, ClientDenied> {
        loop {
            let (path, bundle, verified) = self.decide_among(chain, now)?;
            // Between the two the anchor may have gone: then the decision is another one.
            if let Some(connection) = bundle.register(verified.anchor()) {
                return Ok(Admitted { path, chain: verified, connection });
            }
        }
    }

    fn decide_among(
        &self,
        chain: &[CertificateDer<'_>],
        now: UtcDateTime,
    ) -> Result<(Path, &LiveBundle, VerifiedChain), ClientDenied> {
        let identity = chain.first().and_then(|leaf| LeafIdentity::parse(leaf, &self.limits).ok());
        // Signatures cost far more than names: the paths of this identity come first.
        let (named, others): (Vec<_>, Vec<_>) = self.paths.iter().partition(|(path, _)| {
            let rule = PathRule::of(*path).client_identity();
            rule.zip(identity.as_ref()).is_some_and(|(rule, identity)| rule.check(identity).is_ok())
        });
        let mut denials = Vec::with_capacity(self.paths.len());
        for (path, bundle) in named.into_iter().chain(others) {
            let verifiers = Verifiers::new(self.algorithms.all);
            match decide_client(*path, chain, &bundle.load(), &self.limits, verifiers, now) {
                Decision::Allow(verified) => return Ok((*path, bundle, verified)),
                Decision::Deny(denial) => denials.push(denial),
            }
        }
        Err(ClientDenied { denials })
    }
}

impl ClientCertVerifier for PathClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None: Kubernetes clients hold one certificate each and have nothing to choose.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let now = utc(now).ok_or(rustls::Error::FailedToGetCurrentTime)?;
        match self.decide(&whole_chain(end_entity, intermediates), now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(denied) => Err(refusal(denied.nearest_reason().cloned(), denied)),
        }
    }

    verify_handshake_signatures!();
}

/// A client met the rule of none of a socket's paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientDenied {
    denials: Vec<Denial>,
}

impl ClientDenied {
    /// One denial per path; the paths whose identity the client has come first.
    #[must_use]
    pub fn denials(&self) -> &[Denial] {
        &self.denials
    }

    /// The first reason of the path that the client came closest to: a chain that verified comes closer
    /// than one that did not, and a known issuer closer than an unknown one.
    fn nearest_reason(&self) -> Option<&Reason> {
        let distance = |reason: &&Reason| match reason {
            Reason::Chain(ChainError::UnknownIssuer) => 2,
            Reason::Chain(_) => 1,
            _ => 0,
        };
        self.denials.iter().filter_map(|denial| denial.reasons().first()).min_by_key(distance)
    }
}

impl fmt::Display for ClientDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.denials.iter().enumerate().try_for_each(|(index, denial)| {
            let separator = if index == 0 { "" } else { " / " };
            write!(f, "{separator}{denial}")
        })
    }
}

impl core::error::Error for ClientDenied {}

/// Picks the certificate that a client asked for by name (SNI, RFC 6066 3), else the default one.
#[derive(Debug)]
struct ByServerName {
    default: LiveIdentity,
    named: BTreeMap<String, LiveIdentity>,
}

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = client_hello.server_name().and_then(|name| self.named.get(name));
        named.unwrap_or(&self.default).resolve(client_hello)
    }
}

/// The configuration of a socket at which `paths` end, each with the bundle that vouches for its clients.
///
/// Bundles and identities may be swapped while the configuration is in use. Without a path no client certificate is asked
/// for. `identity` is what the server shows, unless the client
/// dials one of `by_server_name` (kube-apiserver `--tls-sni-cert-key`). `mandatory` is as
/// [`PathClientVerifier::new`] takes it.
///
/// # Errors
/// [`ConfigError`] as [`PathClientVerifier::new`], when a server name stands twice, or
/// when the provider cannot speak the versions of the paths.
pub fn server_config(
    paths: Vec<(Path, LiveBundle)>,
    mandatory: bool,
    identity: LiveIdentity,
    by_server_name: Vec<(DnsName, LiveIdentity)>,
    context: &TlsContext,
) -> Result<ServerConfig, ConfigError> {
    let verifier: Arc<dyn ClientCertVerifier> = if paths.is_empty() && !mandatory {
        Arc::new(NoClientAuth)
    } else {
        Arc::new(PathClientVerifier::new(paths, mandatory, context)?)
    };
    let mut named = BTreeMap::new();
    for (name, identity) in by_server_name {
        if named.insert(name.as_str().to_owned(), identity).is_some() {
            return Err(ConfigError::RepeatedServerName(name));
        }
    }
    let mut config = ServerConfig::builder_with_details(Arc::clone(&context.provider), Arc::clone(&context.time))
        .with_protocol_versions(context.versions())
        .map_err(|error| ConfigError::Provider(TlsRefusal(error)))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(ByServerName { default: identity, named }));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}
