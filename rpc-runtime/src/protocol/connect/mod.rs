//! The unary Connect protocol with JSON messages, as in the public Connect protocol reference.
//!
//! | File | Content |
//! | --- | --- |
//! | `content` | content types and encodings |
//! | `timeout` | `connect-timeout-ms` |
//! | `request` | the head of a `POST` or `GET` request, reading and writing |
//! | `get` | the query of a `GET` |
//! | `response` | the response, reading and writing |
//! | `decode` | decompression, metadata and pages of proxies, for results and errors |
//! | `retry_after` | `retry-after` |
//! | `error` | the JSON of an error, reading and writing |
//! | `outcome` | the headers of an error: whether the call may run again, whose failure it is |
//! | `rejection` | the responses to calls that are rejected before the handler runs |

mod content;
mod decode;
mod error;
mod get;
mod outcome;
mod rejection;
mod request;
mod response;
mod retry_after;
mod timeout;

pub(crate) use error::{ERROR_LIMIT, error_from_json, error_json, read_error};
pub(crate) use get::query_text;
pub(crate) use rejection::{CallRejection, RejectionFormat};
#[cfg(feature = "server")]
pub(crate) use request::read_bound_get;
pub(crate) use request::{
    OutgoingMessage, RequestHead, has_query_message, read_request, write_request,
};
pub(crate) use response::{
    Accepts, WireResponse, is_message, read_response, write_rejection, write_response,
};
pub(crate) use timeout::read as read_timeout;

#[cfg(test)]
mod tests;
