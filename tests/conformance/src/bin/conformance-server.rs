//! The server under test of the conformance suite: `conformance-server edge|internal`.
//!
//! The runner sends the settings on standard input, reads the address on standard output, and ends
//! the server by SIGTERM.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rpc_conformance::any::Any;
use rpc_conformance::messages::{
    ConformancePayload, Error as ErrorDefinition, Header, IdempotentUnaryRequest,
    IdempotentUnaryResponse, RequestInfo, ServerCompatRequest, ServerCompatResponse, UnaryRequest,
    UnaryResponse, UnaryResponseDefinition,
};
use rpc_conformance::stdio;
use rpc_runtime::Limits;
use rpc_runtime::error::Detail;
use rpc_runtime::prelude::*;
use tokio::signal::unix::{SignalKind, signal};

/// The methods of the suite's service that the framework supports. It rejects calls of the others.
#[rpc_service(package = "connectrpc.conformance.v1", message, ping = false)]
trait ConformanceService {
    async fn unary(&self, ctx: &Context, request: UnaryRequest) -> Result<UnaryResponse>;

    #[rpc(no_side_effects)]
    async fn idempotent_unary(
        &self,
        ctx: &Context,
        request: IdempotentUnaryRequest,
    ) -> Result<IdempotentUnaryResponse>;
}

struct Conformance;

impl ConformanceService for Conformance {
    async fn unary(&self, ctx: &Context, request: UnaryRequest) -> Result<UnaryResponse> {
        let any = Any::new(&request);
        let payload = respond(ctx, request.response_definition, any).await?;
        Ok(UnaryResponse {
            payload: Some(payload),
        })
    }

    async fn idempotent_unary(
        &self,
        ctx: &Context,
        request: IdempotentUnaryRequest,
    ) -> Result<IdempotentUnaryResponse> {
        let any = Any::new(&request);
        let payload = respond(ctx, request.response_definition, any).await?;
        Ok(IdempotentUnaryResponse {
            payload: Some(payload),
        })
    }
}

/// Responds as the request defines.
async fn respond(
    ctx: &Context,
    definition: Option<UnaryResponseDefinition>,
    request: Any,
) -> Result<ConformancePayload> {
    let request_info = RequestInfo {
        request_headers: Header::all(ctx.metadata()),
        timeout_ms: ctx
            .caller_timeout()
            .and_then(|timeout| timeout.as_millis().try_into().ok()),
        requests: vec![request],
        connect_get_info: None,
    };
    let definition = definition.unwrap_or_default();
    for (name, value) in entries(&definition.response_headers) {
        ctx.response().header(name.clone(), value)?;
    }
    for (name, value) in entries(&definition.response_trailers) {
        ctx.response().trailer(name.clone(), value)?;
    }
    tokio::time::sleep(Duration::from_millis(definition.response_delay_ms.into())).await;
    match definition.error {
        Some(error) => Err(error_of(error, &request_info)?),
        None => Ok(ConformancePayload {
            data: definition.response_data.unwrap_or_default(),
            request_info: Some(request_info),
        }),
    }
}

/// Returns the error that the request defines, with the request as its last detail.
fn error_of(definition: ErrorDefinition, request_info: &RequestInfo) -> Result<Error> {
    let code = u8::try_from(definition.code).ok();
    let Some(code) = code.and_then(Code::from_number) else {
        fail!(
            Code::InvalidArgument,
            "{} is not the number of a code",
            definition.code
        );
    };
    let error = Error::new(code, definition.message.unwrap_or_default()).public();
    let details = definition
        .details
        .into_iter()
        .chain([Any::new(request_info)]);
    Ok(details.fold(error, |error, any| {
        error.with_detail(Detail::new(any.type_name().to_owned(), any.value))
    }))
}

fn entries(headers: &[Header]) -> impl Iterator<Item = (&String, &String)> {
    headers
        .iter()
        .flat_map(|header| header.value.iter().map(|value| (&header.name, value)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let listener = std::env::args().nth(1);
    let server = match listener.as_deref() {
        Some("edge") => Server::new("conformance").listen_edge("127.0.0.1:0"),
        Some("internal") => Server::new("conformance").listen("127.0.0.1:0"),
        _ => return Err("usage: conformance-server edge|internal".into()),
    };
    let request: ServerCompatRequest =
        stdio::read(&mut io::stdin().lock())?.ok_or("the runner sent no request")?;
    if request.use_tls {
        return Err("TLS is not supported".into());
    }
    let mut limits = Limits::default();
    if request.message_receive_limit > 0 {
        limits.message_bytes = request.message_receive_limit.try_into()?;
    }
    let server = server
        .limits(limits)
        .add(ConformanceServiceServer::new(Conformance))
        .bind()
        .await?;
    let address = server.addresses()[0];
    let response = ServerCompatResponse {
        host: address.ip().to_string(),
        port: address.port().into(),
        pem_cert: Vec::new(),
    };
    let mut terminated = signal(SignalKind::terminate())?;
    stdio::write(&mut io::stdout().lock(), &response)?;
    server
        .serve(async {
            terminated.recv().await;
        })
        .await;
    Ok(())
}
