pub trait Store: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn get(
        &self,
        request: &GetRequest,
    ) -> impl ::core::future::Future<
        Output = Result<Item, StoreError>,
    > + ::core::marker::Send;
    fn put(
        &self,
        ctx: &Context,
        request: Item,
    ) -> impl ::core::future::Future<Output = Result<()>> + ::core::marker::Send;
}
/**Client of [`Store`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct StoreClient(::rpc_runtime::Client);
///Server of [`Store`]: `Server::new("name").add(StoreServer::new(implementation))`.
pub struct StoreServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_GET: __rpc::Method<(__rpc::Owned<GetRequest>,), Item, StoreError> = __rpc::method(
        __rpc::MethodDescriptor::new("shop.v1.Store", "get", "Get", "/shop.v1.Store/Get")
            .arguments(&[__rpc::ArgumentDescriptor::new("request", "&GetRequest")])
            .returns("Result<Item, StoreError>")
            .no_side_effects()
            .message_style(),
        (__rpc::message::<GetRequest>(),),
        __rpc::message_reply::<Result<Item, StoreError>>(),
    );
    static __METHOD_PUT: __rpc::Method<
        (__rpc::Owned<Item>,),
        <Result<()> as __rpc::RpcResult>::Ok,
        <Result<()> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Store",
                "put",
                "PutItem",
                "/shop.v1.Store/PutItem",
            )
            .arguments(&[__rpc::ArgumentDescriptor::new("request", "Item")])
            .returns("Result<()>")
            .message_style()
            .detached(),
        (__rpc::message::<Item>(),),
        __rpc::message_reply::<Result<()>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__METHOD_GET.descriptor(),
        *__METHOD_PUT.descriptor(),
        __rpc::ping_descriptor("shop.v1.Store", "/shop.v1.Store/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Store",
            "shop.v1",
            "Store",
            "store",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: Store> Store for __rpc::Arc<__T> {
        fn get(
            &self,
            request: &GetRequest,
        ) -> impl __rpc::Future<Output = Result<Item, StoreError>> {
            <__T as Store>::get(self, request)
        }
        fn put(
            &self,
            ctx: &Context,
            request: Item,
        ) -> impl __rpc::Future<Output = Result<()>> {
            <__T as Store>::put(self, ctx, request)
        }
    }
    impl StoreClient {
        /**Creates a client of the service at a URL such as `http://127.0.0.1:9002`.

The first call connects. With identity keys each call is signed and sends its context, whatever the host; a client of another system's server is one with `Client::external`.

# Errors

If the URL is not valid.*/
        pub fn connect(url: &str) -> __rpc::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Creates a client from a configured [`Client`](::rpc_runtime::Client).
        pub fn with_client(client: __rpc::Client) -> Self {
            Self(client)
        }
        ///Checks that the service is reachable, and returns what it reports about itself.
        #[track_caller]
        pub fn ping(&self) -> __rpc::Call<__rpc::Pong> {
            __rpc::ping(&self.0, &__SERVICE)
        }
        ///Calls [`Store::get`].
        #[track_caller]
        pub fn get(&self, request: &GetRequest) -> __rpc::Call<Item, StoreError> {
            __rpc::call(&self.0, &__METHOD_GET, (request,))
        }
        ///Calls [`Store::put`].
        #[track_caller]
        pub fn put(
            &self,
            request: Item,
        ) -> __rpc::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_PUT, (&request,))
        }
    }
    impl Store for StoreClient {
        #[track_caller]
        fn get(
            &self,
            request: &GetRequest,
        ) -> impl __rpc::Future<Output = Result<Item, StoreError>> {
            __rpc::outcome(Self::get(self, request))
        }
        #[track_caller]
        fn put(
            &self,
            ctx: &Context,
            request: Item,
        ) -> impl __rpc::Future<Output = Result<()>> {
            __rpc::outcome(__rpc::Context::enter(ctx, || Self::put(self, request)))
        }
    }
    impl<T: Store> StoreServer<T> {
        ///Wraps an implementation, which clones of the server share.
        pub fn new(service: T) -> Self {
            Self(__rpc::Arc::new(service))
        }
        /**Returns the service as an axum router, to be combined with other routes.

# Errors

If two linked services have the same full name.*/
        pub fn into_router(self) -> __rpc::Result<__rpc::Router> {
            __rpc::into_router(self)
        }
    }
    impl StoreServer<()> {
        ///The full name of the method: `shop.v1.Store/Get`.
        pub const GET: &'static str = "shop.v1.Store/Get";
        ///The full name of the method: `shop.v1.Store/PutItem`.
        pub const PUT: &'static str = "shop.v1.Store/PutItem";
    }
    __rpc::server! {
        StoreServer
    }
    impl<T: Store> __rpc::Service for StoreServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_GET,
                    |__service, _, (request,)| async move {
                        <T as Store>::get(&__service, &request).await
                    },
                );
            let __routes = __routes
                .add(
                    &__METHOD_PUT,
                    |__service, __context, (request,)| async move {
                        <T as Store>::put(&__service, &__context, request).await
                    },
                );
            __routes.build()
        }
    }
    impl StoreClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Store>(service: T) -> Self {
            Self(__rpc::local(StoreServer::new(service)))
        }
    }
};
