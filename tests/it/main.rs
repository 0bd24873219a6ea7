//! End to end: over sockets and in process. One binary, because two cores link slowly.

/// The rings: who may import whom.
mod architecture;
/// Two services in a chain, over both transports: values, errors with their chain, context.
mod two_hops;
