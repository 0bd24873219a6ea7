//! The gatekeeper's edge listener: raw HTTP, and headers that must not pass it.

use std::net::TcpListener;

use fibpro::service::compute_worker::Worker;
use rpc_runtime::{Code, Limits};
use rpc_tests::raw::{Raw, post, request};
use serde_json::json;

use crate::system::{Bank, Fault, LOGIN, Log, System, text};

#[tokio::test]
async fn b01_c02_a_number_is_text_and_costs_its_digits() {
    let system = System::start(4).await;
    let response = system.get("/10").await;
    assert_eq!(text(&response), (200, "55".to_owned()));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(system.bank.credit(), 2);
    let lines = [LOGIN];
    let response = system.ask("POST", "/10", &lines).await;
    assert_eq!(text(&response), (200, "55".to_owned()));
    assert_eq!(system.bank.credit(), 0);
}

#[tokio::test]
async fn c01_an_anonymous_request_gets_401_and_the_realm() {
    let system = System::start(4).await;
    let wrong = [
        None,
        // username:wrong, unknown:password
        Some("Basic dXNlcm5hbWU6d3Jvbmc="),
        Some("Basic dW5rbm93bjpwYXNzd29yZA=="),
        // c07, f10: headers that cannot be parsed.
        Some("Bearer x"),
        Some("Basic !!!"),
        Some("Basic"),
        Some("Basic dXNlcm5hbWU="),
        Some(""),
    ];
    for header in wrong {
        for path in ["/10", "/4.5", "/", "/10?environment=nope"] {
            let lines: Vec<_> = header
                .map(|header| ("authorization", header))
                .into_iter()
                .collect();
            let response = system.ask("GET", path, &lines).await;
            assert_eq!(
                text(&response),
                (401, "Please authenticate".to_owned()),
                "{header:?}"
            );
            let realm = response.header("www-authenticate");
            assert_eq!(
                realm,
                Some("Basic realm=\"Website\", charset=\"UTF-8\""),
                "{header:?}"
            );
            // g03
            assert_eq!(response.header("x-request-id").map(str::len), Some(16));
        }
    }
    // f04: an unknown user is treated like a wrong password.
    let response = system.ask("GET", "/1", &[LOGIN, LOGIN]).await;
    assert_eq!(response.status, 401);
    assert_eq!(system.bank.credit(), 4);
}

#[tokio::test]
async fn c03_c04_a_buyer_without_credit_sees_the_price() {
    let system = System::start(3).await;
    let response = system.get("/1000").await;
    let expected = "Error: fib(1000) costs 4, user username has insufficient credit(3)";
    assert_eq!(text(&response), (403, expected.to_owned()));
    assert_eq!(system.get("/999").await.status, 200);
    let response = system.get("/1").await;
    let expected = "Error: fib(1) costs 1, user username has insufficient credit(0)";
    assert_eq!(text(&response), (403, expected.to_owned()));
}

#[tokio::test]
async fn c05_c06_c12_a_bad_number_is_quoted_and_free() {
    let system = System::start(9).await;
    let log = Log::start();
    let no_number =
        |quoted: &str| format!("Error: '{quoted}' is not a number: use decimal digits, such as 10");
    let long = "9".repeat(5000);
    for (path, expected) in [
        ("/4.5", no_number("4.5")),
        ("/", no_number("")),
        ("/+5", no_number("+5")),
        ("/%205%20", no_number("%205%20")),
        ("/%31", no_number("%31")),
        ("/abc", no_number("abc")),
        ("/it's", no_number("it\\'s")),
        ("/-3", "Error: '-3' is negative: n is 0 or more".to_owned()),
        (
            "/1000001",
            "Error: '1000001' is too large: n is at most 1000000".to_owned(),
        ),
        (
            "/18446744073709551616",
            "Error: '18446744073709551616' is too large: n is at most 1000000".to_owned(),
        ),
        (
            &format!("/{long}"),
            format!(
                "Error: '{}…' is too large: n is at most 1000000",
                &long[..40]
            ),
        ),
        (
            "/1?environment=nope",
            "Error: this route takes no query parameters (got 'environment=nope')".to_owned(),
        ),
        (
            "/1?",
            "Error: this route takes no query parameters (got '')".to_owned(),
        ),
    ] {
        let response = system.get(path).await;
        assert_eq!(text(&response), (400, expected), "{path}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!((system.bank.credit(), system.bank.states().len()), (9, 0));
    let lines = log.lines_with(&["Request to '/4.5' resulted in '4.5' is not a number"]);
    assert_eq!(lines.len(), 1, "{}", log.text());
    // c06, c12: zero has a price, and leading zeros are free.
    assert_eq!(text(&system.get("/0").await), (200, "0".to_owned()));
    assert_eq!(text(&system.get("/007").await), (200, "13".to_owned()));
    assert_eq!(system.bank.credit(), 7);
}

#[tokio::test]
async fn a06_a_million_is_sold_and_not_a_number_more() {
    let system = System::start(7).await;
    let (status, number) = text(&system.get("/1000000").await);
    assert_eq!((status, number.len()), (200, 208_988));
    assert!(number.starts_with("19532821287077577316") && number.ends_with("68996526838242546875"));
    assert_eq!(system.bank.credit(), 0);
}

#[tokio::test]
async fn c08_head_and_prefetch_requests_are_free() {
    let system = System::start(4).await;
    for (verb, header) in [
        ("HEAD", ("x-any", "thing")),
        ("GET", ("sec-purpose", "prefetch;prerender")),
        ("GET", ("purpose", "prefetch")),
        ("POST", ("sec-purpose", "prefetch")),
    ] {
        let response = system.ask(verb, "/10", &[LOGIN, header]).await;
        assert_eq!(
            (response.status, response.body.len()),
            (204, 0),
            "{verb} {header:?}"
        );
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("content-length"), None);
        // Authentication and validation are those of every request.
        let nobody = system.head_of(verb, "/10", &[header]).await;
        assert!(nobody.starts_with("HTTP/1.1 401 "), "{nobody}");
    }
    let reserved =
        |state: &crate::system::BankState| state.calls.iter().any(|call| call.0 == "reserve");
    assert!(!system.bank.read(reserved));
    assert_eq!(system.bank.credit(), 4);
}

#[tokio::test]
async fn b03_unknown_paths_are_not_found_for_every_caller() {
    let system = System::start(4).await;
    for path in [
        "/favicon.ico",
        "/robots.txt",
        "/.env",
        "/10/",
        "//10",
        "/a/b",
        "/.well-known/x",
    ] {
        for lines in [&[][..], &[LOGIN]] {
            let response = system.ask("GET", path, lines).await;
            assert_eq!(response.status, 404, "{path}");
            assert_eq!(response.header("x-request-id").map(str::len), Some(16));
        }
    }
}

#[tokio::test]
async fn other_verbs_get_405_with_the_allowed_ones() {
    let system = System::start(4).await;
    for verb in ["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "BREW", "get"] {
        let response = system
            .ask(verb, "/10", &[LOGIN, ("origin", "http://evil.test")])
            .await;
        assert_eq!(response.status, 405, "{verb}");
        assert_eq!(response.header("allow"), Some("GET, HEAD, POST"), "{verb}");
        // No origin is allowed: there are no CORS headers.
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    assert_eq!(system.bank.credit(), 4);
}

#[tokio::test]
async fn programs_get_json() {
    let system = System::start(2).await;
    let json = ("accept", "application/json");
    let response = system.get_with("/10", &[json]).await;
    let id = response.header("x-request-id").unwrap();
    let expected = json!({"value": "55", "price": 2, "credit": 0, "request_id": id});
    assert_eq!((response.status, response.json()), (200, expected));
    for (path, lines, status, code, message) in [
        (
            "/1",
            &[LOGIN, json][..],
            403,
            "failed_precondition",
            "fib(1) costs 1, user username has insufficient credit(0)",
        ),
        (
            "/x",
            &[LOGIN, json],
            400,
            "invalid_argument",
            "'x' is not a number: use decimal digits, such as 10",
        ),
        ("/1", &[json], 401, "unauthenticated", "Please authenticate"),
        (
            "/a.b",
            &[json],
            404,
            "not_found",
            "path not found; GET /10 returns the tenth Fibonacci number",
        ),
    ] {
        let response = system.ask("GET", path, lines).await;
        let id = response.header("x-request-id").unwrap();
        let expected = json!({"code": code, "message": message, "request_id": id});
        assert_eq!(
            (response.status, response.json()),
            (status, expected),
            "{path}"
        );
    }
}

#[tokio::test]
async fn d06_no_internal_method_is_reachable_outside() {
    let system = System::start(4).await;
    let mut raw = Raw::connect(system.gatekeeper.address()).await;
    for path in [
        "/fibpro.v1.UserStore/SetCredit",
        "/fibpro.v1.UserStore/GetUser",
        "/fibpro.v1.Controller/Generate",
        "/fibpro.v1.ComputeWorker/Ping",
        "/fibpro.v1.Gatekeeper/Ping",
        // Built-in methods and debug paths do not exist at an edge either.
        "/rpc.v1.Status/Get",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/api/userstore",
        "/debug/requests",
        "/metrics",
    ] {
        let response = raw
            .ask(post(path, r#"{"username":"username","credit":100}"#))
            .await;
        let is_file_or_path = path.matches('/').count() > 1;
        let expected = if is_file_or_path { 404 } else { 401 };
        assert_eq!(response.status, expected, "{path}");
    }
    assert_eq!(system.bank.credit(), 4);
    assert!(system.bank.read(|state| state.calls.is_empty()));
}

#[tokio::test]
async fn an_override_from_outside_is_ignored() {
    let system = System::start(4).await;
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}", trap.local_addr().unwrap());
    let lines = [
        ("x-rpc-override", &*format!("compute_worker={url}")),
        ("x-rpc-environment", "dev"),
        ("x-rpc-source", "controller@prod/1"),
        ("x-rpc-hops", "99"),
        ("baggage", "environment=dev"),
        ("x-forwarded-for", "127.0.0.1"),
        // Forwarding headers have no effect.
        ("x-forwarded-host", "evil.test"),
    ];
    assert_eq!(
        text(&system.get_with("/1", &lines).await),
        (200, "1".to_owned())
    );
    let response = system
        .get(&format!("/1?endpoint_compute_worker={url}"))
        .await;
    assert_eq!(response.status, 400);
    let nobody = trap.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn g05_an_offered_id_does_not_replace_ours() {
    let system = System::start(9).await;
    for offered in ["r-1", "<script>", "a b", "\"", "é", "", &"x".repeat(10_000)] {
        let response = system.get_with("/1", &[("x-request-id", offered)]).await;
        assert_eq!(response.status, 200, "{offered:?}");
        let id = response.header("x-request-id").unwrap();
        assert!(
            id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id}"
        );
    }
}

#[tokio::test]
async fn g07_g08_a_failed_request_does_not_affect_the_next() {
    let system = System::start(4).await;
    let mut raw = Raw::connect(system.gatekeeper.address()).await;
    let mut ids = Vec::new();
    for (path, status) in [
        ("/1", 200),
        ("/1?environment=nope", 400),
        ("/1", 200),
        ("/1", 200),
    ] {
        let response = raw.ask(request("GET", path, &[LOGIN], b"")).await;
        assert_eq!(response.status, status, "{path}");
        ids.push(response.header("x-request-id").unwrap().to_owned());
    }
    assert_eq!(system.bank.credit(), 1);
    // g06: each call of a request has its id, including the login.
    let [a, b, c, d] = [0, 1, 2, 3].map(|index: usize| ids[index].as_str());
    let expected = [
        ("verify", a),
        ("reserve", a),
        ("settle", a),
        ("verify", b),
        ("verify", c),
        ("reserve", c),
        ("settle", c),
        ("verify", d),
        ("reserve", d),
        ("settle", d),
    ];
    let expected = expected.map(|(method, id)| (method, id.to_owned()));
    system.bank.read(|state| assert_eq!(state.calls, expected));
}

#[tokio::test]
async fn a_user_store_that_fails_is_no_fault_of_the_caller() {
    for (code, status, word) in [
        (Code::Unavailable, 503, "currently unavailable"),
        (Code::ResourceExhausted, 503, "currently unavailable"),
        (Code::DeadlineExceeded, 504, "did not finish in time"),
        (Code::Internal, 500, "failed"),
        (Code::PermissionDenied, 500, "failed"),
    ] {
        let system = System::start(4).await;
        let log = Log::start();
        system.bank.set_fault(Fault::Fails(code));
        let response = system.get("/1").await;
        let (got, text) = text(&response);
        assert_eq!(got, status, "{code:?}");
        assert!(
            text.starts_with("Error: logging in ") && text.contains(word),
            "{text}"
        );
        // f07: internal details are only in the log.
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(response.header("retry-after").is_some(), status == 503);
        let id = response.header("x-request-id").unwrap();
        // c13: the line of a failed request has all fields of the line of a successful one.
        let line = log.lines_with(&["rpc.method=\"http GET\""]).concat();
        for word in [
            id,
            "side=\"server\"",
            "duration_us=",
            "response_bytes=",
            "code=",
            "http.status=",
        ] {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
}

#[tokio::test]
async fn passwords_appear_in_no_output() {
    let bank = Bank::with_credit(1);
    let system = System::with(bank, Worker::new(), Limits::default()).await;
    let log = Log::start();
    // username:canary-a, canary-b:password, and one that cannot be parsed.
    let (wrong, unknown) = (
        "Basic dXNlcm5hbWU6Y2FuYXJ5LWE=",
        "Basic Y2FuYXJ5LWI6cGFzc3dvcmQ=",
    );
    let mut bodies = Vec::new();
    for header in [LOGIN.1, LOGIN.1, wrong, unknown, "Basic canary-c"] {
        let response = system.ask("GET", "/1", &[("authorization", header)]).await;
        bodies.push(format!("{response:?}"));
    }
    system.bank.set_fault(Fault::Fails(Code::Internal));
    bodies.push(format!("{:?}", system.get("/1").await));
    let seen = log.text() + &bodies.concat();
    // Texts of the user store, which may be logged.
    let seen = seen
        .replace("canary: the table users is gone", "")
        .replace("wrong user name or password", "");
    assert!(
        seen.contains("User \"username\" requested fib(1)"),
        "{seen}"
    );
    for canary in ["canary", "password", "dXNlcm5hbWU", "Y2FuYXJ5"] {
        assert!(!seen.contains(canary), "{canary}: {seen}");
    }
}
