//! The errors that a handler returns.

use crate::context::Context;
use crate::error::Error;

/// Converts an error that a handler has returned to its wire form, with what the context of the
/// call knows of it: its line, and the chain of the dependency's error that it wraps.
pub(crate) fn returned_error<E: 'static>(
    encode: impl FnOnce(E) -> Error,
    error: E,
    context: &Context,
) -> Error {
    let location = context.error_location(&error);
    let mut error = encode(error);
    if !context.attach_error_chain(&mut error) {
        context.mark_returned_variant::<E>(&mut error);
    }
    error.locate(location);
    context.settle_execution(&mut error);
    error.remap_dependency_error(context.server().map_or("-", |server| server.as_str()));
    error
}
