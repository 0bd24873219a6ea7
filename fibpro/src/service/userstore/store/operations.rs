//! What can be done with the books. Each operation is one transaction.
//!
//! What an operation answers, a refusal included, is committed with all that it has changed; an `Err` undoes it all.

use std::time::Duration;

use super::books::{Account, Books, NewUser, Purchase};
use super::note::Note;
use super::session::Session;
use super::trouble::Trouble;
use crate::api::userstore::{Entry, Reservation, State, UserStoreError};

/// Something to do with the books.
pub(crate) trait Operation: Send + Sync + 'static {
    /// What comes of it.
    type Answer: Send + 'static;

    /// Does it. May be called again, when what it did was undone.
    fn run<S: Session>(
        &self,
        books: &mut Books<'_, S>,
    ) -> impl Future<Output = Result<Self::Answer, Trouble>> + Send;
}

/// An answer, or what is wrong with the request.
type Verdict<T> = Result<T, UserStoreError>;

// === reading ===

pub(crate) struct FindAccount {
    pub(crate) username: String,
}

impl Operation for FindAccount {
    type Answer = Option<Account>;

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<Self::Answer, Trouble> {
        books.account(&self.username).await
    }
}

pub(crate) struct HasUsers;

impl Operation for HasUsers {
    type Answer = bool;

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<bool, Trouble> {
        books.has_users().await
    }
}

/// Who has reservations that are overdue; not necessarily all of them at once.
pub(crate) struct FindOverdue;

impl Operation for FindOverdue {
    type Answer = Vec<String>;

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<Self::Answer, Trouble> {
        books.users_with_overdue().await
    }
}

// === users ===

/// Adds users to books that have none. Of two who do it at one time, both add those whom the other has not added.
pub(crate) struct Import(pub(in super::super) Vec<NewUser>);

impl Operation for Import {
    type Answer = ();

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<(), Trouble> {
        for user in &self.0 {
            if !books.add(user).await? {
                continue;
            }
            let credit = user.credit;
            books
                .enter(
                    &user.username,
                    credit,
                    credit.unsigned_abs(),
                    "opening",
                    None,
                )
                .await?;
            books.notes.push(Note::Added {
                username: user.username.clone(),
                credit,
            });
        }
        Ok(())
    }
}

pub(crate) struct SetCredit {
    pub(crate) username: String,
    pub(crate) credit: i64,
}

impl Operation for SetCredit {
    type Answer = Verdict<Account>;

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<Self::Answer, Trouble> {
        // What is overdue belongs to the credit that is replaced.
        return_overdue(books, &self.username).await?;
        let Some(old) = books.lock(&self.username).await? else {
            return Ok(Err(no_such_user(&self.username)));
        };
        if old != self.credit {
            books.set(&self.username, self.credit).await?;
            let (change, credit) = (self.credit - old, self.credit.unsigned_abs());
            books
                .enter(&self.username, change, credit, "set", None)
                .await?;
        }
        books.notes.push(Note::Set {
            username: self.username.clone(),
            credit: self.credit,
        });
        let account = books.account(&self.username).await?;
        Ok(account.ok_or_else(|| no_such_user(&self.username)))
    }
}

// === purchases ===

pub(crate) struct Reserve {
    pub(crate) username: String,
    pub(crate) amount: i64,
    pub(crate) key: String,
    /// How long until it returns.
    pub(crate) lifetime: Duration,
}

impl Operation for Reserve {
    type Answer = Verdict<Reservation>;

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<Self::Answer, Trouble> {
        if let Some(purchase) = books.purchase(&self.key).await? {
            return self.again(books, purchase).await;
        }
        return_overdue(books, &self.username).await?;
        let Some(credit) = books.take(&self.username, self.amount).await? else {
            return Ok(Err(match books.credit(&self.username).await? {
                Some(credit) => UserStoreError::InsufficientCredit {
                    username: self.username.clone(),
                    credit,
                    amount: self.amount.unsigned_abs(),
                },
                None => no_such_user(&self.username),
            }));
        };
        let lifetime = i64::try_from(self.lifetime.as_micros()).unwrap_or(i64::MAX);
        let purchase = Purchase {
            username: self.username.clone(),
            amount: self.amount,
            credit,
            state: State::Reserved,
            expires_at: books.now().saturating_add(lifetime),
        };
        if !books.begin(&self.key, &purchase).await? {
            // Somebody else has begun it since we looked.
            return Err(Trouble::Again);
        }
        books
            .enter(
                &self.username,
                -self.amount,
                credit,
                "reserve",
                Some(&self.key),
            )
            .await?;
        books.notes.push(Note::Reserved {
            username: self.username.clone(),
            amount: self.amount,
            credit,
        });
        Ok(Ok(reservation(&self.key, purchase)))
    }
}

impl Reserve {
    /// The answer where there is a purchase of this key already.
    async fn again<S: Session>(
        &self,
        books: &mut Books<'_, S>,
        purchase: Purchase,
    ) -> Result<Verdict<Reservation>, Trouble> {
        if purchase.username != self.username || purchase.amount != self.amount {
            return Ok(Err(UserStoreError::PurchaseDiffers {
                key: self.key.clone(),
            }));
        }
        Ok(match expire_if_overdue(books, &self.key, purchase).await? {
            purchase if matches!(purchase.state, State::Refunded | State::Expired) => {
                Err(ended(&self.key, purchase.state))
            }
            purchase => Ok(reservation(&self.key, purchase)),
        })
    }
}

pub(crate) struct Settle {
    pub(crate) key: String,
}

impl Operation for Settle {
    type Answer = Verdict<Reservation>;

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<Self::Answer, Trouble> {
        if let Some((username, amount, credit)) = books.settle(&self.key).await? {
            books.notes.push(Note::Settled {
                username: username.clone(),
                amount,
                credit,
            });
            return Ok(Ok(Reservation {
                key: self.key.clone(),
                username,
                amount: amount.unsigned_abs(),
                credit,
                state: State::Settled,
            }));
        }
        let Some(purchase) = books.purchase(&self.key).await? else {
            return Ok(Err(no_such_purchase(&self.key)));
        };
        let purchase = expire_if_overdue(books, &self.key, purchase).await?;
        match purchase.state {
            State::Settled => Ok(Ok(reservation(&self.key, purchase))),
            // It was not there a moment ago.
            State::Reserved => Err(Trouble::Again),
            state @ (State::Refunded | State::Expired) => Ok(Err(ended(&self.key, state))),
        }
    }
}

pub(crate) struct Refund {
    pub(crate) key: String,
}

impl Operation for Refund {
    type Answer = Verdict<Reservation>;

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<Self::Answer, Trouble> {
        let Some(purchase) = books.purchase(&self.key).await? else {
            return Ok(Err(no_such_purchase(&self.key)));
        };
        let mut purchase = expire_if_overdue(books, &self.key, purchase).await?;
        match purchase.state {
            State::Reserved => {
                give_back(books, &self.key, &mut purchase, State::Refunded).await?;
                Ok(Ok(reservation(&self.key, purchase)))
            }
            // The credit is where the caller wants it, whoever has brought it there.
            State::Refunded | State::Expired => Ok(Ok(reservation(&self.key, purchase))),
            State::Settled => Ok(Err(ended(&self.key, State::Settled))),
        }
    }
}

/// Returns a user's reservations that are overdue; answers how many there were.
pub(crate) struct ReturnOverdue {
    pub(crate) username: String,
}

impl Operation for ReturnOverdue {
    type Answer = usize;

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<usize, Trouble> {
        return_overdue(books, &self.username).await
    }
}

/// The newest entries of a user's ledger, the newest first; and whether there is something overdue, without which the
/// first entry has not the credit that the user has.
pub(crate) struct ReadLedger {
    pub(crate) username: String,
    pub(crate) limit: u32,
}

impl Operation for ReadLedger {
    type Answer = Verdict<(Vec<Entry>, bool)>;

    async fn run<S: Session>(&self, books: &mut Books<'_, S>) -> Result<Self::Answer, Trouble> {
        if books.credit(&self.username).await?.is_none() {
            return Ok(Err(no_such_user(&self.username)));
        }
        let is_overdue = !books.overdue(&self.username).await?.is_empty();
        Ok(Ok((
            books.entries(&self.username, self.limit).await?,
            is_overdue,
        )))
    }
}

// === what they share ===

async fn return_overdue<S: Session>(
    books: &mut Books<'_, S>,
    username: &str,
) -> Result<usize, Trouble> {
    let overdue = books.overdue(username).await?;
    for (key, amount) in &overdue {
        return_credit(books, key, username, *amount, State::Expired).await?;
    }
    Ok(overdue.len())
}

async fn expire_if_overdue<S: Session>(
    books: &mut Books<'_, S>,
    key: &str,
    mut purchase: Purchase,
) -> Result<Purchase, Trouble> {
    if purchase.state == State::Reserved && purchase.expires_at <= books.now() {
        give_back(books, key, &mut purchase, State::Expired).await?;
    }
    Ok(purchase)
}

async fn give_back<S: Session>(
    books: &mut Books<'_, S>,
    key: &str,
    purchase: &mut Purchase,
    state: State,
) -> Result<(), Trouble> {
    purchase.credit = return_credit(books, key, &purchase.username, purchase.amount, state).await?;
    purchase.state = state;
    Ok(())
}

/// Returns a reservation to its user, as refunded or expired; answers the credit after it.
async fn return_credit<S: Session>(
    books: &mut Books<'_, S>,
    key: &str,
    username: &str,
    amount: i64,
    state: State,
) -> Result<u64, Trouble> {
    let credit = books.give(username, amount).await?;
    if !books.end(key, state, credit).await? {
        // Somebody else has ended it since we looked.
        return Err(Trouble::Again);
    }
    let reason = if state == State::Refunded {
        "refund"
    } else {
        "expire"
    };
    books
        .enter(username, amount, credit, reason, Some(key))
        .await?;
    books.notes.push(Note::Returned {
        username: username.to_owned(),
        amount,
        credit,
    });
    Ok(credit)
}

fn reservation(key: &str, purchase: Purchase) -> Reservation {
    Reservation {
        key: key.to_owned(),
        username: purchase.username,
        amount: purchase.amount.unsigned_abs(),
        credit: purchase.credit,
        state: purchase.state,
    }
}

fn no_such_user(username: &str) -> UserStoreError {
    UserStoreError::NoSuchUser {
        username: username.to_owned(),
    }
}

fn no_such_purchase(key: &str) -> UserStoreError {
    UserStoreError::NoSuchPurchase {
        key: key.to_owned(),
    }
}

fn ended(key: &str, state: State) -> UserStoreError {
    UserStoreError::PurchaseEnded {
        key: key.to_owned(),
        state,
    }
}
