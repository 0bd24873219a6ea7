use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, Instant};

use super::*;
use crate::error::Code;
use crate::flags::Flags;

fn within(id: &str) -> Context {
    Context::builder(Propagated::new(RequestId::parse(id).unwrap())).build()
}

#[test]
fn a_scope_covers_polls_and_the_drop_only() {
    struct PushOnDrop<'a>(&'a Mutex<Vec<String>>);
    impl Drop for PushOnDrop<'_> {
        fn drop(&mut self) {
            self.0
                .lock()
                .unwrap()
                .push(Context::current().request_id().to_owned());
        }
    }

    let seen = Mutex::new(Vec::new());
    let mut future = Box::pin(within("a").scope(async {
        let _guard = PushOnDrop(&seen);
        seen.lock()
            .unwrap()
            .push(Context::current().request_id().to_owned());
        std::future::pending::<()>().await;
    }));
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert_eq!(future.as_mut().poll(&mut cx), Poll::Pending);
    assert_eq!(Context::current().request_id(), "-");
    drop(future);
    assert_eq!(Context::current().request_id(), "-");
    assert_eq!(*seen.lock().unwrap(), ["a", "a"]);
}

#[test]
fn a_panic_leaves_no_context_behind() {
    let result = std::panic::catch_unwind(|| within("a").enter(|| panic!("on purpose")));
    assert!(result.is_err());
    assert_eq!(Context::current().request_id(), "-");
}

#[test]
fn scopes_nest() {
    within("a").enter(|| {
        within("b").enter(|| assert_eq!(Context::current().request_id(), "b"));
        assert_eq!(Context::current().request_id(), "a");
    });
}

#[test]
fn an_outgoing_call_is_a_child() {
    let server = Arc::new(Source::new("gatekeeper", "prod", "1").unwrap());
    let deadline = Instant::now() + Duration::from_secs(1);
    let own = Context::builder(Propagated {
        deadline: Some(deadline),
        environment: Some("dev".into()),
        hops: 3,
        ..Propagated::new(RequestId::parse("a").unwrap())
    })
    .server_info(Arc::new(ServerInfo::new(server, None, Flags::new())))
    .build();
    let child = own
        .child(None, None, Some(deadline + Duration::from_secs(9)))
        .unwrap();
    assert_eq!(child.request_id(), "a");
    assert_eq!(child.source().unwrap().server(), "gatekeeper");
    assert_eq!(child.deadline(), Some(deadline));
    assert_eq!(child.environment(), Some("dev"));
    assert_eq!(child.hops(), 4);
}

#[test]
fn work_without_a_context_calls_out_with_a_fresh_id() {
    let empty = Context::default();
    let (one, two) = (
        empty.child(None, None, None).unwrap(),
        empty.child(None, None, None).unwrap(),
    );
    assert_ne!(one.request_id(), two.request_id());
    assert_eq!(one.request_id().len(), 16);
}

#[test]
fn a_loop_ends() {
    let mut context = Context::default();
    for _ in 0..HOP_COUNT_LIMIT {
        context = context.child(None, None, None).unwrap();
    }
    assert_eq!(
        context.child(None, None, None).unwrap_err().code(),
        Code::FailedPrecondition
    );
}

#[test]
fn a_derived_context_has_the_response_of_the_call() {
    let context = within("a");
    let with_baggage = context.with_baggage("b", "c").unwrap();
    let twice = with_baggage.with_deadline(Instant::now());
    with_baggage.response().header("x-a", "1").unwrap();
    twice.response().trailer("x-b", "2").unwrap();
    let (headers, trailers) = context.take_response();
    assert_eq!(
        (headers.get("x-a"), trailers.get("x-b")),
        (Some("1"), Some("2"))
    );
    // An outgoing call has a response of its own.
    let outgoing = context.child(None, None, None).unwrap();
    outgoing.response().header("x-c", "3").unwrap();
    assert!(context.take_response().0.is_empty());
}

#[test]
fn metadata_outside_a_call_is_refused_and_not_lost() {
    let error = Context::current()
        .response()
        .header("x-a", "1")
        .unwrap_err();
    assert!(error.message().contains("no current call"), "{error}");
    let context = within("a");
    context.response().header("x-a", "1").unwrap();
    context.response().trailer("x-b", "2").unwrap();
    assert_eq!(
        context
            .response()
            .header("x-a", "1\r\n")
            .unwrap_err()
            .code(),
        Code::Internal
    );
    let (headers, trailers) = context.take_response();
    assert_eq!(
        (headers.get("x-a"), trailers.get("x-b")),
        (Some("1"), Some("2"))
    );
}
