//! The clock of the user store.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// Source of the current time: the system clock, or a manual one in tests.
///
/// It determines when a reservation starts and expires. If it jumps ahead, reservations expire
/// early: their purchases fail, but no credit is lost or spent twice. If it jumps ahead and back,
/// reservations of that time expire at once.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Returns the system clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// Creates a clock that returns the time of a function.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
