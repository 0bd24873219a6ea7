//! SQL statements on users, their passwords and roles, and on the import of a list.

use std::collections::HashSet;

use super::error::StoreError;
use super::ledger::{Account, Ledger, NewUser};
use super::session::{ColumnReader as _, SqlSession};

impl<S: SqlSession> Ledger<'_, S> {
    pub(super) async fn account(&mut self, username: &str) -> Result<Option<Account>, StoreError> {
        const SQL: &str = "SELECT password_hash, roles, credit + (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) \
             FROM purchases WHERE username = $1 AND state = 'reserved' AND (expires_at <= $2 OR expires_at > $3)) \
             FROM users WHERE username = $1";
        let values = [username.into(), self.now.into(), self.latest.into()];
        let Some(row) = self.session.rows(SQL, &values).await?.pop() else {
            return Ok(None);
        };
        Ok(Some(Account {
            password_hash: row.text(0)?,
            roles: serde_json::from_str(&row.text(1)?).map_err(decode)?,
            credit: row.count(2)?,
        }))
    }

    pub(super) async fn has_users(&mut self) -> Result<bool, StoreError> {
        let rows = self.session.rows("SELECT 1 FROM users LIMIT 1", &[]);
        Ok(!rows.await?.is_empty())
    }

    /// Inserts a user. Returns `false` if the name exists.
    pub(super) async fn insert_user(&mut self, user: &NewUser) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO users (username, password_hash, roles, credit) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (username) DO NOTHING RETURNING username";
        let roles = serde_json::to_string(&user.roles).map_err(decode)?;
        let values = [
            user.username.as_str().into(),
            user.password_hash.as_str().into(),
            roles.as_str().into(),
            user.credit.into(),
        ];
        let is_changed = !self.session.rows(SQL, &values).await?.is_empty();
        self.has_changed |= is_changed;
        Ok(is_changed)
    }

    /// Returns `false` if there is no such user.
    pub(super) async fn set_password_hash(
        &mut self,
        username: &str,
        hash: &str,
    ) -> Result<bool, StoreError> {
        const SQL: &str =
            "UPDATE users SET password_hash = $2 WHERE username = $1 RETURNING username";
        let values = [username.into(), hash.into()];
        let is_changed = !self.session.rows(SQL, &values).await?.is_empty();
        self.has_changed |= is_changed;
        Ok(is_changed)
    }

    pub(super) async fn set_roles(
        &mut self,
        username: &str,
        roles: &[String],
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE users SET roles = $2 WHERE username = $1";
        let roles = serde_json::to_string(roles).map_err(decode)?;
        let values = [username.into(), roles.as_str().into()];
        self.session.rows(SQL, &values).await?;
        self.has_changed = true;
        Ok(())
    }

    pub(super) async fn usernames(&mut self) -> Result<HashSet<String>, StoreError> {
        let rows = self.session.rows("SELECT username FROM users", &[]).await?;
        Ok(rows
            .iter()
            .map(|row| row.text(0))
            .collect::<sqlx::Result<_>>()?)
    }

    /// Returns the digest of the list whose import is not complete.
    pub(super) async fn import(&mut self) -> Result<Option<String>, StoreError> {
        let rows = self.session.rows("SELECT list FROM import", &[]).await?;
        Ok(rows.first().map(|row| row.text(0)).transpose()?)
    }

    pub(super) async fn begin_import(&mut self, list: &str) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO import (id, list) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
        self.session.rows(SQL, &[list.into()]).await?;
        Ok(())
    }

    pub(super) async fn end_import(&mut self) -> Result<(), StoreError> {
        self.session.rows("DELETE FROM import", &[]).await?;
        Ok(())
    }
}

fn decode(error: serde_json::Error) -> StoreError {
    StoreError::Database(sqlx::Error::Decode(error.into()))
}
