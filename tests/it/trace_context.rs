//! W3C trace context through services.

use rpc_runtime::context::TraceContext;
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with};

#[rpc_service(package = "traces.v1")]
trait Hop {
    /// Returns the traces of this service and of those after it.
    #[rpc(idempotent)]
    async fn traces(&self) -> Result<Vec<String>>;
}

struct Node(Option<HopClient>);

impl Hop for Node {
    async fn traces(&self) -> Result<Vec<String>> {
        let context = Context::current();
        let trace = context.trace();
        let own = trace.map_or("-".to_owned(), |trace| {
            format!("{trace} {}", trace.state().unwrap_or("-"))
        });
        let mut traces = vec![own];
        if let Some(next) = &self.0 {
            traces.extend(next.traces().await?);
        }
        Ok(traces)
    }
}

const PATH: &str = "/traces.v1.Hop/Traces";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn start(next: Option<&Running>) -> Running {
    let next = next.map(|next| HopClient::connect(&next.url()).unwrap());
    Running::start(Server::new("node").add(HopServer::new(Node(next)))).await
}

fn parse(seen: &str) -> TraceContext {
    let (parent, state) = seen.split_once(' ').unwrap();
    TraceContext::parse(parent, Some(state)).unwrap()
}

#[tokio::test]
async fn a_trace_passes_three_services() {
    let third = start(None).await;
    let second = start(Some(&third)).await;
    let first = start(Some(&second)).await;
    let client = HopClient::connect(&first.url()).unwrap();
    let foreign = TraceContext::parse(PARENT, Some("a=b")).unwrap();
    for trace in [
        TraceContext::start(true),
        TraceContext::start(false),
        foreign,
    ] {
        let context = Context::current().with_trace(trace.clone());
        let seen = context
            .scope(async { client.traces().await })
            .await
            .unwrap();
        let mut spans = vec![trace.parent_id()];
        for seen in &seen {
            let seen = parse(seen);
            assert_eq!(seen.trace_id(), trace.trace_id());
            assert_eq!(seen.sampled(), trace.sampled());
            assert_eq!(seen.state(), trace.state());
            spans.push(seen.parent_id());
        }
        spans.sort_unstable();
        spans.dedup();
        assert_eq!(spans.len(), 4, "each call has a span ID of its own");
    }
}

#[tokio::test]
async fn a_handler_replaces_the_trace_of_its_calls() {
    struct Joins(HopClient);
    impl Hop for Joins {
        async fn traces(&self) -> Result<Vec<String>> {
            let trace = TraceContext::start(false);
            let given = Context::current().with_trace(trace.clone());
            let mut seen = given.scope(async { self.0.traces().await }).await?;
            seen.push(trace.to_string());
            Ok(seen)
        }
    }
    let last = start(None).await;
    let client = HopClient::connect(&last.url()).unwrap();
    let first = Running::start(Server::new("joins").add(HopServer::new(Joins(client)))).await;
    let mut raw = Raw::connect(first.address()).await;
    let request = post_with(PATH, &[("Traceparent", PARENT)], "{}");
    let (_, seen) = raw.ask(request).await.value();
    let (seen, given) = (seen[0].as_str().unwrap(), seen[1].as_str().unwrap());
    assert_eq!(seen[..36], given[..36]);
    assert!(seen.contains("-02 "), "not sampled: {seen}");
}

#[tokio::test]
async fn an_invalid_trace_is_left_out() {
    let running = start(None).await;
    let mut raw = Raw::connect(running.address()).await;
    let upper = PARENT.to_uppercase();
    let long = format!("{PARENT}{}", "0".repeat(8000));
    let rows: [(&[&str], &[&str], &str); 12] = [
        (&[PARENT], &["a=b"], "00-… a=b"),
        (&[PARENT], &["a=b", "c=d"], "00-… a=b,c=d"),
        (&[PARENT], &["a\u{e9}=b"], "00-… -"),
        (&[PARENT], &["no members"], "00-… -"),
        (
            &["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later"],
            &[],
            "00-… -",
        ),
        (
            &["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            &[],
            "-",
        ),
        (
            &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            &["a=b"],
            "-",
        ),
        (
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            &[],
            "-",
        ),
        (&[&upper], &[], "-"),
        (&[&long], &[], "-"),
        (&[""], &["a=b"], "-"),
        (&[PARENT, PARENT], &[], "-"),
    ];
    for (parents, states, expected) in rows {
        let parents = parents.iter().map(|parent| ("Traceparent", *parent));
        let states = states.iter().map(|state| ("Tracestate", *state));
        let headers: Vec<_> = parents.chain(states).collect();
        let response = raw.ask(post_with(PATH, &headers, "{}")).await;
        let expected = expected.replace("00-…", PARENT);
        assert_eq!(response.value(), (200, serde_json::json!([expected])));
    }
}
