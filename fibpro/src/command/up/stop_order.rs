//! The order to stop, while services are being started.

use tokio::sync::watch;

/// Receives the order to stop. A service that is being started has files open, so its start is
/// finished or ended in order, and not cut.
#[derive(Debug, Clone)]
pub(super) struct StopOrder(watch::Receiver<bool>);

impl StopOrder {
    /// Returns the sender of the order and its receiver.
    pub(super) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub(super) fn is_given(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the order.
    pub(super) async fn given(&self) {
        // The returned reference holds a lock. A dropped sender is an order as well.
        drop(self.0.clone().wait_for(|is_given| *is_given).await);
    }
}
