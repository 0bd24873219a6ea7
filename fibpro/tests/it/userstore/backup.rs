//! `fibpro backup` and `fibpro restore`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fibpro::api::userstore::UserStoreClient;
use fibpro::service::userstore::{
    Argon2Cost, Database, Settings, UserList, Users, backup, restore,
};
use rpc_runtime::Code;

use super::fixture::{Engine, Fixture, Folder, audit, count, execute};
use super::program::{Program, userstore_in};
use crate::process::{Ended, command, output};

const ONE_USER: &str = r#"[{"username": "username", "password": "password", "credit": 1000000}]"#;

async fn open(path: &Path) -> (Users, UserStoreClient) {
    let settings = Settings {
        cost: Argon2Cost::TEST,
        ..Settings::default()
    };
    let list = UserList::parse(ONE_USER).unwrap();
    let users = Users::open_with(&Database::file(path), list, settings)
        .await
        .unwrap();
    (users.clone(), UserStoreClient::local(users))
}

/// Buys one credit after the other, and counts what was acknowledged.
async fn buy(store: UserStoreClient, name: u32, bought: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("{name}/{n}");
        store.reserve("username", 1, &key).await.unwrap();
        store.settle(&key).await.unwrap();
        bought.fetch_add(1, Ordering::Relaxed);
    }
}

async fn settled(path: &Path) -> u64 {
    let sql = "SELECT COUNT(*) FROM purchases WHERE state = 'settled'";
    u64::try_from(count(&Database::file(path), sql).await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_restores_what_was_acknowledged() {
    let folder = Folder::new();
    let path = folder.file("users.sqlite");
    let (users, store) = open(&path).await;
    let (bought, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut buyers = tokio::task::JoinSet::new();
    for name in 0..8 {
        buyers.spawn(buy(
            store.clone(),
            name,
            Arc::clone(&bought),
            Arc::clone(&stop),
        ));
    }
    let mut copies = Vec::new();
    for n in 0..4 {
        while bought.load(Ordering::Relaxed) < 30 * (n + 1) {
            tokio::task::yield_now().await;
        }
        let copy = folder.file(&format!("copy-{n}.sqlite"));
        let before = bought.load(Ordering::Relaxed);
        let content = backup(&Database::file(&path), &copy).await.unwrap();
        assert_eq!(content.users, 1);
        // Each buyer has at most one purchase whose response it has not counted.
        let kept = settled(&copy).await;
        let after = bought.load(Ordering::Relaxed) + 8;
        assert!((before..=after).contains(&kept), "{before} {kept} {after}");
        audit(&Database::file(&copy)).await;
        copies.push((copy, kept));
    }
    // A store that runs is not replaced below its callers.
    let error = restore(&copies[0].0, &Database::file(&path))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(
        error.message().contains("stop the user store first"),
        "{error}"
    );
    stop.store(true, Ordering::Relaxed);
    buyers.join_all().await;
    users.close().await.unwrap();
    let all = settled(&path).await;
    assert_eq!(all, bought.load(Ordering::Relaxed));

    let (copy, kept) = copies.pop().unwrap();
    let restored = restore(&copy, &Database::file(&path)).await.unwrap();
    // The newer database is still there.
    assert_eq!(settled(&restored.replaced.unwrap()).await, all);
    let (users, store) = open(&path).await;
    let credit = store.get_user("username").await.unwrap().unwrap().credit;
    assert!(credit <= 1_000_000 - kept, "{credit}");
    store.reserve("username", 1, "new").await.unwrap();
    users.close().await.unwrap();
    audit(&Database::file(&path)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_replaces_a_database_that_is_lost() {
    let folder = Folder::new();
    let path = folder.file("data/users.sqlite");
    let (users, store) = open(&path).await;
    store.set_credit("username", 5).await.unwrap();
    let copy = folder.file("copy.sqlite");
    backup(&Database::file(&path), &copy).await.unwrap();
    users.close().await.unwrap();
    for lose in [
        (|path| fs::remove_file(path).unwrap()) as fn(&Path),
        |path| fs::write(path, "").unwrap(),
        |path| fs::write(path, "no database\n".repeat(1000)).unwrap(),
    ] {
        lose(&path);
        // Left over by the database that is gone.
        fs::write(path.with_extension("sqlite-wal"), "left over").unwrap();
        restore(&copy, &Database::file(&path)).await.unwrap();
        let (users, store) = open(&path).await;
        assert_eq!(store.get_user("username").await.unwrap().unwrap().credit, 5);
        users.close().await.unwrap();
    }
    // Into a folder that does not exist yet.
    let other = folder.file("other/users.sqlite");
    let restored = restore(&copy, &Database::file(&other)).await.unwrap();
    assert_eq!((restored.content.users, restored.replaced), (1, None));
    let (_users, store) = open(&other).await;
    assert_eq!(store.get_user("username").await.unwrap().unwrap().credit, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsound_backup_restores_nothing() {
    let folder = Folder::new();
    let path = folder.file("users.sqlite");
    let (users, store) = open(&path).await;
    store.reserve("username", 1, "k").await.unwrap();
    users.close().await.unwrap();
    let good = fs::read(&path).unwrap();
    let copy = folder.file("copy.sqlite");
    for (what, damage) in [
        (
            "cannot read",
            (|copy| fs::remove_file(copy).unwrap()) as fn(&Path),
        ),
        ("is not a database", |copy| {
            fs::write(copy, "no database\n".repeat(1000)).unwrap();
        }),
        ("has no users", |copy| fs::write(copy, "").unwrap()),
        ("malformed", |copy| {
            let file = fs::File::options().write(true).open(copy).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
    ] {
        fs::write(&copy, &good).unwrap();
        damage(&copy);
        let error = restore(&copy, &Database::file(&path)).await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(error.message().contains(what), "{what}: {error}");
        assert_eq!(fs::read(&path).unwrap(), good, "{what}");
    }
    fs::write(&copy, &good).unwrap();
    execute(
        &Database::file(&copy),
        "UPDATE users SET credit = credit + 1",
    )
    .await;
    let error = restore(&copy, &Database::file(&path)).await.unwrap_err();
    assert!(
        error.message().contains("sum of the user's ledger"),
        "{error}"
    );
    // No file of a failed attempt remains.
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [".users.sqlite.store", "copy.sqlite", "users.sqlite"]
    );
}

fn fibpro(folder: &Folder, arguments: &[&str]) -> Ended {
    let mut command: Command = command(env!("CARGO_BIN_EXE_fibpro"), arguments);
    Ended::from(output(command.current_dir(folder.path())))
}

#[test]
fn the_commands_say_what_they_did() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    let start = || Program::start(userstore_in(&folder, &[]));
    let program = start();
    let reserve = r#"{"username": "developer", "amount": 1, "key": "k"}"#;
    assert_eq!(program.call("Reserve", reserve).status, 200);
    let done = fibpro(&folder, &["backup", "copy.sqlite"]);
    assert_eq!(
        done.stdout, "2 users and 1 purchase are in copy.sqlite\n",
        "{}",
        done.stderr
    );
    let mode = fs::metadata(folder.file("copy.sqlite"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = fibpro(&folder, &["backup", "copy.sqlite"]);
    assert_eq!(
        (again.code, again.stderr.as_str()),
        (
            Some(1),
            "error: copy.sqlite exists already; choose another name\n"
        )
    );
    let early = fibpro(&folder, &["restore", "copy.sqlite"]);
    assert_eq!(early.code, Some(1));
    assert!(
        early.stderr.contains("stop the user store first"),
        "{}",
        early.stderr
    );
    // After the backup.
    let reserve = r#"{"username": "developer", "amount": 1, "key": "l"}"#;
    assert_eq!(program.call("Reserve", reserve).status, 200);
    program.stop();
    let done = fibpro(&folder, &["restore", "copy.sqlite"]);
    assert_eq!(
        done.stdout,
        "2 users and 1 purchase are in sqlite://fibpro-data/users.sqlite again\n\
         the database that was there is fibpro-data/users.sqlite.replaced-1\n",
        "{}",
        done.stderr
    );
    let program = start();
    let user = program.call("GetUser", r#"{"username": "developer"}"#);
    assert_eq!(user.body["result"]["credit"], 99);
}

#[test]
fn a_backup_of_what_is_not_there_is_an_error() {
    let folder = Folder::new();
    for (arguments, text) in [
        (
            vec!["backup", "x"],
            "cannot read fibpro-data/users.sqlite: No such file",
        ),
        (vec!["restore", "x"], "cannot read x: No such file"),
        (
            vec![
                "backup",
                "x",
                "--database",
                "postgres://ada:canary@db/users",
            ],
            "postgres://ada@db:5432/users is on a PostgreSQL server, which has tools of its own: back it up with `pg_dump",
        ),
        (
            vec![
                "restore",
                "x",
                "--database",
                "postgres://ada:canary@db/users",
            ],
            "restore it with `pg_restore",
        ),
        (vec!["backup", "x", "--database", "nonsense"], "database: "),
    ] {
        let ended = fibpro(&folder, &arguments);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(1), ""),
            "{arguments:?}"
        );
        assert!(
            ended.stderr.contains(text),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
        assert!(!folder.file("x").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_has_tools_of_its_own() {
    let Some(fixture) = Fixture::new(Engine::Postgres).await else {
        return;
    };
    let folder = Folder::new();
    let error = backup(&fixture.database, &folder.file("x"))
        .await
        .unwrap_err();
    assert!(error.message().contains("pg_dump"), "{error}");
    let error = restore(&folder.file("x"), &fixture.database)
        .await
        .unwrap_err();
    assert!(error.message().contains("pg_restore"), "{error}");
}
