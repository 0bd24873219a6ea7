//! Support code for macro expansions. Not public API; may change in any release.

#[cfg(feature = "client")]
mod client;
#[cfg(all(feature = "client", feature = "server"))]
mod local;
#[cfg(feature = "server")]
mod server;
mod sides;

pub use std::clone::Clone;
pub use std::fmt;
pub use std::format;
pub use std::sync::Arc;

pub use inventory;

#[cfg(feature = "client")]
pub use client::{call, connect, outcome, ping};
#[cfg(all(feature = "client", feature = "server"))]
pub use local::local;
#[cfg(feature = "server")]
pub use server::{RouteBuilder, Router, Routes, Service, into_router};

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
pub use crate::{__register as register, __sides as sides};

/// Adds a service to the registry.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($service:ident) => {
        $crate::__private::inventory::submit! { $crate::__private::Registration(&$service) }
    };
}
