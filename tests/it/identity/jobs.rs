use rpc_runtime::{Principal, RequestId, Source};
use tokio::sync::mpsc;

use super::*;

type Seen = Result<Vec<String>>;

/// Returns what the vault sees of two calls, in the context that `context` makes.
async fn two_calls(vault: &VaultClient, context: impl Fn() -> Context) -> (Seen, Seen) {
    let calls = async {
        let first = vault.open("left").await.map_err(Error::from);
        (first, vault.open("right").await.map_err(Error::from))
    };
    context().scope(calls).await
}

fn job() -> Context {
    let context = Context::for_request(RequestId::random());
    context.with_principal(Principal::new("nightly")).unwrap()
}

fn check((first, second): (Seen, Seen), server: &str) {
    let (first, second) = (first.unwrap(), second.unwrap());
    for seen in [&first, &second] {
        assert!(seen[1].starts_with(server), "{seen:?}");
    }
    // One request.
    assert_eq!(first[2], second[2]);
}

#[tokio::test]
async fn a_job_in_a_task_has_the_keys_of_its_server() {
    let running = Running::start(vault()).await;
    let vault = VaultClient::connect(&running.url()).unwrap();
    let (sender, mut results) = mpsc::unbounded_channel();
    let server = Server::new("sweeper").identity(keys());
    let server = server.task("sweep", move |_| {
        let (vault, sender) = (vault.clone(), sender.clone());
        async move {
            let calls = two_calls(&vault, job).await;
            let context = job();
            let name = context.server().map(Source::server).map(str::to_owned);
            let stops = context.shutdown().is_requested();
            let _ = sender.send((calls, name, context.flags().is_some(), stops));
        }
    });
    let sweeper = Running::start(server).await;
    let (calls, name, has_flags, stops) = results.recv().await.unwrap();
    check(calls, "sweeper@");
    assert_eq!(name.as_deref(), Some("sweeper"));
    assert!(has_flags && !stops);
    sweeper.stop().await;
}

/// A handler whose call is a request of its own.
struct Starter(VaultClient);

impl Porter for Starter {
    async fn fetch(&self, _door: &str) -> Result<Vec<String>> {
        let (first, second) = two_calls(&self.0, job).await;
        let (first, second) = (first?, second?);
        assert_eq!(first[2], second[2]);
        assert_ne!(first[2], Context::current().request_id());
        Ok(first)
    }
}

#[tokio::test]
async fn a_request_of_a_handler_has_its_keys() {
    let running = Running::start(vault()).await;
    let vault = VaultClient::connect(&running.url()).unwrap();
    let porter = Server::new("porter").add(PorterServer::new(Starter(vault)));
    let porter = Running::start(porter.identity(keys())).await;
    let client = client(&porter).named("caller").unwrap().identity(keys());
    let seen = PorterClient::with_client(client).fetch("x").await.unwrap();
    assert!(seen[1].starts_with("porter@"), "{seen:?}");
}

/// Without a server there are no keys, and the error says what to set.
#[tokio::test]
async fn a_job_without_a_server_needs_keys() {
    let running = Running::start(vault()).await;
    let vault = VaultClient::connect(&running.url()).unwrap();
    let (error, _) = two_calls(&vault, job).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    assert!(error.message().contains("Client::identity"), "{error}");
    let client = client(&running).named("job").unwrap().identity(keys());
    check(
        two_calls(&VaultClient::with_client(client), job).await,
        "job@",
    );
}
