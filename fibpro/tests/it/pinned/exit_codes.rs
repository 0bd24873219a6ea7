//! The exit code of each command.

use crate::pinned::assert_pinned;
use crate::process::{Folder, LogSink, command, output, program};

/// A port where no server listens.
const CLOSED_PORT_URL: &str = "http://127.0.0.1:1";

#[test]
fn exit_codes_are_as_pinned() {
    let sink = LogSink::start();
    let folder = Folder::new();
    let (url, file) = (sink.url.as_str(), folder.file("lists/users.json"));
    let file = file.to_str().unwrap();
    let cases: [(&str, &[&str]); 35] = [
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
