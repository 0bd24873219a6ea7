//! Reading and parsing the flags file.

use std::path::{Path, PathBuf};

use crate::error::{Code, Error, Result};
use crate::files;

/// The maximum size of a flags file, in bytes. A wrong path must not exhaust memory.
const FILE_LIMIT: u64 = 1 << 20;

/// The result of reading the file: its text, or the error as text. Comparable, to detect changes.
pub(crate) type Reading = std::result::Result<String, String>;

/// The content of a flags file.
#[derive(Debug, Clone)]
pub(crate) struct FlagsFile {
    path: PathBuf,
    text: String,
}

impl FlagsFile {
    /// Reads a flags file.
    ///
    /// # Errors
    ///
    /// `failed_precondition` if it cannot be read.
    pub(crate) fn read(path: PathBuf) -> Result<Self> {
        match read(&path) {
            Ok(text) => Ok(Self::of(path, text)),
            Err(problem) => Err(Error::without_location(Code::FailedPrecondition, problem)),
        }
    }

    pub(crate) fn of(path: PathBuf, text: String) -> Self {
        Self { path, text }
    }

    /// Returns the same file with another text.
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

    /// Iterates over the settings: the line number, with the name and the text of the value, or the
    /// error.
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
                    let text = "the last line does not end with a line feed, so the file may be incomplete";
                    return (number, Err(text.to_owned()));
                }
                let line = line.split_once('=').map(|(name, text)| (name.trim(), text.trim()));
                // The line is not part of the error: it may contain a secret.
                let line = line.ok_or_else(|| "expected `name = value`".to_owned());
                let line = line.and_then(|(name, text)| match is_quoted(name) || is_quoted(text) {
                    true => Err("quotes would be a part of the name or the value; remove them".to_owned()),
                    false => Ok((name, text)),
                });
                (number, line)
            })
    }
}

/// Returns whether a text is in quotes, as other formats have it.
fn is_quoted(text: &str) -> bool {
    let mut inner = text.chars();
    matches!((inner.next(), inner.next_back()), (Some(first @ ('"' | '\'')), Some(last)) if first == last)
}

/// Reads a file. Blocks.
///
/// # Errors
///
/// Fails with the reason as text.
pub(crate) fn read(path: &Path) -> Reading {
    let shown = path.display();
    files::read_text(path, FILE_LIMIT).map_err(|error| {
        if error.is_about_content() {
            format!("invalid flags file {shown}: {error}")
        } else {
            format!("failed to read the flags file {shown}: {error}")
        }
    })
}
