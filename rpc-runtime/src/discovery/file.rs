//! Addresses from a file that an operator or a tool replaces.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::poll::{Found, Outcome, poll};
use super::{Addresses, Discover, DynamicAddresses};
use crate::error::{Code, Error, Result};
use crate::files;

/// The time between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// The maximum size of the file, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// The addresses in a file, which is read again every second.
///
/// Each line is a URL such as `http://10.0.0.1:9004`. Empty lines and lines that begin with `#` are
/// left out. Replace the file atomically, by renaming a new one to its name. A file that is
/// missing, empty or has a line that is not a URL is logged, and the last addresses stay. The file
/// must not be writable by other users, who could direct the calls to a server of their own.
///
/// ```no_run
/// use rpc_runtime::{Client, discovery::FileAddresses};
///
/// # async fn example() -> rpc_runtime::Result<()> {
/// let client = Client::discover(FileAddresses::watch("/etc/shop/pricing.addresses").await?);
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FileAddresses(DynamicAddresses);

impl FileAddresses {
    /// Reads a file, and again every second on a task until the client is dropped.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if the file cannot be read or used now.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn watch(path: impl Into<PathBuf>) -> Result<Self> {
        Self::watch_every(path.into(), INTERVAL).await
    }

    /// Reads a file as [`watch`](Self::watch) does, in this interval.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn watch_every(path: impl Into<PathBuf>, interval: Duration) -> Result<Self> {
        let path = path.into();
        let first = read(path.clone()).await;
        if let Err(problem) = &first {
            return Err(Error::new(Code::FailedPrecondition, problem.clone()));
        }
        let list = DynamicAddresses::new(path.display().to_string(), Vec::<String>::new());
        poll(&list, interval, first, move || read(path.clone()));
        Ok(Self(list))
    }
}

impl Discover for FileAddresses {
    fn name(&self) -> String {
        self.0.name()
    }

    fn addresses(&self) -> Addresses {
        self.0.addresses()
    }
}

async fn read(path: PathBuf) -> Outcome {
    // A file system of the network may block.
    let read = tokio::task::spawn_blocking(move || parse(&path));
    let urls = read.await.unwrap_or_else(|error| Err(error.to_string()))?;
    Ok(Found::new(urls, None))
}

fn parse(path: &Path) -> Result<Vec<String>, String> {
    let shown = path.display();
    let text = files::read_text(path, FILE_LIMIT).map_err(|error| format!("{shown}: {error}"))?;
    let lines = text.lines().map(str::trim).enumerate();
    let mut urls = Vec::new();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        if !is_url(line) {
            let line = crate::text::public_url(line);
            return Err(format!(
                "{shown}: line {}: `{line}` is not a URL such as `http://10.0.0.1:9004`",
                index + 1
            ));
        }
        urls.push(line.to_owned());
    }
    if urls.is_empty() {
        return Err(format!("{shown}: no addresses"));
    }
    Ok(urls)
}

/// Returns whether a line looks like the URL of a server. The client checks it.
fn is_url(line: &str) -> bool {
    let rest = ["http://", "https://", "unix:/"];
    let rest = rest.iter().find_map(|scheme| line.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_servers_are_addresses() {
        for url in [
            "http://a:1",
            "https://a",
            "unix:/run/a.sock",
            "http://[::1]:1",
        ] {
            assert!(is_url(url), "{url}");
        }
        for line in [
            "",
            "a:1",
            "http://",
            "http:/a",
            "ftp://a",
            "http://a b",
            "unix:a",
            "{",
        ] {
            assert!(!is_url(line), "{line}");
        }
    }

    #[test]
    fn broken_content_is_no_list() {
        let folder = std::env::temp_dir().join(format!("rpc-addresses-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("addresses");
        for (text, outcome) in [
            ("\u{feff}# one\n\n  http://a:1  \nunix:/b\n", Ok(2)),
            ("http://a:1\nhttp://a b\n", Err("line 2: ")),
            ("", Err("no addresses")),
            ("# nothing\n", Err("no addresses")),
            ("{\"urls\": []}", Err("line 1: ")),
        ] {
            std::fs::write(&file, text).unwrap();
            match (parse(&file), outcome) {
                (Ok(urls), Ok(count)) => assert_eq!(urls.len(), count, "{text}"),
                (Err(problem), Err(part)) => assert!(problem.contains(part), "{problem}"),
                (parsed, _) => panic!("{text}: {parsed:?}"),
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(parse(&file).is_err());
    }
}
