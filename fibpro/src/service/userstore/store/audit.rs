//! Log lines for changes of credit.

/// A change that is logged, after it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AuditEvent {
    Added {
        username: String,
        credit: i64,
    },
    Set {
        username: String,
        credit: i64,
    },
    /// A deposit, or a withdrawal if it is negative.
    Changed {
        username: String,
        change: i64,
        credit: u64,
    },
    Reserved {
        username: String,
        amount: i64,
        credit: u64,
    },
    /// The purchase is final. `amount` was taken at the reservation; `credit` is the credit after
    /// that.
    Settled {
        username: String,
        amount: i64,
        credit: u64,
    },
    /// A reservation was returned to the user.
    Returned {
        username: String,
        amount: i64,
        credit: u64,
    },
}

impl AuditEvent {
    pub(super) fn log(&self) {
        match self {
            Self::Added { username, credit } => {
                tracing::info!("Added user: {username} with credit {credit}");
            }
            Self::Set { username, credit } => {
                tracing::info!("Credit for {username} set to {credit}");
            }
            Self::Changed {
                username,
                change,
                credit,
            } => tracing::info!("Credit for {username} incremented {change} yielding {credit}"),
            Self::Reserved {
                username,
                amount,
                credit,
            } => tracing::debug!("Credit for {username}: {amount} reserved, leaving {credit}"),
            Self::Settled {
                username,
                amount,
                credit,
            } => tracing::info!("Credit for {username} incremented -{amount} yielding {credit}"),
            Self::Returned {
                username,
                amount,
                credit,
            } => tracing::info!("Credit for {username} incremented {amount} yielding {credit}"),
        }
    }
}
