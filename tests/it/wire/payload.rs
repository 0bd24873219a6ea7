use rpc_tests::raw::{Response, post};
use serde_json::json;

use super::{Wired, start};

async fn ask(wired: &Wired, method: &str, body: impl AsRef<[u8]>) -> Response {
    wired
        .connect()
        .await
        .ask(post(&format!("/wire.v1.Wire/{method}"), body))
        .await
}

/// Checks that each message is refused by a short JSON error before a handler runs.
async fn all_refused(method: &str, bodies: &[&[u8]]) {
    let wired = start().await;
    for body in bodies {
        let shown = body[..body.len().min(60)].escape_ascii();
        let response = ask(&wired, method, body).await;
        assert_eq!(
            response.error(),
            (400, "invalid_argument".to_owned()),
            "{shown}"
        );
        assert!(
            response.body.len() < 8 << 10,
            "{shown}: an answer of {} bytes",
            response.body.len()
        );
        assert!(response.header("x-request-id").is_some());
    }
    assert_eq!(wired.runs(), 0);
}

#[tokio::test]
async fn truncated_json() {
    all_refused(
        "Next",
        &[
            b"{\"n\":3",
            b"{\"n\":",
            b"{\"n",
            b"{",
            b"{\"n\":3,",
            b"{\"n\":3}\xef",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_missing_message() {
    all_refused("Next", &[b"", b"{}", b"   "]).await;
}

#[tokio::test]
async fn a_message_is_an_object() {
    all_refused(
        "Next",
        &[
            b"null",
            b"[]",
            b"[5]",
            b"\"x\"",
            b"1",
            b"true",
            b"{\"n\":[3]}",
            b"[{\"n\":3}]",
        ],
    )
    .await;
}

#[tokio::test]
async fn bytes_after_the_message() {
    all_refused(
        "Next",
        &[
            b"{\"n\":1} x",
            b"{\"n\":1}{\"n\":2}",
            b"{\"n\":1},",
            b"{\"n\":1}\0",
            b"\xef\xbb\xbf{\"n\":1}",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_unknown_field_is_ignored() {
    let wired = start().await;
    let response = ask(
        &wired,
        "Next",
        r#"{"later":{"a":[1,{}]},"n":3,"more":null}"#,
    )
    .await;
    assert_eq!(response.value(), (200, json!(4)));
}

#[tokio::test]
async fn a_duplicate_field() {
    all_refused(
        "Next",
        &[
            br#"{"n":1,"n":2}"#,
            br#"{"n":1,"n":1}"#,
            br#"{"n":1,"\u006e":2}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn a_large_number_may_be_a_string() {
    let wired = start().await;
    assert_eq!(
        ask(&wired, "Next", r#"{"n":"3"}"#).await.value(),
        (200, json!(4))
    );
    let response = ask(&wired, "Next", r#"{"n":"18446744073709551614"}"#).await;
    assert_eq!(response.value(), (200, json!(u64::MAX)));
    assert_eq!(
        ask(&wired, "Next", r#"{"n":18446744073709551614}"#)
            .await
            .value(),
        (200, json!(u64::MAX))
    );
}

#[tokio::test]
async fn an_invalid_unsigned_number() {
    let bad: [&[u8]; 10] = [
        br#"{"n":-1}"#,
        br#"{"n":18446744073709551616}"#,
        br#"{"n":1.5}"#,
        br#"{"n":{}}"#,
        br#"{"n":"-1"}"#,
        br#"{"n":"18446744073709551616"}"#,
        br#"{"n":""}"#,
        br#"{"n":" 3"}"#,
        br#"{"n":true}"#,
        br#"{"n":0x10}"#,
    ];
    all_refused("Next", &bad).await;
}

#[tokio::test]
async fn invalid_or_huge_numbers() {
    let digits = format!("{{\"x\":{}}}", "9".repeat(100_000));
    all_refused(
        "Half",
        &[
            br#"{"x":1e400}"#,
            br#"{"x":NaN}"#,
            br#"{"x":Infinity}"#,
            br#"{"x":-1e999}"#,
            digits.as_bytes(),
        ],
    )
    .await;
    let digits = format!("{{\"n\":{}}}", "9".repeat(100_000));
    all_refused("Next", &[digits.as_bytes(), br#"{"n":1e30}"#]).await;
}

#[tokio::test]
async fn endless_nesting() {
    for depth in [129, 5_000, 100_000] {
        let nest = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let known = format!("{{\"value\":{nest}}}");
        let unknown = format!("{{\"value\":1,\"later\":{nest}}}");
        let open = "[".repeat(depth);
        let objects = format!(
            "{{\"value\":{}1{}}}",
            "{\"a\":".repeat(depth),
            "}".repeat(depth)
        );
        all_refused(
            "Any",
            &[
                known.as_bytes(),
                unknown.as_bytes(),
                open.as_bytes(),
                objects.as_bytes(),
            ],
        )
        .await;
    }
    let wired = start().await;
    let nest = format!("{{\"value\":{}{}}}", "[".repeat(100), "]".repeat(100));
    assert_eq!(ask(&wired, "Any", nest).await.status, 200);
}

#[tokio::test]
async fn control_characters_within_a_text() {
    let wired = start().await;
    let response = ask(&wired, "Echo", r#"{"text":"a\u0000b\u001b[31m\r\n"}"#).await;
    assert_eq!(response.value(), (200, json!("a\0b\u{1b}[31m\r\n")));
    all_refused(
        "Echo",
        &[
            b"{\"text\":\"a\0b\"}",
            b"{\"text\":\"a\nb\"}",
            b"{\"text\":\"\xff\"}",
            br#"{"text":"\ud800"}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn bytes_are_base64_padded_or_not() {
    let wired = start().await;
    for (data, size) in [
        ("", 0),
        ("AP8=", 2),
        ("AP8", 2),
        ("_-8=", 2),
        ("/+8", 2),
        ("AAAA", 3),
    ] {
        let response = ask(&wired, "Size", format!(r#"{{"data":"{data}"}}"#)).await;
        assert_eq!(response.value(), (200, json!(size)), "{data}");
    }
    all_refused(
        "Size",
        &[
            br#"{"data":"*"}"#,
            br#"{"data":"AAAAA"}"#,
            br#"{"data":"AP 8"}"#,
            br#"{"data":3}"#,
            br#"{"data":"A==="}"#,
        ],
    )
    .await;
}

/// Returns the peak memory of this process, in bytes.
fn high_water() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or(0, |line| {
        line.trim()
            .trim_end_matches(" kB")
            .parse::<usize>()
            .expect("kB")
            << 10
    })
}

#[tokio::test]
async fn small_items_cost_little_more_than_their_size() {
    const MESSAGE: usize = 4 << 20;
    let items = (MESSAGE - 20) / 3;
    let body = format!("{{\"items\":[{}[]]}}", "[],".repeat(items));
    assert!(body.len() <= MESSAGE);
    let wired = start().await;
    let before = high_water();
    assert_eq!(
        ask(&wired, "Count", body).await.value(),
        (200, json!(items + 1))
    );
    // Twenty times the message, with a margin for tests that run in parallel.
    let grown = high_water() - before;
    assert!(grown < 20 * MESSAGE + (64 << 20), "{grown} bytes");
}
