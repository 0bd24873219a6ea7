//! A private PostgreSQL for the test process: a folder, a Unix socket in it, no TCP port.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use fibpro::service::userstore::Database;

use crate::process::{POLL, POLLS, is_root, output};

/// Ends the server when the test process ends in any way: the shell waits for the end of its stdin.
/// A line `SIGNAL` restarts the server with this signal.
const WATCH: &str = r#"
"$1/initdb" -D "$2/data" -U postgres -A trust --no-sync -E UTF8 --locale=C >"$2/log" 2>&1 || exit 1
start() {
    "$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c max_connections=200 >>"$2/log" 2>&1 &
    server=$!
}
start "$@"
while read -r signal; do
    kill "-$signal" "$server"
    wait "$server"
    start "$@"
done
kill -INT "$server"
wait "$server"
rm -rf "$2"
"#;

static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(|| Cluster::start("shared"));

/// A server of PostgreSQL.
pub(crate) struct Cluster {
    folder: PathBuf,
    /// Keeps the server running while it is open.
    shell: Mutex<Child>,
}

/// Creates a database. Returns `None`, and prints why, where PostgreSQL is not installed.
pub(crate) async fn database(name: &str) -> Option<Database> {
    let cluster = CLUSTER.as_ref()?;
    super::fixture::execute(
        &cluster.database("postgres"),
        &format!("CREATE DATABASE {name}"),
    )
    .await;
    Some(cluster.database(name))
}

impl Cluster {
    /// Starts a server. Returns `None`, and prints why, where PostgreSQL is not installed.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let Some(programs) = programs() else {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: PostgreSQL is not installed here (apt-get install postgresql-15)"
            );
            return None;
        };
        // Accessible to the user who runs the server; this is `postgres` where the tests run as
        // root.
        let folder = std::env::temp_dir().join(format!("fibpro-pg-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut child = shell_for(&folder)
            .args(["-c", WATCH, "sh"])
            .arg(&programs)
            .arg(&folder)
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ready = |folder: &Path| {
            let mut command = Command::new(programs.join("pg_isready"));
            command.arg("-q").arg("-h").arg(folder);
            command.status().unwrap().success()
        };
        let mut polls = 0;
        while !ready(&folder) {
            polls += 1;
            if child.try_wait().unwrap().is_some() || polls > POLLS {
                let mut log = String::new();
                let _ = std::fs::File::open(folder.join("log"))
                    .and_then(|mut file| file.read_to_string(&mut log));
                panic!("PostgreSQL did not start: {log}");
            }
            #[allow(
                clippy::disallowed_methods,
                reason = "PostgreSQL sends no event when it is ready"
            )]
            std::thread::sleep(POLL);
        }
        Some(Self {
            folder,
            shell: Mutex::new(child),
        })
    }

    /// Starts PgBouncer before the server, and returns the database behind it. Returns `None`, and
    /// prints why, where PgBouncer is not installed.
    pub(crate) fn pooler(&self, database: &str, settings: &str) -> Option<Pooler> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if output(Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin command -v pgbouncer"]))
            .stdout
            .is_empty()
        {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: PgBouncer is not installed here (apt-get install pgbouncer)"
            );
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("pooler{number}"));
        std::fs::create_dir(&folder).unwrap();
        let socket = folder.display();
        let (server, file) = (self.folder.display(), folder.join("pgbouncer.ini"));
        let text = format!(
            "[databases]\n{database} = host={server} user=postgres {settings}\n\
             unix_socket_dir = {socket}\nlisten_addr =\nauth_type = any\nlogfile = {socket}/log\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut shell = shell_for(&folder);
        // Ends with its stdin, as the server does.
        let watch = "PATH=$PATH:/usr/sbin; pgbouncer -q \"$1\" 2>/dev/null & pooler=$!; read -r _; kill -INT $pooler";
        shell
            .args(["-c", watch, "sh"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let shell = shell.spawn().unwrap();
        let url = format!("postgres://postgres@localhost:6432/{database}?host={socket}");
        let pooler = Pooler {
            _shell: shell,
            folder,
            database: url.parse().unwrap(),
        };
        Some(pooler)
    }

    /// Restarts the server: with `INT` it tells its sessions (57P01), with `QUIT` it ends them at
    /// once (57P02). Returns when the signal is sent.
    pub(crate) fn restart(&self, signal: &str) {
        let mut shell = self.shell.lock().unwrap();
        writeln!(shell.stdin.as_mut().unwrap(), "{signal}").unwrap();
    }

    pub(crate) fn database(&self, name: &str) -> Database {
        self.database_as("postgres", name)
    }

    /// Returns a database, opened by this role.
    pub(crate) fn database_as(&self, role: &str, name: &str) -> Database {
        let url = format!(
            "postgres://{role}@localhost/{name}?host={}",
            self.folder.display()
        );
        url.parse().unwrap()
    }
}

/// A running PgBouncer. It ends when this is dropped.
pub(crate) struct Pooler {
    /// Keeps it running while its stdin is open.
    _shell: Child,
    folder: PathBuf,
    pub(crate) database: Database,
}

impl Pooler {
    pub(crate) async fn ready(&self) {
        let socket = self.folder.join(".s.PGSQL.6432");
        rpc_tests::wait::until(async || socket.exists()).await;
    }
}

/// Returns a shell of a user that PostgreSQL accepts, and gives the folder to that user: `postgres`
/// where the tests run as root.
fn shell_for(folder: &Path) -> Command {
    if !is_root() {
        return Command::new("sh");
    }
    let mut owner = Command::new("chown");
    owner.args(["-R", "postgres"]).arg(folder);
    assert!(owner.status().unwrap().success());
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--", "sh"]);
    command
}

/// Returns the folder with the programs of the newest installed version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.map(|entry| entry.unwrap().path().join("bin"));
    let on_path = std::env::var_os("PATH")?;
    folders
        .chain(std::env::split_paths(&on_path))
        .filter(|folder| folder.join("initdb").is_file() && folder.join("pg_isready").is_file())
        .max()
}
