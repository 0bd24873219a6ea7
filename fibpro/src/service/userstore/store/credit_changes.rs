//! Changes of credit that are no purchases: absolute ones, and those with a key.

use super::audit::{Actor, AuditEvent};
use super::error::StoreError;
use super::ledger::{Account, KeyedChange, Ledger, NewEntry};
use super::operations::{
    Operation, OperationResult, Subject, check_total, no_such_user, return_overdue,
};
use super::session::SqlSession;
use crate::api::userstore::{CREDIT_LIMIT, CreditChange, UserStoreError};

pub(crate) struct SetCredit {
    pub(crate) username: String,
    pub(crate) credit: i64,
    pub(crate) actor: Actor,
}

impl Operation for SetCredit {
    type Output = OperationResult<Account>;

    fn subject(&self) -> Subject<'_> {
        Subject::User(&self.username)
    }

    fn is_idempotent(&self) -> bool {
        // It would undo what was bought in between.
        false
    }

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        // Expired reservations belong to the credit that is replaced.
        return_overdue(ledger, &self.username).await?;
        let Some(old) = ledger.lock_user(&self.username).await? else {
            return Ok(Err(no_such_user(&self.username)));
        };
        if let Err(error) = check_total(ledger, &self.username, self.credit).await? {
            return Ok(Err(error));
        }
        if old != self.credit {
            ledger.set_credit(&self.username, self.credit).await?;
            let (change, credit) = (self.credit - old, self.credit.unsigned_abs());
            ledger
                .insert_entry(NewEntry {
                    username: &self.username,
                    change,
                    credit,
                    reason: "set",
                    actor: Some(&self.actor),
                    ..NewEntry::default()
                })
                .await?;
        }
        let event = AuditEvent::Set {
            username: self.username.clone(),
            credit: self.credit,
        };
        ledger.audit(event, Some(&self.actor));
        let account = ledger.account(&self.username).await?;
        Ok(account.ok_or_else(|| no_such_user(&self.username)))
    }
}

/// Changes a credit once for a key.
pub(crate) struct ChangeCredit {
    pub(crate) username: String,
    pub(crate) rule: ChangeRule,
    pub(crate) key: String,
    pub(crate) actor: Actor,
}

/// Rule of a change with a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ChangeRule {
    /// Adds `change`, and leaves at least `floor` if that is negative.
    Add { change: i64, floor: i64 },
    /// Sets the credit to `credit` if it is `expected`.
    Replace { expected: i64, credit: i64 },
}

impl ChangeRule {
    fn kind(self) -> &'static str {
        match self {
            Self::Add { change, .. } if change < 0 => "withdraw",
            Self::Add { .. } => "deposit",
            Self::Replace { .. } => "set",
        }
    }

    fn change(self) -> i64 {
        match self {
            Self::Add { change, .. } => change,
            Self::Replace { expected, credit } => credit - expected,
        }
    }

    /// Returns whether a change that was made has this rule.
    fn matches(self, made: &KeyedChange) -> bool {
        let is_same = match self {
            Self::Add { .. } => true,
            Self::Replace { credit, .. } => made.credit == credit.unsigned_abs(),
        };
        is_same && made.kind == self.kind() && made.change == self.change()
    }

    /// Returns the credit after the change of `old`.
    fn apply(self, username: &str, old: i64) -> OperationResult<i64> {
        let username = || username.to_owned();
        match self {
            Self::Add { change, floor } if change < 0 && old.saturating_add(change) < floor => {
                Err(UserStoreError::InsufficientCredit {
                    username: username(),
                    credit: old.unsigned_abs(),
                    amount: floor.saturating_sub(change).unsigned_abs(),
                })
            }
            Self::Add { change, .. }
                if change > 0 && old.saturating_add(change).unsigned_abs() > CREDIT_LIMIT =>
            {
                Err(UserStoreError::CreditLimitExceeded {
                    username: username(),
                    credit: old.unsigned_abs(),
                    change,
                })
            }
            Self::Add { change, .. } => Ok(old + change),
            Self::Replace { expected, .. } if old != expected => {
                Err(UserStoreError::CreditDiffers {
                    username: username(),
                    credit: old.unsigned_abs(),
                    expected: expected.unsigned_abs(),
                })
            }
            Self::Replace { credit, .. } => Ok(credit),
        }
    }
}

impl Operation for ChangeCredit {
    type Output = OperationResult<CreditChange>;

    fn subject(&self) -> Subject<'_> {
        Subject::User(&self.username)
    }

    async fn run<S: SqlSession>(
        &self,
        ledger: &mut Ledger<'_, S>,
    ) -> Result<Self::Output, StoreError> {
        if let Some(made) = ledger.keyed_change(&self.key).await? {
            let is_repeat = made.username == self.username && self.rule.matches(&made);
            let key = self.key.clone();
            return Ok(if is_repeat {
                Ok(self.result(made.credit))
            } else {
                Err(UserStoreError::KeyDiffers { key })
            });
        }
        return_overdue(ledger, &self.username).await?;
        let Some(old) = ledger.lock_user(&self.username).await? else {
            return Ok(Err(no_such_user(&self.username)));
        };
        let new = match self.rule.apply(&self.username, old) {
            Ok(new) => new,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if new > old
            && let Err(error) = check_total(ledger, &self.username, new).await?
        {
            return Ok(Err(error));
        }
        ledger.set_credit(&self.username, new).await?;
        let result = self.result(new.unsigned_abs());
        let change = KeyedChange {
            username: self.username.clone(),
            kind: self.rule.kind().to_owned(),
            change: result.change,
            credit: result.credit,
        };
        if !ledger.insert_change(&self.key, &change).await? {
            // A concurrent operation inserted it since the lookup.
            return Err(StoreError::Conflict);
        }
        ledger
            .insert_entry(NewEntry {
                username: &self.username,
                change: result.change,
                credit: result.credit,
                reason: "set",
                actor: Some(&self.actor),
                change_key: Some(&self.key),
                ..NewEntry::default()
            })
            .await?;
        ledger.audit(self.event(&result), Some(&self.actor));
        Ok(Ok(result))
    }
}

impl ChangeCredit {
    fn result(&self, credit: u64) -> CreditChange {
        CreditChange {
            key: self.key.clone(),
            username: self.username.clone(),
            change: self.rule.change(),
            credit,
        }
    }

    fn event(&self, result: &CreditChange) -> AuditEvent {
        let username = self.username.clone();
        match self.rule {
            ChangeRule::Add { change, .. } => AuditEvent::Changed {
                username,
                change,
                credit: result.credit,
            },
            ChangeRule::Replace { credit, .. } => AuditEvent::Set { username, credit },
        }
    }
}
