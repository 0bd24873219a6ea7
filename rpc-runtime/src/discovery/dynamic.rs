//! A list of addresses that changes.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Addresses, Discover};

/// A list of addresses that changes while clients use it. Clones share the list: one goes to the clients, another stays
/// with whoever [sets](Self::set) it.
///
/// Addresses that stay keep their connections and what is known of their health. Calls that are on their way to an
/// address that goes come to their end.
#[derive(Clone)]
pub struct DynamicAddresses(Arc<SharedAddresses>);

struct SharedAddresses {
    name: String,
    addresses: RwLock<Addresses>,
}

impl DynamicAddresses {
    /// A list of what people call `name`. It may be empty at first: calls are `unavailable` until it is set.
    pub fn new<A: AsRef<str>>(
        name: impl Into<String>,
        addresses: impl IntoIterator<Item = A>,
    ) -> Self {
        Self(Arc::new(SharedAddresses {
            name: name.into(),
            addresses: RwLock::new(addresses.into_iter().collect()),
        }))
    }

    /// Replaces the list. The next attempt of any client goes by the new one.
    pub fn set<A: AsRef<str>>(&self, addresses: impl IntoIterator<Item = A>) {
        let new = addresses.into_iter().collect();
        *self
            .0
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
    }
}

impl Discover for DynamicAddresses {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn addresses(&self) -> Addresses {
        self.0
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
