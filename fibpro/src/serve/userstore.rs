//! The user store.

use std::convert::Infallible;
use std::path::PathBuf;

use rpc_runtime::{Result, Secret, Server, server};

use super::{PreparedService, ServiceOptions};
use crate::api::userstore::UserStoreServer;
use crate::service::userstore::{Database, UserList, Users};

/// Where it listens unless told otherwise.
const ADDRESS: &str = "127.0.0.1:9003";

/// Keeps the users and their credit in a database; listens on 127.0.0.1:9003
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct UserStoreOptions {
    #[command(flatten)]
    server: server::ServerOptions,

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

/// Takes over a text that must not be printed.
///
/// # Errors
///
/// None.
pub fn secret(text: &str) -> Result<Secret<String>, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

impl ServiceOptions for UserStoreOptions {
    async fn prepare(self) -> Result<PreparedService> {
        let server = Server::new("userstore")
            .listen(ADDRESS)
            .options(self.server)
            // The users that the first start adds are in the log, too.
            .start_log();
        let database: Database = self.database.expose().parse()?;
        let list = match self.users {
            Some(path) => UserList::read(path)?,
            None => UserList::tutorial()?,
        };
        // Its lines are the user store's, in whatever process it runs.
        let opening = server.context()?.scope(Users::open(&database, list));
        let users = opening.await?;
        let checked = users.clone();
        let server = server.ready("database", move || {
            let users = checked.clone();
            async move { users.ready().await }
        });
        Ok(PreparedService::new(
            server.add(UserStoreServer::new(users)),
        ))
    }

    fn server_mut(&mut self) -> &mut server::ServerOptions {
        &mut self.server
    }
}
