//! What kubeadm asks the machine for when nobody says it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use pki_core::{NodeName, ServiceCidrs};

/// Where Linux tells the machine's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// The machine's name in lower case, as kubeadm names a node; `None` where it is not a DNS-1123 subdomain.
#[must_use]
pub fn node_name() -> Option<NodeName> {
    std::fs::read_to_string(HOST_NAME).ok()?.trim().to_lowercase().parse().ok()
}

/// The address from which the machine would reach others, of the family of the first service range; an address for
/// documentation (RFC 5737, RFC 3849) where it has none. Nothing is sent.
#[must_use]
pub fn advertise_address(services: &ServiceCidrs) -> IpAddr {
    let (any, documented): (IpAddr, IpAddr) = if services.primary().addr().is_ipv4() {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 10).into())
    } else {
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10).into())
    };
    let route = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((any, 0))?;
        // Connecting a datagram socket picks the route and its source address.
        socket.connect((documented, 9))?;
        Ok(socket.local_addr()?.ip())
    };
    route().ok().filter(|address| !address.is_loopback() && !address.is_unspecified()).unwrap_or(documented)
}
