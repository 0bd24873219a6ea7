//! Calls with streams.

use std::fmt::Display;
use std::time::Duration;

use prost::Message;
use rpc_conformance::messages::{
    BidiStreamRequest, BidiStreamResponse, Cancel, ClientCompatRequest, ClientResponseResult,
    ClientStreamRequest, ConformancePayload, Header, Named, ServerStreamResponse, StreamType,
};
use rpc_runtime::prelude::*;
use rpc_runtime::{CallHandle, StreamSender};

use crate::{CallError, ConformanceServiceClient, error_result, with_options};

/// A message of a response stream.
trait Payload {
    fn payload(self) -> ConformancePayload;
}

impl Payload for ServerStreamResponse {
    fn payload(self) -> ConformancePayload {
        self.payload.unwrap_or_default()
    }
}

impl Payload for BidiStreamResponse {
    fn payload(self) -> ConformancePayload {
        self.payload.unwrap_or_default()
    }
}

pub(crate) async fn server_stream(
    request: &ClientCompatRequest,
    service: &ConformanceServiceClient,
) -> Result<ClientResponseResult, CallError> {
    let [message] = &request.request_messages[..] else {
        return Err("expected exactly one request message".into());
    };
    let call = service.server_stream(message.decode()?);
    let (call, handle) = with_options(request, call).with_handle();
    tokio::time::sleep(delay(request)).await;
    let canceling = cancel_later(request.cancel.as_ref(), handle.clone());
    let result = read_all(request, call, &handle).await;
    canceling.abort();
    Ok(result)
}

pub(crate) async fn client_stream(
    request: &ClientCompatRequest,
    service: &ConformanceServiceClient,
) -> Result<ClientResponseResult, CallError> {
    let (sender, messages) = Streaming::<ClientStreamRequest>::channel(1);
    let (call, handle) = with_options(request, service.client_stream(messages)).with_handle();
    let sending = send_all(request, sender, &handle);
    let (sent, outcome) = tokio::join!(sending, call.with_response());
    let mut result = match outcome {
        Ok(reply) => ClientResponseResult {
            response_headers: Header::all(&reply.headers),
            response_trailers: Header::all(&reply.trailers),
            payloads: vec![reply.value.payload.unwrap_or_default()],
            ..ClientResponseResult::default()
        },
        Err(error) => failed(error.as_error(), ClientResponseResult::default()),
    };
    result.num_unsent_requests = sent?;
    Ok(result)
}

pub(crate) async fn bidi_stream(
    request: &ClientCompatRequest,
    service: &ConformanceServiceClient,
) -> Result<ClientResponseResult, CallError> {
    let (sender, messages) = Streaming::<BidiStreamRequest>::channel(1);
    let (call, handle) = with_options(request, service.bidi_stream(messages)).with_handle();
    if request.stream_type() == StreamType::FullDuplexBidiStream {
        return take_turns(request, sender, call, &handle).await;
    }
    let sending = send_all(request, sender, &handle);
    let (sent, mut result) = tokio::join!(sending, read_all(request, call, &handle));
    result.num_unsent_requests = sent?;
    Ok(result)
}

/// Sends a request and reads a response, in turns.
async fn take_turns(
    request: &ClientCompatRequest,
    sender: StreamSender<BidiStreamRequest>,
    call: Call<Streaming<BidiStreamResponse>>,
    handle: &CallHandle,
) -> Result<ClientResponseResult, CallError> {
    let mut result = ClientResponseResult::default();
    let mut responses = None;
    let mut call = Some(call);
    for (index, message) in request.request_messages.iter().enumerate() {
        tokio::time::sleep(delay(request)).await;
        let is_sent = sender.send(message.decode()?).await.is_ok();
        if !is_sent {
            result.num_unsent_requests = unsent(request, index)?;
        }
        // The server responds when it has the first request.
        if let Some(call) = call.take() {
            match call.with_response().await {
                Ok(reply) => {
                    result.response_headers = Header::all(&reply.headers);
                    responses = Some(reply.value);
                }
                Err(error) => return Ok(failed(error.as_error(), result)),
            }
        }
        let Some(responses) = &mut responses else {
            break;
        };
        if !read(responses, request.cancel.as_ref(), handle, &mut result).await {
            result.num_unsent_requests = unsent(request, index + usize::from(is_sent))?;
            return Ok(result);
        }
    }
    let _open = end(request.cancel.as_ref(), sender, handle);
    let canceling = cancel_later(request.cancel.as_ref(), handle.clone());
    match (responses, call) {
        (Some(mut responses), _) => {
            while read(&mut responses, request.cancel.as_ref(), handle, &mut result).await {}
        }
        (None, Some(call)) => result = read_all(request, call, handle).await,
        (None, None) => {}
    }
    canceling.abort();
    Ok(result)
}

/// Sends the messages of a request, and returns the number of those that the server did not take.
async fn send_all<T: Message + Named + Default>(
    request: &ClientCompatRequest,
    sender: StreamSender<T>,
    handle: &CallHandle,
) -> Result<i32, CallError> {
    for (index, message) in request.request_messages.iter().enumerate() {
        tokio::time::sleep(delay(request)).await;
        if sender.send(message.decode()?).await.is_err() {
            return unsent(request, index);
        }
    }
    if let Some(open) = end(request.cancel.as_ref(), sender, handle) {
        open.closed().await;
    }
    let canceling = cancel_later(request.cancel.as_ref(), handle.clone());
    // Ends when the call is canceled, or at once.
    canceling.await?;
    Ok(0)
}

/// Ends a request stream, or cancels the call before. Returns the sender of a stream that has not
/// ended.
#[must_use = "a sender that is dropped aborts its stream"]
fn end<T>(
    cancel: Option<&Cancel>,
    sender: StreamSender<T>,
    handle: &CallHandle,
) -> Option<StreamSender<T>> {
    if cancel.is_some_and(|cancel| cancel.before_close_send.is_some()) {
        handle.cancel();
        return Some(sender);
    }
    sender.finish();
    None
}

/// Cancels the call after the time that the runner gives.
fn cancel_later(cancel: Option<&Cancel>, handle: CallHandle) -> tokio::task::JoinHandle<()> {
    let after = cancel.and_then(|cancel| cancel.after_close_send_ms);
    tokio::spawn(async move {
        if let Some(after) = after {
            tokio::time::sleep(Duration::from_millis(after.into())).await;
            handle.cancel();
        }
    })
}

/// Sends a call, and reads its stream to the end.
async fn read_all<T: Payload>(
    request: &ClientCompatRequest,
    call: Call<Streaming<T>>,
    handle: &CallHandle,
) -> ClientResponseResult {
    let mut result = ClientResponseResult::default();
    match call.with_response().await {
        Ok(mut reply) => {
            result.response_headers = Header::all(&reply.headers);
            while read(
                &mut reply.value,
                request.cancel.as_ref(),
                handle,
                &mut result,
            )
            .await
            {}
            result
        }
        Err(error) => failed(error.as_error(), result),
    }
}

/// Reads a message. Returns whether the stream goes on.
async fn read<T: Payload>(
    responses: &mut Streaming<T>,
    cancel: Option<&Cancel>,
    handle: &CallHandle,
    result: &mut ClientResponseResult,
) -> bool {
    let after = cancel.and_then(|cancel| cancel.after_num_responses);
    if after.is_some_and(|after| usize::try_from(after) == Ok(result.payloads.len())) {
        handle.cancel();
    }
    match responses.message().await {
        Ok(Some(message)) => {
            result.payloads.push(message.payload());
            true
        }
        Ok(None) => {
            result.response_trailers = Header::all(responses.trailers());
            false
        }
        Err(error) => {
            result.response_trailers = Header::all(error.metadata());
            result.error = Some(error_result(&error));
            false
        }
    }
}

/// Returns the outcome of a call that has failed before its stream began.
fn failed(error: &Error, result: ClientResponseResult) -> ClientResponseResult {
    ClientResponseResult {
        response_headers: Header::all(error.metadata()),
        response_trailers: Header::all(error.metadata()),
        error: Some(error_result(error)),
        ..result
    }
}

fn delay(request: &ClientCompatRequest) -> Duration {
    Duration::from_millis(request.request_delay_ms.into())
}

fn unsent(request: &ClientCompatRequest, sent: usize) -> Result<i32, CallError> {
    let unsent = request.request_messages.len() - sent;
    unsent.try_into().map_err(boxed)
}

fn boxed(error: impl Display) -> CallError {
    error.to_string().into()
}
