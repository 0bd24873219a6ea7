//! The table of ADR 52: each event, for each kind of method, over each transport.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_runtime::middleware::{BoxFuture, Layer, Next, Request, Response};
use rpc_runtime::observe::{CallEnd, CallStart, Observer};
use rpc_runtime::prelude::*;
use rpc_runtime::testing::Faults;
use rpc_runtime::{Client, RetryPolicy};
use rpc_tests::Running;
use rpc_tests::http2::{Action, Http2Peer};

use super::shop::{
    DEAD, Event, MESSAGE_LIMIT, Replica, Shared, ShopClient, gateway, losing_server, quick,
};

/// The server to which a call is sent again.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Again {
    Never,
    Here,
    Elsewhere,
}

/// The key at the server of the first attempt, after the call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Key {
    /// A repeat there gets the result.
    Kept,
    /// A repeat there runs.
    Free,
    /// There is no such server.
    NoServer,
}

use Again::{Elsewhere, Here, Never};
use Key::{Free, Kept, NoServer};

const NOT_EXECUTED: [Again; 4] = [Elsewhere, Elsewhere, Elsewhere, Elsewhere];
const QUOTA: [Again; 4] = [Never, Elsewhere, Elsewhere, Elsewhere];
const RESULT: [Again; 4] = [Never, Elsewhere, Elsewhere, Never];
const UNKNOWN: [Again; 4] = [Never, Elsewhere, Elsewhere, Here];
const FINAL: [Again; 4] = [Never; 4];

/// Columns: no annotation, `idempotent`, `no_side_effects`, with an idempotency key; then the key.
const TABLE: &[(Event, [Again; 4], Key)] = &[
    // Never sent, or refused below the protocol.
    (Event::NoConnection, NOT_EXECUTED, NoServer),
    (Event::GoAway, NOT_EXECUTED, NoServer),
    (Event::RefusedStream, NOT_EXECUTED, NoServer),
    // Refused by a layer before the handler. See `refusals` for those of the framework.
    (Event::Refused(Code::Unavailable), NOT_EXECUTED, Free),
    (Event::Refused(Code::ResourceExhausted), QUOTA, Free),
    (Event::Refused(Code::PermissionDenied), FINAL, Free),
    (Event::Refused(Code::InvalidArgument), FINAL, Free),
    // The handler, or a dependency of it, did nothing.
    (Event::HandlerDidNothing, NOT_EXECUTED, Free),
    (Event::DependencyNotReached, NOT_EXECUTED, Free),
    (Event::LayerNotReached, NOT_EXECUTED, Free),
    // A layer fails; nothing is known of what it did.
    (Event::LayerFailed(Code::Unavailable), UNKNOWN, Kept),
    (Event::LayerLost, UNKNOWN, Kept),
    // The handler has begun.
    (Event::HandlerFailed(Code::Unavailable), RESULT, Kept),
    (Event::HandlerFailed(Code::ResourceExhausted), RESULT, Kept),
    (Event::HandlerFailed(Code::Internal), FINAL, Kept),
    (Event::DependencyLost, RESULT, Kept),
    (Event::EffectThenNotReached, RESULT, Kept),
    (Event::ResponseLost, UNKNOWN, Kept),
    (Event::TooLarge, FINAL, Kept),
    (Event::Deadline, FINAL, Kept),
    // Responses that are not of the server.
    (Event::Page(502), UNKNOWN, Kept),
    (Event::Page(503), UNKNOWN, Kept),
    (Event::Page(504), UNKNOWN, Kept),
    (Event::Page(429), UNKNOWN, Kept),
    (Event::PageWithHeaders, UNKNOWN, Kept),
    (Event::PageInstead, UNKNOWN, Kept),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Wire {
    Http1,
    Http2,
    InProcess,
}

impl Wire {
    fn has(self, event: Event) -> bool {
        match event {
            Event::GoAway | Event::RefusedStream => self == Self::Http2,
            Event::NoConnection
            | Event::TooLarge
            | Event::Page(_)
            | Event::PageWithHeaders
            | Event::PageInstead => self != Self::InProcess,
            _ => true,
        }
    }

    fn client(self, client: Client) -> Client {
        let client = client.without_outlier_detection().retry(quick());
        match self {
            Self::Http2 => client.http2(),
            _ => client,
        }
    }
}

/// Records the target of each attempt.
#[derive(Clone, Default)]
struct Targets(Arc<Mutex<Vec<String>>>);

impl Observer for Targets {
    fn attempt_ended(&self, attempt: &CallStart, _: &CallEnd<'_>) {
        let target = attempt.target.as_deref().unwrap_or_default();
        self.0.lock().unwrap().push(target.to_owned());
    }
}

/// In process, loses the response of the first attempt.
struct LosesFirst(Arc<Shared>, Faults);

impl Layer for LosesFirst {
    fn call(&self, request: Request, next: Next) -> BoxFuture<Response> {
        match self.0.take(|event| event == Event::ResponseLost) {
            Some(_) => self.1.call(request, next),
            None => next.run(request),
        }
    }
}

/// The servers of one cell.
struct Cell {
    shared: Arc<Shared>,
    /// Calls of the client under test go here. The last server is never the first to be called.
    client: Client,
    targets: Targets,
    /// The target of each replica, and a client that calls it directly.
    replicas: Vec<(String, ShopClient)>,
    _running: Vec<Running>,
    _peer: Option<Http2Peer>,
}

impl Cell {
    async fn start(event: Event, wire: Wire) -> Self {
        let (shared, targets) = (Shared::new(event), Targets::default());
        let lost = losing_server().await;
        if wire == Wire::InProcess {
            let client = Replica::server(&shared, &lost).into_local_client().unwrap();
            let direct = ShopClient::with_client(client.clone().retry(RetryPolicy::off()));
            let faults = Faults::seeded(1).drop_response(1.0);
            let loses = LosesFirst(Arc::clone(&shared), faults);
            return Self {
                client: wire.client(client).attempt_layer(loses),
                targets,
                replicas: vec![("local".to_owned(), direct)],
                shared,
                _running: Vec::new(),
                _peer: None,
            };
        }
        let (mut running, mut replicas) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let replica = Running::start(Replica::server(&shared, &lost)).await;
            let front = gateway(&shared, &replica).await;
            let direct = Client::new(&replica.url()).unwrap();
            let direct = ShopClient::with_client(direct.retry(RetryPolicy::off()));
            replicas.push((front.url(), direct));
            running.extend([replica, front]);
        }
        let mut urls: Vec<_> = replicas.iter().map(|(url, _)| url.clone()).collect();
        let mut peer = None;
        let action = match event {
            Event::GoAway => Some(Action::GoAway {
                last: Some(0),
                code: 0,
            }),
            Event::RefusedStream => Some(Action::Reset(7)),
            _ => None,
        };
        if let Some(action) = action {
            let started = Http2Peer::start(100, move |_| action.clone()).await;
            urls[0] = started.url();
            peer = Some(started);
        } else if event == Event::NoConnection {
            DEAD.clone_into(&mut urls[0]);
        }
        Self {
            shared,
            client: wire.client(Client::from_urls(urls).unwrap()),
            targets,
            replicas,
            _running: running,
            _peer: peer,
        }
    }

    /// Makes the call, and returns the targets of its attempts and the outcome.
    async fn call(&self, method: usize, timeout: Option<Duration>) -> (Vec<String>, String) {
        let client = self.client.clone().observer(self.targets.clone());
        let shop = ShopClient::with_client(client.message_limit(MESSAGE_LIMIT));
        let call = call(&shop, method);
        let outcome = match timeout {
            Some(timeout) => call.timeout(timeout).await,
            None => call.await,
        };
        let targets = std::mem::take(&mut *self.targets.0.lock().unwrap());
        (targets, format!("{outcome:?}"))
    }

    /// Returns what became of the key at the server of the first attempt, by a repeat there.
    async fn key(&self, first: &str) -> Key {
        let Some((_, direct)) = self.replicas.iter().find(|(url, _)| url == first) else {
            return NoServer;
        };
        // Lets the handler end that waits for the deadline.
        self.shared.go.add_permits(1);
        let before = self.shared.effects();
        let repeat = direct.pay("k").with_response().await;
        let ran = self.shared.effects() > before;
        if let Ok(reply) = &repeat {
            let replayed = reply.headers.get("idempotent-replayed").is_some();
            assert_eq!(replayed, !ran, "{first}");
        }
        if ran { Free } else { Kept }
    }
}

fn call(shop: &ShopClient, method: usize) -> Call<String> {
    match method {
        0 => shop.sell("k"),
        1 => shop.set("k"),
        2 => shop.look("k"),
        _ => shop.pay("k"),
    }
}

/// Returns the place of the second attempt.
fn again(targets: &[String]) -> Again {
    match targets {
        [first, second, ..] if first == second => Here,
        [_, _, ..] => Elsewhere,
        _ => Never,
    }
}

async fn check(wire: Wire, event: Event, method: usize, due: Again, key: Key) {
    let cell = format!("{wire:?}, {event:?}, method {method}");
    let mut timeout = (event == Event::Deadline).then_some(Duration::from_millis(200));
    // The client draws the first address. Repeated until it is the one with the event.
    let (servers, targets, outcome) = loop {
        let servers = Cell::start(event, wire).await;
        let (targets, outcome) = servers.call(method, timeout).await;
        let is_other = key == NoServer && targets.len() == 1 && due != Never;
        // On a slow machine the deadline may pass before the handler begins.
        timeout = timeout.map(|timeout| timeout * 4);
        let is_early = timeout.is_some() && servers.shared.take(|_| true).is_some();
        if !is_other && !is_early {
            break (servers, targets, outcome);
        }
    };
    let due = match (wire, due) {
        // There is one address.
        (Wire::InProcess, Elsewhere) => Here,
        _ => due,
    };
    assert_eq!(again(&targets), due, "{cell}: {targets:?}: {outcome}");
    let effects = servers.shared.effects();
    if matches!(method, 0 | 3) {
        assert!(effects <= 1, "{cell}: {effects} effects");
    }
    // In process a repeat that follows a retry finds the result of the retry.
    let retried_here = wire == Wire::InProcess && due == Here;
    if method == 3 && !(retried_here && key == Free) {
        assert_eq!(servers.key(&targets[0]).await, key, "{cell}");
    }
}

#[tokio::test]
async fn each_event_for_each_method_and_transport() {
    let mut cells = 0;
    for wire in [Wire::Http1, Wire::Http2, Wire::InProcess] {
        for (event, due, key) in TABLE.iter().filter(|row| wire.has(row.0)) {
            for (method, due) in due.iter().enumerate() {
                check(wire, *event, method, *due, *key).await;
                cells += 1;
            }
        }
    }
    assert!(cells > 200, "{cells} cells");
}
