//! The error states of PostgreSQL: <https://www.postgresql.org/docs/current/errcodes-appendix.html>

/// Class of a PostgreSQL error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PostgresErrorKind {
    /// A concurrent transaction was faster, or waits for this one.
    Conflict,
    /// The disk is full.
    Full,
    /// Another session holds a lock for too long.
    Locked,
    /// The session is read-only.
    ReadOnly,
    /// The database is damaged.
    Damaged,
    /// A state of the server, the network or the settings that passes or that an operator changes,
    /// described by the text.
    Unavailable(&'static str),
    /// Any other error.
    Other,
}

/// The database cannot be reached.
pub(super) const AWAY: &str = "the users' database cannot be reached";

impl PostgresErrorKind {
    pub(super) fn from_state(state: &str) -> Self {
        match state {
            "40001" | "40P01" => Self::Conflict,
            "53100" => Self::Full,
            "55P03" | "57014" => Self::Locked,
            "25006" => Self::ReadOnly,
            "XX001" | "XX002" => Self::Damaged,
            "3D000" => Self::Unavailable("the users' database is not on its server"),
            "42501" => {
                Self::Unavailable("the users' database denies access to the role of the user store")
            }
            "53300" => Self::Unavailable("the server of the users' database has no free session"),
            // A table, column, function or schema that an operator has moved or not yet restored.
            "42P01" | "42703" | "42883" | "3F000" => {
                Self::Unavailable("tables of the users' database are missing or changed")
            }
            _ => Self::from_class(state),
        }
    }

    fn from_class(state: &str) -> Self {
        match state.get(..2) {
            Some("28") => {
                Self::Unavailable("the users' database refuses the login of the user store")
            }
            // Database and role settings, such as `ALLOW_CONNECTIONS false`.
            Some("55") => Self::Unavailable("the users' database is not open for sessions"),
            Some("58") => Self::Unavailable("the server of the users' database has an I/O error"),
            // Broken connections, unknown ends of transactions, resources, operators, standbys and
            // poolers.
            Some("08" | "40" | "53" | "57" | "72") => Self::Unavailable(AWAY),
            _ if ends_session(state) => Self::Unavailable(AWAY),
            _ => Self::Other,
        }
    }
}

/// Returns whether the session cannot be used any more, while a new one may succeed.
pub(super) fn ends_session(state: &str) -> bool {
    match state {
        // Read-only, as all sessions are after a failover in which their server became a standby.
        "25006" => true,
        // Ended in a transaction because of a timeout.
        "25P03" | "25P04" => true,
        // Statements of a session that a pooler has exchanged, or whose plan is out of date.
        "26000" | "0A000" => true,
        // The server shuts down, or the connection is broken.
        _ => state.starts_with("57P") || state.starts_with("08"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_pass_are_unavailable() {
        for state in [
            "08006", "08P01", "0A000", "25P03", "26000", "28000", "28P01", "3D000", "3F000",
            "40003", "42501", "42P01", "53200", "53300", "53400", "55000", "55006", "57P01",
            "57P02", "57P03", "57P04", "57P05", "58030", "58P01", "72000",
        ] {
            let kind = PostgresErrorKind::from_state(state);
            assert!(
                matches!(kind, PostgresErrorKind::Unavailable(_)),
                "{state}: {kind:?}"
            );
        }
    }

    #[test]
    fn states_with_own_texts_are_told_apart() {
        for (state, kind) in [
            ("40001", PostgresErrorKind::Conflict),
            ("40P01", PostgresErrorKind::Conflict),
            ("53100", PostgresErrorKind::Full),
            ("55P03", PostgresErrorKind::Locked),
            ("57014", PostgresErrorKind::Locked),
            ("25006", PostgresErrorKind::ReadOnly),
            ("XX001", PostgresErrorKind::Damaged),
            ("XX002", PostgresErrorKind::Damaged),
            // Mistakes of this program.
            ("42601", PostgresErrorKind::Other),
            ("23505", PostgresErrorKind::Other),
            ("XX000", PostgresErrorKind::Other),
            ("", PostgresErrorKind::Other),
        ] {
            assert_eq!(PostgresErrorKind::from_state(state), kind, "{state}");
        }
    }
}
