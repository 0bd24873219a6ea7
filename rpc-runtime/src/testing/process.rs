//! Child process under test, which can be killed and stopped.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Error, ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::sync::MutexExt as _;

/// Timeout of all waits.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout for the end of the pipes after the process has ended; its own children may keep them
/// open.
const PIPE_TIMEOUT: Duration = Duration::from_secs(1);

/// Interval at which the exit of a process is polled. The system has no notification that does not
/// reap the process.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Text before the URL of a listener in the output of a server.
const MARKER: &str = " listening on ";

/// Text after the URL of an edge listener.
const EDGE: &str = " (edge)";

/// Limit of the captured stdout and of the captured stderr, in bytes. Further output is read and
/// discarded, so that the process never blocks.
const CAPTURE_LIMIT: usize = 16 << 20;

/// A child process under test. Dropping it kills the process.
///
/// Methods that wait block the thread for at most 30 s. A test that also runs a
/// [`Proxy`](super::Proxy) or a server needs a multi-threaded runtime.
///
/// ```no_run
/// use std::process::Command;
/// use rpc_runtime::testing::Process;
///
/// # fn main() -> std::io::Result<()> {
/// let mut logsink = Process::start(Command::new("target/debug/logsink").args(["--listen", "127.0.0.1:0"]))?;
/// let url = logsink.url().to_owned(); // for the client
/// logsink.stop()?; // connections are accepted, but get no response
/// logsink.resume()?;
/// logsink.terminate()?; // SIGTERM
/// assert!(logsink.wait()?.status.success());
/// # drop(url);
/// # Ok(())
/// # }
/// ```
pub struct Process {
    child: Child,
    stdout: CapturedOutput,
    stderr: CapturedOutput,
    url: Option<String>,
    status: Option<ExitStatus>,
}

/// Exit status and captured output of a process.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProcessOutput {
    /// Exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// Captured stdout.
    pub stdout: String,
    /// Captured stderr.
    pub stderr: String,
}

impl Process {
    /// Starts a server and waits until it prints `NAME listening on URL`, as
    /// [`Server::run`](crate::Server::run) does.
    ///
    /// # Errors
    ///
    /// If the program cannot be started, ends, or does not print the line within 30 s. The error
    /// contains its output.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut process = Self::spawn(command)?;
        let line = process.wait_for_stdout(MARKER)?;
        process.url = line.split_once(MARKER).map(|(_, url)| {
            let url = url.strip_suffix(EDGE).unwrap_or(url);
            url.to_owned()
        });
        Ok(process)
    }

    /// Starts a program without waiting for output.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let program = command.get_program().to_string_lossy();
                Error::new(error.kind(), format!("cannot start {program}: {error}"))
            })?;
        let stdout = CapturedOutput::read(child.stdout.take());
        let stderr = CapturedOutput::read(child.stderr.take());
        Ok(Self {
            child,
            stdout,
            stderr,
            url: None,
            status: None,
        })
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the URL it listens on; empty for a process started by [`spawn`](Self::spawn).
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_deref().unwrap_or_default()
    }

    /// Waits until the server has printed the URL of an edge listener, and returns that of the
    /// first. [`url`](Self::url) is that of the first listener of any kind.
    ///
    /// # Errors
    ///
    /// Like [`wait_for_stdout`](Self::wait_for_stdout), for a server without an edge listener
    /// after 30 s.
    pub fn edge_url(&self) -> io::Result<String> {
        let line = self.wait_for_stdout(EDGE)?;
        let url = line
            .split_once(MARKER)
            .and_then(|(_, url)| url.strip_suffix(EDGE));
        url.map(str::to_owned)
            .ok_or_else(|| Error::other(format!("not the line of a listener: {line}")))
    }

    /// Waits for the first line of stdout that contains `text`, including lines printed before.
    ///
    /// # Errors
    ///
    /// If stdout ends first, or the line is not printed within 30 s. The error contains the output.
    pub fn wait_for_stdout(&self, text: &str) -> io::Result<String> {
        self.wait_for(&self.stdout, "stdout", text)
    }

    /// Waits for the first line of stderr that contains `text`, including lines printed before.
    ///
    /// # Errors
    ///
    /// Like [`wait_for_stdout`](Self::wait_for_stdout).
    pub fn wait_for_stderr(&self, text: &str) -> io::Result<String> {
        self.wait_for(&self.stderr, "stderr", text)
    }

    /// Returns the stdout captured so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Returns the stderr captured so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Errors
    ///
    /// The I/O error if it cannot be signalled.
    pub fn kill9(&mut self) -> io::Result<ProcessOutput> {
        self.signal(Signal::KILL)?;
        self.wait()
    }

    /// Suspends it with SIGSTOP and waits until it is stopped. Its connections stay open without
    /// responses, and new ones fill the queue of its listener.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn stop(&mut self) -> io::Result<()> {
        let id = self.signal(Signal::STOP)?;
        // The signal is delivered asynchronously. `NOWAIT` leaves the reaping to `wait`.
        let what = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(id), what)? {
            Some(status) if status.stopped() => Ok(()),
            _ => Err(Error::other("the process ended before it could be stopped")),
        }
    }

    /// Continues it after [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    /// Sends SIGTERM. A [`Server`](crate::Server) then finishes its running calls; see
    /// [`wait`](Self::wait).
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM).map(drop)
    }

    /// Returns whether it is running.
    ///
    /// # Errors
    ///
    /// The I/O error if its state cannot be read.
    pub fn is_running(&mut self) -> io::Result<bool> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status.is_none())
    }

    /// Waits for its end and returns its output.
    ///
    /// # Errors
    ///
    /// `TimedOut` if it does not end within 30 s; it keeps running then.
    pub fn wait(&mut self) -> io::Result<ProcessOutput> {
        let started = Instant::now();
        let status = loop {
            self.is_running()?;
            if let Some(status) = self.status {
                break status;
            }
            if started.elapsed() > WAIT_TIMEOUT {
                let text = format!(
                    "process {} did not end within {WAIT_TIMEOUT:?}; {}",
                    self.id(),
                    self.printed()
                );
                return Err(Error::new(ErrorKind::TimedOut, text));
            }
            #[allow(
                clippy::disallowed_methods,
                reason = "the system reports no exit without reaping the process; `WAIT_TIMEOUT` bounds the wait"
            )]
            thread::sleep(POLL_INTERVAL);
        };
        self.stdout.wait_for_end(PIPE_TIMEOUT);
        self.stderr.wait_for_end(PIPE_TIMEOUT);
        Ok(ProcessOutput {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        })
    }

    fn signal(&mut self, signal: Signal) -> io::Result<Pid> {
        // Only a process that is not reaped owns its id; the system may reuse the id of any other.
        if !self.is_running()? {
            let text = format!("process {} has ended; {}", self.id(), self.printed());
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        let id = Pid::from_child(&self.child);
        kill_process(id, signal)?;
        Ok(id)
    }

    fn wait_for(&self, stream: &CapturedOutput, name: &str, expected: &str) -> io::Result<String> {
        stream
            .wait_for_line(expected, WAIT_TIMEOUT)
            .map_err(|kind| {
                let text = match kind {
                    ErrorKind::TimedOut => {
                        format!("{name} has no line with {expected:?} after {WAIT_TIMEOUT:?}")
                    }
                    _ => format!("{name} ended without a line with {expected:?}"),
                };
                Error::new(kind, format!("{text}; {}", self.printed()))
            })
    }

    fn printed(&self) -> String {
        format!(
            "stdout so far: {:?}, stderr so far: {:?}",
            self.stdout(),
            self.stderr()
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has already ended. SIGKILL also ends a stopped process.
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id())
            .field("url", &self.url)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Captured stdout or stderr, read on a separate thread so that a full pipe never blocks the
/// process.
struct CapturedOutput(Arc<Capture>);

#[derive(Default)]
struct Capture {
    printed: Mutex<Printed>,
    changed: Condvar,
}

#[derive(Default)]
struct Printed {
    text: String,
    ended: bool,
}

impl CapturedOutput {
    fn read(pipe: Option<impl Read + Send + 'static>) -> Self {
        let shared = Arc::new(Capture::default());
        let writer = Arc::clone(&shared);
        thread::spawn(move || {
            if let Some(pipe) = pipe {
                writer.read_lines(pipe);
            }
            writer.lock().ended = true;
            writer.changed.notify_all();
        });
        Self(shared)
    }

    fn text(&self) -> String {
        self.0.lock().text.clone()
    }

    fn wait_for_line(&self, text: &str, timeout: Duration) -> Result<String, ErrorKind> {
        let found = |printed: &Printed| {
            let mut lines = printed.text.lines();
            lines.find(|line| line.contains(text)).map(str::to_owned)
        };
        let guard = self.0.lock();
        let missing = |printed: &mut Printed| !printed.ended && found(printed).is_none();
        let (guard, waited) = self
            .0
            .changed
            .wait_timeout_while(guard, timeout, missing)
            .unwrap_or_else(PoisonError::into_inner);
        found(&guard).ok_or(if waited.timed_out() {
            ErrorKind::TimedOut
        } else {
            ErrorKind::UnexpectedEof
        })
    }

    fn wait_for_end(&self, timeout: Duration) {
        let guard = self.0.lock();
        let waiting = self
            .0
            .changed
            .wait_timeout_while(guard, timeout, |printed| !printed.ended);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Capture {
    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock_unpoisoned()
    }

    /// Captures whole lines, so that a search never finds a partial one.
    fn read_lines(&self, pipe: impl Read) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A read error ends the capture like the end of the pipe.
            let Ok(1..) = pipe.read_until(b'\n', &mut line) else {
                return;
            };
            let mut printed = self.lock();
            if printed.text.len() + line.len() <= CAPTURE_LIMIT {
                printed.text.push_str(&String::from_utf8_lossy(&line));
                self.changed.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn start_waits_for_the_url_and_terminate_ends_it() {
        let script =
            "echo first; echo x listening on http://h:1; echo on stderr >&2; exec sleep 60";
        let mut process = Process::start(&mut shell(script)).unwrap();
        assert_eq!(process.url(), "http://h:1");
        assert_eq!(process.wait_for_stderr("on").unwrap(), "on stderr");
        process.terminate().unwrap();
        let ended = process.wait().unwrap();
        assert_eq!(ended.status.signal(), Some(15));
        assert_eq!(ended.stdout, "first\nx listening on http://h:1\n");
        let error = process.terminate().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }

    #[test]
    fn a_stopped_process_can_be_resumed() {
        let mut process =
            Process::spawn(&mut shell("echo ready; read x < /dev/null; exec sleep 60")).unwrap();
        process.wait_for_stdout("ready").unwrap();
        let state = |process: &Process| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).ok()?;
            stat.rsplit_once(") ")?.1.chars().next()
        };
        process.stop().unwrap();
        if cfg!(target_os = "linux") {
            assert_eq!(state(&process), Some('T'));
        }
        process.resume().unwrap();
        assert!(process.is_running().unwrap());
        process.stop().unwrap();
        assert_eq!(process.kill9().unwrap().status.signal(), Some(9));
    }

    #[test]
    fn large_output_does_not_block_the_process() {
        let script = "i=0; while [ $i -lt 4000 ]; do echo a line of some length on both; echo a line of some length on both >&2; i=$((i+1)); done";
        let mut process = Process::spawn(&mut shell(script)).unwrap();
        let ended = process.wait().unwrap();
        assert!(ended.status.success());
        assert_eq!((ended.stdout.len(), ended.stderr.len()), (120_000, 120_000));
        let error = process.wait_for_stdout("missing").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(Process::spawn(&mut Command::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn dropping_kills_even_a_stopped_process() {
        let mut process = Process::spawn(&mut shell("exec sleep 60")).unwrap();
        process.stop().unwrap();
        let id = Pid::from_child(&process.child);
        drop(process);
        assert!(rustix::process::test_kill_process(id).is_err());
    }
}
