//! Operations that add the users of a list to a database.

use std::collections::HashSet;

use super::audit::AuditEvent;
use super::error::StoreError;
use super::ledger::{Ledger, NewEntry, NewUser};
use super::operations::Operation;
use super::session::SqlSession;

pub(crate) struct HasUsers;

impl Operation for HasUsers {
    type Output = bool;

    async fn run<S: SqlSession>(&self, ledger: &mut Ledger<'_, S>) -> Result<bool, StoreError> {
        ledger.has_users().await
    }
}

/// Inserts a part of a list of users. Until the last part, the database has the digest of the list,
/// so that another start can insert the rest.
pub(crate) struct Import {
    pub(crate) users: Vec<NewUser>,
    pub(crate) list: String,
    pub(crate) is_last: bool,
}

impl Operation for Import {
    type Output = ();

    async fn run<S: SqlSession>(&self, ledger: &mut Ledger<'_, S>) -> Result<(), StoreError> {
        for user in &self.users {
            if !ledger.insert_user(user).await? {
                continue;
            }
            let credit = user.credit;
            ledger
                .insert_entry(NewEntry {
                    username: &user.username,
                    change: credit,
                    credit: credit.unsigned_abs(),
                    reason: "opening",
                    ..NewEntry::default()
                })
                .await?;
            let username = user.username.clone();
            ledger.audit(AuditEvent::Added { username, credit }, None);
        }
        match self.is_last {
            true => ledger.end_import().await,
            false => ledger.begin_import(&self.list).await,
        }
    }
}

/// Finds the digest of the list whose import is not complete.
pub(crate) struct FindImport;

impl Operation for FindImport {
    type Output = Option<String>;

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        ledger.import().await
    }
}

pub(crate) struct FindUsernames;

impl Operation for FindUsernames {
    type Output = HashSet<String>;

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        ledger.usernames().await
    }
}
