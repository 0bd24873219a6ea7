//! Typed values of a context, which never leave the process.

use std::any::Any;
use std::sync::Arc;

/// Values by their types. They are few, so a search is faster than a hash.
#[derive(Clone, Default)]
pub(super) struct Extensions(Option<Arc<[Arc<dyn Any + Send + Sync>]>>);

impl Extensions {
    pub(super) fn get<T: 'static>(&self) -> Option<&T> {
        self.values()
            .iter()
            .find_map(|value| value.downcast_ref::<T>())
    }

    pub(super) fn values(&self) -> &[Arc<dyn Any + Send + Sync>] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Adds values, each in place of one of the same type.
    pub(super) fn insert(&mut self, added: &[Arc<dyn Any + Send + Sync>]) {
        if added.is_empty() {
            return;
        }
        let is_replaced = |value: &dyn Any| {
            let mut added = added.iter();
            added.any(|added| (**added).type_id() == value.type_id())
        };
        let kept = self.values().iter().filter(|value| !is_replaced(&***value));
        self.0 = Some(kept.chain(added).cloned().collect());
    }
}
