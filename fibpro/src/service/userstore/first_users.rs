//! Adds the users of a list to a new database.
//!
//! A hash takes some 30 ms of a core on purpose, so thousands of users take minutes. They are
//! inserted in parts: a start that is interrupted has added some, and the next one adds the rest.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rpc_runtime::{Code, Error, Result};
use tokio::time::Instant;

use super::hashing::Argon2Cost;
use super::import::{ImportedUser, UserList};
use super::passwords::Passwords;
use super::progress::Progress;
use super::store::{FindImport, FindUsernames, HasUsers, Import, NewUser, Store};

/// Maximum number of users that are inserted in one transaction.
const PART: usize = 64;

/// Time after which the users with a hash are inserted. After an interruption, their hashes need
/// not be computed again.
const PART_TIME: Duration = Duration::from_secs(1);

/// Maximum number of concurrent hashes, each of which has 19 MiB. Nothing else runs yet.
const MAX_CONCURRENT: usize = 16;

/// Adds the users of a list if there are no users, or if an earlier start was adding this list.
///
/// Otherwise a removed user would return at the next start, with a publicly known password in the
/// case of the tutorial.
pub(super) async fn add(
    store: &Store,
    list: UserList,
    cost: Argon2Cost,
    progress: &Progress,
) -> Result<()> {
    let digest = list.digest();
    let added = match store.read(FindImport).await? {
        None if store.read(HasUsers).await? => {
            tracing::debug!("the database has users; the users of the list are not added");
            return store.remember_users();
        }
        None => {
            store.check_empty()?;
            HashSet::new()
        }
        Some(begun) if begun == digest => store.read(FindUsernames).await?,
        Some(_) => return Err(other_list()),
    };
    if list.is_empty() {
        return Ok(());
    }
    let done = &AtomicUsize::new(added.len());
    let total = list.len();
    let state = |_| {
        let done = done.load(Ordering::Relaxed);
        format!("adding users: {done} of {total} passwords are hashed")
    };
    let missing = list.into_members().into_iter();
    let missing: Vec<_> = missing
        .filter(|user| !added.contains(&user.username))
        .collect();
    let adding = add_missing(store, missing, &digest, cost, done);
    progress.during(adding, state).await?;
    if added.len() == total {
        insert(store, Vec::new(), &digest, true).await?;
    }
    store.remember_users()
}

/// Hashes the passwords of users, on all cores, and inserts the users in parts.
async fn add_missing(
    store: &Store,
    missing: Vec<ImportedUser>,
    digest: &str,
    cost: Argon2Cost,
    done: &AtomicUsize,
) -> Result<()> {
    let cores = available_parallelism().map_or(1, |cores| cores.get().min(MAX_CONCURRENT));
    let passwords = &Passwords::with_turns(cost, cores)?;
    let mut left = missing.len();
    let hashed = stream::iter(missing).map(|user| async move {
        let password_hash = passwords.hash(user.password).await?;
        done.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Error>(NewUser {
            password_hash,
            credit: user.credit,
            username: user.username,
            roles: user.roles,
        })
    });
    let mut hashed = pin!(hashed.buffered(cores));
    let (mut part, mut begin) = (Vec::new(), Instant::now());
    while let Some(user) = hashed.try_next().await? {
        part.push(user);
        left -= 1;
        if left == 0 || part.len() == PART || begin.elapsed() >= PART_TIME {
            insert(store, std::mem::take(&mut part), digest, left == 0).await?;
            begin = Instant::now();
        }
    }
    Ok(())
}

async fn insert(store: &Store, users: Vec<NewUser>, list: &str, is_last: bool) -> Result<()> {
    let list = list.to_owned();
    let part = Import {
        users,
        list,
        is_last,
    };
    store.write(part).await
}

#[track_caller]
fn other_list() -> Error {
    let text = "cannot add users: an earlier start was interrupted while it added those of another list; start with that \
         list, or remove the database to begin anew";
    Error::new(Code::FailedPrecondition, text)
}
