pub trait Shapes: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn every(
        &self,
        owned: Vec<u8>,
        text: &str,
        slice: &[Item],
        lent: &Item,
        maybe_owned: Option<String>,
        maybe_text: Option<&str>,
        maybe_slice: Option<&[u8]>,
        maybe_lent: Option<&Item>,
    ) -> impl ::core::future::Future<Output = Result<()>> + ::core::marker::Send;
}
/**Client of [`Shapes`]. Each method returns a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct ShapesClient(::rpc_runtime::Client);
///Server of [`Shapes`]: `Server::new("name").add(ShapesServer::new(implementation))`.
pub struct ShapesServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code, clippy::too_many_arguments)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_EVERY: __rpc::Method<
        (
            __rpc::Owned<Vec<u8>>,
            __rpc::Str,
            __rpc::Slice<Item>,
            __rpc::Owned<Item>,
            __rpc::Owned<Option<String>>,
            __rpc::Optional<__rpc::Str>,
            __rpc::Optional<__rpc::Slice<u8>>,
            __rpc::Optional<__rpc::Owned<Item>>,
        ),
        <Result<()> as __rpc::RpcResult>::Ok,
        <Result<()> as __rpc::RpcResult>::Err,
    > = __rpc::method(
        __rpc::MethodDescriptor::new(
                "shop.v1.Shapes",
                "every",
                "Every",
                "/shop.v1.Shapes/Every",
            )
            .arguments(
                &[
                    __rpc::ArgumentDescriptor::new("owned", "Vec<u8>"),
                    __rpc::ArgumentDescriptor::new("text", "&str"),
                    __rpc::ArgumentDescriptor::new("slice", "&[Item]"),
                    __rpc::ArgumentDescriptor::new("lent", "&Item"),
                    __rpc::ArgumentDescriptor::new("maybe_owned", "Option<String>"),
                    __rpc::ArgumentDescriptor::new("maybe_text", "Option<&str>"),
                    __rpc::ArgumentDescriptor::new("maybe_slice", "Option<&[u8]>"),
                    __rpc::ArgumentDescriptor::new("maybe_lent", "Option<&Item>"),
                ],
            )
            .returns("Result<()>"),
        (
            __rpc::argument::<__rpc::Owned<Vec<u8>>>(),
            __rpc::argument::<__rpc::Str>(),
            __rpc::argument::<__rpc::Slice<Item>>(),
            __rpc::argument::<__rpc::Owned<Item>>(),
            __rpc::argument::<__rpc::Owned<Option<String>>>(),
            __rpc::argument::<__rpc::Optional<__rpc::Str>>(),
            __rpc::argument::<__rpc::Optional<__rpc::Slice<u8>>>(),
            __rpc::argument::<__rpc::Optional<__rpc::Owned<Item>>>(),
        ),
        __rpc::reply::<Result<()>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__METHOD_EVERY.descriptor(),
        __rpc::ping_descriptor("shop.v1.Shapes", "/shop.v1.Shapes/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Shapes",
            "shop.v1",
            "Shapes",
            "shapes",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: Shapes> Shapes for __rpc::Arc<__T> {
        fn every(
            &self,
            owned: Vec<u8>,
            text: &str,
            slice: &[Item],
            lent: &Item,
            maybe_owned: Option<String>,
            maybe_text: Option<&str>,
            maybe_slice: Option<&[u8]>,
            maybe_lent: Option<&Item>,
        ) -> impl __rpc::Future<Output = Result<()>> {
            <__T as Shapes>::every(
                self,
                owned,
                text,
                slice,
                lent,
                maybe_owned,
                maybe_text,
                maybe_slice,
                maybe_lent,
            )
        }
    }
    impl ShapesClient {
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
        ///Calls [`Shapes::every`].
        #[track_caller]
        pub fn every(
            &self,
            owned: Vec<u8>,
            text: &str,
            slice: &[Item],
            lent: &Item,
            maybe_owned: Option<String>,
            maybe_text: Option<&str>,
            maybe_slice: Option<&[u8]>,
            maybe_lent: Option<&Item>,
        ) -> __rpc::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(
                &self.0,
                &__METHOD_EVERY,
                (
                    &owned,
                    text,
                    slice,
                    lent,
                    &maybe_owned,
                    maybe_text,
                    maybe_slice,
                    maybe_lent,
                ),
            )
        }
    }
    impl Shapes for ShapesClient {
        #[track_caller]
        fn every(
            &self,
            owned: Vec<u8>,
            text: &str,
            slice: &[Item],
            lent: &Item,
            maybe_owned: Option<String>,
            maybe_text: Option<&str>,
            maybe_slice: Option<&[u8]>,
            maybe_lent: Option<&Item>,
        ) -> impl __rpc::Future<Output = Result<()>> {
            __rpc::outcome(
                Self::every(
                    self,
                    owned,
                    text,
                    slice,
                    lent,
                    maybe_owned,
                    maybe_text,
                    maybe_slice,
                    maybe_lent,
                ),
            )
        }
    }
    impl<T: Shapes> ShapesServer<T> {
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
    impl ShapesServer<()> {
        ///The full name of the method: `shop.v1.Shapes/Every`.
        pub const EVERY: &'static str = "shop.v1.Shapes/Every";
    }
    __rpc::server! {
        ShapesServer
    }
    impl<T: Shapes> __rpc::Service for ShapesServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_EVERY,
                    |
                        __service,
                        _,
                        (
                            owned,
                            text,
                            slice,
                            lent,
                            maybe_owned,
                            maybe_text,
                            maybe_slice,
                            maybe_lent,
                        )|
                    async move {
                        <T as Shapes>::every(
                                &__service,
                                owned,
                                &text,
                                &slice,
                                &lent,
                                maybe_owned,
                                ::core::option::Option::as_deref(&maybe_text),
                                ::core::option::Option::as_deref(&maybe_slice),
                                ::core::option::Option::as_ref(&maybe_lent),
                            )
                            .await
                    },
                );
            __routes.build()
        }
    }
    impl ShapesClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Shapes>(service: T) -> Self {
            Self(__rpc::local(ShapesServer::new(service)))
        }
    }
};
