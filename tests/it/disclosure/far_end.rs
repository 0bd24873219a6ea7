use std::sync::Arc;

use rpc_runtime::error::Detail;
use rpc_runtime::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The mark of all secrets.
pub(super) const MARK: &str = "canary";

#[derive(Debug, Clone, thiserror::Error, RpcError)]
pub(super) enum VaultError {
    #[error("{door} is locked with {code}")]
    #[rpc(code = "unauthenticated")]
    Locked { door: String, code: String },
    #[error("no canary-text for a variant without fields")]
    #[rpc(code = "permission_denied", reason = "CANARY_REASON")]
    Closed,
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

/// An enum that holds the errors of a vault as its own.
#[derive(Debug, Clone, thiserror::Error, RpcError)]
pub(super) enum DeskError {
    #[error("{0}")]
    #[rpc(from)]
    Vault(VaultError),
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "hidden.v1")]
pub(super) trait Vault {
    async fn open(&self, fault: &str) -> Result<u32>;
    async fn open_typed(&self, fault: &str) -> Result<u32, VaultError>;
    async fn open_own(&self, fault: &str) -> Result<u32, DeskError>;
    async fn open_keyed(
        &self,
        #[rpc(idempotency_key(shared))] key: &str,
        fault: &str,
    ) -> Result<u32>;
    #[rpc(detached)]
    async fn open_detached(&self, fault: &str) -> Result<u32>;
}

/// Errors of the service at the far end, by name. Those with a code: with each of the codes.
pub(super) const FAULTS: [&str; 10] = [
    "locked",
    "closed",
    "panic",
    "rich unavailable",
    "rich unauthenticated",
    "rich not_found",
    "rich resource_exhausted",
    "rich internal",
    "headers canceled",
    "headers deadline_exceeded",
];

/// The service at the far end.
pub(super) struct Far;

impl Far {
    fn fail(fault: &str) -> VaultError {
        let code = |name: &str| name.parse::<Code>().unwrap();
        match fault.split_once(' ').unwrap_or((fault, "")) {
            ("locked", _) => VaultError::Locked {
                door: "canary-door".to_owned(),
                code: "canary-code".to_owned(),
            },
            ("closed", _) => VaultError::Closed,
            ("panic", _) => panic!("canary-panic"),
            ("rich", name) => Error::new(code(name), "canary-message")
                .public()
                .with_reason("CANARY_REASON")
                .with_violation("canary-field", "canary-description")
                .with_detail(Detail::new("canary.Type", b"canary-detail".to_vec()))
                .with_metadata("set-cookie", "session=canary-cookie")
                .with_metadata("www-authenticate", "Basic realm=canary")
                .with_metadata("x-canary-token", "canary-token")
                .with_metadata_bin("x-token-bin", b"canary-bytes")
                .with_source(std::io::Error::other("canary-source"))
                .into(),
            (_, name) => {
                let response = Context::current();
                let response = response.response();
                response.header("x-auth", "canary-header").unwrap();
                response.trailer("x-cost", "canary-trailer").unwrap();
                Error::new(code(name), "canary-message").into()
            }
        }
    }
}

impl Vault for Far {
    async fn open(&self, fault: &str) -> Result<u32> {
        if fault == "fine" {
            return Ok(7);
        }
        Err(Self::fail(fault).into_error())
    }

    async fn open_typed(&self, fault: &str) -> Result<u32, VaultError> {
        Err(Self::fail(fault))
    }

    async fn open_own(&self, fault: &str) -> Result<u32, DeskError> {
        Err(DeskError::Vault(Self::fail(fault)))
    }

    async fn open_keyed(&self, _: &str, fault: &str) -> Result<u32> {
        Err(Self::fail(fault).into_error())
    }

    async fn open_detached(&self, fault: &str) -> Result<u32> {
        Err(Self::fail(fault).into_error())
    }
}

/// Responses that are not those of a service of ours: status line, headers and body.
pub(super) const PAGES: [(&str, &str, &str); 16] = [
    ("401 Canary", COOKIES, "<h1>canary-page</h1>"),
    (
        "502 Bad Gateway",
        "content-type: text/html\r\n",
        "canary-page",
    ),
    (
        "503 x",
        "content-type: text/plain\r\nretry-after: 0\r\n",
        "canary-page",
    ),
    ("504 x", "server: canary-proxy\r\n", "canary-page"),
    ("429 x", "content-type: text/html\r\n", "canary-page"),
    ("302 x", "location: http://canary.example/login\r\n", ""),
    ("200 OK", "content-type: text/html\r\n", "canary-page"),
    (
        "200 OK",
        "content-type: application/canary\r\n",
        "canary-page",
    ),
    // Not the value of the method.
    ("200 OK", JSON, r#"{"result":"canary-value"}"#),
    ("200 OK", JSON, r#"{"canary-key":1"#),
    ("200 OK", JSON_GZIP, "canary, which is not gzip"),
    // Errors of other implementations.
    (
        "403 x",
        JSON,
        r#"{"code":"permission_denied","message":"canary-message"}"#,
    ),
    (
        "418 x",
        JSON,
        r#"{"code":"canary","message":"canary-message"}"#,
    ),
    ("404 x", JSON, r#"{"error":"canary-message"}"#),
    (
        "500 x",
        JSON,
        r#"{"code":"unavailable","message":"canary","details":[{"type":"google.rpc.DebugInfo","value":"Y2FuYXJ5"},{"type":"google.rpc.RequestInfo","value":"CgZjYW5hcnk"}]}"#,
    ),
    ("canary", "", ""),
];

const COOKIES: &str = "content-type: text/html\r\nset-cookie: canary=1\r\nwww-authenticate: Basic realm=canary\r\nx-request-id: canary\r\n";
const JSON: &str = "content-type: application/json\r\nx-auth: canary-header\r\n";
const JSON_GZIP: &str = "content-type: application/json\r\ncontent-encoding: gzip\r\n";

/// Starts a server that responds with the page whose number is in the request. Returns its URL.
pub(super) async fn start_pages() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(respond(stream));
        }
    });
    url
}

/// Reads one request, and responds to it.
async fn respond(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\"}") {
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return;
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    let (_, number) = text.rsplit_once("page ").unwrap();
    let number: usize = number.trim_end_matches("\"}").parse().unwrap();
    let (status, headers, body) = PAGES[number];
    let response = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may have given up.
    let _ = stream.write_all(response.as_bytes()).await;
}

/// All faults: of the service, pages, and a server that is not there.
pub(super) fn all_faults() -> Vec<Arc<str>> {
    let pages = (0..PAGES.len()).map(|number| format!("page {number}").into());
    let faults = FAULTS.into_iter().map(Arc::from);
    faults.chain(pages).chain(["absent".into()]).collect()
}
