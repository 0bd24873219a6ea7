//! Descriptors of all service traits that are linked into this process. It is used for listings and
//! checks, not for dispatch.
//!
//! Services of a library crate are missing if the binary does not use the crate, because it is not
//! linked then. `use fibpro as _;` links it.

use crate::descriptor::ServiceDescriptor;

/// Registry entry of a service; `#[rpc_service]` creates one for each trait.
#[derive(Debug)]
#[doc(hidden)]
pub struct Registration(pub &'static ServiceDescriptor);

inventory::collect!(Registration);

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
    let mut services: Vec<_> = inventory::iter::<Registration>()
        .map(|entry| entry.0)
        .collect();
    services.sort_by_key(|service| (service.full_name, service.module));
    services.into_iter()
}

/// Returns two services with the same full name, if there are any.
pub(crate) fn duplicate() -> Option<(&'static ServiceDescriptor, &'static ServiceDescriptor)> {
    let services: Vec<_> = services().collect();
    services
        .windows(2)
        .find(|pair| pair[0].full_name == pair[1].full_name)
        .map(|pair| (pair[0], pair[1]))
}
