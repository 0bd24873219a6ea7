//! The part of a context that crosses a hop.

use std::sync::Arc;
use std::time::Instant;

use super::{Baggage, HOP_COUNT_LIMIT, Principal, Source, TraceContext};
use crate::error::{Code, Error};
use crate::faults::FaultPlan;
use crate::request_id::RequestId;

/// The values that a call carries to the next service: in headers over the network, by a clone in
/// one process.
///
/// Code that transfers these values lists all fields, without `..`. A new field therefore does not
/// compile until the child context, the writer and the reader of the headers handle it.
#[derive(Clone, Default)]
pub(crate) struct Propagated {
    /// `None` only outside a request.
    pub(crate) request_id: Option<RequestId>,
    /// The calling server.
    pub(crate) source: Option<Arc<Source>>,
    pub(crate) environment: Option<Arc<str>>,
    /// The user on whose behalf the call runs, as the caller has sent it.
    pub(crate) principal: Option<Principal>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) baggage: Baggage,
    pub(crate) faults: Option<FaultPlan>,
    /// The number of services that the request has passed.
    pub(crate) hops: u32,
    /// The number of the attempt of the caller, from 1. 0 counts as 1.
    pub(crate) attempt: u32,
}

/// The values outside a request.
pub(super) static EMPTY: Propagated = Propagated {
    request_id: None,
    source: None,
    environment: None,
    principal: None,
    deadline: None,
    trace: None,
    baggage: Baggage::new(),
    faults: None,
    hops: 0,
    attempt: 0,
};

impl Propagated {
    /// Creates the values of a request that starts here.
    pub(crate) fn new(request_id: RequestId) -> Self {
        Self {
            request_id: Some(request_id),
            ..Self::default()
        }
    }

    /// Returns the values that a server of another system receives: its deadline, and what was
    /// asked for.
    pub(crate) fn restricted(&self, with_request_id: bool, with_trace: bool) -> Self {
        let Self {
            request_id,
            source: _,
            environment: _,
            principal: _,
            deadline,
            trace,
            baggage: _,
            faults: _,
            hops: _,
            attempt: _,
        } = self;
        Self {
            request_id: request_id.filter(|_| with_request_id),
            deadline: *deadline,
            trace: trace.clone().filter(|_| with_trace),
            ..Self::default()
        }
    }

    /// Returns the values of a call that is made on behalf of this one: the same request, one hop
    /// further.
    ///
    /// The earlier of both deadlines applies.
    ///
    /// # Errors
    ///
    /// `failed_precondition` when the request has passed [`HOP_COUNT_LIMIT`] services.
    pub(super) fn child(
        &self,
        caller: Option<Arc<Source>>,
        principal: Option<Principal>,
        own_deadline: Option<Instant>,
    ) -> Result<Self, Error> {
        let Self {
            request_id,
            source: _,
            environment,
            // That of the call, which a layer may have set.
            principal: _,
            deadline,
            trace,
            baggage,
            faults,
            hops,
            attempt: _,
        } = self;
        let hops = hops + 1;
        if hops > HOP_COUNT_LIMIT {
            return Err(Error::without_location(
                Code::FailedPrecondition,
                format!("loop detected: the request has already passed {HOP_COUNT_LIMIT} services"),
            ));
        }
        Ok(Self {
            request_id: Some(request_id.unwrap_or_else(RequestId::random)),
            source: caller,
            environment: environment.clone(),
            principal,
            deadline: (*deadline).into_iter().chain(own_deadline).min(),
            trace: trace.as_ref().map(TraceContext::child),
            baggage: baggage.clone(),
            faults: faults.clone(),
            hops,
            attempt: 1,
        })
    }

    /// Returns these values for a call that a layer gives them to: its caller, hops and deadline
    /// stay those of the call.
    #[cfg(feature = "_wire")]
    pub(super) fn in_call(&self, call: &Self) -> Self {
        let Self {
            request_id,
            source: _,
            environment,
            principal,
            deadline,
            trace,
            baggage,
            faults,
            hops,
            attempt: _,
        } = self;
        Self {
            request_id: request_id.or(call.request_id),
            source: call.source.clone(),
            environment: environment.clone().or_else(|| call.environment.clone()),
            principal: principal.clone().or_else(|| call.principal.clone()),
            deadline: (*deadline).into_iter().chain(call.deadline).min(),
            trace: trace.clone().or_else(|| call.trace.clone()),
            baggage: baggage.clone(),
            faults: faults.clone().or_else(|| call.faults.clone()),
            hops: call.hops.max(*hops),
            attempt: call.attempt,
        }
    }
}
