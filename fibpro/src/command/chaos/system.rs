//! The system under test: `fibpro up --processes` in a folder of its own.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::buyers::USERS;
use super::faults::Faults;

/// Timeout for all services to become ready, and for all to stop.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The initial credit of each user. No run can spend it.
pub(super) const CREDIT: u64 = 1_000_000_000;

/// The services with replicas. Calls go to another one while one is down.
const REPLICAS: &str = "pricing=2,compute_worker=2";

/// The addresses of the services that the run calls.
pub(super) struct Urls {
    pub(super) gatekeeper: String,
    pub(super) userstore: String,
    pub(super) logsink: String,
}

pub(super) struct System {
    folder: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
    up: Option<Child>,
    output: Vec<JoinHandle<io::Result<u64>>>,
    mounted: bool,
    keep: bool,
}

impl System {
    /// Creates the folder, and sets up what the faults need.
    pub(super) async fn prepare(
        folder: Option<PathBuf>,
        faults: &mut Faults,
    ) -> Result<Self, String> {
        let folder = folder.unwrap_or_else(|| {
            env::temp_dir().join(format!("fibpro-chaos-{}", std::process::id()))
        });
        let data = folder.join("data");
        let created = fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .and_then(|()| fs::DirBuilder::new().mode(0o700).create(&data));
        created.map_err(|error| {
            let folder = folder.display();
            format!("cannot create the folder {folder} (`--folder`): {error}")
        })?;
        let mut system = Self {
            folder,
            environment: Vec::new(),
            up: None,
            output: Vec::new(),
            mounted: false,
            keep: false,
        };
        system.mounted = faults.prepare_disk(&data).await;
        if let Some(library) = faults.prepare_clock(&system.clock()).await {
            system.environment = vec![
                ("LD_PRELOAD", library),
                ("FAKETIME_TIMESTAMP_FILE", system.clock()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
                ("FAKETIME_CACHE_DURATION", "1".into()),
            ];
        }
        let users = (0..USERS).map(|user| {
            format!(r#"{{"username": "u{user}", "password": "p", "credit": {CREDIT}}}"#)
        });
        let users = format!("[{}]", users.collect::<Vec<_>>().join(", "));
        let file = system.users();
        fs::write(&file, users)
            .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        Ok(system)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a path in the data folder of the services.
    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.folder.join("data").join(name)
    }

    /// Returns the file that the preloaded clock library reads.
    pub(super) fn clock(&self) -> PathBuf {
        self.folder.join("clock")
    }

    fn users(&self) -> PathBuf {
        self.folder.join("users.json")
    }

    /// Starts all services, and returns when they are ready.
    pub(super) async fn start(&mut self) -> Result<Urls, String> {
        let program = env::current_exe()
            .map_err(|error| format!("cannot find the path of this program: {error}"))?;
        let mut command = Command::new(program);
        command
            .args(["up", "--processes", "--base-port", "0"])
            .args(["--replicas", REPLICAS, "--data-dir"])
            .arg(self.folder.join("data"))
            .arg("--users")
            .arg(self.users())
            .env_remove("FIBPRO_DATABASE")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut up = command
            .spawn()
            .map_err(|error| format!("cannot start `fibpro up`: {error}"))?;
        let (Some(stdout), Some(stderr)) = (up.stdout.take(), up.stderr.take()) else {
            return Err("internal error: `fibpro up` was started without pipes".to_owned());
        };
        self.up = Some(up);
        self.write_output("up.stderr", stderr);
        let mut stdout = BufReader::new(stdout);
        let banner = timeout(TIMEOUT, read_banner(&mut stdout)).await;
        let banner = banner
            .map_err(|_| format!("`fibpro up` is not ready after {} s", TIMEOUT.as_secs()))?
            .map_err(|error| {
                let log = self.folder.join("up.stderr");
                format!("`fibpro up` did not start: {error}; see {}", log.display())
            })?;
        self.write_output("up.stdout", stdout);
        let url = |service: &str| {
            let line = banner.iter().find(|line| line.starts_with(service));
            let url = line.and_then(|line| line.split_whitespace().nth(1));
            url.map(str::to_owned)
                .ok_or_else(|| format!("`fibpro up` printed no address of {service}"))
        };
        Ok(Urls {
            gatekeeper: url("gatekeeper")?,
            userstore: url("userstore")?,
            logsink: url("logsink")?,
        })
    }

    /// Copies an output of `up` to a file in the folder, for the reader of a finding.
    fn write_output(&mut self, name: &str, mut from: impl AsyncRead + Unpin + Send + 'static) {
        let path = self.folder.join(name);
        self.output.push(tokio::spawn(async move {
            let mut file = tokio::fs::File::create(path).await?;
            tokio::io::copy(&mut from, &mut file).await
        }));
    }

    /// Returns the reason if `up` has exited.
    pub(super) fn has_ended(&mut self) -> Option<String> {
        match self.up.as_mut()?.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Returns the processes of the services in the order of their names, replicas in the order of
    /// their ids. A service that is being restarted is missing.
    pub(super) fn processes(&self) -> io::Result<BTreeSet<(String, u32)>> {
        let Some(up) = self.up.as_ref().and_then(Child::id) else {
            return Ok(BTreeSet::new());
        };
        let mut found = BTreeSet::new();
        for task in fs::read_dir(format!("/proc/{up}/task"))? {
            let children = fs::read_to_string(task?.path().join("children"))?;
            for id in children.split_whitespace().filter_map(|id| id.parse().ok()) {
                // A child may have exited since.
                let Ok(line) = fs::read_to_string(format!("/proc/{id}/cmdline")) else {
                    continue;
                };
                let mut arguments = line.split('\0').skip_while(|argument| *argument != "serve");
                let name =
                    arguments.find(|argument| *argument != "serve" && !argument.starts_with("--"));
                found.extend(name.map(|name| (name.to_owned(), id)));
            }
        }
        Ok(found)
    }

    /// Stops all services.
    pub(super) async fn stop(&mut self) -> Result<(), String> {
        let Some(mut up) = self.up.take() else {
            return Ok(());
        };
        if let Some(id) = up.id() {
            signal("TERM", id).await?;
        }
        let ended = timeout(TIMEOUT, up.wait()).await;
        for task in self.output.drain(..) {
            // The files are complete when the process has exited; their errors concern no service.
            let _ = task.await;
        }
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("`fibpro up` did not stop cleanly: {status}")),
            Ok(Err(error)) => Err(format!("cannot wait for `fibpro up`: {error}")),
            Err(_) => {
                let killed = up.kill().await;
                let killed = killed.map_or_else(|error| error.to_string(), |()| "killed".into());
                let seconds = TIMEOUT.as_secs();
                Err(format!(
                    "`fibpro up` did not stop within {seconds} s: {killed}"
                ))
            }
        }
    }

    /// Keeps the folder after the run.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// Removes the folder.
    pub(super) fn remove(&mut self) -> Result<(), String> {
        self.unmount();
        self.keep = true;
        fs::remove_dir_all(&self.folder)
            .map_err(|error| format!("cannot remove {}: {error}", self.folder.display()))
    }

    fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            let unmounted = std::process::Command::new("umount")
                .arg(self.folder.join("data"))
                .status();
            if !unmounted
                .as_ref()
                .is_ok_and(std::process::ExitStatus::success)
            {
                let folder = self.folder.join("data");
                fibpro::process::print_note(format_args!(
                    "cannot unmount {}: {unmounted:?}",
                    folder.display()
                ));
            }
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // A kept memory disk stays mounted, since its files are the evidence.
        if !self.keep {
            self.unmount();
            // The reason for the early end is reported; what remains is a temporary folder.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

async fn read_banner(
    stdout: &mut BufReader<tokio::process::ChildStdout>,
) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.starts_with("Ctrl-C ") {
            return Ok(lines);
        }
        lines.push(line.trim().to_owned());
    }
}

/// Sends a signal, such as `KILL`, to a process.
pub(super) async fn signal(name: &str, id: u32) -> Result<(), String> {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .stderr(Stdio::null())
        .status()
        .await
        .map_err(|error| format!("cannot run `kill`: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("process {id} has exited"))
    }
}
