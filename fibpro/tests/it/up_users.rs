//! Many users at the first start of `fibpro up`.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use fibpro::service::userstore::{Database, UserList, Users};
use rpc_tests::raw::{Raw, request};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::process::Folder;
use crate::up::Up;
use crate::userstore::fixture::{Engine, Fixture, audit, count, list_of, runtime};
use crate::userstore::starts::{USERS, interrupt};

/// Adds all but the last four users cheaply, and leaves the database as an interrupted start does.
/// `up` hashes the rest at the cost of production, which would take minutes for all of them.
async fn add_most(fixture: &Fixture, data: &Path, list: &str) {
    let mut folder = std::fs::DirBuilder::new();
    folder.mode(0o700).create(data).unwrap();
    let database = Database::file(data.join("users.sqlite"));
    interrupt(&database, list, 90).await;
    let Database::Sqlite(options) = &database else {
        panic!("{database:?}");
    };
    let mut connection = options.connect().await.unwrap();
    let begun = sqlx::query_scalar("SELECT list FROM import");
    let begun: String = begun.fetch_one(&mut connection).await.unwrap();
    let all = UserList::parse(list).unwrap();
    let users = Users::open_with(&database, all, fixture.settings())
        .await
        .unwrap();
    users.close().await.unwrap();
    assert_eq!(count(&database, USERS).await, 2500);
    for sql in [
        "DELETE FROM ledger WHERE username > 'u2495' AND username < 'u25'",
        "DELETE FROM users WHERE username > 'u2495' AND username < 'u25'",
    ] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    let insert = sqlx::query("INSERT INTO import (id, list) VALUES (1, ?)").bind(begun);
    insert.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(count(&database, USERS).await, 2496);
}

#[test]
fn up_adds_2500_users_before_its_services_start() {
    let (folder, list) = (Folder::new(), list_of(2500));
    let users = folder.file("users.json");
    std::fs::write(&users, &list).unwrap();
    // The clock of the interrupted start blocks a thread.
    let threads = tokio::runtime::Runtime::new().unwrap();
    threads.block_on(async {
        let fixture = Fixture::new(Engine::Sqlite).await.unwrap();
        add_most(&fixture, &folder.file("data"), &list).await;
    });
    let arguments = ["--processes", "--users", users.to_str().unwrap()];
    let up = Up::start_in(folder, &arguments);
    let shop = up.url("gatekeeper").strip_prefix("http://").unwrap();
    runtime().block_on(async {
        // u2499:p
        let lines = [("authorization", "Basic dTI0OTk6cA==")];
        let mut raw = Raw::connect(shop.parse().unwrap()).await;
        let response = raw.ask(request("GET", "/10", &lines, b"")).await;
        assert_eq!((response.status, &*response.body), (200, &b"55"[..]));
    });
    let (ended, folder) = up.stop();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("restart"), "{ended:?}");
    let database = Database::file(folder.file("data").join("users.sqlite"));
    runtime().block_on(async {
        assert_eq!(count(&database, USERS).await, 2500);
        audit(&database).await;
    });
}
