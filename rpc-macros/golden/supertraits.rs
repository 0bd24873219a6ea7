pub trait Described: Describe + Clone + ::core::marker::Send + ::core::marker::Sync + 'static {
    fn describe(
        &self,
        depth: u8,
    ) -> impl ::core::future::Future<Output = Result<String>> + ::core::marker::Send;
    fn log_in(
        &self,
        name: &str,
        password: &str,
    ) -> impl ::core::future::Future<Output = Result<Token>> + ::core::marker::Send;
}
/**Client of [`Described`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct DescribedClient(::rpc_runtime::Client);
///Server of [`Described`]: `Server::new("name").add(DescribedServer::new(implementation))`.
pub struct DescribedServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_DESCRIBE: __rpc::Method<
        (__rpc::Owned<u8>,),
        <Result<String> as __rpc::RpcResult>::Ok,
        <Result<String> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Described",
                "describe",
                "Describe",
                "/shop.v1.Described/Describe",
            )
            .arguments(&[__rpc::ArgumentDescriptor::new("depth", "u8").or_default()])
            .returns("Result<String>")
            .no_side_effects(),
        (__rpc::argument_or_default::<__rpc::Owned<u8>>(),),
        __rpc::reply::<Result<String>>(),
    );
    static __METHOD_LOG_IN: __rpc::Method<
        (__rpc::Str, __rpc::Str),
        <Result<Token> as __rpc::RpcResult>::Ok,
        <Result<Token> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Described",
                "log_in",
                "LogIn",
                "/shop.v1.Described/LogIn",
            )
            .arguments(
                &[
                    __rpc::ArgumentDescriptor::new("name", "&str"),
                    __rpc::ArgumentDescriptor::new("password", "&str").secret(),
                ],
            )
            .returns("Result<Token>"),
        (__rpc::argument::<__rpc::Str>(), __rpc::argument::<__rpc::Str>()),
        __rpc::reply::<Result<Token>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__METHOD_DESCRIBE.descriptor(),
        *__METHOD_LOG_IN.descriptor(),
        __rpc::ping_descriptor("shop.v1.Described", "/shop.v1.Described/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Described",
            "shop.v1",
            "Described",
            "described",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl DescribedClient {
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
        ///Calls [`Described::describe`].
        #[track_caller]
        pub fn describe(
            &self,
            depth: u8,
        ) -> __rpc::Call<
            <Result<String> as __rpc::RpcResult>::Ok,
            <Result<String> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_DESCRIBE, (&depth,))
        }
        ///Calls [`Described::log_in`].
        #[track_caller]
        pub fn log_in(
            &self,
            name: &str,
            password: &str,
        ) -> __rpc::Call<
            <Result<Token> as __rpc::RpcResult>::Ok,
            <Result<Token> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_LOG_IN, (name, password))
        }
    }
    impl<T: Described> DescribedServer<T> {
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
    impl DescribedServer<()> {
        ///The full name of the method: `shop.v1.Described/Describe`.
        pub const DESCRIBE: &'static str = "shop.v1.Described/Describe";
        ///The full name of the method: `shop.v1.Described/LogIn`.
        pub const LOG_IN: &'static str = "shop.v1.Described/LogIn";
    }
    __rpc::server! {
        DescribedServer
    }
    impl<T: Described> __rpc::Service for DescribedServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_DESCRIBE,
                    |__service, _, (depth,)| async move {
                        <T as Described>::describe(&__service, depth).await
                    },
                );
            let __routes = __routes
                .add(
                    &__METHOD_LOG_IN,
                    |__service, _, (name, password)| async move {
                        <T as Described>::log_in(&__service, &name, &password).await
                    },
                );
            __routes.build()
        }
    }
    impl DescribedClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Described>(service: T) -> Self {
            Self(__rpc::local(DescribedServer::new(service)))
        }
    }
};
