//! The flags file: what it looks like, and how it is read.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};

/// The largest flags file, in bytes: a path that leads to something else must not fill the memory.
const FILE_LIMIT: u64 = 1 << 20;

/// What was found at the path: a text, or why there is none. Two that are equal say the same.
pub(crate) type Reading = std::result::Result<String, String>;

/// A flags file as it was read.
#[derive(Debug, Clone)]
pub(crate) struct FlagsFile {
    path: PathBuf,
    text: String,
}

impl FlagsFile {
    /// # Errors
    ///
    /// `failed_precondition` when it cannot be read.
    pub(crate) fn read(path: PathBuf) -> Result<Self> {
        match read(&path) {
            Ok(text) => Ok(Self::of(path, text)),
            Err(problem) => Err(Error::without_location(Code::FailedPrecondition, problem)),
        }
    }

    pub(super) fn of(path: PathBuf, text: String) -> Self {
        Self { path, text }
    }

    /// The same file with another text.
    pub(crate) fn with_text(&self, text: String) -> Self {
        let path = self.path.clone();
        Self { path, text }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The number of each line that says something, with the name and the text of its value, or what is wrong with it.
    pub(super) fn lines(
        &self,
    ) -> impl Iterator<Item = (usize, std::result::Result<(&str, &str), String>)> {
        let last = self.text.lines().count();
        let is_whole = self.text.is_empty() || self.text.ends_with('\n');
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(move |(number, line)| {
                if number == last && !is_whole {
                    let text = "the last line does not end with a line feed, so the file may be half written";
                    return (number, Err(text.to_owned()));
                }
                let line = line.split_once('=').map(|(name, text)| (name.trim(), text.trim()));
                // Without a quote: the line may be half of a secret.
                (number, line.ok_or_else(|| "expected `name = value`".to_owned()))
            })
    }
}

/// Reads a file. Blocks.
///
/// # Errors
///
/// Why there is no text.
pub(crate) fn read(path: &Path) -> Reading {
    let shown = path.display();
    let unreadable =
        |error: std::io::Error| format!("the flags file {shown} cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(format!(
            "{shown} is no flags file: it has more than {FILE_LIMIT} bytes"
        ));
    }
    String::from_utf8(bytes).map_err(|_| format!("{shown} is no flags file: it is not UTF-8"))
}
