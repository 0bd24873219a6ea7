trait UserStore: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn exists(
        &self,
        name: &str,
    ) -> impl ::core::future::Future<Output = Result<bool>> + ::core::marker::Send;
}
/**Client of [`UserStore`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
struct UserStoreClient(::rpc_runtime::Client);
///Server of [`UserStore`]: `Server::new("name").add(UserStoreServer::new(implementation))`.
struct UserStoreServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_EXISTS: __rpc::Method<
        (__rpc::Str,),
        <Result<bool> as __rpc::RpcResult>::Ok,
        <Result<bool> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "rpc_macros.UserStore",
                "exists",
                "Exists",
                "/rpc_macros.UserStore/Exists",
            )
            .arguments(&[__rpc::ArgumentDescriptor::new("name", "&str")])
            .returns("Result<bool>"),
        (__rpc::argument::<__rpc::Str>(),),
        __rpc::reply::<Result<bool>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__METHOD_EXISTS.descriptor(),
        __rpc::ping_descriptor("rpc_macros.UserStore", "/rpc_macros.UserStore/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "rpc_macros.UserStore",
            "rpc_macros",
            "UserStore",
            "user_store",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: UserStore> UserStore for __rpc::Arc<__T> {
        fn exists(&self, name: &str) -> impl __rpc::Future<Output = Result<bool>> {
            <__T as UserStore>::exists(self, name)
        }
    }
    impl UserStoreClient {
        /**Creates a client of the service at a URL such as `http://127.0.0.1:9002`.

The first call connects. With identity keys each call is signed and sends its context, whatever the host; a client of another system's server is one with `Client::external`.

# Errors

If the URL is not valid.*/
        fn connect(url: &str) -> __rpc::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Creates a client from a configured [`Client`](::rpc_runtime::Client).
        fn with_client(client: __rpc::Client) -> Self {
            Self(client)
        }
        ///Checks that the service is reachable, and returns what it reports about itself.
        #[track_caller]
        fn ping(&self) -> __rpc::Call<__rpc::Pong> {
            __rpc::ping(&self.0, &__SERVICE)
        }
        ///Calls [`UserStore::exists`].
        #[track_caller]
        fn exists(
            &self,
            name: &str,
        ) -> __rpc::Call<
            <Result<bool> as __rpc::RpcResult>::Ok,
            <Result<bool> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_EXISTS, (name,))
        }
    }
    impl UserStore for UserStoreClient {
        #[track_caller]
        fn exists(&self, name: &str) -> impl __rpc::Future<Output = Result<bool>> {
            __rpc::outcome(Self::exists(self, name))
        }
    }
    impl<T: UserStore> UserStoreServer<T> {
        ///Wraps an implementation, which clones of the server share.
        fn new(service: T) -> Self {
            Self(__rpc::Arc::new(service))
        }
        /**Returns the service as an axum router, to be combined with other routes.

# Errors

If two linked services have the same full name.*/
        fn into_router(self) -> __rpc::Result<__rpc::Router> {
            __rpc::into_router(self)
        }
    }
    impl UserStoreServer<()> {
        ///The full name of the method: `rpc_macros.UserStore/Exists`.
        const EXISTS: &'static str = "rpc_macros.UserStore/Exists";
    }
    __rpc::server! {
        UserStoreServer
    }
    impl<T: UserStore> __rpc::Service for UserStoreServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_EXISTS,
                    |__service, _, (name,)| async move {
                        <T as UserStore>::exists(&__service, &name).await
                    },
                );
            __routes.build()
        }
    }
    impl UserStoreClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        fn local<T: UserStore>(service: T) -> Self {
            Self(__rpc::local(UserStoreServer::new(service)))
        }
    }
};
