//! Disclosure of errors, contexts and servers to callers that are not trusted, and other systems.

/// Marked secrets at the far end of three services, and all ways of an error to the edge.
mod canary;
/// Clients of servers of other systems: what they send.
mod external;
/// The far end: services and pages whose every part has a mark.
mod far_end;
/// Errors that were stored, collected, decoded or raced, and variants with collections.
mod other_ways;
/// The `Ping` of an edge.
mod ping;
/// Public variants inside of variants of another enum.
mod public_inner;
/// The ways of an error through a service.
mod relay;
/// Repeats of calls with idempotency keys.
mod replays;
