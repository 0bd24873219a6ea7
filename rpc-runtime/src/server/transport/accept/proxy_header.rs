//! The header of the PROXY protocol, by which a load balancer states the address of its client.
//!
//! Source: <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>. Hand-written because it
//! is small, and must not read beyond the header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The start of a header of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The length of the fixed part of a header of version 2.
const FIXED: usize = 16;

/// The maximum length of a header of version 1, with its line end.
const MAX_V1: usize = 107;

/// The maximum length of a header of version 2: the addresses, and some further values.
const MAX_V2: usize = 2048;

/// The length of the longest header.
pub(crate) const MAX_HEADER: usize = MAX_V2;

/// A header, and its length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProxyHeader {
    /// The address of the client. `None` if the connection is the load balancer's own, such as a
    /// health check, or the client has no address on a network.
    pub(crate) client: Option<SocketAddr>,
    pub(crate) length: usize,
}

/// Parses the header at the start of a connection. `None` if more bytes are needed.
///
/// # Errors
///
/// The reason why the bytes are not a header.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, &'static str> {
    let is_start = |of: &[u8]| {
        let length = bytes.len().min(of.len());
        bytes[..length] == of[..length]
    };
    if is_start(SIGNATURE) {
        return parse_v2(bytes);
    }
    if is_start(b"PROXY ") {
        return parse_v1(bytes);
    }
    Err("the connection does not begin with a header of the PROXY protocol")
}

fn parse_v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, &'static str> {
    const INVALID: &str = "the header of the PROXY protocol, version 1, is not valid";
    let window = &bytes[..bytes.len().min(MAX_V1)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_V1 {
            Ok(None)
        } else {
            Err(INVALID)
        };
    };
    let length = end + 2;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| INVALID)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Some(ProxyHeader {
            client: None,
            length,
        }));
    }
    let mut next = || words.next().ok_or(INVALID);
    let (source, destination, port, to_port) = (next()?, next()?, next()?, next()?);
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if words.next().is_some() || !is_port(port) || !is_port(to_port) {
        return Err(INVALID);
    }
    let parse = |text: &str| -> Option<IpAddr> {
        match family {
            Some("TCP4") => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            Some("TCP6") => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (Some(ip), Some(_), Ok(port), Ok(_)) = (
        parse(source),
        parse(destination),
        port.parse(),
        to_port.parse::<u16>(),
    ) else {
        return Err(INVALID);
    };
    let client = Some(SocketAddr::new(ip.to_canonical(), port));
    Ok(Some(ProxyHeader { client, length }))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, &'static str> {
    const INVALID: &str = "the header of the PROXY protocol, version 2, is not valid";
    let Some(fixed) = bytes.get(..FIXED) else {
        return Ok(None);
    };
    let (version, family) = (fixed[12], fixed[13]);
    let length = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if version >> 4 != 2 || length > MAX_V2 {
        return Err(INVALID);
    }
    let Some(rest) = bytes.get(FIXED..length) else {
        return Ok(None);
    };
    let client = match (version & 0xf, family) {
        // LOCAL: the load balancer's own connection.
        (0, _) => None,
        (1, 0x11) => {
            let [a, b, c, d, _, _, _, _, port @ .., _, _] =
                rest.first_chunk::<12>().ok_or(INVALID)?;
            let ip = Ipv4Addr::new(*a, *b, *c, *d);
            Some(SocketAddr::new(ip.into(), u16::from_be_bytes(*port)))
        }
        (1, 0x21) => {
            let address = rest.first_chunk::<36>().ok_or(INVALID)?;
            let (ip, rest) = address.split_first_chunk::<16>().ok_or(INVALID)?;
            let port = u16::from_be_bytes([rest[16], rest[17]]);
            Some(SocketAddr::new(IpAddr::from(*ip).to_canonical(), port))
        }
        // Another protocol than TCP: an address that is not one on a network of this server.
        (1, _) => None,
        _ => return Err(INVALID),
    };
    Ok(Some(ProxyHeader { client, length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(addresses);
        bytes
    }

    #[test]
    fn both_versions_state_the_client() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 0, 80];
        let mut v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)
            .octets()
            .to_vec();
        v6.extend(Ipv6Addr::LOCALHOST.octets());
        v6.extend([0x12, 0x67, 0, 80]);
        let with_tlv = [&v4[..], &[4, 0, 1, 0]].concat();
        for (header, client) in [
            (
                b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n".to_vec(),
                Some("203.0.113.7:4711"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(),
                Some("[2001:db8::1]:4711"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(1, 0x11, &v4), Some("203.0.113.7:4711")),
            (v2(1, 0x11, &with_tlv), Some("203.0.113.7:4711")),
            (v2(1, 0x21, &v6), Some("[2001:db8::1]:4711")),
            (v2(0, 0x11, &v4), None),
            (v2(1, 0, &[]), None),
            (v2(1, 0x31, &[0; 216]), None),
        ] {
            let client = client.map(|client| client.parse().unwrap());
            let length = header.len();
            let expected = ProxyHeader { client, length };
            let followed = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(
                parse(&followed),
                Ok(Some(expected)),
                "{}",
                header.escape_ascii()
            );
            for end in 0..length {
                assert_eq!(
                    parse(&header[..end]),
                    Ok(None),
                    "{end} of {}",
                    header.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn other_bytes_are_no_header() {
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat();
        let huge = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01",
            b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 1.1.1.256 1.1.1.1 1 1\r\n",
            b"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 \xff 1.1.1.1 1 1\r\n",
            &long,
            &v2(1, 0x11, &[0; 11]),
            &v2(1, 0x21, &[0; 35]),
            &v2(2, 0x11, &[0; 12]),
            &[&SIGNATURE[..], &[0x11, 0x11, 0, 0]].concat(),
            &huge,
        ] {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
