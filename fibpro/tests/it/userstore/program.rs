//! The program: options, log, and texts that must not contain secrets.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use super::fixture::Folder;
use crate::process::{Ended, HttpResponse, command, output, spawn};

const CANARY: &str = "canary-pa55word";

/// The user store on a free port. Killed by process id on drop.
pub(crate) struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    pub(crate) address: String,
}

pub(crate) fn userstore(arguments: &[&str]) -> Command {
    command(env!("CARGO_BIN_EXE_userstore"), arguments)
}

/// Returns the command of a user store whose working directory is this folder.
pub(crate) fn userstore_in(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = userstore(arguments);
    command.current_dir(folder.path());
    command
}

impl Program {
    /// Starts the program and returns when it prints its listen address.
    pub(crate) fn start(mut command: Command) -> Self {
        command.args(["--listen", "127.0.0.1:0"]);
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        // Drained continuously, since a full pipe blocks the writer.
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some(address) = line
            .trim_end()
            .strip_prefix("userstore listening on http://")
        else {
            let _ = child.kill();
            panic!("{line:?}, and on stderr {}", stderr.join().unwrap());
        };
        Self {
            address: address.to_owned(),
            child,
            stdout,
            stderr: Some(stderr),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn call(&self, method: &str, body: &str) -> HttpResponse {
        Self::call_at(&self.address, method, body)
    }

    /// Calls the user store at an address.
    pub(crate) fn call_at(address: &str, method: &str, body: &str) -> HttpResponse {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        write!(
            stream,
            "POST /fibpro.v1.UserStore/{method} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nx-request-id: r1\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            address,
            body.len()
        )
        .unwrap();
        HttpResponse::read(stream)
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Returns what a killed program has printed on stderr.
    pub(crate) fn stderr(&mut self) -> String {
        self.stderr.take().unwrap().join().unwrap()
    }

    /// Sends SIGTERM, and returns the output and the exit code.
    pub(crate) fn stop(mut self) -> Ended {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        Ended {
            stdout,
            stderr: self.stderr.take().unwrap().join().unwrap(),
            code: self.child.wait().unwrap().code(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn f02_log_lines_have_the_documented_texts() {
    let folder = Folder::new();
    let program = Program::start(userstore_in(&folder, &[]));
    assert_eq!(
        program
            .call("SetCredit", r#"{"username": "username", "credit": 4}"#)
            .status,
        200
    );
    program.call(
        "Reserve",
        r#"{"username": "username", "amount": 1, "key": "k"}"#,
    );
    // Logged once for each purchase, however often it is settled.
    program.call("Settle", r#"{"key": "k"}"#);
    assert_eq!(
        program.call("Settle", r#"{"key": "k"}"#).body["result"]["credit"],
        3
    );
    program.call(
        "Reserve",
        r#"{"username": "username", "amount": 2, "key": "l"}"#,
    );
    program.call("Refund", r#"{"key": "l"}"#);
    let ended = program.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<_> = ended
        .stderr
        .lines()
        .filter(|line| {
            !line.contains(" rpc: ") && ["Added", "Credit"].iter().any(|word| line.contains(word))
        })
        .collect();
    let texts = [
        "Added user: username with credit 4",
        "Added user: developer with credit 100",
        "Credit for username set to 4",
        "Credit for username incremented -1 yielding 3",
        "Credit for username incremented 2 yielding 3",
    ];
    assert_eq!(lines.len(), texts.len(), "{}", ended.stderr);
    for (line, text) in lines.iter().zip(texts) {
        assert!(
            line.ends_with(text) || line.contains(&format!("{text} ")),
            "{line} has not {text}"
        );
    }
    // By default the database is in the working directory.
    assert!(folder.file("fibpro-data/users.sqlite").is_file());
}

#[test]
fn a_password_is_never_printed_returned_or_stored() {
    let folder = Folder::new();
    let list = folder.file("users.json");
    std::fs::write(
        &list,
        format!(r#"[{{"username": "ada", "password": "{CANARY}", "credit": 4, "roles": ["developer"]}}]"#),
    )
    .unwrap();
    let database = format!("sqlite://{}", folder.file("deep/er/users.sqlite").display());
    let mut command = userstore(&["--database", &database, "--users", list.to_str().unwrap()]);
    // All log output.
    command.env("RUST_LOG", "trace");
    let program = Program::start(command);
    let mut answers = Vec::new();
    for (method, body, code) in [
        (
            "Verify",
            format!(r#"{{"username": "ada", "password": "{CANARY}"}}"#),
            "ok",
        ),
        (
            "Verify",
            format!(r#"{{"username": "ada", "password": "{CANARY}!"}}"#),
            "unauthenticated",
        ),
        (
            "Verify",
            format!(r#"{{"username": "eve", "password": "{CANARY}"}}"#),
            "unauthenticated",
        ),
        (
            "Verify",
            format!(r#"{{"username": "a:b", "password": "{CANARY}"}}"#),
            "invalid_argument",
        ),
        (
            "Verify",
            format!(r#"{{"username": "ada", "password": ["{CANARY}"]}}"#),
            "invalid_argument",
        ),
        (
            "Verify",
            format!(r#"{{"username": "ada", "password": "{CANARY}"#),
            "invalid_argument",
        ),
        ("GetUser", r#"{"username": "ada"}"#.to_owned(), "ok"),
    ] {
        let response = program.call(method, &body);
        assert_eq!(response.code(), code, "{response:?}");
        answers.push(format!("{response:?}"));
    }
    assert_eq!(
        program.call("GetUser", r#"{"username": "ada"}"#).body["result"],
        serde_json::json!({"username": "ada", "credit": 4, "roles": ["developer"]})
    );
    let ended = program.stop();
    assert!(
        ended.stderr.contains("Added user: ada with credit 4"),
        "{}",
        ended.stderr
    );
    let shown = format!("{answers:?} {} {}", ended.stdout, ended.stderr);
    assert!(
        !shown.contains("canary") && !shown.contains("argon2id$"),
        "{shown}"
    );
    for file in std::fs::read_dir(folder.file("deep/er")).unwrap() {
        let kept = std::fs::read(file.unwrap().path()).unwrap();
        assert!(
            !kept
                .windows(CANARY.len())
                .any(|part| part == CANARY.as_bytes())
        );
    }
}

#[test]
fn invalid_amounts_are_rejected() {
    let folder = Folder::new();
    let program = Program::start(userstore_in(&folder, &[]));
    for amount in [
        "0",
        "-1",
        "1.5",
        "\"-9223372036854775808\"",
        "-9223372036854775808",
        "18446744073709551616",
        "null",
        "true",
        "[1]",
    ] {
        let body = format!(r#"{{"username": "username", "amount": {amount}, "key": "k"}}"#);
        let response = program.call("Reserve", &body);
        assert_eq!(
            (response.status, response.code()),
            (400, "invalid_argument"),
            "{amount}: {response:?}"
        );
        assert!(response.message().starts_with("amount"), "{response:?}");
    }
    let user = program.call("GetUser", r#"{"username": "username"}"#);
    assert_eq!(user.body["result"]["credit"], 4);
}

#[test]
fn a_wrong_option_ends_the_start_without_a_password() {
    let folder = Folder::new();
    let bad_list = folder.file("bad.json");
    std::fs::write(
        &bad_list,
        format!(r#"[{{"username": "a:b", "password": "{CANARY}", "credit": 4}}]"#),
    )
    .unwrap();
    for (arguments, text) in [
        (
            vec!["--database", "posgres://ada:canary@db/users"],
            "database: expected `sqlite://PATH` or `postgres://…`",
        ),
        (
            vec!["--database", "postgres://ada:canary@db:canary/users"],
            "database: `postgres://` must be followed by",
        ),
        (
            vec!["--users", "nowhere.json"],
            "cannot read the users file nowhere.json",
        ),
        (
            vec!["--users", bad_list.to_str().unwrap()],
            "bad.json: users[0].username: must not contain a colon",
        ),
        (
            vec!["--database", "sqlite:///proc/users.sqlite"],
            "cannot create the users' database /proc/users.sqlite",
        ),
        (
            vec!["--database", "postgres://ada:canary@127.0.0.1:1/users"],
            "cannot open the users' database: postgres://ada@127.0.0.1:1/users: ",
        ),
        (
            vec!["--database", "sqlite:///proc"],
            "cannot open the users' database: sqlite:///proc: ",
        ),
    ] {
        let mut command = userstore_in(&folder, &arguments);
        command.env("RUST_LOG", "trace");
        let ended = Ended::from(output(&mut command));
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(1), ""),
            "{arguments:?}"
        );
        assert!(ended.stderr.contains(text), "{text}: {}", ended.stderr);
        assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
    }
    let mut command = userstore(&["--help"]);
    command.env("FIBPRO_DATABASE", "postgres://ada:canary@db/users");
    let ended = Ended::from(output(&mut command));
    assert!(ended.stdout.contains("--database <URL>") && !ended.stdout.contains("canary"));
}
