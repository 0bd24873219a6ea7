//! Values and messages as bytes.

pub(crate) mod error_details;
pub(crate) mod json;
