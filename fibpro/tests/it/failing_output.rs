//! `fibpro up` with an output that fails for some time: the log goes on, the store has all of it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use rpc_runtime::testing::Process;

use crate::process::{Folder, close, command, fibpro, make_pipe, start};
use crate::store::disk::Disk;
use crate::up::{ask, until};

/// An output that the test takes away and gives back.
trait Output {
    /// The path that standard output is redirected to.
    fn path(&self) -> &Path;

    /// Waits until a line with this text is printed, and returns everything printed since the
    /// start.
    fn wait_for(&mut self, text: &str) -> String;

    fn take_away(&mut self);

    fn give_back(&mut self);
}

/// A pipe whose reader leaves and comes back.
struct Pipe {
    path: PathBuf,
    reader: Option<BufReader<File>>,
    text: String,
}

impl Pipe {
    fn new(folder: &Folder) -> Self {
        let path = folder.file("pipe");
        make_pipe(&path);
        Self {
            path,
            reader: None,
            text: String::new(),
        }
    }
}

impl Output for Pipe {
    fn path(&self) -> &Path {
        &self.path
    }

    fn wait_for(&mut self, text: &str) -> String {
        let path = &self.path;
        // Opening waits for the writer.
        let reader = self
            .reader
            .get_or_insert_with(|| BufReader::new(File::open(path).unwrap()));
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(
                reader.read_line(&mut line).unwrap(),
                0,
                "{text}: {}",
                self.text
            );
            self.text.push_str(&line);
        }
        self.text.clone()
    }

    fn take_away(&mut self) {
        close(self.reader.take());
    }

    fn give_back(&mut self) {
        self.reader = Some(BufReader::new(File::open(&self.path).unwrap()));
    }
}

/// A file on a disk that is full for some time.
struct FileOnDisk {
    disk: Disk,
    path: PathBuf,
}

impl FileOnDisk {
    fn new(disk: Disk) -> Self {
        let path = disk.0.file("out");
        Self { disk, path }
    }
}

impl Output for FileOnDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn wait_for(&mut self, text: &str) -> String {
        let read = || std::fs::read_to_string(&self.path).unwrap_or_default();
        until(text, || read().contains(text));
        read()
    }

    fn take_away(&mut self) {
        let mut ballast = File::create(self.disk.0.file("ballast")).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
        // The rest of the last page of the output is still free.
        let mut out = File::options().append(true).open(&self.path).unwrap();
        while out.write_all(b"-").is_ok() {}
    }

    fn give_back(&mut self) {
        std::fs::remove_file(self.disk.0.file("ballast")).unwrap();
    }
}

/// `fibpro up` with its output redirected.
struct Up {
    process: Process,
    key: String,
    banner: String,
}

impl Up {
    fn start(folder: &Folder, arguments: &[&str], out: &mut dyn Output) -> Self {
        let data = folder.file("data");
        let script = r#"out="$1"; shift; exec "$0" up --base-port 0 "$@" >> "$out""#;
        let mut command = command("sh", &["-c", script, env!("CARGO_BIN_EXE_fibpro")]);
        command
            .arg(out.path())
            .arg("--data-dir")
            .arg(&data)
            .args(arguments);
        let process = start(&mut command);
        let banner = out.wait_for("Ctrl-C stops all");
        let key = data.join("identity.key").to_str().unwrap().to_owned();
        Self {
            process,
            key,
            banner,
        }
    }

    fn url(&self, service: &str) -> &str {
        let mut lines = self.banner.lines();
        let line = lines.find(|line| line.trim_start().starts_with(service));
        line.unwrap().split_whitespace().nth(1).unwrap()
    }

    /// Logs a text by hand, and buys a number, which logs as well.
    fn log(&self, text: &str) {
        let to = self.url("logsink");
        let logged = fibpro(&["log", text, "--to", to, "--identity-key-file", &self.key]);
        assert_eq!(logged.stdout, "accepted\n", "{logged:?}");
        let sold = ask(self.url("gatekeeper"), "/1");
        assert!(sold.starts_with("HTTP/1.1 200 "), "{sold}");
    }

    /// Waits until the store has as many purchases, and returns the texts of all its records.
    fn stored(&self, purchases: usize) -> String {
        let to = self.url("logsink");
        let mut stdout = String::new();
        until("the purchases are stored", || {
            let key = ["--identity-key-file", &self.key];
            stdout = fibpro(&[&["logs", "--to", to][..], &key].concat()).stdout;
            stdout.matches("used 1 credit").count() == purchases
        });
        stdout
    }
}

fn the_log_goes_on(folder: &Folder, mode: &[&str], failure: &str, out: &mut dyn Output) {
    let mut up = Up::start(folder, mode, out);
    up.log("before");
    out.wait_for(" before\n".trim_end());
    up.stored(1);
    out.take_away();
    up.log("meanwhile");
    up.process.wait_for_stderr(failure).unwrap();
    let stored = up.stored(2);
    assert!(
        stored.contains(" before\n") && stored.contains(" meanwhile\n"),
        "{stored}"
    );
    out.give_back();
    up.log("afterwards");
    let printed = out.wait_for(" afterwards");
    up.process.wait_for_stderr("again").unwrap();
    let stored = up.stored(3);
    for text in ["before", "afterwards"] {
        assert_eq!(
            printed.matches(&format!(" {text}\n")).count(),
            1,
            "{printed}"
        );
    }
    assert!(!printed.contains(" meanwhile"), "{printed}");
    for text in ["before", "meanwhile", "afterwards"] {
        assert_eq!(stored.matches(&format!(" {text}\n")).count(), 1, "{stored}");
    }
    up.process.terminate().unwrap();
    // The last records are printed while it stops.
    let ended = up.process.wait().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

/// The line on stderr: of the log sink in this process, and of the process that forwards its
/// output.
const MODES: [(&[&str], &str); 2] = [
    (&[], "cannot write log lines: they are skipped"),
    (&["--processes"], "cannot write the log to standard output"),
];

#[test]
fn a_pipe_whose_reader_leaves_and_returns() {
    for (mode, failure) in MODES {
        let folder = Folder::new();
        the_log_goes_on(&folder, mode, failure, &mut Pipe::new(&folder));
    }
}

#[test]
fn a_disk_that_is_full_for_some_time() {
    for (mode, failure) in MODES {
        let disk = match Disk::new("size=1m") {
            Ok(disk) => disk,
            Err(why) => {
                eprintln!("skipped: run as root to mount a disk: {why}");
                return;
            }
        };
        the_log_goes_on(&Folder::new(), mode, failure, &mut FileOnDisk::new(disk));
    }
}

/// An output that never works.
#[test]
fn a_device_that_is_always_full() {
    let folder = Folder::new();
    let full = Path::new("/dev/full");
    if !full.exists() {
        eprintln!("skipped: this system has no /dev/full");
        return;
    }
    for (mode, _) in MODES {
        let data = folder.file("data");
        let mut command = command(
            "sh",
            &["-c", r#"exec "$0" up --base-port 0 "$@" > /dev/full"#],
        );
        command
            .arg(env!("CARGO_BIN_EXE_fibpro"))
            .arg("--data-dir")
            .arg(&data)
            .args(mode);
        let mut process = start(&mut command);
        process
            .wait_for_stderr("cannot write to standard output: ")
            .unwrap();
        process.terminate().unwrap();
        let ended = process.wait().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }
}

/// A reader that stops, such as a pager, must not keep the system from stopping.
#[test]
fn an_output_that_is_not_read_delays_no_stop() {
    let folder = Folder::new();
    let mut out = Pipe::new(&folder);
    let mut up = Up::start(&folder, &["--processes"], &mut out);
    let to = up.url("logsink").to_owned();
    let text = "x".repeat(60 << 10);
    // The first one fills the pipe, the second one waits in that of the log sink.
    for _ in 0..2 {
        let logged = fibpro(&["log", &text, "--to", &to, "--identity-key-file", &up.key]);
        assert_eq!(logged.stdout, "accepted\n", "{logged:?}");
    }
    up.process.terminate().unwrap();
    let ended = up.process.wait().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let said = "standard output takes no more of the log of logsink";
    assert!(ended.stderr.contains(said), "{ended:?}");
    assert!(out.reader.is_some());
}

/// Returns a pipe that is full and not read, as a terminal is after Ctrl-S.
#[cfg(target_os = "linux")]
fn full_pipe(folder: &Folder) -> (PathBuf, File) {
    use std::os::unix::fs::OpenOptionsExt as _;

    /// `O_NONBLOCK` of Linux.
    const NONBLOCK: i32 = 0o4000;

    let path = folder.file("full");
    make_pipe(&path);
    let mut pipe = File::options()
        .read(true)
        .write(true)
        .custom_flags(NONBLOCK)
        .open(&path)
        .unwrap();
    while pipe.write_all(&[b'.'; 512]).is_ok() {}
    while pipe.write_all(b".").is_ok() {}
    (path, pipe)
}

#[cfg(target_os = "linux")]
#[test]
fn a_blocked_output_delays_neither_records_nor_end() {
    for (mode, _) in MODES {
        let folder = Folder::new();
        let (path, _pipe) = full_pipe(&folder);
        let data = folder.file("data");
        let script = r#"out="$1"; shift; exec "$0" up --unix --base-port 0 "$@" > "$out" 2>&1"#;
        let mut command = command("sh", &["-c", script, env!("CARGO_BIN_EXE_fibpro")]);
        command.arg(&path).arg("--data-dir").arg(&data).args(mode);
        let mut up = start(&mut command);
        let key = data.join("identity.key").display().to_string();
        let to = |service: &str| format!("unix:{}", data.join(format!("{service}.sock")).display());
        let controller = to("controller");
        let status = ["status", "--to", &controller, "--identity-key-file", &key];
        until("all services run", || fibpro(&status).code == Some(0));
        let (logsink, text) = (to("logsink"), "x".repeat(20_000));
        for _ in 0..6 {
            let logged = fibpro(&["log", &text, "--to", &logsink, "--identity-key-file", &key]);
            assert_eq!(logged.stdout, "accepted\n", "{logged:?}");
        }
        up.terminate().unwrap();
        let ended = up.wait().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{mode:?}");
    }
}
