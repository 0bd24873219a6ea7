//! Finds users by any spelling of their names.
//!
//! Names are stored in NFC. An earlier version stored them as they were typed, and these users keep
//! their stored names: purchases, ledger and keys of changes refer to them.

use rpc_runtime::Result;

use super::store::{Account, FindAccount};
use super::{Users, normal, validate};
use crate::api::userstore::UserStoreError;

impl Users {
    /// Finds a user by any spelling of the name. Returns the stored name.
    pub(super) async fn find(&self, typed: &str) -> Result<Option<(String, Account)>> {
        for username in normal::spellings(typed) {
            let found = self.store.read(FindAccount {
                username: username.clone(),
            });
            if let Some(account) = found.await? {
                return Ok(Some((username, account)));
            }
        }
        Ok(None)
    }

    /// Runs an operation with the stored name of a user.
    ///
    /// The name in NFC is tried first and is mostly the stored one, so such an operation needs no
    /// lookup. There is one only after an error that the name of another user causes as well.
    pub(super) async fn with_stored_name<T, F>(
        &self,
        typed: &str,
        operation: impl Fn(String) -> F,
    ) -> Result<T, UserStoreError>
    where
        F: Future<Output = Result<T, UserStoreError>>,
    {
        let username = normal::nfc(typed);
        validate::username(&username)?;
        match operation(username.clone().into_owned()).await {
            Err(error) if !username.is_ascii() && may_be_of_another_name(&error) => {
                match self.find(typed).await? {
                    Some((stored, _)) if stored != *username => operation(stored).await,
                    _ => Err(error),
                }
            }
            outcome => outcome,
        }
    }
}

/// Returns whether an operation fails like this if its user has another name: there is no user of
/// this name, or its key belongs to the name that is stored.
fn may_be_of_another_name(error: &UserStoreError) -> bool {
    matches!(
        error,
        UserStoreError::NoSuchUser { .. }
            | UserStoreError::PurchaseDiffers { .. }
            | UserStoreError::KeyDiffers { .. }
    )
}
