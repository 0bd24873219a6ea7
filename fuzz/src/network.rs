//! Readers of the network.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::future::Future;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use rpc_runtime::axum::Router;
use rpc_runtime::axum::body::Body;
use rpc_runtime::faults::FaultPlan;
use rpc_runtime::fuzzing::{self, ServedConnection};
use rpc_runtime::prelude::*;
use rpc_runtime::{BigNum, IdentityKeys, Trust};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

const SECRET: &str = "fuzz pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=";

/// Methods with arguments of every kind, which do nothing.
#[rpc_service(package = "fuzz.v1")]
trait Fuzzed {
    #[rpc(no_side_effects)]
    async fn look(
        &self,
        name: &str,
        count: Option<u32>,
        #[rpc(default)] sizes: Vec<u64>,
    ) -> Result<u64>;
    async fn change(
        &self,
        id: u64,
        big: i128,
        bytes: &[u8],
        amount: f64,
        nested: &Nested,
    ) -> Result<Nested>;
    async fn any(
        &self,
        value: Value,
        map: BTreeMap<String, i64>,
        number: BigNum<i64>,
    ) -> Result<Value>;
    #[rpc(message)]
    async fn whole(&self, message: Nested) -> Result<Nested>;
    async fn once(&self, #[rpc(idempotency_key)] key: &str, flag: bool) -> Result<bool>;
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Nested {
    text: String,
    #[serde(default)]
    numbers: Vec<Option<i64>>,
    inner: Option<Box<Nested>>,
}

struct Silent;

impl Fuzzed for Silent {
    async fn look(&self, name: &str, count: Option<u32>, sizes: Vec<u64>) -> Result<u64> {
        let sizes = sizes.iter().fold(0, |sum, size| sum ^ size);
        Ok(sizes ^ u64::from(count.unwrap_or_default()) ^ name.len() as u64)
    }

    async fn change(&self, _: u64, _: i128, _: &[u8], _: f64, nested: &Nested) -> Result<Nested> {
        Ok(nested.clone())
    }

    async fn any(&self, value: Value, _: BTreeMap<String, i64>, _: BigNum<i64>) -> Result<Value> {
        Ok(value)
    }

    async fn whole(&self, message: Nested) -> Result<Nested> {
        Ok(message)
    }

    async fn once(&self, _: &str, flag: bool) -> Result<bool> {
        Ok(flag)
    }
}

fn server() -> Server {
    Server::new("fuzz")
        .without_observers()
        .allow_faults()
        .add(FuzzedServer::new(Silent))
}

/// State shared by all inputs, since making it anew for each would take most of the time.
struct Shared {
    runtime: Runtime,
    internal: Router,
    signed: Router,
    raw: ServedConnection,
}

/// Runs a future that uses the shared servers. Time is paused, so no timeout takes time.
fn run<F: Future>(start: impl FnOnce(&Shared) -> F) -> F::Output {
    thread_local! {
        static SHARED: OnceCell<Shared> = const { OnceCell::new() };
    }
    SHARED.with(|shared| {
        let shared = shared.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime without I/O");
            let _entered = runtime.enter();
            let keys = IdentityKeys::parse(SECRET).expect("a valid key");
            let router = |server: Server| server.into_router().expect("a valid server");
            Shared {
                internal: router(server().trust(Trust::Internal)),
                signed: router(server().trust(Trust::Internal).identity(keys)),
                raw: ServedConnection::new(server()).expect("a valid server"),
                runtime,
            }
        });
        shared.runtime.block_on(start(shared))
    })
}

/// Sends a request to a router and checks the response: it is complete, and never the server's
/// fault.
async fn ask(router: Router, request: Request<Body>) -> StatusCode {
    let sent = format!("{request:?}");
    let response = router.oneshot(request).await.expect("a router never fails");
    let (parts, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let Ok(body) = body else {
        // A fault that the request asked for.
        return parts.status;
    };
    if parts.status == StatusCode::INTERNAL_SERVER_ERROR {
        let error: Value = serde_json::from_slice(&body).expect("an error is JSON");
        // The plan of faults may ask for this code.
        assert!(sent.contains("x-rpc-fault"), "{sent}: {error}");
    }
    if parts
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value == "application/json")
        && !parts.headers.contains_key("content-encoding")
    {
        serde_json::from_slice::<Value>(&body).expect("a body is JSON");
    }
    parts.status
}

/// Sends bytes on a connection, which the server closes after some time. With a NUL at the end,
/// which is not sent, this side closes it. Returns the response.
fn talk(input: &[u8]) -> Vec<u8> {
    let (input, closes) = match input.strip_suffix(b"\0") {
        Some(input) => (input.to_vec(), true),
        None => (input.to_vec(), false),
    };
    run(|shared| {
        let (io, peer) = tokio::io::duplex(64 << 10);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let serving = shared.raw.serve(io, async {
            // A dropped sender is the end as well.
            let _ = ended.await;
        });
        let talking = async move {
            let (mut reader, mut writer) = tokio::io::split(peer);
            let sending = async {
                // The server may close the connection first.
                if writer.write_all(&input).await.is_ok() && closes {
                    let _ = writer.shutdown().await;
                }
            };
            let mut output = Vec::new();
            let receiving = reader.read_to_end(&mut output);
            let _ = tokio::join!(sending, receiving);
            drop(end);
            output
        };
        async move { tokio::join!(serving, talking).1 }
    })
}

/// Bytes as they come from a socket, up to the end of the connection.
pub(crate) fn connection(input: &[u8]) {
    let output = talk(input);
    if output.starts_with(b"HTTP/") {
        let status = output.get(9..12).expect("a status");
        assert!(status.iter().all(u8::is_ascii_digit));
        let is_faulty = output.starts_with(b"HTTP/1.1 500") && !contains(&output, b"fault");
        assert!(!is_faulty, "{}", String::from_utf8_lossy(&output));
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A request as lines: method and path, headers, an empty line, the body.
pub(crate) fn request(input: &[u8]) {
    let (head, body) = split(input, b"\n\n");
    let mut lines = head.split(|byte| *byte == b'\n');
    let (method, path) = split(lines.next().unwrap_or_default(), b" ");
    let Ok(method) = Method::from_bytes(method) else {
        return;
    };
    let mut request = Request::builder().method(method).uri(path);
    for line in lines {
        let (name, value) = split(line, b": ");
        request = request.header(name, value);
    }
    let Ok(mut request) = request.body(Body::from(body.to_vec())) else {
        return;
    };
    // Without a host a request is refused before anything else is read.
    let host = HeaderValue::from_static("fuzz");
    request.headers_mut().entry(HOST).or_insert(host);
    run(|shared| ask(shared.internal.clone(), request));
}

fn split<'i>(input: &'i [u8], separator: &[u8]) -> (&'i [u8], &'i [u8]) {
    let at = input
        .windows(separator.len())
        .position(|window| window == separator);
    at.map_or((input, &[]), |at| {
        (&input[..at], &input[at + separator.len()..])
    })
}

fn post(method: &str, body: &[u8]) -> Request<Body> {
    Request::post(format!("/fuzz.v1.Fuzzed/{method}"))
        .header(HOST, "fuzz")
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_vec()))
        .expect("a valid request")
}

/// The body of each method. The first byte selects gzip.
pub(crate) fn body(input: &[u8]) {
    for method in ["Look", "Change", "Any", "Whole", "Once"] {
        let mut request = post(method, input);
        if input.starts_with(&[0x1f, 0x8b]) {
            let gzip = HeaderValue::from_static("gzip");
            request.headers_mut().insert("content-encoding", gzip);
        }
        run(|shared| ask(shared.internal.clone(), request));
    }
}

/// The query of a `GET`.
pub(crate) fn get(input: &[u8]) {
    let uri = [b"/fuzz.v1.Fuzzed/Look?", input].concat();
    query(&uri);
}

fn query(uri: &[u8]) -> Option<StatusCode> {
    let request = Request::get(uri).header(HOST, "fuzz").body(Body::empty());
    let request = request.ok()?;
    Some(run(|shared| ask(shared.internal.clone(), request)))
}

/// Sends a valid call with one more header. Returns the status, if the header can be sent at all.
fn with_header(name: &'static str, value: &[u8], is_signed: bool) -> Option<StatusCode> {
    let mut request = post("Look", br#"{"name": "a"}"#);
    let value = HeaderValue::from_bytes(value).ok()?;
    request.headers_mut().insert(name, value);
    Some(run(|shared| {
        let router = if is_signed {
            &shared.signed
        } else {
            &shared.internal
        };
        ask(router.clone(), request)
    }))
}

/// A header of the PROXY protocol, and a list of addresses behind proxies.
pub(crate) fn proxy(input: &[u8]) {
    if let Ok(Some((_, length))) = fuzzing::read_proxy_header(input) {
        assert!(length <= input.len());
        // A header is not read before it is complete.
        assert_eq!(fuzzing::read_proxy_header(&input[..length - 1]), Ok(None));
    }
    if let Ok(value) = HeaderValue::from_bytes(input) {
        for name in ["forwarded", "x-forwarded-for"] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.clone());
            // A peer that is no proxy is the client.
            assert_eq!(fuzzing::client_behind("192.0.2.1", &headers), "192.0.2.1");
            let client = fuzzing::client_behind("10.0.0.1", &headers);
            assert!(client.parse::<std::net::IpAddr>().is_ok(), "{client}");
        }
    }
}

pub(crate) fn timeout(input: &[u8]) {
    if let Some(status) = with_header("connect-timeout-ms", input, false) {
        let known = [
            StatusCode::OK,
            StatusCode::BAD_REQUEST,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        assert!(known.contains(&status), "{status}");
    }
}

pub(crate) fn signature(input: &[u8]) {
    // No input has a valid signature of the present time.
    if let Some(status) = with_header("x-rpc-identity", input, true) {
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
}

/// The plan of `x-rpc-fault`.
pub(crate) fn faults(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match text.parse::<FaultPlan>() {
        Ok(plan) => {
            let again = plan.to_string().parse::<FaultPlan>();
            assert_eq!(
                again.expect("a plan is parsed again").to_string(),
                plan.to_string()
            );
        }
        Err(error) => crate::assert_printable(&error.to_string()),
    }
    with_header("x-rpc-fault", input, false);
}

/// A response as a client reads it. The first two bytes are the status, and lines of headers are
/// before the body.
pub(crate) fn response(input: &[u8]) {
    let (head, body) = split(input, b"\n\n");
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let Ok(status) = status.parse::<StatusCode>() else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = split(line, b": ");
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    read(status, headers, body);
}

/// The JSON of an error, with its details.
pub(crate) fn error_json(input: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    read(StatusCode::BAD_REQUEST, headers, input);
}

fn read(status: StatusCode, headers: HeaderMap, body: &[u8]) {
    let result = fuzzing::read_response(status, headers, Bytes::copy_from_slice(body), 1 << 20);
    assert!(status == StatusCode::OK || result.is_err());
    if let Err(error) = result {
        crate::assert_printable(&format!("{error} {error:#}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Targets whose inputs are all refused for the same reason would find nothing.
    #[test]
    fn valid_inputs_are_accepted() {
        let sent = |method, body: &[u8]| {
            let request = post(method, body);
            run(|shared| ask(shared.internal.clone(), request))
        };
        assert_eq!(
            sent("Look", include_bytes!("../corpus/body/look")),
            StatusCode::OK
        );
        assert_eq!(
            sent("Change", include_bytes!("../corpus/body/change")),
            StatusCode::OK
        );
        assert_eq!(
            sent("Any", include_bytes!("../corpus/body/any")),
            StatusCode::OK
        );
        assert_eq!(
            sent("Once", include_bytes!("../corpus/body/once")),
            StatusCode::OK
        );
        assert_eq!(
            with_header("connect-timeout-ms", b"1000", false),
            Some(StatusCode::OK)
        );
        assert_eq!(
            with_header("connect-timeout-ms", b"x", false),
            Some(StatusCode::BAD_REQUEST)
        );
        let fault = with_header("x-rpc-fault", b"fuzzed.look=aborted", false);
        assert_eq!(fault, Some(StatusCode::CONFLICT));
        let text = include_str!("../corpus/get/base64");
        let uri = format!("/fuzz.v1.Fuzzed/Look?{text}");
        assert_eq!(query(uri.as_bytes()), Some(StatusCode::OK));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from_static(include_bytes!("../corpus/error_json/details"));
        let error = fuzzing::read_response(StatusCode::BAD_REQUEST, headers, body, 1 << 20);
        assert_eq!(
            error.expect_err("an error").code(),
            Code::FailedPrecondition
        );
        let output = talk(include_bytes!("../corpus/connection/pipelined"));
        assert_eq!(
            String::from_utf8_lossy(&output)
                .matches("HTTP/1.1 200 OK")
                .count(),
            2
        );
        assert_eq!(
            fuzzing::read_segment(include_bytes!("../corpus/spool/two")).len(),
            2
        );
    }
}
