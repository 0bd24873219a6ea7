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
/**Client of [`Shapes`]: its methods, each returning a [`Call`](::rpc_runtime::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct ShapesClient(::rpc_runtime::Client);
///Serves an implementation of [`Shapes`]: `Server::new("name").add(ShapesServer::new(implementation))`.
pub struct ShapesServer<T>(::rpc_runtime::__private::Arc<T>);
#[allow(dead_code, clippy::too_many_arguments)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    static __EVERY: __rpc::Method<
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
        *__EVERY.descriptor(),
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
    __rpc::inventory::submit! {
        __rpc::Registration(& __SERVICE)
    }
    impl ShapesClient {
        /**Makes a client for the service at an address such as `http://127.0.0.1:9002`.

The connection is made by the first call.

# Errors

When the address cannot be understood.*/
        pub fn connect(url: &str) -> ::rpc_runtime::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Makes a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Shapes>(service: T) -> Self {
            Self(__rpc::local(ShapesServer::new(service)))
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
        ) -> ::rpc_runtime::Call<
            <Result<()> as __rpc::RpcResult>::Ok,
            <Result<()> as __rpc::RpcResult>::Err,
        > {
            __rpc::call(
                &self.0,
                &__EVERY,
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
        ) -> impl ::core::future::Future<Output = Result<()>> {
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
    impl<T> ::core::clone::Clone for ShapesServer<T> {
        fn clone(&self) -> Self {
            Self(__rpc::Arc::clone(&self.0))
        }
    }
    impl<T> ::core::fmt::Debug for ShapesServer<T> {
        fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
            f.write_str("ShapesServer")
        }
    }
    impl<T: Shapes> __rpc::Service for ShapesServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let routes = routes
                .add(
                    &__EVERY,
                    |
                        service,
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
                                &service,
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
            routes.build()
        }
    }
};
