//! A developer's types and traits may have any name, including those of the runtime and the
//! prelude.
#![allow(dead_code)]

use rpc_runtime::{RpcError, rpc_service};
use serde::{Deserialize, Serialize};

macro_rules! data {
    ($($name:ident)*) => { $(#[derive(Debug, Serialize, Deserialize)] struct $name(u8);)* };
}

data!(Result Option Error Call Client Vec Arc String Context2 Router Owned Str Slice Optional Method Service Routes T X);
data!(Code Remote Pong Specialize Payload TypedError ServiceDescriptor MethodDescriptor RouteBuilder Registration);

trait Send {}
trait Sync {}
trait Clone {}
trait Default {}
trait Into {}
trait Future {}
trait RpcResult {}
trait Fallback {}

#[derive(Debug, RpcError)]
enum ShopError {
    #[rpc(code = "not_found")]
    Code(Code),
    #[rpc(code = "not_found")]
    Error { error: Error, remote: Remote, payload: Payload, text: u8, known: u8, inner: u8 },
    #[rpc(code = "not_found")]
    Skipped(#[rpc(skip)] T),
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

#[rpc_service]
trait Shop {
    async fn results(&self, a: Result, b: Option, c: Error) -> core::result::Result<Call, ShopError>;

    async fn borrows(&self, a: &Client, b: &[Vec], c: core::option::Option<&Arc>) -> rpc_runtime::Result<String>;

    async fn shapes(&self, a: T, b: Owned, c: Str, d: &Slice, e: Method, f: Service) -> rpc_runtime::Result<X>;
}

fn main() {
    let client = ShopClient::connect("http://127.0.0.1:9").unwrap();
    drop(client.results(Result(1), Option(2), Error(3)));
    drop(client.borrows(&Client(1), &[Vec(2)], core::option::Option::None));
}
