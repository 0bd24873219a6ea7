//! The lines at which handlers return errors of their own, which an enum cannot carry.

use std::panic::Location;

use crate::context::Context;
use crate::error::variant_of;

/// Records the line of the caller for this variant, and returns the error.
#[must_use]
#[track_caller]
pub fn located<E: 'static>(error: E) -> E {
    Context::record_error_location(Location::caller(), Some(variant_of(&error)));
    error
}

/// Records the line of the caller if the result of a method is an error, and returns the result.
///
/// # Errors
///
/// The error of the result.
#[track_caller]
#[inline]
pub fn located_result<T, E: 'static>(result: Result<T, E>) -> Result<T, E> {
    match result {
        Err(error) => Err(located(error)),
        value => value,
    }
}

/// Records the line of the caller, a `?` of a method, if the result is an error, and returns the
/// result. The `?` may convert the error to another type.
///
/// # Errors
///
/// The error of the result.
#[track_caller]
#[inline]
pub fn located_attempt<T, E>(result: Result<T, E>) -> Result<T, E> {
    if result.is_err() {
        Context::record_error_location(Location::caller(), None);
    }
    result
}
