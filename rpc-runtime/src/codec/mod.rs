//! Values and messages as bytes.

pub(crate) mod google;
pub(crate) mod json;
