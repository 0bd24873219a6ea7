//! The client under test of the conformance suite.
//!
//! The runner sends calls on standard input, and reads their outcomes on standard output, in any
//! order. The client ends at the end of the input.

mod streams;

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rpc_conformance::any::Any;
use rpc_conformance::messages::{
    BidiStreamRequest, BidiStreamResponse, Cancel, ClientCompatRequest, ClientCompatResponse,
    ClientErrorResult, ClientResponseResult, ClientStreamRequest, ClientStreamResponse,
    Compression, ConformancePayload, Error as ErrorResult, Header, HttpVersion,
    IdempotentUnaryRequest, IdempotentUnaryResponse, ServerStreamRequest, ServerStreamResponse,
    UnaryRequest, UnaryResponse, UnimplementedRequest, UnimplementedResponse,
};
use rpc_conformance::stdio;
use rpc_runtime::Client;
use rpc_runtime::prelude::*;
use tokio::task::JoinSet;

/// The methods of the suite's service.
#[rpc_service(package = "connectrpc.conformance.v1", message, ping = false)]
trait ConformanceService {
    async fn unary(&self, request: UnaryRequest) -> Result<UnaryResponse>;

    #[rpc(no_side_effects)]
    async fn idempotent_unary(
        &self,
        request: IdempotentUnaryRequest,
    ) -> Result<IdempotentUnaryResponse>;

    async fn server_stream(
        &self,
        request: ServerStreamRequest,
    ) -> Result<Streaming<ServerStreamResponse>>;

    async fn client_stream(
        &self,
        requests: Streaming<ClientStreamRequest>,
    ) -> Result<ClientStreamResponse>;

    async fn bidi_stream(
        &self,
        requests: Streaming<BidiStreamRequest>,
    ) -> Result<Streaming<BidiStreamResponse>>;

    async fn unimplemented(&self, request: UnimplementedRequest) -> Result<UnimplementedResponse>;
}

/// Reason for a call that could not be made.
type CallError = Box<dyn StdError + Send + Sync>;

/// Makes the call of a request.
async fn run(request: &ClientCompatRequest) -> Result<ClientResponseResult, CallError> {
    let client = Client::new(&format!("http://{}:{}", request.host, request.port))?;
    let client = if request.http_version() == HttpVersion::Http2 {
        client.http2()
    } else {
        client
    };
    let compression = match request.compression() {
        Compression::Gzip => rpc_runtime::Compression::gzip().min_size(0),
        _ => rpc_runtime::Compression::off(),
    };
    // A call has a timeout only if its request has one.
    let client = client
        .timeout(Duration::MAX)
        .compression(compression)
        .use_get(request.use_get_http_method);
    let client = match request.message_receive_limit {
        0 => client,
        limit => client.message_limit(usize::try_from(limit)?),
    };
    let service = ConformanceServiceClient::with_client(client);
    match request.method.as_deref() {
        Some("ServerStream") => return streams::server_stream(request, &service).await,
        Some("ClientStream") => return streams::client_stream(request, &service).await,
        Some("BidiStream") => return streams::bidi_stream(request, &service).await,
        _ => {}
    }
    let [message] = &request.request_messages[..] else {
        return Err("expected exactly one request message".into());
    };
    match request.method.as_deref() {
        Some("Unary") => {
            let call = service.unary(message.decode()?);
            // Each response is reported, also one without a payload.
            finish(request, call, |response| {
                Some(response.payload.unwrap_or_default())
            })
            .await
        }
        Some("IdempotentUnary") => {
            let call = service.idempotent_unary(message.decode()?);
            finish(request, call, |response| {
                Some(response.payload.unwrap_or_default())
            })
            .await
        }
        Some("Unimplemented") => {
            let call = service.unimplemented(message.decode()?);
            finish(request, call, |_| None).await
        }
        other => Err(format!("the method {other:?} is not supported").into()),
    }
}

/// Returns a call with the options of its request.
fn with_options<T: 'static>(request: &ClientCompatRequest, call: Call<T>) -> Call<T> {
    // The reference server fails a test that sends a second request.
    let mut call = call.no_retry();
    for header in &request.request_headers {
        for value in &header.value {
            call = call.header(header.name.to_ascii_lowercase(), value);
        }
    }
    if let Some(timeout) = request.timeout_ms {
        call = call.timeout(Duration::from_millis(timeout.into()));
    }
    call
}

/// Sends a call with the options of its request, and returns its outcome.
async fn finish<T: 'static>(
    request: &ClientCompatRequest,
    call: Call<T>,
    payload: impl FnOnce(T) -> Option<ConformancePayload>,
) -> Result<ClientResponseResult, CallError> {
    let call = with_options(request, call);
    tokio::time::sleep(Duration::from_millis(request.request_delay_ms.into())).await;
    // A caller cancels a call by dropping it, and so knows the outcome.
    let outcome = tokio::select! {
        biased;
        () = cancelled(request.cancel.as_ref()) => {
            let canceled = ErrorResult {
                code: Code::Canceled.number().into(),
                ..ErrorResult::default()
            };
            return Ok(ClientResponseResult {
                error: Some(canceled),
                ..ClientResponseResult::default()
            });
        }
        outcome = call.with_response() => outcome,
    };
    Ok(match outcome {
        Ok(reply) => ClientResponseResult {
            response_headers: Header::all(&reply.headers),
            response_trailers: Header::all(&reply.trailers),
            payloads: payload(reply.value).into_iter().collect(),
            ..ClientResponseResult::default()
        },
        Err(error) => ClientResponseResult {
            response_headers: Header::all(error.metadata()),
            error: Some(error_result(error.as_error())),
            ..ClientResponseResult::default()
        },
    })
}

/// Waits until the call is to be canceled. A unary call has sent everything when it is polled.
async fn cancelled(cancel: Option<&Cancel>) {
    match cancel.and_then(|cancel| cancel.after_close_send_ms) {
        Some(delay) => tokio::time::sleep(Duration::from_millis(delay.into())).await,
        None => std::future::pending().await,
    }
}

fn error_result(error: &Error) -> ErrorResult {
    let details = error.details().iter();
    ErrorResult {
        code: error.code().number().into(),
        message: Some(error.message().to_owned()),
        details: details
            .map(|detail| Any::encoded(&detail.type_name, detail.value.to_vec()))
            .collect(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let output = Arc::new(Mutex::new(io::stdout()));
    let mut calls = JoinSet::new();
    loop {
        let read = || stdio::read::<ClientCompatRequest>(&mut io::stdin().lock());
        let Some(request) = tokio::task::spawn_blocking(read).await?? else {
            break;
        };
        let output = Arc::clone(&output);
        calls.spawn(async move {
            let mut response = ClientCompatResponse {
                test_name: request.test_name.clone(),
                ..ClientCompatResponse::default()
            };
            match run(&request).await {
                Ok(result) => response.response = Some(result),
                Err(error) => {
                    let message = error.to_string();
                    response.error = Some(ClientErrorResult { message });
                }
            }
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            stdio::write(&mut *output, &response)
        });
    }
    while let Some(written) = calls.join_next().await {
        written??;
    }
    Ok(())
}
