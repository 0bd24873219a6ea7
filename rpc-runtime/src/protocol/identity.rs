//! The header that says who calls, and which parts of a request it covers. Both directions side by side.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::request;

use super::context::{BAGGAGE, REQUEST_ID, TRACEPARENT, TRACESTATE};
use crate::descriptor::MethodDescriptor;
use crate::error::Error;
use crate::identity::{self, BodyDigest, IdentityKeys, Signable, Verifier, unauthenticated};

static IDENTITY: HeaderName = HeaderName::from_static("x-rpc-identity");

/// Signs a request that is complete but for what HTTP itself adds.
pub(crate) fn sign(
    keys: &IdentityKeys,
    method: &MethodDescriptor,
    request: &mut http::Request<Bytes>,
) {
    let signable = Signable {
        audience: method.service,
        verb: request.method().as_str(),
        // Not the path of the request: a server that is mounted under a prefix does not see that.
        target: method.path,
        headers: covered(request.headers()),
    };
    let header = identity::sign(keys, &signable, request.body());
    match HeaderValue::try_from(header) {
        Ok(header) => {
            request.headers_mut().insert(IDENTITY.clone(), header);
        }
        // Key ids, digits and base64: there is nothing in it that a header cannot hold.
        Err(error) => tracing::error!(target: "rpc", %error, "a call goes out unsigned"),
    }
}

/// The digest that the body of a request must have.
///
/// # Errors
///
/// `unauthenticated` for a request that is not signed, or by nobody we know, or not now, or for something else.
pub(crate) fn verify(verifier: &Verifier, head: &request::Parts) -> Result<BodyDigest, Error> {
    let mut headers = head.headers.get_all(&IDENTITY).iter();
    let header = match (headers.next(), headers.next()) {
        (Some(header), None) => header.to_str().ok(),
        (None, _) => {
            return Err(unauthenticated(
                "this listener takes signed calls only: give the client the server's keys (`Client::identity`; \
                 a server with `Server::identity` signs the calls of its handlers by itself), or call a listener \
                 for the outside world",
            ));
        }
        (Some(_), Some(_)) => None,
    };
    let path = head.uri.path();
    let signable = Signable {
        audience: service_of(path),
        verb: head.method.as_str(),
        target: head
            .uri
            .path_and_query()
            .map_or(path, |target| target.as_str()),
        headers: covered(&head.headers),
    };
    verifier.verify(&signable, header.unwrap_or_default())
}

/// The service of a path such as `/fibpro.v1.LogSink/RecvLog`.
fn service_of(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.rsplit_once('/').map_or("", |(service, _)| service)
}

/// The headers that a signature covers, sorted by name: whatever a server of ours believes, and what says how to read
/// the message.
fn covered(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    let mut covered: Vec<_> = headers
        .iter()
        .filter(|(name, _)| is_covered(name))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    // Stable, so that several values of one name keep their order.
    covered.sort_by_key(|header| header.0);
    covered
}

fn is_covered(name: &HeaderName) -> bool {
    let text = name.as_str();
    let context = [
        REQUEST_ID.as_str(),
        TRACEPARENT.as_str(),
        TRACESTATE.as_str(),
        BAGGAGE.as_str(),
    ];
    (text.starts_with("x-rpc-") && *name != IDENTITY)
        || text.starts_with("connect-")
        || context.contains(&text)
        || *name == CONTENT_TYPE
        || *name == CONTENT_ENCODING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_service() {
        for (path, service) in [
            ("/fibpro.v1.LogSink/RecvLog", "fibpro.v1.LogSink"),
            ("/a/b/c", "a/b"),
            ("/a", ""),
            ("", ""),
        ] {
            assert_eq!(service_of(path), service, "{path}");
        }
    }

    #[test]
    fn what_is_covered_is_sorted_and_keeps_the_order_of_one_name() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-rpc-source", "a@b/c"),
            ("x-tenant", "blue"),
            ("connect-timeout-ms", "5"),
            ("x-rpc-new", "2"),
            ("x-rpc-identity", "v1"),
            ("baggage", "a=1"),
            ("user-agent", "curl"),
            ("baggage", "a=0"),
            ("content-type", "application/json"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let names: Vec<_> = covered(&headers)
            .into_iter()
            .map(|(name, value)| format!("{name}:{}", String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(
            names,
            [
                "baggage:a=1",
                "baggage:a=0",
                "connect-timeout-ms:5",
                "content-type:application/json",
                "x-rpc-new:2",
                "x-rpc-source:a@b/c",
            ]
        );
    }
}
