//! `/healthz` and `/readyz`: plain HTTP responses for probes, on every listener and without
//! authentication.
//!
//! They are not observed as calls, because frequent probes would dominate the log and the metrics.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode, request};

use super::HttpResponse;
use crate::server::call::body::ResponseBody;
use crate::server::call::trust::Peer;
use crate::server::inner::ServerInner;

/// The health check that a probe requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HealthCheck {
    /// Whether the process is alive.
    Liveness,
    /// Whether the server is ready to receive calls.
    Readiness,
}

const LIVENESS: &str = "/healthz";
const READINESS: &str = "/readyz";

/// The paths of all checks.
pub(crate) const PROBE_PATHS: [&str; 2] = [LIVENESS, READINESS];

impl HealthCheck {
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            LIVENESS => Some(Self::Liveness),
            READINESS => Some(Self::Readiness),
            _ => None,
        }
    }

    pub(super) async fn respond(
        self,
        inner: &ServerInner,
        peer: &Peer,
        head: &request::Parts,
    ) -> HttpResponse {
        let verb = &head.method;
        if verb != Method::GET && verb != Method::HEAD {
            let mut response = respond(
                StatusCode::METHOD_NOT_ALLOWED,
                "use GET or HEAD\n".to_owned(),
            );
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        let outcome = match self {
            Self::Liveness => Ok("alive\n"),
            Self::Readiness => inner.lifecycle().ready().await.map(|()| "ready\n"),
        };
        match outcome {
            Ok(text) => respond(StatusCode::OK, text.to_owned()),
            Err(why) => {
                let text = if peer.is_trusted_caller(inner.hosts(), head) {
                    format!("not ready: {why}\n")
                } else {
                    "not ready\n".to_owned()
                };
                respond(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

fn respond(status: StatusCode, text: String) -> HttpResponse {
    let mut response = http::Response::new(ResponseBody::full(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
