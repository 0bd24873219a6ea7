//! The Connect protocol, unary, with JSON messages. Source: the public Connect protocol reference.
//!
//! | file | what it maps |
//! | --- | --- |
//! | `content` | content types and encodings |
//! | `timeout` | `connect-timeout-ms` |
//! | `request` | the head of a `POST` or `GET`, both directions |
//! | `get` | the query of a `GET` |
//! | `response` | the answer, both directions |
//! | `error` | the JSON of an error, both directions |
//! | `rejection` | answers that are given before a handler runs |

mod content;
mod error;
mod get;
mod rejection;
mod request;
mod response;
mod timeout;

pub(crate) use error::{error_from_json, error_json, read_error};
pub(crate) use rejection::{Rejection, RejectionFormat};
pub(crate) use request::{RequestHead, read_request, write_request};
pub(crate) use response::{Accepts, WireResponse, read_response, write_rejection, write_response};

#[cfg(test)]
mod tests;
