trait UserStore: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn exists(
        &self,
        name: &str,
    ) -> impl ::core::future::Future<Output = Result<bool>> + ::core::marker::Send;
}
/**Client of [`UserStore`]: its methods, each returning a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
struct UserStoreClient(::rpc_runtime::Client);
///Serves an implementation of [`UserStore`]: `Server::new("name").add(UserStoreServer::new(implementation))`.
struct UserStoreServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    static __EXISTS: __rpc::Method<
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
        *__EXISTS.descriptor(),
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
    __rpc::inventory::submit! {
        __rpc::Registration(& __SERVICE)
    }
    impl UserStoreClient {
        /**Makes a client for the service at an address such as `http://127.0.0.1:9002`.

The connection is made by the first call.

# Errors

When the address cannot be understood.*/
        fn connect(url: &str) -> ::rpc_runtime::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Makes a client that calls `service` in this process, through the same layers and codecs but without a socket.
        fn local<T: UserStore>(service: T) -> Self {
            Self(__rpc::local(UserStoreServer::new(service)))
        }
        ///Makes a client with settings of its own, such as timeouts and layers.
        fn with_client(client: ::rpc_runtime::Client) -> Self {
            Self(client)
        }
        ///Asks whether the service is there, and who answers.
        #[track_caller]
        fn ping(&self) -> ::rpc_runtime::Call<::rpc_runtime::Pong> {
            __rpc::ping(&self.0, &__SERVICE)
        }
        ///Calls [`UserStore::exists`].
        #[track_caller]
        fn exists(
            &self,
            name: &str,
        ) -> ::rpc_runtime::Call<
            <Result<bool> as __rpc::RpcResult>::Ok,
            <Result<bool> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__EXISTS, (name,))
        }
    }
    impl UserStore for UserStoreClient {
        #[track_caller]
        fn exists(
            &self,
            name: &str,
        ) -> impl ::core::future::Future<Output = Result<bool>> {
            __rpc::outcome(Self::exists(self, name))
        }
    }
    impl<T: UserStore> UserStoreServer<T> {
        ///Takes the implementation; clones of the server share it.
        fn new(service: T) -> Self {
            Self(__rpc::Arc::new(service))
        }
        /**The service as an axum router, to mount it beside routes of your own.

# Errors

When two linked services have one full name.*/
        fn into_router(self) -> ::rpc_runtime::Result<__rpc::Router> {
            __rpc::into_router(self)
        }
    }
    impl<T> ::core::clone::Clone for UserStoreServer<T> {
        fn clone(&self) -> Self {
            Self(__rpc::Arc::clone(&self.0))
        }
    }
    impl<T> ::core::fmt::Debug for UserStoreServer<T> {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            f.write_str("UserStoreServer")
        }
    }
    impl<T: UserStore> __rpc::Service for UserStoreServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let routes = routes
                .add(
                    &__EXISTS,
                    |service, _, (name,)| async move {
                        <T as UserStore>::exists(&service, &name).await
                    },
                );
            routes.build()
        }
    }
};
