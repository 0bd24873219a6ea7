//! The result codes of SQLite.

/// Class of an SQLite error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqliteErrorKind {
    /// Another connection holds a lock.
    Locked,
    /// The file is read-only.
    ReadOnly,
    /// The operating system reported an I/O error.
    Io,
    /// The file is damaged or not a database.
    Corrupt,
    /// The disk is full, or the size limit is reached.
    Full,
    /// The operating system refused a write: a limit on file sizes or a quota is reached, or the
    /// disk fails.
    WriteRefused,
    /// The file cannot be opened.
    CannotOpen,
    /// Any other error.
    Other,
}

impl SqliteErrorKind {
    /// Classifies a result code in decimal, as sqlx returns it.
    pub(crate) fn from_code(code: &str) -> Self {
        // The extended code of a write that failed, other than because of a full disk.
        if code == "778" {
            return Self::WriteRefused;
        }
        // The low byte of a result code is the primary code: https://sqlite.org/rescode.html
        match code.parse::<i32>().map(|code| code & 0xff) {
            Ok(5 | 6) => Self::Locked,
            Ok(8) => Self::ReadOnly,
            Ok(10) => Self::Io,
            Ok(11 | 26) => Self::Corrupt,
            Ok(13) => Self::Full,
            Ok(14) => Self::CannotOpen,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extended_code_has_the_kind_of_its_primary_code() {
        for (code, kind) in [
            ("5", SqliteErrorKind::Locked),
            ("6", SqliteErrorKind::Locked),
            ("261", SqliteErrorKind::Locked),
            ("8", SqliteErrorKind::ReadOnly),
            ("778", SqliteErrorKind::WriteRefused),
            ("266", SqliteErrorKind::Io),
            ("1034", SqliteErrorKind::Io),
            ("11", SqliteErrorKind::Corrupt),
            ("26", SqliteErrorKind::Corrupt),
            ("13", SqliteErrorKind::Full),
            ("14", SqliteErrorKind::CannotOpen),
            ("2067", SqliteErrorKind::Other),
            ("", SqliteErrorKind::Other),
        ] {
            assert_eq!(SqliteErrorKind::from_code(code), kind, "{code}");
        }
    }
}
