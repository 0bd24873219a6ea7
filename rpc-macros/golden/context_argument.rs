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
/**Client of [`Audit`]: its methods, each returning a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct AuditClient(::rpc_runtime::Client);
///Serves an implementation of [`Audit`]: `Server::new("name").add(AuditServer::new(implementation))`.
pub struct AuditServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    static __RECORD: __rpc::Method<
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
    static __FLUSH: __rpc::Method<
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
        *__RECORD.descriptor(),
        *__FLUSH.descriptor(),
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
    __rpc::inventory::submit! {
        __rpc::Registration(& __SERVICE)
    }
    impl AuditClient {
        /**Makes a client for the service at an address such as `http://127.0.0.1:9002`.

The connection is made by the first call.

# Errors

When the address cannot be understood.*/
        pub fn connect(url: &str) -> ::rpc_runtime::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Makes a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Audit>(service: T) -> Self {
            Self(__rpc::local(AuditServer::new(service)))
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
        ///Calls [`Audit::record`].
        #[track_caller]
        pub fn record(
            &self,
            context: &str,
        ) -> ::rpc_runtime::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__RECORD, (context,))
        }
        ///Calls [`Audit::flush`].
        #[track_caller]
        pub fn flush(
            &self,
        ) -> ::rpc_runtime::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__FLUSH, ())
        }
    }
    impl Audit for AuditClient {
        #[track_caller]
        fn record(
            &self,
            ctx: &Context,
            context: &str,
        ) -> impl ::core::future::Future<Output = Result<()>> {
            __rpc::outcome(
                ::rpc_runtime::Context::enter(ctx, || Self::record(self, context)),
            )
        }
        #[track_caller]
        fn flush(
            &self,
            context: &rpc_runtime::Context,
        ) -> impl ::core::future::Future<Output = Result<()>> {
            __rpc::outcome(::rpc_runtime::Context::enter(context, || Self::flush(self)))
        }
    }
    impl<T: Audit> AuditServer<T> {
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
    impl<T> ::core::clone::Clone for AuditServer<T> {
        fn clone(&self) -> Self {
            Self(__rpc::Arc::clone(&self.0))
        }
    }
    impl<T> ::core::fmt::Debug for AuditServer<T> {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            f.write_str("AuditServer")
        }
    }
    impl<T: Audit> __rpc::Service for AuditServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let routes = routes
                .add(
                    &__RECORD,
                    |service, context, (context,)| async move {
                        <T as Audit>::record(&service, &context, &context).await
                    },
                );
            let routes = routes
                .add(
                    &__FLUSH,
                    |service, context, ()| async move {
                        <T as Audit>::flush(&service, &context).await
                    },
                );
            routes.build()
        }
    }
};
