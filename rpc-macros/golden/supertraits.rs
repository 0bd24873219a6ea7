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
/**Client of [`Described`]: its methods, each returning a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct DescribedClient(::rpc_runtime::Client);
///Serves an implementation of [`Described`]: `Server::new("name").add(DescribedServer::new(implementation))`.
pub struct DescribedServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    static __DESCRIBE: __rpc::Method<
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
    static __LOG_IN: __rpc::Method<
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
        *__DESCRIBE.descriptor(),
        *__LOG_IN.descriptor(),
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
    __rpc::inventory::submit! {
        __rpc::Registration(& __SERVICE)
    }
    impl DescribedClient {
        /**Makes a client for the service at an address such as `http://127.0.0.1:9002`.

The connection is made by the first call.

# Errors

When the address cannot be understood.*/
        pub fn connect(url: &str) -> ::rpc_runtime::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Makes a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Described>(service: T) -> Self {
            Self(__rpc::local(DescribedServer::new(service)))
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
        ///Calls [`Described::describe`].
        #[track_caller]
        pub fn describe(
            &self,
            depth: u8,
        ) -> ::rpc_runtime::Call<
            <Result<String> as __rpc::RpcResult>::Ok,
            <Result<String> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__DESCRIBE, (&depth,))
        }
        ///Calls [`Described::log_in`].
        #[track_caller]
        pub fn log_in(
            &self,
            name: &str,
            password: &str,
        ) -> ::rpc_runtime::Call<
            <Result<Token> as __rpc::RpcResult>::Ok,
            <Result<Token> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__LOG_IN, (name, password))
        }
    }
    impl<T: Described> DescribedServer<T> {
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
    impl<T> ::core::clone::Clone for DescribedServer<T> {
        fn clone(&self) -> Self {
            Self(__rpc::Arc::clone(&self.0))
        }
    }
    impl<T> ::core::fmt::Debug for DescribedServer<T> {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            f.write_str("DescribedServer")
        }
    }
    impl<T: Described> __rpc::Service for DescribedServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let routes = routes
                .add(
                    &__DESCRIBE,
                    |service, _, (depth,)| async move {
                        <T as Described>::describe(&service, depth).await
                    },
                );
            let routes = routes
                .add(
                    &__LOG_IN,
                    |service, _, (name, password)| async move {
                        <T as Described>::log_in(&service, &name, &password).await
                    },
                );
            routes.build()
        }
    }
};
