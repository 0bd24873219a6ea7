#[allow(deprecated, unreachable_code)]
const _: () = {
    use ::rpc_runtime::__private as __rpc;
    #[allow(unused_imports)]
    use ::rpc_runtime::__private::Otherwise as _;
    #[automatically_derived]
    impl ::rpc_runtime::RpcError for PricingError {
        fn code(&self) -> ::rpc_runtime::Code {
            match self {
                Self::InsufficientCredit { .. } => {
                    ::rpc_runtime::Code::FailedPrecondition
                }
                Self::Store(..) => ::rpc_runtime::Code::Unavailable,
                Self::Broken => Code::Internal,
                Self::User(inner) => ::rpc_runtime::RpcError::code(inner),
                Self::Other(inner) => ::rpc_runtime::Error::code(inner),
            }
        }
        fn into_error(self) -> ::rpc_runtime::Error {
            let text = __rpc::Probe(&self).text();
            match self {
                Self::InsufficientCredit { n, cost, user, credit } => {
                    __rpc::TypedError::new(
                            ::rpc_runtime::Code::FailedPrecondition,
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
                            ::rpc_runtime::Code::Unavailable,
                            "STORE_DOWN",
                            __rpc::text_or(text, "STORE_DOWN"),
                        )
                        .source(__rpc::Probe(field0).into_source())
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
                    __rpc::pass_on("USER", ::rpc_runtime::RpcError::into_error(inner))
                }
                Self::Other(inner) => inner,
            }
        }
        fn from_error(error: &::rpc_runtime::Error) -> Self {
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
                            Self::Store(__rpc::Probe::<std::io::Error>::value()?)
                        }
                        "BROKEN" => Self::Broken,
                        "USER" => {
                            Self::User(
                                ::rpc_runtime::RpcError::from_error(&payload.inner(error)),
                            )
                        }
                        _ => return ::core::option::Option::None,
                    },
                )
            };
            known()
                .unwrap_or_else(|| Self::Other(
                    <::rpc_runtime::Error as ::core::clone::Clone>::clone(error),
                ))
        }
    }
    #[automatically_derived]
    impl<__E: ::rpc_runtime::RpcError> ::core::convert::From<::rpc_runtime::Remote<__E>>
    for PricingError {
        #[track_caller]
        fn from(remote: ::rpc_runtime::Remote<__E>) -> Self {
            let remote = match remote.take::<UserStoreError>() {
                ::core::result::Result::Ok(inner) => return Self::User(inner),
                ::core::result::Result::Err(remote) => remote,
            };
            Self::Other(<::rpc_runtime::Error as ::core::convert::From<_>>::from(remote))
        }
    }
    #[automatically_derived]
    impl ::core::convert::From<::rpc_runtime::Error> for PricingError {
        fn from(error: ::rpc_runtime::Error) -> Self {
            Self::Other(error)
        }
    }
};
