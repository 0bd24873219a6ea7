//! The users of a new store.

use std::fmt;
use std::path::Path;

use rpc_runtime::{Code, Error, Result, Secret};
use serde::Deserialize;

use super::validate;
use crate::api::userstore::UserStoreError;

/// Who is a user from the first start on: a JSON list of `{"username", "password", "credit", "roles"}`.
///
/// A list with a mistake is refused as a whole. Passwords never print.
///
/// ```
/// use fibpro::service::userstore::UserList;
///
/// let text = r#"[{ "username": "ada", "password": "hunter2", "credit": 4, "roles": ["developer"] }]"#;
/// assert_eq!(UserList::parse(text)?.len(), 1);
///
/// let error = UserList::parse(&text.replace("ada", "a:da")).unwrap_err();
/// assert_eq!(error.message(), "users[0].username: has no colon");
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct UserList(Vec<ImportedUser>);

/// A user who is in order.
#[derive(Clone)]
pub(super) struct ImportedUser {
    pub(super) username: String,
    pub(super) password: Secret<String>,
    pub(super) credit: i64,
    pub(super) roles: Vec<String>,
}

/// A user as a list has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    username: String,
    // Absent is empty: what a secret says of itself when it is not there is not much.
    #[serde(default)]
    password: Secret<String>,
    credit: u64,
    #[serde(default)]
    roles: Vec<String>,
}

impl UserList {
    /// The users of the tutorial, whose passwords everybody knows: `fibpro/etc/users.json`.
    ///
    /// # Errors
    ///
    /// None, unless that file was changed to something wrong.
    pub fn tutorial() -> Result<Self> {
        Self::parse(include_str!("../../../etc/users.json"))
    }

    /// Reads a list.
    ///
    /// # Errors
    ///
    /// `invalid_argument` with the place of the first mistake.
    pub fn parse(text: &str) -> Result<Self> {
        let listed: Vec<UserEntry> = serde_json::from_str(text)
            .map_err(|error| Error::new(Code::InvalidArgument, format!("users: {error}")))?;
        let mut members: Vec<ImportedUser> = Vec::with_capacity(listed.len());
        for user in listed {
            let at = members.len();
            if let Some(first) = members
                .iter()
                .position(|other| other.username == user.username)
            {
                let text = format!("users[{at}].username: is that of users[{first}] already");
                return Err(Error::new(Code::InvalidArgument, text));
            }
            members.push(user.checked().map_err(|error| {
                Error::new(Code::InvalidArgument, format!("users[{at}].{error}"))
            })?);
        }
        Ok(Self(members))
    }

    /// Reads a list from a file.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and `failed_precondition` when the file cannot be read; both name the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let text = format!("cannot read the users in {}: {error}", path.display());
            Error::new(Code::FailedPrecondition, text)
        })?;
        Self::parse(&text).map_err(|error| {
            Error::new(
                error.code(),
                format!("{}: {}", path.display(), error.message()),
            )
        })
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_members(self) -> Vec<ImportedUser> {
        self.0
    }
}

impl UserEntry {
    fn checked(self) -> Result<ImportedUser, UserStoreError> {
        validate::username(&self.username)?;
        validate::new_password(self.password.expose())?;
        for role in &self.roles {
            validate::role(role)?;
        }
        Ok(ImportedUser {
            credit: validate::credit(self.credit)?,
            username: self.username,
            password: self.password,
            roles: self.roles,
        })
    }
}

impl fmt::Debug for UserList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|user| &user.username))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_of_the_tutorial_are_the_talks_and_a_developer() {
        let users = UserList::tutorial().unwrap().into_members();
        assert_eq!(
            (users[0].username.as_str(), users[0].credit),
            ("username", 4)
        );
        assert_eq!(users[0].password.expose(), "password");
        assert!(users[0].roles.is_empty());
        assert!(users.iter().any(|user| user.roles == ["developer"]));
    }

    #[test]
    fn a_list_with_a_mistake_is_refused_with_its_place_and_without_its_passwords() {
        let good = r#"{"username": "ada", "password": "canary", "credit": 4}"#;
        for (bad, text) in [
            (
                r#"{"username": "b", "password": "canary", "credit": -1}"#,
                "invalid value: integer `-1`, expected u64 at line 2 column",
            ),
            (
                r#"{"username": "b", "password": "canary", "credit": 1.5}"#,
                "invalid type: floating point `1.5`",
            ),
            (
                r#"{"username": "b", "password": "canary"}"#,
                "missing field `credit` at line 2",
            ),
            (
                r#"{"username": "b", "credit": 1}"#,
                "users[1].password: is missing or empty",
            ),
            (
                r#"{"username": "b", "password": 4242, "credit": 1}"#,
                "not a valid secret (its value is not shown) at line 2",
            ),
            (
                r#"{"username": "b", "password": "canary", "credit": 1, "admin": true}"#,
                "unknown field `admin`",
            ),
            (
                r#"{"username": "b", "password": "canary" "credit": 1}"#,
                "at line 2 column",
            ),
            (
                r#"{"username": "", "password": "canary", "credit": 1}"#,
                "users[1].username: has 1 to 64 characters",
            ),
            (
                r#"{"username": "b:c", "password": "canary", "credit": 1}"#,
                "users[1].username: has no colon",
            ),
            (
                r#"{"username": "b", "password": "", "credit": 1}"#,
                "users[1].password: is missing or empty",
            ),
            (
                r#"{"username": "b", "password": "canary", "credit": 1000000000000001}"#,
                "users[1].credit: is at most",
            ),
            (
                r#"{"username": "b", "password": "canary", "credit": 1, "roles": ["Dev"]}"#,
                "users[1].roles: each has",
            ),
            (
                r#"{"username": "ada", "password": "canary", "credit": 1}"#,
                "users[1].username: is that of users[0] already",
            ),
        ] {
            let error = UserList::parse(&format!("[{good},\n{bad}]")).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().contains(text), "{text}: {error}");
            let shown = format!("{error:#} {error:?}");
            assert!(
                !shown.contains("canary") && !shown.contains("4242"),
                "{shown}"
            );
        }
        let list = UserList::parse(&format!("[{good}]")).unwrap();
        assert_eq!(format!("{list:?}"), r#"["ada"]"#);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = UserList::read("/nowhere/users.json").unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(
            error
                .message()
                .starts_with("cannot read the users in /nowhere/users.json: ")
        );
    }
}
