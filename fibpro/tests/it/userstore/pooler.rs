//! A pooler between the store and PostgreSQL: it is refused at the start, with words.

use fibpro::service::userstore::{Settings, UserList, Users};
use rpc_runtime::Code;

use super::postgres::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_is_refused_at_the_start() {
    let Some(cluster) = Cluster::start("pooler") else {
        return;
    };
    // As poolers whose sessions have the settings that were requested.
    let limit = "connect_query='SET idle_in_transaction_session_timeout = ''5s'''";
    let ignoring = "ignore_startup_parameters = options";
    for (name, settings) in [
        (
            "refuses the settings",
            "\n[pgbouncer]\npool_mode = session".to_owned(),
        ),
        (
            "refuses them, and shares",
            "\n[pgbouncer]\npool_mode = transaction".to_owned(),
        ),
        (
            "ignores them",
            format!("\n[pgbouncer]\npool_mode = session\n{ignoring}"),
        ),
        (
            "ignores them, and shares",
            format!("\n[pgbouncer]\npool_mode = transaction\n{ignoring}"),
        ),
        (
            "shares",
            format!("{limit}\n[pgbouncer]\npool_mode = transaction\n{ignoring}"),
        ),
        (
            "shares statements",
            format!("{limit}\n[pgbouncer]\npool_mode = statement\n{ignoring}"),
        ),
    ] {
        let Some(pooler) = cluster.pooler("postgres", &settings) else {
            return;
        };
        pooler.ready().await;
        let opened = Users::open_with(&pooler.database, UserList::default(), Settings::default());
        let error = opened.await.unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{name}: {error}");
        assert!(
            error
                .message()
                .contains("name the PostgreSQL server itself"),
            "{name}: {error}"
        );
        assert!(
            error.message().contains(&pooler.database.to_string()),
            "{name}: {error}"
        );
    }
    // The server itself, with nothing changed in it.
    let database = cluster.database("postgres");
    let tables = "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(super::fixture::count(&database, tables).await, 0);
    Users::open_with(&database, UserList::default(), Settings::default())
        .await
        .unwrap();
}
