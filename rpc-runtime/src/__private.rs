//! The one door of the expansion. Nothing here is for people, and all of it may change in any version.

pub use std::format;
pub use std::sync::Arc;

pub use axum::Router;
pub use inventory;

pub use crate::builtin::ping_descriptor;
use crate::builtin::{PONG, Pong, ping_method};
use crate::client::{Call, Client, prepare};
pub use crate::descriptor::{ArgumentDescriptor, MethodDescriptor, ServiceDescriptor};
pub use crate::error::*;
pub use crate::method::*;
pub use crate::registry::Registration;
use crate::server::Server;
pub use crate::server::{RouteBuilder, Routes, Service};

/// Makes a call of a generated client.
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

/// A call as the trait's own method answers: without the chain of hops.
pub async fn outcome<T: 'static, E: 'static>(call: Call<T, E>) -> std::result::Result<T, E> {
    call.await.map_err(Remote::into_inner)
}

/// The `ping` of a generated client.
#[track_caller]
pub fn ping(client: &Client, service: &'static ServiceDescriptor) -> Call<Pong> {
    match ping_method(service) {
        Some(method) => prepare(client, method, None, &PONG, Ok(b"{}".to_vec())),
        // The expansion writes `ping` only where the descriptor has it.
        None => unreachable!("{} has no Ping", service.full_name),
    }
}

/// The client of the server at a URL.
pub fn connect(_service: &'static ServiceDescriptor, url: &str) -> Result<Client> {
    Client::new(url)
}

/// The client of an implementation in this process.
pub fn local<S: Service>(service: S) -> Client {
    crate::local::client(service)
}

/// A service as an axum router.
pub fn into_router<S: Service>(service: S) -> Result<Router> {
    Server::new(service.descriptor().endpoint)
        .add(service)
        .into_router()
}
