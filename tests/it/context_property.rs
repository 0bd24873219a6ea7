//! Request IDs never leak into another request. 1,000 requests at a time fail, panic, are
//! canceled, spawn tasks and make calls in random interleavings. Their log lines and outgoing
//! calls carry the id of the request, or none where they left its context.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use proptest::collection::vec;
use proptest::prelude::*;
use rpc_runtime::middleware::{BoxFuture, Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RequestId};
use rpc_tests::Running;
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tracing::field::Visit;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context as SubscriberContext, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// A step of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Step {
    Yield,
    Log,
    CallOn,
    Join,
    SpawnWith,
    SpawnWithout,
    SpawnBlocking,
    Fail,
    Panic,
}

#[rpc_service]
trait Front {
    async fn work(&self, who: &str, steps: &[Step]) -> Result<()>;
}

#[rpc_service]
trait Back {
    async fn note(&self, who: &str) -> Result<()>;
}

/// Observations: the request that did the work, and the id that was current.
#[derive(Clone, Default)]
struct Observations(Arc<Mutex<Vec<(String, String)>>>);

impl Observations {
    fn log(&self, who: &str) {
        self.note(who, Context::current().request_id());
        // The id in the log as well: `LogLines` takes it from the spans around the event.
        tracing::info!(target: "property", who);
    }

    fn note(&self, who: &str, id: &str) {
        self.0.lock().unwrap().push((who.to_owned(), id.to_owned()));
    }
}

struct LogOnDrop<'a>(&'a Observations, &'a str);

impl Drop for LogOnDrop<'_> {
    fn drop(&mut self) {
        self.0.log(self.1);
    }
}

struct Works {
    seen: Observations,
    back: BackClient,
}

impl Front for Works {
    async fn work(&self, who: &str, steps: &[Step]) -> Result<()> {
        let _guard = LogOnDrop(&self.seen, who);
        for step in steps {
            match step {
                Step::Yield => tokio::task::yield_now().await,
                Step::Log => self.seen.log(who),
                Step::CallOn => self.back.note(who).await?,
                Step::Join => {
                    let (a, b) = tokio::join!(self.back.note(who), self.back.note(who));
                    a.and(b)?;
                }
                Step::SpawnWith => {
                    let (seen, back, who) = (self.seen.clone(), self.back.clone(), who.to_owned());
                    drop(rpc_runtime::spawn(async move {
                        tokio::task::yield_now().await;
                        seen.log(&who);
                        back.note(&who).await
                    }));
                }
                Step::SpawnWithout => {
                    // Outside of the scope: no id in the log, and a fresh one for the call.
                    let (seen, call) = (self.seen.clone(), self.back.note("unscoped"));
                    drop(call);
                    let back = self.back.clone();
                    drop(tokio::spawn(async move {
                        tokio::task::yield_now().await;
                        seen.log("unscoped");
                        back.note("unscoped").await
                    }));
                }
                Step::SpawnBlocking => {
                    let (seen, who) = (self.seen.clone(), who.to_owned());
                    drop(rpc_runtime::spawn_blocking(move || seen.log(&who)));
                }
                Step::Fail => fail!(Code::NotFound, "on purpose"),
                Step::Panic => panic!("on purpose"),
            }
        }
        Ok(())
    }
}

struct Notes(Observations);

impl Back for Notes {
    async fn note(&self, who: &str) -> Result<()> {
        self.0.log(who);
        Ok(())
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Yield),
        6 => Just(Step::Log),
        4 => Just(Step::CallOn),
        2 => Just(Step::Join),
        2 => Just(Step::SpawnWith),
        1 => Just(Step::SpawnWithout),
        1 => Just(Step::SpawnBlocking),
        1 => Just(Step::Fail),
        1 => Just(Step::Panic),
    ]
}

/// A request: the steps of its handler, and the number of polls after which its caller disconnects.
fn request() -> impl Strategy<Value = (Vec<Step>, Option<u8>)> {
    (
        vec(step(), 0..10),
        proptest::option::weighted(0.3, 0_u8..20),
    )
}

/// The connection between the two services, and the values that keep them alive.
struct FrontAndBack {
    front: FrontClient,
    _running: Vec<Running>,
}

async fn start(seen: &Observations, sockets: bool) -> FrontAndBack {
    let outgoing = seen.clone();
    // Observes every outgoing call in a layer.
    let watch = move |request: Request, next: Next| -> BoxFuture<Response> {
        let body = request.body().as_message().unwrap();
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        outgoing.note(
            body["who"].as_str().unwrap(),
            request.context().request_id(),
        );
        next.run(request)
    };
    let mut running = Vec::new();
    let mut client_of = async |server: Server| -> Client {
        if sockets {
            running.push(Running::start(server).await);
            Client::new(&running.last().unwrap().url()).unwrap()
        } else {
            server.into_local_client().unwrap()
        }
    };
    let back = Server::new("back").add(BackServer::new(Notes(seen.clone())));
    let back = BackClient::with_client(client_of(back).await.layer(watch));
    let works = Works {
        seen: seen.clone(),
        back,
    };
    let front = client_of(Server::new("front").add(FrontServer::new(works))).await;
    FrontAndBack {
        front: FrontClient::with_client(front),
        _running: running,
    }
}

/// Returns the observations of the requests and of their log lines.
async fn run(requests: Vec<(Vec<Step>, Option<u8>)>, sockets: bool) -> Vec<(String, String)> {
    let lines = LogLines::install();
    let seen = Observations::default();
    let FrontAndBack { front, _running } = start(&seen, sockets).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (index, (steps, goes_away)) in requests.into_iter().enumerate() {
        let id = format!("request-{index}");
        let context = Context::for_request(RequestId::parse(&id).unwrap());
        let call = context.enter(|| front.work(&id, &steps));
        tasks.spawn(async move {
            let disconnect = async {
                match goes_away {
                    Some(polls) => {
                        for _ in 0..polls {
                            tokio::task::yield_now().await;
                        }
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = call => {}
                () = disconnect => {}
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let mut all = seen.0.lock().unwrap().clone();
    all.append(&mut lines.0.lock().unwrap());
    all
}

/// The log lines: the message of each, and the id of its span.
#[derive(Clone, Default)]
struct LogLines(Arc<Mutex<Vec<(String, String)>>>);

impl LogLines {
    /// Installs the only subscriber of this process; the properties run one at a time.
    fn install() -> &'static Self {
        static LINES: OnceLock<LogLines> = OnceLock::new();
        LINES.get_or_init(|| {
            let lines = Self::default();
            let only_ours = Targets::new()
                .with_target("property", tracing::Level::INFO)
                .with_target("rpc", tracing::Level::INFO);
            let subscriber =
                tracing_subscriber::registry().with(lines.clone().with_filter(only_ours));
            tracing::subscriber::set_global_default(subscriber)
                .expect("no other test installs one");
            lines
        })
    }
}

/// A field of an event or a span, as text.
struct Field<'f>(&'f str, Option<String>);

impl Visit for Field<'_> {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if field.name() == self.0 {
            self.1 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}

struct SpanId(String);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for LogLines {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::Id,
        context: SubscriberContext<'_, S>,
    ) {
        let mut field = Field("request_id", None);
        attributes.record(&mut field);
        if let (Some(id), Some(span)) = (field.1, context.span(id)) {
            span.extensions_mut().insert(SpanId(id));
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: SubscriberContext<'_, S>) {
        let mut field = Field("who", None);
        event.record(&mut field);
        let Some(who) = field.1 else { return };
        let innermost = context.lookup_current().and_then(|span| {
            span.scope()
                .find_map(|span| span.extensions().get::<SpanId>().map(|id| id.0.clone()))
        });
        self.0
            .lock()
            .unwrap()
            .push((who, innermost.unwrap_or_else(|| "-".to_owned())));
    }
}

fn check(requests: usize, seen: &[(String, String)]) -> Result<(), TestCaseError> {
    let mut fresh = BTreeMap::new();
    for (who, id) in seen {
        if who != "unscoped" {
            prop_assert_eq!(who, id, "the id of another request");
        } else if id != "-" {
            prop_assert!(
                !id.starts_with("request-"),
                "work outside of any request was seen with {}",
                id
            );
            *fresh.entry(id).or_insert(0) += 1;
        }
    }
    // A call outside of any request has a separate id, which is the same when sent, in its handler
    // and in the log.
    prop_assert!(
        fresh.values().all(|sightings| *sightings <= 3),
        "two calls share an id: {:?}",
        fresh
    );
    let own: BTreeSet<_> = seen
        .iter()
        .filter(|(who, _)| who != "unscoped")
        .map(|(who, _)| who)
        .collect();
    prop_assert!(
        own.len() > requests / 2,
        "only {} of {} requests were seen at all",
        own.len(),
        requests
    );
    prop_assert!(!fresh.is_empty(), "no call was made outside of a request");
    Ok(())
}

/// Serializes the properties, since the log is global to the process.
static TURN: Mutex<()> = Mutex::new(());

fn property(
    runtime: &mut Builder,
    requests: Vec<(Vec<Step>, Option<u8>)>,
    sockets: bool,
) -> Result<(), TestCaseError> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = requests.len();
    let runtime = runtime.enable_all().build().unwrap();
    let seen = runtime.block_on(run(requests, sockets));
    // Tasks that were never awaited end here, so that the next property does not observe them.
    drop(runtime);
    LogLines::install().0.lock().unwrap().clear();
    check(count, &seen)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_thousand_requests_on_one_thread_keep_their_ids(requests in vec(request(), 1000)) {
        property(&mut Builder::new_current_thread(), requests, false)?;
    }

    #[test]
    fn a_thousand_requests_on_four_threads_keep_their_ids(requests in vec(request(), 1000)) {
        property(Builder::new_multi_thread().worker_threads(4), requests, false)?;
    }

    // Fewer, since each uses connections.
    #[test]
    fn requests_over_sockets_keep_their_ids(requests in vec(request(), 100)) {
        property(Builder::new_multi_thread().worker_threads(2), requests, true)?;
    }
}
