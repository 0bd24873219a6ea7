//! The encoding of messages (JSON) and of error details (protobuf).

pub(crate) mod base64;
mod encoded_fields;
pub(crate) mod error_details;
mod error_fields;
pub(crate) mod json;
mod typed_fields;

pub use error_fields::TypedError;
