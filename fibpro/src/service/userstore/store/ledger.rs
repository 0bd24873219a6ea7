//! SQL statements on users, purchases and the ledger.
//!
//! Operations that change credit lock the user's row first and the purchase's row second, so that
//! they cannot deadlock. A purchase leaves the state `reserved` only by an `UPDATE` with this state
//! in its `WHERE`. If that matches no row, a concurrent operation was faster and the transaction is
//! rolled back.

use jiff::Timestamp;

use super::super::RESERVATION_LIFETIME;
use super::super::clock::Clock;
use super::audit::{Actor, AuditEvent, AuditLine};
use super::error::StoreError;
use super::session::{ColumnReader as _, SqlSession};
use crate::api::userstore::{LedgerEntry, LedgerPage, PurchaseState};

/// Longest time until a reservation expires, in microseconds: its lifetime, and 5 s by which the
/// clocks of two processes may differ.
#[allow(clippy::cast_possible_truncation, reason = "far below the limit")]
const LATEST: i64 = RESERVATION_LIFETIME.as_micros() as i64 + 5_000_000;

/// A user with data that only this service sees.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) password_hash: String,
    /// Includes expired reservations, whether or not they have been returned.
    pub(crate) credit: u64,
    pub(crate) roles: Vec<String>,
}

/// Row of the table `purchases`.
#[derive(Debug)]
pub(super) struct Purchase {
    pub(super) username: String,
    pub(super) amount: i64,
    pub(super) credit: u64,
    pub(super) state: PurchaseState,
    pub(super) expires_at: i64,
}

/// A user to insert.
#[derive(Debug, Clone)]
pub(crate) struct NewUser {
    pub(crate) username: String,
    pub(crate) password_hash: String,
    pub(crate) roles: Vec<String>,
    pub(crate) credit: i64,
}

/// Row of the table `credit_changes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyedChange {
    pub(super) username: String,
    /// `deposit`, `withdraw` or `set`.
    pub(super) kind: String,
    pub(super) change: i64,
    /// Credit after the change.
    pub(super) credit: u64,
}

/// A ledger entry to insert.
#[derive(Debug, Default)]
pub(super) struct NewEntry<'a> {
    pub(super) username: &'a str,
    pub(super) change: i64,
    /// Credit after the change.
    pub(super) credit: u64,
    pub(super) reason: &'static str,
    /// Key of the purchase, if any.
    pub(super) key: Option<&'a str>,
    /// Caller that made the change. `None` for a change of the store itself, and for a purchase
    /// that a service made on its own behalf.
    pub(super) actor: Option<&'a Actor>,
    /// Key of the change, if it has one and is no purchase.
    pub(super) change_key: Option<&'a str>,
}

/// The tables at the time of one operation.
pub(crate) struct Ledger<'a, S> {
    pub(super) session: &'a mut S,
    clock: &'a Clock,
    /// Time at which the operation began. It decides what is overdue.
    pub(super) now: i64,
    /// A reservation that expires later was made while the clock was ahead. It is overdue as well.
    pub(super) latest: i64,
    pub(super) events: Vec<AuditLine>,
    /// Whether anything was changed.
    pub(super) has_changed: bool,
}

impl<'a, S: SqlSession> Ledger<'a, S> {
    pub(super) fn open(session: &'a mut S, clock: &'a Clock) -> Self {
        let now = clock.now().as_microsecond();
        Self {
            session,
            clock,
            now,
            latest: now.saturating_add(LATEST),
            events: Vec::new(),
            has_changed: false,
        }
    }

    /// Logs a change after it is committed.
    pub(super) fn audit(&mut self, event: AuditEvent, actor: Option<&Actor>) {
        let actor = actor.cloned();
        self.events.push(AuditLine { event, actor });
    }

    /// Returns the time of the operation, in microseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// Returns whether a reservation with this time of expiry is overdue.
    pub(super) fn is_overdue(&self, expires_at: i64) -> bool {
        expires_at <= self.now || expires_at > self.latest
    }
}

/// Credit of users.
impl<S: SqlSession> Ledger<'_, S> {
    /// Returns the sum of the user's open reservations.
    pub(super) async fn reserved(&mut self, username: &str) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM purchases \
             WHERE username = $1 AND state = 'reserved'";
        let rows = self.session.rows(SQL, &[username.into()]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.int(0))?)
    }

    pub(super) async fn balance(&mut self, username: &str) -> Result<Option<u64>, StoreError> {
        const SQL: &str = "SELECT credit FROM users WHERE username = $1";
        self.one_count(SQL, &[username.into()]).await
    }

    /// Locks the user's row until the end of the transaction. Returns the credit.
    pub(super) async fn lock_user(&mut self, username: &str) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "UPDATE users SET credit = credit WHERE username = $1 RETURNING credit";
        let rows = self.session.rows(SQL, &[username.into()]).await?;
        Ok(rows.first().map(|row| row.int(0)).transpose()?)
    }

    pub(super) async fn set_credit(
        &mut self,
        username: &str,
        credit: i64,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE users SET credit = $2 WHERE username = $1";
        let values = [username.into(), credit.into()];
        self.session.rows(SQL, &values).await?;
        Ok(())
    }

    /// Subtracts from the user's credit. Returns the rest; `None` if the credit is too low.
    pub(super) async fn debit(
        &mut self,
        username: &str,
        amount: i64,
    ) -> Result<Option<u64>, StoreError> {
        const SQL: &str = "UPDATE users SET credit = credit - $2 WHERE username = $1 AND credit >= $2 RETURNING credit";
        self.one_count(SQL, &[username.into(), amount.into()]).await
    }

    /// Adds to the user's credit. Returns the new credit. A sum beyond 64 bits is a database error.
    pub(super) async fn credit(&mut self, username: &str, amount: i64) -> Result<u64, StoreError> {
        const SQL: &str =
            "UPDATE users SET credit = credit + $2 WHERE username = $1 RETURNING credit";
        let values = [username.into(), amount.into()];
        let credit = self.one_count(SQL, &values).await?;
        // The row exists because of a foreign key.
        credit.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    async fn one_count(
        &mut self,
        sql: &'static str,
        values: &[super::session::SqlValue<'_>],
    ) -> Result<Option<u64>, StoreError> {
        let rows = self.session.rows(sql, values).await?;
        Ok(rows.first().map(|row| row.count(0)).transpose()?)
    }
}

/// Purchases.
impl<S: SqlSession> Ledger<'_, S> {
    pub(super) async fn purchase(&mut self, key: &str) -> Result<Option<Purchase>, StoreError> {
        const SQL: &str =
            "SELECT username, amount, credit, state, expires_at FROM purchases WHERE key = $1";
        let Some(row) = self.session.rows(SQL, &[key.into()]).await?.pop() else {
            return Ok(None);
        };
        Ok(Some(Purchase {
            username: row.text(0)?,
            amount: row.int(1)?,
            credit: row.count(2)?,
            state: state(&row.text(3)?)?,
            expires_at: row.int(4)?,
        }))
    }

    /// Inserts a purchase. Returns `false` if the key exists.
    pub(super) async fn insert_purchase(
        &mut self,
        key: &str,
        purchase: &Purchase,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO purchases (key, username, amount, credit, state, expires_at) \
             VALUES ($1, $2, $3, $4, 'reserved', $5) ON CONFLICT (key) DO NOTHING RETURNING key";
        let values = [
            key.into(),
            purchase.username.as_str().into(),
            purchase.amount.into(),
            stored(purchase.credit)?.into(),
            purchase.expires_at.into(),
        ];
        let is_changed = !self.session.rows(SQL, &values).await?.is_empty();
        self.has_changed |= is_changed;
        Ok(is_changed)
    }

    /// Settles an open reservation that has not expired, of this user if one is named. Returns
    /// user, amount and credit; `None` if there is none.
    pub(super) async fn settle(
        &mut self,
        key: &str,
        of_user: Option<&str>,
    ) -> Result<Option<(String, i64, u64)>, StoreError> {
        const SQL: &str = "UPDATE purchases SET state = 'settled' \
             WHERE key = $1 AND state = 'reserved' AND expires_at > $2 AND expires_at <= $3 \
             AND (CAST($4 AS TEXT) IS NULL OR username = $4) RETURNING username, amount, credit";
        let values = [
            key.into(),
            self.now.into(),
            self.latest.into(),
            of_user.into(),
        ];
        let Some(row) = self.session.rows(SQL, &values).await?.pop() else {
            return Ok(None);
        };
        self.has_changed = true;
        Ok(Some((row.text(0)?, row.int(1)?, row.count(2)?)))
    }

    /// Ends an open reservation as refunded or expired. Returns `false` if there is none.
    pub(super) async fn end_reservation(
        &mut self,
        key: &str,
        state: PurchaseState,
        credit: u64,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE purchases SET state = $2, credit = $3 WHERE key = $1 AND state = 'reserved' RETURNING key";
        let name = state.to_string();
        let values = [key.into(), name.as_str().into(), stored(credit)?.into()];
        let is_changed = !self.session.rows(SQL, &values).await?.is_empty();
        self.has_changed |= is_changed;
        Ok(is_changed)
    }

    /// Returns keys and amounts of the user's expired reservations.
    pub(super) async fn overdue(
        &mut self,
        username: &str,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        const SQL: &str = "SELECT key, amount FROM purchases \
             WHERE username = $1 AND state = 'reserved' AND (expires_at <= $2 OR expires_at > $3) \
             ORDER BY expires_at, key";
        let values = [username.into(), self.now.into(), self.latest.into()];
        let rows = self.session.rows(SQL, &values).await?;
        Ok(rows
            .iter()
            .map(|row| Ok((row.text(0)?, row.int(1)?)))
            .collect::<sqlx::Result<_>>()?)
    }

    /// Returns up to 100 users with expired reservations, the first ones after a name.
    pub(super) async fn users_with_overdue(
        &mut self,
        after: &str,
    ) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "SELECT DISTINCT username FROM purchases \
             WHERE state = 'reserved' AND (expires_at <= $1 OR expires_at > $2) AND username > $3 \
             ORDER BY username LIMIT 100";
        let values = [self.now.into(), self.latest.into(), after.into()];
        let rows = self.session.rows(SQL, &values).await?;
        Ok(rows
            .iter()
            .map(|row| row.text(0))
            .collect::<sqlx::Result<_>>()?)
    }
}

/// Changes with a key.
impl<S: SqlSession> Ledger<'_, S> {
    pub(super) async fn keyed_change(
        &mut self,
        key: &str,
    ) -> Result<Option<KeyedChange>, StoreError> {
        const SQL: &str =
            "SELECT username, kind, change, credit FROM credit_changes WHERE key = $1";
        let Some(row) = self.session.rows(SQL, &[key.into()]).await?.pop() else {
            return Ok(None);
        };
        Ok(Some(KeyedChange {
            username: row.text(0)?,
            kind: row.text(1)?,
            change: row.int(2)?,
            credit: row.count(3)?,
        }))
    }

    /// Inserts a change. Returns `false` if the key exists.
    pub(super) async fn insert_change(
        &mut self,
        key: &str,
        change: &KeyedChange,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO credit_changes (key, username, kind, change, credit) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key) DO NOTHING RETURNING key";
        let values = [
            key.into(),
            change.username.as_str().into(),
            change.kind.as_str().into(),
            change.change.into(),
            stored(change.credit)?.into(),
        ];
        let is_changed = !self.session.rows(SQL, &values).await?.is_empty();
        self.has_changed |= is_changed;
        Ok(is_changed)
    }
}

/// Ledger entries.
impl<S: SqlSession> Ledger<'_, S> {
    /// Inserts an entry for a change of credit, which was made before: so the row of the user is
    /// locked, and the times of the user's entries are in their order although operations wait for
    /// each other.
    pub(super) async fn insert_entry(&mut self, entry: NewEntry<'_>) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO ledger (time, username, change, credit, reason, key, actor, change_key, principal) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            self.clock.now().as_microsecond().into(),
            entry.username.into(),
            entry.change.into(),
            stored(entry.credit)?.into(),
            entry.reason.into(),
            entry.key.into(),
            entry.actor.map(|actor| actor.server.as_str()).into(),
            entry.change_key.into(),
            entry.actor.and_then(|actor| actor.user.as_deref()).into(),
        ];
        self.session.rows(SQL, &values).await?;
        self.has_changed = true;
        Ok(())
    }

    /// Returns the entries of a user before an entry, or the newest ones, newest first.
    pub(super) async fn entries(
        &mut self,
        username: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<LedgerPage, StoreError> {
        const SQL: &str = "SELECT l.time, l.change, l.credit, COALESCE(c.kind, l.reason), \
             COALESCE(l.key, l.change_key), l.actor, l.id, l.principal \
             FROM ledger l LEFT JOIN credit_changes c ON c.key = l.change_key \
             WHERE l.username = $1 AND l.id < $2 ORDER BY l.id DESC LIMIT $3";
        let before = before.and_then(|id| i64::try_from(id).ok());
        // One more than requested, to find out whether there is another page.
        let values = [
            username.into(),
            before.unwrap_or(i64::MAX).into(),
            (i64::from(limit) + 1).into(),
        ];
        let mut rows = self.session.rows(SQL, &values).await?;
        let has_next = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = match rows.last() {
            Some(row) if has_next => Some(row.count(6)?),
            _ => None,
        };
        let entries = rows.iter().map(|row| {
            Ok(LedgerEntry {
                time: Timestamp::from_microsecond(row.int(0)?)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?,
                change: row.int(1)?,
                credit: row.count(2)?,
                reason: row.text(3)?,
                key: row.nullable_text(4)?,
                actor: row.nullable_text(5)?,
                principal: row.nullable_text(7)?,
            })
        });
        Ok(LedgerPage {
            entries: entries.collect::<sqlx::Result<_>>()?,
            next,
        })
    }
}

/// Converts a credit into a column value. Credits come from a column or were validated, so this
/// does not fail.
fn stored(credit: u64) -> Result<i64, StoreError> {
    i64::try_from(credit).map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))
}

fn state(name: &str) -> Result<PurchaseState, StoreError> {
    match name {
        "reserved" => Ok(PurchaseState::Reserved),
        "settled" => Ok(PurchaseState::Settled),
        "refunded" => Ok(PurchaseState::Refunded),
        "expired" => Ok(PurchaseState::Expired),
        _ => Err(StoreError::Database(sqlx::Error::Decode(
            format!("unknown state {name}").into(),
        ))),
    }
}
