#[allow(deprecated, unreachable_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    #[allow(unused_imports)]
    use __rpc::Fallback as _;
    #[automatically_derived]
    impl __rpc::RpcError for PricingError {
        fn code(&self) -> __rpc::Code {
            match self {
                Self::InsufficientCredit { .. } => __rpc::Code::FailedPrecondition,
                Self::Store(..) => __rpc::Code::Unavailable,
                Self::Broken => Code::Internal,
                Self::User(inner) => __rpc::RpcError::code(inner),
                Self::Other(inner) => __rpc::Error::code(inner),
            }
        }
        fn into_error(self) -> __rpc::Error {
            let text = __rpc::Specialize(&self).text();
            match self {
                Self::InsufficientCredit { n, cost, user, credit } => {
                    __rpc::TypedError::new(
                            __rpc::Code::FailedPrecondition,
                            "INSUFFICIENT_CREDIT",
                            __rpc::text_or(text, "INSUFFICIENT_CREDIT"),
                        )
                        .field("n", &n)
                        .field("cost", &cost)
                        .field("user", &user)
                        .field("credit", &credit)
                        .finish()
                }
                Self::Store(field0) => {
                    __rpc::TypedError::new(
                            __rpc::Code::Unavailable,
                            "STORE_DOWN",
                            __rpc::text_or(text, "STORE_DOWN"),
                        )
                        .source(__rpc::Specialize(field0).into_source())
                        .finish()
                }
                Self::Broken => {
                    __rpc::TypedError::new(
                            Code::Internal,
                            "BROKEN",
                            __rpc::text_or(text, "BROKEN"),
                        )
                        .public()
                        .finish()
                }
                Self::User(inner) => {
                    __rpc::pass_on("USER", __rpc::RpcError::into_error(inner))
                }
                Self::Other(inner) => inner,
            }
        }
        fn from_error(error: &__rpc::Error) -> Self {
            let known = || -> ::core::option::Option<Self> {
                let payload = __rpc::Payload::of(error)?;
                ::core::option::Option::Some(
                    match payload.reason() {
                        "INSUFFICIENT_CREDIT" => {
                            Self::InsufficientCredit {
                                n: payload.field::<u64>("n")?,
                                cost: payload.field::<u64>("cost")?,
                                user: payload.field::<String>("user")?,
                                credit: payload.field::<i64>("credit")?,
                            }
                        }
                        "STORE_DOWN" => {
                            Self::Store(__rpc::Specialize::<std::io::Error>::value()?)
                        }
                        "BROKEN" => Self::Broken,
                        "USER" => {
                            Self::User(
                                __rpc::RpcError::from_error(&payload.inner(error)),
                            )
                        }
                        _ => return ::core::option::Option::None,
                    },
                )
            };
            known()
                .unwrap_or_else(|| Self::Other(
                    <__rpc::Error as ::core::clone::Clone>::clone(error),
                ))
        }
    }
    #[automatically_derived]
    impl<__E: __rpc::RpcError> ::core::convert::From<__rpc::Remote<__E>>
    for PricingError {
        #[track_caller]
        fn from(remote: __rpc::Remote<__E>) -> Self {
            let remote = match remote.take::<UserStoreError>() {
                ::core::result::Result::Ok(inner) => return Self::User(inner),
                ::core::result::Result::Err(remote) => remote,
            };
            Self::Other(<__rpc::Error as ::core::convert::From<_>>::from(remote))
        }
    }
    #[automatically_derived]
    impl ::core::convert::From<__rpc::Error> for PricingError {
        fn from(error: __rpc::Error) -> Self {
            Self::Other(error)
        }
    }
};
