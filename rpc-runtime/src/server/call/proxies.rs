//! The address of a client behind trusted proxies.
//!
//! Each proxy adds the address of its peer to a list, at the right end. A client can write the left
//! end itself, so the list is read from the right, up to the first address that is not that of a
//! trusted proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use crate::error::{Code, Error, Result};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The maximum number of proxies on the way of a request.
const MAX_PROXIES: usize = 32;

/// The networks of the proxies that a server trusts.
#[derive(Debug, Default)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Parses networks such as `10.0.0.0/8`, and addresses.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for any other text.
    pub(crate) fn parse(networks: &[String]) -> Result<Self> {
        let networks = networks.iter().map(|text| {
            network(text).map_err(|problem| {
                let text = format!("`Server::trusted_proxies`: {problem}");
                Error::without_location(Code::InvalidArgument, text)
            })
        });
        networks.collect::<Result<_>>().map(Self)
    }

    /// Checks a network as [`parse`](Self::parse) does, for an option.
    pub(crate) fn check(text: &str) -> Result<(), String> {
        network(text).map(|_| ())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn include(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Returns whether a request was passed on by a trusted proxy, whatever its headers state.
    pub(crate) fn forward(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let has = |name| headers.contains_key(name);
        (has(&FORWARDED) || has(&X_FORWARDED_FOR)) && self.include(peer)
    }

    /// Returns the address of the client of a request that `peer` has sent.
    ///
    /// A malformed entry ends the walk: the last address before it is that of the client. If the
    /// two headers name different clients, one of them was not written by the proxies, and neither
    /// counts.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        if !self.include(peer.ip()) {
            return peer;
        }
        let forwarded = self.walk(peer, entries(headers, &FORWARDED), forwarded_for);
        let x_forwarded_for = self.walk(peer, entries(headers, &X_FORWARDED_FOR), address);
        let has = |name| headers.contains_key(name);
        match (has(&FORWARDED), has(&X_FORWARDED_FOR)) {
            (false, false) => peer,
            (true, false) => forwarded,
            (false, true) => x_forwarded_for,
            (true, true) if forwarded.ip() == x_forwarded_for.ip() => forwarded,
            (true, true) => peer,
        }
    }

    fn walk<'h>(
        &self,
        peer: SocketAddr,
        entries: impl Iterator<Item = &'h str>,
        parse: fn(&str) -> Option<SocketAddr>,
    ) -> SocketAddr {
        let mut client = peer;
        for entry in entries.take(MAX_PROXIES) {
            let Some(address) = parse(entry) else {
                break;
            };
            client = address;
            if !self.include(address.ip()) {
                break;
            }
        }
        client
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse::<IpNet>().ok();
    let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or_else(|| {
        format!(
            "`{}` is not a network; write one such as `10.0.0.0/8`, or an address",
            text.escape_debug()
        )
    })
}

/// Returns the entries of a list header from right to left. A value that is not text is one
/// malformed entry.
fn entries<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter().rev();
    values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(','))
}

/// Parses an element of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`. Source: RFC
/// 7239, section 4. A quoted comma, which no address has, makes an element malformed.
fn forwarded_for(element: &str) -> Option<SocketAddr> {
    let mut values = element.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then_some(value.trim())
    });
    let (Some(node), None) = (values.next(), values.next()) else {
        return None;
    };
    let quoted = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'));
    match quoted {
        Some(node) => address(node),
        // The colon of a port or of IPv6 needs quotes; a proxy that leaves them out means the same.
        None => address(node),
    }
}

/// Parses an address with or without a port; IPv6 with or without brackets.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let canonical =
        |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(canonical(address));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let ip = match bare {
        Some(bare) => IpAddr::V6(bare.parse::<Ipv6Addr>().ok()?),
        None => text.parse().ok()?,
    };
    Some(SocketAddr::new(ip.to_canonical(), 0))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let networks = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"].map(str::to_owned);
        let proxies = TrustedProxies::parse(&networks).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let peer = format!("{peer}:9").parse().unwrap();
        proxies.client(peer, &map).to_string()
    }

    #[test]
    fn the_list_is_read_up_to_the_first_stranger() {
        let ten = (1..=10).map(|n| format!("10.0.0.{n}"));
        let ten = ten.collect::<Vec<_>>().join(", ");
        let spoofed = format!("1.1.1.1, 203.0.113.7, {ten}");
        for (peer, list, expected) in [
            ("10.0.0.1", "203.0.113.7", "203.0.113.7:0"),
            ("127.0.0.1", " 203.0.113.7:4711 ", "203.0.113.7:4711"),
            ("[::ffff:10.0.0.1]", "203.0.113.7", "203.0.113.7:0"),
            (
                "10.0.0.1",
                "1.1.1.1, 203.0.113.7, 10.0.0.2",
                "203.0.113.7:0",
            ),
            ("10.0.0.1", &spoofed, "203.0.113.7:0"),
            ("10.0.0.1", &ten, "10.0.0.1:0"),
            ("10.0.0.1", "[2001:db9::1]:80", "[2001:db9::1]:80"),
            ("10.0.0.1", "2001:db9::1, [2001:db8::1]", "[2001:db9::1]:0"),
            ("10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7:0"),
            // The peer is a stranger itself.
            ("192.0.2.1", "203.0.113.7", "192.0.2.1:9"),
            // Malformed entries end the walk.
            ("10.0.0.1", "203.0.113.7, unknown, 10.0.0.2", "10.0.0.2:0"),
            ("10.0.0.1", "203.0.113.7, 10.0.0.300", "10.0.0.1:9"),
            ("10.0.0.1", "203.0.113.7,", "10.0.0.1:9"),
            ("10.0.0.1", "203.0.113.7, \u{e9}", "10.0.0.1:9"),
            ("10.0.0.1", "", "10.0.0.1:9"),
        ] {
            assert_eq!(
                client(peer, &[("x-forwarded-for", list)]),
                expected,
                "{list}"
            );
        }
        let lines = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "203.0.113.7, 10.0.0.2"),
        ];
        assert_eq!(client("10.0.0.1", &lines), "203.0.113.7:0");
    }

    #[test]
    fn elements_of_forwarded_are_parsed() {
        for (list, expected) in [
            ("for=203.0.113.7", "203.0.113.7:0"),
            (
                "For=\"203.0.113.7:4711\";proto=https;by=10.0.0.1",
                "203.0.113.7:4711",
            ),
            (
                "proto=http; for=\"[2001:db9::1]\", for=10.0.0.2",
                "[2001:db9::1]:0",
            ),
            ("for=1.1.1.1, for=203.0.113.7", "203.0.113.7:0"),
            ("for=_hidden, for=10.0.0.2", "10.0.0.2:0"),
            ("for=203.0.113.7, for=unknown", "10.0.0.1:9"),
            ("for=203.0.113.7;for=1.1.1.1", "10.0.0.1:9"),
            ("for=\"203.0.113.7", "10.0.0.1:9"),
            ("by=203.0.113.7", "10.0.0.1:9"),
        ] {
            assert_eq!(
                client("10.0.0.1", &[("forwarded", list)]),
                expected,
                "{list}"
            );
        }
    }

    #[test]
    fn headers_that_disagree_do_not_count() {
        let forged = [
            ("forwarded", "for=1.1.1.1"),
            ("x-forwarded-for", "203.0.113.7"),
        ];
        assert_eq!(client("10.0.0.1", &forged), "10.0.0.1:9");
        let both = [
            ("forwarded", "for=203.0.113.7"),
            ("x-forwarded-for", "203.0.113.7"),
        ];
        assert_eq!(client("10.0.0.1", &both), "203.0.113.7:0");
    }

    #[test]
    fn other_texts_are_no_networks() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "proxy.test", "10.0.0", "*"] {
            let error = TrustedProxies::parse(&[text.to_owned()]).unwrap_err();
            assert!(
                error.message().contains("is not a network"),
                "{text}: {error}"
            );
        }
    }
}
