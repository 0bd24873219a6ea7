//! Extensions and the trace of a context, and a context that a layer gives to a call.

use std::sync::Arc;
#[cfg(feature = "_wire")]
use std::sync::atomic::Ordering;

use super::{Context, ContextInner, TraceContext};

/// Extensions: values of the application, by their types.
impl Context {
    /// Returns the extension of type `T`, which a layer has added by
    /// [`Request::insert_extension`](crate::middleware::Request::insert_extension), or
    /// [`with_extension`](Self::with_extension).
    ///
    /// ```
    /// use rpc_runtime::Context;
    ///
    /// struct Tenant(&'static str);
    ///
    /// let context = Context::current().with_extension(Tenant("blue"));
    /// assert_eq!(context.extension::<Tenant>().map(|tenant| tenant.0), Some("blue"));
    /// ```
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.inner()?.local.extensions.get()
    }

    /// Returns a context with one more extension, in place of one of the same type.
    ///
    /// It is there for the work in the scope of this context, and for layers and observers of the
    /// calls that a layer adds it to. It is never sent: a call to another service does not have it.
    #[must_use]
    pub fn with_extension<T: Send + Sync + 'static>(&self, value: T) -> Self {
        let mut inner = self.copy();
        inner.local.extensions.insert(&[Arc::new(value)]);
        Self(Some(Arc::new(inner)))
    }

    /// Returns a context in a trace, for the calls that are made in its scope: one that starts
    /// here, or that of a caller or tracing library whose `traceparent` the program has.
    ///
    /// The trace replaces that of this context. The calls carry its trace ID and its flag
    /// `sampled`, each with a span ID of its own.
    ///
    /// ```
    /// use rpc_runtime::Context;
    /// use rpc_runtime::context::TraceContext;
    ///
    /// // As a message queue delivered it.
    /// let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    /// let trace = TraceContext::parse(traceparent, None).unwrap_or_else(|| TraceContext::start(true));
    /// let context = Context::current().with_trace(trace);
    /// assert_eq!(context.trace().map(ToString::to_string).as_deref(), Some(traceparent));
    /// ```
    #[must_use]
    pub fn with_trace(&self, trace: TraceContext) -> Self {
        let mut inner = self.copy();
        inner.propagated.trace = Some(trace);
        Self(Some(Arc::new(inner)))
    }

    /// Returns this context as one of the given call, whose progress, response, caller and server
    /// stay.
    #[cfg(feature = "_wire")]
    pub(crate) fn in_call(self, call: &Self) -> Self {
        let (Some(of_call), Some(inner)) = (call.call(), call.inner()) else {
            return self;
        };
        let is_of_call = self.call().is_some_and(|own| std::ptr::eq(own, of_call));
        // A context of `for_request` belongs to the call, and has nothing of its caller.
        if is_of_call && self.starts_here() == call.starts_here() {
            return self;
        }
        let mut local = inner.local.clone();
        if let Some(own) = self.inner() {
            local.extensions.insert(own.local.extensions.values());
            if own.local.principal.is_some() {
                of_call.had_user.store(true, Ordering::Relaxed);
                local.principal.clone_from(&own.local.principal);
            }
        }
        Self(Some(Arc::new(ContextInner {
            propagated: self.propagated().in_call(&inner.propagated),
            local,
            ..call.copy()
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::RequestId;

    #[derive(Debug, PartialEq)]
    struct Tenant(&'static str);
    struct Plan(u8);

    #[test]
    fn an_extension_is_found_by_its_type() {
        let context = Context::default().with_extension(Tenant("blue"));
        let both = context.with_extension(Plan(3));
        assert_eq!(both.extension::<Tenant>(), Some(&Tenant("blue")));
        assert_eq!(both.extension::<Plan>().map(|plan| plan.0), Some(3));
        assert!(both.extension::<String>().is_none());
        assert!(context.extension::<Plan>().is_none());
        assert!(Context::default().extension::<Tenant>().is_none());
    }

    #[test]
    fn a_later_extension_of_a_type_replaces_it() {
        let value = Arc::new("first");
        let first = Context::default().with_extension(Arc::clone(&value));
        let second = first.with_extension(Arc::new("second"));
        assert_eq!(second.extension::<Arc<&str>>(), Some(&Arc::new("second")));
        assert_eq!(first.extension::<Arc<&str>>(), Some(&value));
        drop(first);
        // Of 10,000 replaced values none is kept.
        let many = (0..10_000).fold(second, |context, _| context.with_extension(Plan(7)));
        assert_eq!(many.inner().unwrap().local.extensions.values().len(), 2);
        drop(many);
        // The replaced value is dropped with the first context, which the origins may still hold.
        assert!(Arc::strong_count(&value) <= 2);
    }

    #[test]
    fn no_other_service_receives_an_extension() {
        let context = Context::for_request(RequestId::random()).with_extension(Tenant("blue"));
        let child = context.child(None, None, None).unwrap();
        assert!(child.extension::<Tenant>().is_none());
        assert!(context.for_attempt(2).extension::<Tenant>().is_some());
    }
}
