//! Cross-origin requests: which web pages of other origins may call a server.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    HeaderMap, HeaderName, HeaderValue, InvalidHeaderName, RETRY_AFTER, VARY,
};
use http::{Method, Uri};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::http_layers::{self, ApplyHttpLayer};
use crate::error::{Code, Error};
use crate::protocol::context::REQUEST_ID;

/// The web pages of other origins that may call a server, see
/// [`Server::cors`](crate::Server::cors).
///
/// A page of such an origin may call every method and plain route that the listener serves to it,
/// with every header, and may read the response with `x-request-id`, `retry-after`,
/// `idempotent-replayed` and the headers of [`expose_header`](Self::expose_header).
///
/// ```
/// use rpc_runtime::{Cors, Server};
///
/// let one = Server::new("shop").listen_edge(":8080").cors("https://shop.example");
/// let two = Cors::origins(["https://shop.example", "http://localhost:3000"]).allow_credentials();
/// # drop((one, two));
/// ```
#[derive(Debug, Clone)]
pub struct Cors {
    /// `None` for every origin.
    origins: Option<Vec<String>>,
    exposed: Vec<String>,
    credentials: bool,
    max_age: Duration,
}

impl Cors {
    /// Lets pages of these origins call. An origin is written as browsers send it, such as
    /// `https://shop.example` or `http://localhost:3000`: in lower case, without a path.
    ///
    /// The start of the server fails with `invalid_argument` for anything else.
    pub fn origins(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(Some(origins.into_iter().map(Into::into).collect()))
    }

    /// Lets pages of every origin call, without credentials: for a public API.
    #[must_use]
    pub fn any_origin() -> Self {
        Self::new(None)
    }

    fn new(origins: Option<Vec<String>>) -> Self {
        Self {
            origins,
            exposed: Vec::new(),
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }

    /// Lets a page read one more header of the responses.
    #[must_use]
    pub fn expose_header(mut self, name: impl Into<String>) -> Self {
        self.exposed.push(name.into());
        self
    }

    /// Lets browsers send cookies and stored passwords along, and pages read the response to such a
    /// request. A header `authorization` that the page sets itself needs no such permission.
    ///
    /// A page of the origins then acts as the user of the browser. The start of the server fails
    /// with `invalid_argument` if every origin is allowed.
    #[must_use]
    pub fn allow_credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// Sets how long a browser may keep the permission. Defaults to 10 minutes.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Returns the layer that writes the headers, and those of responses that are made outside of
    /// it.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid origin or header, and for credentials of every origin.
    pub(crate) fn into_layer(self) -> Result<(ApplyHttpLayer, CorsHeaders), Error> {
        let origins = match self.origins {
            Some(origins) if origins.is_empty() => {
                return Err(invalid(
                    "no origin is given; name one, such as `https://shop.example`",
                ));
            }
            Some(origins) => {
                let origins: Result<Vec<_>, _> = origins.iter().map(|text| origin(text)).collect();
                Some(origins?)
            }
            None if self.credentials => {
                return Err(invalid(
                    "credentials of every origin would let any page act as its reader; name the origins",
                ));
            }
            None => None,
        };
        let own = [
            Ok(REQUEST_ID.clone()),
            Ok(RETRY_AFTER),
            Ok(HeaderName::from_static("idempotent-replayed")),
        ];
        let exposed = self.exposed.iter().map(|name| {
            name.parse().map_err(|problem: InvalidHeaderName| {
                invalid(&format!(
                    "`{}` is not a header name: {problem}",
                    name.escape_debug()
                ))
            })
        });
        let exposed: Result<Vec<HeaderName>, _> = own.into_iter().chain(exposed).collect();
        let exposed = exposed?;
        let early = CorsHeaders {
            origins: origins.clone(),
            exposed: exposed
                .iter()
                .map(HeaderName::as_str)
                .collect::<Vec<_>>()
                .join(","),
            credentials: self.credentials,
        };
        let origins = origins.map_or_else(AllowOrigin::any, AllowOrigin::list);
        let methods = [
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ];
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods(methods)
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed)
            .allow_credentials(self.credentials)
            .max_age(self.max_age);
        Ok((http_layers::boxed(layer), early))
    }
}

/// The headers by which a page may read a response that the layer has not seen, such as that to a
/// head that is too large: without them it sees a failed connection.
#[derive(Debug)]
pub(crate) struct CorsHeaders {
    /// `None` for every origin.
    origins: Option<Vec<HeaderValue>>,
    exposed: String,
    credentials: bool,
}

impl CorsHeaders {
    /// Returns the headers of a response to a page of this origin.
    pub(crate) fn lines(&self, origin: Option<&[u8]>) -> Vec<(HeaderName, &str)> {
        let allowed = match &self.origins {
            None => Some("*"),
            Some(origins) => {
                let mut origins = origins.iter();
                let known = origins.find(|known| Some(known.as_bytes()) == origin);
                known.and_then(|known| known.to_str().ok())
            }
        };
        let allowed = allowed.filter(|_| origin.is_some());
        let mut lines = Vec::new();
        if let Some(allowed) = allowed {
            lines.push((ACCESS_CONTROL_ALLOW_ORIGIN, allowed));
            lines.push((ACCESS_CONTROL_EXPOSE_HEADERS, &*self.exposed));
            if self.credentials {
                lines.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"));
            }
        }
        lines.push((VARY, "origin"));
        lines
    }

    /// Adds the headers to a response to a page of this origin, unless the layer has.
    pub(crate) fn add(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        if response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) || response.contains_key(VARY) {
            return;
        }
        for (name, value) in self.lines(origin.map(HeaderValue::as_bytes)) {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.insert(name, value);
            }
        }
    }
}

/// One origin.
impl From<&str> for Cors {
    fn from(origin: &str) -> Self {
        Self::origins([origin])
    }
}

/// Several origins.
impl<const N: usize> From<[&str; N]> for Cors {
    fn from(origins: [&str; N]) -> Self {
        Self::origins(origins)
    }
}

/// Parses an origin.
///
/// # Errors
///
/// `invalid_argument` for a text that no browser sends as an `Origin`.
fn origin(text: &str) -> Result<HeaderValue, Error> {
    let shown = text.escape_debug();
    if text == "*" {
        return Err(invalid(
            "`*` is not an origin; use `Cors::any_origin()` for every origin",
        ));
    }
    let uri: Option<Uri> = text.parse().ok();
    let parts = uri
        .as_ref()
        .and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    let Some((scheme, authority)) = parts else {
        return Err(invalid(&format!(
            "`{shown}` is not an origin; write it with its scheme, such as `https://shop.example`"
        )));
    };
    let is_default = matches!(
        (scheme, authority.port_u16()),
        ("https", Some(443)) | ("http", Some(80))
    );
    let port = authority.port_u16().filter(|_| !is_default);
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let host = authority.host().to_ascii_lowercase();
    let sent = format!("{scheme}://{host}{port}");
    if sent != text {
        return Err(invalid(&format!(
            "`{shown}` is not an origin as browsers send it; write `{sent}`"
        )));
    }
    HeaderValue::from_str(&sent)
        .map_err(|problem| invalid(&format!("`{shown}` is not an origin: {problem}")))
}

fn invalid(problem: &str) -> Error {
    Error::without_location(Code::InvalidArgument, format!("`Server::cors`: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_send() {
        for valid in [
            "https://shop.example",
            "http://localhost:3000",
            "http://[::1]:8080",
        ] {
            assert!(Cors::from(valid).into_layer().is_ok(), "{valid}");
        }
        for (text, advice) in [
            ("*", "any_origin"),
            ("null", "scheme"),
            ("shop.example", "scheme"),
            ("", "scheme"),
            ("/shop", "scheme"),
            ("https://shop.example/", "write `https://shop.example`"),
            ("https://Shop.Example", "write `https://shop.example`"),
            ("https://shop.example:443", "write `https://shop.example`"),
            ("http://a@shop.example/x?y", "write `http://shop.example`"),
            ("https://shop.example\n", "scheme"),
        ] {
            let error = Cors::from(text).into_layer().err().unwrap();
            assert_eq!(error.code(), Code::InvalidArgument, "{text}");
            assert!(error.message().contains(advice), "{text}: {error}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let none = Cors::origins(Vec::<String>::new());
        let all = Cors::any_origin().allow_credentials();
        let header = Cors::any_origin().expose_header("x y");
        for cors in [none, all, header] {
            let error = cors.into_layer().err().unwrap();
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        }
        let one = Cors::from("http://a.example").allow_credentials();
        assert!(one.expose_header("x-price").into_layer().is_ok());
    }
}
