pub trait Audit: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn record(
        &self,
        ctx: &Context,
        context: &str,
    ) -> impl ::core::future::Future<Output = Result<()>> + ::core::marker::Send;
    fn flush(
        &self,
        context: &rpc_runtime::Context,
    ) -> impl ::core::future::Future<Output = Result<()>> + ::core::marker::Send;
}
/**Client of [`Audit`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct AuditClient(::rpc_runtime::Client);
///Server of [`Audit`]: `Server::new("name").add(AuditServer::new(implementation))`.
pub struct AuditServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_RECORD: __rpc::Method<
        (__rpc::Str,),
        <Result<()> as __rpc::RpcResult>::Ok,
        <Result<()> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Audit",
                "record",
                "Record",
                "/shop.v1.Audit/Record",
            )
            .arguments(&[__rpc::ArgumentDescriptor::new("context", "&str")])
            .returns("Result<()>"),
        (__rpc::argument::<__rpc::Str>(),),
        __rpc::reply::<Result<()>>(),
    );
    static __METHOD_FLUSH: __rpc::Method<
        (),
        <Result<()> as __rpc::RpcResult>::Ok,
        <Result<()> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Audit",
                "flush",
                "Flush",
                "/shop.v1.Audit/Flush",
            )
            .returns("Result<()>"),
        (),
        __rpc::reply::<Result<()>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__METHOD_RECORD.descriptor(),
        *__METHOD_FLUSH.descriptor(),
        __rpc::ping_descriptor("shop.v1.Audit", "/shop.v1.Audit/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Audit",
            "shop.v1",
            "Audit",
            "audit",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: Audit> Audit for __rpc::Arc<__T> {
        fn record(
            &self,
            ctx: &Context,
            context: &str,
        ) -> impl __rpc::Future<Output = Result<()>> {
            <__T as Audit>::record(self, ctx, context)
        }
        fn flush(
            &self,
            context: &rpc_runtime::Context,
        ) -> impl __rpc::Future<Output = Result<()>> {
            <__T as Audit>::flush(self, context)
        }
    }
    impl AuditClient {
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
        ///Calls [`Audit::record`].
        #[track_caller]
        pub fn record(
            &self,
            context: &str,
        ) -> __rpc::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_RECORD, (context,))
        }
        ///Calls [`Audit::flush`].
        #[track_caller]
        pub fn flush(
            &self,
        ) -> __rpc::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_FLUSH, ())
        }
    }
    impl Audit for AuditClient {
        #[track_caller]
        fn record(
            &self,
            ctx: &Context,
            context: &str,
        ) -> impl __rpc::Future<Output = Result<()>> {
            __rpc::outcome(__rpc::Context::enter(ctx, || Self::record(self, context)))
        }
        #[track_caller]
        fn flush(
            &self,
            context: &rpc_runtime::Context,
        ) -> impl __rpc::Future<Output = Result<()>> {
            __rpc::outcome(__rpc::Context::enter(context, || Self::flush(self)))
        }
    }
    impl<T: Audit> AuditServer<T> {
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
    impl AuditServer<()> {
        ///The full name of the method: `shop.v1.Audit/Record`.
        pub const RECORD: &'static str = "shop.v1.Audit/Record";
        ///The full name of the method: `shop.v1.Audit/Flush`.
        pub const FLUSH: &'static str = "shop.v1.Audit/Flush";
    }
    __rpc::server! {
        AuditServer
    }
    impl<T: Audit> __rpc::Service for AuditServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_RECORD,
                    |__service, __context, (context,)| async move {
                        <T as Audit>::record(&__service, &__context, &context).await
                    },
                );
            let __routes = __routes
                .add(
                    &__METHOD_FLUSH,
                    |__service, __context, ()| async move {
                        <T as Audit>::flush(&__service, &__context).await
                    },
                );
            __routes.build()
        }
    }
    impl AuditClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Audit>(service: T) -> Self {
            Self(__rpc::local(AuditServer::new(service)))
        }
    }
};
