//! The variables of OpenTelemetry that concern the export of traces. Of two that mean the same, the
//! one for traces takes precedence. An empty one counts as not set.

use percent_encoding::percent_decode_str;

#[cfg(feature = "tls")]
use crate::client::ClientTlsConfig;
use crate::client::CollectorConfig;
use crate::error::{Code, Error, Result};

/// The path of traces below the URL of a collector.
const TRACES_PATH: &str = "/v1/traces";

const ENDPOINT: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
#[cfg(feature = "tls")]
const AUTHORITIES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
];
#[cfg(feature = "tls")]
const CERTIFICATE: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
];
#[cfg(feature = "tls")]
const KEY: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
];

/// Returns the URL of the collector, with the name of its variable.
///
/// # Errors
///
/// `invalid_argument` for a value that is not valid UTF-8, as the others of this module.
pub(super) fn endpoint() -> Result<Option<(&'static str, String)>> {
    Ok(first(ENDPOINT)?.map(|(name, url)| {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix(TRACES_PATH).unwrap_or(base);
        (name, base.to_owned())
    }))
}

/// The headers that are sent to the collector, decoded.
pub(super) struct Headers {
    variable: &'static str,
    pairs: Vec<(String, Vec<u8>)>,
}

impl Headers {
    /// Reads the list of headers.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a malformed list. The text has no part of the values.
    pub(super) fn read() -> Result<Self> {
        let Some((variable, list)) = first(HEADERS)? else {
            return Ok(Self {
                variable: HEADERS[0],
                pairs: Vec::new(),
            });
        };
        match parse(&list) {
            Ok(pairs) => Ok(Self { variable, pairs }),
            Err(problem) => Err(invalid(variable, &problem)),
        }
    }

    /// Adds the headers to those of a collector.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for a header that is not valid in HTTP, or that the exporter sets.
    pub(super) fn apply(&self, collector: &mut CollectorConfig) -> Result<()> {
        self.pairs.iter().try_for_each(|(name, value)| {
            let set = collector.set_header(name, value);
            set.map_err(|problem| invalid(self.variable, &problem))
        })
    }
}

/// Sets the TLS to a collector, if there are variables for it.
///
/// # Errors
///
/// `invalid_argument` for a certificate without its key, and the reverse.
#[cfg(feature = "tls")]
pub(super) fn apply_tls(collector: &mut CollectorConfig) -> Result<()> {
    let authorities = first(AUTHORITIES)?;
    let pair = match (first(CERTIFICATE)?, first(KEY)?) {
        (None, None) => None,
        (Some((_, certificate)), Some((_, key))) => Some((certificate, key)),
        (Some((set, _)), None) => return Err(needs(set, KEY[1])),
        (None, Some((set, _))) => return Err(needs(set, CERTIFICATE[1])),
    };
    if authorities.is_none() && pair.is_none() {
        return Ok(());
    }
    let mut tls = ClientTlsConfig::new();
    if let Some((_, file)) = authorities {
        tls = tls.root_certificates(file);
    }
    if let Some((certificate, key)) = pair {
        tls = tls.client_certificate(certificate, key);
    }
    collector.set_tls(tls);
    Ok(())
}

/// Does nothing: collectors have no TLS without the feature `tls`.
#[cfg(not(feature = "tls"))]
#[allow(
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_ref_mut,
    reason = "the same signature as with the feature `tls`"
)]
pub(super) fn apply_tls(_: &mut CollectorConfig) -> Result<()> {
    Ok(())
}

#[cfg(feature = "tls")]
fn needs(set: &'static str, other: &str) -> Error {
    invalid(set, &format!("it needs {other} as well"))
}

/// Returns the first of these variables that is set, with its name.
fn first(names: [&'static str; 2]) -> Result<Option<(&'static str, String)>> {
    for name in names {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let value = value.into_string();
        let value = value.map_err(|_| invalid(name, "the value is not valid UTF-8"))?;
        return Ok(Some((name, value)));
    }
    Ok(None)
}

fn invalid(variable: &str, problem: &str) -> Error {
    Error::without_location(Code::InvalidArgument, format!("{variable}: {problem}"))
}

/// Parses a list such as `api-key=secret,x-tenant=a%2Cb`: that of W3C baggage without properties.
/// A space within a value is accepted, because many write `Authorization=Bearer TOKEN`.
///
/// # Errors
///
/// The problem, without the text of the entry, which may be secret.
fn parse(list: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, entry) in (1..).zip(list.split(',')) {
        let entry = entry.trim_matches([' ', '\t']);
        // Of a comma at the end.
        if entry.is_empty() {
            continue;
        }
        let problem = |what: &str| format!("entry {number} of the list {what}");
        let (name, value) = entry
            .split_once('=')
            .ok_or_else(|| problem("has no `=`; expected `NAME=VALUE,NAME=VALUE`"))?;
        let name = name.trim_matches([' ', '\t']).to_ascii_lowercase();
        let value = value.trim_matches([' ', '\t']);
        if name.is_empty() {
            return Err(problem("has no name before the `=`"));
        }
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(problem("has the name of an earlier one"));
        }
        if !value.bytes().all(is_plain) {
            let text =
                "has a character in its value that must be percent-encoded, such as `;` as `%3B`";
            return Err(problem(text));
        }
        if !is_encoded(value) {
            let text = "has a `%` in its value without two hexadecimal digits; write `%` as `%25`";
            return Err(problem(text));
        }
        pairs.push((name, percent_decode_str(value).collect()));
    }
    Ok(pairs)
}

/// Returns whether a byte may be in a value as it is.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b';' | b'\\')
}

/// Returns whether each `%` begins an encoded byte.
fn is_encoded(value: &str) -> bool {
    value.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .get(..2)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_headers_is_decoded() {
        let parsed = |list: &str| {
            let pairs = parse(list).unwrap().into_iter();
            pairs
                .map(|(name, value)| format!("{name}: {}", value.escape_ascii()))
                .collect::<Vec<_>>()
        };
        for (list, expected) in [
            ("api-key=secret", &["api-key: secret"][..]),
            ("a=1,b=2", &["a: 1", "b: 2"]),
            (" A = 1 ,\tb=2, ", &["a: 1", "b: 2"]),
            ("a=b%20c%2Cd%3d%25", &["a: b c,d=%"]),
            ("a=b%C3%A9", &["a: b\\xc3\\xa9"]),
            ("a=b+c", &["a: b+c"]),
            (
                "Authorization=Basic dTpw==",
                &["authorization: Basic dTpw=="],
            ),
            ("a=", &["a: "]),
            (",,a=1,,", &["a: 1"]),
            (",", &[]),
        ] {
            assert_eq!(parsed(list), expected, "{list}");
        }
    }

    #[test]
    fn a_malformed_list_is_refused_without_its_text() {
        for (list, problem) in [
            ("canary", "entry 1 of the list has no `=`"),
            ("a=1,canary", "entry 2 of the list has no `=`"),
            ("a=1,,canary", "entry 3 of the list has no `=`"),
            ("=canary", "has no name"),
            (" = canary", "has no name"),
            (
                "a=canary,A=canary",
                "entry 2 of the list has the name of an earlier one",
            ),
            ("a=canary;p=1", "must be percent-encoded"),
            ("a=\"canary\"", "must be percent-encoded"),
            ("a=canary\\", "must be percent-encoded"),
            ("a=canary\u{e9}", "must be percent-encoded"),
            ("a=canary\r\nb: c", "must be percent-encoded"),
            ("a=canary%", "two hexadecimal digits"),
            ("a=canary%4", "two hexadecimal digits"),
            ("a=%zzcanary", "two hexadecimal digits"),
            ("a=%%41canary", "two hexadecimal digits"),
        ] {
            let error = parse(list).unwrap_err();
            assert!(error.contains(problem), "{list}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn headers_that_http_forbids_are_refused() {
        for (list, problem) in [
            ("a=b%0D%0Ac: canary", "the value of the header `a`"),
            ("a=canary%00", "the value of the header `a`"),
            ("a b=canary", "the name of a header is not valid"),
            ("a:=canary", "the name of a header is not valid"),
            ("Host=canary", "the exporter sets the header `host` itself"),
            ("content-type=canary", "sets the header `content-type`"),
            ("Transfer-Encoding=canary", "sets the header"),
        ] {
            let headers = Headers {
                variable: HEADERS[1],
                pairs: parse(list).unwrap(),
            };
            let mut collector = CollectorConfig::new("http://127.0.0.1:4318").unwrap();
            let error = headers.apply(&mut collector).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            let message = error.message();
            assert!(
                message.starts_with("OTEL_EXPORTER_OTLP_HEADERS: "),
                "{message}"
            );
            assert!(message.contains(problem), "{list}: {message}");
            assert!(!message.contains("canary"), "{message}");
        }
    }
}
