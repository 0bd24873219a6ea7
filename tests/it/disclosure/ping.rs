use rpc_runtime::prelude::*;
use rpc_runtime::{Callers, Client, Policy, Trust};
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post, request};

#[rpc_service(package = "ping.v1")]
trait Shop {
    async fn buy(&self) -> Result<u32>;
}

struct Tea;

impl Shop for Tea {
    async fn buy(&self) -> Result<u32> {
        Ok(1)
    }
}

const PING: &str = "/ping.v1.Shop/Ping";

fn server() -> Server {
    Server::new("secret-name")
        .instance("secret-instance")
        .environment("secret-environment")
        .add(ShopServer::new(Tea))
}

#[tokio::test]
async fn an_edge_tells_the_name_of_its_service_only() {
    let edge = Running::start(server().trust(Trust::Edge)).await;
    let get = format!("{PING}?connect=v1&encoding=json&message=%7B%7D");
    for request in [post(PING, "{}"), request("GET", &get, &[], b"")] {
        let response = Raw::connect(edge.address()).await.ask(request).await;
        assert_eq!(
            response.json(),
            serde_json::json!({ "service": "ping.v1.Shop" })
        );
        assert!(!format!("{:?}", response.headers).contains("secret"));
    }
    for client in [
        Client::new(&edge.url()).unwrap(),
        Client::new(&edge.url()).unwrap().http2(),
    ] {
        let pong = ShopClient::with_client(client).ping().await.unwrap();
        assert_eq!(pong.service, "ping.v1.Shop");
        assert_eq!(
            (pong.version, pong.instance, pong.uptime),
            Default::default()
        );
    }
    // The other methods of every server are not there.
    for path in [
        "/rpc.v1.Status/Get",
        "/rpc.v1.Status/Ping",
        "/rpc.v1.Flags/List",
    ] {
        let response = Raw::connect(edge.address())
            .await
            .ask(post(path, "{}"))
            .await;
        assert_eq!(response.status, 404, "{path}");
        assert!(!response.message().contains("secret"), "{response:?}");
    }
    for path in ["/healthz", "/readyz"] {
        let response = Raw::connect(edge.address())
            .await
            .ask(request("GET", path, &[], b""))
            .await;
        let text = format!(
            "{:?} {}",
            response.headers,
            String::from_utf8_lossy(&response.body)
        );
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn trusted_callers_learn_who_responds() {
    let internal = Running::start(server()).await;
    let over_network = ShopClient::connect(&internal.url()).unwrap();
    let local = ShopClient::with_client(server().into_local_client().unwrap());
    for client in [over_network, local] {
        let pong = client.ping().await.unwrap();
        assert_eq!(pong.instance, "secret-instance");
        assert!(!pong.version.is_empty());
    }
}

#[tokio::test]
async fn a_policy_closes_ping() {
    let deny = || {
        Policy::new()
            .allow("ping.v1.Shop/Buy", Callers::anyone())
            .deny("ping.v1.Shop/Ping")
    };
    for trust in [Trust::Edge, Trust::Internal] {
        let running = Running::start(server().policy(deny()).trust(trust)).await;
        let mut raw = Raw::connect(running.address()).await;
        let response = raw.ask(post(PING, "{}")).await;
        assert_eq!(response.error(), (403, "permission_denied".to_owned()));
        assert_eq!(raw.ask(post("/ping.v1.Shop/Buy", "{}")).await.status, 200);
    }
}
