//! Parses the URL of the users' database.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use rpc_runtime::{Code, Error};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

/// Characters of a path that are escaped in a URL.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// The database of the users: `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`. In both,
/// `%20` is a space.
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
    /// Returns the URL of an SQLite file, such as `sqlite:///data/my%20users.sqlite`.
    #[must_use]
    pub fn file_url(path: &Path) -> String {
        let path = percent_encode(path.as_os_str().as_bytes(), ESCAPED);
        format!("sqlite://{path}")
    }

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
                if path.is_empty() || path == ":memory:" || path.contains(['?', '#']) {
                    return Err(invalid(concat!(
                        "`sqlite://` must be followed by the path of a file, without options; ",
                        "in a path write `?` as `%3F` and `#` as `%23`"
                    )));
                }
                sqlite_path(path).map(Self::file)
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

/// Decodes the path of a URL: `%20` is a space.
fn sqlite_path(text: &str) -> Result<PathBuf, Error> {
    // A `%` before other characters than two digits is itself.
    let bytes: Vec<u8> = percent_decode(text.as_bytes()).collect();
    if bytes.contains(&0) {
        return Err(invalid("the path must not contain `%00`"));
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    // A database that was made by this name would be replaced by an empty one.
    if path != Path::new(text) && !path.exists() && Path::new(text).exists() {
        return Err(invalid(
            "`%` and two digits in a path are one character: write the `%` in the name of the file as `%25`",
        ));
    }
    Ok(path)
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
    fn a_path_of_any_characters_has_a_url() {
        for (path, url) in [
            ("/d ?#%20x/a", "sqlite:///d%20%3F%23%2520x/a"),
            ("a+b&c=d;e", "sqlite://a%2Bb%26c%3Dd%3Be"),
            ("/Zürich/'\"`\\\n", "sqlite:///Z%C3%BCrich/%27%22%60%5C%0A"),
            ("/a/100%", "sqlite:///a/100%25"),
            (":memory:", "sqlite://%3Amemory%3A"),
        ] {
            assert_eq!(Database::file_url(Path::new(path)), url);
            let Database::Sqlite(options) = url.parse().unwrap() else {
                panic!("{url}");
            };
            assert_eq!(options.get_filename(), Path::new(path));
        }
        // Not escapes.
        for path in ["/a/100%", "/a/%zz", "/a/%+1b", "/a/%é"] {
            let Database::Sqlite(options) = format!("sqlite://{path}").parse().unwrap() else {
                panic!("{path}");
            };
            assert_eq!(options.get_filename(), Path::new(path));
        }
        let nul = "sqlite:///a%00b".parse::<Database>().unwrap_err();
        assert!(nul.message().contains("%00"), "{nul}");
    }

    /// A file with such a name could be opened before escapes were decoded.
    #[test]
    fn a_file_named_like_an_escape_is_not_mistaken() {
        let name = format!("fibpro-url-{}%20x", std::process::id());
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, "").unwrap();
        let error = format!("sqlite://{}", file.display()).parse::<Database>();
        let url = Database::file_url(&file);
        std::fs::remove_file(&file).unwrap();
        assert!(error.unwrap_err().message().contains("`%25`"));
        let Database::Sqlite(options) = url.parse().unwrap() else {
            panic!("{url}");
        };
        assert_eq!(options.get_filename(), file);
    }

    #[test]
    fn errors_do_not_contain_the_invalid_url() {
        for url in [
            "",
            "users.sqlite",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://users.sqlite?canary=1",
            "sqlite://users.sqlite#canary",
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
