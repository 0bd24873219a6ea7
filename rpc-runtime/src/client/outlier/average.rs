//! A moving average that many attempts update.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The share below which failures and errors are forgotten.
const NEGLIGIBLE: f32 = 1.0 / 64.0;

/// An exponentially weighted moving average; 0 is "nothing yet".
#[derive(Debug, Default)]
pub(super) struct Average(AtomicU32);

impl Average {
    pub(super) fn get(&self) -> f32 {
        f32::from_bits(self.0.load(Relaxed))
    }

    pub(super) fn set(&self, value: f32) {
        self.0.store(value.to_bits(), Relaxed);
    }

    pub(super) fn add(&self, value: f32, weight: f32) {
        let old = self.get();
        self.set(old + (value - old) * weight);
    }

    /// Adds 0 to a share, down to [`NEGLIGIBLE`].
    pub(super) fn forget(&self, weight: f32) {
        let old = self.get();
        if old != 0.0 {
            let new = old - old * weight;
            self.set(if new < NEGLIGIBLE { 0.0 } else { new });
        }
    }
}
