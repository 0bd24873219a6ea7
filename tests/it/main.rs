//! End-to-end tests, over sockets and in process. One binary, since linking several is slow.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, and not in what only tests call"
)]

/// Concurrency limits, queueing, load shedding and rate limits.
mod admission;
/// Layers of the modules and their permitted imports.
mod architecture;
/// Background tasks of a server, and its work at the stop.
mod background_tasks;
/// Several servers behind one client: load balancing, hedging.
mod balancing;
/// Handles of calls, statuses of pages, methods by name, and the builder of a client.
mod call_handles;
/// Log lines of failed calls: levels, and each failure once.
mod call_lines;
/// Deadlines, cancellation, detached work, panics, metadata.
mod calls;
/// Three processes in a chain, with faults of network and processes.
#[cfg(unix)]
mod chain;
/// Options of clients and calls: compression, `GET`, limits of responses on every transport.
mod client_options;
/// Bounds on elapsed time in tests.
mod clocks;
/// Request IDs never leak into another request.
mod context_property;
/// Web pages of other origins, in a browser too.
#[cfg(unix)]
mod cors;
/// Whether a call runs again after a failure: a table of all cases.
mod delivery;
/// Disclosure to callers that are not trusted, and to servers of other systems.
mod disclosure;
/// Addresses from a file and from a host name.
mod discovery;
/// Links and paths in the documents.
mod documents;
/// Conversions of errors, fakes, comparisons, defaults, lines of origin.
mod ergonomics;
/// Details of errors: what a service, the framework and a dependency send to which caller.
mod error_details;
/// The fault injection tools that other tests use.
mod fault_kit;
/// Faults requested by a header of the call.
mod faults;
/// Flags of a running server, and the log line per call that one of them enables.
mod flags;
/// Clients of broken and malicious servers.
mod hostile_server;
/// HTTP/2: callers that leave together, and the calls of the others.
mod http2_cancel;
/// HTTP/2 clients: calls that were not begun, silent connections, many streams.
mod http2_client;
/// HTTP/2 clients: more connections when all streams are in use, and turns of clients.
mod http2_streams;
/// Requests that an HTTP/2 server did not process: neither failures nor paid retries.
mod http2_unprocessed;
/// HTTP/2 clients: requests that wait for a connection or a stream.
#[cfg(unix)]
mod http2_waits;
/// Methods whose value is the whole response at their HTTP paths.
mod http_bare;
/// HTTP layers: those of tower-http, and the stages around them.
mod http_layers;
/// Methods at HTTP paths.
mod http_paths;
/// Idempotency keys: a call runs once, however often it is sent.
mod idempotency;
/// Signed calls between services.
mod identity;
/// Sockets that a service manager passes to a server.
#[cfg(unix)]
mod inherited_sockets;
/// Random values of many types, against serde_json.
mod json_buffered;
/// Nesting of values.
mod json_depth;
/// Fields of typed errors.
mod json_errors;
mod json_presence;
mod json_property;
/// The JSON forms of arguments and values.
mod json_rules;
/// Values that must not change on the way, at every depth.
mod json_values;
/// Layers of a server, a service and a method; what they hand on.
mod layer_scopes;
/// The middleware stacks of client and server.
mod layers;
/// Health, readiness and graceful shutdown.
mod lifecycle;
/// Export of log lines to the sink.
mod logs;
/// Detection of request loops.
mod loops;
/// Bounds on the memory that callers can make a server use.
mod memory;
/// Headers and trailers of the application.
mod metadata;
/// The outlier policy: replicas that fail, are slow, silent or busy.
mod outliers;
/// Panics in unusual places.
mod panics;
/// Pinned external forms.
mod pinned;
/// The callers that the application's HTTP routes serve.
mod plain_access;
/// The application's HTTP routes in addition to the services.
mod plain_http;
mod plain_stages;
/// Access policies: which callers may call which method.
mod policy;
/// Streams of requests and responses.
mod streams;

// Log lines that strangers can cause as often as they want.
mod provoked_lines;
/// Retries: which calls are retried and how often.
mod retries;
/// Settings at 0, 1 and their largest value.
mod settings;
/// Unix sockets.
#[cfg(unix)]
mod sockets;
/// Options, variables, addresses and signals of a server process.
#[cfg(unix)]
mod starting;
/// The status service of a server.
mod status;
/// TLS listeners, and what else is set for one listener: what it shows, proxies, any transport.
mod tls;
/// W3C trace context through services, and invalid headers of it.
mod trace_context;
/// Trust in callers, mounted routers, and configurations that a server rejects at start.
mod trust;
/// Two services in a chain, over both transports: values, errors with their chain, context.
mod two_hops;
/// Users of calls: authentication, and what goes by the user.
mod users;
/// The wire protocol as untrusted peers see it: HTTP and JSON over raw sockets.
mod wire;
