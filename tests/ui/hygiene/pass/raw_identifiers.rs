//! Raw identifiers are accepted everywhere; wire names do not have the `r#`.
#![deny(warnings)]

use rpc_runtime::{Result, RpcError, rpc_service};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kind {
    r#type: u8,
}

#[derive(Debug, RpcError)]
enum KindError {
    #[rpc(code = "not_found")]
    r#Unknown { r#type: u8, r#match: u8 },
    #[rpc(other)]
    Other { r#loop: rpc_runtime::Error },
}

#[rpc_service]
trait r#Kinds {
    async fn r#type(&self, r#match: &str, r#loop: u8) -> Result<Kind>;

    async fn r#fn(&self, r#ref: Option<&Kind>) -> Result<Kind, KindError>;
}

struct Keywords;

impl Kinds for Keywords {
    async fn r#type(&self, r#match: &str, r#loop: u8) -> Result<Kind> {
        Ok(Kind { r#type: r#match.len() as u8 + r#loop })
    }

    async fn r#fn(&self, _: Option<&Kind>) -> Result<Kind, KindError> {
        Err(KindError::Unknown { r#type: 1, r#match: 2 })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = KindsClient::local(Keywords);
    assert_eq!(client.r#type("ab", 1).await.unwrap().r#type, 3);
    let error = client.r#fn(None).await.unwrap_err();
    assert!(matches!(*error, KindError::Unknown { r#type: 1, r#match: 2 }), "{error:?}");
    let service = rpc_runtime::registry::services().find(|service| service.name == "Kinds").unwrap();
    let names: Vec<_> = service.methods.iter().map(|method| (method.name, method.wire_name)).collect();
    assert_eq!(names, [("type", "Type"), ("fn", "Fn"), ("ping", "Ping")]);
    assert_eq!(service.methods[0].arguments[0].name, "match");
}
