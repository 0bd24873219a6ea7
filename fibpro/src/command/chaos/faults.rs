//! The faults: their choice by the seed, what they need of the machine, and their injection.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use fibpro::process::print_note;
use tokio::process::Command;
use tokio::time::sleep;

use super::system::{System, signal};

/// Size of the memory disk that is filled. The data of an hour is smaller.
const DISK: &str = "size=512m,mode=0700";

/// Shifts of the clock: within and beyond the validity of signatures and reservations.
const SHIFTS: [&str; 6] = ["+20s", "-20s", "+120s", "-120s", "+1d", "-1d"];

/// The text for a clock that is right.
const NO_SHIFT: &str = "+0s";

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum FaultKind {
    /// SIGKILL to one service
    Kill,
    /// SIGSTOP to one service, and SIGCONT up to 3 s later
    Stop,
    /// The clock of all services jumps, and back up to 4 s later
    Clock,
    /// The disk of the data folder is full for up to 3 s
    Disk,
    /// A database is renamed for up to 2 s, or the spool of a service is removed
    Files,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Files => "files",
        })
    }
}

/// The faults of a run.
pub(super) struct Faults {
    rng: fastrand::Rng,
    kinds: Vec<FaultKind>,
    left_out: Vec<(FaultKind, String)>,
    injected: BTreeMap<FaultKind, u32>,
    /// Faults whose service had just exited.
    missed: u32,
}

impl Faults {
    /// Selects kinds of faults; all of them if none is given.
    pub(super) fn new(seed: u64, selected: &[FaultKind]) -> Self {
        let all = FaultKind::value_variants();
        let is_selected = |kind: &FaultKind| selected.is_empty() || selected.contains(kind);
        let mut faults = Self {
            rng: fastrand::Rng::with_seed(seed),
            kinds: all.iter().copied().filter(is_selected).collect(),
            left_out: Vec::new(),
            injected: BTreeMap::new(),
            missed: 0,
        };
        if !Path::new("/proc/self/task").exists() {
            faults.leave_out(FaultKind::Kill, "it needs /proc to find the processes");
            faults.leave_out(FaultKind::Stop, "it needs /proc to find the processes");
        }
        faults
    }

    fn leave_out(&mut self, kind: FaultKind, why: impl Into<String>) {
        if self.kinds.contains(&kind) {
            self.kinds.retain(|known| *known != kind);
            self.left_out.push((kind, why.into()));
        }
    }

    /// Mounts a memory disk of limited size on the data folder. Returns whether it is mounted.
    pub(super) async fn prepare_disk(&mut self, data: &Path) -> bool {
        if !self.kinds.contains(&FaultKind::Disk) {
            return false;
        }
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", DISK, "fibpro-chaos"])
            .arg(data);
        match mount.output().await {
            Ok(output) if output.status.success() => true,
            Ok(output) => {
                let error = String::from_utf8_lossy(&output.stderr);
                self.leave_out(
                    FaultKind::Disk,
                    format!("a memory disk cannot be mounted: {}", error.trim()),
                );
                false
            }
            Err(error) => {
                self.leave_out(FaultKind::Disk, format!("cannot run `mount`: {error}"));
                false
            }
        }
    }

    /// Finds the library that shifts the clock of a process. `file` will hold the shift.
    pub(super) async fn prepare_clock(&mut self, file: &Path) -> Option<PathBuf> {
        if !self.kinds.contains(&FaultKind::Clock) {
            return None;
        }
        let Some(library) = faketime() else {
            self.leave_out(
                FaultKind::Clock,
                "libfaketime is missing: install the package faketime",
            );
            return None;
        };
        match shifts_clocks(&library, file).await {
            Ok(true) => Some(library),
            Ok(false) => {
                self.leave_out(FaultKind::Clock, "libfaketime shifts no clock here");
                None
            }
            Err(error) => {
                self.leave_out(FaultKind::Clock, format!("libfaketime fails: {error}"));
                None
            }
        }
    }

    pub(super) fn left_out(&self) -> impl Iterator<Item = (FaultKind, &str)> {
        self.left_out
            .iter()
            .map(|(kind, why)| (*kind, why.as_str()))
    }

    pub(super) fn kinds_text(&self) -> String {
        if self.kinds.is_empty() {
            return "none".to_owned();
        }
        let kinds = self.kinds.iter().map(FaultKind::to_string);
        kinds.collect::<Vec<_>>().join(", ")
    }

    /// Returns the injected faults by kind, such as `faults: 3 kill, 1 stop`.
    pub(super) fn summary(&self) -> String {
        let counts = self.injected.iter();
        let counts = counts.map(|(kind, count)| format!("{count} {kind}"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "faults: {}",
            if counts.is_empty() { "none" } else { &counts }
        );
        if self.missed > 0 {
            text += &format!("; {} found no process", self.missed);
        }
        for (kind, why) in &self.left_out {
            text += &format!("\nleft out: {kind} ({why})");
        }
        text
    }

    /// Returns the delay before the next fault.
    pub(super) fn pause(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(200..1500))
    }

    /// Injects a fault, and ends it.
    pub(super) async fn inject_one(&mut self, system: &System) {
        let Some(kind) = self.rng.choice(self.kinds.iter().copied()) else {
            return;
        };
        let outcome = match kind {
            FaultKind::Kill => self.kill(system).await,
            FaultKind::Stop => self.stop(system).await,
            FaultKind::Clock => self.shift_clock(system).await,
            FaultKind::Disk => self.fill_disk(system).await,
            FaultKind::Files => self.move_files(system).await,
        };
        match outcome {
            Ok(()) => *self.injected.entry(kind).or_default() += 1,
            Err(error) => {
                print_note(format_args!("{kind} was not injected: {error}"));
                self.missed += 1;
            }
        }
    }

    fn process(&mut self, system: &System) -> Result<u32, String> {
        let processes = system
            .processes()
            .map_err(|error| format!("cannot list the processes: {error}"))?;
        let chosen = self.rng.choice(processes);
        chosen
            .map(|(_, id)| id)
            .ok_or_else(|| "no service runs".to_owned())
    }

    async fn kill(&mut self, system: &System) -> Result<(), String> {
        signal("KILL", self.process(system)?).await
    }

    async fn stop(&mut self, system: &System) -> Result<(), String> {
        let id = self.process(system)?;
        let time = self.rng.u64(100..3000);
        signal("STOP", id).await?;
        sleep(Duration::from_millis(time)).await;
        signal("CONT", id).await
    }

    async fn shift_clock(&mut self, system: &System) -> Result<(), String> {
        let shift = *self.rng.choice(&SHIFTS).unwrap_or(&NO_SHIFT);
        // The services read the file once a second.
        let time = Duration::from_millis(self.rng.u64(1200..4000));
        let write = |shift: &str| replace(&system.clock(), shift).map_err(|e| e.to_string());
        write(shift)?;
        sleep(time).await;
        write(NO_SHIFT)
    }

    async fn fill_disk(&mut self, system: &System) -> Result<(), String> {
        let time = Duration::from_millis(self.rng.u64(300..3000));
        let filler = system.data("filler");
        let full = tokio::task::spawn_blocking({
            let filler = filler.clone();
            move || fill(&filler)
        });
        let full = full.await.map_err(|error| error.to_string())?;
        if full.is_ok() {
            sleep(time).await;
        }
        fs::remove_file(&filler).map_err(|error| error.to_string())?;
        full.map_err(|error| error.to_string())
    }

    async fn move_files(&mut self, system: &System) -> Result<(), String> {
        let time = Duration::from_millis(self.rng.u64(100..2000));
        let spooled = [
            "userstore",
            "pricing",
            "pricing-2",
            "controller",
            "gatekeeper",
        ];
        let name = match self.rng.u8(..3) {
            0 => "users.sqlite",
            1 => "logs.sqlite",
            _ => {
                let service = self.rng.choice(spooled).unwrap_or("pricing");
                let spool = system.data("log-spool").join(service);
                return fs::remove_dir_all(spool).map_err(|error| error.to_string());
            }
        };
        let (file, away) = (system.data(name), system.data(&format!("{name}.away")));
        fs::rename(&file, &away).map_err(|error| error.to_string())?;
        sleep(time).await;
        fs::rename(&away, &file).map_err(|error| error.to_string())
    }
}

/// Returns the path of libfaketime where Debian, Fedora and Arch install it.
fn faketime() -> Option<PathBuf> {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let below = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok());
    let below = below.flat_map(|entries| entries.flatten().map(|entry| entry.path()));
    let all = folders.iter().cloned().chain(below);
    all.map(|folder| folder.join("faketime/libfaketime.so.1"))
        .find(|library| library.exists())
}

/// Returns whether a process with the library sees a shifted clock. Leaves the file without a
/// shift.
async fn shifts_clocks(library: &Path, file: &Path) -> io::Result<bool> {
    replace(file, "+1d")?;
    let mut date = Command::new("date");
    date.arg("+%s")
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", file);
    let output = date.output().await?;
    replace(file, NO_SHIFT)?;
    let shown: Option<i64> = String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    let now = jiff::Timestamp::now().as_second();
    Ok(shown.is_some_and(|shown| (shown - now - 86_400).abs() < 600))
}

/// Replaces the file at once, since other processes read it.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, format!("{text}\n"))?;
    fs::rename(new, file)
}

/// Writes a file until the disk is full.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let block = vec![0; 64 << 10];
    let mut size = block.len();
    loop {
        match file.write(&block[..size]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull && size == 1 => return Ok(()),
            // The last free bytes are filled by smaller writes.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => size /= 2,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_faults() {
        let kinds = |seed| {
            let mut faults = Faults::new(seed, &[]);
            let next = |_| faults.rng.choice(faults.kinds.iter().copied());
            (0..20).map(next).collect::<Vec<_>>()
        };
        assert_eq!(kinds(7), kinds(7));
        assert_ne!(kinds(7), kinds(8));
    }

    #[test]
    fn a_kind_that_is_left_out_is_stated() {
        let mut faults = Faults::new(1, &[FaultKind::Disk, FaultKind::Kill]);
        faults.leave_out(FaultKind::Disk, "no right to mount");
        faults.leave_out(FaultKind::Clock, "not selected");
        assert_eq!(faults.kinds_text(), "kill");
        assert_eq!(
            faults.summary(),
            "faults: none\nleft out: disk (no right to mount)"
        );
    }
}
