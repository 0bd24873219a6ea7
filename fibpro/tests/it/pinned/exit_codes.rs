//! The exit code of each command.

use crate::pinned::assert_pinned;
use crate::process::{Folder, LogSink, command, output, program};

/// A port where no server listens.
const CLOSED_PORT_URL: &str = "http://127.0.0.1:1";

/// The same as the address of the user store.
const AWAY: [&str; 2] = ["--endpoint", "userstore=http://127.0.0.1:1"];

#[test]
fn exit_codes_are_as_pinned() {
    let sink = LogSink::start();
    let folder = Folder::new();
    let (url, file) = (sink.url.as_str(), folder.file("lists/users.json"));
    let (file, [store, away]) = (file.to_str().unwrap(), AWAY);
    let cases: [(&str, &[&str]); 51] = [
        ("fibpro", &[]),
        ("fibpro", &["--help"]),
        ("fibpro", &["--version"]),
        ("fibpro", &["--nonsense"]),
        ("fibpro", &["nonsense"]),
        ("fibpro", &["fib", "10"]),
        ("fibpro", &["fib", "4.5"]),
        ("fibpro", &["fib", "--nonsense"]),
        ("fibpro", &["log", "text", "--to", url]),
        ("fibpro", &["log", "", "--to", url]),
        ("fibpro", &["log", "text", "--to", CLOSED_PORT_URL]),
        ("fibpro", &["log", "text", "--level", "severe"]),
        ("fibpro", &["logs", "--to", url]),
        ("fibpro", &["logs", "--to", CLOSED_PORT_URL]),
        ("fibpro", &["logs", "--since", "yesterday"]),
        ("fibpro", &["status", "--to", url]),
        ("fibpro", &["status", "--to", CLOSED_PORT_URL]),
        ("fibpro", &["status", "--to", "nonsense"]),
        ("fibpro", &["flags", "--to", url]),
        ("fibpro", &["flags", "log_rpc=true", "--to", url]),
        ("fibpro", &["flags", "nonsense=1", "--to", url]),
        ("fibpro", &["flags", "--to", CLOSED_PORT_URL]),
        ("fibpro", &["services"]),
        ("fibpro", &["services", "--nonsense"]),
        ("fibpro", &["call"]),
        ("fibpro", &["call", "logsink.ping", "--to", url]),
        ("fibpro", &["call", "logsink.ping", "-d", "[]", "--to", url]),
        ("fibpro", &["call", "logsink.ping", "--to", CLOSED_PORT_URL]),
        ("fibpro", &["user"]),
        ("fibpro", &["user", "nonsense"]),
        ("fibpro", &["user", "add"]),
        ("fibpro", &["user", "add", "eve"]),
        ("fibpro", &["user", "add", "eve", "--credit", "-1"]),
        ("fibpro", &["user", "add", "eve", "--password-file", file]),
        (
            "fibpro",
            &["user", "passwd", "eve", "--password-file", file],
        ),
        ("fibpro", &["user", "role", "eve"]),
        (
            "fibpro",
            &["user", "role", "eve", "--add", "a", store, away],
        ),
        ("fibpro", &["user", "deposit", "eve", "1.5"]),
        ("fibpro", &["user", "deposit", "eve", "1", store, away]),
        ("fibpro", &["user", "show", "eve", store, away]),
        ("fibpro", &["up", "--base-port", "65525"]),
        ("fibpro", &["up", "--data-dir", "/dev/null/folder"]),
        ("fibpro", &["serve", "nonsense"]),
        ("fibpro", &["serve", "logsink", "--listen", "nonsense"]),
        ("fibpro", &["monitor", "--timeout", "0"]),
        ("monitor", &["--nonsense"]),
        ("logsink", &["--listen", "nonsense"]),
        ("logsink", &["--store-bytes", "1MiB"]),
        ("userstore", &["--users", file]),
        ("userstore", &["--database", "nonsense"]),
        ("compute_worker", &["--largest-n", "20000001"]),
    ];
    let mut codes = String::new();
    for (name, arguments) in cases {
        let mut command = command(&program(name), arguments);
        command.current_dir(folder.path());
        let code = output(&mut command).status.code();
        let arguments = arguments
            .join(" ")
            .replace(url, "URL")
            .replace(file, "FILE");
        codes.push_str(&format!("{name} {arguments} -> {code:?}\n"));
    }
    assert_pinned!("exit_codes.txt", codes);
}
