//! The process of the user store: `cargo run -p fibpro --bin userstore`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fibpro::api::userstore::UserStoreServer;
use fibpro::process;
use fibpro::service::userstore::{Database, UserList, Users};
use rpc_runtime::{Result, Secret, Server, server};

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9003";

/// Keeps the users and their credit in a database; listens on 127.0.0.1:9003
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    server: server::Options,

    /// Where the users are kept: sqlite://PATH, or postgres://USER:PASSWORD@HOST/NAME (better by the variable: other
    /// users of this machine can read command lines)
    // Parsed later: clap would print what it cannot read, and that may have a password in it.
    #[arg(long, env = "FIBPRO_DATABASE", hide_env_values = true, value_name = "URL", default_value = "sqlite://fibpro-data/users.sqlite", value_parser = secret)]
    database: Secret<String>,

    /// Who is a user when the database has none yet: a JSON list of {"username", "password", "credit", "roles"}; without
    /// it those of the tutorial
    #[arg(long, env = "FIBPRO_USERS", value_name = "FILE")]
    users: Option<PathBuf>,
}

fn secret(text: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::new(text.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    process::exit_code(run(Options::parse()).await)
}

async fn run(options: Options) -> Result<()> {
    let server = Server::new("userstore")
        .listen(ADDRESS)
        .options(options.server)
        // The users that the first start adds are in the log, too.
        .start_log();
    let database: Database = options.database.expose().parse()?;
    let list = match options.users {
        Some(path) => UserList::read(path)?,
        None => UserList::tutorial()?,
    };
    let users = Users::open(&database, list).await?;
    let checked = users.clone();
    server
        .ready("database", move || {
            let users = checked.clone();
            async move { users.ready().await }
        })
        .add(UserStoreServer::new(users))
        .run()
        .await
}
