//! A collector that keeps the spans that it receives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A span with its attributes as texts, and the name of its service.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) service: String,
    pub(crate) span: Span,
    attributes: HashMap<String, String>,
}

impl Received {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Returns whether the status is an error.
    pub(crate) fn has_failed(&self) -> bool {
        self.span
            .status
            .as_ref()
            .is_some_and(|status| status.code == 2)
    }

    pub(crate) fn is_child_of(&self, parent: &Self) -> bool {
        self.span.parent_span_id == parent.span.span_id
            && self.span.trace_id == parent.span.trace_id
    }
}

#[derive(Default)]
struct State {
    spans: Vec<Received>,
    /// The heads of the requests, in lower case.
    heads: Vec<String>,
    /// The statuses of the next responses; 200 after them.
    statuses: Vec<u16>,
}

pub(crate) struct Collector {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Collector {
    /// Starts a collector that responds with these statuses, and then with 200.
    pub(crate) async fn start(statuses: &[u16]) -> Self {
        Self::listen("http", statuses, None).await
    }

    /// Starts a collector that serves TLS.
    pub(crate) async fn start_tls(tls: TlsAcceptor) -> Self {
        Self::listen("https", &[], Some(tls)).await
    }

    async fn listen(scheme: &str, statuses: &[u16], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            statuses: statuses.iter().rev().copied().collect(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve_all(stream, &state).await,
                        Some(tls) => serve_all(tls.accept(stream).await?, &state).await,
                    }
                    Ok::<_, std::io::Error>(())
                });
            }
        });
        Self { url, state }
    }

    pub(crate) fn spans(&self) -> Vec<Received> {
        self.state.lock().unwrap().spans.clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.heads().len()
    }

    /// Returns the heads of the requests, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }

    /// Returns the first span of this kind and name, once there is one.
    pub(crate) async fn span(&self, kind: i32, method: &str) -> Received {
        let find = || {
            let mut spans = self.spans().into_iter();
            spans.find(|it| it.span.kind == kind && it.span.name == method)
        };
        rpc_tests::wait::until(async || find().is_some()).await;
        find().unwrap()
    }
}

async fn serve_all(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &Mutex<State>) {
    while serve(&mut stream, state).await.is_some() {}
}

/// Serves one request; `None` at the end of the connection.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    state: &Mutex<State>,
) -> Option<()> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
        let read = stream.read_buf(&mut bytes).await.ok()?;
        (read > 0).then_some(())?;
    };
    let text = String::from_utf8(bytes[..head].to_vec())
        .unwrap()
        .to_lowercase();
    assert!(text.starts_with("post /v1/traces http/1.1"), "{text}");
    assert!(
        text.contains("content-type: application/x-protobuf"),
        "{text}"
    );
    let length = text.split_once("content-length: ").unwrap().1;
    let length: usize = length.split_once('\r').unwrap().0.parse().unwrap();
    let mut body = bytes.split_off(head);
    while body.len() < length {
        let read = stream.read_buf(&mut body).await.ok()?;
        (read > 0).then_some(())?;
    }
    let status = {
        let mut state = state.lock().unwrap();
        state.heads.push(text);
        let status = state.statuses.pop().unwrap_or(200);
        if status == 200 {
            state.spans.extend(spans(&body));
        }
        status
    };
    let response = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(response.as_bytes()).await.ok()?;
    stream.flush().await.ok()
}

fn spans(body: &[u8]) -> Vec<Received> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = texts(&of_resource.resource.unwrap().attributes);
        for span in of_resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
        {
            spans.push(Received {
                service: resource["service.name"].clone(),
                attributes: texts(&span.attributes),
                span,
            });
        }
    }
    spans
}

fn texts(attributes: &[KeyValue]) -> HashMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    };
    let pairs = attributes.iter();
    pairs
        .filter_map(|it| Some((it.key.clone(), text(it)?)))
        .collect()
}
