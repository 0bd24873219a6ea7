//! Parses the URL of the users' database.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use rpc_runtime::{Code, Error};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

/// The database of the users: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`.
///
/// Prints without the password.
///
/// ```
/// use fibpro::service::userstore::Database;
///
/// let database: Database = "postgres://fibpro:hunter2@db.example:5432/users".parse()?;
/// assert_eq!(database.to_string(), "postgres://fibpro@db.example:5432/users");
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Clone)]
pub enum Database {
    /// A file. It is created if it is missing.
    Sqlite(SqliteConnectOptions),
    /// A PostgreSQL server. The named database must exist; the tables are created in it.
    Postgres(PgConnectOptions),
}

impl Database {
    /// Uses an SQLite file.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::Sqlite(SqliteConnectOptions::new().filename(path))
    }
}

/// Errors name the expected form and never quote the URL, which may contain a password.
impl FromStr for Database {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path == ":memory:" || path.contains('?') {
                    return Err(invalid(
                        "`sqlite://` must be followed by the path of a file, without options",
                    ));
                }
                Ok(Self::file(path))
            }
            "postgres" | "postgresql" if !has_known_options(url) => Err(invalid(concat!(
                "the options after `postgres://…?` must be `host`, `port`, `user`, `password`, `dbname`, `sslmode` or ",
                "`application_name`"
            ))),
            "postgres" | "postgresql" => match url.parse() {
                Ok(options) => Ok(Self::Postgres(options)),
                Err(_) => Err(invalid(
                    "`postgres://` must be followed by USER:PASSWORD@HOST:PORT/NAME; escape special characters with `%`",
                )),
            },
            _ => Err(invalid("expected `sqlite://PATH` or `postgres://…`")),
        }
    }
}

/// Returns whether sqlx knows all options of the URL. sqlx logs unknown options with their values,
/// and a misspelled `pasword` is one.
fn has_known_options(url: &str) -> bool {
    let options = url.split_once('?').map_or("", |(_, options)| options);
    let mut names = options
        .split('&')
        .filter_map(|option| option.split('=').next());
    names.all(|name| {
        matches!(
            name,
            "" | "host" | "port" | "user" | "password" | "dbname" | "sslmode" | "application_name"
        )
    })
}

#[track_caller]
fn invalid(text: &'static str) -> Error {
    Error::new(Code::InvalidArgument, format!("database: {text}"))
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(options) => write!(f, "sqlite://{}", options.get_filename().display()),
            Self::Postgres(options) => {
                write!(f, "postgres://{}@", options.get_username())?;
                match options.get_socket() {
                    Some(folder) => write!(f, "{}", folder.display())?,
                    None => f.write_str(options.get_host())?,
                }
                write!(f, ":{}", options.get_port())?;
                options
                    .get_database()
                    .map_or(Ok(()), |name| write!(f, "/{name}"))
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_print_without_password() {
        for (url, shown) in [
            (
                "sqlite:///var/lib/fibpro/users.sqlite",
                "sqlite:///var/lib/fibpro/users.sqlite",
            ),
            (
                "sqlite://fibpro-data/users.sqlite",
                "sqlite://fibpro-data/users.sqlite",
            ),
            ("sqlite:users.sqlite", "sqlite://users.sqlite"),
            ("postgres://a:canary@db/users", "postgres://a@db:5432/users"),
            (
                "postgresql://a@db:6000/users?password=canary",
                "postgres://a@db:6000/users",
            ),
            (
                "postgres://a@x/users?host=/run/pg",
                "postgres://a@/run/pg:5432/users",
            ),
        ] {
            let database: Database = url.parse().unwrap();
            assert_eq!(database.to_string(), shown);
            assert_eq!(format!("{database:?}"), shown);
        }
    }

    #[test]
    fn errors_do_not_contain_the_invalid_url() {
        for url in [
            "",
            "users.sqlite",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://users.sqlite?canary=1",
            "mysql://a:canary@db/users",
            "postgres://a:canary@db:canary/users",
            "postgres://a:canary@[db/users",
            "posgres://a:canary@db/users",
            "postgres://a@db/users?pasword=canary",
        ] {
            let error = url.parse::<Database>().unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{url}");
            assert!(
                !format!("{error:#} {error:?}").contains("canary"),
                "{error:?}"
            );
        }
    }
}
