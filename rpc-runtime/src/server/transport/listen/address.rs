//! Parsing of listen addresses, with advice for the usual mistakes.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Prefix of the address of a Unix socket.
pub(super) const UNIX: &str = "unix:";

/// A listen address. Host names are not resolved yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address<'a> {
    /// `:PORT`.
    AllInterfaces(u16),
    /// `HOST:PORT`, where `HOST` is a name, an IPv4 address or an IPv6 address in brackets.
    Tcp { host: &'a str, port: u16 },
    /// The absolute path of a socket.
    Unix(&'a str),
}

impl<'a> Address<'a> {
    /// Parses `HOST:PORT`, `:PORT` or `unix:/PATH`. Surrounding white space is ignored.
    ///
    /// # Errors
    ///
    /// Returns what is wrong, and what to write instead.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err(
                "the address is empty; expected one such as `127.0.0.1:9002`, `:9002` or `unix:/run/logsink.sock`"
                    .to_owned(),
            );
        }
        if let Some((scheme, path)) = text.split_at_checked(UNIX.len())
            && scheme.eq_ignore_ascii_case(UNIX)
        {
            return if path.starts_with('/') {
                Ok(Self::Unix(path))
            } else {
                Err(
                    "the path of a socket must be absolute, such as `unix:/run/logsink.sock`"
                        .to_owned(),
                )
            };
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let address = rest.split(['/', '?', '#']).next().unwrap_or_default();
            return Err(format!(
                "expected an address and not a URL; write `{address}` without `{scheme}://`"
            ));
        }
        if text.starts_with(['/', '.']) {
            return Err("the address of a Unix socket begins with `unix:`, such as `unix:/run/logsink.sock`".to_owned());
        }
        Self::parse_tcp(text)
    }

    fn parse_tcp(text: &'a str) -> Result<Self, String> {
        if text.parse::<Ipv4Addr>().is_ok() {
            return Err(format!("the port is missing; write `{text}:PORT`"));
        }
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            let parts = text.rsplit_once(':').filter(|(_, port)| is_number(port));
            let parsed =
                parts.and_then(|(host, port)| Some((host.parse::<Ipv6Addr>().ok()?, port)));
            return Err(match parsed {
                Some((host, port)) => {
                    format!("write an IPv6 address in brackets: `[{host}]:{port}`")
                }
                None => format!("the port is missing; write `[{ip}]:PORT`"),
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some(parts) if !text.ends_with(']') => parts,
            _ if is_number(text) => {
                return Err(format!(
                    "the host is missing; write `127.0.0.1:{text}` for this host only, or `:{text}` for all interfaces"
                ));
            }
            _ if text == "*" => {
                return Err("the port is missing; write `:PORT` for all interfaces".to_owned());
            }
            _ if text.starts_with('-')
                || text.trim_matches(['[', ']']).contains(is_no_part_of_a_host) =>
            {
                return Err("expected an address such as `127.0.0.1:9002` or `:9002`".to_owned());
            }
            _ => return Err(format!("the port is missing; write `{text}:PORT`")),
        };
        let port = Some(port).filter(|port| is_number(port));
        let Some(port) = port.and_then(|port| port.parse().ok()) else {
            return Err("the part after the last colon must be a port, from 0 to 65535".to_owned());
        };
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match host {
            "" => Ok(Self::AllInterfaces(port)),
            "*" => Err(format!(
                "`*` is not an address; write `:{port}` for all interfaces"
            )),
            _ if inner.is_none() && host.contains(':') => Err(match host.parse::<Ipv6Addr>() {
                Ok(ip) => format!("write an IPv6 address in brackets: `[{ip}]:{port}`"),
                Err(_) => "expected one host and one port, such as `127.0.0.1:9002`".to_owned(),
            }),
            _ if inner.is_some_and(|inner| inner.parse::<Ipv4Addr>().is_ok()) => Err(format!(
                "only IPv6 addresses have brackets; write `{}:{port}`",
                inner.unwrap_or(host)
            )),
            _ if inner.unwrap_or(host).contains(is_no_part_of_a_host) => Err(format!(
                "`{host}` is not a host; expected a name or an IP address, such as `127.0.0.1:{port}`"
            )),
            host => Ok(Self::Tcp { host, port }),
        }
    }
}

fn is_no_part_of_a_host(c: char) -> bool {
    c.is_whitespace() || "/@[]*".contains(c)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed() {
        let tcp = |host, port| Address::Tcp { host, port };
        for (text, address) in [
            ("127.0.0.1:9002", tcp("127.0.0.1", 9002)),
            (" 127.0.0.1:0 ", tcp("127.0.0.1", 0)),
            ("localhost:65535", tcp("localhost", 65535)),
            ("[::1]:80", tcp("[::1]", 80)),
            ("[fe80::1%lo]:80", tcp("[fe80::1%lo]", 80)),
            (":8080", Address::AllInterfaces(8080)),
            (":0", Address::AllInterfaces(0)),
            ("unix:/run/a.sock", Address::Unix("/run/a.sock")),
            ("unix:///run/a.sock", Address::Unix("///run/a.sock")),
            ("UNIX:/run/a.sock", Address::Unix("/run/a.sock")),
            ("Unix:/my data/A.sock", Address::Unix("/my data/A.sock")),
        ] {
            assert_eq!(Address::parse(text), Ok(address), "{text}");
        }
    }

    #[test]
    fn other_forms_get_advice() {
        for (text, advice) in [
            ("", "the address is empty"),
            (" ", "the address is empty"),
            (
                "http://127.0.0.1:80",
                "write `127.0.0.1:80` without `http://`",
            ),
            (
                "https://[::1]:443/a?b",
                "write `[::1]:443` without `https://`",
            ),
            ("tcp://:9002", "write `:9002` without `tcp://`"),
            ("*:80", "write `:80` for all interfaces"),
            ("*", "write `:PORT` for all interfaces"),
            ("-1", "expected an address such as"),
            ("a b", "expected an address such as"),
            ("[127.0.0.1]:80", "write `127.0.0.1:80`"),
            ("8080", "write `127.0.0.1:8080`"),
            ("127.0.0.1", "write `127.0.0.1:PORT`"),
            ("::1", "write `[::1]:PORT`"),
            ("[::1]", "write `[::1]:PORT`"),
            ("localhost", "write `localhost:PORT`"),
            ("::1:8080", "`[::1]:8080`"),
            ("2001:db8::1", "write `[2001:db8::1]:PORT`"),
            ("a:b:80", "expected one host"),
            ("2001:db8:0:0:0:0:0:1:80", "`[2001:db8::1]:80`"),
            ("127.0.0.1:", "must be a port"),
            ("127.0.0.1:http", "must be a port"),
            ("127.0.0.1:65536", "must be a port"),
            ("127.0.0.1:+80", "must be a port"),
            ("127.0.0.1:-1", "must be a port"),
            ("127.0.0.1:80/", "must be a port"),
            ("127.0.0.1:80:90", "expected one host"),
            ("user@a:80", "`user@a` is not a host"),
            ("a b:80", "`a b` is not a host"),
            ("*.example.com:80", "`*.example.com` is not a host"),
            ("unix:", "must be absolute"),
            ("UNIX:a", "must be absolute"),
            ("unix:a.sock", "must be absolute"),
            ("/run/a.sock", "begins with `unix:`"),
            ("./a.sock", "begins with `unix:`"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}
