use proc_macro2::Span;

use super::*;

fn ident(name: &str) -> Ident {
    match name.strip_prefix("r#") {
        Some(raw) => Ident::new_raw(raw, Span::call_site()),
        None => Ident::new(name, Span::call_site()),
    }
}

#[test]
fn raw_identifiers_lose_their_prefix() {
    assert_eq!(unraw(&ident("r#type")), "type");
    assert_eq!(client(&ident("r#struct")), "structClient");
    assert_eq!(server(&ident("r#LogSink")), "LogSinkServer");
    assert_eq!(method_static(&ident("r#match")), "__METHOD_MATCH");
}

#[test]
fn methods_are_upper_camel_on_the_wire() {
    for (name, wire) in [
        ("recv_log", "RecvLog"),
        ("ping", "Ping"),
        ("get_2fa", "Get2fa"),
        ("_hidden__twice_", "HiddenTwice"),
        ("recvLog", "RecvLog"),
    ] {
        assert_eq!(upper_camel(name), wire);
    }
}

#[test]
fn arguments_have_a_camel_case_spelling() {
    for (name, json) in [
        ("user_id", "userId"),
        ("level", "level"),
        ("_unused", "Unused"),
        ("a_b_c", "aBC"),
    ] {
        assert_eq!(lower_camel(name), json);
    }
}

#[test]
fn camel_case_splits_at_capitals() {
    for (name, snake) in [
        ("LogSink", "log_sink"),
        ("HTTPServer", "http_server"),
        ("Fib2Go", "fib2_go"),
        ("IO", "io"),
        ("already_snake", "already_snake"),
    ] {
        assert_eq!(lower_snake(name), snake);
    }
    assert_eq!(screaming_snake("InsufficientCredit"), "INSUFFICIENT_CREDIT");
}

#[test]
fn type_parameter_differs_from_trait_name() {
    assert_eq!(impl_param(&ident("LogSink")), "T");
    assert_eq!(impl_param(&ident("T")), "Implementation");
}

#[test]
fn chosen_names_are_validated() {
    for (name, right) in [
        ("fibpro.v1", true),
        ("shop", true),
        ("", false),
        ("a..b", false),
        ("a.1", false),
        ("a-b", false),
    ] {
        assert_eq!(is_package(name), right, "{name}");
    }
    for (name, right) in [
        ("log-sink_2.eu", true),
        ("LogSink", false),
        ("", false),
        ("größe", false),
    ] {
        assert_eq!(is_endpoint(name), right, "{name}");
    }
    for (name, right) in [
        ("STORE_DOWN", true),
        ("store_down", false),
        ("_X", false),
        ("2X", false),
        ("", false),
    ] {
        assert_eq!(is_reason(name), right, "{name}");
    }
    assert!(is_reason(&"A".repeat(63)) && !is_reason(&"A".repeat(64)));
}

#[test]
fn suggestions_are_similar_names() {
    let options = [
        "name",
        "idempotent",
        "no_side_effects",
        "timeout",
        "message",
        "detached",
    ];
    for (written, meant) in [
        ("idempotnt", Some("idempotent")),
        ("noSideEffects", Some("no_side_effects")),
        ("timout", Some("timeout")),
        ("Message", Some("message")),
        ("nmae", Some("name")),
        ("cache", None),
        ("x", None),
    ] {
        assert_eq!(closest(written, options), meant, "{written}");
    }
}

#[test]
fn edit_distance_counts_single_steps() {
    for (from, to, distance) in [
        ("", "abc", 3),
        ("abc", "abc", 0),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
    ] {
        assert_eq!(edit_distance(from, to), distance);
        assert_eq!(edit_distance(to, from), distance);
    }
}
