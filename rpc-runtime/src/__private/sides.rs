//! The macro that emits the generated items of the sides that the runtime is compiled with.
//!
//! The features of the runtime decide. Features of `rpc-macros` could not: Cargo unifies those of a
//! procedural macro separately, so the expansion could name items that the runtime does not have.

/// Emits the items of the client, of the server, and of both together.
#[cfg(all(feature = "client", feature = "server"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __sides {
    (client { $($client:tt)* } server { $($server:tt)* } $(both { $($both:tt)* })?) => {
        $($client)*
        $($server)*
        $($($both)*)?
    };
}

/// Emits the items of the client.
#[cfg(all(feature = "client", not(feature = "server")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __sides {
    (client { $($client:tt)* } $($other:tt)*) => { $($client)* };
}

/// Emits the items of the server.
#[cfg(all(not(feature = "client"), feature = "server"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __sides {
    (client { $($client:tt)* } server { $($server:tt)* } $($both:tt)*) => { $($server)* };
}

/// Emits nothing: contracts only.
#[cfg(not(any(feature = "client", feature = "server")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __sides {
    ($($items:tt)*) => {};
}
