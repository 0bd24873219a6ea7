//! The list of users for a new database.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use rpc_runtime::files;
use rpc_runtime::{Code, Error, Result, Secret};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{normal, validate};
use crate::api::userstore::UserStoreError;

/// Maximum size of a file of users, in bytes: several hundred thousand of them. A wrong path must
/// not exhaust memory.
const FILE_BYTES: u64 = 64 << 20;

/// Users that are added to an empty database: a JSON list of
/// `{"username", "password", "credit", "roles"}`.
///
/// A list with an error is rejected as a whole. Passwords are never printed.
///
/// ```
/// use fibpro::service::userstore::UserList;
///
/// let text = r#"[{ "username": "ada", "password": "hunter2", "credit": 4, "roles": ["developer"] }]"#;
/// assert_eq!(UserList::parse(text)?.len(), 1);
///
/// let error = UserList::parse(&text.replace("ada", "a:da")).unwrap_err();
/// assert_eq!(error.message(), "users[0].username: must not contain a colon");
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct UserList(Vec<ImportedUser>);

/// A valid user of a list.
#[derive(Clone)]
pub(super) struct ImportedUser {
    pub(super) username: String,
    pub(super) password: Secret<String>,
    pub(super) credit: i64,
    pub(super) roles: Vec<String>,
}

/// A user in the JSON form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    username: String,
    // Empty if absent: the error of a missing secret would say too little.
    #[serde(default)]
    password: Secret<String>,
    credit: u64,
    #[serde(default)]
    roles: Vec<String>,
}

impl UserList {
    /// Returns the users of the tutorial, from `fibpro/etc/users.json`. Their passwords are public.
    ///
    /// # Errors
    ///
    /// Fails only if that file is not valid.
    pub fn tutorial() -> Result<Self> {
        Self::parse(include_str!("../../../etc/users.json"))
    }

    /// Parses a list.
    ///
    /// # Errors
    ///
    /// `invalid_argument` with the position of the first error.
    pub fn parse(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            let text = "users: the text is empty; expected a JSON list of users, such as `[]`";
            return Err(Error::new(Code::InvalidArgument, text));
        }
        let listed: Vec<UserEntry> = serde_json::from_str(text)
            .map_err(|error| Error::new(Code::InvalidArgument, format!("users: {error}")))?;
        let mut members: Vec<ImportedUser> = Vec::with_capacity(listed.len());
        let mut positions = HashMap::with_capacity(listed.len());
        for mut user in listed {
            let at = members.len();
            user.normalize();
            if let Some(first) = positions.insert(user.username.clone(), at) {
                let text = format!("users[{at}].username: duplicate of users[{first}]");
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
    /// Those of [`parse`](Self::parse), and `failed_precondition` when the file cannot be read, or
    /// when other users own it or can write it (see [`files`]); both name the file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = files::read_text(path, FILE_BYTES).map_err(|error| {
            let text = format!("cannot read the users file {}: {error}", path.display());
            Error::new(Code::FailedPrecondition, text)
        })?;
        Self::parse(&text).map_err(|error| {
            Error::new(
                error.code(),
                format!("{}: {}", path.display(), error.message()),
            )
        })
    }

    /// Returns the number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns a digest of the list without passwords: a digest of those could be guessed from it.
    pub(super) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for user in &self.0 {
            // Neither has a control character.
            let roles = user.roles.join(" ");
            digest.update(format!("{}\n{}\n{roles}\n", user.username, user.credit));
        }
        let digest = digest.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn into_members(self) -> Vec<ImportedUser> {
        self.0
    }
}

impl UserEntry {
    /// Converts name and password to NFC.
    fn normalize(&mut self) {
        if let Cow::Owned(username) = normal::nfc(&self.username) {
            self.username = username;
        }
        if let Cow::Owned(password) = normal::nfc(self.password.expose()) {
            self.password = Secret::new(password);
        }
    }

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
    fn the_tutorial_list_has_a_buyer_and_a_developer() {
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
    fn errors_have_a_position_but_no_password() {
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
                "users[1].username: must have 1 to 64 characters",
            ),
            (
                r#"{"username": "b:c", "password": "canary", "credit": 1}"#,
                "users[1].username: must not contain a colon",
            ),
            (
                r#"{"username": "b", "password": "", "credit": 1}"#,
                "users[1].password: is missing or empty",
            ),
            (
                r#"{"username": "b", "password": "canary\u0000", "credit": 1}"#,
                "users[1].password: must not contain control characters",
            ),
            (
                r#"{"username": "b", "password": "a\tcanary", "credit": 1}"#,
                "users[1].password: must not contain control characters",
            ),
            (
                r#"{"username": "b", "password": "canary\u009f", "credit": 1}"#,
                "users[1].password: must not contain control characters",
            ),
            (
                r#"{"username": "\ufeffb", "password": "canary", "credit": 1}"#,
                "users[1].username: must not contain the character \\u{feff}",
            ),
            (
                r#"{"username": "b", "password": "canary", "credit": 1000000000000001}"#,
                "users[1].credit: must be at most",
            ),
            (
                r#"{"username": "b", "password": "canary", "credit": 1, "roles": ["Dev"]}"#,
                "users[1].roles: each must have",
            ),
            (
                r#"{"username": "ada", "password": "canary", "credit": 1}"#,
                "users[1].username: duplicate of users[0]",
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
    fn an_empty_text_is_no_list() {
        for text in ["", "\n", " \t\r\n"] {
            let error = UserList::parse(text).unwrap_err();
            assert!(error.message().contains("is empty"), "{text:?}: {error}");
        }
        for text in ["[]", " [ ] "] {
            assert!(UserList::parse(text).unwrap().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn equal_names_in_two_spellings_are_one_name() {
        let user = |name: &str| {
            format!(r#"{{"username": "{name}", "password": "pass\u0065\u0301", "credit": 4}}"#)
        };
        let two = format!("[{}, {}]", user("jörg"), user("jo\u{308}rg"));
        let error = UserList::parse(&two).unwrap_err();
        assert_eq!(error.message(), "users[1].username: duplicate of users[0]");
        let one = UserList::parse(&format!("[{}]", user("jo\u{308}rg"))).unwrap();
        let members = one.into_members();
        assert_eq!(members[0].username, "jörg");
        assert_eq!(members[0].password.expose(), "passé");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = UserList::read("/nowhere/users.json").unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition);
        assert!(
            error
                .message()
                .starts_with("cannot read the users file /nowhere/users.json: ")
        );
    }
}
