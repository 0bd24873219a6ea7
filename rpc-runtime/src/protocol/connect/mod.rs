//! The Connect protocol with JSON messages, as in the public Connect protocol reference.
//!
//! | File | Content |
//! | --- | --- |
//! | `content` | content types and encodings |
//! | `timeout` | `connect-timeout-ms` |
//! | `head` | what all heads of requests have in common |
//! | `request` | the head of a `POST` or `GET` request, reading and writing |
//! | `get` | the query of a `GET` |
//! | `response` | the response, reading and writing |
//! | `decode` | decompression, metadata and pages of proxies, for results and errors |
//! | `retry_after` | `retry-after` |
//! | `error` | the JSON of an error, reading and writing |
//! | `outcome` | the headers of an error: whether the call may run again, whose failure it is |
//! | `stream` | the heads of calls with streams, reading and writing |
//! | `envelope` | the envelopes of the messages of a stream |
//! | `end_stream` | the JSON at the end of a response stream, reading and writing |
//! | `rejection` | the responses to calls that are rejected before the handler runs |

mod content;
mod decode;
mod end_stream;
mod envelope;
mod error;
mod get;
mod head;
mod outcome;
mod rejection;
mod request;
mod response;
mod retry_after;
mod stream;
mod timeout;

pub(crate) use end_stream::{read_end_stream, write_end_stream};
pub(crate) use envelope::{
    EnvelopeError, EnvelopeReader, HEAD as ENVELOPE_HEAD, SingleError, read_single,
};
pub(crate) use error::{ERROR_LIMIT, error_from_json, error_json, read_error};
pub(crate) use get::query_text;
pub(crate) use head::RequestHead;
pub(crate) use rejection::{CallRejection, RejectionFormat};
pub(crate) use request::{OutgoingMessage, has_query_message, read_request, write_request};
#[cfg(feature = "server")]
pub(crate) use request::{allows_get, read_bound_get};
pub(crate) use response::{
    Accepts, WireResponse, is_message, read_response, write_rejection, write_response,
};
pub(crate) use stream::{
    StreamResponseHead, is_stream, read_non_stream, read_response_head, write_envelope,
    write_failed_with, write_response_head,
};
pub(crate) use timeout::read as read_timeout;

#[cfg(test)]
mod tests;
