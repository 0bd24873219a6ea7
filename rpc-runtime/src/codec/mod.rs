//! The encoding of messages (JSON) and of error details (protobuf).

pub(crate) mod base64;
pub(crate) mod error_details;
pub(crate) mod json;
