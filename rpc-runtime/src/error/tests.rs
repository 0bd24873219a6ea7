use std::error::Error as StdError;

use super::*;
use crate::codec::TypedError;
use crate::request_id::RequestId;

fn published(code: Code, message: &'static str) -> Error {
    let mut error = Error::new(code, message);
    error.sanitize_for_wire(
        "pricing@prod/127.0.0.1:9004",
        "fibpro.v1.Pricing/Pay",
        "fibpro.v1.Pricing",
    );
    error
}

#[test]
fn internal_errors_keep_their_text_private() {
    for code in Code::all() {
        let error = published(code, "the canary sings");
        assert_eq!(
            error.message().contains("canary"),
            !code.is_internal_kind(),
            "{code}"
        );
    }
    let mut public = Error::new(Code::Internal, "come back tomorrow").public();
    public.sanitize_for_wire("a@b/c", "d/e", "d");
    assert_eq!(public.message(), "come back tomorrow");
}

#[test]
fn publishing_drops_the_source_and_cuts_the_text() {
    let mut error = Error::new(Code::NotFound, "é".repeat(2000)).with_source("canary");
    error.sanitize_for_wire("a@b/c", "d/e", "d");
    assert!(StdError::source(&error).is_none());
    assert!(error.message().len() <= PUBLIC_MESSAGE_LIMIT);
}

#[test]
fn forwarding_keeps_four_codes_and_the_chain() {
    for code in Code::all() {
        let mut error = Error::from(Remote::<Error>::from_error(published(code, "why")));
        assert_eq!(
            error.code(),
            code,
            "the handler sees the dependency's own code"
        );
        error.remap_dependency_error("controller@prod/1");
        let expected = if code.is_propagated() {
            code
        } else {
            Code::Internal
        };
        assert_eq!(error.code(), expected);
        error.sanitize_for_wire(
            "controller@prod/1",
            "fibpro.v1.Controller/Generate",
            "fibpro.v1.Controller",
        );
        assert_eq!(error.hops().len(), 2);
        assert_eq!(error.hops()[1].code, code);
        let (file, line) = error.hops()[0].location.clone().unwrap();
        assert!(
            file.ends_with("error/tests.rs") && line > 0,
            "{file}:{line}"
        );
    }
}

/// A function that is passed as a value is called from a line of the standard library.
#[test]
fn a_line_of_the_library_is_not_shown_or_sent() {
    #[track_caller]
    fn failed(_: ()) -> Error {
        Error::new(Code::NotFound, "why")
    }
    let received = || Remote::<Error>::from_error(published(Code::NotFound, "why"));
    let here = std::panic::Location::caller();
    let (made, passed_on, converted) = (Err::<(), _>(()), Err(received()), Err(received()));
    for error in [
        made.map_err(failed),
        passed_on.map_err(Error::from),
        converted.map_err(Into::into),
    ] {
        let mut error = error.unwrap_err();
        assert!(error.0.location.is_some());
        assert_eq!(error.location(), None);
        let text = format!("{error:#}");
        assert!(!text.contains("function.rs"), "{text}");
        let mut sent = error.clone();
        sent.sanitize_for_wire("a@b/c", "d/e", "d");
        assert_eq!(sent.hops()[0].location, None);
        error.locate(Some(here));
        assert_eq!(error.location(), Some(here));
    }
    // A line of the program stays.
    let mut error = Error::new(Code::NotFound, "why");
    let line = error.location();
    error.locate(Some(here));
    assert_eq!((error.location(), line.is_some()), (line, true));
}

#[test]
fn metadata_of_a_dependency_error_is_not_forwarded() {
    for code in [Code::Unavailable, Code::NotFound] {
        let sent = published(code, "why")
            .with_metadata("set-cookie", "canary")
            .with_reason("BUSY")
            .with_violation("n", "too large")
            .with_detail(Detail::new("a.B", vec![1]));
        let remote = Remote::<Error>::from_error(sent);
        assert_eq!(remote.metadata().get("set-cookie"), Some("canary"));
        let mut error = Error::from(remote).with_metadata("x-own", "1");
        error.remap_dependency_error("controller@prod/1");
        assert_eq!(
            error.metadata().iter().collect::<Vec<_>>(),
            [("x-own", "1")]
        );
        assert!(error.reason().is_none() && error.payload().is_none());
        assert!(error.violations().is_empty() && error.details().is_empty());
    }
}

#[test]
fn an_error_of_our_own_client_is_kept_in_the_chain() {
    let mut local = Error::without_location(Code::FailedPrecondition, "loop detected");
    local.set_failed_call("fibpro.v1.Pricing/Pay");
    let mut error = Error::from(Remote::<Error>::from_error(local));
    error.remap_dependency_error("controller@prod/1");
    assert_eq!(
        (error.code(), error.public_message()),
        (Code::Internal, "internal error")
    );
    let hop = &error.hops()[0];
    assert_eq!(
        (&*hop.method, hop.code, &*hop.message),
        (
            "fibpro.v1.Pricing/Pay",
            Code::FailedPrecondition,
            "loop detected"
        )
    );
}

#[test]
fn foreign_text_cannot_add_lines() {
    let error = published(Code::NotFound, "no user `a\n  at   Forged.Hop\u{1b}[31m`");
    let text = format!("{error:#}");
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        !text.contains('\u{1b}') && !error.to_string().contains('\n'),
        "{text}"
    );
}

#[test]
fn exhausted_retries_are_marked_up_to_the_edge() {
    let mut error = Error::without_location(Code::Unavailable, "down");
    error.set_retries_exhausted(true);
    let mut error = Error::from(Remote::<Error>::from_error(error));
    error.remap_dependency_error("a@prod/1");
    error.sanitize_for_wire("a@prod/1", "a.B/C", "a.B");
    assert!(error.retries_exhausted());
    error.redact(RequestId::random(), "a.B");
    assert!(error.retries_exhausted(), "and through it");
}

#[test]
fn the_execution_of_a_dependency_is_its_own() {
    use Execution::{DependencyNotExecuted, NotExecuted, Unknown};
    for (state, passed_on) in [
        (Unknown, Unknown),
        (NotExecuted, DependencyNotExecuted),
        (DependencyNotExecuted, DependencyNotExecuted),
    ] {
        let mut received = Error::without_location(Code::Unavailable, "down").with_execution(state);
        // Of an application, which has made it itself.
        let made = || Remote::<Error>::from_error(received.clone());
        assert_eq!(made().into_inner().execution(), passed_on);
        assert_eq!(Error::from(made()).execution(), passed_on);
        let replaced = made().replaced_by(Error::new(Code::Unavailable, "not now"));
        assert_eq!(replaced.execution(), passed_on);
        received.mark_received("b.Store");
        let remote = || Remote::<Error>::from_error(received.clone());
        assert_eq!(remote().is_not_executed(), state != Unknown);
        assert_eq!(Error::from(remote()).execution(), passed_on);
        assert_eq!(remote().into_inner().execution(), passed_on);
        let own = || Error::new(Code::Unavailable, "not now");
        assert_eq!(remote().replaced_by(own()).execution(), passed_on);
        let stated = remote().replaced_by(own().not_executed());
        assert_eq!(stated.execution(), NotExecuted);
        let corrected = Error::from(remote()).outcome_unknown();
        assert_eq!(corrected.execution(), Unknown);
    }
}

#[test]
fn the_chain_prints_one_line_a_hop() {
    let mut error = Error::from(Remote::<Error>::from_error(published(
        Code::Unavailable,
        "closed",
    )));
    error.remap_dependency_error("controller@prod/1");
    error.sanitize_for_wire(
        "controller@prod/1",
        "fibpro.v1.Controller/Generate",
        "fibpro.v1.Controller",
    );
    error.set_request_id(RequestId::parse("3b9d41f8a0c2e576").unwrap());
    let text = format!("{error:#}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "unavailable: closed   [request 3b9d41f8a0c2e576]");
    assert!(
        lines[1].starts_with("  at   Controller.Generate "),
        "{text}"
    );
    assert!(lines[2].starts_with("  from Pricing.Pay "), "{text}");
    assert!(lines[2].ends_with("pricing@prod 127.0.0.1:9004"), "{text}");
    assert_eq!(format!("{error:?}"), text);
}

#[test]
fn a_chain_stays_within_its_limits() {
    let mut error = published(Code::Unavailable, "the origin");
    for _ in 0..40 {
        error = Error::from(Remote::<Error>::from_error(error));
        error.sanitize_for_wire(
            "controller@prod/1",
            "fibpro.v1.Controller/Generate",
            "fibpro.v1.Controller",
        );
    }
    assert!(error.hops().len() <= HOP_LIMIT);
    assert_eq!(
        error.hops().last().unwrap().method,
        "fibpro.v1.Pricing/Pay",
        "the origin is kept"
    );

    let mut long = Error::new(Code::NotFound, "x".repeat(2000));
    for _ in 0..10 {
        long.sanitize_for_wire("a@b/c", "d/e", "d");
    }
    let size: usize = long.hops().iter().map(|hop| hop.message.len()).sum();
    assert!(size <= CHAIN_LIMIT, "{size}");
}

fn detailed(code: Code) -> Error {
    Error::new(code, "no such user")
        .with_reason("NO_USER")
        .with_violation("user", "unknown")
        .with_detail(Detail::new("a.B", vec![1]))
        .with_detail(Detail::new("a.B", vec![1]))
        .with_source("canary")
}

fn redacted(mut error: Error) -> Error {
    error.redact(RequestId::parse("a").unwrap(), "a.Users");
    error
}

#[test]
fn a_redacted_error_keeps_the_own_details() {
    let error = redacted(detailed(Code::NotFound));
    assert_eq!(
        (error.code(), error.message(), error.request_id()),
        (Code::NotFound, "no such user", Some("a"))
    );
    assert_eq!(
        (error.reason(), error.domain()),
        (Some("NO_USER"), Some("a.Users"))
    );
    assert_eq!((error.violations().len(), error.details().len()), (1, 2));
    assert!(error.hops().is_empty() && error.location().is_none());
    assert!(StdError::source(&error).is_none());
}

#[test]
fn details_of_private_messages_are_redacted() {
    for code in Code::all().filter(|code| code.is_internal_kind()) {
        let error = redacted(detailed(code));
        assert!(error.reason().is_none() && error.violations().is_empty());
        assert!(error.details().is_empty() && !error.message().contains("user"));
        let public = redacted(detailed(code).public());
        assert_eq!(
            (public.reason(), public.details().len()),
            (Some("NO_USER"), 2)
        );
    }
}

#[test]
fn details_of_a_dependency_are_redacted() {
    let mut received = detailed(Code::NotFound);
    received.mark_received("b.Store");
    assert_eq!(received.details().len(), 2, "the handler sees them");
    let error = redacted(received.clone());
    assert!(error.reason().is_none() && error.violations().is_empty());
    assert!(error.details().is_empty());
    // A handler that adds its own to the error of the dependency.
    let error = redacted(
        received
            .with_reason("MINE")
            .with_violation("id", "unknown")
            .with_detail(Detail::new("c.D", vec![2])),
    );
    assert_eq!(error.reason(), Some("MINE"));
    assert_eq!(error.violations()[0].field, "id");
    assert_eq!(error.details(), [Detail::new("c.D", vec![2])]);
}

#[test]
fn a_payload_is_redacted_unless_it_is_public() {
    let typed = || TypedError::new(Code::NotFound, "NO_USER", "no such user").field("id", &7_u64);
    assert!(redacted(typed().finish()).payload().is_none());
    let public = redacted(typed().public().finish());
    assert_eq!(Payload::of(&public).unwrap().field::<u64>("id"), Some(7));
}

#[test]
fn a_reason_alone_identifies_a_variant_without_fields() {
    let mut error = redacted(TypedError::new(Code::NotFound, "NO_USER", "").finish());
    error.mark_received("a.Users");
    let payload = Payload::of(&error).unwrap();
    assert_eq!(payload.reason(), "NO_USER");
    assert_eq!(
        payload.field::<Option<u64>>("id"),
        None,
        "nothing is known of a field"
    );
    // The reason of another service may only look the same.
    let mut foreign = redacted(TypedError::new(Code::NotFound, "NO_USER", "").finish());
    foreign.mark_received("b.Other");
    assert!(Payload::of(&foreign).is_none());
    let mut wrapped = redacted(pass_on("USERS", detailed(Code::NotFound)));
    wrapped.mark_received("a.Users");
    assert!(Payload::of(&wrapped).is_none());
}

#[test]
fn a_not_executed_variant_depends_on_other_calls() {
    let typed = |code| TypedError::new(code, "CLOSED", "not for now");
    for (error, expected) in [
        (typed(Code::Unavailable).not_executed().finish(), true),
        (typed(Code::Internal).public().not_executed().finish(), true),
        (typed(Code::Unavailable).finish(), false),
    ] {
        assert_eq!(error.is_not_executed(), expected);
        // A call that the handler made decides, since the variant may be that of a dependency.
        for has_called in [false, true] {
            let context = crate::Context::for_request(RequestId::random());
            if has_called {
                context.call_begins();
            }
            let mut settled = error.clone();
            context.settle_execution(&mut settled);
            assert_eq!(settled.is_not_executed(), expected && !has_called);
        }
    }
}
