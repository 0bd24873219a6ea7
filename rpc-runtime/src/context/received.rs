//! The variants that dependencies have sent to the handler of one call.

/// The most variants of dependencies' errors that one call tells from others. Each variant that is
/// returned after more of them counts as received.
const VARIANT_COUNT: usize = 256;

/// Fingerprints of the variants that dependencies have sent, and whether each was retried.
#[derive(Default)]
pub(super) struct ReceivedVariants {
    received: Vec<(u64, bool)>,
    has_more: bool,
}

impl ReceivedVariants {
    pub(super) fn add(&mut self, fingerprint: u64, retried: bool) {
        let mut received = self.received.iter_mut();
        if let Some((_, before)) = received.find(|(received, _)| *received == fingerprint) {
            *before |= retried;
        } else if self.received.len() < VARIANT_COUNT {
            self.received.push((fingerprint, retried));
        } else {
            self.has_more = true;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Returns whether the variant with this fingerprint was retried, if it counts as received.
    pub(super) fn find(&self, fingerprint: u64) -> Option<bool> {
        let mut received = self.received.iter();
        match received.find(|(received, _)| *received == fingerprint) {
            Some((_, retried)) => Some(*retried),
            None => self.has_more.then_some(false),
        }
    }
}
