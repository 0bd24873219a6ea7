//! The greeter that the clients of this folder call: `greeter`.
//!
//! It prints the addresses of an internal listener and of an edge listener, and serves until its
//! standard input ends, so that it never outlives the script that started it. With the argument
//! KEY_FILE, the internal listener accepts signed calls only.

mod messages;
mod proto_json;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io::Write as _;
use std::time::Duration;

use rpc_runtime::IdentityKeys;
use rpc_runtime::error::Detail;
use rpc_runtime::prelude::*;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use self::messages::{Call, EchoResponse, Empty, Refusal, Remaining, Values};

#[rpc_service(package = "greeter.v1", message, ping = false)]
trait Greeter {
    async fn echo(&self, ctx: &Context, values: Values) -> Result<EchoResponse>;

    #[rpc(no_side_effects)]
    async fn look(&self, ctx: &Context, values: Values) -> Result<EchoResponse>;

    async fn refuse(&self, ctx: &Context, refusal: Refusal) -> Result<Empty>;

    async fn wait(&self, ctx: &Context, call: Call) -> Result<Empty>;

    async fn started(&self, call: Call) -> Result<Empty>;

    async fn dropped(&self, call: Call) -> Result<Remaining>;
}

/// The calls of `wait`, by ID.
#[derive(Default)]
struct Greetings(watch::Sender<BTreeMap<String, Waiting>>);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    remaining: Duration,
    is_dropped: bool,
}

impl Greeter for Greetings {
    async fn echo(&self, ctx: &Context, values: Values) -> Result<EchoResponse> {
        return_metadata(ctx)?;
        let seen = values.seen().join(" ");
        Ok(EchoResponse { values, seen })
    }

    async fn look(&self, ctx: &Context, values: Values) -> Result<EchoResponse> {
        self.echo(ctx, values).await
    }

    async fn refuse(&self, ctx: &Context, refusal: Refusal) -> Result<Empty> {
        return_metadata(ctx)?;
        let Some(code) = u8::try_from(refusal.code).ok().and_then(Code::from_number) else {
            fail!(
                Code::InvalidArgument,
                "{} is not the number of a code",
                refusal.code
            );
        };
        let detail = Detail::new(
            "greeter.v1.Refusal",
            prost::Message::encode_to_vec(&refusal),
        );
        Err(Error::new(code, refusal.message)
            .public()
            .with_detail(detail))
    }

    async fn wait(&self, ctx: &Context, call: Call) -> Result<Empty> {
        let waiting = Waiting {
            remaining: ctx.remaining().unwrap_or_default(),
            is_dropped: false,
        };
        self.0.send_modify(|calls| {
            calls.insert(call.id.clone(), waiting);
        });
        let _dropped = DropGuard {
            calls: &self.0,
            id: call.id,
        };
        std::future::pending().await
    }

    async fn started(&self, call: Call) -> Result<Empty> {
        self.until(|calls| calls.get(&call.id).copied()).await?;
        Ok(Empty {})
    }

    async fn dropped(&self, call: Call) -> Result<Remaining> {
        let is_dropped = |waiting: &&Waiting| waiting.is_dropped;
        let waiting = self.until(|calls| calls.get(&call.id).filter(is_dropped).copied());
        let remaining = waiting.await?.remaining.as_millis();
        Ok(Remaining {
            milliseconds: u32::try_from(remaining).unwrap_or(u32::MAX),
        })
    }
}

impl Greetings {
    /// Waits until a call is in a state.
    async fn until(
        &self,
        find: impl Fn(&BTreeMap<String, Waiting>) -> Option<Waiting>,
    ) -> Result<Waiting> {
        let mut calls = self.0.subscribe();
        let found = calls.wait_for(|calls| find(calls).is_some()).await;
        match found.as_deref().map(&find) {
            Ok(Some(waiting)) => Ok(waiting),
            _ => fail!(Code::Internal, "the calls are gone"),
        }
    }
}

/// Records that the handler of a call was dropped.
struct DropGuard<'c> {
    calls: &'c watch::Sender<BTreeMap<String, Waiting>>,
    id: String,
}

impl Drop for DropGuard<'_> {
    fn drop(&mut self) {
        self.calls.send_modify(|calls| {
            if let Some(waiting) = calls.get_mut(&self.id) {
                waiting.is_dropped = true;
            }
        });
    }
}

/// Sends `x-text` and `x-token-bin` of the request back, as headers and as trailers.
fn return_metadata(ctx: &Context) -> Result<()> {
    let response = ctx.response();
    for text in ctx.metadata().get_all("x-text") {
        response.header("x-text", text)?;
        response.trailer("x-text", text)?;
    }
    for token in ctx.metadata().get_all_bin("x-token-bin") {
        let Some(token) = token else {
            fail!(Code::InvalidArgument, "x-token-bin is not base64")
        };
        response.header_bin("x-token-bin", &token)?;
        response.trailer_bin("x-token-bin", &token)?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let mut server = Server::new("greeter")
        .listen("127.0.0.1:0")
        .listen_edge("127.0.0.1:0")
        .add(GreeterServer::new(Greetings::default()));
    if let Some(file) = std::env::args_os().nth(1) {
        server = server.identity(IdentityKeys::from_file(file)?);
    }
    let server = server.bind().await?;
    let addresses = server.addresses();
    writeln!(
        std::io::stdout(),
        "internal http://{}\nedge http://{}",
        addresses[0],
        addresses[1]
    )?;
    server
        .serve(async {
            let mut rest = Vec::new();
            // An error ends the server as well.
            let _ = tokio::io::stdin().read_to_end(&mut rest).await;
        })
        .await;
    Ok(())
}
