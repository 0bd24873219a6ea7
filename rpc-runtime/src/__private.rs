//! Support code for macro expansions. Not public API; may change in any release.

#[cfg(feature = "client")]
mod client;
#[cfg(all(feature = "client", feature = "server"))]
mod local;
mod located;
#[cfg(feature = "server")]
mod server;
mod sides;

pub use std::clone::Clone;
pub use std::fmt;
pub use std::format;
pub use std::future::Future;
pub use std::sync::Arc;

pub use inventory;

#[cfg(feature = "server")]
pub use self::server::{RouteBuilder, Router, Routes, Service, into_router};
#[cfg(feature = "client")]
pub use client::{call, connect, outcome, ping};
#[cfg(all(feature = "client", feature = "server"))]
pub use local::local;
pub use located::{located, located_attempt, located_result};

pub use crate::builtin::{Pong, ping_descriptor};
#[cfg(feature = "client")]
pub use crate::client::{Call, Client};
pub use crate::codec::TypedError;
pub use crate::context::handle::Context;
pub use crate::descriptor::{ArgumentDescriptor, MethodDescriptor, ServiceDescriptor};
pub use crate::error::call_error::{Error, Result};
pub use crate::error::code::Code;
pub use crate::error::remote::Remote;
pub use crate::error::typed::RpcError;
pub use crate::error::*;
pub use crate::method::*;
pub use crate::registry::Registration;
pub use crate::{__register as register, __server as server, __sides as sides};

/// Adds a service to the registry.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($service:ident) => {
        $crate::__private::inventory::submit! { $crate::__private::Registration(&$service) }
    };
}

/// Implements `Clone` and `Debug` for a generated server. A derive would require both of the
/// implementation.
#[doc(hidden)]
#[macro_export]
macro_rules! __server {
    ($server:ident) => {
        impl<T> $crate::__private::Clone for $server<T> {
            fn clone(&self) -> Self {
                Self($crate::__private::Arc::clone(&self.0))
            }
        }

        impl<T> $crate::__private::fmt::Debug for $server<T> {
            fn fmt(
                &self,
                __f: &mut $crate::__private::fmt::Formatter<'_>,
            ) -> $crate::__private::fmt::Result {
                __f.write_str(::core::stringify!($server))
            }
        }
    };
}
