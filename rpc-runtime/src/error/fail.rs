//! The `fail!` macro.

/// Returns from the function with an [`Error`](crate::Error) that is created on this line.
///
/// The first argument is a [`Code`](crate::Code), the others are those of `format!`. Works in every
/// function whose error implements `From<rpc_runtime::Error>`, such as an enum with
/// `#[derive(RpcError)]`.
///
/// ```
/// use rpc_runtime::{fail, Code, Result};
///
/// fn user(name: &str) -> Result<u32> {
///     if name.is_empty() {
///         fail!(Code::InvalidArgument, "a user needs a name");
///     }
///     fail!(Code::NotFound, "no user `{name}`")
/// }
///
/// assert_eq!(user("ada").unwrap_err().to_string(), "not_found: no user `ada`");
/// assert!(user("").unwrap_err().location().is_some());
/// ```
///
/// With one argument, an error, it returns that error. For a variant of an enum with
/// `#[derive(RpcError)]`, the chain then starts at this line:
///
/// ```
/// use rpc_runtime::prelude::*;
///
/// #[derive(Debug, PartialEq, RpcError)]
/// enum StockError {
///     #[rpc(code = "failed_precondition")]
///     SoldOut { left: u32 },
///     #[rpc(other)]
///     Other(Error),
/// }
///
/// fn take(left: u32, count: u32) -> Result<u32, StockError> {
///     match left.checked_sub(count) {
///         Some(left) => Ok(left),
///         None => fail!(StockError::SoldOut { left }),
///     }
/// }
///
/// assert_eq!(take(1, 2), Err(StockError::SoldOut { left: 1 }));
/// ```
#[macro_export]
macro_rules! fail {
    ($code:expr, $($text:tt)+) => {
        return ::core::result::Result::Err(::core::convert::From::from(
            $crate::Error::new($code, $crate::__private::format!($($text)+)),
        ))
    };
    ($error:expr $(,)?) => {
        return ::core::result::Result::Err(::core::convert::From::from(
            $crate::__private::located($error),
        ))
    };
}
