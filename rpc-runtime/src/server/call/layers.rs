//! The layers of a server, its services and their methods.

use std::sync::Arc;

use super::method_name;
use super::service::{Route, ServiceLayer};
use crate::descriptor::ServiceDescriptor;
use crate::error::Error;
use crate::middleware::{Layer, Layers};

/// A layer of a server.
pub(crate) struct ServerLayer {
    pub(crate) layer: Arc<dyn Layer>,
    /// Whether it stands around built-in methods too.
    pub(crate) with_builtin: bool,
}

/// The layers of one service, whose names of methods are resolved.
#[derive(Default)]
pub(crate) struct ResolvedLayers(Vec<(Option<&'static str>, Arc<dyn Layer>)>);

impl ResolvedLayers {
    /// Resolves the names of methods.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a name that is not a method of the service.
    pub(crate) fn new(
        service: &'static ServiceDescriptor,
        layers: Vec<ServiceLayer>,
    ) -> Result<Self, Error> {
        let paths = service.methods.iter().map(|method| method.path);
        let resolved = layers.into_iter().map(|ServiceLayer { method, layer }| {
            let path = method.map(|name| {
                let name = if name.contains('/') {
                    name
                } else {
                    format!("{}/{name}", service.full_name)
                };
                let setting = format!("a layer of the service {}", service.full_name);
                method_name::resolve(paths.clone(), &name, &setting)
            });
            Ok((path.transpose()?, layer))
        });
        resolved.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the layers of a method, which stand inside those of the server.
    pub(crate) fn of(&self, route: &Route) -> Vec<Arc<dyn Layer>> {
        let path = route.method().path;
        let applied = self.0.iter().filter(|(method, _)| match method {
            Some(method) => *method == path,
            None => !route.is_builtin(),
        });
        applied.map(|(_, layer)| Arc::clone(layer)).collect()
    }
}

/// The layers of a server in the forms that routes share.
pub(crate) struct ServerLayers {
    of_services: Layers,
    of_builtin: Layers,
}

impl ServerLayers {
    pub(crate) fn new(layers: &[ServerLayer]) -> Self {
        let of = |is_builtin: bool| {
            let layers = layers.iter();
            let applied = layers.filter(|layer| layer.with_builtin || !is_builtin);
            Layers::new(applied.map(|layer| Arc::clone(&layer.layer)).collect())
        };
        Self {
            of_services: of(false),
            of_builtin: of(true),
        }
    }

    /// Puts these layers around a route and the layers of its own.
    pub(crate) fn apply(&self, route: &mut Route, own: &[Arc<dyn Layer>]) {
        let shared = if route.is_builtin() {
            &self.of_builtin
        } else {
            &self.of_services
        };
        let own = own.iter().cloned();
        route.set_layers(own.fold(shared.clone(), |layers, layer| layers.with(layer)));
    }
}
