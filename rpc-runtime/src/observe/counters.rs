//! The numbers of a server: how many calls of each method, how they ended, how long they took.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Histogram;
use super::{CallEnd, CallStart, Observer};
use crate::descriptor::MethodDescriptor;
use crate::error::Code;

/// One place for success and one for each code.
const OUTCOMES: usize = 17;

/// Counts the calls of these methods, of plain HTTP, and of paths that nobody has; never by anything that callers may
/// make up.
///
/// On the path of a call it takes no lock and no memory.
#[derive(Debug)]
pub(crate) struct Counters {
    /// By the address of the method's descriptor, in order: found in a few steps, without hashing a name.
    methods: Vec<(usize, Counts)>,
    http: Counts,
    unknown: Counts,
}

/// The numbers of one method. Aligned, so that two methods do not take a line of a core's cache from each other.
#[derive(Debug)]
#[repr(align(128))]
struct Counts {
    method: Option<&'static MethodDescriptor>,
    started: AtomicU64,
    ended: [AtomicU64; OUTCOMES],
    durations: Histogram,
}

/// What has been counted so far.
#[derive(Debug)]
pub(crate) struct Counted {
    /// Calls that have started.
    pub(crate) requests: u64,
    pub(crate) in_flight: u64,
    /// In the order of the codes, without zeros.
    pub(crate) errors: Vec<(Code, u64)>,
    /// The 50th, 90th and 99th percentile of the duration, in microseconds; `None` before a call has ended.
    pub(crate) percentiles: Option<[u64; 3]>,
}

impl Counters {
    pub(crate) fn new(methods: impl Iterator<Item = &'static MethodDescriptor>) -> Self {
        let mut methods: Vec<_> = methods
            .map(|method| (address(method), Counts::new(Some(method))))
            .collect();
        methods.sort_by_key(|entry| entry.0);
        Self {
            methods,
            http: Counts::new(None),
            unknown: Counts::new(None),
        }
    }

    /// All methods, called or not, by path.
    pub(crate) fn methods(&self) -> Vec<(&'static MethodDescriptor, Counted)> {
        let mut all: Vec<_> = self
            .methods
            .iter()
            .filter_map(|(_, counts)| Some((counts.method?, counts.read())))
            .collect();
        all.sort_by_key(|entry| entry.0.path);
        all
    }

    /// Plain HTTP routes together.
    pub(crate) fn http(&self) -> Counted {
        self.http.read()
    }

    /// Requests whose method is not known: for paths that nobody has, or refused before it was looked for.
    pub(crate) fn unknown(&self) -> Counted {
        self.unknown.read()
    }

    /// A method that is not among ours is not counted: so it is with those that tell of the counters.
    fn counts(&self, call: &CallStart) -> Option<&Counts> {
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

impl Observer for Counters {
    fn call_started(&self, call: &CallStart) {
        if let Some(counts) = self.counts(call) {
            counts.started.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn call_ended(&self, call: &CallStart, end: &CallEnd<'_>) {
        if let Some(counts) = self.counts(call) {
            counts.durations.record(end.duration);
            let outcome = end.code().map_or(0, |code| usize::from(code.number()));
            // Released, so that whoever reads the end of a call has its start as well.
            counts.ended[outcome].fetch_add(1, Ordering::Release);
        }
    }
}

impl Counts {
    fn new(method: Option<&'static MethodDescriptor>) -> Self {
        Self {
            method,
            started: AtomicU64::new(0),
            ended: array::from_fn(|_| AtomicU64::new(0)),
            durations: Histogram::new(),
        }
    }

    fn read(&self) -> Counted {
        // Ends before starts: no call is ended that has not started.
        let ended: [u64; OUTCOMES] =
            array::from_fn(|outcome| self.ended[outcome].load(Ordering::Acquire));
        let requests = self.started.load(Ordering::Relaxed);
        Counted {
            requests,
            in_flight: requests.saturating_sub(ended.iter().sum()),
            errors: Code::all()
                .map(|code| (code, ended[usize::from(code.number())]))
                .filter(|entry| entry.1 > 0)
                .collect(),
            percentiles: self.durations.percentiles([50, 90, 99]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::context::Context;
    use crate::error::Error;
    use crate::observe::Side;

    static ONE: MethodDescriptor = MethodDescriptor::new("a.B", "one", "One", "/a.B/One");
    static TWO: MethodDescriptor = MethodDescriptor::new("a.B", "two", "Two", "/a.B/Two");
    static OTHER: MethodDescriptor = MethodDescriptor::new("c.D", "two", "Two", "/c.D/Two");

    fn start(method: Option<&'static MethodDescriptor>, http: Option<&'static str>) -> CallStart {
        CallStart {
            side: Side::Server,
            method,
            http,
            context: Context::default(),
            request_bytes: 0,
            target: None,
            attempt: 1,
            at: Instant::now(),
            line: None,
        }
    }

    fn end(error: Option<&Error>, milliseconds: u64) -> CallEnd<'_> {
        CallEnd {
            error,
            duration: Duration::from_millis(milliseconds),
            response_bytes: 0,
            retry_in: None,
        }
    }

    #[test]
    fn each_call_is_counted_where_it_belongs() {
        let counters = Counters::new([&TWO, &ONE].into_iter());
        let error = Error::new(Code::NotFound, "no");
        for (method, http, error) in [
            (Some(&ONE), None, None),
            (Some(&ONE), None, Some(&error)),
            (Some(&OTHER), None, None),
            (None, Some("http GET"), None),
            (None, None, Some(&error)),
        ] {
            let call = start(method, http);
            counters.call_started(&call);
            counters.call_ended(&call, &end(error, 8));
        }
        counters.call_started(&start(Some(&ONE), None));
        let methods = counters.methods();
        let [(one, counted), (two, idle)] = methods.as_slice() else {
            panic!("{methods:?}")
        };
        assert_eq!((one.name, two.name), ("one", "two"));
        assert_eq!((counted.requests, counted.in_flight), (3, 1));
        assert_eq!(counted.errors, [(Code::NotFound, 1)]);
        let [p50, _, p99] = counted.percentiles.unwrap();
        assert!((8000..8250).contains(&p50) && p50 == p99, "{p50}");
        assert_eq!((idle.requests, idle.percentiles), (0, None));
        assert_eq!(counters.http().requests, 1);
        assert_eq!(counters.unknown().errors, [(Code::NotFound, 1)]);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let counters = Counters::new([&ONE].into_iter());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let call = start(Some(&ONE), None);
                        counters.call_started(&call);
                        counters.call_ended(&call, &end(None, 1));
                    }
                });
            }
        });
        let (_, counted) = &counters.methods()[0];
        assert_eq!((counted.requests, counted.in_flight), (4000, 0));
    }
}
