//! `fibpro backup` and `fibpro restore`: copies of the users' database.

use std::io::Write;
use std::path::{Path, PathBuf};

use fibpro::process::caused_by;
use fibpro::serve::userstore::secret;
use fibpro::service::userstore::{BackupSummary, Database, backup, restore};
use rpc_runtime::env_option::{named, variable};
use rpc_runtime::files::{self, FileError};
use rpc_runtime::{Code, Error, Result, Secret};

use super::CommandError;

/// Write a copy of the users' database into a new file, also while the services run
#[derive(Debug, clap::Args)]
pub(crate) struct BackupOptions {
    /// File of the copy; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    database: DatabaseOption,
}

/// Replace the users' database by a copy; the services must not run
///
/// The database that is there is renamed and not removed.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreOptions {
    /// File of the copy
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    database: DatabaseOption,
}

#[derive(Debug, clap::Args)]
struct DatabaseOption {
    /// Database of the users: sqlite://PATH
    #[arg(long, env = variable("FIBPRO_DATABASE"), hide_env_values = true, value_name = "URL", default_value = "sqlite://fibpro-data/users.sqlite", value_parser = named(secret))]
    database: Secret<String>,
}

impl DatabaseOption {
    fn parse(&self) -> Result<Database> {
        let database = self.database.expose().parse();
        database.map_err(|error| caused_by("--database (FIBPRO_DATABASE)", &error))
    }
}

pub(crate) async fn run_backup(
    options: BackupOptions,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let outcome = async {
        let database = options.database.parse()?;
        check_place(&options.file)?;
        backup(&database, &options.file).await
    };
    let content = outcome.await.map_err(|error| for_the_operator(&error))?;
    let file = options.file.display();
    writeln!(out, "{} are in {file}", counted(content)).map_err(CommandError::Output)
}

pub(crate) async fn run_restore(
    options: RestoreOptions,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let database = options
        .database
        .parse()
        .map_err(|error| for_the_operator(&error))?;
    let restored = restore(&options.file, &database).await;
    let restored = restored.map_err(|error| for_the_operator(&error))?;
    let content = counted(restored.content);
    writeln!(out, "{content} are in {database} again").map_err(CommandError::Output)?;
    if let Some(replaced) = restored.replaced {
        let replaced = replaced.display();
        writeln!(out, "the database that was there is {replaced}").map_err(CommandError::Output)?;
    }
    Ok(())
}

/// Checks that no other user can exchange the copy.
fn check_place(file: &Path) -> Result<()> {
    match files::check_file(file) {
        Err(error @ (FileError::Untrusted(_) | FileError::UntrustedFolder(..))) => {
            let text = format!("cannot write {}: {error}", file.display());
            Err(Error::new(Code::FailedPrecondition, text))
        }
        // What else is wrong is found by the copy.
        _ => Ok(()),
    }
}

fn counted(content: BackupSummary) -> String {
    let BackupSummary { users, purchases } = content;
    let plural = |count: i64| if count == 1 { "" } else { "s" };
    format!(
        "{users} user{} and {purchases} purchase{}",
        plural(users),
        plural(purchases)
    )
}

fn for_the_operator(error: &Error) -> CommandError {
    CommandError::Service(error.message().to_owned())
}
