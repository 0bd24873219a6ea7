//! A service with its implementation: one route for each method.

use std::fmt;
use std::sync::Arc;

use super::parameters::Parameter;
use super::prepared::PreparedCall;
use crate::context::Context;
use crate::descriptor::{MethodDescriptor, ServiceDescriptor};
use crate::method::{Arguments, Method, RedactedArguments};
use crate::middleware::{Body, BoxFuture, InnerService, Layer, Layers, Request, Response};
use crate::server::admission::authentication::Required;
use crate::server::admission::policy::Access;
use crate::server::admission::{AdmissionRules, RateRules};
use crate::server::idempotency::IdempotencyHandler;

/// A service that [`Server::add`](crate::Server::add) accepts. `#[rpc_service]` generates
/// the implementation.
pub trait Service: Send + 'static {
    /// Returns the description of the service: its names, methods and version.
    fn descriptor(&self) -> &'static ServiceDescriptor;

    #[doc(hidden)]
    fn into_routes(self) -> Routes;

    /// Adds a layer around the methods of this service, inside the layers added before and those of
    /// the server. `Ping` stays outside.
    ///
    /// The trait is in the [`prelude`](crate::prelude).
    ///
    /// ```
    /// use rpc_runtime::middleware::{Next, Request, Response};
    /// use rpc_runtime::prelude::*;
    /// # #[rpc_service]
    /// # trait Shop {
    /// #     async fn prices(&self) -> Result<Vec<u32>>;
    /// #     async fn pay(&self, order: u64) -> Result<()>;
    /// # }
    /// # struct Corner;
    /// # impl Shop for Corner {
    /// #     async fn prices(&self) -> Result<Vec<u32>> { Ok(Vec::new()) }
    /// #     async fn pay(&self, _: u64) -> Result<()> { Ok(()) }
    /// # }
    /// # async fn audit(request: Request, next: Next) -> Response { next.run(request).await }
    ///
    /// async fn customers_only(request: Request, next: Next) -> Result<Response> {
    ///     if request.metadata().get("authorization").is_none() {
    ///         fail!(Code::Unauthenticated, "log in first");
    ///     }
    ///     Ok(next.run(request).await)
    /// }
    ///
    /// let shop = ShopServer::new(Corner).layer(audit).method_layer("Pay", customers_only);
    /// let server = Server::new("shop").add(shop);
    /// # drop(server);
    /// ```
    fn layer(self, layer: impl Layer) -> LayeredService<Self>
    where
        Self: Sized,
    {
        LayeredService::new(self, None, Arc::new(layer))
    }

    /// Adds a layer around one method, inside the layers added before and those of the server.
    ///
    /// `method` is the name on the wire, such as `Pay`, with or without the service, or a
    /// [`MethodDescriptor`]. `Ping` is a method too. A name that the service does not have is
    /// `failed_precondition` when the server starts.
    fn method_layer(self, method: impl AsRef<str>, layer: impl Layer) -> LayeredService<Self>
    where
        Self: Sized,
    {
        LayeredService::new(self, Some(method.as_ref().to_owned()), Arc::new(layer))
    }
}

/// A layer of a service.
#[derive(Clone)]
pub(crate) struct ServiceLayer {
    /// The name of the method; `None` for all methods but `Ping`.
    pub(super) method: Option<String>,
    pub(super) layer: Arc<dyn Layer>,
}

/// A service with layers, from [`Service::layer`] and [`Service::method_layer`].
#[derive(Debug, Clone)]
pub struct LayeredService<S> {
    service: S,
    layer: ServiceLayer,
}

impl<S> LayeredService<S> {
    fn new(service: S, method: Option<String>, layer: Arc<dyn Layer>) -> Self {
        let layer = ServiceLayer { method, layer };
        Self { service, layer }
    }
}

impl<S: Service> Service for LayeredService<S> {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        self.service.descriptor()
    }

    fn into_routes(self) -> Routes {
        let mut routes = self.service.into_routes();
        routes.layers.push(self.layer);
        routes
    }
}

/// The routes of one service.
#[derive(Debug)]
#[doc(hidden)]
pub struct Routes {
    pub(crate) service: &'static ServiceDescriptor,
    pub(crate) routes: Vec<Route>,
    /// The layers of the service and of its methods.
    pub(crate) layers: Vec<ServiceLayer>,
}

/// A method and its handler.
pub(crate) struct Route {
    pub(crate) method: &'static MethodDescriptor,
    handler: Handler,
    builtin: bool,
    /// Formats its arguments for display, without secrets.
    show: Option<&'static dyn RedactedArguments>,
    /// The forms of its arguments in a path or a query, if it has an HTTP path.
    parameters: Vec<Parameter>,
    /// The callers that may call it.
    pub(crate) access: Access,
    /// Whether callers without credentials may call it.
    pub(crate) anonymous: bool,
    /// The rate limits of each caller.
    pub(crate) rate: RateRules,
    /// Handles repeated calls, if the method has an idempotency key.
    pub(crate) idempotency: Option<Arc<IdempotencyHandler>>,
    /// The developer's layers: those of the server, then those of the service and the method.
    layers: Layers,
}

type Handler = Box<dyn Fn(Request) -> PreparedCall + Send + Sync>;

impl Route {
    pub(crate) fn new(
        method: &'static MethodDescriptor,
        handler: impl Fn(Request) -> BoxFuture<Response> + Send + Sync + 'static,
    ) -> Self {
        let prepare = move |request: Request| {
            if request.context().begin() {
                PreparedCall::without_key(handler(request))
            } else {
                PreparedCall::refused()
            }
        };
        Self::of_service(method, Box::new(prepare))
    }

    fn of_service(method: &'static MethodDescriptor, handler: Handler) -> Self {
        Self {
            method,
            handler,
            builtin: false,
            show: None,
            parameters: Vec::new(),
            access: Access::Unrestricted,
            anonymous: false,
            rate: RateRules::default(),
            idempotency: None,
            layers: Layers::default(),
        }
    }

    /// Marks the route as built-in: it does not count against the limit of running calls, and
    /// policies and rate limits apply only if they name it.
    pub(crate) fn into_builtin(self) -> Self {
        Self {
            builtin: true,
            ..self
        }
    }

    fn with_show(self, show: &'static dyn RedactedArguments) -> Self {
        let show = Some(show);
        Self { show, ..self }
    }

    pub(crate) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    pub(crate) fn show(&self) -> Option<&'static dyn RedactedArguments> {
        self.show
    }

    /// Decodes the arguments of a call.
    pub(crate) fn prepare(&self, request: Request) -> PreparedCall {
        (self.handler)(request)
    }

    pub(crate) fn admission_rules(&self) -> AdmissionRules<'_> {
        AdmissionRules {
            name: self.method.full_name(),
            path: self.method.path,
            access: &self.access,
            rate: &self.rate,
            user: match (self.builtin, self.anonymous) {
                (true, _) => Required::Nothing,
                (false, true) => Required::Optional,
                (false, false) => Required::User,
            },
            is_builtin: self.builtin,
        }
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    pub(crate) fn set_layers(&mut self, layers: Layers) {
        self.layers = layers;
    }

    pub(crate) fn is_builtin(&self) -> bool {
        self.builtin
    }

    pub(crate) fn method(&self) -> &'static MethodDescriptor {
        self.method
    }
}

impl InnerService for Route {
    fn runs_in_context(&self) -> bool {
        true
    }

    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response> {
        match &self.idempotency {
            None => self.prepare(request).response,
            Some(idempotency) => {
                let handler = Arc::clone(idempotency);
                handler.call(self.method, request, |request| self.prepare(request))
            }
        }
    }
}

impl fmt::Debug for ServiceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layer({})", self.method.as_deref().unwrap_or("*"))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({})", self.method.path)
    }
}

/// Builds the routes of a service; used by the expansion of `#[rpc_service]`.
#[doc(hidden)]
pub struct RouteBuilder<S> {
    implementation: Arc<S>,
    routes: Routes,
}

impl<S: Send + Sync + 'static> RouteBuilder<S> {
    /// Creates a builder without routes.
    pub fn new(service: &'static ServiceDescriptor, implementation: Arc<S>) -> Self {
        Self {
            implementation,
            routes: Routes {
                service,
                routes: Vec::new(),
                layers: Vec::new(),
            },
        }
    }

    /// Adds a method, whose route decodes the arguments, runs the handler and encodes the result.
    #[must_use]
    pub fn add<A, T, E, F, Fut>(mut self, method: &'static Method<A, T, E>, handler: F) -> Self
    where
        A: Arguments,
        T: 'static,
        E: 'static,
        F: Fn(Arc<S>, Context, A::Owned) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let implementation = Arc::clone(&self.implementation);
        let prepare = move |request: Request| {
            let (context, _, mut body) = request.into_parts();
            match method.take_arguments(body.kind_mut()) {
                // The call has ended while a layer held it back.
                Ok(_) if !context.begin() => PreparedCall::refused(),
                Ok(arguments) => {
                    let key = method.idempotency_key(&arguments).map(str::to_owned);
                    let running = handler(Arc::clone(&implementation), context.clone(), arguments);
                    let response = Box::pin(async move {
                        let response = running.await;
                        // The guards of the body are held until the handler returns.
                        drop(body);
                        into_response(method, response, &context)
                    });
                    PreparedCall { key, response }
                }
                Err(error) => PreparedCall::failed(error),
            }
        };
        let mut route = Route::of_service(method.descriptor(), Box::new(prepare));
        let descriptor = method.descriptor();
        if descriptor.http_get.is_some() || descriptor.http_post.is_some() {
            route.parameters = Parameter::of(descriptor, &|message| {
                method.decode_arguments(message).map(drop)
            });
        }
        self.routes.routes.push(route.with_show(method));
        self
    }

    /// Returns the routes. The server adds `Ping` itself.
    #[must_use]
    pub fn build(self) -> Routes {
        self.routes
    }
}

impl<S> fmt::Debug for RouteBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.routes, f)
    }
}

fn into_response<A: Arguments, T, E: 'static>(
    method: &'static Method<A, T, E>,
    response: Result<T, E>,
    context: &Context,
) -> Response {
    match response {
        Ok(value) => {
            let encoded = method.encode_value(value, context);
            Response::from_result(encoded.map(Body::from))
        }
        Err(error) => method.encode_error(error, context).into(),
    }
}
