use rpc_runtime::Limits;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post_with};

use super::{Lines, shop};

#[tokio::test]
async fn refused_web_pages_are_counted() {
    let back = Running::start(shop("back", None)).await;
    let pages = [
        ("Origin", "https://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    let lines = Lines::start();
    for n in 0..9 {
        let mut raw = Raw::connect(back.address()).await;
        let page = post_with("/lines.v1.Shop/Order", &[pages[n % 2]], "{}");
        assert_eq!(raw.ask(page).await.status, 403);
    }
    assert_eq!(lines.shown(), ["INFO back permission_denied"; 9]);
    assert_eq!(
        *lines.counted.lock().unwrap(),
        [1, 2, 4, 8].map(|count| format!("{count} web page refused; `count` so far"))
    );
}

#[tokio::test]
async fn requests_that_are_too_large_are_counted() {
    let mut limits = Limits::default();
    limits.message_bytes = 100;
    let back = Running::start(shop("back", None).limits(limits)).await;
    let (path, header, body) = ("x".repeat(9 << 10), "x".repeat(33 << 10), "x".repeat(101));
    let refused = [
        (
            414,
            post_with(&format!("/lines.v1.Shop/Order?{path}"), &[], "{}"),
        ),
        (
            431,
            post_with("/lines.v1.Shop/Order", &[("X-Large", &header)], "{}"),
        ),
        (429, post_with("/lines.v1.Shop/Order", &[], &body)),
    ];
    let lines = Lines::start();
    let mut sent = 0;
    // The count is that of the process, in which other tests send such requests too.
    while sent < 6 || lines.counted.lock().unwrap().is_empty() {
        let (status, request) = &refused[sent % refused.len()];
        let mut raw = Raw::connect(back.address()).await;
        assert_eq!(raw.ask(request.clone()).await.status, *status);
        sent += 1;
        assert!(sent < 10_000, "none of them is a warning");
    }
    assert_eq!(lines.shown(), vec!["INFO back resource_exhausted"; sent]);
    for line in &*lines.counted.lock().unwrap() {
        let (count, text) = line.split_once(' ').unwrap();
        assert!(count.parse::<u64>().unwrap().is_power_of_two(), "{line}");
        assert_eq!(
            text,
            "request above a limit of size refused; `count` so far"
        );
    }
}
