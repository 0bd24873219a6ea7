//! Cross-origin requests: which web pages of other origins may call a server.

mod targets;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName,
    HeaderValue, InvalidHeaderName, ORIGIN, RETRY_AFTER, VARY,
};
use http::{Method, Uri, request};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use self::targets::PageTargets;
use super::http_layers::{self, ApplyHttpLayer};
use super::plain_routes::PlainRoutes;
use super::routes::RouteTable;
use crate::error::{Code, Error};
use crate::protocol::context::REQUEST_ID;

/// The web pages of other origins that may call a server, see
/// [`Server::cors`](crate::Server::cors).
///
/// A page of such an origin may call every method and plain route that the listener serves to it,
/// or those of [`only`](Self::only), with every header, and may read the response with
/// `x-request-id`, `retry-after`, `idempotent-replayed` and the headers of
/// [`expose_header`](Self::expose_header). A browser is told the verbs of the path.
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
    /// The names of what pages may call; `None` for everything.
    only: Option<Vec<String>>,
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
            only: None,
            exposed: Vec::new(),
            credentials: false,
            max_age: Duration::from_secs(600),
        }
    }

    /// Lets pages call these only: a service (`shop.v1.Catalog` or `Catalog`), a method
    /// (`CatalogServer::LIST`, `shop.v1.Catalog/List` or `Catalog/List`), the path of a plain route
    /// or of `#[rpc(get = "…")]` as it is declared (`/products/{id}`), or `http` for all plain
    /// routes. A method has its HTTP paths too; an HTTP path has the methods that declare it. May
    /// be called repeatedly, which adds to the names.
    ///
    /// For everything else the server behaves as without [`Server::cors`](crate::Server::cors):
    /// responses have no header of CORS, preflights included, and the browser refuses the page.
    /// This protects users of a browser, not the method: callers that are no page need a
    /// [`Policy`](crate::Policy).
    ///
    /// Checked when the server starts: `failed_precondition` for a name that the server does not
    /// have, for a short name that several services have, and for an empty list.
    ///
    /// ```
    /// use rpc_runtime::prelude::*;
    /// use rpc_runtime::Cors;
    ///
    /// #[rpc_service(package = "shop.v1")]
    /// trait Catalog {
    ///     async fn list(&self) -> Result<Vec<String>>;
    ///     async fn put(&self, item: &str) -> Result<()>;
    /// }
    ///
    /// # struct Shelf;
    /// # impl Catalog for Shelf {
    /// #     async fn list(&self) -> Result<Vec<String>> { Ok(Vec::new()) }
    /// #     async fn put(&self, _item: &str) -> Result<()> { Ok(()) }
    /// # }
    /// let cors = Cors::from("https://shop.example").only([CatalogServer::LIST]);
    /// let server = Server::new("shop").add(CatalogServer::new(Shelf)).cors(cors);
    /// # drop(server);
    /// ```
    #[must_use]
    pub fn only(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let all = self.only.get_or_insert_default();
        all.extend(names.into_iter().map(Into::into));
        self
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

    /// Returns the layer that writes the headers, and those that it does not write.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid origin or header, and for credentials of every origin;
    /// `failed_precondition` for a name that the server does not have.
    pub(crate) fn into_layer(
        self,
        routes: &Arc<RouteTable>,
        plain: Option<&Arc<PlainRoutes>>,
    ) -> Result<(ApplyHttpLayer, CorsHeaders), Error> {
        let targets = PageTargets::new(self.only.as_deref(), routes, plain)?;
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
        let headers = CorsHeaders {
            targets,
            origins: origins.clone(),
            exposed: exposed
                .iter()
                .map(HeaderName::as_str)
                .collect::<Vec<_>>()
                .join(","),
            credentials: self.credentials,
        };
        let origins = origins.map_or_else(AllowOrigin::any, AllowOrigin::list);
        // Without the verbs, which depend on the path.
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(exposed)
            .allow_credentials(self.credentials)
            .max_age(self.max_age);
        Ok((http_layers::boxed(layer), headers))
    }
}

/// The headers that the layer does not write: the verbs of a path, and those by which a page may
/// read a response that the layer has not seen, such as that to a head that is too large. Without
/// them it sees a failed connection.
pub(crate) struct CorsHeaders {
    targets: PageTargets,
    /// `None` for every origin.
    origins: Option<Vec<HeaderValue>>,
    exposed: String,
    credentials: bool,
}

impl CorsHeaders {
    /// Returns the headers of the response to a request; `None` for one that pages may not send.
    pub(crate) fn of(&self, head: &request::Parts) -> Option<PageHeaders<'_>> {
        let is_preflight = head.method == Method::OPTIONS;
        let asked = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
        let asked = asked.filter(|_| is_preflight);
        let asked = asked.and_then(|verb| Method::from_bytes(verb.as_bytes()).ok());
        let verb = asked.as_ref().unwrap_or(&head.method);
        self.targets.include(verb, &head.uri).then(|| PageHeaders {
            cors: self,
            origin: head.headers.get(ORIGIN).cloned(),
            verbs: is_preflight.then(|| self.targets.verbs(&head.uri)),
        })
    }

    /// Returns the headers of a response to a head that is not valid, with its verb and target as
    /// far as they are known.
    pub(crate) fn lines_of(
        &self,
        request_line: Option<(&[u8], &[u8])>,
        origin: Option<&[u8]>,
    ) -> Vec<(HeaderName, &str)> {
        let request = request_line.and_then(|(verb, target)| {
            let verb = Method::from_bytes(verb).ok()?;
            Some((verb, Uri::try_from(target).ok()?))
        });
        let is_included = match request {
            Some((verb, uri)) => self.targets.include(&verb, &uri),
            None => self.targets.are_all(),
        };
        if is_included {
            self.lines(origin)
        } else {
            Vec::new()
        }
    }

    /// Returns the headers of a response to a page of this origin.
    fn lines(&self, origin: Option<&[u8]>) -> Vec<(HeaderName, &str)> {
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
}

impl fmt::Debug for CorsHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorsHeaders")
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}

/// The headers of one response to a page.
pub(crate) struct PageHeaders<'c> {
    cors: &'c CorsHeaders,
    origin: Option<HeaderValue>,
    /// The verbs of the path, for a preflight.
    verbs: Option<String>,
}

impl PageHeaders<'_> {
    /// Adds the headers that the layer has not written.
    pub(crate) fn add(&self, response: &mut HeaderMap) {
        if !response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) && !response.contains_key(VARY) {
            let origin = self.origin.as_ref().map(HeaderValue::as_bytes);
            for (name, value) in self.cors.lines(origin) {
                if let Ok(value) = HeaderValue::from_str(value) {
                    response.insert(name, value);
                }
            }
        }
        let verbs = self.verbs.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(verbs)) = verbs
            && response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN)
        {
            response.insert(ACCESS_CONTROL_ALLOW_METHODS, verbs);
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
    use crate::server::routes::RouteTableBuilder;

    fn checked(cors: Cors) -> Result<(ApplyHttpLayer, CorsHeaders), Error> {
        let source = Arc::new("shop@prod/1".parse().unwrap());
        let routes = RouteTableBuilder::new(Vec::new(), &source).unwrap();
        cors.into_layer(&Arc::new(routes.build().unwrap()), None)
    }

    #[test]
    fn origins_are_those_that_browsers_send() {
        for valid in [
            "https://shop.example",
            "http://localhost:3000",
            "http://[::1]:8080",
        ] {
            assert!(checked(Cors::from(valid)).is_ok(), "{valid}");
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
            let error = checked(Cors::from(text)).err().unwrap();
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
            let error = checked(cors).err().unwrap();
            assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        }
        let one = Cors::from("http://a.example").allow_credentials();
        assert!(checked(one.expose_header("x-price")).is_ok());
    }
}
