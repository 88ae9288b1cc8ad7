//! What every configuration of a process has in common.

use std::sync::Arc;

use pki_core::Limits;
use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;

use crate::rule::{PathRule, TlsVersion};

static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
static NEWEST: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// The provider, the clock and the policy under which configurations are made.
#[derive(Clone, Debug)]
pub struct TlsContext {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) time: Arc<dyn TimeProvider>,
    pub(super) limits: Limits,
    minimum: TlsVersion,
}

impl TlsContext {
    /// With this cryptography and this clock; TLS 1.3 is offered and TLS 1.2 accepted.
    #[must_use]
    pub fn new(provider: Arc<CryptoProvider>, time: Arc<dyn TimeProvider>) -> Self {
        Self { provider, time, limits: Limits::DEFAULT, minimum: PathRule::TLS_MINIMUM }
    }

    /// With other limits on what a peer may present.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With TLS 1.3 alone, for those who know that no peer speaks less.
    #[must_use]
    pub const fn with_tls13_only(mut self) -> Self {
        self.minimum = TlsVersion::Tls13;
        self
    }

    /// The lowest version that is negotiated.
    #[must_use]
    pub const fn minimum(&self) -> TlsVersion {
        self.minimum
    }

    /// The versions that are spoken, the offered one first.
    pub(super) const fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        match self.minimum {
            TlsVersion::Tls12 => &BOTH,
            TlsVersion::Tls13 => &NEWEST,
        }
    }
}
