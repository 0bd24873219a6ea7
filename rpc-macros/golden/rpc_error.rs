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
                Self::Closed { .. } => __rpc::Code::Unavailable,
                Self::Broken => Code::Internal,
                Self::User(__inner) => __rpc::RpcError::code(__inner),
                Self::Other(__inner) => __rpc::Error::code(__inner),
            }
        }
        fn into_error(self) -> __rpc::Error {
            let __text = __rpc::Specialize(&self).text();
            match self {
                Self::InsufficientCredit {
                    n: __field_n,
                    cost: __field_cost,
                    user: __field_user,
                    credit: __field_credit,
                } => {
                    __rpc::TypedError::new(
                            __rpc::Code::FailedPrecondition,
                            "INSUFFICIENT_CREDIT",
                            __rpc::text_or(__text, "INSUFFICIENT_CREDIT"),
                        )
                        .field("n", &__field_n)
                        .field("cost", &__field_cost)
                        .field("user", &__field_user)
                        .field("credit", &__field_credit)
                        .finish()
                }
                Self::Store(__field0) => {
                    __rpc::TypedError::new(
                            __rpc::Code::Unavailable,
                            "STORE_DOWN",
                            __rpc::text_or(__text, "STORE_DOWN"),
                        )
                        .source(__rpc::Specialize(__field0).into_source())
                        .finish()
                }
                Self::Closed { until: __field_until } => {
                    __rpc::TypedError::new(
                            __rpc::Code::Unavailable,
                            "CLOSED",
                            __rpc::text_or(__text, "CLOSED"),
                        )
                        .not_executed()
                        .field("until", &__field_until)
                        .finish()
                }
                Self::Broken => {
                    __rpc::TypedError::new(
                            Code::Internal,
                            "BROKEN",
                            __rpc::text_or(__text, "BROKEN"),
                        )
                        .public()
                        .finish()
                }
                Self::User(__inner) => {
                    __rpc::pass_on("USER", __rpc::RpcError::into_error(__inner))
                }
                Self::Other(__inner) => __inner,
            }
        }
        fn from_error(__error: &__rpc::Error) -> Self {
            let __known = || -> ::core::option::Option<Self> {
                let __payload = __rpc::Payload::of(__error)?;
                ::core::option::Option::Some(
                    match __payload.reason() {
                        "INSUFFICIENT_CREDIT" => {
                            Self::InsufficientCredit {
                                n: __payload.field::<u64>("n")?,
                                cost: __payload.field::<u64>("cost")?,
                                user: __payload.field::<String>("user")?,
                                credit: __payload.field::<i64>("credit")?,
                            }
                        }
                        "STORE_DOWN" => {
                            Self::Store(__rpc::Specialize::<std::io::Error>::value()?)
                        }
                        "CLOSED" => {
                            Self::Closed {
                                until: __payload.field::<u64>("until")?,
                            }
                        }
                        "BROKEN" => Self::Broken,
                        "USER" => {
                            Self::User(
                                __rpc::RpcError::from_error(&__payload.inner(__error)),
                            )
                        }
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
    impl<__E: __rpc::RpcError> ::core::convert::From<__rpc::Remote<__E>>
    for PricingError {
        #[track_caller]
        fn from(__remote: __rpc::Remote<__E>) -> Self {
            let __remote = match __remote.take::<UserStoreError>() {
                ::core::result::Result::Ok(__inner) => return Self::User(__inner),
                ::core::result::Result::Err(__remote) => __remote,
            };
            Self::Other(<__rpc::Error as ::core::convert::From<_>>::from(__remote))
        }
    }
    #[automatically_derived]
    impl ::core::convert::From<__rpc::Error> for PricingError {
        fn from(__error: __rpc::Error) -> Self {
            Self::Other(__error)
        }
    }
};
