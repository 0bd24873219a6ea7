//! Adds users and changes passwords and roles, for operators.

use rpc_runtime::Secret;

use super::access::Caller;
use super::store::{AddUser, ChangeRoles, NewUser, SetPassword};
use super::{Users, normal, user, validate};
use crate::api::userstore::{User, UserStoreError};

impl Users {
    pub(super) async fn add_member(
        &self,
        username: &str,
        password: Secret<String>,
        credit: u64,
        mut roles: Vec<String>,
    ) -> Result<User, UserStoreError> {
        let actor = Caller::operator()?.actor();
        let name = normal::nfc(username).into_owned();
        validate::username(&name)?;
        let credit = validate::credit(credit)?;
        validate::roles(&roles)?;
        let mut seen = Vec::new();
        roles.retain(|role| {
            let is_new = !seen.contains(role);
            seen.push(role.clone());
            is_new
        });
        // Also under a spelling that an earlier version has stored.
        if let Some((username, _)) = self.find(username).await? {
            return Err(UserStoreError::UserExists { username });
        }
        let new = NewUser {
            username: name.clone(),
            password_hash: self.hash(password).await?,
            roles,
            credit,
        };
        let added = self.store.write(AddUser { user: new, actor }).await??;
        Ok(user(&name, added))
    }

    pub(super) async fn set_password_of(
        &self,
        username: &str,
        password: Secret<String>,
    ) -> Result<User, UserStoreError> {
        let actor = &Caller::person_for(username)?.actor();
        let hash = &self.hash(password).await?;
        let set = |username: String| async move {
            let set = SetPassword {
                username: username.clone(),
                password_hash: hash.clone(),
                actor: actor.clone(),
            };
            let account = self.store.write(set).await??;
            Ok(user(&username, account))
        };
        self.with_stored_name(username, set).await
    }

    pub(super) async fn change_roles_of(
        &self,
        username: &str,
        add: &[String],
        remove: &[String],
    ) -> Result<User, UserStoreError> {
        let actor = &Caller::operator()?.actor();
        validate::roles(add)?;
        validate::roles(remove)?;
        if let Some(role) = add.iter().find(|role| remove.contains(role)) {
            return Err(UserStoreError::Invalid {
                argument: "remove".to_owned(),
                why: format!("the role {role} is added as well"),
            });
        }
        let change = |username: String| async move {
            let change = ChangeRoles {
                username: username.clone(),
                add: add.to_vec(),
                remove: remove.to_vec(),
                actor: actor.clone(),
            };
            let account = self.store.write(change).await??;
            Ok(user(&username, account))
        };
        self.with_stored_name(username, change).await
    }

    /// Hashes a new password, in NFC as it is compared.
    async fn hash(&self, password: Secret<String>) -> Result<String, UserStoreError> {
        let normal = normal::nfc(password.expose()).into_owned();
        validate::new_password(&normal)?;
        Ok(self.logins.passwords().hash(Secret::new(normal)).await?)
    }
}
