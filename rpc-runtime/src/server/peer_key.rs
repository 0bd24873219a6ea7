//! The peer as limits count it.

use std::net::IpAddr;

/// Identifies a peer. IPv6 peers are identified by their /64 network, because a single host can use
/// 2⁶⁴ addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PeerKey {
    V4([u8; 4]),
    V6Network([u8; 8]),
}

impl PeerKey {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6Network([a, b, c, d, e, f, g, h])
            }
        }
    }
}
