//! A program under test, in a process of its own: the only kind that can be killed and stopped.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Error, ErrorKind, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::sync::MutexExt as _;

/// How long is waited for what comes at once when all is well.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long is waited for the end of the pipes of a process that has ended: who inherited them may live on.
const PIPE_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a process is asked whether it has ended, which nothing tells without its being reaped.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What is kept of each of stdout and stderr, in bytes. What comes after that is read and thrown away, so that the
/// process never waits for its reader.
const CAPTURE_LIMIT: usize = 16 << 20;

/// A child process under test. Killed by its id when it is dropped, however the test ends.
///
/// What waits here blocks the thread, and no longer than 30 s: a test with a [`Proxy`](super::Proxy) or a server of its
/// own beside it needs a runtime of several threads.
///
/// ```no_run
/// use std::process::Command;
/// use rpc_runtime::testing::Process;
///
/// # fn main() -> std::io::Result<()> {
/// let mut logsink = Process::start(Command::new("target/debug/logsink").args(["--listen", "127.0.0.1:0"]))?;
/// let url = logsink.url().to_owned(); // for the client
/// logsink.stop()?; // connections are accepted and nobody answers
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

/// How a process ended, and all that it printed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProcessOutput {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Process {
    /// Starts a server and waits until it prints `NAME listening on URL`, as [`Server::run`](crate::Server::run) does.
    ///
    /// # Errors
    ///
    /// When the program cannot be started, ends first, or says nothing of the kind within 30 s; with what it printed.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        const WORDS: &str = " listening on ";
        let mut process = Self::spawn(command)?;
        let line = process.wait_for_stdout(WORDS)?;
        process.url = line.split_once(WORDS).map(|(_, url)| url.to_owned());
        Ok(process)
    }

    /// Starts a program and waits for nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                let program = command.get_program().to_string_lossy();
                Error::new(
                    error.kind(),
                    format!("{program} cannot be started: {error}"),
                )
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

    /// The id of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens; the empty text for a process that was only spawned.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_deref().unwrap_or_default()
    }

    /// The first line of its stdout, from its start, that has `words`.
    ///
    /// # Errors
    ///
    /// When stdout ends without it, or it does not come within 30 s; with what there is of stdout and stderr.
    pub fn wait_for_stdout(&self, words: &str) -> io::Result<String> {
        self.wait_for(&self.stdout, "stdout", words)
    }

    /// The first line of its stderr, from its start, that has `words`.
    ///
    /// # Errors
    ///
    /// As [`wait_for_stdout`](Self::wait_for_stdout).
    pub fn wait_for_stderr(&self, words: &str) -> io::Result<String> {
        self.wait_for(&self.stderr, "stderr", words)
    }

    /// What it has printed to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has printed to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Kills it with SIGKILL, which no program can prepare for, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill9(&mut self) -> io::Result<ProcessOutput> {
        self.signal(Signal::KILL)?;
        self.wait()
    }

    /// Stops it with SIGSTOP and returns when it stands still: its connections stay, its listener's queue fills, and
    /// nobody answers.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn stop(&mut self) -> io::Result<()> {
        let id = self.signal(Signal::STOP)?;
        // The signal is delivered when the system comes to it. Looked at and not taken: reaping is `wait`'s.
        let what = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(id), what)? {
            Some(status) if status.stopped() => Ok(()),
            _ => Err(Error::other("the process ended before it could be stopped")),
        }
    }

    /// Lets it go on behind [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    /// Asks it to end, with SIGTERM. A server of ours then finishes what runs; see [`wait`](Self::wait).
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM).map(drop)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn is_running(&mut self) -> io::Result<bool> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status.is_none())
    }

    /// Waits until it ends, and takes what it printed.
    ///
    /// # Errors
    ///
    /// `TimedOut` when it does not end within 30 s; it runs on then.
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
                reason = "nothing tells of the end of a process without reaping it; bounded above"
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
        // Only what is not reaped still owns its id; the system may have given any other to somebody else.
        if !self.is_running()? {
            let text = format!("process {} has ended; {}", self.id(), self.printed());
            return Err(Error::new(ErrorKind::NotFound, text));
        }
        let id = Pid::from_child(&self.child);
        kill_process(id, signal)?;
        Ok(id)
    }

    fn wait_for(&self, stream: &CapturedOutput, name: &str, words: &str) -> io::Result<String> {
        stream.wait_for_line(words, WAIT_TIMEOUT).map_err(|kind| {
            let text = match kind {
                ErrorKind::TimedOut => format!("{name} has no {words:?} after {WAIT_TIMEOUT:?}"),
                _ => format!("{name} ended without {words:?}"),
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
        // It may have ended by itself. SIGKILL also ends what is stopped.
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

/// One output of a process, read by a thread of its own: a process whose pipe is full would wait for its test, and the
/// test for it.
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

    fn wait_for_line(&self, words: &str, timeout: Duration) -> Result<String, ErrorKind> {
        let found = |printed: &Printed| {
            let mut lines = printed.text.lines();
            lines.find(|line| line.contains(words)).map(str::to_owned)
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

    /// Whole lines, so that nobody finds half of one.
    fn read_lines(&self, pipe: impl Read) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A pipe that breaks has nothing more to say either.
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
    fn it_starts_when_it_says_where_it_listens_and_ends_when_it_is_told() {
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
    fn a_stopped_process_stands_still_and_goes_on() {
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
    fn more_than_a_pipe_holds_blocks_nobody_and_what_is_missing_is_said() {
        let script = "i=0; while [ $i -lt 4000 ]; do echo a line of some length on both; echo a line of some length on both >&2; i=$((i+1)); done";
        let mut process = Process::spawn(&mut shell(script)).unwrap();
        let ended = process.wait().unwrap();
        assert!(ended.status.success());
        assert_eq!((ended.stdout.len(), ended.stderr.len()), (120_000, 120_000));
        let error = process.wait_for_stdout("nothing of the kind").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(Process::spawn(&mut Command::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn a_dropped_process_is_gone_also_when_it_is_stopped() {
        let mut process = Process::spawn(&mut shell("exec sleep 60")).unwrap();
        process.stop().unwrap();
        let id = Pid::from_child(&process.child);
        drop(process);
        assert!(rustix::process::test_kill_process(id).is_err());
    }
}
