//! Service discovery: the trait by which a client learns the addresses of a service.

mod dns;
mod dynamic;
mod file;
mod poll;
#[cfg(feature = "dns")]
mod srv;

use std::fmt;
use std::sync::Arc;

pub use dns::DnsAddresses;
pub use dynamic::DynamicAddresses;
pub use file::FileAddresses;
#[cfg(feature = "dns")]
pub use srv::SrvAddresses;

/// A source of the addresses of a service.
///
/// A client calls it before each attempt, so it must return a list that is already in memory.
/// [`Addresses`] is a fixed list, [`DynamicAddresses`] one that can be replaced, [`FileAddresses`]
/// is read from a file, and [`DnsAddresses`] are those of a host name; `SrvAddresses`, with the
/// feature `dns`, are those of a service name. To use a directory service, run a task that polls it
/// and [sets](DynamicAddresses::set) a `DynamicAddresses`.
///
/// ```
/// use rpc_runtime::Client;
/// use rpc_runtime::discovery::DynamicAddresses;
///
/// let replicas = DynamicAddresses::new("pricing", ["http://10.0.0.1:9004", "http://10.0.0.2:9004"]);
/// let client = Client::discover(replicas.clone());
/// // Later, when a replica has been removed:
/// replicas.set(["http://10.0.0.1:9004"]);
/// # drop(client);
/// ```
pub trait Discover: Send + Sync + 'static {
    /// Returns the name of the service for logs and errors.
    fn name(&self) -> String;

    /// Returns the current addresses, URLs such as `http://10.0.0.1:9004`. Must be cheap and must
    /// not block.
    ///
    /// Return clones of one list while nothing changes: a client recognizes them without comparing
    /// the items.
    fn addresses(&self) -> Addresses;
}

/// A list of addresses. Cloning is cheap.
///
/// As a [`Discover`], a list that never changes.
#[derive(Clone, PartialEq, Eq)]
pub struct Addresses(Arc<[Arc<str>]>);

impl Addresses {
    /// Iterates over the URLs in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter()
    }

    /// Returns `true` if the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of addresses.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether both are clones of one list.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<A: AsRef<str>> FromIterator<A> for Addresses {
    fn from_iter<I: IntoIterator<Item = A>>(addresses: I) -> Self {
        Self(
            addresses
                .into_iter()
                .map(|address| Arc::from(address.as_ref()))
                .collect(),
        )
    }
}

impl Discover for Addresses {
    fn name(&self) -> String {
        self.to_string()
    }

    fn addresses(&self) -> Addresses {
        self.clone()
    }
}

/// Formats the URLs, separated by commas.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(address)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
