//! `fibpro call` and `fibpro sign`.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread::{self, JoinHandle};

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
        (&["logsink.ping", "-d", ""], "the message is empty"),
        (
            &["logsink.ping", "-d", r#"{"n":1,"n":2}"#],
            "n: is given twice",
        ),
        (
            &["logsink.ping", "-d", r#"{"a":[{"n":1,"\u006e":1}]}"#],
            "a[0].n: is given twice",
        ),
        (
            &["logsink.ping", "-d", r#"{"\u001b[31m":1,"\u001b[31m":2}"#],
            "\\u{1b}[31m: is given twice",
        ),
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

/// Responds to one request with its body.
fn echo() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let echoing = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let value = line.to_lowercase();
            if let Some(value) = value.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .unwrap();
        body
    });
    (url, echoing)
}

#[test]
fn call_sends_its_data_as_it_is_written() {
    for (data, printed) in [
        (
            r#"{"n":18446744073709551616}"#,
            "{\n  \"n\": 18446744073709551616\n}\n",
        ),
        (
            r#"{ "big":1e400, "zero":-0,"z":0.10000000000000000555 }"#,
            "{\n  \"big\": 1e400,\n  \"zero\": -0,\n  \"z\": 0.10000000000000000555\n}\n",
        ),
        (
            r#"{"z":[{"n":1},{"n":1}],"a":"\u00e9","n":{}}"#,
            "{\n  \"z\": [\n    {\n      \"n\": 1\n    },\n    {\n      \"n\": 1\n    }\n  ],\n  \"a\": \"\\u00e9\",\n  \"n\": {}\n}\n",
        ),
    ] {
        let (url, echoing) = echo();
        let ended = fibpro(&["call", "shop.v1.Orders/Place", "-d", data, "--to", &url]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert_eq!(ended.stdout, printed);
        assert_eq!(echoing.join().unwrap(), data);
    }
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
