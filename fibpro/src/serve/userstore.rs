//! The user store.

use std::convert::Infallible;
use std::path::PathBuf;

use rpc_runtime::env_option::{named, variable};
use rpc_runtime::{Result, Secret, Server, ServerOptions};

use super::{PreparedService, ServiceOptions, ShutdownTasks};
use crate::api::userstore::UserStoreServer;
use crate::endpoints::USERSTORE;
use crate::process::{caused_by, print_note};
use crate::service::userstore::{Database, Progress, Settings, UserList, Users};

/// Stores the users and their credit in a database; listens on 127.0.0.1:9003
#[derive(Debug, clap::Parser)]
#[command(version)]
#[group(skip)]
pub struct UserStoreOptions {
    #[command(flatten)]
    server: ServerOptions,

    /// Database of the users: sqlite://PATH, or postgres://USER:PASSWORD@HOST/NAME (better by the
    /// variable: other users of this machine can read command lines)
    // Parsed later, since clap would print an invalid value, which may contain a password.
    #[arg(long, env = variable("FIBPRO_DATABASE"), hide_env_values = true, value_name = "URL", default_value = "sqlite://fibpro-data/users.sqlite", value_parser = named(secret))]
    database: Secret<String>,

    /// Users of a new database: a JSON list of {"username", "password", "credit", "roles"}; by
    /// default those of the tutorial
    #[arg(long, env = variable("FIBPRO_USERS"), value_name = "FILE")]
    users: Option<PathBuf>,
}

/// Wraps a text that must not be printed.
///
/// # Errors
///
/// Never.
pub fn secret(text: &str) -> Result<Secret<String>, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

impl ServiceOptions for UserStoreOptions {
    async fn prepare(self) -> Result<PreparedService> {
        let server = Server::new("userstore")
            .listen(USERSTORE.listen_address())
            .options(self.server)
            // Within the server's context, so that the users added by the first start are logged
            // under its name.
            .start_log();
        let database = self.database.expose().parse::<Database>();
        let database =
            database.map_err(|error| caused_by("--database (FIBPRO_DATABASE)", &error))?;
        let list = match self.users {
            Some(path) => {
                UserList::read(path).map_err(|error| caused_by("--users (FIBPRO_USERS)", &error))?
            }
            None => UserList::tutorial()?,
        };
        let settings = Settings {
            // The log may not be read yet.
            progress: Progress::new(|text| print_note(text)),
            ..Settings::default()
        };
        // Within the server's context, so that its log lines have the user store's name in any
        // process.
        let opening = server
            .context()?
            .scope(Users::open_with(&database, list, settings));
        let users = opening.await?;
        let checked = users.clone();
        let server = server.ready("database", move || {
            let users = checked.clone();
            async move { users.ready().await }
        });
        Ok(PreparedService {
            server: server.add(UserStoreServer::new(users.clone())),
            closing: ShutdownTasks::userstore(users),
        })
    }

    fn server_mut(&mut self) -> &mut ServerOptions {
        &mut self.server
    }
}
