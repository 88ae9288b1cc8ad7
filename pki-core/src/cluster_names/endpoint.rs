//! Where clients find an API server.

use core::fmt;
use core::num::NonZeroU16;
use core::str::FromStr;
use std::net::{IpAddr, Ipv6Addr};

use crate::name::{NameError, SubjectAltName};

/// Host and port of an API server, or of the load balancer before several of them.
///
/// In text `host`, `host:port` or `[address]:port`; the host is a DNS-1123 subdomain or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiServerEndpoint {
    host: SubjectAltName,
    port: NonZeroU16,
}

impl ApiServerEndpoint {
    /// kubeadm's bind port of the API server, 6443.
    pub const DEFAULT_PORT: NonZeroU16 = NonZeroU16::MIN.saturating_add(6442);

    /// An endpoint.
    #[must_use]
    pub const fn new(host: SubjectAltName, port: NonZeroU16) -> Self {
        Self { host, port }
    }

    /// The host, as it stands in the serving certificate.
    #[must_use]
    pub const fn host(&self) -> &SubjectAltName {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> NonZeroU16 {
        self.port
    }
}

impl FromStr for ApiServerEndpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (host, rest) = bracketed.split_once(']').ok_or(EndpointError::Brackets)?;
            let host: Ipv6Addr = host.parse().map_err(|_not_an_address| EndpointError::Brackets)?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(EndpointError::Port)?) };
            (SubjectAltName::ip(host.into())?, port)
        } else if let Ok(address) = text.parse::<IpAddr>() {
            (SubjectAltName::ip(address)?, None)
        } else {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            let address = host.parse::<IpAddr>();
            (address.map_or_else(|_not_an_address| SubjectAltName::dns(host), SubjectAltName::ip)?, port)
        };
        let digits = |port: &&str| port.bytes().all(|octet| octet.is_ascii_digit());
        let port = match port {
            None => Self::DEFAULT_PORT,
            Some(port) => Some(port).filter(digits).and_then(|port| port.parse().ok()).ok_or(EndpointError::Port)?,
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for ApiServerEndpoint {
    /// The URL, as a kubeconfig has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.host {
            SubjectAltName::Dns(host) => write!(f, "https://{host}:{port}"),
            SubjectAltName::Ip(IpAddr::V4(host)) => write!(f, "https://{host}:{port}"),
            SubjectAltName::Ip(IpAddr::V6(host)) => write!(f, "https://[{host}]:{port}"),
        }
    }
}

/// A text that is not an [`ApiServerEndpoint`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// The host is neither a DNS-1123 subdomain nor the address of one host.
    Host(NameError),
    /// What stands in brackets is not an IPv6 address.
    Brackets,
    /// The port is not a number from 1 to 65535.
    Port,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => write!(f, "{error}"),
            Self::Brackets => f.write_str("brackets hold an IPv6 address, as in `[2001:db8::1]:6443` (RFC 3986 3.2.2)"),
            Self::Port => f.write_str("the port is not a number from 1 to 65535"),
        }
    }
}

impl core::error::Error for EndpointError {}

impl From<NameError> for EndpointError {
    fn from(error: NameError) -> Self {
        Self::Host(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_hosts_with_an_optional_port() {
        for (text, url) in [
            ("api.example.com", "https://api.example.com:6443"),
            ("api.example.com:443", "https://api.example.com:443"),
            ("192.0.2.1", "https://192.0.2.1:6443"),
            ("192.0.2.1:8443", "https://192.0.2.1:8443"),
            ("2001:db8::1", "https://[2001:db8::1]:6443"),
            ("[2001:db8::1]", "https://[2001:db8::1]:6443"),
            ("[2001:db8::1]:443", "https://[2001:db8::1]:443"),
        ] {
            assert_eq!(text.parse::<ApiServerEndpoint>().unwrap().to_string(), url);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let refused = |text: &str| text.parse::<ApiServerEndpoint>().unwrap_err();
        for text in ["", ":443", "https://a", "*.example.com", "a_b", "0.0.0.0", "[::]:443", "A"] {
            assert!(matches!(refused(text), EndpointError::Host(_) | EndpointError::Port), "{text}");
        }
        for text in ["a:", "a:0", "a:65536", "a:+443", "a:443:1", "[2001:db8::1]443"] {
            assert_eq!(refused(text), EndpointError::Port, "{text}");
        }
        for text in ["[a]:443", "[192.0.2.1]:443", "[2001:db8::1", "[fe80::1%1]:443"] {
            assert_eq!(refused(text), EndpointError::Brackets, "{text}");
        }
    }
}
