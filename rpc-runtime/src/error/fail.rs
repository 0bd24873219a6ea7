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
#[macro_export]
macro_rules! fail {
    ($code:expr, $($text:tt)+) => {
        return ::core::result::Result::Err(::core::convert::From::from(
            $crate::Error::new($code, $crate::__private::format!($($text)+)),
        ))
    };
}
