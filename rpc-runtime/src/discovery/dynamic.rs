//! A list of addresses that can change.

use std::fmt;
use std::sync::{Arc, RwLock, Weak};

use super::{Addresses, Discover};
use crate::sync::RwLockExt as _;

/// A list of addresses that can be [replaced](Self::set) while clients use it. Clones share the
/// list.
///
/// Addresses that are also in the new list keep their connections and health. Calls in
/// flight to an address that is removed are completed.
#[derive(Clone)]
pub struct DynamicAddresses(Arc<SharedAddresses>);

/// A list, as long as a client or another handle uses it.
pub(super) struct WeakAddresses(Weak<SharedAddresses>);

impl WeakAddresses {
    pub(super) fn upgrade(&self) -> Option<DynamicAddresses> {
        self.0.upgrade().map(DynamicAddresses)
    }
}

struct SharedAddresses {
    name: String,
    addresses: RwLock<Addresses>,
}

impl DynamicAddresses {
    /// Creates a list for the service `name`, which is used in logs and errors. While the list is
    /// empty, calls fail with `unavailable`.
    pub fn new<A: AsRef<str>>(
        name: impl Into<String>,
        addresses: impl IntoIterator<Item = A>,
    ) -> Self {
        Self(Arc::new(SharedAddresses {
            name: name.into(),
            addresses: RwLock::new(addresses.into_iter().collect()),
        }))
    }

    /// Returns a handle that does not keep the list.
    pub(super) fn downgrade(&self) -> WeakAddresses {
        WeakAddresses(Arc::downgrade(&self.0))
    }

    /// Replaces the list. It applies to the next attempt of each client.
    pub fn set<A: AsRef<str>>(&self, addresses: impl IntoIterator<Item = A>) {
        let new = addresses.into_iter().collect();
        *self.0.addresses.write_unpoisoned() = new;
    }
}

impl Discover for DynamicAddresses {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn addresses(&self) -> Addresses {
        self.0.addresses.read_unpoisoned().clone()
    }
}

impl fmt::Debug for DynamicAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicAddresses")
            .field("name", &self.0.name)
            .field("addresses", &self.addresses())
            .finish()
    }
}
