//! Descriptors of all service traits that are linked into this process. It is used for listings and
//! checks, not for dispatch.
//!
//! Services of a library crate are missing if the binary does not use the crate, because it is not
//! linked then. `use fibpro as _;` links it.

use std::sync::LazyLock;

use crate::descriptor::ServiceDescriptor;

/// Registry entry of a service; `#[rpc_service]` creates one for each trait.
#[derive(Debug)]
#[doc(hidden)]
pub struct Registration(pub &'static ServiceDescriptor);

inventory::collect!(Registration);

/// The descriptors of all services, sorted by full name. The linker has fixed them before the
/// process starts.
static SERVICES: LazyLock<Vec<&'static ServiceDescriptor>> = LazyLock::new(|| {
    let mut services: Vec<_> = inventory::iter::<Registration>()
        .map(|entry| entry.0)
        .collect();
    services.sort_by_key(|service| (service.full_name, service.module));
    services
});

/// Returns the descriptors of all services, sorted by full name.
///
/// ```
/// use rpc_runtime::{prelude::*, registry};
///
/// #[rpc_service(package = "docs.v1")]
/// trait Greeter {
///     async fn greet(&self, name: &str) -> Result<String>;
/// }
///
/// let greeter = registry::services().find(|service| service.name == "Greeter").unwrap();
/// assert_eq!(greeter.full_name, "docs.v1.Greeter");
/// assert_eq!(greeter.methods[0].path, "/docs.v1.Greeter/Greet");
/// ```
#[must_use = "listing has no effect"]
pub fn services() -> impl Iterator<Item = &'static ServiceDescriptor> {
    SERVICES.iter().copied()
}

/// Returns the descriptor of a service.
pub(crate) fn service(full_name: &str) -> Option<&'static ServiceDescriptor> {
    let found = SERVICES.binary_search_by_key(&full_name, |service| service.full_name);
    found.ok().map(|index| SERVICES[index])
}

/// Returns two services with the same full name, if there are any.
pub(crate) fn duplicate() -> Option<(&'static ServiceDescriptor, &'static ServiceDescriptor)> {
    SERVICES
        .windows(2)
        .find(|pair| pair[0].full_name == pair[1].full_name)
        .map(|pair| (pair[0], pair[1]))
}
