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
/**Client of [`Till`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct TillClient(::rpc_runtime::Client);
///Server of [`Till`]: `Server::new("name").add(TillServer::new(implementation))`.
pub struct TillServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_CHARGE: __rpc::Method<
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
    static __METHOD_REFUND: __rpc::Method<
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
        *__METHOD_CHARGE.descriptor(),
        *__METHOD_REFUND.descriptor(),
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
    __rpc::register! {
        __SERVICE
    }
    impl<__T: Till> Till for __rpc::Arc<__T> {
        fn charge(
            &self,
            key: &str,
            cents: u64,
        ) -> impl __rpc::Future<Output = Result<u64>> {
            <__T as Till>::charge(self, key, cents)
        }
        fn refund(
            &self,
            cents: u64,
            r#ref: String,
        ) -> impl __rpc::Future<Output = Result<()>> {
            <__T as Till>::refund(self, cents, r#ref)
        }
    }
    impl TillClient {
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
        /// Takes money, once for each key.
        #[track_caller]
        pub fn charge(
            &self,
            key: &str,
            cents: u64,
        ) -> __rpc::Call<
            <Result<u64> as __rpc::RpcResult>::Ok,
            <Result<u64> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_CHARGE, (key, &cents))
        }
        ///Calls [`Till::refund`].
        #[track_caller]
        pub fn refund(
            &self,
            cents: u64,
            r#ref: String,
        ) -> __rpc::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_REFUND, (&cents, &r#ref))
        }
    }
    impl Till for TillClient {
        #[track_caller]
        fn charge(
            &self,
            key: &str,
            cents: u64,
        ) -> impl __rpc::Future<Output = Result<u64>> {
            __rpc::outcome(Self::charge(self, key, cents))
        }
        #[track_caller]
        fn refund(
            &self,
            cents: u64,
            r#ref: String,
        ) -> impl __rpc::Future<Output = Result<()>> {
            __rpc::outcome(Self::refund(self, cents, r#ref))
        }
    }
    impl<T: Till> TillServer<T> {
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
    impl TillServer<()> {
        ///The full name of the method: `shop.v1.Till/Charge`.
        pub const CHARGE: &'static str = "shop.v1.Till/Charge";
        ///The full name of the method: `shop.v1.Till/Refund`.
        pub const REFUND: &'static str = "shop.v1.Till/Refund";
    }
    __rpc::server! {
        TillServer
    }
    impl<T: Till> __rpc::Service for TillServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_CHARGE,
                    |__service, _, (key, cents)| async move {
                        <T as Till>::charge(&__service, &key, cents).await
                    },
                );
            let __routes = __routes
                .add(
                    &__METHOD_REFUND,
                    |__service, _, (cents, r#ref)| async move {
                        <T as Till>::refund(&__service, cents, r#ref).await
                    },
                );
            __routes.build()
        }
    }
    impl TillClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Till>(service: T) -> Self {
            Self(__rpc::local(TillServer::new(service)))
        }
    }
};
