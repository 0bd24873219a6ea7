//! The original's worst bug was a request id that leaked into the next request. Here 1,000 requests at a time fail,
//! panic, are cancelled, spawn and call on in random interleavings, and whatever they log and whatever they call
//! carries their own id, or none where they gave the context up.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use rpc_runtime::middleware::{BoxFuture, Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, RequestId};
use serde::{Deserialize, Serialize};

/// What a handler does next.
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

/// What was seen: whose work it was, and the id that it was seen with.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, String)>>>);

impl Seen {
    fn log(&self, who: &str) {
        // What a log line would carry: the ambient id.
        self.note(who, Context::current().request_id());
    }

    fn note(&self, who: &str, id: &str) {
        self.0.lock().unwrap().push((who.to_owned(), id.to_owned()));
    }
}

struct OnDrop<'a>(&'a Seen, &'a str);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.log(self.1);
    }
}

struct Works {
    seen: Seen,
    back: BackClient,
}

impl Front for Works {
    async fn work(&self, who: &str, steps: &[Step]) -> Result<()> {
        let _guard = OnDrop(&self.seen, who);
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
                    // Outside the scope: no id in the log, and a fresh one on the call.
                    let (seen, call) = (self.seen.clone(), self.back.note("nobody"));
                    drop(call);
                    let back = self.back.clone();
                    drop(tokio::spawn(async move {
                        tokio::task::yield_now().await;
                        seen.log("nobody");
                        back.note("nobody").await
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

struct Notes(Seen);

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

/// A request: what its handler does, and after how many polls of others its caller goes away.
fn request() -> impl Strategy<Value = (Vec<Step>, Option<u8>)> {
    (
        vec(step(), 0..10),
        proptest::option::weighted(0.3, 0_u8..20),
    )
}

async fn run(requests: Vec<(Vec<Step>, Option<u8>)>) -> Vec<(String, String)> {
    let seen = Seen::default();
    let outgoing = seen.clone();
    // Every outgoing call, as a layer sees it.
    let watch = move |request: Request, next: Next| -> BoxFuture<Response> {
        let body: serde_json::Value =
            serde_json::from_slice(request.body().as_message().unwrap()).unwrap();
        outgoing.note(
            body["who"].as_str().unwrap(),
            request.context().request_id(),
        );
        next.run(request)
    };
    let back = Server::new("back")
        .without_observers()
        .add(BackServer::new(Notes(seen.clone())));
    let back = BackClient::with_client(
        back.into_local_client()
            .unwrap()
            .without_observers()
            .layer(watch),
    );
    let works = Works {
        seen: seen.clone(),
        back,
    };
    let front: Client = Server::new("front")
        .without_observers()
        .add(FrontServer::new(works))
        .into_local_client()
        .unwrap();
    let front = FrontClient::with_client(front.without_observers());
    let mut tasks = tokio::task::JoinSet::new();
    for (index, (steps, goes_away)) in requests.into_iter().enumerate() {
        let id = format!("request-{index}");
        let context = Context::for_request(RequestId::parse(&id).unwrap());
        let call = context.enter(|| front.work(&id, &steps));
        tasks.spawn(async move {
            let patience = async {
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
                () = patience => {}
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    Arc::try_unwrap(std::mem::take(&mut { seen }.0)).map_or_else(
        |seen| seen.lock().unwrap().clone(),
        |seen| seen.into_inner().unwrap(),
    )
}

fn check(seen: &[(String, String)]) -> Result<(), TestCaseError> {
    let mut nobody = BTreeSet::new();
    for (who, id) in seen {
        if who == "nobody" {
            prop_assert!(
                !id.starts_with("request-"),
                "work outside of any request was seen with {id}"
            );
            nobody.insert(id);
        } else {
            prop_assert_eq!(who, id, "somebody else's id");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_thousand_requests_on_one_thread_keep_their_ids(requests in vec(request(), 1000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        check(&runtime.block_on(run(requests)))?;
    }

    #[test]
    fn a_thousand_requests_on_four_threads_keep_their_ids(requests in vec(request(), 1000)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        check(&runtime.block_on(run(requests)))?;
    }
}
