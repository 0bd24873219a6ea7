//! Requests that web pages of other sites make with the stored password of a browser.

use rpc_tests::raw::Raw;

use crate::system::{LOGIN, System, text};

/// A form, an image, a link and a sandboxed frame of another site; a page of a sibling domain.
const FOREIGN: [&[(&str, &str)]; 6] = [
    &[
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("origin", "https://evil.example"),
    ],
    &[
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-dest", "image"),
    ],
    &[("sec-fetch-site", "same-site")],
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
    &[("referer", "https://evil.example/wiki")],
];

#[tokio::test]
async fn a_page_of_another_site_buys_nothing() {
    let system = System::start(9).await;
    for lines in FOREIGN {
        for verb in ["GET", "POST"] {
            let response = system.ask(verb, "/10", &[&[LOGIN], lines].concat()).await;
            let (status, text) = text(&response);
            assert_eq!(status, 403, "{verb} {lines:?}");
            assert!(text.contains("another web site"), "{text}");
            assert_eq!(response.header("access-control-allow-origin"), None);
        }
        // Nor does it learn whether the password is right.
        let response = system.ask("GET", "/10", lines).await;
        assert_eq!(response.status, 403, "{lines:?}");
        assert_eq!(response.header("www-authenticate"), None);
        let head = system
            .head_of("HEAD", "/10", &[&[LOGIN], lines].concat())
            .await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    }
    // Refused before the login.
    assert!(system.bank.read(|bank| bank.calls.is_empty()));
    assert_eq!(system.bank.credit(), 9);
}

#[tokio::test]
async fn typed_addresses_programs_and_own_pages_buy() {
    let system = System::start(9).await;
    let host = system.gatekeeper.address().to_string();
    let own = format!("http://{host}");
    for lines in [
        &[][..],
        &[("sec-fetch-site", "none"), ("sec-fetch-user", "?1")],
        &[("sec-fetch-site", "same-origin"), ("origin", &own)],
        &[("origin", &own)],
        &[("referer", &own)],
    ] {
        let lines = [&[("host", &*host), LOGIN], lines].concat();
        let mut request = String::from("GET /1 HTTP/1.1\r\n");
        for (name, value) in lines {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut raw = Raw::connect(system.gatekeeper.address()).await;
        let response = raw.ask(request.into_bytes()).await;
        assert_eq!(text(&response), (200, "1".to_owned()));
    }
    assert_eq!(system.bank.credit(), 4);
}

#[tokio::test]
async fn paths_and_verbs_are_checked_before_pages() {
    let system = System::start(9).await;
    let foreign = ("sec-fetch-site", "cross-site");
    for (verb, path, status) in [
        ("GET", "/favicon.ico", 404),
        ("GET", "/a/b", 404),
        ("DELETE", "/10", 405),
        ("GET", "/x", 403),
    ] {
        let response = system.ask(verb, path, &[LOGIN, foreign]).await;
        assert_eq!(response.status, status, "{verb} {path}");
    }
}
