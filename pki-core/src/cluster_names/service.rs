//! The ranges of virtual service addresses.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// The largest range that kube-apiserver and kubeadm take, in bits of a host's number
/// (`MaximumBitsForServiceSubnet`, `cmd/kubeadm/app/constants/constants.go`).
const HOST_BITS_MAX: u8 = 20;
/// The smallest: kubeadm wants ten addresses (`MinimumAddressesInServiceSubnet`), since the cluster's DNS server is
/// the tenth; so 16 at least.
const HOST_BITS_MIN: u8 = 4;
/// The number of the cluster's DNS server in the first range (`GetDNSIP`, same file).
const DNS_SERVER: u32 = 10;

/// Where services get their virtual addresses from: one range, or one of each IP family, the first being the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceCidrs {
    primary: IpNet,
    secondary: Option<IpNet>,
}

impl ServiceCidrs {
    /// The first range, whose family is the one of the service `kubernetes`.
    #[must_use]
    pub const fn primary(&self) -> IpNet {
        self.primary
    }

    /// Both ranges, or the only one.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + use<> {
        [Some(self.primary), self.secondary].into_iter().flatten()
    }

    /// The virtual addresses of the service `kubernetes`: the first host of each range.
    ///
    /// kubeadm names the first range's only. With two families the other one is named too, so that the service may
    /// become dual-stack without a new certificate.
    pub fn api_server_addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.iter().map(|range| host(range, 1))
    }

    /// The virtual address of the cluster's DNS server.
    #[must_use]
    pub fn dns_server(&self) -> IpAddr {
        host(self.primary, DNS_SERVER)
    }
}

/// An address by its number in a range; ranges are aligned, so nothing carries over.
fn host(range: IpNet, number: u32) -> IpAddr {
    match range.network() {
        IpAddr::V4(network) => Ipv4Addr::from_bits(network.to_bits() | number).into(),
        IpAddr::V6(network) => Ipv6Addr::from_bits(network.to_bits() | u128::from(number)).into(),
    }
}

impl Default for ServiceCidrs {
    /// kubeadm's default, 10.96.0.0/12.
    fn default() -> Self {
        const PRIMARY: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12);
        Self { primary: IpNet::V4(PRIMARY), secondary: None }
    }
}

impl FromStr for ServiceCidrs {
    type Err = ServiceCidrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |kind| ServiceCidrError::new(text, kind);
        let mut ranges = text.split(',').map(parse_range);
        let primary = ranges.next().unwrap_or(Err(ServiceCidrErrorKind::Syntax)).map_err(error)?;
        let secondary = ranges.next().transpose().map_err(error)?;
        if ranges.next().is_some() {
            return Err(error(ServiceCidrErrorKind::TooMany));
        }
        if secondary.is_some_and(|second| second.addr().is_ipv4() == primary.addr().is_ipv4()) {
            return Err(error(ServiceCidrErrorKind::SameFamily));
        }
        Ok(Self { primary, secondary })
    }
}

fn parse_range(text: &str) -> Result<IpNet, ServiceCidrErrorKind> {
    let range: IpNet = text.parse().map_err(|_not_a_range| ServiceCidrErrorKind::Syntax)?;
    let host_bits = range.max_prefix_len().saturating_sub(range.prefix_len());
    match range {
        _ if range.addr() != range.network() => Err(ServiceCidrErrorKind::HostBits),
        _ if host_bits < HOST_BITS_MIN => Err(ServiceCidrErrorKind::TooSmall),
        _ if host_bits > HOST_BITS_MAX => Err(ServiceCidrErrorKind::TooLarge),
        _ => Ok(range),
    }
}

impl fmt::Display for ServiceCidrs {
    /// As kube-apiserver's `--service-cluster-ip-range` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.primary)?;
        self.secondary.map_or(Ok(()), |second| write!(f, ",{second}"))
    }
}

/// A text that is not a pair of service ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCidrError {
    text: String,
    kind: ServiceCidrErrorKind,
}

/// Why it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceCidrErrorKind {
    /// Not an address and a prefix length.
    Syntax,
    /// Bits after the prefix are set, so that it is open which range is meant.
    HostBits,
    /// Less than 16 addresses.
    TooSmall,
    /// More than 2^20 addresses.
    TooLarge,
    /// Two ranges of one IP family.
    SameFamily,
    /// More than two ranges.
    TooMany,
}

impl ServiceCidrError {
    /// The longest pair of ranges in text form.
    const TEXT_LEN_MAX: usize = 87;

    fn new(text: &str, kind: ServiceCidrErrorKind) -> Self {
        Self { text: text.chars().take(Self::TEXT_LEN_MAX).collect(), kind }
    }

    /// Why.
    #[must_use]
    pub const fn kind(&self) -> ServiceCidrErrorKind {
        self.kind
    }
}

impl fmt::Display for ServiceCidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a service range: ", self.text.escape_debug())?;
        f.write_str(match self.kind {
            ServiceCidrErrorKind::Syntax => "expected a form like `10.96.0.0/12`",
            ServiceCidrErrorKind::HostBits => "bits after the prefix are set",
            ServiceCidrErrorKind::TooSmall => "kubeadm needs 10 addresses, so 16 at least",
            ServiceCidrErrorKind::TooLarge => "kube-apiserver takes 2^20 addresses at most",
            ServiceCidrErrorKind::SameFamily => "two ranges must be of two IP families",
            ServiceCidrErrorKind::TooMany => "there are two IP families, so two ranges at most",
        })
    }
}

impl core::error::Error for ServiceCidrError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_know_the_addresses_of_the_api_server_and_of_dns() {
        for (text, api_server, dns) in [
            ("10.96.0.0/12", "10.96.0.1", "10.96.0.10"),
            ("10.0.0.240/28", "10.0.0.241", "10.0.0.250"),
            ("fd00::/108", "fd00::1", "fd00::a"),
        ] {
            let ranges: ServiceCidrs = text.parse().unwrap();
            assert_eq!(ranges.to_string(), text);
            assert_eq!(ranges.api_server_addresses().collect::<Vec<_>>(), [api_server.parse::<IpAddr>().unwrap()]);
            assert_eq!(ranges.dns_server(), dns.parse::<IpAddr>().unwrap());
        }
        assert_eq!(ServiceCidrs::default(), "10.96.0.0/12".parse().unwrap());
        let both: ServiceCidrs = "fd00::/112,10.96.0.0/16".parse().unwrap();
        assert_eq!(both.to_string(), "fd00::/112,10.96.0.0/16");
        assert!(both.primary().addr().is_ipv6());
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_reason() {
        for (text, kind) in [
            ("", ServiceCidrErrorKind::Syntax),
            ("10.96.0.0", ServiceCidrErrorKind::Syntax),
            ("10.96.0.0/33", ServiceCidrErrorKind::Syntax),
            ("10.96.0.0/12,", ServiceCidrErrorKind::Syntax),
            ("10.96.0.0/12 ", ServiceCidrErrorKind::Syntax),
            ("10.96.0.1/12", ServiceCidrErrorKind::HostBits),
            ("10.96.0.0/29", ServiceCidrErrorKind::TooSmall),
            ("10.0.0.0/11", ServiceCidrErrorKind::TooLarge),
            ("fd00::/107", ServiceCidrErrorKind::TooLarge),
            ("10.96.0.0/16,10.97.0.0/16", ServiceCidrErrorKind::SameFamily),
            ("10.96.0.0/16,fd00::/112,fd01::/112", ServiceCidrErrorKind::TooMany),
        ] {
            let error = text.parse::<ServiceCidrs>().unwrap_err();
            assert_eq!(error.kind(), kind, "{text}: {error}");
        }
        let long = "1".repeat(1 << 20).parse::<ServiceCidrs>().unwrap_err();
        assert!(long.to_string().len() < 200);
    }
}
