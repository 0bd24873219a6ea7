pub trait Till: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn pay(
        &self,
        cents: u64,
    ) -> impl ::core::future::Future<
        Output = Result<(), TillError>,
    > + ::core::marker::Send;
}
/**Client of [`Till`]. Each method returns a [`Call`](facade::rpc::Call) to await.

Cloning is cheap; clones share their connections.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct TillClient(facade::rpc::Client);
///Server of [`Till`]: `Server::new("name").add(TillServer::new(implementation))`.
pub struct TillServer<T>(facade::rpc::__private::Arc<T>);
#[allow(dead_code)]
const _: () = {
    use facade::rpc::__private as __rpc;
    fn url() {}
    fn client() {}
    fn service() {}
    static __METHOD_PAY: __rpc::Method<(__rpc::Owned<u64>,), (), TillError> = __rpc::method(
        __rpc::MethodDescriptor::new("shop.v1.Till", "pay", "Pay", "/shop.v1.Till/Pay")
            .arguments(&[__rpc::ArgumentDescriptor::new("cents", "u64")])
            .returns("Result<(), TillError>"),
        (__rpc::argument::<__rpc::Owned<u64>>(),),
        __rpc::reply::<Result<(), TillError>>(),
    );
    static __METHODS: &[__rpc::MethodDescriptor] = &[
        *__METHOD_PAY.descriptor(),
        __rpc::ping_descriptor("shop.v1.Till", "/shop.v1.Till/Ping"),
    ];
    static __SERVICE: __rpc::ServiceDescriptor = __rpc::ServiceDescriptor::new(
            "shop.v1.Till",
            "shop.v1",
            "Till",
            "till",
        )
        .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
        .methods(__METHODS);
    __rpc::register! {
        __SERVICE
    }
    impl<__T: Till> Till for __rpc::Arc<__T> {
        fn pay(&self, cents: u64) -> impl __rpc::Future<Output = Result<(), TillError>> {
            <__T as Till>::pay(self, cents)
        }
    }
    impl TillClient {
        /**Creates a client of the service at a URL such as `http://127.0.0.1:9002`.

The first call connects. With identity keys each call is signed and sends its context, whatever the host; a client of another system's server is one with `Client::external`.

# Errors

If the URL is not valid.*/
        pub fn connect(url: &str) -> __rpc::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }
        ///Creates a client from a configured [`Client`](facade::rpc::Client).
        pub fn with_client(client: __rpc::Client) -> Self {
            Self(client)
        }
        ///Checks that the service is reachable, and returns what it reports about itself.
        #[track_caller]
        pub fn ping(&self) -> __rpc::Call<__rpc::Pong> {
            __rpc::ping(&self.0, &__SERVICE)
        }
        ///Calls [`Till::pay`].
        #[track_caller]
        pub fn pay(&self, cents: u64) -> __rpc::Call<(), TillError> {
            __rpc::call(&self.0, &__METHOD_PAY, (&cents,))
        }
    }
    impl Till for TillClient {
        #[track_caller]
        fn pay(&self, cents: u64) -> impl __rpc::Future<Output = Result<(), TillError>> {
            __rpc::outcome(Self::pay(self, cents))
        }
    }
    impl<T: Till> TillServer<T> {
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
    impl TillServer<()> {
        ///The full name of the method: `shop.v1.Till/Pay`.
        pub const PAY: &'static str = "shop.v1.Till/Pay";
    }
    __rpc::server! {
        TillServer
    }
    impl<T: Till> __rpc::Service for TillServer<T> {
        fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
            &__SERVICE
        }
        fn into_routes(self) -> __rpc::Routes {
            let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
            let __routes = __routes
                .add(
                    &__METHOD_PAY,
                    |__service, _, (cents,)| async move {
                        <T as Till>::pay(&__service, cents).await
                    },
                );
            __routes.build()
        }
    }
    impl TillClient {
        ///Creates a client that calls `service` in this process, through the same layers and codecs but without a socket.
        pub fn local<T: Till>(service: T) -> Self {
            Self(__rpc::local(TillServer::new(service)))
        }
    }
};
#[allow(deprecated, unreachable_code)]
const _: () = {
    use facade::rpc::__private as __rpc;
    #[allow(unused_imports)]
    use __rpc::Fallback as _;
    #[automatically_derived]
    impl __rpc::RpcError for TillError {
        fn code(&self) -> __rpc::Code {
            match self {
                Self::NoTill => __rpc::Code::NotFound,
                Self::Other(__inner) => __rpc::Error::code(__inner),
            }
        }
        fn into_error(self) -> __rpc::Error {
            let __text = __rpc::Specialize(&self).text();
            match self {
                Self::NoTill => {
                    __rpc::TypedError::new(
                            __rpc::Code::NotFound,
                            "NO_TILL",
                            __rpc::text_or(__text, "NO_TILL"),
                        )
                        .finish()
                }
                Self::Other(__inner) => __inner,
            }
        }
        fn from_error(__error: &__rpc::Error) -> Self {
            let __known = || -> ::core::option::Option<Self> {
                let __payload = __rpc::Payload::of(__error)?;
                ::core::option::Option::Some(
                    match __payload.reason() {
                        "NO_TILL" => Self::NoTill,
                        _ => return ::core::option::Option::None,
                    },
                )
            };
            __known()
                .unwrap_or_else(|| Self::Other(
                    <__rpc::Error as ::core::clone::Clone>::clone(__error),
                ))
        }
    }
    #[automatically_derived]
    impl<__E: __rpc::RpcError> ::core::convert::From<__rpc::Remote<__E>> for TillError {
        #[track_caller]
        fn from(__remote: __rpc::Remote<__E>) -> Self {
            Self::Other(<__rpc::Error as ::core::convert::From<_>>::from(__remote))
        }
    }
    #[automatically_derived]
    impl ::core::convert::From<__rpc::Error> for TillError {
        fn from(__error: __rpc::Error) -> Self {
            Self::Other(__error)
        }
    }
};
