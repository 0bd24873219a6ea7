//! The handler of `Ping`.

use std::sync::Arc;
use std::time::Instant;

use crate::builtin::ping::{Pong, PublicPong, ping_method};
use crate::context::Source;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::error::{Code, Error};
use crate::middleware::{Body, BoxFuture, Request, Response};

/// Returns the `Ping` of a service and its handler; `None` with `ping = false`.
pub(crate) fn ping_handler(
    service: &'static ServiceDescriptor,
    source: &Arc<Source>,
) -> Option<(
    &'static MethodDescriptor,
    impl Fn(Request) -> BoxFuture<Response> + Send + Sync + use<>,
)> {
    let method = ping_method(service)?;
    let (start, source) = (Instant::now(), Arc::clone(source));
    let handler = move |request: Request| -> BoxFuture<Response> {
        let body = if request.context().has_untrusted_caller() {
            serde_json::to_vec(&PublicPong {
                service: service.full_name,
            })
        } else {
            serde_json::to_vec(&Pong {
                service: service.full_name.to_owned(),
                version: service.version.to_owned(),
                instance: source.instance().to_owned(),
                uptime: start.elapsed(),
            })
        };
        let body = body.map(Body::message);
        let response = match body {
            Ok(body) => Response::new(body),
            Err(error) => Error::without_location(Code::Internal, error.to_string()).into(),
        };
        Box::pin(std::future::ready(response))
    };
    Some((method, handler))
}
