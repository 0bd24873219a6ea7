pub trait Till: ::core::marker::Send + ::core::marker::Sync + 'static {
    /// Takes money, once for each key.
    fn charge(
        &self,
        key: &str,
        cents: u64,
    ) -> impl ::core::future::Future<Output = Result<u64>> + ::core::marker::Send;
    fn refund(
        &self,
        cents: u64,
        r#ref: String,
    ) -> impl ::core::future::Future<Output = Result<()>> + ::core::marker::Send;
}
/**Client of [`Till`]: its methods, each returning a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct TillClient(::rpc_runtime::Client);
///Serves an implementation of [`Till`]: `Server::new("name").add(TillServer::new(implementation))`.
pub struct TillServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    static __CHARGE: __rpc::Method<
        (__rpc::Str, __rpc::Owned<u64>),
        <Result<u64> as __rpc::RpcResult>::Ok,
        <Result<u64> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Till",
                "charge",
                "Charge",
                "/shop.v1.Till/Charge",
            )
            .docs("Takes money, once for each key.")
            .arguments(
                &[
                    __rpc::ArgumentDescriptor::new("key", "&str"),
                    __rpc::ArgumentDescriptor::new("cents", "u64"),
                ],
            )
            .returns("Result<u64>")
            .idempotency_key("key"),
        (__rpc::idempotency_key::<__rpc::Str>(), __rpc::argument::<__rpc::Owned<u64>>()),
        __rpc::reply::<Result<u64>>(),
    );
    static __REFUND: __rpc::Method<
        (__rpc::Owned<u64>, __rpc::Owned<String>),
        <Result<()> as __rpc::RpcResult>::Ok,
        <Result<()> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Till",
                "refund",
                "Refund",
                "/shop.v1.Till/Refund",
            )
            .arguments(
                &[
                    __rpc::ArgumentDescriptor::new("cents", "u64"),
                    __rpc::ArgumentDescriptor::new("ref", "String"),
                ],
            )
            .returns("Result<()>")
            .idempotency_key("ref"),
        (
            __rpc::argument::<__rpc::Owned<u64>>(),
            __rpc::idempotency_key::<__rpc::Owned<String>>(),
        ),
        __rpc::reply::<Result<()>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__CHARGE.descriptor(),
        *__REFUND.descriptor(),
        __rpc::ping_descriptor("shop.v1.Till", "/shop.v1.Till/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Till",
            "shop.v1",
            "Till",
            "till",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::inventory::submit! {
        __rpc::Registration(& __SERVICE)
    }
    impl TillClient {
        /**Makes a client for the service at an address such as `http://127.0.0.1:9002`.

The connection is made by the first call.

# Errors

When the address cannot be understood.*/
        pub fn connect(url: &str) -> ::rpc_runtime::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Makes a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Till>(service: T) -> Self {
            Self(__rpc::local(TillServer::new(service)))
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
        /// Takes money, once for each key.
        #[track_caller]
        pub fn charge(
            &self,
            key: &str,
            cents: u64,
        ) -> ::rpc_runtime::Call<
            <Result<u64> as __rpc::RpcResult>::Ok,
            <Result<u64> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__CHARGE, (key, &cents))
        }
        ///Calls [`Till::refund`].
        #[track_caller]
        pub fn refund(
            &self,
            cents: u64,
            r#ref: String,
        ) -> ::rpc_runtime::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__REFUND, (&cents, &r#ref))
        }
    }
    impl Till for TillClient {
        #[track_caller]
        fn charge(
            &self,
            key: &str,
            cents: u64,
        ) -> impl ::core::future::Future<Output = Result<u64>> {
            __rpc::outcome(Self::charge(self, key, cents))
        }
        #[track_caller]
        fn refund(
            &self,
            cents: u64,
            r#ref: String,
        ) -> impl ::core::future::Future<Output = Result<()>> {
            __rpc::outcome(Self::refund(self, cents, r#ref))
        }
    }
    impl<T: Till> TillServer<T> {
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
    impl<T> ::core::clone::Clone for TillServer<T> {
        fn clone(&self) -> Self {
            Self(__rpc::Arc::clone(&self.0))
        }
    }
    impl<T> ::core::fmt::Debug for TillServer<T> {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            f.write_str("TillServer")
        }
    }
    impl<T: Till> __rpc::Service for TillServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let routes = routes
                .add(
                    &__CHARGE,
                    |service, _, (key, cents)| async move {
                        <T as Till>::charge(&service, &key, cents).await
                    },
                );
            let routes = routes
                .add(
                    &__REFUND,
                    |service, _, (cents, r#ref)| async move {
                        <T as Till>::refund(&service, cents, r#ref).await
                    },
                );
            routes.build()
        }
    }
};
