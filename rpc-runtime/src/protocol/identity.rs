//! Writes and verifies the signature header of a request.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::request;

use super::context::{self, BAGGAGE, REQUEST_ID, TRACEPARENT, TRACESTATE};
use super::{QUOTED, authority, metadata, printable};
use crate::descriptor::MethodDescriptor;
use crate::error::Error;
use crate::identity::{self, BodyDigest, IdentityKeys, SignableRequest, Verifier, unauthenticated};
use crate::metadata::{Metadata, is_reserved};

static IDENTITY: HeaderName = HeaderName::from_static("x-rpc-identity");

/// The names of the application's headers that the signature covers, separated by commas. It is
/// covered itself, so that none is lost or added on the way.
static SIGNED_HEADERS: HeaderName = HeaderName::from_static("x-rpc-signed-headers");

/// Signs a request to `host`, a value of the `Host` header, with all of its headers that have a
/// meaning for its server. Must be called after they are set.
pub(crate) fn sign(
    keys: &IdentityKeys,
    method: &MethodDescriptor,
    host: &HeaderValue,
    request: &mut http::Request<Bytes>,
) {
    // Not the path of the request, because a server mounted under a prefix does not see the prefix.
    let target = match request.uri().query() {
        None => Cow::Borrowed(method.path),
        Some(query) => Cow::Owned(format!("{}?{query}", method.path)),
    };
    let host = host.to_str().unwrap_or_default();
    sign_parts(keys, method.service, host, &target, request);
}

/// Signs a request with these parts; see `docs/request-signature.md`.
pub(super) fn sign_parts(
    keys: &IdentityKeys,
    audience: &str,
    host: &str,
    target: &str,
    request: &mut http::Request<Bytes>,
) {
    name_signed_headers(request.headers_mut());
    let signable = SignableRequest {
        audience,
        host: &name_of(host),
        verb: request.method().as_str(),
        target,
        headers: covered(request.headers()),
    };
    let header = identity::sign(keys, &signable, request.body());
    match HeaderValue::try_from(header) {
        Ok(header) => {
            request.headers_mut().insert(IDENTITY.clone(), header);
        }
        // The value consists of a key ID, digits and base64, which are valid in a header.
        Err(error) => {
            tracing::error!(target: "rpc", %error, "internal error: failed to sign a call; it is sent unsigned");
        }
    }
}

/// Names the application's headers of a request, so that its signature covers them.
fn name_signed_headers(headers: &mut HeaderMap) {
    let names = headers.keys().map(HeaderName::as_str);
    let mut names: Vec<_> = names.filter(|name| !is_reserved(name)).collect();
    if names.is_empty() {
        return;
    }
    names.sort_unstable();
    // Names of headers are valid values.
    if let Ok(names) = HeaderValue::try_from(names.join(",")) {
        headers.insert(SIGNED_HEADERS.clone(), names);
    }
}

/// Returns whether a signature covers a header of the application.
fn is_signed_header(headers: &HeaderMap, name: &str) -> bool {
    let lists = headers.get_all(&SIGNED_HEADERS).iter();
    let mut names = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    names.any(|signed| signed.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

/// Reads the metadata of a signed request: the headers of the application that the signature
/// covers. Others may have been added on the way.
pub(crate) fn signed_metadata(headers: &HeaderMap) -> Metadata {
    if !headers.contains_key(&SIGNED_HEADERS) {
        return Metadata::new();
    }
    metadata::read_some(headers, |name| is_signed_header(headers, name))
}

/// Returns whether a request has a signature, valid or not.
pub(crate) fn is_signed(head: &request::Parts) -> bool {
    head.headers.contains_key(&IDENTITY)
}

/// Verifies the signature of a request and returns the digest that its body must have. `is_own`
/// tells whether a host is one of this server.
///
/// # Errors
///
/// `unauthenticated` if the request is not signed, if its key, time, or signed parts do not match,
/// or if it was signed for another host.
pub(crate) fn verify(
    verifier: &Verifier,
    head: &request::Parts,
    is_own: impl FnOnce(&str) -> bool,
) -> Result<BodyDigest, Error> {
    let mut headers = head.headers.get_all(&IDENTITY).iter();
    let header = match (headers.next(), headers.next()) {
        (Some(header), None) => header.to_str().ok(),
        (None, _) => {
            return Err(unauthenticated(
                "this listener accepts only signed calls: set the server's identity keys with `Client::identity` \
                 (handlers of a server with `Server::identity` sign their calls), or call an edge listener",
            ));
        }
        (Some(_), Some(_)) => None,
    };
    let host = name_of(received_host(head));
    let digest = verifier.verify(&signable(head, &host), header.unwrap_or_default())?;
    if is_own(authority::host_of(&host).unwrap_or_default()) {
        return Ok(digest);
    }
    Err(unauthenticated(format!(
        "the call was signed for the host `{}`, which is not a name of this server: call its address, or add the name \
         with `--host-name` (`Server::host`)",
        printable(host.as_bytes(), QUOTED)
    )))
}

/// Returns the host to which a request was sent, with its port. Empty if it is not known.
fn received_host(head: &request::Parts) -> &str {
    // HTTP/2 has it in the URI. With two headers it is not known which one a proxy has used.
    let host = || context::one(&head.headers, &HOST);
    let target = head.uri.authority().map(http::uri::Authority::as_str);
    target.or_else(host).unwrap_or_default()
}

/// Returns the host of an authority in lower case and without the port, as it is signed.
fn name_of(authority: &str) -> Cow<'_, str> {
    let end = match authority::host_of(authority) {
        // The brackets of IPv6 are kept.
        Some(host) if authority.starts_with('[') => host.len() + 2,
        Some(host) => host.len(),
        None => authority.len(),
    };
    let name = &authority[..end];
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Returns the signed parts of a received request.
fn signable<'a>(head: &'a request::Parts, host: &'a str) -> SignableRequest<'a> {
    let path = head.uri.path();
    SignableRequest {
        audience: service_of(path),
        host,
        verb: head.method.as_str(),
        target: head
            .uri
            .path_and_query()
            .map_or(path, |target| target.as_str()),
        headers: covered(&head.headers),
    }
}

/// Returns the service of a path such as `/fibpro.v1.LogSink/RecvLog`.
pub(super) fn service_of(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.rsplit_once('/').map_or("", |(service, _)| service)
}

/// Returns the headers that a signature covers, sorted by name: the headers of the context, those
/// that determine how the message is read, and those of the application that the request names.
fn covered(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    let names_some = headers.contains_key(&SIGNED_HEADERS);
    let is_named = |name: &HeaderName| names_some && is_signed_header(headers, name.as_str());
    let mut covered: Vec<_> = headers
        .iter()
        .filter(|(name, _)| is_covered(name) || (**name != IDENTITY && is_named(name)))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    // A stable sort keeps the order of several values of one name.
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
    use std::path::Path;

    use serde::Deserialize;

    use super::*;

    /// A request of `docs/signature/vectors.json`.
    #[derive(Deserialize)]
    struct Vector {
        name: String,
        key: String,
        secret: String,
        time: u64,
        nonce: String,
        host: String,
        method: String,
        target: String,
        headers: Vec<(String, String)>,
        body: String,
        #[serde(rename = "x-rpc-identity")]
        header: String,
    }

    #[test]
    fn the_published_vectors_are_valid() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let file = std::fs::read(root.join("docs/signature/vectors.json")).unwrap();
        let vectors: Vec<Vector> = serde_json::from_slice(&file).unwrap();
        assert!(vectors.len() >= 7);
        for vector in vectors {
            let mut request = http::Request::builder()
                .method(&*vector.method)
                .uri(&*vector.target)
                .header(HOST, &*vector.host);
            for (name, value) in &vector.headers {
                request = request.header(name, value);
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            let keys = format!("{} {}", vector.key, vector.secret);
            let keys = IdentityKeys::parse(&keys).unwrap();
            let nonce = u128::from_str_radix(&vector.nonce, 16).unwrap();
            let body = vector.body.as_bytes();
            let host = name_of(received_host(&head));
            let signable = signable(&head, &host);
            let header = identity::sign_at(&keys, &signable, body, vector.time, nonce);
            assert_eq!(header, vector.header, "{}", vector.name);
            let verifier = Verifier::new(keys);
            let digest = verifier.verify_at(&signable, &vector.header, vector.time);
            digest.unwrap().check(body).unwrap();
        }
    }

    #[test]
    fn the_host_is_signed_without_its_port() {
        for (authority, name) in [
            ("10.0.0.7:9002", "10.0.0.7"),
            ("Pricing.Test", "pricing.test"),
            ("PRICING:80", "pricing"),
            ("[::1]:9002", "[::1]"),
            ("[::1]", "[::1]"),
            ("a:b:c", "a:b:c"),
            ("", ""),
        ] {
            assert_eq!(name_of(authority), name, "{authority}");
        }
    }

    #[test]
    fn a_path_contains_its_service() {
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
    fn headers_of_the_application_are_covered_by_name() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-tenant", "red"),
            ("x-rpc-source", "a@b/c"),
            ("authorization", "a"),
            ("x-tenant", "blue"),
            ("user-agent", "rpc"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        name_signed_headers(&mut headers);
        assert_eq!(headers[&SIGNED_HEADERS], "authorization,x-tenant");
        // A proxy adds one.
        headers.append("x-forwarded-for", HeaderValue::from_static("1.2.3.4"));
        let names: Vec<_> = covered(&headers).iter().map(|header| header.0).collect();
        assert_eq!(
            names,
            [
                "authorization",
                "x-rpc-signed-headers",
                "x-rpc-source",
                "x-tenant",
                "x-tenant"
            ]
        );
        let metadata = signed_metadata(&headers);
        let names: Vec<_> = metadata.iter().map(|entry| entry.0).collect();
        assert_eq!(names, ["x-tenant", "x-tenant", "authorization"]);
        // Foreign clients may write the list in their own way.
        let list = HeaderValue::from_static("X-Forwarded-For , cookie");
        headers.insert(SIGNED_HEADERS.clone(), list);
        assert_eq!(signed_metadata(&headers).len(), 1);
        headers.remove(&SIGNED_HEADERS);
        assert!(signed_metadata(&headers).is_empty());
        assert_eq!(covered(&headers).len(), 1);
    }

    #[test]
    fn covered_headers_are_sorted_by_name() {
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
