//! Options whose values are fragments of `macro_rules!`, which have invisible groups.

use rpc_runtime::prelude::*;

macro_rules! service {
    ($package:literal, $name:literal, $timeout:literal, $limit:expr, $ping:literal, $path:literal) => {
        #[rpc_service(package = $package, name = $name, endpoint = $package, ping = $ping, crate = $path)]
        trait Shop {
            #[rpc(name = $name, timeout = $timeout)]
            async fn buy(&self, #[rpc(default = $limit)] limit: u32) -> Result<u32>;
        }
    };
}

service!("shop", "Kiosk", "2s", 20 + 1, false, "rpc_runtime");

macro_rules! error {
    ($code:literal, $path:path, $reason:literal, $error:ty, $field:ty) => {
        #[derive(Debug, RpcError)]
        enum ShopError {
            #[rpc(code = $code, reason = $reason)]
            Closed,
            #[rpc(code = $path)]
            SoldOut($field),
            #[rpc(other)]
            Other($error),
        }
    };
}

error!("not_found", Code::Aborted, "GONE", rpc_runtime::Error, u32);

struct Corner;

impl Shop for Corner {
    async fn buy(&self, limit: u32) -> Result<u32> {
        Ok(limit)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(ShopServer::BUY, "shop.Kiosk/Kiosk");
    assert_eq!(ShopClient::local(Corner).buy(2).await.unwrap(), 2);
    assert_eq!(ShopError::Closed.into_error().reason(), Some("GONE"));
    assert_eq!(ShopError::SoldOut(1).code(), Code::Aborted);
}
