//! The error of a call that has ended.

use crate::context::{Context, RequestId};
use crate::descriptor::MethodDescriptor;
use crate::error::Error;

/// Marks an error as the end of a call. Adds the request ID and the method to one that did not come
/// from a server.
pub(super) fn end_call(
    error: &mut Error,
    id: RequestId,
    method: &'static MethodDescriptor,
    callers: &Context,
) {
    error.end_call(method.service, callers.is_of_request());
    if error.request_id().is_none() {
        error.set_request_id(id);
    }
    if error.hops().is_empty() {
        error.set_failed_call(method.full_name());
    }
}
