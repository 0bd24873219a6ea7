/// Collects log lines from every service.
pub trait LogSink: ::core::marker::Send + ::core::marker::Sync + 'static {
    /// Appends one record.
    fn recv_log(
        &self,
        message: &str,
        level: Level,
    ) -> impl ::core::future::Future<Output = Result<bool>> + ::core::marker::Send;
    fn recv_logs(
        &self,
        ctx: &Context,
        records: &[Record],
    ) -> impl ::core::future::Future<
        Output = Result<u32, SinkError>,
    > + ::core::marker::Send;
}
/**Client of [`LogSink`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct LogSinkClient(::rpc_runtime::Client);
///Server of [`LogSink`]: `Server::new("name").add(LogSinkServer::new(implementation))`.
pub struct LogSinkServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_RECV_LOG: __rpc::Method<
        (__rpc::Str, __rpc::Owned<Level>),
        <Result<bool> as __rpc::RpcResult>::Ok,
        <Result<bool> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "fibpro.v1.LogSink",
                "recv_log",
                "RecvLog",
                "/fibpro.v1.LogSink/RecvLog",
            )
            .docs("Appends one record.")
            .arguments(
                &[
                    __rpc::ArgumentDescriptor::new("message", "&str"),
                    __rpc::ArgumentDescriptor::new("level", "Level").or_default(),
                ],
            )
            .returns("Result<bool>")
            .idempotent()
            .timeout_ms(2000),
        (
            __rpc::argument::<__rpc::Str>(),
            __rpc::argument_or_default::<__rpc::Owned<Level>>(),
        ),
        __rpc::reply::<Result<bool>>(),
    );
    static __METHOD_RECV_LOGS: __rpc::Method<(__rpc::Slice<Record>,), u32, SinkError> = __rpc::method(
        __rpc::MethodDescriptor::new(
                "fibpro.v1.LogSink",
                "recv_logs",
                "RecvLogs",
                "/fibpro.v1.LogSink/RecvLogs",
            )
            .arguments(&[__rpc::ArgumentDescriptor::new("records", "&[Record]")])
            .returns("Result<u32, SinkError>"),
        (__rpc::argument::<__rpc::Slice<Record>>(),),
        __rpc::reply::<Result<u32, SinkError>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__METHOD_RECV_LOG.descriptor(),
        *__METHOD_RECV_LOGS.descriptor(),
        __rpc::ping_descriptor("fibpro.v1.LogSink", "/fibpro.v1.LogSink/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "fibpro.v1.LogSink",
            "fibpro.v1",
            "LogSink",
            "logsink",
        )
        .docs("Collects log lines from every service.")
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: LogSink> LogSink for __rpc::Arc<__T> {
        fn recv_log(
            &self,
            message: &str,
            level: Level,
        ) -> impl __rpc::Future<Output = Result<bool>> {
            <__T as LogSink>::recv_log(self, message, level)
        }
        fn recv_logs(
            &self,
            ctx: &Context,
            records: &[Record],
        ) -> impl __rpc::Future<Output = Result<u32, SinkError>> {
            <__T as LogSink>::recv_logs(self, ctx, records)
        }
    }
    impl LogSinkClient {
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
        /// Appends one record.
        #[track_caller]
        pub fn recv_log(
            &self,
            message: &str,
            level: Level,
        ) -> __rpc::Call<
            <Result<bool> as __rpc::RpcResult>::Ok,
            <Result<bool> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_RECV_LOG, (message, &level))
        }
        ///Calls [`LogSink::recv_logs`].
        #[track_caller]
        pub fn recv_logs(&self, records: &[Record]) -> __rpc::Call<u32, SinkError> {
            __rpc::call(&self.0, &__METHOD_RECV_LOGS, (records,))
        }
    }
    impl LogSink for LogSinkClient {
        #[track_caller]
        fn recv_log(
            &self,
            message: &str,
            level: Level,
        ) -> impl __rpc::Future<Output = Result<bool>> {
            __rpc::outcome(Self::recv_log(self, message, level))
        }
        #[track_caller]
        fn recv_logs(
            &self,
            ctx: &Context,
            records: &[Record],
        ) -> impl __rpc::Future<Output = Result<u32, SinkError>> {
            __rpc::outcome(__rpc::Context::enter(ctx, || Self::recv_logs(self, records)))
        }
    }
    impl<T: LogSink> LogSinkServer<T> {
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
    impl LogSinkServer<()> {
        ///The full name of the method: `fibpro.v1.LogSink/RecvLog`.
        pub const RECV_LOG: &'static str = "fibpro.v1.LogSink/RecvLog";
        ///The full name of the method: `fibpro.v1.LogSink/RecvLogs`.
        pub const RECV_LOGS: &'static str = "fibpro.v1.LogSink/RecvLogs";
    }
    __rpc::server! {
        LogSinkServer
    }
    impl<T: LogSink> __rpc::Service for LogSinkServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_RECV_LOG,
                    |__service, _, (message, level)| async move {
                        <T as LogSink>::recv_log(&__service, &message, level).await
                    },
                );
            let __routes = __routes
                .add(
                    &__METHOD_RECV_LOGS,
                    |__service, __context, (records,)| async move {
                        <T as LogSink>::recv_logs(&__service, &__context, &records).await
                    },
                );
            __routes.build()
        }
    }
    impl LogSinkClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: LogSink>(service: T) -> Self {
            Self(__rpc::local(LogSinkServer::new(service)))
        }
    }
};
