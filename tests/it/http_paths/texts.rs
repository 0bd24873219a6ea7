//! Texts of captures and bodies that are not what they seem.

use rpc_tests::Running;
use rpc_tests::captured::CapturedWriter;
use rpc_tests::raw::{Raw, post};
use serde_json::json;

use super::{twin, users};

/// A capture is text, as in a message: each character of it arrives, and none leaves its field.
#[tokio::test]
async fn a_capture_is_any_text() {
    let running = Running::start(users().add(twin::GreetsServer::new(twin::Same))).await;
    let mut raw = Raw::connect(running.address()).await;
    let log = CapturedWriter::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(lines.with_ansi(false).finish());
    for (capture, text) in [
        ("%00", "\0"),
        ("a%0d%0aset-cookie:%20a=b", "a\r\nset-cookie: a=b"),
        ("a%2Fb", "a/b"),
        ("..%2f..%2fetc", "../../etc"),
        ("%2e%2e", ".."),
        ("%3F%23%25%22", "?#%\""),
        ("%1b[31m%e2%80%ae", "\u{1b}[31m\u{202e}"),
        ("%2B+", "++"),
    ] {
        let target = format!("/users/{capture}");
        let greeted = raw.ask(post(&target, r#"{"with":"Hello"}"#)).await;
        assert_eq!(greeted.value(), (200, json!(format!("Hello, {text}"))));
        // The same text in a message.
        let message = json!({"with": "Hello", "name": text}).to_string();
        let own = raw.ask(post("/paths.v2.Greets/Greet", message)).await;
        assert_eq!(own.value(), greeted.value(), "{capture}");
        let failed = raw.ask(post(&target, r#"{"with":""}"#)).await;
        assert_eq!(failed.error(), (404, "not_found".to_owned()));
        assert!(failed.message().starts_with("no user "), "{failed:?}");
        for response in [&greeted, &failed] {
            assert_eq!(response.header("set-cookie"), None);
            assert!(
                !response.body.iter().any(u8::is_ascii_control),
                "{response:?}"
            );
        }
    }
    drop(guard);
    let is_hidden = |c: char| c != '\n' && (c.is_control() || rpc_runtime::text::is_invisible(c));
    let text = log.text();
    assert_eq!(text.find(is_hidden), None, "{text:?}");
    let begins = |line: &str| line.starts_with(|c: char| c.is_ascii_digit());
    assert!(
        text.contains("no user ") && text.lines().all(begins),
        "{text}"
    );
    // What is no text is refused, and so is an empty segment, which is another path.
    for (path, status) in [
        ("/users/%ff", 400),
        ("/users/%c0%80", 400),
        ("/users/", 404),
    ] {
        let refused = raw.ask(post(path, r#"{"with":"Hello"}"#)).await;
        assert_eq!(refused.status, status, "{path}");
    }
}

#[tokio::test]
async fn only_the_white_space_of_json_is_skipped() {
    let running = Running::start(users()).await;
    let mut raw = Raw::connect(running.address()).await;
    let (rename, own) = ("/users/7/names/k", "/paths.v1.Users/Rename");
    let fields = r#""to":"Ada","strict":true"#;
    let all = r#""id":7,"key":"k","to":"Ada","strict":true"#;
    for (before, inside, after, status) in [
        (" \t\r\n", "\n\t ", "\r\n ", 200),
        ("\u{c}", "", "", 400),
        ("\u{b}", "", "", 400),
        ("", "\u{c}", "", 400),
        ("", "", "\u{c}", 400),
        ("", "", " \u{b}", 400),
        ("\u{a0}", "", "", 400),
        ("\u{feff}", "", "", 400),
        ("\u{85}", "", "", 400),
        ("", "\0", "", 400),
    ] {
        // At both paths alike.
        for (path, fields) in [(rename, fields), (own, all)] {
            let body = format!("{before}{{{inside}{fields}}}{after}");
            let response = raw.ask(post(path, &body)).await;
            assert_eq!(response.status, status, "{path}: {body:?}");
        }
    }
    // A body without a message has the captures only.
    for (body, text) in [("", "to"), (" \r\n", "to"), ("\u{c}", "object")] {
        let response = raw.ask(post(rename, body)).await;
        assert_eq!(response.status, 400, "{body:?}");
        assert!(response.message().contains(text), "{body:?}: {response:?}");
    }
}
