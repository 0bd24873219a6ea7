pub trait Counter: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn add(
        &self,
        by: u64,
    ) -> impl ::core::future::Future<Output = Result<u64>> + ::core::marker::Send;
    fn increment(
        &self,
    ) -> impl ::core::future::Future<Output = Result<u64>> + ::core::marker::Send {
        async move {
            let one = 1;
            self.add(one).await
        }
    }
}
/**Client of [`Counter`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct CounterClient(::rpc_runtime::Client);
///Server of [`Counter`]: `Server::new("name").add(CounterServer::new(implementation))`.
pub struct CounterServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_ADD: __rpc::Method<
        (__rpc::Owned<u64>,),
        <Result<u64> as __rpc::RpcResult>::Ok,
        <Result<u64> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Counter",
                "add",
                "Add",
                "/shop.v1.Counter/Add",
            )
            .arguments(&[__rpc::ArgumentDescriptor::new("by", "u64")])
            .returns("Result<u64>"),
        (__rpc::argument::<__rpc::Owned<u64>>(),),
        __rpc::reply::<Result<u64>>(),
    );
    static __METHOD_INCREMENT: __rpc::Method<
        (),
        <Result<u64> as __rpc::RpcResult>::Ok,
        <Result<u64> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Counter",
                "increment",
                "Increment",
                "/shop.v1.Counter/Increment",
            )
            .returns("Result<u64>"),
        (),
        __rpc::reply::<Result<u64>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__METHOD_ADD.descriptor(),
        *__METHOD_INCREMENT.descriptor(),
        __rpc::ping_descriptor("shop.v1.Counter", "/shop.v1.Counter/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Counter",
            "shop.v1",
            "Counter",
            "counter",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: Counter> Counter for __rpc::Arc<__T> {
        fn add(&self, by: u64) -> impl __rpc::Future<Output = Result<u64>> {
            <__T as Counter>::add(self, by)
        }
        fn increment(&self) -> impl __rpc::Future<Output = Result<u64>> {
            <__T as Counter>::increment(self)
        }
    }
    impl CounterClient {
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
        ///Calls [`Counter::add`].
        #[track_caller]
        pub fn add(
            &self,
            by: u64,
        ) -> __rpc::Call<
            <Result<u64> as __rpc::RpcResult>::Ok,
            <Result<u64> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_ADD, (&by,))
        }
        ///Calls [`Counter::increment`].
        #[track_caller]
        pub fn increment(
            &self,
        ) -> __rpc::Call<
            <Result<u64> as __rpc::RpcResult>::Ok,
            <Result<u64> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_INCREMENT, ())
        }
    }
    impl Counter for CounterClient {
        #[track_caller]
        fn add(&self, by: u64) -> impl __rpc::Future<Output = Result<u64>> {
            __rpc::outcome(Self::add(self, by))
        }
        #[track_caller]
        fn increment(&self) -> impl __rpc::Future<Output = Result<u64>> {
            __rpc::outcome(Self::increment(self))
        }
    }
    impl<T: Counter> CounterServer<T> {
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
    impl CounterServer<()> {
        ///The full name of the method: `shop.v1.Counter/Add`.
        pub const ADD: &'static str = "shop.v1.Counter/Add";
        ///The full name of the method: `shop.v1.Counter/Increment`.
        pub const INCREMENT: &'static str = "shop.v1.Counter/Increment";
    }
    __rpc::server! {
        CounterServer
    }
    impl<T: Counter> __rpc::Service for CounterServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_ADD,
                    |__service, _, (by,)| async move {
                        <T as Counter>::add(&__service, by).await
                    },
                );
            let __routes = __routes
                .add(
                    &__METHOD_INCREMENT,
                    |__service, _, ()| async move {
                        <T as Counter>::increment(&__service).await
                    },
                );
            __routes.build()
        }
    }
    impl CounterClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Counter>(service: T) -> Self {
            Self(__rpc::local(CounterServer::new(service)))
        }
    }
};
