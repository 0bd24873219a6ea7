//! The server under test of the conformance suite: `conformance-server edge|internal`.
//!
//! The runner sends the settings on standard input, reads the address on standard output, and ends
//! the server by SIGTERM.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;
use std::vec::IntoIter;

use rpc_conformance::any::Any;
use rpc_conformance::messages::{
    BidiStreamRequest, BidiStreamResponse, ClientStreamRequest, ClientStreamResponse,
    ConformancePayload, Error as ErrorDefinition, Header, IdempotentUnaryRequest,
    IdempotentUnaryResponse, RequestInfo, ServerCompatRequest, ServerCompatResponse,
    ServerStreamRequest, ServerStreamResponse, StreamResponseDefinition, UnaryRequest,
    UnaryResponse, UnaryResponseDefinition,
};
use rpc_conformance::stdio;
use rpc_runtime::Limits;
use rpc_runtime::error::Detail;
use rpc_runtime::prelude::*;
use tokio::signal::unix::{SignalKind, signal};

/// The methods of the suite's service. `Unimplemented` is left out, as the suite demands.
#[rpc_service(package = "connectrpc.conformance.v1", message, ping = false)]
trait ConformanceService {
    async fn unary(&self, ctx: &Context, request: UnaryRequest) -> Result<UnaryResponse>;

    #[rpc(no_side_effects)]
    async fn idempotent_unary(
        &self,
        ctx: &Context,
        request: IdempotentUnaryRequest,
    ) -> Result<IdempotentUnaryResponse>;

    async fn server_stream(
        &self,
        ctx: &Context,
        request: ServerStreamRequest,
    ) -> Result<Streaming<ServerStreamResponse>>;

    async fn client_stream(
        &self,
        ctx: &Context,
        requests: Streaming<ClientStreamRequest>,
    ) -> Result<ClientStreamResponse>;

    async fn bidi_stream(
        &self,
        ctx: &Context,
        requests: Streaming<BidiStreamRequest>,
    ) -> Result<Streaming<BidiStreamResponse>>;
}

struct Conformance;

impl ConformanceService for Conformance {
    async fn unary(&self, ctx: &Context, request: UnaryRequest) -> Result<UnaryResponse> {
        let any = Any::new(&request);
        let payload = respond(ctx, request.response_definition, vec![any]).await?;
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
        let payload = respond(ctx, request.response_definition, vec![any]).await?;
        Ok(IdempotentUnaryResponse {
            payload: Some(payload),
        })
    }

    async fn server_stream(
        &self,
        ctx: &Context,
        request: ServerStreamRequest,
    ) -> Result<Streaming<ServerStreamResponse>> {
        let any = Any::new(&request);
        let mut responses = Responses::new(ctx, request.response_definition)?;
        Ok(Streaming::with_sender(async move |sender| {
            let mut requests = vec![any];
            while responses.data.len() > 0 {
                let payload = responses.next(std::mem::take(&mut requests)).await;
                sender.send(ServerStreamResponse { payload }).await?;
            }
            responses.end(requests)
        }))
    }

    async fn client_stream(
        &self,
        ctx: &Context,
        mut requests: Streaming<ClientStreamRequest>,
    ) -> Result<ClientStreamResponse> {
        let (mut all, mut definition) = (Vec::new(), None);
        while let Some(request) = requests.message().await? {
            all.push(Any::new(&request));
            if all.len() == 1 {
                definition = request.response_definition;
            }
        }
        let payload = respond(ctx, definition, all).await?;
        Ok(ClientStreamResponse {
            payload: Some(payload),
        })
    }

    async fn bidi_stream(
        &self,
        ctx: &Context,
        mut requests: Streaming<BidiStreamRequest>,
    ) -> Result<Streaming<BidiStreamResponse>> {
        let Some(first) = requests.message().await? else {
            return Ok(Streaming::empty());
        };
        let mut pending = vec![Any::new(&first)];
        let mut responses = Responses::new(ctx, first.response_definition)?;
        let full_duplex = first.full_duplex;
        Ok(Streaming::with_sender(async move |sender| {
            loop {
                if full_duplex {
                    if responses.data.len() == 0 {
                        // Without a response for a request, the error is due.
                        break;
                    }
                    let payload = responses.next(std::mem::take(&mut pending)).await;
                    sender.send(BidiStreamResponse { payload }).await?;
                }
                match requests.message().await? {
                    Some(request) => pending.push(Any::new(&request)),
                    None => break,
                }
            }
            while responses.data.len() > 0 {
                let payload = responses.next(std::mem::take(&mut pending)).await;
                sender.send(BidiStreamResponse { payload }).await?;
            }
            responses.end(pending)
        }))
    }
}

/// Returns what is known of the request.
fn request_info(ctx: &Context, requests: Vec<Any>) -> RequestInfo {
    RequestInfo {
        request_headers: Header::all(ctx.metadata()),
        timeout_ms: ctx
            .caller_timeout()
            .and_then(|timeout| timeout.as_millis().try_into().ok()),
        requests,
        connect_get_info: None,
    }
}

/// Sets the metadata of the response.
fn set_metadata(ctx: &Context, headers: &[Header], trailers: &[Header]) -> Result<()> {
    for (name, value) in entries(headers) {
        ctx.response().header(name.clone(), value)?;
    }
    for (name, value) in entries(trailers) {
        ctx.response().trailer(name.clone(), value)?;
    }
    Ok(())
}

/// The responses of a stream, as the first request defines.
struct Responses {
    data: IntoIter<Vec<u8>>,
    delay: Duration,
    error: Option<ErrorDefinition>,
    /// Sent with the first response.
    info: Option<RequestInfo>,
}

impl Responses {
    fn new(ctx: &Context, definition: Option<StreamResponseDefinition>) -> Result<Self> {
        let definition = definition.unwrap_or_default();
        let (headers, trailers) = (&definition.response_headers, &definition.response_trailers);
        set_metadata(ctx, headers, trailers)?;
        Ok(Self {
            data: definition.response_data.into_iter(),
            delay: Duration::from_millis(definition.response_delay_ms.into()),
            error: definition.error,
            info: Some(request_info(ctx, Vec::new())),
        })
    }

    /// Returns the next response after its delay, with these requests. `None` after the last one.
    async fn next(&mut self, requests: Vec<Any>) -> Option<ConformancePayload> {
        let data = self.data.next()?;
        tokio::time::sleep(self.delay).await;
        let info = self.info.take();
        let request_info = if info.is_none() && requests.is_empty() {
            None
        } else {
            let info = info.unwrap_or_default();
            Some(RequestInfo { requests, ..info })
        };
        Some(ConformancePayload { data, request_info })
    }

    /// Ends the stream. The error has the requests if there was no response.
    fn end(self, requests: Vec<Any>) -> Result<()> {
        let info = self.info.map(|info| RequestInfo { requests, ..info });
        match self.error {
            Some(error) => Err(error_of(error, info.as_ref())?),
            None => Ok(()),
        }
    }
}

/// Responds as the request defines.
async fn respond(
    ctx: &Context,
    definition: Option<UnaryResponseDefinition>,
    requests: Vec<Any>,
) -> Result<ConformancePayload> {
    let request_info = request_info(ctx, requests);
    let definition = definition.unwrap_or_default();
    let (headers, trailers) = (&definition.response_headers, &definition.response_trailers);
    set_metadata(ctx, headers, trailers)?;
    tokio::time::sleep(Duration::from_millis(definition.response_delay_ms.into())).await;
    match definition.error {
        Some(error) => Err(error_of(error, Some(&request_info))?),
        None => Ok(ConformancePayload {
            data: definition.response_data.unwrap_or_default(),
            request_info: Some(request_info),
        }),
    }
}

/// Returns the error that the request defines, with what is known of the request as its last
/// detail.
fn error_of(definition: ErrorDefinition, request_info: Option<&RequestInfo>) -> Result<Error> {
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
        .chain(request_info.map(Any::new));
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
