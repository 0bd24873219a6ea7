//! Functions that generated clients call.

use bytes::Bytes;

use crate::builtin::{PONG, Pong, ping_method};
use crate::client::{Call, Client, prepare};
use crate::descriptor::ServiceDescriptor;
use crate::error::{Remote, Result};
use crate::method::{Arguments, Method};
use crate::streaming::BodyKind;

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
pub async fn outcome<T: 'static, E: 'static>(call: Call<T, E>) -> Result<T, E> {
    call.await.map_err(Remote::into_inner)
}

/// Creates a call of the built-in `ping`.
#[track_caller]
pub fn ping(client: &Client, service: &'static ServiceDescriptor) -> Call<Pong> {
    match ping_method(service) {
        Some(method) => prepare(
            client,
            method,
            None,
            &PONG,
            Ok(BodyKind::Message(Bytes::from_static(b"{}"))),
        ),
        // The expansion has `ping` only if the descriptor has it.
        None => unreachable!(
            "internal error of rpc-runtime: the client of {} has `ping`, but the service has no `Ping`",
            service.full_name
        ),
    }
}

/// Creates a client of the server at a URL.
pub fn connect(_service: &'static ServiceDescriptor, url: &str) -> Result<Client> {
    Client::new(url)
}
