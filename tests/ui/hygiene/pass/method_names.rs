//! Methods may have the names of items, methods and variables in the expansion.
#![deny(warnings)]

use std::collections::BTreeMap;

use rpc_runtime::{Context, Result, RpcError, rpc_service};
use serde::{Deserialize, Serialize};

/// The name of the type parameter in the expansion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct T {
    service: u8,
}

#[rpc_service]
pub trait Names {
    async fn service(&self, methods: u8) -> Result<u8>;
    async fn methods(&self, service: u8) -> Result<u8>;
    async fn method(&self) -> Result<u8>;
    async fn method_service(&self, method: u8) -> Result<u8>;
    async fn s(&self) -> Result<u8>;
    async fn descriptor(&self, t: &T) -> Result<T>;
    async fn into_routes(&self, routes: Vec<T>) -> Result<Vec<T>>;
    async fn into_router(&self) -> Result<u8>;
    async fn new(&self, ctx: &Context, context: u8) -> Result<u8>;
    async fn fmt(&self, f: u8) -> Result<u8>;
    async fn from(&self) -> Result<u8>;
    async fn call(&self) -> Result<u8>;
    async fn register(&self) -> Result<u8>;
    async fn rpc(&self, __rpc: u8, this: u8) -> Result<u8>;
    async fn r#static(&self, r#impl: u8, r#dyn: u8) -> Result<u8>;
    async fn r#await(&self) -> Result<u8>;
    async fn not_found(&self, names: BTreeMap<String, T>) -> Result<u8, NamesError>;
}

#[derive(Debug, RpcError)]
pub enum NamesError {
    #[rpc(code = "not_found")]
    Error { error: u8, payload: u8, text: u8, known: u8, inner: u8, remote: u8, code: u8 },
    #[rpc(other)]
    Other(rpc_runtime::Error),
}

struct Named;

impl Names for Named {
    async fn service(&self, methods: u8) -> Result<u8> {
        Ok(methods)
    }

    async fn methods(&self, service: u8) -> Result<u8> {
        Ok(service)
    }

    async fn method(&self) -> Result<u8> {
        Ok(3)
    }

    async fn method_service(&self, method: u8) -> Result<u8> {
        Ok(method)
    }

    async fn s(&self) -> Result<u8> {
        Ok(5)
    }

    async fn descriptor(&self, t: &T) -> Result<T> {
        Ok(t.clone())
    }

    async fn into_routes(&self, routes: Vec<T>) -> Result<Vec<T>> {
        Ok(routes)
    }

    async fn into_router(&self) -> Result<u8> {
        Ok(6)
    }

    async fn new(&self, _: &Context, context: u8) -> Result<u8> {
        Ok(context)
    }

    async fn fmt(&self, f: u8) -> Result<u8> {
        Ok(f)
    }

    async fn from(&self) -> Result<u8> {
        Ok(9)
    }

    async fn call(&self) -> Result<u8> {
        Ok(10)
    }

    async fn register(&self) -> Result<u8> {
        Ok(11)
    }

    async fn rpc(&self, __rpc: u8, this: u8) -> Result<u8> {
        Ok(__rpc + this)
    }

    async fn r#static(&self, r#impl: u8, r#dyn: u8) -> Result<u8> {
        Ok(r#impl + r#dyn)
    }

    async fn r#await(&self) -> Result<u8> {
        Ok(14)
    }

    async fn not_found(&self, names: BTreeMap<String, T>) -> Result<u8, NamesError> {
        let n = names["a"].service;
        Err(NamesError::Error { error: n, payload: 2, text: 3, known: 4, inner: 5, remote: 6, code: 7 })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = NamesClient::local(Named);
    let t = T { service: 1 };
    assert_eq!(client.service(1).await.unwrap(), 1);
    assert_eq!(client.methods(2).await.unwrap(), 2);
    assert_eq!(client.method().await.unwrap(), 3);
    assert_eq!(client.method_service(4).await.unwrap(), 4);
    assert_eq!(client.s().await.unwrap(), 5);
    assert_eq!(client.descriptor(&t).await.unwrap(), t);
    assert_eq!(client.into_routes(vec![t.clone()]).await.unwrap(), [t.clone()]);
    assert_eq!(client.into_router().await.unwrap(), 6);
    assert_eq!(client.new(7).await.unwrap(), 7);
    assert_eq!(client.fmt(8).await.unwrap(), 8);
    assert_eq!(client.from().await.unwrap(), 9);
    assert_eq!(client.call().await.unwrap(), 10);
    assert_eq!(client.register().await.unwrap(), 11);
    assert_eq!(client.rpc(5, 7).await.unwrap(), 12);
    assert_eq!(client.r#static(6, 7).await.unwrap(), 13);
    assert_eq!(client.r#await().await.unwrap(), 14);
    let error = client.not_found(BTreeMap::from([("a".to_owned(), t)])).await.unwrap_err();
    assert!(matches!(*error, NamesError::Error { error: 1, payload: 2, code: 7, .. }), "{error:?}");
    // The trait itself, for generic code.
    assert_eq!(Names::service(&client, 1).await.unwrap(), 1);
    assert_eq!(Names::fmt(&client, 2).await.unwrap(), 2);
    assert_eq!(Names::new(&client, &Context::current(), 3).await.unwrap(), 3);
}
