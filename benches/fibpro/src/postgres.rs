//! A PostgreSQL server for the benchmark: a folder with a Unix socket, no port, default durability.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// Timeout of the start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Stops when the benchmark exits for any reason: the shell waits for the end of its stdin.
const WATCH: &str = r#"
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C >"$2/log" 2>&1 || exit 1
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= >>"$2/log" 2>&1 &
server=$!
read -r end
kill -INT "$server"
wait "$server"
rm -rf "$2"
"#;

pub(crate) struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    shell: Child,
}

impl Postgres {
    /// Starts the server; returns `None` if PostgreSQL is not installed.
    pub(crate) fn start(neighbor: &Path) -> Result<Option<Self>, Failure> {
        let Some(programs) = programs() else {
            return Ok(None);
        };
        // Outside of the benchmark's folder, which may be deleted first.
        let folder = neighbor.with_extension("postgres");
        std::fs::create_dir_all(&folder)?;
        let id = Command::new("id").arg("-u").output()?;
        // PostgreSQL refuses to run as root.
        let mut command = if id.stdout.trim_ascii() == b"0" {
            Command::new("chown")
                .arg("postgres")
                .arg(&folder)
                .status()?;
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let shell = command
            .args(["-c", WATCH, "sh"])
            .arg(&programs)
            .arg(&folder)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut postgres = Self {
            folder,
            programs,
            shell,
        };
        let begun = Instant::now();
        while !postgres.run("pg_isready", &["-q"])? {
            if begun.elapsed() > START_TIMEOUT || postgres.shell.try_wait()?.is_some() {
                return Err("PostgreSQL did not start".into());
            }
        }
        Ok(Some(postgres))
    }

    /// Creates a database and returns its URL.
    pub(crate) fn database(&self, name: &str) -> Result<String, Failure> {
        if !self.run("createdb", &["-U", "postgres", name])? {
            return Err(format!("cannot create the database {name}").into());
        }
        let folder = self.folder.display();
        Ok(format!(
            "postgres://postgres@localhost/{name}?host={folder}"
        ))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<bool, Failure> {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-h").arg(&self.folder).args(arguments);
        Ok(command.stderr(Stdio::null()).status()?.success())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Returns the program folder of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<_> = std::env::split_paths(&on_path).collect();
    let complete = |folder: &PathBuf| {
        ["initdb", "postgres", "pg_isready", "createdb"]
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    folders.chain(on_path).filter(complete).max()
}
