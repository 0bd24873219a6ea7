pub trait Contract: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn ping(
        &self,
        payload: Vec<u8>,
    ) -> impl ::core::future::Future<Output = Result<Vec<u8>>> + ::core::marker::Send;
}
/**Client of [`Contract`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct ContractClient(::rpc_runtime::Client);
///Server of [`Contract`]: `Server::new("name").add(ContractServer::new(implementation))`.
pub struct ContractServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_PING: __rpc::Method<
        (__rpc::Owned<Vec<u8>>,),
        <Result<Vec<u8>> as __rpc::RpcResult>::Ok,
        <Result<Vec<u8>> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Foreign",
                "ping",
                "Ping",
                "/shop.v1.Foreign/Ping",
            )
            .arguments(&[__rpc::ArgumentDescriptor::new("payload", "Vec<u8>")])
            .returns("Result<Vec<u8>>"),
        (__rpc::argument::<__rpc::Owned<Vec<u8>>>(),),
        __rpc::reply::<Result<Vec<u8>>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[*__METHOD_PING.descriptor()];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Foreign",
            "shop.v1",
            "Foreign",
            "contract",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: Contract> Contract for __rpc::Arc<__T> {
        fn ping(
            &self,
            payload: Vec<u8>,
        ) -> impl __rpc::Future<Output = Result<Vec<u8>>> {
            <__T as Contract>::ping(self, payload)
        }
    }
    impl ContractClient {
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
        ///Calls [`Contract::ping`].
        #[track_caller]
        pub fn ping(
            &self,
            payload: Vec<u8>,
        ) -> __rpc::Call<
            <Result<Vec<u8>> as __rpc::RpcResult>::Ok,
            <Result<Vec<u8>> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_PING, (&payload,))
        }
    }
    impl Contract for ContractClient {
        #[track_caller]
        fn ping(
            &self,
            payload: Vec<u8>,
        ) -> impl __rpc::Future<Output = Result<Vec<u8>>> {
            __rpc::outcome(Self::ping(self, payload))
        }
    }
    impl<T: Contract> ContractServer<T> {
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
    impl ContractServer<()> {
        ///The full name of the method: `shop.v1.Foreign/Ping`.
        pub const PING: &'static str = "shop.v1.Foreign/Ping";
    }
    __rpc::server! {
        ContractServer
    }
    impl<T: Contract> __rpc::Service for ContractServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_PING,
                    |__service, _, (payload,)| async move {
                        <T as Contract>::ping(&__service, payload).await
                    },
                );
            __routes.build()
        }
    }
    impl ContractClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Contract>(service: T) -> Self {
            Self(__rpc::local(ContractServer::new(service)))
        }
    }
};
