#[cfg(feature = "batches")]
#[deprecated(note = "use `LogSink`")]
pub trait Batches: ::core::marker::Send + ::core::marker::Sync + 'static {
    /// Sends many at once.
    #[cfg(unix)]
    #[deprecated(since = "1.2.0", note = "use `stream`")]
    #[allow(clippy::needless_lifetimes)]
    fn send(
        &self,
        records: &[Record],
    ) -> impl ::core::future::Future<Output = Result<()>> + ::core::marker::Send;
    #[cfg_attr(feature = "old", cfg(windows), deprecated, allow(unused))]
    fn flush(
        &self,
    ) -> impl ::core::future::Future<Output = Result<()>> + ::core::marker::Send;
}
/**Client of [`Batches`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[cfg(feature = "batches")]
#[deprecated(note = "use `LogSink`")]
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct BatchesClient(::rpc_runtime::Client);
///Server of [`Batches`]: `Server::new("name").add(BatchesServer::new(implementation))`.
#[cfg(feature = "batches")]
#[deprecated(note = "use `LogSink`")]
pub struct BatchesServer<T>(::rpc_runtime::__private::Arc<T>);
#[cfg(feature = "batches")]
#[allow(dead_code, deprecated)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    #[cfg(unix)]
    static __METHOD_SEND: __rpc::Method<
        (__rpc::Slice<Record>,),
        <Result<()> as __rpc::RpcResult>::Ok,
        <Result<()> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Batches",
                "send",
                "Send",
                "/shop.v1.Batches/Send",
            )
            .docs("Sends many at once.")
            .arguments(&[__rpc::ArgumentDescriptor::new("records", "&[Record]")])
            .returns("Result<()>")
            .deprecated(),
        (__rpc::argument::<__rpc::Slice<Record>>(),),
        __rpc::reply::<Result<()>>(),
    );
    #[cfg_attr(feature = "old", cfg(windows))]
    static __METHOD_FLUSH: __rpc::Method<
        (),
        <Result<()> as __rpc::RpcResult>::Ok,
        <Result<()> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Batches",
                "flush",
                "Flush",
                "/shop.v1.Batches/Flush",
            )
            .returns("Result<()>"),
        (),
        __rpc::reply::<Result<()>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        #[cfg(unix)]
        *__METHOD_SEND.descriptor(),
        #[cfg_attr(feature = "old", cfg(windows))]
        *__METHOD_FLUSH.descriptor(),
        __rpc::ping_descriptor("shop.v1.Batches", "/shop.v1.Batches/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Batches",
            "shop.v1",
            "Batches",
            "batches",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: Batches> Batches for __rpc::Arc<__T> {
        #[cfg(unix)]
        fn send(&self, records: &[Record]) -> impl __rpc::Future<Output = Result<()>> {
            <__T as Batches>::send(self, records)
        }
        #[cfg_attr(feature = "old", cfg(windows))]
        fn flush(&self) -> impl __rpc::Future<Output = Result<()>> {
            <__T as Batches>::flush(self)
        }
    }
    impl BatchesClient {
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
        /// Sends many at once.
        #[cfg(unix)]
        #[deprecated(since = "1.2.0", note = "use `stream`")]
        #[track_caller]
        pub fn send(
            &self,
            records: &[Record],
        ) -> __rpc::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(&self.0, &__METHOD_SEND, (records,))
        }
        ///Calls [`Batches::flush`].
        #[cfg_attr(feature = "old", cfg(windows), deprecated)]
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
    impl Batches for BatchesClient {
        #[cfg(unix)]
        #[track_caller]
        fn send(&self, records: &[Record]) -> impl __rpc::Future<Output = Result<()>> {
            __rpc::outcome(Self::send(self, records))
        }
        #[cfg_attr(feature = "old", cfg(windows))]
        #[track_caller]
        fn flush(&self) -> impl __rpc::Future<Output = Result<()>> {
            __rpc::outcome(Self::flush(self))
        }
    }
    impl<T: Batches> BatchesServer<T> {
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
    impl BatchesServer<()> {
        ///The full name of the method: `shop.v1.Batches/Send`.
        #[cfg(unix)]
        pub const SEND: &'static str = "shop.v1.Batches/Send";
        ///The full name of the method: `shop.v1.Batches/Flush`.
        #[cfg_attr(feature = "old", cfg(windows))]
        pub const FLUSH: &'static str = "shop.v1.Batches/Flush";
    }
    __rpc::server! {
        BatchesServer
    }
    impl<T: Batches> __rpc::Service for BatchesServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            #[cfg(unix)]
            let __routes = __routes
                .add(
                    &__METHOD_SEND,
                    |__service, _, (records,)| async move {
                        <T as Batches>::send(&__service, &records).await
                    },
                );
            #[cfg_attr(feature = "old", cfg(windows))]
            let __routes = __routes
                .add(
                    &__METHOD_FLUSH,
                    |__service, _, ()| async move {
                        <T as Batches>::flush(&__service).await
                    },
                );
            __routes.build()
        }
    }
    impl BatchesClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Batches>(service: T) -> Self {
            Self(__rpc::local(BatchesServer::new(service)))
        }
    }
};
