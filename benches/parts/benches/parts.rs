//! The parts of a call, each by itself.
//!
//! What is private in the runtime is measured through the nearest door: encoding by way of the expansion's, the
//! server's half of HTTP by way of [`Server::into_router`], which is everything behind the socket.

use std::hint::black_box;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use bench_work::{EchoClient, EchoServer, Handlers, NAME, Record, records};
use criterion::{Criterion, criterion_group, criterion_main};
use rpc_runtime::__private::{
    ArgumentDescriptor, Arguments, Codec, MethodDescriptor, Slice, Str, argument,
};
use rpc_runtime::{Context, RequestId, Server, Trust};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tower_service::Service as _;

/// The arguments of the small call and of the large one, as JSON.
fn encode(c: &mut Criterion) {
    static NAMES: [ArgumentDescriptor; 1] = [ArgumentDescriptor::new("name", "&str")];
    static RECORDS: [ArgumentDescriptor; 1] = [ArgumentDescriptor::new("records", "&[Record]")];
    let method = |name, path| MethodDescriptor::new("bench.v1.Echo", name, name, path);
    let small = method("Greet", "/bench.v1.Echo/Greet").arguments(&NAMES);
    let large = method("LogBatch", "/bench.v1.Echo/LogBatch").arguments(&RECORDS);
    let name: (Codec<Str>,) = (argument(),);
    let batch: (Codec<Slice<Record>>,) = (argument(),);
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

/// Whole calls without a socket: both onions, the JSON both ways, the observation on both sides.
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

/// What a server does with a request that hyper has read, until hyper writes the answer. The large call is almost
/// all decoding.
fn server_half(c: &mut Criterion) {
    let runtime = runtime();
    let mut router = Server::new("echo")
        .trust(Trust::Internal)
        .add(EchoServer::new(Handlers))
        .into_router()
        .expect("one service");
    let mut answer = |method: &str, message: &Bytes| {
        let request = Request::post(format!("/bench.v1.Echo/{method}"))
            .header("host", "127.0.0.1:9001")
            .header("content-type", "application/json")
            .header("connect-protocol-version", "1")
            .header("connect-timeout-ms", "30000")
            .header("x-request-id", "3b9d41f8a0c2e576")
            .header("x-rpc-hops", "1")
            .body(Body::from(message.clone()))
            .expect("a request");
        runtime.block_on(async {
            let answer = router.call(request).await.expect("infallible");
            let status = answer.status();
            let body = to_bytes(answer.into_body(), usize::MAX).await;
            (status, body.map_or(0, |body| body.len()))
        })
    };
    let small = Bytes::from(json!({ "name": NAME }).to_string());
    let large = Bytes::from(json!({ "records": records() }).to_string());
    assert_eq!(answer("Greet", &small).0, StatusCode::OK);
    assert_eq!(answer("LogBatch", &large).0, StatusCode::OK);
    assert_eq!(answer("Refuse", &small).0, StatusCode::NOT_FOUND);
    let mut group = c.benchmark_group("server half");
    group.bench_function("small", |b| b.iter(|| answer("Greet", &small)));
    group.bench_function("large", |b| b.iter(|| answer("LogBatch", &large)));
    group.bench_function("error", |b| b.iter(|| answer("Refuse", &small)));
    group.finish();
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

criterion_group!(parts, encode, in_process, server_half, context);
criterion_main!(parts);
