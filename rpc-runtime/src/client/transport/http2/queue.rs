//! The queue of the calls that wait for a stream.

use std::collections::{BTreeMap, VecDeque};

/// Identifies a client of the application among those that share the connections to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client::transport) struct ClientId(pub(in crate::client::transport) usize);

/// The place of an entry in a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    client: ClientId,
    number: u64,
}

/// A queue that serves clients in turn, and the entries of a client in order. So a client with many
/// waiting calls does not hold up the call of another one.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    /// The clients with entries, the next one first.
    clients: VecDeque<(ClientId, BTreeMap<u64, T>)>,
    length: usize,
    /// The number of entries so far.
    entered: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            clients: VecDeque::new(),
            length: 0,
            entered: 0,
        }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn push(&mut self, client: ClientId, entry: T) -> Ticket {
        let number = self.entered;
        self.entered += 1;
        self.length += 1;
        match self.position(client) {
            Some(position) => {
                self.clients[position].1.insert(number, entry);
            }
            None => self
                .clients
                .push_back((client, BTreeMap::from([(number, entry)]))),
        }
        Ticket { client, number }
    }

    /// Removes the next entry.
    pub(super) fn pop(&mut self) -> Option<T> {
        let (client, mut entries) = self.clients.pop_front()?;
        let (_, entry) = entries.pop_first()?;
        self.length -= 1;
        if !entries.is_empty() {
            self.clients.push_back((client, entries));
        }
        Some(entry)
    }

    /// Removes an entry that does not wait any more. Returns whether it was in the queue.
    pub(super) fn remove(&mut self, ticket: Ticket) -> bool {
        let Some(position) = self.position(ticket.client) else {
            return false;
        };
        let entries = &mut self.clients[position].1;
        if entries.remove(&ticket.number).is_none() {
            return false;
        }
        if entries.is_empty() {
            self.clients.remove(position);
        }
        self.length -= 1;
        true
    }

    fn position(&self, client: ClientId) -> Option<usize> {
        self.clients.iter().position(|(other, _)| *other == client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain<T>(queue: &mut FairQueue<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn clients_are_served_in_turn() {
        let mut queue = FairQueue::default();
        for number in 0..4 {
            queue.push(ClientId(1), ("a", number));
        }
        queue.push(ClientId(2), ("b", 0));
        assert_eq!(queue.pop(), Some(("a", 0)));
        queue.push(ClientId(3), ("c", 0));
        queue.push(ClientId(2), ("b", 1));
        assert_eq!(queue.len(), 6);
        let rest = [("b", 0), ("a", 1), ("c", 0), ("b", 1), ("a", 2), ("a", 3)];
        assert_eq!(drain(&mut queue), rest);
        assert!(queue.is_empty() && queue.clients.is_empty());
    }

    #[test]
    fn an_entry_that_leaves_is_removed() {
        let mut queue = FairQueue::default();
        let tickets: Vec<_> = (0..6)
            .map(|number| queue.push(ClientId(number % 2), number))
            .collect();
        assert_eq!(queue.pop(), Some(0));
        assert!(!queue.remove(tickets[0]), "it was served");
        assert!(queue.remove(tickets[3]) && !queue.remove(tickets[3]));
        assert_eq!(drain(&mut queue), [1, 2, 5, 4]);
        let only = queue.push(ClientId(7), 7);
        assert!(queue.remove(only));
        assert!(queue.is_empty() && queue.clients.is_empty());
    }
}
