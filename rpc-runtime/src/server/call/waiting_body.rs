//! The body of a plain HTTP request, which is counted, and gives up the request's place among the
//! running calls while its sender is slow.
//!
//! A handler that waits for the body of a request does no work. If it kept its place, some peers
//! that send slowly would keep out all others. It goes on with a place: it takes one again before
//! it is polled, and a body that is read in another task before it returns what has arrived.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{self, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::middleware::BoxFuture;
use crate::observe::Rejection;
use crate::server::admission::{self, Gate, OwnedPermit, Rejected};
use crate::server::memory::{Count, OwnedMemory};
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
    /// Why the request did not get a place again, or its body no memory.
    rejected: Option<Rejected>,
    /// Whether the body has waited for longer than [`PATIENCE`], and still waits.
    is_late: bool,
    /// Wakes the handler, while it is not polled.
    handler: Option<Waker>,
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
                is_late: false,
                handler: None,
            }),
        })
    }

    /// Takes the place, which the body does not give up any more.
    pub(crate) fn take(&self) -> Option<OwnedPermit> {
        self.state.lock_unpoisoned().permit.take()
    }

    /// Returns why the request cannot go on, if it cannot.
    pub(crate) fn rejected(&self) -> Option<Rejected> {
        self.state.lock_unpoisoned().rejected.take()
    }

    /// Runs a handler, with a place whenever it is polled.
    ///
    /// # Errors
    ///
    /// The rejection of a handler that gets no place.
    pub(crate) async fn hold<T>(&self, handler: impl Future<Output = T>) -> Result<T, Rejected> {
        let mut handler = pin!(handler);
        let mut next_place: Option<NextPlace> = None;
        poll_fn(|cx| {
            if !self.has_permit() {
                let place = next_place.get_or_insert_with(|| self.next());
                let permit = ready!(place.as_mut().poll(cx))?;
                next_place = None;
                self.state.lock_unpoisoned().permit = Some(permit);
            }
            let polled = handler.as_mut().poll(cx);
            if polled.is_pending() {
                self.pause(cx);
            }
            polled.map(Ok)
        })
        .await
    }

    /// Gives up the place of a handler that waits, if its body has waited for too long, now or as
    /// soon as it has.
    fn pause(&self, cx: &task::Context<'_>) {
        let mut state = self.state.lock_unpoisoned();
        state.handler = Some(cx.waker().clone());
        if state.is_late {
            state.permit = None;
        }
    }

    /// Records whether the body has waited for too long. The handler may be another task.
    fn set_late(&self, is_late: bool) {
        let mut state = self.state.lock_unpoisoned();
        let begins = is_late && !state.is_late;
        state.is_late = is_late;
        // A handler that is polled now gives up its place at the end of it.
        if begins && let Some(handler) = state.handler.take() {
            drop(state);
            handler.wake();
        }
    }

    fn has_permit(&self) -> bool {
        let mut state = self.state.lock_unpoisoned();
        state.handler = None;
        state.permit.is_some()
    }

    /// Returns a future of another place.
    fn next(&self) -> NextPlace {
        Box::pin(admission::enter_again(
            Arc::clone(&self.gate),
            self.deadline,
        ))
    }

    /// Rejects the request; returns the error that its body ends with.
    fn reject(&self, rejected: Rejected) -> Box<dyn StdError + Send + Sync> {
        let text = rejected.error.to_string();
        self.state.lock_unpoisoned().rejected = Some(rejected);
        text.into()
    }
}

/// A future that takes a place again.
type NextPlace = BoxFuture<Result<OwnedPermit, Rejected>>;

/// A frame of a body, its end or an error.
type Arrived<E> = Option<Result<Frame<Bytes>, E>>;

/// A body that gives up the place of its request after [`PATIENCE`], and takes one again before it
/// returns what has arrived. Its pieces are counted until they are dropped, and the rest of its
/// request until its end.
pub(crate) struct WaitingBody<B: Body> {
    body: B,
    place: Arc<Place>,
    memory: OwnedMemory,
    /// The count of a request that is not complete.
    incomplete: Option<Count>,
    /// The rest of [`PATIENCE`].
    left: Duration,
    /// The time since which the body waits for its sender, and the end of its patience.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// The next place, and the frame that arrived without one.
    arrived: Option<(NextPlace, Arrived<B::Error>)>,
}

impl<B: Body> WaitingBody<B> {
    pub(crate) fn new(body: B, place: Arc<Place>, incomplete: Count) -> Self {
        Self {
            body,
            place,
            memory: incomplete.memory(),
            incomplete: Some(incomplete),
            left: PATIENCE,
            waiting: None,
            arrived: None,
        }
    }

    fn has_place(&self) -> bool {
        self.place.state.lock_unpoisoned().permit.is_some()
    }

    /// Records if the sender has been slow for too long.
    fn wait(&mut self, cx: &mut task::Context<'_>) {
        let left = self.left;
        let (_, end) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        if end.as_mut().poll(cx).is_ready() {
            self.place.set_late(true);
        }
    }
}

impl<B> WaitingBody<B>
where
    B: Body<Data = Bytes, Error = Box<dyn StdError + Send + Sync>>,
{
    /// Counts what has arrived.
    fn counted(&mut self, arrived: Arrived<B::Error>) -> Arrived<B::Error> {
        let data = match arrived {
            Some(Ok(frame)) => frame.into_data(),
            end => {
                self.incomplete = None;
                return end;
            }
        };
        let data = match data {
            Ok(data) => self.memory.count_piece(data),
            Err(trailers) => return Some(Ok(trailers)),
        };
        Some(data.map(Frame::data).map_err(|refused| {
            self.place.reject(Rejected {
                error: refused.of_piece(),
                rejection: Some(Rejection::Overload),
            })
        }))
    }
}

impl<B: Body> Drop for WaitingBody<B> {
    fn drop(&mut self) {
        self.place.set_late(false);
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
                this.wait(cx);
                return Poll::Pending;
            };
            this.place.set_late(false);
            let arrived = this.counted(arrived);
            if let Some((since, _)) = this.waiting.take() {
                this.left = this.left.saturating_sub(since.elapsed());
            }
            if this.has_place() {
                return Poll::Ready(arrived);
            }
            this.arrived = Some((this.place.next(), arrived));
        }
        let Some((place, _)) = &mut this.arrived else {
            return Poll::Pending;
        };
        let place = ready!(place.as_mut().poll(cx));
        let arrived = this.arrived.take().and_then(|(_, arrived)| arrived);
        Poll::Ready(match place {
            Ok(permit) => {
                this.place.state.lock_unpoisoned().permit = Some(permit);
                arrived
            }
            Err(rejected) => Some(Err(this.place.reject(rejected))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.arrived.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
