use super::*;
use crate::error::Detail;

const MESSAGE: Fingerprint = Fingerprint::from_bytes([1; 32]);

fn key(n: usize) -> IdempotencyKey {
    IdempotencyKey::new("/a.B/C", "-", n.to_string())
}

fn done(store: &MemoryStore, n: usize, text: &str) {
    assert!(matches!(store.look_up(&key(n), MESSAGE), Claim::New), "{n}");
    store.keep_result(&key(n), &Outcome::of_message(text.to_owned()));
}

fn is_known(store: &MemoryStore, n: usize) -> bool {
    store.state().known.contains_key(&key(n))
}

#[test]
fn a_key_is_new_running_and_done() {
    let store = MemoryStore::new();
    assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::New));
    let other = Fingerprint::from_bytes([2; 32]);
    assert!(matches!(
        store.look_up(&key(1), other),
        Claim::Running(MESSAGE)
    ));
    store.keep_result(&key(1), &Outcome::of_message("x"));
    assert!(matches!(
        store.look_up(&key(1), other),
        Claim::Done(MESSAGE, _)
    ));
}

#[test]
fn the_oldest_results_are_evicted_but_no_running_call() {
    let store = MemoryStore::new().entries(3);
    assert!(matches!(store.look_up(&key(0), MESSAGE), Claim::New));
    for n in 1..5 {
        done(&store, n, "x");
    }
    assert!(is_known(&store, 0) && is_known(&store, 3) && is_known(&store, 4));
    assert_eq!(store.state().known.len(), 3);
    assert_eq!(store.evicted(), 2);
    // All keys belong to calls in flight.
    assert!(matches!(store.look_up(&key(5), MESSAGE), Claim::New));
    assert!(matches!(store.look_up(&key(6), MESSAGE), Claim::New));
    assert!(matches!(store.look_up(&key(7), MESSAGE), Claim::Full));
}

#[test]
fn results_stay_within_the_memory_limit() {
    let store = MemoryStore::new().bytes(4_000);
    for n in 0..100 {
        done(&store, n, &"x".repeat(1_000));
        assert!(store.state().bytes <= 4_000);
    }
    assert!(is_known(&store, 99) && !is_known(&store, 0));
    done(&store, 100, &"x".repeat(5_000));
    let Claim::Done(_, outcome) = store.look_up(&key(100), MESSAGE) else {
        panic!("it was done");
    };
    assert!(outcome.error().is_some(), "too large to keep");
    assert!(store.state().bytes <= 4_000);
}

fn done_by(store: &MemoryStore, caller: &str, n: usize, outcome: &Outcome) {
    let key = IdempotencyKey::new("/a.B/C", caller, n.to_string());
    assert!(matches!(store.look_up(&key, MESSAGE), Claim::New), "{n}");
    store.keep_result(&key, outcome);
}

fn results_of(store: &MemoryStore, caller: &str) -> usize {
    let state = store.state();
    let own = state.callers.get(caller);
    own.map_or(0, |own| own.numbers.len())
}

#[test]
fn a_caller_evicts_its_own_results_above_a_half() {
    let small = Outcome::of_message("x");
    let store = MemoryStore::new().entries(10);
    for n in 0..3 {
        done_by(&store, "a@prod", n, &small);
    }
    for n in 0..100 {
        done_by(&store, "-", n, &small);
    }
    assert_eq!(
        (results_of(&store, "a@prod"), results_of(&store, "-")),
        (3, 7)
    );
    // Of a caller with more than its half, the other half is taken.
    for n in 100..200 {
        done_by(&store, "a@prod", n, &small);
    }
    assert_eq!(
        (results_of(&store, "a@prod"), results_of(&store, "-")),
        (5, 5)
    );
    // The same for bytes, and for a new caller, whose result is never the one that is evicted.
    let store = MemoryStore::new().bytes(20_000);
    for n in 0..5 {
        done_by(&store, "a@prod", n, &small);
    }
    let before = store.state().bytes;
    let large = Outcome::of_message("x".repeat(15_000));
    for n in 0..20 {
        done_by(&store, "-", n, &large);
        assert_eq!(results_of(&store, "-"), 1);
    }
    assert_eq!(results_of(&store, "a@prod"), 5);
    assert!(before < 5_000 && store.state().bytes <= 20_000);
}

/// The sizes of a small and of a large result, in bytes.
const SIZES: [usize; 2] = [1, 20_000];

/// A has few large results that take most of the memory, B has many small ones.
fn large_and_small(store: MemoryStore, first: &str) -> MemoryStore {
    let second = if first == "a" { "b" } else { "a" };
    for caller in [first, second] {
        let (count, size) = if caller == "a" {
            (3, SIZES[1])
        } else {
            (27, SIZES[0])
        };
        let outcome = Outcome::of_message("x".repeat(size));
        for n in 100..100 + count {
            done_by(&store, caller, n, &outcome);
        }
    }
    assert_eq!((results_of(&store, "a"), results_of(&store, "b")), (3, 27));
    assert_eq!(store.evicted(), 0);
    store
}

#[test]
fn a_share_of_bytes_counts_where_bytes_run_out() {
    let [small, large] = SIZES.map(|size| Outcome::of_message("x".repeat(size)));
    // B takes little memory, so it evicts the oldest result, which is A's, and none of its own.
    let store = large_and_small(MemoryStore::new(), "a");
    let full = store.state().bytes;
    let store = store.bytes(full);
    done_by(&store, "b", 200, &small);
    assert_eq!((results_of(&store, "a"), results_of(&store, "b")), (2, 28));
    // A takes most of it, and evicts its own results although B's are older.
    let store = large_and_small(MemoryStore::new(), "b").bytes(full);
    for n in 200..210 {
        done_by(&store, "a", n, &large);
        assert_eq!((results_of(&store, "a"), results_of(&store, "b")), (3, 27));
    }
}

#[test]
fn a_share_of_keys_counts_where_keys_run_out() {
    let [small, large] = SIZES.map(|size| Outcome::of_message("x".repeat(size)));
    // A has few keys, so it evicts the oldest result, which is B's, and none of its own.
    let store = large_and_small(MemoryStore::new().entries(30), "b");
    done_by(&store, "a", 200, &large);
    assert_eq!((results_of(&store, "a"), results_of(&store, "b")), (4, 26));
    // B has most of them, and evicts its own results although A's are older.
    let store = large_and_small(MemoryStore::new().entries(30), "a");
    for n in 200..210 {
        done_by(&store, "b", n, &small);
        assert_eq!((results_of(&store, "a"), results_of(&store, "b")), (3, 27));
    }
}

/// A kept result: its caller, its key and its size.
type Kept = (usize, usize, usize);

/// Evicts a result as the rule says, by shares in the unit that has run out. `new` is the weight of
/// a call that has no result yet.
fn evict_by_the_rule(kept: &mut Vec<Kept>, caller: usize, new: usize, weight: fn(&Kept) -> usize) {
    let all: usize = kept.iter().map(weight).sum();
    let own: usize = kept.iter().filter(|it| it.0 == caller).map(weight).sum();
    let own_oldest = kept.iter().position(|it| it.0 == caller);
    let has_most = (own + new) * 2 > all;
    let own_oldest = own_oldest.filter(|at| has_most && at + 1 < kept.len());
    kept.remove(own_oldest.unwrap_or(0));
}

/// Ten callers: the first has the largest results, the last makes the most calls.
#[test]
fn ten_callers_evict_by_their_shares() {
    const ENTRIES: usize = 40;
    let key = |it: &Kept| IdempotencyKey::new("/a.B/C", it.0.to_string(), it.1.to_string());
    let sum = |kept: &[Kept]| kept.iter().map(|it| it.2).sum::<usize>();
    for limit in [30_000, 60_000, 200_000] {
        let store = MemoryStore::new().entries(ENTRIES).bytes(limit);
        let mut kept: Vec<Kept> = Vec::new();
        let mut evicted = 0;
        let mut random = fastrand::Rng::with_seed(7);
        for n in 0..3_000 {
            let caller = random.usize(..20).min(9);
            if kept.len() >= ENTRIES {
                evict_by_the_rule(&mut kept, caller, 1, |_| 1);
                evicted += 1;
            }
            let size = random.usize(..200) + 10_000 / (caller * caller * 4 + 1);
            let outcome = Outcome::of_message("x".repeat(size));
            done_by(&store, &caller.to_string(), n, &outcome);
            kept.push((caller, n, 0));
            let size = store.state().known[&key(&kept[kept.len() - 1])]
                .result
                .as_ref()
                .unwrap()
                .bytes;
            kept.last_mut().unwrap().2 = size;
            while sum(&kept) > limit && kept.len() > 1 {
                evict_by_the_rule(&mut kept, caller, 0, |it| it.2);
                evicted += 1;
            }
            let stored: Vec<_> = store.state().done.values().cloned().collect();
            let expected: Vec<_> = kept.iter().map(key).collect();
            assert_eq!(stored, expected, "{limit} {n}");
            assert_eq!(
                (store.evicted(), store.state().bytes),
                (evicted, sum(&kept))
            );
        }
        assert!(evicted > 1_000, "{evicted}");
    }
}

#[test]
fn a_result_counts_with_all_that_it_takes() {
    let text = "x".repeat(10_000);
    let error = || Error::new(Code::Internal, text.clone()).with_source(text.clone());
    let store = MemoryStore::new();
    done_by(&store, "-", 0, &error().into());
    assert!(
        store.state().bytes < 2_000,
        "neither private text nor source"
    );
    for (n, error) in [
        error().public().with_reason(text.clone()),
        error().public().with_violation("a", text.clone()),
        error().public().with_metadata("x-a", text.clone()),
        error()
            .public()
            .with_detail(Detail::new("a.B", vec![0; 10_000])),
    ]
    .into_iter()
    .enumerate()
    {
        let before = store.state().bytes;
        done_by(&store, "-", n + 1, &error.into());
        assert!(store.state().bytes > before + 10_000, "{n}");
    }
    // Only the part of a buffer that the message needs.
    let mut buffer = Vec::with_capacity(1 << 20);
    buffer.extend_from_slice(b"{}");
    done_by(&store, "-", 9, &Outcome::of_message(buffer));
    let key = IdempotencyKey::new("/a.B/C", "-", "9");
    let Claim::Done(_, outcome) = store.look_up(&key, MESSAGE) else {
        panic!("it was done");
    };
    drop(store);
    let response = outcome.into_response();
    let message = response.body().and_then(|body| body.as_message()).cloned();
    drop(response);
    let buffer = message.unwrap().try_into_mut().unwrap();
    assert!(buffer.capacity() < 100, "{}", buffer.capacity());
}

#[tokio::test(start_paused = true)]
async fn an_expired_result_frees_its_memory() {
    let store = MemoryStore::new();
    done(&store, 1, "x");
    tokio::time::advance(RETENTION - Duration::from_secs(1)).await;
    assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::Done(..)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::New));
    assert_eq!(store.state().bytes, 0);
    assert_eq!(store.evicted(), 0);
}

#[test]
fn settings_that_keep_no_result_are_refused() {
    for (store, field) in [
        (MemoryStore::new().entries(0), "`entries`"),
        (MemoryStore::new().bytes(0), "`bytes`"),
        (MemoryStore::new().bytes(1), "`bytes`"),
    ] {
        let error = store.check().unwrap_err();
        assert!(error.message().contains(field), "{error}");
    }
}

#[test]
fn the_smallest_and_largest_settings_keep_a_result() {
    for store in [
        MemoryStore::new().entries(1).bytes(MIN_BYTES),
        MemoryStore::new()
            .keep(Duration::MAX)
            .entries(usize::MAX)
            .bytes(usize::MAX),
    ] {
        store.check().unwrap();
        done(&store, 1, "x");
        let Claim::Done(_, outcome) = store.look_up(&key(1), MESSAGE) else {
            panic!("it was done");
        };
        assert!(outcome.error().is_none(), "the result itself");
    }
}

#[tokio::test]
async fn an_abandoned_key_is_new_and_a_result_stays() {
    let store = MemoryStore::new();
    assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::New));
    store.abandon(&key(1)).await.unwrap();
    done(&store, 1, "x");
    store.abandon(&key(1)).await.unwrap();
    assert!(matches!(store.look_up(&key(1), MESSAGE), Claim::Done(..)));
}

#[tokio::test]
async fn only_its_token_ends_a_claim() {
    let store = MemoryStore::new();
    let (first, late) = (key(1), key(1).with_token(ClaimToken::random()));
    assert!(matches!(store.look_up(&first, MESSAGE), Claim::New));
    store.abandon(&late).await.unwrap();
    store.keep_result(&late, &Outcome::of_message("late"));
    let claim = store.look_up(&late, MESSAGE);
    assert!(matches!(claim, Claim::Running(MESSAGE)), "{claim:?}");
    store.keep_result(&first, &Outcome::of_message("x"));
    let claim = store.look_up(&late, MESSAGE);
    assert!(matches!(claim, Claim::Done(..)), "{claim:?}");
}
