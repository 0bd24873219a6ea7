//! Requests of a server with HTTP layers, which stand around methods and plain HTTP alike.
//!
//! A request takes a place among the running calls while it is in the layers, and gives it up when
//! they hand it on: from there it passes the stages of a call. If it does not get there, what the
//! layers respond is observed as plain HTTP.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Instant;

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::request;
use http_body::Body;
use tokio::time::sleep_until;

use super::HttpResponse;
use super::plain_response::{error_response, label, observe_response};
use crate::context::{Context, RequestId};
use crate::duration::saturating_deadline;
use crate::error::{Code, Error};
use crate::observe::{CallStart, Observation};
use crate::protocol::connect::{self, RejectionFormat};
use crate::protocol::context::IncomingContext;
use crate::server::admission::authentication::Required;
use crate::server::admission::policy::Access;
use crate::server::admission::{self, AdmissionRules, OwnedPermit, RateRules, Rejected};
use crate::server::call::body::ResponseBody;
use crate::server::call::lingering_body::UnreadBody;
use crate::server::call::peer_origin::PeerAddress;
use crate::server::call::trust::{Caller, CallerKind, Peer};
use crate::server::http_layers::{HttpFuture, HttpService, LayerFailure, Rest};
use crate::server::inner::ServerInner;
use crate::server::memory::{CallMemory, PeerMemory};
use crate::server::panic::CatchPanic;
use crate::sync::MutexExt as _;

/// A request that the layers have, or have handed on.
pub(super) struct LayeredRequest {
    pub(super) inner: Arc<ServerInner>,
    pub(super) peer: Peer,
    pub(super) caller: Caller,
    pub(super) id: RequestId,
    pub(super) memory: Arc<PeerMemory>,
    /// Its place among the running calls, until the layers hand it on.
    place: Mutex<Option<OwnedPermit>>,
    stage: AtomicU8,
}

/// In the layers, before the rest of the server.
const BEFORE: u8 = 0;
/// In the rest of the server.
const INSIDE: u8 = 1;
/// In the layers, with the response of the rest of the server.
const AFTER: u8 = 2;
/// In the layers, which have dropped the rest of the server.
const DROPPED: u8 = 3;

/// The reason for which the layers have no response.
enum Failure {
    /// The request was not admitted.
    Rejected(Rejected),
    /// A layer failed or panicked, or the deadline passed.
    Failed(Error),
}

/// The time in the rest of the server.
pub(super) struct Inside<'r>(&'r LayeredRequest);

impl Inside<'_> {
    pub(super) fn end(self) {
        self.0.stage.store(AFTER, Ordering::Relaxed);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if self.0.stage() == INSIDE {
            self.0.stage.store(DROPPED, Ordering::Relaxed);
        }
    }
}

/// The observation of a request that the layers do not hand on.
struct Unobserved<'r> {
    request: &'r LayeredRequest,
    /// `None` when it is observed.
    start: Option<CallStart>,
}

impl Unobserved<'_> {
    fn start(&mut self) -> Option<Observation> {
        let start = self.start.take()?;
        Some(self.request.inner.observers().start(start))
    }
}

impl Drop for Unobserved<'_> {
    fn drop(&mut self) {
        if self.request.stage() == BEFORE {
            // The caller went away.
            drop(self.start());
        }
    }
}

impl LayeredRequest {
    pub(super) fn new(
        inner: &Arc<ServerInner>,
        peer: Peer,
        caller: Caller,
        id: RequestId,
        memory: &Arc<PeerMemory>,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            peer,
            caller: caller.behind_http_layers(),
            id,
            memory: Arc::clone(memory),
            place: Mutex::default(),
            stage: AtomicU8::new(BEFORE),
        })
    }

    /// Runs the request through the layers. `rest` is the rest of the server.
    pub(super) async fn run<B>(
        self: Arc<Self>,
        layers: &HttpService,
        incoming: IncomingContext,
        request: http::Request<B>,
        rest: fn(Arc<Self>, Context, http::Request<AxumBody>) -> HttpFuture,
    ) -> HttpResponse
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let (mut head, body) = request.into_parts();
        let context = self.context(&head, incoming);
        let mut unobserved = Unobserved {
            request: &self,
            start: Some(CallStart::http(label(&head.method), &context)),
        };
        let unread = UnreadBody::of(&head, &body);
        let is_builtin = self.is_builtin(head.uri.path());
        let (this, of_layers) = (Arc::clone(&self), context.clone());
        head.extensions.insert(Rest(Arc::new(move |request| {
            rest(Arc::clone(&this), of_layers.clone(), request)
        })));
        if let Some(address) = self.peer.address() {
            head.extensions.insert(PeerAddress(address));
        }
        let request = http::Request::from_parts(head, AxumBody::new(body));
        let outcome = match self.admit(is_builtin, &context).await {
            // A layer may read the context before it awaits.
            Ok(()) => {
                let work = context
                    .clone()
                    .scope(async { layers.respond(request).await });
                self.within(context.deadline(), CatchPanic::new(work)).await
            }
            Err(rejected) => Err(Failure::Rejected(rejected)),
        };
        self.release_place();
        let failure = match outcome {
            Ok(mut response) => match response.extensions_mut().remove() {
                Some(LayerFailure(error)) => {
                    let failure = Failure::Failed(error);
                    let failed = self.fail(unobserved.start(), failure, &context);
                    return with_headers(failed, response.headers());
                }
                None => return self.finish(unobserved, response, unread, context),
            },
            Err(failure) => failure,
        };
        let mut response = self.fail(unobserved.start(), failure, &context);
        if self.stage() == BEFORE {
            unread.mark(&mut response);
        }
        response
    }

    /// Reports a response of the layers to the observers, unless the rest of the server has made
    /// it.
    fn finish(
        &self,
        mut unobserved: Unobserved<'_>,
        mut response: http::Response<AxumBody>,
        unread: UnreadBody,
        context: Context,
    ) -> HttpResponse {
        if self.stage() != AFTER {
            unread.mark(&mut response);
            if let Some(observation) = unobserved.start() {
                observe_response(observation, &mut response);
            }
        }
        let memory = CallMemory::new(&self.memory, self.caller.is_trusted()).to_owned();
        response.map(|body| ResponseBody::plain(body, context, memory, None))
    }

    /// Returns the caller of the request that the layers hand on. Only a plain HTTP route serves
    /// callers that its listener does not trust, so a layer cannot turn their request into a call.
    ///
    /// # Errors
    ///
    /// `permission_denied` for such a call.
    pub(super) fn caller_of(&self, is_plain: bool) -> Result<Caller, Error> {
        match self.caller.kind() {
            CallerKind::Unsigned { .. } | CallerKind::Remote if !is_plain => {
                let text = "an HTTP layer of the server has changed the path of the request to that of a method, which \
                            this caller may not call";
                Err(Error::without_location(Code::PermissionDenied, text))
            }
            _ => Ok(self.caller),
        }
    }

    /// Begins the rest of the server.
    pub(super) fn hand_on(&self) -> Inside<'_> {
        self.release_place();
        self.stage.store(INSIDE, Ordering::Relaxed);
        Inside(self)
    }

    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }

    fn release_place(&self) {
        drop(self.place.lock_unpoisoned().take());
    }

    fn is_builtin(&self, path: &str) -> bool {
        let routes = self.inner.routes();
        let route = routes.get(path).or_else(|| routes.builtin(path));
        route.is_some_and(|route| route.is_builtin())
    }

    /// Returns the context of the layers. The rest of the server reads that of the call.
    fn context(&self, head: &request::Parts, incoming: IncomingContext) -> Context {
        let default = self.inner.limits().default_deadline;
        let given = connect::read_timeout(&head.headers).ok().flatten();
        let timeout = given.map_or(default, |given| given.min(default));
        let server_info = Arc::clone(self.inner.server_info());
        let builder = incoming.builder.server_info(server_info);
        builder
            .deadline(saturating_deadline(Instant::now(), timeout))
            .caller_timeout(given, default)
            .build()
    }

    /// Takes a place among the running calls, for the time before the rest of the server.
    async fn admit(&self, is_builtin: bool, context: &Context) -> Result<(), Rejected> {
        let rules = AdmissionRules {
            name: "http",
            path: "http",
            access: &Access::Unrestricted,
            rate: &RateRules::default(),
            // The rest of the server authenticates.
            user: Required::Nothing,
            is_builtin,
        };
        let gate = self.inner.gate();
        let authentication = self.inner.authentication();
        let permit = admission::enter(gate, authentication, &rules, context).await?;
        *self.place.lock_unpoisoned() = permit.map(|permit| permit.into_owned(Arc::clone(gate)));
        Ok(())
    }

    /// Runs the layers until the deadline. The rest of the server has a deadline of its own.
    async fn within(
        &self,
        deadline: Option<Instant>,
        work: impl Future<Output = Result<Result<http::Response<AxumBody>, Infallible>, Error>>,
    ) -> Result<http::Response<AxumBody>, Failure> {
        let deadline = deadline.unwrap_or_else(Instant::now);
        let mut work = pin!(work);
        let mut late = pin!(sleep_until(deadline.into()));
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            let is_late = self.stage() != INSIDE && late.as_mut().poll(cx).is_ready();
            if is_late {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        });
        match outcome.await {
            Some(Ok(Ok(response))) => Ok(response),
            Some(Ok(Err(never))) => match never {},
            Some(Err(panic)) => Err(Failure::Failed(panic)),
            None => Err(Failure::Failed(Error::deadline_exceeded())),
        }
    }

    /// Reports a failure to the observers, and returns its response.
    fn fail(
        &self,
        observation: Option<Observation>,
        failure: Failure,
        context: &Context,
    ) -> HttpResponse {
        let (mut error, rejection) = match failure {
            Failure::Rejected(Rejected { error, rejection }) => (error, rejection),
            Failure::Failed(error) => (error, None),
        };
        if self.stage() == BEFORE {
            error = error.not_executed();
        }
        if let Some(mut observation) = observation {
            observation.reject(rejection);
            observation.end_with(Some(&error), 0);
        }
        let format = RejectionFormat::Error;
        error_response(&self.inner, &self.caller, error, format, context)
    }
}

/// Adds the headers of the layers outside of the one that failed.
fn with_headers(mut response: HttpResponse, headers: &HeaderMap) -> HttpResponse {
    for (name, value) in headers {
        if !response.headers().contains_key(name) && name != CONTENT_LENGTH {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}
