//! The body of a plain HTTP request, which gives up the request's place among the running calls
//! while its sender is slow.
//!
//! A handler that waits for the body of a request does no work. If it kept its place, some peers
//! that send slowly would keep out all others.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{self, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::middleware::BoxFuture;
use crate::server::admission::{self, Gate, OwnedPermit, Rejected};
use crate::sync::MutexExt as _;

/// Time for which a request keeps its place while it waits for its sender, over its whole body.
const PATIENCE: Duration = Duration::from_millis(100);

/// The place of a request among the running calls.
pub(crate) struct Place {
    gate: Arc<Gate>,
    deadline: Option<Instant>,
    state: Mutex<PlaceState>,
}

struct PlaceState {
    permit: Option<OwnedPermit>,
    /// Why the request did not get a place again.
    rejected: Option<Rejected>,
}

impl Place {
    pub(crate) fn new(
        permit: Option<OwnedPermit>,
        gate: &Arc<Gate>,
        deadline: Option<Instant>,
    ) -> Arc<Self> {
        Arc::new(Self {
            gate: Arc::clone(gate),
            deadline,
            state: Mutex::new(PlaceState {
                permit,
                rejected: None,
            }),
        })
    }

    /// Takes the place, which the body does not give up any more.
    pub(crate) fn take(&self) -> Option<OwnedPermit> {
        self.state.lock_unpoisoned().permit.take()
    }

    /// Returns why the request did not get a place again, if it did not.
    pub(crate) fn rejected(&self) -> Option<Rejected> {
        self.state.lock_unpoisoned().rejected.take()
    }
}

/// A future that takes a place again.
type NextPlace = BoxFuture<Result<OwnedPermit, Rejected>>;

/// A frame of a body, its end or an error.
type Arrived<E> = Option<Result<Frame<Bytes>, E>>;

/// A body that gives up the place of its request after [`PATIENCE`], and takes one again before it
/// returns what has arrived.
pub(crate) struct WaitingBody<B: Body> {
    body: B,
    place: Arc<Place>,
    /// The rest of [`PATIENCE`].
    left: Duration,
    /// The time since which the body waits for its sender, and the end of its patience.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// The next place, and the frame that arrived without one.
    arrived: Option<(NextPlace, Arrived<B::Error>)>,
}

impl<B: Body> WaitingBody<B> {
    pub(crate) fn new(body: B, place: Arc<Place>) -> Self {
        Self {
            body,
            place,
            left: PATIENCE,
            waiting: None,
            arrived: None,
        }
    }

    fn has_place(&self) -> bool {
        self.place.state.lock_unpoisoned().permit.is_some()
    }

    /// Gives up the place if the sender has been slow for too long.
    fn wait(&mut self, cx: &mut task::Context<'_>) {
        let left = self.left;
        let (_, end) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        if end.as_mut().poll(cx).is_ready() {
            drop(self.place.take());
        }
    }
}

impl<B> Body for WaitingBody<B>
where
    B: Body<Data = Bytes, Error = Box<dyn StdError + Send + Sync>> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Arrived<Self::Error>> {
        let this = &mut *self;
        if this.arrived.is_none() {
            let Poll::Ready(arrived) = Pin::new(&mut this.body).poll_frame(cx) else {
                if this.has_place() {
                    this.wait(cx);
                }
                return Poll::Pending;
            };
            if let Some((since, _)) = this.waiting.take() {
                this.left = this.left.saturating_sub(since.elapsed());
            }
            if this.has_place() {
                return Poll::Ready(arrived);
            }
            let place = admission::enter_again(Arc::clone(&this.place.gate), this.place.deadline);
            this.arrived = Some((Box::pin(place), arrived));
        }
        let Some((place, _)) = &mut this.arrived else {
            return Poll::Pending;
        };
        let place = ready!(place.as_mut().poll(cx));
        let arrived = this.arrived.take().and_then(|(_, arrived)| arrived);
        let mut state = this.place.state.lock_unpoisoned();
        Poll::Ready(match place {
            Ok(permit) => {
                state.permit = Some(permit);
                arrived
            }
            Err(rejected) => {
                let text = rejected.error.to_string();
                state.rejected = Some(rejected);
                Some(Err(text.into()))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.arrived.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
