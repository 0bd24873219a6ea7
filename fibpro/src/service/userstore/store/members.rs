//! Operations on users that operators manage: new ones, passwords and roles.

use super::audit::{Actor, AuditEvent};
use super::error::StoreError;
use super::ledger::{Account, Ledger, NewEntry, NewUser};
use super::operations::{Operation, OperationResult, Subject, no_such_user};
use super::session::SqlSession;
use crate::api::userstore::{ROLES_LIMIT, UserStoreError};

pub(crate) struct AddUser {
    pub(crate) user: NewUser,
    pub(crate) actor: Actor,
}

impl Operation for AddUser {
    type Output = OperationResult<Account>;

    fn is_idempotent(&self) -> bool {
        // A repeat would find the user that the first attempt has added.
        false
    }

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        let NewUser {
            username, credit, ..
        } = &self.user;
        if !ledger.insert_user(&self.user).await? {
            let username = username.clone();
            return Ok(Err(UserStoreError::UserExists { username }));
        }
        ledger
            .insert_entry(NewEntry {
                username,
                change: *credit,
                credit: credit.unsigned_abs(),
                reason: "opening",
                actor: Some(&self.actor),
                ..NewEntry::default()
            })
            .await?;
        let event = AuditEvent::Added {
            username: username.clone(),
            credit: *credit,
        };
        ledger.audit(event, Some(&self.actor));
        account(ledger, username).await
    }
}

pub(crate) struct SetPassword {
    pub(crate) username: String,
    pub(crate) password_hash: String,
    pub(crate) actor: Actor,
}

impl Operation for SetPassword {
    type Output = OperationResult<Account>;

    fn subject(&self) -> Subject<'_> {
        Subject::User(&self.username)
    }

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        if !ledger
            .set_password_hash(&self.username, &self.password_hash)
            .await?
        {
            return Ok(Err(no_such_user(&self.username)));
        }
        let username = self.username.clone();
        ledger.audit(AuditEvent::PasswordSet { username }, Some(&self.actor));
        account(ledger, &self.username).await
    }
}

/// Adds roles to a user and removes others, so that concurrent changes do not undo each other.
pub(crate) struct ChangeRoles {
    pub(crate) username: String,
    pub(crate) add: Vec<String>,
    pub(crate) remove: Vec<String>,
    pub(crate) actor: Actor,
}

impl Operation for ChangeRoles {
    type Output = OperationResult<Account>;

    fn subject(&self) -> Subject<'_> {
        Subject::User(&self.username)
    }

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        // The roles are read while the row is locked.
        ledger.lock_user(&self.username).await?;
        let Some(mut account) = ledger.account(&self.username).await? else {
            return Ok(Err(no_such_user(&self.username)));
        };
        let mut roles = account.roles.clone();
        roles.retain(|role| !self.remove.contains(role));
        for role in &self.add {
            if !roles.contains(role) {
                roles.push(role.clone());
            }
        }
        if roles == account.roles {
            return Ok(Ok(account));
        }
        if roles.len() > ROLES_LIMIT && roles.len() > account.roles.len() {
            let (argument, count) = ("add".to_owned(), roles.len());
            let why = format!("a user has at most {ROLES_LIMIT} roles, and would have {count}");
            return Ok(Err(UserStoreError::Invalid { argument, why }));
        }
        ledger.set_roles(&self.username, &roles).await?;
        account.roles.clone_from(&roles);
        let username = self.username.clone();
        ledger.audit(AuditEvent::RolesSet { username, roles }, Some(&self.actor));
        Ok(Ok(account))
    }
}

async fn account<S: SqlSession>(
    ledger: &mut Ledger<'_, S>,
    username: &str,
) -> Result<OperationResult<Account>, StoreError> {
    let account = ledger.account(username).await?;
    Ok(account.ok_or_else(|| no_such_user(username)))
}
