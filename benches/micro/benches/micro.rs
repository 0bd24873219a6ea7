//! Benchmarks of the steps of a call.
//!
//! Private steps are measured through the nearest public entry: encoding through the support code
//! of the macro, the server side of HTTP through [`Server::into_router`], which excludes only the
//! socket.

use std::hint::black_box;
use std::time::UNIX_EPOCH;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bench_work::{EchoClient, EchoServer, Handlers, NAME, Record, records};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rpc_runtime::__private::{
    ArgumentCodec, ArgumentDescriptor, Arguments, MethodDescriptor, Slice, Str, argument,
};
use rpc_runtime::{Context, IdentityKeys, RequestId, Server, Trust};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::runtime::{Builder, Runtime};
use tower_service::Service as _;

/// Measures encoding of the arguments as JSON.
fn encode(c: &mut Criterion) {
    static NAMES: [ArgumentDescriptor; 1] = [ArgumentDescriptor::new("name", "&str")];
    static RECORDS: [ArgumentDescriptor; 1] = [ArgumentDescriptor::new("records", "&[Record]")];
    let method = |name, path| MethodDescriptor::new("bench.v1.Echo", name, name, path);
    let small = method("Greet", "/bench.v1.Echo/Greet").arguments(&NAMES);
    let large = method("LogBatch", "/bench.v1.Echo/LogBatch").arguments(&RECORDS);
    let name: (ArgumentCodec<Str>,) = (argument(),);
    let batch: (ArgumentCodec<Slice<Record>>,) = (argument(),);
    let records = records();

    let mut group = c.benchmark_group("encode");
    group.bench_function("small", |b| {
        b.iter(|| <(Str,)>::encode(&name, &small, (black_box(NAME),)));
    });
    group.bench_function("large", |b| {
        b.iter(|| <(Slice<Record>,)>::encode(&batch, &large, (black_box(&records),)));
    });
    group.finish();
}

/// Measures calls without a socket: both middleware stacks, JSON in both directions, observers on
/// both sides.
fn in_process(c: &mut Criterion) {
    let (runtime, client, records) = (runtime(), EchoClient::local(Handlers), records());
    let mut group = c.benchmark_group("in process");
    group.bench_function("small", |b| {
        b.iter(|| runtime.block_on(async { client.greet(black_box(NAME)).await.is_ok() }));
    });
    group.bench_function("large", |b| {
        b.iter(|| runtime.block_on(async { client.log_batch(black_box(&records)).await.is_ok() }));
    });
    group.bench_function("error", |b| {
        b.iter(|| runtime.block_on(async { client.refuse(black_box(NAME)).await.is_err() }));
    });
    group.finish();
}

/// Measures the server from a request read by hyper to the response. The large call is mostly
/// decoding.
fn server_half(c: &mut Criterion) {
    let runtime = runtime();
    let mut router = Server::new("echo")
        .trust(Trust::Internal)
        .add(EchoServer::new(Handlers))
        .into_router()
        .expect("one service");
    let mut respond = |method: &str, message: &Bytes| {
        let request = request(method, message)
            .body(Body::from(message.clone()))
            .expect("a request");
        runtime.block_on(async {
            let response = router.call(request).await.expect("infallible");
            let status = response.status();
            let body = to_bytes(response.into_body(), usize::MAX).await;
            (status, body.map_or(0, |body| body.len()))
        })
    };
    let small = Bytes::from(json!({ "name": NAME }).to_string());
    let large = Bytes::from(json!({ "records": records() }).to_string());
    assert_eq!(respond("Greet", &small).0, StatusCode::OK);
    assert_eq!(respond("LogBatch", &large).0, StatusCode::OK);
    assert_eq!(respond("Refuse", &small).0, StatusCode::NOT_FOUND);
    let mut group = c.benchmark_group("server half");
    group.bench_function("small", |b| b.iter(|| respond("Greet", &small)));
    group.bench_function("large", |b| b.iter(|| respond("LogBatch", &large)));
    group.bench_function("error", |b| b.iter(|| respond("Refuse", &small)));
    group.finish();
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Measures the server side of signed calls with and without verification. The difference is its
/// cost; signing in the client computes the same two hashes.
fn server_half_signed(c: &mut Criterion) {
    let runtime = runtime();
    let keys = IdentityKeys::parse(&format!("k1 {SECRET}")).expect("a key");
    let server = || {
        Server::new("echo")
            .trust(Trust::Internal)
            .add(EchoServer::new(Handlers))
    };
    let small = Bytes::from(json!({ "name": NAME }).to_string());
    let large = Bytes::from(json!({ "records": records() }).to_string());
    let mut nonce = 0;
    let mut group = c.benchmark_group("server half, signed");
    for (kind, server) in [("checked", server().identity(keys)), ("not", server())] {
        let mut router = server.into_router().expect("one service");
        let mut respond = |request: Request<Body>| {
            runtime.block_on(async {
                let response = router.call(request).await.expect("infallible");
                assert_eq!(response.status(), StatusCode::OK);
                to_bytes(response.into_body(), usize::MAX).await.is_ok()
            })
        };
        for (name, method, message) in [("small", "Greet", &small), ("large", "LogBatch", &large)] {
            let mut request = || {
                nonce += 1;
                signed(nonce, method, message)
            };
            group.bench_function(format!("{name}, {kind}"), |b| {
                b.iter_batched(&mut request, &mut respond, BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}

/// Returns a signed request, built from the documentation of the signature. Each is valid for one
/// call.
fn signed(nonce: u128, method: &str, message: &Bytes) -> Request<Body> {
    let now = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(message));
    let header = format!("v1.k1.{now}.{nonce:032x}.{digest}");
    let text = format!(
        "{header}\nbench.v1.Echo\n127.0.0.1\nPOST /bench.v1.Echo/{method}\nconnect-protocol-version:1\n\
         connect-timeout-ms:30000\ncontent-type:application/json\nx-request-id:3b9d41f8a0c2e576\n\
         x-rpc-hops:1\nx-rpc-source:controller@prod/127.0.0.1:9006\n"
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    let mac = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    request(method, message)
        .header("x-rpc-source", "controller@prod/127.0.0.1:9006")
        .header("x-rpc-identity", format!("{header}.{mac}"))
        .body(Body::from(message.clone()))
        .expect("a request")
}

/// Returns the head of a request as the framework's client sends it.
fn request(method: &str, message: &Bytes) -> axum::http::request::Builder {
    Request::post(format!("/bench.v1.Echo/{method}"))
        .header("host", "127.0.0.1:9001")
        .header("content-type", "application/json")
        .header("content-length", message.len())
        .header("connect-protocol-version", "1")
        .header("connect-timeout-ms", "30000")
        .header("x-request-id", "3b9d41f8a0c2e576")
        .header("x-rpc-hops", "1")
}

fn context(c: &mut Criterion) {
    let runtime = runtime();
    let context = Context::for_request(RequestId::random());
    let mut group = c.benchmark_group("context");
    group.bench_function("request", |b| {
        b.iter(|| Context::for_request(RequestId::random()));
    });
    group.bench_function("scope", |b| {
        b.iter(|| runtime.block_on(context.clone().scope(async { Context::current().hops() })));
    });
    group.bench_function("enter", |b| {
        b.iter(|| context.enter(|| Context::current().hops()));
    });
    group.finish();
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

criterion_group!(
    benches,
    encode,
    in_process,
    server_half,
    server_half_signed,
    context
);
criterion_main!(benches);
