//! Bounds the changes that wait for the database, in total and for each user.
//!
//! Without bounds, one user's calls can fill the queue, and all others are refused.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rpc_runtime::{Code, Error, Result};

use super::turns::Turns;

/// Maximum number of changes that wait or run.
const CHANGES: usize = 2048;

/// The same for one user.
const CHANGES_PER_USER: usize = 512;

/// Maximum number of changes of one user that run at the same time. They wait for the row of the
/// user, each with a session of the database.
const TURNS_PER_USER: usize = 4;

/// Delay before a caller retries.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The changes that wait or run.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteQueue(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    total: usize,
    users: HashMap<Arc<str>, UserQueue>,
}

#[derive(Debug, Default)]
struct UserQueue {
    changes: usize,
    turns: Option<Arc<Turns>>,
}

/// A place in the queue. Dropping it leaves the queue.
#[derive(Debug)]
pub(super) struct QueuePlace {
    queue: WriteQueue,
    username: Option<Arc<str>>,
}

impl WriteQueue {
    /// Enters the queue with a change, of this user if it is known.
    ///
    /// # Errors
    ///
    /// `resource_exhausted` with a retry delay when a bound is reached.
    pub(super) fn enter(&self, username: Option<&str>) -> Result<QueuePlace> {
        let mut waiting = self.0.lock();
        if waiting.total >= CHANGES {
            return Err(refused(
                "too many changes of the users' database are queued; retry later",
            ));
        }
        let username = username.map(|name| match waiting.users.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None => name.into(),
        });
        if let Some(username) = &username {
            let user = waiting.users.entry(Arc::clone(username)).or_default();
            if user.changes >= CHANGES_PER_USER {
                return Err(refused(
                    "too many changes of this user are queued; retry later",
                ));
            }
            user.changes += 1;
        }
        waiting.total += 1;
        Ok(QueuePlace {
            queue: self.clone(),
            username,
        })
    }
}

impl WriteQueue {
    /// Returns whether the next change would be refused.
    pub(super) fn is_full(&self) -> bool {
        self.0.lock().total >= CHANGES
    }
}

impl QueuePlace {
    /// Returns the turns of the user's changes, if the user is known.
    pub(super) fn turns_of_user(&self) -> Option<Arc<Turns>> {
        let username = self.username.as_deref()?;
        let mut waiting = self.queue.0.lock();
        let user = waiting.users.get_mut(username)?;
        let turns = user.turns.get_or_insert_with(|| Turns::new(TURNS_PER_USER));
        Some(Arc::clone(turns))
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut waiting = self.queue.0.lock();
        waiting.total -= 1;
        if let Some(username) = self.username.take()
            && let Entry::Occupied(mut user) = waiting.users.entry(username)
        {
            user.get_mut().changes -= 1;
            if user.get().changes == 0 {
                user.remove();
            }
        }
    }
}

#[track_caller]
fn refused(text: &'static str) -> Error {
    Error::new(Code::ResourceExhausted, text).with_retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(queue: &WriteQueue, username: Option<&str>, count: usize) -> Vec<QueuePlace> {
        let entered = (0..count).map(|_| queue.enter(username));
        entered.map_while(Result::ok).collect()
    }

    #[test]
    fn one_user_cannot_fill_the_queue() {
        let queue = WriteQueue::default();
        let greedy = enter(&queue, Some("greedy"), 2 * CHANGES);
        assert_eq!(greedy.len(), CHANGES_PER_USER);
        let error = queue.enter(Some("greedy")).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert_eq!(error.retry_after(), Some(RETRY_AFTER));
        assert!(error.message().contains("this user"), "{error}");
        // Others are not affected, nor changes without a user.
        assert_eq!(enter(&queue, Some("other"), 8).len(), 8);
        assert_eq!(enter(&queue, None, 8).len(), 8);
        drop(greedy);
        assert_eq!(enter(&queue, Some("greedy"), 1).len(), 1);
    }

    #[test]
    fn all_users_together_are_bounded() {
        let queue = WriteQueue::default();
        let names: Vec<_> = (0..16).map(|n| format!("u{n}")).collect();
        let entered: Vec<_> = names
            .iter()
            .map(|name| enter(&queue, Some(name), CHANGES / 16))
            .collect();
        assert_eq!(entered.iter().map(Vec::len).sum::<usize>(), CHANGES);
        let error = queue.enter(None).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        drop(entered);
        assert_eq!(enter(&queue, None, 2 * CHANGES).len(), CHANGES);
    }

    #[test]
    fn a_user_without_changes_is_forgotten() {
        let queue = WriteQueue::default();
        for n in 0..100 {
            let place = queue.enter(Some(&format!("u{n}"))).unwrap();
            assert!(place.turns_of_user().is_some());
        }
        assert!(queue.0.lock().users.is_empty());
        assert_eq!(queue.0.lock().total, 0);
    }
}
