pub(crate) trait r#Kinds: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn r#type(
        &self,
        r#match: &str,
        service: u8,
        request: u8,
        client: u8,
    ) -> impl ::core::future::Future<Output = Result<()>> + ::core::marker::Send;
}
/**Client of [`Kinds`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub(crate) struct KindsClient(::rpc_runtime::Client);
///Server of [`Kinds`]: `Server::new("name").add(KindsServer::new(implementation))`.
pub(crate) struct KindsServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_TYPE: __rpc::Method<
        (__rpc::Str, __rpc::Owned<u8>, __rpc::Owned<u8>, __rpc::Owned<u8>),
        <Result<()> as __rpc::RpcResult>::Ok,
        <Result<()> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Kinds",
                "type",
                "Type",
                "/shop.v1.Kinds/Type",
            )
            .arguments(
                &[
                    __rpc::ArgumentDescriptor::new("match", "&str"),
                    __rpc::ArgumentDescriptor::new("service", "u8"),
                    __rpc::ArgumentDescriptor::new("request", "u8"),
                    __rpc::ArgumentDescriptor::new("client", "u8"),
                ],
            )
            .returns("Result<()>"),
        (
            __rpc::argument::<__rpc::Str>(),
            __rpc::argument::<__rpc::Owned<u8>>(),
            __rpc::argument::<__rpc::Owned<u8>>(),
            __rpc::argument::<__rpc::Owned<u8>>(),
        ),
        __rpc::reply::<Result<()>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__METHOD_TYPE.descriptor(),
        __rpc::ping_descriptor("shop.v1.Kinds", "/shop.v1.Kinds/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Kinds",
            "shop.v1",
            "Kinds",
            "kinds",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: r#Kinds> r#Kinds for __rpc::Arc<__T> {
        fn r#type(
            &self,
            r#match: &str,
            service: u8,
            request: u8,
            client: u8,
        ) -> impl __rpc::Future<Output = Result<()>> {
            <__T as r#Kinds>::r#type(self, r#match, service, request, client)
        }
    }
    impl KindsClient {
        /**Creates a client of the service at a URL such as `http://127.0.0.1:9002`.

The first call connects. With identity keys each call is signed and sends its context, whatever the host; a client of another system's server is one with `Client::external`.

# Errors

If the URL is not valid.*/
        pub(crate) fn connect(url: &str) -> __rpc::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Creates a client from a configured [`Client`](::rpc_runtime::Client).
        pub(crate) fn with_client(client: __rpc::Client) -> Self {
            Self(client)
        }
        ///Checks that the service is reachable, and returns what it reports about itself.
        #[track_caller]
        pub(crate) fn ping(&self) -> __rpc::Call<__rpc::Pong> {
            __rpc::ping(&self.0, &__SERVICE)
        }
        ///Calls [`Kinds::type`].
        #[track_caller]
        pub(crate) fn r#type(
            &self,
            r#match: &str,
            service: u8,
            request: u8,
            client: u8,
        ) -> __rpc::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_TYPE, (r#match, &service, &request, &client))
        }
    }
    impl r#Kinds for KindsClient {
        #[track_caller]
        fn r#type(
            &self,
            r#match: &str,
            service: u8,
            request: u8,
            client: u8,
        ) -> impl __rpc::Future<Output = Result<()>> {
            __rpc::outcome(Self::r#type(self, r#match, service, request, client))
        }
    }
    impl<T: r#Kinds> KindsServer<T> {
        ///Wraps an implementation, which clones of the server share.
        pub(crate) fn new(service: T) -> Self {
            Self(__rpc::Arc::new(service))
        }
        /**Returns the service as an axum router, to be combined with other routes.

# Errors

If two linked services have the same full name.*/
        pub(crate) fn into_router(self) -> __rpc::Result<__rpc::Router> {
            __rpc::into_router(self)
        }
    }
    impl KindsServer<()> {
        ///The full name of the method: `shop.v1.Kinds/Type`.
        pub(crate) const TYPE: &'static str = "shop.v1.Kinds/Type";
    }
    __rpc::server! {
        KindsServer
    }
    impl<T: r#Kinds> __rpc::Service for KindsServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_TYPE,
                    |__service, _, (r#match, service, request, client)| async move {
                        <T as r#Kinds>::r#type(
                                &__service,
                                &r#match,
                                service,
                                request,
                                client,
                            )
                            .await
                    },
                );
            __routes.build()
        }
    }
    impl KindsClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub(crate) fn local<T: r#Kinds>(service: T) -> Self {
            Self(__rpc::local(KindsServer::new(service)))
        }
    }
};
