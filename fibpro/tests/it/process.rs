//! Processes that end with the test, and HTTP over raw sockets.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use rpc_runtime::testing::Process;
pub(crate) use rpc_tests::folder::Folder;
use rpc_tests::signals::undisturbed;
use serde_json::Value;

/// Timeout for events that are immediate on an idle machine.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Checks of a condition before a test fails.
pub(crate) const POLLS: u32 = 3000;

/// Time between two checks of a condition.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Read-locked while a process is started, write-locked while a pipe is closed. Between fork and
/// exec a child holds copies of all pipes of this process, so a pipe closed in that moment would
/// still have a reader.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts a process, and returns after its exec.
pub(crate) fn spawn(command: &mut Command) -> Child {
    starting(|| command.spawn()).unwrap()
}

/// Runs a function that starts a process in another way, under the same lock.
pub(crate) fn starting<P>(start: impl FnOnce() -> P) -> P {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    start()
}

/// Starts a process that can be signalled, without waiting for it.
pub(crate) fn start(command: &mut Command) -> Process {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    Process::spawn(command).unwrap()
}

/// Drops a value, with which pipes are closed, while no process is being started.
pub(crate) fn close<T>(pipes: T) {
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    drop(pipes);
}

/// Runs a process until it exits.
pub(crate) fn output(command: &mut Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(piped).wait_with_output().unwrap()
}

/// Returns whether the tests run as root.
pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).stdout.trim_ascii() == b"0"
}

/// Creates a named pipe.
pub(crate) fn make_pipe(path: &Path) {
    assert!(output(Command::new("mkfifo").arg(path)).status.success());
}

/// The log sink on a free port. Killed by process id on drop.
pub(crate) struct LogSink {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
    /// The folder of its store, unless the test passes `--store`.
    _folder: Option<Folder>,
    /// Such as `http://127.0.0.1:40123`.
    pub(crate) url: String,
}

impl LogSink {
    /// Starts the log sink and returns when it prints its listen address.
    pub(crate) fn start() -> Self {
        Self::start_on(&["--listen", "127.0.0.1:0"])
    }

    /// Starts it with other options. Without `--store` its records are in a temporary folder.
    pub(crate) fn start_on(arguments: &[&str]) -> Self {
        let folder = (!arguments.contains(&"--store")).then(Folder::new);
        let mut command = logsink(arguments);
        if let Some(folder) = &folder {
            command.arg("--store").arg(folder.file("logs.sqlite"));
        }
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line
            .trim_end()
            .strip_prefix("logsink listening on ")
            .expect(&line)
            .to_owned();
        Self {
            child,
            stdout: Some(stdout),
            stderr,
            _folder: folder,
            url,
        }
    }

    /// Starts it with its records in this file.
    pub(crate) fn start_with(store: &Path) -> Self {
        Self::start_on(&[
            "--listen",
            "127.0.0.1:0",
            "--store",
            store.to_str().unwrap(),
        ])
    }

    /// Returns its address, such as `127.0.0.1:40123`.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Calls a method with a JSON body.
    pub(crate) fn call(&self, method: &str, body: &str) -> HttpResponse {
        self.call_with(method, "", body)
    }

    /// Calls a method with additional headers, each including its line end.
    pub(crate) fn call_with(&self, method: &str, headers: &str, body: &str) -> HttpResponse {
        let mut call = self.begin(method, headers, body.len());
        call.write_all(body.as_bytes()).unwrap();
        HttpResponse::read(call)
    }

    /// Sends the head of a call without its body.
    pub(crate) fn begin(&self, method: &str, headers: &str, length: usize) -> TcpStream {
        let service = match method {
            "Append" => "rpc.v1.Logs",
            _ => "fibpro.v1.LogSink",
        };
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        write!(
            stream,
            "POST /{service}/{method} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n",
            self.address()
        )
        .unwrap();
        stream
    }

    /// Closes the test's end of its stdout, so that it writes to a broken pipe.
    pub(crate) fn close_stdout(&mut self) {
        let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        self.stdout = None;
    }

    /// Drains its stdout and discards it.
    pub(crate) fn discard_stdout(&mut self) {
        if let Some(mut stdout) = self.stdout.take() {
            std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        }
    }

    /// Reads its stderr up to a line that contains `words`, and returns that line.
    pub(crate) fn wait_for_stderr(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(
                self.stderr.read_line(&mut line).unwrap(),
                0,
                "stderr ended without {words:?}"
            );
        }
        line
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        signal("-TERM", &self.child);
    }

    /// Sends SIGTERM until it has exited: in the first second after another one it has no effect.
    pub(crate) fn terminate_again(&mut self) {
        while self.child.try_wait().unwrap().is_none() {
            self.terminate();
            #[allow(
                clippy::disallowed_methods,
                reason = "the interval of the attempts; the end of the process is what is waited for"
            )]
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGKILL, and waits for the exit.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Reads its stdout and stderr to their ends, and returns them with the exit code.
    pub(crate) fn ended(mut self) -> Ended {
        Ended::of(&mut self.child, self.stdout.take(), &mut self.stderr)
    }

    /// Stops it and returns its output after the first line.
    pub(crate) fn printed(self) -> String {
        self.terminate();
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    }
}

impl Drop for LogSink {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running `fibpro` command. Killed by process id on drop.
pub(crate) struct RunningCommand {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
}

impl RunningCommand {
    pub(crate) fn fibpro(arguments: &[&str]) -> Self {
        Self::start(command(env!("CARGO_BIN_EXE_fibpro"), arguments))
    }

    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        Self {
            stdout: child.stdout.take().map(BufReader::new),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Returns the next line of its stdout, without the line end.
    pub(crate) fn line(&mut self) -> String {
        read_line(self.stdout.as_mut().unwrap())
    }

    /// Returns the next line of its stderr, without the line end.
    pub(crate) fn stderr_line(&mut self) -> String {
        read_line(&mut self.stderr)
    }

    pub(crate) fn close_stdout(&mut self) {
        let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        self.stdout = None;
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Sends a signal, such as `-TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, &self.child);
    }

    /// Returns the rest of its output and the exit code.
    pub(crate) fn ended(mut self) -> Ended {
        Ended::of(&mut self.child, self.stdout.take(), &mut self.stderr)
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_line(reader: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.trim_end_matches('\n').to_owned()
}

fn signal(name: &str, child: &Child) {
    signal_id(name, child.id());
}

/// Sends a signal, such as `-KILL`, to a process.
pub(crate) fn signal_id(name: &str, id: u32) {
    let ended = output(Command::new("kill").args([name, &id.to_string()]));
    assert!(ended.status.success());
}

/// Output and exit code of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn of(
        child: &mut Child,
        out: Option<BufReader<ChildStdout>>,
        err: &mut BufReader<ChildStderr>,
    ) -> Self {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        if let Some(mut out) = out {
            out.read_to_string(&mut stdout).unwrap();
        }
        err.read_to_string(&mut stderr).unwrap();
        Self {
            code: child.wait().unwrap().code(),
            stdout,
            stderr,
        }
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// Returns the command `logsink` with these arguments.
pub(crate) fn logsink(arguments: &[&str]) -> Command {
    command(env!("CARGO_BIN_EXE_logsink"), arguments)
}

/// Runs `fibpro` with these arguments until it exits.
pub(crate) fn fibpro(arguments: &[&str]) -> Ended {
    output(&mut command(env!("CARGO_BIN_EXE_fibpro"), arguments)).into()
}

/// Returns the path of a program of this package.
pub(crate) fn program(name: &str) -> String {
    let fibpro = Path::new(env!("CARGO_BIN_EXE_fibpro"));
    fibpro.with_file_name(name).to_str().unwrap().to_owned()
}

/// Returns the command of a program with these arguments, without environment variables that change
/// its settings.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    prepared(undisturbed(program), arguments)
}

/// Prepares a command as [`command`] does.
pub(crate) fn prepared(mut command: Command, arguments: &[&str]) -> Command {
    for setting in [
        "RPC_LISTEN",
        "RPC_LISTEN_EDGE",
        "RPC_HOST_NAME",
        "RPC_SOCKET_MODE",
        "RPC_ENVIRONMENT",
        "RPC_INSTANCE",
        "RPC_LOG_FORMAT",
        "RPC_LAME_DUCK",
        "RPC_FLAGS_FILE",
        "RPC_FLAG_LOG_RPC",
        "RPC_ALLOW_FAULTS",
        "FIBPRO_LOGSINK",
        "FIBPRO_LARGEST_N",
        "FIBPRO_ENDPOINT_PRICING",
        "FIBPRO_ENDPOINT_CA",
        "FIBPRO_DATABASE",
        "FIBPRO_USERS",
        "RPC_IDENTITY_KEY_FILE",
        "RPC_LOGSINK",
        "RPC_SHIP_LOG",
        "RPC_LOG_SPOOL",
        "LOGSINK_STORE_BYTES",
        "RUST_LOG",
    ] {
        command.env_remove(setting);
    }
    // It sets these itself, and says so.
    if arguments.first() == Some(&"up") {
        command.env_remove("LOGSINK_STORE");
        command.env_remove("FIBPRO_OPERATOR");
    } else {
        // A log sink writes no files unless the test asks for them.
        command.env("LOGSINK_STORE", "none");
        // A gatekeeper opens no operator port unless the test asks for it.
        command.env("FIBPRO_OPERATOR", "none");
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Value,
}

impl HttpResponse {
    /// Reads until the connection is closed.
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect(&text);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_owned(),
            body: serde_json::from_str(body).expect(body),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("ok")
    }

    pub(crate) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}
