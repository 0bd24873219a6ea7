//! Metrics of a server: number, result and duration of calls by method.

use std::sync::Arc;

use super::client_metrics::ClientMetrics;
use super::method_metrics::{MethodMetrics, MetricsSnapshot, SubCounter};
use super::{CallEnd, CallStart, ConnectionMetrics, Observer, Rejection};
use crate::descriptor::MethodDescriptor;
use crate::error::Code;

/// Metrics of a server's calls by method, of plain HTTP, and of unknown paths. Values that callers
/// choose are never used as keys.
///
/// Recording takes no lock and allocates no memory.
#[derive(Debug)]
pub(crate) struct ServerMetrics {
    /// Sorted by the address of the method's descriptor, for a binary search without hashing.
    methods: Vec<(usize, ServerMethodRow)>,
    http: ServerMethodRow,
    unknown: ServerMethodRow,
    outgoing: Arc<ClientMetrics>,
    connections: Arc<ConnectionMetrics>,
}

/// Metrics of one method. Aligned so that two methods never share a cache line.
#[derive(Debug)]
#[repr(align(128))]
struct ServerMethodRow {
    method: Option<&'static MethodDescriptor>,
    calls: MethodMetrics,
    repeats: SubCounter,
    shed: SubCounter,
    rate_limited: SubCounter,
    /// Rejected requests with a code of [`Code::is_server_error`].
    bad_requests: SubCounter,
}

/// Metrics of one method at one point in time.
#[derive(Debug)]
pub(crate) struct ServerMethodSnapshot {
    pub(crate) calls: MetricsSnapshot,
    /// Calls that are repeated attempts of their caller.
    pub(crate) repeats: u64,
    /// Calls rejected because the server was overloaded.
    pub(crate) shed: u64,
    /// Calls rejected by a rate limit.
    pub(crate) rate_limited: u64,
    /// Failed calls whose caller is at fault.
    pub(crate) refused: u64,
}

impl ServerMetrics {
    pub(crate) fn new(methods: impl Iterator<Item = &'static MethodDescriptor>) -> Self {
        let mut methods: Vec<_> = methods
            .map(|method| (address(method), ServerMethodRow::new(Some(method))))
            .collect();
        methods.sort_by_key(|entry| entry.0);
        Self {
            methods,
            http: ServerMethodRow::new(None),
            unknown: ServerMethodRow::new(None),
            outgoing: Arc::new(ClientMetrics::new()),
            connections: Arc::default(),
        }
    }

    /// Returns all methods, called or not, sorted by path.
    pub(crate) fn methods(&self) -> Vec<(&'static MethodDescriptor, ServerMethodSnapshot)> {
        let mut all: Vec<_> = self
            .methods
            .iter()
            .filter_map(|(_, row)| Some((row.method?, row.read())))
            .collect();
        all.sort_by_key(|entry| entry.0.path);
        all
    }

    /// Returns the sum over all methods, plain HTTP and unknown paths.
    pub(crate) fn total(&self) -> ServerMethodSnapshot {
        let rows = self.methods.iter().map(|(_, row)| row);
        let rows: Vec<_> = rows.chain([&self.http, &self.unknown]).collect();
        let [repeats, shed, rate_limited, bad_requests] = [
            |row: &ServerMethodRow| row.repeats.read(),
            |row: &ServerMethodRow| row.shed.read(),
            |row: &ServerMethodRow| row.rate_limited.read(),
            |row: &ServerMethodRow| row.bad_requests.read(),
        ]
        .map(|part| rows.iter().map(|row| part(row)).sum());
        let calls: Vec<_> = rows.iter().map(|row| &row.calls).collect();
        let calls = MethodMetrics::read_all(&calls);
        ServerMethodSnapshot {
            refused: calls.refused() + bad_requests,
            calls,
            repeats,
            shed,
            rate_limited,
        }
    }

    /// Returns the sum over all plain HTTP routes.
    pub(crate) fn http(&self) -> ServerMethodSnapshot {
        self.http.read()
    }

    /// Returns requests without a known method: for unknown paths, or rejected before the lookup.
    pub(crate) fn unknown(&self) -> ServerMethodSnapshot {
        self.unknown.read()
    }

    /// Returns the metrics of the calls that the handlers make.
    pub(crate) fn outgoing(&self) -> &Arc<ClientMetrics> {
        &self.outgoing
    }

    /// Returns the metrics of the connections.
    pub(crate) fn connections(&self) -> &Arc<ConnectionMetrics> {
        &self.connections
    }

    /// Finds the row of a call. Methods without a row, such as those of `rpc.v1.Status`, are not
    /// counted.
    fn row(&self, call: &CallStart) -> Option<&ServerMethodRow> {
        let Some(method) = call.method else {
            return Some(match call.http {
                Some(_) => &self.http,
                None => &self.unknown,
            });
        };
        let found = self
            .methods
            .binary_search_by_key(&address(method), |entry| entry.0);
        found.ok().map(|index| &self.methods[index].1)
    }
}

fn address(method: &'static MethodDescriptor) -> usize {
    std::ptr::from_ref(method).addr()
}

impl Observer for ServerMetrics {
    fn call_started(&self, call: &CallStart) {
        if let Some(row) = self.row(call) {
            row.calls.start();
            if call.attempt > 1 {
                row.repeats.add();
            }
        }
    }

    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        if let Some(row) = self.row(call) {
            row.calls.end(end.code(), end.duration);
            if end.is_bad_request && end.code().is_some_and(Code::is_server_error) {
                row.bad_requests.add();
            }
            match end.rejection {
                None => {}
                Some(Rejection::Overload) => row.shed.add(),
                Some(Rejection::RateLimit) => row.rate_limited.add(),
            }
        }
    }
}

impl ServerMethodRow {
    fn new(method: Option<&'static MethodDescriptor>) -> Self {
        Self {
            method,
            calls: MethodMetrics::new(),
            repeats: SubCounter::default(),
            shed: SubCounter::default(),
            rate_limited: SubCounter::default(),
            bad_requests: SubCounter::default(),
        }
    }

    fn read(&self) -> ServerMethodSnapshot {
        // Before all calls, see `SubCounter`.
        let (repeats, shed, rate_limited, bad_requests) = (
            self.repeats.read(),
            self.shed.read(),
            self.rate_limited.read(),
            self.bad_requests.read(),
        );
        let calls = self.calls.read();
        ServerMethodSnapshot {
            refused: calls.refused() + bad_requests,
            calls,
            repeats,
            shed,
            rate_limited,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::context::Context;
    use crate::error::Error;

    static ONE: MethodDescriptor = MethodDescriptor::new("a.B", "one", "One", "/a.B/One");
    static TWO: MethodDescriptor = MethodDescriptor::new("a.B", "two", "Two", "/a.B/Two");
    static OTHER: MethodDescriptor = MethodDescriptor::new("c.D", "two", "Two", "/c.D/Two");

    fn start(method: Option<&'static MethodDescriptor>, http: Option<&'static str>) -> CallStart {
        CallStart {
            http,
            ..CallStart::server(method, &Context::default())
        }
    }

    fn end(error: Option<&Error>, milliseconds: u64) -> CallEnd<'_> {
        CallEnd {
            duration: Duration::from_millis(milliseconds),
            ..CallEnd::new(&start(None, None), error, 0)
        }
    }

    #[test]
    fn each_call_is_counted_in_its_row() {
        let metrics = ServerMetrics::new([&TWO, &ONE].into_iter());
        let error = Error::new(Code::NotFound, "no");
        for (method, http, error) in [
            (Some(&ONE), None, None),
            (Some(&ONE), None, Some(&error)),
            (Some(&OTHER), None, None),
            (None, Some("http GET"), None),
            (None, None, Some(&error)),
        ] {
            let call = start(method, http);
            metrics.call_started(&call);
            metrics.call_ended(&call, &end(error, 8));
        }
        metrics.call_started(&start(Some(&ONE), None));
        let methods = metrics.methods();
        let [(one, counted), (two, idle)] = methods.as_slice() else {
            panic!("{methods:?}")
        };
        assert_eq!((one.name, two.name), ("one", "two"));
        let calls = &counted.calls;
        assert_eq!((calls.requests, calls.in_flight), (3, 1));
        assert_eq!(calls.errors, [(Code::NotFound, 1)]);
        let [p50, _, p99] = calls.percentiles.unwrap();
        assert!((8000..8250).contains(&p50) && p50 == p99, "{p50}");
        assert_eq!((idle.calls.requests, idle.calls.percentiles), (0, None));
        let total = metrics.total().calls;
        assert_eq!((total.requests, total.in_flight), (5, 1));
        assert_eq!(total.errors, [(Code::NotFound, 2)]);
        assert_eq!(total.percentiles, calls.percentiles);
        assert_eq!(metrics.http().calls.requests, 1);
        assert_eq!(metrics.unknown().calls.errors, [(Code::NotFound, 1)]);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let metrics = ServerMetrics::new([&ONE].into_iter());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let call = start(Some(&ONE), None);
                        metrics.call_started(&call);
                        metrics.call_ended(&call, &end(None, 1));
                    }
                });
            }
        });
        let (_, counted) = &metrics.methods()[0];
        assert_eq!((counted.calls.requests, counted.calls.in_flight), (4000, 0));
    }
}
