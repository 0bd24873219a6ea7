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
/**Client of [`Store`]: its methods, each returning a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct StoreClient(::rpc_runtime::Client);
///Serves an implementation of [`Store`]: `Server::new("name").add(StoreServer::new(implementation))`.
pub struct StoreServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    static __GET: __rpc::Method<(__rpc::Owned<GetRequest>,), Item, StoreError> = __rpc::method(
        __rpc::MethodDescriptor::new("shop.v1.Store", "get", "Get", "/shop.v1.Store/Get")
            .arguments(&[__rpc::ArgumentDescriptor::new("request", "&GetRequest")])
            .returns("Result<Item, StoreError>")
            .no_side_effects()
            .message_style(),
        (__rpc::message::<GetRequest>(),),
        __rpc::message_reply::<Result<Item, StoreError>>(),
    );
    static __PUT: __rpc::Method<
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
        *__GET.descriptor(),
        *__PUT.descriptor(),
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
    __rpc::inventory::submit! {
        __rpc::Registration(& __SERVICE)
    }
    impl StoreClient {
        /**Makes a client for the service at an address such as `http://127.0.0.1:9002`.

The connection is made by the first call.

# Errors

When the address cannot be understood.*/
        pub fn connect(url: &str) -> ::rpc_runtime::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Makes a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Store>(service: T) -> Self {
            Self(__rpc::local(StoreServer::new(service)))
        }
        ///Makes a client with settings of its own, such as timeouts and layers.
        pub fn with_client(client: ::rpc_runtime::Client) -> Self {
            Self(client)
        }
        ///Asks whether the service is there, and who answers.
        #[track_caller]
        pub fn ping(&self) -> ::rpc_runtime::Call<::rpc_runtime::Pong> {
            __rpc::ping(&self.0, &__SERVICE)
        }
        ///Calls [`Store::get`].
        #[track_caller]
        pub fn get(
            &self,
            request: &GetRequest,
        ) -> ::rpc_runtime::Call<Item, StoreError> {
            __rpc::call(&self.0, &__GET, (request,))
        }
        ///Calls [`Store::put`].
        #[track_caller]
        pub fn put(
            &self,
            request: Item,
        ) -> ::rpc_runtime::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__PUT, (&request,))
        }
    }
    impl Store for StoreClient {
        #[track_caller]
        fn get(
            &self,
            request: &GetRequest,
        ) -> impl ::core::future::Future<Output = Result<Item, StoreError>> {
            __rpc::outcome(Self::get(self, request))
        }
        #[track_caller]
        fn put(
            &self,
            ctx: &Context,
            request: Item,
        ) -> impl ::core::future::Future<Output = Result<()>> {
            __rpc::outcome(
                ::rpc_runtime::Context::enter(ctx, || Self::put(self, request)),
            )
        }
    }
    impl<T: Store> StoreServer<T> {
        ///Takes the implementation; clones of the server share it.
        pub fn new(service: T) -> Self {
            Self(__rpc::Arc::new(service))
        }
        /**The service as an axum router, to mount it beside routes of your own.

# Errors

When two linked services have one full name.*/
        pub fn into_router(self) -> ::rpc_runtime::Result<__rpc::Router> {
            __rpc::into_router(self)
        }
    }
    impl<T> ::core::clone::Clone for StoreServer<T> {
        fn clone(&self) -> Self {
            Self(__rpc::Arc::clone(&self.0))
        }
    }
    impl<T> ::core::fmt::Debug for StoreServer<T> {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            f.write_str("StoreServer")
        }
    }
    impl<T: Store> __rpc::Service for StoreServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let routes = routes
                .add(
                    &__GET,
                    |service, _, (request,)| async move {
                        <T as Store>::get(&service, &request).await
                    },
                );
            let routes = routes
                .add(
                    &__PUT,
                    |service, context, (request,)| async move {
                        <T as Store>::put(&service, &context, request).await
                    },
                );
            routes.build()
        }
    }
};
