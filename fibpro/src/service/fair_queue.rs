//! A queue for slots in which users take turns.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Maximum number of those that wait for one user.
const MAX_WAITING: usize = 128;

/// Too many wait for the user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UserQueueFull;

/// Hands out a number of slots. A free one goes to the user with the fewest slots, and of several
/// to the one that has waited longest for a turn. So a user with much work delays another one by
/// one piece of work at most for each slot.
///
/// An own type and not a semaphore for each user: which one of several semaphores has the next turn
/// is what this type decides.
pub(super) struct FairQueue {
    state: Mutex<QueueState>,
}

struct QueueState {
    free: usize,
    next_id: u64,
    /// Users that have a slot or wait for one.
    users: HashMap<UserKey, UserState>,
    /// Users that wait, in the order of their turns.
    order: VecDeque<UserKey>,
}

type UserKey = Arc<[u8]>;

#[derive(Default)]
struct UserState {
    slots: usize,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl FairQueue {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            state: Mutex::new(QueueState {
                free: slots,
                next_id: 0,
                users: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    /// Waits for a slot.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up the place in the queue.
    pub(super) async fn enter(self: &Arc<Self>, user: &[u8]) -> Result<Slot, UserQueueFull> {
        let user = UserKey::from(user);
        let slot = || Slot {
            queue: Arc::clone(self),
            user: Arc::clone(&user),
        };
        let mut waiting = {
            let mut state = self.state.lock();
            // Those that wait take each slot that becomes free.
            if state.free > 0 {
                state.free -= 1;
                state.user(&user).slots += 1;
                return Ok(slot());
            }
            let (id, turn) = state.wait(&user)?;
            WaitingTurn {
                queue: self,
                user: &user,
                id,
                turn,
                has_turn: false,
            }
        };
        waiting.turn().await;
        Ok(slot())
    }

    /// Hands the slot of a user to the next one.
    fn release(&self, user: &UserKey) {
        let mut state = self.state.lock();
        // While the slot still counts, so that another user is preferred.
        if !state.serve_next() {
            state.free += 1;
        }
        state.user(user).slots -= 1;
        state.forget(user);
    }

    fn give_up(&self, user: &UserKey, id: u64) {
        let mut state = self.state.lock();
        let waiting = &mut state.user(user).waiting;
        waiting.retain(|(other, _)| *other != id);
        if waiting.is_empty() {
            state.order.retain(|other| other != user);
            state.forget(user);
        }
    }
}

impl QueueState {
    fn user(&mut self, user: &UserKey) -> &mut UserState {
        self.users.entry(Arc::clone(user)).or_default()
    }

    fn wait(&mut self, user: &UserKey) -> Result<(u64, oneshot::Receiver<()>), UserQueueFull> {
        self.next_id += 1;
        let id = self.next_id;
        let state = self.user(user);
        if state.waiting.len() >= MAX_WAITING {
            return Err(UserQueueFull);
        }
        let is_first = state.waiting.is_empty();
        let (sender, turn) = oneshot::channel();
        state.waiting.push_back((id, sender));
        if is_first {
            self.order.push_back(Arc::clone(user));
        }
        Ok((id, turn))
    }

    /// Gives a slot to the next one that waits. Returns `false` if there is none.
    fn serve_next(&mut self) -> bool {
        while let Some(next) = self.next_user() {
            let user = self.user(&next);
            // One that has given up is passed over.
            let turn = user.waiting.pop_front();
            let is_taken = turn.is_some_and(|(_, turn)| turn.send(()).is_ok());
            user.slots += usize::from(is_taken);
            if user.waiting.is_empty() {
                self.forget(&next);
            } else {
                self.order.push_back(next);
            }
            if is_taken {
                return true;
            }
        }
        false
    }

    /// Removes the user whose turn it is from the order.
    fn next_user(&mut self) -> Option<UserKey> {
        let slots = |user: &UserKey| self.users.get(user).map_or(0, |state| state.slots);
        let users = self.order.iter().enumerate();
        let (index, _) = users.min_by_key(|(_, user)| slots(user))?;
        self.order.remove(index)
    }

    /// Forgets a user that neither has a slot nor waits.
    fn forget(&mut self, user: &UserKey) {
        let is_idle = |state: &UserState| state.slots == 0 && state.waiting.is_empty();
        if self.users.get(user).is_some_and(is_idle) {
            self.users.remove(user);
        }
    }
}

/// A place in the queue.
struct WaitingTurn<'q> {
    queue: &'q FairQueue,
    user: &'q UserKey,
    id: u64,
    turn: oneshot::Receiver<()>,
    has_turn: bool,
}

impl WaitingTurn<'_> {
    async fn turn(&mut self) {
        // The queue drops no sender of those that wait.
        let _ = (&mut self.turn).await;
        self.has_turn = true;
    }
}

impl Drop for WaitingTurn<'_> {
    fn drop(&mut self) {
        if self.has_turn {
            return;
        }
        self.turn.close();
        match self.turn.try_recv() {
            // The turn came while the future was being dropped.
            Ok(()) => self.queue.release(self.user),
            Err(_) => self.queue.give_up(self.user, self.id),
        }
    }
}

/// A slot of a user, until it is dropped.
pub(super) struct Slot {
    queue: Arc<FairQueue>,
    user: UserKey,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.queue.release(&self.user);
    }
}

impl fmt::Debug for FairQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("FairQueue")
            .field("free", &state.free)
            .field("users", &state.users.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use futures_util::poll;

    use super::*;

    type Entering = Pin<Box<dyn Future<Output = Result<Slot, UserQueueFull>>>>;

    fn enter(queue: &Arc<FairQueue>, user: &'static str) -> Entering {
        let queue = Arc::clone(queue);
        Box::pin(async move { queue.enter(user.as_bytes()).await })
    }

    /// Waits for those that have a slot now, and returns their users and slots.
    async fn served(waiting: &mut Vec<(&'static str, Entering)>) -> Vec<(&'static str, Slot)> {
        let mut served = Vec::new();
        let mut index = 0;
        while index < waiting.len() {
            let (user, entering) = &mut waiting[index];
            match poll!(entering) {
                Poll::Ready(slot) => {
                    served.push((*user, slot.unwrap()));
                    drop(waiting.remove(index));
                }
                Poll::Pending => index += 1,
            }
        }
        served
    }

    /// Serves all in turn and returns the order of their users.
    async fn order(slots: usize, users: &[&'static str]) -> String {
        let queue = Arc::new(FairQueue::new(slots));
        let mut waiting: Vec<_> = users
            .iter()
            .map(|user| (*user, enter(&queue, user)))
            .collect();
        let mut running = VecDeque::new();
        let mut order = String::new();
        loop {
            for (user, slot) in served(&mut waiting).await {
                order.push_str(user);
                running.push_back(slot);
            }
            if running.pop_front().is_none() {
                break;
            }
        }
        let state = queue.state.lock();
        assert_eq!(state.free, slots);
        assert!(state.users.is_empty() && state.order.is_empty());
        order
    }

    #[tokio::test]
    async fn users_take_turns() {
        assert_eq!(order(1, &["a", "a", "a", "a", "b"]).await, "abaaa");
        assert_eq!(order(1, &["a", "a", "a", "b", "b", "c"]).await, "abacba");
        // A user with fewer slots comes first.
        assert_eq!(order(2, &["a", "a", "a", "a", "b", "b"]).await, "aababa");
        assert_eq!(order(2, &["a", "a", "a", "b", "c"]).await, "aabca");
        assert_eq!(order(3, &["a", "b", "c", "a", "a"]).await, "abcaa");
    }

    #[tokio::test]
    async fn those_that_give_up_keep_no_place() {
        let queue = Arc::new(FairQueue::new(1));
        let slot = enter(&queue, "a").await.unwrap();
        let mut waiting: Vec<_> = ["a", "b", "b", "c"]
            .map(|user| (user, enter(&queue, user)))
            .into();
        assert!(served(&mut waiting).await.is_empty());
        // The first of `b`, and the only one of `c`.
        drop(waiting.remove(3));
        drop(waiting.remove(1));
        drop(slot);
        let (user, slot) = served(&mut waiting).await.remove(0);
        assert_eq!(user, "b");
        // The turn of `a` comes, and it gives up without having seen it.
        drop(slot);
        drop(waiting);
        let state = queue.state.lock();
        assert_eq!(state.free, 1);
        assert!(state.users.is_empty() && state.order.is_empty());
    }

    #[tokio::test]
    async fn the_queue_of_a_user_is_bounded() {
        let queue = Arc::new(FairQueue::new(1));
        let _slot = enter(&queue, "a").await.unwrap();
        let mut waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| ("a", enter(&queue, "a")))
            .collect();
        assert!(served(&mut waiting).await.is_empty());
        assert_eq!(enter(&queue, "a").await.unwrap_err(), UserQueueFull);
        // Another user has an own queue, and a place that was given up is free.
        let mut other = enter(&queue, "b");
        assert!(poll!(&mut other).is_pending());
        waiting.pop();
        let mut next = enter(&queue, "a");
        assert!(poll!(&mut next).is_pending());
    }
}
