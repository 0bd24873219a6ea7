//! The tools of a terminal, and a server that sends escape sequences in every text.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use fibpro::terminal::is_unsafe;
use serde_json::{Value, json};

use crate::process::{Ended, RunningCommand, TEST_TIMEOUT, fibpro};

/// Clears the screen, in two encodings, begins a line of its own, and turns the reading direction.
const EVIL: &str =
    "x\u{1b}[2J\u{9b}2J\u{1b}]0;title\u{7}\r\nFORGED line\u{7f}\u{202e}\u{2066}\u{2028}y";

/// Answers every request on a free port, each according to its path.
struct Server {
    url: String,
}

/// The head and the body of a response.
type Response = (String, Vec<u8>);

impl Server {
    fn start(respond: fn(&str) -> Response) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // Ends with the process of the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream, respond));
            }
        });
        Self { url }
    }
}

fn serve(stream: TcpStream, respond: fn(&str) -> Response) {
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match reader.read_line(&mut head) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().unwrap())
        });
        let mut body = vec![0; length.unwrap_or_default()];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (head, body) = respond(path);
        let mut response =
            format!("HTTP/1.1 {head}content-length: {}\r\n\r\n", body.len()).into_bytes();
        response.extend(body);
        if reader.get_mut().write_all(&response).is_err() {
            return;
        }
    }
}

fn ok(value: &Value) -> Response {
    message(&json!({ "result": value }))
}

fn message(message: &Value) -> Response {
    let body = message.to_string();
    (
        "200 OK\r\ncontent-type: application/json\r\n".to_owned(),
        body.into_bytes(),
    )
}

/// Valid responses of each method, with escape sequences in every text.
fn valid(path: &str) -> Response {
    let times = json!({"p50_us": 1, "p90_us": 2, "p99_us": 3});
    let row = |more: Value| {
        let mut row = times.clone();
        row.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        row
    };
    let flag = json!({
        "name": EVIL, "description": EVIL, "type_name": EVIL, "accepts": EVIL, "default": EVIL, "value": EVIL,
        "origin": "file", "changed": true, "dynamic": true, "secret": false, "module": EVIL,
    });
    match path.rsplit('/').next().unwrap_or_default() {
        "Get" => ok(&json!({
            "server": EVIL, "environment": EVIL, "instance": EVIL, "version": EVIL,
            "runtime_version": EVIL, "uptime": "1.500s", "logs_dropped": 3,
            "total": row(json!({"name": EVIL, "requests": 9, "in_flight": 1, "errors": {EVIL: 2}, "shed": 1, "repeats": 1})),
            "methods": [row(json!({"name": EVIL, "requests": 9, "in_flight": 1, "errors": {EVIL: 2}, "shed": 1, "repeats": 1}))],
            "outgoing": [row(json!({"name": EVIL, "calls": 4, "in_flight": 0, "errors": {EVIL: 1}, "attempts": 5, "retries": 1}))],
        })),
        "List" => ok(&json!([flag])),
        "Set" | "Reset" => ok(&flag),
        // Its message is the page itself.
        "Query" => message(&json!({
            "records": [{"id": 1, "record": {
                "source": "a@prod/1", "time": "2026-11-22T12:25:34Z", "text": EVIL, "target": EVIL, "level": "warn",
            }}],
            "next": 2, "more": true,
        })),
        "Ping" => {
            let pong = json!({"service": EVIL, "version": EVIL, "instance": EVIL, "uptime": "1s"});
            ok(&pong)
        }
        _ => ok(&json!(true)),
    }
}

/// An error whose texts have escape sequences.
fn refused(_: &str) -> Response {
    let body = json!({"code": "failed_precondition", "message": EVIL, "details": [{"type": EVIL, "value": EVIL}]});
    let head = "400 Bad Request\r\ncontent-type: application/json\r\n";
    (head.to_owned(), body.to_string().into_bytes())
}

/// A page of a proxy.
fn page(_: &str) -> Response {
    let head = "502 \u{1b}[2JBad\r\ncontent-type: text/html\r\nserver: \u{1b}[2J\r\n";
    (head.to_owned(), EVIL.as_bytes().to_vec())
}

/// A message with values of other types, which errors quote.
fn invalid(path: &str) -> Response {
    let (head, body) = valid(path);
    let body = String::from_utf8(body).unwrap();
    let body = body
        .replace("true", &json!(EVIL).to_string())
        .replace("a@prod/1", "a@\\u001b[2J");
    (head, body.replace("1.500s", "\\u001b[2J").into_bytes())
}

fn assert_safe(ended: &Ended, what: &str) {
    for text in [&ended.stdout, &ended.stderr] {
        let unsafe_text = text.replace('\n', "");
        assert!(!unsafe_text.contains(is_unsafe), "{what}: {text:?}");
        let forged = text.lines().find(|line| line.starts_with("FORGED"));
        assert_eq!(forged, None, "{what}");
    }
    assert!(
        !ended.stdout.is_empty() || !ended.stderr.is_empty(),
        "{what}"
    );
}

#[test]
fn no_tool_prints_escape_sequences_of_a_server() {
    for (name, respond) in [
        ("valid", valid as fn(&str) -> Response),
        ("refused", refused),
        ("page", page),
        ("invalid", invalid),
    ] {
        let server = Server::start(respond);
        let to = ["--to", &server.url];
        let endpoint = format!("--endpoint=logsink={}", server.url);
        for (arguments, options) in [
            (&["status"][..], &to[..]),
            (&["status", "--json"], &to),
            (&["flags"], &to),
            (&["flags", "a=b"], &to),
            (&["flags", "--reset", "a"], &to),
            (&["log", "text"], &to),
            (&["logs"], &to),
            (&["logs", "--json"], &to),
            (&["monitor"], &[&endpoint]),
            (&["monitor", "--json"], &[&endpoint]),
        ] {
            let arguments = [arguments, options].concat();
            let ended = fibpro(&arguments);
            assert_safe(&ended, &format!("{name}: {arguments:?}"));
            if name == "valid" && !arguments.contains(&"monitor") {
                assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
            }
        }
    }
}

#[test]
fn waiting_for_a_hostile_sink_prints_none_either() {
    let server = Server::start(|_| {
        let body = json!({"code": "unavailable", "message": EVIL}).to_string();
        let head = "503 Service Unavailable\r\ncontent-type: application/json\r\n";
        (head.to_owned(), body.into_bytes())
    });
    let mut following = RunningCommand::fibpro(&["logs", "--follow", "--to", &server.url]);
    let line = following.stderr_line();
    assert!(line.starts_with("waiting for the log sink: "), "{line}");
    following.interrupt();
    let mut ended = following.ended();
    ended.stderr.insert_str(0, &line);
    assert_safe(&ended, "follow");
}
