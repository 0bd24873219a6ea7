//! Tracks which numbered records were received.
//!
//! A source numbers the records of each session (process run) from 1. The received numbers of a
//! session are nearly always one range; each gap, where the source dropped records, adds one. So a
//! few bytes suffice to remember all numbers, and they are kept longer than the records.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use rpc_runtime::Source;

/// Maximum number of tracked sessions. Beyond it, the least recently used ones are evicted.
const MAX_SESSIONS: usize = 4096;

/// Maximum number of ranges of all sessions together. Beyond it, the least recently used sessions
/// are evicted.
const RANGES: usize = 64 << 10;

/// Maximum number of ranges of one session. Beyond it, the lowest range is dropped.
///
/// Dropping a range may accept a record twice; merging ranges across a gap would reject a record
/// that never arrived.
const MAX_RANGES_PER_SESSION: usize = 1024;

/// Received sequence numbers by source and session.
#[derive(Debug, Clone, Default)]
pub(super) struct SequenceTracker {
    sources: HashMap<Source, BTreeMap<u64, SessionSeqs>>,
    session_count: usize,
    ranges: usize,
    /// Counter of uses, for finding the least recently used session.
    clock: u64,
}

#[derive(Debug, Clone, Default)]
struct SessionSeqs {
    sequences: RangeSet,
    used: u64,
}

impl SequenceTracker {
    /// Adds a number. Returns whether it is new.
    pub(super) fn insert(&mut self, source: &Source, epoch: u64, sequence: u64) -> bool {
        self.clock += 1;
        let sessions = match self.sources.get_mut(source) {
            Some(sessions) => sessions,
            None => self.sources.entry(source.clone()).or_default(),
        };
        let session = sessions.entry(epoch).or_insert_with(|| {
            self.session_count += 1;
            SessionSeqs::default()
        });
        session.used = self.clock;
        let before = session.sequences.0.len();
        let new = session.sequences.insert(sequence);
        self.ranges = self.ranges + session.sequences.0.len() - before;
        new
    }

    /// Removes a number that [`insert`](Self::insert) added, after its record could not be written
    /// or stored. Returns whether it was there.
    pub(super) fn remove(&mut self, source: &Source, epoch: u64, sequence: u64) -> bool {
        let session = self.sources.get_mut(source);
        let Some(session) = session.and_then(|sessions| sessions.get_mut(&epoch)) else {
            return false;
        };
        let before = session.sequences.0.len();
        let removed = session.sequences.remove(sequence);
        self.ranges = self.ranges + session.sequences.0.len() - before;
        removed
    }

    /// Returns the ranges of a session in the form of the store.
    pub(super) fn sequences(&self, source: &Source, epoch: u64) -> Option<&RangeSet> {
        let session = self.sources.get(source)?.get(&epoch)?;
        Some(&session.sequences)
    }

    /// Adds a session that the store has. Call it in the order of use, least recent first.
    pub(super) fn restore(&mut self, source: Source, epoch: u64, sequences: RangeSet) {
        self.clock += 1;
        self.session_count += 1;
        self.ranges += sequences.0.len();
        let session = SessionSeqs {
            sequences,
            used: self.clock,
        };
        self.sources
            .entry(source)
            .or_default()
            .insert(epoch, session);
    }

    /// Evicts the least recently used quarter of the sessions if a limit is exceeded, and returns
    /// them.
    pub(super) fn forget(&mut self) -> Vec<(Source, u64)> {
        if self.session_count <= MAX_SESSIONS && self.ranges <= RANGES {
            return Vec::new();
        }
        let mut used: Vec<_> = self
            .sources
            .values()
            .flat_map(|sessions| sessions.values().map(|session| session.used))
            .collect();
        // At least one: few sessions with many ranges also have to be bounded.
        let count = (used.len() / 4).max(1);
        let (_, last, _) = used.select_nth_unstable(count - 1);
        let last = *last;
        let mut forgotten = Vec::with_capacity(count);
        self.sources.retain(|source, sessions| {
            sessions.retain(|epoch, session| {
                if session.used > last {
                    return true;
                }
                self.session_count -= 1;
                self.ranges -= session.sequences.0.len();
                forgotten.push((source.clone(), *epoch));
                false
            });
            !sessions.is_empty()
        });
        forgotten
    }
}

/// Set of numbers as sorted ranges, such as `1-100,105`.
///
/// An own type: `rangemap` and `range-set-blaze` have no bound on the number of ranges that drops
/// the lowest one, and keep a tree where a vector with one element is the normal case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RangeSet(Vec<(u64, u64)>);

impl RangeSet {
    fn insert(&mut self, number: u64) -> bool {
        // Skips the ranges that end before the number. Usually all of them, because records arrive
        // in order.
        let at = match self.0.last() {
            Some((_, end)) if *end < number => self.0.len(),
            _ => self.0.partition_point(|(_, end)| *end < number),
        };
        if self.0.get(at).is_some_and(|(start, _)| *start <= number) {
            return false;
        }
        let joins_before = at > 0 && self.0[at - 1].1 + 1 == number;
        let joins_behind = self
            .0
            .get(at)
            .is_some_and(|(start, _)| *start - 1 == number);
        match (joins_before, joins_behind) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = number,
            (false, true) => self.0[at].0 = number,
            (false, false) => self.0.insert(at, (number, number)),
        }
        if self.0.len() > MAX_RANGES_PER_SESSION {
            self.0.remove(0);
        }
        true
    }

    fn remove(&mut self, number: u64) -> bool {
        let at = self.0.partition_point(|(_, end)| *end < number);
        let Some(&(start, end)) = self.0.get(at).filter(|(start, _)| *start <= number) else {
            return false;
        };
        let before = (start < number).then(|| (start, number - 1));
        let behind = (number < end).then(|| (number + 1, end));
        self.0.splice(at..=at, before.into_iter().chain(behind));
        true
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (start, end)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if start == end {
                write!(f, "{comma}{start}")?;
            } else {
                write!(f, "{comma}{start}-{end}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for RangeSet {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges = text.split(',').filter(|range| !range.is_empty());
        ranges
            .map(|range| {
                let (start, end) = range.split_once('-').unwrap_or((range, range));
                Ok((start.parse()?, end.parse()?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str) -> Source {
        format!("{name}@prod/a1").parse().unwrap()
    }

    #[test]
    fn a_number_is_new_once_in_any_order() {
        let mut ranges = RangeSet::default();
        for (number, new, text) in [
            (3, true, "3"),
            (4, true, "3-4"),
            (3, false, "3-4"),
            (1, true, "1,3-4"),
            (7, true, "1,3-4,7"),
            (2, true, "1-4,7"),
            (6, true, "1-4,6-7"),
            (5, true, "1-7"),
            (5, false, "1-7"),
            (u64::MAX, true, "1-7,18446744073709551615"),
            (u64::MAX, false, "1-7,18446744073709551615"),
            (0, true, "0-7,18446744073709551615"),
        ] {
            assert_eq!(ranges.insert(number), new, "{number} {ranges}");
            assert_eq!(ranges.to_string(), text);
            assert_eq!(text.parse(), Ok(ranges.clone()));
        }
    }

    #[test]
    fn a_number_that_was_taken_back_is_new_again() {
        let mut ranges: RangeSet = "1-7".parse().unwrap();
        for (number, text) in [
            (4, "1-3,5-7"),
            (1, "2-3,5-7"),
            (7, "2-3,5-6"),
            (9, "2-3,5-6"),
            (2, "3,5-6"),
            (3, "5-6"),
        ] {
            assert_eq!(ranges.remove(number), number != 9);
            assert_eq!(ranges.to_string(), text);
        }
        assert!(ranges.insert(4));
        assert_eq!(ranges.to_string(), "4-6");
    }

    #[test]
    fn sessions_are_independent() {
        let mut seen = SequenceTracker::default();
        let (a, b) = (source("a"), source("b"));
        assert!(seen.insert(&a, 1, 1) && seen.insert(&a, 2, 1) && seen.insert(&b, 1, 1));
        assert!(!seen.insert(&a, 1, 1) && !seen.insert(&a, 2, 1) && !seen.insert(&b, 1, 1));
        assert!(seen.remove(&a, 2, 1) && !seen.remove(&a, 2, 1) && !seen.remove(&a, 3, 1));
        assert!(seen.insert(&a, 2, 1) && !seen.insert(&a, 1, 1));
    }

    #[test]
    fn the_least_recently_used_sessions_are_evicted() {
        let mut seen = SequenceTracker::default();
        let (a, b) = (source("a"), source("b"));
        for epoch in 0..MAX_SESSIONS as u64 {
            assert!(seen.insert(&a, epoch, 1));
        }
        assert_eq!(seen.forget(), []);
        assert!(!seen.insert(&a, 0, 1));
        assert!(seen.insert(&b, 0, 1));
        let mut forgotten = seen.forget();
        forgotten.sort_by_key(|(_, epoch)| *epoch);
        let expected: Vec<_> = (1..=MAX_SESSIONS as u64 / 4)
            .map(|epoch| (a.clone(), epoch))
            .collect();
        assert_eq!(forgotten, expected);
        assert!(!seen.insert(&a, 0, 1) && !seen.insert(&b, 0, 1) && seen.insert(&a, 1, 1));
    }

    #[test]
    fn too_many_gaps_evict_the_lowest_range() {
        let mut seen = SequenceTracker::default();
        let a = source("a");
        for index in 0..=MAX_RANGES_PER_SESSION as u64 {
            assert!(seen.insert(&a, 1, 1 + 2 * index));
        }
        assert!(!seen.insert(&a, 1, 3), "the second is remembered");
        assert!(seen.insert(&a, 1, 2), "what never came is new");
        assert_eq!(seen.ranges, MAX_RANGES_PER_SESSION);
    }
}
