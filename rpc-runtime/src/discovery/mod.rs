//! Where the servers of a service are: the seam between a client and whoever knows the addresses.

mod dynamic;

use std::fmt;
use std::sync::Arc;

pub use dynamic::DynamicAddresses;

/// Who knows the addresses of a service.
///
/// A client asks before each attempt, so the answer must be at hand: a list in memory, which somebody else keeps up to
/// date. [`Addresses`] is a list that stays, [`DynamicAddresses`] one that changes; one that asks a directory is a task that
/// [sets](DynamicAddresses::set) a `DynamicAddresses`.
///
/// ```
/// use rpc_runtime::Client;
/// use rpc_runtime::discovery::DynamicAddresses;
///
/// let replicas = DynamicAddresses::new("pricing", ["http://10.0.0.1:9004", "http://10.0.0.2:9004"]);
/// let client = Client::discover(replicas.clone());
/// // Later, when a replica has gone:
/// replicas.set(["http://10.0.0.1:9004"]);
/// # drop(client);
/// ```
pub trait Discover: Send + Sync + 'static {
    /// What is looked for, as people call it: it stands in logs and in errors.
    fn name(&self) -> String;

    /// The addresses as they are now: URLs such as `http://10.0.0.1:9004`. Cheap, and never blocks.
    ///
    /// While nothing changes, clones of one list are best: a client looks at the items only when the list is another.
    fn addresses(&self) -> Addresses;
}

/// A list of addresses. Cloning is cheap.
///
/// As a [`Discover`] it is the list that stays.
#[derive(Clone, PartialEq, Eq)]
pub struct Addresses(Arc<[Arc<str>]>);

impl Addresses {
    /// The URLs, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether both are clones of one list.
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

/// The URLs with commas between them.
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
