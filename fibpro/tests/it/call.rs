//! `fibpro call` and `fibpro sign`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use rpc_tests::folder::Folder;
use serde_json::Value;

use crate::process::{Ended, LogSink, command, fibpro, output};

#[test]
fn call_sends_a_message_and_prints_the_response() {
    let sink = LogSink::start();
    let message = r#"{"message":"by name","level":"warn"}"#;
    for method in [
        "logsink.recv_log",
        "fibpro.v1.LogSink/RecvLog",
        "LogSink.RecvLog",
    ] {
        let ended = fibpro(&["call", method, "-d", message, "--to", &sink.url]);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{method}"
        );
        let response: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(response, serde_json::json!({"result": true}));
    }
    // The address of the service, by option and by variable.
    let endpoint = format!("logsink={}", sink.url);
    let ended = fibpro(&[
        "call",
        "logsink.ping",
        "--endpoint",
        &endpoint,
        "-H",
        "x-a: b",
    ]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("fibpro.v1.LogSink"), "{ended:?}");
    let options = [
        "call",
        "rpc.v1.Status/Get",
        "--to",
        &sink.url,
        "--timeout",
        "10s",
    ];
    let ended = fibpro(&options);
    assert!(
        ended.stdout.contains("\"server\": \"logsink\""),
        "{ended:?}"
    );
    let printed = sink.printed();
    assert_eq!(printed.matches("[prod_fibpro] ").count(), 3, "{printed}");
}

#[test]
fn call_tells_mistakes_from_failures() {
    let sink = LogSink::start();
    let to = ["--to", sink.url.as_str()];
    for (arguments, text) in [
        (&["logsink.nothing"][..], "has no method `nothing`; it has "),
        (&["logsink"], "expected SERVICE.METHOD"),
        (
            &["logsink.ping", "-d", "{"],
            "invalid value for '--data <JSON>'",
        ),
        (&["logsink.ping", "-d", "[1]"], "expected a JSON object"),
        (
            &["logsink.ping", "-d", "@/nowhere/file"],
            "failed to read '--data @/nowhere/file'",
        ),
        (&["logsink.ping", "-H", "blue"], "expected `NAME: VALUE`"),
        (&["logsink.ping", "--timeout", "5"], "--timeout"),
    ] {
        let ended = fibpro(&[&["call"], arguments, &to].concat());
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{ended:?}"
        );
        assert!(ended.stderr.contains(text), "{ended:?}");
    }
    let ended = fibpro(&["call", "shop.v1.Orders/Place"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("pass '--to <URL>'"), "{ended:?}");
    // The server refuses: exit code 1, with code and place.
    let ended = fibpro(&["call", "logsink.recv_log", "-d", "{}", "--to", &sink.url]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended.stderr.starts_with("error: invalid_argument: "),
        "{ended:?}"
    );
    let ended = fibpro(&["call", "shop.v1.Orders/Place", "--to", &sink.url]);
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.starts_with("error: unimplemented: "),
        "{ended:?}"
    );
    let ended = fibpro(&["call", "logsink.ping", "--to", "http://127.0.0.1:1"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[test]
fn sign_prints_the_headers_of_a_signed_request() {
    let folder = Folder::new();
    let key = folder.file("key");
    let secret = "s".repeat(32);
    std::fs::write(&key, format!("ci {secret}\n")).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let key = ["--identity-key-file", key.to_str().unwrap()];
    let listen = ["--listen", "127.0.0.1:0", "--store", "none"];
    let sink = LogSink::start_on(&[&listen[..], &key].concat());
    let url = format!("{}/fibpro.v1.LogSink/RecvLog", sink.url);
    let body = r#"{"message":"signed"}"#;
    let sign = || {
        let options = ["sign", &url, "-d", body, "-H", "X-Tenant: blue"];
        let ended = fibpro(&[&options[..], &key].concat());
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        ended.stdout
    };
    let send = |signed: &str, without: &str, body: &str| {
        // The harness sends the content type itself.
        let lines = signed
            .lines()
            .filter(|line| !line.starts_with("content-type"));
        let lines = lines.filter(|line| !line.starts_with(without));
        let headers: String = lines.map(|line| format!("{line}\r\n")).collect();
        sink.call_with("RecvLog", &headers, body).status
    };
    let signed = sign();
    assert!(signed.contains("x-tenant: blue\n"), "{signed}");
    assert!(
        signed.contains("content-type: application/json\n"),
        "{signed}"
    );
    assert!(!signed.contains(&secret), "{signed}");
    assert_eq!(send(&signed, "-", body), 200);
    // Once, for this body, with these headers.
    assert_eq!(send(&signed, "-", body), 401);
    assert_eq!(send(&sign(), "-", r#"{"message":"forged"}"#), 401);
    assert_eq!(send(&sign(), "x-tenant", body), 401);
    assert_eq!(send(&sign(), "x-rpc-identity", body), 401);
}

#[test]
fn sign_tells_what_cannot_be_signed() {
    let folder = Folder::new();
    let key = folder.file("key");
    std::fs::write(&key, format!("ci {}\n", "s".repeat(32))).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let key = ["--identity-key-file", key.to_str().unwrap()];
    for (arguments, text) in [
        (&["/path"][..], "expected `http://HOST:PORT/PATH`"),
        (&["http://a/b", "-H", "a b: c"], "invalid header"),
        (&["http://a/b", "-X", "a b"], "invalid HTTP method"),
    ] {
        let ended = fibpro(&[&["sign"], arguments, &key].concat());
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(2), ""),
            "{ended:?}"
        );
        assert!(ended.stderr.contains(text), "{ended:?}");
    }
    let mut command = command(env!("CARGO_BIN_EXE_fibpro"), &["sign", "http://a/b"]);
    let ended: Ended = output(command.current_dir(folder.path())).into();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("no identity keys"), "{ended:?}");
}
