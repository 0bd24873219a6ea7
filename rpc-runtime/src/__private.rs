//! Support code for macro expansions. Not public API; may change in any release.

pub use std::clone::Clone;
pub use std::fmt;
pub use std::format;
pub use std::sync::Arc;

pub use axum::Router;
pub use inventory;

pub use crate::builtin::Pong;
pub use crate::builtin::ping_descriptor;
use crate::builtin::{PONG, ping_method};
use crate::client::prepare;
pub use crate::client::{Call, Client};
pub use crate::context::Context;
pub use crate::descriptor::{ArgumentDescriptor, MethodDescriptor, ServiceDescriptor};
pub use crate::error::*;
pub use crate::method::*;
pub use crate::registry::Registration;
use crate::server::Server;
pub use crate::server::{RouteBuilder, Routes, Service};
pub use crate::{__register as register, __sides as sides};

/// Adds a service to the registry.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($service:ident) => {
        $crate::__private::inventory::submit! { $crate::__private::Registration(&$service) }
    };
}

/// Emits the items of the sides that this crate is compiled with. The features of the runtime decide, and not features of `rpc-macros`, which Cargo unifies separately.
#[doc(hidden)]
#[macro_export]
macro_rules! __sides {
    (client { $($client:tt)* } server { $($server:tt)* } $(both { $($both:tt)* })?) => {
        $($client)*
        $($server)*
        $($($both)*)?
    };
}

/// Creates a call of a generated client.
#[track_caller]
pub fn call<A: Arguments, T: 'static, E: 'static>(
    client: &Client,
    method: &'static Method<A, T, E>,
    arguments: A::Borrowed<'_>,
) -> Call<T, E> {
    prepare(
        client,
        method.descriptor(),
        Some(method),
        method.reply(),
        method.encode_arguments(arguments),
    )
}

/// Awaits a call and returns its result as a method of the trait does: without the hop chain.
pub async fn outcome<T: 'static, E: 'static>(call: Call<T, E>) -> std::result::Result<T, E> {
    call.await.map_err(Remote::into_inner)
}

/// Creates a call of the built-in `ping`.
#[track_caller]
pub fn ping(client: &Client, service: &'static ServiceDescriptor) -> Call<Pong> {
    match ping_method(service) {
        Some(method) => prepare(client, method, None, &PONG, Ok(b"{}".to_vec())),
        // The expansion has `ping` only if the descriptor has it.
        None => unreachable!("{} has no Ping", service.full_name),
    }
}

/// Creates a client of the server at a URL.
pub fn connect(_service: &'static ServiceDescriptor, url: &str) -> Result<Client> {
    Client::new(url)
}

/// Creates a client of a service in this process.
pub fn local<S: Service>(service: S) -> Client {
    crate::local::client(service)
}

/// Returns a service as an axum router.
pub fn into_router<S: Service>(service: S) -> Result<Router> {
    Server::new(service.descriptor().endpoint)
        .add(service)
        .into_router()
}
