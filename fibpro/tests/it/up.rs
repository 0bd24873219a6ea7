//! `fibpro up`, as in a fresh clone of the repository.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use rpc_runtime::testing::Process;

use crate::process::{Ended, Folder, POLL, POLLS, TEST_TIMEOUT, command, fibpro, signal_id, start};

pub(crate) const SERVICES: [&str; 6] = [
    "logsink",
    "userstore",
    "pricing",
    "compute_worker",
    "controller",
    "gatekeeper",
];

/// All of FibPro on free ports, with its data in a temporary folder.
pub(crate) struct Up {
    pub(crate) process: Process,
    folder: Folder,
    banner: String,
}

/// Returns the command of `fibpro up` on free ports, with its data in this folder.
pub(crate) fn up_in(data: &Path, arguments: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_fibpro"), &["up", "--base-port", "0"]);
    command.arg("--data-dir").arg(data).args(arguments);
    command
}

impl Up {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(Folder::new(), arguments)
    }

    pub(crate) fn start_in(folder: Folder, arguments: &[&str]) -> Self {
        Self::start_with(folder, arguments, &[])
    }

    pub(crate) fn start_with(
        folder: Folder,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = up_in(&folder.file("data"), arguments);
        command.envs(variables.iter().copied());
        let process = start(&mut command);
        process.wait_for_stdout("Ctrl-C stops all").unwrap();
        let banner = process.stdout();
        Self {
            process,
            folder,
            banner,
        }
    }

    fn word(&self, service: &str, before: &str) -> &str {
        let mut lines = self.banner.lines();
        let line = lines.find(|line| line.trim_start().starts_with(service));
        let (_, rest) = line.unwrap().split_once(before).unwrap();
        rest.split_whitespace().next().unwrap()
    }

    /// Returns the URL of a service, such as `http://127.0.0.1:40123`; for the gatekeeper, that of
    /// its edge listener.
    pub(crate) fn url(&self, service: &str) -> &str {
        self.word(service, service)
    }

    pub(crate) fn operator_url(&self) -> &str {
        self.word("gatekeeper", "for operators ")
    }

    pub(crate) fn id(&self, service: &str) -> u32 {
        self.word(service, "process ").parse().unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.file("data")
    }

    pub(crate) fn key(&self) -> String {
        let key = self.folder.file("data").join("identity.key");
        key.to_str().unwrap().to_owned()
    }

    /// Returns `--endpoint` options with the addresses of all services.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        let others = SERVICES[..5]
            .iter()
            .map(|service| format!("--endpoint={service}={}", self.url(service)));
        let gatekeeper = format!("--endpoint=gatekeeper={}", self.operator_url());
        others.chain([gatekeeper]).collect()
    }

    /// Sends `GET` as `username` and returns the whole response.
    pub(crate) fn get(&self, path: &str) -> String {
        ask(self.url("gatekeeper"), path)
    }

    pub(crate) fn stop(mut self) -> (rpc_runtime::testing::ProcessOutput, Folder) {
        self.process.terminate().unwrap();
        (self.process.wait().unwrap(), self.folder)
    }
}

pub(crate) fn ask(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Basic dXNlcm5hbWU6cGFzc3dvcmQ=\r\n\r\n"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Polls until the condition holds; bounded.
#[allow(
    clippy::disallowed_methods,
    reason = "no event exists for a file or for the exit of another process's child"
)]
pub(crate) fn until(what: &str, mut there: impl FnMut() -> bool) {
    for _ in 0..POLLS {
        if there() {
            return;
        }
        thread::sleep(POLL);
    }
    panic!("does not happen: {what}");
}

pub(crate) fn is_there(id: u32) -> bool {
    // A zombie (exited, not yet waited for) counts as gone.
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit(") ").next().unwrap_or_default();
        !state.starts_with('Z')
    })
}

/// Buys a number, is denied the next one, and finds both in the unified log.
fn buy_until_it_is_refused(up: &Up) {
    let sold = up.get("/10");
    assert!(sold.starts_with("HTTP/1.1 200 "), "{sold}");
    assert!(sold.ends_with("\r\n\r\n55"), "{sold}");
    assert!(up.get("/42").ends_with("\r\n\r\n267914296"));
    let refused = up.get("/7");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let text = "Error: fib(7) costs 1, user username has insufficient credit(0)";
    assert!(refused.ends_with(text), "{refused}");
    let id = refused
        .lines()
        .find_map(|line| line.strip_prefix("x-request-id: "));
    let (key, id) = (up.key(), id.unwrap());
    let search = [
        "logs",
        "--request",
        id,
        "--to",
        up.url("logsink"),
        "--identity-key-file",
        &key,
    ];
    let requested = format!("[prod_gatekeeper] {id} User \"username\" requested fib(7)");
    let denied = format!("[prod_controller] {id} User \"username\" denied fib(7), credit: 0");
    let mut lines = String::new();
    until("the log lines of the refusal", || {
        let found: Ended = fibpro(&search);
        assert_eq!(found.code, Some(0), "{found:?}");
        lines = found.stdout;
        // Each service exports its lines at its own time.
        lines.contains(&denied) && lines.contains(&requested)
    });
    let places = [requested, denied].map(|line| lines.find(&line).expect(&lines));
    assert!(places.is_sorted(), "{lines}");
}

/// Checks that the ports are free again and that no output or file has a password.
fn nothing_is_left(ports: &[String], ended: &rpc_runtime::testing::ProcessOutput, data: &Path) {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for url in ports {
        let address = url.strip_prefix("http://").unwrap();
        drop(TcpListener::bind(address).expect(address));
    }
    for canary in ["canary-pa55word", "cGFzc3dvcmQ"] {
        assert!(!ended.stdout.contains(canary), "{}", ended.stdout);
        assert!(!ended.stderr.contains(canary), "{}", ended.stderr);
        assert_nowhere(canary.as_bytes(), data);
    }
}

fn assert_nowhere(canary: &[u8], folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_nowhere(canary, &path);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(canary.len()).any(|part| part == canary);
        assert!(!found, "{}", path.display());
    }
}

fn all_works_and_ends(arguments: &[&str]) {
    let folder = Folder::new();
    let users = folder.file("users.json");
    // The password of `username` is published in the tutorial; the password of `other` is a canary.
    let list = r#"[{"username": "username", "password": "password", "credit": 4},
        {"username": "other", "password": "canary-pa55word", "credit": 1}]"#;
    std::fs::write(&users, list).unwrap();
    let users = users.to_str().unwrap().to_owned();
    let up = Up::start_in(folder, &[arguments, &["--users", &users]].concat());
    buy_until_it_is_refused(&up);
    // Wrong password.
    let address = up.url("gatekeeper").strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    // `other:canary-pa55word`.
    let login = "authorization: Basic b3RoZXI6Y2FuYXJ5LXBhNTV3b3Jk";
    write!(stream, "GET /1 HTTP/1.0\r\n{login}\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.0 200 "), "{response}");
    let mut ports: Vec<_> = SERVICES
        .iter()
        .map(|service| up.url(service).to_owned())
        .collect();
    ports.push(up.operator_url().to_owned());
    let (ended, folder) = up.stop();
    nothing_is_left(&ports, &ended, &folder.file("data"));
    // The last lines before the stop were stored, each exactly once.
    let lines = [
        "other\" requested fib(1)",
        "other used 1 credit, balance: 0",
    ];
    for line in lines {
        assert_eq!(ended.stdout.matches(line).count(), 1, "{}", ended.stdout);
    }
    assert!(
        ended.stderr.contains("SIGTERM: stopping"),
        "{}",
        ended.stderr
    );
}

#[test]
fn d07_all_of_fibpro_in_one_process() {
    all_works_and_ends(&[]);
}

#[test]
fn d07_all_of_fibpro_in_a_process_each() {
    all_works_and_ends(&["--processes"]);
}

#[test]
fn what_is_kept_is_there_the_next_time() {
    let up = Up::start(&[]);
    let key = std::fs::read(up.key()).unwrap();
    assert!(up.get("/10").ends_with("\r\n\r\n55"));
    assert!(
        up.banner.contains("curl -u username:password ")
            && up.banner.contains("55; costs 2 of 4 credits"),
        "{}",
        up.banner
    );
    let (_, folder) = up.stop();
    let up = Up::start_in(folder, &["--processes"]);
    assert_eq!(std::fs::read(up.key()).unwrap(), key);
    // Two of four credits are left, so the banner does not promise a purchase.
    assert!(!up.banner.contains("of 4 credits"), "{}", up.banner);
    assert!(up.banner.contains("55; costs 2 credits"), "{}", up.banner);
    assert!(up.get("/10").ends_with("\r\n\r\n55"));
    assert!(up.get("/1").starts_with("HTTP/1.1 403 "));
}

#[test]
fn a_folder_that_another_one_uses_is_one_clear_line() {
    let up = Up::start(&[]);
    let data = up.folder.file("data");
    let arguments = [
        "up",
        "--base-port",
        "0",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    for mode in [&[][..], &["--processes"]] {
        let ended = fibpro(&[&arguments, mode].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let line = ended.stderr.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "{ended:?}");
        assert!(
            line.starts_with("error: another `fibpro up` uses the data folder "),
            "{ended:?}"
        );
        assert_eq!(ended.stdout, "", "{ended:?}");
    }
    assert!(up.get("/10").ends_with("\r\n\r\n55"));
}

#[test]
fn a_child_that_is_killed_comes_back_on_its_port() {
    let up = Up::start(&["--processes"]);
    for service in ["compute_worker", "userstore"] {
        let id = up.id(service);
        signal_id("-KILL", id);
        let back = format!("{service} is back on {}", up.url(service));
        up.process.wait_for_stderr(&back).unwrap();
        let stderr = up.process.stderr();
        assert!(
            stderr.contains(&format!(
                "{service} ended: signal: 9 (SIGKILL); restart 1 in 100ms"
            )),
            "{stderr}"
        );
        let sold = up.get("/10");
        assert!(sold.ends_with("\r\n\r\n55"), "{sold}");
    }
    let (ended, _folder) = up.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

#[test]
fn no_child_outlives_it() {
    let mut up = Up::start(&["--processes"]);
    let ids = SERVICES.map(|service| up.id(service));
    assert!(ids.into_iter().all(is_there));
    up.process.kill9().unwrap();
    until("all children are gone", || !ids.into_iter().any(is_there));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for arguments in [&[][..], &["--processes"]] {
        // Without the second signal the six services would stop one after the other, 60 s each.
        let lame_duck = ("RPC_LAME_DUCK", "60s");
        let mut up = Up::start_with(Folder::new(), arguments, &[lame_duck]);
        up.process.terminate().unwrap();
        up.process.wait_for_stderr("SIGTERM: stopping").unwrap();
        assert!(up.process.is_running().unwrap());
        // In the first second it is a repeat.
        until("a later signal ends it", || {
            let _ = up.process.terminate();
            !up.process.is_running().unwrap()
        });
        let ended = up.process.wait().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let second = "error: ended by a second SIGTERM before all calls were done\n";
        assert!(ended.stderr.ends_with(second), "{ended:?}");
        if !arguments.is_empty() {
            assert!(!SERVICES.iter().any(|service| is_there(up.id(service))));
        }
    }
}

#[test]
fn a_taken_port_is_one_line_and_leaves_no_process() {
    let folder = Folder::new();
    let data = folder.file("data");
    let data = data.to_str().unwrap();
    for (offset, service) in [(2, "logsink"), (1, "gatekeeper")] {
        for mode in [&[][..], &["--processes"]] {
            let taken = TcpListener::bind("127.0.0.1:0").unwrap();
            let base = taken.local_addr().unwrap().port() - offset;
            let base_port = base.to_string();
            let arguments = ["up", "--data-dir", data, "--base-port", &base_port];
            let ended = fibpro(&[&arguments, mode].concat());
            assert_eq!(ended.code, Some(1), "{ended:?}");
            // Another process may hold one of the eleven ports; then the line names that port.
            let line = ended.stderr.strip_suffix('\n').unwrap();
            assert!(!line.contains('\n'), "{ended:?}");
            assert!(line.starts_with("error: "), "{ended:?}");
            assert!(line.contains(" cannot listen on 127.0.0.1:"), "{ended:?}");
            assert!(line.ends_with("another process listens there"), "{ended:?}");
            let expected = format!(
                "error: {service} cannot listen on 127.0.0.1:{}",
                base + offset
            );
            if !line.starts_with(&expected) {
                continue;
            }
            drop(taken);
            drop(TcpListener::bind(("127.0.0.1", base + 3)));
        }
    }
}

#[test]
fn contradictory_options_are_rejected_before_start() {
    let folder = Folder::new();
    let data = folder.file("data");
    let nothing = folder.file("nothing.json");
    for mode in [&[][..], &["--processes"]] {
        let arguments = [
            "up",
            "--base-port",
            "0",
            "--data-dir",
            data.to_str().unwrap(),
            "--users",
            nothing.to_str().unwrap(),
        ];
        let ended = fibpro(&[&arguments, mode].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("nothing.json"), "{ended:?}");
        assert!(!ended.stdout.contains("is up"), "{ended:?}");
    }
    let ended = fibpro(&["up", "--base-port", "65530"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let file = folder.file("file");
    std::fs::write(&file, "").unwrap();
    let ended = fibpro(&["up", "--data-dir", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("error: cannot create the data folder "),
        "{ended:?}"
    );
}

#[test]
fn operators_need_the_key_and_never_use_the_edge() {
    let up = Up::start(&[]);
    let key = up.key();
    let signed = ["--identity-key-file", &key];
    let status = |to: &str, key: &[&str]| fibpro(&[&["status", "--to", to], key].concat());
    let operator = up.operator_url();
    let known = status(operator, &signed);
    assert_eq!(known.code, Some(0), "{known:?}");
    assert!(
        known.stdout.starts_with("gatekeeper@prod/127.0.0.1:"),
        "{known:?}"
    );
    let unknown = status(operator, &[]);
    assert!(
        unknown.stderr.starts_with("error: unauthenticated"),
        "{unknown:?}"
    );
    // The error states the option to change on this command line.
    let hint = "--identity-key-file FOLDER/identity.key";
    assert!(unknown.stderr.contains(hint), "{unknown:?}");
    let outside = status(up.url("gatekeeper"), &signed);
    assert_eq!(outside.code, Some(1), "{outside:?}");
    assert!(!outside.stdout.contains("gatekeeper@"), "{outside:?}");
    let flags = ["flags", "log_rpc=true", "--to", operator];
    let set = fibpro(&[&flags[..], &signed].concat());
    assert_eq!(set.stdout, "log_rpc = true   from run time\n", "{set:?}");
}

#[test]
fn the_shop_is_on_the_edge_only() {
    for mode in [&[][..], &["--processes"]] {
        let up = Up::start(mode);
        for path in ["/10", "/1", "/", "/robots.txt"] {
            let refused = ask(up.operator_url(), path);
            assert!(refused.starts_with("HTTP/1.1 401 "), "{path}: {refused}");
            assert!(
                refused.contains("signed requests only"),
                "{path}: {refused}"
            );
        }
        assert!(ask(up.operator_url(), "/readyz").starts_with("HTTP/1.1 200 "));
        // Nothing was sold there.
        for (path, number) in [("/10", "55"), ("/42", "267914296")] {
            assert!(up.get(path).ends_with(&format!("\r\n\r\n{number}")));
        }
    }
}
