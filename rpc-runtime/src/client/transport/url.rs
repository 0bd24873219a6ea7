//! Parses the URL of a server as people write it, and reports what is wrong with it.
//!
//! Hand-written because `http::Uri` accepts ports above 65535 and reads them as none, refuses
//! schemes in capitals, and gives no reason that helps.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::text::public_url;

/// The maximum length of a host name, in bytes.
const MAX_HOST: usize = 253;

/// The maximum length of one label of a host name, in bytes.
const MAX_LABEL: usize = 63;

type UrlError = Cow<'static, str>;

/// The parts of an `http` or `https` URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerUrl {
    pub(super) https: bool,
    /// A name in lower case, an IPv4 address, or an IPv6 address in brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// Empty, or `/prefix` without a trailing slash.
    pub(super) prefix: String,
}

/// A URL of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Http(ServerUrl),
    /// The path of a Unix socket.
    Socket(String),
}

/// Parses a URL.
///
/// # Errors
///
/// The reason why it is invalid.
pub(super) fn parse(url: &str) -> Result<Parsed, UrlError> {
    if url.is_empty() {
        return Err("the URL is empty".into());
    }
    // The path of a socket may contain spaces, but does not end with one.
    let is_socket = url
        .get(..5)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("unix:"));
    let is_allowed = |c: char| c == ' ' && is_socket && !url.ends_with(' ');
    if let Some(c) = url
        .chars()
        .find(|&c| (c.is_whitespace() || c.is_control()) && !is_allowed(c))
    {
        let what = if c.is_control() {
            "a control character"
        } else {
            "white space"
        };
        return Err(format!("the URL contains {what} (`{}`)", c.escape_debug()).into());
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(missing_scheme(url));
    };
    if scheme.eq_ignore_ascii_case("unix") {
        return socket(rest).map(Parsed::Socket);
    }
    let https = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        // `localhost:9002`, `10.0.0.1:9002`, `[::1]:9002`
        _ if !rest.starts_with("//") => return Err(missing_scheme(url)),
        _ => return Err("the scheme must be `http`, `https` or `unix`".into()),
    };
    let Some(rest) = rest.strip_prefix("//") else {
        return Err("`//` is missing after the scheme".into());
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // An `@` behind a slash is part of a password more often than of a path.
    if rest.contains('@') {
        return Err("the URL contains credentials; send them as metadata".into());
    }
    let (host, port) = authority_parts(authority)?;
    Ok(Parsed::Http(ServerUrl {
        https,
        host,
        port,
        prefix: prefix(path)?,
    }))
}

fn missing_scheme(url: &str) -> UrlError {
    // Quotes nothing that may contain a password.
    if url.contains('@') {
        return "the scheme is missing".into();
    }
    let advice = match url.as_bytes() {
        [b':', ..] => format!("http://127.0.0.1{url}"),
        [b'/', next, ..] if *next != b'/' => format!("unix:{url}"),
        _ => format!("http://{}", url.trim_start_matches('/')),
    };
    // No advice that is refused as well.
    if parse(&advice).is_ok() && public_url(&advice) == advice {
        format!("the scheme is missing: write `{advice}`").into()
    } else {
        "the scheme is missing".into()
    }
}

fn socket(rest: &str) -> Result<String, UrlError> {
    let path = match rest.strip_prefix("//") {
        // `unix:///run/a.sock`, as other tools write it.
        Some(path) if path.starts_with('/') => path,
        Some(_) => {
            return Err("the path of a socket must begin with `/`: write `unix:/PATH`".into());
        }
        None => rest,
    };
    if !path.starts_with('/') {
        return Err("the path of a socket must begin with `/`".into());
    }
    Ok(path.to_owned())
}

fn authority_parts(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, rest)) = rest.split_once(']') else {
            return Err("the closing bracket of the IPv6 address is missing".into());
        };
        if address.contains('%') {
            return Err("the zone of an IPv6 address is not supported".into());
        }
        let address: Ipv6Addr = address
            .parse()
            .map_err(|_| "the text in brackets is not an IPv6 address")?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(self::port(port)?),
            None if rest.is_empty() => None,
            None => return Err("the text after the closing bracket is not a port".into()),
        };
        return Ok((format!("[{address}]"), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((_, port)) if port.contains(':') && authority.parse::<Ipv6Addr>().is_ok() => {
            return Err(format!("an IPv6 address must be in brackets: `[{authority}]`").into());
        }
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let host = self::host(host)?;
    Ok((host, port.map(self::port).transpose()?))
}

fn port(text: &str) -> Result<u16, UrlError> {
    if text.is_empty() {
        return Err("the port is missing after `:`".into());
    }
    // `str::parse` would also accept `+80`.
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("the port `{}` is not a number", public_url(text)).into());
    }
    match text.parse::<u16>() {
        Ok(0) => Err("port 0 is not valid; use the port that the server listens on".into()),
        Ok(port) => Ok(port),
        Err(_) => Err(format!("the port {} is above 65535", public_url(text)).into()),
    }
}

fn host(text: &str) -> Result<String, UrlError> {
    if text.is_empty() {
        return Err("the host is missing".into());
    }
    if !text.is_ascii() {
        return Err("the host is not ASCII: write it in Punycode (`xn--…`)".into());
    }
    if text.contains(',') {
        return Err(
            "the URL contains several hosts; pass one URL each to `Client::from_urls`".into(),
        );
    }
    if let Some(c) = text
        .chars()
        .find(|c| !matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.'))
    {
        return Err(format!("the host contains `{}`", c.escape_debug()).into());
    }
    // A trailing dot marks a name as absolute.
    let labels = text.strip_suffix('.').unwrap_or(text);
    // Resolvers read a name that ends with a number as an IPv4 address, in forms such as
    // `0x7f000001` and `0177.1`.
    if labels.rsplit('.').next().is_some_and(is_number) {
        return match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err("the host is not a valid IPv4 address".into()),
        };
    }
    if text.len() > MAX_HOST
        || labels
            .split('.')
            .any(|label| label.is_empty() || label.len() > MAX_LABEL)
    {
        return Err("the host has an empty or too long part".into());
    }
    Ok(text.to_ascii_lowercase())
}

/// Returns whether the part of a host is a number, decimal or hexadecimal.
fn is_number(label: &str) -> bool {
    let (digits, hexadecimal) = match label.as_bytes() {
        [b'0', b'x' | b'X', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    let is_digit = |b: &u8| b.is_ascii_digit() || (hexadecimal && b.is_ascii_hexdigit());
    (hexadecimal || !digits.is_empty()) && digits.iter().all(is_digit)
}

fn prefix(path: &str) -> Result<String, UrlError> {
    if path.contains('#') {
        return Err("the URL contains a fragment".into());
    }
    if path.contains('?') {
        return Err("the URL contains a query".into());
    }
    if path.contains('\\') {
        return Err("the URL contains a backslash; write `/`".into());
    }
    if !path.is_ascii() {
        return Err("the path is not ASCII: write it with percent escapes".into());
    }
    if let Some(c) = path
        .chars()
        .find(|c| matches!(c, '"' | '<' | '>' | '^' | '`' | '{' | '|' | '}'))
    {
        return Err(format!("the path contains `{c}`: write it as a percent escape").into());
    }
    let mut escapes = path.split('%').skip(1);
    let complete = |rest: &str| matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    if !escapes.all(complete) {
        return Err("the path has an incomplete percent escape".into());
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("the path contains `.` or `..`".into());
    }
    Ok(path.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(url: &str) -> (bool, String, Option<u16>, String) {
        match parse(url) {
            Ok(Parsed::Http(url)) => (url.https, url.host, url.port, url.prefix),
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_url_has_scheme_host_port_and_prefix() {
        for (url, https, host, port, prefix) in [
            ("http://127.0.0.1:9002", false, "127.0.0.1", Some(9002), ""),
            ("HTTP://Example.COM:80/", false, "example.com", Some(80), ""),
            ("https://a.b/api/v1//", true, "a.b", None, "/api/v1"),
            ("http://[::1]:1", false, "[::1]", Some(1), ""),
            ("http://[2001:DB8::0:1]", false, "[2001:db8::1]", None, ""),
            ("http://log_sink:65535", false, "log_sink", Some(65535), ""),
            ("http://a.:0080/x%2Fy", false, "a.", Some(80), "/x%2Fy"),
        ] {
            let expected = (https, host.to_owned(), port, prefix.to_owned());
            assert_eq!(http(url), expected, "{url}");
        }
    }

    #[test]
    fn a_socket_has_a_path() {
        for (url, path) in [
            ("unix:/run/a.sock", "/run/a.sock"),
            ("unix:///run/a.sock", "/run/a.sock"),
            ("UNIX:/run/a@b?c#d", "/run/a@b?c#d"),
            ("unix:/my data/a.sock", "/my data/a.sock"),
            ("Unix:///my  data/ a", "/my  data/ a"),
            // Taken as it is.
            ("unix:/my%20data/a", "/my%20data/a"),
        ] {
            assert_eq!(parse(url), Ok(Parsed::Socket(path.to_owned())), "{url}");
        }
    }

    #[test]
    fn every_mistake_has_its_reason() {
        for (url, reason) in [
            ("", "the URL is empty"),
            ("http://127.0.0.1:99999", "the port 99999 is above 65535"),
            ("http://127.0.0.1:65536", "the port 65536 is above 65535"),
            ("http://a:184467440737095516170", "is above 65535"),
            (
                "http://a:0",
                "port 0 is not valid; use the port that the server listens on",
            ),
            ("http://a:", "the port is missing"),
            ("http://a:/x", "the port is missing"),
            ("http://a:+80", "the port `+80` is not a number"),
            ("http://a:-1", "the port `-1` is not a number"),
            ("http://a:8o", "the port `8o` is not a number"),
            ("http://a:80:81", "the port `80:81` is not a number"),
            ("http://[::1]:x", "the port `x` is not a number"),
            ("http://[::1]9002", "after the closing bracket"),
            ("http://[::1", "the closing bracket"),
            ("http://[::g]:1", "not an IPv6 address"),
            ("http://[fe80::1%eth0]:1", "the zone"),
            ("http://::1:9002", "in brackets: `[::1:9002]`"),
            ("http://", "the host is missing"),
            ("http://:9002", "the host is missing"),
            ("http:///x", "the host is missing"),
            ("http://?a", "the host is missing"),
            ("http://127.0.0.256:1", "not a valid IPv4 address"),
            ("http://127.1:1", "not a valid IPv4 address"),
            ("http://0x7f000001:1", "not a valid IPv4 address"),
            ("http://0x7f.1", "not a valid IPv4 address"),
            ("http://0X7F.0x0.0x0.0x1", "not a valid IPv4 address"),
            ("http://0177.0.0.1", "not a valid IPv4 address"),
            ("http://2130706433", "not a valid IPv4 address"),
            ("http://127.0.0.1.:1", "not a valid IPv4 address"),
            ("http://a.0x", "not a valid IPv4 address"),
            ("http://*:80", "the host contains `*`"),
            ("http://a%2eb", "the host contains `%`"),
            ("http://a..b", "empty or too long part"),
            ("http://a,b:1", "several hosts"),
            ("http://b\u{fc}cher:1", "Punycode"),
            ("http://a b", "white space (` `)"),
            ("http://a:1\n", "a control character (`\\n`)"),
            ("\thttp://a", "a control character (`\\t`)"),
            ("http://a?b=c", "a query"),
            ("http://a/b?c", "a query"),
            ("http://a#b", "a fragment"),
            ("http://a/%zz", "percent escape"),
            ("http://a/%2", "percent escape"),
            ("http://a/b/../c", "`.` or `..`"),
            ("http://a/\u{e9}", "not ASCII"),
            ("http://a/{x}", "the path contains `{`"),
            ("http://a\\b", "a backslash"),
            ("http:/a", "`//` is missing"),
            ("http:a:80", "`//` is missing"),
            ("localhost", "write `http://localhost`"),
            ("127.0.0.1:9002", "write `http://127.0.0.1:9002`"),
            ("[::1]:9002", "write `http://[::1]:9002`"),
            ("//a:80", "write `http://a:80`"),
            (":9002", "write `http://127.0.0.1:9002`"),
            ("/run/x.sock", "write `unix:/run/x.sock`"),
            ("/run/my x.sock", "white space"),
            ("unix:/run/x.sock ", "white space"),
            ("unix:/run/x\ty", "a control character"),
            ("unix:/run/\u{a0}y", "white space"),
            ("ftp://a", "the scheme must be"),
            ("file:///etc", "the scheme must be"),
            ("h2c://a:80", "the scheme must be"),
            ("unix:", "must begin with `/`"),
            ("unix:relative", "must begin with `/`"),
            ("unix://run/a.sock", "write `unix:/PATH`"),
            ("http://user:pw@a", "credentials"),
            ("http://user:p/w@a", "credentials"),
        ] {
            let problem = parse(url).unwrap_err();
            assert!(problem.contains(reason), "{url}: {problem}");
        }
    }

    #[test]
    fn advice_is_not_refused_itself() {
        for url in [
            ":x",
            ":99999",
            "a:99999",
            "localhost:0",
            "a..b",
            "*:80",
            "::1:9002",
            "?a",
            "",
            "a:",
        ] {
            let problem = parse(url).unwrap_err();
            if let Some((_, advice)) = problem.split_once("write `") {
                let advice = advice.trim_end_matches('`');
                assert!(parse(advice).is_ok(), "{url}: {problem}");
            }
        }
        assert_eq!(parse(":0").unwrap_err(), "the scheme is missing");
    }

    #[test]
    fn secrets_are_not_in_an_error() {
        let long = format!("http://user:{}canary@a", "x".repeat(500));
        for url in [
            "http://user:canary@a",
            "http://user:can/canary@a:1",
            "http://a?token=canary",
            "http://a/b#canary",
            "user:canary@a",
            &long,
        ] {
            let problem = parse(url).unwrap_err();
            assert!(!problem.contains("canary"), "{problem}");
        }
    }
}
