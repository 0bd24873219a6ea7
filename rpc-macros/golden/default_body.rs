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
/**Client of [`Counter`]: its methods, each returning a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct CounterClient(::rpc_runtime::Client);
///Serves an implementation of [`Counter`]: `Server::new("name").add(CounterServer::new(implementation))`.
pub struct CounterServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    static __ADD: __rpc::Method<
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
    static __INCREMENT: __rpc::Method<
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
        *__ADD.descriptor(),
        *__INCREMENT.descriptor(),
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
    __rpc::inventory::submit! {
        __rpc::Registration(& __SERVICE)
    }
    impl CounterClient {
        /**Makes a client for the service at an address such as `http://127.0.0.1:9002`.

The connection is made by the first call.

# Errors

When the address cannot be understood.*/
        pub fn connect(url: &str) -> ::rpc_runtime::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Makes a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Counter>(service: T) -> Self {
            Self(__rpc::local(CounterServer::new(service)))
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
        ///Calls [`Counter::add`].
        #[track_caller]
        pub fn add(
            &self,
            by: u64,
        ) -> ::rpc_runtime::Call<
            <Result<u64> as __rpc::RpcResult>::Ok,
            <Result<u64> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__ADD, (&by,))
        }
        ///Calls [`Counter::increment`].
        #[track_caller]
        pub fn increment(
            &self,
        ) -> ::rpc_runtime::Call<
            <Result<u64> as __rpc::RpcResult>::Ok,
            <Result<u64> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__INCREMENT, ())
        }
    }
    impl Counter for CounterClient {
        #[track_caller]
        fn add(&self, by: u64) -> impl ::core::future::Future<Output = Result<u64>> {
            __rpc::outcome(Self::add(self, by))
        }
        #[track_caller]
        fn increment(&self) -> impl ::core::future::Future<Output = Result<u64>> {
            __rpc::outcome(Self::increment(self))
        }
    }
    impl<T: Counter> CounterServer<T> {
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
    impl<T> ::core::clone::Clone for CounterServer<T> {
        fn clone(&self) -> Self {
            Self(__rpc::Arc::clone(&self.0))
        }
    }
    impl<T> ::core::fmt::Debug for CounterServer<T> {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            f.write_str("CounterServer")
        }
    }
    impl<T: Counter> __rpc::Service for CounterServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let routes = routes
                .add(
                    &__ADD,
                    |service, _, (by,)| async move {
                        <T as Counter>::add(&service, by).await
                    },
                );
            let routes = routes
                .add(
                    &__INCREMENT,
                    |service, _, ()| async move {
                        <T as Counter>::increment(&service).await
                    },
                );
            routes.build()
        }
    }
};
