//! Log lines for changes of users and of their credit.

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    /// The calling server, `-` without a name.
    pub(crate) server: String,
    /// The user on whose behalf it calls. `None` if it calls on its own.
    pub(crate) user: Option<String>,
}

impl Actor {
    /// Returns the actor if it acts on behalf of a user.
    pub(super) fn of_user(&self) -> Option<&Self> {
        self.user.is_some().then_some(self)
    }
}

/// A change that is logged, and who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AuditLine {
    pub(super) event: AuditEvent,
    /// `None` for a change of the store itself.
    pub(super) actor: Option<Actor>,
}

impl AuditLine {
    /// Writes the line. It names the caller if that is not the user whose credit changes: a line
    /// about `ada` without another name is of `ada` or of a service on its own behalf.
    pub(super) fn log(&self) {
        let other = self.actor.as_ref().and_then(|actor| {
            let user = actor.user.as_deref()?;
            (user != self.event.username()).then_some((&actor.server, user))
        });
        let (source, user) = other.unzip();
        self.event.log(source.map(String::as_str), user);
    }
}

/// A change that is logged, after it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AuditEvent {
    Added {
        username: String,
        credit: i64,
    },
    PasswordSet {
        username: String,
    },
    RolesSet {
        username: String,
        roles: Vec<String>,
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
    fn username(&self) -> &str {
        match self {
            Self::Added { username, .. }
            | Self::PasswordSet { username }
            | Self::RolesSet { username, .. }
            | Self::Set { username, .. }
            | Self::Changed { username, .. }
            | Self::Reserved { username, .. }
            | Self::Settled { username, .. }
            | Self::Returned { username, .. } => username,
        }
    }

    fn log(&self, source: Option<&str>, user: Option<&str>) {
        match self {
            Self::Added { username, credit } => {
                tracing::info!(
                    source,
                    "user.id" = user,
                    "Added user: {username} with credit {credit}"
                );
            }
            Self::PasswordSet { username } => {
                tracing::info!(source, "user.id" = user, "Password of {username} changed");
            }
            Self::RolesSet { username, roles } => {
                let roles = roles.join(", ");
                tracing::info!(
                    source,
                    "user.id" = user,
                    "Roles of {username} set to [{roles}]"
                );
            }
            Self::Set { username, credit } => {
                tracing::info!(
                    source,
                    "user.id" = user,
                    "Credit for {username} set to {credit}"
                );
            }
            Self::Changed {
                username,
                change,
                credit,
            } => tracing::info!(
                source,
                "user.id" = user,
                "Credit for {username} incremented {change} yielding {credit}"
            ),
            Self::Reserved {
                username,
                amount,
                credit,
            } => tracing::debug!(
                source,
                "user.id" = user,
                "Credit for {username}: {amount} reserved, leaving {credit}"
            ),
            Self::Settled {
                username,
                amount,
                credit,
            } => tracing::info!(
                source,
                "user.id" = user,
                "Credit for {username} incremented -{amount} yielding {credit}"
            ),
            Self::Returned {
                username,
                amount,
                credit,
            } => tracing::info!(
                source,
                "user.id" = user,
                "Credit for {username} incremented {amount} yielding {credit}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use rpc_tests::captured::CapturedWriter;

    use super::*;

    /// Returns the line that is written, without its time.
    fn line(event: AuditEvent, actor: Option<Actor>) -> String {
        let writer = CapturedWriter::default();
        let captured = writer.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || captured.clone())
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || AuditLine { event, actor }.log());
        writer.text()
    }

    fn actor(user: Option<&str>) -> Option<Actor> {
        Some(Actor {
            server: "pricing@prod/a1".to_owned(),
            user: user.map(str::to_owned),
        })
    }

    #[test]
    fn a_line_names_who_acted_for_another_user() {
        let username = || "ada".to_owned();
        let set = || AuditEvent::Set {
            username: username(),
            credit: 4,
        };
        for of in [None, actor(None), actor(Some("ada"))] {
            assert_eq!(line(set(), of), " INFO Credit for ada set to 4\n");
        }
        let by = r#"source="pricing@prod/a1" user.id="olga""#;
        let (amount, credit) = (2, 4);
        for (event, text) in [
            (set(), "Credit for ada set to 4"),
            (
                AuditEvent::Settled {
                    username: username(),
                    amount,
                    credit,
                },
                "Credit for ada incremented -2 yielding 4",
            ),
            (
                AuditEvent::PasswordSet {
                    username: username(),
                },
                "Password of ada changed",
            ),
            (
                AuditEvent::RolesSet {
                    username: username(),
                    roles: vec!["a".to_owned(), "b".to_owned()],
                },
                "Roles of ada set to [a, b]",
            ),
        ] {
            assert_eq!(
                line(event, actor(Some("olga"))),
                format!(" INFO {text} {by}\n")
            );
        }
    }
}
