//! Layers of a server, a service and a method: what they stand around, what they hand on, and how
//! they fail.

use std::sync::{Arc, Mutex};

use rpc_runtime::middleware::{BoxFuture, Layer, Next, Request, Response};
use rpc_runtime::prelude::*;
use rpc_runtime::{Client, InvalidMetadata, RequestId};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};
use tokio::sync::Semaphore;

/// A tenant that a layer finds.
#[derive(Debug, Clone, PartialEq)]
struct Tenant(String);

/// Tenant of the extension, tenant of the baggage, and request ID.
type Seen = (Option<String>, Option<String>, String);

#[rpc_service(package = "layers.v1")]
trait Shop {
    async fn plain(&self, ctx: &Context) -> Result<Seen>;
    #[rpc(detached)]
    async fn detached(&self, ctx: &Context) -> Result<Seen>;
    async fn keyed(&self, ctx: &Context, #[rpc(idempotency_key)] key: &str) -> Result<Seen>;
}

#[rpc_service(package = "layers.v1")]
trait Stock {
    async fn left(&self) -> Result<u32>;
    async fn seen(&self) -> Result<Seen>;
}

/// A shop, with or without a store that it asks.
struct Corner(Option<StockClient>);

impl Corner {
    async fn look(&self, ctx: &Context) -> Result<Seen> {
        let seen = seen();
        assert_eq!(
            ctx.extension::<Tenant>().map(|tenant| tenant.0.clone()),
            seen.0
        );
        assert_eq!(ctx.baggage().get("tenant").map(str::to_owned), seen.1);
        assert_eq!(ctx.request_id(), seen.2);
        match &self.0 {
            None => Ok(seen),
            Some(stock) => Ok(stock.seen().await?),
        }
    }
}

fn seen() -> Seen {
    let context = Context::current();
    (
        context.extension::<Tenant>().map(|tenant| tenant.0.clone()),
        context.baggage().get("tenant").map(str::to_owned),
        context.request_id().to_owned(),
    )
}

impl Shop for Corner {
    async fn plain(&self, ctx: &Context) -> Result<Seen> {
        self.look(ctx).await
    }

    async fn detached(&self, ctx: &Context) -> Result<Seen> {
        self.look(ctx).await
    }

    async fn keyed(&self, ctx: &Context, _: &str) -> Result<Seen> {
        self.look(ctx).await
    }
}

struct Shelf;

impl Stock for Shelf {
    async fn left(&self) -> Result<u32> {
        Ok(7)
    }

    async fn seen(&self) -> Result<Seen> {
        Ok(seen())
    }
}

/// Notes each call that passes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn named(&self, name: &'static str) -> Named {
        Named(name, self.clone())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

struct Named(&'static str, Log);

impl Layer for Named {
    fn call(&self, request: Request, next: Next) -> BoxFuture<Response> {
        let method = request.method().short_name();
        self.1
            .0
            .lock()
            .unwrap()
            .push(format!("{} {method}", self.0));
        next.run(request)
    }
}

async fn tenant(mut request: Request, next: Next) -> Result<Response> {
    request.insert_extension(Tenant("green".to_owned()));
    let context = request.context().with_baggage("tenant", "blue")?;
    request.set_context(context);
    request.insert_extension(Tenant("blue".to_owned()));
    Ok(next.run(request).await)
}

async fn closed(_: Request, _: Next) -> Result<Response> {
    fail!(Code::Unauthenticated, "log in first");
}

fn server(shop: impl rpc_runtime::Service) -> Server {
    Server::new("shop").add(shop)
}

async fn all(client: &ShopClient) -> [Seen; 3] {
    [
        client.plain().await.unwrap(),
        client.detached().await.unwrap(),
        client.keyed("once").await.unwrap(),
    ]
}

#[tokio::test]
async fn a_layer_stands_around_its_service_or_method() {
    let log = Log::default();
    let shop = ShopServer::new(Corner(None))
        .layer(log.named("service"))
        .method_layer("Plain", log.named("plain"))
        .layer(log.named("inner"))
        .method_layer("layers.v1.Shop/Keyed", log.named("keyed"));
    let server = server(shop)
        .add(StockServer::new(Shelf))
        .layer(log.named("server"));
    let client = server.into_local_client().unwrap();
    let shop = ShopClient::with_client(client.clone());
    let expect = |calls: &[&str]| assert_eq!(log.take(), calls);
    shop.plain().await.unwrap();
    let plain = ["server", "service", "plain", "inner"];
    expect(
        &plain
            .map(|name| format!("{name} Shop.Plain"))
            .each_ref()
            .map(String::as_str),
    );
    shop.keyed("a").await.unwrap();
    let keyed = ["server", "service", "inner", "keyed"];
    expect(
        &keyed
            .map(|name| format!("{name} Shop.Keyed"))
            .each_ref()
            .map(String::as_str),
    );
    StockClient::with_client(client).left().await.unwrap();
    expect(&["server Stock.Left"]);
}

#[tokio::test]
async fn a_layer_of_an_unknown_method_fails_the_start() {
    let shop = || ShopServer::new(Corner(None));
    let descriptor = rpc_runtime::registry::services()
        .find(|service| service.full_name == "layers.v1.Stock")
        .unwrap();
    let left = &descriptor.methods[0];
    for (shop, text) in [
        (
            shop().method_layer("Plane", closed),
            "did you mean layers.v1.Shop/Plain?",
        ),
        (
            shop().method_layer("plain", closed),
            "did you mean layers.v1.Shop/Plain?",
        ),
        (
            shop().method_layer("", closed),
            "unknown method layers.v1.Shop/;",
        ),
        (
            shop().method_layer("layers.v1.Stock/Left", closed),
            "layers.v1.Stock/Left",
        ),
        (shop().method_layer(left, closed), "layers.v1.Stock/Left"),
    ] {
        let server = server(shop).add(StockServer::new(Shelf));
        let error = server.into_local_client().unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains(text), "{error}");
        assert!(
            error
                .message()
                .starts_with("a layer of the service layers.v1.Shop names"),
            "{error}"
        );
    }
    let known = StockServer::new(Shelf).method_layer(left, closed);
    let client = Server::new("stock").add(known).into_local_client().unwrap();
    let error = StockClient::with_client(client).left().await.unwrap_err();
    assert_eq!(error.message(), "log in first");
}

/// Monitors know no password.
#[tokio::test]
async fn built_in_methods_stay_outside_unless_asked() {
    let shop = || ShopServer::new(Corner(None));
    let ping = "/layers.v1.Shop/Ping";
    let status = "/rpc.v1.Status/Get";
    let flags = "/rpc.v1.Flags/List";
    for (server, open, shut) in [
        (
            server(shop()).layer(closed),
            &[ping, status, flags][..],
            &[][..],
        ),
        (server(shop().layer(closed)), &[ping, status, flags], &[]),
        (
            server(shop()).layer_with_builtin(closed),
            &[],
            &[ping, status, flags],
        ),
        (
            server(shop().method_layer("Ping", closed)),
            &[status, flags],
            &[ping],
        ),
    ] {
        let running = Running::start(server).await;
        let mut raw = Raw::connect(running.address()).await;
        for (paths, expected) in [(open, 200), (shut, 401)] {
            for path in paths {
                let status = raw.ask(post(path, "{}")).await.value().0;
                assert_eq!(status, expected, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn every_kind_of_method_has_what_a_layer_sets() {
    let running = Running::start(server(ShopServer::new(Corner(None)).layer(tenant))).await;
    let client = ShopClient::connect(&running.url()).unwrap();
    for seen in all(&client).await {
        let blue = Some("blue".to_owned());
        assert_eq!((seen.0, seen.1), (blue.clone(), blue));
    }
    // Without the layer there is nothing.
    let client = ShopClient::local(Corner(None));
    for seen in all(&client).await {
        assert_eq!((seen.0, seen.1), (None, None));
    }
}

#[tokio::test]
async fn another_service_has_the_baggage_and_no_extension() {
    let over_network = Running::start(Server::new("stock").add(StockServer::new(Shelf))).await;
    for stock in [
        StockClient::connect(&over_network.url()).unwrap(),
        StockClient::local(Shelf),
    ] {
        let shop = ShopServer::new(Corner(Some(stock)));
        let client = server(shop).layer(tenant).into_local_client().unwrap();
        for seen in all(&ShopClient::with_client(client)).await {
            assert_eq!((seen.0, seen.1), (None, Some("blue".to_owned())));
        }
    }
}

/// A context of another request does not change who calls, nor the end of the call.
#[tokio::test]
async fn a_foreign_context_joins_the_call() {
    async fn renamed(mut request: Request, next: Next) -> Response {
        let id = RequestId::parse("renamed").unwrap();
        let call = request.context().clone();
        let foreign = Context::for_request(id).with_extension(Tenant("blue".to_owned()));
        request.set_context(foreign);
        let own = request.context();
        assert_eq!(
            own.method().map(|method| method.path),
            call.method().map(|method| method.path)
        );
        assert_eq!((own.deadline(), own.hops()), (call.deadline(), call.hops()));
        assert_eq!(
            own.source().map(ToString::to_string),
            call.source().map(ToString::to_string)
        );
        assert!(own.server().is_some());
        next.run(request).await
    }
    async fn emptied(mut request: Request, next: Next) -> Response {
        let id = request.context().request_id().to_owned();
        request.set_context(Context::default());
        assert_eq!(request.context().request_id(), id);
        next.run(request).await
    }
    let shop = ShopServer::new(Corner(None)).layer(renamed).layer(emptied);
    let running = Running::start(server(shop)).await;
    let client = ShopClient::connect(&running.url()).unwrap();
    for seen in all(&client).await {
        assert_eq!(seen, (Some("blue".to_owned()), None, "renamed".to_owned()));
    }
}

/// Closes a semaphore when it is dropped.
struct Closes(Arc<Semaphore>);

impl Drop for Closes {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The handler of a call with a new context does not begin after the call was refused either.
#[tokio::test]
async fn a_refused_call_with_a_new_context_never_begins() {
    let (go, done) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let runs = Arc::new(Mutex::new(Vec::new()));
    let (gate, ended, inner) = (Arc::clone(&go), Arc::clone(&done), Arc::clone(&runs));
    let held = move |mut request: Request, next: Next| {
        let (gate, ended, runs) = (
            Arc::clone(&gate),
            Closes(Arc::clone(&ended)),
            Arc::clone(&inner),
        );
        async move {
            request.set_context(Context::for_request(RequestId::random()));
            let task = tokio::spawn(async move {
                let _ = gate.acquire().await;
                let code = next.run(request).await.error().map(Error::code);
                runs.lock().unwrap().push(code);
                drop(ended);
            });
            task.await.unwrap();
            Response::from(Error::new(Code::Internal, "unreachable"))
        }
    };
    // The deadline of the server, which has refused the call when its caller knows.
    let mut limits = rpc_runtime::Limits::default();
    limits.deadline_cap = std::time::Duration::from_secs(1);
    limits.default_deadline = limits.deadline_cap;
    let shop = server(ShopServer::new(Corner(None)).layer(held));
    let running = Running::start(shop.limits(limits)).await;
    let client = ShopClient::connect(&running.url()).unwrap();
    let error = client.plain().await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    go.add_permits(1);
    // Closed when the layer's task ends, in whatever way.
    assert!(done.acquire().await.is_err());
    assert_eq!(*runs.lock().unwrap(), [Some(Code::Canceled)]);
}

#[tokio::test]
async fn a_layer_may_use_the_question_mark() {
    fn fails(with: &str) -> Result<(), InvalidMetadata> {
        rpc_runtime::Metadata::new().append(with.to_owned(), "x")
    }
    let stock = StockClient::with_client(
        Server::new("stock")
            .add(StockServer::new(Shelf).layer(closed))
            .into_local_client()
            .unwrap(),
    );
    let layer = move |request: Request, next: Next| {
        let stock = stock.clone();
        async move {
            let header = request.metadata().get("x-fail").map(str::to_owned);
            match header.as_deref() {
                Some("dependency") => drop(stock.left().await?),
                Some(name) => fails(name)?,
                None => {}
            }
            Ok::<_, Error>(next.run(request).await)
        }
    };
    let running = Running::start(server(ShopServer::new(Corner(None))).layer(layer)).await;
    let client = ShopClient::connect(&running.url()).unwrap();
    assert!(client.plain().await.is_ok());
    let reserved = client.plain().header("x-fail", "host").await.unwrap_err();
    assert_eq!(reserved.code(), Code::InvalidArgument);
    assert!(reserved.message().contains("metadata `host`"), "{reserved}");
    // The caller of this service did not forget to log in there.
    let error = client
        .plain()
        .header("x-fail", "dependency")
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert!(error.hops().len() >= 2, "{error:#}");
}

/// On a client: the layers of the call, then those of each attempt; the server has none of it.
#[tokio::test]
async fn an_extension_of_a_client_stays_at_the_client() {
    let running = Running::start(server(ShopServer::new(Corner(None)))).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let attempts = Arc::clone(&seen);
    let client = Client::new(&running.url())
        .unwrap()
        .layer(tenant)
        .attempt_layer(move |request: Request, next: Next| {
            let attempts = Arc::clone(&attempts);
            async move {
                let tenant = request.context().extension::<Tenant>().cloned();
                // The context of the code that calls is not that of the request.
                let current = Context::current().extension::<Tenant>().cloned();
                attempts.lock().unwrap().push((tenant, current));
                next.run(request).await
            }
        });
    let at_server = ShopClient::with_client(client).plain().await.unwrap();
    assert_eq!((at_server.0, at_server.1), (None, Some("blue".to_owned())));
    let expected = (Some(Tenant("blue".to_owned())), None);
    assert_eq!(*seen.lock().unwrap(), [expected]);
}
